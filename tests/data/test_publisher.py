"""What a real broker hands to a subscriber written to Hummingbot's contract, whatever the connection goes through."""

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from data.errors import ValidationError
from data.livestream import LivestreamMessage
from data.mqtt_link import BrokerError
from data.publisher import Publisher
from tests.mqtt_broker import Broker, Controller, free_port, wait_until

BAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
QUICK = {"backoff": (0.05, 0.2)}


def message(number=0, *, lasts=60.0, pair="BTC/USDT", probabilities=(0.2, 0.1, 0.7), quantiles=(-0.01, 0.002, 0.02)):
    now = dt.datetime.now(dt.UTC)
    return LivestreamMessage(
        pair,
        now,
        probabilities,
        raw_quantiles=quantiles,
        made_on=BAR + dt.timedelta(hours=number),
        horizon=3600,
        expires_at=now + dt.timedelta(seconds=lasts),
        model="test",
    )


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("LADDER_MQTT_")]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def controller(broker):
    listening = Controller(broker, "BTC-USDT")
    yield listening
    listening.close()


def ids(messages):
    return [one["id"] for one in messages]


def kinds(messages):
    return [one["kind"] for one in messages]


def test_controller_gets_every_message_in_order_and_a_neutral_one_at_the_end(broker, controller):
    sent = [message(0), message(1, probabilities=(0.6, 0.1, 0.3)), message(2, probabilities=(0.4, 0.3, 0.3))]
    with Publisher(broker.url, "BTC/USDT") as publisher:
        for one in sent:
            publisher.publish(one)
        publisher.flush()
        assert publisher.counts.sent == 3
    controller.wait_for(4)
    assert ids(controller.messages)[:3] == [one.id for one in sent]
    assert controller.signals == [1, -1, 0, 0]
    assert kinds(controller.messages) == ["prediction"] * 3 + ["closed"]
    assert LivestreamMessage.from_json(sent[0].to_json(), pair=controller.topic) == sent[0]


def test_equal_predictions_in_a_row_are_all_sent(broker, controller):
    with Publisher(broker.url, "BTC/USDT", neutral_on_close=False) as publisher:
        for number in range(5):
            publisher.publish(message(number))
    assert len(set(ids(controller.wait_for(5)))) == 5


def test_late_subscriber_gets_the_last_message_also_one_of_the_older_protocol(broker):
    with Publisher(broker.url, "BTC/USDT") as publisher:
        publisher.publish(message(0))
        publisher.publish(message(1))
        publisher.flush()
        late, real = Controller(broker, "BTC-USDT"), Controller(broker, "BTC-USDT", old_protocol=True)
        for one in (late, real):
            assert one.wait_for(1)[0]["made_on"] == "2026-01-01T01:00:00+00:00"
            assert one.retained == [True]
            one.close()


def test_publisher_that_leaves_its_prediction_in_force_sends_no_neutral_message(broker):
    with Publisher(broker.url, "BTC/USDT", neutral_on_close=False) as publisher:
        publisher.publish(message(0))
    late = Controller(broker, "BTC-USDT")
    assert kinds(late.wait_for(1)) == ["prediction"]
    late.close()


def test_broker_forgets_an_expired_prediction_that_its_publisher_left_behind(broker):
    with Publisher(broker.url, "BTC/USDT", neutral_on_close=False) as publisher:
        publisher.publish(message(0, lasts=0.5))
    time.sleep(2.2)  # it counts in whole seconds
    late = Controller(broker, "BTC-USDT")
    time.sleep(0.2)
    assert late.messages == []
    late.close()


def test_two_pairs_go_to_two_topics(broker, controller):
    other = Controller(broker, "ETH-USDT")
    with Publisher(broker.url, "BTC/USDT") as btc, Publisher(broker.url, "ETH/USDT:USDT") as eth:
        btc.publish(message(0))
        eth.publish(message(0, pair="ETH-USDT", probabilities=(0.7, 0.1, 0.2)))
        with pytest.raises(ValidationError, match="make a publisher for it, one a pair"):
            btc.publish(message(0, pair="ETH/USDT"))
        controller.wait_for(1)
        other.wait_for(1)
    assert (controller.signals[0], other.signals[0]) == (1, -1)
    assert {one["pair"] for one in controller.messages} == {"BTC/USDT"}
    other.close()


def test_prediction_that_expires_without_a_successor_is_followed_by_a_neutral_message(broker, controller):
    with Publisher(broker.url, "BTC/USDT") as publisher:
        publisher.publish(message(0, lasts=0.3))
        controller.wait_for(2, seconds=3)
        assert controller.signals == [1, 0]
        # A successor in time: the first one's expiry says nothing.
        publisher.publish(message(1, lasts=0.3))
        publisher.publish(message(2, lasts=30))
        time.sleep(0.5)
        assert kinds(controller.messages) == ["prediction", "expired", "prediction", "prediction"]
    assert kinds(controller.wait_for(5))[4:] == ["closed"]


def test_neutral_message_on_expiry_can_be_left_out(broker, controller):
    with Publisher(broker.url, "BTC/USDT", neutral_on_expiry=False, neutral_on_close=False) as publisher:
        publisher.publish(message(0, lasts=0.1))
        controller.wait_for(1)
        time.sleep(0.3)
    assert kinds(controller.messages) == ["prediction"]


def test_broker_killed_and_restarted_loses_nothing_but_what_expired(broker, controller):
    with Publisher(broker.url, "BTC/USDT", **QUICK) as publisher:
        publisher.publish(message(0))
        publisher.flush()
        controller.wait_for(1)
        time.sleep(1.2)  # the broker saves the controller's session
        broker.kill()
        wait_until(lambda: publisher.fault is not None)
        kept = [message(number) for number in range(1, 7)]
        doomed = [message(7, lasts=0.2), message(8, lasts=0.2)]
        last = message(9)
        for one in (*kept, *doomed, last):
            publisher.publish(one)
        time.sleep(0.4)
        assert publisher.waiting >= 7
        broker.start()
        publisher.flush()
        assert publisher.counts.expired == 2
        assert publisher.fault is None
        expected = [one.id for one in (*kept, last)]
        wait_until(lambda: ids(controller.messages)[-7:] == expected)
        late = Controller(broker, "BTC-USDT")
        assert ids(late.wait_for(1)) == [last.id]
        late.close()
    assert not {one.id for one in doomed} & set(ids(controller.messages))


def test_prediction_that_expires_while_the_broker_is_away_leaves_a_neutral_message_after_it(broker):
    with Publisher(broker.url, "BTC/USDT", **QUICK) as publisher:
        publisher.publish(message(0, lasts=1.5))
        publisher.flush()
        broker.kill()
        wait_until(lambda: publisher.fault is not None)
        publisher.publish(message(1, lasts=0.2))
        time.sleep(0.4)
        broker.start()
        publisher.flush()
        late = Controller(broker, "BTC-USDT")
        assert kinds(late.wait_for(1)) == ["expired"]
        late.close()


def test_broker_that_comes_back_without_memory_gets_the_last_prediction_again(broker):
    with Publisher(broker.url, "BTC/USDT", **QUICK) as publisher:
        last = message(0)
        publisher.publish(last)
        publisher.flush()
        broker.kill()
        (broker.folder / "mosquitto.db").unlink(missing_ok=True)
        broker.start()
        wait_until(lambda: publisher.counts.resent == 1 and publisher.waiting == 0)
        late = Controller(broker, "BTC-USDT")
        assert ids(late.wait_for(1)) == [last.id]
        late.close()


def test_frozen_broker_is_taken_for_lost_and_served_again_when_it_wakes(broker, controller):
    with Publisher(broker.url, "BTC/USDT", timeout=0.5, **QUICK) as publisher:
        broker.process.send_signal(signal.SIGSTOP)
        publisher.publish(message(0))
        with pytest.raises(
            BrokerError, match=r"1 message not confirmed within 0.8 s; .*confirmed nothing within 0.5 s"
        ):
            publisher.flush(0.8)
        broker.process.send_signal(signal.SIGCONT)
        publisher.flush(10)
        controller.wait_for(1)


KILLED = """
import datetime as dt, sys, time
sys.path.insert(0, {root!r})
from tests.data.test_publisher import message
from data.publisher import Publisher
publisher = Publisher({url!r}, "BTC/USDT").open()
publisher.publish(message(0))
publisher.flush()
print("sent", flush=True)
time.sleep(60)
"""


def test_killed_publisher_leaves_a_neutral_message(broker, controller, request):
    code = KILLED.format(root=str(request.config.rootpath), url=broker.url)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"sent\n"
        process.kill()
    controller.wait_for(2)
    assert kinds(controller.messages) == ["prediction", "lost"]
    late = Controller(broker, "BTC-USDT")
    assert (late.wait_for(1)[0]["kind"], late.signals) == ("lost", [0])
    late.close()


def test_what_a_predecessor_left_is_taken_back(broker, controller):
    with Publisher(broker.url, "BTC/USDT", neutral_on_close=False) as publisher:
        publisher.publish(message(0))
    with Publisher(broker.url, "BTC/USDT") as publisher:
        publisher.take_back()
    assert kinds(controller.wait_for(2)) == ["prediction", "expired"]


def test_absent_broker_is_told_after_the_timeout():
    url = f"mqtt://127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(BrokerError, match=rf"{url}: cannot be reached \(.*refused\); is the address right"):
        Publisher(url, "BTC/USDT", timeout=0.5).open()
    assert 0.4 < time.monotonic() - began < 3


def test_something_else_that_listens_there_is_told_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"mqtt://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(BrokerError, match="no answer within"):
            Publisher(url, "BTC/USDT", timeout=0.5).open()


def test_broker_that_starts_late_is_waited_for(tmp_path):
    late = Broker(tmp_path / "broker")
    publisher = Publisher(late.url, "BTC/USDT", neutral_on_close=False, **QUICK)
    starter = threading.Timer(0.4, late.start)
    starter.start()
    with publisher:
        publisher.publish(message(0))
        publisher.flush()
    starter.join()
    late.kill()


def test_message_that_cannot_be_delivered_is_told_on_close(broker):
    publisher = Publisher(broker.url, "BTC/USDT", **QUICK).open()
    broker.kill()
    wait_until(lambda: publisher.fault is not None)
    publisher.publish(message(0))
    with pytest.raises(BrokerError, match=r"2 messages not confirmed within 0.3 s; .*cannot be reached"):
        publisher.close(0.3)
    publisher.close()
    with pytest.raises(BrokerError, match="is not open"):
        publisher.publish(message(1))
    with pytest.raises(BrokerError, match="was opened before"):
        publisher.open()


def test_error_within_the_with_statement_is_not_hidden_by_one_of_the_broker(broker, caplog):
    def fail():
        with Publisher(broker.url, "BTC/USDT", timeout=0.3, **QUICK) as publisher:
            publisher.publish(message(0))
            publisher.flush()
            broker.kill()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "1 message not confirmed" in caplog.text


def test_messages_out_of_order_and_expired_ones_are_refused(broker):
    with Publisher(broker.url, "BTC/USDT") as publisher:
        publisher.publish(message(5))
        publisher.publish(message(5))
        publisher.take_back()
        with pytest.raises(
            ValidationError, match=r"of the bar 2026-01-01 04:00:00Z, after one of 2026-01-01 05:00:00Z"
        ):
            publisher.publish(message(4))
        late = message(6, lasts=0.01)
        time.sleep(0.02)
        with pytest.raises(ValidationError, match="the message has expired"):
            publisher.publish(late)


def test_crossed_quantiles_are_counted(broker):
    with Publisher(broker.url, "BTC/USDT") as publisher:
        publisher.publish(message(0, quantiles=(0.002, -0.01, 0.02)))
        publisher.publish(message(1))
        assert publisher.counts.crossed == 1
