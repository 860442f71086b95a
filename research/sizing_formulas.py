"""The sizes that a quantile forecast argues for: Kelly, volatility, Sharpe, risk parity, momentum, and their blend.

    kelly(-0.005, 0.001, 0.007)             # array(0.06428571): long, 6.4% of equity
    kelly(-0.007, -0.001, 0.005)            # array(-0.06428571): its mirror, short

A size is a signed target, a fraction of equity: the sign of the median, and a weight from 0 to `max_weight`. The
functions take numbers or arrays of one shape, and NaN in is NaN out. They are the old system's, mended:

- The side is the sign of the median in every one: Kelly went by prob_up > 0.5, which made a median of 0 a short, and
  the others had no sign.
- Where there is no edge the weight is 0: the old floor of 0.1% was a trade on nothing, at full cost.
- Confidence is a factor of confidence / 10 in every one: the old ones (its square, its power of 1.5, 1 + (confidence -
  5) / 10) had no source, and the last left half of the size at no confidence at all.
- A forecast's deviation is q90 - q10 over 2.5631, the width of a normal distribution from 10% to 90%; the old 3.29 is
  its width from 5% to 95%, and made each forecast look 22% less risky than it was.

`legacy=True` gives the old formula, without a sign, from 0.001 to `max_weight`: `research.sizing_legacy`. It takes no
notice of the options of the mended one, such as `fraction` or `target`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from data.errors import ValidationError
from research import sizing_legacy
from research.signal_rule import Forecast, one_shape
from research.signals import Floats

# An 80% interval says nothing of the last tenth on either side, so no forecast is surer than this.
_SUREST: Final = 0.9
# A forecast without spread claims to be certain; its median counts as this many deviations.
_CLEAREST: Final = 10.0


def kelly(
    q10: npt.ArrayLike,
    q50: npt.ArrayLike,
    q90: npt.ArrayLike,
    confidence: npt.ArrayLike = 10.0,
    *,
    fraction: float = 0.25,
    max_weight: float = 0.5,
    legacy: bool = False,
) -> Floats:
    """`fraction` of Kelly's bet on the median's side: (p - (1 - p) x loss / gain) x fraction x confidence / 10.

    p, gain and loss are those of `Forecast`. p is 0.9 at most: the old 1 where q10 >= 0 was a bet without risk, and a
    jump from the 0.9 beside it. It is the bet of a stake that may be lost as a whole; for an asset that loses only
    `loss` of it Kelly's own answer is 1 / loss times as much, which an estimate from three quantiles does not bear.

    Raises:
        ValidationError: as `Forecast.of`; confidence is not from 0 to 10, or max_weight not above 0 and at most 1, or
            an option not above 0.
    """
    sure = _confidence(q50, confidence, max_weight)
    if legacy:
        return sizing_legacy.kelly(q10, q50, q90, sure, max_weight)
    check_positive(fraction=fraction)
    forecast = Forecast.of(q10, q50, q90)
    p = np.minimum(forecast.win_probability, _SUREST)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # of the branch not taken
        edge = np.where(forecast.gain == 0.0, 0.0, p - (1.0 - p) * forecast.loss / forecast.gain)
    return _signed(forecast, fraction * np.maximum(edge, 0.0) * sure / 10.0, max_weight)


def volatility(
    q10: npt.ArrayLike,
    q50: npt.ArrayLike,
    q90: npt.ArrayLike,
    realised: npt.ArrayLike,
    confidence: npt.ArrayLike = 10.0,
    *,
    target: float = 0.15,
    full_strength: float = 0.25,
    max_weight: float = 0.5,
    legacy: bool = False,
) -> Floats:
    """The weight that has the target's volatility: min(target / realised, 1) x strength x confidence / 10.

    Both volatilities are annual: a bar's standard deviation x sqrt(`data.timeframe.bars_per_year`). At no volatility
    the ratio is 1, its cap; the old one was not capped. Strength is |q50| / deviation over `full_strength`, at most 1:
    how clear the forecast is. The old 5 |q50| / (1 + 50 spread) is some 0.002 for an hour of BTC: nine sizes in ten
    were the floor.

    Raises:
        ValidationError: as `kelly`; or `realised` is below 0 or infinite.
    """
    sure, actual = _confidence(q50, confidence, max_weight), _realised(q50, realised)
    if legacy:
        return sizing_legacy.volatility(q10, q50, q90, actual, sure, max_weight)
    check_positive(target=target, full_strength=full_strength)
    forecast = Forecast.of(q10, q50, q90)
    strength = np.minimum(_clarity(forecast) / full_strength, 1.0)
    return _signed(forecast, _at_most_1(target, actual) * strength * sure / 10.0, max_weight)


def sharpe(
    q10: npt.ArrayLike,
    q50: npt.ArrayLike,
    q90: npt.ArrayLike,
    confidence: npt.ArrayLike = 10.0,
    *,
    historical: float | None = None,
    scale: float = 1.0,
    max_weight: float = 0.5,
    legacy: bool = False,
) -> Floats:
    """By the forecast's own Sharpe ratio, s = |q50| / deviation: scale x s x min(s / historical, 2) x confidence / 10.

    `historical` is the usual s of the model's forecasts, None to leave its factor out (the old formula: 1). The old
    one divided q50 with its sign by it, and thereby sent every short to the floor. Its scale of 0.1 gives 1% of equity
    to the usual forecast of an hour.

    Raises:
        ValidationError: as `kelly`.
    """
    sure = _confidence(q50, confidence, max_weight)
    if legacy:
        return sizing_legacy.sharpe(q10, q50, q90, sure, 1.0 if historical is None else historical, max_weight)
    check_positive(historical=1.0 if historical is None else historical, scale=scale)
    forecast = Forecast.of(q10, q50, q90)
    clear = _clarity(forecast)
    raised = 1.0 if historical is None else np.minimum(clear / historical, 2.0)
    return _signed(forecast, scale * clear * raised * sure / 10.0, max_weight)


def risk_parity(
    q10: npt.ArrayLike,
    q50: npt.ArrayLike,
    q90: npt.ArrayLike,
    confidence: npt.ArrayLike = 10.0,
    *,
    budget: float = 0.001,
    max_weight: float = 0.5,
    legacy: bool = False,
) -> Floats:
    """The same risk for each bet: min(budget / deviation, 1) x confidence / 10.

    `budget` is the standard deviation of equity until the forecast's horizon: 0.001 an hour is 9.4% a year. The old
    0.003, 28% a year, was made harmless by a factor of 10 |q50|, with which the risk was not the same for each.

    Raises:
        ValidationError: as `kelly`.
    """
    sure = _confidence(q50, confidence, max_weight)
    if legacy:
        return sizing_legacy.risk_parity(q10, q50, q90, sure, max_weight)
    check_positive(budget=budget)
    forecast = Forecast.of(q10, q50, q90)
    return _signed(forecast, _at_most_1(budget, forecast.deviation) * sure / 10.0, max_weight)


def momentum(
    q10: npt.ArrayLike,
    q50: npt.ArrayLike,
    q90: npt.ArrayLike,
    confidence: npt.ArrayLike = 10.0,
    *,
    performance: npt.ArrayLike = 0.0,
    scale: float = 1.0,
    max_weight: float = 0.5,
    legacy: bool = False,
) -> Floats:
    """More after gains, less after losses: scale x |q50| / deviation x run x confidence / 10, run from 0.5 to 1.5.

    run = 1 + clip(2 x performance, -0.5, 0.5), `performance` the strategy's recent return, a fraction, known when the
    size is decided. The old run rose twice as fast with a gain as it fell with a loss, and never below 0.7.

    Raises:
        ValidationError: as `kelly`; or `performance` is infinite.
    """
    sure = _confidence(q50, confidence, max_weight)
    recent = _performance(q50, performance)
    if legacy:
        return sizing_legacy.momentum(q10, q50, q90, sure, recent, max_weight)
    check_positive(scale=scale)
    forecast = Forecast.of(q10, q50, q90)
    run = 1.0 + np.clip(2.0 * recent, -0.5, 0.5)
    return _signed(forecast, scale * _clarity(forecast) * run * sure / 10.0, max_weight)


def ensemble(
    q10: npt.ArrayLike,
    q50: npt.ArrayLike,
    q90: npt.ArrayLike,
    realised: npt.ArrayLike,
    confidence: npt.ArrayLike = 10.0,
    *,
    target: float = 0.15,
    performance: npt.ArrayLike = 0.0,
    historical: float | None = None,
    max_weight: float = 0.5,
    legacy: bool = False,
) -> Floats:
    """0.30 Kelly + 0.25 volatility + 0.20 Sharpe + 0.15 risk parity + 0.10 momentum, each within `max_weight` first.

    All five take the same side, so that none cancels another.

    Raises:
        ValidationError: as the five.
    """
    if legacy:
        sure, actual = _confidence(q50, confidence, max_weight), _realised(q50, realised)
        recent, past = _performance(q50, performance), 1.0 if historical is None else historical
        return sizing_legacy.ensemble(q10, q50, q90, actual, sure, recent, past, max_weight)
    quantiles, cap = (q10, q50, q90), max_weight
    parts = {
        "kelly": kelly(*quantiles, confidence, max_weight=cap),
        "volatility": volatility(*quantiles, realised, confidence, target=target, max_weight=cap),
        "sharpe": sharpe(*quantiles, confidence, historical=historical, max_weight=cap),
        "risk_parity": risk_parity(*quantiles, confidence, max_weight=cap),
        "momentum": momentum(*quantiles, confidence, performance=performance, max_weight=cap),
    }
    blend = np.asarray(sum(sizing_legacy.ENSEMBLE[name] * part for name, part in parts.items()))
    return np.asarray(np.clip(blend, -cap, cap))


def check_positive(**options: float) -> None:
    """Refuses options that are not finite numbers above 0, by name."""
    for name, value in options.items():
        if not 0.0 < value < np.inf:
            raise ValidationError(f"{name} {value!r} must be a finite number above 0")


def check_max_weight(max_weight: float) -> None:
    """Refuses a cap that is not above 0 and at most 1: a target is a fraction of equity."""
    if not 0.0 < max_weight <= 1.0:
        raise ValidationError(f"max_weight {max_weight!r} must be a fraction of equity, above 0 and at most 1")


def _confidence(q50: npt.ArrayLike, confidence: npt.ArrayLike, max_weight: float) -> Floats:
    check_max_weight(max_weight)
    _, sure = one_shape(q50=q50, confidence=confidence)
    if not (np.isnan(sure) | ((sure >= 0.0) & (sure <= 10.0))).all():
        raise ValidationError("confidence: must be from 0 to 10, NaN where unknown")
    return sure


def _realised(q50: npt.ArrayLike, realised: npt.ArrayLike) -> Floats:
    _, actual = one_shape(q50=q50, realised=realised)
    if ((actual < 0.0) | np.isinf(actual)).any():
        raise ValidationError("realised volatility: must be finite and not below 0, NaN where unknown")
    return actual


def _performance(q50: npt.ArrayLike, performance: npt.ArrayLike) -> Floats:
    _, recent = one_shape(q50=q50, performance=performance)
    if np.isinf(recent).any():
        raise ValidationError("performance: must be a finite return, such as 0.02; NaN where unknown")
    return recent


def _clarity(forecast: Forecast) -> Floats:
    """|q50| / deviation, at most _CLEAREST."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # at no spread
        ratio = np.minimum(forecast.median / forecast.deviation, _CLEAREST)
    return np.where(forecast.median == 0.0, 0.0, ratio)


def _at_most_1(wanted: float, risk: Floats) -> Floats:
    """wanted / risk, at most 1, so that what multiplies it later (confidence, strength) always cuts."""
    with np.errstate(divide="ignore", over="ignore"):  # at no risk
        return np.asarray(np.minimum(wanted / risk, 1.0))


def _signed(forecast: Forecast, size: Floats, max_weight: float) -> Floats:
    return np.asarray(forecast.side * np.clip(size, 0.0, max_weight) + 0.0)  # no negative zero
