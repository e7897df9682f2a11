"""Several questions in one message."""

import pytest

from needlepoint_engine.questions import MOST, questions_in


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("When can I wear makeup? And can I swim?", ["When can I wear makeup?", "And can I swim?"]),
        ("how long am i red and when can i train", ["how long am i red", "when can i train"]),
        (
            "had prp today, can i wash my face and what cream do i use",
            ["can i wash my face", "what cream do i use"],
        ),
        ("bila boleh pakai makeup dan berapa lama merah", ["bila boleh pakai makeup", "berapa lama merah"]),
    ],
)
def test_each_question_stands_alone_without_the_story(text: str, asked: list[str]) -> None:
    assert questions_in(text) == asked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "???",
        "does it hurt?",
        "My skin is red and dry. Is that normal?",
        "I had it on Monday, and my sister says it hurts. True?",
        "price and promo",
    ],
)
def test_a_message_with_one_question_has_no_parts(text: str) -> None:
    assert questions_in(text) == []


def test_of_many_questions_the_first_are_looked_at() -> None:
    assert len(questions_in("Can I swim? " * 300)) == MOST
