"""Hummingbot's backtest of a market-making controller, one symbol, compiled: what it does at each bar, in its order.

At each bar: executors that ended are closed and their profit is counted, the profit series gets its point, every level
without an executor gets one, and executors that wait for their fill longer than the refresh time are taken back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from engine.compiled import compile_cached
from reports.hummingbot import kernel, rules
from reports.hummingbot.kernel import is_stopped, is_trailed, net_profit, takes_profit

_NEVER = np.iinfo(np.int64).max
# How long Hummingbot's backtester lets a controller see an executor that has ended.
_SEEN = 3_600_000_000_000

with compile_cached(rules.__file__, kernel.__file__, __file__):

    @njit(cache=True)
    def _life(
        start: int,
        side: int,
        price: float,
        barriers: tuple[float, ...],
        bars: tuple[np.ndarray, ...],
        time_limit: int,
        trade_cost: float,
    ) -> tuple[int, int, int, float]:
        """Fill bar (-1: none), exit bar, close type and net profit of an order placed at the close of bar `start`.

        It fills at the first close that has come to its price, at that close. The stop is then looked for from the
        bar on which the order was placed, a defect: a range before the fill may end an executor that never traded.
        """
        times, high, low, close = bars
        stop_loss, take_profit, activation, delta = barriers
        end, fill = start, -1
        while True:
            if fill < 0 and ((close[end] <= price) if side > 0 else (close[end] >= price)):
                fill = end
            if end + 1 == len(times) or times[end + 1] - times[start] > time_limit:
                break
            end += 1
        if fill < 0:
            return -1, end, rules.TIME_LIMIT, 0.0
        entry = close[fill]
        growth, best, profit = 1.0, -np.inf, 0.0
        for bar in range(start, end + 1):
            profit = 0.0
            if bar > fill:
                growth *= 1.0 + (close[bar] / close[bar - 1] - 1.0)
            if bar >= fill:
                profit = net_profit(growth, side, trade_cost)
            best = max(best, profit)
            if takes_profit(profit, take_profit):
                return fill, bar, rules.TAKE_PROFIT, profit
            if is_stopped(low[bar], high[bar], entry, side, stop_loss):
                return fill if fill <= bar else -1, bar, rules.STOP_LOSS, profit
            if is_trailed(profit, best, activation, delta):
                return fill, bar, rules.TRAILING_STOP, profit
            if bar == end:
                break
        return fill, end, rules.TIME_LIMIT, profit

    @njit(cache=True)
    def simulate_orders(
        bars: tuple[np.ndarray, ...],
        prices: np.ndarray,
        sides: np.ndarray,
        quotes: np.ndarray,
        barriers: tuple[float, ...],
        terms: tuple[Any, ...],
        executors: tuple[np.ndarray, np.ndarray],
        realised: np.ndarray,
    ) -> int:
        """Run the bars of one symbol; the number of executors that were created.

        Args:
            bars: times int64 ns, high, low, close, each (T,), none NaN.
            prices: (T, L), what a close must come to for an order of each level placed on a bar to fill.
            sides: (L,), 1 or -1.
            quotes: (L,), quote currency of each level.
            barriers: stop_loss, take_profit, trailing activation, trailing delta; NaN for none.
            terms: cooldown ns, time limit ns, refresh time ns, trade cost.
            executors: written to: entry bar, exit bar, side, close type, level, fill bar or -1, int64 (K, 6); amount,
                net profit as a fraction, net profit in quote currency, notional at the fill, (K, 4). K is T x L.
            realised: written to: profit realised up to each bar, quote currency, (T,).
        """
        times, close = bars[0], bars[3]
        cooldown, time_limit, refresh, trade_cost = terms
        places, values = executors
        depth = len(sides)
        count, profit, first_seen, ended = 0, 0.0, 0, 0
        holder = np.full(depth, -1, dtype=np.int64)
        active = np.empty(depth, dtype=np.int64)
        seen = np.empty(len(places), dtype=np.int64)
        running = 0
        blocked = np.empty(depth, dtype=np.bool_)
        for bar in range(len(times)):
            now = times[bar]
            still = 0
            for position in range(running):
                number = active[position]
                if places[number, 1] <= bar:
                    profit += values[number, 2]
                    holder[places[number, 4]] = -1
                    seen[ended] = number
                    ended += 1
                else:
                    active[still] = number
                    still += 1
            running = still
            realised[bar] = profit
            while first_seen < ended and times[places[seen[first_seen], 1]] < now - _SEEN:
                first_seen += 1
            for level in range(depth):
                blocked[level] = holder[level] >= 0
            for position in range(first_seen, ended):
                number = seen[position]
                if places[number, 3] == rules.STOP_LOSS and now - times[places[number, 1]] < cooldown:
                    blocked[places[number, 4]] = True
            waiting = running
            for level in range(depth):
                if blocked[level]:
                    continue
                side = sides[level]
                fill, leave, close_type, fraction = _life(
                    bar, side, prices[bar, level], barriers, bars, time_limit, trade_cost
                )
                amount = quotes[level] / prices[bar, level]
                notional = amount * close[fill] if fill >= 0 else 0.0
                place, value = places[count], values[count]
                place[0], place[1], place[2], place[3], place[4], place[5] = bar, leave, side, close_type, level, fill
                value[0], value[1], value[2], value[3] = amount, fraction, fraction * notional, notional
                holder[level] = count
                active[running] = count
                running += 1
                count += 1
            # Orders of this very bar are not looked at: the controller saw its executors before it placed them.
            still = 0
            for position in range(running):
                number = active[position]
                filled = places[number, 5] >= 0 and places[number, 5] <= bar
                if position < waiting and not filled and now - times[places[number, 0]] > refresh:
                    places[number, 1], places[number, 3], places[number, 5] = bar, rules.EARLY_STOP, -1
                    values[number, 1], values[number, 2], values[number, 3] = 0.0, 0.0, 0.0
                    holder[places[number, 4]] = -1
                    seen[ended] = number
                    ended += 1
                else:
                    active[still] = number
                    still += 1
            running = still
        return count
