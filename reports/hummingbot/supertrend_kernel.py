"""The one loop of the supertrend indicator, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.compiled import compile_cached

with compile_cached(__file__):

    @njit(cache=True)
    def follow(close: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The trend's line and direction; `lower` and `upper` are the bands of each bar alone and are written to.

        A band that is NaN (before the first average true range) turns nothing and is not kept.
        """
        line, direction = np.full(len(close), np.nan), np.ones(len(close))
        for bar in range(1, len(close)):
            if close[bar] > upper[bar - 1]:
                direction[bar] = 1.0
            elif close[bar] < lower[bar - 1]:
                direction[bar] = -1.0
            else:
                direction[bar] = direction[bar - 1]
                if direction[bar] > 0.0 and lower[bar] < lower[bar - 1]:
                    lower[bar] = lower[bar - 1]
                if direction[bar] < 0.0 and upper[bar] > upper[bar - 1]:
                    upper[bar] = upper[bar - 1]
            line[bar] = lower[bar] if direction[bar] > 0.0 else upper[bar]
        return line, direction
