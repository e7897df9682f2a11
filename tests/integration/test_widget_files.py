"""What the app serves for the website: the widget, who may embed it, and what people say about replies."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import subprocess
import uuid
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from needlepoint.channels.web.widget import embed_origins
from needlepoint.cli import app as commands
from needlepoint.db.connect import connect
from needlepoint.settings import ROOT, Settings, SettingsError
from needlepoint.staff import accounts
from tests.desk import sign_in
from tests.running import Conversation, Engine, Instance, Laboratory

BUILT = ROOT / "widget" / "dist"
SITE = "https://www.clinic.example"


def test_the_built_widget_is_what_its_sources_build(widget_sources: Path) -> None:
    for script in ("check", "build"):
        ran = subprocess.run(
            ["npm", "run", script], check=False, cwd=widget_sources, capture_output=True, text=True, timeout=120
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    for name in ("widget.js", "markdown.js", "preview.js"):
        assert (widget_sources / "dist" / name).read_bytes() == (BUILT / name).read_bytes(), (
            f"widget/dist/{name} is older than its sources; run `make widget` and commit it"
        )


def test_the_widget_weighs_less_than_25_kb_gzipped() -> None:
    assert len(gzip.compress((BUILT / "widget.js").read_bytes(), 9, mtime=0)) < 25_000


def test_the_widget_names_no_other_host_and_runs_no_text_as_code() -> None:
    script = (BUILT / "widget.js").read_text()
    assert set(re.findall(r"https?://[\w.-]+", script)) <= {"http://www.w3.org"}, "only the name space of SVG"
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "new Function", "document.cookie"):
        assert forbidden not in script


def test_every_language_of_the_widget_says_the_same_things() -> None:
    texts = {file.stem: json.loads(file.read_text()) for file in (ROOT / "widget" / "strings").glob("*.json")}
    assert texts.keys() == {"en", "ms"}
    for language, said in texts.items():
        assert list(said) == list(texts["en"]), language
        for key, text in said.items():
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", texts["en"][key])), (language, key)


def test_the_plain_address_is_cached_shortly_and_the_pinned_one_for_ever(instance: Instance) -> None:
    content = (BUILT / "widget.js").read_bytes()
    with instance.http() as http:
        plain = http.get("/widget.js")
        assert plain.content == content
        assert plain.headers["content-encoding"] == "gzip"
        assert plain.headers["cache-control"] == "public, max-age=300"
        again = http.get("/widget.js", headers={"If-None-Match": plain.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        pinned = http.get(f"/widget.{hashlib.sha256(content).hexdigest()[:16]}.js", headers={"Accept-Encoding": ""})
        assert pinned.content == content
        assert "content-encoding" not in pinned.headers
        assert "immutable" in pinned.headers["cache-control"]
        assert pinned.headers["access-control-allow-origin"] == "*", "a tag with `integrity` asks with CORS"
        assert http.get("/widget.0000000000000000.js").status_code == 404


def test_a_command_prints_the_tag_with_the_hash_of_the_very_file() -> None:
    ran = CliRunner().invoke(commands, ["widget"], env={"NEEDLEPOINT_PUBLIC_URL": "https://chat.clinic.example"})
    wanted = base64.b64encode(hashlib.sha384((BUILT / "widget.js").read_bytes()).digest()).decode()
    assert ran.exit_code == 0
    assert f'integrity="sha384-{wanted}" crossorigin="anonymous"' in ran.output
    assert '<script src="https://chat.clinic.example/widget.js" async></script>' in ran.output


@pytest.mark.parametrize(
    "wrong", ["*", "https://a.example/", "https://a.example/page", "a.example", "http://a.example", "HTTPS://A.example"]
)
def test_what_is_no_origin_stops_the_start_with_the_mend(wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"NEEDLEPOINT_EMBED_ORIGINS.*is no origin; write https://"):
        embed_origins(Settings(embed_origins=f"{SITE}, {wrong}"))
    assert embed_origins(Settings(embed_origins=f" {SITE} , http://127.0.0.1:9")) == {SITE, "http://127.0.0.1:9"}


def test_only_named_origins_may_read_what_the_api_says_errors_and_preflights_included(laboratory: Laboratory) -> None:
    instance = laboratory.instance([], wait="/health/live", embed_origins=SITE, rate_limit="5")
    with instance.http() as http:
        preflight = http.options("/api/conversations", headers={"Origin": SITE})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == SITE
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        assert "x-request-id" in preflight.headers["access-control-allow-headers"]
        assert preflight.headers["access-control-expose-headers"] == "x-request-id"
        assert "access-control-allow-credentials" not in preflight.headers
        for origin in ("https://evil.example", f"{SITE}.evil.example", "null"):
            for response in (
                http.options("/api/conversations", headers={"Origin": origin}),
                http.get("/api/conversations/x/messages", headers={"Origin": origin}),
            ):
                assert "access-control-allow-origin" not in response.headers, origin
        limited = [http.get("/api/clinic", headers={"Origin": SITE}) for _ in range(8)][-1]
        assert limited.status_code == 429
        assert limited.headers["access-control-allow-origin"] == SITE, "the widget has to read the emergency line"
        assert "999" in limited.json()["error"]["emergency"]
        for path in ("/staff/login", "/health/live"):
            assert "access-control-allow-origin" not in http.get(path, headers={"Origin": SITE}).headers
        assert http.get("/demo").status_code == 404, "no demo page unless it is asked for"
    instance.stop()


def rate(conversation: Conversation, event: int, **body: object) -> httpx.Response:
    path = f"/api/conversations/{conversation.id}/events/{event}/feedback"
    return conversation.http.put(path, json=body, headers=conversation.headers)


def test_a_thumb_can_be_changed_and_its_comment_is_masked(instance: Instance) -> None:
    conversation = instance.conversation()
    event = conversation.say("does it hurt?")["event_id"]
    assert rate(conversation, event, helpful=True).json() == {"urgent": None}
    changed = rate(conversation, event, helpful=False, reason="not_enough", comment="call me: 012-345 6789")
    assert changed.status_code == 200
    given = conversation.history()[-1]["feedback"]
    assert given == {"helpful": False, "reason": "not_enough", "comment": "call me: [phone]"}


def test_feedback_is_refused_without_the_token_for_unknown_replies_and_for_unknown_reasons(instance: Instance) -> None:
    conversation, other = instance.conversation(), instance.conversation()
    event = conversation.say("does it hurt?")["event_id"]
    foreign = rate(Conversation(other.http, conversation.id, other.token), event, helpful=True)
    assert foreign.status_code == 404
    assert rate(conversation, event + 5, helpful=True).status_code == 404
    assert rate(conversation, event, helpful=False, reason="because").status_code == 400
    assert rate(conversation, event, helpful=True, comment="but").status_code == 400
    assert rate(conversation, event, helpful=False, comment="a" * 1001).status_code == 400
    assert conversation.history()[-1]["feedback"] is None


def test_an_emergency_told_in_a_comment_gets_the_card_at_once(instance: Instance) -> None:
    conversation = instance.conversation()
    event = conversation.say("does it hurt?")["event_id"]
    urgent = rate(conversation, event, helpful=False, comment="my tongue is swelling and I cannot breathe").json()[
        "urgent"
    ]
    assert urgent["reply"]["urgency"] == "emergency_now"
    assert conversation.history()[-1]["reply"]["kind"] == "urgent"


def test_staff_read_the_feedback_beside_its_reply_until_the_conversation_is_erased(
    laboratory: Laboratory, engine: Engine, database_address: str
) -> None:
    instance = laboratory.instance([engine], database=database_address)
    database = connect(instance.database)
    name = f"Nurse {uuid.uuid4().hex[:6]}"
    accounts.add(database, name, "correct horse battery", "viewer")
    conversation = instance.conversation()
    event = conversation.say("does it hurt?")["event_id"]
    rate(conversation, event, helpful=False, reason="hard_to_understand", comment="too long <b>for me</b>")
    with instance.http(follow_redirects=True) as http:
        sign_in(http, name, "correct horse battery")
        page = http.get(f"/staff/conversations/{conversation.id}").text
    assert "not helpful</strong>: hard to understand" in page
    assert "too long &lt;b&gt;for me&lt;/b&gt;" in page
    assert (
        conversation.http.delete(f"/api/conversations/{conversation.id}", headers=conversation.headers).status_code
        == 204
    )
    with database.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM feedback").scalar() == 0
    database.dispose()
    instance.stop()


@pytest.mark.parametrize("language", ["en", "ms"])
def test_the_button_for_a_person_is_understood_in_each_language(instance: Instance, language: str) -> None:
    said = json.loads((ROOT / "widget" / "strings" / f"{language}.json").read_text())["ask_for_a_person"]
    assert instance.conversation().say(said)["reply"]["kind"] == "handover"
