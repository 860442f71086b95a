"""A closed bar is given out once it is certain to be final: told so by the stream, or by REST."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from data import Market, load_sample
from engine.live import final_feed
from engine.live.feed import CandleFeed
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
