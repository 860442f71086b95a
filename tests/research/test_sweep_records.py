"""Every trial is recorded: what was tried, on which data, when; whatever ends the sweep."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import Market, ValidationError, load_sample
from engine import Costs, Exits, RiskLimits, Venue
from research import sweep, trials
from research.strategies import SmaCross
from research.trial_records import default_record, source_digest, sweeps

BEGAN = pd.Timestamp.now("UTC")


@pytest.fixture(scope="module")
def month() -> Market:
    return load_sample(["BTC/USD", "ETH/USD"]).loc["2018-03-01":"2018-03-31"]


@dataclass(frozen=True)
class Breaks(SmaCross):
    """Raises once `fast` is 7, as a strategy with a defect does, or a person who has seen enough."""

    error: type[BaseException] = RuntimeError

    def targets(self, market: Market) -> pd.DataFrame:
        if self.fast == 7:
            raise self.error("enough")
        return super().targets(market)


def test_each_set_is_recorded_with_its_figures_or_the_reason(month, record):
    result = sweep(SmaCross, {"fast": [5, 60], "slow": [50, 100]}, month)
    table = trials()
    assert result.record == record == default_record()
    assert table["sweep"].tolist() == [1] * 4
    assert table["trial"].tolist() == [0, 1, 2, 3]
    assert table["parameters"].tolist() == [
        {"fast": 5, "slow": 50},
        {"fast": 5, "slow": 100},
        {"fast": 60, "slow": 50},
        {"fast": 60, "slow": 100},
    ]
    assert table["skipped"].dropna().to_dict() == {2: "SmaCross: fast 60 must be below slow 50"}
    assert table["strategy"].unique().tolist() == ["research.strategies.sma.SmaCross"]
    assert table["data"].unique().tolist() == [month.fingerprint()]
    assert table["symbols"].iloc[0] == ("BTC/USD", "ETH/USD")
    assert (table["first_bar"].iloc[0], table["last_bar"].iloc[0]) == (month.index[0], month.index[-1])
    assert BEGAN <= table["at"].iloc[0] <= pd.Timestamp.now("UTC")
    ran = table.set_index("trial").drop(index=2)
    for name in result.table.columns.difference(["fast", "slow"]):
        kept, seen = ran[name], result.table.sort_index()[name]
        pd.testing.assert_series_equal(
            kept, seen, check_dtype=False, check_index=False, check_exact=True, check_names=False
        )


def test_sweep_is_recorded_with_its_terms_its_code_and_its_versions(month):
    terms = {
        "costs": Costs(fee=(0.0, 0.001)),
        "venue": {"BTC/USD": Venue(amount_step=0.01), "ETH/USD": Venue()},
        "risk": RiskLimits(max_gross=0.5),
    }
    exits = [None, Exits(time_limit=pd.Timedelta("1D"))]
    sweep(SmaCross, {"exits": exits}, month, fixed={"fast": 5}, cash=500.0, metric="calmar", **terms)
    row = sweeps().iloc[0]
    assert row["grid"] == {
        "exits": [None, {**dict.fromkeys(["stop_loss", "take_profit", "trailing"]), "time_limit": "1 days 00:00:00"}]
    }
    assert row["fixed"] == {"fast": 5}
    assert (row["metric"], row["cash"], row["planned"], row["tried"], row["skipped"]) == ("calmar", 500.0, 2, 2, 0)
    assert row["costs"]["fee"] == [0.0, 0.001]
    assert row["venue"]["BTC/USD"]["amount_step"] == 0.01
    assert row["risk"]["max_gross"] == 0.5
    assert row["order_style"] is None
    assert (row["timeframe"], row["bars"], row["symbols"]) == ("30m", len(month), ["BTC/USD", "ETH/USD"])
    assert row["source"] == source_digest(SmaCross)
    assert row["versions"]["numpy"] == np.__version__
    assert row["stopped_by"] is None


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_what_was_tried_is_recorded_whatever_ends_the_sweep(month, error):
    with pytest.raises(error) as caught:
        sweep(Breaks, {"fast": [3, 60, 5, 7, 9]}, month, fixed={"error": error})
    table = trials()
    assert [given["fast"] for given in table["parameters"]] == [3, 60, 5]
    assert table["skipped"].notna().tolist() == [False, True, False]
    assert table["sharpe"].notna().tolist() == [True, False, True]
    row = sweeps().iloc[0]
    assert (row["planned"], row["tried"], row["skipped"]) == (5, 2, 1)
    assert row["stopped_by"] == f"{error.__name__}: enough"
    if error is RuntimeError:
        assert caught.value.__notes__ == [f"raised by the sweep's set 3: Breaks with {{'error': {error!r}, 'fast': 7}}"]


def test_sets_that_were_all_refused_are_recorded(month):
    with pytest.raises(ValidationError, match="refuses each"):
        sweep(SmaCross, {"fast": [60, 70]}, month)
    assert trials()["skipped"].notna().tolist() == [True, True]


def test_sweeps_add_up_in_one_record(month):
    numbers = [sweep(SmaCross, {"fast": [fast]}, month).number for fast in (3, 5, 8)]
    assert numbers == [1, 2, 3]
    assert trials()["sweep"].tolist() == [1, 2, 3]
    assert len(sweeps()) == 3


def test_record_may_be_another_file(month, tmp_path, record):
    path = tmp_path / "a folder" / "mine.sqlite"
    result = sweep(SmaCross, {"fast": [3]}, month, record=path)
    assert result.record == path
    assert len(trials(path)) == 1
    assert not record.exists()
    assert trials().empty
    assert sweeps().empty
    assert list(trials().columns) == list(trials(path).columns[:12])


def test_record_is_with_the_candles_unless_it_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("LADDER_TRIALS")
    monkeypatch.setenv("LADDER_STORE", str(tmp_path / "candles"))
    assert default_record() == tmp_path / "candles" / "trials.sqlite"
    monkeypatch.delenv("LADDER_STORE")
    assert default_record() == Path("store/trials.sqlite")


def test_record_is_a_file_that_any_sqlite_reads(month, record):
    sweep(SmaCross, {"fast": [3, 5]}, month)
    with sqlite3.connect(record) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        query = (
            "SELECT trial, json_extract(figures, '$.orders') FROM trials WHERE json_extract(parameters, '$.fast') = 5"
        )
        ((trial, orders),) = connection.execute(query).fetchall()
    assert (trial, orders) == (1, trials()["orders"].iloc[1])


def test_figures_that_are_not_defined_are_null(month, record):
    sweep(SmaCross, {"slow": [2_000]}, month)  # no cross at all
    with sqlite3.connect(record) as connection:
        ((text,),) = connection.execute("SELECT figures FROM trials").fetchall()
    assert json.loads(text)["win_rate"] is None
    assert trials()["win_rate"].isna().all()


@pytest.mark.parametrize("content", [b"not a database, by far too short text" * 40, b""])
def test_file_that_is_no_record_is_refused_before_anything_is_tried(month, tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    if content:
        for act in (lambda: sweep(Breaks, {"fast": [7]}, month, record=path), lambda: trials(path)):
            with pytest.raises(ValidationError, match=r"notes\.txt"):
                act()
        assert path.read_bytes() == content
    else:  # an empty file is an empty database
        assert len(sweep(SmaCross, {"fast": [3]}, month, record=path).table) == 1


def test_database_of_something_else_is_refused(month, tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE accounts (name TEXT)")
    connection.close()
    for act in (lambda: sweep(Breaks, {"fast": [7]}, month, record=path), lambda: trials(path)):
        with pytest.raises(ValidationError, match="no record of trials"):
            act()


def test_place_that_cannot_be_written_is_refused_before_anything_is_tried(month, tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "trials.sqlite", tmp_path):
        with pytest.raises(ValidationError, match="record"):
            sweep(Breaks, {"fast": [7]}, month, record=path)
    with pytest.raises(ValidationError, match="no such file"):
        trials(tmp_path / "gone.sqlite")


def test_digest_of_a_strategy_is_that_of_its_source_and_its_bases():
    assert source_digest(SmaCross) == source_digest(SmaCross)
    assert source_digest(Breaks) not in (None, source_digest(SmaCross))
    built = type("Built", (SmaCross,), {})
    assert source_digest(built) is None
