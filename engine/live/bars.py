"""The trailing window of bars that decisions are taken on: as many rows as the strategy needs, the newest last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from data.candles import CANDLE_COLUMNS
from data.errors import ValidationError
from data.market import Market

# Beside the warm-up, for bars that a symbol misses: what is filled from too few is not what the backtest saw.
_SPARE: Final = 200

Bar = tuple[float, float, float, float, float]  # open, high, low, close, volume


def bar_of(row: Sequence[Any]) -> Bar:
    """A candle as ccxt tells it: time (ms), open, high, low, close, volume."""
    first, high, low, last, volume = (float(value) for value in row[1:6])
    return first, high, low, last, volume


class BarWindow:
    """The newest closed bars of some symbols: a row for each time at which one of them has a bar.

    Args:
        market: the bars up to now; at least `warmup` rows.
        warmup: of the strategy.

    Raises:
        ValidationError: there are fewer bars than the strategy needs.
    """

    def __init__(self, market: Market, warmup: int) -> None:
        if len(market) < max(warmup, 1):
            raise ValidationError(
                f"live: {len(market)} closed bars of {', '.join(market.symbols)} {market.timeframe} are known, the "
                f"strategy needs {warmup}; wait, or take a shorter window"
            )
        self.symbols, self.timeframe = market.symbols, market.timeframe
        self._columns = pd.Index(self.symbols, name="symbol")
        self.rows = max(warmup, 1) + _SPARE
        kept = market.iloc(max(len(market) - self.rows, 0), None)
        self._count = len(kept)
        self._times = np.empty(2 * self.rows, dtype=np.int64)
        self._values = np.full((len(CANDLE_COLUMNS), 2 * self.rows, len(self.symbols)), np.nan)
        self._times[: self._count] = kept.index.as_unit("ns").asi8
        for at, name in enumerate(CANDLE_COLUMNS):
            self._values[at, : self._count] = kept[name].to_numpy(dtype=np.float64)

    @property
    def last(self) -> int:
        """Opening time of the newest row, ns."""
        return int(self._times[self._count - 1])

    def add(self, time: int, bars: Mapping[str, Bar]) -> None:
        """A time has closed: the bars of the symbols that have one.

        Raises:
            ValidationError: it is not after the newest row, or no symbol has a bar.
        """
        if time <= self.last or not bars:
            raise ValidationError(
                f"live: bars of {pd.Timestamp(time, tz='UTC')} after {pd.Timestamp(self.last, tz='UTC')}"
            )
        if self._count == len(self._times):  # move the newest to the front: once in as many bars as are kept
            keep = self.rows - 1
            self._times[:keep] = self._times[self._count - keep : self._count]
            self._values[:, :keep] = self._values[:, self._count - keep : self._count]
            self._count = keep
        row = self._count
        self._times[row] = time
        self._values[:, row] = np.nan
        for column, symbol in enumerate(self.symbols):
            if symbol in bars:
                self._values[:, row, column] = bars[symbol]
        self._count += 1

    def market(self) -> Market:
        """The window as the strategy sees it; a copy."""
        first = max(self._count - self.rows, 0)
        index = pd.DatetimeIndex(self._times[first : self._count].copy(), name="time").tz_localize("UTC")
        fields = {
            name: pd.DataFrame(self._values[at, first : self._count].copy(), index=index, columns=self._columns)
            for at, name in enumerate(CANDLE_COLUMNS)
        }
        return Market(fields, self.timeframe)
