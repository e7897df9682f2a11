"""An update as Telegram sends it, read into what it asks of us. Whatever it holds, reading it never raises."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Number = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Counted = Annotated[int, Meta(ge=0, le=2**53)]

#: What the channel wants to hear of; Telegram sends nothing else.
ALLOWED_UPDATES = ["message", "edited_message", "callback_query", "my_chat_member"]

COMMANDS = ("start", "help", "today", "person", "emergency", "language", "privacy", "delete", "stop")

#: The names that BotFather's older guides and other bots have taught people.
_ALSO = {"human": "person", "settings": "language"}

#: Seconds after which a changed message is no correction any more.
CORRECTED_WITHIN = 15 * 60

#: Kinds of messages that are no text, with the phrase each is answered by; what is not listed is `other`.
ATTACHMENTS = {
    **dict.fromkeys(("photo", "live_photo"), "picture"),
    **dict.fromkeys(("video", "video_note", "animation"), "video"),
    **dict.fromkeys(("voice", "audio"), "voice"),
    "document": "document",
    **dict.fromkeys(("sticker", "dice", "game"), "sticker"),
    **dict.fromkeys(("location", "venue"), "location"),
    "contact": "contact",
    "poll": "poll",
}

#: Fields of a message that is only news about the chat: nobody expects an answer.
_NEWS = frozenset(
    """new_chat_members left_chat_member new_chat_title new_chat_photo delete_chat_photo group_chat_created
    supergroup_chat_created channel_chat_created message_auto_delete_timer_changed migrate_to_chat_id
    migrate_from_chat_id pinned_message write_access_allowed forum_topic_created chat_background_set boost_added
    users_shared chat_shared web_app_data connected_website""".split()
)

_COMMAND = re.compile(r"/([A-Za-z]{1,20})(?:@[A-Za-z0-9_]{1,64})?(?:\s+(.*))?", re.DOTALL)
_LINK_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")

Kind = Literal["text", "command", "attachment", "press", "blocked", "unblocked", "group"]


class Inbound(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an update asks of us, with no more of it than that needs."""

    update_id: int
    kind: Kind
    chat_id: int
    message_id: int = 0
    language_code: str = ""
    #: A message's words, a caption's; of a command the token behind /start.
    text: str = ""
    command: str = ""
    #: What a message was instead of text, as a value of ATTACHMENTS or `other`.
    attachment: str = ""
    album: str = ""
    #: What a pressed button sent, and the number to answer the press by.
    press: str = ""
    press_id: str = ""
    #: Seconds between the message and its change; None where it is new.
    edited_after: int | None = None
    #: Kinds of personal data that were masked in `text` before it was kept.
    redacted: tuple[str, ...] = ()
    #: The assessment of an urgent message: level, findings, cards; no words.
    urgent: dict[str, Any] | None = None

    @property
    def client_id(self) -> str:
        """Names the message in the record; a changed message counts once, however often it is changed."""
        if self.kind == "press":
            return f"tg-u{self.update_id}"
        return f"tg-{'m' if self.edited_after is None else 'e'}{self.message_id}"


class _Chat(msgspec.Struct):
    id: Number
    type: str


class _From(msgspec.Struct):
    id: Number
    is_bot: bool = False
    language_code: str = ""


class _Message(msgspec.Struct):
    message_id: Counted
    chat: _Chat
    from_: _From | None = msgspec.field(default=None, name="from")
    date: Counted = 0
    edit_date: Counted = 0
    text: str = ""
    caption: str = ""
    media_group_id: str = ""


class _PressedOn(msgspec.Struct):
    message_id: Counted
    chat: _Chat


class _Press(msgspec.Struct):
    id: str
    from_: _From = msgspec.field(name="from")
    message: _PressedOn | None = None
    data: str = ""


class _Member(msgspec.Struct):
    status: str


class _Membership(msgspec.Struct):
    chat: _Chat
    new_chat_member: _Member
    from_: _From | None = msgspec.field(default=None, name="from")


def update_number(update: object) -> int | None:
    """The number of an update, None where it has none."""
    number = update.get("update_id") if isinstance(update, dict) else None
    return number if type(number) is int and 0 <= number <= 2**53 else None


def read_update(update: object) -> Inbound | None:
    """What an update asks of us; None where it asks nothing, or is none that Telegram sends."""
    number = update_number(update)
    if number is None or not isinstance(update, dict):
        return None
    try:
        if "message" in update:
            return _message(number, update["message"], edited=False)
        if "edited_message" in update:
            return _message(number, update["edited_message"], edited=True)
        if "callback_query" in update:
            return _pressed(number, msgspec.convert(update["callback_query"], _Press))
        if "my_chat_member" in update:
            return _membership(number, msgspec.convert(update["my_chat_member"], _Membership))
    except (msgspec.ValidationError, RecursionError):
        return None
    return None


def _message(number: int, raw: object, *, edited: bool) -> Inbound | None:
    message = msgspec.convert(raw, _Message)
    assert isinstance(raw, dict)
    if message.from_ is not None and message.from_.is_bot:
        return None
    if message.chat.type != "private":
        if edited or message.chat.type == "channel":
            return None
        return Inbound(number, "group", message.chat.id, language_code=_code(message.from_))
    attachment = next((kind for field, kind in ATTACHMENTS.items() if field in raw), "")
    if not attachment and not message.text:
        if _NEWS & raw.keys():
            return None
        attachment = "other"
    command, words = ("", message.text) if message.text else ("", message.caption)
    kind: Kind = "attachment" if attachment else "text"
    if kind == "text" and not edited:
        command, words = _command(words)
        kind = "command" if command else "text"
    if kind == "attachment" and edited and not words:
        return None  # a live location moved, a poll got votes
    return Inbound(
        number,
        kind,
        message.chat.id,
        message.message_id,
        language_code=_code(message.from_),
        text=words,
        command=command,
        attachment=attachment,
        album=message.media_group_id[:64],
        edited_after=max(0, message.edit_date - message.date) if edited else None,
    )


def _code(sender: _From | None) -> str:
    return sender.language_code if sender else ""


def _command(text: str) -> tuple[str, str]:
    """The command that a message is, and what belongs to it; "" where it is ordinary text, as `/faq{...}` is."""
    found = _COMMAND.fullmatch(text.strip())
    if not found:
        return "", text
    name, behind = found[1].lower(), (found[2] or "").strip()
    name = _ALSO.get(name, name)
    if name not in COMMANDS:
        return "", text
    if name == "start" and (not behind or _LINK_TOKEN.fullmatch(behind)):
        return name, behind
    # Who writes more than the command wants an answer to that.
    return ("", behind) if behind else (name, "")


def _pressed(number: int, press: _Press) -> Inbound | None:
    if press.from_.is_bot or not 0 < len(press.id) <= 64:
        return None
    chat = press.message.chat if press.message else _Chat(press.from_.id, "private")
    if chat.type != "private":
        return None
    return Inbound(
        number,
        "press",
        chat.id,
        press.message.message_id if press.message else 0,
        language_code=press.from_.language_code,
        press=press.data[:64],
        press_id=press.id,
    )


def _membership(number: int, membership: _Membership) -> Inbound | None:
    code = _code(membership.from_)
    status = membership.new_chat_member.status
    if membership.chat.type == "private":
        kind: Kind = "blocked" if status in ("kicked", "left") else "unblocked"
        return Inbound(number, kind, membership.chat.id, language_code=code)
    if membership.chat.type in ("group", "supergroup") and status in ("member", "administrator"):
        return Inbound(number, "group", membership.chat.id, language_code=code)
    return None
