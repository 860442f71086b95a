"""Parity on real candles: the library's strategies, long-short and spot, with every cost and trading rule there is.

The figures (orders, largest difference of equity) are printed by `pytest -s`, a line a case.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from data import Market, load_sample, read_candles
from engine import Costs, Strategy, Venue, backtest, paper
from reports import parity
from research.strategies import BollingerReversion, CrossMomentum, SmaCross

HOURLY = Path(__file__).resolve().parents[3] / "shared" / "data" / "btcusdt_1h.parquet"
COSTS = Costs(fee=0.001, slippage=0.0005)
# Steps as exchanges set them, one for each size of price.
STEPS = {"BTC": 0.00001, "ETH": 0.0001, "LTC": 0.001, "XRP": 0.1, "EOS": 0.01}

# The strategy long-short, the same on spot, and how many orders either sends at least.
CASES = {
    "SmaCross": (SmaCross(20, 50, below=-1.0), SmaCross(20, 50), 1_500),
    "BollingerReversion": (BollingerReversion(48, shorts=True), BollingerReversion(48), 1_000),
    "CrossMomentum": (CrossMomentum(top=2, shorts=True), CrossMomentum(top=2), 1_500),
}


@cache
def sample() -> Market:
    return load_sample()


@cache
def hourly() -> Market:
    if not HOURLY.exists():
        pytest.skip("../shared/data/btcusdt_1h.parquet is not there: real data that may not be committed")
    return Market.from_frames({"BTC/USDT": read_candles(HOURLY, timeframe="1h")}, timeframe="1h")


def check(strategy: Strategy, market: Market, shorts: bool, at_least: int) -> None:
    venues = {
        symbol: Venue(shorts=shorts, amount_step=STEPS[symbol.partition("/")[0]], min_notional=10.0)
        for symbol in market.symbols
    }
    terms = {"cash": 100_000.0, "costs": COSTS, "venue": venues}
    fast, slow = backtest(strategy, market, **terms), paper(strategy, market, **terms)
    verdict = parity(fast, slow, tolerance=1e-9)
    print(  # noqa: T201
        f"\n{len(market):,} bars x {len(market.symbols)}, {'long-short' if shorts else 'spot'}, {fast.name}: "
        f"{verdict.orders[0]:,} orders, {verdict.matched:,} equal, {(fast.orders['reason'] != 'target').sum():,} cut, "
        f"largest difference {verdict.largest_difference:.1e}"
    )
    verdict.raise_if_different()
    assert verdict.orders[0] == verdict.orders[1] == verdict.matched >= at_least
    assert verdict.bars == len(market)
    # No tolerance at all for what the rules decide. Prices and fees are backtrader's own, an average of one: x * n / n.
    exact = ["decided_at", "filled_at", "symbol", "side", "amount", "reason"]
    assert fast.orders[exact].equals(slow.orders[exact])
    assert fast.positions.equals(slow.positions)
    assert (fast.positions < 0.0).any(axis=None) == shorts
    assert (fast.positions > 0.0).any(axis=None)


@pytest.mark.parametrize("shorts", [True, False], ids=["long-short", "spot"])
@pytest.mark.parametrize("name", CASES)
def test_both_engines_agree_on_the_sample_of_five_symbols(name: str, shorts: bool) -> None:
    strategy = CASES[name][0 if shorts else 1]
    check(strategy, sample(), shorts, CASES[name][2])


@pytest.mark.parametrize("shorts", [True, False], ids=["long-short", "spot"])
@pytest.mark.parametrize("name", ["SmaCross", "BollingerReversion"])
def test_both_engines_agree_on_hourly_bars_with_gaps(name: str, shorts: bool) -> None:
    strategy = CASES[name][0 if shorts else 1]
    market = hourly()
    assert len(market) == 67_311
    assert (market.index.to_series().diff() > "1h").sum() == 28
    check(strategy, market, shorts, CASES[name][2])


def test_both_engines_agree_on_momentum_over_hourly_bars_with_gaps() -> None:
    # One symbol alone has no other to be ranked against, nor to be sold short beside: momentum holds it throughout,
    # rebalanced to nine tenths every day.
    check(CrossMomentum(top=1, weight=0.9, every=24), hourly(), False, 2_000)


@pytest.mark.parametrize("name", CASES)
def test_both_engines_agree_where_every_missing_time_is_a_row(name: str) -> None:
    strategy = CASES[name][0]
    market = sample().on_grid()
    assert market.close.isna().all(axis=1).any()
    check(strategy, market, True, CASES[name][2])
