"""The keys of Hummingbot's controller files, their types and defaults, and what each comes to here.

Hummingbot forbids keys that it does not know, so do these. It writes lists as lists or as text with commas, decimals as
numbers or text, enumerations by name or number, and nothing as null or an empty text; all are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from reports.hummingbot.config import ControllerConfig
from reports.hummingbot.controllers import AiLivestream, BollingerV1, MacdBbV1, SignalController, SupertrendV1
from reports.hummingbot.dca import DManV3
from reports.hummingbot.market_making import PmmSimple


def _numbers(value: object) -> object:
    """A list of decimals as text, from a list, a number, or text with commas."""
    if value is None or value == "":
        return None
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    told = []
    for part in parts:
        text = str(part).strip()
        try:
            number = Decimal(text) if not isinstance(part, bool) else Decimal("NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise ValueError(f"holds {part!r}, which is no number; write numbers with commas between, or a list")
        told.append(text)
    return tuple(told)


def _trailing(value: object) -> object:
    """(activation, delta) from "0.015,0.005" or a mapping."""
    if value is None or value == "":
        return None
    if isinstance(value, Mapping):
        if set(value) != {"activation_price", "trailing_delta"}:
            raise ValueError("must have the keys activation_price and trailing_delta")
        return _numbers([value["activation_price"], value["trailing_delta"]])
    pair = _numbers(value)
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ValueError("must be two numbers, activation_price,trailing_delta: 0.015,0.005")
    return pair


def _blank(value: object) -> object:
    return None if value == "" else value


def _flag(value: object) -> object:
    return False if value is None or value == "" else value


Numbers = Annotated[tuple[str, ...] | None, BeforeValidator(_numbers)]
Pair = Annotated[tuple[str, str] | None, BeforeValidator(_trailing)]
Fraction = Annotated[Decimal | None, BeforeValidator(_blank)]
Seconds = Annotated[int | None, BeforeValidator(_blank)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Text = Annotated[str | None, BeforeValidator(_blank)]

_PAIR: Final = r"^[A-Za-z0-9.]+-[A-Za-z0-9.]+$"


class _File(BaseModel):
    """What every controller's file has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    controller_name: str
    controller_type: str
    connector_name: str = "binance_perpetual"
    trading_pair: str = Field(default="WLD-USDT", pattern=_PAIR)
    total_amount_quote: Decimal = Field(default=Decimal(100), gt=0)
    manual_kill_switch: Flag = False
    initial_positions: list[Any] = []
    candles_config: list[Any] = Field(default=[], max_length=0)
    leverage: int = Field(default=20, ge=1)
    position_mode: str | int = "HEDGE"
    take_profit_order_type: str | int | None = "LIMIT"
    stop_loss: Fraction = Field(default=Decimal("0.03"), gt=0)
    take_profit: Fraction = Field(default=Decimal("0.02"), gt=0)
    time_limit: Seconds = Field(default=2700, gt=0)
    trailing_stop: Pair = None

    def _barriers(self) -> dict[str, Any]:
        pair = self.trailing_stop
        return {
            "stop_loss": None if self.stop_loss is None else float(self.stop_loss),
            "take_profit": None if self.take_profit is None else float(self.take_profit),
            "trailing_stop": None if pair is None else (float(pair[0]), float(pair[1])),
            "time_limit": None if self.time_limit is None else pd.Timedelta(seconds=self.time_limit),
            "total_amount_quote": float(self.total_amount_quote),
        }


class DirectionalFile(_File):
    """What every directional controller's file has."""

    controller_type: str = Field(default="directional_trading", pattern="^directional_trading$")
    max_executors_per_side: int = Field(default=2, ge=1)
    cooldown_time: int = Field(default=300, gt=0)
    interval: str | None = "3m"
    candles_connector: Text = None
    candles_trading_pair: Text = None

    def config(self) -> ControllerConfig:
        """Barriers, slots and size."""
        return ControllerConfig(
            max_executors_per_side=self.max_executors_per_side,
            cooldown_time=pd.Timedelta(seconds=self.cooldown_time),
            **self._barriers(),
        )

    def controller(self) -> SignalController | DManV3:
        """When it trades."""
        raise NotImplementedError


class _BandsFile(DirectionalFile):
    bb_length: int = 100
    bb_std: float = 2.0
    bb_long_threshold: float = 0.0
    bb_short_threshold: float = 1.0

    @property
    def _bands(self) -> dict[str, Any]:
        return {
            "bb_length": self.bb_length,
            "bb_std": self.bb_std,
            "bb_long_threshold": self.bb_long_threshold,
            "bb_short_threshold": self.bb_short_threshold,
        }


class BollingerFile(_BandsFile):
    """`bollinger_v1`."""

    def controller(self) -> BollingerV1:
        """When it trades."""
        return BollingerV1(**self._bands)


class MacdBbFile(_BandsFile):
    """`macd_bb_v1`."""

    macd_fast: int = 21
    macd_slow: int = 42
    macd_signal: int = 9

    def controller(self) -> MacdBbV1:
        """When it trades."""
        return MacdBbV1(**self._bands, macd_fast=self.macd_fast, macd_slow=self.macd_slow, macd_signal=self.macd_signal)


class SupertrendFile(DirectionalFile):
    """`supertrend_v1`."""

    length: int = 20
    multiplier: float = 4.0
    percentage_threshold: float = 0.01

    def controller(self) -> SupertrendV1:
        """When it trades."""
        return SupertrendV1(self.length, self.multiplier, self.percentage_threshold)


class LivestreamFile(DirectionalFile):
    """`ai_livestream`; it has no candles of its own."""

    interval: None = None
    long_threshold: float = 0.5
    short_threshold: float = 0.5
    topic: str = "hbot/predictions"

    def controller(self) -> AiLivestream:
        """When it trades."""
        return AiLivestream(self.long_threshold, self.short_threshold)


class DManFile(_BandsFile):
    """`dman_v3`."""

    trailing_stop: Pair = ("0.015", "0.005")
    dca_spreads: Numbers = ("0.001", "0.018", "0.15", "0.25")
    dca_amounts_pct: Numbers = None
    dynamic_order_spread: Flag = False
    dynamic_target: Flag = False
    activation_bounds: Any = None

    def controller(self) -> DManV3:
        """When it trades."""
        return DManV3(
            **self._bands,
            dca_spreads=self.dca_spreads or (),
            dca_amounts_pct=self.dca_amounts_pct,
            dynamic_order_spread=self.dynamic_order_spread,
            dynamic_target=self.dynamic_target,
        )


class MarketMakingFile(_File):
    """`pmm_simple`."""

    controller_type: str = Field(default="market_making", pattern="^market_making$")
    buy_spreads: Numbers = ("0.01", "0.02")
    sell_spreads: Numbers = ("0.01", "0.02")
    buy_amounts_pct: Numbers = None
    sell_amounts_pct: Numbers = None
    executor_refresh_time: int = Field(default=300, gt=0)
    cooldown_time: int = Field(default=15, gt=0)
    position_rebalance_threshold_pct: Fraction = Decimal("0.05")
    skip_rebalance: Flag = False

    def config(self) -> ControllerConfig:
        """Barriers and size."""
        return ControllerConfig(cooldown_time=pd.Timedelta(seconds=self.cooldown_time), **self._barriers())

    def controller(self) -> PmmSimple:
        """When it trades."""
        return PmmSimple(
            _floats(self.buy_spreads) or (),
            _floats(self.sell_spreads) or (),
            _floats(self.buy_amounts_pct),
            _floats(self.sell_amounts_pct),
            pd.Timedelta(seconds=self.executor_refresh_time),
        )


def _floats(values: tuple[str, ...] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(map(float, values))


SCHEMAS: Final[dict[str, type[DirectionalFile | MarketMakingFile]]] = {
    "ai_livestream": LivestreamFile,
    "bollinger_v1": BollingerFile,
    "dman_v3": DManFile,
    "macd_bb_v1": MacdBbFile,
    "pmm_simple": MarketMakingFile,
    "supertrend_v1": SupertrendFile,
}
