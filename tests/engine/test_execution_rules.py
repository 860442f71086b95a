"""Execution rules 1 to 4 and 9 of DESIGN.md, by examples that one can follow by hand; both engines obey each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from data import Market
from engine import Costs, Result, Venue, backtest, paper
from tests.engine.given import Given

FREE = Costs(fee=0.0, slippage=0.0)
SPOT, SHORTS = Venue(), Venue(shorts=True)
NAN = np.nan


Bars = list[tuple[float, float] | None]
Run = Callable[..., Result]


def hour(number: int) -> pd.Timestamp:
    return pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(hours=number)


@pytest.fixture(params=[backtest, paper], ids=["backtest", "paper"])
def run(request: pytest.FixtureRequest) -> Run:
    """One engine: bars as (open, close) by symbol, None where one is missing, and a row of weights per bar."""
    engine = request.param

    def execute(bars: dict[str, Bars], weights: dict[str, list[float]], **terms) -> Result:
        frames = {}
        for symbol, given in bars.items():
            rows = {hour(i): bar for i, bar in enumerate(given) if bar is not None}
            table = pd.DataFrame(list(rows.values()), index=pd.DatetimeIndex(rows), columns=["open", "close"])
            high, low = table.max(axis=1), table.min(axis=1)
            frames[symbol] = table.assign(high=high, low=low, volume=1.0)[["open", "high", "low", "close", "volume"]]
        market = Market.from_frames(frames, timeframe="1h").on_grid()
        table = pd.DataFrame(weights, index=market.index)
        return engine(Given(table), market, **{"cash": 1_000.0, "costs": FREE, **terms})

    return execute


def orders_of(result: Result) -> list[tuple]:
    table = result.orders
    return [
        (row.symbol, row.side, pytest.approx(row.amount, rel=1e-12), pytest.approx(row.price, rel=1e-12), row.reason)
        for row in table.itertuples()
    ]


def times_of(result: Result) -> list[tuple[int, int]]:
    return [
        ((row.decided_at - hour(0)) // pd.Timedelta("1h"), (row.filled_at - hour(0)) // pd.Timedelta("1h"))
        for row in result.orders.itertuples()
    ]


# Rule 1: a decision fills at the next bar's open


def test_order_fills_at_the_next_open_and_never_on_its_own_bar(run: Run) -> None:
    result = run({"A": [(10, 20), (25, 30), (40, 50)]}, {"A": [0.5, NAN, NAN]})
    assert times_of(result) == [(0, 1)]
    assert orders_of(result) == [("A", "buy", 25.0, 25.0, "target")]
    assert result.positions["A"].tolist() == [0.0, 25.0, 25.0]


def test_decision_on_the_last_bar_fills_nowhere(run: Run) -> None:
    result = run({"A": [(10, 10), (10, 10)]}, {"A": [NAN, 1.0]})
    assert len(result.orders) == 0
    assert result.equity.tolist() == [1_000.0, 1_000.0]


def test_equity_is_marked_at_each_close(run: Run) -> None:
    result = run({"A": [(10, 10), (10, 11), (11, 9), (9, 12)]}, {"A": [1.0, NAN, 0.0, NAN]})
    # 100 coins from the open at 10; sold at the open at 9.
    assert result.equity.tolist() == pytest.approx([1_000.0, 1_100.0, 900.0, 900.0])


# Rule 2: size


def test_amount_is_sized_by_equity_and_close_of_the_decision_not_by_the_open_that_fills(run: Run) -> None:
    result = run({"A": [(10, 20), (100, 100)]}, {"A": [0.5, NAN]})
    # Half of 1,000 at the close of 20 is 25 coins, though they cost 100 each by then; cash pays for 10.
    assert orders_of(result) == [("A", "buy", 10.0, 100.0, "target, cut to what cash pays")]
    result = run({"A": [(10, 20), (5, 5)]}, {"A": [0.5, NAN]})
    assert orders_of(result) == [("A", "buy", 25.0, 5.0, "target")]


def test_order_is_the_difference_to_what_is_held(run: Run) -> None:
    result = run({"A": [(10, 10)] * 5}, {"A": [0.5, 0.8, 0.2, 0.2, NAN]})
    assert orders_of(result) == [
        ("A", "buy", 50.0, 10.0, "target"),
        ("A", "buy", 30.0, 10.0, "target"),
        ("A", "sell", 60.0, 10.0, "target"),
    ]


def test_nan_leaves_the_position_as_it_is_while_a_target_rebalances_it(run: Run) -> None:
    bars = {"A": [(10, 10), (10, 10), (20, 20), (20, 20), (20, 20)]}
    assert len(run(bars, {"A": [0.5, NAN, NAN, NAN, NAN]}).orders) == 1
    # Half of 1,500 at 20 is 37.5, of which 50 are held.
    rebalanced = run(bars, {"A": [0.5, NAN, 0.5, NAN, NAN]})
    assert orders_of(rebalanced)[1] == ("A", "sell", 12.5, 20.0, "target")


def test_amount_is_rounded_towards_zero_for_buys_and_for_sells(run: Run) -> None:
    venue = Venue(shorts=True, amount_step=1.0)
    result = run({"A": [(3, 3)] * 4}, {"A": [0.1, -0.1, 0.0, NAN]}, venue=venue)
    # 33.33 coins wanted: 33 bought; then -33.33 from 33, a difference of -66.33: 66 sold; then closed.
    assert orders_of(result) == [
        ("A", "buy", 33.0, 3.0, "target"),
        ("A", "sell", 66.0, 3.0, "target"),
        ("A", "buy", 33.0, 3.0, "target"),
    ]
    assert result.positions["A"].iloc[-1] == 0.0


def test_order_below_the_minimum_notional_at_the_decisions_close_is_not_sent(run: Run) -> None:
    venue = Venue(min_notional=100.0)
    bars = {"A": [(10, 10)] * 5}
    assert len(run(bars, {"A": [0.0999, NAN, NAN, NAN, NAN]}, venue=venue).orders) == 0
    assert len(run(bars, {"A": [0.1, NAN, NAN, NAN, NAN]}, venue=venue).orders) == 1
    # The step from 0.5 to 0.55 is too small, the one from 0.5 to 0.6 is not.
    assert len(run(bars, {"A": [0.5, 0.55, 0.6, NAN, NAN]}, venue=venue).orders) == 2


def test_minimum_is_judged_at_the_decision_and_not_at_the_fill(run: Run) -> None:
    venue = Venue(min_notional=100.0)
    result = run({"A": [(10, 10), (1, 1)]}, {"A": [0.1, NAN]}, venue=venue)
    assert orders_of(result) == [("A", "buy", 10.0, 1.0, "target")]


@pytest.mark.parametrize("weight", [0.5, -0.5])
def test_order_below_the_minimum_is_sent_if_it_closes_the_position(run: Run, weight: float) -> None:
    # The position of 500 is worth 50 when it is closed.
    venue = Venue(shorts=True, min_notional=100.0)
    result = run({"A": [(10, 10), (10, 1), (1, 1)]}, {"A": [weight, 0.0, NAN]}, venue=venue)
    assert [order[2:4] for order in orders_of(result)] == [(50.0, 10.0), (50.0, 1.0)]
    assert result.positions["A"].iloc[-1] == 0.0


# Rule 3: price and fee


def test_buy_pays_more_than_the_open_and_sell_gets_less_and_the_fee_is_of_the_notional(run: Run) -> None:
    costs = Costs(fee=0.001, slippage=0.01)
    result = run({"A": [(10, 10), (10, 10), (20, 20)]}, {"A": [0.5, 0.0, NAN]}, costs=costs)
    assert orders_of(result) == [("A", "buy", 50.0, 10.1, "target"), ("A", "sell", 50.0, 19.8, "target")]
    assert result.orders["fee"].tolist() == pytest.approx([0.505, 0.99])
    assert result.equity.tolist() == pytest.approx([1_000.0, 1_000.0 - 5.0 - 0.505, 1_000.0 + 485.0 - 0.505 - 0.99])


def test_market_order_pays_the_takers_fee(run: Run) -> None:
    result = run({"A": [(10, 10)] * 2}, {"A": [0.5, NAN]}, costs=Costs(fee=(0.0001, 0.002), slippage=0.0))
    assert result.orders["fee"].tolist() == pytest.approx([1.0])


# Rule 4: cash


def test_sale_pays_for_a_purchase_at_the_same_open_whatever_the_order_of_the_columns(run: Run) -> None:
    flat = [(10, 10)] * 4
    for first, second in (("A", "B"), ("B", "A")):
        bars = {first: flat, second: flat}
        result = run(bars, {"A": [1.0, 0.0, NAN, NAN], "B": [NAN, 1.0, NAN, NAN]})
        assert orders_of(result)[1:] == [("A", "sell", 100.0, 10.0, "target"), ("B", "buy", 100.0, 10.0, "target")]


def test_buy_that_cash_cannot_pay_is_cut_fee_included_and_says_so(run: Run) -> None:
    costs = Costs(fee=0.01, slippage=0.0)
    result = run({"A": [(10, 10)] * 3}, {"A": [1.0, NAN, NAN]}, costs=costs)
    assert orders_of(result) == [("A", "buy", 1_000 / 10.1, 10.0, "target, cut to what cash pays")]
    notional = result.orders["amount"].iloc[0] * 10.0
    assert notional + result.orders["fee"].iloc[0] == pytest.approx(1_000.0, rel=1e-15)


def test_cut_buy_is_rounded_to_the_step_and_not_sent_below_the_minimum(run: Run) -> None:
    costs = Costs(fee=0.01, slippage=0.0)
    bars = {"A": [(10, 10)] * 3}
    stepped = run(bars, {"A": [1.0, NAN, NAN]}, costs=costs, venue=Venue(amount_step=0.5))
    assert orders_of(stepped) == [("A", "buy", 99.0, 10.0, "target, cut to what cash pays")]
    # Worth the minimum when it was decided, cut below it when it fills.
    venue = Venue(min_notional=995.0)
    assert len(run(bars, {"A": [1.0, NAN, NAN]}, costs=costs, venue=venue).orders) == 0


def test_symbols_share_one_cash_balance_first_come_by_column(run: Run) -> None:
    flat = [(10, 10), (20, 20)]
    result = run({"A": flat, "B": flat}, {"A": [0.4, NAN], "B": [0.4, NAN]})
    # 40 coins of each are wanted; at 20 cash pays for 40 of A and 10 of B.
    assert orders_of(result) == [
        ("A", "buy", 40.0, 20.0, "target"),
        ("B", "buy", 10.0, 20.0, "target, cut to what cash pays"),
    ]
    assert result.equity.tolist() == pytest.approx([1_000.0, 1_000.0])


def test_spot_never_borrows_however_much_is_wanted(run: Run) -> None:
    flat = [(10, 10)] * 4
    result = run({"A": flat, "B": flat}, {"A": [1.0, 1.0, NAN, NAN], "B": [1.0, 1.0, NAN, NAN]})
    assert result.positions.iloc[-1].tolist() == [100.0, 0.0]


def test_short_earns_what_the_price_falls(run: Run) -> None:
    result = run({"A": [(10, 10), (10, 8), (5, 5), (5, 5)]}, {"A": [-1.0, NAN, 0.0, NAN]}, venue=SHORTS)
    assert [order[:4] for order in orders_of(result)] == [("A", "sell", 100.0, 10.0), ("A", "buy", 100.0, 5.0)]
    assert result.equity.tolist() == pytest.approx([1_000.0, 1_200.0, 1_500.0, 1_500.0])


def test_reversal_is_one_order(run: Run) -> None:
    result = run({"A": [(10, 10)] * 3}, {"A": [0.5, -0.5, NAN]}, venue=SHORTS)
    assert [order[:3] for order in orders_of(result)] == [("A", "buy", 50.0), ("A", "sell", 100.0)]
    assert result.positions["A"].tolist() == [0.0, 50.0, -50.0]


def test_short_beyond_its_margin_is_cut(run: Run) -> None:
    flat = [(10, 10)] * 2
    result = run({"A": flat, "B": flat}, {"A": [-1.0, NAN], "B": [-1.0, NAN]}, venue=SHORTS)
    assert result.positions.iloc[-1].tolist() == [-100.0, 0.0]
    levered = run({"A": flat, "B": flat}, {"A": [-1.0, NAN], "B": [-1.0, NAN]}, venue=Venue(shorts=True, leverage=2.0))
    assert levered.positions.iloc[-1].tolist() == pytest.approx([-100.0, -100.0])


def test_ruined_account_closes_what_it_holds_and_opens_nothing(run: Run) -> None:
    # Short 100 at 10, then the price is 25: 1,000 lost and 500 owed.
    bars = {"A": [(10, 10), (10, 10), (25, 25), (25, 25), (25, 25)]}
    result = run(bars, {"A": [-1.0, -1.0, 1.0, -1.0, NAN]}, venue=SHORTS)
    assert orders_of(result) == [("A", "sell", 100.0, 10.0, "target"), ("A", "buy", 100.0, 25.0, "liquidation")]
    assert result.equity.tolist() == pytest.approx([1_000.0, 1_000.0, -500.0, -500.0, -500.0])


# Rule 9: gaps


def test_pending_order_waits_for_the_next_bar_that_exists(run: Run) -> None:
    result = run({"A": [(10, 10), None, None, (12, 12)]}, {"A": [0.5, NAN, NAN, NAN]})
    assert times_of(result) == [(0, 3)]
    assert orders_of(result) == [("A", "buy", 50.0, 12.0, "target")]


def test_gap_of_one_symbol_keeps_no_other_from_trading(run: Run) -> None:
    bars = {"A": [(10, 10), None, (12, 12)], "B": [(10, 10), (11, 11), (12, 12)]}
    result = run(bars, {"A": [0.4, NAN, NAN], "B": [0.4, NAN, NAN]})
    assert times_of(result) == [(0, 1), (0, 2)]
    assert result.orders["symbol"].tolist() == ["B", "A"]


def test_new_decision_takes_the_place_of_an_order_that_waits(run: Run) -> None:
    bars = {"A": [(10, 10), None, None, (10, 10)], "B": [(1, 1)] * 4}
    later = run(bars, {"A": [0.5, 0.2, NAN, NAN], "B": [NAN] * 4})
    assert times_of(later) == [(1, 3)]
    assert orders_of(later) == [("A", "buy", 20.0, 10.0, "target")]
    withdrawn = run(bars, {"A": [0.5, 0.0, NAN, NAN], "B": [NAN] * 4})
    assert len(withdrawn.orders) == 0


def test_symbol_in_a_gap_is_marked_and_sized_at_its_last_close(run: Run) -> None:
    bars = {"A": [(10, 10), (10, 15), None, (20, 20)], "B": [(1, 1)] * 4}
    result = run(bars, {"A": [0.5, NAN, 1.0, NAN], "B": [NAN] * 4})
    assert result.equity.tolist() == pytest.approx([1_000.0, 1_250.0, 1_250.0, 1_500.0])
    # All of 1,250 at 15 is 83.33, of which 50 are held; the 500 in cash pay for 25 at 20.
    assert orders_of(result)[1] == ("A", "buy", 25.0, 20.0, "target, cut to what cash pays")


def test_symbol_that_has_not_begun_to_trade_takes_no_order_and_its_decision_is_not_kept(run: Run) -> None:
    bars = {"A": [(10, 10)] * 4, "B": [None, None, (10, 10), (10, 10)]}
    result = run(bars, {"A": [0.5, NAN, NAN, NAN], "B": [0.5, NAN, NAN, NAN]})
    assert result.orders["symbol"].tolist() == ["A"]


def test_symbol_that_is_delisted_stays_held_and_marked_at_its_last_close(run: Run) -> None:
    bars = {"A": [(10, 10), (10, 8), None, None], "B": [(1, 1)] * 4}
    result = run(bars, {"A": [0.5, NAN, 0.0, NAN], "B": [NAN] * 4})
    assert len(result.orders) == 1
    assert result.equity.tolist() == pytest.approx([1_000.0, 900.0, 900.0, 900.0])
    assert result.positions["A"].tolist() == [0.0, 50.0, 50.0, 50.0]
