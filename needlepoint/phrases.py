"""The fixed phrases: greetings, apologies, promises. One file a language, same keys in each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

from babel import Locale
from babel.core import UnknownLocaleError
from babel.dates import format_date
from babel.lists import format_list

from needlepoint.clinic import PLACEHOLDERS, Clinic
from needlepoint.located import FileError, read_yaml

#: Placeholders that only a phrase may use; they are filled where the phrase is said.
SAID_WITH = (
    *("date", "day", "activity", "begin", "usual", "careful", "last", "duration", "treatment", "treatments"),
    *("age", "number", "total", "point", "answer", "signs"),
)

#: Units of a length of time with their hours, longest first.
_UNITS = (("year", 8760.0), ("month", 730.0), ("week", 168.0), ("day", 24.0), ("hour", 1.0))


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

    def text(self, key: str, language: str) -> str:
        """The phrase `key` with its placeholders as they are."""
        return self._texts[self.language(language)][key]

    def say(self, key: str, language: str, **said_with: str) -> str:
        """The phrase `key`, ready to show. An unknown key is a programming error (KeyError)."""
        return self.fill(self.text(key, language), language, said_with)

    def has(self, key: str) -> bool:
        """Is there such a phrase? (Every language has the same ones.)"""
        return key in self._texts[self.clinic.languages[0]]

    def date(self, day: date, language: str, today: date) -> str:
        """ "Saturday 21 November", with the year where it is not this one."""
        pattern = "EEEE d MMMM" if day.year == today.year else "EEEE d MMMM y"
        return format_date(day, pattern, locale=_locale(self.language(language)))

    def moment(self, moment: datetime, language: str, now: datetime) -> str:
        """A date in the zone of `now`, with the hour unless it is midnight."""
        local = moment.astimezone(now.tzinfo)
        day = self.date(local.date(), language, now.date())
        return day if (local.hour, local.minute) == (0, 0) else f"{day}, {local:%H:%M}"

    def duration(self, hours: float, language: str) -> str:
        """A length of time in the longest unit that gives a whole number: "3 days", "2 weeks", "30 minutes"."""
        for unit, length in _UNITS:
            # "24 hours" is what people say; "1 day" leaves open which.
            if hours >= length and hours % length == 0 and (unit, hours) != ("day", 24):
                break
        else:
            unit, length = "minute", 1 / 60
        count = round(hours / length)
        return self.say(f"length_{unit}" if count == 1 else f"length_{unit}s", language, duration=str(count))

    def listed(self, items: list[str], language: str) -> str:
        """ "a, b and c"."""
        return format_list(items, locale=_locale(self.language(language)))

    def fill(self, text: str, language: str, said_with: Mapping[str, str] | None = None) -> str:
        """`text` with its placeholders replaced; an unset value becomes the phrase `value_unset`."""
        language = self.language(language)
        values: dict[str, str | None] = {**self.clinic.values(language), **(said_with or {})}

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name == "reads_live":
                return self._texts[language]["reads_live_yes" if self.clinic.reads_live else "reads_live_no"]
            if name == "treatments_offered":
                return self.treatments(self.clinic.treatments, language) or self._texts[language]["value_unset"]
            if name not in values:
                return found[0]
            return values[name] or self._texts[language]["value_unset"]

        return re.sub(r"\{(\w+)\}", value, text).strip()

    def treatments(self, treatments: Sequence[str], language: str) -> str:
        """ "microneedling at the clinic and the home roller"."""
        return self.listed([self.say(f"treatment_{one}", language) for one in treatments], language)

    def unset(self, text: str) -> list[str]:
        """The clinic's values that `text` names although the clinic has not set them."""
        values = self.clinic.values() | {"treatments_offered": " ".join(self.clinic.treatments) or None}
        return [name for name in re.findall(r"\{(\w+)\}", text) if name in values and values[name] is None]


def _locale(language: str) -> Locale:
    try:
        return Locale.parse("en_GB" if language == "en" else language)
    except UnknownLocaleError:
        return Locale.parse("en")


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
