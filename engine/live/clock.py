"""The exchange's time, and how far this machine's clock is from it.

A bar is closed when the exchange says so, and an order is as old as the exchange's clock makes it: `time.time` of this
machine decides nothing. ccxt signs by this clock and the difference that was last measured; a difference that is large
is refused at the start, for a clock that is wrong by minutes is rarely wrong by the same minutes for long.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from data.errors import ValidationError

_LOG = logging.getLogger(__name__)
MOST: Final = 5.0  # seconds that this machine's clock may be off
_NS_PER_MS: Final = 1_000_000


def standing() -> int:
    """The clock of a replay of stored bars, whose time stands while a turn is done: no turn is late by it."""
    return 0


class ExchangeClock:
    """The exchange's time.

    Args:
        exchange: of ccxt; its option timeDifference is what `load_time_difference` has found.
    """

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange

    @property
    def ahead(self) -> float:
        """Seconds by which this machine's clock is ahead of the exchange's."""
        return float(self._exchange.options.get("timeDifference") or 0) / 1e3

    def now(self) -> int:
        """ns since 1970 UTC, by the exchange's clock."""
        return (int(self._exchange.milliseconds()) - int(self.ahead * 1e3)) * _NS_PER_MS

    async def check(self, most: float = MOST) -> None:
        """Measure the difference, and refuse a clock that is far off.

        Raises:
            ValidationError: it is off by more than `most` seconds.
            ccxt's error: the exchange does not answer.
        """
        if not self._exchange.has.get("fetchTime"):
            _LOG.warning("%s does not tell its time: this machine's clock is trusted", self._exchange.id)
            return
        await self._exchange.load_time_difference()
        if abs(self.ahead) > most:
            way = "ahead of" if self.ahead > 0 else "behind"
            raise ValidationError(
                f"this machine's clock is {abs(self.ahead):.1f} s {way} {self._exchange.id}'s; set it (NTP), then "
                "start again"
            )
