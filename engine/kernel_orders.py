"""Orders in the compiled pass: how one is judged, cut, filled and booked, and what a bar does to those that wait."""

from __future__ import annotations

import numpy as np
from numba import njit

from engine import guard, kernel_rules, reasons, rules
from engine.compiled import compile_cached
from engine.guard import NS_PER_MINUTE
from engine.kernel_rules import (
    ADVERSE,
    ALLOWED,
    AT_OPEN,
    BLOCKED,
    CASH,
    CUT,
    LIMIT,
    MARKET,
    NO,
    NOBODY,
    NONE,
    average_entry,
    barrier_price,
    cash_after,
    closing_order,
    event,
    execution_phase,
    fee_paid,
    free_margin,
    has_position,
    held_after,
    is_outside_collar,
    is_sendable,
    is_tighter,
    largest_opening,
    liquidation_share,
    path_share,
    payable_amount,
    profit_reference,
    received,
    reducing_part,
    round_price,
    round_to_step,
    set_kind,
    slipped,
    stop_reference,
    tick,
    trailing_price,
)

with compile_cached(*kernel_rules.SOURCES, kernel_rules.__file__, reasons.__file__, __file__):

    @njit(cache=True)
    def set_barriers(col, holdings, setup):  # type: ignore[no-untyped-def]
        """Levels of a position from its average entry, its best price and its decision's scale."""
        exits = setup.barriers
        average, scale = holdings[col].average, holdings[col].scale
        side = 1.0 if holdings[col].held > 0.0 else -1.0
        # Rounded away from the entry: a coarse tick must not put a stop at the market.
        against = -1 if side > 0.0 else 1
        stop = barrier_price(average, side, -exits.stop, scale)
        stop = round_price(stop, tick(col, stop, setup.terms), against)
        trailing = trailing_price(average, side, holdings[col].best, exits.activation, exits.delta, scale)
        trailing = round_price(trailing, tick(col, trailing, setup.terms), against)
        tighter = is_tighter(trailing, stop, side)
        holdings[col].trailing = 1 if tighter else 0
        holdings[col].stop = trailing if tighter else stop
        profit = barrier_price(average, side, exits.profit, scale)
        holdings[col].profit = round_price(profit, tick(col, profit, setup.terms), -against)

    @njit(cache=True)
    def execute(row, col, amount, price, fee, reason, cut, decided, scale, within, setup, state, out):  # type: ignore[no-untyped-def]
        """A fill: books, position, barriers, record."""
        terms = setup.terms
        holdings, _, desk = state
        paid = fee_paid(amount, price, fee)
        bought = terms.fee_in_bought and amount > 0.0
        desk.money[CASH] = cash_after(desk.money[CASH], amount, price, 0.0 if bought else paid)
        got = received(amount, fee, terms.fee_in_bought)
        before = holdings[col].held
        step = 0.0 if terms.fee_in_bought else terms.venues[col].step
        after = held_after(before, got, step)
        holdings[col].held = after
        if not has_position(col, after, terms):
            holdings[col].stop = np.nan
            holdings[col].profit = np.nan
        elif not has_position(col, before, terms) or before * after < 0.0:
            holdings[col].average = price
            holdings[col].best = holdings[col].mark
            holdings[col].opened = setup.bars.times[row]
            holdings[col].decided = decided
            holdings[col].scale = scale
            holdings[col].within = within
            holdings[col].changed = row
            set_barriers(col, holdings, setup)
        elif before * amount > 0.0:
            holdings[col].average = average_entry(before, holdings[col].average, got, price)
            holdings[col].best = average_entry(before, holdings[col].best, got, holdings[col].mark)
            holdings[col].decided = decided
            holdings[col].changed = row
            holdings[col].scale = scale
            if within == 1:
                holdings[col].within = 1
            set_barriers(col, holdings, setup)
        desk.traded[setup.bars.days[row] % 31] += abs(amount) * price
        desk.sent[desk.sent_at[0]] = setup.bars.times[row]
        desk.sent_at[0] = (desk.sent_at[0] + 1) % len(desk.sent)
        at = out.counts[0]
        out.counts[0] += 1
        out.fills[at, 0] = decided
        out.fills[at, 1] = row
        out.fills[at, 2] = col
        out.fills[at, 3] = reason
        out.fills[at, 4] = cut
        out.fill_values[at, 0] = amount
        out.fill_values[at, 1] = price
        out.fill_values[at, 2] = paid

    @njit(cache=True)
    def blocking_rule(row, col, price, setup, state):  # type: ignore[no-untyped-def]
        limits, bars = setup.limits, setup.bars
        holdings, pending, desk = state
        now = bars.times[row]
        if desk.halted[0] != guard.NO_RULE:
            return desk.halted[0]
        if limits.data_age > 0 and now - (pending[col].known + bars.length) > limits.data_age:
            return guard.AGE
        if limits.collar < np.inf and is_outside_collar(price, holdings[col].last_close, limits.collar):
            return guard.COLLAR
        if limits.orders_per_minute > 0 and now - desk.sent[desk.sent_at[0]] < NS_PER_MINUTE:
            return guard.RATE
        return guard.NO_RULE

    @njit(cache=True)
    def guarded(row, col, amount, price, fee, setup, state):  # type: ignore[no-untyped-def]
        """What the risk limits leave of an order, and the rule that took the rest."""
        holdings, _, desk = state
        held, mark, limits = holdings[col].held, holdings[col].mark, setup.limits
        reducing = reducing_part(amount, held)
        opening = abs(amount) - reducing
        if opening <= rules.SUM_NOISE * abs(amount):
            return amount, guard.NO_RULE
        side = 1.0 if amount > 0.0 else -1.0
        rule = blocking_rule(row, col, price, setup, state)
        if rule != guard.NO_RULE:
            return side * reducing, rule
        equity, gross, net = desk.money[CASH], 0.0, 0.0
        for other in range(len(holdings)):
            if holdings[other].held != 0.0:
                worth = holdings[other].held * holdings[other].mark
                equity += worth
                gross += abs(worth)
                net += worth
        unit_cost = max(fee * price + side * (price - mark), 0.0)
        equity -= reducing * unit_cost
        before = (abs(held) - reducing) * mark
        others = gross - abs(held) * mark
        largest, rule = largest_opening(limits.position, equity, before, mark, unit_cost), guard.POSITION
        cap = largest_opening(limits.gross, equity, others + before, mark, unit_cost)
        if cap < largest:
            largest, rule = cap, guard.GROSS
        cap = largest_opening(limits.net, equity, side * net + reducing * mark, mark, unit_cost)
        if cap < largest:
            largest, rule = cap, guard.NET
        cap = max(limits.notional / price - reducing, 0.0)
        if cap < largest:
            largest, rule = cap, guard.NOTIONAL
        if opening <= largest:
            return amount, guard.NO_RULE
        return side * (reducing + largest), rule

    @njit(cache=True)
    def attempt(row, col, price, fee, reason, setup, state, out):  # type: ignore[no-untyped-def]
        """A pending order meets its price: the guard, then cash, may cut it; what is left fills."""
        terms = setup.terms
        holdings, pending, desk = state
        amount, held = pending[col].amount, holdings[col].held
        decided, close, smallest = pending[col].decided, pending[col].close, pending[col].smallest
        within = np.int64(pending[col].kind == LIMIT)
        set_kind(col, NONE, state)
        closing = closing_order(col, held, terms)
        cut = pending[col].cut
        if setup.limits.on and reason < reasons.STOP_LOSS:
            allowed, rule = guarded(row, col, amount, price, fee, setup, state)
            if rule != guard.NO_RULE:
                allowed = round_to_step(allowed, terms.venues[col].step, rules.SUM_NOISE)
                if not is_sendable(allowed, closing, close, smallest, terms.venues[col].min_amount):
                    event(row, decided, col, BLOCKED, rule, amount, 0.0, out)
                    return
                event(row, decided, col, CUT, rule, amount, allowed, out)
                amount, cut = allowed, rule
            else:
                event(row, decided, col, ALLOWED, rule, amount, amount, out)
        free = free_margin(desk.money[CASH], holdings, terms.venues)
        cash_fee = 0.0 if terms.fee_in_bought and amount > 0.0 else fee
        payable = payable_amount(amount, held, holdings[col].mark, price, cash_fee, terms.venues[col].leverage, free)
        if payable != amount:
            payable = round_to_step(payable, terms.venues[col].step, rules.SUM_NOISE)
            if not is_sendable(payable, closing, close, smallest, terms.venues[col].min_amount):
                event(row, decided, col, BLOCKED, np.int64(guard.CASH), amount, 0.0, out)
                return
            event(row, decided, col, CUT, np.int64(guard.CASH), amount, payable, out)
            amount, cut = payable, guard.CASH
        execute(row, col, amount, price, fee, reason, cut, decided, pending[col].scale, within, setup, state, out)

    @njit(cache=True)
    def close_next(row, col, reason, setup, state):  # type: ignore[no-untyped-def]
        """A market order that closes a position at the open of the symbol's next bar, whatever the strategy says."""
        holdings, pending, _ = state
        set_kind(col, MARKET, state)
        pending[col].amount = closing_order(col, holdings[col].held, setup.terms)
        pending[col].decided = row
        pending[col].known = holdings[col].seen
        pending[col].close = holdings[col].mark
        pending[col].smallest = 0.0
        pending[col].cut = NO
        pending[col].reason = reason

    @njit(cache=True)
    def refuse_crossing(row, setup, state):  # type: ignore[no-untyped-def]
        """A limit order through whose price the market opens as it arrives would take: post-only, it is refused."""
        _, pending, _ = state
        for col in range(len(pending)):
            first, price = setup.bars.open[row, col], pending[col].price
            if pending[col].kind != LIMIT or pending[col].left != setup.style.alive or np.isnan(first):
                continue
            if (first < price) if pending[col].amount > 0.0 else (first > price):
                set_kind(col, MARKET if setup.style.then_market else NONE, state)
                pending[col].reason = reasons.REFUSED_LIMIT

    @njit(cache=True)
    def fill_at_open(row, setup, state, out):  # type: ignore[no-untyped-def]
        """Orders at the market go at the bar's open, those that free cash first (rule 4)."""
        holdings, pending, _ = state
        opens = setup.bars.open
        for col in range(len(holdings)):
            # What would enlarge a position that leaves at this open is dropped: else a gap through a stop is averaged.
            enlarges = pending[col].kind == MARKET and pending[col].amount * holdings[col].held > 0.0
            if enlarges and not np.isnan(opens[row, col]) and has_position(col, holdings[col].held, setup.terms):
                leave_at_barrier(row, col, opens[row, col], AT_OPEN, setup, state, out)
                if not has_position(col, holdings[col].held, setup.terms):
                    set_kind(col, NONE, state)
        for phase in range(4):
            for col in range(len(holdings)):
                if pending[col].kind != MARKET or np.isnan(opens[row, col]):
                    continue
                amount = pending[col].amount
                if execution_phase(amount, holdings[col].held) == phase:
                    price = slipped(col, opens[row, col], amount, setup, holdings)
                    attempt(row, col, price, holdings[col].taker, pending[col].reason, setup, state, out)

    @njit(cache=True)
    def leave_at_barrier(row, col, start, which, setup, state, out):  # type: ignore[no-untyped-def]
        """Leave a position whose barrier this bar, from price `start` on, has reached; nothing where it has not."""
        bars, exits = setup.bars, setup.barriers
        holdings, pending, _ = state
        held = holdings[col].held
        side = 1.0 if held > 0.0 else -1.0
        high, low, stop = bars.high[row, col], bars.low[row, col], holdings[col].stop
        if which == AT_OPEN:
            high = low = start
        amount = closing_order(col, held, setup.terms)
        late = exits.time_limit > 0 and bars.times[row] - holdings[col].opened >= exits.time_limit
        rests = False
        if late and which != ADVERSE:
            reference, reason = start, reasons.TIME_LIMIT
        else:
            # A bar that opens at its profit cannot open at its stop: the stop is asked first, at the open and within.
            reference = stop_reference(side, start, high, low, stop)
            reason = reasons.TRAILING_STOP if holdings[col].trailing == 1 else reasons.STOP_LOSS
            opens_at_profit = side * (start - holdings[col].profit) >= 0.0
            if which != ADVERSE and (np.isnan(reference) or opens_at_profit):
                reference = profit_reference(side, start, high, low, holdings[col].profit)
                # One that the market is beyond when it is set does not rest.
                reason, rests = reasons.TAKE_PROFIT, not (opens_at_profit and holdings[col].changed == row)
        if np.isnan(reference):
            return
        fee = holdings[col].maker if rests else holdings[col].taker
        price = reference if rests else slipped(col, reference, amount, setup, holdings)
        execute(row, col, amount, price, fee, reason, NO, holdings[col].decided, 1.0, NO, setup, state, out)
        if pending[col].kind == LIMIT:
            set_kind(col, NONE, state)

    @njit(cache=True)
    def fill_resting(row, setup, state, out):  # type: ignore[no-untyped-def]
        """Limit orders through whose price the bar trades fill at it; a stop of what they open can follow at once."""
        bars = setup.bars
        holdings, pending, _ = state
        for phase in range(4):
            for col in range(len(holdings)):
                amount, price = pending[col].amount, pending[col].price
                if pending[col].kind != LIMIT or execution_phase(amount, holdings[col].held) != phase:
                    continue
                if (bars.low[row, col] < price) if amount > 0.0 else (bars.high[row, col] > price):
                    holdings[col].mark = price
                    attempt(row, col, price, holdings[col].maker, np.int64(reasons.LIMIT_TARGET), setup, state, out)
                    if has_position(col, holdings[col].held, setup.terms):
                        # A bar that opens beyond the price goes on from its open.
                        first = bars.open[row, col]
                        start = min(price, first) if amount > 0.0 else max(price, first)
                        leave_at_barrier(row, col, start, ADVERSE, setup, state, out)

    @njit(cache=True)
    def worst_price(row, col, setup, holdings):  # type: ignore[no-untyped-def]
        """The bar's extreme against a position; the last close where there is no bar."""
        bars = setup.bars
        if np.isnan(bars.close[row, col]):
            return holdings[col].last_close
        return bars.low[row, col] if holdings[col].held > 0.0 else bars.high[row, col]

    @njit(cache=True)
    def first_price(row, col, setup, holdings):  # type: ignore[no-untyped-def]
        price = setup.bars.open[row, col]
        return holdings[col].last_close if np.isnan(price) else price

    @njit(cache=True)
    def is_endangered(row, setup, state):  # type: ignore[no-untyped-def]
        """Whether the bar's adverse extremes, all at once, take equity to the maintenance margin."""
        holdings, _, desk = state
        left, holds = desk.money[CASH], False
        for col in range(len(holdings)):
            held = holdings[col].held
            if held != 0.0:
                holds = True
                worst = worst_price(row, col, setup, holdings)
                left += held * worst - abs(held) * worst * setup.terms.venues[col].maintenance
        return holds and left <= 0.0

    @njit(cache=True)
    def share_of_liquidation(row, setup, state):  # type: ignore[no-untyped-def]
        """How far the bar's prices move until the account is liquidated; 2 where it is not."""
        holdings, _, desk = state
        at_open = at_worst = desk.money[CASH]
        holds = False
        for col in range(len(holdings)):
            held, margin = holdings[col].held, setup.terms.venues[col].maintenance
            if held != 0.0:
                holds = True
                first = first_price(row, col, setup, holdings)
                worst = worst_price(row, col, setup, holdings)
                at_open += held * first - abs(held) * first * margin
                at_worst += held * worst - abs(held) * worst * margin
        return liquidation_share(at_open, at_worst) if holds else 2.0

    @njit(cache=True)
    def liquidate(row, share, setup, state, out):  # type: ignore[no-untyped-def]
        """Close everything where the bar's prices are after that share of their way, and drop what waits.

        A symbol without a bar is closed at the open of its next one.
        """
        terms = setup.terms
        holdings, pending, _ = state
        for col in range(len(holdings)):
            if pending[col].kind != NONE:
                set_kind(col, NONE, state)
            held = holdings[col].held
            if has_position(col, held, terms) and np.isnan(setup.bars.close[row, col]):
                close_next(row, col, np.int64(reasons.LIQUIDATION), setup, state)
            elif has_position(col, held, terms):
                first = first_price(row, col, setup, holdings)
                reference = first + share * (worst_price(row, col, setup, holdings) - first)
                amount = closing_order(col, held, terms)
                price = slipped(col, reference, amount, setup, holdings)
                fee, decided, why = holdings[col].taker, holdings[col].decided, np.int64(reasons.LIQUIDATION)
                execute(row, col, amount, price, fee, why, NO, decided, 1.0, NO, setup, state, out)

    @njit(cache=True)
    def stop_or_liquidate(row, setup, state, out):  # type: ignore[no-untyped-def]
        """What comes first on the way to the adverse extremes of an endangering bar: stops or liquidation.

        Each stop that goes off leaves less to lose, so the place of liquidation is found anew after it.
        """
        bars = setup.bars
        holdings, _, _ = state
        for col in range(len(holdings)):
            if has_position(col, holdings[col].held, setup.terms) and not np.isnan(bars.close[row, col]):
                leave_at_barrier(row, col, bars.open[row, col], AT_OPEN, setup, state, out)
        while True:
            nearest, chosen = 2.0, NOBODY
            for col in range(len(holdings)):
                stop = holdings[col].stop
                if np.isnan(stop) or np.isnan(bars.close[row, col]):
                    continue
                worst = worst_price(row, col, setup, holdings)
                if (worst <= stop) if holdings[col].held > 0.0 else (worst >= stop):
                    share = path_share(bars.open[row, col], worst, stop)
                    if share < nearest:
                        nearest, chosen = share, np.int64(col)
            share = share_of_liquidation(row, setup, state)
            if share <= 1.0 and share <= nearest:
                liquidate(row, share, setup, state, out)
                return
            if chosen == NOBODY:
                return
            leave_at_barrier(row, chosen, bars.open[row, chosen], ADVERSE, setup, state, out)
