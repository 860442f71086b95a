"""The second dialect: an unmodified ccxt.pro.bybit client trades linear perpetuals on the same books."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from fractions import Fraction

import ccxt.pro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import Market
from data.errors import ValidationError
from engine import Venue
from engine.rehearsal import FaultPlan, Planned, RehearsalServer
from engine.rehearsal.exchange import Exchange
from engine.rehearsal.orders import Refusal, Ticket
from tests.engine.rehearsal.conftest import flat

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
VENUE = Venue(shorts=True, leverage=5.0, amount_step=0.001, price_tick=0.01, min_notional=5.0, min_amount=0.001)
FEES = (Decimal("0.0002"), Decimal("0.0005"))


def perpetuals() -> Market:
    return Market.from_frames({BTC: flat(100.0), ETH: flat(10.0)}, "1h")


@pytest.fixture
def trade():
    def run(play, **more):
        async def session():
            given = {"venues": VENUE, "api_key": "key", "secret": "secret", "fees": FEES, "dialect": "bybit", **more}
            async with RehearsalServer(perpetuals(), **given) as server:
                client = ccxt.pro.bybit({"apiKey": "key", "secret": "secret", "enableRateLimit": False})
                server.point(client)
                try:
                    return await asyncio.wait_for(play(client, server), 30)
                finally:
                    await client.close()

        return asyncio.run(session())

    return run


async def soon(coroutine):
    return await asyncio.wait_for(coroutine, 5)


def test_markets_time_candles_and_prices(trade):
    async def play(client, server):
        markets = await client.load_markets()
        assert sorted(markets) == [BTC, ETH] and markets[BTC]["swap"] and markets[BTC]["linear"]
        assert markets[BTC]["precision"] == {**markets[BTC]["precision"], "amount": 0.001, "price": 0.01}
        assert markets[BTC]["limits"]["leverage"]["max"] == 5.0
        assert abs(await client.fetch_time() - client.milliseconds()) < 2000
        await server.advance()
        bars = await client.fetch_ohlcv(BTC, "1h")
        assert [bar[1:] for bar in bars] == [[100.0, 101.0, 99.0, 100.0, 10.0], [100.0, 100.0, 100.0, 100.0, 0.0]]
        ticker = await client.fetch_ticker(BTC)
        assert (ticker["bid"], ticker["ask"], ticker["last"]) == (99.9, 100.1, 100.0)
        assert (await client.fetch_order_book(BTC))["asks"][0][0] == 100.1
        assert (await client.fetch_trades(BTC))[-1]["price"] == 100.0
        assert client.urls["api"] == server.urls

    trade(play, slippage=Decimal("0.001"))


def test_short_is_opened_and_closed_and_the_wallet_keeps_the_profit_to_the_digit(trade):
    async def play(client, server):
        order = await client.create_order(BTC, "market", "sell", 2, params={"clientOrderId": "ldr-1"})
        found = await client.fetch_order(order["id"], BTC, {"acknowledged": True})
        assert (found["status"], found["filled"], found["average"]) == ("closed", 2.0, 100.0)
        assert found["clientOrderId"] == "ldr-1"
        (position,) = await client.fetch_positions([BTC])
        assert (position["side"], position["contracts"], position["entryPrice"]) == ("short", 2.0, 100.0)
        balance = await client.fetch_balance()
        assert (balance["USDT"]["total"], balance["USDT"]["used"]) == (9999.9, 40.0)
        await client.create_order(BTC, "limit", "buy", 2, 99.5, {"reduceOnly": True})
        assert len(await client.fetch_open_orders(BTC)) == 1
        await server.advance()
        assert not await client.fetch_open_orders(BTC) and not await client.fetch_positions()
        wallet = (await client.fetch_balance())["info"]["result"]["list"][0]["coin"][0]["walletBalance"]
        assert wallet == "10000.8602"  # 2 x (100 - 99.5), less 0.1 taker, less 0.0398 maker
        mine = await client.fetch_my_trades(BTC)
        assert [(t["side"], t["price"], t["takerOrMaker"], t["fee"]["cost"]) for t in mine] == [
            ("sell", 100.0, "taker", 0.1),
            ("buy", 99.5, "maker", 0.0398),
        ]

    trade(play)


def test_stop_take_profit_and_cancel(trade):
    async def play(client, server):
        await client.create_order(BTC, "market", "buy", 2)
        stop = await client.create_order(BTC, "market", "sell", 1, params={"stopLossPrice": 99.2})
        profit = await client.create_order(BTC, "market", "sell", 1, params={"takeProfitPrice": 101})
        assert len(await client.fetch_open_orders(BTC)) == 2
        other = await client.create_order(BTC, "limit", "buy", 1, 90, {"clientOrderId": "x"})
        await client.cancel_order(None, BTC, {"orderLinkId": "x"})
        assert (await client.fetch_order(other["id"], BTC, {"acknowledged": True}))["status"] == "canceled"
        await server.advance()
        prices = [(await client.fetch_closed_order(o["id"], BTC))["average"] for o in (stop, profit)]
        assert prices == [99.2, 101.0]
        await client.create_order(BTC, "limit", "buy", 1, 91)
        assert len(await client.cancel_all_orders(BTC)) == 1
        assert server.book.account.locked["USDT"] == 0

    trade(play)


def test_post_only_that_would_take_is_taken_and_cancelled_at_once(trade):
    async def play(client, server):
        order = await client.create_order(BTC, "limit", "buy", 1, 101, {"postOnly": True})
        found = await client.fetch_order(order["id"], BTC, {"acknowledged": True})
        assert (found["status"], found["filled"]) == ("canceled", 0.0)
        assert found["info"]["rejectReason"] == "EC_PostOnlyWillTakeLiquidity" and not server.book.trades

    trade(play)


def test_refusals_and_signatures(trade):
    async def play(client, server):
        await client.load_markets()
        with pytest.raises(ccxt.InsufficientFunds):
            await client.create_order(BTC, "market", "buy", 501)
        with pytest.raises(ccxt.InvalidOrder):
            await client.create_order(BTC, "market", "sell", 1, params={"reduceOnly": True})
        await client.create_order(BTC, "limit", "buy", 1, 90, {"clientOrderId": "x"})
        with pytest.raises(ccxt.InvalidOrder, match="duplicate"):
            await client.create_order(BTC, "limit", "buy", 1, 90, {"clientOrderId": "x"})
        with pytest.raises(ccxt.OrderNotFound):
            await client.cancel_order("77", BTC)
        client.options["timeDifference"] = -2000
        with pytest.raises(ccxt.InvalidNonce):
            await client.fetch_balance()
        client.options["timeDifference"] = 0
        client.secret = "another"
        with pytest.raises(ccxt.AuthenticationError):
            await client.fetch_balance()
        assert len(server.book.orders) == 1

    trade(play)


def test_streams_of_the_market_and_of_the_account(trade):
    async def play(client, server):
        start = server.exchange.replay.time
        assert (await soon(client.watch_ohlcv(BTC, "1h")))[-1] == [start, 100.0, 100.0, 100.0, 100.0, 0.0]
        assert (await soon(client.watch_ticker(BTC)))["last"] == 100.0
        trades = asyncio.create_task(client.watch_my_trades(BTC))
        orders = asyncio.create_task(client.watch_orders(BTC))
        wallet = asyncio.create_task(client.watch_balance())
        for _ in range(500):
            if {"execution", "order", "wallet"} <= set(server._dialect.streams._listeners):
                break
            await asyncio.sleep(0.01)
        await client.create_order(BTC, "market", "buy", 1, params={"clientOrderId": "ldr-5"})
        mine = (await soon(trades))[-1]
        assert (mine["price"], mine["amount"], mine["fee"]["cost"]) == (100.0, 1.0, 0.05)
        assert (await soon(orders))[-1]["clientOrderId"] == "ldr-5"
        assert (await soon(wallet))["USDT"]["total"] == 9999.95
        await server.advance()
        await asyncio.sleep(0.05)
        bars = client.ohlcvs[BTC]["1h"]
        assert bars[-1][0] == start + 3_600_000 and bars[-2][2] == 101.0

    trade(play)


def test_dead_man_s_switch_cancels_all_once_nobody_listens_to_its_topic(trade):
    async def play(client, server):
        await client.load_markets()
        await client.private_post_v5_order_disconnected_cancel_all({"timeWindow": 0})
        await client.create_order(BTC, "limit", "buy", 1, 90)
        streams = server._dialect.streams
        for topics, left in ((["order"], 1), (["order", "dcp.future"], 0)):
            url = await client.get_url_by_market_type(BTC, True, "watchOrders", {})
            await client.authenticate(url)
            watching = asyncio.create_task(client.watch_topics(url, topics, topics))
            for _ in range(500):
                if all(topic in streams._listeners for topic in topics):
                    break
                await asyncio.sleep(0.01)
            streams.drop_all()
            with pytest.raises(ccxt.NetworkError):
                await soon(watching)
            await asyncio.sleep(0.05)
            assert len(server.book.open_orders()) == left

    trade(play)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("answer_lost", ccxt.ExchangeNotAvailable),
        ("unknown_5xx", ccxt.RequestTimeout),
        ("refused_503", ccxt.ExchangeNotAvailable),
        ("error_5xx", ccxt.ExchangeNotAvailable),
        ("rate_429", ccxt.RateLimitExceeded),
        ("banned_418", ccxt.RateLimitExceeded),
        ("clock_skew", ccxt.InvalidNonce),
        ("insufficient", ccxt.InsufficientFunds),
        ("down", ccxt.ExchangeNotAvailable),
    ],
)
def test_faults_are_bybit_s_own_exceptions(trade, kind, error):
    async def play(client, server):
        await client.load_markets()
        with pytest.raises(error):
            await client.create_order(BTC, "market", "buy", 1, params={"clientOrderId": "ldr-1"})
        assert len(server.book.trades) == (kind in {"answer_lost", "unknown_5xx"})
        assert server.faults[0].detail["orderLinkId"] == "ldr-1"

    trade(play, faults=FaultPlan(planned=[Planned(kind, "POST /v5/order/create")]))


def test_dialect_and_symbols_must_agree(market):
    with pytest.raises(ValidationError, match="dialect 'binance' must be"):
        RehearsalServer(perpetuals())
    with pytest.raises(ValidationError, match="dialect 'bybit' must be"):
        RehearsalServer(market, dialect="bybit")


ORDERS = st.tuples(
    st.sampled_from(["buy", "sell"]),
    st.sampled_from(["market", "limit"]),
    st.integers(1, 40_000),
    st.integers(9_800, 10_200),
    st.booleans(),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(ORDERS, max_size=12), st.integers(1, 7))
def test_wallet_is_what_fills_and_fees_made_of_it_once_all_is_closed(orders, leverage):
    venue = Venue(shorts=True, leverage=float(leverage), amount_step=0.001, price_tick=0.01)
    exchange = Exchange(perpetuals(), venues=venue, cash=Decimal(5000), fees=FEES, slippage=Decimal("0.0003"))
    book, account = exchange.book, exchange.margin
    for side, kind, steps, cents, reduce_only in orders:
        try:
            amount, price = Decimal(steps) / 1000, Decimal(cents) / 100
            book.place(Ticket(BTC, side, kind, amount, price, reduce_only=reduce_only))
        except Refusal:
            continue
        assert account.spendable("USDT") >= 0
    for order in book.open_orders():
        book.cancel(order.symbol, order.id)
    assert account.locked["USDT"] == 0
    held = account.positions[BTC].amount
    if held:
        book.place(Ticket(BTC, "sell" if held > 0 else "buy", "market", abs(held), reduce_only=True))
    assert account.positions[BTC].amount == account.positions[BTC].basis == 0
    flows = sum((Fraction(t.cost) if t.side == "sell" else -Fraction(t.cost)) - Fraction(t.fee) for t in book.trades)
    assert Fraction(account.free["USDT"]) == 5000 + flows
