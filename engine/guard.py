"""Execution rule 7: the guard that every broker asks before an order goes, and tells of its equity after each bar.

    guard = RiskGuard(limits, cash)
    guard.begin(now)                                # a bar begins; a new UTC day lifts a daily halt
    verdict = guard.check(order, account, now)      # allowed, cut or blocked, with the rule that did it
    guard.sent(now)                                 # every order that goes, exits too
    halt = guard.close(equity)                      # the rule that now flattens and halts, or None

The arithmetic is leaf functions on plain numbers, as in `engine.rules`; the kernel compiles them and keeps the same
state in arrays, so a backtest is judged by the same sums as a live session.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from engine.limits import RiskLimits
from engine.rules import STEP_NOISE, SUM_NOISE

NS_PER_MINUTE: Final = 60_000_000_000
NS_PER_DAY: Final = 86_400_000_000_000

ALLOWED, CUT, BLOCKED, HALT, RESUME = 0, 1, 2, 3, 4
VERDICTS: Final = ("allowed", "cut", "blocked", "halt", "resume")
(
    NO_RULE,
    CASH,
    POSITION,
    GROSS,
    NET,
    NOTIONAL,
    RATE,
    COLLAR,
    AGE,
    DAILY_LOSS,
    DRAWDOWN,
    VENUE_AMOUNT,
) = range(12)
RULES: Final = (
    "",
    "cash",
    "max_position",
    "max_gross",
    "max_net",
    "max_order_notional",
    "max_orders_per_minute",
    "price_collar",
    "max_data_age",
    "max_daily_loss",
    "max_drawdown",
    "the venue's largest order",
)


def reducing_part(amount: float, held: float) -> float:
    """How much of an order's size only takes the position towards zero: that is never cut or blocked."""
    return min(abs(amount), max(-held if amount > 0.0 else held, 0.0))


def largest_opening(limit: float, equity: float, exposure: float, mark: float, unit_cost: float) -> float:
    """Largest size that keeps (exposure + size * mark) within limit * (equity - size * unit_cost), at least 0.

    So the limit holds after the fill, its own fee and slippage paid; inf without a limit.

    Args:
        limit: multiple of equity.
        equity: before the fill, quote currency.
        exposure: what counts against the limit before it, quote currency; below 0 where the order balances others.
        mark: price at which the symbol is valued.
        unit_cost: fee and slippage of one unit, quote currency.
    """
    if limit == math.inf:
        return math.inf
    return max((limit * equity - exposure) / (mark + limit * unit_cost), 0.0)


def is_outside_collar(price: float, last_close: float, collar: float) -> bool:
    """Whether a price is further from the last close than the collar, a fraction, allows."""
    return abs(price / last_close - 1.0) > collar * (1.0 + STEP_NOISE)


def loss_fraction(equity: float, before: float) -> float:
    """The part of an earlier equity that is lost, at least 0; a billionth of it more, so that 900 of 1,000 lose 0.1."""
    return max(1.0 - equity / before, 0.0) * (1.0 + STEP_NOISE) if before > 0.0 else 0.0


@dataclass(frozen=True)
class Order:
    """An order about to fill: amount signed, prices quote per base, times in ns since 1970 UTC.

    `decided_close` is when the bar closed that the decision could rest on, the symbol's last one then.
    """

    amount: float
    price: float
    fee: float
    last_close: float
    decided_close: int


@dataclass(frozen=True)
class Account:
    """The account it fills in: the symbol's holding and mark; equity, gross and net notional of all at marks, quote."""

    held: float
    mark: float
    equity: float
    gross: float
    net: float


@dataclass(frozen=True)
class Verdict:
    """What the guard says: the part of the order that may go, and the rule that cut or blocked the rest."""

    kind: int
    rule: int
    amount: float


class RiskGuard:
    """`RiskLimits` at work. It knows nothing of brokers: numbers in, verdicts out; its state is what it was told."""

    def __init__(self, limits: RiskLimits, cash: float) -> None:
        self.limits = limits
        self.halted = NO_RULE
        self._day: int | None = None
        self._day_start = self._peak = self._equity = cash
        self._sent: deque[int] = deque(maxlen=limits.max_orders_per_minute)

    def begin(self, now: int) -> bool:
        """A bar begins at `now`; whether a daily halt ends with it."""
        day = now // NS_PER_DAY
        if day == self._day:
            return False
        self._day, self._day_start = day, self._equity
        resumed = self.halted == DAILY_LOSS
        if resumed:
            self.halted = NO_RULE
        return resumed

    def check(self, order: Order, account: Account, now: int) -> Verdict:
        """Judge an order before it fills. Exits and what the guard itself flattens are not asked for."""
        reducing = reducing_part(order.amount, account.held)
        opening = abs(order.amount) - reducing
        if opening <= SUM_NOISE * abs(order.amount):
            return Verdict(ALLOWED, NO_RULE, order.amount)
        side = 1.0 if order.amount > 0.0 else -1.0
        rule = self._blocking_rule(order, now)
        if rule != NO_RULE:
            return Verdict(BLOCKED, rule, side * reducing)
        largest, rule = self._largest(order, account, side, reducing)
        if opening <= largest:
            return Verdict(ALLOWED, NO_RULE, order.amount)
        return Verdict(CUT, rule, side * (reducing + largest))

    def _blocking_rule(self, order: Order, now: int) -> int:
        limits = self.limits
        if self.halted != NO_RULE:
            return self.halted
        if limits.max_data_age is not None and now - order.decided_close > limits.max_data_age.value:
            return AGE
        if limits.price_collar is not None and is_outside_collar(order.price, order.last_close, limits.price_collar):
            return COLLAR
        count = limits.max_orders_per_minute
        if count is not None and len(self._sent) == count and now - self._sent[0] < NS_PER_MINUTE:
            return RATE
        return NO_RULE

    def _largest(self, order: Order, account: Account, side: float, reducing: float) -> tuple[float, int]:
        """The largest size that may be opened beyond the reducing part, and the rule that sets it."""
        limits, mark = self.limits, account.mark
        unit_cost = max(order.fee * order.price + side * (order.price - mark), 0.0)
        equity = account.equity - reducing * unit_cost
        kept = abs(account.held) - reducing
        before = kept * mark
        others = account.gross - abs(account.held) * mark
        net = side * account.net + reducing * mark
        caps = (
            (POSITION, largest_opening(_multiple(limits.max_position), equity, before, mark, unit_cost)),
            (GROSS, largest_opening(_multiple(limits.max_gross), equity, others + before, mark, unit_cost)),
            (NET, largest_opening(_multiple(limits.max_net), equity, net, mark, unit_cost)),
            (NOTIONAL, max(_multiple(limits.max_order_notional) / order.price - reducing, 0.0)),
        )
        rule, largest = min(caps, key=lambda cap: cap[1])
        return largest, rule

    def sent(self, now: int) -> None:
        """An order went at `now`."""
        if self.limits.max_orders_per_minute is not None:
            self._sent.append(now)

    def close(self, equity: float) -> int:
        """A bar closed with this equity; the rule that now flattens and halts, or NO_RULE."""
        self._equity = equity
        self._peak = max(self._peak, equity)
        limits = self.limits
        if (
            limits.max_drawdown is not None
            and self.halted != DRAWDOWN
            and loss_fraction(equity, self._peak) >= limits.max_drawdown
        ):
            self.halted = DRAWDOWN
            return DRAWDOWN
        if (
            limits.max_daily_loss is not None
            and self.halted == NO_RULE
            and loss_fraction(equity, self._day_start) >= limits.max_daily_loss
        ):
            self.halted = DAILY_LOSS
            return DAILY_LOSS
        return NO_RULE


def _multiple(limit: float | None) -> float:
    return math.inf if limit is None else float(limit)
