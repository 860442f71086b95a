"""Small charts as inline SVG, in one style: text stays text, every line has a name, and who cannot see it has words.

A chart is 440 pixels wide at its own size, and its letters are large enough to be read on a phone at three quarters of
that. Nothing is told by colour alone: curves differ by their dashes too, and what is judged carries its label.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from reports.figures import minus

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH: Final = 440  # pixels
INK, SOFT, LINE, BLUE, PALE, RED = "#1f2a3d", "#5b6b83", "#dfe5ee", "#2563a8", "#bcd3ea", "#b4232a"
STROKES: Final[tuple[tuple[str, Any, float], ...]] = (
    (BLUE, "-", 1.9),
    ("#3d4a5f", (0, (5, 2)), 1.4),
    ("#a15c07", (0, (1.2, 1.6)), 1.7),
    ("#0f766e", (0, (7, 2, 1.5, 2)), 1.6),
)
_SETTINGS: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ladder",
    "text.parse_math": False,  # a strategy's parameter may have a dollar in its name
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.linewidth": 1.0,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.6,
    "path.simplify": True,
}
_LETTER: Final = 7.2  # pixels of a letter, about
_MOST_TICKS: Final = 6
_LOGARITHMIC: Final = 8.0  # highest over lowest growth beyond which equal distances are equal ratios
_YEARLY, _MONTHLY = 1_500.0, 150.0  # days beyond which years, and months, are written
_LONGEST: Final = 22  # letters of a bar's name


@dataclass(frozen=True)
class Curve:
    """A line by day.

    Attributes:
        name: in the legend.
        days: times, UTC.
        values: one a day.
        stroke: which of STROKES.
    """

    name: str
    days: pd.DatetimeIndex
    values: np.ndarray
    stroke: int = 0


@dataclass(frozen=True)
class Mark:
    """A line across a chart, and what it says.

    Attributes:
        at: where.
        text: its label.
        asked: whether it is a threshold, drawn in dashes.
    """

    at: float
    text: str
    asked: bool = False


def number(value: float, unit: str) -> str:
    """A number on an axis or a bar."""
    if not math.isfinite(value):
        return "not defined"
    written = {"percent": f"{value:.1%}", "probability": f"{value:.0%}", "count": f"{value:,.0f}", "": f"{value:,.6g}"}
    return minus(written.get(unit, f"{value:,.2f}"))


def growth_chart(curves: Sequence[Curve], alt: str, *, interval: Sequence[float] | None = None) -> str:
    """Growth of 1 by day; below it, where there is one, an interval of the difference of two Sharpe ratios."""
    extra = 76 if interval is not None else 0
    with _drawn(230 + extra) as figure:
        axes = _axes(figure, left=44, right=8, top=26, bottom=26 + extra)
        values = np.concatenate([curve.values for curve in curves])
        for curve in curves:
            colour, dashes, width = STROKES[curve.stroke % len(STROKES)]
            axes.plot(curve.days, curve.values, color=colour, linestyle=dashes, linewidth=width, label=curve.name)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        if low > 0.0 and high / low > _LOGARITHMIC:
            _log_scale(axes, low, high)
        axes.axhline(1.0, color=SOFT, linewidth=0.7)
        axes.grid(axis="y")
        _dates(axes, curves)
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, frameon=False, borderpad=0.0, handlelength=2.2,
            columnspacing=1.2, handletextpad=0.5, fontsize=12, borderaxespad=0.2,
        )  # fmt: skip
        if interval is not None:
            _whisker(_axes(figure, left=44, right=8, top=230 + 30, bottom=24), interval)
        return _svg(figure, alt)


def underwater_chart(depth: Curve, asked: Mark, alt: str) -> str:
    """How far below its peak it stood, by day: a fraction below 0."""
    with _drawn(190) as figure:
        axes = _axes(figure, left=52, right=8, top=10, bottom=26)
        axes.fill_between(depth.days, depth.values, 0.0, color=PALE, linewidth=0.0)
        axes.plot(depth.days, depth.values, color=BLUE, linewidth=1.2)
        axes.set_ylim(min(float(depth.values.min()), -abs(asked.at)) * 1.12 or -0.01, 0.0)
        axes.axhline(-abs(asked.at), color=RED, linestyle=(0, (4, 2)), linewidth=1.2)
        axes.annotate(
            asked.text, (1.0, -abs(asked.at)), (0.0, -3.0), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", va="top", color=RED,
        )  # fmt: skip
        axes.yaxis.set_major_formatter(_formatter("percent"))
        axes.grid(axis="y")
        _dates(axes, [depth])
        return _svg(figure, alt)


def histogram_chart(
    edges: np.ndarray,
    counts: np.ndarray,
    marks: Sequence[Mark],
    alt: str,
    *,
    unit: str,
    label: str,
    shaded_below: float | None = None,
    outline: np.ndarray | None = None,
) -> str:
    """How often each value came up; what lies at or below `shaded_below` is darker and hatched.

    `outline` is another histogram over the same edges, drawn as a line round it.
    """
    with _drawn(200 + 16 * len(marks)) as figure:
        axes = _axes(figure, left=16, right=16, top=8 + 18 * len(marks), bottom=44)
        dark = np.zeros(len(counts), dtype=bool) if shaded_below is None else edges[1:] <= shaded_below + 1e-12
        for chosen, colour, hatch in ((~dark, PALE, ""), (dark, "#7ba6d3", "////")):
            axes.bar(
                edges[:-1][chosen], counts[chosen], np.diff(edges)[chosen],
                align="edge", color=colour, edgecolor="white", linewidth=0.5, hatch=hatch,
            )  # fmt: skip
        if outline is not None:
            axes.stairs(outline, edges, color=BLUE, linewidth=1.2)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        _marks(axes, marks)
        axes.xaxis.set_major_formatter(_formatter(unit))
        _few_ticks(axes)
        axes.set_xlabel(label)
        return _svg(figure, alt)


def bell_chart(estimate: float, error: float, against: Mark, alt: str) -> str:
    """Where the true ratio lies, as the record tells it: the part above what it is held against is filled."""
    with _drawn(216) as figure:
        axes = _axes(figure, left=16, right=16, top=44, bottom=44)
        low = min(estimate - 3.6 * error, against.at - 0.4 * error)
        high = max(estimate + 3.6 * error, against.at + 0.4 * error)
        at = np.unique(np.append(np.linspace(low, high, 241), against.at))
        density = np.exp(-0.5 * ((at - estimate) / error) ** 2)
        axes.fill_between(at, density, 0.0, where=at >= against.at, color=PALE, linewidth=0.0)
        axes.plot(at, density, color=BLUE, linewidth=1.5)
        axes.set_ylim(0.0, 1.08)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        _marks(axes, [Mark(estimate, f"measured {number(estimate, 'ratio')}"), against])
        _few_ticks(axes)
        axes.set_xlabel("annual Sharpe ratio")
        return _svg(figure, alt)


def line_chart(x: np.ndarray, y: np.ndarray, marks: Sequence[Mark], alt: str, *, labels: Sequence[str]) -> str:
    """A percentage that depends on a number; `labels` are of the two axes."""
    with _drawn(206 + 16 * len(marks)) as figure:
        axes = _axes(figure, left=52, right=16, top=28 + 18 * len(marks), bottom=44)
        axes.plot(x, y, color=BLUE, linewidth=1.9, marker="o", markersize=4)
        axes.axhline(0.0, color=SOFT, linewidth=0.9)
        axes.grid(axis="y")
        _marks(axes, marks)
        axes.yaxis.set_major_formatter(_formatter("percent"))
        _few_ticks(axes)
        axes.set_xlabel(labels[0])
        figure.text(0.01, 1.0 - 6.0 / figure.bbox.height, labels[1], color=SOFT, va="top")
        return _svg(figure, alt)


def bar_chart(
    values: Mapping[str, float], marks: Sequence[Mark], alt: str, *, unit: str, judged: str | None = None
) -> str:
    """A bar a name, from top to bottom, its number behind it; the judged one is the darker."""
    names = [_shortened(name) for name in values]
    heights = np.array([value if math.isfinite(value) else 0.0 for value in values.values()])
    top = 8 + 18 * len(marks)
    with _drawn(top + 24 * len(values) + 10) as figure:
        axes = _axes(figure, left=14 + _LETTER * max(map(len, names)), right=6, top=top, bottom=10)
        colours = [BLUE if judged is None or name == judged else PALE for name in values]
        hatches = ["////" if value < 0.0 else "" for value in heights]
        axes.barh(range(len(values)), heights, 0.62, color=colours, edgecolor="white", linewidth=0.0, hatch=hatches)
        axes.set_yticks(range(len(values)), names)
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.set_xticks([])
        axes.axvline(0.0, color=SOFT, linewidth=0.9)
        reach = [0.0, *heights, *(mark.at for mark in marks)]
        span = (max(reach) - min(reach)) or 1.0
        room = 0.24 * span
        axes.set_xlim(min(reach) - (room if min(heights, default=0.0) < 0.0 else 0.0), max(reach) + room)
        for at, (value, height) in enumerate(zip(values.values(), heights, strict=True)):
            away = -4 if height < 0.0 else 4
            axes.annotate(
                number(value, unit), (height, at), (away, 0), textcoords="offset points",
                ha="right" if height < 0.0 else "left", va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip
        _marks(axes, marks)
        return _svg(figure, alt)


def _shortened(name: str) -> str:
    """A name without its middle: the end of a parameter's is its value."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[-_LONGEST // 2 + 1 :]}"


@contextmanager
def _drawn(height: float) -> Iterator[Figure]:
    """A figure of the style; a unit of it is a pixel of the page."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # Text stays text: the reader's browser has the letters that this font has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield Figure(figsize=(WIDTH / 72.0, height / 72.0), dpi=72)


def _axes(figure: Figure, *, left: float, right: float, top: float, bottom: float) -> Axes:
    """Axes that leave so many pixels on each side."""
    width, height = figure.bbox.width, figure.bbox.height
    place = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    return figure.add_axes(place)


def _marks(axes: Axes, marks: Sequence[Mark]) -> None:
    """Lines from the bottom to their labels, which stand above the chart, a row each."""
    low, high = axes.get_xlim()
    shown = [mark.at for mark in marks]
    if shown and not (low <= min(shown) and max(shown) <= high):
        low, high = min(low, *shown), max(high, *shown)
        room = 0.03 * (high - low)
        low, high = low - room, high + room
    axes.set_xlim(low, high)
    height = axes.get_position().height * axes.figure.bbox.height
    for row, mark in enumerate(marks):
        top = 1.0 + (6.0 + 17.0 * (len(marks) - 1 - row)) / height
        colour = RED if mark.asked else INK
        axes.plot(
            [mark.at, mark.at], [0.0, top], transform=axes.get_xaxis_transform(), clip_on=False, color=colour,
            linestyle=(0, (4, 2)) if mark.asked else "-", linewidth=1.2,
        )  # fmt: skip
        left = (mark.at - low) / ((high - low) or 1.0) < 0.5
        axes.annotate(
            mark.text, (mark.at, top), (4 if left else -4, -1), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="left" if left else "right", va="center", color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
        )  # fmt: skip


def _whisker(axes: Axes, interval: Sequence[float]) -> None:
    """An estimate and the middle 95% of its draws."""
    low, middle, high = interval
    axes.plot([low, high], [0.0, 0.0], color=BLUE, linewidth=2.0, solid_capstyle="butt")
    axes.plot([low, low, math.nan, high, high], [-0.3, 0.3, math.nan, -0.3, 0.3], color=BLUE, linewidth=2.0)
    axes.plot([middle], [0.0], marker="o", markersize=7, color=BLUE)
    axes.axvline(0.0, color=SOFT, linewidth=0.9)
    axes.set_ylim(-1.0, 1.0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_title("difference of the annual Sharpe ratios, middle 95%", loc="left", fontsize=12, color=SOFT, pad=4)
    room = 0.06 * ((max(high, 0.0) - min(low, 0.0)) or 1.0)
    axes.set_xlim(min(low, 0.0) - room, max(high, 0.0) + room)
    _few_ticks(axes)


def _dates(axes: Axes, curves: Sequence[Curve]) -> None:
    from matplotlib.dates import AutoDateLocator, DateFormatter

    days: Any = axes.xaxis.convert_units
    first, last = min(curve.days[0] for curve in curves), max(curve.days[-1] for curve in curves)
    axes.set_xlim(days(first), days(last))
    locator: Any = AutoDateLocator
    formatter: Any = DateFormatter
    span = (last - first) / pd.Timedelta(days=1)
    axes.xaxis.set_major_locator(locator(minticks=2, maxticks=5))
    axes.xaxis.set_major_formatter(formatter("%Y" if span > _YEARLY else "%b %Y" if span > _MONTHLY else "%d %b"))


def _log_scale(axes: Axes, low: float, high: float) -> None:
    """Round numbers on an axis on which equal distances are equal ratios."""
    from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

    axes.set_yscale("log")
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    choices = [
        [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
    ]
    ticks = next((some for some in choices if len(some) <= _MOST_TICKS), choices[-1])
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _few_ticks(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5))


def _formatter(unit: str) -> Callable[[float, Any], str]:
    """What stands at a tick, to as many digits as it has."""
    if unit == "percent":
        return lambda value, _: minus(f"{round(100.0 * value, 6):g}%")
    return lambda value, _: minus(f"{round(value, 6):g}")


def _svg(figure: Figure, alt: str) -> str:
    """The drawing alone, as wide as its place, with its words; what it refers to within itself has names of its own."""
    with BytesIO() as file:
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        text = file.getvalue().decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    head = (
        f'<svg viewBox="0 0 {WIDTH} {figure.bbox.height:g}" role="img" aria-label="{escape(alt)}">'
        f"<title>{escape(alt)}</title>"
    )
    text = re.sub(r"<svg.*?>", lambda _: head, text, count=1, flags=re.DOTALL)
    own = sha256(text.encode()).hexdigest()[:8]
    used = {name for pair in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text) for name in pair if name}
    text = re.sub(r'\s+id="([^"]*)"', lambda found: f' id="{own}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{own}-", text)
    return re.sub(r"\n\s*", "\n", _shorter(text))


def _shorter(text: str) -> str:
    """Coordinates to a hundredth of a pixel: of paths and places, not of what is written."""
    return re.sub(
        r' (d|transform|x|y)="[^"]*"', lambda found: re.sub(r"(\d+\.\d\d)\d+", r"\1", found[0]), text, flags=re.DOTALL
    )
