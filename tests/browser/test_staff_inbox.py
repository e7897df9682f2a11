"""A nurse with five minutes: the inbox by keyboard, two reviewers, stepping in, calling back, erasing; hostile text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from needlepoint.db.connect import connect
from needlepoint.staff import accounts
from needlepoint.staff.models import StaffActivity
from tests.browser.patient import agree, log, send
from tests.browser.test_staff_pages import PASSWORD, sign_in
from tests.desk import HOSTILE, clinic_with_staff
from tests.running import Engine, Instance, Laboratory

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

URGENT = "my tongue is swelling and I cannot breathe"


@pytest.fixture(scope="module")
def desk(laboratory: Laboratory, engine: Engine) -> Iterator[Instance]:
    """A product of these tests' own, at whose clinic somebody is always there."""
    clinic = clinic_with_staff(laboratory.folder)
    instance = laboratory.instance([engine], clinic_file=str(clinic), start=False)
    staff = connect(instance.database)
    for name, role in (("Nurse Aida", "reviewer"), ("Nurse Bee", "reviewer"), ("Dr Lim", "admin")):
        accounts.add(staff, name, PASSWORD, role)
    staff.dispose()
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture
def at_desk(desk: Instance, open_page: OpenPage) -> Callable[..., Page]:
    """Opens a page of the desk for a member of staff."""

    def at_desk(name: str, path: str = "/staff/inbox", width: int = 1366, height: int = 768) -> Page:
        page = open_page(f"{desk.url}/staff/login", width, height)
        sign_in(page, name)
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        page.goto(f"{desk.url}{path}")
        return page

    return at_desk


def happened(desk: Instance) -> set[str]:
    """What the record of who did what holds."""
    engine = connect(desk.database)
    with engine.connect() as connection:
        found = set(connection.scalars(StaffActivity.__table__.select().with_only_columns(StaffActivity.what)))
    engine.dispose()
    return found


def focused_row(page: Page) -> str:
    return str(page.evaluate("document.activeElement.closest('.row')?.id ?? ''"))


def test_a_nurse_clears_the_urgent_queue_by_keyboard(desk: Instance, at_desk: Callable[..., Page]) -> None:
    for words in (URGENT, "there is pus and I have a fever", HOSTILE + " and " + URGENT):
        desk.conversation().say(words)
    desk.conversation(consent=False).say(URGENT)
    page = at_desk("Nurse Aida")
    press = page.keyboard.press
    expect(page.get_by_role("heading", name="Urgent")).to_be_visible()
    expect(page.get_by_text("not acknowledged")).to_have_count(4)
    press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    press("Escape")
    press("j")
    first = focused_row(page)
    press("j")
    assert focused_row(page) != first
    press("k")
    assert focused_row(page) == first
    press("Enter")
    for left in (3, 2, 1, 0):
        expect(page.get_by_text("Open with you")).to_be_visible()
        press("e")
        expect(page.get_by_role("note").filter(has_text="nobody has acknowledged")).to_have_count(1 if left else 0)
    expect(page.get_by_role("status").filter(has_text="Nothing is left for you in “Urgent”")).to_be_visible()
    assert page.title() != "owned"
    press("/")
    expect(page.get_by_label("Words of a message or an answer")).to_be_focused()
    assert {"marked_done", "acknowledged_urgent", "read_conversation"} <= happened(desk)


def test_a_new_urgent_message_appears_by_itself_and_the_focus_stays(
    desk: Instance, at_desk: Callable[..., Page]
) -> None:
    desk.conversation().say(URGENT)
    page = at_desk("Nurse Bee", "/staff/inbox?queue=urgent")
    page.keyboard.press("j")
    was = focused_row(page)
    count = page.locator("li.row").count()
    desk.conversation().say("I am bleeding and it does not stop")
    expect(page.locator("li.row")).to_have_count(count + 1, timeout=15_000)
    expect(page.locator("#told")).to_have_text("A new urgent message came in.")
    assert focused_row(page) == was
    expect(page.locator("li.row.pressing").last).to_contain_text("not acknowledged")


def test_two_reviewers_on_one_queue_never_hold_the_same_item(desk: Instance, at_desk: Callable[..., Page]) -> None:
    for _ in range(2):
        desk.conversation().say("what is the capital of france")
    aida, bee = (at_desk(name, "/staff/inbox?queue=declined") for name in ("Nurse Aida", "Nurse Bee"))
    for page in (aida, bee):
        page.get_by_role("button", name="Take the next one").click()
        expect(page.get_by_text("Open with you")).to_be_visible()
    assert aida.url != bee.url
    bee.goto(aida.url)
    expect(bee.get_by_text("Nurse Aida is looking at this")).to_be_visible()
    expect(bee.get_by_role("button", name="Done")).to_have_count(0)
    bee.goto(f"{desk.url}/staff/inbox?queue=declined")
    expect(bee.locator("li.row").filter(has_text="Nurse Aida is looking at this")).to_have_count(1)
    aida.get_by_label("Leave it to").select_option(label="Nurse Bee")
    aida.get_by_role("button", name="Assign").click()
    bee.get_by_role("button", name="Take the next one").click()
    expect(bee.get_by_text("For Nurse Bee")).to_be_visible()
    bee.get_by_role("button", name="Put off").click()
    assert {"assigned", "snoozed"} <= happened(desk)


def test_a_nurse_steps_in_red_flags_still_get_the_card_and_the_assistant_is_back_afterwards(
    desk: Instance, open_page: OpenPage, at_desk: Callable[..., Page]
) -> None:
    chat = open_page(desk.url, 420, 900)
    agree(chat)
    send(chat, "I want to talk to a person")
    expect(log(chat).get_by_text("write to you here within 1 minute")).to_be_visible()
    page = at_desk("Nurse Aida")
    page.get_by_role("link", name="Somebody waits for a person of the clinic").last.click()
    page.get_by_role("button", name="Step in").click()
    expect(log(chat).get_by_text("has joined this chat")).to_be_visible()
    send(chat, HOSTILE)
    expect(log(chat).get_by_text("Your message is with the staff")).to_be_visible()
    expect(page.locator("#transcript").get_by_text(HOSTILE)).to_be_visible()
    expect(page.locator("#waits")).to_contain_text("The person was promised a word")
    page.keyboard.press("r")
    page.keyboard.type("This is Aida. <b>Does it hurt</b> to touch?")
    page.keyboard.press("Control+Enter")
    said = log(chat).locator(".entry.staff")
    expect(said).to_contain_text("This is Aida. <b>Does it hurt</b> to touch?")
    expect(said.locator(".speaker")).to_have_text("Clinic staff")
    send(chat, "does it hurt?")
    expect(page.locator("#transcript").get_by_text("does it hurt?", exact=True)).to_be_visible()
    expect(log(chat).get_by_text("Your message is with the staff")).to_have_count(1)
    expect(page.get_by_label("Your words to the person")).to_have_value("")
    page.get_by_role("button", name="Give back to the assistant").click()
    expect(log(chat).get_by_text("have left this chat")).to_be_visible()
    send(chat, "when can I wear makeup?")
    expect(log(chat).get_by_text("When can I wear makeup?")).to_be_visible()
    page.get_by_role("button", name="Step in").click()
    send(chat, URGENT)
    expect(log(chat).locator(".card.urgent")).to_be_visible()
    expect(page.locator("#urgent-here").get_by_role("button", name="Acknowledge")).to_be_visible()
    page.get_by_role("button", name="Acknowledge").click()
    page.get_by_role("button", name="Give back to the assistant").click()
    for opened in (chat, page):
        assert opened.title() != "owned"
    assert {"took_over", "replied", "gave_back"} <= happened(desk)


def test_who_waits_longer_than_was_promised_is_told_so(desk: Instance, open_page: OpenPage) -> None:
    chat = open_page(desk.url)
    agree(chat)
    send(chat, "I want to talk to a person")
    expect(log(chat).get_by_text("write to you here within 1 minute")).to_be_visible()
    engine = connect(desk.database)
    with engine.begin() as connection:  # an hour later
        connection.exec_driver_sql(
            "UPDATE conversation SET answer_by = '2026-01-01 00:00:00.000000' WHERE answer_by IS NOT NULL"
        )
    engine.dispose()
    expect(log(chat).get_by_text("nobody from our staff could write to you")).to_be_visible()
    send(chat, "does it hurt?")
    expect(log(chat).get_by_text("Does microneedling hurt?")).to_be_visible()


def test_a_person_leaves_a_number_and_staff_call_it(
    desk: Instance, open_page: OpenPage, at_desk: Callable[..., Page]
) -> None:
    chat = open_page(desk.url, 420, 900)
    agree(chat)
    send(chat, "I want to talk to a person")
    log(chat).get_by_text("Ask to be called back").click()
    chat.get_by_label("Phone number").fill("123")
    chat.get_by_label("I agree that").check()
    chat.get_by_role("button", name="Ask for the call").click()
    expect(log(chat).get_by_text("This does not look like a phone number")).to_be_visible()
    chat.get_by_label("Phone number").fill("012-345 6789")
    chat.get_by_label("When it suits you").fill("after three")
    chat.get_by_role("button", name="Ask for the call").click()
    expect(log(chat).get_by_text("have your number and try to call you")).to_be_visible()
    page = at_desk("Nurse Bee", "/staff/call-backs")
    row = page.get_by_role("listitem").filter(has_text="after three")
    expect(row.get_by_role("link", name="+60 12-345 6789")).to_have_attribute("href", "tel:+6012-3456789")
    row.get_by_role("button", name="I am calling").click()
    expect(row).to_contain_text("in progress")
    row.get_by_role("button", name="Called").click()
    expect(row).to_contain_text("deleted")
    assert {"saw_number", "changed_call_back"} <= happened(desk)


def test_a_finding_is_kept_found_by_search_and_everything_goes_when_it_is_erased(
    desk: Instance, at_desk: Callable[..., Page]
) -> None:
    conversation = desk.conversation()
    conversation.say("can I wear makeup after xylophone lessons?")
    page = at_desk("Dr Lim", "/staff?q=xylo+makeup")
    expect(page.locator("mark")).to_have_text(["makeup", "xylophone"])
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_text("Correct or mark this turn").click()
    page.get_by_label("Missed red flag").first.check()
    page.get_by_label("Severity").first.select_option("could_harm")
    page.get_by_label("Right answer", exact=True).fill("does-it-hurt")
    page.get_by_label("or in words: the right answer was").fill(HOSTILE)
    page.get_by_label("Tags, with commas").first.fill("music,  music , <i>x</i>")
    page.get_by_label("Note").first.fill("Call 012-345 6789")
    page.get_by_role("button", name="Keep").first.click()
    findings = page.get_by_role("list", name="Findings")
    for words in ("missed red flag", "could harm", "does-it-hurt", HOSTILE, "music", "<i>x</i>", "Call [phone]"):
        expect(findings).to_contain_text(words)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as a file").click()
    exported = Path(download.value.path()).read_text()
    assert "xylophone" in exported and "Dr Lim" not in exported
    page.get_by_role("link", name="Erase…").click()
    page.get_by_label("Type “erase”").fill("no")
    page.get_by_role("button", name="Erase for good").click()
    expect(page.get_by_role("alert")).to_contain_text("Type the word erase")
    page.get_by_label("Type “erase”").fill("erase")
    page.get_by_role("button", name="Erase for good").click()
    expect(page.get_by_role("status").filter(has_text="The conversation was erased.")).to_be_visible()
    page.goto(f"{desk.url}/staff?q=xylo")
    expect(page.get_by_text("Nothing was found.")).to_be_visible()
    page.goto(f"{desk.url}/staff/conversations/{conversation.id}")
    expect(page.get_by_text("it may have been erased")).to_be_visible()
    assert page.title() != "owned"
    known = {"reviewed_conversation", "corrected_topic", "tagged", "wrote_note", "exported", "erased"}
    assert known | {"searched_conversations"} <= happened(desk)
