"""Orders that leave together: paper's amounts, and none whose verdict would be another had the others filled badly."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from data import Market
from engine import Costs, RiskLimits, Strategy, Venue, guard
from engine.live.desk import Ask, Desk
from engine.live.waves import WORSE, next_wave
from engine.paper_books import Intent
from engine.run import prepare

SYMBOLS = ["A/USDT", "B/USDT", "C/USDT", "D/USDT"]
FEE = 0.001


@dataclass(frozen=True)
class Nothing(Strategy):
    @property
    def warmup(self) -> int:
        return 1

    def targets(self, market: Market) -> pd.DataFrame:
        return pd.DataFrame(np.nan, index=market.index, columns=list(market.symbols))


def a_market() -> Market:
    index = pd.date_range("2024-01-01", periods=3, freq="1h", tz="UTC", name="time")
    bars = pd.DataFrame({"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.0, "volume": 1e6}, index=index)
    return Market.from_frames(dict.fromkeys(SYMBOLS, bars), "1h")


MARKET = a_market()


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Desk, list[int]]:
    """A desk that holds something, with orders that wait for the open, and the symbols in the order they are judged."""
    shorts = draw(st.booleans())
    venue = Venue(shorts=shorts, leverage=draw(st.sampled_from([1.0, 3.0])) if shorts else 1.0, amount_step=1e-4)
    limit = st.none() | st.floats(0.1, 1.5)
    risk = RiskLimits(
        max_position=draw(limit), max_gross=draw(limit), max_net=draw(limit),
        max_order_notional=draw(st.none() | st.just(3e3)), max_orders_per_minute=draw(st.none() | st.integers(1, 4)),
    )  # fmt: skip
    terms = Costs(fee=FEE, slippage=draw(st.sampled_from([0.0, 0.002]))), venue, draw(st.none() | st.just(risk)), None
    desk = Desk(prepare(Nothing(), MARKET, 10_000.0, *terms))
    account = desk.account
    start = int(MARKET.index[0].value)
    desk.begin(start, dict.fromkeys(range(len(SYMBOLS)), (start, 100.0, 1000000.0)))
    for position in account.holdings:
        weight = draw(st.floats(-0.5 if shorts else 0.0, 0.5 if shorts else 0.25))
        position.held = round(weight * 100.0, 4)
        position.average = position.best = 100.0
        account.money -= position.held * 100.0
    targets = [draw(st.just(float("nan")) | st.floats(-1.0 if shorts else 0.0, 1.0)) for _ in SYMBOLS]
    desk.close(dict.fromkeys(range(len(SYMBOLS)), (100.0, 100.0, 100.0, 100.0, 1000000.0)), targets, None)
    opens = {column: 100.0 * draw(st.floats(0.97, 1.03)) for column in range(len(SYMBOLS))}
    desk.open(start + 3_600_000_000_000, opens)
    return desk, desk.due()


def book(desk: Desk, ask: Ask, share: float = 1.0, worse: float = 0.0) -> None:
    """Fill a part of an order, at a price that is worse."""
    amount = round(ask.amount * share, 4)
    if amount:
        price = ask.price * (1.0 + worse if amount > 0.0 else 1.0 - worse)
        waiting = ask.waiting
        intent = Intent(ask.column, amount, FEE, waiting.reason, ask.cut, waiting.decided, waiting.scale, within=False)
        desk.account.book(intent, price, abs(amount) * price * FEE, amount)


def state(desk: Desk) -> tuple[object, ...]:
    kept = desk.account.snapshot()
    return kept["money"], kept["holdings"], kept["guard"]


@settings(max_examples=300, deadline=None)
@given(scenes())
def test_without_a_surprise_the_orders_are_those_judged_one_by_one(scene: tuple[Desk, list[int]]) -> None:
    desk, due = scene
    other, one_by_one = copy.deepcopy(desk), []
    for column in due:
        ask = other.ask(column)
        if ask is not None:
            one_by_one.append((ask.column, ask.amount, ask.price, ask.cut))
            book(other, ask)
    rest, together, waves = due, [], 0
    while rest:
        before = state(desk)
        asks, rest = next_wave(desk, rest)
        assert state(desk) == before, "what is only expected is not booked"
        waves += 1
        for ask in asks:
            together.append((ask.column, ask.amount, ask.price, ask.cut))
            book(desk, ask)
    assert together == one_by_one
    assert state(desk) == state(other)
    assert desk.account.taken_events() == other.account.taken_events()
    assert waves <= max(len(due), 1)


@settings(max_examples=500, deadline=None)
@given(scenes(), st.data())
def test_whatever_the_others_come_to_it_would_go_as_it_goes(scene: tuple[Desk, list[int]], data: st.DataObject) -> None:
    desk, due = scene
    rest = due
    while rest:
        waiting = dict(desk.waiting)
        asks, rest = next_wave(desk, rest)
        for ask in asks:  # as if each were judged only once the ones before it are booked
            desk.waiting[ask.column] = waiting[ask.column]
            again = desk.ask(ask.column)
            assert again is not None and again.amount == ask.amount
            book(desk, ask, data.draw(st.floats(0.0, 1.0)), data.draw(st.floats(0.0, WORSE)))


def test_sales_leave_first_and_what_they_pay_for_once_they_are_booked() -> None:
    desk = Desk(prepare(Nothing(), MARKET, 10_000.0, Costs(fee=FEE, slippage=0.0), Venue(amount_step=1e-4), None, None))
    start = int(MARKET.index[0].value)
    desk.begin(start, dict.fromkeys(range(4), (start, 100.0, 1000000.0)))
    for column in (0, 1):
        desk.account.holdings[column].held, desk.account.holdings[column].average = 45.0, 100.0
    desk.account.money = 1_000.0
    bars = dict.fromkeys(range(4), (100.0, 100.0, 100.0, 100.0, 1000000.0))
    desk.close(bars, [0.0, 0.0, 0.45, 0.45], None)
    desk.open(start + 3_600_000_000_000, dict.fromkeys(range(4), 100.0))
    asks, rest = next_wave(desk, desk.due())
    assert [ask.column for ask in asks] == [0, 1] and rest == [2, 3]
    for ask, share in zip(asks, (1.0, 0.5), strict=True):  # one of them is sold in part
        book(desk, ask, share)
    asks, rest = next_wave(desk, rest)
    assert [ask.column for ask in asks] == [2] and rest == [3]
    book(desk, asks[0])
    asks, rest = next_wave(desk, rest)
    assert [(ask.column, ask.cut) for ask in asks] == [(3, guard.CASH)] and rest == []


def waves_of(targets: list[float], venue: Venue, risk: RiskLimits | None) -> list[list[int]]:
    """Which symbols' orders leave together, where each fills as expected."""
    desk = Desk(prepare(Nothing(), MARKET, 10_000.0, Costs(fee=FEE, slippage=0.0), venue, risk, None))
    start, count, found = int(MARKET.index[0].value), range(len(SYMBOLS)), []
    desk.begin(start, dict.fromkeys(count, (start, 100.0, 1e6)))
    desk.close(dict.fromkeys(count, (100.0, 100.0, 100.0, 100.0, 1e6)), targets, None)
    desk.open(start + 3_600_000_000_000, dict.fromkeys(count, 100.0))
    rest = desk.due()
    while rest:
        asks, rest = next_wave(desk, rest)
        found.append([ask.column for ask in asks])
        for ask in asks:
            book(desk, ask)
    return found


def test_purchase_that_cash_pays_unless_the_one_before_it_is_dear_waits_for_it() -> None:
    spot, nothing = Venue(amount_step=1e-4), float("nan")
    assert waves_of([0.45, 0.45, nothing, nothing], spot, None) == [[0, 1]]
    assert waves_of([0.48, 0.51, nothing, nothing], spot, None) == [[0], [1]]


def test_purchase_within_the_net_limit_only_once_a_short_is_there_waits_for_it() -> None:
    margin, nothing = Venue(shorts=True, leverage=3.0, amount_step=1e-4), float("nan")
    assert waves_of([0.5, -0.3, nothing, nothing], margin, RiskLimits(max_net=0.6)) == [[1, 0]]
    assert waves_of([0.5, -0.3, nothing, nothing], margin, RiskLimits(max_net=0.3)) == [[1], [0]]
