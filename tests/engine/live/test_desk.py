"""The desk of a live session, on an exchange of three lines: the orders and the account of `paper`, bar by bar."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from data import Market, load_sample
from engine import Costs, Exits, RiskLimits, Strategy, Venue, guard, paper, reasons, rules
from engine.live.bars import BarWindow
from engine.live.desk import Ask, Desk, Filled
from engine.run import prepare
from research.strategies import CrossMomentum, QuantileSignal, SmaCross, SmaRsi
from tests.forecast_fields import with_made_forecasts

FIELDS = ("open", "high", "low", "close", "volume")


class Exchange:
    """Fills at the open, slipped, and keeps the books exactly."""

    def __init__(self, cash: float, columns: int, fee: float) -> None:
        self.money, self.held, self.fee = Decimal(repr(cash)), [Decimal(0)] * columns, fee
        self.orders: list[tuple] = []

    def fill(self, desk: Desk, ask: Ask, time: pd.Timestamp) -> None:
        amount = Decimal(repr(ask.amount))
        fee = rules.fee_paid(ask.amount, ask.price, self.fee)
        self.money -= amount * Decimal(repr(ask.price)) + Decimal(repr(fee))
        self.held[ask.column] += amount
        desk.book(ask, Filled(amount, ask.price, fee), self.held[ask.column], self.money)
        self.orders.append((time, ask.column, ask.amount, ask.price))


def drive(strategy: Strategy, market: Market, *, restart_every: int = 0, **terms):
    """Run the desk over every bar, deciding by the whole run's targets; its orders and equity at each close."""
    run = prepare(strategy, market, terms["cash"], terms["costs"], terms["venue"], terms.get("risk"), None)
    desk, exchange = Desk(run), Exchange(terms["cash"], len(market.symbols), terms["costs"].taker_fee)
    tables = [market[name].to_numpy() for name in FIELDS]
    equity = []
    for row, time in enumerate(market.index):
        if restart_every and row and row % restart_every == 0:
            kept = json.loads(json.dumps(desk.snapshot()))
            desk = Desk(run)
            desk.restore(kept)
        there = [column for column in range(len(market.symbols)) if not np.isnan(tables[3][row, column])]
        desk.open(int(time.value), {column: float(tables[0][row, column]) for column in there})
        for column in desk.expired(enlarging=True):
            exchange.fill(desk, desk.closing(column, reasons.TIME_LIMIT), time)
        for column in desk.due():
            ask = desk.ask(column)
            if ask is not None:
                exchange.fill(desk, ask, time)
        for column in desk.expired(enlarging=False):
            exchange.fill(desk, desk.closing(column, reasons.TIME_LIMIT), time)
        bars = {column: tuple(float(table[row, column]) for table in tables) for column in there}
        desk.close(bars, run.targets[row].tolist(), None)
        equity.append(desk.account.equity())
    return exchange.orders, equity


CASES = {
    "sma": (SmaCross(20, 50, below=-1.0), {"venue": Venue(shorts=True, amount_step=1e-3, min_notional=10.0)}),
    "sma on spot": (SmaCross(5, 20), {"venue": Venue(amount_step=1e-4, min_notional=10.0)}),
    "momentum": (CrossMomentum(lookback=48, every=6, top=2), {"venue": Venue(amount_step=1e-8)}),
    "fixed notional": (SmaRsi(exits=None), {"venue": Venue(amount_step=1e-5)}),
    "forecasts": (QuantileSignal(window=96, hold=4), {"venue": Venue(shorts=True, amount_step=1e-3)}),
    "limits": (
        SmaCross(5, 20, below=-1.0),
        {
            "venue": Venue(shorts=True, leverage=2.0, amount_step=1e-8),
            "risk": RiskLimits(max_position=0.2, max_gross=0.5, max_daily_loss=0.01, max_drawdown=0.6),
        },
    ),
}


@pytest.fixture(scope="module")
def market() -> Market:
    return with_made_forecasts(load_sample(["BTC/USD", "ETH/USD", "LTC/USD"]).iloc(3_000, 6_000))


@pytest.mark.parametrize(("strategy", "terms"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("restart_every", [0, 7], ids=["in one go", "restarted"])
def test_desk_gives_the_orders_of_paper(market: Market, strategy: Strategy, terms: dict, restart_every: int) -> None:
    terms = {"cash": 10_000.0, "costs": Costs(fee=0.001, slippage=0.0005), **terms}
    wanted = paper(strategy, market, **terms)
    orders, equity = drive(strategy, market, restart_every=restart_every, **terms)
    assert len(orders) == len(wanted.orders) > 20
    for (time, column, amount, price), row in zip(orders, wanted.orders.itertuples(), strict=True):
        sign = 1.0 if row.side == "buy" else -1.0
        assert (time, market.symbols[column]) == (row.filled_at, row.symbol)
        assert amount == pytest.approx(sign * row.amount, rel=1e-9)
        assert price == pytest.approx(row.price, rel=1e-12)
    np.testing.assert_allclose(equity, wanted.equity.to_numpy(), rtol=1e-9)


def test_verdicts_are_kept_until_they_are_taken(market: Market) -> None:
    strategy, terms = CASES["limits"]
    run = prepare(strategy, market, 10_000.0, Costs(), terms["venue"], terms["risk"], None)
    desk = Desk(run)
    desk.open(int(market.index[0].value), {0: 100.0})
    desk.close({0: (100.0, 100.0, 100.0, 100.0, 1.0)}, [1.0, float("nan"), float("nan")], None)
    desk.open(int(market.index[1].value), {0: 100.0})
    ask = desk.ask(0)
    assert ask is not None and ask.cut == guard.POSITION
    (event,) = desk.account.taken_events()
    assert event[:4] == (int(market.index[0].value), 0, "cut", "max_position")
    assert desk.account.taken_events() == []


def test_time_limit_is_told_at_the_open(market: Market) -> None:
    strategy = SmaCross(5, 20, exits=Exits(time_limit=pd.Timedelta("2h")))
    terms = {"cash": 10_000.0, "costs": Costs(fee=0.0, slippage=0.0), "venue": Venue(amount_step=1e-8)}
    wanted = paper(strategy, market, **terms)
    orders, _ = drive(strategy, market, **terms)
    assert [(time, market.symbols[column]) for time, column, _, _ in orders] == [
        (row.filled_at, row.symbol) for row in wanted.orders.itertuples()
    ]


def test_window_gives_the_rows_it_was_given_however_long_it_runs() -> None:
    market = load_sample(["BTC/USD", "ETH/USD"]).iloc(0, 1_500)
    window = BarWindow(market.iloc(0, 30), warmup=21)
    for row in range(30, len(market)):
        bars = {
            symbol: tuple(float(market[name][symbol].iloc[row]) for name in FIELDS)
            for symbol in market.symbols
            if not np.isnan(market.close[symbol].iloc[row])
        }
        window.add(int(market.index[row].value), bars)
        if row % 97 == 0:
            seen = window.market()
            first = max(row + 1 - window.rows, 0)
            for name in FIELDS:
                pd.testing.assert_frame_equal(seen[name], market[name].iloc[first : row + 1], check_freq=False)
    assert window.last == market.index[-1].value
