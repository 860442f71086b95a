"""The heart of it: `backtest` and `paper` take the same decisions and send the same orders, whatever the bars bring."""

from __future__ import annotations

from dataclasses import dataclass

import hypothesis.strategies as st
import numpy as np
import pandas as pd
from hypothesis import given, settings

from data import Market
from engine import Costs, Result, Venue, backtest, paper
from engine.run import prepare
from tests.engine.given import Given


@dataclass(frozen=True, eq=False)
class Case:
    """One run: what hypothesis draws and shrinks."""

    strategy: Given
    market: Market
    cash: float
    costs: Costs
    venue: Venue

    def both(self) -> tuple[Result, Result]:
        terms = {"cash": self.cash, "costs": self.costs, "venue": self.venue}
        return backtest(self.strategy, self.market, **terms), paper(self.strategy, self.market, **terms)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    bars = draw(st.integers(2, 25))
    symbols = draw(st.integers(1, 5))
    # Round prices and steps on purpose: exact ties are where two engines would part.
    prices = st.one_of(st.sampled_from([1.0, 10.0, 100.0, 0.1, 0.3, 7.0]), st.floats(1e-8, 1e6))
    weights = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 0.5, 0.1, -0.5, -1.0]), st.floats(-1, 1))
    shorts = draw(st.booleans())
    index = pd.date_range("2024-01-01", periods=bars, freq="1h", tz="UTC")
    full = draw(st.booleans())
    frames, targets = {}, {}
    for number in range(symbols):
        base = draw(prices)
        moves = draw(st.lists(st.sampled_from([1.0, 1.0, 1.1, 0.9, 0.5, 2.0, 1.001]), min_size=bars, max_size=bars))
        gaps = draw(st.lists(st.sampled_from([1.0, 1.0, 1.05, 0.95]), min_size=bars, max_size=bars))
        close = base * np.cumprod(moves)
        opens = np.concatenate([[base], close[:-1]]) * np.array(gaps)
        frame = pd.DataFrame(
            {
                "open": opens,
                "high": np.maximum(opens, close),
                "low": np.minimum(opens, close),
                "close": close,
                "volume": 1.0,
            },
            index=index,
        )
        kept = draw(st.lists(st.sampled_from([True, True, True, False]), min_size=bars, max_size=bars))
        kept[draw(st.integers(0, bars - 1))] = True
        frames[f"S{number}/USD"] = frame[np.array(kept)]
        row = draw(st.lists(weights, min_size=bars, max_size=bars))
        values = np.array([np.nan if weight is None else weight for weight in row])
        targets[f"S{number}/USD"] = values if shorts else np.abs(values)
    market = Market.from_frames(frames, timeframe="1h")
    if full:
        market = market.on_grid()
    table = pd.DataFrame(targets, index=index).reindex(market.index)
    costs = Costs(
        fee=draw(st.sampled_from([0.0, 0.001, 0.0007, 0.05])),
        slippage=draw(st.sampled_from([0.0, 0.0005, 0.01])),
    )
    venue = Venue(
        shorts=shorts,
        leverage=draw(st.sampled_from([1.0, 1.0, 3.0])) if shorts else 1.0,
        amount_step=draw(st.sampled_from([0.0, 0.001, 0.1, 1.0, 0.003, 25.0, 1e-8])),
        min_notional=draw(st.sampled_from([0.0, 10.0, 123.4])),
    )
    cash = draw(st.sampled_from([1.0, 100.0, 1_000.0, 12_345.67]))
    return Case(Given(table, draw(st.integers(0, 4))), market, cash, costs, venue)


@given(cases())
@settings(max_examples=300)
def test_both_engines_send_the_same_orders_and_hold_the_same_equity(case: Case) -> None:
    fast, slow = case.both()
    pd.testing.assert_frame_equal(fast.orders, slow.orders, check_exact=False, rtol=1e-12, atol=0.0)
    # Relative to what the books have held: after ruin, equity itself crosses zero.
    scale = np.maximum.accumulate(np.maximum(fast.equity.abs(), case.cash))
    assert ((fast.equity - slow.equity).abs() / scale).max() <= 1e-12
    pd.testing.assert_frame_equal(fast.positions, slow.positions, check_exact=True)


@given(cases())
@settings(max_examples=200)
def test_equity_is_cash_and_positions_at_the_close_rebuilt_from_the_orders_alone(case: Case) -> None:
    result = backtest(case.strategy, case.market, cash=case.cash, costs=case.costs, venue=case.venue)
    orders = result.orders
    sign = np.where(orders["side"] == "buy", 1.0, -1.0)
    flow = pd.Series(-(sign * orders["amount"] * orders["price"] + orders["fee"]).to_numpy(), index=orders["filled_at"])
    cash = case.cash + flow.groupby(level=0).sum().reindex(case.market.index, fill_value=0.0).cumsum()
    marks = case.market.close.ffill().fillna(0.0)
    equity = cash + (result.positions * marks).sum(axis=1)
    scale = np.maximum.accumulate(np.maximum(equity.abs(), case.cash))
    assert ((equity - result.equity).abs() / scale).max() <= 1e-9
    if not case.venue.shorts:
        assert cash.min() >= -1e-9 * case.cash
        assert result.positions.min(axis=None) >= 0.0


@given(cases())
@settings(max_examples=200)
def test_every_order_obeys_step_minimum_price_and_timing(case: Case) -> None:
    result = backtest(case.strategy, case.market, cash=case.cash, costs=case.costs, venue=case.venue)
    run = prepare(case.strategy, case.market, case.cash, case.costs, case.venue, None)
    market, venue = case.market, case.venue
    assert (result.orders["filled_at"] > result.orders["decided_at"]).all()
    for order in result.orders.itertuples():
        row, column = market.index.get_loc(order.decided_at), market.symbols.index(order.symbol)
        assert not np.isnan(run.targets[row, column])
        # The first bar that the symbol has after the decision (rules 1 and 9).
        later = market.close[order.symbol].iloc[row + 1 :].first_valid_index()
        assert order.filled_at == later
        side = 1 if order.side == "buy" else -1
        open_price = market.open.at[order.filled_at, order.symbol]
        assert order.price == open_price * (1 + side * case.costs.slippage)
        held = result.positions[order.symbol].loc[order.filled_at]
        if venue.amount_step:
            steps = order.amount / venue.amount_step
            assert abs(steps - round(steps)) < 1e-6 * max(steps, 1)
        decided_close = market.close[order.symbol].ffill().at[order.decided_at]
        assert held == 0.0 or order.amount * decided_close >= venue.min_notional * (1 - 1e-8)
