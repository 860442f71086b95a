"""Probability of backtest overfitting, by combinatorially symmetric cross-validation.

    overfitting = probability_of_overfitting(returns)    # (periods, trials)
    overfitting.probability       # how often the best in one half is below the median in the other

Every half of the blocks of time is once the half in which the best trial is chosen, and the other half says where that
trial then ranks. Bailey, Borwein, Lopez de Prado and Zhu, "The Probability of Backtest Overfitting", Journal of
Computational Finance 20 (2017; first of 2015), section 3.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from data.errors import ValidationError

_MOST_BLOCKS: Final = 20


@dataclass(frozen=True, eq=False)
class Overfitting:
    """What the splits say.

    Attributes:
        probability: share of splits in which the chosen trial ranks in the lower half out of sample (logit <= 0).
        logits: ln(w / (1 - w)) of each split, w its relative rank among the N trials, rank / (N + 1).
        chosen: Sharpe ratio per period of the chosen trial in sample, by split.
        after: the same trial's out of sample.
    """

    probability: float
    logits: np.ndarray
    chosen: np.ndarray
    after: np.ndarray

    @property
    def loss(self) -> float:
        """Share of splits in which the chosen trial loses out of sample."""
        return float(np.mean(self.after < 0.0))


def probability_of_overfitting(returns: np.ndarray, blocks: int = 16) -> Overfitting:
    """The probability that what was chosen as the best is no better than the median afterwards.

    Args:
        returns: of each trial, shape (periods, trials).
        blocks: of time, even; 16 gives 12,870 splits. Periods that do not fill the last block are left out, the oldest.

    Raises:
        ValidationError: fewer than 2 trials, an odd number of blocks, or fewer than 2 periods a block; a return that is
            not finite.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValidationError(f"overfitting: returns of shape {values.shape}; give (periods, trials), 2 trials or more")
    if blocks % 2 or not 2 <= blocks <= _MOST_BLOCKS or len(values) < 2 * blocks:
        raise ValidationError(
            f"overfitting: {blocks} blocks of {len(values)} periods; give an even number up to {_MOST_BLOCKS}, with 2 "
            "periods a block or more"
        )
    if not np.isfinite(values).all():
        raise ValidationError("overfitting: a return is not finite; begin where all trials have one")
    length = len(values) // blocks
    parts = values[len(values) - length * blocks :].reshape(blocks, length, -1)
    # A half's Sharpe ratio follows from its blocks' sums: each block is summed once, not in every split.
    sums, squares = parts.sum(axis=1), (parts**2).sum(axis=1)
    halves = np.array(list(itertools.combinations(range(blocks), blocks // 2)))
    member = np.zeros((len(halves), blocks))
    np.put_along_axis(member, halves, 1.0, axis=1)
    count = length * blocks // 2
    inside = _sharpes(member @ sums, member @ squares, count)
    outside = _sharpes((1.0 - member) @ sums, (1.0 - member) @ squares, count)
    splits = np.arange(len(halves))
    best = inside.argmax(axis=1)
    after = outside[splits, best]
    # Ranked from the worst; trials that are equal share the middle of their ranks.
    below, equal = (outside < after[:, None]).sum(axis=1), (outside == after[:, None]).sum(axis=1)
    relative = (below + (equal + 1.0) / 2.0) / (values.shape[1] + 1.0)
    logits = np.log(relative / (1.0 - relative))
    return Overfitting(float(np.mean(logits <= 0.0)), logits, inside[splits, best], after)


def _sharpes(total: np.ndarray, squared: np.ndarray, count: int) -> np.ndarray:
    """Mean / deviation by row and trial; 0 where the returns do not vary."""
    mean = total / count
    variance = (squared - total * mean) / (count - 1)
    ratio = np.divide(mean, np.sqrt(np.maximum(variance, 0.0)), out=np.zeros_like(mean), where=variance > 1e-24)
    return np.where(np.isfinite(ratio), ratio, math.nan)
