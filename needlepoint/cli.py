"""The commands. Their help texts are the manual."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
import typer
from sqlalchemy.exc import SQLAlchemyError

from needlepoint import __version__, server, training
from needlepoint.ask import Asker, AskError, read_questions
from needlepoint.clinic import Clinic, read_clinic
from needlepoint.conversations import record
from needlepoint.db.connect import connect, connect_async
from needlepoint.db.migrate import migrate
from needlepoint.faq import check, store
from needlepoint.faq.files import read_folder
from needlepoint.faq.store import FaqRefusedError
from needlepoint.located import FileError, FileErrors
from needlepoint.phrases import read_phrases
from needlepoint.safety import RuleFileError, SafetyRules
from needlepoint.settings import Settings, SettingsError, read_settings, with_secrets
from needlepoint.staff import accounts
from needlepoint.staff.accounts import AccountError
from needlepoint.supervisor import Supervisor, SupervisorError, public_url
from needlepoint.training import TrainingError

app = typer.Typer(
    help="Needlepoint: a clinic's micro-needling assistant that only says what a clinician approved.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
faq_app = typer.Typer(help="The curated answers.", no_args_is_help=True)
staff_app = typer.Typer(help="Who may sign in at the desk.", no_args_is_help=True)
privacy_app = typer.Typer(help="What is kept of people.", no_args_is_help=True)
app.add_typer(faq_app, name="faq")
app.add_typer(staff_app, name="staff")
app.add_typer(privacy_app, name="privacy")

As = Annotated[str, typer.Option("--as", help="Name of the staff member who decides this.")]
Ids = Annotated[list[str], typer.Argument(help="Entry ids, such as makeup-after.")]

_EXPECTED = (
    SettingsError,
    FileError,
    FileErrors,
    FaqRefusedError,
    RuleFileError,
    AccountError,
    TrainingError,
    SupervisorError,
    AskError,
)


def main() -> None:
    """Run a command. What a person can mend is one sentence and exit code 1, never a stack trace."""
    os.umask(0o077)  # database, journal and logs are nobody else's business
    # A service manager's stop must run what ends the children.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app()
    except _EXPECTED as error:
        typer.secho(str(error), fg="red", err=True)
        raise SystemExit(1) from None
    except SQLAlchemyError as error:
        problem = str(getattr(error, "orig", None) or error).splitlines()[0]
        typer.secho(f"the database refused: {problem}; check NEEDLEPOINT_DATABASE_URL", fg="red", err=True)
        raise SystemExit(1) from None


def _ready_database(settings: Settings) -> Any:
    """A connection to a database that has this release's tables."""
    if settings.database.startswith("sqlite"):
        settings.var.mkdir(parents=True, exist_ok=True)
    engine = connect(settings.database)
    migrate(engine)
    return engine


def _clinic(settings: Settings) -> Clinic:
    return read_clinic(Path(settings.clinic_file))


def _say(text: str) -> None:
    typer.echo(text, err=True)


@app.command()
def up(
    engines: Annotated[int, typer.Option(min=1, max=16, help="Engine processes.")] = 1,
) -> None:
    """Run everything: train if needed, bring the database up to date, start engine and app, keep them running.

    Ctrl-C stops it all, after the open requests were answered. A newly trained model is taken into service engine by
    engine without a gap.
    """
    logging.basicConfig(level="INFO", format="%(message)s")
    for noisy in ("httpx", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings = with_secrets(read_settings())
    read_phrases(settings.data / "phrases", _clinic(settings))
    SafetyRules.load(settings.data / "safety")
    entries = read_folder(settings.data / "faq")
    if training.is_due(settings):
        _say("Training the model (about a minute) ...")
        training.train(settings)
    database = _ready_database(settings)
    loaded = store.load(database, entries)
    if loaded.conflicts:
        _say(f"data/faq and the desk both changed {', '.join(loaded.conflicts)}: the database's answers stay.")
        _say("Settle it with `needlepoint faq load`.")
    link = f"{public_url(settings)}/staff/welcome?token={accounts.one_time_token(database)}"
    database.dispose()
    _say("Starting engine and app ...")

    def ready() -> None:
        url = public_url(settings)
        _say("")
        _say(f"  Needlepoint is running.  Chat:   {url}/")
        _say(f"                           Staff:  {url}/staff")
        _say(f"  One-time staff login (makes the administrator, good for a day):\n    {link}")
        _say(f"  Logs: {settings.var / 'log'}    Stop: Ctrl-C")
        _say("")

    asyncio.run(Supervisor(settings, engines).run(ready))
    _say("Stopped.")


@app.command()
def serve() -> None:
    """Run one app process (the public port and the action webhook). `up` does this, and more."""
    settings = read_settings()
    for name in ("secret_key", "engine_secret"):
        if not getattr(settings, name):
            raise SettingsError(f"NEEDLEPOINT_{name.upper()} is not set; set it to at least 32 random characters")
    server.run(settings)


@app.command()
def train(
    if_due: Annotated[bool, typer.Option("--if-due", help="Only when the inputs have changed.")] = False,
) -> None:
    """Train the engine's model from data/nlu, data/rules, data/stories and the wordings in data/faq."""
    settings = with_secrets(read_settings())
    read_folder(settings.data / "faq")
    if if_due and not training.is_due(settings):
        _say("The model is up to date.")
        return
    _say(f"Trained: {training.train(settings)}")


@app.command()
def ask(
    url: Annotated[str | None, typer.Option(help="A running instance; without it, what is needed is started.")] = None,
) -> None:
    """Ask a list of questions: JSON lines {"conversation": "c1", "text": "..."} in, one JSON line each out, in order.

    A line may carry `choice` (the token of an offered choice) instead of `text`, and `at` (an ISO time the question
    is about). `confidence`, `findings` and `at` need a staff token in NEEDLEPOINT_STAFF_TOKEN when --url is given.
    """
    settings = read_settings()
    if url is not None:
        _ask_all(url, settings.staff_token or None)
        return
    settings = with_secrets(settings)
    token = accounts.command_token(settings.secret_key, "ask")
    if _is_needlepoint(public_url(settings)):
        _ask_all(public_url(settings), token)
        return
    with _started(settings) as started:
        _ask_all(started, token)


def _ask_all(url: str, staff_token: str | None) -> None:
    with Asker(url, staff_token) as asker:
        for question in read_questions(sys.stdin):
            sys.stdout.write(msgspec.json.encode(asker.ask(question)).decode() + "\n")
            sys.stdout.flush()


def _is_needlepoint(url: str) -> bool:
    try:
        return "version" in httpx.get(f"{url}/health/live", timeout=1, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return False


@contextmanager
def _started(settings: Settings) -> Any:
    """A whole instance on free ports, for as long as it is needed."""
    public, webhook, engine = _free_ports(3)
    settings = msgspec.structs.replace(
        settings,
        host="127.0.0.1",
        port=public,
        action_port=webhook,
        action_url="",
        engine_urls=f"http://127.0.0.1:{engine}",
    )
    entries = read_folder(settings.data / "faq")
    if training.is_due(settings):
        _say("Training the model (about a minute) ...")
        with _to_stderr():
            training.train(settings)
    database = _ready_database(settings)
    store.load(database, entries)
    database.dispose()
    _say("Starting engine and app ...")
    supervisor = Supervisor(settings)
    with asyncio.Runner() as runner:
        try:
            runner.run(supervisor.start())
            yield public_url(settings)
        finally:
            runner.run(supervisor.stop())


@contextmanager
def _to_stderr() -> Any:
    """Send what other programs print to standard error: standard output holds answers only."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@faq_app.command("load")
def faq_load(
    folder: Annotated[Path | None, typer.Argument(help="Folder of YAML files; data/faq when left out.")] = None,
) -> None:
    """Bring the database up to the YAML files. Never overwrites what was edited in the desk without asking.

    Without a terminal to ask on, conflicts are listed and nothing is loaded (exit code 1).
    """
    settings = read_settings()
    entries = read_folder(folder or settings.data / "faq")
    database = _ready_database(settings)
    loaded = store.load(database, entries)
    if loaded.conflicts:
        for entry_id in loaded.conflicts:
            _say(f"{entry_id}: changed in the file and in the database")
        if not sys.stdin.isatty():
            _say("Nothing was loaded. Run this on a terminal to decide, or `needlepoint faq export` and merge by hand.")
            raise typer.Exit(1)
        overwrite = typer.confirm("Take the files' side for these? (No keeps the database's side)", err=True)
        loaded = store.load(database, entries, "overwrite" if overwrite else "keep")
    _say(f"{len(loaded.added)} added, {len(loaded.changed)} changed, {len(loaded.unchanged)} unchanged.")


@faq_app.command("export")
def faq_export(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; data/faq itself is fine.")],
) -> None:
    """Write the database's answers as YAML files, one a topic, in the form that `load` reads."""
    for file in store.export(_ready_database(read_settings()), folder):
        _say(str(file))


@faq_app.command("check")
def faq_check(
    folder: Annotated[Path | None, typer.Argument(help="Folder of YAML files; data/faq when left out.")] = None,
) -> None:
    """Check the YAML files: form, sources, ids, phrases, placeholders, cards that safety rules point to."""
    settings = read_settings()
    entries = read_folder(folder or settings.data / "faq")
    phrases = read_phrases(settings.data / "phrases", _clinic(settings))
    safety = settings.data / "safety"
    problems = check.problems(entries, SafetyRules.load(safety), safety, phrases)
    if problems:
        raise FileErrors(problems)
    _say(f"{len(entries)} entries, nothing wrong.")


@faq_app.command("approve")
def faq_approve(
    ids: Ids,
    staff: As,
    review_due: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="When it must be looked at again.")
    ] = None,
) -> None:
    """Approve the newest version of these entries. The approver must not be the author."""
    settings = read_settings()
    today = datetime.now(_clinic(settings).zone).date()
    due: date | None = review_due.date() if review_due else None
    if due is not None and due <= today:
        raise FaqRefusedError(f"{due} is not after today; give a review date in the future")
    for done in store.approve(_ready_database(settings), ids, staff, today, due):
        _say(f"approved {done}")


@faq_app.command("withdraw")
def faq_withdraw(
    staff: As,
    ids: Annotated[list[str] | None, typer.Argument(help="Entry ids; approve one again to bring it back.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="The whole assistant, but urgent cards.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Undo --everything.")] = False,
) -> None:
    """Stop giving answers at once, in every process: some, or all of them."""
    database = _ready_database(read_settings())
    if everything or resume:
        store.withdraw_assistant(database, staff, withdrawn=not resume)
        _say("answers are given again" if resume else "withdrawn: only urgent cards are given now")
    elif ids:
        store.withdraw(database, ids, staff)
        _say(f"withdrawn: {', '.join(ids)}")
    else:
        raise FaqRefusedError("name entries to withdraw, or use --everything")


@staff_app.command("add")
def staff_add(
    name: str,
    role: Annotated[str, typer.Option(help="viewer, reviewer, editor, approver or admin.")] = "viewer",
) -> None:
    """Make an account; asks for the password (or reads one line from standard input)."""
    password = (
        typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        if sys.stdin.isatty()
        else sys.stdin.readline().rstrip("\n")
    )
    member = accounts.add(_ready_database(read_settings()), name, password, role)
    _say(f"{member.name} may sign in as {member.role}")


@staff_app.command("link")
def staff_link() -> None:
    """Make a new one-time link that lets its first user in as administrator; older links stop working."""
    settings = read_settings()
    typer.echo(f"{public_url(settings)}/staff/welcome?token={accounts.one_time_token(_ready_database(settings))}")


@staff_app.command("token")
def staff_token(name: Annotated[str, typer.Argument(help="For whom, as the record will say.")]) -> None:
    """Make a token for `needlepoint ask --url` that shows what only staff may see; good for 12 hours."""
    typer.echo(accounts.command_token(with_secrets(read_settings()).secret_key, name))


@privacy_app.command("erase")
def privacy_erase(conversation: str) -> None:
    """Delete a conversation and everything it holds, also while it is open."""

    async def erase() -> bool:
        database = connect_async(read_settings().database)
        try:
            return await record.erase(database, conversation)
        finally:
            await database.dispose()

    if not asyncio.run(erase()):
        _say("there is no such conversation")
        raise typer.Exit(1)
    _say("erased")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)
