"""The phrases of the rule files as one graph of words, and its walk over a text.

The graph grows with what is written, not with the number of ways to say it: the alternatives of a bracket meet again
behind it. While texts are read, places that are reached by the same words are put together and remembered, so that the
walk looks at one place a word however many phrases begin alike. The time for a text grows with its number of words
only: a phrase has at most two gaps of at most five words.
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
#: Remembered places; beyond it they are forgotten and found again.
_MOST_REMEMBERED = 100_000


class Mention(NamedTuple):
    """The words `start` to `end` (exclusive) of a text say `name`; `skipped` are those of them that stand in a gap."""

    start: int
    end: int
    name: str
    skipped: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class _Place:
    """A place in one phrase: what may follow, and what is said when it ends here."""

    after: dict[str, list[_Place]] = field(default_factory=dict)
    after_gap: _Place | None = None
    names: list[str] = field(default_factory=list)
    names_at_clause_end: list[str] = field(default_factory=list)

    def step(self, word: str, to: _Place) -> None:
        """Let `word` lead to `to`."""
        self.after.setdefault(word, []).append(to)


class Node:
    """All places that the words read so far lead to."""

    __slots__ = ("_after", "_gap", "_places", "_remembered", "has_gap", "names", "names_at_clause_end")

    def __init__(self, places: tuple[_Place, ...], remembered: dict[tuple[int, ...], Node]) -> None:
        self._places = places
        self._remembered = remembered
        self._after: dict[str, Node | None] = {}
        self._gap: Node | None = None
        self.has_gap = any(place.after_gap is not None for place in places)
        self.names = tuple(dict.fromkeys(name for place in places for name in place.names))
        self.names_at_clause_end = tuple(dict.fromkeys(n for place in places for n in place.names_at_clause_end))

    def after(self, word: str) -> Node | None:
        """Where the next word leads, None where no phrase goes on with it."""
        try:
            return self._after[word]
        except KeyError:
            places = tuple(dict.fromkeys(to for place in self._places for to in place.after.get(word, ())))
            found = self._after[word] = self._together(places)
            return found

    def behind_gap(self) -> Node | None:
        """Where a gap leads, None where no phrase has one here."""
        if self.has_gap and self._gap is None:
            self._gap = self._together(tuple(p.after_gap for p in self._places if p.after_gap is not None))
        return self._gap

    def _together(self, places: tuple[_Place, ...]) -> Node | None:
        if not places:
            return None
        key = tuple(sorted(map(id, places)))
        node = self._remembered.get(key)
        if node is None:
            node = self._remembered[key] = Node(places, self._remembered)
        return node


class Tree:
    """Every phrase of every entry. Fill it with :meth:`plant`, then share it: it only adds to what it remembers."""

    def __init__(self) -> None:
        self._start = _Place()
        self._remembered: dict[tuple[int, ...], Node] = {}
        self._root: Node | None = None
        self.words: set[str] = set()

    def root(self) -> Node:
        """Where every phrase begins."""
        if self._root is None or len(self._remembered) > _MOST_REMEMBERED:
            self._remembered = {}
            self._root = Node((self._start,), self._remembered)
        return self._root

    def plant(self, file: File, where: str, name: str, phrases: Phrases, entries: Mapping[str, Phrases]) -> list[str]:
        """Add every way to say `phrases` as mentions of `name`.

        `entries` are what `{name}` in a phrase may stand for. Returns the problems found (`file:line: ...; the mend`).
        """
        problems: list[str] = []
        for language, written in (("en", phrases.en), ("ms", phrases.ms)):
            for at, phrase in enumerate(written):
                try:
                    self._plant(name, phrase, entries)
                except ValueError as error:
                    problems.append(file.problem(f"{where}.{language}[{at}]", f"{phrase!r} {error}"))
        if not phrases.en and not phrases.ms:
            problems.append(file.problem(where, "has no phrases; write some or remove the entry"))
        return problems

    def _plant(self, name: str, phrase: str, entries: Mapping[str, Phrases]) -> None:
        items = _ITEM.findall(phrase)
        at_clause_end = items[-1:] == [_END]
        if at_clause_end:
            items.pop()
        parts = [_part(item, entries, nested=False) for item in items]
        _check_gaps(items, parts)
        finish = _Place()
        self._lay(self._start, parts, finish)
        (finish.names_at_clause_end if at_clause_end else finish.names).append(name)

    def _lay(self, start: _Place, parts: list[_Part], finish: _Place) -> None:
        """Lead from `start` through all parts to `finish`."""
        for number, part in enumerate(parts):
            if part == _GAP:
                start.after_gap = start.after_gap or _Place()
                start = start.after_gap
                continue
            to = finish if number == len(parts) - 1 else _Place()
            assert not isinstance(part, str)
            for way in part:
                if isinstance(way, list):  # what a name stands for
                    self._lay(start, way, to)
                else:
                    self._lay_words(start, way, to)
            start = to

    def _lay_words(self, start: _Place, words: tuple[str, ...], to: _Place) -> None:
        self.words.update(words)
        for word in words[:-1]:
            following = _Place()
            start.step(word, following)
            start = following
        start.step(words[-1], to)


#: The gap, or the ways to say one item: words in a row, or the parts of a phrase that a name stands for.
_Part = str | list["tuple[str, ...] | list[_Part]"]


def _part(item: str, entries: Mapping[str, Phrases], *, nested: bool) -> _Part:
    """One item of a phrase; raises ValueError with the problem and its mend."""
    if reference := re.fullmatch(r"\{(\w+)\}", item):
        if nested or reference[1] not in entries:
            raise ValueError(f"names {item}, which is no entry of words or has a name in it; write the words")
        entry = entries[reference[1]]
        ways: list[tuple[str, ...] | list[_Part]] = []
        for phrase in entry.en + entry.ms:
            items = _ITEM.findall(phrase)
            parts = [_part(inner, entries, nested=True) for inner in items]
            _check_gaps(items, parts)
            ways.append(parts)
        return ways
    if item in (_GAP, _END):
        if item == _END:
            raise ValueError("must begin with a word, and end with a word or <end>")
        return _GAP
    if item.startswith("("):
        return [_folded(either) for either in item[1:-1].split("|")]
    return [_folded(item)]


def _check_gaps(items: list[str], parts: list[_Part]) -> None:
    """Raise ValueError where a phrase begins or ends with a gap, or has too many of them."""
    if not parts or parts[0] == _GAP or parts[-1] == _GAP:
        raise ValueError("must begin with a word, and end with a word or <end>")
    if any(one == other == _GAP for one, other in itertools.pairwise(items)):
        raise ValueError("has a gap beside a gap; write one")
    if _gaps(parts) > _MOST_GAPS:
        raise ValueError(f"has more than {_MOST_GAPS} gaps; split it")


def _gaps(parts: list[_Part]) -> int:
    """The most gaps of any way to say the parts."""
    return sum(
        1 if part == _GAP else max((_gaps(way) for way in part if isinstance(way, list)), default=0) for part in parts
    )


def _folded(words: str) -> tuple[str, ...]:
    """Words in a row, folded; raises ValueError for anything that a text can never hold as a word."""
    for word in words.split():
        if not re.fullmatch(r"[^\W_][^\W_'’]*(?:['’][^\W_]+)*", word):
            raise ValueError(f"has {word!r}, which is no word; write letters and digits, and put (a|b) in brackets")
    if not words.strip():
        raise ValueError("has empty brackets; write the words")
    return tuple(fold(word) for word in words.split())


def find_mentions(tree: Tree, words: Words, clause_ends: list[int]) -> list[Mention]:
    """All phrases in a text, sorted by place; `clause_ends` has for each word the end of its clause.

    Words in a row may run over a comma or an "and", never over a break; a gap never leaves its clause.
    """
    root = tree.root()
    found: set[Mention] = set()
    for start, forms in enumerate(words.forms):
        open_ends = [_OpenEnd(node, start + 1, ()) for form in forms if (node := root.after(form)) is not None]
        while open_ends:
            node, at, skipped = end = open_ends.pop()
            for name in node.names:
                found.add(Mention(start, at, name, skipped))
            if node.names_at_clause_end and at == clause_ends[at - 1]:
                for name in node.names_at_clause_end:
                    found.add(Mention(start, at, name, skipped))
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
    if at < len(words.forms) and words.pauses[at] < BREAK:
        for form in words.forms[at]:
            if (following := node.after(form)) is not None:
                yield _OpenEnd(following, at + 1, skipped)
    if node.has_gap and (behind := node.behind_gap()) is not None:
        for place in range(at, min(clause_ends[at - 1], at + GAP_WORDS + 1)):
            for form in words.forms[place]:
                if (following := behind.after(form)) is not None:
                    yield _OpenEnd(following, place + 1, skipped + tuple(range(at, place)))
