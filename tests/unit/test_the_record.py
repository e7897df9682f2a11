"""The record on both databases: accepted once, committed once, in order; urgent ones out of turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import record
from needlepoint.conversations.record import Known, Outcome, Taken, TooManyWaitingError, UnknownConversationError
from needlepoint.db.base import now
from needlepoint.db.connect import connect, connect_async
from needlepoint.db.migrate import migrate

ASSESSMENT = {"level": "emergency_now", "findings": [{"id": "airway", "rules": ["r"]}]}
THREAD = {"level": "emergency_now", "cards": ["severe-allergic-reaction"], "findings": []}


@pytest.fixture
def run(database_address: str) -> Callable[[Callable[[AsyncEngine], Awaitable[Any]]], Any]:
    """Runs an async scenario on an empty record."""
    engine = connect(database_address)
    migrate(engine)
    engine.dispose()

    def scenario(body: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            database = connect_async(database_address)
            try:
                return await body(database)
            finally:
                await database.dispose()

        return asyncio.run(whole())

    return scenario


async def accept(database: AsyncEngine, conversation: str, client_id: str, patience: float = 10) -> Any:
    return await record.accept(database, conversation, client_id, "hello", None, [], {}, timedelta(seconds=patience))


def outcome(state: str = "answered", text: str = "hi") -> Outcome:
    return Outcome(state=state, reply={"kind": "smalltalk", "topic": "chitchat", "text": text}, slots={})


def test_simultaneous_messages_get_a_place_each_and_no_more_than_may_wait(run: Any) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await record.start(database, "web", "en", "1")
        taken = await asyncio.gather(*(accept(database, conversation, f"m{n}") for n in range(20)))
        assert sorted(one.seq for one in taken) == list(range(1, 21))
        with pytest.raises(TooManyWaitingError):
            await accept(database, conversation, "one more")

    run(scenario)


def test_a_known_message_id_is_recognised(run: Any) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await record.start(database, "web", "en", "1")
        taken = await accept(database, conversation, "m1")
        assert isinstance(taken, Taken)
        again = await accept(database, conversation, "m1")
        assert isinstance(again, Known) and again.state == "accepted" and again.reply is None
        await record.commit(database, conversation, taken, 0, outcome())
        done = await accept(database, conversation, "m1")
        assert isinstance(done, Known) and done.state == "answered" and done.event == 1

    run(scenario)


def test_an_outcome_is_committed_once(run: Any) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await record.start(database, "web", "en", "1")
        taken = await accept(database, conversation, "m1")
        assert await record.commit(database, conversation, taken, 0, outcome())
        assert await record.commit(database, conversation, taken, 1, outcome(text="again")) is None
        history = await record.history(database, conversation)
        assert [one.sender for one in history] == ["person", "assistant"]
        assert history[1].reply is not None and history[1].reply["text"] == "hi"

    run(scenario)


def test_two_turns_of_the_same_number_cannot_both_be_committed(run: Any) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await record.start(database, "web", "en", "1")
        first, second = [await accept(database, conversation, name) for name in ("m1", "m2")]
        await record.commit(database, conversation, first, 0, outcome())
        with pytest.raises(RuntimeError, match="order"):
            await record.commit(database, conversation, second, 0, outcome())
        known = await record.find(database, conversation, "m2")
        assert known is not None and known.state == "accepted", "a refused commit must leave nothing behind"

    run(scenario)


def test_a_message_is_next_only_when_the_earlier_ones_have_their_outcome(run: Any) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await record.start(database, "web", "en", "1")
        first, second = [await accept(database, conversation, name) for name in ("m1", "m2")]
        assert await record.is_next(database, conversation, first.seq)
        assert not await record.is_next(database, conversation, second.seq)
        await record.commit(database, conversation, first, 0, outcome())
        assert await record.is_next(database, conversation, second.seq)

    run(scenario)


def test_an_urgent_message_uses_no_turn_and_what_it_overtook_is_kept_but_not_sent(run: Any) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await record.start(database, "web", "en", "1")
        taken = await accept(database, conversation, "m1")
        card = {"kind": "urgent", "topic": "urgent", "text": "call"}
        urgent = await record.store_urgent(
            database, conversation, "m2", "help", None, [], ASSESSMENT, card, THREAD, now()
        )
        assert urgent.event == 1
        again = await record.store_urgent(
            database, conversation, "m2", "help", None, [], ASSESSMENT, card, THREAD, now()
        )
        assert again.event == 1
        assert await record.commit(database, conversation, taken, 0, outcome()) is None
        state = await record.state_of(database, conversation)
        assert state.turn_number == 0 and state.turns == []
        assert state.urgent_thread == THREAD
        sent = await record.events_after(database, conversation, 0)
        assert [one.reply["kind"] for one in sent if one.reply] == ["urgent"]

    run(scenario)


def test_an_abandoned_message_is_found_when_its_lease_is_over(run: Any) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await record.start(database, "web", "en", "1")
        await accept(database, conversation, "m1", patience=5)
        assert await record.abandoned(database, now()) == []
        found = await record.abandoned(database, now() + timedelta(seconds=6))
        assert [one.conversation for one in found] == [conversation]

    run(scenario)


def test_the_last_six_turns_are_carried(run: Any) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await record.start(database, "web", "en", "1")
        for number in range(9):
            taken = await accept(database, conversation, f"m{number}")
            events = [{"event": "user", "text": str(number)}]
            done = Outcome(state="answered", reply={"kind": "answer"}, events=events, slots={"treatment": "prp"})
            await record.commit(database, conversation, taken, number, done)
        state = await record.state_of(database, conversation)
        assert [turn[0]["text"] for turn in state.turns] == ["3", "4", "5", "6", "7", "8"]
        assert state.slots == {"treatment": "prp"}

    run(scenario)


def test_erasing_leaves_nothing_and_a_late_outcome_finds_nobody(run: Any) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await record.start(database, "web", "en", "1")
        taken = await accept(database, conversation, "m1")
        assert await record.erase(database, conversation)
        other = await record.start(database, "web", "en", "1")
        await accept(database, other, "m1")  # SQLite gives it the erased row's number
        assert await record.commit(database, conversation, taken, 0, outcome()) is None
        with pytest.raises(UnknownConversationError):
            await record.history(database, conversation)
        kept = await record.find(database, other, "m1")
        assert kept is not None and kept.state == "accepted"
        assert not await record.erase(database, conversation)

    run(scenario)


def test_a_message_to_an_unknown_conversation_is_refused(run: Any) -> None:
    async def scenario(database: AsyncEngine) -> None:
        with pytest.raises(UnknownConversationError):
            await accept(database, "nowhere", "m1")

    run(scenario)
