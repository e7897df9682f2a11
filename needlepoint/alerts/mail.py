"""Alerts by e-mail: the words, and handing them to the mail server, over verified TLS."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from zoneinfo import ZoneInfo

from needlepoint.alerts.alert import Alert, DeliveryError
from needlepoint.alerts.channels import MOST_ADDRESSES, Email, MailServer
from needlepoint.db.base import now

#: Seconds for one step of the talk with the mail server, and for the whole of it.
STEP_SECONDS = 10.0
WHOLE_SECONDS = 20.0

#: E-mails handed in at once: as many as there may be recipients, so that all are done within an alert's lease.
AT_ONCE = MOST_ADDRESSES

#: Neither a subject nor a link is broken over lines.
_POLICY = policy.SMTP.clone(max_line_length=500)

_LEVELS = {"emergency_now": "Emergency", "same_day": "Same day"}


class Mailer:
    """Sends alerts from one address through one mail server."""

    def __init__(self, email: Email, desk: str, zone: ZoneInfo, whole_seconds: float = WHOLE_SECONDS) -> None:
        self._email = email
        self._desk = desk
        self._zone = zone
        self._whole_seconds = whole_seconds
        # Threads of its own: a mail server that hangs must not hold up what else the app does in threads.
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mail")

    async def send(self, recipient: str, alerts: Sequence[Alert]) -> None:
        """Send one e-mail about these alerts, which are of one kind. Raises :class:`DeliveryError`."""
        message = compose(self._email.sender, recipient, alerts, self._desk, self._zone)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, hand_in, self._email.server, message, self._whole_seconds)

    async def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False)


def compose(sender: str, recipient: str, alerts: Sequence[Alert], desk: str, zone: ZoneInfo) -> EmailMessage:
    """The e-mail about one alert or several of one kind. The subject, which lock screens show, names no finding."""
    first = alerts[0]
    worst = next((one for one in alerts if one.level == "emergency_now"), first)
    message = EmailMessage(_POLICY)
    message["From"], message["To"] = sender, recipient
    message["Subject"] = _subject(alerts, worst, zone)
    message["Date"] = format_datetime(now())
    message["Message-ID"] = f"<{first.id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    if worst.level == "emergency_now":
        message["Importance"] = "high"
    lines = []
    if first.test:
        lines += ["This is a test. There is no urgent message.", ""]
    elif first.kind == "escalation":
        lines += ["Nobody has acknowledged what follows.", ""]
    for alert in alerts:
        findings = ", ".join(one.replace("_", " ").replace("-", " ") for one in alert.findings)
        lines += [
            f"Level:    {_LEVELS.get(alert.level, alert.level)}",
            f"Findings: {findings or 'none named'}",
            f"Time:     {alert.at.astimezone(zone):%d %b %Y, %H:%M}",
        ]
        if alert.path:
            lines.append(f"Read:     {desk}{alert.path}")
        elif not alert.test:
            lines.append("The person had not agreed to be recorded: there is no text, and nobody to call back.")
        lines.append("")
    if not first.test:
        lines += ["Acknowledge it at the desk, so that the others know:", f"{desk}/staff/alerts"]
    message.set_content("\n".join(lines) + "\n")
    return message


def _subject(alerts: Sequence[Alert], worst: Alert, zone: ZoneInfo) -> str:
    if worst.test:
        return "Needlepoint: a test of the alerts"
    what = f"{len(alerts)} urgent messages" if len(alerts) > 1 else "urgent message"
    since = f"{'since ' if len(alerts) > 1 else ''}{min(one.at for one in alerts).astimezone(zone):%H:%M}"
    level = _LEVELS.get(worst.level, worst.level)
    if worst.kind == "escalation":
        return f"Needlepoint: NOT ACKNOWLEDGED: {what} ({level}), {since}"
    return f"Needlepoint: {what} ({level}), {since}"


def hand_in(server: MailServer, message: EmailMessage, whole_seconds: float = WHOLE_SECONDS) -> None:
    """Hand a message to the mail server. Blocks up to `whole_seconds`; raises :class:`DeliveryError`."""
    ends = time.monotonic() + whole_seconds
    try:
        smtp = _connected(server, min(STEP_SECONDS, whole_seconds))
        # A time limit a step does not bound a server that drips; this does.
        watch = threading.Timer(max(0.0, ends - time.monotonic()), _hang_up, [smtp])
        watch.daemon = True
        watch.start()
        try:
            if server.tls == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            if server.user:
                smtp.login(server.user, server.password)
            smtp.send_message(message)
        finally:
            # The message is taken or not by now, whatever is said to the farewell.
            with suppress(smtplib.SMTPException, OSError, AttributeError):
                smtp.sock.settimeout(1)  # type: ignore[union-attr]
                smtp.quit()
            smtp.close()
            watch.cancel()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        late = time.monotonic() >= ends
        raise _explained(TimeoutError() if late else error, server) from None


def _connected(server: MailServer, seconds: float) -> smtplib.SMTP:
    if server.tls == "from_the_start":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=seconds, context=ssl.create_default_context())
    return smtplib.SMTP(server.host, server.port, timeout=seconds)


def _hang_up(smtp: smtplib.SMTP) -> None:
    with suppress(OSError, AttributeError):
        smtp.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


def _explained(error: Exception, server: MailServer) -> DeliveryError:
    """The error's class and number, and the mend; never its words, which are the server's."""
    where = f"{server.host}:{server.port}"
    code = type(error).__name__
    match error:
        case smtplib.SMTPRecipientsRefused():
            number = next((answer[0] for answer in error.recipients.values()), 0)
            return DeliveryError(f"{code} {number}", f"{where} does not take mail for this address; check its spelling")
        case smtplib.SMTPSenderRefused():
            mend = f"{where} does not let this sender through; check NEEDLEPOINT_ALERT_EMAIL_FROM"
            return DeliveryError(f"{code} {error.smtp_code}", mend)
        case smtplib.SMTPAuthenticationError():
            mend = f"{where} refused user or password; check them in NEEDLEPOINT_SMTP_URL (special characters as %XX)"
            return DeliveryError(f"{code} {error.smtp_code}", mend)
        case smtplib.SMTPNotSupportedError():
            mend = f"{where} offers no STARTTLS or no sign-in; use smtps://, or another port, in NEEDLEPOINT_SMTP_URL"
            return DeliveryError(code, mend)
        case smtplib.SMTPResponseException():
            mend = f"{where} refused it with {error.smtp_code}; see the mail server's log"
            return DeliveryError(f"{code} {error.smtp_code}", mend)
        case ssl.SSLCertVerificationError():
            mend = (
                f"the certificate of {where} is not one for that name by a known authority; "
                "check the host in NEEDLEPOINT_SMTP_URL"
            )
            return DeliveryError(code, mend)
        case ssl.SSLError():
            mend = f"{where} does not speak TLS as asked; smtps:// is mostly port 465, smtp:// port 587"
            return DeliveryError(code, mend)
        case socket.gaierror():
            return DeliveryError(code, f"the name {server.host} is not known; check the host in NEEDLEPOINT_SMTP_URL")
        case TimeoutError():
            return DeliveryError(code, f"{where} did not answer in time; check host, port and firewall")
        case OSError() if not isinstance(error, smtplib.SMTPException):
            return DeliveryError(code, f"nobody answers at {where}; check host and port in NEEDLEPOINT_SMTP_URL")
        case _:
            return DeliveryError(code, f"{where} broke off or is no mail server; check NEEDLEPOINT_SMTP_URL")
