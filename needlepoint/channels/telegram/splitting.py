"""A long text in parts that Telegram takes: cut at a paragraph, else a sentence, a word, or between graphemes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import regex

#: UTF-16 units of a part. Telegram takes 4,096; the rest is for a line in front ("sent again").
LONGEST_PART = 3900

#: Where a text is cut best, the best first: the cut comes behind the match.
_BORDERS = (
    regex.compile(r"\n[ \t]*\n\s*"),
    regex.compile(r"(?<=[.!?…。！？؟۔।])[\"'”’)\]]*\s+"),
    regex.compile(r"\s+"),
)

#: How much of a part a cut may leave empty, so that one early paragraph does not make a very short part.
_AT_LEAST = 0.4


def utf16_units(text: str) -> int:
    """The length of a text as Telegram counts it."""
    return len(text) + sum(1 for character in text if ord(character) > 0xFFFF)


def is_visible(text: str) -> bool:
    """Is there anything to see? Telegram refuses a message of spaces and invisible characters."""
    return any(unicodedata.category(character)[0] not in "ZC" for character in text)


def spans(text: str, longest: int = LONGEST_PART) -> list[tuple[int, int]]:
    """Where the parts of a text begin and end, in characters.

    Each part has something to see and at most `longest` UTF-16 units; only space and characters that nobody sees lie
    between the parts and before and behind them.
    """
    found = []
    for start, end in _cut(text, longest):
        while start < end and text[start].isspace():
            start += 1  # noqa: PLW2901 - the part without the space around it
        while end > start and text[end - 1].isspace():
            end -= 1  # noqa: PLW2901
        if is_visible(text[start:end]):
            found.append((start, end))
    return found


def _cut(text: str, longest: int) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = _reach(text, start, longest)
        if end < len(text):
            end = _best_cut(text, start, end)
        yield start, end
        start = end


def _reach(text: str, start: int, longest: int) -> int:
    """The farthest end of a part that begins at `start`."""
    end, units = start, 0
    while end < len(text):
        units += 2 if ord(text[end]) > 0xFFFF else 1
        if units > longest:
            break
        end += 1
    return end


def _best_cut(text: str, start: int, end: int) -> int:
    earliest = start + max(1, int((end - start) * _AT_LEAST))
    for border in _BORDERS:
        cuts = [found.end() for found in border.finditer(text, start, end) if found.end() >= earliest]
        if cuts:
            return int(cuts[-1])
    # No space for thousands of characters: between two graphemes, or where one fills the part, between its characters.
    last = start
    for found in regex.finditer(r"\X", text[start : end + 1]):
        if start + found.end() > end:
            break
        last = start + found.end()
    return last if last > start else end
