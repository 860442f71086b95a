"""A progress bar for runs that people wait for: on a terminal only, never in a pipe or a notebook's log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar_progress(title: str, bars: int, *, show: bool, unit: str = "bars") -> Iterator[Callable[[int], None] | None]:
    """Give a function to call with each bar's number, or None where nothing is to be shown; `unit`: what is counted."""
    if not show or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    # A redraw costs more than a bar: once in a hundredth of the run is smooth enough.
    stride = max(bars // 100, 1)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=bars)

        def advance(row: int) -> None:
            if row % stride == 0:
                progress.update(task, completed=row)

        yield advance
