"""Records and their registry: whole or not there, and whatever is edited, removed or added by hand shows."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import ValidationError
from reports import demote, keep_verdict, promote
from reports.promotion.catalogue import CATALOGUE
from reports.promotion.evidence import Measured
from reports.promotion.judging import Override
from reports.promotion.records import made, read_record, verdict_of, write_record
from reports.promotion.registry import Adding, Registry, default_folder
from tests.reports.promotion.on_record import plain_subject, verdict_on

ROOT = Path(__file__).resolve().parents[3]


def promoted(folder, **changed):
    return promote(verdict_on(plain_subject(**changed)), folder, by="ann")


def test_record_is_a_file_named_by_its_hash_with_all_that_was_judged(tmp_path):
    override = Override("turnover", "bob", "the fees are rebated")
    verdict = verdict_on(plain_subject(), overrides=(override,), turnover=Measured(9_999.0), years=Measured(0.5, "so"))
    record = promote(verdict, tmp_path, by="ann")
    (file,) = tmp_path.glob("*.json")
    assert file.name == f"{record.digest}.json"
    told = json.loads(file.read_bytes())
    assert told["subject"]["data"] == "data 1" and told["subject"]["policy"] == verdict.policy.digest
    assert [one["check"]["name"] for one in told["checks"]] == [check.name for check in CATALOGUE["paper"]]
    turnover = record.check("turnover")
    assert (turnover["value"], turnover["threshold"], turnover["outcome"]) == (9_999.0, 2_000.0, "fail")
    assert turnover["override"] == {"check": "turnover", "by": "bob", "reason": "the fees are rebated"}
    assert told["policy"]["paper"]["trades"] == 50 and told["figures"]["stats"]["sharpe"] == 1.25
    assert (told["by"], told["passed"], told["rung"]) == ("ann", True, "paper")
    assert {"ladder", "numpy", "python"} <= set(told["versions"])
    (event,) = Registry(tmp_path).events()
    assert (event.event, event.record, event.by) == ("promoted", record.digest, "ann")
    assert event.reason == "bob overrode turnover: the fees are rebated"


def test_verdict_comes_back_from_its_file_as_it_was_given(tmp_path):
    verdict = verdict_on(
        plain_subject(),
        drawdown=Measured(math.inf, "no profit", {"stormy": math.nan, "days": ["a", "b"], "growth": [1.0, -math.inf]}),
    )
    record = keep_verdict(verdict, tmp_path, by="ann")
    again = verdict_of(read_record(tmp_path, record.digest))
    assert str(again) == str(verdict) and again.passed is verdict.passed is False
    assert again.policy == verdict.policy
    assert [one.check for one in again.checks] == [one.check for one in verdict.checks]
    chart = again.of("drawdown").measured.chart
    assert list(chart) == ["stormy", "days", "growth"] and math.isnan(chart["stormy"])
    assert chart["growth"] == [1.0, -math.inf] and chart["days"] == ["a", "b"]
    assert math.isinf(again.of("drawdown").measured.value or 0.0)
    assert made(again, "ann", record.at).content == record.content


@settings(max_examples=30)
@given(st.floats(0.0, 1e6), st.text(), st.dictionaries(st.text(), st.floats() | st.lists(st.floats())))
def test_any_figure_survives_its_record(tmp_path_factory, value, told, chart):
    record = made(verdict_on(plain_subject(), turnover=Measured(value, told, chart)), "ann", "now")
    folder = tmp_path_factory.mktemp("records")
    write_record(folder, record)
    again = read_record(folder, record.digest)
    assert again == record
    measured = verdict_of(again).of("turnover").measured
    assert (measured.value, measured.told) == (value, told)
    assert repr(measured.chart) == repr(chart)


def test_a_verdict_that_did_not_pass_is_refused_by_the_names_of_its_checks_and_can_be_kept(tmp_path):
    verdict = verdict_on(plain_subject(), trades=Measured(3.0), years=Measured(None, "too short"))
    with pytest.raises(ValidationError, match=r"(?s)in its way:\n  trades: 3, asked: at least 50\n  years: too short"):
        promote(verdict, tmp_path, by="ann")
    assert not any(tmp_path.iterdir())
    record = keep_verdict(verdict, tmp_path, by="ann")
    book = Registry(tmp_path)
    assert [(one.event, one.reason) for one in book.events()] == [("refused", "in its way: trades, years")]
    assert book.standings() == {} and not read_record(tmp_path, record.digest).passed
    with pytest.raises(ValidationError, match="promote it"):
        keep_verdict(verdict_on(plain_subject()), tmp_path, by="ann")


def test_a_refusal_leaves_a_standing_as_it_is(tmp_path):
    record = promoted(tmp_path)
    keep_verdict(verdict_on(plain_subject(), trades=Measured(0.0)), tmp_path, by="ann")
    assert [one.record for one in Registry(tmp_path).standings().values()] == [record.digest]


def test_a_verdict_made_by_hand_is_no_verdict(tmp_path):
    from dataclasses import replace

    verdict = verdict_on(plain_subject(), trades=Measured(3.0))
    forged = replace(verdict, checks=tuple(one for one in verdict.checks if one.check.name != "trades"))
    assert forged.passed
    with pytest.raises(ValidationError, match="not what the gate makes of its evidence"):
        promote(forged, tmp_path, by="ann")


def test_nobody_and_an_unnamed_subject_are_refused(tmp_path):
    with pytest.raises(ValidationError, match="who promotes"):
        promote(verdict_on(plain_subject()), tmp_path, by=" ")
    with pytest.raises(ValidationError, match=r"\(lock, engine missing\)"):
        promote(verdict_on(plain_subject(lock="", engine="")), tmp_path, by="ann")


@pytest.mark.parametrize("change", ["byte", "gone", "other"])
def test_a_record_that_was_edited_or_removed_is_detected(tmp_path, change):
    record = promoted(tmp_path)
    file = tmp_path / f"{record.digest}.json"
    if change == "byte":
        file.write_bytes(file.read_bytes().replace(b'"sharpe":1.25', b'"sharpe":2.25'))
    elif change == "gone":
        file.unlink()
    else:
        file.write_bytes((tmp_path / f"{promoted(tmp_path, data='other').digest}.json").read_bytes())
    told = r"\.json: is gone" if change == "gone" else r"\.json: it has been edited"
    with pytest.raises(ValidationError, match=told):
        read_record(tmp_path, record.digest)


def by_hand(folder, statement, *values):
    """Change the registry as somebody with sqlite3 would, who has found the triggers."""
    connection = sqlite3.connect(folder / "registry.sqlite")
    for verb in ("update", "delete"):
        connection.execute(f"DROP TRIGGER IF EXISTS events_no_{verb}")
    with connection:
        connection.execute(statement, values)
    connection.close()


COLUMNS = ("at", "event", "line", "strategy", "label", "rung", "record", "by", "reason", "previous", "digest")


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", [1, 2, 3])
def test_a_row_edited_by_hand_is_detected(tmp_path, column, row):
    line = promoted(tmp_path).line
    demote(line, tmp_path, by="ann", reason="tired")
    promoted(tmp_path)
    by_hand(tmp_path, f"UPDATE events SET {column} = {column} || 'x' WHERE id = ?", row)
    with pytest.raises(ValidationError, match=f"row {row} .*has been altered"):
        Registry(tmp_path).events()


@pytest.mark.parametrize(("row", "told"), [(1, "row 1 is gone"), (2, "row 2 is gone"), (3, "rows after 2 are gone")])
def test_a_row_deleted_by_hand_is_detected(tmp_path, row, told):
    promoted(tmp_path)
    promoted(tmp_path, data="2")
    demote(promoted(tmp_path, exchange="bybit").line, tmp_path, by="ann", reason="tired")
    by_hand(tmp_path, "DELETE FROM events WHERE id = 4")
    with pytest.raises(ValidationError, match="rows after 3 are gone"):
        Registry(tmp_path).events()
    by_hand(tmp_path, "UPDATE sqlite_sequence SET seq = 3")
    by_hand(tmp_path, "DELETE FROM events WHERE id = ?", row)
    with pytest.raises(ValidationError, match=told):
        Registry(tmp_path).events()


def test_a_row_put_in_by_hand_is_detected_and_nothing_is_added_to_a_broken_chain(tmp_path):
    promoted(tmp_path)
    by_hand(tmp_path, f"INSERT INTO events ({', '.join(COLUMNS)}) SELECT {', '.join(COLUMNS)} FROM events")
    with pytest.raises(ValidationError, match=r"row 2 .*has been altered"):
        promoted(tmp_path)


def test_rows_are_only_added(tmp_path):
    promoted(tmp_path)
    connection = sqlite3.connect(tmp_path / "registry.sqlite")
    for statement in ("UPDATE events SET by = 'eve'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="only added to"):
            connection.execute(statement)
    connection.close()


def test_another_file_is_no_registry(tmp_path):
    sqlite3.connect(tmp_path / "registry.sqlite").execute("CREATE TABLE trials (id)").connection.close()
    for ask in (Registry(tmp_path).events, lambda: promoted(tmp_path)):
        with pytest.raises(ValidationError, match="it is no registry of promotions"):
            ask()
    (tmp_path / "registry.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(ValidationError, match="not a database"):
        Registry(tmp_path).events()


def test_a_promotion_that_dies_before_its_row_leaves_nothing_that_counts(tmp_path, monkeypatch):
    def dies(self, event):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Adding, "add", dies)
        with pytest.raises(KeyboardInterrupt):
            promoted(tmp_path)
    assert Registry(tmp_path).events() == []
    record = promoted(tmp_path)
    assert [one.record for one in Registry(tmp_path).events()] == [record.digest]


def test_default_folder_is_the_environments_else_in_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("LADDER_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("LADDER_RECORDS", raising=False)
    assert default_folder() == tmp_path / "store" / "records"
    monkeypatch.setenv("LADDER_RECORDS", str(tmp_path / "kept"))
    promote(verdict_on(plain_subject()), by="ann")
    assert (tmp_path / "kept" / "registry.sqlite").is_file()


def test_two_processes_that_promote_at_once_lose_nothing(tmp_path):
    code = """
import sys, time
from pathlib import Path
from reports import promote
from tests.reports.promotion.on_record import plain_subject, verdict_on
folder, who = Path(sys.argv[1]), sys.argv[2]
(folder / f"{who}.ready").touch()
while len(list(folder.glob("*.ready"))) < 2:
    time.sleep(0.005)
for number in range(15):
    promote(verdict_on(plain_subject(data=f"{who} {number}")), folder / "records", by=who)
    time.sleep(0.02)
"""
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), who], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for who in ("ann", "bob")
    ]
    for run in runs:
        _, told = run.communicate(timeout=120)
        assert run.returncode == 0, told
    events = Registry(tmp_path / "records").events()
    assert sorted(one.by for one in events) == ["ann"] * 15 + ["bob"] * 15
    times = {who: [one.at for one in events if one.by == who] for who in ("ann", "bob")}
    assert times["ann"][0] < times["bob"][-1] and times["bob"][0] < times["ann"][-1]  # at once, indeed
    for one in events:
        assert read_record(tmp_path / "records", one.record).by == one.by
    assert not list((tmp_path / "records").glob(".*.tmp"))
