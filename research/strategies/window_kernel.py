"""The sums behind `research.strategies.windows`, compiled: loaded by the first indicator that is asked for, not before.

Every window is summed on its own, oldest value first: neighbouring windows advance side by side, a block at a time, so
that one instruction adds to several of them. No sum is carried from one window to the next, and none is regrouped, so
the last bit of a window's value rests on the window alone.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.compiled import compile_cached

# Windows that advance together: what they read and write fits the fastest cache.
_BLOCK = 512


def _means(series: np.ndarray, bars: int) -> np.ndarray:
    """Means of all whole windows (T - bars + 1,), as distances from each window's newest value."""
    newest = series[bars - 1 :]
    count = len(newest)
    total = np.zeros(count)
    for begin in range(0, count, _BLOCK):
        end = min(begin + _BLOCK, count)
        sums, base = total[begin:end], newest[begin:end]
        for start in range(bars - 1):
            values = series[begin + start : end + start]
            for place in range(len(sums)):
                sums[place] += values[place] - base[place]
    for place in range(count):
        total[place] = newest[place] + total[place] / bars
    return total


def _deviations(series: np.ndarray, mean: np.ndarray, bars: int) -> np.ndarray:
    """Population standard deviations of all whole windows (T - bars + 1,), round their means."""
    count = len(mean)
    total = np.zeros(count)
    for begin in range(0, count, _BLOCK):
        end = min(begin + _BLOCK, count)
        sums, base = total[begin:end], mean[begin:end]
        for start in range(bars):
            values = series[begin + start : end + start]
            for place in range(len(sums)):
                distance = values[place] - base[place]
                sums[place] += distance * distance
    for place in range(count):
        total[place] = np.sqrt(total[place] / bars)
    return total


with compile_cached(__file__):
    means = njit(cache=True)(_means)
    deviations = njit(cache=True)(_deviations)
