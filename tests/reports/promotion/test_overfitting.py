"""Probability of backtest overfitting: by hand, against splits done one by one, and on strategies of known truth."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from data.errors import ValidationError
from reports.promotion.overfitting import combinatorial_overfitting, probability_of_overfitting

Splits = list[tuple[np.ndarray, np.ndarray]]


def halves(periods: int, blocks: int) -> Splits:
    parts = np.array_split(np.arange(periods), blocks)
    chosen = [np.concatenate([parts[at] for at in half]) for half in itertools.combinations(range(blocks), blocks // 2)]
    return [(rows, np.setdiff1d(np.arange(periods), rows)) for rows in chosen]


def one_by_one(returns: np.ndarray, splits: Splits) -> tuple[float, list[float]]:
    """The paper's steps, one after another, with pandas' own means, deviations and ranks."""
    table = pd.DataFrame(returns)
    logits = []
    for train, test in splits:
        inside, outside = table.iloc[train], table.iloc[test]
        best = (inside.mean() / inside.std()).idxmax()
        rank = (outside.mean() / outside.std()).rank()[best]
        share = rank / (table.shape[1] + 1)
        logits.append(float(np.log(share / (1 - share))))
    return float(np.mean(np.array(logits) <= 0)), logits


def test_it_is_the_papers_steps_one_by_one() -> None:
    returns = np.random.default_rng(0).normal(0.0002, 0.01, size=(240, 9))
    found = probability_of_overfitting(returns, blocks=8)
    probability, logits = one_by_one(returns, halves(240, 8))
    assert found.probability == probability
    np.testing.assert_allclose(found.logits, logits, rtol=1e-12)


def test_noise_is_overfitted_half_of_the_time_and_skill_never() -> None:
    chance = np.random.default_rng(1)
    noise = [probability_of_overfitting(chance.normal(0.0, 0.01, (480, 50)), 10).probability for _ in range(40)]
    assert 0.4 < np.mean(noise) < 0.62
    skilled = chance.normal(0.0, 0.01, (480, 50))
    skilled[:, 7] += 0.004
    found = probability_of_overfitting(skilled, 10)
    assert found.probability < 0.01 and found.loss < 0.01


def test_a_trial_that_earns_only_in_one_half_of_the_time_is_found_out() -> None:
    chance = np.random.default_rng(2)
    returns = chance.normal(0.0, 0.01, (400, 20))
    for trial in range(20):  # each is good in a block of its own and bad elsewhere
        returns[trial * 20 : trial * 20 + 20, trial] += 0.02
        returns[:, trial] -= 0.001
    assert probability_of_overfitting(returns, 10).probability > 0.9


def test_periods_that_fill_no_block_are_left_out_at_the_beginning() -> None:
    returns = np.random.default_rng(4).normal(0.0, 0.01, (245, 5))
    assert probability_of_overfitting(returns, 8).probability == probability_of_overfitting(returns[5:], 8).probability


@pytest.mark.parametrize(
    ("shape", "blocks"), [((100, 1), 8), ((100,), 8), ((100, 5), 7), ((10, 5), 8), ((100, 5), 22), ((100, 5), 0)]
)
def test_what_cannot_be_split_is_refused(shape, blocks) -> None:
    with pytest.raises(ValidationError, match="overfitting"):
        probability_of_overfitting(np.zeros(shape), blocks)


def test_a_return_that_is_not_a_number_is_refused() -> None:
    returns = np.zeros((100, 3))
    returns[50, 1] = np.nan
    with pytest.raises(ValidationError, match="not finite"):
        probability_of_overfitting(returns, 8)


def test_other_splits_are_judged_one_by_one_too() -> None:
    chance = np.random.default_rng(6)
    returns = chance.normal(0.0002, 0.01, size=(120, 9))
    order = [chance.permutation(120) for _ in range(30)]
    splits = [
        (one[: 20 + at], one[60 : 65 + at]) for at, one in enumerate(order)
    ]  # of any length, with days in neither
    found = combinatorial_overfitting(returns, splits)
    probability, logits = one_by_one(returns, splits)
    assert found.probability == probability
    np.testing.assert_allclose(found.logits, logits, rtol=1e-12)


@pytest.mark.parametrize("trials", [2, 5, 9, 21, 38])
def test_trials_that_are_equal_share_their_rank_in_every_split(trials) -> None:
    same = np.repeat(np.random.default_rng(trials).normal(0.0, 0.01, (300, 1)), trials, axis=1)
    assert not probability_of_overfitting(same, 10).logits.any()


@pytest.mark.parametrize(
    ("splits", "what"),
    [
        ([], "no split"),
        ([(np.arange(5), np.arange(5, 10)), (np.arange(5), np.arange(4, 10))], "split 1: a period is in training and"),
        ([(np.arange(5), np.arange(9, 10))], "test has 1 periods"),
        ([(np.array([], dtype=int), np.arange(9))], "training has 0 periods"),
        ([(np.arange(5), np.arange(8, 11))], "outside of the 10"),
        ([(np.arange(-2, 3), np.arange(5, 8))], "outside of the 10"),
    ],
)
def test_splits_that_cannot_be_are_refused(splits, what) -> None:
    with pytest.raises(ValidationError, match=what):
        combinatorial_overfitting(np.random.default_rng(0).normal(size=(10, 3)), splits)
