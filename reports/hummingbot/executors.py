"""The executors of a run as a table, and the fills and positions that they come to on an account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from data.market import Market
from reports.hummingbot.rules import CLOSE_TYPES
from reports.hummingbot.simulation import Lives

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


def executor_table(
    market: Market, lives: Sequence[Lives], trade_cost: float, levels: Sequence[str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The executors of all symbols in the order of creation, and their fills; `BaselineRun` tells the columns.

    Args:
        market: the bars.
        lives: of each symbol, bars by their position in the market.
        trade_cost: cost of one leg, a fraction of the entry's notional.
        levels: names of the controller's orders; None where it has one kind.
    """
    close = market.close.to_numpy(dtype=np.float64)
    column = np.repeat(np.arange(len(lives)), [len(life.opened) for life in lives])
    order = np.lexsort((column, _joined(lives, "opened")))

    def of_all(name: str) -> np.ndarray:
        return _joined(lives, name)[order]

    column = column[order]
    opened, closed, amount, notional = (of_all(name) for name in ("opened", "closed", "amount", "notional"))
    legs = _leg_table(market, lives, trade_cost, order)
    executors = pd.DataFrame(
        {
            "symbol": np.asarray(market.symbols, dtype=object)[column],
            "opened_at": market.index[opened],
            "closed_at": market.index[closed],
            "side": np.where(of_all("side") > 0, "BUY", "SELL"),
            "amount": amount,
            "entry_price": _entry_prices(legs, len(order)),
            "close_price": close[closed, column],
            "close_type": [CLOSE_TYPES[code] for code in of_all("kind").tolist()],
            "pnl_pct": of_all("fraction"),
            "pnl": of_all("pnl"),
            "fees": 2.0 * trade_cost * notional,
            "volume": 2.0 * notional,
        },
        columns=list(EXECUTOR_COLUMNS),
    ).astype({"symbol": "str", "side": "str", "close_type": "str"})
    if levels is not None:
        executors["level_id"] = np.asarray(levels, dtype=object)[of_all("level")]
        executors = executors.astype({"level_id": "str"})
    kinds = executors["close_type"].to_numpy(dtype=object)
    legs["close_type"] = kinds[legs["executor"].to_numpy()]
    return executors, legs.astype({"close_type": "str"})


def _joined(lives: Sequence[Lives], name: str) -> np.ndarray:
    return np.concatenate([getattr(life, name) for life in lives])


def _leg_table(market: Market, lives: Sequence[Lives], trade_cost: float, order: np.ndarray) -> pd.DataFrame:
    """The fills of all executors, in the order of the executors and of their fills."""
    close = market.close.to_numpy(dtype=np.float64)
    counts = [len(life.opened) for life in lives]
    first = np.cumsum([0, *counts[:-1]])
    column = np.repeat(np.arange(len(lives)), [len(life.legs.executor) for life in lives])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))

    def of_all(name: str) -> np.ndarray:
        return np.concatenate([getattr(life.legs, name) for life in lives])

    own = of_all("executor") + first[column]
    executor = place[own]
    ranks = np.argsort(executor, kind="stable")
    column, executor, own = column[ranks], executor[ranks], own[ranks]
    opened, closed, amount, notional, booked = (
        of_all(name)[ranks] for name in ("opened", "closed", "amount", "notional", "booked")
    )
    side = _joined(lives, "side")[own]
    return pd.DataFrame(
        {
            "executor": executor,
            "symbol": np.asarray(market.symbols, dtype=object)[column],
            "opened_at": market.index[opened],
            "closed_at": market.index[closed],
            "side": np.where(side > 0, "BUY", "SELL"),
            "amount": amount,
            "entry_price": close[opened, column],
            "close_price": close[closed, column],
            "fees": 2.0 * trade_cost * notional,
            "booked": booked.astype(bool),
        }
    ).astype({"symbol": "str", "side": "str"})


def _entry_prices(legs: pd.DataFrame, count: int) -> np.ndarray:
    """What each executor entered at: the mean of its booked fills, NaN without one."""
    booked = legs[legs["booked"]]
    executor, amount = booked["executor"].to_numpy(), booked["amount"].to_numpy()
    price = booked["entry_price"].to_numpy()
    fills = np.bincount(executor, minlength=count)
    prices = np.full(count, np.nan)
    prices[executor] = price  # of a single fill its own price, to the last bit
    several = fills > 1
    if several.any():
        total = np.bincount(executor, weights=amount, minlength=count)
        paid = np.bincount(executor, weights=amount * price, minlength=count)
        prices[several] = paid[several] / total[several]
    return prices


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


def fills_of(legs: pd.DataFrame, market: Market) -> Fills:
    """What the executors bought and sold; each fee is half a leg's.

    On a bar exits go before entries, as the slots of the former serve the latter, but an executor that ends on the bar
    it was created on is entered first.
    """
    opened = market.index.get_indexer(pd.DatetimeIndex(legs["opened_at"]))
    closed = market.index.get_indexer(pd.DatetimeIndex(legs["closed_at"]))
    bar = np.concatenate([opened, closed])
    turn = np.concatenate([np.ones_like(opened), np.where(closed > opened, 0, 2)])
    order = np.lexsort((turn, bar))
    column = pd.Index(market.symbols).get_indexer(pd.Index(legs["symbol"]))
    amount = legs["amount"].to_numpy() * np.where(legs["side"] == "BUY", 1.0, -1.0)
    fee = legs["fees"].to_numpy() / 2.0
    prices = (legs["entry_price"].to_numpy(), legs["close_price"].to_numpy())
    reasons = (np.full(len(legs), "signal", dtype=object), legs["close_type"].to_numpy(dtype=object))
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
