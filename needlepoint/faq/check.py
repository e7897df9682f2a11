"""What must hold between the answers, the safety rules and the phrases, beyond each file's own form."""

from __future__ import annotations

from pathlib import Path

from needlepoint.faq.files import TopicEntry
from needlepoint.located import FileError
from needlepoint.phrases import Phrases
from needlepoint.safety import SafetyRules


def problems(entries: list[TopicEntry], rules: SafetyRules, safety: Path, phrases: Phrases) -> list[FileError]:
    """Everything that is wrong: a rule whose card does not exist, a card without a language of the clinic."""
    cards = {item.entry.id: item for item in entries if item.topic == "urgent"}
    found = [
        FileError(item.file, item.line, f"{item.entry.id}: the card has no text in `{language}`; write one")
        for item in cards.values()
        for language in phrases.languages
        if language not in item.entry.version.texts
    ]
    found += [
        FileError(
            safety, 1, f"a rule asks for the card `{card}`, which does not exist; write it in data/faq/urgent.yml"
        )
        for card in rules.cards
        if card not in cards
    ]
    return found
