"""Forecasts for tests of strategies that need some: made of the bars themselves, wide and narrow, on both sides."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data import Market


def with_made_forecasts(market: Market) -> Market:
    """The market with q10, q50, q90 of the next bar's return that rest on each bar's own prices and time alone.

    A fifth of the bars has none. The figures mean nothing; what matters is that any two of them differ.
    """
    hour = (market.index.asi8 // 10**9 // 60 % 977)[:, None] + np.arange(len(market.symbols))
    wave = pd.DataFrame(np.sin(hour * 0.7), index=market.index, columns=market.close.columns)
    middle = (0.004 * wave).where(market.close.notna()).mask(pd.DataFrame(hour % 5 == 0, wave.index, wave.columns))
    width = 0.002 + 0.004 * (1.0 + np.cos(hour * 0.3))
    return market.with_fields(q10=middle - width, q50=middle, q90=middle + width)
