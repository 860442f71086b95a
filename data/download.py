"""Candles from an exchange into the store, by ccxt: page by page, so that a stop at any moment costs one page at most.

    fetch_candles("binance", "BTC/USDT", "1h", since="2020-01-01")

What is asked for: the stretches of `since` to `until` that the store does not have yet, up to the last bar that has
closed by the exchange's own clock. Each page is checked, stored, and only then noted as fetched. A stretch without bars
counts as fetched once a later bar has come: what is missing at the end is asked for again next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from data.candles import CandleReport, Finding, Gap, bar_label, listing, validate_candles
from data.coverage import Span, uncovered
from data.errors import FetchError, ValidationError
from data.source import Retry, Source
from data.store import Moment, Store
from data.timeframe import ceil_time, floor_time, parse_timeframe, utc_time

_MANY_PARTS: Final = 100  # a part per page: beyond this many they are put into one


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a fetch did, and the check of the whole stored series.

    Attributes:
        added: bars written.
        candles: every rule and every gap of the series as it is stored now.
        dropped: what was wrong with the bars that `drop_invalid` left out.
        late_start: the opening time asked for and the first one had, where the exchange had nothing in between.
    """

    added: int
    candles: CandleReport
    dropped: tuple[Finding, ...] = ()
    late_start: Span | None = None

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Stretches without bars within the stored series."""
        return self.candles.gaps

    def __str__(self) -> str:
        lines = ["1 bar added" if self.added == 1 else f"{self.added:,} bars added", str(self.candles)]
        if self.late_start is not None:
            asked, first = self.late_start
            lines.append(f"the exchange gave no bar from {bar_label(asked)} to {bar_label(first)}")
        if self.dropped:
            lines.append(f"left out for breaking a rule:\n  {listing(self.dropped)}")
        return "\n".join(lines)


def fetch_candles(
    exchange: str | Any,
    symbol: str,
    timeframe: str,
    since: Moment | None = None,
    until: Moment | None = None,
    *,
    store: Store | str | Path | None = None,
    progress: bool = False,
    drop_invalid: bool = False,
    replace: bool = False,
    retry: Retry | None = None,
) -> FetchReport:
    """Bring the store up to date with an exchange; begins where the last fetch ended, however that one ended.

    Args:
        exchange: ccxt's id of an exchange, such as "binance", or a synchronous ccxt client (`data.source.open_client`).
        symbol: ccxt's unified symbol, such as "BTC/USDT" or "BTC/USDT:USDT".
        timeframe: the bars' length, one that the exchange has.
        since: the first bar's earliest opening time, without a zone in UTC; may be left out once something is stored.
        until: no bar opens at or after it; else up to the last closed bar. The bar still open is never stored.
        store: a `Store` or its folder; else the environment's LADDER_STORE, else ./store.
        progress: show a progress bar on the standard error output.
        drop_invalid: leave out bars that break a rule, see `data.candles.clean_candles`, instead of stopping.
        replace: ask for the whole span anew, what is stored as well, and take the exchange's bars where they differ.
            It fills gaps that the exchange has mended since.
        retry: how to wait where the network or the exchange fails for a while; `Retry()` by default.

    Raises:
        ValidationError: an unknown exchange, symbol or timeframe; a span without a closed bar; a bar that breaks a rule
            or is stored with other values (the page it is in is not stored).
        FetchError: the exchange refused, or kept failing; what had arrived is stored and the next call goes on there.
    """
    step = parse_timeframe(timeframe)
    shelf = store if isinstance(store, Store) else Store() if store is None else Store(Path(store))
    source = Source.open(exchange, symbol, timeframe, retry or Retry())
    series = (source.id, symbol, timeframe)
    start, end = _span(source, shelf, since, until)
    holes = [(start, end)] if replace else uncovered(shelf.fetched(*series), start, end)
    first_bar = shelf.first_bar(*series)
    parts = shelf.part_count(*series)
    added = 0
    dropped: list[Finding] = []
    with _progress_bar(progress, source.name, holes, step) as advance:
        for first, stop in holes:
            begun = first_bar is not None and first_bar < first
            cursor = first
            for page in source.pages(first, stop, end, begun=begun):
                bars, faults = _sound(page.bars, source, drop_invalid=drop_invalid)
                dropped += faults
                if len(bars):
                    added += _append(shelf, series, bars, replace=replace)
                    first_bar = bars.index[0] if first_bar is None else min(first_bar, bars.index[0])
                    parts += 1
                if len(page.bars) and first_bar is not None:
                    shelf.note_fetched(*series, first, page.following)
                if parts > _MANY_PARTS:
                    shelf.compact(*series)
                    parts = 1
                advance(page.following - cursor)
                cursor = page.following
            if stop < end and first_bar is not None:
                shelf.note_fetched(*series, first, stop)
    if first_bar is None:
        raise FetchError(
            f"{source.name}: the exchange gave no {'valid ' if dropped else ''}bar from {bar_label(start)} to "
            f"{bar_label(end)}; ask for a later since"
        )
    late = (start, min(first_bar, end)) if since is not None and start < first_bar else None
    return FetchReport(added, shelf.check(*series), tuple(dropped), late)


def _sound(bars: pd.DataFrame, source: Source, *, drop_invalid: bool) -> tuple[pd.DataFrame, tuple[Finding, ...]]:
    """A page's bars that keep every rule, and what is wrong with the others."""
    report = validate_candles(bars, source.timeframe, f"{source.id} {source.symbol}")
    if bars.empty or report.ok:
        return bars, ()
    if not drop_invalid:
        raise ValidationError(
            f"{listing(report.findings)}; so the exchange sent it. What came before is stored; to leave such bars out "
            "and go on, pass drop_invalid=True (--drop-invalid)"
        )
    return bars.loc[~bars.index.isin([finding.bar for finding in report.findings])], report.findings


def _append(shelf: Store, series: tuple[str, str, str], bars: pd.DataFrame, *, replace: bool) -> int:
    try:
        return shelf.append(*series, bars, replace=replace)
    except ValidationError as error:
        raise ValidationError(f"{error} (--replace); what came before is stored") from error


def _span(
    source: Source, shelf: Store, since: Moment | None, until: Moment | None
) -> tuple[pd.Timestamp, pd.Timestamp]:
    """From the first opening time asked for to the end of the last closed bar, or to `until`."""
    step = parse_timeframe(source.timeframe)
    if since is not None:
        start = ceil_time(utc_time(since, "since"), source.timeframe)
    else:
        stored = shelf.fetched(source.id, source.symbol, source.timeframe)
        if not stored:
            raise ValidationError(
                f"{source.name}: nothing is stored of it yet; say from when, such as since=2020-01-01 (--since)"
            )
        start = stored[0][0]
    latest = floor_time(source.now(), source.timeframe)
    end = latest if until is None else min(latest, ceil_time(utc_time(until, "until"), source.timeframe))
    if start + step > end:
        what = "no bar opens" if end < latest else "no bar has closed"
        raise ValidationError(
            f"{source.name}: {what} from {bar_label(start)} to {bar_label(end)}; ask for an earlier since"
        )
    return start, end


@contextmanager
def _progress_bar(
    shown: bool, title: str, holes: list[Span], step: pd.Timedelta
) -> Iterator[Callable[[pd.Timedelta], None]]:
    """A function that is told of each stretch of time done with."""
    if not shown:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    total = int(sum((stop - start) // step for start, stop in holes))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("bars"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.advance(task, done // step)
