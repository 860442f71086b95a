"""Rules on the same forecasts, each traded by Hummingbot's controller and by Ladder, on equal terms, in one table.

    table = compare_rules({"old": (market, QuantileSignal.old()), "mended": (market, QuantileSignal(cost=0.0012))}, ...)
    python -m research.rule_comparison ../shared/data      # the tables of docs/predictions.md

Hummingbot's side takes a rule's sides alone: its order size is its configuration's. Both sides have the same capital,
costs, venue and execution rules (`reports.hummingbot.equal_terms`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.market import Market
from engine import metrics
from engine.brokers import backtest
from engine.costs import Costs
from engine.result import Result
from engine.venue import Venue
from reports.holding import hold
from reports.hummingbot import ControllerBaseline, ControllerConfig, equal_terms
from research.signals import spread_target
from research.strategies.quantile import QuantileSignal

Rule = tuple[Market, QuantileSignal]


def compare_rules(
    rules: Mapping[str, Rule], *, cash: float, costs: Costs, venue: Venue, config: ControllerConfig
) -> pd.DataFrame:
    """One row a rule and path, and one for holding.

    Args:
        rules: by name, the bars with their forecasts, and the strategy.
        cash: of every run; Hummingbot's controllers share it in equal parts.
        costs: of every run.
        venue: of every run.
        config: of Hummingbot's controllers; its total_amount_quote and trade_cost are set here.

    Returns:
        Indexed by rule and path ("Hummingbot", "Ladder"): total_return, sharpe with the low and high end of its 95%
        interval (1.96 standard errors, Lo 2002), max_drawdown (of daily closes), turnover (a year, x equity), orders,
        costs (fees and slippage, quote currency).
    """
    rows: dict[tuple[str, str], dict[str, float]] = {}
    begin = first_forecast(rules.values())
    for name, (market, strategy) in rules.items():
        rows[name, "Hummingbot"] = figures_of(_hummingbot(market, begin, strategy, cash, costs, venue, config))
        rows[name, "Ladder"] = figures_of(_ladder(market, begin, strategy, cash, costs, venue))
    bars = next(iter(rules.values()))[0].loc[begin:]
    rows["holding", ""] = figures_of(hold(bars, cash=cash, costs=costs, venue=venue))
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.set_axis(pd.MultiIndex.from_tuples(list(rows), names=["rule", "path"]))


def compare_steps(steps: Mapping[str, Rule], *, cash: float, costs: Costs, venue: Venue) -> pd.DataFrame:
    """What each step from one rule to another changes, by Ladder alone: figures of `compare_rules`, and `change`."""
    begin = first_forecast(steps.values())
    rows = {
        name: figures_of(_ladder(market, begin, strategy, cash, costs, venue))
        for name, (market, strategy) in steps.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("step")
    table.insert(1, "change", table["total_return"].diff())
    return table


def first_forecast(rules: Iterable[Rule]) -> pd.Timestamp:
    """The first bar on which a rule has a forecast: earlier bars, for the memory of its regimes, count for none."""
    first = [market.index[int(market["q50"].notna().any(axis=1).to_numpy().argmax())] for market, _ in rules]
    return min(first)


def _ladder(
    market: Market, begin: pd.Timestamp, strategy: QuantileSignal, cash: float, costs: Costs, venue: Venue
) -> Result:
    return backtest(strategy, market, cash=cash, costs=costs, venue=venue).since(begin)


def figures_of(result: Result) -> dict[str, float]:
    """The figures of one row."""
    stats, daily = result.stats(), metrics.daily_returns(result)
    error = 1.96 * metrics.sharpe_error(daily)
    notional = float((result.orders["amount"] * result.orders["price"]).sum())
    slippage = float(result.meta["costs"]["slippage"])
    return {
        "total_return": stats["total_return"],
        "sharpe": stats["sharpe"],
        "low": stats["sharpe"] - error,
        "high": stats["sharpe"] + error,
        "max_drawdown": stats["max_drawdown"],
        "turnover": stats["turnover"],
        "orders": stats["orders"],
        "costs": stats["fees"] + slippage * notional,
    }


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table in words, for a terminal or a page."""
    percent = "{:+.2%}".format
    told = {
        "return": table["total_return"].map(percent),
        "change": [f"{value:+.2f} pp" if value == value else "" for value in table["change"].to_numpy() * 100]
        if "change" in table
        else None,
        "Sharpe [95%]": [
            "–" if np.isnan(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"
            for value, low, high in table[["sharpe", "low", "high"]].to_numpy(dtype=np.float64)
        ],
        "drawdown": table["max_drawdown"].map(percent),
        "turnover a year": table["turnover"].map("{:,.0f}x".format),
        "orders": table["orders"].map("{:,.0f}".format),
        "costs": table["costs"].map("{:,.0f}".format),
    }
    return pd.DataFrame({name: values for name, values in told.items() if values is not None}, index=table.index)


def markdown(table: pd.DataFrame) -> str:
    """The table in words, as Markdown."""
    words = shown(table).reset_index()
    rows = [list(map(str, words.columns)), ["---"] * len(words.columns), *words.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _hummingbot(
    market: Market,
    begin: pd.Timestamp,
    strategy: QuantileSignal,
    cash: float,
    costs: Costs,
    venue: Venue,
    config: ControllerConfig,
) -> Result:
    """The net position of controllers that a rule's sides drive, on Ladder's rules."""
    from dataclasses import replace

    index, columns = market.index, market.close.columns
    sides = pd.DataFrame(np.sign(np.nan_to_num(strategy.sizes(market).to_numpy())), index=index, columns=columns)
    market, sides = market.loc[begin:], sides.loc[begin:]
    index = market.index
    width = pd.DataFrame(spread_target(*(market[name] for name in ("q10", "q50", "q90"))), index=index, columns=columns)
    slippage = float(costs.slippage)  # type: ignore[arg-type]  # a fraction here
    config = replace(config, total_amount_quote=cash / len(columns), trade_cost=costs.taker_fee + slippage)
    signal = sides.where(market.close.notna())
    run = ControllerBaseline(signal, width.fillna(0.01), config=config).run(market, cash=cash)
    return equal_terms(run, costs=costs, venue=venue).ours


# The bot of the golden runs: barriers of one and one and a half widths of the forecast, a day at most, an hour between.
BOT = ControllerConfig(
    stop_loss=1.0,
    take_profit=1.5,
    time_limit=pd.Timedelta(days=1),
    cooldown_time=pd.Timedelta(hours=1),
    max_executors_per_side=1,
)


def old_forecasts(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables for the old system's forecasts of 2024: the rules by both paths, and the steps between them.

    Args:
        folder: with btcusdt_1h.parquet, predictions_2024_1h.parquet and sentiment_daily.parquet.

    Raises:
        ValidationError: a file is not there, or breaks a rule.
    """
    from dataclasses import replace

    from data import read_candles, read_daily, read_predictions, with_daily, with_predictions

    candles = read_candles(folder / "btcusdt_1h.parquet", timeframe="1h").loc["2023-11-25":"2024-09-30"]
    bars = with_daily(
        Market.from_frames({"BTC/USDT": candles}, timeframe="1h"), read_daily(folder / "sentiment_daily.parquet")
    )

    def market(horizon: str, delay: str) -> Market:
        file = folder / "predictions_2024_1h.parquet"
        found = read_predictions(file, "1h", symbol="BTC/USDT", horizon=horizon, delay=delay)
        return with_predictions(bars, found).market

    at_once, on_time = market("1h", "0h"), market("2h", "1h")
    terms: dict[str, Any] = {
        "cash": 10_000.0,
        "costs": Costs(fee=0.0004, slippage=0.0002),
        "venue": Venue(shorts=True, amount_step=0.001, min_notional=10.0),
    }
    old, mended = QuantileSignal.old(), QuantileSignal(cost=0.0012)
    own_side = replace(old, short_by_own_side=True)
    costed = replace(own_side, cost=0.0012)
    sized = replace(costed, method="kelly", step=0.02)
    steps = {
        "the old rule, acting an hour early": (at_once, old),
        "acting in the hour that is forecast": (on_time, old),
        "shorts judged by their own odds": (on_time, own_side),
        "a trade must earn its cost": (on_time, costed),
        "mended Kelly sizes for the old blend, in steps of 2%": (on_time, sized),
        "sizes by regime": (on_time, replace(sized, regimes=True)),
        "held for its hour alone: the mended rule": (on_time, mended),
    }
    rules = {"old rule": (on_time, old), "mended rule": (on_time, mended)}
    return compare_rules(rules, **terms, config=BOT), compare_steps(steps, **terms)


def sample_forecasts() -> pd.DataFrame:
    """The table for a model trained walk-forward on the bundled sample: `ladder demo`'s, by both rules and paths."""
    from data import Predictions, load_sample, with_predictions
    from research.demo import CASH, FEE, HORIZON, SLIPPAGE, WINDOW
    from research.models import QuantileModel, WalkForwardPlan, walk_forward_predictions

    market = load_sample()
    walk = walk_forward_predictions(QuantileModel(horizon=HORIZON), market, WalkForwardPlan())
    mended = QuantileSignal(cost=2 * (FEE + SLIPPAGE), hold=HORIZON, window=WINDOW, shorts=False)
    old = QuantileSignal.old(window=WINDOW, shorts=False)
    overlapping = QuantileSignal.old(window=WINDOW, shorts=False, hold=HORIZON)
    first = int(market.index.searchsorted(walk.table["made_on"].min()))
    bars = market.iloc(max(first - mended.warmup + 1, 0), None)
    bars = with_predictions(bars, Predictions.from_table(walk.table, market.timeframe)).market
    return compare_rules(
        {"old rule": (bars, old), "old rule, held for a day": (bars, overlapping), "mended rule": (bars, mended)},
        cash=CASH,
        costs=Costs(fee=FEE, slippage=SLIPPAGE),
        venue=Venue(amount_step=0.0001, min_notional=10.0),
        config=BOT,
    )


if __name__ == "__main__":
    rules_table, steps_table = old_forecasts(Path(sys.argv[1]))
    for text in (rules_table, steps_table, sample_forecasts()):
        sys.stdout.write(f"{markdown(text)}\n\n")
