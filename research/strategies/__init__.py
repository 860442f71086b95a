"""The library's strategies: each a model of how to write one."""

from research.strategies.bollinger import BollingerReversion
from research.strategies.momentum import CrossMomentum
from research.strategies.sma import SmaCross
from research.strategies.sma_rsi import SmaRsi

__all__ = ["BollingerReversion", "CrossMomentum", "SmaCross", "SmaRsi"]
