"""The report on predictions: figures by hand, benchmarks that know the past alone, intervals, and honest words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr

from data import Market, ValidationError, load_sample, read_candles
from reports.resampling import RankCorrelation, block_length, drawn_weights
from research.models import WalkForwardPlan, forward_returns, model_report, walk_forward_predictions
from research.models.benchmark_quantiles import LEAST_PAST, past_quantiles
from research.models.features import volatility_scale
from tests.research.models.made_bars import TINY, altered_from, made_bars

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def table_of(market: Market, quantiles, horizon=1) -> pd.DataFrame:
    """A record for every bar: the three quantiles given by a function of the volatility of the bar, (T, N) each."""
    scale = volatility_scale(market)
    low, middle, high = quantiles(scale.to_numpy())
    rows, columns = np.nonzero(np.isfinite(scale.to_numpy()))
    made_on = market.index[rows]
    return pd.DataFrame(
        {
            "symbol": np.asarray(market.symbols)[columns],
            "made_on": made_on,
            "available_at": made_on + pd.Timedelta(market.timeframe),
            "horizon": horizon * pd.Timedelta(market.timeframe),
            "q10": low[rows, columns],
            "q50": middle[rows, columns],
            "q90": high[rows, columns],
            "model": "made",
        }
    )


def normal(scale):
    """What a scaled normal return has as quantiles."""
    return tuple(norm.ppf(quantile) * scale for quantile in (0.1, 0.5, 0.9))


def joined(table, label):
    rows, columns = label.index.get_indexer(table["made_on"]), label.columns.get_indexer(table["symbol"])
    return label.to_numpy()[rows, columns]


# Figures


def test_figures_are_those_of_plain_pandas():
    market = made_bars(900, 2, missing=0.02)
    rng = np.random.default_rng(3)
    table = table_of(market, lambda scale: (-scale, 0.3 * scale * rng.standard_normal(scale.shape), scale))
    report = model_report(table, market, resamples=20)
    label = pd.Series(joined(table, forward_returns(market)))
    past = past_quantiles(forward_returns(market), volatility_scale(market), pd.Timedelta("1h"))
    ready = joined(table, pd.DataFrame(past["volatility"][:, :, 0], market.index, list(market.symbols)))
    known = label.notna() & np.isfinite(ready)
    own, y = table.loc[known.to_numpy()].reset_index(drop=True), label[known].reset_index(drop=True)
    assert report.about["rows"] == len(own)
    assert report.about["without_label"] == label.isna().sum()
    for name, quantile in (("q10", 0.1), ("q50", 0.5), ("q90", 0.9)):
        forecast = own[["q10", "q50", "q90"]].apply(np.sort, axis=1, raw=True)[name]
        error = y - forecast
        loss = np.where(error >= 0, quantile * error, (quantile - 1) * error).mean()
        assert report.losses.loc[name, "model"] == pytest.approx(loss)
        assert report.coverage.loc[name, "observed"] == pytest.approx((y <= forecast).mean())
    assert report.losses.loc["mean", "model"] == pytest.approx(report.losses["model"].iloc[:3].mean())
    inside = (y >= own[["q10", "q50"]].min(axis=1)) & (y <= own[["q50", "q90"]].max(axis=1))
    assert report.coverage.loc["inside", "observed"] == pytest.approx(inside.mean())
    middle = own[["q10", "q50", "q90"]].median(axis=1)
    assert report.ranks.loc["spearman", "value"] == pytest.approx(spearmanr(middle, y).statistic)
    assert report.ranks.loc["hit_rate", "value"] == pytest.approx((np.sign(middle) == np.sign(y)).mean())
    row = report.skill.loc["constant"]
    assert row.skill == pytest.approx(1 - report.losses.loc["mean", "model"] / report.losses.loc["mean", "constant"])
    assert row.difference == pytest.approx(report.losses.loc["mean", "model"] - report.losses.loc["mean", "constant"])
    assert row.low <= row.difference <= row.high
    by_symbol = report.calibration.set_index("group")
    assert by_symbol.loc["all", "rows"] == by_symbol.loc[["S0/USD", "S1/USD"], "rows"].sum() == len(own)
    assert by_symbol.loc["2024", "q10"] == report.coverage.loc["q10", "observed"]
    assert report.months["rows"].sum() == len(own)
    assert report.months.index[0] == pd.Timestamp("2024-01-01", tz="UTC")
    weighted = (report.months["model"] * report.months["rows"]).sum() / report.months["rows"].sum()
    assert weighted == pytest.approx(report.losses.loc["mean", "model"])


def test_quantiles_that_came_crossed_are_put_in_order_and_counted():
    market = made_bars(500, 1)
    table = table_of(market, normal)
    swapped = table.copy()
    swapped.loc[swapped.index[200:207], ["q10", "q90"]] = swapped.loc[swapped.index[200:207], ["q90", "q10"]].to_numpy()
    plain, report = (model_report(one, market, resamples=20) for one in (table, swapped))
    pd.testing.assert_frame_equal(report.losses, plain.losses)
    assert (plain.about["crossed"], report.about["crossed"]) == (0, 7)


def test_the_same_call_gives_the_same_report():
    market = made_bars(500, 2)
    table = table_of(market, normal)
    assert model_report(table, market, resamples=30).to_dict() == model_report(table, market, resamples=30).to_dict()
    other = model_report(table, market, resamples=30, seed=1)
    assert other.to_dict() != model_report(table, market, resamples=30).to_dict()


# Benchmarks


def test_benchmarks_are_quantiles_of_what_was_known():
    market = made_bars(300, 2)
    label, scale = forward_returns(market), volatility_scale(market)
    past = past_quantiles(label, scale, pd.Timedelta("1h"))
    # Bar 250 closes with the open of 251: of labels that end with the open of bar j + 2, j + 2 <= 250 are known.
    known = label["S1/USD"].iloc[:249].dropna()
    np.testing.assert_allclose(past["constant"][250, 1], known.quantile([0.1, 0.5, 0.9]))
    own = scale["S1/USD"]
    scaled = (label["S1/USD"] / own).iloc[:249].dropna()
    assert len(scaled) < LEAST_PAST
    assert np.isnan(past["volatility"][250, 1]).all()
    scaled = (label["S1/USD"] / own).iloc[:279].dropna()
    np.testing.assert_allclose(past["volatility"][280, 1], scaled.quantile([0.1, 0.5, 0.9]) * own.iloc[280])


@given(st.integers(110, 299), st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_benchmarks_know_the_past_alone(row, horizon, seed):
    market = made_bars(300, 2, seed=seed)
    other = altered_from(market, row)
    step = horizon * pd.Timedelta("1h")
    one, two = (past_quantiles(forward_returns(m, horizon), volatility_scale(m), step) for m in (market, other))
    for name in one:
        np.testing.assert_array_equal(one[name][:row], two[name][:row])


def test_the_right_quantiles_beat_the_constant_ones_and_tie_with_the_scaled_ones():
    market = made_bars(3_000, 2, seed=5)
    report = model_report(table_of(market, normal), market, resamples=100)
    assert report.skill.loc["constant", "skill"] > 0.05
    assert report.skill.loc["constant", "high"] < 0.0
    assert abs(report.skill.loc["volatility", "skill"]) < 0.02
    assert report.coverage["observed"].to_numpy() == pytest.approx([0.1, 0.5, 0.9, 0.8], abs=0.04)
    assert np.isnan(report.ranks.loc["spearman", "value"])
    assert "never varies, so that no direction is told" in report.verdict


def test_noise_earns_no_skill_and_the_first_sentence_says_so():
    market = made_bars(1_500, 2, seed=2)
    walk = walk_forward_predictions(TINY, market, WalkForwardPlan(train=600, refit=300))
    report = model_report(walk, market, resamples=100)
    row = report.skill.loc["volatility"]
    assert row.high > 0.0
    first = str(report).splitlines()[0]
    assert first == report.verdict
    if row.low > 0.0:
        assert "it is worse than no model" in first
    else:
        assert "which includes 0: no skill is shown" in first
    rank = report.ranks.loc["spearman"]
    assert rank.low < 0.0 < rank.high
    assert "which includes 0: it is not shown to tell direction" in first


def test_a_pull_that_is_there_is_shown():
    market = made_bars(2_500, 2, pull=0.6)
    walk = walk_forward_predictions(replace(TINY, max_iter=30), market, WalkForwardPlan(train=1_000, refit=500))
    report = model_report(walk, market, resamples=50)
    assert report.skill.loc["volatility", "high"] < 0.0
    assert report.ranks.loc["spearman", "low"] > 0.1
    assert "includes 0" not in report.verdict
    assert report.about["models"] == 3


def test_a_bad_forecast_is_called_worse_than_none():
    market = made_bars(1_000, 1)
    report = model_report(table_of(market, lambda scale: tuple(9 * one for one in normal(scale))), market, resamples=50)
    assert report.skill["skill"].max() < 0.0
    assert report.verdict.startswith("The model's pinball loss is ")
    assert "% higher than that of past quantiles scaled by volatility" in report.verdict.partition(";")[0]
    assert "it is worse than no model" in report.verdict.partition(";")[0]


def test_rows_in_the_sample_are_said_first():
    market = made_bars(800, 2)
    report = model_report(TINY.fit(market).predict(market), market, resamples=20)
    assert report.about["in_sample"] > 0
    assert report.verdict.startswith("In the sample of the model")


# Resampling


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 3)), min_size=3, max_size=40))
@settings(max_examples=100, deadline=None)
def test_weighted_rank_correlation_is_that_of_repeated_rows(rows):
    one, other, weights = (np.asarray(column, dtype=float) for column in zip(*rows, strict=True))
    repeated = [np.repeat(column, weights.astype(int)) for column in (one, other)]
    got = RankCorrelation(one, other).of(weights)
    if len(repeated[0]) < 2 or np.ptp(repeated[0]) == 0 or np.ptp(repeated[1]) == 0:
        assert np.isnan(got)
    else:
        assert got == pytest.approx(spearmanr(*repeated).statistic, abs=1e-12)


def test_draws_take_whole_times_in_blocks():
    weights = list(drawn_weights(200, 20, 50, seed=0))
    assert len(weights) == 50
    assert all(one.sum() == 200 for one in weights)
    # Neighbours come together: far fewer edges than single draws would have.
    edges = np.mean([(np.diff(one) != 0).mean() for one in weights])
    single = np.mean([(np.diff(one) != 0).mean() for one in drawn_weights(200, 1, 50, seed=0)])
    assert edges < 0.4 * single


def test_interval_of_clustered_losses_is_wider_than_of_independent_ones():
    rng = np.random.default_rng(0)
    calm = rng.standard_normal(4_000)
    clustered = np.convolve(rng.standard_normal(4_000), np.ones(50), "same")
    assert block_length([calm], 24) == 24
    assert block_length([clustered], 24) > 40
    assert block_length([np.zeros(4_000)], 24) == 24
    assert block_length([calm[:40]], 24) == 10


def test_interval_covers_the_truth_about_as_often_as_it_says():
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal(600)
        draws = np.array([weights @ noise / 600 for weights in drawn_weights(600, 10, 200, seed)])
        low, high = np.quantile(draws, [0.025, 0.975])
        hits += low <= 0.0 <= high
    assert 33 <= hits <= 40


# Foreign tables


def test_the_old_systems_predictions_have_their_known_figures():
    if not (SHARED / "predictions_2024_1h.parquet").exists():
        pytest.skip("../shared/data is not there: real data that may not be committed")
    candles = read_candles(SHARED / "btcusdt_1h.parquet", timeframe="1h", symbol="BTC/USDT")
    market = Market.from_frames({"BTC/USDT": candles}, "1h")
    old = pd.read_parquet(SHARED / "predictions_2024_1h.parquet").rename_axis("made_on").reset_index()
    # One hour after the bar's close begins what it predicts, and another one later it ends.
    table = old.assign(symbol="BTC/USDT", horizon=pd.Timedelta("2h"))
    close = market.on_grid().close["BTC/USDT"]
    report = model_report(table, market, label=close.shift(-2) / close.shift(-1) - 1.0, resamples=100)
    assert report.about["rows"] == len(old) == 6_596
    assert round(report.ranks.loc["spearman", "value"], 3) == 0.032
    assert round(report.ranks.loc["hit_rate", "value"], 3) == 0.512
    assert report.coverage["observed"].round(3).tolist()[:3] == [0.150, 0.511, 0.851]
    # Some 0.05% of rows have q10 above q50, and as many q50 above q90.
    assert ((old["q10"] > old["q50"]).mean().round(4), (old["q50"] > old["q90"]).mean().round(4)) == (0.0005, 0.0005)
    assert report.about["crossed"] == 6


def test_a_label_of_ones_own_is_taken_as_it_is():
    market = made_bars(500, 1)
    table = table_of(market, normal, horizon=2)
    close = market.close["S0/USD"]
    label = close.shift(-2) / close.shift(-1) - 1.0
    report = model_report(table, market, label=label, resamples=20)
    same = model_report(table, market, label=label.to_frame("S0/USD"), resamples=20)
    assert report.to_dict() == same.to_dict()
    # The default label of two bars is another one.
    assert model_report(table, market, resamples=20).losses.loc["q10", "model"] != report.losses.loc["q10", "model"]


def test_of_two_records_of_one_bar_the_first_counts():
    market = made_bars(500, 1)
    table = table_of(market, normal)
    later = table.assign(available_at=table["available_at"] + pd.Timedelta("5min"), q50=9.0, q90=9.0)
    both = pd.concat([later, table], ignore_index=True)
    expected, report = (model_report(one, market, resamples=20) for one in (table, both))
    pd.testing.assert_frame_equal(report.losses, expected.losses)


# Out to the reader


def test_page_is_whole_and_asks_the_network_for_nothing(tmp_path):
    market = made_bars(700, 2)
    report = model_report(table_of(market, normal), market, resamples=20)
    path = report.write_html(tmp_path / "out" / "report.html")
    page = path.read_text(encoding="utf-8")
    for part in ("verdict", "judged", "losses", "coverage", "ranks", "plot", "groups", "months"):
        assert f'id="{part}"' in page
    assert "The model&#x27;s pinball loss is" in page
    assert 'src="http' not in page
    assert "default-src 'none'" in page
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]


def test_report_is_json(tmp_path):
    market = made_bars(700, 2)
    report = model_report(table_of(market, normal), market, resamples=20)
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["verdict"] == report.verdict
    assert told["losses"]["mean"]["model"] == report.losses.loc["mean", "model"]
    assert told["ranks"]["spearman"]["value"] is None
    assert told["about"]["horizon"] == "0 days 01:00:00"
    assert told["months"][0]["month"] == "2024-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="horizon"), "no column horizon"),
        (lambda table: table.head(0), "no row"),
        (lambda table: table.assign(symbol="X"), r"does not hold \['X'\]"),
        (lambda table: table.assign(made_on=table["made_on"].dt.tz_localize(None)), "not a time in UTC"),
        (lambda table: table.assign(horizon=pd.Timedelta("90min")), "a whole number of bars of 1h"),
        (
            lambda table: table.assign(horizon=[pd.Timedelta("1h")] * 5 + [pd.Timedelta("2h")] * (len(table) - 5)),
            "predictions of one horizon",
        ),
        (lambda table: table.assign(q50=np.nan), "a quantile is missing"),
        (lambda table: table.head(30), r"0 times are left, at least 50 are needed"),
        (lambda table: "table", r"model_report\(predictions, market\): got str and Market"),
    ],
)
def test_a_table_that_cannot_be_judged_is_named(change, message):
    market = made_bars(400, 1)
    with pytest.raises(ValidationError, match=message):
        model_report(change(table_of(market, normal)), market)


def test_a_label_that_is_none_is_named():
    market = made_bars(400, 2)
    table, label = table_of(market, normal), forward_returns(market)
    with pytest.raises(ValidationError, match="label is a Series and the market holds"):
        model_report(table, market, label=label["S0/USD"])
    with pytest.raises(ValidationError, match=r"label has \['S0/USD'\]"):
        model_report(table, market, label=label[["S0/USD"]])
    with pytest.raises(ValidationError, match="no time of label is a bar of the market"):
        model_report(table, market, label=label.reset_index(drop=True))
    with pytest.raises(ValidationError, match="resamples 5 must be"):
        model_report(table, market, resamples=5)


def test_label_begins_where_the_predictions_can_be_acted_on() -> None:
    """A forecast of the hour after next, available an hour after its bar: it is judged by that hour's return."""
    market = load_sample(["BTC/USD"]).iloc(0, 600)
    opens = market.open["BTC/USD"]
    target = (opens.shift(-3) / opens.shift(-2) - 1.0).dropna()
    step = pd.Timedelta("30min")
    rng = np.random.default_rng(0)
    noisy = target + rng.normal(0.0, 0.002, len(target))
    table = pd.DataFrame(
        {
            "symbol": "BTC/USD", "made_on": target.index, "available_at": target.index + 2 * step, "horizon": 2 * step,
            "q10": noisy - 0.01, "q50": noisy, "q90": noisy + 0.01,
        }
    )  # fmt: skip
    late = model_report(table, market, resamples=20).ranks.loc["spearman", "value"]
    early = model_report(table.assign(available_at=target.index + step), market, resamples=20)
    assert late > 0.8 > early.ranks.loc["spearman", "value"]
    mixed = table.assign(available_at=target.index + step * (1 + np.arange(len(target)) % 2))
    with pytest.raises(ValidationError, match="available 0 to 1 bars after the bar"):
        model_report(mixed, market, resamples=20)
