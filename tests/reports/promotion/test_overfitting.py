"""Probability of backtest overfitting: by hand, against splits done one by one, and on strategies of known truth."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from data.errors import ValidationError
from reports.promotion.overfitting import probability_of_overfitting


def one_by_one(returns: np.ndarray, blocks: int) -> tuple[float, list[float]]:
    """The paper's steps, one after another, with pandas' own means, deviations and ranks."""
    table = pd.DataFrame(returns)
    parts = np.array_split(np.arange(len(table)), blocks)
    logits = []
    for half in itertools.combinations(range(blocks), blocks // 2):
        rows = np.concatenate([parts[at] for at in half])
        inside, outside = table.iloc[rows], table.drop(index=rows)
        best = (inside.mean() / inside.std()).idxmax()
        rank = (outside.mean() / outside.std()).rank()[best]
        share = rank / (table.shape[1] + 1)
        logits.append(float(np.log(share / (1 - share))))
    return float(np.mean(np.array(logits) <= 0)), logits


def test_it_is_the_papers_steps_one_by_one() -> None:
    returns = np.random.default_rng(0).normal(0.0002, 0.01, size=(240, 9))
    found = probability_of_overfitting(returns, blocks=8)
    probability, logits = one_by_one(returns, 8)
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
