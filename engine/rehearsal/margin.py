"""A margin account of linear perpetuals on the rehearsal exchange: one wallet, and a position in each market.

Exact to the last digit although an average entry has none: a position keeps what it has cost, and a part that is closed
takes its share of that with it, rounded to 1e-16; closing the rest takes all that is left.
Liquidation and funding are not modelled here: a wallet may go below zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

from engine.rehearsal.accounts import Purse
from engine.rehearsal.money import ZERO, divided, whole_steps
from engine.rehearsal.orders import PROFITS, STOPS, Order
from engine.rehearsal.terms import FINEST, Terms

_SHARE: Final = Decimal("1e-16")


@dataclass(slots=True)
class Position:
    """Base currency held (negative: short), and what it has cost in quote currency (of a short: negative, received)."""

    amount: Decimal = ZERO
    basis: Decimal = ZERO

    @property
    def entry(self) -> Decimal:
        """Average entry, to 1e-16; 0 without a position."""
        return whole_steps(divided(self.basis, self.amount), _SHARE) if self.amount else ZERO


class MarginAccount(Purse):
    """One wallet for all positions, each netted in its market (one-way mode, cross margin).

    Args:
        cash: the wallet.
        asset: its currency, in which all markets settle.
        terms: rules of each market.

    Attributes:
        positions: by symbol.
        leverage: by symbol, what the account is set to: at first the market's largest.
    """

    may_owe = True

    def __init__(self, cash: Decimal, asset: str, terms: Mapping[str, Terms]) -> None:
        super().__init__({asset: cash})
        self.asset = asset
        self.positions = {symbol: Position() for symbol in terms}
        self.marks: Mapping[str, Decimal] = {}
        self.leverage = {symbol: rules.leverage for symbol, rules in terms.items()}

    def unrealised(self, symbol: str) -> Decimal:
        """Profit of a position at the last price."""
        position = self.positions[symbol]
        return position.amount * self.marks[symbol] - position.basis if position.amount else ZERO

    def margin(self, symbol: str) -> Decimal:
        """What a position ties up: its value at the last price by the leverage."""
        amount = self.positions[symbol].amount
        if not amount:
            return ZERO
        return self._by_leverage(symbol, abs(amount) * self.marks[symbol])

    def spendable(self, asset: str) -> Decimal:
        """Wallet and unrealised profit, less what positions and orders tie up."""
        open_ones = [symbol for symbol, position in self.positions.items() if position.amount]
        tied = sum((self.unrealised(symbol) - self.margin(symbol) for symbol in open_ones), ZERO)
        return self.free.get(asset, ZERO) + tied

    def need(self, order: Order, terms: Terms) -> tuple[str, Decimal]:
        """Margin and fee of a limit order, as if there were no position; nothing for what waits or only reduces."""
        if order.reduce_only or order.price is None or order.kind in STOPS | PROFITS:
            return self.asset, ZERO
        worth = order.remaining * order.price
        margin = self._by_leverage(order.symbol, worth)
        return self.asset, whole_steps(margin + worth * terms.maker, FINEST, ROUND_CEILING)

    def payable(
        self,
        order: Order,
        terms: Terms,  # noqa: ARG002  (spot needs it)
        price: Decimal,
        rate: Decimal,
    ) -> Decimal:
        """The largest amount that margin pays; what reduces the position always counts (`engine.rules`)."""
        side, mark = (1 if order.side == "buy" else -1), self.marks[order.symbol]
        reducible = max(-side * self.positions[order.symbol].amount, ZERO)
        if order.reduce_only:
            return min(reducible, order.remaining)
        reducing = min(reducible, order.remaining)
        margin = self._by_leverage(order.symbol, mark)
        lost = side * (price - mark)
        free = self.spendable(self.asset) + reducing * (margin - lost - price * rate)
        return reducing + divided(max(free, ZERO), margin + lost + price * rate)

    def _by_leverage(self, symbol: str, worth: Decimal) -> Decimal:
        return whole_steps(divided(worth, self.leverage[symbol]), _SHARE)

    def settle(
        self,
        order: Order,
        terms: Terms,  # noqa: ARG002  (spot needs it)
        amount: Decimal,
        price: Decimal,
        rate: Decimal,
    ) -> tuple[Decimal, str, Decimal]:
        """Close what the order reduces, open the rest, pay the fee; profit goes to the wallet."""
        position = self.positions[order.symbol]
        side = 1 if order.side == "buy" else -1
        closing = min(amount, max(-side * position.amount, ZERO))
        profit = ZERO
        if closing:
            size = abs(position.amount)
            share = position.basis if closing == size else _share(position.basis, closing, size)
            profit = -side * closing * price - share
            position.amount += side * closing
            position.basis -= share
        opening = side * (amount - closing)
        position.amount += opening
        position.basis += opening * price
        fee = amount * price * rate
        self.add(self.asset, profit - fee)
        return fee, self.asset, profit


def _share(basis: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return whole_steps(divided(basis * part, whole), _SHARE)
