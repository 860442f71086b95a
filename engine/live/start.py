"""How a live session begins: every check before the first order, and the account compared with the journal.

    await run_live(SmaCross(), exchange, ["BTC/USDT"], "1h", cash=1000, journal=Path("btc.sqlite"), run="btc-1")

In this order: the journal and the account's lock; the exchange's markets and what the key may do; orders of an earlier
process that nobody knows the end of; fills since; the balances, which must be what they were at the beginning and what
the run's own fills have changed; the bars up to now. What cannot be explained ends it with a `ReconciliationError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from data.errors import ValidationError
from data.market import Market
from data.timeframe import parse_timeframe
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.live import off_turn
from engine.live.account_lock import account_lock, who_says_so
from engine.live.account_stream import AccountStream
from engine.live.alerts import Alerts
from engine.live.bars import BarWindow
from engine.live.calls import answered
from engine.live.clock import ExchangeClock
from engine.live.collecting import what_is_there_is_left_alone
from engine.live.dead_man import DeadMan
from engine.live.desk import Desk
from engine.live.final_feed import FinalFeed
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.paper_journal import PaperJournal
from engine.live.permission import Permission, is_rehearsal, require_permission
from engine.live.placing import SessionHaltedError
from engine.live.reconcile import OPENING, Difference, ReconciliationError, compare, reconcile_at_start, unexplained
from engine.live.safety import Stop, refuse_if_killed, refuse_withdrawals
from engine.live.session import Session
from engine.live.shadow import Follow, Shadow, following
from engine.live.tally import Tally
from engine.live.telling import telling
from engine.live.trading_terms import Kind, check_margin, check_symbols, venues_of
from engine.live.watching import Watch
from engine.live.what_rests import Rests, refuse_unless_allowed, what_rests
from engine.run import lay_ground
from engine.strategy import Strategy
from engine.venue import Venue

_LOG = logging.getLogger(__name__)
STARTED: Final = "started"  # the statement in the journal
_SIGN: Final = 10.0  # seconds between signs of life in the journal
_RESEND_WITHIN: Final = 30.0  # seconds: an order at the market that could not be sent by then is old


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
    leverage: float = 1.0,
    set_leverage: bool = False,
    enrich: Callable[[Market], Market] | None = None,
    extra_bars: int = 0,
    after_turn: Callable[[int], Awaitable[bool | None]] | None = None,
    when_ready: Callable[[bool], Awaitable[None]] | None = None,
    stop: Stop | None = None,
    grace: float = 0.5,
    silence: float = 60.0,
    stale_after: float = 0.5,
    clock: Callable[[], int] | None = None,
    gateway_options: Mapping[str, Any] | None = None,
    permission: Permission | None = None,
    dead_man: float | None = None,
    dead_man_takes_barriers: bool = False,
    follow: Follow | None = None,
    alerts: Alerts | None = None,
    watch_exits: bool = False,
) -> LiveReport:
    """Trade a strategy on an exchange until it is stopped.

    Args:
        strategy: what decides.
        exchange: a `ccxt.pro` exchange with its keys set.
        symbols: as ccxt names them, all of one quote currency: spot, or linear perpetuals on a rehearsal exchange.
        timeframe: of the bars.
        cash: what the strategy may use, quote currency; the account may hold more.
        journal: its file; an existing one of this run is taken up.
        run: its name.
        costs: what trading is reckoned to cost; fills bring their own fees.
        risk: limits on orders.
        venues: rules by symbol; None for the exchange's own.
        leverage: of perpetuals, where the venues are the exchange's own.
        set_leverage: where the account's leverage of a perpetual is below the venue's, set it; else that is an error.
        enrich: adds forecasts and daily values to the bars.
        extra_bars: that `enrich` needs beyond the strategy's warm-up: `ModelPredictions.warmup` for a model.
        after_turn: called after each turn; False ends the session.
        when_ready: called once, before the first turn; told whether a turn is due already: bars that closed since an
            earlier process of this run.
        stop: how it is ended from outside.
        grace: seconds that symbols have to begin a bar, once one of them has.
        silence: seconds without any candle after which their stream counts as dead.
        stale_after: fraction of a bar after whose passing nothing more is opened or enlarged at its open.
        clock: the time by which bars are late, ns; None for the exchange's own. `clock.standing` for a replay.
        gateway_options: of `Gateway`.
        permission: to trade on a real account; on a rehearsal exchange none is needed.
        dead_man: seconds after whose passing without a sign of life the exchange cancels the account's orders; None for
            no such switch.
        dead_man_takes_barriers: also barriers of the strategy's, that would protect a position after our death.
        follow: told at every close what the session is worth, and what paper beside it is worth (`engine.live.shadow`);
            what it returns, in words, ends the session for good. None for no paper beside it.
        alerts: who is told what a person should know (`engine.live.telling`); None for nobody.
        watch_exits: where the exchange has no stop orders, watch the strategy's stop on its trades; it dies with us.

    Raises:
        AccountTakenError: another session trades on the account.
        PermissionDeniedError: a real exchange, and no permission.
        ReconciliationError: the account is not what the journal says.
        SessionHaltedError: see `Session.run`.
        ValidationError: an input is wrong, or the run was stopped by a kill file that is still there.
    """
    traded = _check(strategy, exchange, symbols, cash, run, watch_exits=watch_exits)
    require_permission(exchange, run, permission)
    stop = Stop() if stop is None else stop
    if stop.kill_file is not None:
        refuse_if_killed(stop.kill_file)
    switch = _switch(strategy, exchange, run, symbols, dead_man, may_take=dead_man_takes_barriers)
    kind = Journal if follow is None else PaperJournal
    async with contextlib.AsyncExitStack() as held:
        held.enter_context(account_lock(exchange, journal=journal, run=run, kill_file=stop.kill_file))
        book = held.enter_context(kind(journal))
        await held.enter_async_context(telling(alerts, book, run))
        await answered(exchange.load_markets)
        times = ExchangeClock(exchange)
        await answered(times.check)
        venues = venues_of(exchange, symbols, venues, leverage=leverage)
        options = {"resend_within": _RESEND_WITHIN, **(gateway_options or {})}
        gateway = Gateway(exchange, book, run=run, margin_in=traded.margin_in, **options)
        may = await answered(lambda: refuse_withdrawals(exchange))
        await check_margin(exchange, venues, may_set=set_leverage)
        rests = what_rests(exchange, strategy.exits, apart=traded.perpetual)
        _state_start(book, run, exchange, symbols, timeframe, cash, stop, may, dead_man, permission, rests)
        await reconcile_at_start(gateway, book, run, symbols, Decimal(repr(float(cash))))
        feed = FinalFeed(exchange, symbols, timeframe, grace=grace, patience=silence, clock=clock or times.now)
        rows = max(strategy.warmup, 1) + extra_bars
        async with _signs_of_life(book, run, switch), contextlib.AsyncExitStack() as ending:
            if switch is not None:
                ending.push_async_callback(switch.disarm)
            ending.push_async_callback(feed.close)
            known = book.turn_state(run)
            bars = await feed.start(rows + 200)
            if known is not None:
                # What closed since the last turn is given to the session again, bar by bar.
                bars = _until(bars, known[0])
                feed.rewind(known[0])
            ground = lay_ground(
                bars if enrich is None else enrich(bars), cash, costs or Costs(), dict(venues), risk, None
            )
            session = Session(
                strategy=strategy,
                desk=Desk(ground.run(strategy)),
                window=BarWindow(bars, rows),
                feed=feed,
                gateway=gateway,
                journal=book,
                name=run,
                venues=venues,
                tally=Tally(list(venues), Decimal(repr(float(cash)))),
                stop=stop,
                bell=AccountStream(exchange),
                watch=Watch(exchange, symbols),
                rests=rests,
                clock=clock or times.now,
                stale_after=int(stale_after * parse_timeframe(timeframe).value),
                enrich=enrich,
                after_turn=after_turn,
            )
            if known is not None:
                session.restore(known[1])
            else:
                off_turn.begin(session, feed.open_time, _last_closes(bars))
            if follow is not None and isinstance(book, PaperJournal):
                shadow = Shadow(ground.run(strategy), book, run, BarWindow(bars, rows), venues, enrich)
                ending.enter_context(shadow)
                session.following = following(shadow, follow, bars, feed.open_time, exchange.id)
            if switch is not None:
                await switch.arm(lambda: book.record_incident(run, "dead man's switch ran down", {"after": dead_man}))
            if when_ready is not None:
                await when_ready(feed.behind)
            with what_is_there_is_left_alone():
                await session.run()
        return LiveReport(run, session.turns, stop.why or "its caller", session)


def _switch(
    strategy: Strategy, exchange: Any, run: str, symbols: Sequence[str], seconds: float | None, *, may_take: bool
) -> DeadMan | None:
    """The dead man's switch that was asked for.

    Raises:
        ValidationError: it would take barriers with it, and nobody said that it may; or the exchange has none.
    """
    if seconds is None:
        return None
    if strategy.exits is not None and not may_take:
        raise ValidationError(
            f"run {run!r}: a dead man's switch would cancel the stops and profits that protect its positions, just "
            "when nobody else does; leave it out, or say that it may (dead_man_takes_barriers)"
        )
    return DeadMan(exchange, seconds, perpetual=":" in symbols[0])


@contextlib.asynccontextmanager
async def _signs_of_life(book: Journal, run: str, switch: DeadMan | None) -> AsyncIterator[None]:
    """Write down, every few seconds, that the process lives, and when its dead man's switch was last set."""

    async def write() -> None:
        while True:
            renewed = None if switch is None else switch.renewed
            try:
                book.heartbeat(run, {} if renewed is None else {"dead man set": time.monotonic() - renewed})
            except sqlite3.OperationalError as error:  # a full disk stops the next order, which must be written first
                _LOG.warning("%s: no sign of life written (%s)", run, error)
            await asyncio.sleep(_SIGN)

    signs = asyncio.create_task(write(), name="signs of life")
    try:
        yield
    finally:
        signs.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await signs


def _state_start(
    book: Journal,
    run: str,
    exchange: Any,
    symbols: Sequence[str],
    timeframe: str,
    cash: float,
    stop: Stop,
    may: str,
    dead_man: float | None,
    permission: Permission | None,
    rests: Rests,
) -> None:
    """Write down that the session starts, and on what.

    Raises:
        ValidationError: the run was begun on a rehearsal exchange and would go on with money, or the other way round.
    """
    rehearsal, before = is_rehearsal(exchange), book.statements(run, STARTED)
    if before and before[-1].detail.get("rehearsal") != rehearsal:
        was = "a real one" if rehearsal else "a rehearsal exchange"
        raise ValidationError(f"run {run!r} was begun on {was}, and would go on elsewhere; give the new one its name")
    if permission is not None:
        book.state_that(run, permission.kind, permission.who, permission.detail)
    started = {
        "symbols": list(symbols),
        "timeframe": timeframe,
        "cash": repr(float(cash)),
        "rehearsal": rehearsal,
        "kill_file": "" if stop.kill_file is None else str(stop.kill_file.resolve()),
        "pid": os.getpid(),
        "key": may,
        "dead_man": dead_man,
        "permission": None if permission is None else permission.digest,
        "watched": [name for name, on_exchange in rests._asdict().items() if not on_exchange],
    }
    if not all(rests):
        _LOG.warning(
            "%s: watched by this process alone, for %s cannot hold it: %s", run, exchange.id, started["watched"]
        )
    book.state_that(run, STARTED, who_says_so(), started)


def _check(
    strategy: Strategy, exchange: Any, symbols: Sequence[str], cash: float, run: str, *, watch_exits: bool
) -> Kind:
    kind = check_symbols("run_live", symbols)
    if not run or not cash > 0:
        raise ValidationError(f"run_live: run {run!r} needs a name, cash {cash!r} an amount above 0")
    if not isinstance(strategy, Strategy):
        raise ValidationError(f"run_live: expected a Strategy, got {strategy!r}")
    if kind.perpetual and not is_rehearsal(exchange):
        raise ValidationError(
            f"run_live: {', '.join(symbols)}: perpetuals are not traded on a real exchange yet, for their funding and "
            "liquidation are not in a run's books; rehearse them, or trade them on paper with live prices "
            "(run_paper_live)"
        )
    refuse_unless_allowed(exchange, strategy.exits, watch_exits=watch_exits, apart=kind.perpetual)
    return kind


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


__all__ = [
    "OPENING",
    "Difference",
    "LiveReport",
    "ReconciliationError",
    "SessionHaltedError",
    "answered",
    "compare",
    "run_live",
    "unexplained",
]
