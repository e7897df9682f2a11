"""What all tests share: the trained model, running instances, databases; and that nothing is left out silently."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from needlepoint.settings import ROOT
from tests.running import POSTGRES, Engine, Instance, Laboratory

IN_CI = os.environ.get("CI") == "true"


@pytest.fixture(scope="session")
def model() -> Path:
    """The model that was really trained from this clone's data."""
    file = ROOT / "var" / "models" / "needlepoint.tar.gz"
    if not file.exists():
        pytest.fail("there is no trained model; run `make train` first (make test does)")
    return file


@pytest.fixture(scope="session")
def laboratory(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """Starts real engines and apps, and stops whatever a test left running."""
    with Laboratory(tmp_path_factory.mktemp("instances"), model) as laboratory:
        yield laboratory


@pytest.fixture(scope="session")
def engine(laboratory: Laboratory) -> Engine:
    """A real engine that tests share; it holds nothing, so they cannot disturb each other."""
    return laboratory.engine()


@pytest.fixture(scope="session")
def instance(laboratory: Laboratory, engine: Engine) -> Instance:
    """A whole product on SQLite that tests share, each with conversations of its own."""
    return laboratory.instance([engine])


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The PostgreSQL server to test against; where there is none the test is left out, and CI fails for it."""
    try:
        with psycopg.connect(POSTGRES, connect_timeout=3):
            return POSTGRES
    except psycopg.OperationalError:
        pytest.skip("no PostgreSQL at 127.0.0.1:5432 (set NEEDLEPOINT_TEST_POSTGRES to use another)")


@contextmanager
def new_postgres(postgres_server: str) -> Iterator[str]:
    """The address of an empty PostgreSQL database, dropped afterwards."""
    name = f"needlepoint_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield postgres_server.rsplit("/", 1)[0] + f"/{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """An empty PostgreSQL database of this test's own."""
    with new_postgres(postgres_server) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    return str(request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser for browser tests."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium: install it (Debian: apt-get install chromium)")


@pytest.fixture(scope="session")
def widget_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the widget's sources with the packages that build and test it, exactly as locked."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no Node: install it (Debian: apt-get install nodejs npm)")
    copy = tmp_path_factory.mktemp("widget") / "widget"
    shutil.copytree(ROOT / "widget", copy, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run([npm, "ci", "--no-fund", "--no-audit"], cwd=copy, check=True, capture_output=True, timeout=180)
    return copy


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests were left out, and why."""
    left_out = terminalreporter.stats.get("skipped", [])
    if left_out:
        terminalreporter.section("left out")
        for report in left_out:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            terminalreporter.write_line(f"{report.nodeid}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test that was left out is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
