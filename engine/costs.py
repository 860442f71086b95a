"""What trading costs (execution rules 3 and 8): fees, slippage, the funding of perpetuals, borrowing for shorts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pandas as pd

from data.errors import ValidationError
from engine.checks import is_number

FeeIn = Literal["quote", "bought"]


@dataclass(frozen=True)
class SquareRootImpact:
    """Slippage that grows with the order: base + coefficient * sqrt(order's amount / bar's volume), at most `most`.

    The square-root law of market impact (Almgren et al. 2005, "Direct Estimation of Equity Market Impact", and Toth et
    al. 2011), volatility taken into the coefficient. The bar is the last one completed before the order fills: its
    volume is known when the order is sent. A bar without volume costs `most`.

    Attributes:
        coefficient: slippage of an order as large as the bar's volume, a fraction.
        base: slippage of the smallest order, such as half the spread.
        most: the largest slippage there is.
    """

    coefficient: float = 0.1
    base: float = 0.0
    most: float = 0.1

    def __post_init__(self) -> None:
        for name in ("coefficient", "base", "most"):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value < 1:
                raise ValidationError(f"SquareRootImpact: {name} {value!r} must be a fraction in [0, 1)")
        if self.base > self.most:
            raise ValidationError(f"SquareRootImpact: base {self.base!r} exceeds most {self.most!r}")


@dataclass(frozen=True)
class Costs:
    """What an order and a position cost.

    Attributes:
        fee: fraction of notional: the taker rate, or (maker, taker); 0.001 is 10 basis points. "venue" takes each
            symbol's own, as `Venue.from_ccxt` read them.
        slippage: how much worse than its reference price (the open, a stop) an order that takes from the book fills: a
            fraction, or a `SquareRootImpact`. Orders that rest in the book have none.
        funding: rates of a perpetual by time (UTC): a Series for every symbol, or a mapping or DataFrame by symbol. A
            positive rate is paid by longs to shorts, on the notional held at that time.
        borrow: yearly rate on the notional of shorts, accrued from bar to bar; 0.05 is 5%. Perpetuals have none.
        tiers: fee by the account's volume of the last 30 complete UTC days: (volume in quote currency, maker, taker),
            rising. Below the first, `fee` holds.
        fee_in: "quote", or "bought": the fee of a buy is taken from the coins it brings, as Binance's spot market does.
    """

    fee: float | tuple[float, float] | Literal["venue"] = 0.001
    slippage: float | SquareRootImpact = 0.0005
    funding: pd.Series | pd.DataFrame | Mapping[str, pd.Series] | None = None
    borrow: float = 0.0
    tiers: tuple[tuple[float, float, float], ...] = ()
    fee_in: FeeIn = "quote"

    def __post_init__(self) -> None:
        if self.fee != "venue":
            rates = self.fee if isinstance(self.fee, tuple) else (self.fee, self.fee)
            if len(rates) != 2:
                raise ValidationError(f"Costs: fee {self.fee!r} must be one taker rate or a pair (maker, taker)")
            check_fees("Costs", *rates)
        if not isinstance(self.slippage, SquareRootImpact) and not (
            is_number(self.slippage) and 0 <= self.slippage < 0.1
        ):
            raise ValidationError(f"Costs: slippage {self.slippage!r} must be a fraction in [0, 0.1), such as 0.0005")
        if not is_number(self.borrow) or not 0 <= self.borrow < 10:
            raise ValidationError(f"Costs: borrow {self.borrow!r} must be a yearly rate of at least 0, such as 0.05")
        if self.fee_in not in get_args(FeeIn):
            raise ValidationError(f"Costs: fee_in {self.fee_in!r} must be 'quote' or 'bought'")
        self._check_tiers()

    def _check_tiers(self) -> None:
        if not isinstance(self.tiers, tuple):
            raise ValidationError(f"Costs: tiers {self.tiers!r} must be a tuple of (volume, maker, taker)")
        before = 0.0
        for tier in self.tiers:
            if not isinstance(tier, tuple) or len(tier) != 3:
                raise ValidationError(f"Costs: tier {tier!r} must be (volume, maker, taker)")
            volume, maker, taker = tier
            if not is_number(volume) or volume <= before:
                raise ValidationError(f"Costs: tier {tier!r} must begin at a larger volume than the one before it")
            check_fees(f"Costs: tier {tier!r}", maker, taker)
            before = volume

    @property
    def maker_fee(self) -> float:
        """Rate of an order that rested in the book; NaN where it is the venue's."""
        return self._rate(0)

    @property
    def taker_fee(self) -> float:
        """Rate of an order that took from the book; NaN where it is the venue's."""
        return self._rate(1)

    def _rate(self, which: int) -> float:
        if isinstance(self.fee, str):
            return float("nan")
        return float(self.fee[which] if isinstance(self.fee, tuple) else self.fee)


def check_fees(where: str, maker: Any, taker: Any) -> None:
    """Refuse what no venue charges.

    Raises:
        ValidationError: a rate is not a fraction of notional, or takers would be paid.
    """
    for name, rate in (("maker fee", maker), ("taker fee", taker)):
        if not is_number(rate) or not -0.01 <= rate < 0.1:
            raise ValidationError(f"{where}: {name} {rate!r} must be a fraction of notional, such as 0.001 for 0.1%")
    if taker < 0:
        raise ValidationError(f"{where}: taker fee {taker!r} must not be negative: no venue pays its takers")
