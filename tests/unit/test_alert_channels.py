"""The channels of alerts: settings that are refused, real e-mail to a real server, real signed posts."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
import ipaddress
import json
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from needlepoint.alerts.alert import Alert, DeliveryError
from needlepoint.alerts.channels import Channels, Email, MailServer, Webhook, read_channels
from needlepoint.alerts.mail import Mailer, compose
from needlepoint.alerts.trial import try_channels
from needlepoint.alerts.webhook import Caller
from needlepoint.conversations.staff_alerts import AlertTo
from needlepoint.settings import SettingsError, read_settings
from tests import receivers

ZONE = ZoneInfo("Asia/Kuala_Lumpur")
DESK = "https://desk.test"
SECRET = "a-secret-of-the-webhook-0123456789abcdef"
AT = datetime(2026, 11, 26, 6, 32, tzinfo=UTC)
FIRST = Alert("a1", "first", "emergency_now", ["severe_allergic_reaction"], AT, "/staff/conversations/c1")
BEFORE_CONSENT = Alert("a2", "first", "same_day", ["skin_infection"], AT + timedelta(minutes=3), None)

WHOLE = {
    "smtp_url": "smtp://me%40c.test:p%2Fw@mail.test",
    "alert_email_from": "needlepoint@c.test",
    "alert_emails": "nurse@c.test, dr@c.test,nurse@c.test",
    "alert_webhook_url": "https://hook.test/in?key=1",
    "alert_webhook_secret": SECRET,
    "public_url": "https://chat.c.test/",
}


def channels(tmp_path: Path, **settings: str) -> Channels:
    environment = {f"NEEDLEPOINT_{name.upper()}": value for name, value in settings.items()}
    return read_channels(read_settings({"NEEDLEPOINT_VAR_DIR": str(tmp_path), **environment}))


# -- settings ---------------------------------------------------------------------------------------------------------


def test_without_settings_there_is_no_channel_but_the_desk(tmp_path: Path) -> None:
    assert channels(tmp_path) == Channels(None, None, "", timedelta(minutes=10))
    assert channels(tmp_path).first == ()


def test_whole_settings_are_read(tmp_path: Path) -> None:
    read = channels(tmp_path, **WHOLE, alert_escalate_minutes="5", alert_escalation_email="boss@c.test")
    assert read.email is not None and read.webhook is not None
    assert read.email.server == MailServer("mail.test", 587, "starttls", "me@c.test", "p/w")
    nurse, doctor, hook = (
        AlertTo("email", "nurse@c.test"),
        AlertTo("email", "dr@c.test"),
        AlertTo("webhook", "hook.test"),
    )
    assert read.first == (nurse, doctor, hook)
    assert read.escalation == (AlertTo("email", "boss@c.test"), hook)
    assert (read.desk, read.escalate_after) == ("https://chat.c.test", timedelta(minutes=5))
    assert "key" not in repr(read.first), "a webhook's address may hold a secret"


def test_without_addresses_of_their_own_escalations_go_to_the_same_people(tmp_path: Path) -> None:
    read = channels(tmp_path, **WHOLE)
    assert read.escalation == read.first


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtps://a:b@mail.test", MailServer("mail.test", 465, "from_the_start", "a", "b")),
        ("smtp://mail.test:2525", MailServer("mail.test", 2525, "starttls")),
        ("smtp://127.0.0.1:25", MailServer("127.0.0.1", 25, "none")),
        ("smtp://localhost:25", MailServer("localhost", 25, "none")),
        ("smtp://[::1]:25", MailServer("::1", 25, "none")),
        ("smtp://127.0.0.1.evil.test", MailServer("127.0.0.1.evil.test", 587, "starttls")),
    ],
)
def test_without_tls_mail_goes_only_to_this_machine(tmp_path: Path, url: str, server: MailServer) -> None:
    read = channels(tmp_path, **{**WHOLE, "smtp_url": url})
    assert read.email is not None and read.email.server == server


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"smtp_url": ""}, "SMTP_URL is not"),
        ({"alert_emails": ""}, "ALERT_EMAILS is not"),
        ({"alert_email_from": "", "alert_emails": ""}, "ALERT_EMAIL_FROM and NEEDLEPOINT_ALERT_EMAILS are not"),
        ({"alert_emails": "nurse"}, "`nurse` is no e-mail address"),
        ({"alert_emails": "a@c.test\nBcc: b@c.test"}, "no e-mail address"),
        ({"alert_emails": "a@c.test>, <b@c.test"}, "no e-mail address"),
        ({"alert_emails": " , "}, "names nobody"),
        ({"alert_emails": ",".join(f"n{number}@c.test" for number in range(11))}, "11 addresses"),
        ({"alert_email_from": "a@c.test,b@c.test"}, "2 addresses; name one"),
        ({"alert_escalation_email": "boss"}, "`boss` is no e-mail address"),
        ({"smtp_url": "mail.test:587"}, "SMTP_URL is no address"),
        ({"smtp_url": "https://mail.test"}, "SMTP_URL is no address"),
        ({"smtp_url": "smtp://a:b@mail.test:port"}, "SMTP_URL is no address"),
        ({"smtp_url": "smtp://a:b@/"}, "SMTP_URL is no address"),
        ({"smtp_url": "smtp://a:b@mail.test/inbox"}, "has a path"),
        ({"smtp_url": "smtp://a@mail.test"}, "without the other"),
        ({"alert_webhook_url": ""}, "ALERT_WEBHOOK_SECRET is set but"),
        ({"alert_webhook_secret": ""}, "ALERT_WEBHOOK_SECRET is not set"),
        ({"alert_webhook_secret": "x" * 31}, "ALERT_WEBHOOK_SECRET is too short"),
        ({"alert_webhook_url": "http://hook.test/"}, "write https"),
        ({"alert_webhook_url": "http://127.0.0.1.evil.test/"}, "write https"),
        ({"alert_webhook_url": "ftp://hook.test/"}, "ALERT_WEBHOOK_URL is no address"),
        ({"alert_webhook_url": "https://a:b@hook.test/"}, "user or password"),
        ({"public_url": ""}, "PUBLIC_URL is not set"),
        ({"public_url": "chat.c.test"}, "PUBLIC_URL is no address"),
        ({"public_url": "https://chat.c.test/?x=1"}, "PUBLIC_URL is no address"),
        ({"alert_escalate_minutes": "0"}, "ALERT_ESCALATE_MINUTES"),
        ({"alert_escalate_minutes": "soon"}, "ALERT_ESCALATE_MINUTES"),
    ],
)
def test_a_wrong_or_half_setting_is_refused_in_a_sentence_without_a_secret(
    tmp_path: Path, changes: dict[str, str], complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint) as refused:
        channels(tmp_path, **{**WHOLE, **changes})
    said = str(refused.value)
    assert "NEEDLEPOINT_" in said and "\n" not in said
    assert SECRET not in said and "p/w" not in said and "a:b" not in said


def test_escalation_addresses_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs NEEDLEPOINT_ALERT_EMAILS"):
        channels(tmp_path, alert_escalation_email="boss@c.test")


# -- e-mail -----------------------------------------------------------------------------------------------------------


def mailer(server: MailServer, whole_seconds: float = 5) -> Mailer:
    email = Email(server, "needlepoint@c.test", ("nurse@c.test",), ("nurse@c.test",))
    return Mailer(email, DESK, ZONE, whole_seconds)


def send(server: MailServer, *alerts: Alert, whole_seconds: float = 5) -> None:
    asyncio.run(mailer(server, whole_seconds).send("nurse@c.test", alerts or [FIRST]))


def test_an_e_mail_says_level_finding_time_and_where_to_read_on() -> None:
    with receivers.MailServer(account=("me", "p/w")) as server:
        send(MailServer("127.0.0.1", server.port, "none", "me", "p/w"), FIRST)
    [(recipient, mail)] = server.mails
    assert recipient == "nurse@c.test"
    assert mail["Subject"] == "Needlepoint: urgent message (Emergency), 14:32"
    assert mail["Message-ID"] == "<a1@c.test>" and mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_content()
    for expected in ("severe allergic reaction", "26 Nov 2026, 14:32", f"{DESK}/staff/conversations/c1", "Emergency"):
        assert expected in text
    assert "allergic" not in mail["Subject"], "a lock screen shows the subject to everybody"


def test_before_consent_an_e_mail_has_no_link_to_a_conversation() -> None:
    text = compose("n@c.test", "nurse@c.test", [BEFORE_CONSENT], DESK, ZONE).get_content()
    assert "/staff/conversations" not in text and "had not agreed" in text and f"{DESK}/staff/alerts" in text


def test_several_alerts_are_one_e_mail_that_names_the_worst_level() -> None:
    mail = compose("n@c.test", "nurse@c.test", [BEFORE_CONSENT, FIRST], DESK, ZONE)
    assert mail["Subject"] == "Needlepoint: 2 urgent messages (Emergency), since 14:32"
    assert mail.get_content().count("Level:") == 2


def test_an_escalation_says_that_nobody_acknowledged() -> None:
    mail = compose("n@c.test", "dr@c.test", [Alert("a3", "escalation", "same_day", [], AT, None)], DESK, ZONE)
    assert "NOT ACKNOWLEDGED" in mail["Subject"] and "Nobody has acknowledged" in mail.get_content()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1, with its key, that no authority signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    at = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - dt.timedelta(days=1))
        .not_valid_after(at + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.mark.parametrize("tls", ["starttls", "from_the_start"])
def test_mail_goes_over_tls_only_to_a_server_with_a_good_certificate(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, tls: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with receivers.MailServer(tls=context, from_the_start=tls == "from_the_start", account=("me", "pw")) as server:
        there = MailServer("127.0.0.1", server.port, tls, "me", "pw")  # type: ignore[arg-type]
        with pytest.raises(DeliveryError, match="certificate") as refused:
            send(there)
        assert refused.value.code == "SSLCertVerificationError"
        assert server.mails == [] and "AUTH" not in server.commands, "a password went to somebody unknown"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        send(there)
        assert len(server.mails) == 1


def test_a_server_without_starttls_gets_neither_password_nor_mail() -> None:
    with receivers.MailServer(account=("me", "pw")) as server:
        with pytest.raises(DeliveryError, match="STARTTLS"):
            send(MailServer("127.0.0.1", server.port, "starttls", "me", "pw"))
        assert server.mails == [] and "AUTH" not in server.commands


@pytest.mark.parametrize(
    ("refuse", "code", "mend"),
    [
        ({"AUTH": ["535 5.7.8 secret words of the server"]}, "SMTPAuthenticationError 535", "user or password"),
        ({"MAIL": ["550 secret words"]}, "SMTPSenderRefused 550", "ALERT_EMAIL_FROM"),
        ({"RCPT": ["550 secret words"]}, "SMTPRecipientsRefused 550", "address"),
        ({"DATA": ["451 secret words"]}, "SMTPDataError 451", "451"),
        ({"EHLO": ["421 secret words"], "HELO": ["421 secret words"]}, "SMTPHeloError 421", "421"),
    ],
)
def test_a_refusal_is_recorded_by_class_and_number_with_a_mend(
    refuse: dict[str, list[str]], code: str, mend: str
) -> None:
    with receivers.MailServer(account=("me", "pw"), refuse=refuse) as server:
        with pytest.raises(DeliveryError, match=mend) as refused:
            send(MailServer("127.0.0.1", server.port, "none", "me", "pw"))
        assert refused.value.code == code
        assert "secret words" not in str(refused.value) and "pw" not in str(refused.value)
        assert server.mails == []


def test_a_mail_that_was_taken_counts_whatever_is_said_to_the_farewell() -> None:
    with receivers.MailServer(refuse={"QUIT": ["500 what?"]}) as server:
        send(MailServer("127.0.0.1", server.port, "none"))
        assert len(server.mails) == 1


def test_nobody_there_and_a_server_that_drips_are_errors_in_time() -> None:
    with pytest.raises(DeliveryError, match="nobody answers"):
        send(MailServer("127.0.0.1", 9, "none"))
    with receivers.MailServer(drip=0.04) as server:
        began = time.monotonic()
        with pytest.raises(DeliveryError, match="in time") as refused:
            send(MailServer("127.0.0.1", server.port, "none"), whole_seconds=0.9)
        assert refused.value.code == "TimeoutError" and time.monotonic() - began < 4
        assert server.mails == []


# -- webhook ----------------------------------------------------------------------------------------------------------


def post(url: str, *alerts: Alert, whole_seconds: float = 5) -> None:
    async def whole() -> None:
        caller = Caller(Webhook(url, "127.0.0.1", SECRET), DESK, lambda: 1_800_000_000.5, whole_seconds)
        try:
            await caller.send("127.0.0.1", alerts or [FIRST])
        finally:
            await caller.close()

    asyncio.run(whole())


def test_a_post_is_signed_over_time_and_body_and_carries_its_key() -> None:
    with receivers.WebhookReceiver() as receiver:
        post(receiver.url, FIRST)
        post(receiver.url, FIRST)
    one, again = receiver.posts
    assert one.path == "/hook?for=alerts"
    assert one.headers["idempotency-key"] == again.headers["idempotency-key"] == "a1"
    assert one.headers["needlepoint-timestamp"] == "1800000000"
    expected = hmac.new(SECRET.encode(), b"1800000000." + one.body, hashlib.sha256).hexdigest()
    assert one.headers["needlepoint-signature"] == f"sha256={expected}"
    assert json.loads(one.body) == {
        "id": "a1",
        "type": "urgent_message",
        "escalation": False,
        "level": "emergency_now",
        "findings": ["severe_allergic_reaction"],
        "at": "2026-11-26T06:32:00+00:00",
        "link": f"{DESK}/staff/conversations/c1",
        "desk": f"{DESK}/staff/alerts",
    }


def test_a_post_about_an_escalation_says_so_and_one_before_consent_has_no_link() -> None:
    with receivers.WebhookReceiver() as receiver:
        post(receiver.url, Alert("a3", "escalation", "same_day", ["skin_infection"], AT, None))
    body = json.loads(receiver.posts[0].body)
    assert body["escalation"] is True and body["link"] is None


@pytest.mark.parametrize(
    ("status", "mend"), [(302, "final address"), (307, "final address"), (401, "SECRET"), (404, "path"), (500, "500")]
)
def test_only_success_counts_and_a_redirect_is_not_followed(status: int, mend: str) -> None:
    with receivers.WebhookReceiver(answers=[status]) as receiver:
        with pytest.raises(DeliveryError, match=mend) as refused:
            post(receiver.url)
        assert refused.value.code == f"HTTP {status}" and len(receiver.posts) == 1
        assert SECRET not in str(refused.value) and "for=alerts" not in str(refused.value)


def test_a_receiver_that_is_slow_away_or_unsafe_is_an_error_in_time() -> None:
    with receivers.WebhookReceiver(delay=0.5) as receiver:
        with pytest.raises(DeliveryError, match="in time"):
            post(receiver.url, whole_seconds=0.1)
        with pytest.raises(DeliveryError):
            post(receiver.url.replace("http:", "https:"))
    with pytest.raises(DeliveryError, match="nobody answers"):
        post("http://127.0.0.1:9/")


# -- the trial --------------------------------------------------------------------------------------------------------


def test_a_trial_tells_everybody_who_would_be_told_that_it_is_one() -> None:
    with receivers.MailServer() as mail, receivers.WebhookReceiver(answers=[204]) as hook:
        server = MailServer("127.0.0.1", mail.port, "none")
        email = Email(server, "n@c.test", ("nurse@c.test",), ("nurse@c.test", "dr@c.test"))
        whole = Channels(email, Webhook(hook.url, "127.0.0.1", SECRET), DESK, timedelta(minutes=10))
        tried = asyncio.run(try_channels(whole, ZONE))
    assert [str(one) for one in tried] == [
        "email to nurse@c.test: taken",
        "webhook to 127.0.0.1: taken",
        "email to dr@c.test: taken",
    ]
    assert {mail["Subject"] for _, mail in mail.mails} == {"Needlepoint: a test of the alerts"}
    assert json.loads(hook.posts[0].body)["type"] == "test"
