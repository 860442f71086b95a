"""Which of a position's barriers an exchange holds for us, and which are watched on its trades instead.

What rests on the exchange survives our death, so it rests wherever it can. Where a stop and a profit cannot both rest,
for that takes an OCO order, the stop does: it is the one that protects, and a profit that is missed loses nothing.

| the exchange has | stop alone | profit alone | both |
|---|---|---|---|
| stop and OCO orders | rests | rests | both rest |
| stop orders, no OCO | rests | rests | the stop rests, the profit is watched |
| perpetuals, stop orders | rests | rests | both rest, as two orders that only reduce |
| no stop orders | watched | rests | both are watched |

A watched stop dies with us. It is therefore watched only where somebody has said so (`watch_exits`).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from data.errors import ValidationError
from engine.exits import Exits

_STOP_ORDERS: Final = ("createStopLossOrder", "createStopOrder", "createTriggerOrder")


class Rests(NamedTuple):
    """Whether a strategy's stop, and its take profit, rest on the exchange; those that do not are watched."""

    stop: bool = True
    profit: bool = True


def has_oco(exchange: Any) -> bool:
    """Whether we can send it a stop beside a profit as one order: ccxt has no such order, Binance's spot a request."""
    return exchange.has.get("spot") is not False and bool(getattr(exchange, "private_post_orderlist_oco", None))


def what_rests(exchange: Any, exits: Exits | None, *, apart: bool = False) -> Rests:
    """Which of a strategy's barriers an exchange holds, by what it has.

    Args:
        exchange: of ccxt.
        exits: the strategy's; None for none.
        apart: of perpetuals, whose stop and profit are two orders that only reduce.
    """
    if exits is None or (exits.stop_loss is None and exits.trailing is None):
        return Rests()
    if not any(exchange.has.get(name) for name in _STOP_ORDERS):
        # A profit that rested alone would lock what the watched stop has to sell.
        return Rests(stop=False, profit=exits.take_profit is None)
    return Rests(profit=apart or exits.take_profit is None or has_oco(exchange))


def refuse_unless_allowed(exchange: Any, exits: Exits | None, *, watch_exits: bool, apart: bool = False) -> None:
    """Refuse a stop that would die with this process, unless somebody has allowed it; ask for trades to watch.

    Args:
        exchange: of ccxt.
        exits: the strategy's; None for none.
        watch_exits: whether a stop may be watched.
        apart: as in `what_rests`.

    Raises:
        ValidationError: a stop that the exchange cannot hold, and no leave to watch it; or nothing to watch it on.
    """
    rests = what_rests(exchange, exits, apart=apart)
    if not rests.stop and not watch_exits:
        raise ValidationError(
            f"{exchange.id}: has no stop orders, and the strategy has a stop: it would be watched by this process "
            "alone, and protect nothing once that has died; say that it may (watch_exits=True, --watch-exits), or "
            "trade without a stop"
        )
    if not all(rests) and not any(exchange.has.get(name) for name in ("watchTrades", "fetchTrades", "fetchTicker")):
        raise ValidationError(
            f"{exchange.id}: cannot hold all barriers of the strategy, and tells no trades to watch them on "
            "(watchTrades, fetchTrades, fetchTicker); trade with the stop, or with the profit, alone"
        )
