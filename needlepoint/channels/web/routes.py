"""The public chat API. Every error is `{"error": {"code", "message", "emergency"}}` with a 4xx or 5xx."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, delete, get, post, put
from litestar.exceptions import HTTPException
from litestar.response import ServerSentEvent, ServerSentEventMessage
from msgspec import Meta
from sqlalchemy.exc import SQLAlchemyError

from needlepoint.channels.web.streams import Streams
from needlepoint.conversations import call_backs, feedback, record, tokens
from needlepoint.conversations.privacy_notice import PRIVACY_VERSION
from needlepoint.conversations.reception import LONGEST_MESSAGE, ConsentNeededError, Incoming, Received, Reception
from needlepoint.conversations.record import UnknownConversationError
from needlepoint.conversations.tokens import Token, TokenError
from needlepoint.phrases import Phrases
from needlepoint.reply import Reply, for_patient
from needlepoint.safety import clean_text
from needlepoint.settings import Settings

log = logging.getLogger(__name__)

#: Largest request body in bytes: a message of four-byte characters with room for its JSON.
LARGEST_BODY = 64 * 1024

#: What a pressed button sends back: visible ASCII, as every channel can carry it.
ChoiceToken = Annotated[str, Meta(pattern=r"^[\x20-\x7e]{1,64}$")]


class StartConversation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a new conversation is opened with; `consent` is the version of the privacy notice that was agreed to."""

    consent: Annotated[str, Meta(max_length=20)] | None = None
    language: Annotated[str, Meta(pattern=r"^[a-z]{2}$")] | None = None


class Consent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Agreement to a version of the privacy notice."""

    consent: Annotated[str, Meta(max_length=20)]


class PostMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message: a text or a pressed choice, with an id the client made so that sending twice is harmless."""

    message_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
    text: Annotated[str, Meta(max_length=LONGEST_MESSAGE)] | None = None
    choice: ChoiceToken | None = None


class GiveFeedback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person thinks of a reply; giving it again replaces it. A reason and a comment go with a "no"."""

    helpful: bool
    reason: feedback.Reason | None = None
    comment: Annotated[str, Meta(max_length=1000)] | None = None


class LeaveNumber(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number to call back; `consent` is the version of the sentence beside it that was agreed to."""

    number: Annotated[str, Meta(max_length=40)]
    consent: Annotated[str, Meta(max_length=20)]
    best_time: Annotated[str, Meta(max_length=200)] | None = None


class Opened(msgspec.Struct, frozen=True):
    """A conversation and the token that speaks for it."""

    conversation: str
    token: str
    expires_at: datetime
    consent: str | None


class Outcome(msgspec.Struct, frozen=True):
    """What became of a message."""

    message_id: str
    state: str
    event_id: int | None
    at: datetime
    reply: Reply | None


class FeedbackTaken(msgspec.Struct, frozen=True):
    """`urgent` is the card where the comment told of something urgent: it is then a message as well."""

    urgent: Outcome | None


class NumberTaken(msgspec.Struct, frozen=True):
    """`urgent` is the card where the words told of something urgent: they are then a message as well."""

    urgent: Outcome | None


class Refusal(HTTPException):
    """An error with a code of ours, for clients to act on."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(detail=message, status_code=status)
        self.code = code


def outcome_of(received: Received) -> Outcome:
    """What a patient may see of it."""
    reply = for_patient(received.reply) if received.reply else None
    return Outcome(received.message_id, received.state, received.event_id, received.at, reply)


def checked_text(text: str | None, choice: str | None) -> str | None:
    """The text as the reception reads it: without what cannot be seen.

    Raises the clear refusal for a message that says nothing, too much, or two things at once.
    """
    if (text is None) == (choice is None):
        raise Refusal(400, "bad_request", "send either `text` or `choice`")
    if text is None:
        return None
    text = clean_text(text)
    if not text.strip():
        raise Refusal(400, "empty_message", "the message is empty; write something")
    if len(text) > LONGEST_MESSAGE:
        raise Refusal(400, "bad_request", f"the message is longer than {LONGEST_MESSAGE} characters; send it in parts")
    return text


class ChatController(Controller):
    """Conversations over HTTP."""

    path = "/api"

    @get("/clinic", sync_to_thread=False)
    def clinic(self, phrases: Phrases, language: str | None = None) -> dict[str, Any]:
        """What a client shows before the first message."""
        clinic = phrases.clinic
        language = phrases.language(language)
        values = clinic.values(language)
        return {
            "name": clinic.name,
            "phone": clinic.phone,
            "hours": values["clinic_hours"],
            "out_of_hours": values["out_of_hours"],
            "emergency_number": clinic.emergency_number,
            "emergency_line": phrases.say("emergency_line", language),
            "reads_live": phrases.say("reads_live_yes" if clinic.reads_live else "reads_live_no", language),
            "greeting": phrases.say("greeting", language),
            "disclaimer": phrases.say("disclaimer", language),
            "privacy": {
                "version": PRIVACY_VERSION,
                "line": phrases.say("consent", language),
                "text": phrases.say("privacy_notice", language),
            },
            "first_choices": [
                {
                    "title": phrases.say(f"first_choice_{topic}", language),
                    "text": phrases.say(f"first_ask_{topic}", language),
                }
                for topic in ("preparation", "pain", "side_effects", "aftercare")
            ],
            "call_back": {
                "version": call_backs.CONSENT_VERSION,
                "line": phrases.say("call_back_consent", language),
            },
            "branches": clinic.branches,
            "language": language,
            "languages": clinic.languages,
        }

    @post("/conversations")
    async def start(self, data: StartConversation, database: Any, settings: Settings, phrases: Phrases) -> Opened:
        """Open a conversation."""
        _known_notice(data.consent)
        language = phrases.language(data.language)
        conversation, unrecorded = record.new_id(), False
        try:
            await record.start(database, "web", language, data.consent, conversation)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            # Whoever comes with a red flag must get the card, database or not.
            log.error("a conversation was opened without the database: %s", type(error).__name__)
            unrecorded = True
        return _opened(settings, conversation, language, data.consent, unrecorded)

    @post("/conversations/{conversation:str}/consent", status_code=200)
    async def agree(
        self,
        conversation: str,
        data: Consent,
        request: Request[Any, Any, Any],
        database: Any,
        settings: Settings,
    ) -> Opened:
        """Agree to the privacy notice; the new token says so."""
        token = _authorised(request, conversation, settings)
        _known_notice(data.consent)
        if not token.unrecorded:
            await record.agree(database, conversation, data.consent)
        return _opened(settings, conversation, token.language, data.consent, token.unrecorded)

    @post("/conversations/{conversation:str}/messages", status_code=200)
    async def send(
        self,
        conversation: str,
        data: PostMessage,
        request: Request[Any, Any, Any],
        settings: Settings,
        reception: Reception,
        database: Any,
    ) -> Outcome:
        """Say something and get the reply. The same `message_id` again gets the same reply."""
        token = _authorised(request, conversation, settings)
        text = checked_text(data.text, data.choice)
        received = await reception.receive(
            Incoming(
                conversation=conversation,
                client_id=data.message_id,
                consent=token.consent,
                language=token.language,
                channel="web",
                unrecorded=token.unrecorded,
                text=text,
                choice=data.choice,
            )
        )
        return outcome_of(received)

    @get("/conversations/{conversation:str}/messages")
    async def history(
        self, conversation: str, request: Request[Any, Any, Any], settings: Settings, database: Any
    ) -> dict[str, Any]:
        """Both sides of the conversation so far."""
        token = _authorised(request, conversation, settings)
        try:
            said = await record.history(database, conversation)
        except UnknownConversationError:
            if not token.unrecorded:
                raise
            said = []  # opened while the database was away, and nothing of it is stored yet
        return {
            "messages": [
                {
                    "id": one.client_id,
                    "from": one.sender,
                    "text": one.text,
                    "reply": for_patient(msgspec.convert(one.reply, Reply)) if one.reply else None,
                    "at": one.at,
                    "event_id": one.event,
                    "feedback": one.feedback,
                }
                for one in said
            ]
        }

    @get("/conversations/{conversation:str}/events")
    async def events(
        self,
        conversation: str,
        request: Request[Any, Any, Any],
        settings: Settings,
        database: Any,
        streams: Streams,
    ) -> ServerSentEvent:
        """Replies as they come; resumes after the event named by the Last-Event-ID header."""
        token = _authorised(request, conversation, settings)
        last = request.headers.get("last-event-id", "0")
        if not last.isdecimal() or len(last) > 18:
            raise Refusal(400, "bad_request", "Last-Event-ID must be the id of an event")
        if not streams.has_room():
            raise Refusal(503, "too_many_streams", "too many open streams; ask for new messages again in a while")
        stream: AsyncIterator[ServerSentEventMessage] = streams.events(
            database, conversation, int(last), token.expires_at
        )
        return ServerSentEvent(stream, headers={"cache-control": "no-store", "x-accel-buffering": "no"})

    @put("/conversations/{conversation:str}/events/{event:int}/feedback")
    async def rate(
        self,
        conversation: str,
        event: int,
        data: GiveFeedback,
        request: Request[Any, Any, Any],
        settings: Settings,
        reception: Reception,
        database: Any,
        phrases: Phrases,
    ) -> FeedbackTaken:
        """Say whether a reply helped. The comment is masked like any message."""
        token = _authorised(request, conversation, settings)
        comment = clean_text(data.comment or "").strip()
        if data.helpful and (data.reason or comment):
            raise Refusal(400, "bad_request", "`reason` and `comment` go with `helpful: false`")
        urgent = await _urgent_words(reception, token, f"feedback-{event}", comment)
        given = feedback.Feedback(data.helpful, data.reason, comment or None)
        await feedback.give(database, conversation, event, given, phrases.clinic.country)
        return FeedbackTaken(urgent)

    @put("/conversations/{conversation:str}/call-back")
    async def call_back(
        self,
        conversation: str,
        data: LeaveNumber,
        request: Request[Any, Any, Any],
        settings: Settings,
        reception: Reception,
        database: Any,
        phrases: Phrases,
    ) -> NumberTaken:
        """Leave a number to call back. It is kept encrypted, apart from what was said; a later one replaces it."""
        token = _authorised(request, conversation, settings)
        if token.consent is None:
            raise ConsentNeededError
        if data.consent != call_backs.CONSENT_VERSION:
            raise Refusal(
                400, "other_notice", f"the sentence is now version {call_backs.CONSENT_VERSION}; show that one"
            )
        best_time = clean_text(data.best_time or "").strip()
        urgent = await _urgent_words(reception, token, "call-back", best_time)
        try:
            await call_backs.leave(database, settings.secret_key, phrases, conversation, data.number, best_time or None)
        except call_backs.WrongNumberError:
            raise Refusal(400, "wrong_number", phrases.say("call_back_number_wrong", token.language)) from None
        reception.wake(conversation)
        return NumberTaken(urgent)

    @delete("/conversations/{conversation:str}")
    async def erase(
        self, conversation: str, request: Request[Any, Any, Any], settings: Settings, reception: Reception
    ) -> None:
        """Delete the conversation and all it holds."""
        _authorised(request, conversation, settings)
        await reception.erase(conversation)


async def _urgent_words(reception: Reception, token: Token, name: str, words: str) -> Outcome | None:
    """The card where these words tell of something urgent: nobody may describe an emergency in a box that is read
    tomorrow. They are then a message as well."""
    if not words or not reception.is_urgent(words):
        return None
    said = Incoming(
        conversation=token.conversation,
        client_id=f"{name}-{record.new_id()}",
        consent=token.consent,
        language=token.language,
        channel="web",
        unrecorded=token.unrecorded,
        text=words,
    )
    return outcome_of(await reception.receive(said))


def _authorised(request: Request[Any, Any, Any], conversation: str, settings: Settings) -> Token:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not value:
        raise Refusal(401, "no_token", "send the conversation's token in the Authorization header")
    try:
        token = tokens.read(settings.secret_key, value)
    except TokenError as error:
        raise Refusal(401, "bad_token", str(error)) from None
    if token.conversation != conversation:
        # The same answer as for a conversation that does not exist: ids are not to be tried out.
        raise Refusal(404, "unknown_conversation", "there is no such conversation; start a new one")
    return token


def _known_notice(version: str | None) -> None:
    if version is not None and version != PRIVACY_VERSION:
        raise Refusal(400, "other_notice", f"the privacy notice is now version {PRIVACY_VERSION}; show that one")


def _opened(settings: Settings, conversation: str, language: str, consent: str | None, unrecorded: bool) -> Opened:
    token, expires_at = tokens.issue(
        settings.secret_key, conversation, language, consent, settings.token_hours, unrecorded
    )
    return Opened(conversation, token, expires_at, consent)
