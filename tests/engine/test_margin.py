"""Leverage, liquidation and the largest and smallest orders of a venue, by hand and in both engines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine import Costs, Exits, LimitOrders, RiskLimits, Venue
from tests.engine.worked_bars import Bar, Play, decisions_of, orders_of

NAN = np.nan


def leveraged(leverage: float, maintenance: float = 0.0, **rules) -> Venue:
    return Venue(shorts=True, leverage=leverage, maintenance_margin=maintenance, **rules)


# Leverage


def test_gross_notional_is_cut_at_leverage_times_equity(play: Play) -> None:
    bars = {name: [100, 100] for name in "ABCD"}
    result = play(bars, {"A": [1.0], "B": [-1.0], "C": [0.8], "D": [0.5]}, venue=leveraged(3))
    # Sells before buys, then by symbol: 1,000 + 1,000 + 800, and 200 of the 500 wanted last.
    assert orders_of(result) == [
        (1, "B", -10, 100, "target"),
        (1, "A", 10, 100, "target"),
        (1, "C", 8, 100, "target"),
        (1, "D", 2, 100, "target, cut to what cash pays"),
    ]
    assert result.equity.tolist() == pytest.approx([1_000, 1_000])


@pytest.mark.parametrize("weight", [1.0, -1.0])
def test_gross_notional_after_a_fill_is_within_leverage_times_equity_fee_and_slippage_paid(
    play: Play, weight: float
) -> None:
    bars = {name: [100, 100] for name in "ABC"}
    costs = Costs(fee=0.001, slippage=0.01)
    result = play(bars, {name: [weight] for name in bars}, venue=leveraged(2), costs=costs)
    gross = (result.positions.iloc[-1].abs() * 100).sum()
    assert 1.95 < gross / result.equity.iloc[-1] <= 2 * (1 + 1e-12)


# Liquidation


def test_short_is_liquidated_where_its_equity_equals_the_maintenance_margin(play: Play) -> None:
    # 10 short at 100: 2,000 - 10 p = 0.25 * 10 p at p = 160.
    result = play([100, 100, (100, 170, 90, 120), 120], [-1.0], venue=leveraged(1, 0.25))
    assert orders_of(result) == [(1, "A", -10, 100, "target"), (2, "A", 10, 160, "liquidation")]
    assert result.equity.tolist() == pytest.approx([1_000, 1_000, 400, 400])
    assert decisions_of(result) == [0, 0]


@pytest.mark.parametrize(("high", "liquidated"), [(159.99, False), (160, True)])
def test_touching_the_price_of_liquidation_is_enough(play: Play, high: float, liquidated: bool) -> None:
    result = play([100, 100, (100, high, 90, 120)], [-1.0], venue=leveraged(1, 0.25))
    assert (result.positions["A"].iloc[-1] == 0) == liquidated


def test_short_without_maintenance_margin_is_liquidated_when_nothing_is_left(play: Play) -> None:
    result = play([100, 100, (100, 201, 100, 150)], [-1.0], venue=leveraged(1))
    assert orders_of(result)[1:] == [(2, "A", 10, 200, "liquidation")]
    assert result.equity.iloc[-1] == pytest.approx(0, abs=1e-9)


def long_at_ten_times(last: Bar) -> tuple[dict[str, list[Bar]], dict[str, list[float]]]:
    """All of 1,000 in A and all in B; B falls to a tenth and is sold: equity 100, and 10 of A worth 1,000."""
    bars = {"A": [100, 100, 100, last], "B": [100, (100, 100, 10, 10), 10, 10]}
    return bars, {"A": [1.0], "B": [1.0, 0.0]}


def test_long_at_ten_times_its_equity_is_liquidated_half_its_margin_below(play: Play) -> None:
    bars, weights = long_at_ten_times((100, 101, 90, 99))
    result = play(bars, weights, venue=leveraged(10, 0.05))
    # 10 p - 900 = 0.05 * 10 p at p = 900 / 9.5.
    assert orders_of(result)[3:] == [(3, "A", -10, 900 / 9.5, "liquidation")]
    assert result.equity.tolist() == pytest.approx([1_000, 100, 100, 9_000 / 9.5 - 900])


def test_long_that_does_not_fall_so_far_is_kept(play: Play) -> None:
    bars, weights = long_at_ten_times((100, 101, 94.74, 99))
    assert play(bars, weights, venue=leveraged(10, 0.05)).positions["A"].iloc[-1] == 10


def test_two_symbols_move_to_their_lows_together_by_one_share(play: Play) -> None:
    bars = {"A": [100, 100, (100, 100, 20, 90)], "B": [100, 100, (100, 100, 60, 90)]}
    result = play(bars, {"A": [1.0], "B": [1.0]}, venue=leveraged(2, 0.1))
    # Above the margin, 0.9 * 2,000 - 1,000 = 800 at the opens and 0.9 * 800 - 1,000 = -280 at the lows: 20 / 27 of the
    # way. There 10 (1,100 / 27 + 1,900 / 27) - 1,000 = 111.11, a tenth of what is held.
    assert orders_of(result)[2:] == [
        (2, "A", -10, 1_100 / 27, "liquidation"),
        (2, "B", -10, 1_900 / 27, "liquidation"),
    ]
    assert result.equity.iloc[-1] == pytest.approx(1_000 / 9)


def test_long_moves_to_its_low_and_short_to_its_high(play: Play) -> None:
    bars = {"A": [100, 100, (100, 190, 60, 100)], "B": [100, 100, (100, 180, 50, 100)]}
    result = play(bars, {"A": [1.0], "B": [-1.0]}, venue=leveraged(2, 0.1))
    # 1,000 at the opens, less 400 and 800 on the way; the margin grows from 200 to 240: 800 / 1,240 of the way.
    share = 800 / 1_240
    assert orders_of(result)[2:] == [
        (2, "A", -10, 100 - 40 * share, "liquidation"),
        (2, "B", 10, 100 + 80 * share, "liquidation"),
    ]


def test_symbol_without_a_bar_counts_at_its_last_close_and_is_closed_at_its_next_open(play: Play) -> None:
    bars = {"A": [100, 100, (100, 170, 100, 170), 170, 170], "B": [100, (100, 100, 100, 80), None, None, 50]}
    bars["B"][1] = (100, 100, 80, 80)
    early = {symbol: given[:3] for symbol, given in bars.items()}
    result = play(early, {"A": [-1.0], "B": [1.0]}, venue=leveraged(2))
    # 1,000 - 200 on B; A takes the rest at 180: not reached. With 30 more lost on A at its close it is.
    assert len(result.orders) == 2
    bars["A"][2] = (100, 190, 100, 170)
    # What the strategy decides on a price that is long past does not keep it.
    result = play(bars, {"A": [-1.0], "B": [1.0, NAN, NAN, 1.0]}, venue=leveraged(2))
    assert orders_of(result)[2:] == [(2, "A", 10, 180, "liquidation"), (4, "B", -10, 50, "liquidation")]


def test_bar_that_opens_beyond_the_price_of_liquidation_closes_at_its_open_and_leaves_a_debt(play: Play) -> None:
    result = play([100, 100, (250, 260, 240, 240), 100, 100], [-1.0, NAN, 1.0, 1.0], venue=leveraged(1, 0.25))
    assert orders_of(result) == [(1, "A", -10, 100, "target"), (2, "A", 10, 250, "liquidation")]
    assert result.equity.tolist() == pytest.approx([1_000, 1_000, -500, -500, -500])


def test_liquidation_pays_the_takers_fee_and_slippage(play: Play) -> None:
    costs = Costs(fee=(0.0, 0.001), slippage=0.01)
    result = play([100, 100, (100, 200, 100, 150)], [-0.5], costs=costs, venue=leveraged(1, 0.5))
    # 5 short at 99, 0.495 paid: 1,494.505 - 5 p = 2.5 p.
    price = 1_494.505 / 7.5
    assert orders_of(result)[1:] == [(2, "A", 5, price * 1.01, "liquidation")]
    assert result.orders["fee"].iloc[1] == pytest.approx(5 * price * 1.01 * 0.001)


def test_position_of_the_entry_bar_can_be_liquidated(play: Play) -> None:
    result = play([100, (100, 170, 100, 120)], [-1.0], venue=leveraged(1, 0.25))
    assert orders_of(result)[1:] == [(1, "A", 10, 160, "liquidation")]


def test_liquidation_drops_every_order_that_waits(play: Play) -> None:
    bars = {"A": [100, 100, (100, 170, 100, 120), 120, 120], "B": [50, 50, None, None, 50]}
    result = play(bars, {"A": [-1.0], "B": [NAN, 0.2]}, venue=leveraged(2, 0.25))
    assert [order[1] for order in orders_of(result)] == ["A", "A"]
    kept = play(bars, {"A": [-0.1], "B": [NAN, 0.2]}, venue=leveraged(2, 0.25))
    assert [order[1] for order in orders_of(kept)] == ["A", "B"]


def test_liquidation_drops_the_limit_orders_that_rest(play: Play) -> None:
    bars = {"A": [100, (100, 106, 100, 100), (100, 190, 100, 120), 120], "B": [50, 50, 50, (50, 50, 40, 50)]}
    style = LimitOrders(offset=0.05, alive=9)
    result = play(bars, {"A": [-1.0], "B": [0.2]}, orders=style, venue=leveraged(2, 0.25))
    # 10 short at 105: 2,050 - 10 p = 2.5 p.
    assert orders_of(result) == [(1, "A", -10, 105, "target, limit"), (2, "A", 10, 164, "liquidation")]


def test_account_trades_on_with_what_liquidation_left(play: Play) -> None:
    result = play([100, 100, (100, 170, 80, 80), 80, 100], [-1.0, NAN, 0.5], venue=leveraged(1, 0.25))
    # 400 are left: half of it at 80 is 2.5 coins.
    assert orders_of(result)[2:] == [(3, "A", 2.5, 80, "target")]
    assert result.equity.iloc[-1] == pytest.approx(450)


def test_stop_that_a_bar_reaches_before_the_price_of_liquidation_saves_the_rest(play: Play) -> None:
    exits = Exits(stop_loss=0.2)
    result = play([100, 100, (100, 170, 90, 120)], [-1.0], exits=exits, venue=leveraged(1, 0.25))
    assert orders_of(result)[1:] == [(2, "A", 10, 120, "stop loss")]


@pytest.mark.parametrize("exits", [Exits(stop_loss=0.8), Exits(take_profit=0.1)], ids=["stop", "profit"])
def test_bar_that_reaches_liquidation_does_not_end_at_a_barrier_beyond_it(play: Play, exits: Exits) -> None:
    # Liquidated at 160, before a stop at 180; and where a profit lies in the same bar, the worse of the two counts.
    result = play([100, 100, (100, 190, 85, 120)], [-1.0], exits=exits, venue=leveraged(1, 0.25))
    assert orders_of(result)[1:] == [(2, "A", 10, 160, "liquidation")]


@pytest.mark.parametrize(
    ("start", "exits", "reason"),
    [
        (85, Exits(take_profit=0.1), "take profit"),
        (150, Exits(stop_loss=0.2), "stop loss"),
        (100, Exits(time_limit=pd.Timedelta("1h")), "time limit"),
    ],
)
def test_what_leaves_at_the_open_is_gone_before_a_bar_can_reach_liquidation(
    play: Play, start: float, exits: Exits, reason: str
) -> None:
    result = play([100, 100, (start, 190, 85, 120)], [-1.0], exits=exits, venue=leveraged(1, 0.25))
    assert orders_of(result)[1:] == [(2, "A", 10, start, reason)]


def test_stop_of_one_symbol_that_is_reached_first_can_keep_the_account_from_liquidation(play: Play) -> None:
    # Without the stop: 0.9 * 2,000 - 1,000 = 800 above the margin at the opens, less 1,080 at the lows.
    bars = {"A": [100, 100, (100, 100, 20, 90)], "B": [100, 100, (100, 100, 60, 90)]}
    result = play(bars, {"A": [1.0], "B": [1.0]}, exits=Exits(stop_loss=0.3), venue=leveraged(2, 0.1))
    # A leaves at 70 after 30 of 80, B at 70 after 30 of 40: 400 are left.
    assert orders_of(result)[2:] == [(2, "A", -10, 70, "stop loss"), (2, "B", -10, 70, "stop loss")]
    assert result.equity.iloc[-1] == pytest.approx(400)


def test_risk_limits_neither_cut_nor_delay_a_liquidation(play: Play) -> None:
    risk = RiskLimits(max_order_notional=1_000.0, price_collar=0.1)
    result = play([100, 100, (100, 170, 90, 120)], [-1.0], risk=risk, venue=leveraged(1, 0.25))
    assert orders_of(result)[1:] == [(2, "A", 10, 160, "liquidation")]


def test_funding_can_take_an_account_to_its_liquidation(play: Play) -> None:
    # 10 short at 100 pay 9% on 1,000 twice; 2,000 - 180 - 10 p = 0.25 * 10 p at p = 145.6.
    funding = pd.Series(-0.09, pd.date_range("2024-01-01 02:00", periods=2, freq="1h", tz="UTC"))
    costs = Costs(fee=0.0, slippage=0.0, funding=funding)
    result = play([100, 100, 100, (100, 150, 100, 120)], [-1.0], costs=costs, venue=leveraged(1, 0.25))
    assert orders_of(result)[1:] == [(3, "A", 10, 145.6, "liquidation")]


def test_spot_is_never_liquidated(play: Play) -> None:
    result = play([100, 100, (100, 100, 0.01, 0.02), 150], [1.0])
    assert len(result.orders) == 1
    assert result.equity.tolist() == pytest.approx([1_000, 1_000, 0.2, 1_500])


# The venue's largest and smallest orders


@pytest.mark.parametrize(
    ("rules", "amount"),
    [
        ({"max_amount": 3.0}, 3.0),
        ({"max_notional": 250.0}, 2.5),
        ({"max_notional": 250.0, "amount_step": 1.0}, 2.0),
        ({"max_amount": 3.0, "max_notional": 250.0}, 2.5),
        ({"max_amount": 5.0, "max_notional": 500.0}, 5.0),
    ],
)
def test_order_above_the_venues_largest_is_cut_to_it(play: Play, rules: dict, amount: float) -> None:
    result = play([100, 100, 100], [0.5], venue=leveraged(1, **rules))
    reason = "target" if amount == 5.0 else "target, cut by the venue's largest order"
    assert orders_of(result) == [(1, "A", amount, 100, reason)]
    short = play([100, 100, 100], [-0.5], venue=leveraged(1, **rules))
    assert orders_of(short) == [(1, "A", -amount, 100, reason)]


def test_target_that_is_repeated_is_reached_in_steps_of_the_largest_order(play: Play) -> None:
    result = play([100] * 5, [0.5] * 4, venue=Venue(max_amount=2.0))
    assert [order[2] for order in orders_of(result)] == [2, 2, 1]


def test_largest_notional_is_of_the_decisions_close(play: Play) -> None:
    result = play([100, 50, 50], [0.5], venue=Venue(max_notional=250.0))
    assert orders_of(result) == [(1, "A", 2.5, 50, "target, cut by the venue's largest order")]


@pytest.mark.parametrize(("smallest", "sent"), [(5.0, 1), (5.01, 0)])
def test_order_below_the_smallest_amount_is_not_sent(play: Play, smallest: float, sent: int) -> None:
    assert len(play([100, 100], [0.5], venue=Venue(min_amount=smallest)).orders) == sent


def test_order_below_the_smallest_amount_is_sent_if_it_closes_the_position(play: Play) -> None:
    # 5 are bought; reducing by 3 is too small, closing what is left never.
    result = play([100] * 4, [0.5, 0.2, 0.0], venue=Venue(min_amount=4.0))
    assert orders_of(result) == [(1, "A", 5, 100, "target"), (3, "A", -5, 100, "target")]
    reduced = play([100] * 4, [0.6, 0.2, 0.0], venue=Venue(min_amount=4.0))
    assert [order[2] for order in orders_of(reduced)] == [6, -4, -2]


def test_barrier_closes_the_whole_position_whatever_the_largest_and_smallest_order(play: Play) -> None:
    venue = Venue(max_amount=2.0, min_amount=1.0)
    result = play([100, 100, 100, (100, 100, 90, 90)], [0.4, 0.4], exits=Exits(stop_loss=0.05), venue=venue)
    assert orders_of(result)[2:] == [(3, "A", -4, 95, "stop loss")]
