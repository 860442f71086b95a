"""Strategies that follow each other in time: what a walk-forward trades."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from data.market import Market
from engine.exits import Exits
from engine.strategy import Strategy


@dataclass(frozen=True)
class Stitched(Strategy):
    """One strategy until a time, then the next: the sets of a walk-forward in turn.

    Attributes:
        starts: first bar of each, ascending; before the first nothing is decided.
        parts: the strategies, all with the same barriers.
    """

    starts: tuple[pd.Timestamp, ...]
    parts: tuple[Strategy, ...] = field(repr=False)

    @property
    def warmup(self) -> int:
        return max(part.warmup for part in self.parts)

    @property
    def exits(self) -> Exits | None:  # type: ignore[override]
        return self.parts[0].exits

    @property
    def order_notional(self) -> float | None:  # type: ignore[override]
        return self.parts[0].order_notional

    def targets(self, market: Market) -> pd.DataFrame:
        columns = list(market.symbols)
        wanted = np.full((len(market), len(columns)), np.nan)
        for part, first, last in self._spans(market):
            rows = part.targets(market)[columns].to_numpy(dtype=np.float64)
            wanted[first:last] = rows[first:last]
            # What it would hold by then: a set that decides now and again is not flat until it decides next.
            known = pd.DataFrame(rows[: first + 1]).ffill().to_numpy()[-1] if first < last else np.nan
            wanted[first:last][:1] = np.where(np.isnan(known), 0.0, known)
        return pd.DataFrame(wanted, index=market.index, columns=market.close.columns)

    def scale(self, market: Market) -> pd.DataFrame | None:
        scales = [(part.scale(market), first, last) for part, first, last in self._spans(market)]
        if all(table is None for table, _, _ in scales):
            return None
        columns = list(market.symbols)
        found = np.ones((len(market), len(columns)))
        for table, first, last in scales:
            if table is not None:
                found[first:last] = table[columns].to_numpy(dtype=np.float64)[first:last]
        return pd.DataFrame(found, index=market.index, columns=market.close.columns)

    def _spans(self, market: Market) -> list[tuple[Strategy, int, int]]:
        """Each part with its first row and the row after its last."""
        rows = [*market.index.searchsorted(pd.DatetimeIndex(self.starts)).tolist(), len(market)]
        return list(zip(self.parts, rows[:-1], rows[1:], strict=True))
