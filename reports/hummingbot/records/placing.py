"""Where a bot's fills lie among the bars: which bar each one fell into, and whether its price can be of that bar."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from data.candles import bar_label
from data.errors import ValidationError
from data.market import Market
from data.timeframe import parse_timeframe

_SHIFTS: Final = pd.timedelta_range("-14h", "14h", freq="30min")  # what time zones differ by
_SHOWN: Final = 3


def columns_of(market: Market, table: pd.DataFrame, what: str, source: str) -> np.ndarray:
    """By row, the position of its symbol among the market's.

    Raises:
        ValidationError: a symbol that the market does not hold.
    """
    columns = pd.Index(market.symbols).get_indexer(pd.Index(table["symbol"]))
    if (columns < 0).any():
        strange = table.loc[columns < 0]
        names = ", ".join(f"{name} ({count:,})" for name, count in strange["symbol"].value_counts().items())
        raise ValidationError(
            f"{source}: {what} without candles: {names}, the first at {_moment(strange['time'].iloc[0])}; the market "
            f"holds {', '.join(market.symbols)}: add the symbol's candles, or leave it out with select(symbols=[...])"
        )
    return columns


def bars_of_fills(market: Market, fills: pd.DataFrame, column: np.ndarray, source: str) -> np.ndarray:
    """By fill, the position of the bar that it fell into: the one that was open at its time.

    Raises:
        ValidationError: fills before the first bar, after the last one's end, or where their symbol has no bar.
    """
    row, inside = _rows(market, pd.DatetimeIndex(fills["time"]))
    there = inside & market.close.notna().to_numpy()[np.clip(row, 0, None), column]
    if there.all():
        return row
    absent = fills[~there]
    first = absent.iloc[0]
    low, high = market.index[0], market.index[-1] + parse_timeframe(market.timeframe)
    bar = market.close[first["symbol"]].dropna().index
    if not len(bar) or not low <= first["time"] < high:
        where = f"the candles run from {bar_label(low)} to {bar_label(high)}"
        mend = f"load candles from {bar_label(fills['time'].min().floor('min'))} to {_moment(fills['time'].max())}"
    else:
        before = bar[bar <= first["time"]]
        last = f"its last bar before opens at {bar_label(before[-1])}" if len(before) else "no bar of it is before"
        where = f"the candles have a gap there ({last})"
        mend = f"fetch its missing {market.timeframe} bars, or give coarser candles (market.resample)"
    raise ValidationError(
        f"{source}: {len(absent):,} of {len(fills):,} fills fall on no bar, first {_told(first)}: {where}; {mend}"
    )


def bars_of_payments(market: Market, funding: pd.DataFrame, source: str) -> np.ndarray:
    """By payment, the position of the bar that was open at its time; in a gap, of the next one.

    Raises:
        ValidationError: a payment outside the bars' span.
    """
    times = pd.DatetimeIndex(funding["time"])
    row, inside = _rows(market, times)
    due = np.where(inside, row, row + 1)
    outside = (row < 0) | (due >= len(market))
    if outside.any():
        first = funding[outside].iloc[0]
        raise ValidationError(
            f"{source}: {outside.sum():,} of {len(funding):,} funding payments lie outside the candles, the first of "
            f"{first['symbol']} at {_moment(first['time'])}: the candles run from {bar_label(market.index[0])} to "
            f"{bar_label(market.index[-1])}; load candles of the whole time"
        )
    return due


def check_prices(
    market: Market,
    fills: pd.DataFrame,
    place: tuple[np.ndarray, np.ndarray],
    tolerance: float,
    share: float,
    source: str,
) -> int:
    """How many fills have a price outside their bar's range.

    Args:
        market: the bars.
        fills: the fills.
        place: bar and column of each.
        tolerance: by which a price may lie outside, a fraction of the bar's low or high.
        share: of fills that may lie further outside.
        source: the file, for messages.

    Raises:
        ValidationError: a larger share does: another time zone, market or exchange than the candles'.
    """
    price = fills["price"].to_numpy()
    outside = _outside(market, price, *place, tolerance)
    count = int(outside.sum())
    if count <= share * len(fills):
        return count
    worst = fills[outside]
    low, high = (table.to_numpy()[place][outside] for table in (market.low, market.high))
    examples = "; ".join(
        f"{_told(worst.iloc[at])}, bar {low[at]:g} to {high[at]:g}" for at in range(min(_SHOWN, len(worst)))
    )
    raise ValidationError(
        f"{source}: {count:,} of {len(fills):,} fills have a price more than {tolerance:.2%} outside the range of "
        f"their bar ({share:.0%} may): {examples}; {_hint(market, fills, price, place[1], tolerance, share)}"
    )


def _outside(market: Market, price: np.ndarray, row: np.ndarray, column: np.ndarray, tolerance: float) -> np.ndarray:
    low, high = (table.to_numpy()[row, column] for table in (market.low, market.high))
    inside: np.ndarray = (price >= low * (1.0 - tolerance)) & (price <= high * (1.0 + tolerance))
    return ~inside


def _hint(
    market: Market, fills: pd.DataFrame, price: np.ndarray, column: np.ndarray, tolerance: float, share: float
) -> str:
    """Whether other hours would do."""
    by_shift = {}
    for shift in _SHIFTS:
        row, inside = _rows(market, pd.DatetimeIndex(fills["time"]) + shift)
        by_shift[shift] = int((_outside(market, price, np.clip(row, 0, None), column, tolerance) | ~inside).sum())
    fewest = min(by_shift.values())
    if fewest <= share * len(fills):
        # Of several that are as good, most often next to each other, the first and the last.
        good = [f"{shift / pd.Timedelta(hours=1):+g}" for shift, count in by_shift.items() if count == fewest]
        ends = f"{good[0]} h" if len(good) == 1 else f"{good[0]} to {good[-1]} h"
        return f"moved by {ends}, all but {fewest:,} would lie within: is the time zone right, of fills and candles?"
    return "are the candles of the bot's own exchange and market, and both times in UTC?"


def _rows(market: Market, times: pd.DatetimeIndex) -> tuple[np.ndarray, np.ndarray]:
    """The last bar that opens at or before each time, -1 for none; and whether it is still open then."""
    stamps, opened = times.as_unit("ns").asi8, market.index.as_unit("ns").asi8
    row = np.searchsorted(opened, stamps, side="right") - 1
    length = parse_timeframe(market.timeframe).value
    return row, (row >= 0) & (stamps < opened[np.clip(row, 0, None)] + length)


def _moment(time: pd.Timestamp) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _told(fill: pd.Series) -> str:
    return f"{fill['symbol']} {fill['side']} at {fill['price']:g}, {_moment(fill['time'])}"
