"""The rehearsal exchange's books: each matching rule by example, and by property that no money is made or lost."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rehearsal.accounts import SpotAccount
from engine.rehearsal.book import VenueBook
from engine.rehearsal.money import plain, whole_steps
from engine.rehearsal.orders import Bar, OrderEvent, Part, Reason, Refusal, Status, Ticket
from engine.rehearsal.terms import Terms

BTC, ETH = "BTC/USDT", "ETH/USDT"
HOUR = 3_600_000


def terms(symbol: str, step: str = "0.001", tick: str = "0.01") -> Terms:
    base, quote = symbol.split("/")
    return Terms(
        symbol,
        base,
        quote,
        Decimal(step),
        Decimal(tick),
        Decimal("0.001"),
        Decimal(1000),
        Decimal(5),
        None,
        maker=Decimal("0.0002"),
        taker=Decimal("0.0005"),
    )


def a_book(cash: str = "10000", coins: str = "0", slippage: str = "0", fee_in: str = "quote") -> VenueBook:
    account = SpotAccount({"USDT": Decimal(cash), "BTC": Decimal(coins), "ETH": Decimal(coins)}, fee_in)
    return VenueBook({BTC: terms(BTC), ETH: terms(ETH)}, account, Decimal(slippage))


def bar(first: str, high: str, low: str, close: str, time: int = 0) -> Bar:
    return Bar(time, Decimal(first), Decimal(high), Decimal(low), Decimal(close), Decimal(10))


def opened(book: VenueBook, first: str = "100", high: str = "110", low: str = "90", close: str = "105") -> Bar:
    now = bar(first, high, low, close)
    book.open_bars({BTC: now}, at=0)
    return now


def ticket(side: str, kind: str, amount: str | None = "1", price=None, stop=None, name="", **more) -> Ticket:
    return Ticket(
        BTC,
        side,
        kind,
        None if amount is None else Decimal(amount),
        None if price is None else Decimal(price),
        None if stop is None else Decimal(stop),
        client_id=name,
        **more,
    )


def filled_at(book: VenueBook) -> list[tuple[str, str, bool]]:
    return [(trade.side, plain(trade.price), trade.maker) for trade in book.trades]


def test_market_order_fills_at_the_open_worse_by_the_slippage_and_pays_the_taker_fee():
    book = a_book(slippage="0.001")
    opened(book)
    book.place(ticket("buy", "market", "2"))
    assert filled_at(book) == [("buy", "100.1", False)]
    assert book.account.free == {
        "USDT": Decimal(10000) - Decimal("200.2") * Decimal("1.0005"),
        "BTC": Decimal(2),
        "ETH": Decimal(0),
    }
    book.place(ticket("sell", "market", "2"))
    assert filled_at(book)[1] == ("sell", "99.9", False)
    assert book.account.free["BTC"] == 0


def test_fee_in_the_bought_coin_comes_out_of_the_coins():
    book = a_book(fee_in="bought")
    opened(book)
    book.place(ticket("buy", "market", "2"))
    assert book.account.free["USDT"] == Decimal(9800)
    assert book.account.free["BTC"] == Decimal(2) * (1 - Decimal("0.0005"))
    assert book.trades[0].fee_asset == "BTC"


def test_limit_order_fills_only_when_traded_through_and_a_take_profit_when_touched():
    book = a_book(coins="5")
    now = opened(book)
    touched = book.place(ticket("sell", "limit", price="110"))
    through = book.place(ticket("sell", "limit", price="109.99"))
    profit = book.place(ticket("sell", "take_profit", stop="110"))
    book.trade_through({BTC: now}, at=1)
    assert (touched.status, through.status, profit.status) == (Status.NEW, Status.FILLED, Status.FILLED)
    assert filled_at(book) == [("sell", "109.99", True), ("sell", "110", True)]


def test_stop_fills_at_its_price_less_slippage_and_at_the_open_when_the_bar_gaps_through_it():
    book = a_book(coins="5", slippage="0.01")
    now = opened(book)
    book.place(ticket("sell", "stop_loss", stop="95"))
    lower = book.place(ticket("sell", "stop_loss", stop="89"))
    book.trade_through({BTC: now}, at=1)
    book.open_bars({BTC: bar("80", "81", "79", "80", HOUR)}, at=HOUR)
    assert filled_at(book) == [("sell", "94.05", False), ("sell", "79.2", False)]
    assert lower.updated == HOUR


def test_the_stop_of_a_pair_fills_where_stop_and_profit_lie_in_one_bar():
    book = a_book(coins="1")
    now = opened(book)
    above, below = (
        ticket("sell", "limit_maker", price="108", name="a"),
        ticket("sell", "stop_loss", stop="92", name="b"),
    )
    legs = book.place_pair((above, below), "both")
    assert book.account.locked["BTC"] == 1
    book.trade_through({BTC: now}, at=1)
    assert [leg.status for leg in legs] == [Status.EXPIRED, Status.FILLED]
    assert filled_at(book) == [("sell", "92", False)]
    assert book.account.locked["BTC"] == 0


def test_the_limit_leg_of_a_pair_fills_when_touched_and_at_the_open_beyond_it():
    for first, price in (("108", "108"), ("112", "112")):
        book = a_book(coins="1")
        opened(book, high="107", low="99")
        pair = ticket("sell", "limit_maker", price="108", name="a"), ticket("sell", "stop_loss", stop="92", name="b")
        book.place_pair(pair, "both")
        book.open_bars({BTC: bar(first, "113", "80", "100", HOUR)}, at=HOUR)
        assert filled_at(book) == [("sell", price, True)]


def test_limit_that_the_open_is_beyond_fills_at_its_own_price():
    book = a_book()
    opened(book)
    book.place(ticket("buy", "limit", price="95"))
    book.open_bars({BTC: bar("90", "96", "89", "95", HOUR)}, at=HOUR)
    assert filled_at(book) == [("buy", "95", True)]


def test_stop_limit_rests_at_its_limit_when_the_market_is_beyond_it():
    book = a_book(coins="1")
    opened(book)
    order = book.place(ticket("sell", "stop_loss_limit", price="94", stop="95"))
    book.open_bars({BTC: bar("90", "93", "89", "92", HOUR)}, at=HOUR)
    assert order.is_open and order.triggered
    book.trade_through({BTC: bar("90", "94.01", "89", "92", HOUR)}, at=HOUR + 1)
    assert filled_at(book) == [("sell", "94", True)]


def test_market_order_of_a_symbol_without_a_bar_waits_for_its_next():
    book = a_book(coins="1")
    opened(book)
    book.open_bars({ETH: bar("10", "11", "9", "10", HOUR)}, at=HOUR)
    order = book.place(ticket("sell", "market"))
    assert order.is_open and book.account.locked["BTC"] == 1
    book.open_bars({BTC: bar("120", "121", "119", "120", 2 * HOUR)}, at=2 * HOUR)
    assert filled_at(book) == [("sell", "120", False)]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (ticket("buy", "market", "1000"), Reason.FUNDS),
        (ticket("sell", "market", "1"), Reason.FUNDS),
        (ticket("buy", "limit", "200", price="99"), Reason.FUNDS),
        (ticket("buy", "market", "0.0005"), Reason.SMALLEST),
        (ticket("buy", "market", "0.0015"), Reason.STEP),
        (ticket("buy", "market", "1001"), Reason.LARGEST),
        (ticket("buy", "market", "0.049"), Reason.NOTIONAL),
        (ticket("buy", "limit", price="99.001"), Reason.TICK),
        (ticket("buy", "limit_maker", price="100.01"), Reason.WOULD_TAKE),
        (ticket("sell", "stop_loss", stop="100"), Reason.WOULD_TRIGGER),
        (ticket("buy", "take_profit", stop="100"), Reason.WOULD_TRIGGER),
        (Ticket("XRP/USDT", "buy", "market", Decimal(1)), Reason.SYMBOL),
    ],
)
def test_a_refused_order_changes_nothing(order, reason):
    book = a_book()
    opened(book)
    book.drain()
    before = dict(book.account.free), dict(book.account.locked)
    with pytest.raises(Refusal) as refusal:
        book.place(order)
    assert refusal.value.reason == reason
    assert (book.account.free, book.account.locked) == before
    assert not book.orders and not book.drain()


def test_a_client_id_is_refused_while_its_order_is_open_and_taken_again_after():
    book = a_book()
    opened(book)
    first = book.place(ticket("buy", "limit", price="95", name="x"))
    with pytest.raises(Refusal) as refusal:
        book.place(ticket("buy", "market", name="x"))
    assert refusal.value.reason == Reason.DUPLICATE
    book.cancel(BTC, client_id="x")
    second = book.place(ticket("buy", "market", name="x"))
    assert book.find(BTC, client_id="x") is second and book.find(BTC, order_id=first.id) is first
    with pytest.raises(Refusal) as refusal:
        book.cancel(BTC, client_id="x")
    assert refusal.value.reason == Reason.NOT_OPEN


def test_marketable_limit_takes_at_the_quote_and_ioc_rests_never():
    book = a_book(slippage="0.001")
    opened(book)
    book.place(ticket("buy", "limit", price="101"))
    late = book.place(ticket("buy", "limit", price="99", time_in_force="IOC"))
    assert filled_at(book) == [("buy", "100.1", False)]
    assert late.status == Status.EXPIRED and book.account.locked["USDT"] == 0


def test_order_for_a_quote_amount_buys_what_it_pays_in_whole_steps():
    book = a_book()
    opened(book, first="300", high="310")
    order = book.place(ticket("buy", "market", None, quote_amount=Decimal(1000)))
    assert order.amount == Decimal("3.333") and order.status == Status.FILLED


def test_thin_book_fills_a_market_order_in_worse_parts_and_the_rest_expires():
    book = a_book()
    opened(book)
    book.depth = lambda order, left, maker: (Part(Decimal("0.4")), Part(Decimal("0.3"), Decimal("0.01")))
    order = book.place(ticket("buy", "market"))
    assert filled_at(book) == [("buy", "100", False), ("buy", "101", False)]
    assert order.status == Status.EXPIRED and order.filled == Decimal("0.7")
    assert [e.execution for e in book.drain() if isinstance(e, OrderEvent)] == ["new", "trade", "trade", "expired"]


def test_partly_filled_leg_ends_the_other_and_keeps_what_it_still_needs():
    book = a_book(coins="1")
    now = opened(book, low="99")
    book.depth = lambda order, left, maker: (Part(Decimal("0.4")),)
    pair = ticket("sell", "limit_maker", price="108", name="a"), ticket("sell", "stop_loss", stop="92", name="b")
    legs = book.place_pair(pair, "both")
    book.trade_through({BTC: now}, at=1)
    assert [leg.status for leg in legs] == [Status.PARTLY_FILLED, Status.EXPIRED]
    assert book.account.locked["BTC"] == Decimal("0.6")
    book.cancel(BTC, client_id="a")
    assert book.account.locked["BTC"] == 0 and book.account.free["BTC"] == Decimal("0.6")


# Properties: random orders and bars, and after each step the books must add up.

PRICES = st.integers(8_000, 12_000).map(lambda cents: Decimal(cents) / 100)
AMOUNTS = st.integers(1, 40_000).map(lambda steps: Decimal(steps) / 1000)
KIND = st.sampled_from(
    ["market", "limit", "limit_maker", "stop_loss", "stop_loss_limit", "take_profit", "take_profit_limit"]
)
ORDERS = st.tuples(
    st.just("order"), st.sampled_from([BTC, ETH]), st.sampled_from(["buy", "sell"]), KIND, AMOUNTS, PRICES, PRICES
)
PAIRS = st.tuples(
    st.just("pair"), st.sampled_from([BTC, ETH]), st.sampled_from(["buy", "sell"]), AMOUNTS, PRICES, PRICES
)
BARS = st.tuples(
    st.just("bar"), st.lists(PRICES, min_size=8, max_size=8), st.sampled_from([(BTC,), (ETH,), (BTC, ETH)])
)
CANCELS = st.tuples(st.just("cancel"), st.integers(1, 30))
STEPS = st.lists(st.one_of(ORDERS, ORDERS, PAIRS, BARS, BARS, CANCELS), max_size=25)


def check(book: VenueBook, start: dict[str, Decimal]) -> None:
    account = book.account
    expected = {asset: Fraction(amount) for asset, amount in start.items()}
    for trade in book.trades:
        sign = 1 if trade.side == "buy" else -1
        expected[trade.symbol.split("/")[0]] += sign * Fraction(trade.amount)
        expected["USDT"] -= sign * Fraction(trade.amount) * Fraction(trade.price)
        expected[trade.fee_asset] -= Fraction(trade.fee)
    for asset, total in expected.items():
        assert Fraction(account.free[asset]) + Fraction(account.locked[asset]) == total
        assert account.free[asset] >= 0 and account.locked[asset] >= 0
    needs: dict[object, tuple[str, Decimal]] = {}
    for order in book.open_orders():
        asset, need = account.need(order, book.terms[order.symbol])
        owner = order.id if order.list_id == -1 else ("pair", order.list_id)
        needs[owner] = max(needs.get(owner, (asset, Decimal(0))), (asset, need), key=lambda n: n[1])
    for asset in start:
        assert sum(Fraction(n) for a, n in needs.values() if a == asset) == Fraction(account.locked[asset])
    for order in book.orders.values():
        done = [t for t in book.trades if t.order_id == order.id]
        assert sum(Fraction(t.amount) for t in done) == Fraction(order.filled) <= Fraction(order.amount)
        assert sum(Fraction(t.cost) for t in done) == Fraction(order.cost)
        assert (order.status == Status.FILLED) == (order.filled == order.amount)


def halves(order, left, maker):
    piece = whole_steps(left * Decimal("0.5"), Decimal("0.001"))
    return (
        [Part(piece, Decimal("0.001")), Part(left - piece)]
        if not maker and piece
        else [Part(max(piece, Decimal("0.001")))]
    )


def run_step(book: VenueBook, step: tuple, count: int, current: dict[str, Bar]) -> dict[str, Bar]:
    if step[0] == "order":
        _, symbol, side, kind, amount, price, stop = step
        book.place(Ticket(symbol, side, kind, amount, price, stop, client_id=f"c{count % 7}"))
    elif step[0] == "pair":
        _, symbol, side, amount, price, stop = step
        legs = (
            Ticket(symbol, side, "limit_maker", amount, price, client_id=f"a{count}"),
            Ticket(symbol, side, "stop_loss_limit", amount, stop, stop, client_id=f"b{count}"),
        )
        book.place_pair(legs, f"p{count}")
    elif step[0] == "cancel":
        order = book.orders.get(step[1])
        if order is not None:
            book.cancel(order.symbol, order_id=order.id)
    else:
        _, prices, symbols = step
        book.trade_through(current, at=count * HOUR - 1)
        bars = {}
        for at, symbol in enumerate(symbols):
            four = prices[4 * at : 4 * at + 4]
            bars[symbol] = Bar(count * HOUR, four[0], max(four), min(four), four[3], Decimal(1))
        book.open_bars(bars, at=count * HOUR)
        return bars
    return current


@settings(deadline=None, max_examples=100)
@given(STEPS, st.sampled_from(["quote", "bought"]), st.booleans())
def test_no_money_is_made_or_lost_and_what_is_locked_is_what_open_orders_need(steps, fee_in, in_parts):
    book = a_book(cash="5000", coins="20", slippage="0.0007", fee_in=fee_in)
    book.depth = halves if in_parts else None
    start = dict(book.account.free)
    current = {s: bar("100", "105", "95", "100") for s in (BTC, ETH)}
    book.open_bars(current, at=0)
    for count, step in enumerate(steps, start=1):
        before = len(book.orders)
        try:
            current = run_step(book, step, count, current)
        except Refusal:
            assert len(book.orders) == before
        check(book, start)
