"""Trend following by two moving averages: the plainest strategy there is, and a model of how to write one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.exits import Exits
from engine.strategy import Strategy
from research.strategies.checks import require_bars, require_fraction
from research.strategies.windows import rolling_mean


@dataclass(frozen=True)
class SmaCross(Strategy):
    """Hold `weight` once the fast average crosses above the slow one, `below` once it crosses under.

    A target is given on the bar of a cross alone; between crosses the position is left as it is, so that no order is
    sent for a drift of weights. Every symbol gets an equal share of the weight.

    Attributes:
        fast: bars of the fast average.
        slow: bars of the slow average.
        weight: fraction of equity, over all symbols, to hold above.
        below: the same below: 0 for flat, a negative fraction for short.
        exits: barriers round a position.
    """

    fast: int = 20
    slow: int = 50
    weight: float = 1.0
    below: float = 0.0
    exits: Exits | None = None

    def __post_init__(self) -> None:
        require_bars("SmaCross", fast=self.fast, slow=self.slow)
        if self.fast >= self.slow:
            raise ValidationError(f"SmaCross: fast {self.fast} must be below slow {self.slow}")
        require_fraction("SmaCross", -1.0, weight=self.weight, below=self.below)

    @property
    def warmup(self) -> int:
        """A cross is seen by comparing two bars, so one bar more than the slow average."""
        return self.slow + 1

    def targets(self, market: Market) -> pd.DataFrame:
        share = 1.0 / len(market.symbols)
        return pd.DataFrame(
            {symbol: self._one(market.close[symbol]) * share for symbol in market.symbols}, index=market.index
        )

    def _one(self, close: pd.Series) -> pd.Series:
        traded = close.dropna()
        spread = rolling_mean(traded, self.fast) - rolling_mean(traded, self.slow)
        above, known = spread > 0.0, spread.notna()
        crossed = known & known.shift(1, fill_value=False) & (above != above.shift(1, fill_value=False))
        weights = np.where(above, self.weight, self.below)
        return pd.Series(weights, index=traded.index).where(crossed).reindex(close.index)
