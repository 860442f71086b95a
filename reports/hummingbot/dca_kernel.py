"""Hummingbot's backtest of a controller that averages in, one symbol, compiled: each executor's life as it decides it.

Its simulation of such an executor looks for every level's own fill and end on the whole window, then books profits, and
fees, from the bar on that fills the LAST level, to the levels before it as well; where the last level is not reached,
it books nothing at all. That is a defect, and it decides the numbers: an executor that ended before its last level was
filled has neither won nor lost anything. `legs` holds what it did fill, for an account that forgets nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from engine.compiled import compile_cached
from reports.hummingbot import kernel, rules
from reports.hummingbot.kernel import has_slot, net_profit, retire

with compile_cached(rules.__file__, kernel.__file__, __file__):

    @njit(cache=True)
    def _first_beyond(price: float, side: int, values: np.ndarray, start: int, end: int) -> int:
        """First bar of start..end whose value has come to a price: down to it for a long, up for a short; -1 if none.

        A price that is NaN is never reached.
        """
        for bar in range(start, end + 1):
            if (values[bar] <= price) if side > 0 else (values[bar] >= price):
                return bar
        return -1

    @njit(cache=True)
    def _trails(activation: float, delta: float, side: int, close: np.ndarray, start: int, end: int) -> int:
        """First bar of start..end whose close lies on the trailing stop or beyond it; -1 if none."""
        armed, trail = False, 0.0
        for bar in range(start, end + 1):
            armed = armed or ((close[bar] >= activation) if side > 0 else (close[bar] <= activation))
            if armed:
                price = close[bar] * delta
                if trail == 0.0:
                    trail = price
                trail = max(trail, price) if side > 0 else min(trail, price)
                if (close[bar] <= trail) if side > 0 else (close[bar] >= trail):
                    return bar
        return -1

    @njit(cache=True)
    def _life(
        start: int,
        end: int,
        side: int,
        row: int,
        levels: tuple[Any, ...],
        bars: tuple[np.ndarray, ...],
        fills: np.ndarray,
    ) -> tuple[int, int, int, bool]:
        """Exit bar, close type, number of levels filled, and whether Hummingbot books the executor's profit.

        Args:
            start: first bar of the executor's window.
            end: its last bar.
            side: 1 or -1.
            row: the executor's row in the levels' arrays.
            levels: entry, activation, profit, stop, amount, delta (long, short).
            bars: times, high, low, close.
            fills: written to: the bar that fills each level, (L,).
        """
        entry, activation, gain, stop, _, delta = levels
        _, high, low, close = bars
        count = entry.shape[1]
        reached, ended, leave, close_type, filled = 0, False, end, rules.TIME_LIMIT, 0
        for level in range(count):
            fill = _first_beyond(entry[row, level], side, close, start, end)
            if fill < 0:
                break
            fills[level] = fill
            reached += 1
            if ended:
                continue
            filled = level + 1
            following, stopped = -1, -1
            if level + 1 == count:
                stopped = _first_beyond(stop[row], side, low if side > 0 else high, fill, end)
            else:
                following = _first_beyond(entry[row, level + 1], side, close, fill, end)
            taken = _first_beyond(gain[row, level], -side, close, fill, end)
            trailed = _trails(activation[row, level], delta[0] if side > 0 else delta[1], side, close, fill, end)
            leave = end
            for event in (taken, stopped, trailed, following):
                if event >= 0:
                    leave = min(leave, event)
            ended = True
            if leave == taken:
                close_type = rules.TAKE_PROFIT
            elif leave == stopped:
                close_type = rules.STOP_LOSS
            elif leave == trailed:
                close_type = rules.TRAILING_STOP
            elif leave == following:
                ended = False  # the next level takes over
            else:
                close_type = rules.TIME_LIMIT
        booked = reached == count and leave >= fills[count - 1]
        return leave, close_type, filled, booked

    @njit(cache=True)
    def simulate_dca(
        bars: tuple[np.ndarray, ...],
        signal: np.ndarray,
        rows: np.ndarray,
        levels: tuple[Any, ...],
        terms: tuple[Any, ...],
        executors: tuple[np.ndarray, np.ndarray],
        legs: tuple[np.ndarray, np.ndarray],
        realised: np.ndarray,
    ) -> tuple[int, int]:
        """Run the bars of one symbol; how many executors were created, and how many levels were filled.

        Args:
            bars: times int64 ns, high, low, close, each (T,), none NaN.
            signal: (T,), 1 long, -1 short, 0 none.
            rows: (T,), a signal's row in the levels' arrays.
            levels: as in `dca.Levels`, in its order.
            terms: slots, cooldown ns, time limit ns, trade cost.
            executors: written to, as in `kernel.simulate`; amount is in base currency, all levels that count.
            legs: written to: executor, fill bar, exit bar, side, whether booked, int64 (M, 5); amount in base
                currency, notional at entry, (M, 2).
            realised: written to, as in `kernel.simulate`.
        """
        times, close = bars[0], bars[3]
        slots, cooldown, time_limit, trade_cost = terms
        places, values = executors
        leg_places, leg_values = legs
        depth = levels[0].shape[1]
        count, filled_legs, profit = 0, 0, 0.0
        active, fills = np.empty(len(places), dtype=np.int64), np.empty(depth, dtype=np.int64)
        running = 0
        for bar in range(len(times)):
            running, profit = retire(bar, active, running, executors, profit)
            realised[bar] = profit
            side = signal[bar]
            if side == 0 or not has_slot(bar, side, times, active, running, places, slots, cooldown):
                continue
            end = bar
            while end + 1 < len(times) and times[end + 1] - times[bar] <= time_limit:
                end += 1
            leave, close_type, filled, booked = _life(bar, end, side, rows[bar], levels, bars, fills)
            gained, notional, amount = 0.0, 0.0, 0.0
            for level in range(filled):
                fill = fills[level]
                quote = levels[4][rows[bar], level]
                growth = 1.0
                for step in range(fill + 1, leave + 1):
                    growth *= 1.0 + (close[step] / close[step - 1] - 1.0)
                if booked:
                    gained += net_profit(growth, side, trade_cost) * quote
                    notional += quote
                    amount += quote / close[fill]
                place = leg_places[filled_legs]
                place[0], place[1], place[2], place[3], place[4] = count, fill, leave, side, booked
                leg_values[filled_legs, 0], leg_values[filled_legs, 1] = quote / close[fill], quote
                filled_legs += 1
            places[count, 0], places[count, 1], places[count, 2], places[count, 3] = bar, leave, side, close_type
            values[count, 0], values[count, 1], values[count, 2], values[count, 3] = (
                amount,
                gained / notional if notional > 0.0 else 0.0,
                gained,
                notional,
            )
            active[running] = count
            running += 1
            count += 1
        return count, filled_legs
