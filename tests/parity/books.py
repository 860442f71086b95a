"""Books kept by hand beside an engine's own: cash, holdings and average costs from the orders and charges alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from engine import Result
from tests.parity.cases import Case

NOISE = 1e-12


@dataclass
class Books:
    """An account: what orders did to it. A fee taken in coins is paid by those that do not arrive."""

    cash: float
    coins: bool
    held: dict[str, float] = field(default_factory=dict)
    average: dict[str, float] = field(default_factory=dict)
    largest: dict[str, float] = field(default_factory=dict)
    realised: float = 0.0
    fees: float = 0.0

    def of(self, symbol: str) -> float:
        return self.held.get(symbol, 0.0)

    def fill(self, order: Any) -> None:
        symbol, price = order.symbol, order.price
        buys = order.side == "buy"
        in_coins = buys and self.coins
        got = order.amount - (order.fee / price if in_coins else 0.0)
        got = got if buys else -got
        self.cash -= order.amount * price if in_coins else got * price + order.fee
        self.fees += order.fee
        before = self.of(symbol)
        if before * got >= 0.0:
            paid = abs(before) * self.average.get(symbol, 0.0) + abs(got) * price
            self.average[symbol] = paid / (abs(before) + abs(got))
        else:
            closed = min(abs(got), abs(before))
            self.realised += np.sign(before) * closed * (price - self.average[symbol])
            if abs(got) > abs(before):
                self.average[symbol] = price
        after = before + got
        self.held[symbol] = 0.0 if abs(after) <= NOISE * max(abs(before), abs(got)) else after
        self.largest[symbol] = max(self.largest.get(symbol, 0.0), abs(before), abs(after))

    def noise(self, symbol: str) -> float:
        """What rounding errors may leave of a symbol that is sold."""
        return 10 * NOISE * self.largest.get(symbol, 0.0)

    def equity(self, marks: dict[str, float]) -> float:
        return self.cash + sum(held * marks[symbol] for symbol, held in self.held.items() if held)

    def exposure(self, marks: dict[str, float]) -> tuple[float, float]:
        """Gross and net, at marks."""
        worths = [held * marks[symbol] for symbol, held in self.held.items() if held]
        return sum(abs(worth) for worth in worths), sum(worths)


def opened(case: Case) -> Books:
    return Books(case.terms["cash"], case.terms["costs"].fee_in == "bought")


def by_bar(table: pd.DataFrame, time: str) -> dict[pd.Timestamp, list[Any]]:
    """Rows of a table by the bar that they fall on, in their order."""
    rows: dict[pd.Timestamp, list[Any]] = {}
    for row in table.itertuples():
        rows.setdefault(getattr(row, time), []).append(row)
    return rows


def closes(case: Case, result: Result) -> Iterator[tuple[pd.Timestamp, Books, dict[str, float]]]:
    """The books at each close, and the prices that mark them: each symbol's last close."""
    books, orders, charges = opened(case), by_bar(result.orders, "filled_at"), by_bar(result.charges, "at")
    for time, marks in zip(case.market.index, case.market.close.ffill().to_dict("records"), strict=True):
        for charge in charges.get(time, []):
            books.cash -= charge.paid
        for order in orders.get(time, []):
            books.fill(order)
        yield time, books, marks


def fills(case: Case, result: Result) -> Iterator[tuple[Any, float, Books]]:
    """Each order in the order of execution, what was held of its symbol before it, and the books after it."""
    books = opened(case)
    for order in result.orders.itertuples():
        before = books.of(order.symbol)
        books.fill(order)
        yield order, before, books


def largest_sums(case: Case, result: Result) -> pd.Series:
    """By bar, the largest sum that the account has had to do with: what a rounding error is relative to."""
    marks = case.market.close.ffill().fillna(0.0)
    gross = (result.positions * marks).abs().sum(axis=1)
    notional = (result.orders["amount"] * result.orders["price"]).groupby(result.orders["filled_at"]).max()
    traded = notional.reindex(result.equity.index, fill_value=0.0)
    return pd.concat([result.equity.abs(), gross, traded], axis=1).max(axis=1).clip(lower=result.cash).cummax()
