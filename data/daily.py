"""Daily values beside the bars, point in time: a bar sees the newest day whose value was known at its close.

    sentiment = read_daily("sentiment_daily.parquet")          # index: the day, UTC; a column a field
    market = with_daily(market, sentiment)                     # market["fear_greed"], market["btc_dominance"]
    market = with_daily(market, sentiment, lag="1D 6h")        # the source publishes at six the next morning

A day's value is made of that day, so it may be used when the day is over: `lag` counts from the day's start, and one
day is the least that a value of the whole day can have. A value that is published at its day's start, as some indices
of the day before are, may have less; then its date says so, and only whoever knows the source can tell.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.readers import read_table, to_numbers, to_utc, with_time_column
from data.timeframe import parse_timeframe

_TIMES: Final = ("timestamp", "time", "date", "datetime", "day", "open_time")
_ZERO: Final = pd.Timedelta(0)


def with_daily(
    market: Market, table: pd.DataFrame, lag: str | pd.Timedelta = "1D", stale_after: str | pd.Timedelta = "3D"
) -> Market:
    """The market with each column of a table of daily values as a field, the same for every symbol.

    Bar t takes, at its close (t + timeframe), the newest day of the table with day + lag <= close. Where that day's
    value became known longer than `stale_after` before the close, the bar has NaN. A NaN in the table stays one until
    the next day's value; a day that is not in the table leaves the day before in use.

    Args:
        market: the bars.
        table: numbers, indexed by the day (midnight, UTC), in any order; each column becomes a field of its name.
        lag: the time after the day's start from which the value may be used, 0 or more, such as "1D" or "30h".
        stale_after: how long a value may be used once it is known, above 0.

    Raises:
        ValidationError: `lag` or `stale_after` is no such length of time; the table has no column or no row, an index
            without a zone, off midnight or with a day twice, or a value that is infinite or no number; the market has a
            field of that name already.
    """
    wait, keeps = _length("lag", lag), _length("stale_after", stale_after)
    if wait < _ZERO:
        raise ValidationError(
            f"with_daily: lag {lag!r} is below 0: no value is known before its day begins; give '1D', or '0D' for a "
            "value that is published as its day begins"
        )
    if keeps <= _ZERO:
        raise ValidationError(f"with_daily: stale_after {stale_after!r} must be above 0, such as '3D'")
    days = _checked(table)
    taken = [name for name in days.columns if name in market]
    if taken:
        raise ValidationError(
            f"with_daily: the market has a field {', '.join(map(repr, taken))} already; rename the column, as in "
            f"table.rename(columns={{{taken[0]!r}: 'daily_{taken[0]}'}})"
        )
    known = (pd.DatetimeIndex(days.index) + wait).asi8
    closes = (market.index.as_unit("ns") + parse_timeframe(market.timeframe)).asi8
    newest = np.searchsorted(known, closes, side="right") - 1
    usable = (newest >= 0) & (closes - known[newest] <= keeps.as_unit("ns").value)
    fields = {}
    for name in days.columns:
        values = np.where(usable, days[name].to_numpy()[newest], np.nan)
        columns = np.repeat(values[:, None], len(market.symbols), axis=1)
        fields[name] = pd.DataFrame(columns, index=market.index, columns=list(market.symbols))
    return market.with_fields(**fields)


def read_daily(path: str | Path, columns: Sequence[str] | None = None, tz: str | None = None) -> pd.DataFrame:
    """Daily values from a file, as `with_daily` takes them.

    Args:
        path: a .csv, .csv.gz, .parquet or .feather file with the day as `timestamp`, `time`, `date`, `datetime`, `day`
            or as its index, in any form that candles may have (see `data.readers`).
        columns: the columns to keep; None for all.
        tz: the zone of days that are written without one: "UTC" for nearly every source.

    Returns:
        float64, a column a field, by day (UTC, ns), in order of time; NaN where the file has no value.

    Raises:
        ValidationError: naming the file: it is missing, broken or empty, a column is missing, a cell is no number or no
            time, a time is not midnight in UTC, or a day is there twice.
    """
    file = Path(path)
    table = read_table(file)
    try:
        if isinstance(columns, str):
            raise ValidationError(f"columns is the text {columns!r}; pass a list, [{columns!r}]")
        table = with_time_column(table)
        twice = table.columns[table.columns.duplicated()]
        if len(twice):
            raise ValidationError(f"column {twice[0]!r} is there twice; drop or rename one")
        time = _time_column(table)
        found = [name for name in table.columns if name != time]
        wanted = list(dict.fromkeys(found if columns is None else columns))
        missing = [str(name) for name in wanted if name not in found] + ["a time"] * (time is None)
        if missing or not wanted:
            there = ", ".join(map(str, table.columns)) or "none"
            raise ValidationError(
                f"no column for {', '.join(missing) or 'a value'} (found: {there}); rename the file's columns"
            )
        if table.empty:
            raise ValidationError("holds no day; fetch or export it again")
        return _checked(table[wanted].set_index(to_utc(table[time], tz)), "")
    except ValidationError as error:
        raise ValidationError(f"{file}: {error}") from error


def _time_column(table: pd.DataFrame) -> Hashable | None:
    plain = {str(name).strip().lower(): name for name in reversed(table.columns)}
    # A CSV that pandas wrote with an unnamed index of times has them in a first column without a name.
    return next((plain[name] for name in (*_TIMES, "", "unnamed: 0") if name in plain), None)


def _length(name: str, value: str | pd.Timedelta) -> pd.Timedelta:
    """A length of time that a person gave, "1D" or, as timeframes are written, "1d"."""
    try:
        if not isinstance(value, str | pd.Timedelta):
            raise TypeError(f"a {type(value).__name__}")
        as_timeframe = isinstance(value, str) and re.fullmatch(r"\d+[dw]", value)
        length = pd.Timedelta(str(value).upper() if as_timeframe else value)
        if pd.isna(length):
            raise ValueError("not a time")
    except (TypeError, ValueError) as error:
        raise ValidationError(f"with_daily: {name} {value!r} is no length of time ({error}); give '1D'") from error
    return length


def _checked(table: pd.DataFrame, caller: str = "with_daily: ") -> pd.DataFrame:
    """The table as float64 in order of time, its index in UTC, ns."""
    if not isinstance(table, pd.DataFrame) or not isinstance(table.index, pd.DatetimeIndex):
        kind = f"{type(table).__name__} by {type(getattr(table, 'index', None)).__name__}"
        raise ValidationError(f"{caller}the table is a {kind}; give a DataFrame by day, a DatetimeIndex")
    if not len(table) or not len(table.columns):
        raise ValidationError(f"{caller}the table has {len(table)} days and {len(table.columns)} columns; give one")
    days = _days(table.index, caller)
    names = table.columns
    odd = [name for name in names if not isinstance(name, str)] or list(names[names.duplicated()])
    if odd:
        raise ValidationError(
            f"{caller}column {odd[0]!r} names no field of its own; rename it to a text that is unique"
        )
    numbers = pd.DataFrame(index=days)
    for name in names:
        try:
            numbers[name] = to_numbers(table[name]).to_numpy()
        except ValidationError as error:
            raise ValidationError(f"{caller}{error}; leave the column out or mend the cell") from error
        infinite = np.isinf(numbers[name].to_numpy())
        if infinite.any():
            day = days[int(infinite.argmax())]
            raise ValidationError(
                f"{caller}column {name}, day {day:%Y-%m-%d}: the value is infinite; mend it, or give NaN for a day "
                "without a value"
            )
    return numbers.sort_index()


def _days(index: pd.DatetimeIndex, caller: str) -> pd.DatetimeIndex:
    """The index in UTC: midnights, each once."""
    if index.tz is None:
        raise ValidationError(
            f"{caller}the index has no time zone; write table.tz_localize('UTC') if its days are those of UTC"
        )
    if index.hasnans:
        raise ValidationError(f"{caller}row {int(index.isna().argmax()) + 1} has no day; drop it")
    days = index.tz_convert("UTC").as_unit("ns")
    off = days != days.normalize()
    if off.any():
        raise ValidationError(
            f"{caller}{days[int(off.argmax())]} is not midnight in UTC; index the rows by their day, as in "
            "table.set_axis(table.index.tz_convert('UTC').floor('D')), and let lag say when it is known"
        )
    if days.has_duplicates:
        twice = days[days.duplicated()][0]
        raise ValidationError(
            f"{caller}day {twice:%Y-%m-%d} is there twice; keep one, as in table[~table.index.duplicated(keep='last')]"
        )
    return days.rename("day")
