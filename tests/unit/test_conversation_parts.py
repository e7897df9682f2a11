"""The parts a turn is made of: tokens, carried state, the journal, the engine client."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from needlepoint import ask as command
from needlepoint.conversations import tokens
from needlepoint.conversations.carried import CARRIED_TURNS, compose, slots_to_keep, to_keep
from needlepoint.conversations.engine_client import EngineClient, EngineError, EngineTurn, Parse
from needlepoint.conversations.journal import Journal, JournalEntry
from needlepoint.conversations.tokens import TokenError

SECRET = "a-secret-for-tests-only-0123456789abcdef"


def test_a_token_says_whose_conversation_it_is_without_the_database() -> None:
    token, expires_at = tokens.issue(SECRET, "abc", "ms", "2026-11", 24)
    read = tokens.read(SECRET, token)
    assert (read.conversation, read.language, read.consent, read.unrecorded) == ("abc", "ms", "2026-11", False)
    assert read.expires_at == expires_at


@pytest.mark.parametrize("spoil", [lambda t: t[:-3] + "abc", lambda _: "", lambda _: "a.b.c", lambda t: t + "."])
def test_a_damaged_token_is_refused_without_repeating_it(spoil: Any) -> None:
    token, _ = tokens.issue(SECRET, "abc", "en", None, 24)
    with pytest.raises(TokenError) as error:
        tokens.read(SECRET, spoil(token))
    assert "abc" not in str(error.value)


def test_a_token_of_another_clinic_or_past_its_time_is_refused() -> None:
    foreign, _ = tokens.issue("another-secret-that-is-long-enough-000", "abc", "en", None, 24)
    old, _ = tokens.issue(SECRET, "abc", "en", None, -1)
    with pytest.raises(TokenError, match="not valid"):
        tokens.read(SECRET, foreign)
    with pytest.raises(TokenError, match="ended"):
        tokens.read(SECRET, old)


def test_a_staff_token_opens_no_conversation() -> None:
    from needlepoint.staff.accounts import command_token, command_token_is_good

    with pytest.raises(TokenError):
        tokens.read(SECRET, command_token(SECRET, "Aida"))
    assert not command_token_is_good(SECRET, tokens.issue(SECRET, "abc", "en", None, 24)[0])


STARTED = datetime(2026, 11, 23, tzinfo=UTC)


def test_carried_state_starts_with_the_session_then_slots_loop_and_the_last_turns() -> None:
    turns = [[{"event": "user", "text": str(number)}] for number in range(9)]
    events = compose(STARTED, {"treatment": "prp"}, {"name": "a_form"}, turns, {"safety_level": "none"})
    kinds = [event["event"] for event in events]
    assert kinds[:5] == ["action", "session_started", "slot", "active_loop", "action"]
    assert [event["text"] for event in events if event["event"] == "user"] == ["3", "4", "5", "6", "7", "8"]
    assert events[-1]["name"] == "safety_level"


def test_carried_state_does_not_grow_with_the_talk() -> None:
    turn = [{"event": "user"}, {"event": "action"}, {"event": "action"}]
    short = compose(STARTED, {}, None, [turn] * CARRIED_TURNS, {})
    assert compose(STARTED, {}, None, [turn] * 500, {}) == short


def test_what_the_bot_said_and_what_the_app_owns_is_not_carried() -> None:
    assert to_keep([{"event": "bot", "data": {}}, {"event": "user"}]) == [{"event": "user"}]
    slots = {"treatment": "prp", "device": None, "language": "en", "safety_level": "none", "open_question": []}
    assert slots_to_keep(slots) == {"treatment": "prp"}


def entry(text: str = "pus is coming out") -> JournalEntry:
    return JournalEntry(
        at=STARTED,
        conversation="abc",
        client_id="m1",
        text=text,
        choice=None,
        redacted=[],
        assessment={"level": "same_day"},
        state="urgent",
        reply={},
    )


def test_the_journal_keeps_entries_in_order_and_readable_by_nobody_else(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", SECRET)
    for number in range(3):
        journal.write(entry(f"message {number}"))
    assert [one.text for _, one in journal.entries()] == ["message 0", "message 1", "message 2"]
    for file in (tmp_path / "journal").iterdir():
        assert b"message" not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


def test_a_journal_entry_that_cannot_be_read_stays_and_does_not_stop_the_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SECRET)
    (tmp_path / "00000000T000000-x.entry").write_bytes(b"rubbish")
    Journal(tmp_path, "the-secret-before-it-was-changed-0001").write(entry())
    journal.write(entry("mine"))
    assert [one.text for _, one in journal.entries()] == ["mine"]
    assert len(journal) == 3


class Answers(BaseHTTPRequestHandler):
    """An engine that answers every turn with its own name."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = msgspec.json.encode(EngineTurn([], Parse(), [], {}, [], model=str(self.server.server_port)))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Quiet."""


class HangsUp(Answers):
    """An engine that dies in the middle of a turn."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.connection.close()


class Starts(Answers):
    """An engine that listens already and still loads its model."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(503)
        self.send_header("content-length", "0")
        self.end_headers()


class Sleeps(Answers):
    """An engine that takes too long."""

    def do_POST(self) -> None:
        time.sleep(3)


@pytest.fixture
def serve() -> Any:
    servers = []

    def start(handler: type[BaseHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()


def ask(urls: list[str], deadline: float = 2, times: int = 1) -> list[str]:
    """Ask for turns; returns who answered, or the error's code."""

    async def turns() -> list[str]:
        client = EngineClient(urls, SECRET, "http://127.0.0.1:1/webhook", deadline)
        answered = []
        for _ in range(times):
            try:
                turn = await client.turn("c", "m", "hi", None, [])
                answered.append(f"http://127.0.0.1:{turn.model}")
            except EngineError as error:
                answered.append(error.code)
        await client.close()
        return answered

    return asyncio.run(turns())


def test_engines_take_turns(serve: Any) -> None:
    urls = [serve(Answers), serve(Answers)]
    assert set(ask(urls, times=4)) == set(urls)


def test_a_lost_connection_is_answered_by_another_engine(serve: Any) -> None:
    good = serve(Answers)
    assert ask([serve(HangsUp), good, "http://127.0.0.1:9"], times=6) == [good] * 6


def test_an_engine_that_still_starts_is_passed_over_for_another(serve: Any) -> None:
    good, starting = serve(Answers), serve(Starts)
    assert ask([starting, good], times=6) == [good] * 6
    assert ask([starting]) == ["unreachable"]


def test_with_no_engine_reachable_the_error_comes_at_once() -> None:
    began = time.monotonic()
    assert ask(["http://127.0.0.1:9", "http://127.0.0.1:11"]) == ["unreachable"]
    assert time.monotonic() - began < 1


def test_a_slow_engine_ends_at_the_deadline_and_is_not_asked_twice(serve: Any) -> None:
    began = time.monotonic()
    assert ask([serve(Sleeps), serve(Answers)], deadline=0.3, times=2).count("deadline") == 1
    assert time.monotonic() - began < 2


class _Sulking(BaseHTTPRequestHandler):
    """A product whose database is locked for the first `refusals` messages."""

    refusals = 0
    seen: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        _Sulking.seen.append(body["message_id"])
        locked = len(_Sulking.seen) <= _Sulking.refusals
        reply = {"kind": "smalltalk", "topic": "chitchat", "text": "Hello."}
        answer = {"conversation": "c", "received": {"reply": reply}, "choices": []}
        content = json.dumps({"error": {"message": "not just now"}} if locked else answer).encode()
        self.send_response(503 if locked else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None: ...


@pytest.mark.parametrize(("refusals", "answered"), [(3, True), (4, False)])
def test_a_message_refused_just_now_is_asked_again_under_its_own_id_a_few_times(
    refusals: int, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "RETRY_AFTER", (0.01, 0.01, 0.01))
    monkeypatch.setattr(_Sulking, "refusals", refusals)
    _Sulking.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sulking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with command.Asker(f"http://127.0.0.1:{server.server_port}", "a staff token") as asker:
            question = command.Question("c1", "does it hurt?")
            if answered:
                assert asker.ask(question).reply == "Hello."
            else:
                with pytest.raises(command.AskError, match="not just now"):
                    asker.ask(question)
    finally:
        server.shutdown()
        server.server_close()
    assert len(_Sulking.seen) == 4 and len(set(_Sulking.seen)) == 1
