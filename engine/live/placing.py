"""The part of a session that sends: what goes when a bar opens, and what rests on the exchange after it.

Orders of an open leave in waves (`engine.live.waves`): all of a wave together, then what came of each is booked in the
sequence in which it was judged, then the next wave. Barriers of all positions that have changed rest together too.

A process that died within a turn has left in the journal what it wrote down for it. Those orders go first, as they were
written: they are found where they arrived, whatever would be judged of them now.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from data.errors import LadderError
from engine import reasons, rules
from engine.live.bars import BarWindow
from engine.live.books import is_perpetual
from engine.live.desk import Ask, Desk, Filled
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.order_state import OrderIntent, OrderReport, State, client_id
from engine.live.safety import Stop
from engine.live.tally import Tally
from engine.live.treatments import Treatment
from engine.live.waves import next_wave
from engine.live.what_rests import Rests
from engine.precision import amount_text, price_text
from engine.venue import Venue

# What a buy that the exchange's funds did not pay is cut to: a price that has moved this far is paid as well.
_HEADROOM: Final = 0.002
_CLOSING: Final = {True: reasons.TRAILING_STOP, False: reasons.STOP_LOSS}
_BARRIERS: Final = "barriers"
_TARGET: Final = "target"  # the one leg of an order at the market that may open a position
_LEGS: Final = (_TARGET, "time", "unprotected", _BARRIERS)


class SessionHaltedError(LadderError):
    """The session has stopped trading, and a person must look before it goes on."""


@dataclass
class Resting:
    """A position's barriers on the exchange: the orders that rest, and whether their stop is the trailing one."""

    intents: tuple[OrderIntent, ...]
    trailing: bool

    @property
    def legs(self) -> set[str]:
        """The client ids that they have at the exchange."""
        return {leg for intent in self.intents for leg in intent.legs}

    def ended(self, intent: OrderIntent) -> None:
        """One of them rests no more."""
        self.intents = tuple(one for one in self.intents if one != intent)


@dataclass
class TurnTimes:
    """Seconds within one turn, by this machine's clock: until it was decided, and until the first order was to go."""

    decided: float = 0.0
    sent: float | None = None


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def passed(self) -> float:
        """So many."""
        return time.perf_counter() - self._began


@dataclass(eq=False, kw_only=True)
class Placing:
    """See the module; `Session` says what its parts are."""

    desk: Desk
    window: BarWindow
    gateway: Gateway
    journal: Journal
    name: str
    venues: Mapping[str, Venue]
    tally: Tally
    stop: Stop
    rests: Rests = field(default_factory=Rests)
    resting: dict[int, Resting] = field(default_factory=dict)
    entered: dict[int, int] = field(default_factory=dict)
    turns: int = 0
    _bar: int = 0

    # Orders.

    async def _orders(self, times: TurnTimes, clock: Clock) -> set[int]:
        """Send what is due at this open; columns whose barriers are to be set anew."""
        changed = await self._resume(self._bar, send=not self.stop.asked())
        leaving = self.desk.expired(enlarging=True)
        due = [column for column in self.desk.due() if column not in leaving]
        changed |= {*leaving, *due}
        free = await self._free_all([*leaving, *due])
        closing = self._closing(column for column in leaving if column in free)
        rest = [column for column in due if column in free and column in self.desk.waiting]
        while (closing or rest) and not self.stop.asked():
            asks, rest = next_wave(self.desk, rest, closing)
            self._write_events()
            if times.sent is None and (closing or asks):
                times.sent = clock.passed()
            await self._send_all([*((ask, "time") for ask in closing), *((ask, _TARGET) for ask in asks)])
            closing = []
        late = self.desk.expired(enlarging=False)
        free = await self._free_all(late)
        await self._send_all([(ask, "time") for ask in self._closing(column for column in late if column in free)])
        return changed | set(late)

    def _closing(self, columns: Iterable[int]) -> list[Ask]:
        return [self.desk.closing(column, reasons.TIME_LIMIT) for column in columns]

    async def _send(self, ask: Ask, leg: str) -> None:
        await self._send_all([(ask, leg)])

    async def _send_all(self, orders: Sequence[tuple[Ask, str]]) -> None:
        """Send orders at the market together, then book what came of each.

        Raises:
            SessionHaltedError: nobody can say what became of one.
        """
        pairs = [(ask, intent) for ask, leg in orders if (intent := self._market(ask, leg)) is not None]
        reports = await self.gateway.place_many([intent for _, intent in pairs])
        for (ask, _), report in zip(pairs, reports, strict=True):
            self._book(report, ask)
        self._halt_on_unknown(reports)
        for (ask, intent), report in zip(pairs, reports, strict=True):
            opens = intent.side == "buy" or (is_perpetual(intent.symbol) and not intent.reduce_only)
            if report.treatment is Treatment.CUT_TO_FUNDS and opens:
                await self._send_payable(intent, ask)

    def _market(self, ask: Ask, leg: str, attempt: int = 0, amount: str = "") -> OrderIntent | None:
        """An order at the market; None where nothing is left of it in whole steps."""
        symbol = self._symbol(ask.column)
        amount = amount or amount_text(self.venues[symbol], abs(ask.amount))
        if Decimal(amount) == 0:
            return None
        return OrderIntent(
            client_id=client_id(self.name, self._bar, symbol, leg, attempt),
            symbol=symbol,
            side="buy" if ask.amount > 0.0 else "sell",
            kind="market",
            amount=amount,
            price=None,
            stop_price=None,
            post_only=False,
            reason=reasons.reason_text(ask.waiting.reason, ask.cut),
            bar=self._bar,
            leg=leg,
            expected_price=ask.price,
            reduce_only=leg != _TARGET and is_perpetual(symbol),
        )

    async def _send_payable(self, refused: OrderIntent, ask: Ask) -> None:
        """Funds did not pay an order: prices have moved since the open. What the account pays now goes."""
        balance = (await self.gateway.balance_parts()).get(self.tally.quote)
        payable = self._payable(ask, 0.0 if balance is None else float(balance.free))
        amount = amount_text(self.venues[refused.symbol], min(payable, float(refused.amount)))
        self.journal.record_risk_event(self.name, "cut to funds", refused.symbol, {"amount": amount})
        intent = self._market(ask, refused.leg, 1, amount)
        if intent is not None:
            report = await self.gateway.place(intent)
            self._book(report, ask)
            self._halt_on_unknown([report])

    def _payable(self, ask: Ask, free: float) -> float:
        """The amount of an order that free money, or free margin, pays once its price has moved by the headroom."""
        account, column = self.desk.account, ask.column
        rate: float = account.rates[column][1]
        if not is_perpetual(self._symbol(column)):
            return free / (ask.price * (1.0 + rate) * (1.0 + _HEADROOM))
        position, leverage = account.holdings[column], account.terms[column]["leverage"]
        worse = ask.price * (1.0 + _HEADROOM if ask.amount > 0.0 else 1.0 - _HEADROOM)
        return float(abs(rules.payable_amount(ask.amount, position.held, position.mark, worse, rate, leverage, free)))

    def _halt_on_unknown(self, reports: Iterable[OrderReport]) -> None:
        for report in reports:
            if report.state is State.UNKNOWN:
                raise SessionHaltedError(
                    f"{report.intent.symbol}: nobody can say what became of order {report.intent.client_id} "
                    f"({report.detail}); nothing more is sent. Look at the exchange, then start again: it is looked up "
                    "first"
                )

    def _book(self, report: OrderReport, ask: Ask) -> None:
        filled = self.tally.count(report.fills)
        if filled is None:
            return
        if self.desk.book(ask, filled, self.tally.held(self._symbol(ask.column)), self.tally.cash):
            self.entered[ask.column] = max(fill.at for fill in report.fills)

    async def _resume(self, bar: int, *, send: bool) -> set[int]:
        """Carry on with the orders that an earlier process of this run wrote down for a bar; their columns.

        Args:
            bar: which decided them.
            send: those that never arrived are sent again. Without it their time is over.
        """
        written = [intent for intent in self.journal.orders_at(self.name, bar) if intent.leg in _LEGS]
        orders = [intent for intent in written if intent.leg != _BARRIERS]
        reports = (
            await self.gateway.place_many(orders)
            if send
            else await asyncio.gather(*(self.gateway.settle(intent) for intent in orders))
        )
        for intent, report in zip(orders, reports, strict=True):
            signed = float(intent.amount) if intent.side == "buy" else -float(intent.amount)
            self._book(report, self.desk.written(self._column(intent.symbol), signed, intent.expected_price))
        self._halt_on_unknown(reports)
        # Barriers that never arrived are not waited for: what is to rest then is set anew.
        barriers = [intent for intent in written if intent.leg == _BARRIERS]
        reports = await asyncio.gather(*(self.gateway.settle(intent) for intent in barriers))
        self._halt_on_unknown(reports)
        for report in reports:
            if report.state is not State.REJECTED:
                column = self._column(report.intent.symbol)
                self._rests(column, report.intent)
                self._took_back(column, report)
        return {self._column(intent.symbol) for intent in written}

    # Barriers on the exchange.

    async def _protect(self, column: int) -> None:
        """As `_protect_all`, of one."""
        await self._protect_all([column])

    async def _protect_all(self, columns: Iterable[int]) -> None:
        """Have the barriers of positions rest on the exchange where they stand now; none without a position."""
        chosen = sorted(columns)
        moved = [column for column in chosen if column in self.resting and not self._stands(column)]
        await self._free_all(moved)
        orders: list[tuple[int, OrderIntent]] = []
        for column in chosen:
            for intent in () if column in self.resting else self._barriers(column):
                orders.append((column, self._next_attempt(intent)))
        refused = set()
        reports = await self.gateway.place_many([intent for _, intent in orders])
        for (column, _), report in zip(orders, reports, strict=True):
            if report.state is State.REJECTED:
                # The market is beyond it already, or the exchange has no such order: the position leaves now.
                detail = {"symbol": report.intent.symbol, "why": report.detail}
                self.journal.record_incident(self.name, "barriers refused", detail)
                refused.add(column)
                continue
            self._rests(column, report.intent)
            self._took_back(column, report)
        # What rests beside one that was refused goes; where it has filled meanwhile, less is to leave, or nothing.
        await self._free_all(refused)
        leaving = [column for column in sorted(refused) if self.desk.account.is_open(column)]
        trailing = {column: self.desk.account.holdings[column].trailing for column in leaving}
        await self._send_all([(self.desk.closing(at, _CLOSING[trailing[at]]), "unprotected") for at in leaving])

    def _rests(self, column: int, intent: OrderIntent) -> None:
        """An order of a position's barriers rests on the exchange, beside others of its."""
        self.desk.levels(column)  # says which stop it is
        resting = self.resting.setdefault(column, Resting((), self.desk.account.holdings[column].trailing))
        resting.intents = (*(one for one in resting.intents if one != intent), intent)

    def _stands(self, column: int) -> bool:
        """Whether what rests for a position is what should; then it is told whether its stop is the trailing one."""
        resting, wanted = self.resting[column], self._barriers(column)
        if not wanted or {_shape(one) for one in resting.intents} != {_shape(one) for one in wanted}:
            return False
        resting.trailing = self.desk.account.holdings[column].trailing
        return True

    def _barriers(self, column: int) -> list[OrderIntent]:
        """The orders that a position's barriers are now; none without a position, or without barriers that rest.

        A stop beside a profit is one OCO order on spot. A perpetual's are two that only reduce: what the one leaves of
        the other when it fills can open nothing, until it is cancelled.
        """
        symbol, venue = self._symbol(column), self.venues[self._symbol(column)]
        stop, profit = self.desk.levels(column)
        amount = amount_text(venue, abs(self.desk.account.closing(column)))
        has_stop, has_profit = self.rests.stop and stop == stop, self.rests.profit and profit == profit
        if not (has_stop or has_profit) or Decimal(amount) == 0:
            return []
        apart = is_perpetual(symbol)
        kinds = [kind for kind, has in (("stop", has_stop), ("limit", has_profit)) if has]
        return [
            OrderIntent(
                client_id=client_id(self.name, self._bar, symbol, _BARRIERS),
                symbol=symbol,
                side="sell" if self.desk.account.holdings[column].held > 0.0 else "buy",
                kind=kind,
                amount=amount,
                price=price_text(venue, profit) if kind != "stop" else None,
                stop_price=price_text(venue, stop) if kind != "limit" else None,
                post_only=False,
                reason=_BARRIERS,
                bar=self._bar,
                leg=_BARRIERS,
                expected_price=profit if kind == "limit" else stop,
                reduce_only=apart,
            )
            for kind in (kinds if apart or len(kinds) == 1 else ["oco"])
        ]

    def _next_attempt(self, intent: OrderIntent) -> OrderIntent:
        """The order under the first id of its turn that no other order has, nor one like it that has ended."""
        attempt, intent = 0, replace(intent, client_id=self._named(intent, 0))
        while True:
            known = self.journal.intent(intent.client_id)
            if known is None:
                return intent
            state = self.journal.state(intent.client_id)
            if known == intent and state is not None and not state.final:
                return known
            attempt += 1
            intent = replace(intent, client_id=self._named(intent, attempt))

    def _named(self, intent: OrderIntent, attempt: int) -> str:
        """The client id of an attempt at an order: of a perpetual's barriers each has its own."""
        apart = intent.leg == _BARRIERS and is_perpetual(intent.symbol)
        leg = f"{intent.leg} {intent.kind}" if apart else intent.leg
        return client_id(self.name, intent.bar, intent.symbol, leg, attempt)

    async def _free(self, column: int) -> bool:
        """Take a position's barriers off the exchange; False where one of them has filled meanwhile."""
        return column in await self._free_all([column])

    async def _free_all(self, columns: Collection[int]) -> set[int]:
        """Take the barriers of positions off the exchange together; the columns of which none has filled meanwhile."""
        orders = [
            (column, intent) for column in columns if column in self.resting for intent in self.resting[column].intents
        ]
        cancels = (self.gateway.cancel(intent) for _, intent in orders)
        reports = await asyncio.gather(*cancels, return_exceptions=True)
        free = set(columns)
        for (column, _), report in zip(orders, reports, strict=True):
            if isinstance(report, OrderReport) and self._took_back(column, report):
                free.discard(column)
        for report in reports:
            if isinstance(report, BaseException):
                raise report
        return free

    def _took_back(self, column: int, report: OrderReport) -> bool:
        """Book what a barrier's order has done; whether it did anything."""
        resting = self.resting[column]
        if report.state.final:
            resting.ended(report.intent)
            if not resting.intents:
                del self.resting[column]
        filled = self.tally.count(report.fills)
        if filled is None:
            return False
        reason = _CLOSING[resting.trailing] if _is_stop(report.intent, filled) else reasons.TAKE_PROFIT
        self.desk.left(column, filled, reason, self.tally.held(self._symbol(column)), self.tally.cash)
        return True

    # Small things.

    def _symbol(self, column: int) -> str:
        return self.window.symbols[column]

    def _column(self, symbol: str) -> int:
        return self.window.symbols.index(symbol)

    def _write_events(self) -> None:
        for decided, column, verdict, rule, wanted, allowed in self.desk.account.taken_events():
            symbol = "" if column is None else self._symbol(column)
            detail = {"decided": decided, "rule": rule, "wanted": wanted, "allowed": allowed}
            self.journal.record_risk_event(
                self.name, verdict, symbol, {key: None if value != value else value for key, value in detail.items()}
            )


def _shape(intent: OrderIntent) -> tuple[str | None, ...]:
    """What an order is, whatever its name."""
    return intent.kind, intent.side, intent.amount, intent.price, intent.stop_price


def _is_stop(intent: OrderIntent, filled: Filled) -> bool:
    """Whether a fill is of the stop of a position's barriers, by its price."""
    if intent.price is None or intent.stop_price is None:
        return intent.stop_price is not None
    stop, profit = float(intent.stop_price), float(intent.price)
    return abs(filled.price - stop) < abs(filled.price - profit)
