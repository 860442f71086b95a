"""Sessions that follow each other on one journal and one rehearsal exchange, in this process, bar by bar."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import ccxt.pro
import numpy as np
import pandas as pd

from data import Market
from engine import Costs, Exits, Strategy, Venue
from engine.live.clock import standing
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.reconcile import examine
from engine.live.safety import Stop
from engine.live.start import LiveReport, run_live
from engine.live.trading_terms import check_symbols
from engine.rehearsal.faults import FaultPlan
from engine.rehearsal.server import RehearsalServer

RUN, SYMBOL, OTHER = "r1", "BTC/USDT", "ETH/USDT"
GATEWAY = {"recv_window": 250, "settle": 0.02, "timeout": 5.0, "patience": 10.0}
VENUE = Venue(amount_step=0.001, price_tick=0.01, min_notional=10.0)


@dataclass(frozen=True)
class Always(Strategy):
    """Holds a weight of each symbol from the first bar on; from bar `until` on, nothing."""

    weight: float = 0.3
    until: int = 1_000
    exits: Exits | None = None

    @property
    def warmup(self) -> int:
        return 1

    def targets(self, market: Market) -> pd.DataFrame:
        begun = pd.Timestamp("2024-01-01", tz="UTC")
        late = ((market.index - begun) / pd.Timedelta(market.timeframe)).to_numpy() >= self.until
        weights = np.where(late, 0.0, self.weight)
        return pd.DataFrame(dict.fromkeys(market.symbols, weights), index=market.index)


def level_market(bars: int = 40, price: float = 100.0, symbols: tuple[str, ...] = (SYMBOL,)) -> Market:
    """Bars that stand still."""
    index = pd.date_range("2024-01-01", periods=bars, freq="1h", tz="UTC")
    frame = pd.DataFrame(
        {"open": price, "high": price * 1.001, "low": price * 0.999, "close": price, "volume": 10.0}, index=index
    )
    return Market.from_frames(dict.fromkeys(symbols, frame), "1h")


@dataclass(eq=False)
class Stage:
    """An exchange, a journal, and the sessions of a run on them."""

    journal: Path
    strategy: Strategy = field(default_factory=Always)
    market: Market = field(default_factory=level_market)
    faults: FaultPlan | None = None
    run: str = RUN
    cash: float = 10_000.0
    funds: Decimal = Decimal(10_000)
    dialect: str = "binance"
    venue: Venue = VENUE
    gateway: dict[str, Any] = field(default_factory=lambda: dict(GATEWAY))
    server: RehearsalServer = None  # type: ignore[assignment]

    async def __aenter__(self) -> Self:
        self.server = RehearsalServer(
            self.market,
            dialect=self.dialect,
            venues=self.venue,
            cash=self.funds,
            fees=(Decimal("0.001"), Decimal("0.001")),
            start=5,
            faults=self.faults,
        )
        await self.server.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.server.__aexit__(*raised)

    def client(self) -> Any:
        options = {"apiKey": "rehearsal", "secret": "rehearsal", "enableRateLimit": False}
        client = getattr(ccxt.pro, self.dialect)(options)
        self.server.point(client)
        return client

    async def session(
        self, turns: int = 3, *, stop: Stop | None = None, each: Callable[[int], Any] | None = None, **more: Any
    ) -> LiveReport:
        """One session of so many turns; `each` is called after every one, and may return an awaitable."""
        client, done = self.client(), 0

        async def after(_: int) -> bool:
            nonlocal done
            done += 1
            told = None if each is None else each(done)
            if asyncio.iscoroutine(told):
                await told
            if done < turns:
                await self.server.advance()
            return done < turns

        async def ready(behind: bool) -> None:
            if not behind:
                await self.server.advance()

        usual = {"cash": self.cash, "journal": self.journal, "run": self.run, "costs": Costs(fee=0.001)}
        settings = {**usual, "clock": standing, **more}
        try:
            return await asyncio.wait_for(
                run_live(
                    self.strategy,
                    client,
                    list(self.market.symbols),
                    self.market.timeframe,
                    after_turn=after,
                    when_ready=ready,
                    stop=stop,
                    grace=0.1,
                    gateway_options=self.gateway,
                    **settings,
                ),
                60,
            )
        finally:
            await client.close()

    async def looked(self, act: Callable[[Gateway, Journal, Any], Any] | None = None) -> Any:
        """What `examine` finds; with `act`, what that returns when it is given gateway, journal and findings."""
        client = self.client()
        try:
            await client.load_markets()
            with Journal(self.journal) as book:
                margin_in = check_symbols("stage", self.market.symbols).margin_in
                gateway = Gateway(client, book, run=self.run, margin_in=margin_in, **GATEWAY)
                findings = await examine(gateway, book, self.run, list(self.market.symbols))
                if act is None:
                    return findings
                told = act(gateway, book, findings)
                return await told if asyncio.iscoroutine(told) else told
        finally:
            await client.close()

    def total(self, asset: str) -> Decimal:
        """What the exchange has of it."""
        account = self.server.book.account
        return account.free.get(asset, Decimal(0)) + account.locked.get(asset, Decimal(0))


def on_stage(play: Callable[[Stage], Any], stage: Stage) -> Any:
    """Run `async play(stage)`."""

    async def whole() -> Any:
        async with stage:
            return await play(stage)

    return asyncio.run(whole())
