"""What happens the moment an update comes: red flags are answered, everything else is put into the inbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from needlepoint.channels.telegram import chats, handling, inbox, keyboards
from needlepoint.channels.telegram.bot_api import Result
from needlepoint.channels.telegram.chats import Chat
from needlepoint.channels.telegram.context import Content, Context, Fate
from needlepoint.channels.telegram.deliveries import ToSend
from needlepoint.channels.telegram.keyboards import CHOSEN
from needlepoint.channels.telegram.rendering import render, render_text
from needlepoint.channels.telegram.updates import Inbound, read_update
from needlepoint.conversations import record
from needlepoint.conversations.reception import Incoming
from needlepoint.privacy.redaction import redact
from needlepoint.reply import Reply
from needlepoint.safety import clean_text

log = logging.getLogger(__name__)

#: What a database that is away raises.
DATABASE_ERRORS = (SQLAlchemyError, OSError, TimeoutError)

#: Attempts to send an urgent card at once; after that it goes the way of all others, still before them.
CARD_ATTEMPTS = 4

#: Quiet that Telegram asks for is waited out at once up to so many seconds.
_SHORT_QUIET = 5.0

#: Seconds that the database is away after which people are told that they have to wait.
_MORE_THAN_A_MOMENT = 3.0

_EVERY_HOUR = 3600.0
_EVERY_MINUTE = 60.0


class Arrivals:
    """Takes updates in. `wake` lets somebody work for a chat."""

    def __init__(self, context: Context, wake: Callable[[str], None]) -> None:
        self._context = context
        self._wake = wake
        self._tasks: set[asyncio.Task[Any]] = set()

    async def take_in(self, update: object) -> None:
        """Take one update in; when this returns, a restart loses nothing of it.

        Raises what a database that is away raises: the update is then to be delivered again. Nothing else.
        """
        try:
            inbound = read_update(update)
            if inbound is not None:
                await self._take(inbound)
        except DATABASE_ERRORS:
            raise
        except Exception as error:  # whatever is wrong with one update, it must not hold up those behind it
            log.error("an update could not be taken in: %s", type(error).__name__)

    async def drain(self, seconds: float) -> None:
        """Wait for what is being sent at once."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def _behind(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("something behind an update failed: %s", type(error).__name__)

    async def _take(self, inbound: Inbound) -> None:
        context = self._context
        if inbound.kind == "group":
            await self._group(inbound)
            return
        name = context.sealing.chat(inbound.chat_id)
        try:
            await self._take_from(name, inbound)
        except DATABASE_ERRORS as error:
            log.error("the database did not take an update: %s", type(error).__name__)
            if not self._without_database(name, inbound, context.memory.database(away=True)):
                raise
        else:
            context.memory.database(away=False)

    async def _take_from(self, name: str, inbound: Inbound) -> None:
        context, memory = self._context, self._context.memory
        if inbound.kind in ("blocked", "unblocked") and await chats.find(context.database, name) is None:
            return  # who was never here leaves no trace by leaving
        address = context.sealing.seal(str(inbound.chat_id).encode())
        chat = await chats.meet(context.database, name, address, context.language(inbound.language_code))
        memory.know(chat)
        urgent = self._urgent(chat.conversation, inbound)
        at_once = urgent is not None or await self._pressed_yes(chat, inbound)
        if not at_once and memory.too_fast(name):
            await self._slow_down(chat, inbound)
            return
        if chat.consent is None and inbound.album and not at_once and self._is_known_album(name, inbound):
            return
        kept = self._kept(inbound, chat, urgent)
        content = context.sealing.seal(msgspec.json.encode(kept))
        if not await inbox.put(
            context.database, context.settings.bot, inbound.update_id, name, content, at_once=at_once
        ):
            return
        if chat.state == "blocked" and inbound.kind != "blocked":  # whoever writes can be written to
            await chats.change(context.database, name, state="active")
        if inbound.kind == "press":
            self._behind(self._answer_press(chat, inbound))
        if at_once:
            self._behind(self._at_once(chat, inbound, kept))
            return
        if chat.consent is None and inbound.kind == "text" and inbound.edited_after is None:
            memory.hold(name, clean_text(inbound.text), inbound.client_id)
        self._wake(name)

    # -- red flags -------------------------------------------------------------------------------------------------

    def _urgent(self, conversation: str, inbound: Inbound) -> dict[str, Any] | None:
        if inbound.kind not in ("text", "attachment") or not inbound.text:
            return None
        return self._context.reception.urgent_in(conversation, inbound.client_id, inbound.text)

    def _is_known_album(self, name: str, inbound: Inbound) -> bool:
        """Did another picture of this album come? Before consent that is remembered in memory only."""
        return not self._context.memory.may_tell(name, f"album {inbound.album}", _EVERY_HOUR)

    async def _pressed_yes(self, chat: Chat, inbound: Inbound) -> bool:
        pressed = keyboards.pressed(inbound.press) if inbound.kind == "press" else None
        if pressed is None or pressed.what != "choice":
            return False
        found = await handling.find_choice(self._context, chat, pressed)
        return found is not None and await self._context.reception.leads_to_card(chat.conversation, found[1])

    async def _at_once(self, chat: Chat, inbound: Inbound, kept: Inbound) -> None:
        """Answer something urgent outside the chat's order, and let the others know what became of it."""
        context, memory = self._context, self._context.memory
        memory.fate(chat.conversation, inbound.client_id, Fate("on_its_way"))
        pressed = keyboards.pressed(inbound.press) if inbound.kind == "press" else None
        found = await handling.find_choice(context, chat, pressed) if pressed else None
        fate = Fate("not_sent")
        contents: list[Content] = []
        try:
            said = handling.incoming(chat, inbound, None if found else inbound.text, found[1] if found else None)
            received = await context.reception.receive(said)
            if received.reply is not None:
                contents = self._contents(received.reply, chat.language)
                fate = await self._send_card(inbound.chat_id, contents, chat.language)
        finally:
            memory.fate(chat.conversation, inbound.client_id, fate)
            self._wake(chat.id)
        if pressed and found:
            await handling.show_chosen(context, chat, inbound, pressed, found)
        to_send: list[ToSend] = []
        if chat.consent is None:  # there is no record that the card could be delivered from
            to_send = [
                ToSend(
                    chat.id,
                    context.seal(content.part, content.keyboard),
                    "urgent",
                    part=number,
                    parts=len(contents),
                    again=fate.again,
                    result=fate.results[number - 1] if fate.state == "sent" else None,
                )
                for number, content in enumerate(contents, 1)
            ]
        await inbox.done(context.database, context.settings.bot, kept.update_id, to_send)
        self._wake(chat.id)

    def _contents(self, reply: Reply, language: str) -> list[Content]:
        context = self._context
        said_in = reply.answers[0].language if reply.answers else language
        return [Content(one.html, one.plain) for one in render(reply, context.phrases, said_in, context.zone)]

    async def _send_card(self, chat_id: int, contents: list[Content], language: str) -> Fate:
        results: list[Result] = []
        again = False
        for content in contents:
            for attempt in range(CARD_ATTEMPTS):
                shown = self._context.sent_again(content, language) if again else content
                result = await self._context.api.send(chat_id, shown.part, shown.keyboard)
                if result.state in ("sent", "blocked", "refused"):
                    break
                again = again or result.state == "unclear"
                pause = result.seconds if result.state == "later" else 0.3 * 2**attempt
                if pause > _SHORT_QUIET:
                    break
                await asyncio.sleep(pause)
            if result.state != "sent":
                return Fate("not_sent", again=again or bool(results))
            results.append(result)
        return Fate("sent", results, again)

    # -- what is kept ----------------------------------------------------------------------------------------------

    def _kept(self, inbound: Inbound, chat: Chat, urgent: dict[str, Any] | None) -> Inbound:
        """What may wait in the inbox: masked words, and before consent none at all."""
        if inbound.kind not in ("text", "attachment"):
            return inbound
        if chat.consent is None:
            return msgspec.structs.replace(inbound, text="", album="", urgent=urgent)
        masked = redact(clean_text(inbound.text), self._context.phrases.clinic.country)
        return msgspec.structs.replace(inbound, text=masked.text, redacted=tuple(masked.kinds))

    # -- presses ---------------------------------------------------------------------------------------------------

    async def _answer_press(self, chat: Chat, inbound: Inbound) -> None:
        """Take the waiting sign from the button at once, and say what the press did where nothing else will."""
        say, language = self._context.phrases.say, chat.language
        pressed = keyboards.pressed(inbound.press)
        own = keyboards.title_of(inbound.press, self._context.phrases, language) is not None
        text = ""
        if pressed is not None and pressed.what == "thumb":
            text = say("feedback_thanks" if pressed.number else "feedback_why", language)
        elif pressed is not None and pressed.what == "reason":
            text = say("feedback_thanks", language)
        elif pressed is not None and chat.open_choices != pressed.event:
            text = say("choice_expired", language)
        elif pressed is None and not own:
            text = "" if inbound.press == CHOSEN else say("choice_expired", language)
        await self._context.api.answer_press(inbound.press_id, text)

    # -- what is told and not kept ---------------------------------------------------------------------------------

    async def _group(self, inbound: Inbound) -> None:
        memory = self._context.memory
        if memory.seen(inbound.update_id) or not memory.may_tell(f"group {inbound.chat_id}", "private", _EVERY_HOUR):
            return
        language = self._context.language(inbound.language_code)
        self._behind(self._tell(inbound.chat_id, "telegram_group", language))

    async def _slow_down(self, chat: Chat, inbound: Inbound) -> None:
        memory = self._context.memory
        if inbound.kind == "press":
            self._behind(self._context.api.answer_press(inbound.press_id))
        if not memory.seen(inbound.update_id) and memory.may_tell(chat.id, "slow down", _EVERY_MINUTE):
            self._behind(self._tell(inbound.chat_id, "telegram_slow_down", chat.language))

    async def _tell(self, chat_id: int, phrase: str, language: str) -> None:
        """Say something optional, once."""
        for part in render_text(self._context.phrases.say(phrase, language)):
            await self._context.api.send(chat_id, part, [])

    # -- when the database is away ---------------------------------------------------------------------------------

    def _without_database(self, name: str, inbound: Inbound, seconds: float) -> bool:
        """A red flag is answered all the same; returns whether it was one. Others hear that they have to wait, where
        the database was away for more than a moment."""
        memory = self._context.memory
        chat = memory.chat(name)
        conversation = chat.conversation if chat else record.new_id()
        language = chat.language if chat else self._context.language(inbound.language_code)
        if self._urgent(conversation, inbound) is not None:
            if not memory.seen(inbound.update_id):
                self._behind(self._card_without_database(chat, conversation, language, inbound))
            return True
        asks = inbound.kind in ("text", "attachment", "command")
        if asks and seconds >= _MORE_THAN_A_MOMENT and memory.may_tell(name, "cannot now", _EVERY_HOUR / 6):
            self._behind(self._tell(inbound.chat_id, "telegram_cannot_now", language))
        return False

    async def _card_without_database(
        self, chat: Chat | None, conversation: str, language: str, inbound: Inbound
    ) -> None:
        memory = self._context.memory
        memory.fate(conversation, inbound.client_id, Fate("on_its_way"))
        said = Incoming(
            conversation=conversation,
            client_id=inbound.client_id,
            consent=chat.consent if chat else None,
            language=language,
            channel=chats.CHANNEL,
            text=inbound.text,
            attachment=inbound.attachment or None,
        )
        received = await self._context.reception.receive(said)
        fate = Fate("not_sent")
        try:
            if received.reply is not None:
                contents = self._contents(received.reply, language)
                fate = await self._send_card(inbound.chat_id, contents, language)
        finally:
            memory.fate(conversation, inbound.client_id, fate)
