"""A bot's trades as tables: what `read_trades` gives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd

from data.errors import ValidationError

FUNDING_COLUMNS: Final = ("time", "bot", "exchange", "symbol", "rate", "amount")
_SUMMED: Final = "counted together: "


@dataclass(frozen=True, eq=False)
class TradeHistory:
    """What a bot did, as it recorded it. Nothing in it is computed from prices.

    Money is float64: of each decimal in the file the nearest one (1.1e-16 relative), made when the table was.

    Attributes:
        fills: one row per fill, by time: time (UTC), bot (stem of its configuration's file, "" where the file does not
            say), exchange, symbol ("BTC/USDT"), side ("buy" or "sell"), order_type ("MARKET", "LIMIT", ...), price
            (quote per base; NaN where the file has 0), amount (base currency, positive), fee and fee_token (what it
            paid, negative for a rebate; quote currency if any was paid in it), other_fees (JSON of exact decimals by
            token where it paid in several, else ""), fee_in_quote (the bot's own conversion, NaN where there is none),
            position ("OPEN", "CLOSE", or "NIL" for spot), leverage, order_id, trade_id, executor (the id of the one
            that sent the order, "" for none).
        executors: one row per executor, by time of creation: id, bot, exchange, symbol, controller, type, opened_at,
            closed_at (UTC, NaT while active), side ("BUY", "SELL" or ""), amount (as configured), entry_price and
            close_price, close_type ("" while active), pnl_pct, pnl and fees (quote currency), volume (quote currency,
            filled), active, order_ids (a tuple). What an executor does not have is NaN or "".
        funding: one row per payment, by time: time (UTC), bot, exchange, symbol, rate, amount (quote currency, positive
            where received).
        source: the file.
        kind: "sqlite", "trades csv" or "export trades csv".
        notes: what was dropped, rounded, recovered or left out, a sentence each.
    """

    fills: pd.DataFrame
    executors: pd.DataFrame
    funding: pd.DataFrame
    source: str
    kind: str
    notes: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the rows of fills and funding: the identity of what a result came from."""
        digest = hashlib.sha256(self.kind.encode())
        for table in (self.fills, self.funding):
            digest.update(f"{len(table)}".encode())
            digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
        return digest.hexdigest()

    def select(
        self,
        *,
        bot: str | Iterable[str] | None = None,
        symbols: str | Iterable[str] | None = None,
        exchange: str | Iterable[str] | None = None,
    ) -> TradeHistory:
        """The part of some bots, symbols or exchanges; what is not named is not narrowed.

        Raises:
            ValidationError: a name that the history does not hold.
        """
        wanted = {
            column: [names] if isinstance(names, str) else list(names)
            for column, names in (("bot", bot), ("symbol", symbols), ("exchange", exchange))
            if names is not None
        }
        for column, names in wanted.items():
            known = sorted({*self.fills[column], *self.executors[column], *self.funding[column]} - {""})
            strange = [name for name in names if name not in known]
            if strange or not names:
                raise ValidationError(
                    f"{self.source}: select() of {column} {strange or names}: the file holds "
                    f"{', '.join(known) if known else f'no {column} by name'}"
                )

        def part(table: pd.DataFrame) -> pd.DataFrame:
            kept = np.ones(len(table), dtype=np.bool_)
            for column, names in wanted.items():
                kept &= table[column].isin(names).to_numpy()
            return table[kept].reset_index(drop=True)

        fills = part(self.fills)
        notes = [note for note in self.notes if not note.startswith(_SUMMED)]
        if wanted:
            chosen = "; ".join(f"{column} {', '.join(names)}" for column, names in wanted.items())
            notes.append(f"selected: {chosen} ({len(fills):,} of {len(self.fills):,} fills)")
        return replace(
            self,
            fills=fills,
            executors=part(self.executors),
            funding=part(self.funding),
            notes=(*notes, *summed_note(fills)),
        )

    def __repr__(self) -> str:
        if not len(self.fills):
            return f"TradeHistory({self.source}, {self.kind}; no fills)"
        first, last = self.fills["time"].iloc[0], self.fills["time"].iloc[-1]
        return (
            f"TradeHistory({self.source}, {self.kind}; {len(self.fills):,} fills of "
            f"{', '.join(self.fills['symbol'].unique())}, {first} to {last}, {len(self.executors):,} executors, "
            f"{len(self.funding):,} funding payments)"
        )


def summed_note(fills: pd.DataFrame) -> tuple[str, ...]:
    """That several bots, exchanges or symbols are counted together, and which; nothing where there is one of each."""
    parts = []
    for column, plural in (("bot", "bots"), ("exchange", "exchanges"), ("symbol", "symbols")):
        names = sorted(fills[column].unique())
        if len(names) > 1:
            parts.append(f"{len(names)} {plural} ({', '.join(names)})")
    return (_SUMMED + ", ".join(parts) + "; select() takes some of them",) if parts else ()


def funding_table(rows: Sequence[tuple[int, str, str, str, float, float]]) -> pd.DataFrame:
    """Funding payments as a table, by time; times in nanoseconds."""
    ranked = sorted(rows, key=lambda row: row[0])
    columns = dict(zip(FUNDING_COLUMNS, zip(*ranked, strict=True), strict=True)) if ranked else {}
    kinds = {"time": "int64", "rate": "float64", "amount": "float64"}
    table = pd.DataFrame(
        {name: pd.Series(list(columns.get(name, ())), dtype=kinds.get(name, "str")) for name in FUNDING_COLUMNS}
    )
    table["time"] = pd.to_datetime(table["time"].to_numpy(dtype=np.int64), unit="ns", utc=True)
    return table
