"""What the properties found, small enough to follow by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine import Costs, Exits, RiskLimits, Venue
from tests.engine.worked_bars import FREE, Bar, market_of
from tests.parity.books import closes
from tests.parity.cases import ENGINES, Case, Drawn, Table
from tests.parity.test_parity_properties import assert_equal

NAN = np.nan
both_engines = pytest.mark.parametrize("engine", ENGINES)


def case_of(bars: dict[str, list[Bar]], targets: dict[str, list[float]], exits: Exits | None = None, **terms) -> Case:
    market = market_of(bars)
    rows = {name: pd.Series(row, market.index[: len(row)]) for name, row in targets.items()}
    table = pd.DataFrame(rows, market.index)
    usual = {"cash": 1_000.0, "costs": FREE, "venue": Venue(), "risk": None, "orders": None}
    return Case(Drawn(Table(table), exits), market, {**usual, **terms})


@both_engines
def test_coins_that_are_left_of_a_round_trip_within_a_bar_are_counted(engine: str) -> None:
    # Bought and stopped out at the same open, forty times: each leaves less than a step of 1e-8, a billionth of the
    # order. vectorbt takes a bar's flows that cancel to a billionth for nothing.
    case = case_of(
        {"A": [10.0] * 40},
        {"A": [1.0] * 40},
        Exits(stop_loss=0.0001),
        costs=Costs(fee=0.001, slippage=0.0005, fee_in="bought"),
        venue=Venue(amount_step=1e-8),
    )
    result = case.run(engine)
    assert len(result.orders) == 78
    for time, books, marks in closes(case, result):
        assert result.equity[time] == pytest.approx(books.equity(marks), rel=1e-11), time


@both_engines
def test_cash_that_falls_to_the_fee_of_a_first_order_for_all_equity_is_counted_to_the_last_bit(engine: str) -> None:
    # 1.11111111 coins at 0.9 and a fee of 0.1% leave -0.00099999: a thousandth of the cash but for a billionth, which
    # vectorbt takes for nothing where the reserve that is to keep its sums from cancelling is a thousandth as well.
    case = case_of(
        {"A": [0.9, 0.9]},
        {"A": [1.0]},
        cash=1.0,
        costs=Costs(fee=0.001, slippage=0.0),
        venue=Venue(shorts=True, leverage=3.0, amount_step=1e-8),
    )
    result = case.run(engine)
    assert result.orders["amount"].tolist() == [1.11111111]
    *_, (_, books, marks) = closes(case, result)
    assert books.cash == pytest.approx(-0.00099999, rel=1e-5)
    assert result.equity.iloc[-1] == pytest.approx(books.equity(marks), rel=1e-11)


@pytest.mark.parametrize("weight", [1.4307692307692307e-09, 2.7538461538461537e-09, 1e-8])
def test_paper_books_a_tiny_order_of_an_account_that_owes_much(weight: float) -> None:
    # Three times its equity: 1,000 are owed, and rounding errors of that are more than a billionth of the order.
    prices = {"A": [10.0] * 4, "B": [10.0] * 4, "C": [10.0] * 4}
    targets = {"A": [1.0], "B": [NAN, weight], "C": [1.0]}
    costs, venue = Costs(fee=0.0007, slippage=0.0), Venue(shorts=True, leverage=3.0)
    fast, slow = case_of(prices, targets, costs=costs, venue=venue).both()
    assert len(fast.orders) == 3
    assert_equal(fast, slow)


@both_engines
def test_order_that_closes_is_not_said_to_be_cut_where_a_sum_of_coins_lies_below_a_whole_step(engine: str) -> None:
    # 0.7 + 0.1 is 0.7999999999999999: selling 0.8 opens nothing.
    assert 0.7 + 0.1 < 0.8
    case = case_of(
        {"A": [100.0] * 5},
        {"A": [0.07, 0.08, 0.0]},
        costs=Costs(fee=0.0, slippage=0.0, fee_in="bought"),
        venue=Venue(amount_step=0.1),
        risk=RiskLimits(max_order_notional=75.0),
    )
    result = case.run(engine)
    assert result.orders["amount"].tolist() == [0.7, 0.1, 0.8]
    assert result.orders["reason"].tolist() == ["target"] * 3
    assert result.risk_events["verdict"].tolist() == ["allowed"] * 3
