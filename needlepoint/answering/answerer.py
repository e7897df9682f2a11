"""Choosing the one Reply: an approved answer, a clarifying question, or an honest "I don't know"."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from needlepoint.answering.day_plan import plan_of_the_day
from needlepoint.answering.question import Question, topic_probabilities
from needlepoint.answering.ranking import Candidate, Clues, Numbers, Ranked, Ranker
from needlepoint.answering.spans_of_time import Span
from needlepoint.answering.timeline import Timeline, day_number, read_timeline, says_only, says_only_when
from needlepoint.answering.windows import Told, full_hour, tell
from needlepoint.faq.published import PublishedEntry, in_language
from needlepoint.faq.search import Hit, SearchIndex
from needlepoint.phrases import Phrases
from needlepoint.reply import NOT_URGENT, START_SUITABILITY_CHECK, Answer, Choice, Reply, most_urgent
from needlepoint.safety_question import safety_question
from needlepoint.yes_or_no import asks


class Answered(msgspec.Struct, frozen=True):
    """The Reply, and plain requests to the app ("a person is wanted")."""

    reply: Reply
    effects: list[dict[str, Any]] = []
    #: Entries that the question may have been about instead, to be offered to who says so.
    instead: list[str] = []


#: A similarity from which a question is a stored wording, whatever else speaks for or against it.
SAME_WORDS = 0.95

#: Probability of the intents "what can I do today?" and "where are you?" from which they are answered as such.
TODAY_FROM, CLINIC_FROM = 0.35, 0.5

#: Least confidence of each of two answers that are given to one message.
TWO_FROM = 0.8

#: Probability from which an entry is given to who says that none of the signs of an urgent matter is there.
OTHERWISE_FROM = 0.2

#: What `about` holds after "what can I do today?".
TODAY = "today"

_SMALLTALK = ("chitchat_greet", "chitchat_goodbye", "chitchat_thanks", "chitchat_bot", "chitchat_feeling")


class Answerer:
    """Answers questions from one revision of the published answers. Pure: same question, same Reply."""

    def __init__(self, index: SearchIndex, phrases: Phrases, ranker: Ranker) -> None:
        self.index = index
        self.phrases = phrases
        self.ranker = ranker
        self._by_id = {entry.id: entry for entry in index.published.entries}

    def entry(self, entry_id: str) -> PublishedEntry | None:
        """The entry that may be given under this id, if any."""
        return self._by_id.get(entry_id)

    def answer(self, question: Question) -> Answered:
        """The Reply to a question about needling, or to one that turns out not to be."""
        timeline = self._timeline(question)
        answered = self._with_card(self._answer(question, timeline), question)
        return self._with_time(answered, question, timeline) if timeline.news or timeline.moved else answered

    def _answer(self, question: Question, timeline: Timeline) -> Answered:
        if question.choice is not None:
            return self._chosen(question, timeline)
        if says_only_when(question.text, question.days) and not self.index.published.withdrawn:
            return self._only_when(question, timeline)
        if question.about and question.treatment_words and says_only(question.text, question.treatment_words):
            return self._only_treatment(question, timeline)
        ranked = self.rank(question, timeline)
        candidates = ranked.candidates
        if self.index.published.withdrawn:
            candidates = [one for one in candidates if one.entry.topic == "urgent"]
        if not candidates:
            return Answered(self._decline(question, 0.0, {"reason": "nothing may be given"}))
        stored = max(candidates, key=lambda one: one.hit.similarity)
        same_words = stored.hit.similarity >= SAME_WORDS
        if not same_words and question.intents.get("ask_today", 0.0) >= TODAY_FROM:
            return self._today(question, timeline)
        if not same_words and question.intents.get("ask_clinic", 0.0) >= CLINIC_FROM:
            return self._clinic_details(question)
        if same_words:
            answered = self._stored(stored, ranked, question, timeline)
        else:
            answered = self._by_likelihood(ranked, candidates, question, timeline)
        return msgspec.structs.replace(answered, instead=self._instead(candidates, answered.reply))

    def _by_likelihood(
        self, ranked: Ranked, candidates: list[Candidate], question: Question, timeline: Timeline
    ) -> Answered:
        """An answer where one is likely enough, a question where a few are, else an honest "I don't know"."""
        best, weights, why = candidates[0], self.ranker.weights, self._why(ranked, question)
        if ranked.elsewhere >= weights.decline_from and (_asks(question.text) or not timeline.news):
            return Answered(self._decline(question, best.probability, why))
        confidence = _confidence(candidates, question)
        two = self._two(question, timeline)
        if two and (confidence < weights.answer_from or best.entry in [one.entry for one in two]):
            return self._give_both(two, question, timeline, why)
        if best.entry.topic == "urgent" and best.probability >= weights.answer_from:
            return Answered(self._ask_about_safety(best.entry, candidates, question, confidence, why))
        if confidence >= weights.answer_from:
            return self._give(self._usual_variant(best.entry, question), question, timeline, confidence, why)
        if timeline.news and not _asks(question.text):
            return self._noted(question, timeline)
        likely = sum(one.probability for one in candidates[:3])
        offered = [one.entry for one in candidates if _is_ordinary(one.entry)][:3]
        if likely >= weights.clarify_from and offered and not question.remembered.get("open_question"):
            return Answered(self._clarify(offered, question, confidence, why))
        return Answered(self._decline(question, confidence, why))

    def _stored(self, stored: Candidate, ranked: Ranked, question: Question, timeline: Timeline) -> Answered:
        """The answer to a question in the very words of a stored wording."""
        why = self._why(ranked, question) | {"stored wording": stored.hit.wording}
        if stored.entry.level is not None:
            return Answered(self._card(stored.entry, question, why))
        # Stored words that name a treatment are about that one, whatever else they mention.
        named = bool(question.entities.get("treatment"))
        return self._give(stored.entry, question, timeline, 1.0, why, as_it_is=named)

    def small_talk(self, question: Question) -> Answered:
        """A short human word, unless the message asks something that is surely known ("hi, does it hurt?")."""
        candidates = self.rank(question, self._timeline(question)).candidates
        sure = bool(candidates) and candidates[0].probability >= self.ranker.weights.answer_from
        asks_something = sure and len(question.text.split()) > 3
        if asks_something or says_only_when(question.text, question.days):
            return self.answer(question)
        intent = max(_SMALLTALK, key=lambda name: question.intents.get(name, 0.0))
        return Answered(
            Reply(
                kind="smalltalk",
                topic="chitchat",
                text=self.phrases.say(intent, question.language),
                confidence=question.intents.get(intent, 0.0),
                why={"intent": intent},
            )
        )

    def other_answers(self, question: Question) -> Answered:
        """For "that's not what I asked": what else the question before may have been about.

        Who says along with it what they meant is answered.
        """
        timeline = self._timeline(question)
        best = next(iter(self.rank(question, timeline).candidates), None)
        says_what = best is not None and best.entry.id != question.about and best.probability >= TWO_FROM
        if says_what or question.treatment_words or timeline.news:
            return self.answer(question)
        entries = [self.entry(entry_id) for entry_id in question.remembered.get("instead") or []]
        offered = [entry for entry in entries if entry is not None and _is_ordinary(entry)]
        confidence = question.intents.get("not_my_question", 0.0)
        why: dict[str, object] = {"intent": "not_my_question"}
        if offered and not self.index.published.withdrawn:
            reply = self._clarify(offered, question, confidence, why)
            return Answered(msgspec.structs.replace(reply, text=self.phrases.say("other_answers", question.language)))
        text = self.phrases.say("no_other_answers", question.language)
        return Answered(Reply("decline", "out_of_scope", text=text, confidence=confidence, why=why))

    def hand_over(self, question: Question) -> Answered:
        """The promise that staff will see it; the app marks the conversation."""
        reply = Reply(
            kind="handover",
            topic="human",
            text=self.phrases.say("hand_over", question.language),
            confidence=question.intents.get("ask_human"),
            why={"intent": "ask_human"},
        )
        return Answered(reply, [{"type": "call_person"}])

    def rank(self, question: Question, timeline: Timeline) -> Ranked:
        """All entries for the question, likeliest first."""
        return self.ranker.rank(self._clues(question, timeline)) if question.vector is not None else Ranked([], 1.0)

    def evidence(self, question: Question) -> tuple[list[Hit], Numbers, Numbers]:
        """What speaks for each entry and for there being none, as :meth:`Ranker.evidence` gives it."""
        return self.ranker.evidence(self._clues(question, self._timeline(question)))

    def _clues(self, question: Question, timeline: Timeline) -> Clues:
        assert question.vector is not None
        return Clues(
            text=question.text,
            vector=question.vector,
            topics=topic_probabilities(question.intents),
            out_of_scope=question.intents.get("out_of_scope", 0.0),
            treatments=question.treatments,
            side=timeline.side(question.text),
            about=self.entry(question.about or ""),
        )

    def _two(self, question: Question, timeline: Timeline) -> list[Candidate]:
        """The entries that two questions of one message are surely about, in their order; else nothing."""
        found: dict[str, Candidate] = {}
        whole = self._clues(question, timeline)
        for part in question.parts:
            # What the intent is of the whole message says little about its parts.
            clues = msgspec.structs.replace(
                whole, text=part.text, vector=part.vector, topics={}, out_of_scope=0.0, about=None
            )
            best = next(iter(self.ranker.rank(clues).candidates), None)
            if best is None or best.entry.topic == "urgent" or best.entry.withheld:
                continue
            if best.probability >= max(TWO_FROM, self.ranker.weights.answer_from):
                found.setdefault(best.entry.variant_group or best.entry.id, best)
        return list(found.values())[:2] if len(found) > 1 else []

    def _give_both(
        self, two: list[Candidate], question: Question, timeline: Timeline, why: dict[str, object]
    ) -> Answered:
        """Two answers in one Reply."""
        given = [
            self._give(self._usual_variant(one.entry, question), question, timeline, one.probability, why)
            for one in two
        ]
        first, second = (answered.reply for answered in given)
        both = [*first.answers, *second.answers]
        if len({answer.entry_id for answer in both}) < len(both):
            return given[0]
        reply = msgspec.structs.replace(
            first,
            text="\n\n".join(dict.fromkeys(text for text in (first.text, second.text) if text)),
            answers=both,
            choices=list(dict.fromkeys([*first.choices, *second.choices])),
            urgency=most_urgent([first.urgency, second.urgency]),
            confidence=min(one.probability for one in two),
            why=why | {"two questions": [one.entry.id for one in two]},
        )
        effects = [effect for answered in reversed(given) for effect in answered.effects]
        return Answered(reply, effects)

    def _instead(self, candidates: list[Candidate], reply: Reply) -> list[str]:
        """The entries nearest in meaning to the question beside those of an answer that is given and their variants,
        which have buttons of their own. Behind the likeliest entry the probabilities are too small to say much."""
        given = {answer.entry_id for answer in reply.answers}
        groups = {self._by_id[one].variant_group for one in given} - {None}
        others = [
            one.hit
            for one in candidates
            if _is_ordinary(one.entry) and one.entry.id not in given and one.entry.variant_group not in groups
        ]
        nearest = sorted(others, key=lambda hit: -hit.meaning_of_three)
        return [hit.entry.id for hit in nearest[:3]] if given else []

    def _why(self, ranked: Ranked, question: Question) -> dict[str, object]:
        return {
            "nearest wording": ranked.candidates[0].hit.wording,
            "candidates": [
                {"entry": one.entry.id, "probability": round(one.probability, 3)} | one.evidence
                for one in ranked.candidates[:3]
            ],
            "no answer": round(ranked.elsewhere, 3),
            "treatment": ", ".join(question.treatments) or "not named",
        }

    def _chosen(self, question: Question, timeline: Timeline) -> Answered:
        if question.choice == NOT_URGENT:
            text = self.phrases.say("safety_not_urgent", question.language)
            return Answered(Reply(kind="smalltalk", topic="chitchat", text=text, why={"choice": NOT_URGENT}))
        entry = self.entry(question.choice or "")
        if entry is None or self.index.published.withdrawn:
            expired = self.phrases.say("choice_expired", question.language)
            return Answered(
                Reply(kind="decline", topic="out_of_scope", text=expired, confidence=0.0, why={"choice": "expired"})
            )
        return self._give(entry, question, timeline, 1.0, {"chosen": entry.id}, chosen=True)

    def _give(
        self,
        entry: PublishedEntry,
        question: Question,
        timeline: Timeline,
        confidence: float,
        why: dict[str, object],
        chosen: bool = False,
        as_it_is: bool = False,
    ) -> Answered:
        """The entry's answer, or that of its variant for the person's treatment, with what it means for their day."""
        treatments = question.treatments
        if not chosen and not as_it_is:
            entry = self._variant(entry, treatments)
        if entry.withheld:
            return self._withheld(entry, question, confidence, why)
        given = self.spoken(entry, question.language)
        lead = []
        if given.language != question.language:
            lead.append(self.phrases.say("answer_in_english", question.language))
        lead += self._not_offered(entry, treatments, question.language)
        unset = self._unset(entry, given.language)
        if unset:
            lead.append(self.phrases.say("unknown_value", question.language))
        told = self._in_time(entry, given.language, treatments, timeline, question.language)
        if told is not None:
            given = msgspec.structs.replace(given, in_your_case=told.text)
        urgency = most_urgent([question.safety_level, "contact_clinic" if told and told.contact_clinic else None])
        reply = Reply(
            kind="answer",
            topic=entry.topic,  # type: ignore[arg-type]
            text="\n\n".join(lead),
            answers=[given],
            choices=[
                *([] if treatments or chosen else self._other_treatments(entry, question.language)),
                *self._suitability_check(entry, question.language),
            ],
            urgency=urgency,
            confidence=confidence,
            why=why | ({"window": told.state} if told else {}),
        )
        effects: list[dict[str, Any]] = [{"type": "remember", "about": entry.id}]
        return Answered(reply, effects + ([{"type": "unknown_value", "names": unset}] if unset else []))

    def _withheld(
        self, entry: PublishedEntry, question: Question, confidence: float, why: dict[str, object]
    ) -> Answered:
        """For an answer that was withdrawn, ran out or awaits approval: the clinic has to answer this itself."""
        reply = Reply(
            kind="decline",
            topic=entry.topic,  # type: ignore[arg-type]
            text=self.phrases.say("answer_withheld", question.language),
            confidence=confidence,
            why=why | {"withheld": entry.id},
        )
        return Answered(reply, [{"type": "answer_withheld", "entry": entry.id}])

    def _not_offered(self, entry: PublishedEntry, treatments: list[str], language: str) -> list[str]:
        """A word that the clinic does not offer what the person, or else the answer, is about."""
        offered = {*self.phrases.clinic.treatments, "any"}
        meant = [one for one in treatments if one in entry.treatments] or entry.treatments
        if not self.phrases.clinic.treatments or offered & set(meant):
            return []
        named = self.phrases.treatments(meant, language)
        return [self.phrases.say("treatment_not_offered", language, treatment=named)]

    def _unset(self, entry: PublishedEntry, language: str) -> list[str]:
        """The clinic's values that the answer names although they are not set; staff hear that somebody asked."""
        answer = entry.answers[language]
        return self.phrases.unset(f"{answer.text} {answer.when_to_contact or ''}")

    def _clinic_details(self, question: Question) -> Answered:
        unset = self.phrases.unset(self.phrases.text("clinic_details", question.language))
        text = [self.phrases.say("clinic_details", question.language)]
        text += [self.phrases.say("unknown_value", question.language)] * bool(unset)
        reply = Reply(
            kind="answer",
            topic="cost_booking",
            text="\n\n".join(text),
            confidence=question.intents.get("ask_clinic"),
            why={"from": "clinic.toml"},
        )
        return Answered(reply, [{"type": "unknown_value", "names": unset}] if unset else [])

    def _variant(self, entry: PublishedEntry, treatments: list[str]) -> PublishedEntry:
        """The entry that answers the same question for the person's treatment, if there is one."""
        if entry.variant_group is None or not treatments or "any" in entry.treatments:
            return entry
        # "RF needling" names both; plain needling is then only the word for it.
        meant = [one for one in treatments if one != "clinic_microneedling"] or treatments
        if len(meant) > 1:
            # Of two treatments at once the one whose windows are longer decides.
            theirs = [one for one in self._group(entry) if set(meant) & set(one.treatments)]
            return max(theirs, key=lambda one: (_longest_window(one), one is entry), default=entry)
        if set(meant) & set(entry.treatments):
            return entry
        return next((one for one in self._group(entry) if set(meant) & set(one.treatments)), entry)

    def _group(self, entry: PublishedEntry) -> list[PublishedEntry]:
        """The entries that answer the same question for different treatments, this one among them."""
        if entry.variant_group is None:
            return [entry]
        return [one for one in self.index.published.entries if one.variant_group == entry.variant_group]

    def _usual_variant(self, entry: PublishedEntry, question: Question) -> PublishedEntry:
        """Where nobody has spoken of RF or PRP, the clinic's own needling is meant; the others are offered with it."""
        if question.treatments or not set(entry.treatments) <= {"rf_microneedling", "prp"}:
            return entry
        return self._variant(entry, ["clinic_microneedling"])

    def _other_treatments(self, entry: PublishedEntry, language: str) -> list[Choice]:
        """The same question for other treatments, offered where nobody has said which one it was."""
        others = [one for one in self._group(entry) if one.id != entry.id]
        return [Choice(self.spoken(one, language).question, one.id) for one in others[:3]]

    def _suitability_check(self, entry: PublishedEntry, language: str) -> list[Choice]:
        """The offer of the whole check, beside an answer about one point of it."""
        if entry.topic != "suitability":
            return []
        return [Choice(self.phrases.say("check_start", language), START_SUITABILITY_CHECK)]

    def _in_time(
        self, entry: PublishedEntry, spoken: str, treatments: list[str], timeline: Timeline, language: str
    ) -> Told | None:
        """What the answer's windows mean for the person's day, or that it has none for their treatment."""
        windows = entry.timing.get(spoken, [])
        if windows and treatments and not {"any", *treatments} & set(entry.treatments):
            text = self.phrases.say(
                "time_no_window",
                language,
                treatments=self.phrases.treatments(entry.treatments, language),
                treatment=self.phrases.treatments(treatments, language),
            )
            return Told("not_begun", text)
        told = [one for timing in windows if (one := tell(timing, timeline, self.phrases, language)) is not None]
        if not told:
            return None
        return Told(told[0].state, "\n\n".join(one.text for one in told), any(one.contact_clinic for one in told))

    def _with_card(self, answered: Answered, question: Question) -> Answered:
        """Safety's `contact_clinic` accompanies the answer: with its card where there is one, and takes its place
        where nothing was understood."""
        if question.safety_level != "contact_clinic":
            return answered
        reply = answered.reply
        card = next((entry for one in question.safety_cards if (entry := self.entry(one)) is not None), None)
        if card is None:
            note = self.phrases.say("contact_clinic_note", question.language)
            text = "\n\n".join(part for part in (note, reply.text) if part)
            return msgspec.structs.replace(answered, reply=msgspec.structs.replace(reply, text=text))
        spoken = self.spoken(card, question.language)
        if reply.kind == "answer":
            reply = msgspec.structs.replace(reply, answers=[spoken, *reply.answers][:2])
        elif reply.kind != "form":
            reply = msgspec.structs.replace(
                reply, kind="answer", topic="urgent", text="", answers=[spoken], choices=[], urgency="contact_clinic"
            )
        return msgspec.structs.replace(answered, reply=reply)

    # -- time ------------------------------------------------------------------------------------------------------

    def _timeline(self, question: Question) -> Timeline:
        zone = self.phrases.clinic.zone
        moment = (question.asked_at or datetime.now(UTC)).astimezone(zone)

        def span(known: tuple[datetime, datetime] | None) -> Span | None:
            return None if known is None else Span(known[0].astimezone(zone), known[1].astimezone(zone))

        return read_timeline(question.text, question.days, moment, span(question.had), span(question.booked))

    def _with_time(self, answered: Answered, question: Question, timeline: Timeline) -> Answered:
        """Show the day that was understood, once, and have the conversation remember it."""
        remember: dict[str, Any] = {"type": "remember"}
        if timeline.moved and timeline.had is not None:
            remember["had"] = [timeline.had.start.isoformat(), timeline.had.end.isoformat()]
            remember["forget"] = ["booked"]
        lines = []
        for which in timeline.news:
            span = timeline.had if which == "had" else timeline.booked
            assert span is not None
            remember[which] = [span.start.isoformat(), span.end.isoformat()]
            if (span.start, span.end) != (question.had if which == "had" else question.booked):
                lines.append(self._day_understood(which, span, timeline, question.language))
        text = "\n\n".join(part for part in [*lines, answered.reply.text] if part)
        reply = msgspec.structs.replace(answered.reply, text=text)
        return msgspec.structs.replace(answered, reply=reply, effects=[*answered.effects, remember])

    def _day_understood(self, which: str, span: Span, timeline: Timeline, language: str) -> str:
        first = span.start.date()
        last = (span.end - timedelta(microseconds=1)).date() if span.end > span.start else first
        day = self.phrases.date(first, language, timeline.now.date())
        if span.start == span.end:
            day = self.phrases.moment(full_hour(span.start, later=False), language, timeline.now)
        elif last != first:
            day = f"{day} – {self.phrases.date(last, language, timeline.now.date())}"
        if which == "booked":
            return self.phrases.say("time_booked", language, day=day)
        number = day_number(span, timeline.now)
        key = "time_had" if number else "time_had_today"
        return self.phrases.say(key, language, day=day, duration=str(number))

    def _only_when(self, question: Question, timeline: Timeline) -> Answered:
        """The answer to "when was it?", or a corrected day: what was asked last is answered for it."""
        about = self.entry(question.about or "")
        if not timeline.news:
            return Answered(self._ask_when(question))
        if question.about == TODAY:
            return self._today(question, timeline)
        phase = "after" if "had" in timeline.news else "before"
        if about is not None and any(t.phase == phase for windows in about.timing.values() for t in windows):
            return self._give(about, question, timeline, 1.0, {"day told for": about.id})
        return self._noted(question, timeline)

    def _noted(self, question: Question, timeline: Timeline) -> Answered:
        """The day is kept, and the person may ask."""
        return Answered(
            Reply(
                kind="form",
                topic="aftercare" if "had" in timeline.news else "preparation",
                text=self.phrases.say("time_noted", question.language),
                confidence=1.0,
                why={"only told when": list(timeline.news)},
            )
        )

    def _only_treatment(self, question: Question, timeline: Timeline) -> Answered:
        """The answer to "which treatment was it?": what was asked last is answered for it."""
        about = self.entry(question.about or "")
        if question.about == TODAY or about is None:
            return self._today(question, timeline)
        return self._give(about, question, timeline, 1.0, {"treatment told for": about.id})

    def _ask_when(self, question: Question) -> Reply:
        return Reply(
            kind="form",
            topic="aftercare",
            text=self.phrases.say("time_ask_when", question.language),
            confidence=question.intents.get("ask_today"),
            why={"asked": "when"},
        )

    def _today(self, question: Question, timeline: Timeline) -> Answered:
        """ "What can I do today?" """
        remember = [{"type": "remember", "about": TODAY}]
        if timeline.had is None and timeline.booked is None:
            return Answered(self._ask_when(question), remember)
        told = question.treatments
        treatments = told or ["clinic_microneedling"]
        plan = plan_of_the_day(self.index.published.entries, treatments, timeline, self.phrases, question.language)
        whose = self.phrases.say(
            "today_treatment" if told else "today_assumed",
            question.language,
            treatments=self.phrases.treatments(treatments, question.language),
        )
        reply = Reply(
            kind="answer",
            topic="preparation" if timeline.had is None else "aftercare",
            text=f"{whose}\n\n{plan.text}",
            urgency=most_urgent([question.safety_level]),
            confidence=max(question.intents.get("ask_today", 0.0), 0.5),
            why={"windows of": plan.sources},
        )
        return Answered(reply, remember)

    def spoken(self, entry: PublishedEntry, language: str) -> Answer:
        """The entry's answer in `language`, or in one it has, with the clinic's values filled in."""
        answer = in_language(entry.answers, language)
        return msgspec.structs.replace(
            answer,
            text=self.phrases.fill(answer.text, answer.language),
            when_to_contact=(
                self.phrases.fill(answer.when_to_contact, answer.language) if answer.when_to_contact else None
            ),
        )

    def _clarify(
        self, offered: list[PublishedEntry], question: Question, confidence: float, why: dict[str, object]
    ) -> Reply:
        return Reply(
            kind="clarify",
            topic=offered[0].topic,  # type: ignore[arg-type]
            text=self.phrases.say("clarify", question.language),
            # The app replaces the entry ids by opaque tokens before anybody sees them.
            choices=[Choice(self.spoken(entry, question.language).question, entry.id) for entry in offered],
            confidence=confidence,
            why=why,
        )

    def _card(self, entry: PublishedEntry, question: Question, why: dict[str, object]) -> Reply:
        """A card for words that are stored as its own, although no rule of safety knew them."""
        contact = entry.level == "contact_clinic"
        return Reply(
            kind="answer" if contact else "urgent",
            topic="urgent",
            answers=[self.spoken(entry, question.language)],
            urgency=most_urgent([entry.level]),
            confidence=1.0,
            why=why,
        )

    def _ask_about_safety(
        self,
        card: PublishedEntry,
        candidates: list[Candidate],
        question: Question,
        confidence: float,
        why: dict[str, object],
    ) -> Reply:
        """For words that are like an urgent matter although safety saw nothing in them.

        Search cannot see a "no" or an "if", so it must not raise an alarm; answering the nearest topic instead would
        be as wrong.
        """
        others = (one.entry.id for one in candidates if one.probability >= OTHERWISE_FROM and _is_ordinary(one.entry))
        return safety_question(card.id, next(others, None), question.language, self.phrases, confidence, why)

    def _decline(self, question: Question, confidence: float, why: dict[str, object]) -> Reply:
        outside = question.intents.get("out_of_scope", 0.0) >= 0.5
        return Reply(
            kind="decline",
            topic="out_of_scope",
            text=self.phrases.say("out_of_scope" if outside else "decline", question.language),
            confidence=confidence,
            why=why,
        )


def _is_ordinary(entry: PublishedEntry) -> bool:
    """May it be offered or given as an answer? Urgent cards are safety's."""
    return entry.topic != "urgent" and not entry.withheld


def _confidence(candidates: list[Candidate], question: Question) -> float:
    """How likely the first candidate's answer is the right one.

    Where no treatment is named, that of another treatment's variant is offered with it and counts for it; where the
    person's side of the treatment is known and the answer is about that side, those about the other one do not count.
    """
    best, likely, other_side = candidates[0], candidates[0].probability, 0.0
    for one in candidates[1:]:
        variant = best.entry.variant_group is not None and one.entry.variant_group == best.entry.variant_group
        if variant and not question.treatments:
            likely += one.probability
        elif one.evidence["phase"] < 0 <= best.evidence["phase"]:
            other_side += one.probability
    return min(likely / max(1.0 - other_side, likely, 1e-9), 1.0)


def _asks(text: str) -> bool:
    """Is something asked anywhere in the text ("my appointment is tomorrow, can I ...")?"""
    return any(asks(part) for part in _CLAUSE_ENDS.split(text))


_CLAUSE_ENDS = re.compile(r"(?<=[?!])|[,.;!\n]|\b(?:and|so|but|then|dan|tapi|jadi)\b", re.IGNORECASE)


def _longest_window(entry: PublishedEntry) -> float:
    return max((timing.to_hours or 0.0 for windows in entry.timing.values() for timing in windows), default=0.0)
