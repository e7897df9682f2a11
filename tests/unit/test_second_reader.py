"""The second reader: what it may do beside the rules, and that model, heads and examples belong together."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from needlepoint.faq.files import read_folder
from needlepoint.safety import RuleFileError, SafetyRules, answered_yes, assess, clean_text
from needlepoint.safety.second_reader import END_CHARACTERS, read_examples, windows
from needlepoint.settings import ROOT

FOLDER = ROOT / "data" / "safety"


@pytest.fixture(scope="module")
def rules() -> SafetyRules:
    return SafetyRules.load(FOLDER)


def test_it_raises_red_flags_that_no_rule_knows_and_says_that_it_did(rules: SafetyRules) -> None:
    raised = []
    for one in read_examples(FOLDER / "examples.jsonl")[::30]:
        found = assess(rules, one.text)
        if "second-reader" in {rule for finding in found.findings for rule in finding.rules}:
            raised.append((one, found))
    assert raised, "else it would be dead weight"
    for one, found in raised:
        assert found.level in ("same_day", "emergency_now") and found.cards
        assert len(found.findings) == 1 or all(f.level != found.level for f in found.findings[1:]), one.text


@pytest.mark.parametrize("text", ["I can not breathe", "tongue swelling!!", "bibir saya bengkak"])
def test_a_red_flag_in_plain_words_is_one_however_short(rules: SafetyRules, text: str) -> None:
    assert assess(rules, text).level == "emergency_now"


def test_in_doubt_it_names_the_card_to_ask_after_and_raises_nothing(rules: SafetyRules) -> None:
    doubted = [
        found for one in read_examples(FOLDER / "examples.jsonl")[::30] if (found := assess(rules, one.text)).doubt
    ]
    assert doubted
    for found in doubted:
        assert found.level in ("none", "contact_clinic")
        assert answered_yes(rules, found.doubt).cards == (found.doubt,)


def test_a_yes_to_the_safety_question_is_that_cards_usual_level(rules: SafetyRules) -> None:
    for card in rules.cards:
        confirmed = answered_yes(rules, card)
        assert confirmed.level != "none" and confirmed.findings[0].rules == ("safety-question",), card
    assert answered_yes(rules, "makeup-after").level == "none"


def test_examples_that_changed_after_the_training_are_refused_with_the_mend(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "safety")
    with (tmp_path / "safety" / "examples.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "one more", "level": "none", "card": ""}\n')
    with pytest.raises(RuleFileError, match=r"was changed after the reader was trained; run .*fine_tune_red_flags"):
        SafetyRules.load(tmp_path / "safety")


def test_heads_of_another_model_are_refused_with_the_mend(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "safety")
    with np.load(FOLDER / "second_reader.npz") as stored:
        others = dict(stored) | {"encoder": np.array("0" * 64)}
    np.savez(tmp_path / "safety" / "second_reader.npz", **others)
    with pytest.raises(RuleFileError, match=r"belongs to another sentence model; run .*fine_tune_red_flags"):
        SafetyRules.load(tmp_path / "safety")


@pytest.mark.parametrize(("line", "problem"), [("no json", "Expecting"), ('{"text": "x"}', "level"), ("[]", "list")])
def test_a_wrong_example_is_named_with_its_line(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "examples.jsonl"
    file.write_text('{"text": "fine", "level": "none", "card": ""}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(RuleFileError, match=f"examples.jsonl:2: .*{problem}"):
        read_examples(file)


def test_a_long_text_is_read_in_parts_and_a_very_long_one_at_both_ends() -> None:
    assert windows("only a few words") == ["only a few words"]
    assert len(windows("word " * 100)) == 4
    text = "begin " + "x" * 4000 + " end"
    joined = " ".join(windows(text))
    assert "begin" in joined and joined.endswith("end") and len(joined) <= 2 * END_CHARACTERS + 1


def test_what_it_must_not_alarm_at_are_stored_wordings_of_harmless_answers_and_nothing_else(rules: SafetyRules) -> None:
    listed = (FOLDER / "harmless.txt").read_text(encoding="utf-8").splitlines()
    items = [item for item in read_folder(ROOT / "data" / "faq") if item.topic != "urgent"]
    stored = {text for item in items for texts in item.entry.wordings.values() for text in texts}
    stored |= {text.question for item in items for text in item.entry.version.texts.values()}
    assert set(listed) <= {clean_text(text).strip() for text in stored}
    for text in listed:
        found = assess(rules, text.upper())
        assert found.level in ("none", "contact_clinic") and not found.doubt, text
