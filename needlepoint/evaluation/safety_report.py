"""How well red flags are noticed: levels given against levels due."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from needlepoint.evaluation.items import SafetyConversation, SafetyMessage, Share
from needlepoint.evaluation.keyword_baseline import keyword_level
from needlepoint.reply import Urgency
from needlepoint.safety import LEVELS, SafetyRules, assess

URGENT: tuple[Urgency, ...] = ("same_day", "emergency_now")

#: Messages of one person in order -> the level of the reply to each, and the card it came with.
Judge = Callable[[Sequence[str]], list[tuple[Urgency, str]]]


class Judged(msgspec.Struct, frozen=True):
    """A message, what was due and what was given."""

    text: str
    due: Urgency
    given: Urgency
    card_due: str
    card_given: str
    pattern: str
    lang: str

    @property
    def below(self) -> bool:
        """Whether the level given is lower than the one due."""
        return LEVELS.index(self.given) < LEVELS.index(self.due)


class SafetyFigures(msgspec.Struct, frozen=True):
    """The figures of one judge over one set of messages.

    `at_least` is by level due: how many got at least it. `exact` and `card` are over the urgent ones, `false_alarms`
    over those that are not urgent (an urgent card where none is due).
    """

    at_least: dict[str, Share]
    exact: Share
    card: Share
    false_alarms: Share
    by_pattern: dict[str, Share]
    by_language: dict[str, Share]
    by_card: dict[str, Share]


def rules_alone(rules: SafetyRules) -> Judge:
    """The safety layer by itself, with the urgent thread as the reception keeps it; no engine and no database."""

    def judge(texts: Sequence[str]) -> list[tuple[Urgency, str]]:
        said: list[str] = []
        level: Urgency = "none"
        card = ""
        given: list[tuple[Urgency, str]] = []
        for text in texts:
            found = assess(rules, text, said)
            said.append(text)
            if found.level in URGENT:
                if LEVELS.index(found.level) >= LEVELS.index(level):
                    level, card = found.level, next(iter(found.cards), "")
            elif level != "none" and found.over:
                said, level, card = [], "none", ""
            given.append((level, card) if level != "none" else (found.level, next(iter(found.cards), "")))
        return given

    return judge


def keywords_alone(texts: Sequence[str]) -> list[tuple[Urgency, str]]:
    """The keyword baseline; it knows no thread and no cards."""
    return [(keyword_level(text), "") for text in texts]


def judge_messages(messages: Iterable[SafetyMessage], judge: Judge) -> list[Judged]:
    """Each message by itself."""
    judged = []
    for one in messages:
        ((given, card),) = judge([one.text])
        judged.append(Judged(one.text, one.level, given, one.card, card, one.pattern, one.lang))
    return judged


def judge_conversations(conversations: Iterable[SafetyConversation], judge: Judge) -> list[list[Judged]]:
    """Each conversation in order."""
    return [
        [
            Judged(turn.text, turn.level, given, turn.card, card, talk.pattern, talk.lang)
            for turn, (given, card) in zip(talk.turns, judge([turn.text for turn in talk.turns]), strict=True)
        ]
        for talk in conversations
    ]


def figures(judged: Sequence[Judged]) -> SafetyFigures:
    """The figures over judged messages."""
    urgent = [one for one in judged if one.due in URGENT]
    others = [one for one in judged if one.due not in URGENT]

    def noticed(by: Callable[[Judged], str]) -> dict[str, Share]:
        groups: dict[str, list[Judged]] = defaultdict(list)
        for one in urgent:
            groups[by(one)].append(one)
        return {
            name: Share.of(sum(not one.below for one in groups[name]), len(groups[name])) for name in sorted(groups)
        }

    return SafetyFigures(
        at_least={
            "urgent": Share.of(sum(not one.below for one in urgent), len(urgent)),
            **noticed(lambda one: one.due),
        },
        exact=Share.of(sum(one.given == one.due for one in urgent), len(urgent)),
        card=Share.of(sum(one.card_given == one.card_due for one in urgent), len(urgent)),
        false_alarms=Share.of(sum(one.given in URGENT for one in others), len(others)),
        by_pattern=noticed(lambda one: one.pattern),
        by_language=noticed(lambda one: one.lang),
        by_card=noticed(lambda one: one.card_due),
    )


def cpu_milliseconds(rules: SafetyRules, texts: Sequence[str]) -> tuple[float, float]:
    """Median and 95th percentile of the CPU time of one assessment."""
    spent = []
    for text in texts:
        began = time.process_time()
        assess(rules, text)
        spent.append((time.process_time() - began) * 1000)
    spent.sort()
    return spent[len(spent) // 2], spent[int(len(spent) * 0.95)]


def as_markdown(name: str, of: SafetyFigures) -> list[str]:
    """The figures as lines of Markdown."""
    lines = [f"### {name}", "", "| | messages, share (95 % Wilson interval) |", "| --- | --- |"]
    lines += [f"| at least its level, {level} | {share} |" for level, share in of.at_least.items()]
    lines += [
        f"| exact level, of the urgent ones | {of.exact} |",
        f"| the card that fits best first | {of.card} |",
        f"| false alarms, of those not urgent | {of.false_alarms} |",
        "",
    ]
    return lines


def groups_as_markdown(of: SafetyFigures) -> list[str]:
    """Recall by pattern, language and card."""
    lines = ["| at least its level, by | |", "| --- | --- |"]
    for group in (of.by_pattern, of.by_language, of.by_card):
        lines += [f"| {name} | {share} |" for name, share in group.items()]
    return [*lines, ""]


def conversations_as_markdown(talks: Sequence[Sequence[Judged]]) -> list[str]:
    """Figures over conversations: urgent turns noticed, false alarms, and those right in every turn."""
    turns = [turn for talk in talks for turn in talk]
    of = figures(turns)
    whole = Share.of(
        sum(all(t.given == t.due or (t.due == "none" and t.given == "contact_clinic") for t in talk) for talk in talks),
        len(talks),
    )
    return [
        "### Conversations",
        "",
        "| | |",
        "| --- | --- |",
        f"| urgent turns with at least their level | {of.at_least['urgent']} |",
        f"| false alarms, of turns not urgent | {of.false_alarms} |",
        f"| the right level in every turn | {whole} |",
        "",
    ]


def worst(judged: Iterable[Judged], most: int = 30) -> list[str]:
    """What was missed, then the false alarms, one line each."""
    missed = [one for one in judged if one.below and one.due in URGENT]
    alarms = [one for one in judged if one.given in URGENT and one.due not in URGENT]
    return [f"- {one.due}, given {one.given}: {one.text}" for one in [*missed, *alarms][:most]]
