"""The store: whatever is appended in whatever order is read back as the union, whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import Store, ValidationError, load_candles, read_candles
from data.coverage import join_spans, uncovered
from data.store import folder_to_symbol, symbol_to_folder

KEY = ("binance", "BTC/USDT", "1h")


def candles(start: int = 0, stop: int = 10, scale: float = 1.0) -> pd.DataFrame:
    hours = np.arange(start, stop)
    index = pd.DatetimeIndex(pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(hours, unit="h"), name="time")
    close = (100.0 + hours / 7) * scale
    table = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close * 1.001, "volume": hours + 0.5}
    return pd.DataFrame(table, index=index.as_unit("ns"))


def parts(store: Store) -> list[Path]:
    return sorted(store.folder(*KEY).glob("*.parquet"))


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, check_exact=True, check_freq=False)


def test_what_is_appended_is_read_back_exactly(store: Store) -> None:
    assert store.append(*KEY, candles()) == 10
    same(store.read(*KEY), candles())
    assert parts(store)[0].relative_to(store.root).as_posix() == (
        "binance/BTC-USDT/1h/000001_20240101T000000Z_20240101T090000Z.parquet"
    )


def test_an_append_adds_a_part_and_rewrites_none(store: Store) -> None:
    store.append(*KEY, candles(0, 10))
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in parts(store)}
    assert store.append(*KEY, candles(5, 15)) == 5
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in before} == before
    assert len(parts(store)) == 2
    same(store.read(*KEY), candles(0, 15))


def test_bars_that_are_stored_alike_write_nothing(store: Store) -> None:
    store.append(*KEY, candles())
    assert store.append(*KEY, candles(2, 6)) == 0
    assert len(parts(store)) == 1


def test_a_bar_stored_with_other_values_is_an_error_unless_it_is_to_be_replaced(store: Store) -> None:
    store.append(*KEY, candles())
    words = (
        r"binance BTC/USDT 1h bar 2024-01-01 08:00\+00:00: stored open is .*, given is .* \(2 bars differ\); pass rep"
    )
    with pytest.raises(ValidationError, match=words):
        store.append(*KEY, candles(8, 12, scale=2.0))
    same(store.read(*KEY), candles())
    assert store.append(*KEY, candles(8, 12, scale=2.0), replace=True) == 4
    same(store.read(*KEY), pd.concat([candles(0, 8), candles(8, 12, scale=2.0)]))
    assert store.list()[0].bars == 12


def test_candles_that_break_a_rule_are_not_stored(store: Store) -> None:
    bad = candles()
    bad.iloc[3, 4] = -1.0
    with pytest.raises(ValidationError, match=r"binance BTC/USDT 1h bar 2024-01-01 03:00\+00:00: volume is -1"):
        store.append(*KEY, bad)
    assert store.list() == [] and store.last_bar(*KEY) is None


def test_a_span_is_half_open_and_in_utc(store: Store) -> None:
    store.append(*KEY, candles())
    same(store.read(*KEY, since="2024-01-01 02:00", until="2024-01-01T06:00+01:00"), candles(2, 5))
    with pytest.raises(ValidationError, match=r"no bar since 2025; the store holds 2024-01-01 00:00"):
        store.read(*KEY, since="2025")
    with pytest.raises(ValidationError, match="since 'soon' is not a time"):
        store.read(*KEY, since="soon")


def test_what_is_not_stored_is_said_with_what_is(store: Store) -> None:
    with pytest.raises(
        ValidationError, match=r"is not in the store .*it is empty\); fetch it: ladder data fetch binance"
    ):
        store.read(*KEY)
    store.append(*KEY, candles())
    with pytest.raises(ValidationError, match=r"ETH/USDT 1h is not in the store .*\(it holds binance BTC/USDT 1h\)"):
        store.read("binance", "ETH/USDT", "1h")


@pytest.mark.parametrize(("key", "words"), [
    (("../up", "BTC/USDT", "1h"), "exchange '../up'"),
    (("binance", "", "1h"), "symbol is empty"),
    (("binance", "BTC/USDT", "1 hour"), "timeframe '1 hour'"),
])  # fmt: skip
def test_names_cannot_leave_the_store(store: Store, key: tuple[str, str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        store.append(*key, candles())


@pytest.mark.parametrize(
    ("symbol", "folder"),
    [("BTC/USDT", "BTC-USDT"), ("BTC/USDT:USDT", "BTC-USDT_USDT"), ("BTC/USD:BTC-240628", "BTC-USD_BTC%2D240628")],
)
def test_symbols_have_readable_folders(symbol: str, folder: str) -> None:
    assert symbol_to_folder(symbol) == folder and folder_to_symbol(folder) == symbol


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_any_symbol_has_a_safe_folder_of_its_own(symbol: str) -> None:
    folder = symbol_to_folder(symbol)
    assert folder_to_symbol(folder) == symbol
    assert folder not in (".", "..") and all(letter.isascii() and letter not in "/\\:." for letter in folder)


def test_the_list_names_every_series(store: Store) -> None:
    store.append(*KEY, candles())
    store.append("okx", "BTC/USDT:USDT", "1h", candles(0, 3))
    one, other = store.list()
    assert (one.exchange, one.symbol, one.timeframe, one.bars, one.parts) == (*KEY, 10, 1)
    assert (other.symbol, other.last) == ("BTC/USDT:USDT", pd.Timestamp("2024-01-01T02:00Z"))
    assert store.last_bar(*KEY) == pd.Timestamp("2024-01-01T09:00Z")


def test_the_root_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LADDER_STORE", str(tmp_path / "elsewhere"))
    assert Store().root == tmp_path / "elsewhere"
    monkeypatch.delenv("LADDER_STORE")
    assert Store().root == Path("store")


def test_a_leftover_of_a_killed_writer_is_ignored_and_cleaned(store: Store) -> None:
    store.append(*KEY, candles())
    leftover = store.folder(*KEY) / ".000002_20240101T000000Z_20240101T090000Z.parquet.abc.tmp"
    leftover.write_bytes(b"half a fi")
    same(store.read(*KEY), candles())
    store.append(*KEY, candles(10, 12))
    assert not leftover.exists()


def test_a_failed_write_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(*KEY, candles())

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        store.append(*KEY, candles(10, 12))
    monkeypatch.undo()
    assert [path.name for path in store.folder(*KEY).iterdir()] == [parts(store)[0].name]
    same(store.read(*KEY), candles())


def test_compact_makes_one_part_with_the_same_bars(store: Store) -> None:
    for start in range(0, 12, 2):
        store.append(*KEY, candles(start, start + 2))
    store.append(*KEY, candles(3, 5, scale=2.0), replace=True)
    before = store.read(*KEY)
    assert store.compact(*KEY) == 7
    assert len(parts(store)) == 1
    same(store.read(*KEY), before)
    assert store.append(*KEY, candles(12, 13)) == 1


def test_a_compaction_killed_before_it_cleaned_up_doubles_nothing(store: Store) -> None:
    store.append(*KEY, candles(0, 5))
    store.append(*KEY, candles(3, 8, scale=2.0), replace=True)
    before, old = store.read(*KEY), {path: path.read_bytes() for path in parts(store)}
    store.compact(*KEY)
    for path, content in old.items():
        path.write_bytes(content)
    same(store.read(*KEY), before)
    assert store.list()[0].bars == 8
    store.compact(*KEY)
    same(store.read(*KEY), before)


def test_a_broken_part_and_a_stray_file_are_named(store: Store) -> None:
    store.append(*KEY, candles())
    stray = store.folder(*KEY) / "mine.parquet"
    stray.write_bytes(b"")
    with pytest.raises(ValidationError, match=r"mine\.parquet: not written by the store"):
        store.read(*KEY)
    stray.unlink()
    parts(store)[0].write_bytes(b"nonsense")
    with pytest.raises(ValidationError, match=r"000001_.*parquet: cannot be read .*fetch again"):
        store.read(*KEY)


def test_check_reports_gaps(store: Store) -> None:
    store.append(*KEY, candles(0, 3))
    store.append(*KEY, candles(5, 8))
    report = store.check(*KEY)
    assert report.ok and [gap.missing for gap in report.gaps] == [2]


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.parquet", "x.feather"])
def test_an_export_reads_back_to_the_same_values(store: Store, name: str, tmp_path: Path) -> None:
    store.append(*KEY, candles())
    path = store.export(*KEY, tmp_path / "new" / name, since="2024-01-01 02:00")
    same(read_candles(path, timeframe="1h"), candles(2, 10))
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_an_export_keeps_further_columns_whatever_their_names(store: Store, tmp_path: Path) -> None:
    table = candles(0, 2).assign(**{'odd, "name"': ["a,b", 'c"d'], "hole": [np.nan, 0.1 + 0.2]})
    store.append(*KEY, table)
    for name in ("x.csv", "x.parquet"):
        same(read_candles(store.export(*KEY, tmp_path / name)), table)


def test_an_export_to_an_unknown_kind_is_refused(store: Store, tmp_path: Path) -> None:
    store.append(*KEY, candles())
    with pytest.raises(ValidationError, match=r"cannot write \.xlsx; use \.csv, \.parquet or \.feather"):
        store.export(*KEY, tmp_path / "x.xlsx")


def test_load_candles_gives_the_stored_symbols_as_a_market(store: Store) -> None:
    store.append(*KEY, candles())
    store.append("binance", "ETH/USDT", "1h", candles(2, 12))
    market = load_candles("binance", ["BTC/USDT", "ETH/USDT"], "1h", store=store, since="2024-01-01 01:00")
    assert market.symbols == ("BTC/USDT", "ETH/USDT") and len(market) == 11
    assert load_candles("binance", "BTC/USDT", "1h", store=store.root).symbols == ("BTC/USDT",)
    with pytest.raises(ValidationError, match="DOGE/USDT 1h is not in the store"):
        load_candles("binance", ["DOGE/USDT"], "1h", store=store)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.one_of(st.tuples(st.integers(0, 30), st.integers(1, 12)), st.just("compact")), min_size=1, max_size=8)
)
def test_any_sequence_of_appends_is_their_union(steps: list[tuple[int, int] | str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, hours = Store(Path(folder)), set[int]()
        for step in steps:
            if isinstance(step, str):
                store.compact(*KEY)
                continue
            fresh = set(range(step[0], step[0] + step[1])) - hours
            assert store.append(*KEY, candles(step[0], step[0] + step[1])) == len(fresh)
            hours |= fresh
        if hours:
            same(store.read(*KEY), candles(0, 50).iloc[sorted(hours)])
            assert store.list()[0].bars == len(hours)


MOMENTS = st.integers(0, 40).map(lambda hour: pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(hours=hour))
SPANS = st.lists(st.tuples(MOMENTS, MOMENTS), max_size=6)


@given(SPANS, MOMENTS, MOMENTS)
def test_what_is_covered_and_what_is_not_make_the_whole(
    spans: list[tuple[pd.Timestamp, pd.Timestamp]], start: pd.Timestamp, end: pd.Timestamp
) -> None:
    hour = pd.Timedelta(hours=1)
    holes = uncovered(spans, start, end)
    for moment in pd.date_range("2024-01-01", periods=41, freq=hour, tz="UTC"):
        covered = any(first <= moment < last for first, last in spans)
        assert any(first <= moment < last for first, last in holes) == (start <= moment < end and not covered)
        assert any(first <= moment < last for first, last in join_spans(spans)) == covered


def test_the_note_of_what_was_fetched(store: Store) -> None:
    start = pd.Timestamp("2024-01-01", tz="UTC")
    hour = pd.Timedelta(hours=1)
    assert store.fetched(*KEY) == ()
    store.append(*KEY, candles(0, 3))
    store.append(*KEY, candles(5, 8))
    assert store.fetched(*KEY) == ((start, start + 3 * hour), (start + 5 * hour, start + 8 * hour))
    store.note_fetched(*KEY, start, start + 8 * hour)
    assert store.fetched(*KEY) == ((start, start + 8 * hour),)
    (store.folder(*KEY) / "fetched.json").write_text("{")
    with pytest.raises(ValidationError, match=r"fetched\.json: cannot be read .*delete it"):
        store.fetched(*KEY)


def test_what_lies_between_parts_is_not_fetched_after_they_are_one(store: Store) -> None:
    start, hour = pd.Timestamp("2024-01-01", tz="UTC"), pd.Timedelta(hours=1)
    store.append(*KEY, candles(0, 3))
    store.append(*KEY, candles(5, 8))
    store.compact(*KEY)
    assert store.fetched(*KEY) == ((start, start + 3 * hour), (start + 5 * hour, start + 8 * hour))


def test_a_column_that_is_not_given_keeps_what_is_stored(store: Store) -> None:
    store.append(*KEY, candles().assign(q50=0.5))
    assert store.append(*KEY, candles(0, 12)) == 2
    other = candles(3, 5, scale=2.0)
    assert store.append(*KEY, other, replace=True) == 2
    read = store.read(*KEY)
    assert read["q50"].iloc[:10].eq(0.5).all() and read["q50"].iloc[10:].isna().all()
    same(read.iloc[3:5].drop(columns="q50"), other)
    assert store.append(*KEY, candles(0, 1).assign(q50=0.7), replace=True) == 1
    assert store.read(*KEY)["q50"].iloc[0] == 0.7


@pytest.mark.parametrize("name", ["time", "timestamp"])
def test_a_second_time_beside_the_index_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ValidationError, match=f"binance BTC/USDT 1h: column {name} would be mixed up"):
        store.append(*KEY, candles().assign(**{name: 1}))


def test_categories_are_stored_as_what_they_stand_for(store: Store) -> None:
    store.append(*KEY, candles(0, 2).assign(regime=pd.Categorical(["bull", "bear"])))
    assert store.append(*KEY, candles(1, 3).assign(regime=pd.Categorical(["bear", "flat"]))) == 1
    assert store.read(*KEY)["regime"].tolist() == ["bull", "bear", "flat"]


def test_a_column_of_several_kinds_is_refused_and_nothing_is_written(store: Store) -> None:
    with pytest.raises(ValidationError, match=r"cannot be written .*column odd .*drop that column or make it numbers"):
        store.append(*KEY, candles(0, 2).assign(odd=[1, "a"]))
    assert store.list() == []


def test_the_count_of_bars_is_that_of_reading_them(store: Store) -> None:
    store.append(*KEY, candles(0, 10))
    store.append(*KEY, candles(20, 30))
    store.append(*KEY, candles(12, 15))
    assert store.list()[0].bars == len(store.read(*KEY)) == 23
    store.append(*KEY, candles(8, 13, scale=2.0), replace=True)
    assert store.list()[0].bars == len(store.read(*KEY)) == 25
    parts(store)[1].write_bytes(b"nonsense")
    with pytest.raises(ValidationError, match=r"000002_.*parquet: cannot be read"):
        store.list()


@pytest.mark.parametrize("exchange", [None, 5, ""])
def test_what_is_no_name_of_an_exchange_is_said(store: Store, exchange: object) -> None:
    with pytest.raises(ValidationError, match="give ccxt's id, such as 'binance'"):
        store.read(exchange, "BTC/USDT", "1h")  # type: ignore[arg-type]
