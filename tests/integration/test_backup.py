"""Backups that are really restored: the product answers from them, and nothing is ever half done."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import inspect, text
from typer.testing import CliRunner

from needlepoint import cli
from needlepoint.backup import restoring
from needlepoint.backup.file import BackupError
from needlepoint.backup.restoring import restore
from needlepoint.backup.taking import take
from needlepoint.db.base import Base
from needlepoint.db.connect import connect
from needlepoint.db.migrate import downgrade, known_revisions, migrate, newest_revision, revision_of
from needlepoint.staff import accounts
from tests.conftest import new_postgres
from tests.desk import sign_in
from tests.running import Engine, Instance, Laboratory, fill

QUESTION = "When can I wear makeup again after microneedling?"


@pytest.fixture(params=["sqlite", "postgresql"])
def instance_of_each(
    request: pytest.FixtureRequest, laboratory: Laboratory, engine: Engine, tmp_path: Path
) -> Iterator[Instance]:
    """A product on each kind of database, of this test's own."""
    if request.param == "sqlite":
        yield (made := laboratory.instance([engine]))
        made.end()
        return
    with new_postgres(request.getfixturevalue("postgres_server")) as address:
        yield (made := laboratory.instance([engine], database=address))
        made.end()


def signed_in(instance: Instance) -> httpx.Client:
    """A member of staff at the desk."""
    database = connect(instance.database)
    with suppress(accounts.AccountError):  # there already
        accounts.add(database, "Nurse Aida", "a long enough password", "admin")
    database.dispose()
    http = instance.http(follow_redirects=True)
    assert sign_in(http, "Nurse Aida", "a long enough password").status_code == 200
    return http


def contents(address: str) -> dict[str, list[Any]]:
    """Every row of every table but the notes of backups."""
    database = connect(address)
    with database.connect() as connection:
        found = {
            name: [tuple(map(str, row)) for row in connection.execute(table.select().order_by(*table.primary_key))]
            for name, table in Base.metadata.tables.items()
            if name != "backup_made"
        }
    database.dispose()
    return found


def run(instance: Instance, *arguments: str, fails: bool = False, **environment: str) -> str:
    done = instance.command(*arguments, **environment)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr + done.stdout


def test_what_was_backed_up_while_it_ran_is_there_again_and_answers(instance_of_each: Instance, tmp_path: Path) -> None:
    instance, file = instance_of_each, tmp_path / "the.backup"
    kept, erased = instance.conversation(), instance.conversation()
    given = kept.say(QUESTION)
    erased.say("my phone is 012-345 6789, does it hurt?")
    assert "There is no backup yet." in signed_in(instance).get("/staff/health").text
    run(instance, "backup", str(file))
    before = contents(instance.database)
    assert "The last backup is of" in signed_in(instance).get("/staff/health").text
    assert file.stat().st_mode & 0o077 == 0
    # What happens after the backup is gone with a restore; what was erased stays erased.
    later = instance.conversation()
    later.say("does it hurt?")
    assert erased.http.delete(f"/api/conversations/{erased.id}", headers=erased.headers).status_code == 204
    with pytest.raises(BackupError, match="stop Needlepoint"):
        restore(instance.database, file, replace=True)
    instance.stop()
    untouched = contents(instance.database)
    with pytest.raises(BackupError, match="is not empty"):
        restore(instance.database, file)
    assert contents(instance.database) == untouched
    assert "1 conversations" in run(instance, "restore", str(file), "--replace")
    restored = contents(instance.database)
    left = {name: [row for row in rows if erased.id not in row] for name, rows in before.items()}
    assert {row[0] for row in restored["conversation"]} == {row[0] for row in left["conversation"]}
    for name in ("faq_entry", "faq_version", "faq_text", "staff_member", "staff_activity", "message", "turn"):
        assert restored[name] == left[name], name
    instance.start()
    assert [line["text"] for line in kept.history() if line["from"] == "person"] == [QUESTION]
    assert kept.history()[1]["reply"]["answers"] == given["reply"]["answers"]
    assert kept.say("Does microneedling hurt?")["reply"]["answers"]
    page = signed_in(instance).get(f"/staff/conversations/{kept.id}")
    assert page.status_code == 200 and QUESTION in page.text
    assert signed_in(instance).get(f"/staff/conversations/{erased.id}").status_code == 404
    assert erased.post(text="does it hurt?").status_code == 404, "its token must not bring it back"


@pytest.mark.parametrize("way", ["sqlite to postgresql", "postgresql to sqlite"])
def test_a_clinic_that_grows_takes_its_record_to_the_other_database(way: str, postgres: str, tmp_path: Path) -> None:
    file = f"sqlite:///{tmp_path / 'small.db'}"
    source, target = (file, postgres) if way.startswith("sqlite") else (postgres, file)
    fill(source)
    _talk(source)

    take(source, tmp_path / "it.backup")
    restore(target, tmp_path / "it.backup")
    assert {name: len(rows) for name, rows in contents(target).items()} == {
        name: len(rows) for name, rows in contents(source).items()
    }
    there = connect(target)
    with there.begin() as connection:
        # Numbers go on behind those of what was deleted before, so that none means two things.
        connection.execute(
            text("INSERT INTO review_item (queue, times, created_at) VALUES ('urgent', 1, '2026-01-01 00:00:00+00:00')")
        )
        assert connection.scalar(text("SELECT max(id) FROM review_item")) == 8
        words = (
            "said_words MATCH 'swelling'"
            if there.dialect.name == "sqlite"
            else "words @@ to_tsquery('simple', 'swelling')"
        )
        table = "said_words" if there.dialect.name == "sqlite" else "said_text"
        assert connection.scalar(text(f"SELECT count(*) FROM {table} WHERE {words}")) == 1  # search finds it
    there.dispose()


def _talk(address: str) -> None:
    """A conversation with words, numbers that were given and taken back, bytes, and a delivery on its way."""
    database = connect(address)
    at = "2026-01-01 00:00:00+00:00"
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO conversation (id, channel, language, created_at, last_at, slots, open_question, next_seq, "
                "turn_number, last_event) VALUES ('c1', 'web', 'en', :at, :at, '{\"a\": 1.5}', '[]', 1, 0, 0)"
            ),
            {"at": at},
        )
        connection.execute(
            text("INSERT INTO said_text (conversation_id, side, text) VALUES ('c1', 'person', 'some swelling')")
        )
        connection.execute(
            text("INSERT INTO telegram_chat (id, address, conversation_id, language, state, created_at, last_event) "
                 "VALUES ('t', :sealed, 'c1', 'en', 'active', :at, 0)"),
            {"at": at, "sealed": b"\x00\xff"},
        )  # fmt: skip
        for number in range(1, 8):
            connection.execute(
                text("INSERT INTO review_item (queue, times, created_at) VALUES ('urgent', :number, :at)"),
                {"number": number, "at": at},
            )
        connection.execute(text("DELETE FROM review_item WHERE id > 2"))
        connection.execute(
            text("INSERT INTO delivery (channel, address, part, parts, weight, content, state, attempts, again, "
                 "created_at, next_attempt_at) "
                 "VALUES ('telegram', 't', 1, 1, 'answer', :sealed, 'waiting', 0, false, :at, :at)"),
            {"at": at, "sealed": b"\x00\xff"},
        )  # fmt: skip
    database.dispose()


def test_what_was_on_its_way_says_that_it_may_come_twice(tmp_path: Path) -> None:

    source, target = f"sqlite:///{tmp_path / 'a.db'}", f"sqlite:///{tmp_path / 'b.db'}"
    fill(source)
    _talk(source)
    take(source, tmp_path / "it.backup")
    restore(target, tmp_path / "it.backup")
    database = connect(target)
    with database.connect() as connection:
        assert connection.execute(text("SELECT again, content FROM delivery")).one() == (1, b"\x00\xff")
        assert connection.scalar(text("SELECT address FROM telegram_chat")) == b"\x00\xff"
    database.dispose()


@pytest.fixture
def backed_up(tmp_path: Path) -> tuple[str, Path]:
    """A filled SQLite database and its backup."""

    address = f"sqlite:///{tmp_path / 'it.db'}"
    fill(address)
    return address, take(address, tmp_path / "whole.backup").file


def _cut(whole: bytes) -> bytes:
    return whole[: len(whole) * 2 // 3]


def _bit_flipped(whole: bytes) -> bytes:
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 16]) + whole[middle + 1 :]


def _one_row_less(whole: bytes) -> bytes:
    lines = gzip.decompress(whole).splitlines(keepends=True)
    return gzip.compress(b"".join(lines[:20] + lines[21:]))


def _one_word_changed(whole: bytes) -> bytes:
    return gzip.compress(gzip.decompress(whole).replace(b"makeup", b"makeUp", 1))


def _of_a_newer_release(whole: bytes) -> bytes:

    lines = gzip.decompress(whole).splitlines(keepends=True)
    lines[0] = lines[0].replace(newest_revision().encode(), b"9999")
    digest = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    return gzip.compress(b"".join(lines[:-1]) + lines[-1].split(b'"sha256"')[0] + f'"sha256":"{digest}"}}'.encode())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_cut, "damaged or was cut off"),
        (_bit_flipped, "damaged|checksum"),
        (_one_row_less, "checksum"),
        (_one_word_changed, "checksum"),
        (_of_a_newer_release, "install that release"),
        (lambda whole: b"", "no backup|damaged"),
        (lambda whole: b"SQLite format 3\0", "damaged"),
        (lambda whole: gzip.compress(b'{"other": 1}\n{}\n'), "no backup"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_before_anything_is_touched(
    backed_up: tuple[str, Path], tmp_path: Path, damage: Any, said: str
) -> None:

    address, file = backed_up
    file.write_bytes(damage(file.read_bytes()))
    before = (tmp_path / "it.db").read_bytes()
    with pytest.raises(BackupError, match=said):
        restore(address, file, replace=True)
    assert (tmp_path / "it.db").read_bytes() == before
    with pytest.raises(BackupError, match=said):
        restore(f"sqlite:///{tmp_path / 'new.db'}", file)
    assert not (tmp_path / "new.db").exists()


def test_a_restore_that_fails_in_the_middle_leaves_the_database_as_it_was(
    database_address: str, backed_up: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    fill(database_address)
    _talk(database_address)
    before = contents(database_address)

    def fails(*_: object) -> None:
        raise BackupError("in the middle")

    monkeypatch.setattr(restoring.tables, "go_on_counting", fails)
    with pytest.raises(BackupError, match="in the middle"):
        restore(database_address, backed_up[1], replace=True)
    assert contents(database_address) == before


def test_a_backup_of_an_earlier_release_is_brought_up_to_this_one(database_address: str, tmp_path: Path) -> None:

    old = f"sqlite:///{tmp_path / 'old.db'}"
    database = connect(old)
    migrate(database)
    downgrade(database, "0008")
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO conversation (id, channel, language, created_at, last_at, slots, open_question, next_seq, "
                "turn_number, last_event) VALUES ('c1', 'web', 'en', :at, :at, '{}', '[]', 1, 0, 0)"
            ),
            {"at": "2026-01-01 00:00:00"},
        )
    database.dispose()
    taken = take(old, tmp_path / "old.backup")
    assert (taken.header.revision, taken.noted) == ("0008", False)
    restore(database_address, tmp_path / "old.backup")
    there = connect(database_address)
    with there.connect() as connection:
        assert revision_of(connection) == newest_revision()
        assert connection.execute(text("SELECT id, turns FROM conversation")).one() == ("c1", 0)
    there.dispose()


def test_a_folder_keeps_as_many_backups_as_it_is_told_and_no_backup_overwrites_another(
    backed_up: tuple[str, Path], tmp_path: Path
) -> None:

    address, file = backed_up
    with pytest.raises(BackupError, match="stays as it is"):
        take(address, file)
    folder = tmp_path / "backups"
    with pytest.raises(BackupError, match="does not exist"):
        take(address, folder / "one")
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    for day in range(1, 4):
        (folder / f"needlepoint-2026010{day}-030000.backup").write_text("old")
    (folder / ".needlepoint-backup-killed").mkdir()
    os.utime(folder / ".needlepoint-backup-killed", (0, 0))
    newest = take(address, folder, keep=2).file
    assert sorted(one.name for one in folder.iterdir()) == [
        "needlepoint-20260103-030000.backup",
        newest.name,
        "notes.txt",
    ]


def test_an_empty_or_foreign_database_is_named(tmp_path: Path, backed_up: tuple[str, Path]) -> None:

    with pytest.raises(BackupError, match="there is no database"):
        take(f"sqlite:///{tmp_path / 'none.db'}", tmp_path / "x.backup")
    foreign = f"sqlite:///{tmp_path / 'foreign.db'}"
    database = connect(foreign)
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE theirs (id INTEGER)"))
    database.dispose()
    with pytest.raises(BackupError, match="holds nothing of Needlepoint"):
        take(foreign, tmp_path / "x.backup")
    with pytest.raises(BackupError, match="not Needlepoint's"):
        restore(foreign, backed_up[1], replace=True)


# -- from release to release -------------------------------------------------------------------------------------------


def schema(database: Database) -> dict[str, set[str]]:
    return {
        name: {column["name"] for column in inspect(database).get_columns(name)}
        for name in inspect(database).get_table_names()
    }


def test_the_database_goes_down_and_up_again_with_what_every_revision_knows_kept(database_address: str) -> None:
    fill(database_address)
    _talk(database_address)
    database = connect(database_address)
    newest, before = schema(database), contents(database_address)
    for revision in reversed(list(known_revisions())[:-1]):
        downgrade(database, revision)
        with database.connect() as connection:
            assert revision_of(connection) == revision
            assert connection.scalar(text("SELECT count(*) FROM conversation")) == 1
            assert connection.scalar(text("SELECT count(*) FROM faq_text")) == len(before["faq_text"])
    migrate(database)
    assert schema(database) == newest
    database.dispose()
    after = contents(database_address)
    for name in ("faq_entry", "faq_version", "faq_source", "faq_wording"):
        assert after[name] == before[name], name


def test_the_commands_say_where_the_database_is_and_take_it_there(tmp_path: Path) -> None:
    def needlepoint(*arguments: str) -> str:
        done = CliRunner().invoke(cli.app, list(arguments), env={"NEEDLEPOINT_VAR_DIR": str(tmp_path)})
        return str(done.exception) if done.exception else done.output

    assert "no tables yet" in needlepoint("db", "current")
    assert f"at {newest_revision()}" in needlepoint("db", "upgrade")
    assert "--yes" in needlepoint("db", "downgrade", "0008")
    assert "at 0008" in needlepoint("db", "downgrade", "0008", "--yes")
    assert "0009 The inbox" in needlepoint("db", "current")
    assert "name an earlier one" in needlepoint("db", "downgrade", "0009", "--yes")
    assert "is no revision" in needlepoint("db", "downgrade", "seven", "--yes")
    database = connect(f"sqlite:///{tmp_path / 'needlepoint.db'}")
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.dispose()
    assert "of a newer release" in needlepoint("db", "upgrade")
