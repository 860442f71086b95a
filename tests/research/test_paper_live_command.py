"""`ladder paper CARD --live` against a rehearsal exchange that is a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data import load_sample
from data.errors import ValidationError
from engine import Result, paper
from engine.live.journal import Journal
from research.cli import app
from research.strategy_card import read_card
from tests.engine.live.on_paper import Begun, assert_same

LADDER = Path(sys.executable).with_name("ladder")
START = 3_000
CARD = """
[strategy]
name = "SmaCross"
[strategy.parameters]
fast = 3
slow = 10
weight = 0.9
[market]
symbols = ["BTC/USD", "ETH/USD"]
timeframe = "30m"
[account]
cash = 5000
[venue]
amount_step = 0.001
price_tick = 0.01
[exits]
stop_loss = 0.01
[risk]
max_gross = 0.8
"""


@pytest.fixture
def url() -> Iterator[str]:
    """A rehearsal exchange that replays the sample."""
    options = ["--start", str(START), "--amount-step", "0.001", "--price-tick", "0.01"]
    command = [sys.executable, "-m", "engine.rehearsal.serve", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(process.stdout.readline())["rest_url"]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "cross.toml"
    path.write_text(CARD)
    return path


def ladder(*words: object, code: int = 0) -> str:
    told = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    assert told.exit_code == code, told.output
    return told.output


class Bars(threading.Thread):
    """Moves the exchange on by a bar whenever the run in a journal has done its last one, so many times."""

    def __init__(self, url: str, journal: Path, count: int, run: str = "cross") -> None:
        super().__init__(daemon=True)
        self.url, self.journal, self.count, self.name_of_run = url, journal, count, run
        self.start()

    def run(self) -> None:
        while (last := self.done()) is None:
            time.sleep(0.005)
        for _ in range(self.count):
            request = urllib.request.Request(f"{self.url}/rehearsal/advance", method="POST")
            urllib.request.urlopen(request, timeout=5).close()
            while (now := self.done()) == last:
                time.sleep(0.005)
            last = now

    def done(self) -> int | None:
        with suppress(ValidationError), closing(Journal.reading(self.journal)) as book:
            return book.last_bar_done(self.name_of_run)
        return None


def test_card_is_traded_on_live_prices_and_gone_on_with(url: str, card: Path, tmp_path: Path) -> None:
    journal, out = tmp_path / "paper.sqlite", tmp_path / "run.parquet"
    live = ["paper", card, "--live", "--journal", journal, "--rehearsal", url]
    bars = Bars(url, journal, 12)
    text = ladder(*live, "--turns", 12, "--out", out)
    bars.join(10)
    assert "no order leaves, no key is used" in text and "ended by           --turns 12" in text
    assert text.count(" cross: equity ") == 12 and "goes at the open +" in text
    assert f"wrote {out}" in text

    bars = Bars(url, journal, 10)
    words = [LADDER, *map(str, live), "--out", str(out)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    bars.join(60)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 0, text
    assert "(goes on)" in text and "ended by           SIGTERM" in text and "22 of 30m, 10 of them" in text
    assert "what it holds it keeps, on paper" in text
    assert "the run was stopped (SIGTERM) and stays so" in ladder(*live, code=1)
    assert "stopped" in ladder("live", "status", journal)

    given, market = read_card(card), load_sample(["BTC/USD", "ETH/USD"])
    when = market.index[START]
    wanted = paper(Begun(given.made(), when), market.iloc(0, START + 22), **given.terms()).since(when)
    result = Result.read_parquet(out)
    assert len(result.orders) >= 3 and result.broker == "paper live"
    assert_same(result, wanted)


def test_what_is_missing_or_too_much_is_said(card: Path, tmp_path: Path) -> None:
    live, journal = ("paper", card, "--live"), ("--journal", tmp_path / "paper.sqlite")
    assert "Name a file with --journal" in ladder(*live, code=1)
    assert "add --live" in ladder("paper", card, *journal, code=1)
    assert "is no card" in ladder("paper", "SmaCross", "--live", *journal, code=1)
    assert "--fee beside a card" in ladder(*live, *journal, "--fee", "0.1", code=1)
    assert "no rehearsal exchange answers there" in ladder(*live, *journal, "--rehearsal", "http://127.0.0.1:9", code=1)
    assert not (tmp_path / "paper.sqlite").exists()
    assert "No such option" in ladder("backtest", card, "--live", code=2)
