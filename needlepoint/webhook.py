"""The action webhook: Rasa's custom actions, served to the engine on a private address by the SDK's own executor."""

from __future__ import annotations

import hmac
import logging
import traceback
from contextlib import nullcontext
from typing import Any

from litestar import Litestar, Request, post
from litestar.exceptions import NotAuthorizedException
from litestar.response import Response
from rasa_sdk.executor import ActionExecutor
from rasa_sdk.interfaces import ActionExecutionRejection, ActionNotFoundException

from needlepoint.answering import prepared

log = logging.getLogger(__name__)


def create_webhook(secret: str) -> Litestar:
    """The ASGI app of the webhook; only calls that carry the engines' secret are run.

    `?answers=NAME` in the address names a stand-in for the answers (a draft that is tried); an engine calls the address
    as it got it.
    """
    executor = ActionExecutor()
    executor.register_package("actions")

    @post("/webhook", status_code=200)
    async def run_action(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        """Run one action and return its events and responses, in Rasa's protocol."""
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {secret}".encode()):
            raise NotAuthorizedException("the engine's secret is missing or wrong")
        call = await request.json()
        try:
            name = request.query_params.get("answers")
            with prepared.called_with(name) if name else nullcontext():
                return Response(await executor.run(call) or {})
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

    return Litestar([run_action], openapi_config=None, logging_config=None)
