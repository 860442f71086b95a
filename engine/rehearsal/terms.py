"""What the rehearsal exchange asks of an order in one market: step, tick, limits and fees, as exact decimals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from data.errors import ValidationError
from engine.rehearsal.money import decimal_of, is_multiple
from engine.rehearsal.orders import LIMITS, Reason, Refusal, Ticket
from engine.venue import Venue, venues_by_symbol

# What an exchange states where a `Venue` sets no step or tick: the finest that Binance knows.
FINEST: Final = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Terms:
    """Rules of one market; 0 (of a largest: None) means no rule. Fees are fractions of notional."""

    symbol: str
    base: str
    quote: str
    step: Decimal
    tick: Decimal
    min_amount: Decimal
    max_amount: Decimal | None
    min_notional: Decimal
    max_notional: Decimal | None
    maker: Decimal
    taker: Decimal
    leverage: Decimal = Decimal(1)

    def check(self, ticket: Ticket, reference: Decimal) -> None:
        """Refuse an order that breaks a rule of the market.

        Raises:
            Refusal: names the rule and the value.
        """
        for name, price in (("price", ticket.price), ("stop price", ticket.stop_price)):
            if price is not None and (price <= 0 or not is_multiple(price, self.tick)):
                raise Refusal(Reason.TICK, f"{self.symbol}: {name} {price} is no whole multiple of {self.tick}")
        amount = ticket.amount
        if amount is None:
            return
        if amount <= 0 or amount < self.min_amount:
            raise Refusal(Reason.SMALLEST, f"{self.symbol}: amount {amount} is below {self.min_amount}")
        if self.max_amount is not None and amount > self.max_amount:
            raise Refusal(Reason.LARGEST, f"{self.symbol}: amount {amount} is above {self.max_amount}")
        if not is_multiple(amount, self.step):
            raise Refusal(Reason.STEP, f"{self.symbol}: amount {amount} is no whole multiple of {self.step}")
        price = ticket.price if ticket.kind in LIMITS and ticket.price is not None else reference
        notional = amount * price
        if notional < self.min_notional or (self.max_notional is not None and notional > self.max_notional):
            raise Refusal(Reason.NOTIONAL, f"{self.symbol}: notional {notional}, at least {self.min_notional}")


def _most(value: float) -> Decimal | None:
    return None if math.isinf(value) else decimal_of(value)


def terms_of(
    symbols: tuple[str, ...], venues: Venue | Mapping[str, Venue], fees: tuple[Decimal, Decimal]
) -> dict[str, Terms]:
    """The rules of each market, from the same `Venue` that a backtest takes.

    Args:
        symbols: "BASE/QUOTE", or "BASE/QUOTE:SETTLE" of a perpetual.
        venues: one for all, or by symbol. Its own `fees`, where it has them, come before `fees`.
        fees: (maker, taker), fractions of notional.

    Raises:
        ValidationError: a symbol that is not written so; a venue that is missing or unknown.
    """
    found = {}
    for symbol, venue in zip(symbols, venues_by_symbol(venues, symbols), strict=True):
        base, slash, rest = symbol.partition("/")
        quote = rest.split(":")[0]
        if not (base and slash and quote):
            raise ValidationError(f"rehearsal: symbol {symbol!r} must be written BASE/QUOTE, as ccxt does: 'BTC/USDT'")
        maker, taker = fees if venue.fees is None else (decimal_of(fee) for fee in venue.fees)
        found[symbol] = Terms(
            symbol=symbol,
            base=base,
            quote=quote,
            step=decimal_of(venue.amount_step),
            tick=decimal_of(venue.price_tick),
            min_amount=decimal_of(venue.min_amount),
            max_amount=_most(venue.max_amount),
            min_notional=decimal_of(venue.min_notional),
            max_notional=_most(venue.max_notional),
            maker=maker,
            taker=taker,
            leverage=decimal_of(venue.leverage),
        )
    return found
