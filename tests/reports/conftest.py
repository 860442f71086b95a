"""Results made by hand: a random walk, random targets, and books kept in the plainest way."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from engine.result import Result, order_table


def random_run(
    bars: int = 2000,
    *,
    orders: int = 60,
    symbols: tuple[str, ...] = ("BTC/USDT",),
    seed: int = 0,
    name: str = "SmaCross(fast=20, slow=50)",
    broker: str = "backtest",
    start: str = "2023-01-01",
    step: str = "1h",
    drift: float = 0.0,
) -> Result:
    rng = np.random.default_rng(seed)
    index = pd.date_range(start, periods=bars, freq=pd.Timedelta(step), tz="UTC", name="time").as_unit("ns")
    count = len(symbols)
    close = 100.0 * np.exp(np.cumsum(rng.normal(drift, 0.006, (bars, count)), axis=0))
    positions, cash, rows = np.zeros((bars, count)), np.full(bars, 10_000.0), []
    for bar in np.sort(rng.choice(np.arange(1, bars), orders, replace=False)) if orders else []:
        column = int(rng.integers(count))
        amount = float(rng.choice([-1.0, 0.0, 1.0])) * 20.0 - positions[bar, column]
        if amount == 0.0:
            continue
        price = float(close[bar - 1, column])
        fee = abs(amount) * price * 0.001
        positions[bar:, column] += amount
        cash[bar:] -= amount * price + fee
        rows.append((bar, column, amount, price, fee))
    table = np.array(rows, dtype=float).reshape(-1, 5)
    columns = pd.Index(list(symbols), name="symbol")
    venue = {"shorts": True, "leverage": 1.0, "amount_step": 0.001, "price_tick": 0.0, "min_notional": 10.0}
    return Result(
        name=name,
        broker=broker,
        timeframe=step,
        cash=10_000.0,
        equity=pd.Series(cash + (positions * close).sum(axis=1), index=index, name="equity"),
        orders=order_table(
            index,
            symbols,
            decided=table[:, 0].astype(int) - 1,
            filled=table[:, 0].astype(int),
            column=table[:, 1].astype(int),
            amount=table[:, 2],
            price=table[:, 3],
            fee=table[:, 4],
            reason=np.full(len(table), "target"),
        ),
        positions=pd.DataFrame(positions, index=index, columns=columns),
        prices=pd.DataFrame(close, index=index, columns=columns),
        meta={
            "strategy": "research.strategies.sma.SmaCross",
            "parameters": {"fast": 20, "slow": 50},
            "data": "0123456789abcdef" * 4,
            "costs": {"fee": 0.001, "slippage": 0.0005, "funding": None},
            "venue": dict.fromkeys(symbols, venue),
            "versions": {"ladder": "0.1.0", "numpy": np.__version__},
        },
    )


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Result]:
    return random_run
