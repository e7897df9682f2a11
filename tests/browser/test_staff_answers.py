"""An answer on its way from one nurse's words to what a patient reads, in a real browser."""

from __future__ import annotations

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


@pytest.mark.parametrize("width, height", [(1366, 768), (820, 1180)])
def test_axe_finds_nothing_on_any_page(
    clinic: Instance, desk: Callable[[str], Page], widget_sources: Path, width: int, height: int
) -> None:
    axe = (widget_sources / "node_modules" / "axe-core" / "axe.min.js").read_text()
    page = desk("Mei")
    page.set_viewport_size({"width": width, "height": height})
    for path in (
        "answers",
        "answers/redness-duration",
        "answers/redness-duration/edit",
        "health",
        "people",
        "activity",
        "account",
        "account/second-factor",
    ):
        page.goto(f"{clinic.url}/staff/{path}")
        page.evaluate(axe)
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        told = [f"{one['id']}: {node['target']} {node.get('failureSummary')}" for one in found for node in one["nodes"]]
        assert not told, f"{path}: " + "\n".join(told)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{path} scrolls sideways"
