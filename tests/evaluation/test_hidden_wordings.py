"""Ten-fold: each stored wording is hidden from search and classifier while it is asked.

It says how well wordings stand in for one another, and so how a new way of asking fares. Prints the figures with
their 95 % Wilson intervals; takes about ten minutes, most of it training.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from scipy.stats import binomtest

from needlepoint.ask import Asked
from needlepoint.faq.files import EntryInFile, dump_topic, read_folder
from needlepoint.faq.trial import outcome_of
from needlepoint.safety.second_reader import HARMLESS_FILE
from needlepoint.settings import ROOT

pytestmark = pytest.mark.long

FOLDS = 10
OUTCOMES = ("right", "clarified", "declined", "wrong")


def fold_of(entry_id: str, wording: str) -> int:
    """Which fold hides a wording: by content, so that it stays when others come or go."""
    return hashlib.sha256(f"{entry_id}\0{wording}".encode()).digest()[0] % FOLDS


def without(entry: EntryInFile, fold: int) -> EntryInFile:
    kept = {
        language: [text for text in texts if fold_of(entry.id, text) != fold]
        for language, texts in entry.wordings.items()
    }
    return msgspec.structs.replace(entry, wordings=kept)


def hide_from_second_reader(copy: Path, hidden: set[str]) -> None:
    """Take the hidden wordings from the list of those that must not alarm."""
    lines = (ROOT / "data" / "safety" / HARMLESS_FILE).read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.lower() not in hidden]
    (copy / "data" / "safety" / HARMLESS_FILE).write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, so that its answers can be changed and a model trained from them."""
    root = tmp_path_factory.mktemp("fold") / "project"
    left_out = shutil.ignore_patterns(".git", ".venv", "var", ".tools", "__pycache__", "tests", ".mypy_cache")
    shutil.copytree(ROOT, root, ignore=left_out, symlinks=True)
    (root / ".venv").symlink_to(ROOT / ".venv")
    (root / "engine" / ".venv").symlink_to(ROOT / "engine" / ".venv")
    return root


def test_hidden_wordings_find_their_entry_as_often_as_the_report_says(copy: Path) -> None:
    items = read_folder(ROOT / "data" / "faq")
    outcomes: Counter[str] = Counter()
    by_topic: dict[str, Counter[str]] = {}
    for fold in range(FOLDS):
        for topic in {item.topic for item in items}:
            entries = [without(item.entry, fold) for item in items if item.topic == topic]
            (copy / "data" / "faq" / f"{topic}.yml").write_text(dump_topic(topic, entries))
        hidden = [
            (item, text)
            for item in items
            for texts in item.entry.wordings.values()
            for text in texts
            if fold_of(item.entry.id, text) == fold
        ]
        hide_from_second_reader(copy, {text.lower() for _, text in hidden})
        for (item, _), asked in zip(hidden, ask(copy, [text for _, text in hidden]), strict=True):
            outcome = outcome_of(item.entry.id, asked.kind, asked.faq_ids)
            outcomes[outcome] += 1
            by_topic.setdefault(item.topic, Counter())[outcome] += 1
        shutil.rmtree(copy / "var")
    total = outcomes.total()
    print(f"\n{total} wordings, each hidden while it was asked")
    for outcome in OUTCOMES:
        share = binomtest(outcomes[outcome], total)
        low, high = share.proportion_ci(method="wilson")
        print(f"{outcome:>10} {outcomes[outcome]:5} {share.statistic:6.1%} ({low:.1%} to {high:.1%})")
    for topic, counts in sorted(by_topic.items()):
        print(f"{topic:>14} " + "  ".join(f"{name} {counts[name] / counts.total():4.0%}" for name in OUTCOMES))
    # Somewhat below what was measured (docs/evaluation.md), which is the report.
    assert outcomes["right"] / total >= 0.7
    assert outcomes["wrong"] / total <= 0.15


def ask(copy: Path, texts: list[str]) -> list[Asked]:
    lines = "".join(json.dumps({"conversation": str(n), "text": text}) + "\n" for n, text in enumerate(texts))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEEDLEPOINT_")}
    done = subprocess.run(
        [str(copy / ".venv" / "bin" / "python"), "-m", "needlepoint", "ask"],
        cwd=copy,
        env=environment,
        input=lines,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [msgspec.json.decode(line, type=Asked) for line in done.stdout.splitlines()]
