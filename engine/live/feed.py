"""Closed bars and new opens from an exchange: candles by WebSocket, by REST at the start and wherever the stream broke.

    feed = CandleFeed(exchange, ["BTC/USDT", "ETH/USDT"], "1h")
    market = await feed.start(rows=500)       # closed bars up to now, a Market
    turn = await feed.turn()                  # a bar has closed and the next one opened
    turn.closed, turn.bars, turn.opened, turn.opens

When a bar is over is told by the exchange and not by our clock: it is, once a newer one of any of the symbols has
begun. For a symbol that has not begun by a grace later there is no open: its orders wait for its next one. After a
lost connection, and where bars lie between two turns, REST says what they were: a stream does not tell what it left
out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from data.candles import CANDLE_COLUMNS
from data.errors import FetchError, ValidationError
from data.market import Market
from data.timeframe import parse_timeframe
from engine.live.bars import Bar, bar_of

_LOG = logging.getLogger(__name__)
_NS_PER_MS: Final = 1_000_000
_PAGE: Final = 1_000  # candles in one answer, at most
_ATTEMPTS: Final = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
_UNSURE: Final = 0.5  # seconds between looks by REST, while the stream is silent
_OVERDUE: Final = 3.0  # seconds after a bar's end by the exchange's clock, and between looks from then on
_NS_PER_SECOND: Final = 1_000_000_000


@dataclass(frozen=True)
class Turn:
    """A bar has closed and the next one opened.

    Attributes:
        closed: opening time of the bar that is over, ns.
        bars: by symbol, of those that had one.
        opened: opening time of the bar that is open now, ns.
        opens: its first price by symbol, of those that have begun.
        missed: bars between the last turn and this one that nobody decided on, oldest first: (time, bars by symbol).
    """

    closed: int
    bars: dict[str, Bar]
    opened: int
    opens: dict[str, float]
    missed: list[tuple[int, dict[str, Bar]]] = field(default_factory=list)


class CandleFeed:
    """The candles of some symbols on one exchange.

    Args:
        exchange: a `ccxt.pro` exchange with its markets loaded.
        symbols: as ccxt names them.
        timeframe: of the bars, one that the exchange has.
        grace: seconds that symbols have to begin a bar, once one of them has.
        patience: seconds without any message after which the stream counts as dead and is taken up anew.
        clock: the exchange's time, ns: a bar that should be over by it and is not is asked for by REST. None for no
            such clock: then silence alone tells.

    Attributes:
        gaps: times the stream broke.
        behind: whether bars have closed since the one that it was rewound to.
    """

    def __init__(
        self,
        exchange: Any,
        symbols: Sequence[str],
        timeframe: str,
        *,
        grace: float = 0.5,
        patience: float = 60.0,
        clock: Callable[[], int] | None = None,
    ) -> None:
        if timeframe not in exchange.timeframes:
            known = ", ".join(exchange.timeframes)
            raise ValidationError(f"{exchange.id}: has no candles of {timeframe}; it has {known}")
        self.symbols, self.timeframe, self.gaps, self.behind = tuple(symbols), timeframe, 0, False
        self._exchange, self._grace, self._patience, self._clock = exchange, grace, patience, clock
        self._step = parse_timeframe(timeframe).value
        self._open = 0  # opening time of the bar that is open, ns
        self._begun: set[str] = set()
        self._broken = False
        self._quiet = True  # no message since the stream was taken up: nobody knows yet whether it carries
        self._heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, rows: int) -> Market:
        """Closed bars up to now, `rows` of them where the exchange has as many; from here on the stream is followed.

        Raises:
            FetchError: the exchange cannot be reached, or has no candles of a symbol.
        """
        self._task = asyncio.create_task(self._follow(), name="candles")
        tables = await asyncio.gather(*(self._history(symbol, rows + 1) for symbol in self.symbols))
        empty = [symbol for symbol, table in zip(self.symbols, tables, strict=True) if not table]
        if empty:
            raise FetchError(f"{self._exchange.id}: no candles of {', '.join(empty)} {self.timeframe}")
        self._open = max(_time(table[-1]) for table in tables)
        self._begun = {
            symbol for symbol, table in zip(self.symbols, tables, strict=True) if _time(table[-1]) == self._open
        }
        frames = {
            symbol: _frame([row for row in table if _time(row) < self._open])
            for symbol, table in zip(self.symbols, tables, strict=True)
        }
        frames = {symbol: frame for symbol, frame in frames.items() if len(frame)}
        if len(frames) < len(self.symbols):
            raise FetchError(f"{self._exchange.id}: not every symbol has a closed bar of {self.timeframe} yet")
        return Market.from_frames(frames, self.timeframe)

    def rewind(self, time: int) -> None:
        """Take the bar that opened then for the open one: those closed since come with the next turn, by REST."""
        if time < self._open:
            self._open, self._broken, self.behind = time, True, True

    @property
    def open_time(self) -> int:
        """Opening time of the bar that is open now, ns."""
        return self._open

    async def turn(self) -> Turn:
        """Wait until a bar has closed.

        Raises:
            FetchError: what a stream left out cannot be had by REST either.
        """
        newest = await self._newest_after(self._open)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await self._all_begin(newest)
        closed, opened = self._open, newest
        broken, self._broken = self._broken, False
        if broken or opened - closed > self._step:
            times = await self._by_rest(closed, opened)
        else:
            times = {closed: self._streamed(closed)}
            lagging = [symbol for symbol in self.symbols if symbol not in times[closed] and symbol in self._begun]
            # It had begun, and the stream did not tell how it ended; or it tells nothing at all of the bar, for REST
            # was who said that it had opened.
            if lagging or not times[closed]:
                times = await self._by_rest(closed, opened)
        opens = {symbol: bar[0] for symbol, bar in self._streamed(opened).items()}
        self._open, self._begun = opened, set(opens)
        ordered = [(time, times[time]) for time in sorted(times) if times[time]]
        if not ordered:
            raise FetchError(f"{self._exchange.id}: no bar between {_utc(closed)} and {_utc(opened)}")
        last, bars = ordered[-1]
        return Turn(last, bars, opened, opens, ordered[:-1])

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    # The stream.

    async def _follow(self) -> None:
        pairs = [[symbol, self.timeframe] for symbol in self.symbols]
        pause = _FIRST_PAUSE
        while True:
            try:
                # Not asyncio.wait_for: before Python 3.12 it loses a cancellation that comes together with a message.
                async with asyncio.timeout(self._patience):
                    await self._exchange.watch_ohlcv_for_symbols(pairs)
                pause, self._quiet = _FIRST_PAUSE, False
                self._heard.set()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever broke it: it is taken up again, and the gap is filled
                self.gaps, self._broken, self._quiet = self.gaps + 1, True, True
                self._heard.set()
                _LOG.warning("candles: the stream broke (%s); taken up again in %.1f s", type(error).__name__, pause)
                await asyncio.sleep(pause)
                pause = min(2.0 * pause, _LONGEST_PAUSE)

    def _streamed(self, time: int) -> dict[str, Bar]:
        """What the stream told of the bars that opened at a time."""
        found = {}
        for symbol in self.symbols:
            for row in reversed(self._exchange.ohlcvs.get(symbol, {}).get(self.timeframe, [])):
                stamp = _time(row)
                if stamp <= time:
                    if stamp == time:
                        found[symbol] = bar_of(row)
                    break
        return found

    def _newest(self) -> int:
        caches = (self._exchange.ohlcvs.get(symbol, {}).get(self.timeframe, []) for symbol in self.symbols)
        return max((_time(cache[-1]) for cache in caches if cache), default=0)

    async def _newest_after(self, time: int) -> int:
        """Wait for a bar that begins after a time; by REST too, while nobody knows whether the stream carries it."""
        now, looked = asyncio.get_running_loop().time, -math.inf
        while (newest := self._newest()) <= time:
            self._heard.clear()
            silent = _UNSURE if self._quiet else self._patience
            late = max(self._over_in(), looked + _OVERDUE - now())
            try:
                async with asyncio.timeout(max(min(silent, late), 0.0)):
                    await self._heard.wait()
            except TimeoutError:
                looked = now()
                newest = await self._newest_by_rest()
                if newest > time:
                    self._broken = True
                    return newest
        return newest

    def _over_in(self) -> float:
        """Seconds until the bar that is open should have been followed by another one, with some to spare."""
        if self._clock is None:
            return math.inf
        return (self._open + self._step - self._clock()) / _NS_PER_SECOND + _OVERDUE

    async def _all_begin(self, time: int) -> None:
        while len(self._streamed(time)) < len(self.symbols):
            self._heard.clear()
            await self._heard.wait()

    # REST.

    async def _newest_by_rest(self) -> int:
        tables = await asyncio.gather(*(self._history(symbol, 2) for symbol in self.symbols))
        return max((_time(table[-1]) for table in tables if table), default=0)

    async def _by_rest(self, first: int, until: int) -> dict[int, dict[str, Bar]]:
        """Bars that opened from `first` on, before `until`, by time and symbol."""
        count = (until - first) // self._step + 2
        tables = await asyncio.gather(*(self._history(symbol, int(count)) for symbol in self.symbols))
        times: dict[int, dict[str, Bar]] = {}
        for symbol, table in zip(self.symbols, tables, strict=True):
            for row in table:
                time = _time(row)
                if first <= time < until:
                    times.setdefault(time, {})[symbol] = bar_of(row)
        return times

    async def _history(self, symbol: str, count: int) -> list[list[float]]:
        """The newest `count` candles of a symbol, the open one among them."""
        rows: dict[int, list[float]] = {}
        until: int | None = None
        while len(rows) < count:
            page = await self._page(symbol, min(count - len(rows), _PAGE), until)
            fresh = [row for row in page if row[0] not in rows]
            if not fresh:
                break
            rows |= {int(row[0]): row for row in fresh}
            until = min(rows)
        return [rows[time] for time in sorted(rows)][-count:]

    async def _page(self, symbol: str, limit: int, until: int | None) -> list[list[float]]:
        import ccxt

        params = {} if until is None else {"until": until - 1}
        pause = _FIRST_PAUSE
        for attempt in range(_ATTEMPTS):
            try:
                rows: list[list[float]] = await self._exchange.fetch_ohlcv(symbol, self.timeframe, None, limit, params)
            except (ccxt.OperationFailed, ccxt.BadResponse) as error:
                if attempt + 1 == _ATTEMPTS:
                    raise FetchError(f"{self._exchange.id} {symbol}: no candles ({type(error).__name__})") from error
                await asyncio.sleep(pause)
                pause = min(2.0 * pause, _LONGEST_PAUSE)
            else:
                return rows
        raise AssertionError("the last attempt raises")


def _time(row: Sequence[float]) -> int:
    return int(row[0]) * _NS_PER_MS


def _frame(rows: list[list[float]]) -> pd.DataFrame:
    values = np.array([row[1:6] for row in rows], dtype=np.float64).reshape(-1, len(CANDLE_COLUMNS))
    index = pd.DatetimeIndex(pd.to_datetime([row[0] for row in rows], unit="ms", utc=True), name="time")
    return pd.DataFrame(values, index=index.as_unit("ns"), columns=list(CANDLE_COLUMNS))


def _utc(time: int) -> str:
    return f"{pd.Timestamp(time, tz='UTC'):%Y-%m-%d %H:%M}Z"
