"""Figures of a finished run that the gate asks for: each from the result and the bars alone."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import pandas as pd

from data.market import Market
from engine.metrics import DAYS_PER_YEAR, daily_returns
from engine.result import Result
from reports.promotion.evidence import Measured, missing

_CAPACITY_AT: Final = 0.99  # quantile of the orders' shares of their bars
_ORDERS_DRAWN: Final = 2_000
_CALM, _STORMY = 1.0 / 3.0, 2.0 / 3.0
_VOLATILITY_DAYS: Final = 30
_YEARS_OR_QUARTERS: Final = 3.0 * DAYS_PER_YEAR


def trades(result: Result, stats: pd.Series) -> Measured:
    """Round trips, of the run's `stats`, and how many were closed in each year, or quarter."""
    table = result.trades
    closed = pd.DatetimeIndex(table.loc[~table["open"].astype(bool), "exit_at"])
    names, counts = np.unique(_periods(closed, len(daily_returns(result))), return_counts=True)
    return Measured(float(stats["trades"]), chart=dict(zip(names.tolist(), counts.tolist(), strict=True)))


def drawdown(result: Result, stats: pd.Series) -> Measured:
    """The deepest fall from a peak, of the run's `stats`; for the page also how deep each day's worst bar was."""
    days = days_of(result)
    peak = result.equity.cummax().clip(lower=result.cash)
    depth = (result.equity / peak - 1.0).groupby(pd.DatetimeIndex(result.equity.index).floor("D")).min()
    depths = depth.reindex(pd.to_datetime(days["days"], utc=True)).ffill()
    return Measured(-float(stats["max_drawdown"]), chart={**days, "depth": depths.tolist()})


def capacity(result: Result, market: Market) -> Measured:
    """Share of its bar's volume that an order took: the 99th percentile over the orders."""
    orders = result.orders
    if not len(orders):
        return missing("there is no order")
    volume = market.volume
    rows = volume.index.searchsorted(pd.DatetimeIndex(orders["filled_at"]), side="right") - 1
    columns = volume.columns.get_indexer(pd.Index(orders["symbol"]))
    traded = volume.to_numpy()[rows, columns]
    known = traded > 0.0
    if not known.any():
        return missing("the bars have no volume")
    shares = orders["amount"].to_numpy()[known] / traded[known]
    worst = int(shares.argmax())
    where = orders[known].iloc[worst]
    told = f"median {np.median(shares):.2%}, most {shares[worst]:.1%}: {where['symbol']} {where['filled_at']:%Y-%m-%d}"
    histogram, edges = np.histogram(shares, bins=40)
    chart = {"edges": edges.tolist(), "counts": histogram.tolist()}
    return Measured(float(np.quantile(shares, _CAPACITY_AT)), told, chart)


def regimes(result: Result, market: Market) -> Measured:
    """How many thirds of volatility it earned in.

    Days are sorted by the deviation of the mean symbol's daily returns over the 30 days before them: known then.
    """
    days = daily_returns(result)
    closes = market.close.ffill().groupby(market.index.floor("D")).last()
    mean = closes.pct_change(fill_method=None).mean(axis=1)
    before = mean.rolling(_VOLATILITY_DAYS, min_periods=_VOLATILITY_DAYS // 2).std().shift(1).reindex(days.index)
    known = before.dropna()
    if len(known) < 3 * _VOLATILITY_DAYS:
        return missing(f"{len(known)} days with a known volatility are too few to divide")
    calm, stormy = known.quantile([_CALM, _STORMY])
    names = pd.Series(np.where(known <= calm, "calm", np.where(known <= stormy, "middle", "stormy")), known.index)
    profits = _profits(days.reindex(known.index), names)
    return Measured(float(sum(value > 0.0 for value in profits.values())), _listed(profits), profits)


def years(result: Result) -> Measured:
    """Share of the profit that the best year contributed; of records below three years, the best quarter."""
    days = daily_returns(result)
    index = pd.DatetimeIndex(days.index)
    return _concentration(days, pd.Series(_periods(index, len(days)), index))


def _periods(times: pd.DatetimeIndex, days: int) -> list[str]:
    """The year of each time; of records below three years, the quarter."""
    return [f"{time.year}" if days >= _YEARS_OR_QUARTERS else f"{time.year} Q{time.quarter}" for time in times]


def _concentration(days: pd.Series, names: pd.Series) -> Measured:
    """Which part of the summed log returns the best of some groups of days has."""
    profits = _profits(days, names)
    logs = np.log1p(list(profits.values()))
    if not logs.sum() > 0.0:
        return Measured(math.inf, f"there is no profit to divide: {_listed(profits)}", profits)
    return Measured(float(logs.max() / logs.sum()), _listed(profits), profits)


def _profits(days: pd.Series, names: pd.Series) -> dict[str, float]:
    """Compounded return of each group of days."""
    sums = np.log1p(days.clip(lower=-0.999)).groupby(names).sum()
    return {str(name): math.expm1(float(value)) for name, value in sums.items()}


def _listed(profits: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:+.1%}" for name, value in profits.items())


def trade_order(result: Result, seed: int = 0) -> Measured:
    """Drawdown that one in twenty random orders of the same trades exceeds."""
    trades = result.trades
    closed = trades[~trades["open"].astype(bool)]
    gains = closed["pnl"].to_numpy(dtype=np.float64)
    if len(gains) < 2:
        return missing(f"{len(gains)} closed trades have one order")
    # A trade counts by what it added to the equity of its time, so that trades of a small account weigh as much.
    equity = result.equity.reindex(pd.DatetimeIndex(closed["exit_at"]), method="ffill").to_numpy()
    added = gains / np.maximum(equity - gains, 1e-12)
    chance = np.random.default_rng(seed)
    drawn = np.array([_drawdown(chance.permutation(added)) for _ in range(_ORDERS_DRAWN)])
    deepest = float(np.quantile(drawn, 0.95))
    told = f"as it happened {_drawdown(added):.1%}, median {np.median(drawn):.1%}"
    histogram, edges = np.histogram(drawn, bins=40)
    return Measured(deepest, told, {"edges": edges.tolist(), "counts": histogram.tolist()})


def _drawdown(added: np.ndarray) -> float:
    curve = np.concatenate(([1.0], np.cumprod(np.maximum(1.0 + added, 0.0))))
    return float(np.max(1.0 - curve / np.maximum.accumulate(curve)))


def days_of(result: Result) -> dict[str, Any]:
    """Growth of 1 by day, for the page."""
    days = daily_returns(result)
    return {"days": [f"{day:%Y-%m-%d}" for day in days.index], "growth": np.cumprod(1.0 + days.to_numpy()).tolist()}


def figures_of(stats: pd.Series) -> dict[str, Any]:
    """`Result.stats` as JSON has it: what is neither number nor text stands there as text."""
    return {str(name): value if isinstance(value, int | float | str) else str(value) for name, value in stats.items()}
