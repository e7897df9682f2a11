"""Where a message goes when the database cannot take it: an encrypted file each, replayed later."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from needlepoint.db.base import now

log = logging.getLogger(__name__)


class JournalEntry(msgspec.Struct, frozen=True):
    """A masked message and what the person was told. Before consent `text` and `conversation` are empty."""

    at: datetime
    conversation: str | None
    client_id: str
    text: str
    choice: str | None
    redacted: list[str]
    assessment: dict[str, Any]
    state: Literal["urgent", "apologised"]
    reply: dict[str, Any]
    #: Channel, language and consent of a conversation that the database has never seen.
    opening: tuple[str, str, str | None] | None = None


class Journal:
    """A folder of encrypted entries; safe to be written by several processes at once."""

    def __init__(self, folder: Path, secret: str) -> None:
        self._folder = folder
        self._unreadable: set[str] = set()
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"journal:" + secret.encode()).digest()))

    def write(self, entry: JournalEntry) -> None:
        """Keep an entry; it is on the disk when this returns."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{now():%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}"
        partial = self._folder / f"{name}.part"
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(self._fernet.encrypt(msgspec.json.encode(entry)))
            out.flush()
            os.fsync(out.fileno())
        partial.rename(self._folder / f"{name}.entry")

    def entries(self) -> Iterator[tuple[Path, JournalEntry]]:
        """What is waiting, oldest first. A file that cannot be read stays, and is named in the log."""
        for file in sorted(self._folder.glob("*.entry")):
            try:
                yield file, msgspec.json.decode(self._fernet.decrypt(file.read_bytes()), type=JournalEntry)
            except FileNotFoundError:
                continue  # another process replayed it
            except (InvalidToken, msgspec.DecodeError):
                if file.name not in self._unreadable:
                    self._unreadable.add(file.name)
                    log.error("journal entry %s cannot be read; was the secret key changed?", file.name)

    def forget(self, conversation: str) -> bool:
        """Delete what waits of a conversation; returns whether there was anything."""
        found = False
        for file, entry in self.entries():
            if entry.conversation == conversation:
                file.unlink(missing_ok=True)
                found = True
        return found

    def __len__(self) -> int:
        return sum(1 for _ in self._folder.glob("*.entry"))
