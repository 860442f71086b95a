"""What an order may be, which steps it may take, and the id that makes a repeated attempt the same order."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ValidationError
from engine.live.order_state import (
    TRANSITIONS,
    OrderReport,
    State,
    StateError,
    average_price,
    check_transition,
    client_id,
)
from tests.engine.live.scripted import a_fill, an_order

words = st.text(min_size=1, max_size=40)
keys = st.tuples(words, st.integers(0, 2**62), words, words, st.integers(0, 5))


def test_id_of_an_order_is_golden():
    assert client_id("run-1", 1_700_000_000_000_000_000, "BTC/USDT", "entry") == "ldr-gilex33q56hntxfjvspuqxspt5"


@given(keys, keys)
def test_same_id_means_same_order(one, other):
    assert (client_id(*one) == client_id(*other)) == (one == other)
    assert re.fullmatch(r"ldr-[A-Za-z0-9_-]{1,30}", client_id(*one))


def test_an_id_and_those_of_its_legs_are_short_enough_for_binance():
    oco = an_order(kind="oco", side="sell", price="70000", stop_price="50000")
    assert len(oco.legs) == 2 and all(len(leg) <= 36 for leg in oco.legs)
    assert an_order().legs == (an_order().client_id,)


def test_every_state_is_reached_and_the_final_ones_are_left_no_more():
    reached = {State.INTENDED}
    for _ in State:
        reached |= {new for old in reached for new in TRANSITIONS[old]}
    assert reached == set(State) == set(TRANSITIONS)
    assert {state for state in State if state.final} == {State.FILLED, State.CANCELLED, State.REJECTED}


def test_an_order_is_sent_again_from_sent_and_unknown_alone():
    before = {old for old in State if State.SENT in TRANSITIONS[old]}
    assert before == {State.INTENDED, State.SENT, State.UNKNOWN}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, State.SENT),
        (State.FILLED, State.SENT),
        (State.ACKNOWLEDGED, State.SENT),
        (State.PARTLY_FILLED, State.REJECTED),
        (State.INTENDED, State.FILLED),
    ],
)
def test_a_step_that_the_table_has_not_is_refused(old, new):
    with pytest.raises(StateError, match=f"from {old or 'nothing'} to {new}"):
        check_transition("ldr-1", old, new)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount": "0"}, "amount '0' must be positive decimal text"),
        ({"amount": "-1"}, "amount '-1'"),
        ({"amount": "1e-5"}, "amount '1e-5'"),
        ({"amount": "NaN"}, "amount 'NaN'"),
        ({"amount": 0.5}, "amount 0.5"),
        ({"amount": "٣"}, "amount '٣'"),
        ({"price": "100"}, "a market order has no price, not '100'"),
        ({"kind": "limit"}, "a limit order has a price, not None"),
        ({"kind": "stop"}, "a stop order has a stop_price"),
        ({"post_only": True}, "only a limit order can be post-only"),
        ({"side": "long"}, "side 'long' must be one of"),
        ({"kind": "iceberg"}, "kind 'iceberg'"),
        ({"symbol": "BTCUSDT"}, "spelled as in ccxt"),
        ({"client_id": "a b"}, "a client id is 1 to 34"),
        ({"client_id": "x" * 35}, "a client id is 1 to 34"),
        ({"expected_price": float("nan")}, "expected_price nan must be a finite number"),
    ],
)
def test_an_order_that_no_exchange_would_take_is_refused(change, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        replace(an_order(), **change)


def test_average_is_weighted_by_amount_and_none_without_fills():
    fills = (a_fill("1", "1", "100"), a_fill("2", "3", "104"))
    assert average_price(fills) == Decimal(103)
    report = OrderReport(an_order(), State.PARTLY_FILLED, Decimal(5), fills)
    assert report.average == 103 and not report.complete
    assert OrderReport(an_order(), State.SENT, Decimal(0)).average is None
