"""A sweep of 1,000 parameter sets against the bare vectorbt code that an expert would write for it: time and memory.

Compared: SMA crosses of 25 fast and 40 slow windows on one symbol with fee and slippage, over 17,520 hourly bars (two
years of bars; the bundled sample's last 17,520 of 30 minutes where that file is absent), without and with a stop and a
profit. Both sides go from the candles to a table of total return, Sharpe ratio, deepest drawdown and win rate by set.
Without exits both come to the same orders and returns, which is asserted before anything is timed; with them vectorbt
sizes and leaves by its own rules, and only that both trade is.

Why it is fair: the bare code is vectorbt at its best. Averages are computed once per distinct window, its Rust engine
simulates all columns at once, bars are numbered instead of labelled in UTC, and the four figures are asked one by one.
`sweep` has more to do in the same time: 33 figures a set, its daily returns, checks, and the record of every trial. A
side's time is also shown without the Sharpe ratios, which take vectorbt the longest. Memory is the peak of a process
that does one side alone, its imports among it: once with the machine code on disk.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from benchmarks.timing import best_seconds, show, verdict
from data import Market, load_sample, read_candles
from engine import Costs, Exits

GOAL_TIME: Final = 1.0
GOAL_MEMORY: Final = 0.5
ROUNDS: Final = 3
BARS: Final = 17_520
CASH, FEE, SLIPPAGE = 10_000.0, 0.001, 0.0005
FAST, SLOW = range(4, 104, 4), range(104, 424, 8)
STOP, PROFIT = 0.03, 0.06
HOURLY = Path(__file__).resolve().parents[2] / "shared" / "data" / "btcusdt_1h.parquet"


def load_market() -> Market:
    if HOURLY.exists():
        market = Market.from_frames({"BTC/USDT": read_candles(HOURLY, timeframe="1h")}, timeframe="1h")
    else:
        market = load_sample(["BTC/USD"])
    return market.iloc(len(market) - BARS, len(market))


def run_ours(market: Market, exits: bool) -> pd.DataFrame:
    from research import sweep
    from research.strategies import SmaCross

    barriers = Exits(stop_loss=STOP, take_profit=PROFIT) if exits else None
    with tempfile.TemporaryDirectory() as folder:
        result = sweep(
            SmaCross,
            {"fast": FAST, "slow": SLOW},
            market,
            fixed={"exits": barriers},
            cash=CASH,
            costs=Costs(FEE, SLIPPAGE),
            record=Path(folder) / "trials.sqlite",
        )
    return result.table


def run_bare(market: Market, exits: bool, sharpe: bool = True) -> pd.DataFrame:
    import vectorbt as vbt

    bars = {name: market[name].iloc[:, 0].reset_index(drop=True) for name in ("open", "high", "low", "close")}
    pairs = list(product(FAST, SLOW))
    close = bars["close"]
    fast = vbt.MA.run(close, [pair[0] for pair in pairs], short_name="fast").ma.to_numpy()
    slow = vbt.MA.run(close, [pair[1] for pair in pairs], short_name="slow").ma.to_numpy()
    spread = fast - slow
    above, known = spread > 0.0, ~np.isnan(spread)
    crossed = known[1:] & known[:-1] & (above[1:] != above[:-1])
    # Decided at a close, filled at the next open, sized by the equity at the decision (rules 1 and 2).
    up, down = np.zeros(spread.shape, dtype=bool), np.zeros(spread.shape, dtype=bool)
    up[2:], down[2:] = (crossed & above[1:])[:-1], (crossed & ~above[1:])[:-1]
    terms = {"fees": FEE, "slippage": SLIPPAGE, "init_cash": CASH, "freq": market.timeframe, "price": bars["open"]}
    if exits:
        portfolio = vbt.Portfolio.from_signals(
            close,
            up,
            down,
            open=bars["open"],
            high=bars["high"],
            low=bars["low"],
            sl_stop=STOP,
            tp_stop=PROFIT,
            **terms,
        )
    else:
        size = np.where(up, 1.0, np.where(down, 0.0, np.nan))
        portfolio = vbt.Portfolio.from_orders(close, size, size_type="targetpercent", val_price=-np.inf, **terms)
    figures = {
        "total_return": portfolio.total_return(),
        "max_drawdown": portfolio.max_drawdown(),
        "win_rate": portfolio.trades.win_rate(),
        "orders": portfolio.orders.count(),
    }
    if sharpe:
        figures["sharpe"] = portfolio.sharpe_ratio()
    table = pd.DataFrame({name: values.to_numpy() for name, values in figures.items()})
    return table.sort_values("sharpe" if sharpe else "total_return", ascending=False)


def check_same(market: Market) -> None:
    """The two sides of the plain sweep are one and the same trading; with exits both trade about as often."""
    ours, bare = run_ours(market, False).sort_index(), run_bare(market, False).sort_index()
    assert len(ours) == len(bare) == len(FAST) * len(SLOW)
    alike = ours["orders"].to_numpy() == bare["orders"].to_numpy()
    # An exact tie of two averages goes either way in vectorbt, whose rolling sums drift.
    assert alike.mean() > 0.99, alike.mean()
    for name in ("total_return", "max_drawdown"):
        close = np.isclose(1.0 + ours[name], 1.0 + bare[name], rtol=1e-9, atol=0.0)
        assert close[alike].all(), (name, close[alike].mean())
    left, other = run_ours(market, True)["orders"].sum(), run_bare(market, True)["orders"].sum()
    print(f"  plain: {alike.sum():,} of {len(alike):,} sets send the same orders, and return the same within 1e-9")
    print(f"  with exits: {left:,} orders of ours, {other:,} of vectorbt's")
    assert min(left, other) > 0


def peak_of(side: str, exits: bool) -> float:
    """Peak memory in MB of a process that runs one side once, and finds its machine code on disk."""
    command = [sys.executable, __file__, side, *(["exits"] if exits else [])]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(2)]  # noqa: S603
    return float(runs[-1].stdout.split()[-1])


def alone(side: str, exits: bool) -> int:
    """Run one side once and print the peak memory of this process in MB."""
    sides: dict[str, Callable[[Market, bool], Any]] = {"ours": run_ours, "bare": run_bare}
    sides[side](load_market(), exits)
    # Linux counts kilobytes, macOS bytes.
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
    return 0


def main() -> int:
    # First of all, while this process is small: a process begins with the peak of the one that starts it.
    peaks = {(side, exits): peak_of(side, exits) for side in ("bare", "ours") for exits in (False, True)}
    market = load_market()
    print(f"sweep: {market.symbols[0]}, {len(market):,} bars, {len(FAST) * len(SLOW):,} sets, best of {ROUNDS}")
    check_same(market)
    status = 0
    for exits in (False, True):
        candidates: dict[str, Callable[[], object]] = {
            "vectorbt": partial(run_bare, market, exits),
            "ladder sweep": partial(run_ours, market, exits),
            "vectorbt without Sharpe ratios": partial(run_bare, market, exits, sharpe=False),
        }
        seconds = best_seconds(candidates, ROUNDS)
        sides = {"vectorbt": "bare", "ladder sweep": "ours"}
        notes = {name: f"peak {peaks[side, exits]:,.0f} MB" for name, side in sides.items()}
        show("with exits" if exits else "without exits", seconds, notes)
        status |= verdict(seconds["ladder sweep"] / seconds["vectorbt"], GOAL_TIME)
        status |= verdict(peaks["ours", exits] / peaks["bare", exits], GOAL_MEMORY)
    return status


if __name__ == "__main__":
    raise SystemExit(alone(sys.argv[1], "exits" in sys.argv) if len(sys.argv) > 1 else main())
