"""The executors of a run as a table, and the fills and positions that they come to on an account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from data.market import Market
from reports.hummingbot.rules import CLOSE_TYPES

EXECUTOR_COLUMNS: Final = (
    "symbol",
    "opened_at",
    "closed_at",
    "side",
    "amount",
    "entry_price",
    "close_price",
    "close_type",
    "pnl_pct",
    "pnl",
    "fees",
    "volume",
)
# Longs and shorts whose net is below this fraction of their sum cancel out: what is left is rounding noise.
_CANCELLED: Final = 1e-12


def executor_table(market: Market, lives: Sequence[tuple[np.ndarray, np.ndarray]], trade_cost: float) -> pd.DataFrame:
    """The executors of all symbols, in the order of creation; `BaselineRun` tells the columns.

    Args:
        market: the bars.
        lives: for each symbol, the two arrays that `kernel.simulate` writes, bars by their position in the market.
        trade_cost: cost of one leg, a fraction of the entry's notional.
    """
    column = np.repeat(np.arange(len(lives)), [len(places) for places, _ in lives])
    places = np.concatenate([places for places, _ in lives])
    values = np.concatenate([values for _, values in lives])
    order = np.lexsort((column, places[:, 0]))
    column = column[order]
    opened, closed, side, kind = places[order].T
    amount, fraction, pnl, notional = values[order].T
    close = market.close.to_numpy(dtype=np.float64)
    return pd.DataFrame(
        {
            "symbol": np.asarray(market.symbols, dtype=object)[column],
            "opened_at": market.index[opened],
            "closed_at": market.index[closed],
            "side": np.where(side > 0, "BUY", "SELL"),
            "amount": amount,
            "entry_price": close[opened, column],
            "close_price": close[closed, column],
            "close_type": [CLOSE_TYPES[code] for code in kind.tolist()],
            "pnl_pct": fraction,
            "pnl": pnl,
            "fees": 2.0 * trade_cost * notional,
            "volume": 2.0 * notional,
        },
        columns=list(EXECUTOR_COLUMNS),
    ).astype({"symbol": "str", "side": "str", "close_type": "str"})


@dataclass(frozen=True, eq=False)
class Fills:
    """Entries and exits of all executors in the order of execution, one array per fact, each (2 K,).

    Attributes:
        bar: at whose close it happened, by position in the market.
        column: symbol, by position in the market.
        amount: signed, positive buys, base currency.
        price: quote per base.
        fee: quote currency.
        reason: "signal" for an entry, the close type for an exit.
    """

    bar: np.ndarray
    column: np.ndarray
    amount: np.ndarray
    price: np.ndarray
    fee: np.ndarray
    reason: np.ndarray


def fills_of(executors: pd.DataFrame, market: Market) -> Fills:
    """What the executors bought and sold; each fee is half an executor's.

    On a bar exits go before entries, as the slots of the former serve the latter, but an executor that ends on the bar
    it was created on is entered first.
    """
    opened = market.index.get_indexer(pd.DatetimeIndex(executors["opened_at"]))
    closed = market.index.get_indexer(pd.DatetimeIndex(executors["closed_at"]))
    bar = np.concatenate([opened, closed])
    turn = np.concatenate([np.ones_like(opened), np.where(closed > opened, 0, 2)])
    order = np.lexsort((turn, bar))
    column = pd.Index(market.symbols).get_indexer(pd.Index(executors["symbol"]))
    amount = executors["amount"].to_numpy() * np.where(executors["side"] == "BUY", 1.0, -1.0)
    fee = executors["fees"].to_numpy() / 2.0
    prices = (executors["entry_price"].to_numpy(), executors["close_price"].to_numpy())
    reasons = (np.full(len(executors), "signal", dtype=object), executors["close_type"].to_numpy(dtype=object))
    return Fills(
        bar=bar[order],
        column=np.concatenate([column, column])[order],
        amount=np.concatenate([amount, -amount])[order],
        price=np.concatenate(prices)[order],
        fee=np.concatenate([fee, fee])[order],
        reason=np.concatenate(reasons)[order],
    )


def positions_of(fills: Fills, shape: tuple[int, int]) -> np.ndarray:
    """Net amount held at each close, shape (T, N); exactly 0 where nothing is open or longs and shorts cancel out."""
    net, gross, count = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int64)
    entry = np.where(fills.reason == "signal", 1, -1)
    place = (fills.bar, fills.column)
    np.add.at(net, place, fills.amount)
    np.add.at(gross, place, np.abs(fills.amount) * entry)
    np.add.at(count, place, entry)
    net, gross, count = net.cumsum(axis=0), gross.cumsum(axis=0), count.cumsum(axis=0)
    return np.where((count == 0) | (np.abs(net) <= _CANCELLED * gross), 0.0, net)
