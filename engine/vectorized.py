"""The vectorized backtester: fills from `engine.kernel`, books from vectorbt.

The kernel decides what fills, by the rules that every broker shares. vectorbt takes the fills as order records and
keeps the books: cash, holdings and value at each bar are its own, so that parity with paper compares two sets of books
that were kept apart, not one with itself. docs/decisions/0002 says why the pass is ours and not `from_order_func`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from vectorbt.portfolio import nb
from vectorbt.portfolio.enums import OrderSide, order_dt
from vectorbt.records.nb import col_map_nb

from engine.compiled import announce_compilation
from engine.guard import RULES
from engine.kernel import CACHE, simulate
from engine.kernel_state import Output, fresh_state, outputs
from engine.metrics import daily_changes, run_figures
from engine.reasons import LIMIT_TARGET, reason_text
from engine.result import Result
from engine.run import Run
from engine.trade_kernel import Fills, Trips, pair

# vectorbt's unit of money, a fraction of the initial cash, and what is kept aside, a fraction of that cash and of each
# symbol's largest order (no round figure: what falls by a fee of a thousandth would cancel one); see `equity_of`.
_SMALLEST, _RESERVE = 1e-9, 1.3720517e-3


def run_vectorized(run: Run) -> Result:
    """Execute a prepared run."""
    out = execute(run)
    decided, filled, column, reason, cut = out.fills[: out.counts[0]].T
    amount, price, fee = out.fill_values[: out.counts[0]].T
    row, of_decision, of_symbol, verdict, rule = out.events[: out.counts[1]].T
    wanted, allowed = out.event_values[: out.counts[1]].T
    return run.result(
        "backtest",
        equity=equity_of(run, out),
        positions=out.positions,
        fills={
            "decided": decided,
            "filled": filled,
            "column": column,
            "amount": amount,
            "price": price,
            "fee": fee,
            "reason": _reasons(reason, cut),
        },
        events={
            "row": row,
            "decided": of_decision,
            "column": of_symbol,
            "verdict": verdict,
            "rule": rule,
            "wanted": wanted,
            "allowed": allowed,
        },
        funding=out.funding,
        borrow=out.borrow,
    )


def execute(run: Run) -> Output:
    """Fills, events, positions and charges of a prepared run."""
    announce_compilation(simulate, CACHE)
    out = outputs(run.setup, run.targets)
    simulate(run.setup, run.targets, run.scale, fresh_state(run.setup, run.cash), out)
    return out


def run_briefly(run: Run) -> tuple[dict[str, Any], np.ndarray]:
    """What a sweep keeps of a run: the figures of `Result.stats`, and its returns by UTC day.

    The same pass, books, pairing and formulas as `run_vectorized`, bit for bit, without the tables of a Result.
    """
    out = execute(run)
    amount, price, fee = (np.ascontiguousarray(values) for values in out.fill_values[: out.counts[0]].T)
    equity = pd.Series(equity_of(run, out), index=run.market.index)
    # Summed as `Result.charges` lists them: by bar and symbol, those that were paid alone.
    funding, borrow = (float(paid[paid != 0.0].sum()) for paid in (out.funding, out.borrow))
    daily = daily_changes(equity, run.cash)
    figures = run_figures(
        equity, run.cash, out.positions, np.abs(amount), price, fee, funding, borrow, _trips(run, out), daily
    )
    return figures, daily


def _trips(run: Run, out: Output) -> Trips:
    """Round trips, as `engine.trades.trips_of` pairs them from the tables of a Result."""
    _, filled, column, reason, _ = out.fills[: out.counts[0]].T
    amount, price, fee = out.fill_values[: out.counts[0]].T
    bars, flat = run.setup.bars, np.zeros(len(run.venues))
    if run.setup.terms.fee_in_bought:
        amount = np.where(amount > 0.0, amount - fee / price, amount)
        flat = np.array([venue.amount_step for venue in run.venues], dtype=np.float64)
    fills = Fills(
        row=filled.copy(),
        column=column.copy(),
        amount=amount.copy(),
        price=price.copy(),
        fee=fee.copy(),
        within=reason == LIMIT_TARGET,
    )
    trips: Trips = pair(fills, flat, bars.high, bars.low, bars.close, out.funding, out.borrow)
    return trips


def _reasons(reason: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """The text of each order's reason; each pair of numbers is written out once."""
    pairs, which = np.unique(reason * len(RULES) + cut, return_inverse=True)
    texts = [reason_text(int(pair) // len(RULES), int(pair) % len(RULES)) for pair in pairs]
    return np.array(texts, dtype=object)[which]


def equity_of(run: Run, out: Output) -> np.ndarray:
    """Equity by bar from vectorbt's books: its records, its cash flows, its marking.

    These are the compiled functions that `Portfolio.value` calls; through Portfolio's own layers they take ten times as
    long. A symbol without a bar is marked at its last close.

    vectorbt takes a sum for nothing where it is below 1e-12, or where its two terms cancel to a billionth. So money is
    counted in billionths of the initial cash and amounts in what one such unit buys at the symbol's highest price; and
    cash and holdings carry a reserve that never trades, so that an order which leaves a rest does not lose the rest.
    (Without it a long-short run over 67,311 real bars that lost most of its cash was off by 7e-6.)
    """
    _, filled, column, _, _ = out.fills[: out.counts[0]].T
    amount, price, fee = out.fill_values[: out.counts[0]].T
    if run.setup.terms.fee_in_bought:
        # The same cash for fewer coins: a buy at a higher price without a fee.
        rate = np.where(amount > 0.0, fee / (np.abs(amount) * price), 0.0)
        amount, price, fee = amount - amount * rate, price / (1.0 - rate), np.where(amount > 0.0, 0.0, fee)
    marks = run.marks
    shape, groups = marks.shape, np.array([marks.shape[1]])
    money = run.cash * _SMALLEST
    price_unit = np.fmax.reduce(marks, axis=0)
    size = np.abs(amount) * price_unit[column] / money
    # vectorbt reads records column by column.
    order = np.argsort(column, kind="stable")
    records = np.empty(len(order), dtype=order_dt)
    records["id"] = np.arange(len(order))
    records["col"] = column[order]
    records["idx"] = filled[order]
    records["size"] = size[order]
    records["price"] = (price / price_unit[column])[order]
    records["fees"] = (fee / money)[order]
    records["side"] = np.where(amount > 0, OrderSide.Buy, OrderSide.Sell)[order]
    columns = col_map_nb(records["col"], shape[1])
    flow = nb.cash_flow_grouped_nb(nb.cash_flow_nb(shape, records, columns, False), groups)
    cash = nb.cash_grouped_nb(shape, flow, groups, np.array([(1.0 + _RESERVE) / _SMALLEST]))
    # Not `asset_flow_nb`: it loses the rest of a symbol that is bought and sold within one bar.
    bought, kept = np.zeros(shape), np.zeros(shape[1])
    np.add.at(bought, (filled, column), np.where(amount > 0.0, size, -size))
    np.maximum.at(kept, column, _RESERVE * size)
    bought[0] += kept
    held = nb.assets_nb(bought) - kept
    # Before its first bar a symbol has no mark, and is not held.
    value = nb.asset_value_grouped_nb(nb.asset_value_nb(np.nan_to_num(marks / price_unit), held), groups)
    worth = nb.value_nb(cash, value).reshape(-1)
    equity: np.ndarray = (worth - _RESERVE / _SMALLEST) * money
    for paid in (out.funding, out.borrow):
        if len(paid):
            equity -= np.cumsum(paid.sum(axis=1))
    return equity
