"""Clinics' own websites for tests: pages from another origin than the app's, with headers as strict as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = """<!doctype html>
<html lang="{language}" dir="{direction}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>A clinic</title><link rel="stylesheet" href="/site.css">{head}</head>
<body><main><h1>A clinic</h1><p><a href="/two">Another page</a> <button id="mine" type="button">A button</button></p>
{body}</main></body></html>"""

#: What sites really do to the elements of a page: a rem of 10 px, buttons and lists of their own.
STYLE = """html { font-size: 62.5%; } body { color: #888; font: italic 1.2rem/1 serif; letter-spacing: .2em; }
* { text-transform: uppercase; } button, a { background: lime; color: lime; } ol { list-style: square; }"""


class Site:
    """A website with one kind of page at every path. Change `head` and `body` before a page is asked for."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.head = self.body = ""
        self.language, self.direction = "en", "ltr"
        #: Where scripts and requests may go besides the site itself, by its content policy.
        self.app = ""
        #: Cookies that arrived here.
        self.cookies: list[str] = []

    def carries(self, app: str, attributes: str = "", body: str = "") -> None:
        """Put the widget of this app on every page."""
        self.app, self.body = app, body
        self.head = f'<script src="{app}/widget.js" async {attributes}></script>'


@contextmanager
def serving() -> Iterator[Site]:
    """A site on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            style = self.path == "/site.css"
            page = PAGE.format(language=site.language, direction=site.direction, head=site.head, body=site.body)
            content = (STYLE if style else page).encode()
            site.cookies += self.headers.get_all("cookie") or []
            self.send_response(200)
            self.send_header("content-type", "text/css" if style else "text/html; charset=utf-8")
            self.send_header("content-length", str(len(content)))
            self.send_header("content-security-policy", f"default-src 'self' {site.app}")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Site(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield site
        server.shutdown()
