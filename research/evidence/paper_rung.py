"""The evidence that a strategy needs to be traded on paper: backtests of it, under what would break a weak one.

    evidence = paper_evidence(strategy, market, baseline=bot.marked, costs=Costs(fee=0.001))
    verdict = gate(evidence)

One backtest is the strategy's record; everything else is measured against it. What was tried before is read from the
record of trials (`research.evidence.tried`), and the sets that were tried are run again here, in a record of their own:
a judgement is no new trial.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from data.errors import ValidationError
from data.market import Market
from engine.brokers import backtest, paper
from engine.causality import check_causality
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.metrics import DAYS_PER_YEAR, daily_returns
from engine.result import Result
from engine.run import lay_ground
from engine.strategy import Strategy, label
from engine.venue import Venue
from reports.holding import hold
from reports.parity_check import parity
from reports.promotion.evidence import Evidence, Measured, missing
from reports.promotion.sharpe_statistics import Moments, deflated_sharpe, least_periods, luck, probabilistic_sharpe
from reports.promotion.superiority import superiority
from research.evidence import measures, stress
from research.evidence.overfitting import overfitting
from research.evidence.tried import Tried, tried_before
from research.walk_forward_plan import WalkForwardPlan
from research.walk_forward_run import walk_forward

_MOST_WALKED: Final = 200  # sets that a walk-forward chooses among
_FOLDS: Final = 6


def paper_evidence(
    strategy: Strategy,
    market: Market,
    *,
    baseline: Result | None = None,
    cash: float = 10_000.0,
    costs: Costs = Costs(),  # noqa: B008  (frozen: one shared default is safe)
    venue: Venue | Mapping[str, Venue] = Venue(),  # noqa: B008
    risk: RiskLimits | None = None,
    record: str | Path | None = None,
    plan: WalkForwardPlan | None = None,
    subject: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Evidence:
    """Measure everything that the gate asks of the paper rung.

    Args:
        strategy: what is to be promoted.
        market: the bars that it is judged on.
        baseline: what the Hummingbot bot would have made of them; without one its check is not shown.
        cash: quote currency.
        costs: that trading is assumed to cost.
        venue: trading rules.
        risk: limits.
        record: of trials; None for the default one.
        plan: of the walk-forward; by default six tests after a first half of the bars.
        subject: what is judged, as hashes; kept for the record.
        say: told what is being measured.

    Raises:
        ValidationError: an input is wrong.
    """
    terms: dict[str, Any] = {"cash": cash, "costs": costs, "venue": venue, "risk": risk}
    ground = lay_ground(market, cash, costs, venue, risk, None)
    found: dict[str, Measured] = {}
    say("Causality: later bars altered and taken away")
    found["causality"] = _causality(strategy, market)
    say("Both brokers over the same bars")
    run = backtest(strategy, market, **terms)
    same = parity(run, paper(strategy, market, **terms))
    found["parity"] = Measured(float(same.ok), "" if same.ok else str(same))
    days = daily_returns(run)
    stats = run.stats()
    sharpe = float(stats["sharpe"])
    found["trades"] = measures.trades(run, stats)
    found["days"] = Measured(float(len(days)))
    say("What was tried before: the record of trials")
    tried = tried_before(strategy, record)
    found |= _luck(Moments.of(days.to_numpy()), tried)
    found["overfitting"], splits = overfitting(strategy, tried, ground, run)
    say("Walk-forward over what was tried")
    found["out_of_sample"] = _out_of_sample(strategy, sharpe, market, tried, terms, plan)
    say("Baseline and holding")
    found["better_than_baseline"] = _better(run, baseline, "no baseline was given")
    found["better_than_holding"] = _better(run, _holding(market, terms), "holding cannot be run on these terms")
    found["drawdown"] = measures.drawdown(run, stats)
    found["turnover"] = Measured(float(stats["turnover"]))
    found["capacity"] = measures.capacity(run, market)
    say("Dearer, later, and with neighbouring parameters")
    found["double_costs"], found["break_even"] = stress.dearer(strategy, ground)
    found["late_fills"] = stress.late_fills(strategy, ground, sharpe)
    found["neighbourhood"] = stress.neighbourhood(strategy, ground, sharpe, tried.grid or None)
    say("By regime, by year, and in other orders of its trades")
    found["regimes"] = measures.regimes(run, market)
    found["years"] = measures.years(run)
    found["trade_order"] = measures.trade_order(run)
    figures = {"stats": measures.figures_of(stats), "overfitting": splits}
    return Evidence("paper", label(strategy), dict(subject or {}), found, figures)


def _causality(strategy: Strategy, market: Market) -> Measured:
    report = check_causality(strategy, market)
    return Measured(float(report.ok), "" if report.ok else str(report).splitlines()[0])


def _luck(moments: Moments, tried: Tried) -> dict[str, Measured]:
    """The probabilistic ratio, and the deflated one for as many trials as are on record."""
    if not moments.periods or np.isnan(moments.sharpe):
        none = missing("its returns do not vary")
        return {"probabilistic_sharpe": none, "deflated_sharpe": none}
    annual = np.sqrt(DAYS_PER_YEAR)
    needed = least_periods(moments, 0.0)
    told = (
        f"annual ratio {moments.sharpe * annual:.2f}, skewness {moments.skewness:.2f}, kurtosis {moments.kurtosis:.1f}"
    )
    if np.isfinite(needed):
        told += f"; 95% would take {needed:,.0f} days"
    best = luck(tried.count, tried.variance)
    how = f"{tried.count:,} trials on record" if tried.record else "no trial is on record: taken as the first try"
    error = moments.spread / np.sqrt(max(moments.periods - 1, 1)) * annual
    estimate = {"estimate": float(moments.sharpe * annual), "error": float(error)}
    return {
        "probabilistic_sharpe": Measured(probabilistic_sharpe(moments, 0.0), told, {**estimate, "against": 0.0}),
        "deflated_sharpe": Measured(
            deflated_sharpe(moments, tried.count, tried.variance),
            f"{how}; the best of them has {best * annual:.2f} by luck",
            {**estimate, "against": float(best * annual)},
        ),
    }


def _out_of_sample(
    strategy: Strategy,
    sharpe: float,
    market: Market,
    tried: Tried,
    terms: Mapping[str, Any],
    plan: WalkForwardPlan | None,
) -> Measured:
    """The ratio of a walk-forward over the sets that were tried; where none was, nothing was chosen on any bar."""
    step = max(-(-len(tried.sets) // _MOST_WALKED), 1)
    sets = list(tried.sets[::step])
    if len(sets) < 2:
        return Measured(sharpe, "nothing was chosen: the whole record is out of sample")
    half = len(market) // 2
    schedule = plan or WalkForwardPlan(train=half, refit=max(-(-(len(market) - half) // _FOLDS), 1))
    with tempfile.TemporaryDirectory(prefix="ladder-gate-") as folder:
        try:
            walk = walk_forward(
                type(strategy), sets, market, plan=schedule, record=Path(folder) / "t.sqlite", progress=False, **terms
            )
        except ValidationError as error:
            return missing(str(error))
    told = f"{len(walk.folds)} tests since {walk.folds['test_from'].iloc[0]:%Y-%m-%d}, {len(sets)} sets"
    return Measured(float(walk.result.stats()["sharpe"]), told, measures.days_of(walk.result))


def _holding(market: Market, terms: Mapping[str, Any]) -> Result | None:
    try:
        return hold(market, cash=terms["cash"], costs=terms["costs"], venue=terms["venue"])
    except ValidationError:
        return None


def _better(run: Result, other: Result | None, why: str) -> Measured:
    if other is None:
        return missing(why)
    try:
        found = superiority(daily_returns(run), daily_returns(other))
    except ValidationError as error:
        return missing(str(error))
    low, high = found.sharpe_interval
    less, more = found.growth_interval
    told = (
        f"Sharpe {found.sharpe:+.2f} [{low:+.2f}, {high:+.2f}], a year's return {found.growth:+.1%} "
        f"[{less:+.1%}, {more:+.1%}], {found.days} days, SPA p {found.spa:.3f}"
    )
    return Measured(found.probability, told, {**measures.days_of(other), "interval": [low, found.sharpe, high]})
