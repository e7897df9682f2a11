"""The reports of `needlepoint evaluate`: what is counted, from replies that are given here."""

from __future__ import annotations

from needlepoint.evaluation.answers_report import paraphrases_as_markdown


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
