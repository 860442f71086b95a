"""A walk-forward: parameters chosen by a sweep of the past, traded on what follows, and so on; one account throughout.

    plan = WalkForwardPlan(train="180D", refit="30D")
    walk = walk_forward(SmaCross, {"fast": [12, 24, 48], "slow": [96, 192]}, market, plan=plan)
    walk.result                    # an engine.Result of the tests alone, one after the other
    walk.folds                     # which set was chosen on which bars, its figure there and afterwards

Each fold's sweep sees its own past and nothing else, and is recorded as every sweep is. The account goes on from fold
to fold: where the set changes, the new one's position is taken at the next open, at its cost. The plan's embargo lies
between a past and its test; a backtest's profit needs no label beyond its last bar, so nothing else is purged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.brokers import backtest
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.progress import bar_progress
from engine.result import Result
from engine.strategy import Strategy, label
from engine.venue import Venue
from research.parameter_grid import Grid, parameter_sets
from research.parameter_sweep import sweep
from research.strategies.stitched import Stitched
from research.sweep_result import check_metric
from research.walk_forward_plan import WalkForwardPlan


@dataclass(frozen=True, eq=False)
class WalkForward:
    """What a walk-forward leaves behind.

    Attributes:
        result: of the tests, stitched: one account, from the first test's first bar on.
        folds: one row a fold: train_from, train_to, test_from, test_to (bars), the metric in sample, and the chosen
            parameters that vary.
        strategy: what was traded: each fold's set in its time.
        metric: the figure that chose.
        trials: parameter sets that were tried, over all folds.
    """

    result: Result
    folds: pd.DataFrame
    strategy: Strategy
    metric: str
    trials: int

    def __str__(self) -> str:
        table = self.folds.to_string(index=False)
        return f"{len(self.folds)} folds, {self.trials:,} trials, chosen by {self.metric}\n{table}\n{self.result}"


def walk_forward(
    strategy: type[Strategy],
    grid: Grid,
    market: Market,
    *,
    plan: WalkForwardPlan | None = None,
    fixed: Mapping[str, Any] | None = None,
    cash: float = 10_000.0,
    costs: Costs = Costs(),  # noqa: B008  (frozen: one shared default is safe)
    venue: Venue | Mapping[str, Venue] = Venue(),  # noqa: B008
    risk: RiskLimits | None = None,
    metric: str = "sharpe",
    record: str | Path | None = None,
    progress: bool = True,
) -> WalkForward:
    """Choose parameters on the past, trade them on what follows, and again.

    Args:
        strategy: the class of a Strategy.
        grid: as of `sweep`.
        market: the bars.
        plan: a rolling year and 90 days by default.
        fixed: parameters that all sets share.
        cash: what each sweep and the stitched account begin with, quote currency.
        costs: fees, slippage, funding, borrowing.
        venue: trading rules.
        risk: limits.
        metric: the figure that chooses.
        record: where the trials are recorded, as of `sweep`.
        progress: show a bar on a terminal.

    Raises:
        ValidationError: an input is wrong; the market is too short for the plan; barriers or order sizes that differ
            between the chosen sets.
    """
    schedule = WalkForwardPlan() if plan is None else plan
    sets = parameter_sets(strategy, grid, fixed)
    check_metric(metric)
    terms: dict[str, Any] = {"cash": cash, "costs": costs, "venue": venue, "risk": risk}
    splits = schedule.splits(market, int(schedule.embargo))
    chosen, rows = [], []
    with bar_progress("walk-forward", len(splits), show=progress) as advance:
        for number, (train, test) in enumerate(splits):
            swept = sweep(
                strategy,
                grid,
                market.iloc(int(train[0]), int(train[-1]) + 1),
                fixed=fixed,
                metric=metric,
                record=record,
                progress=False,
                **terms,
            )
            chosen.append(swept.strategy())
            rows.append(_fold(swept.best, sets.names, float(swept.table[metric].iloc[0]), metric, market, train, test))
            if advance is not None:
                advance(number + 1)
    starts = tuple(market.index[int(test[0])] for _, test in splits)
    stitched = _stitched(starts, tuple(chosen))
    first, last = int(splits[0][1][0]), int(splits[-1][1][-1])
    begin = max(first - stitched.warmup - 1, 0)  # history for the first test's decisions; nothing is traded on it
    result = backtest(stitched, market.iloc(begin, last + 1), **terms).since(market.index[first])
    return WalkForward(result, pd.DataFrame(rows), stitched, metric, len(sets.sets) * len(splits))


def _fold(
    best: Mapping[str, Any],
    names: tuple[str, ...],
    figure: float,
    metric: str,
    market: Market,
    train: np.ndarray,
    test: np.ndarray,
) -> dict[str, Any]:
    index = market.index
    return {
        "train_from": index[int(train[0])],
        "train_to": index[int(train[-1])],
        "test_from": index[int(test[0])],
        "test_to": index[int(test[-1])],
        f"{metric} in sample": figure,
        **{name: best[name] for name in names if name in best},
    }


def _stitched(starts: tuple[pd.Timestamp, ...], parts: tuple[Strategy, ...]) -> Stitched:
    for part in parts[1:]:
        if part.exits != parts[0].exits or part.order_notional != parts[0].order_notional:
            raise ValidationError(
                f"walk_forward: {label(parts[0])} and {label(part)} were both chosen, and their barriers or order "
                "sizes differ: an account has one; give exits and order_notional in fixed"
            )
    return Stitched(starts, parts)
