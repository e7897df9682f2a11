"""When it was: from people's words to spans of time, and to what the conversation knows of the treatment."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from needlepoint.answering.spans_of_time import Span, meaning_of
from needlepoint.answering.timeline import DayMention, Timeline, read_timeline, says_only_when

ZONE = ZoneInfo("Asia/Kuala_Lumpur")
#: A Tuesday, eight in the evening.
NOW = datetime(2026, 11, 24, 20, 0, tzinfo=ZONE)


def span(start: str, end: str | None = None) -> Span:
    """A span in November 2026, or a whole day: "21" or "21 04:00", "21 12:00"."""

    def moment(written: str) -> datetime:
        day, _, clock = written.partition(" ")
        return datetime.fromisoformat(f"2026-{day if '-' in day else '11-' + day}T{clock or '00:00'}").replace(
            tzinfo=ZONE
        )

    if end is None:
        first = moment(start)
        return Span(first, first if " " in start else first.replace(day=first.day + 1))
    return Span(moment(start), moment(end))


@pytest.mark.parametrize(
    ("words", "past"),
    [
        ("2 days ago", span("22")),
        ("two days ago", span("22")),
        ("a couple of days ago", span("22")),
        ("a few days ago", span("20", "23")),
        ("5 hours ago", span("24 15:00")),
        ("yesterday", span("23")),
        ("ytd", span("23")),
        ("last night", span("23 18:00", "24")),
        ("this morning", span("24 04:00", "24 12:00")),
        ("yesterday 3pm", span("23 15:00")),
        ("today at 10.30am", span("24 10:30")),
        ("day 3", span("21")),
        ("third day", span("21")),
        ("a week ago", span("17")),
        ("last friday", span("20")),
        ("last week", span("16", "23")),
        ("the day before yesterday", span("22")),
        ("2 or 3 days ago", span("21", "23")),
        ("3-4 days ago", span("20", "22")),
        ("half an hour ago", span("24 19:30")),
        ("1.5 days ago", span("23 08:00")),
        ("last night at 12am", span("24 00:00")),
        ("last night at 2am", span("24 02:00")),
        ("last night at 11pm", span("23 23:00")),
        ("semalam 12 malam", span("24 00:00")),
        ("kelmarin", span("22", "24")),
        ("2026-11-20", span("20")),
        ("20.11.2026", span("20")),
        ("semalam", span("23")),
        ("2 hari lepas", span("22")),
        ("dua hari lalu", span("22")),
        ("isnin lepas", span("23")),
        ("minggu lepas", span("16", "23")),
        ("tadi pagi", span("24 04:00", "24 12:00")),
        ("hari ke-3", span("21")),
        ("seminggu lepas", span("17")),
    ],
)
def test_words_for_the_past_are_a_span_in_the_clinics_zone(words: str, past: Span) -> None:
    meaning = meaning_of(words, NOW)
    assert meaning is not None
    assert (meaning.past, meaning.ahead) == (past, None)


@pytest.mark.parametrize(
    ("words", "ahead"),
    [
        ("in 5 hours", span("25 01:00")),
        ("tomorrow", span("25")),
        ("tmrw", span("25")),
        ("tomorrow morning", span("25 04:00", "25 12:00")),
        ("next thursday", span("26")),
        ("this thursday", span("26")),
        ("in 3 days", span("27")),
        ("next week", span("30", "12-07")),
        ("esok", span("25")),
        ("lusa", span("26")),
        ("isnin depan", span("30", "12-01")),
        ("5 jam lagi", span("25 01:00")),
        ("2 weeks from today", span("12-08", "12-09")),
    ],
)
def test_words_for_what_is_to_come_are_a_span_in_the_clinics_zone(words: str, ahead: Span) -> None:
    meaning = meaning_of(words, NOW)
    assert meaning is not None
    assert (meaning.past, meaning.ahead) == (None, ahead)


@pytest.mark.parametrize(
    ("words", "past", "ahead"),
    [
        ("on Saturday", span("21"), span("28")),
        ("sabtu", span("21"), span("28")),
        # Today counts: of today and a week ago it is the careful day.
        ("tuesday", span("24", "24 20:00"), span("24 20:00", "25")),
        ("the 21st", span("21"), span("12-21")),
    ],
)
def test_a_day_of_the_week_or_month_can_mean_either_side_of_today(words: str, past: Span, ahead: Span) -> None:
    meaning = meaning_of(words, NOW)
    assert meaning is not None
    assert (meaning.past, meaning.ahead) == (past, ahead)


@pytest.mark.parametrize(
    "words",
    [
        *("november", "soon", "31 february", "31/2", "the other day", "day", "99th", "", "0000", "12/16", "10/25/26"),
        *("31/12/9999", "9999-12-31", "0001-01-01", "21/11/1999"),
    ],
)
def test_what_is_no_time_is_not_guessed(words: str) -> None:
    assert meaning_of(words, NOW) is None


@pytest.mark.parametrize(("words", "past"), [("31/10", span("10-31", "11-01")), ("the 30th", span("10-30", "10-31"))])
def test_a_date_without_a_year_can_lie_behind(words: str, past: Span) -> None:
    meaning = meaning_of(words, NOW)
    assert meaning is not None and meaning.past == past


@pytest.mark.parametrize("count", range(0, 1000, 37))
def test_no_length_of_time_makes_it_fall_over(count: int) -> None:
    for unit in ("minutes", "hours", "days", "weeks", "months", "years", "hari", "minggu"):
        for words in (f"{count} {unit} ago", f"in {count} {unit}", f"day {count}", f"{count} {unit} after"):
            meaning = meaning_of(words, NOW)
            assert meaning is None or meaning.past is None or meaning.past.start <= meaning.past.end <= NOW


def read(text: str, had: Span | None = None, booked: Span | None = None) -> Timeline:
    """Read a text whose times stand in brackets, with an exclamation mark where the engine finds one of treatment."""
    plain, mentions = marked(text)
    return read_timeline(plain, mentions, NOW, had, booked)


def marked(text: str) -> tuple[str, list[DayMention]]:
    mentions = []
    plain = ""
    for part in re.split(r"(\[[^]]*\]!?)", text):
        if part.startswith("["):
            words = part.strip("[]!")
            mentions.append(DayMention(words, len(plain), len(plain) + len(words), part.endswith("!")))
            plain += words
        else:
            plain += part
    return plain, mentions


@pytest.mark.parametrize(
    ("text", "had"),
    [
        ("I had it [on Saturday]!", span("21")),
        ("had it done [2 days ago]!, can I wear makeup", span("22")),
        ("did my face [this morning]!", span("24 04:00", "24 12:00")),
        ("it's [day 3]! and still red", span("21")),
        ("I'm [2 days post]! treatment, can I swim?", span("22")),
        ("my session was [on thursday]!", span("19")),
        ("had it [yesterday]! at 3pm", span("23 15:00")),
        ("baru buat [semalam]!", span("23")),
    ],
)
def test_the_day_of_a_treatment_that_was_had_is_understood(text: str, had: Span) -> None:
    timeline = read(text)
    assert (timeline.had, timeline.booked, timeline.news) == (had, None, ("had",))


@pytest.mark.parametrize(
    ("text", "booked"),
    [
        ("my appointment is [next Thursday]!", span("26")),
        ("I'm booked [on Saturday]!, may I drink tonight", span("28")),
        ("having it done [tomorrow]!", span("25")),
        ("my appointment is [in 5 hours]!", span("25 01:00")),
        ("temujanji saya [esok]!", span("25")),
        ("I have my session [on monday]! at 10am", span("30 10:00")),
    ],
)
def test_the_day_of_a_treatment_to_come_is_understood(text: str, booked: Span) -> None:
    timeline = read(text)
    assert (timeline.booked, timeline.had, timeline.news) == (booked, None, ("booked",))


def test_a_question_can_be_about_another_moment_than_now() -> None:
    timeline = read("had it [yesterday]!, can I swim [on Friday]?")
    assert timeline.had == span("23")
    assert timeline.asked == span("27")


def test_a_question_can_suppose_a_time_without_telling_one() -> None:
    timeline = read("can I wear makeup [2 days after]!?")
    assert (timeline.had, timeline.news) == (None, ())
    assert timeline.supposed is not None
    assert (timeline.supposed.least, timeline.supposed.most) == (24, 72)
    assert read("may i go running on [day 2]!").supposed is not None
    before = read("should I stop retinol [3 days before]! my appointment").supposed
    assert before is not None
    assert (before.least, before.most) == (-96, -48)


@pytest.mark.parametrize(
    "text",
    [
        "can I wash my face [5 hours after]! I had it done?",
        "can I swim [3 days after]! getting microneedling done?",
        "is it ok to wear makeup [2 days after]! it's done?",
        "is peeling on [day 3]! normal?",
        "what happens on [day 5]!",
        "boleh berenang [3 hari lepas]! rawatan?",
        "boleh pakai makeup [2 hari lepas]! buat microneedling tak?",
    ],
)
def test_a_question_about_a_day_tells_no_treatment(text: str) -> None:
    timeline = read(text)
    assert (timeline.had, timeline.booked) == (None, None)
    assert timeline.supposed is not None


@pytest.mark.parametrize(
    "text",
    [
        "I had a few drinks [last night]!, can I still come?",
        "I had botox [yesterday]!",
        "I stopped accutane [3 months ago]!",
        "I had covid vaccine [2 weeks ago]!",
        "I used retinol [2 days ago]!",
        "i had a cold sore [3 weeks ago]!",
        "can I book my next session [in 4 weeks]!?",
        "can I have another treatment [in 2 weeks]!?",
        "do you have appointment [on saturday]!",
        "is the clinic open [on saturday]! for treatment?",
        "boleh buat rawatan [esok]!?",
        "I need to cancel my appointment [on friday]!",
        "how much is treatment [today]!",
        "nak tukar appointment [esok]!",
    ],
)
def test_the_day_of_something_else_is_not_that_of_the_treatment(text: str) -> None:
    timeline = read(text)
    assert (timeline.had, timeline.booked, timeline.news) == (None, None, ())


@pytest.mark.parametrize(
    ("text", "booked"),
    [
        ("I've got an appointment [on friday]!, can I drink alcohol?", span("27")),
        ("got booked for [friday]!", span("27")),
        ("I had my appointment booked for [friday]!", span("27")),
        ("saya dah buat temujanji [hari jumaat]!", span("27")),
        ("my appointment is [3 days]! from today", span("27")),
        ("what should I avoid before my session [on friday]!", span("27")),
    ],
)
def test_an_appointment_is_not_taken_for_a_treatment_that_was_had(text: str, booked: Span) -> None:
    timeline = read(text.replace("[3 days]! from today", "[3 days from today]!"))
    assert (timeline.had, timeline.booked) == (None, booked)


@pytest.mark.parametrize(
    ("text", "had"),
    [
        ("had my session [on the 30th]!", span("10-30", "10-31")),
        ("I had my appointment [on the 25th]!", span("10-25", "10-26")),
        ("I had it [yesterday]!, my first session was [a month ago]!", span("23")),
        ("had it [yesterday]!. last one was [6 weeks ago]!", span("23")),
        ("had rf [2 days ago]! and i had a cold sore [3 weeks ago]!", span("22")),
        ("no, it was [saturday]! not [friday]!", span("21")),
        ("it was actually [friday]! not [saturday]!", span("20")),
        ("I had it 2 or [3 days ago]!", span("21", "23")),
        ("had it [yesterday]!, 2 ampoules were used", span("23")),
        ("had rf [on tuesday]!", span("24", "24 20:00")),
    ],
)
def test_of_several_days_the_treatments_own_and_latest_counts(text: str, had: Span) -> None:
    timeline = read(text)
    assert (timeline.had, timeline.booked) == (had, None)


def test_a_booking_that_passed_is_moved_even_when_the_next_one_is_told() -> None:
    timeline = read("my next appointment is [on friday]!", had=span("01"), booked=span("23"))
    assert timeline.moved
    assert (timeline.had, timeline.booked) == (span("23"), span("27"))


def test_the_day_of_a_wedding_is_not_the_day_of_treatment() -> None:
    timeline = read("my wedding is [on 20 december], when is the last day I can have it")
    assert (timeline.had, timeline.booked) == (None, None)
    assert timeline.other == span("12-20")


@pytest.mark.parametrize("text", ["no, it was [friday]", "sorry i mean [friday]", "[friday]", "eh silap, [friday]"])
def test_a_day_said_alone_corrects_the_day_of_treatment(text: str) -> None:
    assert says_only_when(*marked(text))
    assert read(text, had=span("21")).had == span("20")


def test_a_day_said_alone_corrects_the_appointment_where_only_that_is_known() -> None:
    assert read("no, [friday]", booked=span("26")).booked == span("27")


@pytest.mark.parametrize(
    "text", ["can I swim [tomorrow]", "makeup [tomorrow]?", "my face is sore since [yesterday]", "hi"]
)
def test_a_message_that_asks_something_is_not_only_a_day(text: str) -> None:
    assert not says_only_when(*marked(text))


def test_an_appointment_that_has_passed_counts_as_treatment() -> None:
    timeline = read("can I wear makeup?", booked=span("23"))
    assert (timeline.had, timeline.booked) == (span("23"), None)


def test_what_was_known_is_kept_when_a_message_tells_no_day() -> None:
    timeline = read("and sunscreen?", had=span("21"))
    assert (timeline.had, timeline.news) == (span("21"), ())
    assert timeline.asked == Span(NOW, NOW)


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("waxed chin [mon], dermapen [sat]!?", "before"),
        ("dermapen [sat]!, waxing my chin [mon], ok?", "after"),
        ("btx in my forehead [6 days ago], needling [fri]!, fine?", "before"),
        ("tox how long after MN? appt is [in 9 days]!", "after"),
        ("can I have wine before needling", "before"),
        ("drinks at a dinner, next day 4pm got needling appointment, can or not", "before"),
        ("how long after botox can I have needling", None),
        ("before needling or after needling, when is sun worse", None),
        ("that's not what I asked, I mean before, not after", "before"),
    ],
)
def test_the_side_of_the_treatment_is_read_from_order_and_words_where_verbs_are_missing(
    text: str, side: str | None
) -> None:
    plain = re.sub(r"[\[\]!]", "", text)
    assert read(text).side(plain) == side


@pytest.mark.parametrize(
    ("words", "whole"),
    [("smlm", "semalam"), ("td pg", "tadi pagi"), ("esk ptg", "esok petang"), ("mlm td", "malam tadi")],
)
def test_words_about_time_are_understood_as_they_are_written_in_a_hurry(words: str, whole: str) -> None:
    assert meaning_of(words, NOW) == meaning_of(whole, NOW) is not None
