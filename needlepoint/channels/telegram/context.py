"""What every part of the channel needs, and the few things it remembers while it runs."""

from __future__ import annotations

import html
import time
import uuid
from collections import OrderedDict, deque
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.channels.telegram.bot_api import BotApi, Result
from needlepoint.channels.telegram.chats import Chat
from needlepoint.channels.telegram.configured import TelegramSettings
from needlepoint.channels.telegram.keyboards import Keyboard
from needlepoint.channels.telegram.rendering import Part
from needlepoint.channels.telegram.sealing import Sealing
from needlepoint.conversations.reception import Reception
from needlepoint.phrases import Phrases

#: Chats remembered in this process; the one unheard of for longest makes room.
REMEMBERED = 2000

#: Seconds that a question which came before consent is remembered, in memory only, to be answered after it.
HELD_FOR = 1800.0


class Content(msgspec.Struct, frozen=True):
    """A message as it waits to be sent."""

    html: str
    plain: str
    keyboard: Keyboard = []

    @property
    def part(self) -> Part:
        """The words."""
        return Part(self.html, self.plain)


class Held(msgspec.Struct, frozen=True):
    """A question that waits for consent, in memory only."""

    text: str
    client_id: str
    since: float


class Fate(msgspec.Struct, frozen=True):
    """What became of an urgent card that was sent outside the chat's order."""

    state: Literal["on_its_way", "sent", "not_sent"]
    results: list[Result] = []
    #: It may have arrived all the same.
    again: bool = False


class Memory:
    """What this process remembers. Best effort: a restart forgets it, and nothing depends on it but comfort."""

    def __init__(self, rate_limit: int) -> None:
        self._rate_limit = rate_limit
        self._chats: OrderedDict[str, Chat] = OrderedDict()
        self._by_conversation: dict[str, str] = {}
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._heard: OrderedDict[str, deque[float]] = OrderedDict()
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._away_since: float | None = None
        #: Urgent cards by conversation and message.
        self.cards: OrderedDict[tuple[str, str], Fate] = OrderedDict()

    def know(self, chat: Chat) -> None:
        """Remember a chat for when the database is away."""
        self._chats[chat.id] = chat
        self._chats.move_to_end(chat.id)
        self._by_conversation[chat.conversation] = chat.id
        if len(self._chats) > REMEMBERED:
            _, oldest = self._chats.popitem(last=False)
            self._by_conversation.pop(oldest.conversation, None)

    def chat(self, name: str) -> Chat | None:
        """A chat as it was when it was last heard of."""
        return self._chats.get(name)

    def chat_of(self, conversation: str) -> str | None:
        """The chat of a conversation."""
        return self._by_conversation.get(conversation)

    def forget(self, chat: Chat) -> None:
        """Forget a chat that was deleted."""
        self._chats.pop(chat.id, None)
        self._by_conversation.pop(chat.conversation, None)
        self._held.pop(chat.id, None)

    def hold(self, chat: str, text: str, client_id: str) -> None:
        """Hold a question until its sender has agreed; the last one counts."""
        self._held[chat] = Held(text, client_id, time.monotonic())
        self._held.move_to_end(chat)
        if len(self._held) > REMEMBERED:
            self._held.popitem(last=False)

    def held(self, chat: str) -> Held | None:
        """The question that waits for consent, if it is not too old."""
        held = self._held.get(chat)
        return held if held is not None and time.monotonic() - held.since < HELD_FOR else None

    def let_go(self, chat: str) -> None:
        """The question that waited is answered."""
        self._held.pop(chat, None)

    def too_fast(self, chat: str) -> bool:
        """Count a message; has this chat sent more in the last minute than it may?"""
        at = time.monotonic()
        times = self._heard.setdefault(chat, deque())
        self._heard.move_to_end(chat)
        while times and at - times[0] > 60:
            times.popleft()
        times.append(at)
        if len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)
        return len(times) > self._rate_limit

    def may_tell(self, chat: str, what: str, every: float) -> bool:
        """May this chat be told this (again)? At most once in `every` seconds."""
        key, at = (chat, what), time.monotonic()
        if at - self._told.get(key, -every) < every:
            return False
        self._told[key] = at
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return True

    def seen(self, update_id: int) -> bool:
        """Was this update seen by this process? For updates of which nothing may be, or can be, stored."""
        if update_id in self._seen:
            return True
        self._seen[update_id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False

    def database(self, *, away: bool) -> float:
        """Note whether the database took what it was given; returns for how many seconds it has not."""
        if not away:
            self._away_since = None
            return 0.0
        if self._away_since is None:
            self._away_since = time.monotonic()
        return time.monotonic() - self._away_since

    def fate(self, conversation: str, client_id: str, fate: Fate) -> None:
        """Note what becomes of an urgent card."""
        self.cards[conversation, client_id] = fate
        if len(self.cards) > REMEMBERED:
            self.cards.popitem(last=False)


class Context:
    """What the parts of the channel share."""

    def __init__(
        self,
        settings: TelegramSettings,
        *,
        secret_key: str,
        database: AsyncEngine,
        reception: Reception,
        phrases: Phrases,
        zone: ZoneInfo,
        rate_limit: int,
    ) -> None:
        self.settings = settings
        self.database = database
        self.reception = reception
        self.phrases = phrases
        self.zone = zone
        self.api = BotApi(settings)
        self.sealing = Sealing(secret_key, settings.bot)
        self.memory = Memory(rate_limit)
        #: Names this process in leases.
        self.me = uuid.uuid4().hex

    def language(self, code: str) -> str:
        """Our language for Telegram's code of the person's ("ms", "en-GB")."""
        return self.phrases.language(code.split("-", maxsplit=1)[0].lower())

    def seal(self, part: Part, keyboard: Keyboard) -> bytes:
        """A message, sealed for the database."""
        return self.sealing.seal(msgspec.json.encode(Content(part.html, part.plain, keyboard)))

    def unseal(self, content: bytes) -> Content:
        """The message again. Raises SealError."""
        return msgspec.json.decode(self.sealing.open(content), type=Content)

    def chat_id(self, chat: Chat) -> int:
        """The number by which Telegram knows a chat. Raises SealError."""
        return int(self.sealing.open(chat.address))

    def sent_again(self, content: Content, language: str) -> Content:
        """The message with a line in front that says that it may have come before."""
        said = self.phrases.say("telegram_sent_again", language)
        return msgspec.structs.replace(
            content, html=f"{html.escape(said, quote=False)}\n\n{content.html}", plain=f"{said}\n\n{content.plain}"
        )
