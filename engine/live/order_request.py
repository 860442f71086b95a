"""An order as the request that ccxt is given: every number as text, and none that ccxt would round."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from data.errors import ValidationError
from engine.live.order_state import OrderIntent
from engine.live.what_rests import has_oco


def request_of(exchange: Any, intent: OrderIntent) -> tuple[Any, ...]:
    """The method of a ccxt exchange that sends an order, and its arguments."""
    if intent.kind == "oco":
        return "private_post_orderlist_oco", oco_request(exchange, intent)
    params: dict[str, Any] = {"clientOrderId": intent.client_id}
    if intent.post_only:
        params["postOnly"] = True
    if intent.reduce_only:
        params["reduceOnly"] = True
    if intent.stop_price is not None:
        params["stopLossPrice"] = intent.stop_price
    kind = "limit" if intent.kind == "limit" else "market"
    # A market order has no price: with one, ccxt would send its worth in quote currency instead of its amount.
    return "create_order", intent.symbol, kind, intent.side, intent.amount, intent.price, params


def oco_request(exchange: Any, intent: OrderIntent) -> dict[str, str]:
    """Binance's request for an OCO: a resting limit on one side of the price, a stop at the market on the other."""
    limit, stop = ("above", "below") if intent.side == "sell" else ("below", "above")
    return {
        "symbol": str(exchange.market(intent.symbol)["id"]),
        "side": intent.side.upper(),
        "quantity": intent.amount,
        "listClientOrderId": intent.client_id,
        f"{limit}Type": "LIMIT_MAKER",
        f"{limit}Price": str(intent.price),
        f"{limit}ClientOrderId": intent.legs[0],
        f"{stop}Type": "STOP_LOSS",
        f"{stop}StopPrice": str(intent.stop_price),
        f"{stop}ClientOrderId": intent.legs[1],
    }


def check_precision(exchange: Any, intent: OrderIntent) -> None:
    """Refuse an order that ccxt would round on its way out: the journal must say what the exchange gets.

    Raises:
        ValidationError: the number, and what would leave in its place; or an OCO order, and the exchange has none.
    """
    if intent.kind == "oco" and not has_oco(exchange):
        raise ValidationError(f"order {intent.client_id}: {exchange.id} takes no oco orders; Binance's spot alone does")
    given = (("amount", intent.amount), ("price", intent.price), ("stop_price", intent.stop_price))
    for name, text in given:
        if text is None:
            continue
        way = exchange.amount_to_precision if name == "amount" else exchange.price_to_precision
        try:
            sent = str(way(intent.symbol, text))
        except Exception as error:  # noqa: BLE001  (ccxt's, with words of its own)
            sent = f"nothing ({type(error).__name__})"
        if sent != text and _decimal(sent) != Decimal(text):
            raise ValidationError(
                f"order {intent.client_id}: {intent.symbol} {name} {text} would leave as {sent}; round it first "
                "(engine.precision)"
            )


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
