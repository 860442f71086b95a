"""An exchange on 127.0.0.1 that answers unmodified ccxt clients as Binance, Kraken and Bitfinex do, faults included.

    with Exchange(bars, now="2024-01-05 10:30") as exchange:
        exchange.fail(status(503), cut_off)            # the next two requests for candles
        fetch_candles(exchange.client("binance"), "BTC/USDT", "1h", since="2024-01-01")

Only the addresses in the client's `urls` are changed. The three differ where a downloader may stumble:

- Binance: a page begins with the first bar at or after `startTime`; the open bar comes as well; it has a clock.
- Kraken: whatever is asked for, only the newest 720 bars; seconds, not milliseconds; errors inside a 200.
- Bitfinex: close before high and low; no clock but the Date of its answers; without a start the newest bar first.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd

SYMBOLS = {"binance": "BTC/USDT", "kraken": "BTC/USD", "bitfinex": "BTC/USD"}
_KRAKEN_KEEPS = 720


def make_bars(
    count: int, *, start: str = "2024-01-01", step: str = "1h", missing: tuple[int, ...] = ()
) -> pd.DataFrame:
    """A random walk that keeps every candle rule, in numbers an exchange would write; `missing` bars are left out."""
    rng = np.random.default_rng(7)
    index = pd.date_range(start, periods=count, freq=pd.Timedelta(step), tz="UTC", name="time").as_unit("ns")
    close = np.round(42_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, count))), 2)
    open_ = np.concatenate([[42_000.0], close[:-1]])
    high = np.round(np.maximum(open_, close) + rng.exponential(30.0, count), 2)
    low = np.round(np.minimum(open_, close) - rng.exponential(30.0, count), 2)
    volume = np.round(rng.exponential(25.0, count), 5)
    table = pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": volume}, index=index)
    return table.drop(index[list(missing)])


@dataclass(frozen=True)
class Answer:
    """What goes out: `sent` of the body's bytes, after `delay` seconds; `reset` cuts the connection instead."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None
    delay: float = 0.0
    reset: bool = False


Fault = Callable[[Answer], Answer]


def status(code: int, body: str = "{}", **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda answer: replace(answer, status=code, body=body.encode(), headers=named)


def reset(answer: Answer) -> Answer:
    return replace(answer, reset=True)


def cut_off(answer: Answer) -> Answer:
    """Content-Length says more than what comes."""
    return replace(answer, sent=len(answer.body) // 2)


def half_json(answer: Answer) -> Answer:
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def web_page(answer: Answer) -> Answer:
    page = b"<html><title>One moment, please</title>" + b"<p>checking your browser</p>" * 200 + b"</html>"
    return replace(answer, body=page, headers={"Content-Type": "text/html"})


def slow(seconds: float) -> Fault:
    return lambda answer: replace(answer, delay=seconds)


def rows(change: Callable[[list[Any]], Any]) -> Fault:
    """Other candles in Binance's or Bitfinex's answer."""
    return lambda answer: replace(answer, body=json.dumps(change(json.loads(answer.body))).encode())


@dataclass(frozen=True)
class Request:
    kind: str  # markets, time or candles
    path: str
    query: dict[str, str]

    @property
    def since(self) -> pd.Timestamp | None:
        """The first bar asked for, of Binance and Bitfinex."""
        start = self.query.get("startTime") or self.query.get("start")
        return None if start is None else pd.Timestamp(int(start), unit="ms", tz="UTC")


class Exchange:
    """The server. `page` caps a page below what is asked for; `requests` is what it was asked, in order."""

    def __init__(self, bars: pd.DataFrame, *, now: str | pd.Timestamp, page: int = 1_000) -> None:
        self.bars, self.page = bars, page
        self.now = pd.Timestamp(now) if pd.Timestamp(now).tzinfo else pd.Timestamp(now, tz="UTC")
        self.requests: list[Request] = []
        self.always: Fault | None = None
        self.on_request: Callable[[Request], None] = lambda request: None
        self._faults: dict[str, deque[Fault | None]] = {"candles": deque(), "markets": deque(), "time": deque()}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"exchange": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, *faults: Fault | None, on: str = "candles") -> None:
        """The next requests of this kind are answered with these faults, one each; None answers well."""
        self._faults[on].extend(faults)

    def asked(self, kind: str = "candles") -> list[Request]:
        return [request for request in self.requests if request.kind == kind]

    def settings(self, name: str, **further: Any) -> dict[str, Any]:
        """What a ccxt client needs to come here: its own addresses with this host, and nothing else but `further`."""
        import ccxt

        def here(urls: Any) -> Any:
            if isinstance(urls, dict):
                return {key: here(url) for key, url in urls.items()}
            return self.address + urlsplit(urls).path

        return {"urls": {"api": here(getattr(ccxt, name)().urls["api"])}, **further}

    def client(self, name: str = "binance", **further: Any) -> Any:
        """A client that waits for nothing: the true rate limits would make each test take minutes."""
        import ccxt

        quick = {"enableRateLimit": True, "rateLimit": 1, "timeout": 2_000}
        return getattr(ccxt, name)(self.settings(name, **{**quick, **further}))

    def closed(self, timeframe: str = "1h") -> pd.DataFrame:
        """The bars that have closed by now: what a store is to hold."""
        return self.bars.loc[self.bars.index + pd.Timedelta(timeframe) <= self.now]

    def answer(self, request: Request) -> Answer:
        body = _KINDS[request.kind](self, request)
        answer = Answer(json.dumps(body).encode())
        queue = self._faults[request.kind]
        fault = queue.popleft() if queue else self.always if request.kind == "candles" else None
        return answer if fault is None else fault(answer)

    def _visible(self) -> pd.DataFrame:
        return self.bars.loc[self.bars.index <= self.now]


def _text(bar: Any, *names: str) -> list[str]:
    return [repr(float(getattr(bar, name))) for name in names]


def _binance_candles(exchange: Exchange, query: dict[str, str]) -> list[Any]:
    bars = exchange._visible()
    limit = min(int(query.get("limit", 500)), exchange.page)
    if "startTime" in query:
        bars = bars.loc[bars.index >= pd.Timestamp(int(query["startTime"]), unit="ms", tz="UTC")].iloc[:limit]
    else:
        bars = bars.iloc[-limit:]
    return [
        [bar.Index.value // 10**6, *_text(bar, "open", "high", "low", "close", "volume"), 0, "0", 9, "0", "0", "0"]
        for bar in bars.itertuples()
    ]


def _kraken_candles(exchange: Exchange, query: dict[str, str]) -> dict[str, Any]:
    bars = exchange._visible().iloc[-_KRAKEN_KEEPS:]
    if "since" in query:
        bars = bars.loc[bars.index > pd.Timestamp(int(query["since"]), unit="s", tz="UTC")]
    table = []
    for bar in bars.itertuples():
        prices = _text(bar, "open", "high", "low", "close")
        table.append([bar.Index.value // 10**9, *prices, prices[-1], *_text(bar, "volume"), 9])
    return {"error": [], "result": {"XXBTZUSD": table, "last": table[-1][0] if table else 0}}


def _bitfinex_candles(exchange: Exchange, query: dict[str, str]) -> list[Any]:
    bars = exchange._visible()
    limit = min(int(query.get("limit", 100)), exchange.page)
    if query.get("sort") == "1":
        bars = bars.loc[bars.index >= pd.Timestamp(int(query["start"]), unit="ms", tz="UTC")].iloc[:limit]
    else:
        bars = bars.iloc[::-1].iloc[:limit]
    return [
        [bar.Index.value // 10**6, *map(float, _text(bar, "open", "close", "high", "low", "volume"))]
        for bar in bars.itertuples()
    ]


def _candles(exchange: Exchange, request: Request) -> Any:
    if request.path.endswith("/klines"):
        return _binance_candles(exchange, request.query)
    if request.path.endswith("/OHLC"):
        return _kraken_candles(exchange, request.query)
    return _bitfinex_candles(exchange, request.query)


def _markets(exchange: Exchange, request: Request) -> Any:
    if request.path.endswith("/api/v3/exchangeInfo"):
        bitcoin = {"symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT"}
        ether = {"symbol": "ETHUSDT", "baseAsset": "ETH", "quoteAsset": "USDT"}
        common = {"status": "TRADING", "isSpotTradingAllowed": True, "permissionSets": [["SPOT"]], "filters": []}
        return {"symbols": [{**market, **common} for market in (bitcoin, ether)]}
    if request.path.endswith("/fapi/v1/exchangeInfo"):
        assets = {"baseAsset": "BTC", "quoteAsset": "USDT", "marginAsset": "USDT"}
        return {
            "symbols": [
                {"symbol": "BTCUSDT", "contractType": "PERPETUAL", "status": "TRADING", **assets, "filters": []}
            ]
        }
    if request.path.endswith("/exchangeInfo"):
        return {"symbols": []}
    if request.path.endswith("/Assets"):
        names = {"XXBT": "XBT", "ZUSD": "USD"}
        common = {"aclass": "currency", "decimals": 10, "display_decimals": 5, "status": "enabled"}
        return {"error": [], "result": {name: {**common, "altname": short} for name, short in names.items()}}
    if request.path.endswith("/AssetPairs"):
        pair = {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD", "status": "online"}
        return {"error": [], "result": {"XXBTZUSD": {**pair, "pair_decimals": 1, "lot_decimals": 8}}}
    if "pub:list:currency," in request.path:
        return [["BTC", "USD"], *[[]] * 10]
    return [[["BTCUSD", [None, None, None, "0.0001", "2000.0"]]], [], [], ["BTCUSD"]]


def _time(exchange: Exchange, request: Request) -> Any:
    if request.path.endswith("/Time"):
        return {"error": [], "result": {"unixtime": int(exchange.now.timestamp())}}
    return {"serverTime": exchange.now.value // 10**6}


_KINDS: dict[str, Callable[[Exchange, Request], Any]] = {"candles": _candles, "markets": _markets, "time": _time}
_PATHS = {
    "candles": re.compile(r"/api/v3/klines|/0/public/OHLC|/v2/candles/.*/hist"),
    "markets": re.compile(r"/[a-z]*api/v\d/exchangeInfo|/0/public/Asset(s|Pairs)|/v2/conf/.*"),
    "time": re.compile(r"/api/v3/time|/0/public/Time"),
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    exchange: Exchange

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = parts.path.replace("%3A", ":").replace("%2C", ",")
        kind = next((kind for kind, pattern in _PATHS.items() if pattern.fullmatch(path)), None)
        if kind is None:
            return self._send(Answer(json.dumps({"unknown": path}).encode(), status=404))
        request = Request(kind, path, {name: values[0] for name, values in parse_qs(parts.query).items()})
        self.exchange.requests.append(request)
        self.exchange.on_request(request)
        return self._send(self.exchange.answer(request))

    def _send(self, answer: Answer) -> None:
        time.sleep(answer.delay)
        if answer.reset:
            # With nothing to linger for, closing sends a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        try:
            self.send_response_only(answer.status)
            headers = {"Content-Type": "application/json", "Date": email.utils.format_datetime(self.exchange.now, True)}
            for name, value in {**headers, **answer.headers, "Content-Length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body[: answer.sent])
            if answer.sent is not None:
                self.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client was killed, or did not want to wait

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):  # a connection that was reset on purpose
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None:
        pass
