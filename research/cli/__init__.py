"""The command `ladder`: the same calls that Python users make, from the shell.

Only typer is imported at the top, here and in every file beside this one: `ladder --help` pays for nothing else. An
error that Ladder raises on purpose is shown as its message, without a traceback, and the command exits with 1.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from data.errors import LadderError
from research.cli.alerts import alerts_app
from research.cli.baseline import baseline
from research.cli.data import data_app
from research.cli.demo import demo
from research.cli.judge import compare, parity, tearsheet
from research.cli.kill import kill
from research.cli.live import live_app
from research.cli.model import predict, train
from research.cli.promote import promote
from research.cli.publish import publish
from research.cli.rehearse import rehearse
from research.cli.run import run_command, strategies
from research.cli.standing import demote, status
from research.cli.sweep import sweep, trials


class _LadderGroup(TyperGroup):
    """Shows an error of ours as a message: its text already says what is wrong, where, and how to mend it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LadderError as error:
            typer.secho(f"ladder: {error}", err=True, fg=typer.colors.RED)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_LadderGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,  # a local variable may hold a secret
    help="One strategy definition: backtest, paper and live, compared with Hummingbot.",
    epilog="Begin with `ladder demo`; every command has `--help` with an example.",
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"ladder {version('ladder')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command()(demo)
for broker in ("backtest", "paper"):
    app.command(broker)(run_command(broker))
app.command()(rehearse)
app.command()(kill)
app.command()(promote)
app.command()(status)
app.command()(demote)
app.command()(train)
app.command()(predict)
app.command()(baseline)
app.command()(publish)
app.command()(sweep)
app.command()(trials)
app.command()(parity)
app.command()(compare)
app.command()(tearsheet)
app.command()(strategies)
app.add_typer(data_app)
app.add_typer(live_app)
app.add_typer(alerts_app)
