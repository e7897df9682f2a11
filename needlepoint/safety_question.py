"""The one safety question, asked in doubt instead of an answer or an alarm: are the signs of an urgent matter there?"""

from __future__ import annotations

from typing import Any

from needlepoint.phrases import Phrases
from needlepoint.reply import NOT_URGENT, Choice, Reply


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


#: From this confidence on an answer is given although safety has a doubt. Of the messages in doubt of the development
#: halves and of the third set of tests/evaluation, all 12 with such an answer were harmless; the surest answer to one
#: of the 27 that were not had 0.71.
SURE = 0.98


#: Asked after however sure an answer is.
ALWAYS_ASKED = "thoughts-of-self-harm"


def is_surely_answered(reply: Reply, doubt: str) -> bool:
    """Is this an answer that leaves no need to ask after the signs of the card `doubt`?"""
    return (
        doubt != ALWAYS_ASKED
        and reply.kind == "answer"
        and reply.topic != "urgent"
        and (reply.confidence or 0.0) >= SURE
    )
