"""The account's own stream: it rings when an order has changed, so that a barrier's fill is booked within its bar.

    bell = AccountStream(exchange)
    bell.start()
    await bell.rung()          # something has changed
    bell.taken()               # client ids of the orders that it was about

What a message says is not trusted: messages come twice, late, out of order, or never. Whoever hears the bell asks the
exchange by REST, and asks all the same when a bar closes. So a stream that is dead costs time, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

from engine.live.answers import client_id_in
from engine.live.keys import redacted

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds before the stream is taken up again
EVERY: Final = "*"


class AccountStream:
    """The orders of one account, as its stream tells of them.

    Args:
        exchange: of ccxt.pro, its keys set; one without watch_orders rings never.

    Attributes:
        breaks: times the stream broke.
    """

    def __init__(self, exchange: Any) -> None:
        self.breaks = 0
        self._exchange = exchange
        self._names: set[str] = set()
        self._rung = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen from now on."""
        if self._exchange.has.get("watchOrders"):
            self._task = asyncio.create_task(self._follow(), name="account stream")

    async def rung(self) -> None:
        """Wait until something has changed."""
        await self._rung.wait()

    def taken(self) -> set[str]:
        """Client ids of the orders that have changed since this was last asked; EVERY among them for any of them."""
        self._rung.clear()
        names, self._names = self._names, set()
        return names

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _ring(self, name: str) -> None:
        self._names.add(name)
        self._rung.set()

    async def _follow(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                for order in await self._exchange.watch_orders():
                    self._ring(client_id_in(order) or EVERY)
                pause = _FIRST_PAUSE
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever broke it: it is taken up again
                self.breaks += 1
                why = redacted(f"{type(error).__name__}: {error}")[:200]
                _LOG.warning("account: the stream broke (%s); taken up again in %.1f s", why, pause)
                await asyncio.sleep(pause)
                pause = min(2.0 * pause, _LONGEST_PAUSE)
                self._ring(EVERY)  # nobody knows what it would have told meanwhile
