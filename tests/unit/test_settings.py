"""The operator's settings and the clinic's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from needlepoint.clinic import PLACEHOLDERS, read_clinic
from needlepoint.located import FileError
from needlepoint.phrases import read_phrases
from needlepoint.settings import ENVIRONMENT_PREFIX, ROOT, Settings, SettingsError, read_settings, with_secrets


def test_every_setting_is_documented() -> None:
    documented = (ROOT / "docs" / "settings.md").read_text()
    for name in Settings.__struct_fields__:
        assert f"`{ENVIRONMENT_PREFIX}{name.upper()}`" in documented, name


def test_every_placeholder_is_documented_and_has_a_value_or_is_known_to_be_unset() -> None:
    documented = (ROOT / "docs" / "answers.md").read_text()
    clinic = read_clinic(ROOT / "clinic.toml")
    for name in PLACEHOLDERS:
        assert f"{{{name}}}" in documented, name
        assert name in clinic.values() or name in {"reads_live", "treatments_offered"}


def test_an_unset_value_is_said_to_be_unknown_and_never_invented() -> None:
    phrases = read_phrases(ROOT / "data" / "phrases", read_clinic(ROOT / "clinic.toml"))
    assert phrases.fill("A session costs {price_session}.", "en") == (
        f"A session costs {phrases.say('value_unset', 'en')}."
    )
    assert "RM 228" in phrases.fill("The kit costs {price_home_kit}.", "en")


def test_words_of_the_clinic_come_in_the_language_of_the_answer(tmp_path: Path) -> None:
    clinic = read_clinic(ROOT / "clinic.toml")
    assert "24-hour clinic" in str(clinic.values("en")["out_of_hours"])
    assert "klinik 24 jam" in str(clinic.values("ms")["out_of_hours"])
    assert clinic.values("ta")["out_of_hours"] == clinic.values("en")["out_of_hours"]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('currency = "RM"\n', "", "set `currency`"),
        ("home_kit = 228", "home_kit = -1", r"prices"),
        ("crisis_lines = [", "crisis_lines = []  # [", "crisis_lines"),
        ("[[branches]] ", '[[branches]]\nfax = "1"\n#', "fax"),
        ('treatments = ["clinic_microneedling"', 'treatments = ["laser"', "treatments"),
        ("home_kit = 228", "price_of_kit = 228", "price_of_kit"),
        ("hours = { en = ", "hours = { english = ", "hours"),
    ],
)
def test_a_wrong_value_of_the_clinic_is_named_with_its_line(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    text = (ROOT / "clinic.toml").read_text()
    assert old in text
    file = tmp_path / "clinic.toml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(FileError, match=complaint) as error:
        read_clinic(file)
    assert str(error.value).startswith(f"{file}:")


def test_a_price_is_a_number_with_the_currency_or_words(tmp_path: Path) -> None:
    file = tmp_path / "clinic.toml"
    file.write_text(
        (ROOT / "clinic.toml").read_text().replace("home_kit = 228", 'home_kit = 1228.5\nsession = "ask us"')
    )
    values = read_clinic(file).values()
    assert (values["price_home_kit"], values["price_session"]) == ("RM 1,228.50", "ask us")


def test_secrets_are_made_once_and_readable_by_nobody_else(tmp_path: Path) -> None:
    environment = {"NEEDLEPOINT_VAR_DIR": str(tmp_path / "var")}
    first = with_secrets(read_settings(environment))
    assert len(first.secret_key) >= 32 and first.secret_key != first.engine_secret
    assert with_secrets(read_settings(environment)) == first
    for name in ("secret_key", "engine_secret"):
        assert (tmp_path / "var" / name).stat().st_mode & 0o077 == 0


def test_an_unknown_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="NEEDLEPOINT_DATABASE is no setting"):
        read_settings({"NEEDLEPOINT_DATABASE": "sqlite:///x"})


def test_a_phrase_missing_in_one_language_is_named(tmp_path: Path) -> None:
    clinic = read_clinic(ROOT / "clinic.toml")
    for language in clinic.languages:
        text = (ROOT / "data" / "phrases" / f"{language}.yml").read_text()
        (tmp_path / f"{language}.yml").write_text(text + ("extra: more\n" if language == "en" else ""))
    with pytest.raises(ValueError, match=r"extra.*ms|ms\.yml.*extra"):
        read_phrases(tmp_path, clinic)
