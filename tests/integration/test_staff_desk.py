"""Who may do what at the desk: every route for every role, signing in, and the record of it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pyotp
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.testing import TestClient
from sqlalchemy import select

from needlepoint.app import create_app
from needlepoint.db.connect import connect
from needlepoint.db.migrate import migrate
from needlepoint.settings import ROOT, Settings
from needlepoint.staff import accounts, second_factor, sign_in_limits
from needlepoint.staff.models import StaffMember
from needlepoint.staff.roles import ROLE_PERMISSIONS, Permission
from tests import desk
from tests.desk import token_in
from tests.running import SECRET, Instance, Laboratory, fill

PASSWORD = "correct horse battery"
OPEN, SIGNED_IN, COMMAND = "open", "signed in", "command"

#: Every staff route with what it needs. A new route without a row here fails.
ROUTES: dict[str, str | Permission] = {
    "GET /staff/login": OPEN,
    "POST /staff/login": OPEN,
    "GET /staff/login/code": OPEN,
    "POST /staff/login/code": OPEN,
    "GET /staff/welcome": OPEN,
    "POST /staff/welcome": OPEN,
    "POST /staff/logout": OPEN,
    "GET /staff/static/{file_path:path}": OPEN,
    "POST /api/staff/ask": COMMAND,
    "GET /staff": Permission.READ_CONVERSATIONS,
    "GET /staff/conversations/{conversation:str}": Permission.READ_CONVERSATIONS,
    "GET /staff/conversations/{conversation:str}/news": Permission.READ_CONVERSATIONS,
    "POST /staff/conversations/{conversation:str}/findings": Permission.REVIEW,
    "POST /staff/conversations/{conversation:str}/step-in": Permission.REPLY_TO_PEOPLE,
    "POST /staff/conversations/{conversation:str}/write": Permission.REPLY_TO_PEOPLE,
    "POST /staff/conversations/{conversation:str}/give-back": Permission.REPLY_TO_PEOPLE,
    "POST /staff/conversations/{conversation:str}/export": Permission.EXPORT_PERSON,
    "GET /staff/conversations/{conversation:str}/erase": Permission.ERASE_PERSON,
    "POST /staff/conversations/{conversation:str}/erase": Permission.ERASE_PERSON,
    "GET /staff/inbox": Permission.READ_CONVERSATIONS,
    "GET /staff/inbox/news": Permission.READ_CONVERSATIONS,
    "POST /staff/inbox/next": Permission.REVIEW,
    "GET /staff/inbox/{item_id:int}": Permission.READ_CONVERSATIONS,
    "POST /staff/inbox/{item_id:int}/open": Permission.REVIEW,
    "POST /staff/inbox/{item_id:int}/renew": Permission.REVIEW,
    "POST /staff/inbox/{item_id:int}/leave": Permission.REVIEW,
    "POST /staff/inbox/{item_id:int}/done": Permission.REVIEW,
    "POST /staff/inbox/{item_id:int}/snooze": Permission.REVIEW,
    "POST /staff/inbox/{item_id:int}/assign": Permission.REVIEW,
    "GET /staff/call-backs": Permission.REPLY_TO_PEOPLE,
    "POST /staff/call-backs/{call_back:int}": Permission.REPLY_TO_PEOPLE,
    "GET /staff/alerts": Permission.ACKNOWLEDGE_URGENT,
    "GET /staff/alerts/notice": Permission.ACKNOWLEDGE_URGENT,
    "POST /staff/alerts/{message:int}/acknowledge": Permission.ACKNOWLEDGE_URGENT,
    "GET /staff/answers": Permission.READ_ANSWERS,
    "GET /staff/answers/{entry:str}": Permission.READ_ANSWERS,
    "GET /staff/answers/{entry:str}/edit": Permission.EDIT_ANSWERS,
    "POST /staff/answers/{entry:str}/edit": Permission.EDIT_ANSWERS,
    "GET /staff/answers/unanswered": Permission.READ_CONVERSATIONS,
    "POST /staff/answers/{entry:str}/preview": Permission.EDIT_ANSWERS,
    "POST /staff/answers/{entry:str}/test": Permission.EDIT_ANSWERS,
    "POST /staff/answers/{entry:str}/submit": Permission.EDIT_ANSWERS,
    "POST /staff/answers/{entry:str}/send-back": Permission.EDIT_ANSWERS,
    "POST /staff/answers/{entry:str}/roll-back/{number:int}": Permission.EDIT_ANSWERS,
    "POST /staff/answers/{entry:str}/approve/{number:int}": Permission.APPROVE_ANSWERS,
    "POST /staff/answers/approve": Permission.APPROVE_ANSWERS,
    "POST /staff/answers/{entry:str}/retire": Permission.APPROVE_ANSWERS,
    "POST /staff/answers/{entry:str}/withdraw": Permission.WITHDRAW_ANSWERS,
    "POST /staff/answers/{entry:str}/resume": Permission.WITHDRAW_ANSWERS,
    "POST /staff/answers/assistant/withdraw": Permission.WITHDRAW_ANSWERS,
    "POST /staff/answers/assistant/resume": Permission.WITHDRAW_ANSWERS,
    "GET /staff/people": Permission.MANAGE_STAFF,
    "POST /staff/people": Permission.MANAGE_STAFF,
    "POST /staff/people/{member:int}/role": Permission.MANAGE_STAFF,
    "POST /staff/people/{member:int}/reset": Permission.MANAGE_STAFF,
    "POST /staff/people/{member:int}/end-sessions": Permission.MANAGE_STAFF,
    "POST /staff/people/{member:int}/deactivate": Permission.MANAGE_STAFF,
    "POST /staff/people/{member:int}/reactivate": Permission.MANAGE_STAFF,
    "GET /staff/activity": Permission.READ_ACTIVITY,
    "GET /staff/health": Permission.READ_HEALTH,
    "GET /staff/account": SIGNED_IN,
    "POST /staff/account/password": SIGNED_IN,
    "GET /staff/account/second-factor": SIGNED_IN,
    "POST /staff/account/second-factor": SIGNED_IN,
    "POST /staff/account/second-factor/replace": SIGNED_IN,
}

ROLES = {
    "viewer": "acknowledge urgent messages, read answers, read conversations, see whether everything works",
    "reviewer": "reply to people, review conversations",
    "editor": "edit answers",
    "approver": "approve answers, withdraw answers",
    "admin": "erase a person, export what is stored of a person, manage staff, read who did what",
}


def routes_of(app: Litestar) -> set[str]:
    found = set()
    for route in app.routes:
        if isinstance(route, HTTPRoute) and "/staff" in route.path:
            found |= {f"{method} {route.path.rstrip('/')}" for method in route.methods if method in ("GET", "POST")}
    return found


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Litestar]]:
    """The app in this process, with a member of each role."""
    var = tmp_path_factory.mktemp("desk")
    (var / "cache").symlink_to(ROOT / "var" / "cache")
    settings = Settings(
        secret_key=SECRET, engine_secret=SECRET, var_dir=str(var), staff_second_factor="optional", engine_urls=""
    )
    fill(settings.database)
    engine = connect(settings.database)
    for role in ROLE_PERMISSIONS:
        accounts.add(engine, role, PASSWORD, role)
    engine.dispose()
    with TestClient(create_app(settings).app) as client:
        yield client


def sign_in(http: httpx.Client, name: str, password: str = PASSWORD) -> httpx.Response:
    return desk.sign_in(http, name, password)


def test_each_role_may_do_what_the_one_before_may_and_this() -> None:
    before: frozenset[Permission] = frozenset()
    for role, more in ROLES.items():
        assert before <= ROLE_PERMISSIONS[role]
        assert ", ".join(sorted(ROLE_PERMISSIONS[role] - before)) == more
        before = ROLE_PERMISSIONS[role]


def test_every_route_of_the_desk_stands_in_the_table(client: TestClient[Litestar]) -> None:
    assert routes_of(client.app) == set(ROUTES)


@pytest.mark.parametrize("role", ["nobody", *ROLE_PERMISSIONS])
def test_every_route_lets_pass_or_refuses_each_role_as_the_table_says(client: TestClient[Litestar], role: str) -> None:
    client.cookies.clear()
    csrf = token_in(client.get("/staff/login").text)
    if role != "nobody":
        sign_in(client, role)
    for route, needed in ROUTES.items():
        if needed in (OPEN, COMMAND):
            continue
        method, path = route.split(" ")
        path = re.sub(r"\{\w+:int\}", "999999", path)
        path = re.sub(r"\{\w+:str\}", "does-not-exist", path)
        if path.startswith("/staff/answers/assistant") and needed in ROLE_PERMISSIONS.get(role, ()):
            continue  # would change what the other tests see
        response = client.request(
            method, path, data={"_csrf_token": csrf} if method == "POST" else None, follow_redirects=False
        )
        if role == "nobody":
            assert (response.status_code, response.headers.get("location")) == (303, "/staff/login"), route
        elif needed == SIGNED_IN or needed in ROLE_PERMISSIONS[role]:
            assert response.status_code not in (401, 403), route
            assert response.headers.get("location") != "/staff/login", route
        else:
            assert response.status_code == 403 and "An administrator can change that" in response.text, route
        if method == "POST":
            assert client.post(path, data={}, follow_redirects=False).status_code == 403, f"{route} without a token"


def test_a_name_that_fails_often_waits_a_minute_at_most_and_others_do_not(database_address: str) -> None:
    engine = connect(database_address)
    migrate(engine)
    at = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
    nurse, other = sign_in_limits.account_key("Nurse Aida"), sign_in_limits.account_key("Dr Lim")
    for _ in range(200):
        wait = sign_in_limits.attempt(engine, nurse, "stranger", at)
        at += timedelta(seconds=wait)
        assert wait <= 60
    assert sign_in_limits.attempt(engine, nurse, "clinic", at) > 30
    assert sign_in_limits.attempt(engine, other, "clinic", at) == 0
    assert sign_in_limits.attempt(engine, nurse, "clinic", at + timedelta(seconds=61)) == 0
    sign_in_limits.succeeded(engine, nurse, "clinic")
    assert sign_in_limits.attempt(engine, nurse, "clinic", at + timedelta(seconds=61)) == 0
    engine.dispose()


def test_a_code_of_the_second_factor_works_once_and_so_does_a_recovery_code(database_address: str) -> None:
    engine = connect(database_address)
    migrate(engine)
    doctor = accounts.add(engine, "Dr Lim", PASSWORD, "approver").id
    begun = second_factor.begin(engine, SECRET, doctor)
    assert begun is not None and begun.qr_code.startswith("<svg")
    totp = pyotp.TOTP(begun.secret.replace(" ", ""))
    at = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
    assert second_factor.confirm(engine, SECRET, doctor, "12345", at) is None
    codes = second_factor.confirm(engine, SECRET, doctor, totp.at(at), at)
    assert codes is not None and len(set(codes)) == 8
    assert second_factor.use(engine, SECRET, doctor, totp.at(at), at) is None, "the first code was used to set it up"
    later = at + timedelta(seconds=60)
    assert second_factor.use(engine, SECRET, doctor, totp.at(later), later) == "code"
    assert second_factor.use(engine, SECRET, doctor, totp.at(later), later) is None, "a replay"
    before = later - timedelta(seconds=30)
    assert second_factor.use(engine, SECRET, doctor, totp.at(before), later) is None, "an older one"
    assert second_factor.use(engine, SECRET, doctor, codes[0].upper(), later) == "recovery"
    assert second_factor.use(engine, SECRET, doctor, codes[0], later) is None
    with engine.connect() as connection:
        stored = str(connection.execute(select(StaffMember.totp_secret, StaffMember.recovery_codes)).one())
    assert begun.secret.replace(" ", "") not in stored and codes[1] not in stored
    engine.dispose()


def test_nobody_can_change_the_record_of_who_did_what(client: TestClient[Litestar]) -> None:
    client.cookies.clear()
    sign_in(client, "not on the staff", "my secret password")
    sign_in(client, "admin")
    page = client.get("/staff/activity?what=sign_in_refused").text
    assert "(no such account)" in page and "not on the staff" not in page
    database = client.app.state.settings.database.removeprefix("sqlite:///")
    with sqlite3.connect(database) as connection, pytest.raises(sqlite3.IntegrityError, match="never changed"):
        connection.execute("UPDATE staff_activity SET staff_name = 'somebody else'")


def test_the_last_administrator_cannot_go(client: TestClient[Litestar]) -> None:
    client.cookies.clear()
    sign_in(client, "admin")
    page = client.get("/staff/people").text
    own = re.search(r'for="role-(\d+)">Role of admin<', page)
    assert own
    form = {"_csrf_token": token_in(page), "role": "viewer"}
    refused = client.post(f"/staff/people/{own[1]}/role", data=form)
    assert refused.status_code == 400 and "is the only administrator" in refused.text
    assert client.post(f"/staff/people/{own[1]}/deactivate", data=form).status_code == 400


def test_whoever_is_deactivated_is_out_at_once(client: TestClient[Litestar]) -> None:
    client.cookies.clear()
    sign_in(client, "admin")
    page = client.get("/staff/people").text
    invited = client.post("/staff/people", data={"_csrf_token": token_in(page), "name": "Nurse Bo", "role": "viewer"})
    link = re.search(r"/staff/welcome\?token=([\w-]+)", invited.text)
    member = re.search(r'for="role-(\d+)">Role of Nurse Bo<', invited.text)
    assert link and member
    kept = dict(client.cookies)
    client.cookies.clear()
    welcome = client.get(f"/staff/welcome?token={link[1]}").text
    form = {"_csrf_token": token_in(welcome), "token": link[1], "password": PASSWORD}
    assert client.post("/staff/welcome", data=form).url.path == "/staff"
    nurse = dict(client.cookies)
    client.cookies.clear()
    client.cookies.update(kept)
    client.post(f"/staff/people/{member[1]}/deactivate", data={"_csrf_token": token_in(page)})
    client.cookies.clear()
    client.cookies.update(nurse)
    assert client.get("/staff").url.path == "/staff/login"
    assert sign_in(client, "Nurse Bo").status_code == 401


@pytest.mark.parametrize("role", ROLE_PERMISSIONS)
def test_who_may_review_begins_in_the_inbox_and_others_in_the_list(client: TestClient[Litestar], role: str) -> None:
    client.cookies.clear()
    begins = "/staff/inbox" if Permission.REVIEW in ROLE_PERMISSIONS[role] else "/staff"
    entered = sign_in(client, role)
    assert entered.url.path == begins
    assert f'<p class="product"><a href="{begins}">' in entered.text


def test_signing_out_makes_a_copied_cookie_useless_on_every_device(client: TestClient[Litestar]) -> None:
    client.cookies.clear()
    sign_in(client, "reviewer")
    elsewhere = dict(client.cookies)
    client.cookies.clear()
    page = sign_in(client, "reviewer")
    copied = dict(client.cookies)
    left = client.post("/staff/logout", data={"_csrf_token": token_in(page.text)})
    assert left.url.path == "/staff/login" and "You are signed out" in left.text
    for cookies in (copied, elsewhere):
        client.cookies.clear()
        client.cookies.update(cookies)
        for path in ("/staff", "/staff/inbox", "/staff/inbox/news", "/staff/account"):
            refused = client.get(path)
            assert refused.url.path == "/staff/login" and "Your session is over" in refused.text, path
    client.cookies.clear()
    assert sign_in(client, "reviewer").url.path == "/staff/inbox", "the account itself is as it was"


def test_an_approver_is_led_through_the_second_factor_before_anything_else(laboratory: Laboratory) -> None:
    instance: Instance = laboratory.instance([], wait="/health/live", staff_second_factor="editors")
    engine = connect(instance.database)
    accounts.add(engine, "Dr Lim", PASSWORD, "approver")
    engine.dispose()
    with instance.http(follow_redirects=True) as http:
        page = sign_in(http, "Dr Lim")
        assert page.url.path == "/staff/account/second-factor"
        assert http.get("/staff/answers").url.path == "/staff/account/second-factor"
        secret = re.search(r'class="secret">([A-Z2-7 ]+)<', page.text)
        assert secret
        totp = pyotp.TOTP(secret[1].replace(" ", ""))
        code = totp.now()
        done = http.post("/staff/account/second-factor", data={"_csrf_token": token_in(page.text), "code": code})
        assert "Your recovery codes" in done.text
        recovery = re.search(r"<code>([\w-]{19})</code>", done.text)
        assert recovery and http.get("/staff/answers").url.path == "/staff/answers"
    with instance.http(follow_redirects=True) as http:
        page = sign_in(http, "Dr Lim")
        assert page.url.path == "/staff/login/code"
        assert http.get("/staff").url.path == "/staff/login", "a password alone lets nobody in"
        form = {"_csrf_token": token_in(page.text), "code": code}
        assert http.post("/staff/login/code", data=form).status_code == 401
        assert http.post("/staff/login/code", data={**form, "code": recovery[1]}).url.path == "/staff/inbox"
    instance.stop()
