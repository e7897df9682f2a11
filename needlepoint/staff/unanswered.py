"""What people asked and did not get an answer to, like questions together, each group with the answer to extend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec
import numpy as np
from sqlalchemy import Engine, or_, select
from sqlalchemy.orm import Session

from needlepoint.conversations.models import ASKED_BY_STAFF, Conversation, Feedback, Message, Outgoing
from needlepoint.conversations.review_models import Review, ReviewItem
from needlepoint.db.connect import READS_ONLY
from needlepoint.faq.models import Entry
from needlepoint.faq.search import SearchIndex

#: Why a question stands here: told "I don't know", asked back, pressed "not helpful", corrected by a reviewer.
Reason = Literal["declined", "clarified", "not_helpful", "corrected"]
REASONS: tuple[Reason, ...] = get_args(Reason)

#: Conversations, the latest first, that are looked through, and questions that are shown of them.
MOST_CONVERSATIONS = 500
MOST_QUESTIONS = 300

#: Mean probability at the time, or else mean closeness (cosine) now, from which an entry is suggested for questions
#: that are alike.
SUGGESTED_FROM = 0.15
CLOSE_FROM = 0.6

#: Closeness from which two questions are alike.
ALIKE_FROM = 0.6

_QUEUES = ("declined", "clarified", "thumbs_down", "rephrased")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One question, masked, and why it stands here; `times` counts who asked it in the same words.

    `probability` is what the suggested entry had when this was asked, if it was among the likeliest; `closeness` is the
    cosine now to `wording`, the nearest of the suggested entry's, or of all where none is suggested. `note` says what a
    reviewer or the person said.
    """

    message: int
    conversation: str
    text: str
    at: datetime
    reason: Reason
    times: int
    probability: float | None
    closeness: float
    wording: str
    note: str
    withheld: bool


class Group(msgspec.Struct, frozen=True):
    """Questions that stand together, the latest first. Without an entry no answer is near; `nearest` then is the
    nearest all the same."""

    entry: str | None
    title: str
    why: str
    questions: list[Asked]
    nearest: str | None

    @property
    def times(self) -> int:
        """How often something of it was asked."""
        return sum(one.times for one in self.questions)

    @property
    def withheld(self) -> bool:
        """Is the answer there, and only not given?"""
        return any(one.withheld for one in self.questions)


class Unanswered(msgspec.Struct, frozen=True):
    """The groups, the largest first, how many questions of each reason there are, and whether there were more."""

    groups: list[Group]
    counts: dict[Reason, int]
    more: bool


class _Found(msgspec.Struct, frozen=True):
    """A question as it was read: `candidates` are the likeliest entries of its turn with their probabilities."""

    message: int
    conversation: str
    text: str
    at: datetime
    reason: Reason
    suggested: str | None
    candidates: dict[str, float]
    note: str
    withheld: bool


def unanswered(engine: Engine, index: SearchIndex | None, since: datetime, reason: Reason | None = None) -> Unanswered:
    """What was asked since then, for one reason or for all. Blocks, for a second or two; without an index (the answers
    were not read yet) nothing is close to anything."""
    with Session(engine.execution_options(**READS_ONLY)) as session:
        found, more = _read(session, since)
        titles = {
            entry.id: next((text.question for text in entry.versions[-1].texts), entry.id)
            for entry in session.scalars(select(Entry))
        }
    counts = {name: sum(one.reason == name for one in found) for name in REASONS}
    chosen = [one for one in found if reason is None or one.reason == reason]
    vectors = index.encode_all([one.text for one in chosen]) if index and chosen else np.zeros((0, 1), np.float32)
    near = index.by_meaning(vectors) if index and chosen else [{} for _ in chosen]
    by_entry: dict[str, list[int]] = {}
    groups = []
    for numbers in _alike(len(chosen), vectors):
        entry = _suggested([chosen[one] for one in numbers], [near[one] for one in numbers], titles)
        if entry is not None:
            by_entry.setdefault(entry, []).extend(numbers)
            continue
        close = near[numbers[0]]
        nearest = max(close, key=lambda name: close[name][0], default=None)
        questions = _questions([(chosen[one], near[one]) for one in numbers], nearest)
        groups.append(Group(None, questions[0].text, "", questions, nearest))
    for entry, numbers in by_entry.items():
        questions = _questions([(chosen[one], near[one]) for one in sorted(numbers)], entry)
        groups.append(Group(entry, titles[entry], _why(questions), questions, None))
    groups.sort(key=lambda group: (group.entry is None, -group.times))
    return Unanswered(groups, counts, more)


def said(engine: Engine, message: int) -> str | None:
    """What a person wrote, masked; None where it is gone or nobody but staff asked it."""
    with engine.connect().execution_options(**READS_ONLY) as connection:
        return connection.scalar(
            select(Message.text)
            .join(Conversation, Conversation.id == Message.conversation_id)
            .where(Message.id == message, Conversation.channel != ASKED_BY_STAFF)
        )


# -- reading ------------------------------------------------------------------------------------------------------


def _read(session: Session, since: datetime) -> tuple[list[_Found], bool]:
    """The questions, the latest first, and whether something older was left out."""
    waits = select(ReviewItem.conversation_id).where(ReviewItem.queue.in_(_QUEUES))
    corrected = select(Review.conversation_id).where(_corrects())
    latest = (
        select(Conversation.id)
        .where(
            Conversation.last_at >= since,
            Conversation.channel != ASKED_BY_STAFF,
            or_(Conversation.id.in_(waits), Conversation.id.in_(corrected)),
        )
        .order_by(Conversation.last_at.desc(), Conversation.id.desc())
        .limit(MOST_CONVERSATIONS + 1)
    )
    conversations = list(session.scalars(latest))
    of_these = conversations[:MOST_CONVERSATIONS]
    reviews: dict[int, Review] = {
        one.message_id: one
        for one in session.scalars(
            select(Review).where(Review.conversation_id.in_(of_these), _corrects()).order_by(Review.id)
        )
        if one.message_id is not None
    }
    query = (
        select(Message, Outgoing.reply, Feedback)
        .join(Outgoing, Outgoing.message_id == Message.id)
        .outerjoin(Feedback, Feedback.outbox_id == Outgoing.id)
        .where(
            Message.conversation_id.in_(of_these),
            Message.state == "answered",
            Message.choice.is_(None),
            Message.accepted_at >= since,
        )
        .order_by(Message.accepted_at.desc(), Message.id.desc())
    )
    rows = session.execute(query).all()
    each = (_found(message, reply, feedback, reviews.get(message.id)) for message, reply, feedback in rows)
    found = [one for one in each if one is not None]
    return found[:MOST_QUESTIONS], len(conversations) > MOST_CONVERSATIONS or len(found) > MOST_QUESTIONS


def _corrects() -> Any:
    return or_(Review.right_entry.is_not(None), Review.right_answer.is_not(None), Review.right_topic.is_not(None))


def _found(message: Message, reply: dict[str, Any], feedback: Feedback | None, review: Review | None) -> _Found | None:
    """The question, if its reply was none; None for all others."""
    why = reply.get("why") or {}
    given = [one["entry_id"] for one in reply.get("answers") or []]
    candidates = {str(one["entry"]): float(one["probability"]) for one in why.get("candidates") or []}
    suggested, note = None, ""
    reason: Reason
    if review is not None:
        reason, suggested = "corrected", review.right_entry
        note = f"{review.by} found: {review.right_entry or review.right_topic or 'another answer'}"
    elif feedback is not None and not feedback.helpful:
        reason, note = "not_helpful", (feedback.reason or "").replace("_", " ")
        if given and feedback.reason in ("hard_to_understand", "not_enough", "seems_wrong"):
            suggested = given[0]  # the question was understood, its answer is what has to become better
    elif reply.get("kind") == "decline":
        reason = "declined"
    elif reply.get("kind") == "clarify" and reply.get("topic") != "urgent":
        reason = "clarified"
    else:
        return None
    if not message.text.strip():
        return None
    withheld = why.get("withheld")
    return _Found(
        message=message.id,
        conversation=message.conversation_id,
        text=message.text,
        at=message.accepted_at,
        reason=reason,
        suggested=suggested or (str(withheld) if withheld else None),
        candidates={entry: share for entry, share in candidates.items() if reason == "corrected" or entry not in given},
        note=note,
        withheld=bool(withheld),
    )


# -- grouping -----------------------------------------------------------------------------------------------------


def _alike(count: int, vectors: np.ndarray[Any, Any]) -> list[list[int]]:
    """The numbers of questions by likeness: each joins the group whose first question it is most like."""
    groups: list[list[int]] = []
    for number in range(count):
        firsts = [group[0] for group in groups] if len(vectors) else []
        likeness: list[float] = (vectors[firsts] @ vectors[number]).tolist() if firsts else []
        if likeness and max(likeness) >= ALIKE_FROM:
            groups[likeness.index(max(likeness))].append(number)
        else:
            groups.append([number])
    return groups


def _suggested(
    questions: Sequence[_Found], near: Sequence[dict[str, tuple[float, str]]], titles: dict[str, str]
) -> str | None:
    """The entry that fits questions that are alike: that most pointed to, else the likeliest, else the closest."""
    pointed = Counter(one.suggested for one in questions if one.suggested in titles)
    if pointed:
        return pointed.most_common(1)[0][0]
    likely: Counter[str] = Counter()
    close: Counter[str] = Counter()
    for one, closeness in zip(questions, near, strict=True):
        likely.update({entry: share for entry, share in one.candidates.items() if entry in titles})
        close.update({entry: cosine for entry, (cosine, _) in closeness.items()})
    for scores, enough in ((likely, SUGGESTED_FROM), (close, CLOSE_FROM)):
        best, score = max(scores.items(), key=lambda item: item[1], default=("", 0.0))
        if best and score / len(questions) >= enough:
            return best
    return None


def _questions(found: Sequence[tuple[_Found, dict[str, tuple[float, str]]]], entry: str | None) -> list[Asked]:
    """The questions of a group, the same words once."""
    asked: dict[tuple[str, Reason], Asked] = {}
    for one, close in found:
        same = (" ".join(one.text.split()).casefold(), one.reason)
        if same in asked:
            asked[same] = msgspec.structs.replace(asked[same], times=asked[same].times + 1)
            continue
        closeness, wording = close.get(entry or "", (0.0, ""))
        asked[same] = Asked(
            message=one.message,
            conversation=one.conversation,
            text=one.text,
            at=one.at,
            reason=one.reason,
            times=1,
            probability=one.candidates.get(entry or ""),
            closeness=closeness,
            wording=wording,
            note=one.note,
            withheld=one.withheld,
        )
    return list(asked.values())


def _why(questions: Sequence[Asked]) -> str:
    """Why these questions stand with an entry, in a sentence."""
    said = []
    if reviewed := sum(one.times for one in questions if one.reason == "corrected"):
        said.append(f"reviewers looked at {reviewed} of them")
    if likely := [one.probability for one in questions if one.probability is not None and one.probability >= 0.01]:
        said.append(f"when asked, it was up to {max(likely):.0%} likely, too little to give it")
    best = max(questions, key=lambda one: one.closeness)
    if best.wording:
        said.append(f"the nearest stored wording is “{best.wording}” (closeness {best.closeness:.2f} of 1)")
    sentence = "; ".join(said)
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""


#: Gives the index of what patients get now, or None before it was read.
IndexNow = Callable[[], SearchIndex | None]
