"""What a patient does with the chat, wherever it is."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, Route, expect

#: A reply as the service sends it; tests fill in what they are about.
REPLY: dict[str, Any] = {"kind": "answer", "topic": "pain", "text": "", "answers": [], "choices": [], "urgency": "none"}


def agree(page: Page) -> None:
    """Read the greeting and agree."""
    page.get_by_role("button", name="I agree, start").click()
    expect(page.get_by_text("You agreed to the privacy notice")).to_be_visible()


def box(page: Page) -> Locator:
    """The message box."""
    return page.get_by_role("textbox", name="Your message")


def send(page: Page, text: str) -> None:
    """Type and press Enter."""
    box(page).fill(text)
    box(page).press("Enter")


def log(page: Page) -> Locator:
    """The conversation."""
    return page.get_by_role("list", name="Conversation")


def open_chat(page: Page) -> None:
    """Press the launcher."""
    page.locator("button.launcher").click()
    expect(log(page)).to_be_visible()


def answer_with(page: Page, **reply: Any) -> None:
    """Let the service's next replies be this one."""

    def fulfil(route: Route) -> None:
        if route.request.method != "POST":
            return route.continue_()
        sent = route.request.post_data_json
        outcome = {
            "message_id": sent["message_id"],
            "state": "answered",
            "event_id": None,
            "at": "2026-11-27T08:00:00Z",
        }
        return route.fulfill(json={**outcome, "reply": {**REPLY, **reply}})

    page.route("**/api/conversations/*/messages", fulfil)
