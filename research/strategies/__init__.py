"""The library's strategies: each a model of how to write one. Loaded when first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.lazy import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
