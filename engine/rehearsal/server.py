"""The rehearsal exchange as a local server: an unmodified ccxt.pro client trades on it once its URLs point here.

    async with RehearsalServer(market, cash=Decimal(10000), api_key="k", secret="s") as server:
        client = ccxt.pro.binance({"apiKey": "k", "secret": "s"})
        server.point(client)
        await server.advance()      # the open bar closes, the next one opens

Bars move on when they are told to: by `advance`, by POST /rehearsal/advance, or by themselves with `speed`. Within a
bar nothing trades unless `trade` says so; what of its range was not traded then comes with its close. Two clocks:
the venue's, by which bars, orders and trades are dated, and the wall clock, by which requests are signed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import WSMsgType, web

from data.errors import ValidationError
from data.market import Market
from engine.rehearsal.accounts import FeeIn
from engine.rehearsal.binance import Binance
from engine.rehearsal.book import VenueBook
from engine.rehearsal.bybit import Bybit
from engine.rehearsal.dialect import Answer, Call, Dialect
from engine.rehearsal.exchange import Exchange
from engine.rehearsal.faults import Fault, FaultPlan
from engine.rehearsal.money import ZERO
from engine.rehearsal.wire import Connection, to_json
from engine.venue import Venue

_BEFORE: Final = frozenset({"refused_503", "error_5xx", "rate_429", "banned_418", "clock_skew", "insufficient"})
_LOCALHOST: Final = "127.0.0.1"


class RehearsalServer:
    """An exchange at 127.0.0.1.

    Args:
        market: the bars that it replays.
        dialect: "binance", spot, for symbols "BASE/QUOTE"; "bybit", linear perpetuals, for "BASE/QUOTE:SETTLE".
        venues: rules, one `Venue` for all symbols or by symbol.
        cash: what the account begins with, quote currency.
        quote: that currency; None for the one that all symbols share.
        balances: what the account holds besides, by asset.
        fees: (maker, taker), fractions of notional, where a venue states none.
        slippage: fraction by which an order that takes is worse than its reference price.
        fee_in: "quote", or "bought": a buy pays its fee in the coin it buys.
        api_key: of the one account.
        secret: its secret.
        withdrawals: whether the exchange says that the key may withdraw.
        weight_limit: request weight per minute beyond which requests are refused, on Binance; None never refuses.
        port: to listen on; 0 for any that is free.
        faults: what goes wrong; None for nothing.
        start: row of the market that is open at first; those before it are history.
        speed: venue seconds per second by which the bars move on by themselves; None for not at all.
        ticked_quotes: round bid and ask to the tick; off, fills at the market are those of a backtest.

    Attributes:
        exchange: the replay and the books behind the interface.
        requests: how often each request came, by "METHOD /path".

    Raises:
        ValidationError: see `Exchange`.
    """

    def __init__(
        self,
        market: Market,
        *,
        dialect: str = "binance",
        venues: Venue | Mapping[str, Venue] | None = None,
        cash: Decimal = Decimal(10_000),
        quote: str | None = None,
        balances: Mapping[str, Decimal] | None = None,
        fees: tuple[Decimal, Decimal] = (ZERO, ZERO),
        slippage: Decimal = ZERO,
        fee_in: FeeIn = "quote",
        api_key: str = "rehearsal",
        secret: str = "rehearsal",  # noqa: S107  (of an account without worth)
        withdrawals: bool = False,
        weight_limit: int | None = None,
        port: int = 0,
        faults: FaultPlan | None = None,
        start: int = 0,
        speed: float | None = None,
        ticked_quotes: bool = False,
    ) -> None:
        if speed is not None and not speed > 0:
            raise ValidationError(f"rehearsal: speed {speed!r} must be positive venue seconds per second, or None")
        self.exchange = Exchange(
            market,
            venues=Venue() if venues is None else venues,
            cash=cash,
            quote=quote,
            balances=balances,
            fees=fees,
            slippage=slippage,
            fee_in=fee_in,
            start=start,
            faults=faults,
            ticked_quotes=ticked_quotes,
        )
        self.requests: Counter[str] = Counter()
        perpetual = self.exchange.margin is not None
        if dialect not in {"binance", "bybit"} or perpetual != (dialect == "bybit"):
            raise ValidationError(
                f"rehearsal: dialect {dialect!r} must be 'binance' for spot symbols, BASE/QUOTE, or 'bybit' for "
                f"perpetuals, BASE/QUOTE:SETTLE; the market has {list(market.symbols)}"
            )
        self._dialect: Dialect = (
            Bybit(self.exchange, api_key, secret, withdrawals=withdrawals)
            if perpetual
            else Binance(self.exchange, api_key, secret, withdrawals=withdrawals, weight_limit=weight_limit)
        )
        self._name = dialect
        self._plan = faults
        self._port = port
        self._speed = speed
        self._runner: web.ServerRunner | None = None
        self._clock: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    # Where it is.

    @property
    def book(self) -> VenueBook:
        """The exchange's own truth: balances, orders, trades."""
        return self.exchange.book

    @property
    def faults(self) -> list[Fault]:
        """The faults injected so far."""
        return [] if self._plan is None else self._plan.record

    @property
    def host(self) -> str:
        """Such as "127.0.0.1:8080", once it listens."""
        return f"{_LOCALHOST}:{self._port}"

    @property
    def rest_url(self) -> str:
        """Root of its REST interface."""
        return f"http://{self.host}"

    @property
    def ws_url(self) -> str:
        """Root of its WebSocket interface."""
        return f"ws://{self.host}"

    @property
    def urls(self) -> dict[str, Any]:
        """What to set as `exchange.urls["api"]` of a ccxt client of the dialect's exchange."""
        import ccxt.pro

        return self.pointed(getattr(ccxt.pro, self._name)().urls["api"])

    def point(self, exchange: Any) -> None:
        """Set the URLs of a ccxt client, and nothing else of it, to this server."""
        exchange.urls["api"] = self.pointed(exchange.urls["api"])

    def pointed(self, urls: Mapping[str, Any]) -> dict[str, Any]:
        """URLs of a real exchange, nested as ccxt has them, each replaced by its like here."""
        return {
            name: self.pointed(url) if isinstance(url, Mapping) else self._dialect.url(str(url), self.host)
            for name, url in urls.items()
        }

    # Its life.

    async def __aenter__(self) -> Self:
        server = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(server, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, _LOCALHOST, self._port).start()
        self._port = self._runner.addresses[0][1]
        if self._speed is not None:
            self._clock = asyncio.create_task(self._run(self._speed))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._clock is not None:
            self._clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._clock
        self._dialect.streams.drop_all()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _run(self, speed: float) -> None:
        length = self.exchange.replay.length / 1000
        while True:
            await asyncio.sleep(length / speed)
            if (await self.advance())["done"]:
                return

    # Bars.

    async def advance(self) -> dict[str, Any]:
        """Close the bars that are open and open the next; {"done": whether no more opens, "time": venue clock, ms}."""
        async with self._turn:
            await self._close_bar()
            return await self._open_bar()

    async def close_bar(self) -> dict[str, Any]:
        """The first half of `advance`: between the halves a client can act on the close before the next open."""
        async with self._turn:
            return await self._close_bar()

    async def open_bar(self) -> dict[str, Any]:
        """The second half of `advance`."""
        async with self._turn:
            await self._close_bar()
            return await self._open_bar()

    async def trade(self, prices: Mapping[str, Decimal], at: int | None = None) -> None:
        """Within the open bar the market trades at these prices; see `Exchange.trade`."""
        async with self._turn:
            ticks = self.exchange.trade(prices, at)
            await self._dialect.streams.tell(self.book.drain())
            await self._dialect.streams.tell_trades(ticks)

    async def _close_bar(self) -> dict[str, Any]:
        if self.exchange.is_open:
            streams = self._dialect.streams
            bars = self.exchange.close_bar()
            await streams.tell(self.book.drain())
            await streams.tell_close(bars)
        return {"done": self.exchange.replay.done, "time": self.book.now}

    async def _open_bar(self) -> dict[str, Any]:
        streams, plan = self._dialect.streams, self._plan
        if self.exchange.replay.done:
            await streams.end_of_bar()
            return {"done": True, "time": self.book.now}
        bars = self.exchange.open_bar()
        events = self.book.drain()
        await streams.tell_open(bars)
        await streams.tell(events)
        if plan is not None:
            await streams.end_of_bar()
            if plan.touches("bar") and plan.meets("bar", "bar", self.book.now) is not None:
                streams.drop_all()
        return {"done": False, "time": self.book.now}

    # Requests.

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == "/rehearsal" or path.startswith("/rehearsal/"):
            return await self._control(request)
        if self._dialect.is_stream(path):
            return await self._listen(request)
        body = "" if request.method == "GET" else await request.text()
        call = Call(request.method, path, request.rel_url.raw_query_string, body, request.headers)
        self.requests[call.label] += 1
        fault = self._meets(call)
        if fault is None:
            return await self._execute(call)
        if fault.kind == "down":
            self._dialect.streams.drop_all()
            return _broken(request)
        if fault.kind in _BEFORE:
            retry_after = 1 if self._plan is None else self._plan.retry_after
            return _response(self._dialect.fault(fault.kind, retry_after))
        response = await self._execute(call)
        if fault.kind == "answer_lost":
            return _broken(request)
        if fault.kind == "unknown_5xx":
            return _response(self._dialect.fault(fault.kind, 0))
        await asyncio.sleep(0.0 if self._plan is None else self._plan.delay)
        return response

    def _meets(self, call: Call) -> Fault | None:
        if self._plan is None:
            return None
        dialect = self._dialect
        return self._plan.meets("request", call.label, self.book.now, dialect.barred(call), dialect.named(call))

    async def _execute(self, call: Call) -> web.Response:
        response = _response(self._dialect.respond(call))
        events = self.book.drain()
        if events:
            await self._dialect.streams.tell(events)
        return response

    async def _control(self, request: web.BaseRequest) -> web.Response:
        """For a client in another process: GET /rehearsal says what this is; POST /rehearsal/advance, close, open."""
        if request.method == "GET" and request.path == "/rehearsal":
            return _response(Answer(self._itself()))
        moves = {"advance": self.advance, "close": self.close_bar, "open": self.open_bar}
        move = moves.get(request.path.removeprefix("/rehearsal/"))
        if request.method != "POST" or move is None:
            return _response(Answer({"error": f"POST one of {[f'/rehearsal/{name}' for name in moves]}"}, 404))
        return _response(Answer(await move()))

    def _itself(self) -> dict[str, Any]:
        """What `engine.live.client` needs to point a client here."""
        exchange = self.exchange
        return {
            "exchange": self._name,
            "perpetual": exchange.margin is not None,
            "urls": self.urls,
            "symbols": list(exchange.ids),
            "time": self.book.now,
        }

    async def _listen(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._plan is not None and self._plan.refuses():
            return _broken(request)
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        connection = Connection(socket, request, self._plan)
        streams = self._dialect.streams
        streams.join(connection)
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await streams.hear(connection, request.path, message.data)
        finally:
            streams.leave(connection)
        return socket


def _response(answer: Answer) -> web.Response:
    if isinstance(answer.body, str):
        return web.Response(text=answer.body, status=answer.status, headers=answer.headers, content_type="text/html")
    body = to_json(answer.body)
    return web.Response(body=body, status=answer.status, headers=answer.headers, content_type="application/json")


def _broken(request: web.BaseRequest) -> web.Response:
    """Break the connection without an answer; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)
