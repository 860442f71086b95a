"""Forecasts that come over MQTT: a subscriber to the topics that Hummingbot's `ai_livestream` controller listens to.

    with TopicPredictions("mqtt://127.0.0.1:1883", "1h", ["BTC/USDT"]) as topic:
        topic.wait_for("BTC/USDT", bar, timeout=30.0)      # until the forecast made on this bar is there
        joined = with_predictions(market, topic)
        print(topic.counts)

A message is available from when it came in by this machine's clock, whatever it says of itself. A neutral message that
ends the last prediction ("expired", "closed", "lost") ends its horizon. Replayed messages, of a time long past, are
taken only on demand, and count as known at their bar's close.
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
from data.predictions import PROBABILITIES, QUANTILES, Predictions
from data.timeframe import floor_time, parse_timeframe

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_SESSION: Final = 3600  # seconds for which the broker keeps what comes while the connection is down
_MOST_REFUSED: Final = 20  # texts of refused messages that are kept


@dataclass
class TopicCounts:
    """What came in, and what became of it.

    Attributes:
        received: messages.
        taken: became a record.
        duplicates: one that had come before, by its id.
        revisions: another forecast for a bar that had one.
        late: came when their horizon had passed; they are kept, and no bar ever sees them.
        crossed: had quantiles out of order.
        neutral: ended the last prediction.
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

    Raises:
        ValidationError: an address, a symbol or the environment is wrong.
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
    ) -> None:
        self.address, self.timeframe, self.features = Address.parse(broker), timeframe, features
        self._step = parse_timeframe(timeframe)
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
        self._seen: set[str] = set()
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
        """What has come by now.

        Raises:
            ValidationError: the market's bars are of another length.
        """
        if market.timeframe != self.timeframe:
            raise ValidationError(f"TopicPredictions: of bars of {self.timeframe}, the market has {market.timeframe}")
        with self._changed:
            records = [dict(record) for record in self._records]
        if not records:
            return Predictions.none(self.timeframe)
        return Predictions.from_table(
            pd.DataFrame(records), self.timeframe, features=self.features, name=f"{self.address}"
        )

    def wait_for(self, symbol: str, made_on: pd.Timestamp, timeout: float) -> bool:
        """Wait until a forecast that was made on this bar is there; whether it came within `timeout` seconds."""

        def there() -> bool:
            return any(one["symbol"] == symbol and one["made_on"] == made_on for one in self._records)

        with self._changed:
            return self._changed.wait_for(there, timeout)

    # paho's thread, from here on.

    def _connect(self) -> Client:
        from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        name = f"ladder-reader-{time.time_ns():x}"
        client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
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

    def _on_connect(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:  # noqa: ARG002
        if reason.is_failure:
            with self._changed:
                self._failure = BrokerError(f"{self.address}: refuses the connection ({reason})", lasting=True)
                self._changed.notify_all()
            return
        client.subscribe([(topic, 1) for topic in self._symbols])

    def _on_subscribe(self, client: Client, userdata: Any, number: int, reasons: Any, properties: Any) -> None:  # noqa: ARG002
        with self._changed:
            refused = [str(reason) for reason in reasons if reason.is_failure]
            if refused:
                mend = "let this user read the topic"
                self._failure = BrokerError(f"{self.address}: no subscription ({refused[0]}); {mend}", lasting=True)
            self._listening = not refused
            self._changed.notify_all()

    def _on_disconnect(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:  # noqa: ARG002
        with self._changed:
            if not self._leaving:
                self.counts.lost += 1
            self._changed.notify_all()

    def _on_message(self, client: Client, userdata: Any, message: Any) -> None:  # noqa: ARG002
        arrived = pd.Timestamp.now("UTC")
        with self._changed:
            self.counts.received += 1
            try:
                self._take(message.topic, message.payload, arrived)
            except ValidationError as error:
                self.counts.refused += 1
                self.refused = [*self.refused[1 - _MOST_REFUSED :], f"{message.topic}: {error}"]
            self._changed.notify_all()

    def _take(self, topic: str, payload: bytes, arrived: pd.Timestamp) -> None:
        message = LivestreamMessage.from_json(payload, pair=topic, assume_utc=self._old)
        symbol = self._symbols[topic]
        if message.id in self._seen:
            self.counts.duplicates += 1
            return
        self._seen.add(message.id)
        if message.is_neutral:
            self.counts.neutral += 1
            self._end(symbol, arrived)
        elif message.kind == REPLAY and not self._replays:
            self.counts.replays += 1
        else:
            self._keep(symbol, message, arrived)

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
        self.counts.taken += 1
        self.counts.crossed += message.crossed
        self.counts.late += bool(known >= closes + horizon)
        self.counts.revisions += any(one["symbol"] == symbol and one["made_on"] == made_on for one in self._records)
        self._records.append({str(name): value for name, value in checked.table.iloc[0].items()})

    def _end(self, symbol: str, arrived: pd.Timestamp) -> None:
        """A neutral message: what was in force says nothing any more from now on."""
        for record in reversed(self._records):
            if record["symbol"] == symbol:
                left = arrived - (record["made_on"] + self._step)
                if pd.Timedelta(0) < left < record["horizon"]:
                    record["horizon"] = left
                return
