"""The quantstats part of the tearsheet: its table of metrics and its plots, from daily returns, without its mistakes.

What quantstats 0.0.86 does, and what is done about it here (tests/reports/test_quantstats_bridge.py holds each fact):

- It takes rows for days, whatever their spacing ("Best Day" of hourly returns is the best hour): it gets returns by
  UTC day (`engine.metrics.daily_returns`), every calendar day in a row.
- It raises TypeError for a time-zone aware benchmark: the days go in naive, after they were made UTC days.
- It counts 252 periods a year: it is given 365. Its Sharpe, Sortino, CAGR, volatility and maximum drawdown then agree
  with `engine.metrics` to the last digits (its CAGR counts rows, so that needs the calendar without holes).
- `match_dates` cuts the days before both series first move, warm-up included: it is off, the alignment is ours.
- A non-negative series with one return above 100% is taken for prices: such a series is refused.
- A series under water from its first day on that never recovers has "no" drawdowns: the drawdown rows are left out,
  and the tables of the worst drawdowns and of the years are computed here. Its table of years adds returns up where
  they should compound (without a benchmark), and its "Recovered" date is the last day under water.
- Its yearly bars carry the next year's labels, and its drawdown periods lack a drawdown that begins on the first day:
  both plots are left out, with its "daily returns", which are a cumulative sum, and its rolling beta, which draws the
  days before its first window as a beta of 0 and averages them in.
- Left out of its metrics, because the figure is not what its name says: see LEFT_OUT.
- `metrics(display=False)` scales the correlation wrongly; the HTML path used here has it right.
- A strategy whose returns do not vary raises ValueError: there is nothing to show, and the page says so.
- It changes matplotlib's settings, asks for a font that servers do not have, and its template loads an icon from the
  network: settings are restored, the log is quietened, and the template is ours.
"""

from __future__ import annotations

import logging
import re
import tempfile
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from engine.metrics import DAYS_PER_YEAR

# Below this there is nothing that a distribution or a heat map could show.
MIN_DAYS: Final = 10
# quantstats smooths its rolling plots over half a year.
_ROLLING_DAYS: Final = 183

LEFT_OUT: Final = {
    "Time in Market": "counts days with a return, rounded up; the table above has the share of bars with a position",
    "Smart Sharpe": "every column is divided by the strategy's autocorrelation penalty",
    "Smart Sortino": "as Smart Sharpe",
    "Smart Sortino/√2": "as Smart Sharpe",
    "Max Drawdown": "blank for a series that never recovers from its first day; the table above has it",
    "Max DD Date": "as Max Drawdown",
    "Max DD Period Start": "as Max Drawdown",
    "Max DD Period End": "as Max Drawdown",
    "Longest DD Days": "as Max Drawdown",
    "Avg. Drawdown": "as Max Drawdown",
    "Avg. Drawdown Days": "as Max Drawdown",
    "Daily Value-at-Risk": "of a normal distribution; the table above has that of the days themselves",
    "Expected Shortfall (cVaR)": "beyond that value at risk; the table above has that of the days themselves",
    "Profit Factor": "of days, not of trades; the table above has that of the trades",
    "Information Ratio": "of one day, not of a year; the table above has the annual one",
    "Risk of Ruin": "the formula of a game with equal stakes, 0% for any longer series",
    "Recovery Factor": "loses its sign: a loss shows as a recovery",
    "3M": "its window holds one day too many",
    "6M": "as 3M",
    "1Y": "as 3M",
    "3Y (ann.)": "35 months, or all there is where that is less",
    "5Y (ann.)": "59 months, or all there is where that is less",
    "10Y (ann.)": "119 months, or all there is where that is less",
    "Expected Yearly": "counts the broken first and last year as whole ones",
    "Treynor Ratio": "the return of the whole span over beta, shown as a percentage",
}

_PLOTS: Final = (
    "returns",
    "log_returns",
    "vol_returns",
    "monthly_heatmap",
    "dd_plot",
    "monthly_dist",
    "returns_dist",
    "rolling_sharpe",
    "rolling_sortino",
    "rolling_vol",
)


def quantstats_section(
    returns: pd.Series,
    benchmark: pd.Series | None = None,
    *,
    names: tuple[str, str] = ("Strategy", "Benchmark"),
    plots: Collection[str] = _PLOTS,
) -> str:
    """An HTML fragment with quantstats' metrics and plots (inline SVG, nothing loaded from anywhere).

    Args:
        returns: by UTC day, every calendar day, as `daily_returns` gives them.
        benchmark: the same days; left out where it does not vary.
        names: short titles of the two in plots and table.
        plots: which of its plots are shown; without any there is the table alone.

    Raises:
        ValidationError: the days are not consecutive UTC days, not those of the benchmark, or a return is not finite.
    """
    days = _naive_days(returns, names[0])
    other = None if benchmark is None else _naive_days(benchmark, names[1])
    if other is not None and not other.index.equals(days.index):
        raise ValidationError("quantstats_section: strategy and benchmark must have the same days; align them first")
    if len(days) < MIN_DAYS:
        return f'<p class="note">quantstats is left out: {len(days)} days are too few (at least {MIN_DAYS}).</p>'
    if not _varies(days):
        return '<p class="note">quantstats is left out: the strategy’s daily returns do not vary.</p>'
    for series, name in ((days, names[0]), (other, names[1])):
        if series is not None and float(series.min()) >= 0.0 and float(series.max()) > 1.0:
            return f'<p class="note">quantstats is left out: it would take the returns of “{name}” for prices.</p>'
    note = ""
    if other is not None and not _varies(other):
        note = f'<p class="note">{names[1]} is left out of this part: its daily returns do not vary.</p>'
        other = None
    page = _render(days, other, names)
    metrics, *pictured = page.split(_CUT)
    drawn = {name: plot for name, plot in zip(_PLOTS, pictured, strict=True) if name in plots}
    if len(days) < _ROLLING_DAYS:
        drawn = {name: plot for name, plot in drawn.items() if not name.startswith("rolling")}
    pictures = "".join(f"<figure>{_inline_svg(plot)}</figure>" for plot in drawn.values() if "<svg" in plot)
    table, missing = _without_wrong_rows(metrics)
    reasons = "".join(f"<li><b>{name}</b>: {LEFT_OUT[name]}</li>" for name in missing)
    why = f"<details><summary>{len(missing)} of its figures are left out</summary><ul>{reasons}</ul></details>"
    if not pictures:
        return f'{note}<div class="metrics">{table}{why}</div>'
    return (
        f'{note}<div class="quantstats"><div class="plots">{pictures}</div>'
        f'<div class="metrics">{table}{why}</div></div>'
    )


def yearly_returns(columns: dict[str, pd.Series]) -> pd.DataFrame:
    """Compounded return of each calendar year, year by name, from daily returns."""
    return pd.DataFrame(
        {name: (1.0 + days).groupby(pd.DatetimeIndex(days.index).year).prod() - 1.0 for name, days in columns.items()}
    ).rename_axis("year")


def worst_drawdowns(returns: pd.Series, count: int = 10) -> pd.DataFrame:
    """The deepest drawdowns at daily closes, deepest first.

    Columns: peak (the day before the first loss), valley, recovered (NaT if not yet), days (from the peak to the
    recovery, or to the last day) and depth (a fraction below 0).
    """
    index = pd.DatetimeIndex(returns.index)
    wealth = np.concatenate(([1.0], np.cumprod(1.0 + returns.to_numpy(dtype=np.float64))))
    times = index.insert(0, index[0] - pd.Timedelta(days=1)) if len(index) else index
    depth = wealth / np.maximum.accumulate(wealth) - 1.0
    edges = np.flatnonzero(np.diff(np.concatenate((depth < 0.0, [False])).astype(np.int8)))
    rows = []
    for peak, last in zip(edges[::2], edges[1::2], strict=True):
        valley = peak + 1 + int(np.argmin(depth[peak + 1 : last + 1]))
        recovered = times[last + 1] if last + 1 < len(times) else pd.NaT
        length = (times[min(last + 1, len(times) - 1)] - times[peak]).days
        rows.append((times[peak], times[valley], recovered, length, float(depth[valley])))
    table = pd.DataFrame(rows, columns=["peak", "valley", "recovered", "days", "depth"])
    return table.sort_values("depth", kind="stable").head(count).reset_index(drop=True)


_CUT: Final = "<!-- ladder: cut -->"


def _naive_days(returns: pd.Series, name: str) -> pd.Series:
    index = returns.index
    if not isinstance(index, pd.DatetimeIndex) or str(index.tz) != "UTC":
        raise ValidationError(
            f"quantstats_section: {name} must be indexed by UTC days; use engine.metrics.daily_returns"
        )
    days = index.tz_localize(None)
    if len(days) and not days.equals(pd.date_range(days[0].normalize(), periods=len(days), freq="D", unit=days.unit)):
        raise ValidationError(f"quantstats_section: {name} lacks days or is finer than days; use daily_returns")
    if not np.isfinite(returns.to_numpy(dtype=np.float64)).all():
        raise ValidationError(f"quantstats_section: {name} has a return that is not a finite number")
    return pd.Series(returns.to_numpy(dtype=np.float64), index=days, name=name)


def _varies(returns: pd.Series) -> bool:
    return float(returns.std()) > 1e-12 * float(returns.abs().max())


def _render(returns: pd.Series, benchmark: pd.Series | None, names: tuple[str, str]) -> str:
    with _quiet_matplotlib():
        import seaborn
        from quantstats import reports as quantstats_reports

        seaborn.set_theme(
            style="whitegrid", rc={"grid.color": "#e5e9f0", "text.color": "#33415c", "svg.hashsalt": "ladder"}
        )
        with tempfile.TemporaryDirectory(prefix="ladder-") as folder:
            template, output = Path(folder, "template.html"), Path(folder, "report.html")
            places = ["{{metrics}}", *(f"{{{{{name}}}}}" for name in _PLOTS)]
            template.write_text(_CUT.join(places), encoding="utf-8")
            render: Any = quantstats_reports.html
            render(
                returns,
                benchmark,
                output=str(output),
                template_path=str(template),
                periods_per_year=int(DAYS_PER_YEAR),
                match_dates=False,
                strategy_title=names[0],
                benchmark_title=names[1],
                figfmt="svg",
            )
            return output.read_text(encoding="utf-8")


@contextmanager
def _quiet_matplotlib() -> Iterator[None]:
    """matplotlib on the Agg backend; afterwards its settings, its backend and its open figures are as they were."""
    import matplotlib

    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore")
        import matplotlib.pyplot as plt

        backend, figures = matplotlib.get_backend(), set(plt.get_fignums())
        log.setLevel(logging.ERROR)
        try:
            plt.switch_backend("agg")
            yield
        finally:
            for number in set(plt.get_fignums()) - figures:
                plt.close(number)
            plt.switch_backend(backend)
            log.setLevel(level)


def _inline_svg(text: str) -> str:
    """An SVG file's picture alone: no prologue, document type or metadata, as wide as its place."""
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r'\1 width="100%"', svg, count=1)


def _without_wrong_rows(table: str) -> tuple[str, list[str]]:
    """quantstats' table of metrics without the rows of LEFT_OUT and without empty groups, and the names left out."""
    missing: list[str] = []
    kept: list[str] = []
    head, body = table.split("<tbody>", 1)
    rows, tail = body.split("</tbody>", 1)
    for row in re.findall(r"<tr>.*?</tr>", rows, flags=re.DOTALL):
        cell = re.search(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)
        name = cell.group(1).strip() if cell else ""
        ruled = "<hr>" in row
        if name in LEFT_OUT:
            missing.append(name)
        elif not (ruled and (not kept or "<hr>" in kept[-1])):
            kept.append(row.replace("﹪", "").replace("<hr>", ""))
            kept[-1] = kept[-1] if not ruled else '<tr class="rule"><td colspan="3"><hr></td></tr>'
    while kept and "<hr>" in kept[-1]:
        kept.pop()
    return f"{head}<tbody>{''.join(kept)}</tbody>{tail}", missing
