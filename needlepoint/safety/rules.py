"""The rules made ready to read messages with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from needlepoint.safety.context import EXCUSES, CueWords
from needlepoint.safety.phrases import Node, expand, plant
from needlepoint.safety.rule_files import (
    Cues,
    Level,
    Phrases,
    RuleFileError,
    RuleFiles,
    pattern_parts,
    read_rule_files,
)
from needlepoint.safety.words import Vocabulary, fold

#: What stands before a cue's name in the tree of phrases, to tell it from an entry of `words`.
CUE = "cue "

#: Key words, which are found with one typing error, have at least so many letters.
TYPO_LETTERS = 6


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern of one rule: `head` is its first part, `others` the rest; `excused` is a set of excuse bits."""

    rule: str
    finding: str
    level: Level
    card: str | None
    head: str
    others: tuple[str, ...]
    excused: int
    unless_near: frozenset[str]
    unless_said: frozenset[str]


@dataclass(frozen=True, slots=True)
class FindingPair:
    """Findings that together make another one."""

    rule: str
    finding: str
    level: Level
    card: str | None
    parts: frozenset[str]


@dataclass(frozen=True, slots=True)
class SafetyRules:
    """Prepared rules; build them with :meth:`load` and share them, nothing in them changes.

    `version` is the SHA-256 of the rule files. `cards` are the ids of the urgent FAQ entries that the rules may ask
    for, the one to be read first standing first.
    """

    version: str
    cards: tuple[str, ...]
    patterns: Mapping[str, tuple[Pattern, ...]]
    pairs: tuple[FindingPair, ...]
    tree: Node
    vocabulary: Vocabulary
    cue_words: CueWords
    hides: Mapping[str, frozenset[str]]

    @classmethod
    def load(cls, folder: Path) -> SafetyRules:
        """Read the rule files of a folder.

        Raises :class:`~needlepoint.safety.rule_files.RuleFileError`, which names file, line and mend of every problem.
        """
        return prepare(read_rule_files(folder))


def prepare(files: RuleFiles) -> SafetyRules:
    """Plant all phrases and cues in one tree, and sort the patterns by their first part."""
    entries: dict[str, Phrases] = {name: entry for _, subject in files.subjects for name, entry in subject.words.items()}
    tree = Node()
    problems: list[str] = []
    words: set[str] = set()
    for file, subject in files.subjects:
        for name, entry in subject.words.items():
            ways, wrong = expand(file, f"$.words.{name}", entry, entries)
            problems += wrong
            plant(tree, name, ways)
            words |= {word for way in ways for word in way}
    for field in msgspec.structs.fields(Cues):
        cue: Phrases = getattr(files.context.cues, field.name)
        where = f"$.cues.{field.name}"
        ways, wrong = expand(files.context_file, where, cue, files.context.sets)
        problems += wrong
        if field.name not in CueWords.__dataclass_fields__:
            plant(tree, CUE + field.name, ways)
            words |= {word for way in ways for word in way}
        elif long := [" ".join(way) for way in ways if len(way) > 1]:
            problem = f"{long[0]!r} is more than one word; this list takes single words"
            problems.append(files.context_file.problem(where, problem))
    for at, word in enumerate(files.context.key_words):
        if len(word) < TYPO_LETTERS or fold(word) not in words:
            problem = f"{word!r} is shorter than {TYPO_LETTERS} letters or in no phrase; remove it"
            problems.append(files.context_file.problem(f"$.key_words[{at}]", problem))
    if problems:
        raise RuleFileError(problems)
    patterns: dict[str, list[Pattern]] = {}
    pairs: list[FindingPair] = []
    for _, subject in files.subjects:
        for rule in subject.rules:
            excused = sum(EXCUSES[excuse] for excuse in set(rule.excused_by))
            for head, *others in map(pattern_parts, rule.patterns):
                near, said = frozenset(rule.unless_near), frozenset(rule.unless_said)
                pattern = Pattern(
                    rule.id, rule.finding, rule.level, rule.card, head, tuple(others), excused, near, said
                )
                patterns.setdefault(head, []).append(pattern)
        for pair in subject.pairs:
            for of in pair.of:
                parts = frozenset(pattern_parts(of))
                pairs.append(FindingPair(pair.id, pair.finding, pair.level, pair.card, parts))
    return SafetyRules(
        version=files.version,
        cards=tuple(files.cards.most_urgent_first),
        patterns={head: tuple(made) for head, made in patterns.items()},
        pairs=tuple(pairs),
        tree=tree,
        vocabulary=Vocabulary(words, map(fold, files.context.key_words), map(fold, files.context.real_words)),
        cue_words=_single_words(files.context.cues),
        hides={name: frozenset(entry.hides) for name, entry in entries.items() if entry.hides},
    )


def _single_words(cues: Cues) -> CueWords:
    def folded(phrases: Phrases) -> frozenset[str]:
        return frozenset(fold(word) for word in phrases.en + phrases.ms)

    return CueWords(
        contrast=folded(cues.contrast),
        new_statement=folded(cues.new_statement),
        joiner=folded(cues.joiner),
        alternative=folded(cues.alternative),
        subject=folded(cues.subject),
        determiner=folded(cues.determiner),
        past_told=folded(cues.past_told),
        pronoun=folded(cues.pronoun),
        filler=folded(cues.filler),
    )
