"""Choosing the one Reply: an approved answer, a clarifying question, or an honest "I don't know"."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from needlepoint.answering.question import Question, topic_probabilities
from needlepoint.faq.published import PublishedEntry
from needlepoint.faq.search import Hit, SearchIndex
from needlepoint.phrases import Phrases
from needlepoint.reply import Answer, Choice, Reply, Urgency


class Weights(msgspec.Struct, frozen=True):
    """How the evidence is weighed: first values, set by hand; docs/evaluation.md has what they give.

    `topic` is added times the probability of the entry's topic, `off_topic` subtracted times that of being about
    something else; `treatment` is added when the message names one of the entry's treatments and subtracted when it
    names only others. A confidence is the logistic function of
    `slope * (score - centre) + gap * (score - runner-up's score)`.
    """

    topic: float = 0.15
    off_topic: float = 0.20
    treatment: float = 0.10
    slope: float = 12.0
    centre: float = 0.62
    gap: float = 8.0
    answer_from: float = 0.50
    clarify_from: float = 0.16


class Scored(msgspec.Struct, frozen=True):
    """An entry with everything that counted for or against it."""

    hit: Hit
    score: float
    topic_probability: float
    treatment: float


class Answered(msgspec.Struct, frozen=True):
    """The Reply, and plain requests to the app ("a person is wanted")."""

    reply: Reply
    effects: list[dict[str, Any]] = []


_SMALLTALK = ("chitchat_greet", "chitchat_goodbye", "chitchat_thanks", "chitchat_bot", "chitchat_feeling")


class Answerer:
    """Answers questions from one revision of the published answers. Pure: same question, same Reply."""

    def __init__(self, index: SearchIndex, phrases: Phrases, weights: Weights | None = None) -> None:
        self.index = index
        self.phrases = phrases
        self.weights = weights or Weights()
        self._by_id = {entry.id: entry for entry in index.published.entries}

    def entry(self, entry_id: str) -> PublishedEntry | None:
        """The entry that may be given under this id, if any."""
        return self._by_id.get(entry_id)

    def answer(self, question: Question) -> Answered:
        """The Reply to a question about needling, or to one that turns out not to be."""
        if question.choice is not None:
            return self._chosen(question)
        scored = self.rank(question)
        if self.index.published.withdrawn:
            scored = [one for one in scored if one.hit.entry.topic == "urgent"]
        if not scored:
            return Answered(self._decline(question, 0.0, {"reason": "nothing may be given"}))
        best = scored[0]
        confidence = self._confidence(scored)
        why = self._why(scored, question)
        if best.hit.entry.topic == "urgent" and confidence >= self.weights.clarify_from:
            return Answered(self._ask_about_safety(question, confidence, why))
        if confidence >= self.weights.answer_from:
            return Answered(self._give(best.hit.entry, question, confidence, why))
        outside = question.intents.get("out_of_scope", 0.0)
        unclear = confidence >= self.weights.clarify_from and outside < 0.5
        offered = [one.hit.entry for one in scored if one.hit.entry.topic != "urgent"][:3]
        if unclear and offered and not question.remembered.get("open_question"):
            return Answered(self._clarify(offered, question, confidence, why))
        return Answered(self._decline(question, confidence, why))

    def small_talk(self, question: Question) -> Answered:
        """A short human word, unless the message asks something that is surely known ("hi, does it hurt?")."""
        scored = self.rank(question)
        if scored and self._confidence(scored) >= self.weights.answer_from and len(question.text.split()) > 3:
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

    def rank(self, question: Question) -> list[Scored]:
        """All entries by score, best first."""
        if question.vector is None:
            return []
        topics = topic_probabilities(question.intents)
        elsewhere = self.weights.off_topic * question.intents.get("out_of_scope", 0.0)
        treatments = question.entities.get("treatment") or _remembered(question)
        scored = []
        for hit in self.index.nearest(question.text, question.vector):
            fit = _treatment_fit(hit.entry, treatments)
            topic = topics.get(hit.entry.topic, 0.0)
            score = hit.similarity + self.weights.topic * topic + self.weights.treatment * fit - elsewhere
            scored.append(Scored(hit, score, topic, fit))
        return sorted(scored, key=lambda one: -one.score)

    def _confidence(self, scored: list[Scored]) -> float:
        gap = scored[0].score - scored[1].score if len(scored) > 1 else scored[0].score
        z = self.weights.slope * (scored[0].score - self.weights.centre) + self.weights.gap * gap
        return 1.0 / (1.0 + math.exp(-z))

    def _why(self, scored: list[Scored], question: Question) -> dict[str, object]:
        return {
            "nearest wording": scored[0].hit.wording,
            "candidates": [
                {
                    "entry": one.hit.entry.id,
                    "score": round(one.score, 3),
                    "similarity": round(one.hit.similarity, 3),
                    "topic": round(one.topic_probability, 3),
                    "treatment": one.treatment,
                }
                for one in scored[:3]
            ],
            "treatment": ", ".join(question.entities.get("treatment") or _remembered(question)) or "not named",
        }

    def _chosen(self, question: Question) -> Answered:
        entry = self.entry(question.choice or "")
        if entry is None or self.index.published.withdrawn:
            expired = self.phrases.say("choice_expired", question.language)
            return Answered(
                Reply(kind="decline", topic="out_of_scope", text=expired, confidence=0.0, why={"choice": "expired"})
            )
        return Answered(self._give(entry, question, 1.0, {"chosen": entry.id}))

    def _give(self, entry: PublishedEntry, question: Question, confidence: float, why: dict[str, object]) -> Reply:
        given = self.spoken(entry, question.language)
        lead = [self.phrases.say("contact_clinic_note", question.language)] * (
            question.safety_level == "contact_clinic"
        )
        if given.language != question.language:
            lead.append(self.phrases.say("answer_in_english", question.language))
        urgency: Urgency = question.safety_level  # type: ignore[assignment]
        return Reply(
            kind="answer",
            topic=entry.topic,  # type: ignore[arg-type]
            text="\n\n".join(lead),
            answers=[given],
            urgency=urgency,
            confidence=confidence,
            why=why,
        )

    def spoken(self, entry: PublishedEntry, language: str) -> Answer:
        """The entry's answer in `language`, or in one it has, with the clinic's values filled in."""
        answer = entry.answers.get(language) or entry.answers.get("en") or next(iter(entry.answers.values()))
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

    def _ask_about_safety(self, question: Question, confidence: float, why: dict[str, object]) -> Reply:
        """For words that are like an urgent matter although no rule gave them a level.

        Search cannot see a "no" or an "if", so it must not raise an alarm; answering the nearest topic instead would
        be as wrong.
        """
        return Reply(
            kind="clarify",
            topic="urgent",
            text=self.phrases.say("safety_question", question.language),
            urgency="contact_clinic",
            confidence=confidence,
            why=why,
        )

    def _decline(self, question: Question, confidence: float, why: dict[str, object]) -> Reply:
        outside = question.intents.get("out_of_scope", 0.0) >= 0.5
        return Reply(
            kind="decline",
            topic="out_of_scope",
            text=self.phrases.say("out_of_scope" if outside else "decline", question.language),
            confidence=confidence,
            why=why,
        )


def _remembered(question: Question) -> list[str]:
    treatment = question.remembered.get("treatment")
    return [treatment] if isinstance(treatment, str) else []


def _treatment_fit(entry: PublishedEntry, treatments: list[str]) -> float:
    """1 when the entry is for a treatment that was named, -1 when it is only for others, 0 when nothing is known.

    Where no treatment is named, the clinic's own needling is meant more often than a variant of it.
    """
    if "any" in entry.treatments:
        return 0.0
    if treatments:
        return 1.0 if set(treatments) & set(entry.treatments) else -1.0
    return 0.0 if "clinic_microneedling" in entry.treatments else -0.5
