"""The main job on the bundled candles: one strategy, both engines, their parity, the Hummingbot baseline, a tearsheet.

    run = run_demo(Path("out/demo"))
    run.tearsheet                      # the page; beside it the three results as Parquet

What both sides share: the candles, the signal (the sign of the strategy's standing target), the capital, and the cost
of a fill: Hummingbot's `trade_cost` is the strategy's fee and slippage together. The baseline is shown twice: as
Hummingbot's backtest computes it, which fills at the close of the signal's own bar and never compounds, and on the
strategy's execution rules. The controller's barriers were set to the strategy's pace before anything was run, and
neither side was tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

    from data.market import Market
    from engine.result import Result
    from reports.comparison import Comparison
    from reports.hummingbot import BaselineRun, EqualTerms
    from reports.parity_check import Parity

CASH: Final = 10_000.0
FEE: Final = 0.001
SLIPPAGE: Final = 0.0005
# A day and a week of 30-minute bars.
FAST: Final = 48
SLOW: Final = 336

FIGURES: Final = ("total_return", "cagr", "volatility", "sharpe", "max_drawdown", "trades", "win_rate", "fees")


@dataclass(frozen=True, eq=False)
class Demo:
    """What the demo made: the runs, the baseline on both terms, what they say of each other, and the page."""

    backtest: Result
    paper: Result
    baseline: BaselineRun
    equal: EqualTerms
    parity: Parity
    comparison: Comparison
    tearsheet: Path


def run_demo(folder: Path, say: Callable[[str], None] = lambda _: None) -> Demo:
    """Run the demo and write its page and results to a folder.

    Args:
        folder: made where it is not there; files of the same names are replaced.
        say: told what is being done, for a display.
    """
    say("Loading engines and candles")
    from data import load_sample
    from engine import Costs, Venue, backtest, paper
    from reports import compare, parity, tearsheet
    from reports.hummingbot import equal_terms
    from research.strategies import SmaCross

    market = load_sample()
    strategy = SmaCross(fast=FAST, slow=SLOW)
    terms: dict[str, Any] = {
        "cash": CASH,
        "costs": Costs(fee=FEE, slippage=SLIPPAGE),
        "venue": Venue(amount_step=0.0001, min_notional=10.0),
    }
    bars = f"{len(market):,} bars of {len(market.symbols)} symbols"
    say(f"Backtest: {strategy} over {bars} (vectorbt)")
    fast = backtest(strategy, market, **terms)
    say(f"Paper: the same, bar by bar over {bars} (backtrader)")
    slow = paper(strategy, market, **terms)
    say("Parity: equity at every bar, orders one by one")
    verdict = parity(fast, slow)
    say("Baseline: Hummingbot's directional controller on the same signal")
    baseline = _baseline(strategy.targets(market), market)
    say("Equal terms: the baseline's decisions on the strategy's execution rules, step by step")
    equal = equal_terms(baseline, costs=terms["costs"], venue=terms["venue"])
    say("Tearsheet")
    folder.mkdir(parents=True, exist_ok=True)
    for name, result in (("backtest", fast), ("paper", slow), ("hummingbot", equal.own), ("equal-terms", equal.ours)):
        result.to_parquet(folder / f"{name}.parquet")
    page = tearsheet(fast, equal, folder / "tearsheet.html", parity=verdict, others=[slow])
    return Demo(fast, slow, baseline, equal, verdict, compare([fast, slow], equal), page)


def _baseline(targets: pd.DataFrame, market: Market) -> BaselineRun:
    """One controller a symbol, each with an equal part of the capital."""
    import pandas as pd

    from reports.hummingbot import ControllerBaseline, ControllerConfig, signal_from_targets

    config = ControllerConfig(
        stop_loss=0.05,
        take_profit=0.15,
        time_limit=pd.Timedelta(days=7),
        cooldown_time=pd.Timedelta(days=1),
        max_executors_per_side=1,
        total_amount_quote=CASH / len(market.symbols),
        trade_cost=FEE + SLIPPAGE,
    )
    return ControllerBaseline(signal_from_targets(targets), config=config).run(market, cash=CASH)
