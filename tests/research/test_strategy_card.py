"""A strategy's card: what it says is what runs, and what it cannot say is told by section and key."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from data import ValidationError, load_sample
from engine import Costs, Exits, RiskLimits, Venue, backtest
from engine.result import Result
from research.cli import app
from research.strategies import SmaCross
from research.strategy_card import read_card
from tests.forecast_fields import with_made_forecasts

CARD = """
[strategy]
name = "SmaCross"
[strategy.parameters]
fast = 12
slow = 48
[market]
symbols = ["BTC/USD", "ETH/USD"]
timeframe = "30m"
since = "2018-01-01"
until = "2018-04-01"
[account]
cash = 5000
[costs]
fee = 0.002
maker_fee = 0.001
[venue]
amount_step = 0.001
min_notional = 10
[risk]
max_position = 0.6
max_orders_per_minute = 10
max_data_age = "45min"
[exits]
stop_loss = 0.05
trailing = [0.06, 0.03]
time_limit = "7D"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "strategy.toml"
    path.write_text(text)
    return path


def test_card_is_the_run_that_it_describes(tmp_path: Path) -> None:
    card = read_card(write(tmp_path, CARD))
    exits = Exits(0.05, None, (0.06, 0.03), pd.Timedelta("7D"))
    assert card.made() == SmaCross(12, 48, exits=exits)
    terms = card.terms()
    assert terms == {
        "cash": 5_000.0,
        "costs": Costs(fee=(0.001, 0.002), slippage=0.0005),
        "venue": Venue(amount_step=0.001, min_notional=10.0),
        "risk": RiskLimits(max_position=0.6, max_orders_per_minute=10, max_data_age=pd.Timedelta("45min")),
    }
    out = tmp_path / "run.parquet"
    told = CliRunner().invoke(app, ["backtest", str(tmp_path / "strategy.toml"), "-o", str(out)])
    assert told.exit_code == 0, told.output
    market = load_sample(["BTC/USD", "ETH/USD"])
    market = market.iloc(
        int(market.index.searchsorted(pd.Timestamp("2018-01-01", tz="UTC"))),
        int(market.index.searchsorted(pd.Timestamp("2018-04-01", tz="UTC"))),
    )
    wanted = backtest(card.made(), market, **terms)
    pd.testing.assert_series_equal(Result.read_parquet(out).equity, wanted.equity, check_freq=False)


def test_forecasts_and_a_strategys_file_lie_beside_the_card(tmp_path: Path) -> None:
    market = with_made_forecasts(load_sample(["BTC/USD"]).loc["2018-01-01":"2018-01-31"])
    table = pd.DataFrame({name: market[name]["BTC/USD"] for name in ("q10", "q50", "q90")}).dropna()
    table.to_parquet(tmp_path / "forecasts.parquet")
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom research.strategies import QuantileSignal\n"
        "@dataclass(frozen=True)\nclass Mine(QuantileSignal):\n    window: int = 48\n"
    )
    text = """
        [strategy]
        name = "mine.py:Mine"
        [strategy.parameters]
        cost = 0.001
        [market]
        symbols = ["BTC/USD"]
        timeframe = "30m"
        since = "2018-01-01"
        until = "2018-02-01"
        [account]
        cash = 1000
        [venue]
        shorts = true
        [forecasts]
        predictions = "forecasts.parquet"
    """
    card = read_card(write(tmp_path, text))
    assert type(card.made()).__name__ == "Mine" and card.made().window == 48
    bars = card.bars()
    assert bars["q50"].notna().sum().sum() > 500
    assert len(backtest(card.made(), bars, **card.terms()).orders) > 20


BAD = {
    "no TOML": ("fast = = 3", "no TOML"),
    "unknown section": (CARD + "[riks]\nmax_gross = 1\n", r"\[riks\]: is no key of a card"),
    "unknown key": (CARD.replace("fee = 0.002", "fees = 0.002"), r"\[costs\] fees: is no key of a card"),
    "missing": (CARD.replace("cash = 5000", ""), r"\[account\] cash: is missing"),
    "out of range": (
        CARD.replace("cash = 5000", "cash = -5"),
        r"\[account\] cash -5.0: Input should be greater than 0",
    ),
    "wrong kind": (CARD.replace("fee = 0.002", 'fee = "low"'), r"\[costs\] fee 'low': Input should be a valid number"),
    "no symbol": (CARD.replace('["BTC/USD", "ETH/USD"]', "[]"), r"\[market\] symbols \[\]"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_wrong_card_is_told_by_file_section_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=rf"strategy.toml: .*{message}"):
        read_card(write(tmp_path, text))


def test_parameters_and_figures_are_checked_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"\[strategy.parameters\] fats: SmaCross has fast, slow"):
        read_card(write(tmp_path, CARD.replace("fast = 12", "fats = 12"))).made()
    with pytest.raises(ValidationError, match="fast 60 must be below slow 48"):
        read_card(write(tmp_path, CARD.replace("fast = 12", "fast = 60"))).made()
    with pytest.raises(ValidationError, match=r"stop_loss 1.5 must be below 1"):
        read_card(write(tmp_path, CARD.replace("stop_loss = 0.05", "stop_loss = 1.5"))).made()
    with pytest.raises(ValidationError, match=r"\[exits\] time_limit 'soon': write it as"):
        read_card(write(tmp_path, CARD.replace('"7D"', '"soon"'))).made()
    with pytest.raises(ValidationError, match=r"max_position 0.0 must be positive"):
        read_card(write(tmp_path, CARD.replace("max_position = 0.6", "max_position = 0"))).terms()
    with pytest.raises(ValidationError, match=r"nowhere.toml: cannot be read"):
        read_card(tmp_path / "nowhere.toml")


def test_options_beside_a_card_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, CARD)
    told = CliRunner().invoke(app, ["paper", str(path), "--fee", "0.1", "--shorts"], env={"COLUMNS": "200"})
    assert told.exit_code == 1
    assert "--fee, --shorts beside a card, which says so itself; change the card" in told.output
