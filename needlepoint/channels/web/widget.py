"""The widget's files as a browser fetches them, the pages that carry it, and which other origins may."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Request, Response, get
from litestar.exceptions import NotFoundException

from needlepoint.phrases import Phrases
from needlepoint.settings import ROOT, Settings, SettingsError

BUILT = ROOT / "widget" / "dist"
PAGES = Path(__file__).parent / "pages"

#: The newest widget reaches every page within this many seconds.
FRESH_FOR = 300
ONE_YEAR = 31_536_000


class Script(msgspec.Struct, frozen=True):
    """A built script: its bytes, and what names them."""

    content: bytes
    gzipped: bytes
    #: The first 16 hexadecimal digits of its SHA-256, which stand in the address that never changes.
    digest: str
    #: What goes into a script tag's `integrity`.
    integrity: str


def read_script(name: str) -> Script:
    """Read a built file. Raises :class:`SettingsError` where it is missing from the checkout."""
    file = BUILT / name
    try:
        content = file.read_bytes()
    except OSError:
        raise SettingsError(f"{file} is missing; check it out again, or build it: `make widget`") from None
    return Script(
        content,
        gzip.compress(content, 9, mtime=0),
        hashlib.sha256(content).hexdigest()[:16],
        "sha384-" + base64.b64encode(hashlib.sha384(content).digest()).decode(),
    )


def embed_origins(settings: Settings) -> frozenset[str]:
    """The origins whose pages may carry the widget. Raises :class:`SettingsError` for what is no origin."""
    origins = set()
    for one in filter(None, (part.strip() for part in settings.embed_origins.split(","))):
        parts = urlsplit(one)
        secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1"))
        if one != one.lower() or f"{parts.scheme}://{parts.netloc}" != one or not parts.hostname or not secure:
            raise SettingsError(
                f"NEEDLEPOINT_EMBED_ORIGINS: `{one}` is no origin; write https://www.clinic.example, in small letters, "
                "without a path, a slash at the end or `*`"
            )
        origins.add(one)
    return frozenset(origins)


def cross_origin_headers(allowed: frozenset[str], path: str, origin: str | None) -> dict[str, str]:
    """What lets pages of `origin` use the API at `path`; of the token no cookie takes part, so none is allowed."""
    if not path.startswith("/api/") or not allowed:
        return {}
    headers = {"vary": "Origin"}
    if origin in allowed:
        headers |= {
            "access-control-allow-origin": origin,
            "access-control-allow-methods": "GET, POST, PUT, DELETE",
            "access-control-allow-headers": "authorization, content-type, last-event-id, x-request-id",
            "access-control-expose-headers": "x-request-id",
            "access-control-max-age": "600",
        }
    return headers


def _served(request: Request[Any, Any, Any], script: Script, cache_control: str) -> Response[bytes]:
    # Any site may load the script (a tag with `integrity` asks with CORS); who may talk to the API is decided there.
    headers = {
        "cache-control": cache_control,
        "etag": f'W/"{script.digest}"',
        "vary": "Accept-Encoding",
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
    }
    if script.digest in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers, media_type="text/javascript")
    zipped = "gzip" in request.headers.get("accept-encoding", "")
    if zipped:
        headers["content-encoding"] = "gzip"
    content = script.gzipped if zipped else script.content
    return Response(content, headers=headers, media_type="text/javascript; charset=utf-8")


WIDGET = read_script("widget.js")
MARKDOWN = read_script("markdown.js")
PREVIEW = read_script("preview.js")


@get("/widget.js", include_in_schema=False, sync_to_thread=False)
def newest_widget(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The widget, as new as it is."""
    return _served(request, WIDGET, f"public, max-age={FRESH_FOR}")


@get(f"/widget.{WIDGET.digest}.js", include_in_schema=False, sync_to_thread=False)
def pinned_widget(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The widget under an address that names its content; that of another build is not there."""
    return _served(request, WIDGET, f"public, max-age={ONE_YEAR}, immutable")


@get("/markdown.js", include_in_schema=False, sync_to_thread=False)
def markdown_module(request: Request[Any, Any, Any]) -> Response[bytes]:
    """How the widget renders an answer, for the staff's pages."""
    return _served(request, MARKDOWN, f"public, max-age={FRESH_FOR}")


@get("/preview.js", include_in_schema=False, sync_to_thread=False)
def preview_module(request: Request[Any, Any, Any]) -> Response[bytes]:
    """How the widget shows a whole reply, for the staff's pages."""
    return _served(request, PREVIEW, f"public, max-age={FRESH_FOR}")


def script_tag(base: str) -> str:
    """The tag that pins this widget: `base` is the app's public address."""
    address = f"{base.rstrip('/')}/widget.{WIDGET.digest}.js"
    return f'<script src="{address}" integrity="{WIDGET.integrity}" crossorigin="anonymous" async></script>'


@cache
def _template(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def _page(name: str, **values: str) -> Response[str]:
    text = _template(name)
    for key, value in values.items():
        text = text.replace(f"{{{{{key}}}}}", html.escape(value))
    return Response(text, media_type="text/html; charset=utf-8", headers={"cache-control": "no-cache"})


@get("/", include_in_schema=False, sync_to_thread=False)
def chat_page(phrases: Phrases) -> Response[str]:
    """The chat alone on a page."""
    clinic = phrases.clinic
    emergency = phrases.say("emergency_line", clinic.languages[0])
    return _page("chat.html", clinic=clinic.name, language=clinic.languages[0], emergency=emergency)


@get("/demo", include_in_schema=False, sync_to_thread=False)
def demo_page(request: Request[Any, Any, Any], settings: Settings, phrases: Phrases) -> Response[str]:
    """A clinic's page with the widget on it, where the settings allow it."""
    if not settings.demo_page:
        raise NotFoundException("there is no demo page here; NEEDLEPOINT_DEMO_PAGE=true puts it here")
    return _page("demo.html", clinic=phrases.clinic.name, tag=script_tag(str(request.base_url)))
