"""The chart: honest thinning, the four panels, and its size."""

import numpy as np
import pandas as pd
import pytest

from engine.plots import plot_result, thin
from engine.result import Result, order_table


def make_result(bars, symbols=("BTC/USDT",), orders=50, seed=0):
    rng = np.random.default_rng(seed)
    index = pd.date_range("2018-01-01", periods=bars, freq="h", tz="UTC", name="time")
    columns = pd.Index(list(symbols), name="symbol")
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.005, (bars, len(symbols))), axis=0))
    filled = np.sort(rng.choice(np.arange(1, bars), orders, replace=False)) if orders else np.array([], dtype=int)
    column = rng.integers(0, len(symbols), orders)
    amount = rng.choice([-1.0, 1.0], orders)
    positions = np.zeros((bars, len(symbols)))
    for bar, place, size in zip(filled, column, amount, strict=True):
        positions[bar:, place] += size
    return Result(
        name="Hand(made=1)",
        broker="backtest",
        timeframe="1h",
        cash=10_000.0,
        equity=pd.Series(10_000 + np.cumsum(rng.normal(0, 10, bars)), index=index, name="equity"),
        orders=order_table(
            index,
            symbols,
            decided=filled - 1,
            filled=filled,
            column=column,
            amount=amount,
            price=close[filled - 1, column] if orders else np.array([]),
            fee=np.zeros(orders),
            reason=np.full(orders, "target"),
        ),
        positions=pd.DataFrame(positions, index=index, columns=columns),
        prices=pd.DataFrame(close, index=index, columns=columns),
    )


@pytest.mark.parametrize("length", [10, 3_000, 3_001, 10_007, 67_311])
def test_thinning_keeps_both_ends_and_the_extremes(length):
    values = np.random.default_rng(length).normal(size=length)
    values[length // 3] = 50.0
    values[length // 2] = -70.0
    series = pd.Series(values, index=pd.date_range("2020", periods=length, freq="h", tz="UTC"))
    short = thin(series, 3_000)
    assert len(short) <= 3_002
    assert short.index.is_monotonic_increasing
    assert not short.index.has_duplicates
    assert (short.max(), short.min()) == (50.0, -70.0)
    assert short.idxmax() == series.idxmax()
    assert (short.index[0], short.index[-1]) == (series.index[0], series.index[-1])
    assert series.loc[short.index].equals(short)


def test_thinning_keeps_a_gap_open_and_looks_through_single_holes():
    series = pd.Series(np.arange(10_000.0))
    series.iloc[4_000:5_000] = np.nan
    series.iloc[::7] = np.nan
    short = thin(series, 1_000)
    assert short.loc[4_100:4_900].isna().all()
    assert len(short.loc[4_100:4_900]) > 0
    assert short.loc[6_000:].notna().mean() > 0.95


def test_figure_shows_price_fills_equity_drawdown_and_weights_on_one_time_axis():
    result = make_result(500)
    figure = result.plot()
    names = [trace.name for trace in figure.data]
    assert names[0] == "BTC/USDT"
    assert names[1].startswith("buy (")
    assert names[2].startswith("sell (")
    assert names[3:5] == ["equity", "drawdown"]
    assert names[5] == "BTC/USDT"
    assert {trace.xaxis for trace in figure.data} == {"x", "x2", "x3", "x4"}
    assert figure.layout.xaxis.matches == figure.layout.xaxis2.matches == "x4"
    buys = result.orders[result.orders["side"] == "buy"]
    assert list(figure.data[1].y) == buys["price"].tolist()
    assert list(figure.data[3].y) == result.equity.tolist()


def test_drawdown_of_the_figure_begins_at_the_cash():
    result = make_result(50, orders=5)
    equity = result.equity - result.equity.iloc[0] + 9_000.0
    figure = plot_result(Result(**{**vars_of(result), "equity": equity}))
    drawdown = next(trace for trace in figure.data if trace.name == "drawdown")
    assert drawdown.y[0] == pytest.approx(-0.1)


def vars_of(result):
    return {name: getattr(result, name) for name in Result.__dataclass_fields__}


def test_selector_shows_one_symbol_of_several():
    symbols = ("A/USD", "B/USD", "C/USD")
    figure = make_result(300, symbols).plot()
    assert [trace.visible for trace in figure.data[:9]] == [True] * 3 + [False] * 6
    buttons = figure.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == list(symbols)
    shown = buttons[1].args[0]["visible"]
    assert len(shown) == len(figure.data)
    assert shown[:9] == [False] * 3 + [True] * 3 + [False] * 3
    assert all(shown[9:])


def test_of_many_symbols_the_most_traded_are_drawn_and_weights_are_summed():
    result = make_result(400, tuple(f"S{number}/USD" for number in range(20)), orders=200)
    figure = result.plot()
    notional = (result.orders["amount"] * result.orders["price"]).groupby(result.orders["symbol"]).sum()
    labels = {button.label for button in figure.layout.updatemenus[0].buttons}
    assert labels == set(notional.nlargest(8).index)
    assert [trace.name for trace in figure.data[-2:]] == ["all long", "all short"]


def test_too_many_fills_are_cut_to_the_largest_and_the_legend_says_so():
    figure = make_result(9_000, orders=5_000).plot()
    assert len(figure.data[1].x) == 1_500
    assert figure.data[1].name.startswith("buy (1,500 largest of 2,")


@pytest.mark.parametrize("symbols", [1, 5, 20])
def test_figure_of_67311_bars_stays_below_two_megabytes(symbols):
    figure = make_result(67_311, tuple(f"S{number}/USD" for number in range(symbols)), orders=6_000).plot()
    assert len(figure.to_json()) < 2_000_000


@pytest.mark.parametrize("bars", [1, 2])
def test_short_result_without_orders_is_drawn(bars):
    assert len(make_result(bars, orders=0).plot().data) == 6
