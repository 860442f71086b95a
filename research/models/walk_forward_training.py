"""Predictions that were each made by a model trained on the past alone: train, predict a while, move on, train again.

    plan = WalkForwardPlan(train="365D", refit="90D")            # a rolling year, a new model each quarter
    walk = walk_forward_predictions(QuantileModel(), market, plan)
    walk.table                                                   # as FittedModel.predict gives it
    walk.folds                                                   # which model was trained on what, and predicted what

`skfolio.model_selection.WalkForward` splits the times; the symbols are pooled within. Its folds are counted from the
first bar on, and the last may be short: a market that goes on longer changes no earlier prediction. One that begins
later does, for its folds lie elsewhere.

Between training and test lies a gap, so that no label reaches into the test (Lopez de Prado, 2018, chapter 7: purging).
Let s be the first row of a test. Its predictions are made from the close of bar s on, and the model shall be there
before that bar: it may know rows up to s - 1. The label of row t ends with the open of row t + 1 + h at the latest. So
a training row needs t + 1 + h <= s - 1, and skfolio's last training row is s - 1 - purged_size:

    s - 1 - purged_size + 1 + h <= s - 1      <=>      purged_size >= h + 1

`embargo` bars come on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.timeframe import parse_timeframe
from research.models.features import feature_panel
from research.models.labels import forward_returns
from research.models.quantile_model import FittedModel, QuantileModel, fit_rows, predict_rows
from research.walk_forward_plan import WalkForwardPlan


@dataclass(frozen=True, eq=False)
class WalkForwardPredictions:
    """What a walk-forward leaves behind.

    Attributes:
        table: the predictions, as `FittedModel.predict` gives them; none of them is in the sample of its model.
        folds: one row a model: model (id), train_from, train_to (first and last bar a training row was made on),
            known_at (when its last label was known), rows (trained on), test_from, test_to, predictions, crossed.
        model: the parameters.
        plan: the schedule.
        seconds: what it took.
    """

    table: pd.DataFrame
    folds: pd.DataFrame
    model: QuantileModel
    plan: WalkForwardPlan
    seconds: float

    @property
    def crossed(self) -> int:
        """Rows whose quantiles came out of order, and were put in order."""
        return int(self.folds["crossed"].sum())

    def __str__(self) -> str:
        made = f"{len(self.table):,} predictions by {len(self.folds)} models in {self.seconds:.1f} s"
        lines = [f"{made}; {self.crossed:,} came out with crossed quantiles"]
        for row in self.folds.itertuples():
            lines.append(
                f"  {row.model}: trained on {row.rows:,} rows, {row.train_from:%Y-%m-%d} to {row.train_to:%Y-%m-%d}; "
                f"predicts {row.test_from:%Y-%m-%d %H:%M} to {row.test_to:%Y-%m-%d %H:%M}"
            )
        return "\n".join(lines)


def walk_forward_predictions(
    model: QuantileModel,
    market: Market,
    plan: WalkForwardPlan | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> WalkForwardPredictions:
    """Train and predict fold by fold.

    Args:
        model: parameters, the same for every fold.
        market: the bars.
        plan: when a new model is trained; a rolling year and 90 days by default.
        progress: called with the folds done and all folds, first with 0.

    Raises:
        ValidationError: the market is too short for the plan, or a fold has too few rows to train on.
    """
    schedule = WalkForwardPlan() if plan is None else plan
    began = time.perf_counter()
    folds = schedule.folds(market, model.horizon)
    step = parse_timeframe(market.timeframe)
    panel, labels = feature_panel(market), forward_returns(market, model.horizon).to_numpy()
    tables, rows = [], []
    for number, (train, test) in enumerate(folds):
        if progress is not None:
            progress(number, len(folds))
        try:
            fitted = fit_rows(model, market, panel, labels, train)
        except ValidationError as error:
            raise ValidationError(f"walk-forward, test from {market.index[test[0]]}: {error}") from error
        tables.append(predict_rows(fitted, panel, test, step))
        rows.append(_fold(fitted, market.index[test], tables[-1]))
    if progress is not None:
        progress(len(folds), len(folds))
    table = pd.concat(tables, ignore_index=True)
    table.attrs = {"crossed": sum(one.attrs["crossed"] for one in tables), "in_sample": 0}
    return WalkForwardPredictions(table, pd.DataFrame(rows), model, schedule, time.perf_counter() - began)


def _fold(fitted: FittedModel, test: pd.DatetimeIndex, table: pd.DataFrame) -> dict[str, object]:
    return {
        "model": fitted.id,
        "train_from": fitted.training.first,
        "train_to": fitted.training.last,
        "known_at": fitted.training.known_at,
        "rows": fitted.training.rows,
        "test_from": test[0],
        "test_to": test[-1],
        "predictions": len(table),
        "crossed": table.attrs["crossed"],
    }
