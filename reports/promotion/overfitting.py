"""Probability of backtest overfitting, by combinatorially symmetric cross-validation, and over splits that are purged.

    overfitting = probability_of_overfitting(returns)    # (periods, trials)
    overfitting.probability       # how often the best in one half is below the median in the other
    combinatorial_overfitting(returns, splits)           # the same over other pairs of train and test

Every half of the blocks of time is once the half in which the best trial is chosen, and the other half says where that
trial then ranks. Bailey, Borwein, Lopez de Prado and Zhu, "The Probability of Backtest Overfitting", Journal of
Computational Finance 20 (2017; first of 2015), section 3.

Where a half ends, a trade may earn on both sides. Purged splits leave the periods beside the test out of training:
Lopez de Prado, "Advances in Financial Machine Learning" (2018), chapters 7 and 12.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
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
    values = _checked(returns)
    if blocks % 2 or not 2 <= blocks <= _MOST_BLOCKS or len(values) < 2 * blocks:
        raise ValidationError(
            f"overfitting: {blocks} blocks of {len(values)} periods; give an even number up to {_MOST_BLOCKS}, with 2 "
            "periods a block or more"
        )
    length = len(values) // blocks
    values = values[len(values) - length * blocks :]
    halves = np.array(list(itertools.combinations(range(blocks), blocks // 2)))
    member = np.zeros((len(halves), blocks), dtype=bool)
    np.put_along_axis(member, halves, True, axis=1)
    return _over(values, np.arange(blocks) * length, member, ~member)


def combinatorial_overfitting(returns: np.ndarray, splits: Sequence[tuple[np.ndarray, np.ndarray]]) -> Overfitting:
    """The same over given splits: the best of each training part, ranked in its test.

    Args:
        returns: of each trial, shape (periods, trials).
        splits: positions of the periods to choose in, and of those to rank in. Periods in neither are left out.

    Raises:
        ValidationError: fewer than 2 trials; no split, one with fewer than 2 periods to choose or to rank in, with a
            period in both or one that there is not; a return that is not finite.
    """
    values = _checked(returns)
    if not len(splits):
        raise ValidationError("overfitting: there is no split; give pairs of training and test positions")
    train, test = (np.zeros((len(splits), len(values)), dtype=bool) for _ in range(2))
    for at, parts in enumerate(splits):
        for name, mask, part in zip(("training", "test"), (train[at], test[at]), parts, strict=True):
            places = np.asarray(part)
            if len(places) and not 0 <= places.min() <= places.max() < len(values):
                raise ValidationError(f"overfitting: split {at}: {name} has a period outside of the {len(values)}")
            mask[places] = True
            if mask.sum() < 2:
                raise ValidationError(f"overfitting: split {at}: {name} has {mask.sum()} periods; it takes 2 or more")
        if (train[at] & test[at]).any():
            raise ValidationError(f"overfitting: split {at}: a period is in training and in test")
    # Periods that go together in every split are summed once, as the blocks are.
    both = np.concatenate([train, test])
    starts = np.flatnonzero(np.concatenate(([True], (both[:, 1:] != both[:, :-1]).any(axis=0))))
    return _over(values, starts, train[:, starts], test[:, starts])


def _checked(returns: np.ndarray) -> np.ndarray:
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValidationError(f"overfitting: returns of shape {values.shape}; give (periods, trials), 2 trials or more")
    if not np.isfinite(values).all():
        raise ValidationError("overfitting: a return is not finite; begin where all trials have one")
    return values


def _over(values: np.ndarray, starts: np.ndarray, train: np.ndarray, test: np.ndarray) -> Overfitting:
    """Judge all splits at once.

    Args:
        values: returns, (periods, trials).
        starts: where each part of the time begins.
        train: whether a part is chosen in, (splits, parts).
        test: whether a part is ranked in.
    """
    # A Sharpe ratio follows from its parts' sums: each part is summed once, not in every split.
    sums, squares = np.add.reduceat(values, starts, axis=0), np.add.reduceat(values**2, starts, axis=0)
    lengths = np.diff(starts, append=len(values))
    inside, outside = (_sharpes(part.astype(np.float64), sums, squares, lengths) for part in (train, test))
    splits = np.arange(len(train))
    best = inside.argmax(axis=1)
    after = outside[splits, best]
    # Ranked from the worst; trials that are equal share the middle of their ranks.
    below, equal = (outside < after[:, None]).sum(axis=1), (outside == after[:, None]).sum(axis=1)
    relative = (below + (equal + 1.0) / 2.0) / (values.shape[1] + 1.0)
    logits = np.log(relative / (1.0 - relative))
    return Overfitting(float(np.mean(logits <= 0.0)), logits, inside[splits, best], after)


def _sharpes(member: np.ndarray, sums: np.ndarray, squares: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Mean / deviation by split and trial; 0 where the returns do not vary."""
    count = (member @ lengths)[:, None]
    # By einsum: a matrix product adds in another order at its edges, and equal trials would not come out equal.
    total, squared = np.einsum("sp,pt->st", member, sums), np.einsum("sp,pt->st", member, squares)
    mean = total / count
    variance = (squared - total * mean) / (count - 1.0)
    ratio = np.divide(mean, np.sqrt(np.maximum(variance, 0.0)), out=np.zeros_like(mean), where=variance > 1e-24)
    return np.where(np.isfinite(ratio), ratio, math.nan)
