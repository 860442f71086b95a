"""Forecasts that come over MQTT: a subscriber to the topics that Hummingbot's `ai_livestream` controller listens to.

    with TopicPredictions("mqtt://127.0.0.1:1883", "1h", ["BTC/USDT"]) as topic:
        topic.wait_for("BTC/USDT", bar, timeout=30.0)      # until the forecast made on this bar is there
        joined = with_predictions(market, topic)
        print(topic.counts)

A message is available from when it came in by this machine's clock, whatever it says of itself, so after its bar's
close: a decision on that bar sees it where it waits for it, `with_predictions(market, topic, grace="5s")`. It holds to
the end of its horizon or to its `expires_at`, whichever is first. A neutral message ("expired", "closed", "lost") takes
back all that still holds: no decision from then on sees it, until it is sent again. Replayed messages, of a time long
past, are taken only on demand, and count as known at their bar's close.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import pandas as pd

from data.errors import ValidationError
from data.livestream import OLD_VERSION, REPLAY, LivestreamMessage, topic_of
from data.market import Market
from data.mqtt_link import Access, Address, BrokerError
from data.prediction_rules import ENDED_AT, length_of
from data.predictions import KEYS, PROBABILITIES, QUANTILES, Predictions
from data.timeframe import floor_time, parse_timeframe

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_SESSION: Final = 3600  # seconds for which the broker keeps what comes while the connection is down
# Reasons of a broker that may let one in a moment later: unavailable, busy, over its quota. Numbers of MQTT 5, 2.4.
_PASSING: Final = (136, 137, 151, 159)
_MOST_REFUSED: Final = 20  # texts of refused messages that are kept


@dataclass
class TopicCounts:
    """What came in, and what became of it: received = taken + duplicates + neutral + replays + refused.

    Attributes:
        received: messages.
        taken: became a record.
        duplicates: one that had come before, by its id, and was not taken back since.
        revisions: of those taken, another word on a bar that had one. A second replay of a bar takes the first's place.
        late: of those taken, came when their horizon or their `expires_at` had passed (a replay never does); they are
            kept, and no bar ever sees them. Those that only took long count in `read(market).report.late`.
        crossed: of those taken, had quantiles out of order.
        neutral: took back what still held.
        replays: of a time long past, and not asked for.
        refused: could not be read, were without quantiles or of a time to come; see `TopicPredictions.refused`.
        lost: times the connection was lost.
    """

    received: int = 0
    taken: int = 0
    duplicates: int = 0
    revisions: int = 0
    late: int = 0
    crossed: int = 0
    neutral: int = 0
    replays: int = 0
    refused: int = 0
    lost: int = 0


class TopicPredictions:
    """A subscription; a context manager that connects and takes leave. Lost connections are taken up again.

    Attributes:
        counts: what came in.
        refused: why messages were refused, the last 20.

    Args:
        broker: "mqtt://host:1883" or "mqtts://host:8883"; user, password and TLS files come from the environment
            (`data.mqtt_link`).
        timeframe: of the bars.
        symbols: as the market names them; "BTC/USDT:USDT" and "BTC/USDT" have one topic.
        features: of a message's features, the numbers to join.
        replays: take replayed messages.
        old_format: take the old system's messages, which have no bar, horizon nor zone: their time counts as UTC, their
            bar as the newest that was over by then, their horizon as one bar.
        allow_plain_password: send the password to another machine without TLS.
        timeout: seconds to wait for the broker.
        grace: how long after its bar's close a message may come until `read(market).report.late` counts it. It changes
            no forecast: what a decision waits is said to `with_predictions`.

    Raises:
        ValidationError: an address, a symbol, a length of time or the environment is wrong.
    """

    def __init__(
        self,
        broker: str,
        timeframe: str,
        symbols: Sequence[str],
        *,
        features: tuple[str, ...] = (),
        replays: bool = False,
        old_format: bool = False,
        access: Access | None = None,
        allow_plain_password: bool = False,
        timeout: float = 10.0,
        grace: str | pd.Timedelta = "60s",
    ) -> None:
        self.address, self.timeframe, self.features = Address.parse(broker), timeframe, features
        self._step = parse_timeframe(timeframe)
        self._grace = length_of(grace, "TopicPredictions: grace", least=pd.Timedelta(0))
        if isinstance(symbols, str) or not symbols:
            raise ValidationError(f"TopicPredictions: symbols {symbols!r}: give a list, such as ['BTC/USDT']")
        self._symbols = {topic_of(symbol): symbol for symbol in symbols}
        if len(self._symbols) < len(symbols):
            raise ValidationError(f"TopicPredictions: two of {', '.join(symbols)} have one topic; give one of them")
        self._replays, self._old, self._timeout = replays, old_format, timeout
        self._access = Access.from_environment() if access is None else access
        self._access.check(self.address, allow_plain_password=allow_plain_password)
        self.counts, self.refused = TopicCounts(), list[str]()
        self._changed = threading.Condition()
        self._records: list[dict[str, Any]] = []
        self._seen: set[str] = set()  # ids that came, and were not taken back
        self._failure: BrokerError | None = None
        self._listening, self._leaving = False, False
        self._client: Client | None = None

    def __enter__(self) -> Self:
        self._client = self._connect()
        with self._changed:
            self._changed.wait_for(lambda: self._listening or self._failure is not None, self._timeout)
            failure = self._failure or (
                None if self._listening else BrokerError(f"{self.address}: no answer within {self._timeout:g} s")
            )
        if failure is not None:
            self.close()
            raise failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take leave. What came stays readable."""
        client, self._client = self._client, None
        self._leaving = True
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def read(self, market: Market) -> Predictions:
        """What has come by now; what has been taken back has `ended_at`.

        Raises:
            ValidationError: the market's bars are of another length.
            BrokerError: nothing will come any more (lasting): the broker lets this reader in no longer, or its thread
                has died. After `close` it is not raised.
        """
        if market.timeframe != self.timeframe:
            raise ValidationError(f"TopicPredictions: of bars of {self.timeframe}, the market has {market.timeframe}")
        with self._changed:
            self._raise_failure()
            records = [{name: value for name, value in record.items() if name != "id"} for record in self._records]
        if not records:
            return Predictions.none(self.timeframe)
        return Predictions.from_table(
            pd.DataFrame(records), self.timeframe, features=self.features, grace=self._grace, name=f"{self.address}"
        )

    def wait_for(self, symbol: str, made_on: pd.Timestamp, timeout: float) -> bool:
        """Wait until a forecast that was made on this bar is there; whether it came within `timeout` seconds.

        Raises:
            BrokerError: as `read`, and at once.
        """

        def there() -> bool:
            return any(one["symbol"] == symbol and one["made_on"] == made_on for one in self._records)

        with self._changed:
            self._changed.wait_for(lambda: there() or self._has_failed, timeout)
            self._raise_failure()
            return there()

    @property
    def _has_failed(self) -> bool:
        return self._client is not None and self._failure is not None and self._failure.lasting

    def _raise_failure(self) -> None:
        if self._has_failed and self._failure is not None:
            raise BrokerError(str(self._failure), lasting=True)  # anew: one that is raised again grows its traceback

    # paho's thread, from here on.

    def _connect(self) -> Client:
        from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        fail = self._fail

        class Reader(Client):
            """Says when its thread dies, which would end without a word."""

            def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
                try:
                    return super().loop_forever(timeout, retry_first_connection)
                except Exception as error:  # noqa: BLE001 - whatever it is, nothing comes any more
                    fail(f"the reader's thread has died ({type(error).__name__}: {error}); open the topic anew", True)
                    return MQTTErrorCode.MQTT_ERR_UNKNOWN

        name = f"ladder-reader-{time.time_ns():x}"
        client = Reader(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        if self._access.username is not None:
            word = self._access.password
            client.username_pw_set(self._access.username, word.reveal() if word else None)
        if self.address.tls:
            client.tls_set_context(self._access.context())
        client.reconnect_delay_set(1, 30)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_message = self._on_subscribe, self._on_message
        kept = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        kept.SessionExpiryInterval = _SESSION
        client.connect_timeout = self._timeout
        try:
            client.connect(
                self.address.host, self.address.port, 30, clean_start=MQTT_CLEAN_START_FIRST_ONLY, properties=kept
            )
        except OSError as error:
            why = "no answer" if isinstance(error, TimeoutError) else str(error)
            mend = "is the address right, and does a broker listen there?"
            raise BrokerError(f"{self.address}: cannot be reached ({why}); {mend}") from error
        client.loop_start()
        return client

    def _fail(self, why: str, lasting: bool) -> None:
        with self._changed:
            self._failure = BrokerError(f"{self.address}: {why}", lasting=lasting)
            self._changed.notify_all()

    def _on_connect(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:  # noqa: ARG002
        if reason.is_failure:
            self._fail(f"refuses the connection ({reason})", reason.value not in _PASSING)
            return
        client.subscribe([(topic, 1) for topic in self._symbols])

    def _on_subscribe(self, client: Client, userdata: Any, number: int, reasons: Any, properties: Any) -> None:  # noqa: ARG002
        refused = [reason for reason in reasons if reason.is_failure]
        if refused:
            mend = "let this user read the topic"
            self._fail(f"no subscription ({refused[0]}); {mend}", refused[0].value not in _PASSING)
            return
        with self._changed:
            self._listening, self._failure = True, None
            self._changed.notify_all()

    def _on_disconnect(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:  # noqa: ARG002
        with self._changed:
            # Not each try that is refused afterwards.
            self.counts.lost += self._listening and not self._leaving
            self._listening = False
            self._changed.notify_all()

    def _on_message(self, client: Client, userdata: Any, message: Any) -> None:  # noqa: ARG002
        arrived = pd.Timestamp.now("UTC")
        with self._changed:
            topic = "?"
            try:
                topic = message.topic
                self._take(topic, message.payload, arrived)
            except ValidationError as error:
                self._refuse(topic, str(error))
            except Exception as error:  # noqa: BLE001 - raised, it would end the thread, and all that is to come
                self._refuse(topic, f"{type(error).__name__}: {error}")
            self.counts.received += 1  # last: whoever looks without the lock finds it among the others
            self._changed.notify_all()

    def _refuse(self, topic: str, why: str) -> None:
        self.counts.refused += 1
        self.refused = [*self.refused[1 - _MOST_REFUSED :], f"{topic}: {why}"]

    def _take(self, topic: str, payload: bytes, arrived: pd.Timestamp) -> None:
        message = LivestreamMessage.from_json(payload, pair=topic, assume_utc=self._old)
        symbol = self._symbols[topic]
        if message.id in self._seen:
            self.counts.duplicates += 1
            return
        if message.is_neutral:
            self._end(symbol, arrived)
            self.counts.neutral += 1
        elif message.kind == REPLAY and not self._replays:
            self.counts.replays += 1
        else:
            self._keep(symbol, message, arrived)
        self._seen.add(message.id)

    def _keep(self, symbol: str, message: LivestreamMessage, arrived: pd.Timestamp) -> None:
        """Make a message a record.

        Raises:
            ValidationError: it has no quantiles, or its bar is not over by our clock.
        """
        if message.raw_quantiles is None:
            raise ValidationError("no raw_quantiles; send q10, q50, q90 along")
        made_on = pd.Timestamp(message.made_on) if message.made_on else None
        if message.version == OLD_VERSION and made_on is None:
            made_on = floor_time(pd.Timestamp(message.timestamp), self.timeframe) - self._step
        assert made_on is not None  # noqa: S101 - for mypy: a message of ours has its bar
        closes = made_on + self._step
        horizon = pd.Timedelta(seconds=message.horizon) if message.horizon else self._step
        if closes > arrived:
            raise ValidationError(
                f"made on the bar {made_on}, which closes at {closes}, and it came at {arrived}; is one clock wrong?"
            )
        known = closes if message.kind == REPLAY else arrived
        if message.expires_at is not None:
            horizon = min(horizon, max(pd.Timestamp(message.expires_at) - closes, pd.Timedelta(1)))
        features = {name: message.features.get(name) for name in self.features}
        record = {
            "symbol": symbol,
            "made_on": made_on,
            "available_at": known,
            "horizon": horizon,
            **dict(zip(QUANTILES, message.raw_quantiles, strict=True)),
            "model": message.model or "",
            **dict(zip(PROBABILITIES, message.probabilities, strict=True)),
            **{name: float(value) if isinstance(value, int | float) else None for name, value in features.items()},
        }
        checked = Predictions.from_table(pd.DataFrame([record]), self.timeframe, features=self.features)
        kept = {str(name): value for name, value in checked.table.iloc[0].items()}
        self.counts.taken += 1
        self.counts.crossed += message.crossed
        self.counts.late += bool(known >= closes + horizon)
        self.counts.revisions += any(one["symbol"] == symbol and one["made_on"] == made_on for one in self._records)
        # Two of one bar that are known from the same moment on contradict each other: the later word holds.
        keys = [kept[name] for name in KEYS]
        self._records = [one for one in self._records if [one[name] for name in KEYS] != keys]
        self._records.append({**kept, ENDED_AT: pd.NaT, "id": message.id})

    def _end(self, symbol: str, arrived: pd.Timestamp) -> None:
        """A neutral message: what still holds says nothing any more from now on, unless it is sent again."""
        for record in self._records:
            holds = record[ENDED_AT] is pd.NaT and arrived < record["made_on"] + self._step + record["horizon"]
            if record["symbol"] == symbol and holds:
                record[ENDED_AT] = arrived
                self._seen.discard(record["id"])
