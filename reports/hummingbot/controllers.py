"""The controllers that ship with Hummingbot, by their own names, parameters and defaults: when they want to trade.

    ControllerBaseline(BollingerV1(bb_length=100), config=ControllerConfig(total_amount_quote=1_000.0)).run(market)
    backtest(BollingerV1(), market)               # the same signal as a strategy, on Ladder's rules

Each decides as Hummingbot's backtester lets it: its indicators see the whole history up to a bar, whose label is the
bar's opening time, and the bar is known at its close. `indicators` says whose numbers they are. A live Hummingbot
computes them on the newest candles alone; for MACD and the supertrend, which remember, that is another number.

`read_controller` makes one of these from the file that configures a bot.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import pandas as pd

from data.candles import CANDLE_COLUMNS
from data.errors import ValidationError
from data.market import Market
from engine.checks import is_number
from engine.exits import Exits
from engine.strategy import Strategy
from reports.hummingbot.config import ControllerConfig

# What a directional controller's barriers are when nobody sets them.
DEFAULT_EXITS: Final = Exits(stop_loss=0.03, take_profit=0.02, time_limit=pd.Timedelta(minutes=45))


class SignalController(Strategy):
    """A controller that a signal drives, and a strategy that holds what the signal says.

    As a strategy it takes an equal share of equity in each symbol on a signal, and leaves it to its `exits`: a signal
    of 0 closes nothing, in Hummingbot as well.
    """

    controller_name: ClassVar[str] = ""
    weight: float
    exits: Exits | None

    @property
    def default_config(self) -> ControllerConfig:
        """Barriers, slots and size that Hummingbot gives this controller when nobody sets them."""
        return ControllerConfig()

    @abstractmethod
    def signal_of(self, candles: pd.DataFrame) -> np.ndarray:
        """1 to buy, -1 to sell, 0 for neither, known at each bar's close; NaN where an indicator has no figure.

        Args:
            candles: open, high, low, close, volume of one symbol, (T, 5), no bar missing.
        """

    def signal(self, market: Market) -> pd.DataFrame:
        """The signal of every symbol, time by symbol; NaN where the controller sees no bar or has no figure yet."""
        table = pd.DataFrame(np.nan, index=market.index, columns=pd.Index(market.symbols, name="symbol"))
        for symbol in market.symbols:
            candles = pd.DataFrame({name: market[name][symbol] for name in CANDLE_COLUMNS}).dropna()
            table.loc[candles.index, symbol] = self.signal_of(candles)
        return table

    def targets(self, market: Market) -> pd.DataFrame:
        """The signal as weights: an equal share of `weight` where there is one, else the position is left alone."""
        signal = self.signal(market)
        return signal.where(signal != 0.0) * (self.weight / len(market.symbols))


@dataclass(frozen=True)
class BollingerV1(SignalController):
    """`bollinger_v1`: buy below the lower Bollinger band, sell above the upper one.

    Attributes:
        bb_length: bars of the bands.
        bb_std: population standard deviations from the mean to either band.
        bb_long_threshold: buy where the close lies below this share of the way from the lower band to the upper.
        bb_short_threshold: sell where it lies above this share.
        weight: as a strategy, fraction of equity over all symbols.
        exits: as a strategy, barriers round a position; Hummingbot's own by default.
    """

    controller_name: ClassVar[str] = "bollinger_v1"
    bb_length: int = 100
    bb_std: float = 2.0
    bb_long_threshold: float = 0.0
    bb_short_threshold: float = 1.0
    weight: float = 1.0
    exits: Exits | None = DEFAULT_EXITS

    def __post_init__(self) -> None:
        _require_periods(self.controller_name, bb_length=self.bb_length)
        _require_positive(self.controller_name, bb_std=self.bb_std, weight=self.weight)
        _require_numbers(
            self.controller_name,
            bb_long_threshold=self.bb_long_threshold,
            bb_short_threshold=self.bb_short_threshold,
        )

    @property
    def warmup(self) -> int:
        """The bands' own bars."""
        return self.bb_length

    def signal_of(self, candles: pd.DataFrame) -> np.ndarray:
        """The signal by bar; see `SignalController.signal_of`."""
        from reports.hummingbot.indicators import bollinger

        place, width = bollinger(candles["close"], self.bb_length, self.bb_std)
        return _sides(
            place < self.bb_long_threshold, place > self.bb_short_threshold, known=~(np.isnan(place) | np.isnan(width))
        )


@dataclass(frozen=True)
class MacdBbV1(SignalController):
    """`macd_bb_v1`: the bands' signal where the MACD, still on the other side of 0, has begun to turn.

    Attributes:
        bb_length, bb_std, bb_long_threshold, bb_short_threshold: as in `BollingerV1`.
        macd_fast, macd_slow, macd_signal: bars of the two averages, and of their difference's own.
        weight, exits: as in `BollingerV1`.
    """

    controller_name: ClassVar[str] = "macd_bb_v1"
    bb_length: int = 100
    bb_std: float = 2.0
    bb_long_threshold: float = 0.0
    bb_short_threshold: float = 1.0
    macd_fast: int = 21
    macd_slow: int = 42
    macd_signal: int = 9
    weight: float = 1.0
    exits: Exits | None = DEFAULT_EXITS

    def __post_init__(self) -> None:
        _require_periods(
            self.controller_name, bb_length=self.bb_length, macd_fast=self.macd_fast, macd_slow=self.macd_slow
        )
        _require_periods(self.controller_name, least=1, macd_signal=self.macd_signal)
        _require_positive(self.controller_name, bb_std=self.bb_std, weight=self.weight)
        _require_numbers(
            self.controller_name,
            bb_long_threshold=self.bb_long_threshold,
            bb_short_threshold=self.bb_short_threshold,
        )

    @property
    def warmup(self) -> int:
        """Until what lies before the averages weighs less than a 10^-9 in them, and the bands are known."""
        return max(self.bb_length, 11 * max(self.macd_fast, self.macd_slow) + 11 * self.macd_signal)

    def signal_of(self, candles: pd.DataFrame) -> np.ndarray:
        """The signal by bar; see `SignalController.signal_of`."""
        from reports.hummingbot.indicators import bollinger, macd

        place, width = bollinger(candles["close"], self.bb_length, self.bb_std)
        line, histogram = macd(candles["close"], self.macd_fast, self.macd_slow, self.macd_signal)
        known = ~(np.isnan(place) | np.isnan(width) | np.isnan(line) | np.isnan(histogram))
        long = (place < self.bb_long_threshold) & (histogram > 0.0) & (line < 0.0)
        short = (place > self.bb_short_threshold) & (histogram < 0.0) & (line > 0.0)
        return _sides(long, short, known=known)


@dataclass(frozen=True)
class SupertrendV1(SignalController):
    """`supertrend_v1`: with the supertrend, while the close is near its line.

    The file that ships with Hummingbot cannot be backtested there: its two one-sided columns are empty on the other
    side, the backtester drops every bar with an empty cell, and none is left. This is the signal that it trades live.

    Attributes:
        length: bars of the average true range.
        multiplier: true ranges from the middle of a bar to either band.
        percentage_threshold: farthest that the close may lie from the line, a fraction of the close.
        weight, exits: as in `BollingerV1`.
    """

    controller_name: ClassVar[str] = "supertrend_v1"
    length: int = 20
    multiplier: float = 4.0
    percentage_threshold: float = 0.01
    weight: float = 1.0
    exits: Exits | None = DEFAULT_EXITS

    def __post_init__(self) -> None:
        _require_periods(self.controller_name, least=1, length=self.length)
        _require_positive(
            self.controller_name,
            multiplier=self.multiplier,
            percentage_threshold=self.percentage_threshold,
            weight=self.weight,
        )

    @property
    def warmup(self) -> int:
        """The line remembers since the trend last turned; by then it has turned, but for the calmest of markets."""
        return 50 * self.length + 1

    def signal_of(self, candles: pd.DataFrame) -> np.ndarray:
        """The signal by bar; see `SignalController.signal_of`."""
        from reports.hummingbot.indicators import supertrend

        line, direction = supertrend(candles, self.length, self.multiplier)
        close = candles["close"].to_numpy(dtype=np.float64)
        near = np.abs(close - line) / close < self.percentage_threshold
        known = ~(np.isnan(line) | np.isnan(direction))
        return _sides((direction == 1.0) & near, (direction == -1.0) & near, known=known)


@dataclass(frozen=True)
class AiLivestream(SignalController):
    """`ai_livestream`: what a model's probabilities say, sent over MQTT.

    The market must hold them as fields, known at the close of the bar they stand on: `probability_short`,
    `probability_long`.

    Attributes:
        long_threshold: buy where the probability of a rise is above it, and of a fall is not above the other.
        short_threshold: sell where the probability of a fall is above it; it is looked at first.
        weight, exits: as in `BollingerV1`.
    """

    controller_name: ClassVar[str] = "ai_livestream"
    long_threshold: float = 0.5
    short_threshold: float = 0.5
    weight: float = 1.0
    exits: Exits | None = DEFAULT_EXITS

    def __post_init__(self) -> None:
        _require_numbers(self.controller_name, long_threshold=self.long_threshold, short_threshold=self.short_threshold)
        _require_positive(self.controller_name, weight=self.weight)

    @property
    def warmup(self) -> int:
        """A message speaks for itself."""
        return 1

    def signal(self, market: Market) -> pd.DataFrame:
        """The signal of every symbol; a bar without probabilities keeps the last ones, as Hummingbot does."""
        for name in ("probability_short", "probability_long"):
            if name not in market:
                raise ValidationError(
                    f"ai_livestream: the market has no field {name!r}; add it with market.with_fields(...), or give "
                    "ControllerBaseline a signal of your own"
                )
        short, long = market["probability_short"].ffill(), market["probability_long"].ffill()
        table = pd.DataFrame(0.0, index=market.index, columns=pd.Index(market.symbols, name="symbol"))
        table = table.mask(long > self.long_threshold, 1.0).mask(short > self.short_threshold, -1.0)
        return table.where(market.close.notna())

    def signal_of(self, candles: pd.DataFrame) -> np.ndarray:  # noqa: ARG002  (it reads none)
        """Refuses: candles alone say nothing here."""
        raise ValidationError("ai_livestream: candles alone give no signal; call signal(market)")


def _sides(long: np.ndarray, short: np.ndarray, *, known: np.ndarray) -> np.ndarray:
    """1, -1 or 0, NaN where not known; where both hold, short, which Hummingbot sets last."""
    sides = np.where(short, -1.0, np.where(long, 1.0, 0.0))
    return np.where(known, sides, np.nan)


def _require_periods(name: str, *, least: int = 2, **periods: object) -> None:
    for field, bars in periods.items():
        if isinstance(bars, bool) or not isinstance(bars, int) or bars < least:
            raise ValidationError(f"{name}: {field} {bars!r} must be a whole number of bars, at least {least}")


def _require_positive(name: str, **values: object) -> None:
    for field, value in values.items():
        if not is_number(value) or value <= 0:
            raise ValidationError(f"{name}: {field} {value!r} must be a positive number")


def _require_numbers(name: str, **values: object) -> None:
    for field, value in values.items():
        if not is_number(value):
            raise ValidationError(f"{name}: {field} {value!r} must be a number")
