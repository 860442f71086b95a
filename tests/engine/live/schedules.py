"""Rehearsals by number: each with its own bars, strategy, limits, faults and restarts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from data import load_sample
from engine import Costs, Exits, RiskLimits, Venue
from engine.live.life import Nursery
from engine.live.rehearsing import Rehearsal, rehearse_async
from research.strategies import SmaCross

BARRIERS = (None, Exits(stop_loss=0.01), Exits(stop_loss=0.01, take_profit=0.01), Exits(trailing=(0.005, 0.005)))


def schedules(
    seeds: Iterable[int], turns: int, at_once: int, one: Callable[..., Awaitable[Rehearsal]] | None = None
) -> dict[int, Rehearsal]:
    """The rehearsals of numbers: heavy faults in nine of ten, and every other session's process killed by turns.

    Some at once, for they wait most of the time; the processes of each are forked from one nursery.
    """
    left, found, rehearsed = iter(seeds), {}, one or schedule_async

    async def some() -> None:
        async with Nursery() as nursery:
            for seed in left:
                found[seed] = await rehearsed(seed, turns, nursery)

    async def all_of_them() -> None:
        await asyncio.gather(*(some() for _ in range(at_once)))

    asyncio.run(all_of_them())
    return found


class Sums(NamedTuple):
    faults: Counter[str]
    kills: int


def summed(rehearsals: Iterable[Rehearsal]) -> Sums:
    """What went wrong in rehearsals, printed with their orders and fills; raises what must hold and does not."""
    told = list(rehearsals)
    faults = sum((Counter(one.faults) for one in told), Counter[str]())
    orders, fills, kills = (sum(getattr(one, name) for one in told) for name in ("orders", "fills", "crashes"))
    kinds = ", ".join(f"{count} {kind}" for kind, count in faults.most_common())
    print(f"\n{len(told)} schedules: {orders} orders, {fills} fills, {kills} kills, faults: {kinds}")  # noqa: T201
    for one in told:
        one.raise_if_broken()
    return Sums(faults, kills)


async def schedule_async(seed: int, turns: int, nursery: Nursery | None = None) -> Rehearsal:
    """The rehearsal of a number."""
    first = 2_900 + seed * 37 % 20_000
    market = load_sample(["BTC/USD", "ETH/USD", "LTC/USD"]).iloc(first, first + 8 + turns)
    return await rehearse_async(
        SmaCross(2, 5, weight=0.9, exits=BARRIERS[seed // 2 % 4]),
        market,
        costs=Costs(fee=0.001, slippage=0.0005),
        venue=Venue(amount_step=1e-4, price_tick=1e-8, min_notional=10.0),
        risk=RiskLimits(max_position=0.4, max_gross=0.9) if seed % 3 == 0 else None,
        faults="none" if seed % 10 == 9 else "heavy",
        seed=seed,
        crashes=0.2 if seed % 2 else 0.0,
        limit=300.0,
        nursery=nursery,
    )
