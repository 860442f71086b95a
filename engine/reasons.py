"""Why an order was filled: the words of the `reason` column, the same from every broker."""

from __future__ import annotations

from typing import Final

from engine.guard import CASH, RULES

(
    TARGET,
    LIMIT_TARGET,
    EXPIRED_LIMIT,
    REFUSED_LIMIT,
    STOP_LOSS,
    TRAILING_STOP,
    TAKE_PROFIT,
    TIME_LIMIT,
    HALT_DAILY_LOSS,
    HALT_DRAWDOWN,
    LIQUIDATION,
) = range(11)

_BASES: Final = (
    "target",
    "target, limit",
    "target, limit expired",
    "target, limit refused",
    "stop loss",
    "trailing stop",
    "take profit",
    "time limit",
    "halt, daily loss",
    "halt, drawdown",
    "liquidation",
)


def reason_text(reason: int, cut: int) -> str:
    """The order's reason, and what cut it: a rule of `engine.guard.RULES`, 0 for none."""
    if not cut:
        return _BASES[reason]
    return f"{_BASES[reason]}, cut {'to what cash pays' if cut == CASH else f'by {RULES[cut]}'}"
