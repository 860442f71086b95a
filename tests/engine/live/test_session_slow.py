"""The live session over many bars and many schedules of faults and restarts; `pytest -m slow -s` prints their sums."""

from __future__ import annotations

from collections import Counter

import pytest

from data import load_sample
from engine import Costs, Exits, Venue
from engine.live.rehearsing import rehearse
from research.strategies import SmaCross
from tests.engine.live.schedules import schedule

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("exits", [None, Exits(stop_loss=0.02, take_profit=0.04)], ids=["plain", "barriers"])
def test_two_thousand_bars_of_five_symbols_give_the_orders_of_paper(exits: Exits | None) -> None:
    rehearsal = rehearse(
        SmaCross(5, 20, weight=0.9, exits=exits),
        load_sample().iloc(2_900, 4_930),
        costs=Costs(fee=0.001, slippage=0.0005),
        venue=Venue(amount_step=1e-4, price_tick=1e-8, min_notional=10.0),
    )
    print(rehearsal)  # noqa: T201
    rehearsal.raise_if_broken()
    assert rehearsal.bars > 2_000 and rehearsal.matched > 600


_KINDS = 16
_PARTS = 10


@pytest.mark.parametrize("part", range(_PARTS))
def test_five_hundred_schedules_of_faults(part: int) -> None:
    """Ten parts of fifty, so that they spread over the cores; every other one kills its sessions."""
    faults, restarts, orders, fills = Counter[str](), 0, 0, 0
    for seed in range(1_000 + 50 * part, 1_050 + 50 * part):
        rehearsal = schedule(seed, turns=14)
        rehearsal.raise_if_broken()
        faults.update(rehearsal.faults)
        restarts, orders, fills = restarts + rehearsal.crashes, orders + rehearsal.orders, fills + rehearsal.fills
    print(f"part {part}: {orders} orders, {fills} fills, {restarts} kills, faults: {dict(faults)}")  # noqa: T201
    assert sum(faults.values()) > 800 and restarts > 30 and len(faults) >= _KINDS - 2
