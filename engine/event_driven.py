# SPDX-License-Identifier: GPL-3.0-or-later
"""The event-driven paper broker: backtrader, made to obey execution rules 1 to 4 and 9.

backtrader supplies the feeds, the clock, the order life cycle and the books; what an order may be, when it goes and
what it costs is decided by `engine.rules`, the functions that the vectorized engine compiles. An order is created at
the close of the bar that decides it and executes at the next bar that its symbol has.

This file subclasses backtrader and so is licensed as backtrader is; see docs/licences.md.
"""

from __future__ import annotations

import array
from dataclasses import dataclass, field
from typing import Any

import backtrader as bt
import numpy as np

from engine import rules
from engine.progress import bar_progress
from engine.result import Result
from engine.run import Run

_TARGET, _CUT = "target", "target, cut to what cash pays"
# Bars a second on one slow core: only decides whether a progress bar is worth showing.
_BARS_PER_SECOND = 10_000
_SHOW_AFTER_SECONDS = 3.0
_NS_PER_DAY = 86_400_000_000_000
_EPOCH_ORDINAL = 719_163.0


@dataclass
class _Account:
    """The books that decisions rest on, kept by the shared rules: cash and amount held by symbol."""

    cash: float
    held: list[float]


@dataclass
class _Fills:
    """What was executed, one list per field of the orders table, and the position after each fill."""

    decided: list[int] = field(default_factory=list)
    filled: list[int] = field(default_factory=list)
    column: list[int] = field(default_factory=list)
    amount: list[float] = field(default_factory=list)
    price: list[float] = field(default_factory=list)
    fee: list[float] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)
    held: list[float] = field(default_factory=list)


class _Bars(bt.feed.DataBase):  # type: ignore[misc]
    """A feed of one symbol's bars from arrays, loaded at once; a missing bar is simply not in it."""

    params = (("columns", None), ("position", 0))

    def preload(self) -> None:
        for name in self.getlinealiases():
            getattr(self.lines, name).array = array.array("d", self.p.columns[name].tobytes())
        self.home()

    def advance(self, size: int = 1, datamaster: Any = None, ticks: bool = True) -> None:
        self.lines.advance(size)


class _Commission(bt.CommInfoBase):  # type: ignore[misc]
    """Fee of a fill by rule 3."""

    params = (("stocklike", True), ("commtype", bt.CommInfoBase.COMM_PERC), ("percabs", True))

    def _getcommission(self, size: float, price: float, pseudoexec: bool) -> float:
        return rules.fee_paid(size, price, self.p.commission)


class _Broker(bt.brokers.BackBroker):  # type: ignore[misc]
    """backtrader's broker with execution by our rules: due orders in their order, each cut to what cash pays."""

    params = (("run", None), ("checksubmit", False))

    def init(self) -> None:
        super().init()
        run: Run = self.p.run
        self.account = _Account(run.cash, [0.0] * len(run.venues))
        self.fills = _Fills()
        self.row = -1
        self._decided: dict[int, tuple[int, float, float]] = {}
        self._fee = run.costs.taker_fee
        self._slippage = run.costs.slippage
        self._symbols: list[_Bars] = []
        self._allowed = 0.0
        self.set_filler(lambda order, price, ago: self._allowed)

    def attach(self, symbols: list[_Bars]) -> None:
        """The feeds by column, without the clock's."""
        self._symbols = symbols

    def decide(self, order: Any, row: int, close: float, smallest: float) -> None:
        """Remember at which bar and close an order was decided, and how small it may be."""
        self._decided[order.ref] = (row, close, smallest)

    def notify(self, order: Any) -> None:
        """Nobody listens: the strategy reads the account, so no copies of the order are made."""

    def next(self) -> None:
        """One bar: fill what is due at its open, then mark the books at its close."""
        self.row += 1
        if self.pending:
            due = [order for order in self.pending if order.data.datetime[0] > order.created.dt]
            if due:
                held = self.account.held
                due.sort(
                    key=lambda o: (
                        rules.execution_phase(o.executed.remsize, held[o.data.p.position]),
                        o.data.p.position,
                    )
                )
                now = max(data.datetime[0] for data in self._symbols if len(data))
                for order in due:
                    self.pending.remove(order)
                    self._fill(order, now)
        self._get_value()

    def _mark(self, data: _Bars, now: float) -> float:
        """What a position is worth a unit at this open: the open, or the last close where the symbol has no bar now."""
        return float(data.open[0] if data.datetime[0] == now else data.close[0])

    def _fill(self, order: Any, now: float) -> None:
        run: Run = self.p.run
        data, account = order.data, self.account
        column = data.p.position
        venue = run.venues[column]
        held = account.held[column]
        amount = order.executed.remsize
        price = rules.fill_price(data.open[0], amount, self._slippage)
        free = account.cash
        for other in self._symbols:
            amount_held = account.held[other.p.position]
            if amount_held != 0.0:
                leverage = float(run.venues[other.p.position].leverage)
                free -= rules.margin_held(amount_held, self._mark(other, now), leverage)
        payable = rules.payable_amount(
            amount, held, self._mark(data, now), price, self._fee, float(venue.leverage), free
        )
        cut = payable != amount
        if cut:
            amount = rules.round_to_step(payable, venue.amount_step, rules.SUM_NOISE)
        decided, decided_close, smallest = self._decided.pop(order.ref)
        if not rules.is_sendable(amount, held, decided_close, smallest):
            order.cancel()
            return
        paid = rules.fee_paid(amount, price, self._fee)
        self._book(order, amount, price, paid)
        account.cash = rules.cash_after(account.cash, amount, price, paid)
        account.held[column] = rules.held_after(held, amount, venue.amount_step)
        fills = self.fills
        fills.decided.append(decided)
        fills.filled.append(self.row)
        fills.column.append(column)
        fills.amount.append(amount)
        fills.price.append(order.executed.price)
        fills.fee.append(order.executed.comm)
        fills.reason.append(_CUT if cut else _TARGET)
        fills.held.append(account.held[column])

    def _book(self, order: Any, amount: float, price: float, paid: float) -> None:
        """Execute in backtrader's own books.

        It refuses an opening that takes its cash below zero, by a rounding error too; what an order may cost was
        decided above, so it is lent what it lacks for the moment of the booking.
        """
        notional = amount * price
        lent = max(notional + paid - self.cash + rules.STEP_NOISE * abs(notional), 0.0)
        self.cash += lent
        self._allowed = abs(amount)
        self._execute(order, ago=0, price=price)
        self.cash -= lent
        if abs(order.executed.size - amount) > rules.STEP_NOISE * abs(amount):
            raise AssertionError(f"backtrader executed {order.executed.size} of {amount} at bar {self.row}")
        if order.alive():
            order.cancel()


class _Decider(bt.Strategy):  # type: ignore[misc]
    """Turns each bar's targets into orders; it never sees a later row than the current one."""

    params = (("run", None), ("advance", None))

    def __init__(self) -> None:
        run: Run = self.p.run
        self.equity: list[float] = []
        self._symbols = [data for data in self.datas if data.p.position >= 0]
        self._targets = run.targets.tolist()
        self._decides = (~np.isnan(run.targets)).any(axis=1).tolist()
        self._waiting: dict[int, Any] = {}
        self.broker.attach(self._symbols)

    def prenext(self) -> None:
        """A symbol that has not begun to trade does not keep the others from trading."""
        self.next()

    def next(self) -> None:
        row = self.broker.row
        self.equity.append(self.broker.getvalue())
        if self._decides[row]:
            self._decide(row)
        if self.p.advance is not None:
            self.p.advance(row)

    def _decide(self, row: int) -> None:
        run: Run = self.p.run
        account: _Account = self.broker.account
        equity = account.cash
        for data in self._symbols:
            held = account.held[data.p.position]
            if held != 0.0:
                equity += held * data.close[0]
        for data in self._symbols:
            column = data.p.position
            weight = self._targets[row][column]
            if weight != weight or not len(data):
                continue
            venue, held, close = run.venues[column], account.held[column], data.close[0]
            amount = rules.unrounded_order(weight, equity, held, close)
            if amount != -held:
                amount = rules.round_to_step(amount, venue.amount_step, rules.STEP_NOISE)
            earlier = self._waiting.pop(column, None)
            if earlier is not None and earlier.alive():
                self.broker.cancel(earlier)
            smallest = rules.smallest_order(venue.min_notional, equity)
            if rules.is_sendable(amount, held, close, smallest):
                send = self.buy if amount > 0.0 else self.sell
                order = send(data=data, size=abs(amount))
                self.broker.decide(order, row, close, smallest)
                self._waiting[column] = order


def run_paper(run: Run) -> Result:
    """Execute a prepared run in backtrader."""
    bars, symbols = run.targets.shape
    cerebro = bt.Cerebro(stdstats=False, runonce=True, preload=True)
    for feed in _feeds(run):
        cerebro.adddata(feed)
    broker = _Broker(run=run, cash=run.cash)
    broker.addcommissioninfo(_Commission(commission=run.costs.taker_fee))
    cerebro.setbroker(broker)
    seconds = bars * (1 + 0.25 * (symbols - 1)) / _BARS_PER_SECOND
    with bar_progress("paper", bars, show=seconds > _SHOW_AFTER_SECONDS) as advance:
        cerebro.addstrategy(_Decider, run=run, advance=advance)
        decider = cerebro.run()[0]
    fills = broker.fills
    return run.result(
        "paper",
        equity=np.array(decider.equity),
        positions=_positions(run, fills),
        fills={
            "decided": np.array(fills.decided, dtype=np.int64),
            "filled": np.array(fills.filled, dtype=np.int64),
            "column": np.array(fills.column, dtype=np.int64),
            "amount": np.array(fills.amount, dtype=np.float64),
            "price": np.array(fills.price, dtype=np.float64),
            "fee": np.array(fills.fee, dtype=np.float64),
            "reason": np.array(fills.reason, dtype=object),
        },
    )


def _feeds(run: Run) -> list[_Bars]:
    """One feed a symbol, and a clock where some bar belongs to no symbol, so that every bar is an event."""
    market = run.market
    days = market.index.as_unit("ns").asi8 / _NS_PER_DAY + _EPOCH_ORDINAL
    fields = {name: market[name].to_numpy(dtype=np.float64) for name in ("open", "high", "low", "close", "volume")}
    feeds = []
    for position, _ in enumerate(market.symbols):
        present = ~np.isnan(run.close[:, position])
        columns = {name: table[present, position] for name, table in fields.items()}
        nothing = np.zeros(int(present.sum()))
        feeds.append(_Bars(columns={**columns, "openinterest": nothing, "datetime": days[present]}, position=position))
    if not (~np.isnan(run.close)).any(axis=1).all():
        nothing = np.zeros(len(days))
        clock = dict.fromkeys(("open", "high", "low", "close", "volume", "openinterest"), nothing)
        feeds.append(_Bars(columns={**clock, "datetime": days}, position=-1))
    return feeds


def _positions(run: Run, fills: _Fills) -> np.ndarray:
    """Amount held at each close, from the position after each fill."""
    positions = np.zeros(run.targets.shape)
    for column in range(len(run.venues)):
        chosen = np.flatnonzero(np.array(fills.column, dtype=np.int64) == column)
        rows = np.array(fills.filled, dtype=np.int64)[chosen]
        after = np.concatenate([[0.0], np.array(fills.held)[chosen]])
        positions[:, column] = after[np.searchsorted(rows, np.arange(len(positions)), side="right")]
    return positions
