"""The simulated Hummingbot baseline against the real engine, on the same bars and with the same executors as a result.

Compared: the seconds that the golden runs of the real engine record (../shared/hummingbot/golden/*/run.json) with
`ControllerBaseline.run`, each golden run in a Python of its own: the first call, which loads numba and the machine code
kept from before, and the best of those after it. "accounts" adds both Results of a run, marked and realised.

Why it is fair, and where not: both begin with candles, signal and target in memory and end with every executor and the
profit series. The real engine's time was taken on another day and maybe another machine, so a ratio is good to a factor
of two or so; the goal of 20 leaves that room. On the same machine, side by side, they are compared with issue 4.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd

from benchmarks.timing import best_seconds
from data import Market
from reports.hummingbot import ControllerBaseline, ControllerConfig

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "hummingbot" / "golden"
GOAL = 20.0
ROUNDS = 30


def baseline_of(folder: Path) -> tuple[ControllerBaseline, Market, float]:
    """A golden run as ours, and the seconds that the real engine took for it."""
    facts = json.loads((folder / "run.json").read_text())
    given = facts["config"]
    bars = pd.read_parquet(folder / "bars.parquet")
    candles = bars[["open", "high", "low", "close", "volume"]]
    market = Market.from_frames({"BTC/USDT": candles}, timeframe=facts["interval"])
    activation, _, delta = given.get("trailing_stop", "").partition(",")
    config = ControllerConfig(
        stop_loss=float(given["stop_loss"]),
        take_profit=float(given["take_profit"]),
        trailing_stop=(float(activation), float(delta)) if delta else None,
        time_limit=pd.Timedelta(seconds=given["time_limit"]),
        cooldown_time=pd.Timedelta(seconds=given["cooldown_time"]),
        max_executors_per_side=given["max_executors_per_side"],
        total_amount_quote=given["total_amount_quote"],
        trade_cost=facts["trade_cost"],
    )
    signal, target = (bars[name].set_axis(market.index) for name in ("signal", "target_pct"))
    return ControllerBaseline(signal, target, config), market, facts["seconds"]


def measured(folder: Path) -> tuple[int, int, float, float, dict[str, float]]:
    """Bars, executors, and seconds: the real engine's, our first call's, the best ones of a run and its accounts."""
    baseline, market, real = baseline_of(folder)
    began = time.perf_counter()
    run = baseline.run(market)
    first = time.perf_counter() - began

    def with_accounts() -> None:
        again = baseline.run(market)
        assert again.realised.equity.iloc[-1] == again.cash + again.pnl.iloc[-1]
        assert len(again.marked.orders) == 2 * len(again.executors)

    best = best_seconds({"run": lambda: baseline.run(market), "accounts": with_accounts}, ROUNDS)
    return len(market), len(run.executors), real, first, best


def in_new_process(folder: Path) -> tuple[int, int, float, float, dict[str, float]]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measured, folder).result()


def main() -> int:
    folders = sorted(path.parent for path in GOLDEN.glob("*/run.json"))
    if not folders:
        print("no golden runs of the real Hummingbot at ../shared/hummingbot/golden: nothing to compare with")
        return 0
    in_new_process(folders[0])  # puts the machine code on disk
    print(f"{'run':<14}{'bars':>8}{'executors':>11}{'real':>9}{'first call':>22}{'warm':>22}{'with accounts':>22}")
    ratios = []
    for folder in folders:
        bars, executors, real, first, best = in_new_process(folder)
        cells = "".join(
            f"{seconds * 1e3:>10.1f} ms{real / seconds:>7,.0f} x" for seconds in (first, best["run"], best["accounts"])
        )
        print(f"{folder.name:<14}{bars:>8,}{executors:>11,}{real:>7.2f} s{cells}")
        ratios.append(real / best["run"])
    met = min(ratios) >= GOAL
    print(f"  {'met' if met else 'MISSED'}: at least {min(ratios):,.0f} x as fast, goal {GOAL:g} x")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
