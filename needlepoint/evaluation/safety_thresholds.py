"""Chooses the thresholds of the safety net's decision table on labelled messages: `evaluate --safety --thresholds`.

What rules and second reader hold of each message is read once; then one threshold after the other is moved to where it
serves best until none moves any more. First comes that few harmless messages of each file alarm and hardly one of the
stored wordings of harmless answers; within that, that no message that its writer or others play down gets no card, then
that many get at least their level and many exactly it, then few false alarms. Where the person is asked is chosen after
that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from needlepoint.evaluation.items import SafetyMessage
from needlepoint.faq.files import TopicEntry
from needlepoint.reply import Urgency
from needlepoint.safety import LEVELS, SafetyRules
from needlepoint.safety.assessment import THRESHOLDS, URGENT, Evidence, Thresholds, Trust, decide, evidence

#: What may be alarmed at, at most: of the harmless messages of a file (look-alikes all of them, the third set's with an
#: urgent twin), and of the stored wordings.
FALSE_ALARMS = 0.06
WORDINGS = 0.005
#: At most so many of both may be met with the safety question.
ASKED = 0.15
ASKED_OF_WORDINGS = 0.005

#: Where a threshold may stand, and how sure it has to be where a rule found something.
_STEPS = tuple(step / 20 for step in range(1, 20))
_FOUND = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3)

_TRUSTS = ("excused", "few_words", "nothing_found")

_PLAYED_DOWN = ("minimised", "overruled")


class Case(NamedTuple):
    """A message as the net sees it, and what is due. `wording` is whether it is a stored one of a harmless answer."""

    due: Urgency
    of: Evidence
    played_down: bool = False
    wording: bool = False


class Counts(NamedTuple):
    """What one decision table makes of the cases. `kept` are those with at least their level, and those asked;
    `played_down_carded` those played down that get an urgent card."""

    urgent: int
    noticed: int
    kept: int
    exact: int
    played_down: int
    played_down_carded: int
    harmless: int
    false_alarms: int
    asked: int
    wordings: int
    alarming_wordings: int
    asked_wordings: int


#: Of each file of messages, by its name, and of the stored wordings.
Cases = Mapping[str, Sequence[Case]]


def read_messages(rules: SafetyRules, messages: Iterable[SafetyMessage]) -> list[Case]:
    """Labelled messages."""
    return [Case(one.level, evidence(rules, one.text), one.pattern in _PLAYED_DOWN) for one in messages]


def read_wordings(rules: SafetyRules, entries: Iterable[TopicEntry]) -> list[Case]:
    """The stored wordings of the entries that are not urgent."""
    harmless = [item.entry for item in entries if item.topic != "urgent"]
    texts = [text for entry in harmless for wordings in entry.wordings.values() for text in wordings]
    texts += [text.question for entry in harmless for text in entry.version.texts.values()]
    return [Case("none", evidence(rules, text), wording=True) for text in texts]


def count(cases: Sequence[Case], thresholds: Thresholds) -> Counts:
    """What that decision table makes of the cases."""
    counts = dict.fromkeys(Counts._fields, 0)
    for one in cases:
        decision = decide(one.of, thresholds)
        given = _given(one.of, decision.raises, decision.asks)
        if one.wording:
            counts["wordings"] += 1
            counts["asked_wordings"] += decision.asks
            counts["alarming_wordings"] += given in URGENT
        elif one.due in URGENT:
            noticed = LEVELS.index(given) >= LEVELS.index(one.due)
            counts["urgent"] += 1
            counts["noticed"] += noticed
            counts["kept"] += noticed or decision.asks
            counts["exact"] += given == one.due
            counts["played_down"] += one.played_down
            counts["played_down_carded"] += one.played_down and given in URGENT
        else:
            counts["harmless"] += 1
            counts["false_alarms"] += given in URGENT
            counts["asked"] += decision.asks
    return Counts(**counts)


def choose(cases: Cases, start: Thresholds = THRESHOLDS) -> Thresholds:
    """The thresholds that serve best, and the same for the same cases."""
    chosen = start
    while True:
        before = chosen
        for one in _moves(chosen):
            if _worth(cases, one) < _worth(cases, chosen):
                chosen = one
        if chosen == before:
            break
    return _with_asking(cases, chosen)


def as_markdown(name: str, cases: Cases, of: Thresholds) -> list[str]:
    """A decision table and what it makes of the cases, a row for each file."""
    trusts = {"nothing found": of.nothing_found, "few words": of.few_words, "excused": of.excused}
    lines = [
        f"### {name}",
        "",
        f"- found: {of.found}, in its sentence {of.found_in_its_sentence}",
        *(f"- {case}: raises from {trust.raises}, asks from {trust.asks}" for case, trust in trusts.items()),
        f"- emergency from {of.emergency_from}",
        "",
        "| | at least its level | or asked | exact | played down | false alarms | asked for nothing | wordings alarm |",
        "| --- " * 8 + "|",
    ]
    for file, some in cases.items():
        made = count(some, of)
        values = [
            _share(made.noticed, made.urgent),
            _share(made.kept, made.urgent),
            _share(made.exact, made.urgent),
            _share(made.played_down_carded, made.played_down),
            _share(made.false_alarms, made.harmless),
            _share(made.asked + made.asked_wordings, made.harmless + made.wordings),
            _share(made.alarming_wordings, made.wordings),
        ]
        lines.append(f"| {file} | {' | '.join(values)} |")
    return [*lines, ""]


def _given(of: Evidence, raises: Urgency, asks: bool) -> Urgency:
    """The level in the end: what a rule found and is asked after is left as something the clinic should hear of."""
    if of.found in URGENT and asks:
        return "contact_clinic"
    return max(of.found, raises, key=LEVELS.index)


def _moves(thresholds: Thresholds) -> Iterable[Thresholds]:
    for found in _FOUND:
        yield thresholds._replace(found=found)
    for step in _STEPS:
        yield thresholds._replace(found_in_its_sentence=step)
        yield thresholds._replace(emergency_from=step)
        for name in _TRUSTS:
            yield _trusting(thresholds, name, Trust(step, min(step, getattr(thresholds, name).asks)))


def _trusting(thresholds: Thresholds, name: str, trust: Trust) -> Thresholds:
    return Thresholds(**{**thresholds._asdict(), name: trust})


def _worth(cases: Cases, thresholds: Thresholds) -> tuple[float, ...]:
    """The less, the better."""
    made = [count(some, thresholds) for some in cases.values()]
    return (
        sum(max(0.0, one.false_alarms - FALSE_ALARMS * one.harmless) for one in made),
        sum(max(0.0, one.alarming_wordings - WORDINGS * one.wordings) for one in made),
        -sum(one.played_down_carded for one in made),
        -sum(one.noticed + one.exact for one in made),
        sum(one.false_alarms + one.alarming_wordings for one in made),
    )


def _with_asking(cases: Cases, thresholds: Thresholds) -> Thresholds:
    """The same with asking as early as the harmless bear."""
    for name in _TRUSTS:
        raises = getattr(thresholds, name).raises
        tables = [_trusting(thresholds, name, Trust(raises, asks)) for asks in (*_STEPS, raises) if asks <= raises]
        thresholds = min(tables, key=lambda one: _worth_of_asking(cases, one))
    return thresholds


def _worth_of_asking(cases: Cases, thresholds: Thresholds) -> tuple[float, ...]:
    made = [count(some, thresholds) for some in cases.values()]
    return (
        sum(max(0.0, one.asked - ASKED * one.harmless) for one in made),
        sum(max(0.0, one.asked_wordings - ASKED_OF_WORDINGS * one.wordings) for one in made),
        -sum(one.kept for one in made),
        sum(one.asked + one.asked_wordings for one in made),
    )


def _share(some: int, of: int) -> str:
    return f"{some} of {of} = {some / of:.1%}" if of else "none"
