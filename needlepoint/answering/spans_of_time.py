"""From words such as "2 days ago", "on Saturday" or "day 3" to a span of time in the clinic's zone.

The engine finds the words; what they mean depends on the moment and the zone, so it is settled here. A day without an
hour is the whole day, from midnight to midnight of the zone: nobody knows more.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

import msgspec
from dateparser.date import DateDataParser

#: Hours of a part of the day, as people use the words: from, until.
_PARTS_OF_DAY = {
    "morning": (4, 12),
    "pagi": (4, 12),
    "tengah hari": (11, 15),
    "tengahari": (11, 15),
    "noon": (11, 14),
    "afternoon": (12, 18),
    "petang": (12, 19),
    "evening": (17, 24),
    "night": (18, 24),
    "tonight": (18, 24),
    "malam": (18, 24),
}

_NUMBERS = {
    word: number
    for words in (
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen",
        "satu dua tiga empat lima enam tujuh lapan sembilan sepuluh",
        "first second third fourth fifth sixth seventh",
        "pertama kedua ketiga keempat kelima keenam ketujuh",
    )
    for number, word in enumerate(words.split(), start=1)
} | {"a": 1, "an": 1, "couple": 2}

#: "A few days" is no number: from two to four.
_SOME = {"few": (2, 4), "several": (3, 7), "beberapa": (2, 4)}

_UNITS: dict[str, Literal["minute", "hour", "day", "week", "month", "year"]] = {
    **dict.fromkeys("min mins minute minutes minit".split(), "minute"),
    **dict.fromkeys("h hour hours hr hrs jam".split(), "hour"),
    **dict.fromkeys("d day days hari".split(), "day"),
    **dict.fromkeys("w week weeks wk wks minggu".split(), "week"),
    **dict.fromkeys("month months mth mths bulan".split(), "month"),
    **dict.fromkeys("year years yr yrs tahun".split(), "year"),
}
_HOURS = {"minute": 1 / 60, "hour": 1.0, "day": 24.0, "week": 168.0, "month": 730.0, "year": 8760.0}

#: Words of Malay that the date library does not know, in its English.
_ENGLISH = {
    # To some it is yesterday, to others the day before.
    "kelmarin": "1 to 2 days ago",
    "kelmarin dulu": "3 days ago",
    "lusa": "in 2 days",
    "semalam": "yesterday",
    "esok": "tomorrow",
    "ytd": "yesterday",
    "ystd": "yesterday",
    "tdy": "today",
    "tmr": "tomorrow",
    "tmrw": "tomorrow",
    "tmw": "tomorrow",
    "hari ini": "today",
    "hari ni": "today",
    "hari depan": "tomorrow",
    "day before yesterday": "2 days ago",
    "day after tomorrow": "in 2 days",
} | dict(
    zip(
        "isnin selasa rabu khamis jumaat sabtu ahad mac mei ogos disember julai januari februari oktober".split(),
        "monday tuesday wednesday thursday friday saturday sunday march may august december july january "
        "february october".split(),
        strict=True,
    )
)

#: How words about time are written in a hurry.
_SHORT = {
    **dict.fromkeys("yest ysterday yesterdy".split(), "yesterday"),
    **dict.fromkeys("smlm smalam".split(), "semalam"),
    **dict.fromkeys("esk bsok besok".split(), "esok"),
    "td": "tadi",
    "pg": "pagi",
    "ptg": "petang",
    "mlm": "malam",
    "tomorow": "tomorrow",
    "tonite": "tonight",
    "nite": "night",
    "mornin": "morning",
    "evenin": "evening",
}

_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()

_COUNT = rf"(?:\d{{1,3}}(?:[.,]\d)?|{'|'.join([*_SOME, *_NUMBERS])})"
_LENGTH = re.compile(
    rf"\b(?P<half>half )?(?:a )?(?:(?P<least>{_COUNT}) ?(?:-|–|to|or|atau|hingga) ?)?(?P<count>{_COUNT})"
    rf"[\s-]*(?:of )?(?P<unit>{'|'.join(_UNITS)})\b"
)
_DAY_NUMBER = re.compile(
    r"(?:\bday|\bhari)\s*-?\s*(?:ke\s*-?\s*)?(?P<number>\d{1,3}|[a-z]+)\b|\b(?P<ordinal>\d{1,2})(?:st|nd|rd|th) day\b|"
    r"\b(?P<word>[a-z]+) day\b"
)
CLOCK = re.compile(
    r"\b(?:(?:at|@|pukul|jam|around|about)\s*)?(?P<hour>1[0-2]|0?[1-9])(?:[:.](?P<minute>[0-5]\d))?\s*"
    r"(?P<half>am|pm|a\.m\.|p\.m\.|pagi|petang|malam)(?!\w)"
)


class Span(msgspec.Struct, frozen=True):
    """From `start` to `end`, both with a zone; equal where the moment is known."""

    start: datetime
    end: datetime


class Meaning(msgspec.Struct, frozen=True):
    """What some words about time can mean.

    `past` and `ahead` are the span if something has happened, or is to happen, then; both where the words leave it open
    ("on Saturday"). `after` and `before` are hours since, or until, a treatment ("2 days after", "day 3"): least, most.
    """

    past: Span | None = None
    ahead: Span | None = None
    after: tuple[float, float] | None = None
    before: tuple[float, float] | None = None


def whole_day(day: date, zone: Any, days: int = 1) -> Span:
    """From midnight to midnight of the zone; 23 or 25 hours where the clocks change."""
    return Span(
        datetime.combine(day, time(), tzinfo=zone), datetime.combine(day + timedelta(days=days), time(), tzinfo=zone)
    )


def hours_later(moment: datetime, hours: float) -> datetime:
    """`moment` plus so many hours of real time, in its own zone."""
    return (moment.astimezone(UTC) + timedelta(hours=hours)).astimezone(moment.tzinfo)


def meaning_of(words: str, now: datetime) -> Meaning | None:
    """What the words mean at `now` (with the clinic's zone), None when they are about no time that can be told."""
    text = re.sub(r"\s+", " ", words.strip().lower())
    text = " ".join(_SHORT.get(word, word) for word in text.split(" "))
    text = re.sub(r"^(?:(?:the|on|pada) )+", "", text)
    text = re.sub(r"^hari (?=isnin|selasa|rabu|khamis|jumaat|sabtu|ahad)", "", text)
    if not text:
        return None
    return _relative_to_treatment(text, now) or _length_from_now(text, now) or _calendar(text, now)


def _count(word: str) -> tuple[float, float] | None:
    if word in _SOME:
        return _SOME[word]
    if word in _NUMBERS:
        return _NUMBERS[word], _NUMBERS[word]
    try:
        number = float(word.replace(",", "."))
    except ValueError:
        return None
    return number, number


def _length(text: str) -> tuple[float, float, str] | None:
    """Least and most of a length of time, and its unit: "a few days" is 2 to 4 of `day`."""
    if whole := {"sehari": "day", "seminggu": "week", "sebulan": "month", "setahun": "year", "sejam": "hour"}.get(
        text.split(" ", maxsplit=1)[0]
    ):
        return 1, 1, whole
    found = _LENGTH.search(text)
    count = _count(found["count"]) if found else None
    if found is None or count is None:
        return None
    least, most = count
    if found["least"] and (other := _count(found["least"])):
        least, most = min(least, other[0]), max(most, other[1])
    factor = 0.5 if found["half"] else 1.0
    unit = _UNITS[found["unit"]]
    if factor != 1.0 or not float(least).is_integer() or not float(most).is_integer():
        # Part of a day is counted in hours; a day without an hour would be a whole one.
        return factor * least * _HOURS[unit], factor * most * _HOURS[unit], "hour"
    return least, most, unit


def _relative_to_treatment(text: str, now: datetime) -> Meaning | None:
    """ "2 days after", "5 hours post", "day 3", "hari ke-3"."""
    length = _length(text)
    if length is not None and re.search(r"\b(ago|back|earlier|lepas|lalu)$", text):
        least, most, unit = length
        return Meaning(past=_ago(least, most, unit, now))
    if length is not None and re.search(r"^in |^dalam |\b(from now|from today|lagi)$", text):
        least, most, unit = length
        return Meaning(ahead=_ahead(least, most, unit, now))
    if length is not None and re.search(r"\b(before|prior|sebelum)\b", text) and "day before yesterday" not in text:
        least, most, unit = length
        return Meaning(before=_hours_of(least, most, unit))
    if length is not None and re.search(r"\b(after|later|post|since|out|in|selepas|lepas|dah|dh|sudah)\b", text):
        least, most, unit = length
        return Meaning(after=_hours_of(least, most, unit), past=_ago(least, most, unit, now))
    if found := _DAY_NUMBER.search(text):
        count = _count(found["number"] or found["ordinal"] or found["word"])
        if count is not None:
            number = int(count[0])
            # The day of treatment is day 0. From some hour of it to some hour of day n are n-1 to n+1 days.
            past = whole_day(now.date() - timedelta(days=number), now.tzinfo)
            return Meaning(after=(24.0 * max(number - 1, 0), 24.0 * (number + 1)), past=_until_now(past, now))
    return None


def _length_from_now(text: str, now: datetime) -> Meaning | None:
    """A bare length ("3 days", "seminggu"): so long ago, for want of another sense."""
    length = _length(text)
    if length is None or not re.fullmatch(r"(?:a |an )?[\w.,]+(?: of)?(?: ?[a-z]+)?", text):
        return None
    least, most, unit = length
    return Meaning(after=_hours_of(least, most, unit), past=_ago(least, most, unit, now))


def _hours_of(least: float, most: float, unit: str) -> tuple[float, float]:
    """Hours that "2 days after" can be: some hour of the day of treatment to some hour of the second day after it."""
    if unit in {"minute", "hour"}:
        return least * _HOURS[unit], most * _HOURS[unit]
    return max(least * _HOURS[unit] - 24, 0), most * _HOURS[unit] + 24


def _ago(least: float, most: float, unit: str, now: datetime) -> Span:
    if unit in {"minute", "hour"}:
        return Span(hours_later(now, -most * _HOURS[unit]), hours_later(now, -least * _HOURS[unit]))
    first = now.date() - timedelta(days=round(most * _HOURS[unit] / 24))
    last = now.date() - timedelta(days=round(least * _HOURS[unit] / 24))
    return _until_now(Span(whole_day(first, now.tzinfo).start, whole_day(last, now.tzinfo).end), now)


def _ahead(least: float, most: float, unit: str, now: datetime) -> Span:
    if unit in {"minute", "hour"}:
        return Span(hours_later(now, least * _HOURS[unit]), hours_later(now, most * _HOURS[unit]))
    first = now.date() + timedelta(days=round(least * _HOURS[unit] / 24))
    last = now.date() + timedelta(days=round(most * _HOURS[unit] / 24))
    return _from_now(Span(whole_day(first, now.tzinfo).start, whole_day(last, now.tzinfo).end), now)


def _until_now(span: Span, now: datetime) -> Span:
    """What has happened ended by now."""
    return Span(min(span.start, now), min(span.end, now))


def _from_now(span: Span, now: datetime) -> Span:
    """What is to come begins now at the earliest."""
    return Span(max(span.start, now), max(span.end, now))


def _calendar(text: str, now: datetime) -> Meaning | None:
    clock = CLOCK.search(text)
    rest = (text[: clock.start()] + text[clock.end() :]).strip(" ,") if clock else text
    if re.fullmatch(r"(?:just now|earlier|baru tadi|tadi|baru je|baru)", rest):
        return Meaning(past=Span(hours_later(now, -3), now))
    part = next((name for name in _PARTS_OF_DAY if re.search(rf"\b{name}\b", rest)), None) if not clock else None
    if part is not None:
        rest = re.sub(rf"\b{part}\b", "", rest).strip()
    if part in {"night", "malam"} and rest in {"last", "lepas", "lalu", "tadi"}:
        rest = "yesterday"
    elif rest in {"", "this", "tadi", "earlier", "ini", "ni", "at"}:
        rest = "today"
    if clock and re.search(r"\b(?:last night|malam tadi|malam semalam)\b", rest):
        rest = "yesterday"
        if int(clock["hour"]) in {12, 1, 2, 3, 4, 5} and not clock["half"].startswith("p"):
            rest = "today"  # after midnight
    rest = re.sub(r"\b(?:at|@|pukul|jam)$", "", rest).strip()
    rest = _in_english(rest)
    if rest == "1 to 2 days ago":
        return Meaning(past=_ago(1, 2, "day", now))
    if weeks := _weeks(rest, now):
        return weeks
    past, ahead = _date(rest, now, "past"), _date(rest, now, "future")
    if past is None or ahead is None:
        return None
    if clock is not None:
        return _either(_at_clock(past, clock, now), _at_clock(ahead, clock, now), rest, now)
    if part is not None:
        return _either(_part(past, part, now), _part(ahead, part, now), rest, now)
    return _either(whole_day(past, now.tzinfo), whole_day(ahead, now.tzinfo), rest, now)


def _either(past: Span, ahead: Span, words: str, now: datetime) -> Meaning:
    """The sense or senses that are possible: something past has begun, something to come has not ended."""
    if re.match(r"(?:last|yesterday)\b", words):
        return Meaning(past=_until_now(past, now))
    if re.match(r"(?:next|coming|tomorrow)\b", words):
        return Meaning(ahead=_from_now(ahead, now))
    return Meaning(
        past=_until_now(past, now) if past.start < now else None,
        ahead=_from_now(ahead, now) if ahead.end > now else None,
    )


def _at_clock(day: date, clock: re.Match[str], now: datetime) -> Span:
    hour = int(clock["hour"]) % 12
    if clock["half"] == "malam" and hour < 5:
        day += timedelta(days=1)  # "12 malam" ends the day, "1 malam" is the next morning
    elif clock["half"] in {"pm", "p.m.", "petang", "malam"}:
        hour += 12
    moment = datetime.combine(day, time(hour, int(clock["minute"] or 0)), tzinfo=now.tzinfo)
    return Span(moment, moment)


def _part(day: date, part: str, now: datetime) -> Span:
    first, last = _PARTS_OF_DAY[part]
    midnight = whole_day(day, now.tzinfo)
    start = midnight.start.replace(hour=first)
    return Span(start, midnight.end if last == 24 else midnight.start.replace(hour=last))


def _in_english(text: str) -> str:
    if text in _ENGLISH:
        return _ENGLISH[text]
    words = [_ENGLISH.get(word, word) for word in text.split()]
    if words and words[-1] in {"lepas", "lalu"}:
        words = ["last", *words[:-1]]
    elif words and words[-1] == "depan":
        words = ["next", *words[:-1]]
    elif words and words[-1] in {"ini", "ni"}:
        words = ["this", *words[:-1]]
    text = " ".join(words)
    return text.replace("minggu", "week").replace("bulan", "month")


def _weeks(text: str, now: datetime) -> Meaning | None:
    """ "last week", "next month", "this weekend": spans of more than a day."""
    found = re.fullmatch(r"(last|next|this|coming)? ?(week|weekend|month)", text)
    if found is None:
        return None
    shift = {"last": -1, "next": 1, "coming": 0, "this": 0}.get(found[1] or "this", 0)
    monday = now.date() - timedelta(days=now.weekday())
    if found[2] == "month":
        month = now.year * 12 + now.month - 1 + shift
        first = date(month // 12, month % 12 + 1, 1)
        following = date((month + 1) // 12, (month + 1) % 12 + 1, 1)
        span = whole_day(first, now.tzinfo, (following - first).days)
    elif found[2] == "weekend":
        if found[1] == "last" and now.weekday() < 5:
            shift = -1
        span = whole_day(monday + timedelta(days=7 * shift + 5), now.tzinfo, 2)
    else:
        span = whole_day(monday + timedelta(days=7 * shift), now.tzinfo, 7)
    return _either(span, span, text, now)


def _date(text: str, now: datetime, prefer: Literal["past", "future"]) -> date | None:
    """One date, by the date library.

    "Next Thursday" is the first Thursday to come: people differ, and for what has to stop before an appointment the
    earlier day is the safe one. The day is shown back, so that it can be corrected.
    """
    if text == "today":
        return now.date()
    bare = re.sub(r"^(?:this|coming|next|last) (?=\w+day\b|mon\b|tue|wed|thu|fri\b|sat|sun\b)", "", text)
    if bare != text:
        prefer = "past" if text.startswith("last") else "future"
    # Abbreviations need no help, but "21st nov" and "21 of nov" do.
    bare = re.sub(r"(\d)(?:st|nd|rd|th)\b(?: of)?", r"\1", bare).replace(" of ", " ")
    try:
        if re.fullmatch(r"[\d/.\- ]+", bare):
            day = _in_figures(bare, now.date(), prefer)
        else:
            day = _in_words(bare, now, prefer)
    except (ValueError, OverflowError):
        return None
    # Nobody speaks of a treatment years away; such a date is a slip.
    return day if day is not None and abs((day - now.date()).days) <= 3 * 366 else None


def _in_words(text: str, now: datetime, prefer: Literal["past", "future"]) -> date | None:
    if text in _WEEKDAYS and _WEEKDAYS.index(text) == now.weekday():
        return now.date()  # of today and a week away, the careful one
    parser = DateDataParser(
        languages=["en"],
        settings={
            "RELATIVE_BASE": now.replace(tzinfo=None),
            "PREFER_DATES_FROM": prefer,
            "DATE_ORDER": "DMY",
        },
    )
    found = parser.get_date_data(text)
    if found is None or found.date_obj is None or found.period != "day":
        return None
    day: date = found.date_obj.date()
    return day


def _in_figures(text: str, today: date, prefer: Literal["past", "future"]) -> date | None:
    """A date in figures, day first, or year first: "21", "21/11", "21.11.2026", "2026-11-21". Not "11/21"."""
    if found := re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})", text):
        return date(int(found[1]), int(found[2]), int(found[3]))
    if found := re.fullmatch(r"(\d{1,2})[/.\-](\d{1,2})[/.\-](\d{2}|\d{4})", text):
        return date(int(found[3]) + (2000 if len(found[3]) == 2 else 0), int(found[2]), int(found[1]))
    if found := re.fullmatch(r"(\d{1,2})/(\d{1,2})", text):
        candidates = _dates(int(found[1]), [(today.year + shift, int(found[2])) for shift in range(-4, 5)])
    elif found := re.fullmatch(r"\d{1,2}", text):
        months = [divmod(today.year * 12 + today.month - 1 + shift, 12) for shift in range(-2, 3)]
        candidates = _dates(int(text), [(year, month + 1) for year, month in months])
    else:
        return None
    if prefer == "past":
        return max((day for day in candidates if day <= today), default=None)
    return min((day for day in candidates if day >= today), default=None)


def _dates(day: int, months: list[tuple[int, int]]) -> list[date]:
    """The dates with this day in those of the months that have it."""
    return [date(year, month, day) for year, month in months if 1 <= day <= monthrange(year, month)[1]]
