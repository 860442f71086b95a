"""A server on this machine that takes what apprise sends to `json://` addresses."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

TOKEN = "KANARIE-t0ken/42"


@dataclass(eq=False)
class Inbox:
    """What was sent: `messages`; `status` is the answer; while `holds` is clear, no answer comes."""

    status: int = 200
    messages: list[dict[str, Any]] = field(default_factory=list)
    waiting: int = 0

    async def __aenter__(self) -> Self:
        self.holds = asyncio.Event()
        self.holds.set()
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *raised: object) -> None:
        self.holds.set()
        await self._runner.cleanup()

    @property
    def address(self) -> str:
        # The user's password is too short to be masked wherever it stands: it must not get there.
        return f"json://user:KANARIE@127.0.0.1:{self.port}/{TOKEN}?rto=60"

    async def _take(self, request: web.Request) -> web.Response:
        self.messages.append(await request.json())
        self.waiting += 1
        await self.holds.wait()
        self.waiting -= 1
        return web.Response(status=self.status)

    def titles(self, kind: str | None = None) -> list[str]:
        return [one["title"] for one in self.messages if kind in (None, one["type"])]
