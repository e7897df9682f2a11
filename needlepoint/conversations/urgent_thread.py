"""The urgent thread: after an urgent card the talk stays with it until the person says that it is over."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from needlepoint.reply import Finding, Urgency
from needlepoint.safety import LEVELS, Assessment

#: The buttons that end a thread, and the phrases they show.
CLOSING_CHOICES = {
    "thread:over": "urgent_choice_over",
    "thread:cared_for": "urgent_choice_cared_for",
    "thread:not_now": "urgent_choice_not_now",
}

#: Threads remembered in this process; the one unheard of for longest makes room.
THREADS = 2000


class UrgentThread(msgspec.Struct, frozen=True):
    """What the thread is about: the level and the cards of the most urgent message, and its findings."""

    level: Urgency
    cards: list[str]
    findings: list[Finding]

    @classmethod
    def of(cls, assessment: Assessment) -> UrgentThread:
        """The thread that a message with this assessment begins."""
        return cls.of_data(msgspec.to_builtins(assessment))

    @classmethod
    def of_data(cls, assessment: dict[str, Any]) -> UrgentThread:
        """The same from what record or journal keep of an assessment; what an older version did not keep is empty."""
        findings = [Finding(one["id"], list(one["rules"])) for one in assessment.get("findings", [])]
        return cls(assessment["level"], list(assessment.get("cards", [])), findings)


class OpenThreads:
    """The open threads of this process, so that a second red flag never lowers the first without asking the database.

    Best effort: what another process opened is known to the database, from which ordinary turns read it.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[str, UrgentThread] = OrderedDict()

    def join(self, conversation: str, thread: UrgentThread) -> UrgentThread:
        """The thread of a conversation after another red flag: the more urgent of the two, the newer of equal ones."""
        before = self._open.get(conversation)
        if before is not None and LEVELS.index(before.level) > LEVELS.index(thread.level):
            thread = before
        self._open[conversation] = thread
        self._open.move_to_end(conversation)
        if len(self._open) > THREADS:
            self._open.popitem(last=False)
        return thread

    def close(self, conversation: str) -> None:
        """The person said that it is over, or the conversation was erased."""
        self._open.pop(conversation, None)
