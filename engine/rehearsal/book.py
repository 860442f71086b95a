"""The rehearsal exchange's own books: orders, matching within bars, balances and trades, exact to the last digit.

A pure core without a socket or a clock. What happened is told in a list of events, which a dialect turns into messages.

    book = VenueBook(terms, SpotAccount({"USDT": Decimal(10000)}), slippage=Decimal("0.0002"))
    book.open_bars({"BTC/USDT": bar}, at=bar.time)
    order = book.place(Ticket("BTC/USDT", "buy", "market", Decimal("0.1"), client_id="a"))
    book.trade_through({"BTC/USDT": bar}, at=bar.time + 1_799_999)

Matching follows docs/execution.md. An order at the market fills at the open of the bar just open, worse by the
slippage. Within the rest of a bar's range stops come first: at the stop, worse by the slippage, taker. Then what rests:
a take profit where its price is reached, a limit order where the bar trades through its price, each at that price,
maker. A bar that opens beyond a stop or a take profit fills it at the open; beyond a limit, at the limit.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping
from decimal import ROUND_CEILING, Decimal

from engine.rehearsal.accounts import Account
from engine.rehearsal.intake import FINEST_SHARE, checked, is_pair, order_of, within_limit, would_take
from engine.rehearsal.money import ONE, ZERO, exact, whole_steps
from engine.rehearsal.orders import (
    AT_ONCE,
    STOPS,
    BalanceEvent,
    Bar,
    Depth,
    Event,
    ListEvent,
    Order,
    OrderEvent,
    Part,
    Reason,
    Refusal,
    Status,
    Ticket,
    Trade,
)
from engine.rehearsal.terms import Terms


class VenueBook:
    """Books of one account on one exchange.

    Args:
        terms: rules of each market, by symbol.
        account: the money; the book alone moves it.
        slippage: fraction of the reference price by which an order that takes is worse.
        ticked_quotes: round bid and ask away from the middle to the tick. Off, market fills are those of a backtest.

    Attributes:
        now: venue clock, ms.
        orders: all orders by id, those that are closed too.
        trades: all fills.
        bars: by symbol, the bar that is open; None where the symbol has none now.
        last: by symbol, the last price.
        depth: in which pieces orders fill; None for all at once.
    """

    def __init__(
        self, terms: Mapping[str, Terms], account: Account, slippage: Decimal, *, ticked_quotes: bool = False
    ) -> None:
        self.terms = dict(terms)
        self.account = account
        self.slippage = slippage
        self.ticked_quotes = ticked_quotes
        self.now = 0
        self.orders: dict[int, Order] = {}
        self.trades: list[Trade] = []
        self.bars: dict[str, Bar | None] = dict.fromkeys(terms)
        self.last: dict[str, Decimal] = {}
        self.depth: Depth | None = None
        self._events: list[Event] = []
        self._open: dict[str, dict[int, Order]] = {symbol: {} for symbol in terms}
        self._named: dict[tuple[str, str], Order] = {}
        self._lists: dict[int, list[Order]] = {}

    def drain(self) -> list[Event]:
        """What has happened since the last call."""
        events, self._events = self._events, []
        return events

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """Orders that may still fill, the oldest first."""
        chosen = self.terms if symbol is None else (symbol,)
        return sorted((order for name in chosen for order in self._open[name].values()), key=lambda order: order.id)

    def find(self, symbol: str, order_id: int | None = None, client_id: str | None = None) -> Order:
        """An order by its id, or else the newest of a client id.

        Raises:
            Refusal: there is none.
        """
        found = self.orders.get(order_id) if order_id is not None else self._named.get((symbol, client_id or ""))
        if found is None or found.symbol != symbol:
            raise Refusal(Reason.UNKNOWN, f"{symbol} {order_id or client_id}")
        return found

    @exact
    def quotes(self, symbol: str, price: Decimal | None = None) -> tuple[Decimal, Decimal]:
        """Bid and ask: the last price, or the one given, less and plus the slippage.

        Raises:
            Refusal: the symbol has not traded yet.
        """
        last = self.last.get(symbol) if price is None else price
        if last is None:
            raise Refusal(Reason.SYMBOL, f"{symbol} has no price yet")
        bid, ask = last * (ONE - self.slippage), last * (ONE + self.slippage)
        if self.ticked_quotes:
            tick = self.terms[symbol].tick
            bid, ask = whole_steps(bid, tick), whole_steps(ask, tick, ROUND_CEILING)
        return bid, ask

    @exact
    def place(self, ticket: Ticket) -> Order:
        """Take an order; what can fill at once has filled on return.

        Raises:
            Refusal: for the reason it names; nothing has changed then.
        """
        ticket = self._checked(ticket)
        order = order_of(ticket, len(self.orders) + 1, self.now)
        takes = would_take(order, self.last[order.symbol])
        if order.kind == "limit_maker" and takes:
            raise Refusal(Reason.WOULD_TAKE, f"{order.symbol}: {order.side} at {order.price}")
        immediate = takes or (order.kind == "market" and self.bars[order.symbol] is not None)
        if immediate:
            self._check_funds(order)
        else:
            self._hold([order])
        self._admit(order)
        if immediate:
            self._fill(order, self._taking_price(order), maker=False)
        if order.is_open and (order.time_in_force != "GTC" and order.kind in {"limit", "limit_maker"}):
            self._close(order, Status.EXPIRED)
        self._note_balances()
        return order

    @exact
    def place_pair(self, tickets: tuple[Ticket, Ticket], client_id: str) -> list[Order]:
        """Take a pair of orders of which one cancels the other (OCO): a take profit or limit, and a stop.

        Raises:
            Refusal: as `place`, and where a leg would act at once.
        """
        first = len(self.orders) + 1
        legs = [order_of(self._checked(ticket), first + index, self.now) for index, ticket in enumerate(tickets)]
        if legs[0].client_id == legs[1].client_id:
            raise Refusal(Reason.DUPLICATE, f"{legs[0].client_id} names both legs")
        if not is_pair(legs, self.last[legs[0].symbol]):
            raise Refusal(Reason.PRICE_ORDER, f"{legs[0].symbol}: {[(leg.kind, str(leg.level)) for leg in legs]}")
        for leg in legs:
            leg.list_id, leg.list_client_id = first, client_id
        self._hold(legs)
        self._lists[first] = legs
        for leg in legs:
            self._admit(leg)
        self._note_list(legs, done=False)
        self._note_balances()
        return legs

    @exact
    def admit_dead(self, ticket: Ticket) -> Order:
        """Take an order only to end it at once, as some exchanges do where others refuse."""
        order = order_of(ticket, len(self.orders) + 1, self.now)
        self._admit(order)
        self._close(order, Status.EXPIRED)
        return order

    @exact
    def cancel(
        self, symbol: str, order_id: int | None = None, client_id: str | None = None, cancel_id: str = ""
    ) -> list[Order]:
        """Cancel an open order, and the other leg of its pair; returns those cancelled, the one asked for first.

        Raises:
            Refusal: there is no such open order.
        """
        order = self.find(symbol, order_id, client_id)
        if not order.is_open:
            raise Refusal(Reason.NOT_OPEN, f"{symbol} {order.id} is {order.status}")
        legs = [order, *(leg for leg in self._lists.get(order.list_id, []) if leg is not order and leg.is_open)]
        for leg in legs:
            self._close(leg, Status.CANCELLED, cancel_id if leg is order else "")
        if order.list_id in self._lists:
            self._note_list(self._lists[order.list_id], done=True)
        self._note_balances()
        return legs

    def pair(self, list_id: int | None, client_id: str | None = None) -> list[Order]:
        """The legs of a pair, by its id or the newest of a client id; nothing where there is none."""
        if list_id is None:
            named = (key for key in reversed(self._lists) if self._lists[key][0].list_client_id == client_id)
            list_id = next(named, -1)
        return list(self._lists.get(list_id, ()))

    @exact
    def trade_through(self, bars: Mapping[str, Bar], at: int) -> None:
        """Let resting orders meet the rest of the range of the bars that are open; `at` is the time of these fills."""
        self.now = at
        for order in self._resting(bars, stops=True):
            bar = bars[order.symbol]
            stop = order.level
            if stop is not None and (bar.low <= stop if order.side == "sell" else bar.high >= stop):
                self._trigger(order, stop)
        for order in self._resting(bars, stops=False):
            bar, level = bars[order.symbol], order.level
            if level is None:
                continue
            best = bar.high if order.side == "sell" else bar.low
            through = best > level if order.side == "sell" else best < level
            if through or (best == level and order.takes_profit):
                self._reach(order, level)
        for symbol, bar in bars.items():
            self.last[symbol] = bar.close
        self._note_balances()

    def close_bars(self) -> None:
        """No bar is open: an order at the market waits for the next."""
        self.bars = dict.fromkeys(self.terms)

    @exact
    def open_bars(self, bars: Mapping[str, Bar], at: int) -> None:
        """Open the next bar of these symbols: what their opens are beyond acts, and what waits at the market fills."""
        self.now = at
        for symbol in self.terms:
            self.bars[symbol] = bars.get(symbol)
        for symbol, bar in bars.items():
            self.last[symbol] = bar.open
        for order in self._resting(bars, stops=True):
            stop, price = order.level, bars[order.symbol].open
            if stop is not None and (price <= stop if order.side == "sell" else price >= stop):
                self._trigger(order, price)
        waiting = [o for symbol in bars for o in self._open[symbol].values() if o.kind == "market"]
        for order in sorted(waiting, key=lambda order: order.side == "buy"):
            self._fill(order, self._taking_price(order), maker=False)
        for order in self._resting(bars, stops=False):
            level, price = order.level, bars[order.symbol].open
            if level is None:
                continue
            beyond = price > level if order.side == "sell" else price < level
            if order.takes_profit and (beyond or price == level):
                self._reach(order, price)
            elif beyond:
                self._reach(order, level)
        self._note_balances()

    # What an order goes through.

    def _checked(self, ticket: Ticket) -> Ticket:
        """The ticket with an amount, within the rules of its market."""
        if ticket.symbol not in self.terms:
            raise Refusal(Reason.SYMBOL, ticket.symbol)
        named = self._named.get((ticket.symbol, ticket.client_id))
        if named is not None and named.is_open:
            raise Refusal(Reason.DUPLICATE, ticket.client_id)
        return checked(ticket, self.terms[ticket.symbol], self.last, self.quotes(ticket.symbol))

    def _taking_price(self, order: Order) -> Decimal:
        bid, ask = self.quotes(order.symbol)
        price = ask if order.side == "buy" else bid
        return within_limit(order, price)

    def _check_funds(self, order: Order) -> None:
        terms = self.terms[order.symbol]
        price = order.price if order.price is not None else self._taking_price(order)
        # Dearer of the two ways in which its parts may fill.
        rate = max(terms.maker, terms.taker) if order.price is not None else terms.taker
        payable = self.account.payable(order, terms, price, rate)
        if order.reduce_only and not payable:
            raise Refusal(Reason.REDUCE_ONLY, f"{order.symbol}: there is no position to {order.side} from")
        if payable < order.amount and not order.reduce_only:
            raise Refusal(Reason.FUNDS, f"{order.symbol}: {order.side} {order.amount} at {price}")

    def _admit(self, order: Order) -> None:
        self.orders[order.id] = order
        self._open[order.symbol][order.id] = order
        self._named[order.symbol, order.client_id] = order
        self._note(order, "new")

    def _resting(self, bars: Mapping[str, Bar], *, stops: bool) -> Iterator[Order]:
        """Open orders of these symbols that still rest when their turn comes, sales first."""
        found = [
            order
            for symbol in bars
            if self._open[symbol]
            for order in self._open[symbol].values()
            if order.kind != "market" and (order.kind in STOPS and not order.triggered) == stops
        ]
        for order in sorted(found, key=lambda order: order.side == "buy"):
            if order.is_open:
                yield order

    def _trigger(self, order: Order, reference: Decimal) -> None:
        """A stop is reached: at the market, or as a limit order where the price it would get is beyond its limit."""
        order.triggered = True
        worse = ONE + self.slippage if order.side == "buy" else ONE - self.slippage
        price = reference * worse
        if order.price is None or within_limit(order, price) == price:
            self._fill(order, price, maker=False)

    def _reach(self, order: Order, price: Decimal) -> None:
        """What rests is reached: it fills there as a maker; a take profit whose limit is beyond rests on at it."""
        order.triggered = order.triggered or order.stop_price is not None
        if within_limit(order, price) == price:
            self._fill(order, price, maker=True)

    def _fill(self, order: Order, price: Decimal, *, maker: bool) -> None:
        terms = self.terms[order.symbol]
        rate = terms.maker if maker else terms.taker
        whole = order.remaining
        parts = (
            (Part(whole),) if self.depth is None or order.time_in_force == "FOK" else self.depth(order, whole, maker)
        )
        for part in parts:
            against = ONE + part.worse if order.side == "buy" else ONE - part.worse
            at = price if maker else within_limit(order, price * against)
            self._execute(order, min(part.amount, order.remaining), at, rate, maker=maker)
            if not order.is_open:
                return
        if order.is_open and order.kind in AT_ONCE and not maker:
            self._close(order, Status.EXPIRED)

    def _execute(self, order: Order, amount: Decimal, price: Decimal, rate: Decimal, *, maker: bool) -> None:
        terms, account = self.terms[order.symbol], self.account
        self._release(order)
        payable = account.payable(order, terms, price, rate)
        if amount > payable:
            amount = whole_steps(payable, terms.step or FINEST_SHARE)
        if amount <= 0:
            self._close(order, Status.EXPIRED)
            return
        fee, asset, profit = account.settle(order, terms, amount, price, rate)
        cost = amount * price
        order.filled += amount
        order.cost += cost
        order.updated = self.now
        order.status = Status.FILLED if order.filled == order.amount else Status.PARTLY_FILLED
        number = len(self.trades) + 1
        trade = Trade(
            number, order.id, order.symbol, order.side, amount, price, cost, fee, asset, maker, self.now, profit
        )
        self.trades.append(trade)
        order.trades.append(trade)
        others = [leg for leg in self._lists.get(order.list_id, []) if leg is not order and leg.is_open]
        if order.is_open:
            self._hold([order])
        else:
            del self._open[order.symbol][order.id]
        self._note(order, "trade", trade)
        for leg in others:
            self._close(leg, Status.EXPIRED, keep=order.is_open)
        if others:
            self._note_list([order, *others], done=True)

    def _close(self, order: Order, status: Status, cancel_id: str = "", *, keep: bool = False) -> None:
        """An order ends unfilled; `keep` leaves what its pair holds to the other leg."""
        order.status = status
        order.updated = self.now
        self._open[order.symbol].pop(order.id, None)
        if not keep:
            self._release(order)
        self._note(order, "cancelled" if status == Status.CANCELLED else "expired", None, cancel_id)

    # Money that orders hold.

    def _owner(self, order: Order) -> Hashable:
        return order.id if order.list_id == -1 else ("pair", order.list_id)

    def _hold(self, legs: list[Order]) -> None:
        """Let an order, or the legs of a pair together, hold what the dearest of them needs."""
        asset, amount = max((self.account.need(leg, self.terms[leg.symbol]) for leg in legs), key=lambda need: need[1])
        self.account.hold(self._owner(legs[0]), asset, amount)

    def _release(self, order: Order) -> None:
        self.account.hold(self._owner(order), self.terms[order.symbol].quote, ZERO)

    # What is told.

    def _note(self, order: Order, execution: str, trade: Trade | None = None, cancel_id: str = "") -> None:
        self._events.append(OrderEvent(copy.copy(order), execution, trade, self.now, cancel_id))  # type: ignore[arg-type]

    def _note_list(self, legs: list[Order], *, done: bool) -> None:
        names = tuple((leg.id, leg.client_id) for leg in sorted(legs, key=lambda leg: leg.id))
        leg = legs[0]
        self._events.append(ListEvent(leg.list_id, leg.list_client_id, leg.symbol, done, names, self.now))

    def _note_balances(self) -> None:
        changed, account = self.account.changed, self.account
        if changed:
            balances = {asset: (account.free[asset], account.locked[asset]) for asset in sorted(changed)}
            self._events.append(BalanceEvent(balances, self.now))
            changed.clear()
