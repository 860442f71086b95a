"""Features of a bar and its label: what they are, that they know the past alone, and how much of it they need."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import Market, ValidationError, load_sample
from research.models.features import WARMUP, feature_panel, volatility_scale
from research.models.labels import forward_returns
from tests.research.models.made_bars import altered_from, made_bars


def feature(panel, name, symbol=0):
    return panel.values[:, symbol, panel.names.index(name)]


# What they are


def test_features_are_what_their_names_say():
    market = made_bars(400, 2)
    panel = feature_panel(market)
    close, high, low, volume = (market[name]["S0/USD"].iloc[:301] for name in ("close", "high", "low", "volume"))
    r = np.log(close / close.shift(1))
    day = np.sqrt((r.iloc[-24:] ** 2).mean())
    expected = {
        "return_48": np.log(close.iloc[-1] / close.iloc[-49]),
        "move_12": np.log(close.iloc[-1] / close.iloc[-13]) / (day * np.sqrt(12)),
        "volatility_168": np.sqrt((r.iloc[-168:] ** 2).mean()),
        "volatility_ratio_short": np.sqrt((r.iloc[-6:] ** 2).mean()) / day,
        "range_24": np.sqrt((np.log(high / low).iloc[-24:] ** 2).mean() / (4 * np.log(2))) / day,
        "place_6": (close.iloc[-1] - low.iloc[-6:].min()) / (high.iloc[-6:].max() - low.iloc[-6:].min()),
        "distance_24": np.log(close.iloc[-1] / close.iloc[-24:].mean()) / (day * np.sqrt(24)),
        "volume_168": volume.iloc[-1] / volume.iloc[-168:].mean(),
        "volume_trend": volume.iloc[-6:].mean() / volume.iloc[-168:].mean(),
        "market_6": (feature(panel, "move_6", 0)[300] + feature(panel, "move_6", 1)[300]) / 2,
    }
    for name, value in expected.items():
        assert feature(panel, name)[300] == pytest.approx(value, rel=1e-5), name
    assert panel.scale[300, 0] == pytest.approx(day, rel=1e-12)
    # 300 hours after Monday 2024-01-01: a Saturday, 12:00.
    clock = [feature(panel, name)[300] for name in ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")]
    np.testing.assert_allclose(clock, [0.0, -1.0, np.sin(10 * np.pi / 7), np.cos(10 * np.pi / 7)], atol=1e-6)


def test_features_have_no_scale():
    market = made_bars(300, 2)
    scaled = Market(
        {name: market[name] * (1000.0 if name != "volume" else 7.0) for name in market.fields}, market.timeframe
    )
    np.testing.assert_allclose(feature_panel(scaled).values, feature_panel(market).values, rtol=1e-4, atol=1e-6)


def test_one_symbol_has_no_market_beside_it():
    assert not [name for name in feature_panel(made_bars(200, 1)).names if name.startswith("market")]
    assert len([name for name in feature_panel(made_bars(200, 2)).names if name.startswith("market")]) == 3


def test_warm_up_is_the_first_bar_that_has_everything():
    panel = feature_panel(made_bars(250, 2))
    assert panel.warmup == WARMUP == 169
    assert not panel.ready[: WARMUP - 1].any()
    assert panel.ready[WARMUP - 1 :].all()
    assert np.isfinite(panel.values[WARMUP - 1 :]).all()


def test_a_symbol_that_stands_still_is_finite_and_has_a_floor():
    index = pd.date_range("2024-01-01", periods=200, freq="1h", tz="UTC")
    still = pd.DataFrame({"open": 5.0, "high": 5.0, "low": 5.0, "close": 5.0, "volume": 0.0}, index)
    panel = feature_panel(Market.from_frames({"A": still}, "1h"))
    assert (panel.scale[panel.ready] == 1e-6).all()
    assert not np.isinf(panel.values).any()
    assert np.isnan(feature(panel, "place_24")[-1])
    assert np.isnan(feature(panel, "volume_24")[-1])


def test_the_scale_alone_is_the_panels():
    market = made_bars(300, 3, missing=0.1)
    np.testing.assert_array_equal(volatility_scale(market).to_numpy(), feature_panel(market).scale)


# Causal, and of finite memory, to the last bit


@given(st.integers(170, 259), st.integers(0, 5), st.sampled_from([0.0, 0.1]))
@settings(max_examples=20, deadline=None)
def test_features_and_scale_know_the_past_alone(stop, seed, missing):
    market = made_bars(260, 2, seed=seed, missing=missing)
    full = feature_panel(market)
    for other in (market.iloc(0, stop), altered_from(market, stop)):
        panel = feature_panel(other)
        np.testing.assert_array_equal(panel.values[:stop], full.values[:stop])
        np.testing.assert_array_equal(panel.scale[:stop], full.scale[:stop])


@given(st.integers(WARMUP, 260), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_a_window_of_the_warm_up_shows_what_the_full_history_shows(stop, seed):
    market = made_bars(260, 3, seed=seed)
    full, window = feature_panel(market), feature_panel(market.iloc(stop - WARMUP, stop))
    np.testing.assert_array_equal(window.values[-1], full.values[stop - 1])
    np.testing.assert_array_equal(window.scale[-1], full.scale[stop - 1])
    assert window.ready[-1].all()


def test_windows_of_real_candles_too():
    market = load_sample().iloc(9_000, 12_000)
    full = feature_panel(market)
    complete = market.close.notna().all(axis=1).to_numpy()
    stops = [stop for stop in range(400, 3_000, 371) if complete[stop - WARMUP : stop].all()]
    assert len(stops) > 4
    for stop in stops:
        np.testing.assert_array_equal(feature_panel(market.iloc(stop - WARMUP, stop)).values[-1], full.values[stop - 1])


def test_windows_count_the_bars_that_a_symbol_has():
    market = made_bars(300, 2, missing=0.2)
    alone = market.select(["S0/USD"])
    own, together = feature_panel(alone), feature_panel(market)
    rows = market.index.get_indexer(alone.index)
    shared = [name for name in own.names if name in together.names]
    for name in shared:
        np.testing.assert_array_equal(feature(together, name)[rows], feature(own, name))
    absent = np.setdiff1d(np.arange(len(market)), rows)
    assert np.isnan(together.values[absent, 0]).all()
    assert not together.ready[absent, 0].any()


# The label


def test_label_is_from_the_next_open_to_the_open_a_horizon_later():
    market = made_bars(20, 1)
    opens = market.open["S0/USD"].to_numpy()
    for horizon in (1, 3):
        label = forward_returns(market, horizon)["S0/USD"].to_numpy()
        assert label[5] == opens[6 + horizon] / opens[6] - 1.0
        assert np.isnan(label[-1 - horizon :]).all()
        assert np.isfinite(label[: -1 - horizon]).all()


def test_label_that_meets_a_gap_is_missing():
    market = made_bars(20, 1)
    index = market.index
    gappy = Market({name: market[name].drop(index[10]) for name in market.fields}, "1h")
    label = forward_returns(gappy, 1)["S0/USD"]
    whole = forward_returns(market, 1)["S0/USD"]
    assert np.isnan(label[index[9]])
    assert np.isnan(label[index[8]])
    assert label[index[7]] == whole[index[7]]
    assert label[index[11]] == whole[index[11]]


@given(st.integers(1, 4), st.integers(5, 39), st.floats(0.0, 0.4))
@settings(max_examples=50, deadline=None)
def test_label_is_known_no_later_than_a_horizon_and_a_bar_on(horizon, row, missing):
    market = made_bars(40, 2, seed=row, missing=missing)
    row = min(row, len(market) - 1)
    full, other = forward_returns(market, horizon), forward_returns(altered_from(market, row), horizon)
    # Row t rests on rows up to t + 1 + h: what lies from `row` on reaches back no further than to row - 1 - h.
    known = max(row - 1 - horizon, 0)
    pd.testing.assert_frame_equal(full.iloc[:known], other.iloc[:known], check_exact=True)


@pytest.mark.parametrize("horizon", [0, -1, 1.5, True, "1"])
def test_a_horizon_that_is_none_is_named(horizon):
    with pytest.raises(ValidationError, match="must be a whole number of bars, at least 1"):
        forward_returns(made_bars(20, 1), horizon)
