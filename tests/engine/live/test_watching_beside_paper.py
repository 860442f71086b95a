"""Watched exits beside paper's on stored bars: the same orders in the same bars, at prices a little beyond the levels.

A bar is walked from its open to its low, its high and its close, each way in so many trades of even distance; what a
market order after the crossing costs is then a matter of how far apart trades are.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data import Market, load_sample
from engine import Costs, Exits, Strategy, Venue, paper
from engine.live.beside_paper import Begun
from engine.live.journal import Journal
from engine.live.watching import WATCHED
from engine.rehearsal.server import RehearsalServer
from tests.engine.live.sessions import RUN
from tests.engine.live.walked import FIRST, Walked

EXITS = Exits(stop_loss=0.01, take_profit=0.012)
TICK = 1e-5


@dataclass(frozen=True)
class Again(Strategy):
    """Buys for a fixed sum on every bar without a position of its own: each exit is followed by a purchase."""

    exits: Exits | None = EXITS
    order_notional: float | None = 1_000.0

    @property
    def warmup(self) -> int:
        return 1

    def targets(self, market: Market) -> pd.DataFrame:
        return pd.DataFrame(1.0, index=market.index, columns=list(market.symbols))


@dataclass(eq=False)
class Stored(Walked):
    """Every bar of the market is walked, in so many trades a way."""

    steps: int = 10

    async def _walk(self) -> None:
        for symbol, bar in self.server.exchange.replay.bars().items():
            corners = [bar.open, bar.low, bar.high, bar.close]
            for start, end in pairwise(corners):
                for part in range(1, self.steps + 1):
                    price = start + (end - start) * part / self.steps
                    if price != self.server.book.last[symbol]:
                        await self.trade({symbol: price.quantize(Decimal(str(TICK))) if part < self.steps else end})
        await RehearsalServer.advance(self.server)


def beside(
    folder: Path, bars: int, steps: int, *, stops: bool, first: int = 2_900
) -> tuple[int, dict[str, np.ndarray]]:
    """How many orders there were, paper's but for the price, and by how much watched exits were worse (bps)."""
    market = load_sample(["BTC/USD"]).iloc(first, first + bars + FIRST + 1)
    venue = Venue(amount_step=1e-6, price_tick=TICK, min_notional=10.0)
    folder.mkdir(exist_ok=True)
    stage = Stored(folder / "j.sqlite", Again(), market, venue=venue, stops=stops, steps=steps)

    async def play() -> Any:
        async with stage:
            await stage.session(bars, costs=Costs(fee=0.001, slippage=0.0))
            await stage.is_right()

    async def whole() -> Any:
        await asyncio.wait_for(play(), 600)

    asyncio.run(whole())
    begun = replace(Begun(), inner=Again(), when=market.index[FIRST])
    wanted = paper(begun, market, cash=10_000.0, costs=Costs(fee=0.001, slippage=0.0), venue=venue).orders
    length = pd.Timedelta(market.timeframe)
    with Journal.reading(stage.journal) as book:
        orders = [(one, fill) for one in book.orders(RUN) for fill in book.fills_of(one.client_id)]
    last = market.index[FIRST + bars]
    wanted = wanted[(wanted["filled_at"] < last) & (wanted["decided_at"] < last)]
    worse: dict[str, list[float]] = {}
    mine = [(one, fill) for one, fill in orders if pd.Timestamp(fill.at, unit="ms", tz="UTC") < last]
    assert len(mine) == len(wanted)
    for (intent, fill), other in zip(mine, wanted.itertuples(), strict=True):
        assert (fill.side, float(fill.amount)) == (other.side, pytest.approx(other.amount, rel=1e-9))
        assert pd.Timestamp(fill.at, unit="ms", tz="UTC").floor(length) == other.filled_at.floor(length)
        if intent.leg == WATCHED:
            assert intent.reason == other.reason
            worse.setdefault(intent.reason, []).append((1.0 - float(fill.price) / other.price) * 1e4)
        else:
            assert float(fill.price) == pytest.approx(other.price, rel=1e-6)
    return len(mine), {reason: np.array(values) for reason, values in worse.items()}


@pytest.mark.parametrize("stops", [True, False], ids=["stop rests", "both watched"])
def test_watched_exits_are_papers_in_the_same_bars(tmp_path, stops) -> None:
    count, worse = beside(tmp_path, 20, 5, stops=stops)
    assert count > 20
    assert set(worse) == ({"take profit"} if stops else {"stop loss", "take profit"})
    # The trade that crosses a level is at it or beyond: a stop costs, a profit brings.
    assert (worse["take profit"] <= 1e-6).all() and (worse.get("stop loss", np.zeros(1)) >= -1e-6).all()


@pytest.mark.slow
def test_the_nearer_trades_are_to_each_other_the_nearer_exits_are_to_papers(tmp_path) -> None:
    """The figures of docs/live.md: `pytest -s` prints them."""
    found = {}
    for steps in (5, 20):
        count, worse = beside(tmp_path / str(steps), 200, steps, stops=False)
        found[steps] = worse["stop loss"].mean()
        told = ", ".join(
            f"{len(values)} by {reason}: mean {values.mean():+.2f}, worst {values.max():+.2f} bps"
            for reason, values in sorted(worse.items())
        )
        sys.stdout.write(f"{steps} trades a way: {count} orders, {told}\n")
    assert found[20] < found[5]
