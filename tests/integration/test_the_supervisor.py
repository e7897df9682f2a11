"""`needlepoint up`, as `make run` starts it: everything comes up, heals, changes models without a gap, and stops."""

from __future__ import annotations

import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from needlepoint.settings import ROOT
from tests.running import Conversation, free_port

PRIVACY = "2026-11"


class Up:
    """A running `needlepoint up` in a var folder of its own."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.port = free_port()
        engines = [free_port(), free_port()]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEEDLEPOINT_")}
        environment |= {
            "NEEDLEPOINT_VAR_DIR": str(var),
            "NEEDLEPOINT_PORT": str(self.port),
            "NEEDLEPOINT_ACTION_PORT": str(free_port()),
            "NEEDLEPOINT_ENGINE_URLS": ",".join(f"http://127.0.0.1:{port}" for port in engines),
            "NEEDLEPOINT_RATE_LIMIT": "100000",
        }
        cache = ROOT / "var" / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        if not (var / "cache").exists():
            (var / "cache").symlink_to(cache)  # embed the shipped wordings once, not once a test
        self.output = var / "output"
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "needlepoint", "up"], cwd=ROOT, env=environment, stdout=out, stderr=out
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, words: str, within: float = 180) -> str:
        """Wait until it has printed these words."""
        ends = time.monotonic() + within
        while words not in (text := self.output.read_text(errors="replace")):
            assert self.process.poll() is None, text
            assert time.monotonic() < ends, text
            time.sleep(0.1)
        return text

    def conversation(self) -> Conversation:
        http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        opened = http.post("/api/conversations", json={"consent": PRIVACY}).json()
        return Conversation(http, opened["conversation"], opened["token"])

    def children(self) -> dict[str, int]:
        """Its processes by what they do."""
        found = {}
        listing = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            pid, parent, arguments = line.split(None, 2)
            if parent == str(self.process.pid):
                name = "engine" if "needlepoint_engine" in arguments else "app"
                found[name] = int(pid)
        return found


@pytest.fixture
def up(tmp_path: Path, model: Path) -> Iterator[Up]:
    shutil.copytree(model.parent, tmp_path / "models")
    running = Up(tmp_path)
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGINT)
        try:
            running.process.wait(40)
        except subprocess.TimeoutExpired:
            running.process.kill()


def resident(pid: int) -> int:
    """Resident memory in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024  # type: ignore[index]


def test_it_prints_the_addresses_and_a_login_heals_and_stops_on_ctrl_c(up: Up) -> None:
    text = up.wait_for("Needlepoint is running")
    assert f"{up.url}/" in text
    link = re.search(r"http\S+/staff/welcome\?token=\S+", text)
    assert link and httpx.get(link[0], trust_env=False).status_code == 200
    conversation = up.conversation()
    assert conversation.say("does it hurt?")["state"] == "answered"
    for name in ("engine", "app"):
        os.kill(up.children()[name], signal.SIGKILL)
        ends = time.monotonic() + 30
        while True:
            assert time.monotonic() < ends, f"the {name} was not started again"
            time.sleep(0.2)
            try:
                if httpx.get(f"{up.url}/health/ready", trust_env=False, timeout=2).status_code == 200:
                    break
            except httpx.TransportError:
                continue
    assert conversation.say("how long will I be red?")["state"] == "answered"
    children = up.children()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(40) == 0
    for pid in children.values():
        assert not Path(f"/proc/{pid}").exists(), "a process outlived its supervisor"


def test_a_new_model_is_taken_into_service_without_a_failed_request(up: Up) -> None:
    """R11: under load, no failed request; the old engine is gone afterwards, so memory is back to its base."""
    up.wait_for("Needlepoint is running")
    conversation = up.conversation()
    conversation.say("does it hurt?")
    old = up.children()["engine"]
    base = resident(old)
    file = up.var / "models" / "needlepoint.tar.gz"
    states: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        shutil.copy(file, file.with_suffix(".new"))
        file.with_suffix(".new").replace(file)
        talks = [up.conversation() for _ in range(3)]
        ends = time.monotonic() + 60
        while "all engines run the new model" not in up.output.read_text():
            assert time.monotonic() < ends, up.output.read_text()
            states += [outcome["state"] for outcome in pool.map(lambda one: one.say("does it hurt?"), talks)]
    assert len(states) > 10
    assert set(states) == {"answered"}
    fresh = up.children()["engine"]
    assert fresh != old and not Path(f"/proc/{old}").exists()
    conversation.say("does it hurt?")
    assert resident(fresh) < base * 1.15
