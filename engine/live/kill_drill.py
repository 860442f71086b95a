"""A drill of the kill switch: a session of this very version is killed on a rehearsal exchange, as `ladder kill` does.

    drill = kill_drill(strategy, market, cash=10_000, costs=costs, venue=venue)
    drill.ok; print(drill)

The session trades stored bars until something of it rests on the exchange or it holds something; then the kill file is
written. What must hold: it stops, nothing of it is open at the exchange any more, and it does not start again beside
the file.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from data.errors import ValidationError
from data.market import Market
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.live.life import Job, live
from engine.live.safety import Stop, kill_file_of, write_kill
from engine.live.trading_terms import check_symbols
from engine.rehearsal.margin import MarginAccount
from engine.rehearsal.server import RehearsalServer
from engine.strategy import Strategy
from engine.venue import Venue

_WHY: Final = "drill"
_LONGEST: Final = 120.0  # seconds for the whole of it


@dataclass(frozen=True)
class Drill:
    """How it went.

    Attributes:
        bars: that were decided on before the kill.
        resting: orders that were open at the exchange then.
        held: positions that were open then.
        left: orders that were open after it.
        stopped: whether the session ended for the file.
        refused: whether it did not start again beside it.
    """

    bars: int
    resting: int
    held: int
    left: int
    stopped: bool
    refused: bool

    @property
    def ok(self) -> bool:
        """Whether the switch works, and there was something to switch off."""
        return self.stopped and self.refused and not self.left and (self.resting > 0 or self.held > 0)

    def __str__(self) -> str:
        before = f"after {self.bars} bars, {self.resting} orders resting, {self.held} positions"
        ended = "stopped" if self.stopped else "DID NOT STOP"
        again = "does not start beside the file" if self.refused else "STARTED AGAIN beside the file"
        return f"{before}: {ended}, {self.left} orders left, {again}"


def kill_drill(
    strategy: Strategy,
    market: Market,
    *,
    cash: float,
    costs: Costs,
    venue: Venue,
    risk: RiskLimits | None = None,
    enrich: Callable[[Market], Market] | None = None,
) -> Drill:
    """Run it; `rehearse` has the arguments.

    Raises:
        LadderError: what `run_live` raises.
        ValidationError: an input is wrong.
    """
    return asyncio.run(_drilled(strategy, market, cash, costs, venue, risk, enrich))


async def _drilled(
    strategy: Strategy,
    market: Market,
    cash: float,
    costs: Costs,
    venue: Venue,
    risk: RiskLimits | None,
    enrich: Callable[[Market], Market] | None,
) -> Drill:
    seen = {"bars": 0, "resting": 0, "held": 0}
    with tempfile.TemporaryDirectory(prefix="ladder-drill-") as folder:
        journal = Path(folder) / "journal.sqlite"
        kill_file = kill_file_of(journal)
        kind = check_symbols("kill drill", market.symbols)
        async with RehearsalServer(
            market,
            dialect=kind.dialect,
            venues=venue,
            cash=Decimal(repr(float(cash))),
            fees=(Decimal(repr(costs.maker_fee)), Decimal(repr(costs.taker_fee))),
            start=max(strategy.warmup, 1) + 1,
        ) as server:

            async def advance(_: int = 0) -> bool:
                seen["resting"], seen["held"] = len(server.book.open_orders()), _held(server, market.symbols)
                if seen["resting"] or seen["held"]:
                    write_kill(kill_file, why=_WHY, flatten=False)
                    return True
                seen["bars"] += 1
                return not (await server.advance())["done"]

            async def ready(_: bool) -> None:
                await server.advance()

            stop = Stop(kill_file=kill_file)
            options: dict[str, Any] = {"after_turn": advance, "when_ready": ready, "stop": stop}
            options["leverage"] = venue.leverage
            job = Job(
                strategy=strategy,
                symbols=list(market.symbols),
                timeframe=market.timeframe,
                cash=cash,
                costs=costs,
                risk=risk,
                enrich=enrich,
                journal=journal,
                run="drill",
                exchange=kind.dialect,
                urls=server.urls,
                control=server.rest_url,
                options=options,
            )
            async with asyncio.timeout(_LONGEST):
                await live(job)
                left = len(server.book.open_orders())
                refused = kill_file.exists() and await _is_refused(job)
    return Drill(**seen, left=left, stopped=stop.why.startswith("kill file"), refused=refused)


async def _is_refused(job: Job) -> bool:
    """Whether the session does not start again."""
    try:
        await live(job)
    except ValidationError:
        return True
    return False


def _held(server: RehearsalServer, symbols: Sequence[str]) -> int:
    """How many positions the exchange has, of symbols."""
    account = server.book.account
    if isinstance(account, MarginAccount):
        return sum(bool(account.positions[symbol].amount) for symbol in symbols if symbol in account.positions)
    base = {symbol.partition("/")[0] for symbol in symbols}
    return sum(account.free.get(one, 0) + account.locked.get(one, 0) > 0 for one in base)
