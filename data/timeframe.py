"""Bar lengths as exchanges name them ("1m", "30m", "1h", "1d", "1w"), the grid they span, and times on it, in UTC."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

import numpy as np
import pandas as pd

from data.errors import ValidationError

_UNITS: Final = {
    "s": pd.Timedelta(seconds=1),
    "m": pd.Timedelta(minutes=1),
    "h": pd.Timedelta(hours=1),
    "d": pd.Timedelta(days=1),
    "w": pd.Timedelta(days=7),
}
_PATTERN: Final = re.compile(r"([1-9][0-9]{0,6})([smhdw])")
_YEAR: Final = pd.Timedelta(days=365)
# Weeks open on Monday, as on Binance, OKX and Bybit; 1970-01-05 was the epoch's first. Those of KuCoin and Hyperliquid
# open on Thursday: their bars are found to be off the grid.
_MONDAY: Final = pd.Timestamp("1970-01-05", tz="UTC")
_EPOCH: Final = pd.Timestamp("1970-01-01", tz="UTC")


def parse_timeframe(timeframe: str) -> pd.Timedelta:
    """Length of one bar.

    Raises:
        ValidationError: `timeframe` is not a count and one of s, m, h, d, w, such as "1h", or is longer than a year.
    """
    match = _PATTERN.fullmatch(timeframe) if isinstance(timeframe, str) else None
    length = None if match is None else int(match[1]) * _UNITS[match[2]]
    if length is None or length > _YEAR:
        raise ValidationError(
            f"timeframe {timeframe!r}: give a count and one of s, m, h, d, w, such as '30m' or '1h', a year at most"
        )
    return length


def grid_origin(timeframe: str) -> pd.Timestamp:
    """A bar opening from which all others of this timeframe are whole bar lengths away."""
    return _MONDAY if timeframe.endswith("w") else _EPOCH


def bars_per_year(timeframe: str) -> float:
    """Bars in a year of 365 days: crypto trades on all of them."""
    return float(_YEAR / parse_timeframe(timeframe))


def floor_time(moment: pd.Timestamp, timeframe: str) -> pd.Timestamp:
    """The opening time of the bar that `moment` (UTC) lies in."""
    step, origin = parse_timeframe(timeframe), grid_origin(timeframe)
    return origin + (moment - origin) // step * step


def ceil_time(moment: pd.Timestamp, timeframe: str) -> pd.Timestamp:
    """The first opening time at or after `moment` (UTC)."""
    opening = floor_time(moment, timeframe)
    return opening if opening == moment else opening + parse_timeframe(timeframe)


def utc_time(value: str | dt.date | pd.Timestamp, name: str = "time") -> pd.Timestamp:
    """A moment that a person gave, in UTC: "2020-01-01", "2020-01-01 12:00", a date or a datetime.

    What has no zone is read as UTC, as every exchange dates its bars; what has one is converted.

    Raises:
        ValidationError: it is not a time; names it by `name`.
    """
    try:
        if not isinstance(value, str | dt.date | np.datetime64):
            raise TypeError(f"a {type(value).__name__}")
        moment = pd.Timestamp(value)
        if pd.isna(moment):
            raise ValueError("no time at all")
        moment = moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")
        return moment.as_unit("ns")
    except (ValueError, TypeError, OverflowError) as error:
        raise ValidationError(
            f"{name} {value!r} is not a time from 1678 to 2261; give one such as 2020-01-01 or 2020-01-01T12:00Z"
        ) from error
