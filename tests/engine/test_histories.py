"""Where a strategy is tried again: the rows after which bars are cut or altered, and the rows from which to start."""

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from data import Market, load_sample, validate_candles
from engine.histories import Chooser, History, with_altered_future, with_price_noise
from research.strategies import SmaCross
from tests.engine.random_market import made_market


@pytest.fixture(scope="module")
def market():
    return load_sample(["ETH/USD", "LTC/USD", "XRP/USD"]).loc["2018-03-01":"2018-05-12"]


@given(st.integers(0, 1000), st.integers(1, 79), st.sampled_from([2.0, 0.5]), st.sampled_from([0.0, 0.2]))
@settings(max_examples=50)
def test_altered_future_is_valid_candles_on_the_same_times_after_the_same_past(seed, row, lift, missing):
    market = made_market(80, seed=seed, missing=missing)
    row = min(row, len(market) - 1)
    other = with_altered_future(market, row, lift, np.random.default_rng(seed))
    assert other.index.equals(market.index)
    for name in market:
        pd.testing.assert_frame_equal(other[name].iloc[:row], market[name].iloc[:row], check_exact=True)
        assert (other[name].notna() == market[name].notna()).all(axis=None)
    for symbol in market.symbols:
        frame = pd.DataFrame({name: other[name][symbol] for name in market}).dropna(subset=["close"])
        report = validate_candles(frame, timeframe="1h", symbol=symbol)
        assert not report.findings, str(report)
    rises = [np.log(one.close.iloc[row:]).diff() for one in (market, other)]
    assert ((rises[0] + rises[1]).abs().fillna(0.0) < 1e-9).all(axis=None)


def test_altered_future_differs_from_the_first_bar_on(market):
    other = with_altered_future(market, 1000, 2.0, np.random.default_rng(0))
    first = [one.close.iloc[999:1001].ffill() for one in (market, other)]
    assert (first[1].iloc[1] / first[1].iloc[0] > 1.8).all()
    assert (other.volume.iloc[1000:] != market.volume.iloc[1000:]).mean(axis=None) > 0.9


def test_noise_moves_a_bar_as_a_whole():
    market = made_market(50)
    noisy = with_price_noise(market, 1e-6, np.random.default_rng(0))
    assert 0 < (noisy.close / market.close - 1).abs().max(axis=None) <= 1.001e-6
    assert np.allclose(noisy.high / noisy.close, market.high / market.close, rtol=1e-14)
    pd.testing.assert_frame_equal(noisy["signal"], market["signal"])


def chooser_of(market, warmup, seed=0):
    changes = np.random.default_rng(seed).uniform(size=market.close.shape) < 0.05
    return Chooser(market, changes, warmup, np.random.default_rng(seed))


@given(st.integers(0, 1000), st.integers(0, 40), st.sampled_from([0.0, 0.1, 0.5]), st.data())
@settings(max_examples=100)
def test_latest_start_leaves_warm_up_bars_of_each_symbol_and_no_more(seed, warmup, missing, data):
    market = made_market(120, seed=seed, missing=missing)
    chooser = chooser_of(market, warmup, seed)
    row = data.draw(st.integers(min(max(warmup, 1), len(market) - 1), len(market) - 1))
    start = chooser.latest_start(row)
    present = market.close.notna().to_numpy()

    def enough(first):
        bars, before = present[first : row + 1].sum(axis=0), present[:first].sum(axis=0)
        ceased = before == present.sum(axis=0)
        return row + 1 - first >= warmup and bool(((bars >= warmup) | (before == 0) | ceased).all())

    assert enough(start)
    assert start == row or not enough(start + 1) or warmup == 0
    if start:
        assert chooser.comparable(History(start, row + 1, ""))[-1]


def test_row_is_compared_once_each_symbol_has_its_own_warm_up_bars():
    market = made_market(60, symbols=2)
    tables = {name: market[name].copy() for name in market}
    for table in tables.values():
        table.iloc[32:35, 1] = np.nan
    gappy = Market(tables, market.timeframe)
    assert list(np.flatnonzero(chooser_of(market, 10).comparable(History(30, 60, "")))) == list(range(9, 30))
    assert list(np.flatnonzero(chooser_of(gappy, 10).comparable(History(30, 60, "")))) == list(range(12, 30))


def test_futures_are_altered_in_a_gap_and_after_decisions(market):
    changes = SmaCross().targets(market).notna().to_numpy()
    altered = Chooser(market, changes, SmaCross().warmup, np.random.default_rng(0)).altered(16)
    assert [history.why for history in altered] == ["a symbol's bar is missing there"] + 3 * ["a target changes there"]
    assert market.close.iloc[altered[0].altered - 1].isna().any()
    assert all(changes[history.altered - 1].any() for history in altered[1:])
    assert {history.lift for history in altered} == {2.0, 0.5}


@given(st.integers(0, 1000), st.integers(0, 60), st.integers(0, 40), st.sampled_from([0.0, 0.1]))
@settings(max_examples=50)
def test_histories_are_different_ones_and_lie_within_the_market(seed, warmup, number, missing):
    market = made_market(150, seed=seed, missing=missing)
    chooser = chooser_of(market, warmup, seed)
    cuts, altered, starts = chooser.cuts(number), chooser.altered(number), chooser.starts(number)
    assert len({cut.stop for cut in cuts}) == len(cuts) == number
    assert all(max(warmup, 1) <= cut.stop < len(market) for cut in cuts)
    assert all(0 < one.altered < one.stop == len(market) for one in altered)
    assert len(altered) == -(-number // 5)
    assert all(0 < one.start < one.stop <= len(market) for one in starts)
    assert len(starts) <= number
    for history in [*cuts, *altered, *starts]:
        assert len(chooser.comparable(history)) == history.stop - history.start


def test_cuts_fall_on_each_weekday_each_symbol_the_edges_and_a_gap(market):
    changes = SmaCross().targets(market).notna().to_numpy()
    chooser = Chooser(market, changes, SmaCross().warmup, np.random.default_rng(0))
    cuts = chooser.cuts(16)
    at_changes = [cut.stop - 1 for cut in cuts if cut.why == "a target changes there"]
    assert set(market.index[at_changes].day_of_week) == set(range(7))
    assert changes[at_changes].any(axis=0).all()
    assert {cut.why for cut in cuts} >= {
        "one bar less", "a symbol's bar is missing there", "the first bar of a day", "the first bar of a week",
        "the end of the warm-up", "the first decision", "a random place",
    }  # fmt: skip
    assert cuts[-1].stop == len(market) - 1
