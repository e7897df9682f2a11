"""What Prometheus reads: everything the dashboard and the alarms name, and nothing about anybody."""

from __future__ import annotations

import json
import re
import time

import httpx
import psycopg
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from needlepoint.metrics import OUTCOMES
from needlepoint.settings import ROOT, SettingsError, read_settings
from needlepoint.webhook import _may_read
from tests.conftest import new_postgres
from tests.running import SECRET, Engine, Instance, Laboratory

TOKEN = "a-token-for-metrics-only-0123456789abcdef"
DASHBOARD = ROOT / "deploy" / "grafana" / "needlepoint.json"
ALARMS = ROOT / "deploy" / "prometheus" / "alarms.yml"
NAMES = re.compile(r"\b(?:needlepoint|process)_[a-z_]+\b")


def scraped(url: str, **headers: str) -> dict[str, float]:
    """Every sample as Prometheus would read it: name and labels, and value."""
    response = httpx.get(url, headers=headers, trust_env=False, timeout=10)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def of_app(instance: Instance) -> dict[str, float]:
    return scraped(instance.webhook_url.replace("/webhook", "/metrics"))


def of_engine(engine: Engine) -> dict[str, float]:
    return scraped(f"{engine.url}/webhooks/needlepoint/metrics")


def total(samples: dict[str, float], name: str, *labels: str) -> float:
    """The sum of all samples of this name whose labels hold all of these values."""
    return sum(
        value
        for key, value in samples.items()
        if key.split("{", 1)[0] == name and all(f'"{label}"' in key for label in labels)
    )


def test_what_happens_is_counted_at_the_app_the_action_and_the_engine(instance: Instance, engine: Engine) -> None:
    app, rasa = of_app(instance), of_engine(engine)
    talk = instance.conversation()
    talk.say("When can I wear makeup again after microneedling?")
    repeated = "0123456789abcdef"
    talk.say("Does microneedling hurt?", repeated)
    talk.say("Does microneedling hurt?", repeated)
    talk.say("my tongue is swelling and I cannot breathe")
    assert instance.conversation(consent=False).post(text="does it hurt?").status_code == 409
    ends = time.monotonic() + 5
    while total(of_app(instance), "needlepoint_urgent_unacknowledged") < 1 and time.monotonic() < ends:
        time.sleep(0.1)  # an urgent message is recorded behind its card
    app_after, rasa_after = of_app(instance), of_engine(engine)

    def more(name: str, *labels: str) -> float:
        return total(app_after, name, *labels) - total(app, name, *labels)

    assert more("needlepoint_messages_total", "answer", "web") == 2
    assert more("needlepoint_messages_total", "urgent", "emergency_now") == 1
    assert more("needlepoint_messages_total", "repeated") == more("needlepoint_messages_total", "consent_needed") == 1
    assert more("needlepoint_turn_seconds_count") == 5
    assert more("needlepoint_engine_seconds_count", "answered") == 2
    assert more("needlepoint_action_seconds_count", "done") >= 2
    assert more("needlepoint_database_seconds_count", "insert") > 5
    assert more("needlepoint_http_responses_total", "2xx") >= 5
    assert total(app_after, "needlepoint_urgent_unacknowledged") >= 1
    assert total(app_after, "needlepoint_urgent_unacknowledged_oldest_seconds") > 0
    assert total(app_after, "needlepoint_engines_ready") == total(app_after, "needlepoint_database_up") == 1
    assert total(app_after, "needlepoint_last_backup_timestamp_seconds") == 0
    assert total(app_after, "process_resident_memory_bytes") > 1e7
    info = next(key for key in app_after if key.startswith("needlepoint_info"))
    for label in ("version", "model", "revision", "encoder", "safety_rules"):
        assert re.search(rf'"{label}": "[^"]+"', info), label
    counted = "needlepoint_engine_turn_seconds_count"
    assert total(rasa_after, counted, "answered") - total(rasa, counted, "answered") >= 2
    assert total(rasa_after, "needlepoint_engine_action_call_seconds_count", "answered") >= 2
    model = json.loads(info.removeprefix("needlepoint_info"))["model"]
    assert total(rasa_after, "needlepoint_engine_model", model) == total(rasa_after, "needlepoint_engine_up") == 1


def test_labels_stay_few_and_hold_nothing_of_anybody(instance: Instance, engine: Engine) -> None:
    talk = instance.conversation()
    talk.say("my name is Zyxwvut and the number 012-345 6789, does it hurt?")
    samples = [*of_app(instance), *of_engine(engine)]
    assert len(samples) < 900
    everything = "\n".join(samples)
    for word in (talk.id, "Zyxwvut", "6789", "hurt"):
        assert word not in everything
    values = {value for key in samples for value in re.findall(r'"outcome": "([^"]*)"', key)}
    assert values <= {*OUTCOMES, "other"}


def test_a_failing_engine_and_a_database_that_is_away_are_seen(laboratory: Laboratory, postgres_server: str) -> None:
    with new_postgres(postgres_server) as address:
        instance = laboratory.instance([], database=address, wait="/health/live")
        assert instance.conversation().say("does it hurt?")["state"] == "apologised"
        samples = of_app(instance)
        assert total(samples, "needlepoint_messages_total", "apologised") == 1
        assert total(samples, "needlepoint_engine_failures_total", "unreachable") == 1
        assert total(samples, "needlepoint_engines_ready") == 0
        assert total(of_app(instance), "needlepoint_database_up") == 1
        with psycopg.connect(postgres_server, autocommit=True) as admin:
            name = address.rsplit("/", 1)[1]
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            samples = of_app(instance)
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert total(samples, "needlepoint_database_up") == 0
        assert total(samples, "needlepoint_database_errors_total") > 0
        instance.end()


def test_they_are_never_on_the_public_port_and_with_a_token_nobody_else_reads_them(laboratory: Laboratory) -> None:
    instance = laboratory.instance([], wait="/health/live", metrics_token=TOKEN)
    with instance.http() as http:
        assert http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404
    url = instance.webhook_url.replace("/webhook", "/metrics")
    for wrong in ("x", SECRET, TOKEN[:-1], TOKEN + "x", "é"):
        given = {b"Authorization": f"Bearer {wrong}".encode()}
        assert httpx.get(url, headers=given, trust_env=False).status_code == 401
    assert scraped(url, Authorization=f"Bearer {TOKEN}")
    instance.end()


@pytest.mark.parametrize(
    ("token", "given", "address", "may"),
    [
        ("", "", "127.0.0.1", True),
        ("", "", "::1", True),
        ("", "", "10.0.0.7", False),
        ("", f"Bearer {TOKEN}", "10.0.0.7", False),
        ("", "", "", False),
        (TOKEN, f"Bearer {TOKEN}", "10.0.0.7", True),
        (TOKEN, "", "127.0.0.1", False),
    ],
)
def test_without_a_token_only_this_machine_reads_them(token: str, given: str, address: str, may: bool) -> None:
    assert _may_read(token, given, address) is may


def test_a_token_that_is_too_short_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="NEEDLEPOINT_METRICS_TOKEN is too short"):
        read_settings({"NEEDLEPOINT_METRICS_TOKEN": "short"})


def test_dashboard_and_alarms_name_only_what_there_is(instance: Instance, engine: Engine) -> None:
    instance.conversation().say("does it hurt?")
    there = {key.split("{", 1)[0] for key in [*of_app(instance), *of_engine(engine)]}
    dashboard = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    alarms = yaml.safe_load(ALARMS.read_text())
    rules = [rule for group in alarms["groups"] for rule in group["rules"]]
    for query in [*asked, *(rule["expr"] for rule in rules)]:
        named = set(NAMES.findall(query))
        assert named or "up{" in query, query
        assert named <= there, named - there
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    documented = (ROOT / "docs" / "operations.md").read_text()
    for rule in rules:
        assert f"`{rule['alert']}`" in documented, f"docs/operations.md does not say what to do about {rule['alert']}"
