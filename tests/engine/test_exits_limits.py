"""What barriers and risk limits may be; a wrong one is refused where it is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from data import ValidationError
from engine import Exits, RiskLimits

NO_NUMBERS = [np.nan, "0.05", [0.05]]
NUMERIC_LIMITS = [
    "max_position",
    "max_gross",
    "max_net",
    "max_order_notional",
    "max_daily_loss",
    "max_drawdown",
    "max_orders_per_minute",
    "price_collar",
]


@pytest.mark.parametrize("name", ["stop_loss", "take_profit"])
@pytest.mark.parametrize("value", [0, 0.0, -0.05, np.inf, *NO_NUMBERS])
def test_barrier_is_a_positive_fraction(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Exits(**{name: value})
    assert f"Exits: {name} {value!r} must be a positive fraction" in str(caught.value)


@pytest.mark.parametrize("pair", [(0.0, 0.01), (0.01, 0.0), (np.nan, 0.01), (0.01, -0.01), ("a", 0.01)])
def test_both_parts_of_a_trailing_stop_are_positive_fractions(pair: Any) -> None:
    with pytest.raises(ValidationError, match="must be a positive fraction"):
        Exits(trailing=pair)


@pytest.mark.parametrize("pair", [0.01, (0.01,), (0.01, 0.01, 0.01), "ab"])
def test_trailing_stop_is_a_pair(pair: Any) -> None:
    with pytest.raises(ValidationError, match=r"trailing .* \(activation, delta\)"):
        Exits(trailing=pair)


def test_stop_lies_above_a_price_of_zero() -> None:
    assert Exits(stop_loss=0.99).stop_loss == 0.99
    with pytest.raises(ValidationError, match=r"stop_loss 1\.0 must be below 1"):
        Exits(stop_loss=1.0)
    assert Exits(take_profit=3.0).take_profit == 3.0


@pytest.mark.parametrize("value", [pd.Timedelta(0), pd.Timedelta("-1h"), 3_600, "1h", pd.NaT])
def test_time_limit_is_a_positive_timedelta(value: Any) -> None:
    with pytest.raises(ValidationError, match=r"time_limit .* must be a positive pandas Timedelta"):
        Exits(time_limit=value)


def test_exits_may_hold_any_of_the_barriers_or_none() -> None:
    assert Exits() == Exits(None, None, None, None)
    full = Exits(stop_loss=0.05, take_profit=0.1, trailing=(0.02, 0.01), time_limit=pd.Timedelta("4h"))
    assert full.trailing == (0.02, 0.01)


@pytest.mark.parametrize("name", NUMERIC_LIMITS)
@pytest.mark.parametrize("value", [0, -1.0, *NO_NUMBERS])
def test_limit_is_a_positive_number_or_none(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        RiskLimits(**{name: value})
    assert f"RiskLimits: {name} {value!r} must be positive, or None for no limit" in str(caught.value)


@pytest.mark.parametrize("value", [pd.Timedelta(0), pd.NaT, 60, "1min"])
def test_oldest_bar_is_a_positive_timedelta(value: Any) -> None:
    with pytest.raises(ValidationError, match="max_data_age"):
        RiskLimits(max_data_age=value)


def test_limits_are_off_unless_given() -> None:
    assert all(getattr(RiskLimits(), name) is None for name in [*NUMERIC_LIMITS, "max_data_age"])
    assert RiskLimits(max_position=0.5, max_data_age=pd.Timedelta("5min")).max_position == 0.5
