"""The library's strategies: each a model of how to write one. Loaded when first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from research.strategies.bollinger import BollingerReversion
    from research.strategies.momentum import CrossMomentum
    from research.strategies.quantile import QuantileSignal
    from research.strategies.sma import SmaCross
    from research.strategies.sma_rsi import SmaRsi

__all__ = ["BollingerReversion", "CrossMomentum", "QuantileSignal", "SmaCross", "SmaRsi"]

_HOMES = {
    "BollingerReversion": "research.strategies.bollinger",
    "CrossMomentum": "research.strategies.momentum",
    "QuantileSignal": "research.strategies.quantile",
    "SmaCross": "research.strategies.sma",
    "SmaRsi": "research.strategies.sma_rsi",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
