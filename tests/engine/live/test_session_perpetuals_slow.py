"""Perpetuals over many bars and many schedules of faults and restarts; `pytest -m slow -s` prints their sums."""

from __future__ import annotations

import pytest

from engine import Exits
from engine.live.rehearsing import rehearse
from tests.engine.live.perpetuals import COSTS, VENUE, both_ways, perpetuals, schedule_async
from tests.engine.live.schedules import schedules, summed

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
    faults, kills = summed(schedules(_SCHEDULES, 14, _AT_ONCE, schedule_async).values())
    assert sum(faults.values()) > 800 and kills > 25 and len(faults) == _KINDS
