"""`ladder live status`, `reconcile` and `reset`: what a run is and has, and a person's choices about its account."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from research.cli.live_shown import kill_file_in, moment, print_findings, print_status, run_in, symbols_of

if TYPE_CHECKING:
    from engine.live.gateway import Gateway
    from engine.live.journal import Journal
    from engine.live.reconcile import Findings

_PATIENCE = 30.0  # seconds to go on asking an exchange that does not answer
JournalFile = Annotated[Path, typer.Argument(metavar="JOURNAL", help="The run's journal (.sqlite).")]
RunName = Annotated[str | None, typer.Option("--run", help="Of several, which.", show_default=False)]


def status(journal: JournalFile, run: RunName = None) -> None:
    """Show what a run holds, what it has open and what went wrong; also while its session runs. Changes nothing.

    Example: `ladder live status btc.sqlite`
    """
    from engine.live.journal import Journal
    from research.cli.live import told_errors

    with told_errors(), contextlib.closing(Journal.reading(journal)) as book:
        print_status(book, run_in(book, run))


def reset(
    journal: JournalFile,
    run: RunName = None,
    kill_file: Annotated[
        Path | None, typer.Option(help="The kill file; else the one that the run looked for.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Let a run that was killed start again: says why it was stopped, asks, and takes the kill file away.

    Example: `ladder live reset btc.sqlite`
    """
    from data.errors import ValidationError
    from engine.live.account_lock import is_written, who_says_so
    from engine.live.journal import Journal
    from engine.live.safety import read_kill
    from research.cli.live import told_errors

    with told_errors():
        with contextlib.closing(Journal.reading(journal)) as book:
            name = run_in(book, run)
            path = kill_file or kill_file_in(book, name)
        if not path.exists():
            typer.echo(f"{path}: is not there; nothing keeps run {name} from starting")
            return
        if is_written(journal):
            raise ValidationError(f"journal {journal}: its session is still ending; wait until it has stopped")
        told = read_kill(path)
        typer.echo(f"run {name} was stopped: {told.get('why')}" + (f", by {told['who']}" if told.get("who") else ""))
        if told.get("at"):
            typer.echo(f"at {moment(int(told['at']))}")
        if not yes and not typer.confirm("Take the kill file away, so that it can start again?"):
            typer.echo("left where it is")
            raise typer.Exit(1)
        with Journal(journal) as book:
            book.state_that(name, "reset", who_says_so(), told)
        path.unlink()
        typer.echo(f"{path}: taken away")


def reconcile(
    journal: JournalFile,
    run: RunName = None,
    adopt: Annotated[bool, typer.Option("--adopt", help="The differences become part of the run's books.")] = False,
    ignore: Annotated[
        bool, typer.Option("--ignore", help="They are not the run's: a deposit, another's trade.")
    ] = False,
    flatten: Annotated[bool, typer.Option("--flatten", help="Cancel the run's orders, sell what it holds.")] = False,
    why: Annotated[str, typer.Option(help="For the journal; a choice needs it.", show_default=False)] = "",
    currency: Annotated[
        list[str] | None, typer.Option(help="Choose for this one alone; may come again.", show_default=False)
    ] = None,
    rehearsal: Annotated[
        str | None, typer.Option(metavar="URL", help="The run trades on this rehearsal exchange.", show_default=False)
    ] = None,
) -> None:
    """Compare a run's journal with its account, and choose what to do about what it does not explain.

    Without a choice it shows: orders whose end nobody knows, orders that rest (ours and others'), fills that were
    missing, and every balance that is not what the journal explains. Nothing is sent. A choice is typed at a terminal,
    and is an entry in the journal, with who, when and why.

    Exit code 0: all is explained. 1: something is not. 2: an input is wrong.

    Example: `ladder live reconcile btc.sqlite --run btc-1 --adopt --why "sold half by hand"`
    """
    import asyncio

    from data.errors import ValidationError
    from engine.live.keys import guard_output
    from research.cli.live import told_errors

    guard_output()
    with told_errors():
        if not journal.is_file():
            raise ValidationError(f"journal {journal}: no such file")
        chosen = [name for name, on in (("adopt", adopt), ("ignore", ignore), ("flatten", flatten)) if on]
        if len(chosen) > 1 or (chosen and not why.strip()):
            raise ValidationError(f"reconcile: one choice, with --why; given {chosen or 'none'}, why {why!r}")
        clean = asyncio.run(_reconcile(journal, run, chosen[0] if chosen else None, why, currency or [], rehearsal))
    raise typer.Exit(0 if clean else 1)


async def _reconcile(
    journal: Path, run: str | None, choice: str | None, why: str, only: Sequence[str], rehearsal: str | None
) -> bool:
    from data.errors import ValidationError
    from engine.live.account_lock import account_lock
    from engine.live.calls import answered
    from engine.live.client import live_client
    from engine.live.clock import ExchangeClock
    from engine.live.gateway import Gateway
    from engine.live.journal import Journal
    from engine.live.keys import load_keys
    from engine.live.reconcile import examine
    from engine.live.trading_terms import check_symbols

    with Journal(journal) as book:
        name = run_in(book, run)
        exchange_id = next(exchange for known, exchange, _ in book.runs() if known == name)
        symbols = symbols_of(book, name)
        started = book.statements(name, "started")
        if started and bool(started[-1].detail.get("rehearsal")) != (rehearsal is not None):
            where = "a real exchange: leave out" if rehearsal else "a rehearsal exchange: name it with"
            raise ValidationError(f"run {name!r} trades on {where} --rehearsal")
        keys = None if rehearsal is not None else load_keys(exchange_id)
        kind = check_symbols(f"run {name!r}", symbols)
        client = live_client(exchange_id, keys, rehearsal=rehearsal, perpetual=kind.perpetual)
        try:
            with account_lock(client, journal=journal, run=name):
                await answered(client.load_markets)
                await answered(ExchangeClock(client).check)
                gateway = Gateway(client, book, run=name, margin_in=kind.margin_in, patience=_PATIENCE)
                findings = await examine(gateway, book, name, symbols)
                print_findings(findings, name)
                if choice is not None:
                    if rehearsal is None:
                        _confirm(f"{choice} {name} on {exchange_id}", name)
                    await _choose(choice, gateway, client, book, name, findings, symbols, why, only)
                    findings = await examine(gateway, book, name, symbols)
                    if not findings.clean:
                        print_findings(findings, name)
        finally:
            await client.close()
    typer.echo("all is explained" if findings.clean else "NOT all is explained")
    return findings.clean


async def _choose(
    choice: str,
    gateway: Gateway,
    client: Any,
    book: Journal,
    run: str,
    findings: Findings,
    symbols: Sequence[str],
    why: str,
    only: Sequence[str],
) -> None:
    from functools import partial

    from engine.live import choices
    from engine.live.account_lock import who_says_so
    from engine.live.calls import answered
    from engine.venue import Venue

    who = who_says_so()
    if choice == "ignore":
        choices.ignore(book, run, findings, who=who, why=why, only=only)
        return
    wanted = sorted({*symbols, *book.rebuild(run).positions})
    prices = {}
    for symbol in wanted:
        ticker = await answered(partial(client.fetch_ticker, symbol))
        prices[symbol] = float(ticker["last"])
    if choice == "adopt":
        choices.adopt(book, run, findings, who=who, why=why, symbols=symbols, prices=prices, only=only)
        return
    mode = client.precisionMode
    venues = {symbol: Venue.from_ccxt(client.market(symbol), precision_mode=mode) for symbol in wanted}
    ended = await choices.flatten(gateway, book, run, who=who, why=why, venues=venues, prices=prices)
    typer.echo(str(ended))


def _confirm(sentence: str, run: str) -> None:
    from engine.live.permission import PermissionDeniedError
    from research.cli.live import typed_at_terminal

    if " ".join(typed_at_terminal(sentence, run).split()) != sentence:
        raise PermissionDeniedError(f"run {run!r}: not the sentence {sentence!r}; nothing was done")
