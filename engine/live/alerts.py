"""Alerts: a message to a person, by whatever service that person reads and the library apprise knows.

    alerts = Alerts.from_environment()         # LADDER_ALERTS, or the keyring; None where neither has an address
    await alerts.tell("btc-1: halt", "the exchange refuses the key", urgent=True)

An address (`tgram://TOKEN/CHAT`, `mailtos://...`) has tokens in it, so it is a secret as a key is: `redacted` masks it
and its parts, apprise's own lines below a warning are not logged, and errors name an address by scheme and host.

Sending blocks, and may hang: each address has a thread of its own, that ends with the process, and a queue that may
fill. Whoever tells something waits for no one: `post` returns at once, and `tell` lets everything else run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

from data.errors import ValidationError
from data.mqtt_link import Secret
from engine.live.keys import SHORTEST, RedactingFilter, from_keyring, redacted, remember

VARIABLE: Final = "LADDER_ALERTS"
_SERVICE, _ENTRY = "ladder-alerts", "addresses"  # in the keyring
_LOG = logging.getLogger(__name__)
_MOST: Final = 16  # messages that may wait for one address
_TITLES: Final = 1_000  # that are remembered, to tell each only once in a while
_LOGGERS: Final = ("apprise", "urllib3", "urllib3.connectionpool")  # below a warning they write whole addresses
_BETWEEN: Final = re.compile(r"\s+|,+(?=\s|$|[A-Za-z][A-Za-z0-9+.-]*://)")
_HOST: Final = re.compile(r"localhost|(\d{1,3}\.){3}\d{1,3}|([a-z0-9-]{1,63}\.)+[a-z]{2,24}")
_WORD: Final = re.compile(r"[a-z]{1,16}")  # a part of an address that would be masked in half of all texts


class Delivery(NamedTuple):
    """What became of a message: by address (scheme and host), why it was not taken; "" where it was."""

    answers: tuple[tuple[str, str], ...]

    @property
    def of(self) -> int:
        """Addresses that it went to."""
        return len(self.answers)

    @property
    def taken(self) -> int:
        """Those of them whose service took it."""
        return sum(not why for _, why in self.answers)

    @property
    def failures(self) -> list[str]:
        """The others, and why."""
        return [f"{where}: {why}" for where, why in self.answers if why]


class Alerts:
    """Addresses, and what they were told.

    Args:
        addresses: in apprise's form.
        timeout: seconds after which a message counts as not delivered.
        again_after: seconds for which a title that was told is only counted.
        clock: seconds.

    Raises:
        ValidationError: no address, or one that apprise does not know.
    """

    def __init__(
        self,
        addresses: Sequence[Secret],
        *,
        timeout: float = 30.0,
        again_after: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not addresses:
            raise ValidationError(f"alerts: no address; set {VARIABLE}, see docs/alerts.md")
        _keep_out_of_logs()
        self._receivers = [_Receiver(address, number) for number, address in enumerate(addresses, 1)]
        self._timeout, self._again_after, self._clock = timeout, again_after, clock
        self._told: dict[str, tuple[float, int]] = {}

    @classmethod
    def from_environment(
        cls, variables: Mapping[str, str] | None = None, *, variable: str = VARIABLE, **settings: Any
    ) -> Alerts | None:
        """Those that the environment, or else the keyring, has addresses of; None without any.

        Args:
            variables: instead of the environment; the keyring is then not asked.
            variable: that has the addresses, separated by commas or spaces; of another than LADDER_ALERTS the keyring
                is not asked.
            settings: of `Alerts`.

        Raises:
            ValidationError: an address is none that apprise knows, or the keyring cannot be read.
        """
        addresses = read_addresses(variables, variable=variable)
        return cls(addresses, **settings) if addresses else None

    @property
    def where(self) -> tuple[str, ...]:
        """The addresses by scheme and host; a host that may be a token is masked."""
        return tuple(one.shown for one in self._receivers)

    def post(self, title: str, text: str, *, urgent: bool = False) -> Post | None:
        """Hand a message to the threads that send it, and return; None for a title that was told a short while ago."""
        now = self._clock()
        at, more = self._told.get(title, (None, 0))
        if at is not None and now - at < self._again_after:
            self._told[title] = (at, more + 1)
            return None
        if len(self._told) >= _TITLES:
            self._told.clear()
        self._told[title] = (now, 0)
        if more and at is not None:
            text = f"{text}\n{more:,} more of these since the last message, {(now - at) / 60:.0f} minutes ago."
        message = _Message(redacted(title), redacted(text), urgent)
        return Post(title, self._timeout, [(one.shown, one.take(message)) for one in self._receivers])

    async def tell(self, title: str, text: str, *, urgent: bool = False) -> Delivery | None:
        """Send a message and wait for what comes of it, `timeout` at most; what fails is logged, and raises nothing.

        Args:
            title: a line. The same one is sent at most once in `again_after` seconds; the next one tells how many more
                there were.
            text: the rest.
            urgent: whether a person is needed.

        Returns:
            What became of it; None for a title that was told a short while ago.
        """
        post = self.post(title, text, urgent=urgent)
        return None if post is None else await post.delivered()

    def counted(self) -> dict[str, int]:
        """By title, how often it came again and was not sent."""
        return {title: more for title, (_, more) in self._told.items() if more}

    def __repr__(self) -> str:
        return f"Alerts({', '.join(self.where)})"


class Post:
    """A message on its way."""

    def __init__(self, title: str, timeout: float, answers: Sequence[tuple[str, Future[str]]]) -> None:
        self.title, self._timeout, self._answers = title, timeout, answers

    async def delivered(self) -> Delivery:
        """What became of it, once every address has answered or its time is over; failures are logged."""
        waits = [asyncio.wrap_future(answer) for _, answer in self._answers]
        await asyncio.wait(waits, timeout=self._timeout)
        answers = []
        for (where, _), wait in zip(self._answers, waits, strict=True):
            over = not wait.done()
            wait.cancel()  # what still waits in its queue is not sent any more
            answers.append((where, f"no answer within {self._timeout:g} s" if over else wait.result()))
        delivery = Delivery(tuple(answers))
        if delivery.failures:
            _LOG.warning("alert not delivered: %s: %s", self.title, "; ".join(delivery.failures))
        return delivery


def read_addresses(variables: Mapping[str, str] | None = None, *, variable: str = VARIABLE) -> list[Secret]:
    """The addresses as `Alerts.from_environment` finds them; `redacted` knows them from now on."""
    text = (os.environ if variables is None else variables).get(variable)
    if not text and variables is None and variable == VARIABLE:
        found = from_keyring(_SERVICE, (_ENTRY,), "alerts")
        text = found[_ENTRY].reveal() if found else None
    addresses = [one.strip(",") for one in _BETWEEN.split(text or "") if one.strip(",")]
    for address in addresses:
        _mask(address)
    return [Secret(address) for address in addresses]


class _Message(NamedTuple):
    title: str
    text: str
    urgent: bool


class _Receiver:
    """One address, and the thread that sends to it."""

    def __init__(self, address: Secret, number: int) -> None:
        import apprise

        memory = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY)
        text = address.reveal()
        _mask(text)
        service = apprise.Apprise.instantiate(text, asset=memory, suppress_exceptions=True)
        if service is None:  # neither it nor its scheme is shown: it may be a token that was pasted alone
            raise ValidationError(
                f"alerts: address {number} is none that apprise knows; give SERVICE://..., such as tgram://TOKEN/CHAT "
                "or mailtos://USER:PASSWORD@HOST (docs/alerts.md), and test it with `ladder alerts test`"
            )
        self.shown, self._service = _shown(text, service), service
        self._queue: queue.Queue[tuple[Future[str], _Message]] = queue.Queue(_MOST)
        self._thread: threading.Thread | None = None

    def take(self, message: _Message) -> Future[str]:
        """Have it sent; the answer is why it was not taken, "" if it was."""
        answer: Future[str] = Future()
        if self._thread is None:
            # A daemon: a service that hangs does not keep the process from ending.
            self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait((answer, message))
        except queue.Full:
            answer.set_result(f"{_MOST} messages wait for it already")
        return answer

    def _work(self) -> None:
        while True:
            answer, message = self._queue.get()
            if answer.set_running_or_notify_cancel():
                answer.set_result(self._send(message))

    def _send(self, message: _Message) -> str:
        import apprise

        kind = apprise.NotifyType.FAILURE if message.urgent else apprise.NotifyType.INFO
        try:
            # Not by an `Apprise` object: it sends in threads that keep the process from ending.
            taken = self._service.notify(
                message.text, title=message.title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT
            )
        except Exception as error:  # noqa: BLE001  (each service has its own errors; their texts hold addresses)
            return type(error).__name__
        return "" if taken else "refused, or not reached"


def _shown(address: str, service: Any) -> str:
    """Scheme and host. In many addresses a token stands where the host would: then it is masked."""
    scheme, rest = address.split("://", 1)
    host = _host(address)
    known = any("{host}" in template for template in service.templates)
    masked = host not in service.url(privacy=True)
    if scheme.lower() not in ("http", "https") and (not known or masked):
        host = ""
    return f"{scheme}://{host or ('***' if rest else '')}"


def _host(address: str) -> str:
    """The host of an address, where it looks like one; else ""."""
    with contextlib.suppress(ValueError):
        found = urllib.parse.urlsplit(address).netloc.rpartition("@")[2].partition(":")[0]
        return found if _HOST.fullmatch(found) else ""
    return ""


def _mask(address: str) -> None:
    """Have `redacted` mask an address, and each part of it that is no host and no plain word."""
    remember(address)
    host, parts = _host(address), re.split(r"[/?#&=:@,;]+", address.partition("://")[2] or address)
    with contextlib.suppress(ValueError):
        password = urllib.parse.urlsplit(address).password or ""
        if len(password) >= SHORTEST:
            remember(password)
            remember(urllib.parse.unquote(password))
    for part in parts:
        for one in (part, urllib.parse.unquote(part)):
            if len(one) >= SHORTEST and one != host and not _WORD.fullmatch(one):
                remember(one)


def _keep_out_of_logs() -> None:
    """Have apprise and its HTTP client log warnings alone, and those without addresses."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if logger.level < logging.WARNING:
            logger.setLevel(logging.WARNING)
        if not any(isinstance(one, RedactingFilter) for one in logger.filters):
            logger.addFilter(RedactingFilter())
