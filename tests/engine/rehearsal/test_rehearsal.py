"""The rehearsal exchange in lock-step: a plain ccxt client trades bar by bar, and every digit adds up."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal, localcontext

import ccxt.pro
import pytest
from aiohttp import ClientSession

from data import load_sample
from data.errors import ValidationError
from engine import Venue
from engine.rehearsal import RehearsalServer

FEES = (Decimal("0.001"), Decimal("0.002"))
SLIPPAGE = Decimal("0.0005")


def reference(market, plan, cash: Decimal) -> dict[str, Decimal]:
    """The account by hand: at each open buy or sell so much, worse by the slippage, the taker fee on top."""
    held = {"USD": cash}
    opens = market.open
    with localcontext() as context:
        context.prec = 200
        for row, orders in plan.items():
            for symbol, side, amount in orders:
                first = Decimal(repr(float(opens[symbol].iloc[row])))
                sign = 1 if side == "buy" else -1
                cost = first * (1 + sign * SLIPPAGE) * Decimal(amount)
                coin = symbol.split("/")[0]
                held[coin] = held.get(coin, Decimal(0)) + sign * Decimal(amount)
                held["USD"] -= sign * cost + cost * FEES[1]
    return held


def test_200_bars_of_the_sample_end_with_the_balances_of_an_independent_account():
    market = load_sample(["BTC/USD", "ETH/USD", "XRP/USD"]).iloc(1000, 1201)
    draw = random.Random(11)
    plan: dict[int, list] = {}
    held = dict.fromkeys(market.symbols, 0)
    for row in range(1, 201):
        for symbol in market.symbols:
            if market.open[symbol].isna().iloc[row] or draw.random() < 0.6:
                continue
            steps = draw.randint(1, 300)
            side = "sell" if held[symbol] >= steps and draw.random() < 0.5 else "buy"
            held[symbol] += steps if side == "buy" else -steps
            plan.setdefault(row, []).append((symbol, side, f"{steps / 1000:.3f}"))
    cash = Decimal(1_000_000)
    venue = Venue(amount_step=0.001)

    async def play():
        settings = {"venues": venue, "cash": cash, "fees": FEES, "slippage": SLIPPAGE}
        async with RehearsalServer(market, **settings) as server:
            client = ccxt.pro.binance({"apiKey": "rehearsal", "secret": "rehearsal", "enableRateLimit": False})
            server.point(client)
            try:
                for row in range(1, 201):
                    answer = await server.advance()
                    assert answer["done"] is False
                    for symbol, side, amount in plan.get(row, ()):
                        order = await client.create_order(symbol, "market", side, float(amount))
                        assert order["status"] == "closed"
                    if row == 200:
                        assert (await server.advance())["done"] is True
                told = (await client.fetch_balance())["info"]["balances"]
                return {entry["asset"]: Decimal(entry["free"]) for entry in told}, len(server.book.trades)
            finally:
                await client.close()

    told, trades = asyncio.run(play())
    expected = reference(market, plan, cash)
    assert {asset: amount for asset, amount in told.items() if amount} == {k: v for k, v in expected.items() if v}
    assert trades == sum(map(len, plan.values())) > 200


def test_bars_move_on_by_http_and_in_halves(trade):
    async def play(client, server):
        async with ClientSession() as web:
            start = server.book.now
            async with web.post(server.rest_url + "/rehearsal/advance") as answer:
                assert await answer.json() == {"done": False, "time": start + 3_600_000}
            async with web.post(server.rest_url + "/rehearsal/close") as answer:
                assert (await answer.json())["time"] == start + 2 * 3_600_000 - 1
            waiting = await client.create_order("BTC/USDT", "market", "buy", 1)
            assert waiting["status"] == "open"
            async with web.post(server.rest_url + "/rehearsal/open") as answer:
                assert (await answer.json())["time"] == start + 2 * 3_600_000
            assert (await client.fetch_order(waiting["id"], "BTC/USDT"))["status"] == "closed"
            async with web.get(server.rest_url + "/rehearsal/advance") as answer:
                assert answer.status == 404

    trade(play)


def test_bars_move_on_by_themselves_at_a_speed(trade):
    async def play(client, server):
        await asyncio.sleep(0.5)
        assert server.exchange.replay.done and not server.exchange.is_open

    trade(play, speed=3600 / 0.02)


def test_symbol_without_a_bar_is_silent_and_its_market_order_waits(market, trade):
    gap = {name: market[name].copy() for name in ("open", "high", "low", "close", "volume")}
    for table in gap.values():
        table.iloc[1:3, 0] = float("nan")

    async def play(client, server):
        await server.advance()
        order = await client.create_order("BTC/USDT", "market", "buy", 1)
        assert order["status"] == "open"
        assert (await client.fetch_ticker("BTC/USDT"))["last"] == 100.0
        assert len(await client.fetch_ohlcv("BTC/USDT", "1h")) == 1
        await server.advance()
        assert server.book.orders[1].is_open
        await server.advance()
        assert server.book.trades[0].time == server.exchange.replay.time

    trade(play, market=market.with_fields(**gap))


def test_urls_are_those_that_point_sets(trade):
    async def play(client, server):
        assert client.urls["api"] == server.urls
        assert server.urls["public"] == f"{server.rest_url}/api/v3"
        assert server.urls["ws"]["ws-api"]["spot"] == f"{server.ws_url}/ws-api/v3"

    trade(play)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cash": 100.0}, "must be a Decimal"),
        ({"slippage": Decimal(-1)}, "must be a Decimal of at least 0"),
        ({"start": 6}, "start 6 must be a row"),
        ({"speed": 0.0}, "speed 0.0 must be positive"),
        ({"venues": {"BTC/USDT": Venue()}}, "missing in the mapping"),
    ],
)
def test_bad_settings_are_refused_before_it_listens(market, settings, told):
    with pytest.raises(ValidationError, match=told):
        RehearsalServer(market, **settings)
