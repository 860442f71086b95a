"""A key that may withdraw is refused where the exchange tells, before anything is sent."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import ccxt.pro
import pytest

from data.errors import ValidationError
from engine.live.safety import refuse_withdrawals
from engine.live.start import STARTED
from engine.rehearsal.server import RehearsalServer
from engine.venue import Venue
from tests.engine.live.sessions import RUN, Stage, level_market, on_stage

VENUE = Venue(shorts=True, leverage=5.0, amount_step=0.001, price_tick=0.01, min_notional=5.0)


@pytest.mark.parametrize("name", ["binance", "bybit"])
@pytest.mark.parametrize("withdrawals", [True, False])
def test_key_is_judged_by_what_the_exchange_tells(name, withdrawals):
    market = level_market(symbols=("BTC/USDT:USDT",) if name == "bybit" else ("BTC/USDT",))

    async def play():
        given = {"venues": VENUE} if name == "bybit" else {}
        async with RehearsalServer(market, dialect=name, withdrawals=withdrawals, **given) as server:
            client = getattr(ccxt.pro, name)({"apiKey": "rehearsal", "secret": "rehearsal", "enableRateLimit": False})
            server.point(client)
            try:
                return await refuse_withdrawals(client)
            finally:
                await client.close()

    if withdrawals:
        with pytest.raises(ValidationError, match=f"{name}: the API key may withdraw funds; make one"):
            asyncio.run(play())
    else:
        assert asyncio.run(play()) == "the key may not withdraw"


@pytest.mark.parametrize(
    ("perm", "refused"), [("read_only,trade", False), ("read_only,withdraw,trade", True), ("withdraw", True)]
)
def test_okx_tells_by_the_account_s_configuration(perm, refused):
    async def told():
        return {"code": "0", "data": [{"perm": perm, "uid": "1"}]}

    exchange = SimpleNamespace(id="okx", private_get_account_config=told)
    if refused:
        with pytest.raises(ValidationError, match="okx: the API key may withdraw"):
            asyncio.run(refuse_withdrawals(exchange))
    else:
        assert asyncio.run(refuse_withdrawals(exchange)) == "the key may not withdraw"


@pytest.mark.parametrize("name", ["binance", "binanceusdm", "binancecoinm", "bybit", "okx"])
def test_the_installed_ccxt_has_what_is_asked(name):
    from engine.live.safety import _WAYS

    assert callable(getattr(getattr(ccxt.pro, name)(), _WAYS[name][0]))


def test_exchange_that_does_not_tell_is_noted_as_such():
    told = asyncio.run(refuse_withdrawals(SimpleNamespace(id="kraken")))
    assert told == "the exchange does not tell what the key may do"


def test_session_notes_what_it_was_told(tmp_path):
    from engine.live.journal import Journal

    stage = Stage(tmp_path / "journal.sqlite")

    async def play(stage):
        await stage.session(1)
        with Journal.reading(stage.journal) as book:
            (started,) = book.statements(RUN, STARTED)
        assert started.detail["key"] == "the key may not withdraw" and started.detail["rehearsal"] is True

    on_stage(play, stage)
