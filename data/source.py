"""One symbol's candles at one exchange, through ccxt: opening a client, asking patiently, walking from page to page.

A fault that may pass (a cut connection, a timeout, 5xx, 429, an answer that is no JSON) is waited out, by doubling, and
by the exchange's own Retry-After where it sends one. A refusal (403, 404, 451, an unknown symbol) is raised at once.
"""

from __future__ import annotations

import difflib
import email.utils
import inspect
import json
import logging
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from data.candles import CANDLE_COLUMNS, bar_label
from data.errors import FetchError, LadderError, ValidationError
from data.timeframe import floor_time, parse_timeframe

_LOG: Final = logging.getLogger("ladder.data")
_USUAL_PAGE: Final = 500  # bars a page, for the few exchanges of which ccxt does not say
_MILLISECOND: Final = pd.Timedelta(milliseconds=1)
_LAST_MILLISECOND: Final = pd.Timestamp.max.value // 10**6
_PASSING_REFUSALS: Final = (408, 418, 425, 429)  # of the statuses 4xx those that pass with time
_SHOWN: Final = 300  # letters of an exchange's own words: some answer with a whole web page


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a request is tried and how long is waited between: doubling from `first_wait`, seconds, with jitter.

    An exchange that asks for a longer pause than `longest_wait` is not asked again: the fetch stops and says so.
    """

    attempts: int = 8
    first_wait: float = 1.0
    longest_wait: float = 60.0


def open_client(exchange: str, settings: Mapping[str, Any] | None = None) -> Any:
    """A synchronous ccxt client with its rate limiter on.

    Args:
        exchange: ccxt's id, such as "binance".
        settings: what ccxt's constructor takes, such as {"httpsProxy": "http://127.0.0.1:3128"}, a mirror's address
            under "urls", "timeout" in milliseconds, or "options". Nested mappings are merged into ccxt's own.

    Raises:
        ValidationError: ccxt does not know the exchange or a setting; names the ones that come close.
    """
    import ccxt

    if exchange not in ccxt.exchanges:
        hint = _close(exchange, ccxt.exchanges) or "see ccxt.exchanges for those there are"
        raise ValidationError(f"exchange {exchange!r} is unknown to ccxt; {hint}")
    kind = getattr(ccxt, exchange)
    given = dict(settings or {})
    plain = kind()
    for name in given:
        if not hasattr(plain, name):
            known = [word for word in dir(plain) if not word.startswith("_") and not callable(getattr(plain, word))]
            hint = _close(name, known) or "see ccxt's manual, 'Exchange Properties'"
            raise ValidationError(f"ccxt's {exchange} has no setting {name!r}; {hint}")
    return kind({"enableRateLimit": True, **given})


def read_settings(path: str | Path) -> dict[str, Any]:
    """Settings for `open_client` from a JSON file: one object, its keys ccxt's names.

    Raises:
        ValidationError: the file cannot be read, or holds no JSON object.
    """
    file = Path(path)
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValidationError(f"{file}: cannot be read as JSON ({error})") from error
    if not isinstance(settings, dict):
        raise ValidationError(f'{file}: holds {type(settings).__name__}, not an object such as {{"timeout": 30000}}')
    return settings


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: the bars it adds, in order, and the opening time to go on from."""

    bars: pd.DataFrame
    following: pd.Timestamp


@dataclass(frozen=True, slots=True)
class Source:
    """One symbol's candles at one exchange. `limit` is how many bars a page may hold by ccxt's account."""

    client: Any
    symbol: str
    timeframe: str
    limit: int
    retry: Retry

    @property
    def id(self) -> str:
        """ccxt's id of the exchange."""
        return str(self.client.id)

    @property
    def name(self) -> str:
        """Exchange, symbol and timeframe, as messages begin."""
        return f"{self.id} {self.symbol} {self.timeframe}"

    @classmethod
    def open(cls, exchange: str | Any, symbol: str, timeframe: str, retry: Retry) -> Source:
        """Look exchange, symbol and timeframe up.

        Raises:
            ValidationError: one of them is unknown, or ccxt can fetch no candles there.
            FetchError: the exchange's list of markets cannot be had.
        """
        client = open_client(exchange) if isinstance(exchange, str) else exchange
        if inspect.iscoroutinefunction(getattr(client, "fetch_ohlcv", None)):
            raise ValidationError(
                f"{client.id}: the client is asynchronous; pass one of ccxt, not of ccxt.async_support"
            )
        if client.has.get("fetchOHLCV") is not True:
            raise ValidationError(f"{client.id}: ccxt can fetch no candles from it; choose another exchange")
        if timeframe not in (client.timeframes or {}):
            raise ValidationError(
                f"{client.id} has no timeframe {timeframe}; it has {', '.join(client.timeframes or {})}"
            )
        _patiently(retry, f"{client.id} markets", _load_markets, client, False)
        if symbol not in client.markets:
            # One of several lists may have come back broken, which ccxt takes for an empty one: ask once more.
            _patiently(retry, f"{client.id} markets", _load_markets, client, True)
        if symbol not in client.markets:
            hint = _close(symbol, list(client.markets)) or "use ccxt's unified form, such as BTC/USDT"
            raise ValidationError(f"{client.id} has no symbol {symbol!r}; {hint}")
        limit = client.feature_value(symbol, "fetchOHLCV", "limit", _USUAL_PAGE) or _USUAL_PAGE
        return cls(client, symbol, timeframe, int(limit), retry)

    def now(self) -> pd.Timestamp:
        """The exchange's clock: by its own endpoint, else by the Date of an answer; ours if it shows none."""
        if self.client.has.get("fetchTime") is True:
            milliseconds = _patiently(self.retry, f"{self.id} clock", _clock, self.client)
            return pd.Timestamp(milliseconds, unit="ms", tz="UTC").as_unit("ns")
        # A clock of ours that is fast would take the open bar for a closed one, and nothing would ever correct it.
        _patiently(self.retry, f"{self.name} newest bar", self._rows, None, 1)
        date = (getattr(self.client, "last_response_headers", None) or {}).get("Date")
        moment = pd.Timestamp(self.client.milliseconds(), unit="ms", tz="UTC")
        if date is not None:
            moment = pd.Timestamp(email.utils.parsedate_to_datetime(date)).tz_convert("UTC")
        return moment.as_unit("ns")

    def pages(self, first: pd.Timestamp, stop: pd.Timestamp, end: pd.Timestamp, *, begun: bool) -> Iterator[Page]:
        """All bars of `first <= bar < stop`, page by page; `end` is where the last closed bar ends.

        With `begun` the series has bars before `first`: a page without any is then asked for once more before it is
        believed.
        """
        step = parse_timeframe(self.timeframe)
        cursor = first
        while cursor < stop:
            answer = self._page(cursor, end)
            if answer.empty and begun:
                time.sleep(self.retry.first_wait)
                answer = self._page(cursor, end)
            reach = min(cursor + self.limit * step, stop)
            bars = answer.loc[answer.index < reach]
            if len(bars):
                begun = True
                cursor = floor_time(bars.index[-1], self.timeframe) + step
            elif len(answer) > 1:
                # Binance and others answer a stretch without bars with the bars after it. A single bar proves
                # nothing: some exchanges add their newest one to every page.
                cursor = min(floor_time(answer.index[0], self.timeframe), stop)
            else:
                cursor = reach
            yield Page(bars, cursor)

    def _page(self, since: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """The bars of one answer with `since <= bar < end`, in order, as they came but for exact repetitions."""
        milliseconds = (since - pd.Timestamp(0, tz="UTC")) // _MILLISECOND
        place = f"{self.name} from {bar_label(since)}"
        rows = _patiently(self.retry, place, self._rows, milliseconds, self.limit)
        table = pd.DataFrame([row[:6] for row in rows], columns=["time", *CANDLE_COLUMNS]).drop_duplicates()
        times = pd.DatetimeIndex(pd.to_datetime(table.pop("time").astype("int64"), unit="ms", utc=True), name="time")
        table = table.astype("float64").set_index(times.as_unit("ns"))
        return table.loc[(times >= since) & (times < end)].sort_index(kind="stable")

    def _rows(self, since: int | None, limit: int) -> list[list[Any]]:
        """ccxt's rows: [milliseconds, open, high, low, close, volume]; BadResponse where they are none."""
        import ccxt

        rows: list[list[Any]] = self.client.fetch_ohlcv(self.symbol, self.timeframe, since, limit)
        for row in rows:
            if len(row) < 6 or not isinstance(row[0], int | float) or not 0 <= row[0] <= _LAST_MILLISECOND:
                raise ccxt.BadResponse(f"sent {row!r} for a bar: [milliseconds, open, high, low, close, volume]")
        answer = getattr(self.client, "last_http_response", None)
        if not rows and isinstance(answer, str) and not _tells_of_no_bar(answer):
            # ccxt reads a web page, half an answer and much else as an answer without bars.
            raise ccxt.BadResponse(f"sent no candles but {answer!r}")
        return rows


def _load_markets(client: Any, reload: bool) -> None:
    import ccxt

    client.load_markets(reload)
    if not client.markets:
        raise ccxt.BadResponse("the list of markets is empty")


def _close(word: str, words: list[str]) -> str:
    close = difflib.get_close_matches(word, words, n=3)
    return f"did you mean {' or '.join(close)}?" if close else ""


def _clock(client: Any) -> int:
    return int(client.fetch_time())  # None, where ccxt found no time in the answer, is asked for again as well


def _tells_of_no_bar(text: str) -> bool:
    """Whether an answer that ccxt found no bar in may be meant so: JSON with a list, or a null in its place.

    Rows in it, which ccxt leaves out where they lie before the time asked for, must begin with a number.
    """
    try:
        answer = json.loads(text)
    except ValueError:
        return False
    parts = list(_parts_of(answer)) if isinstance(answer, list | dict) else []
    heads = [row[0] for part in parts if isinstance(part, list) for row in part if isinstance(row, list) and row]
    return any(part is None or isinstance(part, list) for part in parts) and all(map(_is_number, heads))


def _parts_of(answer: Any) -> Iterator[Any]:
    """A JSON value and all that it holds."""
    yield answer
    if isinstance(answer, list | dict):
        for part in answer.values() if isinstance(answer, dict) else answer:
            yield from _parts_of(part)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _patiently(retry: Retry, place: str, request: Callable[..., Any], *arguments: Any) -> Any:
    """A request's answer; faults that may pass are waited out, the others are raised in our words."""
    import ccxt
    import tenacity

    backoff = tenacity.wait_exponential(multiplier=retry.first_wait, max=retry.longest_wait)
    jitter = tenacity.wait_random(0, retry.first_wait)

    def wait(state: tenacity.RetryCallState) -> float:
        asked = _pause_asked_for(state.outcome.exception() if state.outcome else None)
        return jitter(state) + (backoff(state) if asked is None else asked)

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        seconds = state.next_action.sleep if state.next_action else 0.0
        attempt = f"attempt {state.attempt_number} of {retry.attempts} failed"
        _LOG.warning("%s: %s (%s); asking again in %.1f s", place, attempt, _brief(error), seconds)

    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: _may_pass(error) and not _too_long(error, retry)),
        wait=wait,
        stop=tenacity.stop_after_attempt(retry.attempts),
        before_sleep=tell,
        reraise=True,
    )
    try:
        return attempts(_readable, request, *arguments)
    except ccxt.BaseError as error:
        raise _in_our_words(error, place, retry) from error


def _readable(request: Callable[..., Any], *arguments: Any) -> Any:
    """The answer, or BadResponse where ccxt stumbles over a body that was cut off or is no answer at all."""
    import ccxt

    try:
        return request(*arguments)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise ccxt.BadResponse(f"the answer cannot be read ({type(error).__name__}: {error})") from error


def _may_pass(error: BaseException | None) -> bool:
    """Whether to ask again. ccxt's class says so, but it takes any 4xx for 'not available', some 5xx for refusals."""
    import ccxt

    response = _response(error)
    status = 0 if response is None else int(response.status_code)
    if status >= 500 or status in _PASSING_REFUSALS:
        return isinstance(error, ccxt.BaseError)
    return isinstance(error, ccxt.OperationFailed) and not (type(error) is ccxt.ExchangeNotAvailable and status >= 400)


def _too_long(error: BaseException | None, retry: Retry) -> bool:
    return (_pause_asked_for(error) or 0.0) > retry.longest_wait


def _pause_asked_for(error: BaseException | None) -> float | None:
    """Seconds that an answer's Retry-After asks for, given as seconds or as a date; None where there is none."""
    response = _response(error)
    text = "" if response is None else response.headers.get("Retry-After", "").strip()
    try:
        return float(text) if text.isdigit() else max(0.0, _seconds_until(text))
    except (TypeError, ValueError):
        return None


def _seconds_until(date: str) -> float:
    return (pd.Timestamp(email.utils.parsedate_to_datetime(date)) - pd.Timestamp.now("UTC")).total_seconds()


def _response(error: BaseException | None) -> Any:
    """The HTTP answer that an error of ccxt was raised over: ccxt raises while it handles the HTTP library's."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None and hasattr(response, "status_code"):
            return response
        error = error.__cause__ or error.__context__
    return None


def _brief(error: BaseException | None) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {error}", _SHOWN, placeholder=" ...")


def _in_our_words(error: Exception, place: str, retry: Retry) -> LadderError:
    import ccxt

    again = "what had arrived is stored, run the same fetch again to go on"
    asked = _pause_asked_for(error)
    if _may_pass(error) and asked is not None and _too_long(error, retry):
        return FetchError(
            f"{place}: the exchange asks for a pause of {asked:,.0f} s ({_brief(error)}); {again} after it"
        )
    if _may_pass(error):
        tries = "1 attempt" if retry.attempts == 1 else f"{retry.attempts} attempts"
        return FetchError(f"{place}: gave up after {tries} ({_brief(error)}); {again}")
    if isinstance(error, ccxt.BadSymbol):
        return ValidationError(f"{place}: the exchange does not know the symbol ({_brief(error)})")
    if isinstance(error, ccxt.AuthenticationError):
        return FetchError(f"{place}: the exchange asks for valid keys or refuses this caller ({_brief(error)})")
    return FetchError(f"{place}: the exchange refused ({_brief(error)}); {again} once it lets you")
