"""What the classifier learns, what it keeps, and where its examples come from."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from rasa.core.agent import Agent
from rasa.core.channels.channel import UserMessage
from rasa.engine.graph import ExecutionContext, GraphSchema
from rasa.engine.storage.local_model_storage import LocalModelStorage
from rasa.engine.storage.resource import Resource
from rasa.shared.exceptions import RasaException
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData

from needlepoint_engine.action_call import CallingAppEndpoint
from needlepoint_engine.importer import FaqWordingsImporter, faq_examples
from needlepoint_engine.intent_classifier import HybridIntentClassifier
from needlepoint_engine.sentence_embedder import SentenceEmbedder
from needlepoint_engine.turn_processor import TurnProcessor

SMALL_PROJECT = Path(__file__).parent / "small_project"
CONTEXT = ExecutionContext(GraphSchema({}), node_name="tested")
EXAMPLES = {
    "ask_pain": ["does it hurt", "is it painful", "will i feel the needles"],
    "ask_aftercare": ["when can i wear makeup", "may i swim", "sunscreen after the session"],
    "chitchat_greet": ["hello", "good morning"],
    "choose": ["i pressed the button", "this one please"],
}


@pytest.fixture
def storage(tmp_path: Path) -> LocalModelStorage:
    (tmp_path / "model").mkdir()
    return LocalModelStorage.create(tmp_path / "model")


def trained(
    storage: LocalModelStorage, examples: dict[str, list[str]]
) -> tuple[SentenceEmbedder, HybridIntentClassifier]:
    embedder = SentenceEmbedder.create({"alias": None}, storage, Resource("embedder"), CONTEXT)
    data = TrainingData([Message.build(text, intent) for intent, texts in examples.items() for text in texts])
    embedder.train(data)
    classifier = HybridIntentClassifier.create({}, storage, Resource("classifier"), CONTEXT)
    classifier.train(embedder.process_training_data(data))
    return embedder, classifier


def ranking(embedder: SentenceEmbedder, classifier: HybridIntentClassifier, text: str) -> list[dict[str, Any]]:
    (message,) = classifier.process(embedder.process([Message.build(text)]))
    return list(message.get("intent_ranking"))


def test_a_loaded_model_ranks_as_the_trained_one(storage: LocalModelStorage) -> None:
    embedder, classifier = trained(storage, EXAMPLES)
    loaded = HybridIntentClassifier.load({}, storage, Resource("classifier"), CONTEXT)
    embedder_again = SentenceEmbedder.load({"alias": None}, storage, Resource("embedder"), CONTEXT)
    for text in ("is it sore?", "MAKEUP?", "zzz", "\U0001f600"):
        assert ranking(embedder_again, loaded, text) == ranking(embedder, classifier, text)


def test_training_twice_gives_the_same_model(storage: LocalModelStorage, tmp_path: Path) -> None:
    first = ranking(*trained(storage, EXAMPLES), "is it sore?")
    (tmp_path / "again").mkdir()
    assert ranking(*trained(LocalModelStorage.create(tmp_path / "again"), EXAMPLES), "is it sore?") == first


def test_every_intent_is_ranked_and_the_pressed_button_never(storage: LocalModelStorage) -> None:
    guesses = ranking(*trained(storage, EXAMPLES), "i pressed the button")
    assert sorted(guess["name"] for guess in guesses) == ["ask_aftercare", "ask_pain", "chitchat_greet"]
    assert sum(guess["confidence"] for guess in guesses) == pytest.approx(1)


def test_words_and_meaning_both_count(storage: LocalModelStorage) -> None:
    models = trained(storage, EXAMPLES)
    assert ranking(*models, "wen can i waer makup")[0]["name"] == "ask_aftercare"
    assert ranking(*models, "is this going to be agony")[0]["name"] == "ask_pain"


def test_two_intents_are_enough(storage: LocalModelStorage) -> None:
    models = trained(storage, {intent: EXAMPLES[intent] for intent in ("ask_pain", "ask_aftercare")})
    assert ranking(*models, "is it painful")[0]["name"] == "ask_pain"
    assert ranking(*models, "may i swim")[0]["name"] == "ask_aftercare"


def test_one_intent_is_not_enough(storage: LocalModelStorage) -> None:
    with pytest.raises(RasaException, match="at least two intents"):
        trained(storage, {"ask_pain": EXAMPLES["ask_pain"]})


def test_a_model_of_another_encoder_is_refused(storage: LocalModelStorage) -> None:
    trained(storage, EXAMPLES)
    with storage.write_to(Resource("embedder")) as folder:
        (folder / "encoder.sha256").write_text("0" * 64)
    with pytest.raises(RasaException, match="Train the model again"):
        SentenceEmbedder.load({"alias": None}, storage, Resource("embedder"), CONTEXT)


def test_reading_messages_leaves_no_words_behind(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    loaded = Agent.load("var/models/needlepoint.tar.gz").processor
    processor = TurnProcessor.taking_over(loaded, CallingAppEndpoint("secret"))
    (words,) = processor._spacy_pipelines
    asyncio.run(processor.parse_message(UserMessage("makeup?")))
    known = len(words.vocab.strings)
    for name in ("Zubaidah", "Przemysław", "Nguyễn"):
        parsed = asyncio.run(processor.parse_message(UserMessage(f"I am {name}, makeup?")))
        assert [found["value"] for found in parsed["entities"]] == ["makeup"]
    assert "Zubaidah" not in words.vocab.strings
    assert len(words.vocab.strings) == known


def test_the_wordings_of_the_answers_join_the_examples() -> None:
    importer = FaqWordingsImporter(
        str(SMALL_PROJECT / "config.yml"), str(SMALL_PROJECT / "domain.yml"), [str(SMALL_PROJECT / "data")]
    )
    examples = {(m.get("text"), m.get("intent")) for m in importer.get_nlu_data().intent_examples}
    assert ("bila boleh pakai mekap", "ask_aftercare") in examples
    assert ("does it hurt", "ask_pain") in examples
    assert ("hello", "chitchat_greet") in examples


def test_other_folders_beside_rasas_own_are_not_read_as_stories(tmp_path: Path) -> None:
    for folder in ("nlu", "rules", "safety"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    rules = (SMALL_PROJECT / "data/rules/rules.yml").read_bytes()
    (tmp_path / "data/rules/rules.yml").write_bytes(rules)
    (tmp_path / "data/safety/fever.yml").write_text("rules:\n- finding: fever\n")
    importer = FaqWordingsImporter(
        str(tmp_path / "config.yml"), str(SMALL_PROJECT / "domain.yml"), [str(tmp_path / "data")]
    )
    assert {step.block_name for step in importer.get_stories().story_steps} >= {"small talk"}


@pytest.mark.parametrize(
    ("topic", "intent"),
    [("urgent", "report_symptom"), ("human", "ask_human"), ("side_effects", "ask_side_effects")],
)
def test_a_topic_gives_its_intent(tmp_path: Path, topic: str, intent: str) -> None:
    path = tmp_path / "topic.yml"
    path.write_text(f"topic: {topic}\nentries:\n- id: a\n  wordings: {{en: [pus]}}\n")
    assert list(faq_examples(path)) == [(intent, "pus")]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("entries: []\n", ":1: must have a `topic`"),
        ("topic: pain\nentries:\n- id: a\n  wordings: {en: [x]}\n- id: b\n", ":5: entry b needs `wordings`"),
        ("topic: pain\nentries:\n- id: a\n  wordings: {en: [5]}\n", ":3: entry a has a wording that is not a text"),
        ("topic: [\n", "cannot be read as YAML"),
    ],
)
def test_wrong_wordings_are_named_by_file_and_line(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "pain.yml"
    path.write_text(content)
    with pytest.raises(RasaException) as refused:
        list(faq_examples(path))
    assert str(refused.value).startswith(str(path))
    assert complaint in str(refused.value)
