"""Paper with live prices over thousands of real bars, without and with faults and restarts."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pandas as pd
import pytest

from data import load_sample
from engine import Exits, Result, RiskLimits
from engine.rehearsal.faults import HEAVY, FaultPlan
from reports import compare, parity, tearsheet
from research.strategies import SmaCross
from tests.engine.live.on_paper import Stage, assert_same

pytestmark = pytest.mark.slow

STRATEGY = SmaCross(
    5,
    20,
    weight=0.9,
    exits=Exits(stop_loss=0.02, take_profit=0.04, trailing=(0.02, 0.015), time_limit=pd.Timedelta("2D")),
)
RISK = RiskLimits(max_position=0.4, max_gross=0.9, max_daily_loss=0.05)


def test_two_thousand_bars_of_five_symbols_are_those_of_paper_to_the_last_bit(tmp_path: Path) -> None:
    stage = Stage(load_sample().iloc(2_900, 4_930), 21, tmp_path / "journal.sqlite", STRATEGY, risk=RISK)
    report, requests = stage.played()
    print(f"{report}\n{dict(requests)}")  # noqa: T201
    wanted = stage.paper()
    assert len(report.result.equity) > 2_000 and len(wanted.orders) > 500
    assert_same(report.result, wanted)
    # What takes a Result takes this one.
    told = parity(report.result, wanted)
    assert told.largest_difference == 0.0 and told.matched == len(wanted.orders)
    page = tearsheet(report.result, path=tmp_path / "page.html")
    assert "paper live" in page.read_text()
    assert_same(Result.read_parquet(report.result.to_parquet(tmp_path / "run.parquet")), wanted)
    assert "paper live" in str(compare([report.result, wanted]))


@pytest.mark.parametrize("seed", range(3))
def test_faults_of_all_kinds_and_restarts_change_nothing(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    market = load_sample(["BTC/USD", "ETH/USD", "LTC/USD"]).iloc(5_000 + 400 * seed, 5_300 + 400 * seed)
    stage = Stage(market, 21, tmp_path / "journal.sqlite", STRATEGY, risk=RISK)
    plan = FaultPlan(seed, HEAVY, delay=0.02, retry_after=0)

    async def play():
        async with stage.server(plan) as server:
            while not stage.over:
                report = await stage.life(server, turns=chance.randint(1, 60))
            return report

    report = asyncio.run(play())
    print(f"{report}\n{plan.counts()}")  # noqa: T201
    assert sum(plan.counts().values()) > 50 and report.slept == 0
    assert_same(report.result, stage.paper())
