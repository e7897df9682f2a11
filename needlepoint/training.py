"""Training the engine's model: when it is due, and running the engine's own commands for it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from needlepoint.settings import ENVIRONMENT_PREFIX, ROOT, Settings

#: What the model is made from, below the root; data files that only the app reads are not among them.
_INPUTS = (
    "config.yml",
    "domain.yml",
    "data/nlu",
    "data/rules",
    "data/stories",
    "data/lexicon.yml",
    "engine/requirements.lock",
    "engine/needlepoint_engine",
    "sentence_encoder/encoder.py",
)


class TrainingError(RuntimeError):
    """The model could not be trained; the message says what to do."""


def engine_python() -> Path:
    """The engine's interpreter. Raises :class:`TrainingError` when the engine is not installed."""
    python = ROOT / "engine" / ".venv" / "bin" / "python"
    if not python.exists():
        raise TrainingError("the engine is not installed; run `make install`")
    return python


def engine_environment(settings: Settings) -> dict[str, str]:
    """The environment of an engine process; the engine itself adds what Rasa and TensorFlow need.

    The app's own settings, and with them its passwords, are not the engine's business.
    """
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)},
        "PYTHONPATH": str(ROOT / "engine"),
        "NEEDLEPOINT_ENGINE_SECRET": settings.engine_secret,
        "NEEDLEPOINT_ACTION_HOSTS": settings.action_hosts,
        "NEEDLEPOINT_ENGINE_HOT_PATH": settings.engine_hot_path,
        "NEEDLEPOINT_LOG_FORMAT": settings.log_format,
        "NEEDLEPOINT_METRICS_TOKEN": settings.metrics_token,
    }


def model_file(settings: Settings) -> Path:
    """The trained model."""
    return settings.var / "models" / "needlepoint.tar.gz"


def _stamp(settings: Settings) -> Path:
    return settings.var / "models" / "needlepoint.inputs"


def inputs_hash(settings: Settings) -> str:
    """Hash of everything the model is made from. By content: a clone's file times say nothing."""
    digest = hashlib.sha256()
    roots = [ROOT / name for name in _INPUTS] + [settings.data / "faq"]
    for root in roots:
        files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.suffix in {".py", ".yml"})
        for file in files:
            digest.update(f"{file.relative_to(root.parent)}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def is_due(settings: Settings) -> bool:
    """Is the model missing, or made from something else than is there now?"""
    stamp = _stamp(settings)
    return not (model_file(settings).exists() and stamp.exists() and stamp.read_text() == inputs_hash(settings))


def train(settings: Settings) -> Path:
    """Train, and put the new model in the old one's place only when it is whole. Shows Rasa's own progress.

    Raises :class:`TrainingError`.
    """
    inputs = inputs_hash(settings)
    models = settings.var / "models"
    models.mkdir(parents=True, exist_ok=True)
    fresh = models / "needlepoint-new.tar.gz"
    command = [str(engine_python()), "-m", "needlepoint_engine", "train", "--model", str(fresh)]
    if subprocess.run(command, cwd=ROOT, env=engine_environment(settings), check=False).returncode != 0:  # noqa: S603
        raise TrainingError("training failed; what the engine said stands above")
    fresh.replace(model_file(settings))
    _stamp(settings).write_text(inputs)
    return model_file(settings)
