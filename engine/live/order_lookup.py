"""How an exchange is asked for an order by its client id, told to cancel it, and asked for its newest orders.

Each question is a method of ccxt with its arguments. Most exchanges answer `fetch_order`. Bybit shows an order among
the open ones, and for a while after its end, and then in its history; the one is asked first, so that an order which
ends between the two is found in the other.
"""

from __future__ import annotations

from typing import Any, Final

RECENT: Final = 100  # orders in the list that must agree before an order is sent again
_BYBIT: Final = "bybit"
_BYBIT_PAGE: Final = 50  # orders: the most that Bybit gives at once

Question = tuple[Any, ...]


def lookups(exchange: Any, symbol: str, client_id: str) -> tuple[Question, ...]:
    """The questions for one order; it is not there where none of them, in this order, finds it."""
    if _is_bybit(exchange):
        named = {"orderLinkId": client_id}
        return (
            ("fetch_open_orders", symbol, None, None, named),
            ("fetch_canceled_and_closed_orders", symbol, None, None, named),
        )
    return (("fetch_order", "", symbol, {"clientOrderId": client_id}),)


def cancelling(exchange: Any, symbol: str, client_id: str) -> Question:
    """The request that cancels an order."""
    if _is_bybit(exchange):
        return "cancel_order", None, symbol, {"orderLinkId": client_id}
    return "cancel_order", "", symbol, {"clientOrderId": client_id}


def recent(exchange: Any, symbol: str) -> tuple[Question, ...]:
    """The questions for the newest orders of a symbol."""
    if _is_bybit(exchange):
        return (
            ("fetch_open_orders", symbol, None, _BYBIT_PAGE),
            ("fetch_canceled_and_closed_orders", symbol, None, _BYBIT_PAGE),
        )
    return (("fetch_orders" if exchange.has.get("fetchOrders") else "fetch_open_orders", symbol, None, RECENT),)


def open_ones(exchange: Any, symbol: str | None, margin_in: str | None) -> Question:
    """The question for every order that rests; `margin_in` is the currency of perpetuals, None on spot."""
    if _is_bybit(exchange):
        settled = {} if margin_in is None else {"settleCoin": margin_in}
        return "fetch_open_orders", symbol, None, None, {**paging(exchange), **settled}
    return "fetch_open_orders", symbol


def trades_of(exchange: Any, symbol: str, order_id: str) -> Question:
    """The question for the trades of one order, by the exchange's id."""
    return "fetch_order_trades", order_id, symbol, None, None, paging(exchange)


def paging(exchange: Any) -> dict[str, Any]:
    """What has ccxt ask for one page after the other, where an exchange tells few records at once."""
    return {"paginate": True} if _is_bybit(exchange) else {}


def _is_bybit(exchange: Any) -> bool:
    return str(exchange.id) == _BYBIT
