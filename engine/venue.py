"""What a venue lets an order be (execution rules 2 and 4): steps, minimum, short sales and leverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data.errors import ValidationError
from engine.checks import is_number


@dataclass(frozen=True)
class Venue:
    """Trading rules of one market.

    Attributes:
        shorts: whether a position may be negative. Spot (the default) never goes short and never borrows.
        leverage: largest gross notional as a multiple of equity; 1 on spot.
        amount_step: orders are whole multiples of this amount (base currency); 0 for no step.
        price_tick: limit and stop prices are whole multiples of this price; 0 for no tick. Market fills do not use it.
        min_notional: smallest order, in quote currency, at the decision's close; an order that closes a position is
            exempt.
    """

    shorts: bool = False
    leverage: float = 1.0
    amount_step: float = 0.0
    price_tick: float = 0.0
    min_notional: float = 0.0

    def __post_init__(self) -> None:
        for name in ("amount_step", "price_tick", "min_notional"):
            value = getattr(self, name)
            if not is_number(value) or value < 0:
                raise ValidationError(f"Venue: {name} {value!r} must be a number of at least 0 (0 means none)")
        if not isinstance(self.shorts, bool):
            raise ValidationError(f"Venue: shorts {self.shorts!r} must be True or False")
        if not is_number(self.leverage) or self.leverage < 1:
            raise ValidationError(f"Venue: leverage {self.leverage!r} must be at least 1")
        if not self.shorts and self.leverage != 1:
            raise ValidationError(f"Venue: leverage {self.leverage!r} on spot; spot never borrows, so leave it at 1")


def venues_by_symbol(venue: Venue | Mapping[str, Venue], symbols: tuple[str, ...]) -> tuple[Venue, ...]:
    """The venue of each symbol, in the symbols' order.

    Raises:
        ValidationError: a mapping that leaves a symbol out or names one that the market does not hold.
    """
    if isinstance(venue, Venue):
        return tuple(venue for _ in symbols)
    if not isinstance(venue, Mapping):
        raise ValidationError(f"venue: expected a Venue or a mapping of symbol to Venue, got {type(venue).__name__}")
    missing = [symbol for symbol in symbols if symbol not in venue]
    unknown = [symbol for symbol in venue if symbol not in symbols]
    if missing or unknown:
        raise ValidationError(
            f"venue: the market holds {list(symbols)}; missing in the mapping: {missing}, unknown in it: {unknown}"
        )
    wrong = {symbol: venue[symbol] for symbol in symbols if not isinstance(venue[symbol], Venue)}
    if wrong:
        raise ValidationError(f"venue: the mapping must hold a Venue for each symbol, got {wrong}")
    return tuple(venue[symbol] for symbol in symbols)
