"""Exact decimal money: sums and products that never round, and the one place where a quotient is rounded down.

Decimals of Python round to 28 digits unless told otherwise. A price of 17 digits times an amount of 16 times a fee is
longer, so everything the rehearsal exchange books is computed within `exact()`, where a rounded result is an error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
EXACT: Final = Context(prec=400, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
# A quotient has fewer digits than EXACT allows, so that what is added to it stays exact.
_ROUNDING: Final = {
    way: Context(prec=150, rounding=way, traps=[InvalidOperation, DivisionByZero, Overflow])
    for way in (ROUND_DOWN, ROUND_CEILING, ROUND_HALF_EVEN)
}


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function under the exact context: what it adds and multiplies is never rounded."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with localcontext(EXACT):
            return function(*args, **kwargs)

    return run


def decimal_of(number: float) -> Decimal:
    """The shortest decimal that reads back as this float: 0.1 is 0.1."""
    return Decimal(repr(float(number)))


def whole_steps(amount: Decimal, step: Decimal, rounding: str = ROUND_DOWN) -> Decimal:
    """`amount` as a whole multiple of `step`, rounded towards zero unless told otherwise; as it is for a step of 0."""
    if not step:
        return amount
    with localcontext(_ROUNDING[rounding]):
        return (amount / step).to_integral_value(rounding) * step


def is_multiple(amount: Decimal, step: Decimal) -> bool:
    """Whether an amount is a whole multiple of a step; always for a step of 0."""
    return not step or EXACT.remainder(amount, step) == 0


def divided(amount: Decimal, unit: Decimal) -> Decimal:
    """A quotient of 150 digits, rounded towards zero: round it to a step before it is booked."""
    return _ROUNDING[ROUND_DOWN].divide(amount, unit)


def plain(number: Decimal) -> str:
    """A decimal as text without an exponent and without zeros at its end: "0.00001", "25"."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
