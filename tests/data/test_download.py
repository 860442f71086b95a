"""The downloader asks real ccxt clients for what the store lacks, and for nothing else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ccxt
import ccxt.async_support
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import Store, ValidationError, fetch_candles
from data.source import open_client, read_settings
from tests.data.exchange import (
    SYMBOLS,
    Exchange,
    make_bars,
)
from tests.data.fetching import BARS, HOUR, KEY, SOON, START, fetch, read, same

# What is asked for, and what is not.


@pytest.mark.parametrize("name", list(SYMBOLS))
def test_a_fetch_stores_every_closed_bar_in_order_and_reports_the_gaps(
    exchange: Exchange, store: Store, name: str
) -> None:
    report = fetch(exchange, store, name)
    same(read(store, name), exchange.closed())
    assert report.added == 495 and report.late_start is None and report.dropped == ()
    assert [(gap.after, gap.before, gap.missing) for gap in report.gaps] == [
        (BARS.index[129], BARS.index[130], 3),
        (BARS.index[256], BARS.index[257], 1),
    ]
    assert str(report) == (
        f"495 bars added\n{name} {SYMBOLS[name]} 1h: 495 bars, no rule broken, 4 bars missing in 2 gaps\n"
        f"  {name} {SYMBOLS[name]}: 3 bars missing between 2024-01-06 09:00+00:00 and 2024-01-06 13:00+00:00\n"
        f"  {name} {SYMBOLS[name]}: 1 bar missing between 2024-01-11 19:00+00:00 and 2024-01-11 21:00+00:00"
    )


def test_each_page_goes_on_behind_the_last_bar_of_the_one_before(exchange: Exchange, store: Store) -> None:
    fetch(exchange, store)
    starts = [request.since for request in exchange.asked()]
    closed = exchange.closed()
    assert starts == [BARS.index[0], *(closed.index[at] + HOUR for at in (99, 199, 299, 399))]
    assert len(list(store.folder(*KEY).glob("*.parquet"))) == 5


def test_the_open_bar_is_left_out_by_the_exchanges_clock_not_ours(exchange: Exchange, store: Store) -> None:
    # Bitfinex shows no clock but the Date of its answers; ours is years ahead of this exchange's.
    for name in SYMBOLS:
        exchange.now = BARS.index[-1] + pd.Timedelta("59min 59s")
        fetch(exchange, store, name)
        assert read(store, name).index[-1] == BARS.index[-2]
        exchange.now += pd.Timedelta("1s")
        assert fetch(exchange, store, name).added == 1
        assert read(store, name).index[-1] == BARS.index[-1]


@pytest.mark.parametrize("name", list(SYMBOLS))
def test_a_resumed_fetch_asks_for_nothing_it_has(exchange: Exchange, store: Store, name: str) -> None:
    late, exchange.now = exchange.now, BARS.index[300]
    fetch(exchange, store, name)
    exchange.requests.clear()
    exchange.now = late
    assert fetch(exchange, store, name, since=None).added == 195
    same(read(store, name), exchange.closed())
    stored = BARS.index[299]
    starts = [request.since for request in exchange.asked() if request.since is not None]
    if name == "kraken":
        starts = [pd.Timestamp(int(r.query["since"]), unit="s", tz="UTC") + HOUR for r in exchange.asked()]
    assert min(starts) == stored + HOUR


def test_a_second_fetch_asks_for_no_candles_and_adds_none(exchange: Exchange, store: Store) -> None:
    fetch(exchange, store)
    exchange.requests.clear()
    report = fetch(exchange, store)
    assert report.added == 0 and exchange.asked() == [] and len(report.gaps) == 2


def test_an_earlier_start_asks_for_the_earlier_bars_alone(exchange: Exchange, store: Store) -> None:
    fetch(exchange, store, since="2024-01-10")
    exchange.requests.clear()
    assert fetch(exchange, store, since="2024-01-09").added == 24
    assert [request.since for request in exchange.asked()] == [pd.Timestamp("2024-01-09", tz="UTC")]
    exchange.requests.clear()
    fetch(exchange, store, until="2024-01-02")
    fetch(exchange, store)
    same(read(store), exchange.closed())
    assert not any(pd.Timestamp("2024-01-09", tz="UTC") <= request.since for request in exchange.asked())


def test_since_and_until_are_a_half_open_span_in_utc(exchange: Exchange, store: Store) -> None:
    fetch(exchange, store, since="2024-01-01T01:30+01:00", until="2024-01-01 03:00")
    assert [moment.hour for moment in read(store).index] == [1, 2]


def test_a_late_start_is_said_because_some_exchanges_keep_little(store: Store) -> None:
    bars = make_bars(1_000)
    with Exchange(bars, now=bars.index[-1]) as exchange:
        report = fetch(exchange, store, "kraken")
    same(read(store, "kraken"), bars.iloc[-720:-1])
    assert report.late_start == (bars.index[0], bars.index[280])
    assert "the exchange gave no bar from 2024-01-01 00:00+00:00 to 2024-01-12 16:00+00:00" in str(report)


def test_a_year_without_bars_is_jumped_over(store: Store) -> None:
    late = make_bars(50, start="2025-01-01")
    bars = pd.concat([make_bars(50), late])
    with Exchange(bars, now=bars.index[-1] + HOUR, page=40) as exchange:
        report = fetch(exchange, store)
        same(read(store), bars)
        assert [gap.missing for gap in report.gaps] == [366 * 24 - 50]
        assert len(exchange.asked()) <= 6


def test_a_bar_is_replaced_only_when_asked(exchange: Exchange, store: Store) -> None:
    fetch(exchange, store)
    exchange.bars = BARS.copy()
    exchange.bars.iloc[250, 4] = 1234.5
    fetch(exchange, store)
    assert read(store).iloc[250, 4] == BARS.iloc[250, 4]
    report = fetch(exchange, store, since=None, replace=True)
    assert report.added == 1
    same(read(store), exchange.closed())


def test_replace_fills_a_gap_that_the_exchange_has_mended(exchange: Exchange, store: Store) -> None:
    fetch(exchange, store)
    exchange.bars = make_bars(500)
    assert fetch(exchange, store).added == 0
    assert fetch(exchange, store, since="2024-01-06", until="2024-01-13", replace=True).added == 4
    same(read(store), exchange.closed())


def test_a_bar_stored_with_other_values_stops_the_fetch_and_names_the_mend(exchange: Exchange, store: Store) -> None:
    other = BARS.iloc[150:160].copy()
    other["volume"] += 1.0
    store.append(*KEY, BARS.iloc[:10])
    store.note_fetched(*KEY, BARS.index[0], BARS.index[10])
    store.append(*KEY, other)  # by hand: the exchange has not been asked for these yet
    with pytest.raises(ValidationError, match=r"bar 2024-01-07 09:00\+00:00: stored volume is .* \(--replace\); what"):
        fetch(exchange, store)
    assert fetch(exchange, store, replace=True).added > 0
    same(read(store), exchange.closed())


def test_many_pages_are_put_into_one_part_on_the_way(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.download._MANY_PARTS", 7)
    most = 0

    def count(_: object) -> None:
        nonlocal most
        most = max(most, store.part_count(*KEY))

    with Exchange(BARS, now=BARS.index[-1], page=10) as exchange:
        exchange.on_request = count
        fetch(exchange, store)
        same(read(store), exchange.closed())
        assert most == 7 and store.part_count(*KEY) <= 7
        assert fetch(exchange, store).added == 0


# Names, settings, shows.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("binanse", "BTC/USDT", "1h"), "exchange 'binanse' is unknown to ccxt; did you mean binance"),
        (("Binance", "BTC/USDT", "1h"), "did you mean binance"),
        (("zzzz", "BTC/USDT", "1h"), "see ccxt.exchanges"),
        (("binance", "BTC/USDT", "7h"), "binance has no timeframe 7h; it has 1s, 1m, 3m"),
        (("binance", "BTC/USDT", "1M"), "timeframe '1M': give a count"),
    ],
)
def test_an_unknown_exchange_or_timeframe_is_said_before_any_request(
    arguments: tuple[str, str, str], words: str, store: Store
) -> None:
    with pytest.raises(ValidationError, match=words):
        fetch_candles(*arguments, START, store=store)


@pytest.mark.parametrize(
    ("symbol", "words"),
    [
        ("BTC/USD", "binance has no symbol 'BTC/USD'; did you mean BTC/USDT"),
        ("BTCUSDT", "did you mean BTC/USDT"),
        ("", "use ccxt's unified form, such as BTC/USDT"),
    ],
)
def test_an_unknown_symbol_is_said_with_the_ones_that_come_close(
    exchange: Exchange, store: Store, symbol: str, words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        fetch_candles(exchange.client(), symbol, "1h", START, store=store, retry=SOON)
    assert exchange.asked() == []


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ({"since": None}, "nothing is stored of it yet; say from when, .*--since"),
        ({"since": "soon"}, "since 'soon' is not a time"),
        ({"since": "9999-01-01"}, "since '9999-01-01' is not a time from 1678 to 2261"),
        ({"since": "2024-02-01"}, r"no bar has closed from 2024-02-01 .* to 2024-01-21 .*ask for an earlier since"),
        ({"until": "2023-12-01"}, "no bar opens from 2024-01-01 .* to 2023-12-01"),
    ],
)
def test_a_span_without_a_closed_bar_is_said(
    exchange: Exchange, store: Store, span: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        fetch(exchange, store, **span)


def test_what_is_no_client_for_candles_is_refused(store: Store) -> None:
    with pytest.raises(ValidationError, match="the client is asynchronous; pass one of ccxt"):
        fetch_candles(ccxt.async_support.binance(), "BTC/USDT", "1h", START, store=store)
    without = ccxt.binance()
    without.has["fetchOHLCV"] = "emulated"
    with pytest.raises(ValidationError, match="ccxt can fetch no candles from it"):
        fetch_candles(without, "BTC/USDT", "1h", START, store=store)


def test_ccxts_own_rate_limiter_is_on_and_holds_requests_apart(exchange: Exchange, store: Store) -> None:
    client = open_client("binance", exchange.settings("binance", rateLimit=200))
    assert open_client("kraken").enableRateLimit is True and open_client("kraken").rateLimit == 1000
    moments: list[float] = []
    exchange.on_request = lambda request: moments.append(time.monotonic()) if request.kind == "candles" else None
    fetch(exchange, store, client=client)
    # Each of the five pages counts 0.4 units of 200 ms; the first may go at once.
    assert len(moments) == 5 and moments[-1] - moments[0] >= 3 * 0.4 * 0.2


def test_settings_reach_the_client_and_a_misspelt_one_is_named(tmp_path: Path) -> None:
    given = {"httpsProxy": "http://127.0.0.1:3128", "urls": {"api": {"public": "http://127.0.0.1:9/api/v3"}}}
    client = open_client("binance", given)
    assert client.httpsProxy == given["httpsProxy"] and client.urls["api"]["public"] == "http://127.0.0.1:9/api/v3"
    assert client.urls["api"]["fapiPublic"].startswith("https://")
    with pytest.raises(ValidationError, match=r"ccxt's binance has no setting 'httpProxxy'; did you mean httpProxy"):
        open_client("binance", {"httpProxxy": ""})
    for content, words in (("{", "cannot be read as JSON"), ("[1]", "holds list, not an object")):
        (tmp_path / "settings.json").write_text(content)
        with pytest.raises(ValidationError, match=rf"settings\.json: {words}"):
            read_settings(tmp_path / "settings.json")
    with pytest.raises(ValidationError, match=r"none\.json: cannot be read"):
        read_settings(tmp_path / "none.json")


def test_the_progress_bar_counts_the_bars_on_the_error_output(
    exchange: Exchange, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(exchange, store, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "binance BTC/USDT 1h" in shown.err and "499/499 bars" in shown.err


# Any series, any page length, any stops on the way.


@settings(max_examples=15)
@given(
    name=st.sampled_from(list(SYMBOLS)),
    missing=st.sets(st.integers(1, 118), max_size=60),
    page=st.integers(1, 130),
    stops=st.lists(st.integers(2, 119), max_size=3),
)
def test_however_a_fetch_is_cut_into_pages_and_runs_the_store_holds_the_series(
    tmp_path_factory: pytest.TempPathFactory, name: str, missing: set[int], page: int, stops: list[int]
) -> None:
    bars = make_bars(120, missing=tuple(missing))
    whole = make_bars(120).index
    store = Store(tmp_path_factory.mktemp("store"))
    with Exchange(bars, now=whole[-1], page=max(page, 15)) as exchange:
        for stop in [*sorted(stops), 119]:
            exchange.now = whole[stop]
            fetch(exchange, store, name)
        same(read(store, name), exchange.closed())
