"""Results side by side: the same figures, by the same formulas, over the same days.

    print(compare([mine, paper_run], benchmark=baseline))
    compare([mine, other], path="comparison.html")

Return and risk are of daily returns (UTC days) over the days that every series has; orders, trades, fees and exposure
are of each whole run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from data.atomic import replacing
from data.errors import ValidationError
from engine import metrics
from engine.result import Result
from reports.figures import AGAINST, RARE, RUN, SHARED, shown, words

if TYPE_CHECKING:
    from reports.hummingbot.on_equal_terms import EqualTerms

# A tracking error below this fraction of the volatility is rounding noise, the two series are the same; a volatility
# below this fraction of the largest return likewise, the series is constant.
_SAME: Final = 1e-9

# The heading of a baseline's steps.
STEPS: Final = "The baseline, from Hummingbot's computation to Ladder's rules"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Figures of several runs.

    Attributes:
        table: figure by run; fractions, counts, quote currency, Timedelta and Timestamp. NaN where a figure is not
            defined or has no meaning, such as the orders of a series of returns.
        returns: by UTC day, day by run: what the shared figures are of.
        benchmark: the benchmark's column; None without one.
        steps: how a Hummingbot baseline on equal terms comes about, step by step, in words; None without one.
        notes: what a reader must know, such as days that were left out to compare like with like, and what a run says
            of itself in its meta's "notes".
    """

    table: pd.DataFrame
    returns: pd.DataFrame
    benchmark: str | None
    notes: tuple[str, ...] = ()
    steps: pd.DataFrame | None = None

    def shown(self) -> pd.DataFrame:
        """The table in words, every figure as text."""
        text = {
            column: [shown(str(key), value) for key, value in self.table[column].items()]
            for column in self.table.columns
        }
        return pd.DataFrame(text, index=[words(str(key)) for key in self.table.index])

    def __str__(self) -> str:
        steps = [] if self.steps is None else ["", STEPS, self.steps.to_string()]
        return "\n".join([self.shown().to_string(), *steps, *self.notes])

    def to_html(self, path: str | Path) -> Path:
        """Write the comparison as one page that opens without network; the path it was written to."""
        from reports.page import comparison_page

        target = Path(path)
        with replacing(target) as temporary:
            temporary.write_text(comparison_page(self), encoding="utf-8")
        return target


def compare(
    results: Sequence[Result],
    benchmark: Result | pd.Series | EqualTerms | None = None,
    path: str | Path | None = None,
) -> Comparison:
    """Put results, and a benchmark, side by side.

    Args:
        results: at least one.
        benchmark: a Result, or returns by bar or day (indexed in UTC, its name the column's), or a Hummingbot baseline
            on equal terms, which is shown twice: on Ladder's rules, as the benchmark, and as Hummingbot computes it.
        path: where to write the page as well.

    Raises:
        ValidationError: no result, something that is no Result, no day that all have, or returns that are not finite.
    """
    if not isinstance(results, Sequence):
        raise ValidationError(f"compare: results must be a list of Result, got {type(results).__name__}")
    if not results:
        raise ValidationError("compare: no result given; pass a list of at least one Result")
    for position, result in enumerate(results):
        if not isinstance(result, Result):
            raise ValidationError(f"compare: item {position} must be a Result, got {type(result).__name__}")
    results, benchmark, steps = spread_terms(results, benchmark)
    sources: list[Result | pd.Series] = [*results, *([] if benchmark is None else [benchmark])]
    names = _distinct([_name(source) for source in sources])
    daily = {name: _daily(source) for name, source in zip(names, sources, strict=True)}
    first, last = max(days.index[0] for days in daily.values()), min(days.index[-1] for days in daily.values())
    if first > last:
        spans = "; ".join(
            f"{name}: {days.index[0]:%Y-%m-%d} to {days.index[-1]:%Y-%m-%d}" for name, days in daily.items()
        )
        raise ValidationError(f"compare: the results have no day in common ({spans})")
    returns = pd.DataFrame({name: days.loc[first:last] for name, days in daily.items()})
    other = names[-1] if benchmark is not None else None
    columns = {
        name: shared_figures(returns[name])
        | (figures_against(returns[name], returns[other]) if other is not None and name != other else {})
        | (_run(source) if isinstance(source, Result) else {})
        for name, source in zip(names, sources, strict=True)
    }
    unused = {key for key in RARE if not any(figures.get(key) for figures in columns.values())}
    keys = [key for key in [*SHARED, *(AGAINST if other is not None else {}), *RUN] if key not in unused]
    table = pd.DataFrame(
        {name: [figures.get(key, math.nan) for key in keys] for name, figures in columns.items()},
        index=keys,
        dtype=object,
    )
    comparison = Comparison(table, returns, other, _notes(daily, first, last) + _own_notes(sources), steps)
    if path is not None:
        comparison.to_html(path)
    return comparison


def spread_terms(
    results: Sequence[Result], benchmark: Result | pd.Series | EqualTerms | None
) -> tuple[Sequence[Result], Result | pd.Series | None, pd.DataFrame | None]:
    """Equal terms as results to compare: the baseline on Ladder's rules is the benchmark, its own accounting a result.

    Returns:
        The results, the benchmark, and the steps in words; as they came where there are no equal terms.
    """
    if benchmark is None or isinstance(benchmark, Result | pd.Series):
        return results, benchmark, None
    from reports.hummingbot.on_equal_terms import EqualTerms

    if not isinstance(benchmark, EqualTerms):
        raise ValidationError(
            "compare: the benchmark must be a Result or a Series of returns, or what equal_terms gives, got "
            f"{type(benchmark).__name__}"
        )
    return [*results, benchmark.own], benchmark.ours, benchmark.shown()


def series_returns(returns: pd.Series) -> pd.Series:
    """Returns of bars or days compounded to UTC days, every calendar day with a row (0 where there is none).

    Raises:
        ValidationError: an index that is not UTC, or not increasing, no return, or one that is not finite.
    """
    name = returns.name or "benchmark"
    index = returns.index
    if not isinstance(index, pd.DatetimeIndex) or str(index.tz) != "UTC":
        raise ValidationError(
            f"returns of {name!r}: the index must be times in UTC; use tz_localize('UTC') on UTC times"
        )
    if not len(returns) or not index.is_monotonic_increasing or index.has_duplicates:
        raise ValidationError(f"returns of {name!r}: at least one return is needed, in order of time, none twice")
    try:
        values = returns.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValidationError(f"returns of {name!r}: not all are numbers ({error})") from error
    finite = np.isfinite(values)
    if not finite.all():
        bad = index[int(np.argmin(finite))]
        raise ValidationError(f"returns of {name!r} at {bad}: not a finite number; drop it or set it to 0")
    with np.errstate(over="ignore", invalid="ignore"):
        wealth = pd.Series(np.cumprod(1.0 + values), index=index)
    if not np.isfinite(wealth.iloc[-1]):
        raise ValidationError(
            f"returns of {name!r}: they compound beyond any number; give fractions (0.01 is 1%), not prices: "
            "prices.pct_change().dropna()"
        )
    daily = metrics.daily_returns(wealth)
    # The series' own first value is the beginning there, so the returns of the first day before it are put back.
    first = wealth[index < daily.index[0] + pd.Timedelta(days=1)].iloc[-1]
    daily.iloc[0] = max(float(first), 0.0) - 1.0
    return daily


def _daily(source: Result | pd.Series) -> pd.Series:
    return metrics.daily_returns(source) if isinstance(source, Result) else series_returns(source)


def _name(source: Result | pd.Series) -> str:
    return f"{source.name} · {source.broker}" if isinstance(source, Result) else str(source.name or "benchmark")


def _distinct(names: list[str]) -> list[str]:
    """The names, those that come again with a number behind."""
    out: list[str] = []
    for name in names:
        fresh, number = name, 1
        while fresh in out:
            number += 1
            fresh = f"{name} ({number})"
        out.append(fresh)
    return out


def shared_figures(daily: pd.Series) -> dict[str, Any]:
    """Return and risk of returns by day: the figures of `reports.figures.SHARED`."""
    growth = metrics.cagr(daily)
    deepest = metrics.max_drawdown((1.0 + daily).cumprod(), 1.0)
    return {
        "from": daily.index[0],
        "to": daily.index[-1],
        "days": len(daily),
        "total_return": metrics.total_return(daily),
        "cagr": growth,
        "volatility": metrics.volatility(daily),
        "sharpe": metrics.sharpe(daily),
        "sortino": metrics.sortino(daily),
        "calmar": metrics.calmar(growth, deepest),
        "max_drawdown": deepest,
        "value_at_risk": metrics.value_at_risk(daily),
        "expected_shortfall": metrics.expected_shortfall(daily),
    }


def figures_against(daily: pd.Series, benchmark: pd.Series) -> dict[str, Any]:
    """Figures against a benchmark of the same days.

    Beta is cov(r, b) / var(b), the information ratio the Sharpe ratio of r - b (Grinold and Kahn, "Active Portfolio
    Management").
    """
    own, other = daily.to_numpy(), benchmark.to_numpy()
    beta = correlation = information = math.nan
    if len(own) > 1 and np.std(other) > _SAME * np.max(np.abs(other)):
        covariance = np.cov(own, other)
        beta = float(covariance[0, 1] / covariance[1, 1])
        if np.std(own) > _SAME * np.max(np.abs(own)):
            correlation = float(np.corrcoef(own, other)[0, 1])
    if len(own) > 1 and np.std(own - other) > _SAME * max(np.std(own), np.std(other)):
        information = metrics.sharpe(own - other)
    return {
        "excess_return": metrics.total_return(own) - metrics.total_return(other),
        "correlation": correlation,
        "beta": beta,
        "information_ratio": information,
    }


def _run(result: Result) -> dict[str, Any]:
    figures = dict(result.stats())
    return {key: figures["max_drawdown" if key == "max_drawdown_bars" else key] for key in RUN}


def _notes(daily: dict[str, pd.Series], first: pd.Timestamp, last: pd.Timestamp) -> tuple[str, ...]:
    longer = [
        f"{name} ({days.index[0]:%Y-%m-%d} to {days.index[-1]:%Y-%m-%d})"
        for name, days in daily.items()
        if days.index[0] < first or days.index[-1] > last
    ]
    if not longer:
        return ()
    text = (
        f"The runs do not span the same days. Return and risk are of the {(last - first).days + 1:,} days they have in "
        f"common, {first:%Y-%m-%d} to {last:%Y-%m-%d}; longer by themselves: {', '.join(longer)}. "
        "Figures of bars, orders and trades are of each whole run."
    )
    return (text,)


def _own_notes(sources: Sequence[Result | pd.Series]) -> tuple[str, ...]:
    """What the runs say of themselves that a reader of their figures must know, each once."""
    said = [note for source in sources if isinstance(source, Result) for note in source.meta.get("notes", ())]
    return tuple(dict.fromkeys(map(str, said)))
