"""The background duty: takes what is due from the staff's outbox, sends it, records what came of it, and escalates."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.alerts.alert import Alert, DeliveryError, Sender
from needlepoint.alerts.channels import Channels
from needlepoint.alerts.mail import Mailer
from needlepoint.alerts.webhook import Caller
from needlepoint.conversations import staff_alerts
from needlepoint.conversations.staff_alerts import Channel, Due
from needlepoint.db.base import now

log = logging.getLogger(__name__)

#: Alerts taken at once; what is taken has to be sent within the lease.
MOST_AT_ONCE = 50

#: After so many e-mails to somebody within this time, what comes waits for the pause and goes as one e-mail:
#: whoever floods the chat must not bury a real alert, nor have the mail server block the clinic.
MANY = 6
WITHIN = timedelta(minutes=10)
PAUSE = timedelta(minutes=1)


def open_senders(channels: Channels, zone: ZoneInfo) -> dict[Channel, Sender]:
    """The channels that are set, ready to send; times are said in `zone`."""
    senders: dict[Channel, Sender] = {}
    if channels.email:
        senders["email"] = Mailer(channels.email, channels.desk, zone)
    if channels.webhook:
        senders["webhook"] = Caller(channels.webhook, channels.desk)
    return senders


class StaffAlerts:
    """Looks after the staff's outbox. Any number of processes may do so at once."""

    def __init__(
        self,
        database: AsyncEngine,
        channels: Channels,
        senders: Mapping[Channel, Sender],
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._database = database
        self._channels = channels
        self._senders = senders
        self._clock = clock
        #: Sent, but the database did not take the note; until it does they must not be sent again.
        self._unnoted: list[tuple[Sequence[Due], datetime]] = []
        self._sending: set[asyncio.Task[Any]] = set()
        #: However much is sent at once, patients' messages find connections to the database.
        self._one_at_a_time = asyncio.Lock()

    @property
    def channels(self) -> list[Channel]:
        """The channels there are, besides the desk."""
        return list(self._senders)

    async def look_after(self, channel: Channel) -> None:
        """One round of a channel: escalate what is late, send what is due. Raises what the database raises.

        Each channel has rounds of its own, so that a mail server that hangs does not hold up the webhook.
        """
        # A stop must not cut a message that is being sent from the note that it was.
        task = asyncio.create_task(self._round(channel))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        await asyncio.shield(task)

    async def close(self, seconds: float = 5.0) -> None:
        """Wait for what is being sent, then close the channels.

        What is not done after `seconds` is sent again when its lease has run out.
        """
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=seconds)
            for task in late:
                task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        for sender in self._senders.values():
            await sender.close()

    async def _round(self, channel: Channel) -> None:
        await self._note_what_was_not()
        at = self._clock()
        before = at - self._channels.escalate_after
        await staff_alerts.escalate(self._database, self._channels.escalation, before, at)
        at = self._clock()  # another channel's round may have escalated meanwhile
        to = await staff_alerts.due_to(self._database, channel, at)
        if not to:
            return
        held = await self._held(to, at) if channel == "email" else set()
        if to <= held:
            return
        taken = await staff_alerts.take(self._database, channel, at, MOST_AT_ONCE, held)
        groups: dict[tuple[str, ...], list[Due]] = {}
        for one in taken:
            # A person reads one e-mail about several messages sooner than several; a machine takes them one by one.
            key = (one.kind, one.recipient) if channel == "email" else (one.id,)
            groups.setdefault(key, []).append(one)
        sendings = [self._send(channel, group) for group in groups.values()]
        for outcome in await asyncio.gather(*sendings, return_exceptions=True):  # all of them, then the error
            if isinstance(outcome, BaseException):
                raise outcome

    async def _held(self, to: Collection[tuple[str, str]], at: datetime) -> set[tuple[str, str]]:
        """Who got many e-mails of late, and the last one just now."""
        sendings = await staff_alerts.sendings(self._database, "email", at - WITHIN)
        return {one for one in to if len(sent := sendings.get(one, [])) >= MANY and max(sent) > at - PAUSE}

    async def _send(self, channel: Channel, group: Sequence[Due]) -> None:
        # Looked at again just before: somebody may have acknowledged it meanwhile.
        async with self._one_at_a_time:
            waiting = await staff_alerts.still_waiting(self._database, [one.id for one in group])
        waiting -= {one.id for sent, _ in self._unnoted for one in sent}
        group = [one for one in group if one.id in waiting]
        if not group:
            return
        try:
            await self._senders[channel].send(group[0].recipient, [_alert(one) for one in group])
        except DeliveryError as error:
            log.warning("%d alert(s) by %s were not sent: %s", len(group), channel, error)
            await self._failed(channel, group, error.code)
        except Exception as error:  # whatever it is, the others are sent, and this one is tried again
            log.error("sending by %s failed: %s", channel, type(error).__name__)
            await self._failed(channel, group, type(error).__name__)
        else:
            self._unnoted.append((group, self._clock()))
            await self._note_what_was_not()

    async def _failed(self, channel: Channel, group: Sequence[Due], error: str) -> None:
        async with self._one_at_a_time:
            given_up = await staff_alerts.note_failed(self._database, group, error, self._clock())
        if given_up:
            log.error("%d alert(s) by %s are given up (%s); see /staff/alerts", len(given_up), channel, error)

    async def _note_what_was_not(self) -> None:
        async with self._one_at_a_time:
            while self._unnoted:
                await staff_alerts.note_sent(self._database, *self._unnoted[0])
                self._unnoted.pop(0)


def _alert(due: Due) -> Alert:
    path = f"/staff/conversations/{due.conversation}" if due.conversation else None
    return Alert(due.id, due.kind, due.level, due.findings, due.at, path)
