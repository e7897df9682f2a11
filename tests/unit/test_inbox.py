"""The inbox on both databases: filled with the record, worked on by one at a time, found again, erased for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.clinic import read_clinic
from needlepoint.conversations import call_backs, feedback, inbox, record, reviewing, search, stepping_in
from needlepoint.conversations.call_backs import WrongNumberError
from needlepoint.conversations.models import ASKED_BY_STAFF, Attention, Conversation
from needlepoint.conversations.reception import ATTENTION
from needlepoint.conversations.record import HandedBackError, Outcome, Taken
from needlepoint.conversations.review_models import ReviewItem, SaidText
from needlepoint.conversations.reviewing import Finding, NotYoursError, Who
from needlepoint.conversations.stepping_in import TakenByOtherError
from needlepoint.db.base import Base, now
from needlepoint.db.connect import connect, connect_async
from needlepoint.db.migrate import migrate
from needlepoint.phrases import Phrases, read_phrases
from needlepoint.settings import ROOT
from needlepoint.staff import conversation_list, personal_data
from needlepoint.staff.conversation_list import Filters

AIDA, BEE = Who(1, "Nurse Aida"), Who(2, "Nurse Bee")
SECRET = "a-secret-for-tests-only-0123456789abcdef"
URGENT = {"level": "emergency_now", "findings": [{"id": "airway", "rules": ["r"]}]}
CARD = {"kind": "urgent", "topic": "urgent", "text": "Call 999", "urgency": "emergency_now"}
THREAD = {"level": "emergency_now", "cards": ["severe-allergic-reaction"], "findings": []}
ZONE = ZoneInfo("Asia/Kuala_Lumpur")

Run = Callable[[Callable[[AsyncEngine], Awaitable[Any]]], Any]


@pytest.fixture(scope="module")
def phrases() -> Phrases:
    return read_phrases(ROOT / "data" / "phrases", read_clinic(ROOT / "clinic.toml"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database of each kind that the tests of this file share."""
    from tests.conftest import new_postgres

    if request.param == "sqlite":
        made = f"sqlite:///{tmp_path_factory.mktemp('inbox') / 'test.db'}"
        migrate(connect(made))
        yield made
        return
    with new_postgres(request.getfixturevalue("postgres_server")) as made:
        engine = connect(made)
        migrate(engine)
        engine.dispose()
        yield made


@pytest.fixture
def run(address: str) -> Run:
    """Runs an async scenario on an empty record."""

    def scenario(body: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            database = connect_async(address)
            try:
                async with database.begin() as connection:
                    await connection.execute(delete(Conversation))
                    await connection.execute(delete(Attention))
                return await body(database)
            finally:
                await database.dispose()

        return asyncio.run(whole())

    return scenario


async def opened(database: AsyncEngine, channel: str = "web", language: str = "en") -> str:
    """A conversation that the sample passes over."""
    name = next(name for name in iter(record.new_id, "") if not inbox.is_sampled(name))
    return await record.start(database, channel, language, "1", name)


async def say(
    database: AsyncEngine, conversation: str, words: str, reply: dict[str, Any] | None = None, **outcome: Any
) -> Any:
    """One message with its outcome."""
    client_id = f"m{record.new_id()}"
    taken = await record.accept(database, conversation, client_id, words, None, [], {}, timedelta(seconds=10))
    assert isinstance(taken, Taken)
    state = await record.state_of(database, conversation)
    said = Outcome(state="answered", reply=reply or answer("hello"), slots={}, **outcome)
    return await record.commit(database, conversation, taken, state.turn_number, said)


def answer(
    words: str, kind: str = "answer", entry: str | None = None, confidence: float | None = None
) -> dict[str, Any]:
    answers = [{"entry_id": entry, "version": 2, "language": "en", "question": "?", "text": words}] if entry else []
    return {"kind": kind, "topic": "pain", "text": words, "answers": answers, "confidence": confidence}


async def urgent(database: AsyncEngine, conversation: str, words: str = "I cannot breathe") -> None:
    await record.store_urgent(
        database, conversation, f"u{record.new_id()}", words, None, [], URGENT, CARD, THREAD, now()
    )


async def counts(database: AsyncEngine) -> dict[str, int]:
    """How much waits in the queues that are not empty."""
    return {one.name: one.count for one in await reviewing.queues(database, now()) if one.count}


async def items(database: AsyncEngine, queue: str) -> list[reviewing.Item]:
    return await reviewing.waiting(database, queue, now(), 50)


# -- filling ------------------------------------------------------------------------------------------------------


def test_each_outcome_puts_its_conversation_into_the_queue_it_belongs_to(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        await say(database, conversation, "does it hurt?", answer("a little"))
        assert await counts(database) == {}
        await say(database, conversation, "what is the capital of france", answer("I do not know", "decline"))
        await say(database, conversation, "and cream", answer("which one?", "clarify"))
        await say(database, conversation, "a person please", attention=["wants_a_person"])
        await say(database, conversation, "my cheek feels odd", queues=["missed"])
        taken = await record.accept(database, conversation, "late", "hm", None, [], {}, timedelta(seconds=9))
        down = Outcome(state="apologised", reply=answer("sorry"), attention=["engine_failure"])
        await record.commit(database, conversation, taken, None, down)
        await urgent(database, conversation)
        await record.alert_without_consent(database, URGENT, now())
        expected = {"urgent": 2, "missed": 1, "person": 1, "failure": 1, "declined": 1, "clarified": 1}
        assert await counts(database) == expected
        pressing = await items(database, "urgent")
        assert [one.text for one in pressing] == ["I cannot breathe", None]
        assert all(one.pressing and one.findings == ["airway"] for one in pressing)

    run(scenario)


def test_what_comes_later_joins_the_open_item_and_wakes_it(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        for words in ("one thing here", "quite another matter"):
            await say(database, conversation, words, answer("I do not know", "decline"))
        [item] = await items(database, "declined")
        assert (item.times, item.text) == (2, "quite another matter")
        await reviewing.snooze(database, item.id, now() + timedelta(hours=1), AIDA, now())
        assert await counts(database) == {}
        assert [one.id for one in await reviewing.snoozed(database, "declined", now(), 9)] == [item.id]
        await say(database, conversation, "something third now", answer("I do not know", "decline"))
        assert await counts(database) == {"declined": 1}

    run(scenario)


def test_the_same_question_in_other_words_is_noticed_and_a_follow_up_is_not(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        await say(database, conversation, "how long will my face be red", answer("a", entry="redness"))
        await say(database, conversation, "when can I use makeup", answer("b", entry="makeup"))
        assert "rephrased" not in await counts(database)
        await say(database, conversation, "when can I put on make-up", answer("c", entry="cosmetics"))
        assert (await counts(database))["rephrased"] == 1
        await say(database, conversation, "concealer?", answer("d", entry="cosmetics"))
        assert [one.times for one in await items(database, "rephrased")] == [2]

    run(scenario)


def test_a_thumb_down_is_a_queue_and_the_list_shows_it_until_it_is_taken_back(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        known = await say(database, conversation, "does it hurt?")
        await feedback.give(database, conversation, known.event, feedback.Feedback(False), "MY")
        assert (await counts(database))["thumbs_down"] == 1
        assert (await listed(database, feedback="not_helpful"))[0].id == conversation
        await feedback.give(database, conversation, known.event, feedback.Feedback(True), "MY")
        assert (await listed(database, feedback="helpful"))[0].id == conversation

    run(scenario)


def test_the_sample_is_five_of_a_hundred_and_the_same_every_time(run: Run) -> None:
    names = [f"conversation-{number}" for number in range(4000)]
    sampled = [name for name in names if inbox.is_sampled(name)]
    assert 0.035 < len(sampled) / len(names) < 0.065

    async def scenario(database: AsyncEngine) -> None:
        for name in (sampled[0], next(name for name in names if not inbox.is_sampled(name))):
            await record.start(database, "web", "en", "1", name)
            for words in ("does it hurt?", "and the price"):
                await say(database, name, words)
        assert [(one.conversation, one.times) for one in await items(database, "sample")] == [(sampled[0], 1)]

    run(scenario)


def test_what_staff_ask_by_command_is_in_no_queue(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await record.start(database, ASKED_BY_STAFF, "en", "staff")
        await say(database, conversation, "hm", answer("no", "decline"), attention=["wants_a_person"])
        await urgent(database, conversation)
        assert [one.count for one in await reviewing.queues(database, now())] == [0] * len(inbox.QUEUES)

    run(scenario)


def test_every_reason_for_attention_has_its_queue() -> None:
    assert inbox.reasons_without_queue(ATTENTION.values()) == set()


# -- working ------------------------------------------------------------------------------------------------------


def test_two_reviewers_never_hold_the_same_item(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        for _ in range(6):
            conversation = await opened(database)
            await say(database, conversation, "hm", answer("no", "decline"))
        everybody = [Who(number, f"Nurse {number}") for number in range(1, 9)]
        taken = await asyncio.gather(*(reviewing.take_next(database, "declined", one, now()) for one in everybody))
        got = [one for one in taken if one is not None]
        assert len(got) == len(set(got)) == 6
        mine = next(who for who, one in zip(everybody, taken, strict=True) if one is not None)
        other = next(who for who in everybody if who != mine)
        item = taken[everybody.index(mine)]
        assert item is not None
        for refused in (
            reviewing.take(database, item, other, now()),
            reviewing.finish(database, item, 1, other, now()),
            reviewing.snooze(database, item, now(), other, now()),
            reviewing.assign(database, item, other, other, now()),
        ):
            with pytest.raises(NotYoursError, match=f"{mine.name} is looking at this"):
                await refused
        later = now() + reviewing.LEASE + timedelta(seconds=1)
        await reviewing.take(database, item, other, later)
        with pytest.raises(NotYoursError, match=other.name):
            await reviewing.finish(database, item, 1, mine, later)

    run(scenario)


def test_an_item_left_to_somebody_is_offered_to_nobody_else(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        for _ in range(2):
            conversation = await opened(database)
            await say(database, conversation, "hm", answer("no", "decline"))
        first, second = await items(database, "declined")
        await reviewing.assign(database, first.id, BEE, AIDA, now())
        assert await reviewing.take_next(database, "declined", AIDA, now()) == second.id
        assert await reviewing.take_next(database, "declined", BEE, now()) == first.id
        assert await reviewing.take_next(database, "declined", AIDA, now(), but=[second.id]) is None

    run(scenario)


def test_being_done_acknowledges_what_is_urgent_and_shows_in_the_list(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        await urgent(database, conversation)
        assert (await listed(database, review="open"))[0].id == conversation
        [item] = await items(database, "urgent")
        await reviewing.finish(database, item.id, 1, AIDA, now())
        async with database.connect() as connection:
            rows = (await connection.execute(select(Attention.acknowledged_by))).all()
        assert [tuple(row) for row in rows] == [("Nurse Aida",)]
        [line] = await listed(database, review="done", reviewer="Nurse Aida", urgency="emergency_now")
        assert (line.id, line.reviewer) == (conversation, "Nurse Aida")
        with pytest.raises(NotYoursError, match="Nurse Aida has finished this already"):
            await reviewing.finish(database, item.id, 1, BEE, now())
        await urgent(database, conversation)
        assert (await counts(database))["urgent"] == 1, "a new red flag is a new item"

    run(scenario)


def test_what_came_before_consent_is_acknowledged_one_by_one(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        for _ in range(2):
            await record.alert_without_consent(database, URGENT, now())
        first, second = await items(database, "urgent")
        await reviewing.finish(database, first.id, first.times, AIDA, now())
        assert [(one.id, one.pressing) for one in await items(database, "urgent")] == [(second.id, True)]

    run(scenario)


def test_nobody_is_done_with_what_they_have_not_seen(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        await urgent(database, conversation)
        [item] = await items(database, "urgent")
        await urgent(database, conversation, "now my lips swell")
        with pytest.raises(NotYoursError, match="Something came since"):
            await reviewing.finish(database, item.id, item.times, AIDA, now())
        [again] = await items(database, "urgent")
        await reviewing.finish(database, again.id, again.times, AIDA, now())
        assert await counts(database) == {}

    run(scenario)


# -- the list and search ------------------------------------------------------------------------------------------


async def listed(database: AsyncEngine, **filters: str) -> list[conversation_list.Listed]:
    return (await conversation_list.page(database, ZONE, Filters(**filters))).lines


def test_the_list_is_filtered_by_everything_it_shows(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        mine = await opened(database, language="ms")
        provenance = {"intent": {"name": "ask_pain"}, "entities": [{"entity": "product", "value": "makeup"}]}
        reply = answer("a little", entry="does-it-hurt", confidence=0.35)
        await say(database, mine, "sakit tak", reply, provenance=provenance)
        await say(database, mine, "betul ke", answer("ya", "smalltalk", confidence=0.9))
        other = await opened(database, "telegram")
        await say(database, other, "hi there", answer("hello", "decline", confidence=0.95))
        today = datetime.now(ZONE).date().isoformat()
        for filters in (
            {"channel": "web"},
            {"language": "ms"},
            {"outcome": "smalltalk"},
            {"review": "none", "channel": "web"},
            {"turns": "2"},
            {"below": "40"},
            {"intent": "ask_pain"},
            {"entity": "product"},
            {"entry": "does-it-hurt"},
            {"entry": "does-it-hurt", "version": "2"},
            {"first": today, "last": today, "channel": "web"},
            {"q": "sakit", "channel": "web"},
        ):
            assert [line.id for line in await listed(database, **filters)] == [mine], filters
        for filters in (
            {"entry": "does-it-hurt", "version": "1"},
            {"last": "2020-01-01"},
            {"q": "sakit", "side": "staff"},
        ):
            assert await listed(database, **filters) == [], filters
        assert len(await listed(database, first="no day", turns="x", below="?", version="-1")) == 2
        [line] = await listed(database, channel="web")
        assert (line.turns, line.lowest_confidence, line.outcome) == (2, 0.35, "smalltalk")
        facts = await conversation_list.known_facts(database)
        assert facts == {"intent": ["ask_pain"], "entity": ["product"], "entry": ["does-it-hurt"]}

    run(scenario)


def test_pages_go_on_where_the_last_one_ended_even_if_something_comes_in_between(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation_list, "PAGE_SIZE", 2)
    monkeypatch.setattr(conversation_list, "PORTION", 3)
    monkeypatch.setattr(conversation_list, "LATEST_LINES", 4)

    async def scenario(database: AsyncEngine) -> None:
        made = []
        for number in range(5):
            made.append(await opened(database))
            await say(database, made[-1], f"needles number {number}", answer("we use needles"))
        for filters in (Filters(), Filters(q="needles")):
            seen: list[str] = []
            after = ""
            while True:
                page = await conversation_list.page(database, ZONE, filters, after)
                seen += [line.id for line in page.lines]
                if not after:
                    newest = await opened(database)
                    await say(database, newest, "needles came later")
                if page.next is None:
                    break
                after = page.next
            assert seen == made[::-1], filters
            await record.erase(database, newest)
        for nonsense in ("%%%", "AAAA", "bm90IGEgdGltZSB4", "é"):
            assert len((await conversation_list.page(database, ZONE, Filters(), nonsense)).lines) == 2

    run(scenario)


def test_search_finds_both_sides_by_the_beginnings_of_words(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        await say(
            database, conversation, "Is make-up/concealer fine? it's for my sister's wedding", answer("Wait a day.")
        )
        for q in ("concealer", "MAKE-UP", "wedd sister", "'; DROP TABLE said_text; --", '"concealer" OR *', "sister's"):
            wanted = [] if "DROP" in q or "OR" in q else [conversation]
            assert [line.id for line in await listed(database, q=q)] == wanted, q
        assert [line.id for line in await listed(database, q="wait", side="assistant")] == [conversation]
        assert await listed(database, q="wait", side="person") == []
        assert await listed(database, q="ncealer") == [], "words are found from their beginning"
        [line] = await listed(database, q="conceal")
        assert line.hit is not None and search.Piece("concealer", True) in line.hit[1]

    run(scenario)


def test_an_excerpt_is_pieces_of_text_and_never_markup() -> None:
    line = "<img src=x onerror=alert(1)> " + "word " * 60 + "needle here"
    pieces = search.excerpt(line, ["need"])
    assert [one.text for one in pieces if one.found] == ["needle"]
    assert "".join(one.text for one in pieces).startswith("… word")
    assert search.marked("<b>red</b>", ["red"]) == [("<b>", False), ("red", True), ("</b>", False)]


def test_erasing_leaves_nothing_of_a_conversation_in_any_table_or_index(run: Run, address: str) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        await say(database, conversation, "my unforgettable xylophone", answer("xylophone it is", "decline"))
        await urgent(database, conversation)
        await reviewing.add_finding(database, conversation, Finding(note="xylophone"), AIDA, now())
        await record.erase(database, conversation)
        assert await listed(database, q="xylophone") == []
        async with database.connect() as connection:
            for table in Base.metadata.tables.values():
                if "conversation_id" in table.columns:
                    assert (await connection.execute(select(table))).all() == [], table.name
            if database.dialect.name == "sqlite":
                words = await connection.execute(
                    text("SELECT rowid FROM said_words WHERE said_words MATCH 'xylophone'")
                )
                assert words.all() == []

    run(scenario)
    if address.startswith("sqlite"):
        for file in Path(address.removeprefix("sqlite:///")).parent.iterdir():
            assert b"xylophone" not in file.read_bytes(), f"{file.name} still holds what was erased"


# -- stepping in --------------------------------------------------------------------------------------------------


def test_one_member_of_staff_answers_and_the_person_is_told_once(run: Run, phrases: Phrases) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        await say(database, conversation, "does it hurt?")
        with pytest.raises(TakenByOtherError, match="step in first"):
            await stepping_in.write(database, conversation, 1, "Nurse Aida", "hello")
        for _ in range(2):
            await stepping_in.take(database, phrases, conversation, 1, "Nurse Aida")
        with pytest.raises(TakenByOtherError, match="Nurse Aida has this"):
            await stepping_in.take(database, phrases, conversation, 2, "Nurse Bee")
        with pytest.raises(TakenByOtherError, match="Nurse Aida has this"):
            await stepping_in.write(database, conversation, 2, "Nurse Bee", "hello")
        await stepping_in.write(database, conversation, 1, "Nurse Aida", "Hello, **Aida** here")
        await stepping_in.give_back(database, phrases, conversation, 1)
        sent = await record.events_after(database, conversation, 1)
        assert [one.sender for one in sent] == ["assistant", "staff", "assistant"]
        assert sent[1].reply is not None and sent[1].reply["text"] == "Hello, **Aida** here"
        assert [one.event for one in sent] == [2, 3, 4]
        assert [line.id for line in await listed(database, q="aida", side="staff")] == [conversation]

    run(scenario)


def test_a_message_that_was_left_to_staff_who_just_went_is_not_lost(run: Run, phrases: Phrases) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        await stepping_in.take(database, phrases, conversation, 1, "Nurse Aida")
        taken = await record.accept(database, conversation, "m1", "hello?", None, [], {}, timedelta(seconds=9))
        await stepping_in.give_back(database, phrases, conversation, 1)
        left = Outcome(state="answered", reply=None, slots={}, with_staff=True)
        with pytest.raises(HandedBackError):
            await record.commit(database, conversation, taken, 0, left)
        assert await record.commit(
            database, conversation, taken, 0, Outcome(state="answered", reply=answer("hi"), slots={})
        )

    run(scenario)


def test_when_the_promised_time_is_over_one_line_says_so_and_the_assistant_is_back(run: Run, phrases: Phrases) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        await stepping_in.take(database, phrases, conversation, 1, "Nurse Aida")
        late = now() + timedelta(minutes=phrases.clinic.staff_chat.answer_within + 1)
        assert await stepping_in.end_what_was_promised(database, phrases, now()) == []
        both = await asyncio.gather(*(stepping_in.end_what_was_promised(database, phrases, late) for _ in range(3)))
        assert sorted(map(len, both)) == [0, 0, 1]
        sent = await record.events_after(database, conversation, 1)
        assert [one.reply and one.reply["text"] for one in sent] == [phrases.say("staff_not_there", "en")]
        assert (await record.state_of(database, conversation)).taken_by_id is None
        assert (await counts(database))["person"] == 1
        await stepping_in.take(database, phrases, conversation, 1, "Nurse Aida")
        await stepping_in.write(database, conversation, 1, "Nurse Aida", "here I am")
        assert await stepping_in.end_what_was_promised(database, phrases, late) == [], "nobody waits for a word"

    run(scenario)


# -- numbers, and everything that is stored -----------------------------------------------------------------------


def test_a_number_to_call_is_encrypted_replaced_and_deleted_once_called(
    run: Run, phrases: Phrases, address: str
) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        for wrong in ("12", "call me", "<script>", "999999999999999999"):
            with pytest.raises(WrongNumberError):
                await call_backs.leave(database, SECRET, phrases, conversation, wrong, None)
        await call_backs.leave(database, SECRET, phrases, conversation, "03-1111 2222", "mornings")
        await call_backs.leave(database, SECRET, phrases, conversation, "012-345 6789", "or 013-333 4444")
        [one] = await call_backs.requests(database, SECRET)
        assert (one.number, one.best_time) == ("+60 12-345 6789", "or [phone]")
        assert call_backs.masked(one.number) == "+•• ••-••• ••89"
        assert [other.number for other in await call_backs.requests(database, "x" * 40)] == [None]
        assert (await counts(database))["person"] == 1
        assert await call_backs.change(database, one.id, "not_reached", "Nurse Aida")
        assert await call_backs.change(database, one.id, "done", "Nurse Aida")
        assert not await call_backs.change(database, one.id, "new", "Nurse Bee")
        assert [other.number for other in await call_backs.requests(database, SECRET)] == [None]

    run(scenario)
    if address.startswith("sqlite"):
        assert b"345 6789" not in Path(address.removeprefix("sqlite:///")).read_bytes()


def test_an_export_holds_every_table_of_a_person_masked_unless_it_is_whole(run: Run, phrases: Phrases) -> None:
    async def scenario(database: AsyncEngine) -> None:
        conversation = await opened(database)
        known = await say(database, conversation, "hm", answer("no", "decline"))
        await feedback.give(database, conversation, known.event, feedback.Feedback(False, comment="useless"), "MY")
        await call_backs.leave(database, SECRET, phrases, conversation, "012-345 6789", None)
        await stepping_in.take(database, phrases, conversation, 1, "Nurse Aida")
        await stepping_in.write(database, conversation, 1, "Nurse Aida", "hello")
        await reviewing.add_finding(database, conversation, Finding(severity="minor", tags=["x"]), AIDA, now())
        masked = await personal_data.export(database, SECRET, conversation, whole=False)
        whole = await personal_data.export(database, SECRET, conversation, whole=True)
        assert masked is not None and whole is not None
        # What is derived from the rest is not given out twice.
        derived = {SaidText.__tablename__, "conversation_fact"}
        stored = {name for name, table in Base.metadata.tables.items() if "conversation_id" in table.columns}
        assert stored - derived <= masked.keys()
        assert all(masked[name] for name in ("message", "turn", "outbox", "review_item", "review", "feedback"))
        assert "Nurse Aida" not in str(masked) and "Nurse Aida" in str(whole)
        assert (masked["call_back"][0]["number"], whole["call_back"][0]["number"]) == (
            "+•• ••-••• ••89",
            "+60 12-345 6789",
        )
        assert await personal_data.export(database, SECRET, "nobody", whole=True) is None

    run(scenario)


def test_a_finding_belongs_to_a_message_of_its_conversation(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        one, other = [await opened(database) for _ in range(2)]
        known = await say(database, one, "hm")
        finding = Finding(message=known.row, right_entry="does-it-hurt", missed_red_flag=True, severity="could_harm")
        assert await reviewing.add_finding(database, one, finding, AIDA, now())
        assert not await reviewing.add_finding(database, other, finding, AIDA, now())
        assert not await reviewing.add_finding(database, "nobody", Finding(note="x"), AIDA, now())
        assert [(found.by, found.finding) for found in await reviewing.findings(database, one)] == [
            ("Nurse Aida", finding)
        ]

    run(scenario)


def test_numbers_of_erased_items_are_not_given_again(run: Run) -> None:
    async def scenario(database: AsyncEngine) -> None:
        ids = []
        for _ in range(2):
            conversation = await opened(database)
            await say(database, conversation, "hm", answer("no", "decline"))
            async with database.connect() as connection:
                ids.append(await connection.scalar(select(ReviewItem.id).where(ReviewItem.queue == "declined")))
            await record.erase(database, conversation)
        assert ids[0] != ids[1]

    run(scenario)
