"""Forecasts over a real broker: each message becomes one record, or is counted by why it did not."""

from __future__ import annotations

import json
import os
import time

import pandas as pd
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from data import Market
from data.errors import ValidationError
from data.livestream import LivestreamMessage, topic_of
from data.mqtt_link import BrokerError
from data.prediction_join import with_predictions
from data.prediction_topic import TopicPredictions
from data.publisher import Publisher
from tests.mqtt_broker import Broker, free_port, wait_until

MINUTE = pd.Timedelta("1min")
NOW = pd.Timestamp.now("UTC").floor("1min")
SYMBOL = "BTC/USDT"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("LADDER_MQTT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def topic(broker):
    with TopicPredictions(broker.url, "1m", [SYMBOL], features=("mood",)) as listening:
        yield listening


@pytest.fixture
def send(broker):
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()

    def publish(content, pair=SYMBOL):
        payload = content.to_json() if isinstance(content, LivestreamMessage) else content
        client.publish(topic_of(pair), payload, qos=1).wait_for_publish(5)

    yield publish
    client.disconnect()
    client.loop_stop()


def message(bars_ago=1, *, middle=0.001, horizon=600.0, quantiles=None, **fields):
    now = pd.Timestamp.now("UTC")
    return LivestreamMessage(
        SYMBOL,
        now,
        (0.2, 0.1, 0.7),
        raw_quantiles=quantiles or (middle - 0.01, middle, middle + 0.01),
        made_on=NOW - bars_ago * MINUTE,
        horizon=horizon,
        expires_at=now + pd.Timedelta("1h"),
        model="test",
        **fields,
    )


def bars(count=8, last=3):
    """Bars of a minute around now."""
    index = pd.date_range(NOW - (count - last) * MINUTE, periods=count, freq="1min", name="time")
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close", "volume"), 100.0), index=index)
    return Market.from_frames({SYMBOL: frame}, timeframe="1m")


def test_message_becomes_a_record_known_from_when_it_came(topic, send) -> None:
    before = pd.Timestamp.now("UTC")
    send(message(1, middle=0.003, features={"mood": 0.5, "word": "up"}))
    assert topic.wait_for(SYMBOL, NOW - MINUTE, 5.0)
    record = topic.read(bars()).table.iloc[0]
    assert before <= record["available_at"] <= pd.Timestamp.now("UTC")
    assert (record["q50"], record["model"], record["mood"]) == (0.003, "test", 0.5)
    assert record[["prob_short", "prob_neutral", "prob_long"]].tolist() == [0.2, 0.1, 0.7]
    assert record["horizon"] == pd.Timedelta("10min")
    joined = with_predictions(bars(), topic)
    shown = joined.market["q50"][SYMBOL]
    assert shown[: NOW - 2 * MINUTE].isna().all()  # their close lies before it came
    assert (shown[NOW + MINUTE :] == 0.003).all()


def test_doubles_crossed_late_revised_and_neutral_messages_are_counted(topic, send) -> None:
    first = message(1)
    for one in (
        first,
        first,
        message(3, quantiles=(0.02, 0.001, -0.01)),
        message(9, horizon=60.0),
        message(1, middle=0.007),
        LivestreamMessage.neutral(SYMBOL, "closed", pd.Timestamp.now("UTC")),
    ):
        send(one)
    wait_until(lambda: topic.counts.received == 6)
    counts = topic.counts
    assert (counts.taken, counts.duplicates, counts.crossed) == (4, 1, 1)
    assert (counts.late, counts.revisions, counts.neutral, counts.refused) == (1, 1, 1, 0)
    found = topic.read(bars())
    assert found.report.gaps == 6  # of bars 9 to 1 minutes ago three have a record
    # The neutral one ended what was in force: nothing is left from now on.
    joined = with_predictions(bars(), topic)
    assert joined.market["q50"][SYMBOL][NOW + MINUTE :].isna().all()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "no JSON"),
        (json.dumps([1, 2]), "a JSON list"),
        (message(1).to_json().replace('"q50": 0.001', '"q50": NaN'), "NaN is no JSON"),
        (message(1).to_json().replace("[0.2, 0.1, 0.7]", "[0.2, 0.1, 0.6]"), "their sum is 0.9"),
        (message(1).to_json().replace("+00:00", ""), "it has no zone"),
        (message(0).to_json(), "is one clock wrong"),
        (json.dumps({**json.loads(message(1).to_json()), "raw_quantiles": None}), "send q10, q50, q90"),
        (json.dumps({**json.loads(message(1).to_json()), "pair": "ETH/USDT"}), "it came as one of BTC/USDT"),
    ],
    ids=["cut", "list", "nan", "odds", "naive", "future", "no quantiles", "other pair"],
)
def test_message_that_cannot_be_a_record_is_refused_with_its_reason(topic, send, content, why) -> None:
    if why == "is one clock wrong":
        # Made anew: the minute may have turned since the module was read.
        fields = json.loads(content)
        soon = pd.Timestamp.now("UTC").floor("1min")
        content = json.dumps({**fields, "made_on": soon.isoformat(), "timestamp": pd.Timestamp.now("UTC").isoformat()})
    send(content)
    wait_until(lambda: topic.counts.received == 1)
    assert topic.counts.refused == 1
    assert why in topic.refused[0]
    assert not len(topic.read(bars()))


def test_replays_are_taken_on_demand_and_count_as_known_at_their_close(broker, send) -> None:
    replay = message(1, kind="replay")
    with (
        TopicPredictions(broker.url, "1m", [SYMBOL]) as plain,
        TopicPredictions(broker.url, "1m", [SYMBOL], replays=True) as replays,
    ):
        send(replay)
        assert replays.wait_for(SYMBOL, NOW - MINUTE, 5.0)
        assert replays.read(bars()).table["available_at"].iloc[0] == NOW
        wait_until(lambda: plain.counts.received == 1)
        assert (plain.counts.replays, plain.counts.taken) == (1, 0)


def test_old_systems_message_is_read_on_demand(broker, send) -> None:
    old = {
        "timestamp": pd.Timestamp.now("UTC").tz_localize(None).isoformat(),
        "probabilities": [0.2, 0.1, 0.7],
        "target_pct": 0.01,
        "raw_quantiles": {"q10": -0.01, "q50": 0.001, "q90": 0.02},
    }
    with (
        TopicPredictions(broker.url, "1m", [SYMBOL]) as strict,
        TopicPredictions(broker.url, "1m", [SYMBOL], old_format=True) as lenient,
    ):
        send(json.dumps(old))
        wait_until(lambda: lenient.counts.taken == 1 and strict.counts.refused == 1)
        record = lenient.read(bars()).table.iloc[0]
        assert record["horizon"] == MINUTE
        assert record["made_on"] + MINUTE <= record["available_at"] < record["made_on"] + 2 * MINUTE


def test_what_is_sent_while_the_broker_was_down_comes_in_the_end(tmp_path) -> None:
    with Broker(tmp_path / "broker") as broker, TopicPredictions(broker.url, "1m", [SYMBOL]) as topic:
        with Publisher(broker.url, SYMBOL, backoff=(0.05, 0.2), neutral_on_close=False) as publisher:
            publisher.publish(message(5))
            publisher.flush()
            assert topic.wait_for(SYMBOL, NOW - 5 * MINUTE, 5.0)
            broker.kill()
            publisher.publish(message(4))
            time.sleep(0.2)
            broker.start()
            publisher.publish(message(3))
            publisher.flush(20.0)
        assert topic.wait_for(SYMBOL, NOW - 3 * MINUTE, 20.0)
        assert topic.counts.lost >= 1
        assert topic.read(bars()).report.records >= 2


def test_late_subscriber_gets_the_prediction_in_force(broker) -> None:
    with Publisher(broker.url, SYMBOL, neutral_on_close=False) as publisher:
        publisher.publish(message(1))
    with TopicPredictions(broker.url, "1m", [SYMBOL]) as topic:
        assert topic.wait_for(SYMBOL, NOW - MINUTE, 5.0)


def test_broker_that_is_not_there_or_a_topic_that_two_share_is_told_at_once(broker) -> None:
    with (
        pytest.raises(BrokerError, match="cannot be reached"),
        TopicPredictions(f"mqtt://127.0.0.1:{free_port()}", "1m", [SYMBOL]),
    ):
        pass
    with pytest.raises(ValidationError, match="have one topic"):
        TopicPredictions(broker.url, "1m", ["BTC/USDT", "BTC/USDT:USDT"])
    with pytest.raises(ValidationError, match="give a list"):
        TopicPredictions(broker.url, "1m", "BTC/USDT")
    quiet = TopicPredictions(broker.url, "1m", [SYMBOL])
    with pytest.raises(ValidationError, match="of bars of 1m, the market has 1h"):
        quiet.read(
            Market.from_frames(
                {
                    SYMBOL: bars()
                    .close.rename(columns={SYMBOL: "close"})
                    .assign(open=100.0, high=100.0, low=100.0, volume=1.0)
                    .iloc[[0]]
                    .set_axis([NOW.floor("1h")])
                },
                timeframe="1h",
            )
        )


def test_wrong_password_is_refused_and_shown_nowhere(tmp_path, monkeypatch) -> None:
    with Broker(tmp_path / "broker", users={"desk": "right"}) as broker:
        monkeypatch.setenv("LADDER_MQTT_USERNAME", "desk")
        monkeypatch.setenv("LADDER_MQTT_PASSWORD", "canary-4711")
        with pytest.raises(BrokerError, match="refuses the connection") as caught:
            TopicPredictions(broker.url, "1m", [SYMBOL]).__enter__()
        assert "canary" not in repr(caught.value)
        monkeypatch.setenv("LADDER_MQTT_PASSWORD", "right")
        with TopicPredictions(broker.url, "1m", [SYMBOL]) as topic:
            assert "right" not in repr(vars(topic))
