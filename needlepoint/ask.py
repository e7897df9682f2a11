"""`needlepoint ask`: a list of questions through the live path, one JSON line in, one out, in order."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Annotated, Any

import httpx
import msgspec
from msgspec import Meta

from needlepoint.conversations.privacy_notice import PRIVACY_VERSION
from needlepoint.conversations.reception import LONGEST_MESSAGE
from needlepoint.reply import Reply, Urgency, plain_text

#: How many conversations are asked side by side: app and engine work at the same time, and a third message waits.
AT_ONCE = 3

#: Seconds to wait before each new try of a message that the instance could not take just now (HTTP 503: the database
#: was locked or away for longer than it waits). The same `message_id` is answered once, however often it is sent.
RETRY_AFTER = (1.0, 3.0, 10.0)


class AskError(ValueError):
    """A question cannot be asked; the message names the line and the mend."""


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the input. `choice` is a token of an earlier reply; `at` an ISO time the question is about."""

    conversation: Annotated[str, Meta(min_length=1, max_length=200)]
    text: Annotated[str, Meta(max_length=LONGEST_MESSAGE)] | None = None
    choice: str | None = None
    at: datetime | None = None


class Asked(msgspec.Struct, frozen=True):
    """A line of the output. `confidence` and `findings` are null without a staff token."""

    conversation: str
    text: str | None
    kind: str
    topic: str
    faq_id: str | None
    faq_ids: list[str]
    urgency: Urgency
    findings: list[str] | None
    confidence: float | None
    reply: str
    choices: list[dict[str, str]]
    latency_ms: float


def read_questions(lines: Iterable[str]) -> Iterator[Question]:
    """The questions of an input. Raises :class:`AskError` at the first line that is none."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            question = msgspec.json.decode(line, type=Question)
        except msgspec.DecodeError as error:
            raise AskError(f'line {number}: {error}; write {{"conversation": "c1", "text": "..."}}') from None
        if (question.text is None) == (question.choice is None):
            raise AskError(f"line {number}: give either `text` or `choice`")
        yield question


class Asker:
    """Asks one running instance; keeps its conversations apart by the names they have in the input."""

    def __init__(self, url: str, staff_token: str | None) -> None:
        self._staff_token = staff_token
        self._http = httpx.Client(base_url=url, timeout=120, trust_env=False)
        self._conversations: dict[str, dict[str, str]] = {}

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def ask(self, question: Question) -> Asked:
        """Ask and wait for the reply. Raises :class:`AskError` when the instance refuses or cannot be reached."""
        began = time.perf_counter()
        try:
            outcome = self._as_staff(question) if self._staff_token else self._as_patient(question)
        except httpx.TransportError as error:
            raise AskError(f"{self._http.base_url} does not answer ({type(error).__name__}); is it running?") from None
        latency = round((time.perf_counter() - began) * 1000, 1)
        reply = msgspec.convert(outcome["reply"], Reply) if outcome["reply"] else Reply("decline", "human")
        faq_ids = [answer.entry_id for answer in reply.answers]
        return Asked(
            conversation=question.conversation,
            text=question.text,
            kind=reply.kind,
            topic=reply.topic,
            faq_id=faq_ids[0] if faq_ids else None,
            faq_ids=list(dict.fromkeys(faq_ids)),
            urgency=reply.urgency,
            findings=[finding.id for finding in reply.findings] if self._staff_token else None,
            confidence=reply.confidence,
            reply=plain_text(reply),
            choices=[{"title": choice.title, "token": choice.token} for choice in reply.choices],
            latency_ms=latency,
        )

    def ask_talks(self, talks: Iterable[Sequence[Question]]) -> Iterator[list[Asked]]:
        """Ask several conversations side by side, the questions of each in order; raises as :meth:`ask` does."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield from pool.map(lambda talk: [self.ask(question) for question in talk], talks)

    def ask_apart(self, questions: Iterable[Question]) -> Iterator[Asked]:
        """Ask questions that each have a conversation of their own; raises as :meth:`ask` does."""
        for (asked,) in self.ask_talks([question] for question in questions):
            yield asked

    def judge_safety(self, texts: Sequence[str]) -> list[tuple[Urgency, str]]:
        """The urgency of the reply to each of one person's messages, in order, and the card it came with."""
        conversation = f"person {uuid.uuid4().hex}"
        asked = [self.ask(Question(conversation, text)) for text in texts]
        return [(one.urgency, one.faq_id or "") for one in asked]

    def _as_staff(self, question: Question) -> dict[str, Any]:
        known = self._conversations.setdefault(question.conversation, {})
        answer = self._post(
            "/api/staff/ask",
            {
                "message_id": uuid.uuid4().hex,
                "conversation": known.get("id"),
                "text": question.text,
                "choice": question.choice,
                "at": question.at.isoformat() if question.at else None,
            },
            self._staff_token or "",
        )
        known["id"] = answer["conversation"]
        received: dict[str, Any] = answer["received"]
        return received

    def _as_patient(self, question: Question) -> dict[str, Any]:
        if question.at is not None:
            raise AskError(
                "`at` needs a staff token: set NEEDLEPOINT_STAFF_TOKEN (`needlepoint staff token` makes one)"
            )
        known = self._conversations.setdefault(question.conversation, {})
        if not known:
            opened = self._post("/api/conversations", {"consent": PRIVACY_VERSION})
            known |= {"id": opened["conversation"], "token": opened["token"]}
        body = {"message_id": uuid.uuid4().hex}
        body |= {"text": question.text} if question.text is not None else {"choice": question.choice or ""}
        return self._post(f"/api/conversations/{known['id']}/messages", body, known["token"])

    def _post(self, path: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        waits = iter(RETRY_AFTER)
        response = self._http.post(path, json=body, headers=headers)
        while response.status_code in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
            if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
                time.sleep(float(response.headers.get("ratelimit-reset", "1")) or 1)
            elif (seconds := next(waits, None)) is not None:
                time.sleep(seconds)
            else:
                break
            response = self._http.post(path, json=body, headers=headers)
        if response.is_error:
            try:
                problem = response.json()["error"]["message"]
            except (ValueError, KeyError, TypeError):
                problem = f"HTTP {response.status_code}"
            raise AskError(f"{self._http.base_url} refused: {problem}")
        answer: dict[str, Any] = response.json()
        return answer
