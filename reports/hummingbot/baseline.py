"""The directional controller of Hummingbot, backtested as Hummingbot does it, on our bars and our signal.

    baseline = ControllerBaseline(signal, target_pct, config=ControllerConfig(stop_loss=1.0, take_profit=1.5))
    run = baseline.run(market)

One controller trades one symbol, with its own slots and its own total_amount_quote; a table of signals runs one for
each column. `rules` and `kernel` hold what each does at a bar, `docs/hummingbot.md` what that flatters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from reports.hummingbot.config import ControllerConfig
from reports.hummingbot.executors import executor_table
from reports.hummingbot.inputs import checked_inputs
from reports.hummingbot.run import BaselineRun

_NO_LIMIT: Final = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, eq=False)
class ControllerBaseline:
    """A directional V2 controller, driven by a signal.

    Attributes:
        signal: 1 long, -1 short, 0 nothing, known at each bar's close: a table time by symbol, or a Series where the
            market holds one symbol; indexed as the market is.
        target_pct: what multiplies the barriers of an executor created on a bar: a number, or a Series or table like
            the signal. It never changes an executor's size.
        config: the controller's settings.
        name: what reports call it.
    """

    signal: pd.Series | pd.DataFrame
    target_pct: float | pd.Series | pd.DataFrame = 1.0
    config: ControllerConfig = field(default_factory=ControllerConfig)
    name: str = "Directional controller"

    def run(self, market: Market, *, cash: float | None = None) -> BaselineRun:
        """Backtest the controller on a market's bars.

        As in Hummingbot, bars on which the signal, the target or a field of the candle is NaN are left out before
        anything else: no executor is created, closed or stopped on them. `BaselineRun.dropped` counts them.

        Args:
            market: the bars.
            cash: where equity begins, quote currency; where None, the sum of every controller's total_amount_quote.
                It limits nothing: Hummingbot's backtest checks no balance.

        Raises:
            ValidationError: an input is wrong; names the parameter, or the symbol and bar.
        """
        config = self.config
        if not isinstance(config, ControllerConfig):
            raise ValidationError(f"config: expected ControllerConfig(...), got {config!r}")
        inputs = checked_inputs(market, self.signal, self.target_pct)
        if cash is None:
            cash = config.total_amount_quote * len(market.symbols)
        elif isinstance(cash, bool) or not isinstance(cash, Real) or not 0 < cash < math.inf:
            raise ValidationError(f"cash {cash!r} must be a positive amount of quote currency, or None")
        # Loads numba: only once there is something to run.
        from reports.hummingbot.kernel import simulate

        barriers, terms = _barriers(config), _terms(config)
        times = market.index.as_unit("ns").asi8
        pnl, lives = np.full(inputs.known.shape, np.nan), []
        for column in range(len(market.symbols)):
            rows = np.flatnonzero(inputs.known[:, column])
            signal = inputs.signal[rows, column].astype(np.int64)
            bars = (times[rows], *(field[rows, column] for field in (inputs.high, inputs.low, inputs.close)))
            capacity = np.count_nonzero(signal)
            places, values = np.empty((capacity, 4), dtype=np.int64), np.empty((capacity, 4))
            realised = np.empty(len(rows))
            count = simulate(bars, signal, inputs.target[rows, column], barriers, terms, (places, values), realised)
            pnl[rows, column] = realised
            places[:count, :2] = rows[places[:count, :2]]
            lives.append((places[:count], values[:count]))
        columns = pd.Index(market.symbols, name="symbol")
        return BaselineRun(
            name=self.name,
            market=market,
            cash=float(cash),
            config=config,
            executors=executor_table(market, lives, config.trade_cost),
            pnl_by_symbol=pd.DataFrame(pnl, index=market.index, columns=columns),
            dropped=pd.Series(inputs.dropped, index=columns, name="dropped"),
        )


def _barriers(config: ControllerConfig) -> tuple[float, ...]:
    """Stop loss, take profit, trailing activation and delta; NaN for none."""
    activation, delta = config.trailing_stop or (None, None)
    given = (config.stop_loss, config.take_profit, activation, delta)
    return tuple(math.nan if barrier is None else float(barrier) for barrier in given)


def _terms(config: ControllerConfig) -> tuple[Any, ...]:
    """Slots, cooldown and time limit in ns, quote currency and cost of a leg."""
    limit = config.time_limit
    return (
        int(config.max_executors_per_side),
        int(config.cooldown_time.as_unit("ns").value),
        _NO_LIMIT if limit is None else int(limit.as_unit("ns").value),
        float(config.total_amount_quote),
        float(config.trade_cost),
    )
