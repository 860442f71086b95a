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


@pytest.mark.parametrize("name", ["amount_step", "price_tick", "min_notional"])
@pytest.mark.parametrize("value", [-0.1, *NO_NUMBERS])
def test_step_tick_and_minimum_are_numbers_of_at_least_zero(name: str, value: Any) -> None:
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
    }


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
