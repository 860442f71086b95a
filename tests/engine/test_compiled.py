"""Where machine code is kept: a folder for each state of the sources, one signature, no harm where it cannot be."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numba
import pandas as pd
import pytest

from data import load_sample
from engine import Costs, Exits, LimitOrders, RiskLimits, SquareRootImpact, Venue, backtest, kernel
from engine.compiled import cache_folder, compile_cached
from research.strategies import SmaCross
from tests.engine.given import Given

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from data import load_sample
from engine import backtest
from research.strategies import SmaCross
result = backtest(SmaCross(), load_sample(["BTC/USD"]).iloc(0, 2_000))
result.to_parquet(sys.argv[1])
"""


def test_folder_changes_with_every_byte_of_the_sources(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LADDER_CACHE", str(tmp_path / "cache"))
    rules = tmp_path / "rules.py"
    rules.write_text("fee = 1\n")
    before = cache_folder(str(rules))
    assert before == cache_folder(str(rules))
    rules.write_text("fee = 2\n")
    assert cache_folder(str(rules)) != before
    assert before.parent == tmp_path / "cache" / "numba"


def test_folder_is_the_users_cache_unless_ladder_cache_says_another(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("LADDER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder().is_relative_to(tmp_path / "xdg" / "ladder")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder().is_relative_to(tmp_path / ".cache" / "ladder")


def test_numbas_own_choice_of_folder_is_put_back_and_stands_where_ours_cannot_be_made(tmp_path, monkeypatch) -> None:
    before = numba.config.CACHE_DIR
    with compile_cached(__file__):
        assert str(cache_folder(__file__)) == numba.config.CACHE_DIR
    assert before == numba.config.CACHE_DIR
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LADDER_CACHE", str(tmp_path / "file"))
    with compile_cached(__file__):
        assert before == numba.config.CACHE_DIR


def test_pass_is_compiled_once_whatever_the_number_of_symbols_and_the_types_of_the_terms() -> None:
    # Each further signature is seconds of waiting, and two processes that compile different ones mix up their files.
    market = load_sample().iloc(0, 500)
    backtest(SmaCross(), market)
    backtest(SmaCross(), market.select(["BTC/USD"]))
    backtest(SmaCross(), market, cash=1_000, costs=Costs(0, 0), venue=Venue(amount_step=1, min_notional=5))
    venue = Venue(shorts=True, leverage=2)
    backtest(SmaCross(below=-1.0), market, costs=Costs((0.0, 0.001)), venue=venue)
    backtest(SmaCross(), pickle.loads(pickle.dumps(market)))
    rates = pd.Series(0.0001, market.index[::8])
    every = {
        "costs": Costs(0.001, SquareRootImpact(0.1), funding=rates, borrow=0.1, tiers=((1e4, 0.0, 0.001),)),
        "venue": Venue(shorts=True, leverage=2, maintenance_margin=0.01, price_digits=5, max_amount=3),
        "risk": RiskLimits(max_gross=1, max_drawdown=0.5, max_orders_per_minute=2, max_data_age=pd.Timedelta("1h")),
    }
    exits = Exits(stop_loss=0.05, take_profit=1, trailing=(0.03, 0.02), time_limit=pd.Timedelta("2D"))
    targets = SmaCross().targets(market)
    for style in (None, LimitOrders(offset=0, alive=2), LimitOrders(then="market")):
        assert len(
            backtest(Given(targets, exits=exits, scales=targets.abs() + 1), market, orders=style, **every).orders
        )
    backtest(Given(targets.abs()), market, costs=Costs(fee_in="bought"), risk=RiskLimits())
    assert len(kernel.simulate.signatures) == 1


def start(out: Path, cache: Path) -> subprocess.Popen:
    environment = {**os.environ, "LADDER_CACHE": str(cache)}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(out)], cwd=ROOT, env=environment)


@pytest.mark.slow
def test_two_processes_that_compile_at_once_both_come_to_the_same_result(tmp_path) -> None:
    running = [start(tmp_path / f"{number}.parquet", tmp_path / "cache") for number in range(2)]
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    # And so does a third that takes what they left.
    assert start(tmp_path / "2.parquet", tmp_path / "cache").wait(timeout=300) == 0
    first, *others = (pd.read_parquet(tmp_path / f"{number}.parquet") for number in range(3))
    for other in others:
        pd.testing.assert_frame_equal(first, other, check_exact=True)


@pytest.mark.slow
def test_backtest_runs_where_the_cache_folder_cannot_be_made(tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert start(tmp_path / "out.parquet", tmp_path / "file" / "cache").wait(timeout=300) == 0
    assert (tmp_path / "out.parquet").exists()
