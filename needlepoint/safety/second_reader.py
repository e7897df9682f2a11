"""A second reading of each message by its tone, learnt from examples, beside the rules.

The rules know what somebody wrote down; people find other words. This is a small sentence model
(`sentence_encoder.fine_tune_red_flags`) with a line for each level and each card, trained on labelled examples
(`data/safety/examples.jsonl`, in which the development part of the evaluation is contained) and on ordinary questions.
Where it is sure of a red flag that no rule knows, it raises the card that answers most likely; where it is in doubt it
has the person asked. Deterministic, no network; time linear in the length of what it reads.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from needlepoint.safety.rule_files import LEARNT_FILES, LEVELS, Level, RuleFileError
from sentence_encoder import ModelFileError, SentenceEncoder
from sentence_encoder.encoder import RED_FLAGS

#: A longer text is read in windows of so many words, a little overlapping, so that what is buried is not drowned.
WINDOW_WORDS = 40
WINDOW_STEP = 32

#: Up to so many characters and words are read whole. Of more only so many characters at the beginning and at the end,
#: because the model takes 0.2 ms a word; the rules read all of it, and what they find there stands.
WHOLE_CHARACTERS = 800
WHOLE_WORDS = 100
END_CHARACTERS = 100

#: An emergency need not be quite as likely as the lower level for it to be taken: between two levels, the higher.
EMERGENCY_SHARE = 0.7

Floats = NDArray[np.float32]

HEADS_FILE, EXAMPLES_FILE, HARMLESS_FILE = LEARNT_FILES

_MEND = "run `python -m sentence_encoder.fine_tune_red_flags`"


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled message: its level, and the urgent card that answers it ("" where the level is none)."""

    text: str
    level: Level
    card: str


@dataclass(frozen=True, slots=True)
class SecondReading:
    """How likely the text tells of a red flag that is there now, and of one that is an emergency (0..1); the level
    and the card it then has; and whether the whole text was read."""

    urgent: float
    emergency: float
    level: Level
    card: str
    whole: bool


@dataclass(frozen=True, slots=True)
class Heads:
    """What was learnt on top of the sentence model: a row of numbers and an offset for each level and each card."""

    level: Floats
    level_offset: Floats
    cards: list[str]
    card: Floats
    card_offset: Floats


def read_examples(path: Path) -> list[Example]:
    """The examples of one file. Raises :class:`RuleFileError` with file, line and mend."""
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            written = json.loads(line)
            examples.append(Example(written["text"], written["level"], written["card"]))
        except (ValueError, KeyError, TypeError) as error:
            raise RuleFileError(
                [f"{path}:{number}: {error}; write text, level and card as in the other lines"]
            ) from None
        if examples[-1].level not in LEVELS:
            raise RuleFileError([f"{path}:{number}: no level is called {examples[-1].level!r}; use one of {LEVELS}"])
    return examples


def is_read_whole(text: str) -> bool:
    """Is the text short enough to be read from beginning to end?"""
    return len(text) <= WHOLE_CHARACTERS and len(text.split()) <= WHOLE_WORDS


def windows(text: str) -> list[str]:
    """The text, or where it is long its parts; of a very long one beginning and end, where people come to the point."""
    if not is_read_whole(text):
        text = f"{text[:END_CHARACTERS]} {text[-END_CHARACTERS:]}"
    words = text.split()
    if len(words) <= 1.5 * WINDOW_WORDS:
        return [text]
    return [" ".join(words[start : start + WINDOW_WORDS]) for start in range(0, len(words), WINDOW_STEP)]


class SecondReader:
    """The trained reader; share it, nothing in it changes."""

    def __init__(
        self, encoder: SentenceEncoder, heads: Heads, level_of: dict[str, Level], harmless: frozenset[str]
    ) -> None:
        """`level_of` is each card's usual level; `harmless` are texts, in small letters, that it must not alarm at."""
        self._encoder = encoder
        self._heads = heads
        self._level_of = level_of
        self._harmless = harmless

    @classmethod
    def load(cls, folder: Path) -> SecondReader:
        """Read model, heads and examples; raises :class:`RuleFileError` when one is missing or not the right one."""
        try:
            encoder = SentenceEncoder.load(model=RED_FLAGS)
            with np.load(folder / HEADS_FILE, allow_pickle=False) as stored:
                names = ("level", "level_offset", "card", "card_offset")
                heads = Heads(cards=stored["cards"].tolist(), **{name: stored[name] for name in names})
                belongs_to, learnt_from = str(stored["encoder"]), str(stored["examples"])
        except ModelFileError as error:
            raise RuleFileError([f"{RED_FLAGS.folder}:1: {error}"]) from None
        except (OSError, ValueError, KeyError) as error:
            raise RuleFileError([f"{folder / HEADS_FILE}:1: cannot be read ({error}); {_MEND}"]) from None
        if belongs_to != encoder.digest:
            raise RuleFileError([f"{folder / HEADS_FILE}:1: belongs to another sentence model; {_MEND}"])
        if learnt_from != hashlib.sha256((folder / EXAMPLES_FILE).read_bytes()).hexdigest():
            raise RuleFileError([f"{folder / EXAMPLES_FILE}:1: was changed after the reader was trained; {_MEND}"])
        try:
            harmless = (folder / HARMLESS_FILE).read_text(encoding="utf-8").lower().splitlines()
        except OSError as error:
            raise RuleFileError([f"{folder / HARMLESS_FILE}:1: cannot be read ({error}); put it back"]) from None
        return cls(encoder, heads, usual_levels(read_examples(folder / EXAMPLES_FILE)), frozenset(harmless))

    def read(self, text: str) -> SecondReading:
        """What the most alarming part of the text tells.

        A few stored wordings of harmless answers look alarming to it (`harmless.txt`): whoever asks in these very words
        is answered.
        """
        if text.strip().lower() in self._harmless:
            return SecondReading(0.0, 0.0, "same_day", self._heads.cards[0], whole=True)
        vectors = self._encoder.encode(windows(text))
        levels = _softmax(vectors @ self._heads.level.T + self._heads.level_offset)
        same_day, emergency = levels[:, LEVELS.index("same_day")], levels[:, LEVELS.index("emergency_now")]
        worst = int(np.argmax(same_day + emergency))
        card = self._heads.cards[int(np.argmax(vectors[worst] @ self._heads.card.T + self._heads.card_offset))]
        level: Level = "emergency_now" if emergency[worst] >= EMERGENCY_SHARE * same_day[worst] else "same_day"
        urgent = float(same_day[worst] + emergency[worst])
        return SecondReading(urgent, float(emergency[worst]), level, card, whole=is_read_whole(text))

    def usual_level(self, card: str) -> Level:
        """The level that most examples of the card have, "none" for what is no card."""
        return self._level_of.get(card, "none")


def usual_levels(examples: Iterable[Example]) -> dict[str, Level]:
    """The level that most examples of a card have."""
    counts: dict[str, Counter[Level]] = {}
    for example in examples:
        if example.card:
            counts.setdefault(example.card, Counter())[example.level] += 1
    return {card: max(of, key=lambda level: (of[level], LEVELS.index(level))) for card, of in counts.items()}


def _softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)
