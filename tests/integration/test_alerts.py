"""From an urgent message to the person who acknowledges it: a real app, a real mail server, a real webhook."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from needlepoint.db.connect import connect
from needlepoint.settings import Settings
from needlepoint.staff import accounts
from needlepoint.staff.permissions import session_is_over
from tests.desk import token_in
from tests.integration.test_commands import needlepoint
from tests.receivers import MailServer, WebhookReceiver
from tests.running import Instance, Laboratory

URGENT = "my tongue is swelling and I cannot breathe, says Tan Mei Ling"
PASSWORD = "correct horse battery"
SECRET = "a-secret-of-the-webhook-0123456789abcdef"
BANNER = "urgent message"


def wait_until(condition: Callable[[], Any], within: float = 20) -> None:
    """Wait for something another process does."""
    ends = time.monotonic() + within
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.05)


def rows(instance: Instance, query: str) -> list[Any]:
    """What the database says."""
    engine = connect(instance.database)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def mail() -> Iterator[MailServer]:
    with MailServer(account=("needlepoint", "p/w")) as server:
        yield server


@pytest.fixture(scope="module")
def hook() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


def channels(mail: MailServer, hook: WebhookReceiver) -> dict[str, str]:
    """The settings of both channels."""
    return {
        "public_url": "https://desk.test",
        "smtp_url": f"smtp://needlepoint:p%2Fw@127.0.0.1:{mail.port}",
        "alert_email_from": "needlepoint@c.test",
        "alert_emails": "nurse@c.test",
        "alert_escalation_email": "dr@c.test",
        "alert_webhook_url": hook.url,
        "alert_webhook_secret": SECRET,
    }


@pytest.fixture(scope="module")
def clinic(laboratory: Laboratory, mail: MailServer, hook: WebhookReceiver) -> Iterator[Instance]:
    """An app that alerts; it needs no engine, as urgent cards never do."""
    instance = laboratory.instance([], wait="/health/live", **channels(mail, hook))
    engine = connect(instance.database)
    for name, role in (("Nurse Aida", "viewer"), ("Dr Lim", "approver")):
        accounts.add(engine, name, PASSWORD, role)
    engine.dispose()
    yield instance
    instance.stop()


@pytest.fixture
def own_mail() -> Iterator[MailServer]:
    """A mail server of this test's own: what another app still sends does not come here."""
    with MailServer(account=("needlepoint", "p/w")) as server:
        yield server


@pytest.fixture
def own_hook() -> Iterator[WebhookReceiver]:
    """A webhook of this test's own."""
    with WebhookReceiver() as receiver:
        yield receiver


def settled(instance: Instance, mail: MailServer, hook: WebhookReceiver) -> None:
    """Wait until what earlier tests wrote is sent, and forget it."""
    wait_until(lambda: rows(instance, "SELECT count(*) FROM staff_alert WHERE state = 'waiting'") == [(0,)])
    mail.mails.clear()
    hook.posts.clear()


@contextmanager
def signed_in(instance: Instance, name: str = "Nurse Aida") -> Iterator[httpx.Client]:
    """A browser's session at the desk, without JavaScript."""
    with instance.http(follow_redirects=True) as http:
        token = token_in(http.get("/staff/login").text)
        page = http.post("/staff/login", data={"_csrf_token": token, "name": name, "password": PASSWORD})
        assert page.status_code == 200, page.text
        yield http


def buttons(page: str) -> list[tuple[str, str]]:
    """The forms that acknowledge: action and time of the message."""
    found = re.findall(r'action="(/staff/alerts/\d+/acknowledge)".*?name="came_at" value="([^"]+)"', page, re.DOTALL)
    return [(action, came_at) for action, came_at in found]


def test_an_urgent_message_reaches_mail_and_webhook_within_seconds_without_a_word_of_it(
    clinic: Instance, mail: MailServer, hook: WebhookReceiver
) -> None:
    settled(clinic, mail, hook)
    conversation = clinic.conversation()
    assert conversation.say(URGENT)["state"] == "urgent"
    wait_until(lambda: mail.mails and hook.posts, within=10)
    link = f"https://desk.test/staff/conversations/{conversation.id}"
    body = json.loads(hook.posts[0].body)
    assert (body["link"], body["level"], body["escalation"]) == (link, "emergency_now", False)
    assert link in mail.mails[0][1].get_content() and mail.mails[0][0] == "nurse@c.test"
    time.sleep(1.2)  # another round of the duty
    assert (len(mail.mails), len(hook.posts)) == (1, 1)
    told = hook.posts[0].body.decode() + mail.mails[0][1].as_string() + clinic.whole_log()
    assert "tongue" not in told and "Mei Ling" not in told
    assert rows(clinic, "SELECT DISTINCT state, attempts FROM staff_alert") == [("sent", 1)]


def test_before_consent_the_alert_has_neither_text_nor_conversation(
    clinic: Instance, mail: MailServer, hook: WebhookReceiver
) -> None:
    settled(clinic, mail, hook)
    conversation = clinic.conversation(consent=False)
    assert conversation.say(URGENT)["reply"]["kind"] == "urgent"
    wait_until(lambda: mail.mails and hook.posts, within=10)
    assert json.loads(hook.posts[0].body)["link"] is None
    told = hook.posts[0].body.decode() + mail.mails[0][1].as_string()
    assert conversation.id not in told and "tongue" not in told
    assert rows(clinic, "SELECT count(*) FROM attention WHERE conversation_id IS NULL AND level IS NOT NULL") == [(1,)]


def test_what_staff_ask_by_command_alerts_nobody(clinic: Instance, mail: MailServer, hook: WebhookReceiver) -> None:
    settled(clinic, mail, hook)
    assert clinic.staff_ask(URGENT)["received"]["reply"]["kind"] == "urgent"
    time.sleep(1.2)
    assert mail.mails == [] and hook.posts == []


def test_the_desk_shows_what_nobody_acknowledged_until_somebody_presses_the_button(clinic: Instance) -> None:
    conversation = clinic.conversation()
    conversation.say(URGENT)
    wait_until(lambda: rows(clinic, "SELECT count(*) FROM staff_alert WHERE state = 'waiting'") == [(0,)])
    with signed_in(clinic) as http:
        for path in ("/staff", "/staff/answers", "/staff/alerts", f"/staff/conversations/{conversation.id}"):
            assert re.search(r"\d+ urgent messages? nobody has acknowledged", http.get(path).text), path
        page = http.get(f"/staff/conversations/{conversation.id}").text
        assert "nurse@c.test" in page and "127.0.0.1" in page and ">sent<" in page
        [(action, came_at)] = buttons(page)
        form = {"came_at": came_at, "back": "conversation"}
        assert http.post(action, data=form).status_code == 403, "no CSRF token"
        assert http.post(action, data={**form, "_csrf_token": "wrong"}).status_code == 403
        assert len(buttons(http.get(f"/staff/conversations/{conversation.id}").text)) == 1
        done = http.post(action, data={**form, "_csrf_token": token_in(page)})
        assert done.status_code == 200 and done.url.path == f"/staff/conversations/{conversation.id}"
        assert buttons(done.text) == [] and "by Nurse Aida" in done.text
    with signed_in(clinic, "Dr Lim") as http:
        page = http.get("/staff/alerts").text
        again = http.post(action, data={"came_at": came_at, "_csrf_token": token_in(page)})
        assert again.status_code == 200 and again.url.path == "/staff/alerts"
        found = rows(clinic, f"SELECT acknowledged_by FROM attention WHERE conversation_id = '{conversation.id}'")
        assert found == [("Nurse Aida",)], "the first one counts"
        # What others left open, also what has no conversation, is acknowledged from the list.
        while left := buttons(page := http.get("/staff/alerts").text):
            form = {"came_at": left[0][1], "_csrf_token": token_in(page)}
            assert http.post(left[0][0], data=form).status_code == 200
        assert "Nothing waits" in page
        assert BANNER not in http.get("/staff/alerts/notice").text
        for wrong in ("yesterday", "2026-11-26T10:00:00", "2026-11-26T10:00:00+00:00"):
            form = {"came_at": wrong, "_csrf_token": token_in(page)}
            assert http.post("/staff/alerts/1/acknowledge", data=form).status_code in (400, 404)
        form = {"came_at": came_at, "back": "https://evil.test", "_csrf_token": token_in(page)}
        assert http.post(action, data=form).status_code == 400


def test_nobody_sees_or_acknowledges_without_signing_in(clinic: Instance) -> None:
    clinic.conversation().say(URGENT)
    with clinic.http() as http:
        for path in ("/staff/alerts", "/staff/alerts/notice"):
            response = http.get(path)
            assert response.status_code == 303 and "urgent" not in response.text
        token = token_in(http.get("/staff/login").text)
        form = {"came_at": "2026-11-26T10:00:00+00:00", "_csrf_token": token}
        response = http.post("/staff/alerts/1/acknowledge", data=form)
        assert response.status_code == 303 and response.headers["location"] == "/staff/login"
        assert http.post("/staff/alerts/1/acknowledge", data={"came_at": "x"}).status_code == 403


def test_a_session_ends_after_eight_hours_and_after_one_that_nobody_used() -> None:
    at, hour, settings = time.time(), 3600.0, Settings()
    busy = {"since": at, "seen": at + 7.9 * hour}
    assert not session_is_over(busy, at + 8 * hour - 1, settings)
    assert session_is_over(busy, at + 8 * hour, settings)
    assert not session_is_over({"since": at, "seen": at}, at + hour - 1, settings)
    assert session_is_over({"since": at, "seen": at}, at + hour, settings)
    assert session_is_over({}, at, settings) and session_is_over({"since": at}, at - 60, settings)


def test_two_apps_alert_once_and_escalate_once(
    laboratory: Laboratory, postgres: str, own_mail: MailServer, own_hook: WebhookReceiver
) -> None:
    """On PostgreSQL, with a webhook that fails first, and three seconds in place of ten minutes."""
    own_hook.answers[:] = [503]
    settings = {**channels(own_mail, own_hook), "alert_escalate_minutes": "0.05"}
    first = laboratory.instance([], postgres, wait="/health/live", **settings)
    second = laboratory.instance([], postgres, wait="/health/live", prepare=False, **settings)
    first.conversation().say(URGENT)
    wait_until(lambda: len(own_mail.mails) == 2)
    time.sleep(2.2)  # two more rounds of both
    assert [recipient for recipient, _ in own_mail.mails] == ["nurse@c.test", "dr@c.test"]
    escalations = [json.loads(post.body)["escalation"] for post in own_hook.posts]
    assert sorted(escalations) == [False, True], "the failed one waits for its pause"
    assert sorted(rows(first, "SELECT channel, kind, state FROM staff_alert WHERE channel = 'email'")) == [
        ("email", "escalation", "sent"),
        ("email", "first", "sent"),
    ]
    assert sorted(rows(first, "SELECT state, attempts FROM staff_alert WHERE channel = 'webhook'")) == [
        ("sent", 1),
        ("waiting", 1),
    ]
    for app in (first, second):
        assert app.stop() == 0


def test_an_urgent_message_from_the_journal_is_alerted_when_the_database_is_back(
    laboratory: Laboratory, own_mail: MailServer, own_hook: WebhookReceiver
) -> None:
    instance = laboratory.instance([], wait="/health/live", **channels(own_mail, own_hook))
    conversation = instance.conversation()
    lock = sqlite3.connect(instance.var / "needlepoint.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    assert conversation.say(URGENT)["state"] == "urgent"
    wait_until(lambda: list((instance.var / "journal").glob("*.entry")))
    assert own_mail.mails == []
    lock.execute("ROLLBACK")
    lock.close()
    wait_until(lambda: own_mail.mails and own_hook.posts)
    assert instance.stop() == 0


def test_the_command_says_what_happened_to_a_test_alert_and_the_mend(
    tmp_path: Path, own_mail: MailServer, own_hook: WebhookReceiver
) -> None:
    var = tmp_path / "var"
    nothing = needlepoint("alerts", "test", var=var)
    assert nothing.returncode == 1 and "desk only" in nothing.stderr
    good = needlepoint("alerts", "test", var=var, **channels(own_mail, own_hook))
    assert good.returncode == 0, good.stderr
    assert good.stdout.splitlines() == [
        "email to nurse@c.test: taken",
        "webhook to 127.0.0.1: taken",
        "email to dr@c.test: taken",
    ]
    own_hook.answers[:] = [403]
    wrong = {**channels(own_mail, own_hook), "smtp_url": f"smtp://needlepoint:wrong@127.0.0.1:{own_mail.port}"}
    bad = needlepoint("alerts", "test", var=var, **wrong)
    assert bad.returncode == 1
    assert "SMTPAuthenticationError 535" in bad.stdout and "NEEDLEPOINT_SMTP_URL" in bad.stdout
    assert "HTTP 403" in bad.stdout and "NEEDLEPOINT_ALERT_WEBHOOK_SECRET" in bad.stdout
    assert "wrong" not in bad.stdout + bad.stderr and SECRET not in bad.stdout + bad.stderr


@pytest.mark.parametrize("command", [("up",), ("serve",), ("alerts", "test")])
def test_a_half_setting_stops_the_start_in_one_sentence(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = needlepoint(
        *command, var=tmp_path / "var", engine_secret=SECRET, smtp_url="smtp://mail.test", public_url="https://d.test"
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "NEEDLEPOINT_ALERT_EMAIL_FROM and NEEDLEPOINT_ALERT_EMAILS are not" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
