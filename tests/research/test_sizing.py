"""Sizes: the old system's to the digits it gave, what was mended in them and why, and the cap that holds for all."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ValidationError
from research.sizing import (
    Forecast,
    Method,
    Sizing,
    ensemble,
    fixed_fraction,
    hb_enhanced,
    inverse_volatility,
    kelly,
    momentum,
    risk_parity,
    sharpe,
    volatility,
)

METHODS = get_args(Method)
WITH_OLD_FORMULA = [name for name in METHODS if name not in ("fixed", "inverse_volatility")]
FIRST_TRADE = (-0.0013124882698, 0.0002303424314, 0.0033673715832)
DEVIATION = 0.004
# A normal forecast of that deviation around 0.001: |q50| / deviation is 0.25.
TYPICAL = (0.001 - 1.2815515655446004 * DEVIATION, 0.001, 0.001 + 1.2815515655446004 * DEVIATION)

quick = settings(deadline=None, max_examples=100)
returns = st.floats(-0.2, 0.2)
triples = st.tuples(returns, returns, returns).map(sorted)
confidences, volatilities = st.floats(0.0, 10.0), st.floats(0.0, 5.0)


def sizes(quantiles, confidence=10.0, realised=0.6, performance=0.0, max_weight=0.5, legacy=False):
    """All six, by name."""
    options = {"max_weight": max_weight, "legacy": legacy}
    return {
        "kelly": kelly(*quantiles, confidence, **options),
        "volatility": volatility(*quantiles, realised, confidence, **options),
        "sharpe": sharpe(*quantiles, confidence, **options),
        "risk_parity": risk_parity(*quantiles, confidence, **options),
        "momentum": momentum(*quantiles, confidence, performance=performance, **options),
        "ensemble": ensemble(*quantiles, realised, confidence, performance=performance, **options),
    }


@pytest.mark.parametrize(
    ("quantiles", "confidence", "realised", "expected"),
    [
        ((0.005, 0.015, 0.025), 8.5, 0.15, (0.2125, 0.0271, 0.5, 0.0629, 0.0588, 0.1858)),
        ((-0.005, 0.008, 0.02), 4.2, 0.25, (0.0717, 0.0019, 0.102, 0.0133, 0.0100, 0.0454)),
        ((-0.03, -0.018, -0.005), 7.8, 0.18, (0.195, 0.0203, 0.001, 0.0554, 0.0567, 0.0778)),
        ((-0.025, 0.002, 0.03), 3.1, 0.35, (0.0107, 0.001, 0.0012, 0.0011, 0.001, 0.0040)),
        ((-0.0023, -0.0002, 0.0022), 5.0, 0.006, (0.0109, 0.0051, 0.001, 0.0022, 0.001, 0.0052)),
    ],
)
def test_legacy_sizes_are_those_the_old_sizer_gave(quantiles, confidence, realised, expected):
    given_sizes = sizes(quantiles, confidence, realised, legacy=True)
    assert tuple(round(float(size), 4) for size in given_sizes.values()) == expected


def test_first_trade_of_the_old_system_has_its_size():
    assert float(hb_enhanced(*FIRST_TRADE, 10.0, threshold=0.00050498)) == pytest.approx(0.0415257453, abs=5e-11)


def test_enhanced_size_by_hand_where_signal_and_spread_pass():
    # q10 -0.005, q50 0.015, q90 0.02: 80% rise; confidence 3, of which (confidence / 3)^1.5 is 1
    quantiles = (-0.005, 0.015, 0.02)
    bet, deviation = (0.8 - 0.2 / 4) * 0.3 * 0.25, 0.025 / 3.29
    parts = 8 * 0.015 * 0.001 / deviation * 2, 0.05 * 0.015 / deviation * 2, 0.003 / deviation * 15 * 0.015 * 0.3
    blend = 0.4 * bet * 1.3 * 1.2 * 1.15 + 0.3 * parts[0] + 0.15 * parts[1] + 0.15 * parts[2]
    size = hb_enhanced(*quantiles, 3.0, threshold=0.01, spread_threshold=0.03, realised=0.001)
    assert size == pytest.approx(blend * 1.4 * 1.3 * 1.2 * 0.3**1.1)


def test_enhanced_size_by_hand_where_neither_passes():
    quantiles = (-0.005, 0.015, 0.02)
    bet, deviation = (0.8 - 0.2 / 4) * 0.3 * 0.25 * 0.8 * 0.8, 0.025 / 3.29
    parts = 8 * 0.015 * 0.004 / deviation * 2, 0.05 * 0.015 / deviation * 2, 0.003 / deviation * 15 * 0.015 * 0.3
    blend = 0.4 * bet + 0.3 * parts[0] + 0.15 * parts[1] + 0.15 * parts[2]
    size = hb_enhanced(*quantiles, 3.0, threshold=0.02, spread_threshold=0.01, realised=0.004)
    assert size == pytest.approx(blend * 0.7 * 0.7 * 0.3**1.1)


def test_mended_sizes_by_hand():
    # q10 -0.005, q50 0.001, q90 0.007: p = 0.9 - 0.4 x 5/6; edge = p - (1 - p) x 5/7
    p = 0.9 - 0.4 * 5 / 6
    assert kelly(-0.005, 0.001, 0.007, 8.0) == pytest.approx((p - (1 - p) * 5 / 7) * 0.25 * 0.8)
    # clarity 0.25: in full for the volatility, whose ratio is 0.15 / 0.6
    by_name = sizes(TYPICAL, 8.0, performance=0.1)
    assert by_name["volatility"] == pytest.approx(0.25 * 0.8)
    assert volatility(*TYPICAL, 0.6, 8.0, full_strength=0.5) == pytest.approx(0.25 * 0.5 * 0.8)
    assert by_name["sharpe"] == pytest.approx(0.25 * 0.8)
    assert sharpe(*TYPICAL, 8.0, historical=0.2) == pytest.approx(0.25 * 1.25 * 0.8)
    assert sharpe(*TYPICAL, 8.0, historical=0.01, scale=0.1) == pytest.approx(0.025 * 2 * 0.8)
    assert by_name["risk_parity"] == pytest.approx(0.001 / DEVIATION * 0.8)
    assert by_name["momentum"] == pytest.approx(0.25 * 1.2 * 0.8)
    parts = [float(by_name[name]) for name in ("kelly", "volatility", "sharpe", "risk_parity", "momentum")]
    assert by_name["ensemble"] == pytest.approx(np.dot([0.30, 0.25, 0.20, 0.15, 0.10], parts))


# Each deliberate change beside what it changes.


def test_short_has_a_sign_and_the_size_of_its_long_where_the_old_sharpe_fell_to_the_floor():
    mirrored = tuple(-one for one in reversed(TYPICAL))
    assert sharpe(*mirrored) == -sharpe(*TYPICAL) == pytest.approx(-0.25)
    assert sharpe(*mirrored, legacy=True) == 0.001
    assert sharpe(*TYPICAL, legacy=True) > 0.01


def test_no_edge_is_no_position_where_the_old_floor_traded():
    # the losing quantile is far and the winning one near: p 0.55 of 0.002 against 0.45 of 0.02
    assert kelly(-0.02, 0.0005, 0.002) == 0.0
    assert kelly(-0.02, 0.0005, 0.002, legacy=True) == 0.001
    for name, size in sizes((-0.01, 0.0, 0.02)).items():
        assert size == 0.0, name
    assert all(size >= 0.001 for size in sizes((-0.01, 0.0, 0.02), legacy=True).values())


def test_forecast_without_loss_is_no_bet_without_risk():
    # p jumped from 0.9 to 1 as q10 reached 0, and a loss of exactly 0 was worth 0.01
    assert kelly(-1e-12, 0.01, 0.02) == pytest.approx(0.225)
    assert kelly(0.0, 0.01, 0.02) == kelly(0.005, 0.01, 0.02) == pytest.approx(0.225)
    old = [float(kelly(low, 0.01, 0.02, legacy=True)) for low in (-1e-12, 0.0, 0.005)]
    assert old == pytest.approx([0.225, 0.01, 0.25])


def test_deviation_is_that_of_an_80_percent_interval():
    # a budget of 0.001 over 0.004; the old one took the interval for one of 90%
    assert Forecast.of(*TYPICAL).deviation == pytest.approx(DEVIATION)
    assert risk_parity(*TYPICAL) == pytest.approx(0.25)
    narrow = DEVIATION * 2.5631031310892007 / 3.29
    assert risk_parity(*TYPICAL, legacy=True) == pytest.approx(0.003 / narrow * 10 * 0.001)


def test_risk_parity_gives_each_forecast_the_same_risk_where_the_old_one_did_not():
    twice = (TYPICAL[0] + 0.001, 0.002, TYPICAL[2] + 0.001)
    assert risk_parity(*twice) == pytest.approx(float(risk_parity(*TYPICAL)))
    assert risk_parity(*twice, legacy=True) == pytest.approx(2 * float(risk_parity(*TYPICAL, legacy=True)))


def test_confidence_is_one_factor_where_the_old_powers_differed():
    full, half = sizes(TYPICAL), sizes(TYPICAL, 5.0)
    assert {name: float(half[name] / full[name]) for name in full} == pytest.approx(dict.fromkeys(full, 0.5))
    assert all(size == 0.0 for size in sizes(TYPICAL, 0.0).values())
    clear = (-0.01, 0.02, 0.05)
    old_full, old_half = sizes(clear, realised=0.1, legacy=True), sizes(clear, 5.0, realised=0.1, legacy=True)
    shares = {name: float(old_half[name] / old_full[name]) for name in ("kelly", "volatility", "momentum")}
    assert shares == pytest.approx({"kelly": 0.5, "volatility": 0.25, "momentum": 0.5**1.5})


def test_losses_cut_as_fast_as_gains_add_where_the_old_run_did_not():
    def run(performance, **options):
        quantiles = (-0.01, 0.005, 0.02)
        return float(momentum(*quantiles, performance=performance, **options) / momentum(*quantiles, **options))

    assert [run(p, max_weight=1.0) for p in (0.1, -0.1, 0.9, -0.9)] == pytest.approx([1.2, 0.8, 1.5, 0.5])
    assert [run(p, legacy=True) for p in (0.1, -0.1, 0.9, -0.9)] == pytest.approx([1.2, 0.9, 1.5, 0.7])


def test_size_by_volatility_is_no_longer_the_floor():
    assert volatility(*TYPICAL, 0.6) == pytest.approx(0.25)
    assert volatility(*TYPICAL, 0.6, legacy=True) == pytest.approx(0.001)


# What holds for every method.


@quick
@given(triples, confidences, volatilities, st.floats(-1.0, 1.0), st.floats(0.01, 1.0))
def test_targets_are_within_the_cap_and_on_the_side_of_the_median(quantiles, confidence, realised, recent, cap):
    for name, target in sizes(quantiles, confidence, realised, recent, cap).items():
        assert abs(target) <= cap, name
        assert np.sign(target) in (0.0, np.sign(quantiles[1])), name
    for name, size in sizes(quantiles, confidence, realised, recent, cap, legacy=True).items():
        assert 0.001 <= size <= cap, name


@quick
@given(triples, confidences, volatilities, st.floats(-1.0, 1.0))
def test_mirrored_quantiles_give_the_negative(quantiles, confidence, realised, recent):
    mirrored = [-one for one in reversed(quantiles)]
    long, short = (sizes(one, confidence, realised, recent) for one in (quantiles, mirrored))
    for name in long:
        assert long[name] == -short[name], name


@quick
@given(triples, confidences, confidences, volatilities, volatilities)
def test_sizes_rise_with_confidence_and_fall_with_volatility(quantiles, sure, surer, calm, wild):
    (sure, surer), (calm, wild) = sorted((sure, surer)), sorted((calm, wild))
    low, high, rough = sizes(quantiles, sure, calm), sizes(quantiles, surer, calm), sizes(quantiles, sure, wild)
    for name in low:
        assert abs(low[name]) <= abs(high[name]), name
        assert abs(rough[name]) <= abs(low[name]), name


@quick
@given(st.floats(1e-4, 0.1), st.floats(0.0, 0.2), st.floats(0.0, 0.2))
def test_sizes_fall_as_the_forecast_widens(median, half, wider):
    narrow, wide = ((median - one, median, median + one) for one in sorted((half, wider)))
    for name, target in sizes(narrow).items():
        assert sizes(wide)[name] <= target + 1e-12, name


@quick
@given(st.lists(st.tuples(triples, confidences, volatilities), min_size=1, max_size=10))
def test_a_column_gives_what_each_row_gives(rows):
    columns = [list(column) for column in zip(*(row[0] for row in rows), strict=True)]
    for legacy in (False, True):
        together = sizes(columns, [row[1] for row in rows], [row[2] for row in rows], legacy=legacy)
        alone = [sizes(*row, legacy=legacy) for row in rows]
        for name, column in together.items():
            np.testing.assert_allclose(column, [one[name] for one in alone], rtol=1e-14, atol=0, err_msg=name)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("quantiles", [(0.0, 0.0, 0.0), (0.01, 0.01, 0.01), (-0.01, -0.01, -0.01), (0.0, 0.0, 0.1)])
def test_sizes_are_finite_at_no_spread_and_no_volatility(quantiles, legacy):
    for confidence in (0.0, 10.0):
        for name, target in sizes(quantiles, confidence, realised=0.0, legacy=legacy).items():
            assert np.isfinite(target), name
            assert abs(target) <= 0.5, name


@pytest.mark.parametrize("legacy", [False, True])
def test_unknown_in_is_unknown_out(legacy):
    nan = np.nan
    for place in range(3):
        missing = [nan if at == place else one for at, one in enumerate(TYPICAL)]
        assert all(np.isnan(one) for one in sizes(missing, legacy=legacy).values())
    assert all(np.isnan(one) for one in sizes(TYPICAL, nan, legacy=legacy).values())
    by_volatility = sizes(TYPICAL, realised=nan, legacy=legacy)
    assert {name for name, one in by_volatility.items() if np.isnan(one)} == {"volatility", "ensemble"}
    by_performance = sizes(TYPICAL, performance=nan, legacy=legacy)
    assert {name for name, one in by_performance.items() if np.isnan(one)} == {"momentum", "ensemble"}
    for missing in (
        {"threshold": nan},
        {"threshold": 0.1, "realised": nan},
        {"threshold": 0.1, "spread_threshold": nan},
    ):
        assert np.isnan(hb_enhanced(*TYPICAL, **missing))


# Sizing: what a strategy composes.

SIDES = np.array([1.0, -1.0, 0.0, np.nan])
LONGS = [np.full(3, one) for one in TYPICAL]
LONG_SHORT = [np.array(one) for one in zip(TYPICAL, [-q for q in reversed(TYPICAL)], TYPICAL, TYPICAL, strict=True)]


@pytest.mark.parametrize("method", METHODS)
def test_weights_are_side_times_size(method):
    weights = Sizing(method=method).weights(SIDES, *LONG_SHORT, volatility=0.6)
    size = {"fixed": 0.1, "inverse_volatility": 0.25}.get(method)
    size = float(sizes(TYPICAL)[method]) if size is None else size
    np.testing.assert_allclose(weights, [size, -size, 0.0, np.nan], rtol=1e-14)


@pytest.mark.parametrize("method", WITH_OLD_FORMULA)
def test_legacy_weights_are_side_times_the_old_size(method):
    weights = Sizing(method=method, legacy=True, confidence=7.0).weights(SIDES, *LONG_SHORT, volatility=0.6)
    expected = sizes(LONG_SHORT, 7.0, legacy=True)[method]
    np.testing.assert_array_equal(weights, SIDES * expected)


@quick
@given(
    st.sampled_from(METHODS),
    triples,
    st.sampled_from([-1.0, 0.0, 1.0]),
    st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 10.0)),
    st.floats(0.01, 1.0),
    st.booleans(),
)
def test_cap_holds_after_the_multiplier_and_a_worse_regime_never_gets_more(
    method, quantiles, side, multipliers, cap, legacy
):
    sizing = Sizing(method=method, max_weight=cap, legacy=legacy and method in WITH_OLD_FORMULA)
    worse, better = (sizing.weights(side, *quantiles, volatility=0.3, multiplier=m) for m in sorted(multipliers))
    assert abs(worse) <= abs(better) <= cap
    assert np.sign(better) in (0.0, side)


def test_multiplier_below_one_cuts_what_the_cap_has_cut_and_one_above_meets_cap_and_its_own():
    sizing = Sizing(method="inverse_volatility", max_weight=0.4)
    weights = sizing.weights(np.ones(6), volatility=[0.1, 0.1, 0.1, 1.0, 1.0, 1.0], multiplier=[0.5, 1.0, 5.0] * 2)
    np.testing.assert_allclose(weights, [0.2, 0.4, 0.4, 0.075, 0.15, 0.3])


def test_share_divides_the_book_after_the_cap():
    quarter = Sizing(method="fixed", fraction=0.8, max_weight=0.4).weights([[1.0, -1.0]] * 3, share=0.25)
    np.testing.assert_allclose(quarter, [[0.1, -0.1]] * 3)


def test_side_against_its_own_median_has_no_edge():
    for method in WITH_OLD_FORMULA:
        assert Sizing(method=method).weights(-1.0, *TYPICAL, volatility=0.6) == 0.0
        assert Sizing(method=method, legacy=True).weights(-1.0, *TYPICAL, volatility=0.6) < 0.0


def test_confidence_and_performance_may_differ_from_row_to_row():
    rows = [np.full(2, one) for one in TYPICAL]
    by_row = Sizing(confidence=1.0).weights(np.ones(2), *rows, confidence=[5.0, np.nan])
    np.testing.assert_allclose(by_row, [float(kelly(*TYPICAL, 5.0)), np.nan])
    by_run = Sizing(method="momentum").weights(np.ones(2), *rows, performance=[0.1, -0.1])
    np.testing.assert_allclose(by_run, [0.25 * 1.2, 0.25 * 0.8])


def test_a_flat_side_needs_nothing_and_any_other_all_that_it_rests_on():
    nan = np.nan
    one = np.ones(3)
    for method in METHODS:
        sizing = Sizing(method=method)
        flat = sizing.weights(0.0 * one, *(nan * one,) * 3, volatility=nan, multiplier=nan)
        np.testing.assert_array_equal(flat, [0.0] * 3)
        assert np.isnan(sizing.weights(one, *LONGS, volatility=0.6, multiplier=nan)).all()
    for method in ("volatility", "ensemble", "inverse_volatility"):
        assert np.isnan(Sizing(method=method).weights(one, *LONGS, volatility=nan)).all()


def test_fixed_and_inverse_volatility_need_no_forecast_and_keep_a_table_a_table():
    hours = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC")
    side = pd.DataFrame({"BTC/USD": [1.0, 0.0, np.nan], "ETH/USD": [-1.0, 1.0, 1.0]}, index=hours)
    calm = pd.DataFrame({"BTC/USD": [0.8, np.nan, 0.8], "ETH/USD": [0.1, 0.0, np.nan]}, index=hours)
    pd.testing.assert_frame_equal(fixed_fraction(side, 0.2), side * 0.2)
    expected = pd.DataFrame({"BTC/USD": [0.25, 0.0, np.nan], "ETH/USD": [-0.3, 0.3, np.nan]}, index=hours)
    pd.testing.assert_frame_equal(inverse_volatility(side, calm, target=0.2, max_weight=0.3), expected)
    pd.testing.assert_series_equal(
        inverse_volatility(side["BTC/USD"], calm["BTC/USD"], 0.2), expected["BTC/USD"], check_names=True
    )
    weights = Sizing(method="inverse_volatility", target_volatility=0.2, max_weight=0.3).weights(side, volatility=calm)
    np.testing.assert_array_equal(weights, expected.to_numpy())
    with pytest.raises(ValidationError, match="differ in their index"):
        inverse_volatility(side, calm.shift(1, freq="h"), target=0.2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kelly(*TYPICAL, 11), "confidence: must be from 0 to 10"),
        (lambda: kelly(*TYPICAL, [5, 5], max_weight=0.5, fraction=0.0), "fraction 0.0 must be"),
        (lambda: kelly([0.1] * 3, [0.1] * 3, [0.1] * 3, [5, 5]), r"q50 \(3,\), confidence \(2,\)"),
        (lambda: kelly(*TYPICAL, max_weight=1.5), "max_weight 1.5 must be"),
        (lambda: kelly(0, np.inf, 0), "infinite"),
        (lambda: volatility(*TYPICAL, -0.1), "realised volatility: must be finite"),
        (lambda: volatility(*TYPICAL, 0.1, target=0.0), "target 0.0 must be"),
        (lambda: sharpe(*TYPICAL, historical=0.0), "historical 0.0 must be"),
        (lambda: risk_parity(*TYPICAL, budget=np.nan), "budget nan must be"),
        (lambda: momentum(*TYPICAL, performance=np.inf), "performance: must be a finite return"),
        (lambda: Sizing(method="martingale"), "method 'martingale' is none of kelly, volatility"),
        (lambda: Sizing(method="fixed", legacy=True), "'fixed' has no old formula"),
        (lambda: Sizing(max_weight=0.0), "max_weight 0.0 must be"),
        (lambda: Sizing(confidence=-1.0), "confidence -1.0 must be"),
        (lambda: Sizing(fraction=2.0), "fraction 2.0 must be"),
        (lambda: Sizing(multiplier_cap=0.0), "multiplier_cap 0.0 must be"),
        (lambda: Sizing().weights(1.0), "'kelly' goes by a forecast; give q10, q50 and q90"),
        (lambda: Sizing(method="ensemble").weights(1.0, *TYPICAL), "goes by volatility; give volatility="),
        (lambda: Sizing().weights(0.5, *TYPICAL), "side: must be 1 long"),
        (lambda: Sizing().weights(1.0, *TYPICAL, multiplier=-1.0), "multiplier: must be finite"),
        (lambda: Sizing().weights(1.0, *TYPICAL, share=0.0), "share 0.0 must be"),
        (lambda: Sizing().weights([1.0, 1.0], *LONG_SHORT), r"side \(2,\), forecast \(4,\)"),
        (lambda: hb_enhanced(*TYPICAL, [1, 2], threshold=[0.1]), r"confidence \(2,\), threshold \(1,\)"),
        (lambda: fixed_fraction(np.ones(1), 1.5), "fraction 1.5 must be"),
        (lambda: inverse_volatility(np.ones(1), [-1.0], 0.2), "volatility: must be finite"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValidationError, match=message):
        call()
