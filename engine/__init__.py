"""How a strategy is executed: one set of rules, and the brokers that obey it.

from engine import Costs, Strategy, Venue, backtest, paper
"""

from engine.brokers import backtest, paper
from engine.causality import check_causality
from engine.costs import Costs, SquareRootImpact
from engine.exits import Exits
from engine.limits import RiskLimits
from engine.order_style import LimitOrders
from engine.result import Result
from engine.strategy import Strategy
from engine.venue import Venue

__all__ = [
    "Costs",
    "Exits",
    "LimitOrders",
    "Result",
    "RiskLimits",
    "SquareRootImpact",
    "Strategy",
    "Venue",
    "backtest",
    "check_causality",
    "paper",
]
