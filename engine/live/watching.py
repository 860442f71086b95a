"""Barriers that no exchange holds for us, watched on its trades: which one was crossed, by the exchange's own time.

    watch = Watch(exchange, symbols)
    watch.keep({0: Levels(side=1.0, stop=95.0, profit=110.0, trailing=False, entered=0, since=bar)})
    await watch.crossed()
    watch.taken()              # {0: Crossing("stop", 94.9, time)}, told once

A trade counts from `since` on, by its own timestamp: trades before the position was filled, or of an earlier bar, do
not cross anything, however late they are told. Of several that cross, the first by the exchange's time decides. Levels
that have changed are held against all that has traded since, which REST tells: so is a level that the market was beyond
before anybody watched. Where the stream breaks or is silent, REST is asked instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from engine import reasons

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 4.0  # seconds before a broken stream is taken up again, and REST is asked
_AGAIN: Final = 1.0  # seconds between looks by REST, where there is no stream, or REST has not answered
_PATIENCE: Final = 10.0  # seconds of silence after which REST is asked whether nothing has traded
_PAGE: Final = 1_000  # trades in one answer, at most; ccxt keeps as many of a stream's
_HOUR: Final = 3_600_000  # ms
_PAGES: Final = 20  # answers until the newest trades alone are looked at
WATCHED: Final = "watched"  # leg of the orders that leave a position


class Trade(NamedTuple):
    """A trade of others: when, by the exchange (ms), and its price (quote currency)."""

    time: int
    price: float


class Crossing(NamedTuple):
    """The trade by which a barrier was crossed, and which barrier."""

    barrier: Literal["stop", "profit"]
    price: float
    time: int


@dataclass(frozen=True)
class Levels:
    """A position's watched barriers.

    Attributes:
        side: 1.0 for a long position, -1.0 for a short one.
        stop: level at or beyond which it is left with a loss; NaN for none.
        profit: level at or beyond which it is left with a gain; NaN for none.
        trailing: whether the stop is the trailing one.
        entered: when the position was last filled, ms; 0 where that was before the run's memory.
        since: trades count from then on, ms.
    """

    side: float
    stop: float
    profit: float
    trailing: bool
    entered: int
    since: int = field(compare=False)

    @property
    def any(self) -> bool:
        """Whether there is a barrier at all."""
        return self.stop == self.stop or self.profit == self.profit

    def same(self, other: Levels | None) -> bool:
        """Whether these are the barriers of the same position at the same levels; no level is like no level."""
        return other is not None and _key(self) == _key(other)

    def reason(self, crossing: Crossing) -> int:
        """Why a position is left, of `engine.reasons`."""
        if crossing.barrier == "profit":
            return reasons.TAKE_PROFIT
        return reasons.TRAILING_STOP if self.trailing else reasons.STOP_LOSS


def _key(levels: Levels) -> tuple[float, str, str, bool, int]:
    return levels.side, repr(levels.stop), repr(levels.profit), levels.trailing, levels.entered


def first_crossing(levels: Levels, trades: Iterable[Trade]) -> Crossing | None:
    """The first trade, by its time, that is at a barrier or beyond; of one time, those told first come first."""
    for trade in sorted(trades, key=lambda one: one.time):
        if trade.time < levels.since:
            continue
        if levels.side * (trade.price - levels.stop) <= 0.0:
            return Crossing("stop", trade.price, trade.time)
        if levels.side * (trade.price - levels.profit) >= 0.0:
            return Crossing("profit", trade.price, trade.time)
    return None


class Watch:
    """The watched barriers of a session's positions, and the trades of their symbols.

    Args:
        exchange: of ccxt.pro, its markets loaded.
        symbols: of the session, in the order of their columns.

    Attributes:
        breaks: times a stream broke.
    """

    def __init__(self, exchange: Any, symbols: Sequence[str]) -> None:
        self.breaks = 0
        self._exchange, self._symbols = exchange, tuple(symbols)
        self._levels: dict[int, Levels] = {}
        self._crossings: dict[int, Crossing] = {}
        self._looked: dict[int, int] = {}  # ms up to which REST has told all
        self._followers: dict[int, asyncio.Task[None]] = {}
        self._rung = asyncio.Event()

    def keep(self, levels: Mapping[int, Levels]) -> None:
        """Watch these, by column, and no others. Where they have changed, what was crossed before counts no more."""
        for column in [*self._levels.keys() - levels.keys()]:
            self._forget(column)
        for column, wanted in levels.items():
            before, self._levels[column] = self._levels.get(column), wanted
            if not wanted.same(before):
                self._forget(column)
                self._levels[column] = wanted
                name = f"trades of {self._symbols[column]}"
                self._followers[column] = asyncio.create_task(self._follow(column), name=name)

    async def crossed(self) -> None:
        """Wait until a barrier has been crossed."""
        await self._rung.wait()

    def taken(self) -> dict[int, tuple[Levels, Crossing]]:
        """What was crossed, by column, told once: it is watched no more until `keep` says so."""
        self._rung.clear()
        found = {column: (self._levels[column], crossing) for column, crossing in self._crossings.items()}
        for column in found:
            self._forget(column)
        return found

    async def close(self) -> None:
        """Watch nothing any more."""
        followers = list(self._followers.values())
        for column in list(self._levels):
            self._forget(column)
        await asyncio.gather(*followers, return_exceptions=True)

    def _forget(self, column: int) -> None:
        self._levels.pop(column, None)
        self._crossings.pop(column, None)
        self._looked.pop(column, None)
        if not self._crossings:
            self._rung.clear()
        follower = self._followers.pop(column, None)
        if follower is not None:
            follower.cancel()

    def _hear(self, column: int, trades: Sequence[Mapping[str, Any]]) -> None:
        """Trades, in whatever order and however often they are told."""
        levels = self._levels.get(column)
        if levels is None:
            return
        told = [Trade(int(one["timestamp"]), float(one["price"])) for one in trades if one.get("timestamp")]
        crossing, before = first_crossing(levels, told), self._crossings.get(column)
        if crossing is not None and (before is None or crossing.time < before.time):
            self._crossings[column] = crossing
            self._rung.set()

    async def _follow(self, column: int) -> None:
        """Hear what trades, from `since` on: REST tells what a stream did not, before and after it was taken up."""
        symbol, streams, clock = self._symbols[column], self._exchange.has.get("watchTrades"), time.monotonic
        self._exchange.options["tradesLimit"] = _PAGE
        owed, fresh, later, pause = True, True, 0.0, _FIRST_PAUSE  # owed: a look by REST
        while True:
            if owed and clock() >= later:
                try:
                    await self._ask(column)
                    owed = False
                except Exception as error:  # noqa: BLE001 - whatever it was: it is asked again, the stream goes on
                    later = clock() + _AGAIN
                    _LOG.warning("trades of %s: REST does not tell them (%s)", symbol, type(error).__name__)
            if not streams:
                await asyncio.sleep(_AGAIN)
                owed = True
                continue
            trades: list[Any] = []
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(later - clock(), 0.0) if owed else _PATIENCE):
                        trades = await self._exchange.watch_trades(symbol)
            except Exception as error:  # noqa: BLE001 - whatever broke it: REST is asked, and it is taken up again
                self.breaks += 1
                why = type(error).__name__
                _LOG.warning("trades of %s: the stream broke (%s); taken up again in %.1f s", symbol, why, pause)
                await asyncio.sleep(pause)
                owed, fresh, pause = True, True, min(2.0 * pause, _LONGEST_PAUSE)
                continue
            self._hear(column, trades)
            if trades:
                pause = _FIRST_PAUSE
            owed = owed or fresh or not trades or len(trades) >= _PAGE
            fresh = fresh and not trades

    async def _ask(self, column: int) -> None:
        """What REST knows to have traded since it was last asked."""
        symbol, exchange = self._symbols[column], self._exchange
        if not exchange.has.get("fetchTrades"):
            ticker = await exchange.fetch_ticker(symbol)
            if ticker.get("last") is not None:
                moment = ticker.get("timestamp") or exchange.milliseconds()
                self._hear(column, [{"timestamp": moment, "price": ticker["last"]}])
            return
        levels = self._levels.get(column)
        if levels is None:
            return
        since = max(levels.since, self._looked.get(column, 0))
        trades = await exchange.fetch_trades(symbol, None, _PAGE)
        self._hear(column, trades)
        times = [int(one["timestamp"]) for one in trades]
        for _ in range(_PAGES):
            if not times or since >= min(times):
                break
            page = await exchange.fetch_trades(symbol, since, _PAGE)
            self._hear(column, page)
            # Binance tells of an hour from `since` at most. The newest ms is looked at again: it may not be over.
            newest = max((int(one["timestamp"]) for one in page), default=since + _HOUR)
            since = newest if newest > since else since + 1
        else:
            _LOG.warning("trades of %s: too many since %d ms; the newest %d were looked at", symbol, since, len(times))
        self._looked[column] = max(times, default=since)
