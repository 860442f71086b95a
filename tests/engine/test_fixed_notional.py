"""Orders of a fixed notional: one that opens or turns a position, none that adds to it; the same in both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from data import Market
from data.errors import ValidationError
from engine import Costs, Exits, Result, Strategy, Venue, backtest, paper
from reports import parity
from tests.engine.worked_bars import FREE, market_of

NAN = np.nan


@dataclass(frozen=True, eq=False)
class Fixed(Strategy):
    """Targets as written, orders of 100 quote."""

    table: tuple[float, ...] = ()
    order_notional: float | None = 100.0
    exits: Exits | None = None
    warmup: int = 0

    def targets(self, market: Market) -> pd.DataFrame:
        return pd.DataFrame(dict.fromkeys(market.symbols, self.table), index=market.index, dtype="float64")


@pytest.fixture(params=[backtest, paper], ids=["backtest", "paper"])
def run(request: pytest.FixtureRequest) -> Callable[..., Result]:
    return lambda strategy, prices, **terms: request.param(
        strategy, market_of({"BTC/USD": prices}), **{"cash": 10_000.0, "costs": FREE, **terms}
    )


def orders_of(result: Result) -> list[tuple[str, float, str]]:
    return [(row.side, round(row.amount, 9), row.reason) for row in result.orders.itertuples()]


def test_target_opens_a_hundred_whatever_the_equity_and_a_second_one_adds_nothing(run) -> None:
    result = run(Fixed((1.0, 1.0, 1.0, 0.0, NAN)), [50.0, 50.0, 80.0, 40.0, 40.0])
    assert orders_of(result) == [("buy", 2.0, "target"), ("sell", 2.0, "target")]


def test_half_a_target_is_half_the_notional_and_an_opposite_one_turns_the_position(run) -> None:
    result = run(Fixed((0.5, NAN, -1.0, NAN, NAN)), [50.0, 50.0, 50.0, 50.0, 50.0], venue=Venue(shorts=True))
    assert orders_of(result) == [("buy", 1.0, "target"), ("sell", 3.0, "target")]
    assert result.positions["BTC/USD"].iloc[-1] == -2.0


def test_after_a_stop_the_next_target_opens_again(run) -> None:
    strategy = Fixed((1.0, 1.0, 1.0, NAN, NAN), exits=Exits(stop_loss=0.05))
    result = run(strategy, [100.0, 100.0, 90.0, 90.0, 90.0])
    assert orders_of(result) == [
        ("buy", 1.0, "target"),
        ("sell", 1.0, "stop loss"),
        ("buy", round(1 / 0.9, 9), "target"),
    ]


def test_crumbs_that_a_fee_in_coins_leaves_do_not_pass_for_a_position(run) -> None:
    venue, costs = Venue(amount_step=0.01), Costs(fee=0.001, slippage=0.0, fee_in="bought")
    result = run(Fixed((1.0, 0.0, 1.0, NAN)), [50.0, 50.0, 50.0, 50.0], venue=venue, costs=costs)
    assert [side for side, _, _ in orders_of(result)] == ["buy", "sell", "buy"]
    assert result.positions["BTC/USD"].iloc[2] == pytest.approx(0.008)


def test_notional_is_on_record_and_the_engines_agree() -> None:
    market = market_of({"BTC/USD": [50.0, 60.0, 40.0, 80.0, 40.0]})
    both = [engine(Fixed((1.0, NAN, 0.0, 1.0, NAN)), market, cash=500.0) for engine in (backtest, paper)]
    parity(*both).raise_if_different()
    assert both[0].meta["order_notional"] == 100.0


@pytest.mark.parametrize("wrong", [0.0, -100.0, np.nan, np.inf, "100", True])
def test_notional_that_is_no_amount_is_refused(wrong) -> None:
    with pytest.raises(ValidationError, match=r"order_notional .* must be an amount of quote currency above 0"):
        backtest(Fixed((1.0,), order_notional=wrong), market_of({"BTC/USD": [50.0, 50.0]}))
