"""The contract between Rasa 3.6.21 and rasa-sdk 3.21: what one says in an action call, the other understands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from needlepoint.settings import ROOT
from tests.running import SECRET, Instance, fill, free_port

#: Run by the engine's Python: prints an action call exactly as Rasa makes it, or checks an answer as Rasa does.
MAKE_CALL = """
import asyncio, json, sys
from rasa.core.actions.action import RemoteAction
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import ActionExecuted, SlotSet, UserUttered
from rasa.shared.core.trackers import DialogueStateTracker

domain = Domain.load("domain.yml")
tracker = DialogueStateTracker.from_events(
    "c1",
    [ActionExecuted("action_listen"), UserUttered(TEXT, intent={"name": "out_of_scope", "confidence": 1.0})],
    slots=domain.slots,
)
action = RemoteAction("action_answer", None)
print(json.dumps(asyncio.run(action._action_call_format(tracker, domain)) if asyncio.iscoroutinefunction(
    action._action_call_format) else action._action_call_format(tracker, domain)))
"""

CHECK_ANSWER = """
import json, sys
from rasa.core.actions.action import RemoteAction
from rasa.shared.core.events import deserialise_events

answer = json.load(sys.stdin)
RemoteAction("action_answer", None)._validate_action_result(answer)
deserialise_events(answer["events"])
print("valid")
"""


def in_engine(code: str, stdin: str = "") -> str:
    """Run code with the engine's Python."""
    done = subprocess.run(
        [str(ROOT / "engine" / ".venv" / "bin" / "python"), "-W", "ignore", "-c", code],
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_versions_are_those_the_contract_was_made_for() -> None:
    assert version("rasa-sdk").startswith("3.21.")
    assert "3.6.21" in in_engine("from importlib.metadata import version; print(version('rasa'))")


def test_an_action_call_as_rasa_makes_it_is_answered_as_rasa_expects(instance: Instance) -> None:
    call: dict[str, Any] = json.loads(in_engine(MAKE_CALL.replace("TEXT", repr("what is the weather"))))
    answer = httpx.post(
        instance.webhook_url, json=call, headers={"Authorization": f"Bearer {SECRET}"}, timeout=30, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    assert in_engine(CHECK_ANSWER, answer.text).strip() == "valid"
    message = answer.json()["responses"][0]["custom"]
    assert set(message) == {"reply", "effects"}
    assert message["reply"]["kind"] == "decline"


def test_an_action_nobody_wrote_is_refused_by_name(instance: Instance) -> None:
    call = json.loads(in_engine(MAKE_CALL.replace("TEXT", "'hi'")))
    call["next_action"] = "action_nobody_wrote"
    answer = httpx.post(
        instance.webhook_url, json=call, headers={"Authorization": f"Bearer {SECRET}"}, timeout=30, trust_env=False
    )
    assert answer.status_code == 404
    assert answer.json()["action_name"] == "action_nobody_wrote"


def test_telemetry_is_off_in_the_engine() -> None:
    code = "import sys; sys.path.insert(0, 'engine'); import needlepoint_engine.__main__ as m, os; "
    code += "from pathlib import Path; m._prepare(Path('.').resolve()); from rasa import telemetry; "
    code += "print(telemetry.is_telemetry_enabled())"
    assert in_engine(code).strip() == "False"


def test_the_actions_run_stand_alone_on_loopback(tmp_path: Path) -> None:
    """`python -m rasa_sdk --actions actions`, for engines that should not call the app."""
    database = f"sqlite:///{tmp_path / 'needlepoint.db'}"
    fill(database)
    cache = ROOT / "var" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache").symlink_to(cache)  # embed the shipped wordings once, not once a test
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEEDLEPOINT_")}
    environment |= {
        "NEEDLEPOINT_DATABASE_URL": database,
        "NEEDLEPOINT_VAR_DIR": str(tmp_path),
        "SANIC_HOST": "127.0.0.1",
    }
    command = [sys.executable, "-m", "rasa_sdk", "--actions", "actions", "-p", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        call = json.loads(in_engine(MAKE_CALL.replace("TEXT", "'what is the weather'")))
        ends = time.monotonic() + 120
        while True:
            assert time.monotonic() < ends
            try:
                answer = httpx.post(f"http://127.0.0.1:{port}/webhook", json=call, timeout=30, trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.2)
        assert answer.json()["responses"][0]["custom"]["reply"]["kind"] == "decline"
    finally:
        server.terminate()
        server.wait(15)
