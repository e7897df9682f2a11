"""The engine's commands: `python -m needlepoint_engine <command>`, run with the engine's own Python.

    words       build the spaCy pipeline from data/lexicon.yml
    train       build the spaCy pipeline and train var/models/needlepoint.tar.gz
    validate    check domain and training data
    test        run the conversations of tests/conversations against the trained model
    parse       read messages as JSON strings, one a line, and write what the model makes of each, one JSON line each
    run         serve the trained model on 127.0.0.1 (--host) at --port, default 5005
    ready       ask the engine at --port whether it takes turns; exit code 1 when it does not

Each but the last is Rasa's own command with the project's paths. What is set here beforehand: telemetry off, one
thread for each numerical library, the import path, and the repository as the working folder (paths in config.yml start
there). Rasa's own command line does the same from the repository with PYTHONPATH=engine:. and
RASA_TELEMETRY_ENABLED=false.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import urllib.request
import warnings
from pathlib import Path

from needlepoint_engine.logs import LogFormatError, keep_rasa_from_colouring, log_format, set_up
from needlepoint_engine.metrics import metrics_token
from needlepoint_engine.shared_secret import SecretError, shared_secret

_REPOSITORY = Path(__file__).resolve().parents[2]
_LEXICON = Path("data/lexicon.yml")
_SPACY_FOLDER = Path("var/spacy/needlepoint_en")
_MODEL = Path("var/models/needlepoint.tar.gz")

_SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code; `run` returns when the server was told to stop."""
    given = _parser().parse_args(arguments)
    if given.command == "ready":
        return _is_ready(given.port)
    repository = Path(given.repository).resolve()
    _prepare(repository)
    if given.command == "words":
        return _build_words()
    if given.command == "train":
        return _build_words() or _rasa(
            "train", "--quiet", "--skip-validation",
            "--config", "config.yml", "--domain", "domain.yml", "--data", "data",
            "--out", str(given.model.parent), "--fixed-model-name", given.model.name.removesuffix(".tar.gz"),
        )  # fmt: skip
    if given.command == "validate":
        return _rasa(
            "data", "validate", "--fail-on-warnings", "--config", "config.yml", "--domain", "domain.yml",
            "--data", "data",
        )  # fmt: skip
    missing = next((path for path in (given.model, _SPACY_FOLDER) if not path.exists()), None)
    if missing is not None:
        print(f"{missing} does not exist. Run `python -m needlepoint_engine train` first.", file=sys.stderr)
        return 1
    if given.command == "test":
        return _rasa(
            "test", "core", "--e2e", "--fail-on-prediction-errors", "--model", str(given.model),
            "--stories", "tests/conversations", "--out", "var/results",
        )  # fmt: skip
    if given.command == "parse":
        return _parse(given.model)
    try:
        # The connector asks again; here it is asked before the ten seconds that Rasa needs to be imported.
        shared_secret(os.environ)
        metrics_token(os.environ)
        set_up(log_format(os.environ))
    except (SecretError, LogFormatError) as problem:
        print(problem, file=sys.stderr)
        return 1
    _quieten_libraries()
    keep_rasa_from_colouring()
    return _rasa(
        "run", "--interface", given.host, "--port", str(given.port), "--model", str(given.model),
        "--endpoints", "endpoints.yml", "--credentials", "credentials.yml",
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m needlepoint_engine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["words", "train", "validate", "test", "parse", "run", "ready"])
    parser.add_argument("--repository", default=_REPOSITORY, help="folder with config.yml (default: this clone)")
    parser.add_argument(
        "--model", type=Path, default=_MODEL, help="model archive that `train` writes, `run`, `test` and `parse` read"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address of `run`; another one only where nobody but apps can reach it"
    )
    parser.add_argument("--port", type=int, default=5005, help="port of `run`")
    return parser


def _prepare(repository: Path) -> None:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    # Rasa knows a trained part again by its settings and its class, not by the words and patterns that it learnt from.
    os.environ["RASA_MAX_CACHE_SIZE"] = "0"
    # Not a default: whatever the environment says, nothing is sent to anyone.
    os.environ["RASA_TELEMETRY_ENABLED"] = "false"
    for folder in (str(repository), str(_REPOSITORY / "engine")):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    os.chdir(repository)


def _is_ready(port: int) -> int:
    """Asks a running engine, as a container's health check does."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/webhooks/needlepoint/ready",
        headers={"Authorization": f"Bearer {os.environ.get('NEEDLEPOINT_ENGINE_SECRET', '')}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=3):  # noqa: S310 - the address above
            return 0
    except OSError as problem:
        print(f"not ready: {problem}", file=sys.stderr)
        return 1


def _build_words() -> int:
    # Imports stand in functions where they take seconds and the command may end before it needs them.
    from needlepoint_engine import spacy_pipeline  # noqa: PLC0415

    return spacy_pipeline.main([str(_LEXICON), str(_SPACY_FOLDER)])


def _parse(model: Path) -> int:
    _quieten_libraries()
    import structlog  # noqa: PLC0415
    from rasa.core.agent import Agent  # noqa: PLC0415

    # Rasa logs what it parses, and where nobody has told structlog otherwise on standard output.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    agent = Agent.load(str(model))
    for line in sys.stdin:
        parsed = asyncio.run(agent.parse_message(json.loads(line)))
        print(json.dumps(parsed), flush=True)
    return 0


def _quieten_libraries() -> None:
    # TensorFlow imports jax only to convert models to TensorFlow Lite, which nothing here does.
    sys.modules.setdefault("jax", None)  # type: ignore[arg-type]
    # Rasa's dependencies are of 2023 and warn about each other; sanic first, since it switches the warnings on.
    import sanic.app  # noqa: F401, PLC0415

    warnings.filterwarnings("ignore", category=DeprecationWarning)


def _rasa(*arguments: str) -> int:
    """Runs Rasa's command line in this process, so that signals reach its server directly."""
    _quieten_libraries()
    import rasa.__main__  # noqa: PLC0415

    sys.argv = ["rasa", *arguments]
    try:
        rasa.__main__.main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
