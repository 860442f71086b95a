"""What a live session decides at a close: the strategy asked once, on the trailing window, and its answer checked.

    decision = decide(strategy, window.market(), enrich, venues)
    decision.targets, decision.scale, decision.inputs

The checks are those that a backtest makes of a whole table of targets; here they are made of each row as it comes, for
it comes from a model or a file that nobody has looked at yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.strategy import Strategy, label
from engine.venue import Venue


@dataclass(frozen=True)
class Decision:
    """What was decided on a closed bar.

    Attributes:
        targets: by symbol in the market's order, NaN to leave a position as it is.
        scale: of the barriers' distances, the same way; None for 1.
        inputs: digest of all that it was decided on.
    """

    targets: list[float]
    scale: list[float] | None
    inputs: str


def decide(
    strategy: Strategy, window: Market, enrich: Callable[[Market], Market] | None, venues: Mapping[str, Venue]
) -> Decision:
    """Ask the strategy what to hold after a window's last bar.

    Args:
        strategy: what decides.
        window: the closed bars.
        enrich: adds forecasts and daily values to them; None for none.
        venues: by symbol.

    Raises:
        ValidationError: a target outside [-1, 1], or below 0 where the venue is spot; a scale that is not positive.
    """
    market = window if enrich is None else enrich(window)
    symbols = list(market.symbols)
    inputs = digest(market)
    targets: list[float] = strategy.decide(market)[symbols].tolist()
    table = strategy.scale(market)
    scale = None
    if table is not None and strategy.exits is not None:
        scale = [1.0 if value != value else float(value) for value in table.iloc[-1][symbols]]
    for place, (symbol, target) in enumerate(zip(symbols, targets, strict=True)):
        where = f"{label(strategy)}: {symbol} bar {market.index[-1]}"
        if abs(target) > 1.0:
            raise ValidationError(f"{where}: target {target:g} is outside [-1, 1]; a target is a fraction of equity")
        if target < 0.0 and not venues[symbol].shorts:
            raise ValidationError(f"{where}: target {target:g} is negative and the venue is spot, which never is short")
        if scale is not None and target == target and not 0.0 < scale[place] < np.inf:
            raise ValidationError(f"{where}: scale {scale[place]:g} must be a positive multiple of the barriers")
    return Decision(targets, scale, inputs)


def digest(market: Market) -> str:
    """Of what a decision was taken on: symbols, fields, times and values."""
    found = hashlib.sha256(repr((market.symbols, sorted(market))).encode())
    found.update(pd.DatetimeIndex(market.index).as_unit("ns").asi8.tobytes())
    for name in sorted(market):
        found.update(np.ascontiguousarray(market[name].to_numpy(dtype=np.float64)).tobytes())
    return found.hexdigest()[:32]
