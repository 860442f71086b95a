"""A baseline on equal terms: every step by hand on a few bars, and its place in a comparison."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import Market
from data.errors import ValidationError
from engine import Costs, SquareRootImpact, Venue, backtest
from reports import compare, tearsheet
from reports.hummingbot import ControllerBaseline, ControllerConfig, DManV3, equal_terms
from research.strategies import SmaCross

FEE, SLIPPAGE = 0.001, 0.0005
STEPS = [
    *("as Hummingbot computes it", "marking", "costs"),
    *("undone entries", "fill timing", "netting", "compounding"),
]


def market_of(opens, closes):
    opens, closes = np.asarray(opens, dtype=float), np.asarray(closes, dtype=float)
    index = pd.date_range("2024-01-01", periods=len(closes), freq="8h", tz="UTC")
    frame = pd.DataFrame(
        {"open": opens, "high": np.maximum(opens, closes), "low": np.minimum(opens, closes), "close": closes},
        index=index,
    )
    return Market.from_frames({"BTC/USDT": frame.assign(volume=1.0)}, "8h")


@pytest.fixture
def market():
    return market_of([100, 101, 104, 109, 108, 106], [100, 103, 108, 110, 107, 105])


def baseline(market, signal, hours=16, **settings):
    given = {"stop_loss": 0.5, "take_profit": None, "max_executors_per_side": 1, "total_amount_quote": 1_000.0}
    config = ControllerConfig(**{**given, "time_limit": pd.Timedelta(hours=hours), "trade_cost": 0.0002, **settings})
    return ControllerBaseline(pd.Series(signal, index=market.index), config=config).run(market)


def test_each_step_by_hand(market):
    run = baseline(market, [1, 0, 0, 0, 0, 0])  # in at 100, out at 108 two bars on
    steps = equal_terms(run, costs=Costs(fee=FEE, slippage=SLIPPAGE)).steps["total_return"]
    assert list(steps.index) == STEPS
    buy, sell = 1 + SLIPPAGE, 1 - SLIPPAGE
    assert steps["as Hummingbot computes it"] == pytest.approx(0.08 - 2 * 0.0002, rel=1e-12)
    assert steps["marking"] == pytest.approx(0.08 - 2 * 0.0002, rel=1e-12)
    costs = 1.08 * sell * (1 - FEE) - buy * (1 + FEE)
    assert steps["costs"] == pytest.approx(costs, rel=1e-12)
    late = (109 * sell * (1 - FEE) - 101 * buy * (1 + FEE)) / 100
    assert steps["undone entries"] == pytest.approx(costs, rel=1e-12)
    assert steps["fill timing"] == pytest.approx(late, rel=1e-12)
    assert steps["netting"] == pytest.approx(late, rel=1e-12)
    # The whole capital, cut to what pays fee and slippage at the open.
    amount = min(10.0, 1_000.0 / (101 * buy * (1 + FEE)))
    ours = (1_000.0 - amount * 101 * buy * (1 + FEE) + amount * 109 * sell * (1 - FEE)) / 1_000.0 - 1.0
    assert steps["compounding"] == pytest.approx(ours, rel=1e-9)


def test_the_changes_add_up_and_marking_moves_no_final_profit(market):
    run = baseline(market, [1, 0, -1, 0, 1, 0], hours=8)
    steps = equal_terms(run, costs=Costs(fee=FEE, slippage=SLIPPAGE)).steps
    total = steps["total_return"]
    assert steps["change"].iloc[1:].sum() == pytest.approx(total.iloc[-1] - total.iloc[0], rel=1e-12)
    # The last executor is created on the last but one bar, so both series hold every profit.
    assert steps.loc["marking", "change"] == pytest.approx(0.0, abs=1e-12)
    assert steps.loc["costs", "change"] < 0.0
    assert np.isnan(steps["change"].iloc[0])


def test_ours_is_a_run_of_the_backtester_on_the_same_decisions(market):
    run = baseline(market, [1, 0, 0, -1, 0, 0])
    terms = equal_terms(run, costs=Costs(fee=FEE))
    assert list(terms.ours.orders["decided_at"]) == [market.index[row] for row in (0, 2, 3)]
    assert list(terms.ours.orders["filled_at"]) == [market.index[row] for row in (1, 3, 4)]
    assert terms.ours.broker == "hummingbot"
    assert terms.own.equity.equals(run.realised.equity)


def test_what_is_decided_and_undone_at_one_close_trades_nowhere():
    # The entry bar's own low, which is past, stops the executor at its entry price.
    market = market_of([100, 90, 100, 100], [100, 100, 100, 100])
    run = baseline(market, [0, 1, 0, 0], stop_loss=0.05)
    assert run.executors["close_type"].tolist() == ["STOP_LOSS"]
    terms = equal_terms(run, costs=Costs(fee=FEE, slippage=0.0))
    assert terms.steps.loc["costs", "fees"] == pytest.approx(2.0)
    assert terms.steps.loc["undone entries", "fees"] == 0.0
    assert terms.steps.loc["undone entries", "change"] == pytest.approx(2 * FEE)
    assert terms.ours.orders.empty


def test_an_exit_and_an_entry_of_one_bar_are_one_order(market):
    # Held for a bar and taken again, three times over: bought once, sold once.
    run = baseline(market, [1, 1, 1, 0, 0, 0], hours=8)
    steps = equal_terms(run, costs=Costs(fee=FEE, slippage=0.0)).steps
    amounts = [1_000 / 100, 1_000 / 103, 1_000 / 108]  # each executor its own amount, in at bars 1, 2, 3
    paid = amounts[0] * 101 + abs(amounts[1] - amounts[0]) * 104 + abs(amounts[2] - amounts[1]) * 109 + amounts[2] * 108
    assert steps.loc["netting", "fees"] == pytest.approx(FEE * paid, rel=1e-12)
    gross = amounts[0] * (101 + 104) + amounts[1] * (104 + 109) + amounts[2] * (109 + 108)
    assert steps.loc["fill timing", "fees"] == pytest.approx(FEE * gross, rel=1e-12)


def test_no_sharpe_ratio_beyond_ruin():
    market = market_of([100, 100, 10, 5, 5], [100, 100, 10, 5, 5])
    run = baseline(market, [1, 1, 1, 1, 0], stop_loss=0.99, max_executors_per_side=4, cooldown_time=pd.Timedelta("1s"))
    other = baseline(market, [1, 0, 0, 0, 0], stop_loss=0.99, total_amount_quote=1_000.0)
    assert other.config.total_amount_quote == other.cash
    steps = equal_terms(
        ControllerBaseline(pd.Series([1, 1, 1, 1, 0], index=market.index), config=run.config).run(market, cash=400.0)
    ).steps
    assert (steps["total_return"] < -1.0).any() and steps.loc[steps["total_return"] < -1.0, "sharpe"].isna().all()


def test_fills_that_hummingbot_forgets_are_a_step_of_their_own():
    calm = [100.0, 101.0] * 10
    closes = [*calm, 95.0, 94.0, 94.5, 95.0, 96.0]
    config = ControllerConfig(stop_loss=0.2, take_profit=0.5, time_limit=pd.Timedelta("24h"), trade_cost=0.0)
    market = market_of([closes[0], *closes[:-1]], closes)
    run = ControllerBaseline(DManV3(bb_length=20, dca_spreads=("0.001", "0.05")), config=config).run(market)
    steps = equal_terms(run, costs=Costs(fee=0.0)).steps
    assert steps.loc["marking", "total_return"] == 0.0
    assert steps.loc["forgotten fills", "change"] == pytest.approx(25 * (95 / 94 - 1) / 100, rel=1e-9)


def test_a_comparison_shows_the_baseline_twice_with_its_steps(market, tmp_path):
    run = baseline(market, [1, 0, 0, -1, 0, 0])
    terms = equal_terms(run, costs=Costs(fee=FEE))
    mine = backtest(SmaCross(fast=1, slow=2), market, cash=1_000.0, costs=Costs(fee=FEE), venue=Venue(shorts=True))
    table = compare([mine], benchmark=terms, path=tmp_path / "page.html")
    assert table.table.shape[1] == 3 and table.benchmark is not None and "Ladder" in table.benchmark
    text, page = str(table), (tmp_path / "page.html").read_text()
    for step in terms.steps.index:
        assert step in text and step in page
    sheet = tearsheet(mine, terms, tmp_path / "sheet.html").read_text()
    assert "fill timing" in sheet and "the Hummingbot baseline" in sheet


def test_costs_that_are_no_plain_fractions_are_refused(market):
    run = baseline(market, [1, 0, 0, 0, 0, 0])
    with pytest.raises(ValidationError, match="plain fractions"):
        equal_terms(run, costs=Costs(slippage=SquareRootImpact()))
    with pytest.raises(ValidationError, match="spot"):
        equal_terms(baseline(market, [-1, 0, 0, 0, 0, 0]), venue=Venue())
    with pytest.raises(ValidationError, match="equal_terms"):
        compare([run.marked], benchmark="hummingbot")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=12, max_size=12), st.integers(0, 2**32 - 1))
def test_without_costs_and_on_flat_opens_only_compounding_is_left(signal, seed):
    # Each bar opens at the close before it: late fills cost nothing, and nothing else may change.
    closes = 100.0 * np.exp(np.random.default_rng(seed).normal(0.0, 0.01, 12).cumsum())
    market = market_of([closes[0], *closes[:-1]], closes)
    run = baseline(market, signal, hours=16, trade_cost=0.0)
    steps = equal_terms(run, costs=Costs(fee=0.0, slippage=0.0)).steps["total_return"]
    assert steps["costs"] == pytest.approx(steps["marking"], abs=1e-12)
    # Positions of the last bar stay open there, and are worth their price.
    assert steps["fill timing"] == pytest.approx(steps["marking"], abs=1e-12)
