"""`dman_v3`: a directional controller that averages into a position, level by level, and its executors.

Entries wait at prices below (long) or above (short) the signal's close, each with a part of the amount. All levels
leave together: on a trailing stop or take profit round their average price, or, once the last one is filled, on a stop
loss. Prices are formed in decimals here, in Hummingbot's order of operations, and rounded as `thresholds` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Final

import numpy as np
import pandas as pd

from data.candles import CANDLE_COLUMNS
from data.errors import ValidationError
from data.market import Market
from reports.hummingbot.config import ControllerConfig
from reports.hummingbot.controllers import BollingerV1
from reports.hummingbot.thresholds import at_least, at_most, exact

_WHOLE: Final = Decimal("1.0")


@dataclass(frozen=True)
class DManV3:
    """`dman_v3`: the Bollinger signal, executed by averaging in.

    Attributes:
        bb_length, bb_std, bb_long_threshold, bb_short_threshold: the signal's, as in `BollingerV1`.
        dca_spreads: distance of each level from the signal's close, a fraction of it, as text or Decimal.
        dca_amounts_pct: each level's part of the amount, in any unit; None for equal parts.
        dynamic_order_spread: multiply the spreads by half the bands' width. Hummingbot's backtester takes the width of
            the LAST bar of its data for every executor, a look into the future; so does this.
        dynamic_target: multiply stop loss and trailing stop (and the take profit) by it as well.
        takes_profit: whether the controller hands `take_profit` to its executors. Older copies of the file do not.
        wall_clock: whether it stamps executors with the time of day instead of the bar's, as copies of the file up to
            2025 do: in a backtest no time limit is then ever reached, and one executor at a time lives in a pool.
    """

    controller_name: ClassVar[str] = "dman_v3"
    bb_length: int = 100
    bb_std: float = 2.0
    bb_long_threshold: float = 0.0
    bb_short_threshold: float = 1.0
    dca_spreads: tuple[Decimal | str, ...] = ("0.001", "0.018", "0.15", "0.25")
    dca_amounts_pct: tuple[Decimal | str, ...] | None = None
    dynamic_order_spread: bool = False
    dynamic_target: bool = False
    takes_profit: bool = True
    wall_clock: bool = False

    def __post_init__(self) -> None:
        self._bands  # noqa: B018  (checks its parameters)
        spreads = _decimals("dca_spreads", self.dca_spreads)
        if not self.dynamic_order_spread and max(spreads) >= 1:
            raise ValidationError(f"dman_v3: dca_spreads {self.dca_spreads!r}: each must be below 1, a price of 0")
        if self.dca_amounts_pct is not None:
            amounts = _decimals("dca_amounts_pct", self.dca_amounts_pct)
            if len(amounts) != len(spreads):
                raise ValidationError(
                    f"dman_v3: {len(amounts)} dca_amounts_pct for {len(spreads)} dca_spreads; give each level one"
                )
        if self.dynamic_target and not self.dynamic_order_spread:
            raise ValidationError(
                "dman_v3: dynamic_target without dynamic_order_spread changes nothing in some copies of the controller "
                "and every barrier in others; set both or neither"
            )

    @property
    def default_config(self) -> ControllerConfig:
        """Hummingbot's own for this controller: a trailing stop of 0.5% from 1.5% on beside the usual barriers."""
        return ControllerConfig(trailing_stop=(0.015, 0.005))

    def signal(self, market: Market) -> pd.DataFrame:
        """The bands' signal, time by symbol; see `SignalController.signal`."""
        return self._bands.signal(market)

    def width_factor(self, market: Market, symbol: str) -> Decimal:
        """What multiplies the spreads of a symbol: 1, or half the bands' width on its last bar."""
        if not self.dynamic_order_spread:
            return _WHOLE
        from reports.hummingbot.indicators import bollinger

        candles = pd.DataFrame({name: market[name][symbol] for name in CANDLE_COLUMNS}).dropna()
        width = bollinger(candles["close"], self.bb_length, self.bb_std)[1]
        if not len(width) or not width[-1] > 0.0:
            raise ValidationError(f"dman_v3: {symbol} has no Bollinger bands of {self.bb_length} bars to scale by")
        return Decimal(float(width[-1]) / 200)

    @property
    def spreads(self) -> tuple[Decimal, ...]:
        """`dca_spreads` as numbers."""
        return _decimals("dca_spreads", self.dca_spreads)

    @property
    def parts(self) -> tuple[Decimal, ...]:
        """Each level's part of the whole amount."""
        if self.dca_amounts_pct is None:
            return tuple(_WHOLE / len(self.spreads) for _ in self.spreads)
        amounts = _decimals("dca_amounts_pct", self.dca_amounts_pct)
        return tuple(amount / sum(amounts) for amount in amounts)

    @property
    def _bands(self) -> BollingerV1:
        return BollingerV1(self.bb_length, self.bb_std, self.bb_long_threshold, self.bb_short_threshold)


@dataclass(frozen=True, eq=False)
class Levels:
    """The prices of the executors that could be created, one row for each bar with a signal, (K, L) or (K,).

    Attributes:
        entry: a close at or beyond it fills the level.
        activation: a close at or beyond it arms the trailing stop of the levels up to this one; NaN for none.
        profit: a close at or beyond it takes the profit of the levels up to this one; NaN for none.
        stop: a range that reaches it stops the whole; NaN for none.
        amount: quote currency of each level.
        delta: what a close is multiplied by to give the trailing stop's price, for a long and for a short.
    """

    entry: np.ndarray
    activation: np.ndarray
    profit: np.ndarray
    stop: np.ndarray
    amount: np.ndarray
    delta: tuple[float, float]


def levels_of(
    controller: DManV3, config: ControllerConfig, factor: Decimal, closes: np.ndarray, sides: np.ndarray
) -> Levels:
    """Every price of the executors that signals at these closes would create.

    Args:
        controller: spreads, parts, and what is passed on.
        config: barriers and size.
        factor: what multiplies the spreads.
        closes: (K,), the signals' closes.
        sides: (K,), 1 or -1.

    Raises:
        ValidationError: a level's price would not be positive, or there is no stop loss, without which Hummingbot's
            backtester breaks off once the last level is filled.
    """
    if config.stop_loss is None:
        raise ValidationError(
            "dman_v3: stop_loss None: Hummingbot's backtester fails with it on the first executor whose last level is "
            "filled; set a stop_loss"
        )
    spreads, parts = controller.spreads, controller.parts
    scale = factor if controller.dynamic_target else None

    def scaled(value: float) -> Decimal:
        return exact(value) if scale is None else exact(value) * scale

    stop = scaled(config.stop_loss)
    profit = scaled(config.take_profit) if controller.takes_profit and config.take_profit is not None else None
    trailing = None if config.trailing_stop is None else tuple(scaled(value) for value in config.trailing_stop)
    shape = (len(closes), len(spreads))
    entry, activation, gain = (np.full(shape, np.nan) for _ in range(3))
    amount, stops = np.empty(shape), np.empty(len(closes))
    whole, slots = exact(config.total_amount_quote), Decimal(config.max_executors_per_side)
    for row, (close, side) in enumerate(zip(closes.tolist(), sides.tolist(), strict=True)):
        price, turn = Decimal(close), int(side)
        # A long enters and stops at prices a close falls to, and takes profits at prices it rises to.
        below, above = (at_most, at_least) if turn > 0 else (at_least, at_most)
        budget = whole / price / slots * price
        quotes = [part * budget for part in parts]
        prices = [price * (1 - spread * factor) if turn > 0 else price * (1 + spread * factor) for spread in spreads]
        if min(prices) <= 0:
            raise ValidationError(f"dman_v3: dca_spreads times {factor:f} put a level at or below a price of 0")
        average = prices[0]
        for level in range(len(prices)):
            if level:
                cost = sum((quotes[i] * prices[i] for i in range(level + 1)), Decimal(0))
                average = cost / sum(quotes[: level + 1], Decimal(0))
            entry[row, level] = below(prices[level])
            amount[row, level] = float(quotes[level])
            if trailing is not None:
                activation[row, level] = above(average * (1 + trailing[0] * turn))
            if profit is not None:
                gain[row, level] = above(average * (1 + profit * turn))
        stops[row] = below(average * (1 - stop * turn))
    fall = Decimal(0) if trailing is None else trailing[1]
    return Levels(entry, activation, gain, stops, amount, (float(1 - fall), float(1 + fall)))


def _decimals(name: str, values: object) -> tuple[Decimal, ...]:
    if not isinstance(values, tuple) or not values:
        raise ValidationError(f"dman_v3: {name} {values!r} must be a tuple of positive numbers as text, ('0.001', ...)")
    numbers = []
    for value in values:
        try:
            number = Decimal(value) if isinstance(value, str | Decimal) else None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite() or number <= 0:
            raise ValidationError(
                f"dman_v3: {name} holds {value!r}; each must be a positive number, as text or Decimal: '0.018'"
            )
        numbers.append(number)
    return tuple(numbers)
