"""The phrases of the rule files as one tree of words, and its walk over a text.

The time for a text grows with its number of words only: a phrase has at most two gaps of at most five words, so that
the walk from one word has a bound which the rules set and the text cannot move.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from needlepoint.safety.rule_files import File, Phrases
from needlepoint.safety.words import BREAK, Words, fold

GAP_WORDS = 5
_GAP = "..."
_END = "<end>"
_ITEM = re.compile(r"\([^()]*\)|\{\w*\}|\S+")
_MOST_GAPS = 2
_MOST_EXPANSIONS = 20_000


class Mention(NamedTuple):
    """The words `start` to `end` (exclusive) of a text say `name`; `skipped` are those of them that stand in a gap."""

    start: int
    end: int
    name: str
    skipped: tuple[int, ...] = ()


@dataclass(slots=True)
class Node:
    """What may follow the words read so far."""

    after: dict[str, Node] = field(default_factory=dict)
    after_gap: Node | None = None
    names: list[str] = field(default_factory=list)
    names_at_clause_end: list[str] = field(default_factory=list)


def plant(root: Node, name: str, phrases: list[tuple[str, ...]]) -> None:
    """Add expanded phrases for `name` to the tree."""
    for phrase in phrases:
        node = root
        for word in phrase:
            if word == _GAP:
                node.after_gap = node.after_gap or Node()
                node = node.after_gap
            elif word == _END:
                node.names_at_clause_end.append(name)
            else:
                node = node.after.setdefault(word, Node())
        if phrase[-1] != _END and name not in node.names:
            node.names.append(name)


def expand(
    file: File, where: str, phrases: Phrases, entries: Mapping[str, Phrases]
) -> tuple[list[tuple[str, ...]], list[str]]:
    """Every way to say `phrases`, as tuples of folded words, and the problems found (`file:line: ...; the mend`)."""
    ways: dict[tuple[str, ...], None] = {}
    problems: list[str] = []
    for language, written in (("en", phrases.en), ("ms", phrases.ms)):
        for at, phrase in enumerate(written):
            try:
                for way in _ways(phrase, entries, nested=False):
                    ways[way] = None
            except ValueError as error:
                problems.append(file.problem(f"{where}.{language}[{at}]", f"{phrase!r} {error}"))
    if not ways and not problems:
        problems.append(file.problem(where, "has no phrases; write some or remove the entry"))
    return list(ways), problems


def _ways(phrase: str, entries: Mapping[str, Phrases], *, nested: bool) -> Iterator[tuple[str, ...]]:
    """Every way to say one phrase; raises ValueError with the problem and its mend."""
    choices: list[list[tuple[str, ...]]] = []
    for item in _ITEM.findall(phrase):
        if reference := re.fullmatch(r"\{(\w+)\}", item):
            if nested or reference[1] not in entries:
                raise ValueError(f"names {item}, which is no entry of words or has a name in it; write the words")
            entry = entries[reference[1]]
            choices.append([way for inner in entry.en + entry.ms for way in _ways(inner, entries, nested=True)])
        elif item in (_GAP, _END):
            choices.append([(item,)])
        elif item.startswith("("):
            choices.append([_folded(either) for either in item[1:-1].split("|")])
        else:
            choices.append([_folded(item)])
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > _MOST_EXPANSIONS:
        raise ValueError(f"stands for {count} phrases; split it")
    for way in itertools.product(*choices):
        flat = tuple(word for part in way for word in part)
        if not flat or flat[0] in (_GAP, _END) or flat[-1] == _GAP or _END in flat[:-1]:
            raise ValueError("must begin with a word, and end with a word or <end>")
        if (_GAP, _GAP) in itertools.pairwise(flat):
            raise ValueError("has a gap beside a gap; write one")
        if flat.count(_GAP) > _MOST_GAPS:
            raise ValueError(f"has more than {_MOST_GAPS} gaps; split it")
        yield flat


def _folded(words: str) -> tuple[str, ...]:
    """Words in a row, folded; raises ValueError for anything that a text can never hold as a word."""
    for word in words.split():
        if not re.fullmatch(r"[^\W_][^\W_'’]*(?:['’][^\W_]+)*", word):
            raise ValueError(f"has {word!r}, which is no word; write letters and digits, and put (a|b) in brackets")
    if not words.strip():
        raise ValueError("has empty brackets; write the words")
    return tuple(fold(word) for word in words.split())


def find_mentions(root: Node, words: Words, clause_ends: list[int]) -> list[Mention]:
    """All phrases in a text, sorted by place; `clause_ends` has for each word the end of its clause.

    Words in a row may run over a comma or an "and", never over a break; a gap never leaves its clause.
    """
    found: set[Mention] = set()
    for start, forms in enumerate(words.forms):
        open_ends = [_OpenEnd(node, start + 1, ()) for form in forms if (node := root.after.get(form)) is not None]
        while open_ends:
            node, at, skipped = end = open_ends.pop()
            for name in node.names:
                found.add(Mention(start, at, name, skipped))
            if node.names_at_clause_end and at == clause_ends[at - 1]:
                for name in node.names_at_clause_end:
                    found.add(Mention(start, at, name, skipped))
            if node.after or node.after_gap is not None:
                open_ends += _continued(end, words, clause_ends)
    return sorted(found)


class _OpenEnd(NamedTuple):
    """A phrase read as far as `node`; the next word of the text is `at`."""

    node: Node
    at: int
    skipped: tuple[int, ...]


def _continued(end: _OpenEnd, words: Words, clause_ends: list[int]) -> Iterator[_OpenEnd]:
    """The ways to read one word more."""
    node, at, skipped = end
    if node.after and at < len(words.forms) and words.pauses[at] < BREAK:
        for form in words.forms[at]:
            if (following := node.after.get(form)) is not None:
                yield _OpenEnd(following, at + 1, skipped)
    if node.after_gap is not None:
        for place in range(at, min(clause_ends[at - 1], at + GAP_WORDS + 1)):
            for form in words.forms[place]:
                if (following := node.after_gap.after.get(form)) is not None:
                    yield _OpenEnd(following, place + 1, skipped + tuple(range(at, place)))
