"""The live session on linear perpetuals, by an unmodified ccxt client on the rehearsal exchange's Bybit.

The quick ones are a handful of schedules; the slow suite has more (`test_session_perpetuals_slow.py`).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from data.errors import ValidationError
from engine import Exits, RiskLimits
from engine.live.calls import Calls
from engine.live.choices import adopt, ignore
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.life import Nursery
from engine.live.reconcile import ReconciliationError
from engine.live.rehearsing import Rehearsal, rehearse
from engine.live.safety import Stop
from engine.live.trading_terms import check_margin, check_symbols
from engine.rehearsal.faults import FaultPlan, Planned
from tests.engine.live.perpetuals import COSTS, VENUE, both_ways, perpetuals, schedule_async
from tests.engine.live.sessions import Always, Stage, level_market, on_stage

PERPETUAL = "BTC/USDT:USDT"
TURNS = 10
TERMS = {"costs": COSTS, "venue": VENUE}
CASES = {
    "market orders": both_ways(3, 10),
    "stops": both_ways(3, 10, Exits(stop_loss=0.01)),
    "stops and profits": both_ways(3, 10, Exits(stop_loss=0.01, take_profit=0.015)),
    "profits": both_ways(3, 10, Exits(take_profit=0.01)),
    "trailing": both_ways(3, 10, Exits(trailing=(0.005, 0.01))),
    "time limit": both_ways(3, 10, Exits(stop_loss=0.02, time_limit=pd.Timedelta("4h"))),
}


@pytest.mark.parametrize("strategy", CASES.values(), ids=CASES.keys())
def test_without_faults_its_orders_are_those_of_paper_and_wallet_and_positions_are_explained(strategy) -> None:
    rehearsal = rehearse(strategy, perpetuals(60), **TERMS)
    rehearsal.raise_if_broken()
    assert rehearsal.matched >= 10 and not rehearsal.differences
    assert rehearsal.bars > 40


def test_risk_limits_act_as_in_paper() -> None:
    risk = RiskLimits(max_position=0.2, max_gross=0.5, max_daily_loss=0.02)
    rehearsal = rehearse(CASES["market orders"], perpetuals(60), risk=risk, **TERMS)
    rehearsal.raise_if_broken()
    assert rehearsal.matched >= 10


def test_whatever_goes_wrong_no_order_goes_twice_and_no_fill_is_lost() -> None:
    async def schedules() -> list[Rehearsal]:
        async with Nursery() as nursery:  # one birth at a time, so those that kill follow each other
            killed = [await schedule_async(seed, TURNS, nursery) for seed in (3, 5)]
        return [*killed, *await asyncio.gather(*(schedule_async(seed, TURNS) for seed in (0, 2, 4, 6)))]

    for rehearsal in asyncio.run(schedules()):
        rehearsal.raise_if_broken()
        assert sum(rehearsal.faults.values()) > 5
        assert rehearsal.bars + rehearsal.incidents.get("bar not decided on", 0) + rehearsal.crashes >= TURNS


def test_answer_that_is_lost_is_looked_up_and_the_order_is_not_sent_again() -> None:
    lost = [Planned("answer_lost", on="POST /v5/order/create", nth=number) for number in (1, 2, 4)]
    rehearsal = rehearse(CASES["stops and profits"], perpetuals(60), faults=FaultPlan(planned=lost), **TERMS)
    rehearsal.raise_if_broken()
    assert rehearsal.faults["answer_lost"] == 3
    assert not rehearsal.differences  # it was executed: nothing is otherwise than in paper


def test_session_that_sends_again_without_looking_is_caught(monkeypatch) -> None:
    """A bug planted in the resend logic: a lost answer is taken for an order that never arrived."""

    async def blind(self, intent, until):
        return None

    monkeypatch.setattr(Gateway, "_resolve", blind)
    lost = [Planned("answer_lost", on="POST /v5/order/create", nth=number) for number in (1, 2, 4)]
    rehearsal = rehearse(CASES["market orders"], perpetuals(40), faults=FaultPlan(planned=lost), **TERMS)
    assert any("went twice" in one for one in rehearsal.broken)
    assert any(one.startswith(("BTC/USDT:USDT: the journal", "ETH/USDT:USDT: the journal")) for one in rehearsal.broken)


def test_order_that_is_refused_for_funds_goes_as_the_margin_pays_short_or_long() -> None:
    short = replace(CASES["market orders"], weight=-0.9, below=0.9)
    for strategy in (CASES["market orders"], short):
        plan = FaultPlan(planned=[Planned("insufficient", on="POST /v5/order/create", nth=1)])
        rehearsal = rehearse(strategy, perpetuals(40), faults=plan, **TERMS)
        rehearsal.raise_if_broken()
        assert rehearsal.faults == {"insufficient": 1}
        assert not rehearsal.differences  # all of it was payable, and went as the next attempt


def test_position_of_the_books_is_the_exchanges_and_what_was_realised_is_the_wallets_change(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    rehearse(CASES["stops and profits"], perpetuals(60), journal=path, **TERMS).raise_if_broken()
    with Journal.reading(path) as journal:
        books = journal.rebuild("rehearsal")
        fills = journal.fills("rehearsal")
    assert set(books.changes) == {"USDT", *books.positions} and len(fills) > 20
    assert all(fill.profit is not None for fill in fills)  # the exchange's own figures, by average entry
    assert sum(books.realised.values()) == pytest.approx(books.changes["USDT"], abs=Decimal("1e-12"))


def test_closing_orders_and_barriers_only_reduce(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    rehearse(CASES["stops and profits"], perpetuals(60), journal=path, **TERMS).raise_if_broken()
    with Journal.reading(path) as journal:
        orders = journal.orders("rehearsal")
    barriers = [order for order in orders if order.leg == "barriers"]
    assert {order.kind for order in barriers} == {"stop", "limit"} and len(barriers) > 10
    assert all(order.reduce_only for order in barriers)
    assert not any(order.reduce_only for order in orders if order.leg == "target")


# Refused at the start.


@pytest.mark.parametrize(
    ("symbols", "words"),
    [
        (["BTC/USDT", PERPETUAL], "spot beside perpetuals"),
        (["BTC/USD:BTC"], "no linear perpetual"),
        (["BTC/USDT:USDT-261225"], "no linear perpetual"),
        ([PERPETUAL, "ETH/USDC:USDC"], "one quote currency"),
        ([PERPETUAL, PERPETUAL], "each once"),
    ],
)
def test_symbols_that_no_session_can_trade_are_refused(symbols: list[str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        check_symbols("run_live", symbols)


class Account:
    """What `check_margin` asks of an exchange, as ccxt answers."""

    id = "scripted"

    def __init__(self, *, size: float = 1.0, mode: str = "cross", hedged: bool = False, leverage: float | None = 3.0):
        self.markets = {PERPETUAL: {"symbol": PERPETUAL, "swap": True, "linear": True, "contractSize": size}}
        self.mode, self.hedged, self.leverage, self.set = mode, hedged, leverage, []

    async def fetch_margin_mode(self, symbol: str) -> dict:
        return {"marginMode": self.mode}

    async def fetch_positions(self, symbols: list[str]) -> list[dict]:
        return [{"symbol": symbols[0], "hedged": self.hedged, "leverage": self.leverage}]

    async def set_leverage(self, leverage: float, symbol: str) -> None:
        self.set.append((symbol, leverage))


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (Account(size=0.001), "a session trades contracts of one coin"),
        (Account(mode="isolated"), "set the account to cross margin"),
        (Account(hedged=True), "set it to one-way mode"),
        (Account(leverage=2.0), "the leverage of BTC/USDT:USDT is 2, the venue says 3"),
        (Account(leverage=None), "is not told"),
    ],
)
def test_account_that_is_set_otherwise_is_refused_and_left_as_it_is(account: Account, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        asyncio.run(check_margin(account, {PERPETUAL: VENUE}))
    assert account.set == []


def test_leverage_is_set_only_where_it_is_below_and_only_when_told_to() -> None:
    enough, below = Account(leverage=5.0), Account(leverage=2.0)
    for account in (enough, below):
        asyncio.run(check_margin(account, {PERPETUAL: VENUE}, may_set=True))
    assert enough.set == [] and below.set == [(PERPETUAL, 3.0)]


def stage(path: Path, **more) -> Stage:
    market = level_market(symbols=(PERPETUAL,))
    return Stage(journal=path, market=market, dialect="bybit", venue=replace(VENUE, amount_step=0.001), **more)


def test_leverage_below_the_venues_ends_the_start_unless_it_may_be_set(tmp_path: Path) -> None:
    async def play(on: Stage) -> None:
        on.server.exchange.margin.leverage[PERPETUAL] = Decimal(1)
        with pytest.raises(ValidationError, match="the leverage of BTC/USDT:USDT is 1, the venue says 2"):
            await on.session(1, leverage=2.0)
        await on.session(1, leverage=2.0, set_leverage=True)
        assert on.server.exchange.margin.leverage[PERPETUAL] == 2

    on_stage(play, stage(tmp_path / "j.sqlite"))


def test_position_that_was_there_before_is_refused(tmp_path: Path) -> None:
    async def play(on: Stage) -> None:
        client = on.client()
        await client.create_order(PERPETUAL, "market", "sell", 0.5)
        await client.close()
        with pytest.raises(ValidationError, match=r"the account holds -0.5 of BTC/USDT:USDT.*for itself"):
            await on.session(1, cash=1_000.0)

    on_stage(play, stage(tmp_path / "j.sqlite"))


# What is not the session's doing.


def long_and_protected(path: Path) -> Stage:
    """Half of the equity long, between a stop and a profit that nothing reaches."""
    return stage(path, strategy=Always(0.5, exits=Exits(stop_loss=0.1, take_profit=0.1)), cash=1_000.0)


async def by_hand(on: Stage, side: str, amount: float) -> None:
    client = on.client()
    try:
        await client.create_order(PERPETUAL, "market", side, amount)
    finally:
        await client.close()


def resting(on: Stage) -> list[tuple[str, Decimal, bool]]:
    return sorted((order.kind, order.amount, order.reduce_only) for order in on.server.book.open_orders())


def test_position_that_was_halved_by_hand_is_explained_once_it_is_adopted(tmp_path: Path) -> None:
    async def play(on: Stage) -> None:
        await on.session(2)
        held = on.server.exchange.margin.positions[PERPETUAL]
        assert held.amount == 5 and resting(on) == [("limit", 5, True), ("stop_loss", 5, True)]
        await by_hand(on, "sell", 2)
        with pytest.raises(ReconciliationError, match=r"BTC/USDT:USDT: the journal explains 5.*, the exchange has 3"):
            await on.session(1)
        findings = await on.looked()
        assert {one.currency for one in findings.differences} == {"USDT", PERPETUAL}
        assert [(fill.side, fill.amount) for fill in findings.strangers] == [("sell", 2)]

        def refused(_, book: Journal, found) -> None:
            with pytest.raises(ValidationError, match="one for the whole account"):
                ignore(book, on.run, found, who="ada", why="mine")

        def adopted(_, book: Journal, found) -> None:
            prices = {PERPETUAL: 100.0}
            adopt(book, on.run, found, who="ada", why="mine", symbols=[PERPETUAL], prices=prices)

        await on.looked(refused)
        await on.looked(adopted)
        assert (await on.looked()).clean
        on.strategy = Always(float("nan"), exits=on.strategy.exits)
        report = await on.session(2)
        assert (await on.looked()).clean
        account = report.session.desk.account
        assert account.holdings[0].held == 3.0
        assert account.equity() == pytest.approx(float(on.total("USDT")) - 9_000.0, abs=1e-9)
        assert resting(on) == [("limit", 3, True), ("stop_loss", 3, True)]

    on_stage(play, long_and_protected(tmp_path / "j.sqlite"))


def test_flatten_closes_what_is_held_by_an_order_that_only_reduces(tmp_path: Path) -> None:
    async def play(on: Stage) -> None:
        stop = Stop(flatten=True)
        await on.session(3, stop=stop, each=lambda done: stop.ask("enough") if done == 2 else None)
        assert on.server.exchange.margin.positions[PERPETUAL].amount == 0 and resting(on) == []
        newest = max(on.server.book.orders.values(), key=lambda order: order.id)
        assert (newest.side, newest.reduce_only) == ("sell", True)
        assert (await on.looked()).clean

    on_stage(play, long_and_protected(tmp_path / "j.sqlite"))


def test_barrier_that_a_person_has_cancelled_is_set_again_and_the_other_stays(tmp_path: Path) -> None:
    async def play(on: Stage) -> None:
        def cancelled(done: int) -> None:
            if done == 2:
                (stop,) = (order for order in on.server.book.open_orders() if order.kind == "stop_loss")
                on.server.book.cancel(PERPETUAL, stop.id)

        await on.session(4, each=cancelled)
        assert [kind for kind, _, _ in resting(on)] == ["limit", "stop_loss"]
        assert sum(order.kind == "stop_loss" for order in on.server.book.orders.values()) == 2

    on_stage(play, long_and_protected(tmp_path / "j.sqlite"))


class DiedError(BaseException):
    """The process ends here."""


def test_barriers_that_a_dying_process_wrote_down_and_never_sent_rest_after_its_restart(
    tmp_path: Path, monkeypatch
) -> None:
    once = Calls.once

    async def dies(self, method: str, *args, **more):
        if method == "create_order" and args[-1].get("reduceOnly"):
            raise DiedError
        return await once(self, method, *args, **more)

    async def play(on: Stage) -> None:
        monkeypatch.setattr(Calls, "once", dies)
        with pytest.raises(DiedError):
            await on.session(2)
        assert resting(on) == []
        monkeypatch.setattr(Calls, "once", once)
        await on.session(1)
        assert resting(on) == [("limit", 5, True), ("stop_loss", 5, True)]

    on_stage(play, long_and_protected(tmp_path / "j.sqlite"))
