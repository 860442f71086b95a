"""A closed bar is given out once it is certain to be final: told so by the stream, or by REST."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pandas as pd
import pytest

from data import Market, load_sample
from engine.live import feed, final_feed
from engine.live.feed import CandleFeed
from engine.live.final_feed import FinalFeed
from engine.rehearsal.faults import FaultPlan
from tests.engine.live.on_paper import PERPETUAL, Stage, assert_same
from tests.engine.live.paper_process import STRATEGY, SYMBOLS

LATE = {"late": 0.06, "reorder": 0.1}  # all first messages of a bar late would mean a minute of silence


def staged(path: Path, *, perpetual: bool = False) -> Stage:
    market = load_sample(SYMBOLS).iloc(2_900, 2_950)
    if not perpetual:
        return Stage(market, 11, path / "journal.sqlite", STRATEGY)
    frames = {
        symbol.replace("USD", "USDT:USDT"): pd.DataFrame({name: market[name][symbol] for name in market.fields})
        for symbol in market.symbols
    }
    return Stage(Market.from_frames(frames, "30m"), 11, path / "journal.sqlite", STRATEGY, venue=PERPETUAL)


@pytest.mark.parametrize("perpetual", [False, True], ids=["binance", "bybit"])
def test_bar_whose_last_message_is_late_is_asked_for_and_no_other(tmp_path: Path, *, perpetual: bool) -> None:
    stage = staged(tmp_path, perpetual=perpetual)
    report, quiet = stage.played()
    assert_same(report.result, stage.paper())
    (tmp_path / "late").mkdir()
    stage = staged(tmp_path / "late", perpetual=perpetual)
    report, troubled = stage.played(FaultPlan(3, LATE))
    assert_same(report.result, stage.paper())
    candles = "GET /v5/market/kline" if perpetual else "GET /api/v3/klines"
    assert quiet[candles] <= 12 < troubled[candles]  # the history, and the bar that was open when it began to listen


def test_bar_of_an_exchange_whose_marks_nobody_knows_is_always_asked_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(final_feed, "_closed", lambda _: iter(()))
    stage = staged(tmp_path)
    report, requests = stage.played(FaultPlan(3, LATE))
    assert_same(report.result, stage.paper())
    assert requests["GET /api/v3/klines"] > 3 * report.turns


def test_without_that_a_part_of_a_bar_is_taken_for_all_of_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("engine.live.paper_live.FinalFeed", CandleFeed)
    stage = staged(tmp_path)
    report, _ = stage.played(FaultPlan(3, LATE))
    closes = pd.concat([report.result.prices, stage.paper().prices], axis=1, keys=["heard", "true"])
    assert (closes["heard"] != closes["true"]).to_numpy().any()


def test_bar_that_should_be_over_is_asked_for_and_silence_is_not_waited_out(tmp_path: Path, monkeypatch) -> None:
    """The stream tells nothing of the new bar and goes on about the old one: by the clock, the bar is overdue."""
    monkeypatch.setattr(feed, "_OVERDUE", 0.2)
    stage = staged(tmp_path)

    async def play() -> tuple[float, int]:
        import ccxt.pro

        async with stage.server() as server:
            client = ccxt.pro.binance({"enableRateLimit": False})
            server.point(client)
            end, begun = stage.market.index[12].value - 2 * 10**9, [float("inf")]

            def clock() -> int:  # the bar ends two seconds after it is waited for
                return int(end + max(time.monotonic() - begun[0], 0.0) * 1e9)

            followed = FinalFeed(client, list(stage.market.symbols), "30m", grace=0.1, clock=clock)
            try:
                await client.load_markets()
                await followed.start(5)
                begun[0] = time.monotonic()
                waiting = asyncio.ensure_future(followed.turn())
                monkeypatch.setattr(client, "handle_ohlcv", lambda *_: None)  # what it tells from now on is lost
                await server.advance()
                await asyncio.sleep(0.3)
                first = server.requests["GET /api/v3/klines"]
                assert not waiting.done(), "the bar is not over, by the clock"
                turn = await asyncio.wait_for(waiting, 30)
                assert turn.closed == stage.market.index[11].value
                return time.monotonic() - begun[0], server.requests["GET /api/v3/klines"] - first
            finally:
                await followed.close()
                await client.close()

    took, asked = asyncio.run(play())
    assert took < 20.0 and asked >= len(stage.market.symbols)
