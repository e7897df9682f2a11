"""How alike two wordings are: the measure by which test data is kept apart from training data."""

from __future__ import annotations

from functools import cache


@cache
def _grams(text: str) -> frozenset[str]:
    text = text.lower()
    return frozenset(text[start : start + 4] for start in range(max(1, len(text) - 3)))


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of the lower-cased character 4-gram sets, 0..1."""
    first, second = _grams(one), _grams(other)
    return len(first & second) / len(first | second)
