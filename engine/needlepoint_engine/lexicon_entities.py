"""Entities from the spans that our spaCy pipeline found: what is meant, where it stands, and when it was."""

from __future__ import annotations

import re
from typing import Any

from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.nlu.constants import SPACY_DOCS
from rasa.nlu.extractors.extractor import EntityExtractorMixin
from rasa.nlu.utils.spacy_utils import SpacyModel, SpacyNLP
from rasa.shared.exceptions import RasaException
from rasa.shared.nlu.constants import ENTITIES, TEXT
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData
from spacy.tokens import Doc, Span, Token
from spacy.util import filter_spans

from needlepoint_engine.spacy_pipeline import SPANS, pipeline_digest
from needlepoint_engine.span_patterns import DAY_MENTION, NEEDLE_LENGTH, TREATMENT_CUE, TREATMENT_DAY

_DIGEST_FILE = "pipeline.sha256"
_TREATMENT = "treatment"
#: A day that the words around it do not make the day of treatment: "can I swim on Friday?"
_DAY = "day"
_NUMBER = re.compile(r"\d*[.,]?\d+")

#: How far from a day, in tokens, the words may stand that make it the day of treatment.
_CUE_DISTANCE = 6
_CLAUSE_ENDS = frozenset(", . ; : ? ! but can could should may shall what when boleh patut adakah".split())
#: "had it yesterday is it ok today": these begin a question, and a new clause, where one of the others follows.
_QUESTION_BEGINS = frozenset("is are was will would do does".split())
_QUESTION_GOES_ON = frozenset("i it that this there they we normal ok okay safe my".split())
#: "today, after my treatment" does not say that the treatment was today.
_NOT_THAT_DAY = frozenset("after before post since from following until till selepas sebelum lepas sejak".split())


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.ENTITY_EXTRACTOR, is_trainable=True, model_from="SpacyNLP")
class LexiconEntityExtractor(GraphComponent, EntityExtractorMixin):  # type: ignore[misc]
    """Turns spans into Rasa entities with canonical values.

    "Training" only notes the digest of the spaCy pipeline in the model. The folder lies beside the archive, and the
    archive's hash is what the record keeps of a turn; so a model refuses to work with words it was not trained with.
    """

    def __init__(self, storage: ModelStorage, resource: Resource, trained_with: str | None = None) -> None:
        """See `create` and `load`, which Rasa calls."""
        self._storage = storage
        self._resource = resource
        self._trained_with = trained_with
        self._checked = False

    @classmethod
    def required_components(cls) -> list[type]:
        """The spans come from SpacyNLP."""
        return [SpacyNLP]

    @classmethod
    def create(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
    ) -> LexiconEntityExtractor:
        """The component for a training (see parent class)."""
        return cls(model_storage, resource)

    @classmethod
    def load(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
        **kwargs: Any,
    ) -> LexiconEntityExtractor:
        """The component of a trained model (see parent class)."""
        with model_storage.read_from(resource) as folder:
            return cls(model_storage, resource, (folder / _DIGEST_FILE).read_text())

    def train(self, training_data: TrainingData, model: SpacyModel) -> Resource:
        """Notes the digest of the spaCy pipeline in the model."""
        with self._storage.write_to(self._resource) as folder:
            (folder / _DIGEST_FILE).write_text(pipeline_digest(model.model))
        return self._resource

    def process_training_data(self, training_data: TrainingData, model: SpacyModel) -> TrainingData:
        """Nothing after this component in the pipeline learns from entities."""
        return training_data

    def process(self, messages: list[Message], model: SpacyModel) -> list[Message]:
        """Adds the entities to each message.

        Raises:
            RasaException: when the model was trained with another spaCy pipeline than the one that is loaded.
        """
        self._check(model)
        for message in messages:
            doc = message.get(SPACY_DOCS[TEXT])
            found = self.add_extractor_name(entities_of(doc)) if doc is not None else []
            message.set(ENTITIES, message.get(ENTITIES, []) + found, add_to_output=True)
        return messages

    def _check(self, model: SpacyModel) -> None:
        if not self._checked and self._trained_with != pipeline_digest(model.model):
            raise RasaException(
                f"The model was trained with other words than those in {model.model_name}. Train the model again."
            )
        self._checked = True


def entities_of(doc: Doc) -> list[dict[str, Any]]:
    """The entities of a doc, in order: `entity`, `value` (canonical, or the words for a day), `start`, `end`.

    Of overlapping spans of one entity the longest counts; spans of two entities may overlap, since a device also
    says which treatment is meant.
    """
    by_label: dict[str, list[Span]] = {}
    for span in doc.spans.get(SPANS, ()):
        by_label.setdefault(span.label_, []).append(span)
    cues = by_label.pop(TREATMENT_CUE, []) + by_label.get(_TREATMENT, [])
    mentions = by_label.pop(DAY_MENTION, [])
    of_treatment = [span for span in mentions if _is_treatment_day(span, cues)]
    by_label[TREATMENT_DAY] = filter_spans(by_label.get(TREATMENT_DAY, []) + of_treatment)
    taken = {token.i for span in by_label[TREATMENT_DAY] for token in span}
    by_label[_DAY] = [span for span in mentions if taken.isdisjoint(range(span.start, span.end))]
    chosen = [(label, span) for label, spans in by_label.items() for span in filter_spans(spans)]
    return [
        {"entity": label, "value": _value(label, span), "start": span.start_char, "end": span.end_char}
        for label, span in sorted(chosen, key=lambda found: (found[1].start, found[1].end, found[0]))
    ]


def _value(label: str, span: Span) -> str:
    if label in {TREATMENT_DAY, _DAY}:
        return str(span.text)
    if label == NEEDLE_LENGTH:
        number = _NUMBER.match(span.text)
        return f"{float(number[0].replace(',', '.')):g} mm" if number else str(span.text)
    return str(span.id_)


def _is_treatment_day(day: Span, cues: list[Span]) -> bool:
    return any(_speaks_of(cue, day) for cue in cues if cue.end <= day.start or cue.start >= day.end)


def _speaks_of(cue: Span, day: Span) -> bool:
    """Whether a cue stands near the day, in its clause, and is not itself what the day is counted from."""
    doc = day.doc
    first, last = (cue.end, day.start) if cue.end <= day.start else (day.end, cue.start)
    if last - first > _CUE_DISTANCE:
        return False
    if any(_ends_clause(token) for token in doc[first:last]):
        return False
    return not any(token.lower_ in _NOT_THAT_DAY for token in doc[max(cue.start - 2, 0) : cue.start])


def _ends_clause(token: Token) -> bool:
    if token.is_space or token.lower_ in _CLAUSE_ENDS:
        return True
    follows = token.nbor().lower_ if token.i + 1 < len(token.doc) else ""
    return token.lower_ in _QUESTION_BEGINS and follows in _QUESTION_GOES_ON
