"""TEST ALL: every entry's question and every example wording asked through the live path must find its entry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import get_args

import msgspec

from needlepoint.ask import Asked, Asker, Question
from needlepoint.faq.files import TopicEntry
from needlepoint.faq.trial import Outcome, outcome_of, wordings


class Tried(msgspec.Struct, frozen=True):
    """A wording, the entry it belongs to, and what came."""

    entry_id: str
    text: str
    outcome: Outcome
    given: str


def ask_all(asker: Asker, entries: Iterable[TopicEntry], progress: Callable[[int], None] | None = None) -> list[Tried]:
    """Ask every wording, each in a conversation of its own. Raises :class:`~needlepoint.ask.AskError`."""
    tried = []
    due = list(wordings(entries))
    questions = (Question(conversation=f"wording {number}", text=text) for number, (_, text) in enumerate(due))
    for number, ((item, text), asked) in enumerate(zip(due, asker.ask_apart(questions), strict=True), start=1):
        tried.append(Tried(item.entry.id, text, outcome_of(item.entry.id, asked.kind, asked.faq_ids), _given(asked)))
        if progress is not None:
            progress(number)
    return tried


def _given(asked: Asked) -> str:
    offered = ", ".join(choice["title"] for choice in asked.choices)
    return f"{asked.kind} {', '.join(asked.faq_ids) or offered or asked.topic}"


def report(tried: list[Tried]) -> str:
    """Which wordings did not find their entry and what came instead, then the count of each outcome."""
    lines = [f"{one.entry_id}: “{one.text}” gave {one.given}" for one in tried if one.outcome != "right"]
    counts = Counter(one.outcome for one in tried)
    total = max(len(tried), 1)
    figures = (f"{name} {counts[name]} ({100 * counts[name] / total:.1f} %)" for name in get_args(Outcome))
    return "\n".join([*lines, f"{len(tried)} wordings: {', '.join(figures)}."])
