"""What staff do at the desk, for tests: signing in by HTTP, and writing answers straight into the database."""

from __future__ import annotations

import re
from datetime import date

import httpx
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from needlepoint.faq.models import Entry, Publication, Version, VersionSource, VersionText


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
