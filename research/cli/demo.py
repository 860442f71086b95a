"""`ladder demo`: the main job on the bundled candles, from nothing to a tearsheet, without network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the page and the results.", file_okay=False)
    ] = Path("out/demo"),
) -> None:
    """Run a strategy through both engines beside the Hummingbot baseline, on bundled candles; write a tearsheet.

    Example: `ladder demo --out out/demo`
    """
    import time

    from rich.console import Console

    from research.cli.tables import print_comparison, print_frame
    from research.demo import FIGURES, run_demo

    console, began = Console(), time.monotonic()

    def say(step: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:4.1f} s[/]  {step}", soft_wrap=True, highlight=False)

    run = run_demo(out, say)
    say("Done")
    print_comparison(
        run.comparison,
        FIGURES,
        ["backtest", "paper", "Hummingbot,\nits own accounting", "Hummingbot,\non equal terms"],
    )
    print_frame(run.equal.shown())
    console.print(str(run.parity), soft_wrap=True, highlight=False)
    console.print(f"\nTearsheet: {run.tearsheet.resolve()}", soft_wrap=True, highlight=False)
    console.print(
        f"{time.monotonic() - began:.0f} s in all. Next: ladder strategies, ladder backtest --help", style="dim"
    )
    run.parity.raise_if_different()
