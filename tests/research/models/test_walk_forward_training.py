"""Walk-forward: no model knows its test, what comes later changes nothing, and the cheats are caught."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import Market, ValidationError
from engine import Strategy
from engine.causality import Kind, check_causality
from research.models import QuantileModel, WalkForwardPlan, forward_returns, walk_forward_predictions
from research.models.features import feature_panel
from research.models.quantile_model import COLUMNS, FittedModel, fit_rows
from tests.research.models.made_bars import TINY, altered_from, made_bars, same_trees

PLAN = WalkForwardPlan(train=250, refit=60)


@dataclass(frozen=True)
class NoPurge(WalkForwardPlan):
    """The mistake: labels reach into the test."""

    def _purged(self, horizon):
        return 0


@dataclass(frozen=True)
class OneShort(WalkForwardPlan):
    """One row fewer between training and test than the label needs."""

    def _purged(self, horizon):
        return super()._purged(horizon) - 1


def models_of(market: Market, plan: WalkForwardPlan, horizon: int = 1) -> list[tuple[FittedModel, np.ndarray]]:
    """The model of each fold and the rows of its test."""
    model = replace(TINY, horizon=horizon)
    panel, labels = feature_panel(market), forward_returns(market, horizon).to_numpy()
    return [(fit_rows(model, market, panel, labels, train), test) for train, test in plan.folds(market, horizon)]


def model_changes_with_its_test(market: Market, plan: WalkForwardPlan, horizon: int, fold: int) -> bool:
    """Whether other bars from the test on make another model, in one of its trees or in what it says of its data."""
    fitted, test = models_of(market, plan, horizon)[fold]
    other, _ = models_of(altered_from(market, int(test[0])), plan, horizon)[fold]
    return fitted.id != other.id or not same_trees(fitted, other)


# Purging


@given(st.integers(1, 4), st.booleans(), st.integers(0, 3), st.integers(0, 2), st.sampled_from([0.0, 0.03]), st.data())
@settings(max_examples=15, deadline=None)
def test_bars_from_the_test_on_change_no_model_of_its_fold(horizon, anchored, embargo, seed, missing, data):
    market = made_bars(440, 2, seed=seed, missing=missing)
    plan = replace(PLAN, anchored=anchored, embargo=embargo)
    folds = len(plan.folds(market, horizon))
    assert not model_changes_with_its_test(market, plan, horizon, data.draw(st.integers(0, folds - 1)))


@pytest.mark.parametrize("horizon", [1, 2, 4])
@pytest.mark.parametrize("cheat", [NoPurge, OneShort])
def test_that_property_catches_a_purge_that_is_missing_or_one_bar_short(cheat, horizon):
    market = made_bars(440, 2)
    assert not model_changes_with_its_test(market, PLAN, horizon, 1)
    assert model_changes_with_its_test(market, cheat(train=250, refit=60), horizon, 1)


def test_labels_of_a_fold_are_known_before_its_first_bar():
    market = made_bars(440, 2)
    for horizon, embargo in ((1, 0), (3, 0), (2, 5)):
        walk = walk_forward_predictions(replace(TINY, horizon=horizon), market, replace(PLAN, embargo=embargo))
        gap = walk.folds["test_from"] - walk.folds["known_at"]
        assert (gap == pd.Timedelta(hours=1 + embargo)).all()


# The folds


def test_folds_are_rolling_or_anchored_and_the_last_one_is_kept():
    market = made_bars(400, 1)
    rolling = PLAN.folds(market, 1)
    assert [(train[0], train[-1], test[0], test[-1]) for train, test in rolling] == [
        (0, 249, 252, 311),
        (60, 309, 312, 371),
        (120, 369, 372, 399),
    ]
    anchored = replace(PLAN, anchored=True).folds(market, 1)
    assert [(train[0], train[-1]) for train, _ in anchored] == [(0, 249), (0, 309), (0, 369)]


def test_spans_are_told_in_time_or_in_bars():
    market = made_bars(400, 1)
    told = WalkForwardPlan(train="250h", refit=pd.Timedelta("2.5D")).folds(market, 1)
    for one, other in zip(told, PLAN.folds(market, 1), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_each_row_of_a_test_is_predicted_once_by_the_model_of_its_fold():
    market = made_bars(440, 2, missing=0.02)
    calls = []
    walk = walk_forward_predictions(TINY, market, PLAN, progress=lambda done, of: calls.append((done, of)))
    models = models_of(market, PLAN)
    assert calls == [(number, len(models)) for number in range(len(models) + 1)]
    assert walk.folds["model"].tolist() == [fitted.id for fitted, _ in models]
    expected = pd.concat(
        [fitted.predict(market.iloc(0, test[-1] + 1), since=market.index[test[0]]) for fitted, test in models],
        ignore_index=True,
    )
    pd.testing.assert_frame_equal(walk.table, expected, check_exact=True)
    assert not walk.table.duplicated(["symbol", "made_on"]).any()
    assert walk.folds["predictions"].sum() == len(walk.table)
    assert walk.folds["rows"].tolist() == [fitted.training.rows for fitted, _ in models]
    assert walk.crossed == walk.table.attrs["crossed"] == walk.folds["crossed"].sum()
    assert walk.table.attrs["in_sample"] == 0
    assert walk.seconds > 0.0
    assert str(walk).startswith(f"{len(walk.table):,} predictions by {len(models)} models")


@given(st.integers(253, 439), st.booleans())
@settings(max_examples=8, deadline=None)
def test_what_comes_later_changes_no_earlier_prediction(stop, anchored):
    market = made_bars(440, 2)
    plan = replace(PLAN, anchored=anchored)
    full = walk_forward_predictions(TINY, market, plan).table
    expected = full.loc[full["made_on"] < market.index[stop]]
    for other in (market.iloc(0, stop), altered_from(market, stop)):
        table = walk_forward_predictions(TINY, other, plan).table
        known = table.loc[table["made_on"] < market.index[stop]]
        pd.testing.assert_frame_equal(known, expected, check_exact=True)


def test_two_runs_are_the_same():
    market = made_bars(380, 2)
    one, other = (walk_forward_predictions(TINY, market, PLAN) for _ in range(2))
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
    pd.testing.assert_frame_equal(one.folds, other.folds)


# As a strategy: what check_causality says of it


@dataclass(frozen=True)
class WalkForwardSign(Strategy):
    """Holds the median's sign, by models that were each trained on the past."""

    @property
    def warmup(self) -> int:
        return 253

    def targets(self, market: Market) -> pd.DataFrame:
        table = walk_forward_predictions(TINY, market, PLAN).table
        return signs(table, market)


@dataclass(frozen=True)
class TrainedOnAll(Strategy):
    """The cheat: one model, trained on the bars that it then predicts."""

    warmup = 253

    def targets(self, market: Market) -> pd.DataFrame:
        return signs(TINY.fit(market).predict(market), market)


def signs(table: pd.DataFrame, market: Market) -> pd.DataFrame:
    medians = table.pivot(index="made_on", columns="symbol", values="q50")
    # The size counts too: a cheat that changes a forecast without its sign shows.
    sized = (medians * 100.0).clip(-0.5, 0.5)
    return sized.reindex(index=market.index, columns=list(market.symbols))


def test_walk_forward_is_causal_and_does_not_fit_live_by_itself():
    market = made_bars(420, 2)
    report = check_causality(WalkForwardSign(), market, cuts=10, starts=4)
    assert report.ok, str(report)
    assert report.largest_rounding == 0.0
    # Folds are counted from the first bar: a history that begins later trains on other bars, and decides otherwise.
    # The check puts that down to ties, for a tree splits elsewhere when prices move by their last digits.
    later = WalkForwardSign().targets(market.iloc(20, 420))
    assert not later.iloc[-1].equals(WalkForwardSign().targets(market).iloc[-1])
    assert report.ties or not report.fits_live


def test_model_trained_on_the_whole_sample_is_caught():
    report = check_causality(TrainedOnAll(), made_bars(420, 2), cuts=6, starts=0)
    assert not report.ok
    assert {violation.kind for violation in report.violations} == {Kind.LOOKS_AHEAD}


# What is refused


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"train": 0}, "train 0 must be a span"),
        ({"train": "-5D"}, "train '-5D' must be a span"),
        ({"refit": "soon"}, "refit 'soon' must be a span"),
        ({"refit": True}, "refit True must be a span"),
        ({"refit": pd.NaT}, "refit NaT must be a span"),
        ({"embargo": -1}, "embargo -1 must be"),
        ({"embargo": 0.5}, "embargo 0.5 must be"),
    ],
    ids=str,
)
def test_a_plan_that_is_none_is_named(plan, message):
    with pytest.raises(ValidationError, match=f"WalkForwardPlan: {message}"):
        WalkForwardPlan(**plan)


def test_a_market_that_does_not_suit_the_plan_is_refused():
    market = made_bars(252, 1)
    with pytest.raises(ValidationError, match="252 bars; 250 to train on and 2 to leave out leave none"):
        walk_forward_predictions(TINY, market, PLAN)
    with pytest.raises(ValidationError, match="train '100min' is no whole number of the market's bars, 1h"):
        walk_forward_predictions(TINY, market, WalkForwardPlan(train="100min"))
    with pytest.raises(ValidationError, match=r"walk-forward, test from 2024-01-05 .* 0 rows to train on"):
        walk_forward_predictions(TINY, market, WalkForwardPlan(train=100, refit=50))
    assert COLUMNS == ("q10", "q50", "q90")
    assert QuantileModel().horizon == 1
