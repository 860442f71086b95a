"""What a terminal shows: figures in the same words and digits as the pages, and what a command is busy with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import pandas as pd

    from reports.comparison import Comparison


def print_comparison(
    comparison: Comparison, keys: Sequence[str] | None = None, headings: Sequence[str] | None = None
) -> None:
    """Print the comparison's figures, or those of `keys` alone, and its notes; `headings` replace the runs' names."""
    from rich.console import Console
    from rich.table import Table

    from reports.figures import words

    wanted = [str(key) for key in comparison.table.index] if keys is None else list(keys)
    shown = comparison.shown()
    table = Table("")
    for heading in headings or shown.columns:
        table.add_column(str(heading), justify="right", overflow="fold")
    for key in wanted:
        table.add_row(words(key), *shown.loc[words(key)])
    console = Console()
    console.print(table)
    for note in comparison.notes:
        console.print(note, style="dim")


def print_frame(frame: pd.DataFrame) -> None:
    """Print a table of text."""
    from rich.console import Console
    from rich.table import Table

    table = Table(str(frame.index.name or ""))
    for name in frame.columns:
        table.add_column(str(name), overflow="fold")
    for label, values in zip(frame.index, frame.to_numpy(), strict=True):
        table.add_row(str(label), *map(str, values))
    Console().print(table)


def say_while_waiting(text: str) -> None:
    """Tell a person at a terminal what the command is busy with; a pipe or a log gets the outcome alone."""
    if sys.stderr.isatty():
        typer.secho(text, err=True, dim=True)
