"""The rules compiled, and the smallest steps of the pass that `engine.kernel` makes with them.

`engine.rules`, `engine.barriers` and `engine.guard` hold the arithmetic, compiled here as it stands, so that the pass
and the paper broker cannot differ in it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine import barriers, guard, kernel_state, rules
from engine.compiled import compile_cached

# Places in `Desk.money`.
CASH, EQUITY, DAY_START, PEAK = range(4)
# numba compiles a function anew for each literal that it is called with, a plain int of a module too.
NO, NOBODY = np.int64(0), np.int64(-1)
# Which of a position's barriers are asked: all, those that the bar opens beyond, the stop alone.
WHOLE, AT_OPEN, ADVERSE = (np.int64(number) for number in range(3))
ALLOWED, CUT, BLOCKED, HALT, RESUME = (np.int64(number) for number in range(5))
NONE, MARKET, LIMIT = (np.int64(number) for number in range(3))

SOURCES = tuple(module.__file__ for module in (rules, barriers, guard, kernel_state))

with compile_cached(*SOURCES, __file__):
    round_to_step = njit(cache=True)(rules.round_to_step)
    round_price = njit(cache=True)(rules.round_price)
    significant_step = njit(cache=True)(rules.significant_step)
    unrounded_order = njit(cache=True)(rules.unrounded_order)
    fixed_order = njit(cache=True)(rules.fixed_order)
    smallest_order = njit(cache=True)(rules.smallest_order)
    is_sendable = njit(cache=True)(rules.is_sendable)
    is_open = njit(cache=True)(rules.is_open)
    slippage_of = njit(cache=True)(rules.slippage_of)
    fill_price = njit(cache=True)(rules.fill_price)
    margin_held = njit(cache=True)(rules.margin_held)
    payable_amount = njit(cache=True)(rules.payable_amount)
    fee_paid = njit(cache=True)(rules.fee_paid)
    received = njit(cache=True)(rules.received)
    cash_after = njit(cache=True)(rules.cash_after)
    held_after = njit(cache=True)(rules.held_after)
    execution_phase = njit(cache=True)(rules.execution_phase)
    liquidation_share = njit(cache=True)(rules.liquidation_share)
    path_share = njit(cache=True)(rules.path_share)
    average_entry = njit(cache=True)(barriers.average_entry)
    barrier_price = njit(cache=True)(barriers.barrier_price)
    trailing_price = njit(cache=True)(barriers.trailing_price)
    best_price = njit(cache=True)(barriers.best_price)
    is_tighter = njit(cache=True)(barriers.is_tighter)
    stop_reference = njit(cache=True)(barriers.stop_reference)
    profit_reference = njit(cache=True)(barriers.profit_reference)
    reducing_part = njit(cache=True)(guard.reducing_part)
    largest_opening = njit(cache=True)(guard.largest_opening)
    is_outside_collar = njit(cache=True)(guard.is_outside_collar)
    loss_fraction = njit(cache=True)(guard.loss_fraction)

    @njit(cache=True)
    def tick(col, price, terms):  # type: ignore[no-untyped-def]
        digits = terms.venues[col].price_digits
        return significant_step(price, digits) if digits > 0 else terms.venues[col].tick

    @njit(cache=True)
    def closing_order(col, held, terms):  # type: ignore[no-untyped-def]
        """The order that closes a position."""
        return -round_to_step(held, terms.venues[col].step, rules.SUM_NOISE)

    @njit(cache=True)
    def has_position(col, held, terms):  # type: ignore[no-untyped-def]
        return is_open(held, terms.venues[col].step if terms.fee_in_bought else 0.0)

    @njit(cache=True)
    def set_kind(col, kind, state):  # type: ignore[no-untyped-def]
        _, pending, desk = state
        desk.waiting[pending[col].kind] -= 1
        pending[col].kind = kind
        desk.waiting[kind] += 1

    @njit(cache=True)
    def event(row, decided, col, verdict, rule, wanted, allowed, out):  # type: ignore[no-untyped-def]
        at = out.counts[1]
        out.counts[1] += 1
        out.events[at, 0] = row
        out.events[at, 1] = decided
        out.events[at, 2] = col
        out.events[at, 3] = verdict
        out.events[at, 4] = rule
        out.event_values[at, 0] = wanted
        out.event_values[at, 1] = allowed

    @njit(cache=True)
    def free_margin(cash, holdings, venues):  # type: ignore[no-untyped-def]
        free = cash
        for col in range(len(venues)):
            if holdings[col].held != 0.0:
                free -= margin_held(holdings[col].held, holdings[col].mark, venues[col].leverage)
        return free

    @njit(cache=True)
    def slipped(col, reference, amount, setup, holdings):  # type: ignore[no-untyped-def]
        terms = setup.terms
        slip = slippage_of(amount, holdings[col].last_volume, terms.slip_base, terms.slip_coefficient, terms.slip_most)
        return fill_price(reference, amount, slip)
