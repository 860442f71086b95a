"""What a forecast must beat: the quantiles of a symbol's own past returns, as they stood when it was made.

Two benchmarks, neither of which knows anything but the past:

- constant: the quantiles of all labels that were known by then;
- volatility: the quantiles of label / volatility that were known by then, times the bar's own volatility (realised,
  24 bars: the one that the model scales with). A model that has learnt no more than "wide when it is wild" ties here.

A label counts once its last price lies strictly before the bar's close: the open that begins the next bar is not known
to a decision yet.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from research.models.quantile_model import QUANTILES

BENCHMARKS: Final = ("constant", "volatility")
# Labels before the first benchmark: a 10% quantile of fewer is a guess.
LEAST_PAST: Final = 100


def past_quantiles(labels: pd.DataFrame, scale: pd.DataFrame, horizon: pd.Timedelta) -> dict[str, np.ndarray]:
    """Both benchmarks at every bar, (T, N, 3) each: 10%, 50%, 90%; NaN where fewer than 100 labels were known.

    Args:
        labels: return by the bar it is predicted on, time by symbol; NaN where it is not known.
        scale: the volatility at that bar, likewise.
        horizon: from that bar's close to the end of the label.
    """
    shape = (*labels.shape, len(QUANTILES))
    found = {name: np.full(shape, np.nan) for name in BENCHMARKS}
    times = pd.DatetimeIndex(labels.index)
    for number, symbol in enumerate(labels.columns):
        own = scale[symbol].to_numpy()
        known = labels[symbol].dropna()
        found["constant"][:, number] = _expanding(known, times, horizon)
        scaled = (labels[symbol] / own).dropna()
        found["volatility"][:, number] = _expanding(scaled, times, horizon) * own[:, None]
    return found


def _expanding(values: pd.Series, times: pd.DatetimeIndex, horizon: pd.Timedelta) -> np.ndarray:
    """Quantiles of what was known at each of the times, (T, 3)."""
    windows = values.expanding(min_periods=LEAST_PAST)
    quantiles = np.column_stack([windows.quantile(quantile).to_numpy() for quantile in QUANTILES])
    # Made on a bar j, known at its close + horizon; strictly before the close of bar t: j + horizon < t.
    newest = values.index.searchsorted(times - horizon, side="left") - 1
    at: np.ndarray = np.full((len(times), len(QUANTILES)), np.nan)
    at[newest >= 0] = quantiles[newest[newest >= 0]]
    return at
