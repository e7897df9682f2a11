"""A message read for red flags: which symptoms it reports, how urgent they are, and which card answers them."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from needlepoint.safety.cleaning import clean_text
from needlepoint.safety.context import EXCUSES, Clause, excuses, split_clauses
from needlepoint.safety.phrases import Mention, find_mentions
from needlepoint.safety.rule_files import LEVELS, Level
from needlepoint.safety.rules import CUE, Pattern, SafetyRules
from needlepoint.safety.second_reader import SecondReading
from needlepoint.safety.words import Words, split_words

#: How far apart, in words, the parts of one pattern may stand.
_WINDOW = 10
#: How far before its symptom "a bit" may stand, and how far behind ("swollen, just a bit").
_NEAR_BEFORE = 4
_NEAR_BEHIND = 2
#: What of the conversation is read again: the newest messages, up to this many and to this many characters.
RECENT_MESSAGES = 6
RECENT_CHARACTERS = 4096

URGENT = ("same_day", "emergency_now")


class Trust(NamedTuple):
    """How likely the second reader must hold a red flag to raise it, and to have the person asked after it."""

    raises: float
    asks: float


class Thresholds(NamedTuple):
    """The decision table: how far the second reader is trusted, by what the rules see."""

    #: A rule found it, in more than a few words: from here on it stands.
    found: float
    #: Or from here on, in the sentence of the evidence alone: who plays it down or asks after the price does not
    #: make it harmless. Below both the person is asked in any case.
    found_in_its_sentence: float
    #: No rule found anything.
    nothing_found: Trust
    #: The same in few words.
    few_words: Trust
    #: What a rule holds to be less urgent, in few words.
    lesser_in_few_words: Trust
    #: Thoughts of self-harm in few words that no rule knows: abuse ("go die") reads like them.
    self_harm_in_few_words: Trust
    #: The rules see that a symptom is denied, past or only asked about, or that something is said to be over.
    excused: Trust
    #: How likely it must hold an emergency to make one of what a rule holds less urgent.
    emergency_from: float


#: Chosen by `needlepoint evaluate --safety --thresholds` (figures: docs/safety-case.md), but `found_in_its_sentence` so
#: that a question after the price hides nothing, and `few_words` a step higher, because turns in a talk are short.
THRESHOLDS = Thresholds(
    found=0.1,
    found_in_its_sentence=0.5,
    nothing_found=Trust(0.4, 0.2),
    few_words=Trust(0.7, 0.5),
    lesser_in_few_words=Trust(0.95, 0.6),
    self_harm_in_few_words=Trust(0.95, 0.5),
    excused=Trust(0.4, 0.3),
    emergency_from=0.7,
)

#: The card of thoughts of self-harm.
SELF_HARM = "thoughts-of-self-harm"

#: So many words are few.
FEW_WORDS = 12

#: So many sentences are read again at most: each takes milliseconds.
_MOST_SENTENCES = 3

_SENTENCE = re.compile(r"[^.?!\n]+")

#: The finding that ends an urgent thread (`data/safety/thread.yml`).
_THREAD_OVER = "thread-over"

#: The finding of what only the second reader noticed.
_BY_TONE = "reads-like-a-red-flag"

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
    at least one when the level is `same_day` or `emergency_now`. `doubt` is the card whose signs the person should be
    asked after, where the message may mean a red flag although nothing raises one, else "". `over` says that the
    message reports no red flag and that something is over or cared for: what ends an urgent thread. `rules_version` is
    the SHA-256 of the rule files.
    """

    level: Level
    findings: tuple[SafetyFinding, ...]
    cards: tuple[str, ...]
    doubt: str
    over: bool
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

    def doubt(self) -> None:
        """Leave no more of it than that the clinic should hear of it."""
        self.level = "contact_clinic"
        self.cards.clear()


class Evidence(NamedTuple):
    """What rules and second reader hold of one message: the highest level that a rule found, whether the rules see an
    excuse, how many words it has, and how likely the reader holds a red flag in the sentence of the evidence alone."""

    found: Level
    excused: bool
    words: int
    reader: SecondReading
    in_its_sentence: float = 0.0


class Decision(NamedTuple):
    """The level that the second reader raises ("none" for nothing), and whether the person is asked instead of what
    was found."""

    raises: Level
    asks: bool


@dataclass(slots=True)
class _Reading:
    """What one message says: its findings, those it takes back ("no fever any more"), the entries it mentions, and
    whether it speaks of a symptom that does not count ("what if I get a fever")."""

    found: dict[str, _Found]
    taken_back: set[str]
    said: set[str]
    excused: bool = False


def assess(rules: SafetyRules, text: str, recent: Sequence[str] = ()) -> Assessment:
    """Read one message for red flags.

    `recent` are the person's earlier messages, oldest first: they complete a pair ("it is spreading", later "now I
    have a fever"), but never alarm by themselves. Deterministic; needs no network and no database; never raises for
    any text; takes time linear in its length.
    """
    text = clean_text(text)
    reading, told_bit_by_bit = _read_in_its_place(rules, text, recent)
    found = reading.found
    # What earlier messages said is not in this one's words, so its tone cannot speak against it.
    doubt = "" if told_bit_by_bit or not text else _read_again(rules, text, reading)
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
        doubt=doubt,
        over=_THREAD_OVER in found and not findings,
        rules_version=rules.version,
    )


def answered_yes(rules: SafetyRules, card: str) -> Assessment:
    """What a "yes" to the safety question about that card says; level "none" for what is no card."""
    level = rules.second_reader.usual_level(card)
    finding = SafetyFinding("said-yes-when-asked", level, ("safety-question",), ())
    return Assessment(
        level=level,
        findings=(finding,) if level != "none" else (),
        cards=(card,) if level != "none" else (),
        doubt="",
        over=False,
        rules_version=rules.version,
    )


def evidence(rules: SafetyRules, text: str) -> Evidence:
    """What rules and second reader hold of a message that stands by itself, for choosing the thresholds."""
    text = clean_text(text)
    return _evidence(rules, text, _read_in_its_place(rules, text, ())[0], 1.0)


def decide(of: Evidence, thresholds: Thresholds = THRESHOLDS) -> Decision:
    """What becomes of a message that is not told bit by bit."""
    few_words = of.words <= FEW_WORDS
    if of.found in URGENT:
        likely = of.reader.urgent >= thresholds.found or of.in_its_sentence >= thresholds.found_in_its_sentence
        if not few_words and of.reader.whole and not likely:
            return Decision("none", asks=True)
        worse = of.found != "emergency_now" and of.reader.emergency >= thresholds.emergency_from
        return Decision("emergency_now" if worse else "none", asks=False)
    trust = thresholds.few_words if few_words else thresholds.nothing_found
    if of.excused:
        trust = Trust(*map(max, thresholds.excused, trust))
    elif few_words and of.found != "none":
        trust = thresholds.lesser_in_few_words
    elif few_words and of.reader.card == SELF_HARM:
        trust = thresholds.self_harm_in_few_words
    if of.reader.urgent >= trust.raises:
        return Decision(of.reader.level, asks=False)
    return Decision("none", asks=of.reader.urgent >= trust.asks)


def _read_in_its_place(rules: SafetyRules, text: str, recent: Sequence[str]) -> tuple[_Reading, bool]:
    """What a cleaned message says after the earlier ones, and whether they complete a pair."""
    earlier, said = _read_recent(rules, recent)
    reading = _read(rules, text, said)
    found = reading.found
    for finding in reading.taken_back - set(found):
        earlier.discard(finding)
    complete = set(found) | earlier
    told_bit_by_bit = False
    for pair in rules.pairs:
        if pair.parts <= complete and not pair.parts.isdisjoint(reading.found):
            told_bit_by_bit |= not pair.parts <= set(found)
            spans = {span for part in pair.parts & set(found) for span in found[part].spans}
            found.setdefault(pair.finding, _Found()).add(pair.rule, pair.level, pair.card, spans)
    return reading, told_bit_by_bit


def _evidence(rules: SafetyRules, text: str, reading: _Reading, again_below: float) -> Evidence:
    """`again_below` is how sure the second reader has to be of the whole for no sentence to be read by itself."""
    highest: Level = max((made.level for made in reading.found.values()), default="none", key=LEVELS.index)
    excused = reading.excused or _THREAD_OVER in reading.found
    words, whole = len(text.split()), rules.second_reader.read(text)
    if highest not in URGENT or words <= FEW_WORDS or whole.urgent >= again_below:
        return Evidence(highest, excused, words, whole)
    spans = [span for made in reading.found.values() if made.level in URGENT for span in made.spans]
    found = [it.group() for it in _SENTENCE.finditer(text) if any(a < it.end() and b > it.start() for a, b in spans)]
    likely = [rules.second_reader.read(sentence).urgent for sentence in found[:_MOST_SENTENCES]]
    return Evidence(highest, excused, words, whole, max(likely, default=0.0))


def _read_again(rules: SafetyRules, text: str, reading: _Reading) -> str:
    """Let the second reader raise what no rule knew, and doubt what a rule found in harmless words.

    Returns the card to ask after where there is doubt, else "".
    """
    of = _evidence(rules, text, reading, THRESHOLDS.found)
    decision = decide(of)
    if decision.raises != "none":
        raised = reading.found.setdefault(_BY_TONE, _Found())
        raised.add("second-reader", decision.raises, of.reader.card, [])
    if not decision.asks:
        return ""
    urgent = [made for made in reading.found.values() if made.level in URGENT]
    if not urgent:
        return of.reader.card
    asked_after = _cards(rules, urgent)[0]
    for made in urgent:
        made.doubt()
    return asked_after


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
        if mention.end - mention.start > 1 and mention.name not in rules.keep_cues
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
                elif not matched and (excuses := self._excuses(pattern)):
                    reading.excused = True
                    if excuses & _TAKEN_BACK:
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

    def _excuses(self, pattern: Pattern) -> int:
        """What keeps the pattern from matching although all is mentioned: it is denied, over, or only asked about."""
        marks = 0
        for name in (pattern.head, *pattern.others):
            for mention in self._by_name[name]:
                marks |= self._marks[mention.start]
        return marks & pattern.excused

    def _span(self, mention: Mention) -> tuple[int, int]:
        return self._words.spans[mention.start][0], self._words.spans[mention.end - 1][1]
