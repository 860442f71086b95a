"""A spot exchange in memory with the methods of ccxt that a gateway uses; it fails as it is told to, on its own clock.

    clock = ScriptedClock()
    exchange = ScriptedExchange(clock, ["lost", "ok", "rate"])     # one word for each request, then all goes well

The words: "lost" (done, then no answer), "cut" (done, the answer breaks off half-way, which ccxt calls ExchangeError),
"garbage" (done, the answer says nothing), "refused" (503, not done), "late" (no answer; done a moment later, as long as
recvWindow allows), "hidden" (done, no answer, and shown to nobody for a while), "rate" (429), "skew" (-1021),
"maintenance", "locked out" (-2015), "down" (connection refused).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt

from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.order_state import Fill, OrderIntent, client_id

RUN = "run-1"
SYMBOL = "BTC/USDT"
BAR = 1_700_000_000_000_000_000
WINDOW = 2000  # ms
HIDDEN = 0.9  # seconds: below the gateway's settle
URL = "https://api.binance.com/api/v3/order?symbol=BTCUSDT&timestamp=1&signature=0123456789abcdef"


class CrashError(BaseException):
    """The process dies here."""


class ScriptedClock:
    """Time passes where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)


class Points:
    """The places where a process may die; it dies at the `last` of them."""

    def __init__(self, last: int | None = None) -> None:
        self.passed, self.last = 0, last

    def __call__(self) -> None:
        self.passed += 1
        if self.passed == self.last:
            raise CrashError


class DyingJournal(Journal):
    """A journal whose process may die just before or just after each commit."""

    def __init__(self, path: Path, points: Callable[[], None]) -> None:
        self._points: Callable[[], None] = lambda: None
        super().__init__(path)
        self._points = points

    def _commit(self) -> None:
        self._points()
        super()._commit()
        self._points()


class ScriptedExchange:
    """See the module."""

    id = "binance"

    def __init__(
        self, clock: ScriptedClock, faults: Iterable[str] = (), points: Callable[[], None] = lambda: None
    ) -> None:
        self.clock, self.points = clock, points
        self.faults = list(faults)
        self.options: dict[str, Any] = {"timeDifference": 0}
        self.has = {"fetchOrders": True}
        self.timeout = 10_000
        self.last_response_headers: dict[str, str] = {}
        self.skew = 0  # ms by which this machine is ahead of the exchange
        self.book: list[dict[str, Any]] = []  # the exchange's own truth
        self.pending: list[tuple[float, dict[str, Any]]] = []
        self.calls: list[str] = []
        self.trades = 0
        self.pieces = 2  # trades that a market order fills in
        self.fills_shown = True
        self.refusal: Exception | None = None
        self.ban = 3  # seconds that a 429 asks for
        self.filled_share = Decimal(1)  # of a market order; the rest expires: the book is thin
        self.lag = 0  # lookups of trades that show none yet

    # What is not a request

    def milliseconds(self) -> int:
        return int(self.clock.now * 1000) + self.skew

    def market(self, symbol: str) -> dict[str, str]:
        return {"id": symbol.replace("/", "")}

    def amount_to_precision(self, symbol: str, text: str) -> str:
        return str(Decimal(text).quantize(Decimal("0.00001"), rounding="ROUND_DOWN"))

    def price_to_precision(self, symbol: str, text: str) -> str:
        return str(Decimal(text).quantize(Decimal("0.01")))

    def safe_currency_code(self, text: str) -> str:
        return text

    # Requests

    async def fetch_time(self) -> int:
        self._begin("fetch_time", signed=False)
        return int(self.clock.now * 1000)

    async def load_time_difference(self) -> int:
        await self.fetch_time()
        self.skew = 0
        return 0

    async def create_order(
        self, symbol: str, kind: str, side: str, amount: str, price: str | None, params: dict[str, Any]
    ) -> dict[str, Any]:
        order = {"symbol": symbol, "kind": kind, "side": side, "amount": amount, "price": price, **params}
        return await self._change("create_order", order)

    async def private_post_orderlist_oco(self, request: dict[str, str]) -> dict[str, Any]:
        order = {"symbol": SYMBOL, "side": request["side"].lower(), "amount": request["quantity"], "kind": "oco"}
        ids = sorted((value for name, value in request.items() if name.endswith("ClientOrderId")), key=len)[1:]
        return await self._change("create_order", {**order, "price": None, "legs": ids})

    async def cancel_order(self, number: str, symbol: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self._change("cancel_order", {"cancel": params["clientOrderId"]})

    async def fetch_order(self, number: str, symbol: str, params: dict[str, Any]) -> dict[str, Any]:
        self._begin("fetch_order")
        for order in self._visible():
            if order["client_id"] == params["clientOrderId"]:
                return self._told(order)
        raise ccxt.OrderNotFound('binance {"code":-2013,"msg":"Order does not exist."}')

    async def fetch_orders(self, symbol: str, since: object, limit: int) -> list[dict[str, Any]]:
        self._begin("fetch_orders")
        return [self._told(order) for order in self._visible()][-limit:]

    async def fetch_open_orders(self, symbol: str | None = None, *_: object) -> list[dict[str, Any]]:
        self._begin("fetch_open_orders")
        return [self._told(order) for order in self._visible() if order["status"] in ("NEW", "PARTIALLY_FILLED")]

    async def fetch_my_trades(
        self, symbol: str, since: int | None, limit: int, params: dict[str, Any]
    ) -> list[dict[str, Any]]:
        self._begin("fetch_my_trades")
        trades = [trade for order in self._visible() for trade in order["trades"]]
        trades.sort(key=lambda trade: int(trade["id"]))
        if self.lag > 0:
            self.lag, trades = self.lag - 1, trades[:-1]
        if "orderId" in params:
            trades = [trade for trade in trades if trade["order"] == params["orderId"]]
        if "fromId" in params:
            return [trade for trade in trades if int(trade["id"]) >= int(params["fromId"])][:limit]
        if since is not None:
            trades = [trade for trade in trades if since <= trade["timestamp"] < since + 86_400_000]
            return trades[:limit]
        return trades[-limit:]

    async def fetch_balance(self) -> dict[str, Any]:
        self._begin("fetch_balance")
        listed = [
            {"asset": "BTC", "free": "0.123456789012345678", "locked": "0.000000000000000001"},
            {"asset": "USDT", "free": "9007199254740993.01", "locked": "0"},
            {"asset": "BNB", "free": "0.000", "locked": "0.0"},
        ]
        return {"info": {"balances": listed}, "total": {}, "free": {}}

    # How it works

    def _begin(self, name: str, *, signed: bool = True, effect: Callable[[], Any] | None = None) -> Any:
        self.points()
        self._arrive()
        self.calls.append(name)
        fault = self.faults.pop(0) if self.faults else "ok"
        self._refuse(fault, signed)
        answer = effect() if effect is not None and fault != "late" else None
        self.points()
        if fault in ("lost", "late"):
            raise ccxt.RequestTimeout(f"binance POST {URL}")
        if fault == "cut":
            raise ccxt.ExchangeError(f"binance POST {URL}")
        if fault == "hidden" and effect is not None:
            self.book[-1]["shown_at"] = self.clock.now + HIDDEN
            raise ccxt.ExchangeNotAvailable(f"binance POST {URL}")
        if fault == "garbage":
            if effect is None:
                raise ccxt.BadResponse("binance <html>")
            return {}
        return answer

    def _refuse(self, fault: str, signed: bool) -> None:
        if fault == "rate":
            self.last_response_headers = {"Retry-After": str(self.ban)}
            raise ccxt.DDoSProtection("binance 429 Too Many Requests")
        if fault == "maintenance":
            raise ccxt.OnMaintenance('binance {"code":1,"msg":"System is under maintenance."}')
        if fault in ("refused", "down"):
            raise ccxt.ExchangeNotAvailable(f"binance POST {URL} 503 Service Unavailable")
        if fault == "locked out":
            raise ccxt.AuthenticationError('binance {"code":-2015,"msg":"Invalid API-key, IP, or permissions."}')
        if signed and (fault == "skew" or abs(self.skew) > WINDOW):
            raise ccxt.InvalidNonce('binance {"code":-1021,"msg":"Timestamp outside of the recvWindow."}')

    async def _change(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        if self.faults and self.faults[0] == "late":  # it arrives in the very last moment that it can
            self.pending.append((self.clock.now + WINDOW / 1000, request))
        return dict(self._begin(name, effect=lambda: self._execute(request)))

    def _arrive(self) -> None:
        while self.pending and self.pending[0][0] <= self.clock.now:
            self._quietly(self.pending.pop(0)[1])

    def end(self) -> None:
        """Let arrive whatever is on its way still."""
        self.clock.now += 60.0
        self._arrive()

    def _quietly(self, request: dict[str, Any]) -> None:
        with contextlib.suppress(ccxt.BaseError):
            self._execute(request)

    def _execute(self, request: dict[str, Any]) -> dict[str, Any]:
        if "cancel" in request:
            return self._cancel(request["cancel"])
        if self.refusal is not None:
            raise self.refusal
        ids = request.get("legs") or [request["clientOrderId"]]
        if any(o["client_id"] in ids and o["status"] == "NEW" for o in self.book):
            raise ccxt.InvalidOrder('binance {"code":-2010,"msg":"Duplicate order sent."}')
        order: dict[str, Any] = {}
        for one in ids:
            order = {
                "client_id": one,
                "id": str(100 + len(self.book)),
                "symbol": request["symbol"],
                "status": "NEW",
                "side": request["side"],
                "amount": Decimal(request["amount"]),
                "price": request["price"],
                "executed": Decimal(0),
                "trades": [],
                "at": int(self.clock.now * 1000),
                "shown_at": 0.0,
                "list": request.get("legs"),
            }
            self.book.append(order)
        if request["kind"] == "market" and "stopLossPrice" not in request:
            self.fill(order, order["amount"] * self.filled_share, self.pieces)
            order["status"] = "FILLED" if self.filled_share == 1 else "EXPIRED"
        return self._told(order)

    def _cancel(self, wanted: str) -> dict[str, Any]:
        for order in self.book:
            if order["client_id"] == wanted and order["status"] in ("NEW", "PARTIALLY_FILLED"):
                for leg in self.book:
                    if leg is order or (order["list"] and leg["list"] == order["list"]):
                        leg["status"] = "CANCELED"
                return {**self._told(order), "clientOrderId": "cancel-of-it"}
        raise ccxt.OrderNotFound('binance {"code":-2011,"msg":"Unknown order sent."}')

    def fill(self, order: dict[str, Any], amount: Decimal, pieces: int = 1) -> None:
        for number in range(pieces):
            part = amount / pieces
            self.trades += 1
            fee = part * Decimal("0.001") if order["side"] == "buy" else part * Decimal("0.07")
            order["trades"].append(
                {
                    "id": str(self.trades),
                    "order": order["id"],
                    "symbol": order["symbol"],
                    "side": order["side"],
                    "price": float(60_000 + number),
                    "amount": float(part),
                    "timestamp": int(self.clock.now * 1000),
                    "fee": {"cost": float(fee), "currency": "BTC" if order["side"] == "buy" else "USDT"},
                    "takerOrMaker": "taker",
                    "info": {"price": f"{60_000 + number}.00000000", "qty": f"{part:f}", "commission": f"{fee:f}"},
                }
            )
            order["executed"] += part
        order["status"] = "FILLED" if order["executed"] == order["amount"] else "PARTIALLY_FILLED"

    def _visible(self) -> list[dict[str, Any]]:
        return [order for order in self.book if order["shown_at"] <= self.clock.now]

    def _told(self, order: dict[str, Any]) -> dict[str, Any]:
        status = {"NEW": "open", "PARTIALLY_FILLED": "open", "FILLED": "closed"}.get(order["status"])
        return {
            "id": order["id"],
            "clientOrderId": order["client_id"],
            "symbol": order["symbol"],
            "side": order["side"],
            "status": status or order["status"].lower(),
            "filled": float(order["executed"]),
            "amount": float(order["amount"]),
            "price": order["price"] and float(order["price"]),
            "timestamp": order["at"],
            "trades": [dict(one) for one in order["trades"]] if self.fills_shown else [],
            "info": {
                "executedQty": f"{order['executed']:f}",
                "origQty": f"{order['amount']:f}",
                "price": order["price"] or "0.00000000",
                "origClientOrderId": order["client_id"],
            },
        }


def an_order(
    leg: str = "entry", kind: str = "market", side: str = "buy", amount: str = "0.015", **other: Any
) -> OrderIntent:
    given: dict[str, Any] = {"price": None, "stop_price": None, "post_only": False, "expected_price": 60_000.0, **other}
    number = client_id(RUN, BAR, SYMBOL, leg)
    return OrderIntent(number, SYMBOL, side, kind, amount, reason="target 0.5", bar=BAR, leg=leg, **given)


def a_gateway(exchange: ScriptedExchange, journal: Journal, kind: type[Gateway] = Gateway, **settings: Any) -> Gateway:
    return kind(exchange, journal, run=RUN, recv_window=WINDOW, clock=exchange.clock, **settings)


def a_fill(
    trade_id: str,
    amount: Any,
    price: Any = "60000",
    fee: Any = "0",
    currency: str = "",
    side: str = "buy",
    at: int = 0,
    symbol: str = SYMBOL,
) -> Fill:
    money = Decimal(price), Decimal(amount), Decimal(fee)
    return Fill("binance", symbol, trade_id, "1", side, *money, currency, at, None)
