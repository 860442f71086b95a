"""What barriers cost: `backtest` with every exit against without any, and `paper` against backtrader's own brackets.

Compared: SmaCross(20, 50) on one symbol with fee and slippage, over 67,311 hourly bars (the bundled sample's 35,000
where that file is absent). The backtests go from the candles to orders, equity and figures; the one with exits has a
stop, a profit, a trailing stop and a time limit. `paper` has a stop and a profit, for these a bracket of backtrader can
hold.

Why it is fair: the bare strategy gets the entries' bars, sizes and bracket prices; it computes no signal, sizes
nothing, keeps no statistics, and asks for the account's value once a bar. Its brackets begin a bar later than ours and
so may leave at other bars; that it opened as many positions is asserted before anything is timed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import backtrader as bt
import pandas as pd

from benchmarks.bench_backtest import CASH, FAST, FEE, SLIPPAGE, SLOW, load_market
from benchmarks.bench_paper import candles_of
from benchmarks.timing import best_seconds, show, verdict
from data import Market
from engine import Costs, Exits, Result, backtest, paper
from research.strategies import SmaCross

GOAL_BACKTEST, GOAL_PAPER = 2.0, 2.0
ROUNDS_BACKTEST, ROUNDS_PAPER = 15, 5
COSTS = Costs(FEE, SLIPPAGE)
PLAIN = SmaCross(FAST, SLOW, weight=0.9)
BRACKET = replace(PLAIN, exits=Exits(stop_loss=0.02, take_profit=0.03))
FULL = replace(
    PLAIN, exits=Exits(stop_loss=0.02, take_profit=0.03, trailing=(0.01, 0.01), time_limit=pd.Timedelta("24h"))
)


class Bracketed(bt.Strategy):  # type: ignore[misc]
    """Sends the brackets it is given, amount, stop and profit by the row that decides them; leaves at other rows."""

    params = (("entries", None), ("leaves", None))

    def __init__(self) -> None:
        self.opened = self.left = 0
        self.equity: list[float] = []
        self._bracket: list[Any] = []

    def notify_order(self, order: Any) -> None:
        """Count what was filled."""
        if order.status == order.Completed:
            if order.isbuy():
                self.opened += 1
            else:
                self.left += 1

    def next(self) -> None:
        """Leave what a cross ends, open what one begins, and mark the account."""
        row = len(self) - 1
        if row in self.p.leaves and self.position:
            for order in self._bracket[1:]:
                self.cancel(order)
            self.close()
        elif row in self.p.entries and not self.position:
            amount, stop, profit = self.p.entries[row]
            self._bracket = self.buy_bracket(size=amount, exectype=bt.Order.Market, stopprice=stop, limitprice=profit)
        self.equity.append(self.broker.getvalue())


def run_bracketed(
    candles: pd.DataFrame, entries: dict[int, tuple[float, float, float]], leaves: frozenset[int]
) -> Bracketed:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=candles))
    cerebro.broker.set_cash(CASH)
    cerebro.broker.setcommission(commission=FEE)
    cerebro.broker.set_slippage_perc(SLIPPAGE, slip_open=True, slip_match=True, slip_out=True)
    cerebro.broker.set_checksubmit(False)
    cerebro.addstrategy(Bracketed, entries=entries, leaves=leaves)
    strategy: Bracketed = cerebro.run()[0]
    return strategy


def run_backtest(strategy: SmaCross, market: Market) -> tuple[Result, pd.Series]:
    result = backtest(strategy, market, cash=CASH, costs=COSTS)
    return result, result.stats()


def entries_of(result: Result) -> dict[int, tuple[float, float, float]]:
    """By the deciding row: a small amount, so that plain backtrader never lacks cash, and the bracket's prices."""
    buys = result.orders[result.orders["side"] == "buy"]
    rows = result.equity.index.get_indexer(pd.Index(buys["decided_at"])).tolist()
    prices = buys["price"].tolist()
    return {row: (0.01, price * 0.98, price * 1.03) for row, price in zip(rows, prices, strict=True)}


def main() -> int:
    market = load_market()
    plain, full = run_backtest(PLAIN, market)[0], run_backtest(FULL, market)[0]
    reasons = set(full.orders["reason"])
    assert {"stop loss", "take profit", "trailing stop", "time limit"} <= reasons, reasons
    seconds = best_seconds(
        {
            "backtest, no exits": lambda: run_backtest(PLAIN, market),
            "backtest, four exits": lambda: run_backtest(FULL, market),
        },
        ROUNDS_BACKTEST,
    )
    show(
        f"exits: {market.symbols[0]}, {len(market):,} bars, {len(plain.orders):,} and {len(full.orders):,} orders, "
        f"best of {ROUNDS_BACKTEST}",
        seconds,
    )
    missed = verdict(seconds["backtest, four exits"] / seconds["backtest, no exits"], GOAL_BACKTEST)

    ours = paper(BRACKET, market, cash=CASH, costs=COSTS)
    candles, entries = candles_of(market), entries_of(ours)
    sells = ours.orders[(ours.orders["side"] == "sell") & (ours.orders["reason"] == "target")]
    leaves = frozenset(ours.equity.index.get_indexer(pd.Index(sells["decided_at"])).tolist())
    bare = run_bracketed(candles, entries, leaves)
    assert bare.opened >= 0.95 * len(entries) > 100, (bare.opened, len(entries))
    assert bare.left >= 0.95 * bare.opened
    seconds = best_seconds(
        {
            "backtrader, its brackets": lambda: run_bracketed(candles, entries, leaves),
            "ladder paper, stop and profit": lambda: paper(BRACKET, market, cash=CASH, costs=COSTS),
        },
        ROUNDS_PAPER,
    )
    show(
        f"paper with exits: {len(market):,} bars, {bare.opened:,} and {len(entries):,} positions, "
        f"best of {ROUNDS_PAPER}",
        seconds,
        {name: f"{len(market) / value:,.0f} bars/s" for name, value in seconds.items()},
    )
    return missed | verdict(seconds["ladder paper, stop and profit"] / seconds["backtrader, its brackets"], GOAL_PAPER)


if __name__ == "__main__":
    raise SystemExit(main())
