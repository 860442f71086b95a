"""One decision of `QuantileSignal` at a closed bar, as a live session takes it, against the whole history anew.

Compared: `Strategy.decide` on the trailing window of the strategy's warm-up, regime features (volatility, sentiment,
dominance), threshold, Kelly sizes and the cap among it, and `targets` over all bars, of which a decision is the last
row. Both from a Market that holds candles, forecasts and daily values; cutting the window off is part of the time. For
1 symbol the history is 67,311 hourly bars of BTC/USDT (the bundled sample's 35,000 where that file is absent); for 50
it is two years of hours, the same bars moved in time, for there are no 50 symbols at hand. That both give the same row
is asserted before anything is timed. Shown: median and p99 of many decisions, and how often the full run is dearer.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd

from benchmarks.bench_backtest import load_market
from data import Market
from research.strategies import QuantileSignal

GOAL = 20.0
DECISIONS = 300
STRATEGY = QuantileSignal(cost=0.0012, hold=1, window=720)


def with_inputs(market: Market) -> Market:
    """Forecasts and daily values of no meaning: what counts is that they are there and differ."""
    rng = np.random.default_rng(0)
    shape = market.close.shape

    def table(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, index=market.index, columns=market.close.columns).where(market.close.notna())

    middle, width = rng.normal(0.0, 0.004, shape), rng.uniform(0.001, 0.01, shape)
    daily = np.repeat(rng.uniform(5.0, 95.0, (shape[0] // 24 + 1, 1)), 24, axis=0)[: shape[0]] * np.ones(shape)
    fields = {"q10": middle - width, "q50": middle, "q90": middle + width, "fear_greed": daily, "btc_dominance": daily}
    return market.with_fields(**{name: table(values) for name, values in fields.items()})


def fifty(market: Market) -> Market:
    """Fifty symbols over two years of hours, each the bars of another time."""
    symbol, length, frames = market.symbols[0], 17_520, {}
    index = pd.date_range("2023-01-01", periods=length, freq="1h", tz="UTC")
    bars = pd.DataFrame({name: market[name][symbol].dropna() for name in ("open", "high", "low", "close", "volume")})
    for number in range(50):
        start = number * (len(bars) - length) // 50
        frames[f"S{number:02d}/USDT"] = bars.iloc[start : start + length].set_axis(index)
    return Market.from_frames(frames, timeframe="1h")


def measure(name: str, market: Market) -> float:
    """Print one line; how many times dearer the full history is than the median decision."""
    warmup = STRATEGY.warmup
    full = STRATEGY.targets(market)
    rows = np.random.default_rng(1).integers(warmup, len(market), DECISIONS)
    for row in rows[:20]:
        decision = STRATEGY.decide(market.iloc(row + 1 - warmup, row + 1))
        pd.testing.assert_series_equal(decision, full.iloc[row], check_exact=True)
    taken = []
    for row in rows:
        began = time.perf_counter()
        STRATEGY.decide(market.iloc(row + 1 - warmup, row + 1))
        taken.append(time.perf_counter() - began)
    whole = []
    for _ in range(5):
        began = time.perf_counter()
        STRATEGY.targets(market)
        whole.append(time.perf_counter() - began)
    median, p99, once = float(np.median(taken)), float(np.quantile(taken, 0.99)), float(np.median(whole))
    print(
        f"  {name:<12} {len(market):>7,} bars  decide: median {median * 1e3:7.2f} ms, p99 {p99 * 1e3:7.2f} ms   "
        f"whole history {once * 1e3:9.1f} ms   {once / median:6.1f} x"
    )
    return once / median


def main() -> int:
    market = load_market()
    print(f"decide on {STRATEGY.warmup} bars against the whole history ({DECISIONS} decisions)")
    ratios = [measure("1 symbol", with_inputs(market)), measure("50 symbols", with_inputs(fifty(market)))]
    met = min(ratios) >= GOAL
    print(f"  {'met' if met else 'MISSED'}: {min(ratios):.1f} x, goal at least {GOAL:g} x")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
