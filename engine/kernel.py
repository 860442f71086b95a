"""Execution rules 1 to 4 and 9 over whole arrays: one compiled pass, bar by bar, that yields the fills.

At each bar, in this order: orders decided earlier fill at the bar's open, those that free cash first; then, at the
bar's close, the strategy's targets become the next orders. `engine.rules` holds the arithmetic, compiled here as it
stands, so that this pass and the paper broker cannot differ in it.

The functions take tuples of arrays: `bars` (open, close), `terms` (fee, slippage, steps, minima, leverages), `account`
(cash, held, mark), `pending` (amount, decided row, decided close, smallest notional) and `fills`; see `simulate`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine import rules
from engine.compiled import compile_cached

with compile_cached(rules.__file__, __file__):
    _round_to_step = njit(cache=True)(rules.round_to_step)
    _unrounded_order = njit(cache=True)(rules.unrounded_order)
    _smallest_order = njit(cache=True)(rules.smallest_order)
    _is_sendable = njit(cache=True)(rules.is_sendable)
    _fill_price = njit(cache=True)(rules.fill_price)
    _margin_held = njit(cache=True)(rules.margin_held)
    _payable_amount = njit(cache=True)(rules.payable_amount)
    _fee_paid = njit(cache=True)(rules.fee_paid)
    _cash_after = njit(cache=True)(rules.cash_after)
    _held_after = njit(cache=True)(rules.held_after)
    _execution_phase = njit(cache=True)(rules.execution_phase)

    @njit(cache=True)
    def _free_margin(cash, held, mark, leverage, start, stop):  # type: ignore[no-untyped-def]
        free = cash
        for col in range(start, stop):
            if held[col] != 0.0:
                free -= _margin_held(held[col], mark[col], leverage[col])
        return free

    @njit(cache=True)
    def _any_order(amounts, start, stop):  # type: ignore[no-untyped-def]
        found = False
        for col in range(start, stop):
            found |= amounts[col] != 0.0
        return found

    @njit(cache=True)
    def _fill_orders(i, group, start, stop, bars, terms, account, pending, fills):  # type: ignore[no-untyped-def]
        """Fill what is pending at the open of bar `i`; whether an order goes on waiting for its symbol's next bar."""
        open_prices = bars[0]
        fee, slippage, steps, _, leverage = terms
        cash, held, mark = account
        amounts, decided, decided_close, smallest = pending
        for col in range(start, stop):
            if not np.isnan(open_prices[i, col]):
                mark[col] = open_prices[i, col]
        for phase in range(4):
            for col in range(start, stop):
                amount = amounts[col]
                price = open_prices[i, col]
                if amount == 0.0 or np.isnan(price) or _execution_phase(amount, held[col]) != phase:
                    continue
                price = _fill_price(price, amount, slippage)
                free = _free_margin(cash[group], held, mark, leverage, start, stop)
                payable = _payable_amount(amount, held[col], mark[col], price, fee, leverage[col], free)
                cut = payable != amount
                if cut:
                    amount = _round_to_step(payable, steps[col], rules.SUM_NOISE)
                amounts[col] = 0.0
                if not _is_sendable(amount, held[col], decided_close[col], smallest[col]):
                    continue
                paid = _fee_paid(amount, price, fee)
                cash[group] = _cash_after(cash[group], amount, price, paid)
                held[col] = _held_after(held[col], amount, steps[col])
                fill = fills[0]
                slot = fill[0]
                fill[0] += 1
                fills[1][slot, 0] = decided[col]
                fills[1][slot, 1] = i
                fills[1][slot, 2] = col
                fills[1][slot, 3] = 1 if cut else 0
                fills[2][slot, 0] = amount
                fills[2][slot, 1] = price
                fills[2][slot, 2] = paid
        return _any_order(amounts, start, stop)

    @njit(cache=True)
    def _decide(i, group, start, stop, targets, terms, account, pending):  # type: ignore[no-untyped-def]
        """Turn the targets of bar `i` into the orders that wait for the next open; whether there is any."""
        steps, minima = terms[2], terms[3]
        cash, held, mark = account
        amounts, decided, decided_close, smallest = pending
        equity = cash[group]
        for col in range(start, stop):
            if held[col] != 0.0:
                equity += held[col] * mark[col]
        for col in range(start, stop):
            if np.isnan(targets[i, col]) or np.isnan(mark[col]):
                continue
            amount = _unrounded_order(targets[i, col], equity, held[col], mark[col])
            if amount != -held[col]:
                amount = _round_to_step(amount, steps[col], rules.STEP_NOISE)
            decided[col] = i
            decided_close[col] = mark[col]
            smallest[col] = _smallest_order(minima[col], equity)
            amounts[col] = amount if _is_sendable(amount, held[col], mark[col], smallest[col]) else 0.0
        return _any_order(amounts, start, stop)

    @njit(cache=True)
    def simulate(group_lengths, cash, bars, targets, terms, fills, positions):  # type: ignore[no-untyped-def]
        """Execute every bar of every group of columns that shares one cash balance.

        Args:
            group_lengths: int64 (G,), columns of each group, side by side.
            cash: (G,), what each group begins with.
            bars: open and close, each (T, C).
            targets: (T, C), weights decided at each close, NaN for none.
            terms: fee and slippage, then amount step, minimum notional and leverage, each (C,).
            fills: written to: a counter (1,); decided row, filled row, column, cut to cash, int64 (K, 4); amount
                signed, price, fee (K, 3). K is at least the number of targets.
            positions: written to: amount held at each close, (T, C).
        """
        length, columns = targets.shape
        closes = bars[1]
        held, mark = np.zeros(columns), np.full(columns, np.nan)
        account = (cash.copy(), held, mark)
        pending = (np.zeros(columns), np.zeros(columns, dtype=np.int64), np.zeros(columns), np.zeros(columns))
        start = 0
        for group in range(len(group_lengths)):
            stop = start + group_lengths[group]
            waiting = False
            for i in range(length):
                # Most bars neither fill nor decide: a call, which counts references to each array, would cost most.
                if waiting:
                    waiting = _fill_orders(i, group, start, stop, bars, terms, account, pending, fills)
                wanted = False
                for col in range(start, stop):
                    if not np.isnan(closes[i, col]):
                        mark[col] = closes[i, col]
                    wanted |= not np.isnan(targets[i, col])
                if wanted:
                    waiting = _decide(i, group, start, stop, targets, terms, account, pending)
                for col in range(start, stop):
                    positions[i, col] = held[col]
            start = stop
