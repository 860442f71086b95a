"""Parity where floats are at their limits: rests of cash, coins worth a hundred-millionth, accounts that melt away."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data import Market
from engine import Costs, Venue, backtest, paper
from reports import parity
from tests.engine.given import Given

BARS = 1_500
INDEX = pd.date_range("2024-01-01", periods=BARS, freq="1h", tz="UTC", name="time")


def random_walk(base: float, seed: int = 1) -> Market:
    moves = np.random.default_rng(seed).normal(0.0, 0.003, BARS)
    close = base * np.exp(np.cumsum(moves))
    opens = np.concatenate([[base], close[:-1]])
    bars = {"open": opens, "high": np.maximum(opens, close), "low": np.minimum(opens, close), "close": close}
    return Market.from_frames({"COIN/USD": pd.DataFrame({**bars, "volume": 1.0}, index=INDEX)}, timeframe="1h")


def random_targets(choices: list[float], seed: int = 2) -> Given:
    weights = np.random.default_rng(seed).choice([*choices, np.nan], BARS)
    return Given(pd.DataFrame({"COIN/USD": weights}, index=INDEX))


@pytest.mark.parametrize("leverage", [1.0, 10.0])
@pytest.mark.parametrize(("price", "step"), [(1e-5, 1.0), (1e-6, 10.0), (60_000.0, 1e-8)])
def test_rest_of_cash_below_a_billionth_of_an_order_is_not_lost(price: float, step: float, leverage: float) -> None:
    """vectorbt takes a difference for nothing where two terms cancel to a billionth: enough to break parity."""
    terms = {"costs": Costs(0.0, 0.0), "venue": Venue(shorts=True, leverage=leverage, amount_step=step)}
    strategy, market = random_targets([1.0, 0.5, 0.0, -1.0]), random_walk(price)
    verdict = parity(backtest(strategy, market, **terms), paper(strategy, market, **terms), tolerance=1e-12)
    verdict.raise_if_different()
    assert verdict.matched > 800


def test_coin_of_a_hundred_millionth_is_bought_in_steps_beyond_a_64_bit_integer() -> None:
    terms = {"cash": 10_000.0, "costs": Costs(0.0, 0.0), "venue": Venue(amount_step=1e-8)}
    strategy, market = random_targets([1.0, 0.0]), random_walk(1e-8)
    fast, slow = backtest(strategy, market, **terms), paper(strategy, market, **terms)
    assert fast.orders["amount"].max() / 1e-8 > 2.0**63
    assert fast.orders["side"].iloc[0] == "buy"
    parity(fast, slow, tolerance=1e-12).raise_if_different()


def test_equity_agrees_to_a_billionth_of_itself_while_an_account_melts_to_a_hundred_thousandth() -> None:
    terms = {"costs": Costs(fee=0.02, slippage=0.0), "venue": Venue(shorts=True)}
    strategy, market = random_targets([0.5, -0.5]), random_walk(100.0)
    fast, slow = backtest(strategy, market, **terms), paper(strategy, market, **terms)
    assert 0.0 < fast.equity.iloc[-1] < 1e-4 * fast.cash
    parity(fast, slow, tolerance=1e-9).raise_if_different()


@pytest.mark.parametrize("run", [backtest, paper])
def test_spot_account_does_not_owe_the_ten_billionth_that_a_whole_step_costs_more_than_it_has(run) -> None:
    # 9.999999999 in cash, one coin costs 10 at the open: what it pays is 0.9999999999 coins, and that is not one.
    prices = pd.DataFrame({"open": [5.0, 10.0], "high": [5.0, 10.0], "low": [5.0, 10.0], "close": [5.0, 10.0]})
    market = Market.from_frames({"COIN/USD": prices.assign(volume=1.0).set_axis(INDEX[:2])}, timeframe="1h")
    strategy = Given(pd.DataFrame({"COIN/USD": [1.0, np.nan]}, index=INDEX[:2]))
    for step, bought in ((1.0, []), (0.5, [0.5]), (0.0, [0.9999999999])):
        result = run(strategy, market, cash=9.999999999, costs=Costs(0.0, 0.0), venue=Venue(amount_step=step))
        assert result.orders["amount"].tolist() == pytest.approx(bought, rel=1e-15)
