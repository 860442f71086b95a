"""`ladder data`: fetch candles into the store, list them, check them, write them to a file.

Only typer is imported at the top: `ladder --help` pays for nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from data.store import Store

data_app = typer.Typer(
    name="data", no_args_is_help=True, rich_markup_mode="markdown", help="Candles: fetch, list, check and export them."
)

Exchange = Annotated[str, typer.Argument(help="ccxt's id of the exchange, such as binance.")]
Symbol = Annotated[str, typer.Argument(help="ccxt's unified symbol, such as BTC/USDT.")]
Timeframe = Annotated[str, typer.Argument(help="The bars' length, such as 1h.")]
Since = Annotated[str | None, typer.Option(help="From when, UTC: 2020-01-01 or 2020-01-01T12:00Z.")]
Until = Annotated[str | None, typer.Option(help="Up to, not including, this time, UTC.")]
Root = Annotated[
    Path | None,
    typer.Option("--store", help="The store's folder; else $LADDER_STORE, else ./store.", show_default=False),
]


@data_app.command()
def fetch(
    exchange: Exchange,
    symbol: Symbol,
    timeframe: Timeframe,
    since: Since = None,
    until: Until = None,
    store: Root = None,
    drop_invalid: Annotated[bool, typer.Option("--drop-invalid", help="Leave out bars that break a rule.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Ask for the whole span anew and take the exchange's bars.")
    ] = False,
    ccxt: Annotated[
        Path | None,
        typer.Option("--ccxt", metavar="FILE", help="Settings of the ccxt client, JSON: a proxy, a mirror, a timeout."),
    ] = None,
) -> None:
    """Download candles into the store; goes on where the last fetch ended.

    The bar still open is left out. A stop at any moment loses nothing: run the same command again.

    `--ccxt` takes a file with what ccxt's constructor takes. Through a proxy: `{"httpsProxy": "http://10.0.0.1:3128"}`.
    From Binance's mirror, which has spot candles alone: `{"urls": {"api": {"public":
    "https://data-api.binance.vision/api/v3"}}, "options": {"fetchMarkets": {"types": ["spot"]}}}`.

    Example: `ladder data fetch binance BTC/USDT 1h --since 2020-01-01`
    """
    from data.download import fetch_candles
    from data.source import open_client, read_settings

    report = fetch_candles(
        exchange if ccxt is None else open_client(exchange, read_settings(ccxt)),
        symbol,
        timeframe,
        since,
        until,
        store=_store(store),
        progress=True,
        drop_invalid=drop_invalid,
        replace=replace,
    )
    typer.echo(str(report))


@data_app.command("list")
def list_(store: Root = None) -> None:
    """Show what the store holds.

    Example: `ladder data list`
    """
    from rich.console import Console
    from rich.table import Table

    shelf = _store(store)
    series = shelf.list()
    if not series:
        typer.echo(f"the store {shelf.root} is empty; ladder data fetch binance BTC/USDT 1h --since 2020-01-01")
        return
    table = Table("exchange", "symbol", "timeframe", "first bar (UTC)", "last bar (UTC)")
    for heading in ("bars", "MB"):
        table.add_column(heading, justify="right")
    for one in series:
        first, last = (f"{moment:%Y-%m-%d %H:%M}" for moment in (one.first, one.last))
        table.add_row(one.exchange, one.symbol, one.timeframe, first, last, f"{one.bars:,}", f"{one.size / 1e6:.1f}")
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)  # a line per series, whoever reads it
    console.print(table)


@data_app.command()
def check(
    exchange: Annotated[str | None, typer.Argument(help="Only this exchange.")] = None,
    symbol: Annotated[str | None, typer.Argument(help="Only this symbol.")] = None,
    timeframe: Annotated[str | None, typer.Argument(help="Only this timeframe.")] = None,
    store: Root = None,
    every: Annotated[bool, typer.Option("--all", help="Print every finding and gap, not the first few.")] = False,
) -> None:
    """Check stored candles: every broken rule, and every gap. Exits with 1 where a rule is broken; gaps are no fault.

    Example: `ladder data check binance BTC/USDT 1h`, or `ladder data check` for all
    """
    from data.errors import ValidationError

    shelf = _store(store)
    asked = (exchange, symbol, timeframe)
    names = [(one.exchange, one.symbol, one.timeframe) for one in shelf.list()]
    chosen = [name for name in names if all(want in (None, have) for want, have in zip(asked, name, strict=True))]
    if not chosen:
        wanted = " ".join(word for word in asked if word) or "anything"
        raise ValidationError(f"the store {shelf.root} does not hold {wanted}; see what it holds: ladder data list")
    broken = False
    for name in chosen:
        report = shelf.check(*name)
        broken = broken or not report.ok
        typer.echo(report.text() if every else str(report))
    if broken:
        raise typer.Exit(1)


@data_app.command()
def export(
    exchange: Exchange,
    symbol: Symbol,
    timeframe: Timeframe,
    path: Annotated[Path, typer.Argument(help="The file: .csv, .csv.gz, .parquet or .feather.")],
    since: Since = None,
    until: Until = None,
    store: Root = None,
) -> None:
    """Write stored candles to one file, times in ISO and UTC.

    Example: `ladder data export binance BTC/USDT 1h btc.csv --since 2024-01-01`
    """
    written = _store(store).export(exchange, symbol, timeframe, path, since=since, until=until)
    typer.echo(f"wrote {written}")


def _store(root: Path | None) -> Store:
    from data.store import Store

    return Store() if root is None else Store(root)
