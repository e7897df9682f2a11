"""The clinic's own facts (`clinic.toml`): names, numbers, prices, policies. Nothing medical."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from msgspec import Meta

from needlepoint.located import read_toml

Line = Annotated[str, Meta(min_length=1, max_length=300)]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2}$")]

#: What an answer may name in curly braces, and where the value comes from.
PLACEHOLDERS = (
    "clinic_name",
    "clinic_phone",
    "clinic_hours",
    "out_of_hours",
    "emergency_number",
    "crisis_line",
    "price_home_kit",
    "price_session",
    "kit_stock",
    "device_status",
    "rescheduling_policy",
    "minimum_age",
    "reads_live",
)


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices as patients should read them, with the currency."""

    home_kit: Line | None = None
    session: Line | None = None


class Policies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the clinic decides for itself, in its own words."""

    rescheduling: Line | None = None
    minimum_age: Line | None = None
    kit_stock: Line | None = None
    device_status: Line | None = None


class Clinic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything `clinic.toml` may say."""

    name: Line
    time_zone: str
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$")]
    phone: Line
    #: Both stand on urgent cards, so no clinic goes without them.
    emergency_number: Line
    crisis_line: Line
    languages: Annotated[list[Language], Meta(min_length=1)]
    currency: Line | None = None
    hours: Line | None = None
    out_of_hours: Line | None = None
    reads_live: bool = False
    treatments: list[Literal["clinic_microneedling", "rf_microneedling", "prp", "home_roller"]] = []
    prices: Prices = Prices()
    policies: Policies = Policies()

    @property
    def zone(self) -> ZoneInfo:
        """The clinic's time zone, in which days are counted."""
        return ZoneInfo(self.time_zone)

    def values(self) -> dict[str, str | None]:
        """The value of each name of :data:`PLACEHOLDERS`, None where the clinic has not set it.

        `reads_live` is a whole sentence and comes from the fixed phrases, not from here.
        """
        return {
            "clinic_name": self.name,
            "clinic_phone": self.phone,
            "clinic_hours": self.hours,
            "out_of_hours": self.out_of_hours,
            "emergency_number": self.emergency_number,
            "crisis_line": self.crisis_line,
            "price_home_kit": self.prices.home_kit,
            "price_session": self.prices.session,
            "kit_stock": self.policies.kit_stock,
            "device_status": self.policies.device_status,
            "rescheduling_policy": self.policies.rescheduling,
            "minimum_age": self.policies.minimum_age,
        }


def read_clinic(file: Path) -> Clinic:
    """Read and check `clinic.toml`.

    Raises :class:`~needlepoint.located.FileError` with file, line and mend, also when the file is missing.
    """
    clinic, lines = read_toml(file, Clinic)
    if clinic.time_zone not in available_timezones():
        raise lines.error("$.time_zone", f"`{clinic.time_zone}` is no time zone; write one such as Asia/Kuala_Lumpur")
    return clinic
