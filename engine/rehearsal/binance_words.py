"""The rehearsal exchange's records in the words of Binance spot: orders, trades, candles, tickers, refusals as JSON.

The shapes are those of Binance's public documentation (binance-spot-api-docs, rest-api and web-socket-streams).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from engine.rehearsal.exchange import Exchange
from engine.rehearsal.money import ONE, ZERO, divided, exact, plain, whole_steps
from engine.rehearsal.orders import Bar, Order, Reason, Refusal, Status, Trade
from engine.rehearsal.terms import FINEST, Terms

STATUS: Final = {
    Status.NEW: "NEW",
    Status.PARTLY_FILLED: "PARTIALLY_FILLED",
    Status.FILLED: "FILLED",
    Status.CANCELLED: "CANCELED",
    Status.EXPIRED: "EXPIRED",
}
ORDER_TYPES: Final = (
    "LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT",
)  # fmt: skip
# Code and text of each refusal; ccxt tells classes of errors by the text.
REFUSALS: Final = {
    Reason.FUNDS: (-2010, "Account has insufficient balance for requested action."),
    Reason.DUPLICATE: (-2010, "Duplicate order sent."),
    Reason.UNKNOWN: (-2013, "Order does not exist."),
    Reason.NOT_OPEN: (-2011, "Unknown order sent."),
    Reason.WOULD_TAKE: (-2010, "Order would immediately match and take."),
    Reason.WOULD_TRIGGER: (-2010, "Stop price would trigger immediately."),
    Reason.PRICE_ORDER: (-2010, "The relationship of the prices for the orders is not correct."),
    Reason.STEP: (-1013, "Filter failure: LOT_SIZE"),
    Reason.LARGEST: (-1013, "Filter failure: LOT_SIZE"),
    Reason.SMALLEST: (-1013, "Filter failure: LOT_SIZE"),
    Reason.TICK: (-1013, "Filter failure: PRICE_FILTER"),
    Reason.NOTIONAL: (-1013, "Filter failure: NOTIONAL"),
    Reason.SYMBOL: (-1121, "Invalid symbol."),
    Reason.REDUCE_ONLY: (-2010, "ReduceOnly Order is rejected."),
}
RATE_LIMITS: Final = (
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
)
DEPTH: Final = "1000000"  # base currency that is said to be offered at bid and ask
_NEVER: Final = "1000000000"  # a largest amount or price where there is none


class ApiError(Exception):
    """An answer that is an error: HTTP status, Binance's code and text, headers."""

    def __init__(self, code: int, text: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """As JSON."""
        return {"code": self.code, "msg": self.text}


def refused(refusal: Refusal) -> ApiError:
    """A refusal of the book in Binance's words."""
    code, text = REFUSALS[refusal.reason]
    return ApiError(code, text)


def symbol_info(exchange: Exchange, symbol: str) -> dict[str, Any]:
    """One market of exchangeInfo."""
    terms = exchange.book.terms[symbol]
    step, tick = terms.step or FINEST, terms.tick or FINEST
    most = _NEVER if terms.max_amount is None else plain(terms.max_amount)
    least = plain(max(terms.min_amount, step))
    notional = {"filterType": "NOTIONAL", "minNotional": plain(terms.min_notional), "applyMinToMarket": True}
    largest = {} if terms.max_notional is None else {"maxNotional": plain(terms.max_notional)}
    return {
        "symbol": exchange.ids[symbol],
        "status": "TRADING",
        "baseAsset": terms.base,
        "baseAssetPrecision": 8,
        "quoteAsset": terms.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": plain(tick), "maxPrice": _NEVER, "tickSize": plain(tick)},
            {"filterType": "LOT_SIZE", "minQty": least, "maxQty": most, "stepSize": plain(step)},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0", "maxQty": most, "stepSize": "0"},
            {**notional, **largest, "avgPriceMins": 0},
        ],
        "permissions": ["SPOT"],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }


def order_body(exchange: Exchange, order: Order) -> dict[str, Any]:
    """An order as GET order, openOrders and allOrders tell it."""
    return {
        "symbol": exchange.ids[order.symbol],
        "orderId": order.id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        "price": plain(order.price or ZERO),
        "origQty": plain(order.amount),
        "executedQty": plain(order.filled),
        "origQuoteOrderQty": plain(order.quote_amount or ZERO),
        "cummulativeQuoteQty": plain(order.cost),
        "status": STATUS[order.status],
        "timeInForce": order.time_in_force,
        "type": order.kind.upper(),
        "side": order.side.upper(),
        "stopPrice": plain(order.stop_price or ZERO),
        "icebergQty": "0",
        "time": order.created,
        "updateTime": order.updated,
        "isWorking": order.stop_price is None or order.triggered,
        "workingTime": order.created,
        "selfTradePreventionMode": "NONE",
    }


def new_order_body(exchange: Exchange, order: Order, wanted: str) -> dict[str, Any]:
    """The answer to a new order: ACK, RESULT or FULL."""
    whole = order_body(exchange, order)
    body = {name: whole[name] for name in ("symbol", "orderId", "orderListId", "clientOrderId")}
    body["transactTime"] = order.updated
    if wanted == "ACK":
        return body
    names = (
        "price", "origQty", "executedQty", "origQuoteOrderQty", "cummulativeQuoteQty", "status", "timeInForce", "type",
        "side", "stopPrice", "workingTime", "selfTradePreventionMode",
    )  # fmt: skip
    body.update({name: whole[name] for name in names})
    if wanted == "FULL":
        body["fills"] = [
            {
                "price": plain(trade.price),
                "qty": plain(trade.amount),
                "commission": plain(trade.fee),
                "commissionAsset": trade.fee_asset,
                "tradeId": trade.id,
            }
            for trade in order.trades
        ]
    return body


def cancelled_body(exchange: Exchange, order: Order, cancel_id: str) -> dict[str, Any]:
    """The answer to a cancel."""
    whole = order_body(exchange, order)
    names = (
        "symbol", "orderId", "orderListId", "price", "origQty", "executedQty", "origQuoteOrderQty",
        "cummulativeQuoteQty", "status", "timeInForce", "type", "side", "stopPrice", "selfTradePreventionMode",
    )  # fmt: skip
    body = {name: whole[name] for name in names}
    return {**body, "origClientOrderId": order.client_id, "clientOrderId": cancel_id, "transactTime": order.updated}


def list_body(exchange: Exchange, legs: Sequence[Order], reports: list[dict[str, Any]] | None) -> dict[str, Any]:
    """A pair of orders of which one cancels the other."""
    first, done = legs[0], not any(leg.is_open for leg in legs)
    body: dict[str, Any] = {
        "orderListId": first.list_id,
        "contingencyType": "OCO",
        "listStatusType": "ALL_DONE" if done else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if done else "EXECUTING",
        "listClientOrderId": first.list_client_id,
        "transactionTime": max(leg.updated for leg in legs),
        "symbol": exchange.ids[first.symbol],
        "orders": [
            {"symbol": exchange.ids[leg.symbol], "orderId": leg.id, "clientOrderId": leg.client_id} for leg in legs
        ],
    }
    if reports is not None:
        body["orderReports"] = reports
    return body


def trade_body(exchange: Exchange, trade: Trade) -> dict[str, Any]:
    """A fill as myTrades tells it."""
    return {
        "symbol": exchange.ids[trade.symbol],
        "id": trade.id,
        "orderId": trade.order_id,
        "orderListId": exchange.book.orders[trade.order_id].list_id,
        "price": plain(trade.price),
        "qty": plain(trade.amount),
        "quoteQty": plain(trade.cost),
        "commission": plain(trade.fee),
        "commissionAsset": trade.fee_asset,
        "time": trade.time,
        "isBuyer": trade.side == "buy",
        "isMaker": trade.maker,
        "isBestMatch": True,
    }


@exact
def kline_row(bar: Bar, length: int) -> list[Any]:
    """A candle as an array: quote volume at the close, 0 for what a market does not hold (trades, taker volumes)."""
    volume = plain(bar.volume)
    prices = [plain(value) for value in (bar.open, bar.high, bar.low, bar.close)]
    return [bar.time, *prices, volume, bar.time + length - 1, plain(bar.volume * bar.close), 0, "0", "0", "0"]


def lot(terms: Terms) -> str:
    """The amount of the trade that marks a bar's open."""
    return plain(max(terms.min_amount, terms.step) or ONE)


def book_ticker(exchange: Exchange, symbol: str) -> dict[str, Any]:
    """Best bid and ask."""
    bid, ask = exchange.book.quotes(symbol)
    name = exchange.ids[symbol]
    return {"symbol": name, "bidPrice": plain(bid), "bidQty": DEPTH, "askPrice": plain(ask), "askQty": DEPTH}


@exact
def day_ticker(exchange: Exchange, symbol: str) -> dict[str, Any]:
    """The last 24 hours, of bars that are closed and the open one's open."""
    day = exchange.replay.day(symbol, closed=not exchange.is_open)
    last = exchange.book.last[symbol]
    bid, ask = exchange.book.quotes(symbol)
    change = last - day.open
    average = whole_steps(divided(day.worth, day.volume), FINEST) if day.volume else last
    return {
        "symbol": exchange.ids[symbol],
        "priceChange": plain(change),
        "priceChangePercent": plain(whole_steps(divided(change * 100, day.open), Decimal("0.001"))),
        "weightedAvgPrice": plain(average),
        "prevClosePrice": plain(day.open),
        "lastPrice": plain(last),
        "lastQty": lot(exchange.book.terms[symbol]),
        "bidPrice": plain(bid),
        "bidQty": DEPTH,
        "askPrice": plain(ask),
        "askQty": DEPTH,
        "openPrice": plain(day.open),
        "highPrice": plain(day.high),
        "lowPrice": plain(day.low),
        "volume": plain(day.volume),
        "quoteVolume": plain(day.worth),
        "openTime": day.time,
        "closeTime": exchange.book.now,
        "firstId": 0,
        "lastId": exchange.replay.row,
        "count": day.bars,
    }
