"""A run of paper with live prices as a process of its own, for tests that kill it; it moves the exchange's bars on.

python -m tests.engine.live.paper_process http://127.0.0.1:8080 journal.sqlite
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import aiohttp

from engine import Exits
from engine.live.client import live_client
from engine.live.clock import standing
from engine.live.paper_live import run_paper_live
from research.strategies import SmaCross
from tests.engine.live.on_paper import COSTS, RUN, VENUE

STRATEGY = SmaCross(3, 10, weight=0.9, exits=Exits(stop_loss=0.01, take_profit=0.015))
SYMBOLS = ["BTC/USD", "ETH/USD", "LTC/USD"]


async def run(url: str, journal: Path) -> None:
    """Until the exchange's bars end; the report's figures as a line of JSON."""
    exchange = live_client("binance", None, rehearsal=url)

    async def advance(_: int = 0) -> bool:
        async with aiohttp.ClientSession() as http, http.post(f"{url}/rehearsal/advance") as answer:
            return not (await answer.json())["done"]

    async def ready(behind: bool) -> None:
        if not behind:
            await advance()

    try:
        report = await run_paper_live(
            STRATEGY,
            exchange,
            SYMBOLS,
            "30m",
            cash=10_000.0,
            journal=journal,
            run=RUN,
            costs=COSTS,
            venues=dict.fromkeys(SYMBOLS, VENUE),
            after_turn=advance,
            when_ready=ready,
            grace=0.02,
            clock=standing,
        )
    finally:
        await exchange.close()
    report.result.to_parquet(journal.with_suffix(".parquet"))
    sys.stdout.write(json.dumps({"turns": report.turns, "slept": report.slept}) + "\n")


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], Path(sys.argv[2])))
