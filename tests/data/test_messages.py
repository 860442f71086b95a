"""Every kind of bad candle and bad file, and what is said of it: symbol or file, bar or row, rule, and how to mend it.

Read this table to see the messages as a user does. What a fetch says is in `test_download.py` and
`test_download_faults.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import Market, ValidationError, read_candles, validate_candles

Change = Callable[[pd.DataFrame], pd.DataFrame]
MEND = "; fix the file or pass drop_invalid=True"


def candles() -> pd.DataFrame:
    """Four half hours of Ether in which nothing is wrong."""
    index = pd.date_range("2018-03-01T05:00Z", periods=4, freq="30min", name="time")
    close = np.array([850.0, 851.0, 852.0, 853.0])
    table = {"open": close - 1, "high": close + 2, "low": close - 3, "close": close, "volume": 10.0}
    return pd.DataFrame(table, index=index)


def cell(column: str, value: float) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc["2018-03-01T05:30Z", column] = value
        return table

    return change


def moved(table: pd.DataFrame, by: str) -> pd.DataFrame:
    return table.rename(index={table.index[1]: table.index[1] + pd.Timedelta(by)})


BAR = "ETH/USD bar 2018-03-01 05:30+00:00: "
BAD_CANDLES: dict[str, tuple[Change, str]] = {
    "high below low": (
        lambda table: cell("high", 840.0)(cell("open", 840.0)(cell("close", 840.0)(table))),
        f"{BAR}high 840.0 < low 848.0 (rule: high >= low)\n  "
        f"{BAR}low 848.0 > close 840.0 (rule: low <= min(open, close))" + MEND,
    ),
    "high below close": (
        cell("high", 850.1),
        f"{BAR}high 850.1 < close 851.0 (rule: high >= max(open, close))" + MEND,
    ),
    "low above open": (cell("low", 850.5), f"{BAR}low 850.5 > open 850.0 (rule: low <= min(open, close))" + MEND),
    "a hole": (cell("close", np.nan), f"{BAR}close is nan (rule: finite numbers)" + MEND),
    "an infinity": (cell("high", np.inf), f"{BAR}high is inf (rule: finite numbers)" + MEND),
    "a price of 0": (cell("low", 0.0), f"{BAR}low is 0.0 (rule: prices > 0)" + MEND),
    "a negative volume": (cell("volume", -2.0), f"{BAR}volume is -2.0 (rule: volume >= 0)" + MEND),
    "off the grid": (
        lambda table: moved(table, "1min"),
        "ETH/USD bar 2018-03-01 05:31+00:00: is off the grid (rule: on the grid of 30m)" + MEND,
    ),
    "the same bar twice": (
        lambda table: table.iloc[[0, 1, 1, 2, 3]],
        f"{BAR}a second bar, identical (rule: one bar per time)" + MEND,
    ),
    "two bars of one time": (
        lambda table: pd.concat([table.iloc[:2], cell("volume", 11.0)(table).iloc[1:]]),
        f"{BAR}a second bar, and it differs (rule: one bar per time)" + MEND,
    ),
    "disorder": (
        lambda table: table.iloc[[0, 2, 1, 3]],
        f"{BAR}comes after the bar of 2018-03-01 06:00+00:00 (rule: times increase)" + MEND,
    ),
    "a bar without a time": (
        lambda table: table.set_axis(table.index.where(table.index != table.index[1], pd.NaT)),
        "ETH/USD: row 1 has no time; fix or drop it (rule: every bar has a time)",
    ),
    "no zone": (
        lambda table: table.tz_localize(None),
        (
            "ETH/USD: the index has no time zone; tz_localize('UTC') it, or the zone it was written in and "
            "tz_convert('UTC') (rule: times in UTC)"
        ),
    ),
    "another zone": (
        lambda table: table.tz_convert("Asia/Tokyo"),
        "ETH/USD: the index is in Asia/Tokyo; tz_convert('UTC') it (rule: times in UTC)",
    ),
    "an index of numbers": (
        lambda table: table.reset_index(drop=True),
        "ETH/USD: the index is RangeIndex, not times; set_index() the bars' opening times (rule: indexed by time)",
    ),
    "a column missing": (
        lambda table: table.rename(columns={"low": "Low"}),
        (
            "ETH/USD: missing column low (found: open, high, Low, close, volume); rename or add it "
            "(rule: columns open, high, low, close, volume)"
        ),
    ),
    "a column twice": (
        lambda table: table.assign(more=1.0).rename(columns={"more": "close"}),
        "ETH/USD: column close appears twice; drop one (rule: column names are unique)",
    ),
    "text for numbers": (
        lambda table: table.astype({"open": str}),
        "ETH/USD: column open is str, not numbers; convert it with astype(float) (rule: numeric columns)",
    ),
    "no bar at all": (
        lambda table: table.iloc[:0],
        "ETH/USD: the table is empty; leave the symbol out or fetch its candles (rule: at least one bar)",
    ),
}


@pytest.mark.parametrize("fault", list(BAD_CANDLES))
def test_bad_candles_are_told_by_symbol_bar_rule_and_mend(fault: str) -> None:
    change, text = BAD_CANDLES[fault]
    table = change(candles())
    with pytest.raises(ValidationError) as caught:
        Market.from_frames({"ETH/USD": table}, "30m")
    assert str(caught.value) == text
    assert not validate_candles(table, "30m", "ETH/USD").ok


def test_candles_in_which_nothing_is_wrong_are_a_market() -> None:
    assert len(Market.from_frames({"ETH/USD": candles()}, "30m")) == 4


def test_weeks_that_open_on_another_day_are_told_with_the_mend() -> None:
    weeks = candles().set_axis(pd.date_range("2024-01-04", periods=4, freq="7D", tz="UTC"))
    with pytest.raises(ValidationError) as caught:
        Market.from_frames({"ETH/USD": weeks.iloc[:1]}, "1w")
    assert str(caught.value) == (
        "ETH/USD bar 2024-01-04 00:00+00:00: is off the grid: it opens on Thursday, weeks on Monday; take 1d candles "
        "and resample them (rule: on the grid of 1w)" + MEND
    )


HEADER = "timestamp,open,high,low,close,volume\n"
BAR_1 = "1704067200,1,2,1,2,5\n"
BROKEN = "cannot be read, is it broken or of another kind? ("
BAD_FILES: dict[str, tuple[str, str | bytes, str]] = {
    "a price that is no number": (
        "a.csv",
        HEADER + BAR_1 + "1704070800,1,2,x,2,5\n",
        "row 2, column low: 'x' is not a number",
    ),
    "a decimal comma": ("a.csv", HEADER + '1704067200,"1,5",2,1,2,5\n', "row 1, column open: '1,5' is not a number"),
    "a price of Python's own": (
        "a.csv",
        HEADER + "1704067200,1_0,20,1,2,5\n",
        "row 1, column open: '1_0' is not a num",
    ),
    "a time that is none": (
        "a.csv",
        HEADER + "2024-01-01T00:00Z,1,2,1,2,5\nsoon,1,2,1,2,5\n",
        "row 2, column timestamp: 'soon' is not a time; write 2024-01-01T00:00:00Z",
    ),
    "a time missing": ("a.csv", HEADER + BAR_1 + ",1,2,1,2,5\n", "row 2, column timestamp: the time is missing"),
    "a time without a zone": (
        "a.csv",
        HEADER + "2024-01-01 00:00:00,1,2,1,2,5\n",
        'row 1, column timestamp: 2024-01-01 00:00:00 has no time zone; pass tz="UTC", or the zone it is in',
    ),
    "two forms of time": (
        "a.csv",
        HEADER + "2024-01-01T00:00Z,1,2,1,2,5\n2024-01-01T01:00,1,2,1,2,5\n",
        "row 2, column timestamp: times with and without a zone are mixed; write all in one form",
    ),
    "two units of time": (
        "a.csv",
        HEADER + BAR_1 + "1704070800000,1,2,1,2,5\n",
        "row 2, column timestamp: 1704070800000 is no epoch, or in another unit than 1704067200 in row 1",
    ),
    "a counter": (
        "a.csv",
        HEADER + "0,1,2,1,2,5\n",
        "row 1, column timestamp: 0 is no epoch in s, ms, us or ns (from ",
    ),
    "no header": (
        "a.csv",
        "1704067200000,1,2,1,2,5\n1704070800000,1,2,1,2,5\n",
        (
            "no column for a time, open, high, low, close, volume (found: 1704067200000, 1, 2, 1, 2, 5); its first "
            "line must name them"
        ),
    ),
    "other names": (
        "a.csv",
        "timestamp,o,h,l,c,v\n" + BAR_1,
        "no column for open, high, low, close, volume (found: timestamp, o, h, l, c, v); rename the file's columns",
    ),
    "no time": (
        "a.csv",
        "open,high,low,close,volume\n1,2,1,2,5\n",
        "no column for a time (found: open, high, low, close, volume); rename the file's columns",
    ),
    "one name twice": (
        "a.csv",
        "timestamp,open,Open,high,low,close,volume\n1704067200,1,1,2,1,2,5\n",
        "column open appears twice, capitals aside; drop one",
    ),
    "a bar that breaks a rule": (
        "a.csv",
        HEADER + "1704067200,1,2,1,3,5\n",
        "a.csv bar 2024-01-01 00:00+00:00: high 2.0 < close 3.0 (rule: high >= max(open, close))" + MEND,
    ),
    "a header alone": ("a.csv", HEADER, "holds no bar; fetch or export it again"),
    "nothing in it": ("a.csv", "", BROKEN + "Empty CSV file)"),
    "a row too long": (
        "a.csv",
        HEADER + BAR_1 + "1704070800,1,2,1,2,5,6\n",
        BROKEN + "CSV parse error: Expected 6 col",
    ),
    "letters of another code": (
        "a.csv",
        HEADER.encode() + b"1704067200,1,2,1,2,\xf6\n",
        "row 1, column volume: b'\\xf6' is not a",
    ),
    "a broken Parquet file": ("a.parquet", "PAR1 and no more", BROKEN),
    "a broken Feather file": ("a.feather", "no feather", BROKEN),
    "a broken gzip": ("a.csv.gz", "not zipped", BROKEN),
    "broken JSON": ("a.json", "[[1704067200, 1, 2", BROKEN),
    "JSON of another form": (
        "a.json",
        '{"open": [1]}',
        "holds no list of rows [time, open, high, low, close, volume]",
    ),
    "a pickle": (
        "a.pkl",
        "x",
        "unknown kind .pkl; a pickle may run any code, so load it where you trust it and write it with to_parquet",
    ),
    "a kind unknown": (
        "a.xlsx",
        "x",
        "unknown kind .xlsx; give .csv, .csv.gz, .parquet, .feather, .json or .json.gz",
    ),
    "no suffix": ("a", "x", "unknown kind (no suffix); give .csv"),
}


@pytest.mark.parametrize("fault", list(BAD_FILES))
def test_bad_files_are_told_by_name_place_and_mend(fault: str, tmp_path: Path) -> None:
    name, content, text = BAD_FILES[fault]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValidationError) as caught:
        read_candles(path)
    assert str(caught.value).startswith(f"{path}: {text}")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"none\.csv: no such file$"):
        read_candles(tmp_path / "none.csv")
