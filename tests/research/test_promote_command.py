"""`ladder promote`, from a card to a record that `ladder paper --live` asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.errors import ValidationError
from engine import Costs, backtest
from research.cli import app
from research.evidence.planted import CoinFlips, planted_market
from research.promoted_card import standing_of
from research.strategy_card import read_card
from tests.reports.promotion.on_record import hold_engine

STRATEGY = '''
from dataclasses import dataclass
import pandas as pd
from engine import Strategy


@dataclass(frozen=True)
class Weekly(Strategy):
    """Long while the last week rose."""

    bars: int = 72
    weight: float = 0.5

    @property
    def warmup(self):
        return self.bars + 1

    def targets(self, market):
        rising = market.close > market.close.shift(self.bars)
        return rising.astype(float) * self.weight
'''
CARD = """
[strategy]
name = "weekly.py:Weekly"
[market]
symbols = ["BTC/USDT"]
timeframe = "1h"
data = "bars.parquet"
[account]
cash = 5000
[costs]
fee = 0.0005
slippage = 0.0002
"""


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A folder with a strategy, its bars, its card and a baseline; nothing of the machine's own is touched."""
    monkeypatch.setenv("LADDER_RECORDS", str(tmp_path / "kept"))
    monkeypatch.setenv("LADDER_TRIALS", str(tmp_path / "trials.sqlite"))
    hold_engine(monkeypatch)
    market = planted_market(3, bars=4_500)
    bars = {name: market[name]["BTC/USDT"] for name in ("open", "high", "low", "close", "volume")}
    import pandas as pd

    pd.DataFrame(bars).to_parquet(tmp_path / "bars.parquet")
    backtest(CoinFlips(9), market, cash=5_000.0, costs=Costs(fee=0.02)).to_parquet(tmp_path / "bot.parquet")
    (tmp_path / "weekly.py").write_text(STRATEGY)
    (tmp_path / "card.toml").write_text(CARD)
    (tmp_path / "easy.toml").write_text(
        "[paper]\ntrades = 1\ndays = 30\nout_of_sample = -99\nprobabilistic_sharpe = 0\ndeflated_sharpe = 0\n"
        "overfitting = 1\nbetter_than_baseline = 0\nbetter_than_holding = 0\ndrawdown = 1\ndouble_costs = -99\n"
        "break_even = 0\nregimes = 0\ntrade_order = 1\n"
    )
    return tmp_path


def ladder(*arguments: object, code: int) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.output


def test_a_strategy_without_skill_stays_where_it_is_and_is_told_why(desk) -> None:
    page = desk / "verdict.html"
    told = ladder("promote", desk / "card.toml", "--baseline", desk / "bot.parquet", "--out", page, code=3)
    assert "may not climb to paper" in told and "not promoted to paper" in told
    document = json.loads(page.with_suffix(".json").read_text())
    assert document["passed"] is False and page.stat().st_size < 5_000_000
    with pytest.raises(ValidationError):
        standing_of(read_card(desk / "card.toml"), "paper")
    assert "no strategy is on the ladder" in ladder("status", code=0)


def test_what_passes_or_is_overridden_by_name_and_reason_is_promoted_and_bound(desk) -> None:
    card, page = desk / "card.toml", desk / "verdict.html"
    asked = ("--policy", desk / "easy.toml", "--out", page, "--by", "ada")
    ladder("promote", card, *asked, code=3)
    document = json.loads(page.with_suffix(".json").read_text())
    open_checks = [one["name"] for one in document["checks"] if one["outcome"] != "pass"]
    assert "better_than_baseline" in open_checks and "causality" not in open_checks
    decided = [part for name in open_checks for part in ("--override", f"{name}=seen, and accepted")]
    told = ladder("promote", card, *asked, *decided, code=0)
    assert "promoted to paper by ada" in told and "overridden" in told
    assert standing_of(read_card(card), "paper").event.by == "ada"
    (desk / "weekly.py").write_text(STRATEGY.replace("last week", "last weeks"))
    with pytest.raises(ValidationError, match="weekly"):
        standing_of(read_card(card), "paper")


def test_overrides_that_may_not_be_are_refused(desk) -> None:
    wrong = ladder("promote", desk / "card.toml", "--override", "drawdown", code=1)
    assert "CHECK=REASON" in wrong
