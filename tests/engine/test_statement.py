"""`Result.statement`: what was won and paid gives the final equity, whatever the run had in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from data import Market
from engine import Costs, Exits, Venue, backtest, paper
from tests.engine.given import Given
from tests.parity.cases import Case, cases

INDEX = pd.date_range("2024-01-01", periods=6, freq="1h", tz="UTC", name="time")


def market_of(opens: list[float]) -> Market:
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), opens), index=INDEX, dtype=float)
    return Market.from_frames({"BTC/USDT": frame.assign(volume=1.0)}, timeframe="1h")


@pytest.mark.parametrize("broker", [backtest, paper])
def test_statement_of_a_short_with_every_cost(broker: Any) -> None:
    targets = pd.DataFrame({"BTC/USDT": [-1.0, np.nan, -0.5, np.nan, np.nan, np.nan]}, index=INDEX)
    funding = pd.Series([0.01], index=[INDEX[2]])
    result = broker(
        Given(targets),
        market_of([100.0, 100.0, 110.0, 120.0, 120.0, 90.0]),
        cash=1_000.0,
        costs=Costs(fee=0.001, slippage=0.0, funding=funding, borrow=0.365),
        venue=Venue(shorts=True, amount_step=1.0),
    )
    statement = result.statement()
    # 9 are sold at 100 (a tenth does not fit beside the fee), some bought back at 120; funding comes in at 110.
    sold, bought = result.orders["amount"]
    assert (sold, result.orders["price"].tolist()) == (9.0, [100.0, 120.0])
    assert statement["realised"] == pytest.approx(-20.0 * bought)
    assert statement["unrealised"] == pytest.approx(10.0 * (sold - bought))
    assert statement["fees"] == pytest.approx(0.001 * (900.0 + 120.0 * bought))
    assert statement["funding"] == pytest.approx(-0.01 * 9.0 * 110.0)
    hour = 0.365 / 365 / 24
    # By bar: the amount short, at the close of the bar before.
    accrued = 9.0 * 100.0 + 9.0 * 110.0 + (9.0 - bought) * (120.0 + 120.0)
    assert statement["borrow"] == pytest.approx(hour * accrued)
    assert statement["unexplained"] == pytest.approx(0.0, abs=1e-9)
    assert statement["final_equity"] == result.equity.iloc[-1]


def test_statement_of_nothing() -> None:
    targets = pd.DataFrame({"BTC/USDT": np.full(6, np.nan)}, index=INDEX)
    statement = backtest(Given(targets), market_of([100.0] * 6), cash=50.0).statement()
    assert statement.to_dict() == {
        "initial_cash": 50.0,
        "realised": 0.0,
        "unrealised": 0.0,
        "fees": 0.0,
        "funding": 0.0,
        "borrow": 0.0,
        "final_equity": 50.0,
        "unexplained": 0.0,
    }


@given(cases())
@settings(max_examples=150)
def test_nothing_is_unexplained_and_trades_tell_what_the_statement_tells(case: Case) -> None:
    result = case.run("backtest")
    statement, trades = result.statement(), result.trades
    scale = max(result.equity.abs().max(), case.terms["cash"])
    assert abs(statement["unexplained"]) <= 1e-9 * scale
    gains = statement["realised"] + statement["unrealised"]
    costs = statement["fees"] + statement["funding"] + statement["borrow"]
    if case.terms["costs"].fee_in == "quote":  # else rests of coins go on gaining after their trade
        assert trades["pnl"].sum() == pytest.approx(gains - costs, abs=1e-9 * scale)
    assert trades["fees"].sum() == pytest.approx(statement["fees"], abs=1e-9 * scale)
    assert (trades["mae"] <= 0.0).all()
    assert (trades["mfe"] >= 0.0).all()


def test_barriers_bound_the_excursions() -> None:
    rng = np.random.default_rng(3)
    index = pd.date_range("2024-01-01", periods=3_000, freq="1h", tz="UTC")
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(index))))
    opens = np.concatenate([[100.0], close[:-1]])
    frame = pd.DataFrame(
        {"open": opens, "high": np.maximum(opens, close), "low": np.minimum(opens, close)}, index=index
    )
    market = Market.from_frames({"BTC/USDT": frame.assign(close=close, volume=1.0)}, timeframe="1h")
    # Seldom enough that a barrier is reached before the next decision could enlarge the position.
    targets = pd.DataFrame({"BTC/USDT": np.where(np.arange(len(index)) % 100 == 0, 0.5, np.nan)}, index=index)

    strategy = Given(targets, exits=Exits(stop_loss=0.03, take_profit=0.02))
    trades = backtest(strategy, market, costs=Costs(0.0, 0.0)).trades
    assert {"stop loss", "take profit"} <= set(trades["exit_reason"])
    assert trades["mae"].min() == pytest.approx(-0.03)
    assert trades["mfe"].max() == pytest.approx(0.02)
