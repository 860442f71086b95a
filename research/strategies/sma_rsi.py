"""The notebook's bot, done right: two averages crossed with RSI, orders of a fixed size, barriers that are watched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.exits import Exits
from engine.strategy import Strategy
from research.strategies.checks import require_bars
from research.strategies.windows import rolling_mean

_BARRIERS = Exits(stop_loss=0.05, take_profit=0.10)


@dataclass(frozen=True)
class SmaRsi(Strategy):
    """Buy while the fast average is above the slow one and RSI is not overbought; sell in the mirrored case.

    A target is given on the bar on which such a signal begins: 1 for `order_notional` of quote, 0 to sell all. While
    one is held a further buy signal does nothing (without `order_notional` it brings the position back to its part of
    equity); after a stop or a profit was taken the next one buys again. What was
    wrong in the notebook and is not here: its barriers were printed and never watched, it bought again in every cycle,
    and 24 bars of history made its slow average one of 24 bars.

    Attributes:
        fast: bars of the fast average.
        slow: bars of the slow average.
        rsi_bars: price changes that RSI looks back on.
        overbought: RSI from which on nothing is bought.
        oversold: RSI up to which nothing is sold.
        order_notional: quote currency that a buy is worth, in each symbol; None for an equal part of equity.
        exits: barriers round a position.
    """

    fast: int = 20
    slow: int = 50
    rsi_bars: int = 14
    overbought: float = 70.0
    oversold: float = 30.0
    order_notional: float | None = 100.0
    exits: Exits | None = _BARRIERS

    def __post_init__(self) -> None:
        require_bars("SmaRsi", fast=self.fast, slow=self.slow, rsi_bars=self.rsi_bars)
        if self.fast >= self.slow:
            raise ValidationError(f"SmaRsi: fast {self.fast} must be below slow {self.slow}")
        if not 0.0 <= self.oversold < self.overbought <= 100.0:
            raise ValidationError(
                f"SmaRsi: oversold {self.oversold!r} must be below overbought {self.overbought!r}, both from 0 to 100"
            )

    @property
    def warmup(self) -> int:
        """A signal begins where the bar before had none, so one bar more than the longest memory."""
        return max(self.slow, self.rsi_bars + 1) + 1

    def targets(self, market: Market) -> pd.DataFrame:
        whole = 1.0 if self.order_notional is not None else 1.0 / len(market.symbols)
        return pd.DataFrame(
            {symbol: self._one(market.close[symbol]) * whole for symbol in market.symbols}, index=market.index
        )

    def _one(self, close: pd.Series) -> pd.Series:
        traded = close.dropna()
        fast, slow, strength = (
            rolling_mean(traded, self.fast),
            rolling_mean(traded, self.slow),
            rsi(traded, self.rsi_bars),
        )
        known = slow.notna() & strength.notna()
        signal = pd.Series(0, index=traded.index)
        signal = signal.mask(known & (fast > slow) & (strength < self.overbought), 1)
        signal = signal.mask(known & (fast < slow) & (strength > self.oversold), -1)
        begins = (signal != 0) & (signal != signal.shift(1)) & known.shift(1, fill_value=False)
        return pd.Series(np.where(signal > 0, 1.0, 0.0), index=traded.index).where(begins).reindex(close.index)


def rsi(close: pd.Series, bars: int) -> pd.Series:
    """Relative strength index by simple means (Cutler's), 0 to 100: 100 - 100 / (1 + mean rise / mean fall).

    Wilder (1978) smooths both without end; Cutler's rests on `bars` changes alone. 100 where nothing fell, and 50
    where nothing moved. NaN before there are `bars` changes.
    """
    change = close.diff().iloc[1:]
    rise = rolling_mean(change.clip(lower=0.0), bars)
    fall = rolling_mean(-change.clip(upper=0.0), bars)
    moved = rise + fall
    index = (100.0 * rise / moved.where(moved > 0.0)).mask(moved == 0.0, 50.0)
    return index.reindex(close.index)
