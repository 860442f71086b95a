"""Fills that are recorded more than once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from data.errors import ValidationError
from reports.hummingbot.records.fill import Fill

_SIMULATED: Final = "papertrade"


def without_duplicates(fills: Sequence[Fill]) -> tuple[list[int], list[str]]:
    """Which fills stay, by position, and what is to be said of the others.

    An exchange gives a trade one id in a market. A second row with it is the same fill, recorded twice, where time,
    side, price and amount agree. Rows of opposite sides and different orders are the two halves of a trade that a
    user's bots made with each other, and both stay. A fill without an id is never taken for another.

    Raises:
        ValidationError: two rows of one trade that differ.
    """
    first: dict[tuple[str, ...], Fill] = {}
    kept, dropped, halves, nameless = [], 0, 0, 0
    for number, fill in enumerate(fills):
        if not fill.trade_id:
            nameless += 1
            kept.append(number)
            continue
        key: tuple[str, ...] = (fill.exchange, fill.symbol, fill.trade_id)
        if _SIMULATED in fill.exchange.lower().replace("_", ""):
            # Its ids are clock readings of the bot's own: only within an order they tell a trade.
            key += (fill.order_id,)
        known = first.setdefault(key, fill)
        if known is not fill and _facts(known) == _facts(fill):
            dropped += 1
            continue
        if known is not fill:
            if known.side == fill.side or known.order_id == fill.order_id:
                raise _conflict(known, fill)
            other = first.setdefault((*key, fill.side), fill)
            if other is not fill:
                if _facts(other) != _facts(fill):
                    raise _conflict(other, fill)
                dropped += 1
                continue
            halves += 1
        kept.append(number)
    notes = []
    if dropped:
        notes.append(f"{dropped:,} fills were recorded twice (same exchange, symbol, trade id) and dropped")
    if halves:
        notes.append(f"{halves:,} trades have both sides in the file, made by the user's own orders: both are kept")
    if nameless:
        notes.append(f"{nameless:,} fills have no trade id: nothing tells whether they are recorded twice")
    return kept, notes


def _facts(fill: Fill) -> tuple[object, ...]:
    return fill.time, fill.side, str(fill.price), str(fill.amount)


def _conflict(first: Fill, second: Fill) -> ValidationError:
    return ValidationError(
        f"{second.place}: trade {second.trade_id!r} of {second.symbol} on {second.exchange} is there twice, and "
        f"differs: {_told(first)} ({first.place}), {_told(second)}; delete the wrong one in a copy, and read that"
    )


def _told(fill: Fill) -> str:
    moment = f"{fill.time / 1e9:.3f} s"
    return f"{fill.side} {fill.amount} at {fill.price}, {moment}, order {fill.order_id!r}"
