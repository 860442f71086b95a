"""A rehearsal: the real live code trades stored bars on the rehearsal exchange, under faults; the books are compared.

    rehearsal = rehearse(SmaCross(), market, cash=10_000, faults="heavy", seed=7)
    print(rehearsal); rehearsal.raise_if_broken()

The client is an unmodified `ccxt.pro.binance` with only its URLs pointed at 127.0.0.1; the session is `run_live`, as it
would run against the real exchange. Only the bars wait: the next one opens when the session is done with the last. With
`crashes` the session's task is dropped at random moments, its sockets and its journal closed, and a new one begins on
the same journal, as after the death of its process.

What must hold whatever goes wrong: no order twice, no order at the exchange that the journal does not have, every fill
of the exchange in the journal and none besides, and every balance explained to the last digit. Without faults the
orders are those of `engine.paper` as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from data.errors import LadderError, ValidationError
from data.market import Market
from engine.brokers import paper
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.order_state import average_price, sum_of
from engine.live.safety import Stop
from engine.live.start import OPENING, answered, run_live, unexplained
from engine.rehearsal.faults import HEAVY, Fault, FaultPlan
from engine.rehearsal.server import RehearsalServer
from engine.strategy import Strategy, label
from engine.venue import Venue

Amount = Literal["none", "light", "heavy"]
RUN: Final = "rehearsal"
_LIGHT: Final = 0.2  # of the heavy rates
# A request is executed until this long after its timestamp; short, for a lost one is certain only then.
_GATEWAY: Final[dict[str, Any]] = {"recv_window": 250, "settle": 0.02, "timeout": 5.0, "patience": 30.0}
_MOST_RESTARTS: Final = 500
_STILLBORN: Final = 0.1


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """How it went.

    Attributes:
        strategy: its label.
        bars: that were decided on.
        orders: that the journal has.
        fills: that the exchange has.
        faults: how often each kind was injected.
        crashes: how often the session was dropped and begun again.
        incidents: of the journal, by kind.
        broken: what must hold and does not, in words; empty where all holds.
        differences: orders that `paper` has otherwise, in words; of a run without faults they are in `broken` too.
        matched: orders that are those of `paper`, from the first one on.
        decided: seconds from a bar's close being known to the decision, by turn.
        sent: seconds from the same to the first order of the turn.
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
) -> Rehearsal:
    """Rehearse a strategy.

    Args:
        strategy: what is to go live.
        market: the bars; the first of them are the strategy's warm-up.
        cash: quote currency.
        costs: fee and slippage that the exchange takes, fractions.
        venue: the exchange's rules; amount_step must be above 0, as it is on every exchange.
        risk: limits.
        faults: how much goes wrong, or a plan.
        seed: of faults and crashes.
        crashes: probability that the session is dropped within a turn; below 1.
        bars: to decide on, at most; else all after the warm-up.
        journal: its file; else in a temporary folder.
        enrich: adds forecasts and daily values to bars, to the session's window and to `paper`'s history alike.
        progress: told turns done and all.
        session_options: further arguments of `run_live`.
        limit: seconds after which it is given up; None for never.

    Raises:
        RehearsalError: it did not end within `limit`, or the session could not be kept alive.
        ValidationError: an input is wrong, or there are fewer bars than the strategy needs.
    """
    costs, venue = costs or Costs(), venue or Venue(amount_step=1e-6, price_tick=1e-8, min_notional=10.0)
    start = max(strategy.warmup, 1) + 1
    if len(market) < start + 2 or venue.amount_step <= 0.0:
        raise ValidationError(
            f"rehearse: {len(market)} bars for a warm-up of {strategy.warmup}, amount_step {venue.amount_step!r}: give "
            "more bars than the warm-up, and the step of the exchange's amounts"
        )
    stop = len(market) if bars is None else min(len(market), start + bars + 1)
    market = market.iloc(0, stop)
    plan = faults if isinstance(faults, FaultPlan) else _plan(faults, seed)
    with tempfile.TemporaryDirectory(prefix="ladder-rehearsal-") as folder:
        path = journal or Path(folder) / "journal.sqlite"
        stage = _Stage(strategy, market, cash, costs, venue, risk, plan, seed, crashes, path, start, enrich)
        try:
            return await asyncio.wait_for(stage.play(progress, dict(session_options or {})), limit)
        except TimeoutError as error:
            raise RehearsalError(
                f"{label(strategy)}: no end after {limit:g} s, at turn {stage.turns} of {stage.total}, "
                f"{stage.dropped} restarts"
            ) from error


def _plan(amount: str, seed: int) -> FaultPlan | None:
    if amount not in ("none", "light", "heavy"):
        raise ValidationError(f"rehearse: faults {amount!r} must be none, light, heavy or a FaultPlan")
    if amount == "none":
        return None
    share = 1.0 if amount == "heavy" else _LIGHT
    return FaultPlan(seed, {kind: rate * share for kind, rate in HEAVY.items()}, delay=0.02, retry_after=0)


def _client(server: RehearsalServer) -> Any:
    import ccxt.pro

    client = ccxt.pro.binance({"apiKey": "rehearsal", "secret": "rehearsal", "enableRateLimit": False})
    server.point(client)
    return client


class _Stage:
    """One rehearsal: its exchange, and the sessions that follow each other on one journal."""

    def __init__(
        self,
        strategy: Strategy,
        market: Market,
        cash: float,
        costs: Costs,
        venue: Venue,
        risk: RiskLimits | None,
        plan: FaultPlan | None,
        seed: int,
        crashes: float,
        path: Path,
        start: int,
        enrich: Callable[[Market], Market] | None,
    ) -> None:
        self.strategy, self.market, self.cash, self.costs, self.venue = strategy, market, cash, costs, venue
        self.risk, self.plan, self.crashes, self.path, self.start = risk, plan, crashes, path, start
        self.enrich = enrich
        self.chance = random.Random(seed)  # noqa: S311 - no secret hangs on it
        self.dropped, self.turns, self.total = 0, 0, len(market) - start - 1
        self.times: list[Any] = []
        self.over = False

    async def play(self, progress: Callable[[int, int], None] | None, options: dict[str, Any]) -> Rehearsal:
        costs = self.costs
        async with RehearsalServer(
            self.market,
            venues=self.venue,
            cash=Decimal(repr(float(self.cash))),
            fees=(Decimal(repr(costs.maker_fee)), Decimal(repr(costs.taker_fee))),
            slippage=Decimal(repr(float(costs.slippage))),  # type: ignore[arg-type]  # a fraction here
            fee_in=costs.fee_in,
            start=self.start,
            faults=self.plan,
        ) as server:
            while not self.over:
                await self._session(server, progress, options)
                if self.dropped > _MOST_RESTARTS:
                    raise RehearsalError(f"{self.strategy}: {self.dropped} restarts and no end")
            await self._last_look(server)
            return self._judged(server)

    async def _last_look(self, server: RehearsalServer) -> None:
        """What the last bar's close has done to orders that rest, and what a dropped session did not hear of."""
        client = _client(server)
        try:
            await answered(client.load_markets)
            with Journal(self.path) as journal:
                gateway = Gateway(client, journal, run=RUN, **_GATEWAY)
                for intent in journal.unsettled(RUN):
                    if intent.leg == "barriers":
                        await gateway.look_up(intent)
                    else:
                        await gateway.settle(intent)
        finally:
            await client.close()

    async def _session(
        self, server: RehearsalServer, progress: Callable[[int, int], None] | None, options: dict[str, Any]
    ) -> None:
        """One life of the session, to the end of the bars or to its own."""
        client = _client(server)

        stop = Stop()

        async def advance(_: int = 0) -> bool:
            self.turns += 1
            if progress is not None:
                progress(min(self.turns, self.total), self.total)
            told = await server.advance()
            self.over = bool(told["done"])
            return not self.over

        async def ready(behind: bool) -> None:
            if not behind:
                told = await server.advance()
                self.over = bool(told["done"])
            if self.over:  # the last bar was its predecessor's
                stop.ask("no more bars")

        work = asyncio.ensure_future(
            run_live(
                self.strategy,
                client,
                list(self.market.symbols),
                self.market.timeframe,
                **{
                    "cash": self.cash,
                    "journal": self.path,
                    "run": RUN,
                    "costs": self.costs,
                    "risk": self.risk,
                    "enrich": self.enrich,
                    "after_turn": advance,
                    "when_ready": ready,
                    "stop": stop,
                    "grace": 0.1,
                    "gateway_options": _GATEWAY,
                    **options,
                },
            )
        )
        try:
            if not self.crashes:
                report = await work
                self.times += report.session.times
                return
            if await self._dropped_in(work):
                return
            self.times += work.result().session.times
        finally:
            with contextlib.suppress(Exception):
                await client.close()

    async def _dropped_in(self, work: asyncio.Future[Any]) -> bool:
        """Let it live for some turns, then drop it somewhere within the next one; one life in ten ends as it starts."""
        turns, before = 0, self.turns
        while self.chance.random() >= self.crashes:
            turns += 1
        if self.chance.random() < _STILLBORN:
            await asyncio.wait({work}, timeout=self.chance.uniform(0.0, 1.0))
        else:
            while not work.done() and self.turns <= before + turns:
                await asyncio.wait({work}, timeout=0.002)
            await asyncio.wait({work}, timeout=self.chance.uniform(0.0, 0.04))
        if work.done() or self.over:
            await asyncio.wait({work})
            return False
        self.dropped += 1
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        return True

    def _judged(self, server: RehearsalServer) -> Rehearsal:
        book = server.book
        with Journal.reading(self.path) as journal:
            intents, fills = journal.orders(RUN), journal.fills(RUN)
            changes, opening = journal.rebuild(RUN).changes, journal.balances(RUN, OPENING)
            incidents = Counter(kind for kind, _ in journal.incidents(RUN))
            own = {leg for intent in intents for leg in intent.legs}
            traded = [(intent, journal.fills_of(intent.client_id)) for intent in intents]
        broken = []
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
        free, locked = book.account.free, book.account.locked
        found = {currency: free[currency] + locked[currency] for currency in free}
        broken += map(str, unexplained(opening, changes, found))
        matched, differences = self._beside_paper(traded)
        faults = Counter(fault.kind for fault in server.faults)
        if differences and not faults and not self.dropped:
            broken.append(f"without a fault {len(differences)} orders are not those of paper: {differences[0]}")
        return Rehearsal(
            strategy=label(self.strategy),
            bars=self.turns,
            orders=len(intents),
            fills=len(book.trades),
            faults=dict(faults),
            crashes=self.dropped,
            incidents=dict(incidents),
            broken=tuple(broken),
            differences=tuple(differences),
            matched=matched,
            decided=np.array([one.decided for one in self.times]),
            sent=np.array([one.sent for one in self.times if one.sent is not None]),
            record=tuple(server.faults),
        )

    def _beside_paper(self, traded: list[Any]) -> tuple[int, list[str]]:
        """How many orders are those of `paper`, and how the others differ; both by symbol, in the order they filled."""
        begun = replace(_Begun(), inner=self.strategy, when=self.market.index[self.start])
        terms = {"cash": self.cash, "costs": self.costs, "venue": self.venue, "risk": self.risk}
        market = self.market if self.enrich is None else self.enrich(self.market)
        wanted = paper(begun, market, **terms).orders  # type: ignore[arg-type]
        matched, differences = 0, []
        # What the last turn sent fills in a bar that `paper` does not see.
        last = self.market.index[-2].value
        traded = [(intent, fills) for intent, fills in traded if intent.bar < last]
        wanted = wanted[wanted["decided_at"] < self.market.index[-2]]
        for symbol in self.market.symbols:
            mine = [
                (intent, sum_of(fill.amount for fill in fills), float(average_price(fills) or "nan"))
                for intent, fills in traded
                if intent.symbol == symbol and fills
            ]
            theirs = list(wanted[wanted["symbol"] == symbol].itertuples())
            for place in range(max(len(mine), len(theirs))):
                one = mine[place] if place < len(mine) else None
                other = theirs[place] if place < len(theirs) else None
                if one is not None and other is not None and _alike(one, other):
                    matched += 1
                    continue
                differences.append(f"{symbol} order {place + 1}: {_told(one)} | paper: {_paper(other)}")
                break
        return matched, differences


@dataclass(frozen=True)
class _Begun(Strategy):
    """A strategy that decides nothing before the session begins."""

    inner: Strategy | None = None
    when: pd.Timestamp | None = None

    @property
    def warmup(self) -> int:
        return 1

    @property
    def exits(self) -> Any:  # type: ignore[override]
        return None if self.inner is None else self.inner.exits

    @property
    def order_notional(self) -> Any:  # type: ignore[override]
        return None if self.inner is None else self.inner.order_notional

    def targets(self, market: Market) -> pd.DataFrame:
        assert self.inner is not None and self.when is not None  # noqa: S101, PT018 - for mypy
        begun = int(market.index.searchsorted(self.when))
        targets = self.inner.targets(market).copy()
        targets.iloc[:begun] = np.nan
        return targets

    def scale(self, market: Market) -> pd.DataFrame | None:
        return None if self.inner is None else self.inner.scale(market)


def _alike(one: Any, other: Any) -> bool:
    intent, amount, price = one
    near = abs(float(amount) / other.amount - 1.0) < 1e-9 and abs(price / other.price - 1.0) < 1e-6
    return bool(intent.side == other.side and near)


def _told(one: Any) -> str:
    if one is None:
        return "nothing"
    intent, amount, price = one
    when = f"{pd.Timestamp(intent.bar, tz='UTC'):%Y-%m-%d %H:%M}"
    return f"{when} {intent.side} {amount:f} at {price:.10g} ({intent.reason})"


def _paper(other: Any) -> str:
    if other is None:
        return "nothing"
    return f"{other.decided_at:%Y-%m-%d %H:%M} {other.side} {other.amount:.10g} at {other.price:.10g} ({other.reason})"
