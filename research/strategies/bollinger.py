"""Mean reversion between Bollinger bands: buy below the lower band, leave at the middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.checks import is_number
from engine.exits import Exits
from engine.strategy import Strategy
from research.strategies.checks import require_bars, require_fraction
from research.strategies.windows import rolling_deviation, rolling_mean


@dataclass(frozen=True)
class BollingerReversion(Strategy):
    """Go long on a close below the lower band and flat on a close back above the mean; with `shorts` also the mirror.

    Bands are the mean of `window` closes plus and minus `width` population standard deviations (Bollinger, 2001). A
    target is given on the bar that enters or leaves a zone alone, and each row rests on the last two bars' bands, so
    that a window of `warmup` bars decides as the full history does. Every symbol gets an equal share of the weight.

    Attributes:
        window: bars of mean and deviation.
        width: deviations from the mean to the bands.
        weight: fraction of equity, over all symbols.
        shorts: whether a close above the upper band opens a short.
        exits: barriers round a position.
    """

    window: int = 48
    width: float = 2.0
    weight: float = 1.0
    shorts: bool = False
    exits: Exits | None = None

    def __post_init__(self) -> None:
        require_bars("BollingerReversion", window=self.window)
        if self.window < 2:
            raise ValidationError(f"BollingerReversion: window {self.window} must be at least 2 bars to deviate over")
        if not is_number(self.width) or self.width <= 0:
            raise ValidationError(f"BollingerReversion: width {self.width!r} must be a positive number of deviations")
        require_fraction("BollingerReversion", 0.0, weight=self.weight)

    @property
    def warmup(self) -> int:
        """Zones of two bars are compared."""
        return self.window + 1

    def targets(self, market: Market) -> pd.DataFrame:
        share = self.weight / len(market.symbols)
        return pd.DataFrame(
            {symbol: self._one(market.close[symbol]) * share for symbol in market.symbols}, index=market.index
        )

    def _one(self, close: pd.Series) -> pd.Series:
        traded = close.dropna()
        mean, deviation = rolling_mean(traded, self.window), rolling_deviation(traded, self.window)
        below = traded < mean - self.width * deviation
        above = traded > mean + self.width * deviation
        over_mean = traded > mean
        known = mean.notna() & mean.shift(1).notna()
        weights = pd.Series(np.nan, index=traded.index)
        # Crossing the mean ends whichever position its other side began; the band's own entry comes last and wins.
        weights = weights.mask(known & (over_mean != over_mean.shift(1)), 0.0)
        weights = weights.mask(known & below & ~below.shift(1, fill_value=False), 1.0)
        if self.shorts:
            weights = weights.mask(known & above & ~above.shift(1, fill_value=False), -1.0)
        return weights.reindex(close.index)
