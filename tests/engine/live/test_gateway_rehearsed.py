"""The gateway through an unmodified ccxt.pro client, on the rehearsal exchange that loses, refuses and delays."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import ccxt.pro
import numpy as np
import pandas as pd
import pytest

from data import Market
from engine import Venue
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.order_state import OrderIntent, State, client_id
from engine.rehearsal import FaultPlan, Planned, RehearsalServer

BTC = "BTC/USDT"
VENUE = Venue(amount_step=0.001, price_tick=0.01, min_notional=5.0, min_amount=0.001)
RUN = "rehearsed"
ORDER = "POST /api/v3/order"
CASH = Decimal(100_000)
RATES = {
    "answer_lost": 0.12,
    "refused_503": 0.06,
    "error_5xx": 0.05,
    "clock_skew": 0.05,
    "rate_429": 0.03,
    "delayed": 0.03,
    "insufficient": 0.03,
    "down": 0.01,
    "partial_fill": 0.4,
    "thin_book": 0.1,
}


def waves(rows: int) -> Market:
    """A price that goes up and down by a tenth."""
    index = pd.date_range("2024-01-01", periods=rows, freq="1h", tz="UTC")
    close = np.round(1000.0 + 50.0 * np.sin(np.arange(rows)), 2)
    opened = np.r_[1000.0, close[:-1]]
    bars = {
        "open": opened,
        "high": np.round(np.maximum(opened, close) + 5.0, 2),
        "low": np.round(np.minimum(opened, close) - 5.0, 2),
        "close": close,
        "volume": 10.0,
    }
    return Market.from_frames({BTC: pd.DataFrame(bars, index=index)}, "1h")


def an_order(bar: int, leg: str, side: str = "buy", kind: str = "market", **prices) -> OrderIntent:
    given = {"price": None, "stop_price": None, "post_only": False, **prices}
    number = client_id(RUN, bar, BTC, leg)
    return OrderIntent(
        number, BTC, side, kind, "0.250", reason="a test", bar=bar, leg=leg, expected_price=1000.0, **given
    )


def orders_of(bar: int) -> list[OrderIntent]:
    """What a bar sends: a market order each time, and in turn a limit, a stop and an OCO order that wait."""
    turn = bar % 4
    orders = [an_order(bar, "entry", "buy" if turn != 2 else "sell")]
    if turn == 1:
        orders.append(an_order(bar, "rest", "buy", "limit", price="960.00", post_only=True))
    if turn == 2:
        orders.append(an_order(bar, "stop", "sell", "stop", stop_price="955.00"))
    if turn == 3:
        orders.append(an_order(bar, "guard", "sell", "oco", price="1200.00", stop_price="952.00"))
    return orders


async def a_client(server: RehearsalServer):
    client = ccxt.pro.binance({"apiKey": "key", "secret": "secret", "enableRateLimit": False})
    server.point(client)
    while not client.markets:
        try:
            await client.load_markets()
        except ccxt.BaseError:
            client.markets_loading = None
    return client


async def trade(path, server: RehearsalServer, bars: int, kind: type[Gateway] = Gateway) -> None:
    """Bar by bar; every third bar the process "dies" and another begins with the journal alone."""
    for first in range(1, bars, 3):
        client = await a_client(server)
        try:
            with Journal(path) as journal:
                gateway = kind(client, journal, run=RUN, timeout=5.0, recv_window=100, settle=0.02, patience=60.0)
                await live(gateway, journal, server, range(first, min(first + 3, bars)))
                if first + 3 >= bars:
                    await finish(gateway, journal)
        finally:
            await client.close()


async def live(gateway: Gateway, journal: Journal, server: RehearsalServer, bars: range) -> None:
    for order in journal.unsettled(RUN):
        await gateway.settle(order)
    for bar in bars:
        await server.advance()
        for order in orders_of(bar):
            await gateway.place(order)
            await gateway.place(order)


async def finish(gateway: Gateway, journal: Journal) -> None:
    for order in journal.unsettled(RUN):
        assert (await gateway.cancel(order)).state.final
    await gateway.fills_since(BTC, trade_id="0")
    assert await gateway.open_orders() == []
    balances = await gateway.balances()
    changes = journal.rebuild(RUN).changes
    expected = {asset: changes.get(asset, 0) + CASH * (asset == "USDT") for asset in {"USDT", *changes}}
    assert balances == {asset: value for asset, value in expected.items() if value}, "the fills explain the account"


def is_right(path, server: RehearsalServer, bars: int) -> None:
    sent = [order.client_id for order in server.book.orders.values()]
    assert len(sent) == len(set(sent)), "no order twice"
    with Journal.reading(path) as journal:
        for order in (one for bar in range(1, bars) for one in orders_of(bar)):
            there = [leg for leg in order.legs if leg in sent]
            refused = journal.state(order.client_id) is State.REJECTED
            assert there == ([] if refused else list(order.legs)), "every order that is not refused"
        assert journal.unsettled(RUN) == [] and journal.foreign_fills() == []
        kinds = {kind for kind, _ in journal.incidents(RUN)}
        assert "contradiction" not in kinds and "unreachable" not in kinds and "halt" not in kinds
        told = sorted((int(f.trade_id), f.price, f.amount, f.fee, f.fee_currency) for f in journal.fills(RUN))
    true = sorted((t.id, t.price, t.amount, t.fee, t.fee_asset if t.fee else "") for t in server.book.trades)
    assert told == true, "every fill, once"


def rehearse(path, plan: FaultPlan | None, bars: int, kind: type[Gateway] = Gateway) -> RehearsalServer:
    async def run():
        given = {"venues": VENUE, "cash": CASH, "api_key": "key", "secret": "secret", "faults": plan}
        fees = (Decimal("0.0005"), Decimal("0.001"))
        async with RehearsalServer(waves(bars + 1), fees=fees, slippage=Decimal("0.0007"), **given) as server:
            await trade(path, server, bars, kind)
            return server

    return asyncio.run(run())


def test_every_order_and_fill_without_faults(tmp_path):
    path = tmp_path / "journal.sqlite"
    server = rehearse(path, None, 12)
    is_right(path, server, 12)
    assert len(server.book.trades) > 12


@pytest.mark.parametrize("seed", range(2))
def test_every_order_once_and_every_fill_once_under_faults(tmp_path, seed):
    path = tmp_path / "journal.sqlite"
    server = rehearse(path, FaultPlan(seed, RATES, retry_after=0, down_for=3), 8)
    is_right(path, server, 8)
    assert len(server.faults) > 10


def test_retry_after_of_the_real_client_is_waited_for(tmp_path):
    plan = FaultPlan(planned=[Planned("rate_429", ORDER, 1)], retry_after=1)
    began = time.monotonic()
    rehearse(tmp_path / "journal.sqlite", plan, 2)
    assert time.monotonic() - began >= 1.0 and [fault.kind for fault in plan.record] == ["rate_429"]


def test_fee_in_the_coin_that_was_bought(tmp_path):
    async def run():
        given = {"venues": VENUE, "cash": CASH, "api_key": "key", "secret": "secret", "fee_in": "bought"}
        async with RehearsalServer(waves(4), fees=(Decimal("0.001"), Decimal("0.001")), **given) as server:
            client = await a_client(server)
            with Journal(tmp_path / "journal.sqlite") as journal:
                await server.advance()
                report = await Gateway(client, journal, run=RUN).place(an_order(1, "entry"))
                await client.close()
                return report, journal.rebuild(RUN), server.book.account.free["BTC"]

    report, books, held = asyncio.run(run())
    assert {fill.fee_currency for fill in report.fills} == {"BTC"}
    assert books.positions[BTC] == held == Decimal("0.24975")


class BlindGateway(Gateway):
    """The planted bug: what was not answered is sent again without a look."""

    async def _resolve(self, intent, until):
        return await super()._resolve(intent, until) if self._state(intent) is State.ACKNOWLEDGED else None


def test_a_bug_planted_in_the_resending_is_caught(tmp_path):
    plan = FaultPlan(planned=[Planned("answer_lost", ORDER, 1)])
    path = tmp_path / "journal.sqlite"
    with pytest.raises(AssertionError, match="the fills explain the account"):
        rehearse(path, plan, 4, BlindGateway)
    rehearsed = tmp_path / "right.sqlite"
    is_right(rehearsed, rehearse(rehearsed, FaultPlan(planned=[Planned("answer_lost", ORDER, 1)]), 4), 4)
