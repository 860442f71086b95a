"""Figures side by side: the same days, the same formulas, and what is said where runs differ."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.errors import ValidationError
from engine import metrics
from reports import compare
from reports.comparison import series_returns
from reports.figures import shown, verdict


def test_figures_of_the_same_days_are_those_of_each_result(make_run):
    one, other = make_run(seed=1), make_run(seed=2, name="Bollinger(window=20)")
    table = compare([one, other]).table
    for result, column in zip((one, other), table.columns, strict=True):
        stats = result.stats()
        for name in ("total_return", "cagr", "volatility", "sharpe", "sortino", "value_at_risk", "expected_shortfall"):
            assert table.loc[name, column] == pytest.approx(stats[name], rel=1e-9), name
        for name in ("orders", "trades", "fees", "final_equity", "exposure", "turnover"):
            assert table.loc[name, column] == stats[name], name
        assert table.loc["max_drawdown_bars", column] == stats["max_drawdown"]


def test_results_of_other_spans_are_compared_on_their_common_days(make_run):
    one, other = make_run(2400, seed=1), make_run(2400, seed=2, start="2023-02-01")
    comparison = compare([one], other)
    assert comparison.returns.index[0] == pd.Timestamp("2023-02-01", tz="UTC")
    assert comparison.returns.index[-1] == one.equity.index[-1].normalize()
    common = metrics.daily_returns(one).loc["2023-02-01":]
    assert comparison.table.iloc[:, 0]["total_return"] == pytest.approx(metrics.total_return(common))
    assert len(comparison.notes) == 1
    assert "do not span the same days" in comparison.notes[0]
    assert comparison.notes[0] in str(comparison)


def test_results_without_a_common_day_are_refused(make_run):
    with pytest.raises(ValidationError, match="no day in common"):
        compare([make_run(100)], make_run(100, start="2030-01-01"))


def test_benchmark_may_be_a_series_of_bar_returns(make_run):
    result = make_run()
    table = compare([result], result.returns.rename("itself")).table
    assert table.loc["sharpe", "itself"] == pytest.approx(table.iloc[:, 0]["sharpe"], rel=1e-9)
    assert table.iloc[:, 0]["correlation"] == pytest.approx(1.0)
    assert table.iloc[:, 0]["beta"] == pytest.approx(1.0)
    assert math.isnan(table.iloc[:, 0]["information_ratio"])
    assert math.isnan(table.loc["orders", "itself"])


def test_figures_against_the_benchmark_match_plain_formulas(make_run):
    comparison = compare([make_run(seed=1)], make_run(seed=2, broker="hummingbot"))
    own, other = comparison.returns.iloc[:, 0], comparison.returns.iloc[:, 1]
    column = comparison.table.iloc[:, 0]
    assert column["beta"] == pytest.approx(own.cov(other) / other.var())
    assert column["correlation"] == pytest.approx(own.corr(other))
    active = own - other
    assert column["information_ratio"] == pytest.approx(active.mean() / active.std() * math.sqrt(365))
    assert column["excess_return"] == pytest.approx((1 + own).prod() - (1 + other).prod())


def test_series_returns_compound_within_a_day_and_keep_the_first_day():
    index = pd.date_range("2024-01-01 12:00", periods=4, freq="8h", tz="UTC")
    days = series_returns(pd.Series([0.1, 0.1, -0.5, 0.2], index=index))
    assert days.tolist() == pytest.approx([1.1 * 1.1 - 1, 0.5 * 1.2 - 1])


@pytest.mark.parametrize(
    ("series", "match"),
    [
        (pd.Series([0.1], index=pd.DatetimeIndex(["2024-01-01"])), "UTC"),
        (pd.Series([0.1, np.nan], index=pd.date_range("2024", periods=2, tz="UTC")), "2024-01-02.*not a finite"),
        (pd.Series([0.1, 0.2], index=pd.DatetimeIndex(["2024-01-02", "2024-01-01"], tz="UTC")), "order of time"),
        (pd.Series([], index=pd.DatetimeIndex([], tz="UTC"), dtype=float), "at least one"),
    ],
)
def test_bad_benchmark_series_are_refused(make_run, series, match):
    with pytest.raises(ValidationError, match=match):
        compare([make_run(100)], series)


def test_wrong_arguments_are_named(make_run):
    with pytest.raises(ValidationError, match="at least one"):
        compare([])
    with pytest.raises(ValidationError, match="item 1"):
        compare([make_run(100), 5])
    with pytest.raises(ValidationError, match="benchmark"):
        compare([make_run(100)], "BTC")
    for single in (make_run(100), pd.DataFrame({"a": [1.0]})):
        with pytest.raises(ValidationError, match=f"list of Result, got {type(single).__name__}"):
            compare(single)


def test_no_run_is_lost_where_a_name_looks_like_a_numbered_one(make_run):
    one, numbered = make_run(100, name="A"), make_run(100, name="A", broker="backtest (2)")
    columns = compare([one, numbered, one]).table.columns
    assert list(columns) == ["A · backtest", "A · backtest (2)", "A · backtest (3)"]


def test_equity_that_is_not_a_number_is_refused_at_its_bar(make_run):
    run = make_run(100)
    broken = run.equity.copy()
    broken.iloc[30] = np.nan
    with pytest.raises(ValidationError, match=f"equity at {re.escape(str(broken.index[30]))} is not a finite number"):
        compare([replace(run, equity=broken)])


def test_beta_to_a_benchmark_of_one_constant_rate_is_not_defined(make_run):
    run = make_run(2400)
    steady = pd.Series(3.1e-6, index=run.equity.index, name="a rate")
    column = compare([run], steady).table.iloc[:, 0]
    assert math.isnan(column["beta"])
    assert math.isnan(column["correlation"])


def test_series_of_prices_or_words_is_no_benchmark(make_run):
    run = make_run(400)
    with pytest.raises(ValidationError, match="not prices"):
        compare([run], run.equity)
    with pytest.raises(ValidationError, match="not all are numbers"):
        compare([run], pd.Series(["a", "b"], index=run.equity.index[:2]))


def test_same_names_are_told_apart_and_the_page_is_written_whole(make_run, tmp_path):
    run = make_run(300, name="A<b>(x=1)")
    path = tmp_path / "new" / "comparison.html"
    comparison = compare([run, replace(run), run], path=path)
    assert list(comparison.table.columns) == [
        "A<b>(x=1) · backtest",
        "A<b>(x=1) · backtest (2)",
        "A<b>(x=1) · backtest (3)",
    ]
    text = path.read_text(encoding="utf-8")
    assert "A&lt;b&gt;" in text
    assert "A<b>" not in text
    assert [item.name for item in path.parent.iterdir()] == ["comparison.html"]


def test_figures_are_shown_in_words():
    assert shown("total_return", -0.12345) == "−12.35%"
    assert shown("total_return", -0.000001) == "0.00%"
    assert shown("sharpe", math.nan) == "–"
    assert shown("profit_factor", math.inf) == "∞"
    assert shown("orders", 12345) == "12,345"
    assert shown("longest_drawdown", pd.Timedelta(hours=36)) == "1.5 days"
    assert shown("from", pd.Timestamp("2024-01-02", tz="UTC")) == "2024-01-02"


def test_verdict_states_figures_and_claims_no_significance(make_run):
    comparison = compare([make_run(seed=1)], make_run(seed=2))
    own, other = comparison.table.iloc[:, 0], comparison.table.iloc[:, 1]
    text = verdict(own, other, ("Mine", "the Hummingbot baseline"), 0.7)
    assert f"Mine returned {shown('total_return', own['total_return'])}" in text
    assert f"the Hummingbot baseline {shown('total_return', other['total_return'])}" in text
    assert "no claim of significance is made" in text
    assert "standard error of about 0.70" in text
    alone = verdict(own, None, ("Mine", ""), math.nan)
    assert "baseline" not in alone
    assert "significance" not in alone


def test_what_a_run_says_of_itself_is_noted_once(make_run):
    said = "fills at the close of the signal's own bar"
    runs = [make_run(seed=seed) for seed in (1, 2, 3)]
    for run in runs[:2]:
        run.meta["notes"] = [said]
    comparison = compare(runs[1:], benchmark=runs[0])
    assert comparison.notes == (said,)
    assert said in str(comparison)


def test_funding_and_interest_are_shown_where_a_run_paid_any(make_run):
    plain = make_run(seed=1)
    assert not {"funding", "borrow"} & set(compare([plain]).table.index)
    charges = pd.DataFrame(
        {"at": plain.equity.index[[3, 9]], "symbol": "BTC/USDT", "kind": "funding", "paid": [5.0, -2.0]}
    )
    table = compare([plain, replace(make_run(seed=2, name="Perpetual()"), charges=charges)]).table
    assert table.loc["funding"].tolist() == [0.0, 3.0]
    assert "borrow" not in table.index
    assert shown("funding", 3.0) == "3.00"
