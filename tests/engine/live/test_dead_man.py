"""The dead man's switch on the rehearsal exchange's Bybit: it holds while a process lives, and acts once it is dead."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import ccxt.pro
import pytest

from data.errors import ValidationError
from engine import Exits
from engine.live.calls import CallError
from engine.live.dead_man import DeadMan, check_dead_man
from engine.live.start import run_live
from engine.venue import Venue
from tests.engine.live.exchange_process import ROOT, running_exchange, write_bars
from tests.engine.live.sessions import Always, Stage, level_market, on_stage

PERPETUAL = "BTC/USDT:USDT"
LIVES = """
import asyncio, sys
from engine.live.client import live_client
from engine.live.dead_man import DeadMan

async def live(client, seconds):
    await client.load_markets()
    await client.create_order("BTC/USDT:USDT", "limit", "buy", 1, 50)
    if seconds:
        await DeadMan(client, seconds, perpetual=True).arm()
    while not seconds or "dcp.future" not in str([one.subscriptions for one in client.clients.values()]):
        await asyncio.sleep(0.05)
        if not seconds:
            break
    print("armed", flush=True)
    await asyncio.sleep(60)

asyncio.run(live(live_client("bybit", None, rehearsal=sys.argv[1], perpetual=True), int(sys.argv[2])))
"""


@pytest.fixture
def stage(tmp_path):
    venue = Venue(shorts=True, leverage=5.0, amount_step=0.001, price_tick=0.01, min_notional=5.0)
    market = level_market(symbols=(PERPETUAL,))
    return Stage(tmp_path / "journal.sqlite", market=market, dialect="bybit", venue=venue)


def open_at(url: str) -> int:
    from engine.live.client import live_client

    async def asked():
        client = live_client("bybit", None, rehearsal=url, perpetual=True)
        try:
            return len(await client.fetch_open_orders(PERPETUAL))
        finally:
            await client.close()

    return asyncio.run(asked())


@pytest.mark.parametrize(("seconds", "left"), [(3, 0), pytest.param(0, 1, marks=pytest.mark.slow)])
def test_killed_process_s_orders_are_cancelled_by_the_exchange_and_not_while_it_lives(tmp_path, seconds, left):
    bars = write_bars(tmp_path / "bars.parquet", [100.0] * 6, PERPETUAL)
    with running_exchange(bars, "--dialect", "bybit") as exchange:
        command = [sys.executable, "-c", LIVES, exchange.url, str(seconds)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout.readline() == "armed\n"
                time.sleep(3.5)
                assert open_at(exchange.url) == 1  # it lives, for longer than the switch's time
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed = time.monotonic()
                while open_at(exchange.url) != left or (left and time.monotonic() - killed < 3.5):
                    assert time.monotonic() - killed < 8
                    time.sleep(0.2)
                assert left or time.monotonic() - killed > 2.0
            finally:
                process.kill()


def test_connection_that_is_lost_is_taken_up_again_in_time(stage):
    async def play(stage):
        client = stage.client()
        await client.load_markets()
        await client.create_order(PERPETUAL, "limit", "buy", 1, 50)
        switch, late = DeadMan(client, 3, perpetual=True), []
        await switch.arm(lambda: late.append(1))
        streams = stage.server._dialect.streams
        for _ in range(3):
            for _ in range(500):
                if "dcp.future" in streams._listeners:
                    break
                await asyncio.sleep(0.01)
            streams.drop_all()
        await asyncio.sleep(3.3)
        assert len(stage.server.book.open_orders()) == 1 and not switch.late and not late
        await switch.disarm()
        streams.drop_all()  # taken off: its own end cancels nothing
        await asyncio.sleep(0.1)
        assert "dcp.future" not in streams._listeners
        await client.close()

    on_stage(play, stage)


def test_switch_that_has_run_down_while_we_lived_is_told_once():
    told = []

    class Kraken:
        """What the switch asks of ccxt's kraken; it answers once."""

        id, has, answers = "kraken", {"cancelAllOrdersAfter": True}, 1

        async def cancel_all_orders_after(self, ms, params=None):
            self.answers -= 1
            if self.answers < 0:
                raise ccxt.pro.RequestTimeout("no answer")

    async def play():
        switch = DeadMan(Kraken(), 1, perpetual=False)
        await switch.arm(lambda: told.append(switch.late))
        await asyncio.sleep(2.0)
        assert told == [True]
        await switch.disarm()

    asyncio.run(play())


def test_countdown_is_set_anew_every_third_of_its_time_and_taken_off_at_the_end():
    asked = []

    class Kraken:
        id, has = "kraken", {"cancelAllOrdersAfter": True}

        async def cancel_all_orders_after(self, ms, params=None):
            asked.append((ms, params, time.monotonic()))

    async def play():
        switch = DeadMan(Kraken(), 1, perpetual=False)
        await switch.arm()
        await asyncio.sleep(1.2)
        assert not switch.late
        await switch.disarm()

    asyncio.run(play())
    times = [at for ms, _, at in asked if ms == 1000]
    assert len(times) >= 4 and max(b - a for a, b in itertools.pairwise(times)) < 0.6
    assert asked[-1][0] == 0 and [ms for ms, _, _ in asked[:-1]] == [1000] * (len(asked) - 1)


@pytest.mark.parametrize(
    ("name", "seconds", "words"),
    [
        ("binance", 30, "binance: has no dead man's switch"),
        ("bybit", 2, "whole seconds from 3 to 300"),
        ("bybit", 301, "whole seconds from 3 to 300"),
        ("okx", 5, "whole seconds from 10 to 120"),
        ("kraken", 10.5, "whole seconds"),
        ("kraken", float("nan"), "whole seconds"),
    ],
)
def test_exchange_without_one_or_a_time_it_does_not_take_is_refused(name, seconds, words):
    with pytest.raises(ValidationError, match=words):
        check_dead_man(getattr(ccxt.pro, name)(), seconds)


def test_refusal_by_the_exchange_is_an_error_and_no_silence():
    class Kraken:
        id, has = "kraken", {"cancelAllOrdersAfter": True}

        async def cancel_all_orders_after(self, ms, params=None):
            raise ccxt.pro.PermissionDenied("EGeneral:Permission denied")

    with pytest.raises(CallError, match="Permission denied"):
        asyncio.run(DeadMan(Kraken(), 10, perpetual=False).arm())


def test_barriers_and_the_switch_do_not_go_together_unless_it_is_said(tmp_path):
    async def play(stage):
        with pytest.raises(ValidationError, match="would cancel the stops and profits that protect"):
            await stage.session(1, dead_man=3)

    on_stage(play, Stage(tmp_path / "j.sqlite", Always(exits=Exits(stop_loss=0.1))))


def test_session_on_an_exchange_without_a_switch_is_refused_before_its_first_request(tmp_path):
    exchange = SimpleNamespace(id="binance", has={}, urls={"api": {"public": "http://127.0.0.1:1"}})
    run = run_live(
        Always(), exchange, ["BTC/USDT"], "1h", cash=1.0, journal=tmp_path / "j.sqlite", run="r", dead_man=30
    )
    with pytest.raises(ValidationError, match="has no dead man's switch"):
        asyncio.run(run)
    assert not list(tmp_path.iterdir())
