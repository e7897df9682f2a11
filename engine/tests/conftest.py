"""A small project with a really trained model, a running engine, and an app that can be told what to do."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "engine")]
os.environ["RASA_TELEMETRY_ENABLED"] = "false"

SECRET = "a-secret-for-tests-of-32-letters"
SMALL_PROJECT = Path(__file__).parent / "small_project"

#: What an action does: it is given the call and returns the status and the JSON of its answer.
Behaviour = Callable[[dict[str, Any]], tuple[int, Any]]


def replies(text: str = "hello") -> Behaviour:
    """An action that says something, in the form of ours."""
    answer = {"events": [], "responses": [{"custom": {"reply": {"text": text}, "effects": []}}]}
    return lambda call: (200, answer)


@dataclass
class App:
    """The webhook of a calling app; `behaviour` decides what its actions do, `calls` and `headers` what was asked."""

    behaviour: Behaviour = field(default_factory=replies)
    calls: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    connections: int = 0

    def __enter__(self) -> App:
        app = self

        class Webhook(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                app.connections += 1
                super().setup()

            def do_POST(self) -> None:
                call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                app.calls.append(call)
                app.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, answer = app.behaviour(call)
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                try:
                    self.send_response(status)
                    if status == 302:
                        self.send_header("Location", answer["to"])
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    # The engine has given the call up.
                    return

            def log_message(self, *arguments: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhook"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Engine:
    """A running engine process."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def request(
        self, method: str, path: str, body: bytes | None = None, secret: str | None = SECRET
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        headers = {"Content-Type": "application/json"}
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
        try:
            connection.request(method, f"/webhooks/needlepoint{path}", body, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def turn(self, app: App | None = None, secret: str | None = SECRET, **fields: Any) -> tuple[int, dict[str, Any]]:
        """Sends one turn; what is not given is a greeting of a new conversation."""
        request: dict[str, Any] = {
            "conversation": "c1", "message_id": "m1", "text": "hello", "choice": None, "events": session_start(),
            "metadata": {}, "action_url": app.url if app else "http://127.0.0.1:9/webhook", "deadline": 10,
        }  # fmt: skip
        return self.request("POST", "/turn", json.dumps({**request, **fields}).encode(), secret)

    def said(self, app: App, **fields: Any) -> dict[str, Any]:
        """A turn that must succeed."""
        status, outcome = self.turn(app, **fields)
        assert status == 200, outcome
        return outcome


def session_start() -> list[dict[str, Any]]:
    """How an app begins the carried state."""
    return [
        {"event": "action", "name": "action_session_start"},
        {"event": "session_started"},
    ]


def start_engine(project: Path, log: Path, wait: float = 90.0, **environment: str) -> Engine:
    """Starts an engine, with more environment where given, and waits until it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "needlepoint_engine", "run", "--port", str(port), "--repository", str(project)],
            env={**os.environ, "NEEDLEPOINT_ENGINE_SECRET": SECRET, "PYTHONPATH": _python_path(), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    engine = Engine(port, process, log)
    until = time.monotonic() + wait
    while time.monotonic() < until and process.poll() is None:
        try:
            if engine.request("GET", "/ready")[0] == 200:
                return engine
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.1)
    process.kill()
    raise AssertionError(f"the engine did not become ready:\n{log.read_text()[-3000:]}")


def _python_path() -> str:
    return os.pathsep.join([str(REPOSITORY / "engine"), str(REPOSITORY)])


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project, trained."""
    folder = tmp_path_factory.mktemp("project")
    for source in SMALL_PROJECT.rglob("*.yml"):
        target = folder / source.relative_to(SMALL_PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    for name in ("config.yml", "credentials.yml", "endpoints.yml"):
        (folder / name).write_bytes((REPOSITORY / name).read_bytes())
    trained = subprocess.run(
        [sys.executable, "-m", "needlepoint_engine", "train", "--repository", str(folder)],
        env={**os.environ, "PYTHONPATH": _python_path()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert trained.returncode == 0, trained.stdout[-2000:] + trained.stderr[-2000:]
    return folder


@pytest.fixture(scope="session")
def engine(project: Path) -> Iterator[Engine]:
    """A running engine, shared by the tests of a session: it holds nothing, so they cannot disturb each other."""
    running = start_engine(project, project / "engine.log")
    yield running
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(40)


@pytest.fixture
def app() -> Iterator[App]:
    """An app whose actions say hello until told otherwise."""
    with App() as running:
        yield running
