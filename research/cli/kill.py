"""`ladder kill`: a session cancels what it has on the exchange, and stays stopped until a person lets it start."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from engine.live.journal import Journal

_LOOK = 0.2  # seconds between looks at the journal


def kill(
    target: Annotated[
        str, typer.Argument(metavar="RUN|JOURNAL", help="A run that trades now, or a journal (.sqlite).")
    ],
    flatten: Annotated[bool, typer.Option("--flatten", help="Sell what is held as well.")] = False,
    keep_barriers: Annotated[
        bool,
        typer.Option("--keep-barriers", help="Leave stops and profits on the exchange: they protect what is held."),
    ] = False,
    why: Annotated[str, typer.Option(help="For the journal, and for whoever finds it stopped.")] = "ladder kill",
    wait: Annotated[float, typer.Option(min=0.0, help="Seconds to wait for the session to say that it has.")] = 60.0,
) -> None:
    """Stop a session: it cancels all its orders, sells with `--flatten`, and stays stopped until `ladder live reset`.

    It is seen within a second, before the next order. Says what was done, or that nobody has answered.

    Exit code 0: stopped, and nothing is left. 1: something is, or nobody answered. 2: an input is wrong.

    Example: `ladder kill btc-1 --flatten --why "the feed looks wrong"`
    """
    from data.errors import ValidationError
    from engine.live.account_lock import is_written, who_says_so
    from engine.live.journal import Journal
    from engine.live.safety import write_kill
    from research.cli.live import told_errors

    with told_errors():
        if flatten and keep_barriers:
            raise ValidationError("kill: --flatten sells what --keep-barriers would protect; give one of them")
        journal, run, kill_file = _found(target)
        with contextlib.closing(Journal.reading(journal)) as book:
            before = _stops(book, run)
            running = is_written(journal)
            write_kill(kill_file, why=why, flatten=flatten, cancel=not keep_barriers, who=who_says_so())
            typer.echo(f"{kill_file}: written; run {run} does not start before `ladder live reset {journal}`")
            told = _answer(book, run, before, wait) if running else None
            ended = (
                _said(told) if told is not None else _unanswered(book, run, journal, running=running, flatten=flatten)
            )
    raise typer.Exit(0 if ended else 1)


def _found(target: str) -> tuple[Path, str, Path]:
    """Journal, run and kill file of what is meant."""
    from data.errors import ValidationError
    from engine.live.account_lock import holders
    from engine.live.journal import Journal
    from engine.live.safety import kill_file_of
    from research.cli.live_shown import kill_file_in

    alive = holders()
    named = [one for one in alive if one.run == target]
    if len(named) == 1:
        path = Path(named[0].journal)
        return path, named[0].run, Path(named[0].kill_file) if named[0].kill_file else kill_file_of(path)
    path = Path(target)
    if named or not path.is_file():
        runs = ", ".join(f"{one.run} ({one.journal})" for one in alive) or "none"
        what = "several runs of this name trade" if named else "no run of this name trades, and no such journal"
        raise ValidationError(f"kill {target!r}: {what}; trading now: {runs}. Name the journal's file")
    with contextlib.closing(Journal.reading(path)) as book:
        holder = next((one for one in alive if one.journal == str(path.resolve())), None)
        runs_there = [name for name, _, _ in book.runs()]
        if not runs_there:
            raise ValidationError(f"kill {target!r}: no run was begun in this journal")
        run = holder.run if holder is not None else _last_run(book, runs_there)
        if holder is not None and holder.kill_file:
            return path, run, Path(holder.kill_file)
        return path, run, kill_file_in(book, run)


def _last_run(book: Journal, runs: list[str]) -> str:
    """The run that a session has started last."""
    started = {run: max((one.at for one in book.statements(run, "started")), default=0) for run in runs}
    return max(runs, key=lambda run: started[run])


def _stops(book: Journal, run: str) -> int:
    return sum(kind == "stopped" for kind, _ in book.incidents(run))


def _answer(book: Journal, run: str, before: int, wait: float) -> dict[str, Any] | None:
    """What the session says once it has stopped; None where it does not within `wait` seconds."""
    from engine.live.account_lock import is_written

    until, shown = time.monotonic() + wait, sys.stderr.isatty()
    while True:
        if _stops(book, run) > before:
            if shown:
                typer.echo("", err=True)
            return [detail for kind, detail in book.incidents(run) if kind == "stopped"][-1]
        if time.monotonic() > until or not is_written(book.path):
            return None if _stops(book, run) == before else _answer(book, run, before, 0.0)
        if shown:
            left = until - time.monotonic()
            typer.echo(
                f"\rwaiting for the session, {left:3.0f} s, {len(book.unsettled(run))} orders open ", nl=False, err=True
            )
        time.sleep(_LOOK)


def _said(told: dict[str, Any]) -> bool:
    typer.echo(f"stopped ({told.get('why')}): {told.get('done')}; barriers {told.get('barriers')}")
    return not told.get("left")


def _unanswered(book: Journal, run: str, journal: Path, *, running: bool, flatten: bool) -> bool:
    """Nobody has stopped: say how things stand, and what to do; whether nothing is left."""
    from engine.live.account_lock import is_written

    if running and is_written(journal):
        typer.echo(
            f"run {run}: its session has not said that it has stopped; it may be waiting for the exchange. The kill "
            f"file stands. Look with `ladder live status {journal}`; if the process hangs, end it and then `ladder "
            f"live reconcile {journal} --run {run} --flatten --why ...`",
            err=True,
        )
        return False
    open_orders = book.unsettled(run)
    held = {symbol: amount for symbol, amount in book.rebuild(run).positions.items() if amount}
    typer.echo(f"run {run}: no session runs" + (" any more" if running else ""))
    for intent in open_orders:
        typer.echo(f"  open by the journal: {intent.symbol} {intent.side} {intent.amount} {intent.kind}")
    for symbol, amount in held.items():
        typer.echo(f"  held by the journal: {amount:f} of {symbol}")
    if open_orders or (flatten and held):
        typer.echo(
            f"NOTHING was cancelled: nobody is there to do it. `ladder live reconcile {journal} --run {run} --flatten "
            "--why ...` cancels and sells",
            err=True,
        )
        return False
    return True
