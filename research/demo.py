"""The main job on the bundled candles: a model trained walk-forward, its forecasts traded, both engines, the baseline.

    run = run_demo(Path("out/demo"))
    run.tearsheet                      # the page; beside it the forecasts, their report, and the results as Parquet

A quantile model forecasts the next day; every forecast is by a model that had not seen that day. `QuantileSignal`
trades it, through both engines. A Hummingbot bot trades the same forecasts: its `ai_livestream` controller takes the
side that is likelier, with barriers as wide as the forecast is, for a day at most. Both are judged over the same bars,
with the same capital and the same cost of a fill, on spot: neither goes short. The bot is shown twice, as Hummingbot's
backtest computes it, which fills at the close of the signal's own bar and never compounds, and on the strategy's
execution rules. And there is who buys everything at once and holds it.

What was set before anything was run, and never tuned: a day as horizon, holding time and time limit, since costs weigh
less on longer moves; the defaults of model, rule and sizing; the barriers of the bot that the baseline's golden runs
have (stop at one width, profit at one and a half, an hour of cooldown).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from data.market import Market
    from data.prediction_join import Joined
    from engine.result import Result
    from reports.comparison import Comparison
    from reports.hummingbot import BaselineRun, EqualTerms
    from reports.parity_check import Parity
    from research.models import ModelReport, WalkForwardPredictions

CASH: Final = 10_000.0
FEE: Final = 0.001
SLIPPAGE: Final = 0.0005
# A day of 30-minute bars, and a month of them for the regimes.
HORIZON: Final = 48
WINDOW: Final = 30 * 48

FIGURES: Final = (
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "max_drawdown",
    "trades",
    "win_rate",
    "turnover",
    "fees",
)


@dataclass(frozen=True, eq=False)
class Demo:
    """What the demo made: forecasts and what they are worth, the runs, what they say of each other, and the page."""

    forecasts: WalkForwardPredictions
    report: ModelReport
    joined: Joined
    backtest: Result
    paper: Result
    holding: Result
    baseline: BaselineRun
    equal: EqualTerms
    parity: Parity
    comparison: Comparison
    tearsheet: Path


def run_demo(
    folder: Path,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[int, int], None] | None = None,
) -> Demo:
    """Run the demo and write its pages and results to a folder.

    Args:
        folder: made where it is not there; files of the same names are replaced.
        say: told what is being done, for a display.
        progress: told how many of the models are trained, and how many there are to be.
    """
    say("Loading engines and candles")
    from data import Predictions, load_sample, with_predictions
    from engine import Costs, Venue, backtest, paper
    from reports import compare, hold, parity, tearsheet
    from reports.hummingbot import equal_terms
    from research.models import QuantileModel, WalkForwardPlan, model_report, walk_forward_predictions
    from research.strategies import QuantileSignal

    market = load_sample()
    bars = f"{len(market):,} bars of {len(market.symbols)} symbols"
    plan = WalkForwardPlan(train="365D", refit="90D")
    say(f"Model: quantiles of the next day, trained on a year, anew every 90 days, over {bars}")
    walk = walk_forward_predictions(QuantileModel(horizon=HORIZON), market, plan, progress=progress)
    say("Forecasts: what they are worth beside what is simplest")
    report = model_report(walk, market)
    strategy = QuantileSignal(cost=2 * (FEE + SLIPPAGE), hold=HORIZON, window=WINDOW, shorts=False)
    # From the first forecast on, and the bars before it that the strategy needs to know.
    first = int(market.index.searchsorted(walk.table["made_on"].min()))
    known = market.iloc(max(first - strategy.warmup + 1, 0), None)
    joined = with_predictions(known, Predictions.from_table(walk.table, market.timeframe))
    warm = joined.market
    judged = warm.loc[market.index[first] :]
    terms: dict[str, Any] = {
        "cash": CASH,
        "costs": Costs(fee=FEE, slippage=SLIPPAGE),
        "venue": Venue(amount_step=0.0001, min_notional=10.0),
    }
    bars = f"{len(judged):,} bars"
    say(f"Backtest: QuantileSignal on the forecasts over {bars} (vectorbt)")
    # All are judged over the bars with forecasts: the strategy has seen those before, and traded on none.
    fast = backtest(strategy, warm, **terms).since(judged.index[0])
    say(f"Paper: the same, bar by bar over {bars} (backtrader)")
    slow = paper(strategy, warm, **terms).since(judged.index[0])
    say("Parity: equity at every bar, orders one by one")
    verdict = parity(fast, slow)
    held = hold(judged, **terms)
    say("Baseline: Hummingbot's ai_livestream controller on the same forecasts")
    baseline = _baseline(judged)
    say("Equal terms: the baseline's decisions on the strategy's execution rules, step by step")
    equal = equal_terms(baseline, costs=terms["costs"], venue=terms["venue"])
    say("Pages")
    folder.mkdir(parents=True, exist_ok=True)
    results = {"backtest": fast, "paper": slow, "holding": held, "hummingbot": equal.own, "equal-terms": equal.ours}
    for name, result in results.items():
        result.to_parquet(folder / f"{name}.parquet")
    joined.found.to_parquet(folder / "forecasts.parquet")
    report.write_html(folder / "forecasts.html")
    page = tearsheet(fast, equal, folder / "tearsheet.html", parity=verdict, others=[slow], holding=held)
    comparison = compare([fast, slow, held], equal)
    return Demo(walk, report, joined, fast, slow, held, baseline, equal, verdict, comparison, page)


def _baseline(market: Market) -> BaselineRun:
    """One controller a symbol, each with an equal part of the capital; spot, so that it never sells short."""
    import pandas as pd

    from reports.hummingbot import AiLivestream, ControllerBaseline, ControllerConfig
    from research.signals import NeutralWeight, probabilities, spread_target

    low, middle, high = (market[name].to_numpy() for name in ("q10", "q50", "q90"))
    # A spread of 0.02 is much for an hour and little for a day: the weight that adapts to it.
    odds = probabilities(low, middle, high, NeutralWeight(reference=None))
    index, columns = market.index, market.close.columns
    told = market.with_fields(
        probability_short=pd.DataFrame(odds[..., 0], index=index, columns=columns),
        probability_long=pd.DataFrame(odds[..., 2], index=index, columns=columns),
    )
    never = 1.0  # a probability above it there is not
    signal = AiLivestream(short_threshold=never).signal(told)
    width = pd.DataFrame(spread_target(low, middle, high), index=index, columns=columns)
    config = ControllerConfig(
        stop_loss=1.0,
        take_profit=1.5,
        time_limit=pd.Timedelta(days=1),
        cooldown_time=pd.Timedelta(hours=1),
        max_executors_per_side=1,
        total_amount_quote=CASH / len(market.symbols),
        trade_cost=FEE + SLIPPAGE,
    )
    return ControllerBaseline(signal, width, config=config).run(market, cash=CASH)
