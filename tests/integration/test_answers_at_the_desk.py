"""Changing answers by HTTP, as the desk's pages do it: who may, what is refused, and what is on record afterwards."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from needlepoint.app import create_app
from needlepoint.db.connect import connect
from needlepoint.faq import store
from needlepoint.settings import ROOT, Settings
from needlepoint.staff import accounts
from tests.desk import edit, sign_in, token_in
from tests.running import SECRET, fill

PASSWORD = "correct horse battery"
STAFF = {"Nurse Aida": "reviewer", "Nurse Bo": "editor", "Dr Lim": "approver", "Dr Tan": "approver", "Mei": "admin"}

Database = Callable[..., list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    var = tmp_path_factory.mktemp("answers")
    (var / "cache").symlink_to(ROOT / "var" / "cache")
    return Settings(
        secret_key=SECRET, engine_secret=SECRET, var_dir=str(var), staff_second_factor="optional", engine_urls=""
    )


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient[Litestar]]:
    """The app in this process, with its staff."""
    fill(settings.database)
    engine = connect(settings.database)
    for name, role in STAFF.items():
        accounts.add(engine, name, PASSWORD, role)
    engine.dispose()
    with TestClient(create_app(settings).app) as client:
        yield client


@pytest.fixture
def database(settings: Settings) -> Database:
    """Runs a statement and returns its rows."""
    file = Path(settings.database.removeprefix("sqlite:///"))

    def run(statement: str, *values: object) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(file)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    return run


class Desk:
    """The desk for one person who is signed in."""

    def __init__(self, client: TestClient[Litestar], name: str) -> None:
        client.cookies.clear()
        self._client = client
        self._csrf = token_in(sign_in(client, name, PASSWORD).text)
        self._cookies = dict(client.cookies)

    def _use(self) -> TestClient[Litestar]:
        self._client.cookies.clear()
        self._client.cookies.update(self._cookies)
        return self._client

    def get(self, path: str) -> httpx.Response:
        return self._use().get(f"/staff/answers{path}")

    def post(self, path: str, **form: object) -> httpx.Response:
        data = {"_csrf_token": self._csrf, **form}
        return self._use().post(f"/staff/answers{path}", data=data, follow_redirects=False)


@pytest.fixture(scope="module")
def desk(client: TestClient[Litestar]) -> Callable[[str], Desk]:
    """The desk as somebody sees it, who signs in once."""
    return cache(lambda name: Desk(client, name))


def write(settings: Settings, entry: str, words: str, author: str = "Nurse Bo", state: str = "in_review") -> None:
    engine = connect(settings.database)
    edit(engine, entry, words, author=author, state=state)
    engine.dispose()


def states(database: Database, entry: str) -> list[tuple[object, ...]]:
    return database(
        "SELECT v.number, t.state, t.approver FROM faq_version v JOIN faq_text t ON t.version_id = v.id"
        " WHERE v.entry_id = ? AND t.language = 'en' ORDER BY v.number",
        entry,
    )


def recorded(database: Database, entry: str) -> list[tuple[object, ...]]:
    """Who did what to an answer, in order; who read something of it apart."""
    return database(
        "SELECT staff_name, what FROM staff_activity WHERE object_id = ? AND what NOT LIKE 'read%' ORDER BY id", entry
    )


def test_several_answers_are_approved_at_once_or_none_of_them(
    settings: Settings, database: Database, desk: Callable[[str], Desk]
) -> None:
    for entry in ("makeup-after", "does-it-hurt"):
        write(settings, entry, "Wait for a day.")
    write(settings, "sun-after", "Stay in the shade.", author="Dr Lim")
    ticked = ["makeup-after:2", "does-it-hurt:2", "sun-after:2"]

    assert desk("Nurse Bo").post("/approve", entry=ticked).status_code == 403
    refused = desk("Dr Lim").post("/approve", entry=ticked)
    assert refused.status_code == 400 and "another person has to approve it" in refused.text
    old = desk("Dr Tan").post("/approve", entry=["makeup-after:2", "does-it-hurt:1"])
    assert old.status_code == 400 and "read it first" in old.text
    assert desk("Dr Tan").post("/approve").headers["location"].endswith("refused=none")
    for entry in ("makeup-after", "does-it-hurt", "sun-after"):
        assert states(database, entry)[-1] == (2, "in_review", None)
        assert recorded(database, entry) == [], "what was refused is not on record as done"

    assert desk("Dr Tan").post("/approve", entry=ticked).status_code == 303
    for entry in ("makeup-after", "does-it-hurt", "sun-after"):
        assert states(database, entry)[-1] == (2, "approved", "Dr Tan")
        assert recorded(database, entry) == [("Dr Tan", "approved_answer")]


def test_an_answer_is_retired_for_good_by_an_approver_and_a_card_by_nobody(
    database: Database, desk: Callable[[str], Desk]
) -> None:
    assert desk("Nurse Bo").post("/redness-duration/retire").status_code == 403
    card = desk("Mei").post("/bleeding-heavy/retire")
    assert card.status_code == 400 and "cards are always given" in card.text
    assert desk("Dr Lim").post("/redness-duration/retire").status_code == 303
    assert {state for _, state, _ in states(database, "redness-duration")} == {"retired"}
    assert recorded(database, "redness-duration") == [("Dr Lim", "retired_answer")]
    assert recorded(database, "bleeding-heavy") == []
    again = desk("Dr Lim").post("/redness-duration/approve/1")
    assert again.status_code == 400 and "is not in review" in again.text


def test_an_old_version_comes_back_as_a_draft_that_somebody_else_approves(
    settings: Settings, database: Database, desk: Callable[[str], Desk]
) -> None:
    entry = "moisturiser-after"
    write(settings, entry, "Use a plain one.")
    assert desk("Nurse Aida").post(f"/{entry}/roll-back/1").status_code == 403
    newest = desk("Nurse Bo").post(f"/{entry}/roll-back/2")
    assert newest.status_code == 400 and "is the newest already" in newest.text
    assert "has no version 9" in desk("Nurse Bo").post(f"/{entry}/roll-back/9").text
    assert desk("Nurse Bo").post(f"/{entry}/roll-back/1").status_code == 303
    assert states(database, entry)[1:] == [(2, "retired", None), (3, "draft", None)]
    early = desk("Dr Lim").post(f"/{entry}/approve/3")
    assert early.status_code == 400 and "send it to review first" in early.text
    desk("Nurse Bo").post(f"/{entry}/submit")
    desk("Nurse Bo").post(f"/{entry}/send-back")
    desk("Nurse Bo").post(f"/{entry}/submit")
    assert desk("Dr Lim").post(f"/{entry}/approve/3").status_code == 303
    assert states(database, entry)[-1] == (3, "approved", "Dr Lim")
    assert recorded(database, entry) == [
        ("Nurse Bo", "rolled_back_answer"),
        ("Nurse Bo", "submitted_answer"),
        ("Nurse Bo", "returned_answer"),
        ("Nurse Bo", "submitted_answer"),
        ("Dr Lim", "approved_answer"),
    ]


def test_an_answer_and_the_assistant_are_withdrawn_and_given_again(
    database: Database, desk: Callable[[str], Desk]
) -> None:
    entry, withdrawn = "home-kit-what-is-it", "SELECT withdrawn_by FROM faq_entry WHERE id = ?"
    assert desk("Nurse Bo").post(f"/{entry}/withdraw").status_code == 403
    assert desk("Dr Lim").post("/bleeding-heavy/withdraw").status_code == 400
    assert desk("Dr Lim").post(f"/{entry}/withdraw").status_code == 303
    assert database(withdrawn, entry) == [("Dr Lim",)]
    assert desk("Nurse Bo").post(f"/{entry}/resume").status_code == 403
    assert desk("Dr Tan").post(f"/{entry}/resume").status_code == 303
    assert database(withdrawn, entry) == [(None,)]
    assert recorded(database, entry) == [("Dr Lim", "withdrew_answer"), ("Dr Tan", "resumed_answer")]

    assert desk("Nurse Bo").post("/assistant/withdraw").status_code == 403
    assert desk("Dr Lim").post("/assistant/withdraw").status_code == 303
    assert database("SELECT withdrawn_by FROM faq_publication") == [("Dr Lim",)]
    assert "Resume the assistant" in desk("Dr Tan").get("").text
    assert desk("Dr Tan").post("/assistant/resume").status_code == 303
    assert database("SELECT withdrawn_by FROM faq_publication") == [(None,)]
    told = database("SELECT staff_name, what FROM staff_activity WHERE object_kind = 'assistant' ORDER BY id")
    assert told == [("Dr Lim", "withdrew_assistant"), ("Dr Tan", "resumed_assistant")]


@pytest.mark.parametrize(
    "path", ["/{}/withdraw", "/{}/retire", "/{}/roll-back/1", "/{}/approve/2", "/approve", "/assistant/withdraw"]
)
def test_what_cannot_be_recorded_is_not_done(
    settings: Settings, database: Database, desk: Callable[[str], Desk], path: str
) -> None:
    entry = "exercise-after"
    if len(states(database, entry)) == 1:
        write(settings, entry, "A day or two.")
    doctor = desk("Dr Lim")
    before = states(database, entry), database("SELECT * FROM faq_publication"), database("SELECT * FROM faq_entry")
    database(
        "CREATE TRIGGER full_disk BEFORE INSERT ON staff_activity WHEN NEW.what NOT LIKE 'read%' "
        "BEGIN SELECT RAISE(ABORT, 'no room'); END"
    )
    try:
        assert doctor.post(path.format(entry), entry=f"{entry}:2").status_code >= 500
    finally:
        database("DROP TRIGGER full_disk")
    after = states(database, entry), database("SELECT * FROM faq_publication"), database("SELECT * FROM faq_entry")
    assert after == before
    assert recorded(database, entry) == []


def test_a_preview_shows_what_the_website_and_telegram_would_show_and_keeps_nothing(
    database: Database, desk: Callable[[str], Desk]
) -> None:
    long = "\n\n".join(f"Paragraph {number}: {'a calm sentence. ' * 11}" for number in range(20))
    written = {
        "question-en": "When may I <b>wash</b>?",
        "answer-en": f"**Wait** for {{clinic_phone}} and {{minimum_age}}.\n\n{long}",
        "contact-en": "<script>alert(1)</script> call {emergency_number}",
        "based_on": "1",
    }
    assert desk("Nurse Aida").post("/washing-after/preview", **written).status_code == 403
    page = desk("Nurse Bo").post("/washing-after/preview", **written)
    assert page.status_code == 200
    bubbles = re.findall(r'<div class="tg-bubble">(.*?)</div>', page.text, re.DOTALL)
    assert len(bubbles) == 2, "a message of Telegram holds 4,096 signs"
    assert bubbles[0].startswith("\u26a0") or "<b>Wait</b> for +60 3-1234 5678" in bubbles[0]
    assert "When may I &lt;b&gt;wash&lt;/b&gt;?" in bubbles[0] and "&lt;script&gt;" in bubbles[1]
    assert "<b>When to contact" in bubbles[1] and "call 999" in bubbles[1]
    found = re.search(r'data-reply="([^"]*)"', page.text)
    assert found
    reply = json.loads(html.unescape(found[1]))
    assert reply["answers"][0]["text"].startswith("**Wait** for +60 3-1234 5678")
    assert "Not set in the clinic's settings: minimum_age" in page.text
    assert "<script>alert" not in page.text
    assert states(database, "washing-after") == [(1, "in_review", None)]
    card = desk("Nurse Bo").get("/bleeding-heavy").text
    assert "&#34;urgency&#34;:&#34;emergency_now&#34;" in card and "\u203c\ufe0f <b>Emergency: get help now</b>" in card


def test_new_ways_to_ask_come_with_the_version_once_somebody_else_approved_it(
    database: Database, desk: Callable[[str], Desk]
) -> None:
    entry = "alcohol-after"
    wordings = "SELECT text FROM faq_wording WHERE entry_id = ? AND language = 'en' ORDER BY position"
    before = database(wordings, entry)
    page = desk("Dr Lim").get(f"/{entry}/edit").text
    words = {
        name: html.unescape(found[1]).strip("\n")
        for name in ("answer", "contact")
        if (found := re.search(rf'<textarea id="{name}-en".*?>(.*?)</textarea>', page, re.DOTALL))
    }
    question = re.search(r'id="question-en".*?value="(.*?)"', page)
    assert question
    form = {"question-en": html.unescape(question[1]), "based_on": "1"} | {f"{k}-en": v for k, v in words.items()}

    def keep(*lines: str) -> httpx.Response:
        return desk("Dr Lim").post(f"/{entry}/edit", **form, **{"wordings-en": "\r\n".join(lines)})

    assert "same words as before" in keep().text
    assert "asks for does-it-hurt already" in keep("does MICROneedling hurt?").text
    assert "asks for redness-duration already" in keep("When will the red go AWAY").text
    assert "take out what points to a person" in keep("can I drink, call me on [phone]").text
    assert "at most 200 letters" in keep("x" * 201).text
    assert "at most 20 new wordings" in keep(*(f"may I have glass number {n}" for n in range(21))).text
    assert states(database, entry) == [(1, "in_review", None)]

    assert keep("teh  tarik is fine but beer?", "teh tarik is fine but beer?", "").status_code == 303
    assert database(wordings, entry) == before, "nothing is found by it before the approval"
    assert "teh tarik is fine but beer?" in desk("Nurse Aida").get(f"/{entry}").text
    desk("Dr Lim").post(f"/{entry}/submit")
    own = desk("Dr Lim").post(f"/{entry}/approve/2")
    assert own.status_code == 400 and "Dr Lim proposed its new wordings; another person" in own.text
    assert desk("Dr Tan").post(f"/{entry}/approve/2").status_code == 303
    assert database(wordings, entry) == [*before, ("teh tarik is fine but beer?",)]
    assert desk("Dr Lim").post(f"/{entry}/approve/2").status_code == 303, "renewing brings nothing new"
    assert len(database(wordings, entry)) == len(before) + 1


def test_the_list_is_narrowed_by_state_date_topic_and_words(
    settings: Settings, database: Database, desk: Callable[[str], Desk]
) -> None:
    def listed(address: str) -> list[str]:
        return re.findall(r'<th scope="row"><a href="/staff/answers/([\w-]+)"', desk("Nurse Aida").get(address).text)

    engine = connect(settings.database)
    today = datetime.now(UTC).date()
    store.approve(engine, ["sleep-and-hygiene-after"], "Dr Lim", today - timedelta(days=300), today + timedelta(days=5))
    store.withdraw(engine, ["vitamin-c-after"], "Dr Lim")
    edit(engine, "sleep-and-hygiene-after", "Sleep on your back.", state="draft")
    edit(engine, "swimming-after", "No pool for a week.", state="in_review")
    engine.dispose()
    assert listed("?due=1") == ["sleep-and-hygiene-after"]
    assert "vitamin-c-after" in listed("?state=withdrawn") and "does-it-hurt" not in listed("?state=withdrawn")
    assert "sleep-and-hygiene-after" in listed("?state=draft") and "sleep-and-hygiene-after" in listed(
        "?state=approved"
    )
    assert "swimming-after" in listed("?state=in_review") and "swimming-after" not in listed("?state=starting_text")
    assert "redness-duration" in listed("?state=retired"), "an earlier test retired it"
    assert set(listed("?topic=urgent&q=heavy%20bleeding")) == {"bleeding-heavy"}
    assert listed("?q=no+such+words") == []
    page = desk("Nurse Aida").get("?topic=aftercare")
    assert "due for review (1)" in page.text and "?topic=aftercare&amp;due=1" in page.text
    assert "Version 2 is being written." in desk("Nurse Aida").get("?due=1").text
    everything = len(listed(""))
    assert len(listed("?state=%3Cscript%3E&topic=nonsense&due=")) == everything


def test_a_test_without_understanding_says_so_and_still_checks_the_draft(
    settings: Settings, database: Database, desk: Callable[[str], Desk]
) -> None:
    write(
        settings, "sauna-and-hot-water-after", "Notwithstanding perspiration, " + "thermotherapy " * 90, state="draft"
    )
    page = desk("Nurse Bo").post("/sauna-and-hot-water-after/test")
    assert page.status_code == 200 and "Nothing could be asked" in page.text
    assert "English: 92 words outside the list, 75 at most" in page.text and "English: reading grade" in page.text
    assert recorded(database, "sauna-and-hot-water-after") == [("Nurse Bo", "tested_answer")]
    assert desk("Nurse Bo").post("/no-such-answer/test").status_code == 404
