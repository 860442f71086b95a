"""The rules of Hummingbot's directional backtest as arithmetic on plain numbers, one function a rule.

They were checked against the engine's own runs (`docs/hummingbot.md`). Where its arithmetic decides on which bar an
exit falls (how returns are compounded, how a stop's price is formed), the same operations are done here in the same
order, so that ties are decided alike. As in `engine.rules`, each function is a leaf: `kernel` compiles it as it stands.

A side is 1 for long (BUY) and -1 for short (SELL). A barrier that is switched off is NaN, and no comparison with NaN is
true.
"""

from __future__ import annotations

from typing import Final

# Hummingbot's own numbers of the ways an executor ends.
TIME_LIMIT: Final = 1
STOP_LOSS: Final = 2
TAKE_PROFIT: Final = 3
EARLY_STOP: Final = 5
TRAILING_STOP: Final = 6
CLOSE_TYPES: Final = {
    TIME_LIMIT: "TIME_LIMIT",
    STOP_LOSS: "STOP_LOSS",
    TAKE_PROFIT: "TAKE_PROFIT",
    EARLY_STOP: "EARLY_STOP",
    TRAILING_STOP: "TRAILING_STOP",
}


def net_profit(growth: float, side: int, trade_cost: float) -> float:
    """Net profit of an executor, a fraction of its entry's notional; both legs' cost counts from the first bar.

    Args:
        growth: close over the entry price.
        side: 1 long, -1 short.
        trade_cost: cost of one leg.
    """
    return (growth - 1.0) * side - 2.0 * trade_cost


def takes_profit(profit: float, take_profit: float) -> bool:
    """Whether the net profit at a close exceeds the barrier."""
    return profit > take_profit


def is_stopped(low: float, high: float, entry: float, side: int, stop_loss: float) -> bool:
    """Whether a bar's range reaches the stop, costs left out. The entry's own bar counts, though it came before."""
    stop = entry * (1.0 - stop_loss * side)
    return low <= stop if side > 0 else high >= stop


def is_trailed(profit: float, best: float, activation: float, delta: float) -> bool:
    """Whether the net profit at a close lies more than `delta` below the best close, that one above `activation`."""
    return best > activation and profit < best - delta


def shares_slots(side: int, other: int) -> bool:
    """Whether an active executor of side `other` takes one of the slots that a new one of `side` needs.

    For a long only longs do; for a short all do, a defect of Hummingbot's that decides its numbers.
    """
    return side < 0 or other > 0


def may_open(taken: int, slots: int, elapsed: int, cooldown: int) -> bool:
    """Whether a slot is free and more than the cooldown has passed since the newest executor in them was created."""
    return taken < slots and elapsed > cooldown
