"""A day of 1-minute bars of 20 symbols, at high speed: what a session holds at its end it held after its warm-up.

The exchange is a process of its own, so what is measured here is the session: resident memory, Python's objects, file
descriptors, threads, tasks, the caches of ccxt, the journal, and how long a turn takes. Warm-up is the first two hours:
until then caches fill, the window of bars and SQLite's page cache among them. `pytest -m slow -s` prints the figures.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine import Costs, Exits, Venue
from engine.live.client import live_client
from engine.live.clock import standing
from engine.live.journal import Journal
from engine.live.start import run_live
from research.strategies import SmaCross
from tests.engine.live.exchange_process import running_exchange

pytestmark = pytest.mark.slow

SYMBOLS = [f"S{number:02d}/USDT" for number in range(20)]
TURNS = 1_440
WARM = 120
EVERY = 20  # turns between two looks
FEE, SLIPPAGE = 0.0002, 0.0001
STRATEGY = SmaCross(3, 10, weight=0.9, exits=Exits(stop_loss=0.004, take_profit=0.006))


def write_market(path: Path) -> None:
    """A random walk of each symbol, one tenth of a percent a minute."""
    rng = np.random.default_rng(7)
    bars = STRATEGY.warmup + 202 + TURNS + 5
    index = pd.date_range("2024-01-01", periods=bars, freq="1min", tz="UTC", name="time")
    tables = []
    for symbol in SYMBOLS:
        close = 100.0 * np.exp(rng.normal(0.0, 0.001, bars).cumsum())
        first = np.concatenate([close[:1], close[:-1]])
        reach = np.abs(rng.normal(0.0, 0.0005, (2, bars)))
        table = {"open": first, "high": np.maximum(first, close) * (1 + reach[0]), "close": close, "volume": 1e5}
        frame = pd.DataFrame({**table, "low": np.minimum(first, close) * (1 - reach[1])}, index=index)
        tables.append(frame.round(2).assign(symbol=symbol).reset_index())
    pd.concat(tables).to_parquet(path)


class Looks:
    """What the process holds, turn by turn."""

    def __init__(self, exchange) -> None:
        self.exchange, self.rows, self.turns = exchange, [], []
        self._last = time.perf_counter()

    def look(self) -> None:
        now = time.perf_counter()
        self.turns.append(now - self._last)
        if len(self.turns) % EVERY == 0:
            gc.collect()
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            caches = [self.exchange.orders, self.exchange.myTrades, *self.exchange.ohlcvs.values()]
            self.rows.append(
                {
                    "turn": len(self.turns),
                    "rss": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
                    "objects": len(gc.get_objects()) + gc.get_freeze_count(),
                    "files": len(list(Path("/proc/self/fd").iterdir())),
                    "threads": threading.active_count(),
                    "tasks": len(asyncio.all_tasks()),
                    "cached": sum(len(one["1m"] if isinstance(one, dict) else one) for one in caches if one),
                }
            )
        self._last = time.perf_counter()


async def soak(url: str, exchange, journal: Path) -> tuple[Looks, object, dict[str, Decimal]]:
    import aiohttp

    looks = Looks(exchange)
    async with aiohttp.ClientSession(url) as control:

        async def advance(_: int = 0) -> bool:
            looks.look()
            async with control.post("/rehearsal/advance") as answer:
                return not (await answer.json())["done"] and len(looks.turns) <= TURNS

        async def ready(behind: bool) -> None:
            await advance()

        try:
            report = await run_live(
                STRATEGY, exchange, SYMBOLS, "1m", cash=100_000.0, journal=journal, run="soak",
                costs=Costs(fee=FEE, slippage=SLIPPAGE), after_turn=advance, when_ready=ready, clock=standing,
                venues=dict.fromkeys(SYMBOLS, Venue(amount_step=1e-4, price_tick=1e-2, min_notional=10.0)),
            )  # fmt: skip
            told = await exchange.fetch_balance()
        finally:
            await exchange.close()
    balances = {one["asset"]: Decimal(one["free"]) + Decimal(one["locked"]) for one in told["info"]["balances"]}
    return looks, report, balances


def test_a_day_of_minutes_leaves_nothing_behind(tmp_path) -> None:
    write_market(tmp_path / "bars.parquet")
    options = ["--timeframe", "1m", "--start", str(STRATEGY.warmup + 202), "--cash", "100000", "--taker", str(FEE)]
    options += ["--maker", str(FEE), "--slippage", str(SLIPPAGE)]
    with running_exchange(tmp_path / "bars.parquet", *options) as server:
        exchange = live_client("binance", None, rehearsal=server.url)
        exchange.enableRateLimit = False
        began = time.perf_counter()
        looks, report, balances = asyncio.run(soak(server.url, exchange, tmp_path / "soak.sqlite"))
        took = time.perf_counter() - began
    held = pd.DataFrame(looks.rows).set_index("turn")
    warm, end = held[held.index > WARM].head(5).median(), held.tail(5).median()
    with Journal.reading(tmp_path / "soak.sqlite") as journal:
        orders, fills = journal.orders("soak"), journal.fills("soak")
        turns_with_orders = len({intent.bar for intent in orders})
        states = {journal.state(intent.client_id) for intent in orders}
        opening, changes = journal.balances("soak", "opening"), journal.rebuild("soak").changes
        heartbeats = len(journal.heartbeats("soak"))
    size = sum(path.stat().st_size for path in tmp_path.glob("soak.sqlite*"))
    early, late = np.median(looks.turns[WARM : WARM + 300]), np.median(looks.turns[-300:])
    growth = end / warm - 1.0
    print(  # noqa: T201
        f"\n{report.turns} turns in {took:.0f} s, {len(orders)} orders in {turns_with_orders} of them, {len(fills)} "
        f"fills, {sum(intent.kind == 'oco' for intent in orders)} pairs of barriers\n"
        f"resident {warm['rss']:.1f} -> {end['rss']:.1f} MB ({growth['rss']:+.2%}), objects {warm['objects']:.0f} -> "
        f"{end['objects']:.0f} ({growth['objects']:+.2%}), files {warm['files']:.0f} -> {end['files']:.0f}, threads "
        f"{warm['threads']:.0f} -> {end['threads']:.0f}, tasks {warm['tasks']:.0f} -> {end['tasks']:.0f}, cached by "
        f"ccxt {warm['cached']:.0f} -> {end['cached']:.0f}\n"
        f"a turn {early * 1e3:.1f} -> {late * 1e3:.1f} ms, journal {size / 1e6:.1f} MB, {size / len(orders):.0f} bytes "
        f"an order"
    )
    assert report.turns >= TURNS and turns_with_orders > TURNS / 2
    assert growth["rss"] < 0.05 and growth["objects"] < 0.05
    assert end["objects"] - warm["objects"] < TURNS / 2, "what one turn left behind, every turn would"
    assert len(report.session.tally._counted) <= 2 * len(SYMBOLS), "fills that are known as counted"
    assert end["files"] <= warm["files"] and end["threads"] <= warm["threads"] and end["tasks"] <= warm["tasks"]
    assert held["tasks"].max() < 20
    assert late < 1.5 * early
    assert size / len(orders) < 5_000
    assert heartbeats >= report.turns
    assert all(state.final or state == "acknowledged" for state in states)
    expected = {name: opening.get(name, Decimal(0)) + changes.get(name, Decimal(0)) for name in {*opening, *changes}}
    found = {name: total for name, total in balances.items() if total}
    assert {name: total for name, total in expected.items() if total} == found
