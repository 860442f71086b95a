"""`ladder live` on a real exchange, under a promotion: what was hashed and has changed since is named, and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from reports import promote
from reports.promotion.registry import Registry
from research.promoted_card import subject_of_card
from research.strategy_card import read_card
from tests.reports.promotion.on_record import LOCK, hold_engine, verdict_on
from tests.research.test_paper_live_command import ladder
from tests.research.test_promote_to_live import CARD, STRATEGY, write_desk


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A card that stands on live, for a real account, and keys of nobody."""
    monkeypatch.setenv("LADDER_RECORDS", str(tmp_path / "kept"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("KEY", "SECRET"):
        monkeypatch.setenv(f"LADDER_BINANCE_{name}", "k" * 64)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing reaches a real exchange from here
    hold_engine(monkeypatch)
    (tmp_path / "requirements.lock").write_text(LOCK)
    monkeypatch.setattr("reports.promotion.subject.default_lock", lambda: tmp_path / "requirements.lock")
    write_desk(tmp_path)
    subject = subject_of_card(read_card(tmp_path / "card.toml"))
    for rung, more in (("paper", {}), ("live", {"ground": "exchange"})):
        promote(verdict_on({**subject, **more}, rung), by="ann")
    return tmp_path


def live(desk: Path, code: int = 2) -> str:
    return ladder("live", desk / "card.toml", "--journal", desk / "j.sqlite", "--run", "r", code=code)


def one_bar_otherwise(desk: Path) -> None:
    bars = pd.read_parquet(desk / "bars.parquet")
    bars.iloc[100, bars.columns.get_loc("volume")] += 1e-9
    bars.to_parquet(desk / "bars.parquet")


def a_record_edited(desk: Path) -> None:
    path = Registry().folder / f"{Registry().events()[-1].record}.json"
    path.write_text(path.read_text().replace('"by":"ann"', '"by":"bob"'))


CHANGES = {
    "a byte of the strategy": (lambda desk: (desk / "swing.py").write_text(STRATEGY + "#"), "swing.py has changed"),
    "a parameter": (
        lambda desk: (desk / "card.toml").write_text(
            CARD.replace("[market]", "[strategy.parameters]\nbars = 5\n[market]")
        ),
        "parameter bars: was 4, is 5",
    ),
    "a limit": (
        lambda desk: (desk / "card.toml").write_text(CARD.replace("max_gross = 0.6", "max_gross = 0.7")),
        "risk.max_gross: was 0.6, is 0.7",
    ),
    "a bar of the data": (one_bar_otherwise, "the bars that were judged have changed: BTC/USDT volume"),
    "the lock": (
        lambda desk: (desk / "requirements.lock").write_text(LOCK.replace("2.4.0", "2.4.1")),
        "numpy was 2.4.0, is 2.4.1",
    ),
    "a byte of the lock": (lambda desk: (desk / "requirements.lock").write_text(LOCK + " "), "requirements.lock: "),
    "the record": (a_record_edited, "it has been edited"),
}


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_what_has_changed_is_named_and_nothing_is_traded(desk, change) -> None:
    alter, told = CHANGES[change]
    alter(desk)
    assert told in " ".join(live(desk).split())
    assert not (desk / "j.sqlite").exists()


def test_as_it_was_promoted_it_goes_on_to_the_exchange(desk) -> None:
    told = live(desk, code=1)  # which cannot be reached from here
    assert "halted and taken off the ladder when it leaves a tracking error of 2.00% a year" in told
    assert json.dumps("k" * 64) not in told
