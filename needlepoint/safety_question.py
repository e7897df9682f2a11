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
