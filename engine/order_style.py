"""How a decision becomes an order: at the market (the default), or resting in the book at a better price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from data.errors import ValidationError
from engine.checks import is_number

Then = Literal["cancel", "market"]


@dataclass(frozen=True)
class LimitOrders:
    """Post-only limit orders.

    An order rests `offset` better than the decision's close, rounded to the price tick away from the market. It fills
    once a later bar trades through its price (a touch is not enough: others stood there before), at its price, with the
    maker fee and no slippage. Where the next bar opens through its price it would have taken: it is refused, as an
    exchange does, and goes the way of `then` at once. A new decision for the symbol, or an exit, replaces it.

    Attributes:
        offset: distance from the decision's close, a fraction, such as 0.001.
        alive: bars of the symbol during which it rests.
        then: what happens after them: "cancel", or "market": it goes to the market at the next open.
    """

    offset: float = 0.001
    alive: int = 1
    then: Then = "cancel"

    def __post_init__(self) -> None:
        if not is_number(self.offset) or not 0 <= self.offset < 1:
            raise ValidationError(f"LimitOrders: offset {self.offset!r} must be a fraction in [0, 1), such as 0.001")
        if isinstance(self.alive, bool) or not isinstance(self.alive, int) or self.alive < 1:
            raise ValidationError(f"LimitOrders: alive {self.alive!r} must be a whole number of bars, at least 1")
        if self.then not in get_args(Then):
            raise ValidationError(f"LimitOrders: then {self.then!r} must be 'cancel' or 'market'")
