"""How a session is stopped from outside, and which keys it refuses.

    stop = Stop(kill_file=Path("run.kill"))
    stop.on_signals()            # SIGTERM and Ctrl-C

A kill file is looked for at every turn and once a second between them; `ladder kill` makes it. It stays until a person
takes it away (`ladder live reset`): a session does not start beside one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from data.atomic import replacing
from data.errors import ValidationError

T = TypeVar("T")
_LOOK: Final = 1.0  # seconds between looks at the kill file


@dataclass(eq=False)
class Stop:
    """Whether the session is to end, and how.

    Attributes:
        kill_file: ends it once it is there.
        flatten: positions are closed as well.
        keeps_barriers: without `flatten`, stops and profits stay on the exchange: they protect what is held.
        why: what asked for it.
    """

    kill_file: Path | None = None
    flatten: bool = False
    keeps_barriers: bool = True
    why: str = ""
    _event: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self, why: str) -> None:
        """Ask for an end."""
        self.why = self.why or why
        self._event.set()

    def asked(self) -> bool:
        """Whether anyone has asked."""
        if not self._event.is_set() and self.kill_file is not None and self.kill_file.exists():
            told = read_kill(self.kill_file)
            self.flatten, self.keeps_barriers = bool(told.get("flatten")), not told.get("cancel", True)
            self.ask(f"kill file: {told.get('why', 'no reason given')}")
        return self._event.is_set()

    def on_signals(self) -> None:
        """SIGTERM and SIGINT ask for an end; barriers stay."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask, signal.Signals(number).name)

    async def or_result(self, work: Awaitable[T]) -> T | None:
        """What the work gives, or None where an end was asked for first; the work is cancelled then."""
        task, ended = asyncio.ensure_future(work), asyncio.ensure_future(self._event.wait())
        try:
            while not task.done() and not self.asked():
                await asyncio.wait({task, ended}, timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            for one in (task, ended):
                one.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await one


def write_kill(path: Path, *, why: str, flatten: bool, cancel: bool = True) -> None:
    """Ask a session to stop: cancel what rests, with `flatten` close what is held, and stay stopped."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"why": why, "flatten": flatten, "cancel": cancel}), encoding="utf-8")


def read_kill(path: Path) -> dict[str, Any]:
    """What a kill file says; one that cannot be read stops all the same, and cancels."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"why": "a kill file that says nothing"}
    return told if isinstance(told, dict) else {"why": str(told)}


def refuse_if_killed(path: Path) -> None:
    """Refuse to start beside a kill file.

    Raises:
        ValidationError: it is there; says why it was made.
    """
    if path.exists():
        raise ValidationError(
            f"{path}: the run was stopped ({read_kill(path).get('why')}) and stays so; look why, then take it away "
            "with `ladder live reset`"
        )


async def refuse_withdrawals(exchange: Any) -> str:
    """Refuse a key that may withdraw, where the exchange tells; what it told, for the journal.

    Raises:
        ValidationError: it may.
    """
    ask = getattr(exchange, "sapi_get_account_apirestrictions", None)
    if exchange.id not in ("binance", "binanceusdm") or ask is None:
        return "the exchange does not tell what the key may do"
    told = await ask()
    if str(told.get("enableWithdrawals")).lower() == "true":
        raise ValidationError(
            f"{exchange.id}: the API key may withdraw funds; make one that may only read and trade, from this address"
        )
    return "the key may not withdraw"
