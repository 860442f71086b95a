"""Sessions whose bars are walked trade by trade, so that what is watched between bars has something to see."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from data import Market
from engine import Strategy
from engine.live.journal import Journal
from engine.live.start import LiveReport
from engine.live.watching import WATCHED, Watch
from engine.rehearsal.server import RehearsalServer
from tests.engine.live.sessions import RUN, SYMBOL, Stage

STOPS = ("createStopLossOrder", "createStopOrder", "createTriggerOrder")
FIRST = 5  # row of the first bar that is decided on


@dataclass(frozen=True)
class Once(Strategy):
    """Buys the first symbol on the bars of these rows, and says nothing else."""

    exits: Any = None
    weight: float = 0.3
    rows: tuple[int, ...] = (FIRST,)

    @property
    def warmup(self) -> int:
        return 1

    def targets(self, market: Market) -> pd.DataFrame:
        begun = pd.Timestamp("2024-01-01", tz="UTC")
        rows = ((market.index - begun) / pd.Timedelta(market.timeframe)).to_numpy().round()
        weights = np.where(np.isin(rows, self.rows), self.weight, np.nan)
        table = pd.DataFrame(np.nan, index=market.index, columns=list(market.symbols))
        return table.assign(**{market.symbols[0]: weights})


def walked_market(
    paths: Mapping[int, Sequence[float]], bars: int = 12, price: float = 100.0, symbols: Sequence[str] = (SYMBOL,)
) -> Market:
    """Bars that stand still, but for these rows, which go from one price to the next."""
    rows, last = [], price
    for row in range(bars):
        way = [last, *paths.get(row, ())]
        rows.append((way[0], max(way), min(way), way[-1], 10.0))
        last = way[-1]
    index = pd.date_range("2024-01-01", periods=bars, freq="1h", tz="UTC")
    frame = pd.DataFrame(rows, columns=["open", "high", "low", "close", "volume"], index=index)
    return Market.from_frames(dict.fromkeys(symbols, frame), "1h")


class SeenWatch(Watch):
    """A watch that says how far it has heard, and whether its session is about to leave a position."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.heard: dict[int, int] = {}
        self.busy = False

    def _hear(self, column: int, trades: Any) -> None:
        super()._hear(column, trades)
        for one in trades:
            self.heard[column] = max(self.heard.get(column, 0), one["timestamp"])

    def keep(self, levels: Any) -> None:
        super().keep(levels)
        self.busy = False

    def taken(self) -> Any:
        found = super().taken()
        self.busy = bool(found)
        return found


@dataclass(eq=False)
class Walked(Stage):
    """A stage without OCO orders, and without `stops` if told so; its bars are walked along `paths`, by row.

    `broken`: no stream of trades. `patience`: seconds to wait for what was traded to be heard.
    """

    paths: Mapping[int, Sequence[Any]] = field(default_factory=dict)
    stops: bool = False
    broken: bool = False
    patience: float = 5.0
    watch: SeenWatch | None = None
    clients: list[Any] = field(default_factory=list)
    walking: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Any:
        await super().__aenter__()
        self.server.advance = self._advance  # type: ignore[method-assign]
        return self

    def client(self) -> Any:
        client = super().client()
        client.private_post_orderlist_oco = None
        client.has |= {} if self.stops else dict.fromkeys(STOPS, False)
        client.has["watchTrades"] = not self.broken
        self.clients.append(client)
        return client

    async def session(self, turns: int = 3, **more: Any) -> LiveReport:
        def made(*args: Any) -> SeenWatch:
            self.watch = SeenWatch(*args)
            return self.watch

        try:
            with mock.patch("engine.live.start.Watch", made):
                return await super().session(turns, **{"watch_exits": True, **more})
        finally:
            if self.walking is not None:
                self.walking.cancel()
                await asyncio.gather(self.walking, return_exceptions=True)

    async def _advance(self) -> dict[str, Any]:
        """The turn is done: the bar is walked while the session waits, then it closes."""
        self.walking = asyncio.create_task(self._walk())
        return {}

    async def _walk(self) -> None:
        row = self.server.exchange.replay.row
        for step in self.paths.get(row, ()):
            await self.trade(step if isinstance(step, Mapping) else {SYMBOL: step})
        await RehearsalServer.advance(self.server)

    async def trade(self, prices: Mapping[str, Any]) -> None:
        """The market trades there, and the session has done what it does about it."""
        names = [f"{self.server.exchange.ids[symbol].lower()}@trade" for symbol in prices]
        columns = [list(self.market.symbols).index(symbol) for symbol in prices]
        listeners = self.server._dialect.streams._listeners  # type: ignore[attr-defined]
        watch = self.watch

        def ready() -> bool:
            pairs = zip(columns, names, strict=True)
            return (
                watch is None or self.broken or all(at not in watch._levels or name in listeners for at, name in pairs)
            )

        await self._until(ready)
        await self.server.trade({symbol: Decimal(str(price)) for symbol, price in prices.items()})
        now = self.server.book.now

        def heard() -> bool:
            if watch is None:
                return True
            told = all(at not in watch._levels or watch.heard.get(at, 0) >= now for at in columns)
            return told and not watch._crossings and not watch.busy

        await self._until(heard)

    async def _until(self, holds: Any) -> None:
        for _ in range(int(self.patience / 0.002)):
            if holds():
                return
            await asyncio.sleep(0.002)

    def exits(self) -> list[tuple[str, str, float]]:
        """Reason, side and price of each fill of a watched exit."""
        with Journal.reading(self.journal) as book:
            orders = [one for one in book.orders(RUN) if one.leg == WATCHED]
            return [
                (one.reason, fill.side, float(fill.price)) for one in orders for fill in book.fills_of(one.client_id)
            ]

    async def is_right(self) -> None:
        """No order twice, every fill once, and every balance explained."""
        self.server._plan = None  # the look is not part of what is tried
        names = [order.client_id for order in self.server.book.orders.values()]
        assert len(set(names)) == len(names)
        findings = await self.looked()
        assert not findings.differences and not findings.unknown and not findings.strangers
        with Journal.reading(self.journal) as book:
            ours = {(one.symbol, one.trade_id) for one in book.fills(RUN)}
        assert ours == {(one.symbol, str(one.id)) for one in self.server.book.trades}
