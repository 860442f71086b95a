"""Controllers that Hummingbot's package does not hold, written for its backtester: ours, and those that ship beside it.

`signal` is driven by a table. The others decide as the files in Hummingbot's git repository do, by the same indicators
of pandas_ta. What a job hands to its controller, a table or options, lies on the data provider.
"""
# mypy: disable-error-code="import-not-found,misc"

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pandas as pd
import pandas_ta  # noqa: F401  (gives every frame its `ta`)
from hummingbot.core.data_type.common import TradeType
from hummingbot.data_feed.candles_feed.data_types import CandlesConfig
from hummingbot.strategy_v2.controllers.directional_trading_controller_base import (
    DirectionalTradingControllerBase,
    DirectionalTradingControllerConfigBase,
)
from hummingbot.strategy_v2.controllers.market_making_controller_base import (
    MarketMakingControllerBase,
    MarketMakingControllerConfigBase,
)
from hummingbot.strategy_v2.executors.dca_executor.data_types import DCAExecutorConfig, DCAMode
from hummingbot.strategy_v2.executors.position_executor.data_types import PositionExecutorConfig, TrailingStop
from pydantic import ConfigDict, Field, field_validator


class SignalConfig(DirectionalTradingControllerConfigBase):
    """A directional controller that a table drives."""

    controller_name: str = "signal"

    def get_controller_class(self) -> type:
        """Hummingbot looks for the first controller in a module; there are several in this one."""
        return CONTROLLERS[self.controller_name][1]


class SignalController(DirectionalTradingControllerBase):
    """Reads signal and target_pct of each bar; the target multiplies every barrier but the time limit."""

    async def update_processed_data(self) -> None:
        """Hand over the job's table."""
        self.processed_data = {"signal": 0, "features": self.market_data_provider.features}

    def get_executor_config(self, trade_type: Any, price: Decimal, amount: Decimal) -> Any:
        """As Hummingbot's own hook of this name."""
        barriers = self.config.triple_barrier_config
        return PositionExecutorConfig(
            timestamp=self.market_data_provider.time(),
            connector_name=self.config.connector_name,
            trading_pair=self.config.trading_pair,
            side=trade_type,
            entry_price=price,
            amount=amount,
            triple_barrier_config=barriers.new_instance_with_adjusted_volatility(
                volatility_factor=self.processed_data["target_pct"]
            ),
            leverage=self.config.leverage,
        )


class CandlesSignalConfig(SignalConfig):
    """What every directional controller on candles has."""

    candles_connector: str | None = None
    candles_trading_pair: str | None = None
    interval: str = "3m"


class BollingerConfig(CandlesSignalConfig):
    """`bollinger_v1`."""

    controller_name: str = "bollinger_v1"
    bb_length: int = 100
    bb_std: float = 2.0
    bb_long_threshold: float = 0.0
    bb_short_threshold: float = 1.0


class MacdBollingerConfig(BollingerConfig):
    """`macd_bb_v1`."""

    controller_name: str = "macd_bb_v1"
    macd_fast: int = 21
    macd_slow: int = 42
    macd_signal: int = 9


class SupertrendConfig(CandlesSignalConfig):
    """`supertrend_v1`."""

    controller_name: str = "supertrend_v1"
    length: int = 20
    multiplier: float = 4.0
    percentage_threshold: float = 0.01


class CandlesSignalController(DirectionalTradingControllerBase):
    """A controller whose signal comes from indicators on the whole of its candles."""

    def get_candles_config(self) -> list[Any]:
        """Which candles it reads."""
        return [
            CandlesConfig(
                connector=self.config.candles_connector or self.config.connector_name,
                trading_pair=self.config.candles_trading_pair or self.config.trading_pair,
                interval=self.config.interval,
            )
        ]

    async def update_processed_data(self) -> None:
        """Compute the signal of every bar at once, as the shipped controllers do."""
        (feed,) = self.get_candles_config()
        candles = self.market_data_provider.get_candles_df(feed.connector, feed.trading_pair, feed.interval)
        long, short = self.conditions(candles)
        candles["signal"] = 0
        candles.loc[long, "signal"] = 1
        candles.loc[short, "signal"] = -1
        self.processed_data = {"signal": candles["signal"].iloc[-1], "features": candles}

    def conditions(self, candles: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
        """Where to buy and where to sell; adds the indicators' columns to the candles."""
        raise NotImplementedError

    def bands(self, candles: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
        """The Bollinger signal."""
        own = self.config
        candles.ta.bbands(length=own.bb_length, lower_std=own.bb_std, upper_std=own.bb_std, append=True)
        place = candles[f"BBP_{own.bb_length}_{own.bb_std}_{own.bb_std}"]
        return place < own.bb_long_threshold, place > own.bb_short_threshold


class BollingerController(CandlesSignalController):
    """`bollinger_v1`."""

    def conditions(self, candles: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
        """As in `CandlesSignalController`."""
        return self.bands(candles)


class MacdBollingerController(CandlesSignalController):
    """`macd_bb_v1`."""

    def conditions(self, candles: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
        """As in `CandlesSignalController`."""
        own = self.config
        low, high = self.bands(candles)
        candles.ta.macd(fast=own.macd_fast, slow=own.macd_slow, signal=own.macd_signal, append=True)
        spans = f"{own.macd_fast}_{own.macd_slow}_{own.macd_signal}"
        line, histogram = candles[f"MACD_{spans}"], candles[f"MACDh_{spans}"]
        return low & (histogram > 0) & (line < 0), high & (histogram < 0) & (line > 0)


class SupertrendController(CandlesSignalController):
    """`supertrend_v1`; the option `drop_one_sided` leaves out the two columns that are empty on the other side."""

    def conditions(self, candles: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
        """As in `CandlesSignalController`."""
        own = self.config
        candles.ta.supertrend(length=own.length, multiplier=own.multiplier, append=True)
        name = f"{own.length}_{own.multiplier}"
        away = abs(candles["close"] - candles[f"SUPERT_{name}"]) / candles["close"]
        candles["percentage_distance"] = away
        near, direction = away < own.percentage_threshold, candles[f"SUPERTd_{name}"]
        if self.market_data_provider.options.get("drop_one_sided"):
            candles.drop(columns=[f"SUPERTl_{name}", f"SUPERTs_{name}"], inplace=True)
        return (direction == 1) & near, (direction == -1) & near


class AveragingConfig(BollingerConfig):
    """`dman_v3`."""

    controller_name: str = "dman_v3"
    trailing_stop: TrailingStop | None = Field(default="0.015,0.005", validate_default=True)
    dca_spreads: list[Decimal] = Field(default="0.001,0.018,0.15,0.25", validate_default=True)
    dca_amounts_pct: list[Decimal] | None = None
    dynamic_order_spread: bool | None = None
    dynamic_target: bool | None = None
    activation_bounds: list[Decimal] | None = None

    @field_validator("dca_spreads", "dca_amounts_pct", "activation_bounds", mode="before")
    @classmethod
    def split(cls, value: Any) -> Any:
        """A list, or text with commas; empty text is none."""
        if isinstance(value, str):
            return [Decimal(part.strip()) for part in value.split(",")] if value else None
        return value


class AveragingController(BollingerController):
    """`dman_v3`; options: `takes_profit` (default true), `wall_clock` (default false), as its copies differ in both."""

    def get_executor_config(self, trade_type: Any, price: Decimal, amount: Decimal) -> Any:
        """As Hummingbot's own hook of this name."""
        own, scale = self.config, self.scale()
        turn = -1 if trade_type == TradeType.BUY else 1
        parts = own.dca_amounts_pct or [Decimal("1.0") / len(own.dca_spreads) for _ in own.dca_spreads]
        if own.dca_amounts_pct:
            parts = [part / sum(own.dca_amounts_pct) for part in own.dca_amounts_pct]
        stop, profit, trailing = own.stop_loss, own.take_profit, own.trailing_stop
        if own.dynamic_target:
            stop = stop * scale
            profit = None if profit is None else profit * scale
            if trailing:
                trailing = TrailingStop(
                    activation_price=trailing.activation_price * scale, trailing_delta=trailing.trailing_delta * scale
                )
        budget = amount * price
        barriers = {"stop_loss": stop, "trailing_stop": trailing, "time_limit": own.time_limit}
        if self.market_data_provider.options.get("takes_profit", True):
            barriers["take_profit"] = profit
        now = time.time() if self.market_data_provider.options.get("wall_clock") else self.market_data_provider.time()
        return DCAExecutorConfig(
            connector_name=own.connector_name,
            trading_pair=own.trading_pair,
            side=trade_type,
            mode=DCAMode.MAKER,
            leverage=own.leverage,
            prices=[price * (1 + turn * (spread * scale)) for spread in own.dca_spreads],
            amounts_quote=[part * budget for part in parts],
            activation_bounds=own.activation_bounds,
            timestamp=now,
            **barriers,
        )

    def scale(self) -> Decimal:
        """What multiplies the spreads: half the bands' width on the last row of the features that it holds now."""
        own = self.config
        if not own.dynamic_order_spread:
            return Decimal("1.0")
        width = self.processed_data["features"][f"BBB_{own.bb_length}_{own.bb_std}_{own.bb_std}"]
        return Decimal(width.iloc[-1] / 200)


class QuotingConfig(MarketMakingControllerConfigBase):
    """`pmm_simple`. A file holds every key, None too, and Hummingbot reads them; so are the defaults here."""

    model_config = ConfigDict(validate_default=True)
    controller_name: str = "pmm_simple"

    def get_controller_class(self) -> type:
        """As in `SignalConfig`."""
        return QuotingController


class QuotingController(MarketMakingControllerBase):
    """`pmm_simple`."""

    def get_executor_config(self, level_id: str, price: Decimal, amount: Decimal) -> Any:
        """As Hummingbot's own hook of this name."""
        own = self.config
        return PositionExecutorConfig(
            timestamp=self.market_data_provider.time(),
            level_id=level_id,
            connector_name=own.connector_name,
            trading_pair=own.trading_pair,
            entry_price=price,
            amount=amount,
            triple_barrier_config=own.triple_barrier_config,
            leverage=own.leverage,
            side=self.get_trade_type_from_level_id(level_id),
        )


CONTROLLERS: dict[str, tuple[type, type]] = {
    "signal": (SignalConfig, SignalController),
    "bollinger_v1": (BollingerConfig, BollingerController),
    "macd_bb_v1": (MacdBollingerConfig, MacdBollingerController),
    "supertrend_v1": (SupertrendConfig, SupertrendController),
    "dman_v3": (AveragingConfig, AveragingController),
    "pmm_simple": (QuotingConfig, QuotingController),
}
