"""Typed reading of YAML and TOML whose errors name the file, the line and the mend."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec
import yaml

T = TypeVar("T")


class FileError(ValueError):
    """A file a person wrote is wrong; the message is `file:line: what is wrong; the mend`."""

    def __init__(self, file: Path, line: int, problem: str) -> None:
        super().__init__(f"{file}:{line}: {problem}")
        self.file = file
        self.line = line


class FileErrors(ValueError):  # noqa: N818 - several of the above
    """Everything that is wrong in one set of files, one problem a line."""

    def __init__(self, problems: list[FileError]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Lines:
    """Where each value of a document stands, by its path (`$.entries[3].version`)."""

    def __init__(self, file: Path, by_path: dict[str, int]) -> None:
        self.file = file
        self._by_path = by_path

    def of(self, path: str) -> int:
        """The line of `path`, or of the nearest value around it that the file has."""
        while path and path not in self._by_path:
            path = path[: max(path.rfind("."), path.rfind("["))] if path != "$" else ""
        return self._by_path.get(path, 1)

    def error(self, path: str, problem: str) -> FileError:
        """A :class:`FileError` at the line of `path`."""
        return FileError(self.file, self.of(path), problem)


def read_yaml(file: Path, kind: type[T]) -> tuple[T, Lines]:
    """Read one YAML document into `kind` (a msgspec Struct).

    Raises :class:`FileError` for bad YAML, an unknown or missing field, a repeated key, or a value of a wrong type.
    """
    text = _text_of(file)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise FileError(file, mark.line + 1 if mark else 1, f"not valid YAML: {error.problem}") from None
    lines: dict[str, int] = {}
    if node is not None:
        _walk(file, node, "$", lines)
    return _convert(file, yaml.safe_load(text), kind, lines)


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileError(file, 1, "does not exist; put it there, or name another place in the settings") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(file, 1, f"cannot be read ({type(error).__name__}); it must be a text file in UTF-8") from None


def _walk(file: Path, node: yaml.Node, path: str, lines: dict[str, int]) -> None:
    """Record the line of every value under `node`, and refuse a key that is written twice."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise FileError(file, key.start_mark.line + 1, f"`{key.value}` is written twice; keep one of them")
            seen.add(key.value)
            lines[f"{path}.{key.value}"] = key.start_mark.line + 1
            _walk(file, value, f"{path}.{key.value}", lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _walk(file, item, f"{path}[{number}]", lines)


def read_toml(file: Path, kind: type[T], mends: Mapping[str, str] | None = None) -> tuple[T, Lines]:
    """Read one TOML document into `kind`; errors as in :func:`read_yaml`. `mends` says how each key is written."""
    text = _text_of(file)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise FileError(file, int(found[1]) if found else 1, f"not valid TOML: {error}") from None
    return _convert(file, data, kind, _toml_lines(text), mends or {})


def _toml_lines(text: str) -> dict[str, int]:
    """The line of each table and key; the standard library's reader keeps none."""
    lines: dict[str, int] = {"$": 1}
    table = "$"
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if found := re.match(r"\s*\[\[([^\]]+)\]\]", line):
            name = f"$.{found[1].strip()}"
            table = f"{name}[{counts.get(name, 0)}]"
            counts[name] = counts.get(name, 0) + 1
            lines.setdefault(table, number)
        elif found := re.match(r"\s*\[([^\]]+)\]", line):
            table = f"$.{found[1].strip()}"
            lines.setdefault(table, number)
        elif found := re.match(r"\s*\"?([\w-]+)\"?\s*=", line):
            lines.setdefault(f"{table}.{found[1]}", number)
    return lines


def _convert(
    file: Path, data: Any, kind: type[T], by_path: dict[str, int], mends: Mapping[str, str] = MappingProxyType({})
) -> tuple[T, Lines]:
    lines = Lines(file, by_path)
    try:
        return msgspec.convert(data, kind), lines
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `")
        where = path.rstrip("`") or "$"
        if unknown := re.search(r"unknown field `([^`]+)`", problem):
            where = f"{where}.{unknown[1]}"
        mend = next((f"; {text}" for key, text in mends.items() if where.startswith(f"$.{key}")), "")
        raise lines.error(where, f"{problem} (at {where}){mend}") from None
