"""The action webhook: Rasa's custom actions, served to the engine on a private address by the SDK's own executor."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import time
import traceback
from contextlib import nullcontext
from typing import Any

from litestar import Litestar, Request, get, post
from litestar.exceptions import NotAuthorizedException
from litestar.response import Response
from rasa_sdk.executor import ActionExecutor
from rasa_sdk.interfaces import ActionExecutionRejection, ActionNotFoundException

from needlepoint import metrics
from needlepoint.answering import prepared
from needlepoint.gauges import Gauges

log = logging.getLogger(__name__)


def create_webhook(secret: str, metrics_token: str, gauges: Gauges) -> Litestar:
    """The ASGI app of the webhook; only calls that carry the engines' secret are run.

    `/metrics` is here because this port is never public. It wants `metrics_token`; without one it answers this machine
    only.
    `?answers=NAME` in the address names a stand-in for the answers (a draft that is tried); an engine calls the address
    as it got it.
    """
    executor = ActionExecutor()
    executor.register_package("actions")
    actions = set(executor.actions)

    @get("/metrics")
    async def read_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """What is counted, in Prometheus' text format."""
        given = request.headers.get("authorization", "")
        host = request.client.host if request.client else ""
        if not _may_read(metrics_token, given, host):
            raise NotAuthorizedException("set NEEDLEPOINT_METRICS_TOKEN and send it as a bearer token")
        return Response(metrics.exposed(await gauges.look()), media_type="text/plain; version=0.0.4")

    @post("/webhook", status_code=200)
    async def run_action(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        """Run one action and return its events and responses, in Rasa's protocol."""
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {secret}".encode()):
            raise NotAuthorizedException("the engine's secret is missing or wrong")
        call = await request.json()
        began, result = time.perf_counter(), "failed"
        try:
            stand_in = request.query_params.get("answers")
            with prepared.called_with(stand_in) if stand_in else nullcontext():
                done = await executor.run(call) or {}
            result = "done"
            return Response(done)
        except ActionExecutionRejection as rejection:
            return Response({"error": str(rejection), "action_name": rejection.action_name}, status_code=400)
        except ActionNotFoundException as missing:
            return Response({"error": str(missing), "action_name": missing.action_name}, status_code=404)
        except Exception as error:
            # Where, but not the message: it could hold a patient's words.
            where = traceback.extract_tb(error.__traceback__)[-1]
            name = call.get("next_action") if isinstance(call, dict) else None
            log.error("action %s failed: %s at %s:%s", name, type(error).__name__, where.filename, where.lineno)
            return Response({"error": "the action failed", "action_name": name}, status_code=500)
        finally:
            name = call.get("next_action") if isinstance(call, dict) else None
            action, seconds = name if name in actions else "other", time.perf_counter() - began
            metrics.ACTION_SECONDS.labels(action, result).observe(seconds)
            log.info("an action ran", extra={"action": action, "result": result, "ms": round(seconds * 1000)})

    return Litestar([run_action, read_metrics], openapi_config=None, logging_config=None)


def _may_read(token: str, authorization: str, address: str) -> bool:
    if token:
        return hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
