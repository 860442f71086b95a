"""`ladder rehearse`: the live code itself on a local exchange, under faults, before any money is at risk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def rehearse(
    card: Annotated[Path, typer.Argument(metavar="CARD", help="The strategy's card (.toml), see docs/card.md.")],
    faults: Annotated[
        Literal["none", "light", "heavy"],
        typer.Option(help="How much goes wrong at the exchange and on the way to it."),
    ] = "heavy",
    seed: Annotated[int, typer.Option(help="Of what goes wrong, and when.")] = 0,
    crashes: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Probability that the session is dropped within a turn.")
    ] = 0.0,
    bars: Annotated[
        int | None, typer.Option(min=1, help="Decide on so many bars; else all.", show_default=False)
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(help="Keep the journal here (.sqlite).", show_default=False, dir_okay=False)
    ] = None,
) -> None:
    """Rehearse a strategy: its live session trades stored bars on a local exchange that breaks as real ones do.

    An unmodified ccxt client, over HTTP and WebSocket on 127.0.0.1; no key, no account, no money. Ends with every fault
    that was injected, the orders beside those of `paper`, and whether each balance is explained to the last digit; exit
    code 1 where something does not hold.

    Example: `ladder rehearse strategy.toml --faults heavy --seed 7 --crashes 0.05 --bars 500`
    """
    from data.errors import ValidationError
    from engine.live.rehearsing import rehearse as run_rehearsal
    from engine.progress import bar_progress
    from research.cli.inputs import require_writable
    from research.strategy_card import read_card

    require_writable("--journal", journal)
    if journal is not None and journal.exists():
        raise ValidationError(f"--journal {journal}: is there already; a rehearsal begins a new one, name another")
    told = read_card(card)
    strategy, market, terms = told.made(), told.candles(), told.terms()
    turns = len(market) - strategy.warmup if bars is None else bars
    with bar_progress("rehearsal", turns, show=True) as advance:
        rehearsal = run_rehearsal(
            strategy,
            market,
            **terms,
            faults=faults,
            seed=seed,
            crashes=crashes,
            bars=bars,
            journal=journal,
            enrich=told.enrich,
            progress=None if advance is None else lambda done, _: advance(done),
        )
    typer.echo(str(rehearsal))
    if not rehearsal.ok:
        raise typer.Exit(1)
