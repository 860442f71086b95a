"""What a Result derives from its frames, and its file."""

import pickle

import numpy as np
import pandas as pd
import pytest

from data import load_sample
from data.errors import ValidationError
from engine import backtest
from engine.result import ORDER_COLUMNS, Result, order_table
from research.strategies import SmaCross


def make_result(count=2, bars=6):
    index = pd.date_range("2024-01-01", periods=bars, freq="h", tz="UTC", name="time").as_unit("ns")
    columns = pd.Index(["BTC/USDT", "ETH/USDT"], name="symbol")
    prices = pd.DataFrame({"BTC/USDT": np.arange(10.0, 10 + bars), "ETH/USDT": 5.0}, index=index)
    prices.columns = columns
    positions = pd.DataFrame(0.0, index=index, columns=columns)
    positions.iloc[1:, 0] = 2.0
    filled = np.arange(1, count + 1)
    return Result(
        name="Hand(made=1)",
        broker="paper",
        timeframe="1h",
        cash=100.0,
        equity=pd.Series(100.0 + np.arange(bars) ** 2, index=index, name="equity"),
        orders=order_table(
            index,
            ("BTC/USDT", "ETH/USDT"),
            decided=filled - 1,
            filled=filled,
            column=np.zeros(count, dtype=int),
            amount=np.resize([2.0, -1.0], count),
            price=np.full(count, 0.1 + 0.2),
            fee=np.full(count, 1 / 3),
            reason=np.full(count, "target"),
        ),
        positions=positions,
        prices=prices,
        meta={"parameters": {"made": 1}, "symbols": ["BTC/USDT", "ETH/USDT"], "costs": {"funding": None}},
    )


def test_first_return_is_against_the_cash_and_all_compound_to_equity():
    result = make_result()
    assert result.returns.iloc[0] == 0.0
    assert result.returns.iloc[1] == pytest.approx(0.01)
    assert (1 + result.returns).prod() * result.cash == pytest.approx(result.equity.iloc[-1])
    assert str(result.returns.index.tz) == "UTC"


def test_weights_mark_a_symbol_without_a_bar_at_its_last_close():
    result = make_result()
    result.prices.iloc[3, 0] = np.nan
    assert result.weights["BTC/USDT"].iloc[3] == pytest.approx(2 * 12.0 / 109.0)
    assert result.weights["BTC/USDT"].iloc[0] == 0.0


def test_orders_table_has_its_columns_and_types_even_without_orders():
    for result in (make_result(0), make_result(2)):
        assert tuple(result.orders.columns) == ORDER_COLUMNS
        assert str(result.orders["filled_at"].dtype) == "datetime64[ns, UTC]"
        assert result.orders["side"].dtype == make_result(2).orders["side"].dtype
    assert make_result(2).orders["side"].tolist() == ["buy", "sell"]
    assert make_result(2).orders["amount"].tolist() == [2.0, 1.0]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_parquet_gives_back_every_bit(tmp_path, count):
    result = make_result(count)
    result.prices.iloc[2, 1] = np.nan
    back = Result.read_parquet(result.to_parquet(tmp_path / "run.parquet"))
    assert (back.name, back.broker, back.timeframe, back.cash) == ("Hand(made=1)", "paper", "1h", 100.0)
    assert dict(back.meta) == dict(result.meta)
    pd.testing.assert_series_equal(back.equity, result.equity, check_freq=False)
    pd.testing.assert_frame_equal(back.orders, result.orders, check_freq=False)
    pd.testing.assert_frame_equal(back.positions, result.positions, check_freq=False)
    pd.testing.assert_frame_equal(back.prices, result.prices, check_freq=False)
    pd.testing.assert_frame_equal(back.trades, result.trades)
    pd.testing.assert_series_equal(back.stats(), result.stats())


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = make_result().to_parquet(tmp_path / "run.parquet")
    before = path.read_bytes()
    broken = make_result()
    object.__setattr__(broken, "meta", {"thing": object()})
    with pytest.raises(TypeError):
        broken.to_parquet(path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["run.parquet"]


def test_other_files_are_refused_with_the_reason(tmp_path):
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(ValidationError, match="cannot be read as a Result"):
        Result.read_parquet(tmp_path / "text.parquet")
    with pytest.raises(ValidationError, match="cannot be read as a Result"):
        Result.read_parquet(tmp_path / "missing.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "table.parquet")
    with pytest.raises(ValidationError, match=r"not one that Result\.to_parquet wrote"):
        Result.read_parquet(tmp_path / "table.parquet")


def test_repr_says_what_ran_and_what_came_of_it():
    assert repr(make_result()) == "Result(Hand(made=1), paper; 6 bars of 1h, 2 orders, return +25.00%)"


def test_result_can_be_pickled_for_worker_processes():
    back = pickle.loads(pickle.dumps(make_result()))
    pd.testing.assert_series_equal(back.equity, make_result().equity)


def test_run_since_a_bar_is_the_run_without_the_idle_bars_before_it():
    market = load_sample(["BTC/USD"]).iloc(0, 2_000)
    whole = backtest(SmaCross(48, 336), market)
    first = whole.orders["decided_at"].iloc[0]
    part = whole.since(first)
    assert part.equity.index[0] == first and part.meta["bars"] == len(part.equity)
    assert part.cash == whole.cash == part.equity.iloc[0]
    assert part.stats()["total_return"] == whole.stats()["total_return"]
    assert part.stats()["days"] < whole.stats()["days"]
    pd.testing.assert_frame_equal(part.trades, whole.trades)
    with pytest.raises(ValidationError, match=r"since.*: 1 orders, 1 risk events and 0 charges lie before it"):
        whole.since(whole.orders["decided_at"].iloc[1])
    with pytest.raises(ValidationError, match="no bar of the run opens then"):
        whole.since(first + pd.Timedelta("1min"))
