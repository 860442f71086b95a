"""Daily values beside the bars: no bar sees a day before it is over, and an old value is not taken for a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from data import Market, ValidationError
from data.daily import read_daily, with_daily
from data.timeframe import parse_timeframe

NAN = np.nan
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "sentiment_daily.parquet"


def market_of(bars: int, timeframe: str = "6h", symbols: int = 2, start: str = "2024-01-01") -> Market:
    length = parse_timeframe(timeframe)
    frames = {}
    for number in range(symbols):
        index = pd.date_range(start, periods=bars, freq=length, tz="UTC")
        close = pd.Series(100.0 + number, index=index)
        frames[f"S{number}"] = pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1.0})
    return Market.from_frames(frames, timeframe=timeframe)


def daily(values: list[float], start: str = "2024-01-01", name: str = "mood") -> pd.DataFrame:
    index = pd.date_range(start, periods=len(values), freq="D", tz="UTC")
    return pd.DataFrame({name: values}, index=index, dtype=np.float64)


def column(market: Market, table: pd.DataFrame, **options: Any) -> list[float]:
    return list(with_daily(market, table, **options)["mood"]["S0"])


def test_a_bar_sees_the_newest_day_that_is_over_at_its_close() -> None:
    # Bars of 6 hours: the fourth, from 18:00, closes as the first of January ends.
    seen = column(market_of(9), daily([1.0, 2.0, 3.0]))
    assert seen == pytest.approx([NAN, NAN, NAN, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0], nan_ok=True)


def test_lag_counts_from_the_start_of_the_day() -> None:
    table = daily([1.0, 2.0, 3.0])
    assert column(market_of(6), table, lag="0D") == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    assert column(market_of(6), table, lag="0d", stale_after="3d") == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    assert column(market_of(6), table, lag="30h") == pytest.approx([NAN] * 4 + [1.0] * 2, nan_ok=True)
    assert column(market_of(6), table, lag=pd.Timedelta("24h1min")) == pytest.approx([NAN] * 4 + [1.0] * 2, nan_ok=True)


def test_a_day_that_is_not_there_leaves_the_one_before_in_use_until_it_is_stale() -> None:
    table = daily([1.0, 2.0, 3.0]).iloc[[0, 2]]
    # Known at midnight: the first of January from the second on, the third from the fourth on.
    closes = column(market_of(20), table, stale_after="1D")
    assert closes == pytest.approx([NAN] * 3 + [1.0] * 5 + [NAN] * 3 + [3.0] * 5 + [NAN] * 4, nan_ok=True)
    assert column(market_of(20), table) == pytest.approx([NAN] * 3 + [1.0] * 8 + [3.0] * 9, nan_ok=True)
    assert np.isnan(column(market_of(32), table)[11 + 13 :]).all()


def test_a_day_without_a_value_has_none() -> None:
    assert column(market_of(15), daily([1.0, NAN, 3.0])) == pytest.approx(
        [NAN] * 3 + [1.0] * 4 + [NAN] * 4 + [3.0] * 4, nan_ok=True
    )


def test_every_symbol_and_column_becomes_part_of_a_field() -> None:
    table = daily([1.0, 2.0]).assign(other=[5, 6])
    market = with_daily(market_of(8, symbols=3), table)
    assert market.fields[-2:] == ("mood", "other")
    for name in ("mood", "other"):
        assert list(market[name].columns) == ["S0", "S1", "S2"]
        assert market[name].eq(market[name]["S0"], axis=0).to_numpy()[4:].all()
    assert market["other"].dtypes.eq("float64").all()
    assert market["other"]["S2"].iloc[-1] == 6.0


def test_bars_of_a_week_see_the_last_day_of_it() -> None:
    # From Monday on: the week's last day is over as its bar closes.
    market = market_of(2, timeframe="1w", start="2024-01-01")
    assert column(market, daily([float(day) for day in range(1, 15)])) == [7.0, 14.0]


@given(
    timeframe=st.sampled_from(["1h", "6h", "8h", "1d"]),
    days=st.dictionaries(st.integers(0, 12), st.one_of(st.floats(-9, 9), st.just(NAN)), min_size=1),
    lag=st.integers(0, 60),
    stale=st.integers(1, 100),
    bars=st.integers(1, 60),
)
@settings(max_examples=60)
def test_each_bar_holds_what_a_search_through_all_days_finds(
    timeframe: str, days: dict[int, float], lag: int, stale: int, bars: int
) -> None:
    market = market_of(bars, timeframe, symbols=1, start="2024-01-03")
    start = pd.Timestamp("2024-01-01", tz="UTC")
    table = pd.DataFrame(
        {"mood": list(days.values())}, index=pd.DatetimeIndex([start + pd.Timedelta(days=day) for day in days])
    )
    expected = []
    for opening in market.index:
        close = opening + parse_timeframe(timeframe)
        known = {start + pd.Timedelta(days=day, hours=lag): value for day, value in days.items()}
        usable = {moment: value for moment, value in known.items() if moment <= close}
        fresh = usable and close - max(usable) <= pd.Timedelta(hours=stale)
        expected.append(usable[max(usable)] if fresh else NAN)
    assert column(market, table, lag=f"{lag}h", stale_after=f"{stale}h") == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (daily([1.0]).tz_localize(None), {}, r"no time zone; write table.tz_localize\('UTC'\)"),
        (daily([1.0]).shift(freq="9h"), {}, r"2024-01-01 09:00:00\+00:00 is not midnight in UTC; index the rows by"),
        (daily([1.0]).tz_convert("Asia/Tokyo").shift(freq="-9h"), {}, "15:00:00.00:00 is not midnight in UTC"),
        (daily([1.0, 2.0]).iloc[[0, 1, 1]], {}, "day 2024-01-02 is there twice; keep one"),
        (daily([1.0, np.inf]), {}, "column mood, day 2024-01-02: the value is infinite"),
        (daily([1.0]).astype(str).replace("1.0", "high"), {}, "row 1, column mood: 'high' is not a number; leave"),
        (daily([1.0]).astype(bool), {}, "column mood: True is not a number"),
        (
            daily([1.0], name="close"),
            {},
            "has a field 'close' already; rename the column, as in .*daily_close",
        ),
        (daily([1.0]).iloc[:0], {}, "the table has 0 days and 1 columns"),
        (daily([1.0])[[]], {}, "the table has 1 days and 0 columns"),
        (daily([1.0]).reset_index(drop=True), {}, "is a DataFrame by RangeIndex; give a DataFrame by day"),
        (daily([1.0])["mood"], {}, "is a Series by DatetimeIndex"),
        (daily([1.0]).set_axis([5], axis=1), {}, "column 5 names no field"),
        (daily([1.0])[["mood", "mood"]], {}, "column 'mood' names no field of its own"),
        (daily([1.0]).set_axis(pd.DatetimeIndex([pd.NaT], tz="UTC")), {}, "row 1 has no day"),
        (daily([1.0]), {"lag": "-1h"}, "lag '-1h' is below 0: no value is known before its day begins"),
        (daily([1.0]), {"lag": "soon"}, "lag 'soon' is no length of time"),
        (daily([1.0]), {"lag": 1}, "lag 1 is no length of time"),
        (daily([1.0]), {"lag": "NaT"}, "lag 'NaT' is no length of time"),
        (daily([1.0]), {"stale_after": "0D"}, "stale_after '0D' must be above 0"),
    ],
)
def test_what_is_wrong_is_named(table: pd.DataFrame, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=f"^with_daily: .*{message}"):
        with_daily(market_of(4), table, **options)


# Files


def test_a_table_reads_back_from_each_kind_of_file_in_order_of_time(tmp_path: Path) -> None:
    table = daily([30.0, NAN, 40.5]).assign(other=[1, 2, 3]).rename_axis("date")
    shuffled = table.iloc[[2, 0, 1]]
    shuffled.to_parquet(tmp_path / "a.parquet")
    shuffled.reset_index().to_feather(tmp_path / "a.feather")
    shuffled.to_csv(tmp_path / "a.csv")
    shuffled.rename_axis(None).to_csv(tmp_path / "unnamed.csv")
    shuffled.tz_localize(None).to_csv(tmp_path / "plain.csv")
    for name in ("a.parquet", "a.feather", "a.csv", "unnamed.csv", "plain.csv"):
        read = read_daily(tmp_path / name, tz="UTC" if name == "plain.csv" else None)
        expected = table.astype("float64").rename_axis("day")
        pd.testing.assert_frame_equal(read, expected, check_freq=False, check_index_type=False)
        assert str(read.index.dtype) == "datetime64[ns, UTC]"


def test_columns_are_chosen_so_that_text_beside_them_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("Date,value,class\n2024-01-02,40,Fear\n2024-01-01,20,Extreme Fear\n")
    read = read_daily(tmp_path / "index.csv", columns=["value"], tz="UTC")
    assert read["value"].tolist() == [20.0, 40.0]
    with pytest.raises(ValidationError, match=r"index\.csv: row 1, column class: 'Fear' is not a number"):
        read_daily(tmp_path / "index.csv", tz="UTC")


def test_a_file_of_epochs_is_read(tmp_path: Path) -> None:
    (tmp_path / "epochs.csv").write_text("timestamp,value\n1704067200,40\n1704153600,41\n")
    assert list(read_daily(tmp_path / "epochs.csv").index.strftime("%Y-%m-%d")) == ["2024-01-01", "2024-01-02"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("date,value\n2024-01-01,1\n", {}, 'has no time zone; pass tz="UTC"'),
        ("date,value\n2024-01-01,1\n", {"tz": "Asia/Tokyo"}, r"2023-12-31 15:00:00\+00:00 is not midnight in UTC"),
        ("date,value\n2024-01-01,1\n2024-01-01,2\n", {"tz": "UTC"}, "day 2024-01-01 is there twice"),
        ("date,value\n2024-01-01,1\n", {"columns": ["mood"]}, r"no column for mood \(found: date, value\); rename"),
        ("value\n1\n", {}, r"no column for a time \(found: value\)"),
        ("date\n2024-01-01\n", {"tz": "UTC"}, r"no column for a value \(found: date\)"),
        ("date,value\n", {}, "holds no day"),
        ("date,value\nmonday,1\n", {"tz": "UTC"}, "row 1, column date: 'monday' is not a time"),
        ("date,value\n2024-01-01,inf\n", {"tz": "UTC"}, "column value, day 2024-01-01: the value is infinite"),
        ("date,value,value\n2024-01-01,1,2\n", {"tz": "UTC"}, "column 'value' is there twice"),
        ("date,value\n2024-01-01,1\n", {"columns": "value"}, r"columns is the text 'value'; pass a list, \['value'\]"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    (tmp_path / "days.csv").write_text(text)
    with pytest.raises(ValidationError, match=rf"days\.csv: .*{message}"):
        read_daily(tmp_path / "days.csv", **options)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"days\.csv: no such file"):
        read_daily(tmp_path / "days.csv")


def test_the_shared_sentiment_joins_lagged_by_a_day() -> None:
    if not SHARED.exists():
        pytest.skip("../shared/data/sentiment_daily.parquet is not there: real data that may not be committed")
    table = read_daily(SHARED)
    assert (len(table), list(table.columns)) == (2_622, ["fear_greed", "btc_dominance"])
    market = with_daily(market_of(60, "1h", symbols=1, start="2018-02-01"), table)
    # 30 on 1 February, 15 on the 2nd: known from the close of the bar of 23:00 on.
    expected = [NAN] * 23 + [30.0] * 24 + [15.0] * 13
    assert list(market["fear_greed"]["S0"]) == pytest.approx(expected, nan_ok=True)
