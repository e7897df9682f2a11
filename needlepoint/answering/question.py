"""What answering is given to decide on."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from needlepoint.reply import AnswerTopic


class Question(msgspec.Struct, frozen=True):
    """One message as the engine understood it.

    `vector` is the message's unit sentence vector; `intents` maps intent names to probabilities; `entities` maps an
    entity to its canonical values in this message; `remembered` holds the conversation's slots; `choice` is the entry
    of a pressed button.
    """

    text: str
    vector: NDArray[np.float32] | None
    intents: dict[str, float] = {}
    entities: dict[str, list[str]] = {}
    remembered: dict[str, Any] = {}
    language: str = "en"
    safety_level: str = "none"
    choice: str | None = None


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
