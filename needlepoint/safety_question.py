"""The one safety question, asked in doubt instead of an answer or an alarm: are the signs of an urgent matter there?"""

from __future__ import annotations

from typing import Any

from needlepoint.phrases import Phrases
from needlepoint.reply import NOT_URGENT, Choice, Reply
from needlepoint.safety import SELF_HARM, Assessment


def safety_question(
    card: str, otherwise: str | None, language: str, phrases: Phrases, confidence: float | None, why: dict[str, Any]
) -> Reply:
    """Asks after the signs that `card` is about. For a yes the app gives that card, with all that follows from it; for
    a no the entry `otherwise`, where there is one."""
    signs = f"safety_signs_{card}"
    asked_after = phrases.say(signs if phrases.has(signs) else "safety_signs_other", language)
    return Reply(
        kind="clarify",
        topic="urgent",
        text=phrases.say("safety_question", language, signs=asked_after),
        choices=[
            Choice(phrases.say("safety_yes", language), card),
            Choice(phrases.say("safety_no", language), otherwise or NOT_URGENT),
        ],
        urgency="contact_clinic",
        confidence=confidence,
        why=why,
    )


#: The signs asked after where nothing is known of what may be wrong, each with its card, the gravest first.
SIGNS = (
    "severe-allergic-reaction",
    "bleeding-heavy",
    "face-drooping-or-weakness",
    "eye-injury-or-product-in-eye",
    "skin-infection",
    "burn-or-blister-after-rf",
)


def signs_question(language: str, phrases: Phrases) -> Reply:
    """Asks which sign of something urgent is there, if any: each is a button that gives its own card."""
    return Reply(
        kind="clarify",
        topic="urgent",
        text=phrases.say("signs_question", language),
        choices=[
            *(Choice(phrases.say(f"sign_{card}", language), card) for card in SIGNS),
            Choice(phrases.say("safety_no", language), NOT_URGENT),
        ],
        urgency="contact_clinic",
    )


#: From this confidence on an answer is given although safety has a doubt, and below the other a message is declined as
#: about something else where no rule found anything. Of the messages in doubt of the development halves and the third
#: set of tests/evaluation this spares 17 of 89 harmless ones the question, and 2 of 26 red flags, which staff find in
#: the queue "possibly missed" (docs/safety-case.md).
SURE = 0.98
FOREIGN = 0.07


def needs_no_question(reply: Reply, assessment: Assessment) -> bool:
    """Does this reply leave no need to ask after the signs of the card that `assessment` is in doubt about?"""
    if any(answer.entry_id == assessment.doubt for answer in reply.answers):
        return True  # it is that card
    if assessment.doubt == SELF_HARM:
        return False  # asked after however sure the answer is
    if reply.confidence is None:  # nobody looked for an answer
        return False
    if reply.kind == "decline":
        return not assessment.findings and reply.confidence < FOREIGN
    return reply.kind == "answer" and reply.topic != "urgent" and reply.confidence >= SURE
