"""`ladder status` and `ladder demote`, and a card held against its promotion."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from data import ValidationError
from engine.live.permission import PermissionDeniedError, Terms, require_promotion
from reports import promote
from reports.promotion.registry import Registry
from research.cli import app
from research.promoted_card import line_of_card, paper_standing, promotion_of, standing_of, subject_of_card
from research.strategy_card import read_card
from tests.reports.promotion.on_record import hold_engine, verdict_on

CARD = """
[strategy]
name = "SmaCross"
[strategy.parameters]
fast = 12
slow = 48
[market]
exchange = "bitfinex"
symbols = ["BTC/USD"]
timeframe = "1h"
until = "2018-04-01"
[account]
cash = 5000
[risk]
max_position = 0.5
"""
TERMS = Terms("btc-1", "bitfinex", ["BTC/USD"], 5_000.0, "USD", "SmaCross")


def ladder(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "220"})
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def card(tmp_path, monkeypatch) -> Path:
    """A card that stands on live."""
    monkeypatch.setenv("LADDER_RECORDS", str(tmp_path / "kept"))
    hold_engine(monkeypatch)
    path = tmp_path / "strategy.toml"
    path.write_text(CARD)
    subject = subject_of_card(read_card(path))
    for rung in ("paper", "live"):
        promote(verdict_on(subject, rung), by="ann")
    return path


def test_status_of_an_empty_ladder_says_where_it_looked(tmp_path) -> None:
    assert str(tmp_path / "none") in ladder("status", "--registry", tmp_path / "none").replace("\n", "")


def test_status_shows_rung_time_person_and_figures_then_and_now(card) -> None:
    text = ladder("status")
    assert "SmaCross(fast=12, slow=48" in text and "live" in text and "ann" in text
    assert "Sharpe ratio 1.25 / –" in text and "Closed trades 40 / –" in text
    text = ladder("status", "--card", card)
    assert "1.25 / –" not in text and "Sharpe ratio 1.25 / " in text


def test_status_of_a_card_that_changed_says_what_and_exits_with_1(card) -> None:
    card.write_text(CARD.replace("max_position = 0.5", "max_position = 0.6"))
    assert "terms: risk.max_position: was 0.5, is 0.6" in ladder("status", "--card", card, code=1)


def test_status_of_an_edited_record_exits_with_1(card) -> None:
    event = Registry().events()[-1]
    (Registry().folder / f"{event.record}.json").write_text("{}")
    text = ladder("status", code=1)
    assert "RECORD BROKEN" in text and "it has been edited" in text


def test_bars_that_are_fetched_later_are_no_difference(card) -> None:
    later = card.with_name("later.toml")
    later.write_text(CARD.replace("2018-04-01", "2018-05-01"))
    assert standing_of(read_card(later), "live").event.rung == "live"
    later.write_text(CARD.replace("2018-04-01", "2018-03-01"))
    assert "data" in ladder("status", "--card", later, code=1)


def test_demote_by_card_or_line_and_what_it_says(card) -> None:
    text = ladder("demote", card, "--reason", "the fees rose", "--by", "cid")
    assert "no longer on live" in text and "cid: the fees rose" in text
    assert "demoted: the fees rose" in ladder("status")
    line = line_of_card(read_card(card))
    assert "no such strategy stands on a rung" in ladder("demote", line, "--reason", "again", code=1)
    promote(verdict_on(subject_of_card(read_card(card))), by="ann")
    assert "no longer on paper" in ladder("demote", line[:6], "--reason", "again")
    assert "@" in Registry().events()[-1].by  # the user of this machine


def test_demote_asks_for_a_reason(card) -> None:
    assert "--reason" in ladder("demote", card, code=2)


def test_a_promotion_to_live_is_a_permission_and_a_change_denies_it_by_name(card) -> None:
    permission = require_promotion(TERMS, promotion_of(read_card(card)))
    event = Registry().events()[-1]
    assert (permission.kind, permission.who, permission.digest) == ("promotion", "ann", TERMS.digest)
    assert permission.detail["record"] == event.record
    card.write_text(CARD.replace("slow = 48", "slow = 49"))
    with pytest.raises(PermissionDeniedError, match="parameter slow: was 48, is 49"):
        require_promotion(TERMS, promotion_of(read_card(card)))
    ladder("demote", event.line, "--reason", "tired")
    card.write_text(CARD)
    with pytest.raises(PermissionDeniedError, match="was demoted by"):
        require_promotion(TERMS, promotion_of(read_card(card)))


def test_paper_asks_for_its_rung_or_a_persons_word(card) -> None:
    assert paper_standing(read_card(card), accepted=False)[0].startswith("stands on live since")
    card.write_text(CARD.replace("cash = 5000", "cash = 6000"))
    with pytest.raises(ValidationError, match=r"(?s)terms: cash: was 5000.0, is 6000.0.*--i-accept-unpromoted"):
        paper_standing(read_card(card), accepted=False)
    assert "cash: was 5000.0" in paper_standing(read_card(card), accepted=True)[0]
