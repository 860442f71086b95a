"""Candles from an exchange into the store, by ccxt: page by page, so that a stop at any moment costs one page at most.

    fetch_candles("binance", "BTC/USDT", "1h", since="2020-01-01")

What is asked for: the stretches of `since` to `until` that the store does not have yet, up to the last bar that has
closed by the exchange's own clock. Each page is checked, stored, and only then noted as fetched. A stretch without bars
counts as fetched once a later bar has come: what is missing at the end is asked for again next time.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from data.candles import CANDLE_COLUMNS, CandleReport, Gap, bar_label, clean_candles
from data.coverage import uncovered
from data.errors import FetchError, ValidationError
from data.store import Moment, Store
from data.timeframe import grid_origin, parse_timeframe, utc_time

_LOG: Final = logging.getLogger("ladder.data")
_USUAL_PAGE: Final = 500  # bars a page, for the few exchanges of which ccxt does not say
_MANY_PARTS: Final = 100  # a part per page: beyond this many they are put into one
_MILLISECOND: Final = pd.Timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a request is tried and how long is waited between: doubling from `first_wait`, seconds, with jitter."""

    attempts: int = 8
    first_wait: float = 1.0
    longest_wait: float = 60.0


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a fetch did: bars written, and the whole stored series' check with its gaps."""

    added: int
    candles: CandleReport

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Stretches without bars within the stored series."""
        return self.candles.gaps

    def __str__(self) -> str:
        return f"{self.added:,} bars added\n{self.candles}"


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
        exchange: ccxt's id of an exchange, such as "binance", or a synchronous ccxt client.
        symbol: ccxt's unified symbol, such as "BTC/USDT" or "BTC/USDT:USDT".
        timeframe: the bars' length, one that the exchange has.
        since: the first bar's earliest opening time, without a zone in UTC; may be left out once something is stored.
        until: no bar opens at or after it; else up to the last closed bar. The bar still open is never stored.
        store: a `Store` or its folder; else the environment's LADDER_STORE, else ./store.
        progress: show a progress bar on the standard error output.
        drop_invalid: leave out bars that break a rule, see `data.candles.clean_candles`, instead of stopping.
        replace: where a bar is stored with other values, take the exchange's, instead of stopping.
        retry: how to wait where the network or the exchange fails for a while; `Retry()` by default.

    Raises:
        ValidationError: an unknown exchange, symbol or timeframe; a span without a closed bar; a bar that breaks a rule
            or is stored with other values (the page it is in is not stored).
        FetchError: the exchange refused, or kept failing; what had arrived is stored and the next call goes on there.
    """
    step = parse_timeframe(timeframe)
    shelf = store if isinstance(store, Store) else Store() if store is None else Store(Path(store))
    source = _Source.open(exchange, symbol, timeframe, retry or Retry())
    start, end = _span(source, shelf, since, until)
    holes = uncovered(shelf.fetched(source.id, symbol, timeframe), start, end)
    series = (source.id, symbol, timeframe)
    added = 0
    with _progress_bar(progress, f"{source.id} {symbol} {timeframe}", holes, step) as advance:
        for first, stop in holes:
            cursor = first
            while cursor < stop:
                page = source.page(cursor, end)
                reach = min(cursor + source.limit * step, stop)
                inside = page.loc[page.index < reach]
                if len(inside):
                    candles = clean_candles(
                        inside, timeframe=timeframe, symbol=f"{source.id} {symbol}", drop_invalid=drop_invalid
                    )
                    added += shelf.append(*series, candles, replace=replace)
                    following = _floor(inside.index.max(), timeframe) + step
                    shelf.note_fetched(*series, first, following)
                elif len(page) > 1:
                    # Binance and others answer a stretch without bars with the bars after it. A single bar proves
                    # nothing: some exchanges add their newest one to every page.
                    following = min(_floor(page.index.min(), timeframe), stop)
                else:
                    following = reach
                advance(following - cursor)
                cursor = following
            if stop < end and shelf.last_bar(*series) is not None:
                shelf.note_fetched(*series, first, stop)
    if shelf.last_bar(*series) is None:
        raise FetchError(
            f"{source.id} {symbol} {timeframe}: the exchange gave no bar from {bar_label(start)} to {bar_label(end)}; "
            "ask for a later since"
        )
    if len(list(shelf.folder(*series).glob("*.parquet"))) > _MANY_PARTS:
        shelf.compact(*series)
    return FetchReport(added, shelf.check(*series))


@dataclass(frozen=True, slots=True)
class _Source:
    """One symbol's candles at one exchange; every request is tried again while the fault may pass."""

    client: Any
    symbol: str
    timeframe: str
    limit: int
    retry: Retry

    @property
    def id(self) -> str:
        return str(self.client.id)

    @classmethod
    def open(cls, exchange: str | Any, symbol: str, timeframe: str, retry: Retry) -> _Source:
        client = _client(exchange) if isinstance(exchange, str) else exchange
        if client.has.get("fetchOHLCV") is not True:
            raise ValidationError(f"{client.id}: ccxt can fetch no candles from it; choose another exchange")
        if timeframe not in (client.timeframes or {}):
            raise ValidationError(
                f"{client.id} has no timeframe {timeframe}; it has {', '.join(client.timeframes or {})}"
            )
        _patiently(retry, client.id, client.load_markets)
        if symbol not in client.markets:
            close = difflib.get_close_matches(symbol, list(client.markets), n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else "use ccxt's unified form, such as BTC/USDT"
            raise ValidationError(f"{client.id} has no symbol {symbol!r}; {hint}")
        limit = client.feature_value(symbol, "fetchOHLCV", "limit", _USUAL_PAGE) or _USUAL_PAGE
        return cls(client, symbol, timeframe, int(limit), retry)

    def now(self) -> pd.Timestamp:
        """The exchange's clock where it shows it, else ours."""
        if self.client.has.get("fetchTime") is True:
            milliseconds = _patiently(self.retry, self.id, self.client.fetch_time)
        else:
            milliseconds = self.client.milliseconds()
        return pd.Timestamp(int(milliseconds), unit="ms", tz="UTC").as_unit("ns")

    def page(self, since: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """The bars the exchange answers with, those of `since <= bar < end`, as they came but for exact repetitions."""
        place = f"{self.id} {self.symbol} {self.timeframe} from {bar_label(since)}"
        milliseconds = (since - pd.Timestamp(0, tz="UTC")) // _MILLISECOND
        fetch = self.client.fetch_ohlcv
        rows = _patiently(self.retry, place, fetch, self.symbol, self.timeframe, milliseconds, self.limit)
        for row in rows:
            if len(row) < 6 or not isinstance(row[0], int | float):
                raise ValidationError(
                    f"{place}: the exchange sent {row!r} for a bar: [time, open, high, low, close, volume]"
                )
        table = pd.DataFrame([row[:6] for row in rows], columns=["time", *CANDLE_COLUMNS]).drop_duplicates()
        times = pd.DatetimeIndex(pd.to_datetime(table.pop("time").astype("int64"), unit="ms", utc=True), name="time")
        table = table.astype("float64").set_index(times.as_unit("ns"))
        return table.loc[(times >= since) & (times < end)].sort_index(kind="stable")


def _client(exchange: str) -> Any:
    import ccxt

    if exchange not in ccxt.exchanges:
        close = difflib.get_close_matches(exchange, ccxt.exchanges, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see ccxt.exchanges for those there are"
        raise ValidationError(f"exchange {exchange!r} is unknown to ccxt; {hint}")
    return getattr(ccxt, exchange)({"enableRateLimit": True})


def _span(
    source: _Source, shelf: Store, since: Moment | None, until: Moment | None
) -> tuple[pd.Timestamp, pd.Timestamp]:
    """From the first opening time asked for to the end of the last closed bar, or to `until`."""
    name = f"{source.id} {source.symbol} {source.timeframe}"
    step = parse_timeframe(source.timeframe)
    if since is not None:
        start = _ceil(utc_time(since, "since"), source.timeframe)
    else:
        stored = shelf.fetched(source.id, source.symbol, source.timeframe)
        if not stored:
            raise ValidationError(f"{name}: nothing is stored of it yet; say from when, such as since 2020-01-01")
        start = stored[0][0]
    end = _floor(source.now(), source.timeframe)
    if until is not None:
        end = min(end, _ceil(utc_time(until, "until"), source.timeframe))
    if start + step > end:
        raise ValidationError(
            f"{name}: no bar has closed from {bar_label(start)} to {bar_label(end)}; ask for an earlier since"
        )
    return start, end


def _floor(moment: pd.Timestamp, timeframe: str) -> pd.Timestamp:
    """The opening time of the bar that `moment` lies in."""
    step, origin = parse_timeframe(timeframe), grid_origin(timeframe)
    return origin + (moment - origin) // step * step


def _ceil(moment: pd.Timestamp, timeframe: str) -> pd.Timestamp:
    """The first opening time at or after `moment`."""
    opening = _floor(moment, timeframe)
    return opening if opening == moment else opening + parse_timeframe(timeframe)


def _patiently(retry: Retry, place: str, request: Callable[..., Any], *arguments: Any) -> Any:
    """A request's answer; faults that may pass are waited out, by doubling, the others are raised in our words."""
    import ccxt
    import tenacity

    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((ccxt.NetworkError, ccxt.BadResponse)),
        wait=tenacity.wait_exponential(multiplier=retry.first_wait, max=retry.longest_wait)
        + tenacity.wait_random(0, retry.first_wait),
        stop=tenacity.stop_after_attempt(retry.attempts),
        before_sleep=tenacity.before_sleep_log(_LOG, logging.WARNING),
        reraise=True,
    )
    try:
        return attempts(_readable, request, *arguments)
    except (ccxt.NetworkError, ccxt.BadResponse) as error:
        raise FetchError(
            f"{place}: gave up after {retry.attempts} attempts ({type(error).__name__}: {error}); "
            "what had arrived is stored, run the same fetch again to go on"
        ) from error
    except ccxt.BadSymbol as error:
        raise ValidationError(f"{place}: the exchange does not know the symbol ({error})") from error
    except ccxt.AuthenticationError as error:
        raise FetchError(f"{place}: the exchange asks for valid keys or refuses this caller ({error})") from error
    except ccxt.BaseError as error:
        raise FetchError(f"{place}: the exchange refused ({type(error).__name__}: {error})") from error


def _readable(request: Callable[..., Any], *arguments: Any) -> Any:
    """The answer, or BadResponse where ccxt stumbles over a body that was cut off or is no answer at all."""
    import ccxt

    try:
        return request(*arguments)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise ccxt.BadResponse(f"the answer cannot be read ({type(error).__name__}: {error})") from error


@contextmanager
def _progress_bar(
    shown: bool, title: str, holes: list[tuple[pd.Timestamp, pd.Timestamp]], step: pd.Timedelta
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
