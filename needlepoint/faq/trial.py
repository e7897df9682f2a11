"""TEST ALL: which wordings are asked, what came, and what that says, of all answers or of one draft."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from needlepoint.faq.files import TopicEntry

#: What became of a wording: its entry was given, or the person was asked back, or told "I don't know", or got another.
Outcome = Literal["right", "clarified", "declined", "wrong"]

#: Why a wording is asked: it is one of the draft's own, or of another entry's and near to them, or what people really
#: asked lately and got the entry or one of its neighbours for. Stored wordings are found by their very words, so that
#: only the last kind shows how the draft does with words that nobody foresaw.
Kind = Literal["own", "other", "asked"]

#: So many of each kind are asked at most; of "asked" for the entry itself and for each of so many neighbours.
MOST_OWN = 60
MOST_OTHERS = 20
MOST_ASKED = 15
MOST_ASKED_OF_NEIGHBOUR = 4
NEIGHBOURS = 5

#: Cosine from which a wording of another entry is near enough that a draft could take it away.
NEAR = 0.5


def wordings(entries: Iterable[TopicEntry]) -> Iterator[tuple[TopicEntry, str]]:
    """Each entry's question and wordings, every language, each once."""
    for item in entries:
        questions = [text.question for text in item.entry.version.texts.values()]
        for text in dict.fromkeys([*questions, *(w for texts in item.entry.wordings.values() for w in texts)]):
            yield item, text


def outcome_of(entry_id: str, kind: str, given: Sequence[str]) -> Outcome:
    """Whether a reply of this kind that gives these entries gave the right one; for an urgent entry, its card."""
    if entry_id in given:
        return "right"
    if given or kind == "urgent":
        return "wrong"
    if kind == "clarify":
        return "clarified"
    return "declined" if kind in {"decline", "handover"} else "wrong"


class Line(msgspec.Struct, frozen=True):
    """One wording that was asked with the draft in the place of what patients get.

    `expected` is the entry it belongs to; `came` and `why` are sentences for staff. `today` is what patients get for it
    now, asked where the draft did not get it right and where it is new; `takes_from` is the answer, by its question,
    that they get for a new one now.
    """

    text: str
    expected: str
    kind: Kind
    outcome: Outcome
    came: str
    why: str
    today: Outcome | None = None
    takes_from: str = ""

    @property
    def worse(self) -> bool:
        """Right today, and no more with the draft."""
        return self.today == "right" and self.outcome != "right"


class Trial(msgspec.Struct, frozen=True):
    """What came of trying the newest version of an entry. `problems` are what the file checks found of it.

    `due` counts the wordings that were to be asked, `unanswered` those of them that the engine gave no reply to. The
    draft was not used where another process runs the actions: then the lines say nothing about it.
    """

    entry_id: str
    version: int
    problems: list[str]
    lines: list[Line]
    due: int
    unanswered: int
    seconds: float
    used_draft: bool = True

    @property
    def worse(self) -> list[Line]:
        """What was right before and is not with this draft."""
        return [line for line in self.lines if line.worse]

    @property
    def not_right(self) -> list[Line]:
        """What is not right with this draft, whether it is today or not."""
        return [line for line in self.lines if line.outcome != "right"]

    @property
    def verdict(self) -> tuple[Literal["good", "care", "bad"], str]:
        """How it went, in a word and a sentence."""
        if not self.lines:
            return "bad", "Nothing could be asked: the assistant does not understand questions just now. See Health."
        if not self.used_draft:
            return (
                "bad",
                "The draft was not used: questions are answered by another server. Only the checks below count.",
            )
        bad = []
        if self.problems:
            bad.append(f"{_counted(len(self.problems), 'thing')} to mend in the draft")
        if self.worse:
            bad.append(f"{_counted(len(self.worse), 'question')} that would go wrong only with this draft")
        if bad:
            return "bad", f"Not ready: {' and '.join(bad)}."
        taken = [line for line in self.lines if line.takes_from]
        missing = self.due - len(self.lines)
        rest = f" {_counted(missing, 'wording')} could not be asked in time." if missing else ""
        if taken:
            return "care", (
                f"{_counted(len(taken), 'new wording')} would get this answer instead of the one that people get today:"
                f" see below whether that is meant.{rest}"
            )
        if self.not_right:
            wrong = len(self.not_right)
            goes = "goes" if wrong == 1 else "go"
            return "care", f"No worse than today. {wrong} of {len(self.lines)} questions {goes} wrong today too.{rest}"
        return (
            "care" if missing else "good"
        ), f"{_counted(len(self.lines), 'question')} asked, and each got the right answer.{rest}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
