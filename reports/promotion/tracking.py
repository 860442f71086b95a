"""Whether a live session still follows its backtest: how far returns on the same bars are apart, and the band.

    seen = watch_band(live_returns, backtest_returns, band=band_of(record), timeframe="1h")
    if seen.left:
        halt(line, reason=seen.told)

Two measures. The tracking error, annualised, is the scatter; the gap is the sum, which a steady loss of a little each
bar moves and the scatter does not show. The gap may be as wide as the band, and as three deviations of what a tracking
error of the band's size comes to in that time; so may that of the last hundred bars alone, which a long calm does not
widen. What is no number has left.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.timeframe import bars_per_year
from reports.promotion.records import Record

_LEAST: Final = 100  # bars before a scatter says anything
_DEVIATIONS: Final = 3.0
_RECENT: Final = 100  # bars whose gap is judged by itself


@dataclass(frozen=True)
class Tracking:
    """How a session follows.

    Attributes:
        bars: that both have.
        error: tracking error, annualised, a fraction of equity; NaN of fewer than two bars.
        gap: summed difference of the returns, live less backtest.
        band: that was recorded.
        left: whether the session is outside of it.
        told: in words.
    """

    bars: int
    error: float
    gap: float
    band: float
    left: bool
    told: str


def tracking_error(ours: pd.Series, other: pd.Series, timeframe: str) -> float:
    """Root mean square of the difference of two records of returns on the bars that both have, annualised.

    About zero, not about its mean: a steady difference is one too. NaN of fewer than two bars in common.
    """
    apart = _apart(ours, other)
    return math.nan if len(apart) < 2 else float(np.sqrt(np.mean(apart**2) * bars_per_year(timeframe)))


def watch_band(live: pd.Series, backtest: pd.Series, *, band: float, timeframe: str, least: int = _LEAST) -> Tracking:
    """Hold a session against its backtest.

    Args:
        live: returns by bar, UTC.
        backtest: of the same strategy on the same bars and terms.
        band: largest tracking error that was promised, annualised, a fraction of equity.
        timeframe: of the bars.
        least: bars before the tracking error is judged; the gap always is.

    Raises:
        ValidationError: a band that is no positive number.
    """
    follower = Follower(band, timeframe, least)
    for apart in _apart(live, backtest).tolist():
        follower.add(apart, 0.0)
    return follower.seen


class Follower:
    """The same, bar by bar.

    Args:
        band: as `watch_band` takes it.
        timeframe: of the bars.
        least: as `watch_band` takes it.
        state: of another one (`Follower.state`), to go on from.

    Raises:
        ValidationError: a band that is no positive number.
    """

    def __init__(
        self, band: float, timeframe: str, least: int = _LEAST, state: Mapping[str, Any] | None = None
    ) -> None:
        if not (math.isfinite(band) and band > 0.0):
            raise ValidationError(f"tracking: band {band!r} must be a positive fraction of equity")
        told = state or {}
        self._band, self._yearly, self._least = band, bars_per_year(timeframe), least
        self._bars, self._sum, self._squares = (told.get(name, 0) for name in ("bars", "sum", "squares"))
        self._recent: deque[float] = deque(told.get("recent", ()), maxlen=_RECENT)

    @property
    def state(self) -> dict[str, Any]:
        """What it goes on from, as JSON has it."""
        return {"bars": self._bars, "sum": self._sum, "squares": self._squares, "recent": list(self._recent)}

    def add(self, live: float, backtest: float) -> Tracking:
        """A bar's returns, and how the session follows up to it."""
        apart = live - backtest
        self._bars, self._sum, self._squares = self._bars + 1, self._sum + apart, self._squares + apart**2
        self._recent.append(apart)
        return self.seen

    @property
    def seen(self) -> Tracking:
        """How the session follows up to now."""
        bars, gap, recent = self._bars, float(self._sum), sum(self._recent)
        error = math.nan if bars < 2 else math.sqrt(self._squares / bars * self._yearly)
        allowed, lately = self._allowed(bars), self._allowed(len(self._recent))
        left = (
            not math.isfinite(gap)
            or abs(gap) > allowed
            or abs(recent) > lately
            or (bars >= self._least and not error <= self._band)
        )
        told = (
            f"{bars:,} bars: tracking error {error:.2%} a year (band {self._band:.2%}), {gap:+.2%} of equity against "
            f"the backtest (at most {allowed:.2%})"
        )
        if bars > len(self._recent):
            told += f", {recent:+.2%} in the last {len(self._recent)} bars (at most {lately:.2%})"
        return Tracking(bars, error, gap, self._band, left, told)

    def _allowed(self, bars: int) -> float:
        """The widest gap of so many bars."""
        return max(self._band, _DEVIATIONS * self._band * math.sqrt(bars / self._yearly))


def band_of(record: Record) -> float:
    """The tracking error that a promotion to live allowed.

    Raises:
        ValidationError: the record is of another rung.
    """
    return float(record.check("tracking")["threshold"])


def _apart(ours: pd.Series, other: pd.Series) -> np.ndarray:
    both = pd.concat([ours, other], axis=1, join="inner").dropna()
    return (both.iloc[:, 0] - both.iloc[:, 1]).to_numpy(dtype=np.float64)
