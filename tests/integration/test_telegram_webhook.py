"""Telegram by webhook: two apps behind one address on one PostgreSQL, whatever is killed or away in between."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from needlepoint.channels.telegram.configured import WEBHOOK_PATH
from tests.running import Engine, Instance, Laboratory
from tests.telegram_pair import rows, settled, two_by_webhook
from tests.telegram_server import TOKEN, BotApiServer, Patient

CHATS = itertools.count(8_000_001)
RED_FLAG = "I cannot breathe and my tongue is swelling"


@pytest.fixture(scope="module")
def bot_api() -> Iterator[BotApiServer]:
    with BotApiServer() as server:
        yield server


@pytest.fixture(scope="module")
def pair(
    laboratory: Laboratory, engine: Engine, bot_api: BotApiServer, postgres_server: str
) -> Iterator[tuple[Instance, Instance]]:
    with two_by_webhook(laboratory, engine, bot_api, postgres_server, rate_limit="30") as both:
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


def test_the_webhook_is_set_with_its_secret(pair: tuple[Instance, Instance], bot_api: BotApiServer) -> None:
    (first, *more) = bot_api.called("setWebhook")
    assert first["url"] == "http://balancer.example/telegram/webhook"
    assert len(bot_api.secret) == 64 and TOKEN.split(":")[1] not in first["url"]
    assert len(more) <= 1


@pytest.mark.parametrize("secret", [None, "", "wrong", "x" * 64, "é"])
def test_a_forged_post_is_refused_and_nothing_of_it_is_done(
    pair: tuple[Instance, Instance], bot_api: BotApiServer, secret: str | None
) -> None:
    forged = {"update_id": 1, "message": {"message_id": 1, "date": 1, "text": RED_FLAG}}
    forged["message"]["chat"] = {"id": 9_999_999, "type": "private"}  # type: ignore[index]
    headers = {} if secret is None else {"X-Telegram-Bot-Api-Secret-Token": secret.encode()}
    answer = httpx.post(pair[0].url + WEBHOOK_PATH, json=forged, headers=headers, timeout=5, trust_env=False)
    assert answer.status_code == 403 and answer.text in ("", "null")
    assert not bot_api.messages[9_999_999]
    assert rows(pair, "SELECT count(*) FROM telegram_update WHERE update_id = 1") == [(0,)]
    assert "without its secret was refused" in pair[0].log()


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"no json", b"[]", b"7", b'{"update_id": "x"}', b'{"update_id": 5, "message": null}', b"[" * 100_000),
        *(b'{"update_id": 6, "channel_post": {}}', b'{"update_id": 7, "poll": {"id": "1"}}', b"\xff\xfe"),
        *(b'{"update_id": 8, "message": {"text": "\\ud800"}}', b'{"update_id": 9, "my_chat_member": {"chat": 1}}'),
    ],
)
def test_whatever_telegram_posts_it_is_told_200(
    pair: tuple[Instance, Instance], bot_api: BotApiServer, body: bytes
) -> None:
    headers = {"X-Telegram-Bot-Api-Secret-Token": bot_api.secret, "content-type": "application/json"}
    answer = httpx.post(pair[0].url + WEBHOOK_PATH, content=body, headers=headers, timeout=10, trust_env=False)
    assert answer.status_code == 200


def test_the_post_is_answered_before_the_question_is(pair: Any, patient: Patient, engine: Engine) -> None:
    count = len(patient.got)
    engine.freeze()
    try:
        patient.send(text="how long will I be red?")
        assert len(patient.got) == count, "200 came while the engine was still silent"
    finally:
        engine.thaw()
    patient.next(count)


def test_messages_through_both_apps_are_answered_once_and_in_order(pair: Any, patient: Patient) -> None:
    count = len(patient.got)
    questions = [("does it hurt?", "hurt"), ("when can I swim?", "swim"), ("how much is the home kit?", "RM 228")] * 3
    for text, _ in questions:
        patient.send(text=text)
    patient.server.wait_for(lambda: len(patient.got) >= count + 9, 30, "nine answers")
    patient.server.wait_for(lambda: settled(pair))
    assert len(patient.got) == count + 9
    for (_, word), answer in zip(questions, patient.got[count:], strict=True):
        assert word in answer.text


def test_the_same_update_to_both_apps_and_after_a_restart_gives_one_answer(pair: Any, patient: Patient) -> None:
    count = len(patient.got)
    update = patient.send(text="does it hurt?")
    patient.server.post(update)
    patient.next(count)
    looks, sets = len(patient.server.called("getWebhookInfo")), len(patient.server.called("setWebhook"))
    assert pair[0].stop() == 0
    pair[0].start()
    patient.server.post(update)
    patient.server.post(update)
    patient.say("when can I swim?")
    patient.server.wait_for(lambda: settled(pair))
    assert len(patient.got) == count + 2
    # The start looked how updates come, and had nothing to set.
    patient.server.wait_for(lambda: len(patient.server.called("getWebhookInfo")) > looks)
    assert len(patient.server.called("setWebhook")) == sets


def test_a_red_flag_is_answered_once_although_both_apps_look_after_the_outbox(pair: Any, patient: Patient) -> None:
    count = len(patient.got)
    assert "Emergency" in patient.say(RED_FLAG).text
    patient.server.wait_for(lambda: settled(pair))
    time.sleep(2.5)
    assert len(patient.got) == count + 1


def test_with_the_database_away_red_flags_are_answered_and_questions_when_it_is_back(
    pair: tuple[Instance, Instance], patient: Patient, bot_api: BotApiServer, postgres_server: str
) -> None:
    stranger = Patient(bot_api, next(CHATS), by_webhook=True)
    alerted = "SELECT count(*) FROM attention WHERE level = 'emergency_now'"
    ((alerts,),) = rows(pair, alerted)
    count, name = len(patient.got), pair[0].database.rsplit("/", 1)[1]
    question = {"message_id": 1, "date": 1, "text": "does it hurt?", **patient._who()}

    def allow(allowed: bool) -> None:
        with psycopg.connect(postgres_server, autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}".encode())
            if not allowed:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    allow(False)
    try:
        headers = {"X-Telegram-Bot-Api-Secret-Token": bot_api.secret}
        update = {"update_id": next(bot_api._update_ids), "message": question}
        for _ in range(2):  # as Telegram does: it repeats what it got no 200 for
            refused = httpx.post(pair[0].url + WEBHOOK_PATH, json=update, headers=headers, timeout=20, trust_env=False)
            assert refused.status_code == 503
            time.sleep(3.1)
        assert "I cannot answer just now" in patient.next(count).text
        for one in (patient, stranger):
            before = len(one.got)
            one.send(text=RED_FLAG)
            assert "Emergency" in one.next(before).text
    finally:
        allow(True)
    count = len(patient.got)
    bot_api.post(update)  # as Telegram does after a 503
    reply = patient.next(count, 30)
    assert "hurt" in reply.text or "staying with what you told me" in reply.text
    bot_api.wait_for(lambda: settled(pair), 30)
    bot_api.wait_for(lambda: rows(pair, alerted) == [(alerts + 2,)], 30, "the marks for staff")
    bot_api.wait_for(lambda: settled(pair), 30)
    assert sum("Emergency" in one.text and "staying" not in one.text for one in patient.got) == 1


def test_a_chat_that_floods_is_told_once_and_still_gets_the_card(patient: Patient, bot_api: BotApiServer) -> None:
    bot_api.behind = bot_api.behind[:1]
    for _ in range(34):
        patient.send(text="/help")
    bot_api.wait_for(lambda: any("That was a lot at once" in one.text for one in patient.got))
    count = len(patient.got)
    patient.send(text=RED_FLAG)
    bot_api.wait_for(lambda: any("Emergency: get help" in one.text for one in patient.got[count:]))
    assert sum("That was a lot at once" in one.text for one in patient.got) == 1
    bot_api.wait_for(lambda: sum("/today" in one.text for one in patient.got) >= 20, what="the answers before that")
