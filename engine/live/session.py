"""A live session: one strategy on one account, bar by bar, every step in the journal before it is acted on.

    session = Session(strategy, desk, window, feed, gateway, journal, run="btc-1")
    await session.run()

At each turn of the bars, in this order, as `engine.paper` has it:

1. What barriers' orders on the exchange have done since is looked up and booked.
2. The bar that has closed is added to the window; the loss limits are asked; the strategy decides, once.
3. The new bar has opened: what waits goes at the market, what frees cash first, each order judged by the risk limits
   and by cash as it goes, and each answer booked before the next one goes.
4. Barriers of what was opened, changed or moved go to rest on the exchange, so that they survive our death. Those that
   it cannot hold are watched on its trades until the next turn, and a position is left as soon as one is crossed.
5. The bar is done: the account's state is in the journal, and a restart goes on from there.

A session that dies within a turn does the same turn again: what was decided is read from the journal, order ids are the
same, so that an order that went is found and not sent again. Turns that it slept through are not traded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any

from data.errors import LadderError, ValidationError
from data.market import Market
from engine import guard
from engine.live import leaving, off_turn
from engine.live.account_stream import EVERY, AccountStream
from engine.live.bars import Bar
from engine.live.deciding import Decision, decide
from engine.live.feed import CandleFeed, Turn
from engine.live.placing import Clock, Placing, Resting, TurnTimes
from engine.live.shadow import Following
from engine.live.watching import Watch
from engine.strategy import Strategy, label

_LOG = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class Session(Placing):
    """See the module.

    Attributes:
        strategy: what decides.
        desk: what it decides on.
        window: the bars it sees.
        feed: where bars come from.
        gateway: where orders go.
        journal: where all is written.
        name: of the run, in the journal and in every order's id.
        venues: rules by symbol, the exchange's own.
        tally: exact money and holdings.
        enrich: adds forecasts and daily values to a window; None for none.
        after_turn: called at the end of each turn, with the opening time of the bar that is open then.
        stop: the ways in which a person, a signal or a file ends the session.
        bell: rings when an order on the account has changed.
        watch: the barriers that do not rest (`rests`), on the exchange's trades.
        clock: the exchange's time, ns.
        stale_after: ns after a bar's open from which nothing more is opened or enlarged at it.
        known_orders: `Journal.order_count` when the state was written that it goes on from: later ones it must find.
        adjusted: number of the last adjustment of the run's books that it has taken in.
        turns: bars that were decided on.
        following: its paper run, and who is told of both; None for none.
        transferred: what persons have made part of the run's equity without a trade, quote currency.
        uncovered: columns whose barriers do not fit what is held, for it changed without a turn.
        entered: by column, when its position was last opened or enlarged, ms.
        unsold: columns that could not be left at a watched barrier; they are watched again from the next turn on.
    """

    strategy: Strategy
    feed: CandleFeed
    bell: AccountStream
    watch: Watch
    clock: Callable[[], int]
    stale_after: int
    enrich: Callable[[Market], Market] | None = None
    after_turn: Callable[[int], Awaitable[bool | None]] | None = None
    known_orders: int = 0
    adjusted: int = 0
    uncovered: set[int] = field(default_factory=set)
    following: Following | None = None
    transferred: float = 0.0
    unsold: set[int] = field(default_factory=set)
    _equity: dict[int, float] = field(default_factory=dict)
    _coming: asyncio.Future[Turn] | None = None

    async def run(self) -> None:
        """Trade until stopped.

        Raises:
            SessionHaltedError: a loss limit for good, an account that is not what the journal says, or the exchange
                refuses us; what is open is in the journal.
        """
        self.bell.start()
        try:
            await leaving.take_up(self)
            await off_turn.cover(self)
            if not self.feed.behind:  # else the next turn comes at once, and what was slept through is not traded
                leaving.watch(self)
            while not self.stop.asked():
                turn = await self.stop.or_result(self._next())
                if turn is not None:
                    await self.take(turn)
                    if self.after_turn is not None and await self.after_turn(turn.opened) is False:
                        return
                elif not self.stop.asked():
                    await self._heard(self.bell.taken())
                    leaving.watch(self)
                    await leaving.leave(self)
        except LadderError as error:
            if not self.stop.asked():
                raise
            # What went wrong does not keep what rests from being cancelled; what nobody knew is looked up there.
            _LOG.warning("%s: while it was to stop: %s", self.name, error)
        finally:
            await self.bell.close()
            await self.watch.close()
            if self._coming is not None:
                self._coming.cancel()
        if self.stop.asked():
            await self.halt()

    async def _next(self) -> Turn | None:
        """The next turn of the bars; None where the account's stream has rung, or a barrier was crossed, before it."""
        if self._coming is None:
            self._coming = asyncio.ensure_future(self.feed.turn())
        rung: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(one) for one in (self.bell.rung(), self.watch.crossed())
        ]
        try:
            await asyncio.wait({self._coming, *rung}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in rung:
                one.cancel()
        if not self._coming.done():
            return None
        coming, self._coming = self._coming, None
        return coming.result()

    async def _heard(self, names: set[str]) -> None:
        """The account's stream has told of these orders: barriers among them are looked up now, within their bar."""
        for name in sorted(names - {EVERY}):
            if self.journal.intent(name) is None and self.journal.intent(name[:-2]) is None:
                self.journal.record_incident(self.name, "order of someone else", {"client_id": name})
        told = [column for column, item in self.resting.items() if EVERY in names or not names.isdisjoint(item.legs)]
        await self._settle_resting(told)

    async def take(self, turn: Turn) -> None:
        """Everything that one turn of the bars asks for."""
        clock = Clock()
        await leaving.leave(self)
        self._bar, self._equity = turn.closed, {}
        for time, bars in turn.missed:
            await self._sleep_through(time, bars, turn)
        await self._settle_resting()
        self.window.add(turn.closed, turn.bars)
        decision = self._decided(turn.closed)
        moved, halts = self.desk.close(self._columns(turn.bars), decision.targets, decision.scale)
        self._equity[turn.closed] = self.desk.account.equity() - self.transferred
        self._write_events()
        if halts != guard.NO_RULE:
            self.journal.record_risk_event(self.name, "halt", "", {"rule": guard.RULES[halts], "bar": turn.closed})
        times = TurnTimes(clock.passed())
        self.turns += 1
        changed, self.uncovered = {*moved, *self.uncovered}, set()
        self.desk.open(turn.opened, {self._column(symbol): price for symbol, price in turn.opens.items()})
        self._refuse_stale(turn)
        changed |= await self._orders(times, clock)
        if not self.stop.asked() or self.stop.spares_barriers:
            await self._protect_all(changed)
        self.unsold.clear()
        leaving.watch(self)
        self._write_events()
        beat: dict[str, Any] = {"bar": turn.closed, **asdict(times)}
        if self.following is not None:
            self.following.take(turn, decision, self._equity)
            beat["follow"] = self.following.rows
        self.journal.record_bar_done(self.name, turn.opened, self._state(), beat=beat)
        if self.following is not None and self.following.why:
            off_turn.leave(self, self.following.why)

    # Deciding.

    def _decided(self, bar: int) -> Decision:
        """What a closed bar decides: decided once, then read from the journal."""
        decision = decide(self.strategy, self.window.market(), self.enrich, self.venues)
        symbols = self.window.symbols
        before = {symbol: target for time, symbol, target, _ in self.journal.decisions_at(self.name, bar)}
        if before:  # a turn that is done again: what was decided stands, whatever came in since
            return replace(decision, targets=[before.get(symbol, float("nan")) for symbol in symbols])
        taken = dict(zip(symbols, decision.targets, strict=True))
        self.journal.record_decisions(self.name, bar, taken, decision.inputs)
        return decision

    async def _sleep_through(self, time: int, bars: Mapping[str, Bar], turn: Turn) -> None:
        """A bar that closed while nobody decided: it is marked, and nothing is traded on it."""
        self.journal.record_incident(self.name, "bar not decided on", {"bar": time, "opened": turn.opened})
        self.window.add(time, bars)
        await self._settle_resting()
        self.desk.drop_decided()
        moved, _ = self.desk.close(self._columns(bars), None, None)
        self._equity[time] = self.desk.account.equity() - self.transferred
        self.uncovered |= moved
        self.desk.open(time + 1, {})
        self.uncovered |= await self._resume(time, send=False)

    def _refuse_stale(self, turn: Turn) -> None:
        """What was decided for an open that is long past is not sent, unless it closes or reduces a position."""
        late = max(self.clock() - turn.opened, 0)
        self.desk.account.late = late
        if late <= self.stale_after:
            return
        dropped = [self._symbol(column) for column in self.desk.drop_enlarging()]
        detail = {"opened": turn.opened, "seconds": late / 1e9, "dropped": dropped}
        self.journal.record_incident(self.name, "stale bar", detail)

    # Barriers, as the exchange has them.

    async def _settle_resting(self, columns: Iterable[int] | None = None) -> None:
        """Look up barriers' orders, all of them or these columns': what they have sold or bought back is booked."""
        account, chosen = self.desk.account, sorted(self.resting if columns is None else columns)
        orders = [(column, intent) for column in chosen for intent in self.resting[column].intents]
        reports = await asyncio.gather(*(self.gateway.look_up(intent) for _, intent in orders))
        for (column, _), report in zip(orders, reports, strict=True):
            left = report is not None and (not self._took_back(column, report) or account.is_open(column))
            if left and report is not None and report.state.final:
                # Cancelled by a person, or a dead man's switch, or it did not fill whole: they are set anew.
                self.uncovered.add(column)
        # The stop beside a profit that has closed the position, or the other way round.
        await self._free_all([column for column in chosen if column in self.resting and not account.is_open(column)])

    # Ending.

    async def halt(self) -> None:
        """Stop for good; see `off_turn.halt`."""
        await off_turn.halt(self)

    # Small things.

    def _columns(self, bars: Mapping[str, Bar]) -> dict[int, Bar]:
        return {self._column(symbol): bar for symbol, bar in bars.items()}

    def _state(self) -> dict[str, Any]:
        orders = [intent.client_id for item in self.resting.values() for intent in item.intents]
        fills = {name: self.journal.fills_of(name) for name in orders}
        resting = {
            str(column): {
                "trailing": item.trailing,
                "orders": {one.client_id: self.tally.counted(fills[one.client_id]) for one in item.intents},
            }
            for column, item in self.resting.items()
        }
        self.tally.forget_all_but(fill for found in fills.values() for fill in found)
        self.known_orders = self.journal.order_count()
        return {
            "orders": self.known_orders,
            "adjusted": self.adjusted,
            "transferred": self.transferred,
            "uncovered": sorted(self.uncovered),
            "entered": {str(column): time for column, time in self.entered.items()},
            "desk": self.desk.snapshot(),
            "resting": resting,
            "symbols": list(self.window.symbols),
            "totals": {currency: format(total, "f") for currency, total in self.tally.totals.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what a turn has left in the journal.

        Raises:
            ValidationError: it is of other symbols.
        """
        if list(state["symbols"]) != list(self.window.symbols):
            raise ValidationError(
                f"run {self.name!r} traded {', '.join(state['symbols'])}, now it is to trade "
                f"{', '.join(self.window.symbols)}; give it another name"
            )
        self.desk.restore(dict(state["desk"]))
        self.transferred = float(state.get("transferred", 0.0))
        for column, item in state["resting"].items():
            intents = []
            for name, counted in item["orders"].items():
                intent = self.journal.intent(name)
                if intent is None:
                    raise ValidationError(f"run {self.name!r}: order {name} is not in the journal")
                intents.append(intent)
                self.tally.skip(fill for fill in self.journal.fills_of(name) if fill.trade_id in set(counted))
            self.resting[int(column)] = Resting(tuple(intents), bool(item["trailing"]))
        self.tally.totals.update({currency: Decimal(total) for currency, total in state["totals"].items()})
        self.known_orders, self.adjusted = int(state["orders"]), int(state["adjusted"])
        self.uncovered = set(state["uncovered"])
        self.entered = {int(column): int(time) for column, time in state.get("entered", {}).items()}
        off_turn.catch_up(self)

    def __str__(self) -> str:
        return f"{label(self.strategy)}, run {self.name}"
