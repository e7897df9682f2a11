"""Trying the channels before it matters: one test alert to everybody who would be told."""

from __future__ import annotations

import uuid
from zoneinfo import ZoneInfo

import msgspec

from needlepoint.alerts.alert import Alert, DeliveryError
from needlepoint.alerts.channels import Channels
from needlepoint.alerts.sending import open_senders
from needlepoint.conversations.staff_alerts import AlertTo
from needlepoint.db.base import now


class Tried(msgspec.Struct, frozen=True):
    """What came of one test alert; `error` says what to mend."""

    to: AlertTo
    error: str | None

    def __str__(self) -> str:
        outcome = f"NOT taken: {self.error}" if self.error else "taken"
        return f"{self.to.channel} to {self.to.recipient}: {outcome}"


async def try_channels(channels: Channels, zone: ZoneInfo) -> list[Tried]:
    """Send a test alert to each recipient of each channel, first ones and those of escalations, each once."""
    senders = open_senders(channels, zone)
    tried = []
    try:
        for to in dict.fromkeys([*channels.first, *channels.escalation]):
            alert = Alert(uuid.uuid4().hex, "first", "same_day", [], now(), None, test=True)
            error = None
            try:
                await senders[to.channel].send(to.recipient, [alert])
            except DeliveryError as failed:
                error = str(failed)
            tried.append(Tried(to, error))
    finally:
        for sender in senders.values():
            await sender.close()
    return tried
