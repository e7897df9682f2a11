"""The decision table of the safety net: what it decides, and how its thresholds are chosen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from needlepoint.evaluation.safety_thresholds import Case, as_markdown, choose, count
from needlepoint.reply import Urgency
from needlepoint.safety import LEVELS
from needlepoint.safety.assessment import FEW_WORDS, Decision, Evidence, Thresholds, Trust, decide
from needlepoint.safety.second_reader import SecondReading
from needlepoint.settings import ROOT

TABLE = Thresholds(
    found=0.1,
    found_in_its_sentence=0.5,
    nothing_found=Trust(0.4, 0.3),
    few_words=Trust(0.9, 0.6),
    lesser_in_few_words=Trust(0.95, 0.7),
    self_harm_in_few_words=Trust(0.95, 0.5),
    excused=Trust(0.6, 0.2),
    emergency_from=0.5,
)


def seen(
    urgent: float, found: Urgency = "none", *, words: int = FEW_WORDS + 1, excused: bool = False, emergency: float = 0.0
) -> Evidence:
    return Evidence(found, excused, words, SecondReading(urgent, emergency, "same_day", "skin-infection", whole=True))


@pytest.mark.parametrize(
    ("of", "raises", "asks"),
    [
        (seen(0.1, "same_day"), "none", False),
        (seen(0.09, "same_day"), "none", True),
        (seen(0.09, "same_day")._replace(in_its_sentence=0.5), "none", False),
        (seen(0.0, "same_day", words=FEW_WORDS), "none", False),
        (seen(0.9, "same_day", emergency=0.5), "emergency_now", False),
        (seen(0.9, "emergency_now", emergency=0.9), "none", False),
        (seen(0.4), "same_day", False),
        (seen(0.3), "none", True),
        (seen(0.29), "none", False),
        (seen(0.4, words=FEW_WORDS), "none", False),
        (seen(0.9, words=FEW_WORDS), "same_day", False),
        (seen(0.9, "contact_clinic", words=FEW_WORDS), "none", True),
        (seen(0.5, excused=True), "none", True),
        (seen(0.7, excused=True, words=FEW_WORDS), "none", True),
        (seen(0.4, "contact_clinic"), "same_day", False),
    ],
)
def test_what_rules_and_reader_hold_decides(of: Evidence, raises: Urgency, asks: bool) -> None:
    assert decide(of, TABLE) == Decision(raises, asks)


def test_what_was_read_in_part_only_speaks_against_no_rule() -> None:
    of = seen(0.0, "emergency_now")
    assert not decide(of._replace(reader=SecondReading(0.0, 0.0, "same_day", "", whole=False)), TABLE).asks


@pytest.mark.parametrize("found", LEVELS)
def test_the_surer_the_reader_the_more_is_noticed(found: Urgency) -> None:
    noticed = [count([Case("same_day", seen(step / 100, found))], TABLE).noticed for step in range(101)]
    assert noticed == sorted(noticed) and noticed[-1] == 1


def cases(*urgent: float, harmless: tuple[float, ...] = ()) -> list[Case]:
    return [
        *(Case("same_day", seen(at), played_down=True) for at in urgent),
        *(Case("none", seen(at)) for at in harmless),
    ]


def test_no_message_is_lost_where_no_harmless_one_is_as_alarming() -> None:
    chosen = choose({"some": cases(0.12, 0.5, 0.9, harmless=(0.02,) * 40)}, TABLE)
    made = count(cases(0.12, 0.5, 0.9, harmless=(0.02,) * 40), chosen)
    assert (made.noticed, made.played_down_carded, made.false_alarms) == (3, 3, 0)


def test_in_no_file_more_harmless_messages_alarm_than_are_borne() -> None:
    files = {"learnt": cases(0.9, harmless=(0.01,) * 900), "not learnt": cases(0.3, 0.9, harmless=(0.35,) * 30)}
    chosen = choose(files, TABLE)
    assert count(files["not learnt"], chosen).false_alarms == 0
    assert count(files["not learnt"], chosen).noticed == 1


def test_wordings_that_alarm_weigh_on_their_own() -> None:
    wordings = [Case("none", seen(0.7, words=3), wording=True)] * 50
    files = {"some": [Case("same_day", seen(0.65, words=3))], "stored wordings": wordings}
    chosen = choose(files, TABLE)
    assert count(wordings, chosen).alarming_wordings == 0
    assert "| stored wordings |" in as_markdown("chosen", files, chosen)[-2]


def test_thresholds_are_never_chosen_on_a_test_half() -> None:
    file = Path("tests") / "evaluation" / "safety" / "messages-test.jsonl"
    command = [sys.executable, "-m", "needlepoint", "evaluate", "--safety", "--thresholds", str(file)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "is a test half, which is only measured on" in ran.stderr
