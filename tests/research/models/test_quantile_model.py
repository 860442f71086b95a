"""The model: the same on every run, its table, what it refuses, and that it learns what there is and no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data import Market, ModelPredictions, ValidationError, with_predictions
from data.predictions import RECORD, Predictions
from research.models import QuantileModel, forward_returns
from research.models.features import WARMUP, feature_panel
from research.models.quantile_model import COLUMNS
from research.strategies import QuantileSignal
from tests.research.models.made_bars import TINY, made_bars, same_trees, trees


def test_prediction_is_a_record_of_the_bar_it_was_made_on():
    market = made_bars(300, 2)
    fitted = replace(TINY, horizon=3).fit(market)
    table = fitted.predict(market)
    assert list(table.columns) == list(RECORD)
    assert table.index.equals(pd.RangeIndex(len(table)))
    assert len(table) == 2 * (300 - WARMUP + 1)
    assert table["symbol"].head(3).tolist() == ["S0/USD", "S1/USD", "S0/USD"]
    assert (table["available_at"] == table["made_on"] + pd.Timedelta("1h")).all()
    assert (table["horizon"] == pd.Timedelta("3h")).all()
    assert set(table["model"]) == {fitted.id}
    assert (table["q10"] <= table["q50"]).all()
    assert (table["q50"] <= table["q90"]).all()
    assert str(table["made_on"].dtype) == "datetime64[ns, UTC]"
    checked = Predictions.from_table(table, "1h")
    assert checked.report.records == len(table)
    assert checked.report.crossed == 0


def test_the_same_bars_and_parameters_give_the_same_model():
    market = made_bars(400, 2)
    one, other = TINY.fit(market), TINY.fit(market)
    assert one.id == other.id
    assert same_trees(one, other)
    pd.testing.assert_frame_equal(one.predict(market), other.predict(market), check_exact=True)


def test_threads_change_nothing():
    from threadpoolctl import threadpool_limits

    market = made_bars(400, 2)
    with threadpool_limits(limits=1):
        alone = TINY.fit(market)
    with threadpool_limits(limits=4):
        assert same_trees(alone, TINY.fit(market))


def test_id_names_parameters_and_data():
    market = made_bars(400, 2)
    ids = {
        TINY.fit(market).id,
        replace(TINY, max_iter=6).fit(market).id,
        TINY.fit(market.iloc(0, 399)).id,
        TINY.fit(made_bars(400, 2, seed=1)).id,
    }
    assert len(ids) == 4


def test_a_window_predicts_as_the_full_history_does():
    market = made_bars(400, 2)
    fitted = TINY.fit(market.iloc(0, 300))
    full = fitted.predict(market)
    for stop in (301, 350, 400):
        window = fitted.predict(market.iloc(stop - WARMUP, stop))
        expected = full.loc[full["made_on"] == market.index[stop - 1]].reset_index(drop=True)
        pd.testing.assert_frame_equal(window, expected, check_exact=True)


def test_it_is_trained_on_every_bar_with_features_and_label():
    market = made_bars(400, 2, missing=0.05)
    training = TINY.fit(market).training
    usable = feature_panel(market).ready & forward_returns(market).notna().to_numpy()
    times = market.index[usable.any(axis=1)]
    assert training.rows == usable.sum()
    assert (training.first, training.last) == (times[0], times[-1])
    assert training.known_at == times[-1] + pd.Timedelta("2h")
    assert training.symbols == market.symbols
    whole = made_bars(400, 2)
    assert TINY.fit(whole).training.data == whole.fingerprint()


def test_of_too_many_rows_every_nth_time_is_kept_with_all_symbols():
    market = made_bars(600, 3)
    full, thin = TINY.fit(market).training, replace(TINY, max_rows=300).fit(market).training
    assert full.rows == 3 * (600 - WARMUP - 1)
    assert 250 <= thin.rows <= 303
    assert thin.rows % 3 == 0
    assert thin.last == full.last


def test_rows_that_the_model_has_seen_are_counted():
    market = made_bars(400, 1)
    fitted = TINY.fit(market.iloc(0, 350))
    known_at = fitted.training.known_at
    assert known_at == market.index[349]
    assert fitted.predict(market).attrs["in_sample"] == 349 - (WARMUP - 1)
    later = fitted.predict(market, since=known_at, until=market.index[399])
    assert later.attrs["in_sample"] == 0
    assert later["made_on"].tolist() == market.index[349:399].tolist()
    assert fitted.predict(market, since="2030-01-01").empty


def test_crossed_quantiles_are_put_in_order_and_counted():
    market = made_bars(300, 2)
    fitted = TINY.fit(market)
    turned = replace(fitted, regressors=fitted.regressors[::-1])
    table = turned.predict(market)
    assert table.attrs["crossed"] == len(table)
    pd.testing.assert_frame_equal(table[list(COLUMNS)], fitted.predict(market)[list(COLUMNS)], check_exact=True)


def test_widths_follow_volatility_beyond_what_was_seen():
    market = made_bars(400, 1)
    fitted = TINY.fit(market)
    wilder = Market(
        {name: market[name] if name == "volume" else 100.0 * (market[name] / 100.0) ** 20.0 for name in market.fields},
        "1h",
    )
    widths = [table["q90"] - table["q10"] for table in (fitted.predict(market), fitted.predict(wilder))]
    assert (widths[1].median() / widths[0].median()) == pytest.approx(20.0, rel=0.35)


def test_model_finds_a_pull_that_is_there():
    market = made_bars(3_000, 2, pull=0.6)
    model = QuantileModel(max_iter=30, min_samples_leaf=50)
    table = model.fit(market.iloc(0, 2_000)).predict(market, since=market.index[2_000])
    label = forward_returns(market)
    realised = label.to_numpy()[market.index.get_indexer(table["made_on"]), label.columns.get_indexer(table["symbol"])]
    known = np.isfinite(realised)
    assert table["q50"][known].corr(pd.Series(realised)[known], method="spearman") > 0.25
    assert (realised[known] <= table["q10"][known]).mean() == pytest.approx(0.1, abs=0.04)
    assert (realised[known] <= table["q90"][known]).mean() == pytest.approx(0.9, abs=0.04)


def test_another_symbol_can_be_predicted_by_a_pooled_model():
    market = made_bars(300, 2)
    renamed = Market.from_frames(
        {
            f"X{number}": pd.DataFrame({name: market[name][symbol] for name in market.fields})
            for number, symbol in enumerate(market.symbols)
        },
        "1h",
    )
    fitted = TINY.fit(market)
    np.testing.assert_array_equal(fitted.predict(renamed)["q50"], fitted.predict(market)["q50"])


def test_what_does_not_fit_the_model_is_refused():
    fitted = TINY.fit(made_bars(300, 2))
    with pytest.raises(ValidationError, match="was trained on bars of 1h, the market's are of 30m"):
        fitted.predict(made_bars(300, 2, timeframe="30m"))
    with pytest.raises(ValidationError, match=r"trained on 2 symbols .* the market holds 1: give it at least 2"):
        fitted.predict(made_bars(300, 1))
    with pytest.raises(ValidationError, match=r"0 rows to train on .* after 169 bars of warm-up"):
        TINY.fit(made_bars(170, 2))
    with pytest.raises(ValidationError, match="at least 20000"):
        QuantileModel(min_samples_leaf=10_000).fit(made_bars(300, 2))
    assert len(trees(fitted)) == 3 * 5 + 3


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"horizon": 0}, "horizon 0 must be"),
        ({"max_iter": 0}, "max_iter 0 must be a whole number, at least 1"),
        ({"max_leaf_nodes": 1}, "max_leaf_nodes 1"),
        ({"min_samples_leaf": 2.5}, "min_samples_leaf 2.5"),
        ({"max_rows": True}, "max_rows True"),
        ({"seed": -1}, "seed -1"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
        ({"l2": -1.0}, "l2 -1.0"),
    ],
    ids=str,
)
def test_a_parameter_out_of_range_is_named(parameters, message):
    with pytest.raises(ValidationError, match=f"QuantileModel: {message}"):
        QuantileModel(**parameters)


def test_window_of_both_warm_ups_decides_as_the_whole_history_does():
    market = made_bars(400, 2)
    source, strategy = ModelPredictions(TINY.fit(market)), QuantileSignal(window=24, hold=3, threshold=0.0, step=0.0)
    assert source.warmup == WARMUP
    targets = strategy.targets(with_predictions(market, source).market)
    bars, decided = strategy.warmup + source.warmup, 0
    for row in range(bars, len(market), 11):
        window = market.iloc(row + 1 - bars, row + 1)
        decision = strategy.decide(with_predictions(window, source).market)
        pd.testing.assert_series_equal(decision, targets.iloc[row], check_exact=True)
        decided += int(decision.notna().any())
    assert decided > 5
