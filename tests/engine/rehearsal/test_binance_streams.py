"""Binance's WebSocket interface of the rehearsal exchange, as an unmodified ccxt.pro client watches it."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import ccxt.pro
import pytest

BTC, ETH = "BTC/USDT", "ETH/USDT"


async def soon(coroutine):
    return await asyncio.wait_for(coroutine, 5)


async def until(holds):
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come to hold within 5 s")


def test_a_bar_is_told_when_it_closes_and_the_next_when_it_opens(trade):
    async def play(client, server):
        client.newUpdates = True
        start = server.exchange.replay.time
        first = await soon(client.watch_ohlcv(BTC, "1h"))
        assert first == [[start, 100.0, 100.0, 100.0, 100.0, 0.0]]
        seen = []
        kept = client.handle_ohlcv
        client.handle_ohlcv = lambda socket, message: (seen.append(message["k"]), kept(socket, message))
        await server.advance()
        await soon(client.watch_ohlcv(BTC, "1h"))
        await soon(asyncio.sleep(0.05))
        assert [(k["t"], k["x"], k["h"], k["v"]) for k in seen] == [
            (start, True, "101", "10"),
            (start + 3_600_000, False, "100", "0"),
        ]
        assert seen[0]["T"] == start + 3_599_999 and seen[0]["i"] == "1h"

    trade(play)


def test_quotes_trades_and_tickers_of_several_symbols(trade):
    async def play(client, server):
        quotes = await soon(client.watch_bids_asks([BTC]))
        assert (quotes[BTC]["bid"], quotes[BTC]["ask"]) == (99.9, 100.1)
        ticker = await soon(client.watch_ticker(BTC))
        assert ticker["last"] == 100.0
        candles = await soon(client.watch_ohlcv_for_symbols([[BTC, "1h"], [ETH, "1h"]]))
        assert set(candles) <= {BTC, ETH}
        waiting = asyncio.create_task(client.watch_trades_for_symbols([BTC, ETH]))
        await until(lambda: "btcusdt@trade" in server._dialect.streams._listeners)
        await server.advance()
        trades = await soon(waiting)
        assert trades[-1]["price"] in {100.0, 10.0} and trades[-1]["timestamp"] == server.exchange.replay.time

    trade(play, slippage=Decimal("0.001"))


def test_order_book_is_kept_from_its_changes(trade, market):
    async def play(client, server):
        waiting = asyncio.create_task(client.watch_order_book(BTC))
        book = None
        for _ in range(4):
            await asyncio.sleep(0.1)
            await server.advance()
        book = await soon(waiting)
        await soon(asyncio.sleep(0.05))
        assert [level[0] for level in client.orderbooks[BTC]["bids"]] == [float(server.book.quotes(BTC)[0])]
        assert book["symbol"] == BTC

    moving = market.with_fields(open=market.open + market.close.cumsum() * 1e-4, high=market.high + 1)
    trade(play, market=moving, slippage=Decimal("0.001"))


def test_the_account_is_told_of_orders_trades_and_balances(trade):
    async def play(client, server):
        orders = asyncio.create_task(client.watch_orders(BTC))
        trades = asyncio.create_task(client.watch_my_trades(BTC))
        balance = asyncio.create_task(client.watch_balance())
        await until(lambda: server._dialect.streams._users)
        await client.create_order(BTC, "market", "buy", 1, params={"newClientOrderId": "ldr-9"})
        mine = (await soon(trades))[0]
        assert (mine["price"], mine["amount"], mine["fee"]) == (100.0, 1.0, {"cost": 0.1, "currency": "USDT"})
        await soon(orders)
        await soon(asyncio.sleep(0.05))
        told = client.orders.hashmap[BTC]["1"]
        assert (told["status"], told["filled"], told["clientOrderId"]) == ("closed", 1.0, "ldr-9")
        held = await soon(balance)
        assert held["BTC"]["free"] == 1.0 and held["USDT"]["free"] == 9899.9
        order = await client.create_order(BTC, "limit", "buy", 1, 99.5, {"newClientOrderId": "ldr-10"})
        await client.cancel_order(order["id"], BTC)
        await soon(asyncio.sleep(0.05))
        assert client.orders.hashmap[BTC][order["id"]]["status"] == "canceled"
        assert client.orders.hashmap[BTC][order["id"]]["clientOrderId"] == "ldr-10"
        await client.create_order(BTC, "limit", "sell", 1, 100.5)
        await server.advance()
        await soon(asyncio.sleep(0.05))
        assert client.orders.hashmap[BTC]["3"]["status"] == "closed"
        assert client.balance["spot"]["BTC"]["total"] == 0.0

    trade(play, fees=(Decimal("0.0002"), Decimal("0.001")))


def test_a_wrong_secret_gets_no_user_stream(trade):
    async def play(client, server):
        await client.load_markets()
        client.secret = "another"
        # ccxt 4.5.90 stumbles over its own error here: KeyError 'spot' comes out in place of AuthenticationError.
        with pytest.raises((ccxt.AuthenticationError, KeyError)):
            await soon(client.watch_orders(BTC))
        assert not server._dialect.streams._users

    trade(play)


def test_nothing_is_made_for_streams_that_nobody_hears(trade):
    async def play(client, server):
        made = []
        streams = server._dialect.streams
        for kind, make in list(streams._kinds.items()):
            streams._kinds[kind] = lambda *given, kind=kind, make=make: (made.append(kind), make(*given))[1]
        await soon(client.watch_ohlcv(BTC, "1h"))
        made.clear()
        await server.advance()
        assert made == ["kline_1h", "kline_1h"]
        await client.close()
        await asyncio.sleep(0.05)
        made.clear()
        await server.advance()
        assert made == []

    trade(play)
