"""Worse terms: dearer, later, beside: each against what it is by hand."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import ValidationError
from engine import Costs, SquareRootImpact, backtest
from engine.run import lay_ground
from engine.venue import Venue
from research.evidence.planted import CoinFlips, SignalFollower, planted_market
from research.evidence.stress import Delayed, costs_times, dearer, late_fills, neighbourhood

COSTS = Costs(fee=0.003, slippage=0.001)


@pytest.fixture(scope="module")
def market():
    return planted_market(3, edge=0.08, bars=4_000)


@pytest.fixture(scope="module")
def ground(market):
    return lay_ground(market, 10_000.0, COSTS, Venue(), None, None)


def test_costs_are_multiplied_and_rebates_are_not() -> None:
    dear = costs_times(Costs(fee=(-0.0001, 0.0004), slippage=0.001, borrow=0.05), 3.0)
    assert (dear.maker_fee, dear.taker_fee) == pytest.approx((-0.0001, 0.0012)) and dear.borrow == 0.05
    assert dear.slippage == pytest.approx(0.003)
    impact = costs_times(Costs(slippage=SquareRootImpact(0.1, 0.0001)), 2.0).slippage
    assert isinstance(impact, SquareRootImpact) and impact.coefficient == 0.2 and impact.base == 0.0002
    with pytest.raises(ValidationError, match="venue"):
        costs_times(Costs(fee="venue"), 2.0)


def test_break_even_is_where_nothing_is_earned(market, ground) -> None:
    double, even = dearer(SignalFollower(), ground)
    twice = backtest(SignalFollower(), market, costs=costs_times(COSTS, 2.0))
    assert double.value == pytest.approx(float(twice.stats()["sharpe"]), rel=1e-12)
    multiple = even.value
    assert multiple is not None and 2.0 < multiple < 10.0
    earned = [
        float(backtest(SignalFollower(), market, costs=costs_times(COSTS, multiple * share)).stats()["total_return"])
        for share in (0.99, 1.01)
    ]
    assert earned[0] > 0.0 > earned[1]


def test_what_earns_nothing_bears_no_costs(market) -> None:
    costs = Costs(fee=0.02, slippage=0.0)
    ground = lay_ground(market, 10_000.0, costs, Venue(), None, None)
    assert dearer(CoinFlips(1), ground)[1].value == 0.0


def test_late_decisions_are_those_of_before(market, ground) -> None:
    late = Delayed(SignalFollower(), 2).targets(market)
    on_time = SignalFollower().targets(market)
    np.testing.assert_array_equal(late.iloc[2:].to_numpy(), on_time.iloc[:-2].to_numpy())
    sharpe = float(backtest(SignalFollower(), market, costs=COSTS).stats()["sharpe"])
    found = late_fills(SignalFollower(), ground, sharpe)
    one = float(backtest(Delayed(SignalFollower(), 1), market, costs=COSTS).stats()["sharpe"])
    assert found.value == pytest.approx(one / sharpe, rel=1e-12)


def test_neighbours_are_the_next_of_the_grid_or_a_tenth_away(ground) -> None:
    chosen = SignalFollower(threshold=0.2, weight=0.5)
    free = neighbourhood(chosen, ground, 1.0, None)
    assert set(free.chart) - {"chosen"} == {"threshold=0.18", "threshold=0.22", "weight=0.45", "weight=0.55"}
    grid = {"threshold": (0.0, 0.1, 0.2, 0.4, 0.8), "weight": (0.5,)}
    assert set(neighbourhood(chosen, ground, 1.0, grid).chart) - {"chosen"} == {"threshold=0.1", "threshold=0.4"}
    assert neighbourhood(CoinFlips(5, weight=0.5), ground, 1.0, {"number": (5,), "weight": (0.5,)}).value is None
