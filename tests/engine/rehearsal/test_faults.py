"""Each fault of the rehearsal exchange, as the exception or the message that an unmodified ccxt client gets from it."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import ccxt.pro
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ValidationError
from engine.rehearsal import FaultPlan, Planned
from engine.rehearsal.faults import HEAVY, KINDS

BTC = "BTC/USDT"
HOURS = pd.date_range("2024-01-01", periods=60, freq="1h", tz="UTC", name="time")
ORDER = "POST /api/v3/order"


def once(kind: str, on: str = ORDER, nth: int = 1, **more) -> FaultPlan:
    return FaultPlan(planned=[Planned(kind, on, nth)], **more)


async def soon(coroutine):
    return await asyncio.wait_for(coroutine, 5)


async def until(holds):
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come to hold within 5 s")


def buy(client, name="ldr-1"):
    return client.create_order(BTC, "market", "buy", 1, params={"newClientOrderId": name})


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("refused_503", ccxt.OperationFailed),
        ("error_5xx", ccxt.ExchangeNotAvailable),
        ("rate_429", ccxt.DDoSProtection),
        ("banned_418", ccxt.DDoSProtection),
        ("clock_skew", ccxt.InvalidNonce),
        ("insufficient", ccxt.InsufficientFunds),
        ("down", ccxt.ExchangeNotAvailable),
    ],
)
def test_a_fault_before_execution_leaves_the_books_alone_and_is_recorded(trade, kind, error):
    plan = once(kind, retry_after=3, down_for=1)

    async def play(client, server):
        await client.load_markets()
        with pytest.raises(error) as caught:
            await buy(client)
        assert type(caught.value) is error
        assert not server.book.orders
        if kind in {"rate_429", "banned_418"}:
            assert client.last_response_headers["Retry-After"] == "3"
        assert (await buy(client))["status"] == "closed"
        (fault,) = server.faults
        assert (fault.number, fault.kind, fault.on, fault.at) == (1, kind, ORDER, server.book.now)
        assert fault.detail["newClientOrderId"] == "ldr-1"

    trade(play, faults=plan)


def test_lost_answer_is_no_answer_though_the_order_is_executed(trade):
    async def play(client, server):
        await client.load_markets()
        with pytest.raises(ccxt.ExchangeNotAvailable):
            await buy(client)
        assert len(server.book.trades) == 1
        assert server.requests[ORDER] == 1  # aiohttp repeats no POST by itself
        found = await client.fetch_order(None, BTC, {"origClientOrderId": "ldr-1"})
        assert found["status"] == "closed"

    trade(play, faults=once("answer_lost"))


def test_timeout_of_unknown_outcome_is_told_though_the_order_is_executed(trade):
    async def play(client, server):
        await client.load_markets()
        with pytest.raises(ccxt.RequestTimeout, match="execution status unknown"):
            await buy(client)
        assert len(server.book.trades) == 1

    trade(play, faults=once("unknown_5xx"))


def test_a_cancel_whose_answer_is_lost_is_repeated_by_aiohttp_itself(trade):
    async def play(client, server):
        order = await client.create_order(BTC, "limit", "buy", 1, 90)
        with pytest.raises(ccxt.OrderNotFound):
            await client.cancel_order(order["id"], BTC)
        assert server.requests["DELETE /api/v3/order"] == 2 and not server.book.open_orders()

    trade(play, faults=once("answer_lost", "DELETE /api/v3/order"))


def test_delayed_answer_is_a_timeout_of_a_request_that_was_executed(trade):
    async def play(client, server):
        await client.load_markets()
        client.timeout = 100
        began = time.monotonic()
        with pytest.raises(ccxt.RequestTimeout):
            await buy(client)
        assert time.monotonic() - began < 0.4
        assert len(server.book.trades) == 1

    trade(play, faults=once("delayed", delay=0.4))


def test_down_refuses_requests_and_streams_until_it_is_up_again(trade):
    async def play(client, server):
        await client.load_markets()
        await soon(client.watch_ohlcv(BTC, "1h"))
        watching = asyncio.create_task(client.watch_ohlcv(BTC, "1h"))
        for name in "abcd":
            with pytest.raises(ccxt.ExchangeNotAvailable):
                await buy(client, name)
        with pytest.raises(ccxt.NetworkError):
            await soon(watching)
        assert (await buy(client, "e"))["status"] == "closed"
        assert len(server.book.orders) == 1
        assert [fault.kind for fault in server.faults] == ["down"]

    trade(play, faults=once("down", down_for=4))


def test_dropped_streams_are_a_network_error_and_can_be_joined_again(trade):
    async def play(client, server):
        await soon(client.watch_ohlcv(BTC, "1h"))
        await soon(client.fetch_balance())
        orders = asyncio.create_task(client.watch_orders(BTC))
        await until(lambda: server._dialect.streams._users)
        await server.advance()
        with pytest.raises(ccxt.NetworkError):
            await soon(orders)
        assert not server._dialect.streams.connections
        bars = await soon(client.watch_ohlcv(BTC, "1h"))  # it connects and subscribes anew
        assert bars[-1][0] == server.exchange.replay.time
        orders = asyncio.create_task(client.watch_orders(BTC))
        await until(lambda: server._dialect.streams._users)
        await buy(client)
        assert (await soon(orders))[-1]["clientOrderId"] == "ldr-1"

    trade(play, faults=once("stream_drop", ""))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("duplicate", ["0x", "0x", "1", "1x", "2", "2x", "3"]),
        ("reorder", ["1", "0x", "1x", "2", "2x", "3"]),
        ("late", ["1", "1x", "2", "0x", "2x", "3"]),
    ],
)
def test_stream_messages_come_twice_out_of_turn_or_late(trade, kind, expected):
    async def play(client, server):
        start, seen = server.exchange.replay.time, []
        await soon(client.watch_ohlcv(BTC, "1h"))
        kept = client.handle_ohlcv

        def handle(socket, message):
            bar = message["k"]
            seen.append(f"{(bar['t'] - start) // 3_600_000}{'x' if bar['x'] else ''}")
            kept(socket, message)

        client.handle_ohlcv = handle
        for _ in range(3):
            await server.advance()
        await until(lambda: len(seen) >= len(expected))
        assert seen == expected
        assert server.faults[0].on == "btcusdt@kline_1h"

    trade(play, faults=once(kind, "btcusdt@kline"))


def test_messages_of_the_account_can_come_twice(trade):
    async def play(client, server):
        waiting = asyncio.create_task(client.watch_my_trades(BTC))
        await until(lambda: server._dialect.streams._users)
        await buy(client)
        await soon(waiting)
        await asyncio.sleep(0.05)
        assert [trade["id"] for trade in client.myTrades] == ["1"]
        assert server.faults[0].on == "executionReport"

    trade(play, faults=once("duplicate", "executionReport", nth=2))


def test_market_order_fills_in_parts_that_are_the_whole(trade):
    async def play(client, server):
        order = await buy(client)
        assert order["status"] == "closed" and len(order["trades"]) > 1
        assert sum(trade.amount for trade in server.book.trades) == 1
        assert {trade.price for trade in server.book.trades} == {Decimal(100)}

    trade(play, faults=once("partial_fill", "fill market"))


def test_resting_order_fills_in_part_and_rests_on(trade):
    async def play(client, server):
        order = await client.create_order(BTC, "limit", "buy", 1, 99.5)
        await server.advance()
        partly = await client.fetch_order(order["id"], BTC)
        assert partly["status"] == "open" and 0 < partly["filled"] < 1
        await server.advance()
        assert (await client.fetch_order(order["id"], BTC))["status"] == "closed"

    trade(play, faults=once("partial_fill", "fill limit"))


def test_thin_book_is_a_worse_price_and_an_order_that_expires_partly_filled(trade):
    async def play(client, server):
        order = await buy(client)
        assert order["status"] == "expired" and 0 < order["filled"] < 1 and order["average"] > 100.0
        told = await client.fetch_order(order["id"], BTC)
        assert (told["status"], told["filled"]) == ("expired", order["filled"])

    trade(play, faults=once("thin_book", "fill market"))


def test_every_kind_of_fault_has_a_rate_and_a_test_of_its_own():
    assert set(HEAVY) == set(KINDS)


def record(plan: FaultPlan) -> list[tuple[int, str, int]]:
    for count in range(300):
        plan.meets("request", f"{ORDER}", count)
        plan.meets("message", "kline", count)
        plan.meets("fill", "fill market", count)
        plan.meets("bar", "bar", count)
    return [(fault.number, fault.kind, fault.count) for fault in plan.record]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_a_seed_and_a_sequence_give_the_same_faults_again(seed):
    found = record(FaultPlan.heavy(seed))
    assert found == record(FaultPlan.heavy(seed)) != record(FaultPlan.heavy(seed + 1))
    assert [number for number, _, _ in found] == list(range(1, len(found) + 1))


def test_rates_are_kept_and_other_places_do_not_disturb_a_sequence():
    plan = FaultPlan(3, {"answer_lost": 0.1})
    hits = [bool(plan.meets("request", ORDER, 0)) for _ in range(4000)]
    assert 320 < sum(hits) < 480
    other = FaultPlan(3, {"answer_lost": 0.1, "duplicate": 0.5})
    assert [(other.meets("message", "m", 0), bool(other.meets("request", ORDER, 0)))[1] for _ in range(4000)] == hits
    assert other.counts()["answer_lost"] == sum(hits)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"rates": {"odd": 0.1}}, "unknown kind of fault"),
        ({"planned": [Planned("odd")]}, "unknown kind of fault"),
        ({"rates": {"down": 1.5}}, "must be a probability"),
        ({"rates": {"down": 0.7, "delayed": 0.7}}, "exceed 1 together"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(arguments, told):
    with pytest.raises(ValidationError, match=told):
        FaultPlan(**arguments)


@pytest.mark.parametrize("seed", range(3))
def test_under_heavy_faults_the_books_add_up_and_no_request_breaks_the_server(trade, exact, market, seed):
    plan = FaultPlan.heavy(seed, share=2.0, delay=0.001)
    caught: dict[str, int] = {}

    async def attempt(coroutine):
        try:
            return await soon(coroutine)
        except ccxt.BaseError as error:
            caught[type(error).__name__] = caught.get(type(error).__name__, 0) + 1
            return None

    async def play(client, server):
        while client.markets is None:
            await attempt(client.load_markets())
        count = 0
        while not (await server.advance())["done"]:
            await attempt(client.watch_ohlcv(BTC, "1h"))
            for side, kind, price in (("buy", "market", None), ("buy", "limit", 99.5), ("sell", "limit", 100.5)):
                count += 1
                await attempt(
                    client.create_order(BTC, kind, side, 0.5, price, {"newClientOrderId": f"ldr-{count}"}),
                )
            await attempt(client.fetch_open_orders(BTC))
            await attempt(client.cancel_all_orders(BTC))
        held = exact(server)
        bought = sum(t.amount * (1 if t.side == "buy" else -1) for t in server.book.trades)
        paid = sum(t.cost * (1 if t.side == "buy" else -1) + t.fee for t in server.book.trades)
        assert (held["BTC"], held["USDT"]) == (bought, Decimal(10_000) - paid)
        assert len({order.client_id for order in server.book.orders.values()}) == len(server.book.orders)

    long = {name: market[name].iloc[[0] * 60].set_axis(HOURS[:60]) for name in market.fields}
    trade(play, market=type(market)(long, "1h"), faults=plan, fees=(Decimal("0.0002"), Decimal("0.001")))
    assert len(plan.record) > 30 and len(plan.counts()) >= 10 and len(caught) >= 4
    assert "ExchangeError" not in caught  # the class of an error that ccxt knows no better name for
