"""A position's barriers: the levels at which it is left without a new decision (execution rule 5)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pandas as pd

from data.errors import ValidationError
from engine.checks import is_number


@dataclass(frozen=True, repr=False)
class Exits:
    """Barriers round a position, as fractions of its average entry price.

    Attributes:
        stop_loss: adverse move that closes the position, such as 0.05.
        take_profit: favourable move that closes it.
        trailing: (activation, delta): from a favourable move of `activation` on, a stop follows `delta` behind the
            best.
        time_limit: longest time a position is held.
    """

    stop_loss: float | None = None
    take_profit: float | None = None
    trailing: tuple[float, float] | None = None
    time_limit: pd.Timedelta | None = None

    def __post_init__(self) -> None:
        given = {"stop_loss": self.stop_loss, "take_profit": self.take_profit}
        if self.trailing is not None:
            if not isinstance(self.trailing, tuple) or len(self.trailing) != 2:
                raise ValidationError(f"Exits: trailing {self.trailing!r} must be a pair (activation, delta)")
            given |= {"trailing activation": self.trailing[0], "trailing delta": self.trailing[1]}
        for name, value in given.items():
            if value is not None and not (is_number(value) and value > 0):
                raise ValidationError(f"Exits: {name} {value!r} must be a positive fraction, such as 0.05 for 5%")
        if self.stop_loss is not None and self.stop_loss >= 1:
            raise ValidationError(f"Exits: stop_loss {self.stop_loss!r} must be below 1: a price cannot fall further")
        limit = self.time_limit
        if limit is not None and not (isinstance(limit, pd.Timedelta) and limit > pd.Timedelta(0)):
            raise ValidationError(f"Exits: time_limit {self.time_limit!r} must be a positive pandas Timedelta")

    def __repr__(self) -> str:
        """As one would write it, what is not set left out."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        return f"Exits({', '.join(f'{name}={value!r}' for name, value in given.items() if value is not None)})"
