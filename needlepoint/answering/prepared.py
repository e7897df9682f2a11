"""The answerer this process uses, kept up to date with the database by revision number."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from needlepoint.answering.answerer import Answerer
from needlepoint.answering.ranking import EntryClassifier, Ranker, read_weights
from needlepoint.clinic import read_clinic
from needlepoint.db.connect import READS_ONLY, connect
from needlepoint.faq.published import Published, read_published, revision_of
from needlepoint.faq.search import Encoder, SearchIndex, VectorCache
from needlepoint.phrases import Phrases, read_phrases
from needlepoint.settings import Settings, read_settings
from sentence_encoder import SentenceEncoder

log = logging.getLogger(__name__)

#: Seconds between looks for changed answers: a withdrawal must hold everywhere within 5.
LOOK_EVERY = 1.0


class PreparedAnswers:
    """Holds the answerer of the newest revision that could be read; swaps it whole, so readers need no lock."""

    def __init__(self, settings: Settings, phrases: Phrases, encoder: Encoder, engine: Engine) -> None:
        self._settings = settings
        self._phrases = phrases
        self._encoder = encoder
        self._engine = engine
        self._cache = VectorCache(settings.var / "cache" / "wording-vectors.npz")
        self._classifier = EntryClassifier.load(settings.data / "ranking" / "classifier.npz", encoder.digest)
        self.weights = read_weights(settings.data / "ranking" / "weights.json", self._classifier)
        self._lock = threading.Lock()
        self._day: object = None
        self.answerer: Answerer | None = None

    @property
    def encoder_digest(self) -> str:
        """Hash of the sentence model."""
        return self._encoder.digest

    @property
    def published(self) -> Published | None:
        """What may be given now, None before the first successful reading."""
        return self.answerer.index.published if self.answerer else None

    def refresh(self) -> bool:
        """Read the answers again if they changed or a new day began (answers expire by date).

        Returns whether there was something new. Blocks; raises what the database raises, and then the last answers
        stay in use.
        """
        today = datetime.now(self._phrases.clinic.zone).date()
        with self._lock, self._engine.connect().execution_options(**READS_ONLY) as connection:
            known = self.published.revision if self.published is not None and self._day == today else None
            if known is not None and revision_of(connection) == known:
                return False
            published = read_published(connection, today, self._settings.unapproved_answers == "give")
            index = SearchIndex(published, self._encoder, self._cache)
            self.answerer = Answerer(index, self._phrases, Ranker(index, self._classifier, self.weights))
            self._day = today
        log.info(
            "answers ready: revision %s, %s entries, %s of them not yet approved",
            published.revision,
            len(published.entries),
            published.unapproved,
        )
        return True

    def with_draft(self, entry_id: str) -> Answerer:
        """The answerer that there would be if the newest version of an entry were approved. Changes nothing; takes
        seconds. Blocks; raises what the database raises."""
        today = datetime.now(self._phrases.clinic.zone).date()
        with self._engine.connect().execution_options(**READS_ONLY) as connection:
            give_unapproved = self._settings.unapproved_answers == "give"
            published = read_published(connection, today, give_unapproved, trying=entry_id)
        index = SearchIndex(published, self._encoder, self._cache.unchanged())
        return Answerer(index, self._phrases, Ranker(index, self._classifier, self.weights))


_prepared: PreparedAnswers | None = None

#: Answerers that stand in for the usual one in calls that name them.
_stand_ins: dict[str, Answerer] = {}
_named: ContextVar[Answerer | None] = ContextVar("answerer", default=None)

#: When a stand-alone action server last looked for changes; None where the app does that.
_looked: float | None = None


def use(prepared: PreparedAnswers) -> None:
    """Make the actions of this process use these answers."""
    global _prepared
    _prepared = prepared


@contextmanager
def standing_in(one: Answerer) -> Iterator[str]:
    """Let action calls use `one` that carry the name this gives; all others go on using what patients get."""
    name = secrets.token_urlsafe(16)
    _stand_ins[name] = one
    try:
        yield name
    finally:
        del _stand_ins[name]


@contextmanager
def called_with(name: str) -> Iterator[None]:
    """Answer as the stand-in `name` within this call. Raises KeyError where it is over or another process's."""
    before = _named.set(_stand_ins[name])
    try:
        yield
    finally:
        _named.reset(before)


def answerer() -> Answerer:
    """The answerer for the actions: in a call that names a stand-in, that one.

    The app keeps it fresh; a stand-alone action server prepares its own on the first call and looks for changes at
    most once a second, when it is called.
    """
    global _prepared, _looked
    if (stand_in := _named.get()) is not None:
        return stand_in
    if _prepared is None:
        settings = read_settings()
        phrases = read_phrases(settings.data / "phrases", read_clinic(Path(settings.clinic_file)))
        _prepared = PreparedAnswers(settings, phrases, SentenceEncoder.load(), connect(settings.database))
        _looked = 0.0
    if _looked is not None and time.monotonic() - _looked >= LOOK_EVERY:
        _prepared.refresh()
        _looked = time.monotonic()
    if _prepared.answerer is None:
        raise RuntimeError("no answers have been read from the database yet")
    return _prepared.answerer
