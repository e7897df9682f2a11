"""The engine as a process: when it starts, when it refuses to, and how it stops."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import SECRET, App, replies, start_engine
from rasa.shared.exceptions import RasaException

from needlepoint_engine.connector import TurnInput
from needlepoint_engine.shared_secret import SecretError, shared_secret


def run(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "needlepoint_engine", *arguments, "--repository", str(project)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).resolve().parents[1:3])),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_first_answer_comes_at_once_and_sigterm_lets_open_turns_finish(project: Path, tmp_path: Path) -> None:
    engine = start_engine(project, tmp_path / "engine.log")
    with App() as app:
        assert engine.turn(app, deadline=1.0)[0] == 200

        def slowly(call: dict[str, Any]) -> tuple[int, Any]:
            time.sleep(1.5)
            return replies("after all")(call)

        app.behaviour = slowly
        answers: list[tuple[int, dict[str, Any]]] = []
        asking = threading.Thread(target=lambda: answers.append(engine.turn(app)))
        # A connection that the app keeps open for its next message must not delay the end.
        idle = http.client.HTTPConnection("127.0.0.1", engine.port)
        idle.request("GET", "/webhooks/needlepoint/ready", headers={"Authorization": f"Bearer {SECRET}"})
        assert idle.getresponse().read()
        asking.start()
        time.sleep(0.5)
        engine.process.send_signal(signal.SIGTERM)
        asking.join(10)
        assert answers[0][0] == 200
        assert answers[0][1]["messages"][0]["custom"]["reply"]["text"] == "after all"
        assert engine.process.wait(10) == 0
        idle.close()


@pytest.mark.parametrize(("secret", "said"), [("", "not set"), ("short", "too short")])
def test_the_engine_does_not_start_without_a_secret(project: Path, secret: str, said: str) -> None:
    stopped = run(project, "run", NEEDLEPOINT_ENGINE_SECRET=secret)
    assert stopped.returncode == 1
    assert f"NEEDLEPOINT_ENGINE_SECRET is {said}" in stopped.stderr
    assert "Traceback" not in stopped.stderr


def test_the_connector_does_not_start_without_a_secret_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEEDLEPOINT_ENGINE_SECRET", raising=False)
    with pytest.raises(RasaException, match="at least 32 characters"):
        TurnInput.from_credentials(None)


def test_the_connector_does_not_start_with_telemetry_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEEDLEPOINT_ENGINE_SECRET", SECRET)
    assert TurnInput.from_credentials(None).name() == "needlepoint"
    monkeypatch.setenv("RASA_TELEMETRY_ENABLED", "true")
    with pytest.raises(RasaException, match="telemetry is on"):
        TurnInput.from_credentials(None)


def test_a_secret_of_32_characters_is_long_enough() -> None:
    assert shared_secret({"NEEDLEPOINT_ENGINE_SECRET": "x" * 32}) == "x" * 32
    with pytest.raises(SecretError):
        shared_secret({"NEEDLEPOINT_ENGINE_SECRET": "x" * 31})


def test_without_a_model_the_command_says_what_to_do(tmp_path: Path) -> None:
    stopped = run(tmp_path, "run", NEEDLEPOINT_ENGINE_SECRET=SECRET)
    assert stopped.returncode == 1
    assert "python -m needlepoint_engine train" in stopped.stderr


def test_a_model_does_not_run_with_words_it_was_not_trained_with(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    lexicon = copy / "data/lexicon.yml"
    lexicon.write_text(lexicon.read_text() + "\nbody_area:\n  face: [face]\n")
    assert run(copy, "words").returncode == 0
    refused = run(copy, "run", "--port", "0", NEEDLEPOINT_ENGINE_SECRET=SECRET)
    assert refused.returncode == 1
    assert "trained with other words" in refused.stdout + refused.stderr


def test_a_broken_model_is_not_served(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    (copy / "var/models/needlepoint.tar.gz").write_bytes(b"this is no archive")
    refused = run(copy, "run", "--port", "0", NEEDLEPOINT_ENGINE_SECRET=SECRET)
    assert refused.returncode == 1
    assert "model could not be loaded" in refused.stdout + refused.stderr
