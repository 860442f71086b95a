"""Forecasts and daily values from the shell: joined to a run's bars, or refused with the mend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from data import Predictions, load_sample
from engine.result import Result
from research.cli import app
from tests.forecast_fields import with_made_forecasts

BARS = ["-s", "BTC/USD", "--since", "2018-01-01", "--until", "2018-03-01"]
FAST = ["-p", "window=48", "-p", "adaptive=false", "--causality", "off"]


def ladder(*arguments: object, code: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def forecasts(tmp_path: Path) -> Path:
    market = with_made_forecasts(load_sample(["BTC/USD"]).loc["2018-01-01":"2018-02-28"])
    table = pd.DataFrame({name: market[name]["BTC/USD"] for name in ("q10", "q50", "q90")}).dropna()
    path = tmp_path / "forecasts.parquet"
    table.to_parquet(path)
    return path


def test_backtest_and_paper_trade_forecasts_of_a_file(forecasts: Path, tmp_path: Path) -> None:
    kept = []
    for broker in ("backtest", "paper"):
        out = tmp_path / f"{broker}.parquet"
        told = ladder(broker, "QuantileSignal", *BARS, *FAST, "--shorts", "--predictions", forecasts, "-o", out)
        assert "bars have a forecast" in told.output
        kept.append(Result.read_parquet(out))
    assert len(kept[0].orders) == len(kept[1].orders) > 50


def test_daily_values_tell_the_regimes(forecasts: Path, tmp_path: Path) -> None:
    days = pd.date_range("2017-12-25", "2018-03-01", freq="1D", tz="UTC")
    moods = pd.DataFrame({"fear_greed": np.linspace(5, 95, len(days)), "btc_dominance": 50.0}, index=days)
    moods.to_csv(tmp_path / "moods.csv", index_label="time")
    calm = ["backtest", "QuantileSignal", *BARS, *FAST, "--shorts", "--predictions", forecasts]
    outs = [tmp_path / "plain.parquet", tmp_path / "moody.parquet"]
    ladder(*calm, "-o", outs[0])
    ladder(*calm, "--daily", tmp_path / "moods.csv", "-o", outs[1])
    plain, moody = (Result.read_parquet(out).orders["amount"].sum() for out in outs)
    assert plain != moody


def test_delayed_forecasts_decide_as_much_later(forecasts: Path, tmp_path: Path) -> None:
    decided = []
    for delay, horizon in (("0s", "30m"), ("30m", "1h")):
        out = tmp_path / "run.parquet"
        ladder(
            *("backtest", "QuantileSignal", *BARS, *FAST, "-p", "regimes=false", "-p", "step=0", "--shorts", "-o", out),
            *("--predictions", forecasts, "--delay", delay, "--horizon", horizon),
        )
        times = Result.read_parquet(out).orders["decided_at"]
        decided.append(set(times[(times > pd.Timestamp("2018-01-05", tz="UTC")) & (times < times.max())]))
    later = {time + pd.Timedelta("30min") for time in decided[0]}
    assert len(later) > 100
    assert len(later ^ decided[1]) <= 2  # at the two ends


def test_sweep_goes_over_parameters_of_a_strategy_with_forecasts(forecasts: Path, tmp_path: Path) -> None:
    told = ladder(
        *("sweep", "QuantileSignal", "-p", "cost=0.0,0.001", "-p", "window=48", *BARS, "--shorts"),
        *("--predictions", forecasts, "--record", tmp_path / "trials"),
    )
    assert "0.001" in told.output


def test_file_that_names_its_symbol_and_horizon_is_taken_as_it_is(forecasts: Path, tmp_path: Path) -> None:
    path = tmp_path / "walk.parquet"
    Predictions.from_table(pd.read_parquet(forecasts), "30m", symbol="BTC/USD").to_parquet(path)
    run = ["backtest", "QuantileSignal", *BARS, *FAST, "--shorts", "--predictions", path]
    assert "bars have a forecast" in ladder(*run).output
    for words, name in ((["--horizon", "1h"], "horizon"), (["--delay", "30m"], "delay")):
        told = ladder(*run, *words, code=1).output.replace("\n", " ")
        assert f"walk.parquet: {name} '{words[1]}' is given, and the table has a column" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the market has no field q10, q50, q90; join the forecasts first"),
        (["--delay", "1h"], "--horizon and --delay are about forecasts"),
        (["--predictions", "nowhere.parquet"], "nowhere.parquet: no such file"),
        (["--daily", "nowhere.csv"], "nowhere.csv: no such file"),
    ],
)
def test_what_is_missing_is_told(words: list[str], message: str) -> None:
    told = ladder("backtest", "QuantileSignal", *BARS, "--causality", "off", *words, code=1)
    assert message in told.output.replace("\n", " ")
