"""What must hold of every run in each engine, whatever it was given: money adds up, and orders keep to the rules."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from data import Market
from engine import Result, Venue, rules
from tests.parity.books import NOISE, closes, fills, largest_sums
from tests.parity.cases import FIELDS, Case, Table, cases

both_engines = pytest.mark.parametrize("engine", ["backtest", "paper"])


def opens(before: float, after: float, noise: float) -> bool:
    """Whether a fill opens or enlarges a position."""
    return abs(after) > abs(before) + noise or (before * after < 0.0 and abs(after) > noise)


# Money


@both_engines
@given(case=cases())
@settings(max_examples=90)
def test_equity_is_cash_and_positions_at_the_close_rebuilt_from_orders_and_charges_alone(
    engine: str, case: Case
) -> None:
    result = case.run(engine)
    told = zip(result.equity, result.positions.to_dict("records"), largest_sums(case, result), strict=True)
    for (time, books, marks), (equity, positions, scale) in zip(closes(case, result), told, strict=True):
        assert abs(books.equity(marks) - equity) <= 1e-9 * scale, time
        for symbol, held in positions.items():
            assert abs(books.of(symbol) - held) * (marks[symbol] if held else 1.0) <= 1e-9 * scale, time


@both_engines
@given(case=cases())
@settings(max_examples=90)
def test_what_was_won_is_realised_and_unrealised_gains_less_fees_funding_and_borrowing(engine: str, case: Case) -> None:
    result = case.run(engine)
    *_, (_, books, marks) = closes(case, result)
    unrealised = sum(held * (marks[symbol] - books.average[symbol]) for symbol, held in books.held.items() if held)
    paid = books.fees + result.charges["paid"].sum()
    scale = largest_sums(case, result).iloc[-1]
    assert abs(books.realised + unrealised - paid - (result.equity.iloc[-1] - result.cash)) <= 1e-9 * scale
    # The same by the result's own statement.
    statement = result.statement()
    assert abs(statement["realised"] + statement["unrealised"] - books.realised - unrealised) <= 1e-9 * scale
    assert abs(statement["unexplained"]) <= 1e-9 * scale


@both_engines
@given(case=cases(spot=True))
@settings(max_examples=75)
def test_spot_owes_neither_cash_nor_coins_after_any_fill(engine: str, case: Case) -> None:
    result = case.run(engine)
    assert result.positions.min(axis=None) >= 0.0
    assert (result.orders["reason"] != "liquidation").all()
    spent = result.cash
    for order, _, books in fills(case, result):
        spent = max(spent, order.amount * order.price)
        assert books.cash >= -10 * NOISE * spent
        assert books.of(order.symbol) >= -books.noise(order.symbol)


# Orders


def assert_whole_steps(amount: float, step: float) -> None:
    """Whether an amount is the float of a whole number of steps; beyond 2**50 steps a float cannot tell."""
    exact = Fraction(str(step))
    nearest = float(round(Fraction(amount) / exact) * exact)
    assert abs(amount - nearest) <= 2 * np.spacing(amount), (amount, step)


def assert_large_enough(order: Any, left: float, close: float, venue: Venue, dust: float) -> None:
    if abs(left) > dust or order.amount == 0.0:
        assert order.amount >= venue.min_amount * (1 - 1e-8)
        assert order.amount * close >= venue.min_notional * (1 - 1e-8)
        assert order.amount >= venue.amount_step * (1 - 1e-8)


@both_engines
@given(case=cases())
@settings(max_examples=125)
def test_orders_are_whole_steps_within_the_venues_bounds_on_bars_there_are(engine: str, case: Case) -> None:
    result = case.run(engine)
    known = case.market.close.ffill()
    targets = case.strategy.targets(case.market)
    for order, before, books in fills(case, result):
        symbol, venue = order.symbol, case.venues[order.symbol]
        close = known.at[order.decided_at, symbol]
        assert order.filled_at > order.decided_at
        assert not np.isnan(case.market.close.at[order.filled_at, symbol])
        assert order.amount > 0.0
        if venue.amount_step:
            assert_whole_steps(order.amount, venue.amount_step)
        dust = max(venue.amount_step * (1 - 1e-8) if books.coins else 0.0, books.noise(symbol))
        assert_large_enough(order, books.of(symbol), close, venue, dust)
        if order.reason.startswith("target"):
            assert not np.isnan(targets.at[order.decided_at, symbol])
            assert case.market.index.get_loc(order.decided_at) >= case.strategy.warmup - 1
            # What reduces a position is sent in parts.
            opening = order.amount - min(order.amount, max(before if order.side == "sell" else -before, 0.0))
            assert opening <= venue.max_amount * (1 + 1e-9) + books.noise(symbol)
            assert opening * close <= venue.max_notional * (1 + 1e-9) + books.noise(symbol) * close


@both_engines
@given(case=cases(exited=True))
@settings(max_examples=100)
def test_after_an_exit_a_symbol_stays_flat_until_the_next_target(engine: str, case: Case) -> None:
    result = case.run(engine)
    left: dict[str, pd.Timestamp] = {}
    for order, before, books in fills(case, result):
        symbol = order.symbol
        if symbol in left:
            assert order.reason.startswith("target")
            assert order.decided_at >= left.pop(symbol)
        if not order.reason.startswith("target"):
            assert before != 0.0
            dust = case.venues[symbol].amount_step if books.coins else 0.0
            assert abs(books.of(symbol)) <= max(dust, books.noise(symbol))
            assert abs(result.positions.at[order.filled_at, symbol] - books.of(symbol)) <= books.noise(symbol)
            left[symbol] = order.filled_at


# Risk limits


def resting_fills(case: Case, result: Result) -> dict[pd.Timestamp, list[tuple[str, float]]]:
    """By bar, the symbols whose resting order met its price, filled or blocked: from then on that is their mark."""
    style = case.terms["orders"]
    met: dict[pd.Timestamp, list[tuple[str, float]]] = {}
    for event in result.risk_events[result.risk_events["symbol"] != ""].itertuples():
        bars = case.market.close[event.symbol].dropna().index
        if style is None or bars.searchsorted(event.at) - bars.searchsorted(event.decided_at, "right") >= style.alive:
            continue
        venue, close = case.venues[event.symbol], case.market.close[event.symbol].ffill()[event.decided_at]
        side = 1 if event.wanted > 0 else -1
        price = close * (1 - style.offset if side > 0 else 1 + style.offset)
        tick = rules.significant_step(price, venue.price_digits) if venue.price_digits else venue.price_tick
        price = rules.round_price(price, tick, -side)
        arrives = bars.searchsorted(event.at) == bars.searchsorted(event.decided_at, "right")
        if arrives and side * (case.market.open.at[event.at, event.symbol] - price) < 0:
            continue  # refused, and sent to the market at the open
        met.setdefault(event.at, []).append((event.symbol, price))
    return met


def without_funding(case: Case) -> Case:
    """Charges do not say which of a bar's funding came before its fills."""
    return replace(case, terms={**case.terms, "costs": replace(case.terms["costs"], funding=None)})


@both_engines
@given(drawn=cases(limited=True))
@settings(max_examples=125)
def test_no_fill_that_opens_takes_the_account_over_a_limit(engine: str, drawn: Case) -> None:
    case = without_funding(drawn)
    result, risk = case.run(engine), case.terms["risk"]
    last, opening, resting = case.market.close.ffill().shift(), case.market.open, resting_fills(case, result)
    borrowed = result.charges.groupby("at")["paid"].sum()
    time, paid = None, 0.0
    for order, before, books in fills(case, result):
        if order.filled_at != time:
            time = order.filled_at
            marks = opening.loc[time].fillna(last.loc[time]).to_dict()
            books.cash += paid - borrowed[:time].sum()
            paid = borrowed[:time].sum()
        if order.reason.partition(", cut")[0] == "target, limit":
            for symbol, price in resting[time]:
                marks[symbol] = price
                if symbol == order.symbol:
                    break
            assert marks[order.symbol] == order.price
        noise = books.noise(order.symbol)
        if not order.reason.startswith("target") or not opens(before, books.of(order.symbol), noise):
            continue
        equity, (gross, net) = books.equity(marks), books.exposure(marks)
        room = 1e-9 * max(abs(equity), gross)
        side = 1.0 if order.side == "buy" else -1.0
        reduced = min(order.amount, max(-side * before, 0.0))
        assert risk.max_gross is None or gross <= risk.max_gross * equity + room
        assert risk.max_net is None or side * net <= risk.max_net * equity + room
        own = abs(books.of(order.symbol)) * marks[order.symbol]
        assert risk.max_position is None or own <= risk.max_position * equity + room
        most = max(risk.max_order_notional or np.inf, reduced * order.price)
        assert order.amount * order.price <= most * (1 + 1e-9)


@both_engines
@given(case=cases(limited=True))
@settings(max_examples=75)
def test_what_only_reduces_a_position_is_neither_cut_nor_blocked(engine: str, case: Case) -> None:
    result = case.run(engine)
    before = result.positions.shift(fill_value=0.0)
    for event in result.risk_events[result.risk_events["verdict"].isin(["cut", "blocked"])].itertuples():
        held = before.at[event.at, event.symbol]
        reducing = min(abs(event.wanted), abs(held)) if held * event.wanted < 0.0 else 0.0
        assert reducing < abs(event.wanted)
        assert abs(event.allowed) >= reducing * (1 - NOISE)
        assert event.allowed * event.wanted >= 0.0
        assert abs(event.allowed) < abs(event.wanted)


# Time


def with_another_future(case: Case, last: int) -> Case:
    """The same up to bar `last`; after it prices, volumes, gaps and decisions of other bars, and other prices."""
    rows = np.concatenate([np.arange(last + 1), np.arange(len(case.market) - 1, last, -1)])

    def mixed(table: pd.DataFrame, factor: float = 1.0) -> pd.DataFrame:
        values = table.to_numpy()[rows]
        values[last + 1 :] *= factor
        return pd.DataFrame(values, index=table.index, columns=table.columns)

    market = Market({name: mixed(case.market[name], 1.7) for name in FIELDS}, case.market.timeframe)
    old = case.strategy
    scales = None if old.scales is None else Table(mixed(old.scales.frame))
    return replace(
        case, strategy=replace(old, decisions=Table(mixed(old.decisions.frame)), scales=scales), market=market
    )


@given(case=cases(), share=st.floats(0, 1))
@settings(max_examples=100)
def test_nothing_up_to_a_bar_depends_on_the_bars_after_it(case: Case, share: float) -> None:
    last = int(share * (len(case.market) - 1))
    time = case.market.index[last]
    one, other = case.run("backtest"), with_another_future(case, last).run("backtest")
    for name, column in (("orders", "filled_at"), ("risk_events", "at"), ("charges", "at")):
        past = [table[table[column] <= time] for table in (getattr(one, name), getattr(other, name))]
        pd.testing.assert_frame_equal(*past, check_exact=True)
    pd.testing.assert_frame_equal(one.positions[:time], other.positions[:time], check_exact=True)
    assert ((one.equity - other.equity).abs() <= 1e-9 * largest_sums(case, one))[:time].all()
