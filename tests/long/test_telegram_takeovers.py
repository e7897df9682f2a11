"""Telegram with apps that are killed: another takes over what they left, which takes as long as their leases."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import new_postgres
from tests.running import Engine, Instance, Laboratory
from tests.telegram_pair import once, settled, two_by_webhook
from tests.telegram_server import TOKEN, BotApiServer, Fault, Patient

CHATS = itertools.count(8_000_001)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def bot_api() -> Iterator[BotApiServer]:
    with BotApiServer() as server:
        yield server


@pytest.fixture(scope="module")
def pair(
    laboratory: Laboratory, engine: Engine, bot_api: BotApiServer, postgres_server: str
) -> Iterator[tuple[Instance, Instance]]:
    with two_by_webhook(laboratory, engine, bot_api, postgres_server) as both:
        yield both


@pytest.fixture
def stranger(pair: Any, bot_api: BotApiServer) -> Patient:
    return Patient(bot_api, next(CHATS), by_webhook=True)


@pytest.fixture
def patient(stranger: Patient) -> Patient:
    return stranger.agrees()


@pytest.fixture
def trouble(bot_api: BotApiServer) -> Iterator[BotApiServer]:
    yield bot_api
    bot_api.trouble = lambda _method, _asked: None


def test_an_app_killed_while_it_sends_leaves_the_other_to_send_again_and_say_so(
    pair: tuple[Instance, Instance], patient: Patient, trouble: BotApiServer
) -> None:
    count = len(patient.got)
    trouble.trouble = once(patient.chat, Fault("hang", 3))
    trouble.behind = [pair[0].url]
    patient.send(text="does it hurt?")
    patient.next(count)  # it has arrived, and nobody noted it
    pair[0].kill()
    trouble.behind = [pair[1].url]
    patient.server.wait_for(lambda: len(patient.got) == count + 2, 45, "the second sending")
    assert patient.got[-1].text.startswith("Sent again")
    patient.server.wait_for(lambda: settled(pair))
    assert len(patient.got) == count + 2
    pair[0].start()
    trouble.behind = [one.url for one in pair]


def test_an_app_killed_in_the_middle_of_a_question_leaves_it_to_the_other(
    pair: tuple[Instance, Instance], patient: Patient, bot_api: BotApiServer, engine: Engine
) -> None:
    count = len(patient.got)
    bot_api.behind = [pair[0].url]
    engine.freeze()
    try:
        for text in ("does it hurt?", "/help", "when can I swim?"):
            patient.send(text=text)
        time.sleep(0.5)
        pair[0].kill()
    finally:
        engine.thaw()
    bot_api.wait_for(lambda: len(patient.got) >= count + 3, 60, "three replies")
    bot_api.wait_for(lambda: settled(pair))
    first, second, third = patient.got[count:]
    assert "hurt" in first.text or "cannot answer just now" in first.text
    assert "/today" in second.text and "swim" in third.text
    pair[0].start()
    bot_api.behind = [one.url for one in pair]


def test_two_apps_never_poll_at_once(laboratory: Laboratory, engine: Engine, postgres_server: str) -> None:
    with BotApiServer() as server, new_postgres(postgres_server) as database:
        settings = {"telegram_bot_token": TOKEN, "telegram_api_base_url": server.url}
        apps = [
            laboratory.instance([engine], database=database, prepare=number == 0, **settings) for number in range(2)
        ]
        open_polls, most = 0, 0
        asked = server._getUpdates

        def counting(parameters: dict[str, Any]) -> Any:
            nonlocal open_polls, most
            open_polls += 1
            most = max(most, open_polls)
            try:
                return asked(parameters)
            finally:
                open_polls -= 1

        server._getUpdates = counting  # type: ignore[method-assign]
        patient = Patient(server, 4712).agrees()
        assert "hurt" in patient.say("does it hurt?").text
        assert apps[0].stop() == 0
        assert "swim" in patient.say("when can I swim?", 30).text
        apps[0].start()
        apps[1].kill()
        assert "hurt" in patient.say("does it hurt?", 45).text
        assert most == 1
        for app in apps:
            app.end()
