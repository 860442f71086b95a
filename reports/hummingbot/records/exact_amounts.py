"""Amounts and prices before they were cut to a millionth, where the database has them elsewhere.

A grid executor's orders, those of a position that was kept, and the orders that were open when the bot last saved its
state are stored as JSON with each of their fills, in exact decimals. Such a figure is taken only where cutting it gives
what the fill's own row has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from reports.hummingbot.records.cells import DIGITS, decimal_of
from reports.hummingbot.records.fill import Fill

_STEP: Final = Decimal(1).scaleb(-DIGITS)
_Key = tuple[str, str]
_DEEPEST: Final = 50


def exact_fills(document: Any) -> dict[_Key, tuple[Decimal, Decimal]]:
    """Price and amount of every fill that a document tells of, by the order's own id and the trade's."""
    found: dict[_Key, tuple[Decimal, Decimal]] = {}
    for order in orders_in(document):
        fills = order.get("order_fills")
        if not isinstance(fills, dict):
            continue
        for trade_id, fill in fills.items():
            if isinstance(fill, dict):
                price, amount = decimal_of(fill.get("fill_price")), decimal_of(fill.get("fill_base_amount"))
                if price is not None and amount is not None:
                    found[str(order["client_order_id"]), str(trade_id)] = price, amount
    return found


def orders_in(document: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Every order within a document: what has a `client_order_id` and is not one of an order's fills."""
    if depth > _DEEPEST:
        return
    if isinstance(document, dict):
        if isinstance(document.get("client_order_id"), str) and "fill_base_amount" not in document:
            yield document
            return
        for value in document.values():
            yield from orders_in(value, depth + 1)
    elif isinstance(document, list):
        for value in document:
            yield from orders_in(value, depth + 1)


def restore(fills: Sequence[Fill], exact: dict[_Key, tuple[Decimal, Decimal]]) -> set[int]:
    """Put the exact figures into the fills; by position, those that are exact now."""
    restored = set()
    for number, fill in enumerate(fills):
        known = exact.get((fill.order_id, fill.trade_id))
        if known is None:
            continue
        price, amount = known
        stored = Decimal(0) if fill.price.is_nan() else fill.price
        if price > 0 and _cut(price) == stored and _cut(amount) == fill.amount:
            fill.price, fill.amount = price, amount
            restored.add(number)
    return restored


def _cut(value: Decimal) -> Decimal:
    return value.quantize(_STEP, rounding=ROUND_DOWN)
