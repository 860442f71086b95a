"""Means and deviations of moving windows that rest on the window alone, to the last bit.

pandas carries a running sum from bar to bar, so the last bits of its mean depend on where the history begins: two
averages that are equal come out equal or not by what lies long behind them. A strategy that compares them would decide
otherwise on a window of its `warmup` bars, as live trading gives it, than on the full history. Here each window is
summed anew, oldest value first, as distances from its newest value: a flat window has that value as its mean, exactly,
and no deviation.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def rolling_mean(values: pd.Series, bars: int) -> pd.Series:
    """Mean of each value and the `bars` - 1 before it; NaN where there are fewer."""
    return pd.Series(_mean(values.to_numpy(dtype=np.float64), bars), index=values.index)


def rolling_deviation(values: pd.Series, bars: int) -> pd.Series:
    """Population standard deviation of each value and the `bars` - 1 before it; NaN where there are fewer.

    sqrt(mean((x - mean(x)) ** 2)), the mean taken first: no difference of large squares.
    """
    series = values.to_numpy(dtype=np.float64)
    mean = _mean(series, bars)[bars - 1 :]
    squares = np.zeros(len(mean))
    for start in range(bars if len(mean) else 0):
        squares += np.square(series[start : start + len(mean)] - mean)
    return pd.Series(_padded(np.sqrt(squares / bars), len(series)), index=values.index)


def _mean(series: np.ndarray, bars: int) -> np.ndarray:
    newest = series[bars - 1 :]
    total = np.zeros(len(newest))
    for start in range(bars - 1 if len(newest) else 0):
        total += series[start : start + len(newest)] - newest
    return _padded(newest + total / bars, len(series))


def _padded(known: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate((np.full(length - len(known), np.nan), known))
