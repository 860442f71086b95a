"""What a run leaves behind, the same from every broker: equity, orders, positions, and what they say.

result = backtest(SmaCross(20, 50), market)
result.equity                      # Series by bar, UTC, quote currency, marked at the close
result.orders                      # one row per order
result.stats()                     # the figures of a report
result.plot().show()
result.to_parquet("run.parquet")   # Result.read_parquet gives it back
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from data.atomic import replacing
from data.errors import ValidationError

if TYPE_CHECKING:
    import plotly.graph_objects as go

ORDER_COLUMNS: Final = ("decided_at", "filled_at", "symbol", "side", "amount", "price", "fee", "reason")
_FORMAT: Final = "ladder.result.1"


@dataclass(frozen=True, eq=False)
class Result:
    """One run of one strategy through one broker.

    Attributes:
        name: the strategy and its parameters, such as "SmaCross(fast=20, slow=50)".
        broker: who executed it: "backtest", "paper", "hummingbot", ...
        timeframe: the bars' length, such as "1h".
        cash: what the run began with, in quote currency.
        equity: by bar (UTC, labelled by the bar's opening time), quote currency: cash and positions at the bar's close.
        orders: one row per filled order, in the order of execution: decided_at (label of the bar whose close decided
            it), filled_at (opening time of the bar at whose open it filled), symbol, side ("buy" or "sell"), amount
            (base currency, positive), price (quote per base, slippage included), fee (quote), reason.
        positions: time by symbol, amount held at the bar's close, negative where short.
        prices: time by symbol, close; NaN where the symbol has no bar.
        meta: what is needed to tell this run from another: parameters, costs, venue, data fingerprint, versions.
    """

    name: str
    broker: str
    timeframe: str
    cash: float
    equity: pd.Series
    orders: pd.DataFrame
    positions: pd.DataFrame
    prices: pd.DataFrame
    meta: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def returns(self) -> pd.Series:
        """Fractional change of equity per bar; the first bar's is against the initial cash."""
        before = self.equity.shift(1)
        before.iloc[:1] = self.cash
        return (self.equity / before - 1.0).rename("returns")

    @cached_property
    def weights(self) -> pd.DataFrame:
        """Position value over equity at each close, time by symbol; without a bar, marked at the last close."""
        return self.positions.mul(self.prices.ffill().fillna(0.0)).div(self.equity, axis=0)

    @cached_property
    def trades(self) -> pd.DataFrame:
        """Round trips, entries and exits paired by average cost; see `engine.trades.pair_trades`."""
        from engine.trades import pair_trades

        return pair_trades(self.orders, self.prices)

    def stats(self) -> pd.Series:
        """Return, risk, cost and trade figures; see `engine.metrics.summary` for each one's formula."""
        from engine.metrics import summary

        return summary(self)

    def plot(self) -> go.Figure:
        """Price with fills, equity, drawdown and weights over one time axis (plotly)."""
        from engine.plots import plot_result

        return plot_result(self)

    def __repr__(self) -> str:
        total = self.equity.iloc[-1] / self.cash - 1.0 if len(self.equity) else 0.0
        return (
            f"Result({self.name}, {self.broker}; {len(self.equity):,} bars of {self.timeframe}, "
            f"{len(self.orders):,} orders, return {total:+.2%})"
        )

    def to_parquet(self, path: str | Path) -> Path:
        """Write everything to one Parquet file, beside the target first and renamed when complete."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, Any] = {"time": self.equity.index, "equity": self.equity.to_numpy()}
        for kind, table in (("position", self.positions), ("price", self.prices)):
            columns |= {f"{kind}:{symbol}": table[symbol].to_numpy() for symbol in table.columns}
        orders = io.BytesIO()
        self.orders.to_parquet(orders, index=False)
        head = {
            "format": _FORMAT,
            "name": self.name,
            "broker": self.broker,
            "timeframe": self.timeframe,
            "cash": self.cash,
            "symbols": [str(symbol) for symbol in self.positions.columns],
            "meta": dict(self.meta),
        }
        table = pa.table(columns).replace_schema_metadata(
            {b"ladder.head": json.dumps(head).encode(), b"ladder.orders": orders.getvalue()}
        )
        target = Path(path)
        with replacing(target) as beside:
            pq.write_table(table, beside)
        return target

    @classmethod
    def read_parquet(cls, path: str | Path) -> Result:
        """Read what `to_parquet` wrote.

        Raises:
            ValidationError: the file is no Parquet file or not one of a Result.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not Path(path).is_file():
            raise ValidationError(f"{path}: cannot be read as a Result: no such file")
        try:
            table = pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise ValidationError(f"{path}: cannot be read as a Result: {error}") from error
        metadata = table.schema.metadata or {}
        if b"ladder.head" not in metadata:
            raise ValidationError(f"{path}: a Parquet file, but not one that Result.to_parquet wrote")
        head = json.loads(metadata[b"ladder.head"])
        if head["format"] != _FORMAT:
            raise ValidationError(f"{path}: format {head['format']!r}, this version reads {_FORMAT!r}")
        index = pd.DatetimeIndex(table["time"].to_pandas(), name="time")

        def panel(kind: str) -> pd.DataFrame:
            data = {symbol: table[f"{kind}:{symbol}"].to_numpy() for symbol in head["symbols"]}
            return pd.DataFrame(data, index=index).rename_axis(columns="symbol")

        return cls(
            name=head["name"],
            broker=head["broker"],
            timeframe=head["timeframe"],
            cash=head["cash"],
            equity=pd.Series(table["equity"].to_numpy(), index=index, name="equity"),
            orders=pd.read_parquet(io.BytesIO(metadata[b"ladder.orders"])),
            positions=panel("position"),
            prices=panel("price"),
            meta=head["meta"],
        )


def order_table(
    index: pd.DatetimeIndex,
    symbols: tuple[str, ...],
    *,
    decided: np.ndarray,
    filled: np.ndarray,
    column: np.ndarray,
    amount: np.ndarray,
    price: np.ndarray,
    fee: np.ndarray,
    reason: np.ndarray,
) -> pd.DataFrame:
    """The `orders` table from one array per column: bars and symbols by position, amount signed (+ buy, - sell)."""
    return pd.DataFrame(
        {
            "decided_at": index[decided],
            "filled_at": index[filled],
            "symbol": pd.array(list(symbols), dtype="str").take(column),
            "side": pd.array(["sell", "buy"], dtype="str").take((amount > 0).astype(np.int64)),
            "amount": np.abs(amount),
            "price": price,
            "fee": fee,
            "reason": pd.array(reason, dtype="str"),
        },
        columns=list(ORDER_COLUMNS),
    )
