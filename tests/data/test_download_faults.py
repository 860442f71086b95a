"""Every way an exchange may fail: waited out, or told with all that had arrived in the store."""

from __future__ import annotations

import email.utils
import logging
import time
from typing import Any

import pandas as pd
import pytest

from data import FetchError, Store, ValidationError
from data.source import Retry
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
from tests.data.fetching import BARS, HOUR, KEY, fetch, read, same

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
