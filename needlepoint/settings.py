"""The operator's settings, from environment variables, in one typed place. Wrong ones stop the start."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=1, le=65535)]
ENVIRONMENT_PREFIX = "NEEDLEPOINT_"

#: The folder that holds clinic.toml, data/, config.yml and the rest.
ROOT = Path(__file__).resolve().parent.parent


class SettingsError(ValueError):
    """A setting is wrong; the message names the variable and the mend."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Each field is the environment variable NEEDLEPOINT_<FIELD IN CAPITALS>; docs/settings.md says what each does."""

    host: str = "127.0.0.1"
    port: Port = 8000
    #: Where the action webhook listens; only the engine calls it.
    action_host: str = "127.0.0.1"
    action_port: Port = 8001
    #: The address under which engines reach the action webhook; made from host and port when empty.
    action_url: str = ""
    #: Engines, first choice first, separated by commas.
    engine_urls: str = "http://127.0.0.1:5105,http://127.0.0.1:5106"
    #: Shared by app and engine; made by `needlepoint up` when empty.
    engine_secret: str = ""
    #: Signs tokens and cookies, encrypts the journal; made by `needlepoint up` when empty.
    secret_key: str = ""
    database_url: str = ""
    #: Seconds between saying at /health/ready that this process stops and stopping, for proxies to notice.
    stop_delay: Annotated[float, Meta(ge=0, le=60)] = 0.0
    #: Seconds the engine may take for one turn.
    engine_deadline: Annotated[float, Meta(gt=0, le=30)] = 5.0
    #: Whether the engine leaves out what Rasa does anew for every message although nothing of it changes.
    engine_hot_path: Literal["on", "off"] = "on"
    #: May starting texts that the clinic has not approved yet be given? Urgent cards always are.
    unapproved_answers: Literal["give", "withhold"] = "give"
    #: Days after which a clinic's one clinician may approve own words; 0: another person always has to.
    single_clinician_waiting_days: Annotated[int, Meta(ge=0, le=365)] = 0
    #: Messages one address may send in a minute.
    rate_limit: Annotated[int, Meta(ge=1)] = 120
    #: Hours a conversation token is good for.
    token_hours: Annotated[int, Meta(ge=1, le=24 * 30)] = 24
    #: Addresses of proxies whose X-Forwarded-For is believed, separated by commas; else all visitors are one address.
    trusted_proxies: str = ""
    #: True behind https: cookies are then only sent over it.
    secure_cookies: bool = False
    #: Origins of the sites that may carry the widget, separated by commas; the app's own always may.
    embed_origins: str = ""
    #: Is there a demo page of a clinic at /demo?
    demo_page: bool = False
    data_dir: str = str(ROOT / "data")
    clinic_file: str = str(ROOT / "clinic.toml")
    var_dir: str = str(ROOT / "var")
    #: Hours after which staff have to sign in again, however busy they are.
    staff_session_hours: Annotated[float, Meta(gt=0, le=24)] = 8.0
    #: Minutes after which a session that nobody uses ends.
    staff_idle_minutes: Annotated[float, Meta(gt=0, le=24 * 60)] = 60.0
    #: Who needs a code of an authenticator app besides the password: editors, approvers and administrators; everyone;
    #: or only who sets one up.
    staff_second_factor: Literal["editors", "everyone", "optional"] = "editors"
    #: Used by `needlepoint ask --url` to see what only staff may see.
    staff_token: str = ""
    #: Hosts besides loopback to which an engine may send action calls, separated by commas (read by the engine).
    action_hosts: str = ""
    #: Who reads the metrics on the internal port must show this; without it only this machine may.
    metrics_token: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    #: One sentence a line, or one JSON object a line; app and engines alike.
    log_format: Literal["plain", "json"] = "plain"
    #: The address under which staff open the desk; stands in alerts.
    public_url: str = ""
    #: The mail server that sends alerts: smtp://user:password@host:587 (STARTTLS) or smtps://.
    smtp_url: str = ""
    alert_email_from: str = ""
    #: Who is told of urgent messages, separated by commas.
    alert_emails: str = ""
    alert_webhook_url: str = ""
    #: Signs what the webhook is sent.
    alert_webhook_secret: str = ""
    #: Minutes after which an urgent message that nobody acknowledged is escalated.
    alert_escalate_minutes: Annotated[float, Meta(gt=0, le=24 * 60)] = 10.0
    #: Who is told then, separated by commas; those of alert_emails where empty.
    alert_escalation_email: str = ""
    #: The bot that Telegram's BotFather made; with it the Telegram channel is on.
    telegram_bot_token: str = ""
    #: How updates come: asked for (needs no public address), or posted by Telegram to the webhook.
    telegram_updates: Literal["polling", "webhook"] = "polling"
    #: Where the Bot API is: Telegram's own, or a local Bot API server.
    telegram_api_base_url: str = "https://api.telegram.org"
    #: The app's address as Telegram reaches it; public_url where empty.
    telegram_webhook_base_url: str = ""

    @property
    def data(self) -> Path:
        """The folder of answers, phrases, safety rules and training data."""
        return Path(self.data_dir)

    @property
    def var(self) -> Path:
        """The folder for what is made at run time: database, model, secrets, journal, caches."""
        return Path(self.var_dir)

    @property
    def database(self) -> str:
        """The database's SQLAlchemy address: SQLite in the var folder unless set."""
        return self.database_url or f"sqlite:///{self.var / 'needlepoint.db'}"

    @property
    def engines(self) -> list[str]:
        """The engines' addresses without a trailing slash."""
        return [url.strip().rstrip("/") for url in self.engine_urls.split(",") if url.strip()]

    @property
    def webhook_url(self) -> str:
        """Where an engine sends its action calls for this app."""
        return self.action_url or f"http://{self.action_host}:{self.action_port}/webhook"


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read NEEDLEPOINT_* from the environment, and the secrets from the var folder where they are not set.

    Raises :class:`SettingsError` for an unknown variable or a value of a wrong kind.
    """
    environment = os.environ if environment is None else environment
    given = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and value != ""
    }
    for name in given.keys() - set(Settings.__struct_fields__):
        raise SettingsError(
            f"{ENVIRONMENT_PREFIX}{name.upper()} is no setting; unset it or see docs/settings.md for the ones there are"
        )
    try:
        settings = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{_variable_of(error)}: {error}; see docs/settings.md") from None
    for name in ("secret_key", "engine_secret"):
        file = settings.var / name
        if not getattr(settings, name) and file.exists():
            settings = msgspec.structs.replace(settings, **{name: file.read_text().strip()})
    for name in ("secret_key", "engine_secret", "metrics_token"):
        if 0 < len(getattr(settings, name)) < 32:
            raise SettingsError(f"{ENVIRONMENT_PREFIX}{name.upper()} is too short; use at least 32 random characters")
    return settings


def _variable_of(error: msgspec.ValidationError) -> str:
    _, _, path = str(error).partition(" - at `$.")
    return f"{ENVIRONMENT_PREFIX}{path.rstrip('`').upper()}"


def with_secrets(settings: Settings) -> Settings:
    """The settings with both secrets; those not set are made once and kept in the var folder, readable by us only."""
    settings.var.mkdir(parents=True, exist_ok=True)
    for name in ("secret_key", "engine_secret"):
        if not getattr(settings, name):
            secret = secrets.token_urlsafe(32)
            try:
                file = os.open(settings.var / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                raise SettingsError(
                    f"{settings.var / name} is empty or was just made by another start; try again, or delete it"
                ) from None
            with os.fdopen(file, "w") as out:
                out.write(secret)
            settings = msgspec.structs.replace(settings, **{name: secret})
    return settings
