"""Charts of a verdict: what data they are drawn from, and that no data break a page."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.promotion.catalogue import CATALOGUE
from reports.promotion.chart_drawing import Curve, Mark, bar_chart, growth_chart
from reports.promotion.verdict_charts import all_growth, chart_of, growth_of

NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False), st.sampled_from([0.0, -1.0, 1e-12]), st.integers(-5, 5))
ANYTHING = st.one_of(NUMBERS, st.text(max_size=3), st.lists(NUMBERS, max_size=4), st.dictionaries(st.text(), NUMBERS))
KEYS = st.sampled_from(
    ["days", "growth", "depth", "interval", "edges", "counts", "estimate", "error", "against", "x", "y", "of", "2x"]
)
LISTS = st.lists(NUMBERS, min_size=1, max_size=4)
DAYS = st.lists(st.dates().map(str), min_size=1, max_size=4, unique=True).map(sorted)
DATA = st.one_of(
    st.dictionaries(st.one_of(KEYS, st.text(max_size=4)), ANYTHING, max_size=4),
    st.dictionaries(st.sampled_from(["on time", "1 late", "chosen", "2x", "a"]), NUMBERS, max_size=4),
    st.fixed_dictionaries({"edges": LISTS, "counts": LISTS}),
    st.fixed_dictionaries({"x": LISTS, "y": LISTS}),
    st.fixed_dictionaries({"estimate": NUMBERS, "error": NUMBERS, "against": NUMBERS}),
    st.fixed_dictionaries({"days": DAYS, "growth": LISTS}, optional={"depth": LISTS, "interval": LISTS, "b": LISTS}),
)


def check(
    name: str = "trades", value: float | None = 1.0, threshold: float | None = 2.0, **chart: Any
) -> dict[str, Any]:
    """A check as the document has it."""
    return {
        "name": name, "title": "A title", "unit": "ratio", "value": value, "figure": "1.00", "threshold": threshold,
        "asked": "at least 2.00", "chart": chart,
    }  # fmt: skip


def days(count: int, first: str = "2024-01-01") -> list[str]:
    return [f"{day:%Y-%m-%d}" for day in pd.date_range(first, periods=count)]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([one.name for rung in CATALOGUE.values() for one in rung]),
    DATA,
    NUMBERS,
    NUMBERS,
)
def test_no_data_break_the_page(name, data, value, threshold) -> None:
    chart = chart_of({**check(name, value, threshold), "chart": data}, None)
    assert chart is None or chart.svg.startswith("<svg")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"days": days(3), "growth": [1.0, 1.2, 1.1]}, "at the end: growth 1.10"),
        ({"days": days(3), "growth": [1.0, 1.2, 1.1], "backtest": [1.0, 1.1, 1.3]}, "growth 1.10, backtest 1.30"),
        ({"edges": [0.0, 1.0, 2.0], "counts": [3, 4]}, "from 0.00 to 2.00"),
        ({"estimate": 1.5, "error": 0.5, "against": 0.0}, "give or take 0.50"),
        ({"x": [1.0, 2.0], "y": [0.1, 0.0]}, "Figure: 1.00, asked: at least 2.00"),
        ({"BTC": 11, "ETH": 6, "of": "Orders by symbol", "unit": "count"}, "Orders by symbol: BTC 11, ETH 6."),
    ],
)
def test_what_a_chart_is_made_of_decides_what_it_is(data, words) -> None:
    chart = chart_of(check("paper_trades", **data), None)
    assert chart is not None and words in chart.svg and chart.caption
    assert chart.svg.count("<title>") == 1 and 'role="img"' in chart.svg


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"days": days(3), "growth": [1.0, 2.0]},
        {"days": ["soon", "later"], "growth": [1.0, 2.0]},
        {"edges": [0.0, 1.0], "counts": [0]},
        {"estimate": 1.0, "error": 0.0, "against": 0.0},
        {"x": [1.0], "y": [0.0]},
        {"a": None, "b": None},
        {"a": {"b": 1.0}},
    ],
)
def test_what_cannot_be_drawn_is_left_out(data) -> None:
    assert chart_of(check(**data), None) is None


def test_what_begins_later_begins_where_the_strategy_stood() -> None:
    checks = {
        "drawdown": check("drawdown", days=days(4), growth=[1.0, 2.0, 3.0, 4.0]),
        "out_of_sample": check("out_of_sample", days=days(2, "2024-01-03"), growth=[1.5, 1.0]),
    }
    own, walk = all_growth(checks)
    assert own.values.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert walk.values.tolist() == [3.0, 2.0]  # 2.0 on the day before, times its own growth


def test_beside_another_the_strategy_begins_at_one_on_its_days() -> None:
    strategy = growth_of(check("drawdown", days=days(4), growth=[1.0, 2.0, 3.0, 4.0]), "strategy")
    late = check("out_of_sample", days=days(2, "2024-01-03"), growth=[1.5, 1.0])
    chart = chart_of(late, strategy)
    assert chart is not None and "strategy 2.00, walk-forward 1.00" in chart.svg


def test_the_bar_that_is_judged_is_darker_and_held_against_its_line() -> None:
    from reports.promotion.chart_drawing import BLUE, PALE

    chart = chart_of(check("late_fills", 0.9, 0.3, **{"on time": 2.0, "1 late": 1.8, "2 late": 1.0}), None)
    assert chart is not None and "asked: at least 2.00 of 2.00" in chart.svg
    fills = re.findall(rf"fill: ({BLUE}|{PALE})", chart.svg)
    assert fills == [PALE, BLUE, PALE]


def test_curves_differ_by_their_dashes_and_not_by_colour_alone() -> None:
    index = pd.DatetimeIndex(pd.to_datetime(days(5), utc=True))
    curves = [Curve(f"c{at}", index, np.linspace(1.0, 1.1 + at, 5), at) for at in range(4)]
    drawing = growth_chart(curves, "four curves")
    assert len(set(re.findall(r"stroke-dasharray: ([^;\"]+)", drawing))) >= 3


def test_names_of_bars_keep_their_values_and_are_no_markup() -> None:
    values = {"a_rather_long_name_of_a_parameter=36": 1.0, "<b>&$x$": math.nan, "x": -1.0}
    drawing = bar_chart(values, [Mark(0.5, "asked: at least 0.50", True)], '<alt> & "words"', unit="ratio")
    assert "a_rather_lo…" in drawing and "=36<" in drawing
    assert "&lt;b&gt;&amp;$x$" in drawing and "not defined" in drawing and "−1.00" in drawing
    assert "<b>" not in drawing and "<alt>" not in drawing


@pytest.mark.parametrize(("purged", "drawn"), [([2, 2], True), ([4], False), ([None, 4], False), (None, False)])
def test_overfitting_has_its_purged_splits_as_a_line_where_they_are_kept(purged, drawn) -> None:
    kept = {} if purged is None else {"purged": purged}
    chart = chart_of(check("overfitting", 0.5, 0.5, edges=[-1.0, 0.0, 1.0], counts=[3, 1], **kept), None)
    assert chart is not None and ("The line: with the days beside the test purged" in chart.caption) is drawn
    without = chart_of(check("overfitting", 0.5, 0.5, edges=[-1.0, 0.0, 1.0], counts=[3, 1]), None)
    assert without is not None and (chart.svg != without.svg) is drawn
