"""Limit orders in both engines: when one fills and at what price, how long it rests, what replaces it; by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine import Costs, Exits, LimitOrders, Venue
from tests.engine.worked_bars import Bar, Play, decisions_of, orders_of

NAN = np.nan
SHORTS = Venue(shorts=True)
ONE, TWO = LimitOrders(offset=0.05, alive=1), LimitOrders(offset=0.05, alive=2)
COSTLY = Costs(fee=(0.001, 0.002), slippage=0.01)


# When and at what price


@pytest.mark.parametrize("bar", [(100, 101, 94.99, 96), (95, 96, 94.99, 96)])
def test_buy_fills_at_its_price_once_a_bar_trades_below_it(play: Play, bar: Bar) -> None:
    result = play([100, bar], [0.5], orders=ONE)
    assert orders_of(result) == [(1, "A", 5, 95, "target, limit")]
    assert decisions_of(result) == [0]


@pytest.mark.parametrize("bar", [(100, 105.01, 99, 104), (105, 105.01, 104, 104)])
def test_sell_fills_at_its_price_once_a_bar_trades_above_it(play: Play, bar: Bar) -> None:
    assert orders_of(play([100, bar], [-0.5], orders=ONE, venue=SHORTS)) == [(1, "A", -5, 105, "target, limit")]


@pytest.mark.parametrize("bar", [(90, 92, 88, 91), (90, 90, 90, 90), (94.99, 99, 94, 98)])
def test_order_that_rests_fills_at_its_price_where_a_later_bar_opens_beyond_it(play: Play, bar: Bar) -> None:
    result = play([100, 100, bar], [0.5], orders=TWO)
    assert orders_of(result) == [(2, "A", 5, 95, "target, limit")]
    short = play([100, 100, (110, 112, 108, 109)], [-0.5], orders=TWO, venue=SHORTS)
    assert orders_of(short) == [(2, "A", -5, 105, "target, limit")]


@pytest.mark.parametrize(("weight", "bar"), [(0.5, (90, 99, 88, 91)), (-0.5, (110, 112, 98, 109))])
def test_order_through_whose_price_the_market_opens_as_it_arrives_is_refused(
    play: Play, weight: float, bar: Bar
) -> None:
    assert len(play([100, bar, 100, 100], [weight], orders=TWO, venue=SHORTS).orders) == 0
    style = LimitOrders(offset=0.05, alive=2, then="market")
    result = play([100, bar, 100, 100], [weight], orders=style, venue=SHORTS, costs=COSTLY)
    price = bar[0] * (1.01 if weight > 0 else 0.99)
    assert orders_of(result) == [(1, "A", 10 * weight, price, "target, limit refused")]
    assert result.orders["fee"].iloc[0] == pytest.approx(5 * price * 0.002)


def test_order_refused_in_a_gap_is_refused_at_the_bar_at_which_it_arrives(play: Play) -> None:
    result = play([100, None, (90, 99, 88, 91), 91], [0.5], orders=ONE)
    assert len(result.orders) == 0


def test_touch_is_not_enough(play: Play) -> None:
    assert len(play([100, (100, 101, 95, 96)], [0.5], orders=ONE).orders) == 0
    assert len(play([100, (100, 105, 99, 104)], [-0.5], orders=ONE, venue=SHORTS).orders) == 0


def test_bar_of_the_decision_itself_fills_nothing(play: Play) -> None:
    assert len(play([(100, 100, 50, 100), (100, 101, 96, 100)], [0.5], orders=ONE).orders) == 0


def test_order_without_offset_rests_at_the_close_of_the_decision(play: Play) -> None:
    result = play([100, (101, 102, 99.9, 101)], [0.5], orders=LimitOrders(offset=0.0))
    assert orders_of(result) == [(1, "A", 5, 100, "target, limit")]


def test_limit_order_pays_the_makers_fee_and_no_slippage(play: Play) -> None:
    bars = [100, (100, 100, 94, 100), (100, 106, 100, 100)]
    result = play(bars, [0.5, 0.0], orders=ONE, costs=COSTLY)
    assert orders_of(result) == [(1, "A", 5, 95, "target, limit"), (2, "A", -5, 105, "target, limit")]
    assert result.orders["fee"].tolist() == pytest.approx([0.475, 0.525])
    assert result.equity.tolist() == pytest.approx([1_000, 1_000 + 25 - 0.475, 1_000 + 50 - 1.0])


@pytest.mark.parametrize(
    ("venue", "buys_at", "sells_at"),
    [
        ({"price_tick": 0.5}, 99.5, 100.5),
        ({"price_tick": 1.0}, 99.0, 101.0),
        ({"price_digits": 3}, 99.6, 101.0),
        ({}, 99.67, 100.33),
    ],
)
def test_price_is_rounded_away_from_the_market(play: Play, venue: dict, buys_at: float, sells_at: float) -> None:
    terms = {"orders": LimitOrders(offset=0.0033), "venue": Venue(shorts=True, **venue)}
    assert orders_of(play([100, (100, 110, 90, 100)], [0.5], **terms))[0][3] == buys_at
    assert orders_of(play([100, (100, 110, 90, 100)], [-0.5], **terms))[0][3] == sells_at


def test_size_and_minimum_are_of_the_decisions_close_and_not_of_the_limit(play: Play) -> None:
    # 5 coins, worth 500 at the close and 475 at the limit.
    bars = [100, (100, 100, 90, 100)]
    assert orders_of(play(bars, [0.5], orders=ONE, venue=Venue(min_notional=500)))[0][2] == 5
    assert len(play(bars, [0.5], orders=ONE, venue=Venue(min_notional=501)).orders) == 0


# How long


@pytest.mark.parametrize(("alive", "bars"), [(1, 1), (2, 2), (3, 3)])
def test_order_rests_for_its_bars_and_is_then_cancelled(play: Play, alive: int, bars: int) -> None:
    style = LimitOrders(offset=0.05, alive=alive)
    fills, quiet = (100, 100, 94, 100), 100
    assert orders_of(play([100, *[quiet] * (bars - 1), fills], [0.5], orders=style))[0][0] == bars
    assert len(play([100, *[quiet] * bars, fills, fills], [0.5], orders=style).orders) == 0


def test_missing_bar_fills_nothing_and_does_not_count(play: Play) -> None:
    bars = [100, None, 100, None, None, (100, 100, 94, 100)]
    assert orders_of(play(bars, [0.5], orders=TWO)) == [(5, "A", 5, 95, "target, limit")]
    assert len(play([100, None, 100, 100, None, (100, 100, 94, 100)], [0.5], orders=TWO).orders) == 0


def test_order_that_expires_may_go_to_the_market_at_the_next_open(play: Play) -> None:
    style = LimitOrders(offset=0.05, alive=2, then="market")
    bars = [100, (100, 104, 96, 102), (102, 104, 96, 103), (104, 106, 103, 105)]
    result = play(bars, [0.5], orders=style, costs=COSTLY)
    assert orders_of(result) == [(3, "A", 5, 104 * 1.01, "target, limit expired")]
    assert result.orders["fee"].tolist() == pytest.approx([5 * 104 * 1.01 * 0.002])
    assert decisions_of(result) == [0]


def test_expired_order_waits_at_the_market_for_the_next_bar_that_exists(play: Play) -> None:
    style = LimitOrders(offset=0.05, alive=1, then="market")
    assert orders_of(play([100, 100, None, 107], [0.5], orders=style)) == [(3, "A", 5, 107, "target, limit expired")]


def test_order_that_filled_does_not_go_to_the_market_as_well(play: Play) -> None:
    style = LimitOrders(offset=0.05, alive=1, then="market")
    assert len(play([100, (100, 100, 94, 100), 100, 100], [0.5], orders=style).orders) == 1


# What replaces or cancels it


def test_new_decision_replaces_the_order_and_its_price_and_its_time(play: Play) -> None:
    bars = [100, (100, 110, 96, 110), (106, 106, 105, 106), (106, 106, 104, 105)]
    result = play(bars, [0.5, 0.4], orders=TWO)
    # 40% of 1,000 at 110, 5% below it.
    assert orders_of(result) == [(3, "A", 400 / 110, 104.5, "target, limit")]
    assert decisions_of(result) == [1]


def test_decision_that_needs_no_order_withdraws_the_one_that_rests(play: Play) -> None:
    bars = [100, 100, (100, 100, 90, 100)]
    assert len(play(bars, [0.5, 0.0], orders=TWO).orders) == 0
    assert len(play(bars, [0.5, NAN], orders=TWO).orders) == 1


def test_new_decision_replaces_an_expired_order_that_is_to_go_to_the_market(play: Play) -> None:
    style = LimitOrders(offset=0.05, alive=1, then="market")
    result = play([100, 100, 100, 100], [0.5, 0.2], orders=style)
    assert orders_of(result) == [(3, "A", 2, 100, "target, limit expired")]


def test_exit_cancels_the_order_that_rests(play: Play) -> None:
    # 5 at 95 stop at 85.5. More is wanted at 90.25, which the bar that stops it, and the next, trade through.
    bars = [100, (100, 100, 94, 95), (95, 95, 85, 88), (88, 90, 80, 90)]
    result = play(bars, [0.5, 0.9], orders=LimitOrders(offset=0.05, alive=9), exits=Exits(stop_loss=0.1))
    assert orders_of(result) == [(1, "A", 5, 95, "target, limit"), (2, "A", -5, 85.5, "stop loss")]


def test_exit_of_one_symbol_leaves_the_orders_of_others(play: Play) -> None:
    bars = {"A": [100, (100, 100, 94, 95), (95, 95, 85, 88), 88], "B": [100, 100, 100, (100, 100, 94, 95)]}
    style = LimitOrders(offset=0.05, alive=9)
    result = play(bars, {"A": [0.4], "B": [0.4]}, orders=style, exits=Exits(stop_loss=0.1))
    assert [order[:2] for order in orders_of(result)] == [(1, "A"), (2, "A"), (3, "B")]


# Barriers of what it opened


def test_position_that_a_limit_order_opened_can_be_stopped_within_the_same_bar(play: Play) -> None:
    result = play([100, (100, 101, 93, 96), 96], [0.5], orders=ONE, exits=Exits(stop_loss=0.02), costs=COSTLY)
    assert orders_of(result) == [(1, "A", 5, 95, "target, limit"), (1, "A", -5, 93.1 * 0.99, "stop loss")]
    assert result.orders["fee"].tolist() == pytest.approx([0.475, 5 * 93.1 * 0.99 * 0.002])
    short = play([100, (100, 108, 99, 104)], [-0.5], orders=ONE, exits=Exits(stop_loss=0.02), venue=SHORTS)
    assert orders_of(short) == [(1, "A", -5, 105, "target, limit"), (1, "A", 5, 107.1, "stop loss")]


def test_bar_that_opens_beyond_limit_and_stop_fills_the_one_and_then_the_other(play: Play) -> None:
    # Stopped at 90: 93.1 never traded.
    result = play([100, 100, (90, 91, 89, 90)], [0.5], orders=TWO, exits=Exits(stop_loss=0.02))
    assert orders_of(result) == [(2, "A", 5, 95, "target, limit"), (2, "A", -5, 90, "stop loss")]
    short = play([100, 100, (110, 111, 109, 110)], [-0.5], orders=TWO, exits=Exits(stop_loss=0.02), venue=SHORTS)
    assert orders_of(short) == [(2, "A", -5, 105, "target, limit"), (2, "A", 5, 110, "stop loss")]


def test_profit_of_what_a_limit_order_opened_is_not_taken_within_the_same_bar(play: Play) -> None:
    # The high of 101 may lie before the fill at 95, whose profit is at 96.9.
    bars = [100, (100, 101, 94, 96), (96, 96.5, 95.5, 96), (96, 97, 95, 96)]
    result = play(bars, [0.5], orders=ONE, exits=Exits(take_profit=0.02))
    assert orders_of(result)[1:] == [(3, "A", -5, 96.9, "take profit")]


def test_high_of_the_bar_in_which_a_limit_order_filled_does_not_move_the_trailing_stop(play: Play) -> None:
    # At 101 the stop would be active, and stand at 100.05; of the close, at 96, it is not.
    exits = Exits(trailing=(0.03, 0.01))
    quiet = [100, (100, 101, 94, 96), (96, 97, 95, 96)]
    assert len(play(quiet, [0.5], orders=ONE, exits=exits).orders) == 1
    # A close of 100 is 5.3% above 95: the stop stands 0.95 behind it.
    closes_high = [100, (100, 101, 94, 100), (100, 100, 99, 99.5)]
    assert orders_of(play(closes_high, [0.5], orders=ONE, exits=exits))[1:] == [(2, "A", -5, 99.05, "trailing stop")]


def test_time_limit_counts_from_the_bar_of_the_limit_fill(play: Play) -> None:
    bars = [100, 100, (100, 100, 94, 96), 97, 98]
    result = play(bars, [0.5], orders=TWO, exits=Exits(time_limit=pd.Timedelta("2h")))
    assert orders_of(result) == [(2, "A", 5, 95, "target, limit"), (4, "A", -5, 98, "time limit")]


# Cash


def test_limit_buy_that_cash_cannot_pay_is_cut_and_says_so(play: Play) -> None:
    bars = {"A": [100, (100, 100, 94, 95)], "B": [50, (50, 50, 40, 45)]}
    result = play(bars, {"A": [0.8], "B": [0.8]}, orders=ONE)
    # 8 of A cost 760; 240 are left for B at 47.5.
    assert orders_of(result) == [
        (1, "A", 8, 95, "target, limit"),
        (1, "B", 240 / 47.5, 47.5, "target, limit, cut to what cash pays"),
    ]
    assert result.equity.iloc[-1] == pytest.approx(8 * 95 + 240 / 47.5 * 45)


def test_limit_buy_within_its_price_is_paid_in_full_where_a_market_order_would_be_cut(play: Play) -> None:
    costs = Costs(fee=(0.001, 0.002), slippage=0.0)
    result = play([100, (100, 100, 94, 95)], [1.0], orders=ONE, costs=costs)
    assert orders_of(result) == [(1, "A", 10, 95, "target, limit")]
    cut = play([100, (100, 100, 99, 99)], [1.0], orders=LimitOrders(offset=0.0), costs=costs)
    assert orders_of(cut) == [(1, "A", 1_000 / 100.1, 100, "target, limit, cut to what cash pays")]


def test_limit_orders_of_all_symbols_leave_cash_at_zero_or_above(play: Play) -> None:
    bars = {name: [100, (100, 100, 90, 100)] for name in "ABC"}
    result = play(bars, {name: [0.7] for name in "ABC"}, orders=ONE)
    assert [order[1] for order in orders_of(result)] == ["A", "B"]
    assert result.positions.iloc[-1].tolist() == pytest.approx([7, (1_000 - 665) / 95, 0])
    assert result.risk_events[["symbol", "verdict", "rule"]].to_numpy().tolist() == [
        ["B", "cut", "cash"],
        ["C", "blocked", "cash"],
    ]


@pytest.mark.parametrize("names", ["AB", "BA"])
def test_sale_at_its_limit_goes_before_a_purchase_whatever_the_order_of_the_columns(play: Play, names: str) -> None:
    both = (100, 106, 94, 100)
    bars = {"A": [100, (100, 100, 94, 100), both], "B": [100, 100, both]}
    weights = {"A": [1.0, 0.0], "B": [NAN, 1.0]}
    result = play({name: bars[name] for name in names}, {name: weights[name] for name in names}, orders=ONE)
    # 10 at 95 are worth 1,000 at the close and bring 1,050.
    assert orders_of(result)[1:] == [(2, "A", -10, 105, "target, limit"), (2, "B", 10.5, 95, "target, limit")]
