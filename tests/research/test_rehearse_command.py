"""`ladder rehearse` from a card to its verdict."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from data import load_sample
from engine.live.journal import Journal
from research.cli import app

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
since = "2018-01-01"
until = "2018-01-10"
[account]
cash = 5000
[venue]
amount_step = 0.0001
price_tick = 0.00000001
min_notional = 10
"""


def ladder(*words: object, code: int = 0) -> str:
    told = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    assert told.exit_code == code, told.output
    return told.output


def test_rehearsal_of_a_card_ends_with_its_verdict_and_keeps_its_journal(tmp_path: Path) -> None:
    card, journal = tmp_path / "strategy.toml", tmp_path / "journal.sqlite"
    card.write_text(CARD)
    text = ladder("rehearse", card, "--faults", "none", "--bars", 60, "--journal", journal)
    assert "all holds" in text and "faults injected    0: none" in text and "all of them" in text
    with Journal.reading(journal) as kept:
        assert len(kept.orders("rehearsal")) >= 3
    assert "is there already" in ladder("rehearse", card, "--journal", journal, code=1)


def test_faults_are_told_one_by_one(tmp_path: Path) -> None:
    card = tmp_path / "strategy.toml"
    card.write_text(CARD)
    text = ladder("rehearse", card, "--faults", "heavy", "--seed", 7, "--bars", 25)
    assert "all holds" in text and "duplicate" in text


def test_venue_without_a_step_is_refused(tmp_path: Path) -> None:
    card = tmp_path / "strategy.toml"
    card.write_text(CARD.replace("amount_step = 0.0001\n", ""))
    assert "the step of the exchange's amounts" in ladder("rehearse", card, "--bars", 10, code=1)


def test_card_of_a_perpetual_is_rehearsed_long_and_short_on_bybits_dialect(tmp_path: Path) -> None:
    card, journal = tmp_path / "strategy.toml", tmp_path / "journal.sqlite"
    bars = load_sample(["BTC/USD"]).iloc(2_900, 3_000)
    names = ("open", "high", "low", "close", "volume")
    frame = pd.DataFrame({name: bars[name]["BTC/USD"] for name in names}).rename_axis("time").reset_index()
    frame.to_csv(tmp_path / "bars.csv", index=False)
    perpetual = CARD.replace('symbols = ["BTC/USD", "ETH/USD"]', 'symbols = ["BTC/USDT:USDT"]\ndata = "bars.csv"')
    perpetual = perpetual.replace('since = "2018-01-01"\nuntil = "2018-01-10"\n', 'exchange = "bybit"\n')
    perpetual = perpetual.replace("weight = 0.9", "weight = 0.9\nbelow = -0.9")
    card.write_text(f"{perpetual}shorts = true\nleverage = 2.0\n[exits]\nstop_loss = 0.01\ntake_profit = 0.02\n")
    text = ladder("rehearse", card, "--faults", "none", "--bars", 60, "--journal", journal)
    assert "all holds" in text and "all of them" in text
    with Journal.reading(journal) as kept:
        assert {order.side for order in kept.orders("rehearsal") if order.leg == "target"} == {"buy", "sell"}
        assert min(kept.rebuild("rehearsal").realised) == "BTC/USDT:USDT"
    spot = card.read_text().replace("shorts = true\nleverage = 2.0\n", "")
    card.write_text(spot.replace("below = -0.9", "below = 0.0"))
    assert "say shorts=True" in ladder("rehearse", card, "--bars", 10, code=1)
