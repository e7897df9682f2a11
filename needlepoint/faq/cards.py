"""The urgent cards: held in memory, snapshot on disk, so that they are given without database or engine."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from needlepoint.faq.published import Published, in_language
from needlepoint.phrases import Phrases
from needlepoint.reply import Answer, Reply

log = logging.getLogger(__name__)


class UrgentCards:
    """The cards of the last revision that could be read; before that, those of the snapshot."""

    def __init__(self, snapshot: Path, phrases: Phrases) -> None:
        self._snapshot = snapshot
        self._phrases = phrases
        self._cards: dict[str, dict[str, Answer]] = {}
        try:
            self._cards = msgspec.json.decode(snapshot.read_bytes(), type=dict[str, dict[str, Answer]])
        except FileNotFoundError:
            pass
        except (OSError, msgspec.DecodeError) as error:
            log.error("the snapshot of the urgent cards cannot be read: %s", type(error).__name__)

    def __len__(self) -> int:
        return len(self._cards)

    def update(self, published: Published) -> None:
        """Take the cards of a revision, and write the snapshot if they changed. Never goes back to having none."""
        cards = {entry.id: entry.answers for entry in published.entries if entry.topic == "urgent"}
        if not cards or cards == self._cards:
            return
        self._cards = cards
        self._snapshot.parent.mkdir(parents=True, exist_ok=True)
        partial = self._snapshot.with_suffix(f".{os.getpid()}.part")
        partial.write_bytes(msgspec.json.encode(cards))
        partial.replace(self._snapshot)

    def reply(self, entry_ids: Sequence[str], languages: Sequence[str]) -> Reply:
        """The card for the first of `entry_ids` that is known, once a language; else the bare emergency line."""
        texts = next((self._cards[entry_id] for entry_id in entry_ids if entry_id in self._cards), None)
        if texts is None:
            lines = dict.fromkeys(self._phrases.say("emergency_line", language) for language in languages)
            return Reply(kind="urgent", topic="urgent", text="\n\n".join(lines))
        answers = {answer.language: answer for answer in (in_language(texts, language) for language in languages)}
        return Reply(kind="urgent", topic="urgent", answers=[self._filled(answer) for answer in answers.values()][:2])

    def _filled(self, answer: Answer) -> Answer:
        when = answer.when_to_contact
        return msgspec.structs.replace(
            answer,
            text=self._phrases.fill(answer.text, answer.language),
            when_to_contact=self._phrases.fill(when, answer.language) if when else None,
        )
