"""What runs is what was promoted: up by a verdict, down by a person or a halt, and whatever changed is named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from data import ValidationError
from reports import Measured, demote, keep_verdict, promote
from reports.promotion.climbing import halt, require, status
from reports.promotion.policy import PaperPolicy, Policy
from reports.promotion.records import read_record
from reports.promotion.registry import Registry
from tests.reports.promotion.on_record import (
    TERMS,
    bars,
    hold_engine,
    plain_subject,
    strategy_of,
    subject_on,
    verdict_on,
    write_desk,
)
from tests.reports.promotion.test_promotion_records import by_hand

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A strategy on paper."""
    monkeypatch.syspath_prepend(tmp_path)
    hold_engine(monkeypatch)
    write_desk(tmp_path)
    promote(
        verdict_on(subject_on(strategy_of(tmp_path / "breakout.py"), bars(), tmp_path)), tmp_path / "kept", by="ann"
    )
    return tmp_path


def may_run(desk, rung="paper", market=None, exchange="binance", terms=TERMS, policy=None, **parameters):
    return require(
        strategy_of(desk / "breakout.py", **parameters),
        bars() if market is None else market,
        rung=rung,
        exchange=exchange,
        terms=terms,
        policy=policy,
        registry=desk / "kept",
        lock=desk / "requirements.lock",
    )


def refused(desk, **asked) -> str:
    with pytest.raises(ValidationError) as caught:
        may_run(desk, **asked)
    return str(caught.value)


def line_in(desk) -> str:
    return Registry(desk / "kept").events()[-1].line


def climb(desk, market=None) -> None:
    subject = subject_on(strategy_of(desk / "breakout.py"), bars() if market is None else market, desk)
    promote(verdict_on(subject, "live"), desk / "kept", by="bob")


def test_what_was_promoted_may_run_on_its_rung_and_the_one_below(desk):
    assert may_run(desk).event.by == "ann"
    assert "stands on paper" in refused(desk, rung="live")
    climb(desk)
    assert may_run(desk, rung="live").record.rung == "live"
    assert may_run(desk, rung="paper").event.by == "bob"


def test_what_was_never_promoted_may_not(desk):
    empty = desk / "empty"
    with pytest.raises(ValidationError, match="has no promotion in"):
        require(strategy_of(desk / "breakout.py"), bars(), rung="paper", exchange="binance", registry=empty)
    assert not empty.exists()


def test_a_changed_source_parameter_bar_lock_or_term_is_refused_and_named(desk):
    def once(path, old, new, told):
        text = path.read_text()
        path.write_text(text.replace(old, new, 1))
        message = refused(desk)
        path.write_text(text)
        assert told in message and "promote it again" in message and "by ann" in message
        may_run(desk)

    once(desk / "breakout.py", "weight: float", "weight:  float", "source: breakout.py has changed")
    once(desk / "desk" / "levels.py", "shift(1)", "shift(0)", "source: desk/levels.py has changed")
    once(desk / "requirements.lock", "2.4.0", "2.4.1", "requirements.lock: numpy was 2.4.0, is 2.4.1")
    assert "parameter window: was 24, is 25" in refused(desk, window=25)
    assert "terms: cash: was 10000.0, is 1.0" in refused(desk, terms={**TERMS, "cash": 1.0})
    close = bars().close.copy()
    close.iloc[3, 0] *= 1.0 + 1e-15
    changed = bars().with_fields(close=close)
    assert "data: the bars that were judged have changed: BTC/USDT close" in refused(desk, market=changed)
    assert "exchange: was binance, is bybit" in refused(desk, exchange="bybit")
    assert "symbols: was BTC/USDT, ETH/USDT, is BTC/USDT" in refused(desk, market=bars(symbols=("BTC/USDT",)))
    may_run(desk)


def test_several_changes_are_named_at_once(desk):
    (desk / "requirements.lock").write_text("")
    (desk / "desk" / "levels.py").write_bytes((desk / "desk" / "levels.py").read_bytes() + b"\n")
    told = refused(desk, window=3)
    assert all(what in told for what in ("window", "levels.py", "numpy 2.4.0 is gone"))


def test_bars_that_came_since_are_welcome_and_those_that_are_missing_are_not(desk):
    may_run(desk, market=bars(300))
    assert "data" in refused(desk, market=bars(150))
    assert "there are no bars from 2024-01-01" in refused(desk, market=bars(400).iloc(250, 400))


def test_another_policy_is_named_where_one_is_asked_for(desk):
    may_run(desk, policy=Policy())
    assert "policy paper.days: was 180, is 200" in refused(desk, policy=Policy(paper=PaperPolicy(days=200)))


def test_the_promotion_that_is_nearest_is_the_one_it_is_held_against(desk):
    for window in (30, 60):
        subject = subject_on(strategy_of(desk / "breakout.py", window=window), bars(), desk)
        promote(verdict_on(subject), desk / "kept", by="bob")
    told = refused(desk, window=30, exchange="bybit")
    assert "exchange: was binance, is bybit" in told and "parameter window" not in told


def test_live_is_climbed_from_paper_by_the_very_same(desk):
    other = subject_on(strategy_of(desk / "breakout.py", window=99), bars(), desk)
    with pytest.raises(ValidationError, match="stands on no rung"):
        promote(verdict_on(other, "live"), desk / "kept", by="bob")
    source = desk / "desk" / "levels.py"
    kept = source.read_bytes()
    source.write_bytes(kept + b"\n")
    with pytest.raises(ValidationError, match=r"desk/levels\.py has changed"):
        climb(desk)
    source.write_bytes(kept)
    assert [one.event for one in Registry(desk / "kept").events()] == ["promoted"]
    climb(desk, bars(300))  # on all the bars that there are by then
    may_run(desk, rung="live", market=bars(400))


def test_who_is_demoted_or_halted_climbs_again_from_paper(desk):
    climb(desk)
    line = line_in(desk)
    event = demote(line[:5], desk / "kept", by="cid", reason="the fees rose")
    assert (event.rung, event.standing) == ("live", None)
    for rung in ("paper", "live"):
        assert "was demoted by cid" in refused(desk, rung=rung) and "the fees rose" in refused(desk, rung=rung)
    with pytest.raises(ValidationError, match="stands on no rung"):
        climb(desk)
    promote(verdict_on(subject_on(strategy_of(desk / "breakout.py"), bars(), desk)), desk / "kept", by="ann")
    climb(desk)
    halt(line, desk / "kept", reason="tracking error 9%")
    assert "was halted by ladder" in refused(desk, rung="paper")


def test_to_demote_needs_one_that_stands_and_a_reason(desk):
    line = line_in(desk)
    with pytest.raises(ValidationError, match="needs a name"):
        demote(line, desk / "kept", by="ann", reason=" ")
    for other in ("", "zz", line + "0"):
        with pytest.raises(ValidationError, match=f"no such strategy stands on a rung; there are:\n  {line} Breakout"):
            demote(other, desk / "kept", by="ann", reason="x")
    with pytest.raises(ValidationError, match="nothing was promoted"):
        demote(line, desk / "none", by="ann", reason="x")
    assert not (desk / "none").exists()
    demote(line, desk / "kept", by="ann", reason="x")
    with pytest.raises(ValidationError, match="there are: none"):
        demote(line, desk / "kept", by="ann", reason="x")


def test_an_edited_record_or_registry_lets_nothing_run(desk):
    event = Registry(desk / "kept").events()[-1]
    file = desk / "kept" / f"{event.record}.json"
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b'"window\\":24', b'"window\\":25'))
    assert file.read_bytes() != kept
    assert "it has been edited" in refused(desk)
    file.unlink()
    assert "is gone" in refused(desk)
    file.write_bytes(kept)
    may_run(desk)
    by_hand(desk / "kept", "UPDATE events SET rung = 'live'")
    assert "row 1 (promoted Breakout" in refused(desk, rung="live")


def test_a_record_that_did_not_pass_lets_nothing_run_whatever_the_registry_says(desk):
    subject = subject_on(strategy_of(desk / "breakout.py"), bars(), desk)
    book = Registry(desk / "kept")
    record = keep_verdict(verdict_on(subject, trades=Measured(0.0)), book.folder, by="ann")
    with book.adding() as adding:
        adding.add(replace(book.events()[0], record=record.digest))
    assert f"record {record.digest[:12]}: is not the one of Breakout" in refused(desk)


def test_status_shows_each_strategys_rung_and_figures_then_and_now(desk):
    line = line_in(desk)
    other = promote(verdict_on(plain_subject()), desk / "kept", by="bob").line
    climb(desk)
    demote(other, desk / "kept", by="cid", reason="old")
    table = status(desk / "kept", {line: {"sharpe": 0.5}})
    assert table.index.tolist() == [other, line]
    assert table["rung"].tolist() == [None, "live"]
    assert table["by"].tolist() == ["cid", "bob"]
    assert table.loc[line, "figures_then"]["sharpe"] == 1.25 and table.loc[line, "figures_now"] == {"sharpe": 0.5}
    assert table.loc[line, "strategy"] == "Breakout(window=24, weight=0.5) on binance, BTC/USDT, ETH/USDT 1h"
    assert pd.Timestamp(table.loc[line, "since"]) <= pd.Timestamp.now("UTC")
    assert table["trouble"].tolist() == ["", ""]
    (desk / "kept" / f"{table.loc[line, 'record']}.json").unlink()
    assert "is gone" in status(desk / "kept").loc[line, "trouble"]
    assert len(status(desk / "none")) == 0


def test_the_band_is_in_the_record_of_a_promotion_to_live(desk):
    climb(desk)
    event = Registry(desk / "kept").events()[-1]
    assert read_record(desk / "kept", event.record).check("tracking")["threshold"] == Policy().live.tracking
    with pytest.raises(ValidationError, match="no check 'tracking'"):
        read_record(desk / "kept", Registry(desk / "kept").events()[0].record).check("tracking")


# A copy of Ladder's sources of its own: what changes there is changed for nobody else.
ALTERED = ("engine/rules.py", "data/market.py", "research/strategies/sma.py", "research/strategies/windows.py")
SCRIPT = """
import sys
from pathlib import Path
import reports
root = Path(sys.argv[1])
assert Path(reports.__file__).is_relative_to(root), reports.__file__
from data.errors import ValidationError
from reports import promote, subject_of
from reports.promotion.climbing import require
from research.strategies import SmaCross
from tests.reports.promotion.on_record import bars, verdict_on
strategy, market = SmaCross(5, 20), bars()
promote(verdict_on(subject_of(strategy, market, exchange="binance")), root / "kept", by="ann")
def ask():
    try:
        require(strategy, market, rung="paper", exchange="binance", registry=root / "kept")
    except ValidationError as error:
        return " | ".join(line.strip() for line in str(error).splitlines()[1:-1])
    return "may run"
print(ask())
for name in [*sys.argv[2:], "requirements.lock"]:
    file = root / name
    kept = file.read_bytes()
    file.write_bytes(kept + b"#")
    print(ask())
    file.write_bytes(kept)
(root / "engine" / "extra.py").write_text("")
print(ask())
"""


def test_one_byte_of_ladders_own_files_is_refused_and_named(tmp_path):
    for package in ("data", "engine", "reports", "research"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.parquet"))
    (tmp_path / "tests" / "reports").mkdir(parents=True)
    shutil.copytree(ROOT / "tests" / "reports" / "promotion", tmp_path / "tests" / "reports" / "promotion")
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), *ALTERED]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    engine = [f"engine: {name} has changed" for name in ALTERED[:2]]
    source = [f"source: {name} has changed" for name in ALTERED[2:]]
    *told, lock, extra = run.stdout.splitlines()
    assert told == ["may run", *engine, *source]
    assert lock.startswith("requirements.lock: the lines of ")
    assert extra == "engine: engine/extra.py is new"
