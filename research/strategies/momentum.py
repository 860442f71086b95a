"""Cross-sectional momentum: hold the symbols that rose most, and with shorts sell those that rose least."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.timeframe import grid_origin, parse_timeframe
from engine.exits import Exits
from engine.strategy import Strategy
from research.strategies.checks import require_bars, require_fraction


@dataclass(frozen=True)
class CrossMomentum(Strategy):
    """Rank the symbols by their return over `lookback` bars every `every` bars; hold the best `top` in equal parts.

    With `shorts`, half of the weight goes short in the worst `top` (Jegadeesh and Titman, 1993, over symbols). The
    bars on which it rebalances are fixed by the clock (bar number since 1970, a multiple of `every`), not by where the
    history begins, so that a window decides as the full history does. Symbols without a price then are left out.

    Attributes:
        lookback: bars over which the return is measured.
        every: bars between two rebalances.
        top: how many symbols are held (and as many sold short).
        weight: gross fraction of equity.
        shorts: whether the worst are sold short.
        exits: barriers round a position.
    """

    lookback: int = 336
    every: int = 48
    top: int = 2
    weight: float = 1.0
    shorts: bool = False
    exits: Exits | None = None

    def __post_init__(self) -> None:
        require_bars("CrossMomentum", lookback=self.lookback, every=self.every)
        if isinstance(self.top, bool) or not isinstance(self.top, Integral) or self.top < 1:
            raise ValidationError(f"CrossMomentum: top {self.top!r} must be a whole number of symbols, at least 1")
        require_fraction("CrossMomentum", 0.0, weight=self.weight)

    @property
    def warmup(self) -> int:
        """The return needs the close `lookback` bars ago."""
        return self.lookback + 1

    def targets(self, market: Market) -> pd.DataFrame:
        chosen = self.top * (2 if self.shorts else 1)
        if chosen > len(market.symbols):
            raise ValidationError(
                f"CrossMomentum: top {self.top} picks {chosen} symbols, the market holds {len(market.symbols)}; "
                "lower top or bring more symbols"
            )
        rise = market.close / market.close.shift(self.lookback) - 1.0
        # 1 for what rose most. Symbols that rose alike keep their order, so that none is both best and worst.
        place, ranked = rise.rank(axis=1, method="first", ascending=False), rise.notna().sum(axis=1)
        side = self.weight / (2 if self.shorts else 1) / self.top
        weights = pd.DataFrame(0.0, index=rise.index, columns=rise.columns).mask(place <= self.top, side)
        if self.shorts:
            weights = weights.mask(place.gt(ranked - self.top, axis=0), -side)
        number = (market.index - grid_origin(market.timeframe)) // parse_timeframe(market.timeframe)
        due = (np.asarray(number) % self.every == 0) & (ranked >= chosen).to_numpy()
        return weights.where(rise.notna()).where(pd.Series(due, index=rise.index), axis=0)
