"""A session that no longer follows its backtest: the scatter, and the loss of a little each bar."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import ValidationError
from reports.promotion.tracking import tracking_error, watch_band

HOURS = 8_760


def returns(values) -> pd.Series:
    index = pd.date_range("2025-01-01", periods=len(values), freq="1h", tz="UTC")
    return pd.Series(values, index=index, dtype=float)


def walk(count: int, seed: int = 0) -> pd.Series:
    return returns(np.random.default_rng(seed).normal(0.0, 0.005, count))


def test_the_same_returns_have_no_error_and_stay():
    seen = watch_band(walk(500), walk(500), band=0.02, timeframe="1h")
    assert (seen.error, seen.gap, seen.left, seen.bars) == (0.0, 0.0, False, 500)


def test_error_is_the_root_mean_square_of_the_difference_annualised():
    live = walk(100) + returns([0.001, -0.001] * 50)
    assert tracking_error(live, walk(100), "1h") == pytest.approx(0.001 * math.sqrt(HOURS))
    assert tracking_error(walk(100) + 0.001, walk(100), "1h") == pytest.approx(0.001 * math.sqrt(HOURS))
    assert math.isnan(tracking_error(walk(1), walk(1), "1h"))


@given(st.floats(0.001, 0.2), st.integers(0, 50))
def test_scatter_within_the_band_stays_and_beyond_it_leaves(band, seed):
    sign = np.where(np.arange(400) % 2, 1.0, -1.0)
    for share, left in ((0.95, False), (1.05, True)):
        live = walk(400, seed) + returns(sign * share * band / math.sqrt(HOURS))
        assert watch_band(live, walk(400, seed), band=band, timeframe="1h").left is left


def test_few_bars_have_no_scatter_to_judge_but_a_gap():
    apart = np.zeros(10)
    apart[:2] = 0.01, -0.01
    seen = watch_band(walk(10) + returns(apart), walk(10), band=0.02, timeframe="1h")
    assert seen.error > 0.02 and not seen.left
    apart[2] = -0.015
    assert not watch_band(walk(10) + returns(apart), walk(10), band=0.02, timeframe="1h").left
    apart[2] = -0.03
    seen = watch_band(walk(10) + returns(apart), walk(10), band=0.02, timeframe="1h")
    assert seen.left and "-3.00% of equity" in seen.told


def test_a_little_lost_each_bar_leaves_by_the_gap_though_there_is_no_scatter():
    days = HOURS // 2
    bleeding = walk(days) - 0.10 / HOURS
    seen = watch_band(bleeding, walk(days), band=0.02, timeframe="1h")
    assert seen.error < 0.002 and seen.left


def test_bars_that_only_one_has_do_not_count():
    live = walk(300).iloc[50:250]
    assert watch_band(live, walk(300), band=0.02, timeframe="1h").bars == 200


@pytest.mark.parametrize("seed", range(5))
def test_a_session_that_follows_within_the_band_stays_a_year(seed):
    noise = np.random.default_rng(seed).normal(0.0, 0.8 * 0.02 / math.sqrt(HOURS), HOURS)
    for bars in (200, 2_000, HOURS):
        live, other = walk(HOURS) + returns(noise), walk(HOURS)
        assert not watch_band(live.iloc[:bars], other.iloc[:bars], band=0.02, timeframe="1h").left


@pytest.mark.parametrize("band", [0.0, -0.1, math.nan, math.inf])
def test_a_band_is_a_positive_number(band):
    with pytest.raises(ValidationError, match="band"):
        watch_band(walk(5), walk(5), band=band, timeframe="1h")
