"""The signal rule: the old system's figures, its defect, and that what is unknown is no signal."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ValidationError
from research.signal_rule import Forecast, SignalRule, adaptive_threshold, confidence_of_tier, expected_value, tier
from research.signals import NeutralWeight, prob_up, probabilities

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
FIRST_TRADE = (-0.0013124882698, 0.0002303424314, 0.0033673715832)
STATIC, OLD = SignalRule(adaptive=False), SignalRule(adaptive=False, short_by_own_side=False)

returns = st.floats(-0.5, 0.5)
triples = st.tuples(returns, returns, returns)
quick = settings(deadline=None, max_examples=100)


def _shared(name: str) -> pd.DataFrame:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"../shared/data/{name} is not there: real data that may not be committed")
    return pd.read_parquet(path)


def test_old_rule_passes_12_of_100_shorts_where_43_are_worth_a_trade():
    table = _shared("predictions_2024_1h.parquet")
    quantiles = table.q10, table.q50, table.q90
    shorts, longs = (table.q50 < 0).to_numpy(), (table.q50 > 0).to_numpy()
    old, mended = OLD.side(*quantiles), STATIC.side(*quantiles)
    assert round(100 * float((old[shorts] != 0).mean()), 1) == 11.9
    assert round(100 * float((mended[shorts] != 0).mean()), 1) == 42.9
    assert round(100 * float((mended[longs] != 0).mean()), 1) == 56.9
    np.testing.assert_array_equal(old[longs], mended[longs])


def test_first_trade_of_the_old_system_has_its_threshold_by_the_candle_it_misdated():
    # Its candles were stamped 4,020 bars late: the label 2023-08-11 11:00 reads the bar of 2023-02-24 21:00.
    close = _shared("btcusdt_1h.parquet")["close"].loc[:"2023-02-24 21:00"].iloc[-7:]
    variance = float(np.log(close).diff().std() ** 2)
    assert float(adaptive_threshold(0.0005, vol_risk=variance, variance_regime=1)) == pytest.approx(
        0.00050498, abs=5e-9
    )


def test_first_trade_of_the_old_system_is_its_weakest_tier_and_its_surest():
    assert float(prob_up(*FIRST_TRADE)) == pytest.approx(0.5597194316, abs=5e-11)
    expected = [0.3784670277, 0.1403957956, 0.4811371767]
    np.testing.assert_allclose(probabilities(*FIRST_TRADE, NeutralWeight(reference=None)), expected, rtol=0, atol=5e-11)
    weakest = tier(FIRST_TRADE[1], 0.00050498)
    assert weakest == 0.0
    assert confidence_of_tier(weakest, legacy=True) == 10.0
    assert confidence_of_tier(weakest) == 1.0


def test_expected_value_by_hand():
    # q10 -0.01, q50 0.01: 0 lies in the middle of 40%, so 70% rise. 0.7 x 0.02 - 0.3 x 0.01
    assert expected_value(-0.01, 0.01, 0.02) == pytest.approx(0.011)
    assert expected_value(-0.02, -0.01, 0.01) == pytest.approx(0.011)
    # The old formula takes the 30% that rise for the short's chance: 0.3 x 0.02 - 0.7 x 0.01
    assert expected_value(-0.02, -0.01, 0.01, short_by_own_side=False) == pytest.approx(-0.001)
    assert expected_value(-0.01, 0.01, 0.02, short_by_own_side=False) == pytest.approx(0.011)


def test_quantile_on_the_winning_side_of_zero_is_no_loss():
    forecast = Forecast.of([0.001, -0.003], [0.002, -0.002], [0.003, -0.001])
    np.testing.assert_array_equal(forecast.loss, [0.0, 0.0])
    np.testing.assert_array_equal(forecast.gain, [0.003, 0.003])
    np.testing.assert_array_equal(forecast.win_probability, [1.0, 1.0])
    np.testing.assert_allclose(expected_value(-0.003, -0.002, -0.001), 0.003)
    # p 0 and a negative "loss": the old formula finds a gain of 0.001 in it.
    np.testing.assert_allclose(expected_value(-0.003, -0.002, -0.001, short_by_own_side=False), 0.001)


def test_deviation_is_that_of_a_normal_distribution_with_these_quantiles():
    apart = 2 * 1.2815515655446004
    assert Forecast.of(-0.01 * apart / 2, 0.0, 0.01 * apart / 2).deviation == pytest.approx(0.01, rel=1e-12)


@quick
@given(triples)
def test_mirrored_forecast_has_the_same_figures_to_the_last_bit(quantiles):
    low, middle, high = sorted(quantiles)
    forecast, mirrored = Forecast.of(low, middle, high), Forecast.of(-high, -middle, -low)
    assert mirrored.side == -forecast.side
    if middle != 0.0:
        assert all(mine == other for mine, other in zip(forecast[1:], mirrored[1:], strict=True))
    assert expected_value(low, middle, high) == expected_value(-high, -middle, -low)
    assert STATIC.side(-high, -middle, -low) == -STATIC.side(low, middle, high)


@quick
@given(triples)
def test_old_and_mended_rule_differ_on_shorts_alone(quantiles):
    low, middle, high = sorted(quantiles)
    old, mended = OLD.judged(low, middle, high), STATIC.judged(low, middle, high)
    assert old.prob_up == mended.prob_up and old.threshold == mended.threshold == 0.0005
    if middle > 0.0:
        assert old.side == mended.side
        assert old.expected_value == pytest.approx(float(mended.expected_value), abs=1e-15)
    else:
        # the old one never finds a short better than it is, but for a forecast that lies below 0 as a whole
        assert high <= 0.0 or old.side >= mended.side


@quick
@given(st.lists(triples, min_size=1, max_size=12), st.floats(0.0, 0.1), st.floats(0.0, 0.1))
def test_dearer_trades_are_a_part_of_the_cheaper_ones(rows, cost, more):
    columns = list(zip(*rows, strict=True))
    cheap, dear = (SignalRule(adaptive=False, cost=one).side(*columns) for one in (cost, cost + more))
    assert np.isin(cheap, (-1.0, 0.0, 1.0)).all()
    assert ((dear == cheap) | (dear == 0.0)).all()


@quick
@given(st.lists(st.tuples(triples, st.floats(0.0, 0.02), st.integers(0, 3), st.booleans()), min_size=1, max_size=12))
def test_a_column_gives_what_each_row_gives(rows):
    rule = SignalRule(cost=0.0003)
    columns = list(zip(*(row[0] for row in rows), strict=True))
    variance, regime, trend = ([row[place] for row in rows] for place in (1, 2, 3))
    together = rule.judged(*columns, vol_risk=variance, variance_regime=regime, trending=trend)
    one_by_one = [rule.judged(*q, vol_risk=v, variance_regime=r, trending=t) for q, v, r, t in rows]
    for name in together._fields:
        np.testing.assert_array_equal(getattr(together, name), [getattr(one, name) for one in one_by_one])


def test_threshold_is_the_old_formula_whose_clip_never_binds():
    for regime, trend, variance in product((0, 1, 2, 3), (False, True), (0.0, 1.8e-5, 0.0162)):
        factor = 1 - 0.3 * (regime == 0) + 0.4 * (regime == 2) + 0.8 * (regime == 3) - 0.1 * trend
        expected = 0.0005 * np.clip(factor, 0.3, 3) * (1 + 500 * variance)
        actual = adaptive_threshold(0.0005, vol_risk=variance, variance_regime=regime, trending=trend)
        assert float(actual) == pytest.approx(expected, rel=1e-14)
    assert adaptive_threshold(0.0005) == 0.0005


def test_each_part_of_the_adaptive_threshold_has_its_switch():
    forecast = (-0.01, 0.01, 0.02)
    inputs = {"vol_risk": 0.002, "variance_regime": 3, "trending": True}
    thresholds = {
        "both": SignalRule().judged(*forecast, **inputs).threshold,
        "regime": SignalRule(by_variance=False).judged(*forecast, **inputs).threshold,
        "variance": SignalRule(by_regime=False).judged(*forecast, **inputs).threshold,
        "none": SignalRule(adaptive=False).judged(*forecast, **inputs).threshold,
    }
    expected = {"both": 0.0005 * 1.7 * 2, "regime": 0.0005 * 1.7, "variance": 0.001, "none": 0.0005}
    assert {name: float(one) for name, one in thresholds.items()} == pytest.approx(expected)


def test_a_step_without_its_input_names_it_and_its_switch():
    with pytest.raises(ValidationError, match=r"variance_regime is missing.*by_regime=False"):
        SignalRule().side(-0.01, 0.01, 0.02, vol_risk=0.0)
    with pytest.raises(ValidationError, match=r"vol_risk is missing.*by_variance=False"):
        SignalRule.old().side(-0.01, 0.01, 0.02, variance_regime=1)
    assert SignalRule(by_regime=False).side(-0.01, 0.01, 0.02, vol_risk=0.0) == 1.0
    assert SignalRule(by_variance=False).side(-0.01, 0.01, 0.02, variance_regime=1) == 1.0


def test_what_must_be_left_is_the_threshold_after_the_cost():
    # worth 0.011: the cost of 0.006 alone and the threshold of 0.006 alone would let it through
    assert SignalRule(0.006, adaptive=False).side(-0.01, 0.01, 0.02) == 1.0
    assert SignalRule(0.0, adaptive=False, cost=0.006).side(-0.01, 0.01, 0.02) == 1.0
    assert SignalRule(0.006, adaptive=False, cost=0.006).side(-0.01, 0.01, 0.02) == 0.0
    assert SignalRule(0.004, adaptive=False, cost=0.006).side(-0.02, -0.01, 0.01) == -1.0


def test_shorts_small_medians_and_no_median_are_left_out():
    columns = [-0.02, -0.01, -0.01], [-0.01, 0.01, 0.0], [0.01, 0.02, 0.03]
    np.testing.assert_array_equal(STATIC.side(*columns), [-1.0, 1.0, 0.0])
    np.testing.assert_array_equal(SignalRule(adaptive=False, shorts=False).side(*columns), [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(SignalRule(adaptive=False, least_median=0.01).side(*columns), [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(OLD.side([-0.01], [0.0], [0.03]), [0.0])
    assert expected_value(-0.01, 0.0, 0.03) == 0.0


def test_unknown_is_not_a_signal():
    nan = np.nan
    side = SignalRule().side(
        [nan, -0.01, -0.01, -0.01, -0.01],
        [0.01] * 5,
        [0.02] * 5,
        vol_risk=[0.0, nan, 0.0, 0.0, 0.0],
        variance_regime=[1, 1, nan, 1, 1],
        trending=[0, 0, 0, nan, 1],
    )
    np.testing.assert_array_equal(side, [nan, nan, nan, nan, 1.0])
    # what a step that is off would have needed is not looked at
    assert STATIC.side(-0.01, 0.01, 0.02, vol_risk=nan, variance_regime=nan) == 1.0
    np.testing.assert_array_equal(tier([nan, 0.1], [0.1, nan]), [nan, nan])
    np.testing.assert_array_equal(confidence_of_tier([nan, 3.0]), [nan, 7.5])
    np.testing.assert_array_equal(confidence_of_tier([nan, 3.0], legacy=True), [nan, 3.0])


def test_a_forecast_keeps_its_shape():
    table = np.full((3, 2), 0.01)
    judged = SignalRule().judged(-table, table, 2 * table, vol_risk=0.0, variance_regime=np.ones((3, 2)))
    assert {one.shape for one in judged} == {(3, 2)}
    assert (judged.side == 1.0).all()


def test_tiers_are_the_share_of_the_threshold_that_the_median_reaches():
    medians = [0.01, -0.01, 0.0099, 0.0085, -0.0079, 0.0065, 0.0059, 0.0]
    np.testing.assert_array_equal(tier(medians, 0.01), [3, 3, 2, 2, 1, 1, 0, 0])


def test_a_strong_tier_is_sure_and_was_not():
    np.testing.assert_array_equal(confidence_of_tier([0, 1, 2, 3]), [1.0, 2.5, 5.0, 7.5])
    np.testing.assert_array_equal(confidence_of_tier([0, 1, 2, 3], legacy=True), [10.0, 7.0, 5.0, 3.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SignalRule(threshold=-0.1), "threshold -0.1 must be"),
        (lambda: SignalRule(cost=np.nan), "cost nan must be"),
        (lambda: SignalRule(least_median=np.inf), "least_median inf must be"),
        (lambda: adaptive_threshold(-1.0), "base -1.0 must be"),
        (lambda: adaptive_threshold(0.1, vol_risk=[-1e-9]), "vol_risk: must be the variance"),
        (lambda: adaptive_threshold(0.1, variance_regime=[4]), "variance_regime: must be 0 low"),
        (lambda: adaptive_threshold(0.1, variance_regime=["low"]), "variance_regime: give numbers"),
        (lambda: adaptive_threshold(0.1, trending=2), "trending: must be True or False"),
        (
            lambda: adaptive_threshold(0.1, vol_risk=[0, 0], variance_regime=[1]),
            r"shapes are .*\(1,\), vol_risk \(2,\)",
        ),
        (lambda: SignalRule(by_regime=False).side(0, 0, 0, vol_risk=[0, 0]), r"shape \(\), .* \(2,\)"),
        (lambda: STATIC.side(np.inf, 0, 0), "infinite"),
        (lambda: tier(0.1, 0.0), "threshold must be above 0"),
        (lambda: confidence_of_tier(4), "tier must be 0, 1, 2 or 3"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValidationError, match=message):
        call()
