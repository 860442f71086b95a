"""quantstats against our formulas, each of its quirks that the bridge works around, and what the fragment holds."""

import logging
import math
import re
import warnings

import numpy as np
import pandas as pd
import pytest

from data.errors import ValidationError
from engine import metrics
from reports.quantstats_bridge import LEFT_OUT, MIN_DAYS, quantstats_section, worst_drawdowns, yearly_returns

warnings.filterwarnings("ignore", module="quantstats")


def days(values, start="2021-01-01"):
    return pd.Series(
        np.asarray(values, float), index=pd.date_range(start, periods=len(values), tz="UTC"), name="returns"
    )


RNG = np.random.default_rng(7)
KNOWN = {
    "random": days(RNG.normal(0.0005, 0.02, 900)),
    "fat tails": days(RNG.standard_t(3, 500) * 0.01),
    "loses from the first day on": days(-np.abs(RNG.normal(0, 0.004, 300))),
    "mostly flat": days(np.where(RNG.random(400) < 0.1, RNG.normal(0, 0.03, 400), 0.0)),
}


@pytest.fixture(scope="module")
def stats():
    import quantstats.stats as module

    return module


@pytest.mark.parametrize("name", KNOWN)
def test_quantstats_agrees_with_our_formulas_on_naive_days_of_a_365_day_year(stats, name):
    ours, theirs = KNOWN[name], KNOWN[name].tz_localize(None)
    assert stats.sharpe(theirs, periods=365) == pytest.approx(metrics.sharpe(ours), rel=1e-9)
    assert stats.sortino(theirs, periods=365) == pytest.approx(metrics.sortino(ours), rel=1e-9)
    assert stats.cagr(theirs, periods=365) == pytest.approx(metrics.cagr(ours), rel=1e-9)
    assert stats.volatility(theirs, periods=365) == pytest.approx(metrics.volatility(ours), rel=1e-9)
    wealth = (1.0 + ours).cumprod()
    assert stats.max_drawdown(theirs) == pytest.approx(metrics.max_drawdown(wealth, 1.0), rel=1e-9)
    assert stats.comp(theirs) == pytest.approx(metrics.total_return(ours), rel=1e-9)
    assert stats.to_drawdown_series(theirs).to_numpy() == pytest.approx(metrics.drawdown(wealth, 1.0).to_numpy())


def test_quantstats_counts_252_periods_unless_told(stats):
    returns = KNOWN["random"].tz_localize(None)
    assert stats.sharpe(returns) == pytest.approx(metrics.sharpe(returns, 252))


def test_quantstats_raises_on_aware_series_with_an_aware_benchmark():
    from quantstats import reports

    with pytest.raises(TypeError):
        reports.metrics(
            KNOWN["random"].copy(), KNOWN["fat tails"].copy(), display=False, mode="full", periods_per_year=365
        )


def test_quantstats_finds_no_drawdown_in_a_series_that_loses_from_the_first_day_on(stats):
    falling = KNOWN["loses from the first day on"]
    assert stats.drawdown_details(stats.to_drawdown_series(falling.tz_localize(None))).empty
    ours = worst_drawdowns(falling)
    assert len(ours) == 1
    assert ours["peak"][0] == falling.index[0] - pd.Timedelta(days=1)
    assert pd.isna(ours["recovered"][0])
    assert ours["depth"][0] == pytest.approx(metrics.total_return(falling))


def test_quantstats_takes_large_gains_for_prices(stats):
    gains = days([0.01] * 20 + [1.5] + [0.01] * 20)
    assert stats.sharpe(gains.tz_localize(None), periods=365) != pytest.approx(metrics.sharpe(gains), rel=0.1)
    assert "would take the returns" in quantstats_section(gains)


def test_quantstats_recovery_factor_loses_its_sign(stats):
    assert stats.recovery_factor(KNOWN["loses from the first day on"].tz_localize(None)) > 0


def test_quantstats_draws_a_rolling_beta_of_0_before_its_first_window():
    import matplotlib.pyplot as plt
    from quantstats import plots

    benchmark = KNOWN["random"].tz_localize(None)
    figure = plots.rolling_beta(benchmark * 2.0, benchmark, show=False)
    drawn = max(figure.axes[0].lines, key=lambda line: len(line.get_ydata())).get_ydata()
    plt.close(figure)
    assert drawn[0] == 0.0
    assert drawn[-1] == pytest.approx(2.0)
    page = quantstats_section(KNOWN["random"] * 2.0, KNOWN["random"])
    assert page.count("<figure>") == 10


def test_quantstats_value_at_risk_is_that_of_a_normal_distribution(stats):
    tails = KNOWN["fat tails"]
    normal = tails.mean() - 1.6448536 * tails.std()
    assert stats.value_at_risk(tails.tz_localize(None)) == pytest.approx(normal, rel=1e-6)
    assert -normal != pytest.approx(metrics.value_at_risk(tails), rel=0.01)


def test_fragment_shows_our_figures_and_leaves_out_the_wrong_ones():
    ours, other = KNOWN["random"], days(RNG.normal(0, 0.01, 900))
    page = quantstats_section(ours, other, names=("Strategy", "Baseline"))
    rows = dict(re.findall(r"<tr><td>([^<]*)</td><td>[^<]*</td><td>([^<]*)</td></tr>", page))
    assert float(rows["Sharpe"]) == pytest.approx(metrics.sharpe(ours), abs=0.005)
    assert float(rows["Sortino"]) == pytest.approx(metrics.sortino(ours), abs=0.005)
    assert float(rows["CAGR"].rstrip("%")) == pytest.approx(metrics.cagr(ours) * 100, abs=0.005)
    assert float(rows["Volatility (ann.)"].rstrip("%")) == pytest.approx(metrics.volatility(ours) * 100, abs=0.005)
    assert float(rows["Correlation"].rstrip("%")) == pytest.approx(ours.corr(other) * 100, abs=0.005)
    assert float(rows["Best Day"].rstrip("%")) == pytest.approx(ours.max() * 100, abs=0.005)
    assert not set(rows) & set(LEFT_OUT)
    assert page.count("<svg") >= 10
    assert f"{len(LEFT_OUT)} of its figures are left out" in page


def test_fragment_loads_nothing_and_carries_no_svg_prologue():
    page = quantstats_section(KNOWN["random"])
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)", page)
    assert not re.search(r"<script|<link|@import|<!DOCTYPE|<\?xml|<metadata", page)
    assert not re.findall(r"url\((?!#)", page)


def test_fragment_is_the_same_twice():
    assert quantstats_section(KNOWN["fat tails"]) == quantstats_section(KNOWN["fat tails"])


def test_short_or_flat_series_say_why_there_is_no_report():
    assert "too few" in quantstats_section(days(np.linspace(-0.01, 0.01, MIN_DAYS - 1)))
    assert "do not vary" in quantstats_section(days([0.0] * 40))
    page = quantstats_section(days(RNG.normal(0, 0.01, 40)), days([0.0] * 40), names=("Strategy", "Baseline"))
    assert "Baseline is left out" in page
    assert "<svg" in page


@pytest.mark.parametrize("length", [MIN_DAYS, 20, 45, 200])
def test_series_of_any_length_give_a_report(length):
    page = quantstats_section(days(RNG.normal(0, 0.01, length)), days(RNG.normal(0, 0.01, length)))
    assert ("Rolling" in page or page.count("<figure>") > 8) == (length > 183)
    assert "<td>Sharpe</td>" in page


def test_account_that_lost_everything_gives_a_report():
    returns = RNG.normal(0, 0.01, 60)
    returns[30:] = 0.0
    returns[30] = -1.0
    assert "<td>Sharpe</td>" in quantstats_section(days(returns))


@pytest.mark.parametrize(
    ("series", "match"),
    [
        (KNOWN["random"].tz_localize(None), "UTC days"),
        (KNOWN["random"].drop(KNOWN["random"].index[5]), "lacks days"),
        (days(np.zeros(20)).set_axis(pd.date_range("2024", periods=20, freq="h", tz="UTC")), "finer than days"),
        (days([np.nan] * 20), "not a finite"),
    ],
)
def test_what_is_not_consecutive_utc_days_is_refused(series, match):
    with pytest.raises(ValidationError, match=match):
        quantstats_section(series)


def test_other_days_than_the_benchmark_are_refused():
    with pytest.raises(ValidationError, match="same days"):
        quantstats_section(KNOWN["random"], KNOWN["fat tails"])


def test_matplotlib_is_left_as_it_was_and_nothing_is_printed(capfd):
    import matplotlib
    import matplotlib.pyplot as plt

    quantstats_section(KNOWN["mostly flat"])
    figure = plt.figure()
    before = dict(matplotlib.rcParams), matplotlib.get_backend(), plt.get_fignums()
    level = logging.getLogger("matplotlib.font_manager").level
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantstats_section(KNOWN["random"])
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert (dict(matplotlib.rcParams), matplotlib.get_backend(), plt.get_fignums()) == before
    assert logging.getLogger("matplotlib.font_manager").level == level
    plt.close(figure)


def test_years_compound():
    returns = days([0.1, 0.1, -0.1], start="2020-12-30")
    assert yearly_returns({"a": returns})["a"].to_dict() == pytest.approx({2020: 0.21, 2021: -0.1})


def test_worst_drawdowns_are_ranked_and_dated_from_peak_to_recovery():
    table = worst_drawdowns(days([0.1, -0.05, 0.06, -0.5, 1.0, 0.1, -0.01]))
    assert table["depth"].tolist() == pytest.approx([-0.5, -0.05, -0.01])
    assert [f"{day:%d}" for day in table["peak"]] == ["03", "01", "06"]
    assert [f"{day:%d}" for day in table["valley"]] == ["04", "02", "07"]
    assert table["days"].tolist() == [2, 2, 1]
    assert pd.isna(table["recovered"][2])
    assert math.isclose(table["depth"].min(), -0.5)
    assert worst_drawdowns(days([0.1, 0.2])).empty
