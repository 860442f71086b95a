"""What a venue and its costs may be; each error names the parameter, its value and what would do."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from data import ValidationError
from engine import Costs, Venue
from engine.venue import venues_by_symbol

NO_NUMBERS = [np.nan, np.inf, "0.1", None, True, [0.1]]


@pytest.mark.parametrize("name", ["amount_step", "price_tick", "min_notional", "min_amount"])
@pytest.mark.parametrize("value", [-0.1, *NO_NUMBERS])
def test_step_tick_and_minima_are_numbers_of_at_least_zero(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Venue(**{name: value})
    assert str(caught.value) == f"Venue: {name} {value!r} must be a number of at least 0 (0 means none)"


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0, *NO_NUMBERS])
def test_leverage_is_a_number_of_at_least_one(value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Venue(shorts=True, leverage=value)
    assert str(caught.value) == f"Venue: leverage {value!r} must be at least 1"


def test_spot_has_no_leverage() -> None:
    with pytest.raises(ValidationError, match=r"leverage 3\.0 on spot; spot never borrows, so leave it at 1"):
        Venue(leverage=3.0)


@pytest.mark.parametrize("value", [1, "yes", None])
def test_shorts_is_true_or_false(value: Any) -> None:
    with pytest.raises(ValidationError, match="must be True or False"):
        Venue(shorts=value)


def test_venue_is_spot_without_rules_unless_it_is_said_otherwise() -> None:
    assert dataclasses.asdict(Venue()) == {
        "shorts": False,
        "leverage": 1.0,
        "amount_step": 0.0,
        "price_tick": 0.0,
        "min_notional": 0.0,
        "min_amount": 0.0,
        "max_amount": np.inf,
        "max_notional": np.inf,
        "maintenance_margin": 0.0,
        "price_digits": 0,
        "fees": None,
    }


def test_costs_are_a_fee_and_a_slippage_unless_it_is_said_otherwise() -> None:
    assert dataclasses.asdict(Costs()) == {
        "fee": 0.001,
        "slippage": 0.0005,
        "funding": None,
        "borrow": 0.0,
        "tiers": (),
        "fee_in": "quote",
    }


@pytest.mark.parametrize(("name", "least"), [("max_amount", "min_amount"), ("max_notional", "min_notional")])
def test_largest_order_is_positive_and_not_below_the_smallest(name: str, least: str) -> None:
    for value in (0, -1.0, np.nan, -np.inf, "5", None, True):
        with pytest.raises(ValidationError) as caught:
            Venue(**{name: value})
        assert str(caught.value) == f"Venue: {name} {value!r} must be positive and not below the smallest order"
    with pytest.raises(ValidationError, match="not below the smallest order"):
        Venue(**{name: 4.0, least: 5.0})
    assert getattr(Venue(**{name: 5.0, least: 5.0}), name) == 5.0
    assert getattr(Venue(**{name: np.inf, least: 5.0}), name) == np.inf


@pytest.mark.parametrize("value", [-1, 16, 5.0, "5", None, True, np.nan])
def test_digits_of_a_price_are_a_whole_number(value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Venue(price_digits=value)
    assert f"Venue: price_digits {value!r} must be a whole number of 1 to 15, or 0 for none" in str(caught.value)


@pytest.mark.parametrize("value", [-0.01, 0.25, 0.5, *NO_NUMBERS])
def test_maintenance_margin_is_below_the_initial_margin(value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Venue(shorts=True, leverage=4, maintenance_margin=value)
    assert f"maintenance_margin {value!r} must be at least 0 and below the initial margin" in str(caught.value)
    assert "1 / leverage = 0.25" in str(caught.value)


def test_spot_has_no_maintenance_margin() -> None:
    with pytest.raises(ValidationError, match=r"maintenance_margin 0\.1 on spot, which is never liquidated"):
        Venue(maintenance_margin=0.1)


@pytest.mark.parametrize("value", [0.001, [0.001, 0.001], (0.001,), (0.001, 0.001, 0.001), "ab"])
def test_fees_of_a_venue_are_a_pair(value: Any) -> None:
    with pytest.raises(ValidationError, match=r"must be a pair \(maker, taker\), or None"):
        Venue(fees=value)


def test_fees_of_a_venue_are_fractions_that_pay_no_taker() -> None:
    assert Venue(fees=(-0.0001, 0.0005)).fees == (-0.0001, 0.0005)
    with pytest.raises(ValidationError, match=r"Venue: maker fee 0\.5 must be a fraction"):
        Venue(fees=(0.5, 0.001))
    with pytest.raises(ValidationError, match=r"Venue: taker fee -0\.0001 must not be negative"):
        Venue(fees=(0.0, -0.0001))


def test_venues_come_in_the_order_of_the_symbols_whichever_way_they_were_given() -> None:
    one, other = Venue(amount_step=1.0), Venue(amount_step=2.0)
    assert venues_by_symbol(one, ("A", "B")) == (one, one)
    assert venues_by_symbol({"B": other, "A": one}, ("A", "B")) == (one, other)


@pytest.mark.parametrize("value", [0.5, -0.5, 10, *NO_NUMBERS[:4], True])
def test_fee_is_a_fraction_of_notional(value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Costs(fee=value)
    assert f"{value!r} must be a fraction of notional, such as 0.001 for 0.1%" in str(caught.value)


def test_fee_is_one_rate_or_a_pair_of_maker_and_taker() -> None:
    assert (Costs(fee=0.001).maker_fee, Costs(fee=0.001).taker_fee) == (0.001, 0.001)
    assert (Costs(fee=(-0.0001, 0.0005)).maker_fee, Costs(fee=(-0.0001, 0.0005)).taker_fee) == (-0.0001, 0.0005)
    assert isinstance(Costs(fee=0).taker_fee, float)
    assert np.isnan([Costs(fee="venue").maker_fee, Costs(fee="venue").taker_fee]).all()
    with pytest.raises(ValidationError, match=r"one taker rate or a pair \(maker, taker\)"):
        Costs(fee=(0.001, 0.001, 0.001))  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=r"taker fee '0\.001' must be a fraction"):
        Costs(fee=(0.001, "0.001"))  # type: ignore[arg-type]


def test_no_venue_pays_its_takers() -> None:
    with pytest.raises(ValidationError, match=r"taker fee -0\.0001 must not be negative"):
        Costs(fee=-0.0001)
    assert Costs(fee=(-0.0001, 0.0)).maker_fee == -0.0001


@pytest.mark.parametrize("value", [-0.0001, 0.1, 5, *NO_NUMBERS])
def test_slippage_is_a_small_fraction_that_never_helps(value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Costs(slippage=value)
    assert str(caught.value) == f"Costs: slippage {value!r} must be a fraction in [0, 0.1), such as 0.0005"


@pytest.mark.parametrize("thing", [Venue(), Costs()])
def test_venue_and_costs_cannot_be_changed(thing: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(thing, dataclasses.fields(thing)[0].name, 1)
