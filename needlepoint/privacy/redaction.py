"""Masks what must not be kept: phone numbers, e-mail addresses, identity and payment card numbers."""

from __future__ import annotations

import re

import msgspec
import phonenumbers
from stdnum import luhn


class Redacted(msgspec.Struct, frozen=True):
    """A text without what must not be kept, and the kinds of things that were masked, each once."""

    text: str
    kinds: tuple[str, ...]


_EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")

#: Digits as people write long numbers; each quantifier is bounded, so the time is linear in the text.
_NUMBER = re.compile(r"(?<![\w./])[+(]{0,2}\d(?:[ ().-]{0,2}\d){6,24}(?![\w])")

#: Malaysian identity card: date of birth, place, serial (Jabatan Pendaftaran Negara). Also masked when the date is
#: impossible: a mistyped number is still somebody's.
_IDENTITY = re.compile(r"\d{6}[ -]?\d{2}[ -]?\d{4}")

_CARD_DIGITS = range(13, 20)


def redact(text: str, region: str = "MY") -> Redacted:
    """Mask `text`; numbers without a country code are read as those of `region` (two letters).

    Masks rather too much than too little, but leaves what a skin question is made of: years, dates, hours, days,
    needle lengths, prices and emergency numbers, none of which has seven digits in a row.
    """
    kinds: list[str] = []

    def mask(kind: str) -> str:
        if kind not in kinds:
            kinds.append(kind)
        return f"[{kind}]"

    def number(found: re.Match[str]) -> str:
        written = found[0]
        digits = re.sub(r"\D", "", written)
        if len(digits) in _CARD_DIGITS and luhn.is_valid(digits):
            return mask("card number")
        if _IDENTITY.fullmatch(written):
            return mask("identity number")
        if _is_phone(written, region):
            return mask("phone")
        # Nothing asked about skin has nine digits; whatever it is, it names something or somebody.
        return mask("number") if len(digits) >= 9 and not _DATES.fullmatch(written) else written

    masked = _EMAIL.sub(lambda _: mask("e-mail"), text)
    return Redacted(_NUMBER.sub(number, masked), tuple(kinds))


#: "21-11-2026", "2026-11-21 10", "21.11.2026 - 23.11.2026"
_DATES = re.compile(r"(?:\d{1,2}[ .-]\d{1,2}[ .-]\d{2,4}|\d{4}[ .-]\d{1,2}[ .-]\d{1,2})(?:[ .()-]+\d{1,4})*")


def _is_phone(written: str, region: str) -> bool:
    if _DATES.fullmatch(written):
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(written, region))
    except phonenumbers.NumberParseException:
        return False
