"""The intent of a message: two logistic regressions, one that reads letters and one that reads meaning.

Few examples an intent and short, misspelled texts are what this has to work with. A regression over character
n-grams knows spellings and words of the trade, one over sentence embeddings knows what is meant; they err in
different places, and the mean of their probabilities is better than either and better calibrated than a network.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.nlu.classifiers.classifier import IntentClassifier
from rasa.shared.exceptions import RasaException
from rasa.shared.nlu.constants import INTENT, TEXT
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from needlepoint_engine.sentence_embedder import SentenceEmbedder

#: Inverse strength of regularisation of both regressions.
_C = 20.0
#: Steps after which the fit is as good as it gets; on the letters each takes a second.
_STEPS = 60
_NGRAMS = (2, 5)
#: A pressed button; it travels as parse data and is never read from a text.
_NEVER_PREDICTED = "choose"

Numbers = npt.NDArray[np.floating[Any]]

_ARRAYS_FILE = "regressions.npz"
_VOCABULARY_FILE = "ngrams.json"


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.INTENT_CLASSIFIER, is_trainable=True)
class HybridIntentClassifier(IntentClassifier, GraphComponent):  # type: ignore[misc]
    """Mean of the two regressions' probabilities; the whole ranking is put on the message.

    The same training data give the same model: no random numbers, one thread.
    """

    def __init__(self, storage: ModelStorage, resource: Resource) -> None:
        """See `create` and `load`, which Rasa calls."""
        self._storage = storage
        self._resource = resource
        self._ngrams = _new_vectorizer()
        self._intents: list[str] = []
        self._centre = np.zeros(0, dtype=np.float32)
        # One row a feature, one column an intent; the last array of each pair holds the intercepts.
        self._letters = (np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.float32))
        self._meaning = (np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.float32))

    @classmethod
    def required_components(cls) -> list[type]:
        """The embeddings come from the SentenceEmbedder."""
        return [SentenceEmbedder]

    @classmethod
    def create(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
    ) -> HybridIntentClassifier:
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
    ) -> HybridIntentClassifier:
        """The component of a trained model; the files hold numbers and texts only, no code."""
        classifier = cls(model_storage, resource)
        with model_storage.read_from(resource) as folder:
            stored = json.loads((folder / _VOCABULARY_FILE).read_text(encoding="utf-8"))
            with np.load(folder / _ARRAYS_FILE, allow_pickle=False) as arrays:
                classifier._ngrams.vocabulary_ = {ngram: place for place, ngram in enumerate(stored["ngrams"])}
                classifier._ngrams.idf_ = arrays["idf"]
                classifier._centre = arrays["centre"]
                classifier._letters = (arrays["letters"], arrays["letters_intercept"])
                classifier._meaning = (arrays["meaning"], arrays["meaning_intercept"])
        classifier._intents = stored["intents"]
        return classifier

    def train(self, training_data: TrainingData) -> Resource:
        """Fits both regressions.

        Raises:
            RasaException: when there are fewer than two intents to tell apart.
        """
        examples = [
            example
            for example in training_data.intent_examples
            if example.get(TEXT) and example.get(INTENT) and example.get(INTENT) != _NEVER_PREDICTED
        ]
        intents = [example.get(INTENT) for example in examples]
        if len(set(intents)) < 2:
            raise RasaException("The classifier needs examples of at least two intents; check data/nlu and data/faq.")
        embeddings = np.vstack([_embedding(example) for example in examples])
        self._centre = embeddings.mean(axis=0)
        counts = self._ngrams.fit_transform([example.get(TEXT) for example in examples])
        with threadpool_limits(limits=1):
            self._intents, self._letters = _fitted(counts, intents)
            _, self._meaning = _fitted(embeddings - self._centre, intents)
        self._persist()
        return self._resource

    def process_training_data(self, training_data: TrainingData) -> TrainingData:
        """Nothing after this component in the pipeline learns from predicted intents."""
        return training_data

    def process(self, messages: list[Message]) -> list[Message]:
        """Puts `intent` and the full `intent_ranking`, best first, on each message."""
        for message in messages:
            probabilities = self._probabilities(message)
            order = np.argsort(-probabilities, kind="stable")
            ranking = [{"name": self._intents[i], "confidence": float(probabilities[i])} for i in order]
            message.set("intent", dict(ranking[0]), add_to_output=True)
            message.set("intent_ranking", ranking, add_to_output=True)
        return messages

    def _probabilities(self, message: Message) -> Numbers:
        weights, intercepts = self._letters
        letters = _softmax((self._ngrams.transform([message.get(TEXT)]) @ weights)[0] + intercepts)
        weights, intercepts = self._meaning
        meaning = _softmax((_embedding(message) - self._centre) @ weights + intercepts)
        mean: Numbers = (letters + meaning) / 2
        return mean

    def _persist(self) -> None:
        ngrams = sorted(self._ngrams.vocabulary_, key=self._ngrams.vocabulary_.__getitem__)
        with self._storage.write_to(self._resource) as folder:
            stored = json.dumps({"intents": self._intents, "ngrams": ngrams}, ensure_ascii=False)
            (folder / _VOCABULARY_FILE).write_text(stored, encoding="utf-8")
            np.savez(
                folder / _ARRAYS_FILE,
                idf=self._ngrams.idf_,
                centre=self._centre,
                letters=self._letters[0],
                letters_intercept=self._letters[1],
                meaning=self._meaning[0],
                meaning_intercept=self._meaning[1],
            )


def _new_vectorizer() -> TfidfVectorizer:
    return TfidfVectorizer(analyzer="char_wb", ngram_range=_NGRAMS, lowercase=True)


def _fitted(features: Any, intents: list[str]) -> tuple[list[str], tuple[Numbers, Numbers]]:
    regression = LogisticRegression(C=_C, multi_class="multinomial", solver="lbfgs", max_iter=_STEPS, tol=1e-3)
    with warnings.catch_warnings():
        # It would say at each training that it could go on: see _STEPS.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(features, intents)
    weights, intercepts = regression.coef_.T, regression.intercept_
    if len(regression.classes_) == 2:
        # Two classes are one row in scikit-learn, of which the softmax takes half for each side.
        weights, intercepts = np.hstack([-weights, weights]), np.concatenate([-intercepts, intercepts])
    return (
        [str(intent) for intent in regression.classes_],
        (np.ascontiguousarray(weights, dtype=np.float32), intercepts.astype(np.float32)),
    )


def _embedding(message: Message) -> Numbers:
    _, sentence = message.get_dense_features(TEXT)
    if sentence is None:
        raise RasaException("A message has no embedding; SentenceEmbedder must stand before the classifier.")
    return np.asarray(sentence.features[0])


def _softmax(scores: Numbers) -> Numbers:
    powers = np.exp(scores.astype(np.float64) - scores.max())
    return np.asarray(powers / powers.sum())
