"""What trading and holding cost, in both engines and by hand: funding, borrowing, fees and their tiers, impact."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine import Costs, Exits, LimitOrders, Result, SquareRootImpact, Venue
from engine.result import CHARGE_COLUMNS
from tests.engine.worked_bars import START, Bar, Play, bar_of, charges_of, hour, orders_of

NAN = np.nan
PERPETUAL = Venue(shorts=True)


def funded(rates: dict[float, float]) -> pd.Series:
    return pd.Series(list(rates.values()), pd.DatetimeIndex([hour(number) for number in rates]), dtype="float64")


def paying(funding, **terms) -> dict:
    """Costs of nothing but funding, on a perpetual."""
    return {"costs": Costs(fee=0.0, slippage=0.0, funding=funding), "venue": PERPETUAL, **terms}


# Funding


def test_funding_at_a_bars_opening_time_falls_on_what_was_held_before_its_fills(play: Play) -> None:
    # Bought at the open of bar 1, sold at the open of bar 3; the close of each bar is not what counts.
    bars = [100, (100, 100, 90, 90), (110, 110, 90, 90), (120, 120, 90, 90), 90]
    result = play(bars, [1.0, NAN, 0.0], **paying(funded({1: 0.01, 2: 0.01, 3: 0.01, 4: 0.01})))
    assert charges_of(result) == [(2, "A", "funding", 11), (3, "A", "funding", 12)]
    assert result.equity.tolist() == pytest.approx([1_000, 900, 900 - 11, 1_200 - 23, 1_200 - 23])


def test_funding_within_a_bar_falls_on_what_is_held_after_its_fills_at_the_open(play: Play) -> None:
    bars = [100, (100, 100, 90, 90), (110, 110, 90, 90), (120, 120, 90, 90)]
    result = play(bars, [1.0, NAN, 0.0], **paying(funded({1.5: 0.01, 2.999: 0.01, 3.5: 0.01})))
    assert charges_of(result) == [(1, "A", "funding", 10), (2, "A", "funding", 11)]


def test_funding_within_a_bar_is_paid_by_what_a_barrier_closes_later_in_it(play: Play) -> None:
    funding = funded({1.5: 0.01})
    result = play([100, (100, 100, 90, 90)], [1.0], exits=Exits(stop_loss=0.05), **paying(funding))
    assert charges_of(result) == [(1, "A", "funding", 10)]
    assert result.equity.iloc[-1] == pytest.approx(950 - 10)


def test_funding_within_a_bar_is_not_paid_by_what_a_limit_order_opens_in_it(play: Play) -> None:
    terms = paying(funded({1.5: 0.01, 2.5: 0.01}), orders=LimitOrders(offset=0.05))
    result = play([100, (100, 100, 90, 90), 90], [1.0], **terms)
    assert charges_of(result) == [(2, "A", "funding", 9)]


def test_short_receives_a_positive_rate_and_pays_a_negative_one(play: Play) -> None:
    result = play([100] * 4, [-1.0], **paying(funded({2: 0.01, 3: -0.02})))
    assert charges_of(result) == [(2, "A", "funding", -10), (3, "A", "funding", 20)]
    assert result.equity.tolist() == pytest.approx([1_000, 1_000, 1_010, 990])
    long = play([100] * 4, [1.0], **paying(funded({2: 0.01, 3: -0.02})))
    assert long.equity.tolist() == pytest.approx([1_000, 1_000, 990, 1_010])


def test_rates_at_times_without_a_bar_fall_on_the_next_bar(play: Play) -> None:
    bars = [100, 100, None, None, (120, 120, 90, 90)]
    result = play(bars, [1.0], on_grid=False, **paying(funded({2: 0.01, 3: 0.02, 3.5: 0.03})))
    assert charges_of(result) == [(4, "A", "funding", pytest.approx(1_200 * 0.06))]


def test_several_rates_within_a_bar_add_up_and_those_after_the_last_bar_fall_on_none(play: Play) -> None:
    result = play([100, 100], [1.0], **paying(funded({1.2: 0.01, 1.4: 0.01, 2: 0.5, 7: 0.5})))
    assert charges_of(result) == [(1, "A", "funding", 20)]


def test_rates_before_the_first_bar_and_missing_ones_cost_nothing(play: Play) -> None:
    result = play([100, 100, 100], [1.0], **paying(funded({-8: 0.5, 1.5: NAN, 2: 0.01})))
    assert charges_of(result) == [(2, "A", "funding", 10)]


@pytest.mark.parametrize("kind", [dict, pd.DataFrame])
def test_rates_by_symbol_are_paid_by_each_symbol_alone(play: Play, kind: type) -> None:
    bars = {"A": [100] * 3, "B": [100] * 3, "C": [100] * 3}
    funding = kind({"B": funded({2: 0.01}), "A": funded({2: 0.02})})
    result = play(bars, {name: [0.3] for name in bars}, **paying(funding))
    assert sorted(charges_of(result), key=lambda row: row[1]) == [(2, "A", "funding", 6), (2, "B", "funding", 3)]


def test_one_series_is_paid_by_every_symbol(play: Play) -> None:
    result = play({"A": [100] * 3, "B": [50] * 3}, {"A": [0.3], "B": [-0.2]}, **paying(funded({2: 0.01})))
    assert charges_of(result) == [(2, "A", "funding", 3), (2, "B", "funding", -2)]


# Borrowing


def test_borrowing_accrues_by_elapsed_time_on_what_is_short_at_its_last_close(play: Play) -> None:
    costs = Costs(fee=0.0, slippage=0.0, borrow=0.876)  # 0.0001 an hour
    bars = [100, (100, 120, 100, 120), (90, 90, 90, 90), (90, 90, 90, 90)]
    result = play(bars, [-1.0, NAN, 0.0], costs=costs, venue=PERPETUAL)
    # From bar 1 to 2 at the close of 120, from 2 to 3 at 90; bought back at the open of bar 3.
    assert charges_of(result) == [(2, "A", "borrow", 0.12), (3, "A", "borrow", 0.09)]
    assert result.equity.tolist() == pytest.approx([1_000, 800, 1_100 - 0.12, 1_100 - 0.21])


@pytest.mark.parametrize("on_grid", [True, False])
def test_borrowing_runs_on_over_a_gap(play: Play, on_grid: bool) -> None:
    costs = Costs(fee=0.0, slippage=0.0, borrow=0.876)
    result = play([100, 100, None, None, 100], [-1.0], costs=costs, venue=PERPETUAL, on_grid=on_grid)
    assert result.charges["paid"].sum() == pytest.approx(0.3)
    assert result.equity.iloc[-1] == pytest.approx(1_000 - 0.3)


def test_long_borrows_nothing(play: Play) -> None:
    result = play([100] * 4, [1.0], costs=Costs(fee=0.0, slippage=0.0, borrow=0.876), venue=PERPETUAL)
    assert len(result.charges) == 0
    assert result.equity.iloc[-1] == 1_000


def test_charges_table_has_a_row_per_bar_and_symbol_and_kind_by_time(play: Play) -> None:
    costs = Costs(fee=0.0, slippage=0.0, funding=funded({2: 0.01, 3: 0.01}), borrow=0.876)
    bars = {"A": [100] * 4, "B": [100] * 4}
    result = play(bars, {"A": [-0.5], "B": [0.5]}, costs=costs, venue=PERPETUAL)
    assert tuple(result.charges.columns) == CHARGE_COLUMNS
    assert sorted(charges_of(result), key=lambda row: row[:3]) == [
        (2, "A", "borrow", 0.05),
        (2, "A", "funding", -5),
        (2, "B", "funding", 5),
        (3, "A", "borrow", 0.05),
        (3, "A", "funding", -5),
        (3, "B", "funding", 5),
    ]
    assert result.charges["at"].is_monotonic_increasing
    assert str(result.charges["at"].dtype) == "datetime64[ns, UTC]"
    assert result.equity.iloc[-1] == pytest.approx(1_000 - result.charges["paid"].sum())


def test_run_without_charges_has_an_empty_table_of_the_same_columns(play: Play) -> None:
    result = play([100, 100], [1.0])
    assert tuple(result.charges.columns) == CHARGE_COLUMNS
    assert len(result.charges) == 0


# Fees


def rates_of(result: Result) -> list[tuple[int, float]]:
    """(bar, fee over notional) of each order."""
    return [
        (bar_of(result, row.filled_at), pytest.approx(row.fee / (row.amount * row.price), rel=1e-12))
        for row in result.orders.itertuples()
    ]


def test_tier_is_set_at_the_utc_day_by_the_notional_of_the_days_before(play: Play) -> None:
    tiers = ((450.0, 0.0005, 0.001), (2_000.0, 0.0002, 0.0004))
    costs = Costs(fee=0.002, slippage=0.0, tiers=tiers)
    # Two bars a day: 300 traded on day 0 and 200 on day 1, so the tier is reached when day 2 begins.
    result = play([100] * 6, [0.3, 0.5, NAN, 0.7, NAN], costs=costs, timeframe="12h")
    orders = orders_of(result)
    assert [order[0] for order in orders] == [1, 2, 4]
    assert rates_of(result) == [(1, 0.002), (2, 0.002), (4, 0.001)]


def test_tier_is_reached_at_its_volume_and_not_below_it(play: Play) -> None:
    for volume, rate in ((300.0, 0.001), (300.01, 0.002)):
        costs = Costs(fee=0.002, slippage=0.0, tiers=((volume, 0.0005, 0.001),))
        result = play([100] * 4, [0.3, NAN, 0.0], costs=costs, timeframe="12h")
        assert rates_of(result) == [(1, 0.002), (3, rate)]


def test_highest_tier_that_is_reached_holds_for_takers_and_makers(play: Play) -> None:
    costs = Costs(fee=(0.001, 0.002), slippage=0.0, tiers=((100.0, 0.0008, 0.0016), (300.0, -0.0001, 0.0004)))
    bars = [100, 100, (100, 106, 100, 104), 104, 104]
    result = play(bars, [0.3, NAN, 0.2], costs=costs, timeframe="1d", exits=Exits(take_profit=0.05))
    assert rates_of(result) == [(1, 0.002), (2, -0.0001), (3, 0.0004)]


@pytest.mark.parametrize(("day", "rate"), [(2, 0.001), (31, 0.001), (32, 0.002)])
def test_volume_counts_for_thirty_days(play: Play, day: int, rate: float) -> None:
    costs = Costs(fee=0.002, slippage=0.0, tiers=((300.0, 0.0005, 0.001),))
    weights = [0.3] + [NAN] * 40
    weights[day - 1] = 0.0
    assert rates_of(play([100] * 41, weights, costs=costs, timeframe="1d")) == [(1, 0.002), (day, rate)]


def test_volume_of_days_without_bars_is_not_counted_twice(play: Play) -> None:
    # Day 1 is 31 days before day 32: its place in a ring of 31 days is that of the day that begins.
    costs = Costs(fee=0.002, slippage=0.0, tiers=((300.0, 0.0005, 0.001),))
    bars: list[Bar] = [100, 100, 100, *[None] * 29, 100, 100]
    result = play(bars, [0.3, NAN, 0.0], costs=costs, timeframe="1d", on_grid=False)
    assert [rate for _, rate in rates_of(result)] == [0.002, 0.002]


def test_stop_and_profit_of_the_same_position_pay_taker_and_maker(play: Play) -> None:
    costs = Costs(fee=(-0.0001, 0.002), slippage=0.0)
    exits = Exits(stop_loss=0.05, take_profit=0.05)
    assert rates_of(play([100, 100, (100, 100, 90, 90)], [0.5], costs=costs, exits=exits)) == [(1, 0.002), (2, 0.002)]
    profit = play([100, 100, (100, 110, 100, 110)], [0.5], costs=costs, exits=exits)
    assert rates_of(profit) == [(1, 0.002), (2, -0.0001)]
    # A rebate is paid out.
    assert profit.equity.iloc[-1] == pytest.approx(1_000 - 1 + 25 + 525 * 0.0001)


def test_fee_of_the_venue_is_each_symbols_own(play: Play) -> None:
    bars = {"A": [100, (100, 100, 94, 100), 100], "B": [100, 100, 100]}
    venues = {"A": Venue(fees=(0.0003, 0.0007)), "B": Venue(fees=(0.0, 0.001))}
    costs = Costs(fee="venue", slippage=0.0)
    market = play(bars, {"A": [0.4], "B": [0.4]}, costs=costs, venue=venues)
    assert rates_of(market) == [(1, 0.0007), (1, 0.001)]
    style = LimitOrders(offset=0.05, alive=1, then="market")
    resting = play(bars, {"A": [0.4], "B": [0.4]}, costs=costs, venue=venues, orders=style)
    assert rates_of(resting) == [(1, 0.0003), (2, 0.001)]


# Impact

IMPACT = Costs(fee=0.0, slippage=SquareRootImpact(coefficient=0.1, base=0.001, most=0.05))


def of_volume(price: float, volume: float) -> Bar:
    return price, price, price, price, volume


def test_slippage_grows_with_the_root_of_the_orders_share_of_the_last_completed_bar(play: Play) -> None:
    # 4 of 400 coins: 0.001 + 0.1 * 0.1; then, to sell, 4 of 100: 0.001 + 0.1 * 0.2. The fill's own bar does not count.
    bars = [of_volume(100, 400), of_volume(100, 9), of_volume(100, 100), of_volume(100, 9)]
    result = play(bars, [0.4, NAN, 0.0], costs=IMPACT)
    assert orders_of(result) == [(1, "A", 4, 101.1, "target"), (3, "A", -4, 97.9, "target")]


def test_slippage_is_never_above_its_most_and_a_bar_without_volume_costs_that(play: Play) -> None:
    for volume in (1.0, 0.0):
        result = play([of_volume(100, volume), of_volume(100, 1_000_000)], [0.4], costs=IMPACT)
        assert orders_of(result) == [(1, "A", 4, 105, "target")]


def test_last_completed_bar_is_the_last_one_that_exists(play: Play) -> None:
    result = play([of_volume(100, 1), of_volume(100, 400), None, of_volume(100, 1)], [NAN, 0.4], costs=IMPACT)
    assert orders_of(result) == [(3, "A", 4, 101.1, "target")]


def test_impact_falls_on_stops_and_not_on_limit_orders_and_profits(play: Play) -> None:
    costs = Costs(fee=0.0, slippage=SquareRootImpact(coefficient=0.1, base=0.0, most=0.05))
    falls = [of_volume(100, 400), (100, 100, 94, 95, 10_000), (95, 95, 80, 85, 9)]
    stopped = play(falls, [0.4], costs=costs, orders=LimitOrders(offset=0.05), exits=Exits(stop_loss=0.1))
    # 4 of 10,000 coins: 0.1 * 0.02.
    assert orders_of(stopped) == [(1, "A", 4, 95, "target, limit"), (2, "A", -4, 85.5 * 0.998, "stop loss")]
    rises = [of_volume(100, 400), of_volume(100, 9), (100, 120, 100, 110, 9)]
    profit = play(rises, [0.4], costs=costs, exits=Exits(take_profit=0.1))
    assert orders_of(profit)[1:] == [(2, "A", -4, 111.1, "take profit")]


# A fee that is taken from the coins bought

BOUGHT = {"costs": Costs(fee=0.001, slippage=0.0, fee_in="bought"), "venue": Venue(amount_step=0.01)}


def test_fee_in_coins_makes_the_holding_smaller_and_leaves_cash_alone(play: Play) -> None:
    result = play([100, 100, 110], [0.5], **BOUGHT)
    assert orders_of(result) == [(1, "A", 5, 100, "target")]
    assert result.orders["fee"].tolist() == pytest.approx([0.5])
    assert result.positions["A"].tolist() == pytest.approx([0, 4.995, 4.995])
    assert result.equity.tolist() == pytest.approx([1_000, 999.5, 500 + 4.995 * 110])


def test_all_of_the_cash_can_be_spent_where_the_fee_is_taken_in_coins(play: Play) -> None:
    result = play([100, 100], [1.0], **BOUGHT)
    assert orders_of(result) == [(1, "A", 10, 100, "target")]
    assert result.positions["A"].iloc[-1] == pytest.approx(9.99)


def test_closing_leaves_less_than_a_step_which_is_counted_at_its_mark_and_cannot_be_sold(play: Play) -> None:
    result = play([100, 100, 100, 200, 200], [0.5, 0.0, 0.0, 0.0], **BOUGHT)
    # 4.99 of 4.995 can be sold; a sale's fee is taken in cash.
    assert orders_of(result) == [(1, "A", 5, 100, "target"), (2, "A", -4.99, 100, "target")]
    assert result.positions["A"].tolist() == pytest.approx([0, 4.995, 0.005, 0.005, 0.005])
    cash = 500 + 499 * 0.999
    assert result.equity.tolist() == pytest.approx([1_000, 999.5, cash + 0.5, cash + 1, cash + 1])


def test_rest_below_a_step_has_no_barriers_and_the_next_entry_begins_anew(play: Play) -> None:
    exits = Exits(stop_loss=0.1, time_limit=pd.Timedelta("9h"))
    bars = [100, 100, (100, 100, 90, 90), (50, 50, 10, 50), 50, (50, 50, 44, 44)]
    result = play(bars, [0.5, NAN, NAN, 0.5], exits=exits, **BOUGHT)
    wanted = 0.5 * result.equity.iloc[3] / 50 - 0.005
    bought = np.floor(wanted * 100) / 100
    assert orders_of(result) == [
        (1, "A", 5, 100, "target"),
        (2, "A", -4.99, 90, "stop loss"),
        (4, "A", bought, 50, "target"),
        (5, "A", -np.floor((bought * 0.999 + 0.005) * 100) / 100, 45, "stop loss"),
    ]


def test_day_of_a_tier_begins_at_midnight_utc(play: Play) -> None:
    assert START.hour == 0
    costs = Costs(fee=0.002, slippage=0.0, tiers=((300.0, 0.0005, 0.001),))
    result = play([100] * 26, [0.3, *[NAN] * 21, 0.2, 0.1], costs=costs)
    assert rates_of(result) == [(1, 0.002), (23, 0.002), (24, 0.001)]
