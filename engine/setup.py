"""What a run is given as objects, laid out as the numbers that brokers work with."""

from __future__ import annotations

import numpy as np

from data.market import Market
from data.timeframe import parse_timeframe
from engine.charges import funding_rates
from engine.costs import Costs, SquareRootImpact
from engine.exits import Exits
from engine.guard import NS_PER_DAY
from engine.kernel_state import VENUE, Barriers, Bars, Limits, Setup, Style, Terms
from engine.limits import RiskLimits
from engine.order_style import LimitOrders
from engine.venue import Venue

_NS_PER_YEAR = 365 * NS_PER_DAY


def make_setup(
    exits: Exits | None,
    market: Market,
    costs: Costs,
    venues: tuple[Venue, ...],
    risk: RiskLimits | None,
    orders: LimitOrders | None,
) -> Setup:
    """Every type exact (float, int, C-ordered writable arrays): numba compiles anew for any other.

    Raises:
        ValidationError: funding that does not fit the bars.
    """
    return Setup(
        bars=_bars(market),
        terms=_terms(market, costs, venues),
        barriers=make_barriers(exits),
        style=Style(
            rests=orders is not None,
            offset=0.0 if orders is None else float(orders.offset),
            alive=0 if orders is None else orders.alive,
            then_market=orders is not None and orders.then == "market",
        ),
        limits=_limits(risk),
        order_notional=0.0,
    )


def _bars(market: Market) -> Bars:
    times = market.index.as_unit("ns").asi8.copy()
    prices = {
        name: np.array(market[name], dtype=np.float64, order="C") for name in ("open", "high", "low", "close", "volume")
    }
    return Bars(**prices, times=times, days=times // NS_PER_DAY, length=int(parse_timeframe(market.timeframe).value))


def _terms(market: Market, costs: Costs, venues: tuple[Venue, ...]) -> Terms:
    if costs.fee == "venue":
        fees = np.array([venue.fees for venue in venues], dtype=np.float64)
    else:
        fees = np.tile([costs.maker_fee, costs.taker_fee], (len(venues), 1))
    impact = costs.slippage
    if not isinstance(impact, SquareRootImpact):
        impact = SquareRootImpact(coefficient=0.0, base=float(impact), most=max(float(impact), 0.1))
    before = within = np.empty((0, 0))
    if costs.funding is not None:
        before, within = funding_rates(costs.funding, market, [venue.shorts for venue in venues])
    times = market.index.as_unit("ns").asi8
    borrow = np.empty(0)
    if costs.borrow > 0.0:
        borrow = costs.borrow * np.diff(times, prepend=times[:1]) / _NS_PER_YEAR
    return Terms(
        tiers=np.array(costs.tiers, dtype=np.float64).reshape(-1, 3),
        slip_base=float(impact.base),
        slip_coefficient=float(impact.coefficient),
        slip_most=float(impact.most),
        fee_in_bought=costs.fee_in == "bought",
        borrow=borrow,
        funding_before=before,
        funding_within=within,
        venues=_venue_records(venues, fees),
        liquidates=any(venue.shorts for venue in venues),
    )


def _venue_records(venues: tuple[Venue, ...], fees: np.ndarray) -> np.ndarray:
    names = (
        "amount_step",
        "price_tick",
        "min_notional",
        "min_amount",
        "max_amount",
        "max_notional",
        "leverage",
        "maintenance_margin",
        "price_digits",
    )
    rows = [(*fee, *(getattr(venue, name) for name in names)) for fee, venue in zip(fees, venues, strict=True)]
    return np.array(rows, dtype=VENUE)


def make_barriers(exits: Exits | None) -> Barriers:
    """Fractions of the average entry, NaN for none."""
    if exits is None:
        exits = Exits()
    activation, delta = exits.trailing or (None, None)
    limit = exits.time_limit

    def level(value: float | None) -> float:
        return float("nan") if value is None else float(value)

    return Barriers(
        stop=level(exits.stop_loss),
        profit=level(exits.take_profit),
        activation=level(activation),
        delta=level(delta),
        time_limit=0 if limit is None else int(limit.as_unit("ns").value),
    )


def _limits(risk: RiskLimits | None) -> Limits:
    on = risk is not None
    if risk is None:
        risk = RiskLimits()

    def bound(value: float | None) -> float:
        return float("inf") if value is None else float(value)

    return Limits(
        on=on,
        position=bound(risk.max_position),
        gross=bound(risk.max_gross),
        net=bound(risk.max_net),
        notional=bound(risk.max_order_notional),
        orders_per_minute=risk.max_orders_per_minute or 0,
        data_age=0 if risk.max_data_age is None else int(risk.max_data_age.as_unit("ns").value),
        collar=bound(risk.price_collar),
        daily_loss=bound(risk.max_daily_loss),
        drawdown=bound(risk.max_drawdown),
    )
