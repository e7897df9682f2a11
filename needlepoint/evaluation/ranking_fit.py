"""How the evidence for an answer is weighed: learnt from labelled messages, thresholds from their risk.

A conditional logit: of all entries and "none of them", the acceptable ones shall be likely. Its probabilities are the
confidences, so what it states and what comes true agree as far as the messages are like those of patients.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rasa_sdk import Tracker
from scipy.optimize import minimize
from scipy.special import logsumexp

from actions import question_of
from needlepoint.answering.answerer import Answerer
from needlepoint.answering.ranking import (
    ELSEWHERE,
    EVIDENCE,
    EVIDENCE_ELSEWHERE,
    EntryClassifier,
    Numbers,
    Ranker,
    Weights,
    read_weights,
)
from needlepoint.clinic import read_clinic
from needlepoint.db.connect import connect
from needlepoint.db.migrate import migrate
from needlepoint.evaluation.calibration import bins, expected_error
from needlepoint.evaluation.items import AnswerConversation, AnswerMessage, AnswerTurn, Item
from needlepoint.faq import store
from needlepoint.faq.files import read_folder
from needlepoint.faq.published import read_published
from needlepoint.faq.search import SearchIndex, VectorCache
from needlepoint.language import guess_language
from needlepoint.phrases import read_phrases
from needlepoint.settings import ROOT, Settings
from needlepoint.training import engine_environment, engine_python, model_file
from sentence_encoder import SentenceEncoder

#: Strength with which weights are held near zero; evidence is of the order of 1.
PULL = 0.3

#: Least weight of whether an entry is about the side of the treatment that the person is on. Who is known to come
#: tomorrow must not get the advice for afterwards; too few of the messages tell their day for this to be learnt.
PHASE_AT_LEAST = 2.5

#: Parts for honest confidences: each message is judged by weights learnt without it.
FOLDS = 10

#: How the thresholds are chosen, from the risk: of questions that have an answer at most so many may get a wrong one,
#: at most so many may be refused, and of those off-topic at most so many may be asked back.
WRONG_AT_MOST = 0.03
REFUSED_AT_MOST = 0.01
ASKED_BACK_AT_MOST = 0.03


class Seen(msgspec.Struct, frozen=True):
    """A message's evidence: a row for each entry, one for there being none, and which of all are acceptable.

    `alone` is a message that is no turn of a conversation: the thresholds are chosen on those.
    """

    entries: Numbers
    elsewhere: Numbers
    acceptable: NDArray[np.bool_]
    alone: bool = True


class Fitted(msgspec.Struct, frozen=True):
    """What was learnt, and how it judged messages that it had not learnt from."""

    weights: Weights
    right: float
    wrong: float
    calibration_error: float


def gather(settings: Settings, items: Sequence[Item]) -> tuple[list[Seen], EntryClassifier]:
    """What speaks for each entry in each message, by the trained model and the shipped answers.

    In a conversation the turns before are taken as answered rightly. Small talk and the like, which the dialogue
    decides, is left out. Needs a trained model.
    """
    answerer, classifier = _answerer(settings, None)
    places = {entry.id: number for number, entry in enumerate(answerer.index.entries)}
    places[ELSEWHERE] = len(places)
    talks = [turns for item in items if (turns := _turns(item))]
    parsed = iter(_parsed(settings, [turn.text for talk in talks for turn in talk]))
    seen = []
    for talk in talks:
        known: dict[str, object] = {}
        for turn in talk:
            told = tracker(turn.text, next(parsed), known)
            acceptable = [one for one in turn.expect if one in places]
            if acceptable:
                _, entries, elsewhere = answerer.evidence(question_of(told))
                chosen = np.zeros(len(places), dtype=bool)
                chosen[[places[one] for one in acceptable]] = True
                seen.append(Seen(entries, elsewhere, chosen, len(talk) == 1))
                known["about"] = acceptable[0]
            named = [one["value"] for one in told.latest_message["entities"] if one["entity"] == "treatment"]
            known |= {"treatment": named[-1]} if named else {}
    return seen, classifier


def _turns(item: Item) -> Sequence[AnswerTurn]:
    if isinstance(item, AnswerMessage):
        return [item]
    return item.turns if isinstance(item, AnswerConversation) else []


def tracker(text: str, parsed: dict[str, Any], known: dict[str, object]) -> Tracker:
    """What the actions see of a message that the engine parsed, with slots that are known besides."""
    slots = {"language": guess_language(text) or "en", **known}
    return Tracker("fit", slots, parsed, [], False, None, {}, "action_listen")


def fit(seen: Sequence[Seen], classifier: EntryClassifier) -> Fitted:
    """Weights and thresholds from the evidence."""
    best = np.zeros(len(seen))
    three = np.zeros(len(seen))
    none = np.zeros(len(seen))
    right = np.zeros(len(seen), dtype=bool)
    alone = np.array([one.alone for one in seen])
    inside = alone & ~np.array([one.acceptable[-1] for one in seen])
    for fold in range(FOLDS):
        learnt = _learn([one for number, one in enumerate(seen) if number % FOLDS != fold])
        for number in range(fold, len(seen), FOLDS):
            probabilities = np.exp(_log_probabilities(seen[number], learnt))
            order = np.argsort(-probabilities[:-1])
            best[number], three[number] = probabilities[order[0]], probabilities[order[:3]].sum()
            none[number] = probabilities[-1]
            right[number] = seen[number].acceptable[order[0]]
    answer_from = _threshold(best[inside], ~right[inside], WRONG_AT_MOST)
    decline_from = _threshold(none[inside], np.ones(inside.sum(), dtype=bool), REFUSED_AT_MOST)
    outside = alone & ~inside
    clarify_from = _threshold(three[outside], none[outside] < decline_from, ASKED_BACK_AT_MOST)
    learnt = _learn(seen)
    weights = Weights(
        classifier=classifier.digest,
        entries=dict(zip(EVIDENCE, np.round(learnt[: len(EVIDENCE)], 4).tolist(), strict=True)),
        elsewhere=dict(zip(EVIDENCE_ELSEWHERE, np.round(learnt[len(EVIDENCE) :], 4).tolist(), strict=True)),
        answer_from=answer_from,
        clarify_from=min(clarify_from, answer_from),
        decline_from=decline_from,
    )
    given = inside & (best >= answer_from) & (none < decline_from)
    return Fitted(
        weights,
        float((right & given).sum() / max(inside.sum(), 1)),
        float((~right & given).sum() / max(inside.sum(), 1)),
        expected_error(bins(zip(best[given].tolist(), right[given].tolist(), strict=True))),
    )


def _threshold(probability: Numbers, bad: NDArray[np.bool_], at_most: float) -> float:
    """The least probability from which bad ones are at most that share of all."""
    for threshold in np.arange(0.05, 1.0, 0.01):
        if (bad & (probability >= threshold)).sum() <= at_most * len(probability):
            return round(float(threshold), 2)
    return 0.99


def _log_probabilities(one: Seen, weights: Numbers) -> Numbers:
    of_entries = weights[: len(EVIDENCE)]
    scores = np.append(one.entries @ of_entries, one.elsewhere @ weights[len(EVIDENCE) :])
    logs: Numbers = scores - logsumexp(scores)
    return logs


def _learn(seen: Sequence[Seen]) -> Numbers:
    entries = np.stack([one.entries for one in seen])
    elsewhere = np.stack([one.elsewhere for one in seen])
    acceptable = np.stack([one.acceptable for one in seen])

    def loss(weights: Numbers) -> tuple[float, Numbers]:
        scores = np.concatenate(
            [entries @ weights[: len(EVIDENCE)], (elsewhere @ weights[len(EVIDENCE) :])[:, None]], axis=1
        )
        total = logsumexp(scores, axis=1, keepdims=True)
        masked = np.where(acceptable, scores, -np.inf)
        good = logsumexp(masked, axis=1, keepdims=True)
        change = np.exp(scores - total) - np.exp(masked - good)
        slope = np.concatenate(
            [np.einsum("ne,nef->f", change[:, :-1], entries), (change[:, -1:] * elsewhere).sum(axis=0)]
        )
        return float((total - good).sum() + PULL * (weights**2).sum()), slope + 2 * PULL * weights

    start = np.full(len(EVIDENCE) + len(EVIDENCE_ELSEWHERE), 0.1)
    bounds = [(PHASE_AT_LEAST if name == "phase" else None, None) for name in (*EVIDENCE, *EVIDENCE_ELSEWHERE)]
    start[EVIDENCE.index("phase")] = PHASE_AT_LEAST
    result: Numbers = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return result


def shipped_answerer(settings: Settings) -> Answerer:
    """One that answers from the shipped answers with the shipped weights, without any process or database of the user.

    Raises :class:`~needlepoint.answering.ranking.RankingError`.
    """
    return _answerer(settings, settings.data / "ranking" / "weights.json")[0]


def _answerer(settings: Settings, weights: Path | None) -> tuple[Answerer, EntryClassifier]:
    encoder = SentenceEncoder.load()
    phrases = read_phrases(settings.data / "phrases", read_clinic(Path(settings.clinic_file)))
    classifier = EntryClassifier.load(settings.data / "ranking" / "classifier.npz", encoder.digest)
    with tempfile.TemporaryDirectory() as folder:
        database = connect(f"sqlite:///{folder}/needlepoint.db")
        migrate(database)
        store.load(database, read_folder(settings.data / "faq"))
        with database.connect() as connection:
            published = read_published(connection, datetime.now(phrases.clinic.zone).date(), give_unapproved=True)
        database.dispose()
    index = SearchIndex(published, encoder, VectorCache(settings.var / "cache" / "wording-vectors.npz"))
    if weights is None:
        nothing = dict.fromkeys(EVIDENCE, 0.0), dict.fromkeys(EVIDENCE_ELSEWHERE, 0.0)
        weighed = Weights(classifier.digest, *nothing, answer_from=1.0, clarify_from=1.0, decline_from=1.0)
    else:
        weighed = read_weights(weights, classifier)
    return Answerer(index, phrases, Ranker(index, classifier, weighed)), classifier


def _parsed(settings: Settings, texts: Sequence[str]) -> list[dict[str, Any]]:
    done = subprocess.run(  # noqa: S603
        [str(engine_python()), "-m", "needlepoint_engine", "parse", "--model", str(model_file(settings))],
        cwd=ROOT,
        env=engine_environment(settings),
        input="".join(json.dumps(text) + "\n" for text in texts),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
