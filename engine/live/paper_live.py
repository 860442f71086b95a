"""Paper with live prices: a strategy decides on an exchange's candles as they close, and our paper broker executes.

    report = await run_paper_live(SmaCross(), exchange, ["BTC/USDT"], "1h", cash=1000, journal=Path("p1.db"), run="p1")
    print(report); tearsheet(report.result, path="p1.html")

It stands beside `engine.live.start.run_live`: the same feed, the same window, the same decisions once a bar has closed,
the same ways to stop it. Only the orders go to `engine.paper_stream` instead of the exchange: none leaves this machine,
and no key is needed. What is booked when is told there.

The journal has every bar that was executed and every decision. A restart gives them to the broker again, so that the
run goes on as if it had never ended; bars that closed meanwhile are incidents, and nobody decided on them. The result
is that of `engine.paper` over the bars of the journal, with the targets of the journal.

Not in it: funding of perpetuals, whose rates nobody knows ahead, and orders that rest in the book.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.timeframe import parse_timeframe
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.live.account_lock import who_says_so
from engine.live.alerts import Alerts
from engine.live.bars import BarWindow
from engine.live.clock import ExchangeClock
from engine.live.final_feed import FinalFeed
from engine.live.paper_journal import PaperJournal
from engine.live.paper_record import bars_of
from engine.live.paper_session import PaperSession
from engine.live.paper_terms import same_terms, terms_of
from engine.live.permission import is_rehearsal
from engine.live.safety import Stop, refuse_if_killed
from engine.live.start import STARTED, answered
from engine.live.telling import telling
from engine.live.trading_terms import check_symbols, venues_of
from engine.paper_stream import PaperStream
from engine.result import Result
from engine.run import lay_ground
from engine.strategy import Strategy
from engine.venue import Venue

_LOG = logging.getLogger(__name__)
_SPARE: Final = 200  # bars beyond the warm-up, as in a window
_LATE: Final = 10.0  # seconds after an open that a decision may take, whatever the bar's length
_SIGN: Final = 10.0  # seconds between signs of life in the journal
_NO_FUNDING: Final = "funding of perpetuals is not charged"


@dataclass(frozen=True, eq=False)
class PaperLiveReport:
    """How a session of paper with live prices ended.

    Attributes:
        run: its name.
        turns: bars that this process decided on.
        why: what ended it.
        result: the whole run, those of earlier processes included, from the first bar that was open when it began.
        slept: bars of the run that nobody decided on.
        held: by symbol, what is held at the end, base currency.
    """

    run: str
    turns: int
    why: str
    result: Result
    slept: int
    held: Mapping[str, float]

    def __str__(self) -> str:
        result, bars = self.result, len(self.result.equity)
        equity = float(result.equity.iloc[-1]) if bars else result.cash
        held = ", ".join(f"{amount:.10g} {symbol}" for symbol, amount in self.held.items() if amount) or "nothing"
        fees = float(result.orders["fee"].sum())
        lines = [
            f"Paper with live prices, run {self.run}: {result.name}",
            f"  ended by           {self.why}",
            f"  bars               {bars:,} of {result.timeframe}, {self.turns:,} of them decided on by this process",
            f"  not decided on     {self.slept:,}",
            f"  equity             {equity:,.2f}, {equity / result.cash - 1.0:+.2%} of {result.cash:,.2f}",
            f"  orders             {len(result.orders):,}, fees {fees:,.2f}",
            f"  held               {held}",
        ]
        halts = int((result.risk_events["verdict"] == "halt").sum())
        if halts:
            lines.append(f"  loss limits        {halts:,} halts")
        if "funding" in result.meta.get("live", {}):
            lines.append(f"  not in it          {_NO_FUNDING}")
        return "\n".join(lines)


async def run_paper_live(
    strategy: Strategy,
    exchange: Any,
    symbols: Sequence[str],
    timeframe: str,
    *,
    cash: float,
    journal: Path,
    run: str,
    costs: Costs | None = None,
    venues: Mapping[str, Venue] | None = None,
    leverage: float = 1.0,
    maintenance_margin: float = 0.0,
    risk: RiskLimits | None = None,
    enrich: Callable[[Market], Market] | None = None,
    extra_bars: int = 0,
    after_turn: Callable[[int], Awaitable[bool | None]] | None = None,
    when_ready: Callable[[bool], Awaitable[None]] | None = None,
    stop: Stop | None = None,
    grace: float = 0.5,
    silence: float = 60.0,
    late_after: float = 0.02,
    clock: Callable[[], int] | None = None,
    record: str = "",
    alerts: Alerts | None = None,
) -> PaperLiveReport:
    """Trade a strategy on paper with an exchange's live prices until it is stopped.

    Args:
        strategy: what decides.
        exchange: a `ccxt.pro` exchange; it is asked for public data alone.
        symbols: as ccxt names them, all of one quote currency.
        timeframe: of the bars.
        cash: what it begins with, quote currency.
        journal: its file; an existing run of this name is taken up.
        run: its name.
        costs: fees, slippage and borrowing; None for `Costs()`.
        venues: rules by symbol; None for the exchange's own, as they were when the run began.
        leverage: of perpetuals, where the venues are the exchange's own.
        maintenance_margin: of them, fraction of notional: ccxt's markets do not state it.
        risk: limits on orders.
        enrich: adds forecasts and daily values to the bars.
        extra_bars: that `enrich` needs beyond the strategy's warm-up: `ModelPredictions.warmup` for a model.
        after_turn: called after each turn with the opening time of the open bar, ns; False ends the session.
        when_ready: called once, before the first turn; told whether a turn is due already: bars that closed since an
            earlier process of this run.
        stop: how it is ended from outside. What is held stays so, on paper: there is nothing to cancel or to flatten.
        grace: seconds that symbols have to begin a bar, once one of them has.
        silence: seconds without any candle after which their stream counts as dead.
        late_after: fraction of a bar, but at least ten seconds, after whose passing its open is gone: nothing is
            decided for it.
        clock: the time by which that is told, ns; None for the exchange's own. `clock.standing` for a replay.
        record: of the promotion that it runs by, for the journal and the gate; "" for none.
        alerts: who is told what a person should know (`engine.live.telling`); None for nobody.

    Raises:
        FetchError: the exchange cannot be reached, or has no candles of a symbol.
        ValidationError: an input is wrong, is not what the run was begun with, or the run was stopped by a kill file
            that is still there. What the strategy raises ends the session too.
    """
    _check(strategy, symbols, cash, run)
    stop = Stop() if stop is None else stop
    if stop.kill_file is not None:
        refuse_if_killed(stop.kill_file)
    async with contextlib.AsyncExitStack() as held:
        book = held.enter_context(PaperJournal(journal))
        await held.enter_async_context(telling(alerts, book, run))
        await answered(exchange.load_markets)
        times = ExchangeClock(exchange)
        if clock is None:
            await answered(times.check)
        rules = venues_of(exchange, symbols, venues, leverage=leverage, maintenance_margin=maintenance_margin)
        terms = terms_of(strategy, symbols, timeframe, cash, costs or Costs(), risk, rules)
        terms |= {"rehearsal": is_rehearsal(exchange)}
        terms |= {} if venues else {"leverage": float(leverage), "maintenance_margin": float(maintenance_margin)}
        begun = book.take_up(run, exchange.id, terms)
        rules = same_terms(run, begun, terms, rules, venues)
        _state_start(book, run, symbols, stop, record)
        if any(venue.shorts for venue in rules.values()):
            _LOG.warning("%s: %s", run, _NO_FUNDING)
        feed = FinalFeed(exchange, symbols, timeframe, grace=grace, patience=silence, clock=clock or times.now)
        rows = max(strategy.warmup, 1) + extra_bars
        late = max(late_after * parse_timeframe(timeframe).total_seconds(), _LATE)
        signs = asyncio.create_task(_live_signs(book, run), name="signs of life")
        try:
            known = list(book.executed(run, symbols))
            bars = await feed.start(2 if known else rows + _SPARE)
            if known:
                bars = bars_of(known[-(rows + _SPARE) :], symbols, timeframe)
                feed.rewind(known[-1].opened)
            market = bars if enrich is None else enrich(bars)
            ground = lay_ground(market, cash, costs or Costs(), rules, risk, None)
            with PaperStream(ground.run(strategy)) as stream:
                session = PaperSession(
                    strategy,
                    stream,
                    BarWindow(bars, rows),
                    feed,
                    book,
                    run,
                    rules,
                    stop,
                    enrich,
                    after_turn,
                    clock or times.now,
                    late,
                )
                if known:
                    session.replay(known)
                    known.clear()  # a year of them is not to be carried along
                else:
                    session.begin(bars)
                if when_ready is not None:
                    await when_ready(feed.behind)
                await session.run()
                return _report(session, exchange.id)
        finally:
            signs.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await signs
            await feed.close()


async def _live_signs(book: PaperJournal, run: str) -> None:
    """Write down, every few seconds, that the process lives."""
    while True:
        book.heartbeat(run)
        await asyncio.sleep(_SIGN)


def _state_start(book: PaperJournal, run: str, symbols: Sequence[str], stop: Stop, record: str) -> None:
    """Write down that a process of the run starts, for those who look at the journal or want to stop it."""
    kill_file = "" if stop.kill_file is None else str(stop.kill_file.resolve())
    told = {"symbols": list(symbols), "kill_file": kill_file, "pid": os.getpid(), "paper": True, "record": record}
    book.state_that(run, STARTED, who_says_so(), told)


def _check(strategy: Strategy, symbols: Sequence[str], cash: float, run: str) -> None:
    check_symbols("run_paper_live", symbols)
    if not run or not cash > 0:
        raise ValidationError(f"run_paper_live: run {run!r} needs a name, cash {cash!r} an amount above 0")
    if not isinstance(strategy, Strategy):
        raise ValidationError(f"run_paper_live: expected a Strategy, got {strategy!r}")


def _report(session: PaperSession, exchange: str) -> PaperLiveReport:
    """The run up to now."""
    live = {"exchange": exchange, "run": session.name, "not_decided_on": session.slept}
    if any(venue.shorts for venue in session.venues.values()):
        live["funding"] = "not charged"
    result = session.stream.result()
    result = _from_row(replace(result, broker="paper live", meta={**result.meta, "live": live}), session.first)
    held = dict(zip(session.window.symbols, session.held, strict=True))
    return PaperLiveReport(session.name, session.turns, session.stop.why or "its caller", result, session.slept, held)


def _from_row(result: Result, row: int) -> Result:
    """A result from a bar on, also from the one after the last."""
    if row < len(result.equity):
        return result.since(pd.DatetimeIndex(result.equity.index)[row])
    tables = {name: getattr(result, name).iloc[row:] for name in ("equity", "positions", "prices", "high", "low")}
    return replace(result, **tables)
