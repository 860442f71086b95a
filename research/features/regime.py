"""Regimes of a market: volatility, sentiment, dominance, what they say together, and how a quantile forecast has moved.

    regimes = Regimes()
    market = with_daily(market, read_daily("sentiment_daily.parquet"))    # fear_greed, btc_dominance, lagged a day
    market = market.with_fields(**regimes.features(market))
    market["volatility_regime"]                                           # 0 ultra_low .. 4 extreme, NaN unknown

The formulas are those of the system that Ladder is compared with. There a regime's bounds were quantiles of the whole
sample, so that each bar knew of all later ones; here they are those of a trailing window that ends with the bar.
A regime is told as a number, its place in `VOLATILITY`, `SENTIMENT` or `DOMINANCE`.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.checks import is_number
from research.strategies.checks import require_bars
from research.strategies.windows import deviations_of

Floats = npt.NDArray[np.float64]

VOLATILITY: Final = ("ultra_low", "low", "medium", "high", "extreme")
SENTIMENT: Final = ("extreme_fear", "fear", "neutral", "greed", "extreme_greed")
DOMINANCE: Final = ("btc_low", "balanced", "btc_high")

# Each feature, and the fields that it needs beside the close.
FEATURES: Final[dict[str, tuple[str, ...]]] = {
    "vol_risk": (),
    "relative_volatility": (),
    "momentum_5": (),
    "momentum_10": (),
    "momentum_25": (),
    "volatility_regime": (),
    "sentiment_regime": ("fear_greed",),
    "dominance_regime": ("btc_dominance",),
    "crisis": ("fear_greed",),
    "opportunity": ("fear_greed", "btc_dominance"),
    "stability": (),
    "multiplier": (),
    "q50_momentum_3": ("q50",),
    "spread_momentum_3": ("q10", "q90"),
    "q50_stability_6": ("q50",),
    "q50_regime_persistence": ("q50",),
    "prediction_confidence": ("q10", "q50", "q90"),
    "q50_direction_consistency": ("q50",),
}
_OF_REGIMES: Final = {"crisis", "opportunity", "multiplier"}
_PERCENTAGES: Final = ("fear_greed", "btc_dominance")
_QUANTILES: Final = ("q10", "q50", "q90")
_OF_FORECAST: Final = {name for name, needs in FEATURES.items() if set(needs) & set(_QUANTILES)}

_RISK_RETURNS: Final = 6
_COMPARISONS: Final = 20  # of a bar's volatility regime with that of the bar before, in `stability`
_LONGEST_MOMENTUM: Final = 25
_VOLATILITY_LEVELS: Final = (0.1, 0.3, 0.7, 0.9)
_DOMINANCE_LEVELS: Final = (0.3, 0.7)

_BY_VOLATILITY: Final = (1.5, 1.2, 1.0, 0.7, 0.4)
_BY_SENTIMENT: Final = (2.0, 1.3, 1.0, 0.8, 0.6)
CAPS: Final = (2.0, 1.75, 1.5, 1.0, 0.5)
_LEGACY_CRISIS, _LEGACY_OPPORTUNITY, _LEGACY_RANGE = 3.0, 2.5, (0.1, 5.0)


class MissingInputsWarning(UserWarning):
    """The market lacks inputs, and the features that need them are left out."""


@dataclass(frozen=True)
class Regimes:
    """Features of regimes, by what was known at each bar's close.

    Windows count bars that the symbol has: a bar that is missing is skipped, and has no feature.

    Attributes:
        window: bars whose vol_risk gives the bounds of volatility_regime, the bar itself among them. None for all bars
            so far: causal, but without an end to its memory, so that a live session decides as a backtest does only
            with the whole history.
        least: values that bounds need at least where a window is not full: of all bars so far with `window=None`, and
            of a dominance window in which days are missing (never more than the window has bars).
        dominance_window: bars whose btc_dominance gives the bounds of dominance_regime. The value changes once a day:
            720 hourly bars hold 30 of them.
        persistence_cap: where q50_regime_persistence stops counting: without, its memory would have no end.
        opportunity_boost: see `size_multiplier`.
        caps: see `size_multiplier`.
        legacy: whether multiplier is the old one, `legacy_multiplier`. For comparison: it bets most in the worst.

    Raises:
        ValidationError: a parameter is out of its range.
    """

    window: int | None = 720
    least: int = 200
    dominance_window: int = 720
    persistence_cap: int = 48
    opportunity_boost: float = 1.25
    caps: tuple[float, ...] = CAPS
    legacy: bool = False

    def __post_init__(self) -> None:
        lengths = {"least": self.least, "dominance_window": self.dominance_window}
        lengths |= {"persistence_cap": self.persistence_cap} | ({} if self.window is None else {"window": self.window})
        require_bars("Regimes", **lengths)
        if not isinstance(self.legacy, bool):
            raise ValidationError(f"Regimes: legacy {self.legacy!r} must be True or False")
        _check_sizes(self.opportunity_boost, self.caps)

    @property
    def warmup(self) -> int:
        """Bars after which every feature is known, and those of a trailing window are as with the full history.

        With `window=None` volatility_regime, and what is made of it, remembers all bars: the number then only says from
        which bar on they are known.
        """
        return self.memory(FEATURES)

    def memory(self, names: Iterable[str]) -> int:
        """The same for some of the features, by their names."""
        bounds = (self.least if self.window is None else self.window) + _RISK_RETURNS
        bars = {
            "vol_risk": _RISK_RETURNS + 1,
            "relative_volatility": 21,
            "momentum_5": 6,
            "momentum_10": 11,
            "momentum_25": _LONGEST_MOMENTUM + 1,
            "volatility_regime": bounds,
            "dominance_regime": self.dominance_window,
            "crisis": bounds,
            "opportunity": max(bounds, self.dominance_window),
            "stability": bounds + _COMPARISONS,
            "multiplier": max(bounds, self.dominance_window),
            "q50_momentum_3": 3,
            "spread_momentum_3": 3,
            "q50_stability_6": 6,
            "q50_regime_persistence": self.persistence_cap,
            "q50_direction_consistency": 6,
        }
        return max((bars.get(name, 1) for name in names), default=1)

    def features(self, market: Market, only: Collection[str] = tuple(FEATURES)) -> dict[str, pd.DataFrame]:
        """Each feature as a table, time by symbol, float64; NaN where it is not known, and where the bar is missing.

        From the close (r: log return from close to close):

        - vol_risk: sample variance of 6 r. relative_volatility: sample deviation of 5 r / that of 20; NaN where prices
          stood still. momentum_n, n = 5, 10, 25: close / close n bars before - 1.
        - volatility_regime: 0 where vol_risk <= the window's 10% quantile, 1 up to 30%, 2 to 70%, 3 to 90%, else 4.
        - stability: 1 - the share of the last 20 bars whose volatility_regime is not that of the bar before.

        From daily values, fear_greed and btc_dominance, 0 to 100, as `data.daily.with_daily` adds them:

        - sentiment_regime: 0 where fear_greed <= 20, 1 where <= 35, 2 where < 65, 3 where < 80, else 4.
        - dominance_regime: 0 where <= the window's 30% quantile, 2 where >= its 70% quantile, else 1; 1 as well where
          it is both, for the window holds one value.
        - crisis: 1 where volatility and fear are extreme. opportunity: 1 where fear is extreme, and volatility high or
          extreme or btc_high. 0 where what is known rules it out, NaN where it cannot be told.
        - multiplier: `size_multiplier` of the three regimes, or `legacy_multiplier`; NaN where volatility_regime is.

        From a forecast, q10, q50, q90 of the return; NaN where one that is needed is:

        - q50_momentum_3, spread_momentum_3: the change over the last 3 bars, the last less the first; spread is
          |q90 - q10|.
        - q50_stability_6: sample deviation of the last 6; 0 where fewer than 3 of them are known.
        - q50_regime_persistence: bars for which (q50 > 0) has been what it is, up to `persistence_cap`.
        - prediction_confidence: 1 / (1 + spread / max(|q50|, 0.001)).
        - q50_direction_consistency: share of the last 6 with the sign of the latest; 0.5 where fewer than 3 are known.

        Args:
            market: the bars, and the inputs there are.
            only: the features to compute; all of them by default.

        Raises:
            ValidationError: fear_greed or btc_dominance lies outside of 0 to 100 or is on a scale of 0 to 1, or a
                quantile is infinite; names symbol and bar. `only` names what is no feature.

        Warns:
            MissingInputsWarning: the market lacks an input; names the features that are left out.
        """
        inputs = {
            name: market[name].to_numpy(dtype=np.float64) for name in (*_PERCENTAGES, *_QUANTILES) if name in market
        }
        for name, table in inputs.items():
            _check_input(name, table, market)
        wanted = [name for name in FEATURES if name in only]
        if len(wanted) < len(set(only)):
            raise ValidationError(f"Regimes: no feature {', '.join(sorted(set(only) - set(FEATURES)))}")
        dropped = [name for name in wanted if not inputs.keys() >= set(FEATURES[name])]
        if dropped:
            needed = {need for name in dropped for need in FEATURES[name]}
            absent = [name for name in (*_PERCENTAGES, *_QUANTILES) if name in needed and name not in inputs]
            message = f"the market has no field {', '.join(absent)}: left out {', '.join(dropped)}"
            warnings.warn(message, MissingInputsWarning, stacklevel=2)
        close = market.close.to_numpy(dtype=np.float64)
        kept = [name for name in wanted if name not in dropped]
        tables = self._by_symbol(close, inputs, set(kept))
        there = ~np.isnan(close)
        self._add_daily(
            tables, {name: np.where(there, inputs[name], np.nan) for name in _PERCENTAGES if name in inputs}
        )
        index, columns = market.index, market.close.columns
        return {name: pd.DataFrame(tables[name], index=index, columns=columns) for name in kept}

    def _by_symbol(self, close: Floats, inputs: dict[str, Floats], wanted: set[str]) -> dict[str, Floats]:
        """What looks back over a symbol's own bars, of those wanted or needed for them; tables (T, N)."""
        if wanted & _OF_REGIMES:
            wanted = wanted | {"volatility_regime", "dominance_regime"}
        tables: dict[str, Floats] = {}
        last: tuple[Floats, Floats] | None = None
        for column in range(close.shape[1]):
            rows = np.flatnonzero(~np.isnan(close[:, column]))
            found = self._from_close(close[rows, column], wanted)
            if "dominance_regime" in wanted and "btc_dominance" in inputs:
                lead = inputs["btc_dominance"][rows, column]
                # One value a day for all symbols: mostly the column before has the answer.
                if last is None or not np.array_equal(last[0], lead, equal_nan=True):
                    last = lead, self._dominance(lead)
                found["dominance_regime"] = last[1]
            if wanted & _OF_FORECAST and set(_QUANTILES) & inputs.keys():
                unknown = np.full(len(rows), np.nan)
                given = [inputs[name][rows, column] if name in inputs else unknown for name in _QUANTILES]
                found |= self._from_forecast(*given)
            for name, values in found.items():
                tables.setdefault(name, np.full(close.shape, np.nan))[rows, column] = values
        return tables

    def _from_close(self, close: Floats, wanted: set[str]) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        returns = np.log(close[1:] / close[:-1])
        for bars in (5, 10, _LONGEST_MOMENTUM):
            if f"momentum_{bars}" in wanted:
                found[f"momentum_{bars}"] = close / _shifted(close, bars) - 1.0
        if "relative_volatility" in wanted:
            short, long = _sample_deviation(returns, 5), _sample_deviation(returns, 20)
            with np.errstate(divide="ignore", invalid="ignore"):
                found["relative_volatility"] = np.where(long > 0.0, short / long, np.nan)
        if wanted & {"vol_risk", "volatility_regime", "stability"}:
            found["vol_risk"] = _sample_deviation(returns, _RISK_RETURNS)[: len(close)] ** 2
        if wanted & {"volatility_regime", "stability"}:
            found["volatility_regime"] = self._volatility(found["vol_risk"])
        if "stability" in wanted:
            found["stability"] = _stability(found["volatility_regime"])
        return found

    def _volatility(self, risk: Floats) -> Floats:
        from research.features.quantile_kernel import trailing_quantiles

        whole = len(risk) if self.window is None else int(self.window)
        least = int(self.least) if self.window is None else whole
        bounds = trailing_quantiles(risk, max(whole, 1), least, np.array(_VOLATILITY_LEVELS))
        return np.where(np.isnan(bounds[:, 0]), np.nan, (risk[:, None] > bounds).sum(axis=1))

    def _dominance(self, lead: Floats) -> Floats:
        from research.features.quantile_kernel import trailing_quantiles

        days = int(self.dominance_window)
        bounds = trailing_quantiles(lead, days, min(int(self.least), days), np.array(_DOMINANCE_LEVELS))
        low, high = lead <= bounds[:, 0], lead >= bounds[:, 1]
        known = ~np.isnan(lead) & ~np.isnan(bounds[:, 0])
        return np.where(known, np.where(low == high, 1.0, np.where(low, 0.0, 2.0)), np.nan)

    def _add_daily(self, tables: dict[str, Floats], daily: dict[str, Floats]) -> None:
        """Sentiment, and what the regimes say together, of all symbols at once."""
        if "volatility_regime" not in tables:
            tables |= {} if "fear_greed" not in daily else {"sentiment_regime": _sentiment(daily["fear_greed"])}
            return
        volatility = tables["volatility_regime"]
        unknown = np.full(volatility.shape, np.nan)
        sentiment = _sentiment(daily.get("fear_greed", unknown))
        dominance = tables.get("dominance_regime", unknown)
        if self.legacy:
            multiplier = legacy_multiplier(volatility, sentiment, dominance)
        else:
            multiplier = size_multiplier(volatility, sentiment, dominance, self.opportunity_boost, self.caps)
        tables |= {
            "sentiment_regime": sentiment,
            "crisis": in_crisis(volatility, sentiment),
            "opportunity": is_opportunity(volatility, sentiment, dominance),
            "multiplier": multiplier,
        }

    def _from_forecast(self, q10: Floats, q50: Floats, q90: Floats) -> dict[str, Floats]:
        spread = np.abs(q90 - q10)
        last_six = [_shifted(q50, bars) for bars in range(6)]
        known = sum((~np.isnan(values) for values in last_six), np.zeros(len(q50)))
        # Distances from the newest value: six equal ones deviate by nothing, exactly.
        distances = [np.nan_to_num(values - q50) for values in last_six]
        mean = sum(distances, np.zeros(len(q50))) / np.maximum(known, 1.0)
        squares = [np.where(np.isnan(v), 0.0, (d - mean) ** 2) for v, d in zip(last_six, distances, strict=True)]
        deviation = np.sqrt(sum(squares, np.zeros(len(q50))) / np.maximum(known - 1.0, 1.0))
        alike = sum((np.sign(values) == np.sign(q50) for values in last_six), np.zeros(len(q50)))
        enough, there = known >= 3, ~np.isnan(q50)
        return {
            "q50_momentum_3": q50 - _shifted(q50, 2),
            "spread_momentum_3": spread - _shifted(spread, 2),
            "q50_stability_6": np.where(there, np.where(enough, deviation, 0.0), np.nan),
            "q50_regime_persistence": np.minimum(_run_length(q50), float(self.persistence_cap)),
            "prediction_confidence": 1.0 / (1.0 + spread / np.maximum(np.abs(q50), 0.001)),
            "q50_direction_consistency": np.where(there, np.where(enough, alike / np.maximum(known, 1.0), 0.5), np.nan),
        }


def _sentiment(fear_greed: Floats) -> Floats:
    above = (fear_greed > 20) * 1.0 + (fear_greed > 35) + (fear_greed >= 65) + (fear_greed >= 80)
    return np.where(np.isnan(fear_greed), np.nan, above)


def in_crisis(volatility: npt.ArrayLike, sentiment: npt.ArrayLike) -> Floats:
    """1 where volatility and fear are extreme, 0 where one is known not to be, NaN where it cannot be told."""
    worse, mood = _codes(volatility, sentiment)
    return _both(_is(worse, worse == 4), _is(mood, mood == 0))


def is_opportunity(volatility: npt.ArrayLike, sentiment: npt.ArrayLike, dominance: npt.ArrayLike) -> Floats:
    """1 where fear is extreme, and volatility high or extreme or btc_high; 0 and NaN as in `in_crisis`."""
    worse, mood, lead = _codes(volatility, sentiment, dominance)
    neither = _both(_is(worse, worse < 3), _is(lead, lead < 2))
    return _both(_is(mood, mood == 0), 1.0 - neither)


def size_multiplier(
    volatility: npt.ArrayLike,
    sentiment: npt.ArrayLike,
    dominance: npt.ArrayLike,
    opportunity_boost: float = 1.25,
    caps: tuple[float, ...] = CAPS,
) -> Floats:
    """How much of a position's size to take in these regimes, by their numbers; arrays of one shape.

    {1.5, 1.2, 1, 0.7, 0.4} by volatility x {2, 1.3, 1, 0.8, 0.6} by sentiment x `opportunity_boost` where there is an
    opportunity and volatility is neither high nor extreme, and no more than `caps` by volatility. Unlike the old one,
    worse volatility never makes a position larger, at the same sentiment and dominance; with the default caps also
    whatever the dominance. Those caps bind in all of extreme fear, where alone there is an opportunity: the boost then
    changes nothing, and shows once the caps are raised.

    NaN where volatility is. A sentiment or dominance that is NaN has no say: factor 1, and no opportunity by it.

    Raises:
        ValidationError: the boost is below 1, or the caps are not five sizes above 0, none above the one before.
    """
    _check_sizes(opportunity_boost, caps)
    worse, mood, lead = _codes(volatility, sentiment, dominance)
    boosted = (is_opportunity(worse, mood, lead) == 1.0) & (worse < 3)
    size = _by(worse, _BY_VOLATILITY) * _by(mood, _BY_SENTIMENT) * np.where(boosted, opportunity_boost, 1.0)
    return np.where(np.isnan(worse), np.nan, np.minimum(size, _by(worse, caps)))


def legacy_multiplier(volatility: npt.ArrayLike, sentiment: npt.ArrayLike, dominance: npt.ArrayLike) -> Floats:
    """The old system's: by volatility x by sentiment as in `size_multiplier`, x 3 in a crisis, x 2.5 at an opportunity.

    From 0.1 to 5. Extreme volatility with extreme fear is both a crisis and an opportunity, 0.4 x 2 x 3 x 2.5 = 6:
    the largest size in the worst market. NaN is treated as in `size_multiplier`.
    """
    worse, mood, lead = _codes(volatility, sentiment, dominance)
    size = _by(worse, _BY_VOLATILITY) * _by(mood, _BY_SENTIMENT)
    size *= np.where(in_crisis(worse, mood) == 1.0, _LEGACY_CRISIS, 1.0)
    size *= np.where(is_opportunity(worse, mood, lead) == 1.0, _LEGACY_OPPORTUNITY, 1.0)
    return np.where(np.isnan(worse), np.nan, np.clip(size, *_LEGACY_RANGE))


def _check_sizes(boost: float, caps: tuple[float, ...]) -> None:
    if not is_number(boost) or boost < 1.0:
        raise ValidationError(f"Regimes: opportunity_boost {boost!r} must be a number, at least 1")
    good = isinstance(caps, tuple) and len(caps) == len(VOLATILITY) and all(is_number(cap) for cap in caps)
    if not good or caps[-1] <= 0.0 or (np.diff(caps) > 0.0).any():
        raise ValidationError(
            f"Regimes: caps {caps!r} must be a tuple of five sizes above 0, one for each of {', '.join(VOLATILITY)}, "
            f"none larger than the one before, such as {CAPS}"
        )


def _check_input(name: str, table: Floats, market: Market) -> None:
    """Refuse what is infinite and, of percentages, what is none."""
    wrong = np.isinf(table) if name in _QUANTILES else (table < 0.0) | (table > 100.0)
    if wrong.any():
        row, column = (int(place) for place in np.argwhere(wrong)[0])
        rule = "fractional returns such as 0.002" if name in _QUANTILES else "values from 0 to 100"
        raise ValidationError(
            f"{market.symbols[column]} bar {market.index[row]}: {name} is {table[row, column]:g}; give {rule}, NaN "
            "where there is none"
        )
    if name in _PERCENTAGES:
        for column, symbol in enumerate(market.symbols):
            known = table[~np.isnan(table[:, column]), column]
            if len(known) and known.max() <= 1.0:
                raise ValidationError(
                    f"{symbol}: no {name} is above 1, the highest is {known.max():g}: it is on a 0 to 1 scale; "
                    "multiply by 100"
                )


def _shifted(values: Floats, bars: int) -> Floats:
    """The values so many bars before; NaN where there is none."""
    return np.concatenate((np.full(min(bars, len(values)), np.nan), values[: max(len(values) - bars, 0)]))


def _sample_deviation(returns: Floats, bars: int) -> Floats:
    """By bar: one more than there are returns, where there is a bar at all."""
    known = deviations_of(returns, bars) * np.sqrt(bars / (bars - 1))
    return np.concatenate(([np.nan], known))


def _stability(regime: Floats) -> Floats:
    before = _shifted(regime, 1)
    compared = np.concatenate(([0], np.cumsum(~np.isnan(regime - before))))
    changed = np.concatenate(([0], np.cumsum((regime != before) & ~np.isnan(regime - before))))
    stable = np.full(len(regime), np.nan)
    if len(regime) >= _COMPARISONS:
        whole = compared[_COMPARISONS:] - compared[:-_COMPARISONS] == _COMPARISONS
        share = (changed[_COMPARISONS:] - changed[:-_COMPARISONS]) / _COMPARISONS
        stable[_COMPARISONS - 1 :] = np.where(whole, 1.0 - share, np.nan)
    return stable


def _run_length(values: Floats) -> Floats:
    """Bars for which (value > 0) has been what it is; NaN, which ends a run, where there is no value."""
    state = np.where(np.isnan(values), -1, values > 0.0)
    places = np.arange(len(values))
    began = np.maximum.accumulate(np.where(np.diff(state, prepend=-2) != 0, places, 0))
    return np.where(np.isnan(values), np.nan, places - began + 1.0)


def _codes(*regimes: npt.ArrayLike) -> list[Floats]:
    return [np.asarray(regime, dtype=np.float64) for regime in regimes]


def _by(regime: Floats, factors: tuple[float, ...]) -> Floats:
    """The factor of each regime, 1 where it is not known."""
    unknown = np.isnan(regime)
    return np.where(unknown, 1.0, np.array(factors)[np.where(unknown, 0.0, regime).astype(np.int64)])


def _is(regime: Floats, holds: npt.NDArray[np.bool_]) -> Floats:
    """1 or 0, NaN where the regime is not known."""
    return np.where(np.isnan(regime), np.nan, holds)


def _both(one: Floats, other: Floats) -> Floats:
    """1 where both are 1, 0 where one of them is 0, NaN where what is not known decides."""
    return np.where((one == 0.0) | (other == 0.0), 0.0, one * other)
