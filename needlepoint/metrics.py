"""What is counted and timed, for Prometheus. No patient's word, no id of a person, conversation or message; every label
has a short list of values."""

from __future__ import annotations

import time
from typing import Any, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.registry import Collector
from sqlalchemy import Engine, event

from needlepoint.reply import Kind, Urgency

#: Everything this process counts. Several processes each have their own; whoever reads them adds up.
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

#: Upper bounds in seconds; a turn ends at the latest after the deadline (5) and what waits before it.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: What can become of a message: the kind of its reply, or why there was none of the assistant's.
OUTCOMES = (*get_args(Kind), "apologised", "overtaken", "with_staff", "repeated", "consent_needed", "refused", "failed")
URGENCIES = get_args(Urgency)
CHANNELS = ("web", "telegram", "ask")
ENGINE_RESULTS = ("answered", "unreachable", "deadline", "failed", "nonsense")

MESSAGES = Counter(
    "needlepoint_messages",
    "Messages that people sent, by what became of them.",
    ("channel", "outcome", "urgency"),
    registry=REGISTRY,
)
TURN_SECONDS = Histogram(
    "needlepoint_turn_seconds",
    "From taking a message in to its outcome, waiting for earlier messages included.",
    ("outcome",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
ENGINE_SECONDS = Histogram(
    "needlepoint_engine_seconds",
    "One turn at the engines, a second engine after a lost connection included.",
    ("result",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
ENGINE_FAILURES = Counter(
    "needlepoint_engine_failures",
    "Attempts at an engine that gave no usable answer; another engine may have given it.",
    ("reason",),
    registry=REGISTRY,
)
ACTION_SECONDS = Histogram(
    "needlepoint_action_seconds",
    "One custom action, called by an engine.",
    ("action", "result"),
    buckets=_SECONDS,
    registry=REGISTRY,
)
DATABASE_SECONDS = Histogram(
    "needlepoint_database_seconds",
    "One statement at the database.",
    ("statement",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
DATABASE_ERRORS = Counter(
    "needlepoint_database_errors", "Statements and connections that the database refused or lost.", registry=REGISTRY
)
RESPONSES = Counter(
    "needlepoint_http_responses", "Responses at the public port, by class of status.", ("status",), registry=REGISTRY
)
DELIVERIES = Counter(
    "needlepoint_telegram_deliveries",
    "Attempts to send something to Telegram, by what is known of it afterwards.",
    ("state",),
    registry=REGISTRY,
)
for _state in ("sent", "tried_again", "unclear", "failed"):
    DELIVERIES.labels(_state)
for _channel in CHANNELS:
    for _urgency in URGENCIES:
        MESSAGES.labels(_channel, "answer", _urgency)
for _reason in ENGINE_RESULTS[1:]:
    ENGINE_FAILURES.labels(_reason)

_STATEMENTS = ("select", "insert", "update", "delete")


def count_message(channel: str, outcome: str, urgency: str, seconds: float) -> None:
    """One message has its outcome. What is in no list counts as `other`: labels stay few, whatever comes."""
    outcome = outcome if outcome in OUTCOMES else "other"
    MESSAGES.labels(
        channel if channel in CHANNELS else "other", outcome, urgency if urgency in URGENCIES else "other"
    ).inc()
    TURN_SECONDS.labels(outcome).observe(seconds)


def time_statements(engine: Engine) -> None:
    """Time every statement of this database engine; the sync engine of an asynchronous one."""

    @event.listens_for(engine, "before_cursor_execute")
    def _begins(
        connection: Any, _cursor: object, _statement: str, _parameters: object, context: Any, _many: bool
    ) -> None:
        connection.info["needlepoint_began"] = time.perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def _ends(connection: Any, _cursor: object, statement: str, _parameters: object, context: Any, _many: bool) -> None:
        began = connection.info.pop("needlepoint_began", None)
        if began is not None:
            kind = statement.lstrip()[:6].lower()
            DATABASE_SECONDS.labels(kind if kind in _STATEMENTS else "other").observe(time.perf_counter() - began)

    @event.listens_for(engine, "handle_error")
    def _fails(_context: object) -> None:
        DATABASE_ERRORS.inc()


def exposed(*further: Collector) -> bytes:
    """Everything in Prometheus' text format: what this process counts, and what `further` looked up just now."""
    looked_up = CollectorRegistry()
    for collector in further:
        looked_up.register(collector)
    return generate_latest(REGISTRY) + generate_latest(looked_up)
