"""The reports of `needlepoint evaluate`: what is counted, from replies that are given here."""

from __future__ import annotations

from pathlib import Path

import pytest

from needlepoint.evaluation.answers_report import Scored, paraphrases_as_markdown, reliability, risk_coverage
from needlepoint.evaluation.pictures import PicturesError, draw


def scored(outcome: str, confidence: float, given_topic: str = "pain", kind: str = "answer") -> Scored:
    return Scored(
        text="?", expect=["pain-level"], outcome=outcome, given="", confidence=confidence, kind=kind, topic="pain",
        given_topic=given_topic, pattern="plain", lang="en", latency_ms=1.0,
    )  # fmt: skip


ANSWERED = [scored("right", 0.95)] * 8 + [scored("wrong", 0.65, "aftercare"), scored("right", 0.65)]
NOT_ANSWERED = [scored("declined", 0.1, kind="decline"), scored("clarified", 0.3, kind="clarify")]


def test_confidence_is_compared_with_what_was_right() -> None:
    lines = reliability([*ANSWERED, *NOT_ANSWERED])
    assert "| 0.6 to 0.7 | 2 | 0.65 | 0.50 |" in lines
    assert "| 0.9 to 1.0 | 8 | 0.95 | 1.00 |" in lines
    assert "Expected calibration error of answers: 0.070." in lines


def test_the_risk_of_giving_only_the_surest_answers_is_counted_of_all_questions() -> None:
    lines = risk_coverage([*ANSWERED, *NOT_ANSWERED])
    assert "| 0.95 | 67% | 0.0% |" in lines
    assert "| 0.65 | 83% | 10.0% |" in lines


def test_the_pictures_show_the_figures_and_are_the_same_each_time(tmp_path: Path) -> None:
    shown = draw([*ANSWERED, *NOT_ANSWERED], tmp_path, "some")
    assert [line for line in shown if line] == [
        "![Confidence of answers against the share that was right](some-reliability.svg)",
        "![Share of wrong answers against the share of questions answered](some-risk.svg)",
        "![Topics that were asked about against the topics of the replies](some-confusion.svg)",
    ]
    confusion = (tmp_path / "some-confusion.svg").read_text(encoding="utf-8")
    for word in ("aftercare", "declined", "asked back", ">9<"):
        assert word in confusion
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    draw([*ANSWERED, *NOT_ANSWERED], tmp_path, "some")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first


def test_pictures_of_no_answer_at_all_are_drawn(tmp_path: Path) -> None:
    draw(NOT_ANSWERED, tmp_path, "none")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(PicturesError, match=r"taken.*name another folder"):
        draw(ANSWERED, tmp_path / "taken", "some")


def test_wordings_of_one_question_are_counted_by_what_they_were_given() -> None:
    steady = ["makeup-after"] * 19 + ["clarify"]
    unsteady = ["bruising"] * 5 + ["redness-duration"] * 15
    lines = paraphrases_as_markdown({"makeup-after": steady, "bruising": unsteady})
    assert lines[0] == "| 2 questions in 40 wordings | |"
    assert lines[2].startswith("| the reply that most wordings of the question got | 34 of 40 = 85.0%")
    assert lines[3].startswith("| the entry that answers it best | 24 of 40 = 60.0%")
    assert lines[4].startswith("| questions of which 95% of the wordings got that one | 1 of 2")
    assert "| bruising | redness-duration 15, bruising 5 |" in lines
    assert lines.index("| bruising | redness-duration 15, bruising 5 |") < len(lines) - 2, "the worst stands first"
