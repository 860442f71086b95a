"""Better than something else: known differences are found, equals are not called better, the test keeps its size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.errors import ValidationError
from engine.metrics import sharpe
from reports.promotion.superiority import superior_ability, superiority


def days(values: np.ndarray) -> pd.Series:
    return pd.Series(values, index=pd.date_range("2024-01-01", periods=len(values), freq="D", tz="UTC"))


def test_difference_is_that_of_the_ratios_and_an_equal_is_not_better() -> None:
    chance = np.random.default_rng(0)
    mine, theirs = chance.normal(0.001, 0.02, 500), chance.normal(0.0, 0.03, 500)
    found = superiority(days(mine), days(theirs))
    assert found.sharpe == pytest.approx(sharpe(mine) - sharpe(theirs), rel=1e-12)
    assert found.growth == pytest.approx((mine.mean() - theirs.mean()) * 365, rel=1e-12)
    assert found.sharpe_interval[0] < found.sharpe < found.sharpe_interval[1]
    same = superiority(days(mine), days(mine))
    assert same.sharpe == same.growth == 0.0 and same.sharpe_interval == (0.0, 0.0)
    assert same.spa == 1.0 and same.probability == 0.0


def test_a_real_edge_over_a_common_market_is_seen_through_it() -> None:
    """What both have in common cancels: that is what drawing them together is for."""
    chance = np.random.default_rng(1)
    market = chance.normal(0.0, 0.04, 730)
    mine, theirs = market + chance.normal(0.001, 0.005, 730), market + chance.normal(0.0, 0.005, 730)
    found = superiority(days(mine), days(theirs))
    assert found.growth_interval[0] > 0.0 and found.spa < 0.01
    apart = superiority(days(mine), days(np.random.default_rng(2).permutation(theirs)))
    assert apart.growth_interval[0] < 0.0


def test_only_days_that_both_have_count() -> None:
    chance = np.random.default_rng(3)
    mine, theirs = days(chance.normal(0, 0.01, 100)), days(chance.normal(0, 0.01, 100))
    assert superiority(mine.iloc[10:], theirs.iloc[:80]).days == 70
    with pytest.raises(ValidationError, match="in common"):
        superiority(mine.iloc[:50], theirs.iloc[40:])


@pytest.mark.slow
def test_of_pairs_without_a_difference_one_in_forty_is_called_better() -> None:
    chance = np.random.default_rng(4)
    better = []
    for seed in range(200):
        market = chance.normal(0.0, 0.03, 400)
        mine, theirs = (days(market + chance.normal(0.0, 0.01, 400)) for _ in range(2))
        found = superiority(mine, theirs, resamples=500, seed=seed)
        better.append((found.growth_interval[0] > 0.0, found.spa < 0.05))
    by_interval, by_test = np.mean(better, axis=0)
    assert by_interval < 0.06 and by_test < 0.1


def test_the_best_of_many_is_judged_as_the_best_of_many() -> None:
    chance = np.random.default_rng(5)
    models = chance.normal(0.0, 0.01, (300, 200))
    best = models[:, [int(models.mean(axis=0).argmax())]]
    benchmark = np.zeros(300)
    assert superior_ability(benchmark, best, block=1) < 0.02
    assert superior_ability(benchmark, models, block=1) > 0.05
