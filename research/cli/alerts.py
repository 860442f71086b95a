"""`ladder alerts test`: whether somebody would be told, before a session needs somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from engine.live.alerts import Alerts

alerts_app = typer.Typer(
    name="alerts",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Who is told when a session needs a person: docs/alerts.md.

    Example: `ladder alerts test`""",
)


@alerts_app.callback()
def _group() -> None:
    pass


@alerts_app.command("test")
def send_test(
    to: Annotated[
        str,
        typer.Option(
            metavar="VARIABLE",
            help="The environment variable that has the addresses; never an address: others can read a command line.",
        ),
    ] = "LADDER_ALERTS",
) -> None:
    """Send a test message to every address that is set, and say which of them took it.

    Addresses are apprise's (`tgram://TOKEN/CHAT`, `mailtos://USER:PASSWORD@HOST`), separated by commas or spaces, in
    LADDER_ALERTS, else in the system's keyring: service ladder-alerts, entry addresses. They are shown by scheme and
    host alone. The test is noted for the gate, without them.

    Exit code 0: an address took it. 1: none did. 2: an input is wrong.

    Example: `ladder alerts test --to LADDER_ALERTS_PHONE`
    """
    import asyncio
    import socket

    from data.errors import LadderError, ValidationError
    from engine.live.alert_record import record_test
    from engine.live.alerts import VARIABLE, Alerts, read_addresses
    from engine.live.keys import guard_output
    from research.cli.live import told_errors

    guard_output()
    with told_errors():
        if not to.isidentifier():
            raise ValidationError("--to: give the name of an environment variable that has the address, not an address")
        addresses = read_addresses(variable=to)
        if not addresses:
            raise LadderError(
                f"{to} has no address" + (", nor has the keyring" if to == VARIABLE else "") + "; docs/alerts.md"
            )
        alerts = Alerts(addresses)
        text = f"Sent by `ladder alerts test` on {socket.gethostname()}: who reads this would be told."
        delivery = asyncio.run(alerts.tell("ladder: a test", text))
        if delivery is None:  # a title that was told before: there was none
            raise LadderError("the test was not sent")
        for where, why in delivery.answers:
            typer.echo(f"{where}: {why or 'taken'}")
        path = record_test(delivery, addresses)
        typer.echo(f"{delivery.taken} of {delivery.of} addresses took it; noted in {path}")
    raise typer.Exit(0 if delivery.taken else 1)


def alerts_line(alerts: Alerts | None) -> str:
    """Whether anybody is told, for what a session says before it begins."""
    return "NONE: nobody is told (docs/alerts.md)" if alerts is None else ", ".join(alerts.where)
