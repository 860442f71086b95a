"""What differs between two tables of executors is found, named and measured."""

import numpy as np
import pandas as pd
import pytest

from data import Market
from data.errors import ValidationError
from reports.hummingbot import ControllerBaseline, ControllerConfig
from reports.hummingbot.real import compare_executors


@pytest.fixture(scope="module")
def run(make_candles):
    candles = make_candles(300, seed=4)
    market = Market.from_frames({"BTC/USDT": candles}, timeframe="1h")
    signal = pd.Series(np.random.default_rng(1).choice([-1.0, 0.0, 1.0], 300), index=market.index)
    config = ControllerConfig(total_amount_quote=1000.0, time_limit=pd.Timedelta("9h"), trade_cost=0.0006)
    return ControllerBaseline(signal, config=config).run(market)


def compare(run, executors=None, pnl=None, **settings):
    executors = run.executors if executors is None else executors
    pnl = run.pnl if pnl is None else pnl
    return compare_executors(run.executors, executors, simulated_pnl=run.pnl, real_pnl=pnl, **settings)


def test_run_agrees_with_itself(run):
    check = compare(run)
    assert check.ok
    assert check.largest == 0.0
    assert check.differences == ()
    assert len(check.table) == len(run.executors) > 20
    assert str(check).startswith(f"simulated and real agree: {len(run.executors):,} executors and 300 points")


@pytest.mark.parametrize("name", ["amount", "entry_price", "close_price", "pnl_pct", "pnl", "fees", "volume"])
def test_figure_that_differs_is_named_with_both_values(run, name):
    other = run.executors.copy()
    other.loc[7, name] += 1e-6 * max(1.0, abs(other.loc[7, name]), 500.0 * (name == "pnl"))
    check = compare(run, other)
    assert not check.ok
    assert check.rows == (7,)
    assert check.worst.loc[name, "row"] == 7
    assert check.worst.loc[name, "relative"] > 1e-9
    (told,) = check.differences
    assert told.startswith(f"{other.loc[7, 'opened_at']:%Y-%m-%d %H:%M}: BTC/USDT {other.loc[7, 'side']}: {name} ")
    assert f"{float(run.executors.loc[7, name])!r} | {float(other.loc[7, name])!r}" in told
    assert check.table.loc[7, f"{name}_difference"] == run.executors.loc[7, name] - other.loc[7, name]


def test_difference_below_the_tolerance_is_none_and_is_measured(run):
    other = run.executors.copy()
    other.loc[7, "amount"] *= 1 + 3e-10
    check = compare(run, other)
    assert check.ok
    assert check.largest == pytest.approx(3e-10, rel=1e-3)
    assert not compare(run, other, tolerance=1e-10).ok


def test_profit_near_nothing_is_measured_by_its_notional(run):
    # 1e-12 of a thousand quote is noise, though it may be the whole of a profit.
    other = run.executors.copy()
    mine = run.executors.copy()
    mine.loc[7, "pnl"], other.loc[7, "pnl"] = 1e-12, -1e-12
    assert compare_executors(mine, other).ok


def test_other_exit_side_or_bar_is_named(run):
    other = run.executors.copy()
    other.loc[3, "close_type"] = "EARLY_STOP"
    other.loc[5, "closed_at"] += pd.Timedelta("1h")
    other.loc[8, "side"] = {"BUY": "SELL", "SELL": "BUY"}[other.loc[8, "side"]]
    check = compare(run, other)
    assert check.rows == (3, 5, 8)
    assert f"close_type {run.executors.loc[3, 'close_type']} | EARLY_STOP" in check.differences[0]
    assert "closed_at " in check.differences[1]
    assert "side " in check.differences[2]


def test_tables_of_unequal_length_are_compared_all_the_same(run):
    other = run.executors.drop(index=[4, 9]).reset_index(drop=True)
    check = compare(run, other)
    assert check.rows == (4, 9)
    assert check.table["only"].tolist().count("simulated") == 2
    assert "only simulated has it" in check.differences[0]
    swapped = compare_executors(other, run.executors)
    assert swapped.table["only"].tolist().count("real") == 2
    assert compare_executors(run.executors.iloc[:0], run.executors.iloc[:3]).rows == (0, 1, 2)
    assert compare_executors(run.executors.iloc[:0], run.executors.iloc[:0]).ok


def test_executors_of_one_bar_belong_together_by_level(run):
    orders = run.executors.iloc[[0, 0, 0]].reset_index(drop=True).assign(level_id=["buy_0", "buy_1", "sell_0"])
    orders["amount"] = [1.0, 2.0, 3.0]
    check = compare_executors(orders, orders.iloc[[2, 0]].reset_index(drop=True))
    assert check.rows == (1,)
    assert "buy_1: only simulated has it" in check.differences[0]
    assert "level" in check.side_by_side().columns


def test_figure_that_hummingbot_does_not_report_is_not_compared_and_one_that_we_lack_is(run):
    other = run.executors.copy()
    other["amount"] = np.nan
    assert compare(run, other).ok
    mine = run.executors.copy()
    mine.loc[2, "amount"] = np.nan
    check = compare_executors(mine, run.executors)
    assert check.rows == (2,)
    assert "amount nothing | " in check.differences[0]


def test_point_of_the_profit_series_that_differs_or_is_missing_is_named(run):
    pnl = run.pnl.copy()
    pnl.iloc[100] += 1.0
    check = compare(run, pnl=pnl)
    assert check.rows == ()
    assert check.worst.loc["profit series", "row"] == 100
    assert check.differences[0].startswith(f"{run.pnl.index[100]:%Y-%m-%d %H:%M}: profit series ")
    missing = compare(run, pnl=run.pnl.drop(run.pnl.index[5]))
    assert len(missing.differences) == 1
    assert missing.differences[0].endswith("| nothing")


def test_first_differences_come_first_and_the_rest_are_counted(run):
    other = run.executors.copy()
    other["amount"] *= 2.0
    text = str(compare(run, other)).splitlines()
    assert len(text) == 12
    assert text[-1] == f"  and {len(other) - 10:,} more"
    assert text[1:11] == sorted(text[1:11])


def test_side_by_side_shows_both_where_they_differ(run):
    other = run.executors.copy()
    other.loc[7, "close_type"] = "EARLY_STOP"
    other.loc[7, "pnl"] += 1.0
    shown = compare(run, other).side_by_side()
    assert len(shown) == 1
    assert shown["close_type"].iloc[0] == f"{run.executors.loc[7, 'close_type']} | EARLY_STOP"
    assert " | " in shown["pnl"].iloc[0]
    assert " | " not in shown["amount"].iloc[0]
    assert len(compare(run).side_by_side(limit=5)) == 5


def test_table_without_a_column_is_an_error(run):
    with pytest.raises(ValidationError, match="real: the table of executors has no column pnl"):
        compare(run, run.executors.drop(columns="pnl"))
