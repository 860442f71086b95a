"""The executors of one symbol, as each kind of controller creates them: what the compiled passes write, laid out.

Bars are given by their position among those that the controller sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from reports.hummingbot.config import ControllerConfig
from reports.hummingbot.dca import DManV3, Levels
from reports.hummingbot.market_making import PmmSimple

Bars = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

_NO_LIMIT: Final = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, eq=False)
class Legs:
    """Fills of executors with their exits, one array per fact, each (M,).

    Attributes:
        executor: position in the executors' arrays.
        opened, closed: bars of the fill and of the exit.
        amount: base currency.
        notional: quote currency at the fill.
        booked: whether the executor's profit has it.
    """

    executor: np.ndarray
    opened: np.ndarray
    closed: np.ndarray
    amount: np.ndarray
    notional: np.ndarray
    booked: np.ndarray


@dataclass(frozen=True, eq=False)
class Lives:
    """The executors of one symbol in the order of creation, one array per fact, each (K,), and their fills.

    Attributes:
        opened, closed: bars of creation and end.
        side: 1 or -1.
        kind: how each ended, Hummingbot's number.
        amount: base currency, 0 where nothing was booked but for an order that waited.
        fraction: net profit over the notional.
        pnl: net profit, quote currency.
        notional: quote currency booked at the entry.
        level: number of the order among the controller's levels; None where there is one kind of order.
        legs: the fills.
        realised: profit counted up to each bar, quote currency, (T,).
    """

    opened: np.ndarray
    closed: np.ndarray
    side: np.ndarray
    kind: np.ndarray
    amount: np.ndarray
    fraction: np.ndarray
    pnl: np.ndarray
    notional: np.ndarray
    level: np.ndarray | None
    legs: Legs
    realised: np.ndarray


def market_entries(bars: Bars, signal: np.ndarray, target: np.ndarray, config: ControllerConfig) -> Lives:
    """Executors that enter at the close of a signal's bar.

    Args:
        bars: times (int64 ns), high, low, close.
        signal: 1, -1 or 0.
        target: what the barriers of an executor are multiplied by.
        config: barriers, slots, size, cost.
    """
    from reports.hummingbot.kernel import simulate

    executors, realised = _room(int(np.count_nonzero(signal)), 4), np.empty(len(signal))
    terms = (*_slots(config), float(config.total_amount_quote), float(config.trade_cost))
    count = simulate(bars, signal, target, _barriers(config), terms, executors, realised)
    opened, closed, side, kind = executors[0][:count].T
    amount, fraction, pnl, notional = executors[1][:count].T
    legs = Legs(np.arange(count), opened, closed, amount, notional, np.ones(count, dtype=bool))
    return Lives(opened, closed, side, kind, amount, fraction, pnl, notional, None, legs, realised)


def averaged_entries(
    bars: Bars, signal: np.ndarray, levels: Levels, controller: DManV3, config: ControllerConfig
) -> Lives:
    """Executors that average into their position, level by level.

    Args:
        bars: times (int64 ns), high, low, close.
        signal: 1, -1 or 0.
        levels: prices of the executors that each signal could create, in the order of the signals.
        controller: whose clock its executors are stamped with.
        config: slots, size, cost.
    """
    from reports.hummingbot.dca_kernel import simulate_dca

    signals, depth = int(np.count_nonzero(signal)), levels.entry.shape[1]
    executors, realised = _room(signals, 4), np.empty(len(signal))
    filled = (np.empty((signals * depth, 5), dtype=np.int64), np.empty((signals * depth, 2)))
    rows = np.cumsum(signal != 0) - 1
    slots, cooldown, limit = _slots(config)
    if controller.wall_clock:
        # Stamped far behind the bars, none is ever due, and while one lives its cooldown never ends.
        cooldown, limit = _NO_LIMIT - 1, _NO_LIMIT
    count, fills = simulate_dca(
        bars,
        signal,
        rows,
        (levels.entry, levels.activation, levels.profit, levels.stop, levels.amount, levels.delta),
        (slots, cooldown, limit, float(config.trade_cost)),
        executors,
        filled,
        realised,
    )
    opened, closed, side, kind = executors[0][:count].T
    amount, fraction, pnl, notional = executors[1][:count].T
    executor, entered, left, _, booked = filled[0][:fills].T
    base, quote = filled[1][:fills].T
    legs = Legs(executor, entered, left, base, quote, booked.astype(bool))
    return Lives(opened, closed, side, kind, amount, fraction, pnl, notional, None, legs, realised)


def waiting_orders(bars: Bars, controller: PmmSimple, config: ControllerConfig) -> Lives:
    """Executors whose orders wait on both sides of the price.

    Args:
        bars: times (int64 ns), high, low, close.
        controller: distances and parts of the orders.
        config: barriers, size, cost.
    """
    from reports.hummingbot.market_making_kernel import simulate_orders

    prices = controller.prices(bars[3])
    executors, realised = _room(prices.size, 6), np.empty(len(prices))
    _, cooldown, limit = _slots(config)
    count = simulate_orders(
        bars,
        prices,
        controller.sides,
        controller.quotes(float(config.total_amount_quote)),
        _barriers(config),
        (cooldown, limit, int(controller.executor_refresh_time.as_unit("ns").value), float(config.trade_cost)),
        executors,
        realised,
    )
    opened, closed, side, kind, level, fill = executors[0][:count].T
    amount, fraction, pnl, notional = executors[1][:count].T
    own = np.flatnonzero(fill >= 0)
    legs = Legs(own, fill[own], closed[own], amount[own], notional[own], np.ones(len(own), dtype=bool))
    return Lives(opened, closed, side, kind, amount, fraction, pnl, notional, level, legs, realised)


def _room(count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return np.empty((count, width), dtype=np.int64), np.empty((count, 4))


def _barriers(config: ControllerConfig) -> tuple[float, ...]:
    """Stop loss, take profit, trailing activation and delta; NaN for none."""
    activation, delta = config.trailing_stop or (None, None)
    given = (config.stop_loss, config.take_profit, activation, delta)
    return tuple(math.nan if barrier is None else float(barrier) for barrier in given)


def _slots(config: ControllerConfig) -> tuple[Any, ...]:
    """Slots, cooldown and time limit in ns."""
    limit = config.time_limit
    return (
        int(config.max_executors_per_side),
        int(config.cooldown_time.as_unit("ns").value),
        _NO_LIMIT if limit is None else int(limit.as_unit("ns").value),
    )
