"""What a time window means on the day somebody asks: the state it is in, and the sentence that says so."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from needlepoint.answering.spans_of_time import Span, hours_later
from needlepoint.answering.timeline import Elapsed, Timeline, since_treatment
from needlepoint.faq.files import Timing
from needlepoint.phrases import Phrases

#: Where a moment lies: before the window opens, inside it, past its usual but not its careful limit, past both. A
#: window before an appointment is passed the other way round: it opens at its careful limit.
State = Literal["not_begun", "inside", "between", "over"]


class Limits(msgspec.Struct, frozen=True):
    """When a window opens, ends as a rule, and ends by the strictest advice; `careful` is None where none is stricter.

    Counted after a treatment or, for phase `before`, back from an appointment.
    """

    begin: datetime
    usual: datetime
    careful: datetime | None

    @property
    def last(self) -> datetime:
        """The end by the strictest advice there is."""
        return self.careful or self.usual


class Told(msgspec.Struct, frozen=True):
    """A window's state, the sentence about it, and whether the clinic should be contacted because of it."""

    state: State
    text: str
    contact_clinic: bool = False


def state_of(timing: Timing, elapsed: Elapsed) -> State:
    """The state of a window so many hours after (or, negative, before) the treatment. Limits are exclusive.

    Where the hour of treatment is not known, the cautious end of what is possible decides: the least time since for
    what is to be left out or done, the most for what is still to be expected, the least time left before an
    appointment.
    """
    if timing.phase == "before":
        left = -elapsed.most
        if left >= _careful(timing):
            return "not_begun"
        return "between" if left >= _usual(timing) else "inside"
    hours = elapsed.most if timing.rule == "expect" else elapsed.least
    begun = elapsed.least if timing.rule in {"avoid", "schedule"} else elapsed.most
    if timing.from_hours and begun < timing.from_hours:
        return "not_begun"  # what begins with the treatment holds before it too: "not yet" is never early
    if hours < _usual(timing):
        return "inside"
    return "between" if hours < _careful(timing) else "over"


def _usual(timing: Timing) -> float:
    return timing.to_hours if timing.to_hours is not None else timing.from_hours or 0


def _careful(timing: Timing) -> float:
    return timing.cautious_to_hours if timing.cautious_to_hours is not None else _usual(timing)


def limits_of(timing: Timing, treatment: Span) -> Limits:
    """The window's limits in time, in the zone of `treatment`.

    A treatment without an hour is an interval: what is expected counts from its start, what is to be left out from its
    end; what is to be done begins by its start and ends by its end; what must stop before an appointment counts back
    from its start.
    """
    if timing.phase == "before":
        edge, sign = treatment.start, -1
    else:
        edge, sign = (treatment.start if timing.rule == "expect" else treatment.end), 1
    careful = timing.cautious_to_hours
    opens = treatment.start if timing.phase == "after" and timing.rule == "do" else edge
    return Limits(
        begin=hours_later(opens, sign * (timing.from_hours or 0)),
        usual=hours_later(edge, sign * _usual(timing)),
        careful=hours_later(edge, sign * careful) if careful is not None and careful > _usual(timing) else None,
    )


def treatment_of(timing: Timing, timeline: Timeline) -> Span | None:
    """What a window counts from: the last treatment, the booked one, or the event that a session must precede.

    A question about a day after the booked treatment counts from that one.
    """
    if timing.phase == "after":
        if timeline.booked is not None and timeline.asked.end > timeline.booked.start:
            return timeline.booked
        return timeline.had
    return timeline.other if timing.rule == "schedule" else timeline.booked


def tell(timing: Timing, timeline: Timeline, phrases: Phrases, language: str) -> Told | None:
    """The sentence about a window, None where neither a day nor a supposed time is known for it."""
    treatment = treatment_of(timing, timeline)
    if timeline.supposed is not None and (timeline.supposed.most <= 0) == (timing.phase == "before"):
        treatment, elapsed = None, timeline.supposed
    elif treatment is not None:
        elapsed = since_treatment(treatment, timeline.asked)
    else:
        return None
    if treatment is not None and treatment.end - treatment.start >= timedelta(hours=2 * _careful(timing)):
        return None  # "half an hour before" says nothing about an appointment whose hour is not known
    state = state_of(timing, elapsed)
    if treatment is not None:
        said_with = _dates(timing, limits_of(timing, treatment), timeline.now, phrases, language)
    else:
        said_with = _durations(timing, phrases, language)
    said_with["activity"] = phrases.say(f"activity_{timing.activity}", language)
    key = _phrase(timing, state, phrases)
    parts = [phrases.say(key, language, **said_with)]
    if _careful(timing) > _usual(timing) and phrases.has(f"{key}_careful"):
        parts.append(phrases.say(f"{key}_careful", language, **said_with))
    past_expected = treatment is not None and state == "over" and timing.rule == "expect" and timing.kind != "effect"
    return Told(state, " ".join(parts), contact_clinic=past_expected)


def _phrase(timing: Timing, state: State, phrases: Phrases) -> str:
    key = f"time_{timing.phase}_{timing.rule}_{state}"
    special = f"{key}_{timing.kind}"
    return special if timing.kind is not None and phrases.has(special) else key


def _dates(timing: Timing, limits: Limits, now: datetime, phrases: Phrases, language: str) -> dict[str, str]:
    """Each limit as a day, with its hour where that is known, rounded to the cautious side."""
    later = names_later(timing)

    def shown(moment: datetime) -> str:
        return phrases.moment(full_hour(moment, later), language, now)

    return {
        "begin": shown(limits.begin),
        "usual": shown(limits.usual),
        "careful": shown(limits.last),
        "last": shown(limits.last),
    }


def names_later(timing: Timing) -> bool:
    """Whether a limit is rounded up: what one waits for is never named too early, what must not last never too late."""
    return timing.phase == "after" and timing.rule != "expect"


def full_hour(moment: datetime, later: bool) -> datetime:
    """The next full hour, or the last one."""
    bare = moment.replace(minute=0, second=0, microsecond=0)
    return hours_later(bare, 1) if later and bare != moment else bare


def _durations(timing: Timing, phrases: Phrases, language: str) -> dict[str, str]:
    """Each limit as a length of time, for a treatment whose day is not known."""

    def shown(hours: float) -> str:
        return phrases.say(f"duration_{timing.phase}", language, duration=phrases.duration(hours, language))

    careful = shown(_careful(timing))
    return {
        "begin": shown(timing.from_hours or 0),
        "usual": shown(_usual(timing)),
        "careful": careful,
        "last": careful,
    }
