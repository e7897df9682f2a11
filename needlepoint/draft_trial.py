"""Tries a draft as patients would get it: the checks of the files, then its wordings through the live path."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from needlepoint.answering import prepared
from needlepoint.answering.answerer import Answerer
from needlepoint.answering.prepared import PreparedAnswers
from needlepoint.conversations.asked import lately_answered
from needlepoint.conversations.reception import Reception, Rehearsed
from needlepoint.db.connect import READS_ONLY
from needlepoint.faq import check, store
from needlepoint.faq.files import TopicEntry, dump_topic, read_folder
from needlepoint.faq.plain_language import read_terms
from needlepoint.faq.search import Encoder, VectorCache
from needlepoint.faq.trial import (
    MOST_ASKED,
    MOST_ASKED_OF_NEIGHBOUR,
    MOST_OTHERS,
    MOST_OWN,
    NEAR,
    NEIGHBOURS,
    Kind,
    Line,
    Outcome,
    Trial,
    outcome_of,
    wordings,
)
from needlepoint.located import FileError, FileErrors
from needlepoint.phrases import Phrases
from needlepoint.safety import SafetyRules
from needlepoint.settings import Settings

#: Seconds after which no further wording is asked, and replies in a row that did not come after which none is.
MOST_SECONDS = 45.0
MOST_FAILURES = 4


class _Prepared(msgspec.Struct, frozen=True):
    """What is needed to ask: the version, what the checks found, the answers with the draft, what is due as (wording,
    entry that it belongs to, why it is asked), and which of the entry's own wordings patients' answers do not know."""

    version: int
    problems: list[str]
    answerer: Answerer
    due: list[tuple[str, str, Kind]]
    new: set[str]
    titles: dict[str, str]


class DraftTrials:
    """Tries one draft after another: a second one waits, so that a clinic's engine is not asked by two."""

    def __init__(
        self,
        settings: Settings,
        phrases: Phrases,
        rules: SafetyRules,
        encoder: Encoder,
        answers: PreparedAnswers,
        reception: Reception,
        database: Engine,
    ) -> None:
        self._settings = settings
        self._phrases = phrases
        self._rules = rules
        self._encoder = encoder
        self._answers = answers
        self._reception = reception
        self._database = database
        self._one_at_a_time = asyncio.Lock()

    async def run(self, entry_id: str) -> Trial:
        """Try the newest version of an entry. Takes a minute at most once it has begun; nothing is stored, and patients
        get what they got. Raises :class:`~needlepoint.faq.store.FaqRefusedError` for an unknown entry."""
        async with self._one_at_a_time:
            began = time.monotonic()
            ready = await asyncio.to_thread(self._prepare, entry_id)
            with prepared.standing_in(ready.answerer) as name:
                lines, unanswered, used = await self._ask(ready, entry_id, name)
            seconds = time.monotonic() - began
            return Trial(entry_id, ready.version, ready.problems, lines, len(ready.due), unanswered, seconds, used)

    # -- what is asked -----------------------------------------------------------------------------------------

    def _prepare(self, entry_id: str) -> _Prepared:
        with Session(self._database.execution_options(**READS_ONLY)) as session:
            store.entry_of(session, entry_id)
            entries = store.entries_as_filed(session, Path("desk"))
        item = next(one for one in entries if one.entry.id == entry_id)
        answerer = self._answers.with_draft(entry_id)
        own = [text for _, text in wordings([item])][:MOST_OWN]
        near = answerer.index.nearest_wordings(answerer.index.encode_all(own), entry_id)
        due: list[tuple[str, str, Kind]] = [(text, entry_id, "own") for text in own]
        others = [(text, other) for other, text, closeness in near[:MOST_OTHERS] if closeness >= NEAR]
        due += [(text, other, "other") for text, other in others]
        neighbours = list(dict.fromkeys(other for _, other in others))[:NEIGHBOURS]
        with Session(self._database.execution_options(**READS_ONLY)) as session:
            asked = [(text, entry_id) for text in lately_answered(session, entry_id, MOST_ASKED)]
            for other in neighbours:
                asked += [(text, other) for text in lately_answered(session, other, MOST_ASKED_OF_NEIGHBOUR)]
        stored = {text.casefold() for text, _, _ in due}
        due += [(text, expected, "asked") for text, expected in asked if text.casefold() not in stored]
        return _Prepared(
            version=item.entry.version.number,
            problems=self._problems(item, entries),
            answerer=answerer,
            due=due,
            new=set(own) - self._known(entry_id),
            titles={one.entry.id: next(iter(one.entry.version.texts.values())).question for one in entries},
        )

    def _known(self, entry_id: str) -> set[str]:
        """Question and wordings by which an entry is found today."""
        published = self._answers.published
        entries = [*published.entries, *published.withheld] if published else []
        entry = next((one for one in entries if one.id == entry_id), None)
        return {*entry.wordings, *(answer.question for answer in entry.answers.values())} if entry else set()

    def _problems(self, item: TopicEntry, entries: list[TopicEntry]) -> list[str]:
        """What `needlepoint faq check --quick` would find of this entry if it stood in the files like this."""
        found: list[FileError] = []
        with TemporaryDirectory() as folder:
            file = Path(folder) / f"{item.topic}.yml"
            file.write_text(dump_topic(item.topic, [item.entry]), encoding="utf-8")
            try:
                read_folder(Path(folder))
            except FileErrors as errors:
                found += errors.problems
        safety = self._settings.data / "safety"
        facts = check.read_fact_ids(self._settings.data / "faq" / "fact-ids.txt")
        terms = read_terms(self._settings.data / "plain_terms.yml")
        found += check.problems(entries, self._rules, safety, self._phrases, terms, facts)
        cache = VectorCache(self._settings.var / "cache" / "wording-vectors.npz", keep=False)
        found += check.too_close(entries, self._encoder, cache)
        said = [str(one).removeprefix(f"{one.file}:{one.line}: ") for one in found]
        of_this = [
            one.removeprefix(f"{item.entry.id}: ")
            for one in said
            if one.startswith(f"{item.entry.id}: ") or f" of {item.entry.id};" in one
        ]
        return list(dict.fromkeys(of_this))

    # -- asking ------------------------------------------------------------------------------------------------

    async def _ask(self, ready: _Prepared, entry_id: str, name: str) -> tuple[list[Line], int, bool]:
        """The lines in their order, how many wordings got no reply, and whether it was the draft that was asked."""
        ends = time.monotonic() + MOST_SECONDS
        lines: list[Line] = []
        unanswered = in_a_row = 0
        used = True
        # One after the other: patients' questions must find the engine free.
        for text, expected, kind in ready.due:
            if time.monotonic() >= ends or in_a_row >= MOST_FAILURES:
                break
            came = await self._rehearse(text, name)
            if came.error is not None:
                unanswered += 1
                in_a_row += 1
                continue
            in_a_row = 0
            # Cards come from the snapshot in memory, whatever their draft says: that they come is what is tried.
            used &= came.reply.kind == "urgent" or all(
                answer.version == ready.version for answer in came.reply.answers if answer.entry_id == entry_id
            )
            outcome = _outcome(expected, came)
            today, takes_from = None, ""
            if outcome != "right" or text in ready.new:
                today, takes_from = await self._today(text, expected, ready.titles)
            lines.append(
                Line(
                    text=text,
                    expected=expected,
                    kind=kind,
                    outcome=outcome,
                    came=_came(came, ready.titles),
                    why=_why(came, expected, ready.titles),
                    today=today,
                    takes_from=takes_from if outcome == "right" else "",
                )
            )
        return lines, unanswered, used

    async def _today(self, text: str, expected: str, titles: dict[str, str]) -> tuple[Outcome | None, str]:
        """What patients get for it now, and another answer that they get, by its question."""
        came = await self._rehearse(text, None)
        if came.error is not None:
            return None, ""
        outcome = _outcome(expected, came)
        others = [answer.entry_id for answer in came.reply.answers] if outcome != "right" else []
        return outcome, titles.get(others[0], others[0]) if others else ""

    async def _rehearse(self, text: str, name: str | None) -> Rehearsed:
        return await self._reception.rehearse(text, self._phrases.clinic.languages[0], name)


def _outcome(expected: str, came: Rehearsed) -> Outcome:
    return outcome_of(expected, came.reply.kind, [answer.entry_id for answer in came.reply.answers])


def _came(came: Rehearsed, titles: dict[str, str]) -> str:
    """What somebody would have got, in words."""
    reply = came.reply
    given = " and ".join(f"“{titles.get(one.entry_id, one.entry_id)}”" for one in reply.answers)
    if given:
        return f"The urgent card {given}" if reply.kind == "urgent" else given
    if reply.kind == "clarify" and reply.topic == "urgent":
        return f"The safety question, about “{titles.get(came.offered[0], came.offered[0])}”" if came.offered else ""
    if reply.kind == "clarify":
        return f"Asked back: {', '.join(choice.title for choice in reply.choices)}"
    kinds = {"decline": "“I don't know”", "handover": "Staff were promised", "smalltalk": "Small talk"}
    return kinds.get(reply.kind, f"A reply about {reply.topic.replace('_', ' ')}")


def _why(came: Rehearsed, expected: str, titles: dict[str, str]) -> str:
    """What led to it, in words."""
    why = came.reply.why
    if "safety" in why:
        return "A safety rule takes these words for urgent; that comes before every answer."
    if "in doubt about" in why:
        return "Safety is not sure whether this is urgent, and asks."
    if "stored wording" in why:
        return "In the words of a stored wording."
    if "withheld" in why:
        return "Its answer is withdrawn, out of date or not approved."
    candidates = why.get("candidates")
    if not isinstance(candidates, list) or not candidates:
        intent = why.get("intent")
        return f"Understood as {str(intent).replace('_', ' ')}." if intent else "Nothing that is stored was compared."
    shares = {str(one["entry"]): float(one["probability"]) for one in candidates}
    best, share = next(iter(shares.items()))
    if best == expected:
        said = f"{share:.0%} likely to be this"
    else:
        its = f"{shares[expected]:.0%}" if expected in shares else "less than the three likeliest"
        said = f"{share:.0%} likely to be “{titles.get(best, best)}”, its own answer {its}"
    nothing = why.get("no answer")
    return f"{said}; {float(nothing):.0%} that no answer fits." if isinstance(nothing, float) else f"{said}."
