"""Binance spot's REST interface on the rehearsal exchange: which path does what, and what it weighs.

    rest = BinanceRest(exchange)
    body = rest.answer("GET", "/api/v3/klines", {"symbol": "BTCUSDT", "interval": "30m"})

Paths, weights and codes are those of Binance's public documentation (binance-spot-api-docs, rest-api). Market times are
the venue clock's; `time` and the check of signed requests go by the wall clock, as a client signs by its own.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, cast

from engine.rehearsal.binance_params import (
    Params,
    Route,
    limit_of,
    needed,
    number_of,
    span_of,
    wall_clock,
    whole,
)
from engine.rehearsal.binance_words import (
    DEPTH,
    RATE_LIMITS,
    ApiError,
    book_ticker,
    cancelled_body,
    day_ticker,
    kline_row,
    list_body,
    lot,
    new_order_body,
    order_body,
    refused,
    symbol_info,
    trade_body,
)
from engine.rehearsal.exchange import Exchange
from engine.rehearsal.money import EXACT, plain
from engine.rehearsal.orders import Order, Reason, Refusal, Side, Ticket

_KINDS: Final = {
    "MARKET": "market",
    "LIMIT": "limit",
    "LIMIT_MAKER": "limit_maker",
    "STOP_LOSS": "stop_loss",
    "STOP_LOSS_LIMIT": "stop_loss_limit",
    "TAKE_PROFIT": "take_profit",
    "TAKE_PROFIT_LIMIT": "take_profit_limit",
}
_LONGEST_ID: Final = 36


class BinanceRest:
    """The routes, and the checks of signed requests.

    Args:
        exchange: what is traded on.
        withdrawals: what apiRestrictions tells of the key.
    """

    def __init__(self, exchange: Exchange, *, withdrawals: bool = False) -> None:
        self.exchange = exchange
        self.withdrawals = withdrawals
        api, sapi = "/api/v3/", "/sapi/v1/"
        self.routes: dict[tuple[str, str], Route] = {
            ("GET", api + "ping"): Route(lambda _: {}),
            ("GET", api + "time"): Route(lambda _: {"serverTime": wall_clock()}),
            ("GET", api + "exchangeInfo"): Route(self.exchange_info, 20),
            ("GET", api + "klines"): Route(self.klines, 2),
            ("GET", api + "depth"): Route(self.depth, 5),
            ("GET", api + "trades"): Route(self.market_trades, 25),
            ("GET", api + "aggTrades"): Route(self.aggregate_trades, 4),
            ("GET", api + "ticker/24hr"): Route(lambda p: self._tickers(p, day_ticker), 2),
            ("GET", api + "ticker/bookTicker"): Route(lambda p: self._tickers(p, book_ticker), 2),
            ("GET", api + "ticker/price"): Route(lambda p: self._tickers(p, self._price), 2),
            ("POST", api + "order"): Route(self.new_order, 1, signed=True),
            ("GET", api + "order"): Route(self.get_order, 4, signed=True),
            ("DELETE", api + "order"): Route(self.cancel_order, 1, signed=True),
            ("GET", api + "openOrders"): Route(self.open_orders, 6, signed=True),
            ("DELETE", api + "openOrders"): Route(self.cancel_all, 1, signed=True),
            ("GET", api + "allOrders"): Route(self.all_orders, 20, signed=True),
            ("GET", api + "myTrades"): Route(self.my_trades, 20, signed=True),
            ("GET", api + "account"): Route(self.account, 20, signed=True),
            ("POST", api + "orderList/oco"): Route(self.new_pair, 1, signed=True),
            ("POST", api + "order/oco"): Route(self.new_pair_of_old, 1, signed=True),
            ("GET", api + "orderList"): Route(self.get_pair, 4, signed=True),
            ("GET", api + "openOrderList"): Route(self.open_pairs, 6, signed=True),
            ("DELETE", api + "orderList"): Route(self.cancel_pair, 1, signed=True),
            ("GET", sapi + "system/status"): Route(lambda _: {"status": 0, "msg": "normal"}),
            ("GET", sapi + "capital/config/getall"): Route(self.coins, 10, signed=True),
            ("GET", sapi + "asset/tradeFee"): Route(self.fees, 1, signed=True),
            ("GET", sapi + "account/apiRestrictions"): Route(self.restrictions, 1, signed=True),
            # The client asks for margin pairs and the markets of futures too; there are none.
            ("GET", sapi + "margin/allPairs"): Route(lambda _: [], signed=True),
            ("GET", sapi + "margin/isolated/allPairs"): Route(lambda _: [], 10, signed=True),
            ("GET", "/fapi/v1/exchangeInfo"): Route(lambda _: {"symbols": []}),
            ("GET", "/dapi/v1/exchangeInfo"): Route(lambda _: {"symbols": []}),
        }

    def answer(self, method: str, path: str, params: Params) -> Any:
        """The body of an answer, as JSON; who may ask has been checked.

        Raises:
            ApiError: the request is refused, in Binance's words.
        """
        route = self.routes.get((method, path))
        if route is None:
            raise ApiError(-1020, "This operation is not supported.", 404)
        try:
            return route.call(params)
        except Refusal as refusal:
            raise refused(refusal) from None

    # Markets.

    def exchange_info(self, params: Params) -> Any:
        """Rules of all markets, or of those asked for."""
        names = self._chosen(params) or list(self.exchange.ids)
        head = {"timezone": "UTC", "serverTime": wall_clock(), "rateLimits": list(RATE_LIMITS), "exchangeFilters": []}
        return {**head, "symbols": [symbol_info(self.exchange, symbol) for symbol in names]}

    def klines(self, params: Params) -> Any:
        """Candles that are closed, and the open one, of which its open is all that is known."""
        replay, symbol = self.exchange.replay, self._symbol(params)
        if needed(params, "interval") != replay.timeframe:
            raise ApiError(-1120, "Invalid interval.")
        since, until, limit = whole(params, "startTime"), whole(params, "endTime"), limit_of(params)
        bars = replay.candles(symbol, since, until, limit, closed=not self.exchange.is_open)
        return [kline_row(bar, replay.length) for bar in bars]

    def depth(self, params: Params) -> Any:
        """An order book of one level."""
        bid, ask = self.exchange.book.quotes(self._symbol(params))
        return {"lastUpdateId": self.exchange.replay.row, "bids": [[plain(bid), DEPTH]], "asks": [[plain(ask), DEPTH]]}

    def market_trades(self, params: Params, since: int | None = None) -> Any:
        """The trades that mark the opens of the last bars, and those within the open one."""
        symbol = self._symbol(params)
        amount = lot(self.exchange.book.terms[symbol])
        return [
            {
                "id": tick.number,
                "price": plain(tick.price),
                "qty": amount,
                "quoteQty": plain(EXACT.multiply(tick.price, Decimal(amount))),
                "time": tick.time,
                "isBuyerMaker": False,
                "isBestMatch": True,
            }
            for tick in self.exchange.ticks_of(symbol, limit_of(params), since)
        ]

    def aggregate_trades(self, params: Params) -> Any:
        """The same in the shape of aggregate trades, from a time on where one is given."""
        names = {"a": "id", "p": "price", "q": "qty", "f": "id", "l": "id", "T": "time", "m": "isBuyerMaker"}
        trades = self.market_trades(params, whole(params, "startTime"))
        return [{key: trade[name] for key, name in names.items()} for trade in trades]

    def _price(self, exchange: Exchange, symbol: str) -> dict[str, str]:
        return {"symbol": exchange.ids[symbol], "price": plain(exchange.book.last[symbol])}

    def _tickers(self, params: Params, ticker: Callable[[Exchange, str], Any]) -> Any:
        if "symbol" in params:
            return ticker(self.exchange, self._symbol(params))
        names = self._chosen(params) or list(self.exchange.ids)
        return [ticker(self.exchange, symbol) for symbol in names if symbol in self.exchange.book.last]

    # Orders.

    def new_order(self, params: Params) -> Any:
        """A new order; what can fill at once has filled in the answer."""
        ticket = self._ticket(params, needed(params, "type"), "newClientOrderId", "price", "stopPrice")
        order = self.exchange.book.place(ticket)
        full = order.kind in {"market", "limit"}
        return new_order_body(self.exchange, order, params.get("newOrderRespType", "FULL" if full else "ACK"))

    def get_order(self, params: Params) -> Any:
        """One order, by its id or the client's."""
        return order_body(self.exchange, self._order(params))

    def cancel_order(self, params: Params) -> Any:
        """Cancel an order, and the other leg of its pair."""
        cancel_id = params.get("newClientOrderId", "")
        try:
            order = self._order(params)
            self.exchange.book.cancel(order.symbol, order.id, cancel_id=cancel_id)
        except Refusal as refusal:
            if refusal.reason != Reason.UNKNOWN:
                raise
            raise ApiError(-2011, "Unknown order sent.") from None
        return cancelled_body(self.exchange, order, cancel_id or f"cancel-{order.id}")

    def open_orders(self, params: Params) -> Any:
        """Orders that may still fill."""
        symbol = self._symbol(params) if "symbol" in params else None
        return [order_body(self.exchange, order) for order in self.exchange.book.open_orders(symbol)]

    def cancel_all(self, params: Params) -> Any:
        """Cancel all open orders of a symbol; a pair is told as one."""
        symbol, answers = self._symbol(params), []
        found = self.exchange.book.open_orders(symbol)
        if not found:
            raise ApiError(-2011, "Unknown order sent.")
        for order in found:
            if order.is_open:
                legs = self.exchange.book.cancel(symbol, order.id)
                reports = [cancelled_body(self.exchange, leg, f"cancel-{leg.id}") for leg in legs]
                answers.append(reports[0] if order.list_id == -1 else list_body(self.exchange, legs, reports))
        return answers

    def all_orders(self, params: Params) -> Any:
        """All orders of a symbol, from an id or a time on, or the newest."""
        symbol, first, limit = self._symbol(params), whole(params, "orderId"), limit_of(params)
        since, until = span_of(params)
        orders = self.exchange.book.orders  # numbered from 1 in the order of time
        begin = bisect.bisect_left(range(1, len(orders) + 1), since, key=lambda number: orders[number].created)
        found = (orders[number] for number in range(max(begin + 1, first or 1), len(orders) + 1))
        chosen = [order for order in found if order.symbol == symbol and order.created <= until]
        newest = first is None and "startTime" not in params
        return [order_body(self.exchange, order) for order in (chosen[-limit:] if newest else chosen[:limit])]

    def my_trades(self, params: Params) -> Any:
        """Fills of a symbol or of one order, from an id or a time on, or the newest."""
        symbol, first, limit = self._symbol(params), whole(params, "fromId"), limit_of(params)
        since, until = span_of(params)
        order = whole(params, "orderId")
        if "startTime" in params and "endTime" in params and until - since > 86_400_000:
            raise ApiError(-1127, "More than 24 hours between startTime and endTime.")
        trades = self.exchange.book.trades  # numbered from 1 in the order of time
        begin = max((first or 1) - 1, bisect.bisect_left(trades, since, key=lambda trade: trade.time))
        chosen = [
            trade
            for trade in trades[begin:]
            if trade.symbol == symbol and order in {None, trade.order_id} and trade.time <= until
        ]
        newest = first is None and "startTime" not in params
        return [trade_body(self.exchange, trade) for trade in (chosen[-limit:] if newest else chosen[:limit])]

    # Pairs.

    def new_pair(self, params: Params) -> Any:
        """A pair of orders of which one cancels the other, above and below the market."""
        tickets = [
            self._ticket(
                params,
                needed(params, f"{leg}Type"),
                f"{leg}ClientOrderId",
                f"{leg}Price",
                f"{leg}StopPrice",
                f"{leg}TimeInForce",
            )
            for leg in ("above", "below")
        ]
        return self._place_pair((tickets[0], tickets[1]), params)

    def new_pair_of_old(self, params: Params) -> Any:
        """The same by Binance's older path: a limit maker, and a stop with or without a limit."""
        kind = "STOP_LOSS_LIMIT" if "stopLimitPrice" in params else "STOP_LOSS"
        limit = self._ticket(params, "LIMIT_MAKER", "limitClientOrderId", "price", "")
        force = "stopLimitTimeInForce"
        stop = self._ticket(params, kind, "stopClientOrderId", "stopLimitPrice", "stopPrice", force)
        return self._place_pair((limit, stop), params)

    def _place_pair(self, tickets: tuple[Ticket, Ticket], params: Params) -> Any:
        book = self.exchange.book
        legs = book.place_pair(tickets, params.get("listClientOrderId", f"list-{len(book.orders) + 1}"))
        wanted = params.get("newOrderRespType", "FULL")
        return list_body(self.exchange, legs, [new_order_body(self.exchange, leg, wanted) for leg in legs])

    def get_pair(self, params: Params) -> Any:
        """One pair, by its id or the client's."""
        return list_body(self.exchange, self._pair(params), None)

    def open_pairs(self, params: Params) -> Any:  # noqa: ARG002  (a route's parameters)
        """Pairs of which a leg may still fill."""
        numbers = {order.list_id for order in self.exchange.book.open_orders()} - {-1}
        return [list_body(self.exchange, self.exchange.book.pair(number), None) for number in sorted(numbers)]

    def cancel_pair(self, params: Params) -> Any:
        """Cancel both legs."""
        legs = self._pair(params)
        alive = [leg for leg in legs if leg.is_open]
        if not alive:
            raise ApiError(-2011, "Unknown order sent.")
        self.exchange.book.cancel(alive[0].symbol, alive[0].id)
        return list_body(self.exchange, legs, [cancelled_body(self.exchange, leg, f"cancel-{leg.id}") for leg in legs])

    # The account.

    def account(self, params: Params) -> Any:
        """Balances, free and locked."""
        money = self.exchange.book.account
        omit = params.get("omitZeroBalances") == "true"
        terms = next(iter(self.exchange.book.terms.values()))
        return {
            "makerCommission": 0,
            "takerCommission": 0,
            "commissionRates": {"maker": plain(terms.maker), "taker": plain(terms.taker), "buyer": "0", "seller": "0"},
            "canTrade": True,
            "canWithdraw": self.withdrawals,
            "canDeposit": True,
            "updateTime": self.exchange.book.now,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": plain(free), "locked": plain(money.locked[asset])}
                for asset, free in money.free.items()
                if free or money.locked[asset] or not omit
            ],
            "permissions": ["SPOT"],
            "uid": 1,
        }

    def coins(self, params: Params) -> Any:  # noqa: ARG002  (a route's parameters)
        """The coins of the wallet."""
        return [
            {"coin": asset, "name": asset, "trading": True, "isLegalMoney": False, "networkList": []}
            for asset in self.exchange.book.account.free
        ]

    def fees(self, params: Params) -> Any:
        """Rates of all markets, or of the one asked for."""
        rules = [self.exchange.book.terms[symbol] for symbol in self._chosen(params) or self.exchange.ids]
        named = ((self.exchange.ids[rule.symbol], rule) for rule in rules)
        return [{"symbol": n, "makerCommission": plain(r.maker), "takerCommission": plain(r.taker)} for n, r in named]

    def restrictions(self, params: Params) -> Any:  # noqa: ARG002  (a route's parameters)
        """What the key may do."""
        return {
            "ipRestrict": False,
            "createTime": 0,
            "enableReading": True,
            "enableSpotAndMarginTrading": True,
            "enableWithdrawals": self.withdrawals,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": False,
            "permitsUniversalTransfer": False,
        }

    # Parameters.

    def _symbol(self, params: Params) -> str:
        symbol = self.exchange.by_id.get(needed(params, "symbol"))
        if symbol is None:
            raise ApiError(-1121, "Invalid symbol.")
        return symbol

    def _chosen(self, params: Params) -> list[str]:
        if "symbol" in params:
            return [self._symbol(params)]
        try:
            names = [str(name) for name in json.loads(params.get("symbols", "[]"))]
        except (ValueError, TypeError):
            raise ApiError(-1100, "Illegal characters found in parameter 'symbols'.") from None
        return [self._symbol({"symbol": name}) for name in names]

    def _order(self, params: Params) -> Order:
        number = whole(params, "orderId")
        if number is None and not params.get("origClientOrderId"):
            raise ApiError(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        return self.exchange.book.find(self._symbol(params), number, params.get("origClientOrderId"))

    def _pair(self, params: Params) -> list[Order]:
        name = params.get("origClientOrderId", params.get("listClientOrderId"))
        legs = self.exchange.book.pair(whole(params, "orderListId"), name)
        if not legs:
            raise ApiError(-2013, "Order list does not exist.")
        return legs

    def _ticket(
        self, params: Params, kind: str, name: str, price: str, stop: str, force: str = "timeInForce"
    ) -> Ticket:
        side = needed(params, "side").lower()
        if side not in {"buy", "sell"}:
            raise ApiError(-1117, "Invalid side.")
        if kind not in _KINDS:
            raise ApiError(-1116, "Invalid orderType.")
        client_id = params.get(name, "")
        if len(client_id) > _LONGEST_ID:
            raise ApiError(-1100, f"Illegal characters found in parameter '{name}'.")
        return Ticket(
            symbol=self._symbol(params),
            side=cast(Side, side),
            kind=_KINDS[kind],
            amount=number_of(params, "quantity"),
            price=number_of(params, price),
            stop_price=number_of(params, stop),
            client_id=client_id,
            time_in_force=params.get(force, "GTC"),
            quote_amount=number_of(params, "quoteOrderQty"),
        )
