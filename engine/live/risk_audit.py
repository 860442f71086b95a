"""Whether an account ever exceeded its risk limits, from the exchange's own trades alone: no code of the session's.

Marks are the open prices of the bar in which a trade fell, equity is the account's before the bar's first trade. After
each trade a position, the gross and the net exposure must be within their limit, or no larger than they were before the
bar: what the market has moved, a limit does not undo (execution rule 7).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import groupby

import numpy as np

from data.market import Market
from engine.limits import RiskLimits
from engine.live.order_state import Fill, OrderIntent
from engine.rehearsal.orders import Trade

_NS_PER_MS = 1_000_000
_ROUNDING = 1e-9  # of floats, relative


def exceeded(
    trades: Sequence[Trade], market: Market, risk: RiskLimits | None, cash: float, ordered: Iterable[tuple[str, float]]
) -> list[str]:
    """Every breach, in words; none where there are no limits.

    Args:
        trades: the exchange's, as they happened.
        market: the bars that were replayed.
        risk: the limits.
        cash: what the account began with, quote currency.
        ordered: client id and notional (quote) of each order that was sent to enlarge a position.
    """
    if risk is None:
        return []
    found = []
    if risk.max_order_notional is not None:
        most = risk.max_order_notional * (1.0 + _ROUNDING)
        found += [f"order {name}: {value:.8g} of {most:.8g}" for name, value in ordered if value > most]
    opens = market.open.ffill().to_numpy()
    times = market.index.as_unit("ns").asi8
    column = {symbol: at for at, symbol in enumerate(market.symbols)}
    held, money = np.zeros(len(column)), cash
    for row, group in groupby(trades, key=lambda one: int(np.searchsorted(times, one.time * _NS_PER_MS, "right")) - 1):
        mark = np.nan_to_num(opens[row])
        equity = money + float(held @ mark)
        before = held * mark
        for trade in group:
            signed = float(trade.amount) if trade.side == "buy" else -float(trade.amount)
            at, in_coin = column[trade.symbol], trade.fee_asset == trade.symbol.partition("/")[0]
            held[at] += signed - (float(trade.fee) if in_coin else 0.0)
            money -= signed * float(trade.price) + (0.0 if in_coin else float(trade.fee))
            when = f"{market.index[row]:%Y-%m-%d %H:%M} {trade.symbol}"
            found += [f"{when}: {told}" for told in _breaches(held * mark, before, at, risk, equity)]
    return list(dict.fromkeys(found))


def enlarging(orders: Iterable[tuple[OrderIntent, Sequence[Fill]]]) -> list[tuple[str, float]]:
    """Client id and notional (quote) of each order that a target sent: of what it was to add to a position.

    Args:
        orders: with their fills, as they were sent.
    """
    held, found = defaultdict[str, Decimal](Decimal), []
    for intent, fills in orders:
        side, amount = (1 if intent.side == "buy" else -1), Decimal(intent.amount)
        adds = amount - min(amount, max(-side * held[intent.symbol], Decimal(0)))
        if intent.leg == "target" and adds:
            found.append((intent.client_id, float(adds) * intent.expected_price))
        held[intent.symbol] += side * sum((fill.amount for fill in fills), Decimal(0))
    return found


def _breaches(now: np.ndarray, before: np.ndarray, at: int, risk: RiskLimits, equity: float) -> list[str]:
    """Which limits the worth of what is held now breaks, after a trade in column `at`."""
    measured = (
        ("position", risk.max_position, abs(now[at]), abs(before[at])),
        ("gross", risk.max_gross, np.abs(now).sum(), np.abs(before).sum()),
        ("net", risk.max_net, abs(now.sum()), abs(before.sum())),
    )
    return [
        f"{name} exposure {worth / equity:.6f} of equity, the limit is {limit:g}"
        for name, limit, worth, old in measured
        if limit is not None and worth > max(limit * equity, old) * (1.0 + _ROUNDING)
    ]
