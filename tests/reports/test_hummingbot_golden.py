"""The simulation beside runs of the real Hummingbot: every executor, every point of its series, its own figures."""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import Market
from engine import Costs
from reports.hummingbot import ControllerBaseline, ControllerConfig, equal_terms

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "hummingbot" / "golden"
RUNS = ("quantile_1h_a", "quantile_1h_b", "random_5m")


def config_of(facts):
    """The settings of a golden run, as Hummingbot's own configuration writes them."""
    given = facts["config"]
    trailing = given.get("trailing_stop")
    return ControllerConfig(
        stop_loss=float(given["stop_loss"]),
        take_profit=float(given["take_profit"]),
        trailing_stop=None if trailing is None else tuple(float(figure) for figure in trailing.split(",")),
        time_limit=pd.Timedelta(seconds=given["time_limit"]),
        cooldown_time=pd.Timedelta(seconds=given["cooldown_time"]),
        max_executors_per_side=given["max_executors_per_side"],
        total_amount_quote=given["total_amount_quote"],
        trade_cost=facts["trade_cost"],
    )


def load(name):
    """Our run of a golden one, its tables and its facts."""
    folder = GOLDEN / name
    if not folder.exists():
        pytest.skip("the golden runs of the real Hummingbot are not here: ../shared/hummingbot/golden")
    facts = json.loads((folder / "run.json").read_text())
    table = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("bars", "executors", "pnl")}
    candles = table["bars"][["open", "high", "low", "close", "volume"]]
    market = Market.from_frames({"BTC/USDT": candles}, timeframe=facts["interval"])
    signal, target = (table["bars"][name].set_axis(market.index) for name in ("signal", "target_pct"))
    return ControllerBaseline(signal, target, config_of(facts)).run(market), table, facts


@pytest.fixture(scope="module", params=RUNS)
def golden(request):
    return load(request.param)


def test_every_executor_is_that_of_the_real_engine(golden):
    run, table, facts = golden
    ours = run.executors
    # One is created a bar at most, so the time of creation names it.
    real = table["executors"].sort_values("opened_at", ignore_index=True)
    assert len(ours) == len(real) == facts["executors"]
    for name in ("opened_at", "closed_at"):
        assert (pd.DatetimeIndex(ours[name]) == pd.DatetimeIndex(real[name])).all(), name
    for name in ("side", "close_type"):
        assert ours[name].tolist() == real[name].tolist(), name
    names = {"entry": "entry_price", "filled": "volume"}
    for name in ("amount", "entry", "close_price", "pnl_pct", "pnl", "fees", "filled"):
        np.testing.assert_allclose(ours[names.get(name, name)], real[name], rtol=1e-9, atol=0.0, err_msg=name)


def test_profit_series_is_that_of_the_real_engine_at_every_bar(golden):
    run, table, facts = golden
    real = table["pnl"]["total_pnl"]
    assert (run.pnl.index == real.index).all()
    np.testing.assert_allclose(run.pnl, real, rtol=1e-9, atol=1e-9)
    assert run.executors["pnl"].sum() == pytest.approx(facts["results"]["net_pnl_quote"], rel=1e-9)
    assert run.marked.equity.iloc[-1] == pytest.approx(run.cash + facts["results"]["net_pnl_quote"], rel=1e-9)


def test_slots_in_use_and_volume_are_those_of_the_real_engine_at_every_bar(golden):
    run, table, _ = golden
    times = run.pnl.index
    opened, closed = (times.get_indexer(pd.DatetimeIndex(run.executors[name])) for name in ("opened_at", "closed_at"))
    ended = np.maximum(closed, opened + 1)  # seen from the next bar on
    length = len(times)
    begun = np.bincount(opened + 1, minlength=length + 1)[:length].cumsum()
    over = np.bincount(ended, minlength=length)[:length].cumsum()
    assert (begun - over).tolist() == table["pnl"]["active_executors"].tolist()
    volume = np.bincount(ended, weights=run.executors["volume"], minlength=length)[:length].cumsum()
    np.testing.assert_allclose(volume, table["pnl"]["cumulative_volume"], rtol=1e-9)


def test_own_statistics_are_what_the_real_engine_reported(golden):
    run, _, facts = golden
    real = dict(facts["results"])
    real["pnl_level_mean_over_std"] = real.pop("sharpe_ratio")
    real |= {f"close_types.{name}": count for name, count in real.pop("close_types").items()}
    # Only controllers that keep positions have these.
    assert real.pop("unrealized_pnl_quote") == real.pop("position_realized_pnl_quote") == 0.0
    ours = run.own_statistics()["BTC/USDT"].to_dict()
    absent = set(ours) - set(real)
    assert all(ours[name] == 0 for name in absent)
    assert {name: ours[name] for name in real} == pytest.approx(real, rel=1e-9)


def test_figures_of_the_docs_are_those_of_the_golden_run():
    run, table, _ = load("quantile_1h_a")
    page = (Path(__file__).resolve().parents[2] / "docs" / "hummingbot.md").read_text(encoding="utf-8")
    stopped = run.executors[run.executors["close_type"] == "STOP_LOSS"]
    later = stopped[stopped["closed_at"] > stopped["opened_at"]]
    level = table["bars"]["target_pct"].loc[later["opened_at"]].mean() * run.config.stop_loss
    booked = -(later["pnl_pct"] + 2 * run.config.trade_cost).mean()
    assert f"{len(stopped) - len(later)} of {len(stopped)} stops closed an executor on its own entry bar" in page
    assert f"the other {len(later)} were set at {level:.2%} and booked at {booked:.2%}" in page
    own, sharpe = run.own_statistics().loc["pnl_level_mean_over_std"].iloc[0], run.marked.stats()["sharpe"]
    assert f"it is {own:+.2f}, while the Sharpe ratio of the marked account is \N{MINUS SIGN}{-sharpe:.2f}" in page


@pytest.mark.slow
def test_simulation_is_at_least_twenty_times_as_fast_as_the_real_engine_was(golden):
    # The fixture's run has loaded the compiled code. The real engine's seconds are those of its golden run.
    run, table, facts = golden
    signal, target = (table["bars"][name].set_axis(run.market.index) for name in ("signal", "target_pct"))
    baseline = ControllerBaseline(signal, target, run.config)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        baseline.run(run.market)
        took.append(time.perf_counter() - began)
    assert facts["seconds"] / min(took) >= 20


def test_the_steps_to_ladders_rules_are_those_of_the_docs():
    # docs/why-they-differ.md
    run, _, _ = load("quantile_1h_a")
    steps = equal_terms(run, costs=Costs(fee=0.0006, slippage=0.0)).steps
    told = {
        "as Hummingbot computes it": (-23.20, 894.00),
        "marking": (-23.20, 894.00),
        "costs": (-23.23, 894.34),
        "undone entries": (-9.43, 756.34),
        "fill timing": (-9.38, 755.74),
        "netting": (7.11, 590.91),
        "compounding": (2.88, 691.23),
    }
    assert list(steps.index) == list(told)
    for step, (total, fees) in told.items():
        assert steps.loc[step, "total_return"] * 100 == pytest.approx(total, abs=0.006)
        assert steps.loc[step, "fees"] == pytest.approx(fees, abs=0.006)
