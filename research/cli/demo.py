"""`ladder demo`: the main job on the bundled candles, from nothing to a tearsheet, without network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

_NEXT: Final = {
    False: "Next: ladder demo --promote, ladder strategies, ladder backtest --help",
    True: "Next: docs/gate.md says how a strategy of your own climbs",
}


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the pages and the results.", file_okay=False)
    ] = Path("out/demo"),
    promote: Annotated[
        bool, typer.Option("--promote", help="Take the strategy up the ladder: to paper, then live on a rehearsal.")
    ] = False,
) -> None:
    """Train a model walk-forward, trade its forecasts through both engines beside Hummingbot; write a tearsheet.

    On bundled candles, without network. With `--promote` the strategy then climbs, in the folder climb/: the gate's
    verdict to paper, a paper session on a rehearsal exchange, a rehearsal under faults, the verdict to live, and a live
    session on the rehearsal exchange. What the gate says no to is said, and overridden by name to show the rest.

    Example: `ladder demo --out out/demo --promote`
    """
    import time

    from rich.console import Console

    console, began = Console(), time.monotonic()

    def say(step: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:4.1f} s[/]  {step}", soft_wrap=True, highlight=False)

    if promote:
        _climb(out, say, console)
    else:
        _show(out, say, console)
    console.print(f"{time.monotonic() - began:.0f} s in all. {_NEXT[promote]}", style="dim")


def _show(out: Path, say: Callable[[str], None], console: Console) -> None:
    """The main job."""
    from research.cli.tables import print_comparison, print_frame
    from research.demo import FIGURES, run_demo

    run = run_demo(out, say, lambda done, total: say(f"       model {done} of {total}"))
    say("Done")
    console.print(f"\n{run.report.verdict}\n", soft_wrap=True, highlight=False)
    print_comparison(
        run.comparison,
        FIGURES,
        ["backtest", "paper", "holding", "Hummingbot,\nits own accounting", "Hummingbot,\non equal terms"],
    )
    print_frame(run.equal.shown())
    for line in (str(run.parity), str(run.joined)):
        console.print(line, soft_wrap=True, highlight=False)
    console.print(f"\nForecasts: {(out / 'forecasts.html').resolve()}", soft_wrap=True, highlight=False)
    console.print(f"Tearsheet: {run.tearsheet.resolve()}", soft_wrap=True, highlight=False)
    run.parity.raise_if_different()


def _climb(out: Path, say: Callable[[str], None], console: Console) -> None:
    """The same strategy, up the ladder."""
    from research.demo_climb import climb_demo

    climb = climb_demo(out, say, lambda done, total: say(f"       model {done} of {total}"))
    say("Done")
    for told in (climb.paper, climb.session, climb.live):
        if told is not None:
            console.print(f"\n{told}", soft_wrap=True, highlight=False, markup=False)
    if climb.traded is not None and climb.tracking is not None:
        console.print(f"\nLive on the rehearsal exchange: {climb.tracking.told}", soft_wrap=True, highlight=False)
    console.print(f"\nCard: {climb.card.resolve()}", soft_wrap=True, highlight=False)
    for page in climb.pages:
        console.print(f"Verdict: {page.resolve()}", soft_wrap=True, highlight=False)
