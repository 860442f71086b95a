"""The execution rules over whole arrays: one compiled pass, bar by bar, that yields the fills.

`engine.rules`, `engine.barriers` and `engine.guard` hold the arithmetic, compiled here as it stands, so that this pass
and the paper broker cannot differ in it. `simulate` holds the sequence within a bar; docs/execution.md tells it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine import barriers, guard, kernel_state, reasons, rules
from engine.compiled import compile_cached
from engine.guard import NS_PER_MINUTE

_CASH, _EQUITY, _DAY_START, _PEAK = range(4)
# numba compiles a function anew for each literal that it is called with, a plain int of a module too.
_NO, _YES, _NOBODY = np.int64(0), np.int64(1), np.int64(-1)
ALLOWED, CUT, BLOCKED, HALT, RESUME = (np.int64(number) for number in range(5))
NONE, MARKET, LIMIT = (np.int64(number) for number in range(3))

with compile_cached(*(module.__file__ for module in (rules, barriers, guard, kernel_state, reasons)), __file__):
    _round_to_step = njit(cache=True)(rules.round_to_step)
    _round_price = njit(cache=True)(rules.round_price)
    _significant_step = njit(cache=True)(rules.significant_step)
    _unrounded_order = njit(cache=True)(rules.unrounded_order)
    _smallest_order = njit(cache=True)(rules.smallest_order)
    _is_sendable = njit(cache=True)(rules.is_sendable)
    _is_open = njit(cache=True)(rules.is_open)
    _slippage_of = njit(cache=True)(rules.slippage_of)
    _fill_price = njit(cache=True)(rules.fill_price)
    _margin_held = njit(cache=True)(rules.margin_held)
    _payable_amount = njit(cache=True)(rules.payable_amount)
    _fee_paid = njit(cache=True)(rules.fee_paid)
    _received = njit(cache=True)(rules.received)
    _cash_after = njit(cache=True)(rules.cash_after)
    _held_after = njit(cache=True)(rules.held_after)
    _execution_phase = njit(cache=True)(rules.execution_phase)
    _liquidation_share = njit(cache=True)(rules.liquidation_share)
    _average_entry = njit(cache=True)(barriers.average_entry)
    _barrier_price = njit(cache=True)(barriers.barrier_price)
    _trailing_price = njit(cache=True)(barriers.trailing_price)
    _best_price = njit(cache=True)(barriers.best_price)
    _is_tighter = njit(cache=True)(barriers.is_tighter)
    _stop_reference = njit(cache=True)(barriers.stop_reference)
    _profit_reference = njit(cache=True)(barriers.profit_reference)
    _reducing_part = njit(cache=True)(guard.reducing_part)
    _largest_opening = njit(cache=True)(guard.largest_opening)
    _is_outside_collar = njit(cache=True)(guard.is_outside_collar)
    _loss_fraction = njit(cache=True)(guard.loss_fraction)

    @njit(cache=True)
    def _tick(col, price, terms):  # type: ignore[no-untyped-def]
        digits = terms.venues[col].price_digits
        return _significant_step(price, digits) if digits > 0 else terms.venues[col].tick

    @njit(cache=True)
    def _closing(col, held, terms):  # type: ignore[no-untyped-def]
        """The order that closes a position."""
        return -_round_to_step(held, terms.venues[col].step, rules.SUM_NOISE)

    @njit(cache=True)
    def _has_position(col, held, terms):  # type: ignore[no-untyped-def]
        return _is_open(held, terms.venues[col].step if terms.fee_in_bought else 0.0)

    @njit(cache=True)
    def _set_kind(col, kind, state):  # type: ignore[no-untyped-def]
        _, pending, desk = state
        desk.waiting[pending[col].kind] -= 1
        pending[col].kind = kind
        desk.waiting[kind] += 1

    @njit(cache=True)
    def _event(row, decided, col, verdict, rule, wanted, allowed, out):  # type: ignore[no-untyped-def]
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
    def _free_margin(cash, holdings, venues):  # type: ignore[no-untyped-def]
        free = cash
        for col in range(len(venues)):
            if holdings[col].held != 0.0:
                free -= _margin_held(holdings[col].held, holdings[col].mark, venues[col].leverage)
        return free

    @njit(cache=True)
    def _set_barriers(col, holdings, setup):  # type: ignore[no-untyped-def]
        """Levels of a position from its average entry, its best price and its decision's scale."""
        exits = setup.barriers
        average, scale = holdings[col].average, holdings[col].scale
        side = 1.0 if holdings[col].held > 0.0 else -1.0
        stop = _barrier_price(average, side, -exits.stop, scale)
        stop = _round_price(stop, _tick(col, stop, setup.terms), 0)
        trailing = _trailing_price(average, side, holdings[col].best, exits.activation, exits.delta, scale)
        trailing = _round_price(trailing, _tick(col, trailing, setup.terms), 0)
        tighter = _is_tighter(trailing, stop, side)
        holdings[col].trailing = 1 if tighter else 0
        holdings[col].stop = trailing if tighter else stop
        profit = _barrier_price(average, side, exits.profit, scale)
        holdings[col].profit = _round_price(profit, _tick(col, profit, setup.terms), 0)

    @njit(cache=True)
    def _execute(row, col, amount, price, fee, reason, cut, decided, scale, within, setup, state, out):  # type: ignore[no-untyped-def]
        """A fill: books, position, barriers, record."""
        terms = setup.terms
        holdings, _, desk = state
        paid = _fee_paid(amount, price, fee)
        bought = terms.fee_in_bought and amount > 0.0
        desk.money[_CASH] = _cash_after(desk.money[_CASH], amount, price, 0.0 if bought else paid)
        got = _received(amount, fee, terms.fee_in_bought)
        before = holdings[col].held
        step = 0.0 if terms.fee_in_bought else terms.venues[col].step
        after = _held_after(before, got, step)
        holdings[col].held = after
        if not _has_position(col, after, terms):
            holdings[col].stop = np.nan
            holdings[col].profit = np.nan
        elif not _has_position(col, before, terms) or before * after < 0.0:
            holdings[col].average = price
            holdings[col].best = price
            holdings[col].opened = setup.bars.times[row]
            holdings[col].decided = decided
            holdings[col].scale = scale
            holdings[col].within = within
            _set_barriers(col, holdings, setup)
        elif before * amount > 0.0:
            holdings[col].average = _average_entry(before, holdings[col].average, got, price)
            holdings[col].decided = decided
            holdings[col].scale = scale
            if within == 1:
                holdings[col].within = 1
            _set_barriers(col, holdings, setup)
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
    def _blocking_rule(row, col, price, setup, state):  # type: ignore[no-untyped-def]
        limits, bars = setup.limits, setup.bars
        holdings, pending, desk = state
        now = bars.times[row]
        if desk.halted[0] != guard.NO_RULE:
            return desk.halted[0]
        if limits.data_age > 0 and now - (bars.times[pending[col].decided] + bars.length) > limits.data_age:
            return guard.AGE
        if limits.collar < np.inf and _is_outside_collar(price, holdings[col].last_close, limits.collar):
            return guard.COLLAR
        if limits.orders_per_minute > 0 and now - desk.sent[desk.sent_at[0]] < NS_PER_MINUTE:
            return guard.RATE
        return guard.NO_RULE

    @njit(cache=True)
    def _guarded(row, col, amount, price, fee, setup, state):  # type: ignore[no-untyped-def]
        """What the risk limits leave of an order, and the rule that took the rest."""
        holdings, _, desk = state
        held, mark, limits = holdings[col].held, holdings[col].mark, setup.limits
        reducing = _reducing_part(amount, held)
        opening = abs(amount) - reducing
        if opening == 0.0:
            return amount, guard.NO_RULE
        side = 1.0 if amount > 0.0 else -1.0
        rule = _blocking_rule(row, col, price, setup, state)
        if rule != guard.NO_RULE:
            return side * reducing, rule
        equity, gross, net = desk.money[_CASH], 0.0, 0.0
        for other in range(len(holdings)):
            if holdings[other].held != 0.0:
                worth = holdings[other].held * holdings[other].mark
                equity += worth
                gross += abs(worth)
                net += worth
        unit_cost = fee * price + side * (price - mark)
        equity -= reducing * unit_cost
        before = (abs(held) - reducing) * mark
        others = gross - abs(held) * mark
        largest, rule = _largest_opening(limits.position, equity, before, mark, unit_cost), guard.POSITION
        cap = _largest_opening(limits.gross, equity, others + before, mark, unit_cost)
        if cap < largest:
            largest, rule = cap, guard.GROSS
        cap = _largest_opening(limits.net, equity, side * net + reducing * mark, mark, unit_cost)
        if cap < largest:
            largest, rule = cap, guard.NET
        cap = max(limits.notional / price - reducing, 0.0)
        if cap < largest:
            largest, rule = cap, guard.NOTIONAL
        if opening <= largest:
            return amount, guard.NO_RULE
        return side * (reducing + largest), rule

    @njit(cache=True)
    def _attempt(row, col, price, fee, reason, setup, state, out):  # type: ignore[no-untyped-def]
        """A pending order meets its price: the guard, then cash, may cut it; what is left fills."""
        terms = setup.terms
        holdings, pending, desk = state
        amount, held = pending[col].amount, holdings[col].held
        decided, close, smallest = pending[col].decided, pending[col].close, pending[col].smallest
        within = np.int64(pending[col].kind == LIMIT)
        _set_kind(col, NONE, state)
        closing = _closing(col, held, terms)
        cut = guard.NO_RULE
        if setup.limits.on and reason < reasons.STOP_LOSS:
            allowed, rule = _guarded(row, col, amount, price, fee, setup, state)
            if rule != guard.NO_RULE:
                allowed = _round_to_step(allowed, terms.venues[col].step, rules.SUM_NOISE)
                if not _is_sendable(allowed, closing, close, smallest, terms.venues[col].min_amount):
                    _event(row, decided, col, BLOCKED, rule, amount, 0.0, out)
                    return
                _event(row, decided, col, CUT, rule, amount, allowed, out)
                amount, cut = allowed, rule
            else:
                _event(row, decided, col, ALLOWED, rule, amount, amount, out)
        free = _free_margin(desk.money[_CASH], holdings, terms.venues)
        cash_fee = 0.0 if terms.fee_in_bought and amount > 0.0 else fee
        payable = _payable_amount(amount, held, holdings[col].mark, price, cash_fee, terms.venues[col].leverage, free)
        if payable != amount:
            payable = _round_to_step(payable, terms.venues[col].step, rules.SUM_NOISE)
            if not _is_sendable(payable, closing, close, smallest, terms.venues[col].min_amount):
                _event(row, decided, col, BLOCKED, np.int64(guard.CASH), amount, 0.0, out)
                return
            _event(row, decided, col, CUT, np.int64(guard.CASH), amount, payable, out)
            amount, cut = payable, guard.CASH
        _execute(row, col, amount, price, fee, reason, cut, decided, pending[col].scale, within, setup, state, out)

    @njit(cache=True)
    def _slipped(col, reference, amount, setup, holdings):  # type: ignore[no-untyped-def]
        terms = setup.terms
        slip = _slippage_of(amount, holdings[col].last_volume, terms.slip_base, terms.slip_coefficient, terms.slip_most)
        return _fill_price(reference, amount, slip)

    @njit(cache=True)
    def _fill_at_open(row, setup, state, out):  # type: ignore[no-untyped-def]
        """Orders at the market go at the bar's open, those that free cash first (rule 4)."""
        holdings, pending, _ = state
        opens = setup.bars.open
        for phase in range(4):
            for col in range(len(holdings)):
                if pending[col].kind != MARKET or np.isnan(opens[row, col]):
                    continue
                amount = pending[col].amount
                if _execution_phase(amount, holdings[col].held) == phase:
                    price = _slipped(col, opens[row, col], amount, setup, holdings)
                    _attempt(row, col, price, holdings[col].taker, pending[col].reason, setup, state, out)

    @njit(cache=True)
    def _exit(row, col, start, adverse_only, setup, state, out):  # type: ignore[no-untyped-def]
        """Leave a position whose barrier this bar, from price `start` on, has reached; nothing where it has not."""
        bars, exits = setup.bars, setup.barriers
        holdings, pending, _ = state
        held = holdings[col].held
        side = 1.0 if held > 0.0 else -1.0
        high, low, stop = bars.high[row, col], bars.low[row, col], holdings[col].stop
        amount = _closing(col, held, setup.terms)
        late = exits.time_limit > 0 and bars.times[row] - holdings[col].opened >= exits.time_limit
        rests = False
        if late and adverse_only == 0:
            reference, reason = start, reasons.TIME_LIMIT
        else:
            # A bar that opens at its profit cannot open at its stop: the stop is asked first, at the open and within.
            reference = _stop_reference(side, start, high, low, stop)
            reason = reasons.TRAILING_STOP if holdings[col].trailing == 1 else reasons.STOP_LOSS
            opens_at_profit = side * (start - holdings[col].profit) >= 0.0
            if adverse_only == 0 and (np.isnan(reference) or opens_at_profit):
                reference = _profit_reference(side, start, high, low, holdings[col].profit)
                reason, rests = reasons.TAKE_PROFIT, True
        if np.isnan(reference):
            return
        fee = holdings[col].maker if rests else holdings[col].taker
        price = reference if rests else _slipped(col, reference, amount, setup, holdings)
        _execute(row, col, amount, price, fee, reason, _NO, holdings[col].decided, 1.0, _NO, setup, state, out)
        if pending[col].kind == LIMIT:
            _set_kind(col, NONE, state)

    @njit(cache=True)
    def _fill_resting(row, setup, state, out):  # type: ignore[no-untyped-def]
        """Limit orders through whose price the bar trades fill at it; a stop of what they open can follow at once."""
        bars = setup.bars
        holdings, pending, _ = state
        for col in range(len(holdings)):
            if pending[col].kind != LIMIT or np.isnan(bars.close[row, col]):
                continue
            price = pending[col].price
            through = bars.low[row, col] < price if pending[col].amount > 0.0 else bars.high[row, col] > price
            if not through:
                continue
            holdings[col].mark = price
            _attempt(row, col, price, holdings[col].maker, np.int64(reasons.LIMIT_TARGET), setup, state, out)
            if _has_position(col, holdings[col].held, setup.terms):
                _exit(row, col, price, _YES, setup, state, out)

    @njit(cache=True)
    def _liquidate(row, setup, state, out):  # type: ignore[no-untyped-def]
        """Close everything where the bar takes equity to the maintenance margin; see `rules.liquidation_share`."""
        bars, terms = setup.bars, setup.terms
        holdings, pending, desk = state
        at_open = desk.money[_CASH]
        at_worst = desk.money[_CASH]
        for col in range(len(holdings)):
            held = holdings[col].held
            if held != 0.0:
                first = worst = holdings[col].last_close
                if not np.isnan(bars.close[row, col]):
                    first = bars.open[row, col]
                    worst = bars.low[row, col] if held > 0.0 else bars.high[row, col]
                at_open += held * first - abs(held) * first * terms.venues[col].maintenance
                at_worst += held * worst - abs(held) * worst * terms.venues[col].maintenance
        share = _liquidation_share(at_open, at_worst)
        if share > 1.0:
            return
        for col in range(len(holdings)):
            held = holdings[col].held
            if _has_position(col, held, terms):
                reference = holdings[col].last_close
                if not np.isnan(bars.close[row, col]):
                    worst = bars.low[row, col] if held > 0.0 else bars.high[row, col]
                    reference = bars.open[row, col] + share * (worst - bars.open[row, col])
                amount = _closing(col, held, terms)
                price = _slipped(col, reference, amount, setup, holdings)
                fee, decided = holdings[col].taker, holdings[col].decided
                _execute(
                    row,
                    col,
                    amount,
                    price,
                    fee,
                    np.int64(reasons.LIQUIDATION),
                    _NO,
                    decided,
                    1.0,
                    _NO,
                    setup,
                    state,
                    out,
                )
        for col in range(len(holdings)):
            if pending[col].kind != NONE:
                _set_kind(col, NONE, state)

    @njit(cache=True)
    def _begin_day(row, setup, state, out):  # type: ignore[no-untyped-def]
        """A new UTC day: equity to count its loss from, the end of a daily halt, the fee tier."""
        days, tiers = setup.bars.days, setup.terms.tiers
        holdings, _, desk = state
        desk.money[_DAY_START] = desk.money[_EQUITY]
        if desk.halted[0] == guard.DAILY_LOSS:
            desk.halted[0] = guard.NO_RULE
            _event(row, _NOBODY, _NOBODY, RESUME, np.int64(guard.DAILY_LOSS), np.nan, np.nan, out)
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
                desk.money[_CASH] -= charge
                paid[row, col] += charge

    @njit(cache=True)
    def _lend(row, setup, state, out):  # type: ignore[no-untyped-def]
        """Interest on what is short, at its last close, for the time since the bar before."""
        holdings, _, desk = state
        for col in range(len(holdings)):
            if holdings[col].held < 0.0:
                charge = -holdings[col].held * holdings[col].last_close * setup.terms.borrow[row]
                desk.money[_CASH] -= charge
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
                _set_kind(col, MARKET if setup.style.then_market else NONE, state)
                pending[col].reason = reasons.EXPIRED_LIMIT

    @njit(cache=True)
    def _halts(row, equity, setup, state, out):  # type: ignore[no-untyped-def]
        """Whether this close breaks a loss limit: then everything pending is dropped, everything held goes."""
        limits = setup.limits
        holdings, pending, desk = state
        desk.money[_PEAK] = max(desk.money[_PEAK], equity)
        rule = guard.NO_RULE
        if desk.halted[0] != guard.DRAWDOWN and _loss_fraction(equity, desk.money[_PEAK]) >= limits.drawdown:
            rule = guard.DRAWDOWN
        elif desk.halted[0] == guard.NO_RULE and _loss_fraction(equity, desk.money[_DAY_START]) >= limits.daily_loss:
            rule = guard.DAILY_LOSS
        if rule == guard.NO_RULE:
            return False
        desk.halted[0] = rule
        _event(row, _NOBODY, _NOBODY, HALT, rule, np.nan, np.nan, out)
        for col in range(len(holdings)):
            _set_kind(col, NONE, state)
            if _has_position(col, holdings[col].held, setup.terms):
                _set_kind(col, MARKET, state)
                pending[col].amount = _closing(col, holdings[col].held, setup.terms)
                pending[col].decided = row
                pending[col].close = holdings[col].mark
                pending[col].smallest = 0.0
                daily = rule == guard.DAILY_LOSS
                pending[col].reason = reasons.HALT_DAILY_LOSS if daily else reasons.HALT_DRAWDOWN
        return True

    @njit(cache=True)
    def _decide(row, equity, targets, scale, setup, state):  # type: ignore[no-untyped-def]
        """Turn the targets of a bar into the orders that wait for the next one (rules 1 and 2)."""
        terms, style = setup.terms, setup.style
        holdings, pending, desk = state
        for col in range(len(holdings)):
            mark, held = holdings[col].mark, holdings[col].held
            if np.isnan(targets[row, col]) or np.isnan(mark):
                continue
            if (
                desk.halted[0] != guard.NO_RULE
                and pending[col].kind == MARKET
                and pending[col].reason >= reasons.STOP_LOSS
            ):
                continue
            amount = _unrounded_order(targets[row, col], equity, held, mark)
            closing = _closing(col, held, terms)
            if amount == -held:
                amount = closing
            else:
                amount = _round_to_step(amount, terms.venues[col].step, rules.STEP_NOISE)
            largest = min(terms.venues[col].max_amount, terms.venues[col].max_notional / mark)
            if abs(amount) > largest:
                amount = largest if amount > 0.0 else -largest
                amount = _round_to_step(amount, terms.venues[col].step, rules.STEP_NOISE)
            pending[col].decided = row
            pending[col].close = mark
            pending[col].smallest = _smallest_order(terms.venues[col].min_notional, equity)
            pending[col].scale = scale[row, col] if len(scale) else 1.0
            if not _is_sendable(amount, closing, mark, pending[col].smallest, terms.venues[col].min_amount):
                _set_kind(col, NONE, state)
                continue
            pending[col].amount = amount
            pending[col].reason = reasons.TARGET
            if style.rests:
                price = mark * (1.0 - style.offset) if amount > 0.0 else mark * (1.0 + style.offset)
                pending[col].price = _round_price(price, _tick(col, price, terms), -1 if amount > 0.0 else 1)
                pending[col].left = style.alive
            _set_kind(col, LIMIT if style.rests else MARKET, state)

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
        holdings, pending, desk = state
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
            if desk.waiting[MARKET] > 0:
                _fill_at_open(row, setup, state, out)
            if has_funding:
                _charge(row, terms.funding_within, setup, state, out.funding)
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
                    if (reached or late) and _has_position(col, holdings[col].held, terms):
                        _exit(row, col, bars.open[row, col], _NO, setup, state, out)
            if desk.waiting[LIMIT] > 0:
                _fill_resting(row, setup, state, out)
            if terms.liquidates:
                worst, holds = desk.money[_CASH], False
                for col in range(columns):
                    if holdings[col].held != 0.0:
                        holds = True
                        price = bars.low[row, col] if holdings[col].held > 0.0 else bars.high[row, col]
                        if np.isnan(price):
                            price = holdings[col].last_close
                        worst += (
                            holdings[col].held * price - abs(holdings[col].held) * price * terms.venues[col].maintenance
                        )
                if holds and worst <= 0.0:
                    _liquidate(row, setup, state, out)
            wanted = False
            for col in range(columns):
                close = bars.close[row, col]
                wanted |= not np.isnan(targets[row, col])
                if np.isnan(close):
                    continue
                holdings[col].mark = close
                holdings[col].last_close = close
                holdings[col].last_volume = bars.volume[row, col]
                if follows and holdings[col].held != 0.0:
                    side = 1.0 if holdings[col].held > 0.0 else -1.0
                    whole = holdings[col].within == 0
                    high = bars.high[row, col] if whole else close
                    low = bars.low[row, col] if whole else close
                    best = _best_price(holdings[col].best, side, high, low)
                    if best != holdings[col].best:
                        holdings[col].best = best
                        if _has_position(col, holdings[col].held, terms):
                            _set_barriers(col, holdings, setup)
                holdings[col].within = 0
            if desk.waiting[LIMIT] > 0:
                _expire(row, setup, state)
            if wanted or has_halts:
                equity = desk.money[_CASH]
                for col in range(columns):
                    if holdings[col].held != 0.0:
                        equity += holdings[col].held * holdings[col].mark
                desk.money[_EQUITY] = equity
                halts = has_halts and _halts(row, equity, setup, state, out)
                if wanted and not halts:
                    _decide(row, equity, targets, scale, setup, state)
            for col in range(columns):
                out.positions[row, col] = holdings[col].held
