"""Runs as hypothesis draws and shrinks them: candles, decisions, barriers, order styles, venues, costs, limits.

What happens at a bar of a symbol is eight bytes, each the place in a list of choices: drawn at once they cost little,
and hypothesis shrinks a run by bars, by symbols and towards the first of each list, where nothing happens.
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
    order_notional: float | None = None

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
        strategy = self.strategy
        printer.text(f"Case: {self.market}, warmup {strategy.warmup}, {strategy.exits}, {strategy.order_notional}\n")
        for name, value in self.terms.items():
            printer.text(f"  {name}: {value}\n")
        for symbol in self.market.symbols:
            columns = {name: self.market[name][symbol] for name in FIELDS}
            columns["target"] = self.strategy.targets(self.market)[symbol]
            if self.strategy.scales is not None:
                columns["scale"] = self.strategy.scales.frame[symbol]
            printer.text(
                f"  {symbol}\n{pd.DataFrame(columns).to_string(float_format=lambda value: repr(float(value)))}\n"
            )


# Round figures on purpose: exact ties are where two engines would part. The first of each list is the plainest. A price
# and two weights of each case may be any number.
PRICES = [10.0, 100.0, 1.0, 0.1, 0.3, 7.0]
TARGETS = [NAN, NAN, NAN, NAN, 0.0, 1.0, 0.5, 0.1, -0.5, -1.0]
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
FRACTIONS = [0.01, 0.05, 0.1, 0.02, 0.0001, 0.5]
TRAILING = [(0.0001, 0.05), (0.01, 0.1), (0.02, 0.01), (0.05, 0.5), (0.1, 0.02)]
TIERS = ((1.0, 0.0, 0.0005), (5_000.0, -0.0001, 0.0002))
MOST_SYMBOLS = 5
ANYTHING = (st.floats(1e-8, 1e6), st.floats(-1, 1), st.floats(-1, 1))
EIGHT = st.binary(min_size=8, max_size=8)
TERMS = 15  # times eight choices that are made once a run


class Picks:
    """Choices of one run that are made once: a byte for each, read one after the other."""

    def __init__(self, drawn: bytes) -> None:
        self._bytes = iter(drawn)

    def one(self, *choices: Any) -> Any:
        return choices[next(self._bytes) % len(choices)]

    def maybe(self, choices: list[Any], nothing: int = 1) -> Any:
        """One of the choices, or None as often as `nothing` of them."""
        return self.one(*[None] * nothing, *choices)


def hours(*counts: float) -> list[pd.Timedelta]:
    return [pd.Timedelta(hours=count) for count in counts]


def make_market(pick: Picks, cells: bytes, anything: list[float]) -> tuple[Market, dict[str, pd.DataFrame]]:
    """Flat bars, jumps through any barrier, long wicks, zero volume, missing bars, days without any; and the tables.

    `cells` has as many for one symbol as for five: of fewer each keeps what it had.
    """
    timeframe, first = pick.one(("1h", 0), ("1h", 22), ("4h", 20), ("1d", 0))
    names = [f"S{number}/USD" for number in range(pick.one(1, 2, 3, 4, 5))]
    places = np.frombuffer(cells, dtype=np.uint8).reshape(-1, MOST_SYMBOLS, len(KINDS))[:, : len(names)]
    bars = len(places)
    lists = {**CHOICES, "target": TARGETS + anything[1:]}
    chosen = {kind: np.array(lists[kind])[places[:, :, at] % len(lists[kind])] for at, kind in enumerate(KINDS)}
    base = np.array([pick.one(*PRICES, anything[0]) for _ in range(MOST_SYMBOLS)][: len(names)])
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
    outage = pick.one(0, 0, 0, 3, 40) * (np.arange(bars) >= pick.one(*range(1, bars)))
    start = pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(hours=first)
    index = pd.DatetimeIndex(start + (np.arange(bars) + outage) * step, name="time").as_unit("ns")
    rows_kept = there.any(axis=1)
    grid = pd.date_range(index[rows_kept][0], index[rows_kept][-1], freq=step, name="time").as_unit("ns")
    on_grid = pick.one(False, True)
    columns = pd.Index(names, name="symbol")

    def table(values: np.ndarray) -> pd.DataFrame:
        frame = pd.DataFrame(values[rows_kept], index=index[rows_kept], columns=columns)
        return frame.reindex(grid) if on_grid else frame

    market = Market({name: table(np.where(there, values, NAN)) for name, values in prices.items()}, timeframe)
    return market, {name: table(chosen[name]) for name in ("target", "scale")}


def make_exits(pick: Picks) -> Exits:
    return Exits(
        stop_loss=pick.maybe(FRACTIONS, 3),
        take_profit=pick.maybe(FRACTIONS, 3),
        trailing=pick.maybe(TRAILING, 3),
        time_limit=pick.maybe(hours(1, 3, 1.5, 8, 48), 8),
    )


def make_venue(pick: Picks, shorts: bool) -> Venue:
    leverage, margin = pick.one(1.0, 1.0, 3.0, 10.0), pick.one(0.0, 0.01, 0.09)
    return Venue(
        shorts=shorts,
        leverage=leverage if shorts else 1.0,
        maintenance_margin=margin if shorts else 0.0,
        amount_step=pick.one(0.0, 0.0, 0.001, 0.1, 1.0, 0.003, 25.0, 1e-8),
        price_tick=pick.one(0.0, 0.0, 0.01, 1e-8),
        price_digits=pick.one(0, 0, 5),
        min_notional=pick.one(0.0, 0.0, 0.0, 10.0, 123.4),
        min_amount=pick.one(0.0, 0.0, 0.5),
        max_amount=pick.one(INF, INF, 50.0),
        max_notional=pick.one(INF, INF, 5_000.0),
        fees=pick.one((0.001, 0.001), (-0.0001, 0.0007)),
    )


def make_costs(pick: Picks, perpetual: list[str], market: Market) -> Costs:
    first = market.index[0] + pick.one(*hours(0, 0.5))
    times = pd.date_range(first, periods=8, freq=pick.one("1h", "40min", "8h", "1D"))
    rates: Any = pd.Series([pick.one(0.0001, -0.0001, 0.01, 0.0) for _ in times], index=times)
    rates = pick.one(None, rates, dict.fromkeys(perpetual[:1], rates))
    tiers = pick.one((), (), TIERS)
    fee = pick.one(0.0, 0.001, 0.05, (0.0002, 0.0007), (-0.0001, 0.0005), 0.0007 if tiers else "venue")
    fee_in, borrow = pick.one("quote", "bought"), pick.one(0.0, 0.0, 0.5)
    rebated = bool(tiers) or fee in ("venue", (-0.0001, 0.0005))  # no venue pays a rebate in coins
    return Costs(
        fee=fee,
        slippage=pick.one(0.0, 0.0005, 0.01, SquareRootImpact(coefficient=0.1, base=0.0005, most=0.05)),
        funding=rates if perpetual else None,
        borrow=borrow if perpetual else 0.0,
        tiers=tiers,
        fee_in="quote" if perpetual or rebated else fee_in,
    )


def make_limits(pick: Picks) -> RiskLimits:
    return RiskLimits(
        max_position=pick.maybe([0.3, 1.0], 3),
        max_gross=pick.maybe([0.7, 1.5], 3),
        max_net=pick.maybe([0.2, 1.0], 3),
        max_order_notional=pick.maybe([50.0, 2_000.0], 4),
        max_daily_loss=pick.maybe([0.02, 0.2], 4),
        max_drawdown=pick.maybe([0.05, 0.4], 6),
        max_orders_per_minute=pick.maybe([1, 2], 6),
        max_data_age=pick.maybe(hours(0.5, 2), 8),
        price_collar=pick.maybe([0.01, 0.2], 4),
    )


@st.composite
def cases(
    draw: st.DrawFn, *, spot: bool | None = None, limited: bool | None = None, exited: bool | None = None
) -> Case:
    """Any run; or one on spot, one with risk limits, one with barriers. An account is on spot, with shorts, or both."""
    # Where draws are labelled alike, hypothesis follows each run by five that copy a bar onto another: a label each.
    bars = draw(st.integers(2, 30))
    drawn = [draw(EIGHT, label) for label in range(TERMS + bars * MOST_SYMBOLS)]
    anything = [draw(strategy, 1_000 + at) for at, strategy in enumerate(ANYTHING)]
    pick = Picks(b"".join(drawn[:TERMS]))
    market, tables = make_market(pick, b"".join(drawn[TERMS:]), anything)
    kind = pick.one("spot", "shorts", "shorts", "mixed")
    shorts = [pick.one(True, False) if kind == "mixed" else kind == "shorts" for _ in range(MOST_SYMBOLS)]
    shorts = [each and not spot for each in shorts[: len(market.symbols)]]
    scaled, barriers, own_barriers = pick.one(False, True), make_exits(pick), pick.one(False, True, True, True)
    barriers = barriers if (own_barriers if exited is None else exited) else None
    risk, own_risk = make_limits(pick), pick.one(False, True)
    style = LimitOrders(offset=pick.one(0.0, 0.01, 0.1), alive=pick.one(1, 2, 3), then=pick.one("cancel", "market"))
    terms = {
        "cash": pick.one(1_000.0, 1_000.0, 12_345.67, 100.0, 1.0),
        "costs": make_costs(pick, [name for name, each in zip(market.symbols, shorts, strict=True) if each], market),
        "risk": risk if (own_risk if limited is None else limited) else None,
        "orders": pick.maybe([style]),
    }
    one_venue = pick.one(True, False) and kind != "mixed"
    venues = {name: make_venue(pick, each) for name, each in zip(market.symbols, shorts, strict=True)}
    terms["venue"] = venues[market.symbols[0]] if one_venue else venues
    targets = tables["target"]
    targets = targets.mask((targets < 0.0) & ~np.array(shorts), -targets)
    scale = Table(tables["scale"]) if scaled and barriers is not None else None
    notional = pick.one(None, None, None, 100.0, 777.7)
    return Case(Drawn(Table(targets), barriers, scale, pick.one(0, 1, 2, 3, 4), notional), market, terms)
