"""One figure of a result: price with its fills, equity, drawdown and weights, over one time axis (plotly).

A long series is thinned honestly: each bucket of bars keeps its lowest and its highest value at their own times, so a
spike, a crash or the deepest drawdown stays in the picture at its true height. Drawdown is computed before thinning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from engine.metrics import drawdown

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from engine.result import Result

# Points of one line, and of all lines together: a browser draws them at once and the page stays small.
_LINE_POINTS: Final = 3_000
_ALL_POINTS: Final = 20_000
# Markers of one side of one symbol.
_FILLS: Final = 1_500
# Symbols with a line of their own; beyond these the chart would be a tangle.
_SYMBOLS: Final = 8
_PANELS: Final = ("Price and fills", "Equity", "Drawdown", "Weights")
_INK, _BLUE, _BUY, _SELL, _GRID = "#33415c", "#2563a8", "#15803d", "#b4232a", "#e5e9f0"
_LINES: Final = ("#2563a8", "#d97706", "#15803d", "#7c3aed", "#b4232a", "#0e7490", "#9d174d", "#4d7c0f")


def thin(series: pd.Series, points: int = _LINE_POINTS) -> pd.Series:
    """At most about `points` of a series: the lowest and the highest of each bucket, and both ends.

    A bucket without a number keeps one NaN, so that a long gap stays a gap.
    """
    if len(series) <= points:
        return series
    values = series.to_numpy(dtype=np.float64)
    buckets = max(points // 2 - 1, 1)
    size = -(-len(values) // buckets)
    padded = np.full(-(-len(values) // size) * size, np.nan)
    padded[: len(values)] = values
    table = padded.reshape(-1, size)
    missing = np.isnan(table)
    first = np.arange(len(table)) * size
    lowest = np.where(missing, np.inf, table).argmin(axis=1) + first
    highest = np.where(missing, -np.inf, table).argmax(axis=1) + first
    kept = np.unique(np.concatenate((lowest, highest, [0, len(values) - 1])))
    return series.iloc[kept]


def plot_result(result: Result) -> go.Figure:
    """The chart of `Result.plot`: price with fills, equity, drawdown and weights, on one time axis.

    Of several symbols a selector shows one price at a time; of more than eight, the eight most traded have a line.
    Where a side has more than 1,500 fills, the largest by notional are drawn and the legend says so.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    symbols = _drawn_symbols(result)
    points = int(np.clip(_ALL_POINTS / (2 * len(symbols) + 2), 600, _LINE_POINTS))
    figure = make_subplots(
        rows=4,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.045,
        row_heights=[0.4, 0.24, 0.16, 0.2],
        subplot_titles=_PANELS,
    )
    for number, symbol in enumerate(symbols):
        for trace in _price_traces(result, symbol, points):
            figure.add_trace(trace.update(visible=number == 0), row=1, col=1)
    equity = thin(result.equity, points)
    figure.add_trace(_line(go, equity, "equity", _BLUE, "%{y:,.2f}"), row=2, col=1)
    figure.add_hline(y=result.cash, line={"color": _INK, "width": 1, "dash": "dot"}, opacity=0.5, row=2, col=1)
    under = _line(go, thin(drawdown(result.equity, result.cash), points), "drawdown", _SELL, "%{y:.2%}")
    figure.add_trace(under.update(fill="tozeroy", fillcolor="rgba(180,35,42,0.15)"), row=3, col=1)
    for name, series, colour in _weight_lines(result, symbols):
        trace = _line(go, thin(series, points), name, colour, "%{y:.1%}")
        figure.add_trace(
            trace.update(line_shape="hv", line_width=1, opacity=0.8, showlegend=len(symbols) > 1), row=4, col=1
        )
    _style(figure, result)
    if len(symbols) > 1:
        figure.update_layout(updatemenus=[_selector(symbols, len(figure.data))])
    return figure


def _drawn_symbols(result: Result) -> list[str]:
    symbols = [str(symbol) for symbol in result.prices.columns]
    if len(symbols) <= _SYMBOLS:
        return symbols
    notional = (result.orders["amount"] * result.orders["price"]).groupby(result.orders["symbol"]).sum()
    return list(notional.reindex(symbols, fill_value=0.0).sort_values(ascending=False, kind="stable").index[:_SYMBOLS])


def _price_traces(result: Result, symbol: str, points: int) -> list[Any]:
    import plotly.graph_objects as go

    traces = [_line(go, thin(result.prices[symbol], points), symbol, _INK, "%{y:,.6~g}").update(line_width=1)]
    orders = result.orders[result.orders["symbol"] == symbol]
    for side, colour, marker in (("buy", _BUY, "triangle-up"), ("sell", _SELL, "triangle-down")):
        fills = orders[orders["side"] == side]
        name = f"{side} ({len(fills):,})"
        if len(fills) > _FILLS:
            largest = np.argsort(-(fills["amount"] * fills["price"]).to_numpy(), kind="stable")[:_FILLS]
            name = f"{side} ({_FILLS:,} largest of {len(fills):,})"
            fills = fills.iloc[np.sort(largest)]
        traces.append(
            go.Scatter(
                x=fills["filled_at"],
                y=fills["price"],
                customdata=fills["amount"],
                name=name,
                mode="markers",
                marker={"symbol": marker, "color": colour, "size": 6, "line": {"width": 0.5, "color": "white"}},
                hovertemplate=f"{side} %{{customdata:.6~g}} at %{{y:,.6~g}}<extra></extra>",
            )
        )
    return traces


def _line(go: Any, series: pd.Series, name: str, colour: str, number: str) -> Any:
    return go.Scatter(
        x=series.index,
        y=series.to_numpy(),
        name=name,
        mode="lines",
        line={"color": colour, "width": 1.4},
        showlegend=False,
        hovertemplate=f"{name} {number}<extra></extra>",
    )


def _weight_lines(result: Result, symbols: list[str]) -> list[tuple[str, pd.Series, str]]:
    weights = result.weights
    if len(weights.columns) <= _SYMBOLS:
        return [(symbol, weights[symbol], _LINES[number]) for number, symbol in enumerate(symbols)]
    return [
        ("all long", weights.clip(lower=0.0).sum(axis=1), _BUY),
        ("all short", weights.clip(upper=0.0).sum(axis=1), _SELL),
    ]


def _selector(symbols: list[str], traces: int) -> dict[str, Any]:
    """A menu that shows one symbol's price and fills (three traces each, the first of the figure)."""
    always = [True] * (traces - 3 * len(symbols))
    buttons = [
        {
            "label": symbol,
            "method": "restyle",
            "args": [{"visible": [other == symbol for other in symbols for _ in range(3)] + always}],
        }
        for symbol in symbols
    ]
    return {"buttons": buttons, "x": 1.0, "xanchor": "right", "y": 1.015, "yanchor": "bottom", "pad": {"r": 0, "t": 0}}


def _style(figure: Any, result: Result) -> None:
    figure.update_layout(
        template="plotly_white",
        height=900,
        margin={"l": 60, "r": 20, "t": 80, "b": 40},
        title={
            "text": f"{result.name} · {result.broker}",
            "x": 0.0,
            "xref": "paper",
        },
        font={"family": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif", "size": 12, "color": _INK},
        hovermode="x unified",
        legend={"orientation": "h", "x": 0.0, "y": -0.04, "yanchor": "top"},
        dragmode="zoom",
    )
    figure.update_xaxes(gridcolor=_GRID, zeroline=False, type="date", hoverformat="%Y-%m-%d %H:%M UTC")
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, tickformat=",~g", row=1)
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, tickformat=",~g", row=2)
    figure.update_yaxes(gridcolor=_GRID, zerolinecolor="#9aa5b5", tickformat=".0%", row=3)
    figure.update_yaxes(gridcolor=_GRID, zerolinecolor="#9aa5b5", tickformat=".0%", row=4)
    for title in figure.layout.annotations:
        title.update(x=0.0, xanchor="left", font={"size": 12, "color": "#6b7a90"})
