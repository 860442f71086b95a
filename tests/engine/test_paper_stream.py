"""The paper broker fed bar by bar: `engine.paper` to the last bit, and what it does while nobody is awake."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import Market
from data.errors import ValidationError
from engine import Costs, Exits, LimitOrders, Result, RiskLimits, SquareRootImpact, Strategy, Venue, paper
from engine.paper_stream import Close, PaperStream
from engine.run import lay_ground
from tests.engine.live.on_paper import assert_same
from tests.engine.random_market import made_market

SPOT = Venue(amount_step=1e-3, price_tick=0.01, min_notional=10.0)
PERPETUAL = Venue(shorts=True, leverage=5.0, amount_step=1e-3, price_tick=0.01, maintenance_margin=0.05)
HOUR = pd.Timedelta("1h")
NAN = float("nan")


@dataclass(frozen=True)
class Table(Strategy):
    """Targets that a test wrote down."""

    rows: tuple[tuple[float, ...], ...] = ()
    exits: Exits | None = None
    order_notional: float | None = None
    widths: float = 0.0

    @property
    def warmup(self) -> int:
        return 0

    def targets(self, market: Market) -> pd.DataFrame:
        rows = [
            self.rows[place] if place < len(self.rows) else (NAN,) * len(market.symbols) for place in range(len(market))
        ]
        return pd.DataFrame(rows, market.index, list(market.symbols))

    def scale(self, market: Market) -> pd.DataFrame | None:
        if not self.widths:
            return None
        return (1.0 + self.widths * np.cos(market.close)).clip(lower=0.2)


def streamed(strategy: Strategy, market: Market, asleep: tuple[int, ...] = (), **terms) -> tuple[Result, list[Close]]:
    """The run bar by bar; nobody is awake at the closes of `asleep`."""
    given = {"cash": 10_000.0, "costs": Costs(), "venue": Venue(), "risk": None, "orders": None, **terms}
    run = lay_ground(market, **given).run(strategy)
    values = np.stack([market[name].to_numpy() for name in ("open", "high", "low", "close", "volume")], axis=-1)
    closes = []
    with PaperStream(run) as stream:
        for row, time in enumerate(market.index.as_unit("ns").asi8.tolist()):
            bars = {
                column: tuple(values[row, column].tolist())
                for column in range(len(market.symbols))
                if not np.isnan(values[row, column, 0])
            }
            scale = run.scale[row].tolist() if len(run.scale) else None
            closes.append(stream.step(time, bars, run.targets[row].tolist(), scale, awake=row not in asleep))
        result = stream.result()
    assert not [one for one in threading.enumerate() if one.name == "paper broker"]
    return result, closes


exits = st.builds(
    Exits,
    stop_loss=st.sampled_from([None, 0.01, 0.03]),
    take_profit=st.sampled_from([None, 0.01, 0.03]),
    trailing=st.sampled_from([None, (0.005, 0.01)]),
    time_limit=st.sampled_from([None, 3 * HOUR]),
)
limits = st.one_of(
    st.none(),
    st.builds(
        RiskLimits,
        max_position=st.sampled_from([None, 0.3]),
        max_gross=st.sampled_from([None, 0.7]),
        max_daily_loss=st.sampled_from([None, 0.02]),
        max_drawdown=st.sampled_from([None, 0.05]),
        price_collar=st.sampled_from([None, 0.02]),
        max_orders_per_minute=st.sampled_from([None, 1]),
        max_data_age=st.sampled_from([None, 2 * HOUR]),
    ),
)
costs = st.builds(
    Costs,
    fee=st.sampled_from([0.0, 0.001, (0.0002, 0.001)]),
    slippage=st.sampled_from([0.0, 0.0005, SquareRootImpact(coefficient=0.01, base=0.0001)]),
    tiers=st.sampled_from([(), ((20_000.0, 0.0001, 0.0004),)]),
)


@settings(max_examples=40)
@given(st.data(), st.integers(0, 10_000), exits, limits, costs, st.booleans())
def test_bar_by_bar_it_is_paper_to_the_last_bit(data, seed, barriers, risk, cost, shorts) -> None:
    market = made_market(60, symbols=3, seed=seed, missing=data.draw(st.sampled_from([0.0, 0.3])))
    rng = np.random.default_rng(seed)
    weights = [NAN, NAN, 0.0, 0.4, 0.9] + ([-0.5, -1.0] if shorts else [])
    strategy = Table(
        tuple(map(tuple, rng.choice(weights, (len(market), 3)).tolist())),
        exits=barriers,
        order_notional=data.draw(st.sampled_from([None, 2_000.0])),
        widths=data.draw(st.sampled_from([0.0, 0.5])),
    )
    if data.draw(st.booleans()):
        cost = Costs(cost.fee, cost.slippage, **({"borrow": 0.1} if shorts else {"fee_in": "bought"}))
    terms = {"costs": cost, "venue": PERPETUAL if shorts else SPOT, "risk": risk}
    result, closes = streamed(strategy, market, **terms)
    wanted = paper(strategy, market, **terms)
    assert_same(result, wanted)
    assert sum(len(close.fills) for close in closes) == len(wanted.orders)
    told = wanted.risk_events["verdict"] != "allowed"
    assert sum(len(close.verdicts) for close in closes) == int(told.sum())


def test_orders_are_booked_when_the_bar_has_closed_that_they_filled_in() -> None:
    market = made_market(4, symbols=1, seed=1)
    _, closes = streamed(Table(((0.5,), (NAN,), (0.0,))), market, venue=SPOT, costs=Costs(0.0, 0.0))
    assert [len(close.fills) for close in closes] == [0, 1, 0, 1]
    assert [bool(close.waiting) for close in closes] == [True, False, True, False]
    assert closes[1].fills[0].price == market.open.iloc[1, 0]
    assert [close.held[0] > 0 for close in closes] == [False, True, True, False]
    assert closes[1].marks[0] == market.close.iloc[1, 0]


# While nobody is awake. Prices of one symbol, bar by bar: open, high, low, close.


def bars(*rows: tuple[float, float, float, float], second: tuple[int, ...] = ()) -> Market:
    """A market of hand-made hours; `second`: rows at which another symbol has a bar like the first one's."""
    index = pd.date_range("2024-01-01", periods=len(rows), freq="1h", tz="UTC")
    frame = pd.DataFrame(rows, index, columns=["open", "high", "low", "close"]).assign(volume=1.0)
    frames = {"A/USD": frame}
    if second:
        frames["B/USD"] = frame.iloc[list(second)]
    return Market.from_frames(frames, "1h")


def flat(price: float) -> tuple[float, float, float, float]:
    return price, price, price, price


def test_order_that_went_before_and_barriers_that_rest_work_on_while_nobody_is_awake() -> None:
    market = bars(flat(100), flat(100), (100, 100, 90, 91), flat(91))
    strategy = Table(((0.5,), (1.0,)), exits=Exits(stop_loss=0.05))
    result, _ = streamed(strategy, market, asleep=(1, 2), venue=SPOT, costs=Costs(0.0, 0.0))
    assert result.orders["reason"].tolist() == ["target", "stop loss"]
    assert result.orders["price"].tolist() == [100.0, 95.0]
    assert not streamed(strategy, market, asleep=(0, 1), venue=SPOT)[0].orders.size  # nobody decided


def test_trailing_stop_stays_where_it_stood_until_somebody_is_awake() -> None:
    rise = [flat(100), flat(100), (100, 110, 100, 110), (110, 120, 110, 120), flat(120), (118, 118, 100, 101)]
    strategy = Table(((0.5,),), exits=Exits(trailing=(0.05, 0.05)))
    awake, _ = streamed(strategy, bars(*rise), venue=SPOT, costs=Costs(0.0, 0.0))
    assert awake.orders["price"].tolist() == [100.0, 115.0]
    slept, _ = streamed(strategy, bars(*rise), asleep=(3, 4), venue=SPOT, costs=Costs(0.0, 0.0))
    assert slept.orders["price"].tolist() == [100.0, 105.0]
    woken, _ = streamed(strategy, bars(*rise), asleep=(2, 3), venue=SPOT, costs=Costs(0.0, 0.0))
    assert_same(woken, awake)  # moved at the close of bar 4, before the fall


def test_time_limit_waits_for_somebody_who_is_awake() -> None:
    market = bars(*[flat(100)] * 8)
    strategy = Table(((0.5,),), exits=Exits(time_limit=2 * HOUR))
    for asleep, row in (((), 3), ((2, 3), 5), ((2,), 4)):
        result, _ = streamed(strategy, market, asleep=asleep, venue=SPOT)
        assert result.orders["filled_at"].iloc[-1] == market.index[row]
        assert result.orders["reason"].iloc[-1] == "time limit"


def test_loss_limit_that_breaks_in_sleep_flattens_at_the_first_open_after_it() -> None:
    market = bars(flat(100), flat(100), flat(80), flat(70), flat(60), flat(60), flat(60))
    risk = RiskLimits(max_drawdown=0.05)
    result, closes = streamed(Table(((0.9,),)), market, asleep=(2, 3), risk=risk, venue=SPOT, costs=Costs(0.0, 0.0))
    assert result.orders["price"].tolist() == [100.0, 60.0]
    assert result.orders["filled_at"].iloc[-1] == market.index[5]
    assert result.orders["reason"].iloc[-1] == "halt, drawdown"
    assert [[one.kind for one in close.verdicts if one.kind == "halt"] for close in closes][2] == ["halt"]


def test_order_whose_symbol_had_no_bar_is_dropped_in_sleep_and_waits_otherwise() -> None:
    market = bars(*[flat(100)] * 6, second=(0, 1, 4, 5))
    strategy = Table(((NAN, NAN), (NAN, 0.5)))
    awake, _ = streamed(strategy, market, venue=SPOT)
    assert awake.orders["filled_at"].tolist() == [market.index[4]]
    slept, _ = streamed(strategy, market, asleep=(2,), venue=SPOT)
    assert not len(slept.orders)


def test_liquidation_does_not_wait_for_anybody() -> None:
    market = bars(*[flat(100)] * 2, (100, 100, 5, 5), flat(5), second=(0, 1, 3))
    strategy = Table(((1.0, 1.0),))
    terms = {"venue": Venue(shorts=True, leverage=2.0, maintenance_margin=0.1), "costs": Costs(0.0, 0.0)}
    wanted = paper(strategy, market, **terms)
    assert wanted.orders["reason"].tolist().count("liquidation") == 2
    result, _ = streamed(strategy, market, asleep=(1, 2, 3), **terms)
    assert_same(result, wanted)


# What it refuses, and how it ends.


def run_of(market: Market, **terms):
    given = {"cash": 10_000.0, "costs": Costs(), "venue": SPOT, "risk": None, "orders": None, **terms}
    return lay_ground(market, **given).run(Table(((0.5,),)))


def test_what_it_cannot_execute_is_refused() -> None:
    market = bars(*[flat(100)] * 3)
    rates = pd.Series([0.0001], index=market.index[1:2])
    with pytest.raises(ValidationError, match="rates are not known ahead"):
        PaperStream(run_of(market, costs=Costs(funding=rates), venue=PERPETUAL))
    with pytest.raises(ValidationError, match="go at the market"):
        PaperStream(run_of(market, orders=LimitOrders()))
    with PaperStream(run_of(market)) as stream:
        stream.step(10, {0: (*flat(100), 1.0)}, None)
        with pytest.raises(ValidationError, match=r"a bar of .* after that of"):
            stream.step(10, {0: (*flat(100), 1.0)}, None)
    with pytest.raises(ValidationError, match="the stream is closed"):
        stream.step(20, {0: (*flat(100), 1.0)}, None)


def test_error_within_backtrader_is_raised_where_the_bar_was_given_and_leaves_no_thread(monkeypatch) -> None:
    from engine.paper_feed import StreamBroker

    def broken(self, targets, scale):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(StreamBroker, "close", broken)
    with pytest.raises(ZeroDivisionError, match="planted") as raised, PaperStream(run_of(bars(flat(100)))) as stream:
        stream.step(10, {0: (*flat(100), 1.0)}, None)
    assert "broken" in [entry.name for entry in raised.traceback]
    assert not [one for one in threading.enumerate() if one.name == "paper broker"]
