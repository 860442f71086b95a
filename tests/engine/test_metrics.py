"""Figures against hand-computed values, and their edge cases."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ValidationError
from engine import metrics
from engine.result import Result, order_table

HOUR = pd.Timedelta(hours=1)


def make_result(equity: list[float], *, cash: float = 100.0, start: str = "2024-01-01", fills: tuple = ()) -> Result:
    """A result of hourly bars with one symbol at a price of 10 and the fills (bar, signed amount, price, fee)."""
    index = pd.date_range(start, periods=len(equity), freq=HOUR, tz="UTC", name="time")
    columns = pd.Index(["BTC/USDT"], name="symbol")
    positions = np.zeros((len(equity), 1))
    for bar, amount, _, _ in fills:
        positions[bar:, 0] += amount
    rows = np.array(fills, dtype=float).reshape(-1, 4)
    bars = rows[:, 0].astype(int)
    return Result(
        name="Hand(made=1)",
        broker="backtest",
        timeframe="1h",
        cash=cash,
        equity=pd.Series(equity, index=index, name="equity", dtype=float),
        orders=order_table(
            index,
            ("BTC/USDT",),
            decided=bars - 1,
            filled=bars,
            column=np.zeros(len(bars), dtype=int),
            amount=rows[:, 1],
            price=rows[:, 2],
            fee=rows[:, 3],
            reason=np.full(len(bars), "target"),
        ),
        positions=pd.DataFrame(positions, index=index, columns=columns),
        prices=pd.DataFrame(np.full((len(equity), 1), 10.0), index=index, columns=columns),
    )


def test_ratios_of_three_periods_match_hand_computation():
    returns = [0.10, -0.05, 0.02]
    assert metrics.total_return(returns) == pytest.approx(1.10 * 0.95 * 1.02 - 1)
    assert metrics.cagr(returns, 3) == pytest.approx(1.10 * 0.95 * 1.02 - 1)
    assert metrics.cagr(returns, 6) == pytest.approx((1.10 * 0.95 * 1.02) ** 2 - 1)
    deviation = math.sqrt(((0.10 - 0.07 / 3) ** 2 + (-0.05 - 0.07 / 3) ** 2 + (0.02 - 0.07 / 3) ** 2) / 2)
    assert metrics.volatility(returns, 4) == pytest.approx(2 * deviation)
    assert metrics.sharpe(returns, 4) == pytest.approx(2 * 0.07 / 3 / deviation)
    assert metrics.sortino(returns, 4) == pytest.approx(2 * (0.07 / 3) / math.sqrt(0.05**2 / 3))


def test_risk_free_rate_is_taken_off_per_period():
    returns = np.array([0.01, 0.03, -0.01])
    rate = 1.02**4 - 1
    assert metrics.sharpe(returns, 4, risk_free=rate) == pytest.approx(metrics.sharpe(returns - 0.02, 4))


def test_sharpe_error_is_lo_2002():
    returns = np.tile([0.02, -0.01], 200)
    single = metrics.sharpe(returns, 1)
    assert metrics.sharpe_error(returns, 365) == pytest.approx(math.sqrt((1 + single**2 / 2) / 400 * 365))


@pytest.mark.parametrize("returns", [[0.0] * 50, [0.01] * 50, [0.1 + 0.2 - 0.3] * 9, [0.01], []])
def test_sharpe_of_returns_that_do_not_vary_is_not_defined(returns):
    assert math.isnan(metrics.sharpe(returns))


def test_sortino_without_a_loss_and_calmar_without_a_drawdown_are_not_defined():
    assert math.isnan(metrics.sortino([0.01, 0.02]))
    assert math.isnan(metrics.calmar(0.1, 0.0))
    assert metrics.calmar(0.1, -0.2) == pytest.approx(0.5)


def test_cagr_of_a_lost_account_is_minus_one_and_of_an_impossible_growth_infinite():
    assert metrics.cagr([-1.0, 0.0]) == -1.0
    assert metrics.cagr([-1.5]) == -1.0
    assert metrics.cagr([9.0]) == math.inf


def test_drawdown_counts_the_cash_before_the_first_bar_as_a_peak():
    index = pd.date_range("2024-01-01", periods=4, freq=HOUR, tz="UTC")
    equity = pd.Series([90.0, 99.0, 110.0, 88.0], index=index)
    assert metrics.drawdown(equity, 100.0).tolist() == pytest.approx([-0.1, -0.01, 0.0, -0.2])
    assert metrics.max_drawdown(equity, 100.0) == pytest.approx(-0.2)
    assert metrics.max_drawdown(equity.iloc[:2]) == 0.0


def test_drawdown_lasts_from_its_peak_to_the_bar_that_reaches_it_again():
    index = pd.date_range("2024-01-01", periods=8, freq=HOUR, tz="UTC")
    equity = pd.Series([100.0, 99.0, 99.5, 99.9, 100.0, 120.0, 60.0, 119.0], index=index)
    deepest, longest = metrics.drawdown_lengths(equity, 100.0)
    assert deepest == 2 * HOUR  # from 120 on, never reached again
    assert longest == 4 * HOUR  # the shallow one


def test_value_at_risk_and_shortfall_are_of_the_empirical_tail():
    returns = np.arange(-10, 91) / 1000.0
    assert metrics.value_at_risk(returns, 0.95) == pytest.approx(0.005)
    assert metrics.expected_shortfall(returns, 0.95) == pytest.approx(np.mean([10, 9, 8, 7, 6, 5]) / 1000)
    assert metrics.value_at_risk([0.01, 0.02]) == 0.0


def test_daily_returns_compound_bars_to_utc_days_and_begin_at_the_cash():
    result = make_result([100.0 + bar for bar in range(50)], start="2024-01-01 22:00")
    daily = metrics.daily_returns(result)
    assert daily.index.tolist() == list(pd.date_range("2024-01-01", periods=3, freq="D", tz="UTC"))
    assert daily.tolist() == pytest.approx([101 / 100 - 1, 125 / 101 - 1, 149 / 125 - 1])


def test_day_without_a_bar_returns_nothing():
    index = pd.DatetimeIndex(["2024-01-01", "2024-01-04"], tz="UTC")
    daily = metrics.daily_returns(pd.Series([100.0, 110.0], index=index))
    assert daily.tolist() == pytest.approx([0.0, 0.0, 0.0, 0.1])


def test_day_on_which_equity_is_gone_loses_everything_and_later_ones_nothing():
    index = pd.date_range("2024-01-01", periods=4, freq="D", tz="UTC")
    assert metrics.daily_returns(pd.Series([100.0, -5.0, 20.0, 40.0], index=index)).tolist() == [0.0, -1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "index", [pd.date_range("2024", periods=2), pd.date_range("2024", periods=2, tz="Europe/Rome")]
)
def test_daily_returns_refuse_an_index_that_is_not_utc(index):
    with pytest.raises(ValidationError, match="UTC"):
        metrics.daily_returns(pd.Series([1.0, 2.0], index=index))


def test_figures_of_what_is_not_a_number_are_not_a_number():
    returns = [0.01, math.nan, -0.02]
    for figure in (metrics.cagr, metrics.value_at_risk, metrics.expected_shortfall):
        assert math.isnan(figure(returns)), figure.__name__


def test_daily_returns_refuse_an_equity_that_is_not_finite():
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValidationError, match="equity at 2024-01-01 01:00:00"):
            metrics.daily_returns(make_result([100.0, wrong, 101.0]))


def test_daily_returns_refuse_an_equity_without_bars():
    with pytest.raises(ValidationError, match="no bar"):
        metrics.daily_returns(pd.Series([], index=pd.DatetimeIndex([], tz="UTC"), dtype=float))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=200), st.integers(0, 23))
def test_daily_returns_compound_to_the_total_return(returns, hour):
    equity = 100.0 * np.cumprod(1.0 + np.array(returns))
    result = make_result(equity.tolist(), start=f"2024-02-28 {hour:02d}:00")
    assert metrics.total_return(metrics.daily_returns(result)) == pytest.approx(equity[-1] / 100.0 - 1.0, abs=1e-12)


def test_summary_of_one_round_trip():
    result = make_result([100.0, 101.0, 104.0, 103.0], fills=((1, 2.0, 10.0, 0.5), (3, -2.0, 12.5, 0.5)))
    stats = result.stats()
    assert stats["final_equity"] == 103.0
    assert stats["total_return"] == pytest.approx(0.03)
    assert stats["max_drawdown"] == pytest.approx(103 / 104 - 1)
    assert stats["max_drawdown_length"] == HOUR
    assert stats["exposure"] == 0.5
    assert (stats["orders"], stats["trades"], stats["open_trades"]) == (2, 1, 0)
    assert stats["fees"] == 1.0
    assert stats["average_trade"] == pytest.approx(4.0)
    assert stats["average_trade_return"] == pytest.approx(0.2)
    assert stats["win_rate"] == 1.0
    assert stats["profit_factor"] == math.inf
    assert stats["turnover"] == pytest.approx((20 + 25) / 102.0 * 365)


def test_summary_without_trades_defines_what_it_can():
    stats = make_result([100.0] * 30).stats()
    assert stats["total_return"] == stats["volatility"] == stats["max_drawdown"] == stats["turnover"] == 0.0
    for name in ("sharpe", "sortino", "calmar", "win_rate", "profit_factor", "average_trade", "best_trade"):
        assert math.isnan(stats[name]), name


def test_summary_of_one_bar_is_defined():
    stats = make_result([100.0]).stats()
    assert stats["bars"] == stats["days"] == 1
    assert math.isnan(stats["sharpe"])
    assert math.isnan(stats["volatility"])


def test_summary_of_a_ruined_account():
    stats = make_result([100.0] * 24 + [-20.0] * 24 + [10.0] * 24).stats()
    assert stats["total_return"] == pytest.approx(-0.9)
    assert stats["cagr"] == -1.0
    assert stats["max_drawdown"] == pytest.approx(-1.2)
    assert stats["expected_shortfall"] == pytest.approx(1.0)


def test_sharpe_of_the_summary_is_of_days_not_of_bars():
    rng = np.random.default_rng(1)
    result = make_result((100.0 * np.cumprod(1 + rng.normal(0, 0.01, 24 * 40))).tolist())
    daily = result.equity.resample("D").last().pct_change()
    daily.iloc[0] = result.equity.iloc[23] / 100.0 - 1.0
    assert result.stats()["sharpe"] == pytest.approx(daily.mean() / daily.std() * math.sqrt(365))
