"""The notebook's bot: its signals by hand, its orders of 100 quote, its barriers watched, the same in both engines."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from data import Market, ValidationError, load_sample
from engine import Costs, Exits, Venue, backtest, paper
from engine.causality import check_causality
from reports import parity
from research.strategies import SmaRsi
from research.strategies.sma_rsi import rsi

FREE = Costs(fee=0.0, slippage=0.0)
SHORT = {"fast": 2, "slow": 3, "rsi_bars": 2}


def market_of(closes: list[float]) -> Market:
    index = pd.date_range("2024-01-01", periods=len(closes), freq="1h", tz="UTC")
    close = pd.Series(closes, index=index, dtype="float64")
    frame = pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1.0})
    return Market.from_frames({"BTC/USD": frame}, timeframe="1h")


def targets(strategy: SmaRsi, closes: list[float]) -> list[float | None]:
    return [None if np.isnan(x) else x for x in strategy.targets(market_of(closes))["BTC/USD"]]


def test_rsi_is_a_hundred_times_the_rises_share_of_all_moves() -> None:
    close = pd.Series([10.0, 12.0, 11.0, 11.0, 9.0])
    np.testing.assert_allclose(rsi(close, 2), [np.nan, np.nan, 100 * 2 / 3, 0.0, 0.0])
    assert rsi(pd.Series([10.0, 11.0, 12.0]), 2).iloc[-1] == 100.0  # nothing fell; the notebook's epsilon made it 99.01
    assert rsi(pd.Series([10.0, 10.0, 10.0]), 2).iloc[-1] == 50.0


def test_rsi_is_what_talib_finds_where_its_smoothing_has_not_begun() -> None:
    import talib

    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, 15)))
    # Wilder's smoothing starts from the simple means of the first 14 changes.
    assert rsi(pd.Series(close), 14).iloc[-1] == pytest.approx(talib.RSI(close, 14)[-1], rel=1e-12)


def test_target_is_given_where_a_signal_begins_and_nowhere_else() -> None:
    # Averages cross upward at the fourth bar, where RSI is 75; at the fifth it is 0 after two falls.
    closes = [10.0, 9.0, 8.0, 11.0, 11.0, 11.0, 8.0, 7.0, 7.5, 7.5]
    strategy = SmaRsi(**SHORT, overbought=80.0, oversold=10.0)
    market = market_of(closes)
    fast, slow = market.close.rolling(2).mean()["BTC/USD"], market.close.rolling(3).mean()["BTC/USD"]
    strength = rsi(market.close["BTC/USD"], 2)
    signal = np.where((fast > slow) & (strength < 80.0), 1, np.where((fast < slow) & (strength > 10.0), -1, 0))
    wanted: list[float | None] = [None] * len(closes)
    for row in range(3, len(closes)):
        if signal[row] and signal[row] != signal[row - 1]:
            wanted[row] = 1.0 if signal[row] > 0 else 0.0
    assert targets(strategy, closes) == wanted
    assert 1.0 in wanted and 0.0 in wanted


@pytest.fixture(scope="module")
def sample() -> Market:
    return load_sample(["BTC/USD", "ETH/USD"])


def test_every_buy_is_worth_a_hundred_at_its_decision_and_none_comes_while_one_is_held(sample: Market) -> None:
    result = backtest(SmaRsi(), sample, cash=1_000.0, costs=FREE)
    buys = result.orders[result.orders["side"] == "buy"]
    assert len(buys) > 100
    for row in buys.itertuples():
        close = sample.close.at[row.decided_at, row.symbol]
        assert row.amount * close == pytest.approx(100.0, rel=1e-12)
    for symbol in sample.symbols:
        sides = result.orders.loc[result.orders["symbol"] == symbol, "side"].tolist()
        assert all(one != other for one, other in itertools.pairwise(sides)), "two buys in a row"


def test_stop_and_profit_are_watched_within_bars_at_their_levels(sample: Market) -> None:
    result = backtest(SmaRsi(), sample, cash=1_000.0, costs=FREE)
    reasons = result.orders["reason"].value_counts()
    assert reasons["stop loss"] > 0 and reasons["take profit"] > 0
    for trade in result.trades[result.trades["exit_reason"] == "stop loss"].itertuples():
        bar_open, level = sample.open.at[trade.exit_at, trade.symbol], trade.entry_price * 0.95
        # At its level, or at the open of a bar that opens below it; the entry bar's own open lies above.
        wanted = min(level, bar_open) if trade.exit_at > trade.entry_at else level
        assert trade.exit_price == pytest.approx(wanted, rel=1e-9)


def test_engines_agree_and_nothing_is_known_too_early(sample: Market) -> None:
    terms = {"cash": 1_000.0, "costs": Costs(fee=0.001, slippage=0.0005), "venue": Venue(amount_step=1e-5)}
    parity(backtest(SmaRsi(), sample, **terms), paper(SmaRsi(), sample, **terms)).raise_if_different()
    report = check_causality(SmaRsi(), sample)
    assert report.ok and report.fits_live


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fast": 50}, "fast 50 must be below slow 50"),
        ({"overbought": 20.0}, "oversold 30.0 must be below overbought 20.0"),
        ({"rsi_bars": 0}, "rsi_bars 0 must be a whole number of bars"),
        ({"oversold": float("nan")}, "oversold nan must be below"),
    ],
)
def test_wrong_parameters_are_named(wrong: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SmaRsi(**wrong)


def test_barriers_and_size_are_parameters() -> None:
    assert SmaRsi().exits == Exits(stop_loss=0.05, take_profit=0.10)
    halves = SmaRsi(order_notional=None).targets(load_sample(["BTC/USD", "ETH/USD"])).stack()
    assert set(halves.dropna()) == {0.0, 0.5}
