"""The position sizes of the system before Ladder, as they were: to compare with, and to reproduce its runs.

`kelly` to `ensemble` are its position sizer's, `hb_enhanced` its Hummingbot backtester's default. Sizes have no sign
and lie in [FLOOR, max_weight]: what has no edge still gets 0.1% of equity. Their defects are told, one by one, where
`research.sizing_formulas` mends them. Numbers or arrays of one shape; a NaN among the inputs gives NaN. Quantiles out
of order are put in order, which the old system left undone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from research.signal_rule import one_shape
from research.signals import Floats, in_order, prob_up

FLOOR: Final = 0.001
ENSEMBLE: Final = {"kelly": 0.30, "volatility": 0.25, "sharpe": 0.20, "risk_parity": 0.15, "momentum": 0.10}

# The old spread / 3.29, meant as a standard deviation: 3.29 is the width from 5% to 95%.
_WIDTH: Final = 3.29


def kelly(
    q10: npt.ArrayLike, q50: npt.ArrayLike, q90: npt.ArrayLike, confidence: npt.ArrayLike, max_weight: float = 0.5
) -> Floats:
    """Quarter Kelly on the side of `prob_up` > 0.5, x confidence / 10; 0.01 where the losing quantile is 0."""
    low, _, high = in_order(q10, q50, q90)
    win, loss, chance = _bet(low, high, prob_up(q10, q50, q90))
    (sure,) = one_shape(confidence=confidence)
    size = _kelly_fraction(win, loss, chance) * sure / 10.0 * 0.25
    return _clipped(np.where((loss == 0.0) & ~np.isnan(sure), 0.01, size), max_weight)


def volatility(
    q10: npt.ArrayLike,
    q50: npt.ArrayLike,
    q90: npt.ArrayLike,
    realised: npt.ArrayLike,
    confidence: npt.ArrayLike,
    max_weight: float = 0.5,
) -> Floats:
    """5 |q50| x 0.15 / realised (1 at no volatility) x (confidence / 10)^2 / (1 + 50 spread)."""
    low, middle, high = in_order(q10, q50, q90)
    actual, sure = one_shape(realised=realised, confidence=confidence)
    ratio = np.where(actual <= 0.0, 1.0, _divided(0.15, actual))
    return _clipped(5.0 * np.abs(middle) * ratio * (sure / 10.0) ** 2 / (1.0 + 50.0 * (high - low)), max_weight)


def sharpe(
    q10: npt.ArrayLike,
    q50: npt.ArrayLike,
    q90: npt.ArrayLike,
    confidence: npt.ArrayLike,
    historical: npt.ArrayLike = 1.0,
    max_weight: float = 0.5,
) -> Floats:
    """0.1 |ratio| x (1 + (confidence - 5) / 10) x min(ratio / historical, 2), ratio = q50 / (spread / 3.29).

    The last factor is left out where `historical` is not above 0; it is negative for a short, so that each ends at
    FLOOR.
    """
    low, middle, high = in_order(q10, q50, q90)
    past, sure = one_shape(historical=historical, confidence=confidence)
    deviation = (high - low) / _WIDTH
    ratio = _divided(middle, deviation)
    raised = np.where(past <= 0.0, 1.0, np.minimum(_divided(ratio, past), 2.0))
    size = np.abs(ratio) * 0.1 * (1.0 + (sure - 5.0) / 10.0) * raised
    return _clipped(_floor_at_no_spread(size, deviation, past + sure), max_weight)


def risk_parity(
    q10: npt.ArrayLike, q50: npt.ArrayLike, q90: npt.ArrayLike, confidence: npt.ArrayLike, max_weight: float = 0.5
) -> Floats:
    """0.15 x 0.02 / (spread / 3.29) x 10 |q50| x confidence / 10."""
    low, middle, high = in_order(q10, q50, q90)
    (sure,) = one_shape(confidence=confidence)
    deviation = (high - low) / _WIDTH
    size = _divided(0.15 * 0.02, deviation) * 10.0 * np.abs(middle) * sure / 10.0
    return _clipped(_floor_at_no_spread(size, deviation, sure), max_weight)


def momentum(
    q10: npt.ArrayLike,
    q50: npt.ArrayLike,
    q90: npt.ArrayLike,
    confidence: npt.ArrayLike,
    performance: npt.ArrayLike = 0.0,
    max_weight: float = 0.5,
) -> Floats:
    """8 |q50| x (confidence / 10)^1.5 x by performance / (1 + 30 spread): 1 + min(2p, 0.5), or 1 + max(p, -0.3)."""
    low, middle, high = in_order(q10, q50, q90)
    recent, sure = one_shape(performance=performance, confidence=confidence)
    run = 1.0 + np.where(recent > 0.0, np.minimum(2.0 * recent, 0.5), np.maximum(recent, -0.3))
    return _clipped(8.0 * np.abs(middle) * (sure / 10.0) ** 1.5 * run / (1.0 + 30.0 * (high - low)), max_weight)


def ensemble(
    q10: npt.ArrayLike,
    q50: npt.ArrayLike,
    q90: npt.ArrayLike,
    realised: npt.ArrayLike,
    confidence: npt.ArrayLike,
    performance: npt.ArrayLike = 0.0,
    historical: npt.ArrayLike = 1.0,
    max_weight: float = 0.5,
) -> Floats:
    """The five above, each clipped first, weighted by ENSEMBLE."""
    quantiles = (q10, q50, q90)
    sizes = {
        "kelly": kelly(*quantiles, confidence, max_weight),
        "volatility": volatility(*quantiles, realised, confidence, max_weight),
        "sharpe": sharpe(*quantiles, confidence, historical, max_weight),
        "risk_parity": risk_parity(*quantiles, confidence, max_weight),
        "momentum": momentum(*quantiles, confidence, performance, max_weight),
    }
    return _clipped(np.asarray(sum(ENSEMBLE[name] * size for name, size in sizes.items())), max_weight)


def hb_enhanced(
    q10: npt.ArrayLike,
    q50: npt.ArrayLike,
    q90: npt.ArrayLike,
    confidence: npt.ArrayLike = 10.0,
    *,
    threshold: npt.ArrayLike,
    spread_threshold: npt.ArrayLike | None = None,
    realised: npt.ArrayLike = 0.009,
    max_weight: float = 0.5,
) -> Floats:
    """Size of the old Hummingbot backtester's default: 0.4 Kelly + 0.3 volatility + 0.15 Sharpe + 0.15 risk parity.

    The blend is x 1.4 where |q50| exceeds `threshold`, otherwise 0.7; x 1.3 where the spread lies below
    `spread_threshold`, otherwise 0.7; x 1.2 where both hold; x (confidence / 10)^1.1. Its Kelly part has factors of its
    own (1.3 or 0.8, 1.2 or 0.8, 1.15). The deviation is spread / 3.29.

    Args:
        q10: quantile of the return that it falls below one time in ten.
        q50: its median.
        q90: quantile that it exceeds one time in ten.
        confidence: from 0 to 10; the old backtester took it from `confidence_of_tier(tier, legacy=True)`.
        threshold: of the signal, such as `adaptive_threshold`.
        spread_threshold: None for none: the blend then has no factor of it, the Kelly part its 0.8.
        realised: standard deviation of a bar's log returns over six bars; 0.009 where it was not known.
        max_weight: each part and the blend lie in [FLOOR, max_weight].

    Raises:
        ValidationError: as `research.signals.in_order`, or an input is not of the quantiles' shape.
    """
    low, middle, high = in_order(q10, q50, q90)
    median, spread = np.abs(middle), high - low
    _, sure, least, actual, tight = one_shape(
        q50=middle,
        confidence=confidence,
        threshold=threshold,
        realised=realised,
        spread_threshold=np.nan if spread_threshold is None else spread_threshold,
    )
    strong, calm = median > least, spread < tight
    both = strong & calm

    win, loss, chance = _bet(low, high, prob_up(low, middle, high), floor=0.001)
    bet = _kelly_fraction(win, loss, chance) * sure / 10.0 * 0.25
    bet = bet * np.where(strong, 1.3, 0.8) * np.where(calm, 1.2, 0.8) * np.where(both, 1.15, 1.0)
    steep = 1.0 + (sure / 3.0) ** 1.5
    deviation = spread / _WIDTH
    by_volatility = _divided(8.0 * median * actual, deviation) * steep
    by_sharpe = _divided(0.05 * median, deviation) * steep
    by_parity = _divided(0.003, deviation) * 15.0 * median * sure / 10.0
    parts = [
        _clipped(bet, max_weight),
        *(
            _clipped(_floor_at_no_spread(part, deviation, sure + actual), max_weight)
            for part in (by_volatility, by_sharpe, by_parity)
        ),
    ]
    blend = 0.4 * parts[0] + 0.3 * parts[1] + 0.15 * parts[2] + 0.15 * parts[3]
    blend = blend * np.where(strong, 1.4, 0.7) * (sure / 10.0) ** 1.1 * np.where(both, 1.2, 1.0)
    if spread_threshold is not None:
        blend = blend * np.where(calm, 1.3, 0.7)
        blend = np.where(np.isnan(tight), np.nan, blend)
    return _clipped(np.where(np.isnan(least), np.nan, blend), max_weight)


def _bet(low: Floats, high: Floats, rises: Floats, floor: float = 0.0) -> tuple[Floats, Floats, Floats]:
    """What the likelier side wins, what it loses and its chance; `floor` stands for |q10| where q10 >= 0."""
    down = np.where((low >= 0.0) & (floor > 0.0), floor, np.abs(low))
    up = np.abs(high)
    long = rises > 0.5
    return np.where(long, up, down), np.where(long, down, up), np.where(long, rises, 1.0 - rises)


def _kelly_fraction(win: Floats, loss: Floats, chance: Floats) -> Floats:
    """(b p - (1 - p)) / b with b = win / loss; nothing to win is no bet at all."""
    return np.where(win == 0.0, -1.0, chance - (1.0 - chance) * _divided(loss, win))


def _divided(above: Floats | float, below: Floats) -> Floats:
    """Their ratio, bounded far beyond what a size can tell, lest an infinite one meets a 0 later."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(np.clip(above / below, -1e12, 1e12))


def _floor_at_no_spread(size: Floats, deviation: Floats, known: Floats) -> Floats:
    return np.where((deviation <= 0.0) & ~np.isnan(known), FLOOR, size)


def _clipped(size: Floats, max_weight: float) -> Floats:
    return np.asarray(np.clip(size, FLOOR, max_weight), dtype=np.float64)
