"""The clinic's own facts (`clinic.toml`): names, numbers, prices, policies. Nothing medical."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from msgspec import Meta

from needlepoint.located import read_toml

Line = Annotated[str, Meta(min_length=1, max_length=300)]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2}$")]

#: Words that stand in answers: one text for all languages, or one a language (`{en = "...", ms = "..."}`).
Words = Line | dict[Language, Line]

#: What an answer may name in curly braces, and where the value comes from.
PLACEHOLDERS = (
    "clinic_name",
    "clinic_phone",
    "clinic_hours",
    "out_of_hours",
    "branches",
    "emergency_number",
    "crisis_line",
    "treatments_offered",
    "currency",
    "price_home_kit",
    "price_session",
    "price_rf_session",
    "price_prp_session",
    "price_consultation",
    "deposit",
    "payment",
    "kit_stock",
    "kit_contents",
    "device_status",
    "rescheduling_policy",
    "waiting_policy",
    "minimum_age",
    "reads_live",
)

Treatment = Literal["clinic_microneedling", "rf_microneedling", "prp", "home_roller"]


class Branch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place where the clinic treats people."""

    name: Line
    address: Line
    phone: Line
    hours: Line


#: A number, written with the clinic's currency, or words ("from RM 450").
Price = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)] | Line


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices of one session each, of the home kit and of the consultation."""

    home_kit: Price | None = None
    session: Price | None = None
    rf_session: Price | None = None
    prp_session: Price | None = None
    consultation: Price | None = None


class Policies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the clinic decides for itself, in its own words."""

    rescheduling: Words | None = None
    waiting: Words | None = None
    minimum_age: Words | None = None
    kit_stock: Words | None = None
    kit_contents: Words | None = None
    device_status: Words | None = None
    deposit: Words | None = None
    payment: Words | None = None


Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

#: "10:00-19:00": from the first minute up to, not including, the last.
Hours = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-4]):[0-5]\d$")]


class StaffChat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When staff join the chat, and how soon. Without hours nobody is promised that somebody joins."""

    #: Minutes in which somebody of the staff writes to a person who waits for them.
    answer_within: Annotated[int, Meta(ge=1, le=240)] = 10
    hours: dict[Day, Hours] = {}

    def is_open(self, at: datetime) -> bool:
        """Are staff there at this moment of the clinic's zone, and for as long as they may take to answer?"""
        spans = self.hours.get(get_args(Day)[at.weekday()])
        if spans is None:
            return False
        start, end = (int(one[:2]) * 60 + int(one[3:]) for one in spans.split("-"))
        return start <= at.hour * 60 + at.minute <= end - self.answer_within


class Clinic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything `clinic.toml` may say."""

    name: Line
    time_zone: str
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$")]
    phone: Line
    #: Both stand on urgent cards, so no clinic goes without them.
    emergency_number: Line
    crisis_lines: Annotated[list[Line], Meta(min_length=1)]
    languages: Annotated[list[Language], Meta(min_length=1)]
    currency: Line | None = None
    hours: Words | None = None
    out_of_hours: Words | None = None
    reads_live: bool = False
    treatments: list[Treatment] = []
    branches: list[Branch] = []
    prices: Prices = Prices()
    policies: Policies = Policies()
    staff_chat: StaffChat = StaffChat()

    @property
    def zone(self) -> ZoneInfo:
        """The clinic's time zone, in which days are counted."""
        return ZoneInfo(self.time_zone)

    def values(self, language: str | None = None) -> dict[str, str | None]:
        """The value of each name of :data:`PLACEHOLDERS` in a language, None where the clinic has not set it.

        Words that are not there in `language` come in the clinic's first one.

        `reads_live` and `treatments_offered` are worded by the fixed phrases, not here.
        """

        def said(words: Words | None) -> str | None:
            if not isinstance(words, dict):
                return words
            return words.get(language or "") or words.get(self.languages[0]) or next(iter(words.values()), None)

        return {
            "clinic_name": self.name,
            "clinic_phone": self.phone,
            "clinic_hours": said(self.hours),
            "out_of_hours": said(self.out_of_hours),
            "branches": "; ".join(f"{at.name}: {at.address}, {at.phone}, {at.hours}" for at in self.branches) or None,
            "emergency_number": self.emergency_number,
            "crisis_line": ", ".join(self.crisis_lines),
            "currency": self.currency,
            "price_home_kit": self._price(self.prices.home_kit),
            "price_session": self._price(self.prices.session),
            "price_rf_session": self._price(self.prices.rf_session),
            "price_prp_session": self._price(self.prices.prp_session),
            "price_consultation": self._price(self.prices.consultation),
            "deposit": said(self.policies.deposit),
            "payment": said(self.policies.payment),
            "kit_stock": said(self.policies.kit_stock),
            "kit_contents": said(self.policies.kit_contents),
            "device_status": said(self.policies.device_status),
            "rescheduling_policy": said(self.policies.rescheduling),
            "waiting_policy": said(self.policies.waiting),
            "minimum_age": said(self.policies.minimum_age),
        }

    def _price(self, price: float | str | None) -> str | None:
        if price is None or isinstance(price, str):
            return price
        return f"{self.currency} {price:,.2f}".removesuffix(".00")


def _keys(struct: type[msgspec.Struct]) -> str:
    return ", ".join(field.name for field in msgspec.structs.fields(struct))


#: How each key is written, for who wrote it otherwise; the last one fits any.
_MENDS = {
    "country": "write two capital letters, such as MY",
    "languages": 'write a list of two-letter codes, such as ["en", "ms"]',
    "treatments": f"write a list of {', '.join(get_args(Treatment))}",
    "branches": f"each [[branches]] block needs {_keys(Branch)}, and nothing else",
    "prices": f"a price is a number from 0, or words in quotes; there are {_keys(Prices)}",
    "policies": f'a policy is words in quotes, or {{en = "...", ms = "..."}}; there are {_keys(Policies)}',
    "hours": 'write words in quotes, or {en = "...", ms = "..."}',
    "out_of_hours": 'write words in quotes, or {en = "...", ms = "..."}',
    "crisis_lines": 'write a list with at least one line, such as ["Befrienders 03-7627 2929"]',
    "staff_chat": 'write answer_within = 10 (minutes), and days under [staff_chat.hours] as monday = "10:00-19:00"',
    "reads_live": "write true or false, without quotes",
}


def read_clinic(file: Path) -> Clinic:
    """Read and check `clinic.toml`.

    Raises :class:`~needlepoint.located.FileError` with file, line and mend, also when the file is missing.
    """
    clinic, lines = read_toml(file, Clinic, {**_MENDS, "": f"the keys are {_keys(Clinic)}"})
    if clinic.time_zone not in available_timezones():
        raise lines.error("$.time_zone", f"`{clinic.time_zone}` is no time zone; write one such as Asia/Kuala_Lumpur")
    if clinic.staff_chat.hours and not clinic.reads_live:
        raise lines.error(
            "$.staff_chat", "its hours promise people that staff join; set reads_live = true above as well"
        )
    for day, span in clinic.staff_chat.hours.items():
        if span[:5] >= span[6:] or span[6:] > "24:00":
            raise lines.error(
                f"$.staff_chat.hours.{day}", f"`{span}` is no span of a day; write one such as 10:00-19:00"
            )
    for name, price in msgspec.structs.asdict(clinic.prices).items():
        if isinstance(price, int | float) and clinic.currency is None:
            raise lines.error(
                f"$.prices.{name}", f"the price {price} has no currency; set `currency`, such as RM, above"
            )
    return clinic
