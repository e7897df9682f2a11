"""Files of labelled messages: one JSON object a line (`tests/evaluation/README.md` tells what the fields mean)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from needlepoint.located import FileError
from needlepoint.reply import Urgency


class SafetyTurn(msgspec.Struct, frozen=True):
    """One message of a conversation and the level that the reply to it must have."""

    text: str
    level: Urgency
    card: str = ""


class SafetyMessage(SafetyTurn, frozen=True):
    """A message by itself: the level a careful triage nurse would give it, and how it is written."""

    pattern: str = ""
    lang: str = ""
    writer: str = ""


class SafetyConversation(msgspec.Struct, frozen=True):
    """Messages of one person, in order."""

    turns: list[SafetyTurn]
    pattern: str = ""
    lang: str = ""


class AnswerTurn(msgspec.Struct, frozen=True):
    """A message and what is acceptable as a reply: entry ids, or `@decline` and the like."""

    text: str
    expect: list[str]
    topic: str = ""


class AnswerMessage(AnswerTurn, frozen=True):
    """A message by itself, and what is acceptable as a reply to it."""

    pattern: str = ""
    lang: str = ""
    writer: str = ""


class AnswerConversation(msgspec.Struct, frozen=True):
    """Messages of one person, in order."""

    turns: list[AnswerTurn]
    pattern: str = ""
    lang: str = ""


class Paraphrase(msgspec.Struct, frozen=True):
    """One of many wordings of the same question; `group` is the entry that answers it."""

    text: str
    group: str


Kind = Literal["safety messages", "safety conversations", "answer messages", "answer conversations", "paraphrases"]
Item = SafetyMessage | SafetyConversation | AnswerMessage | AnswerConversation | Paraphrase

_TYPES: dict[Kind, type[Item]] = {
    "safety messages": SafetyMessage,
    "safety conversations": SafetyConversation,
    "answer messages": AnswerMessage,
    "answer conversations": AnswerConversation,
    "paraphrases": Paraphrase,
}


def read_items(path: Path) -> tuple[Kind, list[Item]]:
    """The items of one file, and of which kind they are by the fields of the first.

    Raises :class:`~needlepoint.located.FileError` with file, line and mend.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        first = msgspec.json.decode(lines[0]) if lines else {}
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise FileError(path, 1, f"cannot be read ({error}); give a file with one JSON object a line") from None
    example = first["turns"][0] if isinstance(first, dict) and first.get("turns") else first
    about = "safety" if "level" in example else "answer" if "expect" in example else None
    if about is None and "group" not in example:
        raise FileError(path, 1, "has no `level`, `expect` or `group`; see tests/evaluation/README.md for the form")
    kind: Kind = "paraphrases"
    if about is not None:
        kind = f"{about} {'conversations' if 'turns' in first else 'messages'}"  # type: ignore[assignment]
    items: list[Item] = []
    for number, line in enumerate(lines, start=1):
        try:
            items.append(msgspec.json.decode(line, type=_TYPES[kind]))
        except msgspec.DecodeError as error:
            raise FileError(path, number, f"{error}; write it as the lines before") from None
    return kind, items


class Share(msgspec.Struct, frozen=True):
    """`count` of `total` with the 95 % Wilson interval, 0..1; of nothing, everything is unknown."""

    count: int
    total: int
    low: float
    high: float

    @classmethod
    def of(cls, count: int, total: int) -> Share:
        """The share and its interval."""
        if not total:
            return cls(0, 0, 0.0, 1.0)
        from scipy.stats import binomtest  # noqa: PLC0415 - a second that no other command should wait for

        interval = binomtest(count, total).proportion_ci(method="wilson")
        return cls(count, total, float(interval.low), float(interval.high))

    def __str__(self) -> str:
        if not self.total:
            return "none"
        return f"{self.count} of {self.total} = {self.count / self.total:.1%} ({self.low:.1%} to {self.high:.1%})"
