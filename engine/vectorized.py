"""The vectorized backtester: fills from `engine.kernel`, books from vectorbt.

The kernel decides what fills, by the rules that every broker shares. vectorbt takes the fills as order records and
keeps the books: cash, holdings and value at each bar are its own, so that parity with paper compares two sets of books
that were kept apart, not one with itself. docs/decisions/0002 says why the pass is ours and not `from_order_func`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from vectorbt import Portfolio
from vectorbt.base.array_wrapper import ArrayWrapper
from vectorbt.portfolio.enums import OrderSide, log_dt, order_dt

from engine.kernel import simulate
from engine.result import Result
from engine.run import Run

REASONS = np.array(["target", "target, cut to what cash pays"])


def run_vectorized(run: Run) -> Result:
    """Execute a prepared run."""
    columns = len(run.market.symbols)
    capacity = int(np.count_nonzero(~np.isnan(run.targets)))
    counter, places, values = np.zeros(1, dtype=np.int64), np.empty((capacity, 4), dtype=np.int64), np.empty((capacity, 3))
    positions = np.empty(run.targets.shape)
    terms = (run.costs.taker_fee, run.costs.slippage, run.steps, run.minima, run.leverages)
    groups, cash = np.array([columns]), np.array([run.cash])
    simulate(groups, cash, (run.open, run.close), run.targets, terms, (counter, places, values), positions)
    count = int(counter[0])
    decided, filled, column, cut = places[:count].T
    amount, price, fee = values[:count].T
    return run.result(
        "backtest",
        equity=_equity(run, filled, column, amount, price, fee),
        positions=positions,
        fills={
            "decided": decided,
            "filled": filled,
            "column": column,
            "amount": amount,
            "price": price,
            "fee": fee,
            "reason": REASONS[cut],
        },
    )


def _equity(
    run: Run, filled: np.ndarray, column: np.ndarray, amount: np.ndarray, price: np.ndarray, fee: np.ndarray
) -> np.ndarray:
    """Equity by bar from vectorbt's books: its records, its cash flows, its marking.

    vectorbt takes an amount below 1e-12 for nothing, so it counts in units of the initial cash: amounts in what that
    cash bought at each symbol's first price. A symbol without a bar is marked at its last close.
    """
    marks = run.market.close.ffill().to_numpy(dtype=np.float64)
    bars, columns = marks.shape
    unit = run.market.close.bfill().to_numpy(dtype=np.float64)[0] / run.cash
    # vectorbt reads records column by column.
    order = np.argsort(column, kind="stable")
    records = np.empty(len(order), dtype=order_dt)
    records["id"] = np.arange(len(order))
    records["col"] = column[order]
    records["idx"] = filled[order]
    records["size"] = (np.abs(amount) * unit[column])[order]
    records["price"] = (price / unit[column] / run.cash)[order]
    records["fees"] = (fee / run.cash)[order]
    records["side"] = np.where(amount > 0, OrderSide.Buy, OrderSide.Sell)[order]
    # Bars by number: vectorbt turns a UTC index into Python objects at each step, 1.4 s over 67,311 bars.
    wrapper = ArrayWrapper(pd.RangeIndex(bars), pd.RangeIndex(columns), 2, group_by=np.zeros(columns, dtype=np.int64))
    portfolio: Any = Portfolio(
        wrapper,
        wrapper.wrap(marks / unit / run.cash, group_by=False),
        records,
        np.empty(0, dtype=log_dt),
        np.array([1.0]),
        True,
        fillna_close=False,
    )
    value = portfolio.value()
    return np.asarray(value.to_numpy(), dtype=np.float64).reshape(-1) * run.cash
