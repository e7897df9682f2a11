"""The channels that the settings name, checked whole: a wrong or half setting stops the start."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from needlepoint.conversations.staff_alerts import AlertTo
from needlepoint.settings import ENVIRONMENT_PREFIX, Settings, SettingsError

#: An address as mail servers take it: one @, no spaces, quotes, brackets or line ends.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")

_SHORTEST_SECRET = 32

#: Addresses a setting may name; a clinic that has more people to tell has a list at its mail server.
MOST_ADDRESSES = 10


class MailServer(msgspec.Struct, frozen=True):
    """Where e-mail is handed in, and as whom. `tls` is `none` for loopback only."""

    host: str
    port: int
    tls: Literal["starttls", "from_the_start", "none"]
    user: str = ""
    password: str = ""


class Email(msgspec.Struct, frozen=True):
    """E-mail as a channel."""

    server: MailServer
    sender: str
    recipients: tuple[str, ...]
    escalation_recipients: tuple[str, ...]


class Webhook(msgspec.Struct, frozen=True):
    """A webhook as a channel. `host` stands for it in the record, because `url` may hold a secret."""

    url: str
    host: str
    secret: str


class Channels(msgspec.Struct, frozen=True):
    """Where alerts go besides the desk."""

    email: Email | None
    webhook: Webhook | None
    #: Address of the desk, without a trailing slash; empty where there is no channel.
    desk: str
    escalate_after: timedelta

    @property
    def first(self) -> tuple[AlertTo, ...]:
        """Who is alerted of an urgent message."""
        return self._to(self.email.recipients if self.email else ())

    @property
    def escalation(self) -> tuple[AlertTo, ...]:
        """Who is alerted when nobody acknowledged it."""
        return self._to(self.email.escalation_recipients if self.email else ())

    def _to(self, addresses: tuple[str, ...]) -> tuple[AlertTo, ...]:
        to = [AlertTo("email", address) for address in addresses]
        if self.webhook:
            to.append(AlertTo("webhook", self.webhook.host))
        return tuple(to)


def read_channels(settings: Settings) -> Channels:
    """The channels of the settings. Raises :class:`SettingsError`, which never repeats a password or secret."""
    email, webhook = _email(settings), _webhook(settings)
    desk = _desk(settings) if settings.public_url or email or webhook else ""
    return Channels(email, webhook, desk, timedelta(minutes=settings.alert_escalate_minutes))


def _email(settings: Settings) -> Email | None:
    parts = ("smtp_url", "alert_email_from", "alert_emails")
    given = [name for name in parts if getattr(settings, name)]
    if not given:
        if settings.alert_escalation_email:
            raise SettingsError(
                f"{_variable('alert_escalation_email')} needs {_variable('alert_emails')}, "
                f"{_variable('alert_email_from')} and {_variable('smtp_url')} too; set them or unset it"
            )
        return None
    missing = [name for name in parts if name not in given]
    if missing:
        raise SettingsError(
            f"{_variable(given[0])} is set but {' and '.join(map(_variable, missing))} "
            f"{'is' if len(missing) == 1 else 'are'} not; alerts by e-mail need all three, set or unset them together"
        )
    sender = _addresses(settings, "alert_email_from")
    if len(sender) != 1:
        raise SettingsError(f"{_variable('alert_email_from')} names {len(sender)} addresses; name one")
    recipients = _addresses(settings, "alert_emails")
    escalation = _addresses(settings, "alert_escalation_email") or recipients
    return Email(_mail_server(settings), sender[0], recipients, escalation)


def _addresses(settings: Settings, name: str) -> tuple[str, ...]:
    addresses = [one.strip() for one in getattr(settings, name).split(",") if one.strip()]
    for address in addresses:
        if not _ADDRESS.fullmatch(address):
            raise SettingsError(
                f"{_variable(name)}: `{' '.join(address.split())[:80]}` is no e-mail address; write plain ones such as "
                "nurse@clinic.example, separated by commas"
            )
    if getattr(settings, name) and not addresses:
        raise SettingsError(f"{_variable(name)} names nobody; write an e-mail address or unset it")
    if len(addresses) > MOST_ADDRESSES:
        raise SettingsError(
            f"{_variable(name)} names {len(addresses)} addresses; name at most {MOST_ADDRESSES}, "
            "or one list of the mail server's"
        )
    return tuple(dict.fromkeys(addresses))


def _mail_server(settings: Settings) -> MailServer:
    name = "smtp_url"
    example = "smtp://user:password@host:587 or smtps://user:password@host:465"
    url = _split(settings, name, ("smtp", "smtps"), example)
    if url.path not in ("", "/"):
        raise SettingsError(f"{_variable(name)} has a path; write {example}, with %-escapes in user and password")
    user, password = unquote(url.username or ""), unquote(url.password or "")
    if bool(user) != bool(password):
        raise SettingsError(f"{_variable(name)} has a user or a password without the other; write {example}")
    host = url.hostname or ""
    if url.scheme == "smtps":
        return MailServer(host, url.port or 465, "from_the_start", user, password)
    return MailServer(host, url.port or 587, "none" if _is_loopback(host) else "starttls", user, password)


def _webhook(settings: Settings) -> Webhook | None:
    name, secret = "alert_webhook_url", settings.alert_webhook_secret
    if not settings.alert_webhook_url:
        if secret:
            raise SettingsError(
                f"{_variable('alert_webhook_secret')} is set but {_variable(name)} is not; set both or neither"
            )
        return None
    url = _split(settings, name, ("https", "http"), "https://host/path")
    if url.username or url.password:
        raise SettingsError(f"{_variable(name)} has a user or password in it; leave them out, the body is signed")
    if url.scheme == "http" and not _is_loopback(url.hostname or ""):
        raise SettingsError(f"{_variable(name)} is http; write https, http is for this machine only")
    if len(secret) < _SHORTEST_SECRET:
        problem = "is too short" if secret else "is not set"
        raise SettingsError(
            f"{_variable('alert_webhook_secret')} {problem}; use at least {_SHORTEST_SECRET} random characters, "
            "the same as at the receiver"
        )
    return Webhook(settings.alert_webhook_url, url.hostname or "", secret)


def _desk(settings: Settings) -> str:
    name = "public_url"
    if not settings.public_url:
        raise SettingsError(
            f"{_variable(name)} is not set, and alerts need it for their links; set it to the address at which staff "
            "open the desk, such as https://chat.clinic.example"
        )
    url = _split(settings, name, ("https", "http"), "https://host")
    if url.username or url.password:
        raise SettingsError(f"{_variable(name)} has a user or password in it; write https://host")
    return settings.public_url.rstrip("/")


def _split(settings: Settings, name: str, schemes: tuple[str, ...], example: str) -> SplitResult:
    """The address in a setting, with one of these schemes and a host. The complaint does not repeat it."""
    text: str = getattr(settings, name)
    wrong = SettingsError(f"{_variable(name)} is no address of that kind; write {example}")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise wrong
    try:
        url = urlsplit(text)
        url.port  # noqa: B018 - looking at it is what checks it
    except ValueError:
        raise wrong from None
    # A query may be part of a webhook's address, never of the others.
    no_query = name != "alert_webhook_url" and url.query
    if url.scheme not in schemes or not url.hostname or url.fragment or no_query:
        raise wrong
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _variable(name: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{name.upper()}"
