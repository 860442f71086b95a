"""The rehearsal exchange as a process of its own.

    python -m engine.rehearsal.serve --market bars.parquet --timeframe 1h --port 8080

Without `--market` it replays the bundled sample. Once it listens it prints a line of JSON, {"rest_url", "ws_url"}, and
runs until it is interrupted. Bars move on by POST /rehearsal/advance, or by themselves with `--speed`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import pandas as pd

from data import Market, load_sample
from data.errors import ValidationError
from engine.rehearsal.faults import FaultPlan
from engine.rehearsal.server import RehearsalServer
from engine.venue import Venue

KEY: Final = "LADDER_REHEARSAL_KEY"
SECRET: Final = "LADDER_REHEARSAL_SECRET"  # noqa: S105  (the variable's name)


def market_of(path: Path | None, timeframe: str) -> Market:
    """The bundled sample, or the candles of a Parquet file: columns time (UTC), symbol, open, high, low, close, volume.

    Raises:
        ValidationError: the file cannot be read or lacks a column; candles that break a rule.
    """
    if path is None:
        return load_sample()
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ValidationError(
            f"{path}: cannot be read as Parquet ({error}); write it with DataFrame.to_parquet"
        ) from error
    missing = [name for name in ("time", "symbol") if name not in table]
    if missing:
        raise ValidationError(f"{path}: lacks the columns {missing}; it has {list(table.columns)}")
    by_symbol = {
        str(symbol): frame.drop(columns="symbol").set_index("time") for symbol, frame in table.groupby("symbol")
    }
    return Market.from_frames(by_symbol, timeframe)


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(prog="python -m engine.rehearsal.serve", description=(__doc__ or "").split("\n")[0])
    found.add_argument("--market", type=Path, help="Parquet file of candles; the bundled sample without it")
    found.add_argument("--timeframe", default="1h", help="bar length of the file's candles")
    found.add_argument("--dialect", choices=["binance", "bybit"], default="binance")
    found.add_argument("--port", type=int, default=0, help="0 for any that is free")
    found.add_argument("--start", type=int, default=0, help="row of the market that is open at first")
    found.add_argument("--bars", type=int, help="rows of the market that are replayed; all without it")
    found.add_argument("--speed", type=float, help="venue seconds per second; by request alone without it")
    found.add_argument("--cash", type=Decimal, default=Decimal(10_000), help="quote currency at the beginning")
    found.add_argument("--maker", type=Decimal, default=Decimal(0), help="fraction of notional")
    found.add_argument("--taker", type=Decimal, default=Decimal(0), help="fraction of notional")
    found.add_argument("--slippage", type=Decimal, default=Decimal(0), help="fraction of the price")
    found.add_argument("--amount-step", type=float, default=0.0, help="base currency; 0 for none")
    found.add_argument("--price-tick", type=float, default=0.0, help="quote currency; 0 for none")
    found.add_argument("--heavy", type=int, metavar="SEED", help="inject all kinds of faults at the heavy rates")
    return found


async def serve(options: argparse.Namespace) -> None:
    """Run the exchange until the task is cancelled; key and secret come from the environment."""
    market = market_of(options.market, options.timeframe).iloc(0, options.bars)
    perpetual = options.dialect == "bybit"
    venue = Venue(
        shorts=perpetual,
        leverage=10.0 if perpetual else 1.0,
        amount_step=options.amount_step,
        price_tick=options.price_tick,
    )
    server = RehearsalServer(
        market,
        dialect=options.dialect,
        venues=venue,
        cash=options.cash,
        fees=(options.maker, options.taker),
        slippage=options.slippage,
        port=options.port,
        start=options.start,
        speed=options.speed,
        faults=None if options.heavy is None else FaultPlan.heavy(options.heavy),
        api_key=os.environ.get(KEY, "rehearsal"),
        secret=os.environ.get(SECRET, "rehearsal"),
    )
    async with server:
        sys.stdout.write(json.dumps({"rest_url": server.rest_url, "ws_url": server.ws_url}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options and run."""
    options = parser().parse_args(arguments)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(options))
    except ValidationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
