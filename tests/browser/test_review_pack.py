"""A clinician with the review pack, in a real browser: tick, close, come back, download, approve."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from needlepoint.clinic import read_clinic
from needlepoint.db.connect import connect
from needlepoint.db.migrate import migrate
from needlepoint.faq import store
from needlepoint.faq.pack import write_pack
from needlepoint.faq.signing import read_signed
from needlepoint.phrases import read_phrases
from needlepoint.settings import ROOT
from needlepoint.staff import accounts
from tests.unit.test_answers_in_the_database import PASSWORD, TODAY, entry

pytestmark = pytest.mark.browser


def test_a_clinician_ticks_answers_and_just_these_are_approved(browser: Browser, tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(database)
    accounts.add(database, "Dr Lim", PASSWORD, "approver")
    hostile = "<script>document.title='owned'</script><img src=https://example.org/x onerror=document.title='owned'>"
    store.load(database, [entry(answer=hostile), entry("washing-after"), entry("sport-after")])
    phrases = read_phrases(ROOT / "data" / "phrases", read_clinic(ROOT / "clinic.toml"))
    with database.connect() as connection:
        write_pack(connection, tmp_path / "pack.html", phrases, TODAY)

    problems: list[str] = []
    context = browser.new_context(viewport={"width": 390, "height": 800}, accept_downloads=True)
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "blob:")) else problems.append(request.url),
    )
    page.goto((tmp_path / "pack.html").as_uri())
    expect(page.get_by_text(hostile)).to_be_visible()
    expect(page.get_by_role("button", name="Download")).to_be_disabled()
    page.get_by_role("checkbox", name="approve makeup-after").check()
    page.get_by_role("checkbox", name="approve sport-after").check()
    expect(page.get_by_role("status")).to_have_text("2 of 3 approved")
    page.reload()
    expect(page.get_by_role("status")).to_have_text("2 of 3 approved")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "signed.txt"
    download.value.save_as(tmp_path / "signed.txt")
    page.emulate_media(media="print")
    expect(page.get_by_role("button", name="Download")).to_be_hidden()
    assert page.title() != "owned"
    context.close()
    assert not problems

    assert "# From the pack " in (tmp_path / "signed.txt").read_text()
    result = store.approve_signed(database, read_signed(tmp_path / "signed.txt"), "Dr Lim", TODAY)
    assert (result.approved, result.refused) == (["makeup-after v1 en", "sport-after v1 en"], [])
    database.dispose()
