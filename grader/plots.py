"""Plots of a class as SVG that stands inside a page; letters and lines take the page's ink.

No pyplot: figures are objects that nobody else sees, so that this is safe in any thread.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from grader.discrimination import Discrimination

# Okabe & Ito 2008, "Color Universal Design": told apart by every kind of colour vision. In black
# and white they are told apart by their lightness and their hatches.
ALL, SOME, NONE, WAITS = "#0072b2", "#9ed0ee", "#f3b183", "#e4e4e4"
HATCHES = {
    ALL: ("", ALL),
    SOME: ("|||", "#00527f"),
    NONE: ("xxx", "#8a3000"),
    WAITS: ("//", "#555555"),
}
INK = "#010203"  # replaced by the page's own colour
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "text.parse_math": False,  # a cell's name may hold dollar signs
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "hatch.linewidth": 0.6,
}
MAX_BINS = 30
TIME_BINS = 24


@dataclass(frozen=True)
class Share:
    """How many of the readable submissions earned what in one cell."""

    name: str
    n: int
    all_points: int
    some_points: int
    no_points: int
    waiting: int
    mean: float = 0.0  # share of the points that was earned, among those that are decided, 0 to 1

    @property
    def rate(self) -> float:
        """Share with all points among those that are decided, 0 to 1."""
        decided = self.n - self.waiting
        return self.all_points / decided if decided else 0.0


def histogram(scores: Sequence[float], maximum: float, key: str) -> Markup:
    """Draw how many submissions have which score.

    Args:
        scores: points, at least one.
        maximum: points that can be earned.
        key: makes the ids within the picture unique in its page.
    """
    middle = median(scores)
    width = _bin_width(max(maximum, *scores))
    counts: dict[int, int] = {}
    for score in scores:
        place = math.floor(score / width + 1e-9)
        counts[place] = counts.get(place, 0) + 1
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.0), layout="constrained")
        axes = figure.add_subplot()
        # A bar of width 1 stands on its score: nearly all scores are whole points.
        shift = 0.0 if width == 1 else width / 2
        places = [place * width + shift for place in counts]
        axes.bar(places, list(counts.values()), width=0.9 * width, color=ALL)
        _median(axes, middle, f"median {middle:g}", right=middle <= maximum / 2)
        axes.set(
            title=_half(scores, middle, maximum),
            xlabel=f"points, of {maximum:g}",
            ylabel="submissions",
            xlim=(-0.6 * width, max(maximum, *scores) + 0.6 * width),
        )
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        about = (
            f"Histogram of {len(scores)} scores between {min(scores):g} and {max(scores):g} "
            f"of {maximum:g} points; median {middle:g}."
        )
        return _svg(figure, about, key)


def success(items: Sequence[tuple[Share, Discrimination | None]], key: str) -> Markup:
    """Draw for each exercise, in the lesson's order, who earned all, some or no points.

    Beside it, where it is known, how well each exercise tells students apart.
    """
    shares = [share for share, _ in items]
    known = [(place, one) for place, (_, one) in enumerate(items) if one is not None]
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(8.4 if known else 6.4, 1.25 + 0.27 * len(shares)), layout="constrained"
        )
        if known:
            axes, beside = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1.5))
            _dots(beside, known)
        else:
            axes = figure.add_subplot()
        _stack(axes, shares)
        axes.set(title=_hardest(shares), xlim=(0, 100))
        axes.set_xlabel("% of the submissions that could be read")
        figure.legend(
            loc="outside lower left", ncols=4, frameon=False, handlelength=1.8, columnspacing=1.4
        )
        about = "Bars, one for each exercise. All points: " + "; ".join(
            f"{share.name} {share.rate:.0%} of {share.n - share.waiting}" for share in shares
        )
        if known:
            about += ". Dots, discrimination: " + "; ".join(
                f"{shares[place].name} {one.value:.2f}" for place, one in known
            )
        return _svg(figure, about, key)


def counts(rows: Sequence[tuple[str, int]], key: str) -> Markup:
    """Draw how many submissions made which known mistake, the most frequent one at the top."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.9 + 0.25 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        bars = axes.barh(range(len(rows)), [count for _, count in rows], height=0.7, color=ALL)
        axes.bar_label(bars, padding=3, fontsize=9)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        most = rows[0][1]
        people = "submission" if most == 1 else "submissions"
        axes.set(title=f"The most frequent: in {most} {people}", xlabel="submissions")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        about = "Bars, submissions by known mistake: " + "; ".join(
            f"{name} {count}" for name, count in rows
        )
        return _svg(figure, about, key)


def times(seconds: Sequence[float], key: str) -> Markup:
    """Draw how many submissions took how long to grade, on a logarithmic axis.

    Args:
        seconds: of each submission, above 0, at least one.
    """
    middle, longest = median(seconds), max(seconds)
    low, high = math.log10(min(seconds)) - 0.05, math.log10(longest) + 0.05
    edges = [10 ** (low + (high - low) * step / TIME_BINS) for step in range(TIME_BINS + 1)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.4), layout="constrained")
        axes = figure.add_subplot()
        axes.hist(seconds, bins=edges, color=ALL, edgecolor="white", linewidth=0.5)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        _median(
            axes, middle, f"median {_seconds(middle)}", right=middle <= 10 ** ((low + high) / 2)
        )
        axes.set(
            title=f"Half took {_seconds(middle)} or less, the longest {_seconds(longest)}",
            xlabel="seconds to grade a submission, logarithmic",
            ylabel="submissions",
        )
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        about = (
            f"Histogram of the time that {len(seconds)} submissions took to grade, between "
            f"{_seconds(min(seconds))} and {_seconds(longest)}; median {_seconds(middle)}."
        )
        return _svg(figure, about, key)


def _seconds(time: float) -> str:
    return f"{time:.0f} s" if time >= 10 else f"{time:.2g} s"


def _median(axes: Axes, middle: float, text: str, *, right: bool) -> None:
    """Mark the median by a line with its label."""
    axes.margins(y=0.14)  # room for the label
    axes.axvline(middle, color=INK, linewidth=1.6, linestyle=(0, (4, 2)))
    axes.annotate(
        text,
        (middle, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, -2) if right else (-4, -2),
        textcoords="offset points",
        ha="left" if right else "right",
        va="top",
    )


def _stack(axes: Axes, shares: Sequence[Share]) -> None:
    parts = (
        ("all points", ALL, [share.all_points for share in shares]),
        ("some", SOME, [share.some_points for share in shares]),
        ("none", NONE, [share.no_points for share in shares]),
        ("waits for a person", WAITS, [share.waiting for share in shares]),
    )
    left = [0.0] * len(shares)
    for label, colour, counts in parts:
        if not any(counts):
            continue
        wide = [100 * count / max(1, share.n) for count, share in zip(counts, shares, strict=True)]
        hatch, edge = HATCHES[colour]
        axes.barh(
            range(len(shares)),
            wide,
            left=left,
            height=0.72,
            color=colour,
            hatch=hatch,
            edgecolor=edge,
            linewidth=0.5,
            label=label,
        )
        left = [a + b for a, b in zip(left, wide, strict=True)]
    for place, share in enumerate(shares):
        text = f"{share.rate:.0%}, n = {share.n - share.waiting}"
        if share.waiting > 0.1 * share.n:
            text = f"{share.n - share.waiting} of {share.n} decided"
        axes.text(101, place, text, va="center", fontsize=9, clip_on=False)
    axes.set_yticks(range(len(shares)), [share.name for share in shares])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(shares) - 0.5, -0.5)  # the lesson's first exercise stands at the top


def _dots(axes: Axes, known: Sequence[tuple[int, Discrimination]]) -> None:
    """Draw discrimination with its intervals."""
    places, values = [place for place, _ in known], [one.value for _, one in known]
    below = [one.value - one.low for _, one in known]
    above = [one.high - one.value for _, one in known]
    axes.errorbar(
        values, places, xerr=[below, above], fmt="o", color=INK, markersize=4.5, linewidth=1.0
    )
    axes.axvline(0, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set(title="Tells apart?", xlabel="discrimination, 95 %", xlim=(-1.05, 1.05))
    axes.set_xticks([-1, 0, 1])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _hardest(shares: Sequence[Share]) -> str:
    decided = [share for share in shares if share.waiting * 2 <= share.n]
    if not decided:
        return "Nothing is decided yet"
    hardest = min(decided, key=lambda share: share.rate)
    if hardest.rate == 1:
        return "Everybody earned all points in every exercise"
    return f"Hardest: {hardest.name}, all points for {hardest.rate:.0%}"


def _half(scores: Sequence[float], middle: float, maximum: float) -> str:
    if len(scores) == 1:
        return f"The only submission has {middle:g} of {maximum:g} points"
    full = sum(score >= maximum for score in scores)
    if full * 2 >= len(scores):
        return f"{full} of {len(scores)} submissions have all {maximum:g} points"
    return f"Half of the {len(scores)} submissions have {middle:g} points or more"


def _bin_width(maximum: float) -> float:
    """Return the smallest round width that gives no more bins than can be seen."""
    if maximum <= 2:
        return max(maximum, 0.01) / 10
    for width in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0):
        if maximum / width <= MAX_BINS:
            return width
    return maximum / MAX_BINS


def _svg(figure: Figure, about: str, key: str) -> Markup:
    target = io.StringIO()
    empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(target, format="svg", metadata=empty)
    text = target.getvalue()
    text = text[text.index("<svg") :]  # without the XML prologue
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", text)
    text = text.replace(INK, "currentColor")
    text = re.sub(r'^<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" VIEW>', text, count=1)
    width = figure.get_figwidth() * 96
    view = (
        f'xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="{escape(about)}" '
        f'style="width: {width:.0f}px"'
    )
    return Markup(text.replace("VIEW", view, 1))
