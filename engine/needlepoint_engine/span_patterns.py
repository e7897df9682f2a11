"""spaCy token patterns for what no word list can hold: days of treatment and needle lengths, in English and Malay.

A pattern only finds words. Which day "2 days ago" was is settled by the app, which knows the clinic's time zone.
"""

from __future__ import annotations

from typing import Any

TokenPattern = list[dict[str, Any]]

NEEDLE_LENGTH = "needle_length"
TREATMENT_DAY = "treatment_day"
#: A day that is the day of treatment only if the words around it speak of having one: "today", "on Friday".
DAY_MENTION = "day_mention"
#: Words that speak of having a treatment.
TREATMENT_CUE = "treatment_cue"

_NUMBER_WORDS = (
    "one two three four five six seven eight nine ten eleven twelve fourteen "
    "satu dua tiga empat lima enam tujuh lapan sembilan sepuluh"
)
_UNITS = (
    "min mins minute minutes hour hours hr hrs day days week weeks wk wks month months mth mths year years yr yrs "
    "hari minggu jam bulan tahun"
)
_WEEKDAYS = (
    "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun "
    "isnin selasa rabu khamis jumaat sabtu ahad"
)
_MONTHS = (
    "january february march april june july august september october november december jan feb mar apr may jun jul "
    "aug sep sept oct nov dec januari februari mac mei julai ogos oktober disember"
)
#: A day seen from today, and parts of a day, with the ways in which they are written short.
_NEAR_DAYS = (
    "yesterday ytd ystd yest ysterday yesterdy today tdy tonight tonite tomorrow tomorow tmr tmrw tmw "
    "semalam smlm smalam kelmarin esok esk bsok besok lusa tadi td"
)
_PARTS = "morning mornin afternoon evening evenin night nite pagi pg petang ptg malam mlm"


def _one_of(words: str, **more: Any) -> dict[str, Any]:
    return {"LOWER": {"IN": words.split()}, **more}


def _regex(expression: str) -> dict[str, Any]:
    return {"LOWER": {"REGEX": expression}}


def _lengths_of_time() -> list[TokenPattern]:
    count = _regex(rf"^(\d{{1,3}}([.,]\d)?|{'|'.join(_NUMBER_WORDS.split())})$")
    unit = _one_of(_UNITS)
    together = _regex(r"^\d{1,3}(d|days?|h|hrs?|hours?|w|wks?|weeks?|mths?|months?|yrs?|hari|minggu|jam|bulan)$")
    malay_one = _one_of("sehari semalam seminggu sebulan setahun")
    some = [
        {"LOWER": "a", "OP": "?"},
        _one_of("few couple several"),
        {"LOWER": "of", "OP": "?"},
        unit,
    ]
    return [[count, unit], [together], [malay_one], some, [_one_of("a an"), unit]]


def _days_of_treatment() -> list[TokenPattern]:
    behind = _one_of("ago back earlier later after post since before prior out lepas lalu selepas sebelum")
    ahead = _one_of("after post selepas lepas dah dh sudah")
    ordinal = _one_of("first second third fourth fifth sixth seventh pertama kedua ketiga keempat kelima")
    patterns = [[*length, behind] for length in _lengths_of_time()]
    patterns += [[ahead, *length] for length in _lengths_of_time()]
    patterns += [
        [_one_of("day hari"), {"ORTH": "-", "OP": "?"}, _regex(rf"^(\d{{1,3}}|{'|'.join(_NUMBER_WORDS.split())})$")],
        [_regex(r"^day\d{1,3}$")],
        [{"LOWER": "hari"}, _regex(r"^ke-?\d{1,3}$")],
        [{"LOWER": "hari"}, {"LOWER": "ke"}, {"ORTH": "-", "OP": "?"}, _regex(r"^\d{1,3}$")],
        [{"LOWER": "hari"}, ordinal],
        [ordinal, {"LOWER": "day"}],
        [_regex(r"^\d{1,2}(st|nd|rd|th)$"), {"LOWER": "day"}],
        [{"LOWER": "the", "OP": "?"}, {"LOWER": "day"}, {"LOWER": "before"}, {"LOWER": "yesterday"}],
    ]
    return patterns


def _day_mentions() -> list[TokenPattern]:
    weekday = _one_of(_WEEKDAYS)
    month = _one_of(_MONTHS)
    day_of_month = _regex(r"^\d{1,2}(st|nd|rd|th)?$")
    in_time = [[_one_of("in dalam"), *length] for length in _lengths_of_time()]
    in_time += [[*length, {"LOWER": "lagi"}] for length in _lengths_of_time()]
    in_time += [[*length, {"LOWER": "from"}, _one_of("now today")] for length in _lengths_of_time()]
    return [
        [_one_of(_NEAR_DAYS)],
        [{"LOWER": "hari"}, _one_of("ini ni")],
        [_one_of(_PARTS), _one_of(_NEAR_DAYS)],
        [_one_of(_NEAR_DAYS), _one_of(_PARTS)],
        [weekday, _one_of(_PARTS)],
        [_one_of("this last"), _one_of(f"{_PARTS} week weekend month")],
        [_one_of("last next this coming"), weekday],
        [_one_of("next this"), _one_of("week month weekend")],
        [_one_of("minggu bulan malam hari"), {"LOWER": {"IN": ["lepas", "lalu", "depan"]}}],
        [weekday, _one_of("lepas lalu depan ni")],
        [{"LOWER": "on", "OP": "?"}, weekday],
        [{"LOWER": "just"}, {"LOWER": "now"}],
        [{"LOWER": "earlier"}, {"LOWER": "today"}],
        [{"LOWER": "the", "OP": "?"}, {"LOWER": "day"}, {"LOWER": "after"}, {"LOWER": "tomorrow"}],
        [day_of_month, {"LOWER": "of", "OP": "?"}, month],
        [month, day_of_month],
        [{"LOWER": "the"}, _regex(r"^\d{1,2}(st|nd|rd|th)$")],
        [_regex(r"^(\d{1,2}/\d{1,2}(/\d{2,4})?|\d{1,2}[.-]\d{1,2}[.-]\d{2,4}|\d{4}-\d{2}-\d{2})$")],
        *in_time,
    ]


def _treatment_cues() -> list[TokenPattern]:
    return [
        [
            _one_of(
                "had got did done went having getting booked appointment appt session treatment procedure needled "
                "treated rolled underwent undergoing came scheduled buat dibuat siap rawatan temujanji"
            )
        ]
    ]


def _needle_lengths() -> list[TokenPattern]:
    number = _regex(r"^\d?[.,]?\d{1,2}$")
    unit = _one_of("mm millimetre millimetres millimeter millimeters milimeter")
    return [[number, unit], [_regex(r"^\d?[.,]?\d{1,2}mm$")]]


def span_patterns() -> list[dict[str, Any]]:
    """All patterns as spaCy's SpanRuler takes them: `label` and `pattern`."""
    labelled = {
        NEEDLE_LENGTH: _needle_lengths(),
        TREATMENT_DAY: _days_of_treatment(),
        DAY_MENTION: _day_mentions(),
        TREATMENT_CUE: _treatment_cues(),
    }
    return [{"label": label, "pattern": pattern} for label, patterns in labelled.items() for pattern in patterns]
