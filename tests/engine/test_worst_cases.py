"""What would have flattered a backtest or let a limit slip, found by review: each case by hand, in both engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data import ValidationError
from engine import Costs, Exits, RiskLimits, Venue, backtest
from engine.strategy import parameters
from research.strategies import SmaCross
from tests.engine.given import Given
from tests.engine.worked_bars import Play, market_of, orders_of

NAN = np.nan
COSTLY = Costs(fee=(0.001, 0.002), slippage=0.01)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_buying_on_does_not_carry_the_trailing_stop_away(play: Play, side: float) -> None:
    # Up 2% ten times, then down 1% at each bar, a weight repeated at each: every bar on the way down enlarges.
    rises = [100 * 1.02**number for number in range(11)]
    bars = [
        price**side * 100 ** (1 - side) for price in [*rises, *(rises[-1] * 0.99**number for number in range(1, 41))]
    ]
    result = play(bars, [0.5 * side] * 30, exits=Exits(trailing=(0.05, 0.05)), venue=Venue(shorts=True))
    stops = result.orders[result.orders["reason"] == "trailing stop"]
    # Bar 11 is the first on the way back; 5% of the average entry are lost after a handful.
    assert 11 < result.equity.index.get_loc(stops["filled_at"].iloc[0]) <= 17


def test_best_price_is_averaged_as_the_entry_is(play: Play) -> None:
    # 3 at 100; best 120; 5 more at 110: average 106.25, best 113.75, the stop a fifth of the average behind: 92.5.
    bars = [100, 100, (100, 120, 100, 110), (110, 110, 104, 104), (104, 104, 92, 92)]
    exits, venue = Exits(trailing=(0.01, 0.2)), Venue(amount_step=1.0)
    result = play(bars, [0.3, NAN, 880 / 1_030], exits=exits, venue=venue)
    assert orders_of(result)[1:] == [(3, "A", 5, 110, "target"), (4, "A", -8, 92.5, "trailing stop")]


@pytest.mark.parametrize(
    ("exits", "start", "reason"),
    [
        (Exits(stop_loss=0.05), 94, "stop loss"),
        (Exits(take_profit=0.05), 106, "take profit"),
        (Exits(time_limit=pd.Timedelta("2h")), 100, "time limit"),
    ],
)
def test_position_that_leaves_at_an_open_is_not_enlarged_there(
    play: Play, exits: Exits, start: float, reason: str
) -> None:
    result = play([100, 100, 100, start, start], [0.1, NAN, 0.9], exits=exits)
    assert orders_of(result) == [(1, "A", 1, 100, "target"), (3, "A", -1, start, reason)]


def test_order_that_reverses_goes_at_the_open_and_not_the_stop(play: Play) -> None:
    result = play([100, 100, 100, 94], [0.1, NAN, -0.1], exits=Exits(stop_loss=0.05), venue=Venue(shorts=True))
    assert orders_of(result)[1:] == [(3, "A", -2, 94, "target")]


def test_profit_that_the_market_is_beyond_when_it_is_set_takes_from_the_book(play: Play) -> None:
    # 2 at 100 and 3 more at 106 with a tenth of the distance: average 103.6, profit 104.64, the market at 106.
    bars, exits = [100, 100, 106, 106], Exits(take_profit=0.1)
    plain = play(bars, [0.2, NAN, 0.53], exits=exits, scale=[1.0, NAN, 0.1], venue=Venue(amount_step=1.0))
    assert orders_of(plain)[1:] == [(3, "A", 3, 106, "target"), (3, "A", -5, 106, "take profit")]
    costly = play(
        bars, [0.2, NAN, 0.53], exits=exits, scale=[1.0, NAN, 0.1], costs=COSTLY, venue=Venue(amount_step=1.0)
    )
    exit_order = costly.orders.iloc[-1]
    assert (exit_order["reason"], exit_order["price"]) == ("take profit", pytest.approx(106 * 0.99))
    assert exit_order["fee"] == pytest.approx(5 * 106 * 0.99 * 0.002)


def test_halt_flattens_over_a_gap_whatever_the_next_day_decides(play: Play) -> None:
    # A falls 30% at 22:00 and has no bar until 01:00; at midnight, on that stale price, the strategy wants it again.
    bars: dict[str, list[Any]] = {"A": [100] * 22 + [(100, 100, 70, 70), None, None, 60, 60], "B": [10] * 27}
    weights = {"A": [1.0] + [NAN] * 23 + [1.0], "B": [NAN]}
    result = play(bars, weights, risk=RiskLimits(max_daily_loss=0.2))
    assert orders_of(result) == [(1, "A", 10, 100, "target"), (25, "A", -10, 60, "halt, daily loss")]


def test_data_age_is_of_the_symbols_own_last_bar(play: Play) -> None:
    bars: dict[str, list[Any]] = {"A": [100, None, None, None, 100, 100], "B": [10] * 6}
    limits = RiskLimits(max_data_age=pd.Timedelta("1h"))
    stale = play(bars, {"A": [NAN, NAN, NAN, 1.0], "B": [NAN]}, risk=limits)
    assert len(stale.orders) == 0
    assert stale.risk_events[["verdict", "rule"]].to_numpy().tolist() == [["blocked", "max_data_age"]]
    fresh = play(bars, {"A": [NAN, NAN, NAN, NAN, 1.0], "B": [NAN]}, risk=limits)
    assert orders_of(fresh) == [(5, "A", 10, 100, "target")]


@pytest.mark.parametrize(("late", "paid"), [("0s", 0.0), ("3ms", 0.0), ("59s", 0.0), ("2min", 10.0)])
def test_funding_stamped_late_falls_on_who_held_at_the_full_hour(play: Play, late: str, paid: float) -> None:
    rate = pd.Series([0.01], [pd.Timestamp("2024-01-01 01:00", tz="UTC") + pd.Timedelta(late)])
    costs = Costs(fee=0.0, slippage=0.0, funding=rate)
    result = play([100, 100, 100], [1.0], costs=costs, venue=Venue(shorts=True))
    assert result.charges["paid"].sum() == pytest.approx(paid)


def test_target_of_zero_closes_more_than_the_largest_order_at_once(play: Play) -> None:
    result = play([100] * 5, [0.3, 0.6, NAN, 0.0], venue=Venue(max_amount=3.0))
    assert [order[2] for order in orders_of(result)] == [3, 3, -6]


@pytest.mark.parametrize("name", ["max_daily_loss", "max_drawdown", "price_collar"])
def test_limit_in_percent_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} 3 must be a fraction below 1: 0.03 for 3%"):
        RiskLimits(**{name: 3})


def test_field_that_is_set_without_its_type_is_refused_and_not_ignored() -> None:
    @dataclass(frozen=True)
    class Mine(SmaCross):
        exits = Exits(stop_loss=0.01)

    with pytest.raises(ValidationError, match="Mine: exits is a field, and set without its type it changes nothing"):
        parameters(Mine())

    @dataclass(frozen=True)
    class Typed(SmaCross):
        exits: Exits | None = Exits(stop_loss=0.01)  # noqa: RUF009  (frozen)

    assert parameters(Typed())["exits"] == Exits(stop_loss=0.01)


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"costs": Costs(borrow=0.1)}, "borrow on a spot venue"),
        ({"costs": Costs(fee=(-0.001, 0.001), fee_in="bought")}, "no venue pays a rebate in coins"),
        ({"costs": Costs(fee=(-0.01, 0.001)), "venue": Venue(shorts=True, leverage=100)}, "lower the leverage"),
    ],
)
def test_terms_that_make_no_sense_together_are_refused(terms: dict[str, Any], says: str) -> None:
    market = market_of({"A": [100, 100]})
    table = pd.DataFrame({"A": [1.0, NAN]}, index=market.index)
    with pytest.raises(ValidationError, match=says):
        backtest(Given(table), market, **terms)


@pytest.mark.parametrize(
    ("field", "value", "says"), [("high", 99.0, "high below low"), ("volume", -1.0, "negative vol")]
)
def test_bars_that_no_market_could_have_are_refused(field: str, value: float, says: str) -> None:
    market = market_of({"A": [100, 100]})
    broken = market.with_fields(**{field: market[field] * 0.0 + value})
    with pytest.raises(ValidationError, match=says):
        backtest(Given(pd.DataFrame({"A": [1.0, NAN]}, index=market.index)), broken)


def test_loss_of_exactly_the_limit_halts_and_a_move_of_exactly_the_collar_passes(play: Play) -> None:
    # 1 - 900 / 1000 is 0.09999999999999998, and 105 / 100 - 1 is 0.050000000000000044.
    halted = play([100, 100, 90, 90], [1.0], risk=RiskLimits(max_daily_loss=0.1))
    assert orders_of(halted)[1:] == [(3, "A", -10, 90, "halt, daily loss")]
    passed = play([100, 105], [0.5], risk=RiskLimits(price_collar=0.05))
    assert orders_of(passed) == [(1, "A", 5, 105, "target")]
