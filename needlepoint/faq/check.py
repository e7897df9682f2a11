"""What must hold between the answers, the safety rules and the phrases, beyond each file's own form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from needlepoint.faq.files import TextInFile, TopicEntry
from needlepoint.faq.plain_language import reading_grade
from needlepoint.faq.search import Encoder, VectorCache
from needlepoint.located import FileError
from needlepoint.phrases import Phrases
from needlepoint.safety import SafetyRules

#: Words of running text, and of its list, that a worried person still reads on a phone.
LONGEST_TEXT = 75
LONGEST_LIST = 75
LONGEST_CONTACT = 60
#: US school grade; the plain-language guides for health texts ask for 6 to 8.
HIGHEST_GRADE = 8.0
FEWEST_WORDINGS = 10
#: Cosine of two sentences from which they say the same in the sentence model's eyes.
TOO_CLOSE = 0.93


def read_fact_ids(file: Path) -> list[str]:
    """The facts that the answers must cover, one id a line."""
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def problems(
    entries: list[TopicEntry],
    rules: SafetyRules,
    safety: Path,
    phrases: Phrases,
    terms: Sequence[str],
    facts: Sequence[str],
) -> list[FileError]:
    """Everything that is wrong: uncovered facts, dead references, answers too long or too hard to read."""
    return [
        *_uncovered(entries, facts),
        *_dead_references(entries, rules, safety, phrases),
        *(problem for item in entries for problem in _hard_to_read(item, terms)),
    ]


def too_close(entries: list[TopicEntry], encoder: Encoder, cache: VectorCache) -> list[FileError]:
    """Pairs of entries with wordings that search cannot tell apart. Variants of one question are meant to be close."""
    owners: list[TopicEntry] = []
    texts: list[str] = []
    for item in entries:
        # The sentence model knows English only.
        for text in item.entry.wordings.get("en", []):
            owners.append(item)
            texts.append(text)
    vectors = cache.encode(encoder, texts)
    alike = np.argwhere(np.triu(vectors @ vectors.T, k=1) >= TOO_CLOSE)
    found = []
    for first, second in alike:
        one, other = owners[first], owners[second]
        group = one.entry.variant_group
        if one is other or (group is not None and group == other.entry.variant_group):
            continue
        found.append(
            _error(one, f"“{texts[first]}” means the same as “{texts[second]}” of {other.entry.id}; change one of them")
        )
    return found


def _error(item: TopicEntry, problem: str) -> FileError:
    return FileError(item.file, item.line, f"{item.entry.id}: {problem}")


def _uncovered(entries: list[TopicEntry], facts: Sequence[str]) -> list[FileError]:
    covered = {fact: item for item in entries for fact in item.entry.covers}
    folder = entries[0].file.parent
    return [
        FileError(folder, 1, f"no answer covers the fact `{fact}`; write one, or name it under `covers`")
        for fact in facts
        if fact not in covered
    ] + [
        _error(item, f"covers `{fact}`, which is no fact in {folder / 'fact-ids.txt'}; add it there or mend the name")
        for fact, item in covered.items()
        if fact not in facts
    ]


def _dead_references(entries: list[TopicEntry], rules: SafetyRules, safety: Path, phrases: Phrases) -> list[FileError]:
    cards = {item.entry.id: item for item in entries if item.topic == "urgent"}
    found = [
        _error(item, f"the card has no text in `{language}`; write one")
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
    found += [
        _error(cards[card], "no safety rule asks for this card; write one in data/safety")
        for card in cards
        if card not in rules.cards
    ]
    groups = [item.entry.variant_group for item in entries]
    for item in entries:
        if item.entry.variant_group is not None and groups.count(item.entry.variant_group) == 1:
            found.append(_error(item, f"is alone in the variant group `{item.entry.variant_group}`; join or remove it"))
        found += [
            _error(item, f"no phrase says what `{timing.activity}` is; add activity_{timing.activity} to data/phrases")
            for timing in item.entry.version.timing
            if not phrases.has(f"activity_{timing.activity}")
        ]
    for one, other in combinations(entries, 2):
        same = {text.question for text in one.entry.version.texts.values()} & {
            text.question for text in other.entry.version.texts.values()
        }
        found += [
            _error(one, f"asks “{question}”, as {other.entry.id} does; word one of them anew") for question in same
        ]
    return found


def _hard_to_read(item: TopicEntry, terms: Sequence[str]) -> list[FileError]:
    count = sum(map(len, item.entry.wordings.values()))
    found = [] if count >= FEWEST_WORDINGS else [f"has {count} wordings; write at least {FEWEST_WORDINGS}"]
    for language, text in item.entry.version.texts.items():
        found += [f"{language}: {problem}" for problem in hard_to_read(text, language, terms)]
    return [_error(item, problem) for problem in found]


def hard_to_read(text: TextInFile, language: str, terms: Sequence[str]) -> list[str]:
    """What makes one text too long or too hard for a worried person on a phone, each with its mend."""
    found = _too_long(text)
    if language == "en":
        grade = reading_grade(f"{text.answer}\n{text.when_to_contact or ''}", terms)
        if grade > HIGHEST_GRADE:
            found.append(f"reading grade {grade:.1f}, {HIGHEST_GRADE:g} at most; use shorter words and sentences")
    return found


def _too_long(text: TextInFile) -> list[str]:
    items = re.findall(r"^- .*$", text.answer, re.MULTILINE)
    running = _words(re.sub(r"^- .*$", "", text.answer, flags=re.MULTILINE))
    found = []
    if running > LONGEST_TEXT:
        found.append(f"{running} words outside the list, {LONGEST_TEXT} at most; cut it down")
    if len(re.findall(r"(?:^- .*\n?)+", text.answer, re.MULTILINE)) > 1:
        found.append("has more than one list; keep one")
    if _words(" ".join(items)) > LONGEST_LIST:
        found.append(f"the list has {_words(' '.join(items))} words, {LONGEST_LIST} at most; cut it down")
    if text.when_to_contact and _words(text.when_to_contact) > LONGEST_CONTACT:
        found.append(
            f"when_to_contact has {_words(text.when_to_contact)} words, {LONGEST_CONTACT} at most; cut it down"
        )
    return found


def _words(text: str) -> int:
    return len(re.findall(r"\S*\w\S*", text))
