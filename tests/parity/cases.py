"""Runs as hypothesis draws and shrinks them: candles, decisions, barriers, order styles, venues, costs, limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd

from data import Market
from engine import Costs, Exits, LimitOrders, Result, RiskLimits, SquareRootImpact, Strategy, Venue, backtest, paper

START = pd.Timestamp("2024-01-01", tz="UTC")


@dataclass(frozen=True, eq=False)
class Drawn(Strategy):
    """Decisions, barriers and their scale, as drawn."""

    table: pd.DataFrame
    exits: Exits | None = None
    scales: pd.DataFrame | None = None
    warmup: int = 0

    def targets(self, market: Market) -> pd.DataFrame:
        return self.table

    def scale(self, market: Market) -> pd.DataFrame | None:
        return self.scales


@dataclass(frozen=True, eq=False)
class Case:
    """One run."""

    strategy: Drawn
    market: Market
    terms: dict[str, Any] = field(default_factory=dict)

    def both(self) -> tuple[Result, Result]:
        return self.run(backtest), self.run(paper)

    def run(self, broker: Any) -> Result:
        return broker(self.strategy, self.market, **self.terms)

    @property
    def venues(self) -> dict[str, Venue]:
        venue = self.terms["venue"]
        return dict.fromkeys(self.market.symbols, venue) if isinstance(venue, Venue) else venue


# Round figures on purpose: exact ties are where two engines would part.
PRICES = st.one_of(st.sampled_from([1.0, 10.0, 100.0, 0.1, 0.3, 7.0]), st.floats(1e-8, 1e6))
MOVES = st.sampled_from([1.0, 1.0, 1.0, 1.1, 0.9, 0.98, 1.02, 1.001, 0.5, 2.0])
JUMPS = st.sampled_from([1.0, 1.0, 1.0, 1.05, 0.95, 0.7, 1.4])
WICKS = st.sampled_from([0.0, 0.0, 0.01, 0.05, 0.3])
WEIGHTS = st.one_of(st.none(), st.none(), st.sampled_from([0.0, 1.0, 0.5, 0.1, -0.5, -1.0]), st.floats(-1, 1))
FRACTIONS = st.sampled_from([0.01, 0.05, 0.1, 0.02, 0.0001, 0.5])


def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(st.none(), strategy)


@st.composite
def candles(draw: st.DrawFn, bars: int, timeframe: str = "1h") -> pd.DataFrame:
    """Flat bars, jumps through any barrier, long wicks, zero volume, missing bars."""

    def column(values: st.SearchStrategy) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=bars, max_size=bars)))

    base = draw(PRICES)
    close = base * np.cumprod(column(MOVES))
    opens = np.concatenate([[base], close[:-1]]) * column(JUMPS)
    frame = pd.DataFrame(
        {
            "open": opens,
            "high": np.maximum(opens, close) * (1.0 + column(WICKS)),
            "low": np.minimum(opens, close) * (1.0 - column(WICKS)),
            "close": close,
            "volume": column(st.sampled_from([0.0, 1.0, 1000.0])),
        },
        index=pd.date_range(START, periods=bars, freq=timeframe),
    )
    kept = column(st.sampled_from([True, True, True, True, False]))
    kept[draw(st.integers(0, bars - 1))] = True
    return frame[kept]


@st.composite
def exits(draw: st.DrawFn) -> Exits | None:
    if draw(st.integers(0, 3)) == 0:
        return None
    return Exits(
        stop_loss=draw(maybe(FRACTIONS)),
        take_profit=draw(maybe(FRACTIONS)),
        trailing=draw(maybe(st.tuples(FRACTIONS, FRACTIONS))),
        time_limit=draw(maybe(st.sampled_from([pd.Timedelta("1h"), pd.Timedelta("3h"), pd.Timedelta("90min")]))),
    )


@st.composite
def venues(draw: st.DrawFn, shorts: bool) -> Venue:
    leverage = draw(st.sampled_from([1.0, 1.0, 3.0, 10.0])) if shorts else 1.0
    return Venue(
        shorts=shorts,
        leverage=leverage,
        maintenance_margin=draw(st.sampled_from([0.0, 0.01, 0.09])) if shorts else 0.0,
        amount_step=draw(st.sampled_from([0.0, 0.001, 0.1, 1.0, 0.003, 25.0, 1e-8])),
        price_tick=draw(st.sampled_from([0.0, 0.0, 0.01, 1e-8])),
        price_digits=draw(st.sampled_from([0, 0, 5])),
        min_notional=draw(st.sampled_from([0.0, 10.0, 123.4])),
        min_amount=draw(st.sampled_from([0.0, 0.0, 0.5])),
        max_amount=draw(st.sampled_from([np.inf, np.inf, 50.0])),
        max_notional=draw(st.sampled_from([np.inf, np.inf, 5_000.0])),
    )


@st.composite
def costs(draw: st.DrawFn, shorts: bool, symbols: list[str]) -> Costs:
    rates = st.sampled_from([0.0, 0.0001, -0.0001, 0.01])
    funding = None
    if shorts and draw(st.booleans()):
        times = pd.date_range(START, periods=draw(st.integers(1, 8)), freq=draw(st.sampled_from(["1h", "40min", "8h"])))
        funding = pd.Series(draw(st.lists(rates, min_size=len(times), max_size=len(times))), index=times)
        if draw(st.booleans()):
            funding = {symbols[0]: funding}
    tiers = draw(st.sampled_from([(), (), ((1.0, 0.0, 0.0005), (5_000.0, -0.0001, 0.0002))]))
    impact = SquareRootImpact(coefficient=0.1, base=0.0005, most=0.05)
    return Costs(
        fee=draw(st.sampled_from([0.0, 0.001, 0.05, (0.0002, 0.0007), (-0.0001, 0.0005)])),
        slippage=draw(st.sampled_from([0.0, 0.0005, 0.01, impact])),
        funding=funding,
        borrow=draw(st.sampled_from([0.0, 0.0, 0.5])),
        tiers=tiers,
        fee_in="quote" if shorts else draw(st.sampled_from(["quote", "bought"])),
    )


@st.composite
def limits(draw: st.DrawFn) -> RiskLimits | None:
    if draw(st.booleans()):
        return None
    return RiskLimits(
        max_position=draw(maybe(st.sampled_from([0.3, 1.0]))),
        max_gross=draw(maybe(st.sampled_from([0.7, 1.5]))),
        max_net=draw(maybe(st.sampled_from([0.4, 1.0]))),
        max_order_notional=draw(maybe(st.sampled_from([50.0, 2_000.0]))),
        max_daily_loss=draw(maybe(st.sampled_from([0.02, 0.2]))),
        max_drawdown=draw(maybe(st.sampled_from([0.05, 0.4]))),
        max_orders_per_minute=draw(maybe(st.sampled_from([1, 2]))),
        max_data_age=draw(maybe(st.sampled_from([pd.Timedelta("30min"), pd.Timedelta("2h")]))),
        price_collar=draw(maybe(st.sampled_from([0.01, 0.2]))),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    bars = draw(st.integers(2, 30))
    names = [f"S{number}/USD" for number in range(draw(st.integers(1, 5)))]
    timeframe = draw(st.sampled_from(["1h", "1h", "4h"]))
    shorts = draw(st.booleans())
    market = Market.from_frames({name: draw(candles(bars, timeframe)) for name in names}, timeframe=timeframe)
    if draw(st.booleans()):
        market = market.on_grid()
    bars = len(market)
    barriers = draw(exits())

    def table(values: st.SearchStrategy) -> pd.DataFrame:
        rows = {name: draw(st.lists(values, min_size=bars, max_size=bars)) for name in names}
        return pd.DataFrame({name: np.array(row, dtype=np.float64) for name, row in rows.items()}, index=market.index)

    targets = table(WEIGHTS)
    multiples = None
    if barriers is not None and draw(st.booleans()):
        multiples = table(st.one_of(st.none(), st.sampled_from([1.0, 0.5, 2.0])))
    venue = draw(venues(shorts))
    if draw(st.booleans()):
        venue = {name: draw(venues(shorts)) for name in names}
    style = LimitOrders(
        offset=draw(st.sampled_from([0.0, 0.01, 0.1])),
        alive=draw(st.integers(1, 3)),
        then=draw(st.sampled_from(["cancel", "market"])),
    )
    terms = {
        "cash": draw(st.sampled_from([1.0, 100.0, 1_000.0, 12_345.67])),
        "costs": draw(costs(shorts, names)),
        "venue": venue,
        "risk": draw(limits()),
        "orders": draw(maybe(st.just(style))),
    }
    strategy = Drawn(targets if shorts else targets.abs(), barriers, multiples, draw(st.integers(0, 4)))
    return Case(strategy, market, terms)
