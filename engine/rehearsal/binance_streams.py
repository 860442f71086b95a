"""Binance spot's WebSocket interface on the rehearsal exchange: market streams, and its WebSocket API's user stream.

Market streams are subscribed to by name at /stream/ws (btcusdt@kline_30m, @trade, @bookTicker, @ticker, @miniTicker,
@depth), the account's by `userDataStream.subscribe.signature` at /ws-api/v3. A new subscriber hears at once how things
stand, since here the next message comes only when the bars move on. What nobody listens to is not made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from engine.rehearsal.binance_params import Signatures, wall_clock
from engine.rehearsal.binance_words import DEPTH, STATUS, ApiError, day_ticker, kline_row, lot
from engine.rehearsal.exchange import Exchange
from engine.rehearsal.listening import Listeners
from engine.rehearsal.money import ZERO, plain
from engine.rehearsal.orders import BalanceEvent, Bar, Event, ListEvent, OrderEvent, Tick
from engine.rehearsal.replay import only_open
from engine.rehearsal.wire import Connection, from_json, to_json

_EXECUTION: Final = {"new": "NEW", "trade": "TRADE", "cancelled": "CANCELED", "expired": "EXPIRED"}


class BinanceStreams(Listeners):
    """Who listens to what, and the messages.

    Args:
        exchange: what is told about.
        signatures: that a subscription to the account is checked by.
    """

    def __init__(self, exchange: Exchange, signatures: Signatures) -> None:
        super().__init__()
        self.exchange = exchange
        self._signatures = signatures
        self._subscriptions = 0
        kline = f"kline_{exchange.replay.timeframe}"
        self._kinds: dict[str, Callable[[str, Bar, bool], Any]] = {
            kline: self._kline,
            "trade": self._trade,
            "aggTrade": self._trade,
            "bookTicker": self._book_ticker,
            "ticker": self._ticker,
            "miniTicker": self._mini_ticker,
            "depth": self._depth,
            "depth@100ms": self._depth,
        }
        self._at_close = (kline, "ticker", "miniTicker")
        self._at_open = ("bookTicker", "depth", "depth@100ms", "trade", "aggTrade", kline, "ticker", "miniTicker")

    # Requests.

    async def hear(self, connection: Connection, path: str, text: str) -> None:
        """A message of a client."""
        try:
            message = from_json(text)
        except ValueError:
            await connection.answer({"error": {"code": 3, "msg": "Invalid JSON"}})
            return
        if path.startswith("/ws-api"):
            await self._hear_api(connection, message)
        else:
            await self._hear_market(connection, message)

    async def _hear_market(self, connection: Connection, message: Mapping[str, Any]) -> None:
        method, number = message.get("method"), message.get("id")
        names = [str(name) for name in message.get("params") or ()]
        if method == "SUBSCRIBE":
            unknown = [name for name in names if self._stream(name) is None]
            if unknown:
                await connection.answer({"error": {"code": 2, "msg": f"Invalid request: {unknown}"}, "id": number})
                return
            for name in names:
                self._subscribe(connection, name)
            await connection.answer({"result": None, "id": number})
            for name in names:
                await self._greet(connection, name)
        elif method == "UNSUBSCRIBE":
            for name in names:
                self._unsubscribe(connection, name)
            await connection.answer({"result": None, "id": number})
        elif method == "LIST_SUBSCRIPTIONS":
            await connection.answer({"result": sorted(connection.streams), "id": number})
        else:
            await connection.answer({"error": {"code": 2, "msg": f"Invalid request: {method}"}, "id": number})

    async def _hear_api(self, connection: Connection, message: Mapping[str, Any]) -> None:
        method, number, given = message.get("method"), message.get("id"), message.get("params") or {}
        result: dict[str, Any] = {}
        try:
            if method == "userDataStream.subscribe.signature":
                params = {name: str(value) for name, value in given.items()}
                payload = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
                self._signatures.verify(params.get("apiKey"), payload, params)
                connection.subscription = self._subscriptions
                self._subscriptions += 1
                self._users.add(connection)
                result = {"subscriptionId": connection.subscription}
            elif method == "userDataStream.unsubscribe":
                self._users.discard(connection)
            elif method == "time":
                result = {"serverTime": wall_clock()}
            elif method != "ping":
                raise ApiError(-1020, "This operation is not supported.")
        except ApiError as error:
            await connection.answer({"id": number, "status": error.status, "error": error.body(), "rateLimits": []})
            return
        await connection.answer({"id": number, "status": 200, "result": result, "rateLimits": []})

    # What the bars and the books bring.

    async def tell(self, events: Iterable[Event]) -> None:
        """Tell the account's listeners what has happened to it."""
        if not self._users:
            return
        for event in events:
            message = self._event(event)
            for connection in tuple(self._users):
                wrapped = {"subscriptionId": connection.subscription, "event": message}
                await connection.send(message["e"], to_json(wrapped).decode(), event.time)

    async def tell_close(self, bars: Mapping[str, Bar]) -> None:
        """Tell the markets' listeners that these bars have closed."""
        await self._tell(bars, self._at_close, closed=True)

    async def tell_open(self, bars: Mapping[str, Bar]) -> None:
        """Tell the markets' listeners that these bars have opened."""
        await self._tell(bars, self._at_open, closed=False)

    async def tell_trades(self, ticks: Mapping[str, Tick]) -> None:
        """Tell the markets' listeners of trades within the open bars."""
        for symbol, tick in ticks.items():
            for kind in ("trade", "aggTrade"):
                name = f"{self.exchange.ids[symbol].lower()}@{kind}"
                if name in self._listeners:
                    await self._broadcast(name, self._tick(symbol, tick), tick.time)

    async def _tell(self, bars: Mapping[str, Bar], kinds: tuple[str, ...], *, closed: bool) -> None:
        if not self._listeners:
            return
        now = self.exchange.book.now
        for symbol, bar in bars.items():
            prefix = self.exchange.ids[symbol].lower() + "@"
            for kind in kinds:
                if prefix + kind in self._listeners:
                    await self._broadcast(prefix + kind, self._kinds[kind](symbol, bar, closed), now)

    def _stream(self, name: str) -> tuple[str, str] | None:
        """Symbol and kind of a stream's name."""
        market, _, kind = name.partition("@")
        symbol = self.exchange.by_id.get(market.upper())
        return None if symbol is None or kind not in self._kinds else (symbol, kind)

    async def _greet(self, connection: Connection, name: str) -> None:
        """Tell a new subscriber how things stand; trades and depth say what happens, not how it stands."""
        found = self._stream(name)
        if found is None or found[1] in {"trade", "aggTrade", "depth", "depth@100ms"}:
            return
        symbol, kind = found
        bar, closed = self.exchange.replay.last_before(symbol), not self.exchange.is_open
        if bar is not None:
            closed = closed or bar.time < self.exchange.replay.time
            await connection.answer(self._kinds[kind](symbol, bar, closed))

    # Messages.

    def _kline(self, symbol: str, bar: Bar, closed: bool) -> dict[str, Any]:
        replay, name = self.exchange.replay, self.exchange.ids[symbol]
        row = kline_row(bar if closed else only_open(bar), replay.length)
        candle = {
            "t": row[0], "T": row[6], "s": name, "i": replay.timeframe, "f": -1, "L": -1, "o": row[1], "c": row[4],
            "h": row[2], "l": row[3], "v": row[5], "n": 0, "x": closed, "q": row[7], "V": "0", "Q": "0", "B": "0",
        }  # fmt: skip
        return {"e": "kline", "E": self.exchange.book.now, "s": name, "k": candle}

    def _trade(self, symbol: str, bar: Bar, closed: bool) -> dict[str, Any]:  # noqa: ARG002  (as its siblings)
        return self._tick(symbol, Tick(self.exchange.number_of(bar), bar.time, bar.open))

    def _tick(self, symbol: str, tick: Tick) -> dict[str, Any]:
        return {
            "e": "trade", "E": tick.time, "s": self.exchange.ids[symbol], "t": tick.number, "p": plain(tick.price),
            "q": lot(self.exchange.book.terms[symbol]), "T": tick.time, "m": False, "M": True,
        }  # fmt: skip

    def _book_ticker(self, symbol: str, bar: Bar, closed: bool) -> dict[str, Any]:  # noqa: ARG002
        bid, ask = self.exchange.book.quotes(symbol)
        return {
            "u": bar.time // self.exchange.replay.length, "s": self.exchange.ids[symbol], "b": plain(bid), "B": DEPTH,
            "a": plain(ask), "A": DEPTH,
        }  # fmt: skip

    def _ticker(self, symbol: str, bar: Bar, closed: bool) -> dict[str, Any]:  # noqa: ARG002
        day = day_ticker(self.exchange, symbol)
        names = {
            "s": "symbol", "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice",
            "x": "prevClosePrice", "c": "lastPrice", "Q": "lastQty", "b": "bidPrice", "B": "bidQty", "a": "askPrice",
            "A": "askQty", "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume",
            "O": "openTime", "C": "closeTime", "F": "firstId", "L": "lastId", "n": "count",
        }  # fmt: skip
        return {"e": "24hrTicker", "E": self.exchange.book.now, **{key: day[name] for key, name in names.items()}}

    def _mini_ticker(self, symbol: str, bar: Bar, closed: bool) -> dict[str, Any]:
        whole = self._ticker(symbol, bar, closed)
        return {**{key: whole[key] for key in ("E", "s", "c", "o", "h", "l", "v", "q")}, "e": "24hrMiniTicker"}

    def _depth(self, symbol: str, bar: Bar, closed: bool) -> dict[str, Any]:  # noqa: ARG002
        replay, book = self.exchange.replay, self.exchange.book
        row, before = replay.row, replay.row_before(symbol)
        new = book.quotes(symbol)
        sides: list[list[list[str]]] = [[[plain(price), DEPTH]] for price in new]
        old = None if before is None else replay.bar(symbol, before)
        if old is not None:  # what the bar before began and ended with is withdrawn
            for price in {old.open, old.close}:
                for side, level, now in zip(sides, book.quotes(symbol, price), new, strict=True):
                    if level != now:
                        side.insert(0, [plain(level), "0"])
        first = row if before is None else before + 1
        return {
            "e": "depthUpdate", "E": bar.time, "s": self.exchange.ids[symbol], "U": first, "u": row,
            "b": sides[0], "a": sides[1],
        }  # fmt: skip

    def _event(self, event: Event) -> dict[str, Any]:
        if isinstance(event, OrderEvent):
            return self._execution(event)
        if isinstance(event, BalanceEvent):
            held = [
                {"a": asset, "f": plain(free), "l": plain(locked)} for asset, (free, locked) in event.balances.items()
            ]
            return {"e": "outboundAccountPosition", "E": event.time, "u": event.time, "B": held}
        return self._list_status(event)

    def _execution(self, event: OrderEvent) -> dict[str, Any]:
        order, trade = event.order, event.trade
        name = event.cancel_id or f"cancel-{order.id}" if event.execution == "cancelled" else order.client_id
        zero: Decimal = ZERO
        return {
            "e": "executionReport", "E": event.time, "s": self.exchange.ids[order.symbol], "c": name,
            "S": order.side.upper(), "o": order.kind.upper(), "f": order.time_in_force, "q": plain(order.amount),
            "p": plain(order.price or zero), "P": plain(order.stop_price or zero), "F": "0", "g": order.list_id,
            "C": order.client_id if event.execution == "cancelled" else "", "x": _EXECUTION[event.execution],
            "X": STATUS[order.status], "r": "NONE", "i": order.id, "l": plain(trade.amount if trade else zero),
            "z": plain(order.filled), "L": plain(trade.price if trade else zero),
            "n": plain(trade.fee if trade else zero), "N": trade.fee_asset if trade else None, "T": event.time,
            "t": trade.id if trade else -1, "I": order.id, "w": order.is_open, "m": trade.maker if trade else False,
            "M": False, "O": order.created, "Z": plain(order.cost), "Y": plain(trade.cost if trade else zero),
            "Q": plain(order.quote_amount or zero), "W": order.created, "V": "NONE",
        }  # fmt: skip

    def _list_status(self, event: ListEvent) -> dict[str, Any]:
        name = self.exchange.ids[event.symbol]
        status = ("ALL_DONE", "ALL_DONE") if event.done else ("EXEC_STARTED", "EXECUTING")
        return {
            "e": "listStatus", "E": event.time, "s": name, "g": event.list_id, "c": "OCO", "l": status[0],
            "L": status[1], "r": "NONE", "C": event.client_id, "T": event.time,
            "O": [{"s": name, "i": number, "c": client_id} for number, client_id in event.legs],
        }  # fmt: skip
