"""The production-readiness list: what the system that Ladder replaces planned, and mostly lacked, item by item.

Of its production modules none had a daily loss limit, a kill switch, a check for stale signals, a reconciliation of
orders or a check of prices (docs/gate.md says which item comes from where). Each item here has its evidence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from engine.limits import RiskLimits
from reports.promotion.evidence import Measured

_SHARPE, _DRAWDOWN, _UPTIME = 1.0, 0.20, 0.99  # the plan's own targets
# The limits of a card, and how one is shown.
_LIMITS: Final = {
    "max_position": "limit on each position",
    "max_daily_loss": "daily loss limit",
    "max_drawdown": "drawdown limit",
    "max_data_age": "no order on stale data",
    "price_collar": "no order far from the last price",
}
_NEEDED: Final = ("max_position", "max_gross", "max_daily_loss", "max_drawdown")


class Item(NamedTuple):
    """One item: what, whether it is so, and by what that is shown."""

    name: str
    ok: bool
    shown: str


def readiness(
    risk: RiskLimits | None, measured: Mapping[str, Measured], stats: Mapping[str, Any], subject: Mapping[str, str]
) -> Measured:
    """The share of the list that holds; its chart has the list.

    Args:
        risk: limits of the card.
        measured: of the live rung, by check.
        stats: figures of the backtest that was judged for paper.
        subject: what is judged.
    """
    items = [_limit(risk, name) for name in _LIMITS]
    items += [
        _measured("kill switch", measured, "kill_switch"),
        _measured("orders and balances reconciled", measured, "reconciled"),
        _measured("rehearsed under faults and kills", measured, "rehearsal"),
        _measured("alerts delivered", measured, "alerts"),
        _measured("account and key checked", measured, "account"),
        _measured("validated on paper", measured, "paper_decisions"),
        _uptime(measured),
        _figure("Sharpe ratio", stats, "sharpe", _SHARPE, "at least"),
        _figure("drawdown", stats, "max_drawdown", -_DRAWDOWN, "not below"),
        _pins(subject),
    ]
    lacking = [item.name for item in items if not item.ok]
    told = f"{len(items) - len(lacking)} of {len(items)} items" + (f"; lacking {', '.join(lacking)}" if lacking else "")
    return Measured(1.0 - len(lacking) / len(items), told, {"items": [item._asdict() for item in items]})


def risk_limits(risk: RiskLimits | None) -> Measured:
    """Whether a card has the limits that no session should be without."""
    values = {name: None if risk is None else getattr(risk, name) for name in _NEEDED}
    lacking = [name for name, value in values.items() if value is None]
    if lacking:
        return Measured(0.0, f"the card's [risk] lacks {', '.join(lacking)}")
    return Measured(1.0, ", ".join(f"{name} {value:g}" for name, value in values.items()))


def _limit(risk: RiskLimits | None, name: str) -> Item:
    value = None if risk is None else getattr(risk, name)
    return Item(_LIMITS[name], value is not None, f"[risk] {name} is {'not set' if value is None else value}")


def _measured(name: str, measured: Mapping[str, Measured], check: str) -> Item:
    found = measured.get(check)
    ok = found is not None and found.value == 1.0
    return Item(name, ok, "not measured" if found is None else found.told or ("yes" if ok else "no"))


def _uptime(measured: Mapping[str, Measured]) -> Item:
    found = measured.get("stale")
    if found is None or found.value is None:
        return Item(f"awake {_UPTIME:.0%} of the time", False, "not measured: no paper run")
    return Item(
        f"awake {_UPTIME:.0%} of the time", 1.0 - found.value >= _UPTIME, f"{1.0 - found.value:.1%} of the bars"
    )


def _figure(words: str, stats: Mapping[str, Any], name: str, bound: float, way: str) -> Item:
    try:
        value = float(stats[name])
    except (KeyError, ValueError):
        return Item(f"{words} {way} {bound:g}", False, "the record for paper has none")
    return Item(f"{words} {way} {bound:g}", value >= bound, f"{value:.2f} in the backtest that was judged")


def _pins(subject: Mapping[str, str]) -> Item:
    """Whether what is installed is what requirements.lock pins."""
    pinned, there = (json.loads(subject.get(name, "{}")) for name in ("lock_text", "installed_text"))
    others = sorted(name for name, version in there.items() if version not in pinned[name][0].split())
    told = f"{len(there)} installed packages as pinned" if not others else f"not as pinned: {', '.join(others[:5])}"
    return Item("dependencies pinned", bool(there) and not others, told)
