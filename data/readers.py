"""Candle files as other tools write them, read into one form.

    read_candles("BTC_USDT-1h.feather")                        # freqtrade
    read_candles("binance_BTC-USDT_1h.csv", timeframe="1h")    # Hummingbot; with a timeframe the grid is checked too
    read_candles("BTC_USDT-1h.json")                           # freqtrade's older form, or ccxt's rows as they came
    read_candles("btc.csv.gz", tz="Europe/Berlin")             # times written without a zone

Columns are known by their names, capitals and spaces aside: a time (`timestamp`, `time`, `date`, `datetime`,
`open time`, or the index), then open, high, low, close, volume; further ones are kept under their own names.

A number as a time is an epoch, its unit told by its size: 1e8 to 1e11 seconds, to 1e14 milliseconds, to 1e17
microseconds, above it nanoseconds. That is unambiguous for every moment from March 1973 on. An epoch written as a float
is rounded to whole microseconds, the precision a float has left.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from data.candles import CANDLE_COLUMNS, clean_candles
from data.errors import ValidationError

_TIME_NAMES: Final = ("timestamp", "time", "date", "datetime", "open_time")
_EPOCH_UNITS: Final = (  # from, below, nanoseconds in one
    (1e8, 1e11, 10**9),
    (1e11, 1e14, 10**6),
    (1e14, 1e17, 10**3),
    (1e17, 9.2e18, 1),
)
_ZONED: Final = r":\d\d(?:[.,]\d+)?\s*(?:Z|[+-]\d\d(?::?\d\d)?)$"
_SUFFIXES: Final = ".csv, .csv.gz, .parquet, .feather, .json or .json.gz"
_MENDS: Final = {  # for kinds that are met often and not read
    ".pkl": "a pickle may run any code, so load it where you trust it and write it with to_parquet",
    ".pickle": "a pickle may run any code, so load it where you trust it and write it with to_parquet",
    ".zip": "unpack it",
}


def read_candles(
    path: str | Path,
    *,
    timeframe: str | None = None,
    symbol: str | None = None,
    tz: str | None = None,
    drop_invalid: bool = False,
) -> pd.DataFrame:
    """One symbol's candles from a file.

    Args:
        path: a .csv, .csv.gz, .parquet, .feather, .json or .json.gz file.
        timeframe: the bars' length, such as "1h": bars must lie on its grid. Without it, on whole seconds.
        symbol: the name that errors carry; else the file's.
        tz: the zone of times that are written without one, such as "UTC". Epochs and times with an offset need none.
        drop_invalid: leave out bars that break a rule, see `data.candles.clean_candles`.

    Returns:
        open, high, low, close, volume (float64) and the file's further columns, indexed by opening time (UTC, ns).

    Raises:
        ValidationError: naming the file: it is missing, broken, empty or of an unknown kind; a column is missing; a
            cell is no number or no time (naming row and column; the first bar is row 1); a time has no zone and `tz` is
            not given; a bar breaks a rule.
    """
    file = Path(path)
    table = read_table(file)
    try:
        table = with_time_column(table)
        candles = _renamed(table)
        time_column = next((name for name in _TIME_NAMES if name in candles.columns), None)
        missing = [name for name in CANDLE_COLUMNS if name not in candles.columns]
        if time_column is None or missing:
            wanted = ", ".join(["a time"] * (time_column is None) + missing)
            found = ", ".join(map(str, table.columns)) or "none"
            headless = len(table.columns) > 0 and all(_is_number(name) for name in table.columns)
            mend = "its first line must name them" if headless else "rename the file's columns"
            raise ValidationError(f"no column for {wanted} (found: {found}); {mend}")
        if candles.empty:
            raise ValidationError("holds no bar; fetch or export it again")
        times = to_utc(candles.pop(time_column), tz)
        for name in CANDLE_COLUMNS:
            candles[name] = to_numbers(candles[name])
        return clean_candles(
            candles.set_index(times), timeframe=timeframe or "1s", symbol=symbol or file.name, drop_invalid=drop_invalid
        )
    except ValidationError as error:
        raise ValidationError(f"{file}: {error}") from error


def read_table(file: Path) -> pd.DataFrame:
    """The columns of a CSV, Parquet, Feather or JSON file as they are, whatever they hold; ValidationError if none."""
    import pyarrow as pa
    from pyarrow import csv

    if not file.is_file():
        raise ValidationError(f"{file}: no such file")
    name = file.name.lower()
    try:
        if name.endswith((".csv", ".csv.gz")):
            # Arrow rounds decimals correctly, refuses ragged rows and leaves a column with a bad cell as text.
            table: pd.DataFrame = csv.read_csv(file).to_pandas()
        elif name.endswith((".parquet", ".pq")):
            table = pd.read_parquet(file)
        elif name.endswith(".feather"):
            table = pd.read_feather(file)
        elif name.endswith((".json", ".json.gz")):
            table = _read_rows(file)
        else:
            mend = _MENDS.get(file.suffix.lower(), f"give {_SUFFIXES}")
            raise ValidationError(f"{file}: unknown kind {file.suffix or '(no suffix)'}; {mend}")
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValidationError(f"{file}: cannot be read, is it broken or of another kind? ({error})") from error
    return table


def _read_rows(file: Path) -> pd.DataFrame:
    """A JSON list of [time, open, high, low, close, volume]."""
    content = gzip.decompress(file.read_bytes()) if file.name.lower().endswith(".gz") else file.read_bytes()
    rows = json.loads(content)
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 6 for row in rows):
        raise ValidationError(f"{file}: holds no list of rows [time, open, high, low, close, volume]")
    return pd.DataFrame(rows, columns=["timestamp", *CANDLE_COLUMNS])


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True


def _plain(name: Any) -> str:
    return str(name).strip().lower().replace(" ", "_")


def with_time_column(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its index as a column where the index is the time."""
    index = table.index
    if isinstance(index, pd.DatetimeIndex):
        name = str(index.name) if _plain(index.name) in _TIME_NAMES else "timestamp"
    elif _plain(index.name) in _TIME_NAMES:
        name = str(index.name)
    else:
        return table.reset_index(drop=True)
    if name in table.columns:
        raise ValidationError(f"column {name} is there beside an index of times; drop one of them")
    with_column: pd.DataFrame = table.rename_axis(name).reset_index()
    return with_column


def _renamed(table: pd.DataFrame) -> pd.DataFrame:
    """Time and candle columns under their plain names, the others as they are."""
    known = (*CANDLE_COLUMNS, *_TIME_NAMES)
    # A CSV that pandas wrote with an unnamed index of times has them in a first column without a name.
    plain = {"": "timestamp", "unnamed:_0": "timestamp"} if not {*map(_plain, table.columns)} & {*_TIME_NAMES} else {}
    names = [plain.get(_plain(name), _plain(name)) for name in table.columns]
    renamed = table.set_axis(
        [new if new in known else old for old, new in zip(table.columns, names, strict=True)], axis=1
    )
    twice = sorted({str(name) for name in renamed.columns[renamed.columns.duplicated()] if name in known})
    if twice:
        raise ValidationError(f"column {', '.join(twice)} appears twice, capitals aside; drop one")
    return renamed


def to_numbers(cells: pd.Series) -> pd.Series:
    """A column as numbers, text among them read; ValidationError names the first row that is none."""
    if pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype):
        return pd.Series(cells.to_numpy(dtype=np.float64, na_value=np.nan), index=cells.index)
    numbers = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if not pd.isna(cell):
            # Python reads 1_0 as ten, and True as one; nobody writes a price so.
            if not _is_number(cell) or isinstance(cell, bool) or "_" in str(cell):
                raise ValidationError(f"row {row + 1}, column {cells.name}: {cell!r} is not a number")
            numbers[row] = float(cell)
    return pd.Series(numbers, index=cells.index)


def to_utc(cells: pd.Series, tz: str | None) -> pd.DatetimeIndex:
    """Times of any form in UTC."""
    if cells.isna().any():
        raise ValidationError(f"row {int(cells.isna().argmax()) + 1}, column {cells.name}: the time is missing")
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return _zoned(pd.DatetimeIndex(cells), tz, cells)
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return _from_epoch(cells)
    texts = cells.astype(str).str.strip().str.replace(r"\s*UTC$", "Z", regex=True)
    if texts.str.fullmatch(r"\d+(?:\.\d+)?").all():
        whole = texts.str.fullmatch(r"\d+").all()
        return _from_epoch(texts.astype("int64" if whole else "float64").rename(str(cells.name)))
    parsed = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    if parsed.isna().any():
        row = int(parsed.isna().argmax())
        raise ValidationError(
            f"row {row + 1}, column {cells.name}: {cells.iloc[row]!r} is not a time; write 2024-01-01T00:00:00Z"
        )
    zoned = texts.str.contains(_ZONED, regex=True)
    if zoned.any() and not zoned.all():
        raise ValidationError(
            f"row {int((zoned != zoned.iloc[0]).argmax()) + 1}, column {cells.name}: times with and without a zone are "
            "mixed; write all in one form"
        )
    times = pd.DatetimeIndex(parsed)
    return _zoned(times if zoned.all() else times.tz_localize(None), tz, cells)


def _zoned(times: pd.DatetimeIndex, tz: str | None, cells: pd.Series) -> pd.DatetimeIndex:
    if times.tz is not None:
        return times.tz_convert("UTC")
    if tz is None:
        raise ValidationError(
            f'row 1, column {cells.name}: {cells.iloc[0]} has no time zone; pass tz="UTC", or the zone it is in'
        )
    try:
        return times.tz_localize(str(tz)).tz_convert("UTC")
    except (ValueError, KeyError) as error:
        # An unknown zone, or an hour that its clocks went through twice or never.
        raise ValidationError(f"column {cells.name}: its times cannot be read in tz={tz!r} ({error})") from error


def _from_epoch(cells: pd.Series) -> pd.DatetimeIndex:
    values = cells.to_numpy()
    first = values[0]
    if values.dtype in (np.float16, np.float32):
        raise ValidationError(f"column {cells.name}: {values.dtype} is too coarse for a time; write it as int64")
    unit = next((unit for unit in _EPOCH_UNITS if unit[0] <= first < unit[1]), None)
    if unit is None:
        raise ValidationError(
            f"row 1, column {cells.name}: {first} is no epoch in s, ms, us or ns (from March 1973 on)"
        )
    low, high, scale = unit
    outside = ~((values >= low) & (values < high))
    if outside.any():
        row = int(outside.argmax())
        raise ValidationError(
            f"row {row + 1}, column {cells.name}: {values[row]} is no epoch, or in another unit than {first} in row 1"
        )
    if np.issubdtype(values.dtype, np.integer):
        nanoseconds = values.astype(np.int64) * scale
    else:
        nanoseconds = np.round(values.astype(np.float64) * (scale / 1000)).astype(np.int64) * 1000
    return pd.DatetimeIndex(nanoseconds.view("datetime64[ns]")).tz_localize("UTC")
