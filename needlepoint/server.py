"""One app process: the public address and the action webhook, stopped in the order that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator

import uvicorn
import uvloop

from needlepoint.app import create_app
from needlepoint.settings import Settings
from needlepoint.webhook import create_webhook


class _Server(uvicorn.Server):
    """A server that leaves the signals to us: two of them share this process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: object, settings: Settings, host: str, port: int) -> _Server:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
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
    """Serve until SIGTERM or SIGINT; then end the streams, answer open requests, and only then stop the webhook."""
    built = create_app(settings)
    public = _server(built.app, settings, settings.host, settings.port)
    webhook = _server(create_webhook(settings.engine_secret), settings, settings.action_host, settings.action_port)

    def stop() -> None:
        built.streams.close()
        public.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    serving_webhook = asyncio.create_task(webhook.serve())
    try:
        await public.serve()
    finally:
        # Turns that were open needed the webhook until now.
        webhook.should_exit = True
        await serving_webhook


def run(settings: Settings) -> None:
    """Start the process; returns when it has stopped cleanly."""
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Libraries stay at warnings: at debug some log whole statements, and with them what patients write.
    for ours in ("needlepoint", "actions"):
        logging.getLogger(ours).setLevel(settings.log_level.upper())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))
