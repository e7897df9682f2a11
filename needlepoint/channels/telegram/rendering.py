"""A Reply as Telegram shows it: HTML by our own escaper from the markdown subset, in parts that are not too long."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from needlepoint.channels.telegram.splitting import LONGEST_PART, spans
from needlepoint.phrases import Phrases
from needlepoint.reply import Answer, Reply

_BOLD_OR_LINK = re.compile(
    r"\*\*(?![\s*])(.*?[^\s*])\*\*(?!\*)|\[([^\[\]]+)\]\(((?:[^\s()]|\([^\s()]*\))+)\)", re.DOTALL
)
_ITEM = re.compile(r"\s*- +(\S.*)")


class Run(msgspec.Struct, frozen=True):
    """A stretch of text that looks the same throughout."""

    text: str
    bold: bool = False
    italic: bool = False
    link: str = ""


class Part(msgspec.Struct, frozen=True):
    """One message: as HTML, and the same words plain for when Telegram does not take the HTML."""

    html: str
    plain: str


def render(reply: Reply, phrases: Phrases, language: str, zone: ZoneInfo, before: str = "") -> list[Part]:
    """The parts of a reply from top to bottom; none is empty, and there is at least one.

    `before` is a line of the channel's own that stands in front.
    """
    parts = split(document(reply, phrases, language, zone, before))
    # A reply without a word would leave a person waiting; there is none, but silence is the worst answer.
    return parts or split(marked(phrases.say("decline", language)))


def render_text(text: str) -> list[Part]:
    """The same for a text of the channel itself."""
    return split(marked(text))


def document(reply: Reply, phrases: Phrases, language: str, zone: ZoneInfo, before: str = "") -> list[Run]:
    """Everything that a reply says, in the order of the website's cards."""
    blocks: list[list[Run]] = [marked(before)]
    if reply.urgency in ("emergency_now", "same_day") and reply.kind == "urgent":
        blocks.append([Run("‼️ "), Run(phrases.say(f"heading_{reply.urgency}", language), bold=True)])
        blocks.append(marked(phrases.say("emergency_line", language)))
    blocks.append(marked(reply.text))
    if reply.urgency == "contact_clinic" and reply.kind != "clarify":
        blocks.append(marked(phrases.say("contact_clinic_note", language)))
    for answer in reply.answers:
        blocks += _answer(answer, phrases, language)
    blocks.append(marked(reply.then))
    return _joined(blocks)


def _answer(answer: Answer, phrases: Phrases, language: str) -> list[list[Run]]:
    blocks = [[Run(_visible(answer.question).strip(), bold=True)]]
    blocks += [marked(answer.in_your_case or ""), marked(answer.text)]
    if answer.when_to_contact:
        blocks.append(
            [Run(phrases.say("when_to_contact", language) + "\n", bold=True), *marked(answer.when_to_contact)]
        )
    return [*blocks, _provenance(answer, phrases, language)]


def _provenance(answer: Answer, phrases: Phrases, language: str) -> list[Run]:
    """Who has looked at an answer, and where it comes from."""
    runs: list[Run] = []
    if day := answer.reviewed_on or answer.starting_text_of:
        key = "reviewed" if answer.reviewed_on else "starting_text"
        # A fixed year: the date of a review is said with its year.
        said = phrases.say(key, language, date=phrases.date(day, language, day.replace(year=day.year - 1, day=1)))
        runs.append(Run(said, italic=True))
    if answer.sources:
        runs += [Run("\n" if runs else ""), Run(phrases.say("sources", language) + " ", italic=True)]
        for number, source in enumerate(answer.sources):
            link = source.url if _may_be_a_link(source.url) else ""
            runs += [Run("; ") if number else Run(""), Run(_visible(source.name).strip(), italic=True, link=link)]
    return runs


def marked(text: str) -> list[Run]:
    """The markdown subset as runs: paragraphs, "- " lists, **bold** and [text](url); the rest as it is written."""
    blocks = [_lines(block) for block in re.split(r"\n[ \t]*\n", _visible(text)) if block.strip()]
    return [run for run in _inline("\n\n".join(blocks), bold=False) if run.text]


def _lines(block: str) -> str:
    """A paragraph or list in lines: as on the website only an item of a list begins a new one."""
    lines: list[str] = []
    for line in block.split("\n"):
        if found := _ITEM.fullmatch(line):
            lines.append(f"• {found[1].rstrip()}")
        elif line.strip() and lines:
            lines[-1] += f" {line.strip()}"
        elif line.strip():
            lines.append(line.strip())
    return "\n".join(lines)


def _inline(text: str, *, bold: bool) -> Iterable[Run]:
    at = 0
    for found in _BOLD_OR_LINK.finditer(text):
        strong, label, url = found.groups()
        if strong is None and not _may_be_a_link(url):
            continue
        yield Run(text[at : found.start()], bold=bold)
        if strong is not None:
            yield from _inline(strong, bold=True)
        else:
            yield Run(label, bold=bold, link=url)
        at = found.end()
    yield Run(text[at:], bold=bold)


def _may_be_a_link(url: str) -> bool:
    """Telegram makes links of web addresses only; of anything else it would show neither link nor address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme.lower() in ("http", "https") and bool(parts.hostname)


def _visible(text: str) -> str:
    """Without the control characters that Telegram refuses or drops; line ends are newlines."""
    text = re.sub(r"\r\n?", "\n", text)
    return "".join(one for one in text if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cs"))


def _joined(blocks: Iterable[Sequence[Run]]) -> list[Run]:
    runs: list[Run] = []
    for block in blocks:
        if not any(run.text.strip() for run in block):
            continue
        if runs:
            runs.append(Run("\n\n"))
        runs += block
    return runs


def plain(runs: Iterable[Run]) -> str:
    """The words of runs."""
    return "".join(run.text for run in runs)


def split(runs: Sequence[Run], longest: int = LONGEST_PART) -> list[Part]:
    """Runs in parts of at most `longest` UTF-16 units of what is seen; each part closes what it opens."""
    text = plain(runs)
    return [Part(_html(_slice(runs, start, end)), text[start:end]) for start, end in spans(text, longest)]


def _slice(runs: Sequence[Run], start: int, end: int) -> list[Run]:
    sliced, at = [], 0
    for run in runs:
        first, last = max(start - at, 0), min(end - at, len(run.text))
        if first < last:
            sliced.append(msgspec.structs.replace(run, text=run.text[first:last]))
        at += len(run.text)
    return sliced


def _html(runs: Iterable[Run]) -> str:
    out = []
    for run in runs:
        piece = html.escape(run.text, quote=False)
        if run.link:
            piece = f'<a href="{html.escape(run.link, quote=True)}">{piece}</a>'
        if run.italic:
            piece = f"<i>{piece}</i>"
        out.append(f"<b>{piece}</b>" if run.bold else piece)
    return "".join(out)
