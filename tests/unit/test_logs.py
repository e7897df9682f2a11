"""How a line of the log looks, and what it leaves out."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from needlepoint import logs


def record(message: str, **about: object) -> logging.LogRecord:
    made = logging.LogRecord("needlepoint.x", logging.INFO, "file.py", 1, message, (), None)
    made.__dict__.update(about)
    return made


def failed() -> logging.LogRecord:
    try:
        try:
            raise KeyError("zanzibarly")
        except KeyError as error:
            raise ValueError("my tongue is brimblewort") from error
    except ValueError:
        made = record("it failed")
        made.exc_info = sys.exc_info()
    return made


@pytest.mark.parametrize("form", [logs.PlainLines(), logs.JsonLines("app")])
def test_of_an_exception_stand_class_and_place_and_no_word(form: logging.Formatter) -> None:
    line = form.format(failed())
    assert "ValueError" in line and "KeyError" in line and "test_logs.py:" in line
    assert "zanzibarly" not in line and "brimblewort" not in line


def test_a_line_says_its_request_and_what_belongs_to_the_event() -> None:
    before = logs.REQUEST_ID.set("a" * 32)
    about = {"outcome": "answer", "ms": 12, "text": "zanzibarly"}
    plain = logs.PlainLines().format(record("done", **about))
    assert plain.endswith(f"INFO needlepoint.x: done (outcome=answer ms=12) [{'a' * 32}]")
    whole = json.loads(logs.JsonLines("app").format(record("done\nso", **about)))
    assert (whole["request_id"], whole["message"], whole["ms"]) == ("a" * 32, "done\nso", 12)
    assert "text" not in whole
    logs.REQUEST_ID.reset(before)
    assert "[" not in logs.PlainLines().format(record("done"))
