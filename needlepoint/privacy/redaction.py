"""Masks what must not be kept: phone numbers, e-mail addresses, identity and payment card numbers.

The text is expected to have gone through `needlepoint.safety.clean_text`, which makes full-width digits plain and takes
out unseen characters. Numbers are looked for among neighbouring groups of digits, and only groups that could be a
number are handed to `phonenumbers` and `stdnum`: those libraries' own searches of a text take far more than linear
time when it is made of digits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec
import phonenumbers
from stdnum import luhn
from stdnum.my import nric

Kind = Literal["phone", "e-mail", "identity number", "card number", "number"]

#: The local part has at most 64 characters, a label 63 (RFC 5321, RFC 1035).
_EMAIL = re.compile(r"(?<![\w.+%'-])[\w.+%'-]{1,64}@(?:[^\W_][\w-]{0,62}\.){1,6}[^\W\d_][\w-]{1,62}")

#: "0.25" and "1,5" are lengths and prices; "012.345" is not of that shape.
_DECIMAL: Final = r"(?<![\d.,])\d{1,2}[.,]\d{1,3}(?!\d|[.,]\d)"
_DATE: Final = (
    r"(?<![\d-])(?:19|20)\d\d(?P<big>[ .-])(?:0?[1-9]|1[0-2])(?P=big)(?:0?[1-9]|[12]\d|3[01])(?![\d-])"
    r"|(?<![\d.-])(?:0?[1-9]|[12]\d|3[01])(?P<small>[ .-])(?:0?[1-9]|1[0-2])(?P=small)(?:19|20)\d\d(?![\d-])"
)
_TOKEN = re.compile(rf"(?P<other>{_DATE}|{_DECIMAL})|(?P<plus>\+[ (]{{0,2}})?(?P<digits>\d+)")
_BETWEEN = re.compile(r"[ \t().‐‑–—-]{1,3}")
_SMALL_OR_YEAR = re.compile(r"\d{1,2}|(?:19|20)\d\d")

#: More groups belong to one number only when each is a single digit ("0 1 2 3 4 5 6 7 8 9").
_MOST_GROUPS = 8
_CARD_DIGITS = range(13, 20)
_PHONE_DIGITS = range(8, 16)
#: More groups are a list of numbers, unless a "+" or a zero leads them.
_MOST_PHONE_GROUPS = 6
#: A number with its trunk zero that is one digit short or long is still somebody's.
_TRUNK_ZERO_DIGITS = range(9, 12)
#: Malaysian identity card: date of birth, place, serial (Jabatan Pendaftaran Negara). Written in these groups it is
#: masked even when the date is impossible: a mistyped number is still somebody's.
_IDENTITY_GROUPS = (6, 2, 4)
_IDENTITY_DIGITS = 12
#: Nothing asked about skin has so many digits; whatever it is, it names something or somebody.
_NAMING_DIGITS = 9


class Redacted(msgspec.Struct, frozen=True):
    """A text without what must not be kept, and the kinds of things that were masked, each once, in the order of
    their first mask. A mask is the kind in square brackets: `[phone]`."""

    text: str
    kinds: tuple[Kind, ...]


class _Group(NamedTuple):
    """Digits in a row: their place in the text (with the "+" before them), and their value in the digits 0 to 9."""

    start: int
    end: int
    digits: str
    plus: bool


class _Mask(NamedTuple):
    start: int
    end: int
    kind: Kind


def redact(text: str, region: str = "MY") -> Redacted:
    """Mask phone numbers, e-mail addresses, Malaysian identity numbers, payment card numbers, and as "[number]" any
    other number of nine digits or more.

    `region` (two letters, as in ISO 3166) is where a phone number without country code belongs. Masks rather too much
    than too little, but leaves what a skin question is made of: years, dates, hours, days, needle lengths, prices and
    emergency numbers. Never raises for any text; takes time linear in its length; redacting twice changes nothing.
    """
    masks = [_Mask(*match.span(), "e-mail") for match in _EMAIL.finditer(text)]
    masks += [mask for run in _runs(text) for mask in _numbers(run, region.upper())]
    masks.sort()
    parts: list[str] = []
    kinds: dict[Kind, None] = {}
    at = 0
    for mask in masks:
        if mask.start >= at:
            opened = text[at : mask.start].endswith("(") and ")" in text[mask.start : mask.end]
            parts += [text[at : mask.start - opened], f"[{mask.kind}]"]
            kinds[mask.kind] = None
            at = mask.end
    return Redacted("".join(parts) + text[at:], tuple(kinds))


def _runs(text: str) -> Iterator[list[_Group]]:
    """Groups of digits with nothing but blanks, dashes, dots and brackets between them."""
    run: list[_Group] = []
    for token in _TOKEN.finditer(text):
        if run and (token["other"] or not _BETWEEN.fullmatch(text, run[-1].end, token.start())):
            yield run
            run = []
        if written := token["digits"]:
            digits = written if written.isascii() else "".join(str(unicodedata.digit(digit)) for digit in written)
            run.append(_Group(token.start(), token.end(), digits, token["plus"] is not None))
    if run:
        yield run


def _numbers(run: list[_Group], region: str) -> Iterator[_Mask]:
    """The masks in one run: at each group the most digits that make a number, then on behind it."""
    if _MOST_GROUPS < len(run) < _CARD_DIGITS.stop and all(len(group.digits) == 1 for group in run):
        spelled = "".join(group.digits for group in run)
        if kind := _kind(spelled, (1,) * len(run), run[0], region):
            yield _Mask(run[0].start, run[-1].end, kind)
        return
    left: list[_Group] = []
    first = 0
    while first < len(run):
        for last in _ends(run, first):
            groups = run[first : last + 1]
            if kind := _kind(
                "".join(g.digits for g in groups), tuple(len(g.digits) for g in groups), groups[0], region
            ):
                yield from _naming(left)
                left = []
                yield _Mask(groups[0].start, groups[-1].end, kind)
                first = last
                break
        else:
            left.append(run[first])
        first += 1
    yield from _naming(left)


def _naming(left: list[_Group]) -> Iterator[_Mask]:
    """One mask over groups that are no number we know but have too many digits to be a quantity."""
    if sum(len(group.digits) for group in left) >= _NAMING_DIGITS and not all(
        _SMALL_OR_YEAR.fullmatch(group.digits) for group in left
    ):
        yield _Mask(left[0].start, left[-1].end, "number")


def _ends(run: list[_Group], first: int) -> list[int]:
    """The groups at which a number that begins with `first` could end, the longest number first."""
    ends: list[int] = []
    count = 0
    for last in range(first, min(len(run), first + _MOST_GROUPS)):
        count += len(run[last].digits)
        if count >= _CARD_DIGITS.stop or (run[last].plus and last > first):
            break
        if count >= _PHONE_DIGITS.start:
            ends.append(last)
    return ends[::-1]


def _kind(digits: str, sizes: tuple[int, ...], first: _Group, region: str) -> Kind | None:
    """What a number of these digits in groups of these sizes is; None when it is none that we know."""
    if not first.plus:
        if len(digits) in _CARD_DIGITS and _grouped_like_a_card(sizes) and luhn.is_valid(digits):
            return "card number"
        if len(digits) == _IDENTITY_DIGITS and (
            sizes == _IDENTITY_GROUPS
            or (sizes[0] in (1, _IDENTITY_GROUPS[0], _IDENTITY_DIGITS) and nric.is_valid(digits))
        ):
            return "identity number"
    if (
        len(digits) in _PHONE_DIGITS
        and (len(sizes) <= _MOST_PHONE_GROUPS or first.plus or digits.startswith("0"))
        and _is_phone(digits, first.plus, region)
    ):
        return "phone"
    return None


def _grouped_like_a_card(sizes: tuple[int, ...]) -> bool:
    """One group, equal groups but for the last, or 4-6-5 and the like: a phone number and the beginning of the card
    number behind it are not one card."""
    return (len(set(sizes[:-1])) <= 1 and sizes[0] != 2) or sizes[:2] == (4, 6)


@lru_cache(maxsize=4096)
def _is_phone(digits: str, plus: bool, region: str) -> bool:
    """Whether a phone could be rung at these digits, as far as their shape tells.

    Without a prefix only a mobile number can be told from other numbers of the same length.
    """
    if digits.startswith("0") and len(digits) in _TRUNK_ZERO_DIGITS:
        return True
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if not plus and not digits.startswith("00"):
        if metadata is None:
            return False
        if not digits.startswith((metadata.national_prefix or "0", str(metadata.country_code))):
            mobile = metadata.mobile
            return bool(mobile and re.fullmatch(mobile.national_number_pattern or "", digits))
    try:
        number = phonenumbers.parse(f"+{digits}" if plus else digits, region if metadata else None)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_possible_number(number) if plus else phonenumbers.is_valid_number(number)
