"""What a plain list of keywords would do: the yardstick beside the safety rules."""

from __future__ import annotations

import re

from needlepoint.reply import Urgency

#: The signs that the urgent entries name, as one would type them into a list in five minutes.
_EMERGENCY = """breathe breathing breath throat tongue wheezing anaphylaxis faint fainted unconscious seizure fit
collapsed blue drooping slurred vision blind confused vomiting dizzy ringing metallic suicide kill die spurting
heavily sesak nafas bernafas pengsan sawan bunuh mati kabur muntah pening""".split()
_SAME_DAY = """pus infected infection spreading hives blister blisters burn burnt burned cold-sore bleeding blood
fever swollen swelling worse hot throbbing shared nanah jangkitan merebak demam bengkak lepuh melecur
berdarah darah gegata""".split()


def _any_of(words: list[str]) -> re.Pattern[str]:
    return re.compile(r"\b(" + "|".join(map(re.escape, words)) + r")\b")


_PATTERNS: list[tuple[Urgency, re.Pattern[str]]] = [
    ("emergency_now", _any_of(_EMERGENCY)),
    ("same_day", _any_of(_SAME_DAY)),
]


def keyword_level(text: str) -> Urgency:
    """The level of the most urgent keyword in the text."""
    return next((level for level, pattern in _PATTERNS if pattern.search(text.lower())), "none")
