"""Ending what a run has on the exchange: every order of it that may rest, and with `close_all` what it holds.

Both begin with the journal, and not with what a session believes: also an order whose answer was lost, or one that a
turn sent before it was interrupted, is a run's order; and what its fills come to is what it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from data.errors import LadderError
from engine.live.books import is_perpetual
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.keys import redacted
from engine.live.order_state import OrderIntent, State, client_id
from engine.live.treatments import Treatment
from engine.precision import amount_text
from engine.venue import Venue

FLATTEN: Final = "flatten"  # leg of the orders that close what a run holds
_ROUNDS: Final = 3  # an order to close may be filled in part, or cut to what the account has


@dataclass
class Ended:
    """What came of it.

    Attributes:
        cancelled: orders that rest no longer.
        closed: orders that closed a position.
        left: what could not be ended, in words: a person must see to it.
        dust: what remains of positions and is too little to be sold, by symbol.
    """

    cancelled: int = 0
    closed: int = 0
    left: list[str] = field(default_factory=list)
    dust: dict[str, Decimal] = field(default_factory=dict)

    def __str__(self) -> str:
        told = [f"{self.cancelled} orders cancelled"]
        if self.closed:
            told.append(f"{self.closed} positions closed")
        told += [f"{amount:f} of {symbol} too little to sell" for symbol, amount in self.dust.items()]
        return ", ".join([*told, *(f"NOT ENDED: {one}" for one in self.left)])


async def cancel_all(
    gateway: Gateway, journal: Journal, run: str, ended: Ended, *, spare: Collection[str] = ()
) -> None:
    """Cancel every order of a run that is at no final state, then ask the exchange whether any is open still.

    Args:
        gateway: of the run's account.
        journal: of the run.
        run: its name.
        ended: where what came of it is added.
        spare: client ids of orders that stay.
    """
    intents = [intent for intent in journal.unsettled(run) if intent.client_id not in spare]
    reports = await asyncio.gather(*(gateway.cancel(intent) for intent in intents), return_exceptions=True)
    failed = set()
    for intent, report in zip(intents, reports, strict=True):
        if isinstance(report, LadderError):
            failed.add(intent.client_id)
            ended.left.append(f"order {intent.client_id} of {intent.symbol}: {redacted(str(report))}")
        elif isinstance(report, BaseException):
            raise report
        else:
            ended.cancelled += report.state is State.CANCELLED
    try:
        still = await gateway.open_orders()
    except LadderError as error:
        ended.left.append(f"whether anything is open: {error}")
        return
    own = {intent.client_id for intent in journal.orders(run)} - set(spare) - failed
    for order in still:
        if order.intent is not None and order.intent.client_id in own:
            ended.left.append(f"order {order.client_id} of {order.symbol}: the exchange has it open still")


async def close_all(
    gateway: Gateway,
    journal: Journal,
    run: str,
    ended: Ended,
    *,
    venues: Mapping[str, Venue],
    prices: Mapping[str, float],
    bar: int,
) -> None:
    """Sell at the market what a run holds, and buy back what it is short of; first `cancel_all`.

    Args:
        gateway: of the run's account.
        journal: of the run.
        run: its name.
        ended: where what came of it is added.
        venues: rules by symbol.
        prices: by symbol, what is expected of the market, quote currency.
        bar: that the orders are named by, ns.
    """
    for symbol in sorted(journal.rebuild(run).positions):
        for _ in range(_ROUNDS):
            position = journal.rebuild(run).positions[symbol]
            if not await _close(gateway, journal, run, ended, symbol, position, venues[symbol], prices[symbol], bar):
                break
        position = journal.rebuild(run).positions[symbol]
        if Decimal(amount_text(venues[symbol], abs(position))) > 0 and symbol not in ended.dust:
            ended.left.append(f"{position:f} of {symbol}: not closed")
        elif position:
            ended.dust[symbol] = position


async def _close(
    gateway: Gateway,
    journal: Journal,
    run: str,
    ended: Ended,
    symbol: str,
    position: Decimal,
    venue: Venue,
    price: float,
    bar: int,
) -> bool:
    """One order; whether another may do more."""
    amount = amount_text(venue, abs(position))
    if Decimal(amount) == 0:
        return False
    if float(amount) * price < venue.min_notional:
        ended.dust[symbol] = position
        return False
    intent = _next(journal, run, symbol, "sell" if position > 0 else "buy", amount, price, bar)
    try:
        report = await gateway.place(intent)
        if report.treatment is Treatment.CUT_TO_FUNDS and position > 0 and not intent.reduce_only:
            # The account has less of it than the run's own fills come to: what is there is sold.
            free = (await gateway.balance_parts()).get(symbol.partition("/")[0])
            amount = amount_text(venue, Decimal(0) if free is None else min(free.free, abs(position)))
            if Decimal(amount) == 0:
                return False
            report = await gateway.place(_next(journal, run, symbol, "sell", amount, price, bar))
    except LadderError as error:
        ended.left.append(f"{symbol}: {redacted(str(error))}")
        return False
    ended.closed += bool(report.fills)
    if report.state is State.UNKNOWN:
        ended.left.append(f"order {report.intent.client_id} of {symbol}: {report.detail}")
    return report.state.final and bool(report.fills)


def _next(journal: Journal, run: str, symbol: str, side: str, amount: str, price: float, bar: int) -> OrderIntent:
    """The order under the first id that none has which has ended; one on its way is taken up as it was meant."""
    attempt = 0
    while True:
        name = client_id(run, bar, symbol, FLATTEN, attempt)
        known = journal.intent(name)
        if known is None:
            return OrderIntent(
                client_id=name,
                symbol=symbol,
                side=side,
                kind="market",
                amount=amount,
                price=None,
                stop_price=None,
                post_only=False,
                reason=FLATTEN,
                bar=bar,
                leg=FLATTEN,
                expected_price=price,
                reduce_only=is_perpetual(symbol),
            )
        state = journal.state(name)
        if state is not None and not state.final:
            return known
        attempt += 1
