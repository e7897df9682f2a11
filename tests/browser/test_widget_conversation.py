"""A conversation in the widget: what arrives, what is kept, what is told, whatever happens to the connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.patient import agree, answer_with, box, log, send
from tests.running import Instance

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

PAIN = "Does microneedling hurt?"


@pytest.mark.parametrize(
    "text", ["fever > 38 C or pain < 2 days", "&lt;b&gt; &amp;", "[x] 5 * 3 * 2", "SPF_50 _a_ *b*", "<img src=x>", "**"]
)
def test_a_reply_is_shown_character_for_character(instance: Instance, open_page: OpenPage, text: str) -> None:
    """W1."""
    page = open_page(instance.url)
    agree(page)
    answer_with(page, text=text)
    send(page, "hello")
    expect(log(page).locator(".assistant .card").last).to_have_text(text)
    assert log(page).locator("img").count() == 0


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/staff",
        "https:evil",
        "vbscript:x",
    ],
)
def test_only_whole_addresses_of_harmless_schemes_become_links(
    instance: Instance, open_page: OpenPage, address: str
) -> None:
    """W2."""
    page = open_page(instance.url)
    agree(page)
    source = {"name": "A source", "url": address, "grade": "review"}
    answer = {"entry_id": "x", "version": 1, "language": "en", "question": "Q", "text": f"[a]({address})"}
    answer |= {"reviewed_on": "2026-01-02", "sources": [source]}
    answer_with(page, text=f"See [here]({address}) or [there](https://a.example/b)", answers=[answer])
    send(page, "hello")
    card = log(page).locator(".assistant .card").last
    expect(card).to_contain_text(f"See [here]({address}) or there")
    card.locator("summary").click()
    expect(card).to_contain_text("A source (published review or trial)")
    expect(card).to_contain_text("Reviewed on 2 January 2026")
    assert card.locator("a").evaluate_all("all => all.map((one) => one.href)") == ["https://a.example/b"]
    assert card.locator("a").get_attribute("rel") == "noopener noreferrer nofollow"


def test_a_connection_cut_between_send_and_reply_loses_nothing_and_doubles_nothing(
    instance: Instance, open_page: OpenPage
) -> None:
    """W4."""
    page = open_page(instance.url)
    agree(page)
    cut: list[str] = []

    def cut_once(route: Route) -> None:
        if route.request.method != "POST" or cut:
            return route.continue_()
        cut.append(route.request.post_data_json["message_id"])
        route.fetch()  # the service has it and answers; the answer is lost on the way back
        return route.abort("connectionreset")

    page.route("**/api/conversations/*/messages", cut_once)
    send(page, "does it hurt?")
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    page.wait_for_timeout(2500)
    expect(log(page).get_by_text(PAIN)).to_have_count(1)
    expect(log(page).get_by_text("does it hurt?", exact=True)).to_have_count(1)
    expect(log(page).locator(".failure")).to_have_count(0)
    assert cut


def test_what_is_typed_offline_is_kept_and_sent_once_also_over_a_page_change(
    instance: Instance, open_page: OpenPage
) -> None:
    page = open_page(instance.url)
    agree(page)
    page.context.set_offline(True)
    expect(page.locator(".line")).to_be_visible()
    send(page, "does it hurt?")
    expect(log(page).get_by_text("Your text is kept here and is sent once you are back")).to_be_visible()
    expect(page.locator("a[href='tel:999']").first).to_be_visible()
    page.context.set_offline(False)
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    expect(page.locator(".line")).to_be_hidden()
    page.route("**/api/conversations/*/messages", lambda route: route.abort())
    send(page, "how many sessions will I need?")
    expect(log(page).get_by_text("Not sent yet")).to_be_visible()
    page.unroute("**/api/conversations/*/messages")
    page.reload()
    expect(log(page).get_by_text("How many sessions will I need?", exact=True)).to_be_visible()
    expect(log(page).get_by_text("how many sessions will I need?", exact=True)).to_have_count(1)


def test_without_a_stream_replies_are_polled_for(instance: Instance, open_page: OpenPage) -> None:
    page = open_page(instance.url)
    page.route("**/events", lambda route: route.fulfill(status=503, json={"error": {"code": "too_many_streams"}}))
    agree(page)
    with page.expect_request(lambda request: request.method == "GET" and request.url.endswith("/messages")):
        pass
    kept = page.evaluate("Object.entries(sessionStorage).find(([name]) => name.endsWith(' session'))[1]")
    said = page.evaluate(
        """async (kept) => {
          const { conversation, token } = JSON.parse(kept);
          const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
          const body = JSON.stringify({ message_id: "from-a-phone", text: "does it hurt?" });
          return (await fetch(`/api/conversations/${conversation}/messages`, { method: "POST", headers, body })).status;
        }""",
        kept,
    )
    assert said == 200
    expect(log(page).get_by_text("does it hurt?", exact=True)).to_be_visible()
    expect(log(page).get_by_text(PAIN)).to_have_count(1)


def test_two_tabs_hold_one_conversation_and_show_it_once(instance: Instance, open_page: OpenPage) -> None:
    """W8."""
    one = open_page(instance.url)
    context: BrowserContext = one.context
    other = context.new_page()
    other.goto(instance.url)
    opened: list[str] = []
    context.on(
        "request",
        lambda it: opened.append(it.url) if it.method == "POST" and it.url.endswith("conversations") else None,
    )
    expect(other.get_by_role("button", name="I agree, start")).to_be_visible()
    one.bring_to_front()
    agree(one)
    send(one, "does it hurt?")
    expect(log(one).get_by_text(PAIN)).to_be_visible()
    other.bring_to_front()
    expect(log(other).get_by_text(PAIN)).to_be_visible()
    expect(other.get_by_role("button", name="I agree, start")).to_have_count(0)
    send(other, "how many sessions will I need?")
    for page in (other, one):
        page.bring_to_front()
        expect(log(page).get_by_text("How many sessions will I need?", exact=True)).to_have_count(1)
        expect(log(page).get_by_text("how many sessions will I need?", exact=True)).to_have_count(1)
        expect(log(page).get_by_text(PAIN)).to_have_count(1)
    assert len(opened) == 1
    third = context.new_page()
    third.goto(instance.url)
    expect(log(third).get_by_text(PAIN)).to_have_count(1)
    other.get_by_role("button", name="Delete this chat").click()
    other.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    for page in (other, one, third):
        expect(log(page).get_by_text("Your chat has been deleted")).to_be_visible()
        expect(log(page).get_by_text(PAIN)).to_have_count(0)


def test_where_storage_is_blocked_the_chat_works_all_the_same(instance: Instance, open_page: OpenPage) -> None:
    """W9."""
    page = open_page("about:blank")
    page.add_init_script(
        """for (const name of ["sessionStorage", "localStorage"]) {
          Object.defineProperty(window, name, { get() { throw new DOMException("blocked", "SecurityError"); } });
        }"""
    )
    page.goto(instance.url)
    agree(page)
    send(page, "does it hurt?")
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    send(page, "how many sessions will I need?")
    expect(log(page).get_by_text("How many sessions will I need?", exact=True)).to_be_visible()


def test_only_who_asks_for_it_is_remembered_after_the_tab_is_closed(instance: Instance, open_page: OpenPage) -> None:
    page = open_page(instance.url)
    context = page.context
    agree(page)
    send(page, "does it hurt?")
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    assert page.evaluate("localStorage.length") == 0
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_label("Remember this chat on this device").check()
    page.close()
    later = context.new_page()
    later.goto(instance.url)
    expect(log(later).get_by_text(PAIN)).to_be_visible()
    later.get_by_role("button", name="More", exact=True).click()
    later.get_by_label("Remember this chat on this device").uncheck()
    assert later.evaluate("localStorage.length") == 0


def test_a_new_reply_is_announced_once_as_text_and_history_never(instance: Instance, open_page: OpenPage) -> None:
    """W6."""
    page = open_page("about:blank")
    page.add_init_script(
        """window.heard = [];
        const attach = Element.prototype.attachShadow;
        Element.prototype.attachShadow = function (options) {
          const root = attach.call(this, options);
          new MutationObserver((changes) => {
            for (const { target, addedNodes } of changes) {
              if (!target.matches?.("[aria-live]")) continue;
              for (const one of addedNodes) window.heard.push([target.ariaLive, one.textContent, one.children.length]);
            }
          }).observe(root, { childList: true, subtree: true });
          return root;
        };"""
    )
    page.goto(instance.url)
    agree(page)
    send(page, "does it hurt?")
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    heard: list[Any] = page.evaluate("window.heard")
    assert len(heard) == 1
    level, words, elements = heard[0]
    assert (level, elements) == ("polite", 0)
    assert words.startswith(f"Assistant. {PAIN}") and "When to contact the clinic" in words
    assert "Starting text" not in words and "*" not in words
    page.wait_for_timeout(5500)
    assert log(page).locator("xpath=ancestor::*[@aria-live]").count() == 0
    expect(page.locator("[aria-live=polite]")).to_be_empty()
    send(page, "my tongue is swelling and I cannot breathe")
    expect(log(page).locator(".card.urgent")).to_be_visible()
    assert [one[0] for one in page.evaluate("window.heard")] == ["polite", "assertive"]
    page.reload()
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    assert page.evaluate("window.heard") == []


def test_a_pressed_choice_stays_keeps_the_focus_and_says_so_also_after_a_reload(
    instance: Instance, open_page: OpenPage
) -> None:
    """W7."""
    page = open_page(instance.url)
    agree(page)
    send(page, "I want to check if it suits me")
    card = log(page).locator(".entry.assistant").nth(1)
    choices = card.locator("button.choice")
    expect(choices.first).to_be_visible()
    title = choices.first.inner_text()
    choices.first.focus()
    page.keyboard.press("Enter")
    pressed = card.get_by_role("button", name=f"{title} (chosen)")
    expect(pressed).to_be_focused()
    assert choices.count() > 1
    assert set(choices.evaluate_all("all => all.map((one) => one.ariaDisabled)")) == {"true"}
    expect(log(page).locator(".entry.assistant")).to_have_count(3)
    page.keyboard.press("Enter")
    expect(log(page).locator(".entry.person")).to_have_count(2)
    page.reload()
    expect(log(page).get_by_role("button", name=f"{title} (chosen)")).to_have_count(1)


def test_thumbs_and_the_reason_reach_the_clinic_and_can_be_changed(instance: Instance, open_page: OpenPage) -> None:
    page = open_page(instance.url)
    agree(page)
    send(page, "does it hurt?")
    thumbs = log(page).get_by_role("group", name="Was this helpful?")
    with page.expect_response("**/feedback") as given:
        thumbs.get_by_role("button", name="Helpful", exact=True).click()
    assert given.value.request.post_data_json == {"helpful": True, "reason": None, "comment": None}
    expect(thumbs.get_by_role("button", name="Helpful", exact=True)).to_have_attribute("aria-pressed", "true")
    thumbs.get_by_role("button", name="Not helpful").click()
    page.get_by_label("Something is missing").check()
    page.get_by_label("In your own words").fill("what about the nose?")
    with page.expect_response("**/feedback") as given:
        page.get_by_role("button", name="Send to the clinic").click()
    sent = given.value.request.post_data_json
    assert sent == {"helpful": False, "reason": "not_enough", "comment": "what about the nose?"}
    expect(thumbs.get_by_role("button", name="Not helpful")).to_be_focused()
    expect(log(page).get_by_text("The clinic's staff can see this")).to_be_visible()
    page.reload()
    expect(thumbs.get_by_role("button", name="Not helpful")).to_have_attribute("aria-pressed", "true")


def test_the_urgent_numbers_stay_in_view_until_the_person_says_that_it_is_over(
    instance: Instance, open_page: OpenPage
) -> None:
    page = open_page(instance.url, width=360, height=740)
    agree(page)
    send(page, "my tongue is swelling and I cannot breathe")
    bar = page.locator(".urgent-bar")
    expect(bar).to_contain_text("Emergency: get help now")
    expect(bar.locator("a[href='tel:999']")).to_be_in_viewport()
    box(page).fill("")
    for _ in range(6):
        box(page).press("PageUp")
    expect(bar.locator("a[href='tel:999']")).to_be_in_viewport()
    send(page, "does it hurt?")
    log(page).locator(".assistant").last.get_by_role("button").first.click()
    expect(bar).to_be_hidden()
    expect(page.locator(".emergency a[href='tel:999']")).to_be_in_viewport()


def test_a_copy_a_print_and_an_e_mail_hold_the_whole_conversation_and_nothing_is_uploaded(
    instance: Instance, open_page: OpenPage
) -> None:
    page = open_page("about:blank")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.add_init_script(
        """window.print = () => { top.printed = [document.title, document.body.innerText]; };
        window.addEventListener("click", (event) => {
          const link = event.composedPath()[0];
          if (link.protocol === "mailto:") { event.preventDefault(); top.mailed = link.href; }
        }, true);
        const click = HTMLAnchorElement.prototype.click;
        HTMLAnchorElement.prototype.click = function () {
          if (this.protocol === "mailto:") top.mailed = this.href; else click.call(this);
        };"""
    )
    page.goto(instance.url)
    agree(page)
    send(page, "does it hurt?")
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("button", name="Copy the chat").click()
    expect(page.get_by_text("Copied.", exact=True).first).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    for words in ("does it hurt?", PAIN, "When to contact the clinic", "999", "not medical advice"):
        assert words in copied, words
    page.get_by_role("button", name="Print or save as PDF").click()
    title, printed = page.evaluate("window.printed")
    assert title == "Ask The Face Inc (example)"
    assert "does it hurt?" in printed and PAIN in printed and "Type your question" not in printed
    page.get_by_role("button", name="E-mail it to myself").click()
    mailed = page.evaluate("window.mailed")
    assert mailed.startswith("mailto:?subject=My%20chat") and len(mailed) <= 1900
    assert not [url for url in requests if "/events" not in url and not url.endswith("/messages")]


def test_the_widget_speaks_malay_where_it_is_asked_to(instance: Instance, open_page: OpenPage) -> None:
    page = open_page(instance.url)
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("button", name="Bahasa Melayu").click()
    expect(page.get_by_role("button", name="Saya setuju, mula")).to_be_visible()
    page.get_by_role("button", name="Saya setuju, mula").click()
    page.get_by_role("button", name="Bercakap dengan orang").click()
    expect(page.get_by_role("list", name="Perbualan")).to_contain_text("Mesej anda telah ditandakan")
