# SPDX-License-Identifier: GPL-3.0-or-later
"""backtrader's broker, made to obey the execution rules.

backtrader has the order life cycle, the triggers of stops and take profits, and the books (cash, positions, value).
When an order goes is told here, what it may be and what follows from its fill in `engine.paper_account`. Barriers are
backtrader's own Stop and Limit orders, asked in the sequence of rule 5 and from the bar of the entry on, where
backtrader's brackets begin a bar later.

This file subclasses backtrader and so is licensed as backtrader is; see docs/licences.md.
"""

from __future__ import annotations

from typing import Any, Literal

import backtrader as bt
import numpy as np

from engine import guard, reasons, rules
from engine.paper_account import PaperAccount
from engine.paper_books import Intent, Position, Waiting
from engine.run import Run


class Commission(bt.CommInfoBase):  # type: ignore[misc]
    """Fee of a fill by rule 3, at the rate that the broker sets for it."""

    params = (("stocklike", True), ("commtype", bt.CommInfoBase.COMM_PERC), ("percabs", True))

    rate = 0.0

    def _getcommission(self, size: float, price: float, pseudoexec: bool) -> float:
        return rules.fee_paid(size, price, self.rate)


class Broker(bt.brokers.BackBroker):  # type: ignore[misc]
    """Executes a bar in the sequence that docs/execution.md tells."""

    params = (("run", None), ("checksubmit", False))

    def init(self) -> None:
        super().init()
        run: Run = self.p.run
        bars, terms = run.setup.bars, run.setup.terms
        self.account = PaperAccount(run)
        self._waiting: dict[int, Waiting] = {}
        self._has_bar = (~np.isnan(bars.close)).tolist()
        self._present: list[int] = []
        self._lending = terms.borrow.tolist()
        self._funding = terms.funding_before.tolist(), terms.funding_within.tolist()
        self._liquidates = terms.liquidates
        self._follows = run.setup.barriers.delta == run.setup.barriers.delta
        self._time_limit = run.setup.barriers.time_limit
        self._intent: Intent | None = None
        self._allowed = 0.0
        self._fees = Commission()
        self.addcommissioninfo(self._fees)
        self.set_filler(lambda order, price, ago: self._allowed)

    def attach(self, symbols: list[Any], owner: Any) -> None:
        """The feeds by column, without the clock's, and the strategy in whose name orders are sent."""
        self._symbols, self._owner = symbols, owner

    def notify(self, order: Any) -> None:
        """Nobody listens: the strategy reads the account, so no copies of the order are made."""

    def next(self) -> None:
        """One bar: charges, orders at the open, barriers, resting orders, liquidation, marks at the close."""
        account = self.account
        account.begin_bar()
        self._present = present = [column for column, there in enumerate(self._has_bar[account.row]) if there]
        self._lend()
        self._charge(self._funding[0])
        if self._waiting or self._liquidates:
            for column in present:
                account.holdings[column].mark = self._symbols[column].open[0]
        if self._waiting:
            self._fill_at_open()
        self._charge(self._funding[1])
        if self._liquidates and account.liquidation_share(self._way) <= 1.0:
            self._stop_or_liquidate()
        for column in present:
            if account.is_open(column):
                self._watch(column, self._symbols[column].open[0])
        if self._waiting:
            self._fill_resting()
        if self._liquidates:
            self._liquidate(account.liquidation_share(self._way))
        self._mark()
        self._get_value()

    def close(self, targets: list[float] | None, scale: list[float] | None) -> None:
        """The bar has closed: loss limits, then the strategy's decision, None where it has none."""
        judge = self.account.guard
        if judge is None and targets is None:
            return
        equity = self.account.equity()
        halts = guard.NO_RULE if judge is None else judge.close(equity)
        if halts != guard.NO_RULE:
            self._flatten(halts)
        elif targets is not None:
            self._decide(equity, targets, scale)

    # What a position costs to hold.

    def _lend(self) -> None:
        rate = self._lending[self.account.row] if self._lending else 0.0
        if rate == 0.0:
            return
        for column, position in enumerate(self.account.holdings):
            if position.held < 0.0:
                self._pay(self.account.records.borrow, column, -position.held * position.last_close * rate)

    def _charge(self, table: list[list[float]]) -> None:
        if not table:
            return
        rates = table[self.account.row]
        for column, (position, rate) in enumerate(zip(self.account.holdings, rates, strict=True)):
            if position.held != 0.0 and rate != 0.0:
                price = self._symbols[column].open[0] if column in self._present else position.last_close
                self._pay(self.account.records.funding, column, position.held * price * rate)

    def _pay(self, paid: np.ndarray, column: int, charge: float) -> None:
        self.account.money -= charge
        self.cash -= charge
        paid[self.account.row, column] += charge

    # Orders.

    def _send(self, column: int, amount: float, kind: Any, price: float | None = None) -> Any:
        send = self.buy if amount > 0.0 else self.sell
        order = send(self._owner, self._symbols[column], size=abs(amount), price=price, exectype=kind)
        if price is not None:
            # backtrader takes a price of 0, such as a stop below the first tick, for none and puts the close there.
            order.created.price = price
        return order

    def _wait(self, column: int, waiting: Waiting) -> None:
        """Send an order that may fill from the next bar on."""
        kind = bt.Order.Market if waiting.price is None else bt.Order.Limit
        waiting.order = self._send(column, waiting.amount, kind, waiting.price)
        self._waiting[column] = waiting

    def _drop(self, column: int) -> None:
        waiting = self._waiting.pop(column, None)
        if waiting is not None:
            self.cancel(waiting.order)

    def _fill_at_open(self) -> None:
        """Orders at the market, those that free cash first; an earlier fill may free what a later one needs."""
        self._refuse_crossing()
        for column in self._present:
            # What would enlarge a position that leaves at this open is dropped: else a gap through a stop is averaged.
            waiting, held = self._waiting.get(column), self.account.holdings[column].held
            enlarges = waiting is not None and not waiting.rests and waiting.amount * held > 0.0
            if enlarges and self.account.is_open(column):
                self._watch(column, self._symbols[column].open[0], which="at open")
        for column in self._by_phase([column for column in self._present if column in self._waiting], rest=False):
            waiting = self._waiting[column]
            price = self.account.slipped(column, self._symbols[column].open[0], waiting.amount)
            self._attempt(column, price, self.account.rates[column][1], within=False)

    def _refuse_crossing(self) -> None:
        """A limit order through whose price the market opens as it arrives would take: post-only, it is refused."""
        for column in self._present:
            waiting = self._waiting.get(column)
            if waiting is None or waiting.left != self.account.setup.style.alive or waiting.left == 0:
                continue
            first, price = self._symbols[column].open[0], waiting.order.created.price
            if (first < price) if waiting.amount > 0.0 else (first > price):
                self._end_limit(column, waiting, reasons.REFUSED_LIMIT)

    def _fill_resting(self) -> None:
        """Limit orders that the bar trades through, then the stops of what they open."""
        for column in self._by_phase([column for column in self._present if column in self._waiting], rest=True):
            waiting, data = self._waiting[column], self._symbols[column]
            price = waiting.order.created.price
            if data.low[0] < price if waiting.amount > 0.0 else data.high[0] > price:
                self.account.holdings[column].mark = price
                self._attempt(column, price, self.account.rates[column][0], within=True)
                if self.account.is_open(column):
                    # A bar that opens beyond the price goes on from its open.
                    first = data.open[0]
                    self._watch(column, min(price, first) if waiting.amount > 0.0 else max(price, first), which="stop")

    def _by_phase(self, columns: list[int], *, rest: bool) -> list[int]:
        """Those whose order rests, or does not, those that free cash first (rule 4)."""
        chosen = [column for column in columns if self._waiting[column].rests == rest]
        phases = {
            column: rules.execution_phase(self._waiting[column].amount, self.account.holdings[column].held)
            for column in chosen
        }
        return sorted(chosen, key=lambda column: (phases[column], column))

    def _attempt(self, column: int, price: float, rate: float, *, within: bool) -> None:
        """A pending order meets its price: what the guard and cash leave of it fills."""
        waiting = self._waiting.pop(column)
        amount, cut = self.account.judge(column, waiting, price, rate)
        if amount == 0.0:
            self.cancel(waiting.order)
            return
        self._intent = Intent(column, amount, rate, waiting.reason, cut, waiting.decided, waiting.scale, within)
        self._execute(waiting.order, ago=0, price=price)

    # Barriers.

    def _set_barriers(self, column: int) -> None:
        """Stop and Limit orders at the levels of a position."""
        position = self.account.holdings[column]
        stop, profit = self.account.levels(column)
        position.stop = self._stand(column, position.stop, -position.held, bt.Order.Stop, stop)
        position.profit = self._stand(column, position.profit, -position.held, bt.Order.Limit, profit)

    def _stand(self, column: int, order: Any, amount: float, kind: Any, price: float) -> Any:
        """An order at this price; the one there is moved, as backtrader moves its own trailing stops."""
        if order is not None and order.isbuy() == (amount > 0.0) and price == price:
            order.created.price = price
            return order
        if order is not None:
            self.cancel(order)
        return self._send(column, amount, kind, price) if price == price else None

    def _clear_barriers(self, position: Position) -> None:
        for order in (position.stop, position.profit):
            if order is not None and order.alive():
                self.cancel(order)
        position.stop = position.profit = None

    def _watch(self, column: int, start: float, which: Literal["all", "at open", "stop"] = "all") -> None:
        """Leave a position where this bar, from price `start` on, has reached a barrier (rule 5)."""
        position, data = self.account.holdings[column], self._symbols[column]
        stop, profit, limit = position.stop, position.profit, self._time_limit
        taker, maker = self.account.rates[column][1], self.account.rates[column][0]
        side = 1.0 if position.held > 0.0 else -1.0
        high, low = (start, start) if which == "at open" else (data.high[0], data.low[0])
        if limit > 0 and self.account.times[self.account.row] - position.opened >= limit and which != "stop":
            self._close_out(column, start, reasons.TIME_LIMIT)
        elif profit is not None and side * (start - profit.created.price) >= 0.0 and which != "stop":
            # A bar that opens at its profit leaves there before it can reach its stop.
            if position.changed == self.account.row:  # the market is beyond it as it is set: it does not rest
                self._close_out(column, start, reasons.TAKE_PROFIT)
            else:
                self._intend(column, reasons.TAKE_PROFIT, maker)
                self._try_exec_limit(profit, start, high, low, profit.created.price)
        else:
            if stop is not None:
                self._intend(column, reasons.TRAILING_STOP if position.trailing else reasons.STOP_LOSS, taker)
                self._try_exec_stop(stop, start, high, low, stop.created.price, data.close[0])
            if profit is not None and profit.alive() and which != "stop":
                self._intend(column, reasons.TAKE_PROFIT, maker)
                self._try_exec_limit(profit, start, high, low, profit.created.price)
        if not self.account.is_open(column) and column in self._waiting:
            self._drop(column)

    def _close_out(self, column: int, reference: float, reason: int) -> None:
        """Close a position at the market, at `reference` less slippage."""
        amount = self.account.closing(column)
        order = self._send(column, amount, bt.Order.Market)
        self._intend(column, reason, self.account.rates[column][1])
        self._execute(order, ago=0, price=self.account.slipped(column, reference, amount))

    def _intend(self, column: int, reason: int, rate: float) -> None:
        """What backtrader is to execute if it finds that the order's price is met."""
        amount, decided = self.account.closing(column), self.account.holdings[column].decided
        self._intent = Intent(column, amount, rate, reason, guard.NO_RULE, decided, 1.0, within=False)

    def _slip_up(self, pmax: float, price: float, doslip: bool = True, lim: bool = False) -> float:
        return self._slip(price, lim)

    def _slip_down(self, pmin: float, price: float, doslip: bool = True, lim: bool = False) -> float:
        return self._slip(price, lim)

    def _slip(self, price: float, rests: bool) -> float:
        """Slippage by our rule, for backtrader's triggers; an order that rested has none."""
        if self._intent is None:
            raise AssertionError("backtrader executes what nobody intended")
        return price if rests else self.account.slipped(self._intent.column, price, self._intent.amount)

    def _way(self, column: int) -> tuple[float, float]:
        """Where a position's price begins in this bar, and its adverse extreme; the last close without a bar."""
        position, data = self.account.holdings[column], self._symbols[column]
        if column not in self._present:
            return position.last_close, position.last_close
        return data.open[0], data.low[0] if position.held > 0.0 else data.high[0]

    def _stop_or_liquidate(self) -> None:
        """What comes first on the way to the bar's adverse extremes: stops, or liquidation."""
        for column in self._present:
            if self.account.is_open(column):
                self._watch(column, self._symbols[column].open[0], which="at open")
        while True:
            stops = []
            for column in self._present:
                position = self.account.holdings[column]
                if position.stop is not None:
                    first, worst = self._way(column)
                    level = position.stop.created.price
                    if (worst <= level) if position.held > 0.0 else (worst >= level):
                        stops.append((rules.path_share(first, worst, level), column))
            share = self.account.liquidation_share(self._way)
            if share <= 1.0 and share <= min(stops, default=(2.0, 0))[0]:
                self._liquidate(share)
                return
            if not stops:
                return
            column = min(stops)[1]
            self._watch(column, self._symbols[column].open[0], which="stop")

    def _liquidate(self, share: float) -> None:
        """Close everything where the bar's prices are after that share of their way, and drop what waits.

        A symbol without a bar is closed at the open of its next one.
        """
        if share > 1.0:
            return
        for column in range(len(self.account.holdings)):
            self._drop(column)
            if not self.account.is_open(column):
                continue
            if column in self._present:
                first, worst = self._way(column)
                self._close_out(column, first + share * (worst - first), reasons.LIQUIDATION)
            else:
                self._close_next(column, reasons.LIQUIDATION)

    # Books.

    def _execute(
        self,
        order: Any,
        ago: int | None = None,
        price: float | None = None,
        cash: float | None = None,
        position: Any = None,
        dtcoc: Any = None,
    ) -> None:
        """Book a fill: in backtrader's books, then in those that decisions rest on.

        backtrader refuses an opening that takes its cash below zero, by a rounding error too; what an order may cost
        was decided before, so it is lent what it lacks for the moment of the booking. A fee taken in the coins bought
        is booked as fewer coins at a higher price.
        """
        if self._intent is None or price is None:
            raise AssertionError("backtrader executes what nobody intended")
        intent, self._intent = self._intent, None
        amount, rate = intent.amount, intent.rate
        paid = rules.fee_paid(amount, price, rate)
        bought = self.account.bought and amount > 0.0
        got = rules.received(amount, rate, self.account.bought)
        self._fees.rate, self._allowed = 0.0 if bought else rate, abs(got)
        booked_price = price / (1.0 - rate) if bought else price
        notional = got * booked_price
        commission = 0.0 if bought else paid
        lent = max(notional + commission - self.cash + rules.STEP_NOISE * (abs(notional) + abs(self.cash)), 0.0)
        self.cash += lent
        self.pending.remove(order)
        super()._execute(order, ago=ago, price=booked_price)
        self.cash -= lent
        if abs(order.executed.size - got) > rules.STEP_NOISE * abs(got):
            raise AssertionError(f"backtrader executed {order.executed.size} of {got} at bar {self.account.row}")
        if order.alive():
            order.cancel()
        column = intent.column
        grows = self.account.book(intent, price, paid, got)
        if not self.account.is_open(column):
            self._clear_barriers(self.account.holdings[column])
        elif grows:
            self._set_barriers(column)

    # The close.

    def _mark(self) -> None:
        """Marks, the trailing stops' best prices, and limit orders whose time is up."""
        for column in self._present:
            data, position = self._symbols[column], self.account.holdings[column]
            close = data.close[0]
            self.account.mark(column, close, data.volume[0])
            if self._follows and position.held != 0.0:
                high, low = (close, close) if position.within else (data.high[0], data.low[0])
                if self.account.follow(column, high, low):
                    self._trail(column)
            position.within = False
            waiting = self._waiting.get(column)
            if waiting is not None and waiting.rests:
                waiting.left -= 1
                if waiting.left == 0:
                    self._end_limit(column, waiting, reasons.EXPIRED_LIMIT)

    def _trail(self, column: int) -> None:
        """A position's best price has moved, and maybe its trailing stop with it."""
        self._set_barriers(column)

    def _end_limit(self, column: int, waiting: Waiting, reason: int) -> None:
        """A limit order leaves the book: for good, or for the market."""
        self._drop(column)
        if self.account.setup.style.then_market:
            waiting.reason, waiting.price, waiting.left = reason, None, 0
            self._wait(column, waiting)

    def _close_next(self, column: int, reason: int) -> None:
        """A market order that closes a position at the open of its next bar, whatever the strategy says."""
        account, position = self.account, self.account.holdings[column]
        amount = account.closing(column)
        self._drop(column)
        self._wait(column, Waiting(amount, account.row, position.seen, position.mark, 0.0, 1.0, reason))

    def _flatten(self, rule: int) -> None:
        """A loss limit is broken: nothing pending stays, everything held goes at the next open."""
        account = self.account
        account.records.event(account.row, -1, -1, guard.HALT, rule, np.nan, np.nan)
        reason = reasons.HALT_DAILY_LOSS if rule == guard.DAILY_LOSS else reasons.HALT_DRAWDOWN
        for column in range(len(account.holdings)):
            self._drop(column)
            if account.is_open(column):
                self._close_next(column, reason)

    def _decide(self, equity: float, targets: list[float], scale: list[float] | None) -> None:
        """Turn the targets of a bar into the orders that wait for the next one (rules 1 and 2)."""
        account = self.account
        for column, (weight, position) in enumerate(zip(targets, account.holdings, strict=True)):
            if weight != weight or position.mark != position.mark:
                continue
            waiting = self._waiting.get(column)
            if waiting is not None and waiting.reason >= reasons.STOP_LOSS:
                continue
            self._drop(column)
            wanted = account.wanted(column, weight, equity, 1.0 if scale is None else scale[column])
            if wanted is not None:
                self._wait(column, wanted)
