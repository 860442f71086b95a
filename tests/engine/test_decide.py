"""What a live session asks, `Strategy.decide`, is the row that the backtest had: for every strategy of the library."""

from dataclasses import dataclass, fields

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

import research.strategies as library
from data import Market, ValidationError, load_sample
from engine import Exits, Strategy
from engine.strategy import label
from research.strategies import BollingerReversion, CrossMomentum, QuantileSignal, SmaCross, SmaRsi
from tests.forecast_fields import with_made_forecasts

# Windows short enough to decide on the short markets that hypothesis draws.
SHORT = {
    "fast": st.integers(1, 4),
    "slow": st.integers(5, 9),
    "window": st.integers(2, 9),
    "width": st.sampled_from([0.5, 1.0, 2.0]),
    "lookback": st.integers(1, 8),
    "every": st.integers(1, 4),
    "top": st.integers(1, 2),
    "weight": st.sampled_from([1.0, 0.5]),
    "below": st.sampled_from([0.0, -1.0]),
    "shorts": st.booleans(),
    "rsi_bars": st.integers(1, 6),
    "overbought": st.sampled_from([60.0, 100.0]),
    "oversold": st.sampled_from([0.0, 40.0]),
    "order_notional": st.sampled_from([100.0, None]),
    "threshold": st.sampled_from([0.0, 0.0005, 0.01]),
    "adaptive": st.booleans(),
    "cost": st.sampled_from([0.0, 0.001]),
    "short_by_own_side": st.booleans(),
    "method": st.sampled_from(["kelly", "volatility", "ensemble", "fixed"]),
    "max_weight": st.sampled_from([0.5, 1.0]),
    "target_volatility": st.just(0.15),
    "fraction": st.just(0.1),
    "legacy_sizing": st.just(False),
    "regimes": st.booleans(),
    "volatility_bars": st.integers(2, 9),
    "hold": st.integers(0, 4),
    "step": st.sampled_from([0.0, 0.02]),
    "exits": st.sampled_from([None, Exits(stop_loss=0.05)]),
}
OURS = [SmaCross, BollingerReversion, CrossMomentum, SmaRsi, QuantileSignal]
ON_THE_SAMPLE = [
    SmaCross(),
    SmaCross(fast=5, slow=200, below=-1.0),
    BollingerReversion(),
    BollingerReversion(window=20, width=1.5, shorts=True),
    CrossMomentum(),
    CrossMomentum(lookback=48, every=7, top=1, shorts=True),
    SmaRsi(),
    SmaRsi(fast=5, slow=30, rsi_bars=40, overbought=60.0),
    QuantileSignal(window=336, hold=4),
    QuantileSignal(window=100, hold=0, method="ensemble", shorts=False, step=0.0),
    QuantileSignal(adaptive=False, regimes=False, method="inverse_volatility", hold=12),
    QuantileSignal.old(window=50),
]


def test_every_strategy_of_the_library_is_tried():
    exported = [getattr(library, name) for name in library.__all__]
    classes = {item for item in exported if isinstance(item, type) and issubclass(item, Strategy)}
    assert classes == set(OURS), "a new strategy: add it to OURS and ON_THE_SAMPLE"
    assert {type(strategy) for strategy in ON_THE_SAMPLE} == classes


def shortest_window(market, row, warmup):
    """The bars up to `row` that hold `warmup` of each symbol, or all it had: as few as decide like the whole."""
    starts = []
    for symbol in market.symbols:
        own = np.flatnonzero(market.close[symbol].iloc[: row + 1].notna())
        if own.size:
            starts.append(own[-warmup] if own.size >= warmup else own[0])
    return market.iloc(min([*starts, row + 1 - warmup]), row + 1)


@pytest.mark.parametrize("strategy", ON_THE_SAMPLE, ids=repr)
def test_decision_on_a_window_is_the_row_of_the_full_run_on_the_sample(strategy):
    market = with_made_forecasts(load_sample())
    table = strategy.targets(market)
    rng = np.random.default_rng(11)
    rows = np.arange(strategy.warmup - 1, len(market))
    deciding = rows[table.iloc[rows].notna().any(axis=1)]
    after_gaps = rows[market.close.isna().any(axis=1).iloc[rows]] + strategy.warmup // 2
    chosen = [*rng.choice(rows, 30), *rng.choice(deciding, 60), *rng.choice(after_gaps[after_gaps < rows[-1]], 10)]
    decisions = 0
    for row in chosen:
        decision = strategy.decide(shortest_window(market, row, strategy.warmup))
        pd.testing.assert_series_equal(decision, table.iloc[row], check_exact=True)
        decisions += int(decision.notna().any())
    assert decisions >= 60


@st.composite
def markets(draw):
    """Round prices, so that averages tie exactly, with bars missing here and there."""
    bars = draw(st.integers(12, 40))
    index = pd.date_range("2024-01-01", periods=bars, freq="1h", tz="UTC")
    frames = {}
    for number in range(4):
        moves = draw(st.lists(st.sampled_from([1.0, 1.0, 1.1, 0.9, 0.5, 2.0]), min_size=bars, max_size=bars))
        close = draw(st.sampled_from([0.1, 7.0, 100.0])) * np.cumprod(moves)
        present = np.array(draw(st.lists(st.sampled_from([True] * 6 + [False]), min_size=bars, max_size=bars)))
        present[0] = True
        frame = pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1.0}, index=index)
        frames[f"S{number}/USD"] = frame[present]
    return with_made_forecasts(Market.from_frames(frames, timeframe="1h"))


@given(market=markets(), data=st.data())
@settings(max_examples=100)
def test_decision_on_a_window_is_the_row_of_the_full_run_on_any_market(market, data):
    kind = data.draw(st.sampled_from(OURS))
    strategy = kind(**{item.name: data.draw(SHORT[item.name]) for item in fields(kind)})
    if len(market) <= strategy.warmup:
        return
    table = strategy.targets(market)
    row = data.draw(st.integers(strategy.warmup - 1, len(market) - 1))
    decision = strategy.decide(shortest_window(market, row, strategy.warmup))
    pd.testing.assert_series_equal(decision, table.iloc[row], check_exact=True)


@dataclass(frozen=True)
class Returns(Strategy):
    """Gives back what a test hands it."""

    shape: str = "good"
    warmup: int = 3

    def targets(self, market):
        table = pd.DataFrame(0.25, index=market.index, columns=list(market.symbols))
        return {
            "good": table,
            "shuffled": table[[*reversed(market.symbols)]] * [1, 2, 3],
            "short": table.iloc[:-1],
            "empty": table.iloc[:0],
            "fewer": table.iloc[:, :2],
            "none": None,
        }[self.shape]


@pytest.fixture(scope="module")
def window():
    return load_sample(["ETH/USD", "LTC/USD", "XRP/USD"]).iloc(0, 10)


def test_decision_is_by_symbol_and_named_by_its_bar(window):
    decision = Returns().decide(window)
    assert list(decision.index) == ["ETH/USD", "LTC/USD", "XRP/USD"]
    assert decision.name == window.index[-1]
    assert decision.dtype == np.float64
    assert (decision == 0.25).all()


def test_decision_is_in_the_order_of_the_market(window):
    decision = Returns("shuffled").decide(window)
    assert list(decision.items()) == [("ETH/USD", 0.75), ("LTC/USD", 0.5), ("XRP/USD", 0.25)]


def test_window_shorter_than_the_warm_up_is_refused(window):
    with pytest.raises(ValidationError, match="a window of 2 bars is too short to decide on; it needs at least 3"):
        Returns().decide(window.iloc(0, 2))
    assert Returns().decide(window.iloc(0, 3)).notna().all()
    with pytest.raises(ValidationError, match="a window of 0 bars is too short"):
        Returns(warmup=0).decide(window.iloc(0, 0))


@pytest.mark.parametrize("shape", ["short", "empty", "fewer", "none"])
def test_table_that_does_not_end_with_the_window_is_refused(window, shape):
    with pytest.raises(ValidationError, match="Returns"):
        Returns(shape).decide(window)


def test_label_of_a_strategy_with_many_parameters_names_those_that_are_not_usual():
    assert label(QuantileSignal(cost=0.003, hold=48)) == "QuantileSignal(cost=0.003, hold=48)"
    assert label(QuantileSignal(shorts=False, step=0)) == "QuantileSignal(shorts=False, step=0)"
    assert label(SmaCross()) == "SmaCross(fast=20, slow=50, weight=1.0, below=0.0)"
