"""A nurse at the desk, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect

from needlepoint.db.connect import connect
from needlepoint.staff import accounts
from tests.running import Instance

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def nurse(instance: Instance) -> str:
    """An account that may read."""
    engine = connect(instance.database)
    accounts.add(engine, "Nurse Aida", PASSWORD, "viewer")
    engine.dispose()
    return "Nurse Aida"


def sign_in(page: Page, name: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_a_nurse_signs_in_and_reads_a_conversation_whole(
    instance: Instance, nurse: str, open_page: Callable[..., Page]
) -> None:
    hostile = "<script>document.title='owned'</script> how long will I be red?"
    conversation = instance.conversation()
    conversation.say(hostile)
    conversation.say("my tongue is swelling and I cannot breathe")
    page = open_page(f"{instance.url}/staff")
    expect(page).to_have_url(f"{instance.url}/staff/login")
    sign_in(page, nurse)
    expect(page.get_by_text("starting texts").first).to_be_visible()
    page.locator(f"a[href$='/staff/conversations/{conversation.id}']").first.click()
    expect(page.get_by_text(hostile)).to_be_visible()
    assert page.title() != "owned"
    body = page.locator("main").inner_text()
    for expected in ("redness-duration", "ask_side_effects", "severe-allergic-reaction", "emergency_now"):
        assert expected in body or expected.replace("_", " ") in body, expected


def test_a_wrong_password_is_refused_and_tells_nothing(
    instance: Instance, nurse: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{instance.url}/staff/login")
    for name in (nurse, "nobody"):
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill("not the password")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Name or password is wrong.")).to_be_visible()


def test_the_one_time_link_makes_an_administrator_once(instance: Instance, open_page: Callable[..., Page]) -> None:
    engine = connect(instance.database)
    link = f"{instance.url}/staff/welcome?token={accounts.one_time_token(engine)}"
    engine.dispose()
    page = open_page(link)
    page.get_by_label("Name").fill("Dr Lim")
    page.get_by_label("Password").first.fill(PASSWORD)
    page.get_by_role("button").last.click()
    expect(page).to_have_url(f"{instance.url}/staff")
    again = open_page(link)
    expect(again.get_by_text("used or has expired")).to_be_visible()


def test_signing_out_ends_the_session(instance: Instance, nurse: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{instance.url}/staff/login")
    sign_in(page, nurse)
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{instance.url}/staff")
    expect(page).to_have_url(f"{instance.url}/staff/login")


def test_nobody_reads_a_transcript_without_signing_in(instance: Instance) -> None:
    conversation = instance.conversation()
    conversation.say("a private matter")
    with httpx.Client(base_url=instance.url, trust_env=False) as http:
        for path in ("/staff", f"/staff/conversations/{conversation.id}"):
            response = http.get(path)
            assert response.status_code == 303
            assert "private" not in response.text
        assert http.post("/api/staff/ask", json={}).status_code == 401
        assert http.post("/staff/login", data={"name": "x", "password": "y"}).status_code == 403, "no CSRF token"
