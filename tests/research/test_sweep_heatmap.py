"""The heat map: which value stands in which cell, and what the title says of the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data import ValidationError, load_sample
from engine import Exits
from research import sweep
from research.strategies import SmaCross


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    market = load_sample(["BTC/USD"]).loc["2018-03-01":"2018-03-31"]
    grid = {"slow": [50, 20], "fast": [10, 5, 30], "exits": [None, Exits(stop_loss=0.02)]}
    return sweep(SmaCross, grid, market, record=tmp_path_factory.mktemp("record") / "trials.sqlite")


def cells(figure):
    chart = figure.data[0]
    return pd.DataFrame(np.array(chart.z, dtype=np.float64), index=list(chart.y), columns=list(chart.x))


def test_axes_are_the_first_two_parameters_in_the_order_of_their_values(swept):
    figure = swept.heatmap()
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("slow", "fast")
    table = cells(figure)
    assert list(table.columns) == ["20", "50"]
    assert list(table.index) == ["5", "10", "30"]


def test_cell_holds_the_best_over_the_other_parameters_and_the_title_says_so(swept):
    figure, table = swept.heatmap(), swept.table
    assert figure.layout.title.text == "sharpe of SmaCross, best over exits"
    for (slow, fast), part in table.groupby(["slow", "fast"]):
        assert cells(figure).loc[str(fast), str(slow)] == part["sharpe"].max()
    assert np.isnan(cells(figure).loc["30", "20"])  # refused
    best = swept.best
    mark = figure.layout.annotations[0]
    assert (figure.data[0].x[mark.x], figure.data[0].y[mark.y]) == (str(best["slow"]), str(best["fast"]))


def test_mean_over_the_others_and_another_figure(swept):
    figure = swept.heatmap("fast", "slow", metric="volatility", over="mean")
    assert figure.layout.title.text == "volatility of SmaCross, mean over exits"
    part = swept.table.query("fast == 10 and slow == 50")["volatility"]
    assert cells(figure).loc["50", "10"] == np.mean(part)
    assert not figure.layout.annotations
    least = cells(swept.heatmap("fast", "slow", metric="volatility"))
    assert least.loc["50", "10"] == part.min()


def test_parameters_that_are_no_numbers_are_named_by_what_they_set(swept):
    table = cells(swept.heatmap(x="exits"))
    assert list(table.columns) == ["", "stop_loss=0.02"]
    assert list(table.index) == ["20", "50"]


def test_spans_of_time_are_counted_in_days(swept):
    table = cells(swept.heatmap(metric="longest_drawdown"))
    part = swept.table.query("fast == 5 and slow == 20")["longest_drawdown"]
    assert table.loc["5", "20"] == part.min() / pd.Timedelta(days=1)


def test_one_parameter_is_one_row(swept, tmp_path):
    market = swept.ground.market
    one = sweep(SmaCross, {"fast": [5, 10]}, market)
    table = cells(one.heatmap())
    assert table.shape == (1, 2)
    assert table.iloc[0].tolist() == one.table.sort_index()["sharpe"].tolist()
    assert one.heatmap(y="fast").layout.xaxis.title.text == "fast"
    one.heatmap().write_html(tmp_path / "map.html")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": "weight"}, "x 'weight' must be a parameter that varies: slow, fast, exits"),
        ({"y": "none"}, "y 'none' must be"),
        ({"x": "fast", "y": "fast"}, "both 'fast'"),
        ({"metric": "bars"}, "must be one of"),
        ({"over": "median"}, "'best' or 'mean'"),
    ],
    ids=str,
)
def test_axis_or_figure_that_is_not_there_is_named(swept, given, message):
    with pytest.raises(ValidationError, match=message):
        swept.heatmap(**given)
