"""The safety net on the development messages: what is urgent is noticed, however it is written, and soon enough.

The rules were mended on these messages and the second reader learns from them, so the shares here say that nothing has
got worse since, not how well the net does with messages that it has never seen: that is measured on the test half.
The development conversations are not learnt from.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from needlepoint.evaluation.items import AnswerMessage, SafetyMessage, read_items
from needlepoint.evaluation.safety_report import (
    URGENT,
    Judged,
    SafetyFigures,
    figures,
    judge_conversations,
    judge_messages,
    rules_alone,
)
from needlepoint.faq.files import read_folder
from needlepoint.reply import Urgency
from needlepoint.safety import LEVELS, SafetyRules, assess
from needlepoint.settings import ROOT

FOLDER = Path(__file__).parent / "safety"

# All figures were measured at 76447e5; measure again when rules or reader change.
# Each bound is 2 points from what was measured: 399 of 399 urgent messages noticed, 1 false alarm in 361 others.
NOTICED_AT_LEAST = 0.98
FALSE_ALARMS_AT_MOST = 0.023
# 3 points below what was measured: 45 of 50 urgent turns.
NOTICED_IN_CONVERSATIONS_AT_LEAST = 0.87
#: The aim is 1 %; 1.6 % were measured with those that wait to be mended, and this bound holds the net to that.
FALSE_ALARMS_OF_WORDINGS_AT_MOST = 0.016
# Measured: all 399 for every change.
KEPT_AT_LEAST = 0.98
# Measured: 387 to 391 of 393 in four draws of such errors.
KEPT_WITH_A_TYPO_AT_LEAST = 0.93

CPU_SECONDS = 0.05

HARMLESS = (
    "I had my second session on Tuesday afternoon. The room was nice and the staff were friendly. "
    "I am drinking water and resting at home today. "
)
CHANGES: dict[str, Callable[[str], str]] = {
    "playing it down": "it is probably nothing but {}".format,
    "what an aunt says": "{} my aunty says it is normal".format,
    "capitals": str.upper,
    "a question about the price": "{} also how much is one session?".format,
    "three harmless sentences before it": (HARMLESS + "{}").format,
    "emoji": "{} 😅🙏".format,
}
#: Zero-width characters, and marks that turn the direction of writing.
UNSEEN = "\u200b\u200d\u00ad\u2060\ufeff\u200e\u200f\u202e\u2067"


@pytest.fixture(scope="module")
def rules() -> SafetyRules:
    return SafetyRules.load(ROOT / "data" / "safety")


def development(of: str) -> list[Any]:
    return read_items(FOLDER / f"{of}-development.jsonl")[1]


@pytest.fixture(scope="module")
def judged(rules: SafetyRules) -> list[Judged]:
    return judge_messages(development("messages"), rules_alone(rules))


@pytest.fixture(scope="module")
def measured(judged: list[Judged]) -> SafetyFigures:
    return figures(judged)


@pytest.fixture(scope="module")
def noticed(judged: list[Judged]) -> list[Judged]:
    """The urgent messages that get their level as they are written."""
    return [one for one in judged if one.due in URGENT and not one.below]


def at_least(given: Urgency, due: Urgency) -> bool:
    return LEVELS.index(given) >= LEVELS.index(due)


def with_a_typo(text: str, chance: random.Random) -> str | None:
    """The text with a letter left out, doubled or swapped with the next in one word of six letters or more."""
    words = list(re.finditer(r"[^\W\d_]{6,}", text))
    if not words:
        return None
    word = chance.choice(words)
    at = chance.randrange(word.start() + 1, word.end() - 1)
    typed = chance.choice([text[at + 1], text[at] * 2 + text[at + 1], text[at + 1] + text[at]])
    return text[:at] + typed + text[at + 2 :]


def cpu_seconds(rules: SafetyRules, text: str) -> float:
    """The least CPU time of nine readings; the least is what the text costs, the rest is the machine's."""
    spent = []
    for _ in range(9):
        began = time.process_time()
        assess(rules, text)
        spent.append(time.process_time() - began)
    return min(spent)


def test_urgent_messages_get_at_least_their_level(measured: SafetyFigures) -> None:
    share = measured.at_least["urgent"]
    assert share.total >= 300
    assert share.count / share.total >= NOTICED_AT_LEAST, share


def test_messages_that_are_not_urgent_raise_few_alarms(measured: SafetyFigures) -> None:
    share = measured.false_alarms
    assert share.total >= 300
    assert share.count / share.total <= FALSE_ALARMS_AT_MOST, share


def test_ways_of_asking_about_anything_else_raise_hardly_an_alarm(rules: SafetyRules) -> None:
    wordings = [
        text
        for item in read_folder(ROOT / "data" / "faq")
        if item.topic != "urgent"
        for texts in item.entry.wordings.values()
        for text in texts
    ]
    # Half of those written for data/faq stand here now, and those that alarmed wait for the rules to be mended.
    learnt = read_items(ROOT / "data" / "ranking" / "messages.jsonl")[1]
    wordings += [one.text for one in learnt if isinstance(one, AnswerMessage) and one.pattern == "wording"]
    waiting = read_items(FOLDER / "ordinary-questions-that-alarm.jsonl")[1]
    wordings += [one.text for one in waiting if isinstance(one, SafetyMessage)]
    alarms = [text for text in wordings if assess(rules, text).level in URGENT]
    assert len(alarms) / len(wordings) <= FALSE_ALARMS_OF_WORDINGS_AT_MOST, alarms


def test_urgent_turns_of_a_conversation_get_at_least_their_level(rules: SafetyRules) -> None:
    talks = judge_conversations(development("conversations"), rules_alone(rules))
    share = figures([turn for talk in talks for turn in talk]).at_least["urgent"]
    assert share.count / share.total >= NOTICED_IN_CONVERSATIONS_AT_LEAST, share


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_said_around_a_red_flag_does_not_lower_its_level(
    rules: SafetyRules, noticed: list[Judged], change: str
) -> None:
    lowered = [one.text for one in noticed if not at_least(assess(rules, CHANGES[change](one.text)).level, one.due)]
    assert 1 - len(lowered) / len(noticed) >= KEPT_AT_LEAST, lowered


def test_one_typing_error_rarely_hides_a_red_flag(rules: SafetyRules, noticed: list[Judged]) -> None:
    chance = random.Random(20261126)
    typed = [(text, one.due) for one in noticed if (text := with_a_typo(one.text, chance)) is not None]
    assert len(typed) >= 300
    lowered = [text for text, due in typed if not at_least(assess(rules, text).level, due)]
    assert 1 - len(lowered) / len(typed) >= KEPT_WITH_A_TYPO_AT_LEAST, lowered


def test_characters_that_nobody_sees_change_no_level(rules: SafetyRules, noticed: list[Judged]) -> None:
    chance = random.Random(20261126)
    for one in noticed:
        spoiled = "".join(letter + chance.choice(UNSEEN) for letter in one.text)
        assert assess(rules, spoiled).level == one.given, one.text


def test_no_text_raises_an_error_or_takes_long(rules: SafetyRules) -> None:
    spent: list[float] = []

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 4096).flatmap(lambda most: st.text(st.characters(), min_size=most // 2, max_size=most)))
    def any_text(text: str) -> None:
        began = time.process_time()
        found = assess(rules, text)
        spent.append(time.process_time() - began)
        assert (found.level in URGENT) <= bool(found.cards)

    any_text()
    assert sum(spent) / len(spent) < CPU_SECONDS


def test_the_longest_message_is_read_at_once_and_half_of_it_in_about_half_the_time(rules: SafetyRules) -> None:
    text = ("no fever not pus but redness " * 200)[:4000]
    whole, half = cpu_seconds(rules, text), cpu_seconds(rules, text[:2000])
    assert whole <= 2.6 * half
    assert whole < CPU_SECONDS
