"""Builds the spaCy pipeline folder that `SpacyNLP` loads: our words and patterns, no downloaded model.

    python -m needlepoint_engine.spacy_pipeline data/lexicon.yml var/spacy/needlepoint_en

The lexicon is YAML: entity -> canonical value -> the phrases that mean it. Each phrase becomes a pattern of a span
ruler whose label is the entity and whose id is the value; what cannot be listed comes from `span_patterns`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
import spacy.about
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from spacy.language import Language

from needlepoint_engine.lexicon_spelling import FACTORY, LexiconSpelling
from needlepoint_engine.span_patterns import span_patterns

#: Where the pipeline puts its spans on a doc.
SPANS = "needlepoint"
RULER = "span_ruler"

Lexicon = dict[str, dict[str, list[str]]]


class LexiconError(ValueError):
    """The lexicon cannot be used; the message names file, line and mend."""


def read_lexicon(path: Path) -> Lexicon:
    """Reads and checks the lexicon.

    Raises:
        LexiconError: when the file is no lexicon, or gives one phrase two meanings within an entity.
    """
    try:
        content: Any = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as problem:
        raise LexiconError(f"{path}: cannot be read: {problem}") from problem
    if not isinstance(content, CommentedMap) or not content:
        raise LexiconError(f"{path}: must be a mapping of entity -> value -> list of phrases")
    lexicon: Lexicon = {}
    for entity, values in content.items():
        line = content.lc.key(entity)[0] + 1
        if not isinstance(values, CommentedMap):
            raise LexiconError(f"{path}:{line}: {entity} must be a mapping of value -> list of phrases")
        meanings: dict[str, str] = {}
        for value, phrases in values.items():
            line = values.lc.key(value)[0] + 1
            if not isinstance(phrases, list) or not all(isinstance(p, str) and p.strip() for p in phrases):
                raise LexiconError(f"{path}:{line}: {entity}.{value} must be a list of phrases; quote numbers")
            for phrase in phrases:
                known = meanings.setdefault(phrase.strip().lower(), value)
                if known != value:
                    raise LexiconError(
                        f"{path}:{line}: {phrase!r} stands under {entity}.{known} and under {entity}.{value}; "
                        "keep it in one of them"
                    )
        lexicon[entity] = {value: [str(phrase).strip().lower() for phrase in values[value]] for value in values}
    return lexicon


def build(lexicon: Lexicon) -> Language:
    """The pipeline for a lexicon: tokenizer, spelling, rulers."""
    nlp = spacy.blank("en")
    phrases = list(_phrase_patterns(lexicon))
    spelling = nlp.add_pipe(FACTORY)
    assert isinstance(spelling, LexiconSpelling)
    spelling.learn({token.lower_ for pattern in phrases for token in nlp.make_doc(pattern["pattern"])})
    ruler: Any = nlp.add_pipe(RULER, config={"spans_key": SPANS, "phrase_matcher_attr": "NORM"})
    ruler.add_patterns([*phrases, *span_patterns()])
    nlp.meta["name"] = "needlepoint"
    nlp.meta["description"] = "The words of a micro-needling clinic, as its patients write them."
    return nlp


def pipeline_digest(nlp: Language) -> str:
    """SHA-256 of everything the pipeline knows, to tell whether a model was trained with it."""
    ruler: Any = nlp.get_pipe(RULER)
    content = json.dumps([spacy.about.__version__, nlp.pipe_names, ruler.patterns], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def save(nlp: Language, folder: Path) -> None:
    """Writes the pipeline, replacing the folder as a whole, so that no reader sees half of one."""
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.parent.mkdir(parents=True, exist_ok=True)
    nlp.to_disk(fresh)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _phrase_patterns(lexicon: Lexicon) -> Iterator[dict[str, str]]:
    for entity, values in lexicon.items():
        for value, phrases in values.items():
            for phrase in dict.fromkeys(phrases):
                yield {"label": entity, "id": value, "pattern": phrase}


def main(arguments: list[str] | None = None) -> int:
    """The command of the module's text; returns the exit code."""
    parser = argparse.ArgumentParser(description="Build the spaCy pipeline from the lexicon.")
    parser.add_argument("lexicon", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    try:
        lexicon = read_lexicon(given.lexicon)
    except LexiconError as problem:
        print(problem, file=sys.stderr)
        return 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(build(lexicon), given.folder)
    print(f"{given.folder}: {sum(len(values) for values in lexicon.values())} values of {len(lexicon)} entities")
    return 0


if __name__ == "__main__":
    sys.exit(main())
