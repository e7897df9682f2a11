"""Real processes for tests: engines, apps, whole instances; on free ports, with logs, always stopped."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psycopg

from needlepoint.conversations.privacy_notice import PRIVACY_VERSION
from needlepoint.db.connect import connect
from needlepoint.db.migrate import migrate
from needlepoint.faq import store
from needlepoint.faq.files import read_folder
from needlepoint.settings import ROOT
from needlepoint.staff.accounts import command_token

POSTGRES = os.environ.get("NEEDLEPOINT_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
SECRET = "a-secret-for-tests-only-0123456789abcdef"


def free_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Process:
    """A process that a test can stop, kill, freeze and start again."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path, ready: str) -> None:
        self.name, self._command, self._environment, self._log, self._ready = name, command, environment, log, ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        if wait:
            self.wait_ready()

    def wait_ready(self, within: float = 150) -> None:
        """Wait until it answers 200 where it says that it is ready."""
        assert self._process is not None
        ends = time.monotonic() + within
        headers = {"Authorization": f"Bearer {SECRET}"}
        while time.monotonic() < ends:
            if self._process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self._process.returncode}:\n{self.log()}")
            try:
                if httpx.get(self._ready, headers=headers, timeout=2, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{self.name} did not become ready:\n{self.log()}")

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self.signal(signal.SIGKILL)
        self.wait()

    def freeze(self) -> None:
        """Make it slow without end."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def stop(self) -> int:
        """End it as an operator would; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self, within: float = 30) -> int:
        """Wait for its end."""
        assert self._process is not None
        return self._process.wait(within)

    def end(self) -> None:
        """Make sure it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def log(self, lines: int = 40) -> str:
        """The end of what it wrote."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def whole_log(self) -> str:
        """All it wrote."""
        return self._log.read_text(errors="replace")


class Engine(Process):
    """A Rasa process."""

    url: str = ""


@dataclass
class Conversation:
    """A patient's conversation over HTTP."""

    http: httpx.Client
    id: str
    token: str

    def post(self, message_id: str | None = None, **body: Any) -> httpx.Response:
        """Send a message and return the raw response."""
        body = {"message_id": message_id or uuid.uuid4().hex, **body}
        return self.http.post(f"/api/conversations/{self.id}/messages", json=body, headers=self.headers)

    def say(self, text: str, message_id: str | None = None) -> dict[str, Any]:
        """Send a text and return the outcome."""
        response = self.post(message_id, text=text)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def history(self) -> list[dict[str, Any]]:
        """Both sides so far."""
        response = self.http.get(f"/api/conversations/{self.id}/messages", headers=self.headers)
        assert response.status_code == 200, response.text
        return list(response.json()["messages"])

    @property
    def headers(self) -> dict[str, str]:
        """The token's header."""
        return {"Authorization": f"Bearer {self.token}"}


class Instance(Process):
    """An app process with its database; its engines are given."""

    url: str = ""
    webhook_url: str = ""
    database: str = ""
    var: Path = Path()

    def http(self, **options: Any) -> httpx.Client:
        """A client of this instance."""
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, **options)

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the product beside this instance, with its settings or others."""
        return subprocess.run(
            [sys.executable, "-m", "needlepoint", *arguments],
            cwd=ROOT,
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def conversation(self, consent: bool = True, http: httpx.Client | None = None) -> Conversation:
        """Open a conversation as the chat page does."""
        http = http or self.http()
        opened = http.post("/api/conversations", json={"consent": PRIVACY_VERSION if consent else None})
        assert opened.status_code == 201, opened.text
        return Conversation(http, opened.json()["conversation"], opened.json()["token"])

    def staff_ask(self, text: str, conversation: str | None = None, at: str | None = None) -> dict[str, Any]:
        """Ask as staff, to see confidence and reasons, and at another moment than now."""
        with self.http() as http:
            response = http.post(
                "/api/staff/ask",
                json={"message_id": uuid.uuid4().hex, "text": text, "conversation": conversation, "at": at},
                headers={"Authorization": f"Bearer {command_token(SECRET, 'test')}"},
            )
        assert response.status_code == 200, response.text
        return dict(response.json())


@dataclass
class Laboratory:
    """Makes processes in a folder of its own and ends them all."""

    folder: Path
    model: Path
    processes: list[Process] = field(default_factory=list)

    def __enter__(self) -> Laboratory:
        return self

    def __exit__(self, *_exception: object) -> None:
        for process in self.processes:
            process.end()

    def engine(self, start: bool = True, **settings: str) -> Engine:
        """A real engine with the trained model, with further settings of its own."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [
            *(str(ROOT / "engine" / ".venv" / "bin" / "python"), "-m", "needlepoint_engine", "run"),
            *("--port", str(port), "--model", str(self.model)),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "engine"), "NEEDLEPOINT_ENGINE_SECRET": SECRET}
        environment |= {f"NEEDLEPOINT_{name.upper()}": value for name, value in settings.items()}
        engine = Engine(
            f"engine {port}",
            command,
            environment,
            self.folder / f"engine-{port}.log",
            f"{url}/webhooks/needlepoint/ready",
        )
        engine.url = url
        self.processes.append(engine)
        if start:
            engine.start()
        return engine

    def instance(
        self,
        engines: list[Engine],
        database: str | None = None,
        start: bool = True,
        prepare: bool = True,
        wait: str = "/health/ready",
        var: Path | None = None,
        **settings: str,
    ) -> Instance:
        """A real app with these engines; on a SQLite database of its own unless another is given."""
        port, action_port = free_port(), free_port()
        var = var or self.folder / f"var-{port}"
        var.mkdir(exist_ok=True)
        cache = ROOT / "var" / "cache"
        cache.mkdir(parents=True, exist_ok=True)  # embed the shipped wordings once, not once an instance
        if not (var / "cache").exists():
            (var / "cache").symlink_to(cache)
        database = database or f"sqlite:///{var / 'needlepoint.db'}"
        if prepare:
            fill(database)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NEEDLEPOINT_")},
            "NEEDLEPOINT_PORT": str(port),
            "NEEDLEPOINT_ACTION_PORT": str(action_port),
            "NEEDLEPOINT_ENGINE_URLS": ",".join(engine.url for engine in engines) or "http://127.0.0.1:9",
            "NEEDLEPOINT_ENGINE_SECRET": SECRET,
            "NEEDLEPOINT_SECRET_KEY": SECRET,
            "NEEDLEPOINT_DATABASE_URL": database,
            "NEEDLEPOINT_VAR_DIR": str(var),
            "NEEDLEPOINT_RATE_LIMIT": "100000",
            "NEEDLEPOINT_STAFF_SECOND_FACTOR": "optional",  # its own tests set it as clinics have it
            **{f"NEEDLEPOINT_{name.upper()}": value for name, value in settings.items()},
        }
        url = f"http://127.0.0.1:{port}"
        instance = Instance(
            f"app {port}",
            [sys.executable, "-m", "needlepoint", "serve"],
            environment,
            self.folder / f"app-{port}.log",
            url + wait,
        )
        instance.url, instance.database, instance.var = url, database, var
        instance.webhook_url = f"http://127.0.0.1:{action_port}/webhook"
        self.processes.append(instance)
        if start:
            instance.start()
        return instance


def fill(database: str) -> None:
    """A migrated database with the shipped answers at this address, whatever was there: a copy of one made once."""
    template = _template(database.split(":", 1)[0])
    if template.startswith("sqlite"):
        shutil.copyfile(template.removeprefix("sqlite:///"), database.removeprefix("sqlite:///"))
        return
    name = database.rsplit("/", 1)[1]
    _on_the_server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    _on_the_server(f"CREATE DATABASE {name} TEMPLATE {template.rsplit('/', 1)[1]}")


@cache
def _template(kind: str) -> str:
    """The address of a filled database of this kind, which goes when the tests end."""
    if kind == "sqlite":
        folder = tempfile.TemporaryDirectory(prefix="needlepoint-template-")
        atexit.register(folder.cleanup)
        address = f"sqlite:///{folder.name}/needlepoint.db"
    else:
        name = f"needlepoint_template_{uuid.uuid4().hex[:12]}"
        address = f"{POSTGRES.rsplit('/', 1)[0]}/{name}"
        atexit.register(_on_the_server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        _on_the_server(f"CREATE DATABASE {name}")
    load_answers(address)
    return address


def load_answers(database: str) -> None:
    """Migrate a database and load the shipped answers."""
    engine = connect(database)
    migrate(engine)
    store.load(engine, read_folder(ROOT / "data" / "faq"))
    engine.dispose()


def _on_the_server(command: str) -> None:
    with psycopg.connect(POSTGRES, autocommit=True) as admin:
        admin.execute(command.encode())
