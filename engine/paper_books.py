"""What the paper broker keeps beside backtrader's own books: positions with their barriers, waiting orders, records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

_NAN = float("nan")
_FILL = ("row", "decided", "column", "amount", "price", "fee", "reason", "held")
_EVENT = ("row", "decided", "column", "verdict", "rule", "wanted", "allowed")


@dataclass(slots=True)
class Position:
    """What is held of a symbol, how it was entered, what it is worth, and its barriers' live orders.

    `within`: filled within this bar, whose range before is not its own. `trailing`: the stop is the trailing one.
    """

    held: float = 0.0
    average: float = _NAN
    best: float = _NAN
    scale: float = 1.0
    opened: int = 0
    decided: int = 0
    changed: int = -1
    seen: int = 0
    within: bool = False
    mark: float = _NAN
    last_close: float = _NAN
    last_volume: float = 0.0
    stop: Any = None
    trailing: bool = False
    profit: Any = None


@dataclass(slots=True)
class Waiting:
    """A decision's order until it fills, is replaced or is dropped.

    `decided` is the row, `known` when the bar opened that it was decided by; `left` counts the bars of one that rests,
    at `price`; `order` is backtrader's, once it is sent.
    """

    amount: float
    decided: int
    known: int
    close: float
    smallest: float
    scale: float
    reason: int
    left: int = 0
    cut: int = 0
    price: float | None = None
    order: Any = None

    @property
    def rests(self) -> bool:
        """Whether it is in the book, and not on its way to the market."""
        return self.left > 0


class Intent(NamedTuple):
    """What a fill is to be, before its price is known."""

    column: int
    amount: float
    rate: float
    reason: int
    cut: int
    decided: int
    scale: float
    within: bool


class Records:
    """What was executed and judged, one list a field, and what was paid by bar and symbol."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.fills: dict[str, list[Any]] = {name: [] for name in _FILL}
        self.events: dict[str, list[Any]] = {name: [] for name in _EVENT}
        self.funding: Any = np.zeros(shape)
        self.borrow: Any = np.zeros(shape)

    def fill(self, *values: Any) -> None:
        """A fill, its values as in the orders table, and the position after it."""
        for column, value in zip(self.fills.values(), values, strict=True):
            column.append(value)

    def event(self, *values: Any) -> None:
        """A verdict, its values as in the table of risk events."""
        for column, value in zip(self.events.values(), values, strict=True):
            column.append(value)

    def arrays(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Both tables as arrays: whole numbers, floats, and text."""
        floats = ("amount", "price", "fee", "held", "wanted", "allowed")

        def array(name: str, values: list[Any]) -> np.ndarray:
            kind = object if name == "reason" else np.float64 if name in floats else np.int64
            return np.array(values, dtype=kind)

        return (
            {name: array(name, values) for name, values in self.fills.items()},
            {name: array(name, values) for name, values in self.events.items()},
        )


def positions_held(shape: tuple[int, ...], fills: Mapping[str, np.ndarray]) -> np.ndarray:
    """Amount held at each close (bars, symbols), from the position after each fill."""
    positions = np.zeros(shape)
    for column in range(shape[1]):
        chosen = np.flatnonzero(fills["column"] == column)
        after = np.concatenate([[0.0], fills["held"][chosen]])
        rows = fills["row"][chosen]
        positions[:, column] = after[np.searchsorted(rows, np.arange(len(positions)), side="right")]
    return positions
