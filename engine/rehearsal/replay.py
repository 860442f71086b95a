"""Which bars come when: a stored `Market` as the sequence of openings and closes that an exchange would tell.

    replay = Replay(load_sample(), start=100)
    replay.bars()          # the bars that are open: all that is known of them is the open
    replay.advance()       # the next time at which any symbol has a bar

Prices are the shortest decimals that read back as the stored floats.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.timeframe import parse_timeframe
from engine.rehearsal.money import ZERO, decimal_of
from engine.rehearsal.orders import Bar

_FIELDS: Final = ("open", "high", "low", "close", "volume")
_DAY: Final = 86_400_000


class Day(NamedTuple):
    """The last 24 hours of a symbol: `time` of its first bar, `worth` the volume at the closes, how many `bars`."""

    time: int
    open: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    worth: Decimal
    bars: int


class Replay:
    """The market's rows in turn; `row` is the one that is open.

    Args:
        market: what is replayed.
        start: the row that is open at first; rows before it are history that a client can fetch.

    Raises:
        ValidationError: a market without bars, or a start outside it.
    """

    def __init__(self, market: Market, start: int = 0) -> None:
        if not 0 <= start < len(market):
            raise ValidationError(f"rehearsal: start {start} must be a row of the market's {len(market)} bars")
        self.market = market
        self.symbols = market.symbols
        self.timeframe = market.timeframe
        self.length = int(parse_timeframe(market.timeframe) / pd.Timedelta(milliseconds=1))
        self.row = start
        self._times: list[int] = market.index.as_unit("ms").asi8.tolist()
        columns = {name: market[name].to_numpy(dtype=float) for name in _FIELDS}
        self._values = {
            symbol: np.column_stack([columns[name][:, at] for name in _FIELDS])
            for at, symbol in enumerate(self.symbols)
        }
        # Rows at which each symbol has a bar.
        self._rows: dict[str, list[int]] = {
            symbol: np.flatnonzero(~np.isnan(values[:, 3])).tolist() for symbol, values in self._values.items()
        }

    def __len__(self) -> int:
        return len(self._times)

    @property
    def time(self) -> int:
        """Opening time of the row that is open, ms."""
        return self._times[self.row]

    @property
    def done(self) -> bool:
        """Whether the row that is open is the last."""
        return self.row + 1 >= len(self._times)

    def bar(self, symbol: str, row: int) -> Bar | None:
        """A bar, or None where the symbol has none."""
        values = self._values[symbol][row].tolist()
        if values[3] != values[3]:
            return None
        return Bar(self._times[row], *map(decimal_of, values))

    def bars(self) -> dict[str, Bar]:
        """The bars of the row that is open, of those symbols that have one."""
        found = ((symbol, self.bar(symbol, self.row)) for symbol in self.symbols)
        return {symbol: bar for symbol, bar in found if bar is not None}

    def advance(self) -> None:
        """Go to the next row.

        Raises:
            ValidationError: the row that is open is the last.
        """
        if self.done:
            raise ValidationError(f"rehearsal: the market ends with its bar {self.row}; there is none to advance to")
        self.row += 1

    def last_before(self, symbol: str) -> Bar | None:
        """The last bar of a symbol at or before the row that is open."""
        rows = self._rows[symbol]
        at = bisect.bisect_right(rows, self.row)
        return self.bar(symbol, rows[at - 1]) if at else None

    def row_before(self, symbol: str) -> int | None:
        """The row of a symbol's last bar before the row that is open."""
        rows = self._rows[symbol]
        at = bisect.bisect_left(rows, self.row)
        return rows[at - 1] if at else None

    def candles(
        self, symbol: str, since: int | None, until: int | None, limit: int, *, closed: bool = False
    ) -> list[Bar]:
        """Bars a client may know: the closed ones, and of the open one its open (unless `closed`: then all of it).

        Args:
            symbol: whose.
            since: earliest opening time, ms; None for the `limit` newest.
            until: latest opening time, ms.
            limit: at most so many: the first ones from `since`, else the last ones.
            closed: whether the row that is open has just closed.
        """
        rows = self._rows[symbol]
        first = 0 if since is None else bisect.bisect_left(rows, bisect.bisect_left(self._times, since))
        most = self.row if until is None else min(self.row, bisect.bisect_right(self._times, until) - 1)
        end = bisect.bisect_right(rows, most)
        chosen = rows[first:end][:limit] if since is not None else rows[first:end][-limit:]
        return list(self._known(symbol, chosen, closed=closed))

    def day(self, symbol: str, *, closed: bool = False) -> Day:
        """What is known of the last 24 hours: closed bars, and the open one's open. Volumes are summed as floats."""
        rows, last = self._rows[symbol], self.last_before(symbol)
        first = bisect.bisect_left(rows, bisect.bisect_left(self._times, self.time - _DAY + self.length))
        end = bisect.bisect_right(rows, self.row)
        chosen = rows[first:end]
        if last is None or not chosen:
            price = ZERO if last is None else last.close
            return Day(self.time, price, price, price, ZERO, ZERO, 0)
        values = self._values[symbol][chosen]
        if last.time == self.time and not closed:
            values[-1, 1:] = values[-1, 0], values[-1, 0], values[-1, 0], 0.0
        volume, worth = values[:, 4].sum(), values[:, 4] @ values[:, 3]
        numbers = (values[0, 0], values[:, 1].max(), values[:, 2].min(), volume, worth)
        first_price, high, low, traded, turned = map(decimal_of, numbers)
        return Day(self._times[chosen[0]], first_price, high, low, traded, turned, len(chosen))

    def _known(self, symbol: str, rows: list[int], *, closed: bool) -> Iterator[Bar]:
        for row in rows:
            bar = self.bar(symbol, row)
            if bar is None:
                continue
            yield bar if row < self.row or closed else only_open(bar)


def only_open(bar: Bar) -> Bar:
    """What is known of a bar that has just opened."""
    return Bar(bar.time, bar.open, bar.open, bar.open, bar.open, ZERO)
