"""The engine's only door: one turn in, everything that came of it out.

`POST /webhooks/needlepoint/turn` takes the fields of :class:`~needlepoint_engine.turn_request.TurnRequest` as JSON,
`choice` as `{"entry_id": ...}` and `events` as Rasa writes events, and answers with `messages`, `parse`, `actions`
(name, policy, confidence), `slots`, `active_loop`, `events` (the new ones) and `model` (SHA-256 of the archive).
`GET /webhooks/needlepoint/ready` answers with `ready` and `model`, 200 or 503; `metrics` is for Prometheus
(`metrics.py`). The first two want the shared secret as a
bearer token. Errors are `{"error": {"code", "message"}}`: 400 bad_request, 401 unauthorised, 500 failed, 503 starting,
504 deadline.

The connector calls Rasa's processor itself instead of going through the agent: the agent would take a lock that polls
once a second, and the app already sends a conversation's messages in order.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import hmac
import json
import logging
import os
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import rasa.telemetry
from rasa.core.channels.channel import CollectingOutputChannel, InputChannel, UserMessage
from rasa.shared.core.events import ActionExecuted, Event, UserUttered
from rasa.shared.core.trackers import DialogueStateTracker
from rasa.shared.exceptions import RasaException
from sanic import Blueprint, Sanic
from sanic.request import Request
from sanic.response import HTTPResponse

from needlepoint_engine import logs, metrics
from needlepoint_engine.action_call import (
    ACTION_CALL,
    ActionCall,
    CallingAppEndpoint,
    register_slim_action_call,
)
from needlepoint_engine.carried_state import CARRIED, CarriedEventsError, CarriedState
from needlepoint_engine.shared_secret import SecretError, shared_secret
from needlepoint_engine.turn_processor import ActionFailedError, TurnProcessor
from needlepoint_engine.turn_request import DEADLINE_SECONDS, BadRequestError, TurnRequest, read_turn_request

logger = logging.getLogger(__name__)

#: Largest request, in bytes: the carried events of six turns are some tens of kilobytes.
REQUEST_BYTES = 8 * 1024 * 1024
#: The properties of a parse that go to the action and nowhere else.
EMBEDDINGS = ("embedding", "questions")
CHOOSE = "choose"

_RESULTS = {200: "answered", 400: "bad_request", 504: "deadline"}
_PARSE_FIELDS = ("text", "intent", "intent_ranking", "entities", "language")


class TurnInput(InputChannel):  # type: ignore[misc]
    """Rasa's view of the connector; named in `credentials.yml`."""

    def __init__(self, secret: str, token_for_metrics: str = "", log_format: str = "plain") -> None:
        """`secret` is shared with the app; see `shared_secret.py`. For the others see `metrics.py` and `logs.py`."""
        self._secret = secret
        self._log_format = log_format
        self._token_for_metrics = token_for_metrics
        self._model = ""
        self._processor: TurnProcessor | None = None
        self._endpoint: CallingAppEndpoint | None = None
        self._stopping = False

    @classmethod
    def name(cls) -> str:
        """The channel's name, which is also its path under `/webhooks/`."""
        return "needlepoint"

    @classmethod
    def from_credentials(cls, credentials: dict[str, Any] | None) -> TurnInput:
        """Reads the secret from the environment; nothing secret stands in `credentials.yml`.

        Raises:
            RasaException: when the process may not start, with the reason and the mend.
        """
        if rasa.telemetry.is_telemetry_enabled():
            raise RasaException(
                "Rasa's telemetry is on. Set RASA_TELEMETRY_ENABLED=false in the environment of this process."
            )
        try:
            return cls(shared_secret(os.environ), metrics.metrics_token(os.environ), logs.log_format(os.environ))
        except (SecretError, logs.LogFormatError) as problem:
            raise RasaException(str(problem)) from problem

    def blueprint(self, on_new_message: Callable[[UserMessage], Awaitable[Any]]) -> Blueprint:
        """The two routes, and the preparation that runs when Rasa has loaded its model."""
        register_slim_action_call()
        blueprint = Blueprint("needlepoint_turns", __name__)

        # Sanic marks its handlers, which it cannot do to methods.
        @blueprint.post("/turn")
        async def turn(request: Request) -> HTTPResponse:
            its_id = logs.request_id(request.headers.get(logs.HEADER, ""))
            before = logs.REQUEST_ID.set(its_id)
            try:
                response = await self._turn(request)
            finally:
                # One task serves all requests of a connection.
                logs.REQUEST_ID.reset(before)
            if its_id:
                response.headers[logs.HEADER] = its_id
            if self._stopping:
                # Sanic closes the connections that are idle when it stops; this one would have been kept open
                # afterwards, and waited for until the time limit.
                request.stream.keep_alive = False
            return response

        @blueprint.get("/ready")
        async def ready(request: Request) -> HTTPResponse:
            return await self._ready(request)

        @blueprint.get("/metrics")
        async def metrics_page(request: Request) -> HTTPResponse:
            if not metrics.may_read(self._token_for_metrics, request.headers.get("authorization", ""), request.ip):
                return _unauthorised()
            return HTTPResponse(metrics.exposed(), content_type="text/plain; version=0.0.4; charset=utf-8")

        blueprint.listener("before_server_start")(self._bound_requests)
        blueprint.listener("after_server_start")(self._prepare)
        blueprint.listener("before_server_stop")(self._stop)
        blueprint.listener("after_server_stop")(self._close)
        return blueprint

    async def _bound_requests(self, app: Sanic, loop: asyncio.AbstractEventLoop) -> None:
        logs.set_up(self._log_format)
        app.config.REQUEST_MAX_SIZE = REQUEST_BYTES
        app.config.RESPONSE_TIMEOUT = int(DEADLINE_SECONDS) + 5
        # SIGTERM: turns that are being answered may finish.
        app.config.GRACEFUL_SHUTDOWN_TIMEOUT = DEADLINE_SECONDS + 5

    async def _stop(self, app: Sanic, loop: asyncio.AbstractEventLoop) -> None:
        self._stopping = True

    async def _close(self, app: Sanic, loop: asyncio.AbstractEventLoop) -> None:
        if self._endpoint is not None:
            await self._endpoint.close()

    async def _prepare(self, app: Sanic, loop: asyncio.AbstractEventLoop) -> None:
        """Takes over the loaded model and reads one sentence with it, so that the first person need not wait.

        Raises:
            RasaException: when Rasa started without a model, which it would do silently.
        """
        loaded = app.ctx.agent.processor
        if loaded is None:
            raise RasaException("The model could not be loaded; the lines above say why. Train it again.")
        endpoint = CallingAppEndpoint(self._secret)
        processor = TurnProcessor.taking_over(loaded, endpoint)
        self._endpoint = endpoint
        await processor.parse_message(UserMessage("is everything ready?"))
        app.ctx.agent.processor = processor
        self._model = await loop.run_in_executor(None, _digest, _archive_of(processor))
        self._processor = processor
        metrics.READY.set(1)
        metrics.MODEL.labels(self._model).set(1)
        logger.info("Needlepoint's engine is ready with model %s", self._model[:12])

    async def _ready(self, request: Request) -> HTTPResponse:
        if not self._is_allowed(request):
            return _unauthorised()
        if self._processor is None:
            return _json({"ready": False, "model": None}, 503)
        return _json({"ready": True, "model": self._model})

    async def _turn(self, request: Request) -> HTTPResponse:
        arrived = asyncio.get_running_loop().time()
        if not self._is_allowed(request):
            metrics.REFUSED.inc()
            return _unauthorised()
        if self._processor is None:
            return _error(503, "starting", "the engine is still starting")
        try:
            turn = read_turn_request(json.loads(request.body))
        except BadRequestError as problem:
            metrics.REFUSED.inc()
            return _error(400, "bad_request", str(problem))
        except (ValueError, RecursionError):
            metrics.REFUSED.inc()
            return _error(400, "bad_request", "the body is not JSON in UTF-8")
        response = await self._answer(turn, arrived + turn.deadline)
        result = _RESULTS.get(response.status, "failed")
        seconds = asyncio.get_running_loop().time() - arrived
        metrics.TURN_SECONDS.labels(result).observe(seconds)
        logger.info("a turn has its end", extra={"result": result, "ms": round(seconds * 1000)})
        return response

    async def _answer(self, turn: TurnRequest, give_up_at: float) -> HTTPResponse:
        carried = CarriedState(turn.events)
        call = ActionCall(turn.action_url, give_up_at)
        carried_before, call_before = CARRIED.set(carried), ACTION_CALL.set(call)
        try:
            messages = await asyncio.wait_for(
                self._processor.handle_message(_message_of(turn)),  # type: ignore[union-attr]
                give_up_at - asyncio.get_running_loop().time(),
            )
            if call.failure is not None:
                raise ActionFailedError("of Rasa itself") from call.failure
        except Exception as failure:
            return _refusal(failure, is_late=asyncio.get_running_loop().time() >= give_up_at)
        finally:
            # One task serves all requests of a connection, so what is not taken back would outlive its request.
            CARRIED.reset(carried_before)
            ACTION_CALL.reset(call_before)
        if carried.saved is None:
            return _error(500, "failed", "Rasa did not finish the turn")
        return _json(_outcome(carried.saved, carried.carried_over, messages or [], self._model))

    def _is_allowed(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        return hmac.compare_digest(given.encode(errors="surrogateescape"), f"Bearer {self._secret}".encode())


def _message_of(turn: TurnRequest) -> UserMessage:
    message = UserMessage(
        turn.text,
        CollectingOutputChannel(),
        turn.conversation,
        parse_data=None if turn.choice is None else _chosen(turn.choice, turn.text),
        input_channel=TurnInput.name(),
        message_id=turn.message_id,
        metadata=turn.metadata,
    )
    # Rasa strips the text; the record keeps what was written.
    message.text = turn.text
    return message


def _chosen(entry_id: str, text: str) -> dict[str, Any]:
    """The parse of a pressed button: no classifier is asked what it means."""
    intent = {"name": CHOOSE, "confidence": 1.0}
    return {
        "text": text,
        "intent": intent,
        "intent_ranking": [dict(intent)],
        "entities": [{"entity": "entry_id", "value": entry_id}],
    }


def _outcome(
    tracker: DialogueStateTracker, carried_over: int, messages: list[dict[str, Any]], model: str
) -> dict[str, Any]:
    new_events = list(tracker.events)[carried_over:]
    parse = tracker.latest_message.parse_data if tracker.latest_message else {}
    return {
        "messages": messages,
        "parse": {field: parse[field] for field in _PARSE_FIELDS if field in parse},
        "actions": [
            {"name": event.action_name, "policy": event.policy, "confidence": event.confidence}
            for event in new_events
            if isinstance(event, ActionExecuted)
        ],
        "slots": tracker.current_slot_values(),
        "active_loop": dataclasses.asdict(tracker.active_loop) if tracker.active_loop else None,
        "events": [_stored(event) for event in new_events],
        "model": model,
    }


def _stored(event: Event) -> dict[str, Any]:
    """An event as the app keeps it: without the embeddings, which are large and can be computed again."""
    described: dict[str, Any] = event.as_dict()
    if isinstance(event, UserUttered):
        described["parse_data"] = {k: v for k, v in described["parse_data"].items() if k not in EMBEDDINGS}
    return described


def _archive_of(processor: TurnProcessor) -> Path:
    """Rasa keeps the path it was given, which may be the folder of the archive that it chose."""
    path: Path = processor.model_path
    return path / processor.model_filename if path.is_dir() else path


def _digest(archive: Path) -> str:
    digest = hashlib.sha256()
    with archive.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _refusal(failure: Exception, *, is_late: bool) -> HTTPResponse:
    """The answer to a turn that did not come to its end; `is_late` when its deadline was over by then."""
    cause = failure.__cause__ or failure
    if isinstance(failure, CarriedEventsError):
        return _error(400, "bad_request", str(failure))
    # A call cut short while it connects fails as an unreachable host, so the clock decides as well as the class; before
    # Python 3.11 this class is another than the built-in TimeoutError.
    if is_late or isinstance(cause, asyncio.TimeoutError):
        return _error(504, "deadline", "the turn was given up at its deadline and left no trace")
    # The log gets what happened and where, and never what was said: messages of exceptions may quote a person.
    what = f"action {failure} failed" if isinstance(failure, ActionFailedError) else "the turn failed"
    frames = traceback.extract_tb(cause.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
    logger.error("%s: %s at %s", what, type(cause).__name__, place)
    return _error(500, "failed", f"{what}: {type(cause).__name__}")


def _unauthorised() -> HTTPResponse:
    return _error(401, "unauthorised", "the shared secret is missing or wrong")


def _error(status: int, code: str, message: str) -> HTTPResponse:
    return _json({"error": {"code": code, "message": message}}, status)


def _json(content: dict[str, Any], status: int = 200) -> HTTPResponse:
    # ASCII output, because half surrogate pairs in carried metadata could not be written as UTF-8.
    return HTTPResponse(json.dumps(content), status, content_type="application/json")
