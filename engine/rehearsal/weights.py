"""What requests weigh, as Binance counts it: a budget per minute, 429 beyond it, and 418 for who goes on regardless."""

from __future__ import annotations

import math
from typing import Final

_MINUTE: Final = 60.0
_IGNORED: Final = 3  # requests after the first 429 that turn it into a ban


class WeightLimit:
    """Weight used within the running minute of the wall clock.

    Args:
        limit: weight allowed per minute; None counts and never refuses.
        ban: seconds that a ban lasts.
    """

    def __init__(self, limit: int | None = None, ban: int = 2) -> None:
        self.limit = limit
        self.ban = ban
        self.used = 0
        self._began = -math.inf
        self._ignored = 0
        self._banned_until = -math.inf

    def spend(self, weight: int, now: float) -> tuple[int, int]:
        """Count a request.

        Args:
            weight: of the request.
            now: seconds, of a clock that never goes back.

        Returns:
            The HTTP status, 200, 429 or 418, and the seconds to wait.
        """
        if now < self._banned_until:
            return 418, max(1, math.ceil(self._banned_until - now))
        if now - self._began >= _MINUTE:
            self._began, self.used, self._ignored = now, 0, 0
        self.used += weight
        if self.limit is None or self.used <= self.limit:
            return 200, 0
        self._ignored += 1
        if self._ignored > _IGNORED:
            self._banned_until = now + self.ban
            self._ignored = 0
            return 418, self.ban
        return 429, max(1, math.ceil(self._began + _MINUTE - now))
