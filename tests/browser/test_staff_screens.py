"""Every screen of the desk on a PC, a tablet and a phone; and what a nurse, a viewer and a hostile patient do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
import pytest
from playwright.sync_api import Page, expect

from needlepoint.conversations.call_backs import CONSENT_VERSION
from needlepoint.conversations.reception import LONGEST_MESSAGE
from needlepoint.db.connect import connect
from needlepoint.staff import accounts, second_factor
from tests.browser.patient import agree, log, open_chat, send
from tests.browser.test_staff_inbox import happened
from tests.browser.test_staff_pages import PASSWORD, sign_in
from tests.desk import HOSTILE, clinic_with_staff
from tests.running import SECRET, Conversation, Engine, Instance, Laboratory
from tests.telegram_server import TOKEN, BotApiServer, Patient

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

NURSE = "Siti Nurhaliza binti Abdul Rahman"

URGENT = "my tongue is swelling and I cannot breathe"
LONG = "I had my second session and since then I am not sure what is normal and what is not. " * 20 + "W" * 180
SIZES = {"PC": (1366, 768), "tablet": (820, 1180), "phone": (390, 844), "PC at 400 %": (320, 256)}
#: What is laid out otherwise on a phone.
OTHERWISE = ".stacks, .inbox, .turn, .item-bar"

STAFF = {
    "Nurse Aida": "reviewer",
    NURSE: "reviewer",
    "Vera": "viewer",
    "Dr Lim": "admin",
    "Dr Ong": "approver",
}


@dataclass
class Clinic:
    """A product with believable conversations, and the ids by which screens name them."""

    app: Instance
    ids: dict[str, str]
    #: Cookies of whoever has signed in already.
    seats: dict[str, list[Any]]


def leave_number(conversation: Conversation, number: str, best_time: str | None) -> None:
    """Leave a number to call, as the widget does."""
    left = conversation.http.put(
        f"/api/conversations/{conversation.id}/call-back",
        json={"number": number, "consent": CONSENT_VERSION, "best_time": best_time},
        headers=conversation.headers,
    )
    assert left.status_code == 200, left.text


def find_unhelpful(conversation: Conversation, comment: str) -> None:
    """Press "Not helpful" at the last reply."""
    event = [one["event_id"] for one in conversation.history() if one["event_id"]][-1]
    given = conversation.http.put(
        f"/api/conversations/{conversation.id}/events/{event}/feedback",
        json={"helpful": False, "reason": "not_my_question", "comment": comment},
        headers=conversation.headers,
    )
    assert given.status_code == 200, given.text


@pytest.fixture(scope="module")
def clinic(laboratory: Laboratory, engine: Engine) -> Iterator[Clinic]:
    with BotApiServer() as bot_api:
        app = laboratory.instance(
            [engine],
            start=False,
            clinic_file=str(clinic_with_staff(laboratory.folder)),
            demo_page="true",
            telegram_bot_token=TOKEN,
            telegram_api_base_url=bot_api.url,
        )
        database = connect(app.database)
        for name, role in STAFF.items():
            member = accounts.add(database, name, PASSWORD, role)
        set_up = second_factor.begin(database, SECRET, member.id)
        assert set_up is not None
        secret = set_up.secret.replace(" ", "")
        assert second_factor.confirm(database, SECRET, member.id, pyotp.TOTP(secret).now())
        app.start()
        said: dict[str, list[str]] = {
            "ordinary": ["I had RF microneedling on Saturday. when can I wear makeup?", "does it hurt?"],
            "hostile": [HOSTILE],
            "urgent": ["hello", HOSTILE + " and " + URGENT],
            "malay": ["lidah saya bengkak dan saya tidak boleh bernafas"],
            "declined": ["what is the capital of france"],
            "hard to read": ["😀 can I swim 🏊 today? متى أستطيع السباحة؟", LONG],
            "waits": ["I want to talk to a person"],
            "taken": [HOSTILE],
            "broken": ["does it hurt?"],
        }
        ids = {}
        for name, lines in said.items():
            conversation = app.conversation()
            ids[name] = conversation.id
            for line in lines:
                conversation.say(line)
            if name in ("ordinary", "hostile"):
                find_unhelpful(conversation, HOSTILE)
            if name == "waits":
                leave_number(conversation, "012-345 6789", HOSTILE)
        app.conversation(consent=False).say(URGENT)
        Patient(bot_api, 4242).agrees().say("when can I wear makeup?")
        with database.begin() as connection:
            found = connection.exec_driver_sql("SELECT id FROM conversation WHERE channel = 'telegram'").scalar_one()
            ids["telegram"] = found
            # A row that this release cannot read.
            connection.exec_driver_sql(
                "UPDATE message SET assessment = '[1]' WHERE conversation_id = ?", (ids["broken"],)
            )
        database.dispose()
        yield Clinic(app, ids, {})
        app.stop()


@pytest.fixture
def seat(clinic: Clinic, open_page: OpenPage) -> Callable[..., Page]:
    """Opens a page of the desk for somebody, who signs in the first time only; for nobody where no name is given."""

    def seat(name: str | None, path: str) -> Page:
        page = open_page(f"{clinic.app.url}/staff/login")
        if name is not None and name in clinic.seats:
            page.context.add_cookies(clinic.seats[name])
        elif name is not None:
            sign_in(page, name)
            expect(page.get_by_role("button", name="Sign out")).to_be_visible()
            clinic.seats[name] = page.context.cookies()
        page.goto(clinic.app.url + path.format_map(clinic.ids))
        return page

    return seat


# -- every screen ---------------------------------------------------------------------------------------------------


def wrong_sign_in(page: Page) -> None:
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("wrong"))


def up_to_the_code(page: Page) -> None:
    sign_in(page, "Dr Ong")
    page.get_by_label("Code").fill("000 000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("This code is wrong"))


def short_password_for_somebody_new(page: Page) -> None:
    page.get_by_label("Name").fill("Nurse Bo")
    page.get_by_role("button", name="Add and make a link").click()
    page.goto(page.get_by_label("Link").input_value())
    page.get_by_label("Password").first.fill("aaaaaaaaaaaa")
    page.get_by_role("button", name="Save and sign in").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("different characters"))


def somebody_there_already(page: Page) -> None:
    page.get_by_label("Name").fill("Vera")
    page.get_by_role("button", name="Add and make a link").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("already"))


def wrong_present_password(page: Page) -> None:
    page.get_by_label("Present password").fill("not the password")
    page.get_by_label("New password").fill("another horse battery")
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("present password is wrong"))


def wrong_first_code(page: Page) -> None:
    page.get_by_label("Enter the six digits").fill("000000")
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("This code is not right"))


def up_to_the_recovery_codes(page: Page) -> None:
    secret = page.locator("code.secret").inner_text().replace(" ", "")
    page.get_by_label("Enter the six digits").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_role("heading", name="Your recovery codes")).to_be_visible()


def no_word(page: Page) -> None:
    page.get_by_label("Type “erase”").fill("no")
    page.get_by_role("button", name="Erase for good").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("Type the word erase"))


def opened(page: Page) -> None:
    page.get_by_role("button", name="Take the next one").click()
    expect(page.get_by_text("Open with you")).to_be_visible()


def opened_before_consent(page: Page) -> None:
    page.locator("li.row:has-text('Before consent')").get_by_role("button", name=re.compile("Open")).click()
    expect(page.get_by_text("nobody to call back")).to_be_visible()


def keys(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def stepped_in_with_everything_open(page: Page) -> None:
    if page.get_by_role("button", name="Step in").count():
        page.get_by_role("button", name="Step in").click()
    page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")


def too_long_to_send(page: Page) -> None:
    page.get_by_label("Your words to the person").evaluate("field => { field.removeAttribute('maxlength'); }")
    page.get_by_label("Your words to the person").fill("x" * (LONGEST_MESSAGE + 1))
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("longer than"))


#: Name of a screen: who sees it, its address, and what they do there first.
SCREENS: dict[str, tuple[str | None, str, Callable[[Page], None] | None]] = {
    "sign-in": (None, "/staff/login", None),
    "sign-in refused": (None, "/staff/login", wrong_sign_in),
    "signed out": (None, "/staff/login?left=yes", None),
    "session over": (None, "/staff/login?ended=yes", None),
    "code refused": (None, "/staff/login", up_to_the_code),
    "link used": (None, "/staff/welcome?token=used", None),
    "welcome refused": ("Dr Lim", "/staff/people", short_password_for_somebody_new),
    "account": ("Vera", "/staff/account", None),
    "account refused": ("Vera", "/staff/account", wrong_present_password),
    "second factor": ("Vera", "/staff/account/second-factor", wrong_first_code),
    "recovery codes": ("Vera", "/staff/account/second-factor", up_to_the_recovery_codes),
    "account with a second factor": ("Vera", "/staff/account", None),
    "people": ("Dr Lim", "/staff/people", None),
    "people refused": ("Dr Lim", "/staff/people", somebody_there_already),
    "activity": ("Dr Lim", "/staff/activity", None),
    "activity, nothing": ("Dr Lim", "/staff/activity?first=2020-01-01&last=2020-01-02", None),
    "health": ("Nurse Aida", "/staff/health", None),
    "inbox": ("Nurse Aida", "/staff/inbox", None),
    "inbox of a viewer": ("Vera", "/staff/inbox?queue=declined", None),
    "empty queue": ("Nurse Aida", "/staff/inbox?queue=failure", keys),
    "item": (NURSE, "/staff/inbox?queue=declined", opened),
    "item before consent": (NURSE, "/staff/inbox?queue=urgent", opened_before_consent),
    "list": ("Vera", "/staff", None),
    "search": ("Nurse Aida", "/staff?q=onerror&turns=1", None),
    "search, nothing": ("Nurse Aida", "/staff?q=xylophone", keys),
    "conversation": ("Dr Lim", "/staff/conversations/{ordinary}", None),
    "conversation, urgent": ("Vera", "/staff/conversations/{urgent}", None),
    "conversation, hard to read": ("Nurse Aida", "/staff/conversations/{hard to read}", keys),
    "conversation in Telegram": ("Nurse Aida", "/staff/conversations/{telegram}", None),
    "conversation, stepped in": ("Dr Lim", "/staff/conversations/{taken}", stepped_in_with_everything_open),
    "conversation, not sent": ("Dr Lim", "/staff/conversations/{taken}", too_long_to_send),
    "conversation with somebody else": ("Nurse Aida", "/staff/conversations/{taken}", None),
    "call-backs": ("Nurse Aida", "/staff/call-backs", None),
    "urgent messages": ("Vera", "/staff/alerts", None),
    "erase": ("Dr Lim", "/staff/conversations/{ordinary}/erase", no_word),
    "forbidden": ("Vera", "/staff/people", None),
    "not there": ("Nurse Aida", "/staff/conversations/none", None),
    "failed": ("Nurse Aida", "/staff/conversations/{broken}", None),
}

#: Whatever can be pressed and is smaller than 24 by 24 px (WCAG 2.5.8), or cannot be reached by scrolling down.
TOO_SMALL = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), select, summary, textarea')]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest('.unseen, .skip, [data-markdown]'))
  .map((one) => [one.getBoundingClientRect(), one])
  .filter(([box]) => box.width < 23.5 || box.height < 23.5 || box.left < 0 || box.right > innerWidth)
  .map(([box, one]) => `${one.outerHTML.slice(0, 90)}: ${box.width} x ${box.height} at ${box.left}`)"""


@pytest.fixture(scope="module")
def axe(widget_sources: Path) -> str:
    return (widget_sources / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_has_no_barrier_and_fits_a_pc_a_tablet_and_a_phone(
    screen: str, seat: Callable[..., Page], axe: str
) -> None:
    who, path, first = SCREENS[screen]
    page = seat(who, path)
    if first is not None:
        first(page)
    page.evaluate(axe)
    for device, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"scrolls sideways on a {device}"
        assert page.evaluate(TOO_SMALL) == [], device
        if device != "PC" and not (device == "phone" and page.locator(OTHERWISE).count()):
            continue
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        told = [f"{one['id']}: {node['target']} {node.get('failureSummary')}" for one in found for node in one["nodes"]]
        assert not told, f"{device}: " + "\n".join(told)
    assert page.title() != "owned"


def test_a_screen_that_fails_says_so_in_plain_words_and_leads_back(seat: Callable[..., Page]) -> None:
    page = seat("Nurse Aida", "/staff/conversations/{broken}")
    expect(page.get_by_role("heading", name="This did not work")).to_be_visible()
    expect(page.get_by_text("Error 500")).to_be_visible()
    page.get_by_role("link", name="Back to the inbox").click()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()


# -- journeys -------------------------------------------------------------------------------------------------------


def test_a_nurse_signs_in_and_clears_the_urgent_queue_without_a_mouse(clinic: Clinic, open_page: OpenPage) -> None:
    page = open_page(f"{clinic.app.url}/staff/login")
    page.keyboard.type(NURSE)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{clinic.app.url}/staff/inbox")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("j")
    ring = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(ring) == "solid", "one sees where one is"
    page.keyboard.press("n")
    for _ in range(10):
        expect(page.get_by_role("main")).to_be_visible()
        if "done=urgent" in page.url:
            break
        expect(page.get_by_text("Open with you")).to_be_visible()
        was = page.url
        page.keyboard.press("e")
        page.wait_for_url(lambda url, was=was: url != was)
    expect(page.get_by_role("status").filter(has_text="Nothing is left for you in “Urgent”")).to_be_visible()
    expect(page.get_by_role("note").filter(has_text="nobody has acknowledged")).to_have_count(0)


def test_what_staff_and_the_person_in_the_widget_write_is_seen_by_both_until_it_is_given_back(
    clinic: Clinic, open_page: OpenPage, seat: Callable[..., Page]
) -> None:
    site = open_page(f"{clinic.app.url}/demo")
    open_chat(site)
    agree(site)
    send(site, "does it hurt?")
    expect(log(site).get_by_text("Does microneedling hurt?")).to_be_visible()
    desk = seat("Nurse Aida", "/staff")
    desk.locator("[data-row]").first.click()
    desk.get_by_role("button", name="Step in").click()
    expect(log(site).get_by_text("has joined this chat")).to_be_visible()
    transcript = desk.locator("#transcript")
    talk = [("staff", "This is Aida & <b>me</b>."), ("person", "thank you"), ("staff", "How do you feel?")]
    for side, words in talk:
        if side == "person":
            send(site, words)
        else:
            desk.get_by_label("Your words to the person").fill(words)
            desk.get_by_role("button", name="Send").click()
        for seen in (log(site), transcript):
            expect(seen.get_by_text(words, exact=True)).to_be_visible()
    desk.get_by_role("button", name="Give back to the assistant").click()
    expect(log(site).get_by_text("have left this chat")).to_be_visible()
    send(site, "when can I wear makeup?")
    expect(log(site).get_by_text("When can I wear makeup?", exact=True)).to_be_visible()
    desk.reload()
    expect(transcript.locator(".question", has_text="When can I wear makeup?")).to_be_visible()
    lines = transcript.inner_text()
    assert sorted(lines.index(words) for _, words in talk) == [lines.index(words) for _, words in talk]


def test_a_viewer_reads_but_cannot_export_erase_write_or_review(clinic: Clinic, seat: Callable[..., Page]) -> None:
    page = seat("Vera", "/staff/conversations/{ordinary}")
    expect(page.get_by_text("does it hurt?", exact=True)).to_be_visible()
    main = page.get_by_role("main")
    for name in ("Export as a file", "Step in", "Keep"):
        expect(main.get_by_role("button", name=name)).to_have_count(0)
    expect(main.get_by_role("link", name="Erase…")).to_have_count(0)
    token = page.locator("input[name=_csrf_token]").first.input_value()
    address = f"{clinic.app.url}/staff/conversations/{clinic.ids['ordinary']}"
    form: dict[str, str | float | bool] = {"_csrf_token": token, "whole": "yes", "word": "erase", "text": "x"}
    for action in ("export", "erase", "write", "step-in", "findings"):
        refused = page.context.request.post(f"{address}/{action}", form=form)
        assert refused.status == 403 and "You may not do this" in refused.text(), action
        assert "does it hurt" not in refused.text()
    assert not {"exported", "erased"} & happened(clinic.app)


def test_what_a_hostile_patient_writes_stays_text_wherever_staff_read_it(
    clinic: Clinic, seat: Callable[..., Page]
) -> None:
    page = seat("Dr Lim", "/staff")
    views = {
        "/staff?q=onerror": page.locator("tr.hit").first,
        "/staff/inbox?queue=thumbs_down": page.locator("li.row", has_text="onerror").first,
        "/staff/inbox?queue=person": page.locator(".talks").first,
        "/staff/conversations/{hostile}": page.locator(".bubble").first,
        "/staff/conversations/{urgent}": page.locator(".bubble").last,
        "/staff/conversations/{waits}": page.locator(".banner", has_text="called back"),
        "/staff/call-backs": page.locator("li.row").first,
        "/staff/activity": None,
        "/staff/alerts": None,
    }
    for path, where in views.items():
        page.goto(clinic.app.url + path.format_map(clinic.ids))
        if where is not None:
            expect(where).to_contain_text("<script>document.title='owned'")
        assert page.locator("main :is(script, img)").count() == 0, path
        assert page.title() != "owned" and "49" not in page.title(), path
    page.goto(clinic.app.url + f"/staff/conversations/{clinic.ids['hostile']}")
    expect(page.get_by_text("The person found it not helpful")).to_contain_text(
        "<script>document.title='owned'</script>"
    )
    page.goto(clinic.app.url + "/staff?q=onerror")
    expect(page.locator("mark").first).to_have_text("onerror")
    page.goto(clinic.app.url + f"/staff/conversations/{clinic.ids['hostile']}")
    with page.expect_download() as download, page.expect_response("**/export") as response:
        page.get_by_role("button", name="Export as a file").click()
    headers = response.value.headers
    assert headers["content-type"] == "application/json" and headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("attachment")
    exported = json.loads(Path(download.value.path()).read_text())
    assert HOSTILE in json.dumps(exported, ensure_ascii=False).replace('\\"', '"')
