"""The review pack: one file that holds everything, loads nothing, runs nothing foreign, and signs what it shows."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from needlepoint.clinic import read_clinic
from needlepoint.db.base import now
from needlepoint.db.connect import connect
from needlepoint.db.migrate import migrate
from needlepoint.faq import store
from needlepoint.faq.files import SourceInFile, TextInFile, Timing, TopicEntry, read_folder
from needlepoint.faq.markdown import rendered
from needlepoint.faq.pack import in_words, write_pack
from needlepoint.faq.signing import read_signed
from needlepoint.phrases import Phrases, read_phrases
from needlepoint.settings import ROOT
from needlepoint.staff.models import StaffMember
from tests.unit.test_answers_in_the_database import TODAY, entry

HOSTILE = "<script>alert(1)</script> \"quoted\" & '<img src=x onerror=alert(1)>' [x](javascript:alert(1))"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = connect(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(engine)
    with Session(engine) as session, session.begin():
        session.add(StaffMember(name="Dr Lim", password_hash="-", role="approver", created_at=now()))
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def phrases() -> Phrases:
    return read_phrases(ROOT / "data" / "phrases", read_clinic(ROOT / "clinic.toml"))


def rich(**changes: Any) -> TopicEntry:
    """An entry with everything a pack shows."""
    item = entry(**changes)
    version = msgspec.structs.replace(
        item.entry.version,
        texts={
            "en": TextInFile(
                question=f"When? {HOSTILE}",
                answer=f"Wait **a day**, says {{clinic_name}}.\n\n- one {HOSTILE}\n- two, {{price_session}}",
                when_to_contact="If it gets worse, call {clinic_phone}.",
            ),
            "ms": TextInFile(question="Bila?", answer="Tunggu.", when_to_contact="Telefon."),
        },
        sources=[
            SourceInFile(name="The article", url="https://example.org/seed", grade="seed"),
            SourceInFile(name=HOSTILE, url="https://example.org/'x", grade="regulator"),
            SourceInFile(name="A spa", url="https://example.org/spa", grade="clinic"),
        ],
        timing=[
            Timing(phase="after", activity="makeup", rule="avoid", from_hours=0, to_hours=24, cautious_to_hours=72)
        ],
        notes=f"The spa says 12 hours. {HOSTILE}",
    )
    wordings = {"en": [f"wording {n} {HOSTILE}" for n in range(9)], "ms": ["bila boleh"]}
    return msgspec.structs.replace(item, entry=msgspec.structs.replace(item.entry, version=version, wordings=wordings))


def pack(engine: Engine, phrases: Phrases, folder: Path, **options: Any) -> str:
    file = folder / "pack.html"
    with engine.connect() as connection:
        count = write_pack(connection, file, phrases, TODAY, **options)
    return file.read_text() if count else ""


def test_a_pack_shows_all_that_an_approver_has_to_know(database: Engine, phrases: Phrases, tmp_path: Path) -> None:
    store.load(database, [rich()])
    page = pack(database, phrases, tmp_path)
    for words in (
        *("The Face Inc (example)", "23 November 2026", "makeup-after", "version 1 of", "English, Malay"),
        *("<strong>a day</strong>, says The Face Inc (example).", "If it gets worse, call +60 3-1234 5678."),
        "After the treatment: makeup – leave out for the first 24 hours; the careful advice: 3 days",
        *("9 wordings in English, such as", "1 wording in Malay", "Tunggu.", "The spa says 12 hours."),
        *("<b>Not set in clinic.toml:</b> price_session", "starting text"),
    ):
        assert words in page, words
    assert page.count("wording 2") == 1 and "wording 3" not in page
    evidence = re.findall(r"<li><b>(\w+)</b>( <span class=\"weak\">)?", page)
    assert evidence == [("regulator", ""), ("clinic", ' <span class="weak">'), ("seed", ' <span class="weak">')]
    assert len(re.findall(r'<input type="checkbox" value="makeup-after (en|ms) v1 [0-9a-f]{16}">', page)) == 2


def test_a_pack_runs_and_loads_nothing_but_its_own(database: Engine, phrases: Phrases, tmp_path: Path) -> None:
    store.load(database, [rich()])
    page = pack(database, phrases, tmp_path)
    assert "<script>alert" not in page and "<img" not in page and 'href="javascript' not in page
    assert not re.findall(r"<(?:link|img|iframe|object|embed|form|base)\b|<[a-z][^>]*\ssrc=|@import|url\(", page)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None and policy[1].replace("&#39;", "'").startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        (code,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{tag}-src &#39;sha256-{digest}&#39;" in policy[1].replace("&#43;", "+"), tag


def test_a_pack_holds_what_waits_for_approval_or_everything_or_one_topic(
    database: Engine, phrases: Phrases, tmp_path: Path
) -> None:
    card = entry("bleeding-heavy", topic="urgent", level="emergency_now")
    store.load(database, [entry(), entry("does-it-hurt", topic="pain"), card])

    def ids(**options: Any) -> list[str]:
        return re.findall(r'<h3 id="([^"]+)"', pack(database, phrases, tmp_path, **options))

    assert ids() == ["bleeding-heavy", "does-it-hurt", "makeup-after"], "cards first, then topic by topic"
    store.approve(database, ["makeup-after", "bleeding-heavy"], "Dr Lim", TODAY)
    store.withdraw(database, ["does-it-hurt"], "Dr Lim")
    assert ids() == ["does-it-hurt"]
    assert "withdrawn: approving it gives it to patients again" in pack(database, phrases, tmp_path)
    assert ids(topics=["aftercare"]) == []
    assert ids(whole=True) == ["bleeding-heavy", "does-it-hurt", "makeup-after"]
    assert ids(whole=True, topics=["pain", "aftercare"]) == ["does-it-hurt", "makeup-after"]
    assert "approved by Dr Lim on 2026-11-23" in pack(database, phrases, tmp_path, whole=True)


def test_all_shipped_answers_are_approved_from_one_list_in_less_than_two_seconds(
    database: Engine, phrases: Phrases, tmp_path: Path
) -> None:
    store.load(database, read_folder(ROOT / "data" / "faq"))
    lines = re.findall(r'<input type="checkbox" value="([^"]+)">', pack(database, phrases, tmp_path))
    assert len(lines) >= 180
    (tmp_path / "signed.txt").write_text("# From the pack\n" + "\n".join(lines))
    began = time.monotonic()
    result = store.approve_signed(database, read_signed(tmp_path / "signed.txt"), "Dr Lim", TODAY)
    assert time.monotonic() - began < 2
    assert len(result.approved) == len(lines) and not result.refused
    assert pack(database, phrases, tmp_path) == "", "nothing waits any more"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("One.\n\nTwo.", "<p>One.</p>\n<p>Two.</p>\n"),
        (
            "Do:\n- **this**\n- that\n  and more",
            "<p>Do:</p>\n<ul>\n<li><strong>this</strong></li>\n<li>that\nand more</li>\n</ul>\n",
        ),
        ("5 * 3 ** 2, fever > 38", "<p>5 * 3 ** 2, fever &gt; 38</p>\n"),
        (
            "[NHS](https://nhs.uk/a_(b)) [x](javascript:alert(1)) [y](//evil)",
            '<p><a href="https://nhs.uk/a_(b)" rel="noopener noreferrer nofollow">NHS</a> '
            "[x](javascript:alert(1)) [y](//evil)</p>\n",
        ),
        (
            '[a" onclick="x](https://e.org/"b) <b>',
            '<p><a href="https://e.org/&#34;b" rel="noopener noreferrer nofollow">a&#34; onclick=&#34;x</a> '
            "&lt;b&gt;</p>\n",
        ),
    ],
)
def test_the_markdown_subset_becomes_html_and_nothing_else_does(text: str, html: str) -> None:
    assert str(rendered(text)) == html


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        (("before", "alcohol", "avoid", 0, 24, 48), "Before the treatment: alcohol – leave out in the last 24 hours; "),
        (("after", "swimming", "avoid", None, 72, None), "leave out for the first 3 days"),
        (("after", "peeling", "expect", 48, 120, None), "is usual from 2 days to 5 days"),
        (("before", "nsaids", "avoid", 24, 168, None), "leave out from 1 week to 24 hours before"),
        (("after", "next_session", "schedule", None, 672, None), "leave a gap of at least 4 weeks"),
        (("after", "sunscreen", "do", 24, None, None), "do from 24 hours on"),
        (("after", "something_new", "do", 0, 24, None), "something new – do for the first 24 hours"),
    ],
)
def test_a_time_window_is_said_in_words(phrases: Phrases, timing: tuple[Any, ...], words: str) -> None:
    assert words in in_words(Timing(*timing), phrases)
