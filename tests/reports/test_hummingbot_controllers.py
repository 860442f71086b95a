"""The controllers that ship with Hummingbot: signals by their stated rules, executors by hand-made bars."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from data import Market, load_sample
from data.errors import ValidationError
from engine import check_causality
from reports.hummingbot import (
    BollingerV1,
    ControllerBaseline,
    ControllerConfig,
    DManV3,
    MacdBbV1,
    PmmSimple,
    SupertrendV1,
)
from reports.hummingbot.thresholds import at_least, at_most

SYMBOL = "BTC/USDT"


def market_of(closes, lows=None, highs=None):
    close = np.asarray(closes, dtype=float)
    index = pd.date_range("2024-01-01", periods=len(close), freq="1h", tz="UTC")
    opened = np.r_[close[0], close[:-1]]
    low = np.minimum(opened, close) if lows is None else np.asarray(lows, dtype=float)
    high = np.maximum(opened, close) if highs is None else np.asarray(highs, dtype=float)
    frame = pd.DataFrame({"open": opened, "high": high, "low": low, "close": close, "volume": 1.0}, index=index)
    return Market.from_frames({SYMBOL: frame}, "1h")


@pytest.fixture(scope="module")
def sample():
    market = load_sample()
    return market.select([market.symbols[0]])


def test_bollinger_stands_on_the_population_deviation(sample):
    close = sample.close.iloc[:, 0].dropna()
    mean, deviation = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    place = (close - (mean - 2 * deviation)) / (4 * deviation)
    wanted = pd.Series(0.0, index=close.index).mask(place < 0.0, 1.0).mask(place > 1.0, -1.0).where(place.notna())
    got = BollingerV1(bb_length=20).signal(sample).iloc[:, 0].loc[close.index]
    assert (got.dropna() != 0).sum() > 100
    pd.testing.assert_series_equal(got, wanted, check_names=False)


def test_macd_bb_is_the_bands_signal_where_the_macd_agrees(sample):
    zone = {"bb_length": 20, "bb_long_threshold": 0.4, "bb_short_threshold": 0.6}
    both = MacdBbV1(**zone, macd_fast=5, macd_slow=10, macd_signal=3).signal(sample).iloc[:, 0]
    bands = BollingerV1(**zone).signal(sample).iloc[:, 0]
    traded = both[both.fillna(0.0) != 0.0]
    assert 0 < len(traded) < (bands.fillna(0.0) != 0.0).sum()
    assert (bands[traded.index] == traded).all()


@pytest.mark.parametrize("strategy", [BollingerV1(bb_length=20), SupertrendV1(length=5), MacdBbV1(20, macd_slow=26)])
def test_a_controller_is_a_causal_strategy(sample, strategy):
    assert check_causality(strategy, sample.loc[:"2024-03"] if len(sample) > 6000 else sample, cuts=4, starts=4).ok


@pytest.mark.parametrize(
    ("price", "below", "above"),
    [(Decimal(27000) * (1 - Decimal("0.001")), 26973.0, 26973.0), (Decimal("99.9"), np.nextafter(99.9, 0), 99.9)],
)
def test_a_decimal_price_keeps_its_side(price, below, above):
    assert (at_most(price), at_least(price)) == (below, above)


def test_averaging_in_books_nothing_before_the_last_level_fills():
    # A signal needs bands; the level below is reached in the first market and not in the second.
    calm = [100.0, 101.0] * 10
    controller = DManV3(bb_length=20, dca_spreads=("0.001", "0.02"))
    config = ControllerConfig(stop_loss=0.2, take_profit=0.5, time_limit=pd.Timedelta("5h"), trade_cost=0.001)
    full = ControllerBaseline(controller, config=config).run(market_of([*calm, 95.0, 94.0, 93.0, 94.0, 95.0, 96.0]))
    part = ControllerBaseline(controller, config=config).run(market_of([*calm, 95.0, 94.0, 94.5, 94.0, 95.0, 96.0]))
    first, other = full.executors.iloc[0], part.executors.iloc[0]
    assert (first["side"], first["close_type"]) == ("BUY", "TIME_LIMIT")
    # 25 quote a level: 94 and 93 in, 96 out, a thousandth of the entry on either side.
    assert first["pnl"] == pytest.approx(25 * (96 / 94 - 1 - 0.002) + 25 * (96 / 93 - 1 - 0.002), rel=1e-12)
    assert list(full.legs.loc[full.legs["executor"] == 0, "entry_price"]) == [94.0, 93.0]
    assert other["pnl"] == 0.0 and other["volume"] == 0.0
    own = part.legs[part.legs["executor"] == 0]
    assert list(own["entry_price"]) == [94.0] and not own["booked"].any()


def test_orders_wait_fill_at_the_close_and_are_taken_back():
    config = ControllerConfig(
        stop_loss=0.05,
        take_profit=0.03,
        time_limit=pd.Timedelta("10h"),
        cooldown_time=pd.Timedelta("15s"),
        trade_cost=0.0,
    )
    controller = PmmSimple((0.01,), (0.5,), executor_refresh_time=pd.Timedelta("2h"))
    run = ControllerBaseline(controller, config=config).run(market_of([100.0, 100.0, 98.5, 99.0, 102.0, 102.0]))
    bought = run.executors[run.executors["level_id"] == "buy_0"].iloc[0]
    assert (bought["entry_price"], bought["close_price"], bought["close_type"]) == (98.5, 102.0, "TAKE_PROFIT")
    assert bought["pnl"] == pytest.approx(50 / 99 * (102 - 98.5), rel=1e-12)
    sold = run.executors[run.executors["level_id"] == "sell_0"]
    assert sold.iloc[0]["close_type"] == "EARLY_STOP" and sold.iloc[0]["pnl"] == 0.0
    # Placed on bar 0, older than two hours on bar 3, anew on bar 4; the bars end with 5, which ends that one as well.
    assert [run.market.index.get_loc(time) for time in sold["opened_at"]] == [0, 4, 5]
    assert run.marked.equity.iloc[-1] == pytest.approx(run.cash + run.executors["pnl"].sum(), rel=1e-12)


def test_what_cannot_be_faithful_is_refused():
    market = market_of([100.0, 101.0] * 20)
    with pytest.raises(ValidationError, match="stop_loss None"):
        ControllerBaseline(DManV3(bb_length=20), config=ControllerConfig(stop_loss=None)).run(market)
    with pytest.raises(ValidationError, match="target_pct"):
        ControllerBaseline(PmmSimple(), 2.0).run(market)
    with pytest.raises(ValidationError, match="dca_spreads"):
        DManV3(dca_spreads=("0.1", "1.2"))
    with pytest.raises(ValidationError, match="buy_spreads"):
        PmmSimple(buy_spreads=(0.0,))
