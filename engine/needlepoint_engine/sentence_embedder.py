"""The sentence embedding as a Rasa featurizer; a sentence is embedded here and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.nlu.featurizers.dense_featurizer.dense_featurizer import DenseFeaturizer
from rasa.shared.exceptions import RasaException
from rasa.shared.nlu.constants import TEXT
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData
from sentence_encoder import SentenceEncoder, to_base64

from needlepoint_engine.questions import questions_in

_DIGEST_FILE = "encoder.sha256"
#: Sentences encoded in one call while training.
_BATCH = 64


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.MESSAGE_FEATURIZER, is_trainable=True)
class SentenceEmbedder(DenseFeaturizer, GraphComponent):  # type: ignore[misc]
    """Puts the embedding (1 x 384 float32, unit length) on each message as its dense sentence feature.

    A message that a person wrote also gets the property `embedding`: the same numbers as base64 of little-endian
    float32, for the action that will search with them; and `questions`: text and embedding of each, where it asks more
    than one. "Training" only remembers which encoder was used, so that a
    model never runs with embeddings of another one.
    """

    def __init__(
        self, config: dict[str, Any], name: str, encoder: SentenceEncoder, storage: ModelStorage, resource: Resource
    ) -> None:
        """See `create` and `load`, which Rasa calls."""
        super().__init__(name, config)
        self._encoder = encoder
        self._storage = storage
        self._resource = resource

    @classmethod
    def create(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
    ) -> SentenceEmbedder:
        """The component for a training (see parent class)."""
        return cls(config, execution_context.node_name, SentenceEncoder.load(), model_storage, resource)

    @classmethod
    def load(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
        **kwargs: Any,
    ) -> SentenceEmbedder:
        """The component of a trained model.

        Raises:
            RasaException: when the model was trained with another sentence encoder than the one installed.
        """
        embedder = cls.create(config, model_storage, resource, execution_context)
        with model_storage.read_from(resource) as folder:
            trained_with = (folder / _DIGEST_FILE).read_text()
        if trained_with != embedder._encoder.digest:
            raise RasaException(
                f"The model was trained with sentence encoder {trained_with[:12]}, installed is "
                f"{embedder._encoder.digest[:12]}. Train the model again."
            )
        return embedder

    @classmethod
    def validate_config(cls, config: dict[str, Any]) -> None:
        """There is nothing to set beside Rasa's own `alias`."""

    @classmethod
    def fingerprint_addon(cls, config: dict[str, Any]) -> str | None:
        """Another encoder means that Rasa must train again."""
        digest: str = SentenceEncoder.load().digest
        return digest

    def train(self, training_data: TrainingData) -> Resource:
        """Notes the encoder's digest in the model."""
        with self._storage.write_to(self._resource) as folder:
            (folder / _DIGEST_FILE).write_text(self._encoder.digest)
        return self._resource

    def process_training_data(self, training_data: TrainingData) -> TrainingData:
        """Embeds all training sentences."""
        messages = [message for message in training_data.training_examples if message.get(TEXT)]
        for start in range(0, len(messages), _BATCH):
            batch = messages[start : start + _BATCH]
            for message, vector in zip(batch, self._encode([m.get(TEXT) for m in batch]), strict=True):
                self._add(message, vector)
        return training_data

    def process(self, messages: list[Message]) -> list[Message]:
        """Embeds what a person wrote."""
        for message in messages:
            vector = self._encode([message.get(TEXT)])[0]
            self._add(message, vector)
            message.set("embedding", to_base64(vector), add_to_output=True)
            asked = questions_in(message.get(TEXT))
            vectors = self._encode(asked)
            questions = [{"text": a, "embedding": to_base64(v)} for a, v in zip(asked, vectors, strict=True)]
            message.set("questions", questions, add_to_output=True)
        return messages

    def _encode(self, texts: list[str]) -> npt.NDArray[np.float32]:
        return np.asarray(self._encoder.encode(texts), dtype=np.float32)

    def _add(self, message: Message, vector: npt.NDArray[np.float32]) -> None:
        self.add_features_to_message(sequence=None, sentence=vector[np.newaxis, :], attribute=TEXT, message=message)
