"""The command line as a user has it: what it prints, what it writes, how it says no."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data import read_predictions
from engine.result import Result
from research.cli import app

LADDER = Path(sys.executable).with_name("ladder")
COMMANDS = (
    *(
        "demo",
        "backtest",
        "paper",
        "train",
        "rehearse",
        "kill",
        "status",
        "demote",
        "promote",
        "predict",
        "baseline",
        "publish",
        "sweep",
        "trials",
        "parity",
        "compare",
        "tearsheet",
        "strategies",
    ),
    "data",
    "live",
    "alerts",
)
DATA_COMMANDS = ("fetch", "list", "check", "export")
LIVE_COMMANDS = ("run", "status", "reconcile", "reset")
GROUPS = {"data": DATA_COMMANDS, "live": LIVE_COMMANDS, "alerts": ("test",)}
EVERY = [[name] for name in COMMANDS] + [[group, name] for group, names in GROUPS.items() for name in names]
MONTH = ["--symbol", "BTC/USD", "--since", "2018-03-01", "--until", "2018-04-01"]
CROSS = ["SmaCross", "-p", "fast=4", "-p", "slow=24"]


def ladder(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def saved(tmp_path):
    """The same month by both engines, as files."""
    paths = {broker: tmp_path / f"{broker}.parquet" for broker in ("backtest", "paper")}
    for broker, path in paths.items():
        ladder(broker, *CROSS, *MONTH, "--out", path)
    return paths


@pytest.mark.parametrize("words", EVERY)
def test_every_command_has_help_and_those_that_do_something_an_example(words):
    text = ladder(*words, "--help")
    if words != ["data"]:
        assert "Example: ladder " + " ".join(words) in text


def test_no_command_is_missing_from_the_list_above():
    from typer.main import get_command

    group = get_command(app)
    assert set(group.commands) == set(COMMANDS)
    for name, commands in GROUPS.items():
        assert set(group.commands[name].commands) == set(commands)


def test_version_is_that_of_the_package():
    from importlib.metadata import version

    assert ladder("--version").strip() == f"ladder {version('ladder')}"


def test_both_engines_write_results_that_parity_finds_equal(saved):
    one, other = (Result.read_parquet(path) for path in saved.values())
    assert (one.broker, other.broker) == ("backtest", "paper")
    assert len(one.orders) > 10
    assert "the same" in ladder("parity", *saved.values())


def test_parity_of_different_runs_exits_with_1_and_shows_the_first_difference(saved, tmp_path):
    ladder("paper", *CROSS, *MONTH, "--fee", "0.002", "--out", tmp_path / "dear.parquet")
    text = ladder("parity", saved["backtest"], tmp_path / "dear.parquet", code=1)
    assert "DIFFERENT" in text
    assert "first difference" in text


def test_run_takes_its_terms_from_the_options(tmp_path):
    options = ["--cash", "500", "--step", "0.01", "--min-notional", "20", "--shorts", "--leverage", "2", "-t", "1h"]
    ladder("backtest", *CROSS, "-p", "below=-0.5", *MONTH, *options, "--out", tmp_path / "run.parquet")
    run = Result.read_parquet(tmp_path / "run.parquet")
    assert (run.cash, run.timeframe) == (500.0, "1h")
    rules = {"shorts", "leverage", "amount_step", "price_tick", "min_notional"}
    assert {name: value for name, value in run.meta["venue"]["BTC/USD"].items() if name in rules} == {
        "shorts": True,
        "leverage": 2.0,
        "amount_step": 0.01,
        "price_tick": 0.0,
        "min_notional": 20.0,
    }
    assert run.positions.to_numpy().min() < 0.0
    assert run.equity.index[0].isoformat() == "2018-03-01T00:00:00+00:00"
    assert run.equity.index[-1].isoformat() == "2018-03-31T23:00:00+00:00"


def test_tearsheet_and_comparison_are_written_from_saved_results(saved, tmp_path):
    page, side = tmp_path / "page.html", tmp_path / "side.html"
    ladder("tearsheet", saved["backtest"], "--parity", saved["paper"], "--out", page)
    assert "SmaCross(fast=4, slow=24" in page.read_text()
    text = ladder("compare", *saved.values(), "--out", side)
    assert "Sharpe ratio" in text
    assert "backtest" in side.read_text()
    ladder("backtest", *CROSS, *MONTH, "--tearsheet", tmp_path / "direct.html")
    assert (tmp_path / "direct.html").stat().st_size > 100_000


def test_strategy_may_live_in_a_file_of_the_user(tmp_path):
    code = """
from dataclasses import dataclass
import pandas as pd
from engine import Strategy

@dataclass(frozen=True)
class Hold(Strategy):
    weight: float = 1.0
    warmup: int = 1
    def targets(self, market):
        return pd.DataFrame(self.weight, index=market.index, columns=list(market.symbols)).where(market.close.notna())
"""
    (tmp_path / "mine.py").write_text(code)
    ladder("backtest", f"{tmp_path / 'mine.py'}:Hold", "-p", "weight=0.5", *MONTH, "-o", tmp_path / "hold.parquet")
    assert Result.read_parquet(tmp_path / "hold.parquet").name == "Hold(weight=0.5, warmup=1)"


def test_candles_may_come_from_a_file_and_from_the_store(tmp_path):
    from data import Store, load_sample

    month = load_sample(["BTC/USD"]).loc["2018-03-01":"2018-03-31"]
    candles = month.close.rename(columns={"BTC/USD": "close"}).assign(
        **{name: month[name]["BTC/USD"] for name in ("open", "high", "low", "volume")}
    )
    Store(tmp_path / "store").append("bitfinex", "BTC/USD", "30m", candles)
    candles.rename_axis("timestamp").to_csv(tmp_path / "btc.csv")
    named = ["--symbol", "BTC/USD", "-t", "30m"]
    ladder("backtest", *CROSS, "--data", tmp_path / "btc.csv", *named, "-o", tmp_path / "file.parquet")
    shelf = ["--data", "bitfinex", "--store", tmp_path / "store"]
    ladder("backtest", *CROSS, *shelf, *named, "-o", tmp_path / "store.parquet")
    ladder("backtest", *CROSS, *MONTH, "-o", tmp_path / "sample.parquet")
    runs = [Result.read_parquet(tmp_path / f"{name}.parquet") for name in ("file", "store", "sample")]
    assert len({run.meta["data"] for run in runs}) == 1
    assert runs[0].equity.equals(runs[1].equity)
    assert runs[0].equity.equals(runs[2].equity)


LOOKS_AHEAD = """
from dataclasses import dataclass
from engine import Strategy

@dataclass(frozen=True)
class Tomorrow(Strategy):
    warmup: int = 1
    def targets(self, market):
        rises = market.close.shift(-1) > market.close
        return rises.astype(float).where(market.close.notna())
"""


def test_backtest_stops_at_a_strategy_that_knows_the_future_unless_told_not_to_look(tmp_path):
    (tmp_path / "ahead.py").write_text(LOOKS_AHEAD)
    words = ["backtest", f"{tmp_path / 'ahead.py'}:Tomorrow", *MONTH]
    text = ladder(*words, "--out", tmp_path / "run.parquet", code=1)
    assert "looks ahead" in text
    assert not (tmp_path / "run.parquet").exists()
    ladder(*words, "--causality", "off", "--out", tmp_path / "run.parquet")
    assert (tmp_path / "run.parquet").exists()


def test_thorough_search_for_the_future_shows_its_report():
    assert "no row changes" in ladder("backtest", *CROSS, *MONTH, "--causality", "thorough")


BAD = {
    "a strategy that is not there": (["backtest", "SmaCros", *MONTH], "did you mean SmaCross?"),
    "a parameter that is not there": (["backtest", "SmaCross", "-p", "fst=3"], "did you mean fast?"),
    "a parameter without a value": (["backtest", "SmaCross", "-p", "fast"], "write key=value"),
    "a parameter given twice": (["backtest", "SmaCross", "-p", "fast=3", "-p", "fast=4"], "given twice"),
    "a value the strategy refuses": (["paper", "SmaCross", "-p", "fast=30", "-p", "slow=20"], "below slow 20"),
    "a module that is not there": (["backtest", "nowhere.at.all:Thing"], "cannot be imported"),
    "a class that is not there": (["backtest", "research.strategies:Thing"], "holds no 'Thing'"),
    "a class without its module": (["backtest", ":Thing"], "write module:Class or file.py:Class"),
    "a class that is no strategy": (["backtest", "data.market:Market"], "is no strategy"),
    "a file that is not there": (["backtest", "gone.py:Thing"], "gone.py: no such file"),
    "a symbol that is not there": (["backtest", *CROSS, "-s", "DOGE/USD"], "unknown symbol"),
    "a span without bars": (["backtest", *CROSS, "--since", "2030-01-01"], "no bar from 2030-01-01"),
    "a file without its symbol": (["backtest", *CROSS, "--data", "x.csv"], "name --symbol and --timeframe"),
    "a short on spot": (["backtest", *CROSS, "-p", "below=-1", *MONTH], "the venue is spot"),
    "a fee that is no fraction": (["backtest", *CROSS, "--fee", "10", *MONTH], "must be a fraction of notional"),
    "no cash": (["paper", *CROSS, "--cash", "0", *MONTH], "cash 0.0 must be a positive amount"),
    "a result that is not there": (["parity", "a.parquet", "b.parquet"], "a.parquet: cannot be read as a Result"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_in_one_message_without_a_traceback(case):
    words, message = BAD[case]
    text = ladder(*words, code=1)
    assert message in text
    assert text.startswith("ladder: ")
    assert "Traceback" not in text


def test_folder_in_the_place_of_a_file_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("research.cli.run.market_from", lambda *_: pytest.fail("it ran"))
    result = tmp_path / "run.parquet"
    for words in (
        ["backtest", *CROSS, *MONTH, "--out", tmp_path],
        ["paper", *CROSS, *MONTH, "--tearsheet", tmp_path],
        ["compare", result, "--out", tmp_path],
        ["tearsheet", result, "--out", tmp_path],
    ):
        assert "is a directory" in ladder(*words, code=2)


def test_page_never_replaces_a_result_it_is_made_from(saved):
    run = saved["backtest"]
    for command in ("tearsheet", "compare"):
        assert "which the page would replace" in ladder(command, run, "--out", run, code=1)
    assert Result.read_parquet(run).broker == "backtest"


def test_demo_refuses_a_file_in_the_place_of_its_folder(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    assert "is a file" in ladder("demo", "--out", path, code=2)


def test_the_installed_command_reports_an_error_on_stderr_and_exits_with_1():
    run = subprocess.run([LADDER, "backtest", "Nothing"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("ladder: strategy 'Nothing'")


def test_demo_leaves_page_and_results_and_prints_where(tmp_path):
    environment = {**os.environ, "COLUMNS": "160"}
    run = subprocess.run(
        [LADDER, "demo", "--out", tmp_path / "demo"], capture_output=True, text=True, check=False, env=environment
    )
    assert run.returncode == 0, run.stderr
    page = tmp_path / "demo" / "tearsheet.html"
    assert str(page) in run.stdout
    assert "Parity of backtest and paper: the same" in run.stdout
    assert "fill timing" in run.stdout and "fill timing" in page.read_text()
    assert "the Hummingbot baseline" in page.read_text()
    assert "Buying equal parts and holding them returned" in page.read_text()
    forecasts = read_predictions(tmp_path / "demo" / "forecasts.parquet", "30m")
    assert len(forecasts) > 80_000 and len(forecasts.symbols) == 5
    names = ("backtest", "paper", "holding", "hummingbot", "equal-terms")
    kept = {name: Result.read_parquet(tmp_path / "demo" / f"{name}.parquet") for name in names}
    assert len({result.cash for result in kept.values()}) == 1
    assert len(kept["holding"].orders) == 5
    assert all(len(kept[name].orders) > 100 for name in ("backtest", "hummingbot", "equal-terms"))
    # What was traded was known: no order before the first forecast could be acted on.
    assert kept["backtest"].orders["decided_at"].min() >= forecasts.table["made_on"].min()
    report = (tmp_path / "demo" / "forecasts.html").read_text()
    assert str(tmp_path / "demo" / "forecasts.html") in run.stdout
    assert "pinball loss is" in report and "pinball loss is" in run.stdout
