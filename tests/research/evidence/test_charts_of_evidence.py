"""What the paper rung's evidence keeps for the page: every chart of it can be drawn, and says what its figure says."""

from __future__ import annotations

import pytest

from engine import Costs, backtest
from reports.promotion.catalogue import CATALOGUE
from reports.promotion.judging import Verdict, gate
from reports.promotion.verdict_charts import chart_of, growth_of
from reports.promotion.verdict_document import verdict_json
from research import sweep
from research.evidence import paper_evidence
from research.evidence.planted import CoinFlips, SignalFollower, planted_market

COSTS = Costs(fee=0.0005, slippage=0.0002)
WITHOUT = {"causality", "parity", "days", "turnover"}  # whose figure says it all


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    market, record = planted_market(1, edge=0.08, bars=3_000), tmp_path_factory.mktemp("trials") / "t.sqlite"
    sweep(SignalFollower, {"threshold": [0.1, 0.3, 0.5]}, market, costs=COSTS, record=record, progress=False)
    bot = backtest(CoinFlips(77_777), market, costs=COSTS)
    return gate(paper_evidence(SignalFollower(), market, baseline=bot, costs=COSTS, record=record))


def test_every_figure_that_a_picture_helps_has_one(verdict) -> None:
    checks = {check["name"]: check for check in verdict_json(verdict)["checks"]}
    strategy = growth_of(checks["drawdown"], "strategy")
    drawn = {name for name, check in checks.items() if chart_of(check, strategy) is not None}
    assert drawn == {check.name for check in CATALOGUE["paper"]} - WITHOUT


def test_charts_say_what_the_figures_say(verdict) -> None:
    found = {one.check.name: one.measured for one in verdict.checks}
    assert -min(found["drawdown"].chart["depth"]) == pytest.approx(found["drawdown"].value)
    assert sum(found["trades"].chart.values()) == found["trades"].value
    assert found["double_costs"].chart["2x"] == found["double_costs"].value
    assert found["late_fills"].chart["1 late"] / found["late_fills"].chart["on time"] == found["late_fills"].value
    bell = found["probabilistic_sharpe"].chart
    assert bell["estimate"] == pytest.approx(verdict.evidence.figures["stats"]["sharpe"], rel=1e-6)
    costs = found["break_even"].chart
    assert costs["x"] == sorted(costs["x"]) and costs["y"] == sorted(costs["y"], reverse=True)
    assert costs["x"][0] == 1.0 and found["break_even"].value in costs["x"]
    low, middle, high = found["better_than_baseline"].chart["interval"]
    assert low < middle < high
