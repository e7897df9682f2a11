"""What an update is answered with. Whatever belongs to the conversation goes through the reception and its outbox."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import msgspec

from needlepoint.channels.telegram import chats, deliveries, inbox, keyboards
from needlepoint.channels.telegram.chats import Chat
from needlepoint.channels.telegram.context import Context
from needlepoint.channels.telegram.keyboards import Keyboard, Pressed
from needlepoint.channels.telegram.updates import CORRECTED_WITHIN, Inbound
from needlepoint.conversations import feedback, record
from needlepoint.conversations.privacy_notice import PRIVACY_VERSION
from needlepoint.conversations.reception import LONGEST_MESSAGE, Incoming
from needlepoint.conversations.record import UnknownConversationError
from needlepoint.reply import Reply


class Say(msgspec.Struct, frozen=True):
    """Something that the channel itself says."""

    text: str
    keyboard: Keyboard = []
    weight: Literal["urgent", "answer", "optional"] = "answer"


class Handled(msgspec.Struct, frozen=True):
    """What to say. `gone`: the chat was deleted, so nothing of this may be stored."""

    says: list[Say] = []
    gone: bool = False


def incoming(chat: Chat, inbound: Inbound, text: str | None, choice: str | None = None) -> Incoming:
    """The message as the reception takes it."""
    return Incoming(
        conversation=chat.conversation,
        client_id=inbound.client_id,
        consent=chat.consent,
        language=chat.language,
        channel=chats.CHANNEL,
        text=None if text is None else text[:LONGEST_MESSAGE],
        choice=choice,
        attachment=inbound.attachment or None,
        masked=inbound.redacted,
        kept=True,
    )


async def handle(context: Context, chat: Chat, inbound: Inbound) -> Handled:
    """Do what an update asks for, and return what to say besides the conversation's own replies."""
    match inbound.kind:
        case "text" | "attachment":
            return await _message(context, chat, inbound)
        case "command":
            return await _command(context, chat, inbound)
        case "press":
            return await _press(context, chat, inbound)
        case "blocked" | "unblocked":
            state = "blocked" if inbound.kind == "blocked" else "active"
            await chats.change(context.database, chat.id, state=state)
    return Handled()


# -- messages -----------------------------------------------------------------------------------------------------


async def _message(context: Context, chat: Chat, inbound: Inbound) -> Handled:
    if inbound.album and not inbound.text:
        if inbound.album == chat.last_album:
            return Handled()
        await chats.change(context.database, chat.id, last_album=inbound.album)
    if chat.consent is None:
        if inbound.edited_after is not None:
            return Handled()
        return Handled([ask_for_consent(context, chat, inbound.attachment)])
    if inbound.edited_after is not None and not await _is_correction(context, chat, inbound):
        return Handled()
    await context.reception.receive(incoming(chat, inbound, inbound.text))
    return Handled()


async def _is_correction(context: Context, chat: Chat, inbound: Inbound) -> bool:
    """Telegram also calls it a change when only a link's preview came."""
    if inbound.edited_after is None or inbound.edited_after > CORRECTED_WITHIN:
        return False
    before = await chats.said(context.database, chat.conversation, f"tg-m{inbound.message_id}")
    now_reads = f"[{inbound.attachment}] {inbound.text}".strip() if inbound.attachment else inbound.text
    return before != now_reads


def ask_for_consent(context: Context, chat: Chat, attachment: str = "", *, greeting: bool = False) -> Say:
    say, language = context.phrases.say, chat.language
    lines = []
    if attachment:
        asked = say("safety_question", language, signs=say("safety_signs_other", language))
        lines += [say(f"attachment_{attachment}", language), asked]
    lines.append(say("greeting" if greeting else "telegram_consent", language))
    lines += [say("disclaimer", language), say("consent", language), say("privacy_notice", language)]
    lines += [say("telegram_privacy_telegram", language), say("emergency_line", language)]
    return Say("\n\n".join(lines), keyboards.for_consent(context.phrases, language, PRIVACY_VERSION))


# -- commands -----------------------------------------------------------------------------------------------------


async def _command(context: Context, chat: Chat, inbound: Inbound) -> Handled:
    say, language = context.phrases.say, chat.language
    match inbound.command:
        case "start":
            return Handled([await _start(context, chat, inbound)])
        case "today" | "person":
            if chat.consent is None:
                return Handled([ask_for_consent(context, chat)])
            text = say(f"telegram_ask_{inbound.command}", language)
            await context.reception.receive(incoming(chat, inbound, text))
            return Handled()
        case "emergency":
            return Handled([Say(say("telegram_emergency", language), weight="urgent")])
        case "language":
            choices = keyboards.for_languages(context.phrases, context.phrases.languages)
            return Handled([Say(say("telegram_language", language), choices)])
        case "privacy":
            state = "telegram_privacy_open" if chat.consent is None else "telegram_privacy_agreed"
            lines = [say(key, language) for key in ("privacy_notice", "telegram_privacy_telegram", state)]
            return Handled([Say("\n\n".join(lines))])
        case "delete":
            keyboard = keyboards.for_deletion(context.phrases, language)
            return Handled([Say(say("telegram_delete", language), keyboard)])
        case "stop":
            await chats.change(context.database, chat.id, state="stopped")
            return Handled([Say(say("telegram_stopped", language))])
    return Handled([_help(context, language)])


async def _start(context: Context, chat: Chat, inbound: Inbound) -> Say:
    if inbound.text:
        printed_in = await chats.use_link(context.database, inbound.text)
        if printed_in in context.phrases.languages and chat.consent is None and printed_in != chat.language:
            await chats.set_language(context.database, chat, printed_in)
            chat = msgspec.structs.replace(chat, language=printed_in)
    if chat.state != "active":
        await chats.change(context.database, chat.id, state="active")
    if chat.consent is None:
        return ask_for_consent(context, chat, greeting=True)
    greeting = context.phrases.say("greeting", chat.language)
    shown = _help(context, chat.language)
    return msgspec.structs.replace(shown, text=f"{greeting}\n\n{shown.text}")


def _help(context: Context, language: str) -> Say:
    others = [one for one in context.phrases.languages if one != language]
    return Say(context.phrases.say("telegram_help", language), keyboards.for_languages(context.phrases, others))


# -- presses ------------------------------------------------------------------------------------------------------


async def find_choice(context: Context, chat: Chat, pressed: Pressed) -> tuple[Reply, str, str] | None:
    """The reply whose choice was pressed, the choice's token and its title; None where there is no such choice."""
    reply = await _reply(context, chat, pressed.event)
    if reply is None or pressed.number >= len(reply.choices):
        return None
    choice = reply.choices[pressed.number]
    return reply, choice.token, choice.title


async def _reply(context: Context, chat: Chat, event: int) -> Reply | None:
    stored = await chats.reply_of(context.database, chat.conversation, event)
    return None if stored is None else msgspec.convert(stored, Reply)


async def _press(context: Context, chat: Chat, inbound: Inbound) -> Handled:
    pressed = keyboards.pressed(inbound.press)
    if pressed is None:
        return await _own_button(context, chat, inbound)
    if pressed.what == "choice":
        return await _choice(context, chat, inbound, pressed)
    reply = await _reply(context, chat, pressed.event)
    if reply is None:
        return Handled()
    helpful = pressed.what == "thumb" and pressed.number == 1
    reason = None
    if pressed.what == "reason":
        if pressed.number >= len(keyboards.REASONS):
            return Handled()
        reason = keyboards.REASONS[pressed.number]
    given = feedback.Feedback(helpful, reason)
    country = context.phrases.clinic.country
    await feedback.give(context.database, chat.conversation, pressed.event, given, country)
    keyboard = keyboards.for_reply(
        reply,
        pressed.event,
        context.phrases,
        chat.language,
        open_choices=chat.open_choices == pressed.event,
        helpful=helpful,
        ask_why=pressed.what == "thumb" and not helpful,
    )
    await context.api.change_keyboard(inbound.chat_id, inbound.message_id, keyboard)
    return Handled()


async def _choice(context: Context, chat: Chat, inbound: Inbound, pressed: Pressed) -> Handled:
    found = await find_choice(context, chat, pressed)
    expired = found is None or chat.open_choices != pressed.event
    # What says that something urgent is there counts for as long as the button can be seen.
    if expired and (found is None or not await context.reception.leads_to_card(chat.conversation, found[1])):
        keyboard = (
            keyboards.for_reply(found[0], pressed.event, context.phrases, chat.language, open_choices=False)
            if found
            else []
        )
        await context.api.change_keyboard(inbound.chat_id, inbound.message_id, keyboard)
        return Handled()
    assert found is not None
    await show_chosen(context, chat, inbound, pressed, found)
    await context.reception.receive(incoming(chat, inbound, None, found[1]))
    await chats.change(context.database, chat.id, open_choices=None)
    return Handled()


async def show_chosen(
    context: Context, chat: Chat, inbound: Inbound, pressed: Pressed, found: tuple[Reply, str, str]
) -> None:
    """Replace the choices below a reply by the one that was taken."""
    reply, _, title = found
    keyboard = keyboards.for_reply(reply, pressed.event, context.phrases, chat.language, chosen=title)
    await context.api.change_keyboard(inbound.chat_id, inbound.message_id, keyboard)


async def _own_button(context: Context, chat: Chat, inbound: Inbound) -> Handled:
    """A button of the channel's own: consent, language, deletion."""
    say, language = context.phrases.say, chat.language
    what, _, which = inbound.press.partition(".")
    title = keyboards.title_of(inbound.press, context.phrases, language)
    if title is None:
        return Handled()
    chosen = keyboards.chosen_only(title, context.phrases, language)
    await context.api.change_keyboard(inbound.chat_id, inbound.message_id, chosen)
    match what, which:
        case "agree", version:
            return await _agree(context, chat, version)
        case "later", _:
            return Handled([Say(say("telegram_later", language))])
        case "lang", code:
            await chats.set_language(context.database, chat, code)
            chat = msgspec.structs.replace(chat, language=code)
            if chat.consent is None:
                return Handled([ask_for_consent(context, chat, greeting=True)])
            return Handled([Say(say("telegram_language_now", code))])
        case "delete", "yes":
            return await _delete(context, chat, inbound)
    return Handled([Say(say("telegram_kept", language))])


async def _agree(context: Context, chat: Chat, version: str) -> Handled:
    if version != PRIVACY_VERSION:
        return Handled([ask_for_consent(context, chat)])
    if chat.consent is None:
        await record.agree(context.database, chat.conversation, version)
        chat = msgspec.structs.replace(chat, consent=version)
        context.memory.know(chat)
    held = context.memory.held(chat.id)
    if held is None:
        return Handled([Say(context.phrases.say("telegram_agreed", chat.language))])
    asked = Incoming(
        conversation=chat.conversation,
        client_id=held.client_id,
        consent=chat.consent,
        language=chat.language,
        channel=chats.CHANNEL,
        text=held.text[:LONGEST_MESSAGE],
        kept=True,
    )
    await context.reception.receive(asked)
    context.memory.let_go(chat.id)
    return Handled([Say(context.phrases.say("telegram_agreed_held", chat.language))])


async def _delete(context: Context, chat: Chat, inbound: Inbound) -> Handled:
    with suppress(UnknownConversationError):  # a second press, or staff were quicker
        await context.reception.erase(chat.conversation)
    context.memory.forget(chat)
    await inbox.empty(context.database, context.settings.bot, chat.id, inbound.update_id)
    await deliveries.forget(context.database, chat.id)
    return Handled([Say(context.phrases.say("telegram_deleted", chat.language))], gone=True)
