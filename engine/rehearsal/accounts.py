"""The money of an account on the rehearsal exchange: what is free, what open orders hold, and what a fill moves.

    account = SpotAccount({"USDT": Decimal(10000)})
    account.hold(1, "USDT", Decimal(500))            # order 1 may spend this much
    account.settle(order, terms, amount, price, terms.taker)

Every method is called under the exact context of `engine.rehearsal.money`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from decimal import Decimal
from typing import Literal, Protocol

from engine.rehearsal.money import ONE, ZERO, divided
from engine.rehearsal.orders import Order, Reason, Refusal
from engine.rehearsal.terms import Terms

FeeIn = Literal["quote", "bought"]


class Account(Protocol):
    """What the book asks of an account; spot and margin differ in what an order needs and what a fill moves."""

    free: dict[str, Decimal]
    locked: dict[str, Decimal]
    changed: set[str]

    def need(self, order: Order, terms: Terms) -> tuple[str, Decimal]:
        """What an open order must hold, and in which asset."""
        ...

    def hold(self, owner: Hashable, asset: str, amount: Decimal) -> None:
        """Let `owner`, an order or a pair of orders, hold this much, whatever it held before."""
        ...

    def payable(self, order: Order, terms: Terms, price: Decimal, rate: Decimal) -> Decimal:
        """The largest amount of an order that free money pays at a price, fee included."""
        ...

    def settle(
        self, order: Order, terms: Terms, amount: Decimal, price: Decimal, rate: Decimal
    ) -> tuple[Decimal, str, Decimal]:
        """Move the money of a fill; returns the fee, its asset, and the profit realised (of margin, else 0)."""
        ...


class Purse:
    """Balances by asset, free and held."""

    may_owe = False

    def __init__(self, balances: Mapping[str, Decimal]) -> None:
        self.free: dict[str, Decimal] = dict(balances)
        self.locked: dict[str, Decimal] = dict.fromkeys(balances, ZERO)
        self.changed: set[str] = set()
        self._held: dict[Hashable, tuple[str, Decimal]] = {}

    def hold(self, owner: Hashable, asset: str, amount: Decimal) -> None:
        """Let `owner` hold `amount` of an asset, whatever it held before; 0 lets all of it go.

        Raises:
            Refusal: what is free does not suffice; nothing has changed.
        """
        old_asset, old = self._held.get(owner, (asset, ZERO))
        released = old if old_asset == asset else ZERO
        if amount > released and amount > self.spendable(asset) + released:
            raise Refusal(Reason.FUNDS, f"{amount} {asset} needed, {self.spendable(asset) + released} free")
        if old == amount and released == old:
            return
        self._move(old_asset, -old)
        self._move(asset, amount)
        if amount:
            self._held[owner] = (asset, amount)
        else:
            self._held.pop(owner, None)

    def spendable(self, asset: str) -> Decimal:
        """How much of an asset orders may still hold."""
        return self.free.get(asset, ZERO)

    def held(self) -> dict[Hashable, tuple[str, Decimal]]:
        """What each order or pair holds: asset and amount."""
        return dict(self._held)

    def add(self, asset: str, amount: Decimal) -> None:
        """Add to what is free; a negative amount takes."""
        total = self.free.get(asset, ZERO) + amount
        if total < 0 and not self.may_owe:
            raise AssertionError(f"the exchange would pay out {amount} {asset} of {self.free.get(asset, ZERO)} free")
        self.free[asset] = total
        self.locked.setdefault(asset, ZERO)
        self.changed.add(asset)

    def _move(self, asset: str, amount: Decimal) -> None:
        """From free to locked."""
        if amount:
            self.add(asset, -amount)
            self.locked[asset] += amount


class SpotAccount(Purse):
    """Coins and quote currency, each owned outright.

    Args:
        balances: what the account begins with, by asset.
        fee_in: "quote", as `Costs` has it; or "bought": a buy pays its fee in the coin it buys, as Binance does.
    """

    def __init__(self, balances: Mapping[str, Decimal], fee_in: FeeIn = "quote") -> None:
        super().__init__(balances)
        self.fee_in = fee_in

    def need(self, order: Order, terms: Terms) -> tuple[str, Decimal]:
        """A sale holds its coins; a buy at a stated price what it costs there with its fee.

        A buy without a price (a market order that waits for a bar, a stop) holds nothing: it fills with what is free
        when its time comes.
        """
        if order.side == "sell":
            return terms.base, order.remaining
        price = order.price if order.price is not None else order.stop_price
        if price is None or order.kind == "stop_loss":
            return terms.quote, ZERO
        takes = order.kind == "stop_loss_limit"
        rate = ZERO if self.fee_in == "bought" else max(terms.maker, terms.taker) if takes else terms.maker
        return terms.quote, order.remaining * price * (ONE + rate)

    def payable(self, order: Order, terms: Terms, price: Decimal, rate: Decimal) -> Decimal:
        """The largest amount that what is free pays, not rounded to the step."""
        if order.side == "sell":
            return self.free.get(terms.base, ZERO)
        unit = price if self.fee_in == "bought" else price * (ONE + rate)
        return divided(self.free.get(terms.quote, ZERO), unit)

    def settle(
        self, order: Order, terms: Terms, amount: Decimal, price: Decimal, rate: Decimal
    ) -> tuple[Decimal, str, Decimal]:
        """Coins one way, quote currency the other, the fee out of what comes in or on top of what goes out."""
        cost = amount * price
        if order.side == "sell":
            fee = cost * rate
            self.add(terms.base, -amount)
            self.add(terms.quote, cost - fee)
            return fee, terms.quote, ZERO
        if self.fee_in == "bought":
            fee = amount * rate
            self.add(terms.quote, -cost)
            self.add(terms.base, amount - fee)
            return fee, terms.base, ZERO
        fee = cost * rate
        self.add(terms.quote, -cost - fee)
        self.add(terms.base, amount)
        return fee, terms.quote, ZERO
