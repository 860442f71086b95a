"""Bybit v5, linear perpetuals, as the second dialect of the rehearsal exchange.

Another shape of everything: JSON signed by headers, errors with HTTP 200, orders that are only acknowledged, positions
in place of coins. That the same books and the same server carry both shows that neither is a special case.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from engine.rehearsal.binance_params import wall_clock
from engine.rehearsal.bybit_rest import BybitError, BybitRest
from engine.rehearsal.bybit_streams import BybitStreams
from engine.rehearsal.dialect import Answer, Call, Streams
from engine.rehearsal.exchange import Exchange
from engine.rehearsal.wire import from_json

_HTML: Final = "<html><head><title>{0}</title></head><body>{0}</body></html>"


class Bybit:
    """The dialect.

    Args:
        exchange: what is traded on; its symbols are perpetuals.
        api_key: of the one account.
        secret: its secret.
        withdrawals: whether the key's permissions include withdrawals.
    """

    def __init__(self, exchange: Exchange, api_key: str, secret: str, *, withdrawals: bool = False) -> None:
        self.rest = BybitRest(exchange, withdrawals=withdrawals)
        self._streams = BybitStreams(exchange, api_key, secret)
        self.streams: Streams = self._streams
        self._key = api_key
        self._secret = secret.encode()

    def respond(self, call: Call) -> Answer:
        """Check the signature, do what is asked; errors are Bybit's, with HTTP 200."""
        if call.label == "GET /v5/market/time":
            now = wall_clock()
            return _said({"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)})
        try:
            route = self.rest.routes.get(call.label)
            if route is not None and route[1]:
                self._verify(call)
            if call.label == "POST /v5/order/disconnected-cancel-all":
                self._verify(call)
                self._streams.window = int(_params(call)["timeWindow"])  # wall clock, seconds
                return _said({})
            return _said(self.rest.answer(call.label, _params(call)))
        except BybitError as error:
            return _failed(error.code, error.text)
        except (ValueError, KeyError):
            return _failed(10001, "params error")

    def fault(self, kind: str, retry_after: int) -> Answer:
        """How a fault looks that comes in place of the answer."""
        reset = {"X-Bapi-Limit-Reset-Timestamp": str(wall_clock() + 1000 * retry_after)}
        answers = {
            "unknown_5xx": Answer(_HTML.format("504 Gateway Timeout"), 504),
            "refused_503": Answer(_HTML.format("503 Service Unavailable"), 503),
            "error_5xx": Answer(_HTML.format("502 Bad Gateway"), 502),
            "rate_429": _failed(10006, "Too many visits. Exceeded the API Rate Limit.", reset),
            "banned_418": _failed(10018, "Exceeded the IP Rate Limit.", reset),
            "clock_skew": _failed(10002, "invalid request, please check your server timestamp or recv_window param."),
            "insufficient": _failed(110007, "ab not enough for new order"),
        }
        return answers[kind]

    def barred(self, call: Call) -> Iterable[str]:
        """Clock skew is a matter of signed requests, insufficient funds one of new orders."""
        if call.label == "POST /v5/order/create":
            return ()
        route = self.rest.routes.get(call.label)
        return ("insufficient",) if route is not None and route[1] else ("insufficient", "clock_skew")

    def named(self, call: Call) -> dict[str, str]:
        """The client's order id and the symbol of a request, for the record."""
        try:
            params = _params(call)
        except ValueError:
            return {}
        return {name: str(params[name]) for name in ("orderLinkId", "orderId", "symbol") if name in params}

    def is_stream(self, path: str) -> bool:
        """Public topics of linear perpetuals, and private ones."""
        return path in {"/v5/public/linear", "/v5/private"}

    def url(self, real: str, host: str) -> str:
        """The URL here that stands for a real one."""
        parts = urlsplit(real)
        return f"{'ws' if parts.scheme in {'ws', 'wss'} else 'http'}://{host}{parts.path}"

    def _verify(self, call: Call) -> None:
        """Check key, signature and time, all of which are headers."""
        key, stamp = call.headers.get("X-BAPI-API-KEY", ""), call.headers.get("X-BAPI-TIMESTAMP", "")
        window, given = call.headers.get("X-BAPI-RECV-WINDOW", "5000"), call.headers.get("X-BAPI-SIGN", "")
        if not hmac.compare_digest(key.encode(), self._key.encode()):
            raise BybitError(10003, "API key is invalid.")
        signed = stamp + key + window + (call.body if call.method == "POST" else call.query)
        expected = hmac.new(self._secret, signed.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(given.encode(), expected.encode()):
            raise BybitError(10004, "error sign! please check your signature generation algorithm.")
        now = wall_clock()
        if not now - int(window) <= int(stamp) < now + 1000:
            raise BybitError(10002, "invalid request, please check your server timestamp or recv_window param.")


def _params(call: Call) -> dict[str, Any]:
    if call.method == "POST":
        given = from_json(call.body or "{}")
        return given if isinstance(given, dict) else {}
    return dict(parse_qsl(call.query, keep_blank_values=True))


def _said(result: Any) -> Answer:
    return Answer({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": wall_clock()})


def _failed(code: int, text: str, headers: dict[str, str] | None = None) -> Answer:
    body = {"retCode": code, "retMsg": text, "result": {}, "retExtInfo": {}, "time": wall_clock()}
    return Answer(body, headers=headers or {})
