"""`ladder baseline`: a bot's own file, on the bundled candles."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from engine.result import Result
from research.cli import app

FILE = """
id: my_bot
controller_type: directional_trading
controller_name: {name}
connector_name: binance_perpetual
trading_pair: BTC-USD
total_amount_quote: 1000
leverage: 5
time_limit: 14400
"""
SPAN = ["-s", "BTC/USD", "--since", "2018-03-01", "--until", "2018-05-01"]


def ladder(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def controller(tmp_path):
    def write(name="bollinger_v1", body="interval: 30m\nbb_length: 20\n"):
        path = tmp_path / "controller.yml"
        path.write_text(FILE.format(name=name) + body)
        return path

    return write


def test_it_shows_hummingbots_figures_and_the_steps_and_writes_both_results(controller, tmp_path):
    out = tmp_path / "made" / "baseline"
    text = ladder("baseline", controller(), *SPAN, "--out", out)
    assert "Without effect in Hummingbot's backtest: leverage." in text
    for word in ("total_executors", "as Hummingbot computes it", "marking", "costs", "fill timing", "compounding"):
        assert word in text
    own, ours = (Result.read_parquet(out / f"{name}.parquet") for name in ("hummingbot", "equal-terms"))
    executors = pd.read_parquet(out / "executors.parquet")
    assert own.cash == ours.cash == 1_000.0 and len(executors) > 50
    assert own.equity.iloc[-1] == pytest.approx(1_000.0 + executors["pnl"].sum())
    assert (ours.orders["filled_at"] > ours.orders["decided_at"]).all()
    assert "equal-terms.parquet" in ladder(
        "compare",
        out / "hummingbot.parquet",
        "-b",
        out / "equal-terms.parquet",
        "-o",
        tmp_path / "equal-terms.parquet.html",
    )


def test_a_livestream_bot_trades_the_signal_of_a_strategy(controller):
    path = controller("ai_livestream", "")
    assert "name whose signal with --strategy" in ladder("baseline", path, *SPAN, code=1)
    text = ladder("baseline", path, *SPAN, "--strategy", "SmaCross", "-p", "fast=4", "-p", "slow=24", "--spot")
    assert "BaselineRun(ai_livestream" in text
    assert "leave it out" in ladder("baseline", controller(), *SPAN, "--strategy", "SmaCross", code=1)


def test_what_would_be_another_baseline_is_refused(controller):
    assert "interval '3m', the bars are of '30m'" in ladder("baseline", controller(body=""), *SPAN, code=1)
    assert "no such key" in ladder("baseline", controller(body="bb_lenght: 3\n"), *SPAN, code=1)
    assert "the venue is spot" in ladder("baseline", controller(), *SPAN, "--spot", code=1)


def test_check_says_what_is_missing_where_there_is_no_python_for_the_real_one(controller, monkeypatch, tmp_path):
    monkeypatch.setenv("LADDER_PYTHON312", str(tmp_path / "none"))
    monkeypatch.setenv("LADDER_HUMMINGBOT", str(tmp_path / "environments"))
    text = ladder("baseline", controller(), *SPAN, "--check", code=1)
    assert "Python 3.12" in text or "LADDER_PYTHON312" in text
