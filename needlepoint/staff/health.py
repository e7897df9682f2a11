"""Whether everything works, in words that a nurse understands, with what to do where it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal

import msgspec
from litestar import Controller, Request, get
from litestar.response import Template

from needlepoint.staff.permissions import Permission, needs

#: Seconds that one check may take before it counts as failed.
PATIENCE = 3.0

State = Literal["good", "look", "bad", "none"]


class Finding(msgspec.Struct, frozen=True):
    """What one check found. `look` wants somebody soon, `bad` now, `none` is not set up; `mend` says what to do."""

    state: State
    said: str
    mend: str = ""


class Check(msgspec.Struct, frozen=True):
    """One line of the page: add another by adding it to the app's list of checks."""

    name: str
    look: Callable[[], Awaitable[Finding]]


class Line(msgspec.Struct, frozen=True):
    """A check with what it found."""

    name: str
    finding: Finding


async def look_at(checks: list[Check]) -> list[Line]:
    """Do all checks at once; one that fails or takes too long says so instead of taking the page with it."""

    async def one(check: Check) -> Line:
        try:
            async with asyncio.timeout(PATIENCE):
                return Line(check.name, await check.look())
        except Exception as error:  # whatever it is, the page shows the rest
            said = f"This could not be looked at ({type(error).__name__})."
            return Line(check.name, Finding("bad", said, "Tell whoever runs the machine."))

    return list(await asyncio.gather(*(one(check) for check in checks)))


class HealthController(Controller):
    """The page."""

    path = "/staff/health"
    include_in_schema = False

    @get("/", guards=[needs(Permission.READ_HEALTH)])
    async def health(self, request: Request[Any, Any, Any]) -> Template:
        """Everything that is looked at, the worst first."""
        lines = await look_at(request.app.state.checks)
        order: dict[State, int] = {"bad": 0, "look": 1, "good": 2, "none": 3}
        context = {
            "lines": sorted(lines, key=lambda line: order[line.finding.state]),
            "at": datetime.now(request.app.state.zone),
            "staff": request.scope["state"]["staff"],
        }
        return Template("health.html", context=context)
