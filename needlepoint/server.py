"""One app process: the public address and the action webhook, stopped in the order that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

import uvicorn
import uvloop
from litestar.types import ASGIApp

from needlepoint import logs
from needlepoint.app import create_app
from needlepoint.logs import RequestIds
from needlepoint.settings import Settings
from needlepoint.webhook import create_webhook


class _Server(uvicorn.Server):
    """A server that leaves the signals to us: two of them share this process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: ASGIApp, settings: Settings, host: str, port: int) -> _Server:
    config = uvicorn.Config(
        RequestIds(app),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=drain_seconds(settings),
        lifespan="on",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
    )
    return _Server(config)


def drain_seconds(settings: Settings) -> int:
    """How long open requests get to be answered at a stop: a turn, one that waits for it, and some air."""
    return int(2 * settings.engine_deadline) + 5


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then stop in the order that loses nothing.

    Readiness goes first, and for `stop_delay` seconds (until a second signal) all goes on as before; then the streams
    end, open requests are answered, and only then the webhook stops, which they need.
    """
    built = create_app(settings)
    public = _server(built.app, settings, settings.host, settings.port)
    internal = create_webhook(settings.engine_secret, settings.metrics_token, built.gauges)
    webhook = _server(internal, settings, settings.action_host, settings.action_port)

    told_to_stop, told_again = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (told_again if told_to_stop.is_set() else told_to_stop).set()

    async def stop_in_order() -> None:
        await told_to_stop.wait()
        built.stopping.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told_again.wait(), settings.stop_delay)
        built.streams.close()
        public.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    serving_webhook = asyncio.create_task(webhook.serve())
    stopping = asyncio.create_task(stop_in_order())
    try:
        await public.serve()
    finally:
        # Turns that were open needed the webhook until now.
        stopping.cancel()
        webhook.should_exit = True
        await serving_webhook


def run(settings: Settings) -> None:
    """Start the process; returns when it has stopped cleanly."""
    logs.set_up(settings.log_format, settings.log_level, "app")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))
