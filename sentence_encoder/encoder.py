"""Turns sentences into vectors of unit length whose dot product says how alike they are in meaning.

Both processes import this module, so it keeps to what Python 3.10 and numpy 1.22 already have. It reads two
files beside it and never the network.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

MODEL_FILE = "model.int8.onnx"
TOKENIZER_FILE = "tokenizer.json"
#: The publisher's own file, unchanged, in each model's folder.
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

DIMENSIONS = 384
#: The length the publisher gives the model, in word pieces; what stands behind it is not read.
LONGEST = 256
#: Sentences that run together; more are not faster, and memory grows with their number.
BATCH = 8

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """A trained network: the folder it lies in, and the sha256 of its file as the training printed it."""

    folder: Path
    sha256: str


#: What questions mean (`fine_tune.py`).
QUESTIONS = Model(
    Path(__file__).resolve().parent / "needlepoint-MiniLM-L6",
    "07ad5293599c4e807d4203cd91bef4808aaebaa4b186e5a8bf6d6de1bf713329",
)
#: What tells a red flag from what only looks like one (`fine_tune_red_flags.py`).
RED_FLAGS = Model(
    Path(__file__).resolve().parent / "red-flags-MiniLM-L6",
    "87858336d183d8a80e21b4c736f7a5281a6217002ad846f75a9626d2c3b3c65d",
)


class ModelFileError(RuntimeError):
    """A file of the model is missing or is not the one that this version was made for."""


class SentenceEncoder:
    """A network of the MiniLM kind with its weights in 8 bits. May be used from several threads at once."""

    def __init__(self, session: onnxruntime.InferenceSession, tokenizer: Tokenizer, digest: str) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._digest = digest

    @classmethod
    def load(cls, threads: int = 1, *, model: Model = QUESTIONS) -> SentenceEncoder:
        """Read the model with at most `threads` threads for one sentence; raises ModelFileError."""
        folder = model.folder
        _verified(folder / MODEL_FILE, model.sha256)
        tokenizer = Tokenizer.from_str(_verified(folder / TOKENIZER_FILE, TOKENIZER_SHA256).decode())
        # The publisher's file cuts and pads every sentence to 128 pieces, its model description says 256.
        tokenizer.no_padding()
        tokenizer.enable_truncation(LONGEST)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A thread that waits for work must not keep a core from the other process.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(str(folder / MODEL_FILE), options, providers=["CPUExecutionProvider"])
        _give_back_memory()
        return cls(session, tokenizer, model.sha256)

    @property
    def digest(self) -> str:
        """sha256 of the model file, hexadecimal: vectors of equal digest may be compared."""
        return self._digest

    def encode(self, texts: Sequence[str]) -> Vectors:
        """A row of DIMENSIONS float32 of unit length for each text, in order; an empty text has a row too."""
        if isinstance(texts, str):
            raise TypeError("encode takes a list of texts; put the one text into a list")
        # Half of a surrogate pair can arrive in JSON, and the tokenizer would refuse it: hence the replacing.
        pieces = [self._tokenizer.encode(text.encode("utf-8", "replace").decode()).ids for text in texts]
        by_length = sorted(range(len(texts)), key=lambda row: len(pieces[row]))
        vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        for start in range(0, len(texts), BATCH):
            rows = by_length[start : start + BATCH]
            ids = np.zeros((len(rows), len(pieces[rows[-1]])), dtype=np.int64)
            mask = np.zeros_like(ids)
            for line, row in enumerate(rows):
                ids[line, : len(pieces[row])] = pieces[row]
                mask[line, : len(pieces[row])] = 1
            (vectors[rows],) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return vectors


def continued(before: str, text: str) -> str:
    """A message behind the question that was answered before it, as the model of questions learnt to read both."""
    return f"{before} [SEP] {text}"


def to_base64(vector: npt.ArrayLike) -> str:
    """The vector as it travels between the processes: DIMENSIONS little-endian float32 in base64."""
    values = np.asarray(vector, dtype="<f4")
    if values.shape != (DIMENSIONS,):
        raise ValueError(f"a sentence vector is one row of {DIMENSIONS} numbers, not of shape {values.shape}")
    return base64.b64encode(values.tobytes()).decode("ascii")


def from_base64(text: str) -> Vectors:
    """The reverse of `to_base64`; ValueError when the text is not DIMENSIONS finite float32."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a sentence vector on the wire is base64, this is not") from error
    if len(raw) != 4 * DIMENSIONS:
        raise ValueError(f"a sentence vector on the wire has {4 * DIMENSIONS} bytes, this has {len(raw)}")
    vector = np.frombuffer(raw, dtype="<f4").astype(np.float32)
    if not np.isfinite(vector).all():
        raise ValueError("a sentence vector on the wire holds finite numbers only, this does not")
    return vector


def _verified(path: Path, sha256: str) -> bytes:
    mend = f"restore it from the repository (git checkout -- {path}) or convert it again, see its README.md"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}): {mend}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelFileError(f"{path} has sha256 {found}, expected {sha256}: {mend}")
    return content


def _give_back_memory() -> None:
    """Ask the C library for what reading a model has left behind: 100 MB of 160 that glibc would keep for later."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own; musl keeps nothing
        if trim is not None:
            trim(0)
