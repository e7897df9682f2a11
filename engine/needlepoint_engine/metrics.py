"""What the engine counts and times, for Prometheus: no word of a person, no id, and labels with short lists of values.

`GET /webhooks/needlepoint/metrics` gives it: below the connector's path, because Rasa serves nothing else that is ours.
With `NEEDLEPOINT_METRICS_TOKEN` it wants that token as a bearer token; without one it answers this machine only.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from needlepoint_engine.shared_secret import LENGTH, SecretError

TOKEN_VARIABLE = "NEEDLEPOINT_METRICS_TOKEN"  # noqa: S105 - its name

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

TURN_SECONDS = Histogram(
    "needlepoint_engine_turn_seconds",
    "One turn in this engine, the call of its actions included.",
    ("result",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
ACTION_CALL_SECONDS = Histogram(
    "needlepoint_engine_action_call_seconds",
    "One call of the app's action webhook.",
    ("result",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
REFUSED = Counter(
    "needlepoint_engine_refused", "Requests that were no turn: a wrong secret or a wrong body.", registry=REGISTRY
)
READY = Gauge("needlepoint_engine_up", "1 when this engine has its model and takes turns.", registry=REGISTRY)
MODEL = Gauge("needlepoint_engine_model", "1 for the model in service.", ("model",), registry=REGISTRY)
for _result in ("answered", "deadline", "failed", "bad_request"):
    TURN_SECONDS.labels(_result)


def metrics_token(environment: Mapping[str, str]) -> str:
    """The token from the environment, empty when there is none.

    Raises:
        SecretError: when it is too short to be one.
    """
    token = environment.get(TOKEN_VARIABLE, "")
    if 0 < len(token) < LENGTH:
        raise SecretError(f"{TOKEN_VARIABLE} is too short: use at least {LENGTH} random characters, or leave it out.")
    return token


def may_read(token: str, authorization: str, address: str) -> bool:
    """May somebody at `address` with this Authorization header read the metrics?"""
    if token:
        return hmac.compare_digest(authorization.encode(errors="surrogateescape"), f"Bearer {token}".encode())
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def exposed() -> bytes:
    """Everything in Prometheus' text format."""
    return generate_latest(REGISTRY)
