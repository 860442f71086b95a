"""Perpetuals over many bars and many schedules of faults and restarts; `pytest -m slow -s` prints their sums."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from engine import Exits
from engine.live.life import Nursery
from engine.live.rehearsing import Rehearsal, rehearse
from tests.engine.live.perpetuals import COSTS, VENUE, both_ways, perpetuals, schedule_async

pytestmark = pytest.mark.slow
_SCHEDULES = range(2_000, 2_040)
_KINDS = 16
_AT_ONCE = 3


@pytest.mark.parametrize("exits", [None, Exits(stop_loss=0.02, take_profit=0.03)], ids=["plain", "barriers"])
def test_a_thousand_bars_of_three_perpetuals_give_the_orders_of_paper(exits: Exits | None) -> None:
    rehearsal = rehearse(both_ways(3, 10, exits), perpetuals(1_030), costs=COSTS, venue=VENUE)
    print(rehearsal)  # noqa: T201
    rehearsal.raise_if_broken()
    assert rehearsal.bars > 1_000 and rehearsal.matched > 400


def test_forty_schedules_of_faults() -> None:
    """Every other one kills its sessions' processes; `pytest -m slow -s` prints the sums."""
    rehearsals = asyncio.run(_rehearsed())
    faults, kills, orders, fills = Counter[str](), 0, 0, 0
    for rehearsal in rehearsals:
        faults.update(rehearsal.faults)
        kills, orders, fills = kills + rehearsal.crashes, orders + rehearsal.orders, fills + rehearsal.fills
    told = ", ".join(f"{count} {kind}" for kind, count in faults.most_common())
    print(f"\n{len(rehearsals)} schedules: {orders} orders, {fills} fills, {kills} kills, faults: {told}")  # noqa: T201
    for rehearsal in rehearsals:
        rehearsal.raise_if_broken()
    assert sum(faults.values()) > 800 and kills > 25 and len(faults) == _KINDS


async def _rehearsed() -> list[Rehearsal]:
    seeds = iter(_SCHEDULES)

    async def some() -> list[Rehearsal]:
        async with Nursery() as nursery:
            return [await schedule_async(seed, 14, nursery) for seed in seeds]

    found = await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
    return [rehearsal for part in found for rehearsal in part]
