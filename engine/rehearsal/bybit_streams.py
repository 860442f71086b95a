"""Bybit v5's WebSocket interface on the rehearsal exchange: public topics of linear perpetuals, and private ones.

Public, at /v5/public/linear: kline.{interval}.{symbol}, publicTrade.{symbol}, tickers.{symbol}, orderbook.1.{symbol}.
Private, at /v5/private after `auth`: order, execution, position, wallet, and dcp.future, which tells nothing: once the
last connection that listens to it is lost, the account's dead man's switch begins to count.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any

from engine.rehearsal.binance_params import wall_clock
from engine.rehearsal.bybit_words import (
    execution_body,
    interval_of,
    kline,
    order_body,
    position_body,
    ticker,
    wallet_body,
)
from engine.rehearsal.exchange import Exchange
from engine.rehearsal.listening import Listeners
from engine.rehearsal.money import plain
from engine.rehearsal.orders import BalanceEvent, Bar, Event, OrderEvent, Tick
from engine.rehearsal.wire import Connection, from_json

_SWITCH = "dcp.future"
_PRIVATE = frozenset({"order", "execution", "position", "wallet", _SWITCH})


class BybitStreams(Listeners):
    """Who listens to what, and the messages.

    Attributes:
        window: seconds without a listener to dcp.future after which all orders are cancelled; None for never.
    """

    def __init__(self, exchange: Exchange, api_key: str, secret: str) -> None:
        super().__init__()
        self.exchange = exchange
        self._key = api_key
        self._secret = secret.encode()
        self._interval = interval_of(exchange.replay.length)
        self.window: int | None = None
        self._parted = 0

    def leave(self, connection: Connection) -> None:
        """A client has gone; with the last that listened to dcp.future, the dead man's switch begins to count."""
        held = _SWITCH in self._listeners
        super().leave(connection)
        if held and _SWITCH not in self._listeners and self.window is not None:
            self._parted += 1
            asyncio.get_running_loop().call_later(self.window, self._cancel_all, self._parted)

    def _cancel_all(self, parted: int) -> None:
        if _SWITCH in self._listeners or parted != self._parted:
            return
        for order in self.exchange.book.open_orders():
            if order.is_open:
                self.exchange.book.cancel(order.symbol, order.id)

    async def hear(self, connection: Connection, path: str, text: str) -> None:
        """A message of a client."""
        try:
            message = from_json(text)
        except ValueError:
            message = {}
        op, number = message.get("op"), message.get("req_id", "")
        names = [str(name) for name in message.get("args") or ()]
        said = {"success": True, "ret_msg": "", "conn_id": "1", "req_id": number, "op": op}
        if op == "ping":
            await connection.answer({**said, "ret_msg": "pong"})
        elif op == "auth":
            right = self._is_signed(names)
            if right:
                self._users.add(connection)
            await connection.answer({**said, "success": right, "ret_msg": "" if right else "Request not authorized"})
        elif op == "subscribe":
            private = path.endswith("/private")
            known = all((name in _PRIVATE) if private else self._is_known(name) for name in names)
            if not known or (private and connection not in self._users):
                await connection.answer({**said, "success": False, "ret_msg": f"error:handler not found,topic:{names}"})
                return
            for name in names:
                self._subscribe(connection, name)
            await connection.answer(said)
            for name in () if private else names:
                await self._greet(connection, name)
        elif op == "unsubscribe":
            for name in names:
                self._unsubscribe(connection, name)
            await connection.answer(said)
        else:
            await connection.answer({**said, "success": False, "ret_msg": f"Params Error: {op}"})

    async def tell(self, events: Iterable[Event]) -> None:
        """Tell the account's listeners what has happened to it."""
        if not self._users:
            return
        for event in events:
            now = event.time
            if isinstance(event, OrderEvent):
                await self._private("order", order_body(self.exchange, event.order), now)
                if event.trade is not None:
                    await self._private("execution", execution_body(self.exchange, event.trade), now)
                    await self._private("position", position_body(self.exchange, event.trade.symbol), now)
            elif isinstance(event, BalanceEvent):
                await self._private("wallet", wallet_body(self.exchange), now)

    async def tell_close(self, bars: Mapping[str, Bar]) -> None:
        """Tell the markets' listeners that these bars have closed."""
        for symbol, bar in bars.items() if self._listeners else ():
            await self._candle(symbol, bar, closed=True)

    async def tell_open(self, bars: Mapping[str, Bar]) -> None:
        """Tell the markets' listeners that these bars have opened."""
        for symbol, bar in bars.items() if self._listeners else ():
            name, now = self.exchange.ids[symbol], self.exchange.book.now
            for topic in (f"tickers.{name}", f"orderbook.1.{name}", f"publicTrade.{name}"):
                if topic in self._listeners:
                    await self._broadcast(topic, self._message(topic, symbol, bar), now)
            await self._candle(symbol, bar, closed=False)

    async def tell_trades(self, ticks: Mapping[str, Tick]) -> None:
        """Tell the markets' listeners of trades within the open bars."""
        for symbol, tick in ticks.items():
            name = self.exchange.ids[symbol]
            if f"publicTrade.{name}" in self._listeners:
                await self._broadcast(f"publicTrade.{name}", self._trades(name, tick), tick.time)

    def _trades(self, name: str, tick: Tick) -> dict[str, Any]:
        trade = {"T": tick.time, "s": name, "S": "Buy", "v": "1", "p": plain(tick.price), "i": str(tick.number)}
        return {"topic": f"publicTrade.{name}", "type": "snapshot", "ts": tick.time, "data": [trade]}

    async def _candle(self, symbol: str, bar: Bar, *, closed: bool) -> None:
        topic, now = f"kline.{self._interval}.{self.exchange.ids[symbol]}", self.exchange.book.now
        if topic in self._listeners:
            data = [kline(self.exchange, bar, closed=closed)]
            await self._broadcast(topic, {"topic": topic, "type": "snapshot", "ts": now, "data": data}, now)

    async def _private(self, topic: str, record: dict[str, Any], now: int) -> None:
        if topic in self._listeners:
            message = {"id": f"{topic}-{now}", "topic": topic, "creationTime": now, "data": [record]}
            await self._broadcast(topic, message, now)

    def _message(self, topic: str, symbol: str, bar: Bar) -> dict[str, Any]:
        head = {"topic": topic, "type": "snapshot", "ts": self.exchange.book.now}
        name = self.exchange.ids[symbol]
        if topic.startswith("tickers"):
            return {**head, "cs": self.exchange.replay.row, "data": ticker(self.exchange, symbol)}
        if topic.startswith("publicTrade"):
            return self._trades(name, Tick(self.exchange.number_of(bar), bar.time, bar.open))
        bid, ask = (plain(price) for price in self.exchange.book.quotes(symbol))
        row = self.exchange.replay.row + 1
        sides = {"b": [[bid, "1000000"]], "a": [[ask, "1000000"]]}
        return {**head, "data": {"s": name, **sides, "u": row, "seq": row}}

    async def _greet(self, connection: Connection, topic: str) -> None:
        """Tell a new subscriber how things stand; trades say only what happens."""
        symbol = self.exchange.by_id[topic.rpartition(".")[2]]
        bar, replay = self.exchange.replay.last_before(symbol), self.exchange.replay
        if bar is None or topic.startswith("publicTrade"):
            return
        if topic.startswith("kline"):
            closed = not self.exchange.is_open or bar.time < replay.time
            data = [kline(self.exchange, bar, closed=closed)]
            await connection.answer({"topic": topic, "type": "snapshot", "ts": self.exchange.book.now, "data": data})
        else:
            await connection.answer(self._message(topic, symbol, bar))

    def _is_known(self, topic: str) -> bool:
        kind, _, name = topic.rpartition(".")
        kinds = {f"kline.{self._interval}", "publicTrade", "tickers", "orderbook.1", "orderbook.50", "orderbook.200"}
        return kind in kinds and name in self.exchange.by_id

    def _is_signed(self, given: list[str]) -> bool:
        if len(given) != 3 or not given[1].isdecimal() or int(given[1]) < wall_clock():
            return False
        expected = hmac.new(self._secret, f"GET/realtime{given[1]}".encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(given[0].encode(), self._key.encode()) and hmac.compare_digest(
            given[2].encode(), expected.encode()
        )
