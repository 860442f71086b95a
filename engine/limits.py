"""Bounds on what a run may risk (execution rule 7), the same for every broker."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pandas as pd

from data.errors import ValidationError
from engine.checks import is_number

_FRACTIONS = ("max_daily_loss", "max_drawdown", "price_collar")


@dataclass(frozen=True)
class RiskLimits:
    """Limits; None leaves one off. What reduces a position is never cut or blocked.

    Attributes:
        max_position: largest absolute weight of one symbol, as a fraction of equity; of the position as it then is, not
            of the order.
        max_gross: largest sum of absolute weights.
        max_net: largest absolute sum of signed weights.
        max_order_notional: largest order, quote currency.
        max_daily_loss: loss since the UTC day began, as a fraction of equity then, that flattens and halts.
        max_drawdown: fall from the highest equity, as a fraction, that flattens and halts.
        max_orders_per_minute: order rate, a whole number.
        max_data_age: longest time from the decision's close to the fill.
        price_collar: largest distance of a fill's price from the symbol's last close, as a fraction.
    """

    max_position: float | None = None
    max_gross: float | None = None
    max_net: float | None = None
    max_order_notional: float | None = None
    max_daily_loss: float | None = None
    max_drawdown: float | None = None
    max_orders_per_minute: int | None = None
    max_data_age: pd.Timedelta | None = None
    price_collar: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "max_data_age":
                positive = isinstance(value, pd.Timedelta) and value > pd.Timedelta(0)
            else:
                positive = is_number(value) and value > 0
            if item.name == "max_orders_per_minute" and positive and not isinstance(value, int):
                raise ValidationError(f"RiskLimits: {item.name} {value!r} must be a whole number of orders")
            if item.name in _FRACTIONS and positive and value >= 1:
                raise ValidationError(f"RiskLimits: {item.name} {value!r} must be a fraction below 1: 0.03 for 3%")
            if value is not None and not positive:
                raise ValidationError(f"RiskLimits: {item.name} {value!r} must be positive, or None for no limit")
