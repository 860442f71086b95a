"""Round trips: what each position earned, from flat to flat, with entries and exits at their average prices.

An order that takes a position through zero ends one trade and begins the next; its fee is split by amount. Profit is
counted from the cash of the orders themselves, so the profits of all trades add up to what the account gained: realised
and unrealised, less fees.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

TRADE_COLUMNS: Final = (
    "symbol",
    "side",
    "entry_at",
    "exit_at",
    "bars",
    "amount",
    "entry_price",
    "exit_price",
    "fees",
    "pnl",
    "return",
    "entry_reason",
    "exit_reason",
    "open",
)
# What is held below this fraction of the trade's largest holding is rounding noise: the position is flat.
FLAT: Final = 1e-9


class _Trip:
    """One position on its way: signed holding, and the sums of its entries and exits."""

    __slots__ = (
        "entered",
        "entered_value",
        "entry_at",
        "entry_reason",
        "exited",
        "exited_value",
        "fees",
        "held",
        "largest",
        "long",
        "symbol",
    )

    def __init__(self, symbol: str, long: bool, entry_at: int, reason: str) -> None:
        self.symbol = symbol
        self.long = long
        self.entry_at = entry_at
        self.entry_reason = reason
        self.held = self.largest = self.fees = 0.0
        self.entered = self.entered_value = self.exited = self.exited_value = 0.0

    def enter(self, amount: float, price: float, fee: float) -> None:
        self.held += amount
        self.largest = max(self.largest, self.held)
        self.entered += amount
        self.entered_value += amount * price
        self.fees += fee

    def leave(self, amount: float, price: float, fee: float) -> None:
        self.held -= amount
        self.exited += amount
        self.exited_value += amount * price
        self.fees += fee

    def row(self, exit_at: int, reason: str, still_open: bool) -> tuple[object, ...]:
        gain = self.exited_value - self.entered_value
        pnl = (gain if self.long else -gain) - self.fees
        return (
            self.symbol,
            "long" if self.long else "short",
            self.entry_at,
            exit_at,
            self.largest,
            self.entered_value / self.entered,
            self.exited_value / self.exited if self.exited else np.nan,
            self.fees,
            pnl,
            pnl / self.entered_value if self.entered_value else np.nan,
            self.entry_reason,
            reason,
            still_open,
        )


def pair_trades(orders: pd.DataFrame, prices: pd.DataFrame) -> pd.DataFrame:
    """Orders paired into round trips.

    Args:
        orders: one row per filled order in the order of execution, as `Result.orders`.
        prices: time by symbol, close; the last one known marks a position that is still open.

    Returns:
        One row per round trip, by time of entry: symbol, side ("long", "short"), entry_at and exit_at (time of the
        first and the last fill; NaT where still open), bars (from the one to the other, or to the last bar), amount
        (largest held, base currency), entry_price and exit_price (averages; an open rest counts at its mark), fees,
        pnl (quote currency, after fees), return (pnl over the notional of all entries), entry_reason, exit_reason (of
        the first and the last order; empty where still open), open.
    """
    index = pd.DatetimeIndex(prices.index)
    closed: list[tuple[object, ...]] = []
    trips: dict[str, _Trip] = {}
    filled = pd.DatetimeIndex(orders["filled_at"])
    buys = (orders["side"] == "buy").tolist()
    for at, symbol, buy, amount, price, fee, reason in zip(
        range(len(orders)),
        orders["symbol"].tolist(),
        buys,
        orders["amount"].tolist(),
        orders["price"].tolist(),
        orders["fee"].tolist(),
        orders["reason"].tolist(),
        strict=True,
    ):
        trip = trips.get(symbol)
        if trip is not None and trip.long != buy:
            rest = amount - trip.held
            if rest <= FLAT * trip.largest:
                trip.leave(amount, price, fee)
                if trip.held <= FLAT * trip.largest:
                    closed.append(trip.row(at, reason, False))
                    del trips[symbol]
                continue
            share = trip.held / amount
            trip.leave(trip.held, price, fee * share)
            closed.append(trip.row(at, reason, False))
            trip = trips[symbol] = _Trip(symbol, buy, at, reason)
            trip.enter(rest, price, fee * (1.0 - share))
            continue
        if trip is None:
            trip = trips[symbol] = _Trip(symbol, buy, at, reason)
        trip.enter(amount, price, fee)
    for symbol, trip in trips.items():
        closes = prices[symbol].to_numpy(dtype=np.float64)
        known = np.flatnonzero(~np.isnan(closes))
        trip.leave(trip.held, float(closes[known[-1]]) if len(known) else np.nan, 0.0)
        closed.append(trip.row(-1, "", True))
    return _table(closed, filled, index)


def _table(rows: list[tuple[object, ...]], filled: pd.DatetimeIndex, index: pd.DatetimeIndex) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True)) if rows else [()] * 13
    symbol, side, entry, leave, amount, entry_price, exit_price, fees, pnl, fraction, why, why_not, still = columns
    entries = filled[np.asarray(entry, dtype=np.int64)]
    last = np.asarray(leave, dtype=np.int64)
    open_now = np.asarray(still, dtype=bool)
    exits = filled[last] if len(filled) else filled
    until = np.where(open_now, len(index) - 1, index.searchsorted(exits))
    numbers = {
        "amount": amount,
        "entry_price": entry_price,
        "exit_price": exit_price,
        "fees": fees,
        "pnl": pnl,
        "return": fraction,
    }
    table = pd.DataFrame(
        {
            "symbol": pd.array(symbol, dtype="str"),
            "side": pd.array(side, dtype="str"),
            "entry_at": entries,
            "exit_at": exits.where(~open_now),
            "bars": (until - index.searchsorted(entries)).astype(np.int64),
            **{name: np.asarray(values, dtype=np.float64) for name, values in numbers.items()},
            "entry_reason": pd.array(why, dtype="str"),
            "exit_reason": pd.array(why_not, dtype="str"),
            "open": open_now,
        },
        columns=list(TRADE_COLUMNS),
    )
    order = np.argsort(np.asarray(entry, dtype=np.int64), kind="stable")
    return table.iloc[order].reset_index(drop=True)
