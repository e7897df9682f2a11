"""What a test of a draft says about it."""

from __future__ import annotations

import msgspec
import pytest

from needlepoint.faq.trial import Line, Outcome, Trial, outcome_of


def line(outcome: Outcome, today: Outcome | None = None) -> Line:
    return Line("does it hurt", "does-it-hurt", "own", outcome, "", "", today)


def verdict(*lines: Line, due: int | None = None, **other: object) -> tuple[str, str]:
    trial = Trial("does-it-hurt", 2, [], list(lines), len(lines) if due is None else due, 0, 1.0)
    return msgspec.structs.replace(trial, **other).verdict


@pytest.mark.parametrize(
    "kind, given, outcome",
    [
        ("answer", ["other", "does-it-hurt"], "right"),
        ("answer", ["other"], "wrong"),
        ("urgent", [], "wrong"),
        ("clarify", [], "clarified"),
        ("decline", [], "declined"),
        ("handover", [], "declined"),
        ("smalltalk", [], "wrong"),
    ],
)
def test_what_came_is_judged_by_what_was_given(kind: str, given: list[str], outcome: str) -> None:
    assert outcome_of("does-it-hurt", kind, given) == outcome


def test_all_right_is_good_and_what_goes_wrong_today_too_is_only_told() -> None:
    assert verdict(line("right"), line("right")) == ("good", "2 questions asked, and each got the right answer.")
    assert verdict(line("right"), line("wrong", "wrong")) == (
        "care",
        "No worse than today. 1 of 2 questions goes wrong today too.",
    )


def test_a_draft_that_takes_something_away_or_needs_mending_is_not_ready() -> None:
    assert verdict(line("wrong", "right"), line("clarified", "right"))[1].startswith("Not ready: 2 questions that")
    both = verdict(line("declined", "right"), problems=["reading grade 11.0"])
    assert both == (
        "bad",
        "Not ready: 1 thing to mend in the draft and 1 question that would go wrong only with this draft.",
    )


def test_a_new_wording_that_gets_another_answer_today_is_told() -> None:
    taken = msgspec.structs.replace(line("right", "wrong"), takes_from="How long will I be red?")
    mark, sentence = verdict(taken, line("right"))
    assert mark == "care" and sentence.startswith("1 new wording would get this answer")


def test_what_was_not_asked_is_never_called_good() -> None:
    assert verdict(line("right"), due=3) == (
        "care",
        "1 question asked, and each got the right answer. 2 wordings could not be asked in time.",
    )
    assert verdict(due=3)[0] == "bad"
    assert verdict(line("right"), used_draft=False) == (
        "bad",
        "The draft was not used: questions are answered by another server. Only the checks below count.",
    )
