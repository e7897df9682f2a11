"""Red flags: a message in, an :class:`Assessment` out, by rules that are data (`data/safety/*.yml`).

Safety reads a message before anything else and needs nobody: no network, no database, no engine.
"""

from needlepoint.safety.assessment import SELF_HARM, Assessment, SafetyFinding, answered_yes, assess
from needlepoint.safety.cleaning import clean_text
from needlepoint.safety.rule_files import LEVELS, Level, RuleFileError
from needlepoint.safety.rules import SafetyRules

__all__ = [
    "LEVELS",
    "SELF_HARM",
    "Assessment",
    "Level",
    "RuleFileError",
    "SafetyFinding",
    "SafetyRules",
    "answered_yes",
    "assess",
    "clean_text",
]
