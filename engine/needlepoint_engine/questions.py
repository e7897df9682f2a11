"""The questions of a message that asks more than one thing."""

from __future__ import annotations

import re

#: Questions of a message that are looked at each by itself; each costs an embedding.
MOST = 3

_SENTENCE_ENDS = re.compile(r"(?<=[?!.])\s+|\n+")
#: Words that questions begin with.
_ASKING = (
    "when|how|what|which|where|why|who|can|could|is|are|does|do|will|should|must|may"
    "|bila|berapa|boleh|blh|macam|mcm|apa|kenapa|kena|perlu"
)
#: Where one sentence goes on with another question: "... and how long will I be red".
_NEXT_QUESTION = re.compile(
    rf"(?:,?\s+(?:and|also|plus|dan|lepas tu|pastu)|,)\s+(?:also\s+)?(?=(?:{_ASKING})\b)", re.IGNORECASE
)
_FIRST_WORDS = re.compile(rf"(?:(?:and|also|plus|but|so|dan|tapi) )*(?:{_ASKING}|any)\b", re.IGNORECASE)


def questions_in(text: str) -> list[str]:
    """Each question of a message that asks at least two, without the story around them; else nothing.

    Said after one another ("When can I wear makeup? And swim?") or in one breath ("how long am I red and when can I
    train").
    """
    sentences = [part for sentence in _SENTENCE_ENDS.split(text) for part in _NEXT_QUESTION.split(sentence)]
    asked = [one.strip() for one in sentences if one.strip().endswith("?") or _FIRST_WORDS.match(one.strip())]
    asked = [one for one in asked if len(one.split()) >= 2]
    return asked[:MOST] if len(asked) >= 2 else []
