"""Between two turns, and late for one: barriers are booked within their bar, stale bars open nothing."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from data import Market
from data.errors import ValidationError
from engine import Exits
from engine.live.account_stream import EVERY, AccountStream
from engine.live.clock import ExchangeClock
from engine.live.journal import Journal
from engine.live.safety import Stop
from tests.engine.live.sessions import RUN, SYMBOL, Always, Stage, level_market, on_stage


def falling(bars: int = 12, at: int = 8) -> Market:
    """Level bars, but for one whose low is a tenth deeper."""
    market = level_market(bars)
    low = market.low.to_numpy().copy()
    low[at] *= 0.9
    return market.with_fields(low=pd.DataFrame(low, index=market.index, columns=market.low.columns))


def test_a_stop_that_goes_off_is_booked_before_its_bar_is_over(tmp_path) -> None:
    """Only the bar's end is told, no next bar opens: without the account's stream nobody would ask."""

    async def play(stage: Stage) -> None:
        def bar_ends(turn: int) -> None:
            if turn == 3:
                stage.server.advance = stage.server.close_bar

        running = asyncio.create_task(stage.session(4, each=bar_ends))
        found: list = []
        for _ in range(300):
            await asyncio.sleep(0.02)
            if stage.journal.is_file():
                with Journal.reading(stage.journal) as book:
                    barriers = [one for one in book.orders(RUN) if one.leg == "barriers"]
                    found = [fill for one in barriers for fill in book.fills_of(one.client_id)]
            if found or running.done():
                break
        assert found and found[0].side == "sell" and not stage.server.exchange.is_open
        await stage.server.open_bar()
        await running

    stage = Stage(tmp_path / "j.sqlite", Always(exits=Exits(stop_loss=0.05)), falling())
    on_stage(play, stage)


@pytest.mark.parametrize(("late", "opens"), [(0.4, True), (0.6, False)])
def test_nothing_is_opened_at_an_open_that_is_long_past(tmp_path, late, opens) -> None:
    clock = SimpleNamespace(now=0)

    async def play(stage: Stage) -> None:
        hour = 3_600_000_000_000

        def seen() -> int:
            opened = stage.server.exchange.replay.time * 1_000_000
            return opened + int(late * hour)

        await stage.session(3, clock=seen)
        assert (stage.total("BTC") > 0) is opens
        with Journal.reading(stage.journal) as book:
            told = [detail for kind, detail in book.incidents(RUN) if kind == "stale bar"]
        assert bool(told) is not opens
        if told:
            assert told[0]["dropped"] == [SYMBOL] and told[0]["seconds"] == pytest.approx(0.6 * 3600)

    on_stage(play, Stage(tmp_path / "j.sqlite"))
    assert clock.now == 0


def test_what_closes_a_position_goes_however_late_it_is(tmp_path) -> None:
    late = [0.0]

    async def play(stage: Stage) -> None:
        def seen() -> int:
            return stage.server.exchange.replay.time * 1_000_000 + int(late[0] * 3_600_000_000_000)

        def grows(turn: int) -> None:
            late[0] = 0.9 if turn >= 2 else 0.0

        await stage.session(5, clock=seen, each=grows)
        assert stage.total("BTC") == 0

    on_stage(play, Stage(tmp_path / "j.sqlite", Always(until=8)))


def test_a_clock_that_is_far_off_is_refused() -> None:
    class Exchange:
        id, has = "binance", {"fetchTime": True}

        def __init__(self, difference: float) -> None:
            self.options: dict = {}
            self._difference = difference

        def milliseconds(self) -> int:
            return 1_700_000_000_000

        async def load_time_difference(self) -> None:
            self.options["timeDifference"] = self._difference

    near = ExchangeClock(Exchange(1_500.0))
    asyncio.run(near.check())
    assert near.ahead == 1.5 and near.now() == (1_700_000_000_000 - 1_500) * 1_000_000
    for difference, way in ((9_000.0, "ahead of"), (-9_000.0, "behind")):
        with pytest.raises(ValidationError, match=f"9.0 s {way} binance"):
            asyncio.run(ExchangeClock(Exchange(difference)).check())


def test_a_stream_that_breaks_rings_for_every_order() -> None:
    class Exchange:
        has = {"watchOrders": True}  # noqa: RUF012
        told = [[{"clientOrderId": "ldr-1", "id": "7"}], ConnectionError("gone"), [{"id": "8"}]]  # noqa: RUF012

        async def watch_orders(self):
            if not self.told:
                await asyncio.Event().wait()
            what = self.told.pop(0)
            if isinstance(what, Exception):
                raise what
            return what

    async def play() -> None:
        bell = AccountStream(Exchange())
        bell.start()
        await asyncio.wait_for(bell.rung(), 2)
        assert bell.taken() == {"ldr-1"}
        await asyncio.wait_for(bell.rung(), 5)
        assert bell.taken() == {EVERY} and bell.breaks == 1
        await bell.close()

    asyncio.run(play())


def test_who_waits_for_an_end_can_be_cancelled_itself() -> None:
    async def play() -> bool:
        waiting = asyncio.create_task(Stop().or_result(asyncio.sleep(30)))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=2)
        return waiting.cancelled()

    assert asyncio.run(play())


def test_what_a_loss_limit_closes_waits_through_bars_that_were_slept_through() -> None:
    from engine import Costs, RiskLimits
    from engine.live.desk import Desk
    from engine.run import lay_ground
    from tests.engine.live.sessions import VENUE

    market = level_market(6)
    ground = lay_ground(market, 1_000.0, Costs(), VENUE, RiskLimits(max_drawdown=0.1), None)
    desk = Desk(ground.run(Always()))
    time = int(market.index[-1].value)
    desk.begin(time, {0: (time, 100.0, 10.0)})
    position = desk.account.holdings[0]
    position.held, position.mark, position.average = 9.0, 100.0, 100.0
    desk.account.money = 100.0
    _, halts = desk.close({0: (100.0, 100.0, 80.0, 80.0, 1.0)}, [0.5], None)
    assert halts and desk.waiting[0].amount == -9.0
    desk.drop_decided()
    assert 0 in desk.waiting
    assert np.isfinite(desk.account.equity())
