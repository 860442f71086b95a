"""The table of rules: its rows are the runs they name, and the documentation shows what the code computes today."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import load_sample
from engine import Costs, Venue, backtest, metrics
from reports.hummingbot import ControllerBaseline, equal_terms
from research.rule_comparison import (
    BOT,
    compare_rules,
    compare_steps,
    figures_of,
    markdown,
    old_forecasts,
    sample_forecasts,
)
from research.signals import spread_target
from research.strategies import QuantileSignal
from tests.forecast_fields import with_made_forecasts

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
TERMS = {"cash": 1_000.0, "costs": Costs(fee=0.0004, slippage=0.0002), "venue": Venue(shorts=True)}


@pytest.fixture(scope="module")
def rule():
    market = with_made_forecasts(load_sample(["BTC/USD"]).iloc(0, 2_000))
    return market, QuantileSignal(window=96, hold=2)


def test_each_row_is_the_run_it_names(rule) -> None:
    market, strategy = rule
    table = compare_rules({"mine": rule}, **TERMS, config=BOT)
    assert list(table.index) == [("mine", "Hummingbot"), ("mine", "Ladder"), ("holding", "")]
    own = backtest(strategy, market, **TERMS)
    row = table.loc[("mine", "Ladder")]
    assert row["total_return"] == own.stats()["total_return"]
    notional = (own.orders["amount"] * own.orders["price"]).sum()
    assert row["costs"] == pytest.approx(own.orders["fee"].sum() + 0.0002 * notional)
    error = metrics.sharpe_error(metrics.daily_returns(own))
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * error)
    from dataclasses import replace

    sides = np.sign(strategy.sizes(market).fillna(0.0))
    width = pd.DataFrame(spread_target(*(market[q] for q in ("q10", "q50", "q90"))), sides.index, sides.columns)
    config = replace(BOT, total_amount_quote=1_000.0, trade_cost=0.0006)
    bot = ControllerBaseline(sides, width.fillna(0.01), config=config).run(market, cash=1_000.0)
    theirs = equal_terms(bot, costs=TERMS["costs"], venue=TERMS["venue"]).ours
    pd.testing.assert_series_equal(
        table.loc[("mine", "Hummingbot")], pd.Series(figures_of(theirs)), check_names=False, check_dtype=False
    )


def test_steps_add_up_to_the_difference_of_their_ends(rule) -> None:
    steps = {"one": (rule[0], QuantileSignal.old(window=96)), "two": rule}
    table = compare_steps(steps, **TERMS)
    assert np.isnan(table["change"].iloc[0])
    assert table["change"].sum() == pytest.approx(table["total_return"].iloc[-1] - table["total_return"].iloc[0])
    assert "pp" in markdown(table).splitlines()[3]


def test_documentation_shows_the_tables_as_they_come_out_today() -> None:
    page = (ROOT / "docs" / "predictions.md").read_text()
    assert markdown(sample_forecasts()) in page
    if not SHARED.exists():
        pytest.skip("the shared candles and predictions are not here (../shared/data)")
    for table in old_forecasts(SHARED):
        assert markdown(table) in page
