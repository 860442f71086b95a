"""`pmm_simple`: pure market making, a buy and a sell order at each distance from the price, and its prices."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

import numpy as np
import pandas as pd

from data.errors import ValidationError
from engine.checks import is_number
from reports.hummingbot.config import ControllerConfig
from reports.hummingbot.thresholds import at_least, at_most


@dataclass(frozen=True)
class PmmSimple:
    """`pmm_simple`: orders wait below and above the close, each executor with its own triple barrier once filled.

    Its signal is the price alone. On a spot connector Hummingbot's controller also buys the coins that its sell orders
    need, and its backtester buys and sells them anew every other bar, as it sees a position a bar late; that is not
    imitated: `read_controller` refuses a spot connector unless it says `skip_rebalance: true`.

    Attributes:
        buy_spreads: distances of the buy orders from the close, fractions of it.
        sell_spreads: distances of the sell orders.
        buy_amounts_pct, sell_amounts_pct: each order's part of total_amount_quote, in any unit, of both sides
            together; None for equal parts.
        executor_refresh_time: an order that is not filled by then is taken back, and placed anew on the next bar.
    """

    controller_name: ClassVar[str] = "pmm_simple"
    buy_spreads: tuple[float, ...] = (0.01, 0.02)
    sell_spreads: tuple[float, ...] = (0.01, 0.02)
    buy_amounts_pct: tuple[float, ...] | None = None
    sell_amounts_pct: tuple[float, ...] | None = None
    executor_refresh_time: pd.Timedelta = pd.Timedelta(minutes=5)  # noqa: RUF009  (a Timedelta cannot be changed)

    def __post_init__(self) -> None:
        for side in ("buy", "sell"):
            spreads, amounts = getattr(self, f"{side}_spreads"), getattr(self, f"{side}_amounts_pct")
            _require_positive(f"{side}_spreads", spreads, below=1.0 if side == "buy" else None)
            if amounts is not None:
                _require_positive(f"{side}_amounts_pct", amounts)
                if len(amounts) != len(spreads):
                    raise ValidationError(
                        f"pmm_simple: {len(amounts)} {side}_amounts_pct for {len(spreads)} {side}_spreads; give each "
                        "order one"
                    )
        refresh = self.executor_refresh_time
        if not isinstance(refresh, pd.Timedelta) or refresh <= pd.Timedelta(0):
            raise ValidationError(
                f"pmm_simple: executor_refresh_time {refresh!r} must be a positive Timedelta: pd.Timedelta('5min')"
            )

    @property
    def default_config(self) -> ControllerConfig:
        """Hummingbot's own for market making: 15 seconds of cooldown, after a stop loss alone."""
        return ControllerConfig(cooldown_time=pd.Timedelta(seconds=15))

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the orders as Hummingbot has them, in the order in which it places them."""
        return tuple(f"buy_{number}" for number in range(len(self.buy_spreads))) + tuple(
            f"sell_{number}" for number in range(len(self.sell_spreads))
        )

    @property
    def sides(self) -> np.ndarray:
        """1 or -1 for each of `levels`."""
        return np.array([1] * len(self.buy_spreads) + [-1] * len(self.sell_spreads), dtype=np.int64)

    def quotes(self, total_amount_quote: float) -> np.ndarray:
        """Quote currency of each of `levels`."""
        buys = self.buy_amounts_pct or (1.0,) * len(self.buy_spreads)
        sells = self.sell_amounts_pct or (1.0,) * len(self.sell_spreads)
        parts: np.ndarray = np.array([*buys, *sells], dtype=np.float64)
        quotes: np.ndarray = parts / parts.sum() * total_amount_quote
        return quotes

    def prices(self, close: np.ndarray) -> np.ndarray:
        """What a close must come to for an order that was placed at each of `close` to fill, (T, L).

        Hummingbot multiplies in decimals, with the float of each spread; see `thresholds`.
        """
        spreads = [Decimal(float(spread)) for spread in (*self.buy_spreads, *self.sell_spreads)]
        factors = [1 - spread if buys > 0 else 1 + spread for spread, buys in zip(spreads, self.sides, strict=True)]
        rounded = [at_most if buys > 0 else at_least for buys in self.sides]
        table = np.empty((len(close), len(factors)))
        for row, price in enumerate(map(Decimal, close.tolist())):
            for level, factor in enumerate(factors):
                table[row, level] = rounded[level](price * factor)
        return table


def _require_positive(name: str, values: object, below: float | None = None) -> None:
    if not isinstance(values, tuple) or not values:
        raise ValidationError(
            f"pmm_simple: {name} {values!r} must be a tuple of positive numbers, such as (0.01, 0.02)"
        )
    for value in values:
        if not is_number(value) or value <= 0 or (below is not None and value >= below):
            limit = "" if below is None else f" and below {below:g}"
            raise ValidationError(f"pmm_simple: {name} holds {value!r}; each must be a positive number{limit}")
