"""Amounts and prices as an exchange reads them: whole steps, plain decimal text, no noise of floats."""

from __future__ import annotations

import re
from decimal import Context, Decimal, getcontext, localcontext
from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given

from data.errors import ValidationError
from engine.precision import amount_text, check_order, price_text
from engine.venue import Venue

STEPS = [1e-18, 1e-8, 0.00000001, 1e-5, 0.001, 0.003, 0.05, 0.1, 0.25, 1.0, 5.0, 25.0, 1000.0]
PLAIN = re.compile(r"-?(0|[1-9]\d*)(\.\d*[1-9])?")

steps = st.sampled_from(STEPS)
sizes = st.floats(1e-18, 1e18)
digits = st.integers(1, 15)


def decimal_of(value: float) -> Decimal:
    return Decimal(str(value))


def multiple(count: int, step: float) -> Decimal:
    with localcontext(Context(prec=100)):
        return count * decimal_of(step)


# Amounts


@pytest.mark.parametrize(
    ("amount", "step", "text"),
    [
        (0.1 + 0.2, 0.1, "0.3"),
        (0.3 - 0.1, 0.1, "0.2"),  # 0.19999999999999998
        (1.29, 0.1, "1.2"),
        (-1.29, 0.1, "-1.2"),
        (0.09, 0.1, "0"),
        (-0.09, 0.1, "0"),
        (2.9999999995, 1.0, "3"),
        (2.999999998, 1.0, "2"),
        (0.0, 0.1, "0"),
        (0.17, 0.05, "0.15"),
        (99.0, 25.0, "75"),
        (100.0, 25.0, "100"),
        (1e-8, 1e-8, "0.00000001"),
        (2.5e-8, 0.00000001, "0.00000002"),
        (1e-18, 1e-18, "0.000000000000000001"),
        (1e18, 1e-18, "1000000000000000000"),
        (1e18, 1e-8, "1000000000000000000"),
        (1e300, 1e-300, "1" + 300 * "0"),
        (1000000.1 + 0.2, 1e-8, "1000000.3"),  # 1000000.2999999999: a hundredth of a step short, one step of floats
        (30000000.0, 1e-8, "30000000"),  # 3e15 steps, about where a float's own distance reaches a step
        (123456789012, 1.0, "123456789012"),
        (np.float64(0.3), 0.1, "0.3"),
    ],
)
def test_amount_is_rounded_towards_zero_to_whole_steps(amount: float, step: float, text: str) -> None:
    assert amount_text(Venue(amount_step=step), amount) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.1, "0.1"),
        (100.0, "100"),
        (1e-18, "0.000000000000000001"),
        (1.5e18, "1500000000000000000"),
        (-1e-7, "-0.0000001"),
        (-0.0, "0"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.100"), "0.1"),
        (0.1 + 0.2, "0.30000000000000004"),
    ],
)
def test_without_a_step_the_text_is_the_shortest_decimal(amount: float | Decimal, text: str) -> None:
    assert amount_text(Venue(), amount) == text
    if amount > 0:
        assert price_text(Venue(), amount) == text


@given(sizes, steps)
@example(0.3, 0.1)
@example(1e18, 1e-18)
def test_amount_in_steps_is_the_largest_multiple_not_above_it(size: float, step: float) -> None:
    text = amount_text(Venue(amount_step=step), decimal_of(size))
    assert PLAIN.fullmatch(text)
    whole, wanted, width = Fraction(text), Fraction(decimal_of(size)), Fraction(decimal_of(step))
    assert whole % width == 0
    assert 0 <= wanted - whole < width


@given(sizes, steps)
def test_float_amount_exceeds_the_exact_one_by_a_step_only_within_noise(size: float, step: float) -> None:
    venue = Venue(amount_step=step)
    exact, given_as_float = Fraction(amount_text(venue, decimal_of(size))), Fraction(amount_text(venue, size))
    if given_as_float != exact:
        width = Fraction(decimal_of(step))
        assert given_as_float == exact + width
        assert given_as_float - Fraction(size) <= width / 10**9 + 4 * Fraction(float(np.spacing(size)))


@given(st.integers(1, 10**12), st.integers(1, 10**12), st.sampled_from([s for s in STEPS if s >= 1e-8]))
@example(1, 2, 0.1)
def test_sum_of_whole_steps_is_a_whole_number_of_steps(one: int, other: int, step: float) -> None:
    text = amount_text(Venue(amount_step=step), one * step + other * step)
    assert Decimal(text) == multiple(one + other, step)


@given(sizes, steps)
def test_rounding_is_odd_and_text_that_was_sent_is_sent_again(size: float, step: float) -> None:
    venue = Venue(amount_step=step)
    text = amount_text(venue, size)
    assert amount_text(venue, -size) == (text if text == "0" else f"-{text}")
    assert amount_text(venue, Decimal(text)) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_text_without_a_step_reads_back_as_the_same_float(amount: float) -> None:
    text = amount_text(Venue(), amount)
    assert PLAIN.fullmatch(text)
    assert float(text) == amount


def test_decimal_is_taken_at_its_word() -> None:
    venue = Venue(amount_step=0.1, price_tick=0.1)
    assert amount_text(venue, Decimal("0.29999999999999999")) == "0.2"
    assert price_text(venue, Decimal("0.29999999999999999"), side="buy") == "0.2"


# Prices


@pytest.mark.parametrize(
    ("price", "tick", "nearest", "buy", "sell"),
    [
        (100.04, 0.1, "100", "100", "100.1"),
        (100.05, 0.1, "100.1", "100", "100.1"),  # a half goes up, as with ccxt
        (100.06, 0.1, "100.1", "100", "100.1"),
        (0.1 + 0.2, 0.1, "0.3", "0.3", "0.3"),
        (0.3 - 0.1, 0.1, "0.2", "0.2", "0.2"),
        (1012.0, 25.0, "1000", "1000", "1025"),
        (1.07, 0.05, "1.05", "1.05", "1.1"),
        (1.234e-6, 1e-8, "0.00000123", "0.00000123", "0.00000124"),
        (1e18, 1e-8, *["1000000000000000000"] * 3),
    ],
)
def test_price_is_the_nearest_tick_or_the_one_away_from_the_market(
    price: float, tick: float, nearest: str, buy: str, sell: str
) -> None:
    venue = Venue(price_tick=tick)
    assert price_text(venue, price) == nearest
    assert price_text(venue, price, side="buy") == buy
    assert price_text(venue, price, side="sell") == sell


@pytest.mark.parametrize(
    ("price", "nearest", "buy", "sell"),
    [
        (12345.6, "12346", "12345", "12346"),
        (123456.0, "123460", "123450", "123460"),
        (99999.5, "100000", "99999", "100000"),
        (0.000123456, "0.00012346", "0.00012345", "0.00012346"),
        (1.5, "1.5", "1.5", "1.5"),
    ],
)
def test_price_in_significant_digits(price: float, nearest: str, buy: str, sell: str) -> None:
    venue = Venue(price_digits=5)
    assert price_text(venue, price) == nearest
    assert price_text(venue, price, side="buy") == buy
    assert price_text(venue, price, side="sell") == sell


@given(sizes, steps, st.booleans())
def test_buys_never_pay_more_and_sells_never_take_less_than_the_price(price: float, tick: float, exact: bool) -> None:
    venue = Venue(price_tick=tick)
    wanted: Any = decimal_of(price) if exact else price
    sell = Fraction(price_text(venue, wanted, side="sell"))
    asked, width = Fraction(decimal_of(price)), Fraction(decimal_of(tick))
    slack = Fraction(0) if exact else width / 10**9 + 4 * Fraction(float(np.spacing(price)))
    assert sell % width == 0
    assert -slack <= sell - asked < width
    if asked - width > 0:
        buy = Fraction(price_text(venue, wanted, side="buy"))
        assert sell - buy in (0, width)
        assert -slack <= asked - buy < width
        nearest = Fraction(price_text(venue, wanted))
        assert nearest in (buy, sell)
        assert abs(nearest - asked) <= width / 2


@pytest.mark.parametrize("side", [None, "buy"])
def test_price_below_a_tick_is_refused_and_never_sent_as_zero(side: str | None) -> None:
    with pytest.raises(ValidationError, match=r"^price 0\.04 rounds to 0 at the tick 0\.1"):
        price_text(Venue(price_tick=0.1), 0.04, side=side)
    assert price_text(Venue(price_tick=0.1), 0.04, side="sell") == "0.1"


@pytest.mark.parametrize("price", [0.0, -1.0, Decimal("-0.5")])
def test_price_is_positive(price: float | Decimal) -> None:
    with pytest.raises(ValidationError) as caught:
        price_text(Venue(), price)
    assert str(caught.value) == f"price {price!r} must be positive"


@pytest.mark.parametrize("side", ["BUY", "long", 1, ""])
def test_side_is_buy_or_sell(side: Any) -> None:
    with pytest.raises(ValidationError, match=f"side {side!r} must be 'buy', 'sell' or None"):
        price_text(Venue(), 1.0, side=side)


NO_NUMBERS = [
    float("nan"),
    float("inf"),
    -float("inf"),
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("Infinity"),
    Decimal("1e400"),
    "0.1",
    None,
    True,
]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_finite_number_never_becomes_text(value: Any) -> None:
    for venue in (Venue(), Venue(amount_step=0.1, price_tick=0.1)):
        with pytest.raises(ValidationError, match=r"^amount .* must be a finite number$"):
            amount_text(venue, value)
        with pytest.raises(ValidationError, match=r"^price .* must be a finite number$"):
            price_text(venue, value)
        with pytest.raises(ValidationError, match=r"^price .* must be a finite number$"):
            check_order(venue, 1.0, value)


def test_decimal_context_of_the_caller_neither_matters_nor_changes() -> None:
    with localcontext(Context(prec=3)):
        before = str(getcontext())
        assert amount_text(Venue(amount_step=1e-8), 123456.123456789) == "123456.12345678"
        assert price_text(Venue(price_tick=1e-8), 123456.123456789) == "123456.12345679"
        check_order(Venue(min_notional=12.345678), 1.2345678, 10.0)
        assert str(getcontext()) == before


# Limits of an order

LIMITED = Venue(amount_step=0.001, min_amount=0.01, max_amount=5.0, min_notional=10.0, max_notional=1000.0)


@pytest.mark.parametrize(
    ("amount", "price", "message"),
    [
        (0.0099, 5000.0, "amount 0.009 is below min_amount 0.01 (base currency)"),
        (-0.0099, 5000.0, "amount 0.009 is below min_amount 0.01 (base currency)"),
        (5.001, 100.0, "amount 5.001 is above max_amount 5.0 (base currency)"),
        (0.0999, 101.0, "notional 9.999 is below min_notional 10.0 (quote currency)"),
        (2.0, 500.01, "notional 1000.02 is above max_notional 1000.0 (quote currency)"),
        (0.0009, 5000.0, "amount 0.0009 is 0 in whole steps of the venue: nothing to send"),
        (Decimal("0.0009"), 5000.0, "amount Decimal('0.0009') is 0 in whole steps of the venue: nothing to send"),
    ],
)
def test_order_outside_a_limit_is_refused_by_name(amount: float | Decimal, price: float, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check_order(LIMITED, amount, price)
    assert str(caught.value) == message


@pytest.mark.parametrize(("amount", "price"), [(0.01, 1000.0), (5.0, 200.0), (5.0009, 200.0), (0.1, 100.0), (-1, 100)])
def test_order_at_its_limits_passes(amount: float, price: float) -> None:
    check_order(LIMITED, amount, price)


def test_venue_without_limits_refuses_nothing_but_zero() -> None:
    check_order(Venue(), 1e-18, 1e-18)
    check_order(Venue(), 1e18, 1e18)
    with pytest.raises(ValidationError, match="nothing to send"):
        check_order(Venue(), 0.0, 1.0)
