"""`ladder promote --to live`: from a promotion to paper, through a paper session and a rehearsal, to a record."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from data.errors import ValidationError
from engine.live.alert_record import record_path, record_test
from engine.live.alerts import Delivery, read_addresses
from engine.live.permission import PermissionDeniedError, Terms, require_promotion
from reports import promote
from reports.promotion.records import read_record
from reports.promotion.registry import Registry
from research.evidence.live_rung import _alerts
from research.evidence.planted import planted_market
from research.promoted_card import promotion_of, standing_of, subject_of_card
from research.strategy_card import read_card
from tests.reports.promotion.on_record import hold_engine, verdict_on
from tests.research.test_paper_live_command import Bars, ladder

STRATEGY = '''
from dataclasses import dataclass
from engine import Exits, Strategy


@dataclass(frozen=True)
class Swing(Strategy):
    """Long while the last bars rose."""

    bars: int = 4
    exits: Exits | None = None

    @property
    def warmup(self):
        return self.bars + 1

    def targets(self, market):
        return (market.close > market.close.shift(self.bars)).astype(float) * 0.5
'''
CARD = """
[strategy]
name = "swing.py:Swing"
[market]
symbols = ["BTC/USDT"]
timeframe = "1h"
data = "bars.parquet"
[account]
cash = 5000
[costs]
fee = 0.001
slippage = 0.0005
[venue]
amount_step = 0.0001
price_tick = 0.01
[exits]
stop_loss = 0.02
[risk]
max_position = 0.6
max_gross = 0.6
max_daily_loss = 0.2
max_drawdown = 0.5
max_data_age = "30min"
price_collar = 0.1
"""
EASY = "[live]\npaper_days = 1\npaper_trades = 2\nrehearsal_bars = 100\nchecklist = 0.5\n"
START = 300
TERMS = Terms("r", "binance", ["BTC/USDT"], 5_000.0, "USDT", "swing.py:Swing", {})


def write_desk(folder: Path) -> None:
    """A strategy, its card, its bars, and the same bars for an exchange."""
    market = planted_market(3, bars=600)
    bars = pd.DataFrame({name: market[name]["BTC/USDT"] for name in ("open", "high", "low", "close", "volume")})
    bars.to_parquet(folder / "bars.parquet")
    bars.assign(symbol="BTC/USDT").reset_index().to_parquet(folder / "exchange.parquet")
    (folder / "swing.py").write_text(STRATEGY)
    (folder / "card.toml").write_text(CARD)
    (folder / "easy.toml").write_text(EASY)


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A strategy that stands on paper, with its card, bars and an easy policy."""
    monkeypatch.setenv("LADDER_RECORDS", str(tmp_path / "kept"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("LADDER_ALERTS", raising=False)
    hold_engine(monkeypatch)
    write_desk(tmp_path)
    promote(verdict_on(subject_of_card(read_card(tmp_path / "card.toml"))), by="ann")
    return tmp_path


@pytest.fixture
def url(desk: Path) -> Iterator[str]:
    """A rehearsal exchange that replays the card's bars."""
    options = ["--market", str(desk / "exchange.parquet"), "--timeframe", "1h", "--start", str(START)]
    options += ["--amount-step", "0.0001", "--price-tick", "0.01"]
    command = [sys.executable, "-m", "engine.rehearsal.serve", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(process.stdout.readline())["rest_url"]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def on_paper(desk: Path, url: str, turns: int = 30, journal: str = "paper.sqlite") -> Path:
    bars = Bars(url, desk / journal, turns, run="card")
    told = ladder(
        "paper", desk / "card.toml", "--live", "--journal", desk / journal, "--rehearsal", url, "--turns", turns
    )
    bars.join(10)
    assert "stands on paper since" in told
    return desk / journal


def outcomes(page: Path) -> dict[str, str]:
    document = json.loads(page.with_suffix(".json").read_text())
    return {one["name"]: one["outcome"] for one in document["checks"]}


@pytest.mark.slow
def test_a_strategy_climbs_to_live_on_a_rehearsal_exchange_and_nowhere_else(desk, url) -> None:
    journal, page, card = on_paper(desk, url), desk / "live.html", desk / "card.toml"
    asked = ["promote", card, "--to", "live", "--paper", journal, "--rehearsal", url, "--policy", desk / "easy.toml"]
    asked += ["--out", page, "--by", "ada"]
    told = ladder(*asked, code=3)
    assert "rehearsed" in told and "may not climb to live" in told
    found = outcomes(page)
    assert [name for name, outcome in found.items() if outcome != "pass"] == ["paper_result", "alerts"], told
    waved = (
        "--override",
        "alerts=nobody is to be woken here",
        "--override",
        "paper_result=the record here has no days",
    )
    told = ladder(*asked, *waved)
    assert "promoted to live on a rehearsal exchange, and nowhere else by ada" in told
    standing = standing_of(read_card(card), "live", ground=None)
    record = read_record(Registry().folder, standing.event.record)
    items = {one["name"]: one["ok"] for one in record.check("checklist")["chart"]["items"]}
    assert items["kill switch"] and items["daily loss limit"] and not items["alerts delivered"]
    assert record.check("tracking")["value"] < 1e-9 and record.check("paper_days")["value"] == 30 / 24
    with pytest.raises(ValidationError, match="ground: was rehearsal, is exchange"):
        standing_of(read_card(card), "live")
    with pytest.raises(PermissionDeniedError, match="ground"):
        require_promotion(TERMS, promotion_of(read_card(card)))


def test_alerts_are_shown_by_a_test_at_the_addresses_that_are_set(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("LADDER_ALERTS", "json://127.0.0.1:9/one")
    assert _alerts().value is None
    record_test(Delivery((("json://127.0.0.1", ""),)), read_addresses())
    assert _alerts().value == 1.0
    monkeypatch.setenv("LADDER_ALERTS", "json://127.0.0.1:9/other")
    assert _alerts().value == 0.0 and "not those that are set now" in _alerts().told
    record_test(Delivery((("json://127.0.0.1", "refused"),)), read_addresses())
    assert _alerts().value == 0.0
    told = json.loads(record_path().read_text())
    told[-1] |= {"time": "2020-01-01T00:00:00+00:00", "taken": 1}
    record_path().write_text(json.dumps(told))
    assert _alerts().value == 0.0 and "days ago" in _alerts().told


def test_without_a_paper_run_nothing_of_it_is_shown(desk) -> None:
    page = desk / "live.html"
    ladder("promote", desk / "card.toml", "--to", "live", "--bars", 20, "--out", page, code=3)
    found = outcomes(page)
    assert {
        found[name] for name in ("paper_days", "paper_decisions", "tracking", "reconciled", "account", "alerts")
    } == {"not shown"}
    assert found["promoted_to_paper"] == found["kill_switch"] == "pass"
    assert found["rehearsal"] == "not shown", "twenty bars show nothing"
    assert found["rehearsal_bars"] == found["checklist"] == "fail"


def test_a_paper_run_of_another_promotion_or_other_terms_is_no_evidence(desk, url) -> None:
    journal, card, page = on_paper(desk, url, 6), desk / "card.toml", desk / "live.html"
    ladder("demote", card, "--reason", "again", "--by", "ann")
    promote(verdict_on(subject_of_card(read_card(card))), by="bob")
    asked = ["promote", card, "--to", "live", "--paper", journal, "--bars", 20, "--out", page]
    told = ladder(*asked, code=3)
    assert outcomes(page)["promoted_to_paper"] == "fail" and "the paper run was begun by another one" in told
    card.write_text(CARD.replace("cash = 5000", "cash = 5500"))
    told = ladder(*asked, code=3)
    assert "cash were 5000.0, are 5500.0" in told and outcomes(page)["reconciled"] == "fail"


def test_options_of_the_other_rung_are_refused(desk) -> None:
    assert "--paper" in ladder("promote", desk / "card.toml", "--paper", desk / "none.sqlite", code=1)
    wrong = ladder("promote", desk / "card.toml", "--to", "live", "--baseline", desk / "bars.parquet", code=1)
    assert "--baseline" in wrong
