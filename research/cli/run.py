"""`ladder backtest` and `ladder paper`: one strategy over past bars, by the vectorized engine or the paper broker."""

from __future__ import annotations

from collections.abc import Callable, Collection
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from data.errors import ValidationError
from research.cli import forecasts, terms
from research.cli.inputs import SAMPLE, market_from, require_writable, strategy_from
from research.cli.tables import print_comparison, say_while_waiting

if TYPE_CHECKING:
    from data.market import Market
    from engine.result import Result
    from engine.strategy import Strategy
    from research.strategy_card import Card

# Cuts and later starts of `engine.check_causality`: what it takes by default, and a search.
_PLACES = {"few": (16, 24), "thorough": (50, 100)}

# What a card leaves to the command, and what only paper with live prices takes.
_BESIDE_A_CARD = ("strategy", "out", "tearsheet", "causality")
_LIVE = ("live", "journal", "run_name", "rehearsal", "turns", "i_accept_unpromoted")

Name = Annotated[
    str,
    typer.Argument(metavar="STRATEGY", help="A library strategy, module:Class, file.py:Class, or a card (.toml)."),
]
Parameter = Annotated[
    list[str] | None, typer.Option("--param", "-p", metavar="KEY=VALUE", help="A parameter; may come again.")
]
Data = Annotated[str, typer.Option(help="`sample`, an exchange in the store, or a file of candles.")]
Symbols = Annotated[list[str] | None, typer.Option("--symbol", "-s", help="Such as BTC/USDT; may come again.")]
Timeframe = Annotated[str | None, typer.Option("--timeframe", "-t", help="The bars' length, such as 1h.")]
Since = Annotated[str | None, typer.Option(help="First bar, UTC: 2020-01-01 or 2020-01-01T12:00Z.")]
Until = Annotated[str | None, typer.Option(help="Up to, not including, this time, UTC.")]
Cash = Annotated[float, typer.Option(help="What the run begins with, quote currency.")]
Fee = Annotated[float, typer.Option(help="Taker fee, fraction of notional.")]
Slippage = Annotated[float, typer.Option(help="How much worse than the open a market order fills, fraction.")]
Shorts = Annotated[bool, typer.Option("--shorts", help="The venue allows short positions (default: spot).")]
Leverage = Annotated[float, typer.Option(help="Largest gross notional, as a multiple of equity; needs --shorts.")]
Step = Annotated[float, typer.Option("--step", help="Orders are whole multiples of this amount; 0: any.")]
Minimum = Annotated[float, typer.Option("--min-notional", help="Smallest order, quote currency.")]
Tick = Annotated[float, typer.Option("--tick", help="Limit and stop prices are whole multiples of this; 0: any.")]
Maintenance = Annotated[float, typer.Option(help="Maintenance margin, fraction of notional; needs --shorts.")]
Maker = Annotated[float | None, typer.Option("--maker-fee", help="Maker fee; else the taker's.", show_default=False)]
FeeIn = Annotated[Literal["quote", "bought"], typer.Option("--fee-in", help="What the fee of a buy is taken from.")]
Borrow = Annotated[float, typer.Option(help="Yearly rate on the notional of shorts.")]
Root = Annotated[Path | None, typer.Option("--store", help="The store's folder.", show_default=False)]
# A folder is refused as the command begins, not when a long run is over and its result has nowhere to go.
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Write the result here (.parquet).", show_default=False, dir_okay=False),
]
Causality = Annotated[
    Literal["few", "thorough", "off"], typer.Option(help="Look for decisions that knew the future, at how many places.")
]
Sheet = Annotated[
    Path | None,
    typer.Option("--tearsheet", help="Write a tearsheet here (.html).", show_default=False, dir_okay=False),
]
_PANEL = "With live prices"
Live = Annotated[
    bool,
    typer.Option("--live", rich_help_panel=_PANEL, help="The card's exchange, bar by bar, until it is stopped."),
]
LiveJournal = Annotated[
    Path | None,
    typer.Option(
        "--journal", rich_help_panel=_PANEL, help="What it is kept in (.sqlite); a run in it goes on.",
        show_default=False, dir_okay=False,
    ),
]  # fmt: skip
RunName = Annotated[
    str | None,
    typer.Option("--run", rich_help_panel=_PANEL, help="The run's name; else the card's.", show_default=False),
]
Rehearsal = Annotated[
    str | None,
    typer.Option(
        metavar="URL", rich_help_panel=_PANEL, help="The rehearsal exchange at http://127.0.0.1:PORT instead.",
        show_default=False,
    ),
]  # fmt: skip
Turns = Annotated[
    int | None,
    typer.Option(min=1, rich_help_panel=_PANEL, help="End after so many bars.", show_default=False),
]
Unpromoted = Annotated[
    bool,
    typer.Option(
        "--i-accept-unpromoted", rich_help_panel=_PANEL, help="Run it though the gate has not promoted it to paper."
    ),
]


# What each command's --help says; the options are the same, as the Python calls take the same arguments.
_HELP = {
    "backtest": """Run a strategy over past bars in the vectorized engine (vectorbt).

    Example: `ladder backtest SmaCross -p fast=48 -p slow=336 -s BTC/USD --out sma.parquet`

    With barriers and limits: `ladder backtest SmaCross --stop-loss 0.05 --trailing 0.03,0.02 --max-drawdown 0.2`

    From a card, which says it all (docs/card.md): `ladder backtest strategy.toml --tearsheet page.html`""",
    "paper": """Run a strategy bar by bar in the event-driven paper broker (backtrader).

    Example: `ladder paper SmaCross -p fast=48 -p slow=336 -s BTC/USD --out sma-paper.parquet`

    With live prices, no key and no order that leaves: `ladder paper strategy.toml --live --journal paper.sqlite`; the
    gate must have promoted the card to paper (`ladder status`). It runs until Ctrl-C, SIGTERM or `ladder kill
    paper.sqlite`, and goes on from its journal when it is called again; see docs/live.md.""",
}


def run_command(broker: str) -> Callable[..., None]:
    """The command that runs a strategy by `broker`, "backtest" or "paper"."""
    checked: Causality = "few" if broker == "backtest" else "off"

    def run(
        ctx: typer.Context,
        strategy: Name,
        param: Parameter = None,
        data: Data = SAMPLE,
        symbol: Symbols = None,
        timeframe: Timeframe = None,
        since: Since = None,
        until: Until = None,
        cash: Cash = 10_000.0,
        fee: Fee = 0.001,
        slippage: Slippage = 0.0005,
        shorts: Shorts = False,
        leverage: Leverage = 1.0,
        step: Step = 0.0,
        min_notional: Minimum = 0.0,
        store: Root = None,
        out: Out = None,
        tearsheet: Sheet = None,
        causality: Causality = checked,
        maker_fee: Maker = None,
        fee_in: FeeIn = "quote",
        borrow: Borrow = 0.0,
        maintenance: Maintenance = 0.0,
        tick: Tick = 0.0,
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
        live: Live = False,
        journal: LiveJournal = None,
        run_name: RunName = None,
        rehearsal: Rehearsal = None,
        turns: Turns = None,
        i_accept_unpromoted: Unpromoted = False,
    ) -> None:
        require_writable("--out", out)
        require_writable("--tearsheet", tearsheet)
        if live or journal or run_name or rehearsal or turns or i_accept_unpromoted:
            from research.cli.paper_live import run_live_paper

            card, kept = _live_card(ctx, strategy, journal, live=live)
            from research.promoted_card import paper_standing

            told, record = paper_standing(card, accepted=i_accept_unpromoted, rehearsal=rehearsal is not None)
            typer.echo(told)
            result = run_live_paper(card, kept, run_name or Path(strategy).stem, rehearsal, turns, record)
            if result is not None:
                _told(result, out, tearsheet)
            return
        if strategy.endswith(".toml"):
            card = card_alone(ctx, strategy, _BESIDE_A_CARD)
            _run(broker, card.made(), card.bars(), card.terms(), causality, out, tearsheet)
            return
        chosen = strategy_from(strategy, param or [])
        chosen = terms.with_exits(chosen, stop_loss, take_profit, trailing, time_limit)
        costs = terms.costs_of(fee, maker_fee, slippage, borrow, fee_in)
        venue = terms.venue_of(shorts, leverage, step, tick, min_notional, maintenance)
        orders = terms.order_style(limit_offset, limit_alive, limit_then)
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
        settled = {"cash": cash, "costs": costs, "venue": venue, "risk": risk, "orders": orders}
        _run(broker, chosen, market, settled, causality, out, tearsheet)

    run.__doc__ = _HELP[broker]
    if broker != "paper":
        seen = signature(run, eval_str=True)
        shown = [option for name, option in seen.parameters.items() if name not in _LIVE]
        run.__signature__ = seen.replace(parameters=shown)  # type: ignore[attr-defined]
    return run


def _run(
    broker: str,
    strategy: Strategy,
    market: Market,
    settled: dict[str, Any],
    causality: str,
    out: Path | None,
    tearsheet: Path | None,
) -> None:
    """Check, run, show, write."""
    from engine import brokers
    from engine.strategy import label

    check_causality(strategy, market, causality)
    say_while_waiting(f"{broker}: {label(strategy)} over {len(market):,} bars of {', '.join(market.symbols)}")
    _told(getattr(brokers, broker)(strategy, market, **settled), out, tearsheet)


def _told(result: Result, out: Path | None, tearsheet: Path | None) -> None:
    """Show a result, and write it where it is to go."""
    _show(result)
    if out is not None:
        typer.echo(f"wrote {result.to_parquet(out)}")
    if tearsheet is not None:
        from reports import tearsheet as write_tearsheet

        typer.echo(f"wrote {write_tearsheet(result, path=tearsheet)}")


def _live_card(context: typer.Context, strategy: str, journal: Path | None, *, live: bool) -> tuple[Card, Path]:
    """Card and journal of `ladder paper CARD --live --journal FILE`.

    Raises:
        ValidationError: one of the three is missing, or an option is given beside the card.
    """
    if not live:
        raise ValidationError("--journal, --run, --rehearsal and --turns are of paper with live prices; add --live")
    if not strategy.endswith(".toml"):
        raise ValidationError(f"--live: {strategy!r} is no card; write one (docs/card.md): ladder paper strategy.toml")
    if journal is None:
        raise ValidationError("--live: where is it to be kept? Name a file with --journal, such as paper.sqlite")
    require_writable("--journal", journal)
    return card_alone(context, strategy, (*_BESIDE_A_CARD, *_LIVE)), journal


def card_alone(context: typer.Context, path: str, beside: Collection[str]) -> Card:
    """The card of a command, which says all that the command's other options would.

    Raises:
        ValidationError: an option is given beside it, or the card is wrong.
    """
    from research.strategy_card import read_card

    given = [
        max(option.opts, key=len)
        for option in context.command.params
        if option.name is not None and option.name not in beside and _is_given(context, option.name)
    ]
    if given:
        raise ValidationError(f"{path}: {', '.join(given)} beside a card, which says so itself; change the card")
    return read_card(path)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def check_causality(strategy: Strategy, market: Market, places: str) -> None:
    """Stop at a strategy that looks ahead, before its run is believed; warn of one whose warm-up is too short."""
    if places == "off" or len(market) <= strategy.warmup:
        return
    from engine import causality
    from engine.strategy import label

    say_while_waiting(f"causality of {label(strategy)}")
    cuts, starts = _PLACES[places]
    report = causality.check_causality(strategy, market, cuts=cuts, starts=starts)
    report.raise_if_broken()
    if places == "thorough" or not report.fits_live:
        typer.echo(str(report), err=True)


def _show(result: Result) -> None:
    from reports import compare

    print_comparison(compare([result]))
    reasons = result.orders["reason"].astype(str).str.split(",").str[0].value_counts()
    if set(reasons.index) - {"target"}:
        typer.echo("orders: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()))
    events = result.risk_events
    # An order for all of the equity is always cut by what it costs itself: that is no news.
    told = ~events["verdict"].isin(["allowed", "resume"]) & ~((events["verdict"] == "cut") & (events["rule"] == "cash"))
    verdicts = events[told]
    counts = (verdicts["verdict"] + " by " + verdicts["rule"]).value_counts()
    if len(counts):
        typer.echo("limits: " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))


def strategies() -> None:
    """List the library's strategies with their parameters.

    Example: `ladder strategies`
    """
    from dataclasses import fields
    from inspect import getdoc

    from rich.console import Console
    from rich.table import Table

    import research.strategies as library

    table = Table("strategy", "parameters", "what it does")
    for name in library.__all__:
        kind = getattr(library, name)
        given = "\n".join(f"{item.name}={item.default!r}" for item in fields(kind))
        table.add_row(name, given, (getdoc(kind) or "").partition("\n")[0])
    Console().print(table)
