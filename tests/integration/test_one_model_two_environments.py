"""App and engine run different versions of Python, numpy and onnxruntime; a vector means the same in both."""

import json
import subprocess
from pathlib import Path

from sentence_encoder import SentenceEncoder, from_base64

ROOT = Path(__file__).resolve().parents[2]
ENGINE_PYTHON = ROOT / "engine" / ".venv" / "bin" / "python"

IN_THE_ENGINE = """
import json, sys
from sentence_encoder import SentenceEncoder, to_base64
encoder = SentenceEncoder.load()
vectors = [to_base64(vector) for vector in encoder.encode(json.load(sys.stdin))]
json.dump({"digest": encoder.digest, "vectors": vectors}, sys.stdout)
"""

SENTENCES = [
    "",
    "hi",
    "ok thanks",
    "Does it hurt?",
    "how long must i stay out of the sun",
    "can i wear makeup tomorrow for my cousin's wedding??",
    "I had my session two days ago and my cheeks still feel hot and tight.",
    "My face is swollen, there is yellow fluid and I feel feverish.",
    "There's spreading redness round one spot, it throbs, and my neck glands are up.",
    "am i allowed to go swimming",
    "Stop retinol before or after?",
    "What needle length for home use, 0.2 or 0.25 mm?",
    "Which one is better for acne scars: RF, PRP or the plain pen?",
    "How much is the roller kit and do you still have it?",
    "I'm 24 weeks pregnant.",
    "I take blood thinners and aspirin every morning",
    "can my 15 year old daughter come too",
    "I would like to talk to a real nurse please.",
    "are you a robot",
    "bila boleh cuci muka lepas rawatan?",
    "muka saya merah dan gatal sejak semalam",
    "sakit tak treatment ni",
    "我可以化妆吗",
    "😭😭 its peeling everywhere",
    "x",
    "12345 67890",
    "Please move my Friday appointment to next Tuesday at half past three.",
    "The recipe wants two eggs, a cup of flour and a pinch of salt.",
    "one step after another " * 20,
    "It was red on the first day, less so on the second, nearly gone on the third, and today it is back. " * 12,
]


def test_the_engine_gives_a_sentence_the_vector_that_the_app_gives_it() -> None:
    assert ENGINE_PYTHON.exists(), f"{ENGINE_PYTHON} is missing: install engine/requirements.lock into engine/.venv"
    answer = subprocess.run(
        [str(ENGINE_PYTHON), "-c", IN_THE_ENGINE],
        cwd=ROOT,
        input=json.dumps(SENTENCES),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    engine = json.loads(answer.stdout)
    app = SentenceEncoder.load()
    assert engine["digest"] == app.digest
    for sentence, ours, theirs in zip(SENTENCES, app.encode(SENTENCES), engine["vectors"], strict=True):
        assert float(ours @ from_base64(theirs)) >= 0.999, sentence
