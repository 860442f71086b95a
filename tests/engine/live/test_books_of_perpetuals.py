"""The books of a run on perpetuals beside a margin account's own: whatever is traded, position and wallet are alike."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from engine import Venue
from engine.live.books import books_of
from engine.live.order_state import Fill, sum_of
from engine.live.tally import Tally
from engine.rehearsal.margin import MarginAccount
from engine.rehearsal.money import exact
from engine.rehearsal.orders import Order
from engine.rehearsal.terms import terms_of

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
CASH = Decimal(10_000)
TERMS = terms_of((BTC, ETH), Venue(shorts=True, leverage=10.0), (Decimal("0.0002"), Decimal("0.0005")))
TRADES = st.lists(
    st.tuples(
        st.sampled_from((BTC, ETH)),
        st.sampled_from(("buy", "sell")),
        st.integers(1, 3_000).map(lambda steps: Decimal(steps) / 1000),
        st.integers(1, 2_000_000).map(lambda ticks: Decimal(ticks) / 100),
    ),
    max_size=30,
)


@exact
def settled(trades: list[tuple]) -> tuple[MarginAccount, list[Fill]]:
    """The account after these trades, and what it tells of each."""
    account, fills = MarginAccount(CASH, "USDT", TERMS), []
    for number, (symbol, side, amount, price) in enumerate(trades, 1):
        terms = TERMS[symbol]
        order = Order(number, f"o{number}", symbol, side, "market", amount, None, None, "GTC", number, number)
        fee, asset, profit = account.settle(order, terms, amount, price, terms.taker)
        fills.append(
            Fill("bybit", symbol, str(number), str(number), side, price, amount, fee, asset, number, False, profit)
        )
    return account, fills


@given(TRADES)
def test_wallet_and_positions_are_the_accounts_to_the_last_digit(trades) -> None:
    account, fills = settled(trades)
    books = books_of(fills)
    assert sum_of((CASH, books.changes.get("USDT", Decimal(0)))) == account.free["USDT"]
    for symbol in books.positions:
        assert books.positions[symbol] == books.changes[symbol] == account.positions[symbol].amount
    assert not {"BTC", "ETH"} & set(books.changes)


@given(TRADES)
def test_where_no_profit_is_told_it_is_reckoned_by_the_average_entry(trades) -> None:
    account, fills = settled(trades)
    books = books_of([replace(fill, profit=None) for fill in fills])
    off = Fraction(CASH) + Fraction(books.changes.get("USDT", Decimal(0))) - Fraction(account.free["USDT"])
    assert abs(off) <= Fraction(len(trades), 10**15)  # the account rounds what a part has cost to 1e-16
    realised = sum(map(Fraction, books.realised.values()))
    assert abs(realised - Fraction(books.changes.get("USDT", Decimal(0)))) < Fraction(1, 10**40)  # 60 digits are kept


@given(TRADES)
def test_cash_of_a_session_and_what_its_positions_have_cost_are_the_wallet(trades) -> None:
    account, fills = settled(trades)
    counted, followed = Tally([BTC, ETH], CASH), Tally([BTC, ETH], CASH)
    for fill in fills:
        counted.count([fill])
    books = books_of(fills)
    followed.follow(books)
    spent = sum(map(Fraction, books.cost.values()))
    off = Fraction(counted.cash) + spent - Fraction(account.free["USDT"])
    assert abs(off) <= Fraction(len(trades), 10**15)
    assert abs(Fraction(followed.cash) - Fraction(counted.cash)) <= Fraction(len(trades), 10**15)
    assert all(followed.held(symbol) == counted.held(symbol) for symbol in books.positions)
