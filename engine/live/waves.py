"""Which orders of an open can leave together: those whose verdict does not hang on how the ones before them fill.

`engine.paper` judges the orders of an open one after another, each on the account that the ones before it have left
(rule 4). An exchange takes milliseconds to answer, so that twenty orders, each sent when the one before it is booked,
are late. Here each is judged on the account as it is once those before it have filled as expected, which is paper's
verdict, and again on the worst that may come instead: some of them not filled, or in part, and all of it at a price
worse by `WORSE`. An order that both let go whole leaves with the ones before it. The first one that is in doubt waits
until they are booked, and is then judged on what really came of them.

What only reduces a position is never in doubt, so it all leaves first; a purchase that its proceeds are to pay for is,
and leaves once they are there. Where cash or a limit cuts orders, each cut is judged on what is booked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from engine import guard, reasons, rules
from engine.live.account import LiveAccount
from engine.live.desk import Ask, Desk
from engine.paper_books import Waiting

# By how much, a fraction, a price may be worse than the one reckoned with before a verdict that rests on it is wrong.
WORSE: Final = 0.05


def next_wave(desk: Desk, columns: Sequence[int], before: Iterable[Ask] = ()) -> tuple[list[Ask], list[int]]:
    """The orders that can leave now, and the symbols whose orders wait until these are booked.

    Args:
        desk: as it is; what is only expected to fill is not booked in it.
        columns: symbols whose orders are due, in the sequence in which they are judged.
        before: orders that leave with them whatever is said of them: they close positions.

    Returns:
        The orders to send, those of `before` not among them, and the rest of `columns`. What the limits or cash leave
        nothing of is in neither.
    """
    doubts, leaves = Doubts(desk.account), False
    asks: list[Ask] = []
    with desk.account.supposing():
        for ask in before:
            doubts.add(ask)
            desk.suppose(ask)
            leaves = True
        for place, column in enumerate(columns):
            if leaves and not doubts.allow(column, desk.waiting[column], desk.expected(column)):
                return asks, list(columns[place:])
            judged = desk.ask(column)
            if judged is not None:
                asks.append(judged)
                doubts.add(judged)
                desk.suppose(judged)
                leaves = True
    return asks, []


class Doubts:
    """The worst that an account may be before the next order of a wave, whatever becomes of the ones before it."""

    def __init__(self, account: LiveAccount) -> None:
        self._account = account
        self._equity = account.equity()
        self._gross = self._tied = 0.0
        self._most = self._least = 0.0  # net exposure
        for position, terms in zip(account.holdings, account.terms, strict=True):
            if position.held != 0.0:
                worth = position.held * position.mark
                self._gross += abs(worth)
                self._tied += abs(worth) / terms["leverage"]
                self._most += worth
        self._least = self._most

    def add(self, ask: Ask) -> None:
        """An order leaves: it may fill in full and dearly, or in part, or not at all."""
        account, position = self._account, self._account.holdings[ask.column]
        worth, mark = ask.amount * position.mark, position.mark
        grown = max(abs(position.held + ask.amount) - abs(position.held), 0.0) * mark
        self._gross += grown
        self._tied += grown / account.terms[ask.column]["leverage"]
        self._most += max(worth, 0.0)
        self._least += min(worth, 0.0)
        rate = account.rates[ask.column][1]
        self._equity -= abs(ask.amount) * (ask.price * (rate + WORSE) + abs(ask.price - mark))

    def allow(self, column: int, waiting: Waiting, price: float) -> bool:
        """Whether a waiting order may go whole at this price, also then."""
        account, position, amount = self._account, self._account.holdings[column], waiting.amount
        rate, judge = account.rates[column][1], account.guard
        if judge is not None and waiting.reason < reasons.STOP_LOSS:
            known = waiting.known + account.setup.bars.length
            order = guard.Order(amount, price, rate, position.last_close, known)
            net = self._most if amount > 0.0 else self._least
            seen = guard.Account(position.held, position.mark, self._equity, self._gross, net)
            if judge.check(order, seen, account.now).rule != guard.NO_RULE:
                return False
        fee = 0.0 if account.bought and amount > 0.0 else rate
        leverage, free = account.terms[column]["leverage"], self._equity - self._tied
        return rules.payable_amount(amount, position.held, position.mark, price, fee, leverage, free) == amount
