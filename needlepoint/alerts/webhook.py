"""Alerts by webhook: a signed JSON body, sent to the address that the settings name and to no other."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import msgspec

from needlepoint.alerts.alert import Alert, DeliveryError
from needlepoint.alerts.channels import Webhook

#: Seconds for connecting and for each read, and for the whole.
STEP_SECONDS = 5.0
WHOLE_SECONDS = 15.0

SIGNATURE_HEADER = "Needlepoint-Signature"
TIMESTAMP_HEADER = "Needlepoint-Timestamp"
KEY_HEADER = "Idempotency-Key"


class Caller:
    """Posts alerts to one webhook."""

    def __init__(
        self,
        webhook: Webhook,
        desk: str,
        clock: Callable[[], float] = time.time,
        whole_seconds: float = WHOLE_SECONDS,
    ) -> None:
        self._webhook = webhook
        self._desk = desk
        self._clock = clock
        self._whole_seconds = whole_seconds
        # The environment's proxies and .netrc stay out of it, and a redirect is an error: it could lead anywhere.
        self._http = httpx.AsyncClient(timeout=STEP_SECONDS, follow_redirects=False, trust_env=False)

    async def send(self, _recipient: str, alerts: Sequence[Alert]) -> None:
        """Post each alert. Raises :class:`DeliveryError`."""
        for alert in alerts:
            await self._post(alert)

    async def _post(self, alert: Alert) -> None:
        content = body(alert, self._desk)
        at = str(int(self._clock()))
        headers = {
            "content-type": "application/json",
            "user-agent": "needlepoint",
            KEY_HEADER: alert.id,
            TIMESTAMP_HEADER: at,
            SIGNATURE_HEADER: f"sha256={signature(self._webhook.secret, at, content)}",
        }
        try:
            # What the receiver says besides its status is not read, however long it is.
            async with (
                asyncio.timeout(self._whole_seconds),
                self._http.stream("POST", self._webhook.url, content=content, headers=headers) as response,
            ):
                status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise _explained(error, self._webhook.host) from None
        if not 200 <= status < 300:
            raise DeliveryError(f"HTTP {status}", _mend(status, self._webhook.host))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def body(alert: Alert, desk: str) -> bytes:
    """What is posted, as JSON; docs/alerts.md describes it."""
    said: dict[str, Any] = {
        "id": alert.id,
        "type": "test" if alert.test else "urgent_message",
        "escalation": alert.kind == "escalation",
        "level": alert.level,
        "findings": alert.findings,
        "at": alert.at.isoformat(),
        "link": f"{desk}{alert.path}" if alert.path else None,
        "desk": f"{desk}/staff/alerts",
    }
    return msgspec.json.encode(said)


def signature(secret: str, timestamp: str, content: bytes) -> str:
    """HMAC-SHA256 over `timestamp.body`, in hexadecimal digits."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + content, hashlib.sha256).hexdigest()


def _explained(error: Exception, host: str) -> DeliveryError:
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(one, ssl.SSLError) for one in causes):
        mend = f"the certificate of {host} is not one for that name by a known authority; check the address"
        return DeliveryError("SSLError", mend)
    code = type(error).__name__
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return DeliveryError(code, f"{host} did not answer in time; check the receiver and the firewall")
    return DeliveryError(code, f"nobody answers at {host}; check NEEDLEPOINT_ALERT_WEBHOOK_URL")


def _mend(status: int, host: str) -> str:
    if 300 <= status < 400:
        return f"{host} sends elsewhere, which is not followed; put the final address in NEEDLEPOINT_ALERT_WEBHOOK_URL"
    if status in (401, 403):
        return f"{host} does not accept the signature; both sides need the same NEEDLEPOINT_ALERT_WEBHOOK_SECRET"
    if status in (404, 405, 410):
        return f"{host} has nothing that takes alerts there; check the path in NEEDLEPOINT_ALERT_WEBHOOK_URL"
    return f"{host} answered {status}; see the receiver's log"
