"""What staff do at the desk, for tests: signing in by HTTP, and writing answers straight into the database."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import httpx
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from needlepoint.faq.models import Entry, Publication, Version, VersionSource, VersionText
from needlepoint.settings import ROOT

#: What hostile people write, in one line.
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> **x** {{7*7}} my cheek"

_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()


def clinic_with_staff(folder: Path) -> Path:
    """A clinic file in which somebody is always there to write to people, and promises to within a minute."""
    file = folder / "clinic-with-staff.toml"
    hours = "".join(f'{day} = "00:00-24:00"\n' for day in _DAYS)
    written = (ROOT / "clinic.toml").read_text().replace("reads_live = false", "reads_live = true")
    file.write_text(f"{written}\n[staff_chat]\nanswer_within = 1\n[staff_chat.hours]\n{hours}")
    return file


def edit(
    engine: Engine, entry_id: str, answer: str, author: str = "Nurse Aida", on: date | None = None, state: str = "draft"
) -> None:
    """Write a new version of an entry whose English answer is `answer`; all else is as in the newest one."""
    with Session(engine) as session, session.begin():
        entry = session.get_one(Entry, entry_id)
        newest = entry.versions[-1]
        written = on or newest.written_on
        version = Version(
            number=newest.number + 1,
            written_on=written,
            starting_text=False,
            timing=newest.timing,
            conditions=newest.conditions,
            notes=newest.notes,
        )
        version.sources = [
            VersionSource(
                position=one.position, name=one.name, url=one.url, grade=one.grade, read=one.read, read_at=one.read_at
            )
            for one in newest.sources
        ]
        version.texts = [
            VersionText(
                language=text.language,
                author=author,
                question=text.question,
                answer=answer if text.language == "en" else text.answer,
                when_to_contact=text.when_to_contact,
                state=state,
                recorded_on=written,
            )
            for text in newest.texts
        ]
        entry.versions.append(version)
        publication = session.scalar(select(Publication))
        assert publication is not None
        publication.revision += 1


def token_in(page: str) -> str:
    """The token that forms of this page carry."""
    found = re.search(r'name="_csrf_token" value="([^"]+)"', page)
    assert found
    return found[1]


def sign_in(http: httpx.Client, name: str, password: str) -> httpx.Response:
    """Sign in with name and password alone."""
    token = token_in(http.get("/staff/login").text)
    return http.post("/staff/login", data={"name": name, "password": password, "_csrf_token": token})
