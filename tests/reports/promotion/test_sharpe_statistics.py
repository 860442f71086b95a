"""Probabilistic and deflated Sharpe ratios against the papers' own worked examples, and against simulated luck."""

from __future__ import annotations

import math

import numpy as np
import pytest

from data.errors import ValidationError
from engine.metrics import sharpe
from reports.promotion.sharpe_statistics import (
    Moments,
    deflated_sharpe,
    least_periods,
    luck,
    probabilistic_sharpe,
)

# Bailey and Lopez de Prado (2012): two years of monthly returns, a ratio of 0.458 a month.
HEDGE_FUND = Moments(0.458, -2.448, 10.164, 24)


def test_probabilistic_ratio_of_the_papers_hedge_fund() -> None:
    normal = Moments(HEDGE_FUND.sharpe, 0.0, 3.0, 24)
    assert round(probabilistic_sharpe(normal, 0.0), 3) == 0.982
    assert round(probabilistic_sharpe(HEDGE_FUND, 0.0), 3) == 0.913


def test_deflated_ratio_of_the_papers_strategy() -> None:
    # Bailey and Lopez de Prado (2014): five years of 250 days, an annual ratio of 2.5, the best of 100.
    record = Moments(2.5 / math.sqrt(250), -3.0, 10.0, 1250)
    assert round(luck(100, 0.5 / 250), 4) == 0.1132
    assert round(deflated_sharpe(record, 100, 0.5 / 250), 4) == 0.9004
    assert round(deflated_sharpe(record, 46, 0.5 / 250), 4) == 0.9505


def test_least_periods_are_those_after_which_the_probability_is_reached() -> None:
    record = Moments(0.1, -0.5, 6.0, 100)
    needed = least_periods(record, 0.02, 0.95)
    for periods, side in ((math.floor(needed), -1), (math.ceil(needed), 1)):
        probability = probabilistic_sharpe(Moments(0.1, -0.5, 6.0, periods), 0.02)
        assert (probability - 0.95) * side >= 0
    assert least_periods(record, 0.1) == math.inf


def test_luck_is_what_the_best_of_many_without_skill_shows() -> None:
    chance = np.random.default_rng(3)
    for trials in (100, 500):  # the formula is one of many trials: 3% high of 10
        best = chance.normal(0.0, 0.05, size=(4_000, trials)).max(axis=1).mean()
        assert luck(trials, 0.05**2) == pytest.approx(best, rel=0.02)


def test_moments_are_of_one_period() -> None:
    returns = np.random.default_rng(5).normal(0.001, 0.01, 500)
    record = Moments.of(returns)
    assert record.sharpe * math.sqrt(365) == pytest.approx(sharpe(returns, 365.0), rel=1e-12)
    assert abs(record.skewness) < 0.5 and abs(record.kurtosis - 3.0) < 1.0


def test_what_has_no_ratio_has_no_probability() -> None:
    for returns in ([], [0.01], [0.01] * 50):
        record = Moments.of(np.array(returns))
        assert math.isnan(probabilistic_sharpe(record, 0.0)) and math.isnan(least_periods(record, 0.0))


@pytest.mark.parametrize(("trials", "variance"), [(0, 0.1), (10, -0.1), (10, math.nan)])
def test_trials_that_cannot_be_are_refused(trials: int, variance: float) -> None:
    with pytest.raises(ValidationError, match="trials"):
        luck(trials, variance)
