"""The rules of candles: each broken one is found at its bar, and what is clean passes unchanged."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.candles import CANDLE_COLUMNS, Gap, clean_candles, validate_candles
from data.errors import ValidationError


def candles(bars: int = 6, start: str = "2018-03-01T00:00Z") -> pd.DataFrame:
    index = pd.date_range(start, periods=bars, freq="30min", unit="ns")
    close = 850.0 + np.arange(bars)
    return pd.DataFrame(
        {"open": close - 1, "high": close + 2, "low": close - 3, "close": close, "volume": 10.0}, index=index
    )


def with_cell(column: str, value: Any, row: int = 3) -> pd.DataFrame:
    table = candles()
    table.loc[table.index[row], column] = value
    return table


BAR_3 = pd.Timestamp("2018-03-01T01:30Z")


def test_clean_candles_break_no_rule_and_pass_unchanged() -> None:
    table = candles()
    report = validate_candles(table, "30m", "ETH/USD")
    assert report.ok and report.gaps == () and report.bars == 6
    pd.testing.assert_frame_equal(
        clean_candles(table, timeframe="30m"), table, check_names=False, check_freq=False, check_index_type=False
    )


def test_the_error_names_symbol_bar_rule_and_mend() -> None:
    table = candles()
    table.loc[BAR_3, ["high", "close"]] = [852.5, 853.0]
    with pytest.raises(ValidationError) as caught:
        clean_candles(table, timeframe="30m", symbol="ETH/USD")
    assert str(caught.value) == (
        "ETH/USD bar 2018-03-01 01:30+00:00: high 852.5 < close 853.0 (rule: high >= max(open, close)); "
        "fix the file or pass drop_invalid=True"
    )


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("close", np.nan, "finite numbers"),
        ("volume", np.nan, "finite numbers"),
        ("high", np.inf, "finite numbers"),
        ("low", -np.inf, "finite numbers"),
        ("low", 0.0, "prices > 0"),
        ("low", -1.0, "prices > 0"),
        ("volume", -1e-9, "volume >= 0"),
        ("high", 840.0, "high >= low"),
        ("high", 852.5, "high >= max(open, close)"),
        ("low", 852.5, "low <= min(open, close)"),
    ],
)
def test_a_bar_that_breaks_a_rule_is_found_raised_and_dropped(column: str, value: float, rule: str) -> None:
    table = with_cell(column, value)
    report = validate_candles(table, "30m", "ETH/USD")
    assert (BAR_3, rule) in {(finding.bar, finding.rule) for finding in report.findings}
    assert {finding.bar for finding in report.findings} == {BAR_3}
    with pytest.raises(ValidationError, match=r"ETH/USD bar 2018-03-01 01:30\+00:00: .*drop_invalid=True"):
        clean_candles(table, timeframe="30m", symbol="ETH/USD")
    kept = clean_candles(table, timeframe="30m", drop_invalid=True)
    pd.testing.assert_frame_equal(kept, candles().drop(BAR_3), check_names=False, check_freq=False)


def test_a_row_of_nan_is_a_fault_not_a_gap() -> None:
    table = candles()
    table.loc[BAR_3] = np.nan
    report = validate_candles(table, "30m")
    assert [finding.rule for finding in report.findings] == ["finite numbers"] * 5
    assert report.gaps == ()


def test_a_bar_off_the_grid_is_found() -> None:
    table = candles().rename(index={BAR_3: BAR_3 + pd.Timedelta(minutes=1)})
    (finding,) = validate_candles(table, "30m", "ETH/USD").findings
    assert str(finding) == "ETH/USD bar 2018-03-01 01:31+00:00: is off the grid (rule: on the grid of 30m)"


def test_weeks_open_on_monday() -> None:
    monday = candles(3).set_axis(pd.date_range("2018-03-05", periods=3, freq="7D", tz="UTC"))
    assert validate_candles(monday, "1w").ok
    assert not validate_candles(monday.set_axis(monday.index + pd.Timedelta(days=1)), "1w").ok


def test_a_second_identical_bar_is_found_and_one_is_kept() -> None:
    table = candles()
    table = pd.concat([table.iloc[:4], table.iloc[3:]])
    (finding,) = validate_candles(table, "30m").findings
    assert (finding.bar, finding.rule) == (BAR_3, "one bar per time")
    assert "identical" in finding.message
    pd.testing.assert_frame_equal(
        clean_candles(table, timeframe="30m", drop_invalid=True), candles(), check_names=False, check_freq=False
    )


def test_of_two_different_bars_of_one_time_none_is_kept() -> None:
    table = pd.concat([candles().iloc[:4], with_cell("volume", 11.0).iloc[3:]])
    (finding,) = validate_candles(table, "30m").findings
    assert "differs" in finding.message
    assert BAR_3 not in clean_candles(table, timeframe="30m", drop_invalid=True).index


def test_bars_in_disorder_are_found_and_sorted_only_on_demand() -> None:
    table = candles().iloc[[0, 2, 1, 3, 4, 5]]
    (finding,) = validate_candles(table, "30m").findings
    assert finding.rule == "times increase"
    with pytest.raises(ValidationError, match="comes after the bar of 2018-03-01 01:00"):
        clean_candles(table, timeframe="30m")
    assert clean_candles(table, timeframe="30m", drop_invalid=True).index.is_monotonic_increasing


def test_a_bar_without_a_time_is_found_and_dropped() -> None:
    index = candles().index.insert(6, pd.NaT)
    table = pd.concat([candles(), candles().iloc[-1:]]).set_axis(index)
    (finding,) = validate_candles(table, "30m").findings
    assert finding.bar is None and "row 6" in finding.message
    assert len(clean_candles(table, timeframe="30m", drop_invalid=True)) == 6


def _renamed(name: str) -> pd.DataFrame:
    return candles().rename(columns={"low": name})


@pytest.mark.parametrize("drop_invalid", [False, True])
@pytest.mark.parametrize(
    ("table", "words"),
    [
        (candles().tz_localize(None), "no time zone"),
        (candles().tz_convert("Asia/Tokyo"), r"Asia/Tokyo; tz_convert\('UTC'\)"),
        (candles().reset_index(drop=True), "RangeIndex, not times"),
        (_renamed("Low"), r"missing column low \(found: open, high, Low"),
        (_renamed("close"), "column close appears twice"),
        (candles().astype({"volume": str}), "column volume is str, not numbers"),
        (candles() > 0, "column open is bool, not numbers"),
        (candles().iloc[:0], "the table is empty"),
        (pd.DataFrame(), "missing column open, high, low, close, volume"),
        (candles().set_axis(pd.DatetimeIndex([f"{y}-01-01" for y in range(9000, 9006)], tz="UTC")), "1677 to 2262"),
    ],
)
def test_a_fault_of_the_whole_table_is_always_raised(table: pd.DataFrame, words: str, drop_invalid: bool) -> None:
    report = validate_candles(table, "30m", "X")
    assert not report.ok and report.findings[0].bar is None
    with pytest.raises(ValidationError, match=words):
        clean_candles(table, timeframe="30m", symbol="X", drop_invalid=drop_invalid)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(ValidationError, match="X: give its candles as a DataFrame, not Series"):
        clean_candles(candles()["close"], timeframe="30m", symbol="X")  # type: ignore[arg-type]


@pytest.mark.parametrize("zone", [dt.UTC, "UTC", "Etc/UTC", dt.timezone(dt.timedelta(0))])
def test_every_spelling_of_utc_is_utc(zone: Any) -> None:
    cleaned = clean_candles(candles().tz_convert(zone), timeframe="30m")
    assert str(pd.DatetimeIndex(cleaned.index).tz) == "UTC"


def test_all_faults_are_reported_at_once() -> None:
    table = with_cell("low", -1.0).tz_localize(None)
    assert [finding.rule for finding in validate_candles(table, "30m").findings] == ["times in UTC", "prices > 0"]


def test_gaps_are_a_report_and_no_fault() -> None:
    report = validate_candles(candles().drop(candles().index[[2, 3]]), "30m", "ETH/USD")
    assert report.ok and report.missing == 2
    assert report.gaps == (Gap("ETH/USD", pd.Timestamp("2018-03-01T00:30Z"), pd.Timestamp("2018-03-01T02:00Z"), 2),)
    assert str(report) == (
        "ETH/USD 30m: 4 bars, no rule broken, 2 bars missing in 1 gap\n"
        "  ETH/USD: 2 bars missing between 2018-03-01 00:30+00:00 and 2018-03-01 02:00+00:00"
    )


def test_thousands_of_findings_give_a_short_text() -> None:
    table = candles(5000)
    table["volume"] = -1.0
    report = validate_candles(table, "30m", "ETH/USD")
    assert len(report.findings) == 5000
    with pytest.raises(ValidationError, match=r"\.\.\. and 4,995 more; fix the file") as caught:
        report.raise_for_findings()
    assert len(str(caught.value)) < 800 and len(str(report)) < 800
    frame = report.to_frame()
    assert list(frame.columns) == ["symbol", "bar", "rule", "message"] and len(frame) == 5000
    assert str(frame["bar"].dtype) == "datetime64[ns, UTC]"


def test_further_columns_and_integers_are_kept_as_field_and_float() -> None:
    table = candles().assign(q50=0.01, volume=pd.array([1, 2, 3, 4, 5, 6], dtype="Int64"))
    cleaned = clean_candles(table, timeframe="30m")
    assert list(cleaned.columns) == [*CANDLE_COLUMNS, "q50"]
    assert cleaned["volume"].dtype == np.float64


def test_nullable_numbers_with_a_hole_are_found_and_dropped() -> None:
    table = candles().assign(volume=pd.array([1, 2, 3, None, 5, 6], dtype="Int64"))
    assert [finding.bar for finding in validate_candles(table, "30m").findings] == [BAR_3]
    assert len(clean_candles(table, timeframe="30m", drop_invalid=True)) == 5


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(ValidationError, match="none of its 6 bars keeps the rules"):
        clean_candles(candles().assign(volume=-1.0), timeframe="30m", drop_invalid=True)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(CANDLE_COLUMNS), st.integers(0, 19), st.sampled_from([np.nan, np.inf, -5.0, 0.0, 1e9])
        ),
        max_size=6,
    ),
    st.lists(st.integers(0, 19), min_size=15, max_size=25),
)
def test_what_is_left_after_dropping_keeps_every_rule(damages: list[tuple[str, int, float]], order: list[int]) -> None:
    table = candles(20)
    for column, row, value in damages:
        table.iloc[row, table.columns.get_loc(column)] = value
    table = table.iloc[order]
    try:
        cleaned = clean_candles(table, timeframe="30m", drop_invalid=True)
    except ValidationError as error:
        assert "keeps the rules" in str(error)
        return
    assert validate_candles(cleaned, "30m").ok
    assert cleaned.index.isin(table.index).all()
    if validate_candles(table, "30m").ok:
        assert len(cleaned) == len(table)
