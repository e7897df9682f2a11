"""An answer on its way from one nurse's words to what a patient reads, in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from needlepoint.db.connect import connect
from needlepoint.staff import accounts
from tests.browser.test_staff_pages import PASSWORD, sign_in
from tests.running import Engine, Instance, Laboratory

pytestmark = pytest.mark.browser

STAFF = {"Nurse Aida": "viewer", "Nurse Bo": "editor", "Dr Lim": "approver", "Mei": "admin"}


@pytest.fixture(scope="module")
def clinic(laboratory: Laboratory, engine: Engine) -> Iterator[Instance]:
    """A product whose answers these tests change, with its staff."""
    instance = laboratory.instance([engine])
    database = connect(instance.database)
    for name, role in STAFF.items():
        accounts.add(database, name, PASSWORD, role)
    database.dispose()
    yield instance
    instance.stop()


@pytest.fixture
def desk(clinic: Instance, open_page: Callable[..., Page]) -> Callable[[str], Page]:
    """Opens the desk, signed in as somebody."""

    def desk(name: str) -> Page:
        page = open_page(f"{clinic.url}/staff/login")
        sign_in(page, name)
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        return page

    return desk


def test_an_edit_reaches_people_once_somebody_else_has_approved_it(
    clinic: Instance, desk: Callable[[str], Page]
) -> None:
    new = "It stings a little, like a cat's tongue, and the numbing cream helps."
    question = "Does microneedling hurt?"
    editor = desk("Nurse Bo")
    editor.goto(f"{clinic.url}/staff/answers/does-it-hurt")
    editor.get_by_role("link", name="Write a new version").click()
    editor.locator("#answer-en").fill(new)
    editor.get_by_role("button", name="Keep as a draft").click()
    expect(editor.locator("ins").first).to_be_visible()
    editor.get_by_role("button", name="Send to review").click()
    expect(editor.get_by_text("in review").first).to_be_visible()
    assert editor.get_by_role("button", name="Approve").count() == 0
    assert new not in str(clinic.conversation().say(question)), "nothing is given before it is approved"

    doctor = desk("Dr Lim")
    doctor.goto(f"{clinic.url}/staff/answers/does-it-hurt")
    doctor.get_by_role("button", name="Approve version 2").click()
    expect(doctor.get_by_text("approved by Dr Lim").first).to_be_visible()
    ends = time.monotonic() + 5
    while new not in (said := str(clinic.conversation().say(question))) and time.monotonic() < ends:
        time.sleep(0.2)
    assert new in said

    doctor.get_by_role("button", name="Withdraw at once").click()
    expect(doctor.get_by_role("note").filter(has_text="Withdrawn by Dr Lim")).to_be_visible()
    time.sleep(2)
    assert new not in str(clinic.conversation().say(question))
    doctor.get_by_role("button", name="Give it again").click()
    expect(doctor.get_by_role("button", name="Withdraw at once")).to_be_visible()


def test_nobody_approves_own_words_also_where_the_role_may_approve(
    clinic: Instance, desk: Callable[[str], Page]
) -> None:
    page = desk("Dr Lim")
    page.goto(f"{clinic.url}/staff/answers/makeup-after/edit")
    page.locator("#answer-en").fill("Wait for a day.\n\n- Clean brushes\n- New sponge")
    page.get_by_role("button", name="Keep as a draft").click()
    page.get_by_role("button", name="Send to review").click()
    page.get_by_role("button", name="Approve version 2").click()
    expect(page.get_by_role("alert")).to_contain_text("another person has to approve it")


def test_a_question_without_an_answer_becomes_a_wording_that_was_tested_and_approved(
    clinic: Instance, desk: Callable[[str], Page], widget_sources: Path
) -> None:
    asked = "will the pen pull off my eyelash extensions"
    assert clinic.conversation().say(asked)["reply"]["kind"] == "decline"
    conversation = clinic.conversation()
    said = conversation.say("What is microneedling?")
    with clinic.http() as http:
        address = f"/api/conversations/{conversation.id}/events/{said['event_id']}/feedback"
        http.put(address, json={"helpful": False, "reason": "not_enough"}, headers=conversation.headers)

    editor = desk("Nurse Bo")
    editor.set_viewport_size({"width": 820, "height": 1180})
    editor.goto(f"{clinic.url}/staff/answers")
    editor.get_by_role("link", name="questions without an answer").click()
    expect(editor.get_by_role("heading", name="Questions without an answer")).to_be_visible()
    expect(editor.get_by_text(asked, exact=True)).to_be_visible()
    editor.get_by_role("link", name=re.compile("Propose as a wording.*What is microneedling")).click()
    expect(editor.get_by_role("note").filter(has_text="Somebody wrote “What is microneedling?”")).to_be_visible()

    # While somebody writes, the page shows how it looks on the website and in Telegram.
    preview = editor.get_by_role("region", name="How it looks to people, once it is approved")
    editor.locator("#answer-en").fill("**Tiny needles** make tiny channels. Call {clinic_phone}.\n\n- slow\n- steady")
    for channel in (".as-web", ".as-telegram"):
        shown = preview.locator(channel).first
        expect(shown.locator("strong:visible, b:visible").filter(has_text="Tiny needles")).to_be_visible()
        expect(shown).to_contain_text("+60 3-1234 5678")
    expect(preview.locator(".as-web li:visible").filter(has_text="steady").first).to_be_visible()
    expect(preview.locator(".tg-bubble").first).to_contain_text("• slow")
    wordings = editor.get_by_label("Further ways to ask it, one a line").first
    wordings.fill("the thing with the pen and the needles, what is that now")
    editor.get_by_role("button", name="Keep as a draft").click()
    expect(editor.get_by_text("the thing with the pen and the needles, what is that now")).to_be_visible()

    editor.get_by_role("button", name="Test version 2").click(timeout=90_000)  # it waits for the page
    expect(editor.get_by_role("heading", name="Test of version 2")).to_be_visible(timeout=90_000)
    own = editor.get_by_role("region", name="How people ask for this answer")
    new = own.get_by_role("row").filter(has_text="the thing with the pen")
    expect(new.get_by_role("cell").first).to_contain_text("right")
    for width in (1366, 820, 390):
        editor.set_viewport_size({"width": width, "height": 900})
        assert_no_violations(editor, widget_sources, f"the test at {width}")
    editor.get_by_role("link", name="Back to the answer").click()
    editor.get_by_role("button", name="Send to review").click()

    doctor = desk("Dr Lim")
    doctor.goto(f"{clinic.url}/staff/answers?state=in_review")
    doctor.get_by_role("link", name="what-is-microneedling").click()
    doctor.get_by_role("button", name="Approve version 2").click()
    expect(doctor.get_by_text("approved by Dr Lim").first).to_be_visible()
    expect(doctor.get_by_role("link", name=re.compile("given in [0-9]+ conversation"))).to_be_visible()
    doctor.get_by_role("link", name=re.compile("given in [0-9]+ conversation")).first.click()
    expect(doctor.get_by_role("heading", name="Conversations")).to_be_visible()
    expect(doctor.locator(f"a[href$='{conversation.id}']").first).to_be_visible()


def assert_no_violations(page: Page, widget_sources: Path, where: str) -> None:
    """Neither axe nor a page that scrolls sideways."""
    page.evaluate((widget_sources / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    told = [f"{one['id']}: {node['target']} {node.get('failureSummary')}" for one in found for node in one["nodes"]]
    assert not told, f"{where}: " + "\n".join(told)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{where} scrolls sideways"


@pytest.mark.parametrize("width, height", [(1366, 768), (820, 1180), (390, 844)])
def test_axe_finds_nothing_on_any_page(
    clinic: Instance, desk: Callable[[str], Page], widget_sources: Path, width: int, height: int
) -> None:
    page = desk("Mei")
    page.set_viewport_size({"width": width, "height": height})
    for path in (
        "answers",
        "answers?due=1",
        "answers/unanswered",
        "answers/redness-duration",
        "answers/bleeding-heavy",
        "answers/redness-duration/edit",
        "health",
        "people",
        "activity",
        "account",
        "account/second-factor",
    ):
        page.goto(f"{clinic.url}/staff/{path}")
        assert_no_violations(page, widget_sources, f"{path} at {width}")
