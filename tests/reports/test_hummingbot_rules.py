"""Each rule of Hummingbot's directional backtest, on a handful of bars that can be checked by hand.

Prices are such that every return and barrier is exact in binary, so "exactly at the barrier" means it.
"""

import numpy as np
import pandas as pd
import pytest

from data import Market
from reports.hummingbot import ControllerBaseline, ControllerConfig, rules, signal_from_targets

START = pd.Timestamp("2024-01-01", tz="UTC")
FREE = {"trade_cost": 0.0, "total_amount_quote": 64.0, "max_executors_per_side": 1, "time_limit": None}
OPEN_ENDED = FREE | {"stop_loss": None, "take_profit": None}


def bars(closes, *, low=None, high=None, hours=None):
    """Hourly bars whose range is open to close, but where `low` or `high` (by position) say otherwise."""
    close = np.array(closes, dtype=float)
    opens = np.concatenate([close[:1], close[:-1]])
    lows, highs = np.minimum(opens, close), np.maximum(opens, close)
    for position, price in (low or {}).items():
        lows[position] = price
    for position, price in (high or {}).items():
        highs[position] = price
    index = START + pd.to_timedelta(range(len(close)) if hours is None else hours, unit="h")
    table = {"open": opens, "high": highs, "low": lows, "close": close, "volume": 1.0}
    return Market.from_frames({"BTC/USDT": pd.DataFrame(table, index=index)}, timeframe="1h")


def run(market, signal, target=1.0, **settings):
    """The baseline on one symbol; `signal` is {position: side} or one value a bar."""
    values = [signal.get(i, 0) for i in range(len(market))] if isinstance(signal, dict) else signal
    return ControllerBaseline(pd.Series(values, index=market.index), target, ControllerConfig(**settings)).run(market)


def lives(result):
    """Each executor as (side, entry hour, exit hour, close type)."""
    table = result.executors
    hours = [((table[name] - START) / pd.Timedelta("1h")).astype(int) for name in ("opened_at", "closed_at")]
    return list(zip(table["side"], *hours, table["close_type"], strict=True))


def test_defaults_are_those_of_hummingbot():
    config = ControllerConfig()
    assert (config.stop_loss, config.take_profit, config.trailing_stop) == (0.03, 0.02, None)
    assert (config.time_limit, config.cooldown_time) == (pd.Timedelta(seconds=2700), pd.Timedelta(seconds=300))
    assert (config.max_executors_per_side, config.total_amount_quote, config.trade_cost) == (2, 100.0, 0.0002)


def test_entry_is_at_the_close_of_the_signals_own_bar_and_exit_at_the_close_of_its():
    result = run(bars([60, 64, 80, 72]), {1: 1}, **OPEN_ENDED)
    assert lives(result) == [("BUY", 1, 3, "TIME_LIMIT")]
    assert result.executors[["entry_price", "close_price"]].to_numpy().tolist() == [[64.0, 72.0]]


def test_amount_is_a_slots_part_of_the_total_and_never_compounds():
    settings = FREE | {"total_amount_quote": 512.0, "max_executors_per_side": 2, "take_profit": 0.25, "stop_loss": None}
    result = run(bars([64, 128, 128, 256, 256]), {0: 1, 2: 1, 4: -1}, **settings)
    assert result.executors["amount"].tolist() == [4.0, 2.0, 1.0]
    assert result.executors["volume"].tolist() == [512.0, 512.0, 512.0]
    assert result.executors["pnl"].tolist() == [256.0, 256.0, 0.0]


def test_cost_of_both_legs_is_charged_on_the_entrys_notional_from_the_first_bar():
    result = run(bars([64, 80]), {0: 1}, **OPEN_ENDED | {"trade_cost": 0.03125})
    assert result.executors[["pnl_pct", "pnl", "fees"]].to_numpy().tolist() == [[0.25 - 0.0625, 12.0, 4.0]]
    short = run(bars([64, 80]), {0: -1}, **OPEN_ENDED | {"trade_cost": 0.03125})
    assert short.executors["pnl_pct"].tolist() == [-0.25 - 0.0625]


def test_profit_is_taken_when_a_close_exceeds_it_and_not_when_it_is_just_reached():
    settings = OPEN_ENDED | {"take_profit": 0.25}
    assert lives(run(bars([64, 80, 81, 60]), {0: 1}, **settings)) == [("BUY", 0, 2, "TAKE_PROFIT")]
    assert lives(run(bars([64, 48, 47, 70]), {0: -1}, **settings)) == [("SELL", 0, 2, "TAKE_PROFIT")]


def test_profit_is_taken_on_closes_alone_whatever_the_high():
    result = run(bars([64, 72, 72], high={1: 200}), {0: 1}, **OPEN_ENDED | {"take_profit": 0.25})
    assert lives(result) == [("BUY", 0, 2, "TIME_LIMIT")]


def test_profit_is_taken_after_costs():
    settings = OPEN_ENDED | {"take_profit": 0.25, "trade_cost": 0.03125}
    # 84 earns 0.3125 before and exactly 0.25 after costs; 85 is the first above.
    assert lives(run(bars([64, 84, 85, 60]), {0: 1}, **settings)) == [("BUY", 0, 2, "TAKE_PROFIT")]


def test_stop_is_hit_by_the_low_of_a_long_at_the_stop_itself_and_booked_at_the_close():
    result = run(bars([64, 64, 60, 64], low={1: 48.0625, 2: 48}), {0: 1}, **OPEN_ENDED | {"stop_loss": 0.25})
    assert lives(result) == [("BUY", 0, 2, "STOP_LOSS")]
    assert result.executors["close_price"].tolist() == [60.0]
    assert result.executors["pnl"].tolist() == [-4.0]


def test_stop_is_hit_by_the_high_of_a_short():
    result = run(bars([64, 64, 60, 64], high={1: 79.9375, 2: 80}), {0: -1}, **OPEN_ENDED | {"stop_loss": 0.25})
    assert lives(result) == [("SELL", 0, 2, "STOP_LOSS")]
    assert result.executors["pnl"].tolist() == [4.0]


def test_stop_ignores_costs():
    settings = OPEN_ENDED | {"stop_loss": 0.25, "trade_cost": 0.0625}
    assert lives(run(bars([64, 49, 64]), {0: 1}, **settings)) == [("BUY", 0, 2, "TIME_LIMIT")]


def test_entry_bar_can_stop_an_executor_though_its_range_came_before():
    result = run(bars([64, 64, 64], low={1: 40}), {1: 1}, **OPEN_ENDED | {"stop_loss": 0.25, "trade_cost": 0.03125})
    assert lives(result) == [("BUY", 1, 1, "STOP_LOSS")]
    assert result.executors["pnl"].tolist() == [-4.0]


def test_trailing_stop_is_armed_above_its_activation_and_follows_the_best_close():
    settings = OPEN_ENDED | {"trailing_stop": (0.25, 0.125)}
    # Never above 0.25, so never armed.
    assert lives(run(bars([64, 80, 64, 64]), {0: 1}, **settings)) == [("BUY", 0, 3, "TIME_LIMIT")]
    # Armed at 96 (0.5); 88 is 0.375, exactly delta below, and stays; 87 leaves. The lows do not matter.
    assert lives(run(bars([64, 96, 88, 87, 99], low={2: 60}), {0: 1}, **settings)) == [("BUY", 0, 3, "TRAILING_STOP")]
    assert lives(run(bars([64, 40, 48, 49, 30]), {0: -1}, **settings)) == [("SELL", 0, 3, "TRAILING_STOP")]


def test_trailing_stop_stays_armed_below_its_activation():
    settings = OPEN_ENDED | {"trailing_stop": (0.25, 0.5)}
    assert lives(run(bars([64, 88, 60, 55, 99]), {0: 1}, **settings)) == [("BUY", 0, 3, "TRAILING_STOP")]


def test_time_limit_is_the_last_bar_at_or_before_it():
    settings = OPEN_ENDED | {"time_limit": pd.Timedelta("2h")}
    assert lives(run(bars([64] * 5), {0: 1}, **settings)) == [("BUY", 0, 2, "TIME_LIMIT")]
    assert lives(run(bars([64] * 5), {0: 1}, **settings | {"time_limit": pd.Timedelta("179min")})) == [
        ("BUY", 0, 2, "TIME_LIMIT")
    ]
    # Hours 2 and 3 are missing: the last bar before the limit is the one at 1.
    gap = bars([64] * 4, hours=[0, 1, 4, 5])
    assert lives(run(gap, {0: 1}, **settings)) == [("BUY", 0, 1, "TIME_LIMIT")]


def test_time_limit_below_one_bar_ends_an_executor_on_its_entry_bar():
    result = run(bars([64, 80, 80]), {0: 1}, **OPEN_ENDED | {"time_limit": pd.Timedelta("59min")})
    assert lives(result) == [("BUY", 0, 0, "TIME_LIMIT")]


def test_end_of_the_bars_closes_as_time_limit():
    result = run(bars([64, 80]), {0: 1}, **OPEN_ENDED | {"time_limit": pd.Timedelta("100h")})
    assert lives(result) == [("BUY", 0, 1, "TIME_LIMIT")]


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"take_profit": 0.25, "stop_loss": 0.25, "trailing_stop": (0.25, 0.0625)}, "TAKE_PROFIT"),
        ({"take_profit": None, "stop_loss": 0.25, "trailing_stop": (0.25, 0.0625)}, "STOP_LOSS"),
        ({"take_profit": None, "stop_loss": None, "trailing_stop": (0.25, 0.0625)}, "TRAILING_STOP"),
        ({"take_profit": None, "stop_loss": None, "trailing_stop": None}, "TIME_LIMIT"),
    ],
)
def test_on_one_bar_profit_comes_before_stop_before_trailing_before_time_limit(settings, kind):
    # Bar 2 touches the stop, is the last before the limit, and closes below the trailing stop; where there is a profit
    # to take, above that instead (a close cannot do both).
    closes = [64, 80, 88] if kind == "TAKE_PROFIT" else [64, 96, 88]
    market = bars([*closes, 64], low={2: 40})
    result = run(market, {0: 1}, **OPEN_ENDED | settings | {"time_limit": pd.Timedelta("2h")})
    assert lives(result) == [("BUY", 0, 2, kind)]


def test_slot_freed_on_a_bar_is_used_on_that_bar():
    settings = OPEN_ENDED | {"time_limit": pd.Timedelta("2h")}
    assert [life[1:3] for life in lives(run(bars([64] * 6), [1] * 6, **settings))] == [(0, 2), (2, 4), (4, 5), (5, 5)]


def test_one_executor_a_bar_until_the_slots_are_full():
    settings = OPEN_ENDED | {"max_executors_per_side": 3, "cooldown_time": pd.Timedelta("1min")}
    assert [life[1] for life in lives(run(bars([64] * 6), [1] * 5 + [0], **settings))] == [0, 1, 2]


def test_long_counts_longs_alone_and_short_counts_every_active_executor():
    settings = OPEN_ENDED | {"cooldown_time": pd.Timedelta("1min")}
    assert lives(run(bars([64] * 3), [-1, 1, 0], **settings)) == [
        ("SELL", 0, 2, "TIME_LIMIT"),
        ("BUY", 1, 2, "TIME_LIMIT"),
    ]
    assert lives(run(bars([64] * 3), [1, -1, 0], **settings)) == [("BUY", 0, 2, "TIME_LIMIT")]


def test_cooldown_must_be_exceeded_since_the_newest_executor_of_the_pool():
    settings = OPEN_ENDED | {"max_executors_per_side": 9}
    for cooldown, opened in (("2h", [0, 3]), ("119min", [0, 2, 4]), ("59min", [0, 1, 2, 3, 4])):
        result = run(bars([64] * 6), [1] * 5 + [0], **settings | {"cooldown_time": pd.Timedelta(cooldown)})
        assert [life[1] for life in lives(result)] == opened
    # A long does not wait for shorts; a short waits for longs.
    mixed = run(bars([64] * 6), [-1, 1, -1, -1, -1, 0], **settings | {"cooldown_time": pd.Timedelta("2h")})
    assert [(life[0], life[1]) for life in lives(mixed)] == [("SELL", 0), ("BUY", 1), ("SELL", 4)]


def test_cooldown_forgets_executors_that_are_closed():
    settings = OPEN_ENDED | {"time_limit": pd.Timedelta("1h"), "cooldown_time": pd.Timedelta("9h")}
    assert [life[1] for life in lives(run(bars([64] * 4), [1] * 4, **settings))] == [0, 1, 2, 3]


def test_target_scales_stop_profit_and_both_trailing_figures_but_neither_limit_nor_size():
    profit = OPEN_ENDED | {"take_profit": 2.0}
    assert lives(run(bars([64, 80, 81, 60]), {0: 1}, 0.125, **profit)) == [("BUY", 0, 2, "TAKE_PROFIT")]
    stop = OPEN_ENDED | {"stop_loss": 2.0}
    assert lives(run(bars([64, 49, 48, 60]), {0: 1}, 0.125, **stop)) == [("BUY", 0, 2, "STOP_LOSS")]
    trail = OPEN_ENDED | {"trailing_stop": (2.0, 1.0)}
    assert lives(run(bars([64, 96, 88, 87, 99]), {0: 1}, 0.125, **trail)) == [("BUY", 0, 3, "TRAILING_STOP")]
    limited = run(bars([64] * 6), {0: 1}, 0.125, **OPEN_ENDED | {"time_limit": pd.Timedelta("4h")})
    assert lives(limited) == [("BUY", 0, 4, "TIME_LIMIT")]
    assert limited.executors["amount"].tolist() == [1.0]


def test_target_is_the_one_of_the_bar_on_which_the_executor_is_created():
    market = bars([64, 80, 112, 112])
    target = pd.Series([0.5, 0.125, 0.125, 0.125], index=market.index)
    result = run(market, {0: 1}, target, **OPEN_ENDED | {"take_profit": 1.0})
    assert lives(result) == [("BUY", 0, 2, "TAKE_PROFIT")]


def test_profit_counts_when_an_executor_is_closed_and_not_before():
    result = run(bars([64, 80, 96, 96]), {0: 1}, **OPEN_ENDED | {"time_limit": pd.Timedelta("2h")})
    assert result.pnl.tolist() == [0.0, 0.0, 32.0, 32.0]
    assert result.realised.equity.tolist() == [64.0, 64.0, 96.0, 96.0]
    assert result.marked.equity.tolist() == [64.0, 80.0, 96.0, 96.0]


def test_executor_that_ends_on_its_entry_bar_is_realised_on_the_next():
    settings = OPEN_ENDED | {"stop_loss": 0.25, "trade_cost": 0.03125}
    result = run(bars([64] * 4, low={1: 40}), {1: 1}, **settings)
    assert result.pnl.tolist() == [0.0, 0.0, -4.0, -4.0]
    assert result.marked.equity.tolist() == [64.0, 60.0, 60.0, 60.0]


def test_executor_created_on_the_last_bar_is_listed_but_in_no_series():
    result = run(bars([64, 64]), {1: 1}, **OPEN_ENDED | {"trade_cost": 0.03125})
    assert lives(result) == [("BUY", 1, 1, "TIME_LIMIT")]
    assert result.pnl.tolist() == [0.0, 0.0]
    assert result.own_statistics()["BTC/USDT"]["net_pnl_quote"] == -4.0
    assert result.marked.equity.tolist() == [64.0, 60.0]


def test_bars_with_a_nan_are_left_out_and_counted():
    market = bars([64, 64, 64, 64, 64], low={2: 10})
    signal, settings = [1, 0, np.nan, 0, 0], OPEN_ENDED | {"stop_loss": 0.25}
    result = run(market, signal, **settings)
    assert lives(result) == [("BUY", 0, 4, "TIME_LIMIT")]
    assert result.dropped.to_dict() == {"BTC/USDT": 1}
    assert result.pnl_by_symbol["BTC/USDT"].isna().tolist() == [False, False, True, False, False]
    target = pd.Series([1, 1, np.nan, 1, np.nan], index=market.index)
    result = run(market, {0: 1, 4: 1}, target, **settings)
    assert lives(result) == [("BUY", 0, 3, "TIME_LIMIT")]
    assert result.dropped.to_dict() == {"BTC/USDT": 2}


def test_nan_in_a_field_of_the_candle_leaves_its_bar_out():
    market = bars([64] * 4, low={2: 10})
    market = market.with_fields(volume=market.volume.mask(market.low == 10))
    result = run(market, {0: 1}, **OPEN_ENDED | {"stop_loss": 0.25})
    assert lives(result) == [("BUY", 0, 3, "TIME_LIMIT")]
    assert result.dropped.to_dict() == {"BTC/USDT": 1}


def test_each_symbol_has_a_controller_of_its_own_and_their_profits_add_up():
    one, two = bars([64, 80, 96, 96]), bars([64, 48, 32, 32], hours=[0, 1, 3, 4])
    frames = {
        name: pd.DataFrame({field: market[field]["BTC/USDT"] for field in market.fields})
        for name, market in (("A/USDT", one), ("B/USDT", two))
    }
    market = Market.from_frames(frames, timeframe="1h")
    signal = pd.DataFrame({"B/USDT": [-1, 0, 0, 0, 0], "A/USDT": [1, 0, 0, 0, 0]}, index=market.index)
    config = ControllerConfig(**OPEN_ENDED | {"time_limit": pd.Timedelta("3h")})
    result = ControllerBaseline(signal, config=config).run(market)
    assert result.executors["symbol"].tolist() == ["A/USDT", "B/USDT"]
    assert result.executors["pnl"].tolist() == [32.0, 32.0]
    assert result.cash == 128.0
    assert result.dropped.tolist() == [0, 0]
    assert result.pnl.tolist() == [0.0, 0.0, 0.0, 64.0, 64.0]
    # B has no bar at 2: it is marked at its last close.
    assert result.marked.equity.tolist() == [128.0, 160.0, 176.0, 192.0, 192.0]


def test_own_statistics_of_three_executors():
    settings = OPEN_ENDED | {"time_limit": pd.Timedelta("1h")}
    result = run(bars([64, 80, 64, 64, 64, 64]), {0: 1, 1: 1, 2: 1}, **settings)
    assert result.executors["pnl"].tolist() == pytest.approx([16.0, -12.8, 0.0], abs=1e-14)
    own = result.own_statistics()["BTC/USDT"]
    level = pd.Series([0.0, 16.0, 3.2, 3.2, 3.2, 3.2])
    assert own["net_pnl"] == pytest.approx(3.2 / 64)
    assert (own["total_executors"], own["total_positions"], own["win_signals"], own["loss_signals"]) == (3, 2, 1, 1)
    assert (own["total_volume"], own["total_long"], own["total_short"]) == (256.0, 2, 0)
    assert (own["accuracy"], own["accuracy_long"], own["accuracy_short"]) == (0.5, 0.5, 0.0)
    assert own["close_types.TIME_LIMIT"] == 3
    assert own["profit_factor"] == pytest.approx(16 / 12.8)
    assert own["max_drawdown_usd"] == pytest.approx(-12.8)
    assert own["max_drawdown_pct"] == pytest.approx(-0.2)
    assert own["pnl_level_mean_over_std"] == pytest.approx(level.mean() / level.std())
    assert not [name for name in own.index if "sharpe" in name]


def test_own_statistics_without_an_executor_are_zero():
    own = run(bars([64, 80]), {}, **OPEN_ENDED).own_statistics()["BTC/USDT"]
    assert set(own.to_numpy()) == {0}


def test_signal_is_the_sign_of_the_last_target():
    index = pd.date_range("2024-01-01", periods=7, freq="h", tz="UTC")
    targets = pd.Series([np.nan, 0.3, np.nan, -0.2, np.nan, 0.0, np.nan], index=index)
    assert signal_from_targets(targets).tolist() == [0, 1, 1, -1, -1, 0, 0]
    table = signal_from_targets(pd.DataFrame({"A": targets, "B": -targets}))
    assert table["B"].tolist() == [0, -1, -1, 1, 1, 0, 0]
    assert table.index.equals(index)


def test_rules_speak_of_plain_numbers():
    assert rules.net_profit(1.25, 1, 0.0625) == 0.125
    assert rules.net_profit(1.25, -1, 0.0625) == -0.375
    assert rules.is_stopped(48.0, 64.0, 64.0, 1, 0.25)
    assert not rules.is_stopped(48.0, 64.0, 64.0, 1, float("nan"))
    assert rules.may_open(1, 2, 11, 10)
    assert not rules.may_open(1, 2, 10, 10)
    assert not rules.may_open(2, 2, 11, 10)
    assert [rules.shares_slots(side, other) for side in (1, -1) for other in (1, -1)] == [True, False, True, True]
