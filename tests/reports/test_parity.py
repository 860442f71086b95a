"""The verdict on two brokers: what counts as a difference, and how it is told."""

from dataclasses import replace

import numpy as np
import pytest

import reports
from data.errors import ValidationError
from reports import ParityError, parity


@pytest.fixture(scope="module")
def run(make_run):
    return make_run(500, symbols=("BTC/USDT", "ETH/USDT"))


@pytest.fixture
def twin(run):
    return replace(run, broker="paper", orders=run.orders.copy())


def with_order(result, row, **values):
    orders = result.orders.copy()
    for column, value in values.items():
        orders.loc[row, column] = value
    return replace(result, orders=orders)


def test_same_runs_agree(run, twin):
    verdict = parity(run, twin)
    assert verdict.ok
    assert bool(verdict)
    assert (verdict.bars, verdict.largest_difference, verdict.worst_bar) == (500, 0.0, None)
    assert verdict.orders == (len(run.orders), len(run.orders))
    assert verdict.matched == len(run.orders) > 10
    assert verdict.first_difference is None
    assert "Parity of backtest and paper: the same" in str(verdict)
    verdict.raise_if_different()


def test_rounding_noise_agrees_and_is_measured(run, twin):
    equity = run.equity.copy()
    equity.iloc[123] *= 1 + 1e-12
    verdict = parity(run, replace(twin, equity=equity))
    assert verdict.ok
    assert verdict.largest_difference == pytest.approx(1e-12, rel=1e-3)
    assert verdict.worst_bar == run.equity.index[123]


def test_tolerance_is_the_border(run, twin):
    equity = run.equity.copy()
    equity.iloc[7] *= 1 + 1e-8
    assert not parity(run, replace(twin, equity=equity)).ok
    assert parity(run, replace(twin, equity=equity), tolerance=1e-7).ok


def test_equity_difference_names_the_first_bar_and_both_views(run, twin):
    equity = run.equity.copy()
    equity.iloc[200:] += 1.0
    verdict = parity(run, replace(twin, equity=equity))
    assert str(run.equity.index[200]) in verdict.first_difference
    assert f"backtest: {float(run.equity.iloc[200])!r}" in verdict.first_difference
    assert f"paper: {float(run.equity.iloc[200]) + 1.0!r}" in verdict.first_difference


def test_equity_that_is_not_a_number_is_a_difference(run, twin):
    equity = run.equity.copy()
    equity.iloc[3] = np.nan
    verdict = parity(run, replace(twin, equity=equity))
    assert not verdict.ok
    assert verdict.worst_bar == run.equity.index[3]


@pytest.mark.parametrize(
    ("column", "value"),
    [("amount", 3.21), ("price", 1.0), ("fee", 0.77), ("reason", "target, cut to what cash pays"), ("side", "hold")],
)
def test_order_that_differs_in_one_field_is_found(run, twin, column, value):
    verdict = parity(run, with_order(twin, 4, **{column: value}))
    assert not verdict.ok
    assert verdict.matched == len(run.orders) - 1
    assert str(run.orders["filled_at"][4]) in verdict.first_difference
    assert "backtest: " in verdict.first_difference
    assert "paper: " in verdict.first_difference


def test_amount_within_the_tolerance_is_the_same_order(run, twin):
    amount = run.orders["amount"][4] * (1 + 1e-12)
    assert parity(run, with_order(twin, 4, amount=amount)).ok


def test_missing_order_is_told_without_blaming_those_after_it(run, twin):
    verdict = parity(run, replace(twin, orders=run.orders.drop(index=5)))
    assert verdict.orders == (len(run.orders), len(run.orders) - 1)
    assert verdict.matched == len(run.orders) - 1
    assert "paper: no such order" in verdict.first_difference
    assert str(run.orders["filled_at"][5]) in verdict.first_difference


def test_order_filled_a_bar_later_is_a_difference(run, twin):
    late = run.orders["filled_at"][2] + (run.equity.index[1] - run.equity.index[0])
    assert "no such order" in parity(run, with_order(twin, 2, filled_at=late)).first_difference


def test_orders_in_another_sequence_are_a_difference(run, twin):
    swapped = run.orders.iloc[[1, 0, *range(2, len(run.orders))]].reset_index(drop=True)
    verdict = parity(run, replace(twin, orders=swapped))
    assert not verdict.ok
    assert verdict.matched == len(run.orders)
    assert "sequence" in verdict.first_difference


def test_the_earlier_difference_is_shown_and_an_order_before_its_equity(run, twin):
    equity = run.equity.copy()
    bar = run.equity.index.get_loc(run.orders["filled_at"][8])
    equity.iloc[bar:] += 5.0
    both = replace(with_order(twin, 8, amount=99.0), equity=equity)
    assert parity(run, both).first_difference.startswith("order of")
    equity = run.equity.copy()
    equity.iloc[bar - 1 :] += 5.0
    assert parity(run, replace(both, equity=equity)).first_difference.startswith("equity at")


def test_other_bars_are_a_difference_and_the_common_ones_are_still_compared(run, twin):
    short = replace(twin, equity=run.equity.iloc[10:], positions=run.positions.iloc[10:], prices=run.prices.iloc[10:])
    verdict = parity(run, short)
    assert not verdict.ok
    assert verdict.bars == 490
    assert verdict.first_difference.startswith("bars: backtest 500 from")
    assert "10 bars are in one alone" in verdict.first_difference


def test_runs_without_a_common_bar_are_a_difference(run, make_run):
    verdict = parity(run, make_run(500, symbols=("BTC/USDT", "ETH/USDT"), start="2030-01-01"))
    assert not verdict.ok
    assert verdict.bars == 0
    assert np.isnan(verdict.largest_difference)


def test_other_cash_timeframe_or_symbols_are_a_difference(run, twin, make_run):
    assert "cash: backtest 10000.0, paper 5000.0" in parity(run, replace(twin, cash=5000.0)).first_difference
    assert "timeframe" in parity(run, replace(twin, timeframe="4h")).first_difference
    assert "symbols" in parity(run, make_run(500)).first_difference


def test_raise_if_different_carries_the_whole_verdict(run, twin):
    verdict = parity(run, with_order(twin, 0, amount=1.0))
    with pytest.raises(ParityError, match="DIFFERENT"):
        verdict.raise_if_different()


def test_runs_without_orders_agree(make_run):
    assert parity(make_run(50, orders=0), make_run(50, orders=0, broker="paper")).ok


def test_same_broker_twice_is_told_apart(run):
    assert parity(run, run).brokers == ("backtest (1)", "backtest (2)")


def test_wrong_arguments_are_named(run):
    with pytest.raises(ValidationError, match="b must be a Result"):
        parity(run, run.equity)
    with pytest.raises(ValidationError, match="tolerance"):
        parity(run, run, tolerance=-1.0)


def test_public_names_stay_functions_whatever_was_imported_before():
    from reports import compare, tearsheet

    assert callable(compare)
    assert callable(tearsheet)
    assert callable(reports.parity)
    assert set(reports.__all__) <= set(dir(reports))
