"""One inbound message, from receipt to reply. Safety first; then the record; then the engine, in order."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from sqlalchemy import func
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint import logs, metrics
from needlepoint.conversations import record
from needlepoint.conversations.carried import compose, slots_to_keep, to_keep
from needlepoint.conversations.engine_client import EngineClient, EngineError, Parse
from needlepoint.conversations.journal import Journal, JournalEntry
from needlepoint.conversations.models import ASKED_BY_STAFF, Conversation
from needlepoint.conversations.recent import RecentMessages
from needlepoint.conversations.record import (
    HandedBackError,
    Known,
    Offered,
    Outcome,
    Taken,
    TooManyWaitingError,
    UnknownConversationError,
)
from needlepoint.conversations.staff_alerts import AlertTo
from needlepoint.conversations.urgent_thread import CLOSING_CHOICES, OpenThreads, UrgentThread
from needlepoint.db.base import now
from needlepoint.language import guess_language
from needlepoint.phrases import Phrases
from needlepoint.privacy.redaction import redact
from needlepoint.reply import START_SUITABILITY_CHECK, Choice, Reply, most_urgent
from needlepoint.safety import Assessment, SafetyRules, answered_yes, assess, clean_text
from needlepoint.safety_question import needs_no_question, safety_question, signs_question
from needlepoint.yes_or_no import asks, denies, read_answer

log = logging.getLogger(__name__)

#: Longest message anywhere, in characters.
LONGEST_MESSAGE = 4096

#: Levels that end the turn with the urgent card alone.
ENDS_THE_TURN = ("same_day", "emergency_now")

#: Seconds beyond the engine's deadline after which a message without outcome counts as abandoned.
LEASE_MARGIN = 4.0

#: How long a message that its channel keeps may be without outcome before it counts as abandoned: the channel brings it
#: again as soon as it notices that the process which had it is gone, and then it is answered after all.
KEPT_PATIENCE = timedelta(minutes=10)

#: Seconds an urgent reply may wait for being recorded; the recording goes on behind it.
URGENT_PATIENCE = 0.04

#: What calls a person's attention, by the effect that an action asks for.
ATTENTION = {
    "call_person": "wants_a_person",
    "unknown_value": "asked_for_a_value_not_set",
    "answer_withheld": "asked_for_a_withheld_answer",
}

#: From this probability on a message may describe a symptom, whatever intent is likelier.
MAYBE_A_SYMPTOM = 0.25

#: Events of the outbox that were just committed, for this process's open streams: conversation id.
Notify = Callable[[str], None]


class ConsentNeededError(PermissionError):
    """Nothing of a message is stored before the person agreed to the privacy notice."""


class Incoming(msgspec.Struct, frozen=True):
    """A message as a channel hands it over: authenticated, bounded, otherwise as it came.

    Exactly one of `text` and `choice` (the token of a pressed button) is given. `at` is the moment the question is
    about when it is not now, and is only ever set for staff.
    """

    conversation: str
    client_id: str
    consent: str | None
    language: str
    channel: str
    #: The conversation was opened while the database was away; it is stored with its first message.
    unrecorded: bool = False
    text: str | None = None
    choice: str | None = None
    #: What was sent instead of words (a picture, a voice message); `text` is then what stood below it.
    attachment: str | None = None
    #: Kinds of personal data that the channel masked before it kept the text.
    masked: tuple[str, ...] = ()
    #: The channel keeps the message and brings it again, so that nobody has to apologise for a database that is away.
    kept: bool = False
    at: datetime | None = None


class Received(msgspec.Struct, frozen=True):
    """What the person gets: `event_id` is None while the record could not be written."""

    message_id: str
    state: str
    event_id: int | None
    at: datetime
    reply: Reply | None
    #: The same message had come before; this is what it got then.
    repeated: bool = False

    @property
    def outcome(self) -> str:
        """What became of it, as metrics and logs call it: the kind of the reply, or the state where there was none."""
        if self.repeated:
            return "repeated"
        if self.state != "answered":
            return self.state
        return self.reply.kind if self.reply is not None else "with_staff"


class Rehearsed(msgspec.Struct, frozen=True):
    """What would have come: the reply, the entries its choices stand for, and why the engine could not say, if so."""

    reply: Reply
    offered: list[str]
    error: str | None


class Cards(msgspec.Struct, frozen=True):
    """Where urgent cards come from: entry ids and languages in, a card out. Needs neither database nor engine."""

    reply: Callable[[Sequence[str], Sequence[str]], Reply]


class Reception:
    """Takes messages in. Everything it needs is given to it; it reads no settings."""

    def __init__(
        self,
        *,
        database: AsyncEngine,
        engines: EngineClient,
        rules: SafetyRules,
        cards: Cards,
        phrases: Phrases,
        journal: Journal,
        deadline: float,
        provenance: Callable[[], dict[str, Any]],
        notify: Notify,
        alert_to: Sequence[AlertTo] = (),
    ) -> None:
        self._database = database
        self._engines = engines
        self._rules = rules
        self._cards = cards
        self._phrases = phrases
        self._journal = journal
        self._patience = timedelta(seconds=deadline + LEASE_MARGIN)
        self._provenance = provenance
        self._notify = notify
        self._alert_to = alert_to
        self._recent = RecentMessages()
        self._threads = OpenThreads()
        self._recordings: set[asyncio.Task[Any]] = set()

    async def receive(self, incoming: Incoming) -> Received:
        """Answer one message.

        Raises :class:`ConsentNeededError`, :class:`~needlepoint.conversations.record.UnknownConversationError` or
        :class:`~needlepoint.conversations.record.TooManyWaitingError`; never for what is in the text. Where the
        channel keeps the message, also what a database that is away raises.
        """
        began = time.perf_counter()
        outcome, urgency = "failed", "none"
        if not logs.REQUEST_ID.get():  # no HTTP request brought it
            logs.REQUEST_ID.set(logs.request_id())
        try:
            received = await self._receive(incoming)
            outcome, urgency = received.outcome, received.reply.urgency if received.reply else "none"
            return received
        except ConsentNeededError:
            outcome = "consent_needed"
            raise
        except (UnknownConversationError, TooManyWaitingError):
            outcome = "refused"
            raise
        finally:
            seconds = time.perf_counter() - began
            metrics.count_message(incoming.channel, outcome, urgency, seconds)
            about = {"outcome": outcome, "urgency": urgency, "channel": incoming.channel}
            log.info("a message has its outcome: %s", outcome, extra={**about, "ms": round(seconds * 1000)})

    async def _receive(self, incoming: Incoming) -> Received:
        text = clean_text(incoming.text or "")
        earlier = self._recent.before(incoming.conversation, incoming.client_id)
        assessment = assess(self._rules, text, earlier)
        masked = redact(text, self._phrases.clinic.country)
        kinds = list(dict.fromkeys([*incoming.masked, *masked.kinds]))
        if incoming.consent is not None and masked.text.strip():
            self._recent.add(incoming.conversation, incoming.client_id, masked.text)
        if assessment.level in ENDS_THE_TURN:
            return await self._urgent(incoming, _with_attachment(incoming, masked.text), kinds, assessment)
        if incoming.consent is None:
            raise ConsentNeededError
        assessed = assessment_data(assessment)
        try:
            chosen = await self._chosen(incoming) or await self._typed(incoming.conversation, masked.text)
            said = chosen.title if chosen else masked.text
            confirmed = answered_yes(self._rules, chosen.entry if chosen else "")
            if confirmed.level in ENDS_THE_TURN:
                return await self._urgent(incoming, said, kinds, confirmed)
            await self._open_if_unrecorded(incoming)
            taken = await record.accept(
                self._database,
                incoming.conversation,
                incoming.client_id,
                _with_attachment(incoming, said),
                incoming.choice,
                kinds,
                assessed,
                KEPT_PATIENCE if incoming.kept else self._patience,
            )
            if isinstance(taken, Known) and taken.state == "accepted" and incoming.kept:
                # Whoever had it brings it no more, or it would not come again.
                patience = KEPT_PATIENCE
                left = await record.take_up(self._database, incoming.conversation, incoming.client_id, patience)
                taken = left or taken
            if isinstance(taken, Known):
                return await self._again(incoming, taken)
            return await self._turn(incoming, said, chosen, assessment, taken)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            if incoming.kept:
                raise
            log.error("the database did not take a message: %s", type(error).__name__)
            reply = self._apology(incoming.language)
            self._keep(self._entry(incoming, masked.text, kinds, assessed, "apologised", reply))
            return Received(incoming.client_id, "apologised", None, now(), reply)

    async def rehearse(self, text: str, language: str, answers: str | None = None) -> Rehearsed:
        """What the first message of a new conversation would get, by all that decides on it: safety, engine, actions.

        Nothing is stored, nobody is told. With `answers` what stands in for the usual ones under that name is asked.
        """
        text = clean_text(text)
        assessment = assess(self._rules, text, [])
        masked = redact(text, self._phrases.clinic.country).text
        incoming = Incoming(
            conversation=record.new_id(), client_id=record.new_id(), consent="staff", language=language,
            channel=ASKED_BY_STAFF, text=masked,
        )  # fmt: skip
        if assessment.level in ENDS_THE_TURN:
            reply = self._urgent_reply(language, masked, UrgentThread.of(assessment))
            return Rehearsed(reply, [], None)
        new = record.State.of_new_conversation(now(), language)
        first = Taken(row=0, seq=1)
        outcome = await self._ask_engine(incoming, masked, None, assessment, first, new, time.perf_counter(), answers)
        assert outcome.reply is not None
        offered = [str(one["entry"]) for one in outcome.provenance.get("offered", [])]
        return Rehearsed(msgspec.convert(outcome.reply, Reply), offered, outcome.provenance.get("error"))

    def wake(self, conversation: str) -> None:
        """Something was sent to this conversation without a message: its open streams look."""
        self._notify(conversation)

    def is_urgent(self, text: str) -> bool:
        """Would this text by itself get the urgent card?"""
        return assess(self._rules, text, []).level in ENDS_THE_TURN

    def urgent_in(self, conversation: str, client_id: str, text: str) -> dict[str, Any] | None:
        """What the record would keep of this message's assessment if it gets the urgent card, else None.

        For channels that let messages wait in order: an urgent one must not.
        """
        assessment = assess(self._rules, clean_text(text), self._recent.before(conversation, client_id))
        return assessment_data(assessment) if assessment.level in ENDS_THE_TURN else None

    async def leads_to_card(self, conversation: str, choice: str) -> bool:
        """Does pressing this choice say that something urgent is there?"""
        chosen = await self._chosen_by(conversation, choice)
        return answered_yes(self._rules, chosen.entry).level in ENDS_THE_TURN

    async def urgent_again(self, language: str, assessed: dict[str, Any]) -> Reply:
        """The card for a message of which only the assessment is known: who sent it had not agreed to more.

        Staff are told, as of the message itself.
        """
        await record.alert_without_consent(self._database, assessed, now(), self._alert_to)
        return self._urgent_reply(language, "", UrgentThread.of_data(assessed))

    async def erase(self, conversation: str) -> None:
        """Delete a conversation and everything it holds. Raises UnknownConversationError when there is none."""
        self._recent.forget(conversation)
        self._threads.close(conversation)
        waiting = self._journal.forget(conversation)
        if not await record.erase(self._database, conversation) and not waiting:
            raise UnknownConversationError(conversation)
        self._notify(conversation)  # its open streams see that it is gone

    async def drain(self) -> None:
        """Wait until what is being recorded is recorded."""
        if self._recordings:
            await asyncio.gather(*self._recordings, return_exceptions=True)

    # -- urgent ------------------------------------------------------------------------------------------------

    async def _urgent(self, incoming: Incoming, text: str, redacted: list[str], assessment: Assessment) -> Received:
        thread = self._threads.join(incoming.conversation, UrgentThread.of(assessment))
        reply = self._urgent_reply(incoming.language, text, thread)
        at = now()
        recording = asyncio.create_task(self._record_urgent(incoming, text, redacted, assessment, thread, reply, at))
        self._recordings.add(recording)
        recording.add_done_callback(self._recordings.discard)
        done, _ = await asyncio.wait({recording}, timeout=URGENT_PATIENCE)
        event = recording.result() if done and recording.exception() is None else None
        return Received(incoming.client_id, "urgent", event, at, reply)

    def _urgent_reply(self, language: str, text: str, thread: UrgentThread) -> Reply:
        # In doubt both languages: a card that cannot be read helps nobody.
        guess = guess_language(text)
        languages = list(dict.fromkeys([guess or language, language]))
        return msgspec.structs.replace(
            self._cards.reply(thread.cards, languages),
            urgency=thread.level,
            findings=thread.findings,
            confidence=1.0,
            why={"safety": thread.level, "rules": sorted({rule for one in thread.findings for rule in one.rules})},
        )

    def _in_the_thread(
        self, incoming: Incoming, text: str, chosen: Offered | None, assessment: Assessment, thread: UrgentThread
    ) -> tuple[Reply, bool]:
        """The reply to what is said after an urgent card, and whether that ends the thread."""
        language = self._phrases.language(guess_language(text) or incoming.language)
        if assessment.over or (chosen is not None and chosen.entry in CLOSING_CHOICES):
            self._threads.close(incoming.conversation)
            self._recent.forget(incoming.conversation)
            closing = self._phrases.say("urgent_thread_over", language)
            return Reply(kind="smalltalk", topic="urgent", text=closing, why={"thread": "over"}), True
        card = self._urgent_reply(incoming.language, text, thread)
        choices = [Choice(self._phrases.say(name, language), token) for token, name in CLOSING_CHOICES.items()]
        return msgspec.structs.replace(card, text=self._phrases.say("urgent_thread", language), choices=choices), False

    async def _record_urgent(
        self,
        incoming: Incoming,
        text: str,
        redacted: list[str],
        assessment: Assessment,
        thread: UrgentThread,
        reply: Reply,
        at: datetime,
    ) -> int | None:
        """Record it, in the database or else in the journal; returns the event's number."""
        assessed = assessment_data(assessment)
        try:
            if incoming.consent is None:
                await record.alert_without_consent(self._database, assessed, at, self._alert_to)
                return None
            await self._open_if_unrecorded(incoming)
            try:
                known = await record.store_urgent(
                    self._database,
                    incoming.conversation,
                    incoming.client_id,
                    text,
                    incoming.choice,
                    redacted,
                    assessed,
                    msgspec.to_builtins(reply),
                    msgspec.to_builtins(thread),
                    at,
                    self._alert_to,
                    self._provenance(),
                )
            except UnknownConversationError:
                await record.alert_without_consent(self._database, assessed, at, self._alert_to)
                return None
        except Exception as error:
            log.error("an urgent message goes to the journal: %s", type(error).__name__)
            self._keep(self._entry(incoming, text, redacted, assessed, "urgent", reply))
            return None
        self._notify(incoming.conversation)
        return known.event

    def _keep(self, entry: JournalEntry) -> None:
        """Write to the journal. If even that fails the person still gets the reply; all we can do is say so loudly."""
        try:
            self._journal.write(entry)
        except OSError as error:
            log.critical("a message could be kept nowhere (%s): check disk space and rights of the var folder", error)

    # -- ordinary ----------------------------------------------------------------------------------------------

    async def _again(self, incoming: Incoming, known: Known) -> Received:
        """The reply that a repeated message id got, waiting for it where it is still being made."""
        pause = 0.02
        ends = time.monotonic() + self._patience.total_seconds() * record.MOST_WAITING
        while known.state == "accepted" and time.monotonic() < ends:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.25)
            found = await record.find(self._database, incoming.conversation, incoming.client_id)
            if found is None:
                raise UnknownConversationError(incoming.conversation)
            known = found
        return msgspec.structs.replace(_received(incoming, known), repeated=True)

    async def _open_if_unrecorded(self, incoming: Incoming) -> None:
        if incoming.unrecorded:
            with suppress(IntegrityError):  # it is there by now
                await record.start(
                    self._database, incoming.channel, incoming.language, incoming.consent, incoming.conversation
                )

    async def _turn(
        self, incoming: Incoming, text: str, chosen: Offered | None, assessment: Assessment, taken: Taken
    ) -> Received:
        await self._wait_for_turn(incoming.conversation, taken)
        started = time.perf_counter()
        state = await record.state_of(self._database, incoming.conversation)
        if state.urgent_thread is not None:
            thread = msgspec.convert(state.urgent_thread, UrgentThread)
            outcome = self._thread_outcome(incoming, text, chosen, assessment, thread, taken, state)
            if state.active_loop is not None and outcome.remember:
                go_on = Offered(START_SUITABILITY_CHECK, "")
                form = await self._ask_engine(incoming, text, go_on, assessment, taken, state, started)
                outcome = _with_the_form(outcome, form)
            if state.taken_by_id is not None:
                outcome = msgspec.structs.replace(outcome, remember={**outcome.remember, **self._promised()})
        elif state.taken_by_id is not None:
            outcome = self._left_to_staff(incoming, text, assessment, taken, state)
        else:
            outcome = await self._answered(incoming, text, chosen, assessment, taken, state, started)
        try:
            known = await self._commit(incoming, taken, state, outcome)
        except HandedBackError:
            outcome = await self._answered(incoming, text, chosen, assessment, taken, state, started)
            known = await self._commit(incoming, taken, state, outcome)
        if known is None:
            found = await record.find(self._database, incoming.conversation, incoming.client_id)
            if found is None:
                raise UnknownConversationError(incoming.conversation)
            return _received(incoming, found)
        self._notify(incoming.conversation)
        return _received(incoming, known)

    async def _answered(
        self,
        incoming: Incoming,
        text: str,
        chosen: Offered | None,
        assessment: Assessment,
        taken: Taken,
        state: record.State,
        started: float,
    ) -> Outcome:
        """What is committed for a message that the assistant answers."""
        if incoming.attachment is not None:
            return await self._attachment_outcome(incoming, text, assessment, taken, state, started)
        return await self._ask_engine(incoming, text, chosen, assessment, taken, state, started)

    async def _commit(self, incoming: Incoming, taken: Taken, state: record.State, outcome: Outcome) -> Known | None:
        turn_number = state.turn_number if outcome.state == "answered" else None
        return await record.commit(self._database, incoming.conversation, taken, turn_number, outcome)

    def _left_to_staff(
        self, incoming: Incoming, text: str, assessment: Assessment, taken: Taken, state: record.State
    ) -> Outcome:
        """What is committed for a message while a person of the clinic answers: it waits for them, the dialogue too.

        Safety does not pause: in doubt its question is asked all the same.
        """
        language = self._phrases.language(guess_language(text) or state.language)
        waits = Reply(kind="smalltalk", topic="human", text=self._phrases.say("staff_waiting", language))
        plain = msgspec.structs.replace(waits, kind="decline")
        said = self._asked_in_doubt(plain, assessment, state, language)
        if said is None and incoming.attachment is not None:  # staff cannot look at it either
            said = self._about_attachment(incoming.attachment, language)
        said = said or (None if state.told_waiting else waits)
        reply, offered = _with_tokens(said, taken.seq) if said else (None, [])
        return Outcome(
            state="answered",
            reply=msgspec.to_builtins(reply),
            provenance={**self._provenance(), "with_staff": True, "offered": offered},
            slots=state.slots,
            active_loop=state.active_loop,
            open_question=_yes_and_no(offered),
            remember={"told_waiting": state.told_waiting or not offered, **self._promised()},
            queues=["missed"] if offered else [],
            with_staff=True,
        )

    def _promised(self) -> dict[str, Any]:
        """The columns that say until when staff are to write; who waits already is not put off."""
        within = timedelta(minutes=self._phrases.clinic.staff_chat.answer_within)
        return {"answer_by": func.coalesce(Conversation.answer_by, now() + within)}

    def _thread_outcome(
        self,
        incoming: Incoming,
        text: str,
        chosen: Offered | None,
        assessment: Assessment,
        thread: UrgentThread,
        taken: Taken,
        state: record.State,
    ) -> Outcome:
        """What is committed for a message in an urgent thread; the dialogue stays where it was."""
        said, over = self._in_the_thread(incoming, text, chosen, assessment, thread)
        reply, offered = _with_tokens(said, taken.seq)
        disputed = chosen is not None and chosen.entry == "thread:not_now"
        return Outcome(
            state="answered",
            reply=msgspec.to_builtins(reply),
            provenance={**self._provenance(), "urgent_thread": "over" if over else "open", "offered": offered},
            slots=state.slots,
            active_loop=state.active_loop,
            open_question=[] if over else state.open_question,
            attention=["urgent_card_disputed"] if disputed else [],
            remember={"urgent_thread": None} if over else {},
        )

    async def _attachment_outcome(
        self,
        incoming: Incoming,
        text: str,
        assessment: Assessment,
        taken: Taken,
        state: record.State,
        started: float,
    ) -> Outcome:
        """What is committed for a picture and the like: that nobody looks at it, and one safety question.

        Where words came with it that have an answer, the answer takes the question's place.
        """
        language = self._phrases.language(guess_language(text) or state.language)
        assert incoming.attachment is not None
        if text.strip():
            outcome = await self._ask_engine(incoming, text, None, assessment, taken, state, started)
            said = outcome.reply or {}
            asked = said["kind"] == "clarify" and said["topic"] == "urgent"
            if asked or said["kind"] in ("answer", "form", "handover") or outcome.state != "answered":
                nobody_looks = self._phrases.say(f"attachment_{incoming.attachment}", language)
                return msgspec.structs.replace(
                    outcome, reply={**said, "text": f"{nobody_looks}\n\n{said['text']}".strip()}
                )
        reply, offered = _with_tokens(self._about_attachment(incoming.attachment, language), taken.seq)
        return Outcome(
            state="answered",
            reply=msgspec.to_builtins(reply),
            provenance={**self._provenance(), "attachment": incoming.attachment, "offered": offered},
            slots=state.slots,
            active_loop=state.active_loop,
            open_question=_yes_and_no(offered),
        )

    def _about_attachment(self, attachment: str, language: str) -> Reply:
        """That nobody looks at what was sent, and the one safety question after it."""
        question = signs_question(language, self._phrases)
        nobody_looks = self._phrases.say(f"attachment_{attachment}", language)
        return msgspec.structs.replace(question, text=f"{nobody_looks}\n\n{question.text}")

    async def _wait_for_turn(self, conversation: str, taken: Taken) -> None:
        pause = 0.01
        while not await record.is_next(self._database, conversation, taken.seq):
            await self.apologise_for_abandoned()
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    async def _ask_engine(
        self,
        incoming: Incoming,
        text: str,
        chosen: Offered | None,
        assessment: Assessment,
        taken: Taken,
        state: record.State,
        started: float,
        answers: str | None = None,
    ) -> Outcome:
        language = guess_language(text) or state.language
        try:
            turn = await self._engines.turn(
                incoming.conversation,
                incoming.client_id,
                text[:LONGEST_MESSAGE],  # masking can make it longer
                chosen.entry if chosen else None,
                compose(
                    state.created_at,
                    state.slots,
                    state.active_loop,
                    state.turns,
                    {
                        "language": self._phrases.language(language),
                        "safety_level": assessment.level,
                        "safety_cards": list(assessment.cards),
                        "open_question": state.open_question,
                        "asked_at": (incoming.at or now()).isoformat(),
                        "had": _times(state.had_from, state.had_until),
                        "booked": _times(state.booked_from, state.booked_until),
                        "about": state.about,
                    },
                ),
                answers,
            )
            said = turn.said()
            remember = _to_remember(said.effects)
        except EngineError as error:
            log.warning("a turn failed: %s", error)
            return Outcome(
                state="apologised",
                reply=msgspec.to_builtins(self._apology(state.language)),
                provenance={
                    **self._provenance(),
                    "error": error.code,
                    "latency_ms": _milliseconds(started),
                },
                attention=["engine_failure"],
            )
        # Who shows something asks about what is there now, however sure an answer in general is.
        shows = incoming.attachment is not None
        in_doubt = self._asked_in_doubt(said.reply, assessment, state, self._phrases.language(language), always=shows)
        reply, offered = _with_tokens(in_doubt or said.reply, taken.seq)
        reply = msgspec.structs.replace(reply, urgency=most_urgent([reply.urgency, assessment.level]))
        attention = [ATTENTION[kind] for effect in said.effects if (kind := effect.get("type")) in ATTENTION]
        if "wants_a_person" in attention and self._phrases.clinic.staff_chat.is_open(self._local_time()):
            reply = self._with_promise(reply, self._phrases.language(language))
            remember |= self._promised()
        if reply.topic == "urgent" and assessment.level == "none":
            attention.append("possibly_missed_urgent")
        return Outcome(
            state="answered",
            reply=msgspec.to_builtins(reply),
            events=to_keep(turn.events),
            provenance={
                **self._provenance(),
                "model": turn.model,
                "intent": turn.parse.intent,
                "intent_ranking": turn.parse.intent_ranking[:3],
                "entities": turn.parse.entities,
                "actions": turn.actions,
                "offered": offered,
                "treatment": {
                    "had": _times(state.had_from, state.had_until),
                    "booked": _times(state.booked_from, state.booked_until),
                },
                "latency_ms": _milliseconds(started),
            },
            queues=["missed"] if _sounds_ill(turn.parse, reply, assessment) else [],
            slots=slots_to_keep(turn.slots),
            active_loop=turn.active_loop,
            open_question=[one["entry"] for one in offered] if reply.kind == "clarify" else [],
            attention=attention,
            remember=remember,
        )

    def _local_time(self) -> datetime:
        return now().astimezone(self._phrases.clinic.zone)

    def _with_promise(self, reply: Reply, language: str) -> Reply:
        """The reply, and within how long somebody of the staff writes."""
        within = self._phrases.duration(self._phrases.clinic.staff_chat.answer_within / 60, language)
        promise = self._phrases.say("staff_promise", language, duration=within)
        return msgspec.structs.replace(reply, text=f"{reply.text}\n\n{promise}")

    def _asked_in_doubt(
        self, reply: Reply, assessment: Assessment, state: record.State, language: str, *, always: bool = False
    ) -> Reply | None:
        """The safety question in place of the engine's reply, where safety is in doubt and did not ask just now.

        With `always` also where the reply would leave no need for it.
        """
        if not assessment.doubt or reply.kind in ("form", "handover"):
            return None
        if not always and needs_no_question(reply, assessment):
            return None  # staff read it all the same (_sounds_ill)
        if self._is_safety_question(state.open_question):
            return None
        otherwise = reply.answers[0].entry_id if reply.kind == "answer" and len(reply.answers) == 1 else None
        why = {"in doubt about": assessment.doubt, "instead of": reply.kind}
        return safety_question(assessment.doubt, otherwise, language, self._phrases, reply.confidence, why)

    def _is_safety_question(self, open_question: Sequence[str]) -> bool:
        return bool(open_question) and answered_yes(self._rules, open_question[0]).level != "none"

    async def _chosen(self, incoming: Incoming) -> Offered | None:
        """What a pressed button offered. A token that offers nothing here stands for an entry that nobody has."""
        return None if incoming.choice is None else await self._chosen_by(incoming.conversation, incoming.choice)

    async def _chosen_by(self, conversation: str, choice: str) -> Offered:
        gone = Offered("unknown-choice", "")
        if not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,2}", choice):
            return gone
        seq, number = map(int, choice.split("."))
        choices = await record.offered(self._database, conversation, seq)
        return choices[number] if number < len(choices) else gone

    async def _typed(self, conversation: str, text: str) -> Offered | None:
        """The choice of a safety question that a typed "yes", "not sure" or "no" stands for."""
        said = read_answer(text)
        if said not in ("yes", "unsure", "no") or asks(text) or (said == "yes" and denies(text)):
            return None  # "no, but is it normal?" is a new question
        state = await record.state_of(self._database, conversation)
        if not self._is_safety_question(state.open_question) or state.urgent_thread is not None:
            return None
        card, otherwise = state.open_question
        return Offered(otherwise if said == "no" else card, text)

    def _apology(self, language: str) -> Reply:
        return Reply(kind="decline", topic="human", text=self._phrases.say("engine_apology", language))

    # -- when something was down --------------------------------------------------------------------------------

    async def apologise_for_abandoned(self) -> int:
        """Give the apology, once, to messages whose process died; returns how many."""
        count = 0
        for message in await record.abandoned(self._database, now()):
            outcome = Outcome(
                state="apologised",
                reply=msgspec.to_builtins(self._apology(message.language)),
                provenance={**self._provenance(), "error": "abandoned"},
                attention=["engine_failure"],
            )
            taken = Taken(message.row, message.seq)
            if await record.commit(self._database, message.conversation, taken, None, outcome):
                self._notify(message.conversation)
                count += 1
        return count

    async def replay_journal(self) -> int:
        """Bring what the journal holds into the database; returns how many entries.

        An entry that the database refuses for what it says is set aside, so that it does not hold up the others; that
        the database is away ends the round (raises what the database raises).
        """
        count = 0
        for file, entry in self._journal.entries():
            try:
                await self._replay(entry)
            except (OperationalError, OSError, TimeoutError):
                raise
            except UnknownConversationError:
                log.warning("a journal entry belongs to a conversation that was erased; it is dropped")
            except Exception as error:
                log.error("journal entry %s was refused (%s) and is set aside", file.name, type(error).__name__)
                file.rename(file.with_suffix(".refused"))
                continue
            file.unlink(missing_ok=True)
            count += 1
        return count

    async def _replay(self, entry: JournalEntry) -> None:
        if entry.conversation is None:
            await record.alert_without_consent(self._database, entry.assessment, entry.at, self._alert_to)
            return
        if entry.opening is not None:
            with suppress(IntegrityError):  # it is there by now
                await record.start(self._database, *entry.opening, entry.conversation)
        kept = (
            self._database,
            entry.conversation,
            entry.client_id,
            entry.text,
            entry.choice,
            entry.redacted,
            entry.assessment,
            entry.reply,
        )
        if entry.state == "urgent":
            thread = msgspec.to_builtins(UrgentThread.of_data(entry.assessment))
            await record.store_urgent(*kept, thread, entry.at, self._alert_to)
        else:
            await record.store_apologised(*kept, entry.at)
        self._notify(entry.conversation)

    def _entry(
        self,
        incoming: Incoming,
        text: str,
        redacted: list[str],
        assessed: dict[str, Any],
        state: Any,
        reply: Reply,
    ) -> JournalEntry:
        agreed = incoming.consent is not None
        return JournalEntry(
            at=now(),
            conversation=incoming.conversation if agreed else None,
            client_id=incoming.client_id if agreed else "",
            text=text if agreed else "",
            choice=incoming.choice if agreed else None,
            redacted=redacted if agreed else [],
            assessment=assessed,
            state=state,
            reply=msgspec.to_builtins(reply) if agreed else {},
            opening=(incoming.channel, incoming.language, incoming.consent) if incoming.unrecorded else None,
        )


def _sounds_ill(parse: Parse, reply: Reply, assessment: Assessment) -> bool:
    """Did somebody describe a symptom and get an ordinary reply, without any level of safety? Staff read that."""
    if assessment.level != "none" or reply.kind not in ("answer", "clarify", "decline") or reply.topic == "urgent":
        return False
    likely = [
        parse.intent or {},
        *(one for one in parse.intent_ranking if one.get("confidence", 0.0) >= MAYBE_A_SYMPTOM),
    ]
    return bool(assessment.doubt) or any(one.get("name") == "report_symptom" for one in likely)


def assessment_data(assessment: Assessment) -> dict[str, Any]:
    """What the record keeps of an assessment: no words of the message, only where the evidence stood."""
    return {
        "level": assessment.level,
        "findings": [
            {"id": finding.id, "level": finding.level, "rules": list(finding.rules)} for finding in assessment.findings
        ],
        "cards": list(assessment.cards),
        "rules_version": assessment.rules_version,
    }


def _with_attachment(incoming: Incoming, text: str) -> str:
    """What staff read of a message: what was sent, in square brackets, and the words below it."""
    return f"[{incoming.attachment}] {text}".strip() if incoming.attachment else text


def _received(incoming: Incoming, known: Known) -> Received:
    reply = None if known.reply is None else msgspec.convert(known.reply, Reply)
    return Received(incoming.client_id, known.state, known.event, known.at, reply)


def _with_the_form(closing: Outcome, form: Outcome) -> Outcome:
    """The end of an urgent thread, with the open question of the form that the red flag interrupted below it.

    Where the engine could not ask it, the closing words stand alone.
    """
    if form.state != "answered" or form.reply is None or closing.reply is None:
        return closing
    reply = {**form.reply, "text": f"{closing.reply['text']}\n\n{form.reply['text']}"}
    provenance = {**form.provenance, "urgent_thread": "over"}
    return msgspec.structs.replace(form, reply=reply, provenance=provenance, remember=form.remember | closing.remember)


def _with_tokens(reply: Reply, seq: int) -> tuple[Reply, list[dict[str, str]]]:
    """The reply with its choices' entry ids replaced by tokens that mean something in this conversation only."""
    offered = [{"entry": choice.token, "title": choice.title} for choice in reply.choices]
    choices = [Choice(choice.title, f"{seq}.{number}") for number, choice in enumerate(reply.choices)]
    return msgspec.structs.replace(reply, choices=choices), offered


def _yes_and_no(offered: list[dict[str, str]]) -> list[str]:
    """What a typed "yes" or "no" to a safety question stands for; a "yes" that names no sign is that of the gravest."""
    return [offered[0]["entry"], offered[-1]["entry"]] if offered else []


class _Remember(msgspec.Struct, frozen=True):
    """What an action asks to remember: spans of time as [from, until], and the entry it answered."""

    had: tuple[datetime, datetime] | None = None
    booked: tuple[datetime, datetime] | None = None
    about: str | None = None
    forget: list[Literal["had", "booked"]] = []


def _to_remember(effects: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns that the effects of type `remember` ask for. Raises EngineError where one is nonsense."""
    columns: dict[str, Any] = {}
    for effect in effects:
        if effect.get("type") != "remember":
            continue
        try:
            asked = msgspec.convert(effect, _Remember)
        except msgspec.ValidationError as error:
            raise EngineError("nonsense", str(error)) from None
        for name in asked.forget:
            columns |= {f"{name}_from": None, f"{name}_until": None}
        for name, span in (("had", asked.had), ("booked", asked.booked)):
            if span is not None:
                columns |= {f"{name}_from": span[0], f"{name}_until": span[1]}
        if asked.about is not None:
            columns["about"] = asked.about
    return columns


def _times(start: datetime | None, end: datetime | None) -> list[str] | None:
    return [start.isoformat(), end.isoformat()] if start is not None and end is not None else None


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
