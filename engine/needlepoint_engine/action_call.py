"""How a custom action is called: at the address of the app that asked, with the shared secret, within its deadline.

Rasa knows one action endpoint for the whole process and waits up to 300 s for it. Here the address, the secret and
the time left belong to the request, so that any app process may use any engine process. Of the tracker only what an
action needs is sent; the events of the conversation stay where they are, in the app's database.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp
import pluggy
from rasa.plugin import plugin_manager
from rasa.utils.endpoints import ClientResponseError, EndpointConfig
from yarl import URL

from needlepoint_engine import logs, metrics

#: Hosts beside loopback that an action address may name, separated by commas.
ALLOWED_HOSTS_VARIABLE = "NEEDLEPOINT_ACTION_HOSTS"

_PLUGIN_NAME = "needlepoint-slim-action-call"
_hookimpl = pluggy.HookimplMarker("rasa")


@dataclass
class ActionCall:
    """What the current request says about calling its actions.

    `url` is the calling app's webhook, `give_up_at` the event loop's time (seconds) at which the request's deadline
    is over. `failure` is the first call that failed without being an action's own refusal: Rasa hides some of them.
    """

    url: str
    give_up_at: float
    failure: Exception | None = None


ACTION_CALL: ContextVar[ActionCall | None] = ContextVar("needlepoint_action_call", default=None)


#: Seconds for which a connection is kept for the next call; less than the 5 s after which the app's server closes it,
#: or a call could be sent into a connection that is being closed.
KEEP_ALIVE = 3.0


class KeptSession:
    """One HTTP session for all calls, where Rasa opens one, and with it a connection, for each."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            # Cookies of one app must not be sent to another.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def __aexit__(self, *_problem: object) -> None:
        """Leaves it open for the next call."""

    async def close(self) -> None:
        """Close what connections there are."""
        if self._session is not None:
            await self._session.close()


class _Endpoint(EndpointConfig):  # type: ignore[misc]
    """The address of one request, called through the kept session."""

    def __init__(self, url: str, headers: dict[str, str], kept: KeptSession) -> None:
        super().__init__(url=url, headers=headers)
        self._kept = kept

    def session(self) -> KeptSession:
        """The kept session; `async with` does not close it."""
        return self._kept


class CallingAppEndpoint(EndpointConfig):  # type: ignore[misc]
    """An action endpoint whose address and time limit come from the current request."""

    def __init__(self, secret: str) -> None:
        """`secret` is sent as a bearer token, so that the app can tell the engine from a stranger."""
        super().__init__(url="the address of the request", headers={"Authorization": f"Bearer {secret}"})
        self._kept = KeptSession()

    async def close(self) -> None:
        """Close the connections to apps."""
        await self._kept.close()

    async def request(
        self,
        method: str = "post",
        subpath: str | None = None,
        content_type: str | None = "application/json",
        compress: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Calls the app (see the parent class); redirects are not followed, they would carry the secret elsewhere.

        Raises:
            RuntimeError: outside of a request.
            asyncio.TimeoutError: when the request's deadline is over.
            aiohttp.ClientError: when the app cannot be reached or answers with an error.
            ValueError: when what it answers is not what an action answers; Rasa would take it for silence.
        """
        call = ACTION_CALL.get()
        if call is None:
            raise RuntimeError("an action was called outside of a request, so there is no address to call")
        its_id = {logs.HEADER: logs.REQUEST_ID.get()} if logs.REQUEST_ID.get() else {}
        endpoint = _Endpoint(call.url, {**self.headers, **its_id}, self._kept)
        kwargs["timeout"] = aiohttp.ClientTimeout(total=max(call.give_up_at - asyncio.get_running_loop().time(), 0.001))
        kwargs["allow_redirects"] = False
        began, result = asyncio.get_running_loop().time(), "failed"
        try:
            answer = await endpoint.request(method, subpath, content_type, compress, **kwargs)
            if not _is_action_result(answer):
                raise ValueError("the action's answer is not an object with lists of events and responses")
            result = "answered"
            return answer
        except Exception as failure:
            refused_by_action = isinstance(failure, ClientResponseError) and failure.status == 400
            if not refused_by_action and call.failure is None:
                call.failure = failure
            raise
        finally:
            metrics.ACTION_CALL_SECONDS.labels(result).observe(asyncio.get_running_loop().time() - began)


def _is_action_result(answer: object) -> bool:
    return isinstance(answer, dict) and all(isinstance(answer.get(part), list) for part in ("events", "responses"))


def checked_action_url(value: Any, environment: Mapping[str, str] = os.environ) -> str:
    """The action address in the form in which it will be called.

    Raises:
        ValueError: unless it is http(s) to loopback or to a host that `NEEDLEPOINT_ACTION_HOSTS` names.
    """
    try:
        # The very parser of the HTTP client: two parsers could disagree about what the host is.
        url = URL(value)
        host = url.host
    except (TypeError, ValueError) as problem:
        raise ValueError("action_url must be an address") from problem
    if url.scheme not in ("http", "https") or not host:
        raise ValueError("action_url must be an http or https address")
    if url.user is not None or url.password is not None:
        raise ValueError("action_url must not carry a user name or password")
    allowed = {name.strip().lower() for name in environment.get(ALLOWED_HOSTS_VARIABLE, "").split(",")}
    if host.lower() not in allowed - {""} and not _is_loopback(host):
        raise ValueError(f"action_url names a host that is neither loopback nor listed in {ALLOWED_HOSTS_VARIABLE}")
    return str(url)


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _SlimActionCall:
    """Rasa's hook for rewriting what an action is sent."""

    @_hookimpl
    def prefix_stripping_for_custom_actions(self, json_body: dict[str, Any]) -> dict[str, Any]:
        return slim_action_call(json_body)


def slim_action_call(json_body: Mapping[str, Any]) -> dict[str, Any]:
    """The same action call without the domain and without the conversation's events.

    The shape stays what rasa-sdk reads; `latest_message` keeps the parse with its ranking and embedding.
    """
    tracker = json_body["tracker"]
    kept = ("sender_id", "slots", "latest_message", "active_loop", "latest_action_name", "latest_action",
            "latest_input_channel", "latest_event_time")  # fmt: skip
    return {
        "next_action": json_body["next_action"],
        "sender_id": json_body["sender_id"],
        "version": json_body["version"],
        "domain": {},
        "tracker": {
            **{name: tracker[name] for name in kept},
            "events": [],
            "paused": False,
            "followup_action": None,
        },
    }


def register_slim_action_call() -> None:
    """Registers the hook once for the process."""
    plugins = plugin_manager()
    if not plugins.has_plugin(_PLUGIN_NAME):
        plugins.register(_SlimActionCall(), _PLUGIN_NAME)
