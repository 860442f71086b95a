"""The one way in: the same call for every broker. The engines themselves load when they are first needed."""

from __future__ import annotations

from collections.abc import Mapping

from data.market import Market
from engine.costs import Costs
from engine.limits import RiskLimits
from engine.order_style import LimitOrders
from engine.result import Result
from engine.run import prepare
from engine.strategy import Strategy
from engine.venue import Venue


def backtest(
    strategy: Strategy,
    market: Market,
    *,
    cash: float = 10_000.0,
    costs: Costs = Costs(),  # noqa: B008  (frozen: one shared default is safe)
    venue: Venue | Mapping[str, Venue] = Venue(),  # noqa: B008
    risk: RiskLimits | None = None,
    orders: LimitOrders | None = None,
) -> Result:
    """Run a strategy over past bars in the vectorized engine (vectorbt).

        result = backtest(SmaCross(fast=20, slow=50), load_sample(), cash=10_000)

    Args:
        strategy: an instance of a Strategy.
        market: the bars.
        cash: what the run begins with, quote currency.
        costs: fees, slippage, funding, borrowing.
        venue: trading rules, one for all symbols or a mapping by symbol.
        risk: risk limits; None for none.
        orders: `LimitOrders`, or None for orders at the market.

    Raises:
        ValidationError: an input is wrong; raised before any bar is executed.
    """
    run = prepare(strategy, market, cash, costs, venue, risk, orders)
    from engine.vectorized import run_vectorized

    return run_vectorized(run)


def paper(
    strategy: Strategy,
    market: Market,
    *,
    cash: float = 10_000.0,
    costs: Costs = Costs(),  # noqa: B008
    venue: Venue | Mapping[str, Venue] = Venue(),  # noqa: B008
    risk: RiskLimits | None = None,
    orders: LimitOrders | None = None,
) -> Result:
    """Run a strategy bar by bar in the event-driven paper broker (backtrader): same arguments, same result.

    A progress bar shows on a terminal when the run is long.

    Raises:
        ValidationError: an input is wrong; raised before any bar is executed.
    """
    run = prepare(strategy, market, cash, costs, venue, risk, orders)
    from engine.event_driven import run_paper

    return run_paper(run)
