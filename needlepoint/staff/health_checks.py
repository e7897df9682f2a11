"""What the health page looks at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.backup.models import last_backup
from needlepoint.conversations import staff_alerts
from needlepoint.db.base import now
from needlepoint.faq.published import Published
from needlepoint.faq.standing import Standing, by_kind
from needlepoint.staff.health import Check, Finding

#: From this age on a backup wants somebody to look.
OLDEST_BACKUP = timedelta(days=1)

_MACHINE = "Tell whoever runs the machine."
_BACKUP = f"{_MACHINE} docs/operations.md says how."


def understanding(ready: Callable[[], Awaitable[bool]]) -> Check:
    """Does an engine answer?"""

    async def look() -> Finding:
        if await ready():
            return Finding("good", "Questions are understood.")
        said = "Nothing is understood: people get an apology with the phone number. Urgent cards are still given."
        return Finding("bad", said, _MACHINE)

    return Check("Understanding questions", look)


def database(is_ready: Callable[[], Awaitable[bool]]) -> Check:
    """Can conversations be stored and answers be read?"""

    async def look() -> Finding:
        if await is_ready():
            return Finding("good", "Conversations are stored.")
        return Finding("bad", "Nothing can be stored just now. Urgent cards are still given.", _MACHINE)

    return Check("Record", look)


def answers(published: Callable[[], Published | None], standings: Callable[[], Sequence[Standing]]) -> Check:
    """Are answers given, and which are due?"""

    async def look() -> Finding:
        given = published()
        if given is None:
            return Finding("bad", "No answers could be read.", _MACHINE)
        if given.withdrawn:
            said = "The whole assistant is withdrawn: only urgent cards are given."
            return Finding("look", said, "An approver can resume it under Answers.")
        kinds = by_kind(standings())
        said = f"{len(given.entries)} answers are given."
        if run_out := len(kinds.get("expired", [])):
            return Finding("look", f"{said} {run_out} ran out.", "Review them under Answers.")
        due = sum(len(kinds.get(kind, [])) for kind in ("grace", "within_7", "within_30"))
        if due:
            return Finding("look", f"{said} {due} have to be reviewed within 30 days.", "See Answers.")
        return Finding("good", said)

    return Check("Answers", look)


def urgent(engine: AsyncEngine, zone: ZoneInfo, channels: Sequence[str]) -> Check:
    """Does anybody hear of urgent messages?"""

    async def look() -> Finding:
        waiting = await staff_alerts.nobody_acknowledged(engine)
        if waiting.failed:
            said = f"{waiting.failed} alerts about urgent messages could not be delivered."
            return Finding("bad", said, f"Look under Urgent. {_MACHINE}")
        if waiting.count and waiting.oldest is not None:
            since = waiting.oldest.astimezone(zone)
            return Finding("bad", f"Nobody has acknowledged an urgent message of {since:%d %b, %H:%M}.", "See Urgent.")
        if not channels:
            said = "Urgent messages are shown at the desk only: nobody is told by e-mail or webhook."
            return Finding("look", said, f"{_MACHINE} docs/alerts.md says how.")
        return Finding("good", f"Staff are told by {' and '.join(channels)}.")

    return Check("Urgent messages", look)


def backup(engine: AsyncEngine, zone: ZoneInfo) -> Check:
    """When was the database backed up last?"""

    async def look() -> Finding:
        last = await last_backup(engine)
        if last is None:
            return Finding("look", "There is no backup yet.", _BACKUP)
        said = f"The last backup is of {last.astimezone(zone):%d %b %Y, %H:%M}."
        if now() - last > OLDEST_BACKUP:
            return Finding("look", f"{said} That is more than a day ago.", _BACKUP)
        return Finding("good", said)

    return Check("Backup", look)


def model(file: Path, zone: ZoneInfo) -> Check:
    """Which trained model is in service?"""

    def made() -> datetime | None:
        return datetime.fromtimestamp(file.stat().st_mtime, zone) if file.is_file() else None

    async def look() -> Finding:
        at = await asyncio.to_thread(made)
        if at is None:
            return Finding("look", "The model is not on this machine.", _MACHINE)
        return Finding("good", f"Trained {at:%d %b %Y, %H:%M}.")

    return Check("Model in service", look)
