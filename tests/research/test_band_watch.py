"""A live session that leaves its band: it is halted, and its strategy is off the ladder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from data.errors import ValidationError
from engine.live.journal import Journal
from reports import promote
from reports.promotion.climbing import demote, require
from reports.promotion.registry import Registry
from reports.promotion.tracking import Follower, watch_band
from research.band_watch import BandWatch
from research.promoted_card import line_of_card, standing_of, subject_of_card
from research.strategy_card import read_card
from tests.reports.promotion.on_record import hold_engine, verdict_on

LADDER = Path(sys.executable).with_name("ladder")
CARD = """
[strategy]
name = "SmaCross"
[strategy.parameters]
fast = 3
slow = 10
weight = 0.9
[market]
symbols = ["BTC/USD"]
timeframe = "30m"
until = "2018-04-01"
[account]
cash = 5000
[costs]
fee = 0.001
slippage = 0.0
"""


@pytest.fixture
def card(tmp_path, monkeypatch) -> Path:
    """A card that stands on live, by a rehearsal."""
    monkeypatch.setenv("LADDER_RECORDS", str(tmp_path / "kept"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "cross.toml"
    path.write_text(CARD)
    return path


def promoted(card: Path) -> None:
    subject = subject_of_card(read_card(card))
    for rung, more in (("paper", {}), ("live", {"ground": "rehearsal"})):
        promote(verdict_on({**subject, **more}, rung), by="ann")


def watched(card, run: str = "r", **more) -> BandWatch:
    standing = standing_of(card, "live", ground=None)
    return BandWatch(standing, run=run, timeframe="30m", cash=5_000.0, **{"rehearsal": True, **more})


def test_bar_by_bar_it_is_told_as_of_the_whole_record() -> None:
    chance = np.random.default_rng(1)
    import pandas as pd

    index = pd.date_range("2024-01-01", periods=300, freq="1h", tz="UTC")
    other = pd.Series(chance.normal(0.0, 0.005, 300), index)
    live = other + chance.normal(0.0, 2e-4, 300)
    follower = Follower(0.03, "1h")
    for row in range(300):
        seen = follower.add(live.iloc[row], other.iloc[row])
        whole = watch_band(live.iloc[: row + 1], other.iloc[: row + 1], band=0.03, timeframe="1h")
        assert (seen.bars, seen.left) == (whole.bars, whole.left)
        np.testing.assert_allclose([seen.error, seen.gap], [whole.error, whole.gap], rtol=1e-9)


def test_who_leaves_the_band_is_off_the_ladder_once(card, monkeypatch) -> None:
    hold_engine(monkeypatch)
    promoted(card)
    read = read_card(card)
    watch = watched(read)
    assert watch(1, 5_010.0, 5_010.0, False) is None and watch.seen is not None and watch.seen.error != 0.0
    why = watch(2, 4_000.0, 5_010.0, False)
    assert why is not None and "no longer follows its backtest" in why and "taken off the rung live" in why
    assert watch(3, 4_000.0, 5_010.0, False) is None
    event = Registry().events()[-1]
    assert (event.event, event.by, event.line) == ("halted", "ladder", line_of_card(read))
    with pytest.raises(ValidationError, match="was halted by ladder"):
        standing_of(read, "paper")


def test_a_person_who_was_faster_does_not_keep_it_from_ending(card, monkeypatch) -> None:
    hold_engine(monkeypatch)
    promoted(card)
    read = read_card(card)
    watch = watched(read)
    demote(line_of_card(read), by="bob", reason="tired")
    why = watch(1, 4_000.0, 5_000.0, False)
    assert why is not None and "no such strategy stands on a rung" in why


def test_what_was_seen_is_the_promotions_and_one_session_at_a_time_runs_by_it(card, monkeypatch) -> None:
    hold_engine(monkeypatch)
    promoted(card)
    read = read_card(card)
    first = watched(read)
    for bar in range(1, 5):  # 0.3% lost a bar
        assert first(bar, 5_000.0 * 0.997**bar, 5_000.0, False) is None
    with pytest.raises(ValidationError, match="another session trades by the same promotion"):
        watched(read, "other")
    first.close()
    again = watched(read)
    for bar in range(1, 5):
        assert again(bar, 5_000.0 * 0.997**bar, 5_000.0, True) is None
    assert again.seen is None
    assert again(5, 5_000.0 * 0.997**5, 5_000.0, False) is None
    assert again.seen.bars == 5 and again.seen.gap == pytest.approx(-0.015)
    again.close()
    other = watched(read, "another run, on another journal")
    assert other(9, 5_000.0 * 0.997, 5_000.0, False) is None
    assert other.seen.gap == pytest.approx(-0.018)
    why = other(10, 5_000.0 * 0.997 * 0.997, 5_000.0, False)
    assert why is not None and "taken off the rung live" in why
    other.close()


def test_a_band_that_was_left_lets_nothing_begin_though_the_registry_forgot(card, tmp_path, monkeypatch) -> None:
    hold_engine(monkeypatch)
    promoted(card)
    read = read_card(card)
    kept = (tmp_path / "kept" / "registry.sqlite").read_bytes()
    watch = watched(read)
    assert watch(1, 4_000.0, 5_000.0, False)
    watch.close()
    (tmp_path / "kept" / "registry.sqlite").write_bytes(kept)
    with pytest.raises(ValidationError, match="no longer follows its backtest"):
        watched(read)


def test_rows_of_an_earlier_promotion_are_where_the_next_one_starts_from(card, monkeypatch) -> None:
    hold_engine(monkeypatch)
    promoted(card)
    watch = watched(read_card(card))
    assert watch(1, 4_000.0, 5_000.0, True) is None, "an earlier promotion has halted for it"
    assert watch(2, 4_000.0, 5_000.0, False) is None and watch.seen.gap == 0.0
    watch.close()


def test_demoting_reaches_a_session_that_runs(card, monkeypatch) -> None:
    hold_engine(monkeypatch)
    promoted(card)
    read = read_card(card)
    watch = watched(read)
    assert watch(1, 5_000.0, 5_000.0, False) is None
    demote(line_of_card(read), by="bob", reason="tired")
    why = watch(2, 5_000.0, 5_000.0, False)
    assert why is not None and "its promotion is taken back: demoted by bob" in why and "tired" in why
    watch.close()


def test_a_rehearsal_does_not_take_back_a_promotion_for_money(card, monkeypatch) -> None:
    hold_engine(monkeypatch)
    subject = subject_of_card(read_card(card))
    for rung, more in (("paper", {}), ("live", {"ground": "exchange"})):
        promote(verdict_on({**subject, **more}, rung), by="ann")
    read = read_card(card)
    why = watched(read)(1, 4_000.0, 5_000.0, False)
    assert why is not None and "its promotion is of another ground, and stays" in why
    assert standing_of(read, "live").event.event == "promoted"
    watched(read, rehearsal=False).close()


@pytest.mark.parametrize("equity", [float("nan"), 0.0, float("inf")])
def test_what_is_no_number_has_left(card, monkeypatch, equity) -> None:
    hold_engine(monkeypatch)
    promoted(card)
    watch = watched(read_card(card))
    watch(1, equity, 5_000.0, False)
    assert watch.seen.left
    watch.close()


def test_a_promotion_by_rehearsal_is_none_for_money(card, monkeypatch) -> None:
    hold_engine(monkeypatch)
    promoted(card)
    read = read_card(card)
    with pytest.raises(ValidationError, match="ground: was rehearsal, is exchange"):
        require(read.made(), read.bars(), rung="live", exchange="binance", terms=read.terms())


def test_a_session_whose_fills_are_worse_than_promised_is_halted_by_ladder_live(card, tmp_path) -> None:
    """The exchange takes 4% of each fill where the card reckons with 0.1%."""
    promoted(card)
    options = ["--start", "3000", "--amount-step", "0.0001", "--price-tick", "0.01", "--slippage", "0.04"]
    served = [sys.executable, "-m", "engine.rehearsal.serve", *options]
    journal, env = tmp_path / "live.sqlite", dict(os.environ)
    with subprocess.Popen(served, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = json.loads(server.stdout.readline())["rest_url"]
            words = [LADDER, "live", card, "--journal", journal, "--rehearsal", url, "--run", "r"]
            session = subprocess.Popen(
                [str(one) for one in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
            )
            over = threading.Event()
            mover = threading.Thread(target=move, args=(url, journal, over))
            mover.start()
            told, _ = session.communicate(timeout=120)
            over.set()
            mover.join(10)
        finally:
            server.terminate()
    assert session.returncode == 1, told
    assert "halted and taken off the ladder when it leaves" in told and "against paper" in told
    assert "ended by it no longer follows its backtest" in told
    assert Registry(tmp_path / "kept").events()[-1].event == "halted"
    again = subprocess.run(
        [str(one) for one in words], check=False, capture_output=True, text=True, env=env, timeout=60
    )
    assert again.returncode == 2 and "no longer follows its backtest" in again.stderr


def move(url: str, journal: Path, over: threading.Event) -> None:
    """Open the next bar whenever the run has done its last one."""
    last = object()
    while not over.is_set():
        done = None
        with suppress(ValidationError), closing(Journal.reading(journal)) as book:
            done = book.last_bar_done("r")
        if done is not None and done != last:
            last = done
            with suppress(OSError):
                request = urllib.request.Request(f"{url}/rehearsal/advance", method="POST")
                urllib.request.urlopen(request, timeout=5).close()
        time.sleep(0.01)
