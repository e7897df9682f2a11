"""What lies in deploy/ fits the product: files, settings, commands and networks that there really are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from needlepoint.settings import ENVIRONMENT_PREFIX, ROOT, Settings

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text())
CONTAINERFILES = sorted((DEPLOY / "containers").glob("*.Containerfile"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def test_every_setting_that_is_named_is_one() -> None:
    for file in [path for path in DEPLOY.rglob("*") if path.is_file() and "secrets" not in path.parts]:
        for name in re.findall(rf"{ENVIRONMENT_PREFIX}([A-Z_]+)", file.read_text()):
            own = {"tag", "certificates"}  # of the compose file itself
            assert name.lower() in {*Settings.__struct_fields__, *own}, f"{file.name}: {name}"


def test_only_the_proxy_is_reached_from_outside_and_the_engine_reaches_nothing() -> None:
    services, networks = COMPOSE["services"], COMPOSE["networks"]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert services["engine"]["networks"] == ["inside"] and networks["inside"] == {"internal": True}
    assert services["database"]["networks"] == ["data"] and networks["data"] == {"internal": True}
    assert services["engine"]["env_file"] == ["secrets/engine.env"]


def test_every_service_is_locked_down() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        image = service["image"]
        assert image.startswith("needlepoint-") or re.search(r":\d+\.\d+", image), f"{name}: {image} is not exact"


@pytest.mark.parametrize("file", CONTAINERFILES, ids=lambda path: path.name)
def test_what_a_container_copies_is_there_and_let_through_and_holds_no_secret(file: Path) -> None:
    text = file.read_text()
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [part for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M) for part in line.split()[:-1]]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(source == one or source.startswith(f"{one}/") for one in let_through), source
    assert re.search(r"^USER \d+:\d+$", text, re.M) and "HEALTHCHECK" in text
    assert all(
        re.fullmatch(r"python:3\.\d+\.\d+-slim-bookworm", base) for base in re.findall(r"^FROM (\S+)", text, re.M)
    )
    assert not re.search(r"SECRET|PASSWORD|TOKEN|DATABASE_URL", text)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_runs_a_command_that_there_is_as_a_user_of_its_own(unit: Path) -> None:
    text = unit.read_text()
    assert re.search(r"^User=needlepoint", text, re.M) and "ProtectSystem=strict" in text
    for command in re.findall(r"^ExecStart(?:Pre)?=/opt/needlepoint/(.+)$", text, re.M):
        python, *arguments = command.split()
        assert python in (".venv/bin/python", "engine/.venv/bin/python")
        assert arguments[:2] in (["-m", "needlepoint"], ["-m", "needlepoint_engine"])
    if "engine" in unit.name:
        assert "IPAddressDeny=any" in text


def test_secrets_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets"
    script.write_bytes((DEPLOY / "make-secrets").read_bytes())
    made = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    values = {
        file.stem: dict(line.split("=", 1) for line in file.read_text().splitlines())
        for file in (tmp_path / "secrets").iterdir()
    }
    for file in (tmp_path / "secrets").iterdir():
        assert file.stat().st_mode & 0o077 == 0
    app, engine = values["app"], values["engine"]
    assert app["NEEDLEPOINT_ENGINE_SECRET"] == engine["NEEDLEPOINT_ENGINE_SECRET"] != app["NEEDLEPOINT_SECRET_KEY"]
    assert set(engine) == {"NEEDLEPOINT_ENGINE_SECRET", "NEEDLEPOINT_METRICS_TOKEN"}
    assert all(len(value) >= 32 for name, value in app.items() if name != "NEEDLEPOINT_DATABASE_URL")
    assert values["postgres"]["POSTGRES_PASSWORD"] in app["NEEDLEPOINT_DATABASE_URL"]
    again = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert again.returncode == 1 and "stays as it is" in again.stderr


def test_streams_are_not_held_back_and_what_staff_search_is_not_logged() -> None:
    text = (DEPLOY / "nginx" / "needlepoint.conf").read_text()
    stream = text[text.index("/events$") :]
    assert "proxy_buffering off;" in stream[: stream.index("}")]
    log_format = text[text.index("log_format") : text.index(";", text.index("log_format"))]
    assert "$uri" in log_format and "$request " not in log_format and "$args" not in log_format
    assert "referer" not in log_format
