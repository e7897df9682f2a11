"""A member of staff answers a Telegram chat from the desk in a real browser, and gives it back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from needlepoint.db.connect import connect
from needlepoint.staff import accounts
from tests.browser.test_staff_pages import PASSWORD, sign_in
from tests.running import Engine, Laboratory
from tests.telegram_server import TOKEN, BotApiServer, Patient

pytestmark = pytest.mark.browser


def test_a_nurse_takes_a_telegram_chat_over_writes_and_gives_it_back(
    laboratory: Laboratory, engine: Engine, open_page: Callable[..., Page]
) -> None:
    with BotApiServer() as server:
        app = laboratory.instance([engine], telegram_bot_token=TOKEN, telegram_api_base_url=server.url, start=False)
        staff = connect(app.database)
        accounts.add(staff, "Nurse Aida", PASSWORD, "reviewer")
        staff.dispose()
        app.start()
        patient = Patient(server, 8_100_001).agrees()
        patient.say("I want to talk to a person")

        page = open_page(f"{app.url}/staff/login", 1366, 768)
        sign_in(page, "Nurse Aida")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        page.goto(f"{app.url}/staff")
        page.locator("#conversations a, main table a").first.click()
        count = len(patient.got)
        page.get_by_role("button", name="Step in").click()
        assert "has joined this chat" in patient.next(count).text
        count = len(patient.got)
        page.get_by_label("Your words to the person").fill("Hello, this is Aida of the clinic.")
        page.get_by_role("button", name="Send").click()
        assert patient.next(count).text == "Hello, this is Aida of the clinic."
        assert "is with the staff" in patient.say("does it hurt?").text
        page.reload()
        expect(page.locator("#transcript")).to_contain_text("does it hurt?")
        assert "Emergency" in patient.say("I cannot breathe and my tongue is swelling").text, "safety does not pause"
        page.reload()
        count = len(patient.got)
        page.get_by_role("button", name="Give back to the assistant").click()
        assert "have left this chat" in patient.next(count).text
        expect(page.locator("#transcript")).to_contain_text("delivered")
        app.stop()
