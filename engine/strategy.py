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
from typing import TYPE_CHECKING, Any, ClassVar

from data.errors import ValidationError

if TYPE_CHECKING:
    import pandas as pd

    from data.market import Market
    from engine.exits import Exits


class Strategy(ABC):
    """Base of every strategy: a frozen dataclass whose fields are its parameters.

    `exits`, where a strategy has them, is a class attribute, a field or a property of its own.
    """

    exits: ClassVar[Exits | None] = None

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
            position as it is. It must be causal: row t may depend on rows up to t alone.
        """


def parameters(strategy: Strategy) -> dict[str, Any]:
    """The strategy's parameters by name.

    Raises:
        ValidationError: the strategy is not a frozen dataclass.
    """
    kind = type(strategy)
    settings = getattr(kind, "__dataclass_params__", None)
    if not is_dataclass(strategy) or "__dataclass_fields__" not in vars(kind) or not getattr(settings, "frozen", False):
        raise ValidationError(
            f"{kind.__name__}: a strategy is a frozen dataclass; write @dataclass(frozen=True) above its class"
        )
    return {item.name: getattr(strategy, item.name) for item in fields(strategy)}


def label(strategy: Strategy) -> str:
    """Name and parameters as one would write them: "SmaCross(fast=20, slow=50)"."""
    given = ", ".join(f"{name}={value!r}" for name, value in parameters(strategy).items())
    return f"{type(strategy).__name__}({given})"
