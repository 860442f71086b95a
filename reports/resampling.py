"""How sure a figure of overlapping, clustered rows is: the stationary bootstrap (Politis and Romano, 1994), by arch.

Whole times are drawn, in blocks of random length, with all their symbols: what symbols have in common at one time, and
what neighbouring times have in common, stays together. A draw is told as weights, how often each time came up, so that
every figure is a weighted one; the rank correlation of a draw is exact, ties and repeated rows with mid-ranks.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np

# The middle 95% of the draws.
LOW, HIGH = 0.025, 0.975


def block_length(series: Sequence[np.ndarray], least: int) -> int:
    """Mean length of a block, in times: the longest that Politis and White (2004) ask of one of the series.

    At least `least`, at most a quarter of the times.
    """
    from arch.bootstrap import optimal_block_length
    from threadpoolctl import threadpool_limits

    longest = float(least)
    for values in series:
        if len(values) < 8 or np.ptp(values) == 0.0:
            continue
        # Its many short products are no work for threads, which wait for each other longer than they compute.
        with warnings.catch_warnings(), threadpool_limits(limits=1, user_api="blas"):
            warnings.simplefilter("ignore")
            wanted = float(optimal_block_length(values)["stationary"].iloc[0])
        longest = max(longest, wanted) if np.isfinite(wanted) else longest
    return max(round(min(longest, len(series[0]) / 4.0)), 1)


def drawn_weights(times: int, block: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of the times came up, (times,), for each of the draws; the same for the same seed."""
    from arch.bootstrap import StationaryBootstrap

    bootstrap = StationaryBootstrap(block, np.arange(times), seed=np.random.default_rng(seed))
    for (drawn,), _ in bootstrap.bootstrap(resamples):
        yield np.bincount(drawn, minlength=times).astype(np.float64)


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The middle 95% of a figure over the draws."""
    low, high = np.nanquantile(draws, (LOW, HIGH)) if np.isfinite(draws).any() else (np.nan, np.nan)
    return float(low), float(high)


class RankCorrelation:
    """Spearman's correlation of two columns under any weights: sorted once, for all draws."""

    def __init__(self, one: np.ndarray, other: np.ndarray) -> None:
        self._sorted = [_Sorted(one), _Sorted(other)]

    def of(self, weights: np.ndarray) -> float:
        """The correlation, each row counted `weights` times; NaN where a column does not vary."""
        first, second = (column.mid_ranks(weights) for column in self._sorted)
        middle = (weights.sum() + 1.0) / 2.0
        first -= middle
        second -= middle
        spread = np.sqrt(_product(weights, first, first) * _product(weights, second, second))
        return float(_product(weights, first, second) / spread) if spread > 0.0 else float("nan")


def _product(weights: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    # Not BLAS: as above, and in one order on every machine.
    return float(np.einsum("i,i,i->", weights, one, other))


class _Sorted:
    def __init__(self, values: np.ndarray) -> None:
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        starts = np.concatenate(([True], ordered[1:] != ordered[:-1]))
        self._starts, self._group = np.flatnonzero(starts), np.cumsum(starts) - 1

    def mid_ranks(self, weights: np.ndarray) -> np.ndarray:
        """Ranks of the rows where each is there `weights` times; equal values share the middle of their ranks."""
        counts = np.add.reduceat(weights[self._order], self._starts)
        upto = np.cumsum(counts)
        ranks = np.empty(len(weights))
        ranks[self._order] = (upto - (counts - 1.0) / 2.0)[self._group]
        return ranks
