"""Stated confidence against what came true, in bins of equal width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

BINS = 10


class Bin(msgspec.Struct, frozen=True):
    """The answers whose confidence lies in `low` to `high`: how many, their mean confidence and the share right."""

    low: float
    high: float
    count: int
    confidence: float
    right: float


def bins(stated: Iterable[tuple[float, bool]]) -> list[Bin]:
    """The bins that hold something, of confidences (0..1) and whether each came true."""
    members: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for confidence, right in stated:
        members[min(int(confidence * BINS), BINS - 1)].append((confidence, right))
    return [
        Bin(
            low=number / BINS,
            high=(number + 1) / BINS,
            count=len(inside),
            confidence=sum(confidence for confidence, _ in inside) / len(inside),
            right=sum(right for _, right in inside) / len(inside),
        )
        for number, inside in enumerate(members)
        if inside
    ]


def expected_error(of: Sequence[Bin]) -> float:
    """The expected calibration error (0..1): how far confidence and truth lie apart, weighed by the bins' counts."""
    total = sum(one.count for one in of)
    return sum(abs(one.confidence - one.right) * one.count for one in of) / total if total else 0.0
