"""The heat map of a sweep: a figure over two parameters, to see whether the best set stands on a plateau or a peak."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
import pandas as pd

from data.errors import ValidationError
from engine.checks import is_number
from research.parameter_grid import same_value
from research.sweep_result import LESS_IS_BETTER, check_metric

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from research.sweep_result import Sweep

Over = Literal["best", "mean"]

# From dark to light: the cells can be told apart without colours too.
_SCALE: Final = "Viridis"
_EMPTY, _MARK = "#e5e9f0", "#b4232a"
_SPANS: Final = ("max_drawdown_length", "longest_drawdown")
_FRACTIONS: Final = (
    "total_return",
    "cagr",
    "volatility",
    "max_drawdown",
    "value_at_risk",
    "expected_shortfall",
    "exposure",
    "win_rate",
    "average_trade_return",
    "best_trade",
    "worst_trade",
)


def heatmap(sweep: Sweep, x: str | None, y: str | None, metric: str | None, over: Over) -> go.Figure:
    """See `Sweep.heatmap`; with one parameter that varies, the map has one row."""
    import plotly.graph_objects as go

    figure = sweep.metric if metric is None else metric
    check_metric(figure)
    if over not in get_args(Over):
        raise ValidationError(f"heatmap: over {over!r} must be 'best' or 'mean'")
    across, down = _axes(sweep.sets.names, x, y)
    columns, rows = _ticks(sweep, across), _ticks(sweep, down)
    cells = np.full((len(rows), len(columns)), np.nan)
    for place, values in _values_by_cell(sweep, across, down, figure).items():
        cells[rows.index(place[1]), columns.index(place[0])] = _together(values, figure, over)
    others = [name for name in sweep.sets.names if name not in (across, down)]
    title = f"{figure} of {sweep.strategy_class.__name__}" + (f", {over} over {', '.join(others)}" if others else "")
    shape = ".2%" if figure in _FRACTIONS else ".4g"
    words = f"{figure} (days)" if figure in _SPANS else figure
    row = f"{down}: %{{y}}<br>" if down else ""
    chart = go.Figure(
        go.Heatmap(
            x=_labels(columns),
            y=_labels(rows),
            z=cells,
            colorscale=_SCALE,
            reversescale=figure in LESS_IS_BETTER,
            colorbar={"title": {"text": words}, "tickformat": shape},
            hoverongaps=False,
            hovertemplate=f"{across}: %{{x}}<br>{row}{words}: %{{z:{shape}}}<extra></extra>",
            xgap=1,
            ygap=1,
        )
    )
    if figure == sweep.metric and over == "best" and np.isfinite(cells).any():
        best = _place(sweep, across, down, int(sweep.table.index[0]))
        chart.add_annotation(
            x=columns.index(best[0]),
            y=rows.index(best[1]),
            text="<b>best</b>",
            showarrow=False,
            font={"color": _MARK},
            bgcolor="white",
        )
    chart.update_layout(
        title=title,
        # Each value takes the same room, whatever lies between it and the next.
        xaxis={"title": {"text": across}, "type": "category", "showgrid": False},
        yaxis={"title": {"text": down or ""}, "type": "category", "showgrid": False},
        template="plotly_white",
        plot_bgcolor=_EMPTY,
    )
    return chart


def _axes(names: tuple[str, ...], x: str | None, y: str | None) -> tuple[str, str | None]:
    for axis, name in (("x", x), ("y", y)):
        if name is not None and name not in names:
            raise ValidationError(f"heatmap: {axis} {name!r} must be a parameter that varies: {', '.join(names)}")
    if x is not None and x == y:
        raise ValidationError(f"heatmap: x and y are both {x!r}; name two parameters of {', '.join(names)}")
    across = next(name for name in names if name != y) if x is None and names != (y,) else x or names[0]
    down = next((name for name in names if name != across), None) if y is None else y
    return across, None if down == across else down


Key = tuple[type, Any]


def _place(sweep: Sweep, across: str, down: str | None, trial: int) -> tuple[Key, Key]:
    """The values of a trial along both axes."""
    return same_value(sweep.value(across, trial)), same_value(None if down is None else sweep.value(down, trial))


def _ticks(sweep: Sweep, name: str | None) -> list[Key]:
    """The values along an axis: numbers in their order, others in the grid's; those of skipped sets too."""
    if name is None:
        return [same_value(None)]
    keys = list(dict.fromkeys(same_value(sweep.value(name, trial.number)) for trial in sweep.trials))
    return sorted(keys, key=lambda key: key[1]) if all(is_number(value) for _, value in keys) else keys


def _values_by_cell(sweep: Sweep, across: str, down: str | None, figure: str) -> dict[tuple[Key, Key], list[float]]:
    unit = pd.Timedelta(days=1) if figure in _SPANS else 1.0
    cells: dict[tuple[Key, Key], list[float]] = {}
    for trial in sweep.trials:
        if trial.figures is not None:
            value = float(trial.figures[figure] / unit)
            cells.setdefault(_place(sweep, across, down, trial.number), []).append(value)
    return cells


def _together(values: list[float], figure: str, over: Over) -> float:
    known = [value for value in values if value == value]
    if not known:
        return float("nan")
    if over == "mean":
        return float(np.mean(known))
    return min(known) if figure in LESS_IS_BETTER else max(known)


def _labels(keys: list[Key]) -> list[str]:
    """Values as text, each its own."""
    texts = [_text(value) for _, value in keys]
    return texts if len(set(texts)) == len(texts) else [f"{number}: {text}" for number, text in enumerate(texts)]


def _text(value: Any) -> str:
    """A value, short: of an `Exits` what it sets alone."""
    if is_dataclass(value) and not isinstance(value, type):
        given = [(item.name, getattr(value, item.name)) for item in fields(value)]
        return "<br>".join(f"{name}={one}" for name, one in given if one is not None) or type(value).__name__
    return "" if value is None else str(value)
