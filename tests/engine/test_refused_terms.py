"""Terms of execution that are wrong are refused where they are written or before any bar is executed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data import ValidationError
from engine import Costs, Exits, LimitOrders, RiskLimits, SquareRootImpact, Venue, backtest, paper
from tests.engine.given import Given
from tests.engine.worked_bars import START, market_of

NO_FRACTIONS = [-0.1, 1.0, np.nan, np.inf, "0.1", None, True]
MARKET = market_of({"BTC/USDT": [100] * 6, "ETH/USDT": [50] * 6})
PERPETUAL = Venue(shorts=True)


def table(value: float = 0.5) -> pd.DataFrame:
    return pd.DataFrame(value, MARKET.index, list(MARKET.symbols))


def refused(*says: str, exits: Any = None, scale: Any = None, **terms: Any) -> None:
    """Both engines refuse it in the same words, which hold all of `says`."""
    messages = []
    for broker in (backtest, paper):
        with pytest.raises(ValidationError) as caught:
            broker(Given(table(), exits=exits, scales=scale), MARKET, **terms)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    for part in says:
        assert part in messages[0]


def refused_to_write(make: Callable[..., Any], says: str, **parameters: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        make(**parameters)
    assert says in str(caught.value)


# Exits and their scale


@pytest.mark.parametrize("exits", [0.05, {"stop_loss": 0.05}, (0.05, 0.1), Exits])
def test_exits_that_are_none(exits: Any) -> None:
    refused("exits must be an Exits or None, got", repr(exits), exits=exits)


def test_exits_without_a_barrier_change_nothing() -> None:
    for broker in (backtest, paper):
        plain, barred = (broker(Given(table(), exits=exits), MARKET) for exits in (None, Exits()))
        pd.testing.assert_frame_equal(plain.orders, barred.orders)


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, -np.inf])
def test_scale_that_is_no_positive_multiple_names_symbol_and_bar(value: float) -> None:
    scale = table(1.0)
    scale.iloc[3, 1] = scale.iloc[4, 0] = value
    refused(
        f"ETH/USDT bar 2024-01-01 03:00:00+00:00: scale {value:g} must be a positive multiple",
        "NaN for 1",
        exits=Exits(stop_loss=0.05),
        scale=scale,
    )


def test_scale_at_a_bar_without_a_decision_is_not_judged() -> None:
    targets, scale = table(), table(1.0)
    targets.iloc[3] = np.nan
    scale.iloc[3] = -1.0
    for broker in (backtest, paper):
        assert len(broker(Given(targets, exits=Exits(stop_loss=0.05), scales=scale), MARKET).orders) > 0


@pytest.mark.parametrize(
    ("scale", "says"),
    [
        (2.0, "scale must be a DataFrame, time by symbol"),
        (table(1.0)["BTC/USDT"], "scale must be a DataFrame, time by symbol"),
        (table(1.0)[["BTC/USDT"]], "with ['BTC/USDT', 'ETH/USDT'], or None"),
        (table(1.0).assign(DOGE=1.0), "with ['BTC/USDT', 'ETH/USDT'], or None"),
        (table(1.0).iloc[1:], "scale has 5 rows, the market 6; index it by market.index"),
        (table(1.0).tz_localize(None), "index it by market.index"),
        (pd.concat([table(1.0), table(1.0)["BTC/USDT"]], axis=1), "scale"),
        (table(1.0).astype(object).replace(1.0, "wide"), "scale"),
    ],
    ids=["number", "series", "missing", "unknown", "short", "naive", "twice", "text"],
)
def test_scale_of_the_wrong_shape(scale: Any, says: str) -> None:
    refused(says, exits=Exits(stop_loss=0.05), scale=scale)


def test_columns_of_the_scale_in_another_order_are_brought_into_the_markets() -> None:
    scale = table(1.0)
    scale["BTC/USDT"] = 3.0
    falling = market_of({name: [100, 100, (100, 100, 94, 95), 95] for name in MARKET.symbols})
    once = pd.DataFrame(np.nan, falling.index, list(falling.symbols))
    once.iloc[0] = 0.4
    scale = scale.iloc[:4]
    for broker in (backtest, paper):
        strategy = Given(once, exits=Exits(stop_loss=0.05), scales=scale[["ETH/USDT", "BTC/USDT"]])
        orders = broker(strategy, falling).orders
        assert orders.loc[orders["reason"] == "stop loss", "symbol"].tolist() == ["ETH/USDT"]


# The style of orders


@pytest.mark.parametrize("value", NO_FRACTIONS)
def test_offset_is_a_fraction(value: Any) -> None:
    refused_to_write(LimitOrders, f"LimitOrders: offset {value!r} must be a fraction in [0, 1)", offset=value)


@pytest.mark.parametrize("value", [0, -1, 1.0, 1.5, "1", None, True])
def test_time_in_the_book_is_a_whole_number_of_bars(value: Any) -> None:
    refused_to_write(LimitOrders, f"LimitOrders: alive {value!r} must be a whole number of bars", alive=value)


@pytest.mark.parametrize("value", ["keep", "Market", None, True])
def test_what_follows_is_a_cancellation_or_the_market(value: Any) -> None:
    refused_to_write(LimitOrders, f"LimitOrders: then {value!r} must be 'cancel' or 'market'", then=value)


@pytest.mark.parametrize("orders", [0.001, "limit", LimitOrders, {"offset": 0.001}])
def test_orders_that_are_no_limit_orders(orders: Any) -> None:
    refused("orders: expected LimitOrders(...), or None for orders at the market, got", orders=orders)


@pytest.mark.parametrize("risk", [0.5, {"max_position": 0.5}, RiskLimits])
def test_risk_that_is_no_risk_limits(risk: Any) -> None:
    refused("risk: expected RiskLimits(...) or None, got", risk=risk)


# Impact, fees, borrowing


@pytest.mark.parametrize("name", ["coefficient", "base", "most"])
@pytest.mark.parametrize("value", NO_FRACTIONS)
def test_parts_of_the_impact_are_fractions(name: str, value: Any) -> None:
    says = f"SquareRootImpact: {name} {value!r} must be a fraction in [0, 1)"
    refused_to_write(SquareRootImpact, says, **{name: value})


def test_least_slippage_does_not_exceed_the_most() -> None:
    refused_to_write(SquareRootImpact, "SquareRootImpact: base 0.2 exceeds most 0.1", base=0.2, most=0.1)
    assert SquareRootImpact(base=0.1, most=0.1).base == 0.1


@pytest.mark.parametrize(
    ("tiers", "says"),
    [
        ([(1.0, 0.0, 0.001)], "must be a tuple of (volume, maker, taker)"),
        (((1.0, 0.001),), "tier (1.0, 0.001) must be (volume, maker, taker)"),
        (([1.0, 0.0, 0.001],), "must be (volume, maker, taker)"),
        (((0.0, 0.0, 0.001),), "must begin at a larger volume than the one before it"),
        (((5.0, 0.0, 0.001), (5.0, 0.0, 0.0005)), "must begin at a larger volume than the one before it"),
        (((5.0, 0.0, 0.001), (4.0, 0.0, 0.0005)), "tier (4.0, 0.0, 0.0005) must begin at a larger volume"),
        (((np.nan, 0.0, 0.001),), "must begin at a larger volume"),
        (((5.0, 0.0, 0.5),), "taker fee 0.5 must be a fraction of notional"),
        (((5.0, "0", 0.001),), "maker fee '0' must be a fraction of notional"),
        (((5.0, 0.0, -0.0001),), "taker fee -0.0001 must not be negative"),
    ],
)
def test_tiers_rise_and_hold_fees(tiers: Any, says: str) -> None:
    refused_to_write(Costs, says, tiers=tiers)


@pytest.mark.parametrize("value", [-0.01, 10, np.nan, "0.05", None, True])
def test_borrow_is_a_yearly_rate(value: Any) -> None:
    refused_to_write(Costs, f"Costs: borrow {value!r} must be a yearly rate of at least 0", borrow=value)


@pytest.mark.parametrize("value", ["base", "Quote", None, 1])
def test_fee_is_taken_in_quote_or_in_what_is_bought(value: Any) -> None:
    refused_to_write(Costs, f"Costs: fee_in {value!r} must be 'quote' or 'bought'", fee_in=value)


@pytest.mark.parametrize("value", ["exchange", "Venue", ""])
def test_fee_of_another_word(value: str) -> None:
    refused_to_write(Costs, f"{value!r} must be a fraction of notional", fee=value)


def test_fee_of_a_venue_that_states_none() -> None:
    venues = {"BTC/USDT": Venue(fees=(0.0, 0.001)), "ETH/USDT": Venue()}
    refused(
        "fee='venue', and a venue has no fees", "Venue(fees=(maker, taker))", costs=Costs(fee="venue"), venue=venues
    )


def test_tiers_beside_the_fee_of_the_venue() -> None:
    costs = Costs(fee="venue", tiers=((1.0, 0.0, 0.001),))
    refused("costs: tiers beside fee='venue'", costs=costs, venue=Venue(fees=(0.0, 0.001)))


def test_fee_in_the_bought_asset_where_shorts_are_possible() -> None:
    venues = {"BTC/USDT": PERPETUAL, "ETH/USDT": Venue()}
    refused("costs: fee_in='bought' on a venue with shorts", costs=Costs(fee_in="bought"), venue=venues)


# Funding


def rates(values: Any = 0.0001, start: pd.Timestamp = START, **terms: Any) -> pd.Series:
    return pd.Series(values, pd.date_range(start, periods=3, freq="1h", **terms))


@pytest.mark.parametrize(
    ("funding", "says"),
    [
        (0.0001, "funding must be a Series by time, or a mapping or DataFrame by symbol, got float"),
        (rates().tz_localize(None), "funding must be indexed by time in UTC"),
        (rates().tz_convert("Asia/Tokyo"), "funding must be indexed by time in UTC"),
        (rates().reset_index(drop=True), "funding must be indexed by time in UTC"),
        (rates().iloc[::-1], "funding must have times that rise, none of them twice"),
        (pd.concat([rates(), rates()]).sort_index(), "funding must have times that rise, none of them twice"),
        (rates().iloc[:0], "and hold a rate"),
        (rates(np.nan), "and hold a rate"),
        (rates([0.0, 1.0, 2.0]), "funding at 2024-01-01 01:00:00+00:00: 1 is no rate; 0.0001 is one basis point"),
        (rates([0.0, 0.0, -1.0]), "funding at 2024-01-01 02:00:00+00:00: -1 is no rate"),
        (rates(np.inf), "inf is no rate"),
        ({"DOGE/USDT": rates()}, "costs: funding of ['DOGE/USDT'], the market holds ['BTC/USDT', 'ETH/USDT']"),
        ({"ETH/USDT": rates().tz_localize(None)}, "funding of ETH/USDT must be indexed by time in UTC"),
        ({"ETH/USDT": 0.0001}, "funding of ETH/USDT must be a Series of rates by time, got float"),
        (rates(start=START + pd.Timedelta("6h")), "funding of BTC/USDT runs from 2024-01-01 06:00:00+00:00 to"),
        (rates(start=START - pd.Timedelta("4h")), "no rate falls on them"),
    ],
)
def test_funding_that_does_not_fit_the_bars(funding: Any, says: str) -> None:
    refused(says, costs=Costs(funding=funding), venue=PERPETUAL)


def test_funding_on_spot() -> None:
    refused("costs: funding on a spot venue", "perpetual", costs=Costs(funding=rates()))


def test_funding_of_a_symbol_that_is_spot_beside_a_perpetual() -> None:
    venues = {"BTC/USDT": Venue(), "ETH/USDT": PERPETUAL}
    refused("funding", "BTC/USDT", "spot", costs=Costs(funding={"BTC/USDT": rates()}), venue=venues)


def test_one_funding_series_is_not_paid_by_a_spot_symbol_beside_a_perpetual() -> None:
    venues = {"BTC/USDT": Venue(), "ETH/USDT": PERPETUAL}
    for broker in (backtest, paper):
        result = broker(Given(table(0.2)), MARKET, costs=Costs(funding=rates(0.01)), venue=venues)
        assert set(result.charges["symbol"]) == {"ETH/USDT"}
