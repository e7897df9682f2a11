"""The log: one line an event, plain or JSON, each with the id of the request it belongs to, and no patient's word.

Of an exception stand its class and where it happened, never its message: that may quote what somebody wrote.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

#: The request that is being answered; empty outside of one. It travels to the engine and on to the action.
REQUEST_ID: ContextVar[str] = ContextVar("needlepoint_request_id", default="")

HEADER = "X-Request-ID"

#: A UUID, with hyphens or without: nothing that a person could have as a name or number.
_LOOKS_LIKE_ONE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: What an event may say besides its sentence.
FIELDS = ("outcome", "urgency", "channel", "ms", "action", "result")

Format = Literal["plain", "json"]


def request_id(given: str = "") -> str:
    """The id that came with a request, if it looks like one, else a new one."""
    given = given.lower()
    return given if _LOOKS_LIKE_ONE.fullmatch(given) else uuid.uuid4().hex


class RequestIds:
    """ASGI: gives each request its id, and says it in the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == HEADER.lower().encode()), b"")
        its_id = request_id(given.decode("latin-1"))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER.lower().encode(), its_id.encode())]
            await send(message)

        before = REQUEST_ID.set(its_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            REQUEST_ID.reset(before)


class _Lines(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        return _where(*ei)


class PlainLines(_Lines):
    """`time level logger: sentence [request]`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        its_id = REQUEST_ID.get()
        about = " ".join(f"{name}={getattr(record, name)}" for name in FIELDS if hasattr(record, name))
        line = super().formatMessage(record) + (f" ({about})" if about else "")
        return f"{line} [{its_id}]" if its_id else line


class JsonLines(_Lines):
    """One JSON object a line: `time level logger message request_id process` and what the event says besides."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": self._process,
        }
        if its_id := REQUEST_ID.get():
            line["request_id"] = its_id
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _where(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> str:
    """The stack without source lines, and the class: no words of the exception, nor of those that caused it."""
    frames = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(trace)]
    cause = error.__cause__ or error.__context__
    because = [] if cause is None else [_where(type(cause), cause, cause.__traceback__), "and then"]
    return "\n".join([*because, *frames, kind.__name__])


def set_up(form: Format, level: str, process: str) -> None:
    """Write this process's log to standard error, ours from `level` on, that of libraries from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process) if form == "json" else PlainLines())
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)
    logging.captureWarnings(True)
    # Libraries stay at warnings: at debug some log whole statements, and with them what patients write.
    for ours in ("needlepoint", "actions"):
        logging.getLogger(ours).setLevel(level.upper())
