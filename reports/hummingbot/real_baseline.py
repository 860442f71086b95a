"""A baseline by the real Hummingbot: the same question to its own package, and its answer in the same form.

    run = run_real(BollingerV1baseline, market, say=print)         # a BaselineRun, as the simulation gives one
    print(check_baseline(baseline, market, say=print))             # simulated and real, executor by executor

`reports.hummingbot.real` runs it, in a Python of its own, without network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.candles import CANDLE_COLUMNS
from data.errors import ValidationError
from data.market import Market
from reports.hummingbot.baseline import ControllerBaseline
from reports.hummingbot.config import ControllerConfig
from reports.hummingbot.controllers import AiLivestream, BollingerV1, MacdBbV1, SupertrendV1
from reports.hummingbot.dca import DManV3
from reports.hummingbot.market_making import PmmSimple
from reports.hummingbot.real import BaselineCheck, RealJob, RealRun, compare_executors, run_jobs
from reports.hummingbot.run import BaselineRun

Say = Callable[[str], None]


def run_real(
    baseline: ControllerBaseline,
    market: Market,
    *,
    cash: float | None = None,
    say: Say | None = None,
    python: Path | None = None,
    controllers_dir: Path | None = None,
) -> BaselineRun:
    """Backtest a controller with the real Hummingbot.

    Args:
        baseline: as for the simulation.
        market: the bars.
        cash: where equity begins; see `ControllerBaseline.run`.
        say: is told what goes on; the first time, an environment is built, which takes minutes.
        python: of an environment that has hummingbot; where None, ladder's own.
        controllers_dir: a Hummingbot checkout: the controller is the file there, not ours.

    Raises:
        LadderError: Hummingbot cannot be built or fails; see `reports.hummingbot.real`.
        ValidationError: an input is wrong; or it averages in, its fills, which Hummingbot does not report, are the
            simulation's, and the two do not agree.
    """
    simulated = baseline.run(market, cash=cash)
    runs = run_jobs(jobs_of(baseline, market, controllers_dir), say=say, python=python)
    return _as_baseline(simulated, runs, baseline)


def check_baseline(
    baseline: ControllerBaseline,
    market: Market,
    *,
    say: Say | None = None,
    python: Path | None = None,
    controllers_dir: Path | None = None,
) -> BaselineCheck:
    """Run a baseline twice, simulated and by the real Hummingbot, and compare every executor and point of profit.

    The arguments and errors are those of `run_real`.
    """
    simulated = baseline.run(market)
    runs = run_jobs(jobs_of(baseline, market, controllers_dir), say=say, python=python)
    return _check(simulated, runs)


def jobs_of(baseline: ControllerBaseline, market: Market, controllers_dir: Path | None = None) -> list[RealJob]:
    """What the real Hummingbot is asked, a job for each symbol."""
    given = baseline.signal
    driven = isinstance(given, pd.Series | pd.DataFrame | AiLivestream)
    if controllers_dir is not None and driven:
        raise ValidationError("controllers_dir: a signal of your own has no controller file; leave it out")
    settings = settings_of(baseline)
    if not isinstance(given, PmmSimple):
        settings["interval"] = market.timeframe
    jobs = []
    for symbol in market.symbols:
        candles = pd.DataFrame({name: market[name][symbol] for name in CANDLE_COLUMNS})
        more: dict[str, Any] = {}
        if driven:
            signal = given.signal(market) if isinstance(given, AiLivestream) else given
            settings.pop("interval", None)
            more = {"signal": _column(signal, symbol), "target_pct": _column(baseline.target_pct, symbol)}
        elif isinstance(given, SupertrendV1) and controllers_dir is None:
            more = {"options": {"drop_one_sided": True}}
        elif isinstance(given, DManV3):
            more = {"options": {"takes_profit": given.takes_profit, "wall_clock": given.wall_clock}}
        jobs.append(
            RealJob(
                candles,
                market.timeframe,
                settings,
                controller="signal" if driven else str(given.controller_name),
                symbol=symbol,
                trade_cost=baseline.settings.trade_cost,
                controllers_dir=controllers_dir,
                name=f"{baseline.name or 'baseline'} {symbol}",
                **more,
            )
        )
    return jobs


def settings_of(baseline: ControllerBaseline) -> dict[str, Any]:
    """A baseline's settings by the keys of Hummingbot's YAML files."""
    config, given = baseline.settings, baseline.signal
    settings: dict[str, Any] = _barriers(config)
    if isinstance(given, PmmSimple):
        del settings["max_executors_per_side"]
        for name in ("buy_spreads", "sell_spreads", "buy_amounts_pct", "sell_amounts_pct"):
            settings[name] = _text(getattr(given, name))
        settings["executor_refresh_time"] = _seconds("executor_refresh_time", given.executor_refresh_time)
    if isinstance(given, BollingerV1 | MacdBbV1 | DManV3):
        for name in ("bb_length", "bb_std", "bb_long_threshold", "bb_short_threshold"):
            settings[name] = getattr(given, name)
    if isinstance(given, MacdBbV1):
        settings |= {name: getattr(given, name) for name in ("macd_fast", "macd_slow", "macd_signal")}
    if isinstance(given, SupertrendV1):
        settings |= {name: getattr(given, name) for name in ("length", "multiplier", "percentage_threshold")}
    if isinstance(given, DManV3):
        settings |= {name: _text(getattr(given, name)) for name in ("dca_spreads", "dca_amounts_pct")}
        settings |= {name: getattr(given, name) for name in ("dynamic_order_spread", "dynamic_target")}
    return settings


def _barriers(config: ControllerConfig) -> dict[str, Any]:
    limit = config.time_limit
    return {
        "total_amount_quote": repr(float(config.total_amount_quote)),
        "stop_loss": None if config.stop_loss is None else repr(float(config.stop_loss)),
        "take_profit": None if config.take_profit is None else repr(float(config.take_profit)),
        "trailing_stop": "" if config.trailing_stop is None else _text(tuple(map(float, config.trailing_stop))),
        "time_limit": None if limit is None else _seconds("time_limit", limit),
        "cooldown_time": _seconds("cooldown_time", config.cooldown_time),
        "max_executors_per_side": int(config.max_executors_per_side),
    }


def _text(values: tuple[object, ...] | None) -> str | None:
    return None if values is None else ",".join(map(str, values))


def _seconds(name: str, span: pd.Timedelta) -> int:
    whole = int(span.total_seconds())
    if whole != span.total_seconds():
        raise ValidationError(f"{name} {span}: Hummingbot counts whole seconds")
    return whole


def _column(given: Any, symbol: str) -> Any:
    return given[symbol] if isinstance(given, pd.DataFrame) else given


def _joined(market: Market, runs: Sequence[RealRun]) -> pd.DataFrame:
    """The executors of all symbols in the order of creation."""
    tables = [run.executors.assign(column=number) for number, run in enumerate(runs)]
    table = pd.concat(tables, ignore_index=True)
    table = table.sort_values(["opened_at", "column"], kind="stable", ignore_index=True).drop(columns="column")
    for name in ("opened_at", "closed_at", "filled_at"):
        table[name] = pd.DatetimeIndex(table[name]).as_unit(market.index.unit)
    return table


def _pnl(market: Market, runs: Sequence[RealRun]) -> pd.DataFrame:
    columns = {
        symbol: run.pnl.set_axis(pd.DatetimeIndex(run.pnl.index).as_unit(market.index.unit)).reindex(market.index)
        for symbol, run in zip(market.symbols, runs, strict=True)
    }
    return pd.DataFrame(columns, index=market.index).rename_axis(columns="symbol")


def _check(simulated: BaselineRun, runs: Sequence[RealRun]) -> BaselineCheck:
    market = simulated.market
    mine, real = simulated.pnl_by_symbol, _pnl(market, runs)
    return compare_executors(
        simulated.executors,
        _joined(market, runs),
        simulated_pnl=mine.sum(axis=1, min_count=1),
        real_pnl=real.sum(axis=1, min_count=1),
    )


def _as_baseline(simulated: BaselineRun, runs: Sequence[RealRun], baseline: ControllerBaseline) -> BaselineRun:
    market = simulated.market
    executors = _joined(market, runs)
    if isinstance(baseline.signal, DManV3):
        check = _check(simulated, runs)
        if not check.ok:
            raise ValidationError(f"dman_v3: Hummingbot does not report the fills of its levels, and {check}")
        legs = simulated.legs
    else:
        legs = _legs(executors)
    if not isinstance(baseline.signal, PmmSimple):
        executors = executors.drop(columns="level_id")
    pnl = _pnl(market, runs)
    present = market.close.notna().sum()
    versions = runs[0].versions
    return replace(
        simulated,
        engine=f"the real hummingbot {versions.get('hummingbot', '')}".strip(),
        engine_versions=versions,
        executors=executors,
        legs=legs,
        pnl_by_symbol=pnl,
        dropped=(present - pnl.notna().sum()).rename("dropped"),
    )


def _legs(executors: pd.DataFrame) -> pd.DataFrame:
    """One fill for each executor that had one."""
    filled = executors[executors["filled_at"].notna()]
    legs = filled[["symbol", "side", "closed_at", "amount", "entry_price", "close_price", "fees", "close_type"]]
    return legs.assign(
        executor=np.flatnonzero(executors["filled_at"].notna()), opened_at=filled["filled_at"], booked=True
    ).reset_index(drop=True)
