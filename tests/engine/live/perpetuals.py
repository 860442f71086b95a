"""Rehearsals of perpetuals: a market of them, and rehearsals by number with heavy faults and killed processes."""

from __future__ import annotations

import pandas as pd

from data import Market, load_sample
from engine import Costs, Exits, RiskLimits, Venue
from engine.live.life import Nursery
from engine.live.rehearsing import Rehearsal, rehearse_async
from research.strategies import SmaCross

PAIRS = ("BTC/USD", "ETH/USD", "LTC/USD")
COSTS = Costs(fee=(0.0002, 0.001), slippage=0.0005)
VENUE = Venue(shorts=True, leverage=3.0, amount_step=1e-4, price_tick=0.01, min_notional=5.0)
BARRIERS = (None, Exits(stop_loss=0.01), Exits(stop_loss=0.01, take_profit=0.01), Exits(trailing=(0.005, 0.005)))


def perpetuals(count: int, first: int = 2_900, pairs: tuple[str, ...] = PAIRS) -> Market:
    """Bars of the sample as if they were of linear perpetuals."""
    sample = load_sample(list(pairs)).iloc(first, first + count)
    names = ("open", "high", "low", "close", "volume")
    frames = {
        pair.replace("/USD", "/USDT:USDT"): pd.DataFrame({name: sample[name][pair] for name in names}).dropna()
        for pair in pairs
    }
    return Market.from_frames(frames, sample.timeframe)


def both_ways(fast: int, slow: int, exits: Exits | None = None, weight: float = 0.9) -> SmaCross:
    """Long above, short below."""
    return SmaCross(fast, slow, weight=weight, below=-weight, exits=exits)


async def schedule_async(seed: int, turns: int, nursery: Nursery | None = None) -> Rehearsal:
    """The rehearsal of a number: heavy faults in nine of ten, every other one's process killed by turns."""
    return await rehearse_async(
        both_ways(2, 5, BARRIERS[seed // 2 % 4]),
        perpetuals(8 + turns, 2_900 + seed * 37 % 20_000),
        costs=COSTS,
        venue=VENUE,
        risk=RiskLimits(max_position=0.4, max_gross=0.9) if seed % 3 == 0 else None,
        faults="none" if seed % 10 == 9 else "heavy",
        seed=seed,
        crashes=0.2 if seed % 2 else 0.0,
        limit=300.0,
        nursery=nursery,
    )
