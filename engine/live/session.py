"""A live session: one strategy on one account, bar by bar, every step in the journal before it is acted on.

    session = Session(strategy, desk, window, feed, gateway, journal, run="btc-1")
    await session.run()

At each turn of the bars, in this order, as `engine.paper` has it:

1. What barriers' orders on the exchange have done since is looked up and booked.
2. The bar that has closed is added to the window; the loss limits are asked; the strategy decides, once.
3. The new bar has opened: what waits goes at the market, what frees cash first, each order judged by the risk limits
   and by cash as it goes, and each answer booked before the next one goes.
4. Barriers of what was opened, changed or moved go to rest on the exchange, so that they survive our death.
5. The bar is done: the account's state is in the journal, and a restart goes on from there.

A session that dies within a turn does the same turn again: what was decided is read from the journal, order ids are the
same, so that an order that went is found and not sent again. Turns that it slept through are not traded.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import LadderError, ValidationError
from data.market import Market
from engine import guard, reasons
from engine.live.bars import Bar, BarWindow
from engine.live.desk import Ask, Desk, Filled
from engine.live.feed import CandleFeed, Turn
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.order_state import OrderIntent, OrderReport, State, client_id
from engine.live.safety import Stop
from engine.live.tally import Tally
from engine.live.treatments import Treatment
from engine.precision import amount_text, price_text
from engine.strategy import Strategy, label
from engine.venue import Venue

_LOG = logging.getLogger(__name__)
# What a buy that the exchange's funds did not pay is cut to: a price that has moved this far is paid as well.
_HEADROOM: Final = 0.002
_CLOSING: Final = {True: reasons.TRAILING_STOP, False: reasons.STOP_LOSS}


class SessionHaltedError(LadderError):
    """The session has stopped trading, and a person must look before it goes on."""


@dataclass
class Resting:
    """A position's barriers on the exchange: the order, and whether its stop is the trailing one."""

    intent: OrderIntent
    trailing: bool


@dataclass
class TurnTimes:
    """Seconds within one turn, by this machine's clock: until it was decided, and until the first order was to go."""

    decided: float = 0.0
    sent: float | None = None


@dataclass(eq=False)
class Session:
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
    """

    strategy: Strategy
    desk: Desk
    window: BarWindow
    feed: CandleFeed
    gateway: Gateway
    journal: Journal
    name: str
    venues: Mapping[str, Venue]
    tally: Tally
    stop: Stop
    enrich: Callable[[Market], Market] | None = None
    after_turn: Callable[[int], Awaitable[bool | None]] | None = None
    resting: dict[int, Resting] = field(default_factory=dict)
    times: list[TurnTimes] = field(default_factory=list)
    _bar: int = 0

    async def run(self) -> None:
        """Trade until stopped.

        Raises:
            SessionHaltedError: a loss limit for good, an account that is not what the journal says, or the exchange
                refuses us; what is open is in the journal.
        """
        while not self.stop.asked():
            turn = await self.stop.or_result(self.feed.turn())
            if turn is None:
                break
            await self.take(turn)
            if self.after_turn is not None and await self.after_turn(turn.opened) is False:
                return
        if self.stop.asked():
            await self.halt()

    async def take(self, turn: Turn) -> None:
        """Everything that one turn of the bars asks for."""
        clock = _Clock()
        self._bar = turn.closed
        for time, bars in turn.missed:
            await self._sleep_through(time, bars, turn)
        await self._settle_resting()
        self.window.add(turn.closed, turn.bars)
        targets, scale = self._decided(turn.closed)
        moved, halts = self.desk.close(self._columns(turn.bars), targets, scale)
        self._write_events()
        if halts != guard.NO_RULE:
            self.journal.record_risk_event(self.name, "halt", "", {"rule": guard.RULES[halts], "bar": turn.closed})
        times = TurnTimes(clock.passed())
        self.times.append(times)
        changed = set(moved)
        self.desk.open(turn.opened, {self._column(symbol): price for symbol, price in turn.opens.items()})
        changed |= await self._orders(times, clock)
        for column in sorted(changed):
            await self._protect(column)
        self._write_events()
        self.journal.record_bar_done(self.name, turn.opened, self._state())

    # Deciding.

    def _decided(self, bar: int) -> tuple[list[float] | None, list[float] | None]:
        """The targets of a closed bar, and the scale of its barriers: decided once, then read from the journal."""
        market = self.window.market()
        if self.enrich is not None:
            market = self.enrich(market)
        symbols = list(market.symbols)
        inputs = _digest(market)
        targets = self.strategy.decide(market)[symbols].tolist()
        scales = self.strategy.scale(market)
        scale = None
        if scales is not None:
            scale = [1.0 if value != value else float(value) for value in scales.iloc[-1][symbols]]
        before = {symbol: target for time, symbol, target, _ in self.journal.decisions_at(self.name, bar)}
        if before:  # a turn that is done again: what was decided stands, whatever came in since
            return [before.get(symbol, float("nan")) for symbol in symbols], scale
        for symbol, target in zip(symbols, targets, strict=True):
            self.journal.record_decision(self.name, bar, symbol, target, inputs)
        return targets, scale

    async def _sleep_through(self, time: int, bars: Mapping[str, Bar], turn: Turn) -> None:
        """A bar that closed while nobody decided: it is marked, and nothing is traded on it."""
        self.journal.record_incident(self.name, "bar not decided on", {"bar": time, "opened": turn.opened})
        self.window.add(time, bars)
        await self._settle_resting()
        self.desk.waiting.clear()  # decided for an open that is over
        self.desk.close(self._columns(bars), None, None)
        self.desk.open(time + 1, {})

    # Orders.

    async def _orders(self, times: TurnTimes, clock: _Clock) -> set[int]:
        """Send what is due at this open; columns whose barriers are to be set anew."""
        changed = set[int]()
        for column in self.desk.expired(enlarging=True):
            changed |= await self._close_out(column)
        for column in self.desk.due():
            if column not in self.desk.waiting:
                continue
            if not await self._free(column):
                changed.add(column)
                continue
            ask = self.desk.ask(column)
            self._write_events()
            if ask is None:
                changed.add(column)
                continue
            if times.sent is None:
                times.sent = clock.passed()
            await self._send(ask, "target")
            changed.add(column)
        for column in self.desk.expired(enlarging=False):
            changed |= await self._close_out(column)
        return changed

    async def _close_out(self, column: int) -> set[int]:
        if await self._free(column):
            await self._send(self.desk.closing(column, reasons.TIME_LIMIT), "time")
        return {column}

    async def _send(self, ask: Ask, leg: str) -> None:
        symbol = self._symbol(ask.column)
        venue, side = self.venues[symbol], "buy" if ask.amount > 0.0 else "sell"
        amount, attempt = amount_text(venue, abs(ask.amount)), 0
        while Decimal(amount) > 0:
            intent = OrderIntent(
                client_id=client_id(self.name, self._bar, symbol, leg, attempt),
                symbol=symbol,
                side=side,
                kind="market",
                amount=amount,
                price=None,
                stop_price=None,
                post_only=False,
                reason=reasons.reason_text(ask.waiting.reason, ask.cut),
                bar=self._bar,
                leg=leg,
                expected_price=ask.price,
            )
            # A turn that is done again finds what it wrote down the first time; that is the order that may have gone.
            intent = self.journal.intent(intent.client_id) or intent
            amount = intent.amount
            report = await self.gateway.place(intent)
            self._book(report, ask)
            if report.state is State.UNKNOWN:
                raise SessionHaltedError(
                    f"{symbol}: nobody can say what became of order {report.intent.client_id} ({report.detail}); "
                    "nothing more is sent. Look at the exchange, then start again: it is looked up first"
                )
            if report.treatment is not Treatment.CUT_TO_FUNDS or side == "sell" or attempt:
                return
            # Prices have moved since the open: what the account pays now.
            free = (await self.gateway.balance_parts()).get(self.tally.quote)
            rate = self.desk.account.rates[ask.column][1]
            payable = 0.0 if free is None else float(free.free) / (ask.price * (1.0 + rate) * (1.0 + _HEADROOM))
            amount, attempt = amount_text(venue, min(payable, float(amount))), attempt + 1
            self.journal.record_risk_event(self.name, "cut to funds", symbol, {"amount": amount})

    def _book(self, report: OrderReport, ask: Ask) -> None:
        filled = self.tally.count(report.fills)
        if filled is not None:
            self.desk.book(ask, filled, self.tally.held(self._symbol(ask.column)), self.tally.cash)

    # Barriers on the exchange.

    async def _protect(self, column: int) -> None:
        """Have a position's barriers rest on the exchange where they stand now; none without a position."""
        symbol, venue = self._symbol(column), self.venues[self._symbol(column)]
        stop, profit = self.desk.levels(column)
        amount = amount_text(venue, abs(self.desk.account.closing(column)))
        has_stop, has_profit = stop == stop, profit == profit
        if not (has_stop or has_profit) or Decimal(amount) == 0:
            await self._free(column)
            return
        side = "sell" if self.desk.account.holdings[column].held > 0.0 else "buy"
        kind = "oco" if has_stop and has_profit else "stop" if has_stop else "limit"
        prices = (price_text(venue, profit) if has_profit else None, price_text(venue, stop) if has_stop else None)
        before = self.resting.get(column)
        trailing = self.desk.account.holdings[column].trailing
        if before is not None:
            told = before.intent
            if (told.kind, told.side, told.amount, told.price, told.stop_price) == (kind, side, amount, *prices):
                before.trailing = trailing
                return
            if not await self._free(column):
                return
        intent = self._next_attempt(
            OrderIntent(
                client_id=client_id(self.name, self._bar, symbol, "barriers"),
                symbol=symbol,
                side=side,
                kind=kind,
                amount=amount,
                price=prices[0],
                stop_price=prices[1],
                post_only=False,
                reason="barriers",
                bar=self._bar,
                leg="barriers",
                expected_price=stop if has_stop else profit,
            )
        )
        report = await self.gateway.place(intent)
        if report.state is State.REJECTED:
            # The market is beyond it already, or the exchange has no such order: the position leaves now.
            self.journal.record_incident(self.name, "barriers refused", {"symbol": symbol, "why": report.detail})
            await self._send(self.desk.closing(column, _CLOSING[trailing]), "unprotected")
            return
        self.resting[column] = Resting(intent, trailing)
        self._took_back(column, report)

    def _next_attempt(self, intent: OrderIntent) -> OrderIntent:
        """The order under the first id of its turn that no other order has, nor one like it that has ended."""
        attempt = 0
        while True:
            known = self.journal.intent(intent.client_id)
            if known is None:
                return intent
            state = self.journal.state(intent.client_id)
            if known == intent and state is not None and not state.final:
                return known
            attempt += 1
            name = client_id(self.name, intent.bar, intent.symbol, intent.leg, attempt)
            intent = replace(intent, client_id=name)

    async def _free(self, column: int) -> bool:
        """Take a position's barriers off the exchange; False where one of them has filled meanwhile."""
        resting = self.resting.get(column)
        if resting is None:
            return True
        return not self._took_back(column, await self.gateway.cancel(resting.intent))

    async def _settle_resting(self) -> None:
        """Look up every barrier's order: what it has sold or bought back is booked."""
        for column in sorted(self.resting):
            report = await self.gateway.look_up(self.resting[column].intent)
            if report is not None:
                self._took_back(column, report)

    def _took_back(self, column: int, report: OrderReport) -> bool:
        """Book what a barrier's order has done; whether it did anything."""
        resting = self.resting[column]
        if report.state.final:
            del self.resting[column]
        filled = self.tally.count(report.fills)
        if filled is None:
            return False
        reason = _CLOSING[resting.trailing] if _is_stop(resting.intent, filled) else reasons.TAKE_PROFIT
        self.desk.left(column, filled, reason, self.tally.held(self._symbol(column)), self.tally.cash)
        return True

    # Ending.

    async def halt(self) -> None:
        """Stop for good: nothing rests any more; with `stop.flatten` nothing is held either."""
        self.journal.record_incident(self.name, "stopped", {"why": self.stop.why, "flatten": self.stop.flatten})
        for column in sorted(self.resting):
            if self.stop.flatten or not self.stop.keeps_barriers:
                await self._free(column)
        if self.stop.flatten:
            for column in range(len(self.window.symbols)):
                if self.desk.account.is_open(column):
                    await self._send(self.desk.closing(column, reasons.TARGET), "flatten")
        self.journal.record_bar_done(self.name, self.desk.account.now, self._state())

    # Small things.

    def _symbol(self, column: int) -> str:
        return self.window.symbols[column]

    def _column(self, symbol: str) -> int:
        return self.window.symbols.index(symbol)

    def _columns(self, bars: Mapping[str, Bar]) -> dict[int, Bar]:
        return {self._column(symbol): bar for symbol, bar in bars.items()}

    def _write_events(self) -> None:
        for decided, column, verdict, rule, wanted, allowed in self.desk.account.taken_events():
            symbol = "" if column is None else self._symbol(column)
            detail = {"decided": decided, "rule": rule, "wanted": wanted, "allowed": allowed}
            self.journal.record_risk_event(
                self.name, verdict, symbol, {key: None if value != value else value for key, value in detail.items()}
            )

    def _state(self) -> dict[str, Any]:
        resting = {
            str(column): {
                "client_id": item.intent.client_id,
                "trailing": item.trailing,
                "counted": self.tally.counted(self.journal.fills_of(item.intent.client_id)),
            }
            for column, item in self.resting.items()
        }
        return {
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
        for column, item in state["resting"].items():
            intent = self.journal.intent(item["client_id"])
            if intent is None:
                raise ValidationError(f"run {self.name!r}: order {item['client_id']} is not in the journal")
            self.resting[int(column)] = Resting(intent, bool(item["trailing"]))
            counted = set(item["counted"])
            self.tally.skip(fill for fill in self.journal.fills_of(intent.client_id) if fill.trade_id in counted)
        self.tally.totals.update({currency: Decimal(total) for currency, total in state["totals"].items()})

    def __str__(self) -> str:
        return f"{label(self.strategy)}, run {self.name}"


class _Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        import time

        self._now = time.perf_counter
        self._began = self._now()

    def passed(self) -> float:
        return self._now() - self._began


def _is_stop(intent: OrderIntent, filled: Filled) -> bool:
    """Whether a fill is of the stop of a position's barriers, by its price."""
    if intent.price is None or intent.stop_price is None:
        return intent.stop_price is not None
    stop, profit = float(intent.stop_price), float(intent.price)
    return abs(filled.price - stop) < abs(filled.price - profit)


def _digest(market: Market) -> str:
    """Of what a decision was taken on."""
    digest = hashlib.sha256(repr((market.symbols, sorted(market))).encode())
    digest.update(pd.DatetimeIndex(market.index).as_unit("ns").asi8.tobytes())
    for name in sorted(market):
        digest.update(np.ascontiguousarray(market[name].to_numpy(dtype=np.float64)).tobytes())
    return digest.hexdigest()[:32]
