"""Means and deviations of moving windows that rest on the window alone, to the last bit.

pandas carries a running sum from bar to bar, so the last bits of its mean depend on where the history begins: two
averages that are equal come out equal or not by what lies long behind them. A strategy that compares them would decide
otherwise on a window of its `warmup` bars, as live trading gives it, than on the full history. Here each window is
summed anew, oldest value first, as distances from its newest value: a flat window has that value as its mean, exactly,
and no deviation.
"""

from __future__ import annotations

from numbers import Integral

import numpy as np
import pandas as pd

from data.errors import ValidationError
from research.indicators import indicator


@indicator
def rolling_mean(values: pd.Series, bars: int) -> pd.Series:
    """Mean of each value and the `bars` - 1 before it; NaN where there are fewer.

    Raises:
        ValidationError: `bars` is no whole number of at least 1.
    """
    _check_bars("rolling_mean", bars)
    return pd.Series(means_of(_array(values), int(bars)), index=values.index)


@indicator
def rolling_deviation(values: pd.Series, bars: int) -> pd.Series:
    """Population standard deviation of each value and the `bars` - 1 before it; NaN where there are fewer.

    sqrt(mean((x - mean(x)) ** 2)), the mean taken first: no difference of large squares.

    Raises:
        ValidationError: `bars` is no whole number of at least 1.
    """
    from research.strategies.window_kernel import deviations

    _check_bars("rolling_deviation", bars)
    # A sweep has the mean already, more often than not.
    mean = np.array(rolling_mean(values, bars), dtype=np.float64)[bars - 1 :]
    known = deviations(_array(values), mean.copy(), int(bars)) if len(mean) else np.empty(0)
    return pd.Series(_padded(known, len(values)), index=values.index)


def means_of(values: np.ndarray, bars: int) -> np.ndarray:
    """`rolling_mean` of an array (T,) of float64 that may be written to; nothing is checked."""
    from research.strategies.window_kernel import means

    return _padded(means(values, bars) if bars <= len(values) else np.empty(0), len(values))


def deviations_of(values: np.ndarray, bars: int) -> np.ndarray:
    """`rolling_deviation` of an array (T,) of float64 that may be written to; nothing is checked."""
    from research.strategies.window_kernel import deviations, means

    known = deviations(values, means(values, bars), bars) if bars <= len(values) else np.empty(0)
    return _padded(known, len(values))


def _check_bars(name: str, bars: int) -> None:
    if isinstance(bars, bool) or not isinstance(bars, Integral) or bars < 1:
        raise ValidationError(f"{name}: bars {bars!r} must be a whole number, at least 1")


def _array(values: pd.Series) -> np.ndarray:
    """A copy that may be written to: numba compiles anew for a view that may not."""
    return np.array(values, dtype=np.float64)


def _padded(known: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate((np.full(length - len(known), np.nan), known))
