"""What is looked up when somebody asks for the metrics: what waits in the database, and what is in service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import datetime

import msgspec
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from needlepoint import __version__
from needlepoint.backup.models import BackupMade
from needlepoint.channels.telegram.models import TelegramUpdate
from needlepoint.channels.web.streams import Streams
from needlepoint.conversations.engine_client import EngineClient
from needlepoint.conversations.journal import Journal
from needlepoint.conversations.models import ASKED_BY_STAFF, Attention, Conversation, Delivery, Message, StaffAlert
from needlepoint.conversations.staff_alerts import URGENT_LEVELS
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY
from needlepoint.faq.published import Published

#: Seconds that looking into the database may take; after that the page comes without what stands there.
PATIENCE = 3.0


class InService(msgspec.Struct, frozen=True):
    """Versions of what answers are made with, as far as they stand still while the process runs."""

    encoder: str
    safety_rules: str


class _LookedUp(Collector):
    """Metrics that are ready to be written."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


class Gauges:
    """Looks all of it up; what of the database is the same whichever process is asked."""

    def __init__(
        self,
        database: AsyncEngine,
        engines: EngineClient,
        streams: Streams,
        journal: Journal,
        published: Callable[[], Published | None],
        in_service: InService,
    ) -> None:
        self._database = database
        self._engines = engines
        self._streams = streams
        self._journal = journal
        self._published = published
        self._in_service = in_service

    async def look(self) -> Collector:
        """Everything as it is now. Never raises for a database that is away: then `needlepoint_database_up` is 0."""
        given = self._published()
        ready = await self._engines.ready_count()
        waiting: list[Metric] = []
        try:
            async with (
                asyncio.timeout(PATIENCE),
                self._database.execution_options(**READS_ONLY).connect() as connection,
            ):
                waiting = [metric async for metric in _waiting(connection)]
        except (SQLAlchemyError, OSError, TimeoutError):
            waiting = []
        return _LookedUp(
            [
                InfoMetricFamily(
                    "needlepoint",
                    "What answers in this process.",
                    {
                        "version": __version__,
                        "model": self._engines.model,
                        "revision": str(given.revision if given else ""),
                        "encoder": self._in_service.encoder,
                        "safety_rules": self._in_service.safety_rules,
                    },
                ),
                _gauge("needlepoint_answers_given", "Entries that may be given.", len(given.entries) if given else 0),
                _gauge(
                    "needlepoint_answers_withdrawn",
                    "1 while the whole assistant is withdrawn.",
                    int(bool(given and given.withdrawn)),
                ),
                _gauge("needlepoint_engines_ready", "Engines that are ready for a turn.", ready),
                _gauge("needlepoint_event_streams", "Open event streams of this process.", self._streams.count()),
                _gauge(
                    "needlepoint_journal_entries",
                    "Messages in this machine's journal that the database does not have yet.",
                    await asyncio.to_thread(len, self._journal),
                ),
                _gauge("needlepoint_database_up", "1 when the database could be asked just now.", int(bool(waiting))),
                *waiting,
            ]
        )


async def _waiting(connection: AsyncConnection) -> AsyncIterator[Metric]:
    """What waits in the database: how much, and since when the oldest."""
    accepted = (Message.state == "accepted",)
    to_send = (Delivery.state == "waiting",)
    alerts = (StaffAlert.state == "waiting",)
    updates = (TelegramUpdate.done_at.is_(None),)
    theirs = Attention.conversation_id.in_(select(Conversation.id).where(Conversation.channel == ASKED_BY_STAFF))
    urgent = (
        Attention.level.in_(URGENT_LEVELS),
        Attention.acknowledged_at.is_(None),
        Attention.conversation_id.is_(None) | ~theirs,
    )
    for name, what, since, where in (
        ("needlepoint_messages_waiting", "Messages without an outcome", Message.accepted_at, accepted),
        ("needlepoint_telegram_deliveries_waiting", "Parts to be sent to Telegram", Delivery.created_at, to_send),
        ("needlepoint_telegram_updates_waiting", "Updates from Telegram", TelegramUpdate.received_at, updates),
        ("needlepoint_staff_alerts_waiting", "Alerts to be sent to staff", StaffAlert.created_at, alerts),
        ("needlepoint_urgent_unacknowledged", "Urgent messages that nobody acknowledged", Attention.created_at, urgent),
    ):
        count, oldest = (await connection.execute(select(func.count(), func.min(since)).where(*where))).one()
        yield _gauge(name, f"{what}.", count)
        yield _gauge(f"{name}_oldest_seconds", f"{what}: age of the oldest, 0 when there is none.", _age(oldest))
    failed: ColumnElement[bool] = StaffAlert.state == "failed"
    unheard = select(func.count()).select_from(StaffAlert).join(Attention).where(failed, *urgent)
    yield _gauge(
        "needlepoint_staff_alerts_failed",
        "Alerts about unacknowledged urgent messages that could not be delivered.",
        await connection.scalar(unheard) or 0,
    )
    last = await connection.scalar(select(func.max(BackupMade.at)))
    yield _gauge(
        "needlepoint_last_backup_timestamp_seconds",
        "When the database was backed up last (Unix time), 0 for never.",
        last.timestamp() if last else 0,
    )


def _age(since: datetime | None) -> float:
    return 0.0 if since is None else max(0.0, (now() - since).total_seconds())


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value)
