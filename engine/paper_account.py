"""The paper broker's account, on plain numbers: money, holdings, what an order may be, what a fill changes.

`engine.paper_broker` has backtrader's side of it: feeds, the orders' life cycle, and the prices at which they go off.
It tells this account of them and asks it what follows by `engine.rules`, `engine.barriers` and `engine.guard`, the
functions that the vectorized engine compiles.
"""

from __future__ import annotations

from collections.abc import Callable, MutableSequence

import numpy as np

from engine import barriers, guard, reasons, rules
from engine.guard import Account, Order, RiskGuard
from engine.paper_books import Intent, Position, Records, Waiting
from engine.run import Run


class PaperAccount:
    """What decisions rest on, and the tables that a run leaves.

    `row` is the bar, -1 before the first; `terms`, `rates` (maker, taker) and `holdings` are by column; `late` is how
    long after the bar's open its orders go, ns: 0 but in a live session.
    """

    def __init__(self, run: Run) -> None:
        bars, terms = run.setup.bars, run.setup.terms
        self.row = -1
        self.money = run.cash
        self.holdings = [Position() for _ in run.venues]
        self.records = Records(run.targets.shape)
        self.setup = run.setup
        self.terms = [{name: venue[name].item() for name in venue.dtype.names} for venue in terms.venues]
        self.rates = [(venue["maker"], venue["taker"]) for venue in self.terms]
        self.guard = None if run.risk is None else RiskGuard(run.risk, run.cash)
        self.bought = bool(terms.fee_in_bought)
        self.times: MutableSequence[int] = bars.times.tolist()
        self.days: MutableSequence[int] = bars.days.tolist()
        self.traded: dict[int, float] = {}
        self.late = 0

    # What is held, and what a price is.

    def equity(self) -> float:
        """Money and what is held, at marks."""
        equity = self.money
        for position in self.holdings:
            if position.held != 0.0:
                equity += position.held * position.mark
        return equity

    def is_open(self, column: int) -> bool:
        """Whether what is held of a symbol is a position, and not the rest that a fee taken in coins leaves."""
        return rules.is_open(self.holdings[column].held, self.terms[column]["step"] if self.bought else 0.0)

    def closing(self, column: int) -> float:
        """The order that closes a position, in whole steps."""
        held = self.holdings[column].held
        return -rules.round_to_step(held, self.terms[column]["step"], rules.SUM_NOISE)

    def rounded_price(self, column: int, price: float, direction: int) -> float:
        """A price that the venue takes: the nearest (0), or the one below (-1) or above (1)."""
        digits = self.terms[column]["price_digits"]
        tick = rules.significant_step(price, digits) if digits else self.terms[column]["tick"]
        return rules.round_price(price, tick, direction)

    def slipped(self, column: int, reference: float, amount: float) -> float:
        """Price of an order that takes from the book at `reference`."""
        terms, volume = self.setup.terms, self.holdings[column].last_volume
        slip = rules.slippage_of(amount, volume, terms.slip_base, terms.slip_coefficient, terms.slip_most)
        return rules.fill_price(reference, amount, slip)

    def levels(self, column: int) -> tuple[float, float]:
        """Where a position's stop (loss or trailing) and its take profit stand; NaN for none."""
        exits, position = self.setup.barriers, self.holdings[column]
        side = 1.0 if position.held > 0.0 else -1.0
        average, scale = position.average, position.scale
        # Rounded away from the entry: a coarse tick must not put a stop at the market.
        against = -1 if side > 0.0 else 1
        stop = barriers.barrier_price(average, side, -exits.stop, scale)
        stop = self.rounded_price(column, stop, against)
        trailing = barriers.trailing_price(average, side, position.best, exits.activation, exits.delta, scale)
        trailing = self.rounded_price(column, trailing, against)
        position.trailing = barriers.is_tighter(trailing, stop, side)
        profit = barriers.barrier_price(average, side, exits.profit, scale)
        profit = self.rounded_price(column, profit, -against)
        return trailing if position.trailing else stop, profit

    def liquidation_share(self, way: Callable[[int], tuple[float, float]]) -> float:
        """How far the bar's prices move until the account is liquidated; 2 where it is not.

        `way` gives a symbol's first price in the bar and its adverse extreme.
        """
        at_open = at_worst = self.money
        holds = False
        for column, position in enumerate(self.holdings):
            held = position.held
            if held != 0.0:
                holds = True
                first, worst = way(column)
                margin = self.terms[column]["maintenance"]
                at_open += held * first - abs(held) * first * margin
                at_worst += held * worst - abs(held) * worst * margin
        return rules.liquidation_share(at_open, at_worst) if holds else 2.0

    # A bar begins, and closes.

    def begin_bar(self) -> None:
        """The next bar; with a new day the guard's daily halt ends, and the fee tiers are those of its volume."""
        self.row += 1
        if self.row == 0 or self.days[self.row] != self.days[self.row - 1]:
            self._begin_day()

    def _begin_day(self) -> None:
        today = self.days[self.row]
        if self.guard is not None and self.guard.begin(self.times[self.row]):
            self.records.event(self.row, -1, -1, guard.RESUME, guard.DAILY_LOSS, np.nan, np.nan)
        tiers = self.setup.terms.tiers.tolist()
        if not tiers:
            return
        volume = 0.0
        for day in range(today - 30, today):
            volume += self.traded.get(day, 0.0)
        reached = [(maker, taker) for least, maker, taker in tiers if volume >= least]
        for column, terms in enumerate(self.terms):
            self.rates[column] = reached[-1] if reached else (terms["maker"], terms["taker"])

    def mark(self, column: int, close: float, volume: float) -> None:
        """A symbol's bar has closed."""
        position = self.holdings[column]
        position.mark = position.last_close = close
        position.last_volume = volume
        position.seen = self.times[self.row]

    def follow(self, column: int, high: float, low: float) -> bool:
        """The bar's prices, for a position's best one; whether that moved, and maybe its trailing stop with it."""
        position = self.holdings[column]
        best = barriers.best_price(position.best, 1.0 if position.held > 0.0 else -1.0, high, low)
        if best == position.best:
            return False
        position.best = best
        return self.is_open(column)

    # Orders.

    def wanted(self, column: int, weight: float, equity: float, scale: float) -> Waiting | None:
        """The order that takes a symbol to its target (rules 1 and 2), not sent yet; None where none is to be."""
        position, terms, style = self.holdings[column], self.terms[column], self.setup.style
        mark, step, closing = position.mark, terms["step"], self.closing(column)
        fixed = self.setup.order_notional
        if fixed > 0.0:
            amount = rules.fixed_order(weight, fixed, equity, position.held, mark, self.is_open(column))
        else:
            amount = rules.unrounded_order(weight, equity, position.held, mark)
        amount = closing if amount == -position.held else rules.round_to_step(amount, step, rules.STEP_NOISE)
        cut = guard.NO_RULE
        # What only reduces is not cut: a desk sends it in parts.
        largest = min(terms["max_amount"], terms["max_notional"] / mark)
        largest = max(largest, guard.reducing_part(amount, position.held))
        if abs(amount) > largest * (1.0 + rules.SUM_NOISE):
            amount = rules.round_to_step(largest if amount > 0.0 else -largest, step, rules.STEP_NOISE)
            cut = guard.VENUE_AMOUNT
        smallest = rules.smallest_order(terms["min_notional"], equity)
        if not rules.is_sendable(amount, closing, mark, smallest, terms["min_amount"]):
            return None
        if not style.rests:
            return Waiting(amount, self.row, position.seen, mark, smallest, scale, reasons.TARGET, cut=cut)
        price = mark * (1.0 - style.offset) if amount > 0.0 else mark * (1.0 + style.offset)
        price = self.rounded_price(column, price, -1 if amount > 0.0 else 1)
        if not price > 0.0:
            return None
        why = reasons.LIMIT_TARGET
        return Waiting(amount, self.row, position.seen, mark, smallest, scale, why, style.alive, cut, price)

    def judge(self, column: int, waiting: Waiting, price: float, rate: float) -> tuple[float, int]:
        """What of a pending order may fill at the price that it meets, and the rule that cut it last.

        The guard may cut it, then cash; the guard is not asked about what it flattens itself.
        """
        position, leverage = self.holdings[column], self.terms[column]["leverage"]
        amount, cut = waiting.amount, waiting.cut
        if self.guard is not None and waiting.reason < reasons.STOP_LOSS:
            verdict = self._ask_guard(self.guard, column, waiting, price, rate)
            if verdict.rule == guard.NO_RULE:
                self._record(column, waiting, guard.ALLOWED, guard.NO_RULE, amount, amount)
            else:
                amount, cut = self._cut(column, waiting, amount, verdict.amount, verdict.rule), verdict.rule
        if amount != 0.0:
            free = self.money
            for other, terms in zip(self.holdings, self.terms, strict=True):
                if other.held != 0.0:
                    free -= rules.margin_held(other.held, other.mark, terms["leverage"])
            fee = 0.0 if self.bought and amount > 0.0 else rate
            payable = rules.payable_amount(amount, position.held, position.mark, price, fee, leverage, free)
            if payable != amount:
                amount, cut = self._cut(column, waiting, amount, payable, guard.CASH), guard.CASH
        return amount, cut

    def _ask_guard(self, judge: RiskGuard, column: int, waiting: Waiting, price: float, rate: float) -> guard.Verdict:
        position = self.holdings[column]
        worths = [other.held * other.mark for other in self.holdings if other.held != 0.0]
        decided_close = waiting.known + self.setup.bars.length
        gross = net = 0.0
        for worth in worths:
            gross += abs(worth)
            net += worth
        return judge.check(
            Order(waiting.amount, price, rate, position.last_close, decided_close),
            Account(position.held, position.mark, self.equity(), gross, net),
            self.times[self.row] + self.late,
        )

    def _cut(self, column: int, waiting: Waiting, wanted: float, allowed: float, rule: int) -> float:
        """What a limit or cash leaves of an order, in whole steps; 0 where that is too little to send."""
        left = rules.round_to_step(allowed, self.terms[column]["step"], rules.SUM_NOISE)
        least = self.terms[column]["min_amount"]
        if not rules.is_sendable(left, self.closing(column), waiting.close, waiting.smallest, least):
            left = 0.0
        self._record(column, waiting, guard.CUT if left else guard.BLOCKED, rule, wanted, left)
        return left

    def _record(self, column: int, waiting: Waiting, verdict: int, rule: int, wanted: float, allowed: float) -> None:
        self.records.event(self.row, waiting.decided, column, verdict, rule, wanted, allowed)

    # Fills.

    def book(self, intent: Intent, price: float, paid: float, got: float) -> bool:
        """Book a fill that paid a fee and brought `got`; whether it opened, turned or enlarged a position."""
        column, amount = intent.column, intent.amount
        position = self.holdings[column]
        was_open, before = self.is_open(column), position.held
        cash_fee = 0.0 if self.bought and amount > 0.0 else paid
        self.money = rules.cash_after(self.money, amount, price, cash_fee)
        step = 0.0 if self.bought else self.terms[column]["step"]
        position.held = rules.held_after(before, got, step)
        opens = not was_open or before * position.held < 0.0
        grows = self.is_open(column) and (opens or before * amount > 0.0)
        if grows:
            if opens:
                position.average, position.best = price, position.mark
                position.opened, position.within = self.times[self.row], intent.within
            else:
                position.average = barriers.average_entry(before, position.average, got, price)
                position.best = barriers.average_entry(before, position.best, got, position.mark)
                position.within = position.within or intent.within
            position.decided, position.scale, position.changed = intent.decided, intent.scale, self.row
        if self.guard is not None:
            self.guard.sent(self.times[self.row] + self.late)
        if len(self.setup.terms.tiers):
            today = self.days[self.row]
            self.traded[today] = self.traded.get(today, 0.0) + abs(amount) * price
        reason = reasons.reason_text(intent.reason, intent.cut)
        self.records.fill(self.row, intent.decided, column, amount, price, paid, reason, position.held)
        return grows
