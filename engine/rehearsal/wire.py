"""One WebSocket connection of a client, and the JSON that goes over it, with the faults that befall single messages."""

from __future__ import annotations

import contextlib
from typing import Any

from aiohttp import web

from engine.rehearsal.faults import FaultPlan

try:
    import orjson

    def to_json(message: Any) -> bytes:
        """A message as JSON."""
        return orjson.dumps(message)

    def from_json(text: str | bytes) -> Any:
        """What a text of JSON says."""
        return orjson.loads(text)
except ImportError:  # ccxt brings it on most systems, not on all
    import json

    def to_json(message: Any) -> bytes:
        """A message as JSON."""
        return json.dumps(message, separators=(",", ":")).encode()

    def from_json(text: str | bytes) -> Any:
        """What a text of JSON says."""
        return json.loads(text)


class Connection:
    """A client's WebSocket. Messages of streams may come twice, out of turn or late, as the plan has it.

    Args:
        socket: prepared.
        request: that it came with.
        plan: faults, or None.
    """

    def __init__(self, socket: web.WebSocketResponse, request: web.BaseRequest, plan: FaultPlan | None) -> None:
        self.socket = socket
        self.streams: set[str] = set()
        self.subscription: int | None = None
        self._request = request
        self._plan = plan if plan is not None and plan.touches("message") else None
        self._held: list[str] = []
        self._late: list[str] = []
        self._overdue: list[str] = []

    async def answer(self, message: Any) -> None:
        """Send an answer to a request: always once and at once."""
        await self._put(to_json(message).decode())

    async def send(self, label: str, text: str, at: int) -> None:
        """Send a stream's message.

        Args:
            label: of the message, for the plan of faults.
            text: as JSON.
            at: venue clock, ms.
        """
        fault = None if self._plan is None else self._plan.meets("message", label, at)
        if fault is not None and fault.kind == "late":
            self._late.append(text)
            return
        if fault is not None and fault.kind == "reorder":
            self._held.append(text)
            return
        await self._put(text)
        if fault is not None:
            await self._put(text)
        if self._held:
            await self._release()

    async def end_of_bar(self) -> None:
        """Send what was held back: messages out of turn at the latest now, late ones of the bar before."""
        await self._release()
        for text in self._overdue:
            await self._put(text)
        self._overdue, self._late = self._late, []

    def abort(self) -> None:
        """Break the connection without a word, as a network does."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _release(self) -> None:
        held, self._held = self._held, []
        for text in held:
            await self._put(text)

    async def _put(self, text: str) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):  # a client that has gone hears no more
            await self.socket.send_str(text)
