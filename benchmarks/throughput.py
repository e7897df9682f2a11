"""Messages a second and time a message beside two stock Rasa set-ups, in one run: `python -m benchmarks.throughput`.

The public chat API with everything running (safety, record, search, card) against Rasa 3.6.21 as its guide sets it
up: REST channel, SQL tracker store, and a rasa-sdk action that reads the same database; once with the default pipeline
(DIET and ResponseSelector), once with our own trained model. 1, 8 and 32 people ask one question after the other, each
as soon as the last one is answered; the load comes from wrk in a process of its own. After a warm-up, by turns, so that
a busy moment of the machine hits all alike; medians of the rounds, with the spread. Also memory, and seconds until the
first answer.

The default pipeline is trained for `--epochs` epochs only: that spoils its quality, which `benchmarks.understanding`
measures, and leaves its speed as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.understanding import environment, stock_examples
from needlepoint.settings import ROOT, read_settings
from needlepoint.training import engine_python, model_file
from tests.running import Laboratory, Process, fill, free_port

SCRIPT = Path(__file__).parent / "talk.lua"
PEOPLE = (1, 8, 32)
CONFIG = Path(__file__).parent / "stock_rasa" / "config.yml"


@dataclass
class SetUp:
    """What is measured: where it is asked and in which form, and its processes."""

    name: str
    url: str
    form: str
    #: Opens so many conversations; returns path and token of each.
    open: Callable[[int], list[tuple[str, str]]]
    processes: list[Process]
    first_answer: float
    rounds: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def memory(self) -> float:
        """Resident megabytes of all its processes."""
        return sum(_resident(one.pid) for one in self.processes)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=12, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5, help="of the default pipeline")
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk, the load generator, is missing: install it (Debian: sudo apt-get install wrk)")
    with tempfile.TemporaryDirectory() as name, Laboratory(Path(name), model_file(read_settings())) as laboratory:
        folder = Path(name)
        measured = [needlepoint(laboratory), stock(laboratory, "stock Rasa, our pipeline", model_file(read_settings()))]
        print("training the default pipeline ...", flush=True)
        measured.append(stock(laboratory, "stock Rasa, default pipeline", train_default(folder, asked.epochs)))
        for people in PEOPLE:
            for one in measured:
                load(one, people, 4, folder)  # warm-up
            for _ in range(asked.rounds):
                for one in measured:
                    one.rounds.setdefault(people, []).append(load(one, people, asked.seconds, folder))
        print("\n".join(table(measured)))


def needlepoint(laboratory: Laboratory) -> SetUp:
    """The product: one app, one engine, SQLite."""
    began = time.perf_counter()
    engine = laboratory.engine()
    app = laboratory.instance([engine], rate_limit="1000000")
    app.conversation().say("does it hurt?")

    def opened(people: int) -> list[tuple[str, str]]:
        talks = [app.conversation() for _ in range(people)]
        return [(f"/api/conversations/{one.id}/messages", one.headers["Authorization"].split(" ")[1]) for one in talks]

    form = '{"message_id": "@number", "text": "@question"}'
    return SetUp("Needlepoint", app.url, form, opened, [engine, app], time.perf_counter() - began)


def stock(laboratory: Laboratory, name: str, model: Path) -> SetUp:
    """A stock Rasa server with this model, and the action server beside it."""
    folder = laboratory.folder / name.replace(" ", "-").replace(",", "")
    folder.mkdir()
    database = f"sqlite:///{folder / 'answers.db'}"
    fill(database)
    port, actions = free_port(), free_port()
    (folder / "endpoints.yml").write_text(
        yaml.safe_dump(
            {
                "tracker_store": {"type": "SQL", "dialect": "sqlite", "db": str(folder / "tracker.db")},
                "action_endpoint": {"url": f"http://127.0.0.1:{actions}/webhook"},
            }
        )
    )
    (folder / "credentials.yml").write_text("rest:\n")
    began = time.perf_counter()
    python_path = {"PYTHONPATH": f"{ROOT / 'engine'}{os.pathsep}{ROOT}"}
    action_server = Process(
        f"{name}, actions",
        [sys.executable, "-m", "rasa_sdk", "--actions", "benchmarks.stock_rasa.actions", "--port", str(actions)],
        {**os.environ, "STOCK_DATABASE_URL": database, "PYTHONPATH": str(ROOT)},
        folder / "actions.log",
        f"http://127.0.0.1:{actions}/health",
    )
    rasa = Process(
        name,
        [
            *(str(engine_python()), "-W", "ignore", "-m", "rasa", "run", "--model", str(model), "--port", str(port)),
            *("--interface", "127.0.0.1", "--endpoints", str(folder / "endpoints.yml")),
            *("--credentials", str(folder / "credentials.yml")),
        ],
        environment() | python_path,
        folder / "rasa.log",
        f"http://127.0.0.1:{port}/webhooks/rest/",
    )
    laboratory.processes += [action_server, rasa]
    action_server.start()
    rasa.start()
    url = f"http://127.0.0.1:{port}"
    body = {"sender": "first", "message": "does it hurt?"}
    ends = time.monotonic() + 120
    said: Any = []
    while not said and time.monotonic() < ends:  # its server answers before its model is loaded
        said = httpx.post(f"{url}/webhooks/rest/webhook", json=body, timeout=60, trust_env=False).json()
    assert said and said[0]["text"], rasa.log()
    first = time.perf_counter() - began
    form = '{"sender": "@person", "message": "@question"}'
    return SetUp(
        name, url, form, lambda people: [("/webhooks/rest/webhook", "")] * people, [rasa, action_server], first
    )


def train_default(folder: Path, epochs: int) -> Path:
    """Train Rasa's default pipeline with a rule that leads to the action; returns the model."""
    project = folder / "default-project"
    project.mkdir()
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    for part in config["pipeline"]:
        if "epochs" in part:
            part["epochs"] = epochs
    config["policies"] = [{"name": "RulePolicy"}]
    examples = stock_examples(everything=False)
    intents = ["faq", *(intent for intent in examples if not intent.startswith("faq/"))]
    plain = str.maketrans("[]{}", "()()")
    rules = [
        {"rule": intent, "steps": [{"intent": intent}, {"action": "action_answer"}]}
        for intent in (*intents, "nlu_fallback")
    ]
    files: dict[str, Any] = {
        "config.yml": config,
        "domain.yml": {
            "version": "3.1",
            "intents": intents,
            "actions": ["action_answer"],
            "responses": {f"utter_{intent}": [{"text": intent}] for intent in examples if intent.startswith("faq/")},
        },
        "nlu.yml": {
            "version": "3.1",
            "nlu": [
                {"intent": intent, "examples": "".join(f"- {text.translate(plain)}\n" for text in texts)}
                for intent, texts in examples.items()
            ],
        },
        "rules.yml": {"version": "3.1", "rules": rules},
    }
    for file, content in files.items():
        (project / file).write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    command = [
        *(
            str(engine_python()),
            "-W",
            "ignore",
            "-m",
            "rasa",
            "train",
            "--domain",
            "domain.yml",
            "--config",
            "config.yml",
        ),
        *("--data", "nlu.yml", "rules.yml", "--out", ".", "--fixed-model-name", "default"),
    ]
    done = subprocess.run(command, cwd=project, env=environment(), check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        sys.exit(f"training the default pipeline failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    return project / "default.tar.gz"


def load(one: SetUp, people: int, seconds: int, folder: Path) -> dict[str, Any]:
    """A round of so many people; fails where a message was not answered."""
    talks = folder / "people.txt"
    talks.write_text("".join(f"{path} {token}\n" for path, token in one.open(people)))
    command = ["wrk", f"-t{people}", f"-c{people}", f"-d{seconds}s", "--timeout", "30s", "-s", str(SCRIPT), one.url]
    done = subprocess.run([*command, "--", str(talks), one.form], check=True, capture_output=True, text=True)  # noqa: S603
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if figures["failed"]:
        sys.exit(f"{one.name}: {figures['failed']} of {figures['messages']} messages were not answered")
    figures["rate"] = figures["messages"] / figures["seconds"]
    return figures


def table(measured: list[SetUp]) -> list[str]:
    """The figures as Markdown, each set-up's and how many times its rate Needlepoint's is."""
    lines = ["", "| | " + " | ".join(one.name for one in measured) + " |", "| --- |" + " --- |" * len(measured)]
    for people in PEOPLE:
        rates = [[each["rate"] for each in one.rounds[people]] for one in measured]
        ours = statistics.median(rates[0])
        lines.append(
            _line(
                f"{people} at once: messages/s (lowest to highest)",
                [f"{statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f})" for each in rates],
            )
        )
        lines.append(
            _line(
                "... Needlepoint is so many times as fast", [f"{ours / statistics.median(each):.2f}" for each in rates]
            )
        )
        for figure in ("median", "p95"):
            each = [statistics.median(one[figure] for one in set_up.rounds[people]) for set_up in measured]
            lines.append(_line(f"... {figure}, ms", [f"{value:.1f}" for value in each]))
    lines.append(_line("resident memory of all processes, MB", [f"{one.memory:.0f}" for one in measured]))
    lines.append(_line("start to first answer, s", [f"{one.first_answer:.1f}" for one in measured]))
    return lines


def _line(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def _resident(pid: int) -> float:
    """Megabytes of a process and its children."""
    status = Path(f"/proc/{pid}/status").read_text()
    own = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(_resident(int(child)) for child in children)


if __name__ == "__main__":
    main()
