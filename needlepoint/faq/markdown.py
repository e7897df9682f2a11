"""The markdown subset of an answer as HTML, made as `widget/src/markdown.ts` makes it for patients."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from markupsafe import Markup, escape

_BOLD_OR_LINK = re.compile(
    r"\*\*(?![\s*])(.*?[^\s*])\*\*(?!\*)|\[([^\[\]]+)\]\(((?:[^\s()]|\([^\s()]*\))+)\)", re.DOTALL
)
_LINK_SCHEMES = re.compile(r"(https?://[^/]|tel:|mailto:)", re.IGNORECASE)
_ITEM = re.compile(r"\s*- +(\S.*)")


def is_safe_link(url: str) -> bool:
    """May this address become a link? Only whole ones do, with a scheme that cannot run anything."""
    if not _LINK_SCHEMES.match(url):
        return False
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True


def rendered(text: str) -> Markup:
    """Paragraphs, "- " lists, **bold** and [text](url) as HTML; everything else as it is written, escaped."""
    out = Markup()
    for block in re.split(r"\n[ \t]*\n", re.sub(r"\r\n?", "\n", text)):
        items: list[tuple[bool, list[str]]] = []
        in_list = False
        for line in block.split("\n"):
            if found := _ITEM.fullmatch(line):
                in_list = True
                items.append((True, [found[1]]))
            elif line.strip() and items:
                items[-1][1].append(line.strip())
            elif line.strip():
                items.append((False, [line.strip()]))
        paragraphs = [_inline("\n".join(lines)) for listed, lines in items if not listed]
        entries = [_inline("\n".join(lines)) for listed, lines in items if listed]
        out += Markup().join(Markup("<p>{}</p>\n").format(one) for one in paragraphs)
        if in_list:
            listed = Markup().join(Markup("<li>{}</li>\n").format(one) for one in entries)
            out += Markup("<ul>\n{}</ul>\n").format(listed)
    return out


def _inline(text: str) -> Markup:
    out = Markup()
    at = 0
    for found in _BOLD_OR_LINK.finditer(text):
        bold, label, url = found.groups()
        if bold is None and not is_safe_link(url):
            continue
        out += escape(text[at : found.start()])
        if bold is not None:
            out += Markup("<strong>{}</strong>").format(_inline(bold))
        else:
            out += Markup('<a href="{}" rel="noopener noreferrer nofollow">{}</a>').format(url, label)
        at = found.end()
    return out + escape(text[at:])
