"""What a strategy's parameters may be; each error names the strategy and the parameter."""

from __future__ import annotations

from numbers import Integral, Real

from data.errors import ValidationError


def require_bars(strategy: str, **lengths: int) -> None:
    """Whole numbers of bars, at least 1; numpy's integers, as a sweep hands them over, count too.

    Raises:
        ValidationError: one is not.
    """
    for name, value in lengths.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValidationError(f"{strategy}: {name} {value!r} must be a whole number of bars, at least 1")


def require_fraction(strategy: str, lowest: float, **weights: float) -> None:
    """Fractions of equity, between `lowest` and 1.

    Raises:
        ValidationError: one is not; NaN is none.
    """
    for name, value in weights.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not lowest <= value <= 1.0:
            raise ValidationError(f"{strategy}: {name} {value!r} must be a fraction of equity in [{lowest:g}, 1]")
