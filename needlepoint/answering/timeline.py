"""When the person had, or will have, the treatment, and which moment the question is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from needlepoint.answering.spans_of_time import CLOCK, Meaning, Span, meaning_of


class DayMention(msgspec.Struct, frozen=True):
    """Words about time that the engine found; `of_treatment` where the words around them speak of having one."""

    words: str
    start: int
    end: int
    of_treatment: bool


class Elapsed(msgspec.Struct, frozen=True):
    """Hours since the treatment (negative: until it), as far as one can tell: at least, at most."""

    least: float
    most: float


class Timeline(msgspec.Struct, frozen=True):
    """What is known of time when a question is answered.

    `had` is the last treatment, `booked` the coming one, `asked` the moment the question is about (now, if it names
    none). `supposed` is how long after (or, negative, before) a treatment the question itself supposes: "can I swim
    3 days after?". `news` says which of `had` and `booked` this message told.
    """

    now: datetime
    asked: Span
    had: Span | None = None
    booked: Span | None = None
    supposed: Elapsed | None = None
    news: tuple[str, ...] = ()
    #: A booked treatment has become the last one since it was told.
    moved: bool = False
    #: Another day that the message names ("my wedding is on 20 December").
    other: Span | None = None

    def side(self, text: str) -> Literal["before", "after"] | None:
        """On which side of the treatment the question of `text` is asked, None where that is not known.

        What the question itself supposes counts most, then its words ("after needling"), then the days that are known.
        """
        if self.supposed is not None:
            return "after" if self.supposed.least >= 0 else "before"
        found = _SIDE_OF_TREATMENT.finditer(text.lower())
        named = {"after" if one["after"] or one["meant_after"] else "before" for one in found}
        if len(named) == 1:
            return "after" if "after" in named else "before"
        if self.had is not None and self.booked is not None:
            # Between two treatments the nearer one is meant.
            return "after" if self.now - self.had.end <= self.booked.start - self.now else "before"
        if self.had is not None:
            return "after"
        told = self.booked is not None or _HAS_A_BOOKING.search(text.lower()) is not None
        return "before" if told else None


#: Where a question begins, and with it a clause.
_ASKS = (
    r"(?:can|could|may|should|shall|would|will it|when|what|how|is it|is there|is the|are there|do you|does|did i|"
    r"ok(?:ay)? to|allowed|boleh|bolehkah|bila|patut|patutkah|apa|macam mana|selamat ke)"
)
_QUESTION = re.compile(rf"\b{_ASKS}\b|\b(?:is|are)\b.*\b(?:normal|ok|okay|safe|fine|usual)\b")
_CLAUSE_END = re.compile(rf"[,.;:?!\n]|\b(?:but|and|so|tapi|dan)\b|(?=\b{_ASKS}\b)")

#: Words by which somebody speaks of having the treatment, not of a drink or a cream.
_TREATED = re.compile(
    r"\b(?:it|this|that|mine|done|micro-?\s?need\w*|needl\w*|derma\s?\w*|roller|rolled|rolling|rf|radio\s?frequency|"
    r"morpheus\w*|m8|prp|vampire|treatment|session|procedure|appointment|appt|booked|rawatan|jarum|sesi|temujanji|buat|"
    r"first one|last one|my face|muka)\b"
)
#: Other things that are done to skin or taken: a day in their clause is theirs.
_OTHER = re.compile(
    r"\b(?:botox|btx|tox|fillers?|peels?|laser|facial|vaccin\w*|jab|surgery|wax\w*|thread\w*|tan\w*|sunburn\w*|drinks?|drank|"
    r"alcohol|wine|beer|retin\w*|tretinoin|accutane|roaccutane|isotretinoin|antibiotics?|cold sores?|period|acid|scrub|"
    r"aspirin|ibuprofen|panadol|coffee|sauna|swam|gym)\b"
)
#: A time that is still to come, whatever verb stands beside it.
_BOOKED = re.compile(
    r"\b(?:appointment|appt|booked|booking|temujanji|scheduled|next session|next one|next treatment)\b"
)
#: ... unless it says that it has been.
_BEEN = re.compile(
    r"\b(?:was|were|went|came|selepas)\b|\bhad (?:my|an|the) (?:last )?(?:appointment|appt)\b(?!.*\bbooked\b)"
)
_HAD = re.compile(
    r"\b(?:had|got|did|was|were|went|been|came|underwent|rolled|used|since|dah|dh|sudah|baru|selepas|lepas|last)\b"
)
_TO_COME = re.compile(r"\b(?:going|will|having|coming|next|nak|akan|getting|is|s|have|'ll)\b")
#: "I'm 3 days post" tells a time although the clause asks; it stands before the time.
_TELLS = re.compile(
    r"\b(?:i'?m|i am|i had|i got|i did|had it|did it|it'?s been|been|it'?s|its|dah|dh|sudah|baru)\b[^?]*@"
)
#: An appointment that is told inside a question: "what to avoid before my session on Friday".
_MY_BOOKING = re.compile(
    r"\b(?:my|the) (?:\w+ ){0,2}(?:appointment|appt|session|treatment|procedure|needling)\b[^@]{0,12}@|"
    r"\b(?:temujanji|rawatan) (?:saya|aku)[^@]{0,12}@|\bmy next (?:one|session)\b"
)
_CHANGES = re.compile(
    r"\b(?:book|cancel\w*|resched\w*|move|change|postpone|batal\w*|tukar|another|more|available|slot)\b"
)
#: Words that say on which side of the treatment something is asked about: "tox how long after MN".
_SIDE_OF_TREATMENT = re.compile(
    r"\b(?:(?P<after>after|selepas|post)|before|sebelum|pre)[\s-]+(?:(?:my|the|a|your|having|getting|doing|buat)\s+){0,2}"
    r"(?:mn|micro-?\s?needling|needling|derma\s?pen|skinpen|rolling|rf|morpheus\s?8?|m8|prp|treatment|rawatan)\b|"
    r"\bi (?:mean|meant) (?:(?P<meant_after>after)|before)\b"
)
#: An appointment for the treatment without a day that can be read: "next day 4pm got needling appointment".
_HAS_A_BOOKING = re.compile(
    r"\b(?:have|has|got|ada)\s+(?:(?:my|a|an|the)\s+)?"
    r"(?:mn|micro-?\s?needling|needling|derma\s?pen|rf|morpheus\s?8?|m8|prp)\s+(?:appointment|appt|booked|session)\b"
)
_NOT = re.compile(r"(?:\bnot(?: on)?|\bbukan|\bbukannya|n't|\binstead of)\s*$")

#: What may stand around a time in a message that says nothing else.
_FILLER = re.compile(
    r"\b(?:i|had|have|got|did|done|do|it|its|it's|was|wasn't|is|were|my|the|a|an|on|at|in|no|nope|not|sorry|actually|"
    r"wait|oh|hi|hello|yes|yeah|ya|yup|ok|okay|just|been|correction|mean|meant|treatment|treatments|session|"
    r"appointment|appt|booked|microneedling|needling|rf|prp|procedure|for|me|so|and|wrong|date|day|instead|"
    r"saya|sy|aku|ak|baru|bru|je|kat|klinik|with you|with the clinic|"
    r"buat|dah|sudah|rawatan|temujanji|pada|bukan|tak|eh|hari|tu|lah|la|maaf|sebenarnya|silap|salah|tersalah|"
    r"cakap|maksud|about|around|from|now|scheduled|going|getting|having|will be|be|this|that|think|it'll)\b"
)


def read_timeline(
    text: str,
    mentions: Sequence[DayMention],
    now: datetime,
    had: Span | None = None,
    booked: Span | None = None,
) -> Timeline:
    """Read a message against what the conversation knows.

    `now` has the clinic's zone; `had` and `booked` are what was said before. A booked treatment whose time has passed
    counts as had. A message that says a time and nothing else tells (or corrects) the day of treatment.
    """
    moved = booked is not None and booked.end <= now
    if moved:
        had, booked = booked, None
    alone = says_only_when(text, mentions)
    # A day said alone corrects the treatment that is known, if only one is.
    corrected = {(True, False): "had", (False, True): "booked"}.get((had is not None, booked is not None))
    told: dict[str, Span] = {}
    asked: Span | None = None
    supposed: Elapsed | None = None
    other: Span | None = None
    for mention in mentions:
        clause = _clause(text, mention)
        if _NOT.search(clause[: clause.index("@")]):
            continue
        meaning = meaning_of(_with_neighbours(text, mention), now)
        if meaning is None:
            continue
        asks = _QUESTION.search(clause) is not None
        if meaning.before is not None or (meaning.after is not None and asks and not _TELLS.search(clause)):
            supposed = _elapsed(meaning)
        elif alone or (mention.of_treatment and _tells_treatment(meaning, clause, asks)):
            found = _told(meaning, clause, now, corrected if alone else _by_order(text, mentions, mention))
            if found and (found[0] not in told or _nearer(found, told[found[0]])):
                told[found[0]] = found[1]
        elif meaning.ahead is not None:
            if asked is None and _QUESTION.search(text.lower()) and not _is_event(clause):
                asked = meaning.ahead
            else:
                other = meaning.ahead
    had, booked = told.get("had", had), told.get("booked", booked)
    return Timeline(
        now=now,
        asked=asked or Span(now, now),
        had=had,
        booked=booked,
        supposed=supposed,
        news=tuple(told),
        moved=moved,
        other=other,
    )


def _by_order(text: str, mentions: Sequence[DayMention], mention: DayMention) -> str | None:
    """Whether the treatment is told as had or as booked by its place in the message, where verbs leave it open.

    What happens first is told first: "waxed chin mon, dermapen thu?" has the treatment to come.
    """
    for other in mentions:
        if other is not mention and _OTHER.search(_clause(text, other)):
            return "booked" if other.start < mention.start else "had"
    return None


def _tells_treatment(meaning: Meaning, clause: str, asks: bool) -> bool:
    """Whether a clause tells the day of the treatment, and not that of a drink, or asks for an appointment."""
    if asks and not _TELLS.search(clause):
        return bool(_MY_BOOKING.search(clause)) and not _CHANGES.search(clause)
    if _OTHER.search(clause) or _CHANGES.search(clause):
        return False
    return meaning.after is not None or _TREATED.search(clause) is not None


def _nearer(found: tuple[str, Span], known: Span) -> bool:
    """Of two treatments had the later counts, of two booked the earlier: the one whose windows are still open."""
    which, span = found
    return span.end > known.end if which == "had" else span.start < known.start


def says_only_when(text: str, mentions: Sequence[DayMention]) -> bool:
    """Does the message say a time and nothing else ("no, it was Friday")?"""
    return bool(mentions) and says_only(text, [(mention.start, mention.end) for mention in mentions])


def says_only(text: str, spans: Sequence[tuple[int, int]]) -> bool:
    """Does the message ask nothing and say nothing but what stands in `spans`?"""
    if "?" in text:
        return False
    rest = list(text)
    for start, end in spans:
        rest[start:end] = " " * (end - start)
    left = _FILLER.sub(" ", CLOCK.sub(" ", "".join(rest).lower()))
    return re.search(r"[^\W\d_]{2,}", left) is None


def since_treatment(treatment: Span, moment: Span) -> Elapsed:
    """Hours from the treatment to a moment: least from its end to the moment's start, most the other way round."""
    return Elapsed(_hours(treatment.end, moment.start), _hours(treatment.start, moment.end))


def _hours(start: datetime, end: datetime) -> float:
    # Within one zone Python would subtract what the clocks show, which is an hour off where they change.
    return (end.astimezone(UTC) - start.astimezone(UTC)).total_seconds() / 3600


def day_number(treatment: Span, now: datetime) -> int:
    """Which day after treatment it is, in the clinic's zone; the day of treatment is day 0."""
    return (now.date() - treatment.start.astimezone(now.tzinfo).date()).days


_OF_TREATMENT = r"(?:rawatan|buat|micro\w*|needling|jarum|rf|prp|treatment|session|sesi)\b"


def _with_neighbours(text: str, mention: DayMention) -> str:
    """The mention's words with what belongs to them on either side: a clock time, the first half of a range."""
    before, after = text[: mention.start].lower(), text[mention.end :].lower()
    words = mention.words.lower()
    if words.endswith(" lepas") and re.match(rf"\s+{_OF_TREATMENT}", after):
        words = f"{words.removesuffix('lepas')}selepas"  # "3 hari lepas rawatan": after it, not ago
    if re.match(
        r"\s+(?:out |away )?from (?:my|the) (?:appointment|appt|session|treatment)|\s+(?:to go|away|left)\b", after
    ):
        words = f"{words} from now"
    half_or_range = re.search(r"(?:\bhalf |\b[\w.]+ ?(?:-|–|to|or|atau|hingga) ?)$", before)
    if half_or_range and re.match(r"\d|an? |[a-z]+ (?:days?|weeks?|hari)", words):
        words = half_or_range[0] + words
    clock = re.match(rf"\W{{0,3}}(?:{CLOCK.pattern})", after) or re.search(rf"(?:{CLOCK.pattern})\W{{0,3}}$", before)
    return f"{words} {clock[0].strip(' ,')}" if clock else words


def _clause(text: str, mention: DayMention) -> str:
    """The words around a mention, as far as its clause goes."""
    before = text[: mention.start].lower()
    after = text[mention.end :].lower()
    ends = [found.end() for found in _CLAUSE_END.finditer(before)]
    end = _CLAUSE_END.search(after)
    return f"{before[ends[-1] if ends else 0 :]} @ {after[: end.start()] if end else after}"


def _elapsed(meaning: Meaning) -> Elapsed:
    if meaning.before is not None:
        return Elapsed(-meaning.before[1], -meaning.before[0])
    assert meaning.after is not None
    return Elapsed(*meaning.after)


def _told(meaning: Meaning, clause: str, now: datetime, likelier: str | None) -> tuple[str, Span] | None:
    """Whether the time is that of a treatment had or booked; the `likelier` one, else the nearer, where words fail."""
    past, ahead = meaning.past, meaning.ahead
    to_come = _BOOKED.search(clause) is not None and not _BEEN.search(clause)
    been = not to_come and _HAD.search(clause) is not None
    if past is not None and ahead is not None:
        if to_come:
            which = "booked"
        elif been:
            which = "had"
        elif _TO_COME.search(clause):
            which = "booked"
        else:
            which = likelier or ("had" if now - past.end <= ahead.start - now else "booked")
        return which, past if which == "had" else ahead
    if past is not None:
        return None if to_come and meaning.after is None else ("had", past)
    if ahead is None or been:
        return None  # "had it this morning", said before morning began, books nothing
    return "booked", ahead


_EVENT = re.compile(
    r"\b(?:wedding|married|akad|nikah|kahwin|interview|graduation|convo|party|event|holiday|trip|flight|photo|reunion)\b"
)


def _is_event(clause: str) -> bool:
    return _EVENT.search(clause) is not None
