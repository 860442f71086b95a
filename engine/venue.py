"""What a venue lets an order be (execution rules 2 and 4): steps, minimum, short sales and leverage."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from data.errors import ValidationError
from engine.checks import is_number
from engine.costs import check_fees

# How ccxt's exchanges state precision: ccxt.DECIMAL_PLACES and so on. Numbers, for ccxt is slow to import; tested.
DECIMAL_PLACES, SIGNIFICANT_DIGITS, TICK_SIZE = 2, 3, 4


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
        min_amount: smallest order, base currency; the same exemption.
        max_amount: largest order, base currency: a larger one is cut; inf for none.
        max_notional: largest order, quote currency, at the decision's close: a larger one is cut; inf for none.
        maintenance_margin: fraction of gross notional at or below which equity is liquidated. Where `shorts` is set an
            account is always liquidated once nothing is left of it, spot holdings in it too.
        price_digits: significant digits of a limit or stop price, where the exchange counts so; 0 for no such rule.
        fees: (maker, taker), used where `Costs(fee="venue")`; None where they are not known.
    """

    shorts: bool = False
    leverage: float = 1.0
    amount_step: float = 0.0
    price_tick: float = 0.0
    min_notional: float = 0.0
    min_amount: float = 0.0
    max_amount: float = math.inf
    max_notional: float = math.inf
    maintenance_margin: float = 0.0
    price_digits: int = 0
    fees: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("amount_step", "price_tick", "min_notional", "min_amount"):
            value = getattr(self, name)
            if not is_number(value) or value < 0:
                raise ValidationError(f"Venue: {name} {value!r} must be a number of at least 0 (0 means none)")
        for name, least in (("max_amount", self.min_amount), ("max_notional", self.min_notional)):
            value = getattr(self, name)
            if value != math.inf and not (is_number(value) and value > 0 and value >= least):
                raise ValidationError(f"Venue: {name} {value!r} must be positive and not below the smallest order")
        digits = self.price_digits
        if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= 15:
            raise ValidationError(f"Venue: price_digits {digits!r} must be a whole number of 1 to 15, or 0 for none")
        self._check_margin()
        if self.fees is not None:
            if not isinstance(self.fees, tuple) or len(self.fees) != 2:
                raise ValidationError(f"Venue: fees {self.fees!r} must be a pair (maker, taker), or None")
            check_fees("Venue", *self.fees)

    def _check_margin(self) -> None:
        if not isinstance(self.shorts, bool):
            raise ValidationError(f"Venue: shorts {self.shorts!r} must be True or False")
        if not is_number(self.leverage) or self.leverage < 1:
            raise ValidationError(f"Venue: leverage {self.leverage!r} must be at least 1")
        if not self.shorts and self.leverage != 1:
            raise ValidationError(f"Venue: leverage {self.leverage!r} on spot; spot never borrows, so leave it at 1")
        margin = self.maintenance_margin
        if not is_number(margin) or not 0 <= margin < 1 / self.leverage:
            raise ValidationError(
                f"Venue: maintenance_margin {margin!r} must be at least 0 and below the initial margin, 1 / leverage = "
                f"{1 / self.leverage:g}"
            )
        if margin and not self.shorts:
            raise ValidationError(
                f"Venue: maintenance_margin {margin!r} on spot, which is never liquidated; leave it 0"
            )

    @classmethod
    def from_ccxt(
        cls,
        market: Mapping[str, Any],
        *,
        leverage: float = 1.0,
        maintenance_margin: float | None = None,
        precision_mode: int | None = None,
    ) -> Venue:
        """The rules of a market as ccxt states them, in base and quote currency: ccxt's contracts are converted.

        Spot never goes short; a linear perpetual or future may. The largest order is the smaller of the limits for all
        and for market orders. ccxt's limits of the price itself are left out. So is what only an exchange's own methods
        know; `dataclasses.replace` says it: hyperliquid's tick is that of its price just then (price_digits=5 and its
        decimals). Where prices count significant digits, amounts count decimal places: so have it bitfinex and bithumb,
        the only exchanges of ccxt 4.5 in that mode.

        Args:
            market: ccxt's unified structure, `exchange.market(symbol)`; numbers may be text.
            leverage: multiple of equity, at most `limits.leverage.max` where the market states it; 1 on spot.
            maintenance_margin: fraction of gross notional; None for 0, since ccxt's markets do not state it.
            precision_mode: `exchange.precisionMode`, which the market does not state; None for TICK_SIZE, as nearly
                all exchanges have it, and as long as the market does not contradict it.

        Raises:
            ValidationError: a market that is inactive, an option, or not linear; a value that is no number or that the
                precision mode cannot mean; leverage above the market's. The message names symbol, field and mend.
        """
        if not isinstance(market, Mapping):
            raise ValidationError(f"Venue.from_ccxt: market {market!r} must be what exchange.market(symbol) gives")
        try:
            spot = _is_spot(market)
            size = Decimal(1) if spot else _contract_size(market)
            most = _number(market, "limits", "leverage", "max")
            if not spot and most and is_number(leverage) and leverage > most:
                raise ValidationError(f"leverage {leverage!r} exceeds limits.leverage.max {most}; pass at most that")
            maker, taker = _number(market, "maker"), _number(market, "taker")
            return cls(
                shorts=not spot,
                leverage=leverage,
                min_notional=float(_number(market, "limits", "cost", "min") or 0),
                min_amount=float((_number(market, "limits", "amount", "min") or 0) * size),
                max_amount=float(min(_largest(market, "amount"), _largest(market, "market")) * size),
                max_notional=float(_number(market, "limits", "cost", "max") or math.inf),
                maintenance_margin=0.0 if maintenance_margin is None else maintenance_margin,
                fees=None if maker is None or taker is None else (float(maker), float(taker)),
                **_precision(market, size, precision_mode),
            )
        except ValidationError as error:
            raise ValidationError(f"Venue.from_ccxt: {market.get('symbol')}: {error}") from None


def _largest(market: Mapping[str, Any], kind: str) -> Decimal:
    return _number(market, "limits", kind, "max") or Decimal("inf")


def _is_spot(market: Mapping[str, Any]) -> bool:
    """Whether a market is spot or else a linear contract; refuses what is neither, or closed."""
    if market.get("active") is False:
        raise ValidationError("the market is not active: the exchange takes no orders; choose another")
    kinds = ("option", "spot", "swap", "future")
    kind = next((name for name in kinds if market.get(name) is True), market.get("type"))
    if kind == "spot":
        return True
    if kind == "option":
        raise ValidationError("an option pays out by its strike and expiry, which the execution rules do not know")
    if kind not in kinds:
        raise ValidationError(f"type {kind!r} must be 'spot', 'swap' or 'future'")
    if market.get("inverse") is True:
        raise ValidationError("an inverse contract has margin and profit in base currency; choose the linear one")
    if market.get("linear") is not True:
        raise ValidationError(f"linear {market.get('linear')!r} must be True: margin and profit in quote currency")
    return False


def _contract_size(market: Mapping[str, Any]) -> Decimal:
    """Base currency in a contract, which ccxt counts amounts in."""
    size = _number(market, "contractSize")
    if size is None or size <= 0:
        raise ValidationError(f"contractSize {size} must be the base currency in one contract; set it in the market")
    return size


def _precision(market: Mapping[str, Any], size: Decimal, mode: int | None) -> dict[str, Any]:
    """The fields that state steps or digits of amounts and prices; `size` is the base currency in a contract."""
    amount, price = _number(market, "precision", "amount"), _number(market, "precision", "price")
    if mode is None:
        _refuse_counts(market, amount, price)
    elif mode not in (DECIMAL_PLACES, SIGNIFICANT_DIGITS, TICK_SIZE):
        raise ValidationError(f"precision_mode {mode!r} must be exchange.precisionMode: 2, 3 or 4")
    if mode == SIGNIFICANT_DIGITS:
        amount_step = float(_step("amount", amount, DECIMAL_PLACES) * size)
        return {"amount_step": amount_step, "price_digits": _count("price", price)}
    amount_step = float(_step("amount", amount, mode) * size)
    return {"amount_step": amount_step, "price_tick": float(_step("price", price, mode))}


def _refuse_counts(market: Mapping[str, Any], amount: Decimal | None, price: Decimal | None) -> None:
    """Refuse precisions that are counts of digits rather than tick sizes, as far as the market shows it."""
    doubtful = 0
    for field, value in (("amount", amount), ("price", price)):
        least = _number(market, "limits", field, "min") or Decimal(0)
        if value is not None and value >= 2 and value % 1 == 0 and (least == 0 or least % value):
            doubtful += 1
            if least or doubtful == 2:  # one alone may be a coin that trades in tens, or a price in rupiah
                raise ValidationError(
                    f"precision.{field} {value} beside limits.{field}.min {least or None} is a count of digits rather "
                    "than a tick size; pass precision_mode=exchange.precisionMode"
                )


def _step(field: str, value: Decimal | None, mode: int | None) -> Decimal:
    """Step of an amount or a price, 0 for none."""
    if value is None:
        return Decimal(0)
    if mode == DECIMAL_PLACES:
        return Decimal(1).scaleb(-_count(field, value))
    if value == 0:
        raise ValidationError(f"precision.{field} 0 is no tick size; pass precision_mode=exchange.precisionMode")
    return value


def _count(field: str, value: Decimal | None) -> int:
    """A precision that counts digits."""
    if value is not None and value % 1:
        raise ValidationError(f"precision.{field} {value} must be a whole number of digits; was TICK_SIZE meant?")
    return int(value or 0)


def _number(market: Mapping[str, Any], *path: str) -> Decimal | None:
    """A number of the market, exactly as its shortest decimal text; None where it is absent."""
    value: Any = market
    for key in path:
        value = (value or {}).get(key)
    if value is None:
        return None
    with contextlib.suppress(InvalidOperation):
        number = Decimal(str(value))
        if number.is_finite():
            return number
    raise ValidationError(f"{'.'.join(path)} {value!r} must be a number or None")


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
