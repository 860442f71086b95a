"""What an account is fit for, seen before anything is traded: what its key may do, what it holds, how it rounds.

seen = await look_at_account(exchange, ["BTC/USDT"], cash=1_000.0)
seen.lacking         # in words; empty where nothing stands in the way
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from data.candles import CANDLE_COLUMNS
from data.errors import ValidationError
from data.market import Market
from data.timeframe import parse_timeframe
from engine.live.bars import Bar, bar_of
from engine.live.books import currencies
from engine.live.calls import answered
from engine.live.clock import ExchangeClock
from engine.live.permission import is_rehearsal
from engine.live.safety import refuse_withdrawals
from engine.paper_stream import market_of
from engine.venue import Venue

_NS_PER_MS: Final = 1_000_000
_PAGE: Final = 1_000  # candles in one answer, at most


@dataclass(frozen=True)
class AccountSeen:
    """What an exchange has told of an account.

    Attributes:
        exchange: in ccxt.
        rehearsal: whether it is one on this machine.
        may: what its key may do.
        free: of the quote currency.
        quote: that currency.
        ahead: seconds by which this machine's clock is ahead of the exchange's.
        venues: rules by symbol.
        lacking: what stands in the way of trading on it, in words.
    """

    exchange: str
    rehearsal: bool
    may: str
    free: float
    quote: str
    ahead: float
    venues: Mapping[str, Venue]
    lacking: tuple[str, ...]

    def __str__(self) -> str:
        steps = ", ".join(f"{symbol} step {venue.amount_step:g}" for symbol, venue in self.venues.items())
        where = f"{self.exchange} (rehearsal)" if self.rehearsal else self.exchange
        return f"{where}: {self.may}; {self.free:,.2f} {self.quote} free; clock {self.ahead:+.1f} s; {steps}"


async def look_at_account(exchange: Any, symbols: Sequence[str], cash: float) -> AccountSeen:
    """Ask an exchange; nothing is sent that changes anything.

    Args:
        exchange: of ccxt, with its key.
        symbols: that are to be traded, all of one quote currency.
        cash: that the strategy is to use, quote currency.

    Raises:
        ccxt's error: it does not answer, or does not know the key.
    """
    lacking, may = [], "what the key may do was not asked"
    await answered(exchange.load_markets)
    times = ExchangeClock(exchange)
    try:
        await answered(times.check)
    except ValidationError as error:
        lacking.append(str(error))
    try:
        may = await answered(lambda: refuse_withdrawals(exchange))
    except ValidationError as error:
        may = "the key may withdraw"
        lacking.append(str(error))
    balance = await answered(exchange.fetch_balance)
    quote = currencies(symbols[0])[1]
    free = float((balance.get(quote) or {}).get("free") or 0.0)
    if dict(balance.get("info") or {}).get("canTrade") is False:
        lacking.append(f"{exchange.id}: the key may not trade")
    if free < cash:
        lacking.append(
            f"{exchange.id}: {free:,.2f} {quote} are free, the card's cash is {cash:,.2f}; pay in, or trade less"
        )
    venues = {}
    for symbol in symbols:
        if symbol not in exchange.markets:
            lacking.append(f"{exchange.id}: has no market {symbol}")
            continue
        venue = Venue.from_ccxt(exchange.market(symbol), precision_mode=exchange.precisionMode)
        venues[symbol] = venue
        if not venue.amount_step > 0.0:
            lacking.append(f"{exchange.id}: does not tell the step of {symbol}'s amounts")
    return AccountSeen(
        exchange=str(exchange.id),
        rehearsal=is_rehearsal(exchange),
        may=may,
        free=free,
        quote=quote,
        ahead=times.ahead,
        venues=venues,
        lacking=tuple(lacking),
    )


async def candles_told(exchange: Any, symbols: Sequence[str], timeframe: str, first: int, last: int) -> Market:
    """The closed bars that opened from one time to another, as an exchange tells them now.

    Args:
        exchange: of ccxt; it is asked for public data alone.
        symbols: as ccxt names them.
        timeframe: of the bars.
        first: opening time of the first bar, ns.
        last: of the last one, ns.

    Raises:
        ccxt's error: it does not answer.
        ValidationError: it has none of them.
    """
    await answered(exchange.load_markets)
    step = parse_timeframe(timeframe).value // _NS_PER_MS
    rows: dict[int, dict[str, Bar]] = {}
    for symbol in symbols:
        since = first // _NS_PER_MS
        while since <= last // _NS_PER_MS:
            page = await answered(partial(exchange.fetch_ohlcv, symbol, timeframe, since, _PAGE))
            fresh = [row for row in page if since <= row[0] <= last // _NS_PER_MS]
            if not fresh:
                break
            for row in fresh:
                rows.setdefault(int(row[0]) * _NS_PER_MS, {})[symbol] = bar_of(row)
            since = int(fresh[-1][0]) + step
    if not rows:
        raise ValidationError(f"{exchange.id}: tells no bar of {', '.join(symbols)} {timeframe} of that time any more")
    times = sorted(rows)
    missing = (float("nan"),) * len(CANDLE_COLUMNS)
    values = [np.array([rows[time].get(symbol, missing) for symbol in symbols]).T for time in times]
    return market_of(times, values, symbols, timeframe)
