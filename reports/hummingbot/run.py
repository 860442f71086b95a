"""What a baseline leaves behind: its executors, and the two ways of seeing them as an account.

Hummingbot counts an executor when it is closed and not before: a position in deep water shows nothing until it ends.
`realised` keeps that series. `marked` values the same executors at every close, as any account is judged, and is what a
comparison with a strategy should use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from data.market import Market
from engine.code_version import code_version, package_versions
from engine.result import Result, order_table
from reports.hummingbot.config import ControllerConfig
from reports.hummingbot.executors import Fills, fills_of, positions_of
from reports.hummingbot.own_figures import own_figures

_NOTE: Final = (
    "Hummingbot's backtest enters and leaves at the close of the very bar that decides, and never compounds: each "
    "executor trades its part of total_amount_quote, whatever has been won or lost. Its fees are trade_cost, which "
    "stands for slippage as well (docs/hummingbot.md)."
)


@dataclass(frozen=True, eq=False)
class BaselineRun:
    """One run of a baseline.

    Attributes:
        name: what reports call it.
        market: the bars it ran on.
        cash: where equity begins, quote currency.
        config: the controller's settings.
        controller: its name and its own parameters, as JSON can hold them.
        executors: one row per executor in the order of creation: symbol, opened_at and closed_at (labels of the bars at
            whose close it was created and ended), side ("BUY" or "SELL"), amount (base currency), entry_price and
            close_price, close_type, pnl_pct (net profit over the entry's notional), pnl and fees (quote currency, both
            legs), volume (twice the entry's notional); with several kinds of orders, level_id. Entry price and volume
            are of what its profit stands for: NaN and 0 where no order filled.
        legs: one row per fill of an executor and its exit: executor (its row), symbol, side, opened_at, closed_at,
            amount, entry_price, close_price, close_type, fees (both, quote currency), booked: whether Hummingbot's
            profit has it (one that averages in forgets fills: see `reports.hummingbot.dca_kernel`).
        pnl_by_symbol: profit realised up to each bar, time by symbol, quote currency: each controller's own series. NaN
            on bars that it did not see.
        engine: who computed it: "simulated", or the real hummingbot and its release.
        engine_versions: of what decided its numbers, where that is not ours.
        dropped: by symbol, how many of its bars were left out because of a NaN.
    """

    name: str
    market: Market
    cash: float
    config: ControllerConfig
    controller: dict[str, Any]
    executors: pd.DataFrame
    legs: pd.DataFrame
    pnl_by_symbol: pd.DataFrame
    dropped: pd.Series
    engine: str = "simulated"
    engine_versions: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def pnl(self) -> pd.Series:
        """Profit realised up to each bar by all controllers, quote currency.

        As in Hummingbot, an executor that ends on the bar it was created on counts from the next bar on, so one that is
        created on the last bar is in `executors` and in `marked`, but not in this series.
        """
        return self.pnl_by_symbol.ffill().fillna(0.0).sum(axis=1).rename("pnl")

    @cached_property
    def realised(self) -> Result:
        """The run by Hummingbot's accounting: equity is cash and realised profit, whatever is open."""
        return self._result("realised profit only", self.cash + self.pnl.to_numpy())

    @cached_property
    def marked(self) -> Result:
        """The same executors marked to market: equity is cash and positions at each close.

        Half an executor's cost is paid at its entry and half at its exit. At the end everything is closed, so the final
        equity is cash and the profits of all executors.
        """
        fills = self._fills
        flow = -(fills.amount * fills.price) - fills.fee
        cash = self.cash + np.cumsum(np.bincount(fills.bar, weights=flow, minlength=len(self.market)))
        marks = self.market.close.ffill().fillna(0.0).to_numpy(dtype=np.float64)
        return self._result("marked to market", cash + (self._positions * marks).sum(axis=1))

    def own_statistics(self) -> pd.DataFrame:
        """What Hummingbot itself would report, figure by symbol; `reports.hummingbot.own_figures` tells each one."""
        columns = []
        for symbol in self.market.symbols:
            own = self.executors[self.executors["symbol"] == symbol]
            level = self.pnl_by_symbol[symbol].dropna()
            figures = own_figures(own, level, self.config.total_amount_quote)
            columns.append(pd.Series(figures, name=symbol, dtype=object))
        return pd.concat(columns, axis=1).rename_axis(columns="symbol")

    def __repr__(self) -> str:
        return (
            f"BaselineRun({self.name}; {', '.join(self.market.symbols)}, {len(self.market):,} bars of "
            f"{self.market.timeframe}, {len(self.executors):,} executors, "
            f"pnl {self.executors['pnl'].sum():+,.2f} on {self.cash:,.2f})"
        )

    @cached_property
    def _fills(self) -> Fills:
        return fills_of(self.legs[self.legs["booked"]], self.market)

    @cached_property
    def _positions(self) -> np.ndarray:
        return positions_of(self._fills, (len(self.market), len(self.market.symbols)))

    def _result(self, accounting: str, equity: np.ndarray) -> Result:
        fills, index, symbols = self._fills, self.market.index, self.market.symbols
        orders = order_table(
            index,
            symbols,
            decided=fills.bar,
            filled=fills.bar,
            column=fills.column,
            amount=fills.amount,
            price=fills.price,
            fee=fills.fee,
            reason=fills.reason,
        )
        return Result(
            name=f"{self.name}, {accounting}",
            broker="hummingbot",
            timeframe=self.market.timeframe,
            cash=self.cash,
            equity=pd.Series(equity, index=index, name="equity"),
            orders=orders,
            positions=pd.DataFrame(self._positions, index=index, columns=pd.Index(symbols, name="symbol")),
            prices=self.market.close,
            meta={**self._meta, "accounting": accounting},
        )

    @property
    def _engine_versions(self) -> dict[str, str]:
        """The other engine's versions, under names of their own."""
        return {f"hummingbot: {name}": version for name, version in self.engine_versions.items()}

    @cached_property
    def _meta(self) -> dict[str, Any]:
        return {
            "strategy": f"Hummingbot's {self.controller['controller_name']} controller, {self.engine}",
            "parameters": {**self.controller, **self.config.to_json()},
            "symbols": list(self.market.symbols),
            "bars": len(self.market),
            "dropped_bars": {str(symbol): int(count) for symbol, count in self.dropped.items()},
            "executors": len(self.executors),
            "data": self.market.fingerprint(),
            "costs": {"trade_cost": self.config.trade_cost, "slippage": 0.0},
            "notes": [_NOTE],
            "versions": {**package_versions("ladder", "numba", "numpy", "pandas"), **self._engine_versions},
            "commit": code_version(),
        }
