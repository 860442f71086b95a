"""Which chart a check gets: by what its measurement has kept for it, in the document of `verdict_json`.

What a chart is made of decides what it is:

    days, growth           growth of 1 by day; further lists of that length are further curves; "interval" a whisker
    edges, counts          a histogram; "purged" another over the same edges, as a line
    estimate, error,       the distribution of an estimated ratio, and what it is held against
      against
    x, y                   a curve over a number
    names and numbers      bars
    items                  nothing: the page has them as a list

"of" and "unit" may say in words what bars or a histogram are of, and how their numbers are written ("percent", "count",
"ratio"). Anything else is drawn as nothing: what was found stands there in words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import numpy as np
import pandas as pd

from reports.promotion import chart_drawing as draw
from reports.promotion.chart_drawing import Curve, Mark, number

# What bars are of, and in which unit.
_BARS: Final = {
    "trades": ("Round trips closed, by quarter or year", "count"),
    "double_costs": ("Annual Sharpe ratio at multiples of fees and slippage", "ratio"),
    "late_fills": ("Annual Sharpe ratio when fills come some bars late", "ratio"),
    "neighbourhood": ("Annual Sharpe ratio of the chosen parameters and of their neighbours", "ratio"),
    "regimes": ("Return in each third of the market’s volatility", "percent"),
    "years": ("Return by year, or by quarter", "percent"),
    "rehearsal": ("Faults that were injected, by kind", "count"),
}
_HISTOGRAMS: Final = {  # of what, its unit, and the axis' label
    "overfitting": (
        "Rank of the chosen set in the other half, by split",
        "ratio",
        "logit of its rank, 0 is the median",
    ),
    "capacity": ("Orders by their share of their bar’s volume", "percent", "share of the bar’s volume"),
    "trade_order": ("Drawdowns of 2,000 random orders of the trades", "percent", "drawdown"),
}
_LARGEST: Final = 1e100  # what is beyond it is drawn as no number
_SAID: Final = ("of", "unit")
_OTHERS: Final = {  # whose growth a check has kept: name, stroke
    "better_than_baseline": ("baseline", 1),
    "better_than_holding": ("holding", 2),
    "out_of_sample": ("walk-forward", 3),
}
_NAMES: Final = {"tracking": "paper"}


@dataclass(frozen=True)
class Chart:
    """A drawing and the line below it."""

    svg: str
    caption: str


def chart_of(check: Mapping[str, Any], strategy: Curve | None) -> Chart | None:
    """The chart of one check; None where there is nothing to draw.

    Args:
        check: of the document.
        strategy: growth of the strategy by day, which others are shown beside.
    """
    data = check["chart"]
    check = {**check, "value": _drawable(check["value"]), "threshold": _drawable(check["threshold"])}
    try:
        with np.errstate(all="ignore"):
            if {"days", "growth"} <= data.keys():
                return _growth(check, strategy)
            if {"edges", "counts"} <= data.keys():
                return _histogram(check)
            if {"estimate", "error", "against"} <= data.keys():
                return _bell(check)
            if {"x", "y"} <= data.keys():
                return _line(check)
            return _bars(check)
    except (TypeError, ValueError, ArithmeticError):  # what somebody keeps for a chart may be anything
        return None


def growth_of(check: Mapping[str, Any] | None, name: str, stroke: int = 0) -> Curve | None:
    """The growth by day that a check has kept; None where it has none, or some of it is no number."""
    data = {} if check is None else check["chart"]
    try:
        days, values = _times(data["days"]), _numbers(data["growth"])
    except (KeyError, TypeError, ValueError):
        return None
    whole = len(days) == len(values) > 1 and bool(np.isfinite(values).all())
    return Curve(name, days, values, stroke) if whole and days.is_monotonic_increasing and days.is_unique else None


def all_growth(checks: Mapping[str, Mapping[str, Any]]) -> list[Curve]:
    """The strategy's growth, and what is known of the others': baseline, holding, and the walk-forward.

    What begins later begins where the strategy stood on the day before.
    """
    own = growth_of(checks.get("drawdown"), "strategy")
    others = [growth_of(checks.get(check), name, stroke) for check, (name, stroke) in _OTHERS.items()]
    curves = [curve for curve in (own, *others) if curve is not None]
    return curves if own is None else [own, *(_continued(curve, own) for curve in curves[1:])]


def overview(checks: Mapping[str, Mapping[str, Any]]) -> Chart | None:
    """All of it in one chart."""
    curves = all_growth(checks)
    if not curves:
        return None
    caption = "Growth of 1 by day, after costs."
    if any(curve.name == "walk-forward" for curve in curves[1:]):
        caption += " The walk-forward begins where the strategy stood."
    return Chart(draw.growth_chart(curves, f"{caption} {_ends(curves)}"), caption)


def _growth(check: Mapping[str, Any], strategy: Curve | None) -> Chart | None:
    name, data = check["name"], check["chart"]
    if name == "drawdown":
        return _underwater(check)
    label, stroke = _OTHERS.get(name, (_NAMES.get(name, "growth"), 0))
    curve = growth_of(check, label, stroke)
    if curve is None:
        return None
    curves = [curve]
    if name in _OTHERS and strategy is not None:
        curves.insert(0, _since(strategy, curve))
    more = [key for key, values in data.items() if key not in ("days", "growth") and _as_long(values, data["days"])]
    curves += [Curve(key, curve.days, _numbers(data[key]), stroke + 1 + at) for at, key in enumerate(more)]
    caption = "Growth of 1 by day, on the days of both." if len(curves) > 1 else "Growth of 1 by day."
    interval = data.get("interval")
    if interval is not None and not all(_is_number(one) for one in interval):
        interval = None
    return Chart(draw.growth_chart(curves, f"{caption} {_ends(curves)}", interval=interval), caption)


def _underwater(check: Mapping[str, Any]) -> Chart | None:
    curve, depth = growth_of(check, "strategy"), check["chart"].get("depth")
    if curve is None or not _as_long(depth, check["chart"]["days"]) or check["threshold"] is None:
        return None
    below = Curve("drawdown", curve.days, _numbers(depth))
    caption = "How far below its highest equity so far, at each day’s worst bar."
    asked = Mark(check["threshold"], _asked(check), True)
    return Chart(draw.underwater_chart(below, asked, f"{caption} {_figure(check)}"), caption)


def _histogram(check: Mapping[str, Any]) -> Chart | None:
    edges, counts = _numbers(check["chart"]["edges"]), _numbers(check["chart"]["counts"])
    if len(edges) != len(counts) + 1 or not np.isfinite(edges).all() or not counts.sum() > 0.0:
        return None
    caption, unit, label = _HISTOGRAMS.get(check["name"], (*_said(check, check["unit"]), ""))
    alt = f"{caption}: from {number(edges[0], unit)} to {number(edges[-1], unit)}. {_figure(check)}"
    if check["name"] == "overfitting":
        marks = [Mark(0.0, f"{check['figure']} at or below the median")]
        purged = _numbers(check["chart"].get("purged", []))
        drawn = len(purged) == len(counts) and bool(np.isfinite(purged).all())
        drawing = draw.histogram_chart(
            edges, counts, marks, alt, unit=unit, label=label, shaded_below=0.0, outline=purged if drawn else None
        )
        more = " The line: with the days beside the test purged." if drawn else ""
        return Chart(drawing, f"{caption}; the hatched part is the figure.{more}")
    what = {"capacity": "99th percentile ", "trade_order": "1 in 20 exceeds "}.get(check["name"], "")
    marks = [] if check["value"] is None else [Mark(check["value"], f"{what}{check['figure']}")]
    marks += _threshold(check)
    return Chart(draw.histogram_chart(edges, counts, marks, alt, unit=unit, label=label), f"{caption}.")


def _bell(check: Mapping[str, Any]) -> Chart | None:
    estimate, error, against = (_number(check["chart"][name]) for name in ("estimate", "error", "against"))
    if not (math.isfinite(estimate) and math.isfinite(against) and error > 0.0):
        return None
    what = "zero" if against == 0.0 else f"luck {number(against, 'ratio')}"
    caption = (
        f"The ratio as this record tells it, give or take {number(error, 'ratio')}; the filled part is the figure."
    )
    return Chart(draw.bell_chart(estimate, error, Mark(against, what), f"{caption} {_figure(check)}"), caption)


def _line(check: Mapping[str, Any]) -> Chart | None:
    x, y = _numbers(check["chart"]["x"]), _numbers(check["chart"]["y"])
    if len(x) != len(y) or len(x) < 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    labels = ("multiple of fees and slippage", "total return") if check["name"] == "break_even" else ("", "")
    marks = [] if check["value"] is None else [Mark(check["value"], check["figure"])]
    caption = "Total return at multiples of the costs." if check["name"] == "break_even" else f"{check['title']}."
    return Chart(
        draw.line_chart(x, y, [*marks, *_threshold(check)], f"{caption} {_figure(check)}", labels=labels), caption
    )


def _bars(check: Mapping[str, Any]) -> Chart | None:
    values = {str(name): _number(value) for name, value in check["chart"].items() if name not in _SAID}
    if not values or not any(math.isfinite(value) for value in values.values()):
        return None
    caption, unit = _BARS.get(check["name"], _said(check, ""))
    listed = ", ".join(f"{name} {number(value, unit)}" for name, value in values.items())
    judged, marks = _judged_bar(check, values)
    return Chart(draw.bar_chart(values, marks, f"{caption}: {listed}.", unit=unit, judged=judged), f"{caption}.")


def _said(check: Mapping[str, Any], unit: str) -> tuple[str, str]:
    """What a chart says itself that it is of, and in which unit."""
    data = check["chart"]
    return str(data.get("of", check["title"])), str(data.get("unit", unit))


def _judged_bar(check: Mapping[str, Any], values: Mapping[str, float]) -> tuple[str | None, list[Mark]]:
    """Which bar is held against which line."""
    name, threshold = check["name"], check["threshold"]
    if threshold is None:
        return None, []
    if name == "double_costs" and "2x" in values:
        return "2x", _threshold(check)
    own = {"late_fills": "on time", "neighbourhood": "chosen"}.get(name)
    if own is None or not values.get(own, math.nan) > 0.0:
        return None, []
    asked = Mark(threshold * values[own], f"asked: {check['asked']} of {number(values[own], 'ratio')}", True)
    if name == "late_fills":
        return "1 late", [asked]
    others = [value for key, value in values.items() if key != own and math.isfinite(value)]
    if not others:
        return own, [asked]
    middle = median(others)
    return own, [Mark(middle, f"median of the neighbours {number(middle, 'ratio')}"), asked]


def _threshold(check: Mapping[str, Any]) -> list[Mark]:
    return [] if check["threshold"] is None else [Mark(check["threshold"], _asked(check), True)]


def _asked(check: Mapping[str, Any]) -> str:
    return f"asked: {check['asked']}"


def _figure(check: Mapping[str, Any]) -> str:
    return f"Figure: {check['figure']}, {_asked(check)}."


def _ends(curves: Sequence[Curve]) -> str:
    ends = ", ".join(f"{curve.name} {number(curve.values[-1], 'ratio')}" for curve in curves)
    return f"From {curves[0].days[0]:%Y-%m-%d} to {curves[0].days[-1]:%Y-%m-%d}; at the end: {ends}."


def _since(strategy: Curve, other: Curve) -> Curve:
    """The strategy's growth on the days of another, from 1 on the day before them."""
    place = int(strategy.days.searchsorted(other.days[0]))
    end = int(strategy.days.searchsorted(other.days[-1], side="right"))
    before = strategy.values[place - 1] if place else 1.0
    return Curve(strategy.name, strategy.days[place:end], strategy.values[place:end] / before, strategy.stroke)


def _continued(curve: Curve, own: Curve) -> Curve:
    """The curve from where the strategy stood on the day before it begins."""
    place = int(own.days.searchsorted(curve.days[0]))
    start = own.values[place - 1] if 0 < place <= len(own.values) else 1.0
    return Curve(curve.name, curve.days, curve.values * start, curve.stroke)


def _times(days: Sequence[str]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime([str(day) for day in days], utc=True, format="ISO8601"))


def _numbers(values: Sequence[Any]) -> np.ndarray:
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: Any) -> float:
    """A number that can be drawn, or NaN."""
    found = math.nan if value is None else float(value)
    return found if abs(found) < _LARGEST else math.nan


def _drawable(value: float | None) -> float | None:
    return None if value is None or math.isnan(_number(value)) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(_number(value))


def _as_long(values: Any, days: Sequence[str]) -> bool:
    return isinstance(values, list) and len(values) == len(days)
