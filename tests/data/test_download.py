"""The downloader: real ccxt clients against a small exchange on this machine that fails in every way one may."""

from __future__ import annotations

import email.utils
import logging
import time
from pathlib import Path
from typing import Any

import ccxt
import ccxt.async_support
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import FetchError, Store, ValidationError, fetch_candles
from data.source import Retry, open_client, read_settings
from tests.data.exchange import (
    SYMBOLS,
    Exchange,
    cut_off,
    half_json,
    make_bars,
    reset,
    rows,
    slow,
    status,
    web_page,
)

SOON = Retry(attempts=4, first_wait=0.005, longest_wait=0.02)
START = "2024-01-01"
HOUR = pd.Timedelta("1h")
KEY = ("binance", "BTC/USDT", "1h")
BARS = make_bars(500, missing=(130, 131, 132, 260))


@pytest.fixture
def exchange():
    with Exchange(BARS, now=BARS.index[-1] + pd.Timedelta("20min"), page=100) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def fetch(exchange: Exchange, store: Store, name: str = "binance", since: str | None = START, **further: Any) -> Any:
    client = further.pop("client", None) or exchange.client(name)
    return fetch_candles(client, SYMBOLS[name], "1h", since, store=store, **{"retry": SOON, **further})


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, check_exact=True, check_freq=False)


def read(store: Store, name: str = "binance") -> pd.DataFrame:
    return store.read(name, SYMBOLS[name], "1h")


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


# Faults.

PASSING = {
    "500": status(500),
    "500 and a page": status(500, "<html>Internal Server Error</html>"),
    "502": status(502, "<html>Bad Gateway</html>"),
    "503": status(503),
    "504": status(504),
    "429": status(429),
    "429, wait": status(429, Retry_After="0"),
    "418": status(418),
    "reset": reset,
    "cut off": cut_off,
    "half": half_json,
    "a web page": web_page,
    "nothing": status(200, ""),
    "null": status(200, "null"),
    "an object": status(200, '{"result": 7}'),
    "a bar that is none": rows(lambda answer: [["soon", 1]]),
    "a bar without a time": rows(lambda answer: [[None, 1, 1, 1, 1, 1]]),
    "a bar of another age": rows(lambda answer: [[10**15, 1, 1, 1, 1, 1]]),
    "slow": slow(0.6),
}


@pytest.mark.parametrize("name", list(SYMBOLS))
@pytest.mark.parametrize("fault", list(PASSING))
def test_a_fault_that_passes_is_waited_out_and_loses_nothing(
    exchange: Exchange, store: Store, name: str, fault: str
) -> None:
    if (name, fault) == ("bitfinex", "an object") or (name == "kraken" and fault.startswith("a bar")):
        pytest.skip("an error, or an answer of another form, on this exchange")
    client = exchange.client(name, timeout=300 if fault == "slow" else 2_000)
    exchange.fail(PASSING[fault], PASSING[fault], None, PASSING[fault])
    fetch(exchange, store, name, client=client)
    same(read(store, name), exchange.closed())


@pytest.mark.parametrize("fault", list(PASSING))
def test_a_fault_that_stays_is_told_and_what_had_arrived_is_kept(exchange: Exchange, store: Store, fault: str) -> None:
    client = exchange.client(timeout=300 if fault == "slow" else 2_000)
    exchange.fail(None, None)
    exchange.always = PASSING[fault]
    words = r"^binance BTC/USDT 1h from 2024-01-09 11:00\+00:00: gave up after 4 attempts .*run the same fetch again"
    with pytest.raises(FetchError, match=words) as caught:
        fetch(exchange, store, client=client)
    assert len(str(caught.value)) < 600
    same(read(store), exchange.closed().iloc[:200])
    exchange.always = None
    exchange.requests.clear()
    assert fetch(exchange, store).added == 295
    assert exchange.asked()[0].since == BARS.index[199] + HOUR
    same(read(store), exchange.closed())


@pytest.mark.parametrize("code", [400, 403, 404, 451])
def test_a_refusal_is_told_at_once(exchange: Exchange, store: Store, code: int) -> None:
    exchange.fail(None)
    exchange.always = status(code, '{"why": "not from your country"}')
    with pytest.raises(
        FetchError, match=rf"(?s)the exchange refused .* {code} .*not from your country.*what had arrived"
    ):
        fetch(exchange, store)
    assert len(exchange.asked()) == 2 and len(read(store)) == 100


def test_keys_that_are_asked_for_are_said(exchange: Exchange, store: Store) -> None:
    exchange.always = status(401)
    with pytest.raises(FetchError, match="asks for valid keys or refuses this caller"):
        fetch(exchange, store)


def test_the_exchanges_retry_after_is_kept_to(exchange: Exchange, store: Store) -> None:
    moments: list[float] = []
    exchange.on_request = lambda request: moments.append(time.monotonic()) if request.kind == "candles" else None
    exchange.fail(status(429, Retry_After="1"))
    fetch(exchange, store, retry=Retry(attempts=2, first_wait=0.001, longest_wait=5))
    assert moments[1] - moments[0] >= 1.0


@pytest.mark.parametrize("date", [False, True])
def test_a_pause_too_long_to_wait_for_stops_the_fetch_without_another_request(
    exchange: Exchange, store: Store, date: bool
) -> None:
    until = email.utils.format_datetime(pd.Timestamp.now("UTC") + pd.Timedelta("2h"), usegmt=True)
    exchange.fail(None, status(418, Retry_After=until if date else "7200"))
    with pytest.raises(
        FetchError, match=r"the exchange asks for a pause of 7,\d\d\d s .* again to go on after it"
    ) as caught:
        fetch(exchange, store)
    assert ("7,200" in str(caught.value)) or date
    assert len(exchange.asked()) == 2 and len(read(store)) == 100


def test_a_retry_after_that_cannot_be_read_is_no_pause(exchange: Exchange, store: Store) -> None:
    exchange.fail(status(429, Retry_After="in a while"))
    assert fetch(exchange, store).added == 495


def test_each_wait_is_logged_with_its_reason(
    exchange: Exchange, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    exchange.fail(status(503, "<html>down</html>"), reset)
    with caplog.at_level(logging.WARNING, logger="ladder.data"):
        fetch(exchange, store)
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("binance BTC/USDT 1h from 2024-01-01 00:00+00:00: attempt 1 of 4 failed (ExchangeNotAvail")
    assert "attempt 2 of 4 failed (NetworkError" in second and "asking again in 0.0 s" in second


@pytest.mark.parametrize("kind", ["markets", "time"])
@pytest.mark.parametrize("fault", ["503", "cut off", "half", "a web page", "reset"])
@pytest.mark.parametrize("name", ["binance", "kraken"])
def test_a_fault_before_the_first_candle_is_waited_out(
    exchange: Exchange, store: Store, kind: str, fault: str, name: str
) -> None:
    # Binance's lists are three, the first with the spot market; Kraken's are the assets and the pairs.
    faults = [None, PASSING[fault], None, PASSING[fault]] if (name, kind) == ("kraken", "markets") else [PASSING[fault]]
    exchange.fail(*faults, on=kind)
    fetch(exchange, store, name)
    same(read(store, name), exchange.closed())


def test_a_page_empty_by_mistake_loses_nothing(exchange: Exchange, store: Store) -> None:
    exchange.fail(None, rows(lambda answer: []), None, rows(lambda answer: []))
    fetch(exchange, store)
    same(read(store), exchange.closed())


def test_an_empty_page_that_stays_is_a_gap_and_one_at_the_end_is_asked_for_again(
    exchange: Exchange, store: Store
) -> None:
    client = exchange.client()
    exchange.fail(None, *[rows(lambda answer: [])] * 2)
    # The page's length by ccxt is 1000 bars: the fetch ends with an empty page, and stores the first 100 bars.
    assert fetch(exchange, store, client=client).added == 100
    assert fetch(exchange, store, client=client).added == 395
    same(read(store), exchange.closed())


def test_an_exchange_without_a_bar_is_said(exchange: Exchange, store: Store) -> None:
    exchange.always = rows(lambda answer: [])
    with pytest.raises(
        FetchError, match=r"gave no bar from 2024-01-01 00:00\+00:00 to 2024-01-21 19:00\+00:00; ask for"
    ):
        fetch(exchange, store)
    assert store.list() == []


def test_bars_repeated_within_and_across_pages_are_stored_once(exchange: Exchange, store: Store) -> None:
    seen: list[Any] = []

    def with_old_ones(answer: list[Any]) -> list[Any]:
        seen.extend(answer)
        return seen[-150:] + answer

    exchange.always = rows(with_old_ones)
    fetch(exchange, store)
    same(read(store), exchange.closed())
    assert store.list()[0].bars == sum(len(pd.read_parquet(p)) for p in store.folder(*KEY).glob("*.parquet")) == 495


def test_the_newest_bar_added_to_every_page_hides_none_before_it(store: Store) -> None:
    bars = make_bars(2_500)
    with Exchange(bars, now=bars.index[-1], page=900) as exchange:
        newest = [bars.index[-2].value // 10**6, *bars.iloc[-2].astype(str)]
        exchange.always = rows(lambda answer: answer if answer[-1][0] >= newest[0] else [*answer, newest])
        fetch(exchange, store)
        same(read(store), exchange.closed())


@pytest.mark.parametrize("name", ["binance", "bitfinex"])
def test_bars_out_of_order_are_sorted(exchange: Exchange, store: Store, name: str) -> None:
    exchange.always = rows(lambda answer: answer[1::2] + answer[::2])
    fetch(exchange, store, name)
    same(read(store, name), exchange.closed())


def spoil(volume: str = "1", **prices: str) -> Any:
    """The third bar of a page of Binance with other values."""
    at = {"open": 1, "high": 2, "low": 3, "close": 4}

    def change(answer: list[Any]) -> list[Any]:
        for name, price in prices.items():
            answer[2][at[name]] = price
        answer[2][5] = volume
        return answer

    return rows(change)


BAD = {
    "high below low": (spoil(high="1.0"), r"high 1.0 < low"),
    "a price of nothing": (spoil(open="0"), r"open is 0.0 \(rule: prices > 0\)"),
    "no price": (spoil(close="n/a"), r"close is nan \(rule: finite numbers\)"),
    "a negative volume": (spoil(volume="-1"), r"volume is -1.0 \(rule: volume >= 0\)"),
    "off the grid": (rows(lambda a: [[a[0][0] + 60_000, *a[0][1:]], *a[1:]]), r"04:01\+00:00: is off the grid"),
    "two that differ": (rows(lambda a: [a[0], [*a[0][:5], "7", *a[0][6:]], *a[1:]]), "a second bar, and it differs"),
}


@pytest.mark.parametrize("fault", list(BAD))
def test_an_invalid_bar_stops_the_fetch_and_is_named_or_is_dropped_and_told(
    exchange: Exchange, store: Store, fault: str
) -> None:
    change, words = BAD[fault]
    exchange.fail(None, change)
    mend = r"What came before is stored; .* drop_invalid=True \(--drop-invalid\)$"
    with pytest.raises(ValidationError, match=rf"(?s)^binance BTC/USDT bar 2024-01-05 .*{words}.*{mend}"):
        fetch(exchange, store)
    same(read(store), exchange.closed().iloc[:100])
    exchange.fail(change)
    report = fetch(exchange, store, drop_invalid=True)
    assert len(report.dropped) > 0 and "left out for breaking a rule:\n  binance BTC/USDT bar 2024-01-05" in str(report)
    lost = exchange.closed().index.difference(read(store).index)
    assert len(lost) == 1 and len(report.gaps) == 3
    same(read(store), exchange.closed().drop(lost))


def test_a_page_of_which_nothing_is_valid_is_dropped_as_well(exchange: Exchange, store: Store) -> None:
    fetch(exchange, store, until=BARS.index[-3].isoformat())
    exchange.fail(rows(lambda answer: [[*bar[:5], "-1", *bar[6:]] for bar in answer]))
    report = fetch(exchange, store, drop_invalid=True)
    assert report.added == 0 and len(report.dropped) == 2
    exchange.always = rows(lambda answer: [[*bar[:5], "-1", *bar[6:]] for bar in answer])
    with pytest.raises(FetchError, match="gave no valid bar"):
        fetch(exchange, Store(store.root / "other"), drop_invalid=True)


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
