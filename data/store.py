"""Candles on disk: one folder per exchange, symbol and timeframe, one Parquet file per append.

    store = Store()                                       # $LADDER_STORE, or ./store
    store.append("binance", "BTC/USDT", "1h", candles)    # only bars that are new are written
    store.read("binance", "BTC/USDT", "1h", since="2024-01-01")

    store/binance/BTC-USDT/1h/000001_20200101T000000Z_20200211T150000Z.parquet

A part's name gives its place in the order of appends, its first bar and its last. What is on disk is never rewritten:
an append adds a part, under a temporary name until it is whole, so that a kill at any moment leaves the store as it was
before or after. Where two parts hold the same bar, the later one counts. Writers hold the series' folder alone.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd

from data.atomic import locked, sync_folder
from data.candles import CandleReport, bar_label, clean_candles, validate_candles
from data.coverage import Span, join_spans, read_spans, write_spans
from data.errors import ValidationError
from data.export import check_suffix, write_candles
from data.parts import count_bars, list_parts, merge, read_part, remove_leftovers, write_part
from data.timeframe import parse_timeframe, utc_time

if TYPE_CHECKING:
    from data.market import Market

Moment = str | dt.date | pd.Timestamp

_TIME_COLUMNS: Final = ("time", "timestamp")  # what the index is called in a part, and in an export
_EXCHANGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ESCAPED: Final = {"/": "-", ":": "_", "-": "%2D", "_": "%5F", ".": "%2E", "~": "%7E"}


def symbol_to_folder(symbol: str) -> str:
    """A folder name for any symbol: BTC/USDT is BTC-USDT, BTC/USDT:USDT is BTC-USDT_USDT, the rest percent-encoded."""
    return "".join(_ESCAPED.get(letter) or quote(letter, safe="") for letter in symbol)


def folder_to_symbol(folder: str) -> str:
    """The symbol that `symbol_to_folder` gave this name to."""
    return unquote(folder.replace("-", "/").replace("_", ":"))


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """One line of `Store.list()`: a series, its first and last bar (UTC), and how many bars and bytes it takes."""

    exchange: str
    symbol: str
    timeframe: str
    first: pd.Timestamp
    last: pd.Timestamp
    bars: int
    parts: int
    size: int


def _default_root() -> Path:
    return Path(os.environ.get("LADDER_STORE") or "store")


@dataclass(frozen=True)
class Store:
    """The candles under one folder: `root`, else the environment's LADDER_STORE, else ./store.

    Every method that takes a span reads it as `since <= bar < until`, both optional, without a zone in UTC.
    """

    root: Path = field(default_factory=_default_root)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    def list(self) -> list[StoredSeries]:
        """Every series, by exchange, symbol and timeframe; none where the folder does not exist.

        Raises:
            ValidationError: a file in a series' folder that is not a part of it, or cannot be read.
        """
        found = []
        for folder in sorted(self.root.glob("*/*/*")):
            if not folder.is_dir():
                continue
            exchange, symbol, timeframe = folder.parent.parent.name, folder_to_symbol(folder.parent.name), folder.name
            with locked(folder, shared=True):
                parts = list_parts(folder)
                bars = count_bars(parts)
                size = sum(part.path.stat().st_size for part in parts)
            if parts:
                first, last = min(part.first for part in parts), max(part.last for part in parts)
                found.append(StoredSeries(exchange, symbol, timeframe, first, last, bars, len(parts), size))
        return found

    def read(
        self, exchange: str, symbol: str, timeframe: str, *, since: Moment | None = None, until: Moment | None = None
    ) -> pd.DataFrame:
        """The stored candles: float64, indexed by opening time (UTC, ns, named "time"), in order, each bar once.

        Raises:
            ValidationError: nothing stored of it, nothing within the span, or a part that cannot be read.
        """
        folder = self.folder(exchange, symbol, timeframe)
        start = None if since is None else utc_time(since, "since")
        end = None if until is None else utc_time(until, "until")
        name = f"{exchange} {symbol} {timeframe}"
        if not folder.is_dir():
            raise ValidationError(self._absent(exchange, symbol, timeframe))
        with locked(folder, shared=True):
            parts = list_parts(folder)
            if not parts:
                raise ValidationError(self._absent(exchange, symbol, timeframe))
            wanted = [p for p in parts if (start is None or p.last >= start) and (end is None or p.first < end)]
            candles = merge([read_part(part) for part in wanted])
        if candles is not None:
            times = candles.index
            within = np.ones(len(times), dtype=np.bool_)
            if start is not None:
                within &= times >= start
            if end is not None:
                within &= times < end
            candles = candles.loc[within]
        if candles is None or candles.empty:
            first, last = min(part.first for part in parts), max(part.last for part in parts)
            raise ValidationError(
                f"{name}: no bar{_span_text(since, until)}; the store holds {bar_label(first)} to {bar_label(last)}"
            )
        return candles

    def append(
        self, exchange: str, symbol: str, timeframe: str, candles: pd.DataFrame, *, replace: bool = False
    ) -> int:
        """Add candles; those already stored with the same values are left out.

        Args:
            exchange: ccxt's id of the exchange, such as "binance".
            symbol: ccxt's unified symbol, such as "BTC/USDT".
            timeframe: the bars' length.
            candles: see `data.candles.validate_candles`; further columns are stored as well.
            replace: where a bar is stored with other values, the given ones count from now on; a stored bar keeps the
                further columns that `candles` does not have.

        Returns:
            How many bars were written.

        Raises:
            ValidationError: candles that break a rule, have a column named as the index is stored or one that Parquet
                cannot hold; or, without `replace`, a bar stored with other values. Nothing is written then.
        """
        folder = self.folder(exchange, symbol, timeframe)
        name = f"{exchange} {symbol} {timeframe}"
        fresh = clean_candles(candles, timeframe=timeframe, symbol=name)
        taken = [column for column in _TIME_COLUMNS if column in fresh.columns]
        # A category is compared and stored as the value it stands for.
        categories = [column for column in fresh.columns if isinstance(fresh[column].dtype, pd.CategoricalDtype)]
        fresh = fresh.astype({column: fresh[column].cat.categories.dtype for column in categories})
        if taken:
            raise ValidationError(
                f"{name}: column {taken[0]} would be mixed up with the index of times; drop or rename it"
            )
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            remove_leftovers(folder)
            parts = list_parts(folder)
            first, last = fresh.index[0], fresh.index[-1]
            stored = merge([read_part(p) for p in parts if p.last >= first and p.first <= last])
            if stored is not None:
                fresh = _news(stored, fresh, name, replace)
            if len(fresh):
                write_part(folder, parts[-1].sequence + 1 if parts else 1, fresh)
        return len(fresh)

    def first_bar(self, exchange: str, symbol: str, timeframe: str) -> pd.Timestamp | None:
        """Opening time of the first stored bar, UTC; None where nothing is stored. Reads file names only."""
        parts = list_parts(self.folder(exchange, symbol, timeframe))
        return min((part.first for part in parts), default=None)

    def last_bar(self, exchange: str, symbol: str, timeframe: str) -> pd.Timestamp | None:
        """Opening time of the last stored bar, UTC; None where nothing is stored. Reads file names only."""
        parts = list_parts(self.folder(exchange, symbol, timeframe))
        return max((part.last for part in parts), default=None)

    def part_count(self, exchange: str, symbol: str, timeframe: str) -> int:
        """How many files a series lies in; `compact` makes them one."""
        return len(list_parts(self.folder(exchange, symbol, timeframe)))

    def fetched(self, exchange: str, symbol: str, timeframe: str) -> tuple[Span, ...]:
        """The stretches that `note_fetched` was told of; where it never was, those that the single parts span.

        Raises:
            ValidationError: the note of them is broken.
        """
        folder = self.folder(exchange, symbol, timeframe)
        parts = list_parts(folder)
        if not parts:
            return ()
        spans = read_spans(folder)
        if spans is None:
            step = parse_timeframe(timeframe)
            spans = [(part.first, part.last + step) for part in parts]
        return tuple(join_spans(spans))

    def note_fetched(self, exchange: str, symbol: str, timeframe: str, start: pd.Timestamp, end: pd.Timestamp) -> None:
        """Note that the exchange has given all it has of `start <= bar < end`; its bars are to be stored already."""
        folder = self.folder(exchange, symbol, timeframe)
        with locked(folder):
            write_spans(folder, [*self.fetched(exchange, symbol, timeframe), (start, end)])

    def check(self, exchange: str, symbol: str, timeframe: str) -> CandleReport:
        """Every rule and every gap of one stored series.

        Raises:
            ValidationError: nothing stored of it, or a part that cannot be read.
        """
        return validate_candles(self.read(exchange, symbol, timeframe), timeframe, f"{exchange} {symbol}")

    def compact(self, exchange: str, symbol: str, timeframe: str) -> int:
        """Put a series' parts into one; returns how many there were. A kill in between loses and doubles nothing.

        Raises:
            ValidationError: a part that cannot be read, or a further column that holds values of several kinds.
        """
        folder = self.folder(exchange, symbol, timeframe)
        if not folder.is_dir():
            return 0
        with locked(folder):
            remove_leftovers(folder)
            parts = list_parts(folder)
            whole = merge([read_part(part) for part in parts]) if len(parts) > 1 else None
            if whole is not None:
                if read_spans(folder) is None:
                    # Until now the parts themselves told what has been fetched, and what lies between them has not.
                    write_spans(folder, self.fetched(exchange, symbol, timeframe))
                # The whole comes last in the order, so it counts even while the parts it replaces are still there.
                write_part(folder, parts[-1].sequence + 1, whole)
                for part in parts:
                    part.path.unlink()
                sync_folder(folder)
        return len(parts)

    def export(
        self,
        exchange: str,
        symbol: str,
        timeframe: str,
        path: str | Path,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
    ) -> Path:
        """Write a series to one file: .csv, .csv.gz, .parquet or .feather, with a column `timestamp` (ISO, UTC) first.

        `data.read_candles` reads each of them back to the same values.

        Raises:
            ValidationError: another suffix, a further column of several kinds, or what `read` raises.
        """
        target = Path(path)
        check_suffix(target)
        write_candles(self.read(exchange, symbol, timeframe, since=since, until=until), target)
        return target

    def folder(self, exchange: str, symbol: str, timeframe: str) -> Path:
        """Where a series is kept, or would be.

        Raises:
            ValidationError: no name of an exchange, an empty symbol or no timeframe.
        """
        parse_timeframe(timeframe)
        if not isinstance(exchange, str) or not _EXCHANGE.fullmatch(exchange):
            raise ValidationError(f"exchange {exchange!r}: give ccxt's id, such as 'binance'")
        if not symbol:
            raise ValidationError("symbol is empty; give ccxt's unified symbol, such as 'BTC/USDT'")
        return self.root / exchange / symbol_to_folder(symbol) / timeframe

    def _absent(self, exchange: str, symbol: str, timeframe: str) -> str:
        there = [f"{series.exchange} {series.symbol} {series.timeframe}" for series in self.list()]
        holds = f"it holds {', '.join(there[:10])}{', ...' if len(there) > 10 else ''}" if there else "it is empty"
        return (
            f"{exchange} {symbol} {timeframe} is not in the store {self.root} ({holds}); "
            f"fetch it: ladder data fetch {exchange} {symbol} {timeframe} --since 2020-01-01"
        )


def load_candles(
    exchange: str,
    symbols: str | Sequence[str],
    timeframe: str,
    *,
    store: Store | str | Path | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
) -> Market:
    """Stored candles as a `Market`: `load_candles("binance", ["BTC/USDT"], "1h", since="2024-01-01")`.

    Args:
        exchange: ccxt's id of the exchange.
        symbols: one or more of ccxt's unified symbols.
        timeframe: the bars' length.
        store: a `Store` or its folder; else the environment's LADDER_STORE, else ./store.
        since: the first bar's earliest opening time; without a zone in UTC.
        until: no bar opens at or after it.

    Raises:
        ValidationError: a symbol that is not in the store, or has no bar within the span.
    """
    from data.market import Market

    shelf = store if isinstance(store, Store) else Store() if store is None else Store(Path(store))
    names = [symbols] if isinstance(symbols, str) else list(symbols)
    frames: Mapping[str, pd.DataFrame] = {
        symbol: shelf.read(exchange, symbol, timeframe, since=since, until=until) for symbol in names
    }
    return Market.from_frames(frames, timeframe)


def _span_text(since: Moment | None, until: Moment | None) -> str:
    return (f" since {since}" if since is not None else "") + (f" before {until}" if until is not None else "")


def _news(stored: pd.DataFrame, fresh: pd.DataFrame, name: str, replace: bool) -> pd.DataFrame:
    """The bars of `fresh` that are not stored, or, with `replace`, not with these values.

    A column that `fresh` does not have says nothing: a stored bar keeps what it holds there.
    """
    known = fresh.index.isin(stored.index)
    given = fresh.loc[known]
    before = stored.loc[given.index]
    compared = before.reindex(columns=fresh.columns)
    differs = (given.ne(compared) & ~(given.isna() & compared.isna())).to_numpy(dtype=bool)
    changed = differs.any(axis=1)
    if changed.any() and not replace:
        row = int(np.argmax(changed))
        column = fresh.columns[int(np.argmax(differs[row]))]
        raise ValidationError(
            f"{name} bar {bar_label(given.index[row])}: stored {column} is {compared[column].iloc[row]}, given is "
            f"{given[column].iloc[row]} ({int(changed.sum()):,} bars differ); pass replace=True to keep the given ones"
        )
    wanted = np.ones(len(fresh), dtype=np.bool_)
    wanted[known] = changed
    kept = [column for column in stored.columns if column not in fresh.columns]
    return fresh.loc[wanted].join(before[kept]) if kept and changed.any() else fresh.loc[wanted]
