"""`ladder sweep` and `ladder trials`: many parameter sets of one strategy, and the record of all that was tried."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from research.cli import forecasts, terms
from research.cli import run as options
from research.cli.inputs import SAMPLE, grid_from, market_from, require_writable, strategy_class
from research.cli.tables import say_while_waiting

if TYPE_CHECKING:
    from research.sweep_result import Sweep

# What a row of the ranked table shows of a set, beside its parameters and the metric.
_SHOWN = ("total_return", "sharpe", "max_drawdown", "trades", "fees")

Grid = Annotated[
    list[str],
    typer.Option(
        "--param",
        "-p",
        metavar="KEY=VALUES",
        help="Values by commas, 50,100,200, or start:stop:step without the stop, 5:50:5; one value is fixed.",
    ),
]
Metric = Annotated[str, typer.Option(help="The figure that ranks the sets.")]
Record = Annotated[
    Path | None,
    typer.Option(help="Where trials are recorded; else $LADDER_TRIALS, else in the candle store.", show_default=False),
]
Memory = Annotated[float, typer.Option(help="What results and work may take, in MB.")]
Map = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Write a heat map here (.html).", show_default=False, dir_okay=False),
]


def sweep(
    strategy: options.Name,
    param: Grid,
    data: options.Data = SAMPLE,
    symbol: options.Symbols = None,
    timeframe: options.Timeframe = None,
    since: options.Since = None,
    until: options.Until = None,
    cash: options.Cash = 10_000.0,
    fee: options.Fee = 0.001,
    slippage: options.Slippage = 0.0005,
    shorts: options.Shorts = False,
    leverage: options.Leverage = 1.0,
    step: options.Step = 0.0,
    min_notional: options.Minimum = 0.0,
    store: options.Root = None,
    metric: Metric = "sharpe",
    top: Annotated[int, typer.Option(min=1, help="How many sets to show.")] = 10,
    out: Map = None,
    record: Record = None,
    memory: Memory = 1_000.0,
    maker_fee: options.Maker = None,
    fee_in: options.FeeIn = "quote",
    borrow: options.Borrow = 0.0,
    maintenance: options.Maintenance = 0.0,
    tick: options.Tick = 0.0,
    stop_loss: terms.StopLoss = None,
    take_profit: terms.TakeProfit = None,
    trailing: terms.Trailing = None,
    time_limit: terms.TimeLimit = None,
    limit_offset: terms.LimitOffset = None,
    limit_alive: terms.LimitAlive = 1,
    limit_then: terms.LimitThen = "cancel",
    max_position: terms.MaxPosition = None,
    max_gross: terms.MaxGross = None,
    max_net: terms.MaxNet = None,
    max_order_notional: terms.MaxOrder = None,
    max_daily_loss: terms.MaxDailyLoss = None,
    max_drawdown: terms.MaxDrawdown = None,
    price_collar: terms.Collar = None,
    predictions: forecasts.Forecasts = None,
    horizon: forecasts.Horizon = None,
    delay: forecasts.Delay = None,
    daily: forecasts.Daily = None,
) -> None:
    """Backtest every combination of parameters, rank them, and record every trial.

    Example: `ladder sweep SmaCross -p fast=5:50:5 -p slow=50,100,200 -s BTC/USD --out heat.html`
    """
    from data.atomic import replacing
    from research.parameter_sweep import sweep as run_sweep

    require_writable("--out", out)
    kind = strategy_class(strategy)
    grid, fixed = grid_from(strategy, kind, param)
    exits = terms.exits_of(stop_loss, take_profit, trailing, time_limit)
    if exits is not None:
        fixed["exits"] = exits
    costs = terms.costs_of(fee, maker_fee, slippage, borrow, fee_in)
    venue = terms.venue_of(shorts, leverage, step, tick, min_notional, maintenance)
    risk = terms.risk_limits(
        max_position=max_position,
        max_gross=max_gross,
        max_net=max_net,
        max_order_notional=max_order_notional,
        max_daily_loss=max_daily_loss,
        max_drawdown=max_drawdown,
        price_collar=price_collar,
    )
    market = market_from(data, symbol or [], timeframe, since, until, store)
    market = forecasts.with_forecasts(market, predictions, horizon, delay, daily)
    say_while_waiting(f"sweep: {kind.__name__} over {len(market):,} bars of {', '.join(market.symbols)}")
    result = run_sweep(
        kind,
        grid,
        market,
        fixed=fixed,
        cash=cash,
        costs=costs,
        venue=venue,
        risk=risk,
        orders=terms.order_style(limit_offset, limit_alive, limit_then),
        metric=metric,
        memory=memory * 1e6,
        record=record,
    )
    options.check_causality(result.strategy(), market, "few")
    _show(result, top)
    if out is not None:
        with replacing(out) as beside:
            result.heatmap().write_html(beside, include_plotlyjs=True)
        typer.echo(f"wrote {out}")


def _show(result: Sweep, top: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from research.sweep_result import column_of

    parameters = [column_of(name) for name in result.sets.names]
    figures = list(dict.fromkeys((result.metric, *_SHOWN)))
    table = Table("rank", "trial")
    for name in (*parameters, *(figure.replace("_", " ") for figure in figures)):
        table.add_column(name, justify="right", overflow="fold")
    for number, (trial, row) in enumerate(result.table.head(top).iterrows(), start=1):
        table.add_row(
            str(number),
            str(trial),
            *(str(row[name]) for name in parameters),
            *(_text(name, row[name]) for name in figures),
        )
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 120)  # a line per set, whoever reads it
    console.print(table)
    skipped = result.skipped
    if len(skipped):
        first = skipped.iloc[0]
        typer.echo(f"{len(skipped):,} sets skipped, such as trial {skipped.index[0]}: {first['reason']}")
    typer.echo(f"{len(result.table):,} trials recorded as sweep {result.number} in {result.record}")


def _text(name: str, value: Any) -> str:
    from reports.figures import shown

    try:
        return shown(name, value)
    except KeyError:  # a figure that no report shows
        return f"{value:,.4g}" if isinstance(value, float) else str(value)


def trials(record: Record = None) -> None:
    """List what was swept so far: which strategy, on which data, how many sets.

    Example: `ladder trials`
    """
    from rich.console import Console
    from rich.table import Table

    from research.trial_records import default_record, sweeps

    known = sweeps(record)
    if known.empty:
        typer.echo(f"no trial is recorded in {record or default_record()}; a sweep records its own")
        return
    table = Table("sweep", "at (UTC)", "strategy", "trials", "skipped", "symbols", "bars", "from", "to", "stopped by")
    row: Any
    for row in known.itertuples():
        table.add_row(
            str(row.id),
            f"{row.at:%Y-%m-%d %H:%M}",
            str(row.strategy).rpartition(".")[2],
            f"{row.tried:,}",
            f"{row.skipped:,}",
            ", ".join(map(str, row.symbols)),
            f"{row.bars:,} of {row.timeframe}",
            f"{row.first_bar:%Y-%m-%d}",
            f"{row.last_bar:%Y-%m-%d}",
            row.stopped_by or "",
        )
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)  # a line per sweep, whoever reads it
    console.print(table)
    typer.echo(f"{int(known['tried'].sum()):,} trials in all")
