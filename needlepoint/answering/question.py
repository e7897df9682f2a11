"""What answering is given to decide on."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from needlepoint.answering.timeline import DayMention
from needlepoint.reply import AnswerTopic


class Part(msgspec.Struct, frozen=True):
    """One of several questions in a message, with its own unit sentence vector."""

    text: str
    vector: NDArray[np.float32]


class Question(msgspec.Struct, frozen=True):
    """One message as the engine understood it.

    `vector` is the message's unit sentence vector; `intents` maps intent names to probabilities; `entities` maps an
    entity to its canonical values in this message; `days` are the words about time in it, `treatment_words` where
    (from, until) it names a treatment; `remembered` holds the conversation's slots; `choice` is the entry of a
    pressed button. `had` and `booked` are the treatments that the conversation knows of, `about` the entry that was
    answered last; `parts` the questions of a message that asks more than one. `safety_cards` are the urgent cards
    that safety's findings cite, the most urgent first.
    """

    text: str
    vector: NDArray[np.float32] | None
    intents: dict[str, float] = {}
    entities: dict[str, list[str]] = {}
    days: list[DayMention] = []
    treatment_words: list[tuple[int, int]] = []
    remembered: dict[str, Any] = {}
    language: str = "en"
    safety_level: str = "none"
    safety_cards: list[str] = []
    choice: str | None = None
    asked_at: datetime | None = None
    had: tuple[datetime, datetime] | None = None
    booked: tuple[datetime, datetime] | None = None
    about: str | None = None
    parts: list[Part] = []

    @property
    def treatments(self) -> list[str]:
        """The treatments that the message names, else the one that the conversation remembers."""
        remembered = self.remembered.get("treatment")
        return self.entities.get("treatment") or ([remembered] if isinstance(remembered, str) else [])


#: Topic of each intent that asks something; chitchat and the like have none.
TOPIC_OF_INTENT = {f"ask_{topic}": topic for topic in get_args(AnswerTopic) if topic != "urgent"} | {
    "report_symptom": "urgent"
}


def topic_probabilities(intents: dict[str, float]) -> dict[str, float]:
    """The intents' probabilities by topic.

    A symptom report is as likely about a side effect as about an urgent matter, so its share counts for both.
    """
    topics: dict[str, float] = {}
    for intent, probability in intents.items():
        if topic := TOPIC_OF_INTENT.get(intent):
            topics[topic] = topics.get(topic, 0.0) + probability
    topics["side_effects"] = topics.get("side_effects", 0.0) + topics.get("urgent", 0.0)
    return topics
