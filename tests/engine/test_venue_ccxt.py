"""Venues read from ccxt's markets, and what they send beside what the installed ccxt would: offline, real parsers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from math import inf
from typing import Any

import ccxt
import hypothesis.strategies as st
import pytest
from hypothesis import assume, example, given

from data.errors import ValidationError
from engine import venue as venue_module
from engine.precision import amount_text, price_text
from engine.venue import Venue

# Markets as the exchanges' own parsers in ccxt give them


def filters(tick: str, step: str, least: str, most: str, notional: str) -> list[dict[str, str]]:
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": least, "maxQty": most, "stepSize": step},
        {"filterType": "NOTIONAL", "minNotional": notional, "maxNotional": "9000000.00000000"},
    ]


def binance() -> Any:
    exchange = ccxt.binance({"options": {"crossMarginPairsData": [], "isolatedMarginPairsData": []}})
    pair = {"baseAsset": "BTC", "quoteAsset": "USDT", "status": "TRADING"}
    contract = {**pair, "contractType": "PERPETUAL", "marginAsset": "USDT"}
    option = {"expiryDate": 1782432000000, "strikePrice": "90000.0", "side": "CALL", "unit": "1"}
    lots = filters("0.01000000", "0.00001000", "0.00001000", "9000.00000000", "5.00000000")
    raw: list[dict[str, Any]] = [
        {**pair, "symbol": "BTCUSDT", "filters": lots},
        {**pair, "symbol": "OLDUSDT", "baseAsset": "OLD", "status": "BREAK", "filters": lots},
        {**contract, "symbol": "BTCUSDTP", "filters": filters("0.10", "0.001", "0.001", "1000", "100")},
        {**contract, "symbol": "BTCUSD_PERP", "quoteAsset": "USD", "marginAsset": "BTC", "contractSize": 100},
        {"symbol": "BTC-260626-90000-C", "quoteAsset": "USDT", "underlying": "BTCUSDT", **option},
    ]
    exchange.set_markets([exchange.parse_market(item) for item in raw])
    return exchange


def bitfinex() -> Any:
    exchange = ccxt.bitfinex()
    spot = ["BTCUSD", [None, None, None, "0.00004", "2000.0", *[None] * 7]]
    swap = ["BTCF0:USTF0", [None, None, None, "0.00004", "100.0", None, None, None, 0.01, 0.005]]
    exchange.publicGetConfConfig = lambda params: [[spot], [swap], [], []]
    exchange.set_markets(exchange.fetch_markets())
    return exchange


def hyperliquid() -> Any:
    exchange = ccxt.hyperliquid()
    raw = {"name": "ETH", "baseId": "1", "szDecimals": "4", "maxLeverage": "50", "markPx": "2369.6"}
    exchange.set_markets([exchange.parse_market(raw)])
    return exchange


def decimal_places() -> Any:
    """No exchange of the installed ccxt counts decimal places any more: a bare one that does."""
    exchange = ccxt.Exchange()
    exchange.precisionMode = ccxt.DECIMAL_PLACES
    exchange.set_markets([SPOT | {"precision": {"amount": 3, "price": 2}}])
    return exchange


SPOT: dict[str, Any] = {
    "id": "AB",
    "symbol": "A/B",
    "base": "A",
    "quote": "B",
    "type": "spot",
    "spot": True,
    "active": True,
    "contract": False,
    "maker": 0.0008,
    "taker": 0.001,
    "precision": {"amount": 0.001, "price": 0.01},
    "limits": {"amount": {"min": 0.001, "max": 100.0}, "cost": {"min": 5.0, "max": 50000.0}},
}
PERP = SPOT | {
    "symbol": "A/B:B",
    "type": "swap",
    "spot": False,
    "swap": True,
    "contract": True,
    "linear": True,
    "inverse": False,
    "contractSize": 0.001,
    "precision": {"amount": 1.0, "price": 0.1},
    "limits": {"amount": {"min": 1.0, "max": 7000.0}, "cost": {"min": 5.0}, "leverage": {"max": 50.0}},
}
PERP_AS_TEXT = PERP | {
    "contractSize": "0.1",
    "maker": "-0.0001",
    "taker": "0.0005",
    "precision": {"amount": "0.7", "price": "1e-8"},
    "limits": {"amount": {"min": "0.7"}, "leverage": {"max": "5"}},
}
BINANCE, BITFINEX, HYPERLIQUID, DECIMAL_PLACES = binance(), bitfinex(), hyperliquid(), decimal_places()
PERPETUAL = "ETH/USDC:USDC"  # hyperliquid's


# What a venue takes from a market


# One row a market: what is given, and amount step, price tick, least and largest amount, least and largest notional.
@pytest.mark.parametrize(
    ("market", "options", "rules", "others"),
    [
        (
            BINANCE.market("BTC/USDT"),
            {},
            (0.00001, 0.01, 0.00001, 9000.0, 5.0, 9e6),
            {"fees": (0.001, 0.001)},
        ),
        (
            BINANCE.market("BTC/USDT:USDT"),
            {"leverage": 20.0, "maintenance_margin": 0.004},
            (0.001, 0.1, 0.001, 1000.0, 100.0, 9e6),
            {"shorts": True, "leverage": 20.0, "maintenance_margin": 0.004, "fees": (0.0002, 0.0005)},
        ),
        (
            HYPERLIQUID.market(PERPETUAL),
            {"leverage": 50},
            (0.0001, 0.1, 0.0, inf, 10.0, inf),
            {"shorts": True, "leverage": 50, "fees": (0.00015, 0.00045)},
        ),
        (
            BITFINEX.market("BTC/USD"),
            {"precision_mode": BITFINEX.precisionMode},
            (1e-8, 0.0, 0.00004, 2000.0, 0.0, inf),
            {"price_digits": 5, "fees": (0.001, 0.002)},
        ),
        (
            DECIMAL_PLACES.market("A/B"),
            {"precision_mode": DECIMAL_PLACES.precisionMode},
            (0.001, 0.01, 0.001, 100.0, 5.0, 5e4),
            {"fees": (0.0008, 0.001)},
        ),
        (
            PERP,  # contracts of 0.001
            {"leverage": 3.0},
            (0.001, 0.1, 0.001, 7.0, 5.0, inf),
            {"shorts": True, "leverage": 3.0, "fees": (0.0008, 0.001)},
        ),
        (
            PERP_AS_TEXT,
            {"leverage": 5},
            (0.07, 1e-8, 0.07, inf, 0.0, inf),  # contracts of 0.1: of floats, 0.1 * 0.7 is 0.06999999999999999
            {"shorts": True, "leverage": 5, "fees": (-0.0001, 0.0005)},
        ),
    ],
    ids=["spot", "perpetual", "leverage", "significant digits", "decimal places", "contracts", "text for numbers"],
)
def test_venue_takes_a_markets_rules_in_base_and_quote_currency(
    market: Any, options: Any, rules: tuple[float, ...], others: Any
) -> None:
    names = ("amount_step", "price_tick", "min_amount", "max_amount", "min_notional", "max_notional")
    assert Venue.from_ccxt(market, **options) == Venue(**dict(zip(names, rules, strict=True)), **others)


@pytest.mark.parametrize("none", [None, 0, 0.0, "0"])
def test_limit_of_none_or_zero_is_none(none: Any) -> None:
    limits = {"amount": {"min": none, "max": none}, "cost": {"min": none, "max": none}, "leverage": {"max": none}}
    venue = Venue.from_ccxt(PERP | {"limits": limits}, leverage=100)
    assert venue == Venue(shorts=True, leverage=100, amount_step=0.001, price_tick=0.1, fees=(0.0008, 0.001))


@pytest.mark.parametrize(
    "absent", [{}, {"limits": {}, "precision": {}}, {"limits": {"amount": None}}, {"maker": 0.1}, {"taker": 0.1}]
)
def test_what_a_market_does_not_state_is_no_rule(absent: dict[str, Any]) -> None:
    assert Venue.from_ccxt({"symbol": "A/B", "type": "spot", **absent}) == Venue()


@pytest.mark.parametrize(("count", "step"), [(0, 1.0), (3, 0.001), (8, 1e-8), (18, 1e-18), (-2, 100.0), ("3", 0.001)])
def test_decimal_places_become_the_float_that_their_text_is(count: Any, step: float) -> None:
    market = SPOT | {"precision": {"amount": count, "price": count}}
    venue = Venue.from_ccxt(market, precision_mode=ccxt.DECIMAL_PLACES)
    assert (venue.amount_step, venue.price_tick) == (step, step)


@pytest.mark.parametrize(
    ("market", "options", "message"),
    [
        (BINANCE.market("BTC/USD:BTC"), {}, "BTC/USD:BTC: an inverse contract has margin and profit in base currency"),
        (BINANCE.market("BTC/USDT:USDT-260626-90000-C"), {}, "90000-C: an option pays out by its strike"),
        (BINANCE.market("OLD/USDT"), {}, "OLD/USDT: the market is not active"),
        (PERP | {"linear": False}, {}, "A/B:B: linear False must be True"),
        (SPOT | {"spot": None, "type": "index"}, {}, "A/B: type 'index' must be 'spot', 'swap' or 'future'"),
        (PERP | {"contractSize": None}, {}, "A/B:B: contractSize None must be the base currency in one contract"),
        (PERP | {"contractSize": 0}, {}, "A/B:B: contractSize 0 must be"),
        (PERP, {"leverage": 51}, "A/B:B: leverage 51 exceeds limits.leverage.max 50.0; pass at most that"),
        (PERP, {"leverage": "3"}, "A/B:B: Venue: leverage '3' must be at least 1"),
        (PERP, {"leverage": 10, "maintenance_margin": 0.1}, "A/B:B: Venue: maintenance_margin 0.1 must be"),
        (SPOT | {"limits": {"leverage": {"max": 3}}}, {"leverage": 5}, "A/B: Venue: leverage 5 on spot"),
        (SPOT, {"precision_mode": 5}, "A/B: precision_mode 5 must be exchange.precisionMode"),
        (SPOT | {"taker": "free"}, {}, "A/B: taker 'free' must be a number or None"),
        (SPOT | {"limits": {"cost": {"min": float("nan")}}}, {}, "A/B: limits.cost.min nan must be a number or None"),
        (SPOT | {"precision": {"amount": True}}, {}, "A/B: precision.amount True must be a number or None"),
        (SPOT | {"precision": {"amount": -0.1}}, {}, "A/B: Venue: amount_step -0.1 must be"),
        ("A/B", {}, "market 'A/B' must be what exchange.market(symbol) gives"),
    ],
)
def test_market_that_the_rules_cannot_mean_is_refused_by_name(market: Any, options: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Venue.from_ccxt(market, **options)
    assert str(caught.value).startswith("Venue.from_ccxt: ")
    assert message in str(caught.value)


MEND = "pass precision_mode=exchange.precisionMode"


@pytest.mark.parametrize(
    ("precision", "limits", "fact"),
    [
        ({"amount": 8, "price": 0.01}, {"amount": {"min": 0.001}}, "precision.amount 8 beside limits.amount.min 0.001"),
        ({"amount": 3, "price": 0.01}, {"amount": {"min": 10}}, "precision.amount 3 beside limits.amount.min 10"),
        ({"amount": 0.1, "price": 5}, {"price": {"min": 1e-8}}, "precision.price 5 beside limits.price.min 1E-8"),
        ({"amount": 4, "price": 4}, {}, "precision.price 4 beside limits.price.min None"),  # as bithumb's
        ({"amount": 0, "price": 0.01}, {}, "precision.amount 0 is no tick size"),
    ],
)
def test_count_of_digits_is_not_taken_for_a_tick_size(precision: Any, limits: Any, fact: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Venue.from_ccxt(SPOT | {"precision": precision, "limits": limits})
    assert f"A/B: {fact}" in str(caught.value)
    assert MEND in str(caught.value)


@pytest.mark.parametrize("symbol", ["BTC/USD", "BTC/USDT:USDT"])
def test_bitfinex_is_refused_without_its_precision_mode(symbol: str) -> None:
    with pytest.raises(ValidationError, match=MEND):
        Venue.from_ccxt(BITFINEX.market(symbol))


@pytest.mark.parametrize(
    ("amount", "price", "least"), [(10, 0.01, 10), (10, 0.01, 30), (1000, 1e-8, None), (0.01, 25, None), (1, 1, 0.5)]
)
def test_wide_steps_are_tick_sizes_where_nothing_contradicts_them(amount: float, price: float, least: Any) -> None:
    market = SPOT | {"precision": {"amount": amount, "price": price}, "limits": {"amount": {"min": least}}}
    venue = Venue.from_ccxt(market)
    assert (venue.amount_step, venue.price_tick) == (amount, price)


def test_stated_tick_sizes_are_believed() -> None:
    market = SPOT | {"precision": {"amount": 8, "price": 5}, "limits": {"amount": {"min": 1}}}
    venue = Venue.from_ccxt(market, precision_mode=ccxt.TICK_SIZE)
    assert (venue.amount_step, venue.price_tick) == (8.0, 5.0)


@pytest.mark.parametrize("mode", [ccxt.DECIMAL_PLACES, ccxt.SIGNIFICANT_DIGITS])
def test_tick_size_is_not_taken_for_a_count_of_digits(mode: int) -> None:
    with pytest.raises(ValidationError, match=r"A/B: precision\.amount 0\.001 must be a whole number of digits"):
        Venue.from_ccxt(SPOT, precision_mode=mode)


def test_amounts_beside_prices_of_significant_digits_count_decimal_places() -> None:
    market = PERP | {"precision": {"amount": 2, "price": 5}}  # contracts of 0.001
    venue = Venue.from_ccxt(market, precision_mode=ccxt.SIGNIFICANT_DIGITS)
    assert (venue.price_digits, venue.amount_step, venue.price_tick) == (5, 1e-5, 0.0)


def test_precision_modes_have_the_numbers_of_ccxt() -> None:
    for name in ("DECIMAL_PLACES", "SIGNIFICANT_DIGITS", "TICK_SIZE"):
        assert getattr(venue_module, name) == getattr(ccxt, name)


def test_venue_is_read_without_importing_ccxt() -> None:
    code = "import sys, engine.precision; from engine import Venue; Venue.from_ccxt({'type': 'spot'}); "
    subprocess.run([sys.executable, "-c", f"{code}assert 'ccxt' not in sys.modules"], check=True)


# What a venue sends beside ccxt's own text. ccxt takes a float by its text, with no allowance for noise: so does a
# Decimal here. Zero is an error there; here an amount of less than a step is "0", for the caller to leave unsent.

amounts = st.one_of(st.floats(1e-9, 1e7), st.integers(1, 10**15).map(lambda n: n / 1e8))
prices = st.one_of(st.floats(0.01, 1e6), st.integers(1, 10**8).map(lambda n: n / 1e3))


def ccxt_amount(exchange: Any, symbol: str, amount: float) -> str:
    try:
        return str(exchange.amount_to_precision(symbol, amount))
    except ccxt.InvalidOrder:
        return "0"


def exact(value: float) -> Decimal:
    return Decimal(str(value))


TICKS = [(BINANCE, "BTC/USDT"), (BINANCE, "BTC/USDT:USDT"), (DECIMAL_PLACES, "A/B")]


@pytest.mark.parametrize(("exchange", "symbol"), TICKS, ids=["spot", "perpetual", "decimal places"])
@given(amount=amounts, price=prices)
@example(amount=0.3, price=100.05)
def test_text_is_ccxts(exchange: Any, symbol: str, amount: float, price: float) -> None:
    venue = Venue.from_ccxt(exchange.market(symbol), precision_mode=exchange.precisionMode)
    assert amount_text(venue, exact(amount)) == ccxt_amount(exchange, symbol, amount)
    assume(price >= venue.price_tick)
    assert price_text(venue, exact(price)) == exchange.price_to_precision(symbol, price)


@given(st.floats(1e-3, 1e9))
@example(123456.0)
def test_bitfinex_price_is_ccxts_but_for_a_half_of_a_whole_number(price: float) -> None:
    venue = Venue.from_ccxt(BITFINEX.market("BTC/USD"), precision_mode=BITFINEX.precisionMode)
    unit = Decimal(1).scaleb(exact(price).adjusted() - 4)
    assume(unit <= 1 or exact(price) % unit != unit / 2)
    assert price_text(venue, exact(price)) == BITFINEX.price_to_precision("BTC/USD", price)


def test_where_bitfinex_in_ccxt_differs() -> None:
    venue = Venue.from_ccxt(BITFINEX.market("BTC/USD"), precision_mode=BITFINEX.precisionMode)
    # A half goes up here and in ccxt, except in ccxt at a unit of ten and more.
    assert (price_text(venue, 12345.5), BITFINEX.price_to_precision("BTC/USD", 12345.5)) == ("12346", "12346")
    assert (price_text(venue, 123455.0), BITFINEX.price_to_precision("BTC/USD", 123455.0)) == ("123460", "123450")
    # The exchange has a limit of 8 decimals too, which the market does not state: a tick says so.
    assert (price_text(venue, 1.23456e-6), BITFINEX.price_to_precision("BTC/USD", 1.23456e-6)) == (
        "0.0000012346",
        "0.00000123",
    )
    assert price_text(replace(venue, price_tick=1e-8), 1.23456e-6) == "0.00000123"


@given(amounts)
@example(1.23456789)
def test_bitfinex_amount_is_ccxts(amount: float) -> None:
    venue = Venue.from_ccxt(BITFINEX.market("BTC/USD"), precision_mode=BITFINEX.precisionMode)
    assert amount_text(venue, exact(amount)) == ccxt_amount(BITFINEX, "BTC/USD", amount)


@given(amounts)
@example(0.00019)
def test_hyperliquid_amount_is_never_rounded_up_as_ccxt_does(amount: float) -> None:
    sent = Decimal(amount_text(Venue.from_ccxt(HYPERLIQUID.market(PERPETUAL)), exact(amount)))
    in_ccxt = Decimal(ccxt_amount(HYPERLIQUID, PERPETUAL, amount))
    assert sent <= exact(amount)
    assert in_ccxt == sent + (Decimal("0.0001") if exact(amount) - sent >= Decimal("0.00005") else 0)


@given(prices)
def test_hyperliquid_price_is_ccxts_once_its_digits_are_said(price: float) -> None:
    venue = Venue.from_ccxt(HYPERLIQUID.market(PERPETUAL))
    assume(0.01 <= price < 99999)
    if 1000 <= price < 9999:  # where the market's price was when its tick was asked for
        assert price_text(venue, exact(price)) == HYPERLIQUID.price_to_precision(PERPETUAL, price)
    said = replace(venue, price_digits=5, price_tick=0.01)
    assert price_text(said, exact(price)) == HYPERLIQUID.price_to_precision(PERPETUAL, price)


def test_noise_of_floats_costs_a_step_in_ccxt_and_none_here() -> None:
    venue = Venue.from_ccxt(BINANCE.market("BTC/USDT:USDT"))
    amount = 0.3 - 0.1  # 0.19999999999999998
    assert (amount_text(venue, amount), BINANCE.amount_to_precision("BTC/USDT:USDT", amount)) == ("0.2", "0.199")


def test_amount_of_more_digits_than_ccxt_computes_with() -> None:
    market = SPOT | {"precision": {"amount": 1e-18, "price": 0.01}, "limits": {}}
    exchange = ccxt.Exchange()
    exchange.precisionMode = ccxt.TICK_SIZE
    exchange.set_markets([market])
    with pytest.raises(InvalidOperation):
        exchange.amount_to_precision("A/B", 1e12)
    assert amount_text(Venue.from_ccxt(market), 1e12) == "1000000000000"


@pytest.mark.parametrize(("all_orders", "at_market", "largest"), [(100, 20, 20.0), (20, 100, 20.0), (100, 0, 100.0)])
def test_largest_order_is_the_smaller_of_the_limits_for_all_and_for_market_orders(
    all_orders: float, at_market: float, largest: float
) -> None:
    limits = {"amount": {"max": all_orders}, "market": {"min": 0, "max": at_market}}
    assert Venue.from_ccxt(SPOT | {"limits": limits}).max_amount == largest
