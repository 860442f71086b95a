"""From quantiles to probabilities: the old system's figures, and the places where its formula divides by zero."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ValidationError
from research.signals import NeutralWeight, bridge_target, in_order, prob_up, probabilities, spread_target

FIRST_TRADE = (-0.0013124882698, 0.0002303424314, 0.0033673715832)
returns = st.floats(-0.5, 0.5)
triples = st.tuples(returns, returns, returns)


def test_first_trade_of_the_old_system_has_its_probabilities():
    assert prob_up(*FIRST_TRADE) == pytest.approx(0.5597194316, abs=1e-10)
    expected = [0.3784670277, 0.1403957956, 0.4811371767]
    np.testing.assert_allclose(probabilities(*FIRST_TRADE, NeutralWeight(reference=None)), expected, atol=1e-10)


def test_neutral_weight_grows_with_the_spread_up_to_its_ceiling():
    np.testing.assert_allclose(NeutralWeight().of([0.0, 0.01, 0.02, 0.5]), [0.0, 0.15, 0.3, 0.3])
    np.testing.assert_allclose(NeutralWeight(reference=None).of([0.0, 0.0025, 0.005, 0.5]), [0.0, 0.075, 0.15, 0.15])


# What lies between the quantiles is told by hand: q10 -0.01, q50 0.01 has 0 in the middle of its 40%.
@pytest.mark.parametrize(
    ("quantiles", "expected"),
    [
        ((-0.01, 0.01, 0.02), 0.7),
        ((-0.02, -0.01, 0.01), 0.3),
        ((-0.01, 0.0, 0.01), 0.5),
        ((0.001, 0.002, 0.003), 1.0),
        ((-0.003, -0.002, -0.001), 0.0),
        ((0.0, 0.0, 0.01), 1.0),
        ((-0.01, 0.0, 0.0), 0.0),
        ((0.0, 0.0, 0.0), 0.5),
        ((0.002, 0.002, 0.002), 1.0),
        ((-0.002, -0.002, -0.002), 0.0),
        ((-0.002, -0.002, 0.002), 0.3),
        ((-0.002, 0.002, 0.002), 0.7),
        ((-5e-324, 0.0, 5e-324), 0.5),
    ],
)
def test_prob_up_at_zero_spread_and_at_zero(quantiles, expected):
    assert prob_up(*quantiles) == pytest.approx(expected, abs=1e-12)


@given(triples)
def test_probabilities_are_three_from_0_to_1_and_sum_to_1(quantiles):
    for weight in (NeutralWeight(), NeutralWeight(reference=None), NeutralWeight(ceiling=1.0)):
        three = probabilities(*quantiles, weight)
        assert three.shape == (3,)
        assert (three >= 0.0).all() and (three <= 1.0).all()
        assert three.sum() == pytest.approx(1.0, abs=1e-12)


@given(triples)
def test_mirrored_quantiles_swap_short_and_long(quantiles):
    low, middle, high = quantiles
    np.testing.assert_allclose(
        probabilities(-high, -middle, -low), probabilities(low, middle, high)[::-1], atol=1e-9, rtol=0
    )


@given(triples)
def test_order_in_which_quantiles_are_given_does_not_matter(quantiles):
    low, middle, high = sorted(quantiles)
    assert [float(one) for one in in_order(*quantiles)] == [low, middle, high]
    np.testing.assert_array_equal(probabilities(*quantiles), probabilities(low, middle, high))


@given(st.lists(triples, min_size=1, max_size=20))
def test_a_column_gives_what_each_row_gives(rows):
    columns = list(zip(*rows, strict=True))
    together = probabilities(*columns)
    np.testing.assert_array_equal(together, [probabilities(*row) for row in rows])
    np.testing.assert_array_equal(bridge_target(*columns), [bridge_target(*row) for row in rows])
    np.testing.assert_array_equal(spread_target(*columns), [spread_target(*row) for row in rows])


def test_a_missing_quantile_leaves_no_forecast():
    assert np.isnan(probabilities([np.nan, -0.1], [0.1, 0.0], [0.2, 0.1])[0]).all()
    assert np.isfinite(probabilities([np.nan, -0.1], [0.1, 0.0], [0.2, 0.1])[1]).all()
    assert np.isnan(prob_up(np.nan, 0.1, 0.2))
    assert np.isnan(bridge_target(0.0, np.nan, 0.2))


def test_bridge_target_is_the_old_formula_where_that_is_defined():
    # |0.01| x (0.5 + 1.5 x 0.5) / min(0.02 / 0.02, 2)
    assert bridge_target(-0.005, 0.01, 0.015) == pytest.approx(0.0125)
    assert bridge_target(-0.05, -0.01, 0.05, confidence=10.0) == pytest.approx(0.01)
    assert bridge_target(-0.005, 0.0001, 0.015) == 0.001
    assert bridge_target(-0.005, 0.04, 0.05, confidence=10.0) == pytest.approx(0.04 * 2 / 2)


def test_bridge_target_is_finite_where_the_spread_is_zero():
    assert bridge_target(0.0, 0.0, 0.0) == 0.001
    assert bridge_target(0.001, 0.001, 0.001) == pytest.approx(0.001 * 1.25 / 0.05)
    assert bridge_target(0.01, 0.01, 0.01) == 0.05


def test_spread_target_is_clipped():
    np.testing.assert_allclose(spread_target([-0.01, 0.0, -1.0], [0.0] * 3, [0.01, 0.0, 1.0]), [0.02, 0.001, 0.05])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prob_up(-np.inf, 0.0, 0.1), "a quantile is infinite"),
        (lambda: prob_up("low", 0.0, 0.1), "give numbers"),
        (lambda: prob_up([0.1, 0.2], [0.1], [0.2, 0.3]), "arrays of one shape"),
        (lambda: NeutralWeight(ceiling=1.5), "ceiling 1.5 must be from 0 to 1"),
        (lambda: NeutralWeight(reference=0.0), "reference 0.0 must be a spread above 0"),
        (lambda: bridge_target(0, 0, 0, floor=0.0), "floor 0.0 must be"),
        (lambda: bridge_target(0, 0, 0, confidence=11), "confidence must be from 0 to 10"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValidationError, match=message):
        call()
