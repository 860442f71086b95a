"""The panel: aligned, immutable, with missing bars missing."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import Market, ValidationError
from data.candles import CANDLE_COLUMNS
from data.timeframe import bars_per_year, ceil_time, floor_time, parse_timeframe, utc_time


def frame(bars: int = 8, start: str = "2024-01-01T00:00Z", price: float = 100.0, **extra: Any) -> pd.DataFrame:
    index = pd.date_range(start, periods=bars, freq="1h")
    close = price + np.arange(bars, dtype=float)
    table = {"open": close - 1, "high": close + 2, "low": close - 3, "close": close, "volume": 10.0, **extra}
    return pd.DataFrame(table, index=index)


def two() -> Market:
    """A has bars 0 to 7 but not 2 and 5; B has bars 1 to 4 but not 2: at 2 there is none."""
    a, b = frame(), frame(start="2024-01-01T01:00Z", bars=4, price=50.0)
    return Market.from_frames({"A/USD": a.drop(a.index[[2, 5]]), "B/USD": b.drop(b.index[1])}, "1h")


def hours(market: Market) -> list[int]:
    return [moment.hour for moment in market.index]


def test_the_index_holds_the_times_at_which_some_symbol_has_a_bar() -> None:
    market = two()
    assert hours(market) == [0, 1, 3, 4, 6, 7]
    assert market.symbols == ("A/USD", "B/USD") and market.timeframe == "1h" and len(market) == 6
    assert market.close["B/USD"].isna().tolist() == [True, False, False, False, True, True]
    assert str(market.index.dtype) == "datetime64[ns, UTC]" and market.index.name == "time"


def test_on_grid_adds_the_times_without_any_bar() -> None:
    whole = two().on_grid()
    assert hours(whole) == list(range(8))
    assert whole.close.loc["2024-01-01T02:00Z"].isna().all() and whole.close.loc["2024-01-01T05:00Z"].isna().all()


def test_fields_are_tables_time_by_symbol_and_further_columns_become_fields() -> None:
    market = Market.from_frames({"A": frame(q50=0.5), "B": frame()}, "1h")
    assert market.fields == ("open", "high", "low", "close", "volume", "q50") and "q50" in market
    assert market["q50"]["A"].eq(0.5).all() and market["q50"]["B"].isna().all()
    for field in (market.open, market.high, market.low, market.close, market.volume):
        assert field.shape == (8, 2) and field.columns.name == "symbol"
    with pytest.raises(KeyError, match="no field 'q10'; it has open, high"):
        market["q10"]


def test_a_market_cannot_be_changed() -> None:
    market = two()
    close = market.close
    close.iloc[0, 0] = -1.0
    assert market.close.iloc[0, 0] == 100.0
    source = frame()
    from_source = Market.from_frames({"A": source}, "1h")
    source.iloc[0, 3] = -1.0
    assert from_source.close.iloc[0, 0] == 100.0
    with pytest.raises(AttributeError, match="cannot be changed"):
        market.timeframe = "1d"  # type: ignore[misc]


def test_a_market_travels_to_another_process() -> None:
    market = two()
    again = pickle.loads(pickle.dumps(market))
    assert again.fingerprint() == market.fingerprint() and again.symbols == market.symbols


@pytest.mark.parametrize(
    ("frames", "timeframe", "words"),
    [
        ({}, "1h", "no symbol given"),
        (frame(), "1h", "no symbol given; pass {'BTC/USDT': candles"),
        ({"A": frame()}, "1x", "timeframe '1x'"),
        ({"A": frame().iloc[:0]}, "1h", "A: the table is empty"),
        ({"A": frame().tz_localize(None)}, "1h", "A: the index has no time zone"),
        ({"A": frame().drop(columns="close")}, "1h", "A: missing column close"),
        ({1: frame(), "1": frame()}, "1h", r"two symbols of \[1, '1'\] are written alike; rename one"),
        ({"A": frame(q=1.0).rename(columns={"q": 9}).assign(**{"9": 2.0})}, "1h", "A: column 9 appears twice"),
        ({"A": frame()}, "4h", r"A bar 2024-01-01 01:00\+00:00: is off the grid"),
    ],
)
def test_bad_frames_are_refused_with_symbol_and_rule(frames: Any, timeframe: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Market.from_frames(frames, timeframe)


def test_drop_invalid_leaves_the_bars_out() -> None:
    bad = frame()
    bad.iloc[3, 1] = 1.0
    assert len(Market.from_frames({"A": bad}, "1h", drop_invalid=True)) == 7


def test_loc_takes_both_ends_in_any_spelling_of_time() -> None:
    market = two()
    assert hours(market.loc["2024-01-01 01:00":"2024-01-01 04:00"]) == [1, 3, 4]  # type: ignore[misc]
    assert hours(market.loc[pd.Timestamp("2024-01-01T03:00") :]) == [3, 4, 6, 7]  # type: ignore[misc]
    assert hours(market.loc[: pd.Timestamp("2024-01-01T02:00+01:00")]) == [0, 1]  # type: ignore[misc]
    assert len(market.loc["2024-01":"2024-01"]) == 6  # type: ignore[misc]
    assert len(market.loc["2025":]) == 0  # type: ignore[misc]
    for bad in ("2024-01-01", slice(None, None, 2), slice("not a time", None)):
        with pytest.raises(ValidationError, match=r"market\.loc"):
            market.loc[bad]  # type: ignore[index]


def test_iloc_and_select_give_shorter_and_narrower_markets() -> None:
    market = two()
    assert hours(market.iloc(1, 3)) == [1, 3]
    assert hours(market.select(["B/USD"])) == [1, 3, 4]
    assert market.select(("B/USD", "A/USD")).symbols == ("B/USD", "A/USD")
    for bad, words in (
        (["C"], r"unknown symbol \['C'\]; the market holds"),
        ([], "unknown symbol"),
        ("A/USD", "a list"),
    ):
        with pytest.raises(ValidationError, match=words):
            market.select(bad)


def test_with_fields_takes_only_what_lies_on_the_same_bars() -> None:
    market = two()
    bare = pd.DataFrame(1.0, index=market.index.as_unit("us"), columns=list(market.symbols))
    assert market.with_fields(bare=bare)["bare"].columns.equals(market.close.columns)
    assert market.with_fields(bare=bare)["bare"].columns.name == "symbol"
    assert market.with_fields(bare=bare)["bare"].index.dtype == market.index.dtype
    doubled = market.with_fields(double=market.close * 2)
    assert doubled["double"].iloc[0, 0] == 200.0 and "double" not in market
    with pytest.raises(ValidationError, match="its 5 rows are not the market's 6 bars; reindex"):
        market.with_fields(x=market.close.iloc[1:])
    with pytest.raises(ValidationError, match=r"its columns are \['A/USD'\]"):
        market.with_fields(x=market.close[["A/USD"]])
    with pytest.raises(ValidationError, match="expected a DataFrame, time by symbol, got Series"):
        market.with_fields(x=market.close["A/USD"])  # type: ignore[arg-type]


def test_resampled_bars_hold_the_finer_ones() -> None:
    coarse = Market.from_frames({"A": frame(11, q50=np.arange(11.0))}, "1h").resample("4h")
    assert hours(coarse) == [0, 4]  # the bar of 08:00 is not complete
    assert coarse.timeframe == "4h"
    assert coarse.open["A"].tolist() == [99.0, 103.0] and coarse.close["A"].tolist() == [103.0, 107.0]
    assert coarse.high["A"].tolist() == [105.0, 109.0] and coarse.low["A"].tolist() == [97.0, 101.0]
    assert coarse.volume["A"].tolist() == [40.0, 40.0] and coarse["q50"]["A"].tolist() == [3.0, 7.0]


def test_a_field_that_says_nothing_on_the_last_fine_bar_says_nothing_on_the_coarse_one() -> None:
    said = [0.5, np.nan, np.nan, np.nan, np.nan, 0.7, np.nan, 0.8]
    whole, part = frame(8, q50=said), frame(8, q50=said)
    market = Market.from_frames({"A": whole, "B": part.drop(part.index[6:])}, "1h").resample("4h")
    assert market["q50"]["A"].tolist() == pytest.approx([np.nan, 0.8], nan_ok=True)
    # B's last bar of the second four hours is the one of 05:00.
    assert market["q50"]["B"].tolist() == pytest.approx([np.nan, 0.7], nan_ok=True)


@given(
    st.lists(st.sampled_from([None, "no bar", 0.25, 0.5]), min_size=8, max_size=24).filter(
        lambda said: set(said) != {"no bar"}
    )
)
@settings(deadline=None, max_examples=50)
def test_a_coarse_bars_field_is_that_of_the_symbols_last_bar_in_it(said: list[float | str | None]) -> None:
    whole = frame(len(said), q50=[value if isinstance(value, float) else np.nan for value in said])
    part = whole.drop(whole.index[[row for row, value in enumerate(said) if value == "no bar"]])
    coarse = Market.from_frames({"A": part, "B": frame(len(said))}, "1h").resample("4h")
    assert len(coarse) == len(said) // 4
    for opening, shown in coarse["q50"]["A"].items():
        inside = part["q50"].loc[opening : opening + pd.Timedelta("3h")]  # type: ignore[operator,misc]
        assert shown == pytest.approx(inside.iloc[-1] if len(inside) else np.nan, nan_ok=True)


def test_a_coarse_bar_without_a_fine_one_is_missing() -> None:
    a, b = frame(12), frame(12)
    market = Market.from_frames({"A": a.drop(a.index[4:8]), "B": b.drop(b.index[:8])}, "1h").resample("4h")
    assert hours(market) == [0, 8]
    assert market.volume["B"].isna().tolist() == [True, False]


def test_resampled_weeks_open_on_monday() -> None:
    days = frame(15).set_axis(pd.date_range("2024-01-01", periods=15, freq="D", tz="UTC"))  # a Monday
    assert [f"{moment:%a %d}" for moment in Market.from_frames({"A": days}, "1d").resample("1w").index] == [
        "Mon 01",
        "Mon 08",
    ]


@pytest.mark.parametrize("timeframe", ["30m", "90m"])
def test_only_whole_multiples_can_be_resampled(timeframe: str) -> None:
    with pytest.raises(ValidationError, match="not a whole multiple of 1h"):
        two().resample(timeframe)


@pytest.mark.parametrize(("old", "new", "opens"), [("1w", "14d", "2024-01-01"), ("7d", "1w", "2024-01-04")])
def test_bars_that_reach_into_the_next_coarse_one_are_not_resampled(old: str, new: str, opens: str) -> None:
    # The week from Monday 2024-01-08 ends within the 14 days from Thursday 2024-01-18: known before it closes.
    bars = frame(8).set_axis(pd.date_range(opens, periods=8, freq="7D", tz="UTC"))
    market = Market.from_frames({"A": bars}, old)
    with pytest.raises(
        ValidationError, match=f"bars of {new} do not open where bars of {old} do .*a whole number of weeks"
    ):
        market.resample(new)


@given(
    st.sampled_from(
        [("1h", "4h"), ("1h", "7h"), ("4h", "1d"), ("1d", "1w"), ("12h", "1w"), ("1w", "2w"), ("2d", "2w")]
    ),
    st.integers(0, 40),
    st.sets(st.integers(0, 59), max_size=30),
)
def test_a_coarse_bar_is_made_of_the_fine_ones_that_open_and_close_within_it(
    timeframes: tuple[str, str], shift: int, missing: set[int]
) -> None:
    fine, coarse = map(parse_timeframe, timeframes)
    begin = ceil_time(pd.Timestamp("2024-01-01", tz="UTC"), timeframes[0]) + shift * fine
    bars = frame(60).set_axis(pd.date_range(begin, periods=60, freq=fine))
    bars = bars.drop(bars.index[sorted(missing)])
    market = Market.from_frames({"A": bars}, timeframes[0]).resample(timeframes[1])
    for opening in market.index:
        inside = bars.loc[(bars.index >= opening) & (bars.index + fine <= opening + coarse)]
        assert len(inside) == ((bars.index >= opening) & (bars.index < opening + coarse)).sum() > 0
        made = {name: market[name].loc[opening, "A"] for name in CANDLE_COLUMNS}
        assert made == {
            "open": inside["open"].iloc[0],
            "high": inside["high"].max(),
            "low": inside["low"].min(),
            "close": inside["close"].iloc[-1],
            "volume": inside["volume"].sum(),
        }
    known = {floor_time(opening, timeframes[1]) for opening in bars.index}
    complete = {opening for opening in known if opening + coarse <= bars.index[-1] + fine}
    assert set(market.index) == complete


def test_an_empty_slice_can_still_be_resampled_and_gridded() -> None:
    empty = two().loc["2025":]  # type: ignore[misc]
    assert len(empty.resample("4h")) == 0 and len(empty.on_grid()) == 0 and "no bars" in repr(empty)


def test_the_fingerprint_is_the_identity_of_the_data() -> None:
    base = two()
    assert base.fingerprint() == two().fingerprint()
    others = [
        base.iloc(0, 5),
        base.select(["A/USD"]),
        base.with_fields(close=base.close * (1 + 1e-15)),
        base.with_fields(x=base.close),
    ]
    assert len({base.fingerprint(), *(other.fingerprint() for other in others)}) == 5


def test_timeframes() -> None:
    assert parse_timeframe("90s") == pd.Timedelta(seconds=90) and parse_timeframe("1w") == pd.Timedelta(days=7)
    assert bars_per_year("1h") == 8760.0 and bars_per_year("30m") == 17520.0
    for bad in ("", "h", "0h", "1M", "1.5h", "-1h", "1 h", "60", "9999999w", None, 1):
        with pytest.raises(ValidationError, match="give a count and one of"):
            parse_timeframe(bad)  # type: ignore[arg-type]


def test_floor_and_ceil_are_the_openings_around_a_moment() -> None:
    moment = pd.Timestamp("2024-01-10T10:20Z")  # a Wednesday
    assert floor_time(moment, "1h") == pd.Timestamp("2024-01-10T10:00Z")
    assert ceil_time(moment, "1h") == pd.Timestamp("2024-01-10T11:00Z")
    assert floor_time(moment, "1w") == pd.Timestamp("2024-01-08T00:00Z")
    assert ceil_time(moment, "1w") == pd.Timestamp("2024-01-15T00:00Z")
    assert floor_time(ceil_time(moment, "1d"), "1d") == ceil_time(ceil_time(moment, "1d"), "1d")


def test_times_without_a_zone_are_utc() -> None:
    assert utc_time("2020-01-01") == pd.Timestamp("2020-01-01", tz="UTC")
    assert utc_time("2020-01-01T01:00+01:00") == pd.Timestamp("2020-01-01", tz="UTC")
    for bad in ("yesterday-ish", "", None, pd.NaT, "9999-01-01", "1066-10-14", 1704067200):
        with pytest.raises(ValidationError, match=r"since .* is not a time"):
            utc_time(bad, "since")  # type: ignore[arg-type]
