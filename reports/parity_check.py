"""Whether two brokers did the same: equity at every bar, orders one by one (the promise of DESIGN.md).

verdict = parity(backtest(strategy, market), paper(strategy, market))
print(verdict)                       # figures, and the first difference as both brokers saw it
verdict.raise_if_different()
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import LadderError, ValidationError
from engine.result import Result

# What identifies an order, and what it then must agree on within the tolerance.
_EXACT: Final = ["symbol", "side", "decided_at", "filled_at"]
_CLOSE: Final = ["amount", "price", "fee"]


class ParityError(LadderError):
    """Two brokers that promise the same results differ."""


@dataclass(frozen=True)
class Parity:
    """The comparison of two results.

    Attributes:
        brokers: who executed each of them; told apart as "paper (1)", "paper (2)" where they are the same.
        bars: how many bars both have, and were compared.
        largest_difference: of equity, relative to the larger of the two; NaN where no bar could be compared.
        worst_bar: where that is; None where equity is the same at every bar.
        orders: how many each has.
        matched: orders that are in both, equal in every field.
        tolerance: relative, for equity, amount, price and fee.
        first_difference: the earliest difference, its bar and both brokers' view; None where there is none.
    """

    brokers: tuple[str, str]
    bars: int
    largest_difference: float
    worst_bar: pd.Timestamp | None
    orders: tuple[int, int]
    matched: int
    tolerance: float
    first_difference: str | None

    @property
    def ok(self) -> bool:
        """Whether both are the same within the tolerance."""
        return self.first_difference is None

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        one, other = self.brokers
        where = f" at {self.worst_bar}" if self.worst_bar is not None else ""
        lines = [
            f"Parity of {one} and {other}: {'the same' if self.ok else 'DIFFERENT'}",
            f"  bars compared             {self.bars:,}",
            f"  largest equity difference {self.largest_difference:.2e}{where} (tolerance {self.tolerance:.0e})",
            f"  orders                    {self.orders[0]:,} and {self.orders[1]:,}, {self.matched:,} equal one by one",
        ]
        if self.first_difference is not None:
            lines += ["  first difference:"] + [f"    {line}" for line in self.first_difference.splitlines()]
        return "\n".join(lines)

    def raise_if_different(self) -> None:
        """Nothing where both are the same.

        Raises:
            ParityError: they differ; the message is this comparison in full.
        """
        if not self.ok:
            raise ParityError(str(self))


def parity(a: Result, b: Result, tolerance: float = 1e-9) -> Parity:
    """Compare two results bar by bar and order by order.

    Equal are: cash, timeframe, symbols and bars; equity at each bar within `tolerance`, relative to the larger; and the
    order lists: symbol, side, decided_at, filled_at, reason and the order of execution exactly, amount, price and fee
    within `tolerance`; the positions at each bar within it; and the verdicts of the risk limits, one by one. Whatever
    does not agree is a difference, never an error.

    Raises:
        ValidationError: `a` or `b` is no Result, or the tolerance is not a number of at least 0.
    """
    for name, value in (("a", a), ("b", b)):
        if not isinstance(value, Result):
            raise ValidationError(f"parity: {name} must be a Result, got {type(value).__name__}")
    if not tolerance >= 0.0:
        raise ValidationError(f"parity: tolerance {tolerance!r} must be a number of at least 0")
    brokers = (a.broker, b.broker) if a.broker != b.broker else (f"{a.broker} (1)", f"{b.broker} (2)")
    bars, relative = _equity_differences(a, b)
    different = ~(relative <= tolerance)
    worst = int(np.argmax(np.where(np.isnan(relative), np.inf, relative))) if len(bars) else 0
    matched, order_difference = _order_differences(a.orders, b.orders, brokers, tolerance)
    found: list[tuple[pd.Timestamp, int, str]] = []
    if order_difference is not None:
        found.append((order_difference[0], 0, order_difference[1]))
    if different.any():
        bar = bars[int(np.argmax(different))]
        found.append((bar, 1, _equity_view(a, b, brokers, bar, float(relative[np.argmax(different)]))))
    for number, difference in enumerate(
        (_position_difference(a, b, brokers, bars, tolerance), _event_difference(a, b, brokers, tolerance))
    ):
        if difference is not None:
            found.append((difference[0], 2 + number, difference[1]))
    first = min(found)[2] if found else None
    return Parity(
        brokers=brokers,
        bars=len(bars),
        largest_difference=float(relative[worst]) if len(bars) else float("nan"),
        worst_bar=bars[worst] if len(bars) and relative[worst] != 0.0 else None,
        orders=(len(a.orders), len(b.orders)),
        matched=matched,
        tolerance=tolerance,
        first_difference=_setup_difference(a, b, brokers) or first,
    )


def _setup_difference(a: Result, b: Result, brokers: tuple[str, str]) -> str | None:
    """Why the two runs are not of the same task, if they are not."""
    checks: list[tuple[str, Any, Any]] = [
        ("cash", a.cash, b.cash),
        ("timeframe", a.timeframe, b.timeframe),
        ("symbols", sorted(map(str, a.positions.columns)), sorted(map(str, b.positions.columns))),
    ]
    for name, one, other in checks:
        if one != other:
            return f"{name}: {brokers[0]} {one}, {brokers[1]} {other}"
    if len(a.equity) == len(b.equity) and a.equity.index.equals(b.equity.index):
        return None
    lone = a.equity.index.symmetric_difference(b.equity.index)
    where = ""
    if len(lone):
        owner = brokers[0 if lone[0] in a.equity.index else 1]
        where = f"; {len(lone):,} bars are in one alone, first {lone[0]} ({owner})"
    return f"bars: {brokers[0]} {_span(a)}, {brokers[1]} {_span(b)}{where}"


def _span(result: Result) -> str:
    index = result.equity.index
    return f"{len(index):,} from {index[0]} to {index[-1]}" if len(index) else "none"


def _equity_differences(a: Result, b: Result) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """The bars both have, and the relative difference of equity at each; NaN where either is not a number."""
    common = pd.DatetimeIndex(a.equity.index.intersection(b.equity.index))
    one = a.equity.reindex(common).to_numpy(dtype=np.float64)
    other = b.equity.reindex(common).to_numpy(dtype=np.float64)
    return common, _relative(one, other)


def _relative(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    gap = np.abs(one - other)
    scale = np.maximum(np.abs(one), np.abs(other))
    relative: np.ndarray = np.divide(gap, scale, out=gap.copy(), where=scale > 0.0)
    return relative


def _equity_view(a: Result, b: Result, brokers: tuple[str, str], bar: pd.Timestamp, gap: float) -> str:
    lines = [f"equity at bar {bar}: {gap:.3e} relative"]
    for name, result in zip(brokers, (a, b), strict=True):
        held = ", ".join(f"{symbol} {amount:.12g}" for symbol, amount in result.positions.loc[bar].items() if amount)
        lines.append(f"{name}: {float(result.equity.loc[bar])!r}, holding {held or 'nothing'}")
    return "\n".join(lines)


def _position_difference(
    a: Result, b: Result, brokers: tuple[str, str], bars: pd.DatetimeIndex, tolerance: float
) -> tuple[pd.Timestamp, str] | None:
    """The first bar at whose close they hold different amounts of a symbol that both know."""
    symbols = [symbol for symbol in a.positions.columns if symbol in b.positions.columns]
    one, other = (result.positions.reindex(bars)[symbols].to_numpy(dtype=np.float64) for result in (a, b))
    different = ~(_relative(one, other) <= tolerance)
    if not different.any():
        return None
    row, column = np.argwhere(different)[0]
    views = [f"{name}: {float(table[row, column])!r}" for name, table in zip(brokers, (one, other), strict=True)]
    return bars[row], "\n".join([f"position in {symbols[column]} at bar {bars[row]}", *views])


def _event_difference(
    a: Result, b: Result, brokers: tuple[str, str], tolerance: float
) -> tuple[pd.Timestamp, str] | None:
    """The first verdict of the risk limits that is not in both."""
    one, other = a.risk_events, b.risk_events
    count = min(len(one), len(other))
    exact = ["at", "decided_at", "symbol", "verdict", "rule"]
    left, right = one[exact].iloc[:count].reset_index(drop=True), other[exact].iloc[:count].reset_index(drop=True)
    different = (left.ne(right) & ~(left.isna() & right.isna())).to_numpy().any(axis=1)
    for column in ("wanted", "allowed"):
        values = [table[column].to_numpy(dtype=np.float64)[:count] for table in (one, other)]
        different |= ~(_relative(*values) <= tolerance) & ~(np.isnan(values[0]) & np.isnan(values[1]))
    if not different.any() and len(one) == len(other):
        return None
    at = int(np.argmax(different)) if different.any() else count
    views, times = [], []
    for name, table in zip(brokers, (one, other), strict=True):
        if at < len(table):
            event = table.iloc[at]
            times.append(event["at"])
            what = f"{event['verdict']} {event['symbol']} {event['rule']}, wanted {event['wanted']!r}"
            views.append(f"{name}: {what}, allowed {event['allowed']!r} at bar {event['at']}")
        else:
            views.append(f"{name}: no such verdict")
    return min(times), "\n".join([f"verdict {at + 1} of the risk limits", *views])


def _order_differences(
    a: pd.DataFrame, b: pd.DataFrame, brokers: tuple[str, str], tolerance: float
) -> tuple[int, tuple[pd.Timestamp, str] | None]:
    """How many orders are equal, and the bar and view of the first that is not."""
    sides = [table.assign(row=np.arange(len(table)), nth=table.groupby(_EXACT).cumcount()) for table in (a, b)]
    pairs = sides[0].merge(sides[1], how="outer", on=[*_EXACT, "nth"], suffixes=("_a", "_b"))
    both = pairs["row_a"].notna() & pairs["row_b"].notna()
    equal = both & (pairs["reason_a"] == pairs["reason_b"])
    for column in _CLOSE:
        gap = _relative(pairs[f"{column}_a"].to_numpy(np.float64), pairs[f"{column}_b"].to_numpy(np.float64))
        equal &= gap <= tolerance
    if not equal.all():
        wrong = pairs[~equal]
        place = np.fmin(wrong["row_a"], wrong["row_b"])
        first = wrong.assign(place=place).sort_values(["filled_at", "place"]).iloc[0]
        return int(equal.sum()), (first["filled_at"], _order_view(first, brokers))
    swapped = np.flatnonzero(pairs.sort_values("row_a")["row_b"].to_numpy() != np.arange(len(pairs)))
    if not len(swapped):
        return len(pairs), None
    at = int(swapped[0])
    views = [f"{name}: {_sentence(table.iloc[at])}" for name, table in zip(brokers, (a, b), strict=True)]
    bar = a["filled_at"].iloc[at]
    return len(pairs), (bar, "\n".join([f"sequence of the orders at bar {bar}: order {at + 1}", *views]))


def _order_view(pair: pd.Series, brokers: tuple[str, str]) -> str:
    lines = [f"order of {pair['symbol']} at bar {pair['filled_at']}, decided at {pair['decided_at']}"]
    for name, suffix in zip(brokers, ("_a", "_b"), strict=True):
        if pd.isna(pair[f"row{suffix}"]):
            lines.append(f"{name}: no such order")
        else:
            own: dict[str, Any] = {column: pair[f"{column}{suffix}"] for column in [*_CLOSE, "reason"]}
            own |= {column: pair[column] for column in _EXACT}
            lines.append(f"{name}: {_sentence(pd.Series(own))}")
    return "\n".join(lines)


def _sentence(order: pd.Series) -> str:
    return (
        f"{order['side']} {float(order['amount'])!r} {order['symbol']} at {float(order['price'])!r}, "
        f"fee {float(order['fee'])!r}, {order['reason']!r}"
    )
