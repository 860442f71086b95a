"""What a baseline refuses, and how it says so; and that it loads nothing before it runs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import ValidationError, load_sample
from reports.hummingbot import ControllerBaseline, ControllerConfig, signal_from_targets

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def market():
    return load_sample(["BTC/USD"]).iloc(0, 48)


def flat(market, value=0):
    return pd.Series(value, index=market.index)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"stop_loss": 0}, r"stop_loss 0 must be a positive number.*or None"),
        ({"stop_loss": -0.1}, "stop_loss"),
        ({"stop_loss": "0.03"}, "stop_loss '0.03'"),
        ({"stop_loss": True}, "stop_loss True"),
        ({"take_profit": np.nan}, "take_profit nan"),
        ({"take_profit": np.inf}, "take_profit inf"),
        ({"trailing_stop": 0.01}, "trailing_stop 0.01 must be two positive numbers"),
        ({"trailing_stop": (0.01,)}, "must be two positive"),
        ({"trailing_stop": (0.0, 0.01)}, r"trailing_stop \(0.0, 0.01\)"),
        ({"trailing_stop": (0.01, None)}, r"trailing_stop \(0.01, None\)"),
        ({"time_limit": 2700}, r"time_limit 2700 must be a positive pandas Timedelta"),
        ({"time_limit": pd.Timedelta(0)}, "time_limit"),
        ({"time_limit": pd.NaT}, "time_limit"),
        ({"cooldown_time": None}, "cooldown_time None"),
        ({"cooldown_time": pd.Timedelta(-1)}, "cooldown_time"),
        ({"max_executors_per_side": 0}, "max_executors_per_side 0 must be a whole number of at least 1"),
        ({"max_executors_per_side": 1.5}, "max_executors_per_side"),
        ({"max_executors_per_side": True}, "max_executors_per_side"),
        ({"total_amount_quote": 0}, "total_amount_quote 0 must be a positive amount"),
        ({"trade_cost": -0.001}, "trade_cost"),
        ({"trade_cost": 0.1}, r"trade_cost 0.1 must be a fraction of notional in \[0, 0.1\)"),
        ({"trade_cost": np.nan}, "trade_cost"),
    ],
)
def test_setting_out_of_range_is_named(settings, match):
    with pytest.raises(ValidationError, match=match):
        ControllerConfig(**settings)


def test_numbers_of_numpy_are_settings_too(market):
    config = ControllerConfig(stop_loss=np.float32(0.5), max_executors_per_side=np.int64(3), trade_cost=np.float64(0))
    assert config.to_json()["max_executors_per_side"] == 3
    run = ControllerBaseline(flat(market, 1), np.float64(0.5), config).run(market)
    assert len(run.executors) > 0


def test_signal_that_is_none_is_named_with_its_bar(market):
    signal = flat(market).astype(float)
    signal.iloc[[3, 5]] = 0.5
    with pytest.raises(ValidationError, match=r"signal: BTC/USD bar 2017-10-01 01:30\+00:00 is 0.5.*\(2 are not\)"):
        ControllerBaseline(signal).run(market)


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf])
def test_target_that_is_no_positive_number_is_named_with_its_bar(market, value):
    target = flat(market, 1.0)
    target.iloc[2] = value
    with pytest.raises(ValidationError, match=r"target_pct: BTC/USD bar 2017-10-01 01:00\+00:00 is .*positive"):
        ControllerBaseline(flat(market, 1), target).run(market)


def test_target_without_a_signal_may_be_zero(market):
    target = flat(market, 1.0)
    target.iloc[2] = 0.0
    signal = flat(market, 1)
    signal.iloc[2] = 0
    assert len(ControllerBaseline(signal, target).run(market).executors) > 0


def test_index_must_be_that_of_the_market(market):
    naive = flat(market).tz_localize(None)
    for signal in (naive, flat(market).iloc[1:], flat(market).shift(freq="30min")):
        with pytest.raises(ValidationError, match=r"signal: it has \d+ rows, the market 48 bars.*naive"):
            ControllerBaseline(signal).run(market)
    with pytest.raises(ValidationError, match="target_pct: it has"):
        ControllerBaseline(flat(market), naive).run(market)


def test_columns_must_be_the_markets_symbols(market):
    table = flat(market).to_frame("BTC/USD")
    with pytest.raises(ValidationError, match=r"unknown symbol: \['DOGE/USD'\]"):
        ControllerBaseline(table.assign(**{"DOGE/USD": 0})).run(market)
    both = load_sample(["BTC/USD", "ETH/USD"]).iloc(0, 48)
    with pytest.raises(ValidationError, match=r"missing: \['ETH/USD'\]"):
        ControllerBaseline(table).run(both)
    with pytest.raises(ValidationError, match="a Series speaks for one symbol"):
        ControllerBaseline(flat(both)).run(both)


@pytest.mark.parametrize(
    ("signal", "target", "match"),
    [
        ("long", 1.0, "signal: expected a Series or a DataFrame"),
        (None, "wide", "target_pct: expected a Series or a DataFrame"),
        (None, True, "target_pct: expected"),
    ],
)
def test_inputs_of_the_wrong_kind_are_named(market, signal, target, match):
    with pytest.raises(ValidationError, match=match):
        ControllerBaseline(flat(market) if signal is None else signal, target).run(market)


def test_words_are_no_signal(market):
    with pytest.raises(ValidationError, match="signal: it holds something that is not a number"):
        ControllerBaseline(flat(market, "long")).run(market)
    with pytest.raises(ValidationError, match="not a number"):
        signal_from_targets(flat(market, "long"))
    with pytest.raises(ValidationError, match="got list"):
        signal_from_targets([1, 0])


def test_market_must_be_one_and_hold_bars(market):
    with pytest.raises(ValidationError, match="market: it holds no bars"):
        ControllerBaseline(flat(market).iloc[:0]).run(market.iloc(0, 0))
    with pytest.raises(ValidationError, match="expected a Market, got DataFrame"):
        ControllerBaseline(flat(market)).run(market.close)


def test_symbol_without_a_usable_bar_is_named(market):
    with pytest.raises(ValidationError, match="BTC/USD: no bar is left, as each of its 48 has a NaN"):
        ControllerBaseline(flat(market, np.nan)).run(market)


@pytest.mark.parametrize("cash", [0, -5.0, np.nan, np.inf, "100", True])
def test_cash_must_be_positive(market, cash):
    with pytest.raises(ValidationError, match=r"cash .* must be a positive amount"):
        ControllerBaseline(flat(market)).run(market, cash=cash)


def test_config_must_be_one(market):
    with pytest.raises(ValidationError, match="config: expected ControllerConfig"):
        ControllerBaseline(flat(market), config={"stop_loss": 0.03}).run(market)


def test_bars_that_a_symbol_does_not_have_are_no_dropped_ones():
    both = load_sample(["BTC/USD", "ETH/USD"])
    sparse = both.close["ETH/USD"].isna()
    assert sparse.any()
    signal = pd.DataFrame(0, index=both.index, columns=list(both.symbols))
    assert ControllerBaseline(signal).run(both).dropped.tolist() == [0, 0]


def test_import_loads_neither_numba_nor_pandas():
    code = (
        "import sys, reports.hummingbot as package\n"
        "assert not {'numba', 'numpy', 'pandas'} & set(sys.modules), 'on import'\n"
        "package.ControllerBaseline\n"
        "assert 'numba' not in sys.modules, 'on first use of a name'\n"
        "assert sorted(package.__all__) == dir(package)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_names_not_exported_are_refused():
    import reports.hummingbot

    with pytest.raises(AttributeError, match="no attribute 'read_everything'"):
        _ = reports.hummingbot.read_everything
