"""The app: puts channels, staff and actions together. Nothing else knows all of them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, Response, Router, get
from litestar.config.csrf import CSRFConfig
from litestar.datastructures import Headers, MutableScopeHeaders, State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.static_files import create_static_files_router
from litestar.template import TemplateConfig
from litestar.types import Message, Scope
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint import __version__, metrics
from needlepoint.alerts.channels import read_channels
from needlepoint.alerts.sending import StaffAlerts, open_senders
from needlepoint.answering import prepared
from needlepoint.answering.prepared import LOOK_EVERY, PreparedAnswers
from needlepoint.channels.telegram import rendering
from needlepoint.channels.telegram.channel import TelegramChannel
from needlepoint.channels.telegram.configured import read_telegram
from needlepoint.channels.telegram.webhook import telegram_webhook
from needlepoint.channels.web import routes as web
from needlepoint.channels.web import widget
from needlepoint.channels.web.streams import Streams
from needlepoint.clinic import read_clinic
from needlepoint.conversations import stepping_in
from needlepoint.conversations.engine_client import EngineClient
from needlepoint.conversations.journal import Journal
from needlepoint.conversations.reception import Cards, Reception
from needlepoint.conversations.staff_alerts import Channel
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY, connect, connect_async
from needlepoint.db.migrate import newest_revision
from needlepoint.draft_trial import DraftTrials
from needlepoint.faq.cards import UrgentCards
from needlepoint.faq.standing import Standing, read_standings
from needlepoint.gauges import Gauges, InService
from needlepoint.http_errors import ErrorPages
from needlepoint.phrases import read_phrases
from needlepoint.reply import Reply
from needlepoint.safety import SafetyRules
from needlepoint.settings import Settings
from needlepoint.staff import health_checks, navigation
from needlepoint.staff import routes as staff
from needlepoint.staff.account_pages import AccountController
from needlepoint.staff.activity_pages import ActivityController
from needlepoint.staff.alerts import AlertsController
from needlepoint.staff.answer_pages import AnswerController
from needlepoint.staff.answers import AnswersController
from needlepoint.staff.call_back_pages import CallBacksController
from needlepoint.staff.conversation_actions import ConversationActions
from needlepoint.staff.health import HealthController
from needlepoint.staff.inbox_pages import InboxController
from needlepoint.staff.members_pages import MembersController
from needlepoint.staff.notices import Notice, due_line, notices
from needlepoint.staff.sign_in import SignInController
from needlepoint.staff.unanswered_page import UnansweredController
from sentence_encoder import SentenceEncoder

log = logging.getLogger(__name__)

#: Sent with every response. The chat page and the desk load nothing from elsewhere and run no inline code.
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Built(msgspec.Struct, frozen=True):
    """The public app, and what the server needs to stop it in the right order."""

    app: Litestar
    streams: Streams
    reception: Reception
    gauges: Gauges
    #: Set it, and `/health/ready` says that this process takes nothing new.
    stopping: asyncio.Event


def create_app(settings: Settings) -> Built:
    """Build the public app. Reads settings, phrases, safety rules and the sentence model; raises on a wrong one."""
    channels = read_channels(settings)
    telegram_settings = read_telegram(settings)
    embed_origins = widget.embed_origins(settings)
    clinic = read_clinic(Path(settings.clinic_file))
    phrases = read_phrases(settings.data / "phrases", clinic)
    rules = SafetyRules.load(settings.data / "safety")
    database = connect_async(settings.database)
    sync_database = connect(settings.database)
    metrics.time_statements(database.sync_engine)
    metrics.time_statements(sync_database)
    encoder = SentenceEncoder.load()
    answers = PreparedAnswers(settings, phrases, encoder, sync_database)
    prepared.use(answers)
    cards = UrgentCards(settings.var / "urgent-cards.json", phrases)
    engines = EngineClient(settings.engines, settings.engine_secret, settings.webhook_url, settings.engine_deadline)
    streams = Streams()
    journal = Journal(settings.var / "journal", settings.secret_key)
    in_service = InService(answers.encoder_digest, rules.version)
    gauges = Gauges(database, engines, streams, journal, lambda: answers.published, in_service)
    telegram: TelegramChannel | None = None

    def notify(conversation: str) -> None:
        streams.wake(conversation)
        if telegram is not None:
            telegram.wake(conversation)

    def provenance() -> dict[str, Any]:
        published = answers.published
        return {
            "app": __version__,
            "revision": published.revision if published else None,
            "encoder": answers.encoder_digest,
            "safety_rules": rules.version,
            "thresholds": msgspec.to_builtins(answers.weights),
        }

    reception = Reception(
        database=database,
        engines=engines,
        rules=rules,
        cards=Cards(cards.reply),
        phrases=phrases,
        journal=journal,
        deadline=settings.engine_deadline,
        provenance=provenance,
        notify=notify,
        alert_to=channels.first,
    )

    trials = DraftTrials(settings, phrases, rules, encoder, answers, reception, sync_database)

    async def can_answer() -> bool:
        return bool(answers.published and answers.published.entries) and await engines.ready()

    if telegram_settings is not None:
        telegram = TelegramChannel(
            telegram_settings,
            secret_key=settings.secret_key,
            database=database,
            reception=reception,
            phrases=phrases,
            zone=clinic.zone,
            rate_limit=settings.rate_limit,
            ready=can_answer,
        )
    alerts = StaffAlerts(database, channels, open_senders(channels, clinic.zone))

    standings: list[Standing] = []

    def look_at_the_dates() -> None:
        nonlocal standings
        today = datetime.now(clinic.zone).date()
        with sync_database.connect().execution_options(**READS_ONLY) as connection:
            found = read_standings(connection, today)
        if (line := due_line(found)) is not None and line != due_line(standings):
            log.warning(line)
        standings = found

    async def keep_answers_fresh() -> None:
        while True:
            try:
                if await asyncio.to_thread(answers.refresh) and answers.published:
                    cards.update(answers.published)
                    await asyncio.to_thread(look_at_the_dates)
            except Exception as error:  # whatever it is, the last answers stay in use and the next look comes
                log.error("the answers could not be read: %s", type(error).__name__)
            await asyncio.sleep(LOOK_EVERY)

    async def keep_promises() -> None:
        for conversation in await stepping_in.end_what_was_promised(database, phrases, now()):
            streams.wake(conversation)

    async def look_after_the_left_behind() -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for duty in (reception.apologise_for_abandoned, reception.replay_journal, keep_promises):
                try:
                    await duty()
                except Exception as error:  # mostly: the database is still away
                    log.debug("%s has to wait: %s", duty.__name__, type(error).__name__)

    async def look_after_the_alerts(channel: Channel) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await alerts.look_after(channel)
            except Exception as error:  # mostly: the database is away
                log.debug("the alerts have to wait: %s", type(error).__name__)

    @asynccontextmanager
    async def running(_app: Litestar) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(keep_answers_fresh()), asyncio.create_task(look_after_the_left_behind())]
        tasks += [asyncio.create_task(look_after_the_alerts(channel)) for channel in alerts.channels]
        if telegram is not None:
            telegram.start()
        try:
            yield
        finally:
            if telegram is not None:
                await telegram.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await reception.drain()
            await alerts.close()
            await engines.close()
            await database.dispose()

    def as_in_telegram(reply: Reply, language: str) -> list[str]:
        return [part.html for part in rendering.render(reply, phrases, language, clinic.zone)]

    def staff_notices() -> list[Notice]:
        return notices(answers.published, standings, settings.unapproved_answers == "give")

    checks = [
        health_checks.understanding(engines.ready),
        health_checks.database(lambda: _database_is_ready(database)),
        health_checks.answers(lambda: answers.published, lambda: standings),
        health_checks.urgent(database, clinic.zone, list(alerts.channels)),
        health_checks.backup(database, clinic.zone),
        health_checks.model(settings.var / "models" / "needlepoint.tar.gz", clinic.zone),
    ]

    @get("/health/live", sync_to_thread=False)
    def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live", "version": __version__}

    stopping = asyncio.Event()
    looking = asyncio.Lock()
    seen: tuple[float, dict[str, bool]] = (-LOOK_EVERY, {})

    @get("/health/ready")
    async def ready() -> Response[dict[str, bool]]:
        """Can a question be answered now? 503 while the database, an engine or the answers are missing, or it stops."""
        nonlocal seen
        if stopping.is_set():
            return Response({"running": False}, status_code=503)
        async with looking:  # however many ask, one looks, once a second
            if time.monotonic() - seen[0] >= LOOK_EVERY:
                state = {
                    "database": await _database_is_ready(database),
                    "engine": await engines.ready(),
                    "answers": bool(answers.published and answers.published.entries),
                }
                seen = (time.monotonic(), state)
        state = seen[1]
        return Response(state, status_code=200 if all(state.values()) else 503)

    async def let_embed(message: Message, scope: Scope) -> None:
        """Let pages of the allowed origins read what the API answers, errors and preflights included."""
        if message["type"] == "http.response.start" and scope["type"] == ScopeType.HTTP:
            origin = Headers.from_scope(scope).get("origin")
            headers = MutableScopeHeaders.from_message(message)
            for name, value in widget.cross_origin_headers(embed_origins, scope["path"], origin).items():
                headers[name] = value

    session = CookieBackendConfig(
        secret=_cookie_key(settings.secret_key),
        key="needlepoint_staff",
        path="/staff",
        max_age=int(settings.staff_session_hours * 3600),
        secure=settings.secure_cookies,
        samesite="strict",
        exclude=r"^/(?!staff)",
    )
    # Bounds what checking passwords costs; guessing is slowed down by staff/sign_in_limits.py.
    sign_in_limit = RateLimitConfig(rate_limit=("minute", 60), store="sign_in_limit")
    chat_limit = RateLimitConfig(rate_limit=("minute", settings.rate_limit), store="chat_limit")
    staff_pages = Router(
        "/",
        route_handlers=[
            Router("/", route_handlers=[SignInController], middleware=[sign_in_limit.middleware]),
            staff.DeskController,
            ConversationActions,
            InboxController,
            CallBacksController,
            AlertsController,
            AnswersController,
            AnswerController,
            UnansweredController,
            HealthController,
            MembersController,
            ActivityController,
            AccountController,
        ],
        response_headers={"cache-control": "no-store"},
    )
    # Litestar takes "all but /staff" for "everything"; that it is not is tested.
    warnings.filterwarnings("ignore", message=".*effectively disabling this middleware.*")
    app = Litestar(
        [
            widget.chat_page,
            widget.demo_page,
            widget.newest_widget,
            widget.pinned_widget,
            widget.markdown_module,
            widget.preview_module,
            Router("/", route_handlers=[web.ChatController], middleware=[chat_limit.middleware]),
            create_static_files_router("/pages", [widget.PAGES]),
            staff_pages,
            staff.ask,
            create_static_files_router("/staff/static", [staff.STATIC]),
            live,
            ready,
            *([telegram_webhook] if telegram is not None and telegram.settings.updates == "webhook" else []),
        ],
        dependencies={
            "settings": Provide(lambda: settings, sync_to_thread=False),
            "phrases": Provide(lambda: phrases, sync_to_thread=False),
            "database": Provide(lambda: database, sync_to_thread=False),
            "sync_database": Provide(lambda: sync_database, sync_to_thread=False),
            "reception": Provide(lambda: reception, sync_to_thread=False),
            "streams": Provide(lambda: streams, sync_to_thread=False),
            "telegram": Provide(lambda: telegram, sync_to_thread=False),
        },
        state=State(
            {
                "settings": settings,
                "database": database,
                "notices": staff_notices,
                "zone": clinic.zone,
                "checks": checks,
                "try_draft": trials.run,
                "as_in_telegram": as_in_telegram,
                "search_index": lambda: answers.answerer.index if answers.answerer else None,
            }
        ),
        # At this level, because a router copies its middleware and this one's key cannot be copied.
        middleware=[session.middleware],
        lifespan=[running],
        exception_handlers={Exception: ErrorPages(phrases).handle},
        template_config=TemplateConfig(instance=_templates()),
        csrf_config=CSRFConfig(
            secret=settings.secret_key,
            cookie_name="needlepoint_csrf",
            cookie_path="/staff",
            cookie_secure=settings.secure_cookies,
            cookie_samesite="strict",
            exclude=r"^/(?!staff)",
        ),
        request_max_body_size=web.LARGEST_BODY,
        before_send=[_secure, let_embed, _count],
        openapi_config=OpenAPIConfig(
            title="Needlepoint chat API",
            version=__version__,
            path="/api/schema",
            render_plugins=[JsonRenderPlugin()],
        ),
        logging_config=None,
    )
    return Built(app, streams, reception, gauges, stopping)


async def _secure(message: Message, _scope: Scope) -> None:
    """Put the security headers on every response, static files and errors included."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in SECURITY_HEADERS.items():
            headers[name] = value


async def _count(message: Message, _scope: Scope) -> None:
    if message["type"] == "http.response.start":
        metrics.RESPONSES.labels(f"{message['status'] // 100}xx").inc()


async def _database_is_ready(database: AsyncEngine) -> bool:
    try:
        async with asyncio.timeout(2), database.execution_options(**READS_ONLY).connect() as connection:
            stored = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    except (SQLAlchemyError, OSError, TimeoutError):
        return False
    return bool(stored == newest_revision())


def _templates() -> JinjaTemplateEngine:
    """The desk's templates, with what the frame of every page asks."""
    templates = JinjaTemplateEngine(staff.TEMPLATES)
    templates.engine.globals.update(places=navigation.places, is_here=navigation.is_here, landing=navigation.landing)
    return templates


def _cookie_key(secret: str) -> bytes:
    """A 32-byte key of its own for the session cookie."""
    return hashlib.sha256(b"staff-session:" + secret.encode()).digest()
