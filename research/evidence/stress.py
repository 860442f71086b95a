"""The same run under worse terms: dearer, later, and with other parameters than the chosen ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.costs import Costs, SquareRootImpact
from engine.exits import Exits
from engine.metrics import total_return
from engine.run import Ground, lay_ground
from engine.strategy import Strategy, parameters
from engine.vectorized import run_briefly
from reports.promotion.evidence import Measured, missing

MULTIPLES: Final = (1.0, 2.0, 3.0)
DELAYS: Final = (1, 2)  # bars
_MOST_MULTIPLE: Final = 10.0  # of the costs: beyond it nobody asks
_STEPS: Final = 12  # halvings of the interval in which costs eat the profit
_NUDGE: Final = 0.1  # of a parameter, where no grid says what is next to it


def costs_times(costs: Costs, multiple: float) -> Costs:
    """Fees and slippage times a number; what funding and borrowing cost stays.

    Raises:
        ValidationError: fees are the venue's, or the product is more than an order can cost.
    """
    if costs.fee == "venue":
        raise ValidationError("the fees are the venue's own: give them as numbers to see them doubled")
    maker, taker = (rate * multiple if rate > 0.0 else rate for rate in (costs.maker_fee, costs.taker_fee))
    tiers = tuple((volume, maker * multiple, taker * multiple) for volume, maker, taker in costs.tiers)
    slip = costs.slippage
    if isinstance(slip, SquareRootImpact):
        slip = replace(slip, coefficient=slip.coefficient * multiple, base=min(slip.base * multiple, slip.most))
    else:
        slip = slip * multiple
    return replace(costs, fee=(maker, taker), slippage=slip, tiers=tiers)


def dearer(strategy: Strategy, ground: Ground) -> tuple[Measured, Measured]:
    """Sharpe ratio at twice the costs, and the multiple of the costs at which nothing is earned."""
    try:
        runs = {multiple: _at(strategy, ground, multiple) for multiple in MULTIPLES}
    except ValidationError as error:
        return missing(str(error)), missing(str(error))
    chart = {f"{multiple:g}x": figures["sharpe"] for multiple, (figures, _) in runs.items()}
    told = ", ".join(f"{name} {value:.2f}" for name, value in chart.items())
    double = Measured(float(runs[2.0][0]["sharpe"]), told, chart)
    if runs[1.0][1] <= 0.0:
        return double, Measured(0.0, "nothing is earned at the assumed costs")
    low = max(multiple for multiple, (_, earned) in runs.items() if earned > 0.0)
    high = next((multiple for multiple, (_, earned) in runs.items() if multiple > low), _MOST_MULTIPLE)
    earnings = {multiple: earned for multiple, (_, earned) in runs.items()}
    told = ""
    try:
        if high == _MOST_MULTIPLE:
            earnings[high] = _at(strategy, ground, high)[1]
        if earnings[high] > 0.0:
            low, told = high, f"{high:g} times the costs are not enough to eat the profit"
        for _ in range(0 if told else _STEPS):
            middle = (low + high) / 2.0
            earnings[middle] = _at(strategy, ground, middle)[1]
            low, high = (middle, high) if earnings[middle] > 0.0 else (low, middle)
    except ValidationError:
        told = f"more than {low:g} times the costs are no costs that an order can have"
    multiples = sorted(earnings)
    return double, Measured(low, told, {"x": multiples, "y": [earnings[multiple] for multiple in multiples]})


def _at(strategy: Strategy, ground: Ground, multiple: float) -> tuple[Mapping[str, Any], float]:
    """Figures at a multiple of the costs, and the total return."""
    figures, daily = run_briefly(with_costs(ground, costs_times(ground.costs, multiple)).run(strategy))
    return figures, total_return(daily)


def with_costs(ground: Ground, costs: Costs) -> Ground:
    """The same bars on other costs."""
    venues = dict(zip(ground.market.symbols, ground.venues, strict=True))
    return lay_ground(ground.market, ground.cash, costs, venues, ground.risk, ground.orders)


@dataclass(frozen=True)
class Delayed(Strategy):
    """A strategy whose decisions arrive some bars late."""

    inner: Strategy
    bars: int

    @property
    def warmup(self) -> int:
        """Its own, and the delay."""
        return self.inner.warmup + self.bars

    @property
    def exits(self) -> Exits | None:  # type: ignore[override]
        """Its own."""
        return self.inner.exits

    @property
    def order_notional(self) -> float | None:  # type: ignore[override]
        """Its own."""
        return self.inner.order_notional

    def targets(self, market: Market) -> pd.DataFrame:
        """Those of some bars before."""
        return self.inner.targets(market).shift(self.bars)

    def scale(self, market: Market) -> pd.DataFrame | None:
        """That of some bars before."""
        table = self.inner.scale(market)
        return None if table is None else table.shift(self.bars)


def late_fills(strategy: Strategy, ground: Ground, sharpe: float) -> Measured:
    """Share of the Sharpe ratio that is left when every fill comes one bar later; two bars in words."""
    left = {}
    for bars in DELAYS:
        figures, _ = run_briefly(ground.run(Delayed(strategy, bars)))
        left[bars] = float(figures["sharpe"])
    chart = {"on time": sharpe, **{f"{bars} late": value for bars, value in left.items()}}
    told = ", ".join(f"{name} {value:.2f}" for name, value in chart.items())
    if not sharpe > 0.0:
        return Measured(float("-inf"), f"there is no ratio to lose: {told}", chart)
    return Measured(left[1] / sharpe, told, chart)


def neighbourhood(
    strategy: Strategy, ground: Ground, sharpe: float, grid: Mapping[str, tuple[Any, ...]] | None
) -> Measured:
    """Median Sharpe ratio of the neighbouring sets, as a share of its own.

    Args:
        strategy: the chosen set.
        ground: bars and terms.
        sharpe: its own ratio.
        grid: values that a sweep has tried, by parameter: neighbours are the next values in it. Without one they are a
            tenth to either side.
    """
    found: dict[str, float] = {}
    for told, neighbour in _neighbours(strategy, grid):
        figures, _ = run_briefly(ground.run(neighbour))
        found[told] = float(figures["sharpe"])
    if not found:
        return missing("it has no numeric parameter that could be varied")
    middle = float(np.nanmedian(list(found.values())))
    told = f"{len(found)} neighbours, {min(found.values()):.2f} to {max(found.values()):.2f}, median {middle:.2f}"
    chart = {"chosen": sharpe, **found}
    if not sharpe > 0.0:
        return Measured(float("-inf"), f"it earns nothing itself; {told}", chart)
    return Measured(middle / sharpe, told, chart)


def _neighbours(strategy: Strategy, grid: Mapping[str, tuple[Any, ...]] | None) -> Iterator[tuple[str, Strategy]]:
    kind, values = type(strategy), parameters(strategy)
    for item in fields(strategy):  # type: ignore[arg-type]  # parameters() has checked
        value = values[item.name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        for other in _beside(value, None if grid is None else grid.get(item.name)):
            try:
                yield f"{item.name}={other:g}", kind(**{**values, item.name: other})
            except ValidationError:
                continue  # no strategy, no neighbour


def _beside(value: float, tried: tuple[Any, ...] | None) -> list[float]:
    """The values next to one: of a grid, else a tenth to either side, whole numbers by one at least."""
    if tried is not None:
        numbers = sorted({*(one for one in tried if isinstance(one, int | float)), value})
        at = numbers.index(value)
        return [numbers[place] for place in (at - 1, at + 1) if 0 <= place < len(numbers)]
    if value == 0:
        return []
    step = max(round(abs(value) * _NUDGE), 1) if isinstance(value, int) else abs(value) * _NUDGE
    return [value - step, value + step]
