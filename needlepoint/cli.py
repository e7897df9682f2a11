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
from tempfile import TemporaryDirectory
from typing import Annotated, Any, get_args

import httpx
import msgspec
import typer
from sqlalchemy.exc import SQLAlchemyError

from needlepoint import __version__, training
from needlepoint.alerts.channels import read_channels
from needlepoint.alerts.trial import try_channels
from needlepoint.answering.ranking import RankingError
from needlepoint.ask import Asker, AskError, read_questions
from needlepoint.ask_all import ask_all, report
from needlepoint.backup import file as backup_file
from needlepoint.backup.file import BackupError
from needlepoint.channels.telegram.configured import read_telegram
from needlepoint.clinic import Clinic, read_clinic
from needlepoint.conversations import record
from needlepoint.db.connect import connect, connect_async
from needlepoint.db.migrate import MigrationError, downgrade, known_revisions, migrate, newest_revision, revision_of
from needlepoint.evaluation import answers_report, safety_report, safety_thresholds
from needlepoint.evaluation.items import Item, Kind, SafetyMessage, read_items
from needlepoint.evaluation.pictures import PicturesError, draw
from needlepoint.faq import check, store
from needlepoint.faq.files import TopicEntry, read_folder
from needlepoint.faq.pack import write_pack
from needlepoint.faq.plain_language import read_terms
from needlepoint.faq.search import VectorCache
from needlepoint.faq.signing import read_signed
from needlepoint.faq.standing import due_report, read_standings
from needlepoint.faq.store import FaqRefusedError
from needlepoint.located import FileError, FileErrors
from needlepoint.phrases import read_phrases
from needlepoint.reply import AnswerTopic
from needlepoint.safety import RuleFileError, SafetyRules
from needlepoint.safety.assessment import THRESHOLDS
from needlepoint.settings import Settings, SettingsError, read_settings, with_secrets
from needlepoint.staff import accounts
from needlepoint.staff.accounts import AccountError
from needlepoint.supervisor import Supervisor, SupervisorError, public_url
from needlepoint.training import TrainingError
from sentence_encoder import SentenceEncoder

app = typer.Typer(
    help="Needlepoint: a clinic's micro-needling assistant that only says what a clinician approved.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
faq_app = typer.Typer(help="The curated answers.", no_args_is_help=True)
alerts_app = typer.Typer(help="How staff hear of urgent messages.", no_args_is_help=True)
staff_app = typer.Typer(help="Who may sign in at the desk.", no_args_is_help=True)
ranking_app = typer.Typer(help="Which answer a question is about.", no_args_is_help=True)
privacy_app = typer.Typer(help="What is kept of people.", no_args_is_help=True)
app.add_typer(faq_app, name="faq")
app.add_typer(alerts_app, name="alerts")
app.add_typer(staff_app, name="staff")
app.add_typer(ranking_app, name="ranking")
app.add_typer(privacy_app, name="privacy")
telegram_app = typer.Typer(help="Conversations on Telegram.", no_args_is_help=True)
app.add_typer(telegram_app, name="telegram")
db_app = typer.Typer(help="The database's tables, from release to release.", no_args_is_help=True)
app.add_typer(db_app, name="db")

As = Annotated[str, typer.Option("--as", help="Name of the staff member who decides this.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Entry ids, such as makeup-after.")]

_EXPECTED = (
    SettingsError,
    FileError,
    FileErrors,
    PicturesError,
    FaqRefusedError,
    RuleFileError,
    AccountError,
    RankingError,
    TrainingError,
    SupervisorError,
    AskError,
    BackupError,
    MigrationError,
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


def _today(settings: Settings) -> date:
    """Today in the clinic's zone, in which everything about the answers is counted."""
    return datetime.now(_clinic(settings).zone).date()


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
    read_channels(settings)
    read_telegram(settings)
    read_phrases(settings.data / "phrases", _clinic(settings))
    SafetyRules.load(settings.data / "safety")
    entries = read_folder(settings.data / "faq")
    if training.is_due(settings):
        _say("Training the model (about a minute) ...")
        training.train(settings)
    database = _ready_database(settings)
    loaded = store.load(database, entries, today=_today(settings))
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
        if settings.demo_page:
            _say(f"                           Demo of the widget on a clinic's page:  {url}/demo")
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
    from needlepoint import server  # noqa: PLC0415 - the whole app, which no other command needs

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


@ranking_app.command("fit")
def ranking_fit_command(
    files: Annotated[list[Path], typer.Argument(help="Files of labelled questions, never those of a test half.")],
) -> None:
    """Learn how the evidence for an answer is weighed, and from which confidence it is given.

    Writes data/ranking/weights.json. Needs the trained model (`needlepoint train`).
    """
    # Here, because it brings the actions' server along, which other commands need not wait for.
    from needlepoint.evaluation import ranking_fit  # noqa: PLC0415

    settings = read_settings()
    seen, classifier = ranking_fit.gather(settings, [item for file in files for item in read_items(file)[1]])
    fitted = ranking_fit.fit(seen, classifier)
    file = settings.data / "ranking" / "weights.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(fitted.weights), indent=2) + b"\n")
    _say(
        f"{file}: on messages it had not learnt from, right {fitted.right:.1%}, wrong {fitted.wrong:.1%}; "
        f"calibration error {fitted.calibration_error:.3f}; answers from {fitted.weights.answer_from}, asks back from "
        f"{fitted.weights.clarify_from}"
    )


@app.command()
def evaluate(
    files: Annotated[list[Path], typer.Argument(help="Files of labelled messages; see tests/evaluation/README.md.")],
    safety: Annotated[
        bool,
        typer.Option("--safety", help="The safety layer alone, without engine and database, and keywords beside it."),
    ] = False,
    thresholds: Annotated[
        bool,
        typer.Option("--thresholds", help="With --safety: choose its thresholds; never on a test half."),
    ] = False,
    cases: Annotated[int, typer.Option(min=0, help="How many of the worst cases to list.")] = 30,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where to write the figures as JSON, too.")] = None,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="Folder for pictures of how messages were answered (SVG).")
    ] = None,
) -> None:
    """Measure on files of labelled messages: how well red flags are noticed, and how well the right answer is found.

    What a file holds is seen from its fields. Without --safety each message goes the live path, as a patient's would.
    The report is Markdown on standard output.
    """
    items = [read_items(file) for file in files]
    settings = read_settings()
    if safety:
        wrong = [str(file) for file, (kind, _) in zip(files, items, strict=True) if not kind.startswith("safety")]
        if wrong:
            raise FileError(Path(wrong[0]), 1, "has no levels; leave --safety out, or give a file with `level`")
        if thresholds:
            _choose_thresholds(files, items, settings)
            return
        rules = SafetyRules.load(settings.data / "safety")
        _report(files, items, safety_report.rules_alone(rules), None, settings, cases, json_file, pictures)
        return
    settings = with_secrets(settings)
    with _started(settings) as url, Asker(url, accounts.command_token(settings.secret_key, "evaluate")) as asker:
        _report(files, items, asker.judge_safety, asker, settings, cases, json_file, pictures)


def _choose_thresholds(files: list[Path], items: list[tuple[Kind, list[Item]]], settings: Settings) -> None:
    """Print how the shipped thresholds do on the messages of all files, and which would do best."""
    if frozen := [file for file in files if file.stem.endswith("-test")]:
        raise FileError(frozen[0], 1, "is a test half, which is only measured on; give development files")
    rules = SafetyRules.load(settings.data / "safety")
    cases = {
        file.name: safety_thresholds.read_messages(rules, [one for one in found if isinstance(one, SafetyMessage)])
        for file, (_, found) in zip(files, items, strict=True)
    }
    cases["stored wordings"] = safety_thresholds.read_wordings(rules, read_folder(settings.data / "faq"))
    chosen = safety_thresholds.choose(cases)
    for name, of in (("Shipped", THRESHOLDS), ("Would do best", chosen)):
        _say("\n".join(safety_thresholds.as_markdown(name, cases, of)))


def _report(
    files: list[Path],
    items: list[tuple[Kind, list[Item]]],
    judge: safety_report.Judge,
    asker: Asker | None,
    settings: Settings,
    cases: int,
    json_file: Path | None,
    pictures: Path | None,
) -> None:
    """Write the report of each file, and all figures as JSON where asked for."""
    figures: dict[str, Any] = {}
    titles = answers_report.titles_of(settings.data / "faq")
    for file, (kind, found) in zip(files, items, strict=True):
        lines = [f"## {file.name}", ""]
        if kind == "safety messages":
            judged = safety_report.judge_messages(found, judge)  # type: ignore[arg-type]
            of = safety_report.figures(judged)
            plain = safety_report.figures(safety_report.judge_messages(found, safety_report.keywords_alone))  # type: ignore[arg-type]
            lines += safety_report.as_markdown("Rules" if asker is None else "The whole path", of)
            lines += safety_report.as_markdown("Keywords, to compare with", plain)
            lines += safety_report.groups_as_markdown(of)
            lines += safety_report.worst(judged, cases)
            figures[file.name] = {"figures": of, "keywords": plain}
        elif kind == "safety conversations":
            talks = safety_report.judge_conversations(found, judge)  # type: ignore[arg-type]
            lines += safety_report.conversations_as_markdown(talks)
            lines += safety_report.worst([turn for talk in talks for turn in talk], cases)
            figures[file.name] = {"figures": safety_report.figures([turn for talk in talks for turn in talk])}
        elif kind == "answer messages":
            assert asker is not None
            scored = answers_report.ask_messages(asker, found, titles)  # type: ignore[arg-type]
            lines += answers_report.as_markdown(scored)
            if pictures is not None:
                lines += draw(scored, pictures, file.stem)
            lines += answers_report.worst(scored, cases)
            figures[file.name] = {
                "shares": answers_report.shares([one for one in scored if one.in_scope]),
                "cases": scored,
            }
        elif kind == "paraphrases":
            assert asker is not None
            given = answers_report.ask_paraphrases(asker, found)  # type: ignore[arg-type]
            lines += answers_report.paraphrases_as_markdown(given)
            figures[file.name] = {"given": given}
        else:
            assert asker is not None
            dialogues = answers_report.ask_conversations(asker, found, titles)  # type: ignore[arg-type]
            lines += answers_report.conversations_as_markdown(dialogues)
            lines += answers_report.worst([turn for talk in dialogues for turn in talk], cases)
            figures[file.name] = {"cases": dialogues}
        typer.echo("\n".join([*lines, ""]))
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1))


def _is_needlepoint(url: str) -> bool:
    try:
        return "version" in httpx.get(f"{url}/health/live", timeout=1, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return False


@contextmanager
def _started(settings: Settings, entries: list[TopicEntry] | None = None) -> Any:
    """A whole instance on free ports, for as long as it is needed; answers from `entries`, else from the files."""
    public, webhook, engine = _free_ports(3)
    settings = msgspec.structs.replace(
        settings,
        host="127.0.0.1",
        port=public,
        action_port=webhook,
        action_url="",
        engine_urls=f"http://127.0.0.1:{engine}",
    )
    entries = entries or read_folder(settings.data / "faq")
    if training.is_due(settings):
        _say("Training the model (about a minute) ...")
        with _to_stderr():
            training.train(settings)
    database = _ready_database(settings)
    store.load(database, entries, today=_today(settings))
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

    What was changed on both sides is shown, and asked about entry by entry. Without a terminal to ask on, conflicts
    are shown and nothing is loaded (exit code 1).
    """
    settings = read_settings()
    entries = read_folder(folder or settings.data / "faq")
    database = _ready_database(settings)
    settled = _settle(store.conflicts(database, entries))
    loaded = store.load(database, entries, settled, _today(settings))
    if loaded.conflicts:
        raise FaqRefusedError(f"{', '.join(loaded.conflicts)} changed just now; nothing was loaded, run this again")
    approved = f" {len(loaded.approved)} approved as the files say." if loaded.approved else ""
    _say(f"{len(loaded.added)} added, {len(loaded.changed)} changed, {len(loaded.unchanged)} unchanged.{approved}")


def _settle(conflicts: list[store.Conflict]) -> dict[str, store.Side]:
    """Show every conflict and ask whose words to take."""
    settled: dict[str, store.Side] = {}
    for number, conflict in enumerate(conflicts, start=1):
        _say(f"{conflict.entry_id}: changed in the file and in the database ({number} of {len(conflicts)})")
        for line in conflict.diff.splitlines():
            typer.secho(f"  {line}", fg={"+": "green", "-": "red"}.get(line[:1]), err=True)
        if not sys.stdin.isatty():
            continue
        answer = ""
        while answer[:1] not in ("f", "d", "s"):
            answer = typer.prompt("Take the (f)ile, keep the (d)atabase, or (s)top", err=True).strip().lower()
        if answer[:1] == "s":
            _say("Nothing was loaded.")
            raise typer.Exit(1)
        settled[conflict.entry_id] = "overwrite" if answer[:1] == "f" else "keep"
    if conflicts and not settled:
        _say("Nothing was loaded. Run this on a terminal to decide, or `needlepoint faq export` and merge by hand.")
        raise typer.Exit(1)
    return settled


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
    quick: Annotated[bool, typer.Option("--quick", help="Only what needs no running product.")] = False,
) -> None:
    """Check the YAML files, then ask every question and wording through the live path (TEST ALL, minutes).

    Form, sources, ids, covered facts, references, reading grade, length, when to contact, entries too close to tell
    apart; then which wording did not find its entry, and what came instead. The asking uses a database of its own.
    """
    settings = with_secrets(read_settings())
    answers = folder or settings.data / "faq"
    entries = read_folder(answers)
    phrases = read_phrases(settings.data / "phrases", _clinic(settings))
    safety = settings.data / "safety"
    facts = check.read_fact_ids(settings.data / "faq" / "fact-ids.txt")
    terms = read_terms(settings.data / "plain_terms.yml")
    found = check.problems(entries, SafetyRules.load(safety), safety, phrases, terms, facts)
    vectors = VectorCache(settings.var / "cache" / "checked-vectors.npz")
    found += check.too_close(entries, SentenceEncoder.load(), vectors)
    if found:
        raise FileErrors(found)
    _say(f"{len(entries)} entries, {len(facts)} facts covered, nothing wrong in the files.")
    if quick:
        return
    with TemporaryDirectory() as scratch:
        apart = msgspec.structs.replace(
            settings, database_url=f"sqlite:///{scratch}/check.db", unapproved_answers="give", rate_limit=1_000_000
        )
        with _started(apart, entries) as url, Asker(url, accounts.command_token(settings.secret_key, "check")) as asker:
            tried = ask_all(asker, entries, _dots)
    typer.echo(report(tried))
    if any(one.outcome != "right" for one in tried):
        raise typer.Exit(1)


def _dots(number: int) -> None:
    if number % 100 == 0:
        typer.echo(f"{number} wordings asked", err=True)


@faq_app.command("approve")
def faq_approve(
    staff: As,
    ids: Ids = None,
    signed: Annotated[
        Path | None, typer.Option(help="The list that a review pack offers (signed.txt), in place of ids.")
    ] = None,
    only_matching: Annotated[
        bool, typer.Option("--only-matching", help="With --signed: approve what still is as signed, leave the rest.")
    ] = False,
    review_due: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="When it must be looked at again; a year when left out."),
    ] = None,
) -> None:
    """Approve the newest version of these entries, or exactly what was signed. The approver must not be the author.

    Of a signed list nothing is approved when a line does not match any more (exit code 1), unless --only-matching.
    """
    settings = read_settings()
    today = _today(settings)
    due: date | None = review_due.date() if review_due else None
    if due is not None and due <= today:
        raise FaqRefusedError(f"{due} is not after today; give a review date in the future")
    if (signed is None) == (not ids):
        raise FaqRefusedError("name entries to approve, or give a signed list with --signed; not both")
    waiting = settings.single_clinician_waiting_days
    if signed is None:
        for done in store.approve(_ready_database(settings), ids or [], staff, today, due, waiting):
            _say(f"approved {done}")
        return
    lines = read_signed(signed)
    result = store.approve_signed(_ready_database(settings), lines, staff, today, due, waiting, only_matching)
    for refusal in result.refused:
        typer.secho(f"refused {refusal}", fg="red", err=True)
    if result.refused and not only_matching:
        _say("Nothing was approved. Mend these lines, or use --only-matching to approve the others.")
    else:
        _say(f"approved {len(result.approved)}, refused {len(result.refused)}")
    if result.refused:
        raise typer.Exit(1)


@faq_app.command("pack")
def faq_pack(
    file: Annotated[Path, typer.Argument(help="The HTML file to write.")],
    topic: Annotated[list[str] | None, typer.Option(help="Only this topic; may be repeated.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Approved answers too, not only those in review.")] = False,
) -> None:
    """Write what waits for approval as one page to print and sign, or to tick on a screen."""
    settings = read_settings()
    for one in topic or []:
        if one not in get_args(AnswerTopic):
            raise FaqRefusedError(f"`{one}` is no topic; use one of {', '.join(get_args(AnswerTopic))}")
    phrases = read_phrases(settings.data / "phrases", _clinic(settings))
    with _ready_database(settings).connect() as connection:
        try:
            count = write_pack(connection, file, phrases, _today(settings), topic or [], whole)
        except OSError as error:
            raise FaqRefusedError(f"{file} cannot be written: {error.strerror}; name another file") from None
    _say(f"{file}: {count} answers" if count else "No answer waits for approval; --all takes the approved ones too.")


@faq_app.command("due")
def faq_due() -> None:
    """List the answers whose review is due within 60 days, in grace, or expired, with the days left.

    Exit code 1 when something has expired or is in grace, so that a scheduled run can raise it.
    """
    settings = read_settings()
    with _ready_database(settings).connect() as connection:
        standings = read_standings(connection, _today(settings))
    typer.echo(due_report(standings) or "No answer is due for review within 60 days.")
    if any(one.kind in ("expired", "grace") for one in standings):
        raise typer.Exit(1)


@faq_app.command("withdraw")
def faq_withdraw(
    staff: As,
    ids: Annotated[list[str] | None, typer.Argument(help="Entry ids; approve one again to bring it back.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="The whole assistant, but urgent cards.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Undo --everything.")] = False,
) -> None:
    """Stop giving answers at once, in every process: some, or all of them."""
    if ids and (everything or resume):
        raise FaqRefusedError("give entry ids, or --everything or --resume; an entry comes back by approving it again")
    database = _ready_database(read_settings())
    if everything or resume:
        store.withdraw_assistant(database, staff, withdrawn=not resume)
        _say("answers are given again" if resume else "withdrawn: only urgent cards are given now")
    elif ids:
        store.withdraw(database, ids, staff)
        _say(f"withdrawn: {', '.join(ids)}")
    else:
        raise FaqRefusedError("name entries to withdraw, or use --everything")


@alerts_app.command("test")
def alerts_test() -> None:
    """Send a test alert through each channel that is set up, to everybody who would be told, and say what happened.

    Exit code 1 when one was not taken, or when no channel is set up.
    """
    settings = read_settings()
    channels = read_channels(settings)
    if not channels.first:
        _say("No channel is set up: urgent messages are shown at the desk only.")
        _say("Set NEEDLEPOINT_ALERT_EMAILS or NEEDLEPOINT_ALERT_WEBHOOK_URL; docs/alerts.md says what else they need.")
        raise typer.Exit(1)
    failed = False
    for tried in asyncio.run(try_channels(channels, _clinic(settings).zone)):
        failed = failed or tried.error is not None
        typer.secho(str(tried), fg="red" if tried.error else "green")
    if failed:
        raise typer.Exit(1)


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
def backup(
    file: Annotated[Path, typer.Argument(help="A new file, or a folder: the name then says the time.")],
    keep: Annotated[
        int | None, typer.Option(min=1, help="With a folder: how many of its newest backups stay; older ones go.")
    ] = None,
) -> None:
    """Write the whole database into one file, while the product runs.

    It holds what people wrote, masked as it is stored, and the state of one moment; readable by its owner only. It does
    NOT hold the secret key: keep var/secret_key apart and safe, what is stored encrypted cannot be read without it.
    """
    # Here and in restore, because they bring all tables along, which other commands need not wait for.
    from needlepoint.backup.taking import take  # noqa: PLC0415

    taken = take(read_settings().database, file, keep)
    rows = sum(taken.footer.rows.values())
    _say(f"{taken.file}: {rows} rows, {taken.file.stat().st_size} bytes, revision {taken.header.revision}")
    _say(f"sha256 of its content: {taken.footer.sha256}")
    for old in taken.removed:
        _say(f"removed {old.name}")
    if not taken.noted:
        _say("The database could not note it: the health page does not know of this backup.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `needlepoint backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where the database holds something: that is then gone.")
    ] = False,
    check_only: Annotated[bool, typer.Option("--check", help="Only read the file to its end and check it.")] = False,
) -> None:
    """Bring the database to the state of a backup: all of it, or nothing at all. Stop the product first.

    A backup of an earlier release is brought up to this one, and one of SQLite can be restored into PostgreSQL or the
    other way round. Conversations that the database remembers as erased are erased again.
    """
    if check_only:
        try:
            with file.open("rb") as handle:
                header, footer = backup_file.check(file, handle)
        except OSError as error:
            raise BackupError(f"{file} cannot be read ({error.strerror}); name a backup") from None
        _say(
            f"{file} is whole: {sum(footer.rows.values())} rows of {header.taken_at:%Y-%m-%d %H:%M} UTC, {header.kind}"
        )
        _say(f"Needlepoint {header.product}, revision {header.revision}; sha256 of its content: {footer.sha256}")
        return
    from needlepoint.backup.restoring import restore as restore_from  # noqa: PLC0415

    settings = read_settings()
    if settings.database.startswith("sqlite"):
        settings.var.mkdir(parents=True, exist_ok=True)
    restored = restore_from(settings.database, file, replace)
    _say(f"restored {restored.rows} rows of {restored.header.taken_at:%Y-%m-%d %H:%M} UTC")
    if restored.erased_again:
        _say(f"{restored.erased_again} conversations that had been erased since were erased again")


@db_app.command("current")
def db_current() -> None:
    """Say which revision the database has and which this release needs."""
    with connect(read_settings().database).connect() as connection:
        current = revision_of(connection)
    typer.echo(f"database: {current or 'no tables yet'}")
    typer.echo(f"release {__version__}: {newest_revision()}")
    order = list(known_revisions())
    if current is not None and current not in order:
        raise MigrationError(f"revision {current} is of a newer release than this one")
    for revision in order[order.index(current) + 1 if current else 0 :]:
        typer.echo(f"  to come with `needlepoint db upgrade`: {revision} {known_revisions()[revision]}")


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Bring the tables up to this release, in one transaction; `up` does that too. Take a backup first."""
    _ready_database(read_settings()).dispose()
    _say(f"the database is at {newest_revision()}")


@db_app.command("downgrade")
def db_downgrade(
    revision: Annotated[str, typer.Argument(help="What the earlier release needs: its `needlepoint db current`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take the tables back to what an earlier release needs, in one transaction. Stop the product, take a backup first.

    Run it with the release that is newer. What only the later revisions hold is deleted.
    """
    if not yes:
        if not sys.stdin.isatty():
            raise MigrationError("nobody can be asked here; with --yes what only later revisions hold is deleted")
        typer.confirm(f"Delete what only revisions after {revision} hold?", abort=True, err=True)
    database = connect(read_settings().database)
    downgrade(database, revision)
    database.dispose()
    _say(f"the database is at {revision}; start the release that needs it")


@telegram_app.command("doctor")
def telegram_doctor() -> None:
    """Say what is configured, what Telegram says, and what to mend. Exit code 1 when there is something to mend."""
    # Here and below, because it brings the bot's library along, which other commands need not wait for.
    from needlepoint.channels.telegram.doctor import examine  # noqa: PLC0415

    settings = read_settings()

    async def look() -> Any:
        database = connect_async(settings.database)
        try:
            return await examine(read_telegram(settings), database)
        finally:
            await database.dispose()

    found = asyncio.run(look())
    for finding in found:
        sign, colour = {"good": ("ok  ", "green"), "note": ("note", "yellow"), "problem": ("mend", "red")}[finding.kind]
        typer.secho(f"{sign}  {finding.text}", fg=colour)
    if any(finding.kind == "problem" for finding in found):
        raise typer.Exit(1)


@telegram_app.command("link")
def telegram_link(
    label: Annotated[str | None, typer.Argument(help="Where it will hang, such as 'poster at reception'.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of those who follow it, such as ms.")] = None,
) -> None:
    """Make an invitation (t.me/...?start=...) for a poster or leaflet; without a label list those there are.

    It carries a random token and nothing else: no name, no treatment. How often each was followed is counted.
    """
    from telegram.error import TelegramError  # noqa: PLC0415

    from needlepoint.channels.telegram import chats  # noqa: PLC0415
    from needlepoint.channels.telegram.bot_api import BotApi  # noqa: PLC0415

    settings = read_settings()
    _ready_database(settings).dispose()
    languages = _clinic(settings).languages
    if language is not None and language not in languages:
        raise SettingsError(f"`{language}` is none of the clinic's languages; use one of {', '.join(languages)}")

    async def work() -> list[str]:
        database = connect_async(settings.database)
        try:
            if label is None:
                made = await chats.links(database)
                return [
                    f"{at:%Y-%m-%d}  {uses:>6} times  {said_in or '-':<3} {name}" for name, said_in, at, uses in made
                ]
            configured = read_telegram(settings)
            if configured is None:
                raise SettingsError("NEEDLEPOINT_TELEGRAM_BOT_TOKEN is not set; docs/telegram.md says how to get a bot")
            api = BotApi(configured)
            try:
                name = (await api.me())["username"]
            except TelegramError as error:
                said = f"Telegram did not say the bot's name ({type(error).__name__})"
                raise SettingsError(f"{said}; `needlepoint telegram doctor` says what to mend") from None
            finally:
                await api.close()
            return [f"https://t.me/{name}?start={await chats.new_link(database, label, language)}"]
        finally:
            await database.dispose()

    for line in asyncio.run(work()):
        typer.echo(line)


@app.command("widget")
def widget_command() -> None:
    """Print the script tags for the clinic's website: the plain one, and the one pinned by its integrity hash."""
    # Here, because it brings the web server along, which other commands need not wait for.
    from needlepoint.channels.web import widget  # noqa: PLC0415

    settings = read_settings()
    base = settings.public_url or public_url(settings)
    typer.echo(f'<script src="{base.rstrip("/")}/widget.js" async></script>')
    typer.echo(widget.script_tag(base))
    allowed = ", ".join(sorted(widget.embed_origins(settings))) or "none but the app itself"
    _say(f"{len(widget.WIDGET.gzipped) / 1000:.1f} kB gzipped. Origins that may embed it: {allowed}.")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)
