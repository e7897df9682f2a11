"""How long a message takes through the whole product: `make bench`.

Starts a real engine and app on SQLite, asks one after the other as one person, and compares the 5th, 50th and 500th
turn of one conversation in the same run. Wall-clock figures of a busy machine are noisy; the ratios are the point.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from needlepoint.settings import ROOT
from tests.running import Conversation, Laboratory

QUESTIONS = ("does it hurt?", "how long will I be red?", "when can I wear makeup?", "how many sessions do I need?")
AROUND = 5


def main() -> None:
    """Print the figures."""
    model = ROOT / "var" / "models" / "needlepoint.tar.gz"
    with Laboratory(Path(tempfile.mkdtemp()), model) as laboratory:
        began = time.perf_counter()
        engine = laboratory.engine()
        engine_start = time.perf_counter() - began
        began = time.perf_counter()
        instance = laboratory.instance([engine])
        app_start = time.perf_counter() - began
        print(f"start: engine {engine_start:.1f} s, app {app_start:.1f} s")
        conversation = instance.conversation()
        milliseconds = [asked(conversation, number) for number in range(510)]
        steady = sorted(milliseconds[10:])
        print(f"one person: median {statistics.median(steady):.1f} ms, p95 {steady[int(len(steady) * 0.95)]:.1f} ms")
        medians = {turn: statistics.median(milliseconds[turn - AROUND : turn + AROUND]) for turn in (5, 50, 500)}
        for turn, median in medians.items():
            print(f"turn {turn}: {median:.1f} ms, {median / medians[5]:.2f} x the 5th")


def asked(conversation: Conversation, number: int) -> float:
    """Ask one question; returns the milliseconds until its answer was there."""
    began = time.perf_counter()
    outcome = conversation.say(QUESTIONS[number % len(QUESTIONS)])
    assert outcome["state"] == "answered", outcome
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
