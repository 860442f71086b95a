"""Predictions sent to an MQTT broker, where Hummingbot's `ai_livestream` controller listens for them.

    with Publisher("mqtts://broker.example:8883", "BTC/USDT") as publisher:
        publisher.publish(message)          # returns at once; a thread sends it, and again after a broken connection
        publisher.flush()                   # waits until the broker has confirmed it

Each message is sent with QoS 1, one after the other in the order given, and retained: a late subscriber gets the last.
The controller keeps what it got for ever, so whatever ends a prediction is said by a neutral message: its expiry
and the publisher's end (by the publisher), the publisher's death (by the broker: MQTT's last will). A connection has
one will, and a will one topic, which is why a publisher has one pair.

Credentials come from the environment alone: LADDER_MQTT_USERNAME and LADDER_MQTT_PASSWORD, and for TLS the paths
LADDER_MQTT_CA, LADDER_MQTT_CERT and LADDER_MQTT_KEY.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import threading
import uuid
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

from data.errors import ValidationError
from data.livestream import CLOSED, EXPIRED, LOST, LivestreamMessage, pair_of, topic_of
from data.mqtt_link import Access, Address, BrokerError, Link

_LOG: Final = logging.getLogger(__name__)
_MOST_WAITING: Final = 10_000  # messages; a broker away for so long that more wait is not coming back by itself
_GLANCE: Final = 5.0  # seconds between looks at the clock, which may be set, and at a link that says nothing


@dataclass(frozen=True)
class Counts:
    """What a publisher has done so far.

    Attributes:
        sent: messages that the broker confirmed, neutral ones and those sent again included.
        resent: of these, the last message sent once more because the connection had been lost.
        expired: predictions that expired before they could be sent.
        refused: messages that the broker does not take.
        crossed: predictions whose quantiles came out of order.
        connections: how often it connected.
    """

    sent: int = 0
    resent: int = 0
    expired: int = 0
    refused: int = 0
    crossed: int = 0
    connections: int = 0


class Publisher:
    """Sends one pair's messages in order, over whatever the connection goes through.

    Attributes:
        address: the broker's.
        pair: such as "BTC/USDT".
        topic: where its messages go.
        fault: what stands in the way just now; None where nothing does.
    """

    def __init__(
        self,
        url: str,
        pair: str,
        *,
        neutral_on_expiry: bool = True,
        neutral_on_close: bool = True,
        allow_plain_password: bool = False,
        timeout: float = 10.0,
        keepalive: int = 30,
        backoff: tuple[float, float] = (0.5, 30.0),
    ) -> None:
        """Check everything that can be checked without the broker; `open` connects.

        Args:
            url: "mqtt://host:1883", or "mqtts://host:8883" for TLS.
            pair: see `data.livestream.pair_of`.
            neutral_on_expiry: send a neutral message when the last prediction expires without a successor.
            neutral_on_close: send one when the publisher is closed; otherwise the last prediction stays in force.
            allow_plain_password: send the password to another machine without TLS.
            timeout: seconds to wait for the broker: to connect, to confirm, and by default in `flush` and `close`.
            keepalive: seconds of silence after which both sides ask; after 1.5 of them the broker sends the last will.
            backoff: first and longest pause before connecting again, seconds; each is twice the one before.

        Raises:
            ValidationError: the address, the pair, a number or the environment is wrong.
        """
        if not (timeout > 0 and 0 < backoff[0] <= backoff[1] < math.inf and 1 <= keepalive <= 65535):
            raise ValidationError(
                f"Publisher: timeout {timeout!r}, keepalive {keepalive!r} and backoff {backoff!r} must be seconds "
                "above 0, the first pause no longer than the longest"
            )
        self.address = Address.parse(url)
        self.pair, self.topic = pair_of(pair), topic_of(pair)
        self.fault: BrokerError | None = None
        self._access = Access.from_environment()
        self._access.check(self.address, allow_plain_password=allow_plain_password)
        if self.address.tls:
            self._access.context()  # a file that is no certificate is found now
        self._neutral_on_expiry, self._neutral_on_close = neutral_on_expiry, neutral_on_close
        self._timeout, self._keepalive, self._backoff = timeout, keepalive, backoff
        # Its own for each publisher, the same each time it connects: the broker ends a connection of that name which it
        # still believes in, and sends its will then rather than later, over a message that came in between.
        self._client_id = f"ladder-{uuid.uuid4().hex[:16]}"
        self._changed = threading.Condition()
        self._outbox: list[LivestreamMessage] = []
        self._newest: LivestreamMessage | None = None  # the last one that was to be sent
        self._bar: dt.datetime | None = None  # of the last prediction
        self._refusal: BrokerError | None = None
        self._counts = Counts()
        self._closing = self._ended = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"Publisher({str(self.address)!r}, {self.pair!r})"

    @property
    def counts(self) -> Counts:
        """What it has done so far."""
        with self._changed:
            return self._counts

    @property
    def waiting(self) -> int:
        """Messages that the broker has not confirmed."""
        with self._changed:
            return len(self._outbox)

    def open(self) -> Self:
        """Connect; from then on the connection is kept up.

        Raises:
            BrokerError: the broker did not let us in within `timeout` seconds. It is not tried any further.
        """
        if self._thread is not None:
            raise BrokerError(f"{self!r} was opened before; make another")
        # A daemon: a program that ends without close() dies, and the broker sends the will.
        self._thread = threading.Thread(target=self._work, name=f"ladder-publisher {self.pair}", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(
                lambda: self._counts.connections or (self.fault and self.fault.lasting), self._timeout
            )
            if self._counts.connections:
                return self
            self._ended = True
            self._changed.notify_all()
            fault = self.fault or BrokerError(f"{self.address}: no answer within {self._timeout:g} s")
        raise fault

    def publish(self, message: LivestreamMessage) -> None:
        """Hand over a message to send. Returns at once; what cannot be sent waits, until it expires.

        Raises:
            ValidationError: it is another pair's, has expired, or is of an earlier bar than the one before.
            BrokerError: the publisher is not open, the broker refused the message before, or too many wait.
        """
        if message.pair != self.pair:
            raise ValidationError(f"{self!r}: a message of {message.pair}; make a publisher for it, one a pair")
        if message.expired(_now()):
            raise ValidationError(
                f"{self!r}: the message has expired, at {_brief(message.expires_at)}; is the clock right, in UTC?"
            )
        with self._changed:
            self._require_open()
            if self._bar is not None and message.made_on is not None and message.made_on < self._bar:
                bars = f"{_brief(message.made_on)}, after one of {_brief(self._bar)}"
                raise ValidationError(f"{self!r}: a message of the bar {bars}; send them in order")
            if len(self._outbox) >= _MOST_WAITING:
                raise BrokerError(
                    f"{self!r}: {len(self._outbox):,} messages wait; {self.fault or 'the broker is slow'}"
                )
            self._add(message)
            self._bar = message.made_on or self._bar
            if message.crossed:
                self._counts = replace(self._counts, crossed=self._counts.crossed + 1)

    def take_back(self, kind: str = EXPIRED) -> None:
        """Send a neutral message: what the broker has kept of an earlier prediction no longer holds.

        Raises:
            BrokerError: as `publish`.
        """
        with self._changed:
            self._require_open()
            self._add(LivestreamMessage.neutral(self.pair, kind, _now()))

    def flush(self, timeout: float | None = None) -> None:
        """Wait until the broker has confirmed everything.

        Raises:
            BrokerError: it has not within `timeout` seconds, or does not take a message.
        """
        within = self._timeout if timeout is None else timeout
        with self._changed:
            self._changed.wait_for(lambda: not self._outbox or self._refusal is not None or self._ended, within)
            self._raise_refusal()
            if self._outbox:
                raise self._undelivered(within)

    def close(self, timeout: float | None = None) -> None:
        """Send what waits, then a neutral message (`neutral_on_close`), and take leave. A second call does nothing.

        Raises:
            BrokerError: not all of it was confirmed within `timeout` seconds. If the broker still has our connection,
                it sends the will; one that is away keeps what it had, and only a later publisher can replace that.
        """
        if self._thread is None or self._ended:
            return
        within = self._timeout if timeout is None else timeout
        with self._changed:
            if self._neutral_on_close and self._newest is not None and not self._newest.is_neutral:
                self._add(LivestreamMessage.neutral(self.pair, CLOSED, _now()))
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._outbox or self._ended, within)
            undelivered = self._undelivered(within) if self._outbox else None
            self._ended = True
            self._changed.notify_all()
        self._thread.join(self._timeout)
        if undelivered is not None:
            raise undelivered
        self._raise_refusal()

    def __enter__(self) -> Self:
        return self if self._thread is not None else self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.close()
        except BrokerError as fault:
            if error is None:
                raise
            _LOG.warning("%s", fault)  # the error on its way out says more

    def _require_open(self) -> None:
        if self._thread is None or self._closing or self._ended:
            raise BrokerError(f"{self!r} is not open; use it in a with statement, or call open()")
        self._raise_refusal()

    def _raise_refusal(self) -> None:
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise refusal

    def _undelivered(self, within: float) -> BrokerError:
        count = f"{len(self._outbox):,} message{'s' if len(self._outbox) > 1 else ''}"
        return BrokerError(f"{self!r}: {count} not confirmed within {within:g} s; {self.fault or 'the broker is slow'}")

    def _add(self, message: LivestreamMessage) -> None:
        self._outbox.append(message)
        self._newest = message
        self._changed.notify_all()

    # What follows runs in the publisher's own thread: it alone talks to the broker, and takes messages from the outbox.

    def _work(self) -> None:
        pause, longest = self._backoff
        try:
            while not self._ended:
                before = self._counts.sent
                try:
                    link = self._connect()
                    try:
                        self._serve(link)
                    finally:
                        link.drop()
                except BrokerError as fault:
                    pause = self._backoff[0] if self._counts.sent > before else min(2 * pause, longest)
                    self._wait_after(fault, pause)
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _connect(self) -> Link:
        will = LivestreamMessage.neutral(self.pair, LOST, _now()).to_json()
        try:
            link = Link(self.address, self._access, self._client_id, self._changed, self._keepalive, (self.topic, will))
        except ValidationError as error:  # a certificate that was good at first: it may be in exchange just now
            raise BrokerError(str(error)) from error
        link.open(self._timeout)
        with self._changed:
            if self._newest is not None and not self._outbox and not self._newest.expired(_now()):
                # The broker may have sent our will, or come back without what it had, or with what it had before.
                self._outbox.append(self._newest)
                self._counts = replace(self._counts, resent=self._counts.resent + 1)
            if self.fault is not None and self._counts.connections:
                _LOG.warning("%s: connected again; %d messages wait", self.pair, len(self._outbox))
            self.fault = None
            self._counts = replace(self._counts, connections=self._counts.connections + 1)
            self._changed.notify_all()
        return link

    def _wait_after(self, fault: BrokerError, pause: float) -> None:
        with self._changed:
            if self._ended:
                return
            if self.fault is None:
                _LOG.warning("%s: %s; trying again", self.pair, fault)
            self.fault = fault
            self._settle()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._ended, pause)

    def _serve(self, link: Link) -> None:
        """Send what comes, until the publisher ends or the link does (BrokerError)."""
        while True:
            with self._changed:
                self._settle()
                if self._ended:
                    break
                if not link.alive:
                    raise link.lost or BrokerError(f"{self.address}: connection lost")
                if not self._outbox:
                    self._changed.wait(self._until_something())
                    continue
                message = self._outbox[0]
            self._send(link, message)
        if not self._outbox:
            link.close()  # else without leave: the broker's last will says that nothing holds any more

    def _send(self, link: Link, message: LivestreamMessage) -> None:
        left = None if message.expires_at is None else math.ceil((message.expires_at - _now()).total_seconds())
        # The broker forgets an expired message too, if nobody is left to replace it.
        keep = None if left is None else max(left, 1)
        try:
            link.send(self.topic, message.to_json(), self._timeout, keep=keep)
        except BrokerError as fault:
            if not fault.lasting:
                raise
            with self._changed:
                self._refusal = fault
                self._counts = replace(self._counts, refused=self._counts.refused + 1)
        else:
            with self._changed:
                self._counts = replace(self._counts, sent=self._counts.sent + 1)
        with self._changed:
            self._outbox.pop(0)
            self._changed.notify_all()

    def _settle(self) -> None:
        """Drop what has expired; where the newest has, a neutral message follows."""
        now = _now()
        alive = [message for message in self._outbox if not message.expired(now)]
        dropped = len(self._outbox) - len(alive)
        self._outbox[:] = alive
        if dropped:
            _LOG.warning("%s: %d predictions expired before they could be sent", self.pair, dropped)
            self._counts = replace(self._counts, expired=self._counts.expired + dropped)
        if self._neutral_on_expiry and self._newest is not None and self._newest.expired(now):
            if alive and alive[-1].is_neutral:
                alive.pop()
            self._add(LivestreamMessage.neutral(self.pair, EXPIRED, now))

    def _until_something(self) -> float:
        expiry = self._newest.expires_at if self._newest is not None else None
        if expiry is None:
            return _GLANCE
        return min(max((expiry - _now()).total_seconds(), 0.0) + 0.001, _GLANCE)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _brief(moment: dt.datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"
