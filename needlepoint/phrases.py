"""The fixed phrases: greetings, apologies, promises. One file a language, same keys in each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from needlepoint.clinic import PLACEHOLDERS, Clinic
from needlepoint.located import FileError, read_yaml

#: Placeholders that only a phrase may use; they are filled where the phrase is said.
SAID_WITH = ("date",)


class Phrases:
    """What the product says that is not an answer, in each language, with the clinic's values filled in."""

    def __init__(self, texts: Mapping[str, Mapping[str, str]], clinic: Clinic) -> None:
        self._texts = texts
        self.clinic = clinic

    @property
    def languages(self) -> list[str]:
        """The languages there are phrases for."""
        return list(self._texts)

    def language(self, wanted: str | None) -> str:
        """`wanted` if there are phrases for it, else the clinic's first language."""
        return wanted if wanted is not None and wanted in self._texts else self.clinic.languages[0]

    def say(self, key: str, language: str, **said_with: str) -> str:
        """The phrase `key`, ready to show. An unknown key is a programming error (KeyError)."""
        return self.fill(self._texts[self.language(language)][key], language, said_with)

    def fill(self, text: str, language: str, said_with: Mapping[str, str] | None = None) -> str:
        """`text` with its placeholders replaced; an unset value becomes the phrase `value_unset`."""
        language = self.language(language)
        values: dict[str, str | None] = {**self.clinic.values(), **(said_with or {})}

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name == "reads_live":
                return self._texts[language]["reads_live_yes" if self.clinic.reads_live else "reads_live_no"]
            if name not in values:
                return found[0]
            return values[name] or self._texts[language]["value_unset"]

        return re.sub(r"\{(\w+)\}", value, text).strip()


def unknown_placeholders(text: str, *more: str) -> list[str]:
    """The names in curly braces of `text` that nothing will fill."""
    return [name for name in re.findall(r"\{(\w+)\}", text) if name not in (*PLACEHOLDERS, *more)]


def read_phrases(folder: Path, clinic: Clinic) -> Phrases:
    """Read `<language>.yml` for every language of the clinic.

    Raises :class:`~needlepoint.located.FileError` when a file, a key or a placeholder is missing or unknown.
    """
    texts: dict[str, dict[str, str]] = {}
    for language in clinic.languages:
        file = folder / f"{language}.yml"
        if not file.exists():
            raise FileError(file, 1, f"missing; the clinic's languages include `{language}`, so write its phrases here")
        texts[language], lines = read_yaml(file, dict[str, str])
        for key, text in texts[language].items():
            for name in unknown_placeholders(text, *SAID_WITH):
                raise lines.error(f"$.{key}", f"nothing fills {{{name}}}; use one of {', '.join(PLACEHOLDERS)}")
    first, *others = texts.items()
    for language, phrases in others:
        if missing := first[1].keys() ^ phrases.keys():
            raise FileError(
                folder / f"{language}.yml", 1, f"{', '.join(sorted(missing))}: not in both {first[0]}.yml and this file"
            )
    return Phrases(texts, clinic)
