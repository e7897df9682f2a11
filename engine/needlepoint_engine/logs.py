"""The engine's log: one line an event, plain or JSON, with the id of the request that the app sent along.

Like the app's (`needlepoint/logs.py`): of an exception stand its class and where it happened, never its message, which
may quote what somebody wrote.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

FORMAT_VARIABLE = "NEEDLEPOINT_LOG_FORMAT"
FORMATS = ("plain", "json")
HEADER = "X-Request-ID"

#: The request of the app that is being answered; empty outside of one.
REQUEST_ID: ContextVar[str] = ContextVar("needlepoint_request_id", default="")

_LOOKS_LIKE_ONE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FIELDS = ("result", "ms")


class LogFormatError(ValueError):
    """The setting names no format; the message says which there are."""


def log_format(environment: Mapping[str, str]) -> str:
    """The format from the environment.

    Raises:
        LogFormatError: when it is none that there is.
    """
    name = environment.get(FORMAT_VARIABLE, "") or "plain"
    if name not in FORMATS:
        raise LogFormatError(f"{FORMAT_VARIABLE} is {name!r}: write {' or '.join(FORMATS)}.")
    return name


def request_id(given: str) -> str:
    """The id that came with a request if it looks like one, else nothing."""
    return given if _LOOKS_LIKE_ONE.fullmatch(given) else ""


class Lines(logging.Formatter):
    """Formats a record; see the module's text."""

    def __init__(self, form: str) -> None:
        """`form` is one of `FORMATS`."""
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._is_json = form == "json"

    def format(self, record: logging.LogRecord) -> str:
        its_id = REQUEST_ID.get()
        about = {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if not self._is_json:
            line = super().format(record)
            line += f" ({' '.join(f'{name}={value}' for name, value in about.items())})" if about else ""
            return f"{line} [{its_id}]" if its_id else line
        content: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": "engine",
            **({"request_id": its_id} if its_id else {}),
            **about,
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        return _where(*ei)


def _where(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> str:
    frames = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(trace)]
    cause = error.__cause__ or error.__context__
    because = [] if cause is None else [_where(type(cause), cause, cause.__traceback__), "and then"]
    return "\n".join([*because, *frames, kind.__name__])


def keep_rasa_from_colouring() -> None:
    """Rasa's command line would put a handler of its own in ours' place."""
    import rasa.utils.io  # noqa: PLC0415 - it takes seconds

    rasa.utils.io.configure_colored_logging = lambda _level: None


def set_up(form: str) -> None:
    """Replace the handlers that Rasa and its libraries set up by one of ours; their levels stay, ours is info."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(form))
    root = logging.getLogger()
    root.handlers = [handler]
    logging.captureWarnings(True)
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        if logger.handlers:
            logger.handlers = []
            logger.propagate = True
    logging.getLogger("needlepoint_engine").setLevel(logging.INFO)
