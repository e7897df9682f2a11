"""Time windows: every hour around a treatment, at every limit, for every treatment, also where the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from needlepoint.answering.spans_of_time import Span, hours_later, whole_day
from needlepoint.answering.timeline import Elapsed, Timeline, since_treatment
from needlepoint.answering.windows import full_hour, limits_of, state_of, tell
from needlepoint.clinic import read_clinic
from needlepoint.faq.files import EntryInFile, Timing, read_folder
from needlepoint.phrases import Phrases, read_phrases
from needlepoint.settings import ROOT

ENTRIES = [item.entry for item in read_folder(ROOT / "data" / "faq")]
WINDOWS = [(entry, timing) for entry in ENTRIES for timing in entry.version.timing]
ZONES = ["Asia/Kuala_Lumpur", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]
#: Every hour from fourteen days before a treatment to thirty after it.
HOURS = range(-14 * 24, 30 * 24 + 1)
SUMMER_TIME = {
    "Europe/London": (datetime(2026, 3, 28, 12), datetime(2026, 10, 24, 12)),
    "America/New_York": (datetime(2026, 3, 7, 12), datetime(2026, 10, 31, 12)),
    "Australia/Lord_Howe": (datetime(2026, 4, 4, 12), datetime(2026, 10, 3, 12)),
}

windows = st.sampled_from(WINDOWS)
zones = st.sampled_from(ZONES).map(ZoneInfo)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)).map(lambda at: at.replace(microsecond=0))


@pytest.fixture(scope="module")
def phrases() -> Phrases:
    return read_phrases(ROOT / "data" / "phrases", read_clinic(ROOT / "clinic.toml"))


def limits_in_hours(timing: Timing) -> tuple[float, float, float]:
    usual = timing.to_hours or 0
    return timing.from_hours or 0, usual, max(usual, timing.cautious_to_hours or 0)


def expected_state(timing: Timing, hours: float) -> str:
    """The rule of the design, written down once more: limits are exclusive."""
    begin, usual, careful = limits_in_hours(timing)
    if timing.phase == "after":
        names = [(begin or float("-inf"), "not_begun"), (usual, "inside"), (careful, "between")]
        return next((name for limit, name in names if hours < limit), "over")
    left = -hours
    return "not_begun" if left >= careful else "between" if left >= usual else "inside"


def test_there_are_windows_for_every_treatment() -> None:
    treatments = {treatment for entry, _ in WINDOWS for treatment in entry.treatments}
    assert {"clinic_microneedling", "rf_microneedling", "prp", "home_roller"} <= treatments


def test_every_hour_from_two_weeks_before_to_thirty_days_after_has_the_right_state() -> None:
    for entry, timing in WINDOWS:
        for hours in HOURS:
            assert state_of(timing, Elapsed(hours, hours)) == expected_state(timing, hours), (entry.id, hours)


def test_each_limit_and_an_hour_either_side_of_it_has_the_right_state() -> None:
    for entry, timing in WINDOWS:
        sign = 1 if timing.phase == "after" else -1
        for limit in limits_in_hours(timing):
            for hours in (limit - 1, limit, limit + 1):
                elapsed = sign * hours
                assert state_of(timing, Elapsed(elapsed, elapsed)) == expected_state(timing, elapsed), (entry.id, hours)


@given(windows, zones, moments, st.sampled_from(HOURS))
def test_a_treatment_at_a_known_minute_is_counted_in_hours_that_really_passed(
    window: tuple[EntryInFile, Timing], zone: ZoneInfo, at: datetime, hours: int
) -> None:
    entry, timing = window
    treated = at.replace(tzinfo=UTC).astimezone(zone)
    moment = hours_later(treated, hours)
    elapsed = since_treatment(Span(treated, treated), Span(moment, moment))
    assert state_of(timing, elapsed) == expected_state(timing, hours), entry.id


@given(windows, zones, moments, st.sampled_from(HOURS), st.integers(0, 23 * 60))
def test_a_day_without_an_hour_is_never_less_careful_than_any_hour_of_that_day(
    window: tuple[EntryInFile, Timing], zone: ZoneInfo, at: datetime, hours: int, minute: int
) -> None:
    entry, timing = window
    local = at.replace(tzinfo=zone)
    day = whole_day(local.date(), zone)
    moment = hours_later(local, hours)
    now = Span(moment, moment)
    some_hour = hours_later(day.start, minute / 60)
    by_day = state_of(timing, since_treatment(day, now))
    by_hour = state_of(timing, since_treatment(Span(some_hour, some_hour), now))
    order = ["not_begun", "inside", "between", "over"]
    if timing.phase == "before":
        order = ["not_begun", "between", "inside"]
    if timing.phase == "before" or timing.rule == "expect":
        assert order.index(by_day) >= order.index(by_hour), entry.id
    elif (by_day, by_hour) != ("inside", "not_begun") or timing.rule != "do":  # care may begin a few hours early
        assert order.index(by_day) <= order.index(by_hour), entry.id


@given(windows, zones, moments)
def test_the_day_that_is_named_is_the_one_on_which_the_answer_changes(
    window: tuple[EntryInFile, Timing], zone: ZoneInfo, at: datetime
) -> None:
    entry, timing = window
    treated = at.replace(tzinfo=UTC).astimezone(zone)
    treatment = Span(treated, treated)
    limits = limits_of(timing, treatment)
    later = timing.phase == "after" and timing.rule != "expect"
    shown = full_hour(limits.usual, later)
    state = state_of(timing, since_treatment(treatment, Span(shown, shown)))
    if timing.phase == "before":
        # What must stop is named no later than it must; at the named hour or within the next it has to have stopped.
        assert shown <= limits.usual
        assert state in {"between", "not_begun"} or shown == limits.usual
        soon = shown + timedelta(hours=1, seconds=1)
        assert state_of(timing, since_treatment(treatment, Span(soon, soon))) == "inside", entry.id
    elif timing.rule == "expect":
        assert shown <= limits.usual
    else:
        assert shown >= limits.usual
        assert state != "inside", entry.id


@pytest.mark.parametrize("zone", SUMMER_TIME)
def test_where_the_clocks_change_a_day_has_23_or_25_hours_and_24_hours_are_24(zone: str) -> None:
    for noon_before in SUMMER_TIME[zone]:
        local = noon_before.replace(tzinfo=ZoneInfo(zone))
        following = whole_day(local.date() + timedelta(days=1), ZoneInfo(zone))
        length = (following.end.astimezone(UTC) - following.start.astimezone(UTC)).total_seconds() / 3600
        assert length != 24
        timing = Timing(phase="after", activity="makeup", rule="avoid", from_hours=0, to_hours=24)
        treated = Span(local, local)
        for hours in (23, 23.99, 24, 24.01, 25):
            moment = hours_later(local, hours)
            state = state_of(timing, since_treatment(treated, Span(moment, moment)))
            assert state == ("inside" if hours < 24 else "over")


@settings(max_examples=300)
@given(windows, zones, moments, st.sampled_from(HOURS), st.booleans(), st.sampled_from(["en", "ms"]))
def test_every_window_says_a_whole_sentence_at_every_hour(
    phrases: Phrases,
    window: tuple[EntryInFile, Timing],
    zone: ZoneInfo,
    at: datetime,
    hours: int,
    whole: bool,
    language: str,
) -> None:
    entry, timing = window
    treated = at.replace(tzinfo=UTC).astimezone(zone)
    treatment = whole_day(treated.date(), zone) if whole else Span(treated, treated)
    now = hours_later(treated, hours)
    timeline = Timeline(now=now, asked=Span(now, now), had=treatment, booked=treatment, other=treatment)
    told = tell(timing, timeline, phrases, language)
    if told is None:
        assert whole and (timing.cautious_to_hours or timing.to_hours or 0) <= 12, entry.id
        return
    assert "{" not in told.text and told.text.endswith("."), (entry.id, told.text)
    over = state_of(timing, since_treatment(treatment, Span(now, now))) == "over"
    assert told.contact_clinic == (over and timing.rule == "expect" and timing.kind != "effect")
    if told.contact_clinic:
        assert phrases.clinic.phone in told.text


@given(windows, st.sampled_from(HOURS), st.sampled_from(["en", "ms"]))
def test_a_supposed_time_is_answered_with_lengths_of_time_and_no_date(
    phrases: Phrases, window: tuple[EntryInFile, Timing], hours: int, language: str
) -> None:
    _, timing = window
    now = datetime(2026, 11, 24, 20, tzinfo=ZoneInfo("Asia/Kuala_Lumpur"))
    timeline = Timeline(now=now, asked=Span(now, now), supposed=Elapsed(hours, hours))
    told = tell(timing, timeline, phrases, language)
    if (hours <= 0) != (timing.phase == "before"):
        assert told is None
        return
    assert told is not None
    assert told.state == expected_state(timing, hours)
    assert not any(
        phrases.date(now.date() + timedelta(days=d), language, now.date()) in told.text for d in range(-40, 40)
    )
