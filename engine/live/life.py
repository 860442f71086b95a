"""One life of a rehearsed session: in this process, or in one of its own that can be killed.

    await live(job)                                   # in this process, to the end of the bars

    async with Nursery() as nursery:                  # in a process forked for each life
        life = await nursery.born(job, error)
        life.kill()                                   # SIGKILL
        await life.ended()

The nursery is a process that has imported all that a session needs, and forks when it is told to: a life then begins in
some hundredths of a second, and has no thread and no event loop of another. A life knows the exchange's URL and the
journal's file, and nothing else of whoever watches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.machinery
import logging
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from data.errors import LadderError
from data.market import Market
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.live.books import is_perpetual
from engine.live.client import set_up
from engine.live.clock import standing
from engine.live.safety import Stop
from engine.live.start import run_live
from engine.strategy import Strategy

_LOOK: Final = 0.02  # seconds between the nursery's looks at the life it has begun
_SILENCE: Final = (
    5.0  # seconds: a replay waits for its session, and a candle that is late comes with the next bar alone
)
_FAILED: Final = 70  # exit code of a life that ended by an error


class LifeError(LadderError):
    """A session's process ended by an error of its own."""


@dataclass(frozen=True)
class Job:
    """A session and the exchange that it trades on.

    Attributes:
        strategy, symbols, timeframe, cash, costs, risk, enrich: of `run_live`.
        journal: its file.
        run: its name.
        exchange: in ccxt.
        urls: what to set as `urls["api"]` of the client.
        control: root of the rehearsal exchange, "http://127.0.0.1:8080".
        gateway: options of `Gateway`.
        options: further arguments of `run_live`.
    """

    strategy: Strategy
    symbols: list[str]
    timeframe: str
    cash: float
    costs: Costs
    risk: RiskLimits | None
    enrich: Callable[[Market], Market] | None
    journal: Path
    run: str
    exchange: str
    urls: Mapping[str, Any]
    control: str
    gateway: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def client(self) -> Any:
        """An unmodified client of ccxt.pro, its URLs pointed at the rehearsal exchange."""
        import ccxt.pro

        client = getattr(ccxt.pro, self.exchange)(
            {"apiKey": "rehearsal", "secret": "rehearsal", "enableRateLimit": False}
        )
        set_up(client, "swap" if is_perpetual(self.symbols[0]) else "spot")
        client.urls["api"] = dict(self.urls)
        return client


async def live(job: Job) -> None:
    """A life, to the end of the bars: each turn of the session's lets the exchange open its next bar.

    Raises:
        LadderError: what `run_live` raises.
    """
    import aiohttp

    client, stop = job.client(), Stop()
    try:
        async with aiohttp.ClientSession(job.control) as control:

            async def goes_on(_: int = 0) -> bool:
                async with control.post("/rehearsal/advance") as answer:
                    return not (await answer.json())["done"]

            async def ready(behind: bool) -> None:
                if not behind and not await goes_on():  # the last bar was its predecessor's
                    stop.ask("no more bars")

            await run_live(
                job.strategy,
                client,
                job.symbols,
                job.timeframe,
                **{
                    "cash": job.cash,
                    "journal": job.journal,
                    "run": job.run,
                    "costs": job.costs,
                    "risk": job.risk,
                    "enrich": job.enrich,
                    "after_turn": goes_on,
                    "when_ready": ready,
                    "stop": stop,
                    "grace": 0.1,
                    "silence": _SILENCE,
                    "clock": standing,
                    "gateway_options": dict(job.gateway),
                    **job.options,
                },
            )
    finally:
        with contextlib.suppress(Exception):
            await client.close()


class Life:
    """A session's process.

    Attributes:
        pid: of it.
    """

    def __init__(self, pid: int, told: asyncio.StreamReader, error: Path) -> None:
        self.pid, self._error = pid, error
        self._status = asyncio.ensure_future(told.readline())

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._status.done()

    def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    async def wait(self, seconds: float) -> None:
        """Wait until it has ended, so long at most."""
        await asyncio.wait({self._status}, timeout=seconds)

    async def ended(self) -> bool:
        """Wait until it has ended; whether it was killed.

        Raises:
            LifeError: it ended by an error; the error's text.
        """
        text = (await self._status).strip()
        if not text:
            raise LifeError("the nursery of the session's processes has ended")
        code = int(text)
        if code not in (0, -signal.SIGKILL):
            told = self._error.read_text(encoding="utf-8") if self._error.exists() else f"exit code {code}"
            raise LifeError(told.strip())
        return code != 0


class Nursery:
    """Where lives are forked from, one after the other."""

    async def __aenter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "engine.live.life"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()  # it kills what lives, and ends
        await self._process.wait()

    async def born(self, job: Job, error: Path) -> Life:
        """Begin a life; the one before must have ended.

        Args:
            job: what it does; what cannot be pickled in it is refused.
            error: the file for the error that it ends by.

        Raises:
            LifeError: the job cannot be given to another process.
        """
        letter = _pickled((job, error))
        self._tell(len(letter).to_bytes(8, "big") + letter)
        told = self._process.stdout
        pid = b"" if told is None else await told.readline()
        if told is None or not pid:
            raise LifeError("the session's process did not begin; stderr says why")
        return Life(int(pid), told, error)

    def _tell(self, words: bytes) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(words)


def _pickled(order: tuple[Job, Path]) -> bytes:
    """A job for another process; a class of a file or of a notebook goes along whole."""
    import cloudpickle  # type: ignore[import-untyped, unused-ignore]

    job, _ = order
    for thing in (job.strategy, job.enrich):
        module = sys.modules.get(getattr(type(thing), "__module__", ""))
        top = "" if module is None else module.__name__.partition(".")[0]
        if module is not None and top != "builtins" and importlib.machinery.PathFinder.find_spec(top) is None:
            cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(order))
    except Exception as error:
        raise LifeError(
            f"{job.strategy}: cannot be given to a process of its own ({error}); rehearse it without crashes"
        ) from error


def main(stdin: BinaryIO, stdout: BinaryIO) -> None:
    """The nursery: fork a life for each job that comes; the end of the input ends what lives."""
    import cloudpickle  # type: ignore[import-untyped, unused-ignore]

    logging.disable(logging.WARNING)  # faults are what a rehearsal is for: its report tells of them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group: whoever watches ends us
    while length := stdin.read(8):
        job, error = cloudpickle.loads(_exactly(stdin, int.from_bytes(length, "big")))
        job.client()  # what a client imports is imported once
        pid = os.fork()
        if pid == 0:
            os._exit(_lived(job, error))
        _say(stdout, pid)
        _say(stdout, _outlived(pid, stdin))


def _outlived(pid: int, stdin: BinaryIO) -> int:
    """Wait until a life has ended, or nobody watches any more; its exit code, or minus its signal."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        readable, _, _ = select.select([stdin], [], [], _LOOK)
        if readable:  # nothing is said while a life lasts: this is the end of the input
            os.kill(pid, signal.SIGKILL)


def _lived(job: Job, error: Path) -> int:
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    try:
        asyncio.run(live(job))
    except Exception as failure:  # noqa: BLE001 - whatever it is, whoever watches is told
        told = str(failure) if isinstance(failure, LadderError) else traceback.format_exc()
        error.write_text(f"{type(failure).__name__}: {told}", encoding="utf-8")
        return _FAILED
    return 0


def _exactly(stdin: BinaryIO, count: int) -> bytes:
    letter = b""
    while len(letter) < count:
        more = stdin.read(count - len(letter))
        if not more:
            sys.exit(0)
        letter += more
    return letter


def _say(stdout: BinaryIO, number: int) -> None:
    stdout.write(f"{number}\n".encode())
    stdout.flush()


if __name__ == "__main__":
    # Unbuffered: what is read ahead would hide the end of the input from select.
    main(os.fdopen(os.dup(0), "rb", buffering=0), sys.stdout.buffer)
