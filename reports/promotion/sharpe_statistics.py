"""How much a Sharpe ratio proves, given its length, its odd returns, and how many were tried before it was chosen.

    moments = Moments.of(returns)                        # per period: not annualised
    probabilistic_sharpe(moments, 0.0)                   # probability that the true ratio exceeds 0
    deflated_sharpe(moments, trials=500, variance=v)     # ... that it exceeds what the best of 500 has by luck

Ratios here are of one period (a day), never annualised: divide an annual one by sqrt(365). Formulas: Bailey and Lopez
de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15 (2012); "The Deflated Sharpe Ratio", Journal of
Portfolio Management 40 (2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from data.errors import ValidationError

_NORMAL: Final = NormalDist()
_EULER: Final = 0.5772156649015329  # Euler's constant


@dataclass(frozen=True)
class Moments:
    """A track record in four figures.

    Attributes:
        sharpe: mean / standard deviation of one period's return.
        skewness: third standardised moment; 0 of a normal distribution.
        kurtosis: fourth standardised moment; 3 of a normal distribution.
        periods: how many returns.
    """

    sharpe: float
    skewness: float
    kurtosis: float
    periods: int

    @classmethod
    def of(cls, returns: np.ndarray) -> Moments:
        """Those of returns per period, shape (n,); NaN where they do not vary.

        The deviation has n - 1 in the denominator, as in `engine.metrics.sharpe`; the higher moments have n.
        """
        values = np.asarray(returns, dtype=np.float64)
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        if not deviation > 1e-12 * float(np.max(np.abs(values), initial=0.0)):
            return cls(math.nan, math.nan, math.nan, len(values))
        centred = (values - values.mean()) / float(np.std(values))
        return cls(
            float(values.mean()) / deviation, float(np.mean(centred**3)), float(np.mean(centred**4)), len(values)
        )

    @property
    def spread(self) -> float:
        """Standard deviation of the estimated ratio, times sqrt(n - 1): sqrt(1 - g3 s + (g4 - 1) / 4 s**2)."""
        squared = 1.0 - self.skewness * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2
        return math.sqrt(squared) if squared > 0.0 else math.nan


def probabilistic_sharpe(record: Moments, benchmark: float) -> float:
    """Probability that the true ratio exceeds `benchmark`: Phi((s - s*) sqrt(n - 1) / sqrt(1 - g3 s + (g4 - 1)/4 s^2)).

    Bailey and Lopez de Prado (2012), equation 11. NaN where the record has no ratio.
    """
    if record.periods < 2 or not math.isfinite(record.sharpe) or not record.spread > 0.0:
        return math.nan
    return _NORMAL.cdf((record.sharpe - benchmark) * math.sqrt(record.periods - 1) / record.spread)


def least_periods(record: Moments, benchmark: float, confidence: float = 0.95) -> float:
    """Minimum track record length: periods after which `probabilistic_sharpe` would reach `confidence`.

    1 + (1 - g3 s + (g4 - 1)/4 s^2) (z / (s - s*))^2, Bailey and Lopez de Prado (2012), equation 13. inf where the ratio
    does not exceed the benchmark; NaN where there is none.
    """
    if not math.isfinite(record.sharpe):
        return math.nan
    if record.sharpe <= benchmark:
        return math.inf
    return 1.0 + (record.spread * _NORMAL.inv_cdf(confidence) / (record.sharpe - benchmark)) ** 2


def luck(trials: int, variance: float) -> float:
    """The ratio that the best of so many strategies without skill is expected to show.

    sqrt(v) ((1 - e) Phi^-1(1 - 1/N) + e Phi^-1(1 - 1/(N e))), e Euler's constant in the first place and its number in
    the last: Bailey and Lopez de Prado (2014), equation 1. 0 of a single trial.

    Args:
        trials: N, independent ones; at least 1.
        variance: v, of the trials' ratios, per period.

    Raises:
        ValidationError: fewer than one trial, or a variance below 0.
    """
    if trials < 1 or not variance >= 0.0:
        raise ValidationError(f"deflated Sharpe ratio: trials {trials!r} must be 1 or more, variance {variance!r} >= 0")
    if trials == 1:
        return 0.0
    first, second = _NORMAL.inv_cdf(1.0 - 1.0 / trials), _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - _EULER) * first + _EULER * second)


def deflated_sharpe(record: Moments, trials: int, variance: float) -> float:
    """Probability that the true ratio exceeds what the best of the trials has by luck.

    `probabilistic_sharpe` against `luck`: Bailey and Lopez de Prado (2014), equation 2.

    Args:
        record: of the strategy that was chosen.
        trials: how many were tried, it included.
        variance: of their ratios, per period.
    """
    return probabilistic_sharpe(record, luck(trials, variance))
