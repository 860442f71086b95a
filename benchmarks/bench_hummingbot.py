"""The baseline beside the real Hummingbot, side by side; goal: at least 50 times as fast.

Compared, run by run in this order: the real engine's `run_backtesting`, in its own Python (built the first time, some
minutes), and `ControllerBaseline.run` in ours, warm, on the same candles, signals and settings. "accounts" adds both
Results of a run, marked and realised. The golden runs (../shared/hummingbot/golden), and each native controller on
5,000 bars of ../shared/data; what is not there is left out.

Why it is fair, and where not: both begin with candles in memory and end with every executor and the profit series. The
real engine's seconds are of the backtest alone: neither its import (7 to 12 s) nor ours (about a second, the first call
loads numba) is counted. It formats no results here; ours makes tables of executors and fills.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks.timing import best_seconds
from data import Market
from data.errors import LadderError
from reports.hummingbot import (
    BollingerV1,
    ControllerBaseline,
    ControllerConfig,
    DManV3,
    MacdBbV1,
    PmmSimple,
    SupertrendV1,
)
from reports.hummingbot.real import run_jobs
from reports.hummingbot.real_baseline import jobs_of

SHARED = Path(__file__).resolve().parents[2] / "shared"
GOLDEN = SHARED / "hummingbot" / "golden"
CANDLES = ["open", "high", "low", "close", "volume"]
GOAL = 50.0
ROUNDS = 10
BARS = 5_000


def golden_question(folder: Path) -> tuple[ControllerBaseline, Market]:
    """A golden run as ours."""
    facts = json.loads((folder / "run.json").read_text())
    given = facts["config"]
    bars = pd.read_parquet(folder / "bars.parquet")
    market = Market.from_frames({"BTC/USDT": bars[CANDLES]}, timeframe=facts["interval"])
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
    return ControllerBaseline(signal, target, config, name=folder.name), market


def questions() -> list[tuple[ControllerBaseline, Market]]:
    asked = [golden_question(path.parent) for path in sorted(GOLDEN.glob("*/run.json"))]
    candles = SHARED / "data" / "binance_BTCUSDT_5m.parquet"
    if candles.exists():
        market = Market.from_frames({"BTC/USDT": pd.read_parquet(candles)[CANDLES].iloc[:BARS]}, "5m")
        controllers = (BollingerV1(), MacdBbV1(), SupertrendV1(), DManV3(dca_spreads=("0.001", "0.003")), PmmSimple())
        asked += [(ControllerBaseline(kind, name=kind.controller_name), market) for kind in controllers]
    return asked


def main() -> int:
    asked = questions()
    if not asked:
        print("neither ../shared/hummingbot/golden nor ../shared/data is here: nothing to compare with")
        return 0
    try:
        real = run_jobs(
            [job for question, market in asked for job in jobs_of(question, market)],
            say=lambda text: print(text, file=sys.stderr),
        )
    except LadderError as error:
        print(f"the real Hummingbot cannot be run here, so nothing is compared: {error}")
        return 0
    print(f"{'run':<16}{'bars':>8}{'executors':>11}{'real':>10}{'simulated':>22}{'with accounts':>22}")
    ratios = []
    for (question, market), theirs in zip(asked, real, strict=True):
        run = question.run(market)
        assert len(run.executors) == len(theirs.executors)

        def with_accounts(question: ControllerBaseline = question, market: Market = market) -> None:
            again = question.run(market)
            assert again.realised.equity.iloc[-1] == again.cash + again.pnl.iloc[-1]
            assert len(again.marked.orders) == 2 * int(again.legs["booked"].sum())

        best = best_seconds({"run": partial(question.run, market), "accounts": with_accounts}, ROUNDS)
        cells = "".join(
            f"{best[name] * 1e3:>10.1f} ms{theirs.seconds / best[name]:>7,.0f} x" for name in ("run", "accounts")
        )
        print(f"{run.name:<16}{len(market):>8,}{len(run.executors):>11,}{theirs.seconds:>8.2f} s{cells}")
        ratios.append(theirs.seconds / best["run"])
    met = min(ratios) >= GOAL
    print(f"  {'met' if met else 'MISSED'}: at least {min(ratios):,.0f} x as fast, goal {GOAL:g} x")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
