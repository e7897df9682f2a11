"""Removal of the characters that nobody can see, before anything else reads a message.

The message intake uses :func:`clean_text` too, so that safety, redaction, the record and the engine all speak of the
same text, and so that a span found by safety points into the text that staff read.
"""

from __future__ import annotations

import re
import sys
import unicodedata

# Drawn as nothing, though Unicode does not call them format characters: joiners, fillers, variation selectors and
# the blank Braille pattern. They split a word as well as a zero-width space does.
_INVISIBLE = [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0]
_INVISIBLE += [*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0000, 0xE1000)]

_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")


def _unseen_characters() -> str:
    """A character class of all control, format and surrogate characters except newline and tab."""
    points = {point for point in range(sys.maxunicode + 1) if unicodedata.category(chr(point)) in ("Cc", "Cf", "Cs")}
    points |= set(_INVISIBLE)
    points -= {ord("\n"), ord("\t")}
    runs: list[list[int]] = []
    for point in sorted(points):
        if runs and runs[-1][1] == point - 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return "[" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in runs) + "]"


_UNSEEN = re.compile(_unseen_characters())

# No script stacks more marks on a letter (Unicode's stream-safe format allows 30); sorting longer runs of them into
# canonical order takes time that grows with the square of their number.
_MARKS_KEPT = 30


def clean_text(text: str) -> str:
    """The text as it is read, kept and shown: NFKC, no unseen characters; newlines and tabs stay.

    Removed are control characters, right-to-left marks, zero-width characters and lone surrogates; every line end
    becomes a newline; full-width letters and digits become plain ones. Never refuses and never raises; cleaning twice
    changes nothing. The time is linear in the length. The result can be longer than the text (a ligature becomes its
    letters), so bound the length of what comes out.
    """
    text = _LINE_ENDS.sub("\n", text)
    if text.isascii():
        return _UNSEEN.sub("", text)
    text = _normalised(_UNSEEN.sub("", text))
    if _UNSEEN.search(text):
        text = _normalised(_UNSEEN.sub("", text))
    return text


def _normalised(text: str) -> str:
    return unicodedata.normalize("NFKC", _with_short_mark_runs(text))


def _with_short_mark_runs(text: str) -> str:
    """Cut each run of combining marks after the thirtieth."""
    if unicodedata.is_normalized("NFKC", text):
        return text
    kept: list[str] = []
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= _MARKS_KEPT:
            kept.append(character)
    return "".join(kept)
