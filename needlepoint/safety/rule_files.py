"""The red-flag rules as they are written: `data/safety/*.yml`, read and checked.

`cards.yml` lists the urgent cards, `context.yml` the words that say "not", "what if" and "long ago"; every other file
treats one subject: the words people use for it, the rules, and the pairs of findings that raise the level.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import yaml

Level = Literal["none", "contact_clinic", "same_day", "emergency_now"]
Excuse = Literal["negation", "hypothetical", "past", "asked_if_normal"]

#: What the second reader learnt and from what; part of the version.
LEARNT_FILES = ("second_reader.npz", "examples.jsonl", "harmless.txt")

#: The levels from the least to the most urgent.
LEVELS: tuple[Level, ...] = ("none", "contact_clinic", "same_day", "emergency_now")

#: The reader in C where PyYAML has it: ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

T = TypeVar("T")


class RuleFileError(ValueError):
    """The rule files are wrong; one `file:line: what is wrong; the mend` a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a rule comes from."""

    name: str
    url: str


class Phrases(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ways to say one thing, in English and in Malay.

    A phrase is words in a row; `(a|b c)` is one or the other, `...` up to five other words of the same clause,
    `{name}` any phrase of that entry, and `<end>` the end of the clause. A mention that lies inside one of these
    phrases does not count for the entries named in `hides` ("eye cream" hides `eye`). A `part_of_body` is no symptom,
    so that nothing excuses it: in "is it safe near the eye? it hurts" the eye counts.
    """

    en: list[str] = []
    ms: list[str] = []
    part_of_body: bool = False
    keeps_cues: bool = False
    hides: list[str] = []


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule: what must be said for one finding.

    A pattern is names of entries of `words` joined by ` + `, to be found in one clause in any order. A mention that
    is excused (by default negated, hypothetical, or past) does not count. `unless_near` names entries that undo the
    match when they stand right beside its first part ("a bit swollen"), `unless_said` entries that undo it wherever
    the conversation has them. Level `none` makes a finding that matters only in a pair.
    """

    id: str
    finding: str
    level: Level
    patterns: list[str]
    rationale: str
    card: str | None = None
    unless_near: list[str] = []
    unless_said: list[str] = []
    excused_by: tuple[Excuse, ...] = ("negation", "hypothetical", "past")
    sources: list[Source] = []


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Findings (` + ` between them) that together, in one message or in the recent ones, make another finding."""

    id: str
    finding: str
    level: Level
    of: list[str]
    rationale: str
    card: str | None = None
    sources: list[Source] = []


class Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file about one subject."""

    about: str
    words: dict[str, Phrases] = {}
    rules: list[Rule] = []
    pairs: list[Pair] = []


class Cues(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The words that put a symptom into a context; `context.yml` says what each list is for."""

    negation: Phrases
    not_negation: Phrases
    hypothetical: Phrases
    not_hypothetical: Phrases
    asked_if_normal: Phrases
    happening_now: Phrases
    particular: Phrases
    past: Phrases
    past_told: Phrases
    resolved: Phrases
    not_resolved: Phrases
    contrast: Phrases
    new_statement: Phrases
    joiner: Phrases
    alternative: Phrases
    subject: Phrases
    determiner: Phrases
    pronoun: Phrases
    filler: Phrases


class Context(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`context.yml`."""

    about: str
    sets: dict[str, Phrases]
    cues: Cues
    key_words: list[str]
    real_words: list[str]


class Cards(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cards.yml`: the ids of the urgent FAQ entries, the one to be read first standing first."""

    about: str
    most_urgent_first: list[str]


@dataclass(frozen=True)
class File:
    """A rule file's path and the line of each of its values by path (`$.rules[3].level`)."""

    path: Path
    lines: dict[str, int]

    def problem(self, where: str, problem: str) -> str:
        """The problem with file and line in front, at the value `where` or the nearest one around it."""
        while where not in self.lines and where != "$":
            where = where[: max(where.rfind("."), where.rfind("["))]
        return f"{self.path}:{self.lines.get(where, 1)}: {problem}"


@dataclass(frozen=True)
class RuleFiles:
    """Everything in one folder of rule files, as written; `version` is the SHA-256 of names and contents."""

    subjects: list[tuple[File, Subject]]
    context: Context
    context_file: File
    cards: Cards
    version: str


def read_rule_files(folder: Path) -> RuleFiles:
    """Read and check every `*.yml` of a folder; raises :class:`RuleFileError` with all problems found."""
    paths = sorted(folder.glob("*.yml"))
    missing = {"cards.yml", "context.yml"} - {path.name for path in paths}
    if missing or len(paths) < 3:
        names = " and ".join(sorted(missing)) or "a file with rules"
        raise RuleFileError([f"{folder}:1: {names} is missing; put it back from the repository"])
    problems: list[str] = []
    version = hashlib.sha256()
    subjects: list[tuple[File, Subject]] = []
    context: tuple[File, Context] | None = None
    cards: tuple[File, Cards] | None = None
    for name in LEARNT_FILES:
        if (folder / name).is_file():
            version.update(f"{name}\0".encode() + (folder / name).read_bytes())
    for path in paths:
        content = path.read_bytes()
        version.update(f"{path.name}\0{len(content)}\0".encode() + content)
        try:
            if path.name == "context.yml":
                context = _read(path, content, Context)
            elif path.name == "cards.yml":
                cards = _read(path, content, Cards)
            else:
                subjects.append(_read(path, content, Subject))
        except RuleFileError as error:
            problems += error.problems
    if context is None or cards is None or problems:
        raise RuleFileError(problems)
    problems = list(_contradictions(subjects, cards[1]))
    if problems:
        raise RuleFileError(problems)
    return RuleFiles(subjects, context[1], context[0], cards[1], version.hexdigest())


def _read(path: Path, content: bytes, kind: type[T]) -> tuple[File, T]:
    """One file as `kind`, or a :class:`RuleFileError` for bad YAML, a repeated key or a field that does not fit."""
    lines: dict[str, int] = {}
    try:
        text = content.decode("utf-8")
        node = yaml.compose(text, Loader=_LOADER)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RuleFileError([f"{path}:{line}: not UTF-8; save the file as UTF-8"]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        raise RuleFileError([f"{path}:{line}: not valid YAML: {error.problem}; mend the line"]) from None
    file = File(path, lines)
    data = _plain(file, node, "$")
    try:
        return file, msgspec.convert(data, kind, strict=False)  # every scalar is text, `true` too
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `")
        where = where.rstrip("`") or "$"
        if unknown := re.search(r"unknown field `([^`]+)`", problem):
            where = f"{where}.{unknown[1]}"
        if "[...]" in where:
            where = where[: where.index("[...]")]
        raise RuleFileError([file.problem(where, f"{problem}; mend or remove it")]) from None


def _plain(file: File, node: Any, where: str) -> Any:
    """The value of a YAML node, every scalar as text (so that `no` stays a word), its lines recorded."""
    if node is None:
        return None
    file.lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key, value in node.value:
            if key.value in result:
                line = key.start_mark.line + 1
                raise RuleFileError([f"{file.path}:{line}: `{key.value}` is written twice; keep one of them"])
            file.lines[f"{where}.{key.value}"] = key.start_mark.line + 1
            result[key.value] = _plain(file, value, f"{where}.{key.value}")
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(file, item, f"{where}[{at}]") for at, item in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    return node.value


def _contradictions(subjects: list[tuple[File, Subject]], cards: Cards) -> Iterator[str]:
    """What is wrong between the files: repeated or unknown names, rules without card or source, unused words."""
    entries = {name for _, subject in subjects for name in subject.words}
    rules = [rule for _, subject in subjects for rule in subject.rules]
    findings = {rule.finding for rule in rules} | {pair.finding for _, subject in subjects for pair in subject.pairs}
    used = {name for rule in rules for name in _entries_of(rule)}
    seen: set[str] = set()
    for file, subject in subjects:
        for name, phrases in subject.words.items():
            where = f"$.words.{name}"
            if name in seen:
                yield file.problem(where, f"`{name}` is in another file too; rename or remove one")
            seen.add(name)
            used.update(found for phrase in phrases.en + phrases.ms for found in re.findall(r"\{(\w+)\}", phrase))
            yield from _unknown(file, f"{where}.hides", phrases.hides, entries, "entry of words")
        for at, rule in enumerate(subject.rules):
            where = f"$.rules[{at}]"
            yield from _unfit(file, where, rule, rule.patterns, "patterns", cards)
            yield from _unknown(file, f"{where}.patterns", rule.patterns, entries, "entry of words")
            yield from _unknown(file, f"{where}.unless_near", rule.unless_near, entries, "entry of words")
            yield from _unknown(file, f"{where}.unless_said", rule.unless_said, entries, "entry of words")
        for at, pair in enumerate(subject.pairs):
            where = f"$.pairs[{at}]"
            yield from _unfit(file, where, pair, pair.of, "of", cards)
            yield from _unknown(file, f"{where}.of", pair.of, findings, "finding")
    for file, subject in subjects:
        for name, phrases in subject.words.items():
            if name not in used and not phrases.hides:
                yield file.problem(f"$.words.{name}", f"no rule uses `{name}`; use it or remove it")
    yield from _repeated_ids(subjects)


def _entries_of(rule: Rule) -> Iterator[str]:
    """The names of all entries of words that a rule uses."""
    for pattern in rule.patterns:
        yield from pattern_parts(pattern)
    yield from rule.unless_near
    yield from rule.unless_said


def _unknown(file: File, where: str, patterns: list[str], known: set[str], kind: str) -> Iterator[str]:
    """The names in patterns that nothing is called."""
    for at, pattern in enumerate(patterns):
        for name in pattern_parts(pattern):
            if name not in known:
                yield file.problem(f"{where}[{at}]", f"no {kind} is called `{name}`; mend the name")


def _repeated_ids(subjects: list[tuple[File, Subject]]) -> Iterator[str]:
    ids: set[str] = set()
    for file, subject in subjects:
        places = [(f"$.rules[{at}].id", rule.id) for at, rule in enumerate(subject.rules)]
        places += [(f"$.pairs[{at}].id", pair.id) for at, pair in enumerate(subject.pairs)]
        for where, name in places:
            if name in ids:
                yield file.problem(where, f"the id `{name}` is used twice; rename one")
            ids.add(name)


def _unfit(file: File, where: str, item: Rule | Pair, patterns: list[str], field: str, cards: Cards) -> Iterator[str]:
    """What is wrong with one rule or pair by itself."""
    if not patterns:
        yield file.problem(f"{where}.{field}", f"`{item.id}` has no {field}; write at least one")
    if item.card is None and item.level in ("same_day", "emergency_now"):
        yield file.problem(where, f"`{item.id}` is {item.level} and has no card; name an urgent FAQ entry")
    if item.card is not None and item.card not in cards.most_urgent_first:
        yield file.problem(f"{where}.card", f"`{item.card}` is not in cards.yml; add it there or mend the name")
    if item.level != "none" and not item.sources:
        yield file.problem(where, f"`{item.id}` has no source; name one")
    for at, source in enumerate(item.sources):
        if not re.match(r"https?://\S+$", source.url):
            yield file.problem(f"{where}.sources[{at}].url", f"`{source.url}` is not a web address; mend it")
    if not item.rationale.strip():
        yield file.problem(f"{where}.rationale", f"`{item.id}` does not say why; write one sentence")


def pattern_parts(pattern: str) -> tuple[str, ...]:
    """The names in a pattern: `swelling + airway_part` has two."""
    return tuple(part.strip() for part in pattern.split("+"))
