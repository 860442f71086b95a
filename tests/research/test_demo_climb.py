"""The demo's strategy, all the way up the ladder on a rehearsal exchange."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reports.promotion.records import read_record
from reports.promotion.registry import Registry

LADDER = Path(sys.executable).with_name("ladder")


@pytest.mark.slow
def test_the_demo_climbs_and_every_verdict_is_explained(tmp_path) -> None:
    environment = {**os.environ, "COLUMNS": "200", "XDG_STATE_HOME": str(tmp_path / "state")}
    environment.pop("LADDER_ALERTS", None)
    out = tmp_path / "demo"
    run = subprocess.run(
        [LADDER, "demo", "--out", out, "--promote"], capture_output=True, text=True, check=False, env=environment
    )
    assert run.returncode == 0, run.stderr
    told = run.stdout
    assert "the gate says no to paper: better_than_baseline" in told
    assert "the gate says no to live: paper_days, paper_result, alerts, checklist" in told
    assert "Paper decided as the backtest: yes (480 bars" in told and "nowhere else: 48 bars" in told
    events = Registry(out / "climb" / "records").events()
    assert [(one.event, one.rung) for one in events] == [
        ("refused", "paper"), ("promoted", "paper"), ("refused", "live"), ("promoted", "live")
    ]  # fmt: skip
    record = read_record(out / "climb" / "records", events[-1].record)
    assert record.subject["ground"] == "rehearsal" and record.check("rehearsal")["outcome"] == "pass"
    for name in ("verdict-paper", "verdict-live"):
        page = out / "climb" / f"{name}.html"
        document = json.loads(page.with_suffix(".json").read_text())
        assert document["overrides"] and page.stat().st_size < 5_000_000
        assert "http://" not in page.read_text().replace("http://www.w3.org", "")
    again = subprocess.run(
        [LADDER, "status", "--registry", out / "climb" / "records"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert again.returncode == 0 and "QuantileSignal" in again.stdout
