"""The numbers that Hummingbot's controllers decide by, as its full installation computes them: pandas-ta on TA-Lib.

pandas-ta takes TA-Lib's figures where TA-Lib is installed, as it is in every Hummingbot, and its own where not. They
differ: TA-Lib's Bollinger bands stand on the population's standard deviation, pandas-ta's own on the sample's. So
TA-Lib is called here as well, on the whole history, as Hummingbot's backtester does; a live Hummingbot computes them on
a short window of the newest candles, and its averages with a memory (MACD, ATR) come out otherwise.

Each function takes the bars of one symbol, none missing, and returns arrays of their length, NaN where there is no
figure yet.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

# pandas-ta puts it in the place of a difference of 0 before it divides.
_EPSILON: Final = float(np.finfo(np.float64).eps)


def bollinger(close: pd.Series, length: int, deviations: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the close lies between the bands, and how far they are apart.

    Args:
        close: prices, (T,).
        length: bars of the mean and the deviation.
        deviations: population standard deviations from the mean to either band.

    Returns:
        BBP, (close - lower) / (upper - lower): 0 on the lower band, 1 on the upper; and BBB, 100 x (upper - lower) over
        the mean. Where a difference is exactly 0, the smallest number that tells from 1 stands for it. (pandas-ta adds
        that number to every difference of a history that holds such a 0 anywhere; here it is added to those alone, as
        no bar may know what comes later.)
    """
    import talib

    simple: Any = 0  # TA-Lib's number of the simple moving average
    prices = close.to_numpy(dtype=np.float64)
    if len(prices) < length:
        return np.full(len(prices), np.nan), np.full(len(prices), np.nan)
    upper, middle, lower = talib.BBANDS(prices, length, deviations, deviations, simple)
    apart = _apart(upper, lower)
    return _apart(prices, lower) / apart, 100.0 * apart / middle


def macd(close: pd.Series, fast: int, slow: int, signal: int) -> tuple[np.ndarray, np.ndarray]:
    """MACD, the difference of two exponential averages, and its distance from its own average (the histogram).

    TA-Lib begins each average with a simple one, both on the slow one's first bar; pandas-ta swaps periods that are
    given in the wrong order.
    """
    import talib

    prices = close.to_numpy(dtype=np.float64)
    fast, slow = min(fast, slow), max(fast, slow)
    if len(prices) < slow + signal - 1:
        return np.full(len(prices), np.nan), np.full(len(prices), np.nan)
    line, _, histogram = talib.MACD(prices, fast, slow, signal)
    return line, histogram


def supertrend(candles: pd.DataFrame, length: int, multiplier: float) -> tuple[np.ndarray, np.ndarray]:
    """The trend's line, and its direction: 1 up, -1 down, NaN on the first `length` bars.

    Bands at the middle of a bar's range, plus and minus `multiplier` average true ranges (TA-Lib's ATR, Wilder's), each
    kept at its best value while its trend lasts; a close beyond the other side's band of the bar before turns it.
    """
    import talib

    from reports.hummingbot.supertrend_kernel import follow

    high, low, close = (candles[name].to_numpy(dtype=np.float64) for name in ("high", "low", "close"))
    if len(close) < length + 1:
        return np.full(len(close), np.nan), np.full(len(close), np.nan)
    width = multiplier * talib.ATR(high, low, close, length)
    middle = 0.5 * (high + low)
    line, direction = follow(close, middle - width, middle + width)
    direction[:length] = np.nan
    return line, direction


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    difference = one - other
    return np.where(difference == 0.0, _EPSILON, difference)
