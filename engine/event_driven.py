# SPDX-License-Identifier: GPL-3.0-or-later
"""The event-driven paper broker: backtrader with our feeds and `engine.paper_broker` in it.

backtrader has the clock and the books. An order is created at the close of the bar that decides it and executes from
the next bar on that its symbol has; the execution rules are the same functions that the vectorized engine compiles.

This file subclasses backtrader and so is licensed as backtrader is; see docs/licences.md.
"""

from __future__ import annotations

import array
from typing import Any

import backtrader as bt
import numpy as np

from engine.guard import NS_PER_DAY
from engine.paper_books import positions_held
from engine.paper_broker import Broker
from engine.progress import bar_progress
from engine.result import Result
from engine.run import Run

# Bars a second on one slow core: only decides whether a progress bar is worth showing.
_BARS_PER_SECOND = 10_000
_SHOW_AFTER_SECONDS = 3.0
_EPOCH_ORDINAL = 719_163.0


class _Bars(bt.feed.DataBase):  # type: ignore[misc]
    """A feed of one symbol's bars from arrays, loaded at once; a missing bar is simply not in it."""

    params = (("columns", None), ("position", 0))

    def preload(self) -> None:
        for name in self.getlinealiases():
            getattr(self.lines, name).array = array.array("d", self.p.columns[name].tobytes())
        self.home()

    def advance(self, size: int = 1, datamaster: Any = None, ticks: bool = True) -> None:
        self.lines.advance(size)


class _Decider(bt.Strategy):  # type: ignore[misc]
    """Turns each bar's targets into orders; it never sees a later row than the current one."""

    params = (("run", None), ("advance", None))

    def __init__(self) -> None:
        run: Run = self.p.run
        self.equity: list[float] = []
        self._targets = run.targets.tolist()
        self._scale = run.scale.tolist()
        self._decides = (~np.isnan(run.targets)).any(axis=1).tolist()
        self.broker.attach([data for data in self.datas if data.p.position >= 0], self)

    def prenext(self) -> None:
        """A symbol that has not begun to trade does not keep the others from trading."""
        self.next()

    def next(self) -> None:
        row = self.broker.account.row
        self.equity.append(self.broker.getvalue())
        targets = self._targets[row] if self._decides[row] else None
        self.broker.close(targets, self._scale[row] if self._scale else None)
        if self.p.advance is not None:
            self.p.advance(row)


def run_paper(run: Run) -> Result:
    """Execute a prepared run in backtrader."""
    bars, symbols = run.targets.shape
    cerebro = bt.Cerebro(stdstats=False, runonce=True, preload=True)
    for feed in _feeds(run):
        cerebro.adddata(feed)
    broker = Broker(run=run, cash=run.cash)
    cerebro.setbroker(broker)
    seconds = bars * (1 + 0.25 * (symbols - 1)) / _BARS_PER_SECOND
    with bar_progress("paper", bars, show=seconds > _SHOW_AFTER_SECONDS) as advance:
        cerebro.addstrategy(_Decider, run=run, advance=advance)
        decider = cerebro.run()[0]
    records = broker.account.records
    fills, events = records.arrays()
    positions = positions_held(run.targets.shape, fills)
    del fills["held"]
    return run.result(
        "paper",
        equity=np.array(decider.equity),
        positions=positions,
        fills={"filled": fills.pop("row"), **fills},
        events=events,
        funding=records.funding,
        borrow=records.borrow,
    )


def _feeds(run: Run) -> list[_Bars]:
    """One feed a symbol, and a clock where some bar belongs to no symbol, so that every bar is an event."""
    market = run.market
    days = day_number(market.index.as_unit("ns").asi8)
    fields = {name: market[name].to_numpy(dtype=np.float64) for name in ("open", "high", "low", "close", "volume")}
    feeds, close = [], run.setup.bars.close
    for position, _ in enumerate(market.symbols):
        present = ~np.isnan(close[:, position])
        columns = {name: table[present, position] for name, table in fields.items()}
        nothing = np.zeros(int(present.sum()))
        feeds.append(_Bars(columns={**columns, "openinterest": nothing, "datetime": days[present]}, position=position))
    if not (~np.isnan(close)).any(axis=1).all():
        nothing = np.zeros(len(days))
        clock = dict.fromkeys(("open", "high", "low", "close", "volume", "openinterest"), nothing)
        feeds.append(_Bars(columns={**clock, "datetime": days}, position=-1))
    return feeds


def day_number(time: Any) -> Any:
    """A time, ns since 1970, as backtrader counts: days since the year 1, with fractions."""
    return time / NS_PER_DAY + _EPOCH_ORDINAL
