"""Execution rule 7 within a run, by hand and in both engines: what is cut, blocked, flattened, and what is recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine import Costs, Exits, LimitOrders, Result, RiskLimits, Venue
from tests.engine.worked_bars import Play, bar_of, orders_of

NAN = np.nan
SHORTS = Venue(shorts=True)
FLAT = [10.0] * 6


def events_of(result: Result) -> list[tuple]:
    """(bar, bar of the decision or None, symbol, verdict, rule, wanted, allowed)."""
    return [
        (
            bar_of(result, row.at),
            None if pd.isna(row.decided_at) else bar_of(result, row.decided_at),
            row.symbol,
            row.verdict,
            row.rule,
            pytest.approx(row.wanted, rel=1e-12, nan_ok=True),
            pytest.approx(row.allowed, rel=1e-12, nan_ok=True),
        )
        for row in result.risk_events.itertuples()
    ]


# Cuts


def test_position_limit_holds_however_often_the_strategy_asks_for_more(play: Play) -> None:
    # The old system capped the order: six of them, each within 30%, took the position to 99% of equity.
    result = play(FLAT, [0.25, 0.5, 0.75, 1.0, 1.0], risk=RiskLimits(max_position=0.3))
    assert orders_of(result) == [(1, "A", 25, 10, "target"), (2, "A", 5, 10, "target, cut by max_position")]
    assert events_of(result) == [
        (1, 0, "A", "allowed", "", 25, 25),
        (2, 1, "A", "cut", "max_position", 25, 5),
        (3, 2, "A", "blocked", "max_position", 45, 0),
        (4, 3, "A", "blocked", "max_position", 70, 0),
        (5, 4, "A", "blocked", "max_position", 70, 0),
    ]
    assert result.weights["A"].max() == pytest.approx(0.3)


def test_limit_is_judged_at_the_open_that_fills_and_not_at_the_decisions_close(play: Play) -> None:
    result = play([10, 12, 12], [0.3], risk=RiskLimits(max_position=0.3))
    # 30 coins were 30% at 10; at 12 these are 25.
    assert orders_of(result) == [(1, "A", 25, 12, "target, cut by max_position")]


def test_gross_limit_cuts_what_comes_last_and_holds_after_fee_and_slippage(play: Play) -> None:
    bars = {"A": FLAT[:2], "B": FLAT[:2]}
    costs = Costs(fee=0.02, slippage=0.01)
    result = play(bars, {"A": [0.5], "B": [0.5]}, risk=RiskLimits(max_gross=0.7), costs=costs)
    # A coin costs 0.1 of slippage and 0.202 of fee. After A: 500 of 1,000 - 50 * 0.302 = 984.9.
    left = (0.7 * 984.9 - 500) / (10 + 0.7 * 0.302)
    assert orders_of(result) == [(1, "A", 50, 10.1, "target"), (1, "B", left, 10.1, "target, cut by max_gross")]
    assert result.weights.iloc[1].sum() == pytest.approx(0.7, rel=1e-12)
    assert events_of(result)[1] == (1, 0, "B", "cut", "max_gross", 50, left)


def test_gross_limit_counts_shorts_and_longs_alike(play: Play) -> None:
    bars = {"A": FLAT[:2], "B": FLAT[:2]}
    result = play(bars, {"A": [-0.5], "B": [0.5]}, risk=RiskLimits(max_gross=0.8), venue=SHORTS)
    assert orders_of(result) == [(1, "A", -50, 10, "target"), (1, "B", 30, 10, "target, cut by max_gross")]


def test_net_limit_lets_a_short_make_room_for_a_long(play: Play) -> None:
    bars = {"A": FLAT[:2], "B": FLAT[:2]}
    result = play(bars, {"A": [0.6], "B": [-0.2]}, risk=RiskLimits(max_net=0.3), venue=SHORTS)
    # Sold first, B leaves 200 net short: A may add 500.
    assert orders_of(result) == [(1, "B", -20, 10, "target"), (1, "A", 50, 10, "target, cut by max_net")]


def test_order_notional_cuts_each_order_and_not_the_position(play: Play) -> None:
    result = play(FLAT[:4], [0.5, 0.5, 0.5], risk=RiskLimits(max_order_notional=200.0))
    assert orders_of(result) == [
        (1, "A", 20, 10, "target, cut by max_order_notional"),
        (2, "A", 20, 10, "target, cut by max_order_notional"),
        (3, "A", 10, 10, "target"),
    ]


def test_what_a_limit_leaves_is_cut_to_whole_steps_and_blocked_below_the_venues_minimum(play: Play) -> None:
    risk = RiskLimits(max_order_notional=77.0)
    stepped = play(FLAT[:2], [0.5], risk=risk, venue=Venue(amount_step=0.5))
    assert orders_of(stepped) == [(1, "A", 7.5, 10, "target, cut by max_order_notional")]
    small = play(FLAT[:2], [0.5], risk=risk, venue=Venue(min_notional=80.0))
    assert orders_of(small) == []
    assert events_of(small) == [(1, 0, "A", "blocked", "max_order_notional", 50, 0)]


def test_reversal_beyond_the_limit_closes_and_opens_what_the_limit_allows(play: Play) -> None:
    result = play(FLAT[:3], [0.4, -1.0], risk=RiskLimits(max_position=0.4), venue=SHORTS)
    assert orders_of(result)[1] == (2, "A", -80, 10, "target, cut by max_position")
    assert events_of(result)[1] == (2, 1, "A", "cut", "max_position", -140, -80)


def test_order_cut_by_a_limit_and_then_by_cash_names_cash_and_both_are_recorded(play: Play) -> None:
    bars = {"A": FLAT[:2], "B": FLAT[:2]}
    result = play(bars, {"A": [0.8], "B": [0.8]}, risk=RiskLimits(max_gross=1.5))
    assert orders_of(result)[1] == (1, "B", 20, 10, "target, cut to what cash pays")
    assert events_of(result)[1:] == [
        (1, 0, "B", "cut", "max_gross", 80, 70),
        (1, 0, "B", "cut", "cash", 70, 20),
    ]


# Blocks


def test_order_cut_to_nothing_by_cash_leaves_a_record_without_any_risk_limits(play: Play) -> None:
    bars = {"A": FLAT[:3], "B": FLAT[:3]}
    result = play(bars, {"A": [1.0], "B": [NAN, 0.5]})
    assert orders_of(result) == [(1, "A", 100, 10, "target")]
    assert events_of(result) == [(2, 1, "B", "blocked", "cash", 50, 0)]


def test_order_rate_lets_one_order_of_two_through_at_the_same_open(play: Play) -> None:
    bars = {"A": FLAT[:3], "B": FLAT[:3]}
    result = play(bars, {"A": [0.2], "B": [0.2, 0.2]}, risk=RiskLimits(max_orders_per_minute=1))
    assert orders_of(result) == [(1, "A", 20, 10, "target"), (2, "B", 20, 10, "target")]
    assert events_of(result)[1] == (1, 0, "B", "blocked", "max_orders_per_minute", 20, 0)


def test_exit_is_not_held_up_by_the_order_rate_but_counts_towards_it(play: Play) -> None:
    bars = {"A": [10, 10, (10, 10, 8, 8), 8], "B": [10, 10, (10, 10, 8, 8), 8]}
    terms = {"exits": Exits(stop_loss=0.1), "risk": RiskLimits(max_orders_per_minute=1), "orders": LimitOrders(0.0, 9)}
    entered = play({"A": [10, (10, 10, 8, 8)]}, {"A": [0.2]}, **terms)
    assert orders_of(entered) == [(1, "A", 20, 10, "target, limit"), (1, "A", -20, 9, "stop loss")]
    # A's limit order fills in bar 1 and B's could in bar 2, but for A's stop there.
    bars["A"][1] = (10, 10, 9.5, 10)
    blocked = play(bars, {"A": [0.2], "B": [NAN, 0.2]}, **terms)
    assert orders_of(blocked) == [(1, "A", 20, 10, "target, limit"), (2, "A", -20, 9, "stop loss")]
    assert events_of(blocked)[1:] == [(2, 1, "B", "blocked", "max_orders_per_minute", 20, 0)]


def test_collar_blocks_a_fill_far_from_the_last_close_slippage_included(play: Play) -> None:
    risk = RiskLimits(price_collar=0.1)
    costs = Costs(fee=0.0, slippage=0.02)
    near = play([10, 10.7, 10], [0.5], risk=risk, costs=costs)
    assert orders_of(near) == [(1, "A", 50, 10.7 * 1.02, "target")]
    far = play([10, 10.9, 10], [0.5], risk=risk, costs=costs)
    assert orders_of(far) == []
    assert events_of(far) == [(1, 0, "A", "blocked", "price_collar", 50, 0)]


@pytest.mark.parametrize(("missing", "fills"), [(2, True), (3, False)])
def test_order_that_waits_over_a_gap_is_too_old_once_its_decision_is(play: Play, missing: int, fills: bool) -> None:
    # Decided at the close at 01:00; two hours later, at 03:00, it is still good.
    result = play([10, *[None] * missing, 10], [0.5], risk=RiskLimits(max_data_age=pd.Timedelta("2h")))
    assert [order[:3] for order in orders_of(result)] == ([(3, "A", 50)] if fills else [])
    verdict = ("allowed", "", 50, 50) if fills else ("blocked", "max_data_age", 50, 0)
    assert events_of(result) == [(missing + 1, 0, "A", *verdict)]


def test_what_reduces_passes_every_rule_that_cuts_or_blocks(play: Play) -> None:
    risk = RiskLimits(
        max_position=0.001,
        max_gross=0.001,
        max_net=0.001,
        max_order_notional=1.0,
        max_data_age=pd.Timedelta("1min"),
        price_collar=0.01,
    )
    # A tenth of a coin is bought for 1; it leaves by halves, worth more than any limit, late, at thrice the last close.
    result = play([10, 10, 100, None, 300, 900], [0.1, NAN, 0.005, NAN, 0.0], risk=risk)
    assert orders_of(result) == [
        (1, "A", 0.1, 10, "target, cut by max_position"),
        (4, "A", -0.04955, 300, "target"),
        (5, "A", -0.05045, 900, "target"),
    ]
    assert [event[3] for event in events_of(result)] == ["cut", "allowed", "allowed"]


# Halts


def test_daily_loss_flattens_at_the_next_open_and_halts_until_the_next_utc_day(play: Play) -> None:
    bars = [10, (10, 10, 7, 7), (6, 6, 6, 6), 6, 6, 6]
    weights = [1.0, 1.0, 1.0, 0.5, NAN]
    result = play(bars, weights, timeframe="6h", risk=RiskLimits(max_daily_loss=0.25))
    # 300 of 1,000 are lost at the close of bar 1; what the strategy decides there and at bar 2 comes to nothing.
    assert orders_of(result) == [
        (1, "A", 100, 10, "target"),
        (2, "A", -100, 6, "halt, daily loss"),
        (4, "A", 50, 6, "target"),
    ]
    assert events_of(result) == [
        (1, 0, "A", "allowed", "", 100, 100),
        (1, None, "", "halt", "max_daily_loss", NAN, NAN),
        (3, 2, "A", "blocked", "max_daily_loss", 100, 0),
        (4, None, "", "resume", "max_daily_loss", NAN, NAN),
        (4, 3, "A", "allowed", "", 50, 50),
    ]
    assert result.equity.tolist() == pytest.approx([1_000, 700, 600, 600, 600, 600])


def test_daily_loss_is_counted_anew_from_the_close_before_the_day(play: Play) -> None:
    # 20% a day, from 1,000 and from 800: never a quarter of a day's beginning, though 36% in all.
    bars = [10, 10, 10, 8, 8, 8, 8, 6.4, 6.4]
    risk = RiskLimits(max_daily_loss=0.25)
    assert "halt" not in play(bars, [1.0], timeframe="6h", risk=risk).risk_events["verdict"].tolist()
    bars[6] = 5.9
    halted = play(bars, [1.0], timeframe="6h", risk=risk)
    assert orders_of(halted)[1] == (7, "A", -100, 6.4, "halt, daily loss")


def test_drawdown_flattens_and_halts_for_good(play: Play) -> None:
    bars = [10, 10, 20, 15, 14, 14, 14, 14, 14, 14]
    weights = [1.0, NAN, NAN, NAN, NAN, 1.0, NAN, 1.0]
    result = play(bars, weights, timeframe="12h", risk=RiskLimits(max_drawdown=0.25))
    # The best close is 2,000; 1,500 is a quarter below it.
    assert orders_of(result) == [(1, "A", 100, 10, "target"), (4, "A", -100, 14, "halt, drawdown")]
    assert events_of(result)[1:] == [
        (3, None, "", "halt", "max_drawdown", NAN, NAN),
        (6, 5, "A", "blocked", "max_drawdown", 100, 0),
        (8, 7, "A", "blocked", "max_drawdown", 100, 0),
    ]


def test_drawdown_takes_over_a_daily_halt(play: Play) -> None:
    risk = RiskLimits(max_daily_loss=0.25, max_drawdown=0.5)
    bars = [10, 10, 7, None, 4, 4, 4, 4]
    result = play(bars, [1.0, NAN, NAN, NAN, NAN, 1.0], timeframe="6h", risk=risk)
    # The halt waits for A's next bar, and that is a day later: its order stands, whatever the day.
    assert orders_of(result)[1:] == [(4, "A", -100, 4, "halt, daily loss")]
    assert [event[:5] for event in events_of(result)[1:]] == [
        (2, None, "", "halt", "max_daily_loss"),
        (4, None, "", "resume", "max_daily_loss"),
        (4, None, "", "halt", "max_drawdown"),
        (6, 5, "A", "blocked", "max_drawdown"),
    ]


@pytest.mark.parametrize("weight", [0.5, -0.5])
def test_halt_closes_longs_and_shorts_of_every_symbol_and_drops_what_waits(play: Play, weight: float) -> None:
    fall = 5.0 if weight > 0 else 15.0
    bars = {"A": [10, 10, fall, fall, fall], "B": [10, 10, 10, 10, 10], "C": [10, None, None, 10, 10]}
    weights = {"A": [weight], "B": [weight / 2], "C": [0.1]}
    result = play(bars, weights, risk=RiskLimits(max_drawdown=0.2), venue=SHORTS)
    # C's order, decided at bar 0, waits over its gap and is gone when its next bar comes.
    assert orders_of(result)[2:] == [
        (3, "A", -100 * weight, fall, "halt, drawdown"),
        (3, "B", -50 * weight, 10, "halt, drawdown"),
    ]
    assert result.positions.iloc[-1].tolist() == [0.0, 0.0, 0.0]


def test_halt_pays_the_takers_fee_and_slippage(play: Play) -> None:
    costs = Costs(fee=(0.0, 0.01), slippage=0.02)
    result = play([10, 10, 5, 5], [0.5], risk=RiskLimits(max_drawdown=0.2), costs=costs)
    assert orders_of(result)[1] == (3, "A", -50, 4.9, "halt, drawdown")
    assert result.orders["fee"].iloc[1] == pytest.approx(2.45)


def test_halt_drops_a_resting_order_and_goes_before_a_stop_at_the_same_open(play: Play) -> None:
    bars = {"A": [10, (10, 10, 9, 10), 7, None, (5, 5, 5, 5)], "B": [10, 10, 10, (10, 10, 5, 10), 10]}
    terms = {"risk": RiskLimits(max_drawdown=0.2), "orders": LimitOrders(0.05, 9), "exits": Exits(stop_loss=0.4)}
    result = play(bars, {"A": [0.9], "B": [NAN, 0.1]}, **terms)
    # B's order at 9.5 would have filled in bar 3; A leaves at the open of its next bar, as its stop of 5.7 would.
    assert orders_of(result) == [(1, "A", 90, 9.5, "target, limit"), (4, "A", -90, 5, "halt, drawdown")]


# The record


def test_risk_events_survive_the_file(play: Play, tmp_path: Path) -> None:
    bars = [10, (10, 10, 7, 7), (6, 6, 6, 6), 6, 6, 6]
    risk = RiskLimits(max_daily_loss=0.25, max_position=0.9)
    result = play(bars, [1.0, 1.0, 1.0, 0.5, NAN], timeframe="6h", risk=risk)
    assert set(result.risk_events["verdict"]) == {"allowed", "cut", "blocked", "halt", "resume"}
    back = Result.read_parquet(result.to_parquet(tmp_path / "run.parquet"))
    pd.testing.assert_frame_equal(back.risk_events, result.risk_events, check_exact=True)
    pd.testing.assert_frame_equal(back.orders, result.orders, check_exact=True)


def test_run_without_limits_and_without_cuts_records_nothing_in_columns_of_the_same_types(play: Play) -> None:
    quiet, busy = play(FLAT[:2], [0.5]), play(FLAT[:2], [0.5], risk=RiskLimits(max_gross=0.1))
    assert len(quiet.risk_events) == 0
    assert quiet.risk_events.dtypes.equals(busy.risk_events.dtypes)
