# SPDX-License-Identifier: GPL-3.0-or-later
"""backtrader's broker, made to obey the execution rules.

backtrader has the order life cycle, the triggers of stops and take profits, and the books (cash, positions, value).
What an order may be, when it goes and what it costs is decided by `engine.rules`, `engine.barriers` and
`engine.guard`, the functions that the vectorized engine compiles. Barriers are backtrader's own Stop and Limit orders,
asked in the sequence of rule 5 and from the bar of the entry on, where backtrader's brackets begin a bar later.

This file subclasses backtrader and so is licensed as backtrader is; see docs/licences.md.
"""

from __future__ import annotations

from typing import Any, Literal

import backtrader as bt
import numpy as np

from engine import barriers, guard, reasons, rules
from engine.guard import Account, Order, RiskGuard
from engine.paper_books import Intent, Position, Records, Waiting
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
        self.row = -1
        self.money = run.cash
        self.holdings = [Position() for _ in run.venues]
        self.records = Records(run.targets.shape)
        self._setup = run.setup
        self._terms = [{name: venue[name].item() for name in venue.dtype.names} for venue in terms.venues]
        self._rates = [(venue["maker"], venue["taker"]) for venue in self._terms]
        self._bought = bool(terms.fee_in_bought)
        self._waiting: dict[int, Waiting] = {}
        self._traded: dict[int, float] = {}
        self._guard = None if run.risk is None else RiskGuard(run.risk, run.cash)
        self._times, self._days = bars.times.tolist(), bars.days.tolist()
        self._has_bar = (~np.isnan(bars.close)).tolist()
        self._lending = terms.borrow.tolist()
        self._funding = terms.funding_before.tolist(), terms.funding_within.tolist()
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
        self.row += 1
        row = self.row
        present = [column for column, there in enumerate(self._has_bar[row]) if there]
        if row == 0 or self._days[row] != self._days[row - 1]:
            self._begin_day()
        self._lend()
        self._charge(self._funding[0], present)
        if self._waiting or self._setup.terms.liquidates:
            for column in present:
                self.holdings[column].mark = self._symbols[column].open[0]
        if self._waiting:
            self._fill_at_open(present)
        self._charge(self._funding[1], present)
        liquidates = self._setup.terms.liquidates
        if liquidates and self._liquidation_share(present) <= 1.0:
            self._stop_or_liquidate(present)
        for column in present:
            if self._is_open(column):
                self._watch(column, self._symbols[column].open[0])
        if self._waiting:
            self._fill_resting(present)
        if liquidates:
            self._liquidate(present, self._liquidation_share(present))
        self._mark(present)
        self._get_value()

    def close(self, targets: list[float] | None, scale: list[float] | None) -> None:
        """The bar has closed: loss limits, then the strategy's decision, None where it has none."""
        if self._guard is None and targets is None:
            return
        equity = self._equity()
        halts = guard.NO_RULE if self._guard is None else self._guard.close(equity)
        if halts != guard.NO_RULE:
            self._flatten(halts)
        elif targets is not None:
            self._decide(equity, targets, scale)

    # The account.

    def _equity(self) -> float:
        equity = self.money
        for position in self.holdings:
            if position.held != 0.0:
                equity += position.held * position.mark
        return equity

    def _is_open(self, column: int) -> bool:
        return rules.is_open(self.holdings[column].held, self._terms[column]["step"] if self._bought else 0.0)

    def _closing(self, column: int) -> float:
        held = self.holdings[column].held
        return -rules.round_to_step(held, self._terms[column]["step"], rules.SUM_NOISE)

    def _rounded_price(self, column: int, price: float, direction: int) -> float:
        digits = self._terms[column]["price_digits"]
        tick = rules.significant_step(price, digits) if digits else self._terms[column]["tick"]
        return rules.round_price(price, tick, direction)

    def _slipped(self, column: int, reference: float, amount: float) -> float:
        terms, volume = self._setup.terms, self.holdings[column].last_volume
        slip = rules.slippage_of(amount, volume, terms.slip_base, terms.slip_coefficient, terms.slip_most)
        return rules.fill_price(reference, amount, slip)

    # A day begins; what a position costs to hold.

    def _begin_day(self) -> None:
        today = self._days[self.row]
        if self._guard is not None and self._guard.begin(self._times[self.row]):
            self.records.event(self.row, -1, -1, guard.RESUME, guard.DAILY_LOSS, np.nan, np.nan)
        tiers = self._setup.terms.tiers.tolist()
        if not tiers:
            return
        volume = 0.0
        for day in range(today - 30, today):
            volume += self._traded.get(day, 0.0)
        reached = [(maker, taker) for least, maker, taker in tiers if volume >= least]
        for column, terms in enumerate(self._terms):
            self._rates[column] = reached[-1] if reached else (terms["maker"], terms["taker"])

    def _lend(self) -> None:
        rate = self._lending[self.row] if self._lending else 0.0
        for column, position in enumerate(self.holdings):
            if position.held < 0.0 and rate != 0.0:
                self._pay(self.records.borrow, column, -position.held * position.last_close * rate)

    def _charge(self, table: list[list[float]], present: list[int]) -> None:
        rates = table[self.row] if table else []
        for column, (position, rate) in enumerate(zip(self.holdings, rates, strict=bool(rates))):
            if position.held != 0.0 and rate != 0.0:
                price = self._symbols[column].open[0] if column in present else position.last_close
                self._pay(self.records.funding, column, position.held * price * rate)

    def _pay(self, paid: np.ndarray, column: int, charge: float) -> None:
        self.money -= charge
        self.cash -= charge
        paid[self.row, column] += charge

    # Orders.

    def _send(self, column: int, amount: float, kind: Any, price: float | None = None) -> Any:
        send = self.buy if amount > 0.0 else self.sell
        order = send(self._owner, self._symbols[column], size=abs(amount), price=price, exectype=kind)
        if price is not None:
            # backtrader takes a price of 0, such as a stop below the first tick, for none and puts the close there.
            order.created.price = price
        return order

    def _drop(self, column: int) -> None:
        waiting = self._waiting.pop(column, None)
        if waiting is not None:
            self.cancel(waiting.order)

    def _fill_at_open(self, present: list[int]) -> None:
        """Orders at the market, those that free cash first; an earlier fill may free what a later one needs."""
        for column in self._by_phase([column for column in present if column in self._waiting], rest=False):
            waiting = self._waiting[column]
            price = self._slipped(column, self._symbols[column].open[0], waiting.amount)
            self._attempt(column, price, self._rates[column][1], within=False)

    def _fill_resting(self, present: list[int]) -> None:
        """Limit orders that the bar trades through, then the stops of what they open."""
        for column in self._by_phase([column for column in present if column in self._waiting], rest=True):
            waiting, data = self._waiting[column], self._symbols[column]
            price = waiting.order.created.price
            if data.low[0] < price if waiting.amount > 0.0 else data.high[0] > price:
                self.holdings[column].mark = price
                self._attempt(column, price, self._rates[column][0], within=True)
                if self._is_open(column):
                    self._watch(column, price, which="stop")

    def _by_phase(self, columns: list[int], *, rest: bool) -> list[int]:
        """Those whose order rests, or does not, those that free cash first (rule 4)."""
        chosen = [column for column in columns if self._waiting[column].rests == rest]
        phases = {
            column: rules.execution_phase(self._waiting[column].amount, self.holdings[column].held) for column in chosen
        }
        return sorted(chosen, key=lambda column: (phases[column], column))

    def _attempt(self, column: int, price: float, rate: float, *, within: bool) -> None:
        """A pending order meets its price: the guard, then cash, may cut it; what is left fills."""
        waiting, position = self._waiting.pop(column), self.holdings[column]
        leverage = self._terms[column]["leverage"]
        amount, cut = waiting.amount, waiting.cut
        if self._guard is not None and waiting.reason < reasons.STOP_LOSS:
            verdict = self._ask_guard(self._guard, column, waiting, price, rate)
            if verdict.rule == guard.NO_RULE:
                self._record(column, waiting, guard.ALLOWED, guard.NO_RULE, amount, amount)
            else:
                amount, cut = self._cut(column, waiting, amount, verdict.amount, verdict.rule), verdict.rule
        if amount != 0.0:
            free = self.money
            for other, terms in zip(self.holdings, self._terms, strict=True):
                if other.held != 0.0:
                    free -= rules.margin_held(other.held, other.mark, terms["leverage"])
            fee = 0.0 if self._bought and amount > 0.0 else rate
            payable = rules.payable_amount(amount, position.held, position.mark, price, fee, leverage, free)
            if payable != amount:
                amount, cut = self._cut(column, waiting, amount, payable, guard.CASH), guard.CASH
        if amount == 0.0:
            self.cancel(waiting.order)
            return
        self._intent = Intent(column, amount, rate, waiting.reason, cut, waiting.decided, waiting.scale, within)
        self._execute(waiting.order, ago=0, price=price)

    def _ask_guard(self, judge: RiskGuard, column: int, waiting: Waiting, price: float, rate: float) -> guard.Verdict:
        position = self.holdings[column]
        worths = [other.held * other.mark for other in self.holdings if other.held != 0.0]
        decided_close = self._times[waiting.decided] + self._setup.bars.length
        gross = net = 0.0
        for worth in worths:
            gross += abs(worth)
            net += worth
        return judge.check(
            Order(waiting.amount, price, rate, position.last_close, decided_close),
            Account(position.held, position.mark, self._equity(), gross, net),
            self._times[self.row],
        )

    def _cut(self, column: int, waiting: Waiting, wanted: float, allowed: float, rule: int) -> float:
        """What a limit or cash leaves of an order, in whole steps; 0 where that is too little to send."""
        left = rules.round_to_step(allowed, self._terms[column]["step"], rules.SUM_NOISE)
        least = self._terms[column]["min_amount"]
        if not rules.is_sendable(left, self._closing(column), waiting.close, waiting.smallest, least):
            left = 0.0
        self._record(column, waiting, guard.CUT if left else guard.BLOCKED, rule, wanted, left)
        return left

    def _record(self, column: int, waiting: Waiting, verdict: int, rule: int, wanted: float, allowed: float) -> None:
        self.records.event(self.row, waiting.decided, column, verdict, rule, wanted, allowed)

    # Barriers.

    def _set_barriers(self, column: int) -> None:
        """Levels of a position, and the Stop and Limit orders that stand there."""
        exits, position = self._setup.barriers, self.holdings[column]
        side = 1.0 if position.held > 0.0 else -1.0
        average, scale = position.average, position.scale
        # Rounded away from the entry: a coarse tick must not put a stop at the market.
        against = -1 if side > 0.0 else 1
        stop = barriers.barrier_price(average, side, -exits.stop, scale)
        stop = self._rounded_price(column, stop, against)
        trailing = barriers.trailing_price(average, side, position.best, exits.activation, exits.delta, scale)
        trailing = self._rounded_price(column, trailing, against)
        position.trailing = barriers.is_tighter(trailing, stop, side)
        profit = barriers.barrier_price(average, side, exits.profit, scale)
        profit = self._rounded_price(column, profit, -against)
        amount = -position.held
        position.stop = self._stand(
            column, position.stop, amount, bt.Order.Stop, trailing if position.trailing else stop
        )
        position.profit = self._stand(column, position.profit, amount, bt.Order.Limit, profit)

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
        position, data = self.holdings[column], self._symbols[column]
        stop, profit, limit = position.stop, position.profit, self._setup.barriers.time_limit
        taker, maker = self._rates[column][1], self._rates[column][0]
        side = 1.0 if position.held > 0.0 else -1.0
        high, low = (start, start) if which == "at open" else (data.high[0], data.low[0])
        if limit > 0 and self._times[self.row] - position.opened >= limit and which != "stop":
            self._close_out(column, start, reasons.TIME_LIMIT)
        elif profit is not None and side * (start - profit.created.price) >= 0.0 and which != "stop":
            # A bar that opens at its profit leaves there before it can reach its stop.
            self._intend(column, reasons.TAKE_PROFIT, maker)
            self._try_exec_limit(profit, start, high, low, profit.created.price)
        else:
            if stop is not None:
                self._intend(column, reasons.TRAILING_STOP if position.trailing else reasons.STOP_LOSS, taker)
                self._try_exec_stop(stop, start, high, low, stop.created.price, data.close[0])
            if profit is not None and profit.alive() and which != "stop":
                self._intend(column, reasons.TAKE_PROFIT, maker)
                self._try_exec_limit(profit, start, high, low, profit.created.price)
        if not self._is_open(column) and column in self._waiting:
            self._drop(column)

    def _close_out(self, column: int, reference: float, reason: int) -> None:
        """Close a position at the market, at `reference` less slippage."""
        amount = self._closing(column)
        order = self._send(column, amount, bt.Order.Market)
        self._intend(column, reason, self._rates[column][1])
        self._execute(order, ago=0, price=self._slipped(column, reference, amount))

    def _intend(self, column: int, reason: int, rate: float) -> None:
        """What backtrader is to execute if it finds that the order's price is met."""
        decided = self.holdings[column].decided
        self._intent = Intent(column, self._closing(column), rate, reason, guard.NO_RULE, decided, 1.0, within=False)

    def _slip_up(self, pmax: float, price: float, doslip: bool = True, lim: bool = False) -> float:
        return self._slip(price, lim)

    def _slip_down(self, pmin: float, price: float, doslip: bool = True, lim: bool = False) -> float:
        return self._slip(price, lim)

    def _slip(self, price: float, rests: bool) -> float:
        """Slippage by our rule, for backtrader's triggers; an order that rested has none."""
        if self._intent is None:
            raise AssertionError("backtrader executes what nobody intended")
        return price if rests else self._slipped(self._intent.column, price, self._intent.amount)

    def _way(self, column: int, present: list[int]) -> tuple[float, float]:
        """Where a position's price begins in this bar, and its adverse extreme; the last close without a bar."""
        position, data = self.holdings[column], self._symbols[column]
        if column not in present:
            return position.last_close, position.last_close
        return data.open[0], data.low[0] if position.held > 0.0 else data.high[0]

    def _liquidation_share(self, present: list[int]) -> float:
        """How far the bar's prices move until the account is liquidated; 2 where it is not."""
        at_open = at_worst = self.money
        holds = False
        for column, position in enumerate(self.holdings):
            held = position.held
            if held != 0.0:
                holds = True
                first, worst = self._way(column, present)
                margin = self._terms[column]["maintenance"]
                at_open += held * first - abs(held) * first * margin
                at_worst += held * worst - abs(held) * worst * margin
        return rules.liquidation_share(at_open, at_worst) if holds else 2.0

    def _stop_or_liquidate(self, present: list[int]) -> None:
        """What comes first on the way to the bar's adverse extremes: stops, or liquidation."""
        for column in present:
            if self._is_open(column):
                self._watch(column, self._symbols[column].open[0], which="at open")
        while True:
            stops = []
            for column in present:
                position = self.holdings[column]
                if position.stop is not None:
                    first, worst = self._way(column, present)
                    level = position.stop.created.price
                    if (worst <= level) if position.held > 0.0 else (worst >= level):
                        stops.append((rules.path_share(first, worst, level), column))
            share = self._liquidation_share(present)
            if share <= 1.0 and share <= min(stops, default=(2.0, 0))[0]:
                self._liquidate(present, share)
                return
            if not stops:
                return
            column = min(stops)[1]
            self._watch(column, self._symbols[column].open[0], which="stop")

    def _liquidate(self, present: list[int], share: float) -> None:
        """Close everything where the bar's prices are after that share of their way, and drop what waits."""
        if share > 1.0:
            return
        for column in range(len(self.holdings)):
            if self._is_open(column):
                first, worst = self._way(column, present)
                self._close_out(column, first + share * (worst - first), reasons.LIQUIDATION)
        for column in list(self._waiting):
            self._drop(column)

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
        bought = self._bought and amount > 0.0
        got = rules.received(amount, rate, self._bought)
        self._fees.rate, self._allowed = 0.0 if bought else rate, abs(got)
        booked_price = price / (1.0 - rate) if bought else price
        notional = got * booked_price
        commission = 0.0 if bought else paid
        lent = max(notional + commission - self.cash + rules.STEP_NOISE * abs(notional), 0.0)
        self.cash += lent
        self.pending.remove(order)
        super()._execute(order, ago=ago, price=booked_price)
        self.cash -= lent
        if abs(order.executed.size - got) > rules.STEP_NOISE * abs(got):
            raise AssertionError(f"backtrader executed {order.executed.size} of {got} at bar {self.row}")
        if order.alive():
            order.cancel()
        self._account(intent, price, paid, got)

    def _account(self, intent: Intent, price: float, paid: float, got: float) -> None:
        column, amount = intent.column, intent.amount
        position = self.holdings[column]
        was_open, before = self._is_open(column), position.held
        cash_fee = 0.0 if self._bought and amount > 0.0 else paid
        self.money = rules.cash_after(self.money, amount, price, cash_fee)
        step = 0.0 if self._bought else self._terms[column]["step"]
        position.held = rules.held_after(before, got, step)
        enlarges = was_open and before * amount > 0.0
        if not self._is_open(column):
            self._clear_barriers(position)
        elif not was_open or before * position.held < 0.0:
            position.average, position.best = price, position.mark
            position.opened, position.within = self._times[self.row], intent.within
        elif enlarges:
            position.average = barriers.average_entry(before, position.average, got, price)
            position.best = position.mark
            position.within = position.within or intent.within
        if self._is_open(column) and (enlarges or not was_open or before * position.held < 0.0):
            position.decided, position.scale = intent.decided, intent.scale
            self._set_barriers(column)
        if self._guard is not None:
            self._guard.sent(self._times[self.row])
        if len(self._setup.terms.tiers):
            today = self._days[self.row]
            self._traded[today] = self._traded.get(today, 0.0) + abs(amount) * price
        reason = reasons.reason_text(intent.reason, intent.cut)
        self.records.fill(self.row, intent.decided, column, amount, price, paid, reason, position.held)

    # The close.

    def _mark(self, present: list[int]) -> None:
        """Marks, the trailing stops' best prices, and limit orders whose time is up."""
        follows = self._setup.barriers.delta == self._setup.barriers.delta
        for column in present:
            data, position = self._symbols[column], self.holdings[column]
            close = data.close[0]
            position.mark = position.last_close = close
            position.last_volume = data.volume[0]
            if follows and position.held != 0.0:
                side = 1.0 if position.held > 0.0 else -1.0
                high, low = (close, close) if position.within else (data.high[0], data.low[0])
                best = barriers.best_price(position.best, side, high, low)
                if best != position.best:
                    position.best = best
                    if self._is_open(column):
                        self._set_barriers(column)
            position.within = False
            waiting = self._waiting.get(column)
            if waiting is not None and waiting.rests:
                waiting.left -= 1
                if waiting.left == 0:
                    self._expire(column, waiting)

    def _expire(self, column: int, waiting: Waiting) -> None:
        self._drop(column)
        if self._setup.style.then_market:
            waiting.order = self._send(column, waiting.amount, bt.Order.Market)
            waiting.reason = reasons.EXPIRED_LIMIT
            self._waiting[column] = waiting

    def _flatten(self, rule: int) -> None:
        """A loss limit is broken: nothing pending stays, everything held goes at the next open."""
        self.records.event(self.row, -1, -1, guard.HALT, rule, np.nan, np.nan)
        reason = reasons.HALT_DAILY_LOSS if rule == guard.DAILY_LOSS else reasons.HALT_DRAWDOWN
        for column, position in enumerate(self.holdings):
            self._drop(column)
            if self._is_open(column):
                amount = self._closing(column)
                order = self._send(column, amount, bt.Order.Market)
                self._waiting[column] = Waiting(order, amount, self.row, position.mark, 0.0, 1.0, reason)

    def _decide(self, equity: float, targets: list[float], scale: list[float] | None) -> None:
        """Turn the targets of a bar into the orders that wait for the next one (rules 1 and 2)."""
        halted = self._guard is not None and self._guard.halted != guard.NO_RULE
        for column, (weight, position) in enumerate(zip(targets, self.holdings, strict=True)):
            mark, terms = position.mark, self._terms[column]
            if weight != weight or mark != mark:
                continue
            waiting = self._waiting.get(column)
            if halted and waiting is not None and waiting.reason >= reasons.STOP_LOSS:
                continue
            self._drop(column)
            closing = self._closing(column)
            amount = rules.unrounded_order(weight, equity, position.held, mark)
            if amount == -position.held:
                amount = closing
            else:
                amount = rules.round_to_step(amount, terms["step"], rules.STEP_NOISE)
            cut = guard.NO_RULE
            largest = min(terms["max_amount"], terms["max_notional"] / mark)
            if abs(amount) > largest:
                amount = rules.round_to_step(largest if amount > 0.0 else -largest, terms["step"], rules.STEP_NOISE)
                cut = guard.VENUE_AMOUNT
            smallest = rules.smallest_order(terms["min_notional"], equity)
            if rules.is_sendable(amount, closing, mark, smallest, terms["min_amount"]):
                style = self._setup.style
                kind, price = bt.Order.Market, None
                reason = reasons.LIMIT_TARGET if style.rests else reasons.TARGET
                if style.rests:
                    kind = bt.Order.Limit
                    price = mark * (1.0 - style.offset) if amount > 0.0 else mark * (1.0 + style.offset)
                    price = self._rounded_price(column, price, -1 if amount > 0.0 else 1)
                    if not price > 0.0:
                        continue
                order = self._send(column, amount, kind, price)
                multiple = 1.0 if scale is None else scale[column]
                self._waiting[column] = Waiting(
                    order, amount, self.row, mark, smallest, multiple, reason, style.alive, cut
                )
