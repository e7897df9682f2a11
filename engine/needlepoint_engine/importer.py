"""Training data from where the answers live: the example wordings of `data/faq` join the Rasa files of `data/nlu`.

An answer and the ways people ask for it stand in one place, so they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rasa.shared.exceptions import RasaException
from rasa.shared.importers.rasa import RasaFileImporter
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

#: Topics whose intent is not simply `ask_` and the topic.
_INTENTS = {"urgent": "report_symptom", "human": "ask_human", "out_of_scope": "out_of_scope"}

_RASAS_FOLDERS = ("nlu", "rules", "stories")


class FaqWordingsImporter(RasaFileImporter):  # type: ignore[misc]
    """Rasa's own importer, and the wordings of the answers besides. Named in `config.yml` under `importers`."""

    def __init__(
        self,
        config_file: str | None = None,
        domain_path: str | None = None,
        training_data_paths: list[str] | str | None = None,
        faq: str = "data/faq",
    ) -> None:
        """`faq` is the folder of the answers, seen from the folder of `config.yml`."""
        super().__init__(config_file, domain_path, list(_rasas_own(training_data_paths)))
        self._faq = Path(config_file or ".").resolve().parent / faq

    def get_nlu_data(self, language: str | None = "en") -> TrainingData:
        """The examples of `data/nlu` and the wordings of all languages of `data/faq`.

        Raises:
            RasaException: naming the file and the entry that cannot be read.
        """
        # The same wording under two entries of a topic is one example of the topic.
        examples = dict.fromkeys(
            (intent, text) for path in sorted(self._faq.glob("*.yml")) for intent, text in faq_examples(path)
        )
        wordings = TrainingData([Message.build(text=text, intent=intent) for intent, text in examples])
        return super().get_nlu_data(language).merge(wordings)


def _rasas_own(paths: list[str] | str | None) -> Iterator[str]:
    """The given paths, with Rasa's own folders in place of a folder that holds others too.

    Rasa takes any YAML with a key `rules` for dialogue rules, also those of `data/safety`.
    """
    for path in [paths] if isinstance(paths, str) else paths or []:
        own = [str(Path(path) / name) for name in _RASAS_FOLDERS if (Path(path) / name).is_dir()]
        yield from own or [path]


def faq_examples(path: Path) -> Iterator[tuple[str, str]]:
    """The intent and text of every wording in one file of answers.

    Raises:
        RasaException: when the file has no topic, or an entry's wordings are not lists of texts by language.
    """
    try:
        content: Any = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as problem:
        raise RasaException(f"{path}: cannot be read as YAML: {problem}") from problem
    topic = content.get("topic") if isinstance(content, dict) else None
    entries = content.get("entries") if isinstance(content, dict) else None
    if not isinstance(topic, str) or not isinstance(entries, list):
        raise RasaException(f"{path}:1: must have a `topic` and a list of `entries`")
    for place, entry in enumerate(entries, start=1):
        wordings = entry.get("wordings") if isinstance(entry, dict) else None
        name = entry.get("id", f"number {place}") if isinstance(entry, dict) else f"number {place}"
        if not isinstance(wordings, dict) or not all(isinstance(texts, list) for texts in wordings.values()):
            raise RasaException(
                f"{path}:{_line(path, place)}: entry {name} needs `wordings`: lists of texts by language"
            )
        for texts in wordings.values():
            for text in texts:
                if not isinstance(text, str) or not text.strip():
                    raise RasaException(
                        f"{path}:{_line(path, place)}: entry {name} has a wording that is not a text; quote it"
                    )
                yield _INTENTS.get(topic, f"ask_{topic}"), text.strip()


def _line(path: Path, place: int) -> int:
    """The line of the entry with this number; read again with positions only when something is wrong."""
    entries = YAML(typ="rt").load(path.read_text(encoding="utf-8"))["entries"]
    return int(entries.lc.item(place - 1)[0]) + 1
