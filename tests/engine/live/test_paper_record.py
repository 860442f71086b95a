"""A run of paper with live prices read from its journal: executed again, and held against its backtest."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import load_sample
from data.errors import ValidationError
from engine import Exits, RiskLimits
from engine.live.paper_record import read_paper_run
from research.evidence.paper_run import paper_measures
from research.strategies import SmaCross
from tests.engine.live.on_paper import COSTS, RUN, Stage, assert_same

STRATEGY = SmaCross(3, 10, weight=0.9, exits=Exits(stop_loss=0.01, take_profit=0.015))


def stage(tmp_path: Path, strategy=STRATEGY, **more) -> Stage:
    market = load_sample(["BTC/USD", "ETH/USD"]).iloc(2_900, 3_000)
    return Stage(market, 30, tmp_path / "p.sqlite", strategy, **more)


def read(played: Stage, **changed):
    terms = {"cash": played.cash, "costs": COSTS, "risk": played.risk, **changed}
    return read_paper_run(played.journal, terms.pop("strategy", played.strategy), **terms)


def test_it_is_the_run_and_the_backtest_of_the_same_bars(tmp_path) -> None:
    played = stage(tmp_path)
    report, _ = played.played()
    run = read(played)
    assert_same(run.result, report.result)
    assert (run.name, run.exchange, run.rehearsal, run.slept) == (RUN, "binance", True, 0)
    assert run.days == pytest.approx(len(report.result.equity) / 48)
    assert not len(run.decided_otherwise) and run.decided.all()
    assert run.reference.equity.to_numpy() == pytest.approx(run.result.equity.to_numpy(), rel=1e-9)
    measured = paper_measures(run, None)
    assert measured["paper_decisions"].value == measured["no_halt"].value == 1.0
    assert measured["paper_trades"].value == len(report.result.orders) > 10
    assert measured["tracking"].value < 1e-9 and abs(measured["shortfall"].value) < 1e-9
    assert measured["stale"].value == 0.0


def test_what_was_slept_through_is_counted_and_tracked(tmp_path) -> None:
    played = stage(tmp_path)

    async def play() -> None:
        async with played.server() as server:
            await played.life(server, turns=15)
            for _ in range(20):
                await server.advance()
            await played.life(server, turns=20)

    asyncio.run(play())
    run = read(played)
    measured = paper_measures(run, None)
    assert run.slept >= 19 and measured["stale"].value == run.slept / len(run.result.equity)
    assert measured["tracking"].value > 0.01, "the backtest traded meanwhile"
    assert measured["paper_decisions"].value == 1.0, "what was decided is what the backtest decides there"
    assert len(run.starts) == 2 and f"{run.slept} bar not decided on" in measured["stale"].told


@dataclass(frozen=True)
class Looking(SmaCross):
    """Decides by how many bars it is shown: live it is a window."""

    def targets(self, market):
        wanted = super().targets(market)
        return wanted * 0.5 if len(market) < 100 else wanted


def test_decisions_that_hang_on_how_much_is_shown_are_told(tmp_path) -> None:
    played = stage(tmp_path, Looking(3, 10, weight=0.9))
    played.market = load_sample(["BTC/USD", "ETH/USD"]).iloc(2_900, 3_100)
    played.played()
    run = read(played)
    other = run.decided_otherwise
    assert len(other) > 0 and set(other["backtest"]) <= {0.9 / 1, 0.45, 0.0, 0.225}
    found = paper_measures(run, None)["paper_decisions"]
    assert found.value == 0.0 and "bars otherwise, the first" in found.told


def test_a_halt_is_told(tmp_path) -> None:
    played = stage(tmp_path, risk=RiskLimits(max_daily_loss=0.002))
    played.played()
    found = paper_measures(read(played), None)["no_halt"]
    assert found.value == 0.0 and "halts" in found.told


@pytest.mark.parametrize(
    "changed", [{"cash": 9_000.0}, {"risk": RiskLimits(max_gross=0.5)}, {"strategy": SmaCross(3, 11)}]
)
def test_other_terms_are_refused(tmp_path, changed) -> None:
    played = stage(tmp_path)
    played.played()
    with pytest.raises(ValidationError, match="was begun on other terms"):
        read(played, **changed)


def test_a_journal_that_was_altered_does_not_come_to_its_equity(tmp_path) -> None:
    played = stage(tmp_path)
    played.played()
    with sqlite3.connect(played.journal) as db:
        db.execute("DROP TRIGGER paper_bars_no_update")
        row = "SELECT bar FROM paper_bars WHERE kind = 'decided' ORDER BY bar DESC LIMIT 1"
        db.execute(f"UPDATE paper_bars SET equity = equity + 1 WHERE bar = ({row})")
    with pytest.raises(ValidationError, match="or its journal was altered"):
        read(played)


def test_which_run_is_meant(tmp_path) -> None:
    played = stage(tmp_path)
    played.played()
    with pytest.raises(ValidationError, match=r"no such run on paper \(there are: p1\)"):
        read(played, run="other")
    with pytest.raises(ValidationError, match="no such file"):
        read_paper_run(tmp_path / "none.sqlite", STRATEGY, cash=1.0, costs=COSTS)


def test_the_shortfall_is_what_the_fills_cost_beyond_the_backtests(tmp_path) -> None:
    """By hand: notional-weighted distance of fills from the deciding closes."""
    played = stage(tmp_path, SmaCross(3, 10, weight=0.9))
    played.played()
    run = read(played)
    orders, close = run.result.orders, run.bars.close
    cost = notional = 0.0
    for order in orders.itertuples():
        decided = close.loc[order.decided_at, order.symbol]
        sign = 1.0 if order.side == "buy" else -1.0
        cost += sign * (order.price - decided) * order.amount
        notional += decided * order.amount
    from research.evidence.paper_run import _cost

    assert _cost(run.result, run) == pytest.approx(cost / notional, rel=1e-12)
    assert np.isfinite(cost) and pd.Timestamp(orders["filled_at"].iloc[0]) > orders["decided_at"].iloc[0]
