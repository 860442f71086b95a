"""Runs over a few bars that a test writes down, through either engine, and the orders that come of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import pytest

from data import Market
from data.timeframe import parse_timeframe
from engine import Costs, Exits, Result
from tests.engine.given import Given

FREE = Costs(fee=0.0, slippage=0.0)
START = pd.Timestamp("2024-01-01", tz="UTC")

# A bar: (open, high, low, close) or those and its volume; one price for a flat bar; None for a missing one.
Bar = float | tuple[float, ...] | None
Play = Callable[..., Result]


def hour(number: float) -> pd.Timestamp:
    return START + pd.Timedelta(hours=number)


def market_of(bars: Mapping[str, Sequence[Bar]], timeframe: str = "1h", *, on_grid: bool = True) -> Market:
    """A panel of them; volume 1 where none is given."""
    length, frames = parse_timeframe(timeframe), {}
    for symbol, given in bars.items():
        rows = {}
        for number, bar in enumerate(given):
            if bar is not None:
                prices = bar if isinstance(bar, tuple) else (bar,) * 4
                rows[START + number * length] = prices if len(prices) == 5 else (*prices, 1.0)
        columns = ["open", "high", "low", "close", "volume"]
        frames[symbol] = pd.DataFrame(list(rows.values()), pd.DatetimeIndex(rows), columns, dtype="float64")
    market = Market.from_frames(frames, timeframe=timeframe)
    return market.on_grid() if on_grid else market


def play_with(
    broker: Callable[..., Result],
    bars: Sequence[Bar] | Mapping[str, Sequence[Bar]],
    weights: Sequence[float] | Mapping[str, Sequence[float]],
    *,
    exits: Exits | None = None,
    scale: Sequence[float] | None = None,
    timeframe: str = "1h",
    on_grid: bool = True,
    **terms: Any,
) -> Result:
    """A run with 1,000 of cash and no costs unless said otherwise; a list instead of a mapping is of symbol A.

    A row of weights (and of scales) per bar; rows that are left out at the end are NaN.
    """
    market = market_of(bars if isinstance(bars, Mapping) else {"A": bars}, timeframe, on_grid=on_grid)

    def table(rows: Mapping[str, Sequence[float]]) -> pd.DataFrame:
        return pd.DataFrame(
            {name: pd.Series(row, market.index[: len(row)]) for name, row in rows.items()}, market.index
        )

    strategy = Given(
        table(weights if isinstance(weights, Mapping) else {"A": weights}),
        exits=exits,
        scales=None if scale is None else table({"A": scale}),
    )
    return broker(strategy, market, **{"cash": 1_000.0, "costs": FREE, **terms})


def bar_of(result: Result, time: pd.Timestamp) -> int:
    return int((time - START) / parse_timeframe(result.timeframe))


def orders_of(result: Result) -> list[tuple]:
    """(bar of the fill, symbol, signed amount, price, reason), equal to what is within rounding of them."""
    return [
        (
            bar_of(result, row.filled_at),
            row.symbol,
            pytest.approx(row.amount if row.side == "buy" else -row.amount, rel=1e-12),
            pytest.approx(row.price, rel=1e-12),
            row.reason,
        )
        for row in result.orders.itertuples()
    ]


def decisions_of(result: Result) -> list[int]:
    """The bar whose close decided each order."""
    return [bar_of(result, time) for time in result.orders["decided_at"]]


def charges_of(result: Result) -> list[tuple]:
    """(bar, symbol, kind, paid)."""
    return [
        (bar_of(result, row.at), row.symbol, row.kind, pytest.approx(row.paid, rel=1e-12))
        for row in result.charges.itertuples()
    ]
