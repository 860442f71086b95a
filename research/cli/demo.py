"""`ladder demo`: the main job on the bundled candles, from nothing to a tearsheet, without network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the pages and the results.", file_okay=False)
    ] = Path("out/demo"),
) -> None:
    """Train a model walk-forward, trade its forecasts through both engines beside Hummingbot; write a tearsheet.

    On bundled candles, without network.

    Example: `ladder demo --out out/demo`
    """
    import time

    from rich.console import Console

    from research.cli.tables import print_comparison, print_frame
    from research.demo import FIGURES, run_demo

    console, began = Console(), time.monotonic()

    def say(step: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:4.1f} s[/]  {step}", soft_wrap=True, highlight=False)

    def trained(done: int, total: int) -> None:
        say(f"       model {done} of {total}")

    run = run_demo(out, say, trained)
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
    console.print(
        f"{time.monotonic() - began:.0f} s in all. Next: ladder strategies, ladder backtest --help", style="dim"
    )
    run.parity.raise_if_different()
