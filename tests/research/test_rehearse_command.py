"""`ladder rehearse` from a card to its verdict."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

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
