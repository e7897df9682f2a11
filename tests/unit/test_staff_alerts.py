"""Staff are told of urgent messages: once, again after a failure, louder when nobody acknowledges. Both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.alerts.alert import Alert, DeliveryError
from needlepoint.alerts.channels import Channels
from needlepoint.alerts.sending import MANY, PAUSE, StaffAlerts
from needlepoint.conversations import record, staff_alerts
from needlepoint.conversations.models import ASKED_BY_STAFF, StaffAlert
from needlepoint.conversations.staff_alerts import LEASE, TRIED_FOR, AlertTo, next_attempt
from needlepoint.db.base import now
from needlepoint.db.connect import connect, connect_async
from needlepoint.db.migrate import migrate

ASSESSMENT = {"level": "emergency_now", "findings": [{"id": "airway", "rules": ["r"]}]}
CARD = {"kind": "urgent", "topic": "urgent", "text": "call"}
THREAD = {"level": "emergency_now", "cards": ["severe-allergic-reaction"], "findings": []}
SECRET_WORDS = "my tongue is swelling, says Tan"
NURSE, DOCTOR, HOOK = AlertTo("email", "nurse@c.test"), AlertTo("email", "dr@c.test"), AlertTo("webhook", "hook.test")
TEN_MINUTES = timedelta(minutes=10)


class Clock:
    """The real clock, which a test moves forward."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return now() + self._ahead

    @property
    def at(self) -> datetime:
        return self()

    def pass_by(self, time: timedelta) -> None:
        self._ahead += time


@dataclass
class Sender:
    """A channel that notes what it was given. `errors` come first, one an attempt; `before` runs during a sending."""

    sent: list[tuple[str, list[Alert]]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    before: Callable[[], Awaitable[Any]] | None = None

    async def send(self, recipient: str, alerts: Sequence[Alert]) -> None:
        if self.before:
            await self.before()
        await asyncio.sleep(0)
        if self.errors:
            raise DeliveryError(self.errors.pop(0), "mend it")
        self.sent.append((recipient, list(alerts)))

    async def close(self) -> None:
        """Nothing is held."""

    @property
    def recipients(self) -> list[str]:
        return [recipient for recipient, _ in self.sent]


class Escalating(Channels, frozen=True):
    """Channels by their recipients alone."""

    to: tuple[AlertTo, ...] = ()

    @property
    def escalation(self) -> tuple[AlertTo, ...]:
        return self.to


async def rounds(worker: StaffAlerts) -> None:
    """A round of each channel, at once as in the app."""
    outcomes = await asyncio.gather(*map(worker.look_after, worker.channels), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


class Room:
    """A database with staff alerts in it, and workers that send them."""

    def __init__(self, address: str) -> None:
        self.address, self.clock = address, Clock()
        self.database = connect_async(address)
        self.mail, self.hook = Sender(), Sender()
        self.opened = [self.database]

    def worker(self, *escalation: AlertTo, database: AsyncEngine | None = None) -> StaffAlerts:
        channels = Escalating(None, None, "https://desk.test", TEN_MINUTES, to=escalation)
        senders: dict[Any, Any] = {"email": self.mail, "webhook": self.hook}
        return StaffAlerts(database or self.database, channels, senders, self.clock)

    def another_process(self, *escalation: AlertTo) -> StaffAlerts:
        database = connect_async(self.address)
        self.opened.append(database)
        return self.worker(*escalation, database=database)

    async def urgent(self, *to: AlertTo, channel: str = "web", text: str = SECRET_WORDS) -> str:
        """An urgent message in a conversation of its own; returns its id."""
        conversation = await record.start(self.database, channel, "en", "1")
        await record.store_urgent(
            self.database, conversation, "m1", text, None, [], ASSESSMENT, CARD, THREAD, self.clock.at, alert_to=to
        )
        return conversation

    async def rows(self) -> list[Any]:
        async with self.database.connect() as connection:
            return list(await connection.execute(select(StaffAlert).order_by(StaffAlert.kind.desc())))

    async def states(self) -> list[str]:
        return sorted(row.state for row in await self.rows())

    async def acknowledge(self, by: str = "Nurse Aida") -> None:
        for message in await staff_alerts.open_messages(self.database, 100):
            await staff_alerts.acknowledge(self.database, message.id, message.at, by, self.clock.at)


@pytest.fixture
def run(database_address: str) -> Callable[[Callable[[Room], Awaitable[Any]]], Any]:
    """Runs an async scenario in a room of its own."""
    engine = connect(database_address)
    migrate(engine)
    engine.dispose()

    def scenario(body: Callable[[Room], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            room = Room(database_address)
            try:
                return await body(room)
            finally:
                for database in room.opened:
                    await database.dispose()

        return asyncio.run(whole())

    return scenario


def test_an_urgent_message_is_told_once_to_everybody_and_recorded(run: Any) -> None:
    async def scenario(room: Room) -> None:
        conversation = await room.urgent(NURSE, DOCTOR, HOOK)
        room.clock.pass_by(timedelta(seconds=1))
        worker = room.worker()
        for _ in range(3):
            await rounds(worker)
        assert sorted(room.mail.recipients) == ["dr@c.test", "nurse@c.test"] and room.hook.recipients == ["hook.test"]
        alert = room.hook.sent[0][1][0]
        assert (alert.level, alert.findings, alert.kind) == ("emergency_now", ["airway"], "first")
        assert alert.path == f"/staff/conversations/{conversation}"
        rows = await room.rows()
        assert {(row.state, row.attempts) for row in rows} == {("sent", 1)}
        assert all(row.created_at < row.sent_at <= room.clock.at for row in rows)

    run(scenario)


def test_before_consent_the_alert_is_level_finding_and_time_and_nothing_else(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await record.alert_without_consent(room.database, ASSESSMENT, room.clock.at, [HOOK])
        room.clock.pass_by(timedelta(seconds=1))
        await rounds(room.worker())
        alert = room.hook.sent[0][1][0]
        assert (alert.path, alert.level, alert.findings) == (None, "emergency_now", ["airway"])
        [listed] = await staff_alerts.open_messages(room.database, 10)
        assert listed.conversation is None and [one.state for one in listed.deliveries] == ["sent"]

    run(scenario)


def test_nothing_that_was_written_stands_in_an_alert_or_in_its_row(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(NURSE, HOOK)
        room.clock.pass_by(timedelta(seconds=1))
        await rounds(room.worker())
        seen = repr(room.mail.sent) + repr(room.hook.sent) + repr(await room.rows())
        assert "tongue" not in seen and "Tan" not in seen

    run(scenario)


def test_a_message_that_is_not_urgent_or_that_staff_asked_alerts_nobody(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(NURSE, channel=ASKED_BY_STAFF)
        await record.alert_without_consent(room.database, {"level": "contact_clinic"}, room.clock.at, [NURSE])
        assert await room.rows() == []
        assert (await staff_alerts.nobody_acknowledged(room.database)).count == 0

    run(scenario)


def test_if_the_message_is_not_stored_no_alert_is_either(run: Any) -> None:
    async def scenario(room: Room) -> None:
        with pytest.raises(record.UnknownConversationError):
            await record.store_urgent(
                room.database, "nowhere", "m", "x", None, [], ASSESSMENT, CARD, THREAD, now(), alert_to=[NURSE]
            )
        conversation = await room.urgent(NURSE)
        again = await record.store_urgent(  # the same message id
            room.database, conversation, "m1", "x", None, [], ASSESSMENT, CARD, THREAD, now(), alert_to=[NURSE]
        )
        assert again.state == "urgent"
        assert len(await room.rows()) == 1

    run(scenario)


def test_a_failure_is_tried_again_later_and_then_recorded_as_sent(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(HOOK)
        room.clock.pass_by(timedelta(seconds=1))
        room.hook.errors = ["HTTP 503", "ConnectError"]
        worker = room.worker()
        await rounds(worker)
        [row] = await room.rows()
        assert (row.state, row.attempts, row.last_error) == ("waiting", 1, "HTTP 503")
        await rounds(worker)
        assert len(room.hook.errors) == 1, "tried again at once"
        room.clock.pass_by(timedelta(seconds=16))
        await rounds(worker)
        room.clock.pass_by(timedelta(seconds=16))
        await rounds(worker)
        assert room.hook.sent == [], "the pause did not grow"
        room.clock.pass_by(timedelta(seconds=16))
        await rounds(worker)
        [row] = await room.rows()
        assert (row.state, row.attempts, row.last_error) == ("sent", 3, None)

    run(scenario)


def test_what_cannot_be_delivered_is_given_up_after_two_hours_and_staff_see_it(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(HOOK)
        room.hook.errors = ["HTTP 500"] * 1000
        worker = room.worker()
        began = room.clock.at
        while (await room.states()) == ["waiting"]:
            room.clock.pass_by(timedelta(minutes=5))
            await rounds(worker)
        assert TRIED_FOR - TEN_MINUTES < room.clock.at - began < TRIED_FOR + TEN_MINUTES
        [row] = await room.rows()
        assert (row.state, row.last_error) == ("failed", "HTTP 500") and 20 < row.attempts < 30
        assert (await staff_alerts.nobody_acknowledged(room.database)).failed == 1

    run(scenario)


def test_pauses_double_up_to_five_minutes() -> None:
    at = now()
    pauses = [(next_attempt(number, at, at) or at) - at for number in range(1, 8)]
    assert [pause.total_seconds() for pause in pauses] == [15, 30, 60, 120, 240, 300, 300]
    assert next_attempt(9, at, at + TRIED_FOR) is None
    assert next_attempt(1, at, at + TRIED_FOR) is not None, "an alert that waited for the app is still tried"


def test_two_processes_at_once_send_nothing_twice(run: Any) -> None:
    async def scenario(room: Room) -> None:
        for _ in range(8):
            await room.urgent(NURSE, HOOK)
        room.clock.pass_by(timedelta(seconds=1))

        async def as_the_app_does(worker: StaffAlerts) -> None:
            for _ in range(3):
                with suppress(OperationalError):  # SQLite is busy; the next round notes what was sent
                    await rounds(worker)

        workers = [room.worker(DOCTOR, HOOK), room.another_process(DOCTOR, HOOK), room.another_process(DOCTOR, HOOK)]
        await asyncio.gather(*map(as_the_app_does, workers))
        ids = [alert.id for _, alerts in room.hook.sent + room.mail.sent for alert in alerts]
        assert len(ids) == len(set(ids)) == 16
        room.clock.pass_by(TEN_MINUTES)
        await asyncio.gather(*map(as_the_app_does, workers))
        ids = [alert.id for _, alerts in room.hook.sent + room.mail.sent for alert in alerts]
        assert len(ids) == len(set(ids)) == 32
        assert await room.states() == ["sent"] * 32

    run(scenario)


def test_an_alert_whose_process_died_is_sent_by_another_when_the_lease_is_over(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(HOOK)
        room.clock.pass_by(timedelta(seconds=1))
        assert len(await staff_alerts.take(room.database, "webhook", room.clock.at, 10)) == 1  # and then it died
        worker = room.worker()
        await rounds(worker)
        assert room.hook.sent == []
        room.clock.pass_by(LEASE)
        await rounds(worker)
        assert len(room.hook.sent) == 1

    run(scenario)


def test_what_nobody_acknowledges_is_escalated_once_to_those_who_are_named(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(NURSE, HOOK)
        worker = room.worker(DOCTOR, HOOK)
        for minutes in (1, 8, 2, 30, 300):
            room.clock.pass_by(timedelta(minutes=minutes))
            await rounds(worker)
            if minutes == 8:
                assert room.mail.recipients == ["nurse@c.test"], "escalated too early"
        assert room.mail.recipients == ["nurse@c.test", "dr@c.test"]
        assert [alerts[0].kind for _, alerts in room.hook.sent] == ["first", "escalation"]
        [message] = await staff_alerts.open_messages(room.database, 10)
        assert message.escalated_at is not None

    run(scenario)


def test_what_was_acknowledged_is_not_escalated(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(NURSE)
        worker = room.worker(DOCTOR, HOOK)
        room.clock.pass_by(timedelta(minutes=9))
        await rounds(worker)
        await room.acknowledge()
        room.clock.pass_by(timedelta(minutes=9))
        await rounds(worker)
        assert room.mail.recipients == ["nurse@c.test"] and room.hook.sent == []

    run(scenario)


def test_an_escalation_that_waits_is_not_sent_once_somebody_acknowledged(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(NURSE)
        worker = room.worker(DOCTOR, HOOK)
        room.clock.pass_by(timedelta(seconds=1))
        await rounds(worker)
        room.hook.errors = ["HTTP 503"]
        room.clock.pass_by(TEN_MINUTES)
        await rounds(worker)  # the mail to the doctor is taken, the post is not
        assert await room.states() == ["sent", "sent", "waiting"]
        await room.acknowledge()
        room.clock.pass_by(timedelta(minutes=1))
        await rounds(worker)
        assert room.hook.sent == [] and await room.states() == ["cancelled", "sent", "sent"]

    run(scenario)


def test_somebody_who_acknowledges_between_the_taking_and_the_sending_stops_it(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(NURSE)
        room.clock.pass_by(timedelta(seconds=1))
        take = staff_alerts.take

        async def take_and_wait(*arguments: Any) -> Any:
            taken = await take(*arguments)
            await room.acknowledge()
            return taken

        monkeypatch.setattr(staff_alerts, "take", take_and_wait)
        await rounds(room.worker())
        assert room.mail.sent == [] and await room.states() == ["cancelled"]

    run(scenario)


def test_what_was_sent_while_somebody_acknowledged_is_recorded_as_sent(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(NURSE)
        room.clock.pass_by(timedelta(seconds=1))
        room.mail.before = room.acknowledge
        await rounds(room.worker())
        assert await room.states() == ["sent"]

    run(scenario)


def test_the_first_who_acknowledges_is_recorded_and_stays(run: Any) -> None:
    async def scenario(room: Room) -> None:
        conversation = await room.urgent(NURSE)
        [message] = await staff_alerts.open_messages(room.database, 10)
        for name in ("Nurse Aida", "Dr Lim"):
            came = await staff_alerts.acknowledge(room.database, message.id, message.at, name, room.clock.at)
            assert came == conversation
            room.clock.pass_by(timedelta(minutes=1))
        [done] = await staff_alerts.acknowledged_messages(room.database, 10)
        assert done.acknowledged_by == "Nurse Aida"
        assert done.acknowledged_at and done.acknowledged_at < room.clock.at - timedelta(minutes=1)
        other = message.at + timedelta(seconds=1)
        assert await staff_alerts.acknowledge(room.database, message.id, other, "Dr Lim", now()) is None
        assert await staff_alerts.acknowledge(room.database, 4711, message.at, "Dr Lim", now()) is None

    run(scenario)


def test_a_channel_set_up_today_wakes_nobody_for_what_came_before(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent()  # no channel was set up
        room.clock.pass_by(timedelta(days=30))
        await rounds(room.worker(DOCTOR, HOOK))
        assert room.mail.sent == room.hook.sent == []
        assert (await staff_alerts.nobody_acknowledged(room.database)).count == 1

    run(scenario)


def test_an_erased_conversation_takes_its_alerts_along(run: Any) -> None:
    async def scenario(room: Room) -> None:
        conversation = await room.urgent(NURSE)
        await record.erase(room.database, conversation)
        assert await room.rows() == []
        room.clock.pass_by(timedelta(hours=1))
        await rounds(room.worker(DOCTOR))
        assert room.mail.sent == []

    run(scenario)


def test_one_channel_that_fails_does_not_hold_up_the_other(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(NURSE, HOOK)
        room.clock.pass_by(timedelta(seconds=1))
        room.mail.errors = ["SMTPAuthenticationError 535"]
        await rounds(room.worker())
        assert room.hook.recipients == ["hook.test"]
        assert sorted((row.channel, row.state) for row in await room.rows()) == [
            ("email", "waiting"),
            ("webhook", "sent"),
        ]

    run(scenario)


def test_a_flood_becomes_few_e_mails_and_every_alert_is_in_one(run: Any) -> None:
    async def scenario(room: Room) -> None:
        worker = room.worker()
        for _ in range(MANY + 4):
            await record.alert_without_consent(room.database, ASSESSMENT, room.clock.at, [NURSE])
            room.clock.pass_by(timedelta(seconds=1))
            await rounds(worker)
        assert len(room.mail.sent) == MANY
        room.clock.pass_by(PAUSE)
        await rounds(worker)
        assert [len(alerts) for _, alerts in room.mail.sent] == [1] * MANY + [4]
        assert set(await room.states()) == {"sent"}

    run(scenario)


def test_what_was_sent_but_could_not_be_noted_is_not_sent_again(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(HOOK)
        room.clock.pass_by(timedelta(seconds=1))
        note_sent = staff_alerts.note_sent

        async def away(*_arguments: Any) -> None:
            raise OSError("the database is away")

        monkeypatch.setattr(staff_alerts, "note_sent", away)
        worker = room.worker()
        with pytest.raises(OSError, match="away"):
            await rounds(worker)
        assert await room.states() == ["waiting"]
        monkeypatch.setattr(staff_alerts, "note_sent", note_sent)
        room.clock.pass_by(LEASE * 2)
        await rounds(worker)
        assert len(room.hook.sent) == 1 and await room.states() == ["sent"]

    run(scenario)


def test_a_stop_waits_for_what_is_being_sent(run: Any) -> None:
    async def scenario(room: Room) -> None:
        await room.urgent(HOOK)
        room.clock.pass_by(timedelta(seconds=1))
        begun = asyncio.Event()

        async def slow() -> None:
            begun.set()
            await asyncio.sleep(0.1)

        room.hook.before = slow
        worker = room.worker()
        looking = asyncio.create_task(worker.look_after("webhook"))
        await begun.wait()
        looking.cancel()
        await worker.close()
        assert len(room.hook.sent) == 1 and await room.states() == ["sent"]

    run(scenario)
