"""A rehearsal: the real live code trades stored bars on the rehearsal exchange, under faults; the books are compared.

    rehearsal = rehearse(SmaCross(), market, cash=10_000, faults="heavy", seed=7)
    print(rehearsal); rehearsal.raise_if_broken()

The client is an unmodified `ccxt.pro.binance`, for perpetuals `ccxt.pro.bybit`, with only its URLs pointed at
127.0.0.1; the session is `run_live`, as it would run against the real exchange. Only the bars wait: the next one opens
when the session is done with the last. With `crashes` the session has a process of its own, which is killed (SIGKILL)
at random moments; a new one goes on from the journal.

What must hold whatever goes wrong: no order twice, no order at the exchange that the journal does not have, every fill
of the exchange in the journal and none besides, every balance explained to the last digit, and no risk limit exceeded.
Without faults the orders are those of `engine.paper` as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from data.errors import LadderError, ValidationError
from data.market import Market
from data.timeframe import parse_timeframe
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.live.beside_paper import beside_paper
from engine.live.fates import Fate, fates
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.life import Job, Life, LifeError, Nursery, live
from engine.live.risk_audit import enlarging, exceeded
from engine.live.start import OPENING, answered, unexplained
from engine.live.trading_terms import Kind, check_symbols
from engine.rehearsal.faults import HEAVY, Fault, FaultPlan
from engine.rehearsal.server import RehearsalServer
from engine.strategy import Strategy, label
from engine.venue import Venue

Amount = Literal["none", "light", "heavy"]
RUN: Final = "rehearsal"
_LIGHT: Final = 0.2  # of the heavy rates
# A request is executed until this long after its timestamp; short, for a lost one is certain only then.
_GATEWAY: Final[dict[str, Any]] = {"recv_window": 400, "settle": 0.02, "timeout": 5.0, "patience": 30.0}
_MOST_RESTARTS: Final = 500
_STILLBORN: Final = 0.1  # of the lives that are to be killed, those that end while the session begins
_LOOK: Final = 0.002  # seconds between looks at how far a life has come
_SHOWN: Final = 0.1  # seconds between two calls of progress


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """How it went.

    Attributes:
        strategy: its label.
        bars: that a decision was taken on.
        orders: that the journal has.
        fills: that the exchange has.
        faults: how often each kind was injected.
        crashes: how often the session was killed and begun again.
        incidents: of the journal, by kind.
        broken: what must hold and does not, in words; empty where all holds.
        differences: orders that `paper` has otherwise, in words; of a run without faults they are in `broken` too.
        matched: orders that are those of `paper`, from the first one on.
        decided: seconds from a bar's close being known to the decision, by turn.
        sent: seconds from the same to the first order of the turn.
        fates: what became of the faults.
        record: every fault.
    """

    strategy: str
    bars: int
    orders: int
    fills: int
    faults: Mapping[str, int]
    crashes: int
    incidents: Mapping[str, int]
    broken: tuple[str, ...]
    differences: tuple[str, ...]
    matched: int
    decided: np.ndarray
    sent: np.ndarray
    fates: tuple[Fate, ...] = field(repr=False, default=())
    record: tuple[Fault, ...] = field(repr=False, default=())

    @property
    def ok(self) -> bool:
        """Whether all holds that must."""
        return not self.broken

    def raise_if_broken(self) -> None:
        """Raise what does not hold.

        Raises:
            RehearsalError: something.
        """
        if self.broken:
            raise RehearsalError(f"{self.strategy}: " + "; ".join(self.broken))

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items())) or "none"
        incidents = ", ".join(f"{count} {kind}" for kind, count in sorted(self.incidents.items())) or "none"
        lines = [
            f"Rehearsal of {self.strategy}: " + ("all holds" if self.ok else "BROKEN"),
            f"  bars decided on    {self.bars:,}, orders {self.orders:,}, fills {self.fills:,}",
            f"  faults injected    {sum(self.faults.values()):,}: {faults}",
            f"  restarts           {self.crashes:,}",
            f"  incidents          {incidents}",
            f"  orders as in paper {self.matched:,}" + (", then otherwise" if self.differences else ", all of them"),
        ]
        for name, values in (("decision", self.decided), ("order", self.sent)):
            if len(values):
                p50, p99 = np.quantile(values, [0.5, 0.99]) * 1e3
                lines.append(f"  close to {name:<9} p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        lines += [f"    {one.times:>5} {one.kind} on {one.on}: {one.outcome}" for one in self.fates]
        return "\n".join(
            [*lines, *(f"  NOT: {one}" for one in self.broken), *(f"  {one}" for one in self.differences[:3])]
        )


class RehearsalError(LadderError):
    """What must hold in a rehearsal does not."""


def rehearse(strategy: Strategy, market: Market, **settings: Any) -> Rehearsal:
    """Rehearse in this process; `rehearse_async` has the arguments and errors."""
    return asyncio.run(rehearse_async(strategy, market, **settings))


async def rehearse_async(
    strategy: Strategy,
    market: Market,
    *,
    cash: float = 10_000.0,
    costs: Costs | None = None,
    venue: Venue | None = None,
    risk: RiskLimits | None = None,
    faults: Amount | FaultPlan = "none",
    seed: int = 0,
    crashes: float = 0.0,
    bars: int | None = None,
    journal: Path | None = None,
    enrich: Callable[[Market], Market] | None = None,
    progress: Callable[[int, int], None] | None = None,
    session_options: Mapping[str, Any] | None = None,
    limit: float | None = None,
    nursery: Nursery | None = None,
) -> Rehearsal:
    """Rehearse a strategy.

    Args:
        strategy: what is to go live.
        market: the bars; the first of them are the strategy's warm-up.
        cash: quote currency.
        costs: fee and slippage that the exchange takes, fractions.
        venue: the exchange's rules; amount_step must be above 0, as it is on every exchange. Of perpetuals its shorts
            must be True, and its leverage is what the account is set to.
        risk: limits.
        faults: how much goes wrong, or a plan.
        seed: of faults and crashes.
        crashes: probability that the session's process is killed within a turn; below 1.
        bars: to decide on, at most; else all after the warm-up.
        journal: its file; else in a temporary folder.
        enrich: adds forecasts and daily values to bars, to the session's window and to `paper`'s history alike.
        progress: told turns done and all.
        session_options: further arguments of `run_live`.
        limit: seconds after which it is given up; None for never.
        nursery: that its processes are forked from; None for one of its own, which takes seconds to be there.

    Raises:
        RehearsalError: it did not end within `limit`, or the session could not be kept alive.
        ValidationError: an input is wrong, or there are fewer bars than the strategy needs.
    """
    kind = check_symbols("rehearse", market.symbols)
    costs = costs or Costs()
    venue = venue or Venue(shorts=kind.perpetual, amount_step=1e-6, price_tick=1e-8, min_notional=10.0)
    start = max(strategy.warmup, 1) + 1
    if len(market) < start + 2 or venue.amount_step <= 0.0:
        raise ValidationError(
            f"rehearse: {len(market)} bars for a warm-up of {strategy.warmup}, amount_step {venue.amount_step!r}: give "
            "more bars than the warm-up, and the step of the exchange's amounts"
        )
    if kind.perpetual and not venue.shorts:
        raise ValidationError(
            "rehearse: the venue is spot's (shorts=False), the symbols are perpetuals; say shorts=True"
        )
    stop = len(market) if bars is None else min(len(market), start + bars + 1)
    market = market.iloc(0, stop)
    plan = faults if isinstance(faults, FaultPlan) else _plan(faults, seed)
    with tempfile.TemporaryDirectory(prefix="ladder-rehearsal-") as folder:
        path = journal or Path(folder) / "journal.sqlite"
        stage = _Stage(
            strategy=strategy,
            market=market,
            kind=kind,
            cash=cash,
            costs=costs,
            venue=venue,
            risk=risk,
            plan=plan,
            chance=random.Random(seed),  # noqa: S311 - no secret hangs on it
            crashes=crashes,
            path=path,
            start=start,
            enrich=enrich,
            nursery=nursery,
        )
        try:
            async with asyncio.timeout(limit):
                return await stage.play(progress, dict(session_options or {}))
        except TimeoutError as error:
            raise RehearsalError(
                f"{label(strategy)}: no end after {limit:g} s, at bar {stage.row} of {len(market)}, "
                f"{stage.killed} restarts"
            ) from error


def _plan(amount: str, seed: int) -> FaultPlan | None:
    if amount not in ("none", "light", "heavy"):
        raise ValidationError(f"rehearse: faults {amount!r} must be none, light, heavy or a FaultPlan")
    if amount == "none":
        return None
    share = 1.0 if amount == "heavy" else _LIGHT
    return FaultPlan(seed, {kind: rate * share for kind, rate in HEAVY.items()}, delay=0.02, retry_after=0)


@dataclass(eq=False, kw_only=True)
class _Stage:
    """One rehearsal: its exchange, and the sessions that follow each other on one journal."""

    strategy: Strategy
    market: Market
    kind: Kind
    cash: float
    costs: Costs
    venue: Venue
    risk: RiskLimits | None
    plan: FaultPlan | None
    chance: random.Random
    crashes: float
    path: Path
    start: int
    enrich: Callable[[Market], Market] | None
    nursery: Nursery | None
    killed: int = 0
    row: int = 0

    async def play(self, progress: Callable[[int, int], None] | None, options: dict[str, Any]) -> Rehearsal:
        costs = self.costs
        async with RehearsalServer(
            self.market,
            dialect=self.kind.dialect,
            venues=self.venue,
            cash=Decimal(repr(float(self.cash))),
            fees=(Decimal(repr(costs.maker_fee)), Decimal(repr(costs.taker_fee))),
            slippage=Decimal(repr(float(costs.slippage))),  # type: ignore[arg-type]  # a fraction here
            fee_in=costs.fee_in,
            start=self.start,
            faults=self.plan,
        ) as server:
            job = Job(
                strategy=self.strategy,
                symbols=list(self.market.symbols),
                timeframe=self.market.timeframe,
                cash=self.cash,
                costs=costs,
                risk=self.risk,
                enrich=self.enrich,
                journal=self.path,
                run=RUN,
                exchange=self.kind.dialect,
                urls=server.urls,
                control=server.rest_url,
                gateway=_GATEWAY,
                options={"leverage": self.venue.leverage, **options},
            )
            shown = asyncio.create_task(self._show(server, progress))
            try:
                if self.crashes:
                    await self._lives(server, job)
                else:
                    await live(job)
            finally:
                shown.cancel()
            if not _is_over(server):
                raise RehearsalError(f"{label(self.strategy)}: the session ended before its bars did")
            await self._last_look(job)
            return self._judged(server)

    async def _show(self, server: RehearsalServer, progress: Callable[[int, int], None] | None) -> None:
        """Tell how far the bars have come."""
        total = len(self.market) - self.start - 1
        while True:
            self.row = server.exchange.replay.row
            if progress is not None:
                progress(min(self.row - self.start, total), total)
            await asyncio.sleep(_SHOWN)

    async def _lives(self, server: RehearsalServer, job: Job) -> None:
        """Sessions in processes of their own, each to its death or to the end of the bars."""
        async with contextlib.AsyncExitStack() as stack:
            nursery = self.nursery
            if nursery is None:
                nursery = await stack.enter_async_context(Nursery())
            while not _is_over(server):
                life = await nursery.born(job, self.path.with_name("error.txt"))
                try:
                    await self._live_and_die(server, life)
                    if await life.ended():
                        self.killed += 1
                    elif not _is_over(server):
                        raise RehearsalError(f"{label(self.strategy)}: the session ended before its bars did")
                except LifeError as error:
                    raise RehearsalError(f"{label(self.strategy)}: {error}") from error
                if self.killed > _MOST_RESTARTS:
                    raise RehearsalError(f"{label(self.strategy)}: {self.killed} restarts and no end")

    async def _live_and_die(self, server: RehearsalServer, life: Life) -> None:
        """Let it live for some turns, then kill it somewhere within the next one; one in ten as it begins."""
        turns, replay = 0, server.exchange.replay
        before = replay.row
        while self.chance.random() >= self.crashes:
            turns += 1
        if self.chance.random() < _STILLBORN:
            await life.wait(self.chance.uniform(0.0, 0.5))
        else:
            while not life.over and not _is_over(server) and replay.row <= before + turns:
                await life.wait(_LOOK)
            await life.wait(self.chance.uniform(0.0, 0.04))
        if not life.over and not _is_over(server):
            life.kill()

    async def _last_look(self, job: Job) -> None:
        """What the last bar's close has done to orders that rest, and what a dead session did not hear of."""
        client = job.client()
        try:
            await answered(client.load_markets)
            with Journal(self.path) as journal:
                gateway = Gateway(client, journal, run=RUN, margin_in=self.kind.margin_in, **_GATEWAY)
                for intent in journal.unsettled(RUN):
                    if intent.leg == "barriers":
                        await gateway.look_up(intent)
                    else:
                        await gateway.settle(intent)
        finally:
            with contextlib.suppress(Exception):
                await client.close()

    def _judged(self, server: RehearsalServer) -> Rehearsal:
        book, market = server.book, self.market
        length = parse_timeframe(market.timeframe).value
        closes = [time + length for time in market.index.as_unit("ns").asi8.tolist()]
        with Journal.reading(self.path) as journal:
            orders = [(intent, journal.fills_of(intent.client_id)) for intent in journal.orders(RUN)]
            fills, decided = journal.fills(RUN), {bar for bar, *_ in journal.decisions(RUN)}
            changes, opening = journal.rebuild(RUN).changes, journal.balances(RUN, OPENING)
            incidents = Counter(kind for kind, _ in journal.incidents(RUN))
            beats = [beat for beat in journal.heartbeats(RUN) if "decided" in beat]
            became = fates(server.faults, journal, RUN, closes, self.killed)
        broken = []
        own = {leg for intent, _ in orders for leg in intent.legs}
        sent = Counter(order.client_id for order in book.orders.values())
        twice = [name for name, count in sent.items() if count > 1]
        foreign = [name for name in sent if name not in own]
        if twice:
            broken.append(f"{len(twice)} orders went twice: {twice[:3]}")
        if foreign:
            broken.append(f"{len(foreign)} orders of the exchange are not in the journal: {foreign[:3]}")
        theirs = {(trade.symbol, str(trade.id)) for trade in book.trades}
        ours = {(fill.symbol, fill.trade_id) for fill in fills}
        if theirs != ours:
            broken.append(
                f"{len(theirs - ours)} fills of the exchange are not in the journal, {len(ours - theirs)} more are"
            )
        broken += map(str, unexplained(opening, changes, server.exchange.holdings()))
        broken += exceeded(book.trades, market, self.risk, self.cash, enlarging(orders))
        enriched = market if self.enrich is None else self.enrich(market)
        terms = {"cash": self.cash, "costs": self.costs, "venue": self.venue, "risk": self.risk}
        matched, differences = beside_paper(self.strategy, enriched, self.start, orders, terms)
        if differences and not server.faults and not self.killed:
            broken.append(f"without a fault {len(differences)} orders are not those of paper: {differences[0]}")
        return Rehearsal(
            strategy=label(self.strategy),
            bars=len(decided),
            orders=len(orders),
            fills=len(book.trades),
            faults=dict(Counter(fault.kind for fault in server.faults)),
            crashes=self.killed,
            incidents=dict(incidents),
            broken=tuple(broken),
            differences=tuple(differences),
            matched=matched,
            decided=np.array([beat["decided"] for beat in beats]),
            sent=np.array([beat["sent"] for beat in beats if beat["sent"] is not None]),
            fates=became,
            record=tuple(server.faults),
        )


def _is_over(server: RehearsalServer) -> bool:
    """Whether the last bar has closed."""
    return server.exchange.replay.done and not server.exchange.is_open
