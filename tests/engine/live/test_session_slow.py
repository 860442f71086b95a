"""The live session over many bars and many schedules of faults and restarts; `pytest -m slow -s` prints their sums."""

from __future__ import annotations

import pytest

from data import load_sample
from engine import Costs, Exits, Venue
from engine.live.rehearsing import rehearse
from research.strategies import SmaCross
from tests.engine.live.schedules import schedules, summed

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
_AT_ONCE = 4


def test_five_hundred_schedules_of_faults() -> None:
    """Every other one kills its sessions' processes; `pytest -m slow -s` prints the sums."""
    rehearsals = schedules(range(1_000, 1_500), turns=10, at_once=_AT_ONCE)
    faults, kills = summed(rehearsals.values())
    assert len(rehearsals) == 500 and sum(faults.values()) > 5_000 and kills > 250 and len(faults) == _KINDS
