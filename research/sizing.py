"""From a side to a position: the size a signal is given, cut by the regime and capped.

    sizing = Sizing(method="volatility", max_weight=0.3, target_volatility=0.2)
    sizing.weights(side, q10, q50, q90, volatility=annual, multiplier=regime, share=0.5)
    Sizing(method="inverse_volatility").weights(side, volatility=annual)  # no forecast needed
    inverse_volatility(side, annual, target=0.2, max_weight=0.3)          # the same for a table of sides

A side is 1 long, -1 short, 0 flat, NaN unknown; a weight is a target, a signed fraction of equity. Targets are
positions and not increments, so that the cap holds for what is held, however often a signal repeats: the system before
added its size anew at each signal and reached 99% of equity under a cap of 30%. What prices then make of a position,
and the sum over the symbols, is for the engine's `RiskLimits`. How each method sizes: `research.sizing_formulas`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import ValidationError
from research.signal_rule import Forecast, one_shape
from research.signals import Floats
from research.sizing_formulas import (
    check_max_weight,
    check_positive,
    ensemble,
    kelly,
    momentum,
    risk_parity,
    sharpe,
    volatility,
)
from research.sizing_legacy import hb_enhanced

__all__ = [
    "Forecast",
    "Method",
    "Sizing",
    "ensemble",
    "fixed_fraction",
    "hb_enhanced",
    "inverse_volatility",
    "kelly",
    "momentum",
    "risk_parity",
    "sharpe",
    "volatility",
]

Method = Literal["kelly", "volatility", "sharpe", "risk_parity", "momentum", "ensemble", "fixed", "inverse_volatility"]
Table = TypeVar("Table", pd.DataFrame, pd.Series, Floats)

_OF_VOLATILITY: Final = ("volatility", "ensemble", "inverse_volatility")
_WITHOUT_FORECAST: Final = ("fixed", "inverse_volatility")


def fixed_fraction(side: Table, fraction: float) -> Table:
    """The same fraction of equity for each side: side x fraction.

    A table or a series of sides gives a table or a series of targets, an array an array; NaN stays NaN.

    Raises:
        ValidationError: a side is none of 1, 0, -1 and NaN, or fraction is not above 0 and at most 1.
    """
    if not 0.0 < fraction <= 1.0:
        raise ValidationError(f"fraction {fraction!r} must be a fraction of equity, above 0 and at most 1")
    return _like(side, _sides(side) * fraction + 0.0)


def inverse_volatility(side: Table, volatility: npt.ArrayLike, target: float, max_weight: float = 0.5) -> Table:
    """The weight by which each position has the target's volatility: side x min(target / volatility, max_weight).

    A table or a series of sides gives a table or a series of targets, an array an array. At no volatility the weight
    is the cap. Flat is 0 whatever the volatility; for any other side NaN volatility gives NaN.

    Raises:
        ValidationError: a side is none of 1, 0, -1 and NaN; `volatility` (annual, as `target`; a number or of the
            side's shape and labels) is below 0 or infinite; `target` or `max_weight` is out of its range.
    """
    check_positive(target=target)
    check_max_weight(max_weight)
    for axis in ("index", "columns"):
        mine, other = getattr(side, axis, None), getattr(volatility, axis, None)
        if isinstance(mine, pd.Index) and isinstance(other, pd.Index) and not mine.equals(other):
            raise ValidationError(
                f"inverse_volatility: side and volatility differ in their {axis}; bring them to the same first"
            )
    sides, actual = one_shape(side=_sides(side), volatility=volatility)
    if ((actual < 0.0) | np.isinf(actual)).any():
        raise ValidationError("volatility: must be finite and not below 0, NaN where unknown")
    with np.errstate(divide="ignore", over="ignore"):  # at no volatility
        size = np.minimum(target / actual, max_weight)
    return _like(side, np.where(sides == 0.0, 0.0, sides * size))


@dataclass(frozen=True)
class Sizing:
    """The size of each position, of any method, within one cap.

    Attributes:
        method: a formula of `research.sizing_formulas`, "fixed" or "inverse_volatility".
        max_weight: most of equity in one position, after the regime's multiplier; above 0, at most 1.
        confidence: from 0 to 10, where `weights` is given none.
        target_volatility: annual, a fraction: for "volatility", "ensemble" and "inverse_volatility".
        fraction: of equity, for "fixed".
        multiplier_cap: most that a multiplier may enlarge a size by. The old system let 5 through, at the extreme of
            volatility and fear of all places.
        legacy: the old formula in place of the mended one: never less than 0.1% of equity for a side.

    Raises:
        ValidationError: a parameter is out of its range, or `legacy` is asked of a method that has no old formula.
    """

    method: Method = "kelly"
    max_weight: float = 0.5
    confidence: float = 10.0
    target_volatility: float = 0.15
    fraction: float = 0.1
    multiplier_cap: float = 2.0
    legacy: bool = False

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ValidationError(f"Sizing: method {self.method!r} is none of {', '.join(get_args(Method))}")
        if self.legacy and self.method in _WITHOUT_FORECAST:
            raise ValidationError(f"Sizing: method {self.method!r} has no old formula; leave legacy out")
        check_max_weight(self.max_weight)
        check_positive(target_volatility=self.target_volatility, multiplier_cap=self.multiplier_cap)
        if not 0.0 <= self.confidence <= 10.0:
            raise ValidationError(f"Sizing: confidence {self.confidence!r} must be from 0 to 10")
        if not 0.0 < self.fraction <= 1.0:
            raise ValidationError(f"Sizing: fraction {self.fraction!r} must be a fraction of equity, at most 1")

    def weights(
        self,
        side: npt.ArrayLike,
        q10: npt.ArrayLike | None = None,
        q50: npt.ArrayLike | None = None,
        q90: npt.ArrayLike | None = None,
        *,
        volatility: npt.ArrayLike | None = None,
        multiplier: npt.ArrayLike | None = None,
        confidence: npt.ArrayLike | None = None,
        performance: npt.ArrayLike = 0.0,
        share: float = 1.0,
    ) -> Floats:
        """Targets: side x min(size x multiplier, max_weight) x share, in the shape of `side`.

        The size is capped before the multiplier as well, so that a multiplier below 1 always cuts. A side against its
        own median has no edge and gets 0, but for `legacy`. Side 0 is 0; where the side is NaN, or anything that its
        size rests on, so is the target, which leaves the position as it is.

        Args:
            side: 1, -1, 0 or NaN.
            q10: quantile of the return; all three may be None for "fixed" and "inverse_volatility".
            q50: its median.
            q90: its upper quantile.
            volatility: of the asset, annual; for the methods that go by it, a number or of the side's shape.
            multiplier: of the regime, at least 0; None for 1.
            confidence: from 0 to 10; None for that of the `Sizing`.
            performance: the strategy's recent return, for "momentum" and "ensemble".
            share: of the book for this symbol, such as 1 / number of symbols.

        Raises:
            ValidationError: an input that the method needs is missing or out of its range, or the shapes differ.
        """
        if not 0.0 < share <= 1.0:
            raise ValidationError(f"Sizing: share {share!r} must be above 0 and at most 1, such as 1 / symbols")
        if volatility is None and self.method in _OF_VOLATILITY:
            raise ValidationError(f"Sizing: method {self.method!r} goes by volatility; give volatility=..., annual")
        known = 0.0 if volatility is None else volatility
        sides, factor = one_shape(side=_sides(side), multiplier=1.0 if multiplier is None else multiplier)
        if ((factor < 0.0) | np.isinf(factor)).any():
            raise ValidationError("multiplier: must be finite and not below 0, NaN where unknown")
        if self.method == "fixed":
            size = np.full(sides.shape, min(self.fraction, self.max_weight))
        elif self.method == "inverse_volatility":
            sides, annual = one_shape(side=sides, volatility=known)
            size = np.abs(inverse_volatility(sides, annual, self.target_volatility, self.max_weight))
        else:
            if q10 is None or q50 is None or q90 is None:
                raise ValidationError(f"Sizing: method {self.method!r} goes by a forecast; give q10, q50 and q90")
            size = self._of_forecast((q10, q50, q90), known, confidence, performance)
            sides, size, factor = one_shape(side=sides, forecast=size, multiplier=factor)
            if not self.legacy:
                size = np.where(size * sides < 0.0, 0.0, np.abs(size))
        held = np.minimum(size * np.minimum(factor, self.multiplier_cap), self.max_weight) * share
        return np.where(sides == 0.0, 0.0, sides * held + 0.0)

    def _of_forecast(
        self,
        quantiles: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
        realised: npt.ArrayLike,
        confidence: npt.ArrayLike | None,
        performance: npt.ArrayLike,
    ) -> Floats:
        sure = self.confidence if confidence is None else confidence
        cap, legacy, target = self.max_weight, self.legacy, self.target_volatility
        match self.method:
            case "volatility":
                return volatility(*quantiles, realised, sure, target=target, max_weight=cap, legacy=legacy)
            case "sharpe":
                return sharpe(*quantiles, sure, max_weight=cap, legacy=legacy)
            case "risk_parity":
                return risk_parity(*quantiles, sure, max_weight=cap, legacy=legacy)
            case "momentum":
                return momentum(*quantiles, sure, performance=performance, max_weight=cap, legacy=legacy)
            case "ensemble":
                return ensemble(
                    *quantiles, realised, sure, target=target, performance=performance, max_weight=cap, legacy=legacy
                )
            case _:
                return kelly(*quantiles, sure, max_weight=cap, legacy=legacy)


def _sides(side: npt.ArrayLike) -> Floats:
    (sides,) = one_shape(side=side)
    if not (np.isnan(sides) | np.isin(sides, (-1.0, 0.0, 1.0))).all():
        raise ValidationError("side: must be 1 long, -1 short, 0 flat, or NaN where unknown")
    return sides


def _like(side: Table, values: Floats) -> Table:
    """These values with the labels of `side`, if it has any."""
    if isinstance(side, pd.DataFrame):
        return pd.DataFrame(values, index=side.index, columns=side.columns)
    if isinstance(side, pd.Series):
        return pd.Series(values, index=side.index, name=side.name)
    return values
