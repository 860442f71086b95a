"""The orders of a rehearsed session beside those of `engine.paper` on the same bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from data.market import Market
from engine.brokers import paper
from engine.live.order_state import Fill, OrderIntent, average_price, sum_of
from engine.strategy import Strategy

_NS_PER_MS: Final = 1_000_000


class Traded(NamedTuple):
    """An order that filled: what was meant, how much of it (base) at which average price (quote)."""

    intent: OrderIntent
    amount: Decimal
    price: float


def beside_paper(
    strategy: Strategy,
    market: Market,
    start: int,
    orders: Sequence[tuple[OrderIntent, Sequence[Fill]]],
    terms: Mapping[str, Any],
) -> tuple[int, list[str]]:
    """How many orders are those of `paper`, and how the others differ; both by symbol, in the order they filled.

    Args:
        strategy: of both.
        market: the bars that were replayed, with the forecasts that the session had.
        start: row of the first bar that the session could decide on.
        orders: the session's, with their fills, as they were sent.
        terms: of `paper`: cash, costs, venue, risk.

    Returns:
        Orders alike, from each symbol's first one on, and the first that differs of each symbol, in words.
    """
    begun = replace(Begun(), inner=strategy, when=market.index[start])
    # The last bar is left out by what filled in it: nobody decides at its close, and barriers that rest in it may be
    # older in the one record than in the other.
    last = market.index[-1]
    wanted = paper(begun, market, **terms).orders
    wanted = wanted[wanted["filled_at"] < last]
    traded = [
        Traded(intent, sum_of(fill.amount for fill in fills), float(average_price(tuple(fills)) or "nan"))
        for intent, fills in orders
        if fills and fills[0].at * _NS_PER_MS < last.value
    ]
    matched, differences = 0, []
    for symbol in market.symbols:
        mine = [one for one in traded if one.intent.symbol == symbol]
        theirs = list(wanted[wanted["symbol"] == symbol].itertuples())
        for place in range(max(len(mine), len(theirs))):
            one = mine[place] if place < len(mine) else None
            other = theirs[place] if place < len(theirs) else None
            if one is not None and other is not None and _alike(one, other):
                matched += 1
                continue
            differences.append(f"{symbol} order {place + 1}: {_told(one)} | paper: {_paper(other)}")
            break
    return matched, differences


@dataclass(frozen=True)
class Begun(Strategy):
    """A strategy that decides nothing before a session begins.

    Attributes:
        inner: what decides from then on.
        when: opening time of the first bar that it decides on.
    """

    inner: Strategy | None = None
    when: pd.Timestamp | None = None

    @property
    def warmup(self) -> int:
        """What `inner` needs lies before the session."""
        return 1

    @property
    def exits(self) -> Any:  # type: ignore[override]
        """As of `inner`."""
        return None if self.inner is None else self.inner.exits

    @property
    def order_notional(self) -> Any:  # type: ignore[override]
        """As of `inner`."""
        return None if self.inner is None else self.inner.order_notional

    def targets(self, market: Market) -> pd.DataFrame:
        """Those of `inner`, but before the session begins."""
        assert self.inner is not None and self.when is not None  # noqa: S101, PT018 - for mypy
        begun = int(market.index.searchsorted(self.when))
        targets = self.inner.targets(market).copy()
        targets.iloc[:begun] = np.nan
        return targets

    def scale(self, market: Market) -> pd.DataFrame | None:
        """As of `inner`."""
        return None if self.inner is None else self.inner.scale(market)


def _alike(one: Traded, other: Any) -> bool:
    near = abs(float(one.amount) / other.amount - 1.0) < 1e-9 and abs(one.price / other.price - 1.0) < 1e-6
    return bool(one.intent.side == other.side and near)


def _told(one: Traded | None) -> str:
    if one is None:
        return "nothing"
    intent, amount, price = one
    when = f"{pd.Timestamp(intent.bar, tz='UTC'):%Y-%m-%d %H:%M}"
    return f"{when} {intent.side} {amount:f} at {price:.10g} ({intent.reason})"


def _paper(other: Any) -> str:
    if other is None:
        return "nothing"
    return f"{other.decided_at:%Y-%m-%d %H:%M} {other.side} {other.amount:.10g} at {other.price:.10g} ({other.reason})"
