"""The library's strategies: each a model of how to write one."""

from research.strategies.bollinger import BollingerReversion
from research.strategies.momentum import CrossMomentum
from research.strategies.sma import SmaCross

__all__ = ["BollingerReversion", "CrossMomentum", "SmaCross"]
