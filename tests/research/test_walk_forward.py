"""Walk-forward: each fold chooses on its own past, the account goes on, and the future changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from data import load_sample
from data.errors import ValidationError
from engine import Costs, Exits, backtest, check_causality
from engine.strategy import Strategy
from research import WalkForwardPlan, sweep, trials, walk_forward
from research.strategies import SmaCross

GRID = {"fast": [4, 8], "slow": [20, 40]}
PLAN = WalkForwardPlan(train=400, refit=150, embargo=10)
TERMS = {"costs": Costs(fee=0.001), "cash": 1_000.0}


@pytest.fixture(scope="module")
def market():
    return load_sample(["BTC/USD", "ETH/USD"]).iloc(5_000, 6_200)


@pytest.fixture(scope="module")
def walk(market, tmp_path_factory):
    return walk_forward(
        SmaCross, GRID, market, plan=PLAN, record=tmp_path_factory.mktemp("record") / "t.sqlite", **TERMS
    )


def test_each_fold_has_the_best_set_of_its_own_past(walk, market, tmp_path) -> None:
    assert len(walk.folds) == 6 and walk.trials == 24
    for fold in walk.folds.itertuples():
        past = market.loc[fold.train_from : fold.train_to]
        assert len(past) == 400 and fold.test_from - fold.train_to == 11 * pd.Timedelta("30min")
        best = sweep(SmaCross, GRID, past, record=tmp_path / "t.sqlite", progress=False, **TERMS).best
        assert (fold.fast, fold.slow) == (best["fast"], best["slow"])
    spans = list(zip(walk.folds["test_to"], walk.folds["test_from"].iloc[1:], strict=False))
    assert all(later - earlier == pd.Timedelta("30min") for earlier, later in spans)


def test_result_is_one_account_from_the_first_test_on(walk, market) -> None:
    result = walk.result
    assert result.equity.index[0] == walk.folds["test_from"].iloc[0]
    assert result.equity.index[-1] == walk.folds["test_to"].iloc[-1] == market.index[-1]
    first = walk.folds.iloc[0]
    alone = backtest(SmaCross(int(first.fast), int(first.slow)), market.loc[: first.test_to], **TERMS)
    orders = alone.orders[alone.orders["decided_at"] > first.test_from]
    mine = result.orders[
        (result.orders["decided_at"] > first.test_from) & (result.orders["filled_at"] <= first.test_to)
    ]
    assert (mine["side"].tolist(), mine["filled_at"].tolist()) == (
        orders["side"].tolist(),
        orders["filled_at"].tolist(),
    )


def test_every_trial_of_every_fold_is_on_record(market, tmp_path) -> None:
    record = tmp_path / "t.sqlite"
    walk = walk_forward(SmaCross, GRID, market, plan=PLAN, record=record, **TERMS)
    assert len(trials(record)) == walk.trials


def test_the_stitched_strategy_is_causal(walk, market) -> None:
    check_causality(walk.strategy, market).raise_if_broken()


def test_later_bars_change_no_earlier_choice(walk, market, tmp_path) -> None:
    shorter = walk_forward(
        SmaCross, GRID, market.iloc(0, 900), plan=PLAN, record=tmp_path / "t.sqlite", progress=False, **TERMS
    )
    count = len(shorter.folds) - 1
    pd.testing.assert_frame_equal(shorter.folds.iloc[:count], walk.folds.iloc[:count])


@dataclass(frozen=True)
class Rarely(Strategy):
    """Decides once in 200 bars."""

    weight: float = 0.5

    @property
    def warmup(self) -> int:
        return 1

    def targets(self, market):
        table = pd.DataFrame(np.nan, index=market.index, columns=market.close.columns)
        table.iloc[::200] = self.weight
        return table


def test_a_set_that_decides_rarely_holds_what_it_would_by_then(market, tmp_path) -> None:
    walk = walk_forward(
        Rarely, {"weight": [0.5]}, market, plan=PLAN, record=tmp_path / "t.sqlite", progress=False, **TERMS
    )
    assert walk.result.positions.iloc[2].gt(0.0).all()


def test_anchored_pasts_grow(market, tmp_path) -> None:
    plan = WalkForwardPlan(train=400, refit=300, anchored=True)
    folds = walk_forward(SmaCross, GRID, market, plan=plan, record=tmp_path / "t.sqlite", progress=False).folds
    assert (folds["train_from"] == market.index[0]).all() and folds["train_to"].is_monotonic_increasing


def test_sets_whose_barriers_differ_and_markets_too_short_are_refused(market, tmp_path) -> None:
    record = tmp_path / "t.sqlite"
    with pytest.raises(ValidationError, match="leave none to test on"):
        walk_forward(SmaCross, GRID, market.iloc(0, 405), plan=PLAN, record=record)
    both = [
        {"fast": 4, "slow": 20, "exits": Exits(stop_loss=0.01)},
        {"fast": 8, "slow": 40, "exits": Exits(stop_loss=0.2)},
    ]
    with pytest.raises(ValidationError, match="barriers or order sizes differ"):
        walk_forward(SmaCross, both, market, plan=WalkForwardPlan(train=100, refit=50), record=record)
