"""Overfitting over purged splits: what is left out, and that nothing else changes."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data.errors import ValidationError
from engine import Costs, backtest
from engine.run import lay_ground
from engine.venue import Venue
from reports.promotion.overfitting import combinatorial_overfitting, probability_of_overfitting
from research import sweep
from research.evidence.overfitting import overfitting, purged_splits
from research.evidence.planted import CoinFlips, planted_market
from research.evidence.tried import Tried, tried_before

COSTS = Costs(fee=0.0005, slippage=0.0002)


@settings(max_examples=60, deadline=None)
@given(
    folds=st.integers(3, 8),
    tested=st.integers(2, 7),
    periods=st.integers(30, 200),
    purge=st.integers(0, 6),
    embargo=st.integers(0, 6),
)
def test_training_is_all_that_is_neither_tested_nor_beside_the_test(folds, tested, periods, purge, embargo) -> None:
    assume(tested < folds and purge + embargo < periods // folds - 1)
    splits = purged_splits(periods, folds, tested, purge, embargo)
    assert len(splits) == comb(folds, tested)
    oldest = periods % folds
    for train, test in splits:
        beside = {day - back for day in test for back in range(1, purge + 1)}
        beside |= {day + ahead for day in test for ahead in range(1, purge + embargo + 1)}
        assert len(test) == tested * (periods // folds)
        assert set(train) == set(range(oldest, periods)) - set(test) - beside


@settings(max_examples=60, deadline=None)
@given(
    blocks=st.sampled_from([4, 6, 8]),
    periods=st.integers(16, 90),
    trials=st.integers(2, 12),
    seed=st.integers(0, 2**32 - 1),
    coarse=st.booleans(),
)
def test_with_nothing_purged_halves_give_the_symmetric_answer_exactly(blocks, periods, trials, seed, coarse) -> None:
    chance = np.random.default_rng(seed)
    if coarse:  # days without a return, and trials that are each other's equals
        returns = chance.integers(-2, 3, (periods, trials))[:, chance.integers(0, trials, trials)] / 100.0
    else:
        returns = chance.normal(0.0, 0.01, (periods, trials))
    symmetric = probability_of_overfitting(returns, blocks)
    found = combinatorial_overfitting(returns, purged_splits(periods, blocks, blocks // 2))
    assert found.probability == symmetric.probability
    for name in ("logits", "chosen", "after"):  # the first half to test is the last to choose in
        np.testing.assert_array_equal(getattr(found, name)[::-1], getattr(symmetric, name))


def test_noise_is_overfitted_half_of_the_time_and_skill_never() -> None:
    chance, splits = np.random.default_rng(1), purged_splits(480, purge=5, embargo=5)
    noise = [combinatorial_overfitting(chance.normal(0.0, 0.01, (480, 50)), splits).probability for _ in range(40)]
    assert 0.4 < np.mean(noise) < 0.62
    skilled = chance.normal(0.0, 0.01, (480, 50))
    skilled[:, 7] += 0.004
    found = combinatorial_overfitting(skilled, splits)
    assert found.probability < 0.01 and found.loss < 0.01


def test_noise_whose_days_hang_together_passes_for_skill_until_they_are_purged() -> None:
    chance, splits, lag = np.random.default_rng(5), purged_splits(960, purge=40), 40
    symmetric, purged = [], []
    for _ in range(60):
        walked = np.cumsum(chance.normal(0.0, 0.01, (960 + lag, 50)), axis=0)
        returns = (walked[lag:] - walked[:-lag]) / lag  # each day is the mean of forty
        symmetric.append(probability_of_overfitting(returns, 10).probability)
        purged.append(combinatorial_overfitting(returns, splits).probability)
    gained = np.array(purged) - symmetric
    assert gained.mean() > 2.0 * gained.std(ddof=1) / np.sqrt(len(gained))


@pytest.mark.parametrize(
    ("folds", "tested", "purge", "embargo"), [(2, 1, 0, 0), (5, 5, 0, 0), (5, 1, 0, 0), (5, 2, -1, 0), (5, 2, 10, 9)]
)
def test_folds_that_cannot_be_are_refused(folds, tested, purge, embargo) -> None:
    with pytest.raises(ValidationError, match="purged splits"):
        purged_splits(100, folds, tested, purge, embargo)


def measure(market, record, numbers):
    best = sweep(CoinFlips, {"number": numbers}, market, costs=COSTS, record=record, progress=False).strategy()
    run = backtest(best, market, costs=COSTS)
    ground = lay_ground(market, 10_000.0, COSTS, Venue(), None, None)
    return run, *overfitting(best, tried_before(best, record), ground, run)


def test_the_gates_figure_is_the_symmetric_one_and_the_purged_stands_beside_it(tmp_path) -> None:
    run, measured, figures = measure(planted_market(3), tmp_path / "t.sqlite", range(1, 17))
    assert measured.value == figures["symmetric"] != figures["purged"]
    lasts = run.trades["exit_at"].fillna(run.equity.index[-1]) - run.trades["entry_at"]
    assert figures["purge_days"] == np.ceil(lasts.quantile(0.95).total_seconds() / 86_400)
    assert figures["embargo_days"] == 8  # of 730
    assert f"purged and 8 embargoed: {figures['purged']:.1%}" in measured.told
    edges = np.array(measured.chart["edges"])
    for name, figure in (("counts", "symmetric"), ("purged", "purged")):
        counts = np.array(measured.chart[name])
        assert counts.sum() == figures["splits"] == 252
        assert counts[edges[1:] < 0.01].sum() / 252 == figures[figure]


@pytest.mark.parametrize("days", [20, 29, 30, 45])
def test_a_record_too_short_to_spare_the_days_of_a_trade_is_judged_all_the_same(days, tmp_path) -> None:
    _, measured, figures = measure(planted_market(4, bars=24 * days), tmp_path / "t.sqlite", range(1, 9))
    assert measured.value == figures["symmetric"] and figures["purge_days"] <= 1
    assert "more than the blocks can spare" in measured.told


def test_where_nothing_was_tried_nothing_was_chosen() -> None:
    market = planted_market(5, bars=1_000)
    run = backtest(CoinFlips(), market)
    ground = lay_ground(market, 10_000.0, Costs(), Venue(), None, None)
    measured, figures = overfitting(CoinFlips(), Tried(), ground, run)
    assert measured.value == 0.0 and not figures
