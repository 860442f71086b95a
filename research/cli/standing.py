"""`ladder status` and `ladder demote`: where each strategy stands, and the way down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from data.errors import ValidationError

if TYPE_CHECKING:
    from research.strategy_card import Card

Records = Annotated[
    Path | None,
    typer.Option(
        "--registry",
        help="The folder of records; else $LADDER_RECORDS, or records/ in the store.",
        show_default=False,
        file_okay=False,
    ),
]
_SHOWN: Final = ("sharpe", "total_return", "max_drawdown", "trades")


def status(
    registry: Records = None,
    card: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="CARD", help="Backtest it on its bars up to now, for its figures; may come again.", dir_okay=False
        ),
    ] = None,
) -> None:
    """Show the ladder: each strategy's rung, since when and by whom, its figures then and now.

    With a card, its strategy is run again on the bars that there are by now, and anything that has changed since its
    promotion is named.

    Exit code 1: a record is gone or was edited, or a card differs from what was promoted.

    Example: `ladder status --card strategy.toml`
    """
    from reports.promotion.climbing import status as ladder
    from reports.promotion.registry import Registry

    figures, told = {}, []
    for path in card or []:
        line, now, trouble = _as_it_is_now(path, registry)
        figures[line] = now
        told += [f"{path}: {trouble}"] if trouble else []
    table = ladder(registry, figures)
    if not len(table):
        typer.echo(f"no strategy is on the ladder (records: {Registry(registry).folder})")
    else:
        _print(table)
    told += [str(trouble) for trouble in table["trouble"] if trouble]
    for trouble in told:
        typer.secho(trouble, err=True, fg=typer.colors.RED)
    if told:
        raise typer.Exit(1)


def demote(
    strategy: Annotated[
        str, typer.Argument(metavar="CARD", help="The strategy's card (.toml), or its line in `ladder status`.")
    ],
    reason: Annotated[str, typer.Option(help="Why; it is kept.")],
    by: Annotated[str | None, typer.Option(help="Who; else the user of this machine.", show_default=False)] = None,
    registry: Records = None,
) -> None:
    """Take a strategy off the ladder: nothing runs it until it is promoted again, from paper.

    A session that trades already is not stopped by it: that is `ladder kill`.

    Example: `ladder demote strategy.toml --reason "the exchange raised its fees"`
    """
    from engine.live.account_lock import who_says_so
    from reports.promotion.climbing import demote as take_down

    line = strategy
    if strategy.endswith(".toml"):
        from research.promoted_card import line_of_card
        from research.strategy_card import read_card

        line = line_of_card(read_card(strategy))
    event = take_down(line, registry, by=by or who_says_so(), reason=reason)
    typer.echo(f"{event.label}: no longer on {event.rung} ({event.line}), by {event.by}: {event.reason}")


def _as_it_is_now(path: Path, registry: Path | None) -> tuple[str, Mapping[str, Any], str]:
    """A card's line, its figures on the bars that there are, and what keeps it from running; "" for nothing."""
    from engine.brokers import backtest
    from research.cli.tables import say_while_waiting
    from research.promoted_card import line_of_card
    from research.strategy_card import read_card

    card = read_card(path)
    say_while_waiting(f"backtest of {path}")
    bars = card.bars()
    now = dict(backtest(card.made(), bars, **card.terms()).stats())
    return line_of_card(card), now, _trouble(card, registry, bars)


def _trouble(card: Card, registry: Path | None, bars: Any) -> str:
    from research.promoted_card import standing_of

    try:
        standing_of(card, "paper", registry, bars)
    except ValidationError as error:
        return str(error)
    return ""


def _print(table: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from reports.figures import words

    ladder = Table("strategy", "rung", "since (UTC)", "then / now", show_lines=True)
    for row in table.itertuples():
        what = "RECORD BROKEN" if row.trouble else row.reason if row.rung else f"{row.event}: {row.reason}"
        known = {**row.figures_then, **row.figures_now}
        pairs = [
            f"{words(name)} {_figure(name, row.figures_then)} / {_figure(name, row.figures_now)}"
            for name in _SHOWN
            if name in known
        ]
        since = f"{row.since[:16].replace('T', ' ')}\nby {row.by}"
        told = "\n".join(filter(None, [row.strategy, what, row.Index]))
        ladder.add_row(told, row.rung or "none", since, "\n".join(pairs))
    Console().print(ladder)


def _figure(name: str, figures: Mapping[str, Any]) -> str:
    from reports.figures import shown

    value = figures.get(name)
    return shown(name, None if value is None else float(value))  # a record has what is not finite as text
