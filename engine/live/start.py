"""How a live session begins: every check before the first order, and the account compared with the journal.

    await run_live(SmaCross(), exchange, ["BTC/USDT"], "1h", cash=1000, journal=Path("btc.sqlite"), run="btc-1")

In this order: the journal and the account's lock; the exchange's markets and what the key may do; orders of an earlier
process that nobody knows the end of; fills since; the balances, which must be what they were at the beginning and what
the run's own fills have changed; the bars up to now. What cannot be explained ends it with a `ReconciliationError`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

from data.errors import LadderError, ValidationError
from data.market import Market
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.live.bars import BarWindow
from engine.live.books import currencies
from engine.live.desk import Desk
from engine.live.feed import CandleFeed
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.order_state import State, sum_of
from engine.live.safety import Stop, refuse_if_killed, refuse_withdrawals
from engine.live.session import Session, SessionHaltedError
from engine.live.tally import Tally
from engine.run import lay_ground
from engine.strategy import Strategy
from engine.venue import Venue

_LOG = logging.getLogger(__name__)
OPENING: Final = "opening"
_LOOKS, _ON_ITS_WAY = 3, 2.0
_RESEND_WITHIN: Final = 30.0  # seconds: an order at the market that could not be sent by then is old
T = TypeVar("T")


class ReconciliationError(LadderError):
    """The account is not what the journal says; adopting, ignoring or flattening is a person's choice."""


@dataclass(frozen=True)
class Difference:
    """A balance that the journal does not explain.

    Attributes:
        currency: of which.
        expected: by the journal: what was there when the run began, and what its fills have changed since.
        found: what the exchange says.
    """

    currency: str
    expected: Decimal
    found: Decimal

    def __str__(self) -> str:
        return f"{self.currency}: the journal explains {self.expected:f}, the exchange has {self.found:f}"


@dataclass(frozen=True)
class LiveReport:
    """How a session ended.

    Attributes:
        run: its name.
        turns: bars that it decided on.
        why: what ended it.
        session: for whoever wants to look closer.
    """

    run: str
    turns: int
    why: str
    session: Session


async def run_live(
    strategy: Strategy,
    exchange: Any,
    symbols: Sequence[str],
    timeframe: str,
    *,
    cash: float,
    journal: Path,
    run: str,
    costs: Costs | None = None,
    risk: RiskLimits | None = None,
    venues: Mapping[str, Venue] | None = None,
    enrich: Callable[[Market], Market] | None = None,
    extra_bars: int = 0,
    after_turn: Callable[[int], Awaitable[bool | None]] | None = None,
    when_ready: Callable[[bool], Awaitable[None]] | None = None,
    stop: Stop | None = None,
    grace: float = 0.5,
    gateway_options: Mapping[str, Any] | None = None,
) -> LiveReport:
    """Trade a strategy on an exchange until it is stopped.

    Args:
        strategy: what decides.
        exchange: a `ccxt.pro` exchange with its keys set.
        symbols: as ccxt names them, all of one quote currency.
        timeframe: of the bars.
        cash: what the strategy may use, quote currency; the account may hold more.
        journal: its file; an existing one of this run is taken up.
        run: its name.
        costs: what trading is reckoned to cost; fills bring their own fees.
        risk: limits on orders.
        venues: rules by symbol; None for the exchange's own.
        enrich: adds forecasts and daily values to the bars.
        extra_bars: that `enrich` needs beyond the strategy's warm-up: `ModelPredictions.warmup` for a model.
        after_turn: called after each turn; False ends the session.
        when_ready: called once, before the first turn; told whether a turn is due already: bars that closed since an
            earlier process of this run.
        stop: how it is ended from outside.
        grace: seconds that symbols have to begin a bar, once one of them has.
        gateway_options: of `Gateway`.

    Raises:
        ReconciliationError: the account is not what the journal says.
        SessionHaltedError: see `Session.run`.
        ValidationError: an input is wrong, or the run was stopped by a kill file that is still there.
    """
    _check(strategy, symbols, cash, run)
    stop = Stop() if stop is None else stop
    if stop.kill_file is not None:
        refuse_if_killed(stop.kill_file)
    with Journal(journal) as book:
        await answered(exchange.load_markets)
        venues = venues or {symbol: Venue.from_ccxt(exchange.market(symbol)) for symbol in symbols}
        gateway = Gateway(exchange, book, run=run, **{"resend_within": _RESEND_WITHIN, **(gateway_options or {})})
        _LOG.info("%s: %s", run, await answered(lambda: refuse_withdrawals(exchange)))
        await _account(gateway, book, run, symbols, Decimal(repr(float(cash))))
        feed = CandleFeed(exchange, symbols, timeframe, grace=grace)
        rows = max(strategy.warmup, 1) + extra_bars
        try:
            known = book.turn_state(run)
            bars = await feed.start(rows + 200)
            if known is not None:
                # What closed since the last turn is given to the session again, bar by bar.
                bars = _until(bars, known[0])
                feed.rewind(known[0])
            session = _session(strategy, book, run, gateway, feed, bars, venues, cash, costs, risk, rows, enrich)
            session = replace(session, stop=stop, after_turn=after_turn)
            if known is not None:
                session.restore(known[1])
            else:
                session.desk.begin(feed.open_time, _last_closes(bars))
            if when_ready is not None:
                await when_ready(feed.behind)
            await session.run()
        finally:
            await feed.close()
        return LiveReport(run, len(session.times), stop.why or "its caller", session)


async def answered(ask: Callable[[], Awaitable[T]], attempts: int = 12) -> T:
    """What the exchange answers to a question that changes nothing: asked again where it fails to.

    Raises:
        ccxt's error: it is no passing one, or there were `attempts` of them.
    """
    import ccxt

    pause = 0.1
    for attempt in range(attempts):
        try:
            return await ask()
        except (ccxt.OperationFailed, ccxt.BadResponse) as error:
            if attempt + 1 == attempts:
                raise
            _LOG.warning("the exchange did not answer (%s); asked again in %.1f s", type(error).__name__, pause)
            await asyncio.sleep(pause)
            pause = min(2.0 * pause, 10.0)
    raise AssertionError("the last attempt raises")


def _check(strategy: Strategy, symbols: Sequence[str], cash: float, run: str) -> None:
    if isinstance(symbols, str) or not symbols:
        raise ValidationError(f"run_live: symbols {symbols!r}: give a list, such as ['BTC/USDT']")
    quotes = {currencies(symbol)[1] for symbol in symbols}
    if len(quotes) > 1:
        raise ValidationError(f"run_live: symbols of {', '.join(sorted(quotes))}; a session has one quote currency")
    if not run or not cash > 0:
        raise ValidationError(f"run_live: run {run!r} needs a name, cash {cash!r} an amount above 0")
    if not isinstance(strategy, Strategy):
        raise ValidationError(f"run_live: expected a Strategy, got {strategy!r}")


async def _account(gateway: Gateway, book: Journal, run: str, symbols: Sequence[str], cash: Decimal) -> None:
    """Settle what an earlier process has left, and compare the account with the journal.

    Raises:
        ReconciliationError: there is a difference, or an order whose end nobody can tell.
        ValidationError: the account has less than `cash`.
    """
    for intent in book.unsettled(run):
        # Of the turn that was interrupted, and barriers that rest: the session carries on with them.
        current = intent.leg == "barriers" or intent.bar >= (book.last_bar_done(run) or 0)
        report = await gateway.look_up(intent) if current else await gateway.settle(intent)
        if report is not None and report.state is State.UNKNOWN:
            raise ReconciliationError(f"order {intent.client_id} of {intent.symbol}: {report.detail}")
    opening = book.balances(run, OPENING)
    if not opening:
        opening = await gateway.balances()
        quote = currencies(symbols[0])[1]
        if opening.get(quote, Decimal(0)) < cash:
            raise ValidationError(
                f"the account has {opening.get(quote, Decimal(0)):f} {quote}, the run is to use {cash:f}"
            )
        book.record_balances(run, OPENING, opening)
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
        raise ReconciliationError(f"run {run!r}: {told}. `ladder live reconcile` shows what there is to choose")


async def compare(gateway: Gateway, book: Journal, run: str) -> list[Difference]:
    """Every balance that the run's own fills do not explain to the last digit.

    Orders that are on their way at this moment count as differences: ask between two turns.
    """
    found = await gateway.balances()
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


def _until(bars: Market, time: int) -> Market:
    """The bars that opened before a time."""
    return bars.iloc(0, int(bars.index.as_unit("ns").asi8.searchsorted(time)))


def _last_closes(bars: Market) -> dict[int, tuple[int, float, float]]:
    """By column: opening time, close and volume of each symbol's last bar."""
    found = {}
    for column, symbol in enumerate(bars.symbols):
        close = bars.close[symbol].dropna()
        time = close.index[-1]
        found[column] = (int(time.value), float(close.iloc[-1]), float(bars.volume[symbol].loc[:time].iloc[-1]))
    return found


def _session(
    strategy: Strategy,
    book: Journal,
    run: str,
    gateway: Gateway,
    feed: CandleFeed,
    bars: Market,
    venues: Mapping[str, Venue],
    cash: float,
    costs: Costs | None,
    risk: RiskLimits | None,
    rows: int,
    enrich: Callable[[Market], Market] | None,
) -> Session:
    market = bars if enrich is None else enrich(bars)
    ground = lay_ground(market, cash, costs or Costs(), dict(venues), risk, None)
    return Session(
        strategy=strategy,
        desk=Desk(ground.run(strategy)),
        window=BarWindow(bars, rows),
        feed=feed,
        gateway=gateway,
        journal=book,
        name=run,
        venues=venues,
        tally=Tally(list(venues), Decimal(repr(float(cash)))),
        stop=Stop(),
        enrich=enrich,
    )


__all__ = ["Difference", "LiveReport", "ReconciliationError", "SessionHaltedError", "compare", "run_live"]
