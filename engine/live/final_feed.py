"""A candle feed whose closed bars are certain to be final: the exchange has said so of each, or is asked by REST.

A candle's last message may come after the next candle of another symbol has begun, or not at all; what the stream told
of it until then is a part of it. Binance and Bybit mark a candle's last message, and ccxt keeps the candle without the
mark: it is read here as the message goes by. A bar whose last message has not come, and every bar of an exchange whose
messages are not known, is fetched by REST before it is given out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from data.market import Market
from engine.live.bars import Bar, bar_of
from engine.live.feed import CandleFeed, Turn

_NS_PER_MS: Final = 1_000_000
_KEPT: Final = 3  # bars of a symbol whose last message is remembered


class FinalFeed(CandleFeed):
    """`CandleFeed`, its bars final.

    Attributes:
        asked: bars that REST was asked for because their last message had not come.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked = 0
        self._final: dict[str, dict[int, Bar]] = {symbol: {} for symbol in self.symbols}
        self._handle = self._exchange.handle_ohlcv
        self._by_id: dict[str, str] = {}

    async def start(self, rows: int) -> Market:
        """As `CandleFeed.start`."""
        self._by_id = {str(self._exchange.market(symbol)["id"]): symbol for symbol in self.symbols}
        self._exchange.handle_ohlcv = self._hear
        return await super().start(rows)

    async def close(self) -> None:
        """As `CandleFeed.close`."""
        await super().close()
        self._exchange.handle_ohlcv = self._handle

    async def turn(self) -> Turn:
        """As `CandleFeed.turn`."""
        turn = await super().turn()
        found = {symbol: bar for symbol in self.symbols if (bar := self._final[symbol].get(turn.closed)) is not None}
        unsure = [symbol for symbol in self.symbols if symbol not in found]
        if unsure:
            self.asked += len(unsure)
            count = (turn.opened - turn.closed) // self._step + 2
            tables = await asyncio.gather(*(self._history(symbol, int(count)) for symbol in unsure))
            for symbol, table in zip(unsure, tables, strict=True):
                for row in table:
                    if int(row[0]) * _NS_PER_MS == turn.closed:
                        found[symbol] = bar_of(row)
        return replace(turn, bars={symbol: found[symbol] for symbol in self.symbols if symbol in found})

    def _hear(self, client: Any, message: Mapping[str, Any]) -> None:
        """What ccxt does with a candle's message, and then the bars that it says are over."""
        self._handle(client, message)
        for market_id, started in _closed(message):
            symbol = self._by_id.get(market_id)
            cache = {} if symbol is None else self._exchange.ohlcvs.get(symbol, {})
            for row in reversed(cache.get(self.timeframe, [])):
                if symbol is not None and int(row[0]) == started:
                    kept = self._final[symbol]
                    kept[started * _NS_PER_MS] = bar_of(row)
                    for old in sorted(kept)[:-_KEPT]:
                        del kept[old]
                    break


def _closed(message: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Market id and opening time (ms) of each candle that a message of Binance or Bybit says is over."""
    candle = message.get("k")
    if isinstance(candle, Mapping) and candle.get("x") is True:
        yield str(candle["s"]), int(candle["t"])
    topic, rows = str(message.get("topic", "")), message.get("data")
    if topic.startswith("kline.") and isinstance(rows, list):
        for row in rows:
            if row.get("confirm") is True:
                yield topic.rpartition(".")[2], int(row["start"])
