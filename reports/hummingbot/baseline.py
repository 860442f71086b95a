"""A Hummingbot controller, backtested as Hummingbot does it, on our bars.

    baseline = ControllerBaseline(signal, target_pct, config=ControllerConfig(stop_loss=1.0, take_profit=1.5))
    baseline = ControllerBaseline(BollingerV1(bb_length=50))        # or DManV3(...), PmmSimple(...)
    run = baseline.run(market)

One controller trades one symbol, with its own slots and its own total_amount_quote; on a market of several symbols one
runs for each. `rules` and the kernels hold what each does at a bar, `docs/hummingbot.md` what that flatters.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from numbers import Real
from typing import Any, cast

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from reports.hummingbot.config import ControllerConfig
from reports.hummingbot.controllers import SignalController
from reports.hummingbot.dca import DManV3, levels_of
from reports.hummingbot.executors import executor_table
from reports.hummingbot.inputs import Inputs, checked_inputs
from reports.hummingbot.market_making import PmmSimple
from reports.hummingbot.run import BaselineRun
from reports.hummingbot.simulation import Legs, Lives, averaged_entries, market_entries, waiting_orders


@dataclass(frozen=True, eq=False)
class ControllerBaseline:
    """A V2 controller: one of those that ship with Hummingbot, or one that a signal of your own drives.

    Attributes:
        signal: 1 long, -1 short, 0 nothing, known at each bar's close: a table time by symbol, or a Series where the
            market holds one symbol; indexed as the market is. Or the controller itself: `BollingerV1`, `MacdBbV1`,
            `SupertrendV1`, `AiLivestream`, `DManV3`, `PmmSimple`.
        target_pct: what multiplies the barriers of an executor created on a bar: a number, or a Series or table like
            the signal. It never changes an executor's size. `DManV3` and `PmmSimple` know no such thing.
        config: the controller's settings; where None, Hummingbot's own for that controller.
        name: what reports call it; where None, the controller's own name.
    """

    signal: pd.Series | pd.DataFrame | SignalController | DManV3 | PmmSimple
    target_pct: float | pd.Series | pd.DataFrame = 1.0
    config: ControllerConfig | None = None
    name: str | None = None

    @property
    def settings(self) -> ControllerConfig:
        """`config`, or what Hummingbot sets for this controller."""
        if self.config is not None:
            return self.config
        given = self.signal
        return given.default_config if isinstance(given, SignalController | DManV3 | PmmSimple) else ControllerConfig()

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
        config = self.settings
        if not isinstance(config, ControllerConfig):
            raise ValidationError(f"config: expected ControllerConfig(...), got {config!r}")
        if not isinstance(market, Market):
            raise ValidationError(
                f"market: expected a Market, got {type(market).__name__}; use Market.from_frames({{symbol: candles}}, "
                "'1h')"
            )
        inputs = checked_inputs(market, self._signal(market), self.target_pct)
        if cash is None:
            cash = config.total_amount_quote * len(market.symbols)
        elif isinstance(cash, bool) or not isinstance(cash, Real) or not 0 < cash < math.inf:
            raise ValidationError(f"cash {cash!r} must be a positive amount of quote currency, or None")
        pnl, lives = np.full(inputs.known.shape, np.nan), []
        for column, symbol in enumerate(market.symbols):
            rows = np.flatnonzero(inputs.known[:, column])
            life = self._lives(market, symbol, inputs, column, rows, config)
            pnl[rows, column] = life.realised
            lives.append(_at(life, rows))
        controller = self.signal
        levels = controller.levels if isinstance(controller, PmmSimple) else None
        executors, legs = executor_table(market, lives, config.trade_cost, levels)
        columns = pd.Index(market.symbols, name="symbol")
        return BaselineRun(
            name=self.name or self._default_name,
            market=market,
            cash=float(cash),
            config=config,
            controller=self._controller,
            executors=executors,
            legs=legs,
            pnl_by_symbol=pd.DataFrame(pnl, index=market.index, columns=columns),
            dropped=pd.Series(inputs.dropped, index=columns, name="dropped"),
        )

    @property
    def _default_name(self) -> str:
        given = self.signal
        return "Directional controller" if isinstance(given, pd.Series | pd.DataFrame) else given.controller_name

    @property
    def _controller(self) -> dict[str, Any]:
        """The controller's name and parameters, as JSON can hold them."""
        if isinstance(self.signal, pd.Series | pd.DataFrame):
            return {"controller_name": "signal"}
        fields = {
            name: value for name, value in asdict(cast("Any", self.signal)).items() if name not in ("exits", "weight")
        }
        plain = {
            name: str(value) if isinstance(value, pd.Timedelta) else list(map(str, value)) if _is_text(value) else value
            for name, value in fields.items()
        }
        return {"controller_name": self.signal.controller_name, **plain}

    def _signal(self, market: Market) -> pd.Series | pd.DataFrame:
        given = self.signal
        if isinstance(given, pd.Series | pd.DataFrame):
            return given
        plain = isinstance(self.target_pct, Real) and not isinstance(self.target_pct, bool) and self.target_pct == 1
        if isinstance(given, DManV3 | PmmSimple) and not plain:
            raise ValidationError(f"target_pct: {given.controller_name} has no use for one; leave it out")
        if isinstance(given, SignalController | DManV3):
            return given.signal(market)
        if isinstance(given, PmmSimple):
            # It sees every bar of a symbol and asks for no signal.
            return market.close.where(market.close.isna(), 0.0)
        raise ValidationError(
            "signal: expected a Series or a DataFrame, or a controller such as BollingerV1(), got "
            f"{type(given).__name__}"
        )

    def _lives(
        self, market: Market, symbol: str, inputs: Inputs, column: int, rows: np.ndarray, config: ControllerConfig
    ) -> Lives:
        times = market.index.as_unit("ns").asi8
        high, low, close = (np.ascontiguousarray(of[rows, column]) for of in (inputs.high, inputs.low, inputs.close))
        bars = (times[rows], high, low, close)
        controller = self.signal
        if isinstance(controller, PmmSimple):
            return waiting_orders(bars, controller, config)
        signal = inputs.signal[rows, column].astype(np.int64)
        if isinstance(controller, DManV3):
            sides = signal[signal != 0]
            levels = levels_of(controller, config, controller.width_factor(market, symbol), close[signal != 0], sides)
            return averaged_entries(bars, signal, levels, controller, config)
        return market_entries(bars, signal, np.ascontiguousarray(inputs.target[rows, column]), config)


def _at(life: Lives, rows: np.ndarray) -> Lives:
    """The same executors, bars by their position in the market."""
    legs = life.legs
    moved = Legs(legs.executor, rows[legs.opened], rows[legs.closed], legs.amount, legs.notional, legs.booked)
    return replace(life, opened=rows[life.opened], closed=rows[life.closed], legs=moved)


def _is_text(value: object) -> bool:
    """Whether a parameter is a tuple: of decimals, which JSON does not have, or of floats."""
    return isinstance(value, tuple)
