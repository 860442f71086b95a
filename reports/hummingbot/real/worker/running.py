"""One job in the real engine: its candles handed over, its controller loaded, the backtest run, the outcome kept."""
# mypy: disable-error-code="import-not-found,misc"

from __future__ import annotations

import asyncio
import importlib
import time
import traceback
from collections.abc import Mapping
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd
from hummingbot.strategy_v2.backtesting.backtesting_data_provider import BacktestingDataProvider
from hummingbot.strategy_v2.backtesting.backtesting_engine_base import BacktestingEngineBase
from hummingbot.strategy_v2.executors.dca_executor.data_types import DCAExecutorConfig
from hummingbot.strategy_v2.models.executors import CloseType

from .own_controllers import CONTROLLERS

Arrays = dict[str, np.ndarray]


class HandedCandles(BacktestingDataProvider):
    """Hummingbot's data provider with the job's candles in it, which asks no exchange for anything."""

    def __init__(self, candles: pd.DataFrame, job: Mapping[str, Any], features: pd.DataFrame | None) -> None:
        super().__init__(connectors={})
        self._candles, self._held = candles, (job["trading_pair"], job["interval"])
        self.features, self.options = features, job["options"]

    def initialize_rate_sources(self, connector_pairs: Any) -> None:
        """No rates: the controller's quote currency is the account's."""

    async def initialize_trading_rules(self, connector_name: str) -> None:
        """No rules: the backtester rounds no amount of the executors that are compared here."""

    async def get_candles_feed(self, config: Any) -> pd.DataFrame:
        """The job's candles, under the name by which they are asked for."""
        wanted = (config.trading_pair, config.interval)
        if wanted != self._held:
            raise ValueError(
                f"the controller asks for candles of {wanted[0]}, {wanted[1]}; the job holds {self._held[0]}, "
                f"{self._held[1]}"
            )
        key = self._generate_candle_feed_key(config)
        self.candles_feeds[key] = self._candles
        return self._candles


class RecordingEngine(BacktestingEngineBase):
    """The engine, which also notes what it is asked to create, in order.

    It numbers the executors. Hummingbot draws an executor's id out of 100,000 for each time stamp, and removes by id:
    of two that are created on a bar and drew the same, one would vanish. Nothing else is changed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.created: dict[str, dict[str, Any]] = {}
        self.failed = 0
        self.rows = 0

    def prepare_market_data(self) -> pd.DataFrame:
        """The engine's own, whose length is noted."""
        frame: pd.DataFrame = super().prepare_market_data()
        self.rows = len(frame)
        return frame

    def simulate_executor(self, config: Any, df: pd.DataFrame, trade_cost: float) -> Any:
        """The engine's own, whose question and answer are noted."""
        config.id = f"{len(self.created):08d}"
        simulation = super().simulate_executor(config, df, trade_cost)
        facts: dict[str, Any] = {"order": len(self.created), "opened_at": float(self.backtesting_data_provider.time())}
        self.created[config.id] = facts
        if simulation is None or simulation.close_type == CloseType.FAILED:
            self.failed += 1
            return simulation
        frame, filled = simulation.executor_simulation, simulation.fill_timestamp
        facts["filled_at"] = np.nan if filled is None else filled
        facts["entry_price"] = np.nan
        if filled is not None and not isinstance(config, DCAExecutorConfig):
            facts["entry_price"] = float(frame.loc[filled, "close"])
        return simulation


def run_job(job: Mapping[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
    """Run one job; a failure of Hummingbot's is part of the outcome.

    Args:
        job: as `reports.hummingbot.real.jobs.RealJob` writes it.
        arrays: bars ("bar_<column>") and, for the controller `signal`, "signal" and "target_pct".

    Returns:
        Facts for JSON, and arrays: executors ("executor_<column>"), profit series ("pnl_<column>"), features
        ("feature_<column>").
    """
    engine = RecordingEngine()
    bars = pd.DataFrame({name.removeprefix("bar_"): values for name, values in arrays.items() if "bar_" in name})
    facts: dict[str, Any] = {"failure": None, "results": {}, "seconds": None}
    found: Arrays = {}
    try:
        engine.backtesting_data_provider = HandedCandles(bars, job, _table(arrays))
        config = _config(job)
        start, end = bars["timestamp"].iloc[0], bars["timestamp"].iloc[-1]
        began = time.perf_counter()
        outcome = asyncio.run(engine.run_backtesting(config, start, end, job["interval"], trade_cost=job["trade_cost"]))
        facts["seconds"] = time.perf_counter() - began
        facts["results"] = {name: _plain(value) for name, value in outcome["results"].items()}
        found |= _executor_arrays(outcome["executors"], engine)
        found |= {f"pnl_{name}": column.to_numpy() for name, column in pd.DataFrame(outcome["pnl_timeseries"]).items()}
        found |= _feature_arrays(outcome["processed_data"]["features"])
    except Exception as error:  # noqa: BLE001  (whatever Hummingbot raises is what the job was run to see)
        facts["failure"] = f"{type(error).__name__}: {error}"
        facts["traceback"] = traceback.format_exc()
    facts["rows"], facts["failed_executors"], facts["created"] = engine.rows, engine.failed, len(engine.created)
    return facts, found


def installed_versions() -> dict[str, str]:
    """Of what decides the numbers."""
    versions = {}
    for name in ("hummingbot", "pandas", "numpy", "pandas_ta", "TA-Lib", "numba"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return versions


def _config(job: Mapping[str, Any]) -> Any:
    """The controller's configuration as Hummingbot reads it.

    The engine keeps a controller's class by the configuration's `controller_name` for as long as the process lives: a
    user's own file must not get ours, hence another name.
    """
    given = {
        "id": job["name"],
        "connector_name": job["connector"],
        "trading_pair": job["trading_pair"],
        **job["config"],
    }
    if job["controllers_dir"]:
        given.setdefault("controller_name", job["controller"])
        config = BacktestingEngineBase.get_controller_config_instance_from_dict(given, "controllers")
        importlib.import_module(type(config).__module__)
        return config.model_copy(update={"controller_name": f"{config.controller_name} (own file)"})
    given.pop("controller_name", None)
    given.pop("controller_type", None)
    return CONTROLLERS[job["controller"]][0](**given)


def _table(arrays: Arrays) -> pd.DataFrame | None:
    """What drives the controller `signal`."""
    if "signal" not in arrays:
        return None
    return pd.DataFrame(
        {"timestamp": arrays["bar_timestamp"], "signal": arrays["signal"], "target_pct": arrays["target_pct"]}
    )


def _executor_arrays(executors: list[Any], engine: RecordingEngine) -> Arrays:
    """The executors in the order of creation."""
    rows = []
    for info in executors:
        own, config = engine.created[info.config.id], info.config
        waits = getattr(getattr(config, "triple_barrier_config", None), "open_order_type", None)
        market_entry = waits is not None and not waits.is_limit_type()
        # An order that was taken back, or stopped, before its fill has one in the simulation's future all the same.
        traded = float(info.filled_amount_quote) > 0.0
        rows.append(
            {
                "order": own["order"],
                "type": info.type,
                "opened_at": own["opened_at"],
                "stamped_at": info.timestamp,
                "filled_at": own["filled_at"] if traded else np.nan,
                "closed_at": np.nan if info.close_timestamp is None else info.close_timestamp,
                "side": info.side.name,
                "amount": float(getattr(config, "amount", None) or np.nan),
                "entry_price": float(config.entry_price) if market_entry else own["entry_price"] if traded else np.nan,
                "average_price": _number(info.custom_info.get("current_position_average_price")),
                "close_price": float(info.custom_info["close_price"]),
                "close_type": info.close_type.name if info.close_type is not None else "",
                "pnl_pct": float(info.net_pnl_pct),
                "pnl": float(info.net_pnl_quote),
                "fees": float(info.cum_fees_quote),
                "volume": float(info.filled_amount_quote),
                "level_id": info.custom_info.get("level_id") or "",
            }
        )
    table = pd.DataFrame(rows).sort_values("order") if rows else pd.DataFrame()
    texts = {"type", "side", "close_type", "level_id"}
    return {
        f"executor_{name}": column.to_numpy(dtype=np.str_ if name in texts else np.float64)
        for name, column in table.items()
    }


def _feature_arrays(features: pd.DataFrame) -> Arrays:
    """The numbers among the features, on the bars that were left."""
    numbers = features.select_dtypes(["number"])
    own = {f"feature_{name}": numbers[name].to_numpy() for name in numbers if not str(name).endswith("_bt")}
    return {**own, "feature_timestamp": features["timestamp"].to_numpy()}


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    return float(value) if isinstance(value, Decimal) else value
