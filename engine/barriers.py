"""Execution rule 5 as arithmetic on plain numbers: average entry, barriers, the trailing stop.

Leaf functions as in `engine.rules`, compiled by the kernel and called by the paper broker. `side` is 1.0 for a long,
-1.0 for a short. A level that is not there is NaN: no comparison with it is true.
"""

from __future__ import annotations


def average_entry(held: float, average: float, amount: float, price: float) -> float:
    """Average entry price after a fill of `amount` that opens or enlarges `held` (both signed alike, or held is 0)."""
    return (abs(held) * average + abs(amount) * price) / (abs(held) + abs(amount))


def barrier_price(average: float, side: float, fraction: float, scale: float) -> float:
    """Level at `fraction` * `scale` of the average entry: in the position's favour where positive, against it below.

    NaN where there is no such barrier; not rounded to the tick yet.
    """
    return average * (1.0 + side * fraction * scale)


def trailing_price(average: float, side: float, best: float, activation: float, delta: float, scale: float) -> float:
    """Level of the trailing stop: `delta` of the average entry behind the best price once that gained `activation`.

    NaN before, and where there is no trailing stop.
    """
    gained = side * (best - average)
    if not gained >= activation * scale * average:
        return float("nan")
    return best - side * delta * scale * average


def best_price(best: float, side: float, high: float, low: float) -> float:
    """The most favourable price since entry, a completed bar counted."""
    return max(best, high) if side > 0.0 else min(best, low)


def is_tighter(trailing: float, stop: float, side: float) -> bool:
    """Whether the trailing stop takes the stop loss's place: it is there, and nearer to the market."""
    return trailing == trailing and not side * (trailing - stop) <= 0.0


def stop_reference(side: float, start: float, high: float, low: float, stop: float) -> float:
    """Price at which a stop goes off within a bar that begins at `start`; NaN where it does not.

    At `start` where that is at the stop or beyond, else at the stop if the range reaches it.
    """
    if side * (start - stop) <= 0.0:
        return start
    return stop if side * ((low if side > 0.0 else high) - stop) <= 0.0 else float("nan")


def profit_reference(side: float, start: float, high: float, low: float, profit: float) -> float:
    """The same for a take profit, which rests in the book: at `start` where that is better, else at its price."""
    if side * (start - profit) >= 0.0:
        return start
    return profit if side * ((high if side > 0.0 else low) - profit) >= 0.0 else float("nan")
