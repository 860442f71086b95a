"""The library's strategies: they decide by what was known, a window decides as the full history does, and they do
what their descriptions say."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from data import Market, ValidationError, load_sample
from engine import Strategy
from engine.causality import check_causality
from research.strategies import BollingerReversion, CrossMomentum, QuantileSignal, SmaCross, SmaRsi
from research.strategies.windows import rolling_deviation, rolling_mean
from tests.forecast_fields import with_made_forecasts

NAN = np.nan
SMALL: list[Strategy] = [
    SmaCross(2, 5),
    SmaCross(1, 3, weight=0.5, below=-1.0),
    BollingerReversion(4, 1.0),
    BollingerReversion(3, 0.5, weight=0.8, shorts=True),
    CrossMomentum(lookback=3, every=2, top=1),
    CrossMomentum(lookback=2, every=1, top=1, weight=0.6, shorts=True),
    SmaRsi(2, 5, 3),
    SmaRsi(1, 2, 4, overbought=60.0, oversold=40.0),
    QuantileSignal(window=2, volatility_bars=3, hold=2),
    QuantileSignal(window=4, volatility_bars=2, hold=0, method="volatility", shorts=False, max_weight=1.0, step=0.1),
    QuantileSignal(adaptive=False, regimes=False, volatility_bars=2, method="fixed", fraction=1.0, max_weight=1.0),
]
IN_USE: list[Strategy] = [
    SmaCross(20, 50, below=-1.0),
    BollingerReversion(48, shorts=True),
    CrossMomentum(shorts=True),
    SmaRsi(),
    QuantileSignal(window=336, cost=0.001, hold=4),
    QuantileSignal.old(window=336),
]


def by_name(strategy: Strategy) -> str:
    return repr(strategy).replace(" ", "")


def market_of(closes: dict[str, list[float]]) -> Market:
    """Closes from 1970 on, an hour apart; NaN where a symbol has no bar."""
    frames = {}
    for symbol, given_closes in closes.items():
        index = pd.date_range("1970-01-01", periods=len(given_closes), freq="1h", tz="UTC")
        close = pd.Series(given_closes, index=index, dtype=np.float64).dropna()
        frames[symbol] = pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1.0})
    return with_made_forecasts(Market.from_frames(frames, timeframe="1h").on_grid())


def weights_of(strategy: Strategy, closes: list[float], symbol: str = "A") -> list[float]:
    return strategy.targets(market_of({symbol: closes}))[symbol].tolist()


# Round prices on purpose: averages that are equal, and symbols that rose alike, are where a decision hangs on noise.
round_prices = st.sampled_from([1.0, 2.0, 3.0, 0.1, 0.3, 7.0, 1e-8, 1e6])
any_prices = st.floats(1e-8, 1e6)


@st.composite
def markets(draw: st.DrawFn, missing: bool = True) -> Market:
    bars, symbols = draw(st.integers(12, 40)), draw(st.integers(2, 4))
    closes = {}
    for number in range(symbols):
        one = st.one_of(round_prices, any_prices, st.just(NAN)) if missing else st.one_of(round_prices, any_prices)
        row = draw(st.lists(one, min_size=bars, max_size=bars))
        row[0] = row[0] if row[0] == row[0] else 1.0
        closes[f"S{number}"] = row
    return market_of(closes)


# Causal


@pytest.mark.parametrize("strategy", SMALL, ids=by_name)
@given(data=st.data())
@settings(max_examples=40)
def test_targets_of_a_shorter_market_are_the_first_rows_of_a_longer_ones(strategy: Strategy, data: Any) -> None:
    market = data.draw(markets())
    full = strategy.targets(market)
    stop = data.draw(st.integers(1, len(market)))
    pd.testing.assert_frame_equal(strategy.targets(market.iloc(0, stop)), full.iloc[:stop], check_exact=True)


@pytest.mark.parametrize("strategy", SMALL, ids=by_name)
@given(data=st.data())
@settings(max_examples=40)
def test_window_of_the_warmup_decides_its_last_row_as_the_full_history_does(strategy: Strategy, data: Any) -> None:
    market = data.draw(markets(missing=False))
    stop = data.draw(st.integers(strategy.warmup, len(market)))
    window = strategy.targets(market.iloc(stop - strategy.warmup, stop))
    pd.testing.assert_series_equal(window.iloc[-1], strategy.targets(market).iloc[stop - 1], check_exact=True)


@pytest.mark.parametrize("strategy", SMALL, ids=by_name)
@given(data=st.data())
@settings(max_examples=40)
def test_weights_stay_within_the_fraction_of_equity_that_was_given(strategy: Strategy, data: Any) -> None:
    market = data.draw(markets())
    targets = strategy.targets(market)
    assert targets.index.equals(market.index)
    assert list(targets.columns) == list(market.symbols)
    whole = getattr(strategy, "weight", getattr(strategy, "max_weight", 1.0))
    most = max(abs(whole), abs(getattr(strategy, "below", 0.0)))
    # Orders of a fixed size: 1 is the whole of one, in each symbol.
    most = most if strategy.order_notional is None else len(market.symbols)
    assert (targets.abs().sum(axis=1) <= most * (1 + 1e-12)).all()
    if not getattr(strategy, "shorts", getattr(strategy, "below", 0.0) < 0.0):
        assert not (targets < 0.0).any(axis=None)


@pytest.mark.parametrize("strategy", SMALL, ids=by_name)
@given(data=st.data())
@settings(max_examples=50)
def test_symbol_without_a_bar_gets_no_target_there(strategy: Strategy, data: Any) -> None:
    market = data.draw(markets())
    assert strategy.targets(market)[market.close.isna()].isna().all(axis=None)


@pytest.mark.parametrize("strategy", SMALL, ids=by_name)
@given(data=st.data())
@settings(max_examples=50)
def test_nothing_is_decided_before_the_last_bar_of_the_warmup(strategy: Strategy, data: Any) -> None:
    targets = strategy.targets(data.draw(markets(missing=False)))
    assert targets.iloc[: strategy.warmup - 1].isna().all(axis=None)


@pytest.mark.parametrize("strategy", IN_USE, ids=by_name)
def test_on_real_bars_with_gaps_decisions_are_causal_and_fit_a_live_session(strategy: Strategy) -> None:
    market = with_made_forecasts(load_sample().iloc(0, 6_000))
    assert market.close.isna().any(axis=None)
    full = strategy.targets(market)
    assert full.notna().sum().sum() > 50
    for stop in np.random.default_rng(0).integers(strategy.warmup, len(market), 20):
        assert strategy.targets(market.iloc(0, stop)).equals(full.iloc[:stop])
    report = check_causality(strategy, market)
    report.raise_if_broken()
    assert report.fits_live


# SmaCross


def test_sma_cross_decides_on_the_bar_of_a_cross_alone() -> None:
    # Averages of 2 and 3: at the fourth bar 1.5 against 2, at the fifth 3 against 2.33, at the last 2.5 against 3.67.
    closes = [3.0, 3.0, 2.0, 1.0, 5.0, 5.0, 5.0, 1.0]
    # Fast less slow by bar: none, none, -0.17, -0.5, 0.67, 1.33, 0, -0.67.
    assert weights_of(SmaCross(2, 3), closes) == pytest.approx([NAN, NAN, NAN, NAN, 1.0, NAN, 0.0, NAN], nan_ok=True)
    both = SmaCross(2, 3, weight=0.5, below=-0.25)
    assert weights_of(both, closes) == pytest.approx([NAN, NAN, NAN, NAN, 0.5, NAN, -0.25, NAN], nan_ok=True)


def test_sma_cross_gives_each_symbol_an_equal_share() -> None:
    closes = [3.0, 3.0, 2.0, 1.0, 5.0]
    targets = SmaCross(2, 3).targets(market_of({"A": closes, "B": closes, "C": [1.0] * 5, "D": [2.0] * 5}))
    assert targets.iloc[-1].tolist() == pytest.approx([0.25, 0.25, NAN, NAN], nan_ok=True)


@pytest.mark.parametrize("price", [0.1, 0.3, 1e-8, 123.456])
def test_flat_price_after_a_wild_one_is_no_cross(price: float) -> None:
    closes = [1e6, 3.0, 1e6, 7.0] + [price] * 60
    assert np.isnan(weights_of(SmaCross(20, 50), closes)[55:]).all()
    assert np.isnan(weights_of(BollingerReversion(20), closes)[25:]).all()


def test_missing_bar_is_not_counted_among_the_bars_of_an_average() -> None:
    closes = [3.0, 3.0, NAN, 2.0, 1.0, NAN, 5.0, 5.0]
    assert weights_of(SmaCross(2, 3), closes) == pytest.approx([NAN] * 6 + [1.0, NAN], nan_ok=True)


# BollingerReversion


def test_bollinger_buys_on_the_close_below_the_band_and_leaves_on_the_one_back_above_the_mean() -> None:
    # Windows of 4, bands at one deviation. 10, 12, 10, 12: mean 11, deviation 1; then 8 lies below 10.5 - 1.66.
    closes = [10.0, 12.0, 10.0, 12.0, 8.0, 8.0, 12.0, 12.0]
    # By bar from the fourth: mean 11, 10.5, 9.5, 10, 10; the close goes below it at 8 and above it at 12.
    assert weights_of(BollingerReversion(4, 1.0), closes) == pytest.approx(
        [NAN, NAN, NAN, NAN, 1.0, NAN, 0.0, NAN], nan_ok=True
    )


def test_bollinger_with_shorts_is_the_mirror() -> None:
    closes = [10.0, 12.0, 10.0, 12.0, 8.0, 8.0, 12.0, 12.0]
    mirrored = [20.0 - close for close in closes]
    longs = weights_of(BollingerReversion(4, 1.0), closes)
    shorts = weights_of(BollingerReversion(4, 1.0, shorts=True), mirrored)
    assert shorts == pytest.approx([-weight if weight else weight for weight in longs], nan_ok=True)


# CrossMomentum


def test_momentum_holds_what_rose_most_on_the_bars_of_the_clock() -> None:
    # Doubled, halved, up by half; measured over 2 bars, every 3 bars since 1970.
    closes = {"A": [1.0, 1.0, 1.0, 2.0], "B": [2.0, 2.0, 2.0, 1.0], "C": [2.0, 2.0, 2.0, 3.0]}
    targets = CrossMomentum(lookback=2, every=3, top=2).targets(market_of(closes))
    assert targets.iloc[:3].isna().all(axis=None)
    assert targets.iloc[3].tolist() == [0.5, 0.0, 0.5]
    both = CrossMomentum(lookback=2, every=3, top=1, shorts=True).targets(market_of(closes))
    assert both.iloc[3].tolist() == [0.5, -0.5, 0.0]


def test_momentum_of_symbols_that_rose_alike_is_long_and_short_in_different_ones() -> None:
    flat = [1.0] * 4
    targets = CrossMomentum(lookback=2, every=3, top=1, shorts=True).targets(market_of({"A": flat, "B": flat}))
    assert targets.iloc[3].tolist() == [0.5, -0.5]


def test_momentum_leaves_out_a_symbol_without_a_price_then_or_now() -> None:
    closes = {"A": [1.0, 1.0, 1.0, 2.0], "B": [2.0, NAN, 2.0, 1.0], "C": [2.0, 2.0, 2.0, 3.0]}
    targets = CrossMomentum(lookback=2, every=3, top=1).targets(market_of(closes))
    assert targets.iloc[3].tolist() == pytest.approx([1.0, NAN, 0.0], nan_ok=True)
    # With one symbol left there are not the two that it takes.
    few = {"A": [1.0, 1.0, 1.0, 2.0], "B": [2.0, NAN, 2.0, 1.0]}
    assert CrossMomentum(lookback=2, every=3, top=2).targets(market_of(few)).isna().all(axis=None)


def test_momentum_says_that_there_are_too_few_symbols() -> None:
    with pytest.raises(ValidationError, match="top 2 picks 4 symbols, the market holds 3; lower top"):
        CrossMomentum(top=2, shorts=True).targets(market_of({symbol: [1.0, 2.0] for symbol in "ABC"}))


# Parameters


@pytest.mark.parametrize(
    ("kind", "parameters", "says"),
    [
        (SmaCross, {"fast": 0}, "SmaCross: fast 0 must be a whole number of bars, at least 1"),
        (SmaCross, {"fast": 2.5}, "SmaCross: fast 2.5 must be a whole number of bars"),
        (SmaCross, {"fast": True}, "SmaCross: fast True must be a whole number of bars"),
        (SmaCross, {"slow": "50"}, "SmaCross: slow '50' must be a whole number of bars"),
        (SmaCross, {"fast": 50, "slow": 50}, "SmaCross: fast 50 must be below slow 50"),
        (SmaCross, {"weight": 1.5}, r"SmaCross: weight 1.5 must be a fraction of equity in [-1, 1]"),
        (SmaCross, {"below": -2}, r"SmaCross: below -2 must be a fraction of equity in [-1, 1]"),
        (SmaCross, {"below": NAN}, "SmaCross: below nan must be a fraction of equity"),
        (BollingerReversion, {"window": 1}, "BollingerReversion: window 1 must be at least 2 bars"),
        (BollingerReversion, {"window": -3}, "BollingerReversion: window -3 must be a whole number of bars"),
        (BollingerReversion, {"width": 0.0}, "BollingerReversion: width 0.0 must be a positive number of deviations"),
        (BollingerReversion, {"width": NAN}, "BollingerReversion: width nan must be a positive number"),
        (BollingerReversion, {"width": "2"}, "BollingerReversion: width '2' must be a positive number"),
        (
            BollingerReversion,
            {"weight": -0.5},
            "BollingerReversion: weight -0.5 must be a fraction of equity in [0, 1]",
        ),
        (CrossMomentum, {"lookback": 0}, "CrossMomentum: lookback 0 must be a whole number of bars"),
        (CrossMomentum, {"every": 1.5}, "CrossMomentum: every 1.5 must be a whole number of bars"),
        (CrossMomentum, {"top": 0}, "CrossMomentum: top 0 must be a whole number of symbols, at least 1"),
        (CrossMomentum, {"weight": "all"}, "CrossMomentum: weight 'all' must be a fraction of equity"),
    ],
)
def test_wrong_parameter_is_refused_by_name(kind: Any, parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        kind(**parameters)
    assert says in str(caught.value)


def test_numpys_integers_from_a_sweep_are_whole_numbers() -> None:
    assert SmaCross(np.int64(5), np.int32(10)) == SmaCross(5, 10)


# Windows


@given(st.lists(any_prices, min_size=1, max_size=60), st.integers(1, 20))
def test_rolling_mean_and_deviation_are_those_of_each_window_taken_alone(values: list[float], bars: int) -> None:
    series = pd.Series(values)
    mean, deviation = rolling_mean(series, bars), rolling_deviation(series, bars)
    assert mean.iloc[: bars - 1].isna().all() and deviation.iloc[: bars - 1].isna().all()
    for stop in range(bars, len(values) + 1):
        window = np.array(values[stop - bars : stop])
        scale = np.abs(window).max()
        assert mean.iloc[stop - 1] == pytest.approx(window.mean(), rel=1e-12, abs=1e-12 * scale)
        assert deviation.iloc[stop - 1] == pytest.approx(window.std(), rel=1e-9, abs=1e-12 * scale)
        # To the last bit, whatever lies before the window.
        assert mean.iloc[stop - 1] == rolling_mean(pd.Series(window), bars).iloc[-1]
        assert deviation.iloc[stop - 1] == rolling_deviation(pd.Series(window), bars).iloc[-1]


def test_windows_longer_than_the_series_and_empty_ones_give_nothing() -> None:
    for series in (pd.Series([1.0, 2.0]), pd.Series([], dtype=np.float64)):
        for statistic in (rolling_mean, rolling_deviation):
            assert statistic(series, 3).isna().all()
            assert len(statistic(series, 3)) == len(series)
