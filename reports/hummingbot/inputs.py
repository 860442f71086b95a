"""What drives a controller, checked and laid out: its bars, its signal, and the target that scales its barriers.

All arrays are time by symbol, shape (T, N), in the market's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TypeVar

import numpy as np
import pandas as pd

from data.candles import CANDLE_COLUMNS, bar_label
from data.errors import ValidationError
from data.market import Market

_Table = TypeVar("_Table", pd.Series, pd.DataFrame)


def signal_from_targets(targets: _Table) -> _Table:
    """A strategy's target weights as the signal of a controller that keeps the last one it was sent.

    Args:
        targets: weights by time (a Series, or a table time by symbol); NaN leaves the position as it is.

    Returns:
        The sign of the last weight that was not NaN: -1, 0 or 1; 0 before the first.

    Raises:
        ValidationError: not a Series or DataFrame of numbers.
    """
    if not isinstance(targets, pd.Series | pd.DataFrame):
        raise ValidationError(f"signal_from_targets: expected a Series or DataFrame, got {type(targets).__name__}")
    try:
        weights = targets.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValidationError(f"signal_from_targets: targets hold something that is not a number: {error}") from error
    return weights.ffill().fillna(0.0).apply(np.sign).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Inputs:
    """A run's inputs.

    Attributes:
        high, low, close: of the bars.
        signal: -1, 0 or 1.
        target: what the barriers of an executor created on the bar are multiplied by.
        known: whether the controller sees the bar at all: nothing in it is NaN.
        dropped: bars of each symbol that exist and are left out because of a NaN, (N,).
    """

    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    signal: np.ndarray
    target: np.ndarray
    known: np.ndarray
    dropped: np.ndarray


def checked_inputs(
    market: Market, signal: pd.Series | pd.DataFrame, target_pct: float | pd.Series | pd.DataFrame
) -> Inputs:
    """The inputs of a run.

    Raises:
        ValidationError: no market or no bar in it, a table that is not the market's, a signal that is none, a target
            that is no positive number where there is a signal, a symbol without a bar that could be used.
    """
    if not isinstance(market, Market):
        raise ValidationError(
            f"market: expected a Market, got {type(market).__name__}; use Market.from_frames({{symbol: candles}}, '1h')"
        )
    if not len(market):
        raise ValidationError("market: it holds no bars")
    signals = _table(signal, market, "signal")
    if isinstance(target_pct, Real) and not isinstance(target_pct, bool):
        targets = np.full(signals.shape, float(target_pct))
    else:
        targets = _table(target_pct, market, "target_pct")
    _check_values(signals, targets, market)
    candles = {name: market[name].to_numpy(dtype=np.float64) for name in CANDLE_COLUMNS}
    known = ~(np.isnan(signals) | np.isnan(targets))
    for field in candles.values():
        known &= ~np.isnan(field)
    present = ~np.isnan(candles["close"])
    for symbol, usable, bars in zip(market.symbols, known.any(axis=0), present.sum(axis=0), strict=True):
        if not usable:
            raise ValidationError(
                f"{symbol}: no bar is left, as each of its {bars} has a NaN in its candle, signal or target_pct; "
                "use 0 where there is no signal"
            )
    return Inputs(
        high=candles["high"],
        low=candles["low"],
        close=candles["close"],
        signal=signals,
        target=targets,
        known=known,
        dropped=(present & ~known).sum(axis=0),
    )


def _table(given: object, market: Market, name: str) -> np.ndarray:
    symbols = list(market.symbols)
    if isinstance(given, pd.Series):
        if len(symbols) != 1:
            raise ValidationError(
                f"{name}: a Series speaks for one symbol and the market holds {symbols}; "
                "pass a DataFrame, time by symbol, or run on market.select([symbol])"
            )
        given = given.to_frame(symbols[0])
    if not isinstance(given, pd.DataFrame):
        raise ValidationError(f"{name}: expected a Series or a DataFrame, time by symbol, got {type(given).__name__}")
    unknown = [column for column in given.columns if column not in symbols]
    missing = [symbol for symbol in symbols if symbol not in given.columns]
    if unknown or missing or given.columns.has_duplicates:
        raise ValidationError(
            f"{name}: its columns are {list(given.columns)}, the market holds {symbols} "
            f"(unknown symbol: {unknown}, missing: {missing}); give each symbol one column"
        )
    if not given.index.equals(market.index):
        raise ValidationError(
            f"{name}: it has {len(given)} rows, the market {len(market)} bars, or their times differ; "
            "index it by market.index (a naive index differs from a UTC one)"
        )
    try:
        return given[symbols].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValidationError(f"{name}: it holds something that is not a number: {error}") from error


def _check_values(signal: np.ndarray, target: np.ndarray, market: Market) -> None:
    def first(where: np.ndarray, values: np.ndarray) -> str:
        row, column = np.argwhere(where)[0]
        return f"{market.symbols[column]} bar {bar_label(market.index[row])} is {values[row, column]:g}"

    strange = ~(np.isnan(signal) | (np.abs(signal) == 1.0) | (signal == 0.0))
    if strange.any():
        raise ValidationError(
            f"signal: {first(strange, signal)}; it must be -1, 0 or 1 ({strange.sum()} are not). "
            "signal_from_targets makes one of a strategy's targets"
        )
    # Hummingbot takes a barrier of 0 for none, and one below 0 is crossed from the start: nobody means either.
    useless = np.isinf(target) | ((np.abs(signal) == 1.0) & (target <= 0.0))
    if useless.any():
        raise ValidationError(
            f"target_pct: {first(useless, target)}; with a signal it must be positive, and finite everywhere "
            f"({useless.sum()} are not)"
        )
