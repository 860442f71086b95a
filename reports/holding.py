"""Holding: what one has who buys equal parts of every symbol once, and keeps them. What a strategy must beat first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.market import Market
from engine.brokers import backtest
from engine.costs import Costs
from engine.result import Result
from engine.strategy import Strategy
from engine.venue import Venue


@dataclass(frozen=True)
class Holding(Strategy):
    """Buys each symbol on its first bar, for an equal part of `weight`, and never trades again.

    It is no strategy to go live with: its one decision lies where the history begins.
    """

    weight: float = 1.0

    @property
    def warmup(self) -> int:
        """It buys at once."""
        return 1

    def targets(self, market: Market) -> pd.DataFrame:
        """The part of each symbol on its first bar, NaN on all others."""
        there = market.close.notna()
        first = there & (there.cumsum() == 1)
        return first.astype(np.float64).where(first) * self.weight / len(market.symbols)


def hold(
    market: Market,
    *,
    cash: float = 10_000.0,
    costs: Costs | None = None,
    venue: Venue | Mapping[str, Venue] | None = None,
) -> Result:
    """The run of who buys all symbols at once and holds them, on the terms of the run that it is compared with.

    Args:
        market: the bars.
        cash: what it begins with, quote currency.
        costs: of its one round of buying.
        venue: where.

    Raises:
        ValidationError: as `engine.backtest`.
    """
    return backtest(Holding(), market, cash=cash, costs=costs or Costs(), venue=Venue() if venue is None else venue)
