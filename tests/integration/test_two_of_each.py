"""Two apps and two engines on one PostgreSQL: order kept, each message answered once, whatever is killed."""

from __future__ import annotations

import concurrent.futures
import time
import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from needlepoint.db.connect import connect
from tests.conftest import new_postgres
from tests.running import Conversation, Instance, Laboratory


@pytest.fixture(scope="module")
def pair(laboratory: Laboratory, postgres_server: str) -> Any:
    with new_postgres(postgres_server) as database:
        engines = [laboratory.engine(), laboratory.engine()]
        apps = [
            laboratory.instance(engines, database=database, engine_deadline="4"),
            laboratory.instance(engines, database=database, engine_deadline="4", prepare=False),
        ]
        yield engines, apps
        for process in (*apps, *engines):
            process.end()


def through(app: Instance, conversation: Conversation) -> Conversation:
    """The same conversation, reached by another app."""
    return Conversation(app.http(), conversation.id, conversation.token)


def check_order(conversation: Conversation) -> None:
    """Every message has exactly one reply, and replies come in the order of receipt."""
    history = conversation.history()
    asked = [line["id"] for line in history if line["from"] == "person"]
    answered = [line["id"] for line in sorted(history, key=lambda x: x["event_id"] or 0) if line["from"] == "assistant"]
    assert sorted(asked) == sorted(answered)
    assert len(set(answered)) == len(answered)


def test_simultaneous_messages_through_both_apps_keep_their_order(pair: Any) -> None:
    _, apps = pair
    conversation = apps[0].conversation()
    ways = [through(app, conversation) for app in apps]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda n: ways[n % 2].say(f"number {n}: does it hurt?"), range(16)))
    assert {outcome["state"] for outcome in outcomes} == {"answered"}
    check_order(conversation)
    engine = connect(apps[0].database)
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT m.seq, t.number, o.event FROM message m JOIN turn t ON t.message_id = m.id "
                "JOIN outbox o ON o.message_id = m.id WHERE m.conversation_id = :c ORDER BY m.seq"
            ),
            {"c": conversation.id},
        ).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [(n, n, n) for n in range(1, 17)]


def test_the_same_message_through_both_apps_is_answered_once(pair: Any) -> None:
    _, apps = pair
    conversation = apps[0].conversation()
    ways = [through(app, conversation) for app in apps]
    message_id = uuid.uuid4().hex
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda n: ways[n % 2].say("does it hurt?", message_id), range(8)))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert len(conversation.history()) == 2


def test_a_reply_made_by_one_app_reaches_a_stream_on_the_other(pair: Any) -> None:
    _, apps = pair
    conversation = apps[0].conversation()
    path = f"/api/conversations/{conversation.id}/events"
    with (
        apps[1].http() as http,
        http.stream("GET", path, headers=conversation.headers, timeout=10) as stream,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        pool.submit(conversation.say, "does it hurt?")
        assert any(line.startswith("id: 1") for line in stream.iter_lines())


def test_a_withdrawal_reaches_both_apps_within_five_seconds(pair: Any) -> None:
    from needlepoint.faq import store
    from needlepoint.staff import accounts

    _, apps = pair
    engine = connect(apps[0].database)
    accounts.add(engine, "Dr Lim", "a long enough password", "approver")
    question = "When can I wear makeup again after microneedling?"
    assert all(app.conversation().say(question)["reply"]["answers"] for app in apps)
    store.withdraw(engine, ["makeup-after"], "Dr Lim")
    ends = time.monotonic() + 5
    given = [True, True]
    while any(given) and time.monotonic() < ends:
        replies = [app.conversation().say(question)["reply"] for app in apps]
        given = [any(answer["entry_id"] == "makeup-after" for answer in reply["answers"]) for reply in replies]
    assert given == [False, False]
    engine.dispose()


def test_withdrawing_the_whole_assistant_reaches_both_apps_within_five_seconds_and_so_does_resuming(pair: Any) -> None:
    from needlepoint.faq import store
    from needlepoint.staff import accounts

    _, apps = pair
    engine = connect(apps[0].database)
    accounts.add(engine, "Dr Tan", "a long enough password", "approver")

    def answered_within(seconds: float, wanted: bool) -> list[bool]:
        ends = time.monotonic() + seconds
        while True:
            replies = [app.conversation().say("Does microneedling hurt?")["reply"] for app in apps]
            answered = [bool(reply["answers"]) for reply in replies]
            if answered == [wanted, wanted] or time.monotonic() > ends:
                return answered

    assert answered_within(0, True) == [True, True]
    store.withdraw_assistant(engine, "Dr Tan", withdrawn=True)
    assert answered_within(5, False) == [False, False]
    for app in apps:
        assert app.conversation().say("my tongue is swelling and I cannot breathe")["reply"]["kind"] == "urgent"
    store.withdraw_assistant(engine, "Dr Tan", withdrawn=False)
    assert answered_within(5, True) == [True, True]
    engine.dispose()


@pytest.mark.parametrize("victim", ["engine", "app"])
def test_with_one_of_a_kind_killed_under_load_every_message_is_answered_once(pair: Any, victim: str) -> None:
    engines, apps = pair
    conversations = [apps[n % 2].conversation() for n in range(6)]

    def talk(number: int) -> list[str]:
        states = []
        for turn in range(6):
            message_id = uuid.uuid4().hex
            for attempt in range(20):
                # A client whose connection broke sends the same message again, to whichever app there is.
                way = through(apps[(number + attempt) % 2], conversations[number])
                try:
                    states.append(way.say(f"turn {turn}: does it hurt?", message_id)["state"])
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
        return states

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        talks = [pool.submit(talk, number) for number in range(6)]
        time.sleep(0.5)
        process = engines[0] if victim == "engine" else apps[0]
        process.kill()
        time.sleep(0.5)
        process.start()
        states = [state for one in talks for state in one.result()]
    assert len(states) == 36
    if victim == "engine":
        assert states == ["answered"] * 36, "the other engine should have taken the lost turns"
    assert set(states) <= {"answered", "apologised"}
    for conversation in conversations:
        live = through(apps[1], conversation)
        check_order(live)
