"""When a quantile forecast is worth a trade, and on which side.

    rule = SignalRule(cost=0.003)
    rule.side(q10, q50, q90, vol_risk=variance, variance_regime=regime)    # 1 long, -1 short, 0 neither, NaN unknown
    SignalRule(adaptive=False).judged(-0.002, 0.001, 0.004)                # the figures behind the side as well

The side is the sign of the median. It is taken where its expected value, less the cost, exceeds a threshold that grows
with the market's variance. `SignalRule.old()` is the rule of the system before Ladder, which judges a short by the
probability that it loses. Every function takes numbers or arrays of one shape; returns, costs and thresholds are
fractions (0.0005 is 5 bps). Quantiles out of order are put in order first, for the old rule as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from data.errors import ValidationError
from research.signals import Floats, in_order, prob_up

# A normal distribution has its 10% and 90% points this many standard deviations apart.
_DEVIATIONS_APART: Final = 2.5631031310892007
_LOW, _MEDIUM, _HIGH, _EXTREME = 0.0, 1.0, 2.0, 3.0
_CONFIDENCE_BEFORE: Final = np.array([10.0, 7.0, 5.0, 3.0])


class Forecast(NamedTuple):
    """A quantile forecast as a trader on its own side reads it: mirrored where the median is below 0.

    Arrays of one shape, NaN where a quantile is missing. A long and its mirrored short have the same figures to the
    last bit, but for `side`.

    Attributes:
        side: the sign of the median: 1, -1, or 0.
        median: its distance from 0, the return that the side expects.
        gain: the outer quantile on the winning side, q90 for a long and -q10 for a short; 0 if it does not win either.
        loss: the one on the losing side, -q10 for a long and q90 for a short; 0 where even that one wins.
        win_probability: that the side wins: `prob_up` for a long, its complement for a short. 1 where `loss` is 0.
        deviation: standard deviation of a normal return with this q90 - q10, that is (q90 - q10) / 2.5631.
    """

    side: Floats
    median: Floats
    gain: Floats
    loss: Floats
    win_probability: Floats
    deviation: Floats

    @classmethod
    def of(cls, q10: npt.ArrayLike, q50: npt.ArrayLike, q90: npt.ArrayLike) -> Self:
        """The forecast with these quantiles.

        Raises:
            ValidationError: as `research.signals.in_order`.
        """
        low, middle, high = in_order(q10, q50, q90)
        side = np.asarray(np.sign(middle))
        worst, best = np.where(side < 0.0, -high, low), np.where(side < 0.0, -low, high)
        median = np.abs(middle)
        with np.errstate(over="ignore"):
            deviation = (best - worst) / _DEVIATIONS_APART
        return cls(
            side=side,
            median=np.asarray(median),
            gain=np.asarray(np.maximum(best, 0.0)),
            loss=np.asarray(np.maximum(-worst, 0.0)),
            win_probability=prob_up(worst, median, best),
            deviation=np.asarray(deviation),
        )


def expected_value(
    q10: npt.ArrayLike, q50: npt.ArrayLike, q90: npt.ArrayLike, *, short_by_own_side: bool = True
) -> Floats:
    """What a trade on the median's side is expected to return: p x gain - (1 - p) x loss, before costs.

    p, gain and loss are those of `Forecast`; 0 where the median is 0, for there is no side. A quantile that lies on the
    winning side of 0 is no loss: the formula before took |q10| and q90 as they came.

    Args:
        q10: quantile of the return that it falls below one time in ten.
        q50: its median.
        q90: quantile that it exceeds one time in ten.
        short_by_own_side: False for that formula: p is the probability of a rise on either side, which is the
            probability that a short loses. It lets 12% of the shorts through where 43% are worth a trade.

    Raises:
        ValidationError: as `research.signals.in_order`.
    """
    if short_by_own_side:
        forecast = Forecast.of(q10, q50, q90)
        win = forecast.win_probability
        return np.where(forecast.side == 0.0, 0.0, win * forecast.gain - (1.0 - win) * forecast.loss)
    low, middle, high = in_order(q10, q50, q90)
    rises = prob_up(low, middle, high)
    gain, loss = np.where(middle > 0.0, high, np.abs(low)), np.where(middle > 0.0, np.abs(low), high)
    return np.asarray(rises * gain - (1.0 - rises) * loss)


def adaptive_threshold(
    base: float,
    *,
    vol_risk: npt.ArrayLike | None = None,
    variance_regime: npt.ArrayLike | None = None,
    trending: npt.ArrayLike | None = None,
) -> Floats:
    """`base`, raised where the market is wild: base x (1 + by regime) x (1 + 500 vol_risk).

    What is None leaves its part out. The system before clipped the regime's factor to 0.3..3, which it cannot reach: it
    is 0.6 to 1.8.

    Args:
        base: the threshold in a calm market of medium variance.
        vol_risk: variance of the log returns of a bar.
        variance_regime: 0 low -30%, 1 medium, 2 high +40%, 3 extreme +80%.
        trending: whether the market trends (1 or True): -10%.

    Returns:
        The threshold, NaN where one of the inputs is.

    Raises:
        ValidationError: an input is out of its range, or they differ in shape.
    """
    if not 0.0 <= base < np.inf:
        raise ValidationError(f"adaptive_threshold: base {base!r} must be a fraction, at least 0")
    regime, trend, variance = one_shape(
        variance_regime=_MEDIUM if variance_regime is None else variance_regime,
        trending=0.0 if trending is None else trending,
        vol_risk=0.0 if vol_risk is None else vol_risk,
    )
    if not _among(regime, (_LOW, _MEDIUM, _HIGH, _EXTREME)):
        raise ValidationError("variance_regime: must be 0 low, 1 medium, 2 high or 3 extreme, NaN where unknown")
    if not _among(trend, (0.0, 1.0)):
        raise ValidationError("trending: must be True or False (1 or 0), NaN where unknown")
    if ((variance < 0.0) | np.isinf(variance)).any():
        raise ValidationError("vol_risk: must be the variance of a bar's log return, finite and not below 0")
    raised = -0.3 * (regime == _LOW) + 0.4 * (regime == _HIGH) + 0.8 * (regime == _EXTREME) - 0.1 * trend
    return np.where(np.isnan(regime), np.nan, base * (1.0 + raised) * (1.0 + 500.0 * variance))


class Judged(NamedTuple):
    """What a rule makes of each forecast: arrays of the forecast's shape.

    Attributes:
        prob_up: probability that the return is above 0.
        expected_value: of a trade on the median's side, before costs.
        threshold: what the expected value less the cost must exceed.
        side: 1 long, -1 short, 0 neither; NaN where the forecast or the threshold is missing.
    """

    prob_up: Floats
    expected_value: Floats
    threshold: Floats
    side: Floats


@dataclass(frozen=True)
class SignalRule:
    """Trades the sign of the median where the expected value less the cost exceeds the threshold.

    The cost is added to the threshold and is not one of two hurdles: it is paid on each trade, and the threshold is
    what must be left after it. The system before worked a cost of 20 bps out and never used it.

    Attributes:
        threshold: least expected value after costs, before it adapts.
        adaptive: the threshold follows the market's variance, as `adaptive_threshold`; False leaves it as it is.
        by_regime: it does so by `variance_regime` and, where given, by `trending`.
        by_variance: it does so by `vol_risk`.
        short_by_own_side: a short is judged by its own probability of winning; False for the old defect.
        cost: what a round trip costs, a fraction of its notional: two fees and two slippages.
        shorts: shorts are taken; False makes them 0.
        least_median: |q50| must exceed it.

    Raises:
        ValidationError: a fraction is below 0 or not finite.
    """

    threshold: float = 0.0005
    adaptive: bool = True
    by_regime: bool = True
    by_variance: bool = True
    short_by_own_side: bool = True
    cost: float = 0.0
    shorts: bool = True
    least_median: float = 0.0

    def __post_init__(self) -> None:
        for name in ("threshold", "cost", "least_median"):
            if not 0.0 <= getattr(self, name) < np.inf:
                raise ValidationError(f"SignalRule: {name} {getattr(self, name)!r} must be a fraction, at least 0")

    @classmethod
    def old(cls) -> Self:
        """The rule of the system before Ladder, its defect included."""
        return cls(short_by_own_side=False)

    def side(
        self,
        q10: npt.ArrayLike,
        q50: npt.ArrayLike,
        q90: npt.ArrayLike,
        *,
        vol_risk: npt.ArrayLike | None = None,
        variance_regime: npt.ArrayLike | None = None,
        trending: npt.ArrayLike | None = None,
    ) -> Floats:
        """1 long, -1 short, 0 neither, NaN unknown; arguments and errors are those of `judged`."""
        return self.judged(q10, q50, q90, vol_risk=vol_risk, variance_regime=variance_regime, trending=trending).side

    def judged(
        self,
        q10: npt.ArrayLike,
        q50: npt.ArrayLike,
        q90: npt.ArrayLike,
        *,
        vol_risk: npt.ArrayLike | None = None,
        variance_regime: npt.ArrayLike | None = None,
        trending: npt.ArrayLike | None = None,
    ) -> Judged:
        """The side of each forecast, and the figures it rests on.

        Args:
            q10: quantile of the return that it falls below one time in ten.
            q50: its median.
            q90: quantile that it exceeds one time in ten.
            vol_risk: as in `adaptive_threshold`, a number or of the forecast's shape; not looked at where the step
                that needs it is off. The same holds for the next two.
            variance_regime: likewise.
            trending: likewise, but None counts as no trend.

        Raises:
            ValidationError: a step lacks its input, an input is out of its range, or the shapes differ.
        """
        by_regime, by_variance = self.adaptive and self.by_regime, self.adaptive and self.by_variance
        for needed, given, name, switch in (
            (by_regime, variance_regime, "variance_regime", "by_regime"),
            (by_variance, vol_risk, "vol_risk", "by_variance"),
        ):
            if needed and given is None:
                raise ValidationError(
                    f"SignalRule: {name} is missing, and the threshold follows it; give {name}=..., or turn the step "
                    f"off with {switch}=False (adaptive=False for both)"
                )
        low, middle, high = in_order(q10, q50, q90)
        threshold = adaptive_threshold(
            self.threshold,
            vol_risk=vol_risk if by_variance else None,
            variance_regime=variance_regime if by_regime else None,
            trending=trending if by_regime else None,
        )
        if threshold.shape not in ((), middle.shape):
            raise ValidationError(
                f"SignalRule: the forecast has the shape {middle.shape}, what the threshold follows has "
                f"{threshold.shape}; give numbers, or arrays of the forecast's shape"
            )
        threshold = np.full(middle.shape, threshold)
        value = expected_value(low, middle, high, short_by_own_side=self.short_by_own_side)
        taken = (value - self.cost > threshold) & (np.abs(middle) > self.least_median)
        if not self.shorts:
            taken &= middle > 0.0
        side = np.where(taken, np.sign(middle), 0.0)
        unknown = np.isnan(middle) | np.isnan(threshold)
        return Judged(prob_up(low, middle, high), value, threshold, np.where(unknown, np.nan, side))


def tier(q50: npt.ArrayLike, threshold: npt.ArrayLike) -> Floats:
    """How far the median reaches: 3 the whole threshold (the strongest), 2 from 80% of it, 1 from 60%, else 0.

    NaN where the median or the threshold is.

    Raises:
        ValidationError: a threshold is not above 0, or the shapes differ.
    """
    median, needed = one_shape(q50=q50, threshold=threshold)
    if not (np.isnan(needed) | (needed > 0.0)).all():
        raise ValidationError("tier: threshold must be above 0, NaN where unknown")
    reached = np.abs(median)
    steps = 1.0 * (reached >= needed) + (reached >= 0.8 * needed) + (reached >= 0.6 * needed)
    return np.where(np.isnan(reached) | np.isnan(needed), np.nan, steps)


def confidence_of_tier(tier: npt.ArrayLike, *, legacy: bool = False) -> Floats:
    """Confidence from 1 to 10 for tiers 0 to 3: 2.5 x tier, at least 1. A strong signal is a sure one.

    Args:
        tier: 3 the strongest, as `tier` gives it.
        legacy: True for the map of the old backtester, which reads 3 as the weakest: 0 gives 10, 1 gives 7, 2 gives 5
            and 3 gives 3. It bet most on what was least.

    Raises:
        ValidationError: a tier is none of 0, 1, 2, 3 and not NaN.
    """
    (tiers,) = one_shape(tier=tier)
    if not _among(tiers, (0.0, 1.0, 2.0, 3.0)):
        raise ValidationError("confidence_of_tier: tier must be 0, 1, 2 or 3, NaN where unknown")
    if not legacy:
        return np.asarray(np.clip(2.5 * tiers, 1.0, 10.0))
    known = ~np.isnan(tiers)
    return np.where(known, _CONFIDENCE_BEFORE[np.where(known, tiers, 0.0).astype(np.intp)], np.nan)


def one_shape(**values: npt.ArrayLike) -> list[Floats]:
    """Arrays of one shape from numbers and arrays; a number stands for every place.

    Raises:
        ValidationError: one is not numeric, or two arrays differ in shape; each by its name.
    """
    arrays: dict[str, Floats] = {}
    for name, given in values.items():
        try:
            arrays[name] = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValidationError(f"{name}: give numbers, NaN where unknown ({error})") from error
    shapes = {name: array.shape for name, array in arrays.items() if array.shape != ()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValidationError(f"{', '.join(shapes)}: give numbers, or arrays of one shape; their shapes are {told}")
    shape = next(iter(shapes.values()), ())
    return [np.full(shape, array) if array.shape == () else array for array in arrays.values()]


def _among(values: Floats, allowed: tuple[float, ...]) -> bool:
    return bool((np.isnan(values) | np.isin(values, allowed)).all())
