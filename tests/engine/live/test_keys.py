"""Keys show nowhere: not in the journal, a log, a traceback, an error or a repr, even where ccxt quotes them."""

import asyncio
import logging
import subprocess
import sys
import traceback

import ccxt
import pytest

from data.errors import ValidationError
from data.mqtt_link import Secret
from engine.live.calls import HaltError
from engine.live.journal import Journal
from engine.live.keys import Keys, RedactingFilter, guard_output, load_keys, redacted, redacted_traceback
from tests.engine.live.scripted import RUN, ScriptedClock, ScriptedExchange, a_gateway, an_order

KEY = "canary-key-5f1d/0c+a9"
SECRET = 'canary-"secret"-88\\e2=77'
WORDS = ("canary", "5f1d", "88\\e2", "88%5Ce2", "0c%2Ba9", "88\\\\e2")


@pytest.fixture
def keys():
    return Keys(Secret(KEY), Secret(SECRET))


@pytest.fixture
def plain_logging():
    factory, hooks = logging.getLogRecordFactory(), sys.excepthook
    yield
    logging.setLogRecordFactory(factory)
    sys.excepthook = hooks


def is_clean(text):
    assert not [text[max(text.index(word) - 40, 0) :][:120] for word in WORDS if word in text]


def leaking():
    """An error as ccxt makes it, with all that it could quote."""
    import json
    import urllib.parse

    quoted = urllib.parse.urlencode({"key": KEY, "secret": SECRET})
    body = json.dumps({"apiKey": KEY, "secret": SECRET})
    return f"binance POST https://x/api/v3/order?{quoted}&signature=abcdef0123 {body} {SECRET!r} {KEY}"


def test_a_text_loses_keys_in_every_form(keys):
    is_clean(redacted(leaking()))
    assert "abcdef0123" not in redacted(leaking())
    assert redacted("nothing to hide: signature of a method") == "nothing to hide: signature of a method"


def test_repr_of_keys_shows_nothing(keys):
    is_clean(f"{keys!r} {keys} {[keys]}")


def test_neither_journal_nor_errors_hold_keys_that_ccxt_quotes(keys, tmp_path, caplog):
    exchange = ScriptedExchange(ScriptedClock())
    errors = (ccxt.InvalidOrder, ccxt.ExchangeNotAvailable, ccxt.RequestTimeout, ccxt.PermissionDenied)
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        gateway = a_gateway(exchange, journal, patience=3.0)
        journal.record_incident(RUN, "told", {"text": leaking(), KEY: SECRET})
        told = []
        for number, kind in enumerate(errors):
            exchange.refusal = kind(leaking())
            try:
                told.append(asyncio.run(gateway.place(an_order(f"leg-{number}"))))
            except HaltError as error:
                told.append(repr(error) + redacted_traceback(error) + "".join(traceback.format_exception(error)))
        assert len(told) == len(errors)
        is_clean(repr(told))
        for file in (path, path.with_name(path.name + "-wal")):
            content = file.read_bytes().decode("latin-1")
            is_clean(content)
            assert "signature=abcdef" not in content
    is_clean(caplog.text)


def test_logs_are_masked_in_message_arguments_and_traceback(keys, plain_logging, caplog):
    guard_output()
    guard_output()
    log = logging.getLogger("ccxt.base.exchange")
    with caplog.at_level(logging.DEBUG):
        log.debug("%s %s, Request: %s %s", "POST", "https://x", {"X-MBX-APIKEY": KEY}, leaking())
        try:
            raise ccxt.ExchangeError(leaking())
        except ccxt.ExchangeError:
            log.exception("failed with %s", KEY, stack_info=True)
        log.debug("it does not %d fit", KEY)
    assert "POST" in caplog.text and "ExchangeError" in caplog.text and len(caplog.records) == 3
    is_clean(caplog.text)
    assert all(record.exc_info is None for record in caplog.records)


def test_filter_masks_for_a_handler(keys):
    record = logging.LogRecord("x", logging.INFO, "f", 1, "key %s", (KEY,), None)
    assert RedactingFilter().filter(record)
    assert record.getMessage() == "key ***"


def test_a_program_that_ends_in_a_traceback_shows_no_key():
    program = (
        "import threading\n"
        "from data.mqtt_link import Secret\n"
        "from engine.live.keys import Keys, guard_output\n"
        f"keys = Keys(Secret({KEY!r}), Secret({SECRET!r}))\n"
        "guard_output()\n"
        "def fail(): raise RuntimeError('in a thread ' + keys.key.reveal())\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
        "raise RuntimeError('with ' + keys.secret.reveal())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count("RuntimeError") == 2 and "with ***" in done.stderr
    assert "canary" not in done.stderr


def test_keys_come_from_the_environment_and_unlock_an_exchange():
    variables = {"LADDER_BINANCE_KEY": KEY, "LADDER_BINANCE_SECRET": SECRET, "LADDER_BINANCE_PASSWORD": ""}
    keys = load_keys("binance", variables)
    assert keys.password is None
    exchange = ccxt.binance()
    keys.unlock(exchange)
    assert (exchange.apiKey, exchange.secret) == (KEY, SECRET)


def test_keys_come_from_the_keyring_where_the_environment_has_none(monkeypatch):
    import types

    held = {("ladder-kraken", "key"): KEY, ("ladder-kraken", "secret"): SECRET}
    ring = types.SimpleNamespace(get_password=lambda service, name: held.get((service, name)))
    monkeypatch.setitem(sys.modules, "keyring", ring)
    for part in ("KEY", "SECRET"):
        monkeypatch.delenv(f"LADDER_KRAKEN_{part}", raising=False)
    assert load_keys("kraken").secret.reveal() == SECRET
    ring.get_password = lambda *_: 1 / 0
    with pytest.raises(ValidationError, match="the keyring cannot be read"):
        load_keys("kraken")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "LADDER_BINANCE_KEY and LADDER_BINANCE_SECRET not set"),
        ({"LADDER_BINANCE_KEY": KEY}, "LADDER_BINANCE_SECRET not set"),
        ({"LADDER_BINANCE_KEY": "short", "LADDER_BINANCE_SECRET": SECRET}, "the key is shorter than 8 characters"),
        ({"LADDER_BINANCE_KEY": KEY, "LADDER_BINANCE_SECRET": SECRET + "\n"}, "has spaces round it"),
    ],
)
def test_wrong_keys_are_refused_without_being_shown(variables, message):
    with pytest.raises(ValidationError, match=message) as caught:
        load_keys("binance", variables)
    assert "canary" not in str(caught.value) and "short'" not in str(caught.value)


def test_a_name_that_is_no_exchange_is_refused():
    with pytest.raises(ValidationError, match="its name in ccxt"):
        load_keys("../x", {})
