"""Which questions count as not answered, what is suggested for them, and which real questions a draft is tried with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from needlepoint.conversations.asked import lately_answered
from needlepoint.conversations.models import Conversation, Feedback, Message, Outgoing
from needlepoint.conversations.review_models import ConversationFact, Review, ReviewItem
from needlepoint.db.base import now
from needlepoint.db.connect import connect
from needlepoint.db.migrate import migrate
from needlepoint.faq import store
from needlepoint.faq.files import read_folder
from needlepoint.settings import ROOT
from needlepoint.staff import conversation_list
from needlepoint.staff.unanswered import Unanswered, said, unanswered

AT = now() - timedelta(days=2)
GIVEN = {"kind": "answer", "answers": [{"entry_id": "does-it-hurt", "version": 1}]}


def declined(**candidates: float) -> dict[str, Any]:
    likeliest = [{"entry": name.replace("_", "-"), "probability": share} for name, share in candidates.items()]
    return {"kind": "decline", "topic": "out_of_scope", "why": {"candidates": likeliest}}


@pytest.fixture
def database(database_address: str) -> Iterator[Engine]:
    engine = connect(database_address)
    migrate(engine)
    store.load(engine, read_folder(ROOT / "data" / "faq"))
    yield engine
    engine.dispose()


def asked(
    engine: Engine, name: str, text: str, reply: dict[str, Any], queue: str | None = "declined", channel: str = "web",
    feedback: str | None = None, right_entry: str | None = None, age: int = 0,
) -> int:  # fmt: skip
    """A conversation of one question; returns the number of its message."""
    at = AT - timedelta(days=age)
    with Session(engine) as session, session.begin():
        session.add(Conversation(id=name, channel=channel, language="en", created_at=at, last_at=at, turns=1))
        session.flush()
        message = Message(
            conversation_id=name, seq=1, client_id="12345678", text=text, accepted_at=at, lease_until=at,
            state="answered",
        )  # fmt: skip
        session.add(message)
        session.flush()
        sent = Outgoing(conversation_id=name, event=1, message_id=message.id, reply=reply, created_at=at)
        session.add(sent)
        session.flush()
        if queue:
            session.add(ReviewItem(queue=queue, conversation_id=name, message_id=message.id, created_at=at))
        if feedback:
            session.add(Feedback(outbox_id=sent.id, helpful=feedback == "helpful", reason=None if feedback == "helpful"
                                 else feedback, given_at=at))  # fmt: skip
        if right_entry:
            session.add(
                Review(
                    conversation_id=name, message_id=message.id, by_id=1, by="Dr Lim", at=at, right_entry=right_entry
                )
            )
        for answer in reply.get("answers", []):
            for kind, value in (
                ("entry", answer["entry_id"]),
                ("version", f"{answer['entry_id']} {answer['version']}"),
            ):
                session.add(ConversationFact(kind=kind, value=value, conversation_id=name))
        return message.id


def entries(found: Unanswered) -> dict[str | None, list[str]]:
    return {group.entry: [one.text for one in group.questions] for group in found.groups}


def test_a_question_stands_with_what_was_pointed_to_else_with_what_was_likeliest(database: Engine) -> None:
    asked(database, "a", "will it sting", declined(does_it_hurt=0.4, rf_pain=0.3))
    asked(database, "b", "Will it  STING", declined(does_it_hurt=0.5))
    asked(database, "c", "zorblax?", declined(does_it_hurt=0.02))
    asked(database, "d", "will it throb", declined(does_it_hurt=0.9), right_entry="pain-after-treatment")
    asked(database, "e", "hurts?", GIVEN, "thumbs_down", feedback="hard_to_understand")
    asked(database, "f", "price?", {"kind": "decline", "why": {"withheld": "price-of-the-home-kit"}})
    asked(
        database,
        "g",
        "or this?",
        {"kind": "clarify", "topic": "pain", "why": declined(rf_pain=0.3)["why"]},
        "clarified",
    )
    found = unanswered(database, None, AT - timedelta(days=1))
    assert entries(found) == {
        "does-it-hurt": ["hurts?", "Will it  STING"],
        "pain-after-treatment": ["will it throb"],
        "price-of-the-home-kit": ["price?"],
        "rf-pain": ["or this?"],
        None: ["zorblax?"],
    }
    assert found.groups[0].times == 3 and found.counts == {
        "declined": 4, "clarified": 1, "not_helpful": 1, "corrected": 1,
    }  # fmt: skip
    by_entry = {group.entry: group for group in found.groups}
    assert by_entry["price-of-the-home-kit"].withheld and not by_entry["rf-pain"].withheld
    assert "up to 50% likely" in by_entry["does-it-hurt"].why
    assert by_entry["pain-after-treatment"].questions[0].note == "Dr Lim found: pain-after-treatment"
    assert entries(unanswered(database, None, AT - timedelta(days=1), "clarified")) == {"rf-pain": ["or this?"]}


def test_what_was_answered_what_staff_asked_and_what_is_old_stays_out(database: Engine) -> None:
    asked(database, "a", "does it hurt", GIVEN, None)
    asked(database, "b", "a safety question", {"kind": "clarify", "topic": "urgent"}, "clarified")
    mine = asked(database, "c", "what staff tried", declined(), channel="ask")
    asked(database, "d", "long ago", declined(), age=90)
    theirs = asked(database, "e", "a [phone]", declined())
    assert [
        one.text for group in unanswered(database, None, AT - timedelta(days=1)).groups for one in group.questions
    ] == ["a [phone]"]
    assert said(database, theirs) == "a [phone]" and said(database, mine) is None and said(database, 10**9) is None


def test_a_draft_is_tried_with_first_messages_that_got_the_entry_alone(database: Engine) -> None:
    both = {"kind": "answer", "answers": [*GIVEN["answers"], {"entry_id": "rf-pain", "version": 1}]}
    asked(database, "a", "does it hurt then", GIVEN, None, age=3)
    asked(database, "b", "ouch?", GIVEN, None, feedback="helpful", age=2)
    asked(database, "c", "ouch?", GIVEN, None)
    asked(database, "d", "not what I meant", GIVEN, "thumbs_down", feedback="not_my_question")
    asked(database, "e", "hurt, and with RF?", both, None)
    asked(database, "f", "tried by staff", GIVEN, None, channel="ask")
    with Session(database) as session:
        assert lately_answered(session, "does-it-hurt", 5) == ["ouch?", "does it hurt then"]
        assert lately_answered(session, "does-it-hurt", 1) == ["ouch?"]
        versions = conversation_list.given_versions(session.connection(), "does-it-hurt", [1, 2])
    assert versions == {1: 6}
