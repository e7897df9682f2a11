"""How long the desk takes to list, filter, search and show: `make bench-desk`.

Fills databases of their own with generated conversations (PostgreSQL: 100,000 with 1,000,000 messages and replies;
SQLite: 50,000), asks them what the desk asks, and prints the median, the 95th percentile, and with --plans how the
database goes about it. No engine and no browser: what is measured are the queries, and putting their rows together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import Engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import reviewing
from needlepoint.db.connect import connect, connect_async
from needlepoint.db.migrate import migrate
from needlepoint.staff import conversation_list, transcripts
from needlepoint.staff.conversation_list import Filters
from tests.conftest import new_postgres
from tests.running import POSTGRES

ZONE = ZoneInfo("Asia/Kuala_Lumpur")
#: Conversations in each, and messages and replies of each: together as many as the bounds are for.
SIZES = {"postgresql": (100_000, 5), "sqlite": (5_000, 5)}
#: Milliseconds that 95 of 100 may take.
BOUNDS = {"postgresql": 300, "sqlite": 200}
TIMES = 40

WORDS = (
    "red skin face needle makeup sun cream roller pain itch swelling day night wash gym swim coffee serum retinol "
    "vitamin acne scar price book session week month after before normal peel dry hot sting bruise mark doctor kit "
    "merah kulit muka jarum solek sakit gatal bengkak hari malam cuci harga tempah sesi minggu bulan selepas sebelum"
).split()
INTENTS = "ask_aftercare ask_pain ask_side_effects ask_preparation ask_cost_booking report_symptom ask_human".split()
ENTRIES = [f"entry-{number}" for number in range(90)]
QUEUES = ("declined", "clarified", "rephrased", "sample")

#: In the order in which they refer to each other.
TABLES = ("conversation", "message", "turn", "outbox", "said_text", "conversation_fact", "review_item")

#: What the desk asks. Rare words and values are in one of a thousand conversations.
QUESTIONS: dict[str, Filters] = {
    "list": Filters(),
    "outcome": Filters(outcome="decline"),
    "rare outcome": Filters(outcome="apologised"),
    "feedback, review": Filters(feedback="not_helpful", review="open"),
    "language, channel": Filters(language="ms", channel="telegram"),
    "confidence, turns": Filters(below="20", turns="5"),
    "days": Filters(first="2026-05-01", last="2026-05-31"),
    "reviewer": Filters(reviewer="Nurse Aida", review="done"),
    "intent": Filters(intent="ask_pain"),
    "rare entity": Filters(entity="device"),
    "entry, version": Filters(entry="entry-7", version="2"),
    "intent, outcome, days": Filters(intent="report_symptom", outcome="clarify", first="2026-03-01"),
    "search a common word": Filters(q="skin"),
    "search a rare word": Filters(q="xylophone"),
    "search two words": Filters(q="swelling retinol"),
    "search three, filtered": Filters(q="makeup sun gym", side="person", outcome="decline"),
    "search what nobody said": Filters(q="zzzz"),
    "search rare, filtered": Filters(q="xylophone", language="ms", review="open"),
}


def rows(conversations: int, turns: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """What there is to store, as (table, row)."""
    chance = random.Random(7)
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    message = 0
    for number in range(conversations):
        at = begins + timedelta(minutes=number * 500_000 / conversations)
        name = f"conversation-{number}"
        outcome = chance.choices(("answer", "clarify", "decline", "apologised"), (80, 11, 8.9, 0.1))[0]
        state = chance.choices(("none", "open", "done"), (70, 10, 20))[0]
        yield "conversation", {
            "id": name, "channel": chance.choice(("web", "web", "telegram")),
            "language": chance.choice(("en", "en", "ms")), "created_at": at, "last_at": at + timedelta(minutes=turns),
            "consent": "1", "slots": "{}",
            "open_question": "[]", "next_seq": turns + 1, "turn_number": turns, "last_event": turns, "turns": turns,
            "outcome": outcome, "urgency": chance.choices(("none", "same_day"), (98, 2))[0],
            "lowest_confidence": chance.random(), "review_state": state,
            "feedback": chance.choice((None,) * 8 + ("helpful", "not_helpful")),
            "reviewer": chance.choice(("Nurse Aida", "Dr Lim")) if state == "done" else None,
            "told_waiting": False,
        }  # fmt: skip
        facts = {("intent", chance.choice(INTENTS)), ("entity", chance.choice(("product", "symptom")))}
        facts |= {("entity", "device")} if chance.random() < 0.001 else set()
        for turn in range(1, turns + 1):
            message += 1
            asked = " ".join(chance.choices(WORDS, k=9)) + (" xylophone" if chance.random() < 0.0002 else "")
            entry = chance.choice(ENTRIES)
            told = f"{entry}: " + " ".join(chance.choices(WORDS, k=45))
            facts |= {("entry", entry), ("version", f"{entry} {chance.randint(1, 3)}")}
            sent = at + timedelta(minutes=turn)
            reply = {"kind": "answer", "topic": "pain", "text": told, "confidence": 0.5, "why": {"margin": 0.3}}
            yield "message", {
                "id": message, "conversation_id": name, "seq": turn, "client_id": f"m{turn}", "text": asked,
                "redacted": "[]", "assessment": '{"level": "none"}', "accepted_at": sent, "lease_until": sent,
                "state": "answered",
            }  # fmt: skip
            yield "turn", {
                "conversation_id": name, "message_id": message, "number": turn, "created_at": sent, "events": "[]",
                "provenance": json.dumps({"model": "m", "intent": {"name": "ask_pain", "confidence": 0.9}}),
            }  # fmt: skip
            yield "outbox", {
                "conversation_id": name, "event": turn, "message_id": message, "sender": "assistant",
                "reply": json.dumps(reply), "created_at": sent,
            }  # fmt: skip
            yield "said_text", {"conversation_id": name, "side": "person", "text": asked}
            yield "said_text", {"conversation_id": name, "side": "assistant", "text": told}
        for kind, value in sorted(facts):
            yield "conversation_fact", {"kind": kind, "value": value, "conversation_id": name}
        if state == "open":
            yield "review_item", {
                "queue": chance.choice(QUEUES), "conversation_id": name, "message_id": message, "times": 1,
                "created_at": at,
            }  # fmt: skip


def fill(engine: Engine, conversations: int, turns: int) -> None:
    """Store it all, a few thousand rows at a time, in the way that each database does fastest."""
    batch: dict[str, list[dict[str, Any]]] = {}

    def store() -> None:
        with engine.begin() as connection:
            for table in TABLES:
                _store(connection, table, batch.get(table, []))
        batch.clear()

    for number, (table, row) in enumerate(rows(conversations, turns)):
        batch.setdefault(table, []).append(row)
        if number % 50_000 == 49_999:
            store()
    store()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT", no_transaction=True) as connection:
        connection.execute(text("ANALYZE"))


def _store(connection: Any, table: str, found: list[dict[str, Any]]) -> None:
    if not found:
        return
    names = list(found[0])
    if connection.dialect.name == "postgresql":
        with (
            connection.connection.driver_connection.cursor() as cursor,
            cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy,
        ):
            for row in found:
                copy.write_row([row[name] for name in names])
        return
    values = ", ".join(f":{name}" for name in names)
    plain = [
        {name: f"{it:%Y-%m-%d %H:%M:%S.%f}" if isinstance(it, datetime) else it for name, it in row.items()}
        for row in found
    ]
    connection.execute(text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})"), plain)


async def measure(address: str, kind: str, conversations: int, plans: bool) -> bool:
    """Print the figures of one database; returns whether all are within its bound."""
    database = connect_async(address)
    chance = random.Random(3)
    asked: dict[str, Callable[[], Awaitable[Any]]] = {}
    for name, filters in QUESTIONS.items():
        asked[name] = lambda filters=filters: conversation_list.page(database, ZONE, filters)
    cursor = (await conversation_list.page(database, ZONE, Filters())).next or ""
    asked["second page"] = lambda: conversation_list.page(database, ZONE, Filters(), cursor)
    asked["filters to choose from"] = lambda: conversation_list.known_facts(database)
    asked["transcript"] = lambda: transcripts.conversation(
        database, ZONE, f"conversation-{chance.randrange(conversations)}"
    )
    asked["inbox: queues"] = lambda: reviewing.queues(database, datetime.now(UTC))
    asked["inbox: one queue"] = lambda: reviewing.waiting(database, "declined", datetime.now(UTC), 51)
    bound, slow = BOUNDS[kind], []
    print(f"\n{kind}, {conversations:,} conversations; at most {bound} ms for 95 of 100\n")
    print(f"{'':26}  median      p95  (milliseconds)")
    for name, ask in asked.items():
        took = []
        for _ in range(TIMES):
            began = time.perf_counter()
            await ask()
            took.append((time.perf_counter() - began) * 1000)
        p95 = sorted(took)[int(TIMES * 0.95) - 1]
        print(f"{name:26} {statistics.median(took):7.1f}  {p95:7.1f}{'  TOO SLOW' if p95 > bound else ''}")
        if p95 > bound:
            slow.append(name)
        if plans:
            await explain(database, ask)
    await database.dispose()
    return not slow


async def explain(database: AsyncEngine, ask: Callable[[], Awaitable[Any]]) -> None:
    """Print how the database goes about each statement of a question."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            seen.append((statement, parameters))

    event.listen(database.sync_engine, "before_cursor_execute", note)
    await ask()
    event.remove(database.sync_engine, "before_cursor_execute", note)
    how = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF)" if database.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    async with database.connect() as connection:
        for statement, parameters in seen:
            for row in await connection.exec_driver_sql(f"{how} {statement}", parameters):
                print(f"      {row[-1]}")


@contextmanager
def made(kind: str) -> Iterator[str]:
    """The address of an empty database of this kind."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{Path(folder) / 'desk.db'}"
        return
    with new_postgres(POSTGRES) as address:
        yield address


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(SIZES), help="sqlite, postgresql (both)")
    parser.add_argument("--plans", action="store_true", help="print the query plans as well")
    parser.add_argument("--scale", type=float, default=1.0, help="a share of the conversations, for a quick look")
    options = parser.parse_args()
    good = True
    for kind in options.kinds:
        if kind not in SIZES:
            parser.error(f"`{kind}` is no database; choose from {', '.join(SIZES)}")
        try:
            with made(kind) as address:
                conversations, turns = SIZES[kind]
                conversations = int(conversations * options.scale)
                engine = connect(address)
                migrate(engine)
                began = time.perf_counter()
                fill(engine, conversations, turns)
                engine.dispose()
                print(f"{kind}: filled in {time.perf_counter() - began:.0f} s", flush=True)
                good &= asyncio.run(measure(address, kind, conversations, options.plans))
        except psycopg.OperationalError:
            parser.error(
                "there is no PostgreSQL at 127.0.0.1:5432; set NEEDLEPOINT_TEST_POSTGRES, or name sqlite alone"
            )
    if not good:
        raise SystemExit("something took longer than its bound")


if __name__ == "__main__":
    main()
