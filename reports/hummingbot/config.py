"""What a Hummingbot user sets for a directional controller, by Hummingbot's own names and with its own defaults.

ControllerConfig(stop_loss=0.03, take_profit=0.02, trailing_stop=(0.015, 0.003), time_limit=pd.Timedelta("45min"))
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import pandas as pd

from data.errors import ValidationError


@dataclass(frozen=True)
class ControllerConfig:
    """A directional controller's triple barrier, slots, size and cost; None switches a barrier off.

    `target_pct` of the baseline multiplies stop_loss, take_profit and both trailing figures, so with a target in
    fractions of the price they are multiples of it ("1.5 times the predicted move"); with the default target of 1 they
    are fractions of the entry price themselves.

    Attributes:
        stop_loss: adverse move of a bar's low (long) or high (short) that closes an executor; before costs.
        take_profit: net profit at a bar's close that closes it; after costs.
        trailing_stop: (activation, delta): once the net profit at a close exceeds `activation`, a close more than
            `delta` below the best one ends it.
        time_limit: longest time that an executor lives.
        cooldown_time: an executor is created only when more than this has passed since the newest active one was.
        max_executors_per_side: slots; each executor gets this part of the amount.
        total_amount_quote: what all slots of a side trade together, quote currency. It never grows with profits.
        trade_cost: cost of one leg, a fraction of the entry's notional.

    Raises:
        ValidationError: a value is out of its range; names it and says what is allowed.
    """

    stop_loss: float | None = 0.03
    take_profit: float | None = 0.02
    trailing_stop: tuple[float, float] | None = None
    time_limit: pd.Timedelta | None = pd.Timedelta(minutes=45)  # noqa: RUF009  (a Timedelta cannot be changed)
    cooldown_time: pd.Timedelta = pd.Timedelta(minutes=5)  # noqa: RUF009
    max_executors_per_side: int = 2
    total_amount_quote: float = 100.0
    trade_cost: float = 0.0002

    def __post_init__(self) -> None:
        for name, barrier in (("stop_loss", self.stop_loss), ("take_profit", self.take_profit)):
            if barrier is not None and not _is_positive(barrier):
                raise _wrong(name, barrier, "a positive number, such as 0.03, or None for no such barrier")
        pair = self.trailing_stop
        if pair is not None and not (isinstance(pair, tuple) and len(pair) == 2 and all(map(_is_positive, pair))):
            raise _wrong(
                "trailing_stop", pair, "two positive numbers (activation, delta), such as (0.015, 0.003), or None"
            )
        if self.time_limit is not None and not _is_span(self.time_limit):
            raise _wrong(
                "time_limit", self.time_limit, "a positive pandas Timedelta such as pd.Timedelta('45min'), or None"
            )
        if not _is_span(self.cooldown_time):
            raise _wrong(
                "cooldown_time", self.cooldown_time, "a positive pandas Timedelta such as pd.Timedelta('5min')"
            )
        slots = self.max_executors_per_side
        if isinstance(slots, bool) or not isinstance(slots, Integral) or int(slots) < 1:
            raise _wrong("max_executors_per_side", slots, "a whole number of at least 1")
        if not _is_positive(self.total_amount_quote):
            raise _wrong("total_amount_quote", self.total_amount_quote, "a positive amount of quote currency")
        cost = self.trade_cost
        if isinstance(cost, bool) or not isinstance(cost, Real) or not 0 <= float(cost) < 0.1:
            raise _wrong("trade_cost", cost, "a fraction of notional in [0, 0.1), such as 0.0006 for 0.06% a leg")

    def to_json(self) -> dict[str, Any]:
        """The parameters as JSON can hold them; times as text."""
        return {
            "stop_loss": None if self.stop_loss is None else float(self.stop_loss),
            "take_profit": None if self.take_profit is None else float(self.take_profit),
            "trailing_stop": None if self.trailing_stop is None else [float(figure) for figure in self.trailing_stop],
            "time_limit": None if self.time_limit is None else str(self.time_limit),
            "cooldown_time": str(self.cooldown_time),
            "max_executors_per_side": int(self.max_executors_per_side),
            "total_amount_quote": float(self.total_amount_quote),
            "trade_cost": float(self.trade_cost),
        }


def _is_positive(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and 0 < float(value) < math.inf


def _is_span(value: object) -> bool:
    return isinstance(value, pd.Timedelta) and value > pd.Timedelta(0)


def _wrong(name: str, value: object, allowed: str) -> ValidationError:
    return ValidationError(f"ControllerConfig: {name} {value!r} must be {allowed}")
