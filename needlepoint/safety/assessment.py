"""A message read for red flags: which symptoms it reports, how urgent they are, and which card answers them."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from needlepoint.safety.cleaning import clean_text
from needlepoint.safety.context import EXCUSES, Clause, excuses, split_clauses
from needlepoint.safety.phrases import Mention, find_mentions
from needlepoint.safety.rule_files import LEVELS, Level
from needlepoint.safety.rules import CUE, Pattern, SafetyRules
from needlepoint.safety.words import Words, split_words

#: How far apart, in words, the parts of one pattern may stand.
_WINDOW = 10
#: How far before its symptom "a bit" may stand, and how far behind ("swollen, just a bit").
_NEAR_BEFORE = 4
_NEAR_BEHIND = 2
#: What of the conversation is read again: the newest messages, up to this many and to this many characters.
RECENT_MESSAGES = 6
RECENT_CHARACTERS = 4096

_TAKEN_BACK = EXCUSES["negation"] | EXCUSES["past"]


class SafetyFinding(msgspec.Struct, frozen=True):
    """One red flag: the rules that found it, and where, as (start, end) offsets into `clean_text(text)`.

    `spans` are of the message itself; what an earlier message added has none.
    """

    id: str
    level: Level
    rules: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]


class Assessment(msgspec.Struct, frozen=True):
    """What a message reports. `level` is the highest of the findings, which stand most urgent first.

    `cards` are the ids of the urgent FAQ entries that answer it, the one to be read first standing first; there is
    at least one when the level is `same_day` or `emergency_now`. `rules_version` is the SHA-256 of the rule files.
    """

    level: Level
    findings: tuple[SafetyFinding, ...]
    cards: tuple[str, ...]
    rules_version: str


@dataclass(slots=True)
class _Found:
    """One finding while it is put together."""

    level: Level = "none"
    rules: set[str] = field(default_factory=set)
    spans: set[tuple[int, int]] = field(default_factory=set)
    cards: dict[str, Level] = field(default_factory=dict)

    def add(self, rule: str, level: Level, card: str | None, spans: Iterable[tuple[int, int]]) -> None:
        self.rules.add(rule)
        self.spans.update(spans)
        self.level = max(self.level, level, key=LEVELS.index)
        if card is not None:
            self.cards[card] = max(self.cards.get(card, "none"), level, key=LEVELS.index)


@dataclass(slots=True)
class _Reading:
    """What one message says: its findings, those it takes back ("no fever any more"), the entries it mentions."""

    found: dict[str, _Found]
    taken_back: set[str]
    said: set[str]


def assess(rules: SafetyRules, text: str, recent: Sequence[str] = ()) -> Assessment:
    """Read one message for red flags.

    `recent` are the person's earlier messages, oldest first: they complete a pair ("it is spreading", later "now I
    have a fever"), but never alarm by themselves. Deterministic; needs no network and no database; never raises for
    any text; takes time linear in its length.
    """
    earlier, said = _read_recent(rules, recent)
    reading = _read(rules, clean_text(text), said)
    found = reading.found
    for finding in reading.taken_back - set(found):
        earlier.discard(finding)
    complete = set(found) | earlier
    for pair in rules.pairs:
        if pair.parts <= complete and not pair.parts.isdisjoint(reading.found):
            spans = {span for part in pair.parts & set(found) for span in found[part].spans}
            found.setdefault(pair.finding, _Found()).add(pair.rule, pair.level, pair.card, spans)
    findings = [
        SafetyFinding(name, made.level, tuple(sorted(made.rules)), tuple(sorted(made.spans)))
        for name, made in found.items()
        if made.level != "none"
    ]
    findings.sort(key=lambda finding: (-LEVELS.index(finding.level), finding.id))
    return Assessment(
        level=findings[0].level if findings else "none",
        findings=tuple(findings),
        cards=_cards(rules, found.values()),
        rules_version=rules.version,
    )


def _cards(rules: SafetyRules, found: Iterable[_Found]) -> tuple[str, ...]:
    """The cards asked for, by level, then in the order of `cards.yml`."""
    levels: dict[str, Level] = {}
    for finding in found:
        for card, level in finding.cards.items():
            levels[card] = max(levels.get(card, "none"), level, key=LEVELS.index)
    return tuple(sorted(levels, key=lambda card: (-LEVELS.index(levels[card]), rules.cards.index(card))))


def _read_recent(rules: SafetyRules, recent: Sequence[str]) -> tuple[set[str], set[str]]:
    """The findings that earlier messages made and none took back, and the entries they mention."""
    kept: list[str] = []
    room = RECENT_CHARACTERS
    for message in reversed(recent[-RECENT_MESSAGES:]):
        kept.append(message[-room:])
        room -= len(message)
        if room <= 0:
            break
    found: set[str] = set()
    said: set[str] = set()
    for message in reversed(kept):
        reading = _read(rules, clean_text(message), said)
        found = (found - reading.taken_back) | set(reading.found)
        said = reading.said
    return found, said


def _read(rules: SafetyRules, text: str, said_before: set[str]) -> _Reading:
    """Read one cleaned message by itself."""
    words = split_words(text, rules.vocabulary)
    clauses = split_clauses(words, rules.cue_words)
    clause_ends = [clause.end for clause in clauses for _ in range(clause.start, clause.end)]
    symptoms = _cues_apart(rules, find_mentions(rules.tree, words, clause_ends), clauses, words)
    marks = excuses(words, clauses, symptoms, rules.parts_of_body, rules.cue_words)
    reading = _Reading({}, set(), said_before | {mention.name for mention in symptoms})
    by_clause = _by_clause(symptoms, clauses)
    for number, mentions in enumerate(by_clause):
        _Place(rules, mentions, marks, words).apply(reading)
        if number and clauses[number].refers_back:
            _Place(rules, by_clause[number - 1] + mentions, marks, words).apply(reading)
    return reading


def _cues_apart(rules: SafetyRules, mentions: list[Mention], clauses: list[Clause], words: Words) -> list[Mention]:
    """The mentions of symptoms without the hidden ones; the cues go to their clauses, without those that are part of
    a longer phrase ("cannot breathe" negates nothing, "not sure" neither)."""
    symptoms = [mention for mention in mentions if not mention.name.startswith(CUE)]
    hidden: set[Mention] = set()
    if hiders := [mention for mention in symptoms if mention.name in rules.hides]:
        by_start: dict[int, list[Mention]] = defaultdict(list)
        for mention in symptoms:
            by_start[mention.start].append(mention)
        for hider in hiders:
            names = rules.hides[hider.name]
            for at in range(hider.start, hider.end):
                hidden.update(m for m in by_start[at] if m.name in names and m.end <= hider.end and m != hider)
        symptoms = [mention for mention in symptoms if mention not in hidden]
    spoken_for = {
        at
        for mention in symptoms
        if mention.end - mention.start > 1
        for at in range(mention.start, mention.end)
        if at not in mention.skipped
    }
    taken: dict[str, set[int]] = {"negation": set(spoken_for), "resolved": spoken_for, "hypothetical": set()}
    for mention in mentions:
        for kind in ("negation", "hypothetical"):
            if mention.name == f"{CUE}not_{kind}":
                taken[kind].update(range(mention.start, mention.end))
    clause_of = [number for number, clause in enumerate(clauses) for _ in range(clause.start, clause.end)]
    denied: set[int] = set()
    for mention in mentions:
        if mention.name.startswith(CUE):
            name = mention.name.removeprefix(CUE)
            if not taken.get(name, set()).issuperset(range(mention.start, mention.end)):
                clauses[clause_of[mention.start]].cues.setdefault(name, []).append(mention)
                if name == "negation":
                    denied.add(mention.start)
    return [mention for mention in symptoms if denied.isdisjoint(mention.skipped)]


def _by_clause(mentions: list[Mention], clauses: list[Clause]) -> list[list[Mention]]:
    placed: list[list[Mention]] = [[] for _ in clauses]
    clause_of = [number for number, clause in enumerate(clauses) for _ in range(clause.start, clause.end)]
    for mention in mentions:
        placed[clause_of[mention.start]].append(mention)
    return placed


class _Place:
    """The mentions of one clause, ready to be asked what stands near what."""

    def __init__(self, rules: SafetyRules, mentions: list[Mention], marks: list[int], words: Words) -> None:
        self._rules = rules
        self._marks = marks
        self._words = words
        self._by_name: dict[str, list[Mention]] = {}
        for mention in mentions:
            self._by_name.setdefault(mention.name, []).append(mention)
        self._counting: dict[tuple[str, int], list[Mention]] = {}

    def apply(self, reading: _Reading) -> None:
        """Put into the reading what the patterns find here."""
        for name in self._by_name:
            for pattern in self._rules.patterns.get(name, ()):
                if not all(other in self._by_name for other in pattern.others):
                    continue
                matched = self._match(pattern)
                if matched and pattern.unless_said.isdisjoint(reading.said):
                    spans = {self._span(mention) for mention in matched}
                    made = reading.found.setdefault(pattern.finding, _Found())
                    made.add(pattern.rule, pattern.level, pattern.card, spans)
                elif not matched and self._taken_back(pattern):
                    reading.taken_back.add(pattern.finding)

    def _match(self, pattern: Pattern) -> list[Mention]:
        """All mentions that take part in a match of the pattern, in no order."""
        matched: list[Mention] = []
        for head in self._that_count(pattern.head, pattern.excused):
            if pattern.unless_near and self._undone(head, pattern.unless_near):
                continue
            parts = [self._nearest(head, other, pattern.excused) for other in pattern.others]
            if None not in parts:
                matched += [head, *(part for part in parts if part is not None)]
        return matched

    def _that_count(self, name: str, excused: int) -> list[Mention]:
        """The mentions of that name which no excuse in `excused` holds for."""
        key = (name, excused)
        if key not in self._counting:
            mentions = self._by_name.get(name, [])
            if name not in self._rules.parts_of_body:
                mentions = [mention for mention in mentions if not self._marks[mention.start] & excused]
            self._counting[key] = mentions
        return self._counting[key]

    def _nearest(self, head: Mention, name: str, excused: int) -> Mention | None:
        """A counting mention of that name within the window of words around `head`."""
        others = self._that_count(name, excused)
        at = bisect_left(others, head.start, key=lambda mention: mention.start)
        for other in others[max(0, at - 1) : at + 1]:
            if max(other.start - head.end, head.start - other.end) <= _WINDOW:
                return other
        return None

    def _undone(self, head: Mention, names: frozenset[str]) -> bool:
        """Whether a mention of one of the names stands right before the head, or right behind without an "and"."""
        for name in names:
            mentions = self._by_name.get(name, [])
            at = bisect_left(mentions, head.start - _NEAR_BEFORE, key=lambda mention: mention.start)
            while at < len(mentions) and mentions[at].start <= head.end + _NEAR_BEHIND:
                mention = mentions[at]
                between = self._words.plain[head.end : mention.start]
                if mention.start <= head.start or self._rules.cue_words.joiner.isdisjoint(between):
                    return True
                at += 1
        return False

    def _taken_back(self, pattern: Pattern) -> bool:
        """Whether the pattern would match but for mentions that are denied or over."""
        mentions = [self._by_name[name] for name in (pattern.head, *pattern.others)]
        return any(self._marks[m.start] & _TAKEN_BACK & pattern.excused for named in mentions for m in named)

    def _span(self, mention: Mention) -> tuple[int, int]:
        return self._words.spans[mention.start][0], self._words.spans[mention.end - 1][1]
