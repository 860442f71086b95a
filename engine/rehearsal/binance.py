"""Binance spot as one dialect of the rehearsal exchange: its REST paths, weights, errors and streams together."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from engine.rehearsal.binance_params import Signatures
from engine.rehearsal.binance_rest import BinanceRest
from engine.rehearsal.binance_streams import BinanceStreams
from engine.rehearsal.binance_words import ApiError
from engine.rehearsal.dialect import Answer, Call, Streams
from engine.rehearsal.exchange import Exchange
from engine.rehearsal.weights import WeightLimit

_ORDERS: Final = frozenset({"POST /api/v3/order", "POST /api/v3/orderList/oco", "POST /api/v3/order/oco"})
_TOO_MUCH: Final = "Too much request weight used; please use WebSocket Streams for live updates to avoid polling."
_BANNED: Final = "Way too much request weight used; IP banned. Please use WebSocket Streams for live updates."
_UNKNOWN: Final = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
_HTML: Final = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"


class Binance:
    """The dialect.

    Args:
        exchange: what is traded on.
        api_key: of the one account.
        secret: its secret.
        withdrawals: whether apiRestrictions says that the key may withdraw.
        weight_limit: weight per minute beyond which requests are refused; None counts and never refuses.
    """

    def __init__(
        self,
        exchange: Exchange,
        api_key: str,
        secret: str,
        *,
        withdrawals: bool = False,
        weight_limit: int | None = None,
    ) -> None:
        self.rest = BinanceRest(exchange, withdrawals=withdrawals)
        self.signatures = Signatures(api_key, secret)
        self.weights = WeightLimit(weight_limit)
        self.streams: Streams = BinanceStreams(exchange, self.signatures)

    def respond(self, call: Call) -> Answer:
        """Count the weight, check the signature, do what is asked; errors are Binance's."""
        route = self.rest.routes.get((call.method, call.path))
        status, wait = self.weights.spend(1 if route is None else route.weight, time.monotonic())
        used = {"X-MBX-USED-WEIGHT-1M": str(self.weights.used), "X-MBX-USED-WEIGHT": str(self.weights.used)}
        if status != 200:
            return Answer(
                {"code": -1003, "msg": _TOO_MUCH if status == 429 else _BANNED},
                status,
                {**used, "Retry-After": str(wait)},
            )
        text = call.query + call.body
        params = dict(parse_qsl(text, keep_blank_values=True))
        try:
            if route is not None and route.signed:
                payload = text.rpartition("&signature=")[0]
                self.signatures.verify(call.headers.get("X-MBX-APIKEY"), payload, params)
            return Answer(self.rest.answer(call.method, call.path, params), headers=used)
        except ApiError as error:
            return Answer(error.body(), error.status, {**used, **error.headers})

    def fault(self, kind: str, retry_after: int) -> Answer:
        """How a fault looks that comes in place of the answer."""
        wait = {"Retry-After": str(retry_after)}
        answers = {
            "unknown_5xx": Answer({"code": -1007, "msg": _UNKNOWN}, 504),
            "refused_503": Answer({"code": -1001, "msg": "Internal error; unable to process your request."}, 503),
            "error_5xx": Answer(_HTML, 502),
            "rate_429": Answer({"code": -1003, "msg": _TOO_MUCH}, 429, wait),
            "banned_418": Answer({"code": -1003, "msg": _BANNED}, 418, wait),
            "clock_skew": Answer(
                {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}, 400
            ),
            "insufficient": Answer(
                {"code": -2010, "msg": "Account has insufficient balance for requested action."}, 400
            ),
        }
        return answers[kind]

    def barred(self, call: Call) -> Iterable[str]:
        """Clock skew is a matter of signed requests, insufficient funds one of new orders."""
        route = self.rest.routes.get((call.method, call.path))
        if call.label in _ORDERS:
            return ()
        return ("insufficient",) if route is not None and route.signed else ("insufficient", "clock_skew")

    def named(self, call: Call) -> dict[str, str]:
        """The client's order id and the symbol of a request, for the record."""
        params = dict(parse_qsl(call.query + call.body))
        names = ("newClientOrderId", "origClientOrderId", "listClientOrderId", "symbol", "orderId")
        return {name: params[name] for name in names if name in params}

    def is_stream(self, path: str) -> bool:
        """Market streams, and the WebSocket API."""
        return path.startswith(("/stream/ws", "/ws-api/"))

    def url(self, real: str, host: str) -> str:
        """The URL here that stands for a real one; that of market streams must hold "/stream" for ccxt to know them."""
        parts = urlsplit(real)
        scheme = "ws" if parts.scheme in {"ws", "wss"} else "http"
        spot = parts.netloc.startswith(("stream.binance", "testnet.binance", "stream.testnet", "demo-stream"))
        prefix = "/stream" if scheme == "ws" and spot and parts.path == "/ws" else ""
        return f"{scheme}://{host}{prefix}{parts.path}"
