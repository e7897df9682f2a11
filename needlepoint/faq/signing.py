"""The list of approved answers that a review pack gives back: what was signed is exactly what gets approved."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgspec

from needlepoint.faq.files import SourceInFile, Timing
from needlepoint.faq.models import Entry, Version, VersionText
from needlepoint.located import FileError, FileErrors

#: Hex digits of a text's hash: short enough to read out, long enough that nobody meets another text by chance.
HASH_DIGITS = 16

_LINE = re.compile(rf"([a-z0-9-]{{1,60}})\s+([a-z]{{2}})\s+v(\d{{1,6}})\s+([0-9a-f]{{{HASH_DIGITS}}})")


class SignedLine(msgspec.Struct, frozen=True):
    """One text that somebody signed; `content` is its :func:`text_hash`."""

    entry_id: str
    language: str
    version: int
    content: str

    def __str__(self) -> str:
        return f"{self.entry_id} {self.language} v{self.version} {self.content}"


def text_hash(entry: Entry, version: Version, text: VersionText) -> str:
    """Short hash of all that an approver sees of a text, and of whether the entry is withdrawn."""
    seen = [
        *(entry.id, entry.topic, entry.treatments, entry.covers, entry.level, entry.audience),
        entry.withdrawn_at is not None,
        *(version.number, version.conditions, version.notes),
        msgspec.convert(version.timing, list[Timing]),
        [msgspec.convert(source, SourceInFile, from_attributes=True) for source in version.sources],
        *(text.language, text.author, text.question, text.answer, text.when_to_contact),
    ]
    return hashlib.sha256(msgspec.json.encode(seen, order="deterministic")).hexdigest()[:HASH_DIGITS]


def read_signed(file: Path) -> list[SignedLine]:
    """The lines of a signed list; `#` begins a comment.

    Raises :class:`~needlepoint.located.FileErrors` naming every line that is not in the form
    `makeup-after en v1 0123456789abcdef`, and a list that holds none.
    """
    try:
        content = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(file, 1, f"cannot be read ({type(error).__name__}); give the list the pack offered") from None
    lines, problems = [], []
    for number, line in enumerate(content.splitlines(), start=1):
        bare = line.split("#", 1)[0].strip()
        if not bare:
            continue
        if (found := _LINE.fullmatch(bare)) is None:
            problems.append(FileError(file, number, "is no line of a signed list; download the list again"))
        else:
            lines.append(SignedLine(found[1], found[2], int(found[3]), found[4]))
    if not lines and not problems:
        problems.append(FileError(file, 1, "holds no approved answer; tick some in the pack and download it again"))
    if problems:
        raise FileErrors(problems)
    return lines
