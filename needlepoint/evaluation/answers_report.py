"""How well the right answer is found: right, clarified, declined or wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

import msgspec

from needlepoint.ask import AT_ONCE, Asked, Asker, Question
from needlepoint.evaluation.calibration import bins, expected_error
from needlepoint.evaluation.items import AnswerConversation, AnswerMessage, AnswerTurn, Paraphrase, Share
from needlepoint.faq.files import read_folder

Outcome = Literal["right", "clarified", "declined", "wrong"]

#: Share of a question's wordings that must get its entry for the question to count as understood however it is put.
STEADY = 0.95


class Scored(msgspec.Struct, frozen=True):
    """A message, what was acceptable, and what came."""

    text: str
    expect: list[str]
    outcome: Outcome
    given: str
    confidence: float | None
    kind: str
    topic: str
    given_topic: str
    pattern: str
    lang: str
    latency_ms: float

    @property
    def in_scope(self) -> bool:
        """Whether some entry answers it."""
        return not self.expect[0].startswith("@")


def outcome_of(expect: Sequence[str], asked: Asked, offered: Sequence[str]) -> Outcome:
    """What a reply is worth. `offered` are the entries behind its choices."""
    wanted = set(expect)
    kinds = {
        "@decline": asked.kind == "decline",
        "@smalltalk": asked.kind == "smalltalk",
        "@human": asked.kind == "handover",
        "@clinic": asked.kind == "answer" and asked.topic == "cost_booking" and not asked.faq_ids,
        "@today": asked.kind in {"answer", "form"} and not asked.faq_ids,
        "@when": asked.kind in {"form", "answer"},
        "@any": asked.kind != "urgent",
    }
    if wanted & set(asked.faq_ids) or any(kinds.get(token) for token in wanted):
        return "right"
    if asked.kind == "clarify" and wanted & set(offered):
        return "clarified"
    return "declined" if asked.kind in {"decline", "handover"} else "wrong"


def titles_of(folder: Path) -> dict[str, str]:
    """The entries of a folder of answers by the question that a choice shows. Raises what `read_folder` raises."""
    return {text.question: item.entry.id for item in read_folder(folder) for text in item.entry.version.texts.values()}


def entries_offered(asked: Asked, titles: dict[str, str]) -> list[str]:
    """The entries behind a reply's choices; `titles` are the entries by the question that a choice shows."""
    return [titles[choice["title"]] for choice in asked.choices if choice["title"] in titles]


def score(item: AnswerTurn, asked: Asked, pattern: str, lang: str, offered: Sequence[str]) -> Scored:
    """One message's outcome; `offered` are the entries behind the reply's choices."""
    return Scored(
        text=item.text,
        expect=item.expect,
        outcome=outcome_of(item.expect, asked, offered),
        given=f"{asked.kind} {', '.join(asked.faq_ids) or ', '.join(offered) or asked.topic}",
        confidence=asked.confidence,
        kind=asked.kind,
        topic=item.topic,
        given_topic=asked.topic,
        pattern=pattern,
        lang=lang,
        latency_ms=asked.latency_ms,
    )


def ask_messages(asker: Asker, messages: Iterable[AnswerMessage], titles: dict[str, str]) -> list[Scored]:
    """Ask each message in a conversation of its own. Raises :class:`~needlepoint.ask.AskError`.

    The safety question offers an answer as well: what comes when its last choice, "no", is pressed.
    """
    due = list(messages)
    questions = (Question(f"message {number}", one.text) for number, one in enumerate(due))
    scored = []
    for one, asked in zip(due, asker.ask_apart(questions), strict=True):
        offered = entries_offered(asked, titles)
        if asked.kind == "clarify" and asked.topic == "urgent":
            offered += asker.ask(Question(asked.conversation, choice=asked.choices[-1]["token"])).faq_ids
        scored.append(score(one, asked, one.pattern, one.lang, offered))
    return scored


def ask_conversations(asker: Asker, talks: Iterable[AnswerConversation], titles: dict[str, str]) -> list[list[Scored]]:
    """Ask each conversation's messages in order. Raises :class:`~needlepoint.ask.AskError`."""
    due = list(talks)
    questions = [[Question(f"talk {number}", turn.text) for turn in talk.turns] for number, talk in enumerate(due)]
    return [
        [
            score(turn, one, talk.pattern, talk.lang, entries_offered(one, titles))
            for turn, one in zip(talk.turns, asked, strict=True)
        ]
        for talk, asked in zip(due, asker.ask_talks(questions), strict=True)
    ]


def shares(scored: Sequence[Scored]) -> dict[Outcome, Share]:
    """How often each outcome came."""
    counts = Counter(one.outcome for one in scored)
    return {name: Share.of(counts[name], len(scored)) for name in get_args(Outcome)}


def as_markdown(scored: Sequence[Scored]) -> list[str]:
    """All figures over messages as lines of Markdown."""
    inside = [one for one in scored if one.in_scope]
    outside = [one for one in scored if one.expect == ["@decline"]]
    latencies = sorted(one.latency_ms for one in scored) or [0.0]
    lines = ["| questions that have an answer | messages, share (95 % Wilson interval) |", "| --- | --- |"]
    lines += [f"| {name} | {share} |" for name, share in shares(inside).items()]
    declined = Share.of(sum(one.kind in {"decline", "handover"} for one in outside), len(outside))
    lines += [f"| off-topic: declined | {declined} |"]
    lines += [f"| all, also small talk and the like: right | {shares(scored)['right']} |"]
    lines += [f"| median time of a reply, {AT_ONCE} talks at once | {latencies[len(latencies) // 2]:.0f} ms |", ""]
    for name, by in (("topic", _topic), ("pattern", _pattern), ("language", _language)):
        lines += [f"| {name} | right | clarified | declined | wrong |", "| --- | --- | --- | --- | --- |"]
        groups: dict[str, list[Scored]] = defaultdict(list)
        for one in scored:
            groups[by(one)].append(one)
        for group in sorted(groups):
            counts = Counter(one.outcome for one in groups[group])
            lines.append(f"| {group} | " + " | ".join(str(counts[outcome]) for outcome in get_args(Outcome)) + " |")
        lines.append("")
    return [*lines, *reliability(inside), *risk_coverage(inside), *confusion(inside)]


def _topic(one: Scored) -> str:
    return one.topic


def _pattern(one: Scored) -> str:
    return one.pattern


def _language(one: Scored) -> str:
    return one.lang


def surest_first(scored: Iterable[Scored]) -> list[tuple[float, bool]]:
    """Of the answers given: stated confidence (0..1) and whether it was right, the surest first."""
    answers = [(one.confidence, one.outcome == "right") for one in scored if one.kind == "answer"]
    return sorted(((sure, right) for sure, right in answers if sure is not None), key=lambda one: -one[0])


def reliability(scored: Sequence[Scored]) -> list[str]:
    """Stated confidence against how often the answers given were right, and the expected calibration error."""
    lines = ["| confidence of answers | how many | mean confidence | right |", "| --- | --- | --- | --- |"]
    found = bins(surest_first(scored))
    lines += [
        f"| {one.low:.1f} to {one.high:.1f} | {one.count} | {one.confidence:.2f} | {one.right:.2f} |" for one in found
    ]
    return [*lines, "", f"Expected calibration error of answers: {expected_error(found):.3f}.", ""]


def risk_coverage(scored: Sequence[Scored]) -> list[str]:
    """If only the surest answers were given: what share would be answered, and how many of them wrongly."""
    answers = surest_first(scored)
    lines = ["| answers with confidence from | share of all questions | of them wrong |", "| --- | --- | --- |"]
    for tenth in range(1, 11):
        kept = answers[: len(answers) * tenth // 10]
        if kept:
            wrong = sum(not right for _, right in kept) / len(kept)
            lines.append(f"| {kept[-1][0]:.2f} | {len(kept) / len(scored):.0%} | {wrong:.1%} |")
    return [*lines, ""]


def confusion(scored: Sequence[Scored]) -> list[str]:
    """Which topics were taken for which others, most frequent first."""
    pairs = Counter((one.topic, one.given_topic) for one in scored if one.outcome == "wrong")
    lines = ["| topic | taken for | how often |", "| --- | --- | --- |"]
    return [*lines, *(f"| {due} | {given} | {count} |" for (due, given), count in pairs.most_common(12)), ""]


def conversations_as_markdown(talks: Sequence[Sequence[Scored]]) -> list[str]:
    """Figures over conversations: turns right, and conversations right in every turn (or asked back rightly)."""
    turns = [turn for talk in talks for turn in talk]
    good = {"right", "clarified"}
    right = Share.of(sum(all(turn.outcome == "right" for turn in talk) for talk in talks), len(talks))
    helped = Share.of(sum(all(turn.outcome in good for turn in talk) for talk in talks), len(talks))
    return [
        "| conversations | |",
        "| --- | --- |",
        f"| turns right | {shares(turns)['right']} |",
        f"| wholly right | {right} |",
        f"| wholly right or asked back | {helped} |",
        "",
    ]


def ask_paraphrases(asker: Asker, paraphrases: Sequence[Paraphrase]) -> dict[str, list[str]]:
    """By group, what each of its wordings was given: the first entry's id, or else the kind of the reply."""
    given: dict[str, list[str]] = defaultdict(list)
    questions = (Question(f"paraphrase {number}", one.text) for number, one in enumerate(paraphrases))
    for one, asked in zip(paraphrases, asker.ask_apart(questions), strict=True):
        given[one.group].append(asked.faq_id or asked.kind)
    return dict(given)


def paraphrases_as_markdown(given: dict[str, list[str]]) -> list[str]:
    """How often the wordings of one question are given one and the same entry."""
    total = sum(map(len, given.values()))
    same = sum(Counter(replies).most_common(1)[0][1] for replies in given.values())
    due = sum(replies.count(group) for group, replies in given.items())
    steady = sum(replies.count(group) >= STEADY * len(replies) for group, replies in given.items())
    return [
        f"| {len(given)} questions in {total} wordings | |",
        "| --- | --- |",
        f"| the reply that most wordings of the question got | {Share.of(same, total)} |",
        f"| the entry that answers it best | {Share.of(due, total)} |",
        f"| questions of which {STEADY:.0%} of the wordings got that one | {Share.of(steady, len(given))} |",
        "",
        "| question about | its wordings got |",
        "| --- | --- |",
        *(
            f"| {group} | {', '.join(f'{name} {count}' for name, count in Counter(replies).most_common(4))} |"
            for group, replies in sorted(given.items(), key=lambda one: one[1].count(one[0]))
        ),
        "",
    ]


def worst(scored: Iterable[Scored], most: int = 30) -> list[str]:
    """The wrong ones, the surest first."""
    wrong = sorted((one for one in scored if one.outcome == "wrong"), key=lambda one: -(one.confidence or 0))
    return [f"- {one.given} for {', '.join(one.expect)}: {one.text}" for one in wrong[:most]]
