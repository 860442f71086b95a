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
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from data.atomic import replacing
from data.errors import ValidationError
from engine.guard import RULES, VERDICTS

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from engine.trade_kernel import Trips

ORDER_COLUMNS: Final = ("decided_at", "filled_at", "symbol", "side", "amount", "price", "fee", "reason")
EVENT_COLUMNS: Final = ("at", "decided_at", "symbol", "verdict", "rule", "wanted", "allowed")
CHARGE_COLUMNS: Final = ("at", "symbol", "kind", "paid")
_FORMAT: Final = "ladder.result.2"
_TABLES: Final = ("orders", "risk_events", "charges")


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
            it), filled_at (opening time of the bar in which it filled), symbol, side ("buy" or "sell"), amount
            (base currency, positive), price (quote per base, slippage included), fee (quote), reason.
        positions: time by symbol, amount held at the bar's close, negative where short.
        prices: time by symbol, close; NaN where the symbol has no bar.
        risk_events: one row per verdict on an order and per halt: at (bar), decided_at (NaT for a halt), symbol ("" for
            a halt), verdict ("allowed", "cut", "blocked", "halt", "resume"), rule (the field of `RiskLimits`, or "cash"
            where cash could not pay), wanted and allowed (signed amounts, NaN for a halt). Without limits, what cash
            cut alone.
        charges: one row per bar and symbol that was charged: at, symbol, kind ("funding", "borrow"), paid (quote
            currency, negative where received).
        high, low: time by symbol, the bars' ranges, for the excursions of trades; None where they are not known.
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
    risk_events: pd.DataFrame = field(default_factory=lambda: _no_rows(EVENT_COLUMNS))
    charges: pd.DataFrame = field(default_factory=lambda: _no_rows(CHARGE_COLUMNS))
    high: pd.DataFrame | None = None
    low: pd.DataFrame | None = None

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
    def trips(self) -> Trips:
        """Round trips as arrays; `trades` is the table of them."""
        from engine.trades import trips_of

        return trips_of(self.orders, self.prices, self.high, self.low, self.charges, self._flat, self._fee_in_bought)

    @cached_property
    def trades(self) -> pd.DataFrame:
        """Round trips, entries and exits paired by average cost; see `engine.trades.trade_table` for the columns."""
        from engine.trades import trade_table

        return trade_table(self.trips, self.orders, pd.DatetimeIndex(self.prices.index))

    @property
    def _fee_in_bought(self) -> bool:
        costs = self.meta.get("costs")
        return isinstance(costs, Mapping) and costs.get("fee_in") == "bought"

    @property
    def _flat(self) -> np.ndarray | None:
        """By symbol, the amount below which nothing is held: what fees in coins leave, less than a step."""
        if not self._fee_in_bought:
            return None
        return np.array([self.meta["venue"][symbol]["amount_step"] for symbol in self.prices.columns], dtype=np.float64)

    def statement(self) -> pd.Series:
        """Where the money went, quote currency: the initial cash and what was won and paid give the final equity.

        initial_cash, realised and unrealised (of prices alone, against average cost), fees, funding, borrow (paid, so
        they are taken off), final_equity (the broker's own), and unexplained: what the sum lacks to it, a rounding
        error.
        """
        from engine.trades import price_gains

        realised, unrealised = price_gains(self.trips, self.prices)
        fees = float(self.orders["fee"].sum())
        paid = self.charges.groupby("kind")["paid"].sum()
        funding, borrow = float(paid.get("funding", 0.0)), float(paid.get("borrow", 0.0))
        final = float(self.equity.iloc[-1]) if len(self.equity) else self.cash
        explained = self.cash + realised + unrealised - fees - funding - borrow
        return pd.Series(
            {
                "initial_cash": self.cash,
                "realised": realised,
                "unrealised": unrealised,
                "fees": fees,
                "funding": funding,
                "borrow": borrow,
                "final_equity": final,
                "unexplained": final - explained,
            },
            name=self.name,
        )

    def since(self, time: pd.Timestamp) -> Result:
        """The run from a bar on, as if it had begun there: for a strategy that had to know earlier bars to decide.

        Args:
            time: opening time of the first bar that is to count, UTC.

        Raises:
            ValidationError: it is no bar of the run, or something was decided, held or charged before it.
        """
        index = pd.DatetimeIndex(self.equity.index)
        if time not in index:
            raise ValidationError(f"{self.name}: since({time}): no bar of the run opens then")
        first = int(index.searchsorted(time))
        orders, events, charges = self.orders, self.risk_events, self.charges
        before = (
            int((orders["decided_at"] < time).sum()),
            int((events["at"] < time).sum()),
            int((charges["at"] < time).sum()),
        )
        if any(before) or self.positions.iloc[:first].to_numpy().any():
            raise ValidationError(
                f"{self.name}: since({time}): {before[0]} orders, {before[1]} risk events and {before[2]} charges lie "
                "before it; begin where the first decision is"
            )
        rows = slice(first, None)
        return replace(
            self,
            equity=self.equity.iloc[rows],
            positions=self.positions.iloc[rows],
            prices=self.prices.iloc[rows],
            high=None if self.high is None else self.high.iloc[rows],
            low=None if self.low is None else self.low.iloc[rows],
            meta={**self.meta, "bars": len(index) - first, "bars_before": first},
        )

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
        panels = {"position": self.positions, "price": self.prices, "high": self.high, "low": self.low}
        for kind, table in panels.items():
            if table is not None:
                columns |= {f"{kind}:{symbol}": table[symbol].to_numpy() for symbol in table.columns}
        tables = {b"ladder." + name.encode(): _packed(getattr(self, name)) for name in _TABLES}
        head = {
            "format": _FORMAT,
            "name": self.name,
            "broker": self.broker,
            "timeframe": self.timeframe,
            "cash": self.cash,
            "symbols": [str(symbol) for symbol in self.positions.columns],
            "meta": dict(self.meta),
        }
        table = pa.table(columns).replace_schema_metadata({b"ladder.head": json.dumps(head).encode(), **tables})
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
            positions=panel("position"),
            prices=panel("price"),
            high=panel("high") if "high:" + str(head["symbols"][0]) in table.column_names else None,
            low=panel("low") if "low:" + str(head["symbols"][0]) in table.column_names else None,
            meta=head["meta"],
            **{name: pd.read_parquet(io.BytesIO(metadata[b"ladder." + name.encode()])) for name in _TABLES},
        )


def _packed(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _no_rows(columns: tuple[str, ...]) -> pd.DataFrame:
    """An empty table of events or charges, typed as a full one is."""
    times, numbers = ("at", "decided_at"), ("wanted", "allowed", "paid")
    kinds = {
        name: "datetime64[ns, UTC]" if name in times else "float64" if name in numbers else "str" for name in columns
    }
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()}, columns=list(columns))


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


def event_table(
    index: pd.DatetimeIndex,
    symbols: tuple[str, ...],
    *,
    row: np.ndarray,
    decided: np.ndarray,
    column: np.ndarray,
    verdict: np.ndarray,
    rule: np.ndarray,
    wanted: np.ndarray,
    allowed: np.ndarray,
) -> pd.DataFrame:
    """The `risk_events` table from one array per column: bars and symbols by position, -1 for none."""
    return pd.DataFrame(
        {
            "at": index[row],
            "decided_at": index[decided].where(decided >= 0),
            "symbol": pd.array(["", *symbols], dtype="str").take(column + 1),
            "verdict": pd.array(VERDICTS, dtype="str").take(verdict),
            "rule": pd.array(RULES, dtype="str").take(rule),
            "wanted": wanted,
            "allowed": allowed,
        },
        columns=list(EVENT_COLUMNS),
    )


def charge_table(index: pd.DatetimeIndex, symbols: tuple[str, ...], paid: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The `charges` table from arrays of what was paid by bar and symbol, each (T, N), or (0, 0) for nothing."""
    kinds = list(paid)
    places = [np.nonzero(table) for table in paid.values()]
    rows = np.concatenate([row for row, _ in places])
    kind = np.repeat(np.arange(len(kinds)), [len(row) for row, _ in places])
    order = np.argsort(rows, kind="stable")
    return pd.DataFrame(
        {
            "at": index[rows[order]],
            "symbol": pd.array(list(symbols), dtype="str").take(
                np.concatenate([column for _, column in places])[order]
            ),
            "kind": pd.array(kinds, dtype="str").take(kind[order]),
            "paid": np.concatenate([table[place] for table, place in zip(paid.values(), places, strict=True)])[order],
        },
        columns=list(CHARGE_COLUMNS),
    )
