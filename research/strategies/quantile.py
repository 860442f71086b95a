"""Trading a quantile forecast: when it is worth a trade, how large, what the regime makes of it, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Final, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.predictions import QUANTILES
from data.timeframe import bars_per_year
from engine.checks import is_number
from engine.exits import Exits
from engine.strategy import Strategy
from research.features.regime import Regimes
from research.signal_rule import SignalRule, confidence_of_tier, tier
from research.sizing import Method, Sizing, hb_enhanced
from research.strategies.checks import require_bars
from research.strategies.windows import deviations_of, means_of

Floats = npt.NDArray[np.float64]

# A rule's variance regimes, low to extreme, for the five of `Regimes`: they share their bounds of 30%, 70% and 90%.
_VARIANCE: Final = np.array([0.0, 0.0, 1.0, 2.0, 3.0])
_OF_VOLATILITY: Final = ("volatility", "ensemble", "inverse_volatility")


@dataclass(frozen=True)
class QuantileSignal(Strategy):
    """Takes the side of a forecast's median where its expected value exceeds cost and threshold, for its horizon.

    The market has the fields q10, q50, q90 (`data.with_predictions`); with fear_greed and btc_dominance
    (`data.with_daily`) the regime's multiplier knows sentiment as well. A forecast of `hold` bars that is made on every
    bar is traded in overlapping parts (Jegadeesh and Titman, 1993): each bar's forecast is held for `hold` bars with
    1 / `hold` of its size, so that the position is the mean of the last `hold` sizes, a bar without a trade counting as
    0. A forecast counts on the first bar that sees it, by the field made_on that the join adds; where there is none,
    each bar's is a new one. A target is given where the mean, in steps, changes. With barriers it is given where the
    mean grows, turns or ends, and not where it only shrinks: after a stop that would buy back what was sold. The
    formulas: `research.signal_rule`, `research.sizing`, `research.features.regime`.

    Attributes:
        threshold: least expected value of a trade after its cost, a fraction, before it adapts.
        adaptive: the threshold follows variance and its regime.
        cost: what a round trip costs, a fraction of its notional, that the expected value must cover as well.
        short_by_own_side: False for the old system's rule, which judged a short by the probability that it loses.
        shorts: negative targets are given; a spot venue takes none.
        method: of sizing: kelly, volatility, sharpe, risk_parity, momentum, ensemble, fixed or inverse_volatility; or
            enhanced, what the old system's backtester sized by, its tiers read upside down as there.
        max_weight: most of equity, over all symbols, each with an equal part of it.
        target_volatility: annual, for the methods that go by it.
        fraction: of equity, over all symbols, for "fixed".
        legacy_sizing: the old system's sizes: never less than 0.1% of equity, and judged by its own formulas.
        regimes: sizes are multiplied by the regime's multiplier.
        window: bars whose variance tells the regimes apart.
        volatility_bars: returns that realised volatility is measured on.
        hold: bars that each forecast is held for: its horizon. 0 for the old system's way: a signal's whole size at
            once, sized anew by each further signal, and kept until the opposite one.
        step: a symbol's position is rounded to multiples of it, before its part of the whole is taken: one that hardly
            changes sends no order. 0 for none.
        exits: barriers round a position.
    """

    threshold: float = 0.0005
    adaptive: bool = True
    cost: float = 0.0
    short_by_own_side: bool = True
    shorts: bool = True
    method: Method | Literal["enhanced"] = "kelly"
    max_weight: float = 0.5
    target_volatility: float = 0.15
    fraction: float = 0.1
    legacy_sizing: bool = False
    regimes: bool = True
    window: int = 720
    volatility_bars: int = 24
    hold: int = 1
    step: float = 0.02
    exits: Exits | None = None

    def __post_init__(self) -> None:
        require_bars("QuantileSignal", window=self.window, volatility_bars=self.volatility_bars)
        if self.volatility_bars < 2:
            raise ValidationError("QuantileSignal: volatility_bars 1: two returns at least have a deviation")
        if self.hold != 0:
            require_bars("QuantileSignal", hold=self.hold)
        if not is_number(self.step) or not 0.0 <= self.step < 1.0:
            raise ValidationError(f"QuantileSignal: step {self.step!r} must be a fraction of equity below 1, or 0")
        try:
            _ = self._rule, self._sizing
        except ValidationError as error:
            raise ValidationError(f"QuantileSignal: {error}") from error
        # What nothing reads changes nothing: two runs that differ by it alone would count as two trials.
        read = {
            "fraction": self.method == "fixed",
            "target_volatility": self.method in _OF_VOLATILITY and not self.legacy_sizing,
            "legacy_sizing": self.method != "enhanced",
        }
        usual = {item.name: item.default for item in fields(self)}
        for name, used in read.items():
            if not used and getattr(self, name) != usual[name]:
                raise ValidationError(
                    f"QuantileSignal: {name} {getattr(self, name)!r} has no effect on method {self.method!r}; leave it "
                    "out"
                )

    @classmethod
    def old(cls, **changes: object) -> Self:
        """The rule and the sizes of the system before Ladder; kept until the opposite signal.

        Two of its defects cannot be run here and are not in it: bounds of regimes from the whole sample (they knew the
        future), and sizes that were added signal by signal without a cap on their sum.
        """
        return replace(cls(short_by_own_side=False, method="enhanced", regimes=False, hold=0, step=0.0), **changes)  # type: ignore[arg-type]

    @cached_property
    def _rule(self) -> SignalRule:
        return SignalRule(
            threshold=self.threshold,
            adaptive=self.adaptive,
            short_by_own_side=self.short_by_own_side,
            cost=self.cost,
            shorts=self.shorts,
        )

    @cached_property
    def _sizing(self) -> Sizing:
        return Sizing(
            method="kelly" if self.method == "enhanced" else self.method,
            max_weight=self.max_weight,
            target_volatility=self.target_volatility,
            fraction=self.fraction,
            legacy=self.legacy_sizing,
        )

    @cached_property
    def _regimes(self) -> Regimes:
        return Regimes(window=self.window, dominance_window=self.window)

    @property
    def _features(self) -> list[str]:
        return [
            *(["vol_risk", "volatility_regime"] if self.adaptive else []),
            *(["multiplier"] if self.regimes else []),
        ]

    @property
    def warmup(self) -> int:
        """The regimes' memory, and of the signals the bars that a position is held for."""
        return max(self.volatility_bars + 1, self._regimes.memory(self._features)) + self.hold + 2

    def targets(self, market: Market) -> pd.DataFrame:
        # Before the warm-up nothing is decided, so what lies further back than a position is held for is not asked.
        begin = self.warmup - 1
        skipped = max(begin - self.hold - 1, 0)
        wanted = self._sizes(market, skipped)
        values = np.full(market.close.shape, np.nan)
        present = market.close.notna().to_numpy()
        share = 1.0 / len(market.symbols)
        for column in range(values.shape[1]):
            rows = np.flatnonzero(present[:, column])
            deciding = rows[begin:]
            if len(deciding):
                asked = rows[rows >= skipped]
                targets = self._decisions(wanted[asked - skipped, column])
                values[deciding, column] = targets[len(asked) - len(deciding) :] * share
        return pd.DataFrame(values, index=market.index, columns=market.close.columns)

    def _decisions(self, sizes: Floats) -> Floats:
        """Targets of one symbol by its own bars, before its part is taken."""
        position = np.nan_to_num(sizes)
        if self.hold:
            position = means_of(position, self.hold)
        position = self._stepped(position)
        before = np.concatenate(([0.0], position[:-1]))[: len(position)]
        changes = position != before
        if not self.hold:
            changes &= position != 0.0
        elif self.exits is not None:
            changes &= (position == 0.0) | (position * before <= 0.0) | (np.abs(position) > np.abs(before))
        return np.where(changes, position + 0.0, np.nan)

    def sizes(self, market: Market) -> pd.DataFrame:
        """What each bar's forecast is worth by itself: a signed fraction of a symbol's part, 0 for no trade.

        NaN where there is no forecast, or the regime is not known yet.

        Raises:
            ValidationError: the market has no forecasts.
        """
        return pd.DataFrame(self._sizes(market), index=market.index, columns=market.close.columns)

    def _sizes(self, market: Market, skipped: int = 0) -> Floats:
        """The same from a row on, (T - skipped, N)."""
        missing = [name for name in QUANTILES if name not in market]
        if missing:
            raise ValidationError(
                f"QuantileSignal: the market has no field {', '.join(missing)}; join the forecasts first: "
                "data.with_predictions(market, predictions).market"
            )
        q10, q50, q90 = (market[name].to_numpy(dtype=np.float64)[skipped:] for name in QUANTILES)
        risk, variance, multiplier = (None if one is None else one[skipped:] for one in self._regimes_of(market))
        judged = self._rule.judged(q10, q50, q90, vol_risk=risk, variance_regime=variance)
        side = np.where(self._is_new(market, skipped), judged.side, 0.0)
        if self.method == "enhanced":
            sure = confidence_of_tier(tier(q50, judged.threshold), legacy=True)
            deviation = 0.009 if risk is None else np.where(np.isnan(risk), 0.009, np.sqrt(risk))
            sizes = hb_enhanced(
                q10, q50, q90, sure, threshold=judged.threshold, realised=deviation, max_weight=self.max_weight
            )
            held = sizes if multiplier is None else np.minimum(sizes * multiplier, self.max_weight)
            return np.where(side == 0.0, 0.0, side * held)
        volatility = self._volatility(market)[skipped:] if self.method in _OF_VOLATILITY else None
        return self._sizing.weights(side, q10, q50, q90, volatility=volatility, multiplier=multiplier)

    def _is_new(self, market: Market, skipped: int) -> npt.NDArray[np.bool_]:
        """Where a symbol's bar is the first of its own that sees its forecast, (T - skipped, N)."""
        if "made_on" not in market:
            return np.ones((len(market), len(market.symbols)), dtype=bool)[skipped:]
        # One row more than is asked for: whether the first of them is new is told by the one before.
        made = market["made_on"].to_numpy(dtype=np.float64)
        present = market.close.notna().to_numpy()
        new = np.ones(made.shape, dtype=bool)
        for column in range(made.shape[1]):
            rows = np.flatnonzero(present[:, column])
            new[rows[1:], column] = made[rows[1:], column] != made[rows[:-1], column]
        return new[skipped:]

    def _regimes_of(self, market: Market) -> tuple[Floats | None, Floats | None, Floats | None]:
        """Variance, its regime as the rule counts them, and the multiplier; None where nobody asks for it."""
        if not self._features:
            return None, None, None
        found = self._regimes.features(market, only=self._features)
        tables = {name: table.to_numpy() for name, table in found.items()}
        variance = None
        if self.adaptive:
            regime = tables["volatility_regime"]
            known = ~np.isnan(regime)
            variance = np.where(known, _VARIANCE[np.where(known, regime, 0.0).astype(np.intp)], np.nan)
        return tables.get("vol_risk"), variance, tables.get("multiplier")

    def _volatility(self, market: Market) -> Floats:
        """Annual, of the symbol's own bars: population deviation of its log returns x sqrt(bars a year)."""
        yearly = np.sqrt(bars_per_year(market.timeframe))
        close = market.close.to_numpy(dtype=np.float64)
        found = np.full(close.shape, np.nan)
        for column in range(close.shape[1]):
            rows = np.flatnonzero(~np.isnan(close[:, column]))
            returns = np.diff(np.log(close[rows, column]))
            found[rows[1:], column] = deviations_of(returns, self.volatility_bars) * yearly
        return found

    def _stepped(self, sizes: Floats) -> Floats:
        """To the nearest multiple of the step: what is less than half of one is worth no order."""
        if not self.step:
            return sizes
        return np.sign(sizes) * np.minimum(np.rint(np.abs(sizes) / self.step) * self.step, self.max_weight)
