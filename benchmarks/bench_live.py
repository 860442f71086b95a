"""From the candle that opens a bar to the orders of the bar before it on the wire: the live session, all of it.

An exchange in a process of its own (`engine.rehearsal`, no faults) replays bars over HTTP and WebSocket; `run_live`
trades them through a ccxt.pro client, its journal on the disk. Prices zigzag and the strategy follows them, so that in
every turn half of the symbols are sold and half are bought: with cash for the purchases they leave in one wave
(`engine.live.waves`), without it the purchases leave once the sales are booked.

Both processes read the same monotonic clock and run on the same cores. A turn begins when the server has written the
last candle of the bar that opens (those of the bar that closes come before), or when the session's client has taken it
in. An order is on the wire when its request goes to the socket, and at the exchange when the server takes it up, which
does one after another. The parts are cut at: candles in, turn known, decided, first order to be made, first and last
order on the wire, last order at the exchange, turn done.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data import Market
from engine import Costs, Strategy, Venue
from engine.live.clock import standing
from engine.live.journal import Journal
from engine.live.start import run_live
from engine.rehearsal.server import RehearsalServer

GOAL = 20e-3
WARM = 20
PAUSE = 0.03  # seconds between a turn's end and the next bar: the exchange does not wait, and neither is busy
TURNS = {1: 600, 20: 600, 100: 200}
VENUE = Venue(amount_step=1e-4, price_tick=1e-2, min_notional=10.0)


@dataclass(frozen=True)
class ZigZag(Strategy):
    """Hold what rose in the last bar, which is half of the symbols: `weight` of equity together."""

    weight: float = 0.9

    @property
    def warmup(self) -> int:
        """The bar before is what a bar is compared with."""
        return 2

    def targets(self, market: Market) -> pd.DataFrame:
        """Equal shares of what rose, nothing of the rest."""
        close, share = market.close.to_numpy(), self.weight / max(len(market.symbols) / 2, 1.0)
        weights = np.full(close.shape, np.nan)
        weights[1:] = np.where(close[1:] > close[:-1], share, 0.0)
        return pd.DataFrame(weights, index=market.index, columns=market.close.columns)


def zigzag(symbols: int, bars: int) -> Market:
    """Prices that go up and down in turn, every second symbol the other way."""
    rng = np.random.default_rng(0)
    index = pd.date_range("2024-01-01", periods=bars, freq="1min", tz="UTC", name="time")
    frames = {}
    for number in range(symbols):
        up = (np.arange(bars) + number) % 2 * 0.002
        close = 100.0 * (1.0 + up + rng.uniform(0.0, 5e-4, bars))
        first = np.roll(close, 1)
        table = {"open": first, "high": np.maximum(first, close) + 0.01, "low": np.minimum(first, close) - 0.01}
        frame = pd.DataFrame({**table, "close": close, "volume": 1000.0}, index=index).round(2)
        frames[f"S{number:03d}/USDT"] = frame
    return Market.from_frames(frames, "1m")


# The exchange's process.


async def serve(symbols: int, bars: int) -> None:
    """Run the exchange, with stamps of what it wrote and read, until the process is ended."""
    from aiohttp import web

    class Stamped(RehearsalServer):
        """Notes when candles were written and orders came, and opens the next bar a while after it is asked to."""

        stamps: list[dict[str, Any]]

        async def next_bar(self) -> None:
            """As `advance`, stamped."""
            stamp: dict[str, Any] = {"orders": []}
            await self.close_bar()
            stamp["closed"] = time.perf_counter()
            self.stamps.append(stamp)
            await self.open_bar()
            stamp["opened"] = time.perf_counter()

        async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
            if request.method == "POST" and request.path.startswith("/api/v3/order") and self.stamps:
                self.stamps[-1]["orders"].append(time.perf_counter())
            if request.path == "/bench/next":
                asyncio.get_running_loop().call_later(PAUSE, lambda: asyncio.ensure_future(self.next_bar()))
                return web.json_response({"done": self.exchange.replay.row + 2 >= bars})
            if request.path == "/bench/stamps":
                return web.json_response(self.stamps)
            return await super()._handle(request)

    server = Stamped(
        zigzag(symbols, bars),
        venues=VENUE,
        cash=Decimal(1_000_000),
        fees=(Decimal("0.0001"), Decimal("0.0001")),
        slippage=Decimal("0.0001"),
        start=250,
    )
    server.stamps = []
    async with server:
        sys.stdout.write(json.dumps({"port": int(server.host.split(":")[1])}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


# The session's process.


class Watch:
    """What happened when, turn by turn, in the session's process."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.stamps: list[dict[str, float]] = []

    def note(self, name: str) -> None:
        """Now."""
        if self.stamps:
            self.stamps[-1][name] = time.perf_counter()

    async def sent(self, session: Any, context: Any, chunk: Any) -> None:  # noqa: ARG002  (what aiohttp calls)
        """A request's body goes to its socket."""
        if chunk.url.path.startswith("/api/v3/order"):
            self.stamps[-1].setdefault("wire first", time.perf_counter())
            self.note("wire last")

    def client(self) -> Any:
        """ccxt.pro's as it is, but that it notes when candles were taken in and orders written to their sockets."""
        import aiohttp
        import ccxt.pro

        watch = self

        class Client(ccxt.pro.binance):  # type: ignore[misc]
            def open(self, *args: Any) -> None:
                if self.session is None:
                    super().open(*args)
                    trace = aiohttp.TraceConfig()
                    trace.on_request_chunk_sent.append(watch.sent)
                    trace.freeze()
                    self.session.trace_configs.append(trace)  # type: ignore[attr-defined]

            def handle_ohlcv(self, client: Any, message: Any) -> None:
                super().handle_ohlcv(client, message)
                watch.note("heard")

        return Client({"apiKey": "rehearsal", "secret": "rehearsal", "enableRateLimit": False})

    @contextlib.contextmanager
    def looking_in(self) -> Iterator[None]:
        """Note when the session knows of a turn, and when it has decided."""
        from engine.live.final_feed import FinalFeed
        from engine.live.session import Session

        turn, decide = FinalFeed.turn, Session._decided  # noqa: SLF001

        async def known(feed: Any) -> Any:
            found = await turn(feed)
            self.note("known")
            return found

        def decided(session: Any, bar: int) -> Any:
            found = decide(session, bar)
            self.note("decided")
            return found

        FinalFeed.turn = known  # type: ignore[method-assign,assignment]
        Session._decided = decided  # type: ignore[method-assign,assignment]  # noqa: SLF001
        try:
            yield
        finally:
            FinalFeed.turn, Session._decided = turn, decide  # type: ignore[method-assign]  # noqa: SLF001


async def trade(symbols: int, turns: int, journal: Path, weight: float = 0.9) -> dict[str, np.ndarray]:
    """Moments of each counted turn, in seconds; `weight` is the share of equity that is held."""
    bars = turns + 255
    command = [sys.executable, __file__, "--serve", str(symbols), str(bars)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:  # noqa: ASYNC220, S603  (ourselves)
        try:
            port = json.loads((server.stdout or sys.stdin).readline())["port"]
            watch = Watch(turns)
            with watch.looking_in():
                theirs = await live(watch, zigzag(symbols, bars), port, journal, ZigZag(weight))
        finally:
            server.terminate()
    with Journal.reading(journal) as book:
        beats = [beat for beat in book.heartbeats("bench") if "decided" in beat]
    for one, other, beat in zip(watch.stamps, theirs, beats, strict=True):
        one |= {"closed": other["closed"], "opened": other["opened"], "orders": len(other["orders"])}
        one |= {"first": min(other["orders"], default=np.nan), "last": max(other["orders"], default=np.nan)}
        one["to go"] = one["known"] + (np.nan if beat["sent"] is None else beat["sent"])
    return {name: np.array([one[name] for one in watch.stamps[WARM:]]) for name in watch.stamps[-1]}


async def live(watch: Watch, market: Market, port: int, journal: Path, strategy: Strategy) -> list[dict[str, Any]]:
    """Run the session; the exchange's stamps by turn."""
    import aiohttp

    client = watch.client()
    RehearsalServer(market, venues=VENUE, port=port).point(client)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as control:

        async def after(_: int = 0) -> bool:
            watch.note("done")
            if len(watch.stamps) >= watch.turns:
                return False
            watch.stamps.append({})
            async with control.post("/bench/next") as answer:
                await answer.json()
            return True

        async def ready(behind: bool) -> None:  # noqa: ARG001
            await after()

        try:
            await run_live(
                strategy,
                client,
                list(market.symbols),
                "1m",
                cash=1_000_000.0,
                journal=journal,
                run="bench",
                costs=Costs(fee=1e-4, slippage=1e-4),
                venues=dict.fromkeys(market.symbols, VENUE),
                after_turn=after,
                when_ready=ready,
                clock=standing,
            )
            async with control.get("/bench/stamps") as answer:
                theirs: list[dict[str, Any]] = await answer.json()
        finally:
            await client.close()
    return theirs


PARTS = ("opened", "heard", "known", "decided", "to go", "wire first", "first", "wire last", "last", "done")


def show(words: str, symbols: int, at: dict[str, np.ndarray]) -> dict[str, float]:
    """Print one case; the p99 from the decision on, seconds, by what it ends with."""
    full = at["orders"] >= symbols
    print(f"  {symbols} symbols, {words}: {full.sum()} turns, each with an order of every symbol")
    found = {}
    for since, told in (("opened", "last candle written"), ("heard", "last candle in"), ("decided", "decided")):
        for until, name in (
            ("wire first", "first order sent"),
            ("wire last", "last order sent"),
            ("last", "last order at the exchange"),
        ):
            span = (at[until] - at[since])[full]
            p50, p99 = np.quantile(span, [0.5, 0.99]) * 1e3
            print(f"    {told:<19} to {name:<26}  p50 {p50:7.2f} ms   p99 {p99:7.2f} ms")
            found[until] = p99 / 1e3
    steps = [np.median((at[end] - at[begin])[full]) * 1e3 for begin, end in pairwise(PARTS)]
    parts = ", ".join(f"{end} {step:.2f}" for end, step in zip(PARTS[1:], steps, strict=True))
    print(f"    parts (p50, ms): written -> {parts}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--serve"]:
        asyncio.run(serve(int(given[1]), int(given[2])))
        return 0
    sizes = [int(one) for one in given] or list(TURNS)
    load = os.getloadavg()[0]
    print(f"closed bar to orders at the exchange ({os.cpu_count()} cores, load before {load:.1f}, server included)")
    worst: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="ladder-bench-") as folder:
        for symbols in sizes:
            cases = {"cash pays, one wave": 0.45, "sales pay, two waves": 0.9} if symbols > 1 else {"one order": 0.9}
            for words, weight in cases.items():
                turns = TURNS.get(symbols, 200) + WARM
                found = show(
                    words,
                    symbols,
                    asyncio.run(trade(symbols, turns, Path(folder, f"{symbols}-{weight}.sqlite"), weight)),
                )
                worst.setdefault(symbols, found)
    if 20 not in worst:
        return 0
    met = worst[20]["wire last"] < GOAL
    told = ", ".join(f"{order} {p99 * 1e3:.1f} ms" for order, p99 in worst[20].items())
    print(f"  {'met' if met else 'MISSED'}: 20 symbols in one wave, p99 from decision to last order on the wire")
    print(f"    below {GOAL * 1e3:g} ms; all of it, p99 from the decision: {told}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
