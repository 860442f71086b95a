"""One request to the exchange: within a time, at the pace it allows, and its failure in words without keys.

What ccxt raises never leaves this module: its messages hold the signed URL. A failure becomes a `Failure`, by
`treatments`, and an error of ours that carries it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

from data.errors import LadderError
from engine.live.keys import redacted
from engine.live.treatments import FINAL, Treatment, is_not_found, treatment_of

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
FIRST_PAUSE: Final = 0.1  # seconds; each pause after it is twice as long
LONGEST_PAUSE: Final = 5.0
LONGEST_WAIT_OUT: Final = 60.0
_LONGEST_QUESTION: Final = 10.0
RESYNCS: Final = 3  # of the clock, in a row
_MOST_TEXT: Final = 500  # characters of an exchange's words that are kept: some answer with a web page


class Clock(Protocol):
    """The machine's monotonic time, in seconds; a test has its own."""

    def monotonic(self) -> float:
        """Seconds since some moment."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""


class MachineClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """As time.monotonic."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """As asyncio.sleep."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Failure:
    """How a request ended, if not well.

    Attributes:
        error: the name of ccxt's class.
        text: its words, without keys.
        treatment: what is to be done.
        not_found: whether the exchange said that it knows no such order.
        retry_after: seconds that it asked to wait; None where it did not.
    """

    error: str
    text: str
    treatment: Treatment
    not_found: bool = False
    retry_after: float | None = None

    def __str__(self) -> str:
        return f"{self.error}: {self.text}"


class CallError(LadderError):
    """The exchange refused a request, or did not answer it; `failure` says how."""

    def __init__(self, what: str, failure: Failure) -> None:
        super().__init__(f"{what}: {failure}")
        self.failure = failure


class UnreachableError(CallError):
    """The exchange gave no usable answer for as long as we were ready to ask."""


class HaltError(CallError):
    """The exchange refuses us as such (keys, permission, account, clock): a person must see to it."""


class Calls:
    """The requests to one exchange.

    Args:
        exchange: of ccxt.pro.
        timeout: seconds for one request, waiting for its turn included.
        clock: for the pauses.
    """

    def __init__(self, exchange: Any, timeout: float, clock: Clock | None = None) -> None:
        self.exchange, self._timeout = exchange, timeout
        self.clock = clock or MachineClock()
        self._not_before = 0.0
        self._refused = 0  # for their number, in a row
        self._resyncs = 0

    def signing_time(self) -> int:
        """The timestamp, in ms, that ccxt would sign a request with now."""
        return int(self.exchange.milliseconds()) - int(self.exchange.options.get("timeDifference") or 0)

    async def once(self, method: str, *args: Any, until: float | None = None) -> Any:
        """Send one request, and that once.

        Args:
            method: of the exchange.
            *args: what it takes.
            until: monotonic time; a ban of the exchange's that lasts longer is not waited for.

        Raises:
            CallError: it failed.
            UnreachableError: nothing was sent, for the exchange wants no request before `until`.
            HaltError: the clock could not be set, time and again.
        """
        while (wait := self._not_before - self.clock.monotonic()) > 0:
            if until is not None and self._not_before > until:
                words = f"the exchange wants no request for {wait:.0f} s more; nothing was sent"
                raise UnreachableError(method, Failure("RateLimitExceeded", words, Treatment.RETRY_LATER))
            await self.clock.sleep(wait)
        failure = None
        answer = None
        try:
            async with asyncio.timeout(self._timeout):
                answer = await getattr(self.exchange, method)(*args)
        except Exception as error:  # noqa: BLE001  (whatever it is: the request may have been executed)
            failure = self._failure(error)
        if failure is None:
            self._refused = 0
            if method not in ("fetch_time", "load_time_difference"):  # those tell nothing of our clock
                self._resyncs = 0
            return answer
        if failure.treatment is Treatment.RETRY_LATER:
            pause = failure.retry_after if failure.retry_after is not None else growing(self._refused)
            self._refused += 1
            self._not_before = max(self._not_before, self.clock.monotonic() + pause)
        if failure.treatment is Treatment.RESYNC_CLOCK and self._resyncs >= RESYNCS:
            words = f"our clock was set {self._resyncs} times, and is refused still; {failure.text}"
            raise HaltError(method, replace(failure, text=words, treatment=Treatment.HALT))
        raise CallError(method, failure)

    async def ask(self, method: str, *args: Any, until: float) -> Any:
        """Send a request that changes nothing, again and again until it is answered.

        Args:
            method: of the exchange.
            *args: what it takes.
            until: monotonic time after which no further attempt is made.

        Raises:
            CallError: the exchange refused it for good, or knows no such order.
            HaltError: it refuses us as such.
            UnreachableError: it gave no answer until then.
        """
        attempt = 0
        while True:
            failure = None
            try:
                return await self.once(method, *args, until=until)
            except (HaltError, UnreachableError):
                raise
            except CallError as error:
                failure = error.failure
            if failure.treatment is Treatment.HALT:
                raise HaltError(method, failure)
            if failure.not_found or failure.treatment in FINAL:
                raise CallError(method, failure)
            if failure.treatment is Treatment.RESYNC_CLOCK:
                await self.resync(until)
            if self.clock.monotonic() >= until:
                raise UnreachableError(method, failure)
            await self.pause(attempt, failure.treatment)
            attempt += 1

    async def pause(self, attempt: int, treatment: Treatment = Treatment.LOOK_UP) -> None:
        """Wait before the next attempt, after `attempt` others."""
        longest = LONGEST_WAIT_OUT if treatment is Treatment.WAIT_OUT else LONGEST_PAUSE
        await self.clock.sleep(growing(attempt, longest))

    async def resync(self, until: float | None = None) -> None:
        """Measure anew what the exchange's clock differs by; where that fails the next request will tell."""
        try:
            await self.once("load_time_difference", until=until)
        except HaltError:
            raise
        except CallError:
            await self.clock.sleep(FIRST_PAUSE)
        else:
            self._resyncs += 1

    def _failure(self, error: Exception) -> Failure:
        treatment = treatment_of(error)
        text = _words(error)
        after = None
        if treatment is Treatment.RETRY_LATER:  # read at once: the next answer replaces the headers
            after = _retry_after(getattr(self.exchange, "last_response_headers", None))
        return Failure(type(error).__name__, text, treatment, is_not_found(error), after)


async def answered(ask: Callable[[], Awaitable[T]], attempts: int = 12) -> T:
    """What the exchange answers to a question that changes nothing; asked again where it fails to.

    For what is asked before there is a gateway.

    Raises:
        HaltError: the exchange refuses us as such.
        CallError: it is no passing failure, or there were `attempts` of them.
    """
    import ccxt

    what = str(getattr(ask, "__name__", "request"))
    for attempt in range(attempts):
        try:
            return await ask()
        except ccxt.BaseError as error:
            treatment = treatment_of(error)
            failure = Failure(type(error).__name__, _words(error), treatment, is_not_found(error))
            passing = isinstance(error, ccxt.OperationFailed | ccxt.BadResponse)
        if treatment is Treatment.HALT:
            raise HaltError(what, failure)
        if not passing or attempt + 1 == attempts:
            raise CallError(what, failure)
        pause = growing(attempt, _LONGEST_QUESTION)
        _LOG.warning("the exchange did not answer (%s); asked again in %.1f s", failure.error, pause)
        await asyncio.sleep(pause)
    raise AssertionError("the last attempt raises")


def _words(error: Exception) -> str:
    return redacted(" ".join(str(error).split()))[:_MOST_TEXT]


def growing(attempt: int, longest: float = LONGEST_PAUSE) -> float:
    """The pause after so many attempts, seconds."""
    return float(min(FIRST_PAUSE * 2.0 ** min(attempt, 30), longest))


def _retry_after(headers: object) -> float | None:
    if not isinstance(headers, Mapping):
        return None
    text = next((str(value) for name, value in headers.items() if str(name).lower() == "retry-after"), "")
    return float(text) if text.strip().isdecimal() else None
