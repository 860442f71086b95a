"""Where orders leave: each once, whatever is lost on the way, and every fill of theirs into the journal.

    gateway = Gateway(exchange, journal, run="btc-1")
    for intent in journal.unsettled("btc-1"):       # after a restart, before anything else
        await gateway.settle(intent)
    report = await gateway.place(intent)

An order goes through these steps, each on the disk before the next is taken:

1. `intended` and `sent`, in one transaction; then one request leaves.
2. An answer: the order's state, its ids and its fills, in one transaction. A refusal: `rejected`.
3. No answer, or none that says what became of it (`treatments`): `unknown`, with the latest timestamp that the request
   can bear. The exchange is asked for the order by its client id until it answers. What it finds is step 2.
4. Not found: that is certain only of a lookup that began when the exchange's clock was past that timestamp +
   recvWindow, for until then the request may still be executed. A second such lookup and the list of recent orders must
   agree. Then `sent` again, under the same id, with one request; or, by `settle`, `rejected`.

A process that dies between any two of these leaves an order whose last step is `intended` (nothing left: step 1),
`sent` or `unknown` (step 3, the present being the latest timestamp that a request of a dead process can bear).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

from data.errors import ValidationError
from engine.live.account_reader import AccountReader
from engine.live.answers import Told, acknowledges, client_id_in, read_order, state_of
from engine.live.calls import LONGEST_PAUSE, CallError, Calls, Clock, Failure, HaltError, UnreachableError
from engine.live.journal import Journal
from engine.live.order_lookup import cancelling, lookups, recent
from engine.live.order_request import check_precision, request_of
from engine.live.order_state import TRANSITIONS, Fill, OrderIntent, OrderReport, State, sum_of
from engine.live.treatments import FINAL, REFUSALS, Treatment

# What streams tell is read as it comes: of the thousand candles and orders that ccxt keeps, few are looked at again.
_CACHED: Final = dict.fromkeys(("OHLCVLimit", "ordersLimit", "tradesLimit"), 100)
_AHEAD: Final = 1000  # ms by which a timestamp may be ahead of Binance's clock
_OPEN: Final = (State.ACKNOWLEDGED, State.PARTLY_FILLED)
_NO_WORD: Final = Failure("RequestTimeout", "no usable answer for as long as we were ready to ask", Treatment.LOOK_UP)
_REFUSED: Final = {Treatment.REJECTED: "rejected", Treatment.CUT_TO_FUNDS: "refused for funds"}  # incidents
_NEVER: Final = "it never arrived, and is not sent again"


class Gateway(AccountReader):
    """Places, looks up and cancels orders on one account.

    Args:
        exchange: of ccxt.pro, its markets loaded and its keys set. Its option recvWindow is set, and ccxt's own
            repeating of failed requests is switched off: it would send an order twice.
        journal: of this account; the run is begun in it, or taken up.
        run: whose orders these are.
        margin_in: currency that the account's perpetuals settle in; None on spot.
        timeout: seconds for one request.
        recv_window: ms from a request's timestamp for which the exchange may execute it. An exchange that knows no such
            window needs a number after which a lost request is certainly gone.
        patience: seconds to go on asking an exchange that does not answer; then the report's state is `unknown`.
        settle: seconds between the two lookups that must agree; an exchange may take that long to show an order.
        resend_within: seconds from a call of `place` after which an order that did not arrive is too old to be sent
            again: it is then `rejected`. None for as long as `patience`.
        clock: for pauses and timeouts.

    Raises:
        ValidationError: a setting out of range, or an exchange set up to repeat requests by itself.
    """

    def __init__(
        self,
        exchange: Any,
        journal: Journal,
        *,
        run: str,
        margin_in: str | None = None,
        timeout: float = 10.0,
        recv_window: int = 2000,
        patience: float = 300.0,
        settle: float = 1.0,
        resend_within: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not (timeout > 0 and patience >= 0 and settle >= 0 and 0 < recv_window <= 60_000):
            raise ValidationError(
                f"Gateway: timeout {timeout!r} must be above 0, patience {patience!r} and settle {settle!r} at least "
                f"0, recv_window {recv_window!r} from 1 to 60000 ms"
            )
        nested = [one.get("maxRetriesOnFailure") for one in exchange.options.values() if isinstance(one, Mapping)]
        if any(nested):
            raise ValidationError("Gateway: an option maxRetriesOnFailure of ccxt would send orders twice; take it out")
        exchange.options["maxRetriesOnFailure"] = 0
        exchange.options["recvWindow"] = recv_window
        exchange.options |= _CACHED
        exchange.timeout = int(timeout * 1000)
        journal.start_run(run, str(exchange.id))
        # Three times what ccxt gives one request: it may have to wait for its turn first.
        super().__init__(exchange, journal, run, Calls(exchange, 3.0 * timeout, clock), patience, margin_in)
        self._recv_window, self._settle = recv_window, settle
        self._resend_within = patience if resend_within is None else resend_within
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # gone with the last that waits

    @property
    def recv_window(self) -> int:
        """ms from a request's timestamp for which the exchange may execute it."""
        return self._recv_window

    async def place(self, intent: OrderIntent) -> OrderReport:
        """Place an order, or find out what became of it if it was placed before: to call it again is harmless.

        Returns:
            What is known in the end; `unknown` where the exchange did not answer for `patience` seconds, and then
            nothing else may be sent that this order bears on, until `place` or `settle` says more.

        Raises:
            ValidationError: ccxt would round the amount or a price, or the journal has another order of this id.
            HaltError: the exchange refuses us as such.
        """
        return (await self.place_many([intent]))[0]

    async def place_many(self, intents: Sequence[OrderIntent]) -> list[OrderReport]:
        """Place orders at once: all are written down in one transaction, then all leave. As `place`, in their order."""
        for intent in intents:
            check_precision(self._exchange, intent)
        if len({intent.client_id for intent in intents}) < len(intents):
            raise ValidationError("place_many: the same client id twice; each order needs its own")
        if not intents:
            return []
        fresh = self._journal.intend(self._run, intents, sent=self._request())
        tasks = [self._guarded(intent, fresh=intent.client_id in fresh, resend=True) for intent in intents]
        reports = await asyncio.gather(*tasks, return_exceptions=True)
        for report in reports:
            if isinstance(report, BaseException):
                raise report
        return [report for report in reports if isinstance(report, OrderReport)]

    async def settle(self, intent: OrderIntent) -> OrderReport:
        """Find out what became of an order, and send nothing: one that never arrived is `rejected`, and never sent.

        For an order whose time is over, after a restart. One that rests on the exchange is reported as it is.

        Raises:
            ValidationError: the order is not in the journal.
            HaltError: the exchange refuses us as such.
        """
        self._known(intent)
        if self._journal.state(intent.client_id) is State.INTENDED:
            self._note(intent, State.REJECTED, {"why": "never sent"})
        return await self._guarded(intent, fresh=False, resend=False)

    async def look_up(self, intent: OrderIntent) -> OrderReport | None:
        """Ask the exchange for an order once it answers, and write down what it says; None where it does not know it.

        None is not certain right after a lost request: `place` and `settle` are.

        Raises:
            UnreachableError: no answer for `patience` seconds.
            HaltError: the exchange refuses us as such.
        """
        self._known(intent)
        return await self._find(intent, self._deadline())

    async def cancel(self, intent: OrderIntent) -> OrderReport:
        """Cancel what is left of an order, and find out how much of it was filled. To call it again is harmless.

        An order that was never sent is `cancelled` and stays unsent; one that is unknown is found out about first.

        Raises:
            UnreachableError: no answer for `patience` seconds; the order may or may not be cancelled.
            HaltError: the exchange refuses us as such.
        """
        self._known(intent)
        if self._journal.state(intent.client_id) is State.INTENDED:
            self._note(intent, State.CANCELLED, {"why": "withdrawn before it was sent"})
        report = await self._guarded(intent, fresh=False, resend=False)
        until, attempt = self._deadline(), 0
        while not report.state.final:
            failure = _NO_WORD
            try:
                await self._calls.once(*cancelling(self._exchange, intent.symbol, intent.legs[0]), until=until)
            except HaltError:
                raise
            except CallError as error:
                failure = error.failure
            if failure.treatment is Treatment.HALT:
                raise self._halt("cancel_order", failure, intent)
            if failure.treatment is Treatment.RESYNC_CLOCK:
                await self._calls.resync(until)
            report = await self._find(intent, until) or report
            if report.state.final:
                break
            if self._calls.clock.monotonic() >= until:
                raise UnreachableError("cancel_order", failure)
            await self._calls.pause(attempt, failure.treatment)
            attempt += 1
        return report

    def report(self, intent: OrderIntent, treatment: Treatment | None = None, detail: str = "") -> OrderReport:
        """What the journal knows of an order, without asking the exchange."""
        fills = self._journal.fills_of(intent.client_id)
        state = self._journal.state(intent.client_id) or State.INTENDED
        if state is State.REJECTED and treatment is None:  # of an earlier process, or of an earlier call
            told = self._journal.steps(intent.client_id)[-1].detail
            treatment = Treatment(told["treatment"]) if "treatment" in told else None
            detail = detail or str(told.get("why", ""))
        filled = sum_of(fill.amount for fill in fills)
        return OrderReport(intent, state, filled, fills, self._journal.order_ids(intent.client_id), treatment, detail)

    def hear_order(self, order: Mapping[str, Any]) -> OrderReport | None:
        """Take in an order that a stream tells of (watch_orders); None for one that is not ours.

        Late, doubled and disordered messages do no harm. One that says the order has ended before all of its fills are
        known leaves it open in the journal: `look_up` then fetches them. Of an OCO order a message tells one leg, and
        changes nothing: `look_up` asks for both.
        """
        leg = client_id_in(order) or ""
        intent = self._journal.intent(leg) or self._journal.intent(leg[:-2])
        if intent is None or leg not in intent.legs:
            return None
        told = read_order(order)
        if told is not None and len(intent.legs) == 1:
            self._write(intent, [told], self._fills_in(intent, order))
        return self.report(intent)

    # How it is done ----------------------------------------------------------------------------------------------

    async def _guarded(self, intent: OrderIntent, *, fresh: bool, resend: bool) -> OrderReport:
        """One order at a time by one caller, to its answer or to the end of our patience."""
        async with self._locks.setdefault(intent.client_id, asyncio.Lock()):
            try:
                return await self._carry_on(intent, fresh=fresh, resend=resend)
            except UnreachableError as error:
                why = str(error)
            self._note(intent, State.UNKNOWN, {"why": why})
            self._journal.record_incident(self._run, "unreachable", {"order": intent.client_id, "why": why})
            return self.report(intent, Treatment.LOOK_UP, why)

    async def _carry_on(self, intent: OrderIntent, *, fresh: bool, resend: bool) -> OrderReport:
        begun, until = self._calls.clock.monotonic(), self._deadline()
        refused = False  # the last request, at the door: then one lookup is enough
        while True:
            if not fresh:
                if self._state(intent).final:
                    return self.report(intent)
                found = await self._find(intent, until) if refused else await self._resolve(intent, until)
                if found is not None:
                    return found
                if self._state(intent) in _OPEN:  # a stream has told of it meanwhile
                    refused = False
                    continue
                if not resend or self._calls.clock.monotonic() - begun > self._resend_within:
                    self._note(intent, State.REJECTED, {"why": _NEVER})
                    return self.report(intent, detail=_NEVER)
                if self._calls.clock.monotonic() >= until:
                    raise UnreachableError("create_order", _NO_WORD)
                self._journal.step(intent.client_id, State.SENT, self._request())
            fresh = False
            report, refused = await self._send(intent, until)
            if report is not None:
                return report

    async def _send(self, intent: OrderIntent, until: float) -> tuple[OrderReport | None, bool]:
        """One request. Its report; or None, and whether the exchange refused this request at the door."""
        started, begun = self._calls.signing_time(), self._calls.clock.monotonic()
        failure, answer = None, None
        try:
            answer = await self._calls.once(*request_of(self._exchange, intent), until=until)
        except asyncio.CancelledError:
            self._note(intent, State.UNKNOWN, {"why": "cancelled", "signed_by": self._latest(started, begun)})
            raise
        except CallError as error:
            failure = error.failure
        if failure is not None and failure.treatment in REFUSALS:
            return await self._refused(intent, failure, until)
        why = str(failure or "an answer without the order")
        if failure is None:
            found = await self._take_answer(intent, answer, until)
            if found is not None:
                return found, False
        self._note(intent, State.UNKNOWN, {"why": why, "signed_by": self._latest(started, begun)})
        return None, False

    async def _take_answer(self, intent: OrderIntent, answer: Any, until: float) -> OrderReport | None:
        if len(intent.legs) > 1:
            return await self._find(intent, until)
        if read_order(answer) is None and acknowledges(answer, intent.client_id):
            return await self._find(intent, until)
        if read_order(answer) is None or client_id_in(answer) != intent.client_id:
            return None
        return await self._take(intent, [answer], until)

    async def _refused(self, intent: OrderIntent, failure: Failure, until: float) -> tuple[OrderReport | None, bool]:
        treatment, why = failure.treatment, str(failure)
        first = sum(step.state is State.SENT for step in self._journal.steps(intent.client_id)) == 1
        if treatment is Treatment.HALT:
            # An earlier request may have been executed, and nobody lets us look: a later start will find out.
            self._note(intent, State.REJECTED if first else State.UNKNOWN, {"why": why, "treatment": treatment.value})
            raise self._halt("create_order", failure, intent)
        if treatment is Treatment.RESYNC_CLOCK:
            await self._calls.resync(until)
        if treatment not in FINAL:
            return None, True
        if not first and (found := await self._find(intent, until)) is not None:
            return found, False  # what looked like a refusal was the first request, executed
        self._note(intent, State.REJECTED, {"why": why, "treatment": treatment.value})
        if treatment in _REFUSED:
            self._journal.record_incident(self._run, _REFUSED[treatment], {"order": intent.client_id, "why": why})
        return self.report(intent, treatment, why), False

    async def _resolve(self, intent: OrderIntent, until: float) -> OrderReport | None:
        """What the exchange has of an order; None where it certainly has it not, and never will."""
        found = await self._find(intent, until)
        if found is not None:
            return found
        signed_by = self._signed_by(intent)
        if signed_by is None:  # of a process that died: it signed no later than now
            now = int(await self._calls.ask("fetch_time", until=until))
            signed_by = max(now + _AHEAD, self._calls.signing_time(), self._sent_from(intent))
            self._note(intent, State.UNKNOWN, {"why": "no answer is known", "signed_by": signed_by})
        agreeing = 0
        while True:
            now = int(await self._calls.ask("fetch_time", until=until))
            found = await self._find(intent, until)  # it begins after `now`
            if found is not None:
                return found
            left = signed_by + self._recv_window - now
            agreeing = agreeing + 1 if left < 0 else 0
            if agreeing >= 2:
                return await self._agreed(intent, until)
            if self._calls.clock.monotonic() >= until:
                raise UnreachableError("fetch_order", _NO_WORD)
            await self._calls.clock.sleep(max(self._settle, min(left / 1000.0, LONGEST_PAUSE)))

    async def _agreed(self, intent: OrderIntent, until: float) -> OrderReport | None:
        """The last word on an order that two lookups have not found: the list of recent orders, and our own record."""
        orders: dict[str | None, Any] = {}
        for method, *args in recent(self._exchange, intent.symbol):
            orders |= {client_id_in(order): order for order in await self._ask(method, until, *args)}
        found = [orders.get(leg) for leg in intent.legs]
        if any(found):
            return await self._take(intent, found, until)
        if self._state(intent) in _OPEN:
            raise UnreachableError("fetch_order", Failure("OrderNotFound", "acknowledged once", Treatment.LOOK_UP))
        return None

    async def _find(self, intent: OrderIntent, until: float) -> OrderReport | None:
        """Ask for each of its legs by client id, and write down what is told."""
        found = [await self._order(intent, leg, until) for leg in intent.legs]
        return await self._take(intent, found, until) if any(found) else None

    async def _order(self, intent: OrderIntent, leg: str, until: float) -> Mapping[str, Any] | None:
        for method, *args in lookups(self._exchange, intent.symbol, leg):
            try:
                told: Any = await self._ask(method, until, *args)
            except CallError as error:
                if not error.failure.not_found:
                    raise
                continue
            for order in told if isinstance(told, list) else [told]:
                if read_order(order) is None or client_id_in(order) != leg:
                    raise UnreachableError(method, Failure("NullResponse", "another order", Treatment.LOOK_UP))
                return dict(order)
        return None

    async def _take(self, intent: OrderIntent, orders: Sequence[Mapping[str, Any] | None], until: float) -> OrderReport:
        """Write down what the exchange tells of an order: its fills first, its end only with the last of them."""
        attempt = 0
        while True:
            told = [None if order is None else read_order(order) for order in orders]
            self._write(intent, told, [fill for order in orders if order for fill in self._fills_in(intent, order)])
            _, executed = state_of(intent, told)
            report = self.report(intent)
            for leg in told:
                if leg is not None and report.filled < executed:
                    self._write(intent, told, await self._trades_of(intent.symbol, leg.order_id, until))
                    report = self.report(intent)
            ended = all(leg is not None and leg.ended for leg in told)
            if report.filled >= executed and (report.state.final or not ended):
                return report
            if self._calls.clock.monotonic() >= until:
                raise UnreachableError("fetch_my_trades", _NO_WORD)
            await self._calls.pause(attempt)  # the list of trades lags behind, or the order has moved on
            attempt += 1
            again = [await self._order(intent, leg, until) for leg in intent.legs]
            orders = [new or old for new, old in zip(again, orders, strict=True)]

    def _write(self, intent: OrderIntent, told: Sequence[Told | None], fills: Sequence[Fill]) -> None:
        """Ids and fills, and the state that they bear out, in one transaction; what is old news adds no step."""
        name = str(self._exchange.id)
        state, executed = state_of(intent, told)
        ids = [leg.order_id for leg in told if leg is not None]
        known = {one.trade_id: one for id_ in ids for one in self._journal.fills_by_order(name, intent.symbol, id_)}
        known |= {fill.trade_id: fill for fill in fills}
        if state.final and sum_of(fill.amount for fill in known.values()) != executed:
            state = State.PARTLY_FILLED if executed else State.ACKNOWLEDGED
        old = self._state(intent)
        if state is not old and state not in TRANSITIONS[old]:
            if state.final or old is State.INTENDED or (old is State.REJECTED and executed):
                detail = {"order": intent.client_id, "journal": old.value, "exchange": state.value}
                self._journal.record_incident(self._run, "contradiction", detail)
            state = old
        detail = {"executed": format(executed, "f")}
        self._journal.step(intent.client_id, state, detail, fills=fills, order_ids=ids, exchange=name)

    def _note(self, intent: OrderIntent, state: State, detail: Mapping[str, Any]) -> None:
        """A step of our own knowledge, unless a stream has told more meanwhile."""
        if state in TRANSITIONS[self._state(intent)]:
            self._journal.step(intent.client_id, state, detail)

    def _state(self, intent: OrderIntent) -> State:
        return self._journal.state(intent.client_id) or State.INTENDED

    def _request(self) -> dict[str, Any]:
        return {"from": self._calls.signing_time()}

    def _latest(self, started: int, begun: float) -> int:
        """The latest timestamp of a request that began then, also if either clock was set back meanwhile."""
        passed = int((self._calls.clock.monotonic() - begun) * 1000.0) + 1
        return max(self._calls.signing_time(), started + passed)

    def _signed_by(self, intent: OrderIntent) -> int | None:
        last = self._journal.steps(intent.client_id)[-1]
        told = last.detail.get("signed_by")
        return int(told) if told is not None else None

    def _sent_from(self, intent: OrderIntent) -> int:
        return max((int(step.detail.get("from", 0)) for step in self._journal.steps(intent.client_id)), default=0)

    def _known(self, intent: OrderIntent) -> None:
        if self._journal.intent(intent.client_id) != intent:
            raise ValidationError(
                f"order {intent.client_id}: not in the journal as it is given; place() writes it down"
            )
