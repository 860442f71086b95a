"""What the real Hummingbot is asked to run, and what it gave back; on the way in files that keep every number exact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from data.candles import CANDLE_COLUMNS
from data.errors import ValidationError
from reports.hummingbot.executors import EXECUTOR_COLUMNS

CONTROLLERS: Final = ("signal", "bollinger_v1", "macd_bb_v1", "supertrend_v1", "dman_v3", "pmm_simple")
OPTIONS: Final = ("drop_one_sided", "takes_profit", "wall_clock")
_FURTHER_COLUMNS: Final = ("level_id", "type", "filled_at", "average_price")


@dataclass(frozen=True, eq=False)
class RealJob:
    """One backtest for the real engine.

    Attributes:
        candles: open, high, low, close, volume of one symbol, indexed by the bars' opening times (UTC); bars with a NaN
            are left out. Further columns go along to a controller of the user's own.
        interval: length of a bar, such as "1h".
        config: the controller's settings by the keys of Hummingbot's YAML files.
        controller: "signal", or a name of `CONTROLLERS`, or with `controllers_dir` any.
        signal: 1, -1 or 0 at each bar, for the controller "signal"; bars where it is NaN are dropped by the engine.
        target_pct: what multiplies the barriers, for the controller "signal".
        symbol: as ladder writes it, "BTC/USDT".
        connector: Hummingbot's name of the exchange; it decides what a market maker does about its coins.
        trade_cost: cost of one leg, a fraction of the notional.
        controllers_dir: a Hummingbot checkout, or its `controllers` folder: the controller comes from the file there.
        options: `drop_one_sided` (supertrend_v1: leave out the columns that are empty on the other side),
            `takes_profit`, `wall_clock` (dman_v3: whether executors get `take_profit`, and the time of day).
        name: what errors call it.
    """

    candles: pd.DataFrame
    interval: str
    config: Mapping[str, Any] = field(default_factory=dict)
    controller: str = "signal"
    signal: pd.Series | None = None
    target_pct: pd.Series | float = 1.0
    symbol: str = "BTC/USDT"
    connector: str = "binance_perpetual"
    trade_cost: float = 0.0002
    controllers_dir: Path | None = None
    options: Mapping[str, bool] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        if self.controllers_dir is None and self.controller not in CONTROLLERS:
            raise ValidationError(
                f"controller {self.controller!r}: one of {', '.join(CONTROLLERS)}, or name the folder that has its "
                "file: controllers_dir"
            )
        if (self.controller == "signal") != (self.signal is not None):
            raise ValidationError(f"controller {self.controller!r}: a signal belongs to the controller 'signal' alone")
        unknown = [name for name in self.options if name not in OPTIONS]
        if unknown:
            raise ValidationError(f"options {unknown}: expected some of {', '.join(OPTIONS)}")
        missing = [name for name in CANDLE_COLUMNS if name not in self.candles.columns]
        if missing:
            raise ValidationError(f"candles of {self.symbol}: no column {', '.join(missing)}")
        index = self.candles.index
        if not isinstance(index, pd.DatetimeIndex) or index.tz is None or not index.is_monotonic_increasing:
            raise ValidationError(f"candles of {self.symbol}: index them by the bars' opening times, UTC, ascending")
        if self.known.sum() < 2:
            raise ValidationError(f"candles of {self.symbol}: {self.known.sum()} complete bars; a backtest needs two")

    @property
    def known(self) -> np.ndarray:
        """Which candles are complete, (T,)."""
        return np.asarray(self.candles[list(CANDLE_COLUMNS)].notna().all(axis=1).to_numpy())

    @property
    def trading_pair(self) -> str:
        """The symbol as Hummingbot writes it: BTC-USDT."""
        return self.symbol.partition(":")[0].replace("/", "-")

    def write(self, stem: Path) -> None:
        """Lay the job down as `stem`.json and `stem`.npz."""
        candles = self.candles[self.known]
        times = pd.DatetimeIndex(candles.index)
        # Hummingbot's own feed has times as floats, and its backtester, which slices by them, fails with whole numbers.
        arrays: dict[str, Any] = {"bar_timestamp": times.as_unit("ns").asi8 / 1e9}
        arrays |= {f"bar_{name}": candles[name].to_numpy(dtype=np.float64) for name in candles}
        if self.signal is not None:
            for name, given in (("signal", self.signal), ("target_pct", self.target_pct)):
                column = pd.Series(given, index=self.candles.index) if not isinstance(given, pd.Series) else given
                if not column.index.equals(self.candles.index):
                    raise ValidationError(f"{name}: index it by the candles' times")
                arrays[name] = column.to_numpy(dtype=np.float64)[self.known]
        facts = {
            "name": self.name or self.controller,
            "controller": self.controller,
            "config": dict(self.config),
            "connector": self.connector,
            "trading_pair": self.trading_pair,
            "interval": self.interval,
            "trade_cost": float(self.trade_cost),
            "controllers_dir": None if self.controllers_dir is None else str(self.controllers_dir),
            "options": dict(self.options),
        }
        with stem.with_suffix(".npz").open("wb") as file:
            np.savez(file, **arrays)
        stem.with_suffix(".json").write_text(json.dumps(facts, allow_nan=False), encoding="utf-8")


@dataclass(frozen=True, eq=False)
class RealRun:
    """What the real engine made of a job.

    Attributes:
        job: what it was asked.
        executors: one row per executor in the order of creation, `EXECUTOR_COLUMNS` and: level_id ("" without levels),
            type (Hummingbot's name of the executor's kind), filled_at (the first booked fill; NaT for none),
            average_price (Hummingbot's own figure: of its order prices). amount and entry_price of executors that
            average in are NaN: Hummingbot does not report them. volume is what Hummingbot calls filled_amount_quote.
        pnl: profit at each bar that the engine saw, quote currency.
        pnl_table: its parts, and the executors and volume that Hummingbot counts.
        results: the figures that Hummingbot prints.
        features: the numbers that the controller computed, on the bars that were left.
        rows: bars left after bars with a NaN were dropped.
        created: executors that the controller asked for; failed of them were not taken on (Hummingbot's FAILED).
        failed: see `created`.
        seconds: of the backtest alone.
        versions: of hummingbot and the libraries that decide its numbers.
        network: the layers that refused the network.
        failure: what Hummingbot raised, "" if nothing; tables are empty then.
        traceback: where it did.
    """

    job: RealJob
    executors: pd.DataFrame
    pnl: pd.Series
    pnl_table: pd.DataFrame
    results: dict[str, Any]
    features: pd.DataFrame
    rows: int
    created: int
    failed: int
    seconds: float
    versions: dict[str, str]
    network: tuple[str, ...]
    failure: str = ""
    traceback: str = ""


def read_run(job: RealJob, stem: Path, versions: dict[str, str], network: tuple[str, ...]) -> RealRun:
    """What the worker left for a job at `stem`."""
    facts = json.loads(stem.with_name(stem.name + ".done.json").read_text(encoding="utf-8"))
    with np.load(stem.with_name(stem.name + ".done.npz"), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}

    def table(kind: str) -> pd.DataFrame:
        found = {name.removeprefix(kind): values for name, values in arrays.items() if name.startswith(kind)}
        return pd.DataFrame(found)

    pnl, features = (_indexed(table(kind)) for kind in ("pnl_", "feature_"))
    profit = pnl["total_pnl"] if "total_pnl" in pnl else pd.Series(dtype=np.float64, index=pnl.index)
    return RealRun(
        job=job,
        executors=_executor_frame(table("executor_"), job.symbol),
        pnl=profit.rename("pnl"),
        pnl_table=pnl,
        results=facts["results"],
        features=features,
        rows=facts["rows"],
        created=facts["created"],
        failed=facts["failed_executors"],
        seconds=np.nan if facts["seconds"] is None else facts["seconds"],
        versions=versions,
        network=network,
        failure=facts["failure"] or "",
        traceback=facts.get("traceback", ""),
    )


def _executor_frame(given: pd.DataFrame, symbol: str) -> pd.DataFrame:
    columns = [*EXECUTOR_COLUMNS, *_FURTHER_COLUMNS]
    if given.empty:
        given = pd.DataFrame(columns=columns, dtype=np.float64)
    table = given.assign(symbol=symbol)
    for name in ("opened_at", "closed_at", "filled_at"):
        table[name] = _times(table[name].to_numpy())
    texts = dict.fromkeys(("symbol", "side", "close_type", "level_id", "type"), "str")
    return table[columns].astype(texts)


def _indexed(table: pd.DataFrame) -> pd.DataFrame:
    if table.empty:
        return pd.DataFrame(index=_times(np.empty(0)))
    return table.drop(columns="timestamp").set_index(_times(table["timestamp"].to_numpy()))


def _times(seconds: np.ndarray) -> pd.DatetimeIndex:
    """Bars' opening times from seconds, which are whole; NaN is NaT."""
    whole = np.where(np.isnan(seconds), 0, seconds).round().astype(np.int64)
    times = whole.astype("datetime64[s]").astype("datetime64[ns]")
    times[np.isnan(seconds)] = np.datetime64("NaT")
    return pd.DatetimeIndex(times, name="time").tz_localize("UTC")
