"""Forecasts over a real broker: each message becomes one record, or is counted by why it did not."""

from __future__ import annotations

import json
import os
import time

import pandas as pd
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from data import Market
from data.errors import ValidationError
from data.livestream import LivestreamMessage, topic_of
from data.mqtt_link import BrokerError
from data.prediction_join import with_predictions
from data.prediction_topic import TopicPredictions
from data.publisher import Publisher
from tests.mqtt_broker import Broker, free_port, wait_until

MINUTE = pd.Timedelta("1min")
NOW = pd.Timestamp.now("UTC").floor("1min")  # of each test, by `this_minute`
SYMBOL = "BTC/USDT"


@pytest.fixture(autouse=True)
def this_minute() -> None:
    """A test may run minutes after its module was read."""
    global NOW  # noqa: PLW0603  (what all of the module reads)
    NOW = pd.Timestamp.now("UTC").floor("1min")


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


def message(bars_ago=1, *, middle=0.001, horizon=600.0, quantiles=None, holds="1h", **fields):
    now = pd.Timestamp.now("UTC")
    return LivestreamMessage(
        SYMBOL,
        now,
        (0.2, 0.1, 0.7),
        raw_quantiles=quantiles or (middle - 0.01, middle, middle + 0.01),
        made_on=NOW - bars_ago * MINUTE,
        horizon=horizon,
        expires_at=now + pd.Timedelta(holds),
        **{"model": "test", **fields},
    )


def neutral(kind="closed"):
    return LivestreamMessage.neutral(SYMBOL, kind, pd.Timestamp.now("UTC"))


def middles(topic, **grace):
    return with_predictions(bars(), topic, **grace).market["q50"][SYMBOL]


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
        neutral(),
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


def test_forecast_of_one_bar_is_seen_by_a_decision_that_waits_for_it(topic, send) -> None:
    # Made on the newest bar that is over, it comes within the minute, and says nothing of the next.
    left = pd.Timestamp.now("UTC").ceil("1min") - pd.Timestamp.now("UTC")
    time.sleep(left.total_seconds() if left < pd.Timedelta("5s") else 0.0)  # not as the minute turns
    bar = pd.Timestamp.now("UTC").floor("1min") - MINUTE
    send(LivestreamMessage(
        SYMBOL, pd.Timestamp.now("UTC"), (0.2, 0.1, 0.7), raw_quantiles=(-0.01, 0.004, 0.02), made_on=bar,
        horizon=60.0, expires_at=pd.Timestamp.now("UTC") + MINUTE,
    ))  # fmt: skip
    assert topic.wait_for(SYMBOL, bar, 5.0)
    record = topic.read(bars()).table.iloc[0]
    waited = record["available_at"] - bar - MINUTE
    at_once = with_predictions(bars(), topic)
    assert at_once.market["q50"][SYMBOL].isna().all()
    assert at_once.report.loc[SYMBOL, ["used", "too late"]].tolist() == [0, 1]
    waiting = with_predictions(bars(), topic, grace=waited)
    assert waiting.market["q50"][SYMBOL].dropna().to_dict() == {bar: 0.004}
    assert waiting.report.loc[SYMBOL, ["used", "too late"]].tolist() == [1, 0]


def test_late_in_the_report_is_what_took_longer_than_the_topics_grace(broker, send) -> None:
    with (
        TopicPredictions(broker.url, "1m", [SYMBOL], grace="2h") as patient,
        TopicPredictions(broker.url, "1m", [SYMBOL], grace="0s") as strict,
    ):
        send(message(3))
        for topic, late in ((patient, 0), (strict, 1)):
            assert topic.wait_for(SYMBOL, NOW - 3 * MINUTE, 5.0)
            assert topic.read(bars()).report.late == late
            assert topic.counts.late == 0  # its horizon has not passed
    with pytest.raises(ValidationError, match="TopicPredictions: grace '-1s'"):
        TopicPredictions(broker.url, "1m", [SYMBOL], grace="-1s")


def test_odd_message_is_refused_and_the_next_one_taken(topic, send, monkeypatch) -> None:
    fields = json.loads(message(1).to_json())
    send(json.dumps({**fields, "horizon": 1e12}))
    send(json.dumps({**fields, "made_on": "0001-01-01T00:00:00+00:00"}))
    wait_until(lambda: topic.counts.refused == 2)
    assert "horizon 1000000000000.0: give seconds, 1e9 at most" in topic.refused[0]
    assert "made_on '0001-01-01T00:00:00+00:00': give a time from 1970" in topic.refused[1]
    # Whatever a message may bring about that nobody thought of.
    with monkeypatch.context() as patched:
        patched.setattr(topic, "_keep", lambda *_: 1 // 0)
        send(message(1))
        wait_until(lambda: topic.counts.refused == 3)
    assert topic.refused[2] == f"{topic_of(SYMBOL)}: ZeroDivisionError: integer division or modulo by zero"
    send(message(1))
    assert topic.wait_for(SYMBOL, NOW - MINUTE, 5.0)
    assert len(topic.read(bars())) == 1


def test_reader_whose_thread_has_died_says_so(tmp_path, monkeypatch) -> None:
    def broken():
        raise RuntimeError("out of memory")

    with Broker(tmp_path / "broker") as broker, TopicPredictions(broker.url, "1m", [SYMBOL]) as topic:
        monkeypatch.setattr(topic._client, "reconnect", broken)
        broker.kill()
        with pytest.raises(BrokerError, match=r"thread has died \(RuntimeError: out of memory\)") as caught:
            topic.wait_for(SYMBOL, NOW, 20.0)
        assert caught.value.lasting
        with pytest.raises(BrokerError, match="thread has died"):
            topic.read(bars())
    assert not len(topic.read(bars()))  # once one has taken leave, what came stays readable


def test_reader_that_the_broker_lets_in_no_longer_says_so_until_it_does_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LADDER_MQTT_USERNAME", "desk")
    monkeypatch.setenv("LADDER_MQTT_PASSWORD", "right")
    with Broker(tmp_path / "broker", users={"desk": "right"}) as broker:
        words = tmp_path / "broker" / "passwords"
        known = words.read_text()
        with TopicPredictions(broker.url, "1m", [SYMBOL]) as topic:
            broker.kill()
            words.write_text("")
            broker.start()
            with pytest.raises(BrokerError, match=r"refuses the connection .Not authorized") as caught:
                topic.wait_for(SYMBOL, NOW, 20.0)
            assert caught.value.lasting
            with pytest.raises(BrokerError, match="refuses the connection"):
                topic.read(bars())
            broker.kill()
            words.write_text(known)
            broker.start()
            wait_until(lambda: topic._failure is None, 20.0)
            assert not len(topic.read(bars()))
            assert topic.counts.lost == 1


def test_subscription_that_is_refused_later_is_told_and_a_busy_broker_waited_for(topic) -> None:
    def answer(name):
        topic._on_subscribe(topic._client, None, 1, [ReasonCode(PacketTypes.SUBACK, name)], None)

    answer("Not authorized")
    with pytest.raises(BrokerError, match=r"no subscription .Not authorized"):
        topic.read(bars())
    answer("Quota exceeded")
    assert not len(topic.read(bars()))
    answer("Granted QoS 1")
    assert topic.wait_for(SYMBOL, NOW, 0.01) is False


@pytest.mark.parametrize("kind", ["lost", "expired", "closed"])
def test_forecast_that_was_taken_back_holds_again_once_it_is_sent_again(topic, send, kind) -> None:
    first = message(1)
    for one in (first, neutral(kind), first):
        send(one)
    wait_until(lambda: topic.counts.received == 3)
    counts = topic.counts
    assert (counts.taken, counts.duplicates, counts.revisions, counts.neutral) == (2, 0, 1, 1)
    found = topic.read(bars())
    assert found.report.revisions == 1
    assert found.table["ended_at"].notna().tolist() == [True, False]
    assert found.table["available_at"].iloc[1] > found.table["ended_at"].iloc[0]
    assert (middles(topic)[NOW + MINUTE :] == 0.001).all()
    send(first)
    wait_until(lambda: counts.duplicates == 1)


def test_publisher_that_vanishes_and_comes_back_has_its_forecast_in_force_again(broker, topic) -> None:
    with Publisher(broker.url, SYMBOL, backoff=(0.05, 0.2), neutral_on_close=False) as publisher:
        publisher.publish(message(1))
        publisher.flush()
        assert topic.wait_for(SYMBOL, NOW - MINUTE, 5.0)
        other = Client(CallbackAPIVersion.VERSION2, publisher._client_id)
        other.connect("127.0.0.1", broker.port)  # the broker ends the publisher's connection, and sends its will
        other.loop_start()
        wait_until(lambda: topic.counts.neutral >= 1)
        other.disconnect()
        other.loop_stop()
        wait_until(lambda: topic.counts.taken >= 2)
    assert (middles(topic)[NOW + MINUTE :] == 0.001).all()


def test_message_holds_to_its_expiry_and_no_longer(topic, send) -> None:
    send(message(1, holds="70s"))
    over = message(2, middle=0.006, holds="50ms")
    time.sleep(0.1)
    send(over)
    wait_until(lambda: topic.counts.received == 2)
    assert (topic.counts.taken, topic.counts.late) == (2, 1)
    found = topic.read(bars()).table.set_index("made_on")
    ends = found["available_at"] + pd.Timedelta("70s")
    first = found.loc[NOW - MINUTE]
    assert abs(NOW + first["horizon"] - ends[NOW - MINUTE]) < pd.Timedelta("1s")
    shown = middles(topic, grace="59s")
    assert 0.006 not in set(shown)
    closes = shown.index + MINUTE
    expected = (closes + pd.Timedelta("59s") >= first["available_at"]) & (closes < NOW + first["horizon"])
    assert shown.notna().tolist() == expected.tolist()
    assert expected.any() and not expected[-1]  # its horizon alone would reach beyond the last bar


def test_neutral_message_ends_all_that_still_holds(topic, send) -> None:
    for one in (message(1, middle=0.005), message(2, middle=0.006), message(9, horizon=60.0), neutral()):
        send(one)
    wait_until(lambda: topic.counts.received == 4)
    ended = topic.read(bars()).table.set_index("made_on")["ended_at"]
    assert ended.notna().to_dict() == {NOW - 9 * MINUTE: False, NOW - 2 * MINUTE: True, NOW - MINUTE: True}
    assert middles(topic)[NOW + MINUTE :].isna().all()
    # Nor does one that waits a moment after the close of its bar see what was taken back in that moment.
    assert middles(topic, grace="59s")[NOW + MINUTE :].isna().all()


def test_of_two_replays_of_a_bar_the_later_one_holds(broker, send) -> None:
    with TopicPredictions(broker.url, "1m", [SYMBOL], replays=True) as topic:
        send(message(5, middle=0.001, kind="replay", model="m1"))
        send(message(5, middle=0.002, kind="replay", model="m2"))
        wait_until(lambda: topic.counts.received == 2)
        found = topic.read(bars())
        assert (found.table["q50"].tolist(), found.table["model"].tolist()) == ([0.002], ["m2"])
        assert (topic.counts.taken, topic.counts.revisions) == (2, 1)


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
