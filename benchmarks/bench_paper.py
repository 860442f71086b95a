"""`paper` against a bare backtrader strategy that sends the same orders over the same bars.

Compared: SmaCross(20, 50) at nine tenths of equity (so that no order has to be cut to cash, which plain backtrader
cannot do) with fee and slippage, over 67,311 hourly bars of one symbol (the bundled sample's 35,000 where that file is
absent). Both sides go from the candles to the orders and the equity at each bar; that these are equal is asserted
before anything is timed.

Why it is fair: the bare strategy is spared all thinking. Its order sizes are given, so it computes no signal, sizes
nothing, checks nothing; it keeps no statistics and asks for the account's value once a bar. It runs twice: with the
feed that backtrader ships for pandas tables, which is the goal's yardstick, and, as the least that backtrader can take,
on `paper`'s own feed that hands arrays over. Below, bars a second of `paper` on the sample's five symbols at once.
"""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from benchmarks.bench_backtest import CASH, FAST, FEE, SLIPPAGE, SLOW, load_market
from benchmarks.timing import best_seconds, show, verdict
from data import Market, load_sample
from engine import Costs, Result, Venue, paper
from engine.event_driven import _feeds
from engine.run import prepare
from research.strategies import SmaCross

GOAL = 1.3
ROUNDS = 5
STRATEGY, COSTS = SmaCross(FAST, SLOW, weight=0.9), Costs(FEE, SLIPPAGE)
FIELDS = ("open", "high", "low", "close", "volume")


class Bare(bt.Strategy):  # type: ignore[misc]
    """Sends the orders it is given: amounts (signed) by the row that decides them."""

    params = (("orders", None),)

    def __init__(self) -> None:
        self.fills: list[tuple[float, float, float]] = []
        self.equity: list[float] = []

    def notify_order(self, order: Any) -> None:
        """Keep what was filled."""
        if order.status == order.Completed:
            done = order.executed
            self.fills.append((done.size, done.price, done.comm))

    def next(self) -> None:
        """Send this bar's order, and mark the account."""
        amount = self.p.orders.get(len(self) - 1)
        if amount is not None:
            send = self.buy if amount > 0 else self.sell
            send(size=abs(amount))
        self.equity.append(self.broker.getvalue())


def run_ours(market: Market) -> Result:
    return paper(STRATEGY, market, cash=CASH, costs=COSTS)


def run_bare(feed: Any, orders: dict[int, float]) -> Bare:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(feed)
    cerebro.broker.set_cash(CASH)
    cerebro.broker.setcommission(commission=FEE)
    cerebro.broker.set_slippage_perc(SLIPPAGE, slip_open=True, slip_match=True, slip_out=True)
    cerebro.broker.set_checksubmit(False)
    cerebro.addstrategy(Bare, orders=orders)
    strategy: Bare = cerebro.run()[0]
    return strategy


def candles_of(market: Market) -> pd.DataFrame:
    symbol = market.symbols[0]
    return pd.DataFrame({field: market[field][symbol] for field in FIELDS}).tz_localize(None)


def main() -> int:
    market, five = load_market(), load_sample()
    result = run_ours(market)
    candles = candles_of(market)
    signed = np.where(result.orders["side"] == "buy", result.orders["amount"], -result.orders["amount"])
    orders = dict(
        zip(market.index.get_indexer(pd.Index(result.orders["decided_at"])).tolist(), signed.tolist(), strict=True)
    )
    prepared = prepare(STRATEGY, market, CASH, COSTS, Venue(), None, None)

    def shipped_feed() -> Bare:
        return run_bare(bt.feeds.PandasData(dataname=candles), orders)

    def array_feed() -> Bare:
        return run_bare(_feeds(prepared)[0], orders)

    for bare in (shipped_feed(), array_feed()):
        assert len(bare.fills) == len(result.orders) > 100
        assert np.allclose(bare.fills, np.column_stack([signed, result.orders[["price", "fee"]]]), rtol=1e-12, atol=0.0)
        assert np.allclose(bare.equity, result.equity, rtol=1e-9, atol=0.0)

    names = ("backtrader, its pandas feed", "ladder paper", "backtrader, array feed", "ladder paper, 5 symbols")
    runs = (shipped_feed, lambda: run_ours(market), array_feed, lambda: run_ours(five))
    seconds = best_seconds(dict(zip(names, runs, strict=True)), ROUNDS)
    at_once = seconds.pop(names[3])
    show(
        f"paper: {market.symbols[0]}, {len(market):,} bars, {len(result.orders):,} orders, best of {ROUNDS}",
        seconds,
        {name: f"{len(market) / value:,.0f} bars/s" for name, value in seconds.items()},
    )
    print(f"  {names[3]}: {len(five):,} bars of the sample in {at_once:.2f} s, {len(five) / at_once:,.0f} bars/s")
    return verdict(seconds[names[1]] / seconds[names[0]], GOAL)


if __name__ == "__main__":
    raise SystemExit(main())
