""" "What can I do today?": every time window at once, for the day of treatment a person told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta

import msgspec

from needlepoint.answering.timeline import Timeline, since_treatment
from needlepoint.answering.windows import State, limits_of, names_later, state_of
from needlepoint.faq.files import Timing
from needlepoint.faq.published import PublishedEntry, in_language
from needlepoint.phrases import Phrases


class DayPlan(msgspec.Struct, frozen=True):
    """The text, and the entries (with version) whose windows it was computed from."""

    text: str
    sources: list[str]


def plan_of_the_day(
    entries: Sequence[PublishedEntry], treatments: Sequence[str], timeline: Timeline, phrases: Phrases, language: str
) -> DayPlan:
    """What to leave out, what to do and what is usual to see at `timeline.asked`, for the person's treatments.

    Counts on from the last treatment and back from a booked one; `timeline` must know one of them.
    """
    lists: dict[str, dict[str, list[str]]] = {}
    sources: list[str] = []
    unreviewed = False
    for phase, known in (("after", timeline.had), ("before", timeline.booked)):
        if known is None:
            continue
        for entry, timing in _windows(entries, treatments, phase, language):
            placed = _placed(timing, timeline, phrases, language)
            if placed is None:
                continue
            lists.setdefault(placed.heading, {}).setdefault(placed.until, []).append(placed.activity)
            answer = in_language(entry.answers, language)
            sources.append(f"{entry.id} version {answer.version}")
            unreviewed = unreviewed or answer.starting_text_of is not None
    parts = []
    for heading in ("avoid", "calm", "before_avoid", "before_later", "do", "expect"):
        if heading in lists:
            lines = [line for until, activities in lists[heading].items() for line in _lines(until, activities)]
            parts.append("\n".join([phrases.say(f"today_{heading}", language), *lines]))
    if not parts:
        parts.append(phrases.say("today_nothing", language))
    parts.append(phrases.say("today_contact", language))
    if unreviewed:
        parts.append(phrases.say("today_unreviewed", language))
    return DayPlan("\n\n".join(parts), sources)


def _lines(until: str, activities: list[str]) -> list[str]:
    """One line for all that hold until the same day; without a day, one line each."""
    different = list(dict.fromkeys(activities))
    return [f"- **{until}:** {'; '.join(different)}"] if until else [f"- {activity}" for activity in different]


class _Placed(msgspec.Struct, frozen=True):
    """The list a window belongs in now, the day of its line there, and what the line says of the activity."""

    heading: str
    until: str
    activity: str


def _windows(
    entries: Sequence[PublishedEntry], treatments: Sequence[str], phase: str, language: str
) -> list[tuple[PublishedEntry, Timing]]:
    """The windows in one phase, shortest first.

    Of two for one activity that of the entry made for fewer treatments counts; with several treatments the longest.
    """
    found: dict[tuple[str, str], tuple[PublishedEntry, Timing]] = {}
    for treatment in treatments:
        own: dict[tuple[str, str], tuple[PublishedEntry, Timing]] = {}
        for entry in entries:
            if entry.topic == "urgent" or not {"any", treatment} & set(entry.treatments):
                continue
            for timing in entry.timing[in_language(entry.answers, language).language]:
                key = (timing.activity, timing.rule)
                known = own.get(key)
                if timing.phase == phase and (known is None or _breadth(entry) < _breadth(known[0])):
                    own[key] = entry, timing
        for place, window in own.items():
            if place not in found or (window[1].to_hours or 0) > (found[place][1].to_hours or 0):
                found[place] = window
    return sorted(found.values(), key=lambda window: window[1].to_hours or 0.0)


def _breadth(entry: PublishedEntry) -> int:
    """For how many treatments an entry is made; "any" is for more than all that are named."""
    return 99 if "any" in entry.treatments else len(entry.treatments)


def _placed(timing: Timing, timeline: Timeline, phrases: Phrases, language: str) -> _Placed | None:
    """Where a window belongs now; None where it has nothing to say today."""
    treatment = timeline.booked if timing.phase == "before" else timeline.had
    assert treatment is not None
    if timing.rule == "schedule" or timing.kind == "effect":
        return None
    state = state_of(timing, since_treatment(treatment, timeline.asked))
    limits = limits_of(timing, treatment)
    later = names_later(timing)

    def day(moment: datetime) -> str:
        """A plan says days, no hours: the next day for what one waits for, the same for what must not last."""
        return phrases.date(full_day(moment, later), language, timeline.now.date())

    def say(key: str) -> str:
        return phrases.say(
            key,
            language,
            activity=_uncapitalised(phrases.say(f"activity_{timing.activity}", language)),
            usual=day(limits.usual),
            careful=day(limits.last),
            last=day(limits.last),
        )

    if timing.phase == "before":
        return _placed_before(timing, state, say, phrases)
    if timing.rule == "avoid" and state == "inside":
        return _Placed("avoid", say("today_until"), say("today_careful" if limits.careful else "today_plain"))
    if timing.rule == "avoid" and state == "between":
        return _Placed("calm", "", say("today_careful"))
    if timing.rule == "do" and state in {"inside", "between"}:
        return _Placed("do", say("today_until_last"), say("today_plain"))
    if timing.rule == "expect" and state == "inside":
        return _Placed("expect", say("today_until"), say("today_contact_from"))
    if timing.rule == "expect" and state == "between":
        return _Placed("expect", say("today_fading"), say("today_contact_from"))
    return None


def _placed_before(timing: Timing, state: State, say: Callable[[str], str], phrases: Phrases) -> _Placed | None:
    if timing.rule == "do":
        # Tablets are the prescriber's matter, and half an hour of numbing cream is no matter of a day's plan.
        takes_a_day = (timing.to_hours or 0) >= 12 and timing.kind != "medicine"
        return _Placed("do", "", say("today_plain")) if state != "not_begun" and takes_a_day else None
    if state == "not_begun":
        # What ends months before is not news; what begins within the week before is.
        soon = (timing.to_hours or 0) <= 168
        return _Placed("before_later", say("today_from"), say("today_plain")) if soon else None
    if timing.kind == "treatment" and (timing.to_hours or 0) > 672:
        return None  # an operation months ago is a matter of suitability, asked before any booking
    special = f"today_before_{timing.kind}"
    return _Placed("before_avoid", "", say(special if phrases.has(special) else "today_plain"))


def full_day(moment: datetime, later: bool) -> date:
    """The date of a moment, or the next date if it is past midnight and should not be named too early."""
    past_midnight = moment.time() != time()
    return moment.date() + timedelta(days=1) if later and past_midnight else moment.date()


def _uncapitalised(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
