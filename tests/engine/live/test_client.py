"""How a session's client is made: by an exchange's name, or pointed at a rehearsal exchange by its URL."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading

import pytest

from data.errors import ValidationError
from data.mqtt_link import Secret
from engine.live.client import live_client
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.keys import Keys
from tests.engine.live.exchange_process import running_exchange, write_bars

PRICES = [100.0, 101.0, 102.0, 103.0]


@pytest.fixture
def exchange(tmp_path):
    with running_exchange(write_bars(tmp_path / "bars.parquet", PRICES)) as running:
        yield running


def test_client_of_a_url_trades_on_the_rehearsal_exchange_there(exchange, tmp_path):
    client = live_client("binance", None, rehearsal=exchange.url)

    async def play():
        try:
            await client.load_markets()
            with Journal(tmp_path / "journal.sqlite") as journal:
                return await Gateway(client, journal, run="one").balances()
        finally:
            await client.close()

    assert {name: str(total) for name, total in asyncio.run(play()).items()} == {"USDT": "10000"}
    assert client.enableRateLimit and client.options["defaultType"] == "spot"


def test_card_of_perpetuals_is_refused_by_an_exchange_of_spot(exchange):
    with pytest.raises(ValidationError, match="rehearses binance spot, not bybit perpetuals"):
        live_client("bybit", None, rehearsal=exchange.url, perpetual=True)


def test_perpetuals_of_bybit(tmp_path):
    bars = write_bars(tmp_path / "bars.parquet", PRICES, "BTC/USDT:USDT")
    with running_exchange(bars, "--dialect", "bybit") as running:
        client = live_client("bybit", None, rehearsal=running.url, perpetual=True)

        async def play():
            try:
                return list(await client.load_markets())
            finally:
                await client.close()

        assert asyncio.run(play()) == ["BTC/USDT:USDT"]


def test_keys_of_its_own_come_from_the_variables_of_the_server(exchange, monkeypatch):
    assert live_client("binance", None, rehearsal=exchange.url).apiKey == "rehearsal"
    monkeypatch.setenv("LADDER_REHEARSAL_KEY", "canary-key-1")
    monkeypatch.setenv("LADDER_REHEARSAL_SECRET", "canary-secret-1")
    client = live_client("binance", None, rehearsal=exchange.url)
    assert (client.apiKey, client.secret) == ("canary-key-1", "canary-secret-1")


def test_given_keys_unlock_it():
    client = live_client("binance", Keys(Secret("given-key-1"), Secret("given-secret-1")))
    assert (client.apiKey, client.secret) == ("given-key-1", "given-secret-1")
    assert live_client("binance", None).apiKey in (None, "")


@pytest.mark.parametrize(
    ("name", "perpetual", "words"),
    [
        ("binanse", False, "did you mean 'binance'"),
        ("Binance", False, "did you mean 'binance'"),
        ("no such one", False, "streams from no such exchange"),
        (None, False, "streams from no such exchange"),
        ("kraken", False, "streams no candles of several symbols"),
        ("binanceusdm", False, "has no spot markets"),
        ("binanceus", True, "has no perpetuals"),
    ],
)
def test_unknown_exchange_is_named_with_its_mend(name, perpetual, words):
    with pytest.raises(ValidationError, match=words):
        live_client(name, None, perpetual=perpetual)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.binance.com",
        "https://127.0.0.1:8080",
        "http://127.0.0.1",
        "http://127.0.0.1:8080@evil.example:80",
        "http://user@127.0.0.1:8080",
        "http://127.0.0.1:port",
        "http://127.0.0.1.evil.example:8080",
        "http://10.0.0.1:8080",
        "127.0.0.1:8080",
        "http://127.0.0.1:8080/api",
        "",
    ],
)
def test_url_of_another_machine_is_refused_and_not_asked(url):
    with pytest.raises(ValidationError, match=r"must be http://127\.0\.0\.1:PORT"):
        live_client("binance", None, rehearsal=url)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<html>", "no rehearsal exchange answers"),
        ("[]", "what answers there is no rehearsal exchange"),
        (json.dumps({"error": "no"}), "what answers there is no rehearsal exchange"),
        (
            json.dumps({"exchange": "binance", "perpetual": False, "urls": {"a": {"b": "https://api.binance.com"}}}),
            "not on this machine",
        ),
    ],
)
def test_what_is_no_rehearsal_exchange_is_refused(body, words):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(ValidationError, match=words):
            live_client("binance", None, rehearsal=f"http://127.0.0.1:{server.server_port}")
        thread.join()


def test_nothing_at_the_url_says_how_to_start_one():
    with pytest.raises(ValidationError, match=r"engine\.rehearsal\.serve"):
        live_client("binance", None, rehearsal="http://127.0.0.1:1")
