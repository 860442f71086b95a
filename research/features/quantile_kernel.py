"""Quantiles of a moving window, several at once, compiled: loaded by the first feature that asks for them.

The window is kept in order: the value that leaves is found by halving, the one that enters slides to its place. What is
read off rests on the values in the window alone, whatever came before it, and is what numpy.quantile (method "linear")
gives for them, to the last bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.compiled import compile_cached


def _trailing_quantiles(values: np.ndarray, window: int, least: int, levels: np.ndarray) -> np.ndarray:
    """Quantiles (T, K) of each value and the `window` - 1 before it; NaN where fewer than `least` of these are known.

    Args:
        values: (T,), NaN where none is known: it takes its place in the window, and counts for nothing.
        window: bars; T or more for all bars up to each.
        least: known values that a window must have, at least 1.
        levels: (K,), from 0 to 1.
    """
    count = len(values)
    found = np.full((count, len(levels)), np.nan)
    kept = np.empty(min(window, count))
    # Before any window can have enough values none is looked at: they are put in order once, together.
    first, held = min(least, window, count), 0
    for row in range(count):
        entering = values[row]
        leaving = values[row - window] if row >= window else np.nan
        if leaving == leaving:
            place = np.searchsorted(kept[:held], leaving)
            if entering != entering:
                held -= 1
                for index in range(place, held):
                    kept[index] = kept[index + 1]
            else:
                while place + 1 < held and kept[place + 1] < entering:
                    kept[place] = kept[place + 1]
                    place += 1
                while place > 0 and kept[place - 1] > entering:
                    kept[place] = kept[place - 1]
                    place -= 1
                kept[place] = entering
        elif entering == entering and row < first:
            kept[held] = entering
            held += 1
        elif entering == entering:
            place = np.searchsorted(kept[:held], entering)
            for index in range(held, place, -1):
                kept[index] = kept[index - 1]
            kept[place] = entering
            held += 1
        if row == first - 1:
            kept[:held] = np.sort(kept[:held])
        if held < least:
            continue
        for column in range(len(levels)):
            position = levels[column] * (held - 1)
            below = min(int(np.floor(position)), held - 1)
            share = position - below
            low, high = kept[below], kept[min(below + 1, held - 1)]
            # From the nearer end, as numpy does: the outcome never leaves the two.
            found[row, column] = low + (high - low) * share if share < 0.5 else high - (high - low) * (1.0 - share)
    return found


with compile_cached(__file__):
    trailing_quantiles = njit(cache=True)(_trailing_quantiles)
