"""What the spaCy pipeline and the extractor find in people's messages."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import spacy
from spacy.language import Language

from needlepoint_engine.lexicon_entities import entities_of
from needlepoint_engine.spacy_pipeline import LexiconError, build, main, pipeline_digest, read_lexicon, save

LEXICON = Path(__file__).parent / "small_project/data/lexicon.yml"


@pytest.fixture(scope="module")
def nlp(tmp_path_factory: pytest.TempPathFactory) -> Language:
    folder = tmp_path_factory.mktemp("spacy") / "words"
    assert main([str(LEXICON), str(folder)]) == 0
    return spacy.load(folder)


def found(nlp: Language, text: str) -> list[tuple[str, str, str]]:
    return [(e["entity"], e["value"], text[e["start"] : e["end"]]) for e in entities_of(nlp(text))]


def days(nlp: Language, text: str) -> list[str]:
    return [value for entity, value, _ in found(nlp, text) if entity == "treatment_day"]


def test_a_phrase_gives_its_entity_and_canonical_value(nlp: Language) -> None:
    assert found(nlp, "Foundation after Micro Needling?") == [
        ("product", "makeup", "Foundation"),
        ("treatment", "clinic_microneedling", "Micro Needling"),
    ]


def test_a_device_also_says_which_treatment_is_meant(nlp: Language) -> None:
    assert found(nlp, "M8") == [("device", "morpheus8", "M8"), ("treatment", "rf_microneedling", "M8")]


def test_the_longest_phrase_of_an_entity_is_the_one_meant(nlp: Language) -> None:
    assert found(nlp, "my redness is spreading") == [("symptom", "spreading_redness", "redness is spreading")]
    assert found(nlp, "rf microneedling") == [("treatment", "rf_microneedling", "rf microneedling")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("micronedling", "clinic_microneedling"),
        ("dermarollers", "home_roller"),
        ("microneedeling", "clinic_microneedling"),
    ],
)
def test_a_slip_in_a_long_word_is_forgiven(nlp: Language, text: str, value: str) -> None:
    assert found(nlp, text) == [("treatment", value, text)]


@pytest.mark.parametrize(
    "text", ["I am needing advice", "how does it feel, any feeling?", "a rod", "marker", "spelling"]
)
def test_ordinary_words_are_not_taken_for_slips(nlp: Language, text: str) -> None:
    assert found(nlp, text) == []


def test_positions_are_those_of_the_original_text(nlp: Language) -> None:
    assert found(nlp, "İİİ \U0001f600 MAKEUP") == [("product", "makeup", "MAKEUP")]


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.25mm roller", "0.25 mm"), ("1,5 mm", "1.5 mm"), (".5 mm", "0.5 mm"), ("2 millimetres", "2 mm")],
)
def test_a_needle_length_is_written_one_way(nlp: Language, text: str, value: str) -> None:
    assert [v for entity, v, _ in found(nlp, text) if entity == "needle_length"] == [value]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Had it done 2 days ago, can I wear makeup?", "2 days ago"),
        ("it is a couple of days after my session", "a couple of days after"),
        ("2days post procedure", "2days post"),
        ("day 3 and still peeling", "day 3"),
        ("hari ke-3 masih merah", "hari ke-3"),
        ("dah 3 hari masih merah", "dah 3 hari"),
        ("i did it yesterday can i wear makeup today", "yesterday"),
        ("my appointment is on friday, retinol?", "on friday"),
        ("buat needling semalam boleh pakai mekap?", "semalam"),
        ("microneedling on 12/11/2026", "12/11/2026"),
        ("in 2 weeks i will have my session", "in 2 weeks"),
    ],
)
def test_the_day_of_treatment_is_found_as_it_was_said(nlp: Language, text: str, day: str) -> None:
    assert days(nlp, text) == [day]


@pytest.mark.parametrize(
    "text",
    [
        "can i wear makeup today",
        "can i exercise today after microneedling",
        "avoid sun for 3 days?",
        "wedding in 2 weeks",
    ],
)
def test_another_day_is_not_taken_for_the_day_of_treatment(nlp: Language, text: str) -> None:
    assert days(nlp, text) == []


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("can i wear makeup tomorrow", "tomorrow"),
        ("can i swim on friday?", "on friday"),
        ("makeup in 5 hours ok?", "in 5 hours"),
        ("my wedding is on 20 december", "20 december"),
        ("boleh berenang esok pagi tak", "esok pagi"),
        ("5 jam lagi boleh cuci muka?", "5 jam lagi"),
    ],
)
def test_another_day_is_found_as_a_day(nlp: Language, text: str, day: str) -> None:
    assert [value for entity, value, _ in found(nlp, text) if entity in {"day", "treatment_day"}] == [day]
    assert days(nlp, text) == []


def test_a_day_is_not_found_twice(nlp: Language) -> None:
    text = "had it yesterday evening, 2 days ago or on friday, and today?"
    spans = [(one["start"], one["end"]) for one in entities_of(nlp(text)) if one["entity"] in {"day", "treatment_day"}]
    assert len(spans) == len(set(spans)) == 4
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


def test_the_saved_pipeline_is_the_one_that_was_built(nlp: Language, tmp_path: Path) -> None:
    built = build(read_lexicon(LEXICON))
    assert pipeline_digest(nlp) == pipeline_digest(built)
    lexicon = read_lexicon(LEXICON)
    lexicon["product"]["makeup"].append("war paint")
    assert pipeline_digest(build(lexicon)) != pipeline_digest(nlp)
    save(built, tmp_path / "twice")
    save(built, tmp_path / "twice")
    assert found(spacy.load(tmp_path / "twice"), "makeup") == [("product", "makeup", "makeup")]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("- a\n", "must be a mapping"),
        ("product:\n  makeup: blush\n", ":2: product.makeup must be a list"),
        ("product:\n  makeup: [8]\n", ":2: product.makeup must be a list of phrases; quote numbers"),
        ("product:\n  makeup: [blush]\n  serum: [Blush]\n", ":3: 'Blush' stands under product.makeup and"),
        ("product: [\n", "cannot be read"),
    ],
)
def test_a_wrong_lexicon_is_refused_with_file_line_and_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, complaint: str
) -> None:
    path = tmp_path / "lexicon.yml"
    path.write_text(content)
    with pytest.raises(LexiconError, match=path.name):
        read_lexicon(path)
    assert main([str(path), str(tmp_path / "out")]) == 1
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
