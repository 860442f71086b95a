"""The arithmetic of execution rules 2 to 4: each function by example and by property, interpreted and compiled."""

from __future__ import annotations

import math
from collections.abc import Callable

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

from engine import kernel_rules, rules
from engine.rules import DUST, STEP_NOISE, SUM_NOISE

amounts = st.floats(-1e12, 1e12).filter(lambda x: x == 0.0 or abs(x) > 1e-12)
sizes = st.floats(1e-12, 1e12)
prices = st.floats(1e-8, 1e6)
steps = st.sampled_from([0.0, 1e-8, 1e-5, 0.001, 0.003, 0.1, 0.3, 1.0, 5.0, 25.0])
fees = st.sampled_from([0.0, 0.0007, 0.001, 0.05])
leverages = st.sampled_from([1.0, 2.0, 3.0, 125.0])
fractions = st.sampled_from([0.0, 0.0005, 0.1, 0.3])
volumes = st.one_of(st.sampled_from([0.0, math.nan, 1.0]), sizes)


# Rounding to the lot step


@pytest.mark.parametrize(
    ("amount", "step", "rounded"),
    [
        (1.29, 0.1, 1.2),
        (-1.29, 0.1, -1.2),
        (0.09, 0.1, 0.0),
        (0.3, 0.1, 0.3),  # 0.3 / 0.1 is 2.9999999999999996
        (1.1, 0.1, 1.1),
        (2.675, 0.001, 2.675),
        (7.0, 0.003, 2333 * 0.003),
        (99.0, 25.0, 75.0),
        (1.23456789, 0.0, 1.23456789),
        (129.04509, 1e-5, 129.04509),  # 12904508.999999998 steps
        (1e12 + 0.5, 1e-8, 1e12 + 0.5),  # 1e20 steps: more than a 64-bit integer counts
    ],
)
def test_amount_is_rounded_towards_zero_to_whole_steps(amount: float, step: float, rounded: float) -> None:
    assert rules.round_to_step(amount, step, STEP_NOISE) == rounded


@given(amounts, steps)
def test_rounding_never_goes_away_from_zero_and_loses_less_than_a_step(amount: float, step: float) -> None:
    rounded = rules.round_to_step(amount, step, STEP_NOISE)
    slack = STEP_NOISE * step + 1e-15 * abs(amount)
    assert abs(rounded) <= abs(amount) + slack
    assert abs(amount) - abs(rounded) <= step + slack
    assert rounded * amount >= 0.0
    if abs(amount) < 2.0**50 * step:  # beyond, floats lie further apart than steps
        assert rules.round_to_step(rounded, step, STEP_NOISE) == rounded


@given(st.integers(1, 10**14), st.sampled_from([1e-8, 1e-5, 0.001, 0.1, 1.0]))
def test_whole_steps_are_the_nearest_floats_to_their_decimals(count: int, step: float) -> None:
    # What an exchange prints: 3 steps of 0.1 are "0.3", not 0.30000000000000004.
    decimals = round(-math.log10(step))
    exact = float(f"{count}e-{decimals}")
    assert rules.round_to_step(exact, step, STEP_NOISE) == exact
    assert rules.round_to_step(count * step, step, STEP_NOISE) == exact


def test_amount_within_the_noise_of_a_step_is_that_step_and_the_caller_says_how_much_is_noise() -> None:
    just_below = 1.0 - 1e-10
    assert rules.round_to_step(just_below, 1.0, STEP_NOISE) == 1.0
    assert rules.round_to_step(just_below, 1.0, SUM_NOISE) == 0.0


# Sizing


def test_order_is_target_weight_of_equity_at_the_close_less_what_is_held() -> None:
    assert rules.unrounded_order(0.5, 10_000.0, 0.0, 100.0) == 50.0
    assert rules.unrounded_order(0.5, 10_000.0, 30.0, 100.0) == 20.0
    assert rules.unrounded_order(-0.5, 10_000.0, 30.0, 100.0) == -80.0


@pytest.mark.parametrize("held", [30.0, -30.0, 0.1 + 0.2])
def test_order_to_weight_zero_closes_to_the_last_bit(held: float) -> None:
    for weight in (0.0, -0.0, 1e-300, -DUST / 2):
        assert held + rules.unrounded_order(weight, 10_000.0, held, 7.0) == 0.0


@pytest.mark.parametrize("equity", [0.0, -5.0])
def test_without_equity_a_position_is_closed_whatever_is_wanted(equity: float) -> None:
    assert rules.unrounded_order(1.0, equity, 3.0, 100.0) == -3.0
    assert rules.unrounded_order(-1.0, equity, -3.0, 100.0) == 3.0


@given(st.floats(-1, 1).filter(lambda w: abs(w) >= DUST), st.floats(1e-3, 1e9), prices, st.floats(-1, 1))
def test_holding_after_the_order_is_worth_the_target(weight: float, equity: float, close: float, before: float) -> None:
    held = before * equity / close
    after = held + rules.unrounded_order(weight, equity, held, close)
    assert after * close == pytest.approx(weight * equity, rel=1e-12, abs=1e-14 * equity)


def test_fixed_order_opens_and_turns_by_its_notional_and_leaves_what_is_held_on_its_side() -> None:
    assert rules.fixed_order(1.0, 100.0, 1e4, 0.0, 50.0, False) == 2.0
    assert rules.fixed_order(0.5, 100.0, 1e4, 0.0, 50.0, False) == 1.0
    assert rules.fixed_order(1.0, 100.0, 1e4, 3.0, 50.0, True) == 0.0  # no second buy
    assert rules.fixed_order(1.0, 100.0, 1e4, 0.001, 50.0, False) == 1.999  # crumbs are no position
    assert rules.fixed_order(-1.0, 100.0, 1e4, 3.0, 50.0, True) == -5.0
    assert rules.fixed_order(0.0, 100.0, 1e4, 3.0, 50.0, True) == -3.0
    assert rules.fixed_order(1.0, 100.0, 0.0, 3.0, 50.0, True) == -3.0


# What is sent


def test_order_below_the_minimum_is_not_sent_and_one_at_it_is() -> None:
    smallest = rules.smallest_order(10.0, 1_000.0)
    assert not rules.is_sendable(0.0999, 0.0, 100.0, smallest, 0.0)
    assert rules.is_sendable(0.1, 0.0, 100.0, smallest, 0.0)
    assert rules.is_sendable(-0.1, -5.0, 100.0, smallest, 0.0)
    # 0.07 x 100 is 7.000000000000001 and 0.57 x 100 is 56.99999999999999: noise keeps nothing back.
    assert rules.is_sendable(0.57, 0.0, 100.0, rules.smallest_order(57.0, 1_000.0), 0.0)


def test_order_below_the_smallest_amount_is_not_sent_and_one_at_it_is() -> None:
    assert not rules.is_sendable(0.29, 0.0, 100.0, 0.0, 0.3)
    assert rules.is_sendable(-0.3, 0.0, 100.0, 0.0, 0.3)
    assert rules.is_sendable(0.3, 0.0, 100.0, 0.0, 0.1 + 0.2)
    # Either minimum keeps it back.
    assert not rules.is_sendable(0.3, 0.0, 100.0, 31.0, 0.3)


def test_order_below_the_minima_is_sent_if_it_closes_the_position() -> None:
    smallest = rules.smallest_order(10.0, 1_000.0)
    assert rules.is_sendable(-0.05, -0.05, 100.0, smallest, 1.0)
    assert rules.is_sendable(0.05, 0.05, 100.0, smallest, 1.0)
    assert not rules.is_sendable(-0.04, -0.05, 100.0, smallest, 0.0)
    assert not rules.is_sendable(0.05, -0.05, 100.0, smallest, 0.0)
    assert not rules.is_sendable(0.0, 0.0, 100.0, 0.0, 0.0)
    assert not rules.is_sendable(-0.0, 0.0, 100.0, 0.0, 0.0)


def test_order_of_rounding_noise_is_not_sent_where_the_venue_has_no_minimum() -> None:
    smallest = rules.smallest_order(0.0, 1_000.0)
    assert not rules.is_sendable(1e-9, -5.0, 100.0, smallest, 0.0)
    assert rules.is_sendable(1e-7, -5.0, 100.0, smallest, 0.0)


# Prices and costs


def test_buy_fills_above_the_open_and_sell_below_it_by_slippage() -> None:
    assert rules.fill_price(100.0, 1.0, 0.001) == 100.1
    assert rules.fill_price(100.0, -1.0, 0.001) == 99.9
    assert rules.fill_price(100.0, 1.0, 0.0) == 100.0


def test_fee_is_the_rate_of_the_notional_for_either_side() -> None:
    assert rules.fee_paid(2.0, 100.0, 0.001) == pytest.approx(0.2)
    assert rules.fee_paid(-2.0, 100.0, 0.001) == rules.fee_paid(2.0, 100.0, 0.001)


def test_cash_pays_notional_and_fee_and_a_sale_brings_it_in() -> None:
    assert rules.cash_after(1_000.0, 2.0, 100.0, 0.2) == pytest.approx(799.8)
    assert rules.cash_after(1_000.0, -2.0, 100.0, 0.2) == pytest.approx(1_199.8)


def test_cash_below_zero_is_zero_only_where_it_is_rounding_noise() -> None:
    assert rules.cash_after(100.0, 1.0, 100.00000000000001, 0.0) == 0.0
    assert rules.cash_after(100.0, 1.0, 100.000001, 0.0) < 0.0


# Free margin and what it pays


def test_margin_of_a_spot_holding_is_nothing_and_of_a_short_its_notional_and_its_proceeds() -> None:
    assert rules.margin_held(2.0, 100.0, 1.0) == 0.0
    assert rules.margin_held(-2.0, 100.0, 1.0) == 400.0
    assert rules.margin_held(-2.0, 100.0, 4.0) == 250.0
    # A leveraged holding lends back what of its value is not margin.
    assert rules.margin_held(2.0, 100.0, 4.0) == -150.0


def test_buy_that_cash_cannot_pay_is_cut_to_what_it_pays_fee_included() -> None:
    paid = rules.payable_amount(100.0, 0.0, 10.0, 10.0, 0.001, 1.0, 500.0)
    assert paid * 10.0 * 1.001 == pytest.approx(500.0, rel=1e-15)
    assert rules.payable_amount(49.9, 0.0, 10.0, 10.0, 0.001, 1.0, 500.0) == 49.9


def test_buy_that_costs_exactly_what_there_is_is_not_cut() -> None:
    price, fee = 0.3, 0.0007
    amount = 12_345.67 / (price * (1.0 + fee))
    assert rules.payable_amount(amount, 0.0, price, price, fee, 1.0, 12_345.67) == amount


def test_margin_of_an_opening_is_at_the_mark_and_its_slippage_is_lost_at_once() -> None:
    # At ten times, a unit bought at 101 ties up 10 and has lost 1; sold short at 99 in full, 100 and 1.
    assert rules.payable_amount(999.0, 0.0, 100.0, 101.0, 0.001, 10.0, 1_000.0) == pytest.approx(1_000 / 11.101)
    assert rules.payable_amount(-999.0, 0.0, 100.0, 99.0, 0.001, 1.0, 1_000.0) == pytest.approx(-1_000 / 101.099)


@pytest.mark.parametrize("free", [-1e6, 0.0, 1e-9])
def test_order_that_reduces_a_position_is_always_payable(free: float) -> None:
    assert rules.payable_amount(-3.0, 5.0, 10.0, 9.0, 0.01, 1.0, free) == -3.0
    assert rules.payable_amount(5.0, -5.0, 10.0, 11.0, 0.01, 1.0, free) == 5.0


def test_reversal_closes_in_full_and_opens_with_what_that_frees() -> None:
    # Long 5 at 10 with no free margin, leverage 1, no fee: selling frees 50, which pays for 5 short.
    assert rules.payable_amount(-10.0, 5.0, 10.0, 10.0, 0.0, 1.0, 0.0) == -10.0
    assert rules.payable_amount(-12.0, 5.0, 10.0, 10.0, 0.0, 1.0, 0.0) == pytest.approx(-10.0)
    # Deep in debt it still closes, and opens nothing.
    assert rules.payable_amount(-12.0, 5.0, 10.0, 10.0, 0.0, 1.0, -1e6) == -5.0


@given(amounts.filter(bool), st.floats(-1e6, 1e6), prices, st.sampled_from([0.0, 0.0005, 0.01]), fees, leverages, sizes)
def test_payable_part_is_on_the_same_side_never_more_and_keeps_free_margin(
    amount: float, held: float, mark: float, slippage: float, fee: float, leverage: float, free: float
) -> None:
    price = rules.fill_price(mark, amount, slippage)
    payable = rules.payable_amount(amount, held, mark, price, fee, leverage, free)
    assert payable * amount >= 0.0
    assert abs(payable) <= abs(amount) * (1.0 + 1e-12)
    assert abs(payable) >= min(abs(amount), max(-math.copysign(1.0, amount) * held, 0.0))
    if leverage == 1.0 and amount > 0.0 <= held:
        # Spot: cash after the fill, fee included, is not below zero.
        cost = payable * price * (1.0 + fee)
        assert cost <= free * (1.0 + 1e-11)


# Holdings


def test_holding_of_whole_steps_stays_whole_and_a_closed_one_is_exactly_zero() -> None:
    assert rules.held_after(0.1, 0.2, 0.1) == 0.3
    assert rules.held_after(0.3, -0.3, 0.1) == 0.0
    assert rules.held_after(0.1 + 0.2, -0.3, 0.0) == 0.0
    assert rules.held_after(0.3, -0.5, 0.1) == -0.2
    # A single step that is left of ten billion is a holding, not noise.
    assert rules.held_after(1e10, -(1e10 - 1.0), 1.0) == 1.0


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=40), st.sampled_from([1e-8, 0.001, 0.1, 1.0, 5.0]))
def test_holding_is_the_sum_of_its_steps_however_many_fills_made_it(fills: list[int], step: float) -> None:
    held = 0.0
    for count in fills:
        held = rules.held_after(held, rules.round_to_step(count * step, step, STEP_NOISE), step)
    assert held == rules.round_to_step(sum(fills) * step, step, STEP_NOISE)


# Sequence


@pytest.mark.parametrize(
    ("amount", "held", "phase"),
    [(-1.0, 2.0, 0), (-2.0, 2.0, 0), (1.0, -2.0, 1), (-1.0, 0.0, 2), (-3.0, 2.0, 2), (1.0, 0.0, 3), (3.0, -2.0, 3)],
)
def test_what_frees_cash_goes_first_and_sells_before_buys(amount: float, held: float, phase: int) -> None:
    assert rules.execution_phase(amount, held) == phase


# Interpreted and compiled

COMPILED: list[tuple[Callable[..., float], Callable[..., float], tuple[st.SearchStrategy[float], ...]]] = [
    (rules.round_to_step, kernel_rules.round_to_step, (amounts, steps, st.sampled_from([STEP_NOISE, SUM_NOISE]))),
    (rules.unrounded_order, kernel_rules.unrounded_order, (st.floats(-1, 1), amounts, amounts, prices)),
    (rules.fixed_order, kernel_rules.fixed_order, (st.floats(-1, 1), amounts, amounts, amounts, prices, st.booleans())),
    (rules.smallest_order, kernel_rules.smallest_order, (st.floats(0, 1e6), amounts)),
    (rules.is_sendable, kernel_rules.is_sendable, (amounts, amounts, prices, st.floats(0, 1e6), steps)),
    (rules.fill_price, kernel_rules.fill_price, (prices, amounts, st.floats(0, 0.1))),
    (rules.margin_held, kernel_rules.margin_held, (amounts, prices, leverages)),
    (rules.payable_amount, kernel_rules.payable_amount, (amounts, amounts, prices, prices, fees, leverages, amounts)),
    (rules.fee_paid, kernel_rules.fee_paid, (amounts, prices, fees)),
    (rules.cash_after, kernel_rules.cash_after, (amounts, amounts, prices, sizes)),
    (rules.held_after, kernel_rules.held_after, (amounts, amounts, steps)),
    (rules.execution_phase, kernel_rules.execution_phase, (amounts, amounts)),
    (rules.significant_step, kernel_rules.significant_step, (amounts, st.integers(0, 15))),
    (rules.round_price, kernel_rules.round_price, (prices, steps, st.sampled_from([-1, 0, 1]))),
    (rules.is_open, kernel_rules.is_open, (amounts, steps)),
    (rules.slippage_of, kernel_rules.slippage_of, (amounts, volumes, fractions, fractions, fractions)),
    (rules.received, kernel_rules.received, (amounts, fees, st.booleans())),
    (rules.liquidation_share, kernel_rules.liquidation_share, (amounts, amounts)),
    (rules.path_share, kernel_rules.path_share, (st.floats(1, 9), st.floats(10, 99), prices)),
]


@pytest.mark.parametrize(("plain", "compiled", "inputs"), COMPILED, ids=[plain.__name__ for plain, _, _ in COMPILED])
def test_compiled_rule_agrees_with_the_interpreted_one_bit_for_bit(plain, compiled, inputs) -> None:
    @given(st.tuples(*inputs))
    @settings(max_examples=500)
    def agree(values: tuple[float, ...]) -> None:
        one, other = plain(*values), compiled(*values)
        assert np.float64(one).tobytes() == np.float64(other).tobytes(), (values, one, other)

    agree()


def test_every_rule_is_compiled_and_compared() -> None:
    public = {name for name, value in vars(rules).items() if callable(value) and not name.startswith("_")}
    assert public == {plain.__name__ for plain, _, _ in COMPILED}


@given(amounts, steps)
@example(1e12, 1e-8)
@settings(max_examples=500)
def test_rounding_is_odd_so_that_buys_and_sells_are_treated_alike(amount: float, step: float) -> None:
    assert rules.round_to_step(-amount, step, STEP_NOISE) == -rules.round_to_step(amount, step, STEP_NOISE)
