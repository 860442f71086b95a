"""Levels and prices as plain numbers: ticks, barriers, trailing stops, impact, liquidation; compiled, too."""

from __future__ import annotations

import math
from collections.abc import Callable

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from engine import barriers, kernel_rules, rules

NAN = math.nan
prices = st.floats(1e-8, 1e6)
levels = st.one_of(st.just(NAN), prices)
sides = st.sampled_from([1.0, -1.0])
fractions = st.sampled_from([NAN, 0.0001, 0.01, 0.05, 0.5])
scales = st.sampled_from([0.5, 1.0, 2.0])


# Significant digits and ticks


@pytest.mark.parametrize(
    ("value", "digits", "step"),
    [
        (12_345.6, 6, 0.1),
        (12_345.6, 5, 1.0),
        (12_345.6, 2, 1_000.0),
        (-12_345.6, 6, 0.1),
        (1.0, 3, 0.01),
        (9.99, 1, 1.0),
        (10.0, 1, 10.0),
        (0.00123, 2, 0.0001),
        (0.1, 1, 0.1),
        (12_345.6, 0, 0.0),
        (0.0, 5, 0.0),
    ],
)
def test_step_leaves_so_many_significant_digits(value: float, digits: int, step: float) -> None:
    assert rules.significant_step(value, digits) == step


@given(prices, st.integers(1, 12))
def test_price_rounded_to_digits_is_what_printing_it_gives(price: float, digits: int) -> None:
    rounded = rules.round_price(price, rules.significant_step(price, digits), 0)
    assert rounded == pytest.approx(float(f"{price:.{digits - 1}e}"), rel=1.01 * 10.0 ** (1 - digits))
    assert len(f"{rounded:.15g}".replace(".", "").lstrip("0").split("e")[0].rstrip("0")) <= digits


@pytest.mark.parametrize(
    ("price", "tick", "below", "nearest", "above"),
    [
        (100.3, 0.5, 100.0, 100.5, 100.5),
        (100.2, 0.5, 100.0, 100.0, 100.5),
        (100.25, 0.5, 100.0, 100.5, 100.5),
        (100.5, 0.5, 100.5, 100.5, 100.5),
        (0.3, 0.1, 0.3, 0.3, 0.3),  # 0.3 / 0.1 is 2.9999999999999996
        (0.1 + 0.2, 0.1, 0.3, 0.3, 0.3),
        (0.04, 0.1, 0.0, 0.0, 0.1),
        (1.23456, 0.0, 1.23456, 1.23456, 1.23456),
    ],
)
def test_price_is_the_tick_below_the_nearest_or_the_one_above(
    price: float, tick: float, below: float, nearest: float, above: float
) -> None:
    assert [rules.round_price(price, tick, direction) for direction in (-1, 0, 1)] == [below, nearest, above]


# Impact, fees in coins, what is open


def test_slippage_is_the_base_and_the_root_of_the_share_of_the_volume() -> None:
    assert rules.slippage_of(4.0, 400.0, 0.001, 0.1, 0.05) == pytest.approx(0.011)
    assert rules.slippage_of(-4.0, 400.0, 0.001, 0.1, 0.05) == pytest.approx(0.011)
    assert rules.slippage_of(400.0, 400.0, 0.001, 0.1, 0.05) == 0.05
    assert rules.slippage_of(1e-9, 0.0, 0.001, 0.1, 0.05) == 0.05
    assert rules.slippage_of(1e-9, NAN, 0.001, 0.1, 0.05) == 0.05
    assert rules.slippage_of(4.0, 0.0, 0.001, 0.0, 0.05) == 0.001


def test_fee_in_coins_is_taken_from_what_is_bought_alone() -> None:
    assert rules.received(5.0, 0.001, True) == pytest.approx(4.995)
    assert rules.received(-5.0, 0.001, True) == -5.0
    assert rules.received(5.0, 0.001, False) == 5.0


def test_less_than_a_step_is_no_position() -> None:
    assert rules.is_open(0.01, 0.01)
    assert not rules.is_open(0.0099, 0.01)
    assert rules.is_open(0.1 + 0.2, 0.3)
    assert rules.is_open(-1e-9, 0.0)
    assert not rules.is_open(0.0, 0.0)


# Barriers


def test_average_entry_weighs_by_amount_for_longs_and_for_shorts() -> None:
    assert barriers.average_entry(0.0, 7.0, 4.0, 100.0) == 100.0
    assert barriers.average_entry(4.0, 100.0, 4.0, 150.0) == 125.0
    assert barriers.average_entry(-1.0, 100.0, -3.0, 80.0) == 85.0


def test_barrier_is_a_scaled_fraction_of_the_average_on_its_side() -> None:
    assert barriers.barrier_price(200.0, 1.0, 0.05, 1.0) == 210.0
    assert barriers.barrier_price(200.0, 1.0, -0.05, 2.0) == 180.0
    assert barriers.barrier_price(200.0, -1.0, 0.05, 1.0) == 190.0
    assert barriers.barrier_price(200.0, -1.0, -0.05, 1.0) == 210.0
    assert math.isnan(barriers.barrier_price(200.0, 1.0, NAN, 1.0))


def test_trailing_stop_is_there_from_its_activation_on() -> None:
    assert math.isnan(barriers.trailing_price(100.0, 1.0, 104.9, 0.05, 0.02, 1.0))
    assert barriers.trailing_price(100.0, 1.0, 105.0, 0.05, 0.02, 1.0) == 103.0
    assert barriers.trailing_price(100.0, -1.0, 95.0, 0.05, 0.02, 1.0) == 97.0
    assert math.isnan(barriers.trailing_price(100.0, 1.0, 105.0, 0.05, 0.02, 2.0))
    assert barriers.trailing_price(100.0, 1.0, 110.0, 0.05, 0.02, 2.0) == 106.0
    assert math.isnan(barriers.trailing_price(100.0, 1.0, 200.0, NAN, NAN, 1.0))


@pytest.mark.parametrize(
    ("trailing", "stop", "side", "tighter"),
    [
        (97.0, 95.0, 1.0, True),
        (93.0, 95.0, 1.0, False),
        (95.0, 95.0, 1.0, False),
        (103.0, 105.0, -1.0, True),
        (NAN, 95.0, 1.0, False),
        (97.0, NAN, 1.0, True),
        (NAN, NAN, -1.0, False),
    ],
)
def test_trailing_stop_takes_the_place_of_a_wider_stop_or_of_none(
    trailing: float, stop: float, side: float, tighter: bool
) -> None:
    assert barriers.is_tighter(trailing, stop, side) == tighter


@given(sides, prices, prices, prices, levels)
def test_stop_fills_at_its_level_or_at_a_worse_start_and_only_if_it_is_reached(
    side: float, one: float, other: float, start: float, stop: float
) -> None:
    high, low = max(one, other, start), min(one, other, start)
    reference = barriers.stop_reference(side, start, high, low, stop)
    worst = low if side > 0 else high
    if math.isnan(stop) or side * (worst - stop) > 0:
        assert math.isnan(reference)
    else:
        assert reference in (start, stop)
        assert side * (reference - stop) <= 0
        assert low <= reference <= high


@given(sides, prices, prices, prices, levels)
def test_profit_fills_at_its_level_or_at_a_better_start_and_only_if_it_is_reached(
    side: float, one: float, other: float, start: float, profit: float
) -> None:
    high, low = max(one, other, start), min(one, other, start)
    reference = barriers.profit_reference(side, start, high, low, profit)
    best = high if side > 0 else low
    if math.isnan(profit) or side * (best - profit) < 0:
        assert math.isnan(reference)
    else:
        assert reference in (start, profit)
        assert side * (reference - profit) >= 0
        assert low <= reference <= high


# Liquidation


def test_liquidation_is_where_what_is_left_above_the_margin_is_gone() -> None:
    assert rules.liquidation_share(800.0, -280.0) == pytest.approx(800 / 1_080)
    assert rules.liquidation_share(800.0, 0.0) == 1.0
    assert rules.liquidation_share(800.0, 0.01) == 2.0
    assert rules.liquidation_share(0.0, -5.0) == rules.liquidation_share(-3.0, 5.0) == 0.0


def test_level_lies_so_far_on_the_way_from_the_open_to_the_worst() -> None:
    assert rules.path_share(100.0, 20.0, 60.0) == 0.5
    assert rules.path_share(100.0, 180.0, 120.0) == 0.25
    assert rules.path_share(100.0, 20.0, 20.0) == 1.0


@given(st.floats(1e-6, 1e9), st.floats(-1e9, 1e9))
def test_share_of_the_way_is_within_it_or_there_is_none(at_open: float, at_worst: float) -> None:
    share = rules.liquidation_share(at_open, at_worst)
    assert 0.0 <= share <= 1.0 or (share == 2.0 and at_worst > 0.0)


# Interpreted and compiled

COMPILED: list[tuple[Callable[..., float], tuple[st.SearchStrategy[float], ...]]] = [
    (barriers.average_entry, (prices, prices, prices, prices)),
    (barriers.barrier_price, (prices, sides, fractions, scales)),
    (barriers.trailing_price, (prices, sides, prices, fractions, fractions, scales)),
    (barriers.best_price, (prices, sides, prices, prices)),
    (barriers.is_tighter, (levels, levels, sides)),
    (barriers.stop_reference, (sides, prices, prices, prices, levels)),
    (barriers.profit_reference, (sides, prices, prices, prices, levels)),
]


@pytest.mark.parametrize(("plain", "inputs"), COMPILED, ids=[plain.__name__ for plain, _ in COMPILED])
def test_compiled_barrier_agrees_with_the_interpreted_one_bit_for_bit(plain, inputs) -> None:
    compiled = getattr(kernel_rules, plain.__name__)

    @given(st.tuples(*inputs))
    @settings(max_examples=300)
    def agree(values: tuple[float, ...]) -> None:
        one, other = plain(*values), compiled(*values)
        assert np.float64(one).tobytes() == np.float64(other).tobytes(), (values, one, other)

    agree()


def test_every_barrier_rule_is_compiled_and_compared() -> None:
    public = {name for name, value in vars(barriers).items() if callable(value) and not name.startswith("_")}
    assert public == {plain.__name__ for plain, _ in COMPILED}
