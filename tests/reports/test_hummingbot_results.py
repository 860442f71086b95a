"""A baseline's run as a Result: both ways of accounting, and everything that is done with a Result."""

import pickle

import numpy as np
import pandas as pd
import pytest

from data import load_sample
from engine import Result
from engine.result import ORDER_COLUMNS
from reports import compare, tearsheet
from reports.hummingbot import BaselineRun, ControllerBaseline, ControllerConfig, signal_from_targets
from research.strategies import SmaCross

SYMBOLS = ["BTC/USD", "ETH/USD"]


@pytest.fixture(scope="module")
def run():
    """Both slots, both sides, every way of closing, two symbols with gaps: two months of the bundled sample."""
    market = load_sample(SYMBOLS).loc["2018-01":"2018-02"]
    targets = SmaCross(10, 30, below=-1.0).targets(market)
    config = ControllerConfig(
        stop_loss=0.03,
        take_profit=0.04,
        trailing_stop=(0.02, 0.01),
        time_limit=pd.Timedelta("12h"),
        cooldown_time=pd.Timedelta("2h"),
        total_amount_quote=1_000.0,
        trade_cost=0.0006,
    )
    return ControllerBaseline(signal_from_targets(targets), config=config).run(market)


def test_sample_run_has_every_way_of_closing_on_both_sides_of_both_symbols(run):
    assert len(run.executors.groupby(["symbol", "side", "close_type"])) == 2 * 2 * 4


def test_executors_come_in_the_order_of_creation_whatever_the_symbol(run):
    times = run.executors["opened_at"]
    assert times.is_monotonic_increasing
    assert (run.executors["symbol"] != run.executors["symbol"].shift()).sum() > 10
    same_bar = run.executors[times.duplicated(keep=False)]
    assert len(same_bar) > 0
    assert same_bar.groupby("opened_at")["symbol"].apply(list).map(lambda names: names == SYMBOLS).all()


@pytest.mark.parametrize("accounting", ["realised", "marked"])
def test_result_is_what_any_broker_gives(run, accounting, tmp_path):
    result = getattr(run, accounting)
    assert isinstance(result, Result)
    assert (result.broker, result.timeframe, result.cash) == ("hummingbot", "30m", 2_000.0)
    assert tuple(result.orders.columns) == ORDER_COLUMNS
    assert set(result.orders["side"]) == {"buy", "sell"}
    assert (result.orders["amount"] > 0).all()
    assert result.equity.index.equals(run.market.index)
    assert result.positions.shape == result.prices.shape == run.market.close.shape
    assert result.orders["fee"].sum() == pytest.approx(run.executors["fees"].sum())
    stats = result.stats()
    assert stats["orders"] == 2 * len(run.executors)
    assert stats["open_trades"] == 0
    # An executor of the last bar is on the account, but not yet in Hummingbot's series.
    counted = (run.executors["opened_at"] < run.market.index[-1]) | (accounting == "marked")
    assert stats["final_equity"] == pytest.approx(2_000.0 + run.executors["pnl"][counted].sum(), rel=1e-12)
    assert result.trades["pnl"].sum() == pytest.approx(run.executors["pnl"].sum(), rel=1e-9)
    assert len(result.plot().data) > 3
    back = Result.read_parquet(result.to_parquet(tmp_path / "run.parquet"))
    assert dict(back.meta) == dict(result.meta)
    pd.testing.assert_series_equal(back.equity, result.equity, check_freq=False)
    pd.testing.assert_frame_equal(back.orders, result.orders)
    pd.testing.assert_frame_equal(back.positions, result.positions, check_freq=False)


def test_orders_say_why_and_are_decided_at_the_close_that_fills_them(run):
    orders = run.marked.orders
    assert (orders["decided_at"] == orders["filled_at"]).all()
    assert orders["reason"].value_counts().to_dict() == {
        "signal": len(run.executors),
        **run.executors["close_type"].value_counts().to_dict(),
    }
    closes = [run.market.close.at[order.filled_at, order.symbol] for order in orders.itertuples()]
    assert orders["price"].tolist() == closes


def test_both_accounts_hold_the_same_and_part_only_while_something_is_open(run):
    realised, marked = run.realised, run.marked
    pd.testing.assert_frame_equal(realised.orders, marked.orders)
    pd.testing.assert_frame_equal(realised.positions, marked.positions)
    apart = (realised.equity - marked.equity).abs() > 1e-6
    assert apart.any()
    opened, closed = (
        run.market.index.get_indexer(pd.DatetimeIndex(run.executors[name])) for name in ("opened_at", "closed_at")
    )
    # Hummingbot sees an executor that ends on its entry bar one bar later.
    ended = np.maximum(closed, opened + 1)
    shown = np.zeros(len(run.market) + 1, dtype=int)
    np.add.at(shown, opened, 1)
    np.add.at(shown, ended, -1)
    assert not apart[shown.cumsum()[:-1] == 0].any()


def test_realised_equity_hides_what_marking_shows(run):
    hidden = run.realised.stats()["max_drawdown"]
    assert run.marked.stats()["max_drawdown"] < hidden < 0.0


def test_meta_tells_what_ran(run):
    meta = run.marked.meta
    assert meta["parameters"] == {
        "controller_name": "signal",
        "stop_loss": 0.03,
        "take_profit": 0.04,
        "trailing_stop": [0.02, 0.01],
        "time_limit": "0 days 12:00:00",
        "cooldown_time": "0 days 02:00:00",
        "max_executors_per_side": 2,
        "total_amount_quote": 1_000.0,
        "trade_cost": 0.0006,
    }
    assert meta["data"] == run.market.fingerprint()
    assert meta["dropped_bars"] == dict.fromkeys(SYMBOLS, 0)
    assert meta["accounting"] == "marked to market"
    assert {"ladder", "numba", "numpy", "pandas", "python"} <= set(meta["versions"])


def test_compare_takes_both_accounts(run):
    table = compare([run.realised], benchmark=run.marked).table
    assert list(table.columns) == [
        "Directional controller, realised profit only · hummingbot",
        "Directional controller, marked to market · hummingbot",
    ]
    assert table.loc["orders"].tolist() == [2 * len(run.executors)] * 2


def test_tearsheet_sets_a_strategy_beside_the_baseline(run, tmp_path):
    from engine import Costs, Venue, backtest

    mine = backtest(
        SmaCross(10, 30, below=-1.0), run.market, cash=run.cash, costs=Costs(0.0006, 0.0), venue=Venue(shorts=True)
    )
    page = tearsheet(mine, run.marked, tmp_path / "tearsheet.html").read_text(encoding="utf-8")
    assert "the Hummingbot baseline" in page
    assert "max_executors_per_side 2" in page


def test_result_of_a_run_without_an_executor_is_flat():
    market = load_sample(["BTC/USD"]).iloc(0, 100)
    run = ControllerBaseline(pd.Series(0, index=market.index)).run(market)
    assert len(run.executors) == 0
    assert run.executors["opened_at"].dtype == market.index.dtype
    for result in (run.realised, run.marked):
        assert (result.equity == 100.0).all()
        assert len(result.orders) == 0
        assert result.stats()["total_return"] == 0.0


def test_cash_moves_where_equity_begins_and_nothing_else(run):
    index = run.market.index
    signal = pd.DataFrame(1, index=index, columns=SYMBOLS)
    poor, rich = (ControllerBaseline(signal).run(run.market, cash=cash) for cash in (1.0, 1_000.0))
    pd.testing.assert_frame_equal(poor.executors, rich.executors)
    assert (rich.marked.equity - poor.marked.equity).to_numpy() == pytest.approx(999.0, rel=1e-9)


def test_run_says_what_it_is_and_can_be_pickled(run):
    assert isinstance(run, BaselineRun)
    assert repr(run).startswith("BaselineRun(Directional controller; BTC/USD, ETH/USD, 2,832 bars of 30m, ")
    back = pickle.loads(pickle.dumps(run))
    pd.testing.assert_series_equal(back.marked.equity, run.marked.equity)
