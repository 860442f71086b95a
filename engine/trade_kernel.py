"""Fills paired into round trips, compiled: the arrays behind `Result.trades` and a sweep's trade figures."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from engine.compiled import compile_cached

# What is held below this fraction of the trade's largest holding is rounding noise: the position is flat.
FLAT: Final = 1e-9


class Fills(NamedTuple):
    """Fills in the order of execution, one array a field."""

    row: np.ndarray  # bar, int64
    column: np.ndarray  # symbol, int64
    amount: np.ndarray  # what the holding gained, signed: of a buy that paid its fee in coins, less than was ordered
    price: np.ndarray
    fee: np.ndarray  # quote currency
    within: np.ndarray  # whether it filled within its bar and not at the open, bool


class Trips(NamedTuple):
    """Round trips in the order of entry, one array a field; fills by their number, -1 for none."""

    entry: np.ndarray
    exit: np.ndarray
    long: np.ndarray
    amount: np.ndarray
    entry_price: np.ndarray
    exit_price: np.ndarray
    fees: np.ndarray
    funding: np.ndarray
    borrow: np.ndarray
    pnl: np.ndarray
    returns: np.ndarray
    unrealised: np.ndarray  # of what is still held, against its average cost
    mae: np.ndarray
    mfe: np.ndarray
    rest: np.ndarray  # by symbol (N,): what is held and is no trade, as fees in coins leave it
    rest_price: np.ndarray  # by symbol: what the last trade valued it at


with compile_cached(__file__):

    @njit(cache=True)
    def _extremes(long, entry_row, stop_row, within, average, last_price, high, low):  # type: ignore[no-untyped-def]
        """Worst and best price of the bars from the entry's to before `stop_row`, and of the exit, over the average.

        Of a bar within which the entry filled, what was better than its price may lie before it, and does not count.
        """
        worst = best = last_price / average - 1.0 if long else 1.0 - last_price / average
        for row in range(entry_row, stop_row):
            if np.isnan(high[row]):
                continue
            up, down = high[row] / average - 1.0, low[row] / average - 1.0
            good, bad = (up, down) if long else (-down, -up)
            worst = min(worst, bad)
            if row > entry_row or not within:
                best = max(best, good)
        return min(worst, 0.0), max(best, 0.0)

    @njit(cache=True)
    def pair(fills, flat, high, low, close, funding, borrow):  # type: ignore[no-untyped-def]
        """Pair fills into round trips by average cost.

        Args:
            fills: `Fills`.
            flat: (N,), a holding below which a symbol counts as not held; 0 for rounding noise alone.
            high: (T, N).
            low: (T, N).
            close: (T, N).
            funding: paid by bar and symbol (T, N), or (0, 0).
            borrow: the same.
        """
        count, columns, length = len(fills.row), close.shape[1], close.shape[0]
        # A fill ends one trip and begins one at most; what is open at the end comes on top.
        room = count + columns
        whole = np.full((2, room), -1, dtype=np.int64)
        values = np.zeros((11, room))
        long_side = np.zeros(room, dtype=np.bool_)
        trips = 0
        rest, rest_price = np.zeros(columns), np.zeros(columns)
        for col in range(columns):
            open_trip, held, largest = -1, 0.0, 0.0
            entered, entered_value, left, left_value, fees, cost = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            paid_row = 0
            for number in range(count + 1):
                ends = number == count
                if not ends and fills.column[number] != col:
                    continue
                if ends:
                    if open_trip < 0:
                        break
                    # Still open: it leaves at its mark, for nothing.
                    row, price, fee, amount = length - 1, np.nan, 0.0, 0.0
                    for back in range(length - 1, -1, -1):
                        if not np.isnan(close[back, col]):
                            price = close[back, col]
                            break
                    amount = -held if long_side[open_trip] else held
                else:
                    row, price, fee = fills.row[number], fills.price[number], fills.fee[number]
                    amount = fills.amount[number]
                size, buys = abs(amount), amount > 0.0
                if open_trip >= 0 and long_side[open_trip] != buys:
                    part = min(size, held)
                    share = part / size if size > 0.0 else 1.0
                    unrealised = (part * price - cost) if long_side[open_trip] else (cost - part * price)
                    cost -= cost * part / held if held > 0.0 else 0.0
                    held -= part
                    left += part
                    left_value += part * price
                    fees += fee * share
                    if held <= max(FLAT * largest, flat[col] * (1.0 - FLAT)):
                        # What is left over is worth its price to this trade, and joins the next one at that.
                        left += held
                        left_value += held * price
                        long = long_side[open_trip]
                        entry = whole[0, open_trip]
                        whole[1, open_trip] = -1 if ends else number
                        gain = left_value - entered_value if long else entered_value - left_value
                        fund = lent = 0.0
                        for at in range(paid_row, row + 1):
                            if len(funding):
                                fund += funding[at, col]
                            if len(borrow):
                                lent += borrow[at, col]
                        paid_row = row + 1
                        average = entered_value / entered
                        stop_row = row + 1 if ends else row
                        worst, best = _extremes(
                            long,
                            fills.row[entry],
                            stop_row,
                            fills.within[entry],
                            average,
                            price,
                            high[:, col],
                            low[:, col],
                        )
                        pnl = gain - fees - fund - lent
                        values[0, open_trip] = largest
                        values[1, open_trip] = average
                        values[2, open_trip] = left_value / left if left > 0.0 else np.nan
                        values[3, open_trip] = fees
                        values[4, open_trip] = fund
                        values[5, open_trip] = lent
                        values[6, open_trip] = pnl
                        values[7, open_trip] = pnl / entered_value if entered_value != 0.0 else np.nan
                        values[8, open_trip] = worst
                        values[9, open_trip] = best
                        values[10, open_trip] = unrealised if ends else 0.0
                        rest[col], rest_price[col] = (held if long else -held), price
                        if rest[col] != 0.0 and held <= FLAT * largest:
                            rest[col] = 0.0
                        open_trip = -1
                    size -= part
                    fee -= fee * share
                    if ends or size <= FLAT * largest or open_trip >= 0:
                        continue
                if open_trip < 0:
                    open_trip = trips
                    trips += 1
                    whole[0, open_trip] = number
                    long_side[open_trip] = buys
                    held = entered = largest = abs(rest[col])
                    entered_value = held * rest_price[col]
                    left = left_value = fees = 0.0
                    cost = entered_value
                    rest[col] = 0.0
                held += size
                entered += size
                entered_value += size * price
                cost += size * price
                fees += fee
                largest = max(largest, held)
        order = np.argsort(whole[0, :trips], kind="mergesort")
        found = values[:, order]
        return Trips(
            whole[0, order],
            whole[1, order],
            long_side[order],
            found[0],
            found[1],
            found[2],
            found[3],
            found[4],
            found[5],
            found[6],
            found[7],
            found[10],
            found[8],
            found[9],
            rest,
            rest_price,
        )
