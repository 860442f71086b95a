"""Round trips: what each position earned, from flat to flat, with entries and exits at their average prices.

An order that takes a position through zero ends one trade and begins the next; its fee is split by amount. Profit is
counted from the cash of the orders themselves, so the profits of all trades add up to what the account gained: realised
and unrealised, less fees, funding and borrowing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from engine.trade_kernel import Trips

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
    "funding",
    "borrow",
    "pnl",
    "return",
    "mae",
    "mfe",
    "entry_reason",
    "exit_reason",
    "open",
)


def pair_trades(
    orders: pd.DataFrame,
    prices: pd.DataFrame,
    *,
    high: pd.DataFrame | None = None,
    low: pd.DataFrame | None = None,
    charges: pd.DataFrame | None = None,
    flat: np.ndarray | None = None,
    fee_in_bought: bool = False,
) -> pd.DataFrame:
    """Orders paired into round trips, as `trade_table` shows them.

    Args:
        orders: one row per filled order in the order of execution, as `Result.orders`.
        prices: time by symbol, close; the last one known marks a position that is still open.
        high: time by symbol; None for the closes, which miss what happened within bars.
        low: the same.
        charges: funding and borrowing, as `Result.charges`; None for none.
        flat: by symbol, the amount below which nothing is held; None for none.
        fee_in_bought: whether the fee of a buy was taken from its coins.
    """
    trips = trips_of(orders, prices, high, low, charges, flat, fee_in_bought)
    return trade_table(trips, orders, pd.DatetimeIndex(prices.index))


def trips_of(
    orders: pd.DataFrame,
    prices: pd.DataFrame,
    high: pd.DataFrame | None = None,
    low: pd.DataFrame | None = None,
    charges: pd.DataFrame | None = None,
    flat: np.ndarray | None = None,
    fee_in_bought: bool = False,
) -> Trips:
    """The arrays behind `pair_trades`, which has the same arguments."""
    from engine.trade_kernel import Fills, pair

    index, symbols = pd.DatetimeIndex(prices.index), pd.Index(prices.columns)
    buys = (orders["side"] == "buy").to_numpy(dtype=bool)
    size, price, fee = (orders[name].to_numpy(dtype=np.float64) for name in ("amount", "price", "fee"))
    if fee_in_bought:
        size = np.where(buys, size - fee / price, size)
    fills = Fills(
        row=index.searchsorted(pd.DatetimeIndex(orders["filled_at"])).astype(np.int64),
        column=symbols.get_indexer(pd.Index(orders["symbol"])).astype(np.int64),
        amount=np.where(buys, size, -size),
        price=price.copy(),
        fee=fee.copy(),
        within=orders["reason"].str.match(r"target, limit(?! expired| refused)").to_numpy(dtype=bool),
    )
    close = _array(prices)
    trips: Trips = pair(
        fills,
        np.zeros(len(symbols)) if flat is None else np.asarray(flat, dtype=np.float64),
        close if high is None else _array(high),
        close if low is None else _array(low),
        close,
        _paid(charges, "funding", index, symbols),
        _paid(charges, "borrow", index, symbols),
    )
    return trips


def _array(table: pd.DataFrame) -> np.ndarray:
    return np.array(table, dtype=np.float64, order="C")


def _paid(charges: pd.DataFrame | None, kind: str, index: pd.DatetimeIndex, symbols: pd.Index) -> np.ndarray:
    if charges is None or not len(chosen := charges[charges["kind"] == kind]):
        return np.empty((0, 0))
    paid = np.zeros((len(index), len(symbols)))
    place = index.searchsorted(pd.DatetimeIndex(chosen["at"])), symbols.get_indexer(pd.Index(chosen["symbol"]))
    np.add.at(paid, place, chosen["paid"].to_numpy(dtype=np.float64))
    return paid


def price_gains(trips: Trips, prices: pd.DataFrame) -> tuple[float, float]:
    """What prices alone won, realised and unrealised, quote currency: before fees, funding and borrowing.

    Unrealised is what is still held, at its last close less its average cost, the rests that fees in coins left among
    it.
    """
    total = float((trips.pnl + trips.fees + trips.funding + trips.borrow).sum())
    last = prices.ffill().iloc[-1].to_numpy(dtype=np.float64) if len(prices) else np.zeros(len(trips.rest))
    held = trips.rest != 0.0
    rests = float((trips.rest[held] * (last[held] - trips.rest_price[held])).sum())
    unrealised = float(trips.unrealised.sum())
    return total - unrealised, unrealised + rests


def trade_table(trips: Trips, orders: pd.DataFrame, index: pd.DatetimeIndex) -> pd.DataFrame:
    """Round trips as a table.

    Returns:
        One row per round trip, by time of entry: symbol, side ("long", "short"), entry_at and exit_at (time of the
        first and the last fill; NaT where still open), bars (from the one to the other, or to the last bar), amount
        (largest held, base currency), entry_price and exit_price (averages; an open rest counts at its mark), fees,
        funding and borrow (paid), pnl (quote currency, after all of these), return (pnl over the notional of all
        entries), mae and mfe (maximum adverse and favourable excursion: the worst and the best price while held over
        the average entry, fractions, at most and at least 0; of the exit's own bar its price alone counts),
        entry_reason, exit_reason (of the first and the last order; empty where still open), open. What was paid in the
        bar of a reversal belongs to the trade that ends there.
    """
    filled = pd.DatetimeIndex(orders["filled_at"])
    open_now = trips.exit < 0
    entries = filled[trips.entry]
    exits = filled[trips.exit] if len(filled) else filled
    until = np.where(open_now, len(index) - 1, index.searchsorted(exits))
    symbol, reason = orders["symbol"].array, orders["reason"].array
    why_not = reason.take(trips.exit)
    why_not[open_now] = ""
    return pd.DataFrame(
        {
            "symbol": symbol.take(trips.entry),
            "side": pd.array(["short", "long"], dtype="str").take(trips.long.astype(np.int64)),
            "entry_at": entries,
            "exit_at": exits.where(~open_now),
            "bars": (until - index.searchsorted(entries)).astype(np.int64),
            "amount": trips.amount,
            "entry_price": trips.entry_price,
            "exit_price": trips.exit_price,
            "fees": trips.fees,
            "funding": trips.funding,
            "borrow": trips.borrow,
            "pnl": trips.pnl,
            "return": trips.returns,
            "mae": trips.mae,
            "mfe": trips.mfe,
            "entry_reason": reason.take(trips.entry),
            "exit_reason": why_not,
            "open": open_now,
        },
        columns=list(TRADE_COLUMNS),
    )
