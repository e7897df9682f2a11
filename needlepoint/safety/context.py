"""What a symptom is said about: not there, only asked about, long ago.

The idea is ConText's (a cue excuses the mentions in its reach), the reach is our own: it ends with the clause, a
negation reaches one symptom or one list of them and never past a word it does not know, and whatever says "now"
undoes "what if" and "years ago". Every doubt keeps the symptom. Whose symptom it is, and who plays it down, is not
asked: a symptom that somebody has now counts, whoever calls it normal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from needlepoint.safety.phrases import Mention
from needlepoint.safety.rule_files import Excuse
from needlepoint.safety.words import BREAK, COMMA, SENTENCE, Words

#: One bit for each way in which a mention can be excused.
EXCUSES: Final[dict[Excuse, int]] = {"negation": 1, "hypothetical": 2, "past": 4, "asked_if_normal": 8}
_NEGATED, _HYPOTHETICAL, _PAST, _ASKED = EXCUSES.values()

_NEGATION_REACH = 8
_QUESTION_REACH = 10
_PAST_REACH = 6
_ROW_ITEM_WORDS = 4
_LIST_ITEM_WORDS = 3
_LIST_WORDS = 12
_RESOLVED_REACH = 4
_WHERE_REACH = 3
_ANSWERED_WORDS = 3
_SAID_AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class CueWords:
    """The single words that cut a text into clauses, folded."""

    contrast: frozenset[str]
    new_statement: frozenset[str]
    joiner: frozenset[str]
    alternative: frozenset[str]
    subject: frozenset[str]
    determiner: frozenset[str]
    past_told: frozenset[str]
    pronoun: frozenset[str]
    filler: frozenset[str]


@dataclass(slots=True)
class Clause:
    """The words `start` to `end` (exclusive). `joined`: an "and" led here; `new_sentence`: a full stop did;
    `refers_back`: it begins with "it" or "they", and so may speak of what the clause before named."""

    start: int
    end: int
    joined: bool
    new_sentence: bool
    refers_back: bool
    cues: dict[str, list[Mention]] = field(default_factory=dict)

    def cue(self, name: str, start: int = 0) -> list[Mention]:
        """The cues of that name that begin at or after the word `start`."""
        return [cue for cue in self.cues.get(name, ()) if cue.start >= start]


def split_clauses(words: Words, cues: CueWords) -> list[Clause]:
    """Cut a text at full stops and dashes, at "but", and where "and" or a comma leads to a new subject."""
    plain, pauses = words.plain, words.pauses
    clauses: list[Clause] = []
    for at, word in enumerate(plain):
        pause = pauses[at]
        joined = word in cues.joiner
        after = plain[at + 1] if joined and at + 1 < len(plain) else word
        opens = (
            pause >= BREAK
            or word in cues.contrast
            or (
                (pause == COMMA or joined)
                and after in cues.subject
                and not (after in cues.determiner and _one_more_thing(at + joined, words, cues))
            )
        )
        if opens or not clauses:
            first = [word for word in plain[at : at + 3] if word not in cues.joiner and word not in cues.contrast][:1]
            if clauses:
                clauses[-1].end = at
            refers_back = bool(first) and first[0] in cues.pronoun
            clauses.append(Clause(at, len(plain), joined and pause < BREAK, pause == SENTENCE, refers_back))
    return clauses


def _one_more_thing(at: int, words: Words, cues: CueWords) -> bool:
    """Whether "my lips" at the word `at` is only one more thing in a row, and not a new statement."""
    for place in range(at, min(at + _ROW_ITEM_WORDS + 1, len(words.plain))):
        if place > at and (
            words.pauses[place] or words.plain[place] in cues.joiner or words.plain[place] in cues.contrast
        ):
            return True
    return at + _ROW_ITEM_WORDS >= len(words.plain)


def excuses(
    words: Words, clauses: list[Clause], symptoms: Iterable[Mention], parts_of_body: frozenset[str], cues: CueWords
) -> list[int]:
    """For each word the bits of :data:`EXCUSES` that hold for a symptom beginning there.

    `clauses` carry their cues already, those inside a longer phrase taken out. `symptoms` are all mentions, those of
    `parts_of_body` too.
    """
    marks = [0] * len(words.plain)
    symptom_end = [0] * len(words.plain)
    body = {mention.start for mention in symptoms if mention.name in parts_of_body}
    for mention in symptoms:
        if not all(word in cues.filler for word in words.plain[mention.start : mention.end]):
            symptom_end[mention.start] = max(symptom_end[mention.start], mention.end)
    begins_at = {end: start for start, end in reversed(list(enumerate(symptom_end))) if end}
    for number, clause in enumerate(clauses):
        for cue in clause.cue("negation"):
            _negate(cue.end, clause.end, words, symptom_end, body, cues, marks)
            if cue.end == clause.end or words.pauses[cue.end]:
                _deny_before(cue, clauses, number, words, symptom_end, begins_at, cues, marks)
    _mark_hypothetical(clauses, words, cues, marks)
    _mark_past(clauses, words, symptom_end, cues, marks)
    _mark_resolved(clauses, words, symptom_end, begins_at, body, cues, marks)
    for clause in clauses:
        asked = clause.cue("asked_if_normal")
        if asked and not _open(clause.cue("happening_now") + clause.cue("particular"), asked):
            _mark(marks, clause.start, clause.end, _ASKED)
    return marks


def _mark(marks: list[int], start: int, end: int, excuse: int) -> None:
    for at in range(start, end):
        marks[at] |= excuse


def _open(markers: list[Mention], covering: list[Mention]) -> list[Mention]:
    """The markers that are not part of one of the covering cues ("if i have" is no "i have")."""
    covered = {at for cue in covering for at in range(cue.start, cue.end)}
    return [marker for marker in markers if not covered.issuperset(range(marker.start, marker.end))]


def _negate(
    at: int, end: int, words: Words, symptom_end: list[int], body: set[int], cues: CueWords, marks: list[int]
) -> None:
    """Mark the first symptom after a negation ("no lip swelling": the swelling, not only the lip), and those joined
    to it by "or" or in a list that ends with "or"."""
    plain, pauses = words.plain, words.pauses
    reach = at + _NEGATION_REACH
    while at < min(end, reach):
        if marks[at] & _NEGATED:
            return
        if pauses[at] >= COMMA and not _list_goes_on(at, end, words, cues):
            return
        if stop := symptom_end[at]:
            if at in body and stop < end and words.pauses[stop] == 0 and symptom_end[stop]:
                stop = symptom_end[stop]
            _mark(marks, at, min(stop, end), _NEGATED)
            compound = stop
            while compound < end and pauses[compound] == 0 and symptom_end[compound]:
                compound = symptom_end[compound]
            if compound >= end or not (plain[compound] in cues.alternative or pauses[compound] == COMMA):
                return
            _mark(marks, stop, compound, _NEGATED)
            at = compound
            reach = at + _NEGATION_REACH
        elif plain[at] in cues.subject:
            return
        elif plain[at] in cues.filler or plain[at] in cues.alternative:
            at += 1
        else:
            # A word no rule knows may be one thing in a list ("no itching or pus"), else it ends the reach.
            at += 1
            if at == end or not (plain[at] in cues.alternative or pauses[at] == COMMA):
                return


def _list_goes_on(at: int, end: int, words: Words, cues: CueWords) -> bool:
    """Whether the word after a comma begins another short item of a list that ends with "or"."""
    since_comma = 0
    for place in range(at, min(end, at + _LIST_WORDS)):
        if words.plain[place] in cues.alternative:
            return True
        since_comma = 1 if words.pauses[place] == COMMA else since_comma + 1
        if (
            since_comma > _LIST_ITEM_WORDS
            or words.plain[place] in cues.subject
            or words.plain[place] in cues.new_statement
        ):
            return False
    return False


def _deny_before(
    cue: Mention,
    clauses: list[Clause],
    number: int,
    words: Words,
    symptom_end: list[int],
    begins_at: dict[int, int],
    cues: CueWords,
    marks: list[int],
) -> None:
    """Mark what a negation with nothing behind it denies: the symptom right before it ("fever no, pus no"), a short
    question that it answers ("Fever? No."), or all that the clause before names ("watch for pus, and I have none")."""
    clause = clauses[number]
    at = cue.start
    if words.pauses[at] == 0:
        while at > clause.start and at not in begins_at and words.plain[at - 1] in cues.filler and not words.pauses[at]:
            at -= 1
        if begins_at.get(at, -1) >= clause.start and words.pauses[at] == 0:
            _mark(marks, begins_at[at], at, _NEGATED)
            return
    if not number or cue.end < clause.end or any(symptom_end[clause.start : cue.start]):
        return
    before = clauses[number - 1]
    if cue.start > clause.start:
        if cue.end - cue.start > 1 and not clause.new_sentence:
            _mark(marks, before.start, before.end, _NEGATED)
    elif before.end - before.start <= _ANSWERED_WORDS and before.new_sentence and clause.new_sentence:
        at = before.start
        while at < before.end and (symptom_end[at] or words.plain[at] in cues.filler):
            at = symptom_end[at] or at + 1
        if at == before.end:
            _mark(marks, before.start, before.end, _NEGATED)


def _mark_hypothetical(clauses: list[Clause], words: Words, cues: CueWords, marks: list[int]) -> None:
    """From "what if" and the like to the end of the clause and of those joined to it, unless something says "now"."""
    carried = False
    for clause in clauses:
        asked = clause.cue("hypothetical")
        if asked:
            start = asked[0].start
            carried = not _open(clause.cue("happening_now", start), asked)
        else:
            start = clause.start
            carried = carried and clause.joined and not clause.cue("happening_now")
        if carried:
            end = _question_end(max(start, asked[0].end if asked else start), clause.end, words, cues)
            _mark(marks, start, end, _HYPOTHETICAL)
            carried = end == clause.end


def _question_end(start: int, end: int, words: Words, cues: CueWords) -> int:
    """Where a question that begins at `start` ends: at a comma, unless short items of a list stand behind it, and at
    a "because", which tells what is so."""
    item_start = None
    reach = start + _QUESTION_REACH
    for at in range(start, end):
        if words.pauses[at] == COMMA and at > start:
            if words.plain[at] in cues.new_statement:
                return at
            item_start = at
            reach = at + _QUESTION_REACH
        elif words.plain[at] in cues.alternative or words.plain[at] in cues.joiner:
            item_start = None
            reach = at + _QUESTION_REACH
        if words.plain[at] in cues.joiner and words.plain[at] in cues.new_statement:
            return at
        if item_start is not None and at - item_start >= _LIST_ITEM_WORDS:
            return item_start
        if at >= reach:
            return at
    return end


def _mark_past(clauses: list[Clause], words: Words, symptom_end: list[int], cues: CueWords, marks: list[int]) -> None:
    """Symptoms told in the past tense in a clause that says "years ago", or later in the same sentence; and the
    sentence before "that was years ago"."""
    carried = False
    for number, clause in enumerate(clauses):
        told = clause.cue("past")
        now = bool(_open(clause.cue("happening_now"), told))
        carried = not now if told else carried and not clause.new_sentence and not now
        if carried:
            said_when = _said_when(told, words, cues)
            start, end = _reach_of_past(clause, told, said_when, words, cues)
            for at in range(start, end):
                if symptom_end[at] and _told(at, clause.start, words, symptom_end[at], said_when, cues):
                    _mark(marks, at, at + 1, _PAST)
            if told and clause.refers_back:
                _mark_past_before(clauses, number, told[0].start, words, symptom_end, cues, marks)


def _said_when(told: list[Mention], words: Words, cues: CueWords) -> set[int]:
    """The words of the cues of the past, but for those with the past tense in them ("used to get")."""
    spans = [range(cue.start, cue.end) for cue in told]
    tells = {at for span in spans if any(words.plain[at] in cues.past_told for at in span) for at in span}
    return {at for span in spans for at in span} - tells


def _reach_of_past(
    clause: Clause, told: list[Mention], said_when: set[int], words: Words, cues: CueWords
) -> tuple[int, int]:
    """From where to where a clause's cues of the past reach: "used to get" not backwards, and "years ago" not over
    an "and" right behind it when what happened stands before it ("i had it years ago and on Friday ...")."""
    start, end = clause.start, clause.end
    if told and not said_when:
        start = told[0].start
    first_told = next((at for at in range(start, end) if words.plain[at] in cues.past_told), end)
    for cue in told:
        led_on = cue.start in said_when and cue.end + 1 < end and words.plain[cue.end] in cues.joiner
        if led_on and first_told < cue.start and words.plain[cue.end + 1] not in cues.subject:
            return start, cue.end
    return start, end


def _mark_past_before(
    clauses: list[Clause],
    number: int,
    cue_start: int,
    words: Words,
    symptom_end: list[int],
    cues: CueWords,
    marks: list[int],
) -> None:
    """Mark the sentence that a clause like "that was in 2016" dates, but not where it says "now"."""
    known = cues.pronoun | cues.past_told | cues.filler | cues.joiner | cues.contrast
    if not number or cue_start > clauses[number].start + _SAID_AT_ONCE:
        return
    for at in range(clauses[number].start, cue_start):
        if 0 < symptom_end[at] <= cue_start or not (symptom_end[at] or words.plain[at] in known):
            return
    for place in range(number - 1, max(-1, number - 1 - _SAID_AT_ONCE), -1):
        if clauses[place].cue("happening_now"):
            return
        _mark(marks, clauses[place].start, clauses[place].end, _PAST)
        if clauses[place].new_sentence:
            return


def _told(at: int, clause_start: int, words: Words, symptom_end: int, said_when: set[int], cues: CueWords) -> bool:
    """Whether the symptom at `at` is in the past tense, or a verb in the past tense shortly before it speaks of it
    ("i had swollen lips"; not "i had it done years ago, lips swollen", where the time stands between, nor "history of
    cold sores, blisters now", where a comma stands between and the time before it), or the time right behind it
    ("a burn in 2015")."""
    if any(words.plain[place] in cues.past_told for place in range(at, symptom_end)):
        return True
    for place in range(symptom_end, min(symptom_end + _SAID_AT_ONCE, len(words.plain))):
        if words.pauses[place] or words.plain[place] in cues.joiner:
            break
        if place in said_when:
            return True
    for place in range(at - 1, max(clause_start, at - _PAST_REACH) - 1, -1):
        if words.plain[place] in cues.past_told:
            return True
        if place in said_when:
            return False
    return False


def _mark_resolved(
    clauses: list[Clause],
    words: Words,
    symptom_end: list[int],
    begins_at: dict[int, int],
    body: set[int],
    cues: CueWords,
    marks: list[int],
) -> None:
    """The symptom right before "has gone", or the clause before "it has gone"; "not", "almost", "back" undo it."""
    for number, clause in enumerate(clauses):
        if not clause.cue("resolved") or clause.cue("not_resolved") or _comes_back(clauses, number):
            continue
        for cue in clause.cue("resolved"):
            at = cue.start
            while at > max(clause.start, cue.start - _RESOLVED_REACH) and at not in begins_at:
                if words.plain[at - 1] not in cues.filler:
                    break
                at -= 1
            if at in begins_at and begins_at[at] >= clause.start:
                start = begins_at[at]
                if start in body:
                    start = _symptom_of(start, clause.start, words, begins_at, cues)
                _mark(marks, start, at, _PAST)
            elif at <= clause.start + 2 and clause.refers_back and number and not any(symptom_end[clause.start : at]):
                _mark(marks, clauses[number - 1].start, clauses[number - 1].end, _PAST)


def _comes_back(clauses: list[Clause], number: int) -> bool:
    """Whether the next clause of the sentence says "came back"."""
    following = clauses[number + 1] if number + 1 < len(clauses) else None
    if following is None or following.new_sentence:
        return False
    return any(cue.end - cue.start > 1 for cue in following.cue("not_resolved"))


def _symptom_of(part: int, clause_start: int, words: Words, begins_at: dict[int, int], cues: CueWords) -> int:
    """Where the symptom of the part of the body at `part` begins ("swelling on my lips"), else `part`."""
    for at in range(part, max(clause_start, part - _WHERE_REACH) - 1, -1):
        if at in begins_at and begins_at[at] >= clause_start:
            return begins_at[at]
        if words.pauses[at] or (at > clause_start and words.plain[at - 1] in cues.joiner):
            return part
    return part
