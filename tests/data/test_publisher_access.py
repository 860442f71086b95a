"""Who is let in: passwords, TLS, what the user may write to, and that no secret shows anywhere."""

import logging
import os
import time
import traceback

import pytest

from data.errors import ValidationError
from data.mqtt_link import Access, Address, BrokerError, Secret
from data.publisher import Publisher
from tests.data.test_publisher import message
from tests.mqtt_broker import Broker, Controller, make_certificates

CANARY = "c4nary-of-a-password"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("LADDER_MQTT_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_password_lets_in_and_a_wrong_one_is_told_at_once(tmp_path, environment):
    with Broker(tmp_path / "broker", users={"ladder": CANARY}) as broker:
        environment.setenv("LADDER_MQTT_USERNAME", "ladder")
        environment.setenv("LADDER_MQTT_PASSWORD", CANARY)
        with Publisher(broker.url, "BTC/USDT") as publisher:
            publisher.publish(message(0))
            publisher.flush()
        for word in ("wrong", ""):
            environment.setenv("LADDER_MQTT_PASSWORD", word)
            began = time.monotonic()
            with pytest.raises(
                BrokerError, match=r"[Nn]ot authori[sz]ed.*set LADDER_MQTT_USERNAME and LADDER_MQTT_PASS"
            ):
                Publisher(broker.url, "BTC/USDT", timeout=20).open()
            assert time.monotonic() - began < 3


def test_topic_that_the_user_may_not_write_to_is_told(tmp_path):
    rules = tmp_path / "rules"
    rules.write_text("topic read hbot/#\n")
    rules.chmod(0o600)
    with Broker(tmp_path / "broker", lines=(f"acl_file {rules}",)) as broker:
        publisher = Publisher(broker.url, "BTC/USDT", neutral_on_close=False).open()
        publisher.publish(message(0))
        with pytest.raises(
            BrokerError, match=r"does not take hbot/predictions/btc_usdt/ML_SIGNALS .*let this user write"
        ):
            publisher.flush()
        assert publisher.counts.refused == 1
        publisher.close()


def test_tls_carries_messages_and_an_untrusted_broker_is_refused_at_once(tmp_path, environment):
    with Broker(tmp_path / "broker", users={"ladder": CANARY}, tls=True) as broker:
        environment.setenv("LADDER_MQTT_USERNAME", "ladder")
        environment.setenv("LADDER_MQTT_PASSWORD", CANARY)
        environment.setenv("LADDER_MQTT_CA", str(broker.folder / "ca.pem"))
        listening = Controller(broker, "BTC-USDT", username="ladder", password=CANARY)
        with Publisher(broker.url, "BTC/USDT") as publisher:
            publisher.publish(message(0))
            listening.wait_for(1)
        listening.close()
        (tmp_path / "other").mkdir()
        for other in (str(make_certificates(tmp_path / "other", "other")), ""):
            environment.setenv("LADDER_MQTT_CA", other)
            began = time.monotonic()
            with pytest.raises(BrokerError, match=r"certificate is not trusted .*set LADDER_MQTT_CA"):
                Publisher(broker.url, "BTC/USDT", timeout=20).open()
            assert time.monotonic() - began < 3
        environment.setenv("LADDER_MQTT_CA", str(broker.folder / "ca.pem"))
        with pytest.raises(BrokerError, match="certificate is not trusted"):  # it is for 127.0.0.1
            Publisher(f"mqtts://localhost:{broker.port}", "BTC/USDT").open()


def test_password_shows_in_no_repr_log_or_traceback(tmp_path, environment, caplog):
    caplog.set_level(logging.DEBUG)
    environment.setenv("LADDER_MQTT_USERNAME", "ladder")
    environment.setenv("LADDER_MQTT_PASSWORD", CANARY)
    with Broker(tmp_path / "broker", users={"ladder": "another"}) as broker:
        publisher = Publisher(broker.url, "BTC/USDT")
        with pytest.raises(BrokerError) as caught:
            publisher.open()
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    texts = [shown, repr(publisher), repr(vars(publisher)), repr(Access.from_environment()), caplog.text]
    with pytest.raises(ValidationError) as caught:
        Address.parse(f"mqtt://ladder:{CANARY}@broker.example")
    texts.append(str(caught.value))
    with pytest.raises(ValidationError) as caught:
        Publisher("mqtt://broker.example", "BTC/USDT")
    texts += [str(caught.value), repr(Secret(CANARY))]
    assert [text for text in texts if CANARY in text] == []


BAD = {
    "no scheme": ("broker.example:1883", {}, "give mqtt://host:1883, or mqtts://host:8883"),
    "another scheme": ("http://broker.example", {}, "give mqtt://host:1883"),
    "a port that is none": ("mqtt://127.0.0.1:99999", {}, "give mqtt://host:1883"),
    "a path": ("mqtt://127.0.0.1/hbot", {}, "give mqtt://host:1883"),
    "a password in the address": (
        "mqtt://me:secret@127.0.0.1",
        {},
        "set LADDER_MQTT_USERNAME and LADDER_MQTT_PASSWORD",
    ),
    "a password in the open": (
        "mqtt://broker.example",
        {"LADDER_MQTT_USERNAME": "me", "LADDER_MQTT_PASSWORD": "secret"},
        "the password would cross the network unencrypted; write mqtts://",
    ),
    "a password without a name": (
        "mqtt://127.0.0.1",
        {"LADDER_MQTT_PASSWORD": "secret"},
        "LADDER_MQTT_USERNAME is not",
    ),
    "a CA that is not there": ("mqtts://127.0.0.1", {"LADDER_MQTT_CA": "gone.pem"}, "LADDER_MQTT_CA gone.pem: no such"),
    "a CA that is none": ("mqtts://127.0.0.1", {"LADDER_MQTT_CA": __file__}, "cannot be read"),
    "a certificate that is none": ("mqtts://127.0.0.1", {"LADDER_MQTT_CERT": __file__}, "cannot be read"),
    "a key alone": ("mqtts://127.0.0.1", {"LADDER_MQTT_KEY": __file__}, "LADDER_MQTT_CERT is not"),
    "a CA without TLS": ("mqtt://127.0.0.1", {"LADDER_MQTT_CA": __file__}, "has no TLS, but LADDER_MQTT_CA"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_before_the_broker_is_asked_is_told(case, environment):
    url, variables, text = BAD[case]
    for name, value in variables.items():
        environment.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Publisher(url, "BTC/USDT")
    assert text in str(caught.value)
    assert "secret" not in str(caught.value)


def test_password_in_the_open_can_be_allowed_and_needs_no_permission_on_this_machine(environment):
    environment.setenv("LADDER_MQTT_USERNAME", "me")
    environment.setenv("LADDER_MQTT_PASSWORD", "secret")
    Publisher("mqtt://broker.example", "BTC/USDT", allow_plain_password=True)
    for url in ("mqtt://localhost", "mqtt://127.0.0.7:1884", "mqtt://[::1]", "mqtts://broker.example"):
        Publisher(url, "BTC/USDT")


def test_addresses_have_the_ports_of_the_registry():
    assert str(Address.parse("mqtt://localhost")) == "mqtt://localhost:1883"
    assert str(Address.parse("mqtts://[::1]/")) == "mqtts://[::1]:8883"


def test_numbers_that_make_no_sense_are_refused():
    for wrong in ({"timeout": 0}, {"keepalive": 0}, {"backoff": (2.0, 1.0)}, {"backoff": (0.0, 1.0)}):
        with pytest.raises(ValidationError, match="must be seconds above 0"):
            Publisher("mqtt://127.0.0.1", "BTC/USDT", **wrong)
