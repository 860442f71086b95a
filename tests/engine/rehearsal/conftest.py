"""A rehearsal exchange with an unmodified ccxt.pro client before it, of which only the URLs are set."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import ccxt.pro
import pandas as pd
import pytest

from data import Market
from engine import Venue
from engine.rehearsal import RehearsalServer

HOURS = pd.date_range("2024-01-01", periods=200, freq="1h", tz="UTC")
BTC, ETH = "BTC/USDT", "ETH/USDT"
VENUE = Venue(amount_step=0.001, price_tick=0.01, min_notional=5.0, min_amount=0.001)


def flat(price: float, rows: int = 6, **columns) -> pd.DataFrame:
    """Candles that stand still, with columns of their own where a test says so."""
    frame = pd.DataFrame(
        {"open": price, "high": price * 1.01, "low": price * 0.99, "close": price, "volume": 10.0}, index=HOURS[:rows]
    )
    for name, values in columns.items():
        frame[name] = values
    return frame


@pytest.fixture
def market() -> Market:
    return Market.from_frames({BTC: flat(100.0), ETH: flat(10.0)}, "1h")


@pytest.fixture
def trade(market):
    """Run `async play(client, server)` against a rehearsal exchange; further arguments are the server's."""

    def run(play, **settings):
        async def session():
            shown = settings.pop("market", market)
            given = {"venues": VENUE, "api_key": "key", "secret": "secret", **settings}
            async with RehearsalServer(shown, **given) as server:
                client = ccxt.pro.binance({"apiKey": "key", "secret": "secret", "enableRateLimit": False})
                server.point(client)
                try:
                    return await asyncio.wait_for(play(client, server), 30)
                finally:
                    await client.close()

        return asyncio.run(session())

    return run


@pytest.fixture
def exact():
    """Balances of the server's books, free and locked together."""

    def total(server) -> dict[str, Decimal]:
        money = server.book.account
        return {asset: money.free[asset] + money.locked[asset] for asset in money.free}

    return total
