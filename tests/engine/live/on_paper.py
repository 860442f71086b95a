"""Paper with live prices on a rehearsal exchange, over HTTP and WebSocket, by a ccxt client without a key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.testing import assert_frame_equal, assert_series_equal

from data import Market
from engine import Costs, Exits, Result, RiskLimits, Strategy, Venue, paper
from engine.live.clock import standing
from engine.live.paper_live import PaperLiveReport, run_paper_live
from engine.live.safety import Stop
from engine.rehearsal.faults import FaultPlan
from engine.rehearsal.server import RehearsalServer

RUN = "p1"
COSTS = Costs(fee=0.001, slippage=0.0005)
VENUE = Venue(amount_step=1e-4, price_tick=1e-8, min_notional=10.0)
PERPETUAL = Venue(shorts=True, leverage=3.0, amount_step=1e-4, price_tick=1e-8, min_notional=10.0)
Hook = Callable[[RehearsalServer, int], Any]


@dataclass(frozen=True)
class Begun(Strategy):
    """A strategy that decides nothing before a time, nor at the close of bars that were slept through."""

    inner: Strategy | None = None
    when: pd.Timestamp | None = None
    slept: tuple[pd.Timestamp, ...] = ()

    @property
    def warmup(self) -> int:
        return 1

    @property
    def exits(self):
        return self.inner.exits

    @property
    def order_notional(self):
        return self.inner.order_notional

    def targets(self, market: Market) -> pd.DataFrame:
        targets = self.inner.targets(market).copy()
        targets.loc[market.index < self.when] = np.nan
        targets.loc[market.index.isin(self.slept)] = np.nan
        return targets

    def scale(self, market: Market) -> pd.DataFrame | None:
        return self.inner.scale(market)


@dataclass(frozen=True)
class Draws(Strategy):
    """Targets, and the widths of its barriers, that rest on the seed and each bar's own time alone."""

    seed: int = 0
    exits: Exits | None = None
    order_notional: float | None = None

    @property
    def warmup(self) -> int:
        return 1

    def targets(self, market: Market) -> pd.DataFrame:
        draws = self._draws(market, 0)
        choices = np.array([np.nan, np.nan, 0.0, 0.3, 0.9])
        return pd.DataFrame(choices[(draws * 5).astype(int)], market.index, list(market.symbols))

    def scale(self, market: Market) -> pd.DataFrame:
        return pd.DataFrame(0.5 + self._draws(market, 1), market.index, list(market.symbols))

    def _draws(self, market: Market, number: int) -> np.ndarray:
        hours = market.index.as_unit("s").asi8 // 3_600
        rows = [np.random.default_rng([self.seed, number, hour]).random(len(market.symbols)) for hour in hours]
        return np.array(rows)


@dataclass
class Stage:
    """An exchange and the processes of a run that follow each other on it.

    `start` is the row of the market that is open as the first one begins, `turns` counts those of all processes.
    """

    market: Market
    start: int
    journal: Path
    strategy: Strategy
    costs: Costs = COSTS
    venue: Venue = VENUE
    risk: RiskLimits | None = None
    cash: float = 10_000.0
    enrich: Callable[[Market], Market] | None = None
    extra_bars: int = 0
    over: bool = False
    turns: int = 0

    @property
    def dialect(self) -> str:
        return "bybit" if self.venue.shorts else "binance"

    def server(self, faults: FaultPlan | None = None) -> RehearsalServer:
        return RehearsalServer(self.market, dialect=self.dialect, venues=self.venue, start=self.start, faults=faults)

    async def life(
        self, server: RehearsalServer, *, turns: int | None = None, stop: Stop | None = None, **options: Any
    ) -> PaperLiveReport:
        """One process, to the end of the bars or for so many turns."""
        import ccxt.pro

        client = getattr(ccxt.pro, self.dialect)({"enableRateLimit": False})
        client.options["defaultType"] = "swap" if self.venue.shorts else "spot"
        server.point(client)
        done, stop = 0, stop or Stop()

        async def advance(_: int = 0) -> bool:
            nonlocal done
            done, self.turns = done + 1, self.turns + 1
            if done == turns:
                return False
            self.over = bool((await server.advance())["done"])
            return not self.over

        async def ready(behind: bool) -> None:
            if not behind:
                self.over = bool((await server.advance())["done"])
                if self.over:  # the last bar was its predecessor's
                    stop.ask("no more bars")

        given = {
            "cash": self.cash,
            "journal": self.journal,
            "run": RUN,
            "costs": self.costs,
            "venues": dict.fromkeys(self.market.symbols, self.venue),
            "risk": self.risk,
            "enrich": self.enrich,
            "extra_bars": self.extra_bars,
            "after_turn": advance,
            "when_ready": ready,
            "stop": stop,
            "grace": 0.02,
            "clock": standing,
            **options,
        }
        try:
            return await run_paper_live(
                self.strategy, client, list(self.market.symbols), self.market.timeframe, **given
            )
        finally:
            await client.close()

    def played(self, faults: FaultPlan | None = None) -> tuple[PaperLiveReport, Mapping[str, int]]:
        """One process over all bars; its report, and how often each request came."""

        async def play() -> tuple[PaperLiveReport, Mapping[str, int]]:
            async with self.server(faults) as server:
                return await self.life(server), server.requests

        return asyncio.run(play())

    def paper(self, slept: tuple[pd.Timestamp, ...] = ()) -> Result:
        """`engine.paper` on the same bars: all but the last, whose close no newer bar tells."""
        bars = self.market.iloc(0, len(self.market) - 1)
        begun = Begun(self.strategy, self.market.index[self.start], slept)
        bars = bars if self.enrich is None else self.enrich(bars)
        result = paper(begun, bars, cash=self.cash, costs=self.costs, venue=self.venue, risk=self.risk)
        return result.since(self.market.index[self.start])


def assert_same(ours: Result, theirs: Result) -> None:
    """Equal in every table, to the last bit."""
    for name in ("orders", "risk_events", "charges"):
        assert_frame_equal(getattr(ours, name), getattr(theirs, name), check_exact=True)
    for name in ("positions", "prices", "high", "low"):
        assert_frame_equal(getattr(ours, name), getattr(theirs, name), check_exact=True, check_freq=False)
    assert_series_equal(ours.equity, theirs.equity, check_exact=True, check_freq=False)
