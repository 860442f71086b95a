"""A live session held to the band of its promotion: who leaves it is taken off the ladder, and halts.

    watch = BandWatch(standing, timeframe="1h", cash=10_000.0)
    await run_live(..., follow=watch)

The band is the tracking error that the promotion allowed (`reports.promotion.tracking`); what the session is held
against is paper beside it, on the same bars and decisions (`engine.live.shadow`).
"""

from __future__ import annotations

from pathlib import Path

from data.errors import ValidationError
from reports.promotion.climbing import Standing, halt
from reports.promotion.tracking import Follower, Tracking, band_of


class BandWatch:
    """What `run_live` tells of each close.

    Args:
        standing: the promotion that the session runs by.
        timeframe: of its bars.
        cash: that it began with, quote currency.
        registry: the folder of records; None for the default one.

    Attributes:
        band: largest tracking error, annualised, a fraction of equity.
        seen: how it follows; None before the first close.

    Raises:
        ValidationError: the promotion is not one to live.
    """

    def __init__(self, standing: Standing, *, timeframe: str, cash: float, registry: str | Path | None = None) -> None:
        self._line, self._registry = standing.event.line, registry
        self.band = band_of(standing.record)
        self._follower = Follower(self.band, timeframe)
        self._before = (cash, cash)
        self._left = False
        self.seen: Tracking | None = None

    @property
    def told(self) -> str:
        """The band in words."""
        return f"a tracking error of {self.band:.2%} a year against paper on the same bars"

    def __call__(self, bar: int, ours: float, paper: float) -> str | None:  # noqa: ARG002  (a follower's signature)
        """A close: what each is worth, quote currency; why the session is to end, where it has left its band."""
        before, self._before = self._before, (ours, paper)
        self.seen = self._follower.add(ours / before[0] - 1.0, paper / before[1] - 1.0)
        if not self.seen.left or self._left:
            return None
        self._left = True
        why = f"it no longer follows its backtest: {self.seen.told}"
        try:
            event = halt(self._line, self._registry, reason=why)
        except ValidationError as error:  # a person was faster; it ends all the same
            return f"{why} ({error})"
        return f"{why}; taken off the rung {event.rung}"
