"""The rehearsal exchange's records in the words of Bybit v5, linear perpetuals: orders, executions, positions, candles.

The shapes are those of Bybit's public documentation (bybit-exchange.github.io/docs/v5).
"""

from __future__ import annotations

from typing import Any, Final

from data.errors import ValidationError
from engine.rehearsal.exchange import Exchange
from engine.rehearsal.margin import MarginAccount
from engine.rehearsal.money import ZERO, divided, exact, plain, whole_steps
from engine.rehearsal.orders import PROFITS, STOPS, Bar, Order, Reason, Status, Trade
from engine.rehearsal.replay import only_open
from engine.rehearsal.terms import FINEST

# Code and text of each refusal; ccxt tells classes of errors by the code.
REFUSALS: Final = {
    Reason.FUNDS: (110007, "ab not enough for new order"),
    Reason.DUPLICATE: (110072, "OrderLinkedID is duplicate"),
    Reason.UNKNOWN: (110001, "order not exists or too late to cancel"),
    Reason.NOT_OPEN: (110001, "order not exists or too late to cancel"),
    Reason.WOULD_TRIGGER: (110092, "expect Rising, but trigger_price <= current"),
    Reason.STEP: (10001, "Qty invalid"),
    Reason.LARGEST: (10001, "The number of contracts exceeds maximum limit allowed"),
    Reason.SMALLEST: (10001, "The number of contracts is below the minimum"),
    Reason.TICK: (10001, "Price invalid"),
    Reason.NOTIONAL: (110094, "Order does not meet minimum order value"),
    Reason.SYMBOL: (10001, "params error: symbol invalid"),
    Reason.REDUCE_ONLY: (110017, "current position is zero, cannot fix reduce-only order qty"),
    Reason.PRICE_ORDER: (10001, "Price invalid"),
}
_LENGTHS: Final = {1: "1", 3: "3", 5: "5", 15: "15", 30: "30", 60: "60", 120: "120", 240: "240", 360: "360"}
_LONG: Final = {720: "720", 1440: "D", 10_080: "W"}
_NEVER: Final = "1000000000"


def interval_of(length: int) -> str:
    """Bybit's name of a bar length in ms.

    Raises:
        ValidationError: Bybit has no such candles.
    """
    name = {**_LENGTHS, **_LONG}.get(length // 60_000)
    if name is None or length % 60_000:
        raise ValidationError(f"rehearsal: Bybit has no candles of {length / 1000:g} s; resample the market")
    return name


def margin_of(exchange: Exchange) -> MarginAccount:
    """The account of perpetuals.

    Raises:
        ValidationError: the market is spot.
    """
    if exchange.margin is None:
        raise ValidationError("rehearsal: the bybit dialect trades perpetuals; name the symbols BASE/QUOTE:SETTLE")
    return exchange.margin


def instrument(exchange: Exchange, symbol: str) -> dict[str, Any]:
    """One market of instruments-info."""
    terms = exchange.book.terms[symbol]
    step, tick = terms.step or FINEST, terms.tick or FINEST
    most = _NEVER if terms.max_amount is None else plain(terms.max_amount)
    return {
        "symbol": exchange.ids[symbol],
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": terms.base,
        "quoteCoin": terms.quote,
        "settleCoin": terms.quote,
        "launchTime": "0",
        "deliveryTime": "0",
        "priceScale": "8",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": plain(terms.leverage), "leverageStep": "0.01"},
        "priceFilter": {"minPrice": plain(tick), "maxPrice": _NEVER, "tickSize": plain(tick)},
        "lotSizeFilter": {
            "maxOrderQty": most,
            "maxMktOrderQty": most,
            "minOrderQty": plain(max(terms.min_amount, step)),
            "qtyStep": plain(step),
            "minNotionalValue": plain(terms.min_notional),
        },
        "fundingInterval": 480,
        "takerFee": plain(terms.taker),
        "makerFee": plain(terms.maker),
    }


def status_of(order: Order) -> str:
    """An order's status: one whose trigger has not come is a thing of its own."""
    waits = order.stop_price is not None and not order.triggered
    if order.status == Status.NEW:
        return "Untriggered" if waits else "New"
    if order.status in {Status.CANCELLED, Status.EXPIRED}:
        return "Deactivated" if waits else "Cancelled"
    return "Filled" if order.status == Status.FILLED else "PartiallyFilled"


@exact
def order_body(exchange: Exchange, order: Order) -> dict[str, Any]:
    """An order as order/realtime, order/history and the stream tell it."""
    rises = (order.side == "buy") == (order.kind in STOPS)
    conditional = order.kind in STOPS | PROFITS
    average = whole_steps(divided(order.cost, order.filled), FINEST * FINEST) if order.filled else ZERO
    return {
        "category": "linear",
        "symbol": exchange.ids[order.symbol],
        "orderId": str(order.id),
        "orderLinkId": order.client_id,
        "side": order.side.capitalize(),
        "orderType": "Market" if order.price is None else "Limit",
        "orderStatus": status_of(order),
        "price": plain(order.price or ZERO),
        "qty": plain(order.amount),
        "cumExecQty": plain(order.filled),
        "cumExecValue": plain(order.cost),
        "cumExecFee": plain(sum((trade.fee for trade in order.trades), ZERO)),
        "avgPrice": plain(average) if order.filled else "",
        "leavesQty": plain(order.remaining if order.is_open else ZERO),
        "timeInForce": "PostOnly" if order.kind == "limit_maker" else "IOC" if order.price is None else "GTC",
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": False,
        "positionIdx": 0,
        "triggerPrice": plain(order.stop_price) if order.stop_price is not None else "",
        "triggerDirection": (1 if rises else 2) if conditional else 0,
        "stopOrderType": "Stop" if conditional else "",
        "tpslMode": "",
        "takeProfit": "",
        "stopLoss": "",
        "rejectReason": "EC_PostOnlyWillTakeLiquidity" if order.status == Status.EXPIRED else "EC_NoError",
        "createdTime": str(order.created),
        "updatedTime": str(order.updated),
    }


def execution_body(exchange: Exchange, trade: Trade) -> dict[str, Any]:
    """A fill."""
    order, terms = exchange.book.orders[trade.order_id], exchange.book.terms[trade.symbol]
    return {
        "category": "linear",
        "symbol": exchange.ids[trade.symbol],
        "execId": str(trade.id),
        "orderId": str(order.id),
        "orderLinkId": order.client_id,
        "side": trade.side.capitalize(),
        "orderType": "Market" if order.price is None else "Limit",
        "orderPrice": plain(order.price or ZERO),
        "orderQty": plain(order.amount),
        "leavesQty": plain(order.remaining),
        "execType": "Trade",
        "execPrice": plain(trade.price),
        "execQty": plain(trade.amount),
        "execValue": plain(trade.cost),
        "execFee": plain(trade.fee),
        "execPnl": plain(trade.profit),
        "feeRate": plain(terms.maker if trade.maker else terms.taker),
        "feeCurrency": trade.fee_asset,
        "isMaker": trade.maker,
        "execTime": str(trade.time),
        "createType": "CreateByUser",
        "seq": trade.id,
    }


@exact
def position_body(exchange: Exchange, symbol: str) -> dict[str, Any]:
    """The position in one market; size 0 without one."""
    account = margin_of(exchange)
    position = account.positions[symbol]
    mark = exchange.book.last.get(symbol, ZERO)
    side = "Buy" if position.amount > 0 else "Sell" if position.amount < 0 else ""
    return {
        "category": "linear",
        "symbol": exchange.ids[symbol],
        "positionIdx": 0,
        "side": side,
        "size": plain(abs(position.amount)),
        "avgPrice": plain(position.entry),
        "entryPrice": plain(position.entry),
        "positionValue": plain(abs(position.basis)),
        "markPrice": plain(mark),
        "leverage": plain(account.leverage[symbol]),
        "unrealisedPnl": plain(account.unrealised(symbol)),
        "positionIM": plain(account.margin(symbol)),
        "positionMM": "0",
        "liqPrice": "",
        "tradeMode": 0,
        "positionStatus": "Normal",
        "createdTime": str(exchange.book.now),
        "updatedTime": str(exchange.book.now),
    }


@exact
def wallet_body(exchange: Exchange) -> dict[str, Any]:
    """The unified account: wallet balance, what orders and positions tie up, equity."""
    account = margin_of(exchange)
    held = [symbol for symbol, position in account.positions.items() if position.amount]
    wallet = account.free[account.asset] + account.locked[account.asset]
    gained = sum((account.unrealised(symbol) for symbol in held), ZERO)
    tied = sum((account.margin(symbol) for symbol in held), ZERO)
    coin = {
        "coin": account.asset,
        "walletBalance": plain(wallet),
        "equity": plain(wallet + gained),
        "unrealisedPnl": plain(gained),
        "totalPositionIM": plain(tied),
        "totalOrderIM": plain(account.locked[account.asset]),
        "locked": "0",
        "borrowAmount": "0",
        "accruedInterest": "0",
    }
    return {
        "accountType": "UNIFIED",
        "totalEquity": plain(wallet + gained),
        "totalWalletBalance": plain(wallet),
        "totalAvailableBalance": plain(account.spendable(account.asset)),
        "coin": [coin],
    }


@exact
def candle_row(bar: Bar) -> list[str]:
    """A candle as an array of texts; the turnover is at the close."""
    prices = [plain(value) for value in (bar.open, bar.high, bar.low, bar.close, bar.volume)]
    return [str(bar.time), *prices, plain(bar.volume * bar.close)]


@exact
def kline(exchange: Exchange, bar: Bar, *, closed: bool) -> dict[str, Any]:
    """A candle as the stream tells it."""
    known, length = bar if closed else only_open(bar), exchange.replay.length
    return {
        "start": bar.time,
        "end": bar.time + length - 1,
        "interval": interval_of(length),
        "open": plain(known.open),
        "close": plain(known.close),
        "high": plain(known.high),
        "low": plain(known.low),
        "volume": plain(known.volume),
        "turnover": plain(known.volume * known.close),
        "confirm": closed,
        "timestamp": exchange.book.now,
    }


def ticker(exchange: Exchange, symbol: str) -> dict[str, Any]:
    """Prices now."""
    bid, ask = exchange.book.quotes(symbol)
    day = exchange.replay.day(symbol, closed=not exchange.is_open)
    last = plain(exchange.book.last[symbol])
    return {
        "symbol": exchange.ids[symbol],
        "lastPrice": last,
        "markPrice": last,
        "indexPrice": last,
        "prevPrice24h": plain(day.open),
        "highPrice24h": plain(day.high),
        "lowPrice24h": plain(day.low),
        "volume24h": plain(day.volume),
        "bid1Price": plain(bid),
        "bid1Size": "1000000",
        "ask1Price": plain(ask),
        "ask1Size": "1000000",
        "fundingRate": "0",
        "nextFundingTime": "0",
    }
