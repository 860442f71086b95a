"""Files as other tools write them come out as the same candles; what is wrong with a file is said by name and place."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import ValidationError, read_candles

COLUMNS = ["open", "high", "low", "close", "volume"]
Writer = Callable[[pd.DataFrame, Path], Path]


def candles(bars: int = 4) -> pd.DataFrame:
    index = pd.date_range("2024-03-31T00:00Z", periods=bars, freq="1h", unit="ns", name="time")
    close = 0.1 + np.arange(bars) / 3
    table = {"open": close, "high": close * 1.7, "low": close / 3, "close": close * 1.1, "volume": close * 1e6}
    return pd.DataFrame(table, index=index)


def _column(table: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    table = table.reset_index(drop=True)
    table.insert(0, name, values)
    return table


def freqtrade_feather(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "BTC_USDT-1h.feather"
    _column(table, "date", table.index.as_unit("ms")).to_feather(path)
    return path


def hummingbot_csv(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "binance_BTC-USDT_1h.csv"
    stamps = table.index.asi8 / 1e9
    further = ("quote_asset_volume", "n_trades", "taker_buy_base_volume", "taker_buy_quote_volume")
    _column(table, "timestamp", stamps).assign(**dict.fromkeys(further, 7.0)).to_csv(path, index=False)
    return path


def vectorbt_parquet(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "btc.parquet"
    named = table.rename(columns=str.capitalize).rename_axis("Open time")
    named.assign(**{"Close time": table.index, "Number of trades": 3}).to_parquet(path)
    return path


def vectorbt_csv(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "vbt.csv"
    table.rename(columns=str.capitalize).rename_axis("Open time").to_csv(path)
    return path


def unnamed_index_csv(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "index.csv"
    table.rename_axis(None).to_csv(path)
    return path


def unnamed_index_parquet(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "index.parquet"
    table.rename_axis(None).to_parquet(path)
    return path


def _plain(name: str, stamps: Callable[[pd.DatetimeIndex], Any]) -> Writer:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        path = folder / f"{name}.csv"
        _column(table, "timestamp", stamps(pd.DatetimeIndex(table.index))).to_csv(path, index=False)
        return path

    write.__name__ = name
    return write


def gzipped_csv(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "btc.csv.gz"
    path.write_bytes(gzip.compress(_plain("ms", lambda t: t.asi8 // 10**6)(table, folder).read_bytes()))
    return path


def epochs_as_text_parquet(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "text.parquet"
    _column(table, "timestamp", (table.index.asi8 // 10**6).astype(str)).astype(str).to_parquet(path)
    return path


def freqtrade_json(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "BTC_USDT-1h.json"
    values = zip(table.index.asi8 // 10**6, *(table[name] for name in COLUMNS), strict=True)
    path.write_text(json.dumps([[int(time), *row] for time, *row in values]))
    return path


def freqtrade_json_gz(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "BTC_USDT-1h.json.gz"
    path.write_bytes(gzip.compress(freqtrade_json(table, folder).read_bytes()))
    return path


def naive_columns_beside_the_epoch_csv(table: pd.DataFrame, folder: Path) -> Path:
    """As many scripts round ccxt write: `timestamp` in milliseconds, and the same as text."""
    path = folder / "both.csv"
    both = _column(table, "timestamp", table.index.asi8 // 10**6).assign(
        datetime=table.index.strftime("%Y-%m-%d %H:%M")
    )
    both.to_csv(path, index=False)
    return path


def arrow_types_parquet(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "arrow.parquet"
    table.convert_dtypes(dtype_backend="pyarrow").to_parquet(path)
    return path


def tokyo_parquet(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "tokyo.parquet"
    table.tz_convert("Asia/Tokyo").rename_axis("Date").to_parquet(path)
    return path


WRITERS: list[Writer] = [
    freqtrade_json,
    freqtrade_json_gz,
    naive_columns_beside_the_epoch_csv,
    arrow_types_parquet,
    tokyo_parquet,
    freqtrade_feather,
    hummingbot_csv,
    vectorbt_parquet,
    vectorbt_csv,
    unnamed_index_csv,
    unnamed_index_parquet,
    gzipped_csv,
    epochs_as_text_parquet,
    _plain("seconds", lambda t: t.asi8 // 10**9),
    _plain("milliseconds", lambda t: t.asi8 // 10**6),
    _plain("microseconds", lambda t: t.asi8 // 10**3),
    _plain("nanoseconds", lambda t: t.asi8),
    _plain("float milliseconds", lambda t: t.asi8 / 1e6),
    _plain("iso Z", lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ")),
    _plain("iso fraction", lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.000Z")),
    _plain("iso UTC", lambda t: t.strftime("%Y-%m-%d %H:%M:%S UTC")),
    # The clocks of Berlin go forward within these hours: two offsets in one file.
    _plain("iso offset", lambda t: [moment.isoformat() for moment in t.tz_convert("Europe/Berlin")]),
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_every_form_gives_the_same_candles(write: Writer, tmp_path: Path) -> None:
    read = read_candles(write(candles(), tmp_path), timeframe="1h")
    pd.testing.assert_frame_equal(read[COLUMNS], candles(), check_exact=True, check_freq=False)


def test_further_columns_are_kept_under_their_own_names(tmp_path: Path) -> None:
    assert read_candles(vectorbt_parquet(candles(), tmp_path))["Number of trades"].tolist() == [3] * 4
    assert read_candles(hummingbot_csv(candles(), tmp_path))["n_trades"].tolist() == [7.0] * 4


def test_a_time_without_a_zone_needs_one(tmp_path: Path) -> None:
    write = _plain("naive", lambda t: t.strftime("%Y-%m-%d %H:%M:%S"))
    path = write(candles(2), tmp_path)
    with pytest.raises(
        ValidationError, match=r"naive\.csv: row 1, column timestamp: .* has no time zone; pass tz=\"UTC\""
    ):
        read_candles(path)
    pd.testing.assert_frame_equal(read_candles(path, tz="UTC"), candles(2), check_freq=False)
    assert read_candles(path, tz="Europe/Berlin").index[0] == pd.Timestamp("2024-03-30T23:00Z")
    with pytest.raises(ValidationError, match="cannot be read in tz='Mars/Base'"):
        read_candles(path, tz="Mars/Base")
    # 02:00 did not exist in Berlin that night.
    with pytest.raises(ValidationError, match="cannot be read in tz='Europe/Berlin'"):
        read_candles(write(candles(4), tmp_path), tz="Europe/Berlin")


def test_naive_times_in_parquet_and_bare_dates_need_a_zone_too(tmp_path: Path) -> None:
    candles().tz_localize(None).to_parquet(tmp_path / "naive.parquet")
    with pytest.raises(ValidationError, match=r"naive\.parquet: .* has no time zone"):
        read_candles(tmp_path / "naive.parquet")
    (tmp_path / "days.csv").write_text("date,open,high,low,close,volume\n2024-01-01,1,2,1,2,5\n2024-01-02,1,2,1,2,5\n")
    with pytest.raises(ValidationError, match=r"days\.csv: .* has no time zone"):
        read_candles(tmp_path / "days.csv")
    assert len(read_candles(tmp_path / "days.csv", timeframe="1d", tz="UTC")) == 2


HEADER = "timestamp,open,high,low,close,volume\n"
GOOD = "1704067200,1,2,1,2,5\n1704070800,1,2,1,2,5\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", "", "cannot be read"),
        ("header.csv", HEADER, "holds no bar"),
        ("cell.csv", HEADER + GOOD + "1704074400,1,2,x1,2,5\n", "row 3, column low: 'x1' is not a number"),
        ("comma.csv", HEADER + '1704067200,"1,5",2,1,2,5\n', "row 1, column open: '1,5' is not a number"),
        ("time.csv", HEADER + "2024-01-01T00:00Z,1,2,1,2,5\nsoon,1,2,1,2,5\n", "row 2, column timestamp: "),
        ("only.csv", HEADER + "soon,1,2,1,2,5\nlater,1,2,1,2,5\n", "row 1, column timestamp: 'soon' is not a time"),
        ("notime.csv", HEADER + GOOD + ",1,2,1,2,5\n", "row 3, column timestamp: the time is missing"),
        (
            "mixed.csv",
            HEADER + "2024-01-01T00:00Z,1,2,1,2,5\n2024-01-01T01:00,1,2,1,2,5\n",
            "row 2, .*with and without",
        ),
        ("units.csv", HEADER + GOOD + "1704074400000,1,2,1,2,5\n", "row 3, .*in another unit than 1704067200 in row 1"),
        ("counter.csv", HEADER + "0,1,2,1,2,5\n1,1,2,1,2,5\n", "row 1, column timestamp: 0 is no epoch"),
        ("ragged.csv", HEADER + GOOD + "1704074400,1,2,1,2,5,6\n", "cannot be read"),
        ("short.csv", HEADER + GOOD + "1704074400,1,2\n", "cannot be read"),
        ("hole.csv", HEADER + "1704067200,1,2,,2,5\n", r"hole\.csv bar 2024-01-01 00:00\+00:00: low is nan"),
        ("columns.csv", "timestamp,o,h,l,c,v\n" + GOOD, r"no column for open, .*\(found: timestamp, o, h, l, c, v\)"),
        (
            "twice.csv",
            "timestamp,open,Open,high,low,close,volume\n1704067200,1,1,2,1,2,5\n",
            "column open appears twice",
        ),
        ("untimed.csv", "open,high,low,close,volume\n1,2,1,2,5\n", "no column for a time"),
        ("semicolon.csv", HEADER.replace(",", ";") + GOOD.replace(",", ";"), "no column for a time, open"),
        ("broken.parquet", "PAR1 this is none", "cannot be read"),
        ("broken.feather", "no feather", "cannot be read"),
        ("broken.csv.gz", "not gzipped", "cannot be read"),
        ("candles.xlsx", "x", r"unknown kind \.xlsx; give \.csv"),
        ("candles", "x", r"unknown kind \(no suffix\)"),
        ("order.csv", HEADER + "1704070800,1,2,1,2,5\n1704067200,1,2,1,2,5\n", "comes after the bar of"),
        ("high.csv", HEADER + "1704067200,1,2,1,3,5\n", "high 2.0 < close 3.0"),
    ],
)
def test_a_bad_file_is_named_with_the_place_and_the_mend(name: str, content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValidationError, match=words) as caught:
        read_candles(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    for write in (freqtrade_feather, vectorbt_parquet, gzipped_csv):
        path = write(candles(), tmp_path)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ValidationError, match="cannot be read"):
            read_candles(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(ValidationError, match=": no such file"):
            read_candles(path)


def test_a_bad_cell_far_into_a_large_file_is_placed(tmp_path: Path) -> None:
    rows = [f"{1704067200 + 60 * row},1,2,1,2,{row}" for row in range(60_000)]
    rows[54_321] = rows[54_321].replace("1,2,1,2", "1,2,1,?")
    (tmp_path / "large.csv").write_text(HEADER + "\n".join(rows))
    with pytest.raises(ValidationError, match=r"row 54322, column close: '\?' is not a number"):
        read_candles(tmp_path / "large.csv")


def test_the_timeframe_checks_the_grid_and_drop_invalid_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text(HEADER + GOOD + "1704074401,1,2,1,2,5\n")
    assert len(read_candles(path)) == 3
    with pytest.raises(ValidationError, match=r"BTC bar 2024-01-01 02:00:01\+00:00: is off the grid"):
        read_candles(path, timeframe="1h", symbol="BTC")
    assert len(read_candles(path, timeframe="1h", drop_invalid=True)) == 2


def test_the_shared_hourly_candles_read_as_they_are() -> None:
    path = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "btcusdt_1h.parquet"
    if not path.exists():
        pytest.skip("the shared candles are not on this machine")
    assert len(read_candles(path, timeframe="1h")) == 67_311


@given(
    write=st.sampled_from(WRITERS),
    prices=st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=12),
    volume=st.floats(0.0, 1e15),
    hour=st.integers(4 * 8760, 230 * 8760),
)
def test_whatever_candles_are_written_are_read_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory,
    write: Writer,
    prices: list[float],
    volume: float,
    hour: int,
) -> None:
    index = pd.date_range(
        pd.Timestamp(hour * 3600, unit="s", tz="UTC"), periods=len(prices), freq="1h", unit="ns", name="time"
    )
    close = np.array(prices)
    table = pd.DataFrame(
        {"open": close / 3, "high": close * 1.7, "low": close / 7, "close": close, "volume": volume}, index=index
    )
    read = read_candles(write(table, tmp_path_factory.mktemp("file")), timeframe="1h")
    pd.testing.assert_frame_equal(read[COLUMNS], table, check_exact=True, check_freq=False)


def test_a_time_too_coarse_to_hold_a_second_is_refused(tmp_path: Path) -> None:
    # 1704070800 in float32 is 1704070784: every bar would be some seconds off, and nothing else would show it.
    stamps = (candles().index.asi8 // 10**9).astype("float32")
    _column(candles(), "timestamp", stamps).to_parquet(tmp_path / "coarse.parquet")
    with pytest.raises(ValidationError, match="column timestamp: float32 is too coarse for a time; write it as int64"):
        read_candles(tmp_path / "coarse.parquet")


def test_unsigned_and_short_epochs_are_read(tmp_path: Path) -> None:
    for kind in ("uint64", "int32", "uint32"):
        path = tmp_path / f"{kind}.parquet"
        _column(candles(), "timestamp", (candles().index.asi8 // 10**9).astype(kind)).to_parquet(path)
        pd.testing.assert_frame_equal(read_candles(path), candles(), check_freq=False)


def test_truth_is_no_price(tmp_path: Path) -> None:
    candles().assign(volume=True).to_parquet(tmp_path / "truth.parquet")
    with pytest.raises(ValidationError, match="row 1, column volume: True is not a number"):
        read_candles(tmp_path / "truth.parquet")


def test_names_in_another_code_are_said(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"timestamp,open,high,low,close,volume,gr\xf6\xdfe\n1704067200,1,2,1,2,5,6\n")
    with pytest.raises(ValidationError, match=r"latin\.csv: cannot be read, .*'utf-8' codec"):
        read_candles(tmp_path / "latin.csv")
