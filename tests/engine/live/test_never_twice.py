"""An order is at the exchange once, and each of its fills in the journal once, whatever fails, wherever one dies."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.live.calls import HaltError
from engine.live.gateway import Gateway
from engine.live.journal import Journal
from engine.live.order_state import OrderIntent, OrderReport, State
from tests.engine.live.scripted import (
    RUN,
    CrashError,
    DyingJournal,
    Points,
    ScriptedClock,
    ScriptedExchange,
    a_gateway,
    an_order,
)

FAULTS = ("ok", "lost", "cut", "garbage", "refused", "late", "hidden", "rate", "skew", "maintenance", "down")
ORDERS = (
    an_order("entry"),
    an_order("rest", "limit", amount="0.02", price="50000.00"),
    an_order("exit", side="sell", amount="0.005"),
)


class BlindGateway(Gateway):
    """The planted bug: what was not answered is sent again without a look."""

    async def _resolve(self, intent: OrderIntent, until: float) -> OrderReport | None:
        return None


class HastyGateway(Gateway):
    """Another: a lookup that finds nothing is believed while the request may still be executed."""

    def _signed_by(self, intent: OrderIntent) -> int | None:
        return -(10**15)


def lives(
    folder: Path,
    faults: Sequence[str],
    deaths: Sequence[int],
    kind: type[Gateway] = Gateway,
    exchange: ScriptedExchange | None = None,
) -> tuple[ScriptedExchange, int]:
    """Place the orders, dying at these points of the successive lives and starting again; the exchange lives on."""
    exchange = exchange or ScriptedExchange(ScriptedClock(), faults)
    exchange.fills_shown = len(faults) % 2 == 0  # some answers bring the fills along, some do not
    passed = 0
    for death in (*deaths, None):
        points = Points(death)
        exchange.points = points
        journal = DyingJournal(folder / "journal.sqlite", points)
        try:
            asyncio.run(one_life(exchange, journal, kind))
        except CrashError:
            exchange.clock.now += 0.01  # a quick restart: the last request may still be on its way
            continue
        except HaltError:  # a clock that is refused again and again: a person starts it anew
            return lives(folder, exchange.faults, [], kind, exchange)
        finally:
            journal.close()
            passed += points.passed
        if death is None:
            break
    exchange.end()
    return exchange, passed


async def one_life(exchange: ScriptedExchange, journal: Journal, kind: type[Gateway]) -> None:
    gateway = a_gateway(exchange, journal, kind)
    await gateway.place(ORDERS[0])
    await gateway.place_many(ORDERS[1:])


def is_right(exchange: ScriptedExchange, folder: Path) -> None:
    """Each order once at the exchange, and the journal alone tells what the exchange's own books tell."""
    sent = [order["client_id"] for order in exchange.book]
    assert sorted(sent) == sorted(order.client_id for order in ORDERS), "each order once"
    with Journal.reading(folder / "journal.sqlite") as journal:
        told = sorted((fill.trade_id, fill.amount, fill.price, fill.fee) for fill in journal.fills(RUN))
        true = sorted(
            (trade["id"], *(Decimal(trade["info"][name]) for name in ("qty", "price", "commission")))
            for order in exchange.book
            for trade in order["trades"]
        )
        assert told == true, "each fill once"
        assert journal.foreign_fills() == []
        states = [journal.state(order.client_id) for order in ORDERS]
        assert states == [State.FILLED, State.ACKNOWLEDGED, State.FILLED]
        assert journal.rebuild(RUN).changes["BTC"] == Decimal("0.015") * Decimal("0.999") - Decimal("0.005")
        for order in ORDERS:
            steps = [step.state for step in journal.steps(order.client_id)]
            assert steps[:2] == [State.INTENDED, State.SENT]
        requests = sum(step.state is State.SENT for order in ORDERS for step in journal.steps(order.client_id))
        assert requests >= exchange.calls.count("create_order"), "every request was written down before it left"


def test_orders_without_any_fault(tmp_path):
    exchange, _ = lives(tmp_path, [], [])
    is_right(exchange, tmp_path)
    assert exchange.calls == ["create_order"] * 3


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_on_its_own_and_three_times_in_a_row(tmp_path, fault):
    for number, faults in enumerate(([fault], [fault, "ok", fault], [fault] * 3)):
        folder = tmp_path / str(number)
        exchange, _ = lives(folder, faults, [])
        is_right(exchange, folder)


@pytest.mark.parametrize("fault", ["ok", "lost", "late", "refused", "hidden", "skew"])
def test_process_dies_at_any_point_and_starts_again(tmp_path, fault):
    _, points = lives(tmp_path / "whole", [fault, fault], [])
    assert points > 10
    for death in range(1, points + 1):
        folder = tmp_path / str(death)
        exchange, _ = lives(folder, [fault, fault], [death])
        is_right(exchange, folder)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(FAULTS), max_size=12), st.lists(st.integers(1, 30), max_size=3))
def test_any_faults_and_any_deaths(faults, deaths):
    with tempfile.TemporaryDirectory() as folder:
        exchange, _ = lives(Path(folder), faults, deaths)
        is_right(exchange, Path(folder))


@pytest.mark.parametrize(("kind", "fault"), [(BlindGateway, "lost"), (BlindGateway, "cut"), (HastyGateway, "late")])
def test_a_bug_planted_in_the_resending_is_caught(tmp_path, kind, fault):
    exchange, _ = lives(tmp_path, [fault], [], kind)
    with pytest.raises(AssertionError, match="each order once"):
        is_right(exchange, tmp_path)


def test_a_bug_planted_in_the_resending_is_caught_after_a_death_too(tmp_path):
    caught = 0
    for death in range(1, 12):
        exchange, _ = lives(tmp_path / str(death), [], [death], BlindGateway)
        try:
            is_right(exchange, tmp_path / str(death))
        except AssertionError:
            caught += 1
    assert caught > 0


def test_locked_out_in_between_halts_and_a_later_start_finds_out(tmp_path):
    clock = ScriptedClock()
    exchange = ScriptedExchange(clock, ["lost", "locked out"])
    with Journal(tmp_path / "journal.sqlite") as journal:
        with pytest.raises(HaltError):
            asyncio.run(one_life(exchange, journal, Gateway))
        assert journal.state(ORDERS[0].client_id) is State.UNKNOWN
        asyncio.run(one_life(exchange, journal, Gateway))
    is_right(exchange, tmp_path)
