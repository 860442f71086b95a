"""What the model knows of a bar: figures without a scale, so that all symbols can be pooled in one table.

    panel = feature_panel(market)
    panel.names                    # "return_1", ..., "weekday_cos"
    panel.values                   # float32 (T, N, F): time by symbol by feature
    panel.scale                    # float64 (T, N): the volatility that the label is measured in

Every figure of bar t comes from the `WARMUP` bars of the symbol up to t alone, to the last bit: windows are summed anew
(`research.strategies.windows`), never carried from bar to bar, so that a live session with a window of bars sees what
the full history showed. Windows count the bars that the symbol has; a gap is skipped, not filled.

The figures, r being log returns of closes:

- return_k: log(close / close[-k]); move_k: the same over realised volatility x sqrt(k).
- volatility_n: sqrt(mean(r ** 2)) over n bars, realised volatility (Andersen and Bollerslev, 1998), and their ratios.
- range_n: sqrt(mean(log(high / low) ** 2) / (4 log 2)), the deviation that ranges imply (Parkinson, 1980), over
  volatility_n.
- place_n: (close - lowest low) / (highest high - lowest low) of n bars.
- distance_n: log(close / mean close of n bars) over realised volatility x sqrt(n).
- volume_n: volume / mean volume of n bars; volume_trend: mean volume of 6 bars / that of 168.
- hour and weekday of the bar's opening in UTC, as sine and cosine.
- market_k, with several symbols: the mean of their move_k, each symbol's bar alone counted where another has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from data.market import Market
from data.timeframe import grid_origin
from research.strategies.windows import rolling_mean

RETURNS: Final = (1, 2, 3, 6, 12, 24, 48)
VOLATILITIES: Final = (6, 24, 168)
PLACES: Final = (6, 24, 168)
DISTANCES: Final = (24, 168)
VOLUMES: Final = (24, 168)
MARKET: Final = (1, 6, 24)
# The bars whose volatility scales the label, and moves.
SCALE_BARS: Final = 24
# 168 returns need 169 closes.
WARMUP: Final = max(*RETURNS, *VOLATILITIES) + 1
# A symbol that stood still for a day still moves: it is not measured in zeros. Fraction of a week's volatility, and the
# least that any price moves.
_LEAST_OF_A_WEEK: Final = 0.1
_LEAST: Final = 1e-6


@dataclass(frozen=True, eq=False)
class FeaturePanel:
    """The features of a market.

    Attributes:
        index: opening times of the T bars, UTC.
        symbols: the N symbols, in the market's order.
        names: of the F features.
        values: float32, (T, N, F); NaN where a feature has no value, such as a place in a range of width zero.
        scale: float64, (T, N): realised volatility over 24 bars, with a floor; NaN before the warm-up.
        ready: bool, (T, N): the symbol has this bar and its warm-up is over.
    """

    index: pd.DatetimeIndex
    symbols: tuple[str, ...]
    names: tuple[str, ...]
    values: np.ndarray
    scale: np.ndarray
    ready: np.ndarray

    @property
    def warmup(self) -> int:
        """Bars of a symbol up to and with the first that has all its features."""
        return WARMUP


def feature_panel(market: Market) -> FeaturePanel:
    """The features of every bar; those of bar t know the bars up to t alone."""
    bars, symbols = len(market), market.symbols
    tables = [_of_symbol(market, symbol) for symbol in symbols]
    names = [*tables[0][0], *_of_the_clock(market.index)]
    if len(symbols) > 1:
        names += [f"market_{bars_back}" for bars_back in MARKET]
    values = np.full((bars, len(symbols), len(names)), np.nan, dtype=np.float32)
    scale = np.full((bars, len(symbols)), np.nan)
    clock = np.column_stack(list(_of_the_clock(market.index).values())) if bars else np.empty((0, 4))
    for number, (columns, own_scale, rows) in enumerate(tables):
        scale[rows, number] = own_scale
        for place, column in enumerate(columns.values()):
            values[rows, number, place] = column
        values[rows, number, len(columns) : len(columns) + clock.shape[1]] = clock[rows]
    if len(symbols) > 1:
        first = len(names) - len(MARKET)
        for place, bars_back in enumerate(MARKET):
            mean = _mean_of_symbols(values[:, :, names.index(f"move_{bars_back}")])
            values[:, :, first + place] = np.where(np.isnan(scale), np.nan, mean[:, None])
    return FeaturePanel(market.index, symbols, tuple(names), values, scale, np.isfinite(scale))


def volatility_scale(market: Market) -> pd.DataFrame:
    """The volatility that labels are measured in, time by symbol: `FeaturePanel.scale` as a table."""
    closes = market.close
    scale = np.full(closes.shape, np.nan)
    for number, symbol in enumerate(market.symbols):
        rows = np.flatnonzero(closes[symbol].notna().to_numpy())
        squares = _log_returns(closes[symbol].iloc[rows], 1) ** 2
        scale[rows, number] = _scale(_root_mean(squares, SCALE_BARS), _root_mean(squares, max(VOLATILITIES)))
    return pd.DataFrame(scale, index=market.index, columns=closes.columns)


def _of_symbol(market: Market, symbol: str) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """A symbol's own features by name, its scale, and the rows of the market that it has bars at."""
    rows = np.flatnonzero(market.close[symbol].notna().to_numpy())
    close, high, low, volume = (market[name][symbol].iloc[rows] for name in ("close", "high", "low", "volume"))
    squares = _log_returns(close, 1) ** 2
    volatility = {bars: _root_mean(squares, bars) for bars in VOLATILITIES}
    scale = _scale(volatility[SCALE_BARS], volatility[max(VOLATILITIES)])
    columns: dict[str, np.ndarray] = {}
    for bars in RETURNS:
        moved = _log_returns(close, bars).to_numpy()
        columns[f"return_{bars}"] = moved
        columns[f"move_{bars}"] = moved / (scale * np.sqrt(bars))
    columns |= {f"volatility_{bars}": volatility[bars] for bars in VOLATILITIES}
    # As a divisor never less than a price can move: a float32 holds whatever comes out.
    floored = {bars: np.maximum(volatility[bars], _LEAST) for bars in VOLATILITIES}
    short, middle, long = (floored[bars] for bars in VOLATILITIES)
    columns["volatility_ratio_short"] = short / middle
    columns["volatility_ratio_long"] = middle / long
    ranges = pd.Series(np.log(np.ascontiguousarray((high / low).to_numpy())), index=close.index) ** 2
    for bars in VOLATILITIES:
        implied = _root_mean(ranges, bars) / np.sqrt(4.0 * np.log(2.0))
        columns[f"range_{bars}"] = implied / floored[bars]
    for bars in PLACES:
        lowest, highest = low.rolling(bars).min().to_numpy(), high.rolling(bars).max().to_numpy()
        columns[f"place_{bars}"] = _ratio(close.to_numpy() - lowest, highest - lowest)
    for bars in DISTANCES:
        over_mean = np.log(_ratio(close.to_numpy(), rolling_mean(close, bars).to_numpy()))
        columns[f"distance_{bars}"] = over_mean / (scale * np.sqrt(bars))
    means = {bars: np.maximum(rolling_mean(volume, bars).to_numpy(), 0.0) for bars in (6, *VOLUMES)}
    columns |= {f"volume_{bars}": _ratio(volume.to_numpy(), means[bars]) for bars in VOLUMES}
    columns["volume_trend"] = _ratio(means[6], means[168])
    return columns, scale, rows


def _of_the_clock(index: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """Hour and weekday on their circles: midnight is as near to 23:00 as to 01:00."""
    since_monday = (index - grid_origin("1w")).to_numpy().astype("timedelta64[s]").astype(np.float64)
    day = np.ascontiguousarray(2.0 * np.pi * np.mod(since_monday, 86_400.0) / 86_400.0)
    week = np.ascontiguousarray(2.0 * np.pi * np.floor(np.mod(since_monday, 604_800.0) / 86_400.0) / 7.0)
    return {
        "hour_sin": np.sin(day),
        "hour_cos": np.cos(day),
        "weekday_sin": np.sin(week),
        "weekday_cos": np.cos(week),
    }


def _log_returns(close: pd.Series, bars: int) -> pd.Series:
    before = np.full(len(close), np.nan)
    before[bars:] = close.to_numpy()[:-bars]
    return pd.Series(np.log(close.to_numpy() / before), index=close.index)


def _root_mean(squares: pd.Series, bars: int) -> np.ndarray:
    # A window's mean is told as a distance from its newest value: beside a giant it may round to a hair below zero.
    return np.asarray(np.sqrt(np.maximum(rolling_mean(squares, bars).to_numpy(), 0.0)))


def _scale(day: np.ndarray, week: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(np.maximum(day, _LEAST_OF_A_WEEK * week), _LEAST))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """One over the other; NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(below > 0.0, above / below, np.nan))


def _mean_of_symbols(moves: np.ndarray) -> np.ndarray:
    """Mean over those that have a value, (T,); added one symbol after the other, so that no row's sum is regrouped."""
    total, count = np.zeros(len(moves)), np.zeros(len(moves))
    for number in range(moves.shape[1]):
        known = np.isfinite(moves[:, number])
        total += np.where(known, moves[:, number], 0.0)
        count += known
    return _ratio(total, count)
