"""`ladder baseline`: what a bot's own file would have earned, by Hummingbot's backtest and on equal terms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from research.cli import run as options
from research.cli.inputs import SAMPLE, market_from, require_writable, strategy_from
from research.cli.tables import print_frame, say_while_waiting

if TYPE_CHECKING:
    from data.market import Market
    from engine.costs import Costs
    from engine.venue import Venue
    from reports.hummingbot import BaselineRun, ControllerBaseline, ControllerFile

File = Annotated[Path, typer.Argument(metavar="CONTROLLER.yml", help="The bot's file, of its `conf/controllers/`.")]
Engine = Annotated[
    Literal["simulated", "hummingbot"],
    typer.Option(help="Our simulation of Hummingbot's backtester, or the real one (built once, some minutes)."),
]
Check = Annotated[bool, typer.Option("--check", help="Run both and compare them, executor by executor.")]
TradeCost = Annotated[float, typer.Option(help="Hummingbot's cost of a leg, fraction of notional.")]
Capital = Annotated[
    float | None,
    typer.Option("--cash", help="Where equity begins; the file's amount where not given.", show_default=False),
]
Driver = Annotated[
    str | None,
    typer.Option("--strategy", help="Whose targets are the signal of ai_livestream.", show_default=False),
]
Shipped = Annotated[
    Path | None,
    typer.Option(
        "--controllers",
        help="A Hummingbot checkout: the real engine takes the controller's file from there.",
        show_default=False,
        file_okay=False,
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Write results and executors into this folder.", show_default=False, file_okay=False
    ),
]


def baseline(
    controller: File,
    engine: Engine = "simulated",
    check: Check = False,
    strategy: Driver = None,
    param: options.Parameter = None,
    data: options.Data = SAMPLE,
    symbol: options.Symbols = None,
    timeframe: options.Timeframe = None,
    since: options.Since = None,
    until: options.Until = None,
    store: options.Root = None,
    cash: Capital = None,
    trade_cost: TradeCost = 0.0002,
    fee: options.Fee = 0.001,
    slippage: options.Slippage = 0.0005,
    spot: Annotated[bool, typer.Option("--spot", help="On equal terms, the venue has no shorts.")] = False,
    controllers: Shipped = None,
    out: Folder = None,
) -> None:
    """Backtest a Hummingbot controller, as Hummingbot does it and on Ladder's rules, and show what lies between.

    Example: `ladder baseline conf/controllers/bollinger.yml --data candles.parquet -s BTC/USDT -t 3m --out baseline`

    With the real one: `ladder baseline bollinger.yml --data candles.parquet -s BTC/USDT -t 3m --engine hummingbot`
    """
    from engine.costs import Costs
    from engine.venue import Venue
    from reports.hummingbot import read_controller

    if out is not None:
        require_writable("--out", out / "executors.parquet")
    bot = read_controller(controller)
    market = market_from(
        data, symbol or _own_symbol(bot, data), timeframe or _own_timeframe(bot, data), since, until, store
    )
    bot.check_timeframe(market.timeframe)
    question = _question(bot, market, strategy, param or [], trade_cost)
    for note in bot.notes:
        typer.echo(note)
    if check:
        _check(question, market, controllers)
        return
    run = _run(question, market, engine, cash, controllers)
    _show(run, Costs(fee=fee, slippage=slippage), Venue(shorts=not spot), out)


def _own_symbol(bot: ControllerFile, data: str) -> list[str]:
    """The file's pair; the sample, which may not hold it, has to be asked for."""
    return [] if data == SAMPLE else [bot.symbol]


def _own_timeframe(bot: ControllerFile, data: str) -> str | None:
    return None if data == SAMPLE else bot.interval


def _question(
    bot: ControllerFile, market: Market, strategy: str | None, param: list[str], trade_cost: float
) -> ControllerBaseline:
    from dataclasses import replace

    from data.errors import ValidationError
    from reports.hummingbot import AiLivestream, ControllerBaseline, signal_from_targets

    driven = isinstance(bot.controller, AiLivestream)
    if strategy is None and not driven:
        return bot.baseline(trade_cost=trade_cost)
    if strategy is None or not driven:
        raise ValidationError(
            f"{bot.path}: ai_livestream trades what it is sent: name whose signal with --strategy"
            if driven
            else f"--strategy: {bot.controller_name} has a signal of its own; leave it out"
        )
    chosen = strategy_from(strategy, param)
    signal = signal_from_targets(chosen.targets(market))
    return ControllerBaseline(signal, config=replace(bot.config, trade_cost=trade_cost), name=bot.controller_name)


def _run(
    question: ControllerBaseline, market: Market, engine: str, cash: float | None, controllers: Path | None
) -> BaselineRun:
    if engine == "simulated":
        return question.run(market, cash=cash)
    from reports.hummingbot import run_real

    return run_real(question, market, cash=cash, say=_said, controllers_dir=controllers)


def _check(question: ControllerBaseline, market: Market, controllers: Path | None) -> None:
    from reports.hummingbot import check_baseline

    verdict = check_baseline(question, market, say=_said, controllers_dir=controllers)
    print_frame(verdict.side_by_side())
    typer.echo(str(verdict))
    if not verdict.ok:
        raise typer.Exit(1)


def _said(text: str) -> None:
    """The real engine takes minutes the first time: whoever waits is told, in a log as well."""
    typer.secho(text, err=True, dim=True)


def _show(run: BaselineRun, costs: Costs, venue: Venue, out: Path | None) -> None:
    from reports.hummingbot import equal_terms

    say_while_waiting("on equal terms")
    terms = equal_terms(run, costs=costs, venue=venue)
    typer.echo(str(run))
    own: Any = run.own_statistics()
    print_frame(own.map(_figure).rename_axis("as Hummingbot reports it"))
    print_frame(terms.shown())
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    written = [
        terms.own.to_parquet(out / "hummingbot.parquet"),
        run.marked.to_parquet(out / "marked.parquet"),
        terms.ours.to_parquet(out / "equal-terms.parquet"),
        _executors(run, out / "executors.parquet"),
    ]
    for path in written:
        typer.echo(f"wrote {path}")


def _executors(run: BaselineRun, path: Path) -> Path:
    from data.atomic import replacing

    with replacing(path) as beside:
        run.executors.to_parquet(beside)
    return path


def _figure(value: object) -> str:
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
