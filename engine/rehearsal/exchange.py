"""The rehearsal exchange without its sockets: the bars it replays, its books, and what goes wrong in filling orders.

exchange = Exchange(load_sample(), cash=Decimal(10000))
exchange.trade({"BTC/USD": Decimal(100)})       # within the open bar the market trades there
exchange.close_bar()       # resting orders meet the rest of the bar; nothing is open then
exchange.open_bar()        # the next row of the market opens
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from data.errors import ValidationError
from data.market import Market
from engine.rehearsal.accounts import FeeIn, SpotAccount
from engine.rehearsal.book import VenueBook
from engine.rehearsal.faults import FaultPlan
from engine.rehearsal.margin import MarginAccount
from engine.rehearsal.money import ONE, ZERO, whole_steps
from engine.rehearsal.orders import Bar, Order, Part, Tick
from engine.rehearsal.replay import Replay
from engine.rehearsal.terms import FINEST, terms_of
from engine.venue import Venue

_TICKS: Final = 1_000_000  # ids of trades within one bar


class Exchange:
    """One account on an exchange that replays stored bars.

    Args:
        market: the bars.
        venues: rules, one for all symbols or by symbol.
        cash: quote currency that the account begins with.
        quote: that currency; None for the one that all symbols share.
        balances: what the account holds besides, by asset.
        fees: (maker, taker), fractions of notional, where a venue states none.
        slippage: fraction by which an order that takes is worse than its reference price.
        fee_in: "quote", or "bought": a buy pays its fee in the coin it buys.
        start: row of the market that is open at first.
        faults: what goes wrong; None for nothing.
        ticked_quotes: round bid and ask to the tick; off, fills at the market are those of a backtest.

    Attributes:
        margin: the account of perpetuals, symbols "BASE/QUOTE:SETTLE"; None on spot.
        ticks: by symbol, what `trade` has traded within the bar that is open, or has just closed.

    Raises:
        ValidationError: symbols of several quote currencies and no `quote`, or spot beside perpetuals; see `terms_of`
            and `Replay`.
    """

    def __init__(
        self,
        market: Market,
        *,
        venues: Venue | Mapping[str, Venue],
        cash: Decimal,
        quote: str | None = None,
        balances: Mapping[str, Decimal] | None = None,
        fees: tuple[Decimal, Decimal] = (ZERO, ZERO),
        slippage: Decimal = ZERO,
        fee_in: FeeIn = "quote",
        start: int = 0,
        faults: FaultPlan | None = None,
        ticked_quotes: bool = False,
    ) -> None:
        for name, value in (("cash", cash), ("slippage", slippage), ("maker fee", fees[0]), ("taker fee", fees[1])):
            if not isinstance(value, Decimal) or value < 0:
                raise ValidationError(f"rehearsal: {name} {value!r} must be a Decimal of at least 0, Decimal('0.001')")
        self.replay = Replay(market, start)
        terms = terms_of(market.symbols, venues, fees)
        quotes = sorted({rule.quote for rule in terms.values()})
        if quote is None and len(quotes) > 1:
            raise ValidationError(
                f"rehearsal: the symbols are quoted in {quotes}; say with quote= which one cash is in"
            )
        self.quote = quotes[0] if quote is None else quote
        perpetual = [":" in symbol for symbol in terms]
        if any(perpetual) and (not all(perpetual) or len(quotes) > 1 or balances or fee_in != "quote"):
            raise ValidationError("rehearsal: perpetuals have an account of their own, one currency, fees in it; split")
        self.margin = MarginAccount(cash, self.quote, terms) if all(perpetual) else None
        assets = {asset: ZERO for rule in terms.values() for asset in (rule.base, rule.quote)}
        spot = SpotAccount({**assets, **(balances or {}), self.quote: cash}, fee_in)
        self.book = VenueBook(terms, self.margin or spot, slippage, ticked_quotes=ticked_quotes)
        if self.margin is not None:
            self.margin.marks = self.book.last
        self.by_id = {rule.base + rule.quote: symbol for symbol, rule in terms.items()}
        self.ids = {symbol: name for name, symbol in self.by_id.items()}
        self.faults = faults
        if faults is not None and faults.touches("fill"):
            self.book.depth = self._parts
        self.is_open = True
        self.ticks: dict[str, list[Tick]] = {symbol: [] for symbol in terms}
        for symbol in terms:  # the price of a symbol without a bar in the first row
            bar = self.replay.last_before(symbol)
            if bar is not None:
                self.book.last[symbol] = bar.close
        self.book.open_bars(self.replay.bars(), at=self.replay.time)

    def trade(self, prices: Mapping[str, Decimal], at: int | None = None) -> dict[str, Tick]:
        """Within the open bar the market trades at these prices: what rests between the last ones and them is reached.

        Args:
            prices: by symbol, within the bar's range.
            at: time of the trades, ms; None for a ms after what was last.

        Raises:
            ValidationError: no bar is open, or it has no such price or time.
        """
        bars, first, last = self.replay.bars(), self.book.now, self.replay.time + self.replay.length - 1
        time = min(first + 1, last) if at is None else at
        if not self.is_open or not first <= time <= last:
            raise ValidationError(f"rehearsal: no trade at {time}; the open bar's are from {first} to {last}, if it is")
        for symbol, price in prices.items():
            if symbol not in bars or not bars[symbol].low <= price <= bars[symbol].high:
                raise ValidationError(f"rehearsal: {symbol} does not trade at {price} in the bar {bars.get(symbol)}")
        self.book.trade_through(
            {symbol: _between(bars[symbol], self.book.last[symbol], price) for symbol, price in prices.items()}, at=time
        )
        found = {}
        for symbol, price in prices.items():
            ticks = self.ticks[symbol]
            found[symbol] = Tick(self.number_of(bars[symbol]) + len(ticks) + 1, time, price)
            ticks.append(found[symbol])
        return found

    def number_of(self, bar: Bar) -> int:
        """Id of the trade that marks a bar's open."""
        return bar.time // self.replay.length * _TICKS

    def ticks_of(self, symbol: str, limit: int, since: int | None = None) -> list[Tick]:
        """The trades that mark the opens of bars, and those within the newest one.

        Args:
            symbol: whose.
            limit: at most so many: the first ones from `since`, else the last ones.
            since: ms.
        """
        opens = [
            Tick(self.number_of(bar), bar.time, bar.open)
            for bar in self.replay.candles(symbol, since, None, limit)
            if since is None or bar.time >= since
        ]
        ticks = [*opens, *(tick for tick in self.ticks[symbol] if since is None or tick.time >= since)]
        return ticks[-limit:] if since is None else ticks[:limit]

    def holdings(self) -> dict[str, Decimal]:
        """What the account has: of each currency, free and held by orders together; of each perpetual its position."""
        account = self.book.account
        found = {asset: account.free[asset] + account.locked[asset] for asset in account.free}
        if self.margin is not None:
            found |= {symbol: position.amount for symbol, position in self.margin.positions.items()}
        return found

    def close_bar(self) -> dict[str, Bar]:
        """Resting orders meet the rest of the bars that are open, and these close; returns them."""
        bars = self.replay.bars()
        rest = {symbol: self._rest(symbol, bar) for symbol, bar in bars.items()}
        self.book.trade_through(rest, at=self.replay.time + self.replay.length - 1)
        self.book.close_bars()
        self.is_open = False
        return bars

    def _rest(self, symbol: str, bar: Bar) -> Bar:
        """Of a bar what has not been traded yet: its extremes, unless they were, and the way to its close."""
        traded = [tick.price for tick in self.ticks[symbol]]
        if not traded:
            return bar
        way = _between(bar, traded[-1], bar.close)
        low = way.low if min(traded) == bar.low else bar.low
        return way._replace(low=low, high=way.high if max(traded) == bar.high else bar.high)

    def open_bar(self) -> dict[str, Bar]:
        """The next row of the market opens; returns its bars, of which a client may know the open alone."""
        self.replay.advance()
        for ticks in self.ticks.values():
            ticks.clear()
        bars = self.replay.bars()
        self.book.open_bars(bars, at=self.replay.time)
        self.is_open = True
        return bars

    def _parts(self, order: Order, left: Decimal, rests: bool) -> Iterable[Part]:
        """In which pieces an order fills under the plan's faults."""
        plan = self.faults
        if plan is None:
            return (Part(left),)
        step = self.book.terms[order.symbol].step or FINEST
        if left < 2 * step:  # it cannot be parted, and a fault that does not show is none
            return (Part(left),)
        detail = {"client_id": order.client_id, "symbol": order.symbol, "left": str(left)}
        fault = plan.meets("fill", f"fill {order.kind}", self.book.now, detail=detail)
        if fault is None:
            return (Part(left),)
        draw = plan.chance("parts", fault.count)
        share = Decimal(draw.randint(20, 80)) / 100
        first = min(max(whole_steps(left * share, step), step), left - step)
        if rests:
            return (Part(first),)
        if fault.kind == "partial_fill":
            second = whole_steps((left - first) * share, step)
            return tuple(Part(piece) for piece in (first, second, left - first - second) if piece)
        # A book gone thin: the first part up to 1% worse, a second up to 2%, and no more.
        worse = Decimal(draw.randint(1, 100)) / 10_000
        second = whole_steps((left - first) * share, step)
        return tuple(Part(piece, min(by, ONE)) for piece, by in ((first, worse), (second, worse * 2)) if piece)


def _between(bar: Bar, start: Decimal, end: Decimal) -> Bar:
    """The way from one price of a bar to another."""
    return bar._replace(open=start, high=max(start, end), low=min(start, end), close=end)
