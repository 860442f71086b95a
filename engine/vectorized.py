"""The vectorized backtester: fills from `engine.kernel`, books from vectorbt.

The kernel decides what fills, by the rules that every broker shares. vectorbt takes the fills as order records and
keeps the books: cash, holdings and value at each bar are its own, so that parity with paper compares two sets of books
that were kept apart, not one with itself. docs/decisions/0002 says why the pass is ours and not `from_order_func`.
"""

from __future__ import annotations

import numpy as np
from vectorbt.portfolio import nb
from vectorbt.portfolio.enums import Direction, OrderSide, order_dt
from vectorbt.records.nb import col_map_nb

from engine.kernel import simulate
from engine.result import Result
from engine.run import Run

REASONS = np.array(["target", "target, cut to what cash pays"])
# vectorbt's unit of money, a fraction of the initial cash, and what is kept aside, a fraction of that cash and of each
# symbol's largest order; see `_equity`.
_SMALLEST, _RESERVE = 1e-9, 1e-3


def run_vectorized(run: Run) -> Result:
    """Execute a prepared run."""
    columns = len(run.market.symbols)
    capacity = int(np.count_nonzero(~np.isnan(run.targets)))
    counter, places, values = (
        np.zeros(1, dtype=np.int64),
        np.empty((capacity, 4), dtype=np.int64),
        np.empty((capacity, 3)),
    )
    positions = np.empty(run.targets.shape)
    # Floats all: numba compiles anew for an integer, such as slippage=0.
    terms = (run.costs.taker_fee, float(run.costs.slippage), run.steps, run.minima, run.leverages)
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

    These are the compiled functions that `Portfolio.value` calls; through Portfolio's own layers they take ten times as
    long. A symbol without a bar is marked at its last close.

    vectorbt takes a sum for nothing where it is below 1e-12, or where its two terms cancel to a billionth. So money is
    counted in billionths of the initial cash and amounts in what one such unit buys at the symbol's highest price; and
    cash and holdings carry a reserve that never trades, so that an order which leaves a rest does not lose the rest.
    (Without it a long-short run over 67,311 real bars that lost most of its cash was off by 7e-6.)
    """
    marks = run.market.close.ffill().to_numpy(dtype=np.float64)
    shape, groups = marks.shape, np.array([marks.shape[1]])
    money = run.cash * _SMALLEST
    price_unit = np.fmax.reduce(marks, axis=0)
    # vectorbt reads records column by column.
    order = np.argsort(column, kind="stable")
    records = np.empty(len(order), dtype=order_dt)
    records["id"] = np.arange(len(order))
    records["col"] = column[order]
    records["idx"] = filled[order]
    records["size"] = (np.abs(amount) * price_unit[column] / money)[order]
    records["price"] = (price / price_unit[column])[order]
    records["fees"] = (fee / money)[order]
    records["side"] = np.where(amount > 0, OrderSide.Buy, OrderSide.Sell)[order]
    columns = col_map_nb(records["col"], shape[1])
    flow = nb.cash_flow_grouped_nb(nb.cash_flow_nb(shape, records, columns, False), groups)
    cash = nb.cash_grouped_nb(shape, flow, groups, np.array([(1.0 + _RESERVE) / _SMALLEST]))
    bought = nb.asset_flow_nb(shape, records, columns, Direction.Both)
    kept = _RESERVE * np.abs(bought).max(axis=0)
    bought[0] += kept
    held = nb.assets_nb(bought) - kept
    # Before its first bar a symbol has no mark, and is not held.
    value = nb.asset_value_grouped_nb(nb.asset_value_nb(np.nan_to_num(marks / price_unit), held), groups)
    worth = nb.value_nb(cash, value).reshape(-1)
    return np.asarray(worth - _RESERVE / _SMALLEST) * money
