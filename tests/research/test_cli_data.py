"""`ladder data` as a user has it: candles fetched from an exchange on this machine, listed, checked and written out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from data import Store, read_candles
from research.cli import app
from tests.data.exchange import Exchange, make_bars, rows, status

LADDER = Path(sys.executable).with_name("ladder")
KEY = ("binance", "BTC/USDT", "1h")
BARS = make_bars(240, missing=(100, 101))


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(BARS, now=BARS.index[-1] + pd.Timedelta("30min"), page=100) as running:
        yield running


class Desk:
    """A folder with settings that lead to the exchange, and a store."""

    def __init__(self, folder: Path, exchange: Exchange) -> None:
        self.exchange, self.store = exchange, Store(folder / "store")
        self.settings = folder / "settings.json"
        self.settings.write_text(json.dumps(exchange.settings("binance", rateLimit=1)))

    def run(self, *words: str | Path, code: int = 0) -> str:
        arguments = ["data", *map(str, words), "--store", str(self.store.root)]
        result = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
        assert result.exit_code == code, result.output
        return result.output

    def fetch(self, *words: str, code: int = 0) -> str:
        return self.run("fetch", *KEY, "--ccxt", self.settings, *words, code=code)


@pytest.fixture
def desk(tmp_path: Path, exchange: Exchange) -> Desk:
    return Desk(tmp_path, exchange)


@pytest.fixture
def stocked(desk: Desk) -> Desk:
    desk.fetch("--since", "2024-01-01")
    return desk


def test_fetch_brings_the_candles_and_says_what_it_did(desk: Desk) -> None:
    text = desk.fetch("--since", "2024-01-01", "--until", "2024-01-05")
    assert "96 bars added" in text and "no gap" in text
    text = desk.fetch()
    assert "141 bars added" in text
    assert "binance BTC/USDT: 2 bars missing between 2024-01-05 03:00+00:00 and 2024-01-05 06:00+00:00" in text
    pd.testing.assert_frame_equal(desk.store.read(*KEY), desk.exchange.closed(), check_freq=False)
    assert "0 bars added" in desk.fetch()


def test_the_installed_command_fetches_with_a_progress_bar_beside_the_report(tmp_path: Path, desk: Desk) -> None:
    command = [str(LADDER), "data", "fetch", *KEY, "--since", "2024-01-01", "--ccxt", str(desk.settings)]
    environment = {**os.environ, "LADDER_STORE": str(desk.store.root), "COLUMNS": "120"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("237 bars added\nbinance BTC/USDT 1h: 237 bars, no rule broken, 2 bars missing")
    assert "239/239 bars" in done.stderr
    assert len(desk.store.read(*KEY)) == 237


def test_a_fetch_that_fails_says_why_in_one_message_and_exits_with_1(desk: Desk) -> None:
    desk.exchange.fail(None, status(451, "not from here"))
    text = desk.fetch("--since", "2024-01-01", code=1)
    assert "the exchange refused (ExchangeNotAvailable" in text and "Traceback" not in text
    assert len(desk.store.read(*KEY)) == 100
    assert "137 bars added" in desk.fetch()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fetch", "binanse", "BTC/USDT", "1h"], "did you mean binance"),
        (["fetch", "binance", "BTC/USDT", "7h"], "binance has no timeframe 7h"),
        (["fetch", *KEY, "--ccxt", "none.json"], "none.json: cannot be read as JSON"),
        (["check"], "does not hold anything; see what it holds: ladder data list"),
        (["export", *KEY, "x.csv"], "is not in the store"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_mend(desk: Desk, words: list[str], said: str) -> None:
    text = " ".join(desk.run(*words, code=1).split())
    assert said in text and "Traceback" not in text


def test_an_unknown_symbol_is_said_with_the_ones_there_are(desk: Desk) -> None:
    text = desk.run("fetch", "binance", "BTC/USD", "1h", "--since", "2024-01-01", "--ccxt", desk.settings, code=1)
    assert "binance has no symbol 'BTC/USD'; did you mean BTC/USDT" in text


def test_an_invalid_bar_stops_a_fetch_and_drop_invalid_goes_on(desk: Desk) -> None:
    spoil = rows(lambda answer: [[*bar[:5], "-1", *bar[6:]] if at == 3 else bar for at, bar in enumerate(answer)])
    desk.exchange.fail(spoil)
    text = desk.fetch("--since", "2024-01-01", code=1)
    assert "binance BTC/USDT bar 2024-01-01 03:00+00:00: volume is -1.0" in text and "--drop-invalid" in text
    desk.exchange.fail(spoil)
    text = desk.fetch("--since", "2024-01-01", "--drop-invalid")
    assert "236 bars added" in text and "left out for breaking a rule" in text


def test_replace_takes_what_the_exchange_says_now(stocked: Desk) -> None:
    stocked.exchange.bars = make_bars(240)
    try:
        assert "0 bars added" in stocked.fetch()
        assert "2 bars added" in stocked.fetch("--replace")
        pd.testing.assert_frame_equal(stocked.store.read(*KEY), stocked.exchange.closed(), check_freq=False)
    finally:
        stocked.exchange.bars = BARS


def test_list_has_a_line_for_each_series_and_says_when_there_is_none(desk: Desk) -> None:
    assert "is empty; ladder data fetch binance" in desk.run("list")
    desk.fetch("--since", "2024-01-01")
    desk.store.append("okx", "BTC/USDT:USDT", "30m", make_bars(10, step="30min"))
    lines = desk.run("list").splitlines()
    (first,) = (line for line in lines if "binance" in line)
    assert [cell.strip() for cell in first.strip("│").split("│")] == [
        *KEY,
        "2024-01-01 00:00",
        "2024-01-10 22:00",
        "237",
        "0.0",
    ]
    assert sum("okx" in line and "BTC/USDT:USDT" in line and "30m" in line for line in lines) == 1


def test_a_list_that_is_piped_on_keeps_a_series_in_a_line(stocked: Desk) -> None:
    command = [str(LADDER), "data", "list", "--store", str(stocked.store.root)]
    environment = {**os.environ, "COLUMNS": "40"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=environment)
    (line,) = (line for line in done.stdout.splitlines() if "binance" in line)
    assert "BTC/USDT" in line and "2024-01-10 22:00" in line


def test_check_reports_gaps_as_no_fault(stocked: Desk) -> None:
    for words in ([], [*KEY], ["binance"]):
        text = stocked.run("check", *words)
        assert "binance BTC/USDT 1h: 237 bars, no rule broken, 2 bars missing in 1 gap" in text


def test_check_exits_with_1_where_a_stored_bar_breaks_a_rule_and_all_prints_each(stocked: Desk) -> None:
    (part, *_) = sorted(stocked.store.folder(*KEY).glob("*.parquet"))
    table = pd.read_parquet(part)
    table.loc[10:17, "volume"] = -1.0
    table.to_parquet(part, index=False)
    text = stocked.run("check", code=1)
    assert "binance BTC/USDT bar 2024-01-01 10:00+00:00: volume is -1.0 (rule: volume >= 0)" in text
    assert "... and 3 more" in text
    text = stocked.run("check", "--all", code=1)
    assert text.count("volume is -1.0") == 8 and "more" not in text


@pytest.mark.parametrize("name", ["btc.csv", "btc.csv.gz", "btc.parquet", "btc.feather"])
def test_an_export_is_read_back_as_it_is_stored(stocked: Desk, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert f"wrote {path}" in stocked.run("export", *KEY, path, "--since", "2024-01-03").replace("\n", "")
    expected = stocked.store.read(*KEY, since="2024-01-03")
    pd.testing.assert_frame_equal(read_candles(path, timeframe="1h"), expected, check_exact=True, check_freq=False)


def test_an_export_has_iso_times_in_utc_first(stocked: Desk, tmp_path: Path) -> None:
    stocked.run("export", *KEY, tmp_path / "btc.csv")
    header, first = (tmp_path / "btc.csv").read_text().splitlines()[:2]
    assert header == "timestamp,open,high,low,close,volume"
    assert first.startswith("2024-01-01 00:00:00Z,42000,")
