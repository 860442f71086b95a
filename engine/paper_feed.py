# SPDX-License-Identifier: GPL-3.0-or-later
"""backtrader's side of paper with live prices: feeds that wait for the next bar, and a broker without an end.

The bars come by backtrader's own way for live feeds: one that says `islive` and whose `_load` waits. cerebro asks the
first feed, the clock, for each bar, and waits there; the symbols' feeds then have what the turn brought. Nothing polls.

This file subclasses backtrader and so is licensed as backtrader is; see docs/licences.md.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import backtrader as bt

from data.candles import CANDLE_COLUMNS
from engine import reasons
from engine.event_driven import day_number
from engine.guard import NS_PER_DAY
from engine.live.bars import Bar
from engine.paper_books import Records
from engine.paper_broker import Broker
from engine.paper_stream import Handover, Turn

_NS_PER_YEAR: Final = 365 * NS_PER_DAY


def run_cerebro(broker: StreamBroker, symbols: int, handover: Handover, equity: list[float]) -> None:
    """Execute turns until there are no more; each close's equity is appended to `equity`."""
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(_Clock(handover=handover))
    for column in range(symbols):
        cerebro.adddata(_Symbol(handover=handover, position=column))
    cerebro.setbroker(broker)
    cerebro.addstrategy(_Closer, handover=handover, equity=equity)
    cerebro.run()


class _Feed(bt.feed.DataBase):  # type: ignore[misc]
    """A feed that is written bar by bar."""

    params = (("handover", None), ("position", -1))

    def islive(self) -> bool:
        """Bars come as they are: backtrader preloads nothing."""
        return True

    def _put(self, time: int, bar: Bar) -> None:
        for name, value in zip(CANDLE_COLUMNS, bar, strict=True):
            getattr(self.lines, name)[0] = value
        self.lines.openinterest[0] = 0.0
        self.lines.datetime[0] = day_number(time)


class _Clock(_Feed):
    """Has a bar at each turn; it is the first that cerebro asks, and the one that waits."""

    def _load(self) -> bool:
        turn = self.p.handover.wait()
        if turn is None:
            return False
        self._put(turn.time, (0.0, 0.0, 0.0, 0.0, 0.0))
        return True


class _Symbol(_Feed):
    """One symbol's bars: None where a turn has none of it, or once it was given."""

    _served: Turn | None = None

    def _load(self) -> bool | None:
        turn = self.p.handover.turn
        if turn is None:
            return False
        if turn is self._served or self.p.position not in turn.bars:
            return None
        self._served = turn
        self._put(turn.time, turn.bars[self.p.position])
        return True


class _Closer(bt.Strategy):  # type: ignore[misc]
    """Gives the broker what was decided at a close."""

    params = (("handover", None), ("equity", None))

    def __init__(self) -> None:
        self.broker.attach([data for data in self.datas if data.p.position >= 0], self)

    def prenext(self) -> None:
        """A symbol that has not begun to trade does not keep the others from trading."""
        self.next()

    def next(self) -> None:
        """The bar has closed."""
        turn = self.p.handover.turn
        self.p.equity.append(self.broker.getvalue())
        self.broker.close(turn.targets, turn.scale)


class _Growing(Records):
    """Records of a run whose length nobody knows: what was paid is kept by (row, column)."""

    def __init__(self) -> None:
        super().__init__((0, 0))
        self.borrow: Any = defaultdict(float)


class StreamBroker(Broker):
    """The paper broker, its calendar growing by each turn; what needs somebody awake waits for that."""

    params = (("handover", None),)  # type: ignore[assignment]  # backtrader joins them with those above

    def init(self) -> None:
        """Begin with an empty calendar."""
        super().init()
        account = self.account
        account.times, account.days, account.records = [], [], _Growing()
        self._has_bar: list[list[bool]] = []
        self._lending: list[float] = []
        self._borrow = self.p.run.costs.borrow
        self._all_columns = range(len(account.holdings))
        self._limit = self._time_limit
        self._awake = True
        self._behind: set[int] = set()  # trailing stops that nobody has moved yet

    def next(self) -> None:
        """One bar, as `Broker.next` has it."""
        turn, times = self.p.handover.turn, self.account.times
        if self._borrow > 0.0:
            since = turn.time - times[-1] if times else 0
            self._lending.append(self._borrow * since / _NS_PER_YEAR)
        times.append(turn.time)
        self.account.days.append(turn.time // NS_PER_DAY)
        self._has_bar.append([column in turn.bars for column in self._all_columns])
        # What is done at an open is done by whoever was awake at the close before it.
        self._acts, self._awake = self._awake, turn.awake
        self._time_limit = self._limit if self._acts else 0
        super().next()
        self._forget()

    def close(self, targets: list[float] | None, scale: list[float] | None) -> None:
        """The bar has closed; of what was meant for its open nothing is left where nobody is awake."""
        if not self._awake:
            for column, waiting in list(self._waiting.items()):
                if waiting.reason < reasons.STOP_LOSS:
                    self._drop(column)
            targets = None
        super().close(targets, scale)

    def _forget(self) -> None:
        """Let go of orders that have ended: backtrader keeps each of them, and what belongs together, for ever."""
        alive = {order.ref for order in self.pending}
        for kept in (self._pchildren, self._ocos, self._ocol):
            for ref in [ref for ref in kept if ref not in alive]:
                del kept[ref]

    def waiting_amounts(self) -> dict[int, float]:
        """By column, the signed amounts that go at the next open."""
        return {column: waiting.amount for column, waiting in sorted(self._waiting.items())}

    def _fill_at_open(self) -> None:
        if self._acts:
            super()._fill_at_open()
            return
        # A liquidation is the exchange's; anything else nobody was there to send.
        kept = self._waiting
        self._waiting = {column: one for column, one in kept.items() if one.reason == reasons.LIQUIDATION}
        super()._fill_at_open()
        self._waiting |= {column: one for column, one in kept.items() if one.reason != reasons.LIQUIDATION}

    def _trail(self, column: int) -> None:
        if self._awake:
            super()._trail(column)
        else:
            self._behind.add(column)

    def _mark(self) -> None:
        super()._mark()
        if self._awake and self._behind:
            for column in sorted(self._behind):
                if self.account.is_open(column):
                    self._set_barriers(column)
            self._behind.clear()
