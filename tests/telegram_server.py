"""A server that plays Telegram's Bot API over real HTTP, as strict as the real one, and people who write to the bot."""

from __future__ import annotations

import html
import itertools
import json
import re
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

TOKEN = "123456789:a-token-for-tests-only-AAAAAAAAAAAA"
BOT = 123456789

ALLOWED_TAGS = {"b", "i", "a", "u", "s", "code", "pre"}


class RefusedError(Exception):
    """The Bot API's answer to a request that is wrong."""


class _Entities(HTMLParser):
    """Reads HTML as the Bot API does: few tags, all closed in order, everything else escaped."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text = ""
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED_TAGS:
            raise RefusedError(f'Bad Request: can\'t parse entities: unsupported start tag "{tag}"')
        self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise RefusedError("Bad Request: can't parse entities: unexpected end tag")

    def handle_data(self, data: str) -> None:
        self.text += data


def read_html(text: str) -> _Entities:
    """The words of a message in HTML. Raises RefusedError where the Bot API would."""
    if re.search(r"<(?!/?[a-z]+[ >])", text) or re.search(r"&(?!(lt|gt|amp|quot|#[0-9]+|#x[0-9a-f]+);)", text):
        raise RefusedError("Bad Request: can't parse entities: bare < or &")
    parser = _Entities()
    parser.feed(text)
    parser.close()
    if parser.open:
        raise RefusedError("Bad Request: can't parse entities: can't find end tag")
    return parser


@dataclass
class Message:
    """A message that a person got."""

    id: int
    chat: int
    text: str
    html: str
    at: float
    buttons: list[list[dict[str, str]]] = field(default_factory=list)

    @property
    def titles(self) -> list[str]:
        """What the buttons say, from top to bottom."""
        return [button["text"] for row in self.buttons for button in row]


@dataclass
class Fault:
    """What goes wrong with a call: `quiet` (429), `error` (500), `proxy` (502 of something in between), `cut_before`
    and `cut_after` (the connection is reset before or after the message is there), `hang`, `blocked`, `entities`."""

    what: str
    seconds: float = 0.0


class BotApiServer:
    """Bot API on 127.0.0.1. Updates are fetched with getUpdates, or posted by `post_to` where a webhook is set."""

    def __init__(self) -> None:
        self.messages: dict[int, list[Message]] = defaultdict(list)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answered: dict[str, str] = {}
        self.webhook: dict[str, Any] = {"url": ""}
        self.secret = ""
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        #: Decides of each call whether something goes wrong: method and parameters in.
        self.trouble: Callable[[str, dict[str, Any]], Fault | None] = lambda _method, _asked: None
        self.updates: list[dict[str, Any]] = []
        self.commands: dict[str, list[dict[str, str]]] = {}
        #: The app's processes behind the webhook's address, and the status of each post to them.
        self.behind: list[str] = []
        self.posted: list[int] = []
        self._next_behind = itertools.count()
        self._update_ids = itertools.count(1000)
        self._message_ids = itertools.count(1)
        self._changed = threading.Condition()
        self._stopped = False
        self._of_this_thread = threading.local()

    # -- running -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> BotApiServer:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                server._handle(self)

            def log_message(self, *_arguments: Any) -> None:
                """Keep the test's output clean."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_arguments: Any) -> None:
                """Whoever was there hung up."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopped = True
        with self._changed:
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    # -- the Bot API -------------------------------------------------------------------------------------------------

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        token, _, method = request.path.removeprefix("/bot").partition("/")
        asked = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        if token != TOKEN:
            self._answer(request, 401, {"ok": False, "error_code": 401, "description": "Unauthorized"})
            return
        self._of_this_thread.connection = request.connection
        fault = (self.faults[method].pop(0) if self.faults[method] else None) or self.trouble(method, asked)
        self.calls.append((method, asked))
        if fault and self._go_wrong(request, fault):
            return
        try:
            result = getattr(self, f"_{method}")(asked)
        except RefusedError as error:
            self._answer(request, 400, {"ok": False, "error_code": 400, "description": str(error)})
            return
        if fault and fault.what == "cut_after":
            self._cut(request)
            return
        if fault and fault.what == "hang":
            time.sleep(fault.seconds)
        self._answer(request, 200, {"ok": True, "result": result})

    def _go_wrong(self, request: BaseHTTPRequestHandler, fault: Fault) -> bool:
        def refuse(code: int, description: str, **more: Any) -> None:
            self._answer(request, code, {"ok": False, "error_code": code, "description": description, **more})

        match fault.what:
            case "quiet":
                seconds = int(fault.seconds)
                refuse(429, f"Too Many Requests: retry after {seconds}", parameters={"retry_after": seconds})
            case "error":
                refuse(500, "Internal Server Error")
            case "blocked":
                refuse(403, "Forbidden: bot was blocked by the user")
            case "entities":
                refuse(400, "Bad Request: can't parse entities: because the test says so")
            case "proxy":
                self._answer(request, 502, "<html>Bad Gateway</html>")
            case "cut_before":
                self._cut(request)
            case _:
                return False
        return True

    def _cut(self, request: BaseHTTPRequestHandler) -> None:
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.close_connection = True
        request.connection.close()

    def _answer(self, request: BaseHTTPRequestHandler, status: int, content: Any) -> None:
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
        request.send_response(status)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _getMe(self, _asked: dict[str, Any]) -> Any:  # noqa: N802
        return {"id": BOT, "is_bot": True, "first_name": "Needlepoint", "username": "needlepoint_test_bot"}

    def _getWebhookInfo(self, _asked: dict[str, Any]) -> Any:  # noqa: N802
        return {"has_custom_certificate": False, "pending_update_count": len(self.updates), **self.webhook}

    def _setWebhook(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        self.secret = asked.get("secret_token", "")
        self.webhook = {"url": asked["url"], "allowed_updates": json.loads(asked.get("allowed_updates", "[]"))}
        return True

    def _deleteWebhook(self, _asked: dict[str, Any]) -> Any:  # noqa: N802
        self.webhook = {"url": ""}
        return True

    def _setMyCommands(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        commands = json.loads(asked["commands"])
        for command in commands:
            assert re.fullmatch("[a-z0-9_]{1,32}", command["command"])
            assert 1 <= len(command["description"]) <= 256
        self.commands[asked.get("language_code", "")] = commands
        return True

    def _sendChatAction(self, _asked: dict[str, Any]) -> Any:  # noqa: N802
        return True

    def _answerCallbackQuery(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        self.answered[asked["callback_query_id"]] = asked.get("text", "")
        return True

    def _editMessageReplyMarkup(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        with self._changed:
            for message in self.messages[int(asked["chat_id"])]:
                if message.id == int(asked["message_id"]):
                    message.buttons = _buttons(asked)
                    self._changed.notify_all()
                    return True
        raise RefusedError("Bad Request: message to edit not found")

    def _sendMessage(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        text = asked.get("text", "")
        seen = read_html(text).text if asked.get("parse_mode") == "HTML" else text
        if not seen.strip():
            raise RefusedError("Bad Request: message text is empty")
        if len(seen.encode("utf-16-le")) // 2 > 4096:
            raise RefusedError("Bad Request: message is too long")
        chat = int(asked["chat_id"])
        message = Message(next(self._message_ids), chat, seen.strip(), text, time.monotonic(), _buttons(asked))
        with self._changed:
            self.messages[chat].append(message)
            self._changed.notify_all()
        return {
            "message_id": message.id,
            "date": int(time.time()),
            "chat": {"id": chat, "type": "private"},
            "text": seen,
        }

    def _getUpdates(self, asked: dict[str, Any]) -> Any:  # noqa: N802
        offset = int(asked.get("offset", 0))
        ends = time.monotonic() + float(asked.get("timeout", 0))
        with self._changed:
            self.updates = [update for update in self.updates if update["update_id"] >= offset]
            while not self.updates and time.monotonic() < ends and not self._stopped:
                self._changed.wait(0.2)
                if _hung_up(self._of_this_thread.connection):
                    return []
            return self.updates[: int(asked.get("limit", 100))]

    # -- people ------------------------------------------------------------------------------------------------------

    def push(self, **content: Any) -> dict[str, Any]:
        """An update happened; it waits to be fetched. Returns it."""
        with self._changed:
            update = {"update_id": next(self._update_ids), **content}
            self.updates.append(update)
            self._changed.notify_all()
        return update

    def post(self, update: dict[str, Any], within: float = 30) -> None:
        """Post an update to the webhook as Telegram does: to any process behind it, again and again until it is 200."""
        path = urlsplit(self.webhook["url"]).path
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.secret}
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            to = self.behind[next(self._next_behind) % len(self.behind)]
            try:
                status = httpx.post(to + path, json=update, headers=headers, timeout=10, trust_env=False).status_code
            except httpx.TransportError:
                status = 0
            self.posted.append(status)
            if status == 200:
                return
            time.sleep(0.2)
        raise AssertionError(f"the update was not taken within {within} s: {self.posted[-5:]}")

    def wait_for(self, condition: Callable[[], Any], within: float = 40, what: str = "it") -> Any:
        """Wait until something is so; returns it."""
        ends = time.monotonic() + within
        while True:
            if found := condition():
                return found
            if time.monotonic() > ends:
                raise AssertionError(f"{what} did not happen within {within} s; last messages: {self.last_words()}")
            with self._changed:
                self._changed.wait(0.05)

    def last_words(self) -> list[str]:
        """The end of what was sent, for error messages."""
        return [f"{one.chat}: {one.text[:150]!r} {one.titles}" for some in self.messages.values() for one in some[-4:]]

    def called(self, method: str) -> list[dict[str, Any]]:
        """The parameters of all calls of a method."""
        return [asked for name, asked in list(self.calls) if name == method]


def _buttons(asked: dict[str, Any]) -> list[list[dict[str, str]]]:
    rows: list[list[dict[str, str]]] = json.loads(asked.get("reply_markup") or "{}").get("inline_keyboard", [])
    for row in rows:
        for button in row:
            if not 1 <= len(button["callback_data"].encode()) <= 64:
                raise RefusedError("Bad Request: BUTTON_DATA_INVALID")
            if not button["text"].strip():
                raise RefusedError("Bad Request: Text buttons are unallowed in the inline keyboard")
    return rows


def _hung_up(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


_EVENTS = itertools.count(500_000)


@dataclass
class Patient:
    """Somebody in a private chat with the bot."""

    server: BotApiServer
    chat: int
    language: str = "en"
    by_webhook: bool = False
    _ids: Any = field(default_factory=lambda: _EVENTS)

    def send(self, **message: Any) -> dict[str, Any]:
        """Send a message with these fields; returns the update."""
        message = {"message_id": next(self._ids), "date": int(time.time()), **self._who(), **message}
        return self._happens(message=message)

    def edit(self, update: dict[str, Any], after: int = 30, **changed: Any) -> dict[str, Any]:
        """Change a message that was sent."""
        before = update["message"]
        return self._happens(edited_message={**before, "edit_date": before["date"] + after, **changed})

    def press(self, message: Message, title: str) -> str:
        """Press a button; returns the press's id."""
        data = next(button["callback_data"] for row in message.buttons for button in row if button["text"] == title)
        return self.press_data(message.id, data)

    def press_data(self, message_id: int, data: str) -> str:
        """Press a button that carries this."""
        press_id = f"press-{next(self._ids)}"
        press = {"id": press_id, "from": self._who()["from"], "data": data, "chat_instance": "1"}
        self._happens(callback_query={**press, "message": {"message_id": message_id, "date": 1, **self._who()}})
        return press_id

    def _who(self) -> dict[str, Any]:
        return {
            "chat": {"id": self.chat, "type": "private", "first_name": "Aisyah"},
            "from": {"id": self.chat, "is_bot": False, "first_name": "Aisyah", "language_code": self.language},
        }

    def _happens(self, **content: Any) -> dict[str, Any]:
        if not self.by_webhook:
            return self.server.push(**content)
        update = {"update_id": next(self.server._update_ids), **content}
        self.server.post(update)
        return update

    @property
    def got(self) -> list[Message]:
        """All messages of the bot."""
        return self.server.messages[self.chat]

    def say(self, text: str, within: float = 40) -> Message:
        """Write a text and wait for the next message; returns the last part that came."""
        before = len(self.got)
        self.send(text=text)
        return self.next(before, within)

    def next(self, before: int, within: float = 40) -> Message:
        """The message behind the first `before` ones."""
        self.server.wait_for(lambda: len(self.got) > before, within, f"message {before + 1}")
        return self.got[before]

    def pressed(self, message: Message, title: str, within: float = 40) -> Message:
        """Press a button and wait for what it brings."""
        before = len(self.got)
        self.press(message, title)
        return self.next(before, within)

    def agrees(self) -> Patient:
        """Start and agree."""
        asked = self.say("/start")
        self.pressed(asked, "I agree, start" if self.language == "en" else "Saya setuju, mula")
        return self


def unescaped(text: str) -> str:
    """For comparing: HTML without its tags."""
    return html.unescape(re.sub(r"<[^>]+>", "", text))
