"""The account beside the journal: what the journal does not explain, at a start and whenever a person asks.

    await reconcile_at_start(gateway, journal, run, cash=cash, quote="USDT")
    findings = await examine(gateway, journal, run, symbols)
    print(findings.clean)

A balance is explained by what was there when the run began and what the run's own fills, and adjustments that a person
has made, have changed since: to the last digit. What is not explained stops a session; what it is (a deposit, a trade
by hand) only a person can say: `engine.live.choices`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from data.errors import LadderError, ValidationError
from engine.live.account_reader import OpenOrder, sequence
from engine.live.books import currencies
from engine.live.calls import HaltError
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.order_state import Fill, OrderIntent, State, sum_of

OPENING: Final = "opening"  # the kind of balances that a run begins with
_LOOKS, _ON_ITS_WAY = 3, 2.0
KNOWN_TRADES: Final = "trades"  # in a statement's detail: by symbol, the newest trade that balances have in them


class ReconciliationError(LadderError):
    """The account is not what the journal says; adopting, ignoring or flattening is a person's choice."""


@dataclass(frozen=True)
class Difference:
    """A balance that the journal does not explain, or a position in a perpetual.

    Attributes:
        currency: of which; of a position, the perpetual's symbol.
        expected: by the journal: what was there when the run began, and what its fills have changed since.
        found: what the exchange says.
    """

    currency: str
    expected: Decimal
    found: Decimal

    @property
    def amount(self) -> Decimal:
        """Found less expected."""
        return sum_of((self.found, self.expected.copy_negate()))

    def __str__(self) -> str:
        return f"{self.currency}: the journal explains {self.expected:f}, the exchange has {self.found:f}"


@dataclass(frozen=True)
class Findings:
    """What a person must know before choosing.

    Attributes:
        unknown: orders whose end nobody can tell, and why.
        lost: orders that the journal has open, and the exchange does not know any more.
        own: orders of the run that rest on the exchange.
        foreign: orders there that no run of the journal has sent.
        recovered: fills of the run that were not in the journal before; they are now.
        strangers: fills of the account in the run's symbols, since it began, of orders that no run has sent.
        differences: balances that the journal does not explain.
        newest: by symbol, time (ms) and id of the newest trade of the account.
    """

    unknown: tuple[tuple[OrderIntent, str], ...]
    lost: tuple[OrderIntent, ...]
    own: tuple[OpenOrder, ...]
    foreign: tuple[OpenOrder, ...]
    recovered: tuple[Fill, ...]
    strangers: tuple[Fill, ...]
    differences: tuple[Difference, ...]
    newest: dict[str, list[int | str]]

    @property
    def clean(self) -> bool:
        """Whether a session could start: orders that rest and are known are no hindrance."""
        return not (self.unknown or self.lost or self.differences)


async def reconcile_at_start(gateway: Gateway, book: Journal, run: str, symbols: Sequence[str], cash: Decimal) -> None:
    """Settle what an earlier process has left, and compare the account with the journal.

    Args:
        gateway: of the account.
        book: the run's journal.
        run: its name.
        symbols: that it trades, of one quote currency.
        cash: that a new run's account must have at least, of that currency.

    Raises:
        ReconciliationError: there is a difference, or an order whose end nobody can tell.
        ValidationError: a new run's account has less.
    """
    quote = currencies(symbols[0])[1]
    for intent in book.unsettled(run):
        # Of the turn that was interrupted, and barriers that rest: the session carries on with them.
        current = intent.leg == "barriers" or intent.bar >= (book.last_bar_done(run) or 0)
        report = await gateway.look_up(intent) if current else await gateway.settle(intent)
        if report is not None and report.state is State.UNKNOWN:
            raise ReconciliationError(f"order {intent.client_id} of {intent.symbol}: {report.detail}")
    opening = book.balances(run, OPENING)
    if not opening:
        opening = await gateway.holdings()
        if opening.get(quote, Decimal(0)) < cash:
            raise ValidationError(
                f"the account has {opening.get(quote, Decimal(0)):f} {quote}, the run is to use {cash:f}"
            )
        taken = [symbol for symbol in symbols if opening.get(symbol)]
        if taken:  # an account has one position in a perpetual, so that nobody could tell the run's from it
            raise ValidationError(
                f"the account holds {opening[taken[0]]:f} of {taken[0]}: a run needs a perpetual's position for "
                "itself; close it first, or trade on a sub-account"
            )
        latest = [await gateway.latest_fill(symbol) for symbol in symbols]
        known = {fill.symbol: [fill.at, fill.trade_id] for fill in latest if fill is not None}
        detail = {KNOWN_TRADES: known}
        book.state_that(run, OPENING, "", detail, balances=opening, balances_kind=OPENING)
        return
    differences = await compare(gateway, book, run)
    for _ in range(_LOOKS):
        if not differences:
            return
        # A request of the dead process may be on its way still.
        await asyncio.sleep(_ON_ITS_WAY * gateway.recv_window / 1000.0)
        for intent in book.unsettled(run):
            await gateway.look_up(intent)
        differences = await compare(gateway, book, run)
    if differences:
        told = "; ".join(map(str, differences))
        book.record_incident(run, "unexplained difference", {"told": told})
        raise ReconciliationError(
            f"run {run!r}: {told}. `ladder live reconcile {book.path} --run {run}` shows what there is to choose"
        )


async def compare(gateway: Gateway, book: Journal, run: str) -> list[Difference]:
    """Every balance, and position in a perpetual, that the run's own books do not explain to the last digit.

    Orders that are on their way at this moment count as differences: ask between two turns.
    """
    found = await gateway.holdings()
    return unexplained(book.balances(run, OPENING), book.rebuild(run).changes, found)


def unexplained(
    opening: Mapping[str, Decimal], changes: Mapping[str, Decimal], found: Mapping[str, Decimal]
) -> list[Difference]:
    """Every balance that is not what was there at the beginning and what has changed since."""
    differences = []
    for currency in sorted({*opening, *found, *changes}):
        expected = sum_of((opening.get(currency, Decimal(0)), changes.get(currency, Decimal(0))))
        if expected != found.get(currency, Decimal(0)):
            differences.append(Difference(currency, expected, found.get(currency, Decimal(0))))
    return differences


async def examine(gateway: Gateway, book: Journal, run: str, symbols: Sequence[str]) -> Findings:
    """Look up all that the exchange can tell, write down what it says, and say what remains unexplained.

    Nothing is sent and nothing cancelled. Two looks, where the first finds a difference: what was on its way has then
    arrived.

    Raises:
        UnreachableError: the exchange does not answer.
        HaltError: it refuses us as such.
    """
    before = {(fill.symbol, fill.trade_id) for fill in book.fills(run)}
    unknown, lost = [], []
    for intent in book.unsettled(run):
        try:
            # Barriers are looked up: one that the exchange does not know is for a person to end.
            report = await gateway.look_up(intent) if _rests(book, intent) else await gateway.settle(intent)
        except HaltError:
            raise
        except LadderError as error:
            unknown.append((intent, str(error)))
            continue
        if report is None:
            lost.append(intent)
        elif report.state is State.UNKNOWN:
            unknown.append((intent, report.detail))
    known, newest = _known_trades(book, run), dict(_known_trades(book, run))
    for symbol in symbols:
        at, trade_id = known.get(symbol, (0, None))
        fills = await gateway.fills_since(symbol, since=int(at), trade_id=trade_id)
        if fills:
            newest[symbol] = [fills[-1].at, fills[-1].trade_id]
    orders = await gateway.open_orders()
    names = {intent.client_id for intent in book.orders(run)}
    own = [order for order in orders if order.intent is not None and order.intent.client_id in names]
    differences = await compare(gateway, book, run) if book.balances(run, OPENING) else []
    if differences:
        await asyncio.sleep(_ON_ITS_WAY * gateway.recv_window / 1000.0)
        ended = {one.client_id for one in (*lost, *(intent for intent, _ in unknown))}
        for intent in book.unsettled(run):
            if intent.client_id not in ended:
                await gateway.look_up(intent)
        differences = await compare(gateway, book, run)
    strangers = [fill for fill in book.foreign_fills() if fill.symbol in symbols and _is_new(fill, known)]
    return Findings(
        unknown=tuple(unknown),
        lost=tuple(lost),
        own=tuple(own),
        foreign=tuple(order for order in orders if order.intent is None),
        recovered=tuple(fill for fill in book.fills(run) if (fill.symbol, fill.trade_id) not in before),
        strangers=tuple(strangers),
        differences=tuple(differences),
        newest=newest,
    )


def _known_trades(book: Journal, run: str) -> dict[str, Any]:
    """By symbol, time and id of the newest trade that the run's opening balances, or a choice since, have in them."""
    found: dict[str, Any] = {}
    for statement in book.statements(run):
        found |= statement.detail.get(KNOWN_TRADES) or {}
    return found


def _is_new(fill: Fill, known: Mapping[str, Any]) -> bool:
    at, trade_id = known.get(fill.symbol, (-1, ""))
    return sequence(fill) > (int(at), len(trade_id), trade_id)


def _rests(book: Journal, intent: OrderIntent) -> bool:
    """Whether the exchange has once said that it has the order."""
    return book.state(intent.client_id) in (State.ACKNOWLEDGED, State.PARTLY_FILLED)
