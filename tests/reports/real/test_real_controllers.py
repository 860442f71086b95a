"""Each native controller beside the real Hummingbot on random settings and real candles, executor by executor.

Slow, as in `test_real_engine`. What it measures is printed with `pytest -s`.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import Market, load_sample
from reports.hummingbot import (
    BollingerV1,
    ControllerBaseline,
    ControllerConfig,
    DManV3,
    MacdBbV1,
    PmmSimple,
    SupertrendV1,
    check_baseline,
    run_real,
)
from reports.hummingbot.real import compare_executors, run_jobs
from reports.hummingbot.real_baseline import jobs_of

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
FILES = {
    "btcusdt_1h": "1h",
    "binance_BTCUSDT_5m": "5m",
    "binance_DOGEUSDT_5m": "5m",
    "binance_XRPUSDT_5m": "5m",
    "binance_SOLUSDTPERP_1m": "1m",
    "binance_ETHUSDTPERP_1m": "1m",
}
# About a bar's move, so that every barrier is met.
PACE = {"1m": 0.002, "5m": 0.004, "30m": 0.01, "1h": 0.02}
EACH = 24
KINDS = ("bollinger_v1", "macd_bb_v1", "supertrend_v1", "dman_v3", "pmm_simple")

pytestmark = pytest.mark.slow


def pool():
    """Real candles by name, with their timeframe: the bundled sample, and the shared ones where they are."""
    sample = load_sample()
    found = {
        symbol: ("30m", pd.DataFrame({name: sample[name][symbol] for name in sample.fields}).dropna())
        for symbol in ("BTC/USD", "XRP/USD")
    }
    for name, timeframe in FILES.items():
        if (SHARED / f"{name}.parquet").exists():
            found[name] = (timeframe, pd.read_parquet(SHARED / f"{name}.parquet"))
    return {
        name: (timeframe, candles[["open", "high", "low", "close", "volume"]])
        for name, (timeframe, candles) in found.items()
    }


def random_config(rng, timeframe, kind):
    bar, pace = pd.Timedelta(timeframe), PACE[timeframe]

    def about(low, high):
        return round(float(rng.uniform(low, high)) * pace, 4)

    return ControllerConfig(
        stop_loss=None if kind != "dman_v3" and rng.random() < 0.2 else about(0.3, 4),
        take_profit=None if rng.random() < 0.2 else about(0.3, 4),
        trailing_stop=None if rng.random() < 0.4 else (about(0.3, 3), about(0.1, 1)),
        time_limit=None if rng.random() < 0.2 else int(rng.integers(1, 60)) * bar,
        cooldown_time=pd.Timedelta(seconds=int(rng.choice([15, bar.total_seconds(), 3 * bar.total_seconds(), 7200]))),
        max_executors_per_side=int(rng.integers(1, 4)),
        total_amount_quote=float(rng.choice([100.0, 1000.0, 777.7])),
        trade_cost=float(rng.choice([0.0, 0.0002, 0.001])),
    )


def random_controller(rng, timeframe, kind):
    bands = {
        "bb_length": int(rng.choice([10, 20, 50])),
        "bb_std": float(rng.choice([1.0, 2.0])),
        "bb_long_threshold": float(rng.choice([0.0, 0.2])),
        "bb_short_threshold": float(rng.choice([1.0, 0.8])),
    }
    if kind == "bollinger_v1":
        return BollingerV1(**bands)
    if kind == "macd_bb_v1":
        periods = {name: int(rng.integers(*span)) for name, span in (("fast", (3, 12)), ("slow", (12, 30)))}
        wide = {**bands, "bb_long_threshold": 0.4, "bb_short_threshold": 0.6}
        return MacdBbV1(
            **wide, macd_fast=periods["fast"], macd_slow=periods["slow"], macd_signal=int(rng.integers(2, 9))
        )
    if kind == "supertrend_v1":
        return SupertrendV1(int(rng.integers(5, 25)), float(rng.choice([1, 2, 4])), float(rng.choice([0.001, 0.01])))
    if kind == "dman_v3":
        dynamic, levels = bool(rng.random() < 0.25), int(rng.integers(1, 4))
        spreads = sorted(round(float(value), 4) for value in rng.uniform(0.0002, PACE[timeframe], levels))
        parts = None if rng.random() < 0.5 else tuple(str(value) for value in rng.integers(1, 9, levels))
        return DManV3(
            **bands,
            dca_spreads=tuple(str(round(value * 50, 3) if dynamic else value) for value in spreads),
            dca_amounts_pct=parts,
            dynamic_order_spread=dynamic,
            dynamic_target=dynamic,
            takes_profit=bool(rng.random() < 0.7),
            wall_clock=bool(rng.random() < 0.15),
        )
    sides = [
        tuple(round(float(value), 5) for value in rng.uniform(0.05, 1.5, int(rng.integers(1, 4))) * PACE[timeframe])
        for _ in range(2)
    ]
    parts = [tuple(float(value) for value in rng.integers(1, 9, len(side))) for side in sides]
    refresh = int(rng.integers(1, 20)) * pd.Timedelta(timeframe)
    return PmmSimple(*sides, *([None, None] if rng.random() < 0.5 else parts), refresh)


@pytest.mark.parametrize("kind", KINDS)
def test_native_controller_is_the_real_one_on_random_settings(real_python, kind, capsys):
    rng = np.random.default_rng([20260922, KINDS.index(kind)])
    candles = pool()
    cases, jobs = [], []
    for _ in range(EACH):
        timeframe, bars = candles[sorted(candles)[int(rng.integers(len(candles)))]]
        length = int(rng.integers(300, 900))
        start = int(rng.integers(0, len(bars) - length))
        market = Market.from_frames({"BTC/USDT": bars.iloc[start : start + length]}, timeframe)
        question = ControllerBaseline(
            random_controller(rng, timeframe, kind), config=random_config(rng, timeframe, kind), name=kind
        )
        cases.append((question, market))
        jobs += jobs_of(question, market)
    executors = trading = 0
    largest = ours = theirs = 0.0
    for (question, market), real in zip(cases, run_jobs(jobs, python=real_python), strict=True):
        question.run(market)  # what is compiled is compiled
        began = time.perf_counter()
        run = question.run(market)
        ours += time.perf_counter() - began
        theirs += real.seconds
        check = compare_executors(
            run.executors, real.executors, simulated_pnl=run.pnl_by_symbol["BTC/USDT"], real_pnl=real.pnl
        )
        assert check.ok, f"{question.signal}\n{question.settings}\n{check}"
        executors, trading = executors + len(run.executors), trading + int((run.executors["pnl"] != 0.0).sum())
        largest = max(largest, check.largest)
    assert executors > 10 * EACH and trading > EACH
    with capsys.disabled():
        sys.stdout.write(
            f"\n{kind}: {EACH} configurations, {executors:,} executors ({trading:,} with a profit or loss), largest "
            f"relative difference {largest:.1e}; real {theirs:.1f} s, simulated {ours * 1e3:.0f} ms\n"
        )


def test_a_real_run_is_a_baseline_like_the_simulated_one(real_python):
    market = load_sample()
    market = market.select(list(market.symbols[:2])).iloc(0, 600)
    for controller in (BollingerV1(bb_length=20), DManV3(bb_length=20, dca_spreads=("0.001", "0.004")), PmmSimple()):
        question = ControllerBaseline(controller)
        real, simulated = run_real(question, market, python=real_python), question.run(market)
        assert "the real hummingbot" in real.marked.meta["strategy"]
        np.testing.assert_allclose(real.marked.equity, simulated.marked.equity, rtol=1e-12)
        np.testing.assert_allclose(real.realised.equity, simulated.realised.equity, rtol=1e-12)
        assert real.dropped.tolist() == simulated.dropped.tolist()
        assert check_baseline(question, market, python=real_python).ok
