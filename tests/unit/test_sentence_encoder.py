"""The sentence encoder: its vectors, the pinning of its files, and its silence."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sentence_encoder import DIMENSIONS, ModelFileError, SentenceEncoder, from_base64, to_base64
from sentence_encoder.encoder import MODEL_FILE, QUESTIONS, RED_FLAGS, TOKENIZER_FILE, TOKENIZER_SHA256, Model

ROOT = Path(__file__).resolve().parents[2]

# Cosines that the shipped model gave when it was written; how near it is to float32 stands in its provenance.
PARAPHRASES = [
    ("When can I put on makeup again?", "how long till i can use foundation after the session", 0.615),
    ("Is my face supposed to be this red?", "The skin looks like a sunburn, is that normal?", 0.538),
    ("Does it hurt?", "Will the needles be painful?", 0.727),
    ("How much does one session cost?", "What is the price of a treatment?", 0.723),
]
UNRELATED = [
    ("When can I put on makeup again?", "Where can I park my car?", 0.208),
    ("Is my face supposed to be this red?", "What is the price of a treatment?", 0.13),
    ("Does it hurt?", "Please cancel my booking on Friday.", 0.064),
    ("How much does one session cost?", "My sister plays the violin.", -0.027),
]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder.load()


def cosine(encoder: SentenceEncoder, one: str, other: str) -> float:
    first, second = encoder.encode([one, other])
    return float(first @ second)


@pytest.mark.parametrize(("one", "other", "exact"), PARAPHRASES + UNRELATED)
def test_the_model_says_about_two_sentences_what_it_said_when_it_was_written(
    encoder: SentenceEncoder, one: str, other: str, exact: float
) -> None:
    assert cosine(encoder, one, other) == pytest.approx(exact, abs=0.01)


def test_every_paraphrase_is_closer_than_every_unrelated_pair(encoder: SentenceEncoder) -> None:
    alike = [cosine(encoder, one, other) for one, other, _ in PARAPHRASES]
    unlike = [cosine(encoder, one, other) for one, other, _ in UNRELATED]
    assert min(alike) > max(unlike) + 0.3


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t ",
        "?",
        "a",
        "\u200b",
        "\ud83d",
        "🙂",
        "x" * 4096,
        "is it normal " * 315,
        "boleh saya makan?",
        "\x00",
    ],
    ids=[
        "empty",
        "blank",
        "mark",
        "letter",
        "invisible",
        "surrogate",
        "emoji",
        "one word",
        "long",
        "malay",
        "nul",
    ],
)
def test_any_text_has_a_vector_of_unit_length(encoder: SentenceEncoder, text: str) -> None:
    vectors = encoder.encode([text])
    assert vectors.shape == (1, DIMENSIONS)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)


def test_no_texts_give_no_rows(encoder: SentenceEncoder) -> None:
    assert encoder.encode([]).shape == (0, DIMENSIONS)


def test_one_text_without_a_list_is_refused_instead_of_read_letter_by_letter(
    encoder: SentenceEncoder,
) -> None:
    with pytest.raises(TypeError, match="list"):
        encoder.encode("Does it hurt?")


def test_a_sentence_has_the_same_vector_whatever_is_encoded_with_it(encoder: SentenceEncoder) -> None:
    (alone,) = encoder.encode(["Does it hurt?"])
    together = encoder.encode(["is it normal " * 300, "Does it hurt?", "", "Does it hurt?"])
    assert np.abs(together[[1, 3]] - alone).max() < 1e-5


def test_vectors_come_in_the_order_of_the_texts(encoder: SentenceEncoder) -> None:
    texts = [f"{'very ' * ((7 * number) % 23)}sore after {number} days" for number in range(30)]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert np.abs(encoder.encode(texts) - alone).max() < 1e-5


def test_capitals_do_not_matter(encoder: SentenceEncoder) -> None:
    assert cosine(encoder, "DOES IT HURT?", "does it hurt?") == pytest.approx(1, abs=1e-6)


def test_what_stands_after_128_word_pieces_is_still_read(encoder: SentenceEncoder) -> None:
    opening = "the nurse was kind and the room was clean " * 15
    assert cosine(encoder, opening, opening + "but now there is yellow pus and I have a fever") < 0.999


def test_two_threads_give_the_vectors_of_one(encoder: SentenceEncoder) -> None:
    texts = [one for one, _, _ in PARAPHRASES]
    assert np.abs(SentenceEncoder.load(threads=2).encode(texts) - encoder.encode(texts)).max() < 1e-5


def test_a_vector_survives_the_wire_bit_by_bit(encoder: SentenceEncoder) -> None:
    (vector,) = encoder.encode(["Does it hurt?"])
    assert np.array_equal(from_base64(to_base64(vector)), vector)


def test_the_wire_format_is_little_endian_float32() -> None:
    raw = base64.b64decode(to_base64([1.0] + [0.0] * (DIMENSIONS - 1)))
    assert raw == bytes.fromhex("0000803f") + bytes(4 * (DIMENSIONS - 1))


@pytest.mark.parametrize("length", [0, 1, DIMENSIONS - 1, DIMENSIONS + 1])
def test_a_vector_of_another_length_is_neither_sent_nor_received(length: int) -> None:
    with pytest.raises(ValueError, match=str(DIMENSIONS)):
        to_base64(np.zeros(length, dtype=np.float32))
    with pytest.raises(ValueError, match=str(4 * DIMENSIONS)):
        from_base64(base64.b64encode(bytes(4 * length)).decode())


@pytest.mark.parametrize("text", ["not base64!", "é" * 2048, "AAAAA"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        from_base64(text)


def test_a_vector_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        from_base64(to_base64(np.full(DIMENSIONS, np.nan, dtype=np.float32)))


def test_the_digest_is_that_of_the_model_file(encoder: SentenceEncoder) -> None:
    assert encoder.digest == hashlib.sha256((QUESTIONS.folder / MODEL_FILE).read_bytes()).hexdigest()


@pytest.mark.parametrize("name", [MODEL_FILE, TOKENIZER_FILE])
def test_a_changed_file_of_the_model_is_not_loaded(tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(QUESTIONS.folder, tmp_path / "model")
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(ModelFileError, match=rf"{name} has sha256 .* expected .*git checkout"):
        SentenceEncoder.load(model=Model(folder, QUESTIONS.sha256))


def test_a_missing_model_is_named_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=rf"{MODEL_FILE} cannot be read .*git checkout"):
        SentenceEncoder.load(model=Model(tmp_path, QUESTIONS.sha256))


@pytest.mark.parametrize(("model", "least"), [(QUESTIONS, 0.999), (RED_FLAGS, 0.99)], ids=["questions", "red flags"])
def test_the_provenance_tells_of_the_files_that_are_there(model: Model, least: float) -> None:
    provenance = json.loads((model.folder / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["files"] == {MODEL_FILE: model.sha256, TOKENIZER_FILE: TOKENIZER_SHA256}
    assert provenance["published_files"]["tokenizer.json"] == TOKENIZER_SHA256
    assert provenance["training"]["agreement_of_8_bits"]["least"] > least
    assert (model.folder / "LICENSE").is_file()


@pytest.mark.parametrize("model", [QUESTIONS, RED_FLAGS])
def test_the_weights_are_in_eight_bits(model: Model) -> None:
    graph = onnx.load(model.folder / MODEL_FILE).graph
    sizes = {weight.name: len(weight.raw_data) for weight in graph.initializer if weight.name.endswith(".int8")}
    assert len(sizes) == 1 + 4 * 6  # the words, and four dense layers in each of six layers
    assert (model.folder / MODEL_FILE).stat().st_size < 1.1 * sum(sizes.values())


def test_no_sum_of_the_model_that_both_processes_read_is_in_eight_bits_so_that_they_agree() -> None:
    operators = {node.op_type for node in onnx.load(QUESTIONS.folder / MODEL_FILE).graph.node}
    assert "MatMul" in operators
    assert not {name for name in operators if "Quantize" in name or "Integer" in name}


def test_no_sum_in_eight_bits_can_overflow_on_a_processor_that_adds_two_products_in_sixteen() -> None:
    graph = onnx.load(RED_FLAGS.folder / MODEL_FILE).graph
    stored = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == 4 * 6
    for node in products:
        assert 2 * 255 * int(np.abs(stored[node.input[1]].astype(int)).max()) < 2**15


def test_a_padded_or_accompanied_text_has_the_vector_that_it_has_alone() -> None:
    encoder = SentenceEncoder.load(model=RED_FLAGS)
    texts = ["my lips are swollen", "boleh mandi tak malam ni, semalam baru buat rawatan dan muka masih merah sikit je"]
    together = encoder.encode(texts)
    for row, text in enumerate(texts):
        assert float(together[row] @ encoder.encode([text])[0]) > 0.999


def test_loading_the_model_reports_nothing_to_the_maker_of_the_runtime(tmp_path: Path) -> None:
    kept = {key: value for key, value in os.environ.items() if key not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    program = "import sentence_encoder as s; s.SentenceEncoder.load().encode(['Does it hurt?'])"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=kept | home, check=True, timeout=60)
    assert list(tmp_path.rglob("*")) == []
