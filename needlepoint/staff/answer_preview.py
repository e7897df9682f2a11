"""What people would read of an answer on the website and in Telegram, by the code that shows it to them there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import msgspec
from markupsafe import Markup

from needlepoint.faq.editing import Words
from needlepoint.faq.published import REVIEW_AFTER
from needlepoint.phrases import Phrases
from needlepoint.reply import Answer, Reply, Source

#: A Reply and a language in, the messages of the channel out, as HTML of the channel's own escaping.
Renderer = Callable[[Reply, str], list[str]]


class Preview(msgspec.Struct, frozen=True):
    """One language. `reply` is for the browser, which shows it with the website's cards; `telegram` has a text for each
    message."""

    language: str
    reply: Reply
    telegram: list[Markup]
    #: The clinic's values that the words name and nobody has set.
    unset: list[str]

    @property
    def reply_as_json(self) -> str:
        """The Reply as the chat API sends it."""
        return msgspec.json.encode(self.reply).decode()


def preview(
    words: Words, language: str, topic: str, level: str | None, sources: list[Source], today: date, phrases: Phrases,
    as_in_telegram: Renderer,
) -> Preview:  # fmt: skip
    """How these words look once they are approved, today; `topic` and `level` are the entry's."""
    answer = Answer(
        entry_id="preview",
        version=1,
        language=language,
        question=words.question,
        text=phrases.fill(words.answer, language),
        when_to_contact=phrases.fill(words.when_to_contact, language) if words.when_to_contact else None,
        reviewed_on=today,
        review_due=today + REVIEW_AFTER,
        sources=sources,
    )
    unset = phrases.unset(f"{words.answer} {words.when_to_contact or ''}")
    reply = Reply(
        kind="urgent" if level in ("same_day", "emergency_now") else "answer",
        topic=topic,  # type: ignore[arg-type]
        text=phrases.say("unknown_value", language) if unset else "",
        answers=[answer],
        urgency=level or "none",  # type: ignore[arg-type]
    )
    # The renderer escapes what it is given and adds nothing but b, i and a.
    telegram = [Markup(part) for part in as_in_telegram(reply, language)]  # noqa: S704
    return Preview(language, reply, telegram, unset)
