"""What trading costs (execution rule 3): the fee, the slippage, and the funding of perpetuals (rule 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data.errors import ValidationError
from engine.checks import is_number


@dataclass(frozen=True)
class Costs:
    """Fractions of notional.

    Attributes:
        fee: the taker rate, or (maker, taker); 0.001 is 10 basis points. Market orders pay the taker rate.
        slippage: how much worse than the bar's open a market order fills.
        funding: rates of a perpetual by time; None where there is none.
    """

    fee: float | tuple[float, float] = 0.001
    slippage: float = 0.0005
    funding: Any = None

    def __post_init__(self) -> None:
        rates = self.fee if isinstance(self.fee, tuple) else (self.fee, self.fee)
        if len(rates) != 2:
            raise ValidationError(f"Costs: fee {self.fee!r} must be one taker rate or a pair (maker, taker)")
        for name, rate in (("maker fee", rates[0]), ("taker fee", rates[1])):
            if not is_number(rate) or not -0.01 <= rate < 0.1:
                raise ValidationError(f"Costs: {name} {rate!r} must be a fraction of notional, such as 0.001 for 0.1%")
        if rates[1] < 0:
            raise ValidationError(f"Costs: taker fee {rates[1]!r} must not be negative: no venue pays its takers")
        if not is_number(self.slippage) or not 0 <= self.slippage < 0.1:
            raise ValidationError(f"Costs: slippage {self.slippage!r} must be a fraction in [0, 0.1), such as 0.0005")

    @property
    def maker_fee(self) -> float:
        """Rate of an order that rested in the book."""
        return float(self.fee[0] if isinstance(self.fee, tuple) else self.fee)

    @property
    def taker_fee(self) -> float:
        """Rate of an order that took from the book."""
        return float(self.fee[1] if isinstance(self.fee, tuple) else self.fee)
