"""The rules made ready to read messages with."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from needlepoint.safety.context import EXCUSES, CueWords
from needlepoint.safety.phrases import Tree
from needlepoint.safety.rule_files import (
    Cues,
    Level,
    Phrases,
    Rule,
    RuleFileError,
    RuleFiles,
    pattern_parts,
    read_rule_files,
)
from needlepoint.safety.second_reader import SecondReader
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
    tree: Tree
    vocabulary: Vocabulary
    cue_words: CueWords
    hides: Mapping[str, frozenset[str]]
    parts_of_body: frozenset[str]
    keep_cues: frozenset[str]
    second_reader: SecondReader

    @classmethod
    def load(cls, folder: Path) -> SafetyRules:
        """Read the rule files of a folder.

        Raises :class:`~needlepoint.safety.rule_files.RuleFileError`, which names file, line and mend of every problem.
        """
        rules = prepare(read_rule_files(folder), SecondReader.load(folder))
        # Half a million small objects that live as long as the process: looking through them for garbage again and
        # again would cost a tenth of a second in the middle of a message.
        gc.collect()
        gc.freeze()
        return rules


def prepare(files: RuleFiles, second_reader: SecondReader) -> SafetyRules:
    """Plant all phrases and cues in one tree, and sort the patterns by their first part.

    Raises :class:`RuleFileError` for phrases that cannot be read.
    """
    entries = {name: entry for _, subject in files.subjects for name, entry in subject.words.items()}
    tree = Tree()
    problems = [*_plant_words(tree, files, entries), *_plant_cues(tree, files)]
    problems += _unfit_key_words(files, tree.words)
    if problems:
        raise RuleFileError(problems)
    patterns: dict[str, list[Pattern]] = {}
    for _, subject in files.subjects:
        for rule in subject.rules:
            for pattern in _patterns(rule):
                patterns.setdefault(pattern.head, []).append(pattern)
    context = files.context
    return SafetyRules(
        version=files.version,
        cards=tuple(files.cards.most_urgent_first),
        patterns={head: tuple(made) for head, made in patterns.items()},
        pairs=tuple(
            FindingPair(pair.id, pair.finding, pair.level, pair.card, frozenset(pattern_parts(of)))
            for _, subject in files.subjects
            for pair in subject.pairs
            for of in pair.of
        ),
        tree=tree,
        vocabulary=Vocabulary(tree.words, map(fold, context.key_words), map(fold, context.real_words)),
        cue_words=_single_words(context.cues),
        hides={name: frozenset(entry.hides) for name, entry in entries.items() if entry.hides},
        parts_of_body=frozenset(name for name, entry in entries.items() if entry.part_of_body),
        keep_cues=frozenset(name for name, entry in entries.items() if entry.keeps_cues),
        second_reader=second_reader,
    )


def _plant_words(tree: Tree, files: RuleFiles, entries: Mapping[str, Phrases]) -> Iterator[str]:
    """Plant every entry of words, and tell what cannot be read."""
    for file, subject in files.subjects:
        for name, entry in subject.words.items():
            yield from tree.plant(file, f"$.words.{name}", name, entry, entries)


def _plant_cues(tree: Tree, files: RuleFiles) -> Iterator[str]:
    """Plant every cue, but for the lists of single words, which cut clauses; tell what cannot be read."""
    for field in msgspec.structs.fields(Cues):
        where = f"$.cues.{field.name}"
        phrases: Phrases = getattr(files.context.cues, field.name)
        if field.name not in CueWords.__dataclass_fields__:
            yield from tree.plant(files.context_file, where, CUE + field.name, phrases, files.context.sets)
        elif long := [phrase for phrase in phrases.en + phrases.ms if len(phrase.split()) > 1]:
            problem = f"{long[0]!r} is more than one word; this list takes single words"
            yield files.context_file.problem(where, problem)


def _unfit_key_words(files: RuleFiles, words: set[str]) -> Iterator[str]:
    for at, word in enumerate(files.context.key_words):
        if len(word) < TYPO_LETTERS or fold(word) not in words:
            problem = f"{word!r} is shorter than {TYPO_LETTERS} letters or in no phrase; remove it"
            yield files.context_file.problem(f"$.key_words[{at}]", problem)


def _patterns(rule: Rule) -> Iterator[Pattern]:
    for head, *others in map(pattern_parts, rule.patterns):
        yield Pattern(
            rule=rule.id,
            finding=rule.finding,
            level=rule.level,
            card=rule.card,
            head=head,
            others=tuple(others),
            excused=sum(EXCUSES[excuse] for excuse in set(rule.excused_by)),
            unless_near=frozenset(rule.unless_near),
            unless_said=frozenset(rule.unless_said),
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
