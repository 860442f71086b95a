"""The real Hummingbot, run through our own builder and runner: its golden runs, its network, our simulation beside it.

What these measure is printed with `pytest -s`. They are slow: the environment is built the first time, in minutes.
"""

import json
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import Market, load_sample
from reports.hummingbot import ControllerBaseline, ControllerConfig
from reports.hummingbot.real import RealJob, compare_executors, run_jobs

SHARED = Path(__file__).resolve().parents[4] / "shared"
GOLDEN = SHARED / "hummingbot" / "golden"
RUNS = ("quantile_1h_a", "quantile_1h_b", "random_5m")
CONFIGURATIONS = 100
CANDLES = ["open", "high", "low", "close", "volume"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def golden(real_python):
    if not GOLDEN.exists():
        pytest.skip("the golden runs of the real Hummingbot are not here: ../shared/hummingbot/golden")
    facts, tables, jobs = {}, {}, []
    for name in RUNS:
        facts[name] = json.loads((GOLDEN / name / "run.json").read_text())
        tables[name] = {
            part: pd.read_parquet(GOLDEN / name / f"{part}.parquet") for part in ("bars", "executors", "pnl")
        }
        bars = tables[name]["bars"]
        jobs.append(
            RealJob(
                bars[CANDLES],
                facts[name]["interval"],
                facts[name]["config"],
                signal=bars["signal"],
                target_pct=bars["target_pct"],
                trade_cost=facts[name]["trade_cost"],
                name=name,
            )
        )
    return {
        name: (run, facts[name], tables[name])
        for name, run in zip(RUNS, run_jobs(jobs, python=real_python), strict=True)
    }


@pytest.mark.parametrize("name", RUNS)
def test_golden_run_is_reproduced(golden, name):
    run, facts, tables = golden[name]
    real = tables["executors"].sort_values("opened_at", ignore_index=True)
    assert len(run.executors) == len(real) == facts["executors"]
    for column in ("opened_at", "closed_at"):
        assert (pd.DatetimeIndex(run.executors[column]) == pd.DatetimeIndex(real[column])).all(), column
    for column in ("side", "close_type"):
        assert run.executors[column].tolist() == real[column].tolist(), column
    other = {"entry": "entry_price", "filled": "volume"}
    for column in ("amount", "entry", "close_price", "pnl_pct", "pnl", "fees", "filled"):
        np.testing.assert_allclose(run.executors[other.get(column, column)], real[column], rtol=1e-12, atol=0.0)
    assert len(run.pnl) == len(tables["pnl"]) == run.rows
    for column in ("total_pnl", "active_executors", "cumulative_volume"):
        np.testing.assert_allclose(run.pnl_table[column], tables["pnl"][column], rtol=1e-12, atol=1e-12)
    counts = facts["results"].pop("close_types")
    assert run.results.pop("close_types") == counts
    assert run.results == pytest.approx(facts["results"], rel=1e-12)
    assert run.versions["hummingbot"] == facts["hummingbot"]


def test_worker_says_which_layers_refused_its_network(golden):
    run, _, _ = golden["random_5m"]
    assert run.network[-1] == "audit hook"
    if sys.platform.startswith("linux"):
        assert len(run.network) > 1


REACHES_OUT = """
import socket
from hummingbot.strategy_v2.controllers.directional_trading_controller_base import (
    DirectionalTradingControllerBase, DirectionalTradingControllerConfigBase)

class ReachesOutConfig(DirectionalTradingControllerConfigBase):
    controller_name: str = "reaches_out"
    port: int

class ReachesOut(DirectionalTradingControllerBase):
    async def update_processed_data(self):
        socket.create_connection(("127.0.0.1", self.config.port), timeout=5)
"""


def test_controller_that_reaches_out_is_refused(real_python, make_candles, tmp_path):
    # The user's own file, imported from his folder: it gets Hummingbot and candles, and no network.
    folder = tmp_path / "checkout" / "controllers" / "directional_trading"
    folder.mkdir(parents=True)
    (folder / "reaches_out.py").write_text(REACHES_OUT)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.0)
        job = RealJob(
            make_candles(30),
            "1h",
            {"controller_type": "directional_trading", "port": server.getsockname()[1]},
            controller="reaches_out",
            controllers_dir=tmp_path / "checkout",
        )
        (run,) = run_jobs([job], python=real_python, failures="keep")
        with pytest.raises(TimeoutError):
            server.accept()
    assert "the network is refused here" in run.failure


OWN_FILE = """
import pandas_ta as ta
from hummingbot.data_feed.candles_feed.data_types import CandlesConfig
from hummingbot.strategy_v2.controllers.directional_trading_controller_base import (
    DirectionalTradingControllerBase, DirectionalTradingControllerConfigBase)

class MineConfig(DirectionalTradingControllerConfigBase):
    controller_name: str = "bollinger_v1"
    length: int = 20

class Mine(DirectionalTradingControllerBase):
    def get_candles_config(self):
        own = self.config
        return [CandlesConfig(connector=own.connector_name, trading_pair=own.trading_pair, interval="1h")]

    async def update_processed_data(self):
        df = self.market_data_provider.get_candles_df(self.config.connector_name, self.config.trading_pair, "1h")
        df.ta.bbands(length=self.config.length, lower_std=2.0, upper_std=2.0, append=True)
        place = df[f"BBP_{self.config.length}_2.0_2.0"]
        df["signal"] = (place < 0.0).astype(int) - (place > 1.0).astype(int)
        self.processed_data = {"signal": 0, "features": df}
"""


def test_controller_of_the_user_s_own_folder_runs_beside_ours_of_the_same_name(real_python, make_candles, tmp_path):
    folder = tmp_path / "controllers" / "directional_trading"
    folder.mkdir(parents=True)
    (folder / "bollinger_v1.py").write_text(OWN_FILE)
    candles = make_candles(400, seed=2)
    ours = RealJob(candles, "1h", {"interval": "1h", "bb_length": 20}, controller="bollinger_v1")
    own = RealJob(
        candles,
        "1h",
        {"controller_type": "directional_trading", "length": 20},
        controller="bollinger_v1",
        controllers_dir=tmp_path / "controllers",
    )
    first, second = run_jobs([ours, own], python=real_python)
    assert len(first.executors) > 10
    assert compare_executors(first.executors, second.executors, tolerance=0.0).ok
    assert first.rows == second.rows == 381


def test_candles_that_the_job_does_not_hold_are_asked_for_in_vain(real_python, make_candles):
    job = RealJob(make_candles(30), "1h", {"interval": "5m"}, controller="bollinger_v1")
    (run,) = run_jobs([job], python=real_python, failures="keep")
    assert "asks for candles of BTC-USDT, 5m; the job holds BTC-USDT, 1h" in run.failure


def test_key_that_hummingbot_does_not_know_is_refused(real_python, make_job):
    job = make_job()
    wrong = RealJob(job.candles, "1h", {"stop_los": 0.01}, signal=job.signal)
    (run,) = run_jobs([wrong], python=real_python, failures="keep")
    assert "stop_los" in run.failure


def test_shipped_supertrend_leaves_no_bar_and_its_signal_can_be_had_all_the_same(real_python, make_candles):
    candles = make_candles(400, seed=5)
    settings = {"interval": "1h", "length": 10, "multiplier": 2.0}
    shipped = RealJob(candles, "1h", settings, controller="supertrend_v1")
    mended = RealJob(candles, "1h", settings, controller="supertrend_v1", options={"drop_one_sided": True})
    first, second = run_jobs([shipped, mended], python=real_python, failures="keep")
    assert first.rows == 0
    assert first.failure.startswith("IndexError")
    assert second.failure == ""
    assert second.rows > 380
    assert set(second.features["signal"].unique()) == {-1, 0, 1}


def test_executor_that_averages_in_is_empty_until_its_last_level_is_reached(real_python, make_candles):
    candles = make_candles(600, seed=3)
    settings = {"interval": "1h", "bb_length": 20, "time_limit": 36000, "dca_spreads": "0.001,0.02"}
    near = RealJob(candles, "1h", settings, controller="dman_v3")
    endless = RealJob(
        candles, "1h", {**settings, "stop_loss": None, "dca_spreads": "0.001,0.004"}, controller="dman_v3"
    )
    run, broken = run_jobs([near, endless], python=real_python, failures="keep")
    empty = run.executors["volume"] == 0
    assert 0 < empty.sum() < len(run.executors)
    assert (run.executors.loc[empty, "pnl"] == 0).all()
    assert {"TRAILING_STOP", "TIME_LIMIT"} & set(run.executors.loc[empty, "close_type"])
    assert broken.failure == "IndexError: list index out of range"


def test_dynamic_spread_of_the_real_engine_is_that_of_the_last_bar(real_python, make_candles):
    candles = make_candles(400, seed=3)
    settings = {"interval": "1h", "bb_length": 20, "dca_spreads": "0.1,0.2", "dynamic_order_spread": True}
    jobs = [RealJob(candles.iloc[:bars], "1h", settings, controller="dman_v3") for bars in (400, 350)]
    for run in run_jobs(jobs, python=real_python):
        first = run.executors.iloc[0]
        width = run.features["BBB_20_2.0_2.0"]
        turn = -1.0 if first["side"] == "BUY" else 1.0
        price = candles["close"].loc[first["opened_at"]]
        average = (price * (1 + turn * np.array([0.1, 0.2]) * width.iloc[-1] / 200)).mean()
        # The average of all levels where the last was reached, else Hummingbot's first price.
        first_level = price * (1 + turn * 0.1 * width.iloc[-1] / 200)
        got = run.executors["average_price"].iloc[0]
        assert got == pytest.approx(average) or got == pytest.approx(first_level)
        assert width.iloc[-1] != width.loc[first["opened_at"]]


def pool() -> dict[str, tuple[str, str, pd.DataFrame]]:
    """Real candles: the bundled sample, and the shared ones where they are; by name: symbol, interval, candles."""
    sample = load_sample()
    found = {}
    for timeframe in ("30m", "2h"):
        market = sample if timeframe == "30m" else sample.resample(timeframe)
        for symbol in ("BTC/USD", "XRP/USD"):
            candles = pd.DataFrame({name: market[name][symbol] for name in CANDLES}).dropna()
            found[f"{symbol} {timeframe}"] = (symbol, timeframe, candles)
    for name, symbol, interval in (
        ("btcusdt_1h", "BTC/USDT", "1h"),
        ("binance_DOGEUSDT_5m", "DOGE/USDT", "5m"),
        ("binance_SOLUSDT_5m", "SOL/USDT", "5m"),
        ("binance_ETHUSDTPERP_1m", "ETH/USDT", "1m"),
    ):
        path = SHARED / "data" / f"{name}.parquet"
        if path.exists():
            found[f"{symbol} {interval}"] = (symbol, interval, pd.read_parquet(path)[CANDLES])
    return found


def random_case(rng, pool):
    """A window of real candles, a signal, targets and settings, all drawn."""
    symbol, interval, candles = pool[sorted(pool)[int(rng.integers(len(pool)))]]
    length = int(rng.integers(300, 801))
    start = int(rng.integers(0, len(candles) - length))
    window = candles.iloc[start : start + length].rename_axis("time")
    window.index = pd.DatetimeIndex(window.index).as_unit("ns")
    kind = rng.choice(["sparse", "dense", "persistent"])
    if kind == "persistent":
        held = rng.choice([-1.0, 0.0, 1.0], length)
        signal = pd.Series(np.where(rng.random(length) < 0.05, held, np.nan)).ffill().fillna(0.0).to_numpy()
    else:
        share = 0.03 if kind == "sparse" else 0.6
        signal = np.where(rng.random(length) < share, rng.choice([-1.0, 1.0], length), 0.0)
    bar = pd.Timedelta(interval)
    width = float(window["close"].pct_change().std())
    # Targets of a few bars' moves: with barriers about 1 every kind of exit occurs.
    target = rng.uniform(0.5, 8.0, length) * width

    def maybe(low: float, high: float) -> float | None:
        return None if rng.random() < 0.2 else float(np.round(rng.uniform(low, high), int(rng.integers(1, 6))))

    trailing = None if rng.random() < 0.5 else (float(rng.uniform(0.2, 1.5)), float(rng.uniform(0.1, 0.8)))
    config = ControllerConfig(
        stop_loss=maybe(0.3, 2.0),
        take_profit=maybe(0.3, 2.5),
        trailing_stop=trailing,
        time_limit=None
        if rng.random() < 0.2
        else int(rng.integers(1, 100)) * bar + pd.Timedelta(seconds=int(rng.integers(2))),
        cooldown_time=int(rng.integers(1, 12)) * bar,
        max_executors_per_side=int(rng.integers(1, 6)),
        total_amount_quote=float(np.round(rng.uniform(10, 50_000), 2)),
        trade_cost=float(rng.choice([0.0, 0.0002, 0.0006, 0.00123])),
    )
    return (
        symbol,
        interval,
        window,
        pd.Series(signal, index=window.index),
        pd.Series(target, index=window.index),
        config,
    )


def yaml_of(config: ControllerConfig) -> dict[str, object]:
    """The same settings as Hummingbot's file has them."""

    def seconds(span: pd.Timedelta | None) -> int | None:
        return None if span is None else int(span.total_seconds())

    pair = config.trailing_stop
    return {
        "stop_loss": config.stop_loss,
        "take_profit": config.take_profit,
        "trailing_stop": None if pair is None else f"{pair[0]!r},{pair[1]!r}",
        "time_limit": seconds(config.time_limit),
        "cooldown_time": seconds(config.cooldown_time),
        "max_executors_per_side": config.max_executors_per_side,
        "total_amount_quote": config.total_amount_quote,
    }


def test_simulation_is_the_real_engine_on_a_hundred_random_configurations(real_python, capsys):
    rng = np.random.default_rng(20260922)
    candles = pool()
    cases = [random_case(rng, candles) for _ in range(CONFIGURATIONS)]
    jobs = [
        RealJob(
            window,
            interval,
            yaml_of(config),
            signal=signal,
            target_pct=target,
            symbol=symbol,
            trade_cost=config.trade_cost,
            name=f"random {number}",
        )
        for number, (symbol, interval, window, signal, target, config) in enumerate(cases)
    ]
    runs = run_jobs(jobs, python=real_python)
    executors, points, largest, kinds, real_seconds, our_seconds = 0, 0, 0.0, {}, 0.0, 0.0
    for (symbol, interval, window, signal, target, config), run in zip(cases, runs, strict=True):
        market = Market.from_frames({symbol: window}, timeframe=interval)
        baseline = ControllerBaseline(signal, target, config=config)
        simulated = baseline.run(market)
        began = time.perf_counter()
        simulated = baseline.run(market)
        our_seconds += time.perf_counter() - began
        real_seconds += run.seconds
        check = compare_executors(simulated.executors, run.executors, simulated_pnl=simulated.pnl, real_pnl=run.pnl)
        assert check.ok, f"{run.job.name}: {config}\n{check}"
        executors, points = executors + len(check.table), points + len(check.pnl)
        largest = max(largest, check.largest)
        for kind, count in simulated.executors["close_type"].value_counts().items():
            kinds[kind] = kinds.get(kind, 0) + int(count)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(cases)} configurations on {len(candles)} tables of candles, {executors:,} executors {kinds}, "
            f"{points:,} points: largest relative difference {largest:.1e}; real {real_seconds:.1f} s, simulated "
            f"{our_seconds:.2f} s: {real_seconds / our_seconds:.0f} times as fast\n"
        )
    assert executors > 1_000
    assert set(kinds) == {"STOP_LOSS", "TAKE_PROFIT", "TIME_LIMIT", "TRAILING_STOP"}
    assert real_seconds / our_seconds >= 20
