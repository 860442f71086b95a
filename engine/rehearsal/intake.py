"""How the rehearsal exchange judges an order that comes in: is it whole, within the rules, and would it act at once?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from engine.rehearsal.money import divided, whole_steps
from engine.rehearsal.orders import KINDS, LIMITS, PROFITS, STOPS, Order, Reason, Refusal, Ticket
from engine.rehearsal.terms import Terms

# What an amount that money limits is rounded down to where the market sets no step.
FINEST_SHARE: Final = Decimal("1e-16")


def checked(ticket: Ticket, terms: Terms, last: Mapping[str, Decimal], quotes: tuple[Decimal, Decimal]) -> Ticket:
    """The ticket with an amount in base currency, within the rules of its market.

    Raises:
        Refusal: it breaks a rule, or it waits for a price that the market is beyond already.
    """
    if ticket.kind not in KINDS or (ticket.amount is None and ticket.quote_amount is None):
        raise Refusal(Reason.SMALLEST, f"{ticket.symbol}: a {ticket.kind} order without an amount")
    if ticket.amount is None and ticket.quote_amount is not None:
        amount = divided(ticket.quote_amount, quotes[1] if ticket.side == "buy" else quotes[0])
        ticket = replace(ticket, amount=whole_steps(amount, terms.step or FINEST_SHARE))
    price, stop = last[ticket.symbol], ticket.stop_price
    terms.check(ticket, price)
    if (ticket.kind in LIMITS and ticket.price is None) or (ticket.kind in STOPS | PROFITS and stop is None):
        raise Refusal(Reason.TICK, f"{ticket.symbol}: a {ticket.kind} order without its price")
    if stop is not None and ticket.kind in STOPS | PROFITS:
        falls = (ticket.side == "sell") == (ticket.kind in STOPS)
        if price <= stop if falls else price >= stop:
            raise Refusal(Reason.WOULD_TRIGGER, f"{ticket.symbol}: {ticket.kind} {stop}, last price {price}")
    return ticket


def order_of(ticket: Ticket, number: int, now: int) -> Order:
    """The order that a checked ticket becomes."""
    if ticket.amount is None:
        raise AssertionError("a ticket is checked before it becomes an order")
    return Order(
        id=number,
        client_id=ticket.client_id or f"venue-{number}",
        symbol=ticket.symbol,
        side=ticket.side,
        kind=ticket.kind,
        amount=ticket.amount,
        price=ticket.price if ticket.kind in LIMITS else None,
        stop_price=ticket.stop_price if ticket.kind in STOPS | PROFITS else None,
        time_in_force=ticket.time_in_force,
        created=now,
        updated=now,
        quote_amount=ticket.quote_amount,
        reduce_only=ticket.reduce_only,
    )


def would_take(order: Order, last: Decimal) -> bool:
    """Whether the market is beyond a limit: the last price, which at a bar's open is what a backtest looks at."""
    if order.kind not in {"limit", "limit_maker"} or order.price is None:
        return False
    return last < order.price if order.side == "buy" else last > order.price


def within_limit(order: Order, price: Decimal) -> Decimal:
    """A price, or the order's own limit where the price is beyond it."""
    if order.price is None:
        return price
    return min(price, order.price) if order.side == "buy" else max(price, order.price)


def is_pair(legs: Sequence[Order], last: Decimal) -> bool:
    """Whether two orders can be a pair: a stop and another, neither of which would act at once."""
    waits = not any(would_take(leg, last) or leg.level is None for leg in legs)
    return waits and {leg.kind in STOPS for leg in legs} == {True, False}
