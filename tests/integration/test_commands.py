"""The commands, run as an operator runs them."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, text

from needlepoint.clinic import read_clinic
from needlepoint.db.connect import connect
from needlepoint.faq import store
from needlepoint.faq.files import read_folder
from needlepoint.settings import ROOT
from needlepoint.staff.accounts import command_token
from tests.desk import edit
from tests.running import SECRET, Instance


def needlepoint(*arguments: str, var: Path, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command with a var folder of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEEDLEPOINT_")}
    environment |= {"NEEDLEPOINT_VAR_DIR": str(var), "NEEDLEPOINT_SECRET_KEY": SECRET}
    environment |= {f"NEEDLEPOINT_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "needlepoint", *arguments],
        cwd=ROOT,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """A copy of the shipped answers, to be damaged."""
    folder = tmp_path / "faq"
    shutil.copytree(ROOT / "data" / "faq", folder)
    return folder


def entries_in(var: Path) -> int:
    """How many entries the database in this var folder holds."""
    if not (var / "needlepoint.db").exists():
        return 0
    engine = connect(f"sqlite:///{var / 'needlepoint.db'}")
    try:
        with engine.connect() as connection:
            return connection.scalar(text("SELECT count(*) FROM faq_entry")) or 0
    except Exception:
        return 0
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("    treatments: [", "    treatmens: [", "unknown field `treatmens`"),
        ("grade: regulator", "grade: best", "best"),
        ("id: makeup-after\n", "id: washing-after\n", "washing-after"),
        ("number: 1\n", "number: one\n", "int"),
        ("{clinic_phone}", "{clinic_fone}", "{clinic_fone}"),
        ("phase: after", "phase: sometime", "sometime"),
        ("topic: aftercare", "topic: aftercare\ntopic: pain", "twice"),
    ],
)
def test_a_wrong_answer_file_is_named_with_line_and_mend_and_nothing_is_loaded(
    tmp_path: Path, answers: Path, old: str, new: str, complaint: str
) -> None:
    file = answers / "aftercare.yml"
    content = file.read_text()
    assert old in content
    file.write_text(content.replace(old, new, 1))
    done = needlepoint("faq", "load", str(answers), var=tmp_path / "var")
    assert done.returncode == 1
    assert complaint in done.stderr
    assert f"{file}:" in done.stderr
    line = int(done.stderr.split(f"{file}:")[1].split(":")[0])
    changed = content.replace(old, new, 1)[: content.index(old) + len(new)].count("\n") + 1
    assert abs(line - changed) <= 4, f"names line {line}, the mistake is at {changed}"
    assert "Traceback" not in done.stderr
    assert entries_in(tmp_path / "var") == 0


def test_an_entry_without_a_source_is_refused(tmp_path: Path, answers: Path) -> None:
    file = answers / "pain.yml"
    content = yaml.safe_load(file.read_text())
    content["entries"][0]["version"]["sources"] = []
    file.write_text(yaml.safe_dump(content))
    done = needlepoint("faq", "load", str(answers), var=tmp_path / "var")
    assert done.returncode == 1
    assert "sources" in done.stderr
    assert entries_in(tmp_path / "var") == 0


def test_a_damaged_clinic_file_is_named_with_line_and_mend(tmp_path: Path) -> None:
    file = tmp_path / "clinic.toml"
    for old, new, complaint in [
        ('phone = "', 'fone = "', "fone"),
        ('time_zone = "Asia/Kuala_Lumpur"', 'time_zone = "Asia/KL"', "Asia/KL"),
        ("reads_live = false", 'reads_live = "sometimes"', "bool"),
        ("[prices]", "[prices", "TOML"),
    ]:
        file.write_text((ROOT / "clinic.toml").read_text().replace(old, new, 1))
        done = needlepoint("faq", "check", var=tmp_path / "var", clinic_file=str(file))
        assert done.returncode == 1
        assert complaint in done.stderr
        assert f"{file}:" in done.stderr


def test_the_shipped_answers_are_in_order(tmp_path: Path) -> None:
    done = needlepoint("faq", "check", "--quick", var=tmp_path / "var")
    assert done.returncode == 0, done.stderr


def test_export_gives_back_the_shipped_files_byte_for_byte(tmp_path: Path) -> None:
    var = tmp_path / "var"
    assert needlepoint("faq", "load", var=var).returncode == 0
    assert needlepoint("faq", "export", str(tmp_path / "out"), var=var).returncode == 0
    for file in sorted((ROOT / "data" / "faq").glob("*.yml")):
        assert (tmp_path / "out" / file.name).read_text() == file.read_text(), file.name


def test_approving_needs_an_approver_who_is_not_the_author(tmp_path: Path) -> None:
    var = tmp_path / "var"
    needlepoint("faq", "load", var=var)
    nobody = needlepoint("faq", "approve", "makeup-after", "--as", "Dr Lim", var=var)
    assert nobody.returncode == 1 and "staff add" in nobody.stderr
    assert (
        needlepoint(
            "staff", "add", "Nurse Aida", "--role", "editor", var=var, stdin="correct horse battery\n"
        ).returncode
        == 0
    )
    assert (
        needlepoint("staff", "add", "Dr Lim", "--role", "approver", var=var, stdin="correct horse battery\n").returncode
        == 0
    )
    editor = needlepoint("faq", "approve", "makeup-after", "--as", "Nurse Aida", var=var)
    assert editor.returncode == 1 and "editor" in editor.stderr
    unknown = needlepoint("faq", "approve", "makeup-after", "no-such-entry", "--as", "Dr Lim", var=var)
    assert unknown.returncode == 1 and "no-such-entry" in unknown.stderr
    done = needlepoint("faq", "approve", "makeup-after", "--as", "Dr Lim", var=var)
    assert done.returncode == 0 and "approved makeup-after v1 en" in done.stderr
    card = needlepoint("faq", "withdraw", "severe-allergic-reaction", "--as", "Dr Lim", var=var)
    assert card.returncode == 1 and "always given" in card.stderr


def in_database(var: Path, body: Callable[[Engine], Any]) -> Any:
    """Do something with the database of this var folder, as the desk would."""
    engine = connect(f"sqlite:///{var / 'needlepoint.db'}")
    try:
        return body(engine)
    finally:
        engine.dispose()


def add_approver(var: Path) -> None:
    done = needlepoint("staff", "add", "Dr Lim", "--role", "approver", var=var, stdin="correct horse battery\n")
    assert done.returncode == 0, done.stderr


def on_a_terminal(*arguments: str, var: Path, typed: str) -> tuple[int, str]:
    """Run a command with a terminal as its input, and type; returns exit code and what it showed."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEEDLEPOINT_")}
    with subprocess.Popen(
        [sys.executable, "-m", "needlepoint", *arguments],
        cwd=ROOT,
        env=environment | {"NEEDLEPOINT_VAR_DIR": str(var), "NEEDLEPOINT_SECRET_KEY": SECRET},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        os.write(ours, typed.encode())
        shown, _ = process.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    return process.returncode, shown


def test_load_shows_what_differs_and_asks_entry_by_entry_before_it_overwrites_the_desk(
    tmp_path: Path, answers: Path
) -> None:
    var = tmp_path / "var"
    assert needlepoint("faq", "load", str(answers), var=var).returncode == 0
    file = answers / "aftercare.yml"
    ids = [item.entry.id for item in read_folder(answers) if item.file == file][:2]
    for one in ids:
        in_database(var, lambda engine, one=one: edit(engine, one, f"The desk says so about {one}."))
    content = yaml.safe_load(file.read_text())
    for one in content["entries"][:2]:
        one["version"]["texts"]["en"]["answer"] = f"The file says so about {one['id']}."
    file.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    unasked = needlepoint("faq", "load", str(answers), var=var)
    assert unasked.returncode == 1 and "Nothing was loaded" in unasked.stderr
    for one in ids:
        assert f"-          answer: The desk says so about {one}." in unasked.stderr
        assert f"+          answer: The file says so about {one}." in unasked.stderr

    code, shown = on_a_terminal("faq", "load", str(answers), var=var, typed="x\nf\ns\n")
    assert code == 1 and "(1 of 2)" in shown and "(2 of 2)" in shown and "Nothing was loaded" in shown
    code, shown = on_a_terminal("faq", "load", str(answers), var=var, typed="d\nfile\n")
    assert code == 0 and "0 added, 1 changed" in shown, shown
    needlepoint("faq", "export", str(tmp_path / "out"), var=var)
    exported = (tmp_path / "out" / "aftercare.yml").read_text()
    assert f"The desk says so about {ids[0]}." in exported
    assert f"The file says so about {ids[1]}." in exported
    assert needlepoint("faq", "load", str(answers), var=var).returncode == 0, "what was settled is not asked again"


def test_a_pack_is_written_signed_and_approved_by_command(tmp_path: Path) -> None:
    var = tmp_path / "var"
    needlepoint("faq", "load", var=var)
    add_approver(var)
    wrong = needlepoint("faq", "pack", str(tmp_path / "pack.html"), "--topic", "weather", var=var)
    assert wrong.returncode == 1 and "side_effects" in wrong.stderr
    nowhere = needlepoint("faq", "pack", str(tmp_path / "no" / "pack.html"), var=var)
    assert nowhere.returncode == 1 and "cannot be written" in nowhere.stderr
    done = needlepoint("faq", "pack", str(tmp_path / "pack.html"), "--topic", "pain", var=var)
    assert done.returncode == 0, done.stderr
    lines = re.findall(r'<input type="checkbox" value="([^"]+)">', (tmp_path / "pack.html").read_text())
    assert lines
    signed = tmp_path / "signed.txt"
    signed.write_text("# From the pack\n" + "\n".join([*lines[:-1], lines[-1][:-4] + "0000"]) + "\n")
    approve = ("faq", "approve", "--signed", str(signed), "--as", "Dr Lim")
    refused = needlepoint(*approve, "--review-due", "2099-01-31", var=var)
    assert refused.returncode == 1
    assert f"refused {lines[-1].rsplit(' ', 1)[0]}: is not what was signed" in refused.stderr
    assert "Nothing was approved" in refused.stderr
    some = needlepoint(*approve, "--review-due", "2099-01-31", "--only-matching", var=var)
    assert some.returncode == 1 and f"approved {len(lines) - 1}, refused 1" in some.stderr
    due = in_database(var, lambda engine: engine.connect().scalar(text("SELECT max(review_due) FROM faq_text")))
    assert due == "2099-01-31"
    both = needlepoint("faq", "approve", "makeup-after", "--signed", str(signed), "--as", "Dr Lim", var=var)
    assert both.returncode == 1 and "not both" in both.stderr
    assert needlepoint("faq", "approve", "--as", "Dr Lim", var=var).returncode == 1


def test_due_answers_are_listed_and_the_exit_code_says_whether_one_is_late(tmp_path: Path) -> None:
    var = tmp_path / "var"
    needlepoint("faq", "load", var=var)
    add_approver(var)
    nothing = needlepoint("faq", "due", var=var)
    assert (nothing.returncode, nothing.stdout) == (0, "No answer is due for review within 60 days.\n")
    today = datetime.now(read_clinic(ROOT / "clinic.toml").zone).date()

    def approve(entry_id: str, left: int) -> None:
        dates = today - timedelta(days=400), today + timedelta(days=left)
        in_database(var, lambda engine: store.approve(engine, [entry_id], "Dr Lim", *dates))

    approve("makeup-after", 7)
    soon = needlepoint("faq", "due", var=var)
    assert soon.returncode == 0
    assert soon.stdout.splitlines()[0] == "Due within 7 days (1)" and "in 7 days" in soon.stdout
    approve("does-it-hurt", -1)
    late = needlepoint("faq", "due", var=var)
    assert late.returncode == 1
    assert late.stdout.index("does-it-hurt") < late.stdout.index("makeup-after")


def test_a_clinic_with_one_clinician_approves_own_words_after_the_days_it_has_set(tmp_path: Path) -> None:
    var = tmp_path / "var"
    needlepoint("faq", "load", var=var)
    add_approver(var)
    yesterday = datetime.now(read_clinic(ROOT / "clinic.toml").zone).date() - timedelta(days=1)
    in_database(var, lambda engine: edit(engine, "makeup-after", "Ask me.", "Dr Lim", on=yesterday, state="in_review"))
    approve = ("faq", "approve", "makeup-after", "--as", "Dr Lim")
    refused = needlepoint(*approve, var=var)
    assert refused.returncode == 1 and "another person" in refused.stderr
    soon = needlepoint(*approve, var=var, single_clinician_waiting_days="2")
    assert soon.returncode == 1 and "may approve it from" in soon.stderr
    done = needlepoint(*approve, var=var, single_clinician_waiting_days="1")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("port", "eighty", "NEEDLEPOINT_PORT"),
        ("engine_deadline", "0", "NEEDLEPOINT_ENGINE_DEADLINE"),
        ("single_clinician_waiting_days", "-1", "NEEDLEPOINT_SINGLE_CLINICIAN_WAITING_DAYS"),
        ("prot", "80", "NEEDLEPOINT_PROT is no setting"),
        ("secret_key", "short", "at least 32"),
        ("database_url", "mysql://x/y", "mysql"),
        ("database_url", "nonsense", "NEEDLEPOINT_DATABASE_URL"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(tmp_path: Path, setting: str, value: str, complaint: str) -> None:
    done = needlepoint("serve", var=tmp_path, **{"engine_secret": SECRET, setting: value})
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def ask(instance: Instance, lines: list[dict[str, Any]], tmp_path: Path, staff: bool = True) -> list[dict[str, Any]]:
    """Run `needlepoint ask` against a running instance."""
    settings = {"staff_token": command_token(SECRET, "test")} if staff else {}
    stdin = "".join(json.dumps(line) + "\n" for line in lines)
    done = needlepoint("ask", "--url", instance.url, var=tmp_path, stdin=stdin, **settings)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_ask_writes_one_line_a_message_in_order(instance: Instance, tmp_path: Path) -> None:
    lines = [
        {"conversation": "c1", "text": "does it hurt?"},
        {"conversation": "c2", "text": "my tongue is swelling and I cannot breathe"},
        {"conversation": "c1", "text": "how long will I be red?", "at": "2026-11-23T10:00:00+08:00"},
    ]
    answers = ask(instance, lines, tmp_path)
    assert [(line["conversation"], line["text"]) for line in answers] == [(x["conversation"], x["text"]) for x in lines]
    assert set(answers[0]) == {
        *("conversation", "text", "kind", "topic", "faq_id", "faq_ids", "urgency"),
        *("findings", "confidence", "reply", "choices", "latency_ms"),
    }
    assert answers[0]["faq_id"] == "does-it-hurt"
    assert 0 < answers[0]["confidence"] <= 1
    assert answers[1]["kind"] == "urgent" and answers[1]["findings"]
    assert "999" in answers[1]["reply"]


def test_ask_without_a_staff_token_shows_only_what_patients_see(instance: Instance, tmp_path: Path) -> None:
    answers = ask(instance, [{"conversation": "c1", "text": "does it hurt?"}], tmp_path, staff=False)
    assert answers[0]["faq_id"] == "does-it-hurt"
    assert answers[0]["confidence"] is None and answers[0]["findings"] is None


def test_ask_names_the_line_that_is_wrong(instance: Instance, tmp_path: Path) -> None:
    done = needlepoint("ask", "--url", instance.url, var=tmp_path, stdin='{"conversation": "c1", "txt": "hi"}\n')
    assert done.returncode == 1
    assert "line 1" in done.stderr and "txt" in done.stderr


def test_ask_starts_what_it_needs(tmp_path: Path, model: Path) -> None:
    var = tmp_path / "var"
    var.mkdir()
    (var / "models").symlink_to(model.parent)
    done = needlepoint("ask", var=var, stdin='{"conversation": "c1", "text": "does it hurt?"}\n', port="8199")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["faq_id"] == "does-it-hurt"
