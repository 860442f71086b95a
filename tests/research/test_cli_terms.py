"""Barriers, order style and risk limits on the command line, through both engines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from engine import Exits
from engine.result import Result
from reports import parity
from research.cli import app

CROSS = ["SmaCross", "-p", "fast=4", "-p", "slow=24", "-s", "BTC/USD", "--since", "2018-01-01", "--until", "2018-03-01"]
TERMS = [
    *("--stop-loss", "0.02", "--take-profit", "0.05", "--trailing", "0.02,0.01", "--time-limit", "36h"),
    *("--limit-offset", "0.002", "--limit-alive", "2", "--limit-then", "market"),
    *("--max-gross", "0.8", "--max-daily-loss", "0.02", "--price-collar", "0.2"),
    *("--maker-fee", "0.0002", "--fee-in", "bought", "--tick", "0.1", "--step", "0.0001"),
]


def ladder(*arguments: Any, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})
    assert result.exit_code == code, result.output
    return result.output


def test_terms_of_the_options_reach_both_engines_alike(tmp_path: Path) -> None:
    results = []
    for broker in ("backtest", "paper"):
        text = ladder(broker, *CROSS, *TERMS, "--out", tmp_path / f"{broker}.parquet")
        assert "stop loss" in text
        assert "halt by max_daily_loss" in text
        results.append(Result.read_parquet(tmp_path / f"{broker}.parquet"))
    fast, slow = results
    parity(fast, slow).raise_if_different()
    bases = set(fast.orders["reason"].str.replace(r", cut .*", "", regex=True))
    assert {"target, limit", "target, limit expired", "stop loss", "trailing stop", "halt, daily loss"} <= bases
    assert {"allowed", "halt", "resume"} <= set(fast.risk_events["verdict"])
    assert fast.meta["costs"]["fee"] == [0.0002, 0.001]
    assert fast.meta["costs"]["fee_in"] == "bought"
    assert fast.meta["venue"]["BTC/USD"]["price_tick"] == 0.1
    limit = pd.Timedelta(fast.meta["exits"]["time_limit"])
    assert limit == pd.Timedelta("36h")
    assert fast.meta["exits"]["trailing"] == [0.02, 0.01]
    assert fast.meta["order_style"] == {"offset": 0.002, "alive": 2, "then": "market"}


def test_run_without_them_has_none(tmp_path: Path) -> None:
    text = ladder("backtest", *CROSS, "--out", tmp_path / "run.parquet")
    assert "limits:" not in text
    result = Result.read_parquet(tmp_path / "run.parquet")
    assert (result.meta["exits"], result.meta["order_style"], result.meta["risk"]) == (None, None, None)
    assert set(result.risk_events["rule"]) <= {"cash"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--trailing", "0.02"], "--trailing '0.02': write activation,distance"),
        (["--time-limit", "soon"], "--time-limit 'soon': write it as 36h or 2D"),
        (["--stop-loss", "1.5"], "stop_loss 1.5 must be below 1"),
        (["--limit-offset", "-0.1"], "offset -0.1 must be a fraction"),
        (["--max-gross", "0"], "max_gross 0.0 must be positive"),
        (["--shorts", "--leverage", "2", "--maintenance", "0.6"], "maintenance_margin 0.6"),
    ],
)
def test_wrong_term_is_named(options: list[str], says: str) -> None:
    assert says in ladder("backtest", *CROSS, *options, code=1).replace("\n", " ")


def test_strategy_without_a_field_for_them_cannot_be_given_barriers(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from dataclasses import dataclass\nfrom engine import Strategy\n\n@dataclass(frozen=True)\n"
        "class Idle(Strategy):\n    warmup = 1\n"
        "    def targets(self, market):\n        return market.close * float('nan')\n",
        encoding="utf-8",
    )
    text = ladder("backtest", f"{file}:Idle", "-s", "BTC/USD", "--stop-loss", "0.1", code=1)
    assert "Idle: has no field exits" in text


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_place_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert "cannot be written" in ladder("backtest", *CROSS, "--out", closed / "run.parquet", code=1)


def test_file_in_the_place_of_a_folder_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x", encoding="utf-8")
    assert "cannot be written" in ladder("backtest", *CROSS, "--out", tmp_path / "taken" / "run.parquet", code=1)


def test_exits_are_written_as_one_would_write_them() -> None:
    assert repr(Exits(stop_loss=0.05)) == "Exits(stop_loss=0.05)"
    assert repr(Exits()) == "Exits()"
