"""`ladder parity`, `compare` and `tearsheet`: results that were written to files, judged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Argument(help="A result (.parquet), as `--out` writes it.")]
Files = Annotated[list[Path], typer.Argument(help="Results (.parquet), as `--out` writes them.")]
Benchmark = Annotated[
    Path | None, typer.Option("--benchmark", "-b", help="The result to judge against.", show_default=False)
]


def parity(
    one: File,
    other: File,
    tolerance: Annotated[float, typer.Option(help="Relative, for equity, amount, price and fee.")] = 1e-9,
) -> None:
    """Say whether two results are the same: equity at every bar, orders one by one. Exits with 1 where they differ.

    Example: `ladder parity sma.parquet sma-paper.parquet`
    """
    from engine.result import Result
    from reports import parity as compare_engines

    verdict = compare_engines(Result.read_parquet(one), Result.read_parquet(other), tolerance)
    typer.echo(str(verdict))
    if not verdict.ok:
        raise typer.Exit(1)


def compare(
    results: Files,
    benchmark: Benchmark = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write a page here (.html).", show_default=False, dir_okay=False)
    ] = None,
) -> None:
    """Put results side by side: the same figures, by the same formulas, over the same days.

    Example: `ladder compare sma.parquet momentum.parquet --out comparison.html`
    """
    from engine.result import Result
    from reports import compare as put_side_by_side
    from research.cli.tables import print_comparison

    _keep_inputs(out, *results, benchmark)
    against = None if benchmark is None else Result.read_parquet(benchmark)
    print_comparison(put_side_by_side([Result.read_parquet(path) for path in results], against, out))
    if out is not None:
        typer.echo(f"wrote {out}")


def tearsheet(
    result: File,
    benchmark: Benchmark = None,
    same: Annotated[
        Path | None, typer.Option("--parity", help="The other engine's result of the same run.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Page (.html).", dir_okay=False)] = Path("tearsheet.html"),
) -> None:
    """Write the tearsheet of a result: one page that opens without network.

    Example: `ladder tearsheet sma.parquet --parity sma-paper.parquet --benchmark hummingbot.parquet`
    """
    from engine.result import Result
    from reports import parity as compare_engines
    from reports import tearsheet as write_tearsheet

    _keep_inputs(out, result, benchmark, same)
    run = Result.read_parquet(result)
    verdict = None if same is None else compare_engines(run, Result.read_parquet(same))
    against = None if benchmark is None else Result.read_parquet(benchmark)
    typer.echo(f"wrote {write_tearsheet(run, against, out, parity=verdict)}")


def _keep_inputs(out: Path | None, *inputs: Path | None) -> None:
    """A page never takes the place of a result that it is made from."""
    from data.errors import ValidationError

    if out is not None and out.resolve() in {path.resolve() for path in inputs if path is not None}:
        raise ValidationError(f"--out {out}: that is a result to read, which the page would replace; name another file")
