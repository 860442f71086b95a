"""When a walk-forward trains anew, and on which bars: a moving or growing past, a gap, then the time it is used for.

    WalkForwardPlan(train="365D", refit="90D").splits(market, gap=48)

`skfolio.model_selection.WalkForward` splits the times.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.timeframe import parse_timeframe

Bars = int | str | pd.Timedelta


@dataclass(frozen=True)
class WalkForwardPlan:
    """When a model is trained, or parameters are chosen, anew, and on which bars.

    Attributes:
        train: what it is trained on: a span ("365D", a Timedelta) or a number of bars.
        refit: how long it is used before the next one, likewise.
        anchored: train on everything since the first bar; `train` is then the first one's part.
        embargo: bars left out between training and test, beside those that a label needs.

    Raises:
        ValidationError: a span that is none, or not above 0, or a negative embargo.
    """

    train: Bars = "365D"
    refit: Bars = "90D"
    anchored: bool = False
    embargo: int = 0

    def __post_init__(self) -> None:
        for name in ("train", "refit"):
            _span(name, getattr(self, name))
        if isinstance(self.embargo, bool) or not isinstance(self.embargo, Integral) or self.embargo < 0:
            raise ValidationError(f"WalkForwardPlan: embargo {self.embargo!r} must be a whole number of bars, or 0")

    def folds(self, market: Market, horizon: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Positions of the times of each fold: training, then test.

        Raises:
            ValidationError: a span is no whole number of the market's bars, or the market ends before the first test.
        """
        return self.splits(market, self._purged(horizon))

    def splits(self, market: Market, gap: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """As `folds`, with so many bars between training and test.

        Raises:
            ValidationError: as of `folds`.
        """
        from skfolio.model_selection import WalkForward

        train, refit = (_bars(name, getattr(self, name), market.timeframe) for name in ("train", "refit"))
        if len(market) <= train + gap:
            raise ValidationError(
                f"walk-forward: the market has {len(market):,} bars; {train:,} to train on and {gap} to leave out "
                "leave none to test on: bring more bars, or shorten train"
            )
        splitter = WalkForward(
            train_size=train, test_size=refit, expand_train=self.anchored, reduce_test=True, purged_size=gap
        )
        return list(splitter.split(np.empty((len(market), 1))))

    def _purged(self, horizon: int) -> int:
        """Rows between training and test: see the inequality above."""
        return horizon + 1 + int(self.embargo)


def _span(name: str, value: Bars) -> int | pd.Timedelta:
    """A number of bars, or a span of time.

    Raises:
        ValidationError: it is neither, or not above 0.
    """
    wrong = ValidationError(
        f"WalkForwardPlan: {name} {value!r} must be a span such as '90D', or a number of bars, above 0"
    )
    if isinstance(value, Integral):
        if isinstance(value, bool) or value < 1:
            raise wrong
        return int(value)
    try:
        span = pd.Timedelta(value)
    except (ValueError, TypeError):
        raise wrong from None
    if not span > pd.Timedelta(0):
        raise wrong
    return span


def _bars(name: str, value: Bars, timeframe: str) -> int:
    span, step = _span(name, value), parse_timeframe(timeframe)
    if isinstance(span, int):
        return span
    if span % step != pd.Timedelta(0):
        raise ValidationError(f"WalkForwardPlan: {name} {value!r} is no whole number of the market's bars, {timeframe}")
    return int(span // step)
