"""A sweep is as many single backtests: every column equals its own to the last bit, and nothing refused is hidden."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from data import Market, ValidationError, load_sample
from engine import Costs, Exits, LimitOrders, RiskLimits, SquareRootImpact, Strategy, Venue, backtest
from engine.metrics import daily_returns
from research import sweep
from research.parameter_sweep import _FIGURES, _TABLES
from research.strategies import BollingerReversion, CrossMomentum, SmaCross
from research.sweep_result import FIGURES, Sweep
from tests.parity.cases import Case, cases

EXITS = Exits(stop_loss=0.02, take_profit=0.05, trailing=(0.02, 0.01), time_limit=pd.Timedelta("2D"))
PERPETUAL = {
    "costs": Costs(fee=(0.0002, 0.0005), slippage=SquareRootImpact(), borrow=0.1, tiers=((50_000.0, 0.0, 0.0003),)),
    "venue": Venue(shorts=True, leverage=2.0, amount_step=0.001, price_tick=0.1, maintenance_margin=0.01),
    "risk": RiskLimits(max_position=0.5, max_gross=0.9, max_daily_loss=0.05, max_drawdown=0.4),
    "orders": LimitOrders(offset=0.0005, alive=2, then="market"),
}
SPOT = {"costs": Costs(fee=0.001, fee_in="bought"), "venue": Venue(amount_step=0.001, min_notional=10.0)}


@pytest.fixture(scope="module")
def quarter() -> Market:
    """Three months of all symbols, bars missing here and there."""
    return load_sample().loc["2018-01-01":"2018-03-31"]


@pytest.fixture(scope="module")
def month() -> Market:
    return load_sample(["BTC/USD"]).loc["2018-03-01":"2018-03-31"]


def bits(value: Any) -> Any:
    """What differs wherever anything does: NaN is itself, 0.0 is not -0.0."""
    return np.float64(value).tobytes() if isinstance(value, float) else (type(value), value)


def assert_same(result: Sweep, market: Market, **terms: Any) -> None:
    """Each set's figures and daily returns are those of its own backtest."""
    for number, row in result.table.iterrows():
        single = backtest(result.strategy(int(number)), market, **terms)
        stats = single.stats()
        trial = result.trials[int(number)]
        assert trial.figures is not None
        assert list(stats.index) == list(trial.figures)
        assert {name: bits(value) for name, value in stats.items()} == {
            name: bits(value) for name, value in trial.figures.items()
        }
        assert np.float64(single.equity.iloc[-1]).tobytes() == np.float64(row["final_equity"]).tobytes()
        days = daily_returns(single)
        pd.testing.assert_index_equal(result.daily_returns.index, days.index)
        assert result.daily_returns[number].to_numpy().tobytes() == days.to_numpy().tobytes()


# Every column is the single backtest


@pytest.mark.parametrize("terms", [{}, SPOT, PERPETUAL], ids=["plain", "spot", "perpetual"])
@pytest.mark.parametrize(
    ("kind", "grid"),
    [
        (SmaCross, {"fast": [5, 20], "slow": [50, 100], "exits": [None, EXITS]}),
        (BollingerReversion, {"window": [24, 48], "width": [1.5, 2.0], "exits": [None, EXITS]}),
        (CrossMomentum, {"lookback": [48, 96], "top": [1, 2], "exits": [None, EXITS]}),
    ],
    ids=["SmaCross", "BollingerReversion", "CrossMomentum"],
)
def test_every_column_equals_the_single_backtest_to_the_last_bit(quarter, kind, grid, terms):
    result = sweep(kind, grid, quarter, **terms)
    assert len(result.table) == 8
    assert (result.table["orders"] > 0).all()
    assert_same(result, quarter, **terms)


@pytest.mark.parametrize("kind", [SmaCross, BollingerReversion])
def test_shorts_and_funding_are_those_of_the_single_backtest(month, kind):
    times = pd.date_range(month.index[0], month.index[-1], freq="8h")
    rates = pd.Series(np.random.default_rng(3).normal(1e-4, 1e-3, len(times)), index=times)
    terms = {"costs": Costs(funding=rates, borrow=0.2), "venue": Venue(shorts=True, leverage=3.0)}
    grid = {"below": [-1.0, -0.5]} if kind is SmaCross else {"shorts": [False, True]}
    result = sweep(kind, grid, month, **terms)
    assert (result.table["funding"] != 0.0).all()
    assert_same(result, month, **terms)


@dataclass(frozen=True, eq=False)
class Drawn(Strategy):
    """One of a case's strategies, by the number that is swept."""

    number: int
    given: tuple[Strategy, ...]

    @property
    def warmup(self) -> int:
        return self.given[self.number].warmup

    @property
    def exits(self) -> Exits | None:  # type: ignore[override]
        return self.given[self.number].exits

    def targets(self, market: Market) -> pd.DataFrame:
        return self.given[self.number].targets(market)

    def scale(self, market: Market) -> pd.DataFrame | None:
        return self.given[self.number].scale(market)


@given(case=cases())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_run_there_is_comes_out_of_a_sweep_as_it_does_alone(case: Case):
    flat = type(case.strategy)(case.strategy.decisions)  # the same decisions without barriers
    result = sweep(Drawn, {"number": [0, 1]}, case.market, fixed={"given": (case.strategy, flat)}, **case.terms)
    assert_same(result, case.market, **case.terms)


@given(
    fast=st.lists(st.integers(1, 60), min_size=1, max_size=3, unique=True),
    slow=st.lists(st.integers(2, 200), min_size=1, max_size=3, unique=True),
    weight=st.floats(0.0, 1.0),
    stop=st.none() | st.floats(0.001, 0.5),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_grid_is_as_many_single_backtests(month, fast, slow, weight, stop):
    fixed = {"weight": weight, "exits": None if stop is None else Exits(stop_loss=stop)}
    if min(fast) >= max(slow):
        with pytest.raises(ValidationError, match="refuses each"):
            sweep(SmaCross, {"fast": fast, "slow": slow}, month, fixed=fixed)
        return
    result = sweep(SmaCross, {"fast": fast, "slow": slow}, month, fixed=fixed)
    assert len(result.table) + len(result.skipped) == len(fast) * len(slow)
    assert_same(result, month)


def test_a_set_in_full_is_the_backtest_whose_figures_the_table_has(month):
    result = sweep(SmaCross, {"fast": [5, 10], "slow": [50]}, month, costs=Costs(fee=0.002))
    full, alone = result.backtest(), backtest(result.strategy(), month, costs=Costs(fee=0.002))
    pd.testing.assert_frame_equal(full.orders, alone.orders, check_exact=True)
    assert full.meta == alone.meta
    assert full.stats()["sharpe"] == result.table["sharpe"].iloc[0]
    worst = int(result.table.index[-1])
    assert result.backtest(worst).stats()["sharpe"] == result.table.loc[worst, "sharpe"]


# The grid


def test_sets_that_the_strategy_refuses_are_listed_with_the_reason(month):
    result = sweep(SmaCross, {"fast": [10, 60], "slow": [20, 50, 100]}, month)
    assert len(result.table) == 4
    assert result.skipped.to_dict("list") == {
        "fast": [60, 60],
        "slow": [20, 50],
        "reason": ["SmaCross: fast 60 must be below slow 20", "SmaCross: fast 60 must be below slow 50"],
    }
    assert list(result.skipped.index) == [3, 4]
    assert "4 sets, 2 skipped" in repr(result)
    assert list(result.daily_returns.columns) == [0, 1, 2, 5]
    with pytest.raises(ValidationError, match="fast 60 must be below slow 20"):
        result.strategy(3)


def test_set_that_only_its_targets_refuse_is_skipped_too(month):
    result = sweep(SmaCross, {"below": [0.0, -1.0]}, month)
    assert list(result.table.index) == [0]
    assert "the venue is spot" in result.skipped["reason"].iloc[0]


def test_sweep_of_nothing_but_refused_sets_is_an_error(month):
    with pytest.raises(ValidationError, match=r"SmaCross: refuses each of the 2 sets.*fast 60 must be below slow 20"):
        sweep(SmaCross, {"fast": [60, 70], "slow": [20]}, month)


def test_list_of_sets_is_swept_as_it_stands_with_defaults_for_what_it_leaves_out(month):
    result = sweep(SmaCross, [{"fast": 5}, {"fast": 10, "slow": 30}, {"weight": 0.5}], month)
    table = result.table.sort_index()
    assert table[["fast", "slow", "weight"]].to_numpy().tolist() == [[5, 50, 1.0], [10, 30, 1.0], [20, 50, 0.5]]
    assert_same(result, month)


def test_numbers_of_numpy_are_pythons_own(month):
    result = sweep(SmaCross, {"fast": np.arange(5, 15, 5), "weight": np.array([0.5])}, month)
    assert [type(value) for value in result.best.values()] == [int, float]


def test_table_keeps_what_the_parameters_are(month):
    table = sweep(SmaCross, {"fast": [5, 10], "exits": [None, EXITS]}, month).table.sort_index()
    assert table["fast"].dtype == np.int64
    assert list(table["exits"]) == [None, EXITS, None, EXITS]


@dataclass(frozen=True)
class Named(SmaCross):
    """Has a parameter that is named as a figure is."""

    turnover: float = 1.0


def test_parameter_named_as_a_figure_has_a_column_of_its_own(month):
    table = sweep(Named, {"turnover": [1.0, 2.0]}, month).table
    assert list(table["turnover (parameter)"]) == [1.0, 2.0]
    assert (table["turnover"] > 2.0).all()


def test_figures_that_rank_and_those_that_do_not_are_all_there_are(month):
    (trial,) = sweep(SmaCross, {"fast": [5]}, month).trials
    assert trial.figures is not None
    assert set(trial.figures) == FIGURES


# Ranks


def test_table_is_ranked_best_first_and_sets_alike_keep_their_order(month):
    grid = {"fast": [3, 5, 8], "slow": [20, 40]}
    by_sharpe = sweep(SmaCross, grid, month).table["sharpe"]
    assert by_sharpe.is_monotonic_decreasing
    assert sweep(SmaCross, grid, month, metric="max_drawdown").table["max_drawdown"].is_monotonic_decreasing
    assert sweep(SmaCross, grid, month, metric="volatility").table["volatility"].is_monotonic_increasing
    assert sweep(SmaCross, grid, month, metric="longest_drawdown").table["longest_drawdown"].is_monotonic_increasing
    alike = sweep(SmaCross, {"below": [0.0, 0.0 + 5e-324], "fast": [3, 5]}, month, metric="orders").table
    assert alike.index[alike["orders"] == alike["orders"].iloc[0]].is_monotonic_increasing


@pytest.mark.parametrize("metric", ["sharpe", "volatility", "win_rate"])
def test_sets_without_the_figure_come_last(month, metric):
    result = sweep(SmaCross, {"fast": [5, 10], "slow": [2_000, 50]}, month, metric=metric)  # 2,000: no cross at all
    assert result.table["slow"].tolist()[:2] == ([50, 50] if metric != "volatility" else [2_000, 2_000])
    if metric != "volatility":
        assert result.table[metric].isna().tolist() == [False, False, True, True]
    assert math.isnan(result.table["sharpe"].min(skipna=False))


# What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": SmaCross(5, 20)}, "pass the class SmaCross"),
        ({"strategy": dict}, "expected a class of a Strategy"),
        ({"grid": {}}, "names no parameter"),
        ({"grid": []}, "an empty list"),
        ({"grid": 5}, "expected a mapping"),
        ({"grid": [5]}, "parameter sets such as"),
        ({"grid": {"fats": [5]}}, "did you mean fast"),
        ({"grid": {"fast": []}}, "fast has no value"),
        ({"grid": {"fast": 5}}, "must be a list of values"),
        ({"grid": {"fast": "5"}}, "must be a list of values"),
        ({"grid": {"fast": [5, 10, 5]}}, "a value twice"),
        ({"grid": [{"fast": 5}, {"fast": 5}]}, "is there twice"),
        ({"grid": {"fast": range(1_000_000), "slow": range(1_000_000)}}, "1,000,000,000,000 sets"),
        ({"fixed": {"fast": 3}}, "in the grid as well"),
        ({"fixed": {"fats": 3}}, "did you mean fast"),
        ({"fixed": [3]}, "expected a mapping"),
        ({"metric": "sharp"}, "must be one of final_equity"),
        ({"metric": "bars"}, "must be one of"),
        ({"memory": 0}, "positive number of bytes"),
        ({"memory": 1e5}, "pass memory="),
        ({"cash": -1.0}, "positive amount"),
        ({"market": None}, "expected a Market"),
        ({"costs": 0.001}, "expected Costs"),
        ({"risk": 3}, "expected RiskLimits"),
    ],
    ids=str,
)
def test_wrong_input_is_named_before_anything_is_tried(month, record, change, message):
    given = {"strategy": SmaCross, "grid": {"fast": [5, 10]}, "market": month, **change}
    with pytest.raises(ValidationError, match=message):
        sweep(given.pop("strategy"), given.pop("grid"), given.pop("market"), **given)
    assert not record.exists()


@dataclass(frozen=True)
class Bare(Strategy):
    share: float

    @property
    def warmup(self) -> int:
        return 1

    def targets(self, market: Market) -> pd.DataFrame:
        return market.close * 0.0 + self.share


def test_parameter_without_a_default_must_be_given(month):
    with pytest.raises(ValidationError, match="share has no default"):
        sweep(Bare, [{"share": 0.5}, {}], month)
    assert len(sweep(Bare, {"share": [0.5, 1.0]}, month).table) == 2


def test_memory_that_is_too_little_says_how_much_is_needed(month):
    grid = {"fast": range(1, 40), "slow": range(41, 141)}
    with pytest.raises(ValidationError, match="3,900 sets keep") as caught:
        sweep(SmaCross, grid, month, memory=1e6)
    needed = float(str(caught.value).partition("memory=")[2].partition(",")[0])
    assert len(sweep(SmaCross, {"fast": [1], "slow": [41]}, month, memory=needed).table) == 1


def test_memory_that_one_set_is_said_to_take_covers_what_it_takes(quarter):
    import tracemalloc

    def peak(sets: int) -> float:
        tracemalloc.start()
        result = sweep(SmaCross, {"fast": range(2, 2 + sets), "slow": [50]}, quarter, memory=1e9)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(result.trials) == sets
        return most

    peak(1)  # what is loaded once
    shared = 12 * 8 * quarter.close.size  # bars and marks as arrays, laid out once
    kept = 40 * (8 * len(pd.date_range("2018-01-01", "2018-03-31")) + _FIGURES)
    indicators = 41 * 2 * 8 * quarter.close.size
    assert peak(40) < shared + kept + _TABLES * 8 * quarter.close.size + indicators
