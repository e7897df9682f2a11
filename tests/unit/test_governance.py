"""What nobody gets around, on both databases: words stay, approvals count, dates are kept, a signature is exact."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, delete, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from needlepoint.conversations.search import BESIDE_THE_MODELS
from needlepoint.db import migrate as migration
from needlepoint.db.base import now
from needlepoint.db.connect import connect
from needlepoint.db.migrate import migrate
from needlepoint.db.tables import Base
from needlepoint.faq import store
from needlepoint.faq.files import TopicEntry, Withdrawal, dump_topic, read_folder
from needlepoint.faq.models import Entry
from needlepoint.faq.published import GRACE, read_published
from needlepoint.faq.signing import SignedLine, read_signed, text_hash
from needlepoint.faq.standing import Standing, by_kind, due_report, read_standings
from needlepoint.faq.store import FaqRefusedError
from needlepoint.located import FileError, FileErrors
from needlepoint.settings import ROOT
from needlepoint.staff.models import StaffMember
from needlepoint.staff.notices import due_line, notices
from tests.desk import edit
from tests.unit.test_answers_in_the_database import TODAY, entry, given

LIM, AIDA = "Dr Lim", "Nurse Aida"


@pytest.fixture
def database(database_address: str) -> Any:
    engine = connect(database_address)
    migrate(engine)
    with Session(engine) as session, session.begin():  # nobody signs in here, so no password has to be hashed
        for name in (LIM, AIDA):
            session.add(StaffMember(name=name, password_hash="-", role="approver", created_at=now()))
    yield engine
    engine.dispose()


def run(engine: Engine, statement: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def value(engine: Engine, query: str) -> Any:
    with engine.connect() as connection:
        return connection.scalar(text(query))


def refused(engine: Engine, statement: str, **values: Any) -> str:
    """What the database says to a statement that it must refuse."""
    with pytest.raises(IntegrityError) as error:
        run(engine, statement, **values)
    return str(error.value.orig)


# -- what the database itself refuses ---------------------------------------------------------------------------------


def test_no_word_of_a_text_changes_once_it_is_written(database: Engine) -> None:
    store.load(database, [entry()])
    for state in ("in_review", "approved", "retired"):
        for change in (
            *("question = 'Why?'", "answer = 'Now.'", "when_to_contact = NULL", "author = 'x'", "language = 'ms'"),
            *("recorded_on = '2020-01-01'", "id = id + 100"),
        ):
            assert "never change" in refused(database, f"UPDATE faq_text SET {change}"), (state, change)
        if state == "in_review":
            store.approve(database, ["makeup-after"], LIM, TODAY)
        else:
            run(database, "UPDATE faq_text SET state = 'retired'")


def test_a_version_stays_as_it_was_written_but_for_its_notes(database: Engine) -> None:
    store.load(database, [entry(), entry("washing-after")])
    for change in (
        *("number = 7", "timing = '[{}]'", "conditions = '[\"x\"]'", "written_on = '2020-01-01'"),
        *("starting_text = NOT starting_text", "id = id + 100", "entry_id = 'washing-after'"),
    ):
        statement = f"UPDATE faq_version SET {change} WHERE entry_id = 'makeup-after'"
        assert "never changes" in refused(database, statement), change
    run(database, "UPDATE faq_version SET notes = 'Two leaflets disagree.'")


def test_a_source_is_never_changed(database: Engine) -> None:
    store.load(database, [entry()])
    for change in ("name = 'x'", "url = 'https://x.org/'", "grade = 'regulator'", "position = 5"):
        assert "never change" in refused(database, f"UPDATE faq_source SET {change}"), change


STATES = ("draft", "in_review", "approved", "retired")
WAYS = {
    *(("draft", "in_review"), ("in_review", "draft"), ("in_review", "approved")),
    *(("draft", "retired"), ("in_review", "retired"), ("approved", "retired")),
}


def test_a_state_only_goes_forward(database: Engine) -> None:
    steps = [(before, after) for before in STATES for after in STATES]
    store.load(database, [entry(f"from-{before}-to-{after}".replace("_", "-")) for before, after in steps])
    # An approval's names and dates are there from the beginning, so that only the step itself is in question.
    run(
        database,
        "UPDATE faq_text SET approver = 'Dr Lim', approved_on = :on, review_due = :due",
        on=str(TODAY),
        due=str(TODAY + timedelta(days=9)),
    )
    for before, after in steps:
        its = (
            "WHERE version_id = (SELECT id FROM faq_version WHERE entry_id = "
            f"'{f'from-{before}-to-{after}'.replace('_', '-')}')"
        )
        if before != "in_review":
            run(database, f"UPDATE faq_text SET state = '{before}' {its}")
        step = f"UPDATE faq_text SET state = '{after}' {its}"
        if before == after or (before, after) in WAYS:
            run(database, step)
        else:
            assert "draft to in_review" in refused(database, step), (before, after)


def test_who_approved_a_retired_answer_stays_on_record(database: Engine) -> None:
    store.load(database, [entry()])
    store.approve(database, ["makeup-after"], LIM, TODAY)
    assert "on record" in refused(database, "UPDATE faq_text SET state = 'retired', approver = NULL")
    run(database, "UPDATE faq_text SET state = 'retired'")
    assert "on record" in refused(database, "UPDATE faq_text SET approved_on = '2020-01-01'")


def test_an_answer_without_a_source_cannot_be_approved(database: Engine) -> None:
    store.load(database, [entry()])
    run(database, "DELETE FROM faq_source")
    with pytest.raises(FaqRefusedError, match="no source"):
        store.approve(database, ["makeup-after"], LIM, TODAY)
    approval = "state = 'approved', approver = 'Dr Lim', approved_on = '2026-11-23', review_due = '2027-11-23'"
    assert "without a source" in refused(database, f"UPDATE faq_text SET {approval}")
    assert "without a source" in refused(
        database,
        "INSERT INTO faq_text (version_id, language, author, question, answer, recorded_on, state, approver, "
        "approved_on, review_due) SELECT id, 'ms', 'a', 'q', 'a', '2026-11-23', 'approved', 'b', '2026-11-23', "
        "'2027-11-23' FROM faq_version",
    )


@pytest.mark.parametrize("retired", [False, True])
def test_the_sources_of_what_was_approved_stay_and_so_do_its_words(database: Engine, retired: bool) -> None:
    store.load(database, [entry()])
    store.approve(database, ["makeup-after"], LIM, TODAY)
    if retired:
        run(database, "UPDATE faq_text SET state = 'retired'")
    assert "sources" in refused(database, "DELETE FROM faq_source")
    assert "no further sources" in refused(
        database,
        "INSERT INTO faq_source (version_id, position, name, url, grade) "
        "SELECT id, 9, 'x', 'https://x.org/', 'seed' FROM faq_version",
    )
    assert "on record" in refused(database, "DELETE FROM faq_text")
    assert "on record" in refused(database, "DELETE FROM faq_version")


def test_what_was_never_approved_can_be_thrown_away(database: Engine) -> None:
    store.load(database, [entry()])
    store.approve(database, ["makeup-after"], LIM, TODAY)
    edit(database, "makeup-after", "Ask us first.")
    run(database, "DELETE FROM faq_version WHERE number = 2")
    assert value(database, "SELECT count(*) FROM faq_text") == 1


def test_deleting_a_whole_entry_takes_everything_with_it_also_what_was_approved(database: Engine) -> None:
    store.load(database, [entry(), entry("washing-after")])
    store.approve(database, ["makeup-after"], LIM, TODAY)
    edit(database, "makeup-after", "Ask us first.")
    with database.begin() as connection:
        connection.execute(delete(Entry).where(Entry.id == "makeup-after"))
    for table in ("faq_entry", "faq_version", "faq_text", "faq_source", "faq_wording"):
        assert value(database, f"SELECT count(*) FROM {table}") == 1, table


# -- own words --------------------------------------------------------------------------------------------------------


def own_words(engine: Engine, on: date = TODAY) -> None:
    """An entry whose newest version Dr Lim wrote on `on`."""
    store.load(engine, [entry()], today=on)
    edit(engine, "makeup-after", "Ask us first.", author=LIM, on=on, state="in_review")


def test_an_author_approves_own_words_only_in_a_clinic_that_waits_and_the_record_says_so(database: Engine) -> None:
    own_words(database)
    with pytest.raises(FaqRefusedError, match=r"another person.*SINGLE_CLINICIAN"):
        store.approve(database, ["makeup-after"], LIM, TODAY + timedelta(days=9))
    with pytest.raises(FaqRefusedError, match=str(TODAY + timedelta(days=2))):
        store.approve(database, ["makeup-after"], LIM, TODAY + timedelta(days=1), waiting_days=2)
    store.approve(database, ["makeup-after"], LIM, TODAY + timedelta(days=2), waiting_days=2)
    assert value(database, "SELECT waited_days FROM faq_text WHERE state = 'approved'") == 2
    assert given(database, TODAY + timedelta(days=2)) == {"makeup-after": "Ask us first."}


def test_another_persons_approval_waits_for_nothing_and_says_nothing_of_waiting(database: Engine) -> None:
    own_words(database)
    store.approve(database, ["makeup-after"], AIDA, TODAY, waiting_days=2)
    assert value(database, "SELECT waited_days FROM faq_text WHERE state = 'approved'") is None


def test_words_that_are_dated_back_wait_from_the_day_they_came_into_the_database(database: Engine) -> None:
    item = entry()
    version = msgspec.structs.replace(item.entry.version, author=LIM, written_on=TODAY - timedelta(days=300))
    dated = msgspec.structs.replace(item, entry=msgspec.structs.replace(item.entry, version=version))
    store.load(database, [dated], today=TODAY)
    with pytest.raises(FaqRefusedError, match="may approve it from"):
        store.approve(database, ["makeup-after"], LIM, TODAY, waiting_days=1)


def test_the_database_itself_refuses_a_self_approval_that_did_not_wait(database: Engine) -> None:
    own_words(database)
    for approver, waited, on in [(LIM, None, 5), (LIM, 0, 5), (LIM, -1, 5), (LIM, 1, 0), (LIM, 3, 2), (AIDA, 1, 5)]:
        day = TODAY + timedelta(days=on)
        refused(
            database,
            "UPDATE faq_text SET state = 'approved', approver = :approver, approved_on = :day, review_due = :due, "
            "waited_days = :waited WHERE author = :author",
            **{"approver": approver, "day": str(day), "due": str(day + timedelta(days=9))},
            **{"waited": waited, "author": LIM},
        )


def test_a_self_approval_travels_with_an_export(database: Engine, tmp_path: Path) -> None:
    own_words(database)
    later = TODAY + timedelta(days=1)
    store.approve(database, ["makeup-after"], LIM, later, waiting_days=1)
    store.export(database, tmp_path / "first")
    other = connect(f"sqlite:///{tmp_path / 'other.db'}")
    migrate(other)
    assert store.load(other, read_folder(tmp_path / "first"), today=later).added == ["makeup-after"]
    assert value(other, "SELECT waited_days FROM faq_text WHERE state = 'approved'") == 1
    store.export(other, tmp_path / "second")
    other.dispose()
    assert (tmp_path / "first" / "aftercare.yml").read_text() == (tmp_path / "second" / "aftercare.yml").read_text()


# -- migrations -------------------------------------------------------------------------------------------------------


def at_revision(engine: Engine, revision: str, down: bool = False) -> None:
    config = migration._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)


FIRST_RELEASE = """
INSERT INTO faq_entry (id, topic, position, treatments, covers, audience, loaded_hash)
VALUES ('makeup-after', 'aftercare', 0, '["any"]', '["makeup-after"]', 'patients', 'x');
INSERT INTO faq_version (id, entry_id, number, written_on, starting_text, timing, conditions)
VALUES (1, 'makeup-after', 1, '2026-11-20', true, '[]', '[]'), (2, 'makeup-after', 2, '2026-11-21', false, '[]', '[]');
INSERT INTO faq_source (version_id, position, name, url, grade)
VALUES (1, 0, 'A society', 'https://example.org/', 'society'), (2, 0, 'A society', 'https://example.org/', 'society');
INSERT INTO faq_text (id, version_id, language, author, question, answer, state, approver, approved_on, review_due)
VALUES (1, 1, 'en', 'set', 'When?', 'Wait.', 'approved', 'Dr Lim', '2026-11-22', '2027-11-22'),
(2, 2, 'en', 'Nurse Aida', 'When?', 'Ask us.', 'in_review', NULL, NULL, NULL)
"""


def test_a_database_of_the_first_release_comes_up_with_everything_in_it_and_can_go_back(database_address: str) -> None:
    engine = connect(database_address)
    at_revision(engine, "0001")
    for statement in FIRST_RELEASE.split(";"):
        run(engine, statement)
    at_revision(engine, "0002")
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT answer, state, approver, waited_days, CAST(recorded_on AS TEXT) FROM faq_text ORDER BY id")
        ).all()
    assert [tuple(row) for row in rows] == [
        ("Wait.", "approved", LIM, None, "2026-11-20"),
        ("Ask us.", "in_review", None, None, "2026-11-21"),
    ]
    assert "never change" in refused(engine, "UPDATE faq_text SET answer = 'Now.'")
    refused(engine, "UPDATE faq_text SET state = 'fine' WHERE id = 2")
    refused(engine, "INSERT INTO faq_text SELECT * FROM faq_text")
    approval = "state = 'approved', approved_on = '2026-11-25', review_due = '2027-11-25'"
    refused(engine, f"UPDATE faq_text SET {approval} WHERE id = 2")
    run(engine, f"UPDATE faq_text SET {approval}, approver = author, waited_days = 2 WHERE id = 2")
    at_revision(engine, "0001", down=True)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT answer, state, approver FROM faq_text ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [("Wait.", "approved", LIM), ("Ask us.", "in_review", None)]
    refused(engine, "UPDATE faq_text SET approver = author")
    run(engine, "UPDATE faq_text SET answer = 'Now.'")
    at_revision(engine, "0002")
    refused(engine, "UPDATE faq_text SET answer = 'Then.'")
    engine.dispose()


def test_the_migrations_make_the_tables_that_the_models_describe(database: Engine, tmp_path: Path) -> None:
    def is_a_model(name: str | None, _kind: str, _parent: object) -> bool:
        return not (name or "").startswith(BESIDE_THE_MODELS)

    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_a_model})
        assert compare_metadata(context, Base.metadata) == []
    described = create_engine(f"sqlite:///{tmp_path / 'described.db'}")
    Base.metadata.create_all(described)
    for table in Base.metadata.tables:
        made, wanted = (
            {one["name"] for one in inspect(engine).get_check_constraints(table)} for engine in (database, described)
        )
        assert made == wanted, table
    described.dispose()


# -- dates ------------------------------------------------------------------------------------------------------------


def standing(engine: Engine, today: date) -> dict[str, Standing]:
    with engine.connect() as connection:
        return {f"{one.entry_id} {one.language}": one for one in read_standings(connection, today)}


def test_a_review_is_announced_at_60_30_and_7_days_and_the_answer_ends_when_the_grace_does(database: Engine) -> None:
    store.load(database, [entry()])
    due = TODAY + timedelta(days=100)
    store.approve(database, ["makeup-after"], LIM, TODAY, due)
    for left, kind in [
        *((61, "approved"), (60, "within_60"), (31, "within_60"), (30, "within_30"), (8, "within_30")),
        *((7, "within_7"), (0, "within_7"), (-1, "grace"), (-14, "grace"), (-15, "expired")),
    ]:
        today = due - timedelta(days=left)
        one = standing(database, today)["makeup-after en"]
        assert (one.kind, one.days_left) == (kind, left)
        assert bool(given(database, today)) == one.given == (kind != "expired")


def test_the_list_of_what_is_due_groups_by_urgency_and_says_the_days(database: Engine) -> None:
    ids = ["a-1", "b-2", "c-3", "d-4", "e-5", "f-6"]
    card = entry("bleeding-heavy", topic="urgent", level="emergency_now")
    store.load(database, [*(entry(one) for one in ids), card])
    for one, left in zip([*ids, card.entry.id], (-15, -1, 7, 30, 60, 61, -40), strict=True):
        store.approve(database, [one], LIM, TODAY - timedelta(days=90), TODAY + timedelta(days=left))
    store.withdraw(database, ["f-6"], LIM)
    with database.connect() as connection:
        standings = read_standings(connection, TODAY)
    assert [block.splitlines()[0] for block in due_report(standings).split("\n\n")] == [
        "Expired and no longer given (1)",
        "Expired urgent cards, given all the same (1)",
        "Past the review date, given for 14 days after it (1)",
        "Due within 7 days (1)",
        "Due within 30 days (1)",
        "Due within 60 days (1)",
    ]
    assert f"a-1  en  v1  due {TODAY - timedelta(days=15)}  15 days ago" in due_report(standings)
    assert f"b-2  en  v1  due {TODAY - timedelta(days=1)}  1 day ago" in due_report(standings)
    assert f"c-3  en  v1  due {TODAY + timedelta(days=7)}  in 7 days" in due_report(standings)
    assert list(by_kind(standings)) == ["expired", "grace", "within_7", "within_30", "within_60", "withdrawn"]
    line = due_line(standings)
    assert line is not None and "expired 2 (bleeding-heavy, a-1)" in line and "Wait" not in line
    with database.connect() as connection:
        published = read_published(connection, TODAY, True)
    (notice,) = notices(published, standings, gives_unapproved=True)
    assert notice.text == (
        "2 answers have expired and are no longer given (urgent cards still are). 1 answer is past the review date, "
        "and given for 14 days after it. 1 answer is due for review within 7 days, 1 within 30, 1 within 60."
    )
    assert notice.link == "/staff/answers?due=1"


def test_staff_are_told_how_many_starting_texts_are_given_and_how_to_stop_it(database: Engine) -> None:
    store.load(database, [entry(), entry("bleeding-heavy", topic="urgent", level="emergency_now")])

    def told(gives: bool) -> str:
        with database.connect() as connection:
            published = read_published(connection, TODAY, gives)
            return " ".join(
                f"{one.text} {one.for_admins}".strip()
                for one in notices(published, read_standings(connection, TODAY), gives)
            )

    assert told(True).startswith("2 answers are starting texts")
    assert "NEEDLEPOINT_UNAPPROVED_ANSWERS=withhold" in told(True)
    assert told(False) == (
        "1 answer is not given to patients before the clinic approves it. "
        "1 urgent card is given although the clinic has not approved it yet."
    )


def test_a_newer_approval_retires_the_older_one_which_does_not_come_back_when_it_expires(database: Engine) -> None:
    store.load(database, [entry()])
    store.approve(database, ["makeup-after"], LIM, TODAY, TODAY + timedelta(days=900))
    edit(database, "makeup-after", "Ask us first.", state="in_review")
    assert standing(database, TODAY)["makeup-after en"].awaiting == 2
    store.approve(database, ["makeup-after"], LIM, TODAY, TODAY + timedelta(days=30))
    assert value(database, "SELECT count(*) FROM faq_text WHERE state = 'retired'") == 1
    assert given(database) == {"makeup-after": "Ask us first."}
    assert not given(database, TODAY + timedelta(days=30) + GRACE + timedelta(days=1))


def test_a_draft_is_neither_given_nor_approved_by_its_id(database: Engine) -> None:
    store.load(database, [entry()])
    edit(database, "makeup-after", "Ask us first.", state="draft")
    with pytest.raises(FaqRefusedError, match="not in review"):
        store.approve(database, ["makeup-after"], LIM, TODAY)
    assert given(database) == {"makeup-after": "Wait a day."}


# -- signed lists -----------------------------------------------------------------------------------------------------


def lines_of(engine: Engine) -> list[SignedLine]:
    """The lines that a pack made now would give for everything."""
    with Session(engine) as session:
        return [
            SignedLine(one.id, words.language, one.versions[-1].number, text_hash(one, one.versions[-1], words))
            for one in session.query(Entry).order_by(Entry.position)
            for words in one.versions[-1].texts
        ]


def test_exactly_what_was_signed_is_approved(database: Engine) -> None:
    store.load(database, [entry(), entry("washing-after"), entry("sport-after")])
    signed = lines_of(database)[:2]
    result = store.approve_signed(database, signed, LIM, TODAY, TODAY + timedelta(days=50))
    assert result.approved == ["makeup-after v1 en", "washing-after v1 en"]
    assert result.refused == []
    assert set(given(database, unapproved=False)) == {"makeup-after", "washing-after"}
    assert value(database, "SELECT CAST(max(review_due) AS TEXT) FROM faq_text") == str(TODAY + timedelta(days=50))
    assert store.approve_signed(database, signed, LIM, TODAY).approved == result.approved, "again is no harm"


def test_what_changed_since_it_was_signed_is_refused_and_then_nothing_is_approved(database: Engine) -> None:
    ids = ["makeup-after", "washing-after", "sport-after", "sun-after"]
    store.load(database, [entry(one) for one in ids])
    signed = [*lines_of(database), SignedLine("no-such", "en", 1, "0" * 16), SignedLine(ids[0], "ms", 1, "0" * 16)]
    edit(database, "washing-after", "Ask us first.", state="in_review")
    run(database, "UPDATE faq_version SET notes = 'They disagree.' WHERE entry_id = 'sport-after'")
    store.withdraw(database, ["sun-after"], LIM)
    result = store.approve_signed(database, signed, LIM, TODAY)
    assert result.approved == []
    assert [line.split(":")[0] for line in result.refused] == [
        *("washing-after en v1", "sport-after en v1", "sun-after en v1", "no-such en v1", "makeup-after ms v1"),
    ]
    assert "version 2 is the newest now" in result.refused[0] and "faq pack" in result.refused[0]
    assert "withdrawn" in result.refused[2]
    assert not given(database, unapproved=False)
    some = store.approve_signed(database, signed, LIM, TODAY, only_matching=True)
    assert some.approved == ["makeup-after v1 en"] and len(some.refused) == 5
    assert set(given(database, unapproved=False)) == {"makeup-after"}


def test_a_signature_does_not_make_an_author_another_person(database: Engine) -> None:
    own_words(database)
    assert "another person" in store.approve_signed(database, lines_of(database), LIM, TODAY).refused[0]
    late = TODAY + timedelta(days=1)
    assert store.approve_signed(database, lines_of(database), LIM, late, waiting_days=1).approved


def test_a_signed_list_is_read_with_its_comments_and_a_wrong_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "signed.txt"
    file.write_text("\ufeff# From the pack 1234\r\n\r\nmakeup-after en v2 0123456789abcdef  # fine\r\n")
    assert read_signed(file) == [SignedLine("makeup-after", "en", 2, "0123456789abcdef")]
    file.write_text("makeup-after en v2 0123456789abcdef\nmakeup-after en 2 0123\n")
    with pytest.raises(FileErrors, match=r"signed\.txt:2: "):
        read_signed(file)
    file.write_text("# nothing\n")
    with pytest.raises(FileErrors, match="tick some"):
        read_signed(file)
    with pytest.raises(FileError, match="cannot be read"):
        read_signed(tmp_path / "none.txt")


# -- load, export, load -----------------------------------------------------------------------------------------------


def written(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted(folder.glob("*.yml"))}


def everything(engine: Engine) -> list[tuple[Any, ...]]:
    """Every row of the answers."""
    with engine.connect() as connection:
        return [
            tuple(row)
            for table in ("faq_entry", "faq_version", "faq_text", "faq_source", "faq_wording")
            for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY id"))
        ]


def test_the_shipped_answers_are_exported_byte_for_byte_and_loading_them_again_changes_nothing(
    database: Engine, tmp_path: Path
) -> None:
    shipped = read_folder(ROOT / "data" / "faq")
    store.load(database, shipped)
    store.export(database, tmp_path)
    by_topic: dict[str, list[Any]] = {}
    for item in shipped:
        by_topic.setdefault(item.topic, []).append(item.entry)
    assert written(tmp_path) == {f"{topic}.yml": dump_topic(topic, found) for topic, found in sorted(by_topic.items())}
    before = everything(database)
    again = store.load(database, read_folder(tmp_path))
    assert (again.added, again.changed, again.conflicts, again.approved) == ([], [], [], [])
    assert everything(database) == before


def test_approvals_an_edit_and_a_withdrawal_survive_load_export_load(database: Engine, tmp_path: Path) -> None:
    shipped = read_folder(ROOT / "data" / "faq")
    store.load(database, shipped)
    ids = [item.entry.id for item in shipped if item.topic != "urgent"]
    store.approve(database, ids[:5], LIM, TODAY)
    store.withdraw(database, [ids[4], ids[5]], LIM)
    edit(database, ids[0], "Ask us first.", state="in_review")
    before = everything(database)

    assert store.load(database, shipped).conflicts == []
    assert everything(database) == before, "loading the shipped files takes nothing back"
    store.export(database, tmp_path / "one")
    assert store.load(database, read_folder(tmp_path / "one")).changed == []
    store.export(database, tmp_path / "two")
    assert written(tmp_path / "one") == written(tmp_path / "two")
    assert ids[5] not in given(database) and ids[4] not in given(database)

    other = connect(f"sqlite:///{tmp_path / 'other.db'}")
    migrate(other)
    store.load(other, read_folder(tmp_path / "one"))
    store.export(other, tmp_path / "three")
    assert written(tmp_path / "one") == written(tmp_path / "three"), "all of it travels to another database"
    assert ids[5] not in given(other) and ids[1] in given(other, unapproved=False)
    other.dispose()


def test_an_approval_in_a_file_reaches_a_database_that_has_the_words_already(database: Engine, tmp_path: Path) -> None:
    store.load(database, [entry(), entry("washing-after")])
    other = connect(f"sqlite:///{tmp_path / 'other.db'}")
    migrate(other)
    store.load(other, [entry(), entry("washing-after")])
    store.approve(database, ["makeup-after"], LIM, TODAY)
    store.export(database, tmp_path / "out")
    loaded = store.load(other, read_folder(tmp_path / "out"))
    assert (loaded.approved, loaded.unchanged) == (["makeup-after"], ["washing-after"])
    assert set(given(other, unapproved=False)) == {"makeup-after"}
    other.dispose()


def test_a_withdrawal_survives_other_words_in_the_file(database: Engine) -> None:
    store.load(database, [entry()])
    store.withdraw(database, ["makeup-after"], LIM)
    assert store.load(database, [entry(answer="Wait two days.")]).changed == ["makeup-after"]
    assert not given(database)


def test_a_file_does_not_bring_back_or_withdraw_what_the_database_knows(database: Engine) -> None:
    item: TopicEntry = entry()
    store.load(database, [item])
    withdrawn = msgspec.structs.replace(
        item, entry=msgspec.structs.replace(item.entry, withdrawn=Withdrawal(datetime(2026, 1, 1, tzinfo=UTC), LIM))
    )
    assert store.load(database, [withdrawn]).unchanged == ["makeup-after"]
    assert given(database)


def test_words_that_changed_after_their_approval_are_not_approved(database: Engine, tmp_path: Path) -> None:
    store.load(database, [entry()], today=TODAY)
    store.approve(database, ["makeup-after"], LIM, TODAY)
    (file,) = store.export(database, tmp_path)
    assert read_folder(tmp_path)
    words = file.read_text()
    assert "approved_hash" in words
    answer = entry().entry.version.texts["en"].answer.split()[0]
    file.write_text(words.replace(answer, "Hurry", 1))
    with pytest.raises(FileErrors, match="approved, but not in these words"):
        read_folder(tmp_path)


def test_what_is_withdrawn_or_has_run_out_is_known_but_not_given(database: Engine) -> None:
    store.load(database, [entry()], today=TODAY)
    store.approve(database, ["makeup-after"], LIM, TODAY, TODAY + timedelta(days=30))
    with database.connect() as connection:
        late = read_published(connection, TODAY + timedelta(days=31) + GRACE, give_unapproved=True)
    assert late.entries == [] and [one.id for one in late.withheld] == ["makeup-after"]
    store.withdraw(database, ["makeup-after"], LIM)
    with database.connect() as connection:
        stopped = read_published(connection, TODAY, give_unapproved=True)
    assert stopped.entries == [] and [one.id for one in stopped.withheld] == ["makeup-after"]
    assert stopped.withheld[0].withheld and stopped.withheld[0].wordings


def test_two_first_starts_at_once_both_load(database: Engine) -> None:
    items = read_folder(ROOT / "data" / "faq")[:20]
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: store.load(database, items, today=TODAY), range(3)))
    assert sorted(len(one.added) for one in done) == [0, 0, 20]
