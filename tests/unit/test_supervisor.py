"""The supervisor's care for one process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from needlepoint.settings import Settings
from needlepoint.supervisor import Child, Supervisor, SupervisorError

SLEEPS = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
DIES = [sys.executable, "-c", "import sys; sys.exit('I cannot')"]
IGNORES = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def child(command: list[str], folder: Path) -> Child:
    return Child("child", command, dict(os.environ), folder / "child.log", patience=1.0)


async def until(condition: object, within: float = 10) -> None:
    ends = time.monotonic() + within
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)


def test_a_process_that_was_killed_is_started_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        one = child(SLEEPS, tmp_path)
        await one.start()
        assert one.process is not None
        first = one.process.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: one.process is not None and one.process.pid != first)
        await one.stop()
        assert one.process.returncode is not None

    asyncio.run(scenario())


def test_a_process_that_keeps_dying_is_started_ever_more_slowly(tmp_path: Path) -> None:
    async def scenario() -> None:
        one = child(DIES, tmp_path)
        await one.start()
        await asyncio.sleep(2.5)
        await one.stop()

    asyncio.run(scenario())
    starts = (tmp_path / "child.log").read_text().count("I cannot")
    assert 2 <= starts <= 4


def test_a_stopped_process_stays_stopped(tmp_path: Path) -> None:
    async def scenario() -> None:
        one = child(SLEEPS, tmp_path)
        await one.start()
        await one.stop()
        assert one.process is not None
        pid = one.process.pid
        await asyncio.sleep(0.6)
        assert one.process.pid == pid

    asyncio.run(scenario())


def test_a_process_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        one = child(IGNORES, tmp_path)
        await one.start()
        await until(lambda: "up" in one.last_words())
        await one.stop()
        assert one.process is not None and one.process.returncode == -signal.SIGKILL

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(port=taken.getsockname()[1], var_dir=str(tmp_path))
        with pytest.raises(SupervisorError, match="already"):
            asyncio.run(Supervisor(settings).run(lambda: None))


def test_more_engines_than_addresses_are_refused() -> None:
    with pytest.raises(SupervisorError, match="NEEDLEPOINT_ENGINE_URLS"):
        Supervisor(Settings(engine_urls="http://127.0.0.1:5105"), engines=2)
