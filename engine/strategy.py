"""What a strategy is: parameters, a warm-up, and a table of target weights. Nothing else.

    @dataclass(frozen=True)
    class Breakout(Strategy):
        window: int = 48

        @property
        def warmup(self) -> int:
            return self.window + 1

        def targets(self, market: Market) -> pd.DataFrame:
            ceiling = market.high.rolling(self.window).max().shift(1)
            floor = market.low.rolling(self.window).min().shift(1)
            weights = pd.DataFrame(np.nan, index=market.index, columns=list(market.symbols))
            return weights.mask(market.close > ceiling, 1.0).mask(market.close < floor, 0.0)

No engine, no order and no clock is visible to it: that is what lets the same object run in every broker.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from data.errors import ValidationError

if TYPE_CHECKING:
    from data.market import Market
    from engine.exits import Exits


_MOST_SHOWN: Final = 8


class Strategy(ABC):
    """Base of every strategy: a frozen dataclass whose fields are its parameters.

    `exits` and `order_notional`, where a strategy has them, are class attributes, fields or properties of its own.

    Attributes:
        exits: barriers round a position; None for none.
        order_notional: what a target of 1 is worth in quote currency, for strategies whose orders have a fixed size.
            A target then opens a position of that size, or turns one; while one is held on its side, it is left as it
            is: no second order adds to it. None, the default: targets are fractions of equity.
    """

    exits: Exits | None = None
    order_notional: float | None = None

    @property
    @abstractmethod
    def warmup(self) -> int:
        """Bars that must be known before the first decision: row `warmup - 1` is the first that may decide."""

    @abstractmethod
    def targets(self, market: Market) -> pd.DataFrame:
        """Weights to hold from the next bar on.

        Args:
            market: the panel of bars; row t is known at the close of bar t.

        Returns:
            A table of the market's shape, time by symbol: the fraction of equity to hold, in [-1, 1]; NaN leaves the
            position as it is. It must be causal: row t may depend on rows up to t alone
            (`engine.causality.check_causality` tries it).
        """

    def scale(self, market: Market) -> pd.DataFrame | None:  # noqa: ARG002  (for those that override it)
        """Multiples of the distances of `exits`, by decision: None for none, the default.

        A table of the market's shape, positive numbers, as causal as `targets`; NaN stands for 1. What the row of a
        decision says holds for the position that it opens or enlarges: a volatility forecast widens its barriers. The
        time limit is not scaled.
        """
        return None

    def decide(self, window: Market) -> pd.Series:
        """Weights to hold after a window's last bar: the last row of its targets. A live session asks at each close.

        It is the row that a run over the whole history gives, as long as the strategy needs no more than its warm-up.

        Args:
            window: the bars up to now, the last of them complete; at least `warmup` of each symbol. Where bars are
                missing, as many more: what is filled from too few is not what the backtest saw.

        Returns:
            By symbol, in the market's order, the fraction of equity to hold, float64; NaN leaves the position as it
            is. Its name is the last bar's opening time.

        Raises:
            ValidationError: the window has fewer than `warmup` bars, or the targets do not end with its last bar.
        """
        needed = max(self.warmup, 1)
        if len(window) < needed:
            raise ValidationError(
                f"{label(self)}: a window of {len(window)} bars is too short to decide on; it needs at least {needed} "
                "(its warm-up), and as many more as bars are missing in it"
            )
        symbols, now = list(window.symbols), window.index[-1]
        table = self.targets(window)
        if not isinstance(table, pd.DataFrame) or not len(table) or table.index[-1] != now:
            ends = f"end with {table.index[-1]}" if isinstance(table, pd.DataFrame) and len(table) else "have no row"
            raise ValidationError(
                f"{label(self)}: targets {ends}, the window ends with {now}; index them by market.index"
            )
        if set(table.columns) != set(symbols) or table.columns.has_duplicates:
            raise ValidationError(
                f"{label(self)}: targets have the columns {list(table.columns)}, the window holds {symbols}; "
                "give each symbol one column, NaN to leave it alone"
            )
        return table.iloc[-1][symbols].astype("float64")


def parameters(strategy: Strategy) -> dict[str, Any]:
    """The strategy's parameters by name.

    Raises:
        ValidationError: the strategy is not a frozen dataclass, or a class sets a field without its type.
    """
    kind = type(strategy)
    settings = getattr(kind, "__dataclass_params__", None)
    if not is_dataclass(strategy) or "__dataclass_fields__" not in vars(kind) or not getattr(settings, "frozen", False):
        raise ValidationError(
            f"{kind.__name__}: a strategy is a frozen dataclass; write @dataclass(frozen=True) above its class"
        )
    names = [item.name for item in fields(strategy)]
    for name in names:
        # The first class that has it: there it must be a field, or what stands there never reaches the instance.
        owner = next(owner for owner in kind.__mro__ if name in vars(owner) or name in _annotations(owner))
        if name not in _annotations(owner):
            raise ValidationError(
                f"{owner.__name__}: {name} is a field, and set without its type it changes nothing; "
                f"write {name}: {type(vars(owner)[name]).__name__} = ..."
            )
    return {name: getattr(strategy, name) for name in names}


def _annotations(owner: type) -> dict[str, Any]:
    found: dict[str, Any] = vars(owner).get("__annotations__", {})
    return found


def label(strategy: Strategy) -> str:
    """Name and parameters as one would write them, "SmaCross(fast=20, slow=50)"; exits that are not set left out.

    Of a strategy with more than eight parameters, those that are as by default are left out too.
    """
    shown = {name: value for name, value in parameters(strategy).items() if name != "exits" or value is not None}
    if len(shown) > _MOST_SHOWN:
        usual = {item.name: item.default for item in fields(strategy)}  # type: ignore[arg-type]  # parameters() has checked
        shown = {name: value for name, value in shown.items() if not _is_same(value, usual[name])}
    given = ", ".join(f"{name}={value!r}" for name, value in shown.items())
    return f"{type(strategy).__name__}({given})"


def _is_same(value: Any, usual: Any) -> bool:
    return type(value) is type(usual) and bool(value == usual)
