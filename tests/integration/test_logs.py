"""The log of a run: one id from the widget to the action, machine-readable, and not a word of a patient."""

from __future__ import annotations

import json
import re
import sqlite3
import time
import uuid
from contextlib import closing

import pytest

from needlepoint.logs import request_id
from needlepoint.settings import SettingsError, read_settings
from tests.running import Instance, Laboratory

#: What no sentence of the product holds, in every place where a person's words or numbers travel.
WORDS = {
    "plain": "zanzibarly does microneedling hurt",
    "name": "my name is Quillon Zephyrine, when can I wear makeup?",
    "number": "call 012-345 6789 or write quillon@zephyr.example, how much is a session?",
    "urgent": "flumoxically my tongue is swelling and I cannot breathe",
    "nonsense": "brimblewort\x00\u202e grobnik '; DROP TABLE message; --",
}
SENT = ("zanzibarly", "Quillon", "Zephyrine", "345 6789", "zephyr.example", "flumoxically", "brimblewort", "grobnik")


@pytest.fixture(scope="module")
def logged(laboratory: Laboratory) -> tuple[str, dict[str, str]]:
    """What app and engine wrote during a run in which a lot was said and something failed; and ids of requests."""
    engine = laboratory.engine(log_format="json")
    instance = laboratory.instance([engine], log_format="json", log_level="debug")
    ids = {}
    talk = instance.conversation()
    for name, words in WORDS.items():
        ids[name] = str(uuid.uuid4())
        posted = talk.http.post(
            f"/api/conversations/{talk.id}/messages",
            json={"message_id": uuid.uuid4().hex, "text": words},
            headers={**talk.headers, "X-Request-ID": ids[name]},
        )
        assert posted.headers["x-request-id"] == ids[name]
    talk.post(text="zanzibarly " * 600)  # refused
    talk.http.post(f"/api/conversations/{talk.id}/messages", content=b'{"text": "zanzibarly', headers=talk.headers)
    instance.conversation().post(choice="zanzibarly.9")
    engine.kill()
    other = instance.conversation()
    assert other.say("zanzibarly, does it hurt?")["state"] == "apologised"
    with closing(sqlite3.connect(instance.database.removeprefix("sqlite:///"))) as lock:
        lock.execute("BEGIN EXCLUSIVE")  # nothing can be stored
        other.post(text="zanzibarly again")
        other.post(text=WORDS["urgent"])
        time.sleep(3)  # an urgent message is recorded behind its card
    log = instance.whole_log() + engine.whole_log()
    instance.end()
    return log, ids


def test_no_line_of_a_whole_run_holds_a_word_that_was_sent(logged: tuple[str, dict[str, str]]) -> None:
    log, _ = logged
    assert "a message has its outcome" in log and "a turn has its end" in log and "an action ran" in log
    assert "goes to the journal" in log, "what fails is in the log too"
    for word in SENT:
        assert word.lower() not in log.lower(), word


def test_one_request_has_one_id_in_app_engine_and_action(logged: tuple[str, dict[str, str]]) -> None:
    log, ids = logged
    its_lines = [line for line in log.splitlines() if ids["plain"] in line]
    for event in ("a message has its outcome", "an action ran", "a turn has its end"):
        assert any(event in line for line in its_lines), event
    lines = [json.loads(line) for line in log.splitlines()]
    ours = [line for line in lines if line.get("request_id") == ids["plain"]]
    assert {line["process"] for line in ours} == {"app", "engine"}
    outcome = next(line for line in ours if "outcome" in line)
    assert outcome["outcome"] == "answer" and outcome["channel"] == "web" and outcome["ms"] > 0
    assert {"time", "level", "logger", "message"} <= outcome.keys()


@pytest.mark.parametrize("given", ["", "012-345 6789", "a" * 31, "../etc", "0" * 32 + "\n", "g" * 32, "é"])
def test_an_id_that_does_not_look_like_one_is_not_taken(given: str, instance: Instance) -> None:
    assert re.fullmatch("[0-9a-f]{32}", request_id(given)) and request_id(given) != given
    with instance.http() as http:
        answered = http.get("/health/live", headers={b"X-Request-ID": given.strip().encode("latin-1")})
        assert re.fullmatch("[0-9a-f]{32}", answered.headers["x-request-id"])


def test_a_format_that_there_is_not_stops_the_start(laboratory: Laboratory) -> None:
    with pytest.raises(SettingsError, match="NEEDLEPOINT_LOG_FORMAT"):
        read_settings({"NEEDLEPOINT_LOG_FORMAT": "xml"})
    engine = laboratory.engine(start=False, log_format="xml")
    engine.start(wait=False)
    assert engine.wait(30) == 1 and "NEEDLEPOINT_LOG_FORMAT is 'xml'" in engine.log()
