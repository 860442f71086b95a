"""`ladder paper CARD --live`: a card traded on paper with an exchange's live prices, until it is stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from research.cli.alerts import alerts_line

if TYPE_CHECKING:
    from engine.live.alerts import Alerts
    from engine.live.paper_live import PaperLiveReport
    from engine.result import Result
    from research.strategy_card import Card


def run_live_paper(
    card: Card, journal: Path, run: str, rehearsal: str | None, turns: int | None, record: str = ""
) -> Result | None:
    """Trade it, a line for each bar, and print how it ended; the whole run's result, None where no bar has closed.

    Args:
        card: of the strategy.
        journal: of the run; one that is there is gone on with.
        run: its name.
        rehearsal: URL of a rehearsal exchange; None for the card's.
        turns: bars after which it ends; None for until it is stopped.
        record: of the promotion that it runs by; "" for none.

    Raises:
        LadderError: what `run_paper_live` and `live_client` raise.
    """
    import asyncio

    from engine.live.alerts import Alerts
    from engine.live.client import live_client
    from engine.live.keys import guard_output
    from engine.live.safety import kill_file_of, refuse_if_killed

    guard_output()
    kill_file = kill_file_of(journal)
    refuse_if_killed(kill_file)
    alerts = Alerts.from_environment()
    perpetual = ":" in card.market.symbols[0]
    client = live_client(card.market.exchange, None, rehearsal=rehearsal, perpetual=perpetual)
    where = f"rehearsal exchange at {rehearsal}" if rehearsal else card.market.exchange
    goes = "goes on" if journal.is_file() else "new"
    typer.echo(f"paper with live prices of {where}: no order leaves, no key is used")
    typer.echo(f"run {run}, journal {journal} ({goes}); end it by Ctrl-C, or `ladder kill {journal}`")
    typer.echo(f"alerts: {alerts_line(alerts)}")
    session = _traded(card, client, journal, run, kill_file, turns, record, alerts, rehearsal=rehearsal is not None)
    with _lines_shown():
        report = asyncio.run(session)
    typer.echo(str(report))
    return report.result if len(report.result.equity) else None


async def _traded(
    card: Card,
    client: Any,
    journal: Path,
    run: str,
    kill_file: Path,
    turns: int | None,
    record: str,
    alerts: Alerts | None,
    *,
    rehearsal: bool,
) -> PaperLiveReport:
    from engine.live.clock import standing
    from engine.live.paper_live import run_paper_live
    from engine.live.safety import Stop

    stop, done = Stop(kill_file=kill_file), 0
    stop.on_signals()

    async def counted(_: int) -> bool:
        nonlocal done
        done += 1
        if done != turns:
            return True
        stop.why = stop.why or f"--turns {turns}"
        return False

    terms = card.terms()
    try:
        return await run_paper_live(
            card.made(),
            client,
            card.market.symbols,
            card.market.timeframe,
            cash=terms["cash"],
            journal=journal,
            run=run,
            costs=terms["costs"],
            risk=terms.get("risk"),
            leverage=card.venue.leverage,
            maintenance_margin=card.venue.maintenance_margin,
            enrich=card.enrich,
            after_turn=counted,
            stop=stop,
            clock=standing if rehearsal else None,
            record=record,
            alerts=alerts,
        )
    finally:
        await client.close()


@contextlib.contextmanager
def _lines_shown() -> Iterator[None]:
    """The session's lines go to the terminal as they are, and warnings of all else."""
    import logging

    shown, root, session = logging.StreamHandler(), logging.getLogger(), logging.getLogger("engine.live.paper_session")
    shown.setFormatter(logging.Formatter("%(message)s"))
    root.addHandler(shown)
    session.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(shown)
        session.setLevel(logging.NOTSET)
