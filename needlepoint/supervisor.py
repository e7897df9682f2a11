"""`needlepoint up`: engines and app under one roof. Restarts what died, swaps models, stops everything on Ctrl-C."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from needlepoint.server import drain_seconds
from needlepoint.settings import ENVIRONMENT_PREFIX, ROOT, Settings
from needlepoint.training import engine_environment, engine_python, model_file

log = logging.getLogger(__name__)

#: Seconds an engine or the app may take until it answers.
READY_WITHIN = 180.0

#: Seconds between looks for a new model.
LOOK_FOR_MODEL_EVERY = 2.0

_SLOWEST_RESTART = 10.0


class SupervisorError(RuntimeError):
    """Something cannot be started; the message says what to do."""


class Child:
    """One process that is kept alive until told to stop."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], log_file: Path, patience: float
    ) -> None:
        """`patience`: seconds it may take to stop before it is killed."""
        self._patience = patience
        self.name = name
        self.command = command
        self._environment = environment
        self._log_file = log_file
        self._stopping = False
        self.process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and keep starting it whenever it ends by itself."""
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def _spawn(self) -> None:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                cwd=ROOT,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=_end_with_parent,
                start_new_session=True,  # Ctrl-C in a terminal must reach us alone: we decide the order of stopping
            )

    async def _keep(self) -> None:
        pause = 0.25
        while True:
            assert self.process is not None
            began = time.monotonic()
            status = await self.process.wait()
            if self._stopping:
                return
            pause = 0.25 if time.monotonic() - began > 60 else min(pause * 2, _SLOWEST_RESTART)
            log.warning("%s ended (%s); starting it again in %.1f s", self.name, _how(status), pause)
            await asyncio.sleep(pause)
            if self._stopping:
                return
            await self._spawn()

    async def stop(self) -> None:
        """Ask it to stop, and kill it when it does not in time."""
        self._stopping = True
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), self._patience)
            except TimeoutError:
                log.warning("%s did not stop within %s s and is killed", self.name, self._patience)
                with suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                await self.process.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        with suppress(OSError):
            return "\n".join(self._log_file.read_text(errors="replace").splitlines()[-lines:])
        return ""


def _end_with_parent() -> None:
    """Let the kernel end this child when the supervisor is killed: nobody else would. Linux only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


#: From linux/prctl.h.
_PR_SET_PDEATHSIG = 1


def _how(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit {status}"


class Supervisor:
    """Runs `engines` engines on the first addresses of the settings, and one app."""

    def __init__(self, settings: Settings, engines: int = 1) -> None:
        if len(settings.engines) < engines:
            raise SupervisorError(
                f"NEEDLEPOINT_ENGINE_URLS names {len(settings.engines)} addresses; {engines} engines need as many, "
                "and one more for changing models without a gap"
            )
        self._settings = settings
        self._engine_count = engines
        self._patience = settings.stop_delay + drain_seconds(settings) + 5.0
        self._running: dict[str, Child] = {}
        self._app: Child | None = None

    async def run(self, ready: Callable[[], None]) -> None:
        """Start everything, call `ready` when a question can be answered, and stay until a signal.

        Raises :class:`SupervisorError` when something does not come up.
        """
        settings = self._settings
        ports = [_port(url) for url in settings.engines[: self._engine_count]]
        for host, port in [
            (settings.host, settings.port),
            (settings.action_host, settings.action_port),
            *(("127.0.0.1", port) for port in ports),
        ]:
            _check_free(host, port)
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stopped.set)
        waiting_for_stop = asyncio.create_task(stopped.wait())
        starting = asyncio.create_task(self.start())
        try:
            await asyncio.wait({starting, waiting_for_stop}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                ready()
                swapping = asyncio.create_task(self._swap_models())
                await waiting_for_stop
                swapping.cancel()
                await asyncio.gather(swapping, return_exceptions=True)
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self.stop()

    async def start(self) -> None:
        """Start engines and app, and return when a question can be answered. Raises :class:`SupervisorError`."""
        for url in self._settings.engines[: self._engine_count]:
            self._running[url] = self._engine(url)
            await self._running[url].start()
        environment = {**os.environ, **_as_environment(self._settings)}
        command = [sys.executable, "-m", "needlepoint", "serve"]
        self._app = Child("app", command, environment, self._log_file("app"), self._patience)
        await self._app.start()
        for url, child in self._running.items():
            await self._wait_for_engine(url, child)
        await _until(f"{public_url(self._settings)}/health/ready", {}, self._app)

    def _engine(self, url: str) -> Child:
        port = _port(url)
        command = [
            *(str(engine_python()), "-m", "needlepoint_engine", "run"),
            *("--port", str(port), "--model", str(model_file(self._settings))),
        ]
        name = f"engine-{port}"
        return Child(name, command, engine_environment(self._settings), self._log_file(name), self._patience)

    async def _wait_for_engine(self, url: str, child: Child) -> None:
        headers = {"Authorization": f"Bearer {self._settings.engine_secret}"}
        await _until(f"{url}/webhooks/needlepoint/ready", headers, child)

    async def _swap_models(self) -> None:
        """Whenever the model file changes, bring up new engines beside the old ones, one by one, then end the old."""
        known = _identity(model_file(self._settings))
        while True:
            await asyncio.sleep(LOOK_FOR_MODEL_EVERY)
            seen = _identity(model_file(self._settings))
            if seen is None or seen == known:
                continue
            known = seen
            log.info("a new model: changing engines one by one")
            for old_url in list(self._running):
                spare = next((url for url in self._settings.engines if url not in self._running), None)
                if spare is None:
                    log.warning("no spare address in NEEDLEPOINT_ENGINE_URLS: %s restarts with a gap", old_url)
                    await self._running.pop(old_url).stop()
                    spare = old_url
                fresh = self._engine(spare)
                await fresh.start()
                try:
                    await self._wait_for_engine(spare, fresh)
                except SupervisorError as error:
                    log.error("the new model does not start: %s", error)
                    if spare == old_url:
                        self._running[spare] = fresh  # it goes on trying; a mended model will bring it up
                    else:
                        log.error("the old engine stays; train again")
                        await fresh.stop()
                    break
                except asyncio.CancelledError:
                    await fresh.stop()
                    raise
                self._running[spare] = fresh
                if old_url != spare:
                    await self._running.pop(old_url).stop()
            else:
                log.info("all engines run the new model")

    async def stop(self) -> None:
        """The app first: it answers what is open, and needs the engines for that."""
        if self._app is not None:
            await self._app.stop()
        await asyncio.gather(*(child.stop() for child in self._running.values()))

    def _log_file(self, name: str) -> Path:
        return self._settings.var / "log" / f"{name}.log"


def public_url(settings: Settings) -> str:
    """Where people reach the app on this machine."""
    everywhere = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to
    host = "127.0.0.1" if settings.host in everywhere else settings.host
    return f"http://{host}:{settings.port}"


def _as_environment(settings: Settings) -> dict[str, str]:
    return {
        f"{ENVIRONMENT_PREFIX}{name.upper()}": str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in msgspec.structs.asdict(settings).items()
    }


def _port(url: str) -> int:
    try:
        port = urlsplit(url).port
    except ValueError:
        port = None
    if port is None:
        raise SupervisorError(f"NEEDLEPOINT_ENGINE_URLS: `{url}` names no port; write http://127.0.0.1:5105")
    return port


def _check_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SupervisorError(
                f"cannot listen on {host}:{port} ({error.strerror}); is Needlepoint running already? "
                "Stop it, or set another port (docs/settings.md)"
            ) from None


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_ino


async def _until(url: str, headers: dict[str, str], child: Child) -> None:
    """Wait until `url` answers 200. Raises :class:`SupervisorError` with the end of the child's log."""
    ends = time.monotonic() + READY_WITHIN
    async with httpx.AsyncClient(trust_env=False, headers=headers) as http:
        while time.monotonic() < ends:
            with suppress(httpx.TransportError):
                if (await http.get(url, timeout=2.0)).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.1)
    raise SupervisorError(
        f"{child.name} did not become ready within {READY_WITHIN:.0f} s. Its last words:\n{child.last_words()}"
    )
