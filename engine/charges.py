"""Funding rates brought onto a market's bars (execution rule 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.timeframe import parse_timeframe

# How long after a bar's opening time a rate still counts as due at it, ns.
_LATE = 60_000_000_000


def funding_rates(
    funding: pd.Series | pd.DataFrame | Mapping[str, pd.Series], market: Market, perpetual: Sequence[bool]
) -> tuple[np.ndarray, np.ndarray]:
    """Rates by bar and symbol, each array (T, N), 0 where none is due: at the bar's opening time, and after it.

    A rate at a bar's opening time, or less than a minute after it, falls on what is held before the orders that fill
    there; one within a bar on what is held after them. A rate at a time without a bar falls on the next bar, one after
    the last bar on none.

    Args:
        funding: rates by time (UTC), fractions of notional: a Series for every perpetual, or by symbol. A symbol that
            is left out has none.
        market: the bars.
        perpetual: by symbol, whether it can have funding: spot has none.

    Raises:
        ValidationError: times that are not UTC, rates that are no fractions, a symbol that is unknown or spot, or none
            within the run.
    """
    index = market.index.as_unit("ns").asi8
    length = parse_timeframe(market.timeframe).value
    before, within = np.zeros((len(index), len(market.symbols))), np.zeros((len(index), len(market.symbols)))
    for column, rates in _by_symbol(funding, market, perpetual).items():
        times = pd.DatetimeIndex(rates.index).as_unit("ns").asi8
        rows = np.searchsorted(index, times, side="right") - 1
        at = np.where(rows >= 0, index[rows], times - length)
        # An exchange stamps a rate some milliseconds late: it falls on who held at the full hour all the same.
        opening = (times - at < min(_LATE, length // 2)) & (rows >= 0)
        inside = ~opening & (times < at + length) & (rows >= 0)
        due = np.where(opening | inside, rows, rows + 1)
        known = (due < len(index)) & (rows >= 0)
        if not known.any():
            raise ValidationError(
                f"costs: funding of {market.symbols[column]} runs from {rates.index[0]} to {rates.index[-1]}, the bars "
                f"from {market.index[0]} to {market.index[-1]}: no rate falls on them"
            )
        values = rates.to_numpy(dtype=np.float64)
        np.add.at(before[:, column], due[known & ~inside], values[known & ~inside])
        np.add.at(within[:, column], due[known & inside], values[known & inside])
    return before, within


def _by_symbol(
    funding: pd.Series | pd.DataFrame | Mapping[str, pd.Series], market: Market, perpetual: Sequence[bool]
) -> dict[int, pd.Series]:
    if isinstance(funding, pd.Series):
        checked = _checked(funding, "")
        return {column: checked for column, has in enumerate(perpetual) if has}
    if not isinstance(funding, pd.DataFrame | Mapping):
        raise ValidationError(
            "costs: funding must be a Series by time, or a mapping or DataFrame by symbol, got "
            f"{type(funding).__name__}"
        )
    table = {str(symbol): funding[symbol] for symbol in funding}  # type: ignore[index]
    unknown = [symbol for symbol in table if symbol not in market.symbols]
    if unknown:
        raise ValidationError(f"costs: funding of {unknown}, the market holds {list(market.symbols)}")
    spot = [symbol for symbol in table if not perpetual[market.symbols.index(symbol)]]
    if spot:
        raise ValidationError(f"costs: funding of {spot} on a spot venue, which has none; leave it out")
    return {market.symbols.index(symbol): _checked(rates, f" of {symbol}") for symbol, rates in table.items()}


def _checked(rates: pd.Series, of: str) -> pd.Series:
    if not isinstance(rates, pd.Series):
        raise ValidationError(f"costs: funding{of} must be a Series of rates by time, got {type(rates).__name__}")
    rates = rates.dropna()
    index = rates.index
    if not isinstance(index, pd.DatetimeIndex) or str(index.tz) != "UTC":
        raise ValidationError(
            f"costs: funding{of} must be indexed by time in UTC; use tz_localize or tz_convert('UTC')"
        )
    if index.has_duplicates or not index.is_monotonic_increasing or not len(index):
        raise ValidationError(f"costs: funding{of} must have times that rise, none of them twice, and hold a rate")
    values = rates.to_numpy(dtype=np.float64)
    if not (np.abs(values) < 1.0).all():
        worst = int(np.argmax(~(np.abs(values) < 1.0)))
        raise ValidationError(
            f"costs: funding{of} at {index[worst]}: {values[worst]:g} is no rate; 0.0001 is one basis point"
        )
    return rates
