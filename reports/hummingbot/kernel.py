"""Hummingbot's directional backtest of one symbol, compiled: what it does at each bar, in its order.

At each bar: executors whose exit bar is reached are closed and their profit is realised, a point is added to the profit
series, then at most one executor is created. Its whole life is decided at once, as nothing that happens later changes
it. `rules` holds the arithmetic, compiled here as it stands.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from engine.compiled import compile_cached
from reports.hummingbot import rules

_NEVER = np.iinfo(np.int64).max

with compile_cached(rules.__file__, __file__):
    net_profit = njit(cache=True)(rules.net_profit)
    takes_profit = njit(cache=True)(rules.takes_profit)
    is_stopped = njit(cache=True)(rules.is_stopped)
    is_trailed = njit(cache=True)(rules.is_trailed)
    _shares_slots = njit(cache=True)(rules.shares_slots)
    _may_open = njit(cache=True)(rules.may_open)

    @njit(cache=True)
    def _life(
        entry: int,
        side: int,
        barriers: tuple[float, ...],
        bars: tuple[np.ndarray, ...],
        time_limit: int,
        trade_cost: float,
    ) -> tuple[int, int, float]:
        """Exit bar, close type and net profit of an executor created at the close of bar `entry`."""
        times, high, low, close = bars
        stop_loss, take_profit, activation, delta = barriers
        price = close[entry]
        bar, growth, profit, best = entry, 1.0, 0.0, -np.inf
        while True:
            if bar > entry:
                # Hummingbot compounds the bars' returns; close / price differs in the last bit, which decides ties.
                growth *= 1.0 + (close[bar] / close[bar - 1] - 1.0)
            profit = net_profit(growth, side, trade_cost)
            best = max(best, profit)
            if takes_profit(profit, take_profit):
                return bar, rules.TAKE_PROFIT, profit
            if is_stopped(low[bar], high[bar], price, side, stop_loss):
                return bar, rules.STOP_LOSS, profit
            if is_trailed(profit, best, activation, delta):
                return bar, rules.TRAILING_STOP, profit
            # The last bar at or before the limit; the end of the bars counts as one.
            if bar + 1 == len(times) or times[bar + 1] - times[entry] > time_limit:
                return bar, rules.TIME_LIMIT, profit
            bar += 1

    @njit(cache=True)
    def retire(
        bar: int, active: np.ndarray, running: int, executors: tuple[np.ndarray, np.ndarray], profit: float
    ) -> tuple[int, float]:
        """Take the executors that end on a bar or before it off the active ones; how many are left, and the profit."""
        places, values = executors
        still = 0
        for position in range(running):
            number = active[position]
            if places[number, 1] <= bar:
                profit += values[number, 2]
            else:
                active[still] = number
                still += 1
        return still, profit

    @njit(cache=True)
    def has_slot(
        bar: int,
        side: int,
        times: np.ndarray,
        active: np.ndarray,
        running: int,
        places: np.ndarray,
        slots: int,
        cooldown: int,
    ) -> bool:
        """Whether an executor of a side may be created on a bar, by its slots and the cooldown."""
        taken, elapsed = 0, _NEVER
        for position in range(running):
            number = active[position]
            if _shares_slots(side, places[number, 2]):
                taken += 1
                elapsed = times[bar] - times[places[number, 0]]  # the newest stands last
        return _may_open(taken, slots, elapsed, cooldown)

    @njit(cache=True)
    def simulate(
        bars: tuple[np.ndarray, ...],
        signal: np.ndarray,
        target: np.ndarray,
        barriers: tuple[float, ...],
        terms: tuple[Any, ...],
        executors: tuple[np.ndarray, np.ndarray],
        realised: np.ndarray,
    ) -> int:
        """Run the bars of one symbol; the number of executors that were created.

        Args:
            bars: times int64 ns, high, low, close, each (T,), none NaN.
            signal: (T,), 1 long, -1 short, 0 none.
            target: (T,), what the barriers are multiplied by.
            barriers: stop_loss, take_profit, trailing activation, trailing delta; NaN for none.
            terms: slots, cooldown ns, time limit ns, quote currency an executor buys, trade cost.
            executors: written to: entry bar, exit bar, side, close type, int64 (K, 4); amount, net profit as a
                fraction, net profit in quote currency, notional at entry, (K, 4). K is at least the number of signals.
            realised: written to: profit realised up to each bar, quote currency, (T,).
        """
        times, close = bars[0], bars[3]
        slots, cooldown, time_limit, budget, trade_cost = terms
        places, values = executors
        count, profit = 0, 0.0
        active = np.empty(len(places), dtype=np.int64)
        running = 0
        for bar in range(len(times)):
            running, profit = retire(bar, active, running, executors, profit)
            realised[bar] = profit
            side = signal[bar]
            if side == 0 or not has_slot(bar, side, times, active, running, places, slots, cooldown):
                continue
            scaled = (
                barriers[0] * target[bar],
                barriers[1] * target[bar],
                barriers[2] * target[bar],
                barriers[3] * target[bar],
            )
            leave, close_type, fraction = _life(bar, side, scaled, bars, time_limit, trade_cost)
            amount = budget / close[bar] / slots
            notional = amount * close[bar]
            places[count, 0], places[count, 1], places[count, 2], places[count, 3] = bar, leave, side, close_type
            values[count, 0], values[count, 1], values[count, 2], values[count, 3] = (
                amount,
                fraction,
                fraction * notional,
                notional,
            )
            active[running] = count
            running += 1
            count += 1
        return count
