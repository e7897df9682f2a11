"""A patient on the chat page, in a real browser."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.patient import agree, send
from tests.running import Instance, Laboratory

pytestmark = pytest.mark.browser

# A cold process on a busy machine answers its first message late; what is late for a person, benchmarks measure.
expect.set_options(timeout=15_000)

OpenPage = Callable[..., Page]


@pytest.mark.parametrize("width", [360, 1366])
def test_a_person_types_a_question_and_reads_the_answer(instance: Instance, open_page: OpenPage, width: int) -> None:
    page = open_page(instance.url, width=width)
    agree(page)
    send(page, "When can I wear makeup again after microneedling?")
    card = page.get_by_role("list", name="Conversation").get_by_text("When can I wear makeup?")
    expect(card).to_be_visible()
    expect(page.get_by_text("not yet reviewed by the clinic").first).to_be_visible()
    expect(page.get_by_text("When to contact the clinic").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"


def test_a_question_typed_before_agreeing_is_kept_and_answered_afterwards(
    instance: Instance, open_page: OpenPage
) -> None:
    page = open_page(instance.url)
    send(page, "does it hurt?")
    agree(page)
    expect(page.get_by_role("list", name="Conversation").get_by_text("Does microneedling hurt?")).to_be_visible()


def test_who_types_while_the_agreement_is_on_its_way_is_not_asked_again(
    instance: Instance, open_page: OpenPage
) -> None:
    page = open_page(instance.url)

    def slowly(route: Route) -> None:
        time.sleep(0.7)
        route.continue_()

    page.route("**/api/conversations", slowly)
    page.get_by_role("button", name="I agree, start").click()
    send(page, "does it hurt?")
    conversation = page.get_by_role("list", name="Conversation")
    expect(conversation.get_by_text("Does microneedling hurt?")).to_be_visible()
    expect(page.get_by_role("button", name="I agree, start")).to_have_count(0)


def test_the_whole_way_works_by_keyboard(instance: Instance, open_page: OpenPage) -> None:
    page = open_page(instance.url)
    page.get_by_role("button", name="I agree, start").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("textbox").focus()
    page.keyboard.type("how many sessions will I need?")
    page.keyboard.press("Enter")
    expect(
        page.get_by_role("list", name="Conversation").get_by_text("How many sessions will I need?", exact=True).first
    ).to_be_visible()


def test_an_urgent_message_shows_the_card_with_numbers_to_call(instance: Instance, open_page: OpenPage) -> None:
    page = open_page(instance.url, width=360)
    agree(page)
    send(page, "my tongue is swelling and I cannot breathe")
    expect(page.locator("a[href='tel:999']").last).to_be_visible()


def test_an_urgent_message_before_agreeing_is_answered_at_once(instance: Instance, open_page: OpenPage) -> None:
    page = open_page(instance.url)
    send(page, "my tongue is swelling and I cannot breathe")
    expect(page.get_by_role("list", name="Conversation").locator("a[href='tel:999']").first).to_be_visible()


def test_with_no_engine_a_person_reads_an_apology_and_still_gets_urgent_cards(
    laboratory: Laboratory, open_page: OpenPage
) -> None:
    instance = laboratory.instance([], wait="/health/live")
    page = open_page(instance.url)
    agree(page)
    send(page, "does it hurt?")
    expect(page.get_by_role("list", name="Conversation").get_by_text("I cannot answer just now")).to_be_visible()
    began = time.monotonic()
    send(page, "there is pus coming out of my cheek")
    expect(page.get_by_role("list", name="Conversation").locator("a[href^='tel:']").first).to_be_visible()
    assert time.monotonic() - began < 2
    instance.stop()


def test_a_reload_shows_the_conversation_again(instance: Instance, open_page: OpenPage) -> None:
    page = open_page(instance.url)
    agree(page)
    send(page, "does it hurt?")
    expect(page.get_by_role("list", name="Conversation").get_by_text("Does microneedling hurt?")).to_be_visible()
    page.reload()
    expect(page.get_by_role("list", name="Conversation").get_by_text("does it hurt?", exact=True)).to_be_visible()
    expect(page.get_by_role("list", name="Conversation").get_by_text("Does microneedling hurt?")).to_have_count(1)


def test_a_person_can_delete_the_chat_on_the_server(instance: Instance, open_page: OpenPage) -> None:
    page = open_page(instance.url)
    agree(page)
    send(page, "does it hurt?")
    expect(page.get_by_role("list", name="Conversation").get_by_text("Does microneedling hurt?")).to_be_visible()
    with page.expect_response(lambda response: response.request.method == "DELETE") as deleted:
        page.get_by_role("button", name="Delete this chat").first.click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").last.click()
    assert deleted.value.status == 204
    expect(page.get_by_role("list", name="Conversation").get_by_text("Does microneedling hurt?")).to_have_count(0)


def test_what_a_person_types_is_shown_exactly_and_runs_nowhere(instance: Instance, open_page: OpenPage) -> None:
    page = open_page(instance.url)
    agree(page)
    hostile = "<img src=x onerror=\"document.title='owned'\"> 2 * 3 < 7 &lt; [x](javascript:alert(1))"
    send(page, hostile)
    expect(page.get_by_role("list", name="Conversation").get_by_text(hostile, exact=True)).to_be_visible()
    page.wait_for_timeout(300)
    assert page.title() != "owned"
    assert page.locator("a[href^='javascript']").count() == 0
