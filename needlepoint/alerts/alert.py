"""What an alert says: level, findings, time, and where to read on. Never what the person wrote."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from needlepoint.conversations.staff_alerts import Kind


class Alert(msgspec.Struct, frozen=True):
    """One urgent message, for a person or a machine outside. `id` is the same however often it is tried."""

    id: str
    kind: Kind
    level: str
    findings: list[str]
    #: When the message came.
    at: datetime
    #: Path of the conversation at the desk; None before consent.
    path: str | None
    #: Sent by `needlepoint alerts test`; there is no message.
    test: bool = False


class DeliveryError(Exception):
    """An alert was not taken. `code` is the class of the error, fit for the record; `mend` is for the operator."""

    def __init__(self, code: str, mend: str) -> None:
        super().__init__(f"{code}: {mend}")
        self.code, self.mend = code, mend


class Sender(Protocol):
    """A channel that is open."""

    async def send(self, recipient: str, alerts: Sequence[Alert]) -> None:
        """Deliver alerts of one kind to one recipient, as one message where it is for a person.

        Raises :class:`DeliveryError`.
        """

    async def close(self) -> None:
        """Let go of connections and threads."""
