"""Real servers that receive alerts, for tests: a small mail server and a small webhook."""

from __future__ import annotations

import base64
import socketserver
import ssl
import threading
import time
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Receiver:
    """Listens in a thread of its own until the `with` block ends."""

    _server: socketserver.TCPServer

    def _listen(self, server: socketserver.TCPServer) -> None:
        self._server = server
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class MailServer(_Receiver):
    """Takes e-mail as a provider's server does. What it is to refuse, and how, is set before or while it runs."""

    tls: ssl.SSLContext | None = None
    from_the_start: bool = False
    account: tuple[str, str] | None = None
    #: Commands to refuse, with the answer; each answer once, the last one for good where it is the only one.
    refuse: dict[str, list[str]] = field(default_factory=dict)
    #: Seconds between the bytes of every answer.
    drip: float = 0.0
    mails: list[tuple[str, EmailMessage]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def __enter__(self) -> MailServer:
        handler = type("Handler", (_MailHandler,), {"mail": self})
        self._listen(_Server(("127.0.0.1", 0), handler))
        return self

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._server.server_address[1])


class _MailHandler(socketserver.StreamRequestHandler):
    mail: MailServer

    def handle(self) -> None:
        try:
            if self.mail.tls and self.mail.from_the_start:
                self._secure()
            self._talk()
        except (OSError, ValueError):
            pass  # whoever was there hung up

    def _secure(self) -> None:
        assert self.mail.tls is not None
        self.connection = self.mail.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")

    def _say(self, answer: str) -> None:
        for byte in (answer + "\r\n").encode():
            if self.mail.drip:
                time.sleep(self.mail.drip)
                self.connection.sendall(bytes([byte]))
        if not self.mail.drip:
            self.connection.sendall((answer + "\r\n").encode())

    def _talk(self) -> None:
        self._say("220 mail.test ready")
        secure, recipient = self.mail.from_the_start, ""
        while line := self.rfile.readline():
            command, _, rest = line.decode().strip().partition(" ")
            command = command.upper()
            self.mail.commands.append(command)
            if answers := self.mail.refuse.get(command):
                self._say(answers.pop(0))
                continue
            if command in ("EHLO", "HELO"):
                offers = ["mail.test"]
                if self.mail.tls and not secure:
                    offers.append("STARTTLS")
                if self.mail.account:
                    offers.append("AUTH PLAIN")
                for offer in offers[:-1]:
                    self._say(f"250-{offer}")
                self._say(f"250 {offers[-1]}")
            elif command == "STARTTLS":
                self._say("220 go ahead")
                self._secure()
                secure = True
            elif command == "AUTH":
                user, password = base64.b64decode(rest.split()[-1]).decode().split("\0")[1:]
                self._say("235 welcome" if (user, password) == self.mail.account else "535 no")
            elif command == "RCPT":
                recipient = rest.partition("<")[2].partition(">")[0]
                self._say("250 ok")
            elif command == "DATA":
                self._say("354 go on")
                lines = []
                while (one := self.rfile.readline()) != b".\r\n":
                    lines.append(one)
                parsed = message_from_bytes(b"".join(lines), policy=policy.default)
                assert isinstance(parsed, EmailMessage)
                self.mail.mails.append((recipient, parsed))
                self._say("250 taken")
            elif command == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")


@dataclass
class Posted:
    """One request that a webhook got."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebhookReceiver(_Receiver):
    """Takes posts. `answers` are the statuses it gives, one after the other, then 204."""

    answers: list[int] = field(default_factory=list)
    #: Where a redirect points to.
    location: str = "/elsewhere"
    #: Seconds before it answers.
    delay: float = 0.0
    posts: list[Posted] = field(default_factory=list)

    def __enter__(self) -> WebhookReceiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.posts.append(Posted(self.path, headers, body))
                time.sleep(receiver.delay)
                status = receiver.answers.pop(0) if receiver.answers else 204
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", receiver.location)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Keep the test's output clean."""

        self._listen(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        return self

    @property
    def url(self) -> str:
        """Where it takes posts."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook?for=alerts"
