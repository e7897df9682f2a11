"""Asks an engine for one turn, within the deadline, trying another engine when the connection is lost."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import httpx
import msgspec

from needlepoint import logs, metrics
from needlepoint.reply import Reply, followed_by

#: Seconds for which an engine that could not be reached is tried last.
AVOID_FOR = 2.0


class EngineError(Exception):
    """No usable answer from any engine. `code` is for the record: unreachable, deadline, failed, nonsense."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code


class ActionMessage(msgspec.Struct, frozen=True):
    """What our actions say: one Reply, and plain requests to the app."""

    reply: Reply
    effects: list[dict[str, Any]] = []


class Parse(msgspec.Struct, frozen=True):
    """What the engine made of the words, as far as the record keeps it."""

    intent: dict[str, Any] | None = None
    intent_ranking: list[dict[str, Any]] = []
    entities: list[dict[str, Any]] = []


class EngineTurn(msgspec.Struct, frozen=True):
    """An engine's answer to one turn, as the connector sends it."""

    messages: list[dict[str, Any]]
    parse: Parse
    actions: list[dict[str, Any]]
    slots: dict[str, Any]
    events: list[dict[str, Any]]
    model: str
    active_loop: dict[str, Any] | None = None

    def said(self) -> ActionMessage:
        """The one Reply of this turn: what an action said, and below it the question of a form that goes on.

        Raises :class:`EngineError` when there is none, or more than one of a kind.
        """
        try:
            said = [
                msgspec.convert(message["custom"], ActionMessage) for message in self.messages if "custom" in message
            ]
            if len(said) == 2 and said[1].reply.kind == "form":
                answer, form = said
                return ActionMessage(followed_by(answer.reply, form.reply), [*answer.effects, *form.effects])
            if len(said) != 1:
                raise EngineError("nonsense", f"{len(said)} replies in one turn")
            return said[0]
        except msgspec.ValidationError as error:
            raise EngineError("nonsense", str(error)) from None


class _Ready(msgspec.Struct, frozen=True):
    model: str | None = None


class EngineClient:
    """One pool of connections to the configured engines."""

    def __init__(self, urls: list[str], secret: str, webhook_url: str, deadline: float) -> None:
        self._urls = urls
        self._webhook_url = webhook_url
        self._deadline = deadline
        self._avoid_until = dict.fromkeys(urls, 0.0)
        self._turns = 0
        #: Hash of the model that an engine said last it answers with.
        self.model = ""
        self._http = httpx.AsyncClient(headers={"Authorization": f"Bearer {secret}"}, trust_env=False)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def turn(
        self,
        conversation: str,
        message_id: str,
        text: str,
        choice: str | None,
        events: list[dict[str, Any]],
        answers: str | None = None,
    ) -> EngineTurn:
        """Have one message understood and acted on; with `answers` by what stands in for the usual ones by that name.

        Raises :class:`EngineError`.
        """
        began, result = time.perf_counter(), "failed"
        try:
            turn = await self._turn(conversation, message_id, text, choice, events, answers)
            result, self.model = "answered", turn.model
            return turn
        except EngineError as error:
            result = error.code
            if result != "unreachable":  # counted where it happened, at each engine
                metrics.ENGINE_FAILURES.labels(result).inc()
            raise
        finally:
            metrics.ENGINE_SECONDS.labels(result).observe(time.perf_counter() - began)

    async def _turn(
        self,
        conversation: str,
        message_id: str,
        text: str,
        choice: str | None,
        events: list[dict[str, Any]],
        answers: str | None,
    ) -> EngineTurn:
        ends = time.monotonic() + self._deadline
        failure = EngineError("unreachable", "no engine is configured")
        for url in self._order():
            left = ends - time.monotonic()
            if left <= 0:
                break
            body = {
                "conversation": conversation,
                "message_id": message_id,
                "text": text,
                "choice": {"entry_id": choice} if choice else None,
                "events": events,
                "action_url": self._webhook_url + (f"?answers={answers}" if answers else ""),
                "deadline": left,
            }
            try:
                # The connector gives up by itself at the deadline; the margin lets its own answer arrive first.
                async with asyncio.timeout(left + 0.3):  # httpx counts each read anew; this counts them all
                    response = await self._http.post(
                        f"{url}/webhooks/needlepoint/turn",
                        json=body,
                        headers={logs.HEADER: logs.REQUEST_ID.get()},
                        timeout=None,
                    )
            except TimeoutError:
                raise EngineError("deadline", f"{self._deadline} s") from None
            except httpx.DecodingError as error:
                raise EngineError("nonsense", type(error).__name__) from None
            except httpx.TransportError as error:
                self._left(url)
                failure = EngineError("unreachable", type(error).__name__)
                continue
            if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # it listens already and still loads its model
                self._left(url)
                failure = EngineError("unreachable", "HTTP 503")
                continue
            return _read(response)
        raise failure

    def _left(self, url: str) -> None:
        """This engine could not be reached: for a while others come first."""
        self._avoid_until[url] = time.monotonic() + AVOID_FOR
        metrics.ENGINE_FAILURES.labels("unreachable").inc()

    async def ready_count(self) -> int:
        """How many engines answer that they are ready."""
        return sum(await asyncio.gather(*(self._is_ready(url) for url in self._urls)))

    async def ready(self) -> bool:
        """Does any engine answer that it is ready?"""
        for url in self._order():
            if await self._is_ready(url):
                return True
        return False

    async def _is_ready(self, url: str) -> bool:
        try:
            response = await self._http.get(f"{url}/webhooks/needlepoint/ready", timeout=1.0)
        except httpx.TransportError:
            return False
        if response.status_code != httpx.codes.OK:
            return False
        with suppress(msgspec.DecodeError):
            self.model = msgspec.json.decode(response.content, type=_Ready).model or self.model
        return True

    def _order(self) -> list[str]:
        """The engines, taking turns; those that just failed come last."""
        self._turns += 1
        at = time.monotonic()
        turned = [self._urls[(self._turns + offset) % len(self._urls)] for offset in range(len(self._urls))]
        return sorted(turned, key=lambda url: self._avoid_until[url] > at)


def _read(response: httpx.Response) -> EngineTurn:
    if response.status_code != httpx.codes.OK:
        code = "deadline" if response.status_code == httpx.codes.GATEWAY_TIMEOUT else "failed"
        raise EngineError(code, f"HTTP {response.status_code}")
    try:
        return msgspec.json.decode(response.content, type=EngineTurn)
    except msgspec.DecodeError as error:
        raise EngineError("nonsense", str(error)) from None
