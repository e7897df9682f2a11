"""docs/widget-accessibility.md, held in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.patient import agree, box, log, open_chat, send
from tests.running import Engine, Instance, Laboratory

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

PAIN = "Does microneedling hurt?"
URGENT = "my tongue is swelling and I cannot breathe"


@pytest.fixture(scope="module")
def demo(laboratory: Laboratory, engine: Engine) -> Iterator[str]:
    """The address of a demo page."""
    app = laboratory.instance([engine], demo_page="true")
    yield f"{app.url}/demo"
    app.stop()


@pytest.fixture
def check(widget_sources: Path) -> Callable[[Page, str], None]:
    """Runs axe-core with all its rules on a page, and lists what it finds."""
    axe = (widget_sources / "node_modules" / "axe-core" / "axe.min.js").read_text()

    def check(page: Page, state: str) -> None:
        page.evaluate(axe)
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        told = [f"{one['id']}: {node['target']} {node.get('failureSummary')}" for one in found for node in one["nodes"]]
        assert not told, f"{state}: " + "\n".join(told)

    return check


def test_axe_finds_nothing_in_any_state(demo: str, open_page: OpenPage, check: Callable[[Page, str], None]) -> None:
    page = open_page(demo)
    expect(page.locator("button.launcher")).to_have_attribute("aria-label", re.compile("The Face Inc"))
    check(page, "closed")
    open_chat(page)
    check(page, "open")
    agree(page)
    send(page, "does it hurt?")
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    log(page).locator("summary").last.click()
    check(page, "answer")
    page.get_by_role("button", name="Not helpful").click()
    page.get_by_role("button", name="More", exact=True).click()
    check(page, "form")
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("button", name="Delete this chat").click()
    check(page, "asks before deleting")
    page.keyboard.press("Escape")
    send(page, URGENT)
    expect(log(page).locator(".card.urgent")).to_be_visible()
    check(page, "urgent")
    page.context.set_offline(True)
    send(page, "hello?")
    expect(log(page).locator(".failure")).to_be_visible()
    check(page, "offline")


@pytest.mark.parametrize("width, height", [(320, 256), (360, 740)])
def test_axe_finds_nothing_and_nothing_scrolls_sideways_at_400_percent_and_on_a_phone(
    demo: str, open_page: OpenPage, check: Callable[[Page, str], None], width: int, height: int
) -> None:
    page = open_page(demo, width, height)
    open_chat(page)
    check(page, "open")
    agree(page)
    send(page, "does it hurt?")
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    send(page, URGENT)
    expect(page.locator(".urgent-bar a[href='tel:999']")).to_be_in_viewport()
    check(page, "urgent")
    for part in (".panel", ".middle", "html"):
        sideways = page.locator(part).first.evaluate("(it) => it.scrollWidth - it.clientWidth")
        assert sideways <= 0, f"{part} scrolls sideways by {sideways}"
    box(page).press("a")
    expect(box(page)).to_be_in_viewport(ratio=0.9)
    page.get_by_role("button", name="Close the chat").scroll_into_view_if_needed()
    page.get_by_role("button", name="Close the chat").click()
    expect(page.locator("button.launcher")).to_be_focused()


def test_the_page_with_the_chat_alone_is_accessible_too(
    instance: Instance, open_page: OpenPage, check: Callable[[Page, str], None]
) -> None:
    page = open_page(instance.url)
    expect(page.get_by_role("button", name="I agree, start")).to_be_visible()
    check(page, "page")


def test_the_whole_journey_by_keyboard_and_the_focus_comes_back(demo: str, open_page: OpenPage) -> None:
    """W5."""
    page = open_page(demo)
    press = page.keyboard.press
    launcher = page.locator("button.launcher")
    expect(launcher).to_be_visible()
    for _ in range(20):
        press("Tab")
        if launcher.evaluate("(it) => it.getRootNode().activeElement === it"):
            break
    expect(launcher).to_be_focused()
    press("Enter")
    expect(box(page)).to_be_focused()
    press("Shift+Tab")
    expect(page.get_by_role("button", name="I agree, start")).to_be_focused()
    press("Enter")
    expect(box(page)).to_be_focused()
    page.keyboard.type("does it hurt?")
    press("Enter")
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    expect(box(page)).to_be_focused()
    entries = log(page).locator(".entry")
    press("ArrowUp")
    expect(entries.last).to_be_focused()
    press("ArrowUp")
    expect(entries.nth(-2)).to_be_focused()
    press("Home")
    expect(entries.first).to_be_focused()
    press("Enter")
    expect(entries.first.locator("a").first).to_be_focused()
    press("Escape")
    expect(box(page)).to_be_focused()
    press("ArrowUp")
    press("Enter")
    press("Tab")
    press("Escape")
    expect(box(page)).to_be_focused()
    for _ in range(4):
        press("Tab")
        if page.get_by_role("button", name="Delete this chat").evaluate(
            "(it) => it.getRootNode().activeElement === it"
        ):
            break
    press("Enter")
    expect(page.get_by_role("dialog", name="Delete this chat?")).to_be_visible()
    press("Escape")
    expect(page.get_by_role("dialog", name="Delete this chat?")).to_be_hidden()
    expect(page.get_by_role("button", name="Delete this chat")).to_be_focused()
    press("Escape")
    expect(log(page)).to_be_hidden()
    expect(launcher).to_be_focused()


def test_where_it_fills_a_phone_tab_stays_in_it(demo: str, open_page: OpenPage) -> None:
    page = open_page(demo, 360, 740)
    open_chat(page)
    expect(page.locator(".panel")).to_have_attribute("aria-modal", "true")
    for key in ("Tab", "Shift+Tab"):
        for _ in range(25):
            page.keyboard.press(key)
            assert page.evaluate("document.activeElement.localName") == "needlepoint-chat", key


def test_an_input_method_that_composes_sends_nothing_with_enter(demo: str, open_page: OpenPage) -> None:
    page = open_page(demo)
    open_chat(page)
    box(page).fill("sakit")
    box(page).dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True, "composed": True})
    expect(box(page)).to_have_value("sakit")
    expect(log(page).locator(".entry.person")).to_have_count(0)


def test_a_late_reply_moves_nobody_and_a_button_leads_to_it(demo: str, open_page: OpenPage) -> None:
    page = open_page(demo)
    open_chat(page)
    agree(page)
    for question in ("does it hurt?", "how many sessions will I need?"):
        send(page, question)
    expect(log(page).locator(".entry.assistant")).to_have_count(3)
    other = page.context.new_page()
    other.goto(demo)
    open_chat(other)
    page.bring_to_front()
    page.locator(".middle").evaluate("(it) => { it.scrollTop = 0; }")
    other.evaluate("document.querySelector('needlepoint-chat').send('when can I wear makeup?')")
    newer = page.get_by_role("button", name="New reply")
    expect(newer).to_be_visible()
    assert page.locator(".middle").evaluate("(it) => it.scrollTop") == 0
    newer.click()
    expect(log(page).locator(".entry.assistant").last).to_be_focused()
    expect(newer).to_be_hidden()


def test_replies_while_it_is_closed_are_counted_on_the_launcher_and_in_the_title(
    demo: str, open_page: OpenPage
) -> None:
    page = open_page(demo)
    open_chat(page)
    agree(page)
    send(page, "does it hurt?")
    page.keyboard.press("Escape")
    launcher = page.get_by_role("button", name=re.compile("1 new reply"))
    expect(launcher).to_be_visible()
    assert page.title().startswith("(1) ")
    launcher.click()
    assert not page.title().startswith("(")


#: The contrast of text with what lies behind it, by the formula of WCAG 2.2, for all text that is there.
CONTRASTS = """(root) => {
  const rgb = (css) => (css.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (one) => {
    for (let it = one; it; it = it.parentElement) {
      const colour = rgb(getComputedStyle(it).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const one of root.shadowRoot.querySelectorAll("*")) {
    const text = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!text || !one.checkVisibility() || one.closest(".unseen")) continue;
    const [a, b] = [light(rgb(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => x - y);
    found.push([(b + 0.05) / (a + 0.05), `${one.localName}.${one.className} ${one.textContent.trim().slice(0, 30)}`]);
  }
  return found;
}"""


@pytest.mark.parametrize("colour", ["#0b5a5a", "#ffe14d", "#f7c6d9", "#7f7f7f", "#101040", "oklch(70% 0.15 200)"])
def test_text_can_be_read_in_whatever_colour_the_clinic_has(demo: str, open_page: OpenPage, colour: str) -> None:
    page = open_page(demo)
    chat = page.locator("needlepoint-chat")
    chat.evaluate("(it, colour) => { it.dataset.color = colour; }", colour)
    launcher: list[tuple[float, str]] = chat.evaluate(CONTRASTS)
    open_chat(page)
    agree(page)
    send(page, "does it hurt?")
    thumb = page.get_by_role("button", name="Helpful", exact=True)
    thumb.click()
    expect(thumb).to_have_attribute("aria-pressed", "true")
    log(page).locator("button.choice").first.click()
    found: list[tuple[float, str]] = [*launcher, *chat.evaluate(CONTRASTS)]
    assert len(found) > 20
    assert not [one for one in found if one[0] < 4.5]


def test_targets_are_large_enough_and_the_focus_can_be_seen(demo: str, open_page: OpenPage) -> None:
    page = open_page(demo, 360, 740)
    open_chat(page)
    agree(page)
    send(page, "does it hurt?")
    expect(log(page).get_by_text(PAIN)).to_be_visible()
    buttons: Locator = page.locator("needlepoint-chat button:visible, needlepoint-chat summary:visible")
    sizes: list[Any] = buttons.evaluate_all("all => all.map((it) => [it.offsetWidth, it.offsetHeight, it.innerText])")
    assert len(sizes) > 8
    assert not [one for one in sizes if one[0] < 24 or one[1] < 24]
    page.keyboard.press("Tab")
    for _ in range(12):
        page.keyboard.press("Tab")
        outline = page.evaluate(
            """() => {
              const { activeElement } = document.querySelector("needlepoint-chat").shadowRoot;
              const { outlineStyle, outlineWidth } = getComputedStyle(activeElement);
              return [outlineStyle, outlineWidth];
            }"""
        )
        assert outline == ["solid", "3px"]


def test_reduced_motion_and_forced_colours_are_respected(demo: str, open_page: OpenPage) -> None:
    page = open_page(demo)
    page.emulate_media(reduced_motion="reduce", forced_colors="active")
    open_chat(page)
    agree(page)
    assert page.locator(".dots span").first.evaluate("(it) => getComputedStyle(it).animationName") == "none"
    send(page, URGENT)
    card = log(page).locator(".card.urgent")
    expect(card).to_contain_text("Emergency: get help now")
    assert card.evaluate("(it) => getComputedStyle(it).borderTopWidth") == "3px"
