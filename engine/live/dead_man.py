"""The dead man's switch: the exchange cancels the account's orders once it has not heard of us for so many seconds.

    switch = DeadMan(exchange, seconds=30, perpetual=True)
    await switch.arm()          # refused where the exchange has none
    ...
    await switch.disarm()

Two kinds of it, both behind ccxt's `cancelAllOrdersAfter`:

- A countdown (Kraken, OKX): it is set anew every third of its time, and what has run down cancels.
- Bybit's disconnection protection: the time runs from the loss of the last private connection that listens to its topic
  `dcp.*`; that connection is held here, and the time is set again with each new one. (Bybit turns it on by agreement.)

It cancels *all* orders of the account, stops and profits that protect a position among them, and of other programs too.
So it is refused together with a strategy whose barriers rest on the exchange, unless that is asked for. Binance's spot
has none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from data.errors import ValidationError
from engine.live.calls import answered
from engine.live.keys import redacted

_LOG = logging.getLogger(__name__)
# Seconds that the exchanges take, by their documentation; ccxt passes on whatever it is given.
_SPAN: Final = {"bybit": (3, 300), "okx": (10, 120), "kraken": (1, 86_400)}
_ANY: Final = (1, 86_400)
_TOPICS: Final = {True: "dcp.future", False: "dcp.spot"}  # Bybit's, of perpetuals and of spot
_AGAIN: Final = 0.5  # seconds before a connection that broke is taken up again


def check_dead_man(exchange: Any, seconds: float) -> int:
    """The seconds, whole, where this exchange has such a switch and takes them.

    Raises:
        ValidationError: it has none, or takes others.
    """
    if not exchange.has.get("cancelAllOrdersAfter"):
        raise ValidationError(
            f"{exchange.id}: has no dead man's switch (ccxt's cancelAllOrdersAfter); leave out --dead-man, and keep "
            "barriers on the exchange: they survive our death"
        )
    least, most = _SPAN.get(str(exchange.id), _ANY)
    if not (least <= seconds <= most and seconds == int(seconds)):
        raise ValidationError(
            f"{exchange.id}: dead man's switch of {seconds!r} s: give whole seconds from {least} to {most}"
        )
    return int(seconds)


class DeadMan:
    """The switch of one account.

    Args:
        exchange: of ccxt.pro, its keys set and its markets loaded.
        seconds: from the last sign of life to the cancelling, whole.
        perpetual: of perpetuals' orders, not of spot's; asked of Bybit.

    Attributes:
        renewed: when the exchange has last heard, `time.monotonic`; None for not yet.

    Raises:
        ValidationError: see `check_dead_man`.
    """

    def __init__(self, exchange: Any, seconds: float, *, perpetual: bool) -> None:
        self.seconds = check_dead_man(exchange, seconds)
        self._exchange, self._perpetual = exchange, perpetual
        self._held = str(exchange.id).startswith("bybit")
        self._task: asyncio.Task[None] | None = None
        self.renewed: float | None = None

    @property
    def late(self) -> bool:
        """Whether the exchange has not heard for so long that it has cancelled everything."""
        return self.renewed is not None and time.monotonic() - self.renewed > self.seconds

    async def arm(self, when_late: Callable[[], None] | None = None) -> None:
        """Set it, and keep it from running down from now on.

        Args:
            when_late: called once for each time that it has run down while we lived.

        Raises:
            CallError: the exchange refuses it.
        """
        await answered(self._set)
        self._task = asyncio.create_task(self._keep(when_late), name="dead man's switch")

    async def disarm(self) -> None:
        """Take it off; where the exchange does not answer it runs down, and cancels what rests."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        try:
            if self._held:
                await self._leave()
            else:
                await self._exchange.cancel_all_orders_after(0)
        except Exception as error:  # noqa: BLE001 - whatever it is, the session is ending
            _LOG.warning("dead man's switch: not taken off (%s)", type(error).__name__)

    async def _set(self) -> None:
        params = {"type": "swap" if self._perpetual else "spot"} if self._held else {}
        await self._exchange.cancel_all_orders_after(self.seconds * 1000, params)
        self.renewed = time.monotonic()

    async def _keep(self, when_late: Callable[[], None] | None) -> None:
        told = False
        while True:
            try:
                if self._held:
                    await self._hold()
                else:
                    await asyncio.sleep(self.seconds / 3.0)
                    await self._set()
                    told = False
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is: the next attempt may be in time
                why = redacted(f"{type(error).__name__}: {error}")[:200]
                _LOG.warning("dead man's switch: not renewed (%s)", why)
                if self.late and not told:
                    told = True
                    if when_late is not None:
                        when_late()
                await asyncio.sleep(min(_AGAIN, self.seconds / 6.0))

    # Bybit's: a connection that listens.

    async def _hold(self) -> None:
        """Listen to the topic, for as long as the connection lasts."""
        exchange, topic = self._exchange, _TOPICS[self._perpetual]
        url = await self._url()
        await exchange.authenticate(url)
        await self._set()
        heard = asyncio.ensure_future(exchange.watch_topics(url, [topic], [topic]))
        try:
            while not heard.done():
                self.renewed = time.monotonic()
                await asyncio.wait({heard}, timeout=self.seconds / 3.0)
            heard.result()  # raises what broke it; the topic itself never tells anything
        finally:
            heard.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await heard

    async def _leave(self) -> None:
        url, topic = await self._url(), _TOPICS[self._perpetual]
        client = self._exchange.clients.get(url)
        if client is not None and client.connection is not None:
            await client.send({"op": "unsubscribe", "args": [topic]})

    async def _url(self) -> str:
        kind = {"type": "swap" if self._perpetual else "spot"}
        return str(await self._exchange.get_url_by_market_type(None, True, "watchOrders", kind))
