"""From a quantile forecast to what a trader of probabilities reads: short, neutral, long, and the size of the move.

    probabilities(-0.004, 0.001, 0.006)                          # array([0.357, 0.15 , 0.493])
    probabilities(table.q10, table.q50, table.q90)               # one row a bar
    probabilities(-0.004, 0.001, 0.006, NeutralWeight(reference=None))

Every function takes numbers or arrays of one shape: q10, q50 and q90 of the return, fractions. Quantiles out of order
are put in order first; a NaN among the three makes the outcome NaN, for there is no forecast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from data.errors import ValidationError

Floats = npt.NDArray[np.float64]

SMALLEST_TARGET: Final = 0.001
LARGEST_TARGET: Final = 0.05


@dataclass(frozen=True)
class NeutralWeight:
    """How much of the probability goes to neither side: `ceiling` x min(spread / reference, 1).

    Attributes:
        ceiling: the largest weight, from 0 to 1.
        reference: the spread (q90 - q10, fraction) from which on the weight is at its ceiling; None for
            max(2 x spread, 0.01), by which the weight reaches half of its ceiling at a spread of 0.005 and stays there.

    Raises:
        ValidationError: one of them is out of its range.
    """

    ceiling: float = 0.3
    reference: float | None = 0.02

    def __post_init__(self) -> None:
        if not 0.0 <= self.ceiling <= 1.0:
            raise ValidationError(f"NeutralWeight: ceiling {self.ceiling!r} must be from 0 to 1")
        if self.reference is not None and not 0.0 < self.reference < np.inf:
            raise ValidationError(f"NeutralWeight: reference {self.reference!r} must be a spread above 0, or None")

    def of(self, spread: npt.ArrayLike) -> Floats:
        """The weight at these spreads."""
        width = np.asarray(spread, dtype=np.float64)
        reference = np.maximum(2.0 * width, 0.01) if self.reference is None else self.reference
        return np.asarray(self.ceiling * np.minimum(width / reference, 1.0), dtype=np.float64)


def in_order(q10: npt.ArrayLike, q50: npt.ArrayLike, q90: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """The three quantiles, each no larger than the next.

    Raises:
        ValidationError: they differ in shape, or one is infinite.
    """
    try:
        given = np.stack([np.asarray(one, dtype=np.float64) for one in (q10, q50, q90)])
    except (TypeError, ValueError) as error:
        raise ValidationError(f"q10, q50, q90: give numbers, or arrays of one shape ({error})") from error
    if np.isinf(given).any():
        raise ValidationError("q10, q50, q90: a quantile is infinite; give fractional returns such as 0.002")
    ordered = np.sort(given, axis=0)
    ordered[:, np.isnan(given).any(axis=0)] = np.nan
    return ordered[0], ordered[1], ordered[2]


def prob_up(q10: npt.ArrayLike, q50: npt.ArrayLike, q90: npt.ArrayLike) -> Floats:
    """The probability that the return is above 0, by a distribution that is linear between its three quantiles.

    1 where q10 >= 0, 0 where q90 <= 0 (the tails beyond the two count for nothing). Where all three are 0 neither side
    is likelier: 0.5.

    Raises:
        ValidationError: as `in_order`.
    """
    low, middle, high = in_order(q10, q50, q90)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # of the branch not taken
        below_middle = 0.1 + 0.4 * (-low / (middle - low))
        above_middle = 0.5 + 0.4 * (-middle / (high - middle))
    rises = 1.0 - np.where(middle >= 0.0, below_middle, above_middle)
    rises = np.where(high <= 0.0, 0.0, np.where(low >= 0.0, 1.0, rises))
    rises = np.where((low == 0.0) & (high == 0.0), 0.5, rises)
    return np.asarray(np.where(np.isnan(low), np.nan, rises), dtype=np.float64)


def probabilities(
    q10: npt.ArrayLike, q50: npt.ArrayLike, q90: npt.ArrayLike, neutral: NeutralWeight | None = None
) -> Floats:
    """Short, neutral, long along the last axis: in this order, together 1. `neutral` says what goes to neither side.

    Raises:
        ValidationError: as `in_order`.
    """
    low, middle, high = in_order(q10, q50, q90)
    rises = prob_up(low, middle, high)
    neither = (neutral or NeutralWeight()).of(high - low)
    return np.stack([(1.0 - rises) * (1.0 - neither), neither, rises * (1.0 - neither)], axis=-1)


def bridge_target(
    q10: npt.ArrayLike, q50: npt.ArrayLike, q90: npt.ArrayLike, confidence: npt.ArrayLike = 5.0, floor: float = 0.001
) -> Floats:
    """`target_pct` as the system before Ladder made it: a larger and surer median gives wider barriers.

    |q50| x (0.5 + 1.5 x confidence / 10) / min(spread / 0.02, 2), from 0.001 to 0.05. A spread below `floor` counts as
    `floor`: by itself it would blow the figure up, and at 0 divide by it.

    Raises:
        ValidationError: as `in_order`, or `floor` is not above 0, or `confidence` not from 0 to 10.
    """
    low, middle, high = in_order(q10, q50, q90)
    sure = np.asarray(confidence, dtype=np.float64)
    if not floor > 0.0:
        raise ValidationError(f"bridge_target: floor {floor!r} must be a spread above 0")
    if not ((sure >= 0.0) & (sure <= 10.0)).all():
        raise ValidationError("bridge_target: confidence must be from 0 to 10")
    width = np.minimum(np.maximum(high - low, floor) / 0.02, 2.0)
    return np.asarray(np.clip(np.abs(middle) * (0.5 + 0.15 * sure) / width, SMALLEST_TARGET, LARGEST_TARGET))


def spread_target(q10: npt.ArrayLike, q50: npt.ArrayLike, q90: npt.ArrayLike) -> Floats:
    """`target_pct` as the spread q90 - q10, from 0.001 to 0.05: the width that the model itself expects.

    Raises:
        ValidationError: as `in_order`.
    """
    low, _, high = in_order(q10, q50, q90)
    return np.asarray(np.clip(high - low, SMALLEST_TARGET, LARGEST_TARGET))
