"""How well and how fast questions are understood, beside Rasa's default pipeline: `make bench`.

In one run: the test part of the evaluation through the live path, and the same messages by a stock Rasa 3.6.21 project
(`stock_rasa/config.yml`: DIET, and a ResponseSelector over one retrieval intent, as Rasa's guide to FAQs has it) that
was trained on the same texts: stored wordings, small talk and off-topic examples, and with `--all` also the messages
that the classifier over the entries learns from. Its training alone takes from half an hour on two cores. Then the
milliseconds that each takes on one core to understand a message: parse, and for ours also to choose the answer.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from actions import question_of
from needlepoint.ask import Asker
from needlepoint.evaluation import answers_report, ranking_fit
from needlepoint.evaluation.items import AnswerMessage, Share, read_items
from needlepoint.faq.files import read_folder
from needlepoint.settings import ROOT, read_settings
from needlepoint.staff.accounts import command_token
from needlepoint.training import engine_environment, engine_python, model_file
from tests.running import SECRET, Laboratory

MESSAGES = ROOT / "tests" / "evaluation" / "answers" / "messages-test.jsonl"
LEARNT_FROM = ROOT / "data" / "ranking" / "messages.jsonl"
CONFIG = Path(__file__).parent / "stock_rasa" / "config.yml"
PARSE = Path(__file__).parent / "timed_parse.py"

#: What a stock project's intents amount to, in the words of the evaluation's `expect`.
MEANINGS = {"out_of_scope": "@decline", "nlu_fallback": "@decline", "ask_human": "@human", "ask_clinic": "@clinic"}
MEANINGS |= {"ask_today": "@today", "tell_when": "@when"}
ONE_CORE = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.understanding", description=__doc__.split("\n")[0])
    parser.add_argument("--all", action="store_true", help="train stock Rasa on what our classifier learns from, too")
    everything = parser.parse_args().all
    messages: list[AnswerMessage] = read_items(MESSAGES)[1]  # type: ignore[assignment]
    texts = [one.text for one in messages]
    settings = read_settings()
    with tempfile.TemporaryDirectory() as folder:
        examples = stock_examples(everything)
        began = time.perf_counter()
        model = train_stock(Path(folder), examples)
        print(f"stock Rasa: trained on {sum(map(len, examples.values()))} texts in {time.perf_counter() - began:.0f} s")
        stock = timed(model, texts)
    ours = timed(model_file(settings), texts)
    chosen = choose(texts, [one["parsed"] for one in ours])
    print(f"\n| {MESSAGES.name} | stock Rasa | Needlepoint |\n| --- | --- | --- |")
    with Laboratory(Path(tempfile.mkdtemp()), model_file(settings)) as laboratory:
        instance = laboratory.instance([laboratory.engine()])
        with Asker(instance.url, command_token(SECRET, "evaluate")) as asker:
            scored = answers_report.ask_messages(asker, messages, answers_report.titles_of(ROOT / "data" / "faq"))
    outcomes = [
        (stock_outcome(one, answer["parsed"]), mine.outcome)
        for one, answer, mine in zip(messages, stock, scored, strict=True)
    ]
    inside = [both for one, both in zip(messages, outcomes, strict=True) if not one.expect[0].startswith("@")]
    outside = [both for one, both in zip(messages, outcomes, strict=True) if one.expect == ["@decline"]]
    for outcome in ("right", "clarified", "declined", "wrong"):
        print(row(outcome, [Share.of(sum(both[which] == outcome for both in inside), len(inside)) for which in (0, 1)]))
    print(
        row(
            "off-topic: declined",
            [Share.of(sum(both[which] == "right" for both in outside), len(outside)) for which in (0, 1)],
        )
    )
    times = [
        [one["milliseconds"] for one in stock],
        [one["milliseconds"] + after for one, after in zip(ours, chosen, strict=True)],
    ]
    print(row("understanding, median on one core", [f"{statistics.median(each):.1f} ms" for each in times]))
    print(
        row("understanding, 95 of 100 are under", [f"{sorted(each)[int(0.95 * len(each))]:.1f} ms" for each in times])
    )


def row(name: str, cells: Iterable[object]) -> str:
    """A line of the table."""
    return f"| {name} | " + " | ".join(map(str, cells)) + " |"


def stock_examples(everything: bool) -> dict[str, list[str]]:
    """The texts to train on by intent; answers are `faq/<entry>`."""
    examples: dict[str, list[str]] = {}
    for item in read_folder(ROOT / "data" / "faq"):
        texts = [text for wordings in item.entry.wordings.values() for text in wordings]
        texts += [text.question for text in item.entry.version.texts.values()]
        examples[f"faq/{item.entry.id}"] = texts
    for file in sorted((ROOT / "data" / "nlu").glob("*.yml")):
        for block in yaml.safe_load(file.read_text(encoding="utf-8"))["nlu"]:
            intent = str(block.get("intent", ""))
            # Fragments about a whole topic have no answer of their own that a stock project could give.
            if intent and (not intent.startswith("ask_") or intent in MEANINGS) and intent != "report_symptom":
                lines = block["examples"].splitlines()
                examples.setdefault(intent, []).extend(line.removeprefix("- ") for line in lines if line)
    if everything:
        names = {meaning: intent for intent, meaning in MEANINGS.items() if intent in examples}
        for line in LEARNT_FROM.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            best = one["expect"][0]
            intent = names.get(best) if best.startswith("@") else f"faq/{best}"
            if intent in examples:
                examples[intent].append(one["text"])
    return {intent: sorted({" ".join(text.split()) for text in texts}) for intent, texts in examples.items() if texts}


def train_stock(folder: Path, examples: dict[str, list[str]]) -> Path:
    """Train a stock project in the folder; returns the model."""
    nlu = [
        {"intent": intent, "examples": "".join(f"- {_plain(text)}\n" for text in texts)}
        for intent, texts in examples.items()
    ]
    answers = [intent for intent in examples if intent.startswith("faq/")]
    domain = {
        "version": "3.1",
        "intents": ["faq", *(intent for intent in examples if not intent.startswith("faq/"))],
        "responses": {f"utter_{intent}": [{"text": intent}] for intent in answers},
    }
    for name, content in (("nlu.yml", {"version": "3.1", "nlu": nlu}), ("domain.yml", domain)):
        (folder / name).write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    command = [
        *(str(engine_python()), "-W", "ignore", "-m", "rasa", "train", "nlu", "--nlu", str(folder / "nlu.yml")),
        *("--domain", str(folder / "domain.yml"), "--config", str(CONFIG)),
        *("--out", str(folder), "--fixed-model-name", "stock"),
    ]
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)  # noqa: S603
    return folder / "stock.tar.gz"


def _plain(text: str) -> str:
    """The text without what Rasa's training data takes for marks of entities."""
    return text.translate(str.maketrans("[]{}", "()()"))


def environment() -> dict[str, str]:
    """The engine's, with telemetry off."""
    given = engine_environment(read_settings())
    return {
        **given,
        "RASA_TELEMETRY_ENABLED": "false",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
    }


def timed(model: Path, texts: Sequence[str]) -> list[dict[str, Any]]:
    """What the model makes of each text, and how long it took on one core."""
    done = subprocess.run(  # noqa: S603
        [str(engine_python()), "-W", "ignore", str(PARSE), str(model)],
        cwd=ROOT,
        env=environment() | ONE_CORE | {"PYTHONPATH": f"{ROOT / 'engine'}{os.pathsep}{ROOT}"},
        input="".join(json.dumps(text) + "\n" for text in texts),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def choose(texts: Sequence[str], parsed: Sequence[dict[str, Any]]) -> list[float]:
    """The milliseconds that choosing the answer takes for each parsed message."""
    answerer = ranking_fit.shipped_answerer(read_settings())
    milliseconds = []
    for text, one in zip(texts, parsed, strict=True):
        question = question_of(ranking_fit.tracker(text, one, {}))
        began = time.perf_counter()
        answerer.answer(question)
        milliseconds.append((time.perf_counter() - began) * 1000)
    return milliseconds


def stock_outcome(item: AnswerMessage, parsed: dict[str, Any]) -> str:
    """What a stock project's reply is worth, counted as `answers_report.outcome_of` counts ours."""
    intent = parsed["intent"]["name"]
    if intent == "faq":
        given = parsed["response_selector"]["faq"]["response"]["intent_response_key"].removeprefix("faq/")
        return "right" if given in item.expect else "wrong"
    meaning = MEANINGS.get(intent, "@smalltalk" if intent.startswith("chitchat") else "")
    if meaning in item.expect:
        return "right"
    return "declined" if meaning in {"@decline", "@human"} else "wrong"


if __name__ == "__main__":
    main()
