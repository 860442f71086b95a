"""Execution rules 5 and 6: where, when and at what price a barrier closes a position, by hand and in both engines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine import Costs, Exits, Result, Venue
from tests.engine.worked_bars import Bar, Play, decisions_of, orders_of

SHORTS = Venue(shorts=True)
NAN = np.nan
STOP, PROFIT = Exits(stop_loss=0.05), Exits(take_profit=0.05)
BOTH = Exits(stop_loss=0.05, take_profit=0.05)


def mirrored(bar: Bar) -> Bar:
    """The bar upside down round 100: what happens to a long in the one happens to a short in the other."""
    if isinstance(bar, tuple):
        start, high, low, close = bar
        return 200 - start, 200 - low, 200 - high, 200 - close
    return None if bar is None else 200 - bar


def long_and_short(play: Play, bars: list[Bar], weights: list[float], **terms) -> list[list[tuple]]:
    """Orders of a long, and of a short over the mirrored bars, told as if it were the long."""
    long = play(bars, weights, **terms)
    short = play([mirrored(bar) for bar in bars], [-weight for weight in weights], venue=SHORTS, **terms)
    assert short.equity.tolist() == pytest.approx(long.equity.tolist())
    told = [
        (at, symbol, pytest.approx(-amount.expected), pytest.approx(200 - price.expected), why)
        for at, symbol, amount, price, why in orders_of(short)
    ]
    return [orders_of(long), told]


# Stop and profit


@pytest.mark.parametrize(
    ("exits", "bar", "price", "reason"),
    [
        pytest.param(STOP, (100, 101, 94, 97), 95, "stop loss", id="stop-within"),
        pytest.param(STOP, (100, 101, 95, 97), 95, "stop loss", id="stop-touched"),
        pytest.param(STOP, (93, 99, 92, 98), 93, "stop loss", id="open-beyond-stop"),
        pytest.param(STOP, (95, 99, 95, 98), 95, "stop loss", id="open-at-stop"),
        pytest.param(PROFIT, (100, 106, 99, 104), 105, "take profit", id="profit-within"),
        pytest.param(PROFIT, (100, 105, 99, 104), 105, "take profit", id="profit-touched"),
        pytest.param(PROFIT, (107, 108, 106, 106), 107, "take profit", id="open-beyond-profit"),
        pytest.param(BOTH, (100, 106, 94, 104), 95, "stop loss", id="both-in-one-bar"),
        pytest.param(BOTH, (106, 107, 94, 95), 106, "take profit", id="open-at-profit-then-stop"),
        pytest.param(BOTH, (94, 107, 93, 106), 94, "stop loss", id="open-at-stop-then-profit"),
    ],
)
def test_barrier_closes_the_position(play: Play, exits: Exits, bar: Bar, price: float, reason: str) -> None:
    for orders in long_and_short(play, [100, 100, bar], [1.0], exits=exits):
        assert orders == [(1, "A", 10, 100, "target"), (2, "A", -10, price, reason)]


@pytest.mark.parametrize("bar", [(100, 104.99, 95.01, 97), (95.01, 104.99, 95.01, 104)])
def test_bar_that_reaches_neither_barrier_closes_nothing(play: Play, bar: Bar) -> None:
    for orders in long_and_short(play, [100, 100, bar], [1.0], exits=BOTH):
        assert len(orders) == 1


@pytest.mark.parametrize(
    ("bar", "price", "reason"),
    [((100, 104, 95, 99), 95, "stop loss"), ((100, 105, 96, 99), 105, "take profit")],
)
def test_bar_of_the_entry_counts(play: Play, bar: Bar, price: float, reason: str) -> None:
    for orders in long_and_short(play, [100, bar, 99], [1.0], exits=BOTH):
        assert orders == [(1, "A", 10, 100, "target"), (1, "A", -10, price, reason)]


def test_bar_before_the_entry_does_not_count(play: Play) -> None:
    for orders in long_and_short(play, [(100, 120, 80, 100), 100, 100], [1.0], exits=BOTH):
        assert len(orders) == 1


def test_equity_is_cash_alone_once_a_barrier_has_closed_the_position(play: Play) -> None:
    result = play([100, (100, 104, 99, 102), (102, 103, 94, 99), 300], [1.0], exits=STOP)
    assert result.equity.tolist() == pytest.approx([1_000, 1_020, 950, 950])
    assert result.positions["A"].tolist() == [0, 10, 0, 0]


def test_barrier_of_one_symbol_leaves_the_others_alone(play: Play) -> None:
    bars = {"A": [100, 100, (100, 100, 90, 90)], "B": [100, 100, (100, 104, 96, 100)]}
    result = play(bars, {"A": [0.5], "B": [0.5]}, exits=BOTH)
    assert orders_of(result)[2:] == [(2, "A", -5, 95, "stop loss")]
    assert result.positions["B"].tolist() == [0, 5, 5]


def test_order_of_the_open_fills_before_barriers_are_watched(play: Play) -> None:
    # Sold by decision at the open of a bar that would have stopped it; nothing is left to stop.
    result = play([100, 100, (98, 98, 90, 90)], [1.0, 0.0], exits=STOP)
    assert orders_of(result)[1:] == [(2, "A", -10, 98, "target")]


# Costs of an exit


@pytest.mark.parametrize(
    ("exits", "bar", "price", "rate", "reason"),
    [
        (Exits(take_profit=0.10), (100, 112, 100, 110), 111.1, 0.001, "take profit"),
        (Exits(take_profit=0.10), (115, 116, 110, 112), 115.0, 0.001, "take profit"),
        (Exits(stop_loss=0.10), (100, 102, 90, 95), 90.9 * 0.99, 0.002, "stop loss"),
        (Exits(stop_loss=0.10), (80, 82, 79, 81), 80 * 0.99, 0.002, "stop loss"),
        (Exits(time_limit=pd.Timedelta("1h")), (97, 99, 96, 98), 97 * 0.99, 0.002, "time limit"),
    ],
)
def test_profit_pays_the_makers_fee_and_no_slippage_every_other_exit_the_takers_and_slippage(
    play: Play, exits: Exits, bar: Bar, price: float, rate: float, reason: str
) -> None:
    # Bought at 100 * 1.01 = 101: the barriers are at 111.1 and 90.9.
    result = play([100, 100, bar], [0.5], exits=exits, costs=Costs(fee=(0.001, 0.002), slippage=0.01))
    assert orders_of(result) == [(1, "A", 5, 101, "target"), (2, "A", -5, price, reason)]
    fees = [5 * 101 * 0.002, 5 * price * rate]
    assert result.orders["fee"].tolist() == pytest.approx(fees)
    assert result.equity.iloc[-1] == pytest.approx(1_000 - 505 + 5 * price - sum(fees))


def test_short_is_bought_back_above_its_stop_by_the_slippage(play: Play) -> None:
    costs = Costs(fee=(0.001, 0.002), slippage=0.01)
    result = play([100, 100, (100, 110, 100, 105)], [-0.5], exits=Exits(stop_loss=0.1), costs=costs, venue=SHORTS)
    # Sold at 99: the stop is at 108.9.
    assert orders_of(result) == [(1, "A", -5, 99, "target"), (2, "A", 5, 108.9 * 1.01, "stop loss")]


def test_trailing_stop_pays_the_takers_fee_and_slippage(play: Play) -> None:
    costs = Costs(fee=(0.001, 0.002), slippage=0.01)
    bars = [100, 100, (100, 121, 100, 120), (120, 120, 110, 110)]
    result = play(bars, [0.5], exits=Exits(trailing=(0.1, 0.1)), costs=costs)
    # Best 121, less a tenth of the entry at 101.
    assert orders_of(result)[1:] == [(3, "A", -5, 110.9 * 0.99, "trailing stop")]
    assert result.orders["fee"].iloc[1] == pytest.approx(5 * 110.9 * 0.99 * 0.002)


# The trailing stop

TRAILING = Exits(trailing=(0.05, 0.02))


def test_trailing_stop_follows_the_best_of_completed_bars_and_not_of_its_own(play: Play) -> None:
    bars = [
        100,
        100,
        (105, 110, 104, 109),  # its own high would put the stop at 108, above its low
        (109, 120, 108.5, 119),  # the stop is at 108; its own high would put it at 118
        (119, 119, 117, 118),  # the stop is at 118
    ]
    for orders in long_and_short(play, bars, [1.0], exits=TRAILING):
        assert orders[1:] == [(4, "A", -10, 118, "trailing stop")]


def test_trailing_stop_never_falls_back(play: Play) -> None:
    bars = [100, 100, (105, 120, 105, 119), (119, 119.5, 118.5, 119), (119, 119, 117, 117)]
    for orders in long_and_short(play, bars, [1.0], exits=TRAILING):
        assert orders[1:] == [(4, "A", -10, 118, "trailing stop")]


def test_bar_that_opens_beyond_the_trailing_stop_leaves_at_its_open(play: Play) -> None:
    for orders in long_and_short(play, [100, 100, (105, 110, 104, 109), (101, 102, 100, 101)], [1.0], exits=TRAILING):
        assert orders[1:] == [(3, "A", -10, 101, "trailing stop")]


def test_trailing_stop_stands_from_its_activation_on_and_not_before(play: Play) -> None:
    after = (102, 102, 90, 95)
    for orders in long_and_short(play, [100, 100, (100, 104.99, 100, 102), after], [1.0], exits=TRAILING):
        assert len(orders) == 1
    for orders in long_and_short(play, [100, 100, (100, 105, 100, 104), (104, 104, 90, 95)], [1.0], exits=TRAILING):
        assert orders[1:] == [(3, "A", -10, 103, "trailing stop")]


def test_bar_of_the_entry_moves_the_trailing_stop_once_it_is_complete(play: Play) -> None:
    for orders in long_and_short(play, [100, (100, 110, 100, 109), (109, 109, 107, 107)], [1.0], exits=TRAILING):
        assert orders[1:] == [(2, "A", -10, 108, "trailing stop")]


def test_distance_is_of_the_average_entry_and_not_of_the_best_price(play: Play) -> None:
    bars = [100, 100, (100, 150, 100, 150), (150, 150, 120, 120)]
    for orders in long_and_short(play, bars, [1.0], exits=Exits(trailing=(0.05, 0.1))):
        assert orders[1:] == [(3, "A", -10, 140, "trailing stop")]


@pytest.mark.parametrize(("best", "price", "reason"), [(106, 97, "stop loss"), (112, 102, "trailing stop")])
def test_tighter_of_stop_loss_and_trailing_stop_counts(play: Play, best: float, price: float, reason: str) -> None:
    # The trailing stop is at 96 or at 102, the stop loss at 97.
    exits = Exits(stop_loss=0.03, trailing=(0.05, 0.1))
    for orders in long_and_short(play, [100, 100, (104, best, 104, 105), (105, 105, 90, 95)], [1.0], exits=exits):
        assert orders[1:] == [(3, "A", -10, price, reason)]


def test_second_position_does_not_inherit_the_best_price_of_the_first(play: Play) -> None:
    bars = [100, 100, (105, 120, 105, 119), (119, 119, 99, 100), (100, 101, 97, 100), (100, 101, 97, 100)]
    for orders in long_and_short(play, bars, [1.0, NAN, NAN, 0.5], exits=TRAILING):
        assert [order[0] for order in orders] == [1, 3, 4]


def test_slippage_that_an_entry_paid_is_no_price_that_the_market_reached(play: Play) -> None:
    # 3 bought at 102 while the market was at 100, 6.7 more at 97.92: from the average of 99.18 the market never gained
    # 2%, from 100 on.
    costs = Costs(fee=0.0, slippage=0.02)
    result = play([100, 100, 96, 96, 96], [0.3, NAN, 0.95], exits=Exits(trailing=(0.02, 0.02)), costs=costs)
    assert [order[4] for order in orders_of(result)] == ["target", "target"]


# The time limit


@pytest.mark.parametrize(
    ("limit", "bar", "price"),
    [("1h", 2, 102), ("2h", 3, 103), ("90min", 3, 103), ("30min", 2, 102), ("3h", 4, 104)],
)
def test_time_limit_closes_at_the_open_of_the_first_bar_at_or_after_it(
    play: Play, limit: str, bar: int, price: float
) -> None:
    bars = [100, (100, 104, 96, 100), (102, 104, 96, 100), (103, 104, 96, 100), (104, 104, 96, 100)]
    for orders in long_and_short(play, bars, [1.0], exits=Exits(time_limit=pd.Timedelta(limit))):
        assert orders == [(1, "A", 10, 100, "target"), (bar, "A", -10, price, "time limit")]


@pytest.mark.parametrize("on_grid", [True, False])
def test_time_limit_that_falls_into_a_gap_closes_at_the_open_after_it(play: Play, on_grid: bool) -> None:
    bars = [100, 100, None, None, 107, 108]
    for orders in long_and_short(play, bars, [1.0], exits=Exits(time_limit=pd.Timedelta("1h")), on_grid=on_grid):
        assert orders[1:] == [(4, "A", -10, 107, "time limit")]


def test_time_limit_comes_before_the_barriers_of_its_bar(play: Play) -> None:
    exits = Exits(stop_loss=0.05, take_profit=0.05, time_limit=pd.Timedelta("1h"))
    for bar in [(101, 110, 90, 100), (90, 110, 90, 100), (108, 110, 90, 100)]:
        for orders in long_and_short(play, [100, 100, bar], [1.0], exits=exits):
            assert orders[1:] == [(2, "A", -10, bar[0], "time limit")]


def test_enlarging_does_not_put_the_time_limit_off_and_a_reversal_does(play: Play) -> None:
    exits = Exits(time_limit=pd.Timedelta("2h"))
    enlarged = play([100] * 6, [0.5, 1.0], exits=exits)
    assert [order[0] for order in orders_of(enlarged)] == [1, 2, 3]
    reversed_ = play([100] * 6, [0.5, -0.5], exits=exits, venue=SHORTS)
    assert [order[0] for order in orders_of(reversed_)] == [1, 2, 4]


def test_time_limit_is_not_scaled(play: Play) -> None:
    result = play([100] * 5, [1.0], exits=Exits(time_limit=pd.Timedelta("1h")), scale=[3.0])
    assert [order[0] for order in orders_of(result)] == [1, 2]


# Entry, enlarging, reducing, reversing


def enlarged_at_150(play: Play, last: Bar, exits: Exits, **terms) -> Result:
    """4 bought at 100, 4 more at 150: the average entry is 125."""
    return play([100, 100, 150, 150, last], [0.4, NAN, 1.0], exits=exits, **terms)


def test_barriers_move_with_the_average_entry_when_a_position_is_enlarged(play: Play) -> None:
    stopped = enlarged_at_150(play, (150, 150, 119, 130), Exits(stop_loss=0.04))
    assert orders_of(stopped) == [
        (1, "A", 4, 100, "target"),
        (3, "A", 4, 150, "target"),
        (4, "A", -8, 120, "stop loss"),
    ]
    profit = enlarged_at_150(play, (150, 201, 150, 190), Exits(take_profit=0.6))
    assert orders_of(profit)[2:] == [(4, "A", -8, 200, "take profit")]


def test_reducing_a_position_leaves_its_barriers_and_their_decision(play: Play) -> None:
    result = play([100, 100, 110, 110, (110, 110, 94, 96)], [1.0, NAN, 0.5], exits=STOP)
    assert orders_of(result)[1:] == [(3, "A", -5, 110, "target"), (4, "A", -5, 95, "stop loss")]
    assert decisions_of(result) == [0, 2, 0]


def test_reversal_begins_anew(play: Play) -> None:
    bars = [100, 100, 110, 110, (110, 116, 110, 112)]
    result = play(bars, [1.0, NAN, -1.0], exits=STOP, venue=SHORTS)
    # 10 long at 100 becomes 10 short at 110, with its stop at 115.5.
    assert orders_of(result)[1:] == [(3, "A", -20, 110, "target"), (4, "A", 10, 115.5, "stop loss")]
    assert decisions_of(result) == [0, 2, 2]


def test_exit_is_told_with_the_decision_that_last_enlarged_the_position(play: Play) -> None:
    result = enlarged_at_150(play, (150, 150, 119, 130), Exits(stop_loss=0.04))
    assert decisions_of(result) == [0, 2, 2]


# Flat until the next target


def test_symbol_stays_flat_after_an_exit_until_the_next_target(play: Play) -> None:
    bars = [100, 100, (100, 100, 94, 95), 95, 95, 95]
    assert len(orders_of(play(bars, [1.0], exits=STOP))) == 2
    again = play(bars, [1.0, NAN, NAN, NAN, 0.5], exits=STOP)
    assert orders_of(again)[2:] == [(5, "A", 5, 95, "target")]


def test_strategy_that_repeats_its_target_is_in_again_at_the_next_open(play: Play) -> None:
    result = play([100, 100, (100, 100, 94, 96), 96, 96], [1.0] * 4, exits=STOP)
    assert orders_of(result)[1:] == [(2, "A", -10, 95, "stop loss"), (3, "A", 950 / 96, 96, "target")]


# Scale


def test_scale_of_the_decision_widens_every_distance_and_nan_is_one(play: Play) -> None:
    falls = [100, 100, (100, 100, 94, 95), (95, 95, 89, 90)]
    assert orders_of(play(falls, [1.0], exits=STOP, scale=[2.0]))[1:] == [(3, "A", -10, 90, "stop loss")]
    assert orders_of(play(falls, [1.0], exits=STOP, scale=[NAN]))[1:] == [(2, "A", -10, 95, "stop loss")]
    rises = [100, 100, (100, 109, 100, 106), (106, 111, 106, 110)]
    assert orders_of(play(rises, [1.0], exits=PROFIT, scale=[2.0]))[1:] == [(3, "A", -10, 110, "take profit")]
    # Active from 110, 4 behind the best: at 104.99 in favour an unscaled one would stand, at 109 this one does not.
    trails = [100, 100, (100, 109, 100, 106), (106, 110, 100, 109), (109, 109, 106, 106)]
    assert orders_of(play(trails, [1.0], exits=TRAILING, scale=[2.0]))[1:] == [(4, "A", -10, 106, "trailing stop")]


def test_scale_of_the_decision_that_last_enlarged_the_position_holds(play: Play) -> None:
    exits = Exits(stop_loss=0.04)
    result = enlarged_at_150(play, (150, 150, 114, 130), exits, scale=[1.0, NAN, 2.0])
    assert orders_of(result)[2:] == [(4, "A", -8, 115, "stop loss")]


def test_scale_of_a_decision_that_reduces_or_sends_nothing_does_not_count(play: Play) -> None:
    bars = [100, 100, 110, 110, (110, 110, 94, 96)]
    result = play(bars, [1.0, 1.0, 0.5], exits=STOP, scale=[1.0, 9.0, 9.0])
    assert orders_of(result)[-1] == (4, "A", -5, 95, "stop loss")


# Ticks


@pytest.mark.parametrize(
    ("venue", "stop", "profit"),
    [
        (Venue(price_tick=0.5), 96.5, 103.5),
        (Venue(price_tick=1.0), 96.0, 104.0),
        (Venue(price_digits=3), 96.6, 104.0),
    ],
)
def test_barriers_are_rounded_to_a_price_of_the_venue_away_from_the_entry(
    play: Play, venue: Venue, stop: float, profit: float
) -> None:
    exits = Exits(stop_loss=0.0333, take_profit=0.0333)  # 96.67 and 103.33
    low = play([100, 100, (100, 100, 90, 95)], [1.0], exits=exits, venue=venue)
    assert orders_of(low)[1:] == [(2, "A", -10, stop, "stop loss")]
    high = play([100, 100, (100, 110, 100, 105)], [1.0], exits=exits, venue=venue)
    assert orders_of(high)[1:] == [(2, "A", -10, profit, "take profit")]


def test_short_barriers_are_rounded_away_from_the_entry(play: Play) -> None:
    exits, venue = Exits(stop_loss=0.0333, take_profit=0.0333), Venue(shorts=True, price_tick=1.0)
    high = play([100, 100, (100, 110, 100, 105)], [-1.0], exits=exits, venue=venue)
    assert orders_of(high)[1:] == [(2, "A", 10, 104.0, "stop loss")]
    low = play([100, 100, (100, 100, 90, 95)], [-1.0], exits=exits, venue=venue)
    assert orders_of(low)[1:] == [(2, "A", 10, 96.0, "take profit")]


def test_coarse_tick_does_not_put_a_stop_at_the_market(play: Play) -> None:
    result = play([10.6, 10.6, 10.6], [1.0], exits=Exits(stop_loss=0.005), venue=Venue(price_tick=1.0))
    assert len(orders_of(result)) == 1


def test_trailing_stop_is_rounded_to_a_tick_away_from_the_market(play: Play) -> None:
    bars = [100, 100, (105, 110.3, 104, 109), (109, 109, 107, 107)]
    result = play(bars, [1.0], exits=TRAILING, venue=Venue(price_tick=0.5))
    assert orders_of(result)[1:] == [(3, "A", -10, 108.0, "trailing stop")]


# Gaps


def test_missing_bar_closes_nothing_and_the_next_one_leaves_at_its_open(play: Play) -> None:
    result = play([100, 100, None, (90, 92, 89, 91)], [1.0], exits=STOP)
    assert orders_of(result)[1:] == [(3, "A", -10, 90, "stop loss")]
    assert result.equity.tolist() == pytest.approx([1_000, 1_000, 1_000, 900])
