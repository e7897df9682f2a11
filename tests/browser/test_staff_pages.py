"""A nurse at the desk, in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Page, expect

from needlepoint.clinic import read_clinic
from needlepoint.db.connect import connect
from needlepoint.faq import store
from needlepoint.settings import ROOT
from needlepoint.staff import accounts
from tests.desk import edit
from tests.running import Instance, Laboratory

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
    page.get_by_text("How it was worked out").first.click()
    body = page.locator("main").inner_text()
    for expected in ("redness-duration", "ask_side_effects", "severe-allergic-reaction", "emergency_now"):
        assert expected in body or expected.replace("_", " ") in body, expected


def test_a_nurse_sees_which_answers_need_somebody_the_worst_first(
    laboratory: Laboratory, open_page: Callable[..., Page]
) -> None:
    instance = laboratory.instance([], wait="/health/live", start=False)
    engine = connect(instance.database)
    for name, role in (("Nurse Aida", "viewer"), ("Dr Lim", "approver")):
        accounts.add(engine, name, PASSWORD, role)
    today = datetime.now(read_clinic(ROOT / "clinic.toml").zone).date()
    year_ago = today - timedelta(days=365)
    store.approve(engine, ["makeup-after"], "Dr Lim", year_ago, today - timedelta(days=15))
    store.approve(engine, ["does-it-hurt"], "Dr Lim", year_ago, today + timedelta(days=5))
    store.approve(engine, ["redness-duration"], "Dr Lim", year_ago, today + timedelta(days=300))
    hostile = "<script>document.title='owned'</script>"
    edit(engine, "redness-duration", hostile, author=hostile, state="in_review")
    instance.start()
    ends = time.monotonic() + 60
    while "answers due for review" not in instance.whole_log() and time.monotonic() < ends:
        time.sleep(0.1)
    page = open_page(f"{instance.url}/staff/answers?topic=pain")
    expect(page).to_have_url(f"{instance.url}/staff/login")
    sign_in(page, "Nurse Aida")
    for words in (
        "1 answer has expired and is no longer given",
        "1 answer is due for review within 7 days",
        "given to patients and marked as such",
    ):
        expect(page.get_by_role("note").filter(has_text=words)).to_be_visible()
    page.get_by_role("link", name="See what is due").click()
    rows = page.get_by_role("row")
    expect(rows).to_have_count(3)
    page.get_by_role("link", name="See which answers").click()
    expect(rows.nth(1)).to_contain_text("makeup-after")
    expect(rows.nth(1)).to_contain_text("Was due 15 days ago. No longer given.")
    expect(rows.nth(2)).to_contain_text("does-it-hurt")
    expect(rows.nth(2)).to_contain_text("due in 5 days")
    expect(rows.nth(3)).to_contain_text("starting text awaiting approval")
    expect(rows.last).to_contain_text("Version 2 awaits approval.")
    page.get_by_label("Topic").select_option("pain")
    page.get_by_role("search").get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="Answers: pain")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="makeup-after")).to_have_count(0)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"
    page.goto(f"{instance.url}/staff/answers?topic=%3Cscript%3E")
    expect(page.get_by_role("heading", name="Answers", exact=True)).to_be_visible()
    assert page.title() != "owned"
    assert "answers due for review: expired 1 (makeup-after); within 7 1 (does-it-hurt)" in instance.whole_log()
    instance.stop()


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
    expect(page).to_have_url(f"{instance.url}/staff/inbox")
    again = open_page(link)
    expect(again.get_by_text("used or has expired")).to_be_visible()


def test_signing_out_ends_the_session(instance: Instance, nurse: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{instance.url}/staff/login")
    sign_in(page, nurse)
    cookies = page.context.cookies()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text(re.compile("You are signed out"))
    page.goto(f"{instance.url}/staff")
    expect(page).to_have_url(f"{instance.url}/staff/login")
    page.context.add_cookies([{key: cookie[key] for key in ("name", "value", "path", "domain")} for cookie in cookies])
    page.goto(f"{instance.url}/staff")
    expect(page.get_by_text("Your session is over")).to_be_visible()


def test_nobody_reads_a_transcript_without_signing_in(instance: Instance) -> None:
    conversation = instance.conversation()
    conversation.say("a private matter")
    with httpx.Client(base_url=instance.url, trust_env=False) as http:
        for path in ("/staff", "/staff/answers", f"/staff/conversations/{conversation.id}"):
            response = http.get(path)
            assert response.status_code == 303
            assert "private" not in response.text
        assert http.post("/api/staff/ask", json={}).status_code == 401
        assert http.post("/staff/login", data={"name": "x", "password": "y"}).status_code == 403, "no CSRF token"


def test_a_page_that_stays_open_says_by_itself_that_an_urgent_message_came_and_the_button_ends_it(
    laboratory: Laboratory, open_page: Callable[..., Page]
) -> None:
    instance = laboratory.instance([], wait="/health/live")
    engine = connect(instance.database)
    accounts.add(engine, "Nurse Aida", PASSWORD, "viewer")
    engine.dispose()
    page = open_page(f"{instance.url}/staff/login", 390, 800)
    page.clock.install()
    sign_in(page, "Nurse Aida")
    notice = page.get_by_role("note").filter(has_text="nobody has acknowledged")
    expect(page.get_by_role("heading", name="Conversations")).to_be_visible()
    expect(notice).to_have_count(0)
    instance.conversation(consent=False).say("my tongue is swelling and I cannot breathe")
    page.clock.run_for(31_000)
    expect(notice).to_contain_text("1 urgent message nobody has acknowledged")
    notice.get_by_role("link", name="See it").click()
    expect(page.get_by_text("Before consent: there is no text")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"
    acknowledge = page.get_by_role("button", name="Acknowledge")
    acknowledge.focus()
    instance.conversation(consent=False).say("my tongue is swelling and I cannot breathe")
    page.clock.run_for(31_000)
    expect(acknowledge).to_have_count(2)
    expect(acknowledge.and_(page.locator(":focus"))).to_have_count(1)
    for left in (1, 0):
        acknowledge.first.click()
        expect(acknowledge).to_have_count(left)
    expect(page.get_by_text("by Nurse Aida")).to_have_count(2)
    expect(notice).to_have_count(0)
    instance.stop()
