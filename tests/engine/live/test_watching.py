"""Barriers that the exchange cannot hold: watched on its trades, and left at the market once, whatever fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Exits
from engine.live import watching
from engine.live.journal import Journal
from engine.live.watching import Crossing, Levels, Trade, Watch, first_crossing
from engine.rehearsal.faults import FaultPlan
from engine.rehearsal.server import RehearsalServer
from tests.engine.live.scripted import CrashError
from tests.engine.live.sessions import OTHER, RUN, SYMBOL, on_stage
from tests.engine.live.walked import FIRST, Once, Walked, walked_market

NAN = float("nan")
BOTH = Exits(stop_loss=0.05, take_profit=0.1)
HELD = FIRST + 1  # row of the bar that a position is opened in


def a_stage(
    folder: Any, path: list[float], exits: Exits = BOTH, later: dict[int, list[float]] | None = None, **more: Any
):
    paths = {HELD: path, **(later or {})}
    strategy = Once(exits=exits, rows=more.pop("rows", (FIRST,)))
    return Walked(folder / "j.sqlite", strategy, walked_market(paths), paths=paths, **more)


@pytest.mark.parametrize("stops", [True, False], ids=["stop rests", "both watched"])
def test_profit_is_taken_within_its_bar_at_the_trade_that_reached_it(tmp_path, stops) -> None:
    async def play(stage: Walked) -> None:
        await stage.session(2)
        assert stage.exits() == [("take profit", "sell", 110.5)]
        assert stage.total("BTC") == 0 and not stage.server.book.open_orders()
        rested = [order for order in stage.server.book.orders.values() if order.kind != "market"]
        assert [order.kind for order in rested] == (["stop_loss"] if stops else [])
        assert stage.server.exchange.replay.time > stage.server.book.trades[-1].time
        await stage.is_right()

    on_stage(play, a_stage(tmp_path, [104.0, 109.9, 110.5, 112.0, 105.0], stops=stops))


@pytest.mark.parametrize("broken", [False, True], ids=["by stream", "by REST"])
def test_stop_is_taken_within_its_bar_where_nothing_can_rest(tmp_path, broken) -> None:
    async def play(stage: Walked) -> None:
        await stage.session(2)
        assert stage.exits() == [("stop loss", "sell", 94.8)]
        assert stage.total("BTC") == 0 and all(order.kind == "market" for order in stage.server.book.orders.values())
        await stage.is_right()

    on_stage(play, a_stage(tmp_path, [98.0, 95.1, 94.8, 99.0], Exits(stop_loss=0.05), broken=broken, patience=10.0))


def test_trailing_stop_follows_closed_bars_and_goes_off_within_one(tmp_path) -> None:
    async def play(stage: Walked) -> None:
        await stage.session(3)
        assert stage.exits() == [("trailing stop", "sell", 105.5)]
        await stage.is_right()

    exits = Exits(trailing=(0.02, 0.02))
    on_stage(play, a_stage(tmp_path, [103.0, 100.5, 108.0], exits, {HELD + 1: [107.0, 106.2, 105.5, 107.0]}))


def test_resting_stop_that_fills_leaves_nothing_to_the_watch(tmp_path) -> None:
    async def play(stage: Walked) -> None:
        await stage.session(3)
        assert stage.exits() == []
        sold = [trade for trade in stage.server.book.trades if trade.side == "sell"]
        assert [float(trade.price) for trade in sold] == [95.0] and stage.total("BTC") == 0
        await stage.is_right()

    on_stage(play, a_stage(tmp_path, [96.0, 94.0, 100.0, 111.0], stops=True))


async def bought_after_a_high_and_a_low(stage: Walked) -> None:
    await stage.session(3)
    assert stage.watch is not None and stage.watch.heard[0] > 0
    assert stage.exits() == [] and stage.total("BTC") > 0
    await stage.is_right()


def after_a_high_and_a_low(folder: Any) -> Walked:
    """The bars before the purchase opened at 111 and at 89, and REST tells so when it is asked what has traded."""
    paths = {FIRST - 3: [111.0], FIRST - 2: [89.0], FIRST - 1: [100.0], HELD: [101.0, 99.0], HELD + 1: [100.0]}
    return Walked(folder / "j.sqlite", Once(exits=BOTH), walked_market(paths), paths=paths)


def test_what_traded_before_the_position_was_filled_crosses_nothing(tmp_path) -> None:
    on_stage(bought_after_a_high_and_a_low, after_a_high_and_a_low(tmp_path))


def test_watch_that_believes_old_trades_is_caught(tmp_path, monkeypatch) -> None:
    """A bug planted: any trade counts, whenever it was."""
    monkeypatch.setattr(
        watching, "first_crossing", lambda found, trades: first_crossing(replace(found, since=0), trades)
    )
    with pytest.raises(AssertionError, match=r"stop loss|take profit"):
        on_stage(bought_after_a_high_and_a_low, after_a_high_and_a_low(tmp_path))


def test_level_that_the_market_was_beyond_before_anybody_watched_is_left_at_once(tmp_path) -> None:
    async def play(stage: Walked) -> None:
        make = stage.client

        def meddled() -> Any:
            client = make()
            send = client.create_order

            async def then_it_jumps(*args: Any, **more: Any) -> Any:
                answer = await send(*args, **more)
                if args[2] == "buy":
                    await stage.server.trade({SYMBOL: Decimal(111)})  # nobody watches yet
                return answer

            client.create_order = then_it_jumps
            return client

        stage.client = meddled  # type: ignore[method-assign]
        await stage.session(2)
        assert stage.exits() == [("take profit", "sell", 111.0)]
        await stage.is_right()

    on_stage(play, a_stage(tmp_path, [111.0, 111.0, 105.0]))


def test_what_traded_in_the_bar_before_the_purchase_crosses_nothing(tmp_path) -> None:
    async def play(stage: Walked) -> None:
        make = stage.client

        def meddled() -> Any:
            client = make()
            send = client.create_order

            async def late(*args: Any, **more: Any) -> Any:
                if args[2] == "buy":  # the market has been at 111 when the order arrives
                    for price in (111, 100):
                        await stage.server.trade({SYMBOL: Decimal(price)})
                return await send(*args, **more)

            client.create_order = late
            return client

        stage.client, stage.paths = meddled, {HELD: [101.0, 100.5]}  # type: ignore[method-assign]
        await stage.session(3)
        assert stage.exits() == [] and stage.total("BTC") > 0
        await stage.is_right()

    on_stage(play, a_stage(tmp_path, [111.0, 100.0, 101.0]))


@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize("dies", ["before the cancel", "before the order", "after the order"])
def test_process_that_dies_at_a_crossing_leaves_once(tmp_path, stops, dies) -> None:
    async def play(stage: Walked) -> None:
        make, sold = stage.client, []

        def mortal() -> Any:
            client = make()
            cancel, send = client.cancel_order, client.create_order

            async def cancelled(*args: Any, **more: Any) -> Any:
                if dies == "before the cancel":
                    raise CrashError
                return await cancel(*args, **more)

            async def sent(*args: Any, **more: Any) -> Any:
                if args[1:3] == ("market", "sell") and "stopLossPrice" not in args[5]:
                    if dies != "before the order":
                        sold.append(await send(*args, **more))
                    if dies != "before the cancel" or not stops:
                        raise CrashError
                return await send(*args, **more)

            client.cancel_order, client.create_order = cancelled, sent
            return client

        stage.client = mortal  # type: ignore[method-assign]
        with pytest.raises(CrashError):
            await stage.session(3)
        stage.client, stage.paths = make, {}  # type: ignore[method-assign]
        before = stage.total("BTC")
        assert (before == 0) is bool(sold)
        report = await stage.session(1)
        assert stage.total("BTC") == 0 == report.session.desk.account.holdings[0].held
        assert report.session.desk.account.money == pytest.approx(float(stage.total("USDT")), abs=1e-9)
        prices = [price for reason, _, price in stage.exits() if reason == "take profit"]
        assert prices == [110.5], "the first process's order, or one of the second's at the same price"
        await stage.is_right()

    on_stage(play, a_stage(tmp_path, [104.0, 110.5, 110.5], stops=stops, patience=0.5))


def test_stop_that_was_cancelled_for_an_order_that_never_went_rests_again_at_once(tmp_path) -> None:
    """Only the last price is told, by REST, and it has come back: the restart knows of no crossing."""

    async def play(stage: Walked) -> None:
        make, died, stops = stage.client, [], []

        def client() -> Any:
            made = make()
            made.has["fetchTrades"] = False
            send, cancel = made.create_order, made.cancel_order

            async def sent(*args: Any, **more: Any) -> Any:
                if "stopLossPrice" in args[5]:
                    stops.append(stage.server.exchange.replay.row)
                return await send(*args, **more)

            async def cancelled(*args: Any, **more: Any) -> Any:
                died.append(await cancel(*args, **more))
                raise CrashError

            made.create_order, made.cancel_order = sent, cancelled
            return made

        stage.client = client  # type: ignore[method-assign]
        with pytest.raises(CrashError):
            await stage.session(3)
        assert died and stops == [HELD] and not stage.server.book.open_orders()
        await stage.server.trade({SYMBOL: Decimal(105)})

        async def until_it_rests() -> None:
            await stage._until(lambda: len(stops) == 2)
            await RehearsalServer.advance(stage.server)

        stage._walk = until_it_rests  # type: ignore[method-assign]
        await stage.session(1)
        assert stops == [HELD, HELD] and stage.exits() == [] and stage.total("BTC") > 0
        await stage.is_right()

    on_stage(play, a_stage(tmp_path, [104.0, 110.5, 104.5], stops=True, broken=True))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_goes_wrong_a_position_is_left_once(tmp_path, seed) -> None:
    ways = [[97.0, 94.0, 100.0], [104.0, 111.0, 100.0], [99.0, 101.0, 100.0], [111.0, 94.0, 100.0]]
    paths = {row: ways[(row + seed) % 4] for row in range(HELD, 30)}

    async def play(stage: Walked) -> None:
        await stage.session(14)
        await stage.is_right()
        kinds = {reason.partition(",")[0] for reason, _, _ in stage.exits()}
        assert kinds & {"stop loss", "take profit"} and kinds <= {"stop loss", "take profit"}

    strategy = Once(exits=BOTH, rows=tuple(range(FIRST, 30)))
    # Two symbols: a candle that is told late does not keep the session waiting where there is another's.
    faults = FaultPlan.heavy(seed, delay=0.02, retry_after=0)
    market = walked_market(paths, 24, symbols=[SYMBOL, OTHER])
    more = {"paths": paths, "stops": seed % 2 == 0, "faults": faults, "patience": 0.3}
    stage = Walked(tmp_path / "j.sqlite", strategy, market, **more)
    on_stage(play, stage)


# The rule, and the watch itself.


def levels(stop: float = 95.0, profit: float = 110.0, since: int = 100, side: float = 1.0, entered: int = 0) -> Levels:
    return Levels(side=side, stop=stop, profit=profit, trailing=False, entered=entered, since=since)


prices = st.floats(80.0, 120.0)


@given(
    st.lists(st.tuples(st.integers(0, 300), prices), max_size=30, unique_by=lambda one: one[0]),
    st.randoms(use_true_random=False),
    st.sampled_from([1.0, -1.0]),
)
def test_first_crossing_is_the_same_however_trades_are_told(told, chance, side) -> None:
    stop, profit = (95.0, 110.0) if side > 0 else (110.0, 95.0)
    trades = [Trade(*one) for one in told]
    beyond = [one for one in sorted(trades) if one.time >= 100 and not 95.0 < one.price < 110.0]
    shuffled = trades + chance.sample(trades, len(trades) // 2)  # some of them twice
    chance.shuffle(shuffled)
    found = first_crossing(levels(stop, profit, side=side), shuffled)
    if not beyond:
        assert found is None
        return
    which = "stop" if (beyond[0].price <= 95.0) is (side > 0) else "profit"
    assert found == Crossing(which, beyond[0].price, beyond[0].time)


def test_level_that_is_not_there_is_not_crossed() -> None:
    assert first_crossing(levels(stop=NAN), [Trade(200, 1.0)]) is None
    assert first_crossing(levels(profit=NAN), [Trade(200, 1e9)]) is None
    assert first_crossing(levels(), [Trade(99, 1.0), Trade(100, 95.0)]) == Crossing("stop", 95.0, 100)


class Told:
    """An exchange whose trades are told by a list: each a burst of the stream, or what breaks it."""

    id, options = "x", {}

    def __init__(self, bursts: list[Any], rest: list[tuple[int, float]] | None = None, page: int = 1_000) -> None:
        self.has = {"watchTrades": True, "fetchTrades": True}
        self.bursts, self.rest, self.page, self.asked = bursts, rest or [], page, 0

    @staticmethod
    def _as_told(trades: list[tuple[int, float]]) -> list[dict[str, float]]:
        return [{"timestamp": time, "price": price} for time, price in trades]

    async def watch_trades(self, symbol: str) -> Any:
        if not self.bursts:
            await asyncio.Event().wait()
        burst = self.bursts.pop(0)
        if isinstance(burst, Exception):
            raise burst
        return self._as_told(burst)

    async def fetch_trades(self, symbol: str, since: int | None, limit: int) -> Any:
        self.asked += 1
        if since is None:
            return self._as_told(self.rest[-self.page :])
        return self._as_told([one for one in self.rest if one[0] >= since][: self.page])


def crossed(exchange: Told, wanted: list[Levels], seconds: float = 1.0) -> Any:
    async def play() -> Any:
        watch = Watch(exchange, [SYMBOL])
        try:
            for one in wanted:
                watch.keep({0: one})
                await asyncio.sleep(0.05)
            await asyncio.wait_for(watch.crossed(), seconds)
            await asyncio.sleep(0.05)
            return watch.taken()[0][1], watch.taken(), watch._followers
        except TimeoutError:
            return None
        finally:
            await watch.close()

    return asyncio.run(play())


def test_first_trade_by_time_decides_also_where_it_is_told_later() -> None:
    found = crossed(Told([[(130, 111.0)], [(120, 94.0), (120, 94.0)], [(130, 111.0)]]), [levels()])
    assert found == (Crossing("stop", 94.0, 120), {}, {})


def test_trades_of_before_are_not_heard_and_a_break_of_the_stream_is_made_good_by_rest() -> None:
    assert crossed(Told([[(99, 90.0)], [(20, 120.0)]]), [levels()], 0.3) is None
    lost = Told([ConnectionError("gone")], [(50, 90.0), (150, 112.0), (160, 100.0)])
    assert crossed(lost, [levels()], 3.0)[0] == Crossing("profit", 112.0, 150)


def test_crossing_of_a_position_that_is_another_now_is_forgotten() -> None:
    exchange = Told([[(130, 111.0)]], [(130, 111.0)])
    assert crossed(exchange, [levels(), levels(entered=140, since=141)], 0.3) is None


def test_levels_that_have_changed_are_held_against_what_traded_since() -> None:
    exchange = Told([[(130, 97.0)]], [(130, 97.0)])
    assert crossed(exchange, [levels(), levels(stop=98.0)])[0] == Crossing("stop", 97.0, 130)


def test_more_trades_than_one_answer_holds_are_fetched_page_by_page() -> None:
    many = [(100 + at, 100.0) for at in range(60)]
    many[20] = (120, 94.0)
    exchange = Told([], many, page=10)
    assert crossed(exchange, [levels()])[0] == Crossing("stop", 94.0, 120)


def test_ticker_is_watched_where_there_are_no_trades() -> None:
    class Quoted(Told):
        async def fetch_ticker(self, symbol: str) -> Any:
            return {"timestamp": 200, "last": 94.0}

    exchange = Quoted([])
    exchange.has = {"fetchTicker": True}
    assert crossed(exchange, [levels()])[0] == Crossing("stop", 94.0, 200)


def test_what_is_watched_is_in_the_journal(tmp_path) -> None:
    async def play(stage: Walked) -> None:
        await stage.session(1)
        with Journal.reading(stage.journal) as book:
            assert book.statements(RUN, "started")[-1].detail["watched"] == ["profit"]

    on_stage(play, a_stage(tmp_path, [101.0], stops=True))
