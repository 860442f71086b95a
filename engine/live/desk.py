"""What a live session decides, bar by bar, without a socket: what goes when a bar opens, what is wanted at its close.

    desk.open(time, opens)                     # a bar has opened: marks, a new day
    for column in desk.due():                  # what waits, that frees cash first (rule 4)
        ask = desk.ask(column)                 # what the risk limits and cash leave of it, at the expected price
        desk.book(column, ask, fills)          # what the exchange made of it
    desk.levels(column)                        # where its stop and its profit stand now
    desk.close(time, bars, targets, scale)     # it has closed: marks, loss limits, then the decision

It is `engine.paper_broker` with the exchange in backtrader's place: the same account, rules and order of steps, so that
the same bars give the same orders. Orders go at the market; a strategy's barriers rest on the exchange.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from engine import guard, reasons, rules
from engine.live.account import LiveAccount
from engine.live.bars import Bar
from engine.paper_books import Intent, Waiting
from engine.run import Run

_NO_PRICE: Final = float("nan")


@dataclass(frozen=True)
class Ask:
    """An order to send: amount signed (base), at the market, and the price that it was judged at (quote)."""

    column: int
    amount: float
    price: float
    waiting: Waiting
    cut: int


@dataclass(frozen=True)
class Filled:
    """What the exchange made of an order, together: amount signed and exact, average price, fee in quote currency."""

    amount: Decimal
    price: float
    fee: float


class Desk:
    """One strategy's decisions on an account.

    Args:
        run: the strategy on the bars before the session begins, with its costs, venues and limits.
    """

    def __init__(self, run: Run) -> None:
        self.account = LiveAccount(run)
        self.waiting: dict[int, Waiting] = {}
        self._present: set[int] = set()
        self._opens: dict[int, float] = {}
        self._follows = run.setup.barriers.delta == run.setup.barriers.delta

    def begin(self, time: int, closes: Mapping[int, tuple[int, float, float]]) -> None:
        """The session begins while the bar that opened at `time` is open.

        Args:
            time: ns.
            closes: by column, opening time, close and volume of the last closed bar.
        """
        self.account.begin(time)
        for column, (seen, close, volume) in closes.items():
            self.account.mark(column, close, volume)
            self.account.holdings[column].seen = seen

    def open(self, time: int, opens: Mapping[int, float]) -> None:
        """A bar has opened for some symbols, at these prices."""
        account = self.account
        account.begin(time)
        self._present, self._opens = set(opens), dict(opens)
        if self.waiting:
            for column, price in opens.items():
                account.holdings[column].mark = price

    def expired(self, *, enlarging: bool) -> list[int]:
        """Positions whose time is up at this open (rule 5); asked twice.

        First, `enlarging`, those that a waiting order would enlarge: they leave before it goes, and it is dropped. Once
        what is due has gone, all others that are still there.
        """
        limit, account = self.account.setup.barriers.time_limit, self.account
        found = []
        for column in sorted(self._present) if limit > 0 else ():
            position, waiting = account.holdings[column], self.waiting.get(column)
            if account.is_open(column) and account.now - position.opened >= limit:
                enlarges = waiting is not None and waiting.amount * position.held > 0.0
                if enlarges or not enlarging:
                    found.append(column)
        return found

    def drop_decided(self) -> None:
        """Forget what the strategy has decided for an open that is over; what a loss limit closes still waits."""
        for column, waiting in list(self.waiting.items()):
            if waiting.reason < reasons.STOP_LOSS:
                del self.waiting[column]

    def drop_enlarging(self) -> list[int]:
        """Forget what waits and would do more than close or reduce a position; its columns."""
        dropped = []
        for column, waiting in list(self.waiting.items()):
            held = self.account.holdings[column].held
            if waiting.amount * held >= 0.0 or abs(waiting.amount) > abs(held):
                del self.waiting[column]
                dropped.append(column)
        return dropped

    def due(self) -> list[int]:
        """Symbols whose order waits and whose bar is open, those that free cash first (rule 4)."""
        chosen = [column for column in self.waiting if column in self._present]
        holdings = self.account.holdings
        return sorted(chosen, key=lambda at: (rules.execution_phase(self.waiting[at].amount, holdings[at].held), at))

    def ask(self, column: int, price: float | None = None) -> Ask | None:
        """What goes of a waiting order now; None where nothing is left of it. It waits no longer.

        Args:
            column: the symbol.
            price: what the market is at; else the bar's open.
        """
        expected = self.expected(column, price)
        waiting = self.waiting.pop(column)
        amount, cut = self.account.judge(column, waiting, expected, self.account.rates[column][1])
        return Ask(column, amount, expected, waiting, cut) if amount != 0.0 else None

    def expected(self, column: int, price: float | None = None) -> float:
        """The price that a waiting order is judged at: the bar's open, or `price`, and what it slips."""
        reference = self._opens[column] if price is None else price
        return self.account.slipped(column, reference, self.waiting[column].amount)

    def written(self, column: int, amount: float, price: float) -> Ask:
        """An order that an earlier process of the run wrote down for this open: it went, whatever is judged now."""
        waiting, position = self.waiting.pop(column, None), self.account.holdings[column]
        if waiting is None:
            waiting = Waiting(amount, self.account.row, position.seen, position.mark, 0.0, 1.0, reasons.TARGET)
        return Ask(column, amount, price, waiting, guard.NO_RULE)

    def closing(self, column: int, reason: int) -> Ask:
        """An order that closes a position now, whatever the strategy says; what waits for it is dropped."""
        self.waiting.pop(column, None)
        position = self.account.holdings[column]
        amount = self.account.closing(column)
        waiting = Waiting(amount, self.account.row, position.seen, position.mark, 0.0, 1.0, reason)
        reference = self._opens.get(column, position.mark)
        return Ask(column, amount, self.account.slipped(column, reference, amount), waiting, guard.NO_RULE)

    def suppose(self, ask: Ask) -> None:
        """Book an order as if it had filled as expected: within `LiveAccount.supposing`, which undoes it."""
        account, waiting = self.account, ask.waiting
        rate = account.rates[ask.column][1]
        intent = Intent(
            ask.column, ask.amount, rate, waiting.reason, ask.cut, waiting.decided, waiting.scale, within=False
        )
        paid, got = rules.fee_paid(ask.amount, ask.price, rate), rules.received(ask.amount, rate, account.bought)
        account.book(intent, ask.price, paid, got)

    def book(self, ask: Ask, filled: Filled, held: Decimal, money: Decimal) -> bool:
        """Book what was filled of an order that went; whether its barriers are to be set anew.

        Args:
            ask: the order.
            filled: what came of it.
            held: the exact holding after it.
            money: the exact cash after it.
        """
        waiting = ask.waiting
        return self._booked(ask.column, filled, waiting.reason, ask.cut, waiting.decided, waiting.scale, held, money)

    def left(self, column: int, filled: Filled, reason: int, held: Decimal, money: Decimal) -> bool:
        """Book what a barrier's order on the exchange has sold or bought back."""
        decided = self.account.holdings[column].decided
        self.waiting.pop(column, None)
        return self._booked(column, filled, reason, guard.NO_RULE, decided, 1.0, held, money)

    def _booked(
        self,
        column: int,
        filled: Filled,
        reason: int,
        cut: int,
        decided: int,
        scale: float,
        held: Decimal,
        money: Decimal,
    ) -> bool:
        amount = float(filled.amount)
        intent = Intent(column, amount, self.account.rates[column][1], reason, cut, decided, scale, within=False)
        grows = self.account.book(intent, filled.price, filled.fee, amount)
        self.account.set_books(column, held, money)
        return grows

    def levels(self, column: int) -> tuple[float, float]:
        """Where a position's stop and its take profit stand; NaN for none, and for no position."""
        if not self.account.is_open(column):
            return _NO_PRICE, _NO_PRICE
        return self.account.levels(column)

    def close(
        self, bars: Mapping[int, Bar], targets: Sequence[float] | None, scale: Sequence[float] | None
    ) -> tuple[set[int], int]:
        """The bar that is open has closed: marks, loss limits, then the decision.

        Args:
            bars: by column, those that there are.
            targets: the strategy's, by column, NaN to leave; None where it decides nothing.
            scale: of barriers; None for 1.

        Returns:
            Columns whose trailing stop has moved, and the rule that flattens and halts now (`guard.NO_RULE` for none).
        """
        account, moved = self.account, set[int]()
        for column, (_, high, low, close, volume) in bars.items():
            position = account.holdings[column]
            account.mark(column, close, volume)
            if self._follows and position.held != 0.0:
                best, worst = (close, close) if position.within else (high, low)
                if account.follow(column, best, worst):
                    moved.add(column)
            position.within = False
        judge, equity = account.guard, account.equity()
        halts = guard.NO_RULE if judge is None else judge.close(equity)
        if halts != guard.NO_RULE:
            self._flatten(halts)
        elif targets is not None:
            self._decide(equity, targets, scale)
        return moved, halts

    def _flatten(self, rule: int) -> None:
        account = self.account
        account.records.event(account.row, -1, -1, guard.HALT, rule, float("nan"), float("nan"))
        reason = reasons.HALT_DAILY_LOSS if rule == guard.DAILY_LOSS else reasons.HALT_DRAWDOWN
        self.waiting.clear()
        for column in range(len(account.holdings)):
            if account.is_open(column):
                self.close_next(column, reason)

    def close_next(self, column: int, reason: int) -> None:
        """A position is to be closed when its next bar opens, whatever the strategy says."""
        position, amount = self.account.holdings[column], self.account.closing(column)
        self.waiting[column] = Waiting(amount, self.account.row, position.seen, position.mark, 0.0, 1.0, reason)

    def _decide(self, equity: float, targets: Sequence[float], scale: Sequence[float] | None) -> None:
        account = self.account
        for column, (weight, position) in enumerate(zip(targets, account.holdings, strict=True)):
            if weight != weight or position.mark != position.mark:
                continue
            before = self.waiting.get(column)
            if before is not None and before.reason >= reasons.STOP_LOSS:
                continue
            self.waiting.pop(column, None)
            wanted = account.wanted(column, weight, equity, 1.0 if scale is None else scale[column])
            if wanted is not None:
                self.waiting[column] = wanted

    # From one start to the next.

    def snapshot(self) -> dict[str, Any]:
        """The account, and what waits for the next open."""
        from dataclasses import asdict

        waiting = {str(column): {**asdict(item), "order": None} for column, item in self.waiting.items()}
        return {"account": self.account.snapshot(), "waiting": waiting}

    def restore(self, kept: dict[str, Any]) -> None:
        """Go on from a snapshot; rows count anew, so what waits was decided on the row of the snapshot."""
        self.account.restore(kept["account"])
        self.waiting = {
            int(column): Waiting(**{**values, "decided": self.account.row})
            for column, values in kept["waiting"].items()
        }
