"""The drill of the kill switch, and the look at an account: what the gate's live rung tries by itself."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from data import load_sample
from engine import Costs, Exits, Venue
from engine.live import off_turn
from engine.live.account_check import AccountSeen, look_at_account
from engine.live.kill_drill import kill_drill
from engine.rehearsal.server import RehearsalServer
from research.strategies import SmaCross
from tests.engine.live.perpetuals import VENUE as PERPETUAL
from tests.engine.live.perpetuals import both_ways, perpetuals

VENUE = Venue(amount_step=1e-4, price_tick=1e-8, min_notional=10.0)
TERMS = {"cash": 10_000.0, "costs": Costs(fee=0.001), "venue": VENUE}
STRATEGY = SmaCross(3, 10, weight=0.9, exits=Exits(stop_loss=0.2, take_profit=0.4))


def market(bars: int = 60):
    return load_sample(["BTC/USD"]).iloc(2_900, 2_900 + bars)


def test_a_session_that_has_stops_resting_is_stopped_and_they_are_gone() -> None:
    drill = kill_drill(STRATEGY, market(), **TERMS)
    assert drill.ok and drill.resting == 2 and drill.held == 1 and drill.left == 0
    assert "stopped, 0 orders left" in str(drill)


def test_a_switch_that_leaves_orders_is_found(monkeypatch) -> None:
    async def nothing(gateway, journal, run, ended, *, spare=()) -> None:
        return

    monkeypatch.setattr(off_turn, "cancel_all", nothing)
    drill = kill_drill(STRATEGY, market(), **TERMS)
    assert not drill.ok and drill.left == 2 and drill.stopped


def test_a_drill_that_finds_nothing_to_stop_shows_nothing() -> None:
    drill = kill_drill(SmaCross(3, 10, weight=0.0), market(), **TERMS)
    assert not drill.ok and not drill.held and not drill.resting


def look(cash: float, symbols: tuple[str, ...] = ("BTC/USD",)) -> AccountSeen:
    async def asked() -> AccountSeen:
        import ccxt.pro

        async with RehearsalServer(market(), venues=VENUE, cash=Decimal(5_000), start=20) as server:
            client = ccxt.pro.binance({"apiKey": "rehearsal", "secret": "rehearsal", "enableRateLimit": False})
            server.point(client)
            try:
                return await look_at_account(client, symbols, cash)
            finally:
                await client.close()

    return asyncio.run(asked())


def test_an_account_that_is_fit() -> None:
    seen = look(4_000.0)
    assert seen.lacking == () and seen.rehearsal and seen.free == 5_000.0 and seen.quote == "USD"
    assert seen.venues["BTC/USD"].amount_step == pytest.approx(1e-4) and "5,000.00 USD free" in str(seen)


def test_what_an_account_lacks_is_named() -> None:
    seen = look(6_000.0, ("BTC/USD", "NO/USD"))
    assert [one.partition(";")[0] for one in seen.lacking] == [
        "binance: 5,000.00 USD are free, the card's cash is 6,000.00",
        "binance: has no market NO/USD",
    ]


def test_a_drill_on_perpetuals() -> None:
    strategy = both_ways(3, 10, Exits(stop_loss=0.2, take_profit=0.4))
    drill = kill_drill(strategy, perpetuals(60, pairs=("BTC/USD",)), **{**TERMS, "venue": PERPETUAL})
    assert drill.ok and drill.resting == 2 and drill.held == 1 and drill.left == 0
