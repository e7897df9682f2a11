"""Buttons below a message, and what a press of one means. What a button carries says nothing by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

import msgspec

from needlepoint.conversations.feedback import Reason
from needlepoint.phrases import Phrases
from needlepoint.reply import Reply

#: Why a reply did not help, in the order in which it is offered.
REASONS: tuple[str, ...] = get_args(Reason)

#: The longest that Telegram shows of a button in one row on a phone is far less; this is what it takes.
_LONGEST_TITLE = 200

#: Rows of buttons; a button is what it says and what it sends.
Keyboard = list[list[tuple[str, str]]]

#: What a button sends that only shows what was chosen.
CHOSEN = "-"

_CHOICE = re.compile(r"c([0-9]{1,9})\.([0-9]{1,3})")
_THUMB = re.compile(r"f([0-9]{1,9})\.([01])")
_REASON = re.compile(r"r([0-9]{1,9})\.([0-9])")


class Pressed(msgspec.Struct, frozen=True):
    """A choice, a thumb or a reason: of the reply with this event, the button with this number."""

    what: str
    event: int
    number: int


def pressed(data: str) -> Pressed | None:
    """What a press means; None for the buttons that belong to no reply, and for nonsense."""
    for what, pattern in (("choice", _CHOICE), ("thumb", _THUMB), ("reason", _REASON)):
        if found := pattern.fullmatch(data):
            return Pressed(what, int(found[1]), int(found[2]))
    return None


def for_reply(
    reply: Reply,
    event: int,
    phrases: Phrases,
    language: str,
    *,
    open_choices: bool = True,
    chosen: str | None = None,
    helpful: bool | None = None,
    ask_why: bool = False,
) -> Keyboard:
    """The buttons below a reply: its choices, one a row, or what was chosen of them; then whether it helped."""
    rows: Keyboard = []
    if chosen is not None:
        rows.append([(_title(phrases.say("chosen_mark", language, answer=chosen)), CHOSEN)])
    elif open_choices:
        rows += [[(_title(choice.title), f"c{event}.{number}")] for number, choice in enumerate(reply.choices)]
    if reply.kind in ("answer", "decline"):
        yes, no = ("✓ 👍" if helpful else "👍"), ("✓ 👎" if helpful is False else "👎")
        rows.append([(yes, f"f{event}.1"), (no, f"f{event}.0")])
        if ask_why:
            rows += [
                [(phrases.say(f"feedback_{reason}", language), f"r{event}.{n}")] for n, reason in enumerate(REASONS)
            ]
    return rows


def chosen_only(title: str, phrases: Phrases, language: str) -> Keyboard:
    """What stands below a message of the channel's own when one of its buttons was pressed."""
    return [[(_title(phrases.say("chosen_mark", language, answer=title)), CHOSEN)]]


def for_consent(phrases: Phrases, language: str, version: str) -> Keyboard:
    """Agree or not, and the other languages."""
    rows: Keyboard = [
        [(phrases.say("consent_agree", language), f"agree.{version}")],
        [(phrases.say("consent_later", language), "later")],
    ]
    return rows + for_languages(phrases, [one for one in phrases.languages if one != language])


def for_languages(phrases: Phrases, languages: Sequence[str]) -> Keyboard:
    """A button a language, each named in itself."""
    return [[(phrases.say("language_name", one), f"lang.{one}")] for one in languages]


def for_deletion(phrases: Phrases, language: str) -> Keyboard:
    """Really delete everything?"""
    return [
        [(phrases.say("telegram_delete_yes", language), "delete.yes")],
        [(phrases.say("telegram_delete_no", language), "delete.no")],
    ]


def title_of(data: str, phrases: Phrases, language: str) -> str | None:
    """What the pressed button of a message of the channel's own said; None where it is none of those."""
    match data.partition("."):
        case "agree", _, _:
            return phrases.say("consent_agree", language)
        case "later", _, _:
            return phrases.say("consent_later", language)
        case "lang", _, code if code in phrases.languages:
            return phrases.say("language_name", code)
        case "delete", _, ("yes" | "no") as answer:
            return phrases.say(f"telegram_delete_{answer}", language)
    return None


def _title(text: str) -> str:
    return text if len(text) <= _LONGEST_TITLE else text[: _LONGEST_TITLE - 1] + "…"
