"""`ladder sweep` and `ladder trials` as a user has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data import ValidationError
from research import trials
from research.cli import app
from research.cli.inputs import grid_from
from research.strategies import SmaCross

LADDER = Path(sys.executable).with_name("ladder")
MONTH = ["--symbol", "BTC/USD", "--since", "2018-03-01", "--until", "2018-04-01"]


def ladder(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})
    assert result.exit_code == code, result.output
    return result.output


def test_sweep_prints_the_best_and_what_was_skipped_and_writes_a_heat_map(tmp_path, record):
    page = tmp_path / "heat.html"
    words = ["-p", "fast=5:50:15", "-p", "slow=20,50,100", "-p", "weight=0.5", "--top", "3", "--out", page]
    text = ladder("sweep", "SmaCross", *words, *MONTH, "--fee", "0.002", "--stop-loss", "0.05")
    lines = [line for line in text.splitlines() if line.startswith("│")]
    assert len(lines) == 3
    assert "2 sets skipped, such as trial 3: SmaCross: fast 20 must be below slow 20" in text
    assert f"7 trials recorded as sweep 1 in {record}" in text
    assert "sharpe of SmaCross" in page.read_text(encoding="utf-8")
    recorded = trials()
    assert recorded["parameters"].iloc[0]["fast"] == 5
    assert recorded["parameters"].iloc[0]["weight"] == 0.5
    assert recorded["parameters"].iloc[0]["exits"]["stop_loss"] == 0.05
    best = recorded.loc[recorded["sharpe"].idxmax()]
    shown = [cell.strip() for cell in lines[0].split("│")[1:5]]
    assert shown == ["1", str(best["trial"]), str(best["parameters"]["fast"]), str(best["parameters"]["slow"])]


def test_trials_lists_the_sweeps(tmp_path):
    assert "no trial is recorded" in ladder("trials")
    path = tmp_path / "mine.sqlite"
    ladder("sweep", "SmaCross", "-p", "fast=5,10", *MONTH, "--metric", "total_return", "--record", path)
    text = ladder("trials", "--record", path)
    assert "SmaCross" in text
    assert "BTC/USD" in text
    assert "2 trials in all" in text
    assert "no trial is recorded" in ladder("trials")


LOOKS_AHEAD = """
from dataclasses import dataclass
from engine import Strategy

@dataclass(frozen=True)
class Tomorrow(Strategy):
    ahead: int = 1
    warmup = 1
    def targets(self, market):
        rises = market.close.shift(-self.ahead) > market.close
        return rises.astype(float).where(market.close.notna())
"""


def test_sweep_stops_at_a_strategy_that_knows_the_future_and_has_recorded_it(tmp_path):
    (tmp_path / "ahead.py").write_text(LOOKS_AHEAD)
    text = ladder("sweep", f"{tmp_path / 'ahead.py'}:Tomorrow", "-p", "ahead=1,2", *MONTH, code=1)
    assert "looks ahead" in text
    assert len(trials()) == 2


@pytest.mark.parametrize(
    ("words", "grid", "fixed"),
    [
        (["fast=5:20:5"], {"fast": [5, 10, 15]}, {}),
        (["fast=5:8"], {"fast": [5, 6, 7]}, {}),
        (["weight=0.1:0.5:0.1"], {"weight": [0.1, 0.2, 0.3, 0.4]}, {}),
        (["fast=20:5:-5"], {"fast": [20, 15, 10]}, {}),
        (["fast=5,10", "slow=50"], {"fast": [5, 10]}, {"slow": 50}),
        (["fast=[5, 10]"], {"fast": [5, 10]}, {}),
        (["weight=true,none,x"], {"weight": [True, None, "x"]}, {}),
    ],
    ids=str,
)
def test_values_are_read_as_they_are_written(words, grid, fixed):
    read, rest = grid_from("SmaCross", SmaCross, words)
    assert (read, rest) == (grid, fixed)
    assert [[type(value) for value in values] for values in read.values()] == [
        [type(value) for value in values] for values in grid.values()
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fast=5"], "no parameter has several values"),
        (["fast=50:5:5"], "there are 0 values"),
        (["fast=5:50:0"], "write start:stop:step"),
        (["fast=a:b:c"], "write start:stop:step"),
        (["fast=1:2:3:4"], "write start:stop:step"),
        (["fast=0:1e9:0.001"], "values"),
        (["fats=1,2"], "did you mean fast"),
        (["fast=1,2", "fast=3,4"], "given twice"),
        (["fast"], "write key=value"),
    ],
    ids=str,
)
def test_values_that_are_none_are_named(words, message):
    with pytest.raises(ValidationError, match=message):
        grid_from("SmaCross", SmaCross, words)


def test_bad_input_is_one_message_without_a_traceback():
    run = subprocess.run(
        [LADDER, "sweep", "SmaCross", "-p", "fast=60,70", *MONTH], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("ladder: SmaCross: refuses each of the 2 sets")
    assert "Traceback" not in run.stderr


def test_sweep_stays_a_function_once_its_modules_are_loaded():
    import research
    from research import indicators, parameter_sweep, trial_records

    assert research.sweep is parameter_sweep.sweep
    assert research.trials is trial_records.trials
    assert research.indicator is indicators.indicator
    assert {"indicator", "sweep", "trials"} <= set(dir(research))
    with pytest.raises(AttributeError, match="no attribute 'sweeps'"):
        _ = research.sweeps


def test_import_of_research_waits_for_no_library():
    code = "import sys, research, research.cli; print({'numpy', 'pandas', 'numba', 'sqlite3'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
