"""Whether a strategy is better than something else, on the same days: the baseline, or holding.

    found = superiority(strategy_days, baseline_days)     # returns by day, as engine.metrics.daily_returns has them
    found.sharpe, found.sharpe_interval                    # difference of the annual ratios, and its middle 95%
    found.spa                                              # p-value: small where "no better" is hard to believe

Both records are drawn together, in blocks of days (stationary bootstrap, Politis and Romano 1994): what they have in
common, and what neighbouring days have in common, stays. The test is Hansen's for superior predictive ability (2005,
"A Test for Superior Predictive Ability", Journal of Business and Economic Statistics 23), by arch, its consistent
p-value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from engine.metrics import DAYS_PER_YEAR
from reports.resampling import block_length, drawn_weights, interval

_LEAST_DAYS: Final = 20


@dataclass(frozen=True)
class Superiority:
    """How much better, and how sure that is.

    Attributes:
        days: that both records have.
        block: mean length of the blocks that were drawn, days.
        sharpe: difference of the annual Sharpe ratios.
        sharpe_interval: the middle 95% of its draws.
        probability: share of the draws in which it is above 0; equal records give 0.
        growth: difference of the mean returns, a year's.
        growth_interval: the middle 95% of its draws.
        spa: p-value of "its mean return is not above the other's".
    """

    days: int
    block: int
    sharpe: float
    sharpe_interval: tuple[float, float]
    probability: float
    growth: float
    growth_interval: tuple[float, float]
    spa: float


def superiority(ours: pd.Series, other: pd.Series, *, resamples: int = 2_000, seed: int = 0) -> Superiority:
    """Compare two records of returns by day, on the days that both have.

    Args:
        ours: of the strategy, indexed by day, UTC.
        other: of what it is to be better than.
        resamples: draws of the bootstrap, and of the test.
        seed: of them.

    Raises:
        ValidationError: fewer than 20 days in common.
    """
    both = pd.concat([ours, other], axis=1, join="inner").dropna()
    if len(both) < _LEAST_DAYS:
        raise ValidationError(
            f"superiority: {len(both)} days in common; give records of the same {_LEAST_DAYS} days or more"
        )
    mine, theirs = (both.iloc[:, at].to_numpy(dtype=np.float64) for at in (0, 1))
    block = block_length([mine, theirs, mine - theirs], 1)
    weights = np.stack(list(drawn_weights(len(both), block, resamples, seed)))
    sharpes = _sharpes(weights, mine) - _sharpes(weights, theirs)
    growths = weights @ (mine - theirs) / len(both) * DAYS_PER_YEAR
    once = np.ones((1, len(both)))
    return Superiority(
        days=len(both),
        block=block,
        sharpe=float((_sharpes(once, mine) - _sharpes(once, theirs))[0]),
        sharpe_interval=interval(sharpes),
        probability=float(np.mean(sharpes > 0.0)),
        growth=float(np.mean(mine - theirs)) * DAYS_PER_YEAR,
        growth_interval=interval(growths),
        spa=superior_ability(theirs, mine[:, None], block=block, resamples=resamples, seed=seed),
    )


def superior_ability(
    benchmark: np.ndarray, models: np.ndarray, *, block: int, resamples: int = 2_000, seed: int = 0
) -> float:
    """Hansen's consistent p-value of "no model's mean return is above the benchmark's".

    Args:
        benchmark: returns, shape (n,).
        models: returns, shape (n, m): all that were tried, not the best of them alone.
        block: mean length of the blocks, periods.
        resamples: draws.
        seed: of them.

    Returns:
        1 where no model differs from the benchmark at all.
    """
    from arch.bootstrap import SPA

    differs = np.ptp(models - benchmark[:, None], axis=0) > 0.0
    if not differs.any():
        return 1.0
    test = SPA(-benchmark, -models[:, differs], block_size=block, reps=resamples, seed=np.random.default_rng(seed))
    test.compute()
    return float(test.pvalues["consistent"])


def _sharpes(weights: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """Annual Sharpe ratio of each draw, a draw a row of how often each day came up; 0 where returns do not vary."""
    count = weights.sum(axis=1)
    mean = weights @ returns / count
    variance = np.maximum((weights @ returns**2 - count * mean**2) / (count - 1.0), 0.0)
    floor = 1e-24 * float(np.max(returns**2, initial=0.0))
    ratio = np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > floor)
    return np.asarray(ratio * math.sqrt(DAYS_PER_YEAR))
