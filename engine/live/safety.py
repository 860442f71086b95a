"""How a session is stopped from outside, and which keys it refuses.

    stop = Stop(kill_file=Path("run.kill"))
    stop.on_signals()            # SIGTERM and Ctrl-C

| what | cancels | stays stopped |
|---|---|---|
| Ctrl-C (SIGINT) | nothing that protects a position: stops and profits stay on the exchange | no |
| SIGTERM | all, or what the session was told to do then | yes, by the kill file that it writes |
| `ladder kill`, a kill file | all, or what it says | yes |

A kill file is looked for at every turn, before every order and once a second between them. It stays until a person
takes it away (`ladder live reset`): a session does not start beside one. A signal that comes again changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from data.atomic import replacing
from data.errors import ValidationError

_LOG = logging.getLogger(__name__)
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
        term_flattens: SIGTERM closes positions.
        term_keeps_barriers: SIGTERM leaves stops and profits where they are.
    """

    kill_file: Path | None = None
    flatten: bool = False
    keeps_barriers: bool = True
    why: str = ""
    term_flattens: bool = False
    term_keeps_barriers: bool = False
    _event: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def spares_barriers(self) -> bool:
        """Whether stops and profits stay on the exchange."""
        return self.keeps_barriers and not self.flatten

    def ask(self, why: str) -> None:
        """Ask for an end."""
        self.why = self.why or why
        self._event.set()

    def asked(self) -> bool:
        """Whether anyone has asked."""
        if not self._event.is_set():
            self.look_again()
        return self._event.is_set()

    def look_again(self) -> None:
        """Do what a kill file says: also one that came, or asks for more, after an end was asked for."""
        if self.kill_file is None or not self.kill_file.exists():
            return
        told = read_kill(self.kill_file)
        self.flatten = self.flatten or bool(told.get("flatten"))
        self.keeps_barriers = self.keeps_barriers and not told.get("cancel", True)
        self.ask(f"kill file: {told.get('why', 'no reason given')}")

    def on_signals(self) -> None:
        """SIGTERM and SIGINT ask for an end from now on, each as the module says."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminated)
        loop.add_signal_handler(signal.SIGINT, self._interrupted)

    def _interrupted(self) -> None:
        if self._event.is_set():
            _LOG.warning("already ending (%s): what is on its way is waited for; the journal has it all", self.why)
        self.ask("SIGINT")

    def _terminated(self) -> None:
        if not (self._event.is_set() and self.why.startswith("kill file")):
            self.flatten = self.flatten or self.term_flattens
            self.keeps_barriers = self.keeps_barriers and self.term_keeps_barriers
            if self.kill_file is not None and not self.kill_file.exists():
                write_kill(self.kill_file, why="SIGTERM", flatten=self.flatten, cancel=not self.keeps_barriers)
        self.ask("SIGTERM")

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
            # Not awaited one by one with their cancellations suppressed: ours may come meanwhile.
            await asyncio.gather(task, ended, return_exceptions=True)


def write_kill(path: Path, *, why: str, flatten: bool, cancel: bool = True, who: str = "") -> None:
    """Ask a session to stop: cancel what rests, with `flatten` close what is held, and stay stopped.

    A file that is there is replaced by one that asks for all that either asks for.
    """
    told = {"why": why, "flatten": flatten, "cancel": cancel, "who": who, "at": time.time_ns()}
    if path.exists():
        before = read_kill(path)
        told["flatten"] = flatten or bool(before.get("flatten"))
        told["cancel"] = cancel or bool(before.get("cancel", True))
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(told), encoding="utf-8")


def read_kill(path: Path) -> dict[str, Any]:
    """What a kill file says; one that cannot be read stops all the same, and cancels."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"why": "a kill file that says nothing"}
    return told if isinstance(told, dict) else {"why": str(told)}


def kill_file_of(journal: Path) -> Path:
    """Where a session looks for its kill file, unless it is told otherwise: beside its journal."""
    return journal.with_name(f"{journal.name}.kill")


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
        ccxt's error: the exchange did not answer.
    """
    way = _WAYS.get(str(exchange.id))
    ask = None if way is None else getattr(exchange, way[0], None)
    if way is None or ask is None:
        return "the exchange does not tell what the key may do"
    if way[1](await ask()):
        raise ValidationError(
            f"{exchange.id}: the API key may withdraw funds; make one that may only read and trade, from this address"
        )
    return "the key may not withdraw"


def _on_binance(told: Any) -> bool:
    return str(told.get("enableWithdrawals")).lower() == "true"


def _on_bybit(told: Any) -> bool:
    permissions = told["result"]["permissions"]
    return any("Withdraw" in granted for granted in permissions.values())


def _on_okx(told: Any) -> bool:
    return any("withdraw" in str(account.get("perm")).split(",") for account in told["data"])


# By exchange: ccxt's method for what a key may do, and whether its answer says that it may withdraw.
_WAYS: Final[dict[str, tuple[str, Any]]] = {
    "binance": ("sapi_get_account_apirestrictions", _on_binance),
    "binanceusdm": ("sapi_get_account_apirestrictions", _on_binance),
    "binancecoinm": ("sapi_get_account_apirestrictions", _on_binance),
    "bybit": ("private_get_v5_user_query_api", _on_bybit),
    "okx": ("private_get_account_config", _on_okx),
}
