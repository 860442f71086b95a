"""Bars for the tests of models: a random walk whose volatility changes, with gaps, or one that can be foretold."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data import Market
from data.timeframe import parse_timeframe
from research.models import QuantileModel

# A fit in milliseconds.
TINY = QuantileModel(max_iter=5, max_leaf_nodes=4, min_samples_leaf=10, max_rows=2_000)


def made_bars(bars=500, symbols=2, seed=0, missing=0.0, timeframe="1h", pull=0.0) -> Market:
    """Candles of a random walk in calm and wild stretches; `pull`: how much of a bar's move the next one takes back."""
    rng = np.random.default_rng(seed)
    index = pd.date_range("2024-01-01", periods=bars, freq=parse_timeframe(timeframe), tz="UTC")
    frames = {}
    for number in range(symbols):
        wild = 0.004 * np.exp(0.8 * np.sin(np.arange(bars) / 60.0 + number))
        moves = wild * rng.standard_normal(bars)
        moves[1:] -= pull * moves[:-1]
        close = 100.0 * np.exp(np.cumsum(moves))
        opens = np.concatenate([[100.0], close[:-1]])
        wick = wild * rng.uniform(0.0, 1.0, bars)
        frame = pd.DataFrame(
            {
                "open": opens,
                "high": np.maximum(opens, close) * (1.0 + wick),
                "low": np.minimum(opens, close) * (1.0 - wick),
                "close": close,
                "volume": rng.uniform(0.0, 2.0, bars),
            },
            index,
        )
        kept = rng.uniform(size=bars) >= missing
        frames[f"S{number}/USD"] = frame[kept]
    return Market.from_frames(frames, timeframe)


def altered_from(market: Market, row: int) -> Market:
    """The market with other bars from position `row` on: each lifted or lowered by a factor of its own."""
    factors = np.random.default_rng(row).uniform(0.5, 2.0, len(market))
    fields = {}
    for name in market.fields:
        table = market[name].copy()
        table.iloc[row:] = table.iloc[row:].mul(factors[row:], axis=0)
        fields[name] = table
    return Market(fields, market.timeframe)


def trees(fitted) -> list[np.ndarray]:
    """Every number of a fitted model's trees."""
    return [tree.nodes for one in fitted.regressors for group in one._predictors for tree in group] + [
        np.ravel(one._baseline_prediction) for one in fitted.regressors
    ]


def same_trees(one, other) -> bool:
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(trees(one), trees(other), strict=True))
