"""Bybit v5's REST interface, linear perpetuals, on the rehearsal exchange: which path does what.

Not there: positions in hedge mode, stops attached to a position (position/trading-stop), amendments, batches.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from engine.rehearsal.bybit_words import (
    REFUSALS,
    candle_row,
    execution_body,
    instrument,
    interval_of,
    margin_of,
    order_body,
    position_body,
    ticker,
    wallet_body,
)
from engine.rehearsal.exchange import Exchange
from engine.rehearsal.money import plain
from engine.rehearsal.orders import Order, Reason, Refusal, Side, Ticket

Params = Mapping[str, Any]
_FORCES: Final = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK", "PostOnly": "GTC"}


class BybitError(Exception):
    """An answer that is an error: Bybit's code and text; the HTTP status is 200."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class BybitRest:
    """The routes: by "METHOD /path", what is done and whether it must be signed."""

    def __init__(self, exchange: Exchange, *, withdrawals: bool = False) -> None:
        self.exchange = exchange
        self.withdrawals = withdrawals
        self.interval = interval_of(exchange.replay.length)
        self.routes: dict[str, tuple[Callable[[Params], Any], bool]] = {
            "GET /v5/market/instruments-info": (self.instruments, False),
            "GET /v5/market/kline": (self.klines, False),
            "GET /v5/market/tickers": (self.tickers, False),
            "GET /v5/market/orderbook": (self.depth, False),
            "GET /v5/market/recent-trade": (self.market_trades, False),
            "GET /v5/asset/coin/query-info": (self.coins, True),
            "GET /v5/user/query-api": (self.key, True),
            "GET /v5/account/info": (lambda _: {"unifiedMarginStatus": 5, "marginMode": "REGULAR_MARGIN"}, True),
            "GET /v5/account/wallet-balance": (lambda _: {"list": [wallet_body(exchange)]}, True),
            "GET /v5/position/list": (self.positions, True),
            "POST /v5/position/set-leverage": (self.set_leverage, True),
            "POST /v5/order/create": (self.create, True),
            "POST /v5/order/cancel": (self.cancel, True),
            "POST /v5/order/cancel-all": (self.cancel_all, True),
            "GET /v5/order/realtime": (self.realtime, True),
            "GET /v5/order/history": (self.history, True),
            "GET /v5/execution/list": (self.executions, True),
        }

    def answer(self, label: str, params: Params) -> Any:
        """The result of a request.

        Raises:
            BybitError: the request is refused, in Bybit's words.
        """
        route = self.routes.get(label)
        if route is None:
            raise BybitError(10001, f"{label} is not here")
        try:
            return route[0](params)
        except Refusal as refusal:
            raise BybitError(*REFUSALS[refusal.reason]) from None

    # Markets.

    def instruments(self, params: Params) -> Any:
        """Rules of the markets; only linear ones are there."""
        linear = params.get("category") == "linear" and params.get("status", "Trading") == "Trading"
        names = [self._symbol(params)] if "symbol" in params else list(self.exchange.ids)
        found = [instrument(self.exchange, symbol) for symbol in names] if linear else []
        return {"category": params.get("category", "linear"), "list": found, "nextPageCursor": ""}

    def klines(self, params: Params) -> Any:
        """Candles, the newest first: the closed ones, and the open one's open."""
        if params.get("interval") != self.interval:
            raise BybitError(10001, "Invalid period!")
        since, until = (int(params[name]) if name in params else None for name in ("start", "end"))
        limit, symbol = min(int(params.get("limit", 200)), 1000), self._symbol(params)
        bars = self.exchange.replay.candles(symbol, since, until, limit, closed=not self.exchange.is_open)
        rows = [candle_row(bar) for bar in reversed(bars)]
        return {"category": "linear", "symbol": self.exchange.ids[symbol], "list": rows}

    def tickers(self, params: Params) -> Any:
        """Prices now."""
        names = [self._symbol(params)] if "symbol" in params else list(self.exchange.book.last)
        return {"category": "linear", "list": [ticker(self.exchange, symbol) for symbol in names]}

    def depth(self, params: Params) -> Any:
        """An order book of one level."""
        symbol = self._symbol(params)
        bid, ask = (plain(price) for price in self.exchange.book.quotes(symbol))
        row, now = self.exchange.replay.row, self.exchange.book.now
        sides = {"b": [[bid, "1000000"]], "a": [[ask, "1000000"]]}
        return {"s": self.exchange.ids[symbol], **sides, "ts": now, "u": row + 1, "seq": row + 1}

    def market_trades(self, params: Params) -> Any:
        """The trades that mark the opens of the last bars, the newest first."""
        symbol = self._symbol(params)
        bars = self.exchange.replay.candles(symbol, None, None, min(int(params.get("limit", 500)), 1000))
        found = [
            {
                "execId": str(bar.time // self.exchange.replay.length),
                "symbol": self.exchange.ids[symbol],
                "price": plain(bar.open),
                "size": "1",
                "side": "Buy",
                "time": str(bar.time),
            }
            for bar in reversed(bars)
        ]
        return {"category": "linear", "list": found}

    # Orders.

    def create(self, params: Params) -> Any:
        """A new order: the answer says only that it was taken, as Bybit's does."""
        ticket = self._ticket(params)
        try:
            order = self.exchange.book.place(ticket)
        except Refusal as refusal:
            if refusal.reason != Reason.WOULD_TAKE:
                raise
            order = self.exchange.book.admit_dead(ticket)  # Bybit takes it, and cancels it at once
        return {"orderId": str(order.id), "orderLinkId": order.client_id}

    def cancel(self, params: Params) -> Any:
        """Cancel an order by its id or the client's."""
        order = self._order(params)
        self.exchange.book.cancel(order.symbol, order.id)
        return {"orderId": str(order.id), "orderLinkId": order.client_id}

    def cancel_all(self, params: Params) -> Any:
        """Cancel all open orders, of a symbol where one is named."""
        found = self.exchange.book.open_orders(self._symbol(params) if "symbol" in params else None)
        for order in found:
            self.exchange.book.cancel(order.symbol, order.id)
        return {"list": [{"orderId": str(o.id), "orderLinkId": o.client_id} for o in found], "success": "1"}

    def realtime(self, params: Params) -> Any:
        """Open orders; where an id is named, that order, open or among the last 500 closed ones."""
        if "orderId" in params or "orderLinkId" in params:
            return self._listed([order for order in self._named(params) if self._is_recent(order)])
        found = self.exchange.book.open_orders(self._symbol(params) if "symbol" in params else None)
        if params.get("orderFilter") in {"Order", "StopOrder"}:
            found = [
                order for order in found if (order.stop_price is not None) == (params["orderFilter"] == "StopOrder")
            ]
        return self._listed(found, {"limit": 20, **params})

    def history(self, params: Params) -> Any:
        """Closed orders, the newest first."""
        orders = self._named(params) if "orderId" in params or "orderLinkId" in params else self._since(params)
        return self._listed([order for order in reversed(orders) if not order.is_open], params)

    def executions(self, params: Params) -> Any:
        """Fills, the newest first."""
        trades = self.exchange.book.trades
        begin = bisect.bisect_left(trades, int(params.get("startTime", 0)), key=lambda trade: trade.time)
        symbol = self._symbol(params) if "symbol" in params else None
        number = int(params["orderId"]) if "orderId" in params else None
        chosen = [
            trade
            for trade in reversed(trades[begin:])
            if symbol in {None, trade.symbol}
            and number in {None, trade.order_id}
            and trade.time <= int(params.get("endTime", 1 << 62))
        ]
        page, cursor = _page(chosen, params, 100)
        found = [execution_body(self.exchange, trade) for trade in page]
        return {"category": "linear", "list": found, "nextPageCursor": cursor}

    # The account.

    def positions(self, params: Params) -> Any:
        """Positions: of one symbol, or all that are not zero."""
        account = self.exchange.margin
        held = [symbol for symbol in self.exchange.ids if account is not None and account.positions[symbol].amount]
        names = [self._symbol(params)] if "symbol" in params else held
        found = [position_body(self.exchange, symbol) for symbol in names]
        return {"category": "linear", "list": found, "nextPageCursor": ""}

    def set_leverage(self, params: Params) -> Any:
        """The leverage of one market, the same for buying and for selling, as one-way mode has it."""
        symbol, chosen = self._symbol(params), _number(params, "buyLeverage")
        account, most = margin_of(self.exchange), self.exchange.book.terms[symbol].leverage
        if chosen is None or chosen != _number(params, "sellLeverage") or not 1 <= chosen <= most:
            raise BybitError(10001, "params error: leverage invalid")
        if chosen == account.leverage[symbol]:
            raise BybitError(110043, "Set leverage has not been modified.")
        account.leverage[symbol] = chosen
        return {}

    def coins(self, params: Params) -> Any:  # noqa: ARG002  (a route's parameters)
        """The currency that everything settles in."""
        return {"rows": [{"coin": self.exchange.quote, "name": self.exchange.quote, "chains": []}]}

    def key(self, params: Params) -> Any:  # noqa: ARG002  (a route's parameters)
        """What the key may do."""
        wallet = ["AccountTransfer", "Withdraw"] if self.withdrawals else []
        rights = {"ContractTrade": ["Order", "Position"], "Wallet": wallet}
        return {"readOnly": 0, "unified": 0, "uta": 1, "permissions": rights, "ips": ["*"]}

    # Parameters.

    def _symbol(self, params: Params) -> str:
        symbol = self.exchange.by_id.get(str(params.get("symbol", "")))
        if symbol is None:
            raise BybitError(10001, "params error: symbol invalid")
        return symbol

    def _order(self, params: Params) -> Order:
        number = int(params["orderId"]) if params.get("orderId") else None
        return self.exchange.book.find(self._symbol(params), number, params.get("orderLinkId"))

    def _named(self, params: Params) -> list[Order]:
        try:
            return [self._order(params)]
        except Refusal:
            return []

    def _is_recent(self, order: Order) -> bool:
        return order.is_open or order.id > len(self.exchange.book.orders) - 500

    def _since(self, params: Params) -> list[Order]:
        since, until = int(params.get("startTime", 0)), int(params.get("endTime", 1 << 62))
        symbol = self._symbol(params) if "symbol" in params else None
        return [
            order
            for order in self.exchange.book.orders.values()
            if symbol in {None, order.symbol} and since <= order.created <= until
        ]

    def _listed(self, orders: list[Order], params: Params | None = None) -> Any:
        page, cursor = (orders, "") if params is None else _page(orders, params)
        return {
            "category": "linear",
            "list": [order_body(self.exchange, order) for order in page],
            "nextPageCursor": cursor,
        }

    def _ticket(self, params: Params) -> Ticket:
        side, force = str(params.get("side", "")).lower(), str(params.get("timeInForce", "GTC"))
        if side not in {"buy", "sell"} or params.get("orderType") not in {"Market", "Limit"} or force not in _FORCES:
            raise BybitError(10001, "params error: side, orderType or timeInForce invalid")
        limit, trigger = params["orderType"] == "Limit", _number(params, "triggerPrice")
        kind = "limit_maker" if force == "PostOnly" else "limit" if limit else "market"
        if trigger is not None:
            rises = str(params.get("triggerDirection", "")) == "1"
            waits = "stop_loss" if rises == (side == "buy") else "take_profit"
            kind = f"{waits}_limit" if limit else waits
        return Ticket(
            symbol=self._symbol(params),
            side=cast(Side, side),
            kind=kind,
            amount=_number(params, "qty"),
            price=_number(params, "price") if limit else None,
            stop_price=trigger,
            client_id=str(params.get("orderLinkId", "")),
            time_in_force=_FORCES[force],
            reduce_only=params.get("reduceOnly") is True,
        )


def _number(params: Params, name: str) -> Decimal | None:
    if name not in params:
        return None
    try:
        number = Decimal(str(params[name]))
    except InvalidOperation:
        raise BybitError(10001, f"params error: {name} invalid") from None
    if not number.is_finite() or number < 0:
        raise BybitError(10001, f"params error: {name} invalid")
    return number


def _page(found: list[Any], params: Params, most: int = 50) -> tuple[list[Any], str]:
    """A page of records, `most` of them at most, and the cursor of the next; "" after the last."""
    begin, limit = int(params.get("cursor") or 0), min(int(params.get("limit", 50)), most)
    end = begin + limit
    return found[begin:end], str(end) if end < len(found) else ""
