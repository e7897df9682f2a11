"""Telegram under load and trouble: 10,000 updates from 200 people, each answered, in order, repeats marked and rare."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import Any

import pytest

from tests.running import Engine, Laboratory
from tests.telegram_server import TOKEN, BotApiServer, Fault, Patient

pytestmark = pytest.mark.long

PEOPLE = 200
UPDATES = 10_000

#: What people send, one after the other, and what is in the first line of its answer and of no other.
SENT: list[tuple[dict[str, Any], str]] = [
    ({"text": "does it hurt?"}, "hurt"),
    ({"text": "/help"}, "Write your question in"),
    ({"text": "when can I swim?"}, "swim"),
    ({"text": "/privacy"}, "If you agree, we store this conversation"),
    ({"sticker": {"file_id": "x"}}, "I cannot read stickers"),
    ({"text": "/language"}, "Which language would you like?"),
    ({"text": "how much is the home kit?"}, "How much"),
    ({"text": "/delete"}, "Delete this conversation with everything"),
]
APOLOGY = "I am sorry, I cannot answer just now."
MARK = "Sent again, because it may not have reached you the first time:\n\n"

#: Of a hundred calls to send, how many go wrong in which way.
TROUBLE = {"quiet": 2, "error": 2, "cut_before": 1, "cut_after": 1, "proxy": 1}


class Trouble:
    """Lets calls go wrong at random, and remembers which sendings were ambiguous."""

    def __init__(self) -> None:
        self.random = random.Random(20261127)
        self.ambiguous: Counter[int] = Counter()
        self.count: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, method: str, asked: dict[str, Any]) -> Fault | None:
        if method != "sendMessage":
            return None
        with self._lock:
            at = self.random.uniform(0, 100)
            for what, share in TROUBLE.items():
                at -= share
                if at < 0:
                    self.count[what] += 1
                    if what in ("cut_before", "cut_after", "proxy"):
                        self.ambiguous[int(asked["chat_id"])] += 1
                    return Fault(what, 1)
        return None


def test_ten_thousand_updates_are_answered_in_order_whatever_goes_wrong_on_the_way(
    laboratory: Laboratory, engine: Engine
) -> None:
    with BotApiServer() as server:
        app = laboratory.instance([engine], telegram_bot_token=TOKEN, telegram_api_base_url=server.url)
        people = [Patient(server, 9_000_000 + number) for number in range(PEOPLE)]
        for one in people:
            one.send(text="/start")
        server.wait_for(lambda: all(one.got for one in people), 120, "the question for consent")
        for one in people:
            one.press(one.got[0], "I agree, start")
        server.wait_for(lambda: all(len(one.got) == 2 for one in people), 120, "the thanks")
        trouble = Trouble()
        server.trouble = trouble
        expected: dict[int, list[str]] = {one.chat: [] for one in people}
        began = time.monotonic()
        rounds = UPDATES // PEOPLE
        for number in range(rounds):
            for one in people:
                message, words = SENT[(number + one.chat) % len(SENT)]
                one.send(**message)
                expected[one.chat].append(words)
            if number == rounds // 2:
                server.wait_for(lambda: sum(len(one.got) for one in people) > UPDATES // 3, 1200, "a third")
                app.kill()
                app.start()

        def missing() -> int:
            return sum(rounds - len(_answers(one, expected[one.chat], trouble)[0]) for one in people)

        ends = time.monotonic() + 2400
        while (left := missing()) and time.monotonic() < ends:
            time.sleep(5)
        print(f"{UPDATES} updates in {time.monotonic() - began:.0f} s; went wrong: {dict(trouble.count)}")
        assert left == 0
        repeated = 0
        for one in people:
            answers, repeats = _answers(one, expected[one.chat], trouble)
            assert len(one.got) == 2 + len(answers) + repeats, [message.text[:60] for message in one.got]
            assert APOLOGY not in answers, "a killed app's turn was not taken up"
            repeated += repeats
        print(f"{repeated} repeats, all marked, of {sum(trouble.ambiguous.values())} that were unclear")
        # The killed app had at most its workers' sendings under way.
        assert repeated <= sum(trouble.ambiguous.values()) + 16
        assert app.stop() == 0


def _answers(one: Patient, expected: list[str], trouble: Trouble) -> tuple[list[str], int]:
    """The answers that came in the expected order, and how many repeats came between; each repeat is marked."""
    answers: list[str] = []
    repeats = 0
    for message in one.got[2:]:
        marked = message.text.startswith(MARK)
        text = message.text.removeprefix(MARK)
        line = text.partition("\n")[0]
        if len(answers) < len(expected) and (expected[len(answers)] in line or line.startswith(APOLOGY)):
            answers.append(APOLOGY if line.startswith(APOLOGY) else expected[len(answers)])
        else:
            assert marked and answers and answers[-1] in line, (one.chat, message.text[:100], answers[-2:])
            repeats += 1
    return answers, repeats
