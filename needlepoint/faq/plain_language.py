"""How hard an English text is to read: the Flesch-Kincaid grade, in US school years."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from readability.langdata import LANGDATA

from needlepoint.located import read_yaml

_COUNT = LANGDATA["en"]["syllables"]

#: What a term of the field counts as: a patient who asks about it knows the word, however long it is.
_PLAIN_WORD = "needle"


def read_terms(file: Path) -> list[str]:
    """The field's terms that count as plain words; raises :class:`~needlepoint.located.FileError`."""
    terms, _ = read_yaml(file, list[str])
    return terms


def reading_grade(text: str, terms: Sequence[str]) -> float:
    """Flesch-Kincaid grade of an English answer in our markdown subset, its lists included.

    Every item of a list counts as a sentence. Each of `terms` and each placeholder counts as one plain word.
    """
    text = re.sub(r"\{\w+\}", _PLAIN_WORD, text)
    text = re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", text).replace("**", "")
    if terms:
        longest_first = sorted(map(re.escape, terms), key=len, reverse=True)
        text = re.sub(rf"\b(?:{'|'.join(longest_first)})\b", _PLAIN_WORD, text, flags=re.IGNORECASE)
    sentences: list[list[str]] = []
    for line in text.splitlines():
        for sentence in re.split(r"(?<=[.!?:])\s+(?=[A-Z0-9\"“(])", line.strip().removeprefix("- ")):
            words = re.findall(r"[^\W_]+(?:['’.][^\W_]+)*", sentence)
            if words:
                sentences.append(words)
    words = [word for sentence in sentences for word in sentence]
    if not words:
        return 0.0
    return 0.39 * len(words) / len(sentences) + 11.8 * sum(map(_syllables, words)) / len(words) - 15.59


def _syllables(word: str) -> int:
    """The library's count, mended where it takes every final e for silent: "the", "needle"."""
    count: int = _COUNT(word)
    return max(1, count + bool(re.search(r"[^aeiouy]le$", word.lower())))
