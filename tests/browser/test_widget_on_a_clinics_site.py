"""The widget on pages of a clinic's own site: another origin, a strict policy, styles of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from needlepoint.channels.web.widget import WIDGET
from tests.browser.patient import agree, box, log, open_chat, send
from tests.running import Engine, Instance, Laboratory
from tests.sites import Site, serving

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

PAIN = "Does microneedling hurt?"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A clinic's site that may embed the chat."""
    with serving() as site:
        yield site


@pytest.fixture(scope="module")
def app(laboratory: Laboratory, engine: Engine, site: Site) -> Iterator[Instance]:
    """An app that lets this site embed it, and has its demo page."""
    app = laboratory.instance([engine], embed_origins=site.origin, demo_page="true")
    yield app
    app.stop()


def test_one_tag_works_under_a_strict_policy_without_cookies_or_other_hosts(
    app: Instance, site: Site, open_page: OpenPage
) -> None:
    """W10; open_page fails the test for a violation of the policy or a request elsewhere."""
    site.carries(app.url)
    page = open_page(site.origin)
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    open_chat(page)
    agree(page)
    send(page, "does it hurt?")
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    page.get_by_role("button", name="Not helpful").click()
    page.get_by_role("button", name="Send to the clinic").click()
    expect(log(page).get_by_text("The clinic's staff can see this")).to_be_visible()
    send(page, "my tongue is swelling and I cannot breathe")
    expect(log(page).locator(".card.urgent")).to_be_visible()
    page.get_by_role("button", name="Delete this chat").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(log(page).get_by_text("Your chat has been deleted")).to_be_visible()
    assert page.context.cookies() == [] and site.cookies == []
    assert not [url for url in urls if not url.startswith((app.url, site.origin))]
    assert not [url for url in urls if "eyJ" in url], "the token stands in no address"


def test_a_site_that_may_not_embed_it_is_told_so_in_the_console(app: Instance, open_page: OpenPage) -> None:
    with serving() as stranger:
        stranger.carries(app.url)
        page = open_page("about:blank")
        told: list[str] = []
        page.on("console", lambda message: told.append(message.text))
        page.goto(stranger.origin)
        page.wait_for_function("document.querySelector('needlepoint-chat')?.hidden")
        expect(page.locator("button.launcher")).to_be_hidden()
        assert any(f"Needlepoint: {stranger.origin} may not embed this chat" in line for line in told)
        assert any("NEEDLEPOINT_EMBED_ORIGINS" in line for line in told)


def test_a_pinned_tag_runs_the_very_file_and_nothing_else(app: Instance, site: Site, open_page: OpenPage) -> None:
    site.carries(app.url)
    tag = '<script src="{}/widget.{}.js" integrity="{}" crossorigin="anonymous" async></script>'
    site.head = tag.format(app.url, WIDGET.digest, WIDGET.integrity)
    expect(open_page(site.origin).locator("button.launcher")).to_be_visible()
    site.head = tag.format(app.url, WIDGET.digest, "sha384-" + "A" * 64)
    page = open_page(site.origin)
    page.wait_for_load_state("networkidle")
    assert page.locator("needlepoint-chat").count() == 0


def test_a_page_change_in_mid_conversation_keeps_it_on_screen_and_on_the_server(
    app: Instance, site: Site, open_page: OpenPage
) -> None:
    """W3."""
    site.carries(app.url)
    page = open_page(site.origin)
    open_chat(page)
    agree(page)
    send(page, "does it hurt?")
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    send(page, "how many sessions will I need?")  # leaves while this is on its way
    page.get_by_role("link", name="Another page").evaluate("(link) => link.click()")
    page.wait_for_url("**/two")
    expect(page.locator("button.launcher")).to_be_visible()
    assert log(page).count() == 0, "it never opens itself over a page"
    open_chat(page)
    expect(log(page).get_by_text(PAIN)).to_have_count(1)
    expect(log(page).get_by_text("How many sessions will I need?", exact=True)).to_have_count(1)
    expect(page.get_by_role("button", name="I agree, start")).to_have_count(0)


def test_the_styles_of_the_page_do_not_reach_into_the_chat_nor_its_own_out(
    app: Instance, site: Site, open_page: OpenPage
) -> None:
    site.carries(app.url)
    page = open_page(site.origin)
    style = "(one) => [...getComputedStyle(one)].map((name) => getComputedStyle(one).getPropertyValue(name))"
    before = page.locator("#mine").evaluate(style)
    open_chat(page)
    title = page.locator("#title")
    names = ["font-size", "text-transform", "font-style"]
    seen = title.evaluate("(it, names) => names.map((name) => getComputedStyle(it).getPropertyValue(name))", names)
    assert seen == ["18px", "none", "normal"], "a rem of 10 px must not make the chat small"
    assert page.locator("#mine").evaluate(style) == before


def test_options_and_the_javascript_interface_of_the_page(app: Instance, site: Site, open_page: OpenPage) -> None:
    site.carries(
        app.url,
        'data-color="#ffe14d" data-position="start" data-label="Ask us" '
        'data-greeting="Welcome to <b>us</b>" data-branch="bangsar"',
    )
    page = open_page(site.origin)
    page.evaluate(
        """window.told = [];
        for (const name of ["open", "close", "reply", "ready"])
          addEventListener(`needlepoint-${name}`, ({ detail }) => told.push([name, Object.keys(detail)]));"""
    )
    launcher = page.get_by_role("button", name="Ask us. Open the chat with The Face Inc (example)")
    expect(launcher).to_be_visible()
    place = launcher.bounding_box()
    assert place is not None and place["x"] < 200
    assert launcher.evaluate("(it) => getComputedStyle(it).backgroundColor") == "rgb(255, 225, 77)"
    assert launcher.evaluate("(it) => getComputedStyle(it).color") == "rgb(0, 0, 0)", "dark text on a light colour"
    page.locator("#mine").focus()
    page.evaluate("document.querySelector('needlepoint-chat').open()")
    expect(log(page).get_by_text("Welcome to <b>us</b>")).to_be_visible()
    expect(page.locator("#subtitle")).to_contain_text("Bangsar")
    page.keyboard.press("Escape")
    expect(page.locator("#mine")).to_be_focused()
    page.evaluate("document.querySelector('needlepoint-chat').send('does it hurt?')")
    agree(page)
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    page.evaluate("document.querySelector('needlepoint-chat').close()")
    told = page.evaluate("told")
    assert [name for name, _ in told if name != "ready"] == ["open", "close", "open", "reply", "close"]
    assert all(keys == ["unread"] for _, keys in told), "no event tells the page what was said"


def test_inline_it_stands_where_the_page_put_it_and_never_scrolls_the_page(
    app: Instance, site: Site, open_page: OpenPage
) -> None:
    site.carries(app.url, body='<div id="high"></div><needlepoint-chat></needlepoint-chat>')
    page = open_page(site.origin)
    expect(page.locator("button.launcher")).to_be_hidden()
    agree(page)
    page.evaluate("scrollTo(0, 0)")
    box(page).evaluate("(it) => it.focus({ preventScroll: true })")
    before = page.evaluate("scrollY")
    box(page).evaluate("(it) => { it.value = 'does it hurt?'; it.form.requestSubmit(); }")
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    assert page.evaluate("scrollY") == before


def test_on_a_page_written_from_right_to_left_it_is_turned_round(
    app: Instance, site: Site, open_page: OpenPage
) -> None:
    site.carries(app.url)
    site.language, site.direction = "ar", "rtl"
    page = open_page(site.origin)
    place = page.locator("button.launcher").bounding_box()
    assert place is not None and place["x"] < 200
    open_chat(page)
    close, title = page.locator("button.close").bounding_box(), page.locator("#title").bounding_box()
    assert close is not None and title is not None and close["x"] < title["x"]
    send(page, "does it hurt?")
    assert log(page).locator(".bubble").evaluate("(it) => getComputedStyle(it).direction") == "ltr"
    site.language, site.direction = "en", "ltr"


def test_the_demo_page_opens_and_asks_through_the_javascript_interface(app: Instance, open_page: OpenPage) -> None:
    page = open_page(f"{app.url}/demo")
    expect(page.get_by_role("region", name="Script tag")).to_contain_text(WIDGET.integrity)
    page.get_by_role("button", name="When can I wear makeup again?").click()
    agree(page)
    expect(log(page).get_by_text("When can I wear makeup?")).to_be_visible()
    expect(page.locator("#events")).to_have_text("reply, unread 0")
