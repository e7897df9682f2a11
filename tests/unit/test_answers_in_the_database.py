"""The curated answers on both databases: what is given, what is not, and what the database itself refuses."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from needlepoint.db.connect import connect
from needlepoint.db.migrate import migrate
from needlepoint.faq import store
from needlepoint.faq.files import EntryInFile, SourceInFile, TextInFile, TopicEntry, VersionInFile, read_folder
from needlepoint.faq.published import GRACE, read_published
from needlepoint.faq.store import FaqRefusedError
from needlepoint.settings import ROOT
from needlepoint.staff import accounts
from tests.desk import edit

TODAY = date(2026, 11, 23)
PASSWORD = "correct horse battery"


@pytest.fixture
def database(database_address: str) -> Any:
    engine = connect(database_address)
    migrate(engine)
    yield engine
    engine.dispose()


def entry(entry_id: str = "makeup-after", answer: str = "Wait a day.", **changes: Any) -> TopicEntry:
    """A small entry, as read from a file."""
    topic = changes.pop("topic", "aftercare")
    version = VersionInFile(
        number=1,
        author="Needlepoint starting set",
        written_on=TODAY,
        sources=[SourceInFile(name="A society", url="https://example.org/", grade="society")],
        texts={"en": TextInFile(question="When?", answer=answer, when_to_contact="If it gets worse.")},
    )
    content = EntryInFile(
        id=entry_id, covers=[entry_id], treatments=["any"], version=version, wordings={"en": ["when makeup"]}, **changes
    )
    return TopicEntry(topic, content, Path("test.yml"), 1)


def given(engine: Engine, today: date = TODAY, unapproved: bool = True) -> dict[str, str]:
    """What a patient would read, by entry."""
    with engine.connect() as connection:
        published = read_published(connection, today, unapproved)
    return {one.id: one.answers["en"].text for one in published.entries}


def test_loading_twice_changes_nothing(database: Engine) -> None:
    assert store.load(database, [entry()]).added == ["makeup-after"]
    again = store.load(database, [entry()])
    assert (again.added, again.changed, again.unchanged) == ([], [], ["makeup-after"])


def test_changing_one_word_makes_a_new_version_and_keeps_the_old(database: Engine) -> None:
    store.load(database, [entry()])
    assert store.load(database, [entry(answer="Wait two days.")]).changed == ["makeup-after"]
    assert given(database) == {"makeup-after": "Wait two days."}
    with database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM faq_version")) == 2


def newest(engine: Engine) -> dict[str, str]:
    """The words of each entry's newest version, given or not."""
    query = "SELECT entry_id, answer FROM faq_text t JOIN faq_version v ON v.id = t.version_id ORDER BY v.number"
    with engine.connect() as connection:
        return {row.entry_id: row.answer for row in connection.execute(text(query))}


def test_an_edit_in_the_desk_is_not_overwritten_by_a_load(database: Engine) -> None:
    store.load(database, [entry()])
    edit(database, "makeup-after", "Ask us first.")
    assert store.load(database, [entry()]).unchanged == ["makeup-after"]
    conflict = store.load(database, [entry(answer="Wait two days."), entry("washing-after")])
    assert conflict.conflicts == ["makeup-after"]
    assert newest(database) == {"makeup-after": "Ask us first."}, "with a conflict nothing at all may be loaded"
    store.load(database, [entry(answer="Wait two days.")], "keep")
    assert newest(database) == {"makeup-after": "Ask us first."}
    assert store.load(database, [entry(answer="Wait two days.")]).conflicts == [], "asked and answered"
    assert store.load(database, [entry(answer="Wait three days.")]).conflicts == ["makeup-after"]
    store.load(database, [entry(answer="Wait three days.")], "overwrite")
    assert newest(database) == {"makeup-after": "Wait three days."}


def test_taking_the_files_side_changes_only_what_is_in_conflict(database: Engine) -> None:
    store.load(database, [entry(), entry("washing-after")])
    edit(database, "makeup-after", "Ask us first.")
    edit(database, "washing-after", "Ask us first.")
    changed = [entry(answer="Wait two days."), entry("washing-after")]
    assert store.load(database, changed).conflicts == ["makeup-after"]
    store.load(database, changed, "overwrite")
    assert newest(database) == {"makeup-after": "Wait two days.", "washing-after": "Ask us first."}


def test_each_conflict_is_shown_as_a_diff_and_settled_by_itself(database: Engine) -> None:
    store.load(database, [entry(), entry("washing-after"), entry("sport-after")])
    edit(database, "makeup-after", "Ask us first.")
    edit(database, "washing-after", "Ask us before.")
    changed = [entry(one, "Wait two days.") for one in ("makeup-after", "washing-after", "sport-after")]
    found = store.conflicts(database, changed)
    assert [one.entry_id for one in found] == ["makeup-after", "washing-after"]
    lines = found[0].diff.splitlines()
    assert lines[:2] == [
        "--- makeup-after in the database (version 2)",
        "+++ makeup-after in test.yml:1",
    ]
    assert any(line.startswith("-") and "answer: Ask us first." in line for line in lines)
    assert any(line.startswith("+") and "answer: Wait two days." in line for line in lines)
    half = store.load(database, changed, {"makeup-after": "overwrite"})
    assert half.conflicts == ["washing-after"] and newest(database)["sport-after"] == "Wait a day."
    done = store.load(database, changed, {"makeup-after": "overwrite", "washing-after": "keep"})
    assert (done.changed, done.unchanged) == (["makeup-after", "sport-after"], ["washing-after"])
    assert newest(database) == {
        "makeup-after": "Wait two days.",
        "washing-after": "Ask us before.",
        "sport-after": "Wait two days.",
    }
    assert store.conflicts(database, changed) == []


def test_a_new_date_or_a_named_author_in_the_file_is_no_conflict(database: Engine) -> None:
    def written(on: date, author: str | None, answer: str = "Wait a day.") -> TopicEntry:
        item = entry(answer=answer)
        texts = {"en": msgspec.structs.replace(item.entry.version.texts["en"], author=author)}
        version = msgspec.structs.replace(item.entry.version, written_on=on, texts=texts)
        return msgspec.structs.replace(item, entry=msgspec.structs.replace(item.entry, version=version))

    store.load(database, [written(TODAY, None)])
    assert store.load(database, [written(TODAY + timedelta(days=1), None)]).unchanged == ["makeup-after"]
    assert store.load(database, [written(TODAY, "Nurse Aida")]).changed == ["makeup-after"]
    assert store.load(database, [written(TODAY, "Nurse Aida", "Wait two days.")]).changed == ["makeup-after"]


def test_unapproved_starting_texts_are_withheld_when_the_setting_says_so_but_never_a_card(database: Engine) -> None:
    store.load(database, [entry(), entry("severe-allergic-reaction", topic="urgent", level="emergency_now")])
    assert set(given(database)) == {"makeup-after", "severe-allergic-reaction"}
    assert set(given(database, unapproved=False)) == {"severe-allergic-reaction"}


def test_an_approved_answer_shows_its_review_and_expires_after_the_grace_period(database: Engine) -> None:
    store.load(database, [entry()])
    accounts.add(database, "Dr Lim", PASSWORD, "approver")
    due = TODAY + timedelta(days=30)
    store.approve(database, ["makeup-after"], "Dr Lim", TODAY, due)
    with database.connect() as connection:
        answer = read_published(connection, TODAY, False).entries[0].answers["en"]
    assert (answer.reviewed_on, answer.review_due, answer.starting_text_of) == (TODAY, due, None)
    assert given(database, due, unapproved=False)
    assert given(database, due + GRACE, unapproved=False)
    assert not given(database, due + GRACE + timedelta(days=1), unapproved=True)


def test_an_expired_card_is_still_given(database: Engine) -> None:
    store.load(database, [entry("bleeding-heavy", topic="urgent", level="emergency_now")])
    accounts.add(database, "Dr Lim", PASSWORD, "approver")
    store.approve(database, ["bleeding-heavy"], "Dr Lim", TODAY, TODAY + timedelta(days=1))
    assert given(database, TODAY + timedelta(days=900), unapproved=False)


def test_a_new_starting_text_does_not_replace_what_the_clinic_approved(database: Engine) -> None:
    store.load(database, [entry()])
    accounts.add(database, "Dr Lim", PASSWORD, "approver")
    store.approve(database, ["makeup-after"], "Dr Lim", TODAY)
    store.load(database, [entry(answer="Wait two days.")])
    assert given(database) == {"makeup-after": "Wait a day."}
    store.approve(database, ["makeup-after"], "Dr Lim", TODAY)
    assert given(database) == {"makeup-after": "Wait two days."}


def test_a_withdrawn_answer_is_not_given_until_it_is_approved_again(database: Engine) -> None:
    store.load(database, [entry()])
    accounts.add(database, "Dr Lim", PASSWORD, "approver")
    store.withdraw(database, ["makeup-after"], "Dr Lim")
    assert not given(database)
    store.approve(database, ["makeup-after"], "Dr Lim", TODAY)
    assert given(database)


def test_every_change_counts_as_a_new_revision(database: Engine) -> None:
    def revision() -> int:
        with database.connect() as connection:
            return read_published(connection, TODAY, True).revision

    store.load(database, [entry()])
    accounts.add(database, "Dr Lim", PASSWORD, "approver")
    before = revision()
    store.approve(database, ["makeup-after"], "Dr Lim", TODAY)
    store.withdraw(database, ["makeup-after"], "Dr Lim")
    store.withdraw_assistant(database, "Dr Lim", withdrawn=True)
    assert revision() == before + 3


def test_an_author_cannot_approve_own_words(database: Engine) -> None:
    store.load(database, [entry()])
    accounts.add(database, "Needlepoint starting set", PASSWORD, "approver")
    with pytest.raises(FaqRefusedError, match="another person"):
        store.approve(database, ["makeup-after"], "Needlepoint starting set", TODAY)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE faq_text SET state = 'approved'",
        "UPDATE faq_text SET approver = author",
        "UPDATE faq_text SET state = 'fine'",
        "UPDATE faq_source SET grade = 'rumour'",
        "UPDATE faq_entry SET level = 'same_day'",
        "UPDATE faq_version SET number = 0",
        "INSERT INTO faq_publication (id, revision) VALUES (2, 0)",
    ],
)
def test_the_database_itself_refuses_what_must_not_be(database: Engine, statement: str) -> None:
    store.load(database, [entry()])
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.execute(text(statement))


def test_the_shipped_answers_survive_the_way_through_the_database(database: Engine, tmp_path: Path) -> None:
    shipped = read_folder(ROOT / "data" / "faq")
    store.load(database, shipped)
    store.export(database, tmp_path)
    assert [item.entry for item in read_folder(tmp_path)] == [item.entry for item in shipped]


def test_an_approval_travels_with_an_export(database: Engine, tmp_path: Path) -> None:
    store.load(database, [entry()])
    accounts.add(database, "Dr Lim", PASSWORD, "approver")
    store.approve(database, ["makeup-after"], "Dr Lim", TODAY)
    store.export(database, tmp_path)
    exported = read_folder(tmp_path)[0].entry.version.texts["en"]
    assert (exported.state, exported.approver, exported.approved_on) == ("approved", "Dr Lim", TODAY)
    assert msgspec.structs.replace(exported, state="in_review").question == "When?"
