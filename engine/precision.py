"""What leaves for an exchange: amounts and prices as decimal text, whole by the venue's rules (execution rule 2).

A float counts as its shortest decimal, and the arithmetic is exact: the text has no exponent and none of the noise that
sums of floats leave. Amounts are in base currency, on contracts too: where ccxt counts contracts, divide the amount by
`market["contractSize"]` before it goes out.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext

from data.errors import ValidationError
from engine.checks import is_number
from engine.rules import STEP_NOISE
from engine.venue import Venue

# Digits enough for the largest float in steps of the smallest. Our own, for ccxt changes the rounding of the thread's.
_EXACT = Context(prec=700)


def amount_text(venue: Venue, amount: float | Decimal) -> str:
    """An amount (base currency, sign kept) rounded towards zero to the venue's step; "0" for less than one.

    A float within STEP_NOISE of a step from the next whole step is that step, as in `rules.round_to_step`; a Decimal
    is taken at its word.

    Raises:
        ValidationError: an amount that is no finite number.
    """
    value = _decimal("amount", amount)
    with localcontext(_EXACT):
        below, _ = _around(abs(value), venue.amount_step, 0, isinstance(amount, Decimal))
        return _plain(below.copy_sign(value))


def price_text(venue: Venue, price: float | Decimal, *, side: str | None = None) -> str:
    """A limit or stop price (quote currency) as a whole multiple of the venue's tick, or to its digits.

    Args:
        venue: whose tick or digits count.
        price: a float within STEP_NOISE of a tick from a whole one is that tick; a Decimal is taken at its word.
        side: None for the nearest, a half upwards. "buy" rounds down and "sell" up, away from the market, so that
            rounding never makes a post-only order cross it.

    Raises:
        ValidationError: a price that is no positive finite number, or that rounds to 0; another side.
    """
    if side not in (None, "buy", "sell"):
        raise ValidationError(f"price_text: side {side!r} must be 'buy', 'sell' or None")
    value = _decimal("price", price)
    if value <= 0:
        raise ValidationError(f"price {price!r} must be positive")
    with localcontext(_EXACT):
        below, above = _around(value, venue.price_tick, venue.price_digits, isinstance(price, Decimal))
        down = side == "buy" or (side is None and value - below < above - value)
        text = _plain(below if down else above)
    if text == "0":
        raise ValidationError(f"price {price!r} rounds to 0 at the tick {venue.price_tick!r}: no order has that price")
    return text


def check_order(venue: Venue, amount: float | Decimal, price: float | Decimal) -> None:
    """Refuse an order that the exchange would: its amount as `amount_text` sends it, at a price (quote currency).

    An order that closes a position is not exempt here: most exchanges refuse it too unless it is marked reduce-only.

    Raises:
        ValidationError: what is left of the amount is 0, below min_amount or above max_amount; its notional is below
            min_notional or above max_notional. The message names the limit and its value.
    """
    sent = Decimal(amount_text(venue, amount)).copy_abs()  # abs() would round by the caller's context
    if sent == 0:
        raise ValidationError(f"amount {amount!r} is 0 in whole steps of the venue: nothing to send")
    with localcontext(_EXACT):
        notional = sent * abs(_decimal("price", price))
        for kind, value, unit in (("amount", sent, "base"), ("notional", notional, "quote")):
            least, most = getattr(venue, f"min_{kind}"), getattr(venue, f"max_{kind}")
            if value < Decimal(str(least)):
                raise ValidationError(f"{kind} {_plain(value)} is below min_{kind} {least!r} ({unit} currency)")
            if value > Decimal(str(most)):
                raise ValidationError(f"{kind} {_plain(value)} is above max_{kind} {most!r} ({unit} currency)")


def _around(value: Decimal, step: float, digits: int, exact: bool) -> tuple[Decimal, Decimal]:
    """The whole steps below and above a value of at least 0: the same one twice where it is whole, but for noise.

    Where a venue has both a step and digits, the coarser counts: of decimal steps it is a multiple of the finer.
    """
    width = Decimal(str(step))
    if digits and value:
        width = max(width, Decimal(1).scaleb(value.adjusted() + 1 - digits))
    if width == 0:
        return value, value
    steps = value // width
    # As in rules.round_to_step: of millions of steps, a float's own distance to its neighbour is more than STEP_NOISE.
    noise = Decimal(0) if exact else Decimal(STEP_NOISE) * width + Decimal(2.0**-51) * value
    below, above = steps * width, (steps + 1) * width
    nearest = below if value - below < above - value else above
    # A value near 0 is small, not noise: a sell at it goes out at one tick, never at 0.
    return (nearest, nearest) if nearest > 0 and abs(value - nearest) <= noise else (below, above)


def _decimal(name: str, value: float | Decimal) -> Decimal:
    """A number as the shortest decimal that is that float."""
    # A Decimal may be larger than any float: no amount is.
    if not (is_number(value) or (isinstance(value, Decimal) and value.is_finite() and math.isfinite(value))):
        raise ValidationError(f"{name} {value!r} must be a finite number")
    return Decimal(str(value))


def _plain(value: Decimal) -> str:
    """Decimal text without exponent, trailing zeros or the sign of a zero."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if value == 0 else text
