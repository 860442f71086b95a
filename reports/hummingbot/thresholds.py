"""Hummingbot's decimal prices as floats that decide alike.

Its controllers form prices in decimal arithmetic of 28 digits and its backtester compares them with candles in floats,
exactly. A decimal price rounded to the nearest float would decide otherwise where a close lies on it, which happens:
27,000 less a thousandth is 26,973 to the last digit. So each price is rounded towards the side on which a comparison
with any float gives what the comparison with the decimal gives.
"""

from __future__ import annotations

import math
from decimal import Decimal


def at_most(price: Decimal) -> float:
    """Largest float not above a price: a float is at or below the one just where it is at or below the other."""
    nearest = float(price)
    return nearest if Decimal(nearest) <= price else math.nextafter(nearest, -math.inf)


def at_least(price: Decimal) -> float:
    """Smallest float not below a price: a float is at or above the one just where it is at or above the other."""
    nearest = float(price)
    return nearest if Decimal(nearest) >= price else math.nextafter(nearest, math.inf)


def exact(value: float) -> Decimal:
    """A setting as Hummingbot reads it from a file: the decimal that is written, not the float's binary value."""
    return Decimal(repr(float(value)))
