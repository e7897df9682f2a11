"""The report's pictures as SVG files: confidence against truth, risk against coverage, which topic was taken for which.

Needs matplotlib, which is among the development requirements only: the app draws nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from needlepoint.evaluation.answers_report import Scored, surest_first
from needlepoint.evaluation.calibration import bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Dark enough for a contrast of 4.5 to 1 on white.
_BLUE, _GREY = "#1f5f8b", "#6b7280"


class PicturesError(RuntimeError):
    """The pictures cannot be drawn or written; the message names the mend."""


def draw(scored: Sequence[Scored], folder: Path, name: str) -> list[str]:
    """Draw the pictures of one file of messages into the folder; returns lines of Markdown that show them.

    Raises :class:`PicturesError`.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - not installed with the app
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise PicturesError("pictures need matplotlib: run `make install-dev`, or leave --pictures out") from None
    # The same figures give the same file, so that a picture in the repository changes only with them.
    mpl.rcParams["svg.hashsalt"] = f"needlepoint {name}"
    mpl.rcParams["svg.fonttype"] = "none"
    inside = [one for one in scored if one.in_scope]
    lines = []
    pictures = (("reliability", _reliability, (5, 5)), ("risk", _risk, (6, 4)), ("confusion", _confusion, (9, 8)))
    for kind, picture, size in pictures:
        figure = Figure(figsize=size, layout="constrained")
        what = picture(figure.add_subplot(), inside)
        file = f"{name}-{kind}.svg"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            figure.savefig(folder / file, metadata={"Date": None, "Creator": None})
        except OSError as error:
            raise PicturesError(f"{folder / file} cannot be written ({error.strerror}): name another folder") from error
        lines += [f"![{what}]({file})", ""]
    return lines


def _reliability(axes: Axes, inside: Sequence[Scored]) -> str:
    """Stated confidence of answers against the share that was right; the size of a point is the number of answers."""
    found = bins(surest_first(inside))
    total = sum(one.count for one in found) or 1
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
    axes.scatter(
        [one.confidence for one in found],
        [one.right for one in found],
        s=[30 + 600 * one.count / total for one in found],
        color=_BLUE,
        alpha=0.8,
    )
    for one in found:
        axes.annotate(str(one.count), (one.confidence, one.right), textcoords="offset points", xytext=(8, -12))
    axes.set(xlim=(0, 1.02), ylim=(0, 1.05), xlabel="stated confidence", ylabel="share right", title="Answers given")
    return "Confidence of answers against the share that was right"


def _risk(axes: Axes, inside: Sequence[Scored]) -> str:
    """Share of answers that were wrong, where only the surest are given, against the share of questions answered."""
    wrong = 0
    coverage, risk = [], []
    for number, (_, right) in enumerate(surest_first(inside), start=1):
        wrong += not right
        coverage.append(number / len(inside))
        risk.append(wrong / number)
    axes.plot(coverage, risk, color=_BLUE)
    axes.set(
        xlim=(0, 1),
        ylim=(0, max([*risk, 0.05]) * 1.1),
        xlabel="share of questions answered, the surest first",
        ylabel="share of them wrong",
        title="Risk and coverage",
    )
    axes.grid(alpha=0.3)
    return "Share of wrong answers against the share of questions answered"


def _confusion(axes: Axes, inside: Sequence[Scored]) -> str:
    """How often a question about one topic (row) was answered about another (column), and what was not answered."""
    pairs = Counter((one.topic, _column(one)) for one in inside)
    rows = sorted({row for row, _ in pairs})
    columns = [*sorted({column for _, column in pairs} - set(_NOT_ANSWERED)), *_NOT_ANSWERED]
    counts: list[list[int]] = [[pairs[row, column] for column in columns] for row in rows]
    shares: Any = [[count / max(sum(line), 1) for count in line] for line in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            if count:
                axes.text(column, row, str(count), ha="center", va="center", fontsize=9)
    axes.set(xlabel="what the reply was about", ylabel="what was asked", title="Topics")
    return "Topics that were asked about against the topics of the replies"


_NOT_ANSWERED = ("asked back", "declined")


def _column(one: Scored) -> str:
    if one.outcome == "declined":
        return "declined"
    return "asked back" if one.kind == "clarify" else one.given_topic
