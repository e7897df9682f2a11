"""Changing answers by HTTP, as the desk's pages do it: who may, what is refused, and what is on record afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from needlepoint.app import create_app
from needlepoint.db.connect import connect
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
