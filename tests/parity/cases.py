"""Runs as hypothesis draws and shrinks them: candles, decisions, barriers, order styles, venues, costs, limits.

What happens at a bar of a symbol is eight bytes, each the place in a list of choices: drawn at once they cost little, and
hypothesis shrinks a run by bars, by symbols and towards the first of each list, where nothing happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd

from data import Market
from data.timeframe import parse_timeframe
from engine import Costs, Exits, LimitOrders, Result, RiskLimits, SquareRootImpact, Strategy, Venue, backtest, paper

NAN, INF = float("nan"), float("inf")
FIELDS = ("open", "high", "low", "close", "volume")
ENGINES = {"backtest": backtest, "paper": paper}


class Table:
    """A table of a strategy, whose name does not spell it out."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    def __repr__(self) -> str:
        return f"Table({len(self.frame)})"


@dataclass(frozen=True, eq=False)
class Drawn(Strategy):
    """Decisions, barriers and their scale, as drawn."""

    decisions: Table
    exits: Exits | None = None
    scales: Table | None = None
    warmup: int = 0

    def targets(self, market: Market) -> pd.DataFrame:
        return self.decisions.frame

    def scale(self, market: Market) -> pd.DataFrame | None:
        return None if self.scales is None else self.scales.frame


@dataclass(frozen=True, eq=False)
class Case:
    """One run."""

    strategy: Drawn
    market: Market
    terms: dict[str, Any] = field(default_factory=dict)

    def both(self) -> tuple[Result, Result]:
        return self.run("backtest"), self.run("paper")

    def run(self, engine: str) -> Result:
        return ENGINES[engine](self.strategy, self.market, **self.terms)

    @property
    def venues(self) -> dict[str, Venue]:
        venue = self.terms["venue"]
        return dict.fromkeys(self.market.symbols, venue) if isinstance(venue, Venue) else venue

    @property
    def spot(self) -> bool:
        return not any(venue.shorts for venue in self.venues.values())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """All that one needs to make the case again, where hypothesis shows it."""
        printer.text(f"Case: {self.market}, warmup {self.strategy.warmup}, {self.strategy.exits}\n")
        for name, value in self.terms.items():
            printer.text(f"  {name}: {value}\n")
        for symbol in self.market.symbols:
            columns = {name: self.market[name][symbol] for name in FIELDS}
            columns["target"] = self.strategy.targets(self.market)[symbol]
            if self.strategy.scales is not None:
                columns["scale"] = self.strategy.scales.frame[symbol]
            printer.text(f"  {symbol}\n{pd.DataFrame(columns).to_string(float_format=repr)}\n")


# Round figures on purpose: exact ties are where two engines would part. The first of each list is the plainest.
PRICES = st.one_of(st.sampled_from([10.0, 100.0, 1.0, 0.1, 0.3, 7.0]), st.floats(1e-8, 1e6))
KINDS = ("move", "jump", "above", "below", "volume", "there", "target", "scale")
CHOICES = {
    "move": [1.0, 1.0, 1.0, 1.1, 0.9, 0.98, 1.02, 1.001, 0.5, 2.0],
    "jump": [1.0, 1.0, 1.0, 1.05, 0.95, 0.7, 1.4],
    "above": [0.0, 0.0, 0.01, 0.05, 0.3],
    "below": [0.0, 0.0, 0.01, 0.05, 0.3],
    "volume": [1.0, 1000.0, 0.0],
    "there": [True] * 8 + [False],
    "scale": [NAN, 1.0, 0.5, 2.0],
}
TARGETS = [NAN, NAN, NAN, NAN, 0.0, 1.0, 0.5, 0.1, -0.5, -1.0]
FRACTIONS = [0.01, 0.05, 0.1, 0.02, 0.0001, 0.5]
MOST_SYMBOLS = 5


def maybe(choices: list[Any], nothing: int = 1) -> st.SearchStrategy:
    """One of the choices, or None as often as `nothing` of them."""
    return st.sampled_from([None] * nothing + choices)


@st.composite
def choices(draw: st.DrawFn, bars: int, symbols: int) -> dict[str, np.ndarray]:
    """By kind, what was chosen, (bars, symbols). Rows are as wide for one symbol as for five: fewer keep what they had."""
    width = len(KINDS) * MOST_SYMBOLS
    rows = [draw(st.binary(min_size=width, max_size=width)) for _ in range(bars)]
    places = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(bars, MOST_SYMBOLS, len(KINDS))[:, :symbols]
    lists = {**CHOICES, "target": [*TARGETS, *draw(st.tuples(st.floats(-1, 1), st.floats(-1, 1)))]}
    return {kind: np.array(lists[kind])[places[:, :, at] % len(lists[kind])] for at, kind in enumerate(KINDS)}


@st.composite
def markets(draw: st.DrawFn, names: list[str]) -> tuple[Market, dict[str, pd.DataFrame]]:
    """Flat bars, jumps through any barrier, long wicks, zero volume, missing bars, days without any; and the tables."""
    timeframe, first, most = draw(st.sampled_from([("1h", 0, 30), ("1h", 22, 30), ("4h", 20, 30), ("1d", 0, 40)]))
    bars = draw(st.integers(2, most))
    chosen = draw(choices(bars, len(names)))
    base = np.array([draw(PRICES) for _ in names])
    close = base * np.cumprod(chosen["move"], axis=0)
    opens = np.vstack([base, close[:-1]]) * chosen["jump"]
    prices = {
        "open": opens,
        "high": np.maximum(opens, close) * (1.0 + chosen["above"]),
        "low": np.minimum(opens, close) * (1.0 - chosen["below"]),
        "close": close,
        "volume": chosen["volume"],
    }
    there = chosen["there"].copy()
    there[0, ~there.any(axis=0)] = True
    step = parse_timeframe(timeframe)
    outage = draw(st.sampled_from([0, 0, 0, 3, 40])) * (np.arange(bars) >= draw(st.integers(1, bars - 1)))
    start = pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(hours=first)
    index = pd.DatetimeIndex(start + (np.arange(bars) + outage) * step, name="time").as_unit("ns")
    rows = there.any(axis=1)
    on_grid = draw(st.booleans())

    def table(values: np.ndarray) -> pd.DataFrame:
        frame = pd.DataFrame(values[rows], index=index[rows], columns=pd.Index(names, name="symbol"))
        return frame.reindex(grid) if on_grid else frame

    grid = pd.date_range(index[rows][0], index[rows][-1], freq=step, name="time").as_unit("ns")
    market = Market({name: table(np.where(there, values, NAN)) for name, values in prices.items()}, timeframe)
    return market, {"target": table(chosen["target"]), "scale": table(chosen["scale"])}


@st.composite
def exits(draw: st.DrawFn) -> Exits | None:
    if draw(st.integers(0, 3)) == 0:
        return None
    trailing = draw(maybe([(0.0001, 0.05), (0.01, 0.1), (0.02, 0.01), (0.05, 0.5), (0.1, 0.02)], 3))
    limits = ["1h", "3h", "90min", "8h", "2D"]
    return Exits(
        stop_loss=draw(maybe(FRACTIONS, 3)),
        take_profit=draw(maybe(FRACTIONS, 3)),
        trailing=trailing,
        time_limit=draw(maybe([pd.Timedelta(limit) for limit in limits], 8)),
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
        min_notional=draw(st.sampled_from([0.0, 0.0, 10.0, 123.4])),
        min_amount=draw(st.sampled_from([0.0, 0.0, 0.5])),
        max_amount=draw(st.sampled_from([INF, INF, 50.0])),
        max_notional=draw(st.sampled_from([INF, INF, 5_000.0])),
        fees=draw(st.sampled_from([(0.001, 0.001), (-0.0001, 0.0007)])),
    )


@st.composite
def costs(draw: st.DrawFn, spot: bool, market: Market) -> Costs:
    funding = None
    if not spot and draw(st.booleans()):
        late = pd.Timedelta(draw(st.sampled_from(["0min", "30min"])))
        every = draw(st.sampled_from(["1h", "40min", "8h", "1D"]))
        times = pd.date_range(market.index[0] + late, periods=draw(st.integers(1, 8)), freq=every)
        rates = st.sampled_from([0.0001, -0.0001, 0.01, 0.0])
        funding = pd.Series(draw(st.lists(rates, min_size=len(times), max_size=len(times))), index=times)
        if draw(st.booleans()):
            funding = {market.symbols[0]: funding}
    tiers = draw(st.sampled_from([(), (), ((1.0, 0.0, 0.0005), (5_000.0, -0.0001, 0.0002))]))
    fees = [0.0, 0.001, 0.05, (0.0002, 0.0007), (-0.0001, 0.0005), *(["venue"] if not tiers else [])]
    impact = SquareRootImpact(coefficient=0.1, base=0.0005, most=0.05)
    return Costs(
        fee=draw(st.sampled_from(fees)),
        slippage=draw(st.sampled_from([0.0, 0.0005, 0.01, impact])),
        funding=funding,
        borrow=draw(st.sampled_from([0.0, 0.0, 0.5])),
        tiers=tiers,
        fee_in=draw(st.sampled_from(["quote", "bought"])) if spot else "quote",
    )


@st.composite
def limits(draw: st.DrawFn) -> RiskLimits:
    return RiskLimits(
        max_position=draw(maybe([0.3, 1.0], 3)),
        max_gross=draw(maybe([0.7, 1.5], 3)),
        max_net=draw(maybe([0.2, 1.0], 3)),
        max_order_notional=draw(maybe([50.0, 2_000.0], 4)),
        max_daily_loss=draw(maybe([0.02, 0.2], 4)),
        max_drawdown=draw(maybe([0.05, 0.4], 6)),
        max_orders_per_minute=draw(maybe([1, 2], 6)),
        max_data_age=draw(maybe([pd.Timedelta("30min"), pd.Timedelta("2h")], 8)),
        price_collar=draw(maybe([0.01, 0.2], 4)),
    )


@st.composite
def cases(draw: st.DrawFn, *, spot: bool | None = None, limited: bool | None = None, exited: bool = False) -> Case:
    """Any run; or one on spot, one with risk limits, one with barriers.

    An account is on spot, on venues with shorts, or on both.
    """
    names = [f"S{number}/USD" for number in range(draw(st.integers(1, MOST_SYMBOLS)))]
    kind = "spot" if spot else draw(st.sampled_from(["spot", "shorts", "shorts", "mixed"]))
    if kind == "mixed":
        shorts = {name: draw(st.booleans()) for name in names}
    else:
        shorts = dict.fromkeys(names, kind == "shorts")
    market, tables = draw(markets(names))
    barriers = draw(exits().filter(lambda exits: exits is not None) if exited else exits())
    targets = tables["target"]
    targets = targets.mask((targets < 0.0) & ~np.array([shorts[name] for name in names]), -targets)
    scaled = barriers is not None and draw(st.booleans())
    if kind != "mixed" and draw(st.booleans()):
        venue: Any = draw(venues(shorts[names[0]]))
    else:
        venue = {name: draw(venues(shorts[name])) for name in names}
    has_limits = draw(st.booleans()) if limited is None else limited
    style = LimitOrders(
        offset=draw(st.sampled_from([0.0, 0.01, 0.1])),
        alive=draw(st.integers(1, 3)),
        then=draw(st.sampled_from(["cancel", "market"])),
    )
    terms = {
        "cash": draw(st.sampled_from([1_000.0, 100.0, 1.0, 12_345.67])),
        "costs": draw(costs(not any(shorts.values()), market)),
        "venue": venue,
        "risk": draw(limits()) if has_limits else None,
        "orders": draw(maybe([style])),
    }
    scale = Table(tables["scale"]) if scaled else None
    return Case(Drawn(Table(targets), barriers, scale, draw(st.integers(0, 4))), market, terms)
