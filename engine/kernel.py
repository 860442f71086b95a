"""The execution rules over whole arrays: one compiled pass, bar by bar, that yields the fills.

`simulate` holds the sequence within a bar, which docs/execution.md tells; `engine.kernel_orders` fills orders and
`engine.kernel_rules` compiles the rules that every broker shares.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine import guard, kernel_orders, kernel_rules, reasons, rules
from engine.compiled import compile_cached
from engine.kernel_orders import (
    close_next,
    fill_at_open,
    fill_resting,
    is_endangered,
    leave_at_barrier,
    liquidate,
    refuse_crossing,
    set_barriers,
    share_of_liquidation,
    stop_or_liquidate,
)
from engine.kernel_rules import (
    CASH,
    DAY_START,
    EQUITY,
    HALT,
    LIMIT,
    MARKET,
    NOBODY,
    NONE,
    PEAK,
    RESUME,
    WHOLE,
    best_price,
    closing_order,
    event,
    fixed_order,
    has_position,
    is_sendable,
    loss_fraction,
    reducing_part,
    round_price,
    round_to_step,
    set_kind,
    smallest_order,
    tick,
    unrounded_order,
)

with compile_cached(
    *kernel_rules.SOURCES, kernel_rules.__file__, kernel_orders.__file__, reasons.__file__, __file__
) as CACHE:

    @njit(cache=True)
    def _begin_day(row, setup, state, out):  # type: ignore[no-untyped-def]
        """A new UTC day: equity to count its loss from, the end of a daily halt, the fee tier."""
        days, tiers = setup.bars.days, setup.terms.tiers
        holdings, _, desk = state
        desk.money[DAY_START] = desk.money[EQUITY]
        if desk.halted[0] == guard.DAILY_LOSS:
            desk.halted[0] = guard.NO_RULE
            event(row, NOBODY, NOBODY, RESUME, np.int64(guard.DAILY_LOSS), np.nan, np.nan, out)
        if not len(tiers):
            return
        today = days[row]
        before = days[row - 1] if row > 0 else today - 31
        for day in range(max(before + 1, today - 30), today + 1):
            desk.traded[day % 31] = 0.0
        volume = 0.0
        for day in range(today - 30, today):
            volume += desk.traded[day % 31]
        for col in range(len(holdings)):
            holdings[col].maker, holdings[col].taker = setup.terms.venues[col].maker, setup.terms.venues[col].taker
            for tier in range(len(tiers)):
                if volume >= tiers[tier, 0]:
                    holdings[col].maker, holdings[col].taker = tiers[tier, 1], tiers[tier, 2]

    @njit(cache=True)
    def _charge(row, rates, setup, state, paid):  # type: ignore[no-untyped-def]
        """Funding on the notional held, at the open where the symbol has a bar (rule 8)."""
        holdings, _, desk = state
        for col in range(len(holdings)):
            if holdings[col].held != 0.0 and rates[row, col] != 0.0:
                price = setup.bars.open[row, col]
                if np.isnan(price):
                    price = holdings[col].last_close
                charge = holdings[col].held * price * rates[row, col]
                desk.money[CASH] -= charge
                paid[row, col] += charge

    @njit(cache=True)
    def _lend(row, setup, state, out):  # type: ignore[no-untyped-def]
        """Interest on what is short, at its last close, for the time since the bar before."""
        holdings, _, desk = state
        for col in range(len(holdings)):
            if holdings[col].held < 0.0:
                charge = -holdings[col].held * holdings[col].last_close * setup.terms.borrow[row]
                desk.money[CASH] -= charge
                out.borrow[row, col] = charge

    @njit(cache=True)
    def _expire(row, setup, state):  # type: ignore[no-untyped-def]
        """Limit orders that have rested for their bars leave the book."""
        holdings, pending, _ = state
        for col in range(len(holdings)):
            if pending[col].kind != LIMIT or np.isnan(setup.bars.close[row, col]):
                continue
            pending[col].left -= 1
            if pending[col].left == 0:
                set_kind(col, MARKET if setup.style.then_market else NONE, state)
                pending[col].reason = reasons.EXPIRED_LIMIT

    @njit(cache=True)
    def _halts(row, equity, setup, state, out):  # type: ignore[no-untyped-def]
        """Whether this close breaks a loss limit: then everything pending is dropped, everything held goes."""
        limits = setup.limits
        holdings, _, desk = state
        desk.money[PEAK] = max(desk.money[PEAK], equity)
        rule = guard.NO_RULE
        if desk.halted[0] != guard.DRAWDOWN and loss_fraction(equity, desk.money[PEAK]) >= limits.drawdown:
            rule = guard.DRAWDOWN
        elif desk.halted[0] == guard.NO_RULE and loss_fraction(equity, desk.money[DAY_START]) >= limits.daily_loss:
            rule = guard.DAILY_LOSS
        if rule == guard.NO_RULE:
            return False
        desk.halted[0] = rule
        event(row, NOBODY, NOBODY, HALT, rule, np.nan, np.nan, out)
        for col in range(len(holdings)):
            set_kind(col, NONE, state)
            if has_position(col, holdings[col].held, setup.terms):
                daily = rule == guard.DAILY_LOSS
                why = reasons.HALT_DAILY_LOSS if daily else reasons.HALT_DRAWDOWN
                close_next(row, col, np.int64(why), setup, state)
        return True

    @njit(cache=True)
    def _decide(row, equity, targets, scale, setup, state):  # type: ignore[no-untyped-def]
        """Turn the targets of a bar into the orders that wait for the next one (rules 1 and 2)."""
        terms, style = setup.terms, setup.style
        holdings, pending, _ = state
        for col in range(len(holdings)):
            mark, held = holdings[col].mark, holdings[col].held
            if np.isnan(targets[row, col]) or np.isnan(mark):
                continue
            if pending[col].kind == MARKET and pending[col].reason >= reasons.STOP_LOSS:
                continue
            weight, fixed = targets[row, col], setup.order_notional
            if fixed > 0.0:
                amount = fixed_order(weight, fixed, equity, held, mark, has_position(col, held, terms))
            else:
                amount = unrounded_order(weight, equity, held, mark)
            closing = closing_order(col, held, terms)
            step = terms.venues[col].step
            amount = closing if amount == -held else round_to_step(amount, step, rules.STEP_NOISE)
            pending[col].cut = guard.NO_RULE
            largest = min(terms.venues[col].max_amount, terms.venues[col].max_notional / mark)
            # What only reduces is not cut: a desk sends it in parts.
            largest = max(largest, reducing_part(amount, held))
            if abs(amount) > largest * (1.0 + rules.SUM_NOISE):
                amount = round_to_step(largest if amount > 0.0 else -largest, step, rules.STEP_NOISE)
                pending[col].cut = guard.VENUE_AMOUNT
            pending[col].decided = row
            pending[col].known = holdings[col].seen
            pending[col].close = mark
            pending[col].smallest = smallest_order(terms.venues[col].min_notional, equity)
            pending[col].scale = scale[row, col] if len(scale) else 1.0
            if not is_sendable(amount, closing, mark, pending[col].smallest, terms.venues[col].min_amount):
                set_kind(col, NONE, state)
                continue
            pending[col].amount = amount
            pending[col].reason = reasons.TARGET
            if style.rests:
                price = mark * (1.0 - style.offset) if amount > 0.0 else mark * (1.0 + style.offset)
                pending[col].price = round_price(price, tick(col, price, terms), -1 if amount > 0.0 else 1)
                pending[col].left = style.alive
                if not pending[col].price > 0.0:
                    set_kind(col, NONE, state)
                    continue
            set_kind(col, LIMIT if style.rests else MARKET, state)

    @njit(cache=True)
    def simulate(setup, targets, scale, state, out):  # type: ignore[no-untyped-def]
        """Execute every bar.

        Args:
            setup: `kernel_state.Setup`.
            targets: (T, N), weights decided at each close, NaN for none.
            scale: (T, N), of the barriers' distances, or (0, 0) for none.
            state: `kernel_state.fresh_state`: holdings, pending orders, desk.
            out: `kernel_state.outputs`, written to.
        """
        bars, terms, limits, exits = setup.bars, setup.terms, setup.limits, setup.barriers
        holdings, _, desk = state
        length, columns = targets.shape
        has_days = len(terms.tiers) > 0 or limits.on
        has_halts = limits.daily_loss < np.inf or limits.drawdown < np.inf
        has_funding, has_borrow = len(terms.funding_before) > 0, len(terms.borrow) > 0
        follows = not np.isnan(exits.delta)
        has_exits = follows or not np.isnan(exits.stop) or not np.isnan(exits.profit) or exits.time_limit > 0
        # Most bars neither fill nor decide: a call, which counts references to each array, would cost most.
        for row in range(length):
            if has_days and (row == 0 or bars.days[row] != bars.days[row - 1]):
                _begin_day(row, setup, state, out)
            if has_borrow:
                _lend(row, setup, state, out)
            if has_funding:
                _charge(row, terms.funding_before, setup, state, out.funding)
            if desk.waiting[MARKET] > 0 or desk.waiting[LIMIT] > 0 or terms.liquidates:
                for col in range(columns):
                    if not np.isnan(bars.open[row, col]):
                        holdings[col].mark = bars.open[row, col]
            if desk.waiting[LIMIT] > 0:
                refuse_crossing(row, setup, state)
            if desk.waiting[MARKET] > 0:
                fill_at_open(row, setup, state, out)
            if has_funding:
                _charge(row, terms.funding_within, setup, state, out.funding)
            if terms.liquidates and is_endangered(row, setup, state):
                stop_or_liquidate(row, setup, state, out)
            fills = out.counts[0]
            if has_exits:
                for col in range(columns):
                    if holdings[col].held == 0.0 or np.isnan(bars.close[row, col]):
                        continue
                    high, low = bars.high[row, col], bars.low[row, col]
                    if holdings[col].held > 0.0:
                        reached = low <= holdings[col].stop or high >= holdings[col].profit
                    else:
                        reached = high >= holdings[col].stop or low <= holdings[col].profit
                    late = exits.time_limit > 0 and bars.times[row] - holdings[col].opened >= exits.time_limit
                    if (reached or late) and has_position(col, holdings[col].held, terms):
                        leave_at_barrier(row, col, bars.open[row, col], WHOLE, setup, state, out)
            if desk.waiting[LIMIT] > 0:
                fill_resting(row, setup, state, out)
            if terms.liquidates and out.counts[0] > fills and is_endangered(row, setup, state):
                share = share_of_liquidation(row, setup, state)
                if share <= 1.0:
                    liquidate(row, share, setup, state, out)
            wanted = False
            for col in range(columns):
                close = bars.close[row, col]
                wanted |= not np.isnan(targets[row, col])
                if np.isnan(close):
                    continue
                holdings[col].mark = close
                holdings[col].last_close = close
                holdings[col].seen = bars.times[row]
                holdings[col].last_volume = bars.volume[row, col]
                if follows and holdings[col].held != 0.0:
                    side = 1.0 if holdings[col].held > 0.0 else -1.0
                    whole = holdings[col].within == 0
                    high = bars.high[row, col] if whole else close
                    low = bars.low[row, col] if whole else close
                    best = best_price(holdings[col].best, side, high, low)
                    if best != holdings[col].best:
                        holdings[col].best = best
                        if has_position(col, holdings[col].held, terms):
                            set_barriers(col, holdings, setup)
                holdings[col].within = 0
            if desk.waiting[LIMIT] > 0:
                _expire(row, setup, state)
            if wanted or has_halts:
                equity = desk.money[CASH]
                for col in range(columns):
                    if holdings[col].held != 0.0:
                        equity += holdings[col].held * holdings[col].mark
                desk.money[EQUITY] = equity
                halts = has_halts and _halts(row, equity, setup, state, out)
                if wanted and not halts:
                    _decide(row, equity, targets, scale, setup, state)
            for col in range(columns):
                out.positions[row, col] = holdings[col].held
